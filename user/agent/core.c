/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core_kept.h"
#include "export/crowdsec.h"
#include "export/export.h"
#include "export/formats.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "model/stack.h"
#include "serve/fairness.h"
#include "serve/report.h"

/* A table counts as full for so long after the last newcomer was refused. */
#define FULL_FOR_NS 60000000000ULL
#define HOUR_NS	    3600000000000ULL
/* It is written once in so many hours, and at the end. */
#define SAVE_HOURS 6
/* Verdicts of one source that are looked through: clients of one that are flagged. */
#define MAX_STANDING 64

/* A clock that is set back by so many hours is waited for; by more, it was wrong before. */
#define BACK_HOURS  2
#define CLOCK_BACK  "the clock was set back: cohorts wait until it is where it was"
#define CLOCK_AHEAD "the clock jumped forwards by "
#define CLOCK_WAS   "the clock was set back by "
#define NOT_KEPT    "sources and clients cannot be kept"

static const char *const role_names[] = { "terminate", "transit", "mirror" };

static uint64_t view_now(void *agent)
{
	return ((struct fg_core *)agent)->now_ns;
}

static void view_nothing(void *agent)
{
	(void)agent;
}

static bool view_guarded(void *agent, const struct fg_verdict *verdict,
			 struct fg_guarded *ret_guarded)
{
	struct fg_core *c = agent;

	return fg_guards_of(&c->guards, verdict, c->view.now_ns(c), ret_guarded);
}

static bool view_guard_report(void *agent, uint32_t cohort, struct fg_guard_report *ret_report)
{
	struct fg_core *c = agent;

	return fg_guards_report(&c->guards, cohort, c->view.now_ns(c), ret_report);
}

static uint64_t view_blocks_revision(void *agent)
{
	struct fg_core *c = agent;

	fg_guards_refresh(&c->guards, c->view.now_ns(c));
	return c->guards.revision;
}

static uint64_t view_overflow(void *agent, const uint8_t source[16])
{
	const struct fg_core *c = agent;

	return c->taker ? fg_taker_overflow(c->taker, source) : 0;
}

static const char *export_type(const struct fg_view_document *what)
{
	const struct fg_export_format *format;
	struct fg_export_options options;
	char why[256];

	if (what->dry_run)
		return "text/plain; charset=utf-8";
	if (fg_export_choose(what->format, what->min_tier, what->argument, what->arg, &format,
			     &options, why, sizeof(why)))
		return NULL;
	return format->type;
}

static int load_static_allow(struct fg_core *c, char *why, size_t n_why)
{
	/* behind a balancer are all of its clients */
	for (size_t i = 0; i < c->conf->n_balancers; i++) {
		const struct fg_prefix *b = &c->conf->balancers[i];
		int r = fg_store_allow_static(c->store, b->addr, b->bits);

		if (r) {
			snprintf(why, n_why, "balancers: %s", strerror(-r));
			return r;
		}
	}
	for (size_t i = 0; i < c->conf->n_allow; i++) {
		uint8_t addr[16], bits;
		int r = fg_ip_parse(c->conf->allow[i], addr, &bits);

		if (!r)
			r = fg_store_allow_static(c->store, addr, bits);
		if (r) {
			snprintf(why, n_why, "allow: '%s': %s", c->conf->allow[i], strerror(-r));
			return r;
		}
	}
	return 0;
}

/* Broken lines are skipped and said; a file without a good one is an error. */
static int load_networks(struct fg_core *c, char *why, size_t n_why)
{
	struct fg_networks_report *report = &c->view.networks_report;
	int r = fg_networks_open(c->conf->asn_file, &c->networks, report, why, n_why);

	c->view.networks = c->networks;
	if (!r && report->skipped)
		fg_core_degraded(c, "asn.file: %zu of %zu %ss are skipped, the first is %s %zu: %s",
				 report->skipped, report->good + report->skipped,
				 report->records ? "record" : "line",
				 report->records ? "record" : "line", report->bad[0].line,
				 report->bad[0].why);
	return r;
}

