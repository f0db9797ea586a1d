/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/decide.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/num.h"
#include "serve/cohorts.h"

/* An allow may last; what has no end is written without a ttl. */
#define MAX_ALLOW_TTL_S (10ULL * 365 * 24 * 3600)

/* A string member; absent leaves it empty. @return 0, 400. */
static int take_text(json_t *body, const char *key, char *to, size_t n, char *why, size_t n_why)
{
	json_t *value = json_object_get(body, key);

	to[0] = '\0';
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value) || json_string_length(value) >= n) {
		snprintf(why, n_why, "%s: not a text of less than %zu bytes", key, n);
		return 400;
	}
	memcpy(to, json_string_value(value), json_string_length(value) + 1);
	return 0;
}

/* A key that would change nothing is refused: an allow with a stem must not allow everybody. */
static int check_keys(json_t *body, const char *keys, char *why, size_t n_why)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
	{
		const char *at = key[0] && !strchr(key, ' ') ? strstr(keys, key) : NULL;
		size_t n = strlen(key);

		if (!at || (at != keys && at[-1] != ' ') || (at[n] && at[n] != ' ')) {
			snprintf(why, n_why, "key '%.32s' has no meaning here (known: %s)", key,
				 keys);
			return 400;
		}
	}
	return 0;
}

/* A whole number that is not negative; absent leaves 0. @return 0, 400. */
static int take_number(json_t *body, const char *key, uint64_t *ret, char *why, size_t n_why)
{
	json_t *value = json_object_get(body, key);

	*ret = 0;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0) {
		snprintf(why, n_why, "%s: not a whole number", key);
		return 400;
	}
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

static int take_prefix(const char *text, struct fg_request *d, char *why, size_t n_why)
{
	if (fg_ip_parse(text, d->addr, &d->bits)) {
		snprintf(why, n_why,
			 "prefix: '%s' is no address or prefix (host bits must be zero)", text);
		return 400;
	}
	/* a whole IPv6 address means its source, the /64 */
	if (!fg_ip_is4(d->addr) && d->bits == 128) {
		d->bits = 64;
		fg_ip_mask(d->addr, 64);
	}
	fg_ip_prefix(d->addr, d->bits, d->subject);
	return 0;
}

static int take_subject(json_t *body, struct fg_request *d, char *why, size_t n_why)
{
	char prefix[FG_IP_TEXT], cohort[FG_COHORT_TEXT];
	int r = take_text(body, "prefix", prefix, sizeof(prefix), why, n_why);

	if (!r)
		r = take_text(body, "cohort", cohort, sizeof(cohort), why, n_why);
	if (r)
		return r;
	if (!cohort[0])
		return take_prefix(prefix, d, why, n_why);
	d->cohort = fg_cohort_id_parse(cohort);
	if (!d->cohort || prefix[0]) {
		snprintf(why, n_why, "cohort: %s",
			 prefix[0] ? "either a prefix or a cohort, not both" :
				     "no cohort's id (c1, or a1 of accounts)");
		return 400;
	}
	memcpy(d->subject, cohort, sizeof(cohort));
	return 0;
}

static int take_body(json_t *body, const char *keys, struct fg_request *d, char *why, size_t n_why)
{
	uint64_t id = 0;
	int r;

	if (!json_is_object(body)) {
		snprintf(why, n_why, "the body is no JSON object");
		return 400;
	}
	r = check_keys(body, keys, why, n_why);
	if (!r && strstr(keys, "prefix"))
		r = take_subject(body, d, why, n_why);
	if (!r)
		r = take_text(body, "stem", d->stem, sizeof(d->stem), why, n_why);
	if (!r)
		r = take_text(body, "ttl", d->ttl, sizeof(d->ttl), why, n_why);
	if (!r)
		r = take_text(body, "reason", d->reason, sizeof(d->reason), why, n_why);
	if (!r)
		r = take_number(body, "confirm", &d->confirm, why, n_why);
	if (!r)
		r = take_number(body, "id", &id, why, n_why);
	d->id = (int64_t)id;
	return r;
}

int fg_request_parse(const struct fg_query *q, const char *keys, struct fg_request *ret, char *why,
		     size_t n_why)
{
	json_error_t error;
	json_t *body =
		json_loadb(q->body ? q->body : "", q->n_body, JSON_REJECT_DUPLICATES, &error);
	int r;

	*ret = (struct fg_request){ 0 };
	if (!body) {
		snprintf(why, n_why, "the body is no JSON: line %d: %s", error.line, error.text);
		return 400;
	}
	r = take_body(body, keys, ret, why, n_why);
	json_decref(body);
	return r;
}

