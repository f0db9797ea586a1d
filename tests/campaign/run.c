/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The world as epochs into the agent's core, in this process, its verdicts scored. The core runs
 * with its defaults in mode enforce, so that verdicts reach the tier they would reach; nothing is
 * exported, and the world does not feel them but in F9, where who is flagged is banned.
 */
#include "campaign/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/core.h"
#include "campaign/epochs.h"
#include "campaign/reliability.h"
#include "campaign/score.h"
#include "lib/ip.h"
#include "lib/mem.h"

#define EPOCH_S	     60
#define LOSS	     0.1
#define RESTART_DAYS 6 /* behind the first scored day */

struct cg_run {
	const struct cg_options *options;
	struct cg_world *world;
	struct cg_keys *keys;
	struct cg_epochs *epochs;
	struct cg_score *score;
	struct cg_reliability *reliability;
	struct fg_conf conf;
	struct fg_core core;
	char asn_file[64], state_dir[64];
	bool restarted;
	uint64_t read_ns, end_ns, connections, records, store_errors;
	uint32_t last_alarm, next_alarm; /* ids of cohorts that were told */
	double sum_e; /* of cells' mean e-values, over scored hours */
	uint64_t scored_hours;
};

static struct cg_actor_info actor_of(void *arg, uint32_t actor)
{
	return cg_world_actor(((struct cg_run *)arg)->world, actor);
}

static void ban(void *arg, uint32_t actor, uint64_t now_ns)
{
	struct cg_run *r = arg;

	if (!strcmp(r->options->world.scenario, "F9"))
		cg_world_ban(r->world, actor, now_ns);
}

static int open_score(struct cg_run *r)
{
	const struct cg_conf *w = &r->options->world;
	const struct cg_score_conf sc = { .start_ns = CG_START_NS,
					  .scored_ns = CG_START_NS + w->farm_day * CG_DAY_NS,
					  .actor = actor_of,
					  .flagged = ban,
					  .arg = r,
					  .log = stderr };

	return cg_score_new(&sc, &r->score);
}

static uint64_t epoch_ns(const struct cg_options *o)
{
	return (o->epoch_s ? o->epoch_s : EPOCH_S) * 1000000000ULL;
}

static int open_epochs(struct cg_run *r)
{
	const struct cg_options *o = r->options;
	const struct cg_epochs_conf ec = {
		.epoch_ns = epoch_ns(o),
		.server = cg_server_address,
		.no_times = o->ablation == CG_NO_TIMES,
		.ingress_only = o->ablation == CG_INGRESS_ONLY,
		.loss = o->ablation == CG_LOSS ? LOSS : 0,
	};

	return cg_epochs_new(&ec, r->keys, &r->epochs);
}

/* The table of networks as the file that an operator would give. */
static int write_asn(struct cg_run *r)
{
	FILE *out;
	int fd, e;

	strcpy(r->asn_file, "/tmp/farmgate-campaign-asn-XXXXXX");
	fd = mkstemp(r->asn_file);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!out) {
		fprintf(stderr, "campaign: %s: %s\n", r->asn_file, strerror(errno));
		return -EIO;
	}
	e = cg_world_write_asn(r->world, out);
	if (fclose(out) || e) {
		fprintf(stderr, "campaign: %s: %s\n", r->asn_file, e ? strerror(-e) : "no room");
		return e ? e : -EIO;
	}
	r->conf.asn_file = strdup(r->asn_file);
	return r->conf.asn_file ? 0 : -ENOMEM;
}

static const char *state_dir(struct cg_run *r)
{
	if (r->options->state_dir || r->options->ablation != CG_RESTART)
		return r->options->state_dir;
	if (!r->state_dir[0]) {
		strcpy(r->state_dir, "/tmp/farmgate-campaign-XXXXXX");
		if (!mkdtemp(r->state_dir))
			r->state_dir[0] = '\0';
	}
	return r->state_dir;
}

static int open_core(struct cg_run *r, uint64_t now_ns)
{
	char why[512] = "";
	int e = fg_core_open(&r->core, &r->conf, state_dir(r), now_ns, why, sizeof(why));

	if (e)
		fprintf(stderr, "campaign: the agent does not start: %s\n", why);
	return e;
}

static void remove_state(const struct cg_run *r)
{
	static const char *const names[] = { "farmgate.db", "farmgate.db-wal", "farmgate.db-shm" };
	char path[128];

	if (!r->state_dir[0])
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", r->state_dir, names[i]);
		unlink(path);
	}
	rmdir(r->state_dir);
}

