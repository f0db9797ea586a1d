/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The PROXY headers of tests/unit/proxy_test.c through the loaded program. */
#include <stdbool.h>

#define ENGINE	   fg_engine_kernel
#define FORCE_LOOP true
#define CUT_STEP   10

#include "../unit/proxy_test.c"
