/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/hosts.h: hosts are counted by their clocks where clocks mean something, and not at all where
 * they mean nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/hosts.h"

#define MS   1000000ULL
#define S    1000000000ULL
#define HOUR (3600 * S)
#define NOW  (1795435200 * S)

static const uint64_t seed[2] = { 0x1234567890abcdefULL, 0xfedcba0987654321ULL };
static const uint8_t addr[16] = { [10] = 0xff, 0xff, 203, 0, 113, 7 };
static struct fg_hosts *hosts;
static struct fg_ts before; /* what the model keeps of a source */
static uint16_t to; /* the address of ours that SYNs come to */
static uint64_t draws;

static int set_up(void **state)
{
	(void)state;
	before = (struct fg_ts){ 0 };
	to = 0;
	draws = 88172645463325252ULL;
	return fg_hosts_new(seed, FG_DEFAULT_HOSTS, &hosts);
}

static int tear_down(void **state)
{
	(void)state;
	fg_hosts_free(&hosts);
	return 0;
}

/* xorshift64 (Marsaglia 2003): the same numbers in each run. */
static uint64_t draw(void)
{
	draws ^= draws << 13;
	draws ^= draws >> 7;
	return draws ^= draws << 17;
}

/* The clock of one host: f ticks a second, so much too fast, from an offset of its own. */
struct host {
	uint32_t f, offset;
	double ppm;
};

static uint32_t tsval_of(const struct host *h, uint64_t ns)
{
	double s = (double)(ns - NOW) / 1e9 * (1 + h->ppm / 1e6);

	return h->offset + (uint32_t)(uint64_t)floor(s * h->f);
}

static void add(uint32_t tsval, uint64_t ns)
{
	const struct fg_ts ts = { tsval, to, ns };

	if (before.ns)
		fg_hosts_add(hosts, addr, &before, &ts);
	before = ts;
}

/* A SYN of a host that reaches us up to jitter_ms later. */
static void syn(const struct host *h, uint64_t ns, uint32_t jitter_ms)
{
	add(tsval_of(h, ns), ns + draw() % (jitter_ms * MS + 1));
}

static void crowd(struct host *h, unsigned int n, uint32_t f)
{
	for (unsigned int i = 0; i < n; i++)
		h[i] = (struct host){ f ? f : (const uint32_t[]){ 1000, 250, 100 }[i % 3],
				      (uint32_t)draw(), (double)(draw() % 41) - 20 };
}

static struct fg_hosts_seen seen_at(uint64_t ns)
{
	return fg_hosts_read(hosts, addr, ns);
}

static void test_hosts_are_counted_by_their_clocks(void **state)
{
	struct host h[16];

	(void)state;
	for (unsigned int n = 1; n <= 16; n++) {
		struct fg_hosts_seen seen;
		uint64_t ns = NOW;

		tear_down(NULL);
		set_up(NULL);
		draws += n;
		crowd(h, n, 0);
		for (unsigned int i = 0; i < 20 * n; i++) {
			ns += draw() % (120 * S);
			syn(&h[i < n ? i : draw() % n], ns, 25);
		}
		seen = seen_at(ns);
		assert_true(seen.known);
		assert_int_equal(seen.hosts, n);
		assert_int_equal(seen.lines, n);
		assert_true(seen.joins.joined * 2 > seen.joins.n);
	}
}

/* Each host has another clock at each address of ours; the address with most of them is the answer.
 * Two hosts at three addresses, a third that came to one of them only. */
