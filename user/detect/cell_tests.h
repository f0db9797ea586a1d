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
	double known; /* clients of which it is known */
	double observed, expected; /* how many of these, in clients */
	double p; /* base rate */
	double p_excess; /* that of all bins that are in excess */
	double rho; /* how far it strays */
	double baseline_n; /* clients and hours that it rests on */
	double excess; /* clients above the base rate, scaled to all that were active */
	uint8_t bin; /* histograms: the bin with most of the excess */
};

struct fg_cell_tests {
	struct fg_test shares[_FG_SHARE_MAX];
	struct fg_test hists[_FG_HIST_MAX];
	double log_e[_FG_FAMILY_MAX]; /* relay, automation, lifecycle; 0 of the others */
	/* of the family's test that is surest of one, by the lower bound of its interval; 0 where none is:
	 * where nearly everybody has a trait, a few more make a large excess, and a vague one */
	double excess[_FG_FAMILY_MAX];
};

/** All tests of a cell. Where fewer than FG_MIN_ACTIVE were active all e-values are 1. */
void fg_cell_test(const struct fg_cells *cells, const struct fg_cell *cell,
		  struct fg_cell_tests *ret);

/**
 * How many clients of a cell are a farm's, F, with bounds of 95 %. Of the n of which it is known x show
 * the trait: all of the farm's, and of the n - F usual ones a beta-binomial number with (p, rho). So
 *   var(x) = (n - F) p (1 - p) (1 + (n - F - 1) rho),  se(F) = sqrt(var(x)) / (1 - p),
 * F +- 1.96 se by the normal approximation (moments of the beta-binomial: Skellam 1948), and scaled
 * from the known to all that were active, which adds the error of a sample without replacement
 * (Cochran 1977, 3.2). Bounds lie within 0 and active.
 *
 * @param excess  F, of active clients
 * @param known  n
 */
struct fg_interval {
	double low, high;
};
struct fg_interval fg_excess_interval(double excess, double active, double known, double p,
				      double rho);

/** Family that a share, a histogram is evidence of. */
enum fg_family fg_share_family(enum fg_share share);
enum fg_family fg_hist_family(enum fg_hist hist);
