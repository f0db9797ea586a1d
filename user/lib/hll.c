/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An entry of the sparse form is index << 6 | rank, with the 25 low bits of the hash as index and the
 * rank (1 to 40) of the 39 above. Entries are sorted by index, each index once.
 */
#include "lib/hll.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define REGISTERS    (1U << FG_HLL_BITS)
#define Q	     (64 - FG_HLL_BITS) /* ranks are 0 .. Q + 1 */
#define SPARSE_BITS  25
#define SPARSE_RANKS (64 - SPARSE_BITS + 1)
#define FIRST_CAP    8U
#define MAGIC	     0x314c4c48U /* "HLL1" */
#define DENSE	     UINT32_MAX /* in place of a length */
#define HEAD	     12U

static bool is_dense(const struct fg_hll *h)
{
	return h->at && !h->cap;
}

size_t fg_hll_bytes(const struct fg_hll *h)
{
	return is_dense(h) ? FG_HLL_BYTES : h->cap * sizeof(uint32_t);
}

/* --- Entries and registers -------------------------------------------------------------------- */

static uint32_t entry_of(uint64_t hash)
{
	uint32_t index = (uint32_t)hash & ((1U << SPARSE_BITS) - 1);
	uint64_t rest = hash >> SPARSE_BITS;
	uint32_t rank = rest ? (uint32_t)__builtin_ctzll(rest) + 1 : SPARSE_RANKS;

	return index << 6 | rank;
}

static uint32_t register_of(uint32_t entry, uint8_t *ret_rank)
{
	uint32_t index = entry >> 6, high = index >> FG_HLL_BITS;

	*ret_rank = (uint8_t)(high ? (uint32_t)__builtin_ctz(high) + 1 :
				     SPARSE_BITS - FG_HLL_BITS + (entry & 63));
	return index & (REGISTERS - 1);
}

static uint8_t get(const uint8_t *r, uint32_t i)
{
	uint32_t bit = i * 6, low = bit % 8;
	uint32_t v = r[bit / 8];

	if (low > 2)
		v |= (uint32_t)r[bit / 8 + 1] << 8;
	return v >> low & 63;
}

static void set(uint8_t *r, uint32_t i, uint8_t rank)
{
	uint32_t bit = i * 6, low = bit % 8;

	r[bit / 8] = (uint8_t)((r[bit / 8] & ~(63U << low)) | (uint32_t)rank << low);
	if (low > 2)
		r[bit / 8 + 1] = (uint8_t)((r[bit / 8 + 1] & ~(63U >> (8 - low))) |
					   (uint32_t)rank >> (8 - low));
}

static void raise_to(uint8_t *r, uint32_t i, uint8_t rank)
{
	if (get(r, i) < rank)
		set(r, i, rank);
}

/* --- Room ------------------------------------------------------------------------------------- */

static int take(uint64_t *left, size_t n)
{
	if (!left)
		return 0;
	if (*left < n)
		return -ENOSPC;
	*left -= n;
	return 0;
}

static void give(uint64_t *left, size_t n)
{
	if (left)
		*left += n;
}

void fg_hll_clear(struct fg_hll *h, uint64_t *left)
{
	give(left, fg_hll_bytes(h));
	free(h->at);
	*h = (struct fg_hll){ 0 };
}

static int to_dense(struct fg_hll *h, uint64_t *left)
{
	const size_t had = fg_hll_bytes(h);
	const uint32_t *entries = h->at;
	uint8_t *registers;
	int r = take(left, FG_HLL_BYTES);

	if (r)
		return r;
	registers = calloc(1, FG_HLL_BYTES);
	if (!registers) {
		give(left, FG_HLL_BYTES);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < h->n; i++) {
		uint8_t rank;
		uint32_t at = register_of(entries[i], &rank);

		raise_to(registers, at, rank);
	}
	give(left, had);
	free(h->at);
	*h = (struct fg_hll){ .at = registers };
	return 0;
}

static int grow(struct fg_hll *h, uint64_t *left)
{
	uint32_t cap = h->cap ? h->cap * 2U : FIRST_CAP;
	void *larger;
	int r;

	if (h->n == FG_HLL_SPARSE)
		return to_dense(h, left);
	cap = cap < FG_HLL_SPARSE ? cap : FG_HLL_SPARSE;
	r = take(left, (cap - h->cap) * sizeof(uint32_t));
	if (r)
		return r;
	larger = realloc(h->at, cap * sizeof(uint32_t));
	if (!larger) {
		give(left, (cap - h->cap) * sizeof(uint32_t));
		return -ENOMEM;
	}
	h->at = larger;
	h->cap = (uint16_t)cap;
	return 0;
}

