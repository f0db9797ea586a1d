/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/explain.h"

#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/num.h"
#include "model/stack.h"
#include "serve/cohorts.h"
#include "serve/guarded.h"
#include "serve/lists.h"
#include "serve/report.h"
#include "serve/signals.h"
#include "verdict/decisions.h"
#include "verdict/life.h"

#define MAX_CLIENTS 32
/* Clients whose signals are said in sentences: the busiest. */
#define MAX_SAID     3
#define MAX_VERDICTS 16

/* The source that is asked about. An explanation is of one source; past decisions may be asked for
 * a wider prefix by its first address. */
static int source_of(const struct fg_query *q, bool one, uint8_t ret_addr[16], char *why,
		     size_t n_why)
{
	const char *text = q->argument(q->arg, "source");
	uint8_t addr[16], bits;

	if (!text) {
		snprintf(why, n_why, "source is missing");
		return 400;
	}
	if (fg_ip_parse(text, addr, &bits)) {
		snprintf(why, n_why, "source: '%s' is no address or prefix", text);
		return 400;
	}
	if (one && bits < (fg_ip_is4(addr) ? 128 : 64)) {
		snprintf(why, n_why, "source: '%s' holds many sources; ask about one of them",
			 text);
		return 400;
	}
	fg_ip_to_source(addr, ret_addr, &bits);
	return 0;
}

static void say_counts(struct fg_jsonw *w, const struct fg_model_source *s)
{
	char from[32], to[32];

	fg_jsonw_stringf(w,
			 "Seen from %s to %s: %llu connections, %llu of them proven; %llu complete "
			 "hellos, %llu incomplete; %llu exchanges, %llu bytes in, %llu bytes out.",
			 fg_num_time(s->first_ns, from), fg_num_time(s->last_ns, to),
			 (unsigned long long)s->connections, (unsigned long long)s->proven,
			 (unsigned long long)s->hellos, (unsigned long long)s->incomplete,
			 (unsigned long long)s->exchanges, (unsigned long long)s->bytes_in,
			 (unsigned long long)s->bytes_out);
	fg_jsonw_stringf(w, "Kinds of clients behind it: %u; fingerprints: %u.", s->clients,
			 s->fingerprints);
}

/* Why a detector's verdict has the tier it has. */
static void say_tier(struct fg_jsonw *w, const struct fg_verdict *v)
{
	if (v->reason[0])
		fg_jsonw_stringf(w, "Its tier is not higher because: %s.", v->reason);
	else if (v->tier == FG_TIER_ENFORCE)
		fg_jsonw_string(w, "Its tier is enforce: it is proven, not shared, not on the "
				   "allowlist, and the mode is enforce.");
}

/* What was seen, how usual it is, and below it what else it could be. */
static void say_evidence(struct fg_jsonw *w, const struct fg_evidence *e)
{
	char benign[FG_EVIDENCE_TEXT], from[48] = "";

	if (e->baseline_n > 0)
		snprintf(from, sizeof(from), " of %.0f", e->baseline_n);
	fg_jsonw_stringf(w, "%s, %s: %s %.1f nats%s; %.3g %%%s show as much.",
			 fg_family_name(e->family), e->name, e->text, e->nats,
			 e->capped ? " at their cap" : "", 100 * e->base_rate, from);
	if (e->n_benign)
		fg_jsonw_string(w, fg_evidence_benign_text(e, benign, sizeof(benign)));
}

/* What became of a block in the kernel. */
static void say_hits(struct fg_jsonw *w, const struct fg_view *view, const struct fg_verdict *v)
{
	const char *what = v->stem ? "hellos" : "SYNs and hellos";
	uint64_t hits, last_ns;
	char last[32];

	if (!fg_report_hits(view, v, &hits, &last_ns))
		return;
	if (hits)
		fg_jsonw_stringf(w, "The gate dropped %llu of its %s, the last at %s.",
				 (unsigned long long)hits, what, fg_num_time(last_ns, last));
	else
		fg_jsonw_stringf(w, "The gate has dropped none of its %s yet.", what);
}

