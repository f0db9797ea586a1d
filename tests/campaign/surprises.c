/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a service without anybody meaning harm. Numbers of people are those of a service with
 * 215,000 sources, and scale with it.
 */
#include <errno.h>
#include <string.h>

#include "campaign/population.h"

#define HOUR_NS (CG_DAY_NS / 24)

static size_t scaled(struct cg_world *w, double n)
{
	return (size_t)(n * cg_world_conf(w)->legit_sources / 215000 + 0.5);
}

static uint64_t within(struct cg_world *w, uint64_t from_ns, double days)
{
	return from_ns + (uint64_t)(cg_uniform(cg_random(w)) * days * (double)CG_DAY_NS);
}

/* N1: six of ten of Chrome's clients have another hello after five days. */
static int chrome_release(struct cg_world *w, uint64_t start_ns)
{
	for (size_t i = 0; i < cg_world_n(w); i++) {
		struct cg_actor *a = cg_world_at(w, i);

		if (a->hello != CG_CHROME || cg_uniform(cg_random(w)) > 0.6)
			continue;
		a->next_hello = CG_CHROME_NEXT;
		a->hello_ns = within(w, start_ns, 5);
	}
	return 0;
}

/* N2: a new SDK, whose connections are kept for 30 s and not for 5. */
static int sdk_release(struct cg_world *w, uint64_t start_ns)
{
	static struct cg_habit longer;

	for (size_t i = 0; i < cg_world_n(w); i++) {
		struct cg_actor *a = cg_world_at(w, i);

		if (a->hello != CG_NODE || strcmp(a->habit->kind, "L3") ||
		    cg_uniform(cg_random(w)) > 0.6)
			continue;
		a->next_hello = CG_NODE_NEXT;
		a->hello_ns = within(w, start_ns, 7);
		longer = *a->habit;
		longer.keepalive_s = 30;
		a->habit = &longer;
	}
	return 0;
}

/* N3: three times as many homes and developers within 48 hours. */
static int flash_crowd(struct cg_world *w, uint64_t start_ns)
{
	size_t homes = scaled(w, 0.38 * 2 * 215000), developers = scaled(w, 0.16 * 2 * 215000);
	int r = 0;

	for (size_t i = 0; i < homes && !r; i++)
		r = cg_people_more(w, "L1", 1, within(w, start_ns, 2));
	for (size_t i = 0; i < developers && !r; i++)
		r = cg_people_more(w, "L3", 1, within(w, start_ns, 2));
	return r;
}

/* N4: a company brings 2,000 seats behind four addresses, passed on by CONNECT. */
static int onboarding(struct cg_world *w, uint64_t start_ns)
{
	static const struct cg_habit seats = { .kind = "N4",
					       .session = 5,
					       .think_s = 30,
					       .think_sigma = 1.2,
					       .spread = 0.2,
					       .clock = CG_OFFICE,
					       .keepalive_s = 60,
					       .in_tokens = 1300,
					       .in_sigma = 1.1,
					       .out_tokens = 140,
					       .out_sigma = 1.1,
					       .stream = 0.8,
					       .resume = 0.3 };
	static const enum cg_program programs[] = { CG_CHROME, CG_NODE, CG_PYTHON, CG_FIREFOX };
	uint16_t network = cg_network_of(w, CG_CORP);

	for (int address = 0; address < 4; address++) {
		uint32_t source = 0;
		float rtt = 0;

		for (int i = 0; i < 4; i++) {
			struct cg_actor *a = i ? cg_actor_behind(w, source, &seats, programs[i],
								 CG_LINUX, 500 * 3) :
						 cg_actor_add(w, &seats, network, programs[i],
							      CG_LINUX, 500 * 6);

			if (!a)
				return -ENOMEM;
			source = a->source;
			a->network = network;
			rtt = i ? rtt : a->rtt_ms;
			a->rtt_ms = rtt;
			a->gap_ms = 38;
			a->from_ns = start_ns;
		}
	}
	return 0;
}

/* N5: 300 probes more, the same program, each minute. */
static int more_probes(struct cg_world *w, uint64_t start_ns)
{
	static const struct cg_habit minute = { .kind = "N5",
						.session = 1,
						.think_s = 1,
						.think_sigma = 0.1,
						.clock = CG_FLAT,
						.keepalive_s = 1,
						.in_tokens = 20,
						.in_sigma = 0.05,
						.out_tokens = 10,
						.out_sigma = 0.05,
						.period_s = 60 };

	for (size_t i = 0; i < 300; i++) {
		struct cg_actor *a =
			cg_actor_add(w, &minute, cg_network_of(w, CG_DC), CG_GO, CG_LINUX, 1440);

		if (!a)
			return -ENOMEM;
		a->from_ns = start_ns;
	}
	return 0;
}