int fg_request_ttl(const struct fg_request *d, uint64_t max_s, uint64_t *ret_s, char *why,
		   size_t n_why)
{
	uint64_t s = 0;
	int r = d->ttl[0] ? fg_num_duration(d->ttl, max_s, &s) : 0;

	if (!d->ttl[0])
		return 0;
	if (r == -ERANGE)
		snprintf(why, n_why, "ttl: '%s' is more than %llu h", d->ttl,
			 (unsigned long long)max_s / 3600);
	else if (r || !s)
		snprintf(why, n_why, "ttl: '%s' is no duration (90s, 15m, 1h)", d->ttl);
	*ret_s = s;
	return r || !s ? 400 : 0;
}

int fg_decided_write(FILE *out, const struct fg_decided *d)
{
	struct fg_jsonw w;

	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_bool(&w, "ok", true);
	fg_jsonw_key(&w, "id");
	fg_jsonw_i64(&w, d->id);
	if (d->verb)
		fg_jsonw_key_u64(&w, d->verb, d->n);
	if (d->left_out != SIZE_MAX)
		fg_jsonw_key_u64(&w, "left_out", d->left_out);
	if (d->note[0])
		fg_jsonw_key_string(&w, "note", d->note);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

bool fg_request_is_one_source(const struct fg_request *d)
{
	return d->bits >= (fg_ip_is4(d->addr) ? 128 : 64);
}

int fg_request_stem(const struct fg_view *v, const struct fg_request *d, uint64_t *ret_stem,
		    char *why, size_t n_why)
{
	*ret_stem = d->stem[0] ? fg_model_stem_key(v->model, d->stem) : 0;
	if (d->stem[0] && !*ret_stem) {
		snprintf(why, n_why,
			 "stem: '%s' was never seen here, so no client has it (farmgate clients "
			 "lists them)",
			 d->stem);
		return 404;
	}
	if (d->stem[0] && d->cohort) {
		snprintf(why, n_why, "stem: a cohort's members have their own");
		return 400;
	}
	if (d->stem[0] && !fg_request_is_one_source(d)) {
		snprintf(why, n_why,
			 "prefix: with a stem it is one source, an IPv4 address or an IPv6 /64 "
			 "(the gate holds no wider ones)");
		return 400;
	}
	return 0;
}

int fg_decided_failed(int r, char *why, size_t n_why)
{
	snprintf(why, n_why, "the decision could not be stored: %s", strerror(-r));
	return 500;
}

/* --- Unblock --------------------------------------------------------------------------------- */

int fg_decide_unblock(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	struct fg_decided done = { .verb = "removed", .left_out = SIZE_MAX, .note = "" };
	struct fg_request d;
	uint64_t stem = 0;
	int r = fg_request_parse(q, "prefix cohort stem reason", &d, why, n_why);

	if (!r)
		r = fg_request_stem(v, &d, &stem, why, n_why);
	if (r)
		return r;
	r = fg_decision_begin(v->store, "unblock", q->who, d.subject, d.reason,
			      v->now_ns(v->agent));
	if (r)
		return fg_decided_failed(r, why, n_why);
	done.id = fg_decision_id(v->store);
	r = d.cohort ? fg_decision_unblock_cohort(v->store, d.cohort) :
		       fg_decision_unblock(v->store, d.addr, d.bits, stem);
	/* what ended nothing was no decision */
	r = fg_decision_end(v->store, r ? r : -ENOENT);
	if (r == -ENOENT) {
		snprintf(why, n_why,
			 d.cohort ? "cohort: no verdict stands on a member of '%s'" :
			 stem	  ? "prefix: no verdict stands on a client of %s with this stem" :
				    "prefix: no verdict stands on exactly %s",
			 d.subject);
		return 404;
	}
	if (r < 0)
		return fg_decided_failed(r, why, n_why);
	done.n = (size_t)r;
	v->changed(v->agent);
	return fg_decided_write(out, &done);
}

/* --- Allow and disallow ------------------------------------------------------------------------ */

/* An allow is of addresses, whoever has them: a cohort's members would take it along to the next holders,
 * by tens of thousands, and each verdict walks the allowlist. */
static int refuse_cohort(const struct fg_request *d, char *why, size_t n_why)
{
	if (!d->cohort)
		return 0;
	snprintf(
		why, n_why,
		"cohort: an allow is of prefixes, and %s's members come and go: 'farmgate unblock "
		"%s' ends its verdicts until there is new evidence; allow the prefixes of its owner",
		d->subject, d->subject);
	return 400;
}

/* Operators' blocks that an allow of this prefix holds down or held down. */
static size_t blocks_inside(const struct fg_view *v, const struct fg_request *d)
{
	size_t n = 0;

	for (size_t i = 0; i < fg_store_n(v->store); i++) {
		const struct fg_verdict *verdict = fg_store_at(v->store, i);

		n += verdict->origin == FG_ORIGIN_OPERATOR &&
		     (fg_ip_contains(d->addr, d->bits, verdict->addr, verdict->bits) ||
		      fg_ip_contains(verdict->addr, verdict->bits, d->addr, d->bits));
	}
	return n;
}

int fg_decide_allow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	struct fg_decided done = { .left_out = SIZE_MAX };
	uint64_t ttl_s = 0;
	struct fg_request d;
	char note[160] = "";
	size_t held;
	int r = fg_request_parse(q, "prefix cohort ttl reason", &d, why, n_why);

	if (!r)
		r = refuse_cohort(&d, why, n_why);
	if (!r)
		r = fg_request_ttl(&d, MAX_ALLOW_TTL_S, &ttl_s, why, n_why);
	if (r)
		return r;
	r = fg_decision_begin(v->store, "allow", q->who, d.subject, d.reason, v->now_ns(v->agent));
	if (r)
		return fg_decided_failed(r, why, n_why);
	done.id = fg_decision_id(v->store);
	r = fg_decision_end(v->store, fg_decision_allow(v->store, d.addr, d.bits, (uint32_t)ttl_s));
	if (r == -EDQUOT) {
		snprintf(why, n_why, "prefix: the allowlist is full: allow wider prefixes");
		return 409;
	}
	if (r)
		return fg_decided_failed(r, why, n_why);
	v->changed(v->agent);
	held = blocks_inside(v, &d);
	if (held)
		snprintf(note, sizeof(note),
			 "%zu of your own blocks are held down by it as long as it stands", held);
	done.note = note;
	return fg_decided_write(out, &done);
}