int fg_core_try_networks(const char *path, char *text, size_t n)
{
	struct fg_networks_report report = { 0 };
	struct fg_networks *networks = NULL;
	int r = fg_networks_open(path, &networks, &report, text, n);
	const char *unit = report.records ? "record" : "line";
	int used;

	if (r)
		return r;
	used = snprintf(text, n, "%s: %zu prefixes%s", path, fg_networks_n(networks),
			fg_networks_has_classes(networks) ? "" : ", no classes");
	fg_networks_free(&networks);
	for (size_t i = 0; i < report.skipped && i < FG_NETWORKS_BAD && (size_t)used < n; i++)
		used += snprintf(text + used, n - (size_t)used, "; %s %zu is skipped: %s", unit,
				 report.bad[i].line, report.bad[i].why);
	if (report.skipped > FG_NETWORKS_BAD && (size_t)used < n)
		snprintf(text + used, n - (size_t)used, "; and %zu %ss more",
			 report.skipped - FG_NETWORKS_BAD, unit);
	return report.skipped ? 1 : 0;
}

/* --- Life cycle -------------------------------------------------------------------------------- */

/* With hashes that the store's summaries are found by, where there is a store. */
static int make_model(struct fg_core *c, const char *state_dir, char *why, size_t n_why)
{
	struct fg_model_limits limits = c->conf->limits;
	int r = state_dir ? fg_memory_seed(c->store, limits.seed) : 0;

	if (r) {
		snprintf(why, n_why, "no hash seed: %s", strerror(-r));
		return r;
	}
	r = fg_model_new(&limits, &c->model);
	if (r)
		snprintf(why, n_why, "no memory for the model");
	return r;
}

int fg_core_open(struct fg_core *c, const struct fg_conf *conf, const char *state_dir,
		 uint64_t now_ns, char *why, size_t n_why)
{
	int r;

	memset(c, 0, sizeof(*c));
	c->conf = conf;
	c->now_ns = now_ns;
	c->samples = calloc(FG_MAX_PENDING_SAMPLES, sizeof(*c->samples));
	r = c->samples ? 0 : -ENOMEM;
	if (r)
		snprintf(why, n_why, "no memory for samples");
	if (!r)
		r = fg_store_open(state_dir, now_ns, &c->store, why, n_why);
	if (!r)
		fg_store_keep_history(c->store, conf->history_s);
	if (!r)
		r = make_model(c, state_dir, why, n_why);
	if (!r)
		r = load_static_allow(c, why, n_why);
	if (!r) {
		r = fg_cohorts_new(&c->cohorts);
		if (r)
			snprintf(why, n_why, "no memory for cells");
	}
	if (!r && conf->mode == FG_MODE_OBSERVE)
		r = fg_store_observe(c->store);
	if (r)
		goto fail;
	c->view = (struct fg_view){
		.model = c->model,
		.cohorts = c->cohorts,
		.store = c->store,
		.role = role_names[conf->role],
		.mode = conf->mode == FG_MODE_ENFORCE ? "enforce" : "observe",
		.shared_stems = conf->detect.shared_stems,
		.enforce_days = conf->detect.enforce_days,
		.alert_per_million = conf->detect.alert_per_million,
		.enforce_per_million = conf->detect.enforce_per_million,
		.networks_file = conf->asn_file,
		.started_ns = now_ns,
		.agent = c,
		.now_ns = view_now,
		.refresh = view_nothing,
		.write_export = fg_core_write_export,
		.export_type = export_type,
		.changed = view_nothing,
		.overflow = view_overflow,
		.guarded = view_guarded,
		.guard_report = view_guard_report,
		.blocks_revision = view_blocks_revision,
		.holdback = conf->guards.holdback,
	};
	r = fg_guards_open(&c->guards, c, now_ns);
	if (r) {
		snprintf(why, n_why, "guards: %s", strerror(-r));
		goto fail;
	}
	if (conf->asn_file)
		r = load_networks(c, why, n_why);
	if (r)
		goto fail;
	fg_core_take_up(c, state_dir, now_ns);
	return 0;

fail:
	fg_core_close(c);
	return r;
}

void fg_core_close(struct fg_core *c)
{
	fg_guards_close(&c->guards);
	fg_model_free(&c->model);
	fg_store_close(&c->store);
	fg_cohorts_free(&c->cohorts);
	fg_networks_free(&c->networks);
	c->memory = (struct fg_memory){ .store = NULL };
	free(c->samples);
	c->samples = NULL;
}

void fg_core_sample(void *core, const struct fg_sample *sample)
{
	struct fg_core *c = core;

	if (c->n_samples < FG_MAX_PENDING_SAMPLES)
		c->samples[c->n_samples++] = *sample;
}

