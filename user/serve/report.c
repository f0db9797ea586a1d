/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "model/family.h"
#include "serve/bouncer.h"
#include "serve/cohorts.h"
#include "serve/evidence.h"
#include "serve/fairness.h"
#include "serve/guarded.h"
#include "serve/http.h"

#define FG_NAME_TEXT(name) #name,
static const char *const outcome_names[] = { FG_ACCOUNTED(FG_NAME_TEXT) FG_LOSSES(FG_NAME_TEXT) };
static const char *const incomplete_names[] = { FG_INCOMPLETE(FG_NAME_TEXT) };
static const char *const event_names[] = { FG_EVENTS(FG_NAME_TEXT) };
#undef FG_NAME_TEXT
_Static_assert(sizeof(outcome_names) / sizeof(outcome_names[0]) == _FG_OUTCOME_MAX, "outcomes");

static uint64_t sum(const __u64 *counters, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += counters[i];
	return total;
}

static void named(struct fg_jsonw *w, const char *key, const char *const *names,
		  const __u64 *counters, size_t n)
{
	fg_jsonw_key(w, key);
	fg_jsonw_object(w);
	for (size_t i = 0; i < n; i++)
		fg_jsonw_key_u64(w, names[i], counters[i]);
	fg_jsonw_object_end(w);
}

static void accounted_and_losses(struct fg_jsonw *w, const struct fg_totals *t)
{
	named(w, "accounted", outcome_names, t->frames, _FG_ACCOUNTED_END);
	named(w, "losses", outcome_names + _FG_ACCOUNTED_END, t->frames + _FG_ACCOUNTED_END,
	      _FG_OUTCOME_MAX - _FG_ACCOUNTED_END);
}

const char *fg_report_subject(const struct fg_verdict *v, char *buf)
{
	bool whole = v->bits == (fg_ip_is4(v->addr) ? 128 : 64);

	return whole ? fg_ip_source(v->addr, buf) : fg_ip_prefix(v->addr, v->bits, buf);
}

/* What the gate stopped for it; null where it has no block of it, or nothing came. */
static void write_hits(struct fg_jsonw *w, const struct fg_view *view, const struct fg_verdict *v)
{
	uint64_t hits, last_ns = 0;
	bool held = fg_report_hits(view, v, &hits, &last_ns);

	fg_jsonw_key(w, "hits");
	if (held)
		fg_jsonw_u64(w, hits);
	else
		fg_jsonw_null(w);
	if (last_ns) {
		fg_jsonw_key_time(w, "last_hit", last_ns);
	} else {
		fg_jsonw_key(w, "last_hit");
		fg_jsonw_null(w);
	}
}

bool fg_report_hits(const struct fg_view *view, const struct fg_verdict *v, uint64_t *ret_hits,
		    uint64_t *ret_last_ns)
{
	/* what is not to be enforced is in no drop map: no need to ask the kernel */
	return view->gate_hits && v->tier == FG_TIER_ENFORCE &&
	       !view->gate_hits(view->agent, v, ret_hits, ret_last_ns);
}