/* --- All registers at once -------------------------------------------------------------------- */

static void max_of(uint8_t *rank, uint32_t other)
{
	*rank = *rank > other ? *rank : (uint8_t)other;
}

/* Raises ranks to those of a sketch; four registers are three bytes. */
static void unpack(const struct fg_hll *h, uint8_t ranks[REGISTERS])
{
	const uint32_t *entries = h->at;
	const uint8_t *r = h->at;

	for (uint32_t i = 0; !is_dense(h) && i < h->n; i++) {
		uint8_t rank;
		uint32_t at = register_of(entries[i], &rank);

		max_of(&ranks[at], rank);
	}
	for (uint32_t i = 0; is_dense(h) && i < REGISTERS; i += 4, r += 3) {
		uint32_t v = r[0] | (uint32_t)r[1] << 8 | (uint32_t)r[2] << 16;

		for (uint32_t k = 0; k < 4; k++)
			max_of(&ranks[i + k], v >> 6 * k & 63);
	}
}

static void pack(const uint8_t ranks[REGISTERS], uint8_t *r)
{
	for (uint32_t i = 0; i < REGISTERS; i += 4, r += 3) {
		uint32_t v = ranks[i] | (uint32_t)ranks[i + 1] << 6 | (uint32_t)ranks[i + 2] << 12 |
			     (uint32_t)ranks[i + 3] << 18;

		r[0] = (uint8_t)v;
		r[1] = (uint8_t)(v >> 8);
		r[2] = (uint8_t)(v >> 16);
	}
}

/* --- Adding ----------------------------------------------------------------------------------- */

/* The first entry whose index is not below that of this one. */
static uint32_t find(const uint32_t *entries, uint32_t n, uint32_t entry)
{
	uint32_t low = 0;

	while (n > 0) {
		uint32_t half = n / 2;

		if (entries[low + half] >> 6 < entry >> 6) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low;
}

static int add_entry(struct fg_hll *h, uint32_t entry, uint64_t *left)
{
	uint32_t *entries = h->at, at = 0;
	uint8_t rank;

	if (!is_dense(h)) {
		at = find(entries, h->n, entry);
		if (at < h->n && entries[at] >> 6 == entry >> 6) {
			entries[at] = entries[at] > entry ? entries[at] : entry;
			return 0;
		}
		if (h->n == h->cap) {
			int r = grow(h, left);

			if (r)
				return r;
		}
	}
	if (is_dense(h)) {
		at = register_of(entry, &rank);
		raise_to(h->at, at, rank);
		return 0;
	}
	entries = h->at;
	memmove(entries + at + 1, entries + at, (h->n - at) * sizeof(*entries));
	entries[at] = entry;
	h->n++;
	return 0;
}

int fg_hll_add(struct fg_hll *h, uint64_t hash, uint64_t *left)
{
	return add_entry(h, entry_of(hash), left);
}

int fg_hll_merge(struct fg_hll *to, const struct fg_hll *from, uint64_t *left)
{
	uint8_t ranks[REGISTERS] = { 0 };
	const uint32_t *entries = from->at;
	int r = 0;

	if (!is_dense(from)) {
		for (uint32_t i = 0; i < from->n && !r; i++)
			r = add_entry(to, entries[i], left);
		return r;
	}
	if (!is_dense(to))
		r = to_dense(to, left);
	if (r)
		return r;
	unpack(to, ranks);
	unpack(from, ranks);
	pack(ranks, to->at);
	return 0;
}

/* --- Counting --------------------------------------------------------------------------------- */

/* x + sum of x^(2^k) 2^(k-1): Ertl's (12), and its infinity where all registers are empty. */
static double sigma(double x)
{
	double y = 1, z = x, before;

	if (x == 1)
		return INFINITY;
	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z != before);
	return z;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 2^-k) / 3: Ertl's (13), for full registers. */
static double tau(double x)
{
	double y = 1, z = 1 - x, before;

	if (x == 0 || x == 1)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z != before);
	return z / 3;
}

/* Of how many registers have each rank. */
static double estimate(const uint32_t of_rank[Q + 2])
{
	const double m = REGISTERS;
	double z = m * tau(1 - of_rank[Q + 1] / m);

	for (int k = Q; k >= 1; k--)
		z = 0.5 * (z + of_rank[k]);
	z += m * sigma(of_rank[0] / m);
	return m * m / (2 * M_LN2 * z);
}

