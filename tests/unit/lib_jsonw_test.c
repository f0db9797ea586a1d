/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/jsonw: what it writes is JSON (an independent reader says so), or it says that it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/jsonw.h"

struct fixture {
	struct fg_jsonw w;
	FILE *out;
	char *text;
	size_t n;
};

static int open_writer(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->out = open_memstream(&f->text, &f->n);
	fg_jsonw_init(&f->w, f->out);
	*state = f;
	return f->out ? 0 : -1;
}

static int close_writer(void **state)
{
	struct fixture *f = *state;

	fclose(f->out);
	free(f->text);
	free(f);
	return 0;
}

static const char *written(struct fixture *f)
{
	fflush(f->out);
	return f->text;
}

static void test_jsonw_writes_nested_documents(void **state)
{
	struct fixture *f = *state;
	struct fg_jsonw *w = &f->w;

	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "big", UINT64_MAX);
	fg_jsonw_key(w, "low");
	fg_jsonw_i64(w, INT64_MIN);
	fg_jsonw_key(w, "list");
	fg_jsonw_array(w);
	fg_jsonw_bool(w, true);
	fg_jsonw_null(w);
	fg_jsonw_object(w);
	fg_jsonw_object_end(w);
	fg_jsonw_array(w);
	fg_jsonw_array_end(w);
	fg_jsonw_string(w, NULL);
	fg_jsonw_array_end(w);
	fg_jsonw_key_string(w, "name", "farm");
	fg_jsonw_key_bool(w, "no", false);
	fg_jsonw_object_end(w);
	assert_int_equal(fg_jsonw_finish(w), 0);
	assert_string_equal(written(f),
			    "{\"big\":18446744073709551615,\"low\":-9223372036854775808,"
			    "\"list\":[true,null,{},[],null],\"name\":\"farm\",\"no\":false}");
}

