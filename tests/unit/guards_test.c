/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent/guards.h: what the model knows of who would be hit, allow files that change, and what readers are
 * told of all of it. */
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
#include <unistd.h>

#include "agent/core.h"
#include "lib/ip.h"
#include "serve/explain.h"
#include "serve/guarded.h"
#include "serve/report.h"

#define S	1000000000ULL
#define H	(3600 * S)
#define NOW	(1795435200 * S)
#define G(name) FG_GUARD_##name

static struct fg_conf conf;
static struct fg_core core;
static char folder[64], allow_path[96];
static uint64_t now_ns;

static void open_core(const char *dir)
{
	char why[256] = "";

	if (fg_core_open(&core, &conf, dir, now_ns, why, sizeof(why)))
		fail_msg("%s", why);
}

static int set_up(void **state)
{
	(void)state;
	fg_conf_init(&conf);
	conf.mode = FG_MODE_ENFORCE;
	conf.limits.sources = conf.limits.clients = conf.limits.hosts = 4096;
	conf.limits.pairs = 1 << 16;
	conf.guards.holdback = 0;
	now_ns = NOW;
	strcpy(folder, "/tmp/farmgate-guards.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(allow_path, sizeof(allow_path), "%s/allow", folder);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "farmgate.db", "farmgate.db-wal", "farmgate.db-shm",
					     "instance", "allow" };
	char path[128];

	(void)state;
	fg_core_close(&core);
	fg_conf_done(&conf);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

/* A second in which one client of a source connects so often; 0 = nobody does. */
static void second_with(const char *source, uint64_t stem, uint64_t stack, uint32_t connections)
{
	struct fg_epoch_source s = { .connections = connections, .proven = connections };
	struct fg_epoch_client c = {
		.stem = stem, .stack = stack, .print = stem, .connections = connections
	};
	struct fg_epoch e = { .start_ns = now_ns,
			      .end_ns = now_ns + S,
			      .sources = &s,
			      .n_sources = connections ? 1 : 0,
			      .clients = &c,
			      .n_clients = connections ? 1 : 0 };
	uint8_t bits;

	fg_ip_parse(source, s.addr, &bits);
	memcpy(c.addr, s.addr, 16);
	assert_int_equal(fg_core_epoch(&core, &e, NULL), 0);
	now_ns += S;
}

static void crowd_of(unsigned int n)
{
	char source[32];

	for (unsigned int i = 0; i < n; i++) {
		snprintf(source, sizeof(source), "11.0.%u.%u", i >> 8, i & 255);
		second_with(source, 500, 7, 50);
	}
}

static void flag_as(const char *source, uint64_t stem, uint64_t stack, const char *stem_text)
{
	struct fg_names names = { "-", "-", "-" };
	struct fg_finding f = {
		.stem = stem,
		.stack = stack,
		.cohort = stack ? 7 : 0,
		.score = 20,
		.proven = true,
		.n_evidence = 1,
		.evidence[0] = { .name = "test", .n_benign = 1 },
	};
	uint8_t bits;

	snprintf(names.stem_text, sizeof(names.stem_text), "%s", stem_text);
	fg_ip_parse(source, f.source, &bits);
	/* one spike enforces nothing */
	assert_true(fg_store_note(core.store, &f, &names, true, 11, now_ns - 10 * S) >= 0);
	assert_true(fg_store_note(core.store, &f, &names, true, 24 * 3600, now_ns) >= 0);
}

static struct fg_guarded of(const char *source, uint64_t stem)
{
	const struct fg_verdict *found[8];
	struct fg_guarded g = { .held = _FG_GUARD_MAX };
	uint8_t addr[16], bits;
	size_t n;

	fg_ip_parse(source, addr, &bits);
	n = fg_store_find(core.store, addr, found, 8);
	for (size_t i = 0; i < n; i++)
		if (found[i]->stem == stem)
			assert_true(fg_guards_of(&core.guards, found[i], now_ns, &g));
	assert_int_not_equal(g.held, _FG_GUARD_MAX);
	return g;
}

/* A minute later what was looked up is asked anew. */
static void later(void)
{
	now_ns += 61 * S;
	second_with("11.0.0.1", 500, 7, 1);
}

static void test_guards_know_who_else_is_there(void **state)
{
	struct fg_guarded g;

	(void)state;
	open_core(NULL);
	crowd_of(100);
	second_with("10.0.0.1", 77, 5, 95);
	second_with("10.0.0.1", 78, 5, 3);
	second_with("10.0.0.1", 78, 6, 2);
	flag_as("10.0.0.1", 77, 5, "~a");
	g = of("10.0.0.1", 77);
	assert_int_equal(g.held, G(none));
	assert_int_equal(g.address_held, G(none));
	assert_true(g.collateral.known);
	assert_int_equal(g.collateral.clients, 3);
	assert_int_equal(g.collateral.other_clients, 2);
	assert_int_equal(g.collateral.other_stems, 1);
	assert_int_equal(g.collateral.turns, 100);
	assert_int_equal(g.collateral.other_turns, 5);
	assert_int_equal(g.collateral.own_turns, 95);
	/* one more of the others is too many */
	second_with("10.0.0.1", 78, 6, 1);
	later();
	g = of("10.0.0.1", 77);
	assert_int_equal(g.held, G(none));
	assert_int_equal(g.address_held, G(collateral));
	/* until they are flagged themselves: what all verdicts name together counts */
	flag_as("10.0.0.1", 78, 6, "~b");
	g = of("10.0.0.1", 77);
	assert_int_equal(g.collateral.other_turns, 3);
	assert_int_equal(g.address_held, G(none));
}

/* A verdict on a whole source was reached for its busiest client. */
static void test_guards_of_a_source_protect_its_quiet_client(void **state)
{
	(void)state;
	open_core(NULL);
	crowd_of(30);
	second_with("10.0.0.1", 77, 5, 90);
	flag_as("10.0.0.1", 77, 0, "-");
	assert_int_equal(of("10.0.0.1", 0).held, G(none));
	second_with("10.0.0.1", 78, 5, 10);
	later();
	assert_int_equal(of("10.0.0.1", 0).held, G(collateral));
	assert_int_equal(of("10.0.0.1", 0).collateral.own_turns, 90);
}

/* Who is blocked does nothing any more: days later its days are still what was judged. */
static void test_guards_outlive_the_silence_of_the_blocked(void **state)
{
	struct fg_guarded g;

	(void)state;
	open_core(NULL);
	crowd_of(100);
	second_with("10.0.0.1", 77, 5, 95);
	second_with("10.0.0.1", 78, 5, 2);
	flag_as("10.0.0.1", 77, 5, "~a");
	assert_int_equal(of("10.0.0.1", 77).address_held, G(none));
	now_ns += 20 * H;
	crowd_of(100);
	g = of("10.0.0.1", 77);
	assert_int_equal(g.collateral.turns, 97);
	assert_int_equal(g.address_held, G(none));
}

/* Who was there last week is not hit today. */
static void test_guards_count_the_latest_two_days(void **state)
{
	struct fg_guarded g;

	(void)state;
	open_core(NULL);
	second_with("10.0.0.1", 78, 5, 500);
	now_ns += 72 * H;
	crowd_of(100);
	second_with("10.0.0.1", 77, 5, 95);
	flag_as("10.0.0.1", 77, 5, "~a");
	g = of("10.0.0.1", 77);
	assert_int_equal(g.collateral.other_clients, 1);
	assert_int_equal(g.collateral.turns, 95);
	assert_int_equal(g.collateral.other_turns, 0);
	assert_int_equal(g.address_held, G(none));
}

static void test_guards_of_a_shared_source_block_the_client_only(void **state)
{
	(void)state;
	open_core(NULL);
	crowd_of(30);
	second_with("10.0.0.1", 77, 5, 95);
	flag_as("10.0.0.1", 77, 5, "~a");
	assert_int_equal(of("10.0.0.1", 77).address_held, G(none));
	for (uint64_t stem = 80; stem < 84; stem++)
		second_with("10.0.0.1", stem, 5, 1);
	later();
	assert_int_equal(of("10.0.0.1", 77).address_held, G(shared));
	assert_int_equal(of("10.0.0.1", 77).held, G(none));
}

static void test_guards_tell_an_alert_what_enforce_would_do(void **state)
{
	struct fg_finding f = { .proven = true,
				.stem = 77,
				.stack = 5,
				.cohort = 7,
				.n_evidence = 1,
				.evidence[0] = { .name = "test", .n_benign = 1 } };
	static const struct fg_names names = { "-", "-", "-" };
	uint8_t bits;

	(void)state;
	open_core(NULL);
	second_with("10.0.0.1", 77, 5, 95);
	fg_ip_parse("10.0.0.1", f.source, &bits);
	assert_true(fg_store_note(core.store, &f, &names, false, 3600, now_ns) >= 0);
	assert_int_equal(of("10.0.0.1", 77).held, G(tier));
	assert_int_equal(of("10.0.0.1", 77).address_held, G(tier));
	second_with("10.0.0.1", 78, 5, 95);
	later();
	assert_int_equal(of("10.0.0.1", 77).held, G(tier));
	assert_int_equal(of("10.0.0.1", 77).address_held, G(collateral));
}

/* A set that is the same keeps its number, though the store or the minute is another. */
static void test_guards_number_sets_that_differ(void **state)
{
	struct fg_export_set *first = NULL, *again = NULL;

	(void)state;
	open_core(NULL);
	crowd_of(30);
	second_with("10.0.0.1", 77, 5, 95);
	flag_as("10.0.0.1", 77, 5, "~a");
	assert_int_equal(fg_guards_set(&core.guards, now_ns, &first), 0);
	assert_int_equal(first->n_clients, 1);
	assert_int_equal(first->n, 1);
	later();
	assert_int_equal(
		fg_store_allow(core.store, (uint8_t[16]){ 0x20, 1 }, 64, 0, "", now_ns, NULL), 0);
	assert_int_equal(fg_guards_set(&core.guards, now_ns, &again), 0);
	assert_ptr_equal(first, again);
	fg_export_set_unref(&again);
	second_with("10.0.0.1", 78, 5, 95);
	later();
	assert_int_equal(fg_guards_set(&core.guards, now_ns, &again), 0);
	assert_true(again->revision > first->revision);
	assert_int_equal(again->n_clients, 1);
	assert_int_equal(again->n, 0);
	fg_export_set_unref(&first);
	fg_export_set_unref(&again);
}

/* --- Allow files -------------------------------------------------------------------------------- */

static void write_allow(const char *text)
{
	char beside[128];
	FILE *f;

	snprintf(beside, sizeof(beside), "%s.new", allow_path);
	f = fopen(beside, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(beside, allow_path), 0);
}

static bool degraded_has(const char *part)
{
	for (size_t i = 0; i < core.view.n_degraded; i++)
		if (strstr(core.view.degraded[i], part))
			return true;
	return false;
}

static void name_allow_file(void)
{
	conf.allow_files[0] = strdup(allow_path);
	conf.n_allow_files = 1;
}

static void test_guards_follow_an_allow_file(void **state)
{
	uint8_t addr[16], bits;

	(void)state;
	name_allow_file();
	write_allow("192.0.2.0/24 the office\n");
	open_core(NULL);
	crowd_of(30);
	second_with("10.0.0.1", 77, 5, 95);
	flag_as("10.0.0.1", 77, 5, "~a");
	assert_int_equal(of("10.0.0.1", 77).held, G(none));
	write_allow("192.0.2.0/24 the office\n10.0.0.0/24 monitoring\n");
	second_with("11.0.0.1", 500, 7, 1);
	assert_int_equal(of("10.0.0.1", 77).held, G(allowed));
	assert_int_equal(fg_store_at(core.store, 0)->tier, FG_TIER_ALERT);
	assert_string_equal(fg_store_at(core.store, 0)->reason,
			    "allowlisted: allow file allow: monitoring");
	fg_ip_parse("10.0.0.9", addr, &bits);
	assert_int_equal(fg_store_block(core.store, addr, bits, 0, "", 60, "", now_ns, NULL),
			 -EPERM);
	write_allow("oops\n");
	second_with("11.0.0.1", 500, 7, 1);
	assert_true(degraded_has("allow:1: 'oops' is no address"));
	assert_true(degraded_has("its old list stays"));
	assert_int_equal(of("10.0.0.1", 77).held, G(allowed));
	assert_int_equal(unlink(allow_path), 0);
	second_with("11.0.0.1", 500, 7, 1);
	assert_true(degraded_has("allow: No such file or directory; its old list stays"));
	write_allow("192.0.2.0/24 the office\n");
	second_with("11.0.0.1", 500, 7, 1);
	assert_int_equal(core.view.n_degraded, 0);
	/* a renewal raises it again, a minute after the objection went */
	now_ns += 60 * S;
	core.now_ns = now_ns;
	flag_as("10.0.0.1", 77, 5, "~a");
	assert_int_equal(of("10.0.0.1", 77).held, G(none));
}

static void test_guards_hold_all_until_an_allow_file_was_read(void **state)
{
	struct fg_export_set *set = NULL;
	uint8_t addr[16], bits;

	(void)state;
	name_allow_file();
	open_core(NULL);
	crowd_of(30);
	assert_true(degraded_has("nothing automatic is blocked until it is right"));
	second_with("10.0.0.1", 77, 5, 95);
	flag_as("10.0.0.1", 77, 5, "~a");
	fg_ip_parse("10.0.0.9", addr, &bits);
	assert_int_equal(fg_store_block(core.store, addr, bits, 0, "", 60, "", now_ns, NULL), 0);
	assert_int_equal(of("10.0.0.1", 77).held, G(allow_files));
	assert_int_equal(fg_guards_set(&core.guards, now_ns, &set), 0);
	assert_int_equal(set->n, 1);
	assert_true(set->items[0].by_operator);
	fg_export_set_unref(&set);
	write_allow("# nobody\n");
	second_with("11.0.0.1", 500, 7, 1);
	assert_int_equal(of("10.0.0.1", 77).held, G(none));
	assert_int_equal(core.view.n_degraded, 0);
}

/* --- State and readers -------------------------------------------------------------------------- */

static void test_guards_hold_back_the_same_ones_after_a_restart(void **state)
{
	unsigned int held = 0;
	bool before[100];
	char source[32];

	(void)state;
	conf.guards.holdback = 0.3;
	open_core(folder);
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(source, sizeof(source), "10.0.0.%u", i);
		second_with(source, 77, 5, 5);
		flag_as(source, 77, 5, "~a");
	}
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(source, sizeof(source), "10.0.0.%u", i);
		before[i] = of(source, 77).held == G(holdback);
		held += before[i];
	}
	assert_true(held > 5 && held < 60);
	assert_int_equal(fg_core_save(&core), 0);
	fg_core_close(&core);
	open_core(folder);
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(source, sizeof(source), "10.0.0.%u", i);
		assert_int_equal(of(source, 77).held == G(holdback), before[i]);
		/* nor does a restart let an address go that it knows nothing of */
		assert_true(of(source, 77).collateral.known);
	}
}