void fg_report_verdict(struct fg_jsonw *w, const struct fg_view *view, const struct fg_verdict *v)
{
	char buf[FG_IP_TEXT], cohort[FG_COHORT_TEXT];

	fg_jsonw_object(w);
	fg_jsonw_key(w, "id");
	fg_jsonw_i64(w, v->id);
	fg_jsonw_key_string(w, "source", fg_report_subject(v, buf));
	fg_jsonw_key_string(w, "ja4", v->ja4[0] ? v->ja4 : "-");
	fg_jsonw_key_string(w, "stem", v->stem_text[0] ? v->stem_text : "-");
	fg_jsonw_key_string(w, "stack", v->stack_text[0] ? v->stack_text : "-");
	fg_jsonw_key_string(w, "stack_family", fg_stack_family_name(fg_stack_family(v->stack)));
	fg_jsonw_key_string(w, "kind", v->cohort ? "member" : "source");
	fg_jsonw_key_string(w, "tier", fg_tier_name(v->tier));
	fg_jsonw_key(w, "cohort");
	if (v->cohort)
		fg_jsonw_string(w, fg_cohort_id_text(v->cohort, cohort));
	else
		fg_jsonw_null(w);
	fg_jsonw_key_double(w, "score", v->score);
	fg_jsonw_key_time(w, "first_flagged", v->first_ns);
	fg_jsonw_key_time(w, "until", v->until_ns);
	fg_jsonw_key_string(w, "state", v->tier == FG_TIER_OBSERVE ? "cooling" : "standing");
	fg_jsonw_key_u64(w, "strikes", v->strikes);
	fg_jsonw_key_string(w, "origin", v->origin == FG_ORIGIN_OPERATOR ? "operator" : "detector");
	fg_jsonw_key_bool(w, "proven", v->proven);
	fg_jsonw_key_bool(w, "shared", v->shared);
	fg_jsonw_key_string(w, "reason", v->reason);
	fg_guarded_write(w, view, v);
	write_hits(w, view, v);
	fg_evidence_write_flag(w, view, v);
	fg_jsonw_key(w, "evidence");
	fg_jsonw_array(w);
	for (size_t i = 0; i < v->n_evidence; i++)
		fg_evidence_write(w, &v->evidence[i]);
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

static double by_score(const struct fg_verdict *v)
{
	return v->score;
}

static double by_first(const struct fg_verdict *v)
{
	return (double)v->first_ns;
}

static double by_until(const struct fg_verdict *v)
{
	return (double)v->until_ns;
}

/* FG_REPORT_SORTS; the first is the default. */
static const struct {
	const char *name;
	double (*key)(const struct fg_verdict *verdict);
} sorts[] = { { "score", by_score }, { "first_flagged", by_first }, { "until", by_until } };
#define N_SORTS (sizeof(sorts) / sizeof(sorts[0]))

bool fg_report_sorts(const char *field)
{
	for (size_t i = 0; i < N_SORTS; i++)
		if (!strcmp(sorts[i].name, field))
			return true;
	return false;
}

struct ranked {
	double key;
	const struct fg_verdict *verdict;
};

/* Largest first; of equals the newest. */
static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	return x->verdict->id < y->verdict->id ? 1 : -1;
}

/* The verdicts of a query, ranked; *ret_n of them before the limit. The store caps their number. */
static int rank(const struct fg_view *v, const struct fg_flagged_query *q, struct ranked **ret_rows,
		size_t *ret_n)
{
	size_t n = 0, sort = 0, standing = fg_store_n(v->store);
	/* what cools is in tier observe */
	size_t all =
		standing +
		(q->min_tier == FG_TIER_OBSERVE ? fg_store_n_in(v->store, FG_STATE_COOLING) : 0);
	struct ranked *rows = calloc(all + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; q->sort && i < N_SORTS; i++)
		if (!strcmp(sorts[i].name, q->sort))
			sort = i;
	for (size_t i = 0; i < all; i++) {
		const struct fg_verdict *verdict =
			i < standing ? fg_store_at(v->store, i) :
				       fg_store_in(v->store, FG_STATE_COOLING, i - standing);

		if (verdict->tier >= q->min_tier && verdict->updated_ns >= q->since_ns)
			rows[n++] = (struct ranked){ sorts[sort].key(verdict), verdict };
	}
	qsort(rows, n, sizeof(*rows), by_rank);
	*ret_rows = rows;
	*ret_n = n;
	return 0;
}

static void write_flagged(struct fg_jsonw *w, const struct fg_view *v, const struct ranked *rows,
			  size_t n, size_t limit)
{
	fg_jsonw_key(w, "flagged");
	fg_jsonw_array(w);
	for (size_t i = 0; i < n && i < limit; i++)
		fg_report_verdict(w, v, rows[i].verdict);
	fg_jsonw_array_end(w);
	fg_jsonw_key_u64(w, "total", n);
}