static void say_verdict(struct fg_jsonw *w, const struct fg_view *view, const struct fg_verdict *v)
{
	bool by_operator = v->origin == FG_ORIGIN_OPERATOR;
	char from[32], until[32], prefix[FG_IP_TEXT];

	if (by_operator)
		fg_jsonw_stringf(
			w, "%s is blocked by the operator%s%s, tier %s, from %s until %s%s%s.",
			fg_report_subject(v, prefix),
			v->stem ? ", only clients with the stem " : "", v->stem ? v->stem_text : "",
			fg_tier_name(v->tier), fg_num_time(v->first_ns, from),
			fg_num_time(v->until_ns, until), v->reason[0] ? "; reason: " : "",
			v->reason);
	else
		fg_jsonw_stringf(w, "%s with %.1f nats, tier %s, from %s until %s.",
				 v->cohort & FG_COMMUNITY ?
					 "Its client is flagged for the accounts on it" :
				 v->cohort ? "Its client is flagged as a member of a cohort" :
					     "Flagged",
				 v->score, fg_tier_name(v->tier), fg_num_time(v->first_ns, from),
				 fg_num_time(v->until_ns, until));
	if (v->strikes)
		fg_jsonw_stringf(w, "It came back %u times while it cooled.", v->strikes);
	for (size_t i = 0; i < v->n_evidence; i++)
		say_evidence(w, &v->evidence[i]);
	if (!by_operator)
		say_tier(w, v);
	fg_guarded_say(w, view, v);
	say_hits(w, view, v);
}

/* Verdicts of the past that still matter. */
static void say_kept(struct fg_jsonw *w, const struct fg_view *v, const uint8_t addr[16],
		     enum fg_state state)
{
	const struct fg_verdict *kept[MAX_VERDICTS];
	size_t n = fg_store_find_in(v->store, state, addr, kept, MAX_VERDICTS);
	char from[32], until[32];

	for (size_t i = 0; i < n; i++) {
		if (kept[i]->origin == FG_ORIGIN_OPERATOR)
			continue;
		fg_num_time(kept[i]->first_ns, from);
		fg_num_time(kept[i]->kept_ns, until);
		if (state == FG_STATE_COOLING)
			fg_jsonw_stringf(
				w,
				"It cools: flagged with %.1f nats at %s, quiet since; flagged "
				"again before %s its verdict lasts %d times as long (strikes "
				"so far: %u).",
				kept[i]->score, from, until, FG_ESCALATION, kept[i]->strikes);
		else
			fg_jsonw_stringf(
				w,
				"An operator ended its verdict of %s with %.1f nats: until %s "
				"only new evidence flags it again.",
				from, kept[i]->score, until);
	}
}

/* Entries of the allowlist that cover a source: sentences, or with text false objects. */
static void each_allow(struct fg_jsonw *w, const struct fg_view *v, const uint8_t addr[16],
		       bool text)
{
	uint64_t now_ns = v->now_ns(v->agent);
	uint8_t bits = fg_ip_is4(addr) ? 128 : 64;

	for (size_t i = 0; i < fg_store_n_allow(v->store); i++) {
		const struct fg_allow *a = fg_store_allow_at(v->store, i);
		char prefix[FG_IP_TEXT], until[32];

		if ((a->until_ns && a->until_ns <= now_ns) ||
		    !fg_ip_contains(a->addr, a->bits, addr, bits))
			continue;
		if (text)
			fg_jsonw_stringf(
				w,
				"It is on the allowlist, so nothing is enforced against it: "
				"%s, %s%s%s%s.",
				fg_ip_prefix(a->addr, a->bits, prefix),
				a->until_ns ? "until " : "without end",
				a->until_ns ? fg_num_time(a->until_ns, until) : "",
				a->reason[0] ? "; reason: " : "", a->reason);
		else
			fg_list_allow_entry(w, a);
	}
}

