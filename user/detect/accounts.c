/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/accounts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/communities.h"
#include "detect/replacement.h"
#include "detect/volume.h"
#include "lib/betabin.h"

#define MAX_NATS 700.0
/* Of the fit, as in detect/volume.c: begun with the lower three quarters; who is one in a thousand under
 * one fit is left out of the next; the mean is three standard errors above what was measured. */
#define TRIM	     0.75
#define OUTLIER_NATS 6.9
#define MAX_FITS     4
#define MARGIN_SE    3.0
/* Share of accounts that are joined to others: never taken for rarer, see FG_BASE_RATE_FLOOR. */
#define LEAST_SHARE FG_BASE_RATE_FLOOR
/* What is the same in all runs: shifts must not decide differently from minute to minute. */
#define SEED 0x6661726d67617465ULL
/* In a group of hand-over: a client of no community. */
#define SINGLE (1U << 31)

double fg_accounts_binomial_nats(double x, double n, double share)
{
	double sum = -INFINITY;

	if (x <= 0 || share >= 1)
		return 0;
	if (share <= 0)
		return MAX_NATS;
	for (double i = x; i <= n; i++) {
		double term = lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(share) +
			      (n - i) * log1p(-share);

		sum = fg_log_add(sum, term);
		/* beyond the mean terms only fall */
		if (i > n * share && term < sum - 40)
			break;
	}
	return fmin(fmax(-sum, 0), MAX_NATS);
}

double fg_accounts_excess_nats(uint32_t x, uint32_t n, double share)
{
	double here = (double)x / fmax(n, 1);

	if (here < FG_ACCOUNTS_SHARE || here * (1 - share) < FG_ACCOUNTS_ODDS * share * (1 - here))
		return 0;
	return fg_accounts_binomial_nats(x, n, share);
}

/* What one pass works with. */
struct pass {
	const struct fg_scene *scene;
	const struct fg_detect_conf *conf;
	struct fg_communities communities;
	struct fg_replacements replacements;
	uint32_t *young, *banned; /* accounts, by client */
	uint32_t *groups; /* by client: its community, or itself */
	struct kind {
		uint64_t stem;
		uint32_t client, each; /* young accounts for each host */
	} * kinds; /* of clients whose stem is known, by stem */
	size_t n_kinds;
	uint32_t *counts; /* of one population, sorted */
	fg_finding_fn emit;
	void *arg;
};

/* --- What clients have ------------------------------------------------------------------------- */

static void count_pairs(struct pass *p)
{
	const struct fg_accounts *a = p->scene->accounts;

	for (size_t i = 0; i < fg_accounts_n_pairs(a); i++) {
		const struct fg_account_pair *pair = fg_accounts_pair_at(a, i);
		const struct fg_account *account = fg_accounts_at(a, pair->account);

		p->young[pair->client] += fg_account_young(account);
		p->banned[pair->client] += account->banned_ns != 0;
	}
}

static uint32_t hosts_of(const struct fg_model *m, const uint8_t addr[16])
{
	const struct fg_model_source *s = fg_model_source_find(m, addr);

	return s ? fg_model_estimated_hosts(m, s) : 1;
}

static int by_stem(const void *a, const void *b)
{
	const struct kind *x = a, *y = b;

	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	return x->each < y->each ? -1 : x->each > y->each;
}

static void list_kinds(struct pass *p)
{
	const struct fg_accounts *a = p->scene->accounts;

	for (uint32_t i = 0; i < fg_accounts_n_clients(a); i++) {
		const struct fg_account_client *c = fg_accounts_client_at(a, i);
		uint32_t each = p->young[i];

		if (!c->stem)
			continue;
		/* estimating takes time, and a few are a family's however many hosts there are */
		if (each >= FG_ACCOUNTS_LEAST)
			each /= hosts_of(p->scene->model, c->addr);
		p->kinds[p->n_kinds++] = (struct kind){ c->stem, i, each };
	}
	qsort(p->kinds, p->n_kinds, sizeof(*p->kinds), by_stem);
}

/* --- What is usual ----------------------------------------------------------------------------- */

static double nats_of(double k, double mean)
{
	return -fg_volume_nb_log_tail(k, mean, FG_ACCOUNTS_DISPERSION);
}

