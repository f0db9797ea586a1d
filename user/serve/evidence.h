/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a flag rests on, in JSON: of a verdict, of a cohort, of one piece of evidence. */
#pragma once

#include "lib/jsonw.h"
#include "serve/view.h"

/** An object: one family with its benign explanations. */
void fg_evidence_write(struct fg_jsonw *w, const struct fg_evidence *evidence);
/** Key "cell": {"cohort","cell","B","F_hat","CI"}; null where cohort is. B is the clients of the cell
 * that are as usual in an hour in alarm, F_hat those that are the farm's, CI bounds of 95 %. */
void fg_evidence_write_cell(struct fg_jsonw *w, const struct fg_view *view,
			    const struct fg_cohort *cohort);
/** Keys "subject" to "sensor_version" of a verdict, "cell" among them. */
void fg_evidence_write_flag(struct fg_jsonw *w, const struct fg_view *view,
			    const struct fg_verdict *verdict);
/** The same of a cohort. */
void fg_evidence_write_cohort(struct fg_jsonw *w, const struct fg_view *view,
			      const struct fg_cohort *cohort);
