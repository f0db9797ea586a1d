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

static int check_keys(json_t *body, char *why, size_t n_why)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
	{
		if (strcmp(key, "prefix") && strcmp(key, "stem") && strcmp(key, "ttl") &&
		    strcmp(key, "reason")) {
			snprintf(why, n_why, "unknown key '%s' (prefix, stem, ttl, reason)", key);
			return 400;
		}
	}
	return 0;
}

static int take_body(json_t *body, struct decision *d, char *why, size_t n_why)
{
	char prefix[FG_IP_TEXT];
	int r;

	if (!json_is_object(body)) {
		snprintf(why, n_why, "the body is no JSON object");
		return 400;
	}
	r = check_keys(body, why, n_why);
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

static int parse(const struct fg_query *q, struct decision *d, char *why, size_t n_why)
{
	json_error_t error;
	json_t *body =
		json_loadb(q->body ? q->body : "", q->n_body, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!body) {
		snprintf(why, n_why, "the body is no JSON: line %d: %s", error.line, error.text);
		return 400;
	}
	r = take_body(body, d, why, n_why);
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

static int ok(FILE *out, const char *key, int64_t value, const char *note)
{
	struct fg_jsonw w;

	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_bool(&w, "ok", true);
	fg_jsonw_key(&w, key);
	fg_jsonw_i64(&w, value);
	if (note)
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

int fg_decide_block(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	uint64_t ttl_s = FG_DEFAULT_TTL_S, stem = 0;
	struct decision d;
	int64_t id;
	int r = parse(q, &d, why, n_why);

	if (!r)
		r = ttl_of(&d, FG_MAX_TTL_S, &ttl_s, why, n_why);
	if (r)
		return r;
	if (d.stem[0]) {
		stem = fg_model_stem_key(v->model, d.stem);
		if (!stem) {
			snprintf(why, n_why,
				 "stem: '%s' was never seen here, so no client has it (farmgate "
				 "clients lists them)",
				 d.stem);
			return 400;
		}
	}
	r = fg_store_block(v->store, d.addr, d.bits, stem, d.stem, (uint32_t)ttl_s, d.reason,
			   v->now_ns(v->agent), &id);
	if (r == -EPERM) {
		snprintf(why, n_why,
			 "prefix: it is on the allowlist, which always wins ('farmgate "
			 "disallow' takes it off)");
		return 409;
	}
	if (r)
		return failed(r, why, n_why);
	v->changed(v->agent);
	return ok(out, "id", id,
		  strcmp(v->mode, "observe") ? NULL :
					       "mode is observe: your block is exported, what "
					       "detectors find is not");
}

int fg_decide_unblock(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	struct decision d;
	int r = parse(q, &d, why, n_why);

	if (r)
		return r;
	r = fg_store_unblock(v->store, d.addr, d.bits, d.reason, v->now_ns(v->agent));
	if (r < 0)
		return failed(r, why, n_why);
	if (!r) {
		snprintf(why, n_why, "prefix: no verdict stands on exactly this prefix");
		return 404;
	}
	v->changed(v->agent);
	return ok(out, "ended", r, NULL);
}

int fg_decide_allow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	uint64_t ttl_s = 0;
	struct decision d;
	int64_t id;
	int r = parse(q, &d, why, n_why);

	if (!r)
		r = ttl_of(&d, MAX_ALLOW_TTL_S, &ttl_s, why, n_why);
	if (r)
		return r;
	r = fg_store_allow(v->store, d.addr, d.bits, (uint32_t)ttl_s, d.reason, v->now_ns(v->agent),
			   &id);
	if (r)
		return failed(r, why, n_why);
	v->changed(v->agent);
	return ok(out, "id", id, NULL);
}

int fg_decide_disallow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	struct decision d;
	int r = parse(q, &d, why, n_why);

	if (r)
		return r;
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
	return ok(out, "removed", r, NULL);
}
