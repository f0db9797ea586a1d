/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model/networks.c: lines that are right and lines that are not, by number, and look-ups against an
 * oracle that goes through all prefixes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "model/networks.h"
#include "packet.h"

static struct fg_networks_report report;
static char why[512];

static struct fg_networks *parse(const char *text)
{
	struct fg_networks *t = NULL;
	int r = fg_networks_parse(text, strlen(text), "t.tsv", &t, &report, why, sizeof(why));

	if (r)
		fail_msg("%d: %s", r, why);
	return t;
}

static struct fg_network find(const struct fg_networks *t, const char *addr)
{
	uint8_t bytes[16], bits;

	assert_int_equal(fg_ip_parse(addr, bytes, &bits), 0);
	return fg_networks_find(t, bytes);
}

static void expect(const struct fg_networks *t, const char *addr, uint32_t asn,
		   enum fg_net_class net_class, const char *country)
{
	const struct fg_network n = find(t, addr);

	assert_int_equal(n.asn, asn);
	assert_int_equal(n.class, net_class);
	assert_memory_equal(n.country, country, 2);
}

static void test_longest_prefix_wins(void **state)
{
	struct fg_networks *t = parse("prefix\tasn\tclass\tcountry\n"
				      "# a comment\n"
				      "10.0.0.0/8\tAS1\tres\tde\n"
				      "10.1.0.0/16,2,mobile,FR,and,more\n"
				      "10.1.2.0/24\tas3\tdc\t-\r\n"
				      "\n"
				      "10.1.2.0/24\t4\t-\t\n"
				      "2001:db8::/32\t5\trelay\tUS\n"
				      "192.0.2.1\t6\tcorp\tJP");

	(void)state;
	assert_int_equal(report.good, 6);
	assert_int_equal(report.skipped, 0);
	assert_int_equal(fg_networks_n(t), 6);
	expect(t, "9.255.255.255", 0, FG_NET_UNKNOWN, "\0\0");
	expect(t, "10.0.0.0", 1, FG_NET_RES, "DE");
	expect(t, "10.0.255.255", 1, FG_NET_RES, "DE");
	expect(t, "10.1.0.0", 2, FG_NET_MOBILE, "FR");
	/* of equal prefixes the last */
	expect(t, "10.1.2.77", 4, FG_NET_UNKNOWN, "\0\0");
	expect(t, "10.1.3.0", 2, FG_NET_MOBILE, "FR");
	expect(t, "10.2.0.0", 1, FG_NET_RES, "DE");
	expect(t, "11.0.0.0", 0, FG_NET_UNKNOWN, "\0\0");
	expect(t, "192.0.2.1", 6, FG_NET_CORP, "JP");
	expect(t, "192.0.2.2", 0, FG_NET_UNKNOWN, "\0\0");
	expect(t, "2001:db8:ffff::1", 5, FG_NET_RELAY, "US");
	expect(t, "2001:db9::", 0, FG_NET_UNKNOWN, "\0\0");
	fg_networks_free(&t);
}

static void test_broken_lines_have_numbers(void **state)
{
	struct fg_networks *t = parse("192.0.2.0/24\t1\tres\tDE\n"
				      "192.0.2.0/33\t1\tres\tDE\n"
				      "10.0.0.1/8\t1\tres\tDE\n"
				      "10.0.0.0/8\tx\tres\tDE\n"
				      "10.0.0.0/8\t4294967296\tres\tDE\n"
				      "10.0.0.0/8\t1\thome\tDE\n"
				      "10.0.0.0/8\t1\tres\tGermany\n"
				      "\t1\tres\tDE\n");
	static const struct {
		size_t line;
		const char *why;
	} bad[] = { { 2, "no prefix" }, { 3, "host bits" }, { 4, "no number" }, { 5, "larger" } };

	(void)state;
	assert_int_equal(report.good, 1);
	assert_int_equal(report.skipped, 7);
	for (size_t i = 0; i < FG_NETWORKS_BAD; i++) {
		assert_int_equal(report.bad[i].line, bad[i].line);
		assert_non_null(strstr(report.bad[i].why, bad[i].why));
	}
	fg_networks_free(&t);
}

