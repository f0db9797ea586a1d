/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lists of the model: {"NAME":[...],"total":N} with limit, sort and since. */
#pragma once

#include "lib/jsonw.h"
#include "serve/api.h"

/* The shape of a route: 0, or an HTTP status with a sentence in why. */
int fg_list_sources(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_list_clients(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_list_fingerprints(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
			 size_t n_why);
int fg_list_cohorts(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_list_allow(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		  size_t n_why);

/** limit=N of a query, 1,000 where it is not given. @return 0, 400 with a sentence in why. */
int fg_list_limit(const struct fg_query *query, size_t *ret_limit, char *why, size_t n_why);
/** since=TIME of a query, 0 where it is not given. @return 0, 400 with a sentence in why. */
int fg_list_since(const struct fg_query *query, uint64_t *ret_ns, char *why, size_t n_why);

/** One entry of the allowlist, an object. */
void fg_list_allow_entry(struct fg_jsonw *w, const struct fg_allow *allow);
/** The fields of one client, inside an open object; also used by explain. */
void fg_list_client_fields(struct fg_jsonw *w, const struct fg_model *model,
			   const struct fg_model_client *client);
