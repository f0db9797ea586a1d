/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/signals.h: what is read back is what was told, within the errors that are promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/signals.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MS	 1000000ULL
#define S	 1000000000ULL
#define MINUTE	 (60 * S)
#define HOUR	 (60 * MINUTE)
/* A Monday at midnight, and long before it. */
#define MONDAY (20780 * FG_DAY_NS)
#define EVER   (MONDAY - 30 * FG_DAY_NS)

static uint64_t draws = 88172645463325252ULL;

/* xorshift64 (Marsaglia 2003): the same numbers in each run. */
static uint64_t draw(void)
{
	draws ^= draws << 13;
	draws ^= draws >> 7;
	return draws ^= draws << 17;
}

static double uniform(void)
{
	return (double)(draw() >> 11) / 9007199254740992.0;
}

static void assert_near(double a, double b, double within)
{
	if (!(fabs(a - b) <= within))
		fail_msg("%.9g is not within %g of %.9g", a, within, b);
}

/* --- Times ------------------------------------------------------------------------------------ */

static void test_time_codes_are_within_one_percent(void **state)
{
	uint64_t us, checked = 0;
	uint16_t before = 0;

	(void)state;
	assert_int_equal(fg_time_code(0), 0);
	assert_true(fg_time_us(0) == 0);
	/* each of the first 100,000, then steps of 0.01 % to the end of the range */
	for (us = 1; us <= 615000000; us += us < 100000 ? 1 : us / 10000) {
		uint16_t code = fg_time_code((uint32_t)us);

		assert_in_range(code, 1, 1023);
		assert_true(code >= before);
		assert_near(fg_time_us(code), (double)us, 0.00996 * (double)us);
		before = code;
		checked++;
	}
	assert_true(checked > 180000);
	assert_int_equal(fg_time_code(UINT32_MAX), 1023);
}

/* What a code stands for has this code, where steps are wider than a microsecond. */
static void test_time_codes_round_trip(void **state)
{
	(void)state;
	for (uint16_t code = 200; code < 1024; code++)
		assert_int_equal(fg_time_code((uint32_t)round(fg_time_us(code))), code);
}

static void add_times(struct fg_signals *g, uint32_t rtt_us, uint32_t turn_us, uint32_t delay_us,
		      uint8_t flags)
{
	const struct fg_epoch_flow f = { .news = FG_NEWS_TIMES,
					 .time_flags = flags,
					 .rtt_us = rtt_us,
					 .turn_us = turn_us,
					 .hello_delay_us = delay_us };

	fg_signals_add(g, &f, MONDAY, EVER);
}

static void test_signals_keep_the_latest_times(void **state)
{
	struct fg_signals g = { 0 };
	struct fg_times t = fg_signals_times(&g, 0);

	(void)state;
	assert_int_equal(t.rtt_ms.n, 0);
	assert_int_equal(t.relayed, FG_TRAIT_UNKNOWN);
	add_times(&g, 7000, 0, 0, 0);
	for (uint32_t i = 1; i <= 20; i++)
		add_times(&g, 10000 * i, 10000 * i + 4000, 0, 0);
	t = fg_signals_times(&g, 1000);
	assert_int_equal(t.measured, 21);
	assert_int_equal(t.rtt_ms.n, FG_TIMES_KEPT);
	assert_int_equal(t.gap_ms.n, FG_TIMES_KEPT);
	assert_int_equal(t.delay_ms.n, 0);
	/* 150 to 200 ms: median 175, deviations 5, 5, 15, 15, 25, 25 */
	assert_near(t.rtt_ms.median, 175, 1.75);
	assert_near(t.rtt_ms.mad, 15, 4);
	assert_near(t.gap_ms.median, 3, 4);
	assert_near(t.rtt_min_ms, 7, 0.07);
}

static void test_signals_median_of_few(void **state)
{
	struct fg_signals g = { 0 };

	(void)state;
	add_times(&g, 30000, 0, 0, 0);
	assert_near(fg_signals_times(&g, 0).rtt_ms.median, 30, 0.3);
	assert_true(fg_signals_times(&g, 0).rtt_ms.mad == 0);
	add_times(&g, 10000, 0, 0, 0);
	assert_near(fg_signals_times(&g, 0).rtt_ms.median, 20, 0.2);
	add_times(&g, 90000, 0, 0, 0);
	assert_near(fg_signals_times(&g, 0).rtt_ms.median, 30, 0.3);
	assert_near(fg_signals_times(&g, 0).rtt_ms.mad, 20, 0.5);
}

