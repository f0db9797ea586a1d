/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The order of a SYN's options is fixed in the code that writes it, and no setting changes it; the
 * initial TTL is a setting that hardly anybody touches. Both have to agree.
 *
 * Linux    TTL 64; tcp_options_write() in net/ipv4/tcp_output.c: mss, sack and timestamps side by
 *          side, nop, window scale; without timestamps mss, nop, nop, sack, nop, window scale. A
 *          Fast Open or MPTCP option comes behind.
 * Android  Linux with larger receive buffers: its ConnectivityService writes tcp_rmem for each
 *          network, 2 MB on Wi-Fi. Linux's own default of 131072 makes a window of 65536 rounded
 *          down to whole segments, 64240 with an MSS of 1460 (tcp_select_initial_window()); larger
 *          buffers fill the window's 16 bits, 65535. A Linux host with larger default buffers looks
 *          the same, and an Android of smaller ones like Linux.
 * Apple    TTL 64; mss, nop, window scale, nop, nop, timestamps, sack, end (xnu, tcp_output());
 *          window 65535. Timestamps go once a network swallowed them: then it is "other".
 * Windows  TTL 128; mss, nop, window scale, nop, nop, sack; timestamps are off but where turned on
 *          (mss, nop, window scale, sack, timestamps), scaling is on since Vista.
 *
 * What else has these layouts under another TTL (Solaris 10 has that of Windows with 64), and the
 * BSDs, are "other".
 */
#include "model/family.h"

#include <stdbool.h>
#include <stddef.h>

#include "farmgate/stack.h"

#define KINDS_AT			 30
#define KIND(i, kind)			 ((uint64_t)FG_OPT_##kind << (3 * (i)))
#define LAYOUT_3(a, b, c)		 (KIND(0, a) | KIND(1, b) | KIND(2, c))
#define LAYOUT_4(a, b, c, d)		 (LAYOUT_3(a, b, c) | KIND(3, d))
#define LAYOUT_5(a, b, c, d, e)		 (LAYOUT_4(a, b, c, d) | KIND(4, e))
#define LAYOUT_6(a, b, c, d, e, f)	 (LAYOUT_5(a, b, c, d, e) | KIND(5, f))
#define LAYOUT_8(a, b, c, d, e, f, g, h) (LAYOUT_6(a, b, c, d, e, f) | KIND(6, g) | KIND(7, h))

/* clang-format off */
static const struct {
	uint64_t layout;
	unsigned int n;
	uint32_t ttl_bucket; /* fg_stack_ttl_bucket() */
	enum fg_stack_family family;
} layouts[] = {
	{ LAYOUT_5(MSS, SACK, TS, NOP, WS), 5, 1, FG_STACK_LINUX },
	{ LAYOUT_6(MSS, NOP, NOP, SACK, NOP, WS), 6, 1, FG_STACK_LINUX },
	{ LAYOUT_8(MSS, NOP, WS, NOP, NOP, TS, SACK, EOL), 8, 1, FG_STACK_APPLE },
	{ LAYOUT_6(MSS, NOP, WS, NOP, NOP, SACK), 6, 2, FG_STACK_WINDOWS },
	{ LAYOUT_5(MSS, NOP, WS, SACK, TS), 5, 2, FG_STACK_WINDOWS },
	{ LAYOUT_4(MSS, NOP, NOP, SACK), 4, 2, FG_STACK_WINDOWS },
};
/* clang-format on */

/* Behind the layout, padding and options that this table does not know may follow. */
static bool ends_there(uint64_t kinds, unsigned int n)
{
	for (kinds >>= 3 * n; kinds; kinds >>= 3)
		if ((kinds & 7) != FG_OPT_NOP && (kinds & 7) != FG_OPT_EOL &&
		    (kinds & 7) != FG_OPT_OTHER)
			return false;
	return true;
}

enum fg_stack_family fg_stack_family(uint64_t stack)
{
	uint64_t kinds = stack >> KINDS_AT & ((1ULL << 3 * FG_STACK_MAX_OPTIONS) - 1);

	if (!(stack & FG_STACK_VALID))
		return FG_STACK_UNKNOWN;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		uint64_t mask = (1ULL << 3 * layouts[i].n) - 1;

		if (layouts[i].ttl_bucket != (stack >> 16 & 3) ||
		    layouts[i].layout != (kinds & mask) || !ends_there(kinds, layouts[i].n))
			continue;
		if (layouts[i].family == FG_STACK_LINUX && (stack & 0xffff) == 0xffff)
			return FG_STACK_ANDROID;
		return layouts[i].family;
	}
	return FG_STACK_OTHER;
}

bool fg_stack_mss_small(uint64_t stack)
{
	unsigned int bucket = stack >> 18 & 15;

	return bucket && bucket <= fg_stack_mss_bucket(1420);
}

const char *fg_stack_family_name(enum fg_stack_family family)
{
	static const char *const names[_FG_STACK_FAMILY_MAX] = { "-",	    "windows", "linux",
								 "android", "apple",   "other" };

	return (unsigned int)family < _FG_STACK_FAMILY_MAX ? names[family] : "?";
}
