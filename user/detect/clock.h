/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One clock: do the relayed clients of a cell keep the hours of their own countries, or one clock in
 * all of them?
 *
 * Signal    each client's hours of activity, its country's offset to UTC (needs a table of networks)
 * Templates the day by local time, from the cell's clients that are not relayed; the day by UTC, from
 *           those that are, of the other half (cross-fit)
 * Vote      a client lies nearer the template under which its hours are likelier
 * Null      half of the relayed vote for UTC: who comes through a relay abroad is not at home where its
 *           address is. Beta-binomial with rho of 2 %.
 * Evidence  e-value of the votes, once a day: the same hours seen again are no news.
 * False positive case: all users of a service live in one country and travel; a batch job.
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
