/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The shapes of LAPI 1.4.6. An alert lacks no required key; a decision's life counts from the
 * alert's stop_at; a duration has no unit above hours.
 */
#include "export/lapi_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/mem.h"
#include "lib/num.h"

#define S 1000000000ULL
/* Kinds told in an alert one by one; the rest in one line. */
#define MAX_KINDS 16
/* Past 10 years nothing of ours ends, and no sum overflows. */
#define MAX_DURATION_NS ((int64_t)(10ULL * 366 * 86400 * S))

const char *const fg_lapi_scenarios[_FG_LAPI_SCENARIO_MAX] = {
	[FG_LAPI_FARM] = "farmgate/account-farm",
	[FG_LAPI_SOURCE] = "farmgate/source",
	[FG_LAPI_OPERATOR] = "farmgate/operator",
};

enum fg_lapi_scenario fg_lapi_scenario_of(const struct fg_export_item *item)
{
	if (item->by_operator)
		return FG_LAPI_OPERATOR;
	return item->cohort ? FG_LAPI_FARM : FG_LAPI_SOURCE;
}

/* --- Requests --------------------------------------------------------------------------------- */

int fg_lapi_write_login(FILE *out, const char *machine, const char *password)
{
	struct fg_jsonw w;

	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "machine_id", machine);
	fg_jsonw_key_string(&w, "password", password);
	fg_jsonw_key(&w, "scenarios");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < _FG_LAPI_SCENARIO_MAX; i++)
		fg_jsonw_string(&w, fg_lapi_scenarios[i]);
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	return fg_jsonw_finish(&w);
}

static const char *scope_of(const struct fg_export_item *item)
{
	return item->bits == 128 ? "Ip" : "Range";
}

static void put_meta(struct fg_jsonw *w, const char *key, const char *value)
{
	if (!value[0])
		return;
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "key", key);
	fg_jsonw_key_string(w, "value", value);
	fg_jsonw_object_end(w);
}

#define COHORT_TEXT 16

/* As every command writes it. */
static const char *cohort_text(const struct fg_export_item *item, char buf[COHORT_TEXT])
{
	if (item->cohort)
		snprintf(buf, COHORT_TEXT, "%c%u", item->cohort & FG_COMMUNITY ? 'a' : 'c',
			 item->cohort & ~FG_COMMUNITY);
	else
		buf[0] = '\0';
	return buf;
}

static void begin_event(struct fg_jsonw *w, const char *stop)
{
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "timestamp", stop);
	fg_jsonw_key(w, "meta");
	fg_jsonw_array(w);
}

static void end_event(struct fg_jsonw *w)
{
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

/* Why and of which fingerprint, with how many sources each. */
struct kind {
	const struct fg_export_item *first;
	size_t n;
};

static bool same_kind(const struct fg_export_item *x, const struct fg_export_item *y)
{
	return !strcmp(x->ja4, y->ja4) && !strcmp(x->reason, y->reason);
}

static void put_events(struct fg_jsonw *w, const struct fg_export_item *const *items, size_t n,
		       const char *stop)
{
	struct kind kinds[MAX_KINDS];
	size_t n_kinds = 0, others = 0, k;
	char count[24], text[COHORT_TEXT];

	for (size_t i = 0; i < n; i++) {
		for (k = 0; k < n_kinds && !same_kind(kinds[k].first, items[i]); k++)
			;
		if (k == MAX_KINDS) {
			others++;
			continue;
		}
		if (k == n_kinds)
			kinds[n_kinds++] = (struct kind){ items[i], 0 };
		kinds[k].n++;
	}
	for (k = 0; k < n_kinds; k++) {
		begin_event(w, stop);
		put_meta(w, "ja4", kinds[k].first->ja4);
		put_meta(w, "reason", kinds[k].first->reason);
		put_meta(w, "cohort", cohort_text(kinds[k].first, text));
		snprintf(count, sizeof(count), "%zu", kinds[k].n);
		put_meta(w, "sources", count);
		end_event(w);
	}
	if (!others)
		return;
	begin_event(w, stop);
	put_meta(w, "reason", "others");
	snprintf(count, sizeof(count), "%zu", others);
	put_meta(w, "sources", count);
	end_event(w);
}

/* What each alert must have, and nothing of ours says anything by. */
static void put_required(struct fg_jsonw *w, enum fg_lapi_scenario scenario, size_t count,
			 const char *stop)
{
	fg_jsonw_key_string(w, "scenario", fg_lapi_scenarios[scenario]);
	fg_jsonw_key_string(w, "scenario_hash", "");
	fg_jsonw_key_string(w, "scenario_version", "");
	fg_jsonw_key_u64(w, "events_count", count);
	fg_jsonw_key_string(w, "start_at", stop);
	fg_jsonw_key_string(w, "stop_at", stop);
	fg_jsonw_key_u64(w, "capacity", 0);
	fg_jsonw_key_string(w, "leakspeed", "0");
	fg_jsonw_key_bool(w, "simulated", false);
	fg_jsonw_key_bool(w, "remediation", true);
}

/* The rest of a life in whole seconds, never 0 or less: to a bouncer that is for ever. */
static uint64_t seconds_left(const struct fg_export_item *item, uint64_t now_ns)
{
	uint64_t s = item->until_ns > now_ns ? (item->until_ns - now_ns) / S : 0;

	return s ? s : 1;
}

static void put_decision(struct fg_jsonw *w, const struct fg_export_item *item, uint64_t now_ns)
{
	char text[FG_IP_TEXT];

	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "origin", "farmgate");
	fg_jsonw_key_string(w, "type", "ban");
	fg_jsonw_key_string(w, "scope", scope_of(item));
	fg_jsonw_key_string(w, "value", fg_ip_prefix(item->addr, item->bits, text));
	fg_jsonw_key(w, "duration");
	fg_jsonw_stringf(w, "%llus", (unsigned long long)seconds_left(item, now_ns));
	fg_jsonw_key_string(w, "scenario", fg_lapi_scenarios[fg_lapi_scenario_of(item)]);
	fg_jsonw_object_end(w);
}

