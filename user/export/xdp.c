/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "export/xdp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"

struct entry {
	uint8_t addr[16];
	uint64_t stem, stack; /* stem 0 = the whole source */
	uint64_t until_ns;
};

struct fg_xdp {
	struct fg_sensor *sensor;
	struct entry *in_kernel; /* sorted */
	size_t n;
	uint64_t unexportable;
};

void fg_xdp_free(struct fg_xdp **xdp)
{
	if (!*xdp)
		return;
	free((*xdp)->in_kernel);
	free(*xdp);
	*xdp = NULL;
}

uint64_t fg_xdp_unexportable(const struct fg_xdp *xdp)
{
	return xdp->unexportable;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return 0;
}

struct listing {
	struct entry *entries;
	size_t n, cap;
	bool full; /* of memory */
};

/* Its end is told in ticks, the state's in time: 0 is neither, so what is wanted is written again. */
static void note_block(void *arg, const struct fg_sensor_block *block)
{
	struct listing *l = arg;
	struct entry *larger;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;

		larger = reallocarray(l->entries, cap, sizeof(*larger));
		if (!larger) {
			l->full = true;
			return;
		}
		l->entries = larger;
		l->cap = cap;
	}
	l->entries[l->n] = (struct entry){ .stem = block->stem, .stack = block->stack };
	memcpy(l->entries[l->n++].addr, block->addr, 16);
}

/* What an agent before this one left there: kept or removed by the first fg_xdp_apply(). */
static int load_held(struct fg_xdp *x)
{
	struct listing l = { 0 };
	int r = fg_sensor_each_block(x->sensor, note_block, &l);

	x->in_kernel = l.entries;
	x->n = l.n;
	if (l.n)
		qsort(l.entries, l.n, sizeof(*l.entries), by_key);
	return l.full ? -ENOMEM : r;
}

int fg_xdp_new(struct fg_sensor *sensor, struct fg_xdp **ret_xdp)
{
	struct fg_xdp *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return -ENOMEM;
	x->sensor = sensor;
	r = load_held(x);
	if (r) {
		fg_xdp_free(&x);
		return r;
	}
	*ret_xdp = x;
	return 0;
}

/* Is it one IPv4 address or one IPv6 /64, the only keys that the drop maps know? */
static bool is_source(const uint8_t addr[16], uint8_t bits)
{
	return bits == (fg_ip_is4(addr) ? 128 : 64);
}

/* What the kernel should hold, sorted. */
static int wanted(struct fg_xdp *x, const struct fg_export_set *set, struct entry **ret_entries,
		  size_t *ret_n)
{
	struct entry *e = calloc(set->n + set->n_clients + 1, sizeof(*e));
	size_t n = 0;

	if (!e)
		return -ENOMEM;
	x->unexportable = 0;
	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];

		/* clients are told apart here: their own blocks are enough */
		if (!fg_export_whole_until(item))
			continue;
		if (!is_source(item->addr, item->bits)) {
			x->unexportable++;
			continue;
		}
		memcpy(e[n].addr, item->addr, 16);
		e[n++].until_ns = fg_export_whole_until(item);
	}
	for (size_t i = 0; i < set->n_clients; i++) {
		const struct fg_export_client *c = &set->clients[i];

		memcpy(e[n].addr, c->addr, 16);
		e[n].stem = c->stem;
		e[n].stack = c->stack;
		e[n++].until_ns = c->until_ns;
	}
	qsort(e, n, sizeof(*e), by_key);
	*ret_entries = e;
	*ret_n = n;
	return 0;
}

static int put(struct fg_xdp *x, const struct entry *e, uint64_t now_ns, uint64_t now_ticks)
{
	uint64_t ticks = now_ticks + (e->until_ns - now_ns) / fg_sensor_tick_ns(x->sensor) + 1;

	if (e->stem)
		return fg_sensor_block_client(x->sensor, e->addr, e->stem, e->stack, ticks);
	return fg_sensor_block(x->sensor, e->addr, ticks);
}

static int drop(struct fg_xdp *x, const struct entry *e)
{
	int r = e->stem ? fg_sensor_unblock_client(x->sensor, e->addr, e->stem, e->stack) :
			  fg_sensor_unblock(x->sensor, e->addr);

	return r == -ENOENT ? 0 : r;
}

int fg_xdp_apply(struct fg_xdp *x, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	size_t n = 0, kept = 0, i = 0, j = 0;
	struct entry *e = NULL;
	int changes = 0, error, r;
	uint64_t ticks;

	error = fg_sensor_ticks(x->sensor, &ticks);
	if (!error)
		error = wanted(x, set, &e, &n);
	if (error) {
		snprintf(why, n_why, "drop map: %s", strerror(-error));
		return error;
	}
	while (i < x->n || j < n) {
		int order = i == x->n ? 1 : j == n ? -1 : by_key(&x->in_kernel[i], &e[j]);

		r = 0;
		if (order < 0) {
			r = drop(x, &x->in_kernel[i++]);
			changes += !r;
		} else {
			if (order > 0 || x->in_kernel[i].until_ns != e[j].until_ns) {
				r = put(x, &e[j], now_ns, ticks);
				changes += !r;
			}
			i += order == 0;
			/* what the kernel refused is tried again next time */
			if (!r)
				e[kept++] = e[j];
			j++;
		}
		if (r)
			error = r;
	}
	free(x->in_kernel);
	x->in_kernel = e;
	x->n = kept;
	if (error) {
		snprintf(why, n_why, "drop map: %s", strerror(-error));
		return error;
	}
	return changes;
}
