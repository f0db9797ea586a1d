/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/guards.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/core.h"
#include "lib/ip.h"
#include "lib/log.h"

#define MINUTE_NS 60000000000ULL
#define DAY_NS	  86400000000000ULL
/* Clients of a source that are looked at one by one, the busiest. One with more kinds of clients is
 * shared long before. */
#define MAX_CLIENTS 64
/* Beginnings of sentences in the view's list of what is degraded. */
#define FILE_FAULT "allow file "
#define TRIPPED	   "automatic blocks are held: "
#define NETWORKS   "automatic blocks of single networks are held: "
#define NO_PLAN	   "what may be blocked cannot be told"
/* Kinds of keys of networks. */
#define KEY_ASN (1ULL << 40)
#define KEY_V4	(2ULL << 40)
#define KEY_V6	(3ULL << 40)

_Static_assert(FG_CONF_MAX_ALLOW_FILES <= FG_VIEW_MAX_ALLOW_FILES, "allow files in the view");

/* --- Who is there ------------------------------------------------------------------------------- */

/* Clients of one source, and which of them a verdict names. */
struct crowd {
	const struct fg_model *model;
	const struct fg_model_client *clients[MAX_CLIENTS];
	uint64_t turns[MAX_CLIENTS];
	bool named[MAX_CLIENTS];
	size_t n;
};

static uint64_t ever(const struct fg_model_client *c)
{
	return (uint64_t)c->connections + c->exchanges;
}

static void gather(struct crowd *crowd, const uint8_t addr[16])
{
	const struct fg_model *m = crowd->model;
	const struct fg_client_day *days[MAX_CLIENTS];
	uint64_t sum = 0;
	uint16_t last = 0;

	crowd->n = fg_model_clients_of(m, addr, crowd->clients, MAX_CLIENTS);
	for (size_t i = 0; i < crowd->n; i++) {
		days[i] = fg_model_client_day(
			m, (size_t)(crowd->clients[i] - fg_model_client_at(m, 0)));
		last = days[i]->day > last ? days[i]->day : last;
	}
	for (size_t i = 0; i < crowd->n; i++) {
		if (last - days[i]->day <= 1)
			crowd->turns[i] = (uint64_t)days[i]->exchanges + days[i]->connections;
		sum += crowd->turns[i];
	}
	for (size_t i = 0; !sum && i < crowd->n; i++)
		crowd->turns[i] = ever(crowd->clients[i]);
}

static const char *stem_text_of(const struct crowd *crowd, size_t i)
{
	const struct fg_model_print *print = fg_model_print_of(crowd->model, crowd->clients[i]);

	return print && print->named ? print->stem_text : "-";
}

/* A detector's verdict on a whole source was reached for its busiest client, and names that one: in the
 * verdict by text, where its stem has one. The others there did nothing that is known. */
static bool names(const struct crowd *crowd, const struct fg_verdict *v, size_t i)
{
	const struct fg_model_client *c = crowd->clients[i];

	if (v->stem)
		return v->stem == c->stem && (!v->stack || v->stack == c->stack);
	if (v->origin == FG_ORIGIN_OPERATOR)
		return true;
	if (v->stem_text[0] && strcmp(v->stem_text, "-"))
		return !strcmp(v->stem_text, stem_text_of(crowd, i));
	return c->stem == crowd->clients[0]->stem;
}

static bool is_first_stem(const struct crowd *crowd, size_t i)
{
	for (size_t k = 0; k < crowd->n; k++)
		if (crowd->clients[k]->stem == crowd->clients[i]->stem &&
		    (crowd->named[k] || k < i))
			return false;
	return true;
}

static void count_others(const struct crowd *crowd, struct fg_collateral *who)
{
	for (size_t i = 0; i < crowd->n; i++) {
		who->turns += crowd->turns[i];
		if (crowd->named[i])
			continue;
		who->other_turns += crowd->turns[i];
		who->other_clients++;
		who->other_stems += is_first_stem(crowd, i);
	}
}

static void look(void *arg, const struct fg_verdict *const *verdicts, size_t n,
		 struct fg_collateral *ret, uint64_t *ret_activity)
{
	const struct fg_core *core = arg;
	const struct fg_model_source *s = fg_model_source_find(core->model, verdicts[0]->addr);
	struct crowd crowd = { .model = core->model };
	struct fg_collateral who = { .known = s != NULL };

