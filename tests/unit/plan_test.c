/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* export/plan.h: what many verdicts would do together, and what is remembered from plan to plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "export/plan.h"
#include "lib/ip.h"

#define S	1000000000ULL
#define H	(3600 * S)
#define NOW	(1795435200 * S)
#define G(name) FG_GUARD_##name

static struct fg_store *store;
static struct fg_plan *plan;
static struct fg_guard_conf conf;
static struct fg_trip trip;
static bool allow_unread, no_caps;

/* What the witness says of every source, and how often it was asked. */
static struct fg_collateral who;
static uint64_t activity;
static unsigned int asked;

static void look(void *arg, const struct fg_verdict *const *verdicts, size_t n,
		 struct fg_collateral *ret, uint64_t *ret_activity)
{
	(void)arg;
	asked++;
	for (size_t i = 0; i < n; i++) {
		assert_memory_equal(verdicts[i]->addr, verdicts[0]->addr, 16);
		ret[i] = who;
		ret_activity[i] = activity;
	}
}

static uint64_t network(void *arg, const uint8_t addr[16])
{
	(void)arg;
	return addr[13];
}

static void network_name(void *arg, uint64_t key, char ret_name[24])
{
	(void)arg;
	snprintf(ret_name, 24, "N%llu", (unsigned long long)key);
}

static struct fg_witness witness;

static int set_up(void **arg)
{
	char why[256];

	(void)arg;
	conf = fg_guard_defaults;
	conf.holdback = 0;
	trip = (struct fg_trip){ .by = G(none) };
	allow_unread = no_caps = false;
	who = (struct fg_collateral){
		.known = true,
		.clients = 1,
		.stems = 1,
		.hosts = 1,
		.turns = 10,
		.own_turns = 10,
	};
	activity = 10;
	asked = 0;
	witness = (struct fg_witness){
		.look = look,
		.network = network,
		.network_name = network_name,
		.all_turns = 10000000,
		.all_sources = 1000000,
	};
	return fg_store_open(NULL, NOW, &store, why, sizeof(why));
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_plan_free(&plan);
	fg_store_close(&store);
	return 0;
}

static void parse(const char *text, uint8_t addr[16], uint8_t *bits)
{
	assert_int_equal(fg_ip_parse(text, addr, bits), 0);
}

/* stem 0 = flagged by itself. */
static void flag(const char *source, uint64_t stem)
{
	static const struct fg_names names = { "-", "-", "-" };
	struct fg_finding f = {
		.stem = stem,
		.stack = 5,
		.cohort = stem ? 7 : 0,
		.score = 20,
		.proven = true,
		.n_evidence = 1,
		.evidence[0] = { .name = "test", .n_benign = 1 },
	};
	uint8_t bits;

	parse(source, f.source, &bits);
	/* one spike enforces nothing */
	assert_true(fg_store_note(store, &f, &names, true, 11, NOW - 10 * S) >= 0);
	assert_true(fg_store_note(store, &f, &names, true, 24 * 3600, NOW) >= 0);
}

