/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/cohorts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/thresholds.h"
#include "lib/num.h"
#include "serve/evidence.h"
#include "serve/guarded.h"
#include "serve/signals.h"

/* Each has a reason that somebody should look for; the number of all is told beside. */
#define MAX_DRIFT 8

const char *fg_cohort_id_text(uint32_t id, char buf[FG_COHORT_TEXT])
{
	snprintf(buf, FG_COHORT_TEXT, "%c%u", id & FG_COMMUNITY ? 'a' : 'c', id & ~FG_COMMUNITY);
	return buf;
}

uint32_t fg_cohort_id_parse(const char *text)
{
	uint32_t community = text[0] == 'a' ? FG_COMMUNITY : 0;
	uint64_t id;

	if ((text[0] != 'c' && !community) || text[1] < '1' || text[1] > '9' ||
	    fg_num_u64(text + 1, 1, FG_COMMUNITY - 1, &id))
		return 0;
	return (uint32_t)id | community;
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
	char id[FG_COHORT_TEXT];

	fg_jsonw_key_string(w, "id", fg_cohort_id_text(c->id, id));
	fg_jsonw_key_string(w, "ja4", print ? print->ja4 : "-");
	fg_jsonw_key_string(w, "stem", print ? print->stem_text : "-");
	fg_jsonw_key_string(w, "sni", print && print->sni[0] ? print->sni : "-");
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
	fg_evidence_write_cohort(w, v, c);
	fg_jsonw_key(w, "evidence");
	fg_jsonw_array(w);
	for (size_t i = 0; i < n; i++)
		fg_evidence_write(w, &evidence[i]);
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
	struct fg_interval bounds = fg_cohort_interval(c);
	char what[256], benign[FG_EVIDENCE_TEXT];

	fg_cohort_what(c, v->model, what, sizeof(what));
	fg_jsonw_stringf(
		w,
		"Cell %s: of %.0f clients that were active in the last hour in alarm, about "
		"%.0f (%.0f to %.0f) are one farm's and %.0f as usual.",
		what, c->active, c->excess, bounds.low, bounds.high,
		fmax(c->active - c->excess, 0));
	if (c->warm)
		fg_jsonw_stringf(
			w,
			"%u clients of %u networks are members; of these %.2g are expected "
			"to be there by mistake.",
			c->members, c->networks, c->expected_false);
	else
		fg_jsonw_stringf(w,
				 "What is usual has been learned for fewer than %d days: this is a "
				 "report, and has no members.",
				 FG_WARM_DAYS);
	for (size_t i = 0; i < n; i++) {
		fg_jsonw_stringf(w, "%s, %s: %s %.1f nats%s.", fg_family_name(evidence[i].family),
				 evidence[i].name, evidence[i].text, evidence[i].nats,
				 evidence[i].capped ? " at their cap" : "");
		fg_jsonw_string(w, fg_evidence_benign_text(&evidence[i], benign, sizeof(benign)));
	}
	fg_guarded_say_cohort(w, v, c->id);
	if (!c->in_alarm)
		fg_jsonw_string(w, "The cell is quiet now.");
	if (fg_networks_weaker(v))
		fg_jsonw_stringf(w, "Weaker here: %s.", fg_networks_weaker(v));
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

/* How far a family is: what it may do by now, and how long until more. */
static void write_family(struct fg_jsonw *w, enum fg_family family, double days, double alert_days,
			 double enforce_days)
{
	bool cold = days < alert_days, warm = days >= fmax(alert_days, enforce_days);

	fg_jsonw_key(w, fg_family_name(family));
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "state", cold ? "cold" : warm ? "warm" : "warming");
	fg_jsonw_key_double(w, "days", days);
	fg_jsonw_key_double(w, "of_days", cold ? alert_days : enforce_days);
	fg_jsonw_key_string(w, "does",
			    cold ? "reports" :
			    warm ? "alerts and blocks" :
				   "alerts, blocks nothing yet");
	fg_jsonw_object_end(w);
}

/* Volume compares with the same minute and needs no days; the others need some to say anything. */
static void write_families(struct fg_jsonw *w, const struct fg_view *v,
			   const struct fg_cohorts_state *s)
{
	static const enum fg_family baselined[] = { FG_FAMILY_RELAY, FG_FAMILY_AUTOMATION,
						    FG_FAMILY_LIFECYCLE };

	fg_jsonw_key(w, "families");
	fg_jsonw_object(w);
	write_family(w, FG_FAMILY_VOLUME, s->days, 0, v->enforce_days);
	for (size_t i = 0; i < sizeof(baselined) / sizeof(baselined[0]); i++)
		write_family(w, baselined[i], s->days, FG_WARM_DAYS, v->enforce_days);
	if (v->networks) {
		write_family(w, FG_FAMILY_CLOCK, s->days, FG_WARM_DAYS, v->enforce_days);
	} else {
		fg_jsonw_key(w, fg_family_name(FG_FAMILY_CLOCK));
		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "state", "off");
		fg_jsonw_key_double(w, "days", s->days);
		fg_jsonw_key_double(w, "of_days", FG_WARM_DAYS);
		fg_jsonw_key_string(w, "does", "nothing: there is no table of networks");
		fg_jsonw_object_end(w);
	}
	fg_jsonw_object_end(w);
}