static void put_message(struct fg_jsonw *w, const struct fg_export_item *item, size_t n)
{
	const char *s = n == 1 ? "" : "s";
	char cohort[COHORT_TEXT];

	fg_jsonw_key(w, "message");
	switch (fg_lapi_scenario_of(item)) {
	case FG_LAPI_FARM:
		fg_jsonw_stringf(w, "farmgate: %zu source%s of account farm %s", n, s,
				 cohort_text(item, cohort));
		break;
	case FG_LAPI_OPERATOR:
		fg_jsonw_stringf(w, "farmgate: %zu block%s by an operator", n, s);
		break;
	default:
		fg_jsonw_stringf(w, "farmgate: %zu source%s flagged", n, s);
	}
}

int fg_lapi_write_decisions(FILE *out, const struct fg_export_item *const *items, size_t n,
			    uint64_t now_ns, uint64_t stop_ns)
{
	char stop[32], cohort[COHORT_TEXT];
	struct fg_jsonw w;

	fg_num_time(stop_ns, stop);
	fg_jsonw_init(&w, out);
	fg_jsonw_array(&w);
	fg_jsonw_object(&w);
	put_required(&w, fg_lapi_scenario_of(items[0]), n, stop);
	put_message(&w, items[0], n);
	fg_jsonw_key(&w, "source");
	fg_jsonw_object(&w);
	/* of all of them: what profiles and notifications could read as an address stays empty */
	fg_jsonw_key_string(&w, "scope", "farmgate");
	fg_jsonw_key_string(&w, "value", cohort_text(items[0], cohort));
	fg_jsonw_object_end(&w);
	fg_jsonw_key(&w, "events");
	fg_jsonw_array(&w);
	put_events(&w, items, n, stop);
	fg_jsonw_array_end(&w);
	fg_jsonw_key(&w, "decisions");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n; i++)
		put_decision(&w, items[i], now_ns);
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	fg_jsonw_array_end(&w);
	return fg_jsonw_finish(&w);
}

/* One source each, since a profile's decision is about the value of the alert's source. */
static void put_alert(struct fg_jsonw *w, const struct fg_export_item *item, const char *stop)
{
	char text[FG_IP_TEXT], until[32], cohort[COHORT_TEXT];

	fg_ip_prefix(item->addr, item->bits, text);
	fg_jsonw_object(w);
	put_required(w, fg_lapi_scenario_of(item), 1, stop);
	put_message(w, item, 1);
	fg_jsonw_key(w, "source");
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "scope", scope_of(item));
	fg_jsonw_key_string(w, "value", text);
	fg_jsonw_key_string(w, item->bits == 128 ? "ip" : "range", text);
	fg_jsonw_object_end(w);
	fg_jsonw_key(w, "events");
	fg_jsonw_array(w);
	begin_event(w, stop);
	put_meta(w, "ja4", item->ja4);
	put_meta(w, "reason", item->reason);
	put_meta(w, "cohort", cohort_text(item, cohort));
	/* read back after a restart: until then it is not said again */
	put_meta(w, "until", fg_num_time(item->until_ns, until));
	end_event(w);
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