static void test_nothing_good_is_an_error(void **state)
{
	struct fg_networks *t = NULL;

	(void)state;
	assert_int_equal(fg_networks_parse("# only\n", 7, "t.tsv", &t, &report, why, sizeof(why)),
			 -EINVAL);
	assert_string_equal(why, "t.tsv: holds no prefix");
	assert_int_equal(fg_networks_parse("a\n10.0.0.0/99\n", 13, "t.tsv", &t, &report, why,
					   sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "t.tsv:2: the first column is no prefix"));
	assert_int_equal(fg_networks_open("/nonexistent/t.tsv", &t, &report, why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/t.tsv"));
	assert_null(t);
}

/* --- Against an oracle ------------------------------------------------------------------------ */

#define PREFIXES 400

struct known {
	uint8_t addr[16], bits;
};

static struct fg_network oracle(const struct known *k, size_t n, const uint8_t addr[16])
{
	struct fg_network best = { 0 };
	int bits = -1;

	for (size_t i = 0; i < n; i++) {
		if (k[i].bits < bits || !fg_ip_contains(k[i].addr, k[i].bits, addr, 128))
			continue;
		bits = k[i].bits;
		best.asn = (uint32_t)i + 1;
	}
	return best;
}

/* Few distinct bytes, so that prefixes nest and touch. */
static void random_address(struct fg_prng *r, uint8_t addr[16])
{
	static const uint8_t bytes[] = { 0, 1, 127, 128, 255 };
	bool is4 = fg_prng_below(r, 2);

	memset(addr, 0, 16);
	if (is4)
		addr[10] = addr[11] = 0xff;
	for (int i = is4 ? 12 : 0; i < 16; i++)
		addr[i] = bytes[fg_prng_below(r, 5)];
	if (!is4)
		addr[0] = 0x20;
}

static void test_against_an_oracle(void **state)
{
	struct fg_prng r = { 3 };

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct known known[PREFIXES];
		char *text = malloc(PREFIXES * 100), ip[FG_IP_TEXT];
		size_t at = 0;
		struct fg_networks *t;

		for (size_t i = 0; i < PREFIXES; i++) {
			random_address(&r, known[i].addr);
			known[i].bits = (uint8_t)(fg_ip_is4(known[i].addr) ?
							  97 + fg_prng_below(&r, 32) :
							  3 + fg_prng_below(&r, 126));
			fg_ip_mask(known[i].addr, known[i].bits);
			at += (size_t)sprintf(text + at, "%s\t%zu\tres\tDE\n",
					      fg_ip_prefix(known[i].addr, known[i].bits, ip),
					      i + 1);
		}
		t = parse(text);
		assert_int_equal(report.skipped, 0);
		for (int i = 0; i < 2000; i++) {
			uint8_t addr[16];

			random_address(&r, addr);
			if (i % 2)
				memcpy(addr, known[i % PREFIXES].addr, 16);
			assert_int_equal(fg_networks_find(t, addr).asn,
					 oracle(known, PREFIXES, addr).asn);
		}
		fg_networks_free(&t);
		free(text);
	}
}

static void test_offsets(void **state)
{
	int minutes;

	(void)state;
	assert_int_equal(fg_country_offset("IN", &minutes), 0);
	assert_int_equal(minutes, 330);
	assert_int_equal(fg_country_offset("BR", &minutes), 0);
	assert_int_equal(minutes, -180);
	assert_int_equal(fg_country_offset("CN", &minutes), 0);
	assert_int_equal(minutes, 480);
	assert_int_equal(fg_country_offset("ZZ", &minutes), -ENOENT);
	assert_int_equal(fg_country_offset("\0\0", &minutes), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_prefix_wins),
		cmocka_unit_test(test_broken_lines_have_numbers),
		cmocka_unit_test(test_nothing_good_is_an_error),
		cmocka_unit_test(test_against_an_oracle),
		cmocka_unit_test(test_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
