/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/volume.c over models that are fed epoch by epoch: the tail against values worked out by
 * hand, loud sources in quiet and heavy-tailed populations, and the populations that must stay
 * quiet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "detect/detect.h"
#include "detect/volume.h"
#include "packet.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static struct fg_model *model;

static struct {
	struct fg_finding first;
	size_t n;
	int answer;
} found;

static int keep(const struct fg_finding *f, void *arg)
{
	(void)arg;
	if (!found.n++)
		found.first = *f;
	return found.answer;
}

static int detect(const struct fg_detect_conf *conf)
{
	const struct fg_scene scene = { .model = model };
	int r = 0;

	memset(&found.first, 0, sizeof(found.first));
	found.n = 0;
	for (size_t i = 0; fg_detectors[i] && !r; i++)
		r = fg_detectors[i]->run(&scene, conf, keep, NULL);
	return r;
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = 20000, .clients = 40000, .fingerprints = 100, .window_ns = 60 * S
	};

	(void)state;
	memset(&found, 0, sizeof(found));
	return fg_model_new(&limits, &model);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&model);
	return 0;
}

static void address(uint32_t i, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	ret_addr[10] = ret_addr[11] = 0xff;
	ret_addr[12] = 10;
	ret_addr[13] = (uint8_t)(i >> 16);
	ret_addr[14] = (uint8_t)(i >> 8);
	ret_addr[15] = (uint8_t)i;
}

/* So many proven connections of source i, spread over so many stems, in the epoch that ends then. */
static void connect_source(uint32_t i, uint32_t n, uint32_t stems, uint64_t end_ns)
{
	struct fg_epoch_source source = { .connections = n, .proven = n, .hellos = n };
	struct fg_epoch_client clients[32];
	struct fg_epoch e = { .start_ns = end_ns - S,
			      .end_ns = end_ns,
			      .sources = &source,
			      .n_sources = 1,
			      .clients = clients,
			      .n_clients = stems };

	address(i, source.addr);
	for (uint32_t k = 0; k < stems; k++) {
		clients[k] = (struct fg_epoch_client){
			.stem = 100 + k, .stack = 7, .print = 500 + k, .connections = n / stems
		};
		memcpy(clients[k].addr, source.addr, 16);
	}
	assert_int_equal(fg_model_apply(model, &e), 0);
}

/* A heavy-tailed crowd: geometric counts, as a mix of browsers makes them. */
static void crowd_of(uint64_t seed, uint32_t n, double mean, uint64_t end_ns)
{
	struct fg_prng r = { seed };

	for (uint32_t i = 0; i < n; i++) {
		double u = (double)(fg_prng_next(&r) >> 11) / 9007199254740992.0;
		uint32_t x = 1 + (uint32_t)(log(1 - u) / log((mean - 1) / mean));

		connect_source(i, x, 1, end_ns);
	}
}

static void crowd(uint32_t n, double mean, uint64_t end_ns)
{
	crowd_of(1, n, mean, end_ns);
}

/* P(X >= k) of the negative binomial: r = 1 is the geometric (m / (1 + m))^k, and k = 0 is certain;
 * r = 2, m = 2, k = 2: 1 - 1/4 - 1/4 = 1/2. */
static void test_detect_tail_is_the_negative_binomial(void **state)
{
	(void)state;
	assert_float_equal(fg_volume_nb_log_tail(0, 3, 1), 0, 1e-12);
	assert_float_equal(fg_volume_nb_log_tail(10, 3, 1), 10 * log(0.75), 1e-9);
	assert_float_equal(fg_volume_nb_log_tail(400, 3, 1), 400 * log(0.75), 1e-6);
	assert_float_equal(fg_volume_nb_log_tail(2, 2, 2), log(0.5), 1e-9);
	/* never below what a double can say, never above certain */
	assert_float_equal(fg_volume_nb_log_tail(1e6, 0.5, 5), -700, 1e-9);
	for (double k = 1; k < 300; k++)
		assert_true(fg_volume_nb_log_tail(k, 4, 0.7) <
			    fg_volume_nb_log_tail(k - 1, 4, 0.7));
}

