/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of cells and one hour's counts. What is usual and how it is learned: model/usual.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/ip.h"
#include "model/cells_table.h"
#include "model/family.h"

#define NONE FG_CELL_NONE

static const char *const kind_names[_FG_CELL_MAX] = {
	[FG_CELL_STEM] = "stem",   [FG_CELL_CLASS] = "class", [FG_CELL_NETWORK] = "network",
	[FG_CELL_SHAPE] = "shape", [FG_CELL_STACK] = "stack", [FG_CELL_PREFIX] = "prefix",
};

const char *fg_cell_kind_name(enum fg_cell_kind kind)
{
	return (unsigned int)kind < _FG_CELL_MAX ? kind_names[kind] : "?";
}

/* --- Keys ------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 32);
}

uint64_t fg_cell_hash(const struct fg_cells *c, const struct fg_cell_key *k)
{
	uint64_t prefix = 0, h;

	memcpy(&prefix, k->prefix, sizeof(k->prefix));
	h = mix(mix(c->seed ^ k->kind, k->stem), k->asn);
	h = mix(h, (uint64_t)k->network_class << 16 | (uint64_t)k->bin << 8 | k->is4);
	h = mix(mix(h, prefix), c->seed);
	return h ? h : 1;
}

static void put_prefix(struct fg_cell_key *k, const uint8_t addr[16], size_t v4_bytes,
		       size_t v6_bytes)
{
	k->is4 = fg_ip_is4(addr);
	if (k->is4)
		memcpy(k->prefix, addr + 12, v4_bytes);
	else
		memcpy(k->prefix, addr, v6_bytes);
}

/* False where the client has nothing to be in such a cell by. */
static bool make_key(enum fg_cell_kind kind, const struct fg_model_client *client,
		     const struct fg_traits *t, struct fg_cell_key *k)
{
	*k = (struct fg_cell_key){ .kind = kind };
	if (kind != FG_CELL_SHAPE && kind != FG_CELL_PREFIX)
		k->stem = client->stem;
	switch (kind) {
	case FG_CELL_CLASS:
		k->network_class = t->network_class;
		return t->network_class != 0;
	case FG_CELL_NETWORK:
		k->asn = t->asn;
		if (!k->asn)
			put_prefix(k, client->addr, 2, 4);
		return true;
	case FG_CELL_SHAPE:
		k->bin = t->bins[FG_HIST_SHAPE];
		return k->bin != FG_BIN_UNKNOWN;
	case FG_CELL_STACK:
		k->bin = t->bins[FG_HIST_STACK];
		return k->bin != FG_BIN_UNKNOWN;
	case FG_CELL_PREFIX:
		put_prefix(k, client->addr, 3, 6);
		return true;
	default:
		return true;
	}
}

void fg_cell_text(const struct fg_cell_key *k, const char *stem_text, char *text, size_t n)
{
	const char *stem = stem_text ? stem_text : "of any stem";
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };
	bool wide = k->kind == FG_CELL_NETWORK;
	char what[96] = "", ip[FG_IP_TEXT];

	if (k->is4) {
		memcpy(addr + 12, k->prefix, 3);
	} else {
		memset(addr, 0, sizeof(addr));
		memcpy(addr, k->prefix, 6);
	}
	fg_ip_prefix(addr, (uint8_t)(k->is4 ? 96 + (wide ? 16 : 24) : wide ? 32 : 48), ip);
	switch (k->kind) {
	case FG_CELL_CLASS:
		snprintf(text, n, "%s from %s networks", stem,
			 fg_net_class_name((enum fg_net_class)k->network_class));
		return;
	case FG_CELL_NETWORK:
		if (k->asn)
			snprintf(text, n, "%s from AS%u", stem, k->asn);
		else
			snprintf(text, n, "%s from %s", stem, ip);
		return;
	case FG_CELL_SHAPE:
		fg_shape_bin_text(k->bin, what, sizeof(what));
		snprintf(text, n, "%s", what);
		return;
	case FG_CELL_STACK:
		fg_stack_bin_text(k->bin, what, sizeof(what));
		snprintf(text, n, "%s on %s", stem, what);
		return;
	case FG_CELL_PREFIX:
		snprintf(text, n, "%s", ip);
		return;
	default:
		snprintf(text, n, "%s", stem);
	}
}

