/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/cohorts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/thresholds.h"
#include "serve/report.h"
#include "serve/signals.h"

const char *fg_cohort_id_text(uint32_t id, char buf[FG_COHORT_TEXT])
{
	snprintf(buf, FG_COHORT_TEXT, "c%u", id);
	return buf;
}

uint32_t fg_cohort_id_parse(const char *text)
{
	char *end;
	unsigned long id;

	if (text[0] != 'c' || text[1] < '1' || text[1] > '9')
		return 0;
	id = strtoul(text + 1, &end, 10);
	return *end || id > UINT32_MAX ? 0 : (uint32_t)id;
}

/* A report until the baseline is warm; then whatever its members are. */
static enum fg_tier tier_of(const struct fg_cohort *c)
{
	return c->warm ? FG_TIER_ALERT : FG_TIER_OBSERVE;
}

/* A fingerprint of the cohort's stem; NULL where it has none, or none is named. */
static const struct fg_model_print *print_of(const struct fg_view *v, const struct fg_cohort *c)
{
	for (size_t i = 0; c->key.stem && i < fg_model_n_prints(v->model); i++) {
		const struct fg_model_print *p = fg_model_print_at(v->model, i);

		if (p->named && p->stem == c->key.stem)
			return p;
	}
	return NULL;
}

static void write_fields(struct fg_jsonw *w, const struct fg_view *v, const struct fg_cohort *c)
{
	const struct fg_model_print *print = print_of(v, c);
	struct fg_evidence evidence[FG_COHORT_EVIDENCE];
	size_t n = fg_cohort_evidence(c, evidence, FG_COHORT_EVIDENCE);
	char id[FG_COHORT_TEXT], what[256];

	fg_cohort_what(c, v->model, what, sizeof(what));
	fg_jsonw_key_string(w, "id", fg_cohort_id_text(c->id, id));
	fg_jsonw_key_string(w, "ja4", print ? print->ja4 : "-");
	fg_jsonw_key_string(w, "stem", print ? print->stem_text : "-");
	fg_jsonw_key_string(w, "sni", print && print->sni[0] ? print->sni : "-");
	fg_jsonw_key_string(w, "cell", what);
	fg_jsonw_key_string(w, "cell_kind", fg_cell_kind_name(c->key.kind));
	fg_jsonw_key_string(w, "tier", fg_tier_name(tier_of(c)));
	fg_jsonw_key_bool(w, "in_alarm", c->in_alarm);
	fg_jsonw_key_time(w, "first_flagged", c->first_ns);
	fg_jsonw_key_time(w, "last_alarm", c->alarm_ns);
	fg_jsonw_key_u64(w, "sources", c->members);
	fg_jsonw_key_double(w, "estimated_farm", c->excess);
	fg_jsonw_key_double(w, "active", c->active);
	fg_jsonw_key_double(w, "estimated_fdr", c->members ? c->expected_false / c->members : 0);
	fg_jsonw_key_u64(w, "networks", c->networks);
	fg_jsonw_key_u64(w, "cell_networks", c->cell_networks);
	fg_signals_write_reach(w, v, c->key.stem);
	fg_jsonw_key_u64(w, "exchanges", c->exchanges);
	fg_jsonw_key(w, "evidence");
	fg_jsonw_array(w);
	for (size_t i = 0; i < n; i++)
		fg_report_evidence(w, &evidence[i]);
	fg_jsonw_array_end(w);
}

static int by_size(const void *a, const void *b)
{
	const struct fg_cohort *x = *(const struct fg_cohort *const *)a;
	const struct fg_cohort *y = *(const struct fg_cohort *const *)b;
	double sx = x->members + x->excess, sy = y->members + y->excess;

	return sx < sy ? 1 : sx > sy ? -1 : x->id > y->id ? 1 : -1;
}