void cg_run_close(struct cg_run **run)
{
	struct cg_run *r = *run;

	if (!r)
		return;
	fg_core_close(&r->core);
	fg_conf_done(&r->conf);
	cg_score_free(&r->score);
	cg_reliability_free(&r->reliability);
	cg_epochs_free(&r->epochs);
	cg_keys_free(&r->keys);
	if (r->world)
		cg_world_close(&r->world);
	if (r->asn_file[0])
		unlink(r->asn_file);
	remove_state(r);
	free(r);
	*run = NULL;
}

static int open_all(struct cg_run *r)
{
	int e = cg_open(&r->options->world, &r->world, &r->keys);

	fg_conf_init(&r->conf);
	r->conf.mode = FG_MODE_ENFORCE;
	r->end_ns = CG_START_NS + r->options->world.days * CG_DAY_NS;
	if (!e && r->options->ablation != CG_NO_TABLE)
		e = write_asn(r);
	if (!e)
		e = open_epochs(r);
	if (!e)
		e = open_score(r);
	if (!e)
		e = cg_reliability_new(&r->reliability);
	if (!e)
		e = open_core(r, CG_START_NS);
	return e;
}

/* Who was flagged for itself since the last reading. */
static void tell_verdict(const struct fg_verdict *v)
{
	char who[FG_IP_TEXT];

	fprintf(stderr, "day %.2f %s %s, tier %s, %.1f nats%s%s\n",
		(double)(v->first_ns - CG_START_NS) / (double)CG_DAY_NS,
		fg_ip_prefix(v->addr, v->bits, who), v->stem_text, fg_tier_name(v->tier), v->score,
		v->reason[0] ? ": " : "", v->reason);
	for (size_t i = 0; i < v->n_evidence; i++)
		fprintf(stderr, "  %.1f %s\n", v->evidence[i].nats, v->evidence[i].text);
}

/* What stands in the store, told to the scorer. */
static int read_verdicts(struct cg_run *r)
{
	int e = 0;

	for (size_t i = 0; !e && i < fg_store_n(r->core.store); i++) {
		const struct fg_verdict *v = fg_store_at(r->core.store, i);

		if (r->options->verbose && !v->cohort && v->first_ns > r->read_ns)
			tell_verdict(v);
		e = cg_score_verdict(r->score, v->addr, v->stem, v->stack, v->tier, v->first_ns,
				     v->until_ns);
	}
	return e;
}

/* For who looks into a run. */
static void tell_alarm(const struct cg_run *r, const struct fg_cohort *c, const struct cg_alarm *a)
{
	struct fg_evidence e[FG_MAX_EVIDENCE];
	size_t n = fg_cohort_evidence(c, e, FG_MAX_EVIDENCE);
	char what[256];

	fg_cohort_what(c, r->core.model, what, sizeof(what));
	fprintf(stderr,
		"day %.2f c%u %s: %u clients, %u farm; excess %.0f of %.0f, %u members, nats R %.0f A %.0f "
		"C %.0f L %.0f%s\n",
		(double)(c->first_ns - CG_START_NS) / (double)CG_DAY_NS, c->id, what, a->clients,
		a->farm, c->excess, c->active, c->members, c->log_r[FG_FAMILY_RELAY],
		c->log_r[FG_FAMILY_AUTOMATION], c->log_r[FG_FAMILY_CLOCK],
		c->log_r[FG_FAMILY_LIFECYCLE], c->machines ? ", machines" : "");
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "  %s\n", e[i].text);
}

/* One cohort in alarm: how many of its cell's clients were a farm's? */
static void judge_alarm(struct cg_run *r, const struct fg_cohort *cohort)
{
	struct cg_alarm alarm = { .id = cohort->id, .time_ns = cohort->first_ns };
	const uint32_t *places;
	size_t n = fg_cohorts_active(r->core.cohorts, cohort, &places);

	for (size_t i = 0; i < n; i++) {
		const struct fg_model_client *c = fg_model_client_at(r->core.model, places[i]);

		alarm.clients++;
		alarm.farm += cg_score_is_farm(r->score, c->addr, c->stem, c->stack);
	}
	alarm.farm_active = (uint32_t)cg_score_farm_clients(r->score);
	for (size_t i = 0; i < fg_cohorts_n_members(r->core.cohorts); i++) {
		const struct fg_member *m = fg_cohorts_member_at(r->core.cohorts, i);

		alarm.enforced |= m->cohort == cohort->id && m->may_enforce;
	}
	if (r->options->verbose)
		tell_alarm(r, cohort, &alarm);
	cg_score_alarm(r->score, &alarm);
}

