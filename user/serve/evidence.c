/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/evidence.h"

#include <math.h>
#include <stdio.h>

#include "detect/thresholds.h"
#include "lib/ip.h"
#include "serve/cohorts.h"
#include "serve/report.h"

/* Cohorts are judged each hour. */
#define HOUR_S 3600

static void write_benign(struct fg_jsonw *w, const struct fg_benign *b)
{
	enum fg_benign_what what = (enum fg_benign_what)b->what;
	char figure[64];

	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "name", fg_benign_name(what));
	fg_jsonw_key_string(w, "explanation", fg_benign_text(what));
	fg_jsonw_key_string(w, "considered", fg_considered_name((enum fg_considered)b->considered));
	fg_jsonw_key(w, "figure");
	fg_jsonw_string(w, fg_benign_figure(b, figure, sizeof(figure))[0] ? figure : NULL);
	fg_jsonw_key_string(w, "refuted_by", fg_benign_refutation(what));
	fg_jsonw_object_end(w);
}

void fg_evidence_write(struct fg_jsonw *w, const struct fg_evidence *e)
{
	char text[FG_EVIDENCE_TEXT];

	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "family", fg_family_name(e->family));
	fg_jsonw_key_string(w, "name", e->name);
	fg_jsonw_key_double(w, "observed", e->observed);
	fg_jsonw_key_double(w, "expected", e->expected);
	fg_jsonw_key_double(w, "base_rate", e->base_rate);
	fg_jsonw_key_double(w, "baseline_n", e->baseline_n);
	fg_jsonw_key_double(w, "nats", e->nats);
	fg_jsonw_key_bool(w, "capped", e->capped);
	fg_jsonw_key_string(w, "text", fg_evidence_say(e, text));
	fg_jsonw_key(w, "counter_hypotheses");
	fg_jsonw_array(w);
	for (size_t i = 0; i < e->n_benign; i++)
		write_benign(w, &e->benign[i]);
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

void fg_evidence_write_cell(struct fg_jsonw *w, const struct fg_view *v, const struct fg_cohort *c)
{
	struct fg_interval bounds;
	char id[FG_COHORT_TEXT], what[256];

	fg_jsonw_key(w, "cell");
	if (!c) {
		fg_jsonw_null(w);
		return;
	}
	bounds = fg_cohort_interval(c);
	fg_cohort_what(c, v->model, what, sizeof(what));
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "cohort", fg_cohort_id_text(c->id, id));
	fg_jsonw_key_string(w, "cell", what);
	fg_jsonw_key_double(w, "B", fmax(c->active - c->excess, 0));
	fg_jsonw_key_double(w, "F_hat", c->excess);
	fg_jsonw_key(w, "CI");
	fg_jsonw_array(w);
	fg_jsonw_double(w, bounds.low);
	fg_jsonw_double(w, bounds.high);
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

static void write_window(struct fg_jsonw *w, uint64_t until_ns, uint32_t seconds)
{
	fg_jsonw_key(w, "window");
	if (!seconds) {
		fg_jsonw_null(w);
		return;
	}
	fg_jsonw_object(w);
	fg_jsonw_key_time(w, "from", until_ns - seconds * 1000000000ULL);
	fg_jsonw_key_time(w, "until", until_ns);
	fg_jsonw_key_u64(w, "seconds", seconds);
	fg_jsonw_object_end(w);
}

static const char *action_of(const struct fg_verdict *v)
{
	if (v->tier == FG_TIER_ENFORCE)
		return v->stem ? "block_client" : "block_source";
	return v->tier == FG_TIER_ALERT ? "alert" : "report";
}

static void write_subject(struct fg_jsonw *w, const struct fg_verdict *v)
{
	char buf[FG_IP_TEXT];

	fg_jsonw_key(w, "subject");
	if (v->stem)
		fg_jsonw_stringf(w, "%s %s %s", fg_report_subject(v, buf),
				 v->stem_text[0] ? v->stem_text : "-",
				 v->stack_text[0] ? v->stack_text : "-");
	else
		fg_jsonw_string(w, fg_report_subject(v, buf));
}

void fg_evidence_write_flag(struct fg_jsonw *w, const struct fg_view *v,
			    const struct fg_verdict *verdict)
{
	uint64_t now_ns = v->now_ns(v->agent);
	const struct fg_cohort *c =
		verdict->cohort && v->cohorts ? fg_cohorts_find(v->cohorts, verdict->cohort) : NULL;

	write_subject(w, verdict);
	write_window(w, verdict->updated_ns, verdict->window_s);
	fg_jsonw_key_double(w, "n_obs", verdict->n_obs);
	fg_jsonw_key_double(w, "total_nats", verdict->score);
	fg_jsonw_key_double(w, "alpha", verdict->alpha);
	fg_jsonw_key_double(w, "est_fdr", verdict->est_fdr);
	fg_evidence_write_cell(w, v, c);
	fg_jsonw_key_string(w, "action", action_of(verdict));
	fg_jsonw_key_double(
		w, "ttl",
		verdict->until_ns > now_ns ? (double)(verdict->until_ns - now_ns) / 1e9 : 0);
	fg_jsonw_key(w, "sensor_version");
	fg_jsonw_string(w, verdict->version[0] ? verdict->version : NULL);
}

void fg_evidence_write_cohort(struct fg_jsonw *w, const struct fg_view *v,
			      const struct fg_cohort *c)
{
	double nats = 0;
	char what[256];

	for (int f = 0; f < _FG_FAMILY_MAX; f++)
		nats += c->log_r[f];
	fg_cohort_what(c, v->model, what, sizeof(what));
	fg_jsonw_key_string(w, "kind", "cell");
	fg_jsonw_key_string(w, "subject", what);
	write_window(w, c->alarm_ns, HOUR_S);
	fg_jsonw_key_double(w, "n_obs", c->active);
	fg_jsonw_key_double(w, "total_nats", nats);
	fg_jsonw_key_double(w, "alpha", exp(-FG_ALARM_NATS));
	fg_jsonw_key_double(w, "est_fdr", c->members ? c->expected_false / c->members : 0);
	fg_evidence_write_cell(w, v, c);
	fg_jsonw_key_string(w, "action", c->warm ? "alert" : "report");
	fg_jsonw_key(w, "ttl");
	fg_jsonw_null(w);
	fg_jsonw_key_string(w, "sensor_version", FG_VERSION);
}
