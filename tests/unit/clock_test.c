/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/clock.c over small populations of several countries: who keeps one clock in all of them is
 * told from who keeps his own day, and nothing is said where nothing can be known. Clients are fed
 * as epochs and read as a cell reads them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "detect/clock.h"
#include "packet.h"

#define QUARTER_NS (900 * 1000000000ULL)
#define START_NS   (20500 * FG_DAY_NS)
#define DAYS	   5
#define MOST	   1000
#define MOST_FLOWS (40 * MOST)

/* From UTC-5 to UTC+12. */
static const char *const countries[] = { "US", "BR", "GB", "DE", "IN", "CN", "JP", "NZ" };
#define COUNTRIES 8

/* What a client's day follows. */
enum rhythm {
	OWN_DAY, /* that of its country */
	ONE_DAY, /* that of one place, wherever it is */
	NO_DAY, /* it never rests */
	OFFICE, /* its country's hours of work */
	EVENINGS, /* its country's evenings */
};

static struct {
	struct fg_prng rng;
	struct fg_networks *networks;
	struct fg_epoch_source sources[MOST];
	struct fg_epoch_client clients[MOST];
	struct fg_epoch_flow flows[MOST_FLOWS];
	size_t n, n_flows;
	struct fg_traits traits[MOST];
	struct fg_suspect suspects[MOST];
	struct fg_clock said;
} town;

static void clear(void)
{
	town.n = town.n_flows = 0;
}

static int set_up(void **state)
{
	struct fg_networks_report report;
	char text[1024], why[128];
	int n = 0;

	(void)state;
	town.rng.state = 3;
	clear();
	for (int i = 0; i < COUNTRIES; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "11.%d.0.0/16\t%d\tres\t%s\n", i,
			      64500 + i, countries[i]);
	return fg_networks_parse(text, (size_t)n, "towns", &town.networks, &report, why,
				 sizeof(why));
}

static int tear_down(void **state)
{
	(void)state;
	fg_networks_free(&town.networks);
	return 0;
}

static bool chance(double p)
{
	return fg_prng_below(&town.rng, 1000000) < p * 1e6;
}

/* Is it awake? Hours are those of the clock that it follows. */
static double awake(enum rhythm rhythm, unsigned int hour)
{
	if (rhythm == NO_DAY)
		return 0.6;
	if (rhythm == OFFICE)
		return hour >= 9 && hour < 18 ? 1 : 0.05;
	if (rhythm == EVENINGS)
		return hour >= 18 && hour < 23 ? 1 : 0.1;
	return hour < 7 ? 0.05 : hour < 9 ? 0.5 : hour < 21 ? 1 : 0.4;
}

static uint64_t time_of_quarter(unsigned int quarter)
{
	return START_NS + quarter * QUARTER_NS + fg_prng_below(&town.rng, 900) * 1000000000ULL;
}

static void add_flow(size_t client, bool relayed, uint64_t at_ns)
{
	struct fg_epoch_flow *f = &town.flows[town.n_flows++];

	assert_true(town.n_flows <= MOST_FLOWS);
	*f = (struct fg_epoch_flow){ .stem = 0x5eed,
				     .print = 0x5eed,
				     .news = FG_NEWS_OPENED | FG_NEWS_TIMES,
				     .opened_ns = at_ns,
				     .n_rtts = 2,
				     .rtt_us = 30000,
				     .turn_us = relayed ? 150000 : 33000 };
	memcpy(f->addr, town.clients[client].addr, 16);
}

/* A client that connects in about so many quarter hours a day while it is awake; three times at
 * least, so that it can be told whether it comes through a relay. */
static void add_client(unsigned int country, enum rhythm rhythm, bool relayed, double a_day)
{
	size_t at = town.n++, first = town.n_flows;
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff, [12] = 11 };
	int minutes = 0;

	assert_true(town.n <= MOST);
	assert_int_equal(fg_country_offset(countries[country], &minutes), 0);
	addr[13] = (uint8_t)country;
	addr[14] = (uint8_t)(at >> 8);
	addr[15] = (uint8_t)at;
	town.sources[at] = (struct fg_epoch_source){ .proven = 1, .connections = 1, .hellos = 1 };
	town.clients[at] =
		(struct fg_epoch_client){ .stem = 0x5eed, .print = 0x5eed, .connections = 1 };
	memcpy(town.sources[at].addr, addr, 16);
	memcpy(town.clients[at].addr, addr, 16);
	if (rhythm == ONE_DAY)
		minutes = 180;
	for (unsigned int q = 0; q < DAYS * FG_DAY_QUARTERS; q++) {
		unsigned int hour = (q * 15 + 2880 + (unsigned int)minutes) / 60 % 24;

		if (chance(a_day / 58 * awake(rhythm, hour)))
			add_flow(at, relayed, time_of_quarter(q));
	}
	while (town.n_flows < first + 3)
		add_flow(at, relayed, time_of_quarter(DAYS * FG_DAY_QUARTERS - 1));
}

