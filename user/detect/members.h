/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who of a cell in alarm belongs to the farm.
 *
 * Model     the cell is a mixture: a share pi of its active clients is the farm, the rest is what is
 *           usual for the cell (model/cells.h), which stays as it was learned before the alarm. Each
 *           attribute of a client (relay by stack, turns, shape, age of its source, clock) has one
 *           histogram for either part. pi and the farm's histograms are fitted by expectation
 *           maximisation (Dempster, Laird and Rubin 1977).
 * Cross-fit clients are parted in two by a hash of their address; each half is judged by the histograms
 *           of the other, so that no client is evidence against itself.
 * Posterior ln odds = ln(pi / (1 - pi)) + the attributes' ln(farm / usual), capped by family like those
 *           of one source (detect/thresholds.h): relay and stack are one attribute, not two.
 *           1 / (1 + odds) is the local false discovery rate (Efron 2005).
 * Newcomers pi is a share of the clients of an hour. The farm's are there in most hours and are members
 *           after the first; others come and go, and have another try each hour in each of their
 *           cells. So who is no member yet has a pi of its own, by maximum likelihood with both parts'
 *           histograms as they are: hypotheses of a class in which the share of the null is another one
 *           are judged apart (Efron 2008, Annals of Applied Statistics 2, 197-223). Nobody's pi is above
 *           the upper bound on what is relayed beyond the usual, of a farm behind relays, or above the
 *           share of who came with it, of one without. A client comes in
 *           once; the sum of the rates of who came in is how many are expected to be false, however
 *           often they were looked at.
 * False positive case: a legitimate client of the same cell that comes through a relay, does as much a
 *           day as a farm's client, of the same shape. Of such, FG_MEMBER_LFDR are taken for members.
 */
#pragma once

#include "detect/detect.h"
#include "model/cells.h"

/* A client of the cell, and what is found. */
struct fg_suspect {
	const struct fg_traits *traits;
	uint8_t half; /* 0 or 1 */
	uint8_t clock; /* 1 = nearer the cell's own clock, 0 = the local one, FG_BIN_UNKNOWN */
	bool member; /* before this hour, or by another cell in it */
	bool marked; /* shows what the alarm rests on: came through a relay, or with the farm */
	float nats[_FG_FAMILY_MAX]; /* ln(farm / usual) of each, capped */
	float log_odds;
};

/** 64 bits that a client is told by, the same each time; spread no further than FNV-1a does. */
static inline uint64_t fg_client_hash(const uint8_t addr[16], uint64_t stem, uint64_t stack)
{
	uint64_t h = stem ^ stack * 31;

	for (int i = 0; i < 16; i++)
		h = (h ^ addr[i]) * 0x100000001b3ULL;
	return h;
}

struct fg_mixture {
	double share; /* pi */
	double members, newcomers; /* those that members and the others are judged by; at most pi */
	double clock_usual; /* base rate of suspects' clock == 1 */
};

/**
 * Fits the mixture and fills in nats and log_odds of each suspect.
 *
 * @param suspects  all clients of the cell that were active
 * @param excess  how many of them are estimated to be the farm's, to begin with
 * @param relayed  the farm comes through relays
 */
void fg_members_fit(const struct fg_cells *cells, const struct fg_cell *cell,
		    struct fg_suspect *suspects, size_t n, double excess, bool relayed,
		    double clock_usual, struct fg_mixture *ret);

/** Local false discovery rate of a suspect. */
double fg_member_lfdr(const struct fg_suspect *suspect);
