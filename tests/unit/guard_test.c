/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verdict/guard.h: every guard, which of two is asked first, and caps over time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "verdict/guard.h"

#define S   1000000000ULL
#define H   (3600 * S)
#define NOW (1795435200 * S)

/* What is wrong with a verdict that else may leave. */
enum flaw {
	ALLOWED = 1 << 0,
	NOT_CANONICAL = 1 << 1,
	ALLOW_UNREAD = 1 << 2,
	NOT_PROVEN = 1 << 3,
	SHARED = 1 << 4,
	SHARED_NOW = 1 << 5,
	CROWD = 1 << 6,
	COLLATERAL = 1 << 7,
	UNKNOWN = 1 << 8,
	DRAWN = 1 << 9,
	WIDE = 1 << 10,
	CLIENT = 1 << 11, /* no flaw: what it is about */
	OPERATOR = 1 << 12,
	_ALL = 1 << 13
};

struct made {
	struct fg_verdict v;
	struct fg_collateral who;
	struct fg_guard_case c;
};

static void make(struct made *m, unsigned int flaws)
{
	*m = (struct made){
		.v = { .origin = flaws & OPERATOR ? FG_ORIGIN_OPERATOR : FG_ORIGIN_DETECTOR,
		       .proven = !(flaws & NOT_PROVEN),
		       .shared = flaws & SHARED,
		       .stem = flaws & CLIENT ? 77 : 0 },
		.who = { .known = !(flaws & UNKNOWN),
			 .clients = 2,
			 .hosts = flaws & CROWD ? 9 : 8,
			 .turns = 100,
			 .other_turns = flaws & COLLATERAL ? 6 : 5,
			 .shared = flaws & SHARED_NOW },
	};
	fg_ip_parse(flaws & WIDE ? "192.0.2.0/24" : "192.0.2.4", m->v.addr, &m->v.bits);
	if (flaws & NOT_CANONICAL)
		m->v.bits = flaws & WIDE ? 110 : 124;
	if (flaws & UNKNOWN)
		m->who = (struct fg_collateral){ .known = false };
	m->c = (struct fg_guard_case){
		.verdict = &m->v,
		.collateral = &m->who,
		.allowed = flaws & ALLOWED,
		.allow_unread = flaws & ALLOW_UNREAD,
		/* 1 % of 2^64 is 184467440737095516.16 */
		.draw = flaws & DRAWN ? 184467440737095000ULL : 184467440737096000ULL,
	};
}

static enum fg_guard block_of(unsigned int flaws)
{
	struct made m;

	make(&m, flaws);
	return fg_guard_block(&m.c, &fg_guard_defaults);
}

static enum fg_guard address_of(unsigned int flaws)
{
	struct made m;

	make(&m, flaws);
	return fg_guard_address(&m.c, &fg_guard_defaults);
}

#define G(name) FG_GUARD_##name

static void test_guard_each_flaw_has_its_guard(void **arg)
{
	static const struct {
		unsigned int flaws;
		enum fg_guard client, client_address, source, operators;
	} rows[] = {
		{ 0, G(none), G(none), G(none), G(none) },
		{ ALLOWED, G(allowed), G(allowed), G(allowed), G(allowed) },
		{ NOT_CANONICAL, G(not_canonical), G(not_canonical), G(not_canonical),
		  G(not_canonical) },
		{ ALLOW_UNREAD, G(allow_files), G(allow_files), G(allow_files), G(none) },
		{ NOT_PROVEN, G(not_proven), G(not_proven), G(not_proven), G(none) },
		{ SHARED, G(none), G(shared), G(shared), G(none) },
		{ SHARED_NOW, G(none), G(shared), G(shared), G(none) },
		{ CROWD, G(crowd), G(crowd), G(crowd), G(none) },
		{ COLLATERAL, G(none), G(collateral), G(collateral), G(none) },
		{ UNKNOWN, G(none), G(collateral), G(collateral), G(none) },
		{ DRAWN, G(holdback), G(holdback), G(holdback), G(none) },
		{ WIDE, G(two_step), G(two_step), G(two_step), G(none) },
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned int flaws = rows[i].flaws;

		assert_int_equal(block_of(flaws | CLIENT), rows[i].client);
		assert_int_equal(address_of(flaws | CLIENT), rows[i].client_address);
		assert_int_equal(block_of(flaws), rows[i].source);
		assert_int_equal(address_of(flaws), rows[i].source);
		assert_int_equal(block_of(flaws | OPERATOR), rows[i].operators);
		assert_int_equal(address_of(flaws | OPERATOR), rows[i].operators);
	}
	/* an operator who named a client did not mean its neighbours */
	assert_int_equal(block_of(OPERATOR | CLIENT), G(none));
	assert_int_equal(address_of(OPERATOR | CLIENT), G(client_only));
	assert_int_equal(address_of(OPERATOR | CLIENT | ALLOWED), G(allowed));
}

