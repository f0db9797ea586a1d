/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What nobody does raises nothing: properties of model/cells.c and detect/cell_tests.c over a world
 * in which clients are drawn anew each hour from shares that stray from day to day, and nothing
 * happens. Each hour is asked about before it is learned. Seeds are fixed, and outcomes with them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/population.h"
#include "detect/cell_tests.h"
#include "detect/thresholds.h"
#include "lib/betabin.h"
#include "packet.h"

#define DAY   20503 /* begins a generation of model/reach.h */
#define STEMS 8
#define MOST  4096 /* clients an hour */
/* Two clients of one stem and day are alike by so much: a day's share of 5 % has a standard
 * deviation of 1.5 %, and an hour's clients add as much by chance. */
#define RHO	   0.005

#define TURN_BINS  14
#define SHAPE_BINS 24
#define STACK_BINS 6

struct who {
	struct fg_model_client client;
	struct fg_traits traits;
	uint64_t predecessor;
	bool new_today, member;
};

static struct {
	struct fg_prng rng;
	double share[STEMS][_FG_SHARE_MAX], today[STEMS][_FG_SHARE_MAX];
	double bins[STEMS][FG_HIST_BINS], today_bins[STEMS][FG_HIST_BINS];
	struct who who[MOST];
	uint32_t n;
} world;

static const unsigned int n_bins[_FG_HIST_MAX] = { TURN_BINS, SHAPE_BINS, STACK_BINS };

/* --- Chance ----------------------------------------------------------------------------------- */

/* Marsaglia and Tsang 2000; below 1 by one that is larger by 1. */
static double gamma_of(double a)
{
	double d, c, x, v;

	if (a < 1)
		return gamma_of(a + 1) * pow(cg_uniform(&world.rng) + 1e-300, 1 / a);
	d = a - 1.0 / 3;
	c = 1 / sqrt(9 * d);
	for (;;) {
		x = cg_normal(&world.rng);
		v = (1 + c * x) * (1 + c * x) * (1 + c * x);
		if (v > 0 &&
		    log(cg_uniform(&world.rng) + 1e-300) < x * x / 2 + d - d * v + d * log(v))
			return d * v;
	}
}

static double beta_of(double p, double rho)
{
	double m = 1 / rho - 1, x = gamma_of(m * p), y = gamma_of(m * (1 - p));

	return x / (x + y);
}

/* --- The world -------------------------------------------------------------------------------- */

static void make_world(uint64_t seed)
{
	static const double usual[_FG_SHARE_MAX] = {
		[FG_SHARE_RELAYED] = 0.05, [FG_SHARE_RELAYED_YOUNG] = 0.08,
		[FG_SHARE_IDLE] = 0.15,	   [FG_SHARE_V4] = 0.7,
		[FG_SHARE_BORN] = 0.1,	   [FG_SHARE_NOT_BACK] = 0.3,
	};

	memset(&world, 0, sizeof(world));
	world.rng.state = seed;
	for (int s = 0; s < STEMS; s++) {
		for (int i = 0; i < _FG_SHARE_MAX; i++)
			world.share[s][i] = usual[i] * (0.6 + 0.8 * cg_uniform(&world.rng));
		for (unsigned int h = 0; h < _FG_HIST_MAX; h++) {
			double *p = &world.bins[s][fg_hist_at(h)], sum = 0;

			for (unsigned int i = 0; i < n_bins[h]; i++)
				sum += p[i] = 0.2 + cg_uniform(&world.rng);
			for (unsigned int i = 0; i < n_bins[h]; i++)
				p[i] /= sum;
		}
	}
}

static void begin_day(void)
{
	for (int s = 0; s < STEMS; s++) {
		for (int i = 0; i < _FG_SHARE_MAX; i++)
			world.today[s][i] = beta_of(world.share[s][i], RHO);
		for (unsigned int h = 0; h < _FG_HIST_MAX; h++) {
			double *p = &world.today_bins[s][fg_hist_at(h)], sum = 0;

			for (unsigned int i = 0; i < n_bins[h]; i++)
				sum += p[i] =
					gamma_of((1 / RHO - 1) * world.bins[s][fg_hist_at(h) + i]);
			for (unsigned int i = 0; i < n_bins[h]; i++)
				p[i] /= sum;
		}
	}
}

