/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who has a right to be there: L1 homes, L2 phones behind carriers' addresses, L3 developers, L4 servers
 * of customers, L5 company gateways, L6 build jobs, L7 probes, L8 crawlers, L9 privacy relays and VPNs,
 * L10 products that are built on the service.
 *
 * Shares, rates and times are engineering estimates unless they are measured ones: gaps between a
 * client's exchanges with a coefficient of variation of 0.9 to 4 and more, tokens of code and chat.
 * A carrier's or a company's address has as many actors as it has kinds of clients, not people.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "campaign/population.h"

/* Where QUIC is spoken at all (cg_conf.quic), an estimate: of browsers in homes, on phones, behind relays
 * and VPNs somewhat less than half speak it, the others are in a network that lets no UDP through, or are
 * told not to. Who does still comes by TCP first, until it knows that there is HTTP/3: a third of all
 * these browsers' connections is QUIC's. A company's gateway takes no UDP by CONNECT. */
#define QUIC	   0.45
#define QUIC_OFTEN 0.75

/* session, think_s, sigma, spread, clock, keepalive, in, sigma, out, sigma, stream, resume, moves */
static const struct cg_habit homes = { .kind = "L1",
				       .session = 3.3,
				       .think_s = 45,
				       .think_sigma = 1,
				       .spread = 0.6,
				       .clock = CG_LOCAL,
				       .keepalive_s = 90,
				       .in_tokens = 1020,
				       .in_sigma = 1,
				       .out_tokens = 129,
				       .out_sigma = 1,
				       .stream = 0.9,
				       .resume = 0.5,
				       .move_days = 50,
				       .quic = QUIC,
				       .quic_often = QUIC_OFTEN };
static const struct cg_habit phones = { .kind = "L2",
					.session = 2.2,
					.think_s = 35,
					.think_sigma = 1,
					.spread = 0.5,
					.clock = CG_LOCAL,
					.keepalive_s = 60,
					.in_tokens = 900,
					.in_sigma = 1,
					.out_tokens = 129,
					.out_sigma = 1,
					.stream = 0.9,
					.resume = 0.5,
					.move_days = 3,
					.quic = QUIC,
					.quic_often = QUIC_OFTEN };
