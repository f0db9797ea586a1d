/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is usual for each stem, over all sources: how many clients show it, from which stacks, and
 * how long its own cryptography takes. The yardstick that one client is held against.
 *
 * A fixed table of sets of eight, placed by a keyed hash: a stranger can make rows only by
 * completing handshakes. Where its set is full a row gives way that was idle for ten minutes a
 * client it was seen with, a day at most, the fewest clients first; else the newcomer is refused.
 * Who invents stems pushes out invented ones.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The 500 most frequent fingerprints were 99.7 % of ten billion observations (Cisco mercury's
 * public tables); 16,384 hold them and a tail thirty times as long in 10 MB. */
#define FG_DEFAULT_STEMS 16384
#define FG_STEM_STACKS	 8
/* From 0.1 ms to 1 s, 48 bins a decade: each 4.9 % wide. Below goes into the first, above into the
 * last. This is a DDSketch of fixed range (Masson, Rim and Lee 2019, PVLDB 12(12)): bins grow by gamma
 * = 10^(1/48) = 1.049, so that any quantile within the range is told with a relative error of
 * (gamma - 1) / (gamma + 1) = 2.4 %, and two sketches merge by adding their bins. */
#define FG_CRYPTO_BINS	192
#define FG_CRYPTO_MIN_N 30

struct fg_stem {
	uint64_t stem; /* key; 0 = row is free */
	uint64_t last_ns;
	uint64_t connections; /* proven */
	uint64_t v6, resumed; /* of these: over IPv6; that resumed a session */
	uint32_t clients; /* clients that were seen for the first time; one whose row gave way and
			     that came back counts again */
	uint32_t crypto_n; /* sum of crypto[] */
	uint32_t day; /* days since 1970 (UTC) that births[0] and returns[0] are of */
	/* clients on that day and on the day before: seen for the first time; seen again that were
	 * first seen on an earlier day */
	uint32_t births[2], returns[2];
	bool unsaved; /* changed since its summary was made (model/remember.h) */
	/* distinct clients by stack, space-saving: a count is too high by at most the smallest of a
	 * full list */
	uint64_t stacks[FG_STEM_STACKS];
	uint32_t stack_counts[FG_STEM_STACKS];
	uint16_t crypto[FG_CRYPTO_BINS]; /* S2 - S1; halved together when one is full */
};

struct fg_stems;

/** @param seed  keys the placement. @param n  rows, in eights. @return 0, -ENOMEM. */
int fg_stems_new(const uint64_t seed[2], uint32_t n, struct fg_stems **ret_stems);
void fg_stems_free(struct fg_stems **stems);

/** The row of a stem, made where it is not there; NULL where there is no room (counted). Valid
 * until the next call. */
struct fg_stem *fg_stems_row(struct fg_stems *stems, uint64_t stem, uint64_t now_ns);
/** NULL where not there. */
const struct fg_stem *fg_stems_find(const struct fg_stems *stems, uint64_t stem);

/** A client was seen for the first time. Stack 0 (no SYN seen) counts as a client of no stack. */
void fg_stem_add_client(struct fg_stem *row, uint64_t stack, uint64_t now_ns);
/** A client was seen for the first time on this day, and before on an earlier one. */
void fg_stem_add_return(struct fg_stem *row, uint64_t now_ns);

/* S17: a farm that is built up has births and no returns; what people use has both. */
struct fg_stem_day {
	uint32_t births, returns;
};
/** @param days_ago  0 or 1. row may be NULL. */
struct fg_stem_day fg_stem_day(const struct fg_stem *row, unsigned int days_ago, uint64_t now_ns);

/** Difference of TLS turn-around and TCP round trip of one connection. */
void fg_stem_add_crypto(struct fg_stem *row, uint32_t rtt_us, uint32_t turn_us);

/* c(stem): the client's own time for its cryptography. */
struct fg_crypto {
	uint32_t n; /* connections it rests on */
	bool known; /* n is at least FG_CRYPTO_MIN_N */
	/** 5th percentile of S2 - S1, the middle of its bin and so within 2.5 %; 0 where
	 * not known, or below 0.1 ms. Rests on the assumption that in one of twenty connections at
	 * least the client itself sits at its address. */
	double us;
};
/** row may be NULL. */
struct fg_crypto fg_stem_crypto(const struct fg_stem *row);

/* P(stack | stem), for the mismatch of both. */
struct fg_stack_share {
	double p;
	uint64_t n; /* clients it rests on */
};
/**
 * (count + 1/2) / (n + 9/2): Jeffreys' prior over the eight stacks kept and one for all others. A
 * stack that is not kept is given the smallest count kept where the list is full, which is the most
 * it can have. Stack 0 is never evidence: 1. row may be NULL.
 */
struct fg_stack_share fg_stem_stack(const struct fg_stem *row, uint64_t stack);

struct fg_stems_refused {
	uint64_t no_room, expired;
};
struct fg_stems_refused fg_stems_refused(const struct fg_stems *stems);
size_t fg_stems_n(const struct fg_stems *stems);

/** Places of rows, and the one at a place below that; NULL where it is free. */
size_t fg_stems_places(const struct fg_stems *stems);
struct fg_stem *fg_stems_at(struct fg_stems *stems, size_t place);
/** Memory of a table of n rows. */
size_t fg_stems_bytes(uint32_t n);