int fg_decide_disallow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	struct fg_decided done = { .verb = "removed", .left_out = SIZE_MAX };
	struct fg_request d;
	char note[160] = "";
	size_t held;
	int r = fg_request_parse(q, "prefix cohort", &d, why, n_why);

	if (!r)
		r = refuse_cohort(&d, why, n_why);
	if (r)
		return r;
	r = fg_decision_begin(v->store, "disallow", q->who, d.subject, "", v->now_ns(v->agent));
	if (r)
		return fg_decided_failed(r, why, n_why);
	done.id = fg_decision_id(v->store);
	r = fg_decision_disallow(v->store, d.addr, d.bits);
	r = fg_decision_end(v->store, r ? r : -ENOENT);
	if (r == -ENOENT) {
		snprintf(why, n_why,
			 "prefix: it is not on the allowlist (entries of the "
			 "configuration are taken off there)");
		return 404;
	}
	if (r < 0)
		return fg_decided_failed(r, why, n_why);
	done.n = (size_t)r;
	v->changed(v->agent);
	held = blocks_inside(v, &d);
	if (held)
		snprintf(note, sizeof(note),
			 "%zu of your own blocks that touch it stand for the rest of their time",
			 held);
	done.note = note;
	return fg_decided_write(out, &done);
}

/* --- Undo ------------------------------------------------------------------------------------ */

static int refuse_undo(int r, const struct fg_undone *u, const struct fg_request *d, char *why,
		       size_t n_why)
{
	const struct fg_decision *was = &u->decision;
	long long id = d->id;

	switch (r) {
	case -ENOENT:
		snprintf(why, n_why,
			 "id: no decision %lld is known ('farmgate history SOURCE' "
			 "shows their ids)",
			 id);
		return 404;
	case -EALREADY:
		snprintf(why, n_why,
			 "id: decision %lld, %s %s, was taken back already ('farmgate undo %lld' "
			 "makes it hold again)",
			 id, was->what, was->subject, (long long)was->undone_by);
		return 409;
	case -ESTALE:
		snprintf(why, n_why,
			 "id: nothing of decision %lld, %s %s, is left to take back: of what it "
			 "decided %zu expired, %zu changed since",
			 id, was->what, was->subject, u->expired, u->overtaken);
		return 409;
	default:
		return fg_decided_failed(r, why, n_why);
	}
}

int fg_decide_undo(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	struct fg_decided done = { .verb = "undone" };
	struct fg_undone u;
	struct fg_request d;
	char note[256], when[32];
	int r = fg_request_parse(q, "id reason", &d, why, n_why), n;

	if (!r && !d.id) {
		snprintf(why, n_why, "id: which decision? (an action answers its id)");
		r = 400;
	}
	if (r)
		return r;
	r = fg_decision_undo(v->store, d.id, q->who, d.reason, v->now_ns(v->agent), &u);
	if (r)
		return refuse_undo(r, &u, &d, why, n_why);
	v->changed(v->agent);
	n = snprintf(note, sizeof(note), "taken back: %s %s, by %s at %s", u.decision.what,
		     u.decision.subject, u.decision.who, fg_num_time(u.decision.time_ns, when));
	if (u.expired || u.overtaken)
		snprintf(note + n, sizeof(note) - (size_t)n,
			 "; left alone: %zu expired, %zu changed since", u.expired, u.overtaken);
	done.id = u.id;
	done.n = u.done;
	done.left_out = u.expired + u.overtaken;
	done.note = note;
	return fg_decided_write(out, &done);
}
