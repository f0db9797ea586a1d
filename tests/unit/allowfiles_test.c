/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent/allowfiles.h: what is read, what is refused and where, and files that change under us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/allowfiles.h"
#include "lib/ip.h"

static char dir[64], path[128], second[128], link_path[128];
static struct fg_allowfiles *files;

static int set_up(void **arg)
{
	(void)arg;
	strcpy(dir, "/tmp/farmgate-allow.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/list", dir);
	snprintf(second, sizeof(second), "%s/second", dir);
	snprintf(link_path, sizeof(link_path), "%s/link", dir);
	return 0;
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_allowfiles_free(&files);
	unlink(path);
	unlink(second);
	unlink(link_path);
	return rmdir(dir);
}

static void write_bytes(const char *to, const void *bytes, size_t n)
{
	FILE *f = fopen(to, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void write_text(const char *to, const char *text)
{
	write_bytes(to, text, strlen(text));
}

/* As tools do it that mean well. */
static void replace(const char *to, const char *text)
{
	char beside[160];

	snprintf(beside, sizeof(beside), "%s.new", to);
	write_text(beside, text);
	assert_int_equal(rename(beside, to), 0);
}

static void open_path(void)
{
	char *paths[] = { path };

	assert_int_equal(fg_allowfiles_open(paths, 1, &files), 0);
}

static const char *why_of(const char *prefix)
{
	static char reason[160];
	uint8_t addr[16], bits;

	assert_int_equal(fg_ip_parse(prefix, addr, &bits), 0);
	reason[0] = '\0';
	return fg_allowfiles_meet(files, addr, bits, reason) ? reason : NULL;
}

static void test_allowfiles_reads_prefixes_and_reasons(void **arg)
{
	(void)arg;
	write_text(path, "\xef\xbb\xbf# our own\r\n"
			 "192.0.2.0/24 the office\r\n"
			 "\n"
			 "   2001:db8::/32\t# relay; range 7\n"
			 "198.51.100.7\n"
			 "203.0.113.0/25,verified crawler\n"
			 "2001:db9::5 a\x01host");
	open_path();
	assert_string_equal(fg_allowfiles_fault(files, 0), "");
	assert_null(fg_allowfiles_fault(files, 1));
	assert_true(fg_allowfiles_ready(files));
	assert_int_equal(fg_allowfiles_n(files, 0), 5);
	assert_string_equal(why_of("192.0.2.9"), "allow file list: the office");
	assert_string_equal(why_of("2001:db8:7::/64"), "allow file list: relay; range 7");
	assert_string_equal(why_of("198.51.100.7"), "allow file list");
	assert_string_equal(why_of("203.0.113.0/24"), "allow file list: verified crawler");
	assert_string_equal(why_of("2001:db9::/64"), "allow file list: a host");
	assert_null(why_of("203.0.113.128"));
}

static void test_allowfiles_refuses_with_file_and_line(void **arg)
{
	static const struct {
		const char *text;
		size_t n; /* 0 = up to its end */
		const char *wrong;
	} rows[] = {
		{ "192.0.2.0/24\n10.0.0.1/8\n", 0,
		  ":2: '10.0.0.1/8' is no address or prefix with zero host bits" },
		{ "# a\nexample.com\n", 0, ":2: 'example.com' is no address" },
		{ "0.0.0.0/0\n", 0, ":1: a prefix of length 0 allows everybody" },
		{ "192.0.2.0/24\n::/0 all", 0, ":2: a prefix of length 0 allows everybody" },
		{ "192.0.2.1\n192.0\0.2.2\n", 21, ":2: holds a byte 0" },
		{ "192.0.2.1\n192.0.2.2\0", 20, ":2: holds a byte 0" },
		{ "\x7f"
		  "ELF",
		  0,
		  ":1: '\x7f"
		  "ELF' is no address" },
		{ "", 0, ": empty; a file with only comments" },
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[256], why[256];

		write_bytes(path, rows[i].text, rows[i].n ? rows[i].n : strlen(rows[i].text));
		snprintf(want, sizeof(want), "%s%s", path, rows[i].wrong);
		assert_true(fg_allowfiles_try(path, why, sizeof(why)) < 0);
		if (strncmp(why, want, strlen(want)))
			fail_msg("want %s, got %s", want, why);
		open_path();
		assert_false(fg_allowfiles_ready(files));
		assert_memory_equal(fg_allowfiles_fault(files, 0), want, strlen(want));
		assert_null(why_of("192.0.2.1"));
		fg_allowfiles_free(&files);
	}
}

static void test_allowfiles_refuses_what_is_no_file(void **arg)
{
	char why[256], line[1100];

	(void)arg;
	assert_true(fg_allowfiles_try(path, why, sizeof(why)) == -ENOENT);
	assert_true(fg_allowfiles_try(dir, why, sizeof(why)) == -EINVAL);
	assert_true(fg_allowfiles_try("/dev/zero", why, sizeof(why)) == -EINVAL);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	line[0] = '#';
	write_text(path, line);
	assert_true(fg_allowfiles_try(path, why, sizeof(why)) == -EINVAL);
	assert_non_null(strstr(why, ":1: longer than 1024"));
	write_text(path, "# nobody\n");
	assert_int_equal(fg_allowfiles_try(path, why, sizeof(why)), 0);
}

static void test_allowfiles_takes_a_rename_at_once(void **arg)
{
	uint64_t revision;

	(void)arg;
	write_text(path, "192.0.2.0/24\n");
	open_path();
	revision = fg_allowfiles_revision(files);
	assert_int_equal(fg_allowfiles_look(files), 0);
	replace(path, "198.51.100.0/24 b\n");
	assert_int_equal(fg_allowfiles_look(files), 1);
	assert_true(fg_allowfiles_revision(files) > revision);
	assert_null(why_of("192.0.2.1"));
	assert_string_equal(why_of("198.51.100.1"), "allow file list: b");
	assert_int_equal(fg_allowfiles_look(files), 0);
}

/* Half a list is a list, too: it is not read before it has been quiet for one look. */
static void test_allowfiles_waits_for_who_writes_in_place(void **arg)
{
	FILE *f;

	(void)arg;
	write_text(path, "192.0.2.0/24\n198.51.100.0/24\n");
	open_path();
	f = fopen(path, "w");
	fputs("192.0.2.0/24\n", f);
	fflush(f);
	assert_int_equal(fg_allowfiles_look(files), 0);
	assert_non_null(why_of("198.51.100.1"));
	fputs("203.0.113.0/24\n", f);
	fflush(f);
	assert_int_equal(fg_allowfiles_look(files), 0);
	assert_non_null(why_of("198.51.100.1"));
	fclose(f);
	assert_int_equal(fg_allowfiles_look(files), 1);
	assert_null(why_of("198.51.100.1"));
	assert_non_null(why_of("203.0.113.1"));
}

static void test_allowfiles_keeps_the_old_list(void **arg)
{
	char want[256];
	uint64_t revision;

	(void)arg;
	write_text(path, "192.0.2.0/24\n");
	open_path();
	replace(path, "198.51.100.0/24\noops\n");
	assert_int_equal(fg_allowfiles_look(files), 0);
	snprintf(want, sizeof(want), "%s:2: 'oops' is no address", path);
	assert_memory_equal(fg_allowfiles_fault(files, 0), want, strlen(want));
	assert_true(fg_allowfiles_ready(files));
	assert_non_null(why_of("192.0.2.1"));
	assert_null(why_of("198.51.100.1"));
	/* said once, not each second */
	revision = fg_allowfiles_revision(files);
	assert_int_equal(fg_allowfiles_look(files), 0);
	assert_true(fg_allowfiles_revision(files) == revision);
	/* what a full disk leaves */
	replace(path, "");
	assert_int_equal(fg_allowfiles_look(files), 0);
	assert_non_null(why_of("192.0.2.1"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fg_allowfiles_look(files), 0);
	snprintf(want, sizeof(want), "%s: No such file or directory", path);
	assert_string_equal(fg_allowfiles_fault(files, 0), want);
	assert_non_null(why_of("192.0.2.1"));
	replace(path, "198.51.100.0/24\n");
	assert_int_equal(fg_allowfiles_look(files), 1);
	assert_string_equal(fg_allowfiles_fault(files, 0), "");
	assert_null(why_of("192.0.2.1"));
}

/* The file that is missing at the start is right later. */
static void test_allowfiles_becomes_ready(void **arg)
{
	(void)arg;
	open_path();
	assert_false(fg_allowfiles_ready(files));
	assert_false(fg_allowfiles_has_list(files, 0));
	replace(path, "192.0.2.0/24\n");
	assert_int_equal(fg_allowfiles_look(files), 1);
	assert_true(fg_allowfiles_ready(files));
}

/* As configuration managers switch versions: the name is a link, and the link is replaced. */
static void test_allowfiles_follows_links(void **arg)
{
	char *paths[] = { link_path };
	char beside[160];

	(void)arg;
	write_text(path, "192.0.2.0/24 one\n");
	write_text(second, "192.0.2.0/24 two\n");
	assert_int_equal(symlink(path, link_path), 0);
	assert_int_equal(fg_allowfiles_open(paths, 1, &files), 0);
	assert_string_equal(why_of("192.0.2.1"), "allow file link: one");
	snprintf(beside, sizeof(beside), "%s/link.new", dir);
	assert_int_equal(symlink(second, beside), 0);
	assert_int_equal(rename(beside, link_path), 0);
	assert_int_equal(fg_allowfiles_look(files), 1);
	assert_string_equal(why_of("192.0.2.1"), "allow file link: two");
}

static void test_allowfiles_of_several(void **arg)
{
	char *paths[] = { path, second };

	(void)arg;
	write_text(path, "192.0.2.0/24\n");
	assert_int_equal(fg_allowfiles_open(paths, 2, &files), 0);
	assert_false(fg_allowfiles_ready(files));
	assert_string_equal(fg_allowfiles_fault(files, 0), "");
	assert_non_null(strstr(fg_allowfiles_fault(files, 1), "No such file"));
	assert_non_null(why_of("192.0.2.1"));
	replace(second, "198.51.100.0/24\n");
	assert_int_equal(fg_allowfiles_look(files), 1);
	assert_true(fg_allowfiles_ready(files));
	assert_string_equal(why_of("198.51.100.1"), "allow file second");
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* A figure for who reads the output. */
static void test_allowfiles_of_300000_lines(void **arg)
{
	FILE *f = fopen(path, "w");
	double begin;

	(void)arg;
	assert_non_null(f);
	for (uint32_t i = 0; i < 300000; i++)
		fprintf(f, "2001:%x:%x::/48 relay egress of city %u\n", 0x100 + (i >> 12), i & 4095,
			i / 1000);
	assert_int_equal(fclose(f), 0);
	begin = now_ms();
	open_path();
	print_message("300,000 lines: read in %.0f ms, %.1f MB\n", now_ms() - begin,
		      (double)fg_allowfiles_bytes(files) / 1e6);
	assert_string_equal(fg_allowfiles_fault(files, 0), "");
	assert_int_equal(fg_allowfiles_n(files, 0), 300000);
	assert_string_equal(why_of("2001:100:5:6::/64"), "allow file list: relay egress of city 0");
}

#define T(name) cmocka_unit_test_setup_teardown(test_allowfiles_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reads_prefixes_and_reasons),
		T(refuses_with_file_and_line),
		T(refuses_what_is_no_file),
		T(takes_a_rename_at_once),
		T(waits_for_who_writes_in_place),
		T(keeps_the_old_list),
		T(becomes_ready),
		T(follows_links),
		T(of_several),
		T(of_300000_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
