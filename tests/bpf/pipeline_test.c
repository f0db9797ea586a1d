/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connections of tests/unit/pipeline_test.c through the loaded program. */
#include <stdbool.h>

#define ENGINE	   fg_engine_kernel
#define FORCE_LOOP false
#define ROUNDS	   12

#include "../unit/pipeline_test.c"