/* N6: 800 laptops at one venue, one weekend, one template. */
static int hackathon(struct cg_world *w, uint64_t start_ns)
{
	static const struct cg_habit laptops = { .kind = "N6",
						 .session = 20,
						 .think_s = 15,
						 .think_sigma = 0.8,
						 .spread = 0.2,
						 .clock = CG_LOCAL,
						 .keepalive_s = 5,
						 .in_tokens = 3000,
						 .in_sigma = 0.2,
						 .out_tokens = 500,
						 .out_sigma = 0.4,
						 .stream = 0.8 };
	static const enum cg_program programs[] = { CG_NODE, CG_PYTHON, CG_CHROME, CG_GO };
	static const enum cg_system systems[] = { CG_APPLE, CG_WINDOWS, CG_LINUX };
	uint16_t network = cg_network_of(w, CG_EDU);
	/* the Saturday behind it */
	uint64_t day = (start_ns - CG_START_NS) / CG_DAY_NS;
	uint64_t saturday = CG_START_NS + (day + (12 - day % 7) % 7) * CG_DAY_NS;
	uint32_t source = 0;

	for (int i = 0; i < 12; i++) {
		enum cg_program program = programs[i % 4];
		enum cg_system system = systems[i / 4];
		struct cg_actor *a =
			i ? cg_actor_behind(w, source, &laptops, program, system, 66 * 80) :
			    cg_actor_add(w, &laptops, network, program, system, 66 * 80);

		if (!a)
			return -ENOMEM;
		source = a->source;
		a->network = network;
		a->rtt_ms = 20;
		a->from_ns = saturday;
		a->until_ns = saturday + 2 * CG_DAY_NS;
	}
	return 0;
}

/* N7: 5,000 students run the same notebook at home until the same deadline. */
static int course(struct cg_world *w, uint64_t start_ns)
{
	static const struct cg_habit notebook = { .kind = "N7",
						  .session = 24,
						  .think_s = 6,
						  .think_sigma = 0.5,
						  .spread = 0.2,
						  .clock = CG_LOCAL,
						  .keepalive_s = 5,
						  .in_tokens = 4000,
						  .in_sigma = 0.1,
						  .out_tokens = 600,
						  .out_sigma = 0.3,
						  .stream = 0 };
	static const double systems[CG_SYSTEMS] = {
		[CG_WINDOWS] = 45, [CG_APPLE] = 40, [CG_LINUX] = 15
	};

	for (size_t i = 0; i < scaled(w, 5000); i++) {
		struct cg_actor *a = cg_actor_add(
			w, &notebook, cg_network_of(w, CG_RES), CG_PYTHON,
			(enum cg_system)cg_pick(cg_random(w), systems, CG_SYSTEMS), 24);

		if (!a)
			return -ENOMEM;
		a->from_ns = within(w, start_ns, 1.5);
		a->until_ns = start_ns + 3 * CG_DAY_NS;
	}
	return 0;
}

/* N8: twice as many build jobs. */
static int more_jobs(struct cg_world *w, uint64_t start_ns)
{
	return cg_people_more(w, "L6", scaled(w, 0.05 * 215000), start_ns);
}

/* N9: a browser's relay is rolled out to one home in 25 within three days. */
static int relay_product(struct cg_world *w, uint64_t start_ns)
{
	for (size_t i = 0; i < cg_world_n(w); i++) {
		struct cg_actor *a = cg_world_at(w, i);

		if (strcmp(a->habit->kind, "L1") || a->gap_ms > 0 ||
		    cg_uniform(cg_random(w)) > 0.04)
			continue;
		a->gap_ms = (float)cg_lognormal(cg_random(w), 45, 0.4);
		a->relay_ns = within(w, start_ns, 3);
	}
	return 0;
}

/* N10: 500 honest users of a command line tool buy themselves an address at a home. */
static int private_tool(struct cg_world *w, uint64_t start_ns)
{
	static const struct cg_habit users = { .kind = "N10",
					       .session = 12,
					       .think_s = 9,
					       .think_sigma = 1.2,
					       .spread = 0.8,
					       .clock = CG_LOCAL,
					       .keepalive_s = 5,
					       .in_tokens = 2500,
					       .in_sigma = 1.2,
					       .out_tokens = 160,
					       .out_sigma = 1.3,
					       .stream = 0.7,
					       .resume = 0.3 };
	static const double systems[CG_SYSTEMS] = {
		[CG_ANDROID] = 60, [CG_WINDOWS] = 30, [CG_LINUX] = 10
	};

	for (size_t i = 0; i < 500; i++) {
		struct cg_actor *a =
			cg_actor_add(w, &users, cg_network_of(w, CG_RES), CG_NODE,
				     (enum cg_system)cg_pick(cg_random(w), systems, CG_SYSTEMS),
				     cg_lognormal(cg_random(w), 25, 1.6));

		if (!a)
			return -ENOMEM;
		a->gap_ms = (float)cg_gap(cg_random(w));
		a->from_ns = within(w, start_ns, 10);
	}
	return 0;
}

/* N11: a carrier hands its addresses out anew. */
static int repooling(struct cg_world *w, uint64_t start_ns)
{
	for (size_t i = 0; i < cg_world_n(w); i++)
		if (!strcmp(cg_world_at(w, i)->habit->kind, "L2") && cg_world_at(w, i)->move_ns)
			cg_world_at(w, i)->move_ns = start_ns;
	return 0;
}

static const struct surprise {
	const char *name;
	int (*add)(struct cg_world *w, uint64_t start_ns);
} surprises[] = {
	{ "N1", chrome_release }, { "N2", sdk_release }, { "N3", flash_crowd },
	{ "N4", onboarding },	  { "N5", more_probes }, { "N6", hackathon },
	{ "N7", course },	  { "N8", more_jobs },	 { "N9", relay_product },
	{ "N10", private_tool },  { "N11", repooling },
};

static const struct surprise *find(const char *scenario)
{
	for (size_t i = 0; i < sizeof(surprises) / sizeof(surprises[0]); i++)
		if (!strcmp(surprises[i].name, scenario))
			return &surprises[i];
	return NULL;
}

bool cg_surprise_known(const char *scenario)
{
	return find(scenario) != NULL;
}

int cg_surprise_add(struct cg_world *w, const char *scenario, uint64_t start_ns)
{
	const struct surprise *s = find(scenario);

	return s ? s->add(w, start_ns) : -EINVAL;
}