/* Linear counting over 2^25 places. */
static double count_entries(uint32_t n)
{
	const double places = 1U << SPARSE_BITS;

	return -places * log1p(-(double)n / places);
}

static uint32_t entries_of_both(const struct fg_hll *a, const struct fg_hll *b)
{
	const uint32_t *x = a->at, *y = b->at;
	uint32_t i = 0, k = 0, n = 0;

	for (; i < a->n && k < b->n; n++) {
		uint32_t xi = x[i] >> 6, yk = y[k] >> 6;

		i += xi <= yk;
		k += yk <= xi;
	}
	return n + (a->n - i) + (b->n - k);
}

double fg_hll_count_both(const struct fg_hll *a, const struct fg_hll *b)
{
	uint8_t ranks[REGISTERS] = { 0 };
	uint32_t of_rank[64] = { 0 };

	if (!is_dense(a) && !is_dense(b))
		return count_entries(entries_of_both(a, b));
	unpack(a, ranks);
	unpack(b, ranks);
	for (uint32_t i = 0; i < REGISTERS; i++)
		of_rank[ranks[i]]++;
	return estimate(of_rank);
}

double fg_hll_count(const struct fg_hll *h)
{
	const struct fg_hll none = { 0 };

	return fg_hll_count_both(h, &none);
}

/* --- Kept ------------------------------------------------------------------------------------- */

static void put32(uint8_t *out, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get32(const uint8_t *in)
{
	return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

/* Of the length and what follows the checksum. */
static uint32_t checksum(const uint8_t *head, size_t n)
{
	uLong crc = crc32(0, head + 4, 4);

	return (uint32_t)crc32(crc, head + HEAD, (uInt)n);
}

size_t fg_hll_save(const struct fg_hll *h, uint8_t *out)
{
	const uint32_t *entries = h->at;
	size_t n = is_dense(h) ? FG_HLL_BYTES : h->n * sizeof(uint32_t);

	put32(out, MAGIC);
	put32(out + 4, is_dense(h) ? DENSE : h->n);
	if (is_dense(h))
		memcpy(out + HEAD, h->at, FG_HLL_BYTES);
	for (uint32_t i = 0; !is_dense(h) && i < h->n; i++)
		put32(out + HEAD + 4 * i, entries[i]);
	put32(out + 8, checksum(out, n));
	return HEAD + n;
}

static bool entry_can_be(uint32_t entry)
{
	return entry >> 6 < 1U << SPARSE_BITS && (entry & 63) >= 1 && (entry & 63) <= SPARSE_RANKS;
}

static int load_sparse(struct fg_hll *h, const uint8_t *bytes, uint32_t n, uint64_t *left)
{
	uint32_t before = 0;
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++) {
		uint32_t entry = get32(bytes + 4 * i);

		if (!entry_can_be(entry) || (i && entry >> 6 <= before >> 6))
			r = -EBADMSG;
		else
			r = add_entry(h, entry, left);
		before = entry;
	}
	return r;
}

static int load_dense(struct fg_hll *h, const uint8_t *bytes, uint64_t *left)
{
	for (uint32_t i = 0; i < REGISTERS; i++)
		if (get(bytes, i) > Q + 1)
			return -EBADMSG;
	if (to_dense(h, left))
		return left && *left < FG_HLL_BYTES ? -ENOSPC : -ENOMEM;
	memcpy(h->at, bytes, FG_HLL_BYTES);
	return 0;
}

int fg_hll_load(struct fg_hll *h, const uint8_t *bytes, size_t n, uint64_t *left, size_t *ret_used)
{
	uint32_t length;
	size_t body;
	int r;

	if (n < HEAD || get32(bytes) != MAGIC)
		return -EBADMSG;
	length = get32(bytes + 4);
	if (length != DENSE && length > FG_HLL_SPARSE)
		return -EBADMSG;
	body = length == DENSE ? FG_HLL_BYTES : length * sizeof(uint32_t);
	if (n - HEAD < body || get32(bytes + 8) != checksum(bytes, body))
		return -EBADMSG;
	r = length == DENSE ? load_dense(h, bytes + HEAD, left) :
			      load_sparse(h, bytes + HEAD, length, left);
	if (r)
		fg_hll_clear(h, left);
	*ret_used = HEAD + body;
	return r;
}
