/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One clock: do the relayed clients of a cell keep the hours of their own countries, or one clock in
 * all of them?
 *
 * Signal    each client's hours of activity, its country's offset to UTC (needs a table of networks)
 * Templates the day by local time of the cell's clients that are not relayed, and of those that are; the
 *           day by UTC of those that are. Of the other half (cross-fit), and all of as many clients.
 * Vote      a client lies nearer the template under which its hours are likelier: for one clock where that
 *           is UTC's. Relayed clients' own local day counts only where it has a rest: people who have other
 *           habits than those who come straight (an office moves behind a gateway) keep a local day all the
 *           same, and who never rests keeps none.
 * Null      half of the relayed vote for UTC: who comes through a relay abroad is not at home where its
 *           address is. Beta-binomial with rho of 2 %.
 * Evidence  e-value of the votes, once a day, of all days together: it takes the place of the day before's,
 *           as the same hours seen again are no news. Over 30 days and 4,096 cells it is above
 *           FG_ALARM_NATS by chance at most once in 24 such months.
 * False positive case: all users of a service travel, or come through exits in other countries.
 */
#pragma once

#include "detect/members.h"

struct fg_clock {
	double log_e;
	unsigned int n, votes; /* relayed clients whose offset is known; those for UTC */
	double usual; /* share of the others that vote so, at least 0.5 */
};

/** Fills in suspects' clock. */
void fg_clock_vote(const struct fg_model *model, struct fg_suspect *suspects, size_t n,
		   struct fg_clock *ret);
