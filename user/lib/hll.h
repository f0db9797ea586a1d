/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HyperLogLog: how many different things were seen, in 12 kB whatever their number (Flajolet, Fusy,
 * Gandouet and Meunier 2007), of 2^14 registers: standard error 1.04 / sqrt(2^14) = 0.8 %.
 *
 * Dense   16,384 registers of six bits, register 0 in the low bits of byte 0, each next one where the
 *         last ended; the index is the hash's low 14 bits, the rank one more than the zeros that the
 *         other 50 end with: Redis's layout, with a hash of our own.
 * Sparse  until FG_HLL_SPARSE distinct ones: a sorted set of 25 bits of the hash and the rank of the
 *         other 39, from which any register can be told (Heule, Nunkesser and Hall 2013, section
 *         5.3). Of 1,000 things some 0.015 are lost to a neighbour: exact for what we ask.
 * Count   Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog
 *         sketches", arXiv 1702.01284, section 3.3), which has no bias to be tabled at any number.
 *
 * Hashes are the caller's: 64 bits, keyed where strangers choose what is counted. All zero is an empty
 * one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FG_HLL_BITS   14
#define FG_HLL_BYTES  12288U /* of registers */
#define FG_HLL_SPARSE 1000U

struct fg_hll {
	void *at; /* owned: uint32_t[cap], sorted; or uint8_t[FG_HLL_BYTES] */
	uint16_t n, cap; /* sparse: how many; dense: cap is 0 */
};

/**
 * Adds what has this hash.
 *
 * @param left  bytes that may still be taken, less what is taken here; NULL = no bound. Where it
 *              does not suffice nothing is added, and the count stays too low.
 * @return 0, -ENOSPC (left), -ENOMEM.
 */
int fg_hll_add(struct fg_hll *hll, uint64_t hash, uint64_t *left);
/** Adds all that another one saw: the same as if each had been added here. @return as above; what was
 * added before it failed stays. */
int fg_hll_merge(struct fg_hll *to, const struct fg_hll *from, uint64_t *left);
/** Gives its memory back, and to left; empty after. */
void fg_hll_clear(struct fg_hll *hll, uint64_t *left);

/** How many different ones. */
double fg_hll_count(const struct fg_hll *hll);
/** The same of both together, without memory. */
double fg_hll_count_both(const struct fg_hll *a, const struct fg_hll *b);
/** Bytes that it has taken. */
size_t fg_hll_bytes(const struct fg_hll *hll);

/** Most that fg_hll_save() writes. */
#define FG_HLL_SAVED_MAX (12U + FG_HLL_BYTES)
/** The same on each machine: length and checksum, then entries or registers. @return bytes written. */
size_t fg_hll_save(const struct fg_hll *hll, uint8_t *out);
/**
 * Reads one into an empty hll.
 *
 * @param ret_used  bytes that it had
 * @return 0, -EBADMSG (cut short, damaged, or holds what cannot be), -ENOSPC, -ENOMEM.
 */
int fg_hll_load(struct fg_hll *hll, const uint8_t *bytes, size_t n, uint64_t *left,
		size_t *ret_used);
