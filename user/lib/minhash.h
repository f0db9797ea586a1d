/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MinHash: 60 values by which two sets are compared without looking at them again. Each value is the
 * smallest hash of any element under a hash function of its own; two sets agree in it with a chance
 * of their Jaccard index (Broder 1997), so that the share that agrees has a standard error of
 * sqrt(J (1 - J) / 60), 0.064 at most.
 *
 * To find alike sets among many, the values are cut into 12 bands of 5 rows: sets that agree in a whole
 * band are candidates (Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman, chapter 3). A pair with
 * Jaccard index J is one with a chance of 1 - (1 - J^5)^12: 0.4 % at 0.2, 20 % at 0.45, 90 % at 0.7.
 *
 * Hash functions are (a x + b) >> 32 of a mixed x, a odd (Dietzfelbinger et al. 1997).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FG_MINHASH_BANDS  12
#define FG_MINHASH_ROWS	  5
#define FG_MINHASH_VALUES (FG_MINHASH_BANDS * FG_MINHASH_ROWS)

/* The 60 hash functions; only sketches of the same ones can be compared. */
struct fg_minhash_family {
	uint64_t a[FG_MINHASH_VALUES], b[FG_MINHASH_VALUES];
};
struct fg_minhash {
	uint32_t low[FG_MINHASH_VALUES];
};

void fg_minhash_family(uint64_t seed, struct fg_minhash_family *ret);
/** The sketch of the empty set. */
void fg_minhash_begin(struct fg_minhash *sketch);
void fg_minhash_add(const struct fg_minhash_family *family, struct fg_minhash *sketch,
		    uint64_t element);
/** Becomes the sketch of both sets together. */
void fg_minhash_merge(struct fg_minhash *to, const struct fg_minhash *from);
/** Estimate of the Jaccard index; two empty sets are alike. */
double fg_minhash_jaccard(const struct fg_minhash *a, const struct fg_minhash *b);
/** Hash of a band's rows. */
uint64_t fg_minhash_band(const struct fg_minhash *sketch, unsigned int band);
