/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/near: distances by hand, and when a suggestion is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/near.h"

static void test_near_distance_counts_changes(void **state)
{
	(void)state;
	assert_int_equal(fg_near_distance("", ""), 0);
	assert_int_equal(fg_near_distance("role", "role"), 0);
	assert_int_equal(fg_near_distance("", "abc"), 3);
	assert_int_equal(fg_near_distance("abc", ""), 3);
	assert_int_equal(fg_near_distance("kitten", "sitting"), 3);
	assert_int_equal(fg_near_distance("sources", "source"), 1);
	assert_int_equal(fg_near_distance("flaw", "lawn"), 2);
}

static void test_near_distance_of_long_words_is_far(void **state)
{
	static const char word[] = "a-word-of-more-than-forty-letters-for-certain";

	(void)state;
	assert_int_equal(fg_near_distance(word, word), 40);
}

static void test_near_text_suggests_only_what_is_near(void **state)
{
	static const char *const names[] = { "sources", "clients", "top", NULL };

	(void)state;
	assert_string_equal(fg_near_text("source", names, "--"), " (did you mean '--sources'?)");
	assert_string_equal(fg_near_text("cleints", names, ""), " (did you mean 'clients'?)");
	assert_string_equal(fg_near_text("zebra", names, ""), "");
	assert_string_equal(fg_near_text("abc", names, ""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_near_distance_counts_changes),
		cmocka_unit_test(test_near_distance_of_long_words_is_far),
		cmocka_unit_test(test_near_text_suggests_only_what_is_near),
	};

	return cmocka_run_group_tests_name("lib_near", tests, NULL, NULL);
}
