/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The simulated world: networks, kinds of clients, who lives where and what they do. Everything
 * follows from the scenario and the seed.
 *
 * Owns: the population and its clock. Must not: know the detectors, or use any of their constants.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "campaign/connection.h"
#include "hello_build.h"

#define CG_DAY_NS 86400000000000ULL

/* Day 0, a Monday 00:00 UTC, so that weeks lie as they should: 2026-03-02. */
#define CG_START_NS 1772409600000000000ULL

struct cg_conf {
	const char *scenario; /* "none", "N1".."N12", "F1", "F2", "F3a", ... "F12", "reference" */
	uint64_t seed; /* 1-20 are for development */
	uint32_t legit_sources; /* sources of L1-L10 together */
	double farm_scale; /* 1 = 25,000 accounts, 640,000 exchanges a day */
	uint32_t days; /* length of the horizon */
	uint32_t farm_day; /* the farm or surprise begins within four days from here on; within one where
			    * the horizon is no more than eight days behind, at once where it is four */
	double knob; /* -0.3 .. 0.3: moves the variant's knobs by that share; 0 = centre */
	uint32_t heavy_cap; /* most exchanges of one legitimate source a day; 0 = as modelled */
	uint32_t flush_tokens; /* that a streamed answer's frame carries, 0 = one event's 2.5 */
	bool one_hello; /* everybody's is the same (ablation) */
	bool quic; /* browsers speak QUIC, too; always so where a farm does (F12) */
	uint32_t jitter_us; /* added to clock readings (ablation) */
};

/* A kind of client program. */
struct cg_hello {
	const char *name;
	struct fg_hello_desc desc; /* SNI included */
	uint32_t crypto_us; /* median time of its own cryptography */
	bool quic; /* QUIC carries it */
};

/* What a SYN looks like. */
struct cg_stack {
	const char *name;
	uint8_t initial_ttl;
	uint16_t window;
	uint16_t mss;
	uint8_t options[40];
	size_t n_options; /* timestamps filled in by the writer where cg_connection.has_tsval */
	size_t ts_off; /* of TSval within options; 0 = no timestamp option */
};

struct cg_world;

/** @return 0, -EINVAL with a sentence on stderr, -ENOMEM. */
int cg_world_open(const struct cg_conf *conf, struct cg_world **ret_world);
void cg_world_close(struct cg_world **world);

/** When the scenario comes into the world: what is before is the same with every other one, but F12,
 * whose people speak QUIC. */
uint64_t cg_begin_ns(const struct cg_conf *conf);
/** Another scenario, before the running one came into the world. scenario must live as long.
 * @return 0, -EBUSY: it did, -EINVAL with a sentence on stderr. */
int cg_world_become(struct cg_world *world, const char *scenario, double farm_scale);

/** The next connection by time of its SYN; valid until the next call. @return 1, 0 at the end. */
int cg_world_next(struct cg_world *world, const struct cg_connection **ret_connection);

/** Nothing happens before that. UINT64_MAX: nothing at all. */
uint64_t cg_world_next_ns(const struct cg_world *world);

/** An actor was flagged: of a farm it is banned within a day or so (F9 reacts and replaces it). */
void cg_world_ban(struct cg_world *world, uint32_t actor, uint64_t now_ns);

const struct cg_hello *cg_hellos(const struct cg_world *world, size_t *ret_n);
const struct cg_stack *cg_stacks(const struct cg_world *world, size_t *ret_n);
/** The two addresses of ours: IPv4 where the source is IPv4. */
void cg_server_address(const uint8_t source[16], uint8_t server, uint8_t ret_addr[16]);

/** The table of networks, in the text form of the product's --asn. */
int cg_world_write_asn(const struct cg_world *world, FILE *out);

/** "L1".."L10", "N..", "F.."; country is two letters. */
struct cg_actor_info {
	const char *kind;
	const char *network; /* dc res mobile edu corp relay */
	const char *country;
	uint32_t asn;
	bool farm;
};
struct cg_actor_info cg_world_actor(const struct cg_world *world, uint32_t actor);
