/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Farms: 25,000 accounts, 640,000 exchanges a day at full scale, agents' prompts. Knobs move by
 * conf.knob. Programs, networks and stacks are those that legitimate clients have, too.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "campaign/population.h"

#define ACCOUNTS 25000
#define A_DAY	 25.6
#define PIVOT_NS (2 * CG_DAY_NS)

/* Prompts of agents: 6,000 tokens in, 900 out; a quota a day. */
#define FARM(clock_, keep, quota_)                                                              \
	{                                                                                       \
		.session = 1, .think_s = 30, .think_sigma = 1, .spread = 0.25, .clock = clock_, \
		.keepalive_s = keep, .in_tokens = 6000, .in_sigma = 1, .out_tokens = 900,       \
		.out_sigma = 0.8, .stream = 0.7, .resume = 0.1, .quota = quota_                 \
	}

static const double exit_systems[CG_SYSTEMS] = { [CG_ANDROID] = 42,
						 [CG_ANDROID_TUNNEL] = 18,
						 [CG_WINDOWS] = 25,
						 [CG_WINDOWS_PPPOE] = 5,
						 [CG_LINUX] = 10 };
static const double keepalives[] = { 45, 60, 300 };

struct farm {
	struct cg_world *w;
	uint64_t start_ns;
	size_t accounts;
	double knob;
};

/* The same habit with each keep-alive that providers have. */
static const struct cg_habit *habit_of(struct cg_habit set[3], const char *kind,
				       const struct cg_habit *like, struct fg_prng *r)
{
	for (int i = 0; i < 3; i++) {
		set[i] = *like;
		set[i].kind = kind;
		set[i].keepalive_s = keepalives[i];
	}
	return &set[fg_prng_below(r, 3)];
}

/* One account behind an exit of its own. */
static struct cg_actor *add_exit(const struct farm *f, const struct cg_habit *habit,
				 enum cg_program program, double a_day)
{
	struct fg_prng *r = cg_random(f->w);
	enum cg_class class = cg_uniform(r) < 0.85 ? CG_RES : CG_MOBILE;
	struct cg_actor *a = cg_actor_add(f->w, habit, cg_network_of(f->w, class), program,
					  (enum cg_system)cg_pick(r, exit_systems, CG_SYSTEMS),
					  a_day);

	if (!a)
		return NULL;
	a->farm = true;
	a->gap_ms = (float)(cg_gap(r) * (1 + f->knob));
	a->from_ns = f->start_ns;
	return a;
}

static int exits(const struct farm *f, const char *kind, const struct cg_habit *like,
		 enum cg_program program)
{
	static struct cg_habit set[3];

	for (size_t i = 0; i < f->accounts; i++)
		if (!add_exit(f, habit_of(set, kind, like, cg_random(f->w)), program,
			      A_DAY * (1 + f->knob / 3)))
			return -ENOMEM;
	return 0;
}

/* F1: one to four addresses, hundreds of connections at once. */
static int one_address(const struct farm *f)
{
	static const struct cg_habit like = { .kind = "F1",
					      .session = 2,
					      .think_s = 2,
					      .think_sigma = 1,
					      .spread = 0.1,
					      .clock = CG_FLAT,
					      .keepalive_s = 4,
					      .in_tokens = 6000,
					      .in_sigma = 1,
					      .out_tokens = 900,
					      .out_sigma = 0.8,
					      .stream = 0.7 };
	size_t addresses = 1 + fg_prng_below(cg_random(f->w), 4);
	double a_day = (double)f->accounts * A_DAY / (double)addresses / 600;

	for (size_t i = 0; i < addresses; i++) {
		uint16_t network = cg_network_of(f->w, CG_DC);
		uint32_t source = 0;
		float rtt = 0;

		for (int k = 0; k < 600; k++) {
			struct cg_actor *a =
				k ? cg_actor_behind(f->w, source, &like, CG_NODE, CG_LINUX, a_day) :
				    cg_actor_add(f->w, &like, network, CG_NODE, CG_LINUX, a_day);

			if (!a)
				return -ENOMEM;
			a->farm = true;
			a->network = network;
			a->from_ns = f->start_ns;
			rtt = k ? rtt : a->rtt_ms;
			a->rtt_ms = rtt;
			source = a->source;
		}
	}
	return 0;
}

