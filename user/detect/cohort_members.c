/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of members: who came in, who fades, and what is told of them. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/clock.h"
#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "lib/ip.h"

#define INDEX_SIZE   (1U << 18) /* twice FG_MAX_MEMBERS and more */
#define MAX_NETWORKS 65536

/* --- The table -------------------------------------------------------------------------------- */

static uint32_t slot_of(const uint8_t addr[16], uint64_t stem, uint64_t stack)
{
	uint64_t h = fg_client_hash(addr, stem, stack);

	return (uint32_t)(h ^ h >> 32) & (INDEX_SIZE - 1);
}

static bool is_of(const struct fg_member *m, const uint8_t addr[16], uint64_t stem, uint64_t stack)
{
	return m->stem == stem && m->stack == stack && !memcmp(m->addr, addr, 16);
}

struct fg_member *fg_member_find(const struct fg_cohorts *c, const uint8_t addr[16], uint64_t stem,
				 uint64_t stack)
{
	uint32_t i = slot_of(addr, stem, stack);

	if (!c->n_members)
		return NULL;
	for (; c->member_index[i]; i = (i + 1) & (INDEX_SIZE - 1))
		if (is_of(&c->members[c->member_index[i] - 1], addr, stem, stack))
			return &c->members[c->member_index[i] - 1];
	return NULL;
}

static void index_member(struct fg_cohorts *c, uint32_t at)
{
	const struct fg_member *m = &c->members[at];
	uint32_t i = slot_of(m->addr, m->stem, m->stack);

	while (c->member_index[i])
		i = (i + 1) & (INDEX_SIZE - 1);
	c->member_index[i] = at + 1;
}

int fg_members_reindex(struct fg_cohorts *c)
{
	if (!c->member_index)
		c->member_index = calloc(INDEX_SIZE, sizeof(*c->member_index));
	if (!c->member_index)
		return -ENOMEM;
	memset(c->member_index, 0, INDEX_SIZE * sizeof(*c->member_index));
	for (uint32_t i = 0; i < c->n_members; i++)
		index_member(c, i);
	return 0;
}

static struct fg_member *add_member(struct fg_cohorts *c, const struct fg_model_client *client,
				    int *error)
{
	struct fg_member *m;

	if (c->n_members == FG_MAX_MEMBERS) {
		c->state.refused++;
		return NULL;
	}
	if (!c->member_index)
		c->member_index = calloc(INDEX_SIZE, sizeof(*c->member_index));
	if (c->n_members == c->cap_members) {
		uint32_t cap = c->cap_members ? c->cap_members * 2 : 1024;

		cap = cap < FG_MAX_MEMBERS ? cap : FG_MAX_MEMBERS;
		m = realloc(c->members, cap * sizeof(*m));
		if (m) {
			c->members = m;
			c->cap_members = cap;
		}
	}
	if (!c->member_index || c->n_members == c->cap_members) {
		*error = -ENOMEM;
		return NULL;
	}
	m = &c->members[c->n_members++];
	memset(m, 0, sizeof(*m));
	memcpy(m->addr, client->addr, 16);
	m->stem = client->stem;
	m->stack = client->stack;
	m->exchanges = client->exchanges;
	index_member(c, c->n_members - 1);
	return m;
}

static bool stays(struct fg_member *m, uint16_t day)
{
	if (day > m->day) {
		m->weight *= (float)pow(FG_MEMBER_DECAY, day - m->day);
		m->day = day;
	}
	return m->weight >= FG_MEMBER_LEAST;
}

void fg_members_fade(struct fg_cohorts *c, uint32_t day)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->n_members; i++) {
		if (!stays(&c->members[i], (uint16_t)day))
			continue;
		if (kept != i)
			c->members[kept] = c->members[i];
		kept++;
	}
	if (kept == c->n_members)
		return;
	c->n_members = kept;
	fg_members_reindex(c);
}

/* --- Who comes in ----------------------------------------------------------------------------- */

int fg_cohort_suspects(struct fg_cohorts *c, enum fg_cell_kind kind, uint16_t place, size_t *ret_n)
{
	size_t n = 0;

	if (c->cap_suspects < c->n_active) {
		struct fg_suspect *larger =
			realloc(c->suspects, c->n_active * sizeof(*c->suspects));

		if (!larger)
			return -ENOMEM;
		c->suspects = larger;
		c->cap_suspects = c->n_active;
	}
	for (size_t i = 0; i < c->n_active; i++)
		if (c->active[i].cells[kind] == place)
			c->suspects[n++] = (struct fg_suspect){ .traits = &c->active[i].traits,
								.half = c->active[i].half,
								.clock = FG_BIN_UNKNOWN };
	*ret_n = n;
	return 0;
}