static uint64_t count_flagged(const struct fg_view *v, enum fg_tier min_tier)
{
	uint64_t n = 0;

	for (size_t i = 0; i < fg_store_n(v->store); i++)
		n += fg_store_at(v->store, i)->tier >= min_tier;
	return n;
}

static void write_degraded(struct fg_jsonw *w, const struct fg_view *v)
{
	fg_jsonw_key(w, "degraded");
	fg_jsonw_array(w);
	for (size_t i = 0; i < v->n_degraded; i++)
		fg_jsonw_string(w, v->degraded[i]);
	fg_jsonw_array_end(w);
}

int fg_report_flagged(FILE *out, struct fg_view *v, const struct fg_flagged_query *q)
{
	const struct fg_totals *t = fg_model_received(v->model);
	_cleanup_free_ struct ranked *rows = NULL;
	struct fg_jsonw w;
	size_t n;
	int r = rank(v, q, &rows, &n);

	if (r)
		return r;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_u64(&w, "packets", sum(t->frames, _FG_OUTCOME_MAX));
	fg_jsonw_key_u64(&w, "bytes", t->bytes);
	fg_jsonw_key_time(&w, "first_packet", v->first_packet_ns);
	fg_jsonw_key_time(&w, "last_packet", v->last_packet_ns);
	fg_jsonw_key_u64(&w, "connections", t->events[FG_EVENT_connections]);
	fg_jsonw_key_u64(&w, "proven", t->events[FG_EVENT_proven]);
	fg_jsonw_key_u64(&w, "hellos", t->events[FG_EVENT_hellos]);
	fg_jsonw_key_u64(&w, "incomplete", sum(t->incomplete, _FG_INCOMPLETE_MAX));
	fg_jsonw_key_u64(&w, "exchanges", fg_model_exchanges(v->model));
	fg_jsonw_key_u64(&w, "sources", fg_model_n_sources(v->model));
	fg_jsonw_key_u64(&w, "clients", fg_model_n_clients(v->model));
	fg_jsonw_key_u64(&w, "fingerprints", fg_model_n_prints(v->model));
	fg_jsonw_key_u64(&w, "syns_unproven",
			 t->events[FG_EVENT_syns] - t->events[FG_EVENT_syns_proven]);
	accounted_and_losses(&w, t);
	named(&w, "incomplete_reasons", incomplete_names, t->incomplete, _FG_INCOMPLETE_MAX);
	named(&w, "events", event_names, t->events, _FG_EVENT_MAX);
	write_flagged(&w, v, rows, n, q->limit);
	fg_cohorts_write(&w, v, q->min_tier, q->since_ns, q->limit);
	fg_networks_write(&w, v);
	write_degraded(&w, v);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w);
}

static void write_interfaces(struct fg_jsonw *w, const struct fg_view *v)
{
	fg_jsonw_key(w, "interfaces");
	fg_jsonw_array(w);
	for (size_t i = 0; i < v->n_interfaces; i++) {
		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "name", v->interfaces[i].name);
		fg_jsonw_key_string(w, "attach", v->interfaces[i].attach);
		fg_jsonw_key_u64(w, "packets", v->interfaces[i].packets);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
}

static void write_maps(struct fg_jsonw *w, const struct fg_view *v)
{
	fg_jsonw_key(w, "maps");
	fg_jsonw_array(w);
	for (size_t i = 0; i < v->n_maps; i++) {
		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "name", v->maps[i].name);
		fg_jsonw_key_u64(w, "entries", v->maps[i].entries);
		fg_jsonw_key_u64(w, "capacity", v->maps[i].capacity);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
}

