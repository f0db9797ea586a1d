/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Volume: many proven connections or exchanges from one source in the window, against the sources that
 * are active in the same window.
 *
 * Signal    x = proven connections of the source in the window, or its exchanges where those are more
 *           (connections that are kept alive), for each host estimated behind it
 *           (model/model.h, fg_model_estimated_hosts). Who shows many stems or keeps many clocks is
 *           divided by them, at most by sixteen clocks: evasion of this family costs that much.
 * Null      X - 1 ~ negative binomial(mean m, dispersion r). Being active takes one connection, the
 *           rest is heavy-tailed, r = 1 being the geometric: r is kept within 0.2..5 (a Poisson null
 *           would call every busy customer a farm) and fitted with a margin.
 * Fit       on the lower 75 % of the active sources, so that up to a quarter of them may be a farm
 *           without raising what is usual. Cutting the top off lowers mean and variance, so (m, r)
 *           are those whose own lower 75 % has the mean that is seen there and an upper bound of
 *           the variance. (Moments of the cut sample as they are would make any tail too light.)
 *           A farm among the sources makes the lower 75 % of all reach further up the others, so the
 *           fit is made again without those whom it would surprise (one in a thousand).
 * Evidence  nats = -ln P(X >= x), the tail summed in logarithms.
 * Others    what the busiest client is like adds at most 10 nats (detect/families.h).
 * Gates     x at least min_connections and five times the usual; population at least
 *           min_population sources; otherwise silence (cold start). A source that is known for
 *           two days is judged by its own busiest windows, too: who was as busy before is no news. Days
 *           on which it was flagged do not count, but for who was here when learning began.
 *           What a share of FG_KNOWN_SHARE of the known do counts no more than that for anybody.
 * Shared    A source with many distinct stems, or with other marks of a crowd behind one address
 *           (model/hosts.h): the family counts at most 4 nats for it, so volume alone never flags
 *           it.
 *
 * False positive case: a monitoring probe, a crawler, or the API server of one large customer looks
 * the same here. Volume says "heavy", not "fraudulent"; the finding says so.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/detect.h"
#include "detect/families.h"
#include "detect/volume.h"
#include "lib/betabin.h"

#define TRIM	  0.75
#define R_MIN	  0.2
#define R_MAX	  5.0
#define R_STEP	  0.794 /* ten to a decade: 0.2 is reached after fourteen */
#define MARGIN_SE 3.0
/* ln 1000: of a population as fitted, one source in a thousand is left out of the next fit. */
#define OUTLIER_NATS 6.9
#define MAX_FITS     4
/* ln of the smallest double is -745; larger tails are said as this. */
#define MAX_NATS 700.0

/* Counts of the active sources that have days of their own, sorted; n is 0 where they are too few. */
struct known {
	uint32_t *counts;
	size_t n;
};

struct null_model {
	double mean; /* of X - 1 */
	double r;
	size_t n;
};

double fg_volume_nb_log_tail(double k, double mean, double r)
{
	double p, log_term, sum;
	double i = k;

	if (k <= 0)
		return 0;
	if (mean <= 0)
		return -MAX_NATS;
	p = mean / (mean + r); /* P(i) = C(i + r - 1, i) (1 - p)^r p^i */
	log_term = lgamma(k + r) - lgamma(r) - lgamma(k + 1) + r * log1p(-p) + k * log(p);
	sum = log_term;
	/* the ratio of neighbouring terms tends to p < 1: stop when nothing is added any more */
	for (int n = 0; n < 100000; n++) {
		log_term += log((i + r) / (i + 1)) + log(p);
		i += 1;
		sum = fg_log_add(sum, log_term);
		if (log_term < sum - 40 && (i + r) / (i + 1) * p < 1)
			break;
	}
	if (sum > 0)
		sum = 0;
	return sum < -MAX_NATS ? -MAX_NATS : sum;
}