/* Nothing was measured of a connection in which something was sent again. */
static void test_signals_leave_out_what_was_resent(void **state)
{
	struct fg_signals g = { 0 };
	struct fg_times t;

	(void)state;
	add_times(&g, 1000, 900000, 5, FG_TIMES_RESENT);
	add_times(&g, 20000, 21000, 0, FG_TIMES_SECOND_HELLO);
	add_times(&g, 20000, 21000, 0, FG_TIMES_EARLY);
	add_times(&g, 0, 0, 0, 0);
	t = fg_signals_times(&g, 0);
	assert_int_equal(t.measured, 2);
	assert_int_equal(t.resent, 1);
	assert_int_equal(t.second_hellos, 1);
	assert_int_equal(t.early, 1);
	assert_int_equal(t.rtt_ms.n, 2);
	assert_near(t.rtt_min_ms, 20, 0.2);
}

/* Detection S3 and S4, one rule broken at a time. */
static void test_signals_relayed_by_definition(void **state)
{
	const struct {
		uint32_t rtt_ms[3], gap_ms[3], delay_ms[3], crypto_ms;
		enum fg_trait relayed, confirmed;
	} cases[] = {
		/* behind a relay, 120 ms away */
		{ { 30, 31, 29 },
		  { 120, 124, 122 },
		  { 118, 130, 121 },
		  2,
		  FG_TRAIT_YES,
		  FG_TRAIT_YES },
		/* the same, the hello sent at once */
		{ { 30, 31, 29 }, { 120, 124, 122 }, { 1, 2, 1 }, 2, FG_TRAIT_YES, FG_TRAIT_NO },
		/* ... and not measured */
		{ { 30, 31, 29 }, { 120, 124, 122 }, { 0 }, 2, FG_TRAIT_YES, FG_TRAIT_UNKNOWN },
		/* direct */
		{ { 30, 31, 29 }, { 3, 4, 8 }, { 1, 2, 1 }, 2, FG_TRAIT_NO, FG_TRAIT_UNKNOWN },
		/* just below and above 25 ms */
		{ { 30, 31, 29 }, { 24, 24, 24 }, { 1, 1, 1 }, 0, FG_TRAIT_NO, FG_TRAIT_UNKNOWN },
		{ { 30, 31, 29 }, { 27, 27, 27 }, { 1, 1, 1 }, 0, FG_TRAIT_YES, FG_TRAIT_NO },
		/* slow cryptography, known to be so */
		{ { 30, 31, 29 }, { 60, 62, 61 }, { 1, 1, 1 }, 50, FG_TRAIT_NO, FG_TRAIT_UNKNOWN },
		/* too scattered: median 60, MAD 30 */
		{ { 30, 31, 29 }, { 30, 60, 190 }, { 1, 1, 1 }, 0, FG_TRAIT_NO, FG_TRAIT_UNKNOWN },
		/* too small against the way itself */
		{ { 300, 310, 290 },
		  { 60, 62, 61 },
		  { 60, 61, 61 },
		  0,
		  FG_TRAIT_NO,
		  FG_TRAIT_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fg_signals g = { 0 };
		struct fg_times t;

		for (int k = 0; k < 3; k++) {
			t = fg_signals_times(&g, cases[i].crypto_ms * 1000.0);
			assert_int_equal(t.relayed, FG_TRAIT_UNKNOWN);
			add_times(&g, cases[i].rtt_ms[k] * 1000,
				  (cases[i].rtt_ms[k] + cases[i].gap_ms[k]) * 1000,
				  cases[i].delay_ms[k] * 1000, 0);
		}
		t = fg_signals_times(&g, cases[i].crypto_ms * 1000.0);
		if (t.relayed != cases[i].relayed || t.confirmed != cases[i].confirmed)
			fail_msg("case %zu: relayed %s, confirmed %s", i, fg_trait_name(t.relayed),
				 fg_trait_name(t.confirmed));
	}
}

/* --- Exchanges -------------------------------------------------------------------------------- */

static void add_turn(struct fg_signals *g, uint64_t start_ns, uint16_t shape, uint16_t chunks)
{
	const struct fg_epoch_flow f = {
		.n_turns = 1,
		.turns = { { .start_ns = start_ns, .shape = shape, .chunks = chunks } }
	};

	fg_signals_add(g, &f, start_ns, EVER);
}

static void test_signals_gap_bins_double(void **state)
{
	(void)state;
	for (unsigned int bin = 0; bin < FG_GAP_BINS; bin++) {
		uint64_t low = bin ? 1ULL << (bin + 6) : 1;
		uint64_t high = bin < 15 ? (1ULL << (bin + 7)) - 1 : 24 * 86400000ULL;
		struct fg_signals g = { 0 };

		add_turn(&g, MONDAY, 1, 1);
		add_turn(&g, MONDAY + low * MS, 1, 1);
		add_turn(&g, MONDAY + (low + high) * MS, 1, 1);
		assert_int_equal(g.gaps[bin], 2);
		assert_int_equal(fg_signals_gaps(&g).n, 2);
	}
}

/* Mean and spread of gaps whose own are known. */
static void test_signals_gap_statistics(void **state)
{
	struct fg_signals clock = { 0 }, chance = { 0 }, burst = { 0 };
	uint64_t t = MONDAY, u = MONDAY, v = MONDAY;
	struct fg_gaps r = fg_signals_gaps(&clock);

	(void)state;
	assert_int_equal(r.n, 0);
	assert_true(isnan(r.cv));
	for (int i = 0; i < 5001; i++) {
		add_turn(&clock, t, 1, 1);
		add_turn(&chance, u, 1, 1);
		add_turn(&burst, v, 1, 1);
		t += MINUTE;
		u += (uint64_t)(-log(1 - uniform()) * 20 * (double)S);
		/* nine of 1 s, then one of 91 s: mean 10, standard deviation 27 */
		v += i % 10 == 9 ? 91 * S : S;
	}
	r = fg_signals_gaps(&clock);
	assert_int_equal(r.n, 5000);
	assert_near(r.mean_ms, 60000, 1);
	assert_near(r.cv, 0, 1e-3);
	r = fg_signals_gaps(&chance);
	assert_near(r.mean_ms, 20000, 1000);
	assert_near(r.cv, 1, 0.05);
	r = fg_signals_gaps(&burst);
	assert_near(r.mean_ms, 10000, 20);
	assert_near(r.cv, 2.7, 0.02);
	/* of two: 10 and 30 s, 14.1 from 20 */
	memset(&clock, 0, sizeof(clock));
	add_turn(&clock, MONDAY, 1, 1);
	add_turn(&clock, MONDAY + 10 * S, 1, 1);
	add_turn(&clock, MONDAY + 40 * S, 1, 1);
	assert_near(fg_signals_gaps(&clock).cv, sqrt(2) / 2, 1e-6);
}

/* Exchanges told out of order make no gap, and a long silence does not stop the count. */
static void test_signals_gaps_of_disorder(void **state)
{
	struct fg_signals g = { 0 };

	(void)state;
	add_turn(&g, MONDAY + 10 * S, 1, 1);
	add_turn(&g, MONDAY + 5 * S, 1, 1);
	add_turn(&g, MONDAY + 20 * S, 1, 1);
	assert_int_equal(fg_signals_gaps(&g).n, 1);
	assert_near(fg_signals_gaps(&g).mean_ms, 10000, 0.1);
	add_turn(&g, MONDAY + 40 * FG_DAY_NS, 1, 1);
	assert_int_equal(fg_signals_gaps(&g).n, 1);
	add_turn(&g, MONDAY + 40 * FG_DAY_NS + 10 * S, 1, 1);
	assert_int_equal(fg_signals_gaps(&g).n, 2);
}

/* A bin that is full stops; what is read goes on as that of the latest gaps. */
static void test_signals_gaps_saturate(void **state)
{
	struct fg_signals g = { 0 };
	uint64_t t = MONDAY;

	(void)state;
	for (int i = 0; i < 70000; i++, t += 5 * S)
		add_turn(&g, t, 1, 1);
	assert_int_equal(fg_signals_gaps(&g).n, 65535);
	assert_near(fg_signals_gaps(&g).mean_ms, 5000, 1);
	assert_near(fg_signals_gaps(&g).cv, 0, 1e-3);
	for (int i = 0; i < 400000; i++, t += 7 * S)
		add_turn(&g, t, 1, 1);
	assert_near(fg_signals_gaps(&g).mean_ms, 7000, 20);
}

static void test_signals_shapes(void **state)
{
	struct fg_signals g = { 0 };
	struct fg_shapes s = fg_signals_shapes(&g);

	(void)state;
	assert_int_equal(s.n + s.n_top, 0);
	/* shape 0 is a shape */
	for (int i = 0; i < 100; i++)
		add_turn(&g, MONDAY,
			 i % 10 < 6 ? 0x1111 :
			 i % 10 < 9 ? 0 :
				      0x2222,
			 i % 4 ? FG_STREAM_CHUNKS - 1 : FG_STREAM_CHUNKS);
	s = fg_signals_shapes(&g);
	assert_int_equal(s.n, 100);
	assert_int_equal(s.n_top, 3);
	assert_int_equal(s.top[0].shape, 0x1111);
	assert_near(s.top[0].share, 0.6, 1e-9);
	assert_int_equal(s.top[1].shape, 0);
	assert_near(s.top[1].share, 0.3, 1e-9);
	assert_near(s.streamed_share, 0.25, 1e-9);
	assert_near(s.chunks_mean, 7.25, 1e-9);
}

/* Space-saving's bounds, against exact counts: what is frequent is there, and by how much too high
 * is known. Halved when a count is full, the shares stay. */
static void test_signals_shapes_of_many(void **state)
{
	static uint32_t exact[16];
	struct fg_signals g = { 0 };
	uint32_t least = UINT32_MAX, sum = 0;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		uint16_t shape = uniform() < 0.5 ? 7 : (uint16_t)(draw() % 16);

		exact[shape]++;
		add_turn(&g, MONDAY, shape, 3);
	}
	for (int i = 0; i < FG_SHAPES_KEPT; i++) {
		sum += g.shape_counts[i];
		least = g.shape_counts[i] < least ? g.shape_counts[i] : least;
	}
	assert_int_equal(sum, 50000);
	for (int i = 0; i < FG_SHAPES_KEPT; i++) {
		assert_true(g.shape_counts[i] >= exact[g.shapes[i]]);
		assert_true(g.shape_counts[i] <= exact[g.shapes[i]] + least);
	}
	assert_int_equal(fg_signals_shapes(&g).top[0].shape, 7);
	for (int i = 0; i < 200000; i++)
		add_turn(&g, MONDAY, i % 4 ? 7 : 8, i % 4 ? 20 : 2);
	assert_near(fg_signals_shapes(&g).top[0].share, 0.75, 0.1);
	assert_near(fg_signals_shapes(&g).streamed_share, 0.75, 0.1);
	assert_near(fg_signals_shapes(&g).chunks_mean, 15.5, 2);
}