/* The same of allow files, which hold no entries that could be listed. */
static void say_allow_file(struct fg_jsonw *w, const struct fg_view *v, const uint8_t addr[16])
{
	char reason[160];

	if (fg_store_extra_allows(v->store, addr, fg_ip_is4(addr) ? 128 : 64, reason))
		fg_jsonw_stringf(w,
				 "It is on the allowlist, so nothing is enforced against it: %s.",
				 reason);
}

/* What the sketch has for a source, once there is anything in it at all. */
static void say_overflow(struct fg_jsonw *w, const struct fg_view *v, const uint8_t addr[16])
{
	uint64_t n = v->overflow(v->agent, addr);

	if (n)
		fg_jsonw_stringf(
			w,
			"The table of sources was full: at most %llu of its proven connections "
			"were counted without a row.",
			(unsigned long long)n);
}

static void write_sentences(struct fg_jsonw *w, const struct fg_view *v, const uint8_t addr[16],
			    const struct fg_model_source *s,
			    const struct fg_verdict *const *verdicts, size_t n)
{
	fg_jsonw_key(w, "sentences");
	fg_jsonw_array(w);
	if (s) {
		say_counts(w, s);
		fg_signals_say_source(w, v, s);
	} else if (!v->overflow(v->agent, addr)) {
		fg_jsonw_string(w, "No proven connection of this source was seen.");
	}
	say_overflow(w, v, addr);
	for (size_t i = 0; i < n; i++)
		say_verdict(w, v, verdicts[i]);
	if (!n)
		fg_jsonw_string(w, "No verdict stands on it.");
	say_kept(w, v, addr, FG_STATE_COOLING);
	say_kept(w, v, addr, FG_STATE_ENDED);
	each_allow(w, v, addr, true);
	say_allow_file(w, v, addr);
	if (n && fg_networks_weaker(v))
		fg_jsonw_stringf(w, "Weaker here: %s.", fg_networks_weaker(v));
	fg_jsonw_stringf(w, "Mode is %s.", v->mode);
	fg_jsonw_array_end(w);
}

/* What the busiest clients' connections tell, in sentences; the figures are with each client. */
static void write_signals(struct fg_jsonw *w, const struct fg_view *v,
			  const struct fg_model_client *const *clients, size_t n)
{
	char stack[FG_STACK_TEXT];

	fg_jsonw_key(w, "signals");
	fg_jsonw_array(w);
	for (size_t i = 0; i < n && i < MAX_SAID; i++) {
		const struct fg_model_print *print = fg_model_print_of(v->model, clients[i]);

		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "stem", print && print->named ? print->stem_text : "-");
		fg_jsonw_key_string(w, "stack", fg_stack_text(clients[i]->stack, stack));
		fg_jsonw_key(w, "sentences");
		fg_jsonw_array(w);
		fg_signals_say(w, v->model, clients[i]);
		fg_jsonw_array_end(w);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
}

