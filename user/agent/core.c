/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "export/export.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "model/stack.h"
#include "serve/report.h"

/* A table counts as full for so long after the last newcomer was refused. */
#define FULL_FOR_NS 60000000000ULL
#define HOUR_NS	    3600000000000ULL
/* Name of the store's blob with cells, cohorts and members. */
#define LEARNED "learned"
/* It is written once in so many hours, and at the end. */
#define SAVE_HOURS 6

#define NOT_KEPT   "sources and clients cannot be kept"
#define CLOCK_BACK "the clock was set back: cohorts wait until it is where it was"

static const char *const role_names[] = { "terminate", "transit", "mirror" };

static uint64_t view_now(void *agent)
{
	return ((struct fg_core *)agent)->now_ns;
}

static void view_nothing(void *agent)
{
	(void)agent;
}

static uint64_t view_overflow(void *agent, const uint8_t source[16])
{
	const struct fg_core *c = agent;

	return c->taker ? fg_taker_overflow(c->taker, source) : 0;
}

static int load_static_allow(struct fg_core *c, char *why, size_t n_why)
{
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
	struct fg_networks_report report;
	int r = fg_networks_open(c->conf->asn_file, &c->networks, &report, why, n_why);

	c->view.networks = c->networks;
	if (!r && report.skipped)
		fg_core_degraded(
			c, "asn.file: %zu of %zu lines are skipped, the first is line %zu: %s",
			report.skipped, report.good + report.skipped, report.bad[0].line,
			report.bad[0].why);
	return r;
}

/* What another version wrote, or a damaged file, is left: learning begins anew, and says so. */
static void load_learned(struct fg_core *c)
{
	_cleanup_free_ void *bytes = NULL;
	char why[128] = "";
	size_t n;
	int r = fg_store_load_blob(c->store, LEARNED, &bytes, &n);

	if (fg_store_moved(c->store)[0])
		fg_core_degraded(c,
				 "the state file was damaged and is now %s: learning begins anew",
				 fg_store_moved(c->store));
	if (!r && bytes)
		r = fg_cohorts_load(c->cohorts, bytes, n, why, sizeof(why));
	if (r)
		fg_core_degraded(c, "baselines cannot be read (%s): learning begins anew",
				 why[0] ? why : strerror(-r));
}

static int save_learned(struct fg_core *c)
{
	_cleanup_free_ void *bytes = NULL;
	size_t n;
	int r = fg_cohorts_save(c->cohorts, &bytes, &n);

	return r ? r : fg_store_put_blob(c->store, LEARNED, bytes, n);
}

int fg_core_save(struct fg_core *c)
{
	int r, kept;

	/* it did not start */
	if (!c->cohorts || !c->store)
		return 0;
	r = save_learned(c);
	kept = fg_memory_save(&c->memory, c->hour);
	return r ? r : kept;
}

/* Rows of sources and clients; what cannot be read is learned anew, and that is said. */
static void load_memory(struct fg_core *c, uint64_t now_ns)
{
	const struct fg_memory *m = &c->memory;
	int r = fg_memory_open(&c->memory, c->store, c->model, now_ns, &c->hour);

	if (r)
		fg_core_degraded(c, "sources and clients cannot be read back (%s): they are new",
				 strerror(-r));
	if (m->damaged)
		fg_core_degraded(c,
				 "%llu summaries of sources and clients are damaged: these are new",
				 (unsigned long long)m->damaged);
	if (m->other_version)
		fg_core_degraded(c,
				 "%llu summaries of sources and clients are of another version: "
				 "these are new",
				 (unsigned long long)m->other_version);
}

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
		.started_ns = now_ns,
		.agent = c,
		.now_ns = view_now,
		.refresh = view_nothing,
		.write_export = fg_core_write_export,
		.changed = view_nothing,
		.overflow = view_overflow,
	};
	if (conf->asn_file)
		r = load_networks(c, why, n_why);
	if (r)
		goto fail;
	load_learned(c);
	if (state_dir)
		load_memory(c, now_ns);
	return 0;

fail:
	fg_core_close(c);
	return r;
}

void fg_core_close(struct fg_core *c)
{
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

/* Members of cohorts are judged once an hour: their time runs from when they are judged again. */
static int note(const struct fg_finding *f, void *arg)
{
	struct fg_core *c = arg;
	uint32_t wait_s = f->cohort ? HOUR_NS / 1000000000ULL : 0;
	struct fg_names names;
	int r;

	name_finding(c, f, &names);
	r = fg_store_note(c->store, f, &names, c->conf->mode == FG_MODE_ENFORCE,
			  c->conf->ttl_s + wait_s, c->now_ns);
	return r < 0 ? r : 0;
}

/* All detectors of one epoch in one transaction. */
static int detect(struct fg_core *c)
{
	const struct fg_scene scene = { c->model, fg_cohorts_cells(c->cohorts), c->networks };
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
	int r = fg_cohorts_hour(c->cohorts, c->model, c->networks, &c->conf->detect, c->hour);

	fg_model_begin_hour(c->model);
	if (!r)
		r = note_members(c);
	if (!r && c->hour % SAVE_HOURS == 0)
		r = save_learned(c);
	return r;
}

int fg_core_end(struct fg_core *c)
{
	int r = c->hour ? end_hour(c) : 0;

	c->hour = 0;
	return r ? r : fg_core_save(c);
}

/* Hours end when an epoch lies behind them. A clock that was set back stands still here until it is
 * where it was. */
static int on_hour(struct fg_core *c, const struct fg_epoch *epoch)
{
	uint32_t hour = (uint32_t)(epoch->start_ns / HOUR_NS);
	int r = 0;

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
	remember(c);
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
	return r < 0 ? r : 0;
}

int fg_core_write_export(void *core, FILE *out, const char *format, enum fg_tier min_tier,
			 bool dry_run)
{
	struct fg_core *c = core;
	struct fg_export_conf ec = { .ports = c->conf->ports, .n_ports = c->conf->n_ports };
	struct fg_export_set set;
	bool known = !strcmp(format, "nft") || !strcmp(format, "plain") || !strcmp(format, "csv") ||
		     !strcmp(format, "json");
	int r = known ? fg_export_select(c->store, min_tier, c->now_ns, &set) : -EINVAL;

	if (r)
		return r;
	if (dry_run)
		r = fg_export_dry_run(out, &set, c->model);
	else if (!strcmp(format, "nft"))
		r = fg_export_nft(out, &set, &ec, c->now_ns);
	else if (!strcmp(format, "plain"))
		r = fg_export_plain(out, &set);
	else if (!strcmp(format, "csv"))
		r = fg_export_csv(out, &set, c->now_ns);
	else
		r = fg_export_json(out, &set, c->now_ns);
	fg_export_set_done(&set);
	return r;
}

int fg_core_report(struct fg_core *c, FILE *out, bool json)
{
	return fg_report_write(out, &c->view, json);
}

int fg_core_seed(struct fg_core *c, uint64_t ret_seed[4])
{
	const size_t size = 4 * sizeof(uint64_t);
	int r = fg_store_get_blob(c->store, "hash_seed", ret_seed, size);

	if (r == (int)size)
		return 0;
	if (getrandom(ret_seed, size, 0) != (ssize_t)size)
		return -errno;
	return fg_store_put_blob(c->store, "hash_seed", ret_seed, size);
}