/* Of any flaws together the first in the order of FG_GUARDS gives the name; and no flaw added ever
 * lets something leave. All 8,192 combinations. */
static void test_guard_the_first_of_them_holds(void **arg)
{
	(void)arg;
	for (unsigned int flaws = 0; flaws < _ALL; flaws++) {
		enum fg_guard block = G(none), address = G(none);

		for (unsigned int one = 1; one < CLIENT; one <<= 1) {
			unsigned int kind = flaws & (CLIENT | OPERATOR);
			enum fg_guard b, a;

			if (!(flaws & one))
				continue;
			/* of whom nothing is known there is no crowd and no share either */
			if (flaws & UNKNOWN && one & (CROWD | SHARED_NOW))
				continue;
			b = block_of(one | kind);
			a = address_of(one | kind);
			if (b != G(none) && (block == G(none) || b < block))
				block = b;
			if (a != G(none) && (address == G(none) || a < address))
				address = a;
		}
		if (flaws & OPERATOR && flaws & CLIENT && address == G(none))
			address = G(client_only);
		assert_int_equal(block_of(flaws), block);
		assert_int_equal(address_of(flaws), address);
	}
}

static void test_guard_ipv6_sources_are_64s(void **arg)
{
	struct made m;

	(void)arg;
	make(&m, 0);
	fg_ip_parse("2001:db8::/64", m.v.addr, &m.v.bits);
	assert_int_equal(fg_guard_block(&m.c, &fg_guard_defaults), G(none));
	assert_int_equal(fg_scope_of(&m.v), FG_SCOPE_SOURCE);
	fg_ip_parse("2001:db8::/56", m.v.addr, &m.v.bits);
	assert_int_equal(fg_guard_block(&m.c, &fg_guard_defaults), G(two_step));
	assert_int_equal(fg_scope_of(&m.v), FG_SCOPE_PREFIX);
}

static void test_guard_names_and_sentences(void **arg)
{
	(void)arg;
	assert_null(fg_guard_name(G(none)));
	assert_string_equal(fg_guard_says(G(none)), "");
	for (int g = G(none) + 1; g < _FG_GUARD_MAX; g++) {
		assert_true(strlen(fg_guard_says((enum fg_guard)g)) > 10);
		for (int h = G(none) + 1; h < g; h++)
			assert_string_not_equal(fg_guard_name((enum fg_guard)g),
						fg_guard_name((enum fg_guard)h));
	}
	assert_string_equal(fg_guard_name(G(max_blocks_network)), "max_blocks_network");
}

/* --- Holdback ----------------------------------------------------------------------------------- */

static unsigned int count_held_back(const uint64_t seed[4], double share, uint8_t *marks)
{
	struct fg_guard_conf conf = fg_guard_defaults;
	unsigned int n = 0;
	struct made m;

	conf.holdback = share;
	make(&m, CLIENT);
	for (uint32_t i = 0; i < 100000; i++) {
		/* neighbours, as a network hands them out, with few stems */
		m.v.addr[13] = (uint8_t)(i >> 16);
		m.v.addr[14] = (uint8_t)(i >> 8);
		m.v.addr[15] = (uint8_t)i;
		m.v.stem = 1 + i % 3;
		m.c.draw = fg_guard_draw(seed, m.v.addr, m.v.stem);
		marks[i] = fg_guard_block(&m.c, &conf) == G(holdback);
		n += marks[i];
	}
	return n;
}