static uint8_t draw_bin(int s, unsigned int h)
{
	const double *p = &world.today_bins[s][fg_hist_at(h)];
	double u = cg_uniform(&world.rng);
	uint8_t i = 0;

	while (i + 1U < n_bins[h] && u >= p[i])
		u -= p[i++];
	return i;
}

static void draw(int s)
{
	struct who *w = &world.who[world.n++];
	struct fg_traits *t = &w->traits;
	/* one in twenty comes from one of many small networks */
	uint32_t net = fg_prng_below(&world.rng, 20) ? fg_prng_below(&world.rng, 12) :
						       12 + fg_prng_below(&world.rng, 300);

	assert_true(world.n <= MOST);
	memset(w, 0, sizeof(*w));
	w->client.stem = 0x100 + (uint64_t)s;
	w->client.addr[10] = w->client.addr[11] = 0xff;
	w->client.addr[12] = 20;
	w->client.addr[13] = (uint8_t)(net >> 4);
	w->client.addr[14] = (uint8_t)(net << 4);
	w->client.addr[15] = (uint8_t)fg_prng_below(&world.rng, 256);
	w->new_today = true;
	t->asn = 64500 + net / 3;
	t->network_class = (uint8_t)(1 + net % 3);
	/* each is known of four in five */
	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		t->known |= (uint8_t)((cg_uniform(&world.rng) < 0.8) << i);
		t->yes |= (uint8_t)((cg_uniform(&world.rng) < world.today[s][i]) << i);
	}
	t->yes &= t->known;
	for (unsigned int h = 0; h < _FG_HIST_MAX; h++)
		t->bins[h] = fg_prng_below(&world.rng, 10) ? draw_bin(s, h) : FG_BIN_UNKNOWN;
}

/* More by day than by night; some stems have more than others. */
static void draw_hour(uint32_t hour)
{
	world.n = 0;
	for (int s = 0; s < STEMS; s++)
		for (uint32_t i = 0; i < (40 + 20U * (uint32_t)s) * (hour % 24 < 8 ? 1 : 2); i++)
			draw(s);
}

/* --- Cells ------------------------------------------------------------------------------------ */

static uint16_t places[MOST][_FG_CELL_MAX];

/* Counts the hour's clients, in this order or as they are. */
static void count(struct fg_cells *cells, uint32_t hour, const uint32_t *order)
{
	fg_cells_begin(cells, hour);
	for (uint32_t i = 0; i < world.n; i++) {
		const struct who *w = &world.who[order ? order[i] : i];

		fg_cells_add(cells, &w->client, &w->traits, w->new_today, w->predecessor, w->member,
			     places[w - world.who]);
	}
	fg_cells_counted(cells);
}

static struct fg_cells *new_cells(void)
{
	struct fg_cells *cells;

	assert_int_equal(fg_cells_new(&cells), 0);
	return cells;
}

typedef void (*ask_fn)(const struct fg_cells *cells, uint32_t hour);

/* Lives for so many days, of which each step-th hour is there, the last of a day always. An hour is
 * asked about once it is counted, and then learned. */
static void live(uint32_t days, uint32_t step, ask_fn ask)
{
	struct fg_cells *cells = new_cells();

	for (uint32_t h = step - 1; h < days * 24; h += step) {
		if (h % 24 == step - 1)
			begin_day();
		draw_hour(h);
		count(cells, DAY * 24 + h, NULL);
		ask(cells, h);
		fg_cells_learn(cells, NULL, NULL);
	}
	fg_cells_free(&cells);
}

/* --- E-values --------------------------------------------------------------------------------- */

#define WARM_UP 7
#define E_DAYS	28

static const enum fg_family families[] = { FG_FAMILY_RELAY, FG_FAMILY_AUTOMATION,
					   FG_FAMILY_LIFECYCLE };
#define FAMILIES (sizeof(families) / sizeof(families[0]))

static struct {
	double n, sum, squares, least, most;
} es[FAMILIES];