static int explain_cohort(FILE *out, struct fg_view *v, const char *id, char *why, size_t n_why)
{
	const struct fg_cohort *cohort =
		v->cohorts ? fg_cohorts_find(v->cohorts, fg_cohort_id_parse(id)) : NULL;
	struct fg_jsonw w;

	if (!cohort) {
		snprintf(why, n_why,
			 "cohort: '%s' is none that stands; farmgate cohorts lists them", id);
		return 404;
	}
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_cohort_explain(&w, v, cohort);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

int fg_explain(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	const struct fg_model_client *clients[MAX_CLIENTS];
	const struct fg_verdict *verdicts[MAX_VERDICTS];
	const struct fg_model_source *s;
	const char *subject = q->argument(q->arg, "source");
	char buf[FG_IP_TEXT];
	struct fg_jsonw w;
	uint8_t addr[16];
	size_t n, n_clients;
	int r;

	if (subject && fg_cohort_id_parse(subject))
		return explain_cohort(out, v, subject, why, n_why);
	r = source_of(q, true, addr, why, n_why);
	if (r)
		return r;
	s = fg_model_source_find(v->model, addr);
	n = fg_store_find(v->store, addr, verdicts, MAX_VERDICTS);
	n_clients = fg_model_clients_of(v->model, addr, clients, MAX_CLIENTS);
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "source", fg_ip_source(addr, buf));
	fg_jsonw_key_bool(&w, "seen", s != NULL);
	fg_jsonw_key_bool(&w, "allowed",
			  fg_store_allowed(v->store, addr, fg_ip_is4(addr) ? 128 : 64,
					   v->now_ns(v->agent)));
	write_sentences(&w, v, addr, s, verdicts, n);
	fg_jsonw_key(&w, "allow");
	fg_jsonw_array(&w);
	each_allow(&w, v, addr, false);
	fg_jsonw_array_end(&w);
	fg_jsonw_key_u64(&w, "overflow", v->overflow(v->agent, addr));
	if (s)
		fg_signals_write_source(&w, v, s);
	write_signals(&w, v, clients, n_clients);
	fg_jsonw_key_u64(&w, "clients_total", s ? s->clients : 0);
	fg_jsonw_key(&w, "clients");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n_clients; i++) {
		fg_jsonw_object(&w);
		fg_list_client_fields(&w, v->model, clients[i]);
		fg_signals_write_reach(&w, v, clients[i]->stem);
		fg_jsonw_object_end(&w);
	}
	fg_jsonw_array_end(&w);
	fg_jsonw_key(&w, "verdicts");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n; i++)
		fg_report_verdict(&w, v, verdicts[i]);
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

struct past {
	struct fg_jsonw w;
	uint64_t n;
};

static int write_past(void *arg, uint64_t time_ns, int64_t id, const char *what, const char *who,
		      const char *reason)
{
	struct past *past = arg;
	struct fg_jsonw *w = &past->w;

	past->n++;
	fg_jsonw_object(w);
	fg_jsonw_key_time(w, "time", time_ns);
	fg_jsonw_key(w, "id");
	fg_jsonw_i64(w, id);
	fg_jsonw_key_string(w, "what", what);
	fg_jsonw_key_string(w, "who", who);
	fg_jsonw_key_string(w, "reason", reason);
	fg_jsonw_object_end(w);
	return 0;
}

static int write_decision(void *arg, const struct fg_decision *d)
{
	return write_past(arg, d->time_ns, d->id, d->what, d->who, d->reason);
}

/* r: what reading it came to. */
static int end_history(FILE *out, struct past *past, int r, char *why, size_t n_why)
{
	struct fg_jsonw *w = &past->w;

	fg_jsonw_array_end(w);
	fg_jsonw_key_u64(w, "total", past->n);
	fg_jsonw_object_end(w);
	fputc('\n', out);
	if (r < 0) {
		snprintf(why, n_why, "history: %s", strerror(-r));
		return 500;
	}
	return fg_jsonw_finish(w) ? 500 : 0;
}

/* What was decided about all of a cohort; about each member its source's history says it. */
static int cohort_history(FILE *out, struct fg_view *v, const char *cohort, char *why, size_t n_why)
{
	struct past past = { .n = 0 };
	struct fg_jsonw *w = &past.w;
	int r;

	fg_jsonw_init(w, out);
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "cohort", cohort);
	fg_jsonw_key(w, "history");
	fg_jsonw_array(w);
	r = fg_decisions_on(v->store, cohort, write_decision, &past);
	return end_history(out, &past, r, why, n_why);
}

int fg_explain_history(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	const char *subject = q->argument(q->arg, "source");
	struct past past = { .n = 0 };
	struct fg_jsonw *w = &past.w;
	char buf[FG_IP_TEXT];
	uint8_t addr[16];
	int r;

	if (subject && fg_cohort_id_parse(subject))
		return cohort_history(out, v, subject, why, n_why);
	r = source_of(q, false, addr, why, n_why);
	if (r)
		return r;
	fg_jsonw_init(w, out);
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "source", fg_ip_source(addr, buf));
	fg_jsonw_key(w, "history");
	fg_jsonw_array(w);
	r = fg_store_history(v->store, addr, write_past, &past);
	return end_history(out, &past, r, why, n_why);
}
