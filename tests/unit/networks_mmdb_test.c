/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/networks.c with MaxMind DBs: what is read, what is skipped, and damage of every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ip.h"
#include "mmdb_build.h"
#include "model/networks.h"
#include "packet.h"

static struct fg_mmdb db;
static struct fg_networks_report report;
static char path[64], why[512];

static int set_up(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/farmgate-mmdb.XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_bytes(const void *bytes, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static struct fg_networks *open_db(void)
{
	struct fg_networks *t = NULL;
	uint8_t *bytes;
	size_t n;
	int r;

	bytes = fg_mmdb_bytes(&db, &n);
	write_bytes(bytes, n);
	free(bytes);
	r = fg_networks_open(path, &t, &report, why, sizeof(why));
#ifdef FG_HAVE_LIBMAXMINDDB
	if (r)
		fail_msg("%s", why);
#else
	/* the build says so, by the file's name; there is nothing more to test */
	assert_int_equal(r, -ENOTSUP);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, "libmaxminddb"));
	skip();
#endif
	return t;
}

static void expect(const struct fg_networks *t, const char *addr, uint32_t asn,
		   enum fg_net_class net_class, const char *country)
{
	uint8_t bytes[16], bits;
	struct fg_network n;

	assert_int_equal(fg_ip_parse(addr, bytes, &bits), 0);
	n = fg_networks_find(t, bytes);
	if (n.asn != asn || n.class != net_class || memcmp(n.country, country, 2))
		fail_msg("%s: AS%u %s %.2s", addr, n.asn, fg_net_class_name(n.class), n.country);
}

/* {"autonomous_system_number": asn, "autonomous_system_organization": ...} */
static uint32_t asn_record(uint32_t asn)
{
	uint32_t at = fg_mmdb_map(&db, 2);

	fg_mmdb_text(&db, "autonomous_system_number");
	fg_mmdb_u32(&db, asn);
	fg_mmdb_text(&db, "organization");
	fg_mmdb_text(&db, "Example");
	return at;
}

/* {"country": {"iso_code": country}, "traits": {"user_type": type, "autonomous_system_number": asn}} */
static uint32_t full_record(uint32_t asn, const char *country, const char *type)
{
	uint32_t at = fg_mmdb_map(&db, 2);

	fg_mmdb_text(&db, "country");
	fg_mmdb_map(&db, 1);
	fg_mmdb_text(&db, "iso_code");
	fg_mmdb_text(&db, country);
	fg_mmdb_text(&db, "traits");
	fg_mmdb_map(&db, 2);
	fg_mmdb_text(&db, "user_type");
	fg_mmdb_text(&db, type);
	fg_mmdb_text(&db, "autonomous_system_number");
	fg_mmdb_u32(&db, asn);
	return at;
}

/* {"asn": "AS64503", "country": country, "class": class} */
static uint32_t flat_record(const char *asn, const char *country, const char *class)
{
	uint32_t at = fg_mmdb_map(&db, 3);

	fg_mmdb_text(&db, "asn");
	fg_mmdb_text(&db, asn);
	fg_mmdb_text(&db, "country");
	fg_mmdb_text(&db, country);
	fg_mmdb_text(&db, "class");
	fg_mmdb_text(&db, class);
	return at;
}

static void test_mmdb_of_both_families(void **state)
{
	struct fg_networks *t;
	uint32_t one, other;

	(void)state;
	fg_mmdb_begin(&db, 6);
	one = asn_record(64500);
	other = full_record(4200000001, "DE", "residential");
	fg_mmdb_put(&db, "192.0.2.0/24", one);
	fg_mmdb_put(&db, "198.51.100.0/25", other);
	fg_mmdb_put(&db, "198.51.100.128/25", full_record(7, "US", "hosting"));
	fg_mmdb_put(&db, "203.0.113.7/32", full_record(8, "FR", "cellular"));
	fg_mmdb_put(&db, "2001:db8::/32", flat_record("AS64503", "JP", "relay"));
	fg_mmdb_put(&db, "2001:db9::/48", one);
	/* words and codes that say nothing here */
	fg_mmdb_put(&db, "203.0.113.8/32", full_record(9, "deu", "cafe"));
	fg_mmdb_alias(&db, "2002::/16");
	t = open_db();
	assert_true(report.records);
	assert_int_equal(report.skipped, 0);
	assert_int_equal(fg_networks_n(t), 7);
	assert_true(fg_networks_has_classes(t));
	expect(t, "192.0.2.0", 64500, FG_NET_UNKNOWN, "\0\0");
	expect(t, "192.0.2.255", 64500, FG_NET_UNKNOWN, "\0\0");
	expect(t, "192.0.3.0", 0, FG_NET_UNKNOWN, "\0\0");
	expect(t, "198.51.100.127", 4200000001, FG_NET_RES, "DE");
	expect(t, "198.51.100.128", 7, FG_NET_DC, "US");
	expect(t, "203.0.113.7", 8, FG_NET_MOBILE, "FR");
	expect(t, "203.0.113.8", 9, FG_NET_UNKNOWN, "\0\0");
	expect(t, "203.0.113.9", 0, FG_NET_UNKNOWN, "\0\0");
	expect(t, "2001:db8:ffff::", 64503, FG_NET_RELAY, "JP");
	expect(t, "2001:db9:0:ffff::", 64500, FG_NET_UNKNOWN, "\0\0");
	/* the copy of 192.0.2.0 is not read: nobody is there */
	expect(t, "2002:c000:200::", 0, FG_NET_UNKNOWN, "\0\0");
	fg_networks_free(&t);
}

