/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/prefixes.h: answers as a walk over all of them would give them, and what 300,000 take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/ip.h"
#include "lib/prefixes.h"

struct prefix {
	uint8_t addr[16], bits;
};

static void add(struct fg_prefixes *p, const char *text, uint32_t tag)
{
	uint8_t addr[16], bits;

	assert_int_equal(fg_ip_parse(text, addr, &bits), 0);
	assert_int_equal(fg_prefixes_add(p, addr, bits, tag), 0);
}

static int meets(const struct fg_prefixes *p, const char *text)
{
	uint8_t addr[16], bits;
	uint32_t tag = 0;

	assert_int_equal(fg_ip_parse(text, addr, &bits), 0);
	return fg_prefixes_meet(p, addr, bits, &tag) ? (int)tag : -1;
}

static void test_prefixes_meet_from_both_sides(void **arg)
{
	struct fg_prefixes *p;

	(void)arg;
	assert_int_equal(fg_prefixes_new(&p), 0);
	add(p, "192.0.2.0/24", 1);
	add(p, "192.0.2.7", 2);
	add(p, "198.51.100.9", 3);
	add(p, "2001:db8::/32", 4);
	add(p, "2001:db9::1", 5);
	fg_prefixes_seal(p);
	assert_int_equal(fg_prefixes_n(p), 4);
	assert_int_equal(meets(p, "192.0.2.7"), 1);
	assert_int_equal(meets(p, "192.0.2.255"), 1);
	assert_int_equal(meets(p, "192.0.3.0"), -1);
	assert_int_equal(meets(p, "192.0.1.255"), -1);
	assert_int_equal(meets(p, "192.0.0.0/16"), 1);
	assert_int_equal(meets(p, "198.51.100.0/24"), 3);
	assert_int_equal(meets(p, "198.51.100.8"), -1);
	assert_int_equal(meets(p, "2001:db8:5::/64"), 4);
	assert_int_equal(meets(p, "2001:db9::/64"), 5);
	assert_int_equal(meets(p, "2001:dba::/64"), -1);
	/* IPv4 lies amid IPv6 in our storage only */
	assert_int_equal(meets(p, "::/0"), 4);
	assert_int_equal(meets(p, "0.0.0.0/0"), 1);
	fg_prefixes_free(&p);
	assert_null(p);
}

static void test_prefixes_of_one_family_are_not_the_others(void **arg)
{
	struct fg_prefixes *p;

	(void)arg;
	assert_int_equal(fg_prefixes_new(&p), 0);
	fg_prefixes_seal(p);
	assert_int_equal(meets(p, "::/0"), -1);
	fg_prefixes_free(&p);
	assert_int_equal(fg_prefixes_new(&p), 0);
	add(p, "::/0", 1);
	fg_prefixes_seal(p);
	assert_int_equal(meets(p, "192.0.2.1"), -1);
	assert_int_equal(meets(p, "2001:db8::/64"), 1);
	fg_prefixes_free(&p);
}

static void test_prefixes_refuse_what_is_none(void **arg)
{
	struct fg_prefixes *p;
	uint8_t addr[16], bits;

	(void)arg;
	assert_int_equal(fg_prefixes_new(&p), 0);
	assert_int_equal(fg_ip_parse("192.0.2.1", addr, &bits), 0);
	assert_int_equal(fg_prefixes_add(p, addr, 120, 0), -EINVAL);
	assert_int_equal(fg_prefixes_add(p, addr, 129, 0), -EINVAL);
	assert_int_equal(fg_prefixes_n(p), 0);
	fg_prefixes_free(&p);
}

/* Crowded on purpose: few addresses, all lengths. */
static struct prefix draw(void)
{
	struct prefix p = { .bits = (uint8_t)(rand() % 129) };

	if (rand() % 2) {
		p.addr[10] = p.addr[11] = 0xff;
		p.bits = (uint8_t)(96 + rand() % 33);
	} else {
		p.addr[0] = 0x20;
	}
	for (int i = 12; i < 16; i++)
		p.addr[i] = (uint8_t)(rand() % 4);
	fg_ip_mask(p.addr, p.bits);
	return p;
}

static void test_prefixes_answer_as_a_walk_does(void **arg)
{
	(void)arg;
	srand(1);
	for (int round = 0; round < 300; round++) {
		struct prefix all[40];
		struct fg_prefixes *p;
		size_t n = (size_t)(rand() % 40);

		assert_int_equal(fg_prefixes_new(&p), 0);
		for (size_t i = 0; i < n; i++) {
			all[i] = draw();
			assert_int_equal(fg_prefixes_add(p, all[i].addr, all[i].bits, (uint32_t)i),
					 0);
		}
		fg_prefixes_seal(p);
		for (int k = 0; k < 200; k++) {
			struct prefix q = draw();
			bool want = false;
			uint32_t tag;

			for (size_t i = 0; i < n; i++)
				want |= fg_ip_contains(all[i].addr, all[i].bits, q.addr, q.bits) ||
					fg_ip_contains(q.addr, q.bits, all[i].addr, all[i].bits);
			assert_int_equal(fg_prefixes_meet(p, q.addr, q.bits, &tag), want);
			if (want)
				assert_true(fg_ip_contains(all[tag].addr, all[tag].bits, q.addr,
							   q.bits) ||
					    fg_ip_contains(q.addr, q.bits, all[tag].addr,
							   all[tag].bits));
		}
		fg_prefixes_free(&p);
	}
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* A figure for who reads the output; what it must be is no test's to say. */
static void test_prefixes_300000(void **arg)
{
	double begin = now_ms(), sealed;
	struct fg_prefixes *p;
	size_t hits = 0;

	(void)arg;
	assert_int_equal(fg_prefixes_new(&p), 0);
	for (uint32_t i = 0; i < 300000; i++) {
		uint32_t net = i * 2654435761U & ~255U;
		uint8_t addr[16] = { [10] = 0xff,
				     0xff,
				     (uint8_t)(net >> 24),
				     (uint8_t)(net >> 16),
				     (uint8_t)(net >> 8) };

		assert_int_equal(fg_prefixes_add(p, addr, 120, i), 0);
	}
	fg_prefixes_seal(p);
	sealed = now_ms();
	for (uint32_t i = 0; i < 1000000; i++) {
		uint32_t net = i * 2246822519U;
		uint8_t addr[16] = { [10] = 0xff,	   0xff,
				     (uint8_t)(net >> 24), (uint8_t)(net >> 16),
				     (uint8_t)(net >> 8),  1 };

		hits += fg_prefixes_meet(p, addr, 128, NULL);
	}
	print_message(
		"300,000 prefixes: filled and sealed in %.0f ms, %.1f MB; 1,000,000 answers in "
		"%.0f ms\n",
		sealed - begin, (double)fg_prefixes_bytes(p) / 1e6, now_ms() - sealed);
	assert_true(hits > 0 && hits < 1000000);
	fg_prefixes_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes_meet_from_both_sides),
		cmocka_unit_test(test_prefixes_of_one_family_are_not_the_others),
		cmocka_unit_test(test_prefixes_refuse_what_is_none),
		cmocka_unit_test(test_prefixes_answer_as_a_walk_does),
		cmocka_unit_test(test_prefixes_300000),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