/* F2: 500 addresses in 5 to 20 data centres, 50 accounts behind each. */
static int data_centres(const struct farm *f)
{
	static const struct cg_habit poisson = { .kind = "F2",
						 .session = 1,
						 .think_s = 30,
						 .think_sigma = 1,
						 .spread = 0.05,
						 .clock = CG_FLAT,
						 .keepalive_s = 4,
						 .in_tokens = 6000,
						 .in_sigma = 1,
						 .out_tokens = 900,
						 .out_sigma = 0.8,
						 .stream = 0.7 };
	struct fg_prng *r = cg_random(f->w);
	size_t n_networks = 5 + fg_prng_below(r, 16), n = f->accounts / 50;
	uint16_t networks[20];

	for (size_t i = 0; i < n_networks; i++)
		networks[i] = cg_network_of(f->w, CG_DC);
	for (size_t i = 0; i < n; i++) {
		struct cg_actor *a = cg_actor_add(f->w, &poisson,
						  networks[fg_prng_below(r, (uint32_t)n_networks)],
						  CG_NODE, CG_LINUX, 50 * A_DAY);

		if (!a)
			return -ENOMEM;
		a->farm = true;
		a->from_ns = f->start_ns;
	}
	return 0;
}

static int sticky(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);

	return exits(f, "F3a", &like, CG_NODE);
}

static int daily(const struct farm *f)
{
	static struct cg_habit like = FARM(CG_FLAT, 60, true);

	like.move_days = 1;
	return exits(f, "F3b", &like, CG_NODE);
}

/* F3c: another exit for each request. */
static int rotating(const struct farm *f)
{
	static struct cg_habit like = FARM(CG_FLAT, 60, true);

	like.job = true;
	return exits(f, "F3c", &like, CG_NODE);
}

/* F4: a fingerprint of its own for each of fifty accounts or so. */
static int rotators(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);
	size_t first = cg_world_n(f->w);
	int r = exits(f, "F4", &like, CG_NODE);

	for (size_t i = first; i < cg_world_n(f->w); i++)
		cg_world_at(f->w, i)->hello =
			(uint16_t)(CG_RANDOM + fg_prng_below(cg_random(f->w), CG_RANDOMS));
	return r;
}

/* F5: Chrome's hello on the wrong systems. */
static int mimics(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);

	return exits(f, "F5", &like, CG_CHROME);
}

/* F6: ten hours a day, six days a week, UTC+8; quotas that vary; time to think. */
static int office(const struct farm *f)
{
	static struct cg_habit like = FARM(CG_CENTRAL, 60, true);

	like.spread = 0.8;
	return exits(f, "F6", &like, CG_NODE);
}

/* F7: from none to all within three weeks. */
static int ramp(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);
	size_t first = cg_world_n(f->w);
	int r = exits(f, "F7", &like, CG_NODE);

	for (size_t i = first; i < cg_world_n(f->w); i++)
		cg_world_at(f->w, i)->from_ns =
			CG_START_NS + 4 * CG_DAY_NS +
			(uint64_t)(cg_uniform(cg_random(f->w)) * 21 * (double)CG_DAY_NS);
	return r;
}

/* F8: the exits are people's machines that are on the net themselves, too. */
static int mixed(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);
	static struct cg_habit set[3];
	size_t people = cg_world_n(f->w);

	for (size_t i = 0; i < f->accounts; i++) {
		struct fg_prng *r = cg_random(f->w);
		const struct cg_habit *habit = habit_of(set, "F8", &like, r);
		struct cg_actor *host = cg_world_at(f->w, fg_prng_below(r, (uint32_t)people)), *a;
		uint16_t network = host->network;
		uint8_t stack = host->stack;
		float rtt = host->rtt_ms;

		if (strcmp(host->habit->kind, "L1")) {
			a = add_exit(f, habit, CG_NODE, A_DAY);
		} else {
			a = cg_actor_behind(f->w, host->source, habit, CG_NODE,
					    (enum cg_system)stack, A_DAY);
			if (a) {
				a->network = network;
				a->rtt_ms = rtt;
				a->farm = true;
				a->gap_ms = (float)cg_gap(r);
				a->from_ns = f->start_ns;
			}
		}
		if (!a)
			return -ENOMEM;
	}
	return 0;
}