static void test_detect_one_loud_source_is_found(void **state)
{
	const struct fg_evidence *e = &found.first.evidence[0];
	uint8_t addr[16];

	(void)state;
	crowd(1000, 3, NOW);
	connect_source(5000, 200, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 1);
	address(5000, addr);
	assert_memory_equal(found.first.source, addr, 16);
	assert_true(found.first.proven && !found.first.shared);
	assert_int_equal(found.first.stem, 100);
	assert_int_equal(found.first.n_evidence, 1);
	assert_string_equal(e->name, "proven_connections_60s");
	assert_int_equal(e->family, FG_FAMILY_VOLUME);
	assert_float_equal(e->observed, 200, 0);
	assert_true(e->expected > 2 && e->expected < 4);
	assert_float_equal(e->base_rate, 1.0 / 1001, 1e-9);
	/* the geometric tail of mean 2 beyond the first connection: 199 ln 1.5 = 80.7 */
	assert_true(e->nats > 50 && e->nats < 110);
	assert_float_equal(found.first.score, e->nats, 1e-12);
	assert_non_null(strstr(e->text, "200 proven connections in 60 s"));
	assert_non_null(strstr(e->text, "1 of 1001 active"));
}

/* A hundred thousand ordinary sources in crowds of many means, none of them named: the configured
 * bound is one in a million. */
static void test_detect_ordinary_crowds_are_quiet(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		tear_down(state);
		set_up(state);
		crowd_of(seed, 5000, 1.2 + 0.6 * (double)seed, NOW);
		assert_int_equal(detect(&fg_detect_defaults), 0);
		assert_int_equal(found.n, 0);
	}
}

static void test_detect_a_busy_hour_is_quiet(void **state)
{
	(void)state;
	/* everybody makes forty: what all do is usual */
	for (uint32_t i = 0; i < 500; i++)
		connect_source(i, 38 + i % 5, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 0);
}

/* A fifth of all sources is a farm: what is usual comes from the rest. */
static void test_detect_a_farm_does_not_hide_behind_itself(void **state)
{
	(void)state;
	crowd(400, 2, NOW);
	for (uint32_t i = 0; i < 100; i++)
		connect_source(6000 + i, 60, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 100);
	assert_true(found.first.evidence[0].expected < 4);
}

static void test_detect_a_cold_start_is_silent(void **state)
{
	(void)state;
	crowd(48, 2, NOW);
	connect_source(7000, 5000, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 0);
	connect_source(7001, 1, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 1);
}

/* Many kinds of clients behind one address are many people: volume alone is no flag. */
static void test_detect_a_shared_source_is_not_flagged_by_volume(void **state)
{
	struct fg_detect_conf low = fg_detect_defaults;

	(void)state;
	crowd(1000, 3, NOW);
	connect_source(8000, 2000, fg_detect_defaults.shared_stems, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 0);
	low.flag_nats = 3;
	assert_int_equal(detect(&low), 0);
	assert_true(found.n >= 1);
	for (size_t i = 0; i < found.n && found.first.shared; i++)
		assert_float_equal(found.first.score, 4, 1e-9);
	/* one kind less: one host for each of them */
	connect_source(8001, 2000, fg_detect_defaults.shared_stems - 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 1);
	assert_false(found.first.shared);
}

/* The same by other marks of a crowd: five stacks, hosts at unequal distances, 24 clients at once. */
static void test_detect_a_crowd_is_not_flagged_by_volume(void **state)
{
	struct fg_detect_conf conf = fg_detect_defaults;
	struct fg_epoch_client clients[5] = { 0 };
	struct fg_epoch_flow flows[24] = { 0 };
	const struct fg_epoch e = {
		.end_ns = NOW + S, .clients = clients, .n_clients = 5, .flows = flows, .n_flows = 24
	};

	(void)state;
	conf.shared_stems = 1000;
	crowd(1000, 3, NOW);
	connect_source(8000, 24000, 24, NOW);
	assert_int_equal(detect(&conf), 0);
	assert_int_equal(found.n, 1);
	assert_false(found.first.shared);
	for (uint32_t k = 0; k < 24; k++) {
		flows[k] = (struct fg_epoch_flow){ .stem = 100 + k,
						   .stack = 7,
						   .bytes_in = 1,
						   .news = FG_NEWS_OPENED,
						   .ttl = k % 2 ? 60 : 55 };
		address(8000, flows[k].addr);
	}
	for (uint32_t k = 0; k < 5; k++) {
		clients[k] = (struct fg_epoch_client){ .stem = 100, .stack = 7 + k, .print = 500 };
		address(8000, clients[k].addr);
	}
	assert_int_equal(fg_model_apply(model, &e), 0);
	assert_int_equal(detect(&conf), 0);
	assert_int_equal(found.n, 0);
	conf.flag_nats = 3;
	assert_int_equal(detect(&conf), 0);
	assert_int_equal(found.n, 1);
	assert_true(found.first.shared);
	assert_string_equal(found.first.shared_why,
			    "24 stems, 5 stacks, 5 hops apart, 24 clients at once");
	assert_float_equal(found.first.score, 4, 1e-9);
}