static json_t *status(void)
{
	char *text = NULL;
	json_t *doc;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_int_equal(fg_report_status(out, &core.view), 0);
	fclose(out);
	doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	free(text);
	return doc;
}

static json_t *at(json_t *doc, const char *group, const char *key)
{
	json_t *value = json_object_get(json_object_get(doc, group), key);

	assert_non_null(value);
	return value;
}

static void test_guards_trip_and_say_so(void **state)
{
	json_t *doc;

	(void)state;
	conf.guards.max_blocks = 1;
	open_core(NULL);
	crowd_of(300);
	second_with("10.0.0.1", 77, 5, 9);
	second_with("10.0.0.2", 77, 5, 9);
	flag_as("10.0.0.1", 77, 5, "~a");
	doc = status();
	assert_false(json_boolean_value(json_object_get(doc, "tripped")));
	assert_int_equal(json_integer_value(at(doc, "blocks", "automatic")), 1);
	json_decref(doc);
	flag_as("10.0.0.2", 77, 5, "~a");
	doc = status();
	assert_true(json_boolean_value(json_object_get(doc, "tripped")));
	assert_int_equal(json_integer_value(at(doc, "guards", "max_blocks")), 2);
	assert_int_equal(json_integer_value(at(doc, "blocks", "total")), 0);
	json_decref(doc);
	assert_true(degraded_has("2 were wished, and guards.max_blocks is 1"));
	assert_int_equal(of("10.0.0.1", 77).held, G(max_blocks));
}

