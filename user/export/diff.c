/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "export/diff.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define S_TO_NS 1000000000ULL
/* Items that are fetched before they are looked at. */
#define AHEAD 12

static uint64_t big_endian(const uint8_t bytes[8])
{
	uint64_t u;

	memcpy(&u, bytes, sizeof(u));
	return be64toh(u);
}

/* As memcmp() would, without its call: a walk over a million is mostly this. */
int fg_held_order(const struct fg_held *x, const uint8_t addr[16], uint8_t bits)
{
	for (int at = 0; at < 16; at += 8) {
		uint64_t a = big_endian(x->addr + at), b = big_endian(addr + at);

		if (a != b)
			return a < b ? -1 : 1;
	}
	return (int)x->bits - (int)bits;
}

uint64_t fg_left_s(uint64_t until_ns, uint64_t now_ns)
{
	uint64_t left = until_ns > now_ns ? (until_ns - now_ns) / S_TO_NS : 0;

	return left ? left : 1;
}

const struct fg_held *fg_shadow_find(const struct fg_shadow *shadow, const uint8_t addr[16],
				     uint8_t bits)
{
	size_t lo = 0, hi = shadow->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (fg_held_order(&shadow->items[mid], addr, bits) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == shadow->n || fg_held_order(&shadow->items[lo], addr, bits))
		return NULL;
	return &shadow->items[lo];
}

size_t fg_shadow_due(const struct fg_shadow *shadow, uint64_t now_ns)
{
	size_t due = 0;

	for (size_t i = 0; i < shadow->n; i++)
		due += shadow->items[i].until_ns <= now_ns + FG_EXPIRY_SLACK_S * S_TO_NS;
	return due;
}

/* An end that moves back is always told, and what does not end by itself is always removed. */
void fg_shadow_forget_ends(struct fg_shadow *shadow)
{
	for (size_t i = 0; i < shadow->n; i++)
		shadow->items[i].until_ns = UINT64_MAX;
}

void fg_shadow_clear(struct fg_shadow *shadow)
{
	free(shadow->items);
	free(shadow->spare);
	*shadow = (struct fg_shadow){ 0 };
}

static bool needs_renewal(const struct fg_held *old, const struct fg_export_item *item,
			  uint64_t now_ns)
{
	uint64_t left = item->until_ns > now_ns ? item->until_ns - now_ns : 0;

	return item->until_ns < old->until_ns ||
	       item->until_ns - old->until_ns > left / FG_RENEW_SHARE;
}

static struct fg_held hold(const struct fg_export_item *item)
{
	struct fg_held held = {
		.until_ns = item->until_ns,
		.verdict = item->verdict,
		.cohort = item->cohort,
		.bits = item->bits,
	};

	memcpy(held.addr, item->addr, sizeof(held.addr));
	return held;
}

/* What is done with a held item that the set has no more: nothing while its own end is about to come
 * or just came, for a look at the target may still find it; nothing later either. */
static void leave(struct fg_diff *d, const struct fg_held *old, uint64_t now_ns, bool expires)
{
	if (!expires || old->until_ns > now_ns)
		d->changes[d->n_removed++] = (struct fg_change){ FG_CHANGE_REMOVE, old, NULL };
	else if (old->until_ns + FG_EXPIRY_SLACK_S * S_TO_NS > now_ns)
		d->next.items[d->next.n++] = *old;
}

static void keep(struct fg_diff *d, const struct fg_held *old, const struct fg_export_item *item,
		 uint64_t now_ns, struct fg_change *puts, size_t *n_puts)
{
	struct fg_held *held = &d->next.items[d->next.n++];

	*held = hold(item);
	if (!old || needs_renewal(old, item, now_ns))
		puts[(*n_puts)++] = (struct fg_change){
			old ? FG_CHANGE_RENEW : FG_CHANGE_ADD,
			held,
			item,
		};
	else
		/* it was told the old end, and that is what it will do */
		held->until_ns = old->until_ns;
}

