/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/reliability.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "campaign/map.h"
#include "campaign/score.h"

/* Upper ends of the bins; the last one has none. */
static const double ends[CG_LFDR_BINS - 1] = { 1e-6, 1e-4, 1e-3, 1e-2 };
static const char *const names[CG_LFDR_BINS] = { "1e6", "1e4", "1e3", "1e2", "more" };
static const char *const titles[CG_LFDR_BINS] = { "to 1e-6", "to 1e-4", "to 0.1 %", "to 1 %",
						  "more" };

struct member {
	double lfdr; /* as last stated */
	bool farm;
};

struct cohort {
	struct cg_lfdr_bin now, most;
};

struct cg_reliability {
	struct cg_map members, cohorts;
};

int cg_reliability_new(struct cg_reliability **ret)
{
	struct cg_reliability *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->members.size = sizeof(struct member);
	r->cohorts.size = sizeof(struct cohort);
	*ret = r;
	return 0;
}

void cg_reliability_free(struct cg_reliability **reliability)
{
	struct cg_reliability *r = *reliability;

	if (!r)
		return;
	cg_map_free(&r->members);
	cg_map_free(&r->cohorts);
	free(r);
	*reliability = NULL;
}

static void count(struct cg_lfdr_bin *b, double lfdr, bool farm)
{
	b->n++;
	b->falsely += !farm;
	b->stated += lfdr;
}

int cg_reliability_member(struct cg_reliability *r, uint64_t key, uint32_t cohort, double lfdr,
			  bool farm)
{
	struct member *m = cg_map_put(&r->members, key);
	struct cohort *c = cg_map_put(&r->cohorts, cohort);

	if (!m || !c)
		return -ENOMEM;
	m->lfdr = lfdr;
	m->farm |= farm;
	count(&c->now, lfdr, m->farm);
	return 0;
}

void cg_reliability_hour(struct cg_reliability *r)
{
	for
		CG_EACH(struct cohort, c, &r->cohorts)
		{
			if (c->now.n > c->most.n)
				c->most = c->now;
			c->now = (struct cg_lfdr_bin){ 0 };
		}
}

struct cg_lfdr_bin cg_reliability_bin(const struct cg_reliability *r, int bin)
{
	struct cg_lfdr_bin b = { 0 };

	for
		CG_EACH(const struct member, m, &r->members)
		{
			int at = 0;

			while (at < CG_LFDR_BINS - 1 && m->lfdr > ends[at])
				at++;
			if (at == bin)
				count(&b, m->lfdr, m->farm);
		}
	return b;
}

struct cg_lfdr_bin cg_reliability_cohorts(const struct cg_reliability *r, unsigned int *ret_off)
{
	struct cg_lfdr_bin sum = { 0 };

	*ret_off = 0;
	for
		CG_EACH(const struct cohort, c, &r->cohorts)
		{
			sum.n += c->most.n;
			sum.falsely += c->most.falsely;
			sum.stated += c->most.stated;
			*ret_off += cg_poisson_lower(c->most.falsely) > 2 * c->most.stated;
		}
	return sum;
}

/* --- Figures ------------------------------------------------------------------------------------ */

const char *cg_lfdr_name(int bin)
{
	return names[bin];
}

void cg_reliability_header(FILE *out)
{
	for (int i = 0; i < CG_LFDR_BINS; i++)
		fprintf(out, "\tlfdr_%s_n\tlfdr_%s_stated\tlfdr_%s_false", names[i], names[i],
			names[i]);
	fprintf(out, "\tcohort_members\tcohort_stated\tcohort_false\tcohorts_off");
}

void cg_reliability_row(const struct cg_reliability *r, FILE *out)
{
	struct cg_lfdr_bin b;
	unsigned int off;

	for (int i = 0; i < CG_LFDR_BINS; i++) {
		b = cg_reliability_bin(r, i);
		fprintf(out, "\t%llu\t%.6g\t%llu", (unsigned long long)b.n, b.stated,
			(unsigned long long)b.falsely);
	}
	b = cg_reliability_cohorts(r, &off);
	fprintf(out, "\t%llu\t%.6g\t%llu\t%u", (unsigned long long)b.n, b.stated,
		(unsigned long long)b.falsely, off);
}

static void print_line(FILE *out, const char *what, const struct cg_lfdr_bin *b)
{
	if (!b->n)
		return;
	fprintf(out, "| %s | %llu | %.3g | %llu | %.2g | %.2g to %.2g |\n", what,
		(unsigned long long)b->n, b->stated, (unsigned long long)b->falsely,
		(double)b->falsely / b->stated, cg_poisson_lower(b->falsely) / b->stated,
		cg_poisson_upper(b->falsely) / b->stated);
}

void cg_reliability_print(const struct cg_lfdr_bin bins[CG_LFDR_BINS],
			  const struct cg_lfdr_bin *cohorts, FILE *out)
{
	struct cg_lfdr_bin all = { 0 };

	fprintf(out,
		"| local fdr | members | stated false | false | false by stated | 5 %% to 95 %% |\n"
		"|---|---|---|---|---|---|\n");
	for (int i = 0; i < CG_LFDR_BINS; i++) {
		print_line(out, titles[i], &bins[i]);
		all.n += bins[i].n;
		all.falsely += bins[i].falsely;
		all.stated += bins[i].stated;
	}
	print_line(out, "all", &all);
	print_line(out, "cohorts at their largest", cohorts);
}
