/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text form of a stack key (include/farmgate/stack.h). */
#pragma once

#include <stdint.h>

#define FG_STACK_TEXT 96

/** "64:29200:mss1460:ws7:mss,sack,ts,nop,ws:df"; "-" where no SYN was seen (key 0). The MSS is the
 * upper end of its bucket. */
const char *fg_stack_text(uint64_t stack, char buf[FG_STACK_TEXT]);
