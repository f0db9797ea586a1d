/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/stems.h: what is usual for a stem, and which stems stay when there are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/stems.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static const uint64_t seed[2] = { 0x1234567890abcdefULL, 0xfedcba0987654321ULL };
static struct fg_stems *stems;

static int set_up(void **state)
{
	(void)state;
	return fg_stems_new(seed, FG_DEFAULT_STEMS, &stems);
}

static int tear_down(void **state)
{
	(void)state;
	fg_stems_free(&stems);
	return 0;
}

static void assert_near(double a, double b, double within)
{
	if (!(fabs(a - b) <= within))
		fail_msg("%.9g is not within %g of %.9g", a, within, b);
}

static void test_stems_have_one_row_each(void **state)
{
	struct fg_stem *row = fg_stems_row(stems, 7, NOW);

	(void)state;
	assert_non_null(row);
	row->connections = 3;
	assert_ptr_equal(fg_stems_row(stems, 7, NOW + S), row);
	assert_int_equal(fg_stems_find(stems, 7)->connections, 3);
	assert_int_equal(fg_stems_find(stems, 7)->last_ns, NOW + S);
	assert_null(fg_stems_find(stems, 8));
	assert_int_equal(fg_stems_n(stems), 1);
	/* no hello, no stem */
	assert_null(fg_stems_row(stems, 0, NOW));
	assert_null(fg_stems_find(stems, 0));
	assert_int_equal(fg_stems_refused(stems).no_room, 0);
}

/* Ten times as many stems as rows, invented all at once: the popular stay, and each that found no
 * room is counted. */
static void test_stems_survive_a_flood_of_invented_ones(void **state)
{
	uint32_t refused = 0;

	(void)state;
	for (uint64_t k = 1; k <= 100; k++)
		for (int i = 0; i < 5; i++)
			fg_stem_add_client(fg_stems_row(stems, k, NOW), 9, NOW);
	for (uint64_t k = 1000; k < 1000 + 10 * FG_DEFAULT_STEMS; k++)
		refused += !fg_stems_row(stems, k, NOW + S);
	assert_int_equal(fg_stems_refused(stems).no_room, refused);
	assert_int_equal(fg_stems_refused(stems).expired, 0);
	assert_int_equal(fg_stems_n(stems), FG_DEFAULT_STEMS);
	/* ten minutes later the invented ones give way to others, not the popular, though as idle */
	for (uint64_t k = 1000000; k < 1000000 + FG_DEFAULT_STEMS; k++)
		fg_stems_row(stems, k, NOW + 700 * S);
	assert_true(fg_stems_refused(stems).expired > FG_DEFAULT_STEMS / 2);
	assert_int_equal(fg_stems_n(stems), FG_DEFAULT_STEMS);
	for (uint64_t k = 1; k <= 100; k++) {
		assert_non_null(fg_stems_find(stems, k));
		assert_int_equal(fg_stems_find(stems, k)->clients, 5);
	}
}

/* All idle alike: those that few clients showed go first. */
static void test_stems_of_the_fewest_clients_go_first(void **state)
{
	(void)state;
	for (uint64_t k = 1; k <= 500; k++)
		for (int i = 0; i < 3; i++)
			fg_stem_add_client(fg_stems_row(stems, k, NOW), 9, NOW);
	for (uint64_t k = 1000; k < 1000 + 4 * FG_DEFAULT_STEMS; k++)
		fg_stems_row(stems, k, NOW);
	for (uint64_t k = 1000000; k < 1002000; k++)
		assert_non_null(fg_stems_row(stems, k, NOW + 86400 * S));
	assert_true(fg_stems_refused(stems).expired >= 1900);
	for (uint64_t k = 1; k <= 500; k++)
		assert_non_null(fg_stems_find(stems, k));
}

/* The bound of the placement: how much of the table is in use before the first is refused. */
static void test_stems_fill_before_they_refuse(void **state)
{
	uint64_t k = 1;

	(void)state;
	while (fg_stems_row(stems, k, NOW))
		k++;
	assert_true(k > FG_DEFAULT_STEMS / 5);
	for (; k < FG_DEFAULT_STEMS; k++)
		fg_stems_row(stems, k, NOW);
	assert_true(fg_stems_n(stems) > FG_DEFAULT_STEMS * 8 / 10);
}