/* --- Hours ------------------------------------------------------------------------------------ */

static void move(struct fg_signals *g, uint64_t ns)
{
	const struct fg_epoch_flow f = { .bytes_in = 1 };

	fg_signals_add(g, &f, ns, EVER);
}

static unsigned int n_active(const struct fg_signals *g, unsigned int days_ago)
{
	unsigned int n = 0;

	for (unsigned int q = 0; q < FG_DAY_QUARTERS; q++)
		n += fg_signals_active(g, days_ago, q);
	return n;
}

static void test_signals_quarters_of_two_days(void **state)
{
	struct fg_signals g = { 0 }, before;

	(void)state;
	for (uint64_t q = 0; q < FG_DAY_QUARTERS; q += 5)
		for (int i = 0; i < 3; i++)
			move(&g, MONDAY + q * 15 * MINUTE + (uint64_t)i * 899 * S / 2);
	for (unsigned int q = 0; q < FG_DAY_QUARTERS; q++)
		assert_int_equal(fg_signals_active(&g, 0, q), q % 5 == 0);
	assert_int_equal(fg_signals_hours(&g), 20);
	assert_int_equal(g.returns, 0);
	/* the last nanosecond of the day, and the first of the next */
	move(&g, MONDAY + FG_DAY_NS - 1);
	assert_true(fg_signals_active(&g, 0, 95));
	assert_int_equal(g.returns, 0);
	move(&g, MONDAY + FG_DAY_NS);
	assert_int_equal(g.returns, 1);
	assert_int_equal(n_active(&g, 0), 1);
	assert_int_equal(n_active(&g, 1), 20);
	/* late news of yesterday; of the day before that nothing is kept */
	add_turn(&g, MONDAY + HOUR, 1, 1);
	assert_true(fg_signals_active(&g, 1, 4));
	before = g;
	move(&g, MONDAY - HOUR);
	assert_memory_equal(&g, &before, sizeof(g));
	assert_int_equal(n_active(&g, 0) + n_active(&g, 1), 22);
	assert_false(fg_signals_active(&g, 2, 0) || fg_signals_active(&g, 0, 96));
	/* two days later */
	move(&g, MONDAY + 3 * FG_DAY_NS);
	assert_int_equal(n_active(&g, 1), 0);
	assert_int_equal(g.returns, 2);
}