/* Every seventh hour, so that each hour of the day has its turn. */
static void take_e_values(const struct fg_cells *cells, uint32_t hour)
{
	if (hour < WARM_UP * 24 || hour % 7)
		return;
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		for (uint16_t i = 0; i < fg_cells_n(cells, (enum fg_cell_kind)kind); i++) {
			const struct fg_cell *cell = fg_cells_at(cells, (enum fg_cell_kind)kind, i);
			struct fg_cell_tests t;

			if (cell->now.active < FG_MIN_ACTIVE)
				continue;
			fg_cell_test(cells, cell, &t);
			for (size_t f = 0; f < FAMILIES; f++) {
				double e = exp(t.log_e[families[f]]);

				es[f].n++;
				es[f].sum += e;
				es[f].squares += e * e;
				es[f].least = fmin(es[f].least, e);
				es[f].most = fmax(es[f].most, e);
			}
		}
}

/* The mean is one or less, and it is that of values of which some say something. */
static void test_e_values(void **state)
{
	(void)state;
	make_world(1);
	for (size_t f = 0; f < FAMILIES; f++)
		es[f].least = INFINITY;
	live(E_DAYS, 1, take_e_values);
	for (size_t f = 0; f < FAMILIES; f++) {
		double mean = es[f].sum / es[f].n;
		double sd = sqrt(es[f].squares / es[f].n - mean * mean);

		print_message("%s: %.0f e-values, mean %.3f, sd %.3f, %.3f to %.1f\n",
			      fg_family_name(families[f]), es[f].n, mean, sd, es[f].least,
			      es[f].most);
		assert_true(es[f].n > 5000);
		assert_true(mean <= 1.05);
		assert_true(mean > 0.2);
		assert_true(sd > 0.05 && es[f].least < 0.9 && es[f].most > 1.5 * mean);
	}
}

/* --- Probability integral transform ----------------------------------------------------------- */

#define PIT_WARM_UP 21
#define PIT_DAYS    77
#define PIT_STEP    3
#define PITS	    (STEMS * _FG_SHARE_MAX * (PIT_DAYS - PIT_WARM_UP))

static struct {
	/* under the rho of the draws, and under the product's, which is wider */
	double drawn[PITS], wide[PITS];
	double drawn_z2, wide_z2; /* sums of squares of standard deviations */
	uint32_t n;
} pits;

/* P(X < x) + u P(X = x): uniform where x is drawn from just this (Brockwell 2007). */
static double pit(double x, double n, double p, double rho, double u)
{
	double below = 0;

	for (double k = 0; k < x; k++)
		below += exp(fg_betabin_log(k, n, p, rho));
	return below + u * exp(fg_betabin_log(x, n, p, rho));
}

static double variance(double n, double p, double rho)
{
	return n * p * (1 - p) * (1 + (n - 1) * rho);
}

/* One hour a day: those of one day share its share, and so would not be independent. */
static void take_pits(const struct fg_cells *cells, uint32_t hour)
{
	if (hour / 24 < PIT_WARM_UP || hour % 24 != (hour / 24 * 15 + 2) % 24)
		return;
	for (uint16_t i = 1; i < fg_cells_n(cells, FG_CELL_STEM); i++)
		for (int share = 0; share < _FG_SHARE_MAX; share++) {
			const struct fg_cell *cell = fg_cells_at(cells, FG_CELL_STEM, i);
			double x = cell->now.yes[share], n = cell->now.known[share],
			       u = cg_uniform(&world.rng);
			struct fg_usual usual = fg_cells_usual(cells, cell, (enum fg_share)share);
			double p = usual.p, rho = usual.rho, off = (x - n * p) * (x - n * p);

			assert_true(n >= FG_MIN_ACTIVE);
			pits.drawn[pits.n] = pit(x, n, p, RHO, u);
			pits.wide[pits.n++] = pit(x, n, p, rho, u);
			pits.drawn_z2 += off / variance(n, p, RHO);
			pits.wide_z2 += off / variance(n, p, rho);
		}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* How far the distribution lies from the uniform one (Kolmogorov), times the root of n. */
static double ks(double *u, uint32_t n)
{
	double d = 0;

	qsort(u, n, sizeof(*u), by_value);
	for (uint32_t i = 0; i < n; i++)
		d = fmax(d, fmax((i + 1.0) / n - u[i], u[i] - (double)i / n));
	return d * sqrt(n);
}

static double below(const double *u, uint32_t n, double limit)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++)
		k += u[i] < limit;
	return (double)k / n;
}