static void test_hosts_at_several_addresses_of_ours(void **state)
{
	static const uint8_t ours[3][16] = { { [15] = 1 }, { [15] = 2 }, { [15] = 3 } };
	struct host h[3][3];
	uint64_t ns = NOW;
	struct fg_hosts_seen seen;

	(void)state;
	crowd(&h[0][0], 9, 1000);
	for (unsigned int i = 0; i < 60; i++) {
		unsigned int at = draw() % 3;

		ns += 10 * S;
		to = fg_hosts_to(hosts, ours[at]);
		syn(&h[at][draw() % (at == 2 ? 3 : 2)], ns, 25);
	}
	seen = seen_at(ns);
	assert_true(seen.known);
	assert_int_equal(seen.hosts, 3);
	assert_false(seen.full);
	assert_int_equal(fg_hosts_to(hosts, ours[0]), fg_hosts_to(hosts, ours[0]));
	assert_int_not_equal(fg_hosts_to(hosts, ours[0]), fg_hosts_to(hosts, ours[1]));
}

/* TSval and milliseconds wrap, wherever the wrap falls; a clock that is 20 ppm off, seen once an
 * hour, stays one host. */
static void test_hosts_clocks_wrap_and_drift(void **state)
{
	(void)state;
	for (uint32_t back = 0; back < 20; back++) {
		struct host h = { 1000, 0U - 3600000 * back, back % 2 ? 20 : -20 };
		/* the low 32 bits of unix milliseconds wrap at 2^32 * 419 */
		const uint64_t base = 4294967296ULL * 419 * MS - 10 * HOUR;
		struct fg_hosts_seen seen;

		tear_down(NULL);
		set_up(NULL);
		for (uint64_t i = 0; i < 20; i++) {
			uint64_t ns = base + i * HOUR;

			h.offset += i ? (uint32_t)(3600000 + h.ppm * 3.6) : 0;
			add(h.offset, ns);
		}
		seen = seen_at(base + 20 * HOUR);
		assert_true(seen.known);
		assert_int_equal(seen.hosts, 1);
		assert_int_equal(seen.joins.joined, seen.joins.n);
	}
}

/* Offsets drawn for each connection: no number, however many connections. */
static void test_hosts_unknown_where_offsets_are_drawn_anew(void **state)
{
	struct fg_hosts_seen seen;

	(void)state;
	for (uint64_t i = 0; i < 2000; i++) {
		add((uint32_t)draw(), NOW + i * 30 * S);
		seen = seen_at(NOW + i * 30 * S);
		assert_false(seen.known);
		assert_int_equal(seen.hosts, 0);
	}
	assert_non_null(strstr(seen.why, "unknown"));
	assert_true(fg_hosts_joins(hosts).n == 1999);
	assert_true(fg_hosts_joins(hosts).joined <= 2);
	assert_true(fg_hosts_joins(hosts).by_chance < 0.1);
	assert_true(fg_hosts_refused(hosts).lines > 1900);
}

/* Many more hosts than lines: few come back to one that is kept. Not "two hosts". */
static void test_hosts_unknown_in_a_large_crowd(void **state)
{
	static struct host h[500];

	(void)state;
	crowd(h, 500, 1000);
	for (uint64_t i = 0; i < 3000; i++) {
		syn(&h[draw() % 500], NOW + i * 10 * S, 20);
		assert_false(seen_at(NOW + i * 10 * S).known);
	}
	assert_non_null(strstr(seen_at(NOW + 30000 * S).why, "only"));
}

/* A phone's line among connections whose offsets mean nothing, one in four. */
static void test_hosts_mixed_with_noise(void **state)
{
	const struct host h = { 250, 77, 3 };
	uint64_t ns = NOW;

	(void)state;
	for (uint64_t i = 0; i < 200; i++, ns += 60 * S) {
		if (i % 4 == 3)
			add((uint32_t)draw(), ns);
		else
			syn(&h, ns, 20);
	}
	assert_true(seen_at(ns).known);
	assert_int_equal(seen_at(ns).hosts, 1);
}

static void test_hosts_need_some_connections(void **state)
{
	const struct host h = { 1000, 5, 0 };

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		assert_false(seen_at(NOW + i * S).known);
		syn(&h, NOW + i * S, 5);
	}
	assert_true(seen_at(NOW + 5 * S).known);
	/* the first two made the row */
	assert_int_equal(seen_at(NOW + 5 * S).joins.n, 4);
}