void fg_core_degraded(struct fg_core *c, const char *fmt, ...)
{
	struct fg_view *v = &c->view;
	char text[sizeof(v->degraded[0])];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < v->n_degraded; i++)
		if (!strcmp(v->degraded[i], text))
			return;
	if (v->n_degraded < FG_VIEW_MAX_DEGRADED)
		memcpy(v->degraded[v->n_degraded++], text, sizeof(text));
}

void fg_core_restored(struct fg_core *c, const char *beginning)
{
	struct fg_view *v = &c->view;
	size_t kept = 0;

	for (size_t i = 0; i < v->n_degraded; i++) {
		if (!strncmp(v->degraded[i], beginning, strlen(beginning)))
			continue;
		if (kept != i)
			memcpy(v->degraded[kept], v->degraded[i], sizeof(v->degraded[0]));
		kept++;
	}
	v->n_degraded = kept;
}

static void name_finding(const struct fg_core *c, const struct fg_finding *f,
			 struct fg_names *ret_names)
{
	const struct fg_model_print *print = f->print ? fg_model_print_find(c->model, f->print) :
							NULL;
	const char *stem = f->stem ? fg_model_stem_text(c->model, f->stem) : NULL;
	char stack[FG_STACK_TEXT];

	snprintf(ret_names->ja4, sizeof(ret_names->ja4), "%s",
		 print && print->named ? print->ja4 : "-");
	snprintf(ret_names->stem_text, sizeof(ret_names->stem_text), "%s", stem ? stem : "-");
	snprintf(ret_names->stack_text, sizeof(ret_names->stack_text), "%s",
		 fg_stack_text(f->stack, stack));
}

/* A day on which a source was flagged for itself is not what is usual for it. Who was here when learning
 * began is: there was nothing to be unlike to. */
static void hold(struct fg_core *c, const struct fg_finding *f)
{
	const struct fg_model_source *s = f->cohort ? NULL :
						      fg_model_source_find(c->model, f->source);

	if (s && s->first_ns > fg_model_began_ns(c->model) + FG_PRESUMED_DAYS * FG_DAY_NS)
		fg_model_hold(c->model, f->source);
}

/* A client may be of a cohort and of a community of accounts at once, and has one verdict: the stronger
 * opinion stands, so that the two do not take turns. */
static bool is_outdone(const struct fg_core *c, const struct fg_finding *f)
{
	const struct fg_verdict *standing[MAX_STANDING];
	uint64_t stem = f->cohort ? f->stem : 0;
	size_t n = c->accounts ? fg_store_find(c->store, f->source, standing, MAX_STANDING) : 0;

	for (size_t i = 0; i < n; i++)
		if (standing[i]->origin == FG_ORIGIN_DETECTOR && standing[i]->stem == stem &&
		    standing[i]->until_ns > c->now_ns &&
		    (standing[i]->cohort ^ f->cohort) & FG_COMMUNITY)
			return standing[i]->score > f->score;
	return false;
}

/* While what is usual here is still being learned a finding is an alert at most, whatever found it. */
static const struct fg_finding *while_cold(const struct fg_core *c, const struct fg_finding *f,
					   struct fg_finding *copy)
{
	double days = fg_cohorts_state(c->cohorts).days, of = c->conf->detect.enforce_days;

	if (days >= of || f->no_enforce)
		return f;
	*copy = *f;
	copy->no_enforce = true;
	snprintf(copy->no_enforce_why, sizeof(copy->no_enforce_why),
		 "what is usual was learned on %.0f days, of %g that are wanted (warmup)", days,
		 of);
	return copy;
}

static int note(const struct fg_finding *f, void *arg)
{
	struct fg_core *c = arg;
	struct fg_finding copy;
	struct fg_names names;
	int r;

	hold(c, f);
	if (is_outdone(c, f))
		return 0;
	name_finding(c, f, &names);
	r = fg_store_note(c->store, while_cold(c, f, &copy), &names,
			  c->conf->mode == FG_MODE_ENFORCE, c->conf->ttl_s, c->now_ns);
	if (r == -EINVAL) {
		fg_core_degraded(c, "a detector gave evidence without a benign explanation, which "
				    "flags nobody: report it as a bug");
		return 0;
	}
	return r < 0 ? r : 0;
}

