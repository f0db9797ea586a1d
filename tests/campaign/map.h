/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A map from 64 bits to values of one size, which lie side by side in the order they came. Grows, and
 * forgets all at once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct cg_map {
	uint64_t *keys; /* of the values, in their order */
	uint32_t *slots; /* place + 1 */
	char *values;
	size_t size; /* of a value: set before the first cg_map_put() */
	uint32_t n, cap, mask;
};

/** NULL where it is not. */
void *cg_map_find(const struct cg_map *map, uint64_t key);
/** The value of a key, a new one all zero; NULL without memory. Valid until the next call. */
void *cg_map_put(struct cg_map *map, uint64_t key);
void cg_map_clear(struct cg_map *map);
void cg_map_free(struct cg_map *map);

/** for CG_EACH(type, name, map) { ... } */
#define CG_EACH(type, v, map) (type *v = (type *)(map)->values, *_end = v + (map)->n; v < _end; v++)

/** One more word into a hash. */
static inline uint64_t cg_mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}