	if (!s)
		return;
	gather(&crowd, verdicts[0]->addr);
	for (size_t k = 0; k < n; k++) {
		if (!verdicts[k]->stem)
			ret_activity[k] = (uint64_t)s->proven + s->exchanges;
		for (size_t i = 0; i < crowd.n; i++) {
			if (!names(&crowd, verdicts[k], i))
				continue;
			crowd.named[i] = true;
			ret[k].own_turns += crowd.turns[i];
			if (verdicts[k]->stem)
				ret_activity[k] += ever(crowd.clients[i]);
		}
	}
	who.clients = s->clients;
	who.stems = s->stems;
	who.hosts = fg_model_estimated_hosts(core->model, s);
	who.shared = s->clients > MAX_CLIENTS ||
		     fg_model_shared(core->model, s, core->conf->detect.shared_stems).shared;
	count_others(&crowd, &who);
	for (size_t k = 0; k < n; k++) {
		who.own_turns = ret[k].own_turns;
		ret[k] = who;
	}
}

static uint64_t network(void *arg, const uint8_t addr[16])
{
	const struct fg_core *core = arg;
	struct fg_network n = { 0 };

	if (core->networks)
		n = fg_networks_find(core->networks, addr);
	if (n.asn)
		return KEY_ASN | n.asn;
	if (fg_ip_is4(addr))
		return KEY_V4 | (uint64_t)addr[12] << 8 | addr[13];
	return KEY_V6 | (uint64_t)addr[0] << 24 | (uint64_t)addr[1] << 16 | (uint64_t)addr[2] << 8 |
	       addr[3];
}

static void network_name(void *arg, uint64_t key, char ret_name[24])
{
	unsigned int rest = (unsigned int)(key & UINT32_MAX);

	(void)arg;
	if ((key & ~(uint64_t)UINT32_MAX) == KEY_ASN)
		snprintf(ret_name, 24, "AS%u", rest);
	else if ((key & ~(uint64_t)UINT32_MAX) == KEY_V4)
		snprintf(ret_name, 24, "%u.%u.0.0/16", rest >> 8 & 255, rest & 255);
	else
		snprintf(ret_name, 24, "%x:%x::/32", rest >> 16, rest & 65535);
}

/* What everybody did, each on the latest of the last two days. A walk over all sources: anew each minute,
 * and where a tenth has come on top, as it does in the first minutes. A share of what was there before
 * would be too large. */
static void count_all(struct fg_guards *g, uint64_t now_ns)
{
	const struct fg_model *m = g->core->model;
	uint64_t today = now_ns / DAY_NS;
	uint64_t of = fg_model_n_sources(m) + fg_model_exchanges(m) +
		      fg_model_received(m)->events[FG_EVENT_proven];

	if (g->counted_ns && now_ns >= g->counted_ns && now_ns - g->counted_ns < MINUTE_NS &&
	    of <= g->counted_of + g->counted_of / 10)
		return;
	g->counted_ns = now_ns;
	g->counted_of = of;
	g->all_turns = g->all_sources = 0;
	for (size_t i = 0; i < fg_model_n_sources(m); i++) {
		const struct fg_model_source *s = fg_model_source_at(m, i);

		if ((uint64_t)s->day + 1 < today)
			continue;
		g->all_turns += s->today;
		g->all_sources++;
	}
}

/* --- Plans -------------------------------------------------------------------------------------- */

static int make(struct fg_guards *g, const struct fg_plan_input *part, struct fg_plan **ret_plan)
{
	const struct fg_core *core = g->core;
	struct fg_plan_input in = *part;
	struct fg_witness witness;

	count_all(g, in.now_ns);
	witness = (struct fg_witness){
		.look = look,
		.network = network,
		.network_name = network_name,
		.arg = g->core,
		.all_turns = g->all_turns,
		.all_sources = g->all_sources,
	};
	in.store = core->store;
	in.witness = &witness;
	in.conf = &core->conf->guards;
	memcpy(in.seed, g->seed, sizeof(in.seed));
	in.allow_unread = g->files && !fg_allowfiles_ready(g->files);
	return fg_plan_make(&in, ret_plan);
}

static bool is_fresh(const struct fg_guards *g, const struct fg_plan *plan, uint64_t now_ns)
{
	uint64_t age = !plan		      ? 0 :
		       now_ns > plan->made_ns ? now_ns - plan->made_ns :
						plan->made_ns - now_ns;

	return plan && plan->store_revision == fg_store_revision(g->core->store) && age < MINUTE_NS;
}