static void write_exports(struct fg_jsonw *w, const struct fg_view *v)
{
	fg_jsonw_key(w, "exports");
	fg_jsonw_array(w);
	for (size_t i = 0; i < v->n_exports; i++) {
		const struct fg_view_export *e = &v->exports[i];

		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "name", e->name);
		fg_jsonw_key_u64(w, "held", e->held);
		fg_jsonw_key_u64(w, "applied", e->applied);
		fg_jsonw_key_u64(w, "batches", e->batches);
		fg_jsonw_key_u64(w, "errors", e->errors);
		fg_jsonw_key_u64(w, "rewrites", e->rewrites);
		fg_jsonw_key_u64(w, "unexportable", e->unexportable);
		fg_jsonw_key(w, "last_success");
		if (e->last_success_ns)
			fg_jsonw_time(w, e->last_success_ns);
		else
			fg_jsonw_null(w);
		fg_jsonw_key_double(w, "last_batch_ms", (double)e->last_batch_ns / 1e6);
		fg_jsonw_key_bool(w, "failing", e->failing);
		fg_jsonw_key_string(w, "error", e->error[0] ? e->error : NULL);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
}

/* What the model had no room for, how large it is, and whether clocks tell hosts apart here. */
static void write_model(struct fg_jsonw *w, const struct fg_model *m)
{
	const struct fg_model_refused r = fg_model_refused(m);
	const struct fg_ts_joins ts = fg_model_ts_joins(m);

	fg_jsonw_key(w, "refused");
	fg_jsonw_object(w);
#define FG_WRITE(name) fg_jsonw_key_u64(w, #name, r.name);
	FG_MODEL_REFUSED(FG_WRITE)
#undef FG_WRITE
	fg_jsonw_object_end(w);
	fg_jsonw_key_u64(w, "model_bytes", fg_model_bytes(m));
	fg_jsonw_key(w, "timestamps");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "n", ts.n);
	fg_jsonw_key(w, "joined_share");
	if (ts.n)
		fg_jsonw_double(w, (double)ts.joined / (double)ts.n);
	else
		fg_jsonw_null(w);
	fg_jsonw_object_end(w);
}

/* The application feed, where it is on. */
static void write_feed(struct fg_jsonw *w, const struct fg_view *v)
{
	const struct fg_accounts_refused r = fg_accounts_refused(v->accounts);
	const struct fg_feed_counts *f = v->feed;

	fg_jsonw_key(w, "feed");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "connections", f->connections);
	fg_jsonw_key_u64(w, "connections_refused", f->connections_refused);
	fg_jsonw_key_u64(w, "lines", f->lines);
	fg_jsonw_key_u64(w, "messages", f->messages);
	fg_jsonw_key_u64(w, "lookups", f->lookups);
	fg_jsonw_key_u64(w, "client_unknown", f->client_unknown);
	fg_jsonw_key_u64(w, "answers_lost", f->answers_lost);
	fg_jsonw_key_u64(w, "slow", f->slow);
	fg_jsonw_key(w, "refused");
	fg_jsonw_object(w);
	for (int i = 0; i < _FG_FEED_REFUSED_MAX; i++)
		fg_jsonw_key_u64(w, fg_feed_refused_name((enum fg_feed_refused)i), f->refused[i]);
	fg_jsonw_object_end(w);
	fg_jsonw_key(w, "outcomes");
	fg_jsonw_object(w);
	for (int i = 0; i < _FG_ACCOUNT_OUTCOME_MAX; i++)
		fg_jsonw_key_u64(w, fg_account_outcome_name((enum fg_account_outcome)i),
				 fg_accounts_outcomes(v->accounts)[i]);
	fg_jsonw_object_end(w);
	fg_jsonw_key_u64(w, "accounts", fg_accounts_n(v->accounts));
	fg_jsonw_key_u64(w, "clients", fg_accounts_n_clients(v->accounts));
	fg_jsonw_key_u64(w, "pairs", fg_accounts_n_pairs(v->accounts));
	fg_jsonw_key(w, "no_room");
	fg_jsonw_object(w);
#define FG_WRITE(name) fg_jsonw_key_u64(w, #name, r.name);
	FG_ACCOUNTS_REFUSED(FG_WRITE)
