/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* serve/signals.h through the list of clients and through explain: each signal with its figure, its
 * unit and its n, and null or no sentence where nothing was measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/stack.h"
#include "model/model.h"
#include "serve/explain.h"
#include "serve/lists.h"
#include "verdict/store.h"

#define S   1000000000ULL
#define DAY (86400 * S)
#define NOW (20780 * DAY + 40000 * S)
/* 64:64240:…:mss,sack,ts,nop,ws */
#define LINUX                                                                                   \
	(FG_STACK_VALID | 64240 | 1ULL << 16 | (uint64_t)FG_OPT_MSS << 30 |                     \
	 (uint64_t)FG_OPT_SACK << 33 | (uint64_t)FG_OPT_TS << 36 | (uint64_t)FG_OPT_NOP << 39 | \
	 (uint64_t)FG_OPT_WS << 42)

static const uint8_t relayed[16] = { [10] = 0xff, 0xff, 203, 0, 113, 7 };
static const uint8_t silent[16] = { [10] = 0xff, 0xff, 203, 0, 113, 8 };
static struct fg_model *model;
static struct fg_store *store;
static struct fg_view view;
static uint64_t now_ns;

static uint64_t overflow;

static uint64_t view_overflow(void *agent, const uint8_t source[16])
{
	(void)agent;
	(void)source;
	return overflow;
}

static uint64_t view_now(void *agent)
{
	(void)agent;
	return now_ns;
}

static void apply(const uint8_t addr[16], uint64_t ns, const struct fg_epoch_flow *flow)
{
	struct fg_epoch_source s = { .proven = 1, .connections = 1, .hellos = 1 };
	struct fg_epoch_client c = {
		.stem = 50, .stack = LINUX, .print = 500, .connections = 1, .resumed = 1
	};
	const struct fg_epoch e = { .start_ns = ns - S,
				    .end_ns = ns,
				    .sources = &s,
				    .n_sources = 1,
				    .clients = &c,
				    .n_clients = 1,
				    .flows = flow,
				    .n_flows = flow != NULL };

	memcpy(s.addr, addr, 16);
	memcpy(c.addr, addr, 16);
	now_ns = ns;
	assert_int_equal(fg_model_apply(model, &e), 0);
}

/* A day and some minutes of connections, a minute apart, 120 ms behind their address. */
static void fill(void)
{
	apply(silent, NOW - DAY, NULL);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t ns = NOW + i * 60 * S;
		struct fg_epoch_flow f = {
			.stem = 50,
			.stack = LINUX,
			.bytes_in = 5000,
			.exchanges = 1,
			.news = FG_NEWS_OPENED | FG_NEWS_TIMES | FG_NEWS_CLOSED,
			.opened_ns = ns,
			.order = 1,
			.hello_flags = FG_HELLO_RESUMED,
			.ttl = 60,
			.has_tsval = true,
			.tsval = (uint32_t)i * 60000,
			.tsval_ns = ns,
			.rtt_us = 30000,
			.turn_us = 150000,
			.hello_delay_us = 121000,
			.closed_by = FG_CLOSE_CLIENT_FIN,
			.idle_ms = 45000,
			.n_turns = 1,
			.turns = { { .start_ns = ns, .shape = 0x5678, .chunks = 30 } },
		};

		memcpy(f.addr, relayed, 16);
		apply(relayed, ns, &f);
	}
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = 100, .clients = 100, .fingerprints = 100, .window_ns = 60 * S
	};
	char why[256];

	(void)state;
	assert_int_equal(fg_model_new(&limits, &model), 0);
	assert_int_equal(fg_store_open(NULL, NOW, &store, why, sizeof(why)), 0);
	view = (struct fg_view){ .model = model,
				 .store = store,
				 .mode = "observe",
				 .shared_stems = 4,
				 .now_ns = view_now,
				 .overflow = view_overflow };
	fill();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&model);
	fg_store_close(&store);
	return 0;
}

static const char *argument(void *arg, const char *name)
{
	return strcmp(name, "source") ? NULL : arg;
}

static json_t *answer(int (*route)(FILE *, struct fg_view *, const struct fg_query *, char *,
				   size_t),
		      const char *source)
{
	const struct fg_query q = { .argument = argument, .arg = (void *)source };
	char *text = NULL, why[256] = "";
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	json_error_t error;
	json_t *doc;

	assert_non_null(out);
	assert_int_equal(route(out, &view, &q, why, sizeof(why)), 0);
	fclose(out);
	doc = json_loadb(text, n, 0, &error);
	if (!doc)
		fail_msg("%s: %s", error.text, text);
	free(text);
	return doc;
}

static const json_t *at(const json_t *doc, const char *a, const char *b)
{
	const json_t *value = json_object_get(json_object_get(doc, a), b);

	if (!value)
		fail_msg("no %s.%s", a, b);
	return value;
}

static void assert_figure(const json_t *doc, const char *a, const char *b, double value)
{
	const json_t *v = at(doc, a, b);

	if (!json_is_number(v) || fabs(json_number_value(v) - value) > 0.02 * fabs(value))
		fail_msg("%s.%s is %g, not %g", a, b, json_number_value(v), value);
}

