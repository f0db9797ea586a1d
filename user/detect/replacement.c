/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/replacement.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "detect/thresholds.h"
#include "farmgate/hash.h"
#include "lib/splitmix.h"

#define HOUR_NS 3600000000000ULL
#define DAY_NS	(24 * HOUR_NS)

/* Bans that are one: the first, and how long after it the last came. */
struct wave {
	uint64_t ns, lasts_ns;
	const uint8_t *source; /* of the first: a wave's others are not compared */
};

/* --- One stem ---------------------------------------------------------------------------------- */

static size_t merge(const struct fg_replacement_event *bans, size_t n, struct wave *ret_waves)
{
	size_t waves = 0;

	for (size_t i = 0; i < n; i++) {
		struct wave *last = waves ? &ret_waves[waves - 1] : NULL;

		if (last && bans[i].ns - last->ns <= FG_REPLACEMENT_NS)
			last->lasts_ns = bans[i].ns - last->ns;
		else
			ret_waves[waves++] =
				(struct wave){ .ns = bans[i].ns, .source = bans[i].source };
	}
	return waves;
}

/* The first newcomer later than this. */
static size_t first_after(const struct fg_replacement_event *newcomers, size_t n, uint64_t ns)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (newcomers[mid].ns <= ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Newcomers behind a wave that begins then. */
static uint32_t behind(const struct wave *w, uint64_t ns,
		       const struct fg_replacement_event *newcomers, size_t n)
{
	uint64_t until = ns + w->lasts_ns + FG_REPLACEMENT_NS;
	uint32_t found = 0;

	for (size_t i = first_after(newcomers, n, ns); i < n && newcomers[i].ns <= until; i++)
		found += memcmp(newcomers[i].source, w->source, 16) != 0;
	return found;
}

/* A few hours earlier or later, round about. */
static uint64_t shifted(uint64_t ns, uint64_t from_ns, uint64_t span_ns, uint64_t *state)
{
	uint64_t z = fg_splitmix(state), by;

	by = (z % FG_REPLACEMENT_SHIFT + 1) * HOUR_NS % span_ns;
	if (z >> 63)
		by = span_ns - by;
	return from_ns + (ns - from_ns + by) % span_ns;
}

static uint32_t count(const struct wave *waves, size_t n_waves,
		      const struct fg_replacement_event *newcomers, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n_waves; i++)
		sum += behind(&waves[i], waves[i].ns, newcomers, n);
	return sum;
}

/* Share of the time that is behind a wave: what a tenth of all newcomers do by chance in a tenth of the
 * time needs no shifts to be told. */
static double share_behind(const struct wave *waves, size_t n, uint64_t span_ns)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += waves[i].lasts_ns + FG_REPLACEMENT_NS;
	return (double)sum / (double)span_ns;
}

struct fg_replacement fg_replacement_ask(const struct fg_replacement_event *bans, size_t n_bans,
					 const struct fg_replacement_event *newcomers, size_t n,
					 uint64_t from_ns, uint64_t to_ns, uint64_t seed)
{
	struct fg_replacement h = { .p = 1 };
	struct wave *waves = calloc(n_bans + 1, sizeof(*waves));
	uint64_t sum = 0, span = to_ns - from_ns;
	uint32_t as_many = 0;

	if (!waves)
		return h;
	h.bans = (uint32_t)merge(bans, n_bans, waves);
	h.newcomers = count(waves, h.bans, newcomers, n);
	if (h.bans < FG_REPLACEMENT_BANS || h.newcomers < FG_REPLACEMENT_NEWCOMERS ||
	    to_ns < from_ns || span < FG_REPLACEMENT_HOURS * HOUR_NS ||
	    h.newcomers < 2 * share_behind(waves, h.bans, span) * (double)n)
		goto out;
	for (int round = 0; round < FG_REPLACEMENT_ROUNDS; round++) {
		uint32_t by_chance = 0;

		for (size_t i = 0; i < h.bans; i++)
			by_chance += behind(&waves[i], shifted(waves[i].ns, from_ns, span, &seed),
					    newcomers, n);
		sum += by_chance;
		as_many += by_chance >= h.newcomers;
	}
	h.expected = (double)sum / FG_REPLACEMENT_ROUNDS;
	h.p = (1.0 + as_many) / (1.0 + FG_REPLACEMENT_ROUNDS);
out:
	free(waves);
	return h;
}

/* --- All groups -------------------------------------------------------------------------------- */

struct group_event {
	uint64_t stem;
	uint32_t group; /* of newcomers; bans are those of the whole stem */
	struct fg_replacement_event event;
};

static int by_group_and_time(const void *a, const void *b)
{
	const struct group_event *x = a, *y = b;

	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->event.ns < y->event.ns ? -1 : x->event.ns > y->event.ns;
}