#undef FG_WRITE
	fg_jsonw_object_end(w);
	fg_jsonw_object_end(w);
}

int fg_report_status(FILE *out, struct fg_view *v)
{
	const struct fg_totals *t = fg_model_received(v->model);
	const struct fg_totals *replies = fg_model_replies(v->model);
	struct fg_jsonw w;
	uint64_t now_ns;

	v->refresh(v->agent);
	now_ns = v->now_ns(v->agent);
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "version", FG_VERSION);
	fg_jsonw_key_string(&w, "role", v->role);
	fg_jsonw_key_string(&w, "mode", v->mode);
	write_interfaces(&w, v);
	fg_jsonw_key_u64(&w, "packets", sum(t->frames, _FG_OUTCOME_MAX));
	fg_jsonw_key_u64(&w, "bytes", t->bytes);
	accounted_and_losses(&w, t);
	fg_jsonw_key_u64(&w, "connections", t->events[FG_EVENT_connections]);
	fg_jsonw_key_u64(&w, "proven", t->events[FG_EVENT_proven]);
	fg_jsonw_key_u64(&w, "hellos", t->events[FG_EVENT_hellos]);
	fg_jsonw_key_u64(&w, "exchanges", fg_model_exchanges(v->model));
	fg_jsonw_key_u64(&w, "sources", fg_model_n_sources(v->model));
	fg_jsonw_key_u64(&w, "clients", fg_model_n_clients(v->model));
	fg_jsonw_key_u64(&w, "fingerprints", fg_model_n_prints(v->model));
	fg_jsonw_key_u64(&w, "flagged", count_flagged(v, FG_TIER_ALERT));
	fg_jsonw_key_u64(&w, "syns_unproven",
			 t->events[FG_EVENT_syns] - t->events[FG_EVENT_syns_proven]);
	named(&w, "incomplete", incomplete_names, t->incomplete, _FG_INCOMPLETE_MAX);
	named(&w, "events", event_names, t->events, _FG_EVENT_MAX);
	named(&w, "replies", outcome_names, replies->frames, _FG_OUTCOME_MAX);
	write_maps(&w, v);
	write_exports(&w, v);
	write_model(&w, v->model);
	fg_jsonw_key_u64(&w, "summaries", fg_store_n_summaries(v->store));
	fg_cohorts_write_state(&w, v);
	if (v->feed)
		write_feed(&w, v);
	if (v->http)
		fg_http_write(&w, v->http);
	if (v->crowdsec)
		fg_bouncers_write(&w, v);
	fg_networks_write(&w, v);
	fg_fairness_write(&w, v);
	fg_guarded_write_state(&w, v);
	fg_jsonw_key_double(&w, "uptime_s",
			    (double)(now_ns > v->started_ns ? now_ns - v->started_ns : 0) / 1e9);
	write_degraded(&w, v);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w);
}

static void list_nonzero(FILE *out, const char *title, const char *const *names,
			 const __u64 *counters, size_t n)
{
	fprintf(out, "%s", title);
	if (!sum(counters, n))
		fputs(" none", out);
	for (size_t i = 0; i < n; i++)
		if (counters[i])
			fprintf(out, "  %s %llu", names[i], (unsigned long long)counters[i]);
	fputc('\n', out);
}

static void evidence_for_people(FILE *out, const struct fg_evidence *e)
{
	char benign[FG_EVIDENCE_TEXT];

	fprintf(out, "      %s\n", e->text);
	if (e->n_benign)
		fprintf(out, "        %s\n", fg_evidence_benign_text(e, benign, sizeof(benign)));
}