static json_t *client_of(json_t *doc, const char *source)
{
	size_t i;
	json_t *row;

	json_array_foreach(json_object_get(doc, "clients"), i, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "source")), source))
			return row;
	}
	fail_msg("no client of %s", source);
	return NULL;
}

static void test_list_has_each_signal_with_its_n(void **state)
{
	json_t *doc = answer(fg_list_clients, NULL), *row = client_of(doc, "203.0.113.7");
	const json_t *g = json_object_get(row, "signals");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(row, "stack_family")), "linux");
	assert_int_equal(json_integer_value(json_object_get(g, "measured")), 40);
	assert_figure(g, "round_trip", "n", 6);
	assert_figure(g, "round_trip", "median_ms", 30);
	assert_figure(g, "round_trip", "smallest_ms", 30);
	assert_figure(g, "turn_around", "median_ms", 150);
	assert_figure(g, "hello_delay", "median_ms", 121);
	assert_figure(g, "relay_gap", "median_ms", 120);
	assert_string_equal(json_string_value(at(g, "relay_gap", "relayed")), "yes");
	assert_string_equal(json_string_value(at(g, "relay_gap", "confirmed")), "yes");
	assert_true(json_is_null(at(g, "relay_gap", "crypto_ms")));
	assert_figure(g, "relay_gap", "crypto_n", 8);
	assert_figure(g, "gaps", "n", 39);
	assert_figure(g, "gaps", "mean_s", 60);
	assert_int_equal(json_array_size(at(g, "gaps", "histogram")), FG_GAP_BINS);
	assert_figure(g, "activity", "n", 4);
	assert_int_equal(json_array_size(at(g, "activity", "quarters")), 4);
	assert_int_equal(json_array_size(at(g, "activity", "quarters_before")), 0);
	assert_int_equal(json_array_size(at(g, "activity", "hours_utc")), 24);
	assert_figure(g, "activity", "day", (double)(20780 * 86400));
	assert_figure(g, "shapes", "n", 40);
	assert_figure(g, "shapes", "streamed_share", 1);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(at(g, "shapes", "top"), 0), "shape")),
			    "5678");
	assert_figure(g, "closes", "client_fin_share", 1);
	assert_figure(json_object_get(g, "closes"), "idle_share", "45_s", 1);
	assert_figure(g, "resumption", "resumed_share", 1);
	assert_figure(g, "orphans", "n", 40);
	assert_figure(g, "orphans", "orphan_share", 1);
	assert_figure(g, "hellos", "extension_orders", 1);
	assert_figure(g, "parallel", "most", 1);
	assert_figure(g, "stack_given_stem", "n", 2);
	/* two clients, the silent one a day before the other; one connection an epoch */
	assert_figure(g, "stem_everywhere", "n", 41);
	assert_figure(g, "stem_everywhere", "v6_share", 0);
	assert_true(json_is_null(at(g, "stem_everywhere", "h3_share")));
	assert_figure(g, "stem_everywhere", "resumed_share", 1);
	assert_figure(json_object_get(g, "stem_everywhere"), "today", "births", 1);
	assert_figure(json_object_get(g, "stem_everywhere"), "today", "returns_share", 0);
	assert_figure(json_object_get(g, "stem_everywhere"), "yesterday", "births", 1);
	json_decref(doc);
}

/* Two days after its birth a client is back, twice, and one is born behind IPv6. */
static void test_list_says_what_a_stem_does_everywhere(void **state)
{
	static const uint8_t six[16] = { 0x20, 0x01, 0x0d, 0xb8 };
	const json_t *g;
	json_t *doc;

	(void)state;
	apply(silent, NOW + DAY, NULL);
	apply(silent, NOW + DAY + S, NULL);
	apply(six, NOW + DAY + 2 * S, NULL);
	doc = answer(fg_list_clients, NULL);
	g = json_object_get(client_of(doc, "203.0.113.8"), "signals");
	assert_figure(g, "stem_everywhere", "n", 44);
	assert_figure(g, "stem_everywhere", "v6_share", 1.0 / 44);
	assert_figure(json_object_get(g, "stem_everywhere"), "today", "n", 2);
	assert_figure(json_object_get(g, "stem_everywhere"), "today", "births", 1);
	assert_figure(json_object_get(g, "stem_everywhere"), "today", "returns_share", 0.5);
	assert_figure(json_object_get(g, "stem_everywhere"), "yesterday", "births", 1);
	json_decref(doc);
}