/* Of the first so many countries, in turn. */
static void add_clients(size_t n, unsigned int of, enum rhythm rhythm, bool relayed)
{
	for (size_t i = 0; i < n; i++)
		add_client((unsigned int)i % of, rhythm, relayed, 4);
}

static void vote_in(struct fg_model *model, const struct fg_networks *networks)
{
	const struct fg_epoch e = { .start_ns = START_NS,
				    .end_ns = START_NS + DAYS * FG_DAY_NS - 1,
				    .sources = town.sources,
				    .n_sources = town.n,
				    .clients = town.clients,
				    .n_clients = town.n,
				    .flows = town.flows,
				    .n_flows = town.n_flows };
	struct fg_traits_reader reader;

	assert_int_equal(fg_model_apply(model, &e), 0);
	fg_traits_begin(&reader, model, networks);
	for (uint32_t i = 0; i < town.n; i++) {
		fg_traits_read(&reader, i, &town.traits[i]);
		town.suspects[i] =
			(struct fg_suspect){ .traits = &town.traits[i],
					     .half = (uint8_t)fg_prng_below(&town.rng, 2),
					     .clock = FG_BIN_UNKNOWN };
	}
	fg_clock_vote(model, town.suspects, town.n, &town.said);
}

/* A model of its own for each population, with a fixed seed. */
static void vote(const struct fg_networks *networks)
{
	const struct fg_model_limits limits = { .sources = MOST,
						.clients = MOST,
						.fingerprints = 16,
						.stems = 8,
						.hosts = 8,
						.pairs = 8192,
						.window_ns = 60000000000ULL,
						.seed = { 1, 2 } };
	struct fg_model *model;

	assert_int_equal(fg_model_new(&limits, &model), 0);
	vote_in(model, networks);
	fg_model_free(&model);
}

/* Clients that voted so, of those that are relayed or are not. */
static unsigned int count_votes(bool relayed, uint8_t clock)
{
	unsigned int n = 0;

	for (size_t i = 0; i < town.n; i++)
		n += (town.traits[i].yes >> FG_SHARE_RELAYED & 1) == relayed &&
		     town.suspects[i].clock == clock;
	return n;
}

