/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/lockstep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/thresholds.h"
#include "lib/betabin.h"
#include "lib/minhash.h"
#include "lib/splitmix.h"

#define DRAWS	     199
#define PAIRS	     10000
#define DRAWN	     2000 /* clients that the pairs are of */
#define TURN	     1 /* quarters */
#define BAR_DRAWS    20
#define BAR_PARTNERS 0.2
#define FORGET_DAYS  7
#define SLOTS	     65536U /* of what is remembered; three quarters of it may be full */
#define MIN_PARTNERS 50 /* clients without which pairs say nothing */

static uint32_t under(uint64_t *state, uint32_t n)
{
	return (uint32_t)((fg_splitmix(state) >> 32) * n >> 32);
}

/* --- Alike ------------------------------------------------------------------------------------ */

static unsigned int bits(const uint32_t q[3])
{
	return (unsigned int)(__builtin_popcountll((uint64_t)q[1] << 32 | q[0]) +
			      __builtin_popcountll(q[2]));
}

/* Jaccard index of two days, n and m being their quarters; turned days have as many as before. */
static double jaccard(const uint32_t a[3], unsigned int n, const uint32_t b[3], unsigned int m)
{
	const uint32_t both[3] = { a[0] & b[0], a[1] & b[1], a[2] & b[2] };
	unsigned int same = bits(both);

	return (double)same / (n + m - same);
}

/* A day that begins so many quarters later; what runs over midnight comes round. */
static void turn(const uint32_t in[3], unsigned int by, uint32_t ret[3])
{
	const unsigned __int128 all = ((unsigned __int128)1 << 96) - 1;
	unsigned __int128 v = (unsigned __int128)in[2] << 64 | (uint64_t)in[1] << 32 | in[0];

	v = (v << by | v >> (96 - by)) & all;
	ret[0] = (uint32_t)v;
	ret[1] = (uint32_t)(v >> 32);
	ret[2] = (uint32_t)(v >> 64);
}

/* The clients that can be in lockstep, by shape. */
struct eligible {
	const struct fg_step *steps;
	uint32_t *at; /* places in steps */
	uint8_t *quarters; /* how many each has */
	size_t n;
};

static int choose(const struct fg_step *s, size_t n, struct eligible *e)
{
	e->steps = s;
	e->at = malloc((n + 1) * sizeof(*e->at));
	e->quarters = calloc(n + 1, sizeof(*e->quarters));
	if (!e->at || !e->quarters)
		return -ENOMEM;
	for (unsigned int shape = 0; shape < 64; shape++) {
		for (size_t i = 0; i < n; i++) {
			unsigned int q = s[i].shape == shape ? bits(s[i].quarters) : 0;

			if (q < FG_LOCKSTEP_MIN_QUARTERS || q > FG_LOCKSTEP_MAX_QUARTERS)
				continue;
			e->quarters[i] = (uint8_t)q;
			e->at[e->n++] = (uint32_t)i;
		}
	}
	return 0;
}

/* --- Pairs, against chance -------------------------------------------------------------------- */

/* Clients drawn, their days, turned or not, and pairs of them. */
struct draw {
	uint32_t client[DRAWN];
	uint32_t quarters[DRAWN][3];
	uint16_t pair[PAIRS][2];
	size_t n, n_pairs;
};

static void draw_clients(const struct eligible *e, uint64_t *rng, struct draw *d)
{
	/* selection sampling keeps the order, and with it shapes together (Knuth, TAOCP 2, 3.4.2) */
	for (size_t i = 0; i < e->n && d->n < DRAWN; i++)
		if (under(rng, (uint32_t)(e->n - i)) < DRAWN - d->n)
			d->client[d->n++] = e->at[i];
}

/* A pair is of one shape and two sources. Clients lie by shape. */
static void draw_pairs(const struct eligible *e, uint64_t *rng, struct draw *d)
{
	uint32_t begin[65] = { 0 };

	for (size_t i = 0; i < d->n; i++)
		begin[e->steps[d->client[i]].shape + 1]++;
	for (int shape = 0; shape < 64; shape++)
		begin[shape + 1] += begin[shape];
	for (int i = 0; i < PAIRS && d->n; i++) {
		uint32_t a = under(rng, (uint32_t)d->n), b;
		uint8_t shape = e->steps[d->client[a]].shape;

		b = begin[shape] + under(rng, begin[shape + 1] - begin[shape]);
		if (e->steps[d->client[a]].source == e->steps[d->client[b]].source)
			continue;
		d->pair[d->n_pairs][0] = (uint16_t)a;
		d->pair[d->n_pairs++][1] = (uint16_t)b;
	}
}

