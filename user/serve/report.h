/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The documents with a fixed shape: replay report, flagged, status, one verdict. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/jsonw.h"
#include "serve/view.h"

/** The replay report, as JSON or for people. @return 0, -EIO, -ENOMEM. */
int fg_report_write(FILE *out, struct fg_view *view, bool json);
/* Which verdicts, and in which order. */
struct fg_flagged_query {
	enum fg_tier min_tier;
	size_t limit;
	uint64_t since_ns; /* renewed or decided since then; 0 = all */
	const char *sort; /* one of FG_REPORT_SORTS, largest first; NULL = the first */
};
#define FG_REPORT_SORTS "score, first_flagged, until"
bool fg_report_sorts(const char *field);

/** The report's JSON with these flagged sources; "total" is their number without the limit.
 * @return 0, -EIO, -ENOMEM. */
int fg_report_flagged(FILE *out, struct fg_view *view, const struct fg_flagged_query *query);
int fg_report_status(FILE *out, struct fg_view *view);

/** One element of "flagged". */
void fg_report_verdict(struct fg_jsonw *w, const struct fg_view *view,
		       const struct fg_verdict *verdict);
/** What the gate stopped for a verdict, as fg_view.gate_hits; false where there is nothing to say. */
bool fg_report_hits(const struct fg_view *view, const struct fg_verdict *verdict,
		    uint64_t *ret_hits, uint64_t *ret_last_ns);
/** "source" or "prefix" text of a verdict. */
const char *fg_report_subject(const struct fg_verdict *verdict, char *buf);
