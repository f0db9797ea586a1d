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

/* May this verdict leave at all? */
static bool is_eligible(const struct fg_store *s, const struct fg_verdict *v, uint64_t now_ns)
{
	if (fg_store_allowed(s, v->addr, v->bits, now_ns))
		return false;
	return v->origin == FG_ORIGIN_OPERATOR || (v->proven && !v->shared);
}

static void put(struct fg_export_set *set, const struct fg_verdict *v)
{
	struct fg_export_item *item = &set->items[set->n++];

	memcpy(item->addr, v->addr, sizeof(item->addr));
	item->bits = v->bits;
	item->until_ns = v->until_ns;
	item->verdict = v->id;
	item->cohort = v->cohort;
	item->by_operator = v->origin == FG_ORIGIN_OPERATOR;
	item->tier = v->tier;
	item->score = v->score;
	item->first_ns = v->first_ns;
	item->updated_ns = v->updated_ns;
	snprintf(item->ja4, sizeof(item->ja4), "%s", v->ja4);
	snprintf(item->reason, sizeof(item->reason), "%s",
		 item->by_operator ? (v->reason[0] ? v->reason : "operator") :
		 v->n_evidence	   ? v->evidence[0].name :
				     "farmgate");
}

static void put_client(struct fg_export_set *set, const struct fg_verdict *v)
{
	struct fg_export_client *client = &set->clients[set->n_clients++];

	memcpy(client->addr, v->addr, sizeof(client->addr));
	client->stem = v->stem;
	client->stack = v->stack;
	client->until_ns = v->until_ns;
	client->verdict = v->id;
	client->by_operator = v->origin == FG_ORIGIN_OPERATOR;
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
		if (last->bits == item->bits && item->until_ns > last->until_ns) {
			last->until_ns = item->until_ns;
			/* that, too, is a change of what is exported */
			if (item->updated_ns > last->updated_ns)
				last->updated_ns = item->updated_ns;
		}
	}
	set->n = kept;
}

static int by_client(const void *a, const void *b)
{
	const struct fg_export_client *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

/* Of blocks of one client the one that lasts longest. */
static void drop_repeated(struct fg_export_set *set)
{
	size_t kept = 0;

	if (set->n_clients)
		qsort(set->clients, set->n_clients, sizeof(*set->clients), by_client);
	for (size_t i = 0; i < set->n_clients; i++) {
		struct fg_export_client *c = &set->clients[i];

		if (!kept || by_client(&set->clients[kept - 1], c))
			set->clients[kept++] = *c;
		else if (c->until_ns > set->clients[kept - 1].until_ns)
			set->clients[kept - 1] = *c;
	}
	set->n_clients = kept;
}

static struct fg_export_set *new_set(size_t n, uint64_t revision)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	atomic_init(&set->refs, 1);
	set->revision = revision;
	set->items = calloc(n + 1, sizeof(*set->items));
	set->clients = calloc(n + 1, sizeof(*set->clients));
	if (!set->items || !set->clients)
		fg_export_set_unref(&set);
	return set;
}

int fg_export_select(const struct fg_store *s, enum fg_tier min_tier, uint64_t now_ns,
		     struct fg_export_set **ret_set)
{
	size_t n = fg_store_n(s), n_auto = 0;
	const struct fg_verdict **automatic = calloc(n + 1, sizeof(*automatic));
	struct fg_export_set *set = new_set(n, fg_store_revision(s));

	if (!automatic || !set) {
		free(automatic);
		fg_export_set_unref(&set);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct fg_verdict *v = fg_store_at(s, i);

		if (v->tier < min_tier || v->until_ns <= now_ns)
			continue;
		if (!is_eligible(s, v, now_ns))
			set->withheld++;
		else if (v->stem)
			put_client(set, v);
		else if (v->origin == FG_ORIGIN_OPERATOR)
			put(set, v);
		else
			automatic[n_auto++] = v;
	}
	qsort(automatic, n_auto, sizeof(*automatic), by_score);
	for (size_t i = 0; i < n_auto && i < FG_EXPORT_CAP; i++)
		put(set, automatic[i]);
	if (n_auto > FG_EXPORT_CAP)
		set->withheld += n_auto - FG_EXPORT_CAP;
	free(automatic);
	drop_contained(set);
	drop_repeated(set);
	*ret_set = set;
	return 0;
}

struct fg_export_set *fg_export_set_ref(struct fg_export_set *set)
{
	atomic_fetch_add(&set->refs, 1);
	return set;
}

void fg_export_set_unref(struct fg_export_set **set)
{
	struct fg_export_set *s = *set;

	*set = NULL;
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	free(s->items);
	free(s->clients);
	free(s);
}
