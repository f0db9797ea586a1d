/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/stems.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hash.h"
#include "model/signals.h"

#define WAYS	  8
#define IDLE_NS	  600000000000ULL
#define IDLE_MAX  144 /* a day */
#define LOWEST_US 100.0
#define DECADE	  48.0
#define PERCENT	  0.05
#define PRIOR	  0.5

struct fg_stems {
	uint64_t seed[2];
	size_t n;
	struct fg_stems_refused refused;
	size_t n_sets;
	struct fg_stem row[][WAYS];
};

static size_t sets_of(uint32_t n)
{
	return (n + WAYS - 1) / WAYS;
}

int fg_stems_new(const uint64_t seed[2], uint32_t n, struct fg_stems **ret_stems)
{
	struct fg_stems *s = calloc(1, fg_stems_bytes(n));

	if (!s)
		return -ENOMEM;
	memcpy(s->seed, seed, sizeof(s->seed));
	s->n_sets = sets_of(n);
	*ret_stems = s;
	return 0;
}

void fg_stems_free(struct fg_stems **stems)
{
	free(*stems);
	*stems = NULL;
}

static size_t set_of(const struct fg_stems *s, uint64_t stem)
{
	return fg_mix_end(fg_mix(s->seed[0], stem, s->seed[1]), s->seed[1]) % s->n_sets;
}

const struct fg_stem *fg_stems_find(const struct fg_stems *s, uint64_t stem)
{
	const struct fg_stem *set = s->row[set_of(s, stem)];

	for (int i = 0; stem && i < WAYS; i++)
		if (set[i].stem == stem)
			return &set[i];
	return NULL;
}

static bool may_go(const struct fg_stem *row, uint64_t now_ns)
{
	uint64_t clients = row->clients < IDLE_MAX ? row->clients : IDLE_MAX;

	return row->last_ns + IDLE_NS * (clients ? clients : 1) <= now_ns;
}

/* A free row, else that of the fewest clients among those that may go; NULL where none is. */
static struct fg_stem *make_room(struct fg_stem set[WAYS], uint64_t now_ns)
{
	struct fg_stem *best = NULL;

	for (int i = 0; i < WAYS; i++) {
		if (!set[i].stem)
			return &set[i];
		if (may_go(&set[i], now_ns) && (!best || set[i].clients < best->clients))
			best = &set[i];
	}
	return best;
}

struct fg_stem *fg_stems_row(struct fg_stems *s, uint64_t stem, uint64_t now_ns)
{
	struct fg_stem *set = s->row[set_of(s, stem)], *row = NULL;

	if (!stem)
		return NULL;
	for (int i = 0; i < WAYS && !row; i++)
		if (set[i].stem == stem)
			row = &set[i];
	if (!row) {
		row = make_room(set, now_ns);
		if (!row) {
			s->refused.no_room++;
			return NULL;
		}
		if (row->stem)
			s->refused.expired++;
		else
			s->n++;
		memset(row, 0, sizeof(*row));
		row->stem = stem;
	}
	row->last_ns = now_ns;
	row->unsaved = true;
	return row;
}

/* --- Days ------------------------------------------------------------------------------------- */

static uint32_t day_of(uint64_t ns)
{
	return (uint32_t)(ns / FG_DAY_NS);
}

static void turn_day(struct fg_stem *row, uint64_t now_ns)
{
	uint32_t day = day_of(now_ns);

	if (row->day == day)
		return;
	row->births[1] = row->day + 1 == day ? row->births[0] : 0;
	row->returns[1] = row->day + 1 == day ? row->returns[0] : 0;
	row->births[0] = row->returns[0] = 0;
	row->day = day;
}

void fg_stem_add_return(struct fg_stem *row, uint64_t now_ns)
{
	turn_day(row, now_ns);
	row->returns[0] += row->returns[0] < UINT32_MAX;
}