int fg_lapi_write_alerts(FILE *out, const struct fg_export_item *const *items, size_t n,
			 uint64_t stop_ns)
{
	char stop[32];
	struct fg_jsonw w;

	fg_num_time(stop_ns, stop);
	fg_jsonw_init(&w, out);
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n; i++)
		put_alert(&w, items[i], stop);
	fg_jsonw_array_end(&w);
	return fg_jsonw_finish(&w);
}

/* --- Times ------------------------------------------------------------------------------------ */

/* One unit of a Go duration; NULL where it is none. */
static const char *read_unit(const char *p, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ms", 1000000 }, { "us", 1000 },    { "\xc2\xb5s", 1000 }, /* U+00B5, as Go writes it */
		{ "ns", 1 },	   { "h", 3600 * S }, { "m", 60 * S },	     { "s", S },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i].name);

		if (!strncmp(p, units[i].name, n)) {
			*ret_ns = units[i].ns;
			return p + n;
		}
	}
	return NULL;
}

/* "59.44" in units of 1e-9; NULL where there is no digit or more than any time has. */
static const char *read_decimal(const char *p, uint64_t *ret_whole, uint64_t *ret_billionths)
{
	uint64_t scale = S / 10;
	const char *start = p;

	*ret_whole = *ret_billionths = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		*ret_whole = *ret_whole * 10 + (uint64_t)(*p - '0');
		if (*ret_whole > UINT32_MAX)
			return NULL;
	}
	if (p == start)
		return NULL;
	if (*p != '.')
		return p;
	for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
		*ret_billionths += scale * (uint64_t)(*p - '0');
	return p;
}

int fg_lapi_duration(const char *text, int64_t *ret_ns)
{
	bool negative = *text == '-';
	const char *p = text + negative;
	uint64_t whole, billionths, unit;
	int64_t sum = 0;

	if (!strcmp(p, "0")) {
		*ret_ns = 0;
		return 0;
	}
	do {
		uint64_t part;

		p = read_decimal(p, &whole, &billionths);
		if (!p || !(p = read_unit(p, &unit)))
			return -EINVAL;
		if (__builtin_mul_overflow(whole, unit, &part) || part > MAX_DURATION_NS)
			return -EINVAL;
		part += (uint64_t)((double)billionths / 1e9 * (double)unit);
		sum += (int64_t)part;
		if (sum > MAX_DURATION_NS)
			return -EINVAL;
	} while (*p);
	*ret_ns = negative ? -sum : sum;
	return 0;
}

/* Minutes east of UTC: "Z", "+01:00". */
static int read_offset(const char *p, int *ret_minutes)
{
	*ret_minutes = 0;
	if (!strcmp(p, "Z"))
		return 0;
	if ((*p != '+' && *p != '-') || strlen(p) != 6 || p[3] != ':')
		return -EINVAL;
	for (size_t i = 1; i < 6; i++)
		if (i != 3 && (p[i] < '0' || p[i] > '9'))
			return -EINVAL;
	*ret_minutes = ((p[1] - '0') * 10 + p[2] - '0') * 60 + (p[4] - '0') * 10 + p[5] - '0';
	*ret_minutes *= *p == '-' ? -1 : 1;
	return 0;
}

