/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connections of tests/unit/timing_test.c through the loaded program, its hellos read with
 * bpf_loop as before kernel 6.9. */
#include <stdbool.h>

#define ENGINE	   fg_engine_kernel
#define FORCE_LOOP true

#include "../unit/timing_test.c"
