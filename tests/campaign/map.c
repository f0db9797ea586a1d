/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES (1U << 31)

static uint32_t *map_slot(const struct cg_map *m, uint64_t key)
{
	uint32_t i = (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 32) & m->mask;

	while (m->slots[i] && m->keys[m->slots[i] - 1] != key)
		i = (i + 1) & m->mask;
	return &m->slots[i];
}

void *cg_map_find(const struct cg_map *m, uint64_t key)
{
	uint32_t at = m->slots ? *map_slot(m, key) : 0;

	return at ? m->values + (at - 1) * m->size : NULL;
}

static int map_grow(struct cg_map *m)
{
	uint32_t cap = m->cap ? m->cap * 2 : 1024;
	uint64_t *keys = reallocarray(m->keys, cap, sizeof(*keys));
	uint32_t *slots = calloc((size_t)cap * 2, sizeof(*slots));
	char *values;

	m->keys = keys ? keys : m->keys;
	values = reallocarray(m->values, cap, m->size);
	m->values = values ? values : m->values;
	if (!keys || !slots || !values || cap >= MAX_VALUES) {
		free(slots);
		return -ENOMEM;
	}
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	m->mask = cap * 2 - 1;
	for (uint32_t i = 0; i < m->n; i++)
		*map_slot(m, m->keys[i]) = i + 1;
	return 0;
}

void *cg_map_put(struct cg_map *m, uint64_t key)
{
	void *value = cg_map_find(m, key);

	if (value)
		return value;
	if (m->n == m->cap && map_grow(m))
		return NULL;
	m->keys[m->n] = key;
	*map_slot(m, key) = m->n + 1;
	return memset(m->values + m->n++ * m->size, 0, m->size);
}

void cg_map_clear(struct cg_map *m)
{
	if (m->slots)
		memset(m->slots, 0, ((size_t)m->mask + 1) * sizeof(*m->slots));
	m->n = 0;
}

void cg_map_free(struct cg_map *m)
{
	free(m->keys);
	free(m->slots);
	free(m->values);
}
