/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The documents with a fixed shape: replay report, flagged, status, one verdict. */
#pragma once

#include <stdio.h>

#include "lib/jsonw.h"
#include "serve/view.h"

/** The replay report, as JSON or for people. @return 0, -EIO. */
int fg_report_write(FILE *out, struct fg_view *view, bool json);
/** The report's JSON with the flagged sources at or above a tier, at most limit of them. */
int fg_report_flagged(FILE *out, struct fg_view *view, enum fg_tier min_tier, size_t limit);
int fg_report_status(FILE *out, struct fg_view *view);

/** One element of "flagged". */
void fg_report_verdict(struct fg_jsonw *w, const struct fg_verdict *verdict);
/** "source" or "prefix" text of a verdict. */
const char *fg_report_subject(const struct fg_verdict *verdict, char *buf);