/* Nothing is known of where a stem comes from before an hour of it was counted. */
static void test_fingerprints_tell_how_far_a_stem_reaches(void **state)
{
	struct fg_detect_conf conf = fg_detect_defaults;
	struct fg_cohorts *cohorts;
	const json_t *reach;
	json_t *doc;

	(void)state;
	doc = answer(fg_list_fingerprints, NULL);
	reach = json_object_get(json_array_get(json_object_get(doc, "fingerprints"), 0),
				"stem_reach");
	assert_true(json_is_null(reach));
	json_decref(doc);
	assert_int_equal(fg_cohorts_new(&cohorts), 0);
	assert_int_equal(fg_cohorts_hour(cohorts, model, NULL, &conf, (uint32_t)(NOW / (3600 * S))),
			 0);
	view.cohorts = cohorts;
	doc = answer(fg_list_fingerprints, NULL);
	reach = json_object_get(json_array_get(json_object_get(doc, "fingerprints"), 0),
				"stem_reach");
	assert_int_equal(json_integer_value(json_object_get(reach, "days_at_most")), 14);
	assert_true(json_number_value(json_object_get(reach, "sources")) == 2);
	assert_true(json_number_value(json_object_get(reach, "networks")) == 1);
	/* no table of networks: not known, which is not none */
	assert_true(json_is_null(json_object_get(reach, "countries")));
	json_decref(doc);
	view.cohorts = NULL;
	fg_cohorts_free(&cohorts);
}

static void test_list_says_null_where_nothing_was_measured(void **state)
{
	json_t *doc = answer(fg_list_clients, NULL);
	const json_t *g = json_object_get(client_of(doc, "203.0.113.8"), "signals");

	(void)state;
	assert_figure(g, "round_trip", "n", 0);
	assert_true(json_is_null(at(g, "round_trip", "median_ms")));
	assert_true(json_is_null(at(g, "round_trip", "smallest_ms")));
	assert_string_equal(json_string_value(at(g, "relay_gap", "relayed")), "unknown");
	assert_true(json_is_null(at(g, "gaps", "cv")));
	assert_true(json_is_null(at(g, "shapes", "streamed_share")));
	assert_true(json_is_null(at(g, "closes", "client_fin_share")));
	assert_true(json_is_null(at(g, "orphans", "orphan_share")));
	json_decref(doc);
}

/* All sentences of an explanation in one text. */
static void sentences(const json_t *doc, char *text, size_t n)
{
	size_t i, k, length = 0;
	json_t *row, *sentence;

	json_array_foreach(json_object_get(doc, "sentences"), i, row)
	{
		length +=
			(size_t)snprintf(text + length, n - length, "%s\n", json_string_value(row));
		assert_true(length < n);
	}
	json_array_foreach(json_object_get(doc, "signals"), i, row)
	{
		json_array_foreach(json_object_get(row, "sentences"), k, sentence)
		{
			length += (size_t)snprintf(text + length, n - length, "%s\n",
						   json_string_value(sentence));
			assert_true(length < n);
		}
	}
}

static void test_explain_says_what_was_measured(void **state)
{
	static const char *const parts[] = {
		"Hosts behind it: 1 by their clocks",
		"not known to be shared",
		"of the family linux",
		"answers TCP after 30",
		"TLS after 15",
		"seems to be relayed",
		"late by the same way",
		"Benign",
		"request 2048 to 4095 bytes",
		"answer 4096 to 8191 bytes",
		"first byte after 128 to 255 ms",
		"all after 64 to 127 ms",
		"60 s apart",
		"100 % are streamed",
		"4 quarter hours",
		"100 % of these after 45 s",
		"resumes sessions in 100 %",
		"100 % of the latest 40",
	};
	json_t *doc = answer(fg_explain, "203.0.113.7");
	static char text[8192];

	(void)state;
	sentences(doc, text, sizeof(text));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strstr(text, parts[i]))
			fail_msg("'%s' is not said in:\n%s", parts[i], text);
	assert_figure(doc, "hosts", "estimate", 1);
	assert_figure(doc, "hosts", "n", 39);
	assert_true(json_is_false(at(doc, "shared", "shared")));
	json_decref(doc);
}

static void test_explain_is_silent_where_nothing_was(void **state)
{
	json_t *doc = answer(fg_explain, "203.0.113.8");
	static char text[8192];

	(void)state;
	sentences(doc, text, sizeof(text));
	assert_null(strstr(text, "relayed"));
	assert_null(strstr(text, "streamed"));
	assert_null(strstr(text, "apart"));
	assert_non_null(strstr(text, "Hosts behind it: unknown"));
	assert_true(json_is_null(at(doc, "hosts", "estimate")));
	json_decref(doc);
	/* one that was never seen has neither, but perhaps a place in the sketch */
	overflow = 7;
	doc = answer(fg_explain, "203.0.113.9");
	overflow = 0;
	sentences(doc, text, sizeof(text));
	assert_non_null(strstr(text, "at most 7 of its proven connections"));
	assert_null(json_object_get(doc, "hosts"));
	assert_int_equal(json_array_size(json_object_get(doc, "signals")), 0);
	json_decref(doc);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_list_has_each_signal_with_its_n),
		TEST(test_list_says_what_a_stem_does_everywhere),
		TEST(test_fingerprints_tell_how_far_a_stem_reaches),
		TEST(test_list_says_null_where_nothing_was_measured),
		TEST(test_explain_says_what_was_measured),
		TEST(test_explain_is_silent_where_nothing_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
