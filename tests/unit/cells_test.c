/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model/cells.c and model/usual.c by themselves: which cells are kept and how the others count, how
 * far a cell leans on its parent, what differs by the hour of the week, and what is not learned.
 * Shares are exact numbers here, without chance, so that formulas can be worked out by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/cells.h"
#include "packet.h"

#define DAY	20503
#define MONDAY	20507 /* (20507 + 3) % 7 is 0 */
#define RELAYED FG_SHARE_RELAYED

/* What model/usual.c says of itself. */
#define LEAN	     1000.0
#define LEAN_WEEK    2000.0
#define LEAN_PRIOR   100.0
#define PRIOR	     0.05 /* of RELAYED */
#define FADE_DAYS    28.0
#define FREEZE_AFTER 14
#define FREEZE_FOR   60

static struct fg_cells *cells;
static struct fg_prng rng;

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static int set_up(void **state)
{
	(void)state;
	rng.state = 3;
	return fg_cells_new(&cells);
}

static int tear_down(void **state)
{
	(void)state;
	fg_cells_free(&cells);
	return 0;
}

/* A client of the stem, the network and the /24 of these numbers. */
struct one {
	uint64_t stem;
	uint32_t asn, prefix;
	uint8_t network_class, stack;
	bool yes, member;
};

static void make(const struct one *o, struct fg_model_client *client, struct fg_traits *t)
{
	memset(client, 0, sizeof(*client));
	client->stem = o->stem;
	client->addr[10] = client->addr[11] = 0xff;
	client->addr[12] = (uint8_t)(1 + (o->prefix >> 16));
	client->addr[13] = (uint8_t)(o->prefix >> 8);
	client->addr[14] = (uint8_t)o->prefix;
	client->addr[15] = (uint8_t)fg_prng_below(&rng, 256);
	*t = (struct fg_traits){ .known = 1U << RELAYED | 1U << FG_SHARE_V4,
				 .yes = (uint8_t)(o->yes << RELAYED),
				 .bins = { (uint8_t)o->yes, (uint8_t)(o->prefix % 7), o->stack },
				 .network_class = o->network_class,
				 .asn = o->asn };
}

static void add(const struct one *o, uint16_t ret_at[_FG_CELL_MAX])
{
	struct fg_model_client client;
	struct fg_traits t;

	make(o, &client, &t);
	fg_cells_add(cells, &client, &t, true, 0, o->member, ret_at);
}

/* n of one kind, this share of which is relayed. */
static void add_n(uint64_t stem, uint32_t asn, uint32_t n, double share)
{
	struct one o = { .stem = stem, .asn = asn, .network_class = (uint8_t)asn };
	uint32_t yes = (uint32_t)lround(share * n);
	uint16_t at[_FG_CELL_MAX];

	for (uint32_t i = 0; i < n; i++) {
		/* networks differ in their shapes, too */
		o.prefix = i % (asn + 2);
		o.yes = i < yes;
		add(&o, at);
	}
}

static void learn(void)
{
	fg_cells_counted(cells);
	fg_cells_learn(cells, NULL, NULL);
}

static const struct fg_cell *find(enum fg_cell_kind kind, uint64_t stem, uint32_t asn)
{
	for (uint16_t i = 1; i < fg_cells_n(cells, kind); i++) {
		const struct fg_cell *cell = fg_cells_at(cells, kind, i);

		if (cell->key.stem == stem && cell->key.asn == asn)
			return cell;
	}
	fail();
	return NULL;
}

static const struct fg_cell *stem(uint64_t s)
{
	return find(FG_CELL_STEM, s, 0);
}

static double usual(const struct fg_cell *cell)
{
	return fg_cells_usual(cells, cell, RELAYED).p;
}

/* --- Space-saving ----------------------------------------------------------------------------- */

#define FREQUENT 1000
#define RARE	 5000
#define KEYS	 (FREQUENT + RARE)
#define MOST	 (FREQUENT * 90 + RARE)

/* Kinds that tell all of these keys apart. */
static const enum fg_cell_kind many[] = { FG_CELL_STEM, FG_CELL_CLASS, FG_CELL_NETWORK,
					  FG_CELL_STACK, FG_CELL_PREFIX };
