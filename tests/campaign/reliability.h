/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Are stated local false discovery rates true? Each member counts once, in the bin of the rate that was
 * stated of it last. The sum of a bin's rates is how many of it should be false; the exact one-sided
 * 95 % bounds of a Poisson mean (Garwood, Biometrika 28, 1936) about how many are say whether chance
 * explains the difference. A cohort counts as it stood in the hour in which it had the most members.
 *
 *   false   a client that never made an exchange of a farm while it was a member, or before on that day
 *   off     a cohort whose false members are more than twice the stated number explains
 *
 * Owns: what it counts. Must not: know of the agent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CG_LFDR_BINS 5

/* Members with what was stated of them. */
struct cg_lfdr_bin {
	uint64_t n, falsely;
	double stated;
};

struct cg_reliability;

/** @return 0, -ENOMEM. */
int cg_reliability_new(struct cg_reliability **ret_reliability);
void cg_reliability_free(struct cg_reliability **reliability);
/** A member that stands in this hour. @param key  of the client. @return 0, -ENOMEM. */
int cg_reliability_member(struct cg_reliability *reliability, uint64_t key, uint32_t cohort,
			  double lfdr, bool farm);
/** Ends the hour. */
void cg_reliability_hour(struct cg_reliability *reliability);

struct cg_lfdr_bin cg_reliability_bin(const struct cg_reliability *reliability, int bin);
/** Of all cohorts together. @param ret_off  how many are off. */
struct cg_lfdr_bin cg_reliability_cohorts(const struct cg_reliability *reliability,
					  unsigned int *ret_off);

/** "1e6", as in the columns lfdr_1e6_n, lfdr_1e6_stated and lfdr_1e6_false. */
const char *cg_lfdr_name(int bin);
/** Columns behind those of the caller: names, or values, each with a tab in front. */
void cg_reliability_header(FILE *out);
void cg_reliability_row(const struct cg_reliability *reliability, FILE *out);

/** For people: a table of the bins, their sum, and cohorts. */
void cg_reliability_print(const struct cg_lfdr_bin bins[CG_LFDR_BINS],
			  const struct cg_lfdr_bin *cohorts, FILE *out);