struct fg_stem_day fg_stem_day(const struct fg_stem *row, unsigned int days_ago, uint64_t now_ns)
{
	unsigned int past = row ? day_of(now_ns) - row->day : 2;

	if (days_ago < past || days_ago - past > 1)
		return (struct fg_stem_day){ 0 };
	return (struct fg_stem_day){ row->births[days_ago - past], row->returns[days_ago - past] };
}

/* --- Clients, by stack ------------------------------------------------------------------------ */

/* Space-saving, as in signals.c. */
void fg_stem_add_client(struct fg_stem *row, uint64_t stack, uint64_t now_ns)
{
	int at = 0;

	turn_day(row, now_ns);
	row->births[0] += row->births[0] < UINT32_MAX;
	row->clients += row->clients < UINT32_MAX;
	if (!stack)
		return;
	for (int i = 0; i < FG_STEM_STACKS; i++) {
		if (row->stacks[i] == stack) {
			at = i;
			break;
		}
		if (row->stack_counts[i] < row->stack_counts[at])
			at = i;
	}
	row->stacks[at] = stack;
	row->stack_counts[at] += row->stack_counts[at] < UINT32_MAX;
}

static unsigned int crypto_bin(double us)
{
	double bin = us > LOWEST_US ? floor(log10(us / LOWEST_US) * DECADE) : 0;

	return bin < FG_CRYPTO_BINS ? (unsigned int)bin : FG_CRYPTO_BINS - 1;
}

void fg_stem_add_crypto(struct fg_stem *row, uint32_t rtt_us, uint32_t turn_us)
{
	uint16_t *bin = &row->crypto[crypto_bin((double)turn_us - rtt_us)];

	if (*bin == UINT16_MAX) {
		row->crypto_n = 0;
		for (int i = 0; i < FG_CRYPTO_BINS; i++)
			row->crypto_n += row->crypto[i] /= 2;
	}
	++*bin;
	row->crypto_n++;
}

struct fg_crypto fg_stem_crypto(const struct fg_stem *row)
{
	struct fg_crypto c = { 0 };
	uint32_t below = 0;
	unsigned int i;

	if (row)
		c.n = row->crypto_n;
	if (c.n < FG_CRYPTO_MIN_N)
		return c;
	c.known = true;
	for (i = 0; i < FG_CRYPTO_BINS - 1; i++) {
		below += row->crypto[i];
		if (below > PERCENT * c.n)
			break;
	}
	c.us = i ? LOWEST_US * pow(10, (i + 0.5) / DECADE) : 0;
	return c;
}

struct fg_stack_share fg_stem_stack(const struct fg_stem *row, uint64_t stack)
{
	struct fg_stack_share share = { .p = 1 };
	uint32_t count = 0, least = UINT32_MAX;
	bool found = false;

	for (int i = 0; row && i < FG_STEM_STACKS; i++) {
		share.n += row->stack_counts[i];
		if (row->stack_counts[i] < least)
			least = row->stack_counts[i];
		if (stack && row->stacks[i] == stack) {
			count = row->stack_counts[i];
			found = true;
		}
	}
	if (!stack)
		return share;
	if (row && !found)
		count = least; /* 0 where the list is not full */
	share.p = (count + PRIOR) / ((double)share.n + PRIOR * (FG_STEM_STACKS + 1));
	return share;
}

struct fg_stems_refused fg_stems_refused(const struct fg_stems *s)
{
	return s->refused;
}

size_t fg_stems_n(const struct fg_stems *s)
{
	return s->n;
}

size_t fg_stems_places(const struct fg_stems *s)
{
	return s->n_sets * WAYS;
}

struct fg_stem *fg_stems_at(struct fg_stems *s, size_t place)
{
	struct fg_stem *row = &s->row[place / WAYS][place % WAYS];

	return row->stem ? row : NULL;
}

size_t fg_stems_bytes(uint32_t n)
{
	return sizeof(struct fg_stems) + sets_of(n) * sizeof(((struct fg_stems *)0)->row[0]);
}
