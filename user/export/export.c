/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What may leave of a plan, once, for all targets. Must not write, and must not widen: an item is a
 * verdict's own prefix.
 */
#include "export/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"

static int by_address(const void *a, const void *b)
{
	const struct fg_export_item *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	/* the wider first, so that what lies inside follows */
	if (order)
		return order;
	if (x->bits != y->bits)
		return (int)x->bits - (int)y->bits;
	/* an operator's word stands in front of a detector's on the same prefix, and one on the whole
	 * source in front of one on a client */
	if (x->by_operator != y->by_operator)
		return (int)y->by_operator - (int)x->by_operator;
	if (x->of_clients != y->of_clients)
		return (int)x->of_clients - (int)y->of_clients;
	return x->verdict < y->verdict ? -1 : x->verdict > y->verdict;
}

/* Cut where it is too long; `to` was zeroed. */
static void copy_text(char *to, size_t n, const char *from)
{
	memcpy(to, from, strnlen(from, n - 1));
}

/* An address; of a client's verdict only for who knows no clients. */
static void put(struct fg_export_set *set, const struct fg_verdict *v)
{
	struct fg_export_item *item = &set->items[set->n++];

	memcpy(item->addr, v->addr, sizeof(item->addr));
	item->bits = v->bits;
	item->until_ns = v->until_ns;
	item->of_clients = v->stem != 0;
	item->verdict = v->id;
	item->cohort = v->cohort;
	item->by_operator = v->origin == FG_ORIGIN_OPERATOR;
	item->tier = v->tier;
	item->score = v->score;
	item->first_ns = v->first_ns;
	item->updated_ns = v->updated_ns;
	copy_text(item->ja4, sizeof(item->ja4), v->ja4);
	copy_text(item->reason, sizeof(item->reason),
		  item->by_operator ? (v->reason[0] ? v->reason : "operator") :
		  v->n_evidence	    ? v->evidence[0].name :
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

/* Of two on one prefix each consumer has the later of the ends that are for it. */
static void join(struct fg_export_item *to, const struct fg_export_item *from)
{
	uint64_t a = fg_export_whole_until(to), b = fg_export_whole_until(from);
	uint64_t whole = a > b ? a : b;

	if (from->until_ns > to->until_ns) {
		to->until_ns = from->until_ns;
		/* that, too, is a change of what is exported */
		if (from->updated_ns > to->updated_ns)
			to->updated_ns = from->updated_ns;
	}
	to->of_clients = !whole;
	to->whole_until_ns = whole < to->until_ns ? whole : 0;
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
		if (last->bits == item->bits)
			join(last, item);
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

static struct fg_export_set *new_set(size_t n)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	atomic_init(&set->refs, 1);
	set->items = calloc(n + 1, sizeof(*set->items));
	set->clients = calloc(n + 1, sizeof(*set->clients));
	if (!set->items || !set->clients)
		fg_export_set_unref(&set);
	return set;
}

int fg_export_select(const struct fg_store *s, const struct fg_plan *plan,
		     struct fg_export_set **ret_set)
{
	struct fg_export_set *set;

	if (fg_store_revision(s) != plan->store_revision)
		return -ESTALE;
	set = new_set(plan->n);
	if (!set)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++) {
		const struct fg_plan_entry *e = &plan->entries[i];
		const struct fg_verdict *v = fg_plan_verdict(plan, s, e);

		if (!fg_plan_leaves(e)) {
			set->withheld++;
			continue;
		}
		if (e->guarded.scope == FG_SCOPE_CLIENT)
			put_client(set, v);
		if (e->guarded.address_held == FG_GUARD_none)
			put(set, v);
	}
	drop_contained(set);
	drop_repeated(set);
	*ret_set = set;
	return 0;
}

bool fg_export_equal(const struct fg_export_set *a, const struct fg_export_set *b)
{
	/* both were zeroed before they were filled, so that holes between fields are equal too */
	return a->n == b->n && a->n_clients == b->n_clients && a->withheld == b->withheld &&
	       !memcmp(a->items, b->items, a->n * sizeof(*a->items)) &&
	       !memcmp(a->clients, b->clients, a->n_clients * sizeof(*a->clients));
}

size_t fg_export_count_up_to(const struct fg_export_set *set, const uint8_t addr[16])
{
	size_t lo = 0, hi = set->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (memcmp(set->items[mid].addr, addr, 16) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
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
