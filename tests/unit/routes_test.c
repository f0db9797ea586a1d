/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd/routes.h: the lines that one exabgp gets, and what is made of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/routes.h"

#define S   1000000000ULL
#define NOW (500 * S)

static struct fg_routes *routes;
static char *text;
static size_t n_text, told;
static FILE *out;

static int set_up(void **arg)
{
	(void)arg;
	told = 0;
	out = open_memstream(&text, &n_text);
	return !out || fg_routes_new(&routes);
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_routes_free(&routes);
	fclose(out);
	free(text);
	return 0;
}

/* What was written since the last call. */
static const char *lines(void)
{
	static char copy[65536];

	fflush(out);
	snprintf(copy, sizeof(copy), "%s", text + told);
	told = n_text;
	return copy;
}

/* names: "a:60 b:1.5": a route each, with the seconds that are left. */
static json_t *answer(const char *names)
{
	json_t *rows = json_array();
	char name[8], line[64];
	double left;
	int n;

	for (; sscanf(names, " %7[^:]:%lf%n", name, &left, &n) == 2; names += n) {
		json_t *row = json_object();

		snprintf(line, sizeof(line), "announce %s", name);
		json_object_set_new(row, "announce", json_string(line));
		snprintf(line, sizeof(line), "withdraw %s", name);
		json_object_set_new(row, "withdraw", json_string(line));
		json_object_set_new(row, "left", json_real(left));
		json_array_append_new(rows, row);
	}
	return json_pack("{s:o, s:i, s:i, s:i}", "rows", rows, "left_out", 4, "too_wide", 0,
			 "no_next_hop", 1);
}

static const char *take(const char *names, uint64_t now_ns)
{
	json_t *doc = answer(names);

	assert_int_equal(fg_routes_take(routes, doc, now_ns, out), 0);
	json_decref(doc);
	return lines();
}

static const char *tick(uint64_t now_ns)
{
	fg_routes_tick(routes, now_ns, out);
	return lines();
}

static void test_routes_are_differences(void **arg)
{
	(void)arg;
	assert_string_equal(take("b:60 a:60", NOW), "announce a\nannounce b\n");
	assert_string_equal(take("a:59 b:59", NOW + S), "");
	/* withdrawals first: routers have little room */
	assert_string_equal(take("0:60 b:58", NOW + 2 * S), "withdraw a\nannounce 0\n");
	assert_string_equal(take("", NOW + 3 * S), "withdraw 0\nwithdraw b\n");
	assert_string_equal(take("a:60 a:60", NOW + 4 * S), "announce a\n");
	assert_int_equal(fg_routes_counts(routes)->announced, 4);
	assert_int_equal(fg_routes_counts(routes)->withdrawn, 3);
	assert_int_equal(fg_routes_counts(routes)->left_out, 4);
	assert_int_equal(fg_routes_counts(routes)->no_next_hop, 1);
}

static void test_routes_end_without_the_agent(void **arg)
{
	(void)arg;
	take("a:10.5 b:60 c:0", NOW);
	assert_string_equal(tick(NOW + 10 * S), "");
	assert_string_equal(tick(NOW + 10 * S + S / 2), "withdraw a\n");
	assert_string_equal(tick(NOW + 20 * S), "");
	assert_int_equal(fg_routes_n(routes), 1);
	/* a block that was renewed has a later end */
	assert_string_equal(take("b:60", NOW + 59 * S), "");
	assert_string_equal(tick(NOW + 60 * S), "");
	assert_string_equal(tick(NOW + 119 * S), "withdraw b\n");
	/* and one that is there again is announced again */
	assert_string_equal(take("b:60", NOW + 120 * S), "announce b\n");
}

static void test_routes_all_go_at_the_end(void **arg)
{
	(void)arg;
	take("a:10 b:60 c:0", NOW);
	fg_routes_end(routes, out);
	assert_string_equal(lines(), "withdraw a\nwithdraw b\n");
	fg_routes_end(routes, out);
	assert_string_equal(lines(), "");
}

