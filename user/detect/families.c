/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/families.h"

#include <math.h>
#include <stdio.h>

#include "model/cells.h"

/* A trait's weight by its base rate, before the cap. */
static double nats_of(double base_rate)
{
	return fmax(log(FG_TRAIT_IN_FARMS / fmax(base_rate, FG_BASE_RATE_FLOOR)), 0);
}

/* How many of the stem's clients are so; careful until it is learned. */
static double rate_of(const struct fg_scene *s, uint64_t stem, enum fg_share share, double careful)
{
	return s->cells ? fmax(fg_cells_stem_share(s->cells, stem, share, careful),
			       FG_BASE_RATE_FLOOR) :
			  careful;
}

/* What it was learned from. */
static double learned_from(const struct fg_scene *s, uint64_t stem, enum fg_share share)
{
	return s->cells ? fg_cells_stem_known(s->cells, stem, share) : 0;
}

static void set(struct fg_evidence *e, enum fg_family family, const char *name, double observed,
		double expected, double rate)
{
	*e = (struct fg_evidence){ .family = family,
				   .observed = observed,
				   .expected = expected,
				   .base_rate = rate,
				   .nats = fmin(nats_of(rate), FG_FAMILY_CAP_NATS),
				   .capped = nats_of(rate) > FG_FAMILY_CAP_NATS };
	snprintf(e->name, sizeof(e->name), "%s", name);
}

/* --- Relay ------------------------------------------------------------------------------------ */

static bool relay_gap(const struct fg_scene *s, const struct fg_model_source *source,
		      const struct fg_model_client *c, struct fg_evidence *e)
{
	const struct fg_times t = fg_model_times(s->model, c);

	(void)source;
	if (t.relayed != FG_TRAIT_YES)
		return false;
	set(e, FG_FAMILY_RELAY, "relay_gap_ms", t.gap_ms.median, 0,
	    rate_of(s, c->stem, FG_SHARE_RELAYED, FG_RELAY_RATE));
	snprintf(e->text, sizeof(e->text),
		 "TLS answers %.0f ms later than TCP in %u connections: the TCP connection "
		 "ends at a relay.",
		 t.gap_ms.median, t.gap_ms.n);
	e->baseline_n = learned_from(s, c->stem, FG_SHARE_RELAYED);
	fg_evidence_benign(e, FG_BENIGN_owners_gateway, FG_CONSIDERED_OPEN, NAN);
	return true;
}

static bool rare_stack(const struct fg_scene *s, const struct fg_model_source *source,
		       const struct fg_model_client *c, struct fg_evidence *e)
{
	const struct fg_stack_share stack =
		fg_stem_stack(fg_model_stem(s->model, c->stem), c->stack);

	(void)source;
	if (stack.n < FG_STACK_CLIENTS || stack.p >= FG_STACK_RATE)
		return false;
	set(e, FG_FAMILY_RELAY, "stack_of_stem", stack.p, 1, stack.p);
	snprintf(e->text, sizeof(e->text),
		 "Its TCP stack is that of %.2g %% of this stem's %llu clients.", 100 * stack.p,
		 (unsigned long long)stack.n);
	e->baseline_n = (double)stack.n;
	fg_evidence_benign(e, FG_BENIGN_owners_gateway, FG_CONSIDERED_OPEN, NAN);
	fg_evidence_benign(e, FG_BENIGN_new_system, FG_CONSIDERED_OPEN, NAN);
	return true;
}

/* --- Automation ------------------------------------------------------------------------------- */

static bool steady_gaps(const struct fg_scene *s, const struct fg_model_source *source,
			const struct fg_model_client *c, struct fg_evidence *e)
{
	const struct fg_gaps gaps = fg_signals_gaps(&c->signals);

	(void)s;
	(void)source;
	if (gaps.n < FG_STEADY_GAPS || gaps.cv >= FG_STEADY_CV)
		return false;
	set(e, FG_FAMILY_AUTOMATION, "gap_variation", gaps.cv, 1, FG_STEADY_RATE);
	snprintf(e->text, sizeof(e->text),
		 "%u gaps between exchanges vary by %.2f of their mean; people and most "
		 "programs by 0.9 and more.",
		 gaps.n, gaps.cv);
	fg_evidence_benign(e, FG_BENIGN_scheduled_job, FG_CONSIDERED_OPEN, NAN);
	return true;
}

