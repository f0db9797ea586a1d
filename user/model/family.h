/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which family of systems a stack belongs to, from facts that its makers or source code document.
 * It is the system that holds the TCP connection: behind a relay the relay's, not the client's. A
 * system can be set up to look like another; what fits none is "other", never a guess.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fg_stack_family {
	FG_STACK_UNKNOWN, /* no SYN was seen, or QUIC */
	FG_STACK_WINDOWS,
	FG_STACK_LINUX,
	FG_STACK_ANDROID,
	FG_STACK_APPLE, /* macOS, iOS: the same layout */
	FG_STACK_OTHER,
	_FG_STACK_FAMILY_MAX
};

enum fg_stack_family fg_stack_family(uint64_t stack);
/** Its MSS is smaller than that of whole Ethernet frames less a tunnel's or a dial-up's header: 1420
 * or less. */
bool fg_stack_mss_small(uint64_t stack);
/** "windows", "linux", "android", "apple", "other"; "-" where unknown. */
const char *fg_stack_family_name(enum fg_stack_family family);
