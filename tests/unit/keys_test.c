/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* serve/keys.h and serve/failures.h: files of keys, taken whole or not at all, and wrong ones counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/failures.h"
#include "serve/keys.h"

#define S     1000000000ULL

#define KEY_A "aaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbb"

static struct fg_keys keys;
static char why[256], path[64];

static int parse(const char *text)
{
	why[0] = '\0';
	return fg_keys_parse(&keys, text, strlen(text), "FILE", why, sizeof(why));
}

static const struct fg_key *find(const char *key)
{
	return fg_keys_find(&keys, key, strlen(key));
}

static void test_keys_are_read(void **state)
{
	(void)state;
	memset(&keys, 0, sizeof(keys));
	assert_int_equal(parse("# who may\n\n"
			       "edge-1 " KEY_A " bouncer\n"
			       "\t ops.team\t" KEY_B "   operator # ask them\n"
			       "grafana_x cccccccc#ccccccccc read"),
			 0);
	assert_int_equal(keys.n, 3);
	assert_string_equal(find(KEY_A)->name, "edge-1");
	assert_int_equal(find(KEY_A)->role, FG_KEY_BOUNCER);
	assert_string_equal(find(KEY_B)->name, "ops.team");
	assert_int_equal(find(KEY_B)->role, FG_KEY_OPERATOR);
	assert_int_equal(find("cccccccc#ccccccccc")->role, FG_KEY_READ);
	/* nobody's: none, one too short, one too long, another case */
	assert_null(find(""));
	assert_null(find("aaaaaaaaaaaaaaa"));
	assert_null(find(KEY_A "a"));
	assert_null(find("AAAAAAAAAAAAAAAA"));
	assert_null(fg_keys_find(&keys, KEY_A "\0", sizeof(KEY_A)));
	/* no key is kept as it is */
	for (size_t i = 0; i + 16 <= sizeof(keys); i++)
		assert_memory_not_equal((char *)&keys + i, KEY_A, 16);
}

static void test_keys_of_an_empty_file_let_nobody_in(void **state)
{
	(void)state;
	assert_int_equal(parse("a " KEY_A " read\n"), 0);
	assert_non_null(find(KEY_A));
	assert_int_equal(parse("# nobody\n"), 0);
	assert_int_equal(keys.n, 0);
	assert_null(find(KEY_A));
}

static void test_keys_are_refused_by_line(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "a " KEY_A "\n", "FILE:1: too few words" },
		{ "\n\na\n", "FILE:3: too few words" },
		{ "a " KEY_A " read more\n", "FILE:1: too many words" },
		{ "a aaaaaaaaaaaaaaa read\n", "FILE:1: the key has 15 characters" },
		{ "a/b " KEY_A " read\n", "FILE:1: the name" },
		{ "abcdefghijabcdefghijabcdefghijabc " KEY_A " read\n", "FILE:1: the name" },
		{ "a " KEY_A " admin\n", "FILE:1: the role is none of" },
		{ "a " KEY_A " Read\n", "FILE:1: the role is none of" },
		{ "a " KEY_A " read\na " KEY_B " read\n", "FILE:2: the name 'a' is there twice" },
		{ "a " KEY_A " read\nb " KEY_A " read\n", "FILE:2: 'b' has the key of 'a'" },
		{ "a " KEY_A "\x80 read\n", "FILE:1: byte 0x80" },
		{ "a " KEY_A " read\r\n", "FILE:1: byte 0x0d" },
	};

	(void)state;
	assert_int_equal(parse("old " KEY_B " operator\n"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].text), -EINVAL);
		if (strncmp(why, cases[i].why, strlen(cases[i].why)))
			fail_msg("'%s' instead of '%s'", why, cases[i].why);
		/* a message may end in a log: it never repeats a key */
		assert_null(strstr(why, "aaaaaaaaaaaaaaa"));
		assert_int_equal(keys.n, 1);
		assert_string_equal(find(KEY_B)->name, "old");
	}
}

static void test_keys_are_at_most_so_many(void **state)
{
	static char text[257 * 64];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 256; i++)
		n += (size_t)sprintf(text + n, "n%d key-number-%06d read\n", i, i);
	assert_int_equal(parse(text), 0);
	assert_int_equal(keys.n, 256);
	assert_string_equal(find("key-number-000255")->name, "n255");
	sprintf(text + n, "n256 key-number-000256 read\n");
	assert_int_equal(parse(text), -EINVAL);
	assert_string_equal(why, "FILE:257: more than 256 keys");
	assert_int_equal(keys.n, 256);
}