static void say(struct fg_guards *g)
{
	const struct fg_guard_report *r = &g->plan->report;
	const struct fg_guard_conf *conf = &g->core->conf->guards;

	fg_core_restored(g->core, TRIPPED);
	fg_core_restored(g->core, NETWORKS);
	if (r->trip.by == FG_GUARD_max_blocks)
		fg_core_degraded(g->core,
				 TRIPPED
				 "%llu were wished, and guards.max_blocks is %u; look at them "
				 "with --dry-run, and raise it or block by hand",
				 (unsigned long long)r->trip.blocks, conf->max_blocks);
	else if (r->trip.by == FG_GUARD_max_harm)
		fg_core_degraded(g->core,
				 TRIPPED
				 "%llu would hit an expected %.2f %% of the others, and "
				 "guards.max_harm is %g %%; look at them with --dry-run, and "
				 "raise it or block by hand",
				 (unsigned long long)r->trip.blocks, 100 * r->trip.harm,
				 100 * conf->max_harm);
	if (r->networks_held)
		fg_core_degraded(g->core,
				 NETWORKS "%llu have more than guards.max_blocks_network (%u), the "
					  "largest is %s",
				 (unsigned long long)r->networks_held, conf->max_blocks_network,
				 r->network);
}

/* A set that says the same keeps its number, so that nothing is written for it. */
static int take_set(struct fg_guards *g)
{
	struct fg_export_set *set;
	int r = fg_export_select(g->core->store, g->plan, &set);

	if (r)
		return r;
	if (g->set && fg_export_equal(g->set, set)) {
		fg_export_set_unref(&set);
		return 0;
	}
	set->revision = ++g->revision;
	if (g->set)
		fg_export_set_unref(&g->set);
	g->set = set;
	return 0;
}

int fg_guards_refresh(struct fg_guards *g, uint64_t now_ns)
{
	const struct fg_plan_input in = {
		.min_tier = FG_TIER_ENFORCE,
		.now_ns = now_ns,
		.trip = &g->trip,
		.before = g->plan,
	};
	struct fg_plan *plan;
	int r;

	if (!g->stale && is_fresh(g, g->plan, now_ns) && g->set)
		return 0;
	r = make(g, &in, &plan);
	if (!r) {
		fg_plan_free(&g->plan);
		g->plan = plan;
		r = take_set(g);
	}
	if (r) {
		fg_core_degraded(g->core, NO_PLAN " (%s): what stood stands", strerror(-r));
		return r;
	}
	fg_core_restored(g->core, NO_PLAN);
	g->stale = false;
	say(g);
	return 0;
}

int fg_guards_set(struct fg_guards *g, uint64_t now_ns, struct fg_export_set **ret_set)
{
	int r = fg_guards_refresh(g, now_ns);

	if (!g->set)
		return r ? r : -ENOMEM;
	*ret_set = fg_export_set_ref(g->set);
	return 0;
}

int fg_guards_plan(struct fg_guards *g, enum fg_tier min_tier, uint64_t now_ns,
		   struct fg_plan **ret_plan)
{
	struct fg_trip trip = g->trip;
	const struct fg_plan_input in = {
		.min_tier = min_tier,
		.now_ns = now_ns,
		.trip = &trip,
		.before = g->plan,
	};

	return make(g, &in, ret_plan);
}

/* --- For readers -------------------------------------------------------------------------------- */

/* What each verdict by itself may do, in whatever tier it is. */
static bool refresh_each(struct fg_guards *g, uint64_t now_ns)
{
	const struct fg_plan_input in = {
		.min_tier = FG_TIER_OBSERVE,
		.now_ns = now_ns,
		.no_caps = true,
		.before = g->each,
	};
	struct fg_plan *plan;

	if (is_fresh(g, g->each, now_ns))
		return true;
	if (make(g, &in, &plan))
		return false;
	fg_plan_free(&g->each);
	g->each = plan;
	return true;
}

bool fg_guards_of(struct fg_guards *g, const struct fg_verdict *v, uint64_t now_ns,
		  struct fg_guarded *ret_guarded)
{
	const struct fg_plan_entry *e = NULL;

	if (v->tier >= FG_TIER_ENFORCE && !fg_guards_refresh(g, now_ns))
		e = fg_plan_find(g->plan, v);
	if (e) {
		*ret_guarded = e->guarded;
		return true;
	}
	e = refresh_each(g, now_ns) ? fg_plan_find(g->each, v) : NULL;
	if (!e)
		return false;
	*ret_guarded = e->guarded;
	if (ret_guarded->held == FG_GUARD_none && v->tier < FG_TIER_ENFORCE)
		ret_guarded->held = FG_GUARD_tier;
	if (ret_guarded->address_held == FG_GUARD_none && v->tier < FG_TIER_ENFORCE)
		ret_guarded->address_held = FG_GUARD_tier;
	return true;
}