static void live_pits(void)
{
	if (pits.n)
		return;
	make_world(6);
	live(PIT_DAYS, PIT_STEP, take_pits);
	assert_int_equal(pits.n, PITS);
}

/* What is usual is what is drawn from. 1.36: by chance one time in twenty (Smirnov 1948). Days
 * lie as far off as they stray: less says that an hour was learned before it was asked about. */
static void test_pit_is_uniform(void **state)
{
	double d, sd;

	(void)state;
	live_pits();
	d = ks(pits.drawn, pits.n);
	sd = sqrt(pits.drawn_z2 / pits.n);
	print_message("%u values, D sqrt(n) = %.2f, sd %.3f\n", pits.n, d, sd);
	assert_true(d < 1.36);
	assert_true(sd > 0.97 && sd < 1.06);
}

/* What the product takes for possible is three times as wide: it has less in its tails, and yet
 * what happens is not all in the middle of it. */
static void test_pit_is_conservative(void **state)
{
	static const double level[] = { 0.01, 0.05 };
	double sd;

	(void)state;
	live_pits();
	for (int i = 0; i < 2; i++) {
		double low = below(pits.wide, pits.n, level[i]);
		double high = 1 - below(pits.wide, pits.n, 1 - level[i]);

		print_message("%.0f %%: %.4f below, %.4f above\n", 100 * level[i], low, high);
		assert_true(low <= level[i] && high <= level[i]);
	}
	sd = sqrt(pits.wide_z2 / pits.n);
	print_message("%.2f of what is stated\n", sd);
	assert_true(sd > 0.2 && sd < 0.7);
}

/* --- The same in another order, at another time ----------------------------------------------- */

#define DAYS	4
#define OTHERS	4
#define LEFT	(0x100 + STEMS - 1) /* a stem that many leave for another one */
#define RELEASE 0x200
#define OTHER	0x300 /* that one in eight of them showed before, by chance */

static uint32_t release_day; /* on which this begins */

static bool same_key(const struct fg_cell_key *a, const struct fg_cell_key *b)
{
	return a->kind == b->kind && a->stem == b->stem && a->asn == b->asn &&
	       a->network_class == b->network_class && a->bin == b->bin && a->is4 == b->is4 &&
	       !memcmp(a->prefix, b->prefix, sizeof(a->prefix));
}

/* The other world's cell of this key; residual ones lie at the same place. */
static const struct fg_cell *other_cell(const struct fg_cells *other, const struct fg_cells *cells,
					const struct fg_cell *cell)
{
	enum fg_cell_kind kind = cell->key.kind;

	if (cell == fg_cells_at(cells, kind, FG_CELL_RESIDUAL))
		return fg_cells_at(other, kind, FG_CELL_RESIDUAL);
	for (uint16_t i = 1; i < fg_cells_n(other, kind); i++)
		if (same_key(&fg_cells_at(other, kind, i)->key, &cell->key))
			return fg_cells_at(other, kind, i);
	fail();
	return NULL;
}

static bool same_tests(const struct fg_cell_tests *a, const struct fg_cell_tests *b)
{
	bool same = true;

	for (int i = 0; i < _FG_SHARE_MAX; i++)
		same &= a->shares[i].log_e == b->shares[i].log_e &&
			a->shares[i].rho == b->shares[i].rho;
	for (int i = 0; i < _FG_HIST_MAX; i++)
		same &= a->hists[i].log_e == b->hists[i].log_e &&
			a->hists[i].rho == b->hists[i].rho;
	for (int f = 0; f < _FG_FAMILY_MAX; f++)
		same &= a->log_e[f] == b->log_e[f] && a->excess[f] == b->excess[f];
	return same;
}

