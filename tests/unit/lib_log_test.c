/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/log: the lines that come out of stderr. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"

static char text[16384];
static FILE *file;
static int saved;

/* stderr into a file, and back. */
static void capture(void)
{
	fflush(stderr);
	saved = dup(2);
	file = tmpfile();
	assert_non_null(file);
	dup2(fileno(file), 2);
}

static const char *release(void)
{
	size_t n;

	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

static void test_log_prints_up_to_its_level(void **state)
{
	(void)state;
	fg_log_setup(FG_LOG_INFO, false);
	capture();
	fg_log_error("%s: %s", "nft", "no such table");
	fg_log_warning("two");
	fg_log_info("three");
	fg_log_debug("four");
	assert_string_equal(release(), "farmgate: nft: no such table\n"
				       "farmgate: warning: two\n"
				       "farmgate: info: three\n");
	fg_log_setup(FG_LOG_ERROR, false);
	capture();
	fg_log_warning("two");
	assert_string_equal(release(), "");
}

static void test_log_keeps_one_message_one_line(void **state)
{
	char longest[10000];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	fg_log_setup(FG_LOG_DEBUG, false);
	capture();
	fg_log_info("a\nfarmgate: forged\x1b[2J");
	fg_log_debug("%s", longest);
	release();
	assert_ptr_equal(strstr(text, "farmgate: info: a?farmgate: forged?[2J\n"), text);
	assert_ptr_equal(strchr(strchr(text, '\n') + 1, '\n'), text + strlen(text) - 1);
}

static void test_log_json_is_json(void **state)
{
	json_t *line;

	(void)state;
	fg_log_setup(FG_LOG_INFO, true);
	capture();
	fg_log_warning("sni \"%s\"", "a\n\xff");
	line = json_loads(release(), 0, NULL);
	fg_log_setup(FG_LOG_INFO, false);
	assert_non_null(line);
	assert_string_equal(json_string_value(json_object_get(line, "level")), "warning");
	assert_string_equal(json_string_value(json_object_get(line, "message")),
			    "sni \"a\n\xef\xbf\xbd\"");
	assert_true(json_number_value(json_object_get(line, "time")) > 1.7e9);
	assert_int_equal(strchr(text, '\n') - text, (ptrdiff_t)strlen(text) - 1);
	json_decref(line);
}

static void test_log_complain_has_the_contracts_form(void **state)
{
	(void)state;
	capture();
	fg_complain("block", "%s: no stem '%s' was seen yet", "192.0.2.1", "~x\n");
	assert_string_equal(release(), "farmgate: block: 192.0.2.1: no stem '~x?' was seen yet\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_prints_up_to_its_level),
		cmocka_unit_test(test_log_keeps_one_message_one_line),
		cmocka_unit_test(test_log_json_is_json),
		cmocka_unit_test(test_log_complain_has_the_contracts_form),
	};

	return cmocka_run_group_tests_name("lib_log", tests, NULL, NULL);
}
