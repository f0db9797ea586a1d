/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/prefixes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"

struct row {
	uint8_t addr[16];
	uint32_t tag;
	uint8_t bits;
};
_Static_assert(sizeof(struct row) == 24, "row");

/* IPv4 lies amid IPv6 in our storage, but is inside no IPv6 prefix: each family has its own. */
struct list {
	struct row *rows;
	size_t n, capacity;
};

struct fg_prefixes {
	struct list of[2]; /* IPv6, IPv4 */
};

int fg_prefixes_new(struct fg_prefixes **ret_prefixes)
{
	*ret_prefixes = calloc(1, sizeof(**ret_prefixes));
	return *ret_prefixes ? 0 : -ENOMEM;
}

void fg_prefixes_free(struct fg_prefixes **prefixes)
{
	if (!*prefixes)
		return;
	free((*prefixes)->of[0].rows);
	free((*prefixes)->of[1].rows);
	free(*prefixes);
	*prefixes = NULL;
}

static bool is4(const uint8_t addr[16], uint8_t bits)
{
	return bits >= 96 && fg_ip_is4(addr);
}

int fg_prefixes_add(struct fg_prefixes *p, const uint8_t addr[16], uint8_t bits, uint32_t tag)
{
	struct list *l = &p->of[is4(addr, bits)];
	struct row row = { .tag = tag, .bits = bits };

	if (bits > 128)
		return -EINVAL;
	memcpy(row.addr, addr, 16);
	fg_ip_mask(row.addr, bits);
	if (memcmp(row.addr, addr, 16))
		return -EINVAL;
	if (l->n == l->capacity) {
		size_t capacity = l->capacity ? 2 * l->capacity : 64;
		struct row *rows = reallocarray(l->rows, capacity, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		l->rows = rows;
		l->capacity = capacity;
	}
	l->rows[l->n++] = row;
	return 0;
}

/* The wider first, so that what lies inside follows; of equal ones the smaller tag. */
static int by_address(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->bits != y->bits)
		return (int)x->bits - (int)y->bits;
	return x->tag < y->tag ? -1 : x->tag > y->tag;
}

static void seal(struct list *l)
{
	struct row *shrunk;
	size_t kept = 0;

	if (!l->n)
		return;
	qsort(l->rows, l->n, sizeof(*l->rows), by_address);
	for (size_t i = 0; i < l->n; i++) {
		const struct row *last = kept ? &l->rows[kept - 1] : NULL, *row = &l->rows[i];

		if (!last || !fg_ip_contains(last->addr, last->bits, row->addr, row->bits))
			l->rows[kept++] = *row;
	}
	l->n = kept;
	/* where it cannot shrink it stays as it is */
	shrunk = reallocarray(l->rows, kept, sizeof(*shrunk));
	if (shrunk) {
		l->rows = shrunk;
		l->capacity = kept;
	}
}

void fg_prefixes_seal(struct fg_prefixes *p)
{
	seal(&p->of[0]);
	seal(&p->of[1]);
}

bool fg_prefixes_meet(const struct fg_prefixes *p, const uint8_t addr[16], uint8_t bits,
		      uint32_t *ret_tag)
{
	const struct list *l = &p->of[is4(addr, bits)];
	const struct row *hit = NULL;
	size_t lo = 0, hi = l->n;

	/* the number of rows that begin at or before the address */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (memcmp(l->rows[mid].addr, addr, 16) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* none lies inside another: only the last of these can hold it, only the next lie in it */
	if (lo && fg_ip_contains(l->rows[lo - 1].addr, l->rows[lo - 1].bits, addr, bits))
		hit = &l->rows[lo - 1];
	else if (lo && fg_ip_contains(addr, bits, l->rows[lo - 1].addr, l->rows[lo - 1].bits))
		hit = &l->rows[lo - 1];
	else if (lo < l->n && fg_ip_contains(addr, bits, l->rows[lo].addr, l->rows[lo].bits))
		hit = &l->rows[lo];
	if (hit && ret_tag)
		*ret_tag = hit->tag;
	return hit != NULL;
}

size_t fg_prefixes_n(const struct fg_prefixes *p)
{
	return p->of[0].n + p->of[1].n;
}

size_t fg_prefixes_bytes(const struct fg_prefixes *p)
{
	return sizeof(*p) + (p->of[0].capacity + p->of[1].capacity) * sizeof(struct row);
}