/* Cohorts that alarmed since the last reading, told to the scorer, each once. */
static int read_cohorts(struct cg_run *r)
{
	for (size_t i = 0; i < fg_cohorts_n(r->core.cohorts); i++) {
		const struct fg_cohort *c = fg_cohorts_at(r->core.cohorts, i);

		if (!c->warm || !c->in_alarm || c->part_of || c->id <= r->last_alarm)
			continue;
		if (c->id >= r->next_alarm)
			r->next_alarm = c->id;
		judge_alarm(r, c);
	}
	r->last_alarm = r->next_alarm;
	return 0;
}

/* What is said of members, and whether it is true. */
static int read_members(struct cg_run *r)
{
	int e = 0;

	for (size_t i = 0; !e && i < fg_cohorts_n_members(r->core.cohorts); i++) {
		const struct fg_member *m = fg_cohorts_member_at(r->core.cohorts, i);

		e = cg_reliability_member(r->reliability, cg_score_key(m->addr, m->stem, m->stack),
					  m->cohort, fg_member_est_fdr(m),
					  cg_score_is_farm(r->score, m->addr, m->stem, m->stack));
	}
	cg_reliability_hour(r->reliability);
	return e;
}

/* Members of the last hour that are no farm's. */
static void tell_false_members(const struct cg_run *r)
{
	char who[FG_IP_TEXT];

	for (size_t i = 0; i < fg_cohorts_n_members(r->core.cohorts); i++) {
		const struct fg_member *m = fg_cohorts_member_at(r->core.cohorts, i);
		const char *stem = fg_model_stem_text(r->core.model, m->stem);

		if (m->first_ns <= r->read_ns ||
		    cg_score_is_farm(r->score, m->addr, m->stem, m->stack))
			continue;
		fprintf(stderr,
			"day %.2f c%u %s %s is no farm's: odds %.1f, nats R %.1f A %.1f C %.1f L "
			"%.1f; relayed %u stack %u turns %u shape %u age %u clock %u\n",
			(double)(m->first_ns - CG_START_NS) / (double)CG_DAY_NS, m->cohort,
			fg_ip_source(m->addr, who), stem ? stem : "-", m->log_odds,
			m->nats[FG_FAMILY_RELAY], m->nats[FG_FAMILY_AUTOMATION],
			m->nats[FG_FAMILY_CLOCK], m->nats[FG_FAMILY_LIFECYCLE], m->relayed,
			m->stack_bin, m->turns_bin, m->shape_bin, m->age_days, m->clock);
	}
}

static void read_e_values(struct cg_run *r, uint64_t now_ns)
{
	const struct fg_cohorts_state state = fg_cohorts_state(r->core.cohorts);

	if (now_ns <= CG_START_NS + r->options->world.farm_day * CG_DAY_NS || !state.tested)
		return;
	r->sum_e += state.mean_e;
	r->scored_hours++;
}

static int read_hour(struct cg_run *r, uint64_t now_ns)
{
	int e = read_verdicts(r);

	read_e_values(r, now_ns);
	if (!e)
		e = read_cohorts(r);
	if (!e)
		e = read_members(r);
	if (r->options->verbose)
		tell_false_members(r);
	r->read_ns = now_ns;
	return e ? e : cg_score_hour(r->score, now_ns);
}

/* The agent ends and begins again with what its state folder holds. */
static int restart(struct cg_run *r, uint64_t now_ns)
{
	uint64_t day = r->options->world.farm_day + RESTART_DAYS;
	int e;

	if (r->options->ablation != CG_RESTART || r->restarted ||
	    now_ns < CG_START_NS + day * CG_DAY_NS)
		return 0;
	r->restarted = true;
	r->store_errors += r->core.store_errors;
	e = fg_core_save(&r->core);
	fg_core_close(&r->core);
	cg_epochs_restart(r->epochs);
	return e ? e : open_core(r, now_ns);
}

static int take_epoch(struct cg_run *r, struct fg_epoch *epoch)
{
	const struct cg_progress *progress;
	size_t n;
	int e;

	for (size_t i = 0; i < epoch->n_samples; i++)
		fg_core_sample(&r->core, &epoch->samples[i]);
	r->records += epoch->n_flows + epoch->n_sources + epoch->n_clients;
	e = fg_core_epoch(&r->core, epoch, NULL);
	if (e)
		return e;
	/* the core ends an hour when an epoch lies behind it; this one is not of that hour */
	if (epoch->start_ns % CG_HOUR_NS == 0 && epoch->start_ns > CG_START_NS)
		e = read_hour(r, epoch->start_ns);
	progress = cg_epochs_progress(r->epochs, &n);
	if (!e)
		e = cg_score_progress(r->score, progress, n);
	return e ? e : restart(r, epoch->end_ns);
}