/* The 5th percentile over the whole range, within the width of a bin. */
static void test_stems_crypto_time(void **state)
{
	(void)state;
	for (double us = 110; us < 950000; us *= 1.07) {
		struct fg_stem row = { .stem = 1 };
		struct fg_crypto c;

		/* 100 connections from us to twice that, each told with another round trip */
		for (uint32_t i = 0; i < 100; i++) {
			double own = us * (1 + (i * 37 % 100) / 99.0);

			c = fg_stem_crypto(&row);
			assert_int_equal(c.n, i);
			assert_int_equal(c.known, i >= FG_CRYPTO_MIN_N);
			assert_true(c.known ? c.us > 0 : c.us == 0);
			fg_stem_add_crypto(&row, 1000 * i, 1000 * i + (uint32_t)own);
		}
		c = fg_stem_crypto(&row);
		assert_near(c.us, fmin(us * (1 + 5 / 99.0), 1e6), 0.04 * us);
	}
}

/* A turn-around shorter than the round trip is a time of nothing. */
static void test_stems_crypto_time_of_nothing(void **state)
{
	struct fg_stem row = { .stem = 1 };

	(void)state;
	assert_int_equal(fg_stem_crypto(NULL).n, 0);
	assert_false(fg_stem_crypto(NULL).known);
	for (int i = 0; i < 50; i++)
		fg_stem_add_crypto(&row, 30000, 29000);
	assert_true(fg_stem_crypto(&row).known);
	assert_true(fg_stem_crypto(&row).us == 0);
	for (int i = 0; i < 2000; i++)
		fg_stem_add_crypto(&row, 0, UINT32_MAX);
	assert_near(fg_stem_crypto(&row).us, 1e6, 0.03 * 1e6);
}

/* More than a bin can count: the percentile stays where it is. */
static void test_stems_crypto_time_of_many(void **state)
{
	struct fg_stem row = { .stem = 1 };
	uint32_t sum = 0;

	(void)state;
	for (int i = 0; i < 500000; i++)
		fg_stem_add_crypto(&row, 1000, i % 10 ? 9000 : 3000);
	for (int i = 0; i < FG_CRYPTO_BINS; i++)
		sum += row.crypto[i];
	assert_int_equal(fg_stem_crypto(&row).n, sum);
	assert_true(sum < 2 * 65536);
	assert_near(fg_stem_crypto(&row).us, 2000, 60);
}

/* Probabilities of all stacks, the unseen as one, add up to 1; the more is known, the surer. */
static void test_stems_stack_shares(void **state)
{
	struct fg_stem row = { .stem = 1 };
	double sum = 0;

	(void)state;
	assert_near(fg_stem_stack(NULL, 5).p, 1.0 / 9, 1e-9);
	assert_int_equal(fg_stem_stack(NULL, 5).n, 0);
	assert_near(fg_stem_stack(&row, 5).p, 1.0 / 9, 1e-9);
	for (int i = 0; i < 900; i++)
		fg_stem_add_client(&row, 100, NOW);
	for (int i = 0; i < 100; i++)
		fg_stem_add_client(&row, 101 + (uint64_t)i % 4, NOW);
	/* a client without a SYN says nothing about stacks */
	fg_stem_add_client(&row, 0, NOW);
	assert_int_equal(row.clients, 1001);
	assert_int_equal(fg_stem_stack(&row, 100).n, 1000);
	assert_near(fg_stem_stack(&row, 100).p, 900.5 / 1004.5, 1e-9);
	assert_near(fg_stem_stack(&row, 777).p, 0.5 / 1004.5, 1e-9);
	for (uint64_t k = 100; k < 108; k++)
		sum += fg_stem_stack(&row, k).p;
	assert_near(sum + fg_stem_stack(&row, 777).p, 1, 1e-9);
	assert_true(fg_stem_stack(&row, 0).p == 1);
}

