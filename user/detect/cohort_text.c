/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Evidence: what was observed, what was expected, how usual that is, and what else it could be. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "farmgate/stack.h"

/* An e-value below e^2 in its strongest hour is not worth a sentence. */
#define SAID_NATS 2.0
/* A course or an event is over then. */
#define COURSE_DAYS 7
/* Members are judged by what they did on the day so far. */
#define DAY_S 86400

void fg_cohort_what(const struct fg_cohort *cohort, const struct fg_model *model, char *text,
		    size_t n)
{
	if (cohort->residual)
		snprintf(text, n, "all rare cells of kind %s together",
			 fg_cell_kind_name(cohort->key.kind));
	else
		fg_cell_text(&cohort->key, fg_model_stem_text(model, cohort->key.stem), text, n);
}

/* --- One cohort ------------------------------------------------------------------------------- */

static const char *const share_texts[_FG_SHARE_MAX] = {
	[FG_SHARE_RELAYED] =
		"answer TLS later than TCP by more than their own cryptography takes: the TCP "
		"connection ends at a relay",
	[FG_SHARE_RELAYED_YOUNG] = "do so as far as one or two connections tell",
	[FG_SHARE_IDLE] =
		"close after 45, 60, 90, 180 or 300 s of silence, constants of proxy providers",
	[FG_SHARE_V4] = "come over IPv4",
	[FG_SHARE_BORN] = "come from sources that were first seen within a day",
	[FG_SHARE_NOT_BACK] = "were not active on the day before",
};

/* Of its members; where it has none, of its cell. */
static double networks_of(const struct fg_cohort *c)
{
	return c->networks ? c->networks : c->cell_networks;
}

/* A gateway, one mobile network, one country abroad are few networks. */
static enum fg_considered few_networks(const struct fg_cohort *c)
{
	return networks_of(c) > FG_HEAVY_NETWORKS ? FG_CONSIDERED_REFUTED : FG_CONSIDERED_OPEN;
}

static double days_of(const struct fg_cohort *c)
{
	return floor((double)(c->alarm_ns - c->first_ns) / (double)FG_DAY_NS);
}

/* What a cohort could be by harmless means, as far as the cohort itself tells. */
static void consider(const struct fg_cohort *c, enum fg_family family, struct fg_evidence *e)
{
	/* machines: the rule of the alarm counted fixed gaps out; the other rule is one of relays */
	enum fg_considered probes = c->machines ? FG_CONSIDERED_REFUTED : FG_CONSIDERED_UNLIKELY;

	switch (family) {
	case FG_FAMILY_RELAY:
		fg_evidence_benign(e, FG_BENIGN_corporate_gateway, few_networks(c), networks_of(c));
		fg_evidence_benign(e, FG_BENIGN_split_tcp, few_networks(c), networks_of(c));
		fg_evidence_benign(e, FG_BENIGN_privacy_relay, FG_CONSIDERED_OPEN, NAN);
		return;
	case FG_FAMILY_CLOCK:
		fg_evidence_benign(e, FG_BENIGN_abroad, few_networks(c), networks_of(c));
		fg_evidence_benign(e, FG_BENIGN_timers, FG_CONSIDERED_OPEN, NAN);
		return;
	case FG_FAMILY_LIFECYCLE:
		fg_evidence_benign(e, FG_BENIGN_launch,
				   c->machines ? FG_CONSIDERED_OPEN : FG_CONSIDERED_UNLIKELY, NAN);
		fg_evidence_benign(e, FG_BENIGN_address_change, FG_CONSIDERED_OPEN, NAN);
		return;
	default:
		fg_evidence_benign(e, FG_BENIGN_course,
				   days_of(c) > COURSE_DAYS ? FG_CONSIDERED_REFUTED :
							      FG_CONSIDERED_OPEN,
				   days_of(c));
		fg_evidence_benign(e, FG_BENIGN_monitoring, probes, NAN);
		fg_evidence_benign(e, FG_BENIGN_release, FG_CONSIDERED_UNLIKELY, NAN);
	}
}

static void write_share(const struct fg_cohort *c, const struct fg_peak *p, char *text, size_t n)
{
	snprintf(
		text, n,
		"%.0f of %.0f clients %s; usual are %.0f. The cell's clients are from %u networks.",
		p->test.observed, p->test.known, share_texts[p->share], p->test.expected,
		c->cell_networks);
}

