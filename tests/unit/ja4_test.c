/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model/ja4.h against the published specification (FoxIO, technical_details/JA4.md): its own worked
 * example, and each of its rules by a hello that is about nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "farmgate/hello.h"
#include "hello_build.h"
#include "model/ja4.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct fg_hello hello;
static struct fg_ja4 text;
static char raw[8192];

/* The description through builder and reader; texts of what was read. */
static void name(const struct fg_hello_desc *d)
{
	static const __u64 seed[4] = { 5, 6, 7, 8 };
	static uint8_t segment[FG_SEGMENT_MAX_BYTES + 8];
	size_t len = fg_hello_stream(d, segment, FG_SEGMENT_MAX_BYTES);

	fg_hello_begin(&hello);
	fg_hello_segment(&hello, (__u32)len);
	while (fg_hello_step(&hello, seed, segment))
		;
	assert_int_equal(hello.result, FG_HELLO_COMPLETE);
	assert_int_equal(fg_ja4_text(&hello, 't', &text), 0);
	assert_true(fg_ja4_raw(&hello, 't', raw, sizeof(raw)) > 0);
}

static void set(uint16_t *list, size_t *ret_n, const uint16_t *values, size_t n)
{
	memcpy(list, values, n * sizeof(*values));
	*ret_n = n;
}
#define SET(d, list, ...)                                              \
	do {                                                           \
		static const uint16_t values[] = { __VA_ARGS__ };      \
                                                                       \
		set((d)->list, &(d)->n_##list, values, COUNT(values)); \
	} while (0)

/* The example of the specification. */
static void example(struct fg_hello_desc *d)
{
	memset(d, 0, sizeof(*d));
	d->legacy_version = 0x0303;
	d->sni = "example.com";
	d->alpn[0] = "h2";
	d->alpn[1] = "http/1.1";
	d->n_alpn = 2;
	SET(d, ciphers, 0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
	    0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035);
	SET(d, exts, 0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
	    0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x2a2a);
	SET(d, versions, 0x3a3a, 0x0304, 0x0303);
	SET(d, sigalgs, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601);
	SET(d, groups, 0x4a4a, 0x001d);
	SET(d, shares, 0x4a4a, 0x001d);
}

static void test_ja4_is_the_example_of_the_specification(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	name(&d);
	assert_string_equal(text.ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	assert_string_equal(
		raw,
		"t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9"
		"_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01"
		"_0403,0804,0401,0503,0805,0501,0806,0601");
	/* the stem leaves out padding and session_ticket: fourteen of sixteen */
	assert_memory_equal(text.stem, "~t13d1514h2_8daaf6152771_", 25);
}

static void test_ja4_leaves_grease_out_of_signature_algorithms(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	SET(&d, sigalgs, 0x7a7a, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601);
	name(&d);
	assert_string_equal(text.ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

static void test_ja4_order_of_signature_algorithms_counts(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	SET(&d, sigalgs, 0x0804, 0x0403, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601);
	name(&d);
	assert_memory_equal(text.ja4, "t13d1516h2_8daaf6152771_", 24);
	assert_string_not_equal(text.ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

/* Both ends alphanumeric: they are printed; else the first and last digit of the hex form. */
static void test_ja4_alpn(void **state)
{
	static const struct {
		const char *alpn, *chars;
	} cases[] = { { "h2", "h2" },	     { "http/1.1", "h1" }, { "h", "hh" },
		      { "\xab", "ab" },	     { "\xab\xcd", "ad" }, { "0\xab", "3b" },
		      { "0\xab\xcd", "3d" }, { "h2\xff", "6f" },   { " 1", "21" } };
	struct fg_hello_desc d;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		example(&d);
		d.alpn[0] = cases[i].alpn;
		name(&d);
		assert_memory_equal(text.ja4 + 8, cases[i].chars, 2);
		assert_memory_equal(text.stem + 9, cases[i].chars, 2);
	}
	example(&d);
	d.n_alpn = 0;
	name(&d);
	assert_memory_equal(text.ja4 + 8, "00", 2);
}

static void test_ja4_version(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	SET(&d, versions, 0x0303, 0x7a7a, 0x0302);
	name(&d);
	assert_memory_equal(text.ja4, "t12", 3);
	SET(&d, versions, 0x7f1c); /* a draft has no name */
	name(&d);
	assert_memory_equal(text.ja4, "t00", 3);
	/* without the extension the old field speaks */
	SET(&d, exts, 0x0000, 0x000a);
	d.legacy_version = 0x0301;
	name(&d);
	assert_memory_equal(text.ja4, "t10", 3);
	d.legacy_version = 0x0300;
	name(&d);
	assert_memory_equal(text.ja4, "ts3", 3);
	d.legacy_version = 0x0505;
	name(&d);
	assert_memory_equal(text.ja4, "t00", 3);
}

static void test_ja4_without_name_or_lists(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	SET(&d, exts, 0x0010, 0x002b);
	name(&d);
	assert_memory_equal(text.ja4, "t13i1502h2_8daaf6152771_", 24);
	assert_string_equal(strrchr(raw, '_'), "_002b");
	/* SNI and ALPN count, but are not hashed: nothing is left */
	SET(&d, exts, 0x0000, 0x0010);
	name(&d);
	assert_string_equal(text.ja4, "t12d1502h2_8daaf6152771_000000000000");
	d.no_exts = true;
	name(&d);
	assert_string_equal(text.ja4, "t12i150000_8daaf6152771_000000000000");
	d.n_ciphers = 0;
	name(&d);
	assert_string_equal(text.ja4, "t12i000000_000000000000_000000000000");
}

/* Counts stop at 99, hashes do not; duplicates are hashed as often as they come. */
static void test_ja4_counts_stop_at_99(void **state)
{
	struct fg_hello_desc d;
	char before[sizeof(text.ja4)];

	(void)state;
	example(&d);
	for (d.n_ciphers = 0; d.n_ciphers < 99; d.n_ciphers++)
		d.ciphers[d.n_ciphers] = (uint16_t)(0xc000 + d.n_ciphers);
	name(&d);
	assert_memory_equal(text.ja4 + 4, "99", 2);
	strcpy(before, text.ja4);
	d.ciphers[d.n_ciphers++] = 0xc000;
	name(&d);
	assert_memory_equal(text.ja4, before, 10);
	assert_string_not_equal(text.ja4, before);
	assert_non_null(strstr(raw, "_c000,c000,c001,"));
}

/* 0x00ff is a cipher like others; look-alikes of GREASE are too. */
static void test_ja4_keeps_what_only_looks_special(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	SET(&d, ciphers, 0x00ff, 0x0a1a, 0x1a0a, 0x5600, 0x0a0a, 0xfafa);
	name(&d);
	assert_memory_equal(raw, "t13d0416h2_00ff,0a1a,1a0a,5600_", 31);
}

static void test_ja4_refuses_what_is_not_complete(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	example(&d);
	name(&d);
	hello.result = FG_HELLO_MORE;
	assert_int_equal(fg_ja4_text(&hello, 't', &text), -EINVAL);
	hello.result = FG_HELLO_COMPLETE;
	hello.n_ciphers =
		FG_MAX_CIPHERS + 1; /* a damaged sample must not be read beyond its list */
	assert_int_equal(fg_ja4_text(&hello, 't', &text), -EINVAL);
	assert_int_equal(fg_ja4_raw(&hello, 't', raw, sizeof(raw)), -EINVAL);
	hello.n_ciphers = 15;
	assert_int_equal(fg_ja4_raw(&hello, 't', raw, 40), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ja4_is_the_example_of_the_specification),
		cmocka_unit_test(test_ja4_leaves_grease_out_of_signature_algorithms),
		cmocka_unit_test(test_ja4_order_of_signature_algorithms_counts),
		cmocka_unit_test(test_ja4_alpn),
		cmocka_unit_test(test_ja4_version),
		cmocka_unit_test(test_ja4_without_name_or_lists),
		cmocka_unit_test(test_ja4_counts_stop_at_99),
		cmocka_unit_test(test_ja4_keeps_what_only_looks_special),
		cmocka_unit_test(test_ja4_refuses_what_is_not_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