#define N_MANY (sizeof(many) / sizeof(many[0]))

static struct {
	uint32_t keys[MOST]; /* as they come */
	uint16_t at[MOST][_FG_CELL_MAX];
	uint32_t n, times[KEYS];
} stream;

static struct one of_key(uint32_t key)
{
	return (struct one){ .stem = 1 + key, .asn = 1, .prefix = key, .network_class = 1 };
}

static uint32_t key_of(const struct fg_cell_key *k)
{
	return k->kind == FG_CELL_PREFIX ? (uint32_t)(k->prefix[0] - 1) << 16 |
						   (uint32_t)k->prefix[1] << 8 | k->prefix[2] :
					   (uint32_t)k->stem - 1;
}

static void put(uint32_t key, uint32_t times)
{
	for (uint32_t i = 0; i < times; i++)
		stream.keys[stream.n++] = key;
	stream.times[key] += times;
}

static void put_frequent(void)
{
	for (uint32_t key = 0; key < FREQUENT; key++)
		put(key, 30 + key % 60);
}

static void put_rare(void)
{
	for (uint32_t key = FREQUENT; key < KEYS; key++)
		put(key, 1);
}

static void shuffle(void)
{
	for (uint32_t i = stream.n - 1; i > 0; i--) {
		uint32_t k = fg_prng_below(&rng, i + 1), key = stream.keys[i];

		stream.keys[i] = stream.keys[k];
		stream.keys[k] = key;
	}
}

static void count_stream(uint32_t hour)
{
	fg_cells_begin(cells, hour);
	for (uint32_t i = 0; i < stream.n; i++) {
		struct one o = of_key(stream.keys[i]);

		o.yes = i % 3 == 0;
		o.member = i % 5 == 0;
		add(&o, stream.at[i]);
	}
	fg_cells_counted(cells);
}

/* Metwally et al. 2005, for k counters and n arrivals: they sum up to n; each is too high by its
 * error at most, and that is n / k at most; whoever came more often than that has one. */
static void assert_space_saving(enum fg_cell_kind kind)
{
	static bool kept[KEYS];
	uint32_t bound = stream.n / FG_CELLS_KEPT, large = 0;
	uint64_t sum = 0;

	memset(kept, 0, sizeof(kept));
	assert_int_equal(fg_cells_n(cells, kind), FG_CELLS_KEPT + 1);
	for (uint16_t i = 1; i <= FG_CELLS_KEPT; i++) {
		const struct fg_cell *cell = fg_cells_at(cells, kind, i);
		uint32_t key = key_of(&cell->key), sure = cell->clients - cell->error;

		assert_true(key < KEYS && !kept[key]);
		kept[key] = true;
		sum += cell->clients;
		assert_true(cell->error <= bound && sure >= 1);
		assert_true(sure <= stream.times[key] && stream.times[key] <= cell->clients);
		/* all that came since it has a cell, each once; small: they are elsewhere */
		assert_int_equal(cell->now.active, sure >= FG_CELL_SMALL ? sure : 0);
		large += cell->now.active;
	}
	assert_int_equal(sum, stream.n);
	for (uint32_t key = 0; key < KEYS; key++)
		assert_true(kept[key] || stream.times[key] <= bound);
	for (uint32_t key = 0; key < FREQUENT; key++)
		assert_true(kept[key]);
	assert_true(large > 0.9 * (stream.n - RARE));
}

static void assert_kept(void)
{
	assert_true(stream.n / FG_CELLS_KEPT < 30);
	count_stream(DAY * 24);
	for (size_t i = 0; i < N_MANY; i++)
		assert_space_saving(many[i]);
}

static void test_the_frequent_are_kept(void **state)
{
	(void)state;
	memset(&stream, 0, sizeof(stream));
	put_frequent();
	put_rare();
	shuffle();
	assert_kept();
}

/* The worst that can come first: nobody who comes often is there when the table fills. */
static void test_the_frequent_come_late(void **state)
{
	(void)state;
	memset(&stream, 0, sizeof(stream));
	put_rare();
	put_frequent();
	assert_kept();
}

