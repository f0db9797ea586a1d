/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Guards: what stands between a verdict and a block. Each is a pure function of the verdict, of what is
 * known about who else would be hit, of the configuration and of what was decided before; time is a
 * parameter. The first that holds a block gives its name to counters, answers and sentences.
 *
 * A verdict can leave as two things: as a block of what it is about (a client, for who can tell clients
 * apart; a source; a prefix), and as a bare address, for firewalls that know no more. Where a verdict is
 * about a source these are one.
 *
 * Operators' blocks are an explicit act: only the allowlist and a prefix that is none hold them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdict/store.h"

/* In the order they are asked. The sentence goes on from "It is held, because". */
#define FG_GUARDS(X)                                                                           \
	X(allowed, "it is on the allowlist")                                                   \
	X(not_canonical, "its prefix has bits set behind its length")                          \
	X(client_only, "the operator blocked one of its clients and not the source")           \
	X(allow_files, "an allow file could not be read since the start")                      \
	X(not_proven, "its address may be forged")                                             \
	X(shared, "many hosts seem to sit behind the address")                                 \
	X(crowd, "several hosts seem to share the client")                                     \
	X(collateral, "others at the address would be hit")                                    \
	X(holdback, "it is one of the few that are never acted on, to measure harm and drift") \
	X(two_step, "it is wider than a source, which only an operator may block")             \
	X(max_blocks_network,                                                                  \
	  "its network has more automatic blocks than guards.max_blocks_network")              \
	X(max_blocks, "there are more automatic blocks than guards.max_blocks")                \
	X(max_harm, "automatic blocks would hit more of the others than guards.max_harm")      \
	X(tier, "its tier is below the one that leaves")

enum fg_guard {
	FG_GUARD_none,
#define FG_GUARD_ENUM(name, says) FG_GUARD_##name,
	FG_GUARDS(FG_GUARD_ENUM)
#undef FG_GUARD_ENUM
	_FG_GUARD_MAX
};
/** "shared"; NULL for FG_GUARD_none. */
const char *fg_guard_name(enum fg_guard guard);
/** What goes on from "because"; "" for FG_GUARD_none. */
const char *fg_guard_says(enum fg_guard guard);

/* A client is a crowd where more hosts than this seem to sit behind its source for each of its
 * clients. A household shares a browser's stem among two or three; the clocks of five are an office. */
#define FG_GUARD_CROWD 4

/*
 * Defaults of the caps. The farm that has to be blocked: 25,000 residential sources over some hundreds
 * of networks, among about as many legitimate ones, which make about as many exchanges.
 *
 * max_blocks: sources that ban makes useless are replaced within a TTL, so that at most two generations
 *   of such a farm stand at once: 2 x 25,000.
 * max_blocks_network: a tenth of that. Shares of residential networks fall about as 1/rank: of 300 the
 *   largest has 1 / (1 + 1/2 + ... + 1/300) = 16 % of the farm, 4,000 sources.
 * max_harm: 0.5 % of what comes, the share of new connections that may be lost to a mistake before
 *   somebody has to look.
 * A detector's own word about its mistakes is not believed below FG_GUARD_LEAST_FDR, counted over
 *   sources: so automatic blocks of more than 0.5 / 0.75 = two thirds of the active sources always trip.
 *   The farm is one half of them (0.375 %) and leaves; a detector gone mad, that sees a farm in everybody
 *   and is sure of it, is stopped on a service of any size. Over sources and not over exchanges, since
 *   one loud source may well make most of these.
 * collateral: one exchange in twenty at an address is somebody else's; a second person there makes more.
 * holdback: of a farm of 25,000 that are 250, enough to tell half of their activity from all of it.
 */
#define FG_GUARD_COLLATERAL	    0.05
#define FG_GUARD_MAX_BLOCKS	    50000
#define FG_GUARD_MAX_BLOCKS_NETWORK 5000
#define FG_GUARD_MAX_HARM	    0.005
#define FG_GUARD_HOLDBACK	    0.01
#define FG_GUARD_LEAST_FDR	    0.0075
/* A trip is released when the wish was under half of its cap for so long. */
#define FG_GUARD_CALM_NS 3600000000000ULL

struct fg_guard_conf {
	double collateral; /* share of an address's turns that may be others' */
	uint32_t max_blocks; /* automatic ones, in all */
	uint32_t max_blocks_network; /* in one network */
	double max_harm; /* expected, as a share of all */
	double holdback; /* share of automatic verdicts */
};
extern const struct fg_guard_conf fg_guard_defaults;

/*
 * Who is at a source, and who of them no verdict names. Turns are proven connections and exchanges
 * together, of the latest day of each client that was active there within the last two; where none of
 * its days is known, since its row was made.
 */
