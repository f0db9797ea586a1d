/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * store ─► entries by source ─► who is there ─► guards of each ─► guards of its neighbours ─►
 *	 caps of networks ─► addresses whose others are too many ─► caps of all ─► report
 * Must not write, and must not let anything leave that a step before has held.
 */
#include "export/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/prefixes.h"

/* Verdicts on one source that are looked at together: each is held against each client. Of a source with
 * more nothing is known, so that its clients leave and its address does not. */
#define MAX_GROUP   64
#define NS_PER_HOUR 3.6e12

struct making {
	const struct fg_plan_input *in;
	struct fg_plan *plan;
	struct fg_prefixes *allow; /* the store's own list: asked 100,000 times */
	size_t before; /* place in the plan before, which has the same order */
};

/* --- Entries ---------------------------------------------------------------------------------- */

static int by_source(const void *a, const void *b)
{
	const struct fg_plan_entry *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->bits != y->bits)
		return (int)x->bits - (int)y->bits;
	return x->id < y->id ? -1 : x->id > y->id;
}

static bool same_prefix(const struct fg_plan_entry *a, const struct fg_plan_entry *b)
{
	return a->bits == b->bits && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

static void fill(const struct fg_verdict *v, uint32_t place, uint64_t now_ns,
		 struct fg_plan_entry *e)
{
	memcpy(e->addr, v->addr, sizeof(e->addr));
	e->id = v->id;
	e->bits = v->bits;
	e->stem = v->stem;
	e->by_operator = v->origin == FG_ORIGIN_OPERATOR;
	e->place = place;
	e->cohort = v->cohort;
	e->until_ns = v->until_ns;
	e->est_fdr = v->est_fdr;
	e->first_ns = now_ns;
	e->guarded.scope = fg_scope_of(v);
}

static int collect(struct making *m)
{
	const struct fg_plan_input *in = m->in;
	size_t n = fg_store_n(in->store);

	m->plan->entries = calloc(n + 1, sizeof(*m->plan->entries));
	if (!m->plan->entries)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct fg_verdict *v = fg_store_at(in->store, i);

		if (v->tier >= in->min_tier && v->until_ns > in->now_ns)
			fill(v, (uint32_t)i, in->now_ns, &m->plan->entries[m->plan->n++]);
	}
	qsort(m->plan->entries, m->plan->n, sizeof(*m->plan->entries), by_source);
	return 0;
}

static int index_allow(struct making *m)
{
	const struct fg_store *s = m->in->store;
	int r = fg_prefixes_new(&m->allow);

	for (size_t i = 0; !r && i < fg_store_n_allow(s); i++) {
		const struct fg_allow *a = fg_store_allow_at(s, i);

		if (!a->until_ns || a->until_ns > m->in->now_ns)
			r = fg_prefixes_add(m->allow, a->addr, a->bits, 0);
	}
	if (!r)
		fg_prefixes_seal(m->allow);
	return r;
}

/* --- Who is there ------------------------------------------------------------------------------- */

/* What the plan before knew of this group, where it is the same one; its place moves on. */
static const struct fg_plan_entry *group_before(struct making *m, const struct fg_plan_entry *group,
						size_t n)
{
	const struct fg_plan *before = m->in->before;
	const struct fg_plan_entry *old;

	if (!before)
		return NULL;
	while (m->before < before->n && by_source(&before->entries[m->before], group) < 0)
		m->before++;
	old = &before->entries[m->before];
	if (before->n - m->before < n)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (old[i].id != group[i].id || !same_prefix(&old[i], &group[i]))
			return NULL;
	/* one more on the source is another group */
	if (before->n - m->before > n && same_prefix(&old[n], group))
		return NULL;
	return old;
}

/* What is known of one verdict from the plan before, wherever its group is. */
static void remember(struct making *m, struct fg_plan_entry *e)
{
	const struct fg_plan *before = m->in->before;
	const struct fg_plan_entry *old =
		before ? bsearch(e, before->entries, before->n, sizeof(*e), by_source) : NULL;

	if (!old) {
		e->activity_first = e->activity;
		return;
	}
	e->first_ns = old->first_ns;
	/* a row that was made anew counts from the beginning */
	e->activity_first = old->activity_first < e->activity ? old->activity_first : e->activity;
	e->network = old->network;
	/* its row gave way, which is no news about who else is there */
	if (!e->guarded.collateral.known && old->guarded.collateral.known)
		e->guarded.collateral = old->guarded.collateral;
}