static void test_guard_holds_back_one_in_a_hundred(void **arg)
{
	/* sqrt(100,000 x 0.01 x 0.99) */
	const double sigma = sqrt(990);
	static uint8_t first[100000], again[100000], other[100000], more[100000];
	const uint64_t seed[4] = { 0x1234, 0xfedcba9876543210ULL, 7, 1ULL << 63 };
	const uint64_t seed2[4] = { 0x1235, 0xfedcba9876543210ULL, 7, 1ULL << 63 };
	unsigned int both = 0;

	(void)arg;
	assert_true(fabs(count_held_back(seed, 0.01, first) - 1000.) < 3 * sigma);
	assert_true(fabs(count_held_back(seed2, 0.01, other) - 1000.) < 3 * sigma);
	count_held_back(seed, 0.01, again);
	assert_memory_equal(first, again, sizeof(first));
	/* who is held back with another seed is another: 10 expected in both */
	for (size_t i = 0; i < sizeof(first); i++)
		both += first[i] && other[i];
	assert_true(both < 30);
	/* a larger share takes nobody out */
	count_held_back(seed, 0.02, more);
	for (size_t i = 0; i < sizeof(first); i++)
		assert_true(!first[i] || more[i]);
	assert_int_equal(count_held_back(seed, 0, more), 0);
	assert_int_equal(count_held_back(seed, 1, more), 100000);
}

/* --- Caps --------------------------------------------------------------------------------------- */

static void test_guard_share_of_others(void **arg)
{
	struct fg_collateral c = { .known = true, .turns = 40, .other_turns = 2 };

	(void)arg;
	assert_true(fabs(fg_collateral_share(&c) - 0.05) < 1e-12);
	c.turns = c.other_turns = 0;
	assert_true(fg_collateral_share(&c) == 0);
	c.known = false;
	assert_true(fg_collateral_share(&c) == 1);
}

/* The farm that has to be blocked, and a detector that flags everybody. */
static void test_guard_defaults_let_the_farm_go_and_stop_madness(void **arg)
{
	static const struct {
		uint32_t blocks, sources;
		double fdr;
		enum fg_guard by;
	} rows[] = {
		{ 25000, 50000, 1e-4, G(none) },
		/* flags all 50,000, and is sure of it */
		{ 50000, 50000, 0, G(max_harm) },
		/* the same on a service of any size */
		{ 500, 500, 0, G(max_harm) },
		{ 340, 500, 0, G(max_harm) },
		{ 330, 500, 0, G(none) },
		{ 50001, 1000000, 0, G(max_blocks) },
		{ 50000, 1000000, 0, G(none) },
		/* one loud source that makes most of what comes */
		{ 1, 50, 1e-4, G(none) },
		/* not sure of it */
		{ 25000, 50000, 0.02, G(max_harm) },
		{ 10, 50000, NAN, G(none) },
	};
	const struct fg_collateral who = { .known = true, .turns = 25, .own_turns = 25 };

	(void)arg;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fg_guard_wish wish = { .all_sources = rows[i].sources,
					      .all_turns = 25ULL * rows[i].sources };
		struct fg_trip trip = { .by = G(none) };

		for (uint32_t k = 0; k < rows[i].blocks; k++)
			fg_guard_wish_add(&wish, rows[i].fdr, &who, true);
		assert_int_equal(fg_trip_step(&trip, &wish, &fg_guard_defaults, NOW), rows[i].by);
	}
}

static void test_guard_harm_counts_neighbours_at_addresses_only(void **arg)
{
	const struct fg_collateral who = {
		.known = true, .turns = 100, .other_turns = 4, .own_turns = 96
	};
	struct fg_guard_wish wish = { .all_sources = 1000, .all_turns = 100000 };

	(void)arg;
	assert_true(fg_guard_harm(&wish) == 0);
	fg_guard_wish_add(&wish, 0, &who, false);
	assert_true(wish.clean_turns == 0);
	assert_true(fabs(fg_guard_harm(&wish) - FG_GUARD_LEAST_FDR / 1000) < 1e-12);
	fg_guard_wish_add(&wish, 0.5, &who, true);
	assert_true(wish.clean_turns == 4);
	/* (0.5 x 96 + 4) / 100,000 against 0.5 x 1 / 1,000 and the little of the first */
	assert_true(fabs(fg_guard_harm(&wish) - 0.00052) < 1e-12);
	wish.all_sources = 0;
	wish.all_turns = 0;
	assert_true(fg_guard_harm(&wish) == 1);
}