static void write_hist(const struct fg_peak *p, char *text, size_t n)
{
	char bin[96];

	switch (p->hist) {
	case FG_HIST_TURNS:
		fg_turn_bin_text(p->test.bin, bin, sizeof(bin));
		snprintf(text, n,
			 "%.0f of %.0f clients made %s turns of the day so far; usual are %.0f.",
			 p->test.observed, p->test.known, bin, p->test.expected);
		return;
	case FG_HIST_SHAPE:
		fg_shape_bin_text(p->test.bin, bin, sizeof(bin));
		snprintf(text, n, "%.0f of %.0f clients mostly exchange %s; usual are %.0f.",
			 p->test.observed, p->test.known, bin, p->test.expected);
		return;
	default:
		fg_stack_bin_text(p->test.bin, bin, sizeof(bin));
		snprintf(text, n, "%.0f of %.0f clients have the stack %s; usual are %.0f.",
			 p->test.observed, p->test.known, bin, p->test.expected);
	}
}

static void write_peak(const struct fg_cohort *c, enum fg_family family, struct fg_evidence *e)
{
	const struct fg_peak *p = &c->peaks[family];

	*e = (struct fg_evidence){ .family = family,
				   .observed = p->test.observed,
				   .expected = p->test.expected,
				   .base_rate = p->test.p,
				   .baseline_n = p->test.baseline_n,
				   .nats = c->log_r[family],
				   .capped = c->log_r[family] >= FG_ALARM_MAX_NATS };
	if (p->share >= 0) {
		snprintf(e->name, sizeof(e->name), "%s", fg_share_name((enum fg_share)p->share));
		write_share(c, p, e->text, sizeof(e->text));
	} else {
		snprintf(e->name, sizeof(e->name), "%s", fg_hist_name((enum fg_hist)p->hist));
		write_hist(p, e->text, sizeof(e->text));
	}
	consider(c, family, e);
}

static void write_clock(const struct fg_cohort *c, struct fg_evidence *e)
{
	*e = (struct fg_evidence){ .family = FG_FAMILY_CLOCK,
				   .name = "one_clock",
				   .observed = c->clock.votes,
				   .expected = c->clock.usual * c->clock.n,
				   .base_rate = c->clock.usual,
				   .baseline_n = c->clock.n,
				   .nats = c->log_r[FG_FAMILY_CLOCK],
				   .capped = c->log_r[FG_FAMILY_CLOCK] >= FG_ALARM_MAX_NATS };
	snprintf(e->text, sizeof(e->text),
		 "%u of %u relayed clients keep one clock rather than the day of their countries; "
		 "usual are %.0f.",
		 c->clock.votes, c->clock.n, e->expected);
	consider(c, FG_FAMILY_CLOCK, e);
}

struct fg_interval fg_cohort_interval(const struct fg_cohort *c)
{
	return fg_excess_interval(c->excess, c->active, c->known, c->usual, c->rho);
}

static void write_handover(const struct fg_cohort *c, struct fg_evidence *e)
{
	const struct fg_handover *h = &c->handover;

	*e = (struct fg_evidence){ .family = FG_FAMILY_LIFECYCLE,
				   .name = "hand_over",
				   .observed = h->after,
				   .expected = h->before,
				   .base_rate = h->p,
				   .nats = fmax(c->support[FG_SUPPORT_HANDOVER], 0) };
	snprintf(e->text, sizeof(e->text),
		 "On one day about %.0f of %u clients came up within 15 minutes after one of the "
		 "same shape went in another network, beyond what comes in the other order; by "
		 "chance so on %.2g %% of days. It supports, and flags nobody by itself.",
		 fmin(h->excess, h->starts), h->starts, 100 * h->p);
	fg_evidence_benign(e, FG_BENIGN_phone, FG_CONSIDERED_OPEN, NAN);
	fg_evidence_benign(e, FG_BENIGN_pipeline, few_networks(c), networks_of(c));
}