static int by_count(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct moments {
	double mean, variance;
};

/* Of the lower TRIM share of a negative binomial. */
static struct moments trimmed(double mean, double r)
{
	double p = mean / (mean + r), prob = exp(r * log1p(-p));
	double mass = 0, sum = 0, square = 0;
	struct moments t;

	for (double i = 0; i < 1e6 && mass < TRIM - 1e-12; i++) {
		double take = fmin(prob, TRIM - mass);

		sum += take * i;
		square += take * i * i;
		mass += take;
		prob *= (i + r) / (i + 1) * p;
	}
	t.mean = sum / TRIM;
	t.variance = square / TRIM - t.mean * t.mean;
	return t;
}

/* The mean of the whole whose trimmed mean is t. */
static double untrim(double t, double r)
{
	double lo = t, hi = 4 * t + 1;

	while (trimmed(hi, r).mean < t)
		hi *= 2;
	for (int i = 0; i < 40; i++) {
		double mid = (lo + hi) / 2;

		if (trimmed(mid, r).mean < t)
			lo = mid;
		else
			hi = mid;
	}
	return (lo + hi) / 2;
}

/* Mean and variance of what is kept of the counts, less the one that makes a source active. The
 * variance is an upper bound: MARGIN_SE standard errors above the estimate (variance of a sample
 * variance: (fourth central moment - variance^2) / n), so that few sources mean a heavy tail. */
static struct moments kept_moments(const uint32_t *counts, size_t n)
{
	size_t kept = (size_t)((double)n * TRIM) > 0 ? (size_t)((double)n * TRIM) : 1;
	double sum = 0, second = 0, fourth = 0;
	struct moments k;

	for (size_t i = 0; i < kept; i++)
		sum += counts[i] - 1.0;
	k.mean = sum / (double)kept;
	for (size_t i = 0; i < kept; i++) {
		double square = (counts[i] - 1.0 - k.mean) * (counts[i] - 1.0 - k.mean);

		second += square / (double)kept;
		fourth += square * square / (double)kept;
	}
	k.variance = second + MARGIN_SE * sqrt(fmax(fourth - second * second, 0) / (double)kept);
	return k;
}

/* counts sorted, each at least 1. Of the dispersions tried, the one under which the kept part would
 * have the variance it has, each with the mean that it needs for the kept part's mean. */
static struct null_model fit(const uint32_t *counts, size_t n)
{
	const struct moments kept = kept_moments(counts, n);
	struct null_model null = { .n = n, .r = R_MAX };
	double best = INFINITY;

	for (double r = R_MAX; r > R_MIN * 0.99; r *= R_STEP) {
		double mean = untrim(kept.mean, r);
		double off = fabs(trimmed(mean, r).variance - kept.variance);

		if (off < best) {
			best = off;
			null.r = r;
			null.mean = mean;
		}
	}
	/* half a connection at least: 30 sources that connect once each do not make twice rare */
	null.mean = fmax(null.mean, 0.5);
	return null;
}

/* How many of the sorted counts a null would not be surprised by. */
static size_t unsurprising(const uint32_t *counts, size_t n, const struct null_model *null)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (-fg_volume_nb_log_tail(counts[mid] - 1.0, null->mean, null->r) < OUTLIER_NATS)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* What is usual, without those who plainly are not: each fit is made on what the one before found
 * unsurprising. */
static struct null_model fit_usual(const uint32_t *counts, size_t n)
{
	struct null_model null = fit(counts, n);
	size_t usual = n, next;

	for (int i = 0; i < MAX_FITS; i++) {
		next = unsurprising(counts, usual, &null);
		if (next == usual || next < n / 2)
			break;
		usual = next;
		null = fit(counts, usual);
	}
	null.n = n;
	return null;
}

/* Sources with at least x, by binary search in the sorted counts. */
static size_t count_from(const uint32_t *counts, size_t n, uint32_t x)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (counts[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return n - lo;
}

/* How much a source does in the window. */
struct volume {
	uint32_t x, hosts;
	bool exchanges; /* x counts them, and not connections */
};

static struct volume volume_of(const struct fg_model *m, const struct fg_model_source *s)
{
	uint32_t connections = fg_model_window_proven(m, s);
	uint32_t exchanges = fg_model_window_exchanges(m, s);

	return (struct volume){ .x = exchanges > connections ? exchanges : connections,
				.exchanges = exchanges > connections };
}

/* A source that is known is judged by its own days as well, and what is less surprising counts. That
 * today's busiest window is above those of n days before has a chance of 1 / (n + 1), whatever their
 * distribution is (days are exchangeable: Renyi 1962 on records); k times as busy, under a tail
 * like a power law, k^-FG_OWN_TAIL of that. */
static double own_nats(const struct fg_model_source *s, uint32_t x)
{
	if (s->days < FG_OWN_DAYS || !s->peak)
		return INFINITY;
	return fmax(0, log(s->days + 1.0) + FG_OWN_TAIL * log((double)x / s->peak));
}

/* What more than FG_KNOWN_SHARE of those do who are known is no news of a newcomer either, whatever the
 * fitted tail says: real ones are heavier. Known are those with days of their own. */
static double known_nats(const struct known *known, uint32_t x)
{
	double share =
		(1.0 + (double)count_from(known->counts, known->n, x)) / (1.0 + (double)known->n);

	return known->n && share > FG_KNOWN_SHARE ? -log(share) : INFINITY;
}

static void write_evidence(struct fg_finding *f, const struct null_model *null,
			   const struct volume *v, size_t at_or_above, double nats,
			   unsigned int window_s)
{
	struct fg_evidence *e = &f->evidence[f->n_evidence++];

	e->family = FG_FAMILY_VOLUME;
	snprintf(e->name, sizeof(e->name), "%s_%us",
		 v->exchanges ? "exchanges" : "proven_connections", window_s);
	e->observed = v->x;
	e->expected = null->mean + 1;
	/* of the others: the source itself is one of at_or_above */
	e->base_rate = (double)at_or_above / (double)null->n;
	e->nats = nats;
	snprintf(e->text, sizeof(e->text),
		 "%u %s in %u s where active sources usually make %.1f, from at "
		 "least %u host%s; %zu of %zu active sources make so many.",
		 v->x, v->exchanges ? "exchanges" : "proven connections", window_s, e->expected,
		 v->hosts, v->hosts == 1 ? "" : "s", at_or_above, null->n);
	e->baseline_n = (double)null->n;
	e->capped = f->shared && nats >= FG_FAMILY_CAP_NATS;
	fg_evidence_benign(e, FG_BENIGN_crowd,
			   f->shared ? FG_CONSIDERED_OPEN : FG_CONSIDERED_UNLIKELY, v->hosts);
	fg_evidence_benign(e, FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	f->window_s = window_s;
	f->n_obs = v->x;
}

static void fill_source(const struct fg_model *m, const struct fg_model_source *s,
			const struct fg_shared *shared, struct fg_finding *f)
{
	const struct fg_model_client *busiest;
	const struct fg_model_print *print;

	memcpy(f->source, s->addr, sizeof(f->source));
	f->proven = s->proven > 0;
	f->shared = shared->shared;
	if (f->shared)
		snprintf(f->shared_why, sizeof(f->shared_why), "%s", shared->why);
	if (fg_model_clients_of(m, s->addr, &busiest, 1) == 1) {
		f->stem = busiest->stem;
		f->stack = busiest->stack;
		print = fg_model_print_of(m, busiest);
		f->print = print ? print->print : 0;
	}
}

/* The evidence of all families, volume first. */
static void add_evidence(const struct fg_scene *scene, const struct fg_model_source *s,
			 const struct null_model *null, const uint32_t *counts,
			 const struct volume *v, double nats, struct fg_finding *f)
{
	const struct fg_model_client *busiest;

	write_evidence(f, null, v, count_from(counts, null->n, v->x), nats,
		       (unsigned int)(fg_model_window_ns(scene->model) / 1000000000ULL));
	f->score = nats;
	if (fg_model_clients_of(scene->model, s->addr, &busiest, 1) != 1)
		return;
	f->n_evidence += fg_families_judge(scene, s, busiest, &f->evidence[1], FG_MAX_EVIDENCE - 1);
	f->score += fg_families_nats(&f->evidence[1], f->n_evidence - 1);
}

/* One source against the null; 0 or the answer of emit. */
static int judge(const struct fg_scene *scene, const struct fg_model_source *s,
		 const struct fg_detect_conf *conf, const struct null_model *null,
		 const uint32_t *counts, const struct known *known, fg_finding_fn emit, void *arg)
{
	const struct fg_model *m = scene->model;
	struct volume v = volume_of(m, s);
	struct fg_finding f = { 0 };
	struct fg_shared shared;
	double each, nats;

	if (v.x < conf->min_connections || v.x < FG_MIN_RATIO * (null->mean + 1))
		return 0;
	v.hosts = fg_model_estimated_hosts(m, s);
	each = (double)v.x / v.hosts;
	if (each < FG_MIN_RATIO * (null->mean + 1))
		return 0;
	nats = -fg_volume_nb_log_tail(floor(each) - 1, null->mean, null->r);
	nats = fmin(nats, fmin(own_nats(s, v.x), known_nats(known, v.x)));
	shared = fg_model_shared(m, s, conf->shared_stems);
	if (shared.shared)
		nats = fmin(nats, FG_FAMILY_CAP_NATS);
	if (nats + FG_OTHERS_CAP_NATS < conf->flag_nats)
		return 0;
	fill_source(m, s, &shared, &f);
	add_evidence(scene, s, null, counts, &v, nats, &f);
	f.alpha = exp(-conf->flag_nats);
	/* so many of the active sources come as far by chance (Benjamini and Hochberg 1995) */
	f.est_fdr = fmin(1, (double)null->n * exp(-f.score));
	return f.score < conf->flag_nats ? 0 : emit(&f, arg);
}

/* Fills all's and known's counts, sorted; a source without any does not count. @return how many, 0 where
 * nobody is loud enough to be judged: most seconds of a quiet service. */
static size_t count_sources(const struct fg_model *m, const uint32_t *places, size_t n,
			    const struct fg_detect_conf *conf, uint32_t *all, struct known *known)
{
	uint32_t most = 0;
	size_t active = 0;

	known->n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct fg_model_source *s = fg_model_source_at(m, places[i]);
		uint32_t x = volume_of(m, s).x;

		if (!x)
			continue;
		all[active++] = x;
		most = x > most ? x : most;
		if (s->days >= FG_OWN_DAYS)
			known->counts[known->n++] = x;
	}
	if (most < conf->min_connections)
		return 0;
	qsort(all, active, sizeof(*all), by_count);
	qsort(known->counts, known->n, sizeof(*known->counts), by_count);
	if (known->n < conf->min_population)
		known->n = 0;
	return active;
}

static int run(const struct fg_scene *scene, const struct fg_detect_conf *conf, fg_finding_fn emit,
	       void *arg)
{
	const struct fg_model *m = scene->model;
	const uint32_t *places;
	size_t n = fg_model_recent(m, &places), active;
	struct null_model null;
	struct known known;
	uint32_t *counts;
	int r = 0;

	if (n < conf->min_population)
		return 0;
	counts = malloc(2 * n * sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	known.counts = counts + n;
	active = count_sources(m, places, n, conf, counts, &known);
	if (active >= conf->min_population) {
		null = fit_usual(counts, active);
		for (size_t i = 0; i < n && !r; i++)
			r = judge(scene, fg_model_source_at(m, places[i]), conf, &null, counts,
				  &known, emit, arg);
	}
	free(counts);
	return r;
}

const struct fg_detector_ops fg_detect_volume = {
	.name = "volume",
	.run = run,
};
