/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Guards in answers: what would be blocked, who else would be hit, and what holds the rest. */
#pragma once

#include "lib/jsonw.h"
#include "serve/view.h"

/** Keys "scope", "held", "address_held" and "collateral" of a verdict; null where it cannot be told. */
void fg_guarded_write(struct fg_jsonw *w, const struct fg_view *view,
		      const struct fg_verdict *verdict);
/** Sentences on a verdict. */
void fg_guarded_say(struct fg_jsonw *w, const struct fg_view *view,
		    const struct fg_verdict *verdict);
/** Sentences on the members of a cohort. */
void fg_guarded_say_cohort(struct fg_jsonw *w, const struct fg_view *view, uint32_t cohort);
/** Keys "guards", "holdback", "tripped" and "allow_files" of the status. */
void fg_guarded_write_state(struct fg_jsonw *w, const struct fg_view *view);