int fg_lapi_time(const char *text, uint64_t *ret_ns)
{
	char utc[32];
	int minutes;

	/* "2026-11-28T19:16:23" is 19 long; what follows is a fraction and an offset */
	if (strnlen(text, 19) < 19)
		return -EINVAL;
	snprintf(utc, sizeof(utc), "%.19sZ", text);
	text += 19;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	if (read_offset(text, &minutes) || fg_num_time_parse(utc, ret_ns) || *ret_ns < 86400 * S)
		return -EINVAL;
	*ret_ns -= (uint64_t)((int64_t)minutes * 60 * (int64_t)S);
	return 0;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void free_json(json_t **json)
{
	json_decref(*json);
}

#define _cleanup_json_ _cleanup_(free_json)

static json_t *load(const char *body, size_t n)
{
	return body ? json_loadb(body, n, JSON_DECODE_ANY, NULL) : NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int fg_lapi_read_login(const char *body, size_t n, char **ret_token, uint64_t *ret_expire_ns)
{
	_cleanup_json_ json_t *doc = load(body, n);
	const char *token = text_of(doc, "token");

	/* it goes into a header line: what a JWT is made of, and nothing else */
	if (!token[0] || strlen(token) > 4096 ||
	    token[strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				"-_.=+/")] ||
	    fg_lapi_time(text_of(doc, "expire"), ret_expire_ns))
		return -EBADMSG;
	*ret_token = strdup(token);
	return *ret_token ? 0 : -ENOMEM;
}

/* An id is a number here and a text there. */
static int64_t id_of(const json_t *json)
{
	uint64_t id;

	if (json_is_string(json))
		return fg_num_u64(json_string_value(json), 1, INT64_MAX, &id) ? 0 : (int64_t)id;
	return json_integer_value(json) > 0 ? json_integer_value(json) : 0;
}

int fg_lapi_read_ids(const char *body, size_t n, int64_t *ret_ids, size_t n_ids)
{
	_cleanup_json_ json_t *doc = load(body, n);

	if (!json_is_array(doc) || json_array_size(doc) != n_ids)
		return -EBADMSG;
	for (size_t i = 0; i < n_ids; i++) {
		ret_ids[i] = id_of(json_array_get(doc, i));
		if (!ret_ids[i])
			return -EBADMSG;
	}
	return 0;
}

/* A growing list. */
struct list {
	struct fg_lapi_seen *at;
	size_t n, room;
};

static int add(struct list *list, const struct fg_lapi_seen *seen)
{
	if (list->n == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		struct fg_lapi_seen *larger = reallocarray(list->at, room, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		list->at = larger;
		list->room = room;
	}
	list->at[list->n++] = *seen;
	return 0;
}

static int read_decisions(const json_t *decisions, struct fg_lapi_seen seen, uint64_t now_ns,
			  struct list *list)
{
	const json_t *d;
	size_t i;

	json_array_foreach(decisions, i, d)
	{
		int64_t left_ns;

		seen.decision = id_of(json_object_get(d, "id"));
		if (!seen.decision || fg_lapi_duration(text_of(d, "duration"), &left_ns))
			return -EBADMSG;
		/* a profile may decide about something else than an address */
		if (fg_ip_parse(text_of(d, "value"), seen.addr, &seen.bits))
			continue;
		seen.until_ns = left_ns > 0 ? now_ns + (uint64_t)left_ns : now_ns;
		if (add(list, &seen))
			return -ENOMEM;
	}
	return 0;
}

/* Of an alert that led to no decision: until when it need not be said again. */
static uint64_t told_until(const json_t *alert)
{
	const json_t *event = json_array_get(json_object_get(alert, "events"), 0), *meta;
	uint64_t until_ns;
	size_t i;

	json_array_foreach(json_object_get(event, "meta"), i, meta)
	{
		if (!strcmp(text_of(meta, "key"), "until") &&
		    !fg_lapi_time(text_of(meta, "value"), &until_ns))
			return until_ns;
	}
	return 0;
}

static int read_alert(const json_t *alert, const char *machine, uint64_t now_ns, struct list *list)
{
	const json_t *decisions = json_object_get(alert, "decisions");
	struct fg_lapi_seen seen = { .alert = id_of(json_object_get(alert, "id")) };

	if (!json_is_object(alert) || !seen.alert)
		return -EBADMSG;
	if (strcmp(text_of(alert, "machine_id"), machine))
		return 0;
	if (json_array_size(decisions))
		return read_decisions(decisions, seen, now_ns, list);
	if (fg_ip_parse(text_of(json_object_get(alert, "source"), "value"), seen.addr, &seen.bits))
		return 0;
	seen.until_ns = told_until(alert);
	return add(list, &seen);
}

int fg_lapi_read_alerts(const char *body, size_t n, const char *machine, uint64_t now_ns,
			struct fg_lapi_seen **seen, size_t *n_seen)
{
	_cleanup_json_ json_t *doc = load(body, n);
	struct list list = { *seen, *n_seen, *n_seen };
	const json_t *alert;
	int r = 0;
	size_t i;

	/* none at all is null */
	if (json_is_null(doc))
		return 0;
	if (json_is_object(doc))
		r = read_alert(doc, machine, now_ns, &list);
	else if (!json_is_array(doc))
		return -EBADMSG;
	json_array_foreach(doc, i, alert)
	{
		if (!r)
			r = read_alert(alert, machine, now_ns, &list);
	}
	*seen = list.at;
	*n_seen = list.n;
	return r;
}

void fg_lapi_read_message(const char *body, size_t n, char *ret_text, size_t n_text)
{
	_cleanup_json_ json_t *doc = load(body, n);

	snprintf(ret_text, n_text, "%s", text_of(doc, "message"));
	/* it becomes part of a line of the log */
	for (char *p = ret_text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}