/* A day later another household may have the address. */
static void test_hosts_that_left_are_forgotten(void **state)
{
	struct host h[5];
	uint64_t ns = NOW;

	(void)state;
	crowd(h, 5, 1000);
	for (unsigned int i = 0; i < 60; i++, ns += 60 * S)
		syn(&h[i % 5], ns, 10);
	assert_int_equal(seen_at(ns).hosts, 5);
	for (unsigned int i = 0; i < 30; i++, ns += HOUR)
		syn(&h[0], ns, 10);
	assert_int_equal(seen_at(ns).hosts, 1);
	assert_false(seen_at(ns + 25 * HOUR).known);
	/* silent for two days: nothing joins what was before */
	ns += 48 * HOUR;
	syn(&h[0], ns, 0);
	assert_int_equal(seen_at(ns).lines, 0);
}

/* The order within an epoch does not matter. */
static void test_hosts_in_any_order(void **state)
{
	const struct host h = { 1000, 1U << 31, 0 };

	(void)state;
	for (uint64_t i = 0; i < 50; i++) {
		uint64_t ns = NOW + i * 2 * S;

		add(tsval_of(&h, ns + S), ns + S);
		add(tsval_of(&h, ns), ns);
	}
	assert_int_equal(seen_at(NOW + 200 * S).hosts, 1);
	assert_int_equal(seen_at(NOW + 200 * S).joins.joined, seen_at(NOW + 200 * S).joins.n);
}