struct fg_collateral {
	bool known; /* the source has a row; else all is 0 */
	uint32_t clients, other_clients; /* other: those that no verdict names */
	uint32_t other_stems;
	uint32_t hosts; /* at least so many seem to sit behind it */
	uint32_t stems;
	bool shared; /* by what is known now; the verdict's own word is as old as the verdict */
	uint64_t turns, other_turns;
	uint64_t own_turns; /* of those that this one verdict names */
};
/** Others' share of what comes from there, 0 to 1; 1 where nothing is known. */
double fg_collateral_share(const struct fg_collateral *collateral);

/* One verdict before its guards. */
struct fg_guard_case {
	const struct fg_verdict *verdict;
	const struct fg_collateral *collateral;
	bool allowed; /* its prefix meets the allowlist */
	bool allow_unread; /* an allow file could not be read since the start */
	uint64_t draw; /* fg_guard_draw() of it */
};

enum fg_scope {
	FG_SCOPE_CLIENT,
	FG_SCOPE_SOURCE,
	FG_SCOPE_PREFIX,
	_FG_SCOPE_MAX
};
/** "client", "source", "prefix". */
const char *fg_scope_name(enum fg_scope scope);
enum fg_scope fg_scope_of(const struct fg_verdict *verdict);

/** The guard that holds it as what it is about; FG_GUARD_none = it may leave, as far as one verdict by
 * itself can tell. */
enum fg_guard fg_guard_block(const struct fg_guard_case *c, const struct fg_guard_conf *conf);
/** The guard that holds its bare address; the same where it is about a source or prefix. */
enum fg_guard fg_guard_address(const struct fg_guard_case *c, const struct fg_guard_conf *conf);

/** A number that decides whether a verdict is held back: the same after a restart, and not to be chosen
 * or foreseen by who does not know the seed. */
uint64_t fg_guard_draw(const uint64_t seed[4], const uint8_t addr[16], uint64_t stem);

/* --- Caps ------------------------------------------------------------------------------------- */

/* What all automatic blocks together would do, after the guards of each. */
struct fg_guard_wish {
	uint64_t blocks; /* automatic */
	double false_turns; /* sum over blocks of est_fdr times their turns */
	double false_sources; /* sum over blocks of est_fdr, each at least FG_GUARD_LEAST_FDR */
	uint64_t clean_turns; /* others' turns at bare addresses */
	uint64_t all_turns, all_sources; /* of everybody, who was active within two days */
};
/** Adds a block. @param address  its bare address leaves too, and it is the first block of its source
 * to be added: others' turns there count once. */
void fg_guard_wish_add(struct fg_guard_wish *wish, double est_fdr,
		       const struct fg_collateral *collateral, bool address);
/** Expected harm as a share of all: of turns or of sources, whichever is more; 0 where nothing would be
 * blocked. */
double fg_guard_harm(const struct fg_guard_wish *wish);

/** How many turns of others all bare addresses together may hit: half of max_harm. Addresses that would
 * hit more are held one by one, those with the most others first; were they counted, one loud source with
 * a few others behind it could trip the cap, and let everybody else go. */
uint64_t fg_guard_clean_budget(uint64_t all_turns, const struct fg_guard_conf *conf);

/* Latched: whether automatic blocks are held, all of them. Zeros are the state at start. */
struct fg_trip {
	enum fg_guard by; /* FG_GUARD_none, FG_GUARD_max_blocks or FG_GUARD_max_harm */
	uint64_t since_ns;
	uint64_t calm_ns; /* since when the wish is under half of both caps; 0 = it is not */
	uint64_t blocks; /* that were wished when it tripped */
	double harm;
};
/** Looks at a wish. @return what holds all automatic blocks now, FG_GUARD_none where nothing does. */
enum fg_guard fg_trip_step(struct fg_trip *trip, const struct fg_guard_wish *wish,
			   const struct fg_guard_conf *conf, uint64_t now_ns);
/** The cap of one network, released at half of it. @param held  it was before. */
bool fg_guard_network_held(uint64_t wished, bool held, const struct fg_guard_conf *conf);

/* --- What became of verdicts, for readers ------------------------------------------------------- */

/* Of one verdict. */
struct fg_guarded {
	enum fg_scope scope;
	enum fg_guard held; /* as what it is about */
	enum fg_guard address_held; /* as a bare address */
	struct fg_collateral collateral;
};

/* Activity of a group of automatic verdicts since each was first seen here (a restart begins anew). */
struct fg_guard_group {
	uint64_t verdicts;
	uint64_t turns; /* proven connections and exchanges of their clients or sources */
	double hours; /* sum over verdicts of the time they were looked at */
};

struct fg_guard_report {
	uint64_t blocks, clients, addresses; /* verdicts that leave; as clients; as addresses */
	uint64_t automatic; /* of these */
	uint64_t held[_FG_GUARD_MAX]; /* verdicts that do not leave at all, by guard */
	uint64_t address_held[_FG_GUARD_MAX]; /* that leave as clients, and not as addresses */
	uint64_t networks_held;
	char network[24]; /* the largest of these, "AS64500" or a prefix */
	struct fg_guard_group held_back, enforced;
	struct fg_guard_wish wish;
	double harm; /* of it */
	struct fg_trip trip;
};