static int by_odds(const void *a, const void *b)
{
	const struct fg_suspect *x = a, *y = b;

	return x->log_odds < y->log_odds ? 1 : x->log_odds > y->log_odds ? -1 : 0;
}

/* False blocks that may still be expected today: the budget is a rate over legitimate sources. */
static bool within_budget(struct fg_cohorts *c, const struct fg_detect_conf *conf, double lfdr)
{
	double may = conf->enforce_per_million * (double)c->state.legit_sources / 1e6;

	if (c->state.enforce_expected_false + lfdr > may)
		return false;
	c->state.enforce_expected_false += lfdr;
	return true;
}

double fg_member_score(const struct fg_member *m)
{
	double looks = 0;

	for (int f = 0; f < _FG_FAMILY_MAX; f++)
		looks += m->nats[f];
	return m->log_odds + fmin(looks, 0);
}

double fg_member_est_fdr(const struct fg_member *m)
{
	return 1 / (1 + exp(fg_member_score(m)));
}

static void look(struct fg_member *m, const struct fg_suspect *s, uint32_t hour)
{
	const struct fg_traits *t = s->traits;

	m->looked = (uint8_t)hour;
	m->looks += m->looks < UINT8_MAX;
	for (int f = 0; f < _FG_FAMILY_MAX; f++)
		m->nats[f] += (s->nats[f] - m->nats[f]) / m->looks;
	m->turns_bin = t->bins[FG_HIST_TURNS];
	m->shape_bin = t->bins[FG_HIST_SHAPE];
	m->stack_bin = t->bins[FG_HIST_STACK];
	m->age_days = t->age_days;
	m->relayed = t->yes >> FG_SHARE_RELAYED & 1;
	m->clock = s->clock;
}

bool fg_cohort_marks(const struct fg_cohort *cohort, const struct fg_model *model,
		     const struct fg_traits *t)
{
	uint64_t first_ns;

	if (!cohort->machines)
		return t->yes >> FG_SHARE_RELAYED & 1;
	first_ns = fg_model_source_first_ns(model, fg_model_client_at(model, t->place));
	return first_ns + FG_NEW_DAYS * FG_DAY_NS > cohort->first_ns &&
	       first_ns >= fg_model_began_ns(model) + FG_DAY_NS;
}

static bool qualifies(const struct fg_suspect *s)
{
	return s->marked && s->traits->measured >= FG_MEMBER_MEASURED &&
	       fg_member_lfdr(s) <= FG_MEMBER_LFDR;
}

static struct fg_member *member_of(const struct fg_cohorts *c, const struct fg_model *model,
				   const struct fg_suspect *s)
{
	const struct fg_model_client *client = fg_model_client_at(model, s->traits->place);

	return fg_member_find(c, client->addr, client->stem, client->stack);
}

/* One farm shows in many cells. The cohort that most of these are members of already; 0 = none. */
static uint32_t owner_of(const struct fg_cohorts *c, const struct fg_model *model,
			 const struct fg_cohort *cohort, size_t n)
{
	size_t qualified = 0, others = 0;
	uint32_t owner = 0;

	for (size_t i = 0; i < n; i++) {
		const struct fg_member *m;

		if (!qualifies(&c->suspects[i]))
			continue;
		qualified++;
		m = member_of(c, model, &c->suspects[i]);
		if (!m || m->cohort == cohort->id || !fg_cohorts_find(c, m->cohort))
			continue;
		others++;
		owner = m->cohort;
	}
	return others * 2 > qualified ? owner : 0;
}

static void confirm(struct fg_cohorts *c, struct fg_member *m)
{
	m->weight = 1;
	m->day = (uint16_t)(c->hour / 24);
	if (!m->may_enforce)
		m->may_enforce = fg_cells_days(c->cells, fg_cells_all(c->cells)) >=
					 c->conf->enforce_days &&
				 within_budget(c, c->conf, fg_member_est_fdr(m));
}

static int admit(struct fg_cohorts *c, const struct fg_model *model, uint32_t cohort,
		 const struct fg_suspect *s)
{
	int error = 0;
	struct fg_member *m = add_member(c, fg_model_client_at(model, s->traits->place), &error);

	if (!m)
		return error;
	m->cohort = cohort;
	m->first_ns = fg_model_now_ns(model);
	m->log_odds = s->log_odds;
	look(m, s, c->hour);
	c->state.alert_expected_false += fg_member_est_fdr(m);
	/* it was taken for one of the legitimate until now */
	c->day_sources -= c->day_sources > 0;
	confirm(c, m);
	return 0;
}

