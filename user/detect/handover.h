/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hand-over: clients that come up just after others of the same kind went, from elsewhere. Who
 * replaces an exit that was banned, or moves work from one to the next, leaves pairs of a stop and a
 * start in that order; people's comings and goings know nothing of each other.
 *
 * Signal    pairs of a client that stopped and one of another network and the same shape that started
 *           within FG_HANDOVER_S after it, less those that started within as long before it. What makes
 *           both frequent at a time (a working day) makes as many of either: the difference is that of
 *           order alone. One day, by hours: (after - before) / sqrt(after + before + 1), summed, so that
 *           busy hours do not speak alone.
 * Null      an hour's starts as they are, minutes kept (jobs begin on the hour), but in another hour of
 *           the same four: 4^6 such days, all of which are looked at. p is the share of them in which
 *           the sum is as large; exact, without a draw.
 * Evidence  p made an e-value (lib/betabin.h, fg_p_log_e()), at most 59. The effect is told beside it:
 *           pairs above chance against starts.
 * Power     that of what is active until it goes: an exit's end is its last connection, not its ban. Of
 *           700 busy exits of which 5 % are banned an hour, among 300 others, the replacements are seen
 *           on 19 of 20 days; accounts of 25.6 exchanges a day, an hour apart, replaced just so, on
 *           no more than chance (tests/unit/handover_test.c): the pauses before and after are longer
 *           than the window. A longer window saw no more.
 * False positive case: a phone that leaves home changes its network within minutes, and so does a
 *           pipeline whose next jobs start where the last have ended. So it only supports what other
 *           tests say of a cell (detect/cohort_daily.c). Clients that change their address within
 *           one network are left out; without a table of networks, a provider's /16s count as
 *           several.
 *
 * Lag-asymmetry as evidence of order: Brillinger, Bryant and Segundo 1976. Shifts within blocks that
 * keep slow rates: Amarasingham, Harrison, Hatsopoulos and Geman 2012 (the jitter method).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FG_HANDOVER_S 900
/* A start, a stop outside of the day. */
#define FG_HANDOVER_NOT INT32_MIN

/* A client's beginning and end. */
struct fg_move {
	uint64_t network; /* fg_reach_network() */
	int32_t start_s; /* 0 .. 86399, or FG_HANDOVER_NOT */
	/* -FG_HANDOVER_S .. 86399 + FG_HANDOVER_S, or FG_HANDOVER_NOT, as of who was there for less than
	 * FG_HANDOVER_S: what begins together and is short ends together, before others or after */
	int32_t stop_s;
	uint8_t shape; /* bin, below 64 */
};

struct fg_handover {
	bool known; /* else there were too few of either: e is 1 */
	bool effect; /* it is large enough to be told */
	double p, log_e;
	uint32_t starts, stops;
	double after, before; /* pairs */
	double excess; /* hand-overs above chance: after - before, 0 or more */
};

/** One day of one cell. @return 0, -ENOMEM. */
int fg_handover_test(const struct fg_move *moves, size_t n, struct fg_handover *ret);