static void ask_witness(struct making *m, struct fg_plan_entry *group, size_t n)
{
	const struct fg_witness *w = m->in->witness;
	const struct fg_verdict *verdicts[MAX_GROUP] = { NULL };
	struct fg_collateral who[MAX_GROUP];
	uint64_t activity[MAX_GROUP] = { 0 };

	memset(who, 0, n * sizeof(who[0]));
	for (size_t i = 0; i < n; i++)
		verdicts[i] = fg_store_at(m->in->store, group[i].place);
	if (w)
		w->look(w->arg, verdicts, n, who, activity);
	for (size_t i = 0; i < n; i++) {
		group[i].guarded.collateral = who[i];
		group[i].activity = activity[i];
		group[i].looked_ns = m->in->now_ns;
		group[i].looked = true;
		remember(m, &group[i]);
		if (w && !group[i].by_operator && !group[i].network)
			group[i].network = w->network(w->arg, group[i].addr);
	}
}

/* Two clocks may be a little apart, and one may be set back. */
static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static void look(struct making *m, struct fg_plan_entry *group, size_t n)
{
	const struct fg_plan_entry *old;

	if (n > MAX_GROUP) {
		for (size_t i = 0; m->in->witness && i < n; i++)
			group[i].network =
				m->in->witness->network(m->in->witness->arg, group[i].addr);
		return;
	}
	old = group_before(m, group, n);
	if (!old || !old->looked || apart(m->in->now_ns, old->looked_ns) >= FG_PLAN_LOOK_NS) {
		ask_witness(m, group, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		group[i].guarded.collateral = old[i].guarded.collateral;
		group[i].activity = old[i].activity;
		group[i].activity_first = old[i].activity_first;
		group[i].looked_ns = old[i].looked_ns;
		group[i].looked = true;
		group[i].first_ns = old[i].first_ns;
		group[i].network = old[i].network;
	}
}

/* --- Guards ------------------------------------------------------------------------------------- */

static bool is_allowed(const struct making *m, const struct fg_plan_entry *e)
{
	char reason[160];

	return fg_prefixes_meet(m->allow, e->addr, e->bits, NULL) ||
	       fg_store_extra_allows(m->in->store, e->addr, e->bits, reason);
}

static void judge(const struct making *m, struct fg_plan_entry *e, bool allowed)
{
	const struct fg_guard_case c = {
		.verdict = fg_store_at(m->in->store, e->place),
		.collateral = &e->guarded.collateral,
		.allowed = allowed,
		.allow_unread = m->in->allow_unread,
		.draw = fg_guard_draw(m->in->seed, e->addr, e->stem),
	};

	e->guarded.held = fg_guard_block(&c, m->in->conf);
	e->guarded.address_held = fg_guard_address(&c, m->in->conf);
}

/* A bare address hits all of a source: what holds one of the verdicts on it from being acted on holds
 * the address for all. */
static void spread(struct fg_plan_entry *group, size_t n)
{
	enum fg_guard first = FG_GUARD_none;

	for (size_t i = 0; i < n; i++) {
		enum fg_guard g = group[i].guarded.address_held;

		if (!group[i].by_operator && g != FG_GUARD_none &&
		    (first == FG_GUARD_none || g < first))
			first = g;
	}
	for (size_t i = 0; i < n; i++) {
		struct fg_guarded *g = &group[i].guarded;

		if (group[i].by_operator || g->address_held != FG_GUARD_none)
			continue;
		g->address_held = first;
		if (g->scope != FG_SCOPE_CLIENT)
			g->held = first;
	}
}

static void judge_groups(struct making *m)
{
	struct fg_plan_entry *entries = m->plan->entries;
	size_t n;

	for (size_t i = 0; i < m->plan->n; i += n) {
		bool allowed = is_allowed(m, &entries[i]);

		for (n = 1; i + n < m->plan->n && same_prefix(&entries[i], &entries[i + n]);)
			n++;
		if (entries[i].guarded.scope != FG_SCOPE_PREFIX)
			look(m, &entries[i], n);
		for (size_t k = 0; k < n; k++)
			judge(m, &entries[i + k], allowed);
		spread(&entries[i], n);
	}
}

static void hold(struct fg_plan_entry *e, enum fg_guard guard)
{
	if (e->guarded.held == FG_GUARD_none)
		e->guarded.held = guard;
	if (e->guarded.address_held == FG_GUARD_none)
		e->guarded.address_held = guard;
}

/* --- Caps --------------------------------------------------------------------------------------- */

static bool counts(const struct fg_plan_entry *e)
{
	return !e->by_operator && fg_plan_leaves(e);
}

static int by_key(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_in(const uint64_t *keys, size_t n, uint64_t key)
{
	return n && bsearch(&key, keys, n, sizeof(key), by_key);
}

/* Which networks are above their cap, by key; the largest is named. */
static void find_networks(struct making *m, const uint64_t *keys, size_t n)
{
	const struct fg_plan *before = m->in->before;
	struct fg_plan *p = m->plan;
	size_t run, most = 0;

	for (size_t i = 0; i < n; i += run) {
		bool held = before && is_in(before->networks, before->n_networks, keys[i]);

		for (run = 1; i + run < n && keys[i + run] == keys[i];)
			run++;
		if (!fg_guard_network_held(run, held, m->in->conf))
			continue;
		p->networks[p->n_networks++] = keys[i];
		if (run > most) {
			most = run;
			m->in->witness->network_name(m->in->witness->arg, keys[i],
						     p->report.network);
		}
	}
	p->report.networks_held = p->n_networks;
}

static int cap_networks(struct making *m)
{
	struct fg_plan *p = m->plan;
	_cleanup_free_ uint64_t *keys = calloc(p->n + 1, sizeof(*keys));
	size_t n = 0;

	p->networks = calloc(p->n + 1, sizeof(*p->networks));
	if (!keys || !p->networks)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++)
		if (counts(&p->entries[i]))
			keys[n++] = p->entries[i].network;
	qsort(keys, n, sizeof(*keys), by_key);
	find_networks(m, keys, n);
	for (size_t i = 0; p->n_networks && i < p->n; i++)
		if (counts(&p->entries[i]) &&
		    is_in(p->networks, p->n_networks, p->entries[i].network))
			hold(&p->entries[i], FG_GUARD_max_blocks_network);
	return 0;
}

struct address {
	uint64_t other_turns;
	struct fg_plan_entry *first; /* of its source */
};

static int by_others(const void *a, const void *b)
{
	const struct address *x = a, *y = b;

	if (x->other_turns != y->other_turns)
		return x->other_turns < y->other_turns ? -1 : 1;
	return by_source(x->first, y->first);
}

/* Addresses whose others would be too many together; as clients they still leave. */
static int cap_addresses(struct making *m)
{
	uint64_t budget = fg_guard_clean_budget(m->in->witness->all_turns, m->in->conf), spent = 0;
	struct fg_plan *p = m->plan;
	_cleanup_free_ struct address *list = calloc(p->n + 1, sizeof(*list));
	const struct fg_plan_entry *last = NULL, *end = p->entries + p->n;
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (struct fg_plan_entry *e = p->entries; e < end; e++) {
		if (!counts(e) || e->guarded.address_held != FG_GUARD_none ||
		    !e->guarded.collateral.other_turns || (last && same_prefix(last, e)))
			continue;
		list[n++] = (struct address){ e->guarded.collateral.other_turns, e };
		last = e;
	}
	qsort(list, n, sizeof(*list), by_others);
	for (size_t i = 0; i < n; i++) {
		spent += list[i].other_turns;
		for (struct fg_plan_entry *e = list[i].first;
		     spent > budget && e < end && same_prefix(e, list[i].first); e++) {
			if (e->by_operator || e->guarded.address_held != FG_GUARD_none)
				continue;
			e->guarded.address_held = FG_GUARD_max_harm;
			if (e->guarded.scope != FG_SCOPE_CLIENT)
				e->guarded.held = FG_GUARD_max_harm;
		}
	}
	return 0;
}

static void cap_all(struct making *m)
{
	struct fg_trip none = { FG_GUARD_none, 0, 0, 0, 0 };
	struct fg_trip *trip = m->in->trip ? m->in->trip : &none;
	struct fg_plan *p = m->plan;
	struct fg_guard_wish *wish = &p->report.wish;
	const struct fg_plan_entry *last = NULL;
	enum fg_guard by;

	if (m->in->witness) {
		wish->all_turns = m->in->witness->all_turns;
		wish->all_sources = m->in->witness->all_sources;
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct fg_plan_entry *e = &p->entries[i];
		bool address = e->guarded.address_held == FG_GUARD_none;

		if (!counts(e))
			continue;
		fg_guard_wish_add(wish, e->est_fdr, &e->guarded.collateral,
				  address && (!last || !same_prefix(last, e)));
		last = address ? e : last;
	}
	p->report.harm = fg_guard_harm(wish);
	by = fg_trip_step(trip, wish, m->in->conf, m->in->now_ns);
	p->report.trip = *trip;
	for (size_t i = 0; by != FG_GUARD_none && i < p->n; i++)
		if (counts(&p->entries[i]))
			hold(&p->entries[i], by);
}

/* --- Report ------------------------------------------------------------------------------------- */

static void count_group(struct fg_guard_group *g, const struct fg_plan_entry *e, uint64_t now_ns)
{
	g->verdicts++;
	g->turns += e->activity - e->activity_first;
	g->hours += now_ns > e->first_ns ? (double)(now_ns - e->first_ns) / NS_PER_HOUR : 0;
}

static void tally(const struct making *m)
{
	struct fg_guard_report *r = &m->plan->report;

	for (size_t i = 0; i < m->plan->n; i++) {
		const struct fg_plan_entry *e = &m->plan->entries[i];
		const struct fg_guarded *g = &e->guarded;
		bool leaves = fg_plan_leaves(e), client = g->scope == FG_SCOPE_CLIENT;

		if (!leaves)
			r->held[g->held]++;
		else if (g->address_held != FG_GUARD_none)
			r->address_held[g->address_held]++;
		r->blocks += leaves;
		r->automatic += leaves && !e->by_operator;
		r->clients += leaves && client;
		r->addresses += leaves && g->address_held == FG_GUARD_none;
		if (e->by_operator)
			continue;
		if (leaves)
			count_group(&r->enforced, e, m->in->now_ns);
		else if (g->held == FG_GUARD_holdback)
			count_group(&r->held_back, e, m->in->now_ns);
	}
}

/* --- All of it ---------------------------------------------------------------------------------- */

int fg_plan_make(const struct fg_plan_input *in, struct fg_plan **ret_plan)
{
	struct making m = { .in = in, .plan = calloc(1, sizeof(*m.plan)) };
	int r;

	if (!m.plan)
		return -ENOMEM;
	m.plan->store_revision = fg_store_revision(in->store);
	m.plan->made_ns = in->now_ns;
	m.plan->min_tier = in->min_tier;
	r = collect(&m);
	if (!r)
		r = index_allow(&m);
	if (!r)
		judge_groups(&m);
	if (!r && !in->no_caps && in->witness)
		r = cap_networks(&m);
	if (!r && !in->no_caps && in->witness)
		r = cap_addresses(&m);
	if (!r && !in->no_caps)
		cap_all(&m);
	if (!r)
		tally(&m);
	fg_prefixes_free(&m.allow);
	if (r)
		fg_plan_free(&m.plan);
	else
		*ret_plan = m.plan;
	return r;
}

void fg_plan_free(struct fg_plan **plan)
{
	if (!*plan)
		return;
	free((*plan)->entries);
	free((*plan)->networks);
	free(*plan);
	*plan = NULL;
}

const struct fg_plan_entry *fg_plan_entry_of(const struct fg_plan *plan, const uint8_t addr[16],
					     uint8_t bits, int64_t id)
{
	struct fg_plan_entry key = { .id = id, .bits = bits };

	memcpy(key.addr, addr, sizeof(key.addr));
	return plan->n ? bsearch(&key, plan->entries, plan->n, sizeof(key), by_source) : NULL;
}

const struct fg_plan_entry *fg_plan_find(const struct fg_plan *plan, const struct fg_verdict *v)
{
	return fg_plan_entry_of(plan, v->addr, v->bits, v->id);
}

const struct fg_verdict *fg_plan_verdict(const struct fg_plan *plan, const struct fg_store *store,
					 const struct fg_plan_entry *entry)
{
	return fg_store_revision(store) == plan->store_revision ? fg_store_at(store, entry->place) :
								  NULL;
}
