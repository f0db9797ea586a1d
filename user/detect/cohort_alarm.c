/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When a cell is in alarm, and what its cohort then says of it. Two rules: relays with automation or
 * with a common clock; or automation with new clients that are heavy, no probes, and of many networks.
 * No family raises an alarm by itself.
 */
#include "detect/cohort.h"

#include <math.h>

#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "lib/betabin.h"
#include "lib/hll.h"
#include "lib/splitmix.h"

#define HOUR_NS 3600000000000ULL

/* A family's recursion with its supporting test's, where that was asked and the family is raised without. */
static double with_support(const struct fg_watch *w, enum fg_family family)
{
	double own = w->log_r[family], support = -INFINITY;

	if (family == FG_FAMILY_LIFECYCLE)
		support = w->support[FG_SUPPORT_HANDOVER];
	else if (family == FG_FAMILY_AUTOMATION)
		support = w->support[FG_SUPPORT_LOCKSTEP];
	if (own < FG_SUSPECT_NATS || support == -INFINITY)
		return own;
	return fg_log_add(own + log(1 - FG_SUPPORT_WEIGHT), support + log(FG_SUPPORT_WEIGHT));
}

static bool above(const struct fg_watch *w, enum fg_family family)
{
	return with_support(w, family) >= FG_ALARM_NATS;
}

/* --- The two rules ---------------------------------------------------------------------------- */

static bool is_effect(const struct fg_cell *cell, double excess)
{
	return excess >= FG_MIN_EXCESS && excess >= FG_MIN_EXCESS_SHARE * cell->now.active;
}

bool fg_cohort_relays(const struct fg_cell *cell, const struct fg_watch *w,
		      const struct fg_cell_tests *t)
{
	return above(w, FG_FAMILY_RELAY) && is_effect(cell, t->excess[FG_FAMILY_RELAY]);
}

static bool is_relayed_farm(const struct fg_cell *cell, const struct fg_watch *w,
			    const struct fg_cell_tests *t)
{
	return fg_cohort_relays(cell, w, t) &&
	       (above(w, FG_FAMILY_AUTOMATION) || above(w, FG_FAMILY_CLOCK));
}

/* Turns a day of a client, from what it did since its day, or it, began. */
static double turns_a_day(const struct fg_model *m, uint32_t place, uint32_t hour)
{
	const struct fg_model_client *client = fg_model_client_at(m, place);
	uint64_t began = (uint64_t)(hour / 24) * FG_DAY_NS, now = fg_model_now_ns(m);
	double since;

	if (client->first_ns > began)
		began = client->first_ns;
	since = fmax((double)(now - began) / (double)HOUR_NS, 1);
	return fg_client_turns(fg_model_client_day(m, place)) / since * 24;
}

/* Of the exchanges whose shapes are kept, which share is as large both ways as the commonest? How long
 * the server took is not the client's doing. */
static double one_size(const struct fg_shapes *shapes)
{
	double all = 0, same = 0;

	for (unsigned int i = 0; i < shapes->n_top; i++) {
		all += shapes->top[i].share;
		if (shapes->top[i].shape >> 8 == shapes->top[0].shape >> 8)
			same += shapes->top[i].share;
	}
	return all > 0 ? same / all : 0;
}

/* Fixed gaps and always the same exchange. */
static bool is_probe(const struct fg_model_client *client)
{
	const struct fg_gaps gaps = fg_signals_gaps(&client->signals);
	const struct fg_shapes shapes = fg_signals_shapes(&client->signals);

	return gaps.n >= FG_PROBE_GAPS && gaps.cv < FG_PROBE_CV &&
	       one_size(&shapes) >= FG_PROBE_SHAPE_SHARE;
}

/* The clients in the bins of turns and shapes that are in excess: are they heavy, spread, no probes? */
static bool is_machine_farm(struct fg_cohorts *c, const struct fg_model *m,
			    const struct fg_cell *cell, uint16_t place, const struct fg_watch *w,
			    const struct fg_cell_tests *t)
{
	const struct fg_test *turns = &t->hists[FG_HIST_TURNS];
	size_t n = 0, heavy = 0, probes = 0, networks = 0;
	uint16_t seen[64] = { 0 };

	if (!above(w, FG_FAMILY_AUTOMATION) || !above(w, FG_FAMILY_LIFECYCLE) ||
	    !is_effect(cell, t->excess[FG_FAMILY_AUTOMATION]))
		return false;
	for (size_t i = 0; i < c->n_active; i++) {
		const struct fg_active *a = &c->active[i];
		const struct fg_model_client *client = fg_model_client_at(m, a->traits.place);
		uint16_t net = (uint16_t)(client->addr[12] << 8 | client->addr[13]);
		size_t k = 0;

		if (a->cells[cell->key.kind] != place ||
		    a->traits.bins[FG_HIST_TURNS] != turns->bin ||
		    a->traits.age_days >= FG_NEW_DAYS)
			continue;
		n++;
		heavy += turns_a_day(m, a->traits.place, c->hour) >= FG_HEAVY_TURNS;
		probes += is_probe(client);
		while (k < networks && seen[k] != net)
			k++;
		if (k == networks && networks < 64)
			seen[networks++] = net;
	}
	return n >= FG_MIN_EXCESS / 2 && heavy * 2 > n && probes * 2 < n &&
	       networks >= FG_HEAVY_NETWORKS;
}