static void flag_number(uint32_t i, uint64_t stem)
{
	char source[32];

	snprintf(source, sizeof(source), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
	flag(source, stem);
}

static void make_at(uint64_t now_ns)
{
	struct fg_plan *before = plan;
	const struct fg_plan_input in = {
		.store = store,
		.min_tier = FG_TIER_ENFORCE,
		.now_ns = now_ns,
		.witness = &witness,
		.conf = &conf,
		.seed = { 1, 2, 3, 4 },
		.allow_unread = allow_unread,
		.no_caps = no_caps,
		.trip = &trip,
		.before = before,
	};

	plan = NULL;
	assert_int_equal(fg_plan_make(&in, &plan), 0);
	fg_plan_free(&before);
}

static const struct fg_guarded *of(const char *source, uint64_t stem)
{
	const struct fg_verdict *found[8];
	uint8_t addr[16], bits;
	size_t n;

	parse(source, addr, &bits);
	n = fg_store_find(store, addr, found, 8);
	for (size_t i = 0; i < n; i++)
		if (found[i]->stem == stem) {
			const struct fg_plan_entry *e = fg_plan_find(plan, found[i]);

			assert_non_null(e);
			assert_ptr_equal(fg_plan_verdict(plan, store, e), found[i]);
			return &e->guarded;
		}
	fail_msg("no verdict on %s", source);
	return NULL;
}

static void expect(const char *source, uint64_t stem, enum fg_guard held, enum fg_guard address)
{
	const struct fg_guarded *g = of(source, stem);

	if (g->held != held || g->address_held != address)
		fail_msg("%s: held by %s, address by %s", source, fg_guard_name(g->held),
			 fg_guard_name(g->address_held));
}

static void test_plan_counts_what_leaves(void **arg)
{
	uint8_t addr[16], bits;
	int64_t id;

	(void)arg;
	flag("10.0.0.1", 0);
	flag("10.0.0.2", 77);
	parse("198.51.100.0/24", addr, &bits);
	assert_int_equal(fg_store_block(store, addr, bits, 0, "", 60, "", NOW, &id), 0);
	make_at(NOW);
	expect("10.0.0.1", 0, G(none), G(none));
	expect("10.0.0.2", 77, G(none), G(none));
	assert_int_equal(plan->n, 3);
	assert_int_equal(plan->report.blocks, 3);
	assert_int_equal(plan->report.automatic, 2);
	assert_int_equal(plan->report.clients, 1);
	assert_int_equal(plan->report.addresses, 3);
	assert_int_equal(of("198.51.100.7", 0)->scope, FG_SCOPE_PREFIX);
	/* an operator's prefix is nothing that a witness of sources is asked about */
	assert_int_equal(asked, 2);
	make_at(NOW + 61 * S);
	assert_int_equal(plan->n, 2);
}

static void test_plan_allow_wins_over_all(void **arg)
{
	uint8_t addr[16], bits;
	int64_t id;

	(void)arg;
	flag("10.0.0.1", 0);
	parse("10.0.0.3", addr, &bits);
	assert_int_equal(fg_store_block(store, addr, bits, 0, "", 60, "", NOW, &id), 0);
	parse("10.0.0.0/30", addr, &bits);
	assert_int_equal(fg_store_allow_static(store, addr, bits), 0);
	make_at(NOW);
	/* the store has lowered them already; an alert is no part of this plan */
	assert_int_equal(plan->n, 0);
	assert_int_equal(plan->report.blocks, 0);
}

static bool allow_all(void *arg, const uint8_t addr[16], uint8_t bits, char reason[160])
{
	(void)addr;
	(void)bits;
	strcpy(reason, "allow file test: all");
	return *(bool *)arg;
}

static void test_plan_asks_the_further_allowlist(void **arg)
{
	bool on = false;

	(void)arg;
	assert_int_equal(fg_store_allow_extra(store, allow_all, &on), 0);
	flag("10.0.0.1", 77);
	make_at(NOW);
	expect("10.0.0.1", 77, G(none), G(none));
	/* before the store could lower it */
	on = true;
	make_at(NOW);
	expect("10.0.0.1", 77, G(allowed), G(allowed));
	assert_int_equal(plan->report.held[G(allowed)], 1);
	assert_int_equal(fg_store_allow_extra_changed(store, NOW), 0);
	assert_int_equal(fg_store_at(store, 0)->tier, FG_TIER_ALERT);
	assert_string_equal(fg_store_at(store, 0)->reason, "allowlisted: allow file test: all");
	make_at(NOW);
	assert_int_equal(plan->n, 0);
}

static void test_plan_an_unread_allow_file_holds_automatic_ones(void **arg)
{
	uint8_t addr[16], bits;
	int64_t id;

	(void)arg;
	allow_unread = true;
	flag("10.0.0.1", 77);
	parse("10.0.0.3", addr, &bits);
	assert_int_equal(fg_store_block(store, addr, bits, 0, "", 60, "", NOW, &id), 0);
	make_at(NOW);
	expect("10.0.0.1", 77, G(allow_files), G(allow_files));
	expect("10.0.0.3", 0, G(none), G(none));
}

/* A bare address hits every client there: what keeps one of them from being acted on keeps it. */
static void test_plan_one_held_verdict_holds_the_address(void **arg)
{
	char source[32];
	bool found = false;

	(void)arg;
	conf.holdback = 0.5;
	for (unsigned int i = 1; i < 60; i++) {
		snprintf(source, sizeof(source), "10.0.0.%u", i);
		flag(source, 77);
		flag(source, 78);
		flag(source, 0);
	}
	make_at(NOW);
	for (unsigned int i = 1; i < 60; i++) {
		const struct fg_guarded *a, *b, *whole;
		bool any;

		snprintf(source, sizeof(source), "10.0.0.%u", i);
		a = of(source, 77);
		b = of(source, 78);
		whole = of(source, 0);
		any = a->held != G(none) || b->held != G(none) || whole->held != G(none);
		assert_int_equal(a->address_held, any ? G(holdback) : G(none));
		assert_int_equal(b->address_held, any ? G(holdback) : G(none));
		assert_int_equal(whole->held, any ? G(holdback) : G(none));
		found |= a->held == G(none) && b->held == G(holdback);
	}
	assert_true(found);
}

static void test_plan_operators_stand_above_neighbours(void **arg)
{
	uint8_t addr[16], bits;
	int64_t id;

	(void)arg;
	who.shared = true;
	flag("10.0.0.1", 77);
	parse("10.0.0.1", addr, &bits);
	assert_int_equal(fg_store_block(store, addr, bits, 0, "", 60, "", NOW, &id), 0);
	assert_int_equal(fg_store_block(store, addr, bits, 79, "", 60, "", NOW, &id), 0);
	make_at(NOW);
	expect("10.0.0.1", 77, G(none), G(shared));
	expect("10.0.0.1", 0, G(none), G(none));
	expect("10.0.0.1", 79, G(none), G(client_only));
}

static void test_plan_caps_a_network(void **arg)
{
	(void)arg;
	conf.max_blocks_network = 10;
	for (uint32_t i = 0; i < 11; i++)
		flag_number(7 << 16 | i, 0);
	for (uint32_t i = 0; i < 10; i++)
		flag_number(8 << 16 | i, 77);
	make_at(NOW);
	expect("10.7.0.3", 0, G(max_blocks_network), G(max_blocks_network));
	expect("10.8.0.3", 77, G(none), G(none));
	assert_int_equal(plan->report.networks_held, 1);
	assert_string_equal(plan->report.network, "N7");
	assert_int_equal(plan->report.held[G(max_blocks_network)], 11);
	assert_int_equal(plan->report.blocks, 10);
	/* released at half of it and not before */
	conf.max_blocks_network = 12;
	make_at(NOW + 1);
	expect("10.7.0.3", 0, G(max_blocks_network), G(max_blocks_network));
	conf.max_blocks_network = 22;
	make_at(NOW + 2);
	expect("10.7.0.3", 0, G(none), G(none));
}

static void test_plan_caps_all_and_latches(void **arg)
{
	uint8_t addr[16], bits;
	int64_t id;

	(void)arg;
	conf.max_blocks = 10;
	for (uint32_t i = 0; i < 11; i++)
		flag_number(i << 16, i % 2 ? 77 : 0);
	parse("192.0.2.1", addr, &bits);
	assert_int_equal(fg_store_block(store, addr, bits, 0, "", 3600, "", NOW, &id), 0);
	make_at(NOW);
	assert_int_equal(plan->report.trip.by, G(max_blocks));
	assert_int_equal(plan->report.held[G(max_blocks)], 11);
	expect("192.0.2.1", 0, G(none), G(none));
	/* six of them are taken back: half and more are left */
	for (uint32_t i = 0; i < 5; i++) {
		char source[32];

		snprintf(source, sizeof(source), "10.%u.0.0", i);
		parse(source, addr, &bits);
		assert_int_equal(fg_store_unblock(store, addr, bits, "", NOW), 1);
	}
	make_at(NOW + S);
	assert_int_equal(plan->report.held[G(max_blocks)], 6);
	parse("10.5.0.0", addr, &bits);
	assert_int_equal(fg_store_unblock(store, addr, bits, "", NOW), 1);
	make_at(NOW + 2 * S);
	assert_int_equal(plan->report.held[G(max_blocks)], 5);
	make_at(NOW + H + 2 * S);
	assert_int_equal(plan->report.trip.by, G(none));
	assert_int_equal(plan->report.automatic, 5);
}

static void test_plan_counts_harm_once_a_source(void **arg)
{
	(void)arg;
	conf.max_harm = 0.002;
	who = (struct fg_collateral){
		.known = true,
		.clients = 3,
		.hosts = 1,
		.turns = 100,
		.other_turns = 5,
		.own_turns = 40,
	};
	witness.all_turns = 10000;
	flag("10.0.0.1", 77);
	flag("10.0.0.1", 78);
	make_at(NOW);
	assert_int_equal(plan->report.wish.clean_turns, 5);
	flag("10.0.0.2", 77);
	make_at(NOW);
	assert_int_equal(plan->report.wish.clean_turns, 10);
	assert_int_equal(plan->report.addresses, 3);
	/* half of the harm that is allowed is spent */
	flag("10.0.0.3", 77);
	flag("10.0.0.4", 0);
	make_at(NOW);
	assert_int_equal(plan->report.wish.clean_turns, 10);
	expect("10.0.0.1", 78, G(none), G(none));
	expect("10.0.0.3", 77, G(none), G(max_harm));
	expect("10.0.0.4", 0, G(max_harm), G(max_harm));
	assert_int_equal(plan->report.trip.by, G(none));
	no_caps = true;
	make_at(NOW);
	expect("10.0.0.4", 0, G(none), G(none));
}

/* One loud source with others behind it must not let everybody else go. */
static void look_by_address(void *arg, const struct fg_verdict *const *verdicts, size_t n,
			    struct fg_collateral *ret, uint64_t *ret_activity)
{
	look(arg, verdicts, n, ret, ret_activity);
	for (size_t i = 0; i < n; i++)
		ret[i].other_turns = verdicts[i]->addr[15] == 1 ? 49 * ret[i].turns / 1000 : 1;
}

static void test_plan_nobody_trips_the_cap_by_his_neighbours(void **arg)
{
	(void)arg;
	who.turns = who.own_turns = 100000;
	witness.look = look_by_address;
	witness.all_turns = 400000;
	for (uint32_t i = 1; i < 100; i++)
		flag_number(i, 77);
	make_at(NOW);
	expect("10.0.0.1", 77, G(none), G(max_harm));
	expect("10.0.0.2", 77, G(none), G(none));
	assert_int_equal(plan->report.addresses, 98);
	assert_int_equal(plan->report.trip.by, G(none));
}

static void test_plan_trips_on_doubtful_verdicts(void **arg)
{
	(void)arg;
	witness.all_sources = 100;
	for (uint32_t i = 0; i < 66; i++)
		flag_number(i, 77);
	make_at(NOW);
	assert_int_equal(plan->report.trip.by, G(none));
	flag_number(66, 77);
	make_at(NOW);
	assert_int_equal(plan->report.trip.by, G(max_harm));
	assert_int_equal(plan->report.held[G(max_harm)], 67);
}

static void test_plan_asks_again_after_a_minute_or_when_verdicts_differ(void **arg)
{
	(void)arg;
	flag("10.0.0.1", 77);
	flag("10.0.0.2", 77);
	make_at(NOW);
	assert_int_equal(asked, 2);
	make_at(NOW + 59 * S);
	assert_int_equal(asked, 2);
	/* one more on a source: who is named there is another question */
	flag("10.0.0.1", 78);
	flag("10.0.0.0", 78);
	make_at(NOW + 59 * S);
	assert_int_equal(asked, 4);
	make_at(NOW + 60 * S);
	assert_int_equal(asked, 5);
	make_at(NOW + 200 * S);
	assert_int_equal(asked, 8);
}

/* A row that gave way is no news about who else is there, and nobody blocked may empty the table to be
 * let go. */
static void test_plan_remembers_whose_row_gave_way(void **arg)
{
	(void)arg;
	flag("10.0.0.1", 77);
	make_at(NOW);
	who = (struct fg_collateral){ .known = false };
	make_at(NOW + 61 * S);
	expect("10.0.0.1", 77, G(none), G(none));
	flag("10.0.0.2", 77);
	make_at(NOW + 62 * S);
	expect("10.0.0.2", 77, G(none), G(collateral));
}

static void test_plan_measures_who_is_held_back(void **arg)
{
	const struct fg_guard_report *r;
	uint64_t held;

	(void)arg;
	conf.holdback = 0.25;
	for (uint32_t i = 0; i < 200; i++)
		flag_number(i, 77);
	activity = 1000;
	make_at(NOW);
	assert_int_equal(plan->report.held_back.turns, 0);
	activity = 1030;
	make_at(NOW + 2 * H);
	r = &plan->report;
	held = r->held[G(holdback)];
	assert_true(held > 20 && held < 80);
	assert_int_equal(r->held_back.verdicts, held);
	assert_int_equal(r->held_back.turns, 30 * held);
	assert_true(r->held_back.hours > 2 * (double)held - 0.01 &&
		    r->held_back.hours < 2 * (double)held + 0.01);
	assert_int_equal(r->enforced.verdicts, 200 - held);
	/* a row that was made anew counts from nothing */
	activity = 7;
	make_at(NOW + 4 * H);
	assert_int_equal(plan->report.held_back.turns, 0);
	activity = 9;
	make_at(NOW + 6 * H);
	assert_int_equal(plan->report.held_back.turns, 2 * held);
}

/* More on one source than are looked at together: the clients leave, the address does not. */
static void test_plan_of_a_source_with_many_verdicts(void **arg)
{
	(void)arg;
	for (uint64_t stem = 1; stem <= 65; stem++)
		flag("10.0.0.1", stem);
	make_at(NOW);
	assert_int_equal(asked, 0);
	assert_int_equal(plan->report.clients, 65);
	assert_int_equal(plan->report.address_held[G(collateral)], 65);
}

static void test_plan_without_a_witness_lets_no_address_go(void **arg)
{
	const struct fg_plan_input in = {
		.store = store,
		.min_tier = FG_TIER_ENFORCE,
		.now_ns = NOW,
		.conf = &conf,
	};

	(void)arg;
	flag("10.0.0.1", 77);
	flag("10.0.0.2", 0);
	assert_int_equal(fg_plan_make(&in, &plan), 0);
	expect("10.0.0.1", 77, G(none), G(collateral));
	expect("10.0.0.2", 0, G(collateral), G(collateral));
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* Figures for who reads the output; the model's part is in tests/bench/guards.c. */
static void test_plan_of_25000(void **arg)
{
	double first, again;
	uint8_t addr[16], bits;

	(void)arg;
	assert_int_equal(fg_store_begin(store), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "192.%u.%u.0/24", i >> 8, i & 255);
		parse(text, addr, &bits);
		assert_int_equal(fg_store_allow_static(store, addr, bits), 0);
	}
	for (uint32_t i = 0; i < 25000; i++)
		flag_number(i * 2621U, 77);
	assert_int_equal(fg_store_commit(store), 0);
	first = now_ms();
	make_at(NOW);
	again = now_ms();
	make_at(NOW + S);
	print_message(
		"25,000 verdicts, 1,000 allowed prefixes: %.0f ms, and %.0f ms of the same anew\n",
		again - first, now_ms() - again);
	assert_int_equal(asked, 25000);
	assert_int_equal(plan->report.blocks, 25000);
}

#define T(name) cmocka_unit_test_setup_teardown(test_plan_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(counts_what_leaves),
		T(allow_wins_over_all),
		T(asks_the_further_allowlist),
		T(an_unread_allow_file_holds_automatic_ones),
		T(one_held_verdict_holds_the_address),
		T(operators_stand_above_neighbours),
		T(caps_a_network),
		T(caps_all_and_latches),
		T(counts_harm_once_a_source),
		T(nobody_trips_the_cap_by_his_neighbours),
		T(trips_on_doubtful_verdicts),
		T(asks_again_after_a_minute_or_when_verdicts_differ),
		T(remembers_whose_row_gave_way),
		T(measures_who_is_held_back),
		T(of_a_source_with_many_verdicts),
		T(without_a_witness_lets_no_address_go),
		T(of_25000),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