static double mean_of(const uint32_t *counts, size_t n)
{
	double sum = 0, square = 0, mean;

	for (size_t i = 0; i < n; i++) {
		sum += counts[i];
		square += (double)counts[i] * counts[i];
	}
	mean = sum / (double)n;
	mean += MARGIN_SE * sqrt(fmax(square / (double)n - mean * mean, 0) / (double)n);
	return fmax(mean, FG_ACCOUNTS_MEAN);
}

/* counts sorted, n at least 2. */
static double usual_mean(const uint32_t *counts, size_t n)
{
	size_t kept = (size_t)((double)n * TRIM), next;
	double mean = mean_of(counts, kept ? kept : 1);

	for (int i = 0; i < MAX_FITS; i++) {
		for (next = n; next > kept && nats_of(counts[next - 1], mean) > OUTLIER_NATS;)
			next--;
		if (next == kept)
			break;
		kept = next;
		mean = mean_of(counts, kept);
	}
	return mean;
}

/* --- Evidence ---------------------------------------------------------------------------------- */

static double share_of(uint32_t x, uint32_t n)
{
	return ((double)x + 1) / ((double)n + 1);
}

static struct fg_evidence *add(struct fg_finding *f, enum fg_family family, const char *name,
			       double observed, double expected, double base_rate, double nats)
{
	struct fg_evidence *e = &f->evidence[f->n_evidence++];

	*e = (struct fg_evidence){ .family = family,
				   .observed = observed,
				   .expected = expected,
				   .base_rate = base_rate,
				   .nats = nats };
	snprintf(e->name, sizeof(e->name), "%s", name);
	f->score += nats;
	return e;
}

/* Accounts of a finding, of which so many are banned or, where that is asked, young. */
struct told {
	uint32_t group; /* of replacements */
	uint32_t n, banned, known, young;
};

/* What is said of the accounts themselves: the strongest. */
static void add_lifecycle(const struct pass *p, struct fg_finding *f, const struct told *told)
{
	const struct fg_communities *c = &p->communities;
	const struct fg_replacement *h = fg_replacements_of(&p->replacements, f->stem, told->group);
	double young_share = share_of(c->others_young, c->others_known);
	double banned_share = share_of(c->others_banned, c->others);
	double young = fg_accounts_excess_nats(told->young, told->known, young_share);
	double banned = fg_accounts_excess_nats(told->banned, told->n, banned_share);
	double replaced = h ? -log(h->p) : 0, most = fmax(young, fmax(banned, replaced));
	double nats = fmin(most, FG_FAMILY_CAP_NATS);
	struct fg_evidence *e;

	if (most <= 0)
		return;
	if (most == banned) {
		e = add(f, FG_FAMILY_LIFECYCLE, "accounts_banned", told->banned,
			told->n * banned_share, banned_share, nats);
		snprintf(e->text, sizeof(e->text),
			 "%u of its %u accounts were banned within a day, of all others %.2g %%.",
			 told->banned, told->n, 100 * banned_share);
		e->baseline_n = c->others;
		fg_evidence_benign(e, FG_BENIGN_one_owner, FG_CONSIDERED_OPEN, NAN);
	} else if (most == young) {
		e = add(f, FG_FAMILY_LIFECYCLE, "accounts_young", told->young,
			told->known * young_share, young_share, nats);
		snprintf(e->text, sizeof(e->text),
			 "%u of its %u accounts of known age were made within a week, of all "
			 "others %.2g %%.",
			 told->young, told->known, 100 * young_share);
		e->baseline_n = c->others_known;
		fg_evidence_benign(e, FG_BENIGN_newcomers, FG_CONSIDERED_OPEN, NAN);
	} else {
		e = add(f, FG_FAMILY_LIFECYCLE, "banned_replaced", h->newcomers, h->expected, h->p,
			nats);
		snprintf(e->text, sizeof(e->text),
			 "%u new accounts came here within 15 minutes after %u bans of this kind "
			 "of client elsewhere; by chance %.1f would.",
			 h->newcomers, h->bans, h->expected);
		e->baseline_n = FG_REPLACEMENT_ROUNDS;
		fg_evidence_benign(e, FG_BENIGN_sign_up_hours, FG_CONSIDERED_OPEN, NAN);
	}
}

static void fill(const struct pass *p, const struct fg_account_client *c, uint32_t id,
		 struct fg_finding *f)
{
	const struct fg_model *m = p->scene->model;
	const struct fg_model_source *source = fg_model_source_find(m, c->addr);
	const struct fg_model_client *client = fg_model_client_find(m, c->addr, c->stem, c->stack);
	const struct fg_model_print *print = client ? fg_model_print_of(m, client) : NULL;
	struct fg_shared shared;