/* More stacks than places: the frequent ones are kept, no count is too low, and one that is not
 * kept is never said to be rarer than it can be. */
/* Births and returns of a day and the day before; older ones are gone, and a clock that goes back
 * finds nothing. */
static void test_stems_days(void **state)
{
	const uint64_t day = 86400 * S;
	struct fg_stem row = { .stem = 1 };

	(void)state;
	assert_int_equal(fg_stem_day(NULL, 0, NOW).births, 0);
	for (int i = 0; i < 5; i++)
		fg_stem_add_client(&row, 9, NOW);
	fg_stem_add_return(&row, NOW);
	assert_int_equal(fg_stem_day(&row, 0, NOW).births, 5);
	assert_int_equal(fg_stem_day(&row, 0, NOW).returns, 1);
	assert_int_equal(fg_stem_day(&row, 1, NOW).births, 0);
	/* the day after, before and after anything happened on it */
	assert_int_equal(fg_stem_day(&row, 0, NOW + day).births, 0);
	assert_int_equal(fg_stem_day(&row, 1, NOW + day).births, 5);
	fg_stem_add_return(&row, NOW + day);
	fg_stem_add_return(&row, NOW + day);
	fg_stem_add_client(&row, 9, NOW + day);
	assert_int_equal(fg_stem_day(&row, 0, NOW + day).births, 1);
	assert_int_equal(fg_stem_day(&row, 0, NOW + day).returns, 2);
	assert_int_equal(fg_stem_day(&row, 1, NOW + day).births, 5);
	assert_int_equal(fg_stem_day(&row, 1, NOW + day).returns, 1);
	assert_int_equal(fg_stem_day(&row, 0, NOW).births, 0);
	/* a day without anything lies between */
	assert_int_equal(fg_stem_day(&row, 1, NOW + 3 * day).births, 0);
	fg_stem_add_client(&row, 9, NOW + 3 * day);
	assert_int_equal(fg_stem_day(&row, 0, NOW + 3 * day).births, 1);
	assert_int_equal(fg_stem_day(&row, 1, NOW + 3 * day).births, 0);
	assert_int_equal(fg_stem_day(&row, 1, NOW + 3 * day).returns, 0);
	assert_int_equal(row.clients, 7);
}

static void test_stems_stacks_of_many(void **state)
{
	static uint32_t exact[64];
	struct fg_stem row = { .stem = 1 };
	uint64_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t k = i % 3 ? (i * 7919 >> 3) % 3 : (i * 104729 >> 4) % 64;

		exact[k]++;
		fg_stem_add_client(&row, 1000 + k, NOW);
		n++;
	}
	assert_int_equal(fg_stem_stack(&row, 1000).n, n);
	for (uint32_t k = 0; k < 64; k++) {
		struct fg_stack_share share = fg_stem_stack(&row, 1000 + k);

		assert_true(share.p * ((double)n + 4.5) + 1e-6 >= exact[k] + 0.5);
		if (k < 3)
			assert_near(share.p, (double)exact[k] / (double)n, 0.07);
	}
}

static void test_stems_size(void **state)
{
	(void)state;
	print_message("a stem has %zu bytes, the table of %d %.1f MB\n", sizeof(struct fg_stem),
		      FG_DEFAULT_STEMS, (double)fg_stems_bytes(FG_DEFAULT_STEMS) / 1e6);
	assert_true(fg_stems_bytes(FG_DEFAULT_STEMS) < 10000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stems_have_one_row_each),
		TEST(test_stems_survive_a_flood_of_invented_ones),
		TEST(test_stems_of_the_fewest_clients_go_first),
		TEST(test_stems_fill_before_they_refuse),
		TEST(test_stems_crypto_time),
		TEST(test_stems_crypto_time_of_nothing),
		TEST(test_stems_crypto_time_of_many),
		TEST(test_stems_stack_shares),
		TEST(test_stems_days),
		TEST(test_stems_stacks_of_many),
		TEST(test_stems_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