/* Each day moves by up to TURN quarters, either way. */
static void turn_all(const struct eligible *e, uint64_t *rng, struct draw *d)
{
	for (size_t i = 0; i < d->n; i++)
		turn(e->steps[d->client[i]].quarters, (96 - TURN + under(rng, 2 * TURN + 1)) % 96,
		     d->quarters[i]);
}

static double pair_jaccard(const struct eligible *e, const struct draw *d, size_t i,
			   const uint32_t (*a_day)[3])
{
	uint16_t a = d->pair[i][0], b = d->pair[i][1];

	return jaccard(a_day[a], e->quarters[d->client[a]], d->quarters[b],
		       e->quarters[d->client[b]]);
}

static uint32_t count_alike(const struct eligible *e, const struct draw *d)
{
	uint32_t n = 0;

	for (size_t i = 0; i < d->n_pairs; i++)
		n += pair_jaccard(e, d, i, d->quarters) >= FG_LOCKSTEP_JACCARD;
	return n;
}

/* The Jaccard index from which on a client has less than a fifth of a partner by chance among n, so that
 * chance joins nobody into large groups (below one, it does not: Erdos and Renyi 1960). By days that
 * are three to six quarters apart: too far for a batch, too near for a working day to look else. */
static double bar(const struct eligible *e, struct draw *d, uint64_t *rng, double n)
{
	uint32_t days[DRAWN][3], of[65] = { 0 };
	double above = 0, all = (double)d->n_pairs * BAR_DRAWS;
	int step = 64;

	for (size_t i = 0; i < d->n; i++)
		turn(e->steps[d->client[i]].quarters, 0, days[i]);
	for (int k = 0; k < BAR_DRAWS; k++) {
		for (size_t i = 0; i < d->n; i++)
			turn(days[i], 3 + under(rng, 4), d->quarters[i]);
		for (size_t i = 0; i < d->n_pairs; i++)
			of[(int)(64 * pair_jaccard(e, d, i, (const uint32_t(*)[3])days))]++;
	}
	while (step > 0 && (above + of[step]) / all * n <= BAR_PARTNERS)
		above += of[step--];
	return fmax(FG_LOCKSTEP_JACCARD, (step + 1) / 64.0);
}

static int test_pairs(const struct eligible *e, uint64_t seed, double *ret_bar,
		      struct fg_lockstep *ret)
{
	struct draw *d = calloc(1, sizeof(*d));
	unsigned int as_many = 0;
	double sum = 0;

	if (!d)
		return -ENOMEM;
	draw_clients(e, &seed, d);
	draw_pairs(e, &seed, d);
	for (size_t i = 0; i < d->n; i++)
		turn(e->steps[d->client[i]].quarters, 0, d->quarters[i]);
	ret->pairs = count_alike(e, d);
	for (int i = 0; i < DRAWS; i++) {
		uint32_t pairs;

		turn_all(e, &seed, d);
		pairs = count_alike(e, d);
		as_many += pairs >= ret->pairs;
		sum += pairs;
	}
	ret->pairs_usual = sum / DRAWS;
	ret->p = (1.0 + as_many) / (DRAWS + 1);
	ret->log_e = fg_p_log_e(ret->p);
	*ret_bar = bar(e, d, &seed, (double)e->n);
	free(d);
	return 0;
}

/* --- Groups ----------------------------------------------------------------------------------- */

struct banded {
	uint64_t key;
	uint32_t at; /* place in steps */
};

static int by_key(const void *a, const void *b)
{
	const struct banded *x = a, *y = b;

	return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->at < y->at ? -1 : x->at > y->at;
}

/* The head of a client's group so far; halves the way there (Tarjan and van Leeuwen 1984). */
static uint32_t head_of(uint32_t *up, uint32_t i)
{
	for (; up[i] != i; i = up[i])
		up[i] = up[up[i]];
	return i;
}

/* After the first bands most buckets are. */
static bool is_one_group(const struct banded *b, size_t n, uint32_t *up)
{
	uint32_t head = head_of(up, b[0].at);

	for (size_t i = 1; i < n; i++)
		if (head_of(up, b[i].at) != head)
			return false;
	return true;
}

