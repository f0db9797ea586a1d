/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/decide.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/num.h"

/* An allow may last; what has no end is written without a ttl. */
#define MAX_ALLOW_TTL_S (10ULL * 365 * 24 * 3600)

struct decision {
	uint8_t addr[16], bits;
	char stem[64];
	char ttl[32];
	char reason[160];
};

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

static int take_body(json_t *body, const char *keys, struct decision *d, char *why, size_t n_why)
{
	char prefix[FG_IP_TEXT];
	int r;

	if (!json_is_object(body)) {
		snprintf(why, n_why, "the body is no JSON object");
		return 400;
	}
	r = check_keys(body, keys, why, n_why);
	if (!r)
		r = take_text(body, "prefix", prefix, sizeof(prefix), why, n_why);
	if (!r)
		r = take_text(body, "stem", d->stem, sizeof(d->stem), why, n_why);
	if (!r)
		r = take_text(body, "ttl", d->ttl, sizeof(d->ttl), why, n_why);
	if (!r)
		r = take_text(body, "reason", d->reason, sizeof(d->reason), why, n_why);
	if (r)
		return r;
	if (fg_ip_parse(prefix, d->addr, &d->bits)) {
		snprintf(why, n_why,
			 "prefix: '%s' is no address or prefix (host bits must be zero)", prefix);
		return 400;
	}
	/* a whole IPv6 address means its source, the /64 */
	if (!fg_ip_is4(d->addr) && d->bits == 128) {
		d->bits = 64;
		fg_ip_mask(d->addr, 64);
	}
	return 0;
}

static int parse(const struct fg_query *q, const char *keys, struct decision *d, char *why,
		 size_t n_why)
{
	json_error_t error;
	json_t *body =
		json_loadb(q->body ? q->body : "", q->n_body, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!body) {
		snprintf(why, n_why, "the body is no JSON: line %d: %s", error.line, error.text);
		return 400;
	}
	r = take_body(body, keys, d, why, n_why);
	json_decref(body);
	return r;
}

static int ttl_of(const struct decision *d, uint64_t max_s, uint64_t *ret_s, char *why,
		  size_t n_why)
{
	int r = d->ttl[0] ? fg_num_duration(d->ttl, max_s, ret_s) : 0;

	if (r == -ERANGE)
		snprintf(why, n_why, "ttl: '%s' is more than %llu h", d->ttl,
			 (unsigned long long)max_s / 3600);
	else if (r || (d->ttl[0] && !*ret_s))
		snprintf(why, n_why, "ttl: '%s' is no duration (90s, 15m, 1h)", d->ttl);
	return r || (d->ttl[0] && !*ret_s) ? 400 : 0;
}