/* Both sides of the tolerance: 30 ms, and 50 parts in a million of the time between. */
static void test_hosts_tolerance(void **state)
{
	const struct {
		uint64_t later_ns;
		int32_t off_ms;
		bool joins;
	} cases[] = {
		{ 10 * S, 0, true },	{ 10 * S, 29, true },	    { 10 * S, -29, true },
		{ 10 * S, 33, false },	{ 10 * S, -33, false },	    { HOUR, 200, true },
		{ HOUR, -200, true },	{ HOUR, 220, false },	    { 23 * HOUR, 4000, true },
		{ 23 * HOUR, 5, true }, { 23 * HOUR, 4300, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t there = 12345 + (uint32_t)(cases[i].later_ns / MS);

		tear_down(NULL);
		set_up(NULL);
		add(12345, NOW);
		add(there + (uint32_t)cases[i].off_ms, NOW + cases[i].later_ns);
		if (fg_hosts_joins(hosts).joined != cases[i].joins)
			fail_msg("%d ms off after %.0f s", cases[i].off_ms,
				 (double)cases[i].later_ns / 1e9);
	}
}

/* A clock that was seen to tick 250 times a second does not tick 1000 times. */
static void test_hosts_a_clock_keeps_its_pace(void **state)
{
	(void)state;
	add(0, NOW);
	add(2500, NOW + 10 * S);
	assert_int_equal(fg_hosts_joins(hosts).joined, 1);
	add(2500 + 10000, NOW + 20 * S);
	assert_int_equal(fg_hosts_joins(hosts).joined, 1);
	add(7500, NOW + 30 * S);
	assert_int_equal(fg_hosts_joins(hosts).joined, 2);
	assert_int_equal(seen_at(NOW + 30 * S).lines, 1);
}

/* A table full of sources: newcomers are counted, and come in when others are idle for a day. */
static void test_hosts_full_table(void **state)
{
	const struct fg_ts a = { 1, 0, NOW }, b = { 1001, 0, NOW + S };
	const struct fg_ts c = { 1, 0, NOW + 25 * HOUR }, d = { 2, 0, NOW + 25 * HOUR };
	uint8_t many[16] = { [10] = 0xff, 0xff };
	uint64_t made;

	(void)state;
	for (uint32_t i = 0; i < 4 * FG_DEFAULT_HOSTS; i++) {
		memcpy(many + 12, &i, 4);
		fg_hosts_add(hosts, many, &a, &b);
	}
	made = fg_hosts_n(hosts);
	assert_in_range(made, FG_DEFAULT_HOSTS * 9 / 10, FG_DEFAULT_HOSTS);
	assert_int_equal(fg_hosts_refused(hosts).no_room, 4 * FG_DEFAULT_HOSTS - made);
	assert_int_equal(fg_hosts_refused(hosts).expired, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		many[9] = 1;
		memcpy(many + 12, &i, 4);
		fg_hosts_add(hosts, many, &c, &d);
	}
	assert_int_equal(fg_hosts_refused(hosts).no_room, 4 * FG_DEFAULT_HOSTS - made);
	assert_in_range(fg_hosts_refused(hosts).expired, 900, 1000);
}

/* Four facts of five, or the stems alone. */
static void test_hosts_shared(void **state)
{
	const struct fg_crowd crowds[] = {
		{ .stems = FG_SHARED_STEMS },	  { .stacks = FG_SHARED_STACKS },
		{ .lines = FG_SHARED_LINES },	  { .hops = FG_SHARED_HOPS },
		{ .clients = FG_SHARED_CLIENTS },
	};
	struct fg_shared s;

	(void)state;
	for (unsigned int set = 0; set < 32; set++) {
		struct fg_crowd c = { 1, 1, 1, 1, 1 };
		unsigned int n = (unsigned int)__builtin_popcount(set);

		for (unsigned int i = 0; i < 5; i++) {
			c.stems += set >> i & 1 ? crowds[i].stems - (i == 0) : 0;
			c.stacks += set >> i & 1 ? crowds[i].stacks - (i == 1) : 0;
			c.lines += set >> i & 1 ? crowds[i].lines - (i == 2) : 0;
			c.hops += set >> i & 1 ? crowds[i].hops - (i == 3) : 0;
			c.clients += set >> i & 1 ? crowds[i].clients - (i == 4) : 0;
		}
		s = fg_hosts_shared(&c, 1000);
		assert_int_equal(s.facts, n);
		assert_int_equal(s.shared, n >= FG_SHARED_FACTS);
		assert_int_equal(s.why[0] != '\0', n > 0);
	}
	s = fg_hosts_shared(&(struct fg_crowd){ .stems = 4 }, 4);
	assert_true(s.shared);
	assert_string_equal(s.why, "4 kinds of clients behind one source");
	assert_false(fg_hosts_shared(&(struct fg_crowd){ .stems = 4 }, 5).shared);
	/* however large: it ends */
	s = fg_hosts_shared(&(struct fg_crowd){ UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
						UINT32_MAX },
			    1);
	assert_true(strlen(s.why) < sizeof(s.why));
}

static void test_hosts_size(void **state)
{
	(void)state;
	print_message("the table of %d sources has %.1f MB\n", FG_DEFAULT_HOSTS,
		      (double)fg_hosts_bytes(FG_DEFAULT_HOSTS) / 1e6);
	assert_true(fg_hosts_bytes(FG_DEFAULT_HOSTS) < 15000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hosts_are_counted_by_their_clocks),
		TEST(test_hosts_at_several_addresses_of_ours),
		TEST(test_hosts_clocks_wrap_and_drift),
		TEST(test_hosts_unknown_where_offsets_are_drawn_anew),
		TEST(test_hosts_unknown_in_a_large_crowd),
		TEST(test_hosts_mixed_with_noise),
		TEST(test_hosts_need_some_connections),
		TEST(test_hosts_that_left_are_forgotten),
		TEST(test_hosts_in_any_order),
		TEST(test_hosts_tolerance),
		TEST(test_hosts_a_clock_keeps_its_pace),
		TEST(test_hosts_full_table),
		TEST(test_hosts_shared),
		TEST(test_hosts_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