static enum fg_guard step(struct fg_trip *t, uint64_t blocks, uint64_t at_ns)
{
	const struct fg_guard_conf conf = { .max_blocks = 100, .max_harm = 1 };
	const struct fg_guard_wish wish = { .blocks = blocks };

	return fg_trip_step(t, &wish, &conf, at_ns);
}

static void test_guard_a_trip_is_latched(void **arg)
{
	struct fg_trip t = { .by = G(none) };

	(void)arg;
	assert_int_equal(step(&t, 100, NOW), G(none));
	assert_int_equal(step(&t, 101, NOW + S), G(max_blocks));
	assert_true(t.since_ns == NOW + S && t.blocks == 101);
	/* less is not little enough */
	assert_int_equal(step(&t, 99, NOW + 2 * S), G(max_blocks));
	assert_int_equal(step(&t, 51, NOW + 9 * H), G(max_blocks));
	/* half of it, for an hour */
	assert_int_equal(step(&t, 50, NOW + 10 * H), G(max_blocks));
	assert_int_equal(step(&t, 50, NOW + 11 * H - S), G(max_blocks));
	/* once more in between begins the hour anew */
	assert_int_equal(step(&t, 51, NOW + 11 * H - S), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW + 11 * H), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW + 12 * H - 1), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW + 12 * H), G(none));
	assert_true(t.since_ns == 0 && t.blocks == 0);
	assert_int_equal(step(&t, 101, NOW + 12 * H), G(max_blocks));
}

static void test_guard_a_trip_outlives_a_clock_that_is_set_back(void **arg)
{
	struct fg_trip t = { .by = G(none) };

	(void)arg;
	assert_int_equal(step(&t, 101, NOW), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW + 1), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW - 5 * H), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW - 4 * H - 1), G(max_blocks));
	assert_int_equal(step(&t, 0, NOW - 4 * H), G(none));
}

static void test_guard_a_raised_cap_releases_after_its_hour(void **arg)
{
	const struct fg_guard_conf raised = { .max_blocks = 1000, .max_harm = 1 };
	const struct fg_guard_wish wish = { .blocks = 101 };
	struct fg_trip t = { .by = G(none) };

	(void)arg;
	assert_int_equal(step(&t, 101, NOW), G(max_blocks));
	assert_int_equal(fg_trip_step(&t, &wish, &raised, NOW + S), G(max_blocks));
	assert_int_equal(fg_trip_step(&t, &wish, &raised, NOW + S + H), G(none));
	/* and a restart at once */
	t = (struct fg_trip){ .by = G(none) };
	assert_int_equal(fg_trip_step(&t, &wish, &raised, NOW), G(none));
}

static void test_guard_networks_are_released_at_half(void **arg)
{
	const struct fg_guard_conf conf = { .max_blocks_network = 10 };

	(void)arg;
	assert_false(fg_guard_network_held(10, false, &conf));
	assert_true(fg_guard_network_held(11, false, &conf));
	assert_true(fg_guard_network_held(6, true, &conf));
	assert_false(fg_guard_network_held(6, false, &conf));
	assert_false(fg_guard_network_held(5, true, &conf));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard_each_flaw_has_its_guard),
		cmocka_unit_test(test_guard_the_first_of_them_holds),
		cmocka_unit_test(test_guard_ipv6_sources_are_64s),
		cmocka_unit_test(test_guard_names_and_sentences),
		cmocka_unit_test(test_guard_holds_back_one_in_a_hundred),
		cmocka_unit_test(test_guard_share_of_others),
		cmocka_unit_test(test_guard_defaults_let_the_farm_go_and_stop_madness),
		cmocka_unit_test(test_guard_harm_counts_neighbours_at_addresses_only),
		cmocka_unit_test(test_guard_a_trip_is_latched),
		cmocka_unit_test(test_guard_a_trip_outlives_a_clock_that_is_set_back),
		cmocka_unit_test(test_guard_a_raised_cap_releases_after_its_hour),
		cmocka_unit_test(test_guard_networks_are_released_at_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
