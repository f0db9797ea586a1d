/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Are some networks or countries flagged more than others? Carrier-grade NAT was once found to be
 * limited three times as often as other addresses for being shared, and nothing else. A ratio is no
 * verdict on the flags: a farm on home lines raises that of homes. It is shown so that somebody looks.
 */
#pragma once

#include "lib/jsonw.h"
#include "serve/view.h"

/** Counts; without a table of networks there are no rows. Looks at no more than FG_FAIR_SAMPLE
 * sources, evenly spread, and at every verdict. */
#define FG_FAIR_SAMPLE 65536
void fg_fairness_take(const struct fg_view *view, struct fg_fairness *ret);
/** Key "fairness". */
void fg_fairness_write(struct fg_jsonw *w, const struct fg_view *view);