void fg_networks_write(struct fg_jsonw *w, const struct fg_view *v)
{
	const struct fg_networks_report *r = &v->networks_report;

	fg_jsonw_key(w, "networks");
	fg_jsonw_object(w);
	fg_jsonw_key(w, "file");
	fg_jsonw_string(w, v->networks ? v->networks_file : NULL);
	fg_jsonw_key_u64(w, "prefixes", v->networks ? fg_networks_n(v->networks) : 0);
	fg_jsonw_key_u64(w, "skipped", r->skipped);
	fg_jsonw_key(w, "bad");
	fg_jsonw_array(w);
	for (size_t i = 0; i < r->skipped && i < FG_NETWORKS_BAD; i++)
		fg_jsonw_stringf(w, "line %zu: %s", r->bad[i].line, r->bad[i].why);
	fg_jsonw_array_end(w);
	fg_jsonw_key(w, "weaker");
	fg_jsonw_string(w, fg_networks_weaker(v));
	fg_jsonw_object_end(w);
}

const char *fg_networks_weaker(const struct fg_view *v)
{
	if (!v->networks)
		return "no table of networks (asn.file): prefixes of /16 and /32 stand in for "
		       "them, homes are not told from data centres, and no country's day is known";
	if (!fg_networks_has_classes(v->networks))
		return "the table of networks has no classes: homes are not told from data "
		       "centres";
	return NULL;
}

/* Slow drift of what is usual, which no alarm tells: stems whose clients are relayed more often than when
 * their reference was frozen, and no release explains it. */
static void write_drift(struct fg_jsonw *w, const struct fg_view *v)
{
	const struct fg_cells *cells = fg_cohorts_cells(v->cohorts);
	size_t n = fg_cells_n(cells, FG_CELL_STEM), drifting = 0;

	fg_jsonw_key(w, "drift");
	fg_jsonw_array(w);
	for (uint16_t i = 0; i < n; i++) {
		const struct fg_cell *cell = fg_cells_at(cells, FG_CELL_STEM, i);
		const struct fg_cell_base *b = &cell->base;
		const char *stem;

		if (fg_cells_drift(cells, cell, FG_SHARE_RELAYED) <= FG_DRIFT_SHARE ||
		    drifting++ >= MAX_DRIFT)
			continue;
		stem = fg_model_stem_text(v->model, cell->key.stem);
		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "stem", stem ? stem : "-");
		fg_jsonw_key_double(w, "relayed_share",
				    b->yes[FG_SHARE_RELAYED] / b->known[FG_SHARE_RELAYED]);
		fg_jsonw_key_double(w, "was", b->frozen[FG_SHARE_RELAYED]);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
	fg_jsonw_key_u64(w, "drifting", drifting);
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
	fg_jsonw_key_double(w, "enforce_after_days", v->enforce_days);
	fg_jsonw_key_u64(w, "hours", s.hours);
	write_families(w, v, &s);
	fg_jsonw_key_u64(w, "cells_tested", s.tested);
	fg_jsonw_key_u64(w, "discoveries", s.discoveries);
	fg_jsonw_key_double(w, "mean_e", s.mean_e);
	write_drift(w, v);
	fg_jsonw_key_u64(w, "cohorts", fg_cohorts_n(v->cohorts));
	fg_jsonw_key_u64(w, "members", fg_cohorts_n_members(v->cohorts));
	fg_jsonw_key_double(w, "alert_expected_false", s.alert_expected_false);
	fg_jsonw_key_double(w, "alert_budget",
			    v->alert_per_million * (double)s.legit_sources / 1e6);
	fg_jsonw_key_double(w, "enforce_budget",
			    v->enforce_per_million * (double)s.legit_sources / 1e6);
	fg_jsonw_key_double(w, "enforce_expected_false", s.enforce_expected_false);
	fg_jsonw_key_u64(w, "legitimate_sources_yesterday", s.legit_sources);
	fg_jsonw_key_u64(w, "refused", s.refused);
	fg_jsonw_key_u64(w, "daily_asked", s.daily_asked);
	fg_jsonw_key_u64(w, "daily_left_out", s.daily_left_out);
	fg_jsonw_key_u64(w, "lockstep_refused", s.lockstep_refused);
	fg_jsonw_key_u64(w, "sketch_bytes", s.sketch_bytes);
	fg_jsonw_key_u64(w, "sketch_refused", s.sketch_refused);
	fg_jsonw_object_end(w);
}
