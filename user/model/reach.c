/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/reach.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/hll.h"
#include "lib/ip.h"
#include "lib/splitmix.h"

/* Marks what is a prefix, so that none is taken for an ASN. */
#define IS_V4 (1ULL << 62)
#define IS_V6 (1ULL << 63)

struct row {
	struct fg_hll sets[2][_FG_REACH_MAX]; /* this generation, the one before */
	uint32_t mix[2][FG_REACH_MIX]; /* clients and days */
};

struct fg_reach {
	uint64_t seed; /* secret: who knew it could choose addresses that count for thousands */
	uint32_t n, generation;
	uint64_t left, refused;
	struct row rows[];
};

int fg_reach_new(uint32_t rows, struct fg_reach **ret_reach)
{
	struct fg_reach *r = calloc(1, sizeof(*r) + rows * sizeof(r->rows[0]));

	if (!r)
		return -ENOMEM;
	if (getrandom(&r->seed, sizeof(r->seed), 0) != (ssize_t)sizeof(r->seed))
		r->seed = (uint64_t)(uintptr_t)r;
	r->n = rows;
	r->left = FG_REACH_BYTES;
	*ret_reach = r;
	return 0;
}

static void forget(struct fg_reach *r, struct row *row, int generation)
{
	for (int i = 0; i < _FG_REACH_MAX; i++)
		fg_hll_clear(&row->sets[generation][i], &r->left);
	memset(row->mix[generation], 0, sizeof(row->mix[generation]));
}

void fg_reach_clear(struct fg_reach *r, uint32_t row)
{
	forget(r, &r->rows[row], 0);
	forget(r, &r->rows[row], 1);
}

void fg_reach_free(struct fg_reach **reach)
{
	struct fg_reach *r = *reach;

	if (!r)
		return;
	for (uint32_t i = 0; i < r->n; i++)
		fg_reach_clear(r, i);
	free(r);
	*reach = NULL;
}

/* A clock that was set back begins no generation. */
void fg_reach_begin(struct fg_reach *r, uint32_t day)
{
	uint32_t generation = day / FG_REACH_DAYS;
	bool next = generation == r->generation + 1;

	if (generation <= r->generation)
		return;
	for (uint32_t i = 0; i < r->n; i++) {
		struct row *row = &r->rows[i];

		forget(r, row, 1);
		if (next) {
			memcpy(row->sets[1], row->sets[0], sizeof(row->sets[1]));
			memcpy(row->mix[1], row->mix[0], sizeof(row->mix[1]));
			memset(row->sets[0], 0, sizeof(row->sets[0]));
		}
		forget(r, row, 0);
	}
	r->generation = generation;
}

/* --- Counting --------------------------------------------------------------------------------- */

static uint64_t hash(const struct fg_reach *r, uint64_t a, uint64_t b)
{
	return fg_mix64(fg_mix64(r->seed ^ a) + b * 0x9e3779b97f4a7c15ULL + r->seed);
}

uint64_t fg_reach_network(const uint8_t a[16], uint32_t asn)
{
	if (asn)
		return asn;
	if (fg_ip_is4(a))
		return IS_V4 | (uint64_t)a[12] << 8 | a[13];
	return IS_V6 | (uint64_t)a[0] << 24 | (uint64_t)a[1] << 16 | (uint64_t)a[2] << 8 | a[3];
}

static void count(struct fg_reach *r, struct row *row, enum fg_reach_set set, uint64_t h)
{
	r->refused += fg_hll_add(&row->sets[0][set], h, &r->left) != 0;
}

void fg_reach_add(struct fg_reach *r, uint32_t at, const uint8_t addr[16], uint64_t network,
		  const char country[2], bool learn)
{
	struct row *row = &r->rows[at];
	uint64_t high, low, h = hash(r, network, 1);

	memcpy(&high, addr, sizeof(high));
	memcpy(&low, addr + 8, sizeof(low));
	count(r, row, FG_REACH_SOURCES, hash(r, high, low));
	count(r, row, FG_REACH_NETWORKS, h);
	if (country[0])
		count(r, row, FG_REACH_COUNTRIES,
		      hash(r, (uint64_t)(uint8_t)country[0] << 8 | (uint8_t)country[1], 2));
	if (learn)
		row->mix[0][h >> 58] += row->mix[0][h >> 58] < UINT32_MAX;
}

struct fg_reach_counts fg_reach_counts(const struct fg_reach *r, uint32_t at)
{
	const struct row *row = &r->rows[at];
	struct fg_reach_counts c;

	for (int i = 0; i < _FG_REACH_MAX; i++)
		c.n[i] = fg_hll_count_both(&row->sets[0][i], &row->sets[1][i]);
	return c;
}

/* --- Mixes ------------------------------------------------------------------------------------ */

_Static_assert(FG_REACH_MIX == 64, "the bin is the hash's high six bits");

