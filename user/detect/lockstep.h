/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lockstep: clients of different sources that are active in the same quarter hours, with the same shape
 * of exchanges, day after day, as one batch after another does that many accounts share.
 *
 * Signal    the 96 quarter hours of a client's day, its shape; pairs with a Jaccard index of
 *           FG_LOCKSTEP_JACCARD or more (SynchroTrap's loosely synchronised actions: Cao, Yang, Yu and
 *           Palow 2014)
 * Null      each client's day moved by up to a quarter either way, by a number of its own: it keeps
 *           its working day, its sessions and how busy it is, and loses what only a common clock makes
 *           (the jitter method: Amarasingham et al. 2012). Exact where activity knows no time of day
 *           nearer than that; of people who all begin at nine p is a little low. 199 draws over
 *           10,000 pairs of 2,000 clients.
 * Groups    candidates by MinHash in 12 bands of 5 rows (lib/minhash.h), buckets in parts of
 *           FG_LOCKSTEP_BUCKET, each pair by its true Jaccard index, joined (union-find). A pair must
 *           be more alike than chance makes one in five clients have a partner of, and
 *           FG_LOCKSTEP_JACCARD at least: people of one country are in no group. A batch is found by
 *           its many pairs, not by each.
 * Days      a group is the one of an earlier day that most of its labelled clients were in then; who was
 *           in it on FG_LOCKSTEP_DAYS days is told.
 * Evidence  p made an e-value (lib/betabin.h), at most 6.9, with the effect beside it
 * False positive case: a job that many customers have scheduled for the same times. So it only supports
 *           what other tests say of a cell (detect/cohort_daily.c).
 *
 * It has no power against a dispatcher that deals work out in turn: its clients are independent. Nor
 * against a batch that fills whole hours from end to end, which differs from a working day in
 * nothing but its length.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Remembered over days, 16 bytes each, over all cells; more are counted. */
#define FG_LOCKSTEP_KEPT 49152

/* A client's day. */
struct fg_step {
	uint32_t quarters[3]; /* 96 bits, as in fg_signals */
	uint8_t shape; /* bin, below 64 */
	uint64_t source; /* hash of its address */
	uint64_t client; /* hash of the client in this cell, not 0 */
};

struct fg_lockstep {
	bool known; /* else too few clients: e is 1 */
	bool effect; /* it is large enough to be told */
	double p, log_e;
	uint32_t clients; /* that were looked at */
	uint32_t pairs; /* in lockstep, of those that were drawn */
	double pairs_usual; /* by chance */
	uint32_t groups, in_groups; /* of FG_LOCKSTEP_GROUP clients or more; clients in them */
	uint32_t on_days; /* of these, in the same one on FG_LOCKSTEP_DAYS days */
};

/**
 * One day of one cell.
 *
 * @param seed  of the draws: the same seed and clients give the same answer
 * @param ret_groups  a group for each client, 0 = none; groups count from 1
 * @return 0, -ENOMEM.
 */
int fg_lockstep_test(const struct fg_step *steps, size_t n, uint64_t seed, uint32_t *ret_groups,
		     struct fg_lockstep *ret);

struct fg_lockstep_days;

/** @return 0, -ENOMEM. */
int fg_lockstep_days_new(struct fg_lockstep_days **ret_days);
void fg_lockstep_days_free(struct fg_lockstep_days **days);
/** Notes the groups of a day and fills in lockstep's on_days. What was not seen for a week is forgotten.
 * @return 0, -ENOMEM. */
int fg_lockstep_note(struct fg_lockstep_days *days, uint16_t day, const struct fg_step *steps,
		     size_t n, const uint32_t *groups, struct fg_lockstep *lockstep);
uint64_t fg_lockstep_refused(const struct fg_lockstep_days *days);
size_t fg_lockstep_bytes(void);

/* A client that is remembered. */
struct fg_lockstep_kept {
	uint64_t client; /* 0 = free */
	uint32_t label;
	uint16_t day; /* the last */
	uint8_t days; /* in a row of those on which it was in a group */
};
/** Rows that are in use, behind each other, for the store. At most FG_LOCKSTEP_KEPT; returns how many. */
size_t fg_lockstep_days_save(const struct fg_lockstep_days *days, struct fg_lockstep_kept *ret);
void fg_lockstep_days_load(struct fg_lockstep_days *days, const struct fg_lockstep_kept *kept,
			   size_t n);