static int by_group(const void *a, const void *b)
{
	const struct fg_replacement_group *x = a, *y = b;

	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

/* Bans, or newcomers, since from_ns; sorted. */
static size_t gather(const struct fg_accounts *a, const uint32_t *groups, bool bans,
		     uint64_t from_ns, struct group_event *list)
{
	size_t n = 0;

	for (size_t i = 0; i < fg_accounts_n(a); i++) {
		const struct fg_account *account = fg_accounts_at(a, i);
		uint64_t ns = bans ? account->banned_ns : account->first_ns;
		uint32_t place = bans ? account->banned_client : account->first_client;
		const struct fg_account_client *c;

		if (ns < from_ns || place >= fg_accounts_n_clients(a) ||
		    (!bans && !account->came_new))
			continue;
		c = fg_accounts_client_at(a, place);
		if (!c->stem)
			continue;
		list[n].stem = c->stem;
		list[n].group = bans ? 0 : groups[place];
		list[n].event.ns = ns;
		memcpy(list[n++].event.source, c->addr, 16);
	}
	qsort(list, n, sizeof(*list), by_group_and_time);
	return n;
}

/* The events of the group that begins at *at; *at becomes the next one's. */
static size_t cut(const struct group_event *list, size_t n, size_t *at,
		  struct fg_replacement_event *ret)
{
	const struct group_event *first = &list[*at];
	size_t found = 0;

	for (; *at < n && list[*at].stem == first->stem && list[*at].group == first->group; ++*at)
		ret[found++] = list[*at].event;
	return found;
}

struct lists {
	struct group_event *bans, *newcomers;
	struct fg_replacement_event *of_bans, *of_newcomers; /* of one group */
	size_t n_bans, n_newcomers;
};

static int open_lists(struct lists *l, size_t n)
{
	l->bans = calloc(n + 1, sizeof(*l->bans));
	l->newcomers = calloc(n + 1, sizeof(*l->newcomers));
	l->of_bans = calloc(n + 1, sizeof(*l->of_bans));
	l->of_newcomers = calloc(n + 1, sizeof(*l->of_newcomers));
	return l->bans && l->newcomers && l->of_bans && l->of_newcomers ? 0 : -ENOMEM;
}

static void close_lists(struct lists *l)
{
	free(l->bans);
	free(l->newcomers);
	free(l->of_bans);
	free(l->of_newcomers);
}

static void ask_all(struct lists *l, uint64_t from_ns, uint64_t to_ns, uint64_t seed,
		    struct fg_replacements *h)
{
	for (size_t i = 0, k = 0; i < l->n_bans;) {
		uint64_t stem = l->bans[i].stem;
		size_t n = cut(l->bans, l->n_bans, &i, l->of_bans), n_new;

		while (k < l->n_newcomers && l->newcomers[k].stem < stem)
			k++;
		while (k < l->n_newcomers && l->newcomers[k].stem == stem) {
			struct fg_replacement_group *g = &h->groups[h->n];

			g->stem = stem;
			g->group = l->newcomers[k].group;
			n_new = cut(l->newcomers, l->n_newcomers, &k, l->of_newcomers);
			if (n < FG_REPLACEMENT_BANS || n_new < FG_REPLACEMENT_NEWCOMERS)
				continue;
			g->found = fg_replacement_ask(l->of_bans, n, l->of_newcomers, n_new,
						      from_ns, to_ns,
						      fg_mix_end(seed ^ stem, g->group));
			h->n++;
		}
	}
}

int fg_replacements_find(const struct fg_accounts *a, const uint32_t *groups, uint64_t seed,
			 struct fg_replacements *ret)
{
	uint64_t to_ns = fg_accounts_now_ns(a), from_ns = fg_accounts_began_ns(a);
	struct lists l = { 0 };
	int r = open_lists(&l, fg_accounts_n(a));

	*ret = (struct fg_replacements){ 0 };
	if (to_ns > DAY_NS && from_ns < to_ns - DAY_NS)
		from_ns = to_ns - DAY_NS;
	if (!r) {
		l.n_bans = gather(a, groups, true, from_ns ? from_ns : 1, l.bans);
		l.n_newcomers = gather(a, groups, false, from_ns ? from_ns : 1, l.newcomers);
		ret->groups =
			calloc(l.n_newcomers / FG_REPLACEMENT_NEWCOMERS + 1, sizeof(*ret->groups));
		r = ret->groups ? 0 : -ENOMEM;
	}
	if (!r)
		ask_all(&l, from_ns, to_ns, seed, ret);
	close_lists(&l);
	return r;
}

void fg_replacements_done(struct fg_replacements *h)
{
	free(h->groups);
	*h = (struct fg_replacements){ 0 };
}

const struct fg_replacement *fg_replacements_of(const struct fg_replacements *h, uint64_t stem,
						uint32_t group)
{
	const struct fg_replacement_group key = { .stem = stem, .group = group }, *g = NULL;

	if (h->n)
		g = bsearch(&key, h->groups, h->n, sizeof(key), by_group);
	return g ? &g->found : NULL;
}
