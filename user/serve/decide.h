/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The operator's decisions over the API: {"prefix" or "cohort", "stem", "ttl", "reason", "confirm"} to
 * {"ok", "id", ...}. The id is that of the decision, for {"id"} to undo, which takes all of it back.
 *
 * A block of a prefix wider than one source that would hit sources nobody flagged is refused (409) until
 * "confirm" says at least how many: decide_block.c.
 */
#pragma once

#include "serve/api.h"
#include "verdict/decisions.h"

int fg_decide_block(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_decide_unblock(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		      size_t n_why);
int fg_decide_allow(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_decide_disallow(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		       size_t n_why);
int fg_decide_undo(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		   size_t n_why);

/* --- Shared by decide.c and decide_block.c ------------------------------------------------------- */

/* What was asked for. */
struct fg_request {
	uint8_t addr[16], bits;
	uint32_t cohort; /* in place of a prefix; 0 = a prefix */
	char subject[FG_SUBJECT_TEXT]; /* the prefix or cohort as it is kept */
	char stem[64];
	char ttl[32];
	char reason[160];
	uint64_t confirm; /* sources that may be hit */
	int64_t id;
};
/** keys: which the request may have. @return 0, 400 with a sentence in why. */
int fg_request_parse(const struct fg_query *query, const char *keys, struct fg_request *ret,
		     char *why, size_t n_why);
/** An IPv4 address, or an IPv6 /64 or part of one? */
bool fg_request_is_one_source(const struct fg_request *request);
/** Key of the stem that the decision is limited to, 0 where it is not. @return 0, 400, 404. */
int fg_request_stem(const struct fg_view *view, const struct fg_request *request,
		    uint64_t *ret_stem, char *why, size_t n_why);
/** The ttl into *ret_s, which stays as it is where none was given. @return 0, 400. */
int fg_request_ttl(const struct fg_request *request, uint64_t max_s, uint64_t *ret_s, char *why,
		   size_t n_why);
/* What was decided. */
struct fg_decided {
	int64_t id;
	const char *verb; /* blocked, removed, undone; NULL = nothing is counted */
	size_t n, left_out; /* SIZE_MAX = is not said */
	const char *note; /* "" = none */
};
/** @return 0, 500. */
int fg_decided_write(FILE *out, const struct fg_decided *decided);
/** @return 500 with a sentence in why. */
int fg_decided_failed(int r, char *why, size_t n_why);