static void write_lockstep(const struct fg_cohort *c, struct fg_evidence *e)
{
	const struct fg_lockstep *l = &c->lockstep;

	*e = (struct fg_evidence){ .family = FG_FAMILY_AUTOMATION,
				   .name = "lockstep",
				   .observed = l->pairs,
				   .expected = l->pairs_usual,
				   .base_rate = l->p,
				   .nats = fmax(c->support[FG_SUPPORT_LOCKSTEP], 0) };
	snprintf(e->text, sizeof(e->text),
		 "%u of %u clients are active in the same quarter hours as %d others or more, with "
		 "the same shape; %u of them in the same of %u groups on %d days. It supports, and "
		 "flags nobody by itself.",
		 l->in_groups, l->clients, FG_LOCKSTEP_GROUP - 1, l->on_days, l->groups,
		 FG_LOCKSTEP_DAYS);
	fg_evidence_benign(e, FG_BENIGN_timers, FG_CONSIDERED_OPEN, NAN);
}

size_t fg_cohort_evidence(const struct fg_cohort *c, struct fg_evidence *ret, size_t n)
{
	static const enum fg_family order[] = { FG_FAMILY_RELAY, FG_FAMILY_AUTOMATION,
						FG_FAMILY_CLOCK, FG_FAMILY_LIFECYCLE };
	size_t found = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && found < n; i++) {
		if (order[i] == FG_FAMILY_CLOCK && c->clock.n && c->clock.log_e > SAID_NATS)
			write_clock(c, &ret[found++]);
		else if (c->peaks[order[i]].test.log_e > SAID_NATS)
			write_peak(c, order[i], &ret[found++]);
		if (order[i] == FG_FAMILY_LIFECYCLE && c->handover.effect && found < n)
			write_handover(c, &ret[found++]);
		if (order[i] == FG_FAMILY_AUTOMATION && found < n &&
		    c->lockstep.on_days >= 2 * FG_LOCKSTEP_GROUP)
			write_lockstep(c, &ret[found++]);
	}
	return found;
}

/* --- One member ------------------------------------------------------------------------------- */

static void member_relay(const struct fg_cohort *c, const struct fg_model *model,
			 const struct fg_model_client *client, const struct fg_member *m,
			 struct fg_evidence *e)
{
	const struct fg_times t = fg_model_times(model, client);
	char stack[64] = "-";

	if (m->stack_bin != FG_BIN_UNKNOWN)
		fg_stack_bin_text(m->stack_bin, stack, sizeof(stack));
	e->family = FG_FAMILY_RELAY;
	e->observed = t.gap_ms.median;
	e->expected = 0;
	/* where too few of the cell's clients can be measured, nobody knows what is usual */
	e->base_rate = c->relay.p > 0 ? c->relay.p : 1;
	snprintf(e->name, sizeof(e->name), "relay_gap_ms");
	snprintf(e->text, sizeof(e->text),
		 "TLS answers %.0f ms later than TCP (%u connections), stack %s: %s.",
		 t.gap_ms.median, t.gap_ms.n, stack,
		 m->relayed ? "a relay ends its TCP connection" : "not relayed by itself");
	e->baseline_n = c->relay.baseline_n;
	fg_evidence_benign(e, FG_BENIGN_owners_gateway, FG_CONSIDERED_UNLIKELY, NAN);
}

/* Who lies in two rare bins is no more frequent than the rarer one is. */
static void usual_bin(const struct fg_test *t, struct fg_evidence *e)
{
	if (!(t->p > 0) || t->p >= e->base_rate)
		return;
	e->base_rate = t->p;
	e->baseline_n = t->baseline_n;
}

static void member_automation(const struct fg_cohort *c, const struct fg_member *m,
			      struct fg_evidence *e)
{
	char turns[64] = "-", shape[96] = "-";

	if (m->turns_bin != FG_BIN_UNKNOWN)
		fg_turn_bin_text(m->turns_bin, turns, sizeof(turns));
	if (m->shape_bin != FG_BIN_UNKNOWN)
		fg_shape_bin_text(m->shape_bin, shape, sizeof(shape));
	e->family = FG_FAMILY_AUTOMATION;
	e->observed = m->turns_bin != FG_BIN_UNKNOWN ? (double)(1U << m->turns_bin) : 0;
	e->base_rate = 1;
	if (m->turns_bin == c->turns.bin)
		usual_bin(&c->turns, e);
	if (m->shape_bin == c->shape.bin)
		usual_bin(&c->shape, e);
	snprintf(e->name, sizeof(e->name), "turns_and_shape");
	snprintf(e->text, sizeof(e->text),
		 "Made %s turns of the day, mostly %s, as the cohort does.", turns, shape);
	fg_evidence_benign(e, FG_BENIGN_chance, FG_CONSIDERED_OPEN, 100 * e->base_rate);
}