/* removed: how many entries went, 0 = nothing is said. */
static int ok(FILE *out, int64_t id, int removed, const char *note)
{
	struct fg_jsonw w;

	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_bool(&w, "ok", true);
	fg_jsonw_key(&w, "id");
	fg_jsonw_i64(&w, id);
	if (removed)
		fg_jsonw_key_u64(&w, "removed", (uint64_t)removed);
	if (note[0])
		fg_jsonw_key_string(&w, "note", note);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

static int failed(int r, char *why, size_t n_why)
{
	snprintf(why, n_why, "the decision could not be stored: %s", strerror(-r));
	return 500;
}

/* Key of the stem that a block is limited to; 0 where it is not. */
static int stem_of(const struct fg_view *v, const struct decision *d, uint64_t *ret_stem, char *why,
		   size_t n_why)
{
	*ret_stem = d->stem[0] ? fg_model_stem_key(v->model, d->stem) : 0;
	if (d->stem[0] && !*ret_stem) {
		snprintf(why, n_why,
			 "stem: '%s' was never seen here, so no client has it (farmgate clients "
			 "lists them)",
			 d->stem);
		return 404;
	}
	if (d->stem[0] && d->bits != (fg_ip_is4(d->addr) ? 128 : 64)) {
		snprintf(why, n_why,
			 "prefix: a block with a stem needs one source, an IPv4 address or "
			 "an IPv6 /64 (the gate holds no wider ones)");
		return 400;
	}
	return 0;
}

static int refuse_allowed(const struct fg_view *v, const struct decision *d, char *why,
			  size_t n_why)
{
	char reason[160];

	if (fg_store_extra_allows(v->store, d->addr, d->bits, reason))
		snprintf(why, n_why, "prefix: it is on the allowlist, which always wins (%s)",
			 reason);
	else
		snprintf(why, n_why,
			 "prefix: it is on the allowlist, which always wins ('farmgate "
			 "disallow' takes it off)");
	return 409;
}

int fg_decide_block(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	bool observe = !strcmp(v->mode, "observe");
	uint64_t ttl_s = FG_DEFAULT_TTL_S, stem;
	struct decision d;
	char note[256];
	int64_t id;
	int r = parse(q, "prefix stem ttl reason", &d, why, n_why);

	if (!r)
		r = ttl_of(&d, FG_MAX_TTL_S, &ttl_s, why, n_why);
	if (!r)
		r = stem_of(v, &d, &stem, why, n_why);
	if (r)
		return r;
	r = fg_store_block(v->store, d.addr, d.bits, stem, d.stem, (uint32_t)ttl_s, d.reason,
			   v->now_ns(v->agent), &id);
	if (r == -EPERM)
		return refuse_allowed(v, &d, why, n_why);
	if (r)
		return failed(r, why, n_why);
	v->changed(v->agent);
	snprintf(
		note, sizeof(note), "%s%s%s",
		observe ? "mode is observe: your block is exported, what detectors find is not" :
			  "",
		observe && stem ? "; " : "",
		stem ? "a firewall knows no stems: only the XDP gate (exports: [xdp]) acts on this "
		       "block" :
		       "");
	return ok(out, id, 0, note);
}

/* Id of the newest verdict on exactly this prefix, 0 where there is none. */
static int64_t verdict_id(const struct fg_store *store, const struct decision *d)
{
	int64_t id = 0;

	for (size_t i = 0; i < fg_store_n(store); i++) {
		const struct fg_verdict *v = fg_store_at(store, i);

		if (v->bits == d->bits && !memcmp(v->addr, d->addr, sizeof(v->addr)) && v->id > id)
			id = v->id;
	}
	return id;
}

static int64_t allow_id(const struct fg_store *store, const struct decision *d)
{
	int64_t id = 0;

	for (size_t i = 0; i < fg_store_n_allow(store); i++) {
		const struct fg_allow *a = fg_store_allow_at(store, i);

		if (a->bits == d->bits && !memcmp(a->addr, d->addr, sizeof(a->addr)) && a->id > id)
			id = a->id;
	}
	return id;
}

int fg_decide_unblock(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	struct decision d;
	int64_t id;
	int r = parse(q, "prefix reason", &d, why, n_why);

	if (r)
		return r;
	id = verdict_id(v->store, &d);
	r = fg_store_unblock(v->store, d.addr, d.bits, d.reason, v->now_ns(v->agent));
	if (r < 0)
		return failed(r, why, n_why);
	if (!r) {
		snprintf(why, n_why, "prefix: no verdict stands on exactly this prefix");
		return 404;
	}
	v->changed(v->agent);
	return ok(out, id, r, "");
}

int fg_decide_allow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	uint64_t ttl_s = 0;
	struct decision d;
	int64_t id;
	int r = parse(q, "prefix ttl reason", &d, why, n_why);

	if (!r)
		r = ttl_of(&d, MAX_ALLOW_TTL_S, &ttl_s, why, n_why);
	if (r)
		return r;
	r = fg_store_allow(v->store, d.addr, d.bits, (uint32_t)ttl_s, d.reason, v->now_ns(v->agent),
			   &id);
	if (r)
		return failed(r, why, n_why);
	v->changed(v->agent);
	return ok(out, id, 0, "");
}

int fg_decide_disallow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	struct decision d;
	int64_t id;
	int r = parse(q, "prefix", &d, why, n_why);

	if (r)
		return r;
	id = allow_id(v->store, &d);
	r = fg_store_disallow(v->store, d.addr, d.bits, v->now_ns(v->agent));
	if (r < 0)
		return failed(r, why, n_why);
	if (!r) {
		snprintf(why, n_why,
			 "prefix: it is not on the allowlist (entries of the "
			 "configuration are taken off there)");
		return 404;
	}
	v->changed(v->agent);
	return ok(out, id, r, "");
}