/* A member is looked at once an hour, in the first of its cohort's cells. */
static int claim(struct fg_cohorts *c, const struct fg_model *model, const struct fg_cohort *cohort,
		 const struct fg_suspect *s)
{
	uint32_t id = cohort->part_of ? cohort->part_of : cohort->id;
	struct fg_member *m = member_of(c, model, s);

	if (!m)
		return qualifies(s) ? admit(c, model, id, s) : 0;
	if (m->looked == (uint8_t)c->hour || (m->cohort != id && fg_cohorts_find(c, m->cohort)))
		return 0;
	look(m, s, c->hour);
	if (qualifies(s)) {
		m->cohort = id;
		confirm(c, m);
	}
	return 0;
}

int fg_cohort_find_members(struct fg_cohorts *c, const struct fg_model *model,
			   struct fg_cohort *cohort, uint16_t place)
{
	struct fg_mixture mixture;
	size_t n;
	int r = fg_cohort_suspects(c, cohort->key.kind, place, &n);

	if (r || !n)
		return r;
	for (size_t i = 0; i < n; i++) {
		c->suspects[i].member = member_of(c, model, &c->suspects[i]) != NULL;
		c->suspects[i].marked = fg_cohort_marks(cohort, model, c->suspects[i].traits);
	}
	fg_clock_vote(model, c->suspects, n, &cohort->clock);
	fg_members_fit(c->cells, fg_cells_at(c->cells, cohort->key.kind, place), c->suspects, n,
		       cohort->excess, !cohort->machines, cohort->clock.usual, &mixture);
	cohort->excess = mixture.share * (double)n;
	/* the surest of this hour first: the budget of false blocks goes as far as it can */
	qsort(c->suspects, n, sizeof(*c->suspects), by_odds);
	cohort->part_of = owner_of(c, model, cohort, n);
	for (size_t i = 0; i < n && !r; i++)
		r = claim(c, model, cohort, &c->suspects[i]);
	return r;
}

/* --- Sums ------------------------------------------------------------------------------------- */

static const struct fg_model_client *client_of(const struct fg_model *model,
					       const struct fg_member *m)
{
	return fg_model_client_find(model, m->addr, m->stem, m->stack);
}

/* The first bits of addresses, told apart by a bit each: some collide in a crowd of tens of thousands,
 * and the number is then too low. */
static void count_networks(struct fg_cohorts *c, struct fg_cohort *cohort, uint8_t *seen)
{
	cohort->networks = 0;
	memset(seen, 0, MAX_NETWORKS / 8);
	for (uint32_t i = 0; i < c->n_members; i++) {
		const uint8_t *a = c->members[i].addr;
		unsigned int net = fg_ip_is4(a) ? (unsigned int)a[12] << 8 | a[13] :
						  ((unsigned int)a[0] << 8 | a[1]) ^
							  ((unsigned int)a[2] << 8 | a[3]);

		if (c->members[i].cohort != cohort->id || seen[net / 8] >> net % 8 & 1)
			continue;
		seen[net / 8] |= (uint8_t)(1U << net % 8);
		cohort->networks++;
	}
}

void fg_members_count(struct fg_cohorts *c, const struct fg_model *model)
{
	uint8_t *seen = malloc(MAX_NETWORKS / 8);

	for (size_t k = 0; k < c->n; k++) {
		c->list[k].members = 0;
		c->list[k].expected_false = 0;
		c->list[k].exchanges = 0;
	}
	for (uint32_t i = 0; i < c->n_members; i++) {
		const struct fg_member *m = &c->members[i];
		struct fg_cohort *cohort = (struct fg_cohort *)fg_cohorts_find(c, m->cohort);
		const struct fg_model_client *client = client_of(model, m);

		if (!cohort)
			continue;
		cohort->members++;
		cohort->expected_false += fg_member_est_fdr(m);
		if (client && client->exchanges > m->exchanges)
			cohort->exchanges += client->exchanges - m->exchanges;
	}
	for (size_t k = 0; seen && k < c->n; k++)
		count_networks(c, &c->list[k], seen);
	free(seen);
}

size_t fg_cohorts_n_members(const struct fg_cohorts *c)
{
	return c->n_members;
}

const struct fg_member *fg_cohorts_member_at(const struct fg_cohorts *c, size_t i)
{
	return &c->members[i];
}