static void cohorts_for_people(FILE *out, const struct fg_view *v)
{
	size_t n = v->cohorts ? fg_cohorts_n(v->cohorts) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct fg_cohort *c = fg_cohorts_at(v->cohorts, i);
		const struct fg_interval bounds = fg_cohort_interval(c);
		struct fg_evidence evidence[FG_MAX_EVIDENCE];
		size_t found = fg_cohort_evidence(c, evidence, FG_MAX_EVIDENCE);
		char what[256], from[32];

		if (c->part_of)
			continue;
		fg_cohort_what(c, v->model, what, sizeof(what));
		fprintf(out, "cohort c%u     %s\n", c->id, what);
		fprintf(out,
			"  since %s, %u members of %u networks, farm of about %.0f (%.0f to %.0f) "
			"active%s\n",
			fg_num_time(c->first_ns, from), c->members, c->networks, c->excess,
			bounds.low, bounds.high,
			c->warm ? "" : "; a report only, the baseline is too young");
		for (size_t k = 0; k < found; k++)
			evidence_for_people(out, &evidence[k]);
	}
}

static void flagged_for_people(FILE *out, const struct ranked *rows, size_t n)
{
	fprintf(out, "flagged       %zu\n", n);
	for (size_t i = 0; i < n; i++) {
		const struct fg_verdict *verdict = rows[i].verdict;
		char buf[FG_IP_TEXT];

		fprintf(out, "  %-22s %-8s %6.1f nats  %s\n", fg_report_subject(verdict, buf),
			fg_tier_name(verdict->tier), verdict->score, verdict->ja4);
		for (size_t k = 0; k < verdict->n_evidence; k++)
			evidence_for_people(out, &verdict->evidence[k]);
	}
}

static void write_people(FILE *out, const struct fg_view *v, const struct ranked *rows, size_t n)
{
	const struct fg_totals *t = fg_model_received(v->model);
	const __u64 *e = t->events;
	char from[32], to[32];

	fprintf(out, "packets       %llu (%llu bytes)",
		(unsigned long long)sum(t->frames, _FG_OUTCOME_MAX), (unsigned long long)t->bytes);
	if (v->first_packet_ns)
		fprintf(out, ", %s to %s", fg_num_time(v->first_packet_ns, from),
			fg_num_time(v->last_packet_ns, to));
	fputc('\n', out);
	list_nonzero(out, "accounted    ", outcome_names, t->frames, _FG_ACCOUNTED_END);
	list_nonzero(out, "losses       ", outcome_names + _FG_ACCOUNTED_END,
		     t->frames + _FG_ACCOUNTED_END, _FG_OUTCOME_MAX - _FG_ACCOUNTED_END);
	fprintf(out, "connections   %llu, of these %llu proven\n",
		(unsigned long long)e[FG_EVENT_connections],
		(unsigned long long)e[FG_EVENT_proven]);
	fprintf(out, "hellos        %llu complete, %llu incomplete\n",
		(unsigned long long)e[FG_EVENT_hellos],
		(unsigned long long)sum(t->incomplete, _FG_INCOMPLETE_MAX));
	fprintf(out, "exchanges     %llu\n", (unsigned long long)fg_model_exchanges(v->model));
	fprintf(out, "sources       %zu, clients %zu, fingerprints %zu\n",
		fg_model_n_sources(v->model), fg_model_n_clients(v->model),
		fg_model_n_prints(v->model));
	for (size_t i = 0; i < v->n_degraded; i++)
		fprintf(out, "degraded      %s\n", v->degraded[i]);
	if (fg_networks_weaker(v))
		fprintf(out, "weaker        %s\n", fg_networks_weaker(v));
	cohorts_for_people(out, v);
	flagged_for_people(out, rows, n);
}

int fg_report_write(FILE *out, struct fg_view *v, bool json)
{
	const struct fg_flagged_query all = { .min_tier = FG_TIER_ALERT, .limit = SIZE_MAX };
	_cleanup_free_ struct ranked *rows = NULL;
	size_t n;
	int r;

	r = json ? fg_report_flagged(out, v, &all) : rank(v, &all, &rows, &n);
	if (r)
		return r;
	if (!json)
		write_people(out, v, rows, n);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