	*f = (struct fg_finding){ .stem = c->stem,
				  .stack = c->stack,
				  .print = print ? print->print : 0,
				  .proven = client || (source && source->proven),
				  .cohort = id };
	memcpy(f->source, c->addr, sizeof(f->source));
	if (source) {
		shared = fg_model_shared(m, source, p->conf->shared_stems);
		f->shared = shared.shared;
		snprintf(f->shared_why, sizeof(f->shared_why), "%s", shared.why);
	}
	f->no_enforce = !c->stem || !p->scene->networks;
	if (f->no_enforce)
		snprintf(f->no_enforce_why, sizeof(f->no_enforce_why), "%s",
			 c->stem ? "without asn.file networks are told by their prefix only" :
				   "it is not known which client behind the source it was");
}

/* --- Many accounts on one client --------------------------------------------------------------- */

static int judge_client(const struct pass *p, const struct kind *k, double mean, size_t at_or_above,
			size_t n)
{
	const struct fg_accounts *a = p->scene->accounts;
	const struct fg_account_client *c = fg_accounts_client_at(a, k->client);
	const struct told told = { .group = p->groups[k->client],
				   .n = c->accounts,
				   .banned = p->banned[k->client] };
	double nats = fmin(nats_of(k->each, mean), FG_ACCOUNTS_CAP_NATS);
	uint64_t key = c->stem ^ c->stack * 0x9e3779b97f4a7c15ULL;
	struct fg_finding f;
	struct fg_evidence *e;
	uint64_t words[2];

	memcpy(words, c->addr, sizeof(words));
	key = (key ^ words[0] ^ words[1]) * 0x9e3779b97f4a7c15ULL;
	fill(p, c, FG_COMMUNITY | (uint32_t)(key >> 33), &f);
	if (f.shared)
		nats = fmin(nats, FG_FAMILY_CAP_NATS);
	if (nats + FG_FAMILY_CAP_NATS < p->conf->flag_nats)
		return 0;
	e = add(&f, FG_FAMILY_VOLUME, "young_accounts", p->young[k->client], mean,
		(double)at_or_above / (double)n, nats);
	snprintf(e->text, sizeof(e->text),
		 "%u accounts made within a week on this one client within a day, %u for each host "
		 "that seems to be behind it, where clients of its kind have %.1f; %zu of %zu "
		 "clients have as many.",
		 p->young[k->client], k->each, mean, at_or_above, n);
	e->baseline_n = (double)n;
	fg_evidence_benign(e, FG_BENIGN_newcomers, FG_CONSIDERED_OPEN, NAN);
	add_lifecycle(p, &f, &told);
	return f.score < p->conf->flag_nats ? 0 : p->emit(&f, p->arg);
}

