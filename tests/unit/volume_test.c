/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/volume.c against what is known of earlier days: a source's own busiest windows, and what
 * other known sources do. Of each day there is one minute.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "detect/volume.h"
#include "packet.h"

#define S	 1000000000ULL
#define START_NS (20500 * FG_DAY_NS + FG_DAY_NS / 2)
#define CROWD	 300
#define KNOWN	 1000 /* first of the known sources */
#define LOUD	 5000

static struct {
	struct fg_model *model;
	struct fg_finding findings[64];
	size_t n;
} town;

static int set_up(void **state)
{
	const struct fg_model_limits limits = { .sources = 4000,
						.clients = 4000,
						.fingerprints = 100,
						.stems = 64,
						.hosts = 64,
						.window_ns = 60 * S,
						.seed = { 1, 2 } };

	(void)state;
	memset(&town, 0, sizeof(town));
	return fg_model_new(&limits, &town.model);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&town.model);
	return 0;
}

static void address(uint32_t i, uint8_t ret[16])
{
	memset(ret, 0, 16);
	ret[10] = ret[11] = 0xff;
	ret[12] = 10;
	ret[14] = (uint8_t)(i >> 8);
	ret[15] = (uint8_t)i;
}

static uint64_t noon(uint32_t day)
{
	return START_NS + day * FG_DAY_NS;
}

/* So many proven connections within a second, and so many exchanges on them. */
static void come(uint32_t i, uint32_t connections, uint32_t exchanges, uint64_t end_ns)
{
	struct fg_epoch_source source = { .connections = connections,
					  .proven = connections,
					  .hellos = connections };
	struct fg_epoch_client client = {
		.stem = 0x5eed, .stack = 7, .print = 0x5eed, .connections = connections
	};
	struct fg_epoch_flow flow = { .stem = 0x5eed, .stack = 7, .exchanges = exchanges };
	const struct fg_epoch e = { .start_ns = end_ns - S,
				    .end_ns = end_ns,
				    .sources = &source,
				    .n_sources = 1,
				    .clients = &client,
				    .n_clients = 1,
				    .flows = &flow,
				    .n_flows = exchanges ? 1 : 0 };

	address(i, source.addr);
	memcpy(client.addr, source.addr, 16);
	memcpy(flow.addr, source.addr, 16);
	assert_int_equal(fg_model_apply(town.model, &e), 0);
}

/* Newcomers of 1 to 6 connections. Addresses are those of the day: nobody of them is known. */
static void crowd(uint32_t day)
{
	struct fg_prng r = { day + 1 };

	for (uint32_t i = 0; i < CROWD; i++) {
		uint32_t x = 1;

		while (x < 6 && fg_prng_below(&r, 2))
			x++;
		come(10000 + day % 8 * CROWD + i, x, 0, noon(day));
	}
}

static int keep(const struct fg_finding *f, void *arg)
{
	(void)arg;
	assert_true(town.n < sizeof(town.findings) / sizeof(town.findings[0]));
	town.findings[town.n++] = *f;
	return 0;
}

static void detect(void)
{
	const struct fg_scene scene = { .model = town.model };

	town.n = 0;
	assert_int_equal(fg_detect_volume.run(&scene, &fg_detect_defaults, keep, NULL), 0);
}

/* Its finding, NULL where it is not flagged. */
static const struct fg_finding *flag_of(uint32_t i)
{
	uint8_t addr[16];

	address(i, addr);
	for (size_t k = 0; k < town.n; k++)
		if (!memcmp(town.findings[k].source, addr, 16))
			return &town.findings[k];
	return NULL;
}

static const struct fg_finding *flag_at(uint32_t i, uint32_t x, uint32_t day)
{
	come(i, x, 0, noon(day));
	crowd(day);
	detect();
	return flag_of(i);
}

static void hold(uint32_t i)
{
	uint8_t addr[16];

	address(i, addr);
	fg_model_hold(town.model, addr);
}

static const struct fg_model_source *source(uint32_t i)
{
	uint8_t addr[16];

	address(i, addr);
	return fg_model_source_find(town.model, addr);
}

