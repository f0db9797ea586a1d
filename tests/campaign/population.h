/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inside of world.h: actors, who do the connecting, and what they are made of.
 *
 * An actor is one kind of client behind one source, with a rate, a clock, a keep-alive and a relay or
 * none. Its life is a chain of sessions; world.c turns them into connections.
 *
 * Owns: nothing. Must not: know the detectors.
 */
#pragma once

#include "campaign/world.h"

/* --- Networks (networks.c) -------------------------------------------------------------------- */

enum cg_class {
	CG_DC,
	CG_RES,
	CG_MOBILE,
	CG_EDU,
	CG_CORP,
	CG_RELAY,
	_CG_CLASS_MAX
};

struct cg_network {
	uint32_t asn;
	enum cg_class class;
	char country[3];
	int8_t offset; /* hours ahead of UTC */
	double rtt_ms; /* median of its sources */
	uint32_t v4[2]; /* its /16s, host order */
	uint32_t v6; /* its /32 */
};

#define CG_NETWORKS 400
void cg_networks_make(struct cg_network networks[CG_NETWORKS], struct fg_prng *r);

/* --- Kinds of clients (clients.c) ------------------------------------------------------------- */

enum cg_program {
	CG_CHROME,
	CG_CHROME_NEXT,
	CG_SAFARI,
	CG_FIREFOX,
	CG_NODE,
	CG_NODE_NEXT,
	CG_PYTHON,
	CG_GO,
	CG_RUST,
	CG_JAVA,
	CG_OKHTTP,
	CG_CURL,
	CG_GATEWAY,
	/* the same browsers over QUIC, in the order of the above */
	CG_CHROME_H3,
	CG_CHROME_NEXT_H3,
	CG_SAFARI_H3,
	CG_FIREFOX_H3,
	CG_RANDOM, /* the first of CG_RANDOMS */
};
#define CG_RANDOMS  500
#define CG_PROGRAMS (CG_RANDOM + CG_RANDOMS)
void cg_programs_make(struct cg_hello hellos[CG_PROGRAMS], struct fg_prng *r);

enum cg_system {
	CG_LINUX,
	CG_LINUX_TUNNEL,
	CG_ANDROID,
	CG_ANDROID_TUNNEL,
	CG_APPLE,
	CG_APPLE_TUNNEL,
	CG_WINDOWS,
	CG_WINDOWS_PPPOE,
	CG_OTHER_SYSTEM,
	CG_SYSTEMS
};
void cg_systems_make(struct cg_stack stacks[CG_SYSTEMS]);

/* --- Random numbers (world.c) ----------------------------------------------------------------- */

double cg_uniform(struct fg_prng *r);
double cg_normal(struct fg_prng *r);
/** Lognormal by its median and the standard deviation of its logarithm. */
double cg_lognormal(struct fg_prng *r, double median, double sigma);
double cg_exponential(struct fg_prng *r, double mean);
/** 1, 2, ...: ends each time with chance p. */
unsigned int cg_geometric(struct fg_prng *r, double p);
/** Place in n weights. */
unsigned int cg_pick(struct fg_prng *r, const double *weights, unsigned int n);

/* --- Actors ----------------------------------------------------------------------------------- */

enum cg_clock {
	CG_LOCAL, /* people's day where they are */
	CG_OFFICE, /* people's work week where they are */
	CG_FLAT,
	CG_HOURLY, /* in bursts on the hour */
	CG_CENTRAL /* ten hours of UTC+8, six days */
};

/* How a kind lives; shared by its actors. */
struct cg_habit {
	const char *kind;
	double session; /* mean exchanges of a session */
	double think_s, think_sigma; /* between exchanges of a session, lognormal */
	double spread; /* sigma of a day's amount about the actor's own mean */
	enum cg_clock clock;
	double keepalive_s; /* of the client; silence before its close */
	double in_tokens, in_sigma, out_tokens, out_sigma;
	double stream; /* share of answers that are streamed */
	double resume; /* share of hellos that resume */
	double move_days; /* mean time at one address, 0 = stays */
	double period_s; /* fixed gaps; 0 = as above */
	bool quota; /* so many a day, evenly, and no more */
	bool job; /* a new address for each session */
	/* of its browsers, which share can speak QUIC, and how much of their connections is; counts
	 * where cg_conf.quic is set */
	double quic, quic_often;
};

enum cg_relay {
	CG_DIRECT,
	CG_GAP, /* SOCKS or CONNECT: turn-around and hello late by the same way */
};

struct cg_source {
	uint8_t addr[16];
	uint16_t port;
};

struct cg_actor {
	const struct cg_habit *habit;
	uint32_t source;
	uint16_t network, hello, next_hello; /* next_hello: from hello_ns on */
	uint8_t stack, ttl;
	bool farm, has_ts, v6;
	double a_day, today; /* exchanges a day: mean, and of this day */
	float rtt_ms, gap_ms, crypto_ms, in_tokens, out_tokens, think_s, quic;
	uint32_t ts_offset, day, left, done_today;
	uint64_t from_ns, until_ns, hello_ns, relay_ns, move_ns, next_ns; /* 0 = never */
};

/** A new actor, all defaults of its habit filled in; NULL without memory. Valid until the next. */
struct cg_actor *cg_actor_add(struct cg_world *w, const struct cg_habit *habit, uint16_t network,
			      enum cg_program program, enum cg_system system, double a_day);
/** The same behind a source that is there. */
struct cg_actor *cg_actor_behind(struct cg_world *w, uint32_t source, const struct cg_habit *habit,
				 enum cg_program program, enum cg_system system, double a_day);
/** A network of a class by chance. */
uint16_t cg_network_of(struct cg_world *w, enum cg_class class);
/** A new address in its network. */
void cg_actor_move(struct cg_world *w, struct cg_actor *a);
struct fg_prng *cg_random(struct cg_world *w);
const struct cg_conf *cg_world_conf(const struct cg_world *w);
size_t cg_world_n(const struct cg_world *w);
struct cg_actor *cg_world_at(struct cg_world *w, size_t i);
/** Relay as SOCKS and CONNECT do: lognormal(120 ms, 0.6), 15 ms at least. */
double cg_gap(struct fg_prng *r);

/** Legitimate people (people.c), surprises N1..N12 (surprises.c), farms F1..F12 (farms.c).
 * @return 0, -ENOMEM, -EINVAL: no such scenario. */
int cg_people_add(struct cg_world *w);
int cg_surprise_add(struct cg_world *w, const char *scenario, uint64_t start_ns);
int cg_farm_add(struct cg_world *w, const char *scenario, uint64_t start_ns);
bool cg_surprise_known(const char *scenario);
bool cg_farm_known(const char *scenario);
/** More of one kind of people, "L1" .. "L10", that begin then. */
int cg_people_more(struct cg_world *w, const char *kind, size_t n, uint64_t from_ns);
