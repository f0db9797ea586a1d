/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What may leave. Every guard against hitting the wrong one is asked here, once, for all targets.
 * Must not write, and must not widen: an item is a verdict's own prefix.
 */
#include "export/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"

/* Highest first; of equals the older one, so that the cap does not swap them each time. */
static int by_score(const void *a, const void *b)
{
	const struct fg_verdict *x = *(const struct fg_verdict *const *)a;
	const struct fg_verdict *y = *(const struct fg_verdict *const *)b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int by_address(const void *a, const void *b)
{
	const struct fg_export_item *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	/* the wider first, so that what lies inside follows */
	if (order)
		return order;
	if (x->bits != y->bits)
		return (int)x->bits - (int)y->bits;
	/* an operator's word stands in front of a detector's on the same prefix */
	return (int)y->by_operator - (int)x->by_operator;
}

/* May this verdict leave as a block of an address? */
static bool is_eligible(const struct fg_store *s, const struct fg_verdict *v, uint64_t now_ns)
{
	if (v->stem || fg_store_allowed(s, v->addr, v->bits, now_ns))
		return false;
	return v->origin == FG_ORIGIN_OPERATOR || (v->proven && !v->shared);
}

static void put(struct fg_export_set *set, const struct fg_verdict *v)
{
	struct fg_export_item *item = &set->items[set->n++];

	memcpy(item->addr, v->addr, sizeof(item->addr));
	item->bits = v->bits;
	item->until_ns = v->until_ns;
	item->by_operator = v->origin == FG_ORIGIN_OPERATOR;
	snprintf(item->reason, sizeof(item->reason), "%s",
		 item->by_operator ? (v->reason[0] ? v->reason : "operator") :
		 v->n_evidence	   ? v->evidence[0].name :
				     "farmgate");
}

/* Sorts; of an item and one inside it, the wider stays, with the later end where they are equal. */
static void drop_contained(struct fg_export_set *set)
{
	/* of each family: IPv4 lies amid IPv6 in this order, but inside no IPv6 prefix */
	struct fg_export_item *last_of[2] = { NULL, NULL };
	size_t kept = 0;

	if (set->n)
		qsort(set->items, set->n, sizeof(*set->items), by_address);
	for (size_t i = 0; i < set->n; i++) {
		struct fg_export_item *item = &set->items[i];
		bool is4 = item->bits >= 96 && fg_ip_is4(item->addr);
		struct fg_export_item *last = last_of[is4];

		if (!last || !fg_ip_contains(last->addr, last->bits, item->addr, item->bits)) {
			last_of[is4] = &set->items[kept++];
			*last_of[is4] = *item;
			continue;
		}
		if (last->bits == item->bits && item->until_ns > last->until_ns)
			last->until_ns = item->until_ns;
	}
	set->n = kept;
}

int fg_export_select(const struct fg_store *s, enum fg_tier min_tier, uint64_t now_ns,
		     struct fg_export_set *ret_set)
{
	size_t n = fg_store_n(s), n_auto = 0;
	const struct fg_verdict **automatic = calloc(n + 1, sizeof(*automatic));
	struct fg_export_set set = { .items = calloc(n + 1, sizeof(*set.items)) };

	if (!automatic || !set.items) {
		free(automatic);
		free(set.items);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct fg_verdict *v = fg_store_at(s, i);

		if (v->tier < min_tier || v->until_ns <= now_ns)
			continue;
		if (!is_eligible(s, v, now_ns))
			set.withheld++;
		else if (v->origin == FG_ORIGIN_OPERATOR)
			put(&set, v);
		else
			automatic[n_auto++] = v;
	}
	qsort(automatic, n_auto, sizeof(*automatic), by_score);
	for (size_t i = 0; i < n_auto && i < FG_EXPORT_CAP; i++)
		put(&set, automatic[i]);
	if (n_auto > FG_EXPORT_CAP)
		set.withheld += n_auto - FG_EXPORT_CAP;
	free(automatic);
	drop_contained(&set);
	*ret_set = set;
	return 0;
}

void fg_export_set_done(struct fg_export_set *set)
{
	free(set->items);
	*set = (struct fg_export_set){ 0 };
}