/* Room for n items: the spare memory where it is large enough. */
static struct fg_shadow take_room(struct fg_shadow *from, size_t n)
{
	struct fg_shadow next = { .items = from->spare, .room = from->n_spare };

	from->spare = NULL;
	from->n_spare = 0;
	if (next.items && next.room >= n)
		return next;
	free(next.items);
	/* some more, so that a set that grows does not need it anew each time */
	next.room = n + n / 8 + 1;
	next.items = calloc(next.room, sizeof(*next.items));
	return next;
}

int fg_diff_make(struct fg_shadow *shadow, const struct fg_export_set *set, uint64_t now_ns,
		 bool expires, struct fg_diff *ret_diff)
{
	/* removals grow from the front, the rest behind the most there can be of them */
	struct fg_diff d = {
		.changes = calloc(shadow->n + set->n + 1, sizeof(*d.changes)),
		.next = take_room(shadow, shadow->n + set->n),
	};
	struct fg_change *puts = d.changes ? d.changes + shadow->n : NULL;
	size_t i = 0, j = 0, n_puts = 0;

	if (!d.changes || !d.next.items) {
		fg_diff_free(&d);
		return -ENOMEM;
	}
	while (i < shadow->n || j < set->n) {
		const struct fg_held *old = i < shadow->n ? &shadow->items[i] : NULL;
		const struct fg_export_item *item = j < set->n ? &set->items[j] : NULL;
		int order = !old ? 1 : !item ? -1 : fg_held_order(old, item->addr, item->bits);

		/* items are four lines of the cache apart */
		if (j + AHEAD < set->n)
			__builtin_prefetch(&set->items[j + AHEAD]);
		if (order < 0)
			leave(&d, old, now_ns, expires);
		else
			keep(&d, order ? NULL : old, item, now_ns, puts, &n_puts);
		i += order <= 0;
		j += order >= 0;
	}
	if (n_puts)
		memmove(d.changes + d.n_removed, puts, n_puts * sizeof(*puts));
	d.n = d.n_removed + n_puts;
	*ret_diff = d;
	return 0;
}

void fg_diff_free(struct fg_diff *diff)
{
	free(diff->changes);
	fg_shadow_clear(&diff->next);
	*diff = (struct fg_diff){ 0 };
}

void fg_diff_done(struct fg_diff *diff, struct fg_shadow *shadow)
{
	free(diff->next.spare);
	diff->next.spare = shadow->items;
	diff->next.n_spare = shadow->room;
	free(shadow->spare);
	*shadow = diff->next;
	diff->next = (struct fg_shadow){ 0 };
	fg_diff_free(diff);
}

/* The shadow with removals left out and puts put in; all three are in the order of addresses. */
static void merge(const struct fg_shadow *shadow, const struct fg_change *removed, size_t n_removed,
		  const struct fg_change *put, size_t n_put, struct fg_shadow *next)
{
	size_t i = 0, j = 0, k = 0;

	while (i < shadow->n || k < n_put) {
		const struct fg_held *old = i < shadow->n ? &shadow->items[i] : NULL;
		const struct fg_held *new = k < n_put ? put[k].held : NULL;
		int order = !old ? 1 : !new ? -1 : fg_held_order(old, new->addr, new->bits);

		i += order <= 0;
		if (order >= 0) {
			next->items[next->n++] = *new;
			k++;
		} else if (j < n_removed && removed[j].held == old) {
			j++;
		} else {
			next->items[next->n++] = *old;
		}
	}
}

int fg_diff_done_part(struct fg_diff *diff, size_t n, struct fg_shadow *shadow)
{
	size_t n_removed = n < diff->n_removed ? n : diff->n_removed;
	struct fg_shadow next = { .room = shadow->n + n + 1 };

	next.items = calloc(next.room, sizeof(*next.items));
	if (!next.items)
		return -ENOMEM;
	merge(shadow, diff->changes, n_removed, diff->changes + n_removed, n - n_removed, &next);
	fg_diff_free(diff);
	fg_shadow_clear(shadow);
	*shadow = next;
	return 0;
}