/* --- Its own days ----------------------------------------------------------------------------- */

static void test_a_newcomer_is_judged_by_others(void **state)
{
	(void)state;
	assert_non_null(flag_at(LOUD, 400, 0));
	assert_int_equal(town.n, 1);
}

/* The same volume, day by day: known from the third on. */
static void test_as_busy_as_before_is_no_news(void **state)
{
	(void)state;
	for (uint32_t day = 0; day < 10; day++) {
		const struct fg_finding *f = flag_at(LOUD, 400, day);

		assert_true((f != NULL) == (day < FG_OWN_DAYS));
	}
	assert_int_equal(source(LOUD)->days, 9);
}

/* After two days it takes seventy times the busiest window, and after a month thirty times: that
 * one of n + 1 days is the busiest is a chance of 1 / (n + 1), and the tail goes with the cube. */
static void test_many_times_its_peak_is_news(void **state)
{
	static const struct {
		uint32_t days, quiet, loud; /* times the peak of 20 */
	} cases[] = { { 2, 68, 71 }, { 30, 31, 32 } };

	for (size_t i = 0; i < 2; i++) {
		uint32_t days = cases[i].days;
		const struct fg_finding *f;

		tear_down(state);
		set_up(state);
		for (uint32_t day = 0; day < days; day++)
			come(LOUD, day == days - 1 ? 20 : 5, 0, noon(day));
		assert_null(flag_at(LOUD, 20 * cases[i].quiet, days));
		come(LOUD, 20 * (cases[i].loud - cases[i].quiet), 0, noon(days) + S);
		detect();
		f = flag_of(LOUD);
		assert_non_null(f);
		assert_float_equal(f->evidence[0].observed, 20 * cases[i].loud, 0);
		assert_float_equal(f->evidence[0].nats,
				   log(days + 1) + FG_OWN_TAIL * log(cases[i].loud), 1e-9);
		print_message("%u days, %u times the peak: %.2f nats\n", days, cases[i].loud,
			      f->evidence[0].nats);
	}
}

/* What is less surprising counts: a quiet past does not make a volume odd that others have, too. */
static void test_a_quiet_past_is_no_evidence(void **state)
{
	struct fg_prng r = { 9 };

	(void)state;
	for (uint32_t day = 0; day < 5; day++)
		come(LOUD, 1, 0, noon(day));
	/* one in twenty stops each time */
	for (uint32_t i = 0; i < CROWD; i++) {
		uint32_t x = 1;

		while (fg_prng_below(&r, 20))
			x++;
		come(10000 + i, x, 0, noon(5));
	}
	come(LOUD, 130, 0, noon(5));
	detect();
	assert_int_equal(town.n, 0);
	/* its days by themselves would have it flagged */
	assert_true(log(6) + FG_OWN_TAIL * log(130) > fg_detect_defaults.flag_nats);
	come(LOUD, 400, 0, noon(5) + S);
	detect();
	assert_int_equal(town.n, 1);
}

/* Its own exchanges are what it is used to, as well. */
static void test_exchanges_have_a_past_too(void **state)
{
	(void)state;
	for (uint32_t day = 0; day < 4; day++) {
		come(LOUD, 2, 400, noon(day));
		crowd(day);
		detect();
		assert_true((flag_of(LOUD) != NULL) == (day < FG_OWN_DAYS));
	}
}

/* A day on which it was held is none of its days, nor is what it did on it what it is used to. */
static void test_held_days_do_not_count(void **state)
{
	(void)state;
	for (uint32_t day = 0; day < 6; day++) {
		assert_non_null(flag_at(LOUD, 400, day));
		hold(LOUD);
	}
	assert_int_equal(source(LOUD)->days, 0);
	assert_int_equal(source(LOUD)->peak, 0);
	/* one that is known for little, and got used to nothing while it was held */
	for (uint32_t day = 6; day < 9; day++)
		come(LOUD + 1, 20, 0, noon(day));
	for (uint32_t day = 9; day < 12; day++) {
		assert_non_null(flag_at(LOUD + 1, 3000, day));
		hold(LOUD + 1);
	}
	assert_int_equal(source(LOUD + 1)->days, 3);
	/* and the same without */
	for (uint32_t day = 9; day < 12; day++)
		come(LOUD + 2, 20, 0, noon(day));
	assert_non_null(flag_at(LOUD + 2, 3000, 12));
	assert_null(flag_at(LOUD + 2, 3000, 13));
}