/* Nor does a flood of those that come once, behind them, drive one out. */
static void test_the_frequent_stay(void **state)
{
	(void)state;
	memset(&stream, 0, sizeof(stream));
	put_frequent();
	put_rare();
	assert_kept();
	for (uint16_t i = 1; i <= FREQUENT; i++)
		assert_int_equal(fg_cells_at(cells, FG_CELL_STEM, i)->error, 0);
}

static void sum_up(struct fg_cell_counts *to, const struct fg_cell_counts *from)
{
	to->active += from->active;
	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		to->known[i] += from->known[i];
		to->yes[i] += from->yes[i];
	}
	for (int i = 0; i < FG_HIST_BINS; i++)
		to->bins[i] += from->bins[i];
}

/* All cells of a kind with the residual one are everybody. */
static void assert_nothing_is_lost(void)
{
	const struct fg_cell *all = fg_cells_all(cells);

	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		struct fg_cell_counts now = { 0 }, learned = { 0 };

		for (uint16_t i = 0; i < fg_cells_n(cells, (enum fg_cell_kind)kind); i++) {
			const struct fg_cell *cell = fg_cells_at(cells, (enum fg_cell_kind)kind, i);

			sum_up(&now, &cell->now);
			sum_up(&learned, &cell->learn);
		}
		assert_int_equal(now.active, all->now.active);
		assert_memory_equal(&now, &all->now, sizeof(now));
		assert_memory_equal(&learned, &all->learn, sizeof(learned));
	}
}

/* And each client knows the cell that it counted in. */
static void assert_homes(void)
{
	for (uint32_t i = 0; i < stream.n; i++) {
		const struct one o = of_key(stream.keys[i]);
		struct fg_model_client client;
		struct fg_traits t;

		make(&o, &client, &t);
		for (size_t k = 0; k < N_MANY; k++) {
			uint16_t home =
				fg_cells_home(cells, many[k], stream.at[i][many[k]], &client, &t);
			const struct fg_cell *cell = fg_cells_at(cells, many[k], home);

			assert_true(cell->now.active > 0);
			assert_true(home == FG_CELL_RESIDUAL ||
				    fg_cell_holds(&cell->key, &client, &t));
		}
	}
}

/* Who gave way was of an hour before: of this one nothing is lost, and the rare are together. */
static void test_the_rest_is_counted_together(void **state)
{
	uint32_t often = 0, members = 0;

	(void)state;
	memset(&stream, 0, sizeof(stream));
	for (uint32_t key = 0; key < 1000; key++)
		put(key, 30);
	for (uint32_t key = 1000; key < 4000; key++)
		put(key, 1);
	shuffle();
	count_stream(DAY * 24);
	assert_nothing_is_lost();
	assert_homes();
	assert_int_equal(fg_cells_at(cells, FG_CELL_STEM, 0)->now.active, 3000);
	fg_cells_learn(cells, NULL, NULL);
	memset(&stream, 0, sizeof(stream));
	for (uint32_t key = 0; key < 1000; key++)
		put(key, key % 3);
	often = stream.n;
	for (uint32_t key = 5000; key < 6000; key++)
		put(key, 1 + key % 25);
	shuffle();
	count_stream(DAY * 24 + 1);
	assert_nothing_is_lost();
	assert_homes();
	for (uint32_t key = 5000; key < 6000; key++)
		often += stream.times[key] >= FG_CELL_SMALL ? stream.times[key] : 0;
	for (uint32_t i = 0; i < stream.n; i += 5)
		members++;
	for (size_t i = 0; i < N_MANY; i++) {
		assert_int_equal(fg_cells_n(cells, many[i]), FG_CELLS_KEPT + 1);
		assert_int_equal(fg_cells_at(cells, many[i], 0)->now.active, stream.n - often);
	}
	/* members of cohorts are tested with the others, and not learned from */
	assert_int_equal(fg_cells_all(cells)->now.active, stream.n);
	assert_int_equal(fg_cells_all(cells)->learn.active, stream.n - members);
}

/* The same where cells give way within the hour that they were counted in: what such a cell counted is
 * with the rest, and who counted in it is not taken for one of the cell in its place. */
static void test_who_gives_way_is_counted(void **state)
{
	(void)state;
	memset(&stream, 0, sizeof(stream));
	put_rare();
	put_frequent();
	count_stream(DAY * 24);
	assert_nothing_is_lost();
	assert_homes();
}