static int by_count(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Those of one stem against population, n of p->counts. A community's clients are told with it. */
static int judge_kinds(const struct pass *p, const struct kind *kinds, size_t n_kinds, size_t n)
{
	double mean;
	int r = 0;

	if (n < p->conf->min_population || n < 2)
		return 0;
	mean = usual_mean(p->counts, n);
	for (size_t i = n_kinds, from = n; i-- > 0 && !r;) {
		if (kinds[i].each < FG_ACCOUNTS_LEAST)
			break;
		while (from && p->counts[from - 1] >= kinds[i].each)
			from--;
		if (p->communities.of_client[kinds[i].client] == FG_NO_COMMUNITY)
			r = judge_client(p, &kinds[i], mean, n - from, n);
	}
	return r;
}

/* Clients are compared with their own kind where that is a population, else with all. */
static int judge_clients(struct pass *p)
{
	int r = 0;

	for (size_t i = 0, end; i < p->n_kinds && !r; i = end) {
		size_t n;

		for (end = i; end < p->n_kinds && p->kinds[end].stem == p->kinds[i].stem;)
			end++;
		if (p->kinds[end - 1].each < FG_ACCOUNTS_LEAST)
			continue;
		n = end - i;
		if (n >= p->conf->min_population) {
			for (size_t k = 0; k < n; k++)
				p->counts[k] = p->kinds[i + k].each;
		} else {
			n = p->n_kinds;
			for (size_t k = 0; k < n; k++)
				p->counts[k] = p->kinds[k].each;
			qsort(p->counts, n, sizeof(*p->counts), by_count);
		}
		r = judge_kinds(p, &p->kinds[i], end - i, n);
	}
	return r;
}

/* --- Communities ------------------------------------------------------------------------------- */

static void add_community(const struct pass *p, const struct fg_community *c, struct fg_finding *f)
{
	const struct fg_communities *all = &p->communities;
	double share = fmax(share_of(all->others_joined, all->others), LEAST_SHARE);
	double nats = c->accounts * fmax(log(FG_TRAIT_IN_FARMS / share), 0);
	struct fg_evidence *e = add(f, FG_FAMILY_VOLUME, "accounts_together", c->accounts,
				    c->accounts * share, share, fmin(nats, FG_ACCOUNTS_CAP_NATS));

	snprintf(e->text, sizeof(e->text),
		 "its accounts are of a community of %u that within a day turned up together on %u "
		 "clients in %u networks, each pair in %d or more; of all other accounts %.2g %% "
		 "share as much with anybody.",
		 c->accounts, c->clients, c->networks, FG_COMMUNITY_NETWORKS, 100 * share);
	e->baseline_n = all->others;
	fg_evidence_benign(e, FG_BENIGN_household, FG_CONSIDERED_REFUTED, c->networks);
	fg_evidence_benign(e, FG_BENIGN_fleet, FG_CONSIDERED_OPEN, NAN);
}

static int judge_member(const struct pass *p, uint32_t client)
{
	const struct fg_community *of = &p->communities.list[p->communities.of_client[client]];
	const struct told told = { p->groups[client], of->accounts, of->banned, of->known,
				   of->young };
	struct fg_finding f;

	fill(p, fg_accounts_client_at(p->scene->accounts, client), of->id, &f);
	add_community(p, of, &f);
	add_lifecycle(p, &f, &told);
	return f.score < p->conf->flag_nats ? 0 : p->emit(&f, p->arg);
}

static int judge_communities(const struct pass *p)
{
	size_t n = fg_accounts_n_clients(p->scene->accounts);
	int r = 0;

	if (p->communities.others < p->conf->min_population)
		return 0;
	for (uint32_t i = 0; i < n && !r; i++)
		if (p->communities.of_client[i] != FG_NO_COMMUNITY)
			r = judge_member(p, i);
	return r;
}

/* --- All of it --------------------------------------------------------------------------------- */

static int open_pass(struct pass *p)
{
	size_t n = fg_accounts_n_clients(p->scene->accounts);
	int r;

	p->young = calloc(n + 1, sizeof(*p->young));
	p->banned = calloc(n + 1, sizeof(*p->banned));
	p->groups = calloc(n + 1, sizeof(*p->groups));
	p->kinds = calloc(n + 1, sizeof(*p->kinds));
	p->counts = calloc(n + 1, sizeof(*p->counts));
	if (!p->young || !p->banned || !p->groups || !p->kinds || !p->counts)
		return -ENOMEM;
	r = fg_communities_find(p->scene, p->conf, &p->communities);
	for (uint32_t i = 0; !r && i < n; i++)
		p->groups[i] = p->communities.of_client[i] == FG_NO_COMMUNITY ?
				       SINGLE | i :
				       p->communities.of_client[i];
	return r ? r : fg_replacements_find(p->scene->accounts, p->groups, SEED, &p->replacements);
}

static void close_pass(struct pass *p)
{
	fg_communities_done(&p->communities);
	fg_replacements_done(&p->replacements);
	free(p->young);
	free(p->banned);
	free(p->groups);
	free(p->kinds);
	free(p->counts);
}

static int run(const struct fg_scene *scene, const struct fg_detect_conf *conf, fg_finding_fn emit,
	       void *arg)
{
	struct pass p = { .scene = scene, .conf = conf, .emit = emit, .arg = arg };
	int r;

	if (!scene->accounts || !fg_accounts_due(scene->accounts) ||
	    !fg_accounts_n_pairs(scene->accounts))
		return 0;
	r = open_pass(&p);
	if (!r) {
		count_pairs(&p);
		list_kinds(&p);
		r = judge_communities(&p);
	}
	if (!r)
		r = judge_clients(&p);
	close_pass(&p);
	return r;
}

const struct fg_detector_ops fg_detect_accounts = {
	.name = "accounts",
	.run = run,
};