static void member_other(const struct fg_cohort *c, const struct fg_member *m,
			 enum fg_family family, struct fg_evidence *e)
{
	const struct fg_test *born = &c->peaks[FG_FAMILY_LIFECYCLE].test;

	e->family = family;
	if (family == FG_FAMILY_CLOCK) {
		e->observed = m->clock == 1;
		e->expected = e->base_rate = 0.5;
		snprintf(e->name, sizeof(e->name), "one_clock");
		fg_evidence_benign(e, FG_BENIGN_abroad, FG_CONSIDERED_OPEN, NAN);
		snprintf(e->text, sizeof(e->text), "Keeps %s.",
			 m->clock == 1 ? "the cohort's clock rather than its country's day" :
					 "its country's day rather than the cohort's clock");
		return;
	}
	e->observed = m->age_days;
	e->base_rate = 1;
	usual_bin(born, e);
	snprintf(e->name, sizeof(e->name), "source_age_days");
	snprintf(e->text, sizeof(e->text), "Its source was first seen %u day%s before.",
		 m->age_days, m->age_days == 1 ? "" : "s");
	fg_evidence_benign(e, FG_BENIGN_new_customer, FG_CONSIDERED_OPEN, NAN);
}

static void fill_member(const struct fg_cohort *c, const struct fg_model *model,
			const struct fg_model_client *client, const struct fg_member *m,
			struct fg_finding *f)
{
	static const enum fg_family order[] = { FG_FAMILY_RELAY, FG_FAMILY_AUTOMATION,
						FG_FAMILY_LIFECYCLE, FG_FAMILY_CLOCK };
	/* of whom nothing is known of a relay, either way */
	bool is_quic = client->stack == FG_STACK_QUIC;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct fg_evidence *e = &f->evidence[f->n_evidence];

		if (m->nats[order[i]] == 0 || (order[i] == FG_FAMILY_RELAY && is_quic))
			continue;
		*e = (struct fg_evidence){ .nats = m->nats[order[i]] };
		e->capped = e->nats >= FG_FAMILY_CAP_NATS || e->nats <= FG_FAMILY_FLOOR_NATS;
		if (order[i] == FG_FAMILY_RELAY)
			member_relay(c, model, client, m, e);
		else if (order[i] == FG_FAMILY_AUTOMATION)
			member_automation(c, m, e);
		else
			member_other(c, m, order[i], e);
		f->n_evidence++;
	}
}

int fg_cohorts_members(const struct fg_cohorts *c, const struct fg_model *model,
		       const struct fg_detect_conf *conf, fg_finding_fn emit, void *arg)
{
	int r = 0;

	for (uint32_t i = 0; i < c->n_members && !r; i++) {
		const struct fg_member *m = &c->members[i];
		const struct fg_cohort *cohort = fg_cohorts_find(c, m->cohort);
		const struct fg_model_client *client =
			fg_model_client_find(model, m->addr, m->stem, m->stack);
		const struct fg_model_source *source = fg_model_source_find(model, m->addr);
		struct fg_finding f = { .stem = m->stem, .stack = m->stack, .proven = true };
		const struct fg_model_print *print;
		struct fg_shared shared;

		if (!cohort || !client || !source)
			continue;
		memcpy(f.source, m->addr, sizeof(f.source));
		print = fg_model_print_of(model, client);
		f.print = print ? print->print : 0;
		f.cohort = m->cohort;
		f.score = fg_member_score(m);
		f.window_s = DAY_S;
		f.n_obs = client->connections;
		f.alpha = FG_MEMBER_LFDR;
		f.est_fdr = fg_member_est_fdr(m);
		shared = fg_model_shared(model, source, conf->shared_stems);
		f.shared = shared.shared;
		snprintf(f.shared_why, sizeof(f.shared_why), "%s", shared.why);
		f.no_enforce = !m->may_enforce;
		snprintf(f.no_enforce_why, sizeof(f.no_enforce_why),
			 "the day's budget of false blocks, or a baseline of %g days, is wanting",
			 conf->enforce_days);
		fill_member(cohort, model, client, m, &f);
		r = emit(&f, arg);
	}
	return r;
}