/* Counted alike, expected alike, tested alike, to the last bit. */
static bool is_same(const struct fg_cells *a_cells, const struct fg_cell *a,
		    const struct fg_cells *b_cells, const struct fg_cell *b)
{
	struct fg_cell_tests x, y;

	if (memcmp(&a->now, &b->now, sizeof(a->now)) ||
	    memcmp(&a->learn, &b->learn, sizeof(a->learn)) || a->clients != b->clients)
		return false;
	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		struct fg_usual u = fg_cells_usual(a_cells, a, (enum fg_share)i);
		struct fg_usual v = fg_cells_usual(b_cells, b, (enum fg_share)i);

		if (u.p != v.p || u.rho != v.rho || u.n != v.n)
			return false;
	}
	fg_cell_test(a_cells, a, &x);
	fg_cell_test(b_cells, b, &y);
	return same_tests(&x, &y);
}

/* How many cells of all kinds, residual ones and everybody are there, and differ? */
struct compared {
	uint32_t n, tested, residual, differ;
};

static void compare(const struct fg_cells *a, const struct fg_cells *b, struct compared *ret)
{
	ret->differ += !is_same(a, fg_cells_all(a), b, fg_cells_all(b));
	for (int k = 0; k < _FG_CELL_MAX; k++) {
		enum fg_cell_kind kind = (enum fg_cell_kind)k;

		assert_int_equal(fg_cells_n(a, kind), fg_cells_n(b, kind));
		assert_true(fg_cells_n(a, kind) <= FG_CELLS_KEPT);
		ret->residual += fg_cells_at(a, kind, FG_CELL_RESIDUAL)->now.active > 0;
		for (uint16_t i = 0; i < fg_cells_n(a, kind); i++) {
			const struct fg_cell *cell = fg_cells_at(a, kind, i);

			ret->n++;
			ret->tested += cell->now.active >= FG_MIN_ACTIVE;
			ret->differ += !is_same(a, cell, b, other_cell(b, a, cell));
		}
	}
}

/* The places of the hour's clients in the cells that they were counted in last. */
static void go_home(const struct fg_cells *cells, struct fg_cell_key ret[MOST][_FG_CELL_MAX])
{
	for (uint32_t i = 0; i < world.n; i++)
		for (int k = 0; k < _FG_CELL_MAX; k++) {
			enum fg_cell_kind kind = (enum fg_cell_kind)k;
			uint16_t home = fg_cells_home(cells, kind, places[i][kind],
						      &world.who[i].client, &world.who[i].traits);

			ret[i][k] = (struct fg_cell_key){ .kind = _FG_CELL_MAX };
			if (home != FG_CELL_NONE)
				ret[i][k] = fg_cells_at(cells, kind, home)->key;
		}
}

/* Members of cohorts, clients that were there before on this day, and a release. */
static void draw_mixed_hour(uint32_t hour)
{
	draw_hour(hour);
	for (uint32_t i = 0; i < world.n; i++) {
		struct who *w = &world.who[i];

		w->new_today = fg_prng_below(&world.rng, 3) == 0;
		w->member = fg_prng_below(&world.rng, 10) == 0;
		if (w->client.stem != LEFT || hour / 24 < release_day ||
		    fg_prng_below(&world.rng, 2) == 0)
			continue;
		w->client.stem = RELEASE;
		w->predecessor = fg_prng_below(&world.rng, 8) ? LEFT : OTHER;
	}
}

static const struct fg_cell *stem_of(const struct fg_cells *cells, uint64_t stem)
{
	for (uint16_t i = 1; i < fg_cells_n(cells, FG_CELL_STEM); i++)
		if (fg_cells_at(cells, FG_CELL_STEM, i)->key.stem == stem)
			return fg_cells_at(cells, FG_CELL_STEM, i);
	fail();
	return NULL;
}

static void shuffle(uint32_t *order)
{
	for (uint32_t i = 0; i < world.n; i++)
		order[i] = i;
	for (uint32_t i = world.n - 1; i > 0; i--) {
		uint32_t k = fg_prng_below(&world.rng, i + 1), was = order[i];

		order[i] = order[k];
		order[k] = was;
	}
}

/* The clients' cells are the same, by what they are of. */
static void assert_same_homes(const struct fg_cells *cells,
			      struct fg_cell_key homes[MOST][_FG_CELL_MAX])
{
	static struct fg_cell_key other[MOST][_FG_CELL_MAX];