/* A year of office hours: the histogram is halved and keeps its form. */
static void test_signals_hours_are_halved_together(void **state)
{
	struct fg_signals g = { 0 };

	(void)state;
	for (uint64_t day = 0; day < 365; day++) {
		for (uint64_t q = 9 * 4; q < 17 * 4; q++)
			move(&g, MONDAY + day * FG_DAY_NS + q * 15 * MINUTE);
		move(&g, MONDAY + day * FG_DAY_NS + 20 * HOUR);
	}
	for (int h = 0; h < 24; h++) {
		if (h >= 9 && h < 17)
			assert_in_range(g.hours[h], 127, 255);
		else if (h == 20)
			assert_near(g.hours[h], g.hours[9] / 4.0, 8);
		else
			assert_int_equal(g.hours[h], 0);
	}
	assert_int_equal(g.returns, 255);
}

/* --- Closes ----------------------------------------------------------------------------------- */

static void test_signals_idle_modes(void **state)
{
	const struct {
		uint32_t ms;
		enum fg_idle_mode mode;
	} cases[] = {
		{ 0, FG_IDLE_BELOW_1 },	   { 999, FG_IDLE_BELOW_1 },	  { 1000, FG_IDLE_OTHER },
		{ 2999, FG_IDLE_OTHER },   { 3000, FG_IDLE_4 },		  { 4000, FG_IDLE_4 },
		{ 4499, FG_IDLE_4 },	   { 4500, FG_IDLE_5 },		  { 5000, FG_IDLE_5 },
		{ 6000, FG_IDLE_5 },	   { 6001, FG_IDLE_OTHER },	  { 28999, FG_IDLE_OTHER },
		{ 29000, FG_IDLE_30 },	   { 31000, FG_IDLE_30 },	  { 45000, FG_IDLE_45 },
		{ 60999, FG_IDLE_60 },	   { 90000, FG_IDLE_90 },	  { 119000, FG_IDLE_120 },
		{ 180500, FG_IDLE_180 },   { 299000, FG_IDLE_300 },	  { 301000, FG_IDLE_300 },
		{ 301001, FG_IDLE_OTHER }, { UINT32_MAX, FG_IDLE_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (fg_idle_mode_of(cases[i].ms) != cases[i].mode)
			fail_msg("%u ms is %s", cases[i].ms,
				 fg_idle_mode_name(fg_idle_mode_of(cases[i].ms)));
}

static void close_one(struct fg_signals *g, uint8_t by, uint32_t idle_ms)
{
	const struct fg_epoch_flow f = { .news = FG_NEWS_CLOSED,
					 .closed_by = by,
					 .idle_ms = idle_ms };

	fg_signals_add(g, &f, MONDAY, EVER);
}

/* A server that closes first hides the client's constant. */
static void test_signals_closes(void **state)
{
	struct fg_signals g = { 0 };
	struct fg_closes c = fg_signals_closes(&g);

	(void)state;
	assert_int_equal(c.n + c.n_idle, 0);
	close_one(&g, FG_CLOSE_NOT, 45000);
	close_one(&g, _FG_CLOSE_MAX, 45000);
	assert_int_equal(fg_signals_closes(&g).n, 0);
	for (int i = 0; i < 1000; i++)
		close_one(&g,
			  i % 4 == 0 ? FG_CLOSE_CLIENT_RST :
			  i % 4 == 1 ? FG_CLOSE_SERVER_FIN :
				       FG_CLOSE_CLIENT_FIN,
			  i % 4 == 3 ? 300 : 45200);
	c = fg_signals_closes(&g);
	assert_in_range(c.n, 200, 1000);
	assert_near(c.by_share[FG_CLOSE_CLIENT_FIN], 0.5, 0.01);
	assert_near(c.by_share[FG_CLOSE_CLIENT_RST], 0.25, 0.01);
	assert_near(c.by_share[FG_CLOSE_SERVER_FIN], 0.25, 0.01);
	assert_true(c.by_share[FG_CLOSE_SERVER_RST] == 0);
	assert_near(c.idle_share[FG_IDLE_45], 2.0 / 3, 0.01);
	assert_near(c.idle_share[FG_IDLE_BELOW_1], 1.0 / 3, 0.01);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static void open_one(struct fg_signals *g, uint64_t ns, uint16_t flags, uint32_t order,
		     uint64_t known_since_ns)
{
	const struct fg_epoch_flow f = {
		.news = FG_NEWS_OPENED, .opened_ns = ns, .hello_flags = flags, .order = order
	};

	fg_signals_add(g, &f, ns, known_since_ns);
}

static void test_signals_orphans(void **state)
{
	const uint64_t day = FG_DAY_NS;
	const struct {
		const char *what;
		uint64_t full_ns[2], resumed_ns; /* 0 = none */
		bool judged, orphan;
	} cases[] = {
		{ "no full handshake", { 0 }, MONDAY, true, true },
		{ "one a minute before", { MONDAY - MINUTE }, MONDAY, true, false },
		{ "one 24 h before", { MONDAY - day }, MONDAY, true, false },
		{ "one 25 h before", { MONDAY - day - HOUR }, MONDAY, true, true },
		{ "one 40 days before", { MONDAY - 40 * day }, MONDAY, true, true },
		{ "one in the same epoch", { MONDAY }, MONDAY - S / 2, true, false },
		{ "one an hour after", { MONDAY + HOUR }, MONDAY, true, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fg_signals g = { 0 };
		struct fg_lifecycle l;

		for (int k = 0; k < 2; k++)
			if (cases[i].full_ns[k])
				fg_signals_full(&g, cases[i].full_ns[k]);
		open_one(&g, cases[i].resumed_ns, FG_HELLO_RESUMED, 1, EVER);
		l = fg_signals_lifecycle(&g);
		if (l.n_judged != cases[i].judged || (l.orphan_share > 0) != cases[i].orphan)
			fail_msg("%s: judged %u, share %g", cases[i].what, l.n_judged,
				 l.orphan_share);
	}
}

/* Until it has been looked at for a day, and after clients were forgotten, nothing is said. */
static void test_signals_orphans_after_burn_in(void **state)
{
	struct fg_signals g = { 0 }, h = { 0 };

	(void)state;
	open_one(&g, MONDAY, FG_HELLO_TICKET, 1, MONDAY - FG_DAY_NS + 1);
	assert_int_equal(fg_signals_lifecycle(&g).n_judged, 0);
	open_one(&h, MONDAY, FG_HELLO_TICKET, 1, MONDAY - FG_DAY_NS);
	assert_int_equal(fg_signals_lifecycle(&h).n_judged, 1);
	assert_near(fg_signals_lifecycle(&h).orphan_share, 1, 1e-9);
	open_one(&h, MONDAY, FG_HELLO_RESUMED, 1, MONDAY + HOUR);
	assert_int_equal(fg_signals_lifecycle(&h).n_judged, 1);
	/* resumed all along, from before anybody looked: never an orphan */
	for (uint64_t i = 1; i < 100; i++)
		open_one(&g, MONDAY + i * HOUR, FG_HELLO_RESUMED, 1, MONDAY - FG_DAY_NS + 1);
	assert_int_equal(fg_signals_lifecycle(&g).n_judged, 99);
	assert_true(fg_signals_lifecycle(&g).orphan_share == 0);
}

/* An orphan's own tickets do not make it known. */
static void test_signals_orphans_stay_orphans(void **state)
{
	struct fg_signals g = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		open_one(&g, MONDAY + i * HOUR, FG_HELLO_RESUMED | (i % 2 ? FG_HELLO_EARLY : 0), 1,
			 EVER);
	assert_in_range(fg_signals_lifecycle(&g).n, 127, 255);
	assert_near(fg_signals_lifecycle(&g).orphan_share, 1, 1e-9);
	assert_near(fg_signals_lifecycle(&g).early_share, 0.5, 0.02);
}

/* Linear counting, against what was shown; 0 to 64 within three times its standard error. */
static void test_signals_orders(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= 64; n = n ? n * 2 : 1) {
		double sum = 0;

		for (int run = 0; run < 200; run++) {
			struct fg_signals g = { 0 };

			for (uint32_t i = 0; i < n; i++) {
				uint32_t order = (uint32_t)draw();

				open_one(&g, MONDAY, 0, order, EVER);
				open_one(&g, MONDAY, 0, order, EVER);
			}
			sum += fg_signals_lifecycle(&g).orders;
			assert_false(fg_signals_lifecycle(&g).orders_full);
		}
		assert_near(sum / 200, n, 0.03 * n + 0.1);
	}
}

static void test_signals_orders_saturate(void **state)
{
	struct fg_signals g = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 5000; i++)
		open_one(&g, MONDAY, 0, i, EVER);
	assert_true(fg_signals_lifecycle(&g).orders_full);
	assert_near(fg_signals_lifecycle(&g).orders, 266, 1);
}

/* Groups that the epoch says are not valid are not read. */
static void test_signals_read_only_what_is_news(void **state)
{
	struct fg_epoch_flow f;
	struct fg_signals g = { 0 };
	const struct fg_signals none = { 0 };

	(void)state;
	memset(&f, 0xff, sizeof(f));
	f.news = 0;
	f.n_turns = 0;
	f.bytes_in = f.bytes_out = 0;
	fg_signals_add(&g, &f, MONDAY, EVER);
	assert_memory_equal(&g, &none, sizeof(g));
	/* more turns than there is room for */
	f.n_turns = 255;
	fg_signals_add(&g, &f, MONDAY, EVER);
	assert_int_equal(fg_signals_shapes(&g).n, FG_EPOCH_TURNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_codes_are_within_one_percent),
		cmocka_unit_test(test_time_codes_round_trip),
		cmocka_unit_test(test_signals_keep_the_latest_times),
		cmocka_unit_test(test_signals_median_of_few),
		cmocka_unit_test(test_signals_leave_out_what_was_resent),
		cmocka_unit_test(test_signals_relayed_by_definition),
		cmocka_unit_test(test_signals_gap_bins_double),
		cmocka_unit_test(test_signals_gap_statistics),
		cmocka_unit_test(test_signals_gaps_of_disorder),
		cmocka_unit_test(test_signals_gaps_saturate),
		cmocka_unit_test(test_signals_shapes),
		cmocka_unit_test(test_signals_shapes_of_many),
		cmocka_unit_test(test_signals_quarters_of_two_days),
		cmocka_unit_test(test_signals_hours_are_halved_together),
		cmocka_unit_test(test_signals_idle_modes),
		cmocka_unit_test(test_signals_closes),
		cmocka_unit_test(test_signals_orphans),
		cmocka_unit_test(test_signals_orphans_after_burn_in),
		cmocka_unit_test(test_signals_orphans_stay_orphans),
		cmocka_unit_test(test_signals_orders),
		cmocka_unit_test(test_signals_orders_saturate),
		cmocka_unit_test(test_signals_read_only_what_is_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