static void test_routes_that_are_refused_are_tried_again(void **arg)
{
	(void)arg;
	take("a:600 b:600 c:600", NOW);
	assert_null(fg_routes_answer(routes, "done", NOW));
	assert_string_equal(fg_routes_answer(routes, "error", NOW), "announce b");
	assert_null(fg_routes_answer(routes, "done", NOW));
	assert_string_equal(take("a:600 b:600 c:600", NOW), "");
	assert_string_equal(tick(NOW + FG_ROUTES_RETRY_NS - 1), "");
	assert_string_equal(tick(NOW + FG_ROUTES_RETRY_NS), "announce b\n");
	assert_string_equal(fg_routes_answer(routes, "error", NOW), "announce b");
	/* what does not stand is not withdrawn */
	assert_string_equal(take("c:600", NOW), "withdraw a\n");
	assert_string_equal(fg_routes_answer(routes, "error", NOW), "a withdrawal");
	assert_int_equal(fg_routes_counts(routes)->done, 2);
	assert_int_equal(fg_routes_counts(routes)->refused, 3);
}

static void test_routes_other_words_are_no_answers(void **arg)
{
	static const char *const words[] = { "", "shutdown 1 2", "done ", "errors",
					     "neighbor x up" };

	(void)arg;
	take("a:600", NOW);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_null(fg_routes_answer(routes, words[i], NOW));
	assert_string_equal(fg_routes_answer(routes, "error", NOW), "announce a");
	/* more answers than commands */
	assert_null(fg_routes_answer(routes, "done", NOW));
	assert_non_null(fg_routes_answer(routes, "error", NOW));
}

/* What goes into a router is checked here again, whoever answers on the socket. */
static void test_routes_take_no_garbage(void **arg)
{
	static const char *const garbage[] = {
		"[]",
		"{}",
		"{\"rows\":{}}",
		"{\"rows\":[1]}",
		"{\"rows\":[{\"announce\":\"announce x\",\"withdraw\":\"withdraw x\",\"left\":-1}]}",
		"{\"rows\":[{\"announce\":\"announce x\",\"withdraw\":\"withdraw x\",\"left\":86401}]}",
		"{\"rows\":[{\"announce\":\"announce x\",\"left\":1}]}",
		"{\"rows\":[{\"announce\":\"shutdown\",\"withdraw\":\"withdraw x\",\"left\":1}]}",
		"{\"rows\":[{\"announce\":\"announce x\\nshutdown\",\"withdraw\":\"withdraw "
		"x\",\"left\":1}]}",
		"{\"rows\":[{\"announce\":\"announce x\",\"withdraw\":\"withdraw x\",\"left\":9},{"
		"\"announce\":\"announce y\",\"withdraw\":\"withdraw \\u0007\",\"left\":9}]}",
	};

	(void)arg;
	take("a:60", NOW);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		json_t *doc = json_loads(garbage[i], 0, NULL);

		assert_non_null(doc);
		assert_int_equal(fg_routes_take(routes, doc, NOW, out), -EBADMSG);
		json_decref(doc);
	}
	assert_int_equal(fg_routes_take(routes, NULL, NOW, out), -EBADMSG);
	assert_string_equal(lines(), "");
	assert_int_equal(fg_routes_n(routes), 1);
}

/* What a process before this one has left: what stands stays without a word, the rest goes. */
static void test_routes_of_a_killed_process(void **arg)
{
	(void)arg;
	fg_routes_ask(routes, out);
	assert_string_equal(lines(), "show adj-rib out extensive\n");
	assert_int_equal(fg_routes_found(routes, "announce m", "withdraw m", NOW), 1);
	assert_int_equal(fg_routes_found(routes, "announce z", "withdraw z", NOW), 1);
	assert_int_equal(fg_routes_found(routes, "announce a", "withdraw a", NOW), 1);
	assert_int_equal(fg_routes_found(routes, "announce m", "withdraw m", NOW), 0);
	assert_null(fg_routes_answer(routes, "done", NOW));
	assert_string_equal(take("m:60 n:60", NOW), "withdraw a\nwithdraw z\nannounce n\n");
	assert_string_equal(fg_routes_answer(routes, "error", NOW), "a withdrawal");
	assert_int_equal(fg_routes_counts(routes)->found, 3);
	/* known from the agent now, with its end */
	assert_string_equal(tick(NOW + 60 * S), "withdraw m\nwithdraw n\n");
	/* nobody knows its end */
	assert_int_equal(fg_routes_found(routes, "announce b", "withdraw b", NOW), 1);
	assert_string_equal(tick(NOW + FG_ROUTES_FOUND_NS - 1), "");
	assert_string_equal(tick(NOW + FG_ROUTES_FOUND_NS), "withdraw b\n");
}

#define T(name) cmocka_unit_test_setup_teardown(test_routes_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(are_differences),
		T(end_without_the_agent),
		T(all_go_at_the_end),
		T(that_are_refused_are_tried_again),
		T(other_words_are_no_answers),
		T(take_no_garbage),
		T(of_a_killed_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