/* --- What others do that are known ------------------------------------------------------------ */

/* So many known sources, of which the first so many are customers' servers. */
static void live_with(uint32_t known, uint32_t busy, uint32_t days)
{
	for (uint32_t day = 0; day <= days; day++)
		for (uint32_t i = 0; i < known; i++)
			come(KNOWN + i, i < busy ? 400 : 1 + i % 4, 0, noon(day));
}

/* A newcomer that does what one in twenty of the known sources does is a new customer; what none of
 * them does is news. */
static void test_a_newcomer_like_the_known(void **state)
{
	(void)state;
	live_with(200, 10, FG_OWN_DAYS);
	come(LOUD, 400, 0, noon(FG_OWN_DAYS));
	come(LOUD + 1, 401, 0, noon(FG_OWN_DAYS));
	come(LOUD + 2, 9000, 0, noon(FG_OWN_DAYS));
	detect();
	assert_null(flag_of(LOUD));
	/* above all of them, however little, the null says how odd it is */
	assert_non_null(flag_of(LOUD + 1));
	assert_non_null(flag_of(LOUD + 2));
	assert_int_equal(town.n, 2);
}

/* Of 200 known sources 3 are fewer than FG_KNOWN_SHARE with the newcomer itself, 4 are more. */
static void test_the_share_is_two_in_a_hundred(void **state)
{
	for (uint32_t busy = 2; busy < 7; busy++) {
		tear_down(state);
		set_up(state);
		live_with(200, busy, FG_OWN_DAYS);
		come(LOUD, 400, 0, noon(FG_OWN_DAYS));
		detect();
		assert_true((flag_of(LOUD) == NULL) == ((1.0 + busy) / 201 > FG_KNOWN_SHARE));
		assert_int_equal(town.n, busy < 4);
	}
}

/* Who was there on one day before is not known yet: a farm does not vouch for itself. And too few
 * known sources say nothing. */
static void test_who_is_known(void **state)
{
	static const struct {
		uint32_t known, days;
		bool flagged;
	} cases[] = { { 200, FG_OWN_DAYS - 1, true },
		      { 200, FG_OWN_DAYS, false },
		      { 49, FG_OWN_DAYS, true },
		      { 50, FG_OWN_DAYS, false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t day = cases[i].days;

		tear_down(state);
		set_up(state);
		live_with(cases[i].known, 10, day);
		crowd(day);
		come(LOUD, 400, 0, noon(day));
		detect();
		assert_true((flag_of(LOUD) != NULL) == cases[i].flagged);
	}
}

/* Ten of the known sources were flagged on each of their days: they are not known, and nobody may
 * do as they do. */
static void test_the_held_do_not_vouch(void **state)
{
	(void)state;
	for (uint32_t day = 0; day <= 4; day++) {
		for (uint32_t i = 0; i < 200; i++) {
			come(KNOWN + i, i < 10 ? 400 : 1 + i % 4, 0, noon(day));
			if (i < 10)
				hold(KNOWN + i);
		}
	}
	come(LOUD, 400, 0, noon(4));
	detect();
	assert_non_null(flag_of(LOUD));
	assert_int_equal(town.n, 11);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_newcomer_is_judged_by_others),
		TEST(test_as_busy_as_before_is_no_news),
		TEST(test_many_times_its_peak_is_news),
		TEST(test_a_quiet_past_is_no_evidence),
		TEST(test_exchanges_have_a_past_too),
		TEST(test_held_days_do_not_count),
		TEST(test_a_newcomer_like_the_known),
		TEST(test_the_share_is_two_in_a_hundred),
		TEST(test_who_is_known),
		TEST(test_the_held_do_not_vouch),
	};

	return cmocka_run_group_tests_name("volume", tests, NULL, NULL);
}