static void join_bucket(const struct eligible *e, double least, const struct banded *b, size_t n,
			uint32_t *up)
{
	if (is_one_group(b, n, up))
		return;
	for (size_t i = 1; i < n; i++) {
		const struct fg_step *x = &e->steps[b[i].at];

		for (size_t k = 0; k < i; k++) {
			const struct fg_step *y = &e->steps[b[k].at];
			uint32_t hx = head_of(up, b[i].at), hy = head_of(up, b[k].at);

			if (hx == hy || x->source == y->source || x->shape != y->shape ||
			    jaccard(x->quarters, e->quarters[b[i].at], y->quarters,
				    e->quarters[b[k].at]) < least)
				continue;
			if (hx < hy)
				up[hy] = hx;
			else
				up[hx] = hy;
		}
	}
}

static void join_band(const struct eligible *e, double least, const struct fg_minhash *sketches,
		      unsigned int band, struct banded *b, uint32_t *up)
{
	for (size_t i = 0; i < e->n; i++)
		b[i] = (struct banded){ fg_minhash_band(&sketches[i], band), e->at[i] };
	qsort(b, e->n, sizeof(*b), by_key);
	for (size_t from = 0, to; from < e->n; from = to) {
		for (to = from + 1;
		     to < e->n && b[to].key == b[from].key && to - from < FG_LOCKSTEP_BUCKET; to++)
			;
		join_bucket(e, least, b + from, to - from, up);
	}
}

static void sketch(const struct eligible *e, uint64_t seed, struct fg_minhash *ret)
{
	struct fg_minhash_family family;

	fg_minhash_family(seed, &family);
	for (size_t i = 0; i < e->n; i++) {
		const struct fg_step *s = &e->steps[e->at[i]];

		fg_minhash_begin(&ret[i]);
		for (unsigned int q = 0; q < 96; q++)
			if (s->quarters[q / 32] >> q % 32 & 1)
				fg_minhash_add(&family, &ret[i], (uint64_t)s->shape << 8 | q);
	}
}

/* Numbers the heads of what is large enough. */
static void name_groups(const struct eligible *e, uint32_t *up, uint32_t *size, uint32_t *groups,
			struct fg_lockstep *ret)
{
	for (size_t i = 0; i < e->n; i++)
		size[head_of(up, e->at[i])]++;
	for (size_t i = 0; i < e->n; i++) {
		uint32_t at = e->at[i], head = head_of(up, at);

		if (size[head] < FG_LOCKSTEP_GROUP)
			continue;
		if (!groups[head])
			groups[head] = ++ret->groups;
		groups[at] = groups[head];
		ret->in_groups++;
	}
}

static int find_groups(const struct eligible *e, double least, size_t n, uint64_t seed,
		       uint32_t *groups, struct fg_lockstep *ret)
{
	struct fg_minhash *sketches = malloc((e->n + 1) * sizeof(*sketches));
	struct banded *b = malloc((e->n + 1) * sizeof(*b));
	uint32_t *up = malloc((n + 1) * sizeof(*up)), *size = calloc(n + 1, sizeof(*size));
	int r = sketches && b && up && size ? 0 : -ENOMEM;

	if (!r) {
		for (uint32_t i = 0; i < n; i++)
			up[i] = i;
		sketch(e, seed, sketches);
		for (unsigned int band = 0; band < FG_MINHASH_BANDS; band++)
			join_band(e, least, sketches, band, b, up);
		name_groups(e, up, size, groups, ret);
	}
	free(sketches);
	free(b);
	free(up);
	free(size);
	return r;
}

int fg_lockstep_test(const struct fg_step *steps, size_t n, uint64_t seed, uint32_t *ret_groups,
		     struct fg_lockstep *ret)
{
	struct eligible e = { 0 };
	double least = 1;
	int r = choose(steps, n, &e);

	*ret = (struct fg_lockstep){ .p = 1, .clients = (uint32_t)e.n };
	memset(ret_groups, 0, n * sizeof(*ret_groups));
	ret->known = !r && e.n >= MIN_PARTNERS;
	if (ret->known)
		r = test_pairs(&e, seed, &least, ret);
	/* without pairs above chance there are no groups to look for */
	if (!r && ret->known && ret->log_e > 0)
		r = find_groups(&e, least, n, seed, ret_groups, ret);
	ret->effect = ret->p <= FG_SUPPORT_P && ret->in_groups >= FG_LOCKSTEP_SHARE * (double)e.n &&
		      ret->in_groups >= 2 * FG_LOCKSTEP_GROUP;
	free(e.at);
	free(e.quarters);
	return r;
}