/* --- The cohort ------------------------------------------------------------------------------- */

/* Cells of shapes and prefixes are like nothing else: what they lean on says little of them. */
static double days_of(const struct fg_cohorts *c, const struct fg_cell *cell)
{
	if (cell->key.kind == FG_CELL_SHAPE || cell->key.kind == FG_CELL_PREFIX)
		return cell->base.days;
	return fg_cells_days(c->cells, cell);
}

static struct fg_cohort *raise_cohort(struct fg_cohorts *c, const struct fg_cell *cell,
				      uint16_t place, struct fg_watch *w, uint64_t now_ns)
{
	struct fg_cohort *cohort = w->cohort ? (struct fg_cohort *)fg_cohorts_find(c, w->cohort) :
					       NULL;

	if (cohort)
		return cohort;
	if (c->n == FG_MAX_COHORTS) {
		c->state.refused++;
		return NULL;
	}
	cohort = &c->list[c->n++];
	*cohort = (struct fg_cohort){ .id = c->next_id++,
				      .key = cell->key,
				      .residual = place == FG_CELL_RESIDUAL,
				      .first_ns = now_ns };
	w->cohort = cohort->id;
	return cohort;
}

/* The test of a family that found most in this hour, where that is more than was found before. */
static void note_peak(const struct fg_cell_tests *t, enum fg_family family, struct fg_peak *peak)
{
	for (int i = 0; i < _FG_SHARE_MAX; i++)
		if (fg_share_family((enum fg_share)i) == family &&
		    t->shares[i].log_e > peak->test.log_e)
			*peak = (struct fg_peak){ t->shares[i], (int8_t)i, -1 };
	for (int i = 0; i < _FG_HIST_MAX; i++)
		if (fg_hist_family((enum fg_hist)i) == family &&
		    t->hists[i].log_e > peak->test.log_e)
			*peak = (struct fg_peak){ t->hists[i], -1, (int8_t)i };
}

/* What the bounds on the excess are made of: the test of its family that found most. */
static void note_interval(const struct fg_cell_tests *t, enum fg_family family,
			  struct fg_cohort *cohort)
{
	struct fg_peak best = { .test.log_e = -INFINITY };

	note_peak(t, family, &best);
	cohort->known = best.test.known;
	cohort->usual = best.test.p_excess;
	cohort->rho = best.test.rho;
}

/* Without memory for a large count it is too low. */
static uint32_t networks_of(const struct fg_cohorts *c, const struct fg_model *m,
			    enum fg_cell_kind kind, uint16_t place)
{
	struct fg_hll seen = { 0 };
	uint32_t n;

	for (size_t i = 0; i < c->n_active; i++) {
		const struct fg_active *a = &c->active[i];
		uint64_t h;

		if (a->cells[kind] != place)
			continue;
		h = fg_reach_network(fg_model_client_at(m, a->traits.place)->addr, a->traits.asn);
		/* spread it; whoever aimed at this one could make a number too high, in a text */
		fg_hll_add(&seen, fg_mix64(h), NULL);
	}
	n = (uint32_t)lround(fg_hll_count(&seen));
	fg_hll_clear(&seen, NULL);
	return n;
}

static void note_alarm(struct fg_cohorts *c, const struct fg_model *m, const struct fg_cell *cell,
		       uint16_t place, struct fg_watch *w, const struct fg_cell_tests *t,
		       bool machines)
{
	const uint64_t now_ns = fg_model_now_ns(m);
	struct fg_cohort *cohort = raise_cohort(c, cell, place, w, now_ns);

	if (!cohort)
		return;
	cohort->in_alarm = true;
	cohort->alarm_ns = now_ns;
	cohort->machines = machines;
	cohort->warm = days_of(c, cell) >= FG_WARM_DAYS;
	cohort->active = cell->now.active;
	cohort->cell_networks = networks_of(c, m, cell->key.kind, place);
	cohort->excess = t->excess[machines ? FG_FAMILY_AUTOMATION : FG_FAMILY_RELAY];
	cohort->relay = t->shares[FG_SHARE_RELAYED];
	cohort->turns = t->hists[FG_HIST_TURNS];
	cohort->shape = t->hists[FG_HIST_SHAPE];
	note_interval(t, machines ? FG_FAMILY_AUTOMATION : FG_FAMILY_RELAY, cohort);
	for (int f = 0; f < _FG_FAMILY_MAX; f++) {
		cohort->log_r[f] = fmax(w->log_r[f], 0);
		note_peak(t, (enum fg_family)f, &cohort->peaks[f]);
	}
}

void fg_cohort_alarm(struct fg_cohorts *c, const struct fg_model *m, const struct fg_cell *cell,
		     uint16_t place, struct fg_watch *w, const struct fg_cell_tests *t)
{
	bool relayed = is_relayed_farm(cell, w, t);

	if (relayed || is_machine_farm(c, m, cell, place, w, t))
		note_alarm(c, m, cell, place, w, t, !relayed);
}
