/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known about one source, in sentences and in JSON; what was decided about it. */
#pragma once

#include "serve/api.h"

int fg_explain(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
	       size_t n_why);
int fg_explain_history(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		       size_t n_why);