/* All detectors of one epoch in one transaction. */
static int detect(struct fg_core *c)
{
	const struct fg_scene scene = { c->model, fg_cohorts_cells(c->cohorts), c->networks,
					c->accounts };
	int r = fg_store_begin(c->store);

	for (size_t i = 0; !r && fg_detectors[i]; i++)
		r = fg_detectors[i]->run(&scene, &c->conf->detect, note, c);
	if (!r)
		return fg_store_commit(c->store);
	fg_store_rollback(c->store);
	return r;
}

/* Says which tables have no room for what comes new, until they had some for a minute. Nothing that
 * is proven and active gives way, so this is what a flood costs. */
static void tell_full(struct fg_core *c, const struct fg_totals *now)
{
	static const struct {
		int event, loss;
		const char *says;
	} tables[] = {
		{ -1, FG_FRAME_flow_table_full,
		  "fg_flows is full: new connections are counted in a sketch only" },
		{ FG_EVENT_overflow, -1,
		  "fg_sources is full: new sources are counted in a sketch only" },
		{ FG_EVENT_client_table_full, -1, "fg_clients is full: new clients are not told" },
		{ FG_EVENT_print_table_full, -1,
		  "fg_prints is full: new fingerprints have no name" },
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		uint64_t grown =
			tables[i].loss < 0 ?
				now->events[tables[i].event] - c->before.events[tables[i].event] :
				now->frames[tables[i].loss] - c->before.frames[tables[i].loss];

		if (grown) {
			fg_core_degraded(c, "%s (memory_mb is what they may take)", tables[i].says);
			c->full_ns[i] = c->now_ns;
		} else if (c->full_ns[i] && c->now_ns - c->full_ns[i] > FULL_FOR_NS) {
			fg_core_restored(c, tables[i].says);
			c->full_ns[i] = 0;
		}
	}
	c->before = *now;
}

/* Members of cohorts are verdicts that are renewed each hour. */
static int note_members(struct fg_core *c)
{
	int r = fg_store_begin(c->store);

	if (r)
		return r;
	r = fg_cohorts_members(c->cohorts, c->model, &c->conf->detect, note, c);
	if (!r)
		return fg_store_commit(c->store);
	fg_store_rollback(c->store);
	return r;
}

static int end_hour(struct fg_core *c)
{
	int r;

	/* it ended before a restart: what came since joins the next */
	if (c->hour <= fg_cohorts_last_hour(c->cohorts))
		return 0;
	r = fg_cohorts_hour(c->cohorts, c->model, c->networks, &c->conf->detect, c->hour);
	fg_model_begin_hour(c->model);
	if (!r)
		r = note_members(c);
	fg_fairness_take(&c->view, &c->view.fairness);
	if (!r && c->hour % SAVE_HOURS == 0)
		r = fg_core_save_learned(c);
	return r;
}

int fg_core_end(struct fg_core *c)
{
	int r = c->hour ? end_hour(c) : 0;

	c->hour = 0;
	return r ? r : fg_core_save(c);
}

/* The last hour that anything was judged in: what ended before a restart counts, too. */
static uint32_t latest_hour(const struct fg_core *c)
{
	uint32_t ended = fg_cohorts_last_hour(c->cohorts);

	return c->hour > ended ? c->hour : ended;
}

/* It was wrong, by hours or by years, and waiting for it to come there again would leave cohorts
 * blind: they go on from here with what they know. */
static void set_back(struct fg_core *c, uint32_t hour)
{
	fg_core_restored(c, CLOCK_BACK);
	fg_core_restored(c, CLOCK_WAS);
	fg_core_degraded(c,
			 CLOCK_WAS "%u hours, or this capture is older than the state: cohorts go "
				   "on from here, and what was seen in between may look older or "
				   "newer than it is",
			 latest_hour(c) - hour);
	fg_cohorts_set_back(c->cohorts, hour);
	c->hour = hour;
	c->back = false;
	c->jump_hour = hour;
}

/* Only a live agent's epochs are longer than they should be: a capture's pauses have none. */
static void tell_jump(struct fg_core *c, const struct fg_epoch *epoch, uint32_t hour)
{
	if (epoch->end_ns > epoch->start_ns && epoch->end_ns - epoch->start_ns > HOUR_NS) {
		fg_core_restored(c, CLOCK_AHEAD);
		fg_core_degraded(c,
				 CLOCK_AHEAD "%llu hours, or the host slept: blocks may have ended "
					     "early",
				 (unsigned long long)((epoch->end_ns - epoch->start_ns) / HOUR_NS));
		c->jump_hour = (uint32_t)(epoch->end_ns / HOUR_NS);
	} else if (c->jump_hour && hour > c->jump_hour) {
		fg_core_restored(c, CLOCK_AHEAD);
		fg_core_restored(c, CLOCK_WAS);
		c->jump_hour = 0;
	}
}