/* --- Leaning on parents ----------------------------------------------------------------------- */

static double lean(double yes, double known, double parent, double weight)
{
	return (yes + weight * parent) / (known + weight);
}

/* Three hours of a day: one stem in a small, a middling and a large network, and another one. */
static void live_three_hours(void)
{
	for (uint32_t h = 10; h < 13; h++) {
		fg_cells_begin(cells, DAY * 24 + h);
		add_n(0xa, 1, 20, 1);
		add_n(0xa, 2, 400, 0.75);
		add_n(0xa, 3, 20000, 0.1);
		add_n(0xb, 4, 5000, 0.02);
		learn();
	}
}

/* Formulas of model/usual.c by hand, from everybody down. */
static void test_cells_lean_on_parents(void **state)
{
	const double yes[] = { 0, 20, 300, 2000 }, n[] = { 0, 20, 400, 20000 };
	double all, a, b, all_week, a_week, net[4];

	(void)state;
	/* before anything is known */
	assert_near(usual(fg_cells_all(cells)), PRIOR, 1e-9);
	live_three_hours();
	all = lean(3 * 2420, 3 * 25420, PRIOR, LEAN_PRIOR);
	a = lean(3 * 2320, 3 * 20420, all, LEAN);
	b = lean(3 * 100, 3 * 5000, all, LEAN);
	/* an hour of the week in which nothing was learned */
	fg_cells_begin(cells, DAY * 24 + 13);
	assert_near(usual(fg_cells_all(cells)), all, 1e-6);
	assert_near(usual(stem(0xa)), a, 1e-6);
	assert_near(usual(stem(0xb)), b, 1e-6);
	for (uint32_t i = 1; i < 4; i++) {
		net[i] = lean(3 * yes[i], 3 * n[i], a, LEAN);
		assert_near(usual(find(FG_CELL_NETWORK, 0xa, i)), net[i], 1e-6);
	}
	/* the small one says nearly what its stem says, the large one what it saw */
	assert_true(net[1] - a < 0.06 && fabs(net[3] - 0.1) < 0.001);
	assert_true(net[2] > a + 0.2 && net[2] < 0.75 - 0.2);
	/* the same hour a week later: once more, with what that hour holds */
	fg_cells_begin(cells, (DAY + 7) * 24 + 11);
	all_week = lean(2420, 25420, all, LEAN_WEEK);
	a_week = lean(2320, 20420, lean(3 * 2320, 3 * 20420, all_week, LEAN), LEAN_WEEK);
	assert_near(usual(fg_cells_all(cells)), all_week, 1e-6);
	assert_near(usual(stem(0xa)), a_week, 1e-6);
	assert_near(usual(find(FG_CELL_NETWORK, 0xa, 2)),
		    lean(300, 400, lean(900, 1200, a_week, LEAN), LEAN_WEEK), 1e-6);
	/* too small for hours of its own */
	assert_near(usual(find(FG_CELL_NETWORK, 0xa, 1)), lean(60, 60, a_week, LEAN), 1e-6);
}

