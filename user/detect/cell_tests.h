/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One cell in one hour against what is usual for it. Out of the clients that were active, how many
 * show a trait, or lie in a bin of a histogram? Conditional on being active: that more clients come
 * than usual is no test at all, and neither is how popular a fingerprint is.
 *
 * Signal    shares and histograms of model/cells.h
 * Null      beta-binomial, and for bins the Dirichlet-multinomial whose margins are just that
 * Evidence  e-values (lib/betabin.h), averaged over the bins of a histogram and over the tests of a
 *           family: valid whatever their dependence. Families: relay (how it comes), automation (what
 *           it does), lifecycle (how long it is there).
 * False positive case: each test by itself is moved by legitimate change, a relay product, a course's
 *           notebook, a launch. So no family alone raises an alarm (detect/cohort.h).
 */
#pragma once

#include "detect/detect.h"
#include "model/cells.h"

struct fg_test {
	double log_e; /* 0 where nothing can be said */
	double observed, expected; /* of the clients of which it is known: how many, in clients */
	double p; /* base rate */
	double excess; /* clients above the base rate, scaled to all that were active */
	uint8_t bin; /* histograms: the bin with most of the excess */
};

struct fg_cell_tests {
	struct fg_test shares[_FG_SHARE_MAX];
	struct fg_test hists[_FG_HIST_MAX];
	double log_e[_FG_FAMILY_MAX]; /* relay, automation, lifecycle; 0 of the others */
	double excess[_FG_FAMILY_MAX]; /* the largest of its tests */
};

/** All tests of a cell. Where fewer than FG_MIN_ACTIVE were active all e-values are 1. */
void fg_cell_test(const struct fg_cells *cells, const struct fg_cell *cell,
		  struct fg_cell_tests *ret);

/** Family that a share, a histogram is evidence of. */
enum fg_family fg_share_family(enum fg_share share);
enum fg_family fg_hist_family(enum fg_hist hist);