/* --- The table of one kind -------------------------------------------------------------------- */

uint16_t fg_cells_find(const struct fg_cells *c, enum fg_cell_kind kind, uint64_t hash)
{
	const struct fg_cell_table *t = &c->tables[kind];

	for (uint32_t i = (uint32_t)hash & INDEX_MASK; t->index[i]; i = (i + 1) & INDEX_MASK)
		if (t->cells[t->index[i] - 1].hash == hash)
			return (uint16_t)(t->index[i] - 1);
	return NONE;
}

static void index_put(struct fg_cell_table *t, uint64_t hash, uint16_t at)
{
	uint32_t i = (uint32_t)hash & INDEX_MASK;

	while (t->index[i])
		i = (i + 1) & INDEX_MASK;
	t->index[i] = (uint16_t)(at + 1);
}

/* Takes a cell out and moves later ones of its run up (Knuth, TAOCP 3, 6.4, algorithm R). */
static void index_remove(struct fg_cell_table *t, uint16_t at)
{
	uint32_t i = (uint32_t)t->cells[at].hash & INDEX_MASK, k, home;

	while (t->index[i] != at + 1)
		i = (i + 1) & INDEX_MASK;
	for (k = (i + 1) & INDEX_MASK; t->index[k]; k = (k + 1) & INDEX_MASK) {
		home = (uint32_t)t->cells[t->index[k] - 1].hash & INDEX_MASK;
		if (((k - home) & INDEX_MASK) >= ((k - i) & INDEX_MASK)) {
			t->index[i] = t->index[k];
			i = k;
		}
	}
	t->index[i] = 0;
}

static int table_grow(struct fg_cell_table *t)
{
	uint32_t cap = t->cap ? t->cap * 2 : 64;
	struct fg_cell *larger;

	cap = cap < CELLS ? cap : CELLS;
	larger = realloc(t->cells, cap * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	t->cells = larger;
	t->cap = cap;
	return 0;
}

/* The place of the cell with the fewest clients. */
static uint16_t smallest(const struct fg_cell_table *t)
{
	uint32_t best = 1;

	for (uint32_t i = 2; i < t->n; i++)
		if (t->clients[i] < t->clients[best])
			best = i;
	return (uint16_t)best;
}

static void give_week_back(struct fg_cells *c, struct fg_cell *cell)
{
	if (!cell->week)
		return;
	c->free_weeks[c->n_free_weeks++] = cell->week;
	cell->week = 0;
}

static void sum_up(struct fg_cell_counts *to, const struct fg_cell_counts *from)
{
	to->active += from->active;
	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		to->known[i] += from->known[i];
		to->yes[i] += from->yes[i];
	}
	for (int i = 0; i < FG_HIST_BINS; i++)
		to->bins[i] += from->bins[i];
}

/* The cell of a key, made where it is not there: the smallest gives way to it and hands its count on
 * (Metwally et al. 2005). NONE without memory. */
static uint16_t table_cell(struct fg_cells *c, const struct fg_cell_key *key, uint64_t hash)
{
	struct fg_cell_table *t = &c->tables[key->kind];
	uint16_t at = fg_cells_find(c, key->kind, hash);
	uint32_t error = 0;

	if (at != NONE)
		return at;
	if (t->n == t->cap && t->n < CELLS && table_grow(t))
		return NONE;
	if (t->n < t->cap) {
		at = (uint16_t)t->n++;
	} else {
		at = smallest(t);
		error = t->clients[at];
		/* who was counted in it is one of the rest now */
		sum_up(&t->cells[FG_CELL_RESIDUAL].now, &t->cells[at].now);
		sum_up(&t->cells[FG_CELL_RESIDUAL].learn, &t->cells[at].learn);
		t->replaced |= t->cells[at].now.active > 0;
		give_week_back(c, &t->cells[at]);
		index_remove(t, at);
		if (key->kind == FG_CELL_STEM)
			fg_reach_clear(c->reach, at);
	}
	memset(&t->cells[at], 0, sizeof(t->cells[at]));
	t->cells[at].key = *key;
	t->cells[at].hash = hash;
	t->cells[at].error = error;
	t->clients[at] = error;
	index_put(t, hash, at);
	return at;
}

