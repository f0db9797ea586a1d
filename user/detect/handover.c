/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stops lie sorted twice, by shape and time and by shape, network and time, so that those of a while and
 * not of one network are four places in two arrays.
 */
#include "detect/handover.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/thresholds.h"
#include "lib/betabin.h"

#define DAY_S	86400
#define HOURS	24
#define BLOCK	4 /* hours whose starts change places */
#define BLOCKS	(HOURS / BLOCK)
#define DRAWS	4096 /* BLOCK to the power of BLOCKS */
#define TIME	20 /* bits of a time in a sorted word */
#define NETWORK 38 /* bits of a network's hash */

struct stops {
	uint64_t *all, *by_network;
	size_t n;
};

/* Differences of an hour's starts when they lie in each hour of its block. */
struct hours {
	double after[HOURS][BLOCK], before[HOURS][BLOCK];
};

static uint64_t time_word(int32_t s)
{
	return (uint64_t)(s + 2 * FG_HANDOVER_S);
}

static uint64_t all_word(const struct fg_move *m, int32_t s)
{
	return (uint64_t)m->shape << TIME | time_word(s);
}

static uint64_t network_word(const struct fg_move *m, int32_t s)
{
	uint64_t h = m->network * 0x9e3779b97f4a7c15ULL;

	return (uint64_t)m->shape << (TIME + NETWORK) | h >> (64 - NETWORK) << TIME | time_word(s);
}

static int by_word(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int sort_stops(const struct fg_move *m, size_t n, struct stops *s)
{
	s->all = malloc((n + 1) * sizeof(*s->all));
	s->by_network = malloc((n + 1) * sizeof(*s->by_network));
	if (!s->all || !s->by_network)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (m[i].stop_s == FG_HANDOVER_NOT)
			continue;
		s->all[s->n] = all_word(&m[i], m[i].stop_s);
		s->by_network[s->n++] = network_word(&m[i], m[i].stop_s);
	}
	qsort(s->all, s->n, sizeof(*s->all), by_word);
	qsort(s->by_network, s->n, sizeof(*s->by_network), by_word);
	return 0;
}

/* How many words are below this one. */
static size_t below(const uint64_t *words, size_t n, uint64_t word)
{
	size_t low = 0;

	while (n > 0) {
		size_t half = n / 2;

		if (words[low + half] < word) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low;
}

/* Stops from .. to - 1 of the start's shape and of other networks. */
static double others(const struct stops *s, const struct fg_move *m, int32_t from, int32_t to)
{
	size_t all = below(s->all, s->n, all_word(m, to)) - below(s->all, s->n, all_word(m, from));

	if (!all)
		return 0;
	return (double)all - (double)(below(s->by_network, s->n, network_word(m, to)) -
				      below(s->by_network, s->n, network_word(m, from)));
}

/* A start of the very second of a stop comes neither before nor after it. */
static void count_start(const struct stops *s, const struct fg_move *m, struct hours *h)
{
	int hour = m->start_s / 3600, first = hour / BLOCK * BLOCK;

	for (int k = 0; k < BLOCK; k++) {
		int32_t at = m->start_s + ((first + (hour - first + k) % BLOCK) - hour) * 3600;

		h->after[hour][k] += others(s, m, at - FG_HANDOVER_S, at);
		h->before[hour][k] += others(s, m, at + 1, at + 1 + FG_HANDOVER_S);
	}
}

/* Sum over a block when all of its hours are moved on by so many. */
static double block_sum(const struct hours *h, int block, int k)
{
	double sum = 0;

	for (int hour = block * BLOCK; hour < (block + 1) * BLOCK; hour++)
		sum += (h->after[hour][k] - h->before[hour][k]) /
		       sqrt(h->after[hour][k] + h->before[hour][k] + 1);
	return sum;
}

/* Share of all days in which the sum is as large as on this one, which is one of them. */
static double share_as_large(const struct hours *h)
{
	double sums[BLOCKS][BLOCK], seen = 0;
	unsigned int as_large = 0;

	for (int b = 0; b < BLOCKS; b++) {
		for (int k = 0; k < BLOCK; k++)
			sums[b][k] = block_sum(h, b, k);
		seen += sums[b][0];
	}
	for (unsigned int draw = 0; draw < DRAWS; draw++) {
		double sum = 0;

		for (int b = 0; b < BLOCKS; b++)
			sum += sums[b][draw >> 2 * b & (BLOCK - 1)];
		as_large += sum >= seen - 1e-9;
	}
	return (double)as_large / DRAWS;
}

static void judge(const struct hours *h, struct fg_handover *ret)
{
	for (int hour = 0; hour < HOURS; hour++) {
		ret->after += h->after[hour][0];
		ret->before += h->before[hour][0];
	}
	ret->excess = fmax(0, ret->after - ret->before);
	ret->known = ret->starts >= FG_HANDOVER_LEAST && ret->stops >= FG_HANDOVER_LEAST;
	if (!ret->known)
		return;
	ret->p = share_as_large(h);
	ret->log_e = fg_p_log_e(ret->p);
	ret->effect = ret->p <= FG_SUPPORT_P && ret->excess >= FG_HANDOVER_LEAST &&
		      ret->excess >= FG_HANDOVER_SHARE * ret->starts;
}

int fg_handover_test(const struct fg_move *m, size_t n, struct fg_handover *ret)
{
	struct stops stops = { 0 };
	struct hours h = { 0 };
	int r = sort_stops(m, n, &stops);

	*ret = (struct fg_handover){ .p = 1, .stops = (uint32_t)stops.n };
	for (size_t i = 0; i < n && !r; i++) {
		if (m[i].start_s == FG_HANDOVER_NOT)
			continue;
		ret->starts++;
		count_start(&stops, &m[i], &h);
	}
	if (!r)
		judge(&h, ret);
	free(stops.all);
	free(stops.by_network);
	return r;
}