static void test_guards_trip_on_harm(void **state)
{
	char source[32];

	(void)state;
	open_core(NULL);
	/* a detector that flags everybody */
	for (unsigned int i = 0; i < 60; i++) {
		snprintf(source, sizeof(source), "10.0.0.%u", i);
		second_with(source, 77, 5, 5);
		flag_as(source, 77, 5, "~a");
	}
	assert_int_equal(of("10.0.0.1", 77).held, G(max_harm));
	assert_true(degraded_has("60 would hit an expected 0.75 % of the others"));
}

static const char *argument(void *arg, const char *name)
{
	return strcmp(name, "source") ? NULL : arg;
}

static void assert_explains(const char *source, const char *part)
{
	const struct fg_query q = { .argument = argument, .arg = (void *)source };
	char *text = NULL, why[256];
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_int_equal(fg_explain(out, &core.view, &q, why, sizeof(why)), 0);
	fclose(out);
	if (!strstr(text, part))
		fail_msg("'%s' is not in %s", part, text);
	free(text);
}

static void test_guards_explain_before_it_is_done(void **state)
{
	(void)state;
	open_core(NULL);
	crowd_of(300);
	second_with("10.0.0.1", 77, 5, 96);
	second_with("10.0.0.1", 78, 5, 4);
	flag_as("10.0.0.1", 77, 5, "~a");
	assert_explains("10.0.0.1",
			"\"It would be blocked as a client: others behind its source go on.\"");
	assert_explains(
		"10.0.0.1",
		"Its address would leave, to firewalls that know no clients: of 100 "
		"connections and exchanges there 4 (4.0 %) are others', of 1 clients with 1 "
		"other stems.");
	assert_explains("10.0.0.1", "\"held\":null");
	for (uint64_t stem = 80; stem < 84; stem++)
		second_with("10.0.0.1", stem, 5, 1);
	later();
	assert_explains("10.0.0.1", "Its address would not leave, because many hosts seem to sit "
				    "behind the address: shared (6 stems).");
	assert_explains("10.0.0.1", "\"address_held\":\"shared\"");
	assert_explains("10.0.0.1", "\"other_stems\":5");
	second_with("10.0.0.2", 77, 5, 10);
	second_with("10.0.0.2", 78, 5, 10);
	flag_as("10.0.0.2", 77, 0, "-");
	assert_explains("10.0.0.2",
			"It would not be blocked, because others at the address would be "
			"hit: collateral (others make 50.0 % of what comes from it).");
}