struct fg_cell *fg_cells_restore(struct fg_cells *c, const struct fg_cell_key *key, bool residual,
				 uint32_t clients)
{
	struct fg_cell_table *t = &c->tables[key->kind];
	uint16_t at = FG_CELL_RESIDUAL;

	if (!residual) {
		if (t->n >= CELLS)
			return NULL;
		at = table_cell(c, key, fg_cell_hash(c, key));
		if (at == NONE)
			return NULL;
		t->clients[at] = clients;
	}
	return &t->cells[at];
}

/* --- Life cycle ------------------------------------------------------------------------------- */

int fg_cells_new(struct fg_cells **ret_cells)
{
	struct fg_cells *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	if (getrandom(&c->seed, sizeof(c->seed), 0) != (ssize_t)sizeof(c->seed))
		c->seed = (uint64_t)(uintptr_t)c;
	if (fg_reach_new(CELLS, &c->reach)) {
		fg_cells_free(&c);
		return -ENOMEM;
	}
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		struct fg_cell_table *t = &c->tables[kind];

		if (table_grow(t)) {
			fg_cells_free(&c);
			return -ENOMEM;
		}
		memset(&t->cells[FG_CELL_RESIDUAL], 0, sizeof(t->cells[0]));
		t->cells[FG_CELL_RESIDUAL].key.kind = (enum fg_cell_kind)kind;
		t->clients[FG_CELL_RESIDUAL] = UINT32_MAX;
		t->n = 1;
	}
	*ret_cells = c;
	return 0;
}

void fg_cells_free(struct fg_cells **cells)
{
	struct fg_cells *c = *cells;

	if (!c)
		return;
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		free(c->tables[kind].cells);
	free(c->weeks);
	fg_reach_free(&c->reach);
	free(c);
	*cells = NULL;
}

size_t fg_cells_n(const struct fg_cells *c, enum fg_cell_kind kind)
{
	return c->tables[kind].n;
}

const struct fg_cell *fg_cells_at(const struct fg_cells *c, enum fg_cell_kind kind, uint16_t at)
{
	return &c->tables[kind].cells[at];
}

const struct fg_cell *fg_cells_all(const struct fg_cells *c)
{
	return &c->all;
}

uint64_t fg_cells_bytes(const struct fg_cells *c)
{
	uint64_t sum =
		sizeof(*c) + (uint64_t)c->cap_weeks * sizeof(*c->weeks) + fg_reach_bytes(c->reach);

	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		sum += (uint64_t)c->tables[kind].cap * sizeof(struct fg_cell);
	return sum;
}

/* --- One hour --------------------------------------------------------------------------------- */

static void clear_counts(struct fg_cell *cell)
{
	memset(&cell->now, 0, sizeof(cell->now));
	memset(&cell->learn, 0, sizeof(cell->learn));
}

void fg_cells_begin(struct fg_cells *c, uint32_t hour)
{
	c->hour = hour;
	fg_reach_begin(c->reach, hour / 24);
	clear_counts(&c->all);
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		c->tables[kind].replaced = false;
		for (uint32_t i = 0; i < c->tables[kind].n; i++)
			clear_counts(&c->tables[kind].cells[i]);
	}
}

static void count(struct fg_cell_counts *counts, const struct fg_traits *t)
{
	counts->active++;
	for (unsigned int i = 0; i < _FG_SHARE_MAX; i++) {
		counts->known[i] += t->known >> i & 1;
		counts->yes[i] += t->yes >> i & 1;
	}
	for (unsigned int h = 0; h < _FG_HIST_MAX; h++)
		if (t->bins[h] != FG_BIN_UNKNOWN)
			counts->bins[fg_hist_at(h) + t->bins[h]]++;
}

static void count_both(struct fg_cell *cell, const struct fg_traits *t, bool member)
{
	count(&cell->now, t);
	if (!member)
		count(&cell->learn, t);
}

static void vote(struct fg_cells *c, struct fg_cell *cell, uint64_t predecessor)
{
	const struct fg_cell_key key = { .kind = FG_CELL_STEM, .stem = predecessor };
	uint64_t hash = predecessor ? fg_cell_hash(c, &key) : 0;

	cell->newcomers++;
	if (!hash)
		return;
	if (!cell->heir_votes)
		cell->heir_hash = hash;
	if (cell->heir_hash == hash)
		cell->heir_votes++;
	else
		cell->heir_votes--;
}

