/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "export/crowdsec.h"
#include "lib/jsonw.h"
#include "serve/bouncer.h"
#include "serve/decide.h"
#include "serve/explain.h"
#include "serve/lists.h"
#include "serve/negotiate.h"
#include "serve/report.h"

struct route {
	const char *path, *method;
	/* Writes the body. @return 0, or an HTTP status with a sentence in why. */
	int (*write)(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		     size_t n_why);
	const char *type;
};

static int get_status(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	(void)q;
	(void)why;
	(void)n_why;
	return fg_report_status(out, v) ? 500 : 0;
}

static int get_flagged(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	const char *tier_text = q->argument(q->arg, "tier");
	struct fg_flagged_query f = { .min_tier = FG_TIER_ALERT };
	int r = fg_list_limit(q, &f.limit, why, n_why);

	if (!r)
		r = fg_list_since(q, &f.since_ns, why, n_why);
	if (r)
		return r;
	f.sort = q->argument(q->arg, "sort");
	if (f.sort && !fg_report_sorts(f.sort)) {
		snprintf(why, n_why, "sort: no field '%s' to sort flagged by (" FG_REPORT_SORTS ")",
			 f.sort);
		return 400;
	}
	if (tier_text && fg_tier_parse(tier_text, &f.min_tier)) {
		snprintf(why, n_why, "tier: '%s' is none of observe, alert, enforce", tier_text);
		return 400;
	}
	return fg_report_flagged(out, v, &f) ? 500 : 0;
}

/* 1 or 0, 0 where it is not given. */
static int switch_of(const struct fg_query *q, const char *name, bool *ret_on, char *why,
		     size_t n_why)
{
	const char *text = q->argument(q->arg, name);

	if (text && strcmp(text, "0") && strcmp(text, "1")) {
		snprintf(why, n_why, "%s: '%s' is neither 0 nor 1", name, text);
		return 400;
	}
	*ret_on = text && text[0] == '1';
	return 0;
}

#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

/* What the query asks for; @return 0, 400 with a sentence in why. */
static int read_export(const struct fg_query *q, struct fg_view_document *ret_what, char *why,
		       size_t n_why)
{
	const char *tier = q->argument(q->arg, "tier");
	struct fg_view_document what = { .format = q->argument(q->arg, "format"),
					 .min_tier = FG_TIER_ENFORCE,
					 .argument = q->argument,
					 .arg = q->arg };
	int r = switch_of(q, "dry_run", &what.dry_run, why, n_why);

	/* of an export; the one that is asked for most stands for none given */
	if (!what.format && !strcmp(q->path, "/v1/blocklist"))
		what.format = "plain";
	if (!r && tier &&
	    (fg_tier_parse(tier, &what.min_tier) || what.min_tier == FG_TIER_OBSERVE)) {
		snprintf(why, n_why, "tier: '%s' is neither alert nor enforce", tier);
		r = 400;
	}
	*ret_what = what;
	return r;
}

static int get_export(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	struct fg_view_document what;
	int r = read_export(q, &what, why, n_why);

	if (r)
		return r;
	r = v->write_export(v->agent, out, &what, why, n_why);
	if (r && r != -EINVAL)
		snprintf(why, n_why, "export: %s", strerror(-r));
	return r == -EINVAL ? 400 : r ? 500 : 0;
}

static const char *type_of(const struct fg_view *v, const struct fg_query *q)
{
	struct fg_view_document what;
	const char *type = NULL;
	char why[256];

	if (!read_export(q, &what, why, sizeof(why)))
		type = v->export_type(&what);
	return type ? type : TEXT;
}

static const struct route routes[] = {
	{ "/v1/status", "GET", get_status, JSON },
	{ "/v1/sources", "GET", fg_list_sources, JSON },
	{ "/v1/clients", "GET", fg_list_clients, JSON },
	{ "/v1/fingerprints", "GET", fg_list_fingerprints, JSON },
	{ "/v1/cohorts", "GET", fg_list_cohorts, JSON },
	{ "/v1/flagged", "GET", get_flagged, JSON },
	{ "/v1/explain", "GET", fg_explain, JSON },
	{ "/v1/history", "GET", fg_explain_history, JSON },
	{ "/v1/allow", "GET", fg_list_allow, JSON },
	{ "/v1/export", "GET", get_export, TEXT },
	{ "/v1/blocklist", "GET", get_export, TEXT },
	{ "/v1/decisions/stream", "GET", fg_bouncer_stream, JSON },
	{ "/v1/decisions", "GET", fg_bouncer_decisions, JSON },
	{ "/v1/usage-metrics", "POST", fg_bouncer_metrics, JSON },
	{ "/v1/block", "POST", fg_decide_block, JSON },
	{ "/v1/unblock", "POST", fg_decide_unblock, JSON },
	{ "/v1/allow", "POST", fg_decide_allow, JSON },
	{ "/v1/disallow", "POST", fg_decide_disallow, JSON },
	{ "/v1/undo", "POST", fg_decide_undo, JSON },
};