	go_home(cells, other);
	for (uint32_t i = 0; i < world.n; i++)
		for (int kind = 0; kind < _FG_CELL_MAX; kind++)
			assert_true(same_key(&homes[i][kind], &other[i][kind]));
}

/* Each world has all hours' clients in an order of its own. @return how many cells differ. */
static uint32_t live_in_orders(uint64_t seed)
{
	static struct fg_cell_key homes[MOST][_FG_CELL_MAX];
	static uint32_t order[MOST];
	struct fg_cells *cells = new_cells(), *others[OTHERS];
	struct compared sum = { 0 };

	make_world(seed);
	for (int i = 0; i < OTHERS; i++)
		others[i] = new_cells();
	for (uint32_t h = 0; h < DAYS * 24; h++) {
		if (h % 24 == 0)
			begin_day();
		draw_mixed_hour(h);
		count(cells, DAY * 24 + h, NULL);
		go_home(cells, homes);
		for (int i = 0; i < OTHERS; i++) {
			shuffle(order);
			count(others[i], DAY * 24 + h, order);
			assert_same_homes(others[i], homes);
			if (h % 13 == 12)
				compare(cells, others[i], &sum);
			fg_cells_learn(others[i], NULL, NULL);
		}
		fg_cells_learn(cells, NULL, NULL);
	}
	print_message("%u cells, %u of them tested: %u differ\n", sum.n, sum.tested, sum.differ);
	assert_true(sum.tested > 2000 && sum.residual > 2 * OTHERS);
	/* there is one that leans on another of its kind */
	assert_ptr_equal(fg_cells_parent(cells, stem_of(cells, RELEASE)), stem_of(cells, LEFT));
	for (int i = 0; i < OTHERS; i++)
		fg_cells_free(&others[i]);
	fg_cells_free(&cells);
	return sum.differ;
}

static void test_order_does_not_matter(void **state)
{
	(void)state;
	release_day = 2;
	assert_int_equal(live_in_orders(3), 0);
}

/* A stem and the one that it leans on come up in the same hour: who came first is not learned first. */
static void test_order_of_stems_does_not_matter(void **state)
{
	(void)state;
	release_day = 0;
	assert_int_equal(live_in_orders(3), 0);
}

/* Whole weeks later all is the same. The last is where days end elsewhere: another history. */
static void test_weeks_do_not_matter(void **state)
{
	static const uint32_t hours[] = { FG_WEEK_HOURS, 9 * FG_WEEK_HOURS, 52 * FG_WEEK_HOURS,
					  FG_WEEK_HOURS + 12 };
	struct fg_cells *cells = new_cells(), *later[4];
	struct compared sum[4] = { 0 };

	(void)state;
	release_day = 2;
	make_world(4);
	for (int i = 0; i < 4; i++)
		later[i] = new_cells();
	for (uint32_t h = 0; h < DAYS * 24; h++) {
		if (h % 24 == 0)
			begin_day();
		draw_mixed_hour(h);
		count(cells, DAY * 24 + h, NULL);
		for (int i = 0; i < 4; i++) {
			count(later[i], DAY * 24 + h + hours[i], NULL);
			if (h % 13 == 12)
				compare(cells, later[i], &sum[i]);
			fg_cells_learn(later[i], NULL, NULL);
		}
		fg_cells_learn(cells, NULL, NULL);
	}
	for (int i = 0; i < 4; i++) {
		print_message("%u hours: %u cells, %u of them tested: %u differ\n", hours[i],
			      sum[i].n, sum[i].tested, sum[i].differ);
		assert_true(sum[i].tested > 500);
		if (hours[i] % FG_WEEK_HOURS)
			assert_true(sum[i].differ > sum[i].tested / 2);
		else
			assert_int_equal(sum[i].differ, 0);
		fg_cells_free(&later[i]);
	}
	fg_cells_free(&cells);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_e_values),
		cmocka_unit_test(test_pit_is_uniform),
		cmocka_unit_test(test_pit_is_conservative),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_order_of_stems_does_not_matter),
		cmocka_unit_test(test_weeks_do_not_matter),
	};

	return cmocka_run_group_tests_name("null", tests, NULL, NULL);
}