/* --- Files ------------------------------------------------------------------------------------- */

static void write_keys(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/farmgate-keys.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void test_keyring_refuses_files_that_others_read(void **state)
{
	static const struct {
		mode_t mode;
		int r;
	} cases[] = { { 0600, 0 },	{ 0400, 0 },	  { 0640, 0 },	    { 0644, -EPERM },
		      { 0604, -EPERM }, { 0602, -EPERM }, { 0660, -EPERM }, { 0666, -EPERM } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fg_keyring *ring = NULL;

		write_keys("a " KEY_A " read\n", 0600);
		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_int_equal(fg_keyring_open(path, &ring, why, sizeof(why)), cases[i].r);
		if (cases[i].r)
			assert_non_null(strstr(why, "chmod 0600"));
		fg_keyring_free(&ring);
		chmod(path, 0600);
	}
}

static void test_keyring_refuses_what_is_no_file(void **state)
{
	struct fg_keyring *ring = NULL;

	(void)state;
	assert_int_equal(fg_keyring_open("/tmp", &ring, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "/tmp: is no file");
	assert_int_equal(fg_keyring_open("/nowhere/keys", &ring, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nowhere/keys: "));
	assert_null(ring);
}

static size_t held(const struct fg_keyring *ring)
{
	return fg_keyring_keys(ring)->n;
}

static void test_keyring_follows_its_file(void **state)
{
	struct fg_keyring *ring;

	(void)state;
	write_keys("a " KEY_A " read\n", 0600);
	assert_int_equal(fg_keyring_open(path, &ring, why, sizeof(why)), 0);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 0);
	write_keys("a " KEY_A " read\nb " KEY_B " bouncer\n", 0600);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 1);
	assert_int_equal(held(ring), 2);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 0);
	/* a bad line: told once, the old ones stay */
	write_keys("a " KEY_A " read\nb short bouncer\n", 0600);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, ":2: the key has 5 characters"));
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 0);
	assert_int_equal(held(ring), 2);
	/* readable to all */
	write_keys("a " KEY_A " read\n", 0644);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), -EPERM);
	assert_int_equal(held(ring), 2);
	/* cured by its mode alone */
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 1);
	assert_int_equal(held(ring), 1);
	/* gone, and there again */
	unlink(path);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), -ENOENT);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 0);
	assert_int_equal(held(ring), 1);
	write_keys("# all taken back\n", 0600);
	assert_int_equal(fg_keyring_check(ring, why, sizeof(why)), 1);
	assert_int_equal(held(ring), 0);
	fg_keyring_free(&ring);
	assert_null(ring);
}

/* --- Failures ---------------------------------------------------------------------------------- */

static void test_failures_are_limited_by_address(void **state)
{
	struct fg_failures *f = calloc(1, sizeof(*f));
	uint8_t one[16] = { [15] = 1 }, two[16] = { [15] = 2 };

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < FG_FAILURES_A_MINUTE; i++)
		assert_false(fg_failures_note(f, one, 1000 * S));
	assert_true(fg_failures_note(f, one, 1000 * S));
	assert_true(fg_failures_note(f, one, 999 * S)); /* the clock was set back */
	assert_false(fg_failures_note(f, two, 1000 * S));
	/* one a minute's tenth, and the whole minute's after a minute */
	assert_false(fg_failures_note(f, one, 1006 * S));
	assert_true(fg_failures_note(f, one, 1006 * S));
	for (int i = 0; i < FG_FAILURES_A_MINUTE; i++)
		assert_false(fg_failures_note(f, one, 5000 * S));
	assert_true(fg_failures_note(f, one, 5000 * S));
	/* a bouncer's pace is below the limit for ever */
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(fg_failures_note(f, two, (6000 + 10 * i) * S));
	/* more addresses than rows: the table stays what it is, the latest is remembered */
	for (unsigned int i = 0; i < 10000; i++) {
		uint8_t many[16] = { 0x20, [6] = (uint8_t)(i >> 8), [7] = (uint8_t)i };

		assert_false(fg_failures_note(f, many, 20000 * S + i));
	}
	free(f);
}

#define ON_FILE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_are_read),
		cmocka_unit_test(test_keys_of_an_empty_file_let_nobody_in),
		cmocka_unit_test(test_keys_are_refused_by_line),
		cmocka_unit_test(test_keys_are_at_most_so_many),
		ON_FILE(test_keyring_refuses_files_that_others_read),
		ON_FILE(test_keyring_refuses_what_is_no_file),
		ON_FILE(test_keyring_follows_its_file),
		cmocka_unit_test(test_failures_are_limited_by_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