/* SYNs of a source to one address of ours, the k-th of each round from the k-th clock behind it. */
static void tick_clocks(uint32_t i, uint32_t clocks, uint64_t end_ns)
{
	struct fg_epoch_flow flows[16 * 4];
	struct fg_epoch e = { .start_ns = end_ns - S,
			      .end_ns = end_ns,
			      .flows = flows,
			      .n_flows = (size_t)clocks * 4 };

	for (uint32_t k = 0; k < e.n_flows; k++) {
		flows[k] = (struct fg_epoch_flow){ .stem = 100,
						   .stack = 7,
						   .news = FG_NEWS_OPENED,
						   .has_tsval = true,
						   .tsval_ns = end_ns - S + k,
						   .tsval = k % clocks * 100000007 + 5 };
		address(i, flows[k].addr);
	}
	assert_int_equal(fg_model_apply(model, &e), 0);
}

/* The same number of connections, from one host and from ten. */
static void test_detect_volume_is_judged_per_host(void **state)
{
	uint8_t one[16];

	(void)state;
	crowd(1000, 3, NOW);
	connect_source(8100, 60, 1, NOW);
	connect_source(8101, 60, 1, NOW);
	tick_clocks(8100, 1, NOW);
	tick_clocks(8101, 10, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 1);
	address(8100, one);
	assert_memory_equal(found.first.source, one, 16);
	assert_non_null(strstr(found.first.evidence[0].text, "from at least 1 host;"));
}

static void test_detect_few_connections_are_no_opinion(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		connect_source(i, 1, 1, NOW);
	connect_source(9000, fg_detect_defaults.min_connections - 1, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 0);
	connect_source(9000, 1, 1, NOW);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 1);
}

/* What was loud an hour ago is no finding now. */
static void test_detect_the_window_moves_on(void **state)
{
	(void)state;
	connect_source(9100, 500, 1, NOW);
	crowd(1000, 3, NOW + 50 * S);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 1);
	crowd(1000, 3, NOW + 130 * S);
	assert_int_equal(detect(&fg_detect_defaults), 0);
	assert_int_equal(found.n, 0);
}

static void test_detect_stops_where_its_reader_stops(void **state)
{
	(void)state;
	crowd(400, 2, NOW);
	for (uint32_t i = 0; i < 20; i++)
		connect_source(6000 + i, 90, 1, NOW);
	found.answer = -5;
	assert_int_equal(detect(&fg_detect_defaults), -5);
	assert_int_equal(found.n, 1);
}

static void test_detect_names_are_those_of_the_contract(void **state)
{
	static const char *const families[] = { "volume", "relay", "automation", "clock",
						"lifecycle" };
	static const char *const tiers[] = { "observe", "alert", "enforce" };
	enum fg_tier tier;

	(void)state;
	for (int i = 0; i < _FG_FAMILY_MAX; i++)
		assert_string_equal(fg_family_name((enum fg_family)i), families[i]);
	for (int i = 0; i < _FG_TIER_MAX; i++) {
		assert_string_equal(fg_tier_name((enum fg_tier)i), tiers[i]);
		assert_int_equal(fg_tier_parse(tiers[i], &tier), 0);
		assert_int_equal(tier, i);
	}
	assert_int_not_equal(fg_tier_parse("Alert", &tier), 0);
	assert_string_equal(fg_family_name(_FG_FAMILY_MAX), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_detect_tail_is_the_negative_binomial),
		TEST(test_detect_one_loud_source_is_found),
		TEST(test_detect_ordinary_crowds_are_quiet),
		TEST(test_detect_a_busy_hour_is_quiet),
		TEST(test_detect_a_farm_does_not_hide_behind_itself),
		TEST(test_detect_a_cold_start_is_silent),
		TEST(test_detect_a_shared_source_is_not_flagged_by_volume),
		TEST(test_detect_a_crowd_is_not_flagged_by_volume),
		TEST(test_detect_volume_is_judged_per_host),
		TEST(test_detect_few_connections_are_no_opinion),
		TEST(test_detect_the_window_moves_on),
		TEST(test_detect_stops_where_its_reader_stops),
		TEST(test_detect_names_are_those_of_the_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