static void reach(struct fg_cells *c, uint16_t at, const struct fg_model_client *client,
		  const struct fg_traits *t, bool member)
{
	if (at != FG_CELL_RESIDUAL)
		fg_reach_add(c->reach, at, client->addr, fg_reach_network(client->addr, t->asn),
			     t->country, !member);
}

void fg_cells_add(struct fg_cells *c, const struct fg_model_client *client,
		  const struct fg_traits *t, bool new_today, uint64_t predecessor, bool member,
		  uint16_t ret[_FG_CELL_MAX])
{
	count_both(&c->all, t, member);
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		struct fg_cell_key key;
		struct fg_cell *cell;
		uint16_t at;

		ret[kind] = NONE;
		if (!make_key((enum fg_cell_kind)kind, client, t, &key))
			continue;
		at = table_cell(c, &key, fg_cell_hash(c, &key));
		if (at == NONE)
			at = FG_CELL_RESIDUAL;
		cell = &c->tables[kind].cells[at];
		if (at != FG_CELL_RESIDUAL && new_today)
			c->tables[kind].clients[at] += c->tables[kind].clients[at] < UINT32_MAX - 1;
		count_both(cell, t, member);
		if (kind == FG_CELL_STEM && new_today)
			reach(c, at, client, t, member);
		if (kind == FG_CELL_STEM && new_today && t->age_days < 28)
			vote(c, cell, predecessor);
		ret[kind] = at;
	}
}

static bool is_small(const struct fg_cell_table *t, uint32_t at)
{
	return t->clients[at] - t->cells[at].error < FG_CELL_SMALL;
}

/* Do a new stem's clients come from where the one's that they seem to have left do ? */
static void judge_heirs(struct fg_cells *c)
{
	struct fg_cell_table *t = &c->tables[FG_CELL_STEM];

	for (uint32_t i = 1; i < t->n; i++) {
		struct fg_cell *cell = &t->cells[i];
		uint16_t from = NONE;

		if (cell->now.active && cell->heir_votes * 2 > cell->newcomers)
			from = fg_cells_find(c, FG_CELL_STEM, cell->heir_hash);
		if (from != NONE)
			cell->unlike_heir = (float)fg_reach_unlike(c->reach, i, from);
	}
}

struct fg_reach_counts fg_cells_reach(const struct fg_cells *c, uint64_t stem)
{
	const struct fg_cell_key key = { .kind = FG_CELL_STEM, .stem = stem };
	uint16_t at = fg_cells_find(c, FG_CELL_STEM, fg_cell_hash(c, &key));

	return at == NONE ? (struct fg_reach_counts){ { 0 } } : fg_reach_counts(c->reach, at);
}

const struct fg_reach *fg_cells_reaches(const struct fg_cells *c)
{
	return c->reach;
}

bool fg_cell_holds(const struct fg_cell_key *key, const struct fg_model_client *client,
		   const struct fg_traits *t)
{
	struct fg_cell_key k;

	return make_key(key->kind, client, t, &k) && k.stem == key->stem && k.asn == key->asn &&
	       k.network_class == key->network_class && k.bin == key->bin && k.is4 == key->is4 &&
	       !memcmp(k.prefix, key->prefix, sizeof(k.prefix));
}

void fg_cells_counted(struct fg_cells *c)
{
	judge_heirs(c);
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		struct fg_cell_table *t = &c->tables[kind];
		struct fg_cell *residual = &t->cells[FG_CELL_RESIDUAL];

		for (uint32_t i = 1; i < t->n; i++) {
			t->cells[i].clients = t->clients[i];
			if (!t->cells[i].now.active || !is_small(t, i))
				continue;
			sum_up(&residual->now, &t->cells[i].now);
			sum_up(&residual->learn, &t->cells[i].learn);
			clear_counts(&t->cells[i]);
		}
	}
}

uint16_t fg_cells_home(const struct fg_cells *c, enum fg_cell_kind kind, uint16_t at,
		       const struct fg_model_client *client, const struct fg_traits *traits)
{
	const struct fg_cell_table *t = &c->tables[kind];

	if (at == NONE || at == FG_CELL_RESIDUAL)
		return at;
	/* another key may have its place by now */
	if (is_small(t, at) || (t->replaced && !fg_cell_holds(&t->cells[at].key, client, traits)))
		return FG_CELL_RESIDUAL;
	return at;
}
