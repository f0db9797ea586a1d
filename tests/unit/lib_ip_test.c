/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/ip: text both ways, masks, containment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/ip.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_ip_parse_and_print_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
		uint8_t bits;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", 128 },
		{ "192.0.2.0/24", "192.0.2.0/24", 120 },
		{ "0.0.0.0/0", "0.0.0.0/0", 96 },
		{ "192.0.2.1/32", "192.0.2.1", 128 },
		{ "::ffff:192.0.2.1", "192.0.2.1", 128 },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24", 120 },
		{ "2001:DB8::/64", "2001:db8::/64", 64 },
		{ "2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", 128 },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", 128 },
		{ "::", "::", 128 },
		{ "::/0", "::/0", 0 },
		{ "::1", "::1", 128 },
		{ "1::", "1::", 128 },
		{ "::192.0.2.1", "::c000:201", 128 },
		{ "1:0:0:2:0:0:0:3", "1:0:0:2::3", 128 },
		{ "64:ff9b::/96", "64:ff9b::/96", 96 },
		{ "fe80:1:2:3:4:5:6:0", "fe80:1:2:3:4:5:6:0", 128 },
		{ "0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7", 128 },
		{ "1:2:3:4:5:6::", "1:2:3:4:5:6::", 128 },
	};
	uint8_t addr[16], bits;
	char buf[FG_IP_TEXT];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(fg_ip_parse(rows[i].in, addr, &bits), 0);
		assert_int_equal(bits, rows[i].bits);
		assert_string_equal(fg_ip_prefix(addr, bits, buf), rows[i].out);
	}
}

static void test_ip_parse_refuses(void **state)
{
	static const char *const texts[] = {
		"",
		"/",
		"/24",
		"192.0.2",
		"192.0.2.1/",
		"192.0.2.1/33",
		"192.0.2.1/24",
		"192.0.2.1/-1",
		"192.0.2.0/24 ",
		" 192.0.2.1",
		"192.0.2.256",
		"2001:db8::1/64",
		"2001:db8::/129",
		"2001:db8:::",
		"1:2:3:4:5:6:7:8:9",
		"example.org",
		"::/0x0",
		"2001:db8::/99999999999999999999",
		"fe80::1%eth0",
		"192.0.2.1/32/32",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
	};
	uint8_t addr[16], bits = 7;
	size_t i;

	(void)state;
	memset(addr, 0xaa, sizeof(addr));
	for (i = 0; i < COUNT(texts); i++)
		assert_int_equal(fg_ip_parse(texts[i], addr, &bits), -EINVAL);
	assert_int_equal(bits, 7);
	assert_int_equal(addr[0], 0xaa);
}

static void test_ip_source_is_the_host_or_its_64(void **state)
{
	uint8_t addr[16], source[16], bits;
	char buf[FG_IP_TEXT];

	(void)state;
	assert_int_equal(fg_ip_parse("203.0.113.7", addr, &bits), 0);
	assert_string_equal(fg_ip_source(addr, buf), "203.0.113.7");
	fg_ip_to_source(addr, source, &bits);
	assert_memory_equal(addr, source, 16);
	assert_int_equal(bits, 128);

	assert_int_equal(fg_ip_parse("2001:db8:1:2:3:4:5:6", addr, &bits), 0);
	assert_string_equal(fg_ip_source(addr, buf), "2001:db8:1:2::/64");
	fg_ip_to_source(addr, addr, &bits);
	assert_int_equal(bits, 64);
	assert_string_equal(fg_ip_prefix(addr, 128, buf), "2001:db8:1:2::");
}

static void test_ip_mask_keeps_the_front(void **state)
{
	uint8_t addr[16], want[16];
	unsigned int bits, i;

	(void)state;
	for (bits = 0; bits <= 128; bits++) {
		memset(addr, 0xff, sizeof(addr));
		memset(want, 0, sizeof(want));
		for (i = 0; i < bits; i++)
			want[i / 8] |= (uint8_t)(0x80 >> i % 8);
		fg_ip_mask(addr, (uint8_t)bits);
		assert_memory_equal(addr, want, 16);
	}
}

static bool holds(const char *a, const char *b)
{
	uint8_t aa[16], ba[16], ab, bb;

	assert_int_equal(fg_ip_parse(a, aa, &ab), 0);
	assert_int_equal(fg_ip_parse(b, ba, &bb), 0);
	return fg_ip_contains(aa, ab, ba, bb);
}

static void test_ip_contains_by_family(void **state)
{
	(void)state;
	assert_true(holds("192.0.2.0/24", "192.0.2.255"));
	assert_true(holds("192.0.2.0/24", "192.0.2.0/24"));
	assert_true(holds("0.0.0.0/0", "192.0.2.1"));
	assert_false(holds("192.0.2.0/24", "192.0.3.0"));
	assert_false(holds("192.0.2.0/24", "192.0.0.0/16"));
	assert_true(holds("2001:db8::/48", "2001:db8:0:ffff::/64"));
	assert_true(holds("::/0", "2001:db8::1"));
	assert_false(holds("::/0", "192.0.2.1"));
	assert_false(holds("0.0.0.0/0", "2001:db8::1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip_parse_and_print_round_trip),
		cmocka_unit_test(test_ip_parse_refuses),
		cmocka_unit_test(test_ip_source_is_the_host_or_its_64),
		cmocka_unit_test(test_ip_mask_keeps_the_front),
		cmocka_unit_test(test_ip_contains_by_family),
	};

	return cmocka_run_group_tests_name("lib_ip", tests, NULL, NULL);
}
