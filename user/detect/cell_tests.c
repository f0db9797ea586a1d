/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/cell_tests.h"

#include <math.h>
#include <string.h>

#include "detect/thresholds.h"
#include "lib/betabin.h"

/* Two-sided 95 % of a normal distribution. */
#define Z95 1.96

enum fg_family fg_share_family(enum fg_share share)
{
	return share == FG_SHARE_BORN || share == FG_SHARE_NOT_BACK ? FG_FAMILY_LIFECYCLE :
								      FG_FAMILY_RELAY;
}

enum fg_family fg_hist_family(enum fg_hist hist)
{
	return hist == FG_HIST_STACK ? FG_FAMILY_RELAY : FG_FAMILY_AUTOMATION;
}

static double excess_of(double x, double n, double p)
{
	return fmax(0, (x - n * p) / (1 - p));
}

static void test_share(const struct fg_cells *cells, const struct fg_cell *cell,
		       enum fg_share share, struct fg_test *t)
{
	double n = cell->now.known[share], x = cell->now.yes[share];
	struct fg_usual usual;

	if (n < FG_MIN_ACTIVE)
		return;
	usual = fg_cells_usual(cells, cell, share);
	t->known = n;
	t->p = t->p_excess = usual.p;
	t->rho = usual.rho;
	t->baseline_n = usual.n;
	t->observed = x;
	t->expected = n * usual.p;
	t->log_e = fg_betabin_log_e(x, n, usual.p, usual.rho);
	t->excess = excess_of(x, n, usual.p) * cell->now.active / n;
}

static void test_hist(const struct fg_cells *cells, const struct fg_cell *cell, enum fg_hist hist,
		      struct fg_test *t)
{
	const uint32_t *bins = &cell->now.bins[fg_hist_at((unsigned int)hist)];
	unsigned int n_bins = fg_hist_at((unsigned int)hist + 1) - fg_hist_at((unsigned int)hist);
	double p[FG_SHAPE_BINS], sum = -INFINITY, n = 0, most = 0;
	struct fg_usual usual;

	for (unsigned int i = 0; i < n_bins; i++)
		n += bins[i];
	if (n < FG_MIN_ACTIVE)
		return;
	usual = fg_cells_usual_bins(cells, cell, hist, p);
	t->known = n;
	t->rho = usual.rho;
	t->baseline_n = usual.n;
	for (unsigned int i = 0; i < n_bins; i++) {
		double e, excess = excess_of(bins[i], n, p[i]);

		/* as an e-value of 0: below the average, and quicker */
		if (bins[i] <= n * p[i])
			continue;
		e = fg_betabin_log_e(bins[i], n, p[i], usual.rho);
		sum = fg_log_add(sum, e);
		if (e <= 0)
			continue;
		t->excess += excess * cell->now.active / n;
		t->p_excess += p[i];
		if (excess <= most)
			continue;
		most = excess;
		t->bin = (uint8_t)i;
		t->observed = bins[i];
		t->expected = n * p[i];
		t->p = p[i];
	}
	t->log_e = sum - log(n_bins);
}

struct fg_interval fg_excess_interval(double excess, double active, double known, double p,
				      double rho)
{
	double farm = fmin(excess, active), usual, var, se;

	if (!(active > 0) || !(known > 0))
		return (struct fg_interval){ 0, fmax(active, 0) };
	known = fmin(known, active);
	usual = known * (1 - farm / active);
	var = usual * p * (1 - p) * (1 + fmax(usual - 1, 0) * rho) / ((1 - p) * (1 - p));
	/* the share of the farm among the known stands for that among all */
	var += known * (farm / active) * (1 - farm / active) * (1 - known / active);
	se = sqrt(var) * active / known;
	return (struct fg_interval){ fmax(farm - Z95 * se, 0), fmin(farm + Z95 * se, active) };
}

/* The excess of the test that is surest of one. */
static void keep_surest(struct fg_cell_tests *r, enum fg_family family, const struct fg_test *t,
			double active, double *surest)
{
	double low;

	if (t->excess <= 0)
		return;
	low = fg_excess_interval(t->excess, active, t->known, fmin(t->p_excess, 1 - 1e-6), t->rho)
		      .low;
	if (low <= *surest)
		return;
	*surest = low;
	r->excess[family] = t->excess;
}

/* A test that says nothing counts as an e-value of 1, so that the mean stays one. */
static void average(double active, struct fg_cell_tests *r, enum fg_family family)
{
	double sum = -INFINITY, surest = 0;
	int n = 0;

	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		if (fg_share_family((enum fg_share)i) != family)
			continue;
		sum = fg_log_add(sum, r->shares[i].log_e);
		keep_surest(r, family, &r->shares[i], active, &surest);
		n++;
	}
	for (int i = 0; i < _FG_HIST_MAX; i++) {
		if (fg_hist_family((enum fg_hist)i) != family)
			continue;
		sum = fg_log_add(sum, r->hists[i].log_e);
		keep_surest(r, family, &r->hists[i], active, &surest);
		n++;
	}
	if (n)
		r->log_e[family] = sum - log(n);
}

void fg_cell_test(const struct fg_cells *cells, const struct fg_cell *cell, struct fg_cell_tests *r)
{
	memset(r, 0, sizeof(*r));
	if (cell->now.active < FG_MIN_ACTIVE)
		return;
	for (int i = 0; i < _FG_SHARE_MAX; i++)
		test_share(cells, cell, (enum fg_share)i, &r->shares[i]);
	for (int i = 0; i < _FG_HIST_MAX; i++)
		test_hist(cells, cell, (enum fg_hist)i, &r->hists[i]);
	average(cell->now.active, r, FG_FAMILY_RELAY);
	average(cell->now.active, r, FG_FAMILY_AUTOMATION);
	average(cell->now.active, r, FG_FAMILY_LIFECYCLE);
}
