/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/num: whole text, exact ranges, nothing written on failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/num.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_num_u64_takes_the_whole_range(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(fg_num_u64("0", 0, UINT64_MAX, &v), 0);
	assert_true(v == 0);
	assert_int_equal(fg_num_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(fg_num_u64("5", 5, 5, &v), 0);
	assert_true(v == 5);
}

static void test_num_u64_refuses(void **state)
{
	static const char *const texts[] = { "", " 1", "1 ", "-1", "+1", "0x1", "1.0", "1k", "\t1" };
	uint64_t v = 42;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(texts); i++)
		assert_int_equal(fg_num_u64(texts[i], 0, UINT64_MAX, &v), -EINVAL);
	assert_int_equal(fg_num_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(fg_num_u64("184467440737095516150", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(fg_num_u64("4", 5, 9, &v), -ERANGE);
	assert_int_equal(fg_num_u64("10", 5, 9, &v), -ERANGE);
	assert_true(v == 42);
}

static void test_num_double_is_plain_decimal(void **state)
{
	static const char *const bad[] = {
		"", ".", "-1", "1e3", "nan", "inf", "0x1", "1.2.3", " 1"
	};
	double v = 42;
	size_t i;

	(void)state;
	assert_int_equal(fg_num_double("13.8", 0, 100, &v), 0);
	assert_true(v == 13.8);
	assert_int_equal(fg_num_double("7", 0, 100, &v), 0);
	assert_true(v == 7);
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(fg_num_double(bad[i], 0, 100, &v), -EINVAL);
	assert_int_equal(fg_num_double("100.1", 0, 100, &v), -ERANGE);
	assert_true(v == 7);
}

static void test_num_duration_knows_its_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} rows[] = { { "0", 0 },     { "90", 90 },   { "90s", 90 },
		     { "15m", 900 }, { "1h", 3600 }, { "2d", 172800 } };
	static const char *const bad[] = {
		"", "h", "1w", "1H", "1h30m", "1 h", "-1h", "1.5h", "1ms"
	};
	uint64_t v = 7;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(fg_num_duration(rows[i].text, 172800, &v), 0);
		assert_true(v == rows[i].seconds);
	}
	v = 7;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(fg_num_duration(bad[i], 172800, &v), -EINVAL);
	assert_int_equal(fg_num_duration("25h", 86400, &v), -ERANGE);
	assert_int_equal(fg_num_duration("18446744073709551615d", UINT64_MAX, &v), -ERANGE);
	assert_true(v == 7);
}

static void test_num_ports_are_a_set(void **state)
{
	uint16_t ports[3] = { 1, 2, 3 };

	(void)state;
	assert_int_equal(fg_num_ports("443", ports, 3), 1);
	assert_int_equal(ports[0], 443);
	assert_int_equal(fg_num_ports("65535,1,8443", ports, 3), 3);
	assert_int_equal(ports[0], 65535);
	assert_int_equal(ports[1], 1);
	assert_int_equal(ports[2], 8443);
}

static void test_num_ports_refuses(void **state)
{
	static const struct {
		const char *text;
		int answer;
	} rows[] = {
		{ "", -EINVAL },       { ",", -EINVAL },       { "443,", -EINVAL },
		{ ",443", -EINVAL },   { "443,,80", -EINVAL }, { "443,443", -EINVAL },
		{ "443 80", -EINVAL }, { "https", -EINVAL },   { "0", -ERANGE },
		{ "65536", -ERANGE },  { "1,2,3,4", -ERANGE }, { "99999999999999999999", -ERANGE },
	};
	uint16_t ports[3] = { 7, 7, 7 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		assert_int_equal(fg_num_ports(rows[i].text, ports, 3), rows[i].answer);
	assert_int_equal(ports[0], 7);
}

static void test_num_time_is_rfc3339_utc(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(fg_num_time(0, buf), "1970-01-01T00:00:00Z");
	assert_string_equal(fg_num_time(1795435200999999999ULL, buf), "2026-11-23T12:00:00Z");
	assert_string_equal(fg_num_time(1709164800000000000ULL, buf), "2024-02-29T00:00:00Z");
}

static void test_num_time_parse_is_strict(void **state)
{
	static const char *const bad[] = {
		"",
		"2026-11-23",
		"2026-11-23T12:00:00",
		"2026-11-23T12:00:00+01:00",
		"2026-11-23T12:00:00Zx",
		"2026-13-01T00:00:00Z",
		"1969-12-31T23:59:59Z",
		"2026-02-30T00:00:00Z",
		" 2026-11-23T12:00:00Z",
		"2026-11-23T 2:00:00Z",
		"2026-1-2T3:4:5Z",
	};
	uint64_t ns = 7;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(fg_num_time_parse(bad[i], &ns), -EINVAL);
	assert_true(ns == 7);
	assert_int_equal(fg_num_time_parse("2026-11-23T12:00:00Z", &ns), 0);
	assert_true(ns == 1795435200000000000ULL);
	assert_int_equal(fg_num_time_parse("1970-01-01T00:00:00Z", &ns), 0);
	assert_true(ns == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_num_u64_takes_the_whole_range),
		cmocka_unit_test(test_num_u64_refuses),
		cmocka_unit_test(test_num_double_is_plain_decimal),
		cmocka_unit_test(test_num_duration_knows_its_units),
		cmocka_unit_test(test_num_ports_are_a_set),
		cmocka_unit_test(test_num_ports_refuses),
		cmocka_unit_test(test_num_time_is_rfc3339_utc),
		cmocka_unit_test(test_num_time_parse_is_strict),
	};

	return cmocka_run_group_tests_name("lib_num", tests, NULL, NULL);
}