/* Who is new says just what its parent says, of each kind. */
static void test_the_new_say_what_parents_say(void **state)
{
	uint16_t at[_FG_CELL_MAX];
	const struct fg_cell *all = fg_cells_all(cells), *a, *stack;

	(void)state;
	live_three_hours();
	fg_cells_begin(cells, DAY * 24 + 13);
	add_n(0xa, 9, 30, 1);
	add_n(0xc, 4, 30, 1);
	for (int i = 0; i < 30; i++)
		add(&(struct one){ .stem = 0xa, .asn = 3, .prefix = 0x70000, .stack = 5 }, at);
	fg_cells_counted(cells);
	a = stem(0xa);
	assert_ptr_equal(fg_cells_parent(cells, find(FG_CELL_NETWORK, 0xa, 9)), a);
	stack = fg_cells_at(cells, FG_CELL_STACK, at[FG_CELL_STACK]);
	assert_ptr_equal(fg_cells_parent(cells, stack), a);
	assert_true(usual(find(FG_CELL_NETWORK, 0xa, 9)) == usual(a));
	assert_true(usual(stack) == usual(a));
	assert_true(usual(fg_cells_at(cells, FG_CELL_PREFIX, at[FG_CELL_PREFIX])) == usual(all));
	assert_true(usual(stem(0xc)) == usual(all));
	assert_true(usual(a) != usual(all));
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		assert_ptr_equal(fg_cells_parent(cells, fg_cells_at(cells, (enum fg_cell_kind)kind,
								    FG_CELL_RESIDUAL)),
				 all);
	for (uint16_t i = 1; i < fg_cells_n(cells, FG_CELL_CLASS); i++) {
		const struct fg_cell *cell = fg_cells_at(cells, FG_CELL_CLASS, i);

		assert_ptr_equal(fg_cells_parent(cells, cell), stem(cell->key.stem));
	}
	for (uint16_t i = 1; i < fg_cells_n(cells, FG_CELL_SHAPE); i++)
		assert_ptr_equal(fg_cells_parent(cells, fg_cells_at(cells, FG_CELL_SHAPE, i)), all);
	assert_null(fg_cells_parent(cells, all));
}

/* Bins do as shares do, and their shares are one in all. */
static void test_bins_lean_on_parents(void **state)
{
	double p[FG_SHAPE_BINS], parent[FG_SHAPE_BINS], sum = 0;
	const struct fg_cell *net;

	(void)state;
	live_three_hours();
	net = find(FG_CELL_NETWORK, 0xa, 2);
	fg_cells_usual_bins(cells, stem(0xa), FG_HIST_SHAPE, parent);
	fg_cells_usual_bins(cells, net, FG_HIST_SHAPE, p);
	for (int i = 0; i < FG_SHAPE_BINS; i++) {
		/* 100 of each of four in each hour */
		assert_near(p[i], lean(i < 4 ? 300 : 0, 1200, parent[i], LEAN), 1e-6);
		sum += p[i];
	}
	assert_near(sum, 1, 1e-9);
	assert_true(p[3] > parent[3] + 0.02 && p[4] < parent[4] - 0.05);
}

/* --- Days, one hour of each: the last, with which it ends ------------------------------------- */

static void live_day(uint32_t day, double a, double b)
{
	fg_cells_begin(cells, day * 24 + 23);
	add_n(0xa, 1, 2000, a);
	add_n(0xa, 2, 2000, a);
	add_n(0xb, 3, 2000, b);
	learn();
}

/* What was learned is less with each day by exp(-1/28), and a new share takes over as fast. */
static void test_days_fade(void **state)
{
	double known = 0, yes = 0, keep = exp(-1 / FADE_DAYS);

	(void)state;
	for (uint32_t d = 0; d < 60; d++) {
		double share = d < 30 ? 0.1 : 0.3;

		live_day(DAY + d, share, 0.1);
		/* the first hour ever ends no day */
		known = (d ? known * keep : 0) + 4000;
		yes = (d ? yes * keep : 0) + 4000 * share;
		assert_near(stem(0xa)->base.known[RELAYED] / known, 1, 1e-5);
		assert_near(stem(0xa)->base.yes[RELAYED] / yes, 1, 1e-5);
		assert_int_equal(stem(0xa)->base.days, d);
	}
	assert_near(yes / known, 0.3 - 0.2 * exp(-30 / FADE_DAYS), 0.02);
}

/* As a part of the share, squared, as long as it is not cut off at RHO_MAX. */
static double rho(const struct fg_cell *cell)
{
	struct fg_usual u = fg_cells_usual(cells, cell, RELAYED);

	assert_true(u.rho < 0.5);
	return u.rho * (1 - u.p) / u.p;
}

/* What model/usual.c says of straying, by hand. */
struct strayed {
	double off, days, v;
};

static void stray(struct strayed *s, uint32_t d, double share, double expected)
{
	s->off += share - expected;
	if (!d) /* the first hour ever ends no day, and counts in the next */
		return;
	s->off /= d == 1 ? 2 : 1;
	s->days += s->days < FADE_DAYS;
	s->v += (s->off * s->off - s->v) / s->days;
	s->off = 0;
}

