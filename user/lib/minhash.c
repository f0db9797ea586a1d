/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/minhash.h"

#include "lib/splitmix.h"

void fg_minhash_family(uint64_t seed, struct fg_minhash_family *ret)
{
	for (int i = 0; i < FG_MINHASH_VALUES; i++) {
		ret->a[i] = fg_splitmix(&seed) | 1;
		ret->b[i] = fg_splitmix(&seed);
	}
}

void fg_minhash_begin(struct fg_minhash *s)
{
	for (int i = 0; i < FG_MINHASH_VALUES; i++)
		s->low[i] = UINT32_MAX;
}

void fg_minhash_add(const struct fg_minhash_family *f, struct fg_minhash *s, uint64_t element)
{
	uint64_t x = fg_mix64(element + 0x9e3779b97f4a7c15ULL);

	for (int i = 0; i < FG_MINHASH_VALUES; i++) {
		uint32_t h = (uint32_t)((f->a[i] * x + f->b[i]) >> 32);

		s->low[i] = h < s->low[i] ? h : s->low[i];
	}
}

void fg_minhash_merge(struct fg_minhash *to, const struct fg_minhash *from)
{
	for (int i = 0; i < FG_MINHASH_VALUES; i++)
		to->low[i] = from->low[i] < to->low[i] ? from->low[i] : to->low[i];
}

double fg_minhash_jaccard(const struct fg_minhash *a, const struct fg_minhash *b)
{
	int same = 0;

	for (int i = 0; i < FG_MINHASH_VALUES; i++)
		same += a->low[i] == b->low[i];
	return (double)same / FG_MINHASH_VALUES;
}

uint64_t fg_minhash_band(const struct fg_minhash *s, unsigned int band)
{
	uint64_t h = band;

	for (int i = 0; i < FG_MINHASH_ROWS; i++)
		h = fg_mix64(h ^ s->low[band * FG_MINHASH_ROWS + i]);
	return h;
}