static double shares(const struct row *row, double ret[FG_REACH_MIX])
{
	double sum = 0;

	for (int i = 0; i < FG_REACH_MIX; i++) {
		ret[i] = (double)row->mix[0][i] + row->mix[1][i];
		sum += ret[i];
	}
	for (int i = 0; i < FG_REACH_MIX && sum > 0; i++)
		ret[i] /= sum;
	return sum;
}

static double part(double p, double q)
{
	return p > 0 ? 0.5 * p * log(2 * p / (p + q)) : 0;
}

/* Sources that a mix rests on: a client is in it once a day, and is one. */
static double sources_of(const struct row *row, double client_days)
{
	double n =
		fg_hll_count_both(&row->sets[0][FG_REACH_SOURCES], &row->sets[1][FG_REACH_SOURCES]);

	return fmin(n, client_days);
}

double fg_reach_unlike(const struct fg_reach *r, uint32_t a, uint32_t b)
{
	double p[FG_REACH_MIX], q[FG_REACH_MIX], sum = 0;
	double n = sources_of(&r->rows[a], shares(&r->rows[a], p));
	double m = sources_of(&r->rows[b], shares(&r->rows[b], q));
	int bins = 0;

	if (n < FG_REACH_MIX_LEAST || m < FG_REACH_MIX_LEAST)
		return 0;
	for (int i = 0; i < FG_REACH_MIX; i++) {
		sum += part(p[i], q[i]) + part(q[i], p[i]);
		bins += p[i] + q[i] > 0;
	}
	return fmax(0, sum - (bins - 1) / 8.0 * (1 / n + 1 / m));
}

uint64_t fg_reach_refused(const struct fg_reach *r)
{
	return r->refused;
}

uint64_t fg_reach_bytes(const struct fg_reach *r)
{
	return sizeof(*r) + r->n * sizeof(r->rows[0]) + FG_REACH_BYTES - r->left;
}

/* --- Kept over a restart ---------------------------------------------------------------------- */

struct head {
	uint64_t seed;
	uint32_t n, generation;
};

static size_t row_size(const struct row *row)
{
	size_t n = sizeof(row->mix);

	for (int g = 0; g < 2; g++)
		for (int i = 0; i < _FG_REACH_MAX; i++)
			n += 12 + fg_hll_bytes(&row->sets[g][i]);
	return n;
}

int fg_reach_save(const struct fg_reach *r, uint32_t n, void **ret_bytes, size_t *ret_n)
{
	const struct head head = { r->seed, n, r->generation };
	size_t size = sizeof(head);
	uint8_t *bytes, *at;

	for (uint32_t i = 0; i < n; i++)
		size += row_size(&r->rows[i]);
	bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, &head, sizeof(head));
	at = bytes + sizeof(head);
	for (uint32_t i = 0; i < n; i++) {
		const struct row *row = &r->rows[i];

		memcpy(at, row->mix, sizeof(row->mix));
		at += sizeof(row->mix);
		for (int k = 0; k < 2 * _FG_REACH_MAX; k++)
			at += fg_hll_save(&row->sets[k / _FG_REACH_MAX][k % _FG_REACH_MAX], at);
	}
	*ret_bytes = bytes;
	*ret_n = (size_t)(at - bytes);
	return 0;
}

/* Bytes that a row had; 0 where it is none. */
static size_t load_row(struct fg_reach *r, struct row *row, const uint8_t *bytes, size_t n,
		       int *error)
{
	size_t at = sizeof(row->mix), used = 0;

	if (n < sizeof(row->mix)) {
		*error = -EBADMSG;
		return 0;
	}
	memcpy(row->mix, bytes, sizeof(row->mix));
	for (int k = 0; k < 2 * _FG_REACH_MAX; k++) {
		struct fg_hll *set = &row->sets[k / _FG_REACH_MAX][k % _FG_REACH_MAX];

		*error = fg_hll_load(set, bytes + at, n - at, &r->left, &used);
		r->refused += *error == -ENOSPC;
		if (*error && *error != -ENOSPC)
			return 0;
		*error = 0;
		at += used;
	}
	return at;
}

int fg_reach_load(struct fg_reach *r, const void *bytes, size_t n)
{
	const uint8_t *at = bytes, *end = at + n;
	struct head head = { .n = UINT32_MAX };
	int error = 0;

	if (n >= sizeof(head))
		memcpy(&head, bytes, sizeof(head));
	if (head.n > r->n)
		return -EBADMSG;
	at += sizeof(head);
	for (uint32_t i = 0; i < head.n && !error; i++)
		at += load_row(r, &r->rows[i], at, (size_t)(end - at), &error);
	if (!error && at != end)
		error = -EBADMSG;
	for (uint32_t i = 0; i < head.n && error; i++)
		fg_reach_clear(r, i);
	if (error)
		return error;
	r->seed = head.seed;
	r->generation = head.generation;
	return 0;
}