size_t fg_cohorts_write(struct fg_jsonw *w, const struct fg_view *v, enum fg_tier min_tier,
			uint64_t since_ns, size_t limit)
{
	const struct fg_cohort *list[FG_MAX_COHORTS];
	size_t n = 0;

	for (size_t i = 0; v->cohorts && i < fg_cohorts_n(v->cohorts); i++) {
		const struct fg_cohort *c = fg_cohorts_at(v->cohorts, i);

		if (!c->part_of && tier_of(c) >= min_tier && c->alarm_ns >= since_ns)
			list[n++] = c;
	}
	qsort(list, n, sizeof(list[0]), by_size);
	fg_jsonw_key(w, "cohorts");
	fg_jsonw_array(w);
	for (size_t i = 0; i < n && i < limit; i++) {
		fg_jsonw_object(w);
		write_fields(w, v, list[i]);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
	return n;
}

static void say(struct fg_jsonw *w, const struct fg_view *v, const struct fg_cohort *c)
{
	struct fg_evidence evidence[FG_COHORT_EVIDENCE];
	size_t n = fg_cohort_evidence(c, evidence, FG_COHORT_EVIDENCE);
	char what[256];

	fg_cohort_what(c, v->model, what, sizeof(what));
	fg_jsonw_stringf(
		w,
		"In the cell %s, %.0f of the %.0f clients that were active in the last hour "
		"in alarm are estimated to be one farm.",
		what, c->excess, c->active);
	if (c->warm)
		fg_jsonw_stringf(
			w,
			"%u clients of %u networks are members; of these %.1f are expected "
			"to be there by mistake.",
			c->members, c->networks, c->expected_false);
	else
		fg_jsonw_stringf(w,
				 "What is usual has been learned for fewer than %d days: this is a "
				 "report, and has no members.",
				 FG_WARM_DAYS);
	for (size_t i = 0; i < n; i++)
		fg_jsonw_stringf(w, "%s: %s (%.1f nats)", fg_family_name(evidence[i].family),
				 evidence[i].text, evidence[i].nats);
	if (!c->in_alarm)
		fg_jsonw_string(w, "The cell is quiet now.");
	fg_jsonw_string(w,
			"A product that sells its users one way in and one program would look the "
			"same from here: accounts, prompts and payment are not seen.");
}

void fg_cohort_explain(struct fg_jsonw *w, const struct fg_view *v, const struct fg_cohort *c)
{
	fg_jsonw_key(w, "cohort");
	fg_jsonw_object(w);
	write_fields(w, v, c);
	fg_jsonw_object_end(w);
	fg_jsonw_key(w, "sentences");
	fg_jsonw_array(w);
	say(w, v, c);
	fg_jsonw_array_end(w);
}

/* What each family needs before it says something, and whether it has it. */
static void write_families(struct fg_jsonw *w, const struct fg_view *v,
			   const struct fg_cohorts_state *s)
{
	static const enum fg_family baselined[] = { FG_FAMILY_RELAY, FG_FAMILY_AUTOMATION,
						    FG_FAMILY_LIFECYCLE };

	fg_jsonw_key(w, "families");
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, fg_family_name(FG_FAMILY_VOLUME), "warm");
	for (size_t i = 0; i < sizeof(baselined) / sizeof(baselined[0]); i++)
		fg_jsonw_key_string(w, fg_family_name(baselined[i]),
				    s->days < FG_WARM_DAYS	   ? "cold: reports only" :
				    s->days < FG_WARM_ENFORCE_DAYS ? "warming: alerts" :
								     "warm");
	fg_jsonw_key_string(w, fg_family_name(FG_FAMILY_CLOCK),
			    v->networks ? "warm" : "off: no table of networks");
	fg_jsonw_object_end(w);
}

void fg_cohorts_write_state(struct fg_jsonw *w, const struct fg_view *v)
{
	struct fg_cohorts_state s;

	if (!v->cohorts)
		return;
	s = fg_cohorts_state(v->cohorts);
	fg_jsonw_key(w, "detection");
	fg_jsonw_object(w);
	fg_jsonw_key_double(w, "baseline_days", s.days);
	fg_jsonw_key_u64(w, "hours", s.hours);
	write_families(w, v, &s);
	fg_jsonw_key_u64(w, "cells_tested", s.tested);
	fg_jsonw_key_u64(w, "discoveries", s.discoveries);
	fg_jsonw_key_u64(w, "drifting", s.drifting);
	fg_jsonw_key_u64(w, "cohorts", fg_cohorts_n(v->cohorts));
	fg_jsonw_key_u64(w, "members", fg_cohorts_n_members(v->cohorts));
	fg_jsonw_key_double(w, "alert_expected_false", s.alert_expected_false);
	fg_jsonw_key_double(w, "enforce_expected_false", s.enforce_expected_false);
	fg_jsonw_key_u64(w, "legitimate_clients_yesterday", s.legit_sources);
	fg_jsonw_key_u64(w, "refused", s.refused);
	fg_jsonw_key_u64(w, "daily_asked", s.daily_asked);
	fg_jsonw_key_u64(w, "daily_left_out", s.daily_left_out);
	fg_jsonw_key_u64(w, "lockstep_refused", s.lockstep_refused);
	fg_jsonw_key_u64(w, "sketch_bytes", s.sketch_bytes);
	fg_jsonw_key_u64(w, "sketch_refused", s.sketch_refused);
	fg_jsonw_object_end(w);
}