static int take_until(struct cg_run *r, uint64_t now_ns)
{
	struct fg_epoch epoch;
	int e;

	while ((e = cg_epochs_end(r->epochs, now_ns, &epoch)) == 1) {
		e = take_epoch(r, &epoch);
		if (e)
			return e;
	}
	return e;
}

int cg_run_open(const struct cg_options *options, struct cg_run **ret_run)
{
	struct cg_run *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->options = options;
	e = open_all(r);
	if (!e)
		e = take_until(r, CG_START_NS);
	if (e)
		cg_run_close(&r);
	*ret_run = r;
	return e;
}

int cg_run_until(struct cg_run *r, uint64_t ns)
{
	const struct cg_connection *c;
	int e = 0, more = 1;

	while (!e && more && cg_world_next_ns(r->world) < ns) {
		more = cg_world_next(r->world, &c);
		/* a clock that was set may have put it behind the end */
		if (more != 1 || c->syn_ns >= r->end_ns)
			continue;
		e = take_until(r, c->syn_ns);
		if (!e)
			e = cg_epochs_add(r->epochs, c);
		r->connections++;
		if (r->connections == r->options->max_connections)
			break;
	}
	if (!e && more < 0)
		e = more;
	return e;
}

int cg_run_end(struct cg_run *r)
{
	int e = cg_run_until(r, r->end_ns);

	return e ? e : take_until(r, r->end_ns + epoch_ns(r->options));
}

int cg_run_become(struct cg_run *r, const struct cg_options *options)
{
	r->options = options;
	r->records = r->connections = 0;
	return cg_world_become(r->world, options->world.scenario, options->world.farm_scale);
}

static void print_reliability(const struct cg_reliability *r)
{
	struct cg_lfdr_bin bins[CG_LFDR_BINS], cohorts;
	unsigned int off;

	for (int i = 0; i < CG_LFDR_BINS; i++)
		bins[i] = cg_reliability_bin(r, i);
	cohorts = cg_reliability_cohorts(r, &off);
	fputc('\n', stderr);
	cg_reliability_print(bins, &cohorts, stderr);
	fprintf(stderr, "cohorts off by more than 2: %u\n", off);
}

void cg_run_print(const struct cg_run *r)
{
	const struct cg_conf *w = &r->options->world;
	struct rusage used;
	double cpu;

	getrusage(RUSAGE_SELF, &used);
	cpu = (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec +
	      (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	if (!r->options->no_header) {
		printf("scenario\tseed\tknob\tscale\tsources\tdays\tfarm_day\theavy_cap\tablation");
		cg_score_header(stdout);
		cg_reliability_header(stdout);
		printf("\tmean_e\tconnections\trecords\tcpu_s\trecords_per_s\trss_mb\tstore_errors\n");
	}
	printf("%s\t%llu\t%g\t%g\t%u\t%u\t%u\t%u\t%s", w->scenario, (unsigned long long)w->seed,
	       w->knob, w->farm_scale, w->legit_sources, w->days, w->farm_day, w->heavy_cap,
	       cg_ablation_name(r->options->ablation));
	cg_score_row(r->score, stdout);
	cg_reliability_row(r->reliability, stdout);
	printf("\t%.6g\t%llu\t%llu\t%.1f\t%.0f\t%ld\t%llu\n",
	       r->scored_hours ? r->sum_e / (double)r->scored_hours : 0,
	       (unsigned long long)r->connections, (unsigned long long)r->records, cpu,
	       (double)r->records / cpu, used.ru_maxrss >> 10,
	       (unsigned long long)(r->store_errors + r->core.store_errors));
	fprintf(stderr, "\n%s, seed %llu, %s\n", w->scenario, (unsigned long long)w->seed,
		cg_ablation_name(r->options->ablation));
	cg_score_print(r->score, stderr);
	print_reliability(r->reliability);
	fprintf(stderr, "\n%llu connections, %llu records, %.1f CPU s (%.0f records/s), %ld MB\n",
		(unsigned long long)r->connections, (unsigned long long)r->records, cpu,
		(double)r->records / cpu, used.ru_maxrss >> 10);
}

int cg_run(const struct cg_options *options)
{
	struct cg_run *r = NULL;
	int e = cg_run_open(options, &r);

	if (!e) {
		e = cg_run_end(r);
		if (e)
			fprintf(stderr, "campaign: stopped: %s\n", strerror(-e));
		else
			cg_run_print(r);
	}
	cg_run_close(&r);
	return e;
}