static void report_cohort(const struct fg_plan *plan, uint32_t cohort, struct fg_guard_report *r)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct fg_plan_entry *e = &plan->entries[i];
		bool leaves = fg_plan_leaves(e);

		if (e->cohort != cohort)
			continue;
		r->held[e->guarded.held] += !leaves;
		r->address_held[e->guarded.address_held] += leaves && e->guarded.address_held !=
									      FG_GUARD_none;
		r->blocks += leaves;
		r->clients += leaves && e->guarded.scope == FG_SCOPE_CLIENT;
		r->addresses += leaves && e->guarded.address_held == FG_GUARD_none;
	}
}

bool fg_guards_report(struct fg_guards *g, uint32_t cohort, uint64_t now_ns,
		      struct fg_guard_report *ret_report)
{
	if (cohort) {
		*ret_report = (struct fg_guard_report){ 0 };
		if (!refresh_each(g, now_ns))
			return false;
		report_cohort(g->each, cohort, ret_report);
		return true;
	}
	if (fg_guards_refresh(g, now_ns) || !g->plan)
		return false;
	*ret_report = g->plan->report;
	return true;
}

/* --- Allow files -------------------------------------------------------------------------------- */

static void say_files(struct fg_guards *g)
{
	struct fg_view *v = &g->core->view;
	const char *fault;

	fg_core_restored(g->core, FILE_FAULT);
	for (size_t i = 0; (fault = fg_allowfiles_fault(g->files, i)); i++) {
		bool old = fg_allowfiles_has_list(g->files, i);

		v->allow_files[i] = (struct fg_view_allow_file){
			.path = g->core->conf->allow_files[i],
			.prefixes = fg_allowfiles_n(g->files, i),
			.fault = fault,
		};
		v->n_allow_files = i + 1;
		if (fault[0] && old)
			fg_core_degraded(g->core, FILE_FAULT "%.190s; its old list stays", fault);
		else if (fault[0])
			fg_core_degraded(g->core,
					 FILE_FAULT "%.170s; nothing automatic is blocked until it "
						    "is right",
					 fault);
	}
}

/* What came since a revision, for the journal. */
static void log_files(const struct fg_guards *g, uint64_t since)
{
	const char *fault;

	for (size_t i = 0; (fault = fg_allowfiles_fault(g->files, i)); i++) {
		if (fg_allowfiles_changed(g->files, i) <= since)
			continue;
		if (fault[0])
			fg_log_warning("allow file %s", fault);
		else
			fg_log_info("allow file %s: %zu prefixes", g->core->conf->allow_files[i],
				    fg_allowfiles_n(g->files, i));
	}
}

/* Verdicts inside what is newly allowed fall to alert; the plan holds them whether or not that could be
 * written. */
static void lower(struct fg_guards *g, uint64_t now_ns)
{
	if (g->allowed_more && !fg_store_allow_extra_changed(g->core->store, now_ns))
		g->allowed_more = false;
}

void fg_guards_step(struct fg_guards *g, uint64_t now_ns)
{
	uint64_t revision;

	if (!g->files)
		return;
	if (fg_allowfiles_look(g->files) > 0)
		g->stale = g->allowed_more = true;
	revision = fg_allowfiles_revision(g->files);
	if (revision != g->files_revision) {
		log_files(g, g->files_revision);
		g->files_revision = revision;
		g->stale = true;
		fg_plan_free(&g->each);
		say_files(g);
	}
	lower(g, now_ns);
}

static int open_files(struct fg_guards *g, uint64_t now_ns)
{
	const struct fg_conf *conf = g->core->conf;
	int r = fg_allowfiles_open(conf->allow_files, conf->n_allow_files, &g->files);

	if (!r)
		r = fg_store_allow_extra(g->core->store, fg_allowfiles_meet, g->files);
	if (r)
		return r;
	g->allowed_more = true;
	g->files_revision = fg_allowfiles_revision(g->files);
	say_files(g);
	/* what came into the files while nobody watched */
	lower(g, now_ns);
	return 0;
}

int fg_guards_open(struct fg_guards *g, struct fg_core *core, uint64_t now_ns)
{
	int r;

	*g = (struct fg_guards){ .core = core };
	r = fg_store_get_blob(core->store, "holdback_seed", g->seed, sizeof(g->seed));
	if (r != (int)sizeof(g->seed)) {
		if (getrandom(g->seed, sizeof(g->seed), 0) != (ssize_t)sizeof(g->seed))
			return -errno;
		r = fg_store_put_blob(core->store, "holdback_seed", g->seed, sizeof(g->seed));
		if (r)
			return r;
	}
	return core->conf->n_allow_files ? open_files(g, now_ns) : 0;
}

void fg_guards_close(struct fg_guards *g)
{
	fg_plan_free(&g->plan);
	fg_plan_free(&g->each);
	if (g->set)
		fg_export_set_unref(&g->set);
	fg_allowfiles_free(&g->files);
}