static void write_member(struct fg_answer *ret_answer, int status, const char *key,
			 const char *text)
{
	struct fg_answer a = { .status = status, .type = JSON };
	FILE *out = open_memstream(&a.body, &a.n);
	struct fg_jsonw w;

	if (out) {
		fg_jsonw_init(&w, out);
		fg_jsonw_object(&w);
		fg_jsonw_key_string(&w, key, text);
		fg_jsonw_object_end(&w);
		fputc('\n', out);
		fclose(out);
	}
	*ret_answer = a;
}

void fg_api_refuse(struct fg_answer *ret_answer, int status, const char *text)
{
	write_member(ret_answer, status, "error", text);
}

void fg_api_forbid(const char *path, bool any_key, struct fg_answer *ret_answer)
{
	/* what bouncers know; a 401 they would take for a broken server */
	if (!strncmp(path, "/v1/decisions", 13) || !strcmp(path, "/v1/usage-metrics"))
		write_member(ret_answer, 403, "message", "access forbidden");
	else if (any_key)
		fg_api_refuse(ret_answer, 403, "the key is not one of this agent's");
	else
		fg_api_refuse(ret_answer, 401,
			      "a key is needed (X-Api-Key: KEY, or Authorization: Bearer KEY)");
}

static bool is_get(const struct route *route)
{
	return !strcmp(route->method, "GET");
}

/* A document with times that run (an export's durations) is still the same set. */
static void tag(const struct fg_view *v, struct fg_answer *a)
{
	uint64_t revision = v->blocks_revision ? v->blocks_revision(v->agent) : 0,
		 changed_s = v->set_changed_ns / 1000000000ULL;

	snprintf(a->etag, sizeof(a->etag), "\"%llx-%llx-%llx\"", (unsigned long long)v->started_ns,
		 (unsigned long long)fg_store_revision(v->store), (unsigned long long)revision);
	/* within this second it may change once more, and nobody could tell by the date */
	if (v->set_revision == revision && changed_s &&
	    changed_s < v->now_ns(v->agent) / 1000000000ULL)
		a->changed_s = changed_s;
}

/* Who asks has this answer. Of a trial run nobody has: what it hits changes with every connection. */
static bool has_it(const struct fg_query *q, const struct fg_answer *a)
{
	const char *tags = q->header ? q->header(q->arg, "If-None-Match") : NULL,
		   *since = q->header ? q->header(q->arg, "If-Modified-Since") : NULL;
	uint64_t since_s;

	if (!a->etag[0] || q->argument(q->arg, "dry_run"))
		return false;
	if (tags)
		return fg_tag_matches(tags, a->etag);
	return since && a->changed_s && !fg_http_date_parse(since, &since_s) &&
	       a->changed_s <= since_s;
}

static void run(const struct route *route, struct fg_view *v, const struct fg_query *q,
		struct fg_answer *ret_answer)
{
	struct fg_answer a = { .status = route->write == fg_bouncer_metrics ? 201 : 200,
			       .type = route->type };
	FILE *out = open_memstream(&a.body, &a.n);
	char why[256] = "no memory for the answer (ask for fewer rows)";
	int r = 0;

	if (!out) {
		*ret_answer = a;
		return;
	}
	if (route->write == get_export) {
		a.type = type_of(v, q);
		tag(v, &a);
	}
	if (has_it(q, &a))
		a.status = 304;
	else
		r = route->write(out, v, q, why, sizeof(why));
	if (fclose(out) && !r)
		r = 500;
	if (!r && route->write == fg_bouncer_stream && !strcmp(q->method, "GET"))
		fg_bouncers_pull(v, q, &a.pull);
	if (r) {
		free(a.body);
		fg_api_refuse(&a, r, why);
	}
	*ret_answer = a;
}

/* What a key of this role may do. */
static bool is_allowed(const struct route *route, enum fg_key_role role)
{
	bool for_bouncers = route->write == fg_bouncer_stream ||
			    route->write == fg_bouncer_decisions ||
			    route->write == fg_bouncer_metrics || route->write == get_export;

	return role == FG_KEY_OPERATOR || (role == FG_KEY_BOUNCER && for_bouncers) ||
	       (role == FG_KEY_READ && is_get(route));
}

static void refuse_role(const struct fg_query *q, struct fg_answer *ret_answer)
{
	char why[128];

	snprintf(why, sizeof(why), "%s is of role %s, which may not do this",
		 q->who ? q->who : "the key", fg_key_role_name(q->role));
	fg_api_refuse(ret_answer, 403, why);
}

void fg_api_answer(struct fg_view *v, const struct fg_query *q, struct fg_answer *ret_answer)
{
	/* who answers HEAD leaves the body away */
	const char *method = strcmp(q->method, "HEAD") ? q->method : "GET";
	char allow[sizeof(ret_answer->allow)] = "";

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, q->path))
			continue;
		if (!strcmp(routes[i].method, method)) {
			if (is_allowed(&routes[i], q->role))
				run(&routes[i], v, q, ret_answer);
			else
				refuse_role(q, ret_answer);
			return;
		}
		snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s",
			 allow[0] ? ", " : "", is_get(&routes[i]) ? "GET, HEAD" : routes[i].method);
	}
	if (allow[0])
		fg_api_refuse(ret_answer, 405, "method not allowed here");
	else
		fg_api_refuse(ret_answer, 404, "no such path (see /v1/status)");
	memcpy(ret_answer->allow, allow, sizeof(allow));
}