static double strays_by(const struct strayed *s, const struct fg_cell *cell)
{
	double p = usual(cell), known = cell->base.known[RELAYED];
	double own = (s->v / (p * p) * s->days + 0.1 * 0.1 * 7) / (s->days + 7);

	return lean(own * known, known, 1, LEAN);
}

/* Three times as far as days were seen to stray from what was expected of them. Who is new may have
 * twice the share or none, and no cell is steadier than what it leans on. */
static void test_straying(void **state)
{
	struct strayed a = { 0 }, b = { 0 };

	(void)state;
	for (uint32_t d = 0; d < 60; d++) {
		double share = d % 2 ? 0.01 : 0.03;

		fg_cells_begin(cells, (DAY + d) * 24 + 23);
		stray(&a, d, share, d ? usual(stem(0xa)) : PRIOR);
		stray(&b, d, 0.02, d ? usual(stem(0xb)) : PRIOR);
		live_day(DAY + d, share, 0.02);
	}
	assert_near(rho(stem(0xa)), 9 * strays_by(&a, stem(0xa)), 1e-3);
	assert_near(rho(stem(0xb)), 9 * strays_by(&b, stem(0xb)), 1e-3);
	assert_true(strays_by(&a, stem(0xa)) > 5 * strays_by(&b, stem(0xb)));
	/* each of its networks strays as it does */
	assert_true(rho(find(FG_CELL_NETWORK, 0xa, 1)) >= rho(stem(0xa)) * (1 - 1e-6));
	/* one that was never there */
	fg_cells_begin(cells, (DAY + 60) * 24 + 23);
	add_n(0xb, 8, 30, 0.1);
	fg_cells_counted(cells);
	assert_near(rho(find(FG_CELL_NETWORK, 0xb, 8)), 9, 1e-6);
}

/* --- The hour of the week --------------------------------------------------------------------- */

#define WEEKS	  4
#define WEDNESDAY (2 * 24 + 14)
#define FRIDAY	  (4 * 24 + 9)

/* A tenth is relayed, but half of the first stem on Wednesdays at two, and all of one small network
 * of the second on Fridays at nine. */
static void live_weeks(uint32_t n_small)
{
	for (uint32_t h = 0; h < WEEKS * FG_WEEK_HOURS; h++) {
		fg_cells_begin(cells, MONDAY * 24 + h);
		add_n(0xa, 1, 500, h % FG_WEEK_HOURS == WEDNESDAY ? 0.5 : 0.1);
		add_n(0xb, 2, 500 - n_small, 0.1);
		add_n(0xb, 3, n_small, h % FG_WEEK_HOURS == FRIDAY ? 1 : 0.1);
		learn();
	}
}

static double at_hour(const struct fg_cell *cell, uint32_t hour)
{
	fg_cells_begin(cells, MONDAY * 24 + WEEKS * FG_WEEK_HOURS + hour);
	return usual(cell);
}

static void test_the_hour_of_the_week(void **state)
{
	const double keep = exp(-7 / FADE_DAYS);
	const struct fg_cell *a, *b, *small;
	double n = 0, all_hours;

	(void)state;
	live_weeks(40);
	a = stem(0xa);
	b = stem(0xb);
	small = find(FG_CELL_NETWORK, 0xb, 3);
	assert_true(a->week && b->week && a->week != b->week);
	assert_true(find(FG_CELL_NETWORK, 0xa, 1)->week && !small->week);
	for (uint32_t hour = 0; hour < FG_WEEK_HOURS; hour++) {
		bool differs = hour == WEDNESDAY;

		assert_true(differs ? at_hour(a, hour) > 0.25 :
				      fabs(at_hour(a, hour) - 0.1) < 0.01);
		/* too small for a week: it goes by all of its hours, as far as it does not lean */
		assert_near(at_hour(small, hour), at_hour(small, 0), 0.01);
		if (hour != FRIDAY)
			assert_near(at_hour(b, hour), 0.1, 0.01);
	}
	/* four Wednesdays, of which a week takes exp(-7/28) */
	for (int i = 0; i < WEEKS; i++)
		n = n * keep + 500;
	all_hours = lean(a->base.yes[RELAYED], a->base.known[RELAYED],
			 at_hour(fg_cells_all(cells), WEDNESDAY), LEAN);
	assert_near(at_hour(a, WEDNESDAY), lean(0.5 * n, n, all_hours, LEAN_WEEK), 1e-5);
}