/* All 256 bytes, one a string, and UTF-8 that is cut, overlong, a surrogate, too large. */
static void test_jsonw_escapes_every_byte(void **state)
{
	static const char *const bad[] = {
		"\xc3",	    "\xc0\xaf", "\xed\xa0\x80",	    "\xf4\x90\x80\x80",
		"\xe2\x82", "\xff\xfe", "\xf0\x80\x80\x80", "\xe0\x80\x80",
		"a\x80z"
	};
	struct fixture *f = *state;
	json_t *root, *item;
	unsigned int i;
	char byte;

	fg_jsonw_array(&f->w);
	for (i = 0; i < 256; i++) {
		byte = (char)i;
		fg_jsonw_string_n(&f->w, &byte, 1);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		fg_jsonw_string(&f->w, bad[i]);
	fg_jsonw_array_end(&f->w);
	assert_int_equal(fg_jsonw_finish(&f->w), 0);
	root = json_loads(written(f), JSON_ALLOW_NUL, NULL);
	assert_non_null(root);
	json_array_foreach(root, i, item)
	{
		const char *text = json_string_value(item);

		if (i < 128) {
			assert_int_equal(json_string_length(item), 1);
			assert_int_equal((unsigned char)text[0], i);
		} else {
			assert_non_null(strstr(text, "\xef\xbf\xbd"));
		}
	}
	for (i = 0; i < 32; i++)
		assert_null(memchr(f->text, (int)i, f->n));
	json_decref(root);
}

static void test_jsonw_keeps_good_utf8(void **state)
{
	static const char text[] = "b\xc3\xbc"
				   "cher \xe2\x82\xac \xf0\x9f\x8c\xbe";
	struct fixture *f = *state;
	json_t *root;

	fg_jsonw_string(&f->w, text);
	assert_int_equal(fg_jsonw_finish(&f->w), 0);
	root = json_loads(written(f), JSON_DECODE_ANY, NULL);
	assert_string_equal(json_string_value(root), text);
	json_decref(root);
}

static void test_jsonw_doubles_round_trip(void **state)
{
	static const double values[] = { 0,	 1795521600.000123, 0.1,      13.8, -2.5, 1e300,
					 5e-324, 1.0 / 3,	    1e15 + 1, 1e22, -0.0 };
	struct fixture *f = *state;
	json_t *root, *item;
	size_t i;

	fg_jsonw_array(&f->w);
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		fg_jsonw_double(&f->w, values[i]);
	fg_jsonw_double(&f->w, NAN);
	fg_jsonw_double(&f->w, INFINITY);
	fg_jsonw_array_end(&f->w);
	assert_int_equal(fg_jsonw_finish(&f->w), 0);
	root = json_loads(written(f), 0, NULL);
	assert_non_null(root);
	json_array_foreach(root, i, item)
	{
		if (i < sizeof(values) / sizeof(values[0]))
			assert_true(json_number_value(item) == values[i]);
		else
			assert_true(json_is_null(item));
	}
	assert_non_null(strstr(f->text, "1795521600.000123,0.1,13.8,"));
	json_decref(root);
}

static void test_jsonw_time_keeps_microseconds(void **state)
{
	struct fixture *f = *state;

	fg_jsonw_array(&f->w);
	fg_jsonw_time(&f->w, 1795521600000123456ULL);
	fg_jsonw_time(&f->w, 0);
	fg_jsonw_array_end(&f->w);
	assert_int_equal(fg_jsonw_finish(&f->w), 0);
	assert_string_equal(written(f), "[1795521600.000123,0.000000]");
}

static void test_jsonw_stringf_escapes_what_it_formats(void **state)
{
	struct fixture *f = *state;

	fg_jsonw_stringf(&f->w, "%d of \"%s\"", 7, "x\n");
	assert_int_equal(fg_jsonw_finish(&f->w), 0);
	assert_string_equal(written(f), "\"7 of \\\"x\\n\\\"\"");
}

static void run_wrong(unsigned int which, struct fg_jsonw *w)
{
	unsigned int i;

	switch (which) {
	case 0: /* nothing at all */
		return;
	case 1: /* value without key */
		fg_jsonw_object(w);
		fg_jsonw_u64(w, 1);
		return;
	case 2: /* key in an array */
		fg_jsonw_array(w);
		fg_jsonw_key(w, "k");
		return;
	case 3: /* wrong end */
		fg_jsonw_array(w);
		fg_jsonw_object_end(w);
		return;
	case 4: /* two roots */
		fg_jsonw_u64(w, 1);
		fg_jsonw_u64(w, 2);
		return;
	case 5: /* key without value */
		fg_jsonw_object(w);
		fg_jsonw_key(w, "k");
		fg_jsonw_object_end(w);
		return;
	case 6: /* end too many */
		fg_jsonw_array(w);
		fg_jsonw_array_end(w);
		fg_jsonw_array_end(w);
		return;
	case 7: /* still open */
		fg_jsonw_array(w);
		return;
	default: /* too deep, and closed again */
		for (i = 0; i <= FG_JSONW_DEPTH; i++)
			fg_jsonw_array(w);
		for (i = 0; i <= FG_JSONW_DEPTH; i++)
			fg_jsonw_array_end(w);
	}
}

static void test_jsonw_remembers_misuse(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i <= 8; i++) {
		fg_jsonw_init(&f->w, f->out);
		run_wrong(i, &f->w);
		assert_int_equal(fg_jsonw_finish(&f->w), -EINVAL);
	}
}

static void test_jsonw_reports_a_full_disk(void **state)
{
	FILE *full = fopen("/dev/full", "w");
	struct fg_jsonw w;

	(void)state;
	if (!full)
		skip();
	fg_jsonw_init(&w, full);
	fg_jsonw_u64(&w, 1);
	fflush(full);
	assert_int_equal(fg_jsonw_finish(&w), -EIO);
	fclose(full);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_writer, close_writer)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_jsonw_writes_nested_documents),
		TEST(test_jsonw_escapes_every_byte),
		TEST(test_jsonw_keeps_good_utf8),
		TEST(test_jsonw_doubles_round_trip),
		TEST(test_jsonw_time_keeps_microseconds),
		TEST(test_jsonw_stringf_escapes_what_it_formats),
		TEST(test_jsonw_remembers_misuse),
		TEST(test_jsonw_reports_a_full_disk),
	};

	return cmocka_run_group_tests_name("lib_jsonw", tests, NULL, NULL);
}