static void assert_silent(void)
{
	assert_true(town.said.log_e == 0);
	for (size_t i = 0; i < town.n; i++)
		assert_int_equal(town.suspects[i].clock, FG_BIN_UNKNOWN);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void say(const char *who)
{
	print_message("%s: %u of %u vote for one clock, usual %.2f, log e %.2f\n", who,
		      town.said.votes, town.said.n, town.said.usual, town.said.log_e);
}

static void test_one_clock_is_told(void **state)
{
	static const char *const names[] = { NULL, "the day of one place", "no rest" };

	(void)state;
	for (int k = ONE_DAY; k <= NO_DAY; k++) {
		clear();
		add_clients(200, COUNTRIES, OWN_DAY, false);
		add_clients(200, COUNTRIES, (enum rhythm)k, true);
		vote(town.networks);
		say(names[k]);
		assert_true(town.said.log_e > 9);
		assert_true(town.said.n == 200 && town.said.votes >= 185);
		/* each is told apart, and the others are cleared */
		assert_int_equal(count_votes(true, 1), town.said.votes);
		assert_int_equal(count_votes(true, 0), 200 - town.said.votes);
		assert_true(count_votes(false, 0) >= 185 && count_votes(false, 1) <= 15);
	}
}

static void test_own_days_are_none(void **state)
{
	(void)state;
	for (unsigned int of = 3; of <= COUNTRIES; of++) {
		clear();
		add_clients(200, of, OWN_DAY, false);
		add_clients(200, of, OWN_DAY, true);
		vote(town.networks);
		assert_true(town.said.n == 200 && town.said.votes <= 50);
		assert_true(town.said.log_e < -1);
	}
	say("own days");
}

/* Who comes through relays has other habits than who comes straight, each by its country's day: an office
 * moves behind a gateway. */
static void test_other_habits_are_no_clock(void **state)
{
	static const enum rhythm pairs[][2] = { { EVENINGS, OFFICE },
						{ OFFICE, EVENINGS },
						{ OWN_DAY, OFFICE },
						{ EVENINGS, OWN_DAY } };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		for (unsigned int of = 1; of <= COUNTRIES; of++) {
			clear();
			add_clients(200, of, pairs[i][0], false);
			add_clients(200, of, pairs[i][1], true);
			vote(town.networks);
			assert_true(town.said.n >= 190);
			assert_true(town.said.log_e < 1);
		}
	say("evenings, and days behind a relay");
}

/* The vote of those who come straight is what is usual, where it is more than half: a service whose
 * users all keep odd hours. */
static void test_what_others_do_is_usual(void **state)
{
	double log_e;

	(void)state;
	add_clients(200, COUNTRIES, OWN_DAY, false);
	add_clients(100, COUNTRIES, ONE_DAY, true);
	vote(town.networks);
	log_e = town.said.log_e;
	say("as is");
	clear();
	add_clients(60, COUNTRIES, OWN_DAY, false);
	add_clients(140, COUNTRIES, ONE_DAY, false);
	add_clients(100, COUNTRIES, ONE_DAY, true);
	vote(town.networks);
	say("others, too");
	assert_true(town.said.usual > 0.6);
	assert_true(town.said.log_e < log_e - 5);
}

static void test_few_say_nothing(void **state)
{
	static const struct {
		size_t others, relayed;
		bool speaks;
	} cases[] = {
		{ 200, 49, false },
		{ 200, 50, true },
		{ 49, 200, false },
		{ 50, 200, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		clear();
		/* so many quarter hours that each of them can vote */
		for (size_t k = 0; k < cases[i].others + cases[i].relayed; k++)
			add_client((unsigned int)k % COUNTRIES,
				   k < cases[i].others ? OWN_DAY : ONE_DAY, k >= cases[i].others,
				   8);
		vote(town.networks);
		assert_int_equal(town.said.n, cases[i].relayed);
		if (cases[i].speaks)
			assert_true(town.said.log_e > 3);
		else
			assert_silent();
	}
}

static void test_no_table_says_nothing(void **state)
{
	(void)state;
	add_clients(200, COUNTRIES, OWN_DAY, false);
	add_clients(200, COUNTRIES, ONE_DAY, true);
	vote(NULL);
	assert_int_equal(town.said.n, 0);
	assert_silent();
	/* the same with one */
	vote(town.networks);
	assert_true(town.said.log_e > 9);
}

/* A client seen in three quarter hours has no vote, however often it was seen in each. */
static void test_repetition_is_no_vote(void **state)
{
	(void)state;
	for (unsigned int quarters = 3; quarters <= 4; quarters++) {
		clear();
		add_clients(200, COUNTRIES, OWN_DAY, false);
		add_clients(60, COUNTRIES, ONE_DAY, true);
		for (unsigned int i = 0; i < 10; i++) {
			size_t at = town.n;

			add_client(i % COUNTRIES, ONE_DAY, true, 0);
			town.n_flows -= 3;
			for (unsigned int q = 0; q < quarters; q++)
				for (int k = 0; k < 100; k++)
					add_flow(at, true, time_of_quarter(30 + 7 * q));
		}
		vote(town.networks);
		assert_int_equal(count_votes(true, FG_BIN_UNKNOWN), quarters < 4 ? 10 : 0);
		assert_int_equal(town.said.n, quarters < 4 ? 60 : 70);
	}
}

/* Thirty machines that never rest, come straight, and do seven times as much as all others together
 * do not make that day flat which the others have in common. */
static void test_the_busy_count_once(void **state)
{
	(void)state;
	add_clients(100, COUNTRIES, OWN_DAY, false);
	for (unsigned int i = 0; i < 30; i++)
		add_client(i % COUNTRIES, NO_DAY, false, 90);
	add_clients(100, COUNTRIES, OWN_DAY, true);
	vote(town.networks);
	say("beside machines");
	assert_int_equal(town.said.n, 100);
	assert_true(town.said.votes <= 10);
}

/* Of populations in which everybody keeps his own day the e-value is 1 on average, or below: of one
 * country, where both clocks are the same and chance decides, and of several; of a few straight clients
 * beside many relayed ones, and the other way round. */
static void test_e_values_of_own_days(void **state)
{
	double sum[COUNTRIES] = { 0 };

	(void)state;
	for (int i = 0; i < 50 * COUNTRIES; i++) {
		unsigned int of = (unsigned int)i % COUNTRIES;
		uint32_t relayed = 50 + fg_prng_below(&town.rng, 300);

		clear();
		add_clients(400 - relayed, of + 1, OWN_DAY, false);
		add_clients(relayed, of + 1, OWN_DAY, true);
		vote(town.networks);
		sum[of] += exp(town.said.log_e) / 50;
	}
	for (unsigned int of = 0; of < COUNTRIES; of++) {
		print_message("%u countries: mean e-value %.3f\n", of + 1, sum[of]);
		assert_true(sum[of] <= 1.05);
		/* it was asked */
		assert_true(sum[of] > 0.1 && sum[of] != 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_clock_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_days_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_habits_are_no_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_others_do_is_usual, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_few_say_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_table_says_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_repetition_is_no_vote, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_busy_count_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_e_values_of_own_days, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