/* One that is large enough does differ. */
static void test_who_owns_a_week(void **state)
{
	const struct fg_cell *net;

	(void)state;
	live_weeks(FG_WEEK_MIN);
	net = find(FG_CELL_NETWORK, 0xb, 3);
	assert_true(net->week);
	assert_true(at_hour(net, FRIDAY) > at_hour(net, FRIDAY + 1) + 0.03);
	assert_near(at_hour(net, FRIDAY - 1), at_hour(net, FRIDAY + 1), 0.005);
}

/* --- What is not learned ---------------------------------------------------------------------- */

struct asked {
	const struct fg_cell *only; /* the one that is frozen; NULL = all */
	uint32_t n, idle, twice;
	const struct fg_cell *last;
};

static bool is_frozen(void *arg, const struct fg_cell *cell)
{
	struct asked *a = arg;

	a->n++;
	a->idle += !cell->learn.active;
	a->twice += a->last == cell;
	a->last = cell;
	return !a->only || a->only == cell;
}

static void live_frozen(uint32_t hour, double a, double b, struct asked *asked)
{
	fg_cells_begin(cells, hour);
	add_n(0xa, 1, 200, a);
	add_n(0xb, 2, 200, b);
	fg_cells_counted(cells);
	fg_cells_learn(cells, is_frozen, asked);
}

/* Days and nights pass over it, and it knows just what it knew. */
static void test_frozen_cells_learn_nothing(void **state)
{
	struct asked asked = { 0 };
	struct fg_cell_base before;
	double b;

	(void)state;
	for (uint32_t h = 0; h < 50; h++) {
		fg_cells_begin(cells, DAY * 24 + h);
		add_n(0xa, 1, 200, 0.1);
		add_n(0xb, 2, 200, 0.1);
		add_n(0xc, 3, 50, 0.1);
		learn();
	}
	asked.only = stem(0xa);
	before = stem(0xa)->base;
	b = usual(stem(0xb));
	for (uint32_t h = 50; h < 100; h++) {
		asked.n = 0;
		live_frozen(DAY * 24 + h, 0.9, 0.9, &asked);
		assert_memory_equal(&stem(0xa)->base, &before, sizeof(before));
		/* everybody; two of stems, networks, classes and stacks; four prefixes, shapes */
		assert_int_equal(asked.n, 1 + 4 * 2 + 2 * 4);
	}
	assert_int_equal(asked.idle, 0);
	assert_int_equal(asked.twice, 0);
	/* the others did; what it leans on moved, and it a little with that */
	assert_true(usual(stem(0xb)) > b + 0.2);
	assert_true(usual(fg_cells_all(cells)) > b + 0.2);
	assert_true(usual(find(FG_CELL_NETWORK, 0xa, 1)) > b + 0.2);
	assert_true(stem(0xb)->base.days == before.days + 2);
	/* once it is let go, it goes on */
	live_frozen(DAY * 24 + 100, 0.9, 0.9, &(struct asked){ .only = stem(0xb) });
	assert_true(stem(0xa)->base.yes[RELAYED] > before.yes[RELAYED] + 100);
}

/* Where all are frozen no hour of the week moves, either. */
static void test_all_are_frozen(void **state)
{
	struct asked asked = { 0 };
	struct fg_usual before[24], after;

	(void)state;
	for (uint32_t h = 0; h < 7 * 24; h++) {
		fg_cells_begin(cells, DAY * 24 + h);
		add_n(0xa, 1, 200, h % 24 == 3 ? 0.4 : 0.1);
		learn();
	}
	for (uint32_t h = 0; h < 24; h++) {
		fg_cells_begin(cells, (DAY + 7) * 24 + h);
		before[h] = fg_cells_usual(cells, stem(0xa), RELAYED);
	}
	for (uint32_t h = 0; h < 7 * 24; h++)
		live_frozen((DAY + 7) * 24 + h, 0.9, 0.9, &asked);
	assert_true(before[3].p > before[4].p + 0.01);
	for (uint32_t h = 0; h < 24; h++) {
		fg_cells_begin(cells, (DAY + 14) * 24 + h);
		after = fg_cells_usual(cells, stem(0xa), RELAYED);
		assert_memory_equal(&before[h], &after, sizeof(after));
	}
}