/* --- Days ------------------------------------------------------------------------------------- */

struct fg_lockstep_days {
	struct fg_lockstep_kept rows[SLOTS]; /* open addressing by client */
	uint32_t n, last_label;
	uint64_t refused;
};

int fg_lockstep_days_new(struct fg_lockstep_days **ret_days)
{
	*ret_days = calloc(1, sizeof(**ret_days));
	return *ret_days ? 0 : -ENOMEM;
}

void fg_lockstep_days_free(struct fg_lockstep_days **days)
{
	free(*days);
	*days = NULL;
}

uint64_t fg_lockstep_refused(const struct fg_lockstep_days *d)
{
	return d->refused;
}

size_t fg_lockstep_bytes(void)
{
	return sizeof(struct fg_lockstep_days);
}

static struct fg_lockstep_kept *slot_of(struct fg_lockstep_days *d, uint64_t client)
{
	uint32_t i = (uint32_t)(client ^ client >> 32) % SLOTS;

	while (d->rows[i].client && d->rows[i].client != client)
		i = (i + 1) % SLOTS;
	return &d->rows[i];
}

size_t fg_lockstep_days_save(const struct fg_lockstep_days *d, struct fg_lockstep_kept *ret)
{
	size_t n = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		if (d->rows[i].client)
			ret[n++] = d->rows[i];
	return n;
}

void fg_lockstep_days_load(struct fg_lockstep_days *d, const struct fg_lockstep_kept *kept,
			   size_t n)
{
	memset(d->rows, 0, sizeof(d->rows));
	d->n = 0;
	for (size_t i = 0; i < n && d->n < FG_LOCKSTEP_KEPT; i++) {
		struct fg_lockstep_kept *row = slot_of(d, kept[i].client);

		if (!kept[i].client || row->client)
			continue;
		*row = kept[i];
		d->n++;
		if (kept[i].label > d->last_label)
			d->last_label = kept[i].label;
	}
}

static int forget(struct fg_lockstep_days *d, uint16_t day)
{
	struct fg_lockstep_kept *kept = malloc(FG_LOCKSTEP_KEPT * sizeof(*kept));
	size_t n, left = 0;

	if (!kept)
		return -ENOMEM;
	n = fg_lockstep_days_save(d, kept);
	for (size_t i = 0; i < n; i++)
		if (kept[i].day + FORGET_DAYS >= day)
			kept[left++] = kept[i];
	fg_lockstep_days_load(d, kept, left);
	free(kept);
	return 0;
}

/* A group's label by majority vote of those of its clients that have one (Boyer and Moore 1981). */
struct vote {
	uint32_t label, votes;
};

static void vote_on(struct fg_lockstep_days *d, uint64_t client, struct vote *v)
{
	const struct fg_lockstep_kept *row = slot_of(d, client);

	if (!row->client)
		return;
	if (!v->votes)
		v->label = row->label;
	if (v->label == row->label)
		v->votes++;
	else
		v->votes--;
}

static void note_client(struct fg_lockstep_days *d, uint16_t day, uint64_t client, uint32_t label,
			struct fg_lockstep *lockstep)
{
	struct fg_lockstep_kept *row = slot_of(d, client);

	if (!row->client && d->n >= FG_LOCKSTEP_KEPT) {
		d->refused++;
		return;
	}
	d->n += !row->client;
	if (!row->client || row->label != label)
		*row = (struct fg_lockstep_kept){ client, label, 0, 0 };
	row->days += row->day != day && row->days < UINT8_MAX;
	row->day = day;
	lockstep->on_days += row->days >= FG_LOCKSTEP_DAYS;
}

int fg_lockstep_note(struct fg_lockstep_days *d, uint16_t day, const struct fg_step *steps,
		     size_t n, const uint32_t *groups, struct fg_lockstep *lockstep)
{
	struct vote *votes = calloc(lockstep->groups + 1, sizeof(*votes));
	int r = votes ? forget(d, day) : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++)
		if (groups[i])
			vote_on(d, steps[i].client, &votes[groups[i]]);
	for (uint32_t g = 1; !r && g <= lockstep->groups; g++)
		if (!votes[g].votes)
			votes[g].label = ++d->last_label;
	lockstep->on_days = 0;
	for (size_t i = 0; !r && i < n; i++)
		if (groups[i])
			note_client(d, day, steps[i].client, votes[groups[i]].label, lockstep);
	free(votes);
	return r;
}