static bool stems_of_one_clock(const struct fg_scene *s, const struct fg_model_source *source,
			       const struct fg_model_client *c, struct fg_evidence *e)
{
	const struct fg_hosts_seen hosts = fg_model_hosts(s->model, source->addr);

	(void)c;
	if (!hosts.known || hosts.hosts != 1 || source->stems < FG_FAN_STEMS)
		return false;
	set(e, FG_FAMILY_AUTOMATION, "stems_of_one_clock", source->stems, 2, FG_FAN_RATE);
	snprintf(e->text, sizeof(e->text), "%u kinds of clients on one machine's clock.",
		 source->stems);
	fg_evidence_benign(e, FG_BENIGN_developer, FG_CONSIDERED_UNLIKELY, NAN);
	return true;
}

/* --- Clock ------------------------------------------------------------------------------------ */

static bool never_rests(const struct fg_scene *s, const struct fg_model_source *source,
			const struct fg_model_client *c, struct fg_evidence *e)
{
	struct fg_network network = { 0 };
	unsigned int quarters = 0;

	(void)source;
	if (s->networks)
		network = fg_networks_find(s->networks, c->addr);
	if (network.class != FG_NET_RES && network.class != FG_NET_MOBILE)
		return false;
	for (unsigned int q = 0; q < FG_DAY_QUARTERS; q++)
		quarters += fg_signals_active(&c->signals, 1, q);
	if (quarters < FG_AWAKE_QUARTERS)
		return false;
	set(e, FG_FAMILY_CLOCK, "awake_quarter_hours", quarters, 30, FG_AWAKE_RATE);
	snprintf(e->text, sizeof(e->text),
		 "Active in %u of the 96 quarter hours of yesterday, from a network of homes.",
		 quarters);
	fg_evidence_benign(e, FG_BENIGN_home_server, FG_CONSIDERED_OPEN, NAN);
	return true;
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

static bool orphans(const struct fg_scene *s, const struct fg_model_source *source,
		    const struct fg_model_client *c, struct fg_evidence *e)
{
	const struct fg_lifecycle life = fg_signals_lifecycle(&c->signals);

	(void)s;
	(void)source;
	if (life.n_judged < FG_ORPHAN_JUDGED || life.orphan_share <= FG_ORPHAN_SHARE)
		return false;
	set(e, FG_FAMILY_LIFECYCLE, "orphan_resumptions", life.orphan_share, 0, FG_ORPHAN_RATE);
	snprintf(e->text, sizeof(e->text),
		 "%.0f %% of %u resumed sessions were never begun from here: its address changes.",
		 100 * life.orphan_share, life.n_judged);
	fg_evidence_benign(e, FG_BENIGN_phone, FG_CONSIDERED_OPEN, NAN);
	return true;
}

static bool new_source(const struct fg_scene *s, const struct fg_model_source *source,
		       const struct fg_model_client *c, struct fg_evidence *e)
{
	uint64_t now_ns = fg_model_now_ns(s->model);

	if (now_ns - source->first_ns >= FG_DAY_NS ||
	    now_ns - fg_model_began_ns(s->model) < FG_BORN_AFTER_DAYS * FG_DAY_NS ||
	    now_ns - fg_model_unbroken_ns(s->model) < FG_DAY_NS)
		return false;
	set(e, FG_FAMILY_LIFECYCLE, "source_age_days",
	    (double)(now_ns - source->first_ns) / (double)FG_DAY_NS, 7,
	    rate_of(s, c->stem, FG_SHARE_BORN, FG_BORN_RATE));
	snprintf(e->text, sizeof(e->text), "First seen within a day.");
	e->baseline_n = learned_from(s, c->stem, FG_SHARE_BORN);
	fg_evidence_benign(e, FG_BENIGN_new_customer, FG_CONSIDERED_OPEN, NAN);
	return true;
}

/* --- The strongest of each --------------------------------------------------------------------- */

typedef bool (*trait_fn)(const struct fg_scene *s, const struct fg_model_source *source,
			 const struct fg_model_client *c, struct fg_evidence *e);

static const trait_fn traits[][2] = {
	{ relay_gap, rare_stack },
	{ steady_gaps, stems_of_one_clock },
	{ never_rests, NULL },
	{ orphans, new_source },
};

size_t fg_families_judge(const struct fg_scene *s, const struct fg_model_source *source,
			 const struct fg_model_client *c, struct fg_evidence *ret, size_t n)
{
	size_t found = 0;

	for (size_t f = 0; f < sizeof(traits) / sizeof(traits[0]) && found < n; f++) {
		struct fg_evidence e, best = { .nats = 0 };

		for (size_t i = 0; i < 2 && traits[f][i]; i++)
			if (traits[f][i](s, source, c, &e) && e.nats > best.nats)
				best = e;
		if (best.nats > 0)
			ret[found++] = best;
	}
	return found;
}

double fg_families_nats(const struct fg_evidence *e, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += e[i].nats;
	return fmin(sum, FG_OTHERS_CAP_NATS);
}
