/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cohorts in answers: the list, one with its sentences, and how warm detection is. */
#pragma once

#include "lib/jsonw.h"
#include "serve/http.h"
#include "serve/view.h"

/** "c7"; of a community of accounts "a7". */
#define FG_COHORT_TEXT 16
const char *fg_cohort_id_text(uint32_t id, char buf[FG_COHORT_TEXT]);
/** Id of "c7" or "a7"; 0 where it is no such thing. */
uint32_t fg_cohort_id_parse(const char *text);

/** Key "cohorts" with all that are not part of another, the largest first; min_tier as for verdicts.
 * @return how many there are before the limit. */
size_t fg_cohorts_write(struct fg_jsonw *w, const struct fg_view *view, enum fg_tier min_tier,
			uint64_t since_ns, size_t limit);
/** Key "cohort" with one and its sentences. */
void fg_cohort_explain(struct fg_jsonw *w, const struct fg_view *view,
		       const struct fg_cohort *cohort);
/** Key "detection": how far learning is, budgets and what was expected of them. */
void fg_cohorts_write_state(struct fg_jsonw *w, const struct fg_view *view);

/** Key "networks": the table, what was wrong with it, and what is weaker without. */
void fg_networks_write(struct fg_jsonw *w, const struct fg_view *view);
/** What detection cannot do for want of a better table of networks, in words; NULL = nothing. */
const char *fg_networks_weaker(const struct fg_view *view);