static void test_guards_explain_a_cohort(void **state)
{
	struct fg_jsonw w;
	char *text = NULL;
	size_t n;
	FILE *out;

	(void)state;
	open_core(NULL);
	crowd_of(100);
	for (uint64_t i = 1; i <= 3; i++) {
		char source[32];

		snprintf(source, sizeof(source), "10.0.0.%u", (unsigned int)i);
		second_with(source, 77, 5, 96);
		second_with(source, 78, 5, i == 3 ? 96 : 1);
		flag_as(source, 77, 5, "~a");
	}
	flag_as("10.0.0.9", 77, 0, "-");
	out = open_memstream(&text, &n);
	fg_jsonw_init(&w, out);
	fg_jsonw_array(&w);
	fg_guarded_say_cohort(&w, &core.view, 7);
	fg_jsonw_array_end(&w);
	assert_int_equal(fg_jsonw_finish(&w), 0);
	fclose(out);
	assert_string_equal(text,
			    "[\"In tier enforce 3 of its members would be blocked, and 2 of their "
			    "addresses would leave to firewalls that know no clients.\","
			    "\"Addresses that would not leave: collateral 1.\"]");
	free(text);
}

static const char *no_argument(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return NULL;
}

/* What is asked of a plan in a dry run moves no cap on. */
static void test_guards_a_dry_run_changes_nothing(void **state)
{
	const struct fg_view_document what = {
		.format = "plain",
		.min_tier = FG_TIER_ENFORCE,
		.dry_run = true,
		.argument = no_argument,
	};
	char why[256], *text = NULL;
	size_t n;
	FILE *out;

	(void)state;
	conf.guards.max_blocks = 0;
	open_core(NULL);
	crowd_of(300);
	second_with("10.0.0.1", 77, 5, 96);
	flag_as("10.0.0.1", 77, 5, "~a");
	out = open_memstream(&text, &n);
	assert_int_equal(fg_core_write_export(&core, out, &what, why, sizeof(why)), 0);
	fclose(out);
	assert_memory_equal(text, "0 would be blocked, 1 held by a guard;", 38);
	assert_non_null(strstr(text, "held by max_blocks: 1, because"));
	assert_non_null(strstr(text, "all automatic blocks are held since "));
	free(text);
	assert_int_equal(core.guards.trip.by, G(none));
	assert_null(core.guards.plan);
}

#define T(name) cmocka_unit_test_setup_teardown(test_guards_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(know_who_else_is_there),
		T(of_a_source_protect_its_quiet_client),
		T(outlive_the_silence_of_the_blocked),
		T(count_the_latest_two_days),
		T(of_a_shared_source_block_the_client_only),
		T(tell_an_alert_what_enforce_would_do),
		T(number_sets_that_differ),
		T(follow_an_allow_file),
		T(hold_all_until_an_allow_file_was_read),
		T(hold_back_the_same_ones_after_a_restart),
		T(trip_and_say_so),
		T(trip_on_harm),
		T(explain_before_it_is_done),
		T(explain_a_cohort),
		T(a_dry_run_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