static const struct cg_habit developers = { .kind = "L3",
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
static const struct cg_habit servers = { .kind = "L4",
					 .session = 4,
					 .think_s = 20,
					 .think_sigma = 1.3,
					 .spread = 0.3,
					 .clock = CG_FLAT,
					 .keepalive_s = 15,
					 .in_tokens = 1469,
					 .in_sigma = 1.2,
					 .out_tokens = 90,
					 .out_sigma = 1.4,
					 .stream = 0.4,
					 .resume = 0.2 };
static const struct cg_habit office_servers = { .kind = "L4",
						.session = 4,
						.think_s = 20,
						.think_sigma = 1.3,
						.spread = 0.3,
						.clock = CG_OFFICE,
						.keepalive_s = 30,
						.in_tokens = 1469,
						.in_sigma = 1.2,
						.out_tokens = 90,
						.out_sigma = 1.4,
						.stream = 0.4,
						.resume = 0.2 };
static const struct cg_habit companies = { .kind = "L5",
					   .session = 5,
					   .think_s = 30,
					   .think_sigma = 1.2,
					   .spread = 0.3,
					   .clock = CG_OFFICE,
					   .keepalive_s = 60,
					   .in_tokens = 1300,
					   .in_sigma = 1.1,
					   .out_tokens = 140,
					   .out_sigma = 1.1,
					   .stream = 0.8,
					   .resume = 0.3 };
static const struct cg_habit jobs = { .kind = "L6",
				      .session = 8,
				      .think_s = 12,
				      .think_sigma = 0.6,
				      .spread = 0.5,
				      .clock = CG_HOURLY,
				      .keepalive_s = 4,
				      .in_tokens = 3000,
				      .in_sigma = 0.8,
				      .out_tokens = 200,
				      .out_sigma = 0.8,
				      .stream = 0.2,
				      .job = true };
static const struct cg_habit probes = { .kind = "L7",
					.session = 1,
					.think_s = 1,
					.think_sigma = 0.1,
					.clock = CG_FLAT,
					.keepalive_s = 1,
					.in_tokens = 20,
					.in_sigma = 0.05,
					.out_tokens = 10,
					.out_sigma = 0.05,
					.period_s = 120 };
static const struct cg_habit crawlers = { .kind = "L8",
					  .session = 40,
					  .think_s = 4,
					  .think_sigma = 0.7,
					  .spread = 0.5,
					  .clock = CG_FLAT,
					  .keepalive_s = 30,
					  .in_tokens = 60,
					  .in_sigma = 0.4,
					  .out_tokens = 900,
					  .out_sigma = 0.8 };
static const struct cg_habit relays = { .kind = "L9",
					.session = 3.3,
					.think_s = 45,
					.think_sigma = 1,
					.spread = 0.6,
					.clock = CG_LOCAL,
					.keepalive_s = 90,
					.in_tokens = 1020,
					.in_sigma = 1,
					.out_tokens = 129,
					.out_sigma = 1,
					.stream = 0.9,
					.resume = 0.4,
					.move_days = 0.2,
					.quic = QUIC,
					.quic_often = QUIC_OFTEN };
static const struct cg_habit products = { .kind = "L10",
					  .session = 6,
					  .think_s = 3,
					  .think_sigma = 1,
					  .spread = 0.3,
					  .clock = CG_LOCAL,
					  .keepalive_s = 60,
					  .in_tokens = 1020,
					  .in_sigma = 1,
					  .out_tokens = 129,
					  .out_sigma = 1,
					  .stream = 0.8,
					  .resume = 0.2 };

static const enum cg_program browsers[] = { CG_CHROME, CG_SAFARI, CG_FIREFOX };
static const double browser_weights[] = { 0.72, 0.20, 0.08 };

static enum cg_system system_of(struct fg_prng *r, const double weights[CG_SYSTEMS])
{
	return (enum cg_system)cg_pick(r, weights, CG_SYSTEMS);
}

/* Apple's browser runs on Apple's systems; the others where the house has them. */
static const double home_systems[CG_SYSTEMS] = { [CG_WINDOWS] = 52,
						 [CG_WINDOWS_PPPOE] = 10,
						 [CG_APPLE] = 25,
						 [CG_LINUX] = 8,
						 [CG_ANDROID] = 5 };
static const double phone_systems[CG_SYSTEMS] = { [CG_ANDROID] = 50,
						  [CG_ANDROID_TUNNEL] = 15,
						  [CG_APPLE] = 25,
						  [CG_APPLE_TUNNEL] = 10 };
static const double developer_systems
	[CG_SYSTEMS] = { [CG_APPLE] = 50, [CG_WINDOWS] = 22, [CG_WINDOWS_PPPOE] = 3, [CG_LINUX] = 25 };

static struct cg_actor *add_home(struct cg_world *w)
{
	struct fg_prng *r = cg_random(w);
	enum cg_program program = browsers[cg_pick(r, browser_weights, 3)];
	enum cg_system system = program == CG_SAFARI ? CG_APPLE : system_of(r, home_systems);
	struct cg_actor *a = cg_actor_add(w, &homes, cg_network_of(w, CG_RES), program, system,
					  cg_lognormal(r, 6, 1.2));
	unsigned int more;
	uint32_t source;
	uint16_t network;
	float rtt;

	if (!a)
		return NULL;
	a->v6 = cg_uniform(r) < 0.3;
	cg_actor_move(w, a);
	a->move_ns += CG_START_NS;
	if (cg_uniform(r) < 0.005)
		a->gap_ms = (float)cg_gap(r);
	source = a->source;
	network = a->network;
	rtt = a->rtt_ms;
	for (more = cg_uniform(r) < 0.5; more > 0; more--) {
		a = cg_actor_behind(w, source, &homes, CG_CHROME, system_of(r, phone_systems),
				    cg_lognormal(r, 4, 1.2));
		if (!a)
			return NULL;
		a->network = network;
		a->rtt_ms = rtt;
	}
	return a;
}

/* Four kinds of phones behind one address of a carrier; tens of people are each of them. */
static struct cg_actor *add_carrier(struct cg_world *w)
{
	static const struct {
		enum cg_program program;
		double share;
	} apps[] = {
		{ CG_CHROME, 0.45 }, { CG_SAFARI, 0.3 }, { CG_OKHTTP, 0.2 }, { CG_FIREFOX, 0.05 }
	};
	struct fg_prng *r = cg_random(w);
	double people = fmin(30 * pow(1 - cg_uniform(r), -1 / 1.1), 3000) * 0.15;
	struct cg_actor *a = NULL;
	uint16_t network = cg_network_of(w, CG_MOBILE);
	bool pep = cg_uniform(r) < 0.03;
	uint32_t source = 0;
	float rtt = 50;

	for (int i = 0; i < 4; i++) {
		double a_day = people * apps[i].share * cg_lognormal(r, 4, 0.5);
		enum cg_system system = apps[i].program == CG_SAFARI ? CG_APPLE :
								       system_of(r, phone_systems);

		a = i ? cg_actor_behind(w, source, &phones, apps[i].program, system, a_day) :
			cg_actor_add(w, &phones, network, apps[i].program, system, a_day);
		if (!a)
			return NULL;
		source = a->source;
		rtt = i ? rtt : a->rtt_ms;
		a->rtt_ms = rtt;
		a->network = network;
		a->move_ns = i ? 0 : a->move_ns;
		if (pep)
			a->gap_ms = (float)cg_lognormal(r, 60, 0.4);
	}
	return a;
}

static const enum cg_program sdks[] = { CG_NODE, CG_PYTHON, CG_GO, CG_RUST };
static const double sdk_weights[] = { 0.45, 0.40, 0.08, 0.07 };

static struct cg_actor *add_developer(struct cg_world *w)
{
	struct fg_prng *r = cg_random(w);
	struct cg_actor *a = cg_actor_add(w, &developers, cg_network_of(w, CG_RES),
					  sdks[cg_pick(r, sdk_weights, 4)],
					  system_of(r, developer_systems),
					  cg_lognormal(r, 25, 1.6));

	if (a && cg_uniform(r) < 0.03)
		a->gap_ms = (float)cg_gap(r);
	if (a) {
		a->v6 = cg_uniform(r) < 0.2;
		cg_actor_move(w, a);
	}
	return a;
}

static struct cg_actor *add_server(struct cg_world *w)
{
	static const enum cg_program programs[] = { CG_PYTHON, CG_NODE, CG_JAVA, CG_GO };
	static const double weights[] = { 0.45, 0.25, 0.15, 0.15 };
	struct fg_prng *r = cg_random(w);
	struct cg_actor *a = cg_actor_add(w, cg_uniform(r) < 0.6 ? &servers : &office_servers,
					  cg_network_of(w, CG_DC), programs[cg_pick(r, weights, 4)],
					  cg_uniform(r) < 0.9 ? CG_LINUX : CG_LINUX_TUNNEL,
					  fmin(cg_lognormal(r, 400, 2), 2e6));

	if (a && cg_uniform(r) < 0.002)
		a->gap_ms = (float)cg_gap(r);
	return a;
}

/* Half end TLS themselves and begin it anew; the others pass it on by CONNECT. */
static struct cg_actor *add_company(struct cg_world *w)
{
	struct fg_prng *r = cg_random(w);
	uint16_t network = cg_network_of(w, CG_CORP);
	double seats = fmin(cg_lognormal(r, 150, 1), 5000);
	bool inspects = cg_uniform(r) < 0.5;
	struct cg_actor *a = cg_actor_add(w, &companies, network, inspects ? CG_GATEWAY : CG_CHROME,
					  CG_LINUX, seats * 6);
	uint32_t source;
	float rtt;

	if (!a || inspects)
		return a;
	a->gap_ms = (float)cg_lognormal(r, 40, 0.4);
	source = a->source;
	rtt = a->rtt_ms;
	for (int i = 0; i < 3; i++) {
		static const enum cg_program programs[] = { CG_NODE, CG_PYTHON, CG_FIREFOX };
		static const double shares[] = { 1.2, 1.0, 0.6 };

		a = cg_actor_behind(w, source, &companies, programs[i], CG_LINUX,
				    seats * shares[i]);
		if (!a)
			return NULL;
		a->network = network;
		a->rtt_ms = rtt;
		a->gap_ms = (float)cg_lognormal(r, 40, 0.4);
	}
	return a;
}

static struct cg_actor *add_job(struct cg_world *w)
{
	static const enum cg_program programs[] = { CG_PYTHON, CG_NODE, CG_CURL };
	static const double weights[] = { 0.5, 0.4, 0.1 };
	struct fg_prng *r = cg_random(w);

	return cg_actor_add(w, &jobs, cg_network_of(w, CG_DC), programs[cg_pick(r, weights, 3)],
			    CG_LINUX, cg_lognormal(r, 8, 0.8));
}

static struct cg_actor *add_probe(struct cg_world *w)
{
	return cg_actor_add(w, &probes, cg_network_of(w, CG_DC),
			    cg_uniform(cg_random(w)) < 0.7 ? CG_GO : CG_CURL, CG_LINUX, 720);
}

static struct cg_actor *add_crawler(struct cg_world *w)
{
	static const enum cg_program programs[] = { CG_GO, CG_JAVA, CG_CHROME };
	struct fg_prng *r = cg_random(w);

	return cg_actor_add(w, &crawlers, cg_network_of(w, CG_DC), programs[fg_prng_below(r, 3)],
			    CG_LINUX, cg_lognormal(r, 200, 1.5));
}

static struct cg_actor *add_relay(struct cg_world *w)
{
	struct fg_prng *r = cg_random(w);
	struct cg_actor *a = cg_actor_add(w, &relays, cg_network_of(w, CG_RELAY),
					  browsers[cg_pick(r, browser_weights, 3)], CG_LINUX,
					  5 * cg_lognormal(r, 6, 1.2));

	/* relays split the connection, VPNs do not */
	if (a && cg_uniform(r) < 0.5)
		a->gap_ms = (float)cg_lognormal(r, 45, 0.4);
	return a;
}

static struct cg_actor *add_product(struct cg_world *w)
{
	struct fg_prng *r = cg_random(w);

	return cg_actor_add(w, &products, cg_network_of(w, CG_DC),
			    cg_uniform(r) < 0.5 ? CG_NODE : CG_PYTHON, CG_LINUX,
			    fmin(cg_lognormal(r, 20000, 1.2), 2e6));
}

static const struct {
	const char *kind;
	double share;
	struct cg_actor *(*add)(struct cg_world *w);
} kinds[] = {
	{ "L1", 0.38, add_home },     { "L2", 0.22, add_carrier },  { "L3", 0.16, add_developer },
	{ "L4", 0.09, add_server },   { "L5", 0.02, add_company },  { "L6", 0.05, add_job },
	{ "L7", 0.003, add_probe },   { "L8", 0.007, add_crawler }, { "L9", 0.06, add_relay },
	{ "L10", 0.01, add_product },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int cg_people_add(struct cg_world *w)
{
	const struct cg_conf *conf = cg_world_conf(w);

	for (size_t k = 0; k < KINDS; k++)
		for (size_t i = 0; i < (size_t)lround(conf->legit_sources * kinds[k].share); i++)
			if (!kinds[k].add(w))
				return -ENOMEM;
	return 0;
}

int cg_people_more(struct cg_world *w, const char *kind, size_t n, uint64_t from_ns)
{
	for (size_t k = 0; k < KINDS; k++) {
		if (strcmp(kinds[k].kind, kind))
			continue;
		for (size_t i = 0; i < n; i++) {
			size_t before = cg_world_n(w);

			if (!kinds[k].add(w))
				return -ENOMEM;
			for (; before < cg_world_n(w); before++)
				cg_world_at(w, before)->from_ns = from_ns;
		}
		return 0;
	}
	return -EINVAL;
}