/* F9: as F3a; whom it bans comes back elsewhere (cg_world_ban()). */
static int hydra(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);

	return exits(f, "F9", &like, CG_NODE);
}

/* F10: half of it does something else from the third day on. */
static int pivot(const struct farm *f)
{
	static const struct cg_habit like = FARM(CG_FLAT, 60, true);
	static struct cg_habit after = FARM(CG_FLAT, 60, true);
	size_t first = cg_world_n(f->w), last;
	int r = exits(f, "F10", &like, CG_NODE);

	last = cg_world_n(f->w);
	after.kind = "F10";
	after.in_tokens = 900;
	after.out_tokens = 3000;
	for (size_t i = first; i < last && !r; i += 2) {
		struct cg_actor *a = cg_world_at(f->w, i), *b;
		struct cg_actor copy = *a;

		a->until_ns = f->start_ns + PIVOT_NS;
		b = cg_actor_behind(f->w, copy.source, &after, CG_NODE, (enum cg_system)copy.stack,
				    A_DAY);
		if (!b)
			return -ENOMEM;
		b->network = copy.network;
		b->rtt_ms = copy.rtt_ms;
		b->gap_ms = copy.gap_ms;
		b->ttl = copy.ttl;
		b->farm = true;
		b->from_ns = f->start_ns + PIVOT_NS;
	}
	return r;
}

/* F11: VPN exits without a gap, native stacks, amounts and hours like people's. */
static int strong(const struct farm *f)
{
	static const struct cg_habit like = { .kind = "F11",
					      .session = 12,
					      .think_s = 9,
					      .think_sigma = 1.2,
					      .spread = 0.8,
					      .clock = CG_OFFICE,
					      .keepalive_s = 5,
					      .in_tokens = 2500,
					      .in_sigma = 1.2,
					      .out_tokens = 160,
					      .out_sigma = 1.3,
					      .stream = 0.7,
					      .resume = 0.3 };
	static const double systems[CG_SYSTEMS] = {
		[CG_APPLE] = 50, [CG_WINDOWS] = 25, [CG_LINUX] = 25
	};
	struct fg_prng *r = cg_random(f->w);

	for (size_t i = 0; i < f->accounts; i++) {
		struct cg_actor *a = cg_actor_add(f->w, &like, cg_network_of(f->w, CG_RES), CG_NODE,
						  (enum cg_system)cg_pick(r, systems, CG_SYSTEMS),
						  cg_lognormal(r, 7.1, 1.6));

		if (!a)
			return -ENOMEM;
		a->farm = true;
		a->from_ns = f->start_ns;
	}
	return 0;
}

/* F12: as F3a, but what goes through the exits is QUIC, end to end: a relay of datagrams (RFC 1928 section
 * 7, RFC 9298). Nobody's SDK speaks it, so the program is a browser's, or made like one. */
static int datagrams(const struct farm *f)
{
	static struct cg_habit like = FARM(CG_FLAT, 60, true);

	like.quic = like.quic_often = 1;
	return exits(f, "F12", &like, CG_CHROME);
}

static const struct variant {
	const char *name;
	int (*add)(const struct farm *f);
} variants[] = {
	{ "F1", one_address }, { "F2", data_centres }, { "F3a", sticky },	{ "F3b", daily },
	{ "F3c", rotating },   { "F4", rotators },     { "F5", mimics },	{ "F6", office },
	{ "F7", ramp },	       { "F8", mixed },	       { "F9", hydra },		{ "F10", pivot },
	{ "F11", strong },     { "F12", datagrams },   { "reference", sticky },
};

static const struct variant *find(const char *scenario)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		if (!strcmp(variants[i].name, scenario))
			return &variants[i];
	return NULL;
}

bool cg_farm_known(const char *scenario)
{
	return find(scenario) != NULL;
}

int cg_farm_add(struct cg_world *w, const char *scenario, uint64_t start_ns)
{
	const struct cg_conf *conf = cg_world_conf(w);
	const struct variant *v = find(scenario);
	const struct farm f = { .w = w,
				.start_ns = start_ns,
				.accounts = (size_t)lround(ACCOUNTS * conf->farm_scale),
				.knob = conf->knob };

	return v ? v->add(&f) : -EINVAL;
}