/* Hours end when an epoch lies behind them. A clock that was set back a little stands still here until
 * it is where it was. */
static int on_hour(struct fg_core *c, const struct fg_epoch *epoch)
{
	uint32_t hour = (uint32_t)(epoch->start_ns / HOUR_NS);
	int r = 0;

	tell_jump(c, epoch, hour);
	if (hour + BACK_HOURS < latest_hour(c))
		set_back(c, hour);
	if (hour < c->hour) {
		if (!c->back)
			fg_core_degraded(c, CLOCK_BACK);
		c->back = true;
		return 0;
	}
	if (c->back)
		fg_core_restored(c, CLOCK_BACK);
	c->back = false;
	if (c->hour && hour > c->hour)
		r = end_hour(c);
	c->hour = hour;
	return r;
}

/* Before the verdicts: what is looked up and written of rows is no part of their transaction. */
static void remember(struct fg_core *c)
{
	int r = fg_memory_step(&c->memory, c->now_ns, c->hour);

	if (r)
		fg_core_degraded(c, NOT_KEPT " (%s): a restart would make them new",
				 fg_store_error(c->store));
	else
		fg_core_restored(c, NOT_KEPT);
}

int fg_core_epoch(struct fg_core *c, struct fg_epoch *epoch, struct fg_taker *taker)
{
	int r;

	/* with the model as it was at that hour's end */
	r = on_hour(c, epoch);
	if (r < 0)
		fg_core_degraded(c, "cohorts cannot be told (%s)", strerror(-r));
	c->now_ns = epoch->end_ns;
	c->taker = taker;
	tell_full(c, &epoch->received);
	epoch->samples = c->samples;
	epoch->n_samples = c->n_samples;
	r = fg_model_apply(c->model, epoch);
	if (r)
		return r;
	for (size_t i = 0; taker && i < c->n_samples; i++)
		if (!c->samples[i].status && fg_model_knows(c->model, c->samples[i].hello.print))
			fg_taker_mark_known(taker, c->samples[i].hello.print);
	c->n_samples = 0;
	if (c->accounts)
		fg_accounts_epoch(c->accounts, c->now_ns);
	remember(c);
	fg_guards_step(&c->guards, c->now_ns);
	r = detect(c);
	if (r >= 0)
		r = fg_store_expire(c->store, c->now_ns);
	if (r < 0) {
		c->store_errors++;
		fg_core_degraded(c, "verdicts cannot be written (%s): nothing new is enforced",
				 fg_store_error(c->store));
	} else {
		fg_core_restored(c, "verdicts cannot be written");
	}
	/* a full disk is no reason to stop watching */
	return 0;
}

int fg_core_write_export(void *core, FILE *out, const struct fg_view_document *what, char *why,
			 size_t n_why)
{
	struct fg_core *c = core;
	const struct fg_export_conf conf = { .ports = c->conf->ports,
					     .n_ports = c->conf->n_ports,
					     .udp = c->conf->targets.nft_udp };
	const struct fg_export_format *format;
	struct fg_export_options options;
	/* not the epoch's: an end is told in what is left of it */
	uint64_t now_ns = c->view.now_ns(c);
	struct fg_export_ask ask = { .conf = &conf, .options = &options, .now_ns = now_ns };
	_cleanup_(fg_export_set_unref) struct fg_export_set *set = NULL;
	_cleanup_(fg_plan_free) struct fg_plan *plan = NULL;
	int r = fg_export_choose(what->format, what->min_tier, what->argument, what->arg, &format,
				 &options, why, n_why);

	if (!r)
		r = fg_guards_plan(&c->guards, what->min_tier, now_ns, &plan);
	if (r)
		return r;
	if (what->dry_run)
		return fg_export_dry_run(out, c->store, plan, c->model);
	r = fg_export_select(c->store, plan, &set);
	if (r)
		return r;
	ask.set = set;
	ask.instance = fg_store_instance(c->store);
	return format->write(out, &ask);
}

int fg_core_report(struct fg_core *c, FILE *out, bool json)
{
	return fg_report_write(out, &c->view, json);
}