static void test_mmdb_of_ipv4_alone(void **state)
{
	struct fg_networks *t;

	(void)state;
	fg_mmdb_begin(&db, 4);
	fg_mmdb_put(&db, "10.0.0.0/8", asn_record(64500));
	fg_mmdb_put(&db, "192.0.2.1/32", full_record(5, "GB", "college"));
	t = open_db();
	assert_int_equal(fg_networks_n(t), 2);
	expect(t, "10.255.255.255", 64500, FG_NET_UNKNOWN, "\0\0");
	expect(t, "11.0.0.0", 0, FG_NET_UNKNOWN, "\0\0");
	expect(t, "192.0.2.1", 5, FG_NET_EDU, "GB");
	expect(t, "a00::", 0, FG_NET_UNKNOWN, "\0\0");
	fg_networks_free(&t);
}

static void test_mmdb_records_of_nothing_are_skipped(void **state)
{
	struct fg_networks *t;
	uint32_t nothing;

	(void)state;
	fg_mmdb_begin(&db, 6);
	nothing = fg_mmdb_map(&db, 1);
	fg_mmdb_text(&db, "city");
	fg_mmdb_text(&db, "Springfield");
	fg_mmdb_put(&db, "192.0.2.0/24", nothing);
	fg_mmdb_put(&db, "198.51.100.0/24", asn_record(6));
	/* not even a map */
	fg_mmdb_put(&db, "203.0.113.0/24", fg_mmdb_text(&db, "text"));
	t = open_db();
	assert_int_equal(report.good, 1);
	assert_int_equal(report.skipped, 2);
	assert_int_equal(report.bad[0].line, 1);
	assert_false(fg_networks_has_classes(t));
	fg_networks_free(&t);
	fg_mmdb_begin(&db, 6);
	fg_mmdb_put(&db, "192.0.2.0/24", fg_mmdb_text(&db, "text"));
	db.nodes[0][1] = 0;
	{
		size_t n;
		uint8_t *bytes = fg_mmdb_bytes(&db, &n);

		write_bytes(bytes, n);
		free(bytes);
	}
	assert_int_equal(fg_networks_open(path, &t, &report, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, "no ASN, country or class"));
}

/* A tree that leads back to its root is no reason to go round for ever. */
static void test_mmdb_circles_end(void **state)
{
	struct fg_networks *t = NULL;
	size_t n;
	uint8_t *bytes;

	(void)state;
	fg_mmdb_begin(&db, 6);
	fg_mmdb_put(&db, "192.0.2.0/24", asn_record(6));
	fg_networks_free((t = open_db(), &t));
	db.nodes[3][1] = 1;
	db.nodes[5][1] = 1;
	bytes = fg_mmdb_bytes(&db, &n);
	write_bytes(bytes, n);
	free(bytes);
	assert_int_equal(fg_networks_open(path, &t, &report, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, "leads nowhere"));
}

/* Bytes that were changed and files that were cut give an error or another table, and no crash. */
static void test_mmdb_damage_is_no_crash(void **state)
{
	struct fg_networks *t;
	struct fg_prng r = { 9 };
	uint8_t *bytes;
	size_t n, opened = 0, refused = 0;

	(void)state;
	fg_mmdb_begin(&db, 6);
	fg_mmdb_put(&db, "192.0.2.0/24", full_record(6, "DE", "hosting"));
	fg_mmdb_put(&db, "2001:db8::/32", flat_record("AS1", "FR", "res"));
	t = open_db();
	fg_networks_free(&t);
	bytes = fg_mmdb_bytes(&db, &n);
	for (int i = 0; i < 3000; i++) {
		size_t at = (size_t)fg_prng_below(&r, (uint32_t)n);
		uint8_t was = bytes[at];
		int e;

		bytes[at] ^= (uint8_t)(1 + fg_prng_below(&r, 255));
		write_bytes(bytes, i % 4 ? n : at);
		e = fg_networks_open(path, &t, &report, why, sizeof(why));
		if (!e) {
			opened++;
			fg_networks_free(&t);
		} else {
			refused++;
			assert_non_null(strstr(why, path));
		}
		bytes[at] = was;
	}
	free(bytes);
	print_message("%zu tables, %zu refused\n", opened, refused);
	assert_true(opened > 100 && refused > 100);
}

static void test_mmdb_that_is_not_there(void **state)
{
	struct fg_networks *t;

	(void)state;
	assert_int_equal(fg_networks_open("/nonexistent/asn.mmdb", &t, &report, why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/asn.mmdb"));
	/* text is text, whatever its name is */
	write_bytes("192.0.2.0/24\t7\tdc\tDE\n", 22);
	assert_int_equal(fg_networks_open(path, &t, &report, why, sizeof(why)), 0);
	assert_false(report.records);
	expect(t, "192.0.2.9", 7, FG_NET_DC, "DE");
	fg_networks_free(&t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_mmdb_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(of_both_families),
		TEST(of_ipv4_alone),
		TEST(records_of_nothing_are_skipped),
		TEST(circles_end),
		TEST(damage_is_no_crash),
		TEST(that_is_not_there),
	};

	return cmocka_run_group_tests_name("mmdb", tests, NULL, NULL);
}