/* The reference of slow drift: there after two weeks, unmoved by what comes, and renewed later. */
static void test_drift(void **state)
{
	double share = 0.1, frozen = 0, drift = 0;
	uint32_t since = 0;

	(void)state;
	for (uint32_t d = 0; d < FREEZE_AFTER + FREEZE_FOR + 3; d++) {
		const struct fg_cell_base *a;

		live_day(DAY + d, share, 0.2);
		a = &stem(0xa)->base;
		if (a->days < FREEZE_AFTER) {
			assert_int_equal(a->frozen_day, 0);
			assert_true(fg_cells_drift(cells, stem(0xa), RELAYED) == 0);
			continue;
		}
		if (a->days == FREEZE_AFTER || a->days == FREEZE_AFTER + FREEZE_FOR) {
			since = DAY + d;
			frozen = a->frozen[RELAYED];
			/* of the days before, and not of this last hour */
			assert_near(frozen, a->days == FREEZE_AFTER ? 0.1 : drift, 0.005);
		}
		assert_int_equal(a->frozen_day, since);
		assert_true(a->frozen[RELAYED] == (float)frozen);
		drift = a->yes[RELAYED] / a->known[RELAYED];
		assert_near(fg_cells_drift(cells, stem(0xa), RELAYED), drift / frozen - 1, 1e-5);
		assert_near(fg_cells_drift(cells, stem(0xb), RELAYED), 0, 1e-5);
		/* one in a hundred more each day */
		share = fmin(share + 0.01, 0.4);
		if (d == FREEZE_AFTER + FREEZE_FOR - 1)
			assert_true(fg_cells_drift(cells, stem(0xa), RELAYED) > 2);
	}
	assert_int_equal(since, DAY + FREEZE_AFTER + FREEZE_FOR);
	assert_true(fabs(fg_cells_drift(cells, stem(0xa), RELAYED)) < 0.1);
	/* nothing was ever relayed: no share of nothing */
	assert_true(fg_cells_drift(cells, stem(0xb), FG_SHARE_V4) == 0);
}

/* A stem that took its clients over from another one, in the same networks, tells of no drift. */
static void test_a_release_is_no_drift(void **state)
{
	struct one o = { .stem = 0xc, .asn = 3, .network_class = 3 };
	struct fg_model_client client;
	struct fg_traits t;
	uint16_t at[_FG_CELL_MAX];

	(void)state;
	for (uint32_t d = 0; d < FREEZE_AFTER + 4; d++) {
		fg_cells_begin(cells, (DAY + d) * 24 + 23);
		add_n(0xb, 3, 500, 0.1);
		for (uint32_t i = 0; i < 500; i++) {
			o.yes = i % 10 == 0 || (d > FREEZE_AFTER && i % 2);
			make(&o, &client, &t);
			fg_cells_add(cells, &client, &t, true, 0xb, false, at);
		}
		learn();
	}
	assert_ptr_equal(fg_cells_parent(cells, stem(0xc)), stem(0xb));
	assert_true(stem(0xb)->base.frozen_day && stem(0xc)->base.frozen_day);
	assert_true(stem(0xc)->base.yes[RELAYED] / stem(0xc)->base.known[RELAYED] >
		    1.5 * stem(0xc)->base.frozen[RELAYED]);
	assert_true(fg_cells_drift(cells, stem(0xc), RELAYED) == 0);
	/* what it is made of drifts like any other */
	assert_true(fg_cells_drift(cells, find(FG_CELL_NETWORK, 0xc, 3), RELAYED) > 0.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_frequent_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_frequent_come_late, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_frequent_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_rest_is_counted_together, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_who_gives_way_is_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cells_lean_on_parents, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_new_say_what_parents_say, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_bins_lean_on_parents, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_days_fade, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_straying, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_hour_of_the_week, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_owns_a_week, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_frozen_cells_learn_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all_are_frozen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_drift, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_release_is_no_drift, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("cells", tests, NULL, NULL);
}
