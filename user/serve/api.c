/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/jsonw.h"
#include "serve/decide.h"
#include "serve/explain.h"
#include "serve/lists.h"
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

static int get_export(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	const char *format = q->argument(q->arg, "format");
	const char *tier_text = q->argument(q->arg, "tier");
	enum fg_tier tier = FG_TIER_ENFORCE;
	bool dry_run;
	int r = switch_of(q, "dry_run", &dry_run, why, n_why);

	if (r)
		return r;
	if (tier_text && (fg_tier_parse(tier_text, &tier) || tier == FG_TIER_OBSERVE)) {
		snprintf(why, n_why, "tier: '%s' is neither alert nor enforce", tier_text);
		return 400;
	}
	if (!format) {
		snprintf(why, n_why, "format is missing (nft, plain, json or csv)");
		return 400;
	}
	r = v->write_export(v->agent, out, format, tier, dry_run);
	if (r == -EINVAL)
		snprintf(why, n_why, "format: '%s' is none of nft, plain, json, csv", format);
	else if (r)
		snprintf(why, n_why, "export: %s", strerror(-r));
	return r == -EINVAL ? 400 : r ? 500 : 0;
}

#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

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
	{ "/v1/block", "POST", fg_decide_block, JSON },
	{ "/v1/unblock", "POST", fg_decide_unblock, JSON },
	{ "/v1/allow", "POST", fg_decide_allow, JSON },
	{ "/v1/disallow", "POST", fg_decide_disallow, JSON },
	{ "/v1/undo", "POST", fg_decide_undo, JSON },
};

void fg_api_refuse(struct fg_answer *ret_answer, int status, const char *text)
{
	struct fg_answer a = { .status = status, .type = JSON };
	FILE *out = open_memstream(&a.body, &a.n);
	struct fg_jsonw w;

	if (out) {
		fg_jsonw_init(&w, out);
		fg_jsonw_object(&w);
		fg_jsonw_key_string(&w, "error", text);
		fg_jsonw_object_end(&w);
		fputc('\n', out);
		fclose(out);
	}
	*ret_answer = a;
}

static void run(const struct route *route, struct fg_view *v, const struct fg_query *q,
		struct fg_answer *ret_answer)
{
	struct fg_answer a = { .status = 200, .type = route->type };
	FILE *out = open_memstream(&a.body, &a.n);
	char why[256] = "no memory for the answer (ask for fewer rows)";
	int r;

	if (!out) {
		*ret_answer = a;
		return;
	}
	/* A document with times that run (an export's durations) is still the same set. */
	if (route->write == get_export)
		snprintf(a.etag, sizeof(a.etag), "\"%llx-%llx\"", (unsigned long long)v->started_ns,
			 (unsigned long long)fg_store_revision(v->store));
	r = route->write(out, v, q, why, sizeof(why));
	if (fclose(out) && !r)
		r = 500;
	if (r) {
		free(a.body);
		fg_api_refuse(&a, r, why);
	}
	*ret_answer = a;
}

void fg_api_answer(struct fg_view *v, const struct fg_query *q, struct fg_answer *ret_answer)
{
	char allow[sizeof(ret_answer->allow)] = "";

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, q->path))
			continue;
		if (!strcmp(routes[i].method, q->method)) {
			run(&routes[i], v, q, ret_answer);
			return;
		}
		snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s",
			 allow[0] ? ", " : "", routes[i].method);
	}
	if (allow[0])
		fg_api_refuse(ret_answer, 405, "method not allowed here");
	else
		fg_api_refuse(ret_answer, 404, "no such path (see /v1/status)");
	memcpy(ret_answer->allow, allow, sizeof(allow));
}
