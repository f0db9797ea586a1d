/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The operator's decisions over the API: {"prefix", "stem", "ttl", "reason"} to {"ok", "id"}. The
 * id of an unblock or disallow is that of the newest entry that it removed.
 */
#pragma once

#include "serve/api.h"

int fg_decide_block(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_decide_unblock(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		      size_t n_why);
int fg_decide_allow(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		    size_t n_why);
int fg_decide_disallow(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		       size_t n_why);
