/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent/core.h: what a core does where its state, its clock or its tables are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/core.h"
#include "packet.h"
#include "serve/report.h"

#define S	1000000000ULL
#define NOW	(1795435200 * S)
#define HOUR_NS (3600 * S)
/* Connections in the minute of each machine of a fleet that is flagged machine by machine. */
#define FLEET 30

static struct fg_conf conf;
static struct fg_core core;
static char folder[64];

static int set_up(void **state)
{
	(void)state;
	fg_conf_init(&conf);
	conf.limits.sources = conf.limits.clients = 4096;
	conf.limits.hosts = 4096;
	conf.limits.pairs = 1 << 16;
	strcpy(folder, "/tmp/farmgate-core.XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "farmgate.db",
					     "farmgate.db-wal",
					     "farmgate.db-shm",
					     "instance",
					     "networks",
					     "farmgate.db.damaged",
					     "farmgate.db.damaged-wal",
					     "farmgate.db.damaged-shm" };
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

/* --- The state folder -------------------------------------------------------------------------- */

/* A store that cannot open leaves nothing to save: the agent asks for both on its way out. */
static void test_core_without_a_store_is_refused_and_can_be_closed(void **state)
{
	char file[96], below[112], why[256] = "";
	FILE *f;

	(void)state;
	snprintf(file, sizeof(file), "%s/file", folder);
	snprintf(below, sizeof(below), "%s/state", file);
	f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(fg_core_open(&core, &conf, below, NOW, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, below));
	assert_int_equal(fg_core_save(&core), -EBADF);
	fg_core_close(&core);
	assert_int_equal(unlink(file), 0);
}

/* --- The first hour ---------------------------------------------------------------------------- */

static void open_core(const char *dir, uint64_t now_ns)
{
	char why[256] = "";

	if (fg_core_open(&core, &conf, dir, now_ns, why, sizeof(why)))
		fail_msg("%s", why);
}

/* A second of n sources from 10.NET.0.0 on, each with so many proven connections. */
#define MOST 4096
static struct fg_prng rng = { 5 };

static void second_of(unsigned int net, unsigned int n, uint32_t each, uint64_t end_ns)
{
	static struct fg_epoch_source sources[MOST];
	static struct fg_epoch_client clients[MOST];
	struct fg_epoch e = { .start_ns = end_ns - S,
			      .end_ns = end_ns,
			      .sources = sources,
			      .n_sources = n,
			      .clients = clients,
			      .n_clients = n };

	assert_true(n <= MOST);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t addr[16] = { [10] = 0xff,	0xff,	   10, (uint8_t)net,
				     (uint8_t)(i >> 8), (uint8_t)i };
		/* the ordinary: geometric, once and as often again as a coin falls on one side */
		uint32_t many =
			each > 1 ? each :
				   1 + (uint32_t)__builtin_ctzll(fg_prng_next(&rng) | 1ULL << 40);

		sources[i] = (struct fg_epoch_source){ .connections = many, .proven = many };
		clients[i] = (struct fg_epoch_client){
			.stem = 100, .stack = 7, .print = 500, .connections = many
		};
		memcpy(sources[i].addr, addr, 16);
		memcpy(clients[i].addr, addr, 16);
	}
	assert_int_equal(fg_core_epoch(&core, &e, NULL), 0);
}

/* Verdicts of a tier on 10.NET.0.0/16, and elsewhere. */
static size_t count(unsigned int net, enum fg_tier tier, size_t *ret_others)
{
	size_t n = 0;

	*ret_others = 0;
	for (size_t i = 0; i < fg_store_n(core.store); i++) {
		const struct fg_verdict *v = fg_store_at(core.store, i);

		if (v->addr[12] == 10 && v->addr[13] == net && v->tier == tier)
			n++;
		else
			++*ret_others;
	}
	return n;
}

static void degraded_says(const char *what, bool says)
{
	bool found = false;

	for (size_t i = 0; i < core.view.n_degraded; i++)
		found |= strstr(core.view.degraded[i], what) != NULL;
	if (found != says)
		fail_msg("'%s' is %sthere", what, says ? "not " : "");
}

/* In the first minute of the first hour, without a baseline or a table of networks. */
static void test_core_first_hour_flags_one_loud_source(void **state)
{
	size_t others;

	(void)state;
	conf.mode = FG_MODE_ENFORCE;
	open_core(NULL, NOW);
	second_of(1, 3000, 1, NOW + S);
	second_of(2, 1, 60, NOW + 2 * S);
	assert_int_equal(count(2, FG_TIER_ALERT, &others), 1);
	assert_int_equal(others, 0);
	assert_string_equal(fg_store_at(core.store, 0)->reason,
			    "not sure enough: what is usual was learned on 0 days, of 14 that are "
			    "wanted (warmup)");
	assert_int_equal(fg_store_at(core.store, 0)->evidence[0].family, FG_FAMILY_VOLUME);
}

static void test_core_first_hour_flags_five_hundred_machines(void **state)
{
	size_t others;

	(void)state;
	conf.mode = FG_MODE_ENFORCE;
	open_core(NULL, NOW);
	second_of(1, 3000, 1, NOW + S);
	second_of(2, 500, FLEET, NOW + 2 * S);
	assert_int_equal(count(2, FG_TIER_ALERT, &others), 500);
	assert_int_equal(others, 0);
}

/* The operator may: with warmup 0 a lab enforces at once, and a block by hand always does. */
static void test_core_first_hour_enforces_only_if_told_to(void **state)
{
	const uint8_t addr[16] = { [10] = 0xff, 0xff, 10, 2, 0, 0 };
	size_t others;
	int64_t id;

	(void)state;
	conf.mode = FG_MODE_ENFORCE;
	conf.detect.enforce_days = 0;
	open_core(NULL, NOW);
	second_of(1, 3000, 1, NOW + S);
	second_of(2, 1, 60, NOW + 2 * S);
	/* not for one spike */
	assert_int_equal(count(2, FG_TIER_ENFORCE, &others), 0);
	second_of(2, 1, 60, NOW + 12 * S);
	assert_int_equal(count(2, FG_TIER_ENFORCE, &others), 1);
	fg_core_close(&core);
	conf.detect.enforce_days = 14;
	open_core(NULL, NOW);
	second_of(1, 3000, 1, NOW + S);
	second_of(2, 1, 60, NOW + 2 * S);
	assert_int_equal(count(2, FG_TIER_ENFORCE, &others), 0);
	assert_int_equal(
		fg_store_block(core.store, addr, 128, 0, "", 60, "by hand", NOW + 2 * S, &id), 0);
	assert_int_equal(count(2, FG_TIER_ENFORCE, &others), 1);
}

/* Hours of everybody, one epoch each. */
static void hours_of(uint64_t from_ns, unsigned int n)
{
	for (unsigned int h = 0; h < n; h++)
		second_of(1, 200, 1, from_ns + h * HOUR_NS + 1800 * S);
}

/* Two weeks of baseline later the same source is enforced against, and the status counts the days. */
static void test_core_enforces_when_it_is_warm(void **state)
{
	size_t others;

	(void)state;
	conf.mode = FG_MODE_ENFORCE;
	open_core(NULL, NOW);
	hours_of(NOW, 13 * 24);
	assert_true(fg_cohorts_state(core.cohorts).days < 14);
	second_of(2, 1, 60, NOW + 13 * 24 * HOUR_NS - 1800 * S + S);
	assert_int_equal(count(2, FG_TIER_ALERT, &others), 1);
	hours_of(NOW + 13 * 24 * HOUR_NS, 2 * 24);
	assert_true(fg_cohorts_state(core.cohorts).days >= 14);
	second_of(2, 1, 60, NOW + 15 * 24 * HOUR_NS - 1800 * S + S);
	second_of(2, 1, 60, NOW + 15 * 24 * HOUR_NS - 1800 * S + 11 * S);
	assert_int_equal(count(2, FG_TIER_ENFORCE, &others), 1);
}

/* --- Clocks that jump ---------------------------------------------------------------------------- */

/* As a live agent tells an epoch: it begins where the last one ended. */
static void empty_epoch(uint64_t start_ns, uint64_t end_ns)
{
	struct fg_epoch e = { .start_ns = start_ns, .end_ns = end_ns };

	assert_int_equal(fg_core_epoch(&core, &e, NULL), 0);
}

static uint32_t hours_ended(void)
{
	return fg_cohorts_state(core.cohorts).hours;
}

/* A step forwards, by a day and by a year, flags nobody, and one who is loud afterwards is flagged. */
static void test_core_clock_jumps_forwards(void **state)
{
	static const uint64_t by[] = { 24 * HOUR_NS, 365 * 24 * HOUR_NS };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint64_t now = NOW + by[i];
		size_t others;

		open_core(NULL, NOW);
		hours_of(NOW, 30);
		empty_epoch(NOW + 30 * HOUR_NS, now + 30 * HOUR_NS);
		degraded_says(by[i] > 30 * HOUR_NS ? "forwards by 8760 hours" :
						     "forwards by 24 hours",
			      true);
		now += 30 * HOUR_NS;
		second_of(1, 3000, 1, now + S);
		assert_int_equal(fg_store_n(core.store), 0);
		second_of(2, 1, 60, now + 2 * S);
		assert_int_equal(count(2, FG_TIER_ALERT, &others), 1);
		assert_int_equal(others, 0);
		hours_of(now, 3);
		degraded_says("forwards", false);
		assert_true(hours_ended() >= 32);
		fg_core_close(&core);
	}
}

/* A wrong clock is put right: detection goes on at once, and no verdict stands for a year. */
static void test_core_clock_is_set_back_by_a_year(void **state)
{
	const uint64_t ahead = NOW + 365 * 24 * HOUR_NS;
	uint32_t before;
	size_t others;

	(void)state;
	open_core(NULL, ahead);
	hours_of(ahead, 30);
	second_of(1, 3000, 1, ahead + 30 * HOUR_NS);
	second_of(2, 1, 60, ahead + 30 * HOUR_NS + S);
	assert_int_equal(count(2, FG_TIER_ALERT, &others), 1);
	before = hours_ended();
	empty_epoch(ahead + 30 * HOUR_NS + S, NOW);
	second_of(1, 3000, 1, NOW + S);
	degraded_says("set back by 8790 hours", true);
	assert_int_equal(count(2, FG_TIER_ALERT, &others), 1);
	assert_true(fg_store_at(core.store, 0)->until_ns <= NOW + S + FG_MAX_TTL_S * S);
	second_of(3, 1, 60, NOW + 2 * S);
	assert_int_equal(count(3, FG_TIER_ALERT, &others), 1);
	assert_int_equal(others, 1);
	hours_of(NOW + HOUR_NS, 5);
	assert_true(hours_ended() >= before + 4);
	degraded_says("set back", false);
	empty_epoch(NOW + 6 * HOUR_NS, NOW + 6 * HOUR_NS + S);
	/* within an hour it is waited for, as ever */
	before = hours_ended();
	second_of(1, 200, 1, NOW + 5 * HOUR_NS);
	degraded_says("wait until it is where it was", true);
	second_of(1, 200, 1, NOW + 6 * HOUR_NS + 2 * S);
	degraded_says("wait until it is where it was", false);
	assert_int_equal(hours_ended(), before);
}

static size_t rows_of(uint8_t net)
{
	size_t n = 0;

	for (size_t i = 0; i < fg_model_n_sources(core.model); i++)
		n += fg_model_source_at(core.model, i)->addr[13] == net;
	return n;
}

/* Rows from a time that is still to come give way to what comes now, and nobody is born twice. */
static void test_core_rows_of_a_wrong_clock_give_way(void **state)
{
	const uint64_t ahead = NOW + 365 * 24 * HOUR_NS;
	size_t active;

	(void)state;
	open_core(NULL, ahead);
	second_of(1, MOST, 1, ahead + S);
	assert_int_equal(fg_model_n_sources(core.model), conf.limits.sources);
	empty_epoch(ahead + S, NOW);
	second_of(2, 1000, 1, NOW + S);
	assert_int_equal(fg_model_refused(core.model).sources, 0);
	assert_int_equal(fg_model_refused(core.model).clients, 0);
	assert_true(fg_model_began_ns(core.model) <= NOW + S);
	/* a moment back is no such time: who was active a second before keeps its row */
	for (int i = 0; i < 20; i++)
		second_of(3, MOST, 1, NOW + 120 * S);
	active = rows_of(3);
	assert_true(active > MOST * 9 / 10);
	second_of(4, MOST, 1, NOW + 119 * S);
	assert_int_equal(rows_of(3), active);
}

/* The wrong clock was that of the run before this one. */
static void test_core_state_of_a_wrong_clock_is_taken_up(void **state)
{
	const uint64_t ahead = NOW + 40 * 24 * HOUR_NS;
	uint32_t before;

	(void)state;
	open_core(folder, ahead);
	hours_of(ahead, 30);
	assert_int_equal(fg_core_end(&core), 0);
	before = hours_ended();
	fg_core_close(&core);
	open_core(folder, NOW);
	assert_int_equal(hours_ended(), before);
	hours_of(NOW, 3);
	assert_int_equal(hours_ended(), before + 2);
	assert_int_equal(core.store_errors, 0);
	degraded_says("cohorts cannot be told", false);
}

/* Once more within the hour that was saved: it does not end twice, and is no error. */
static void test_core_an_hour_goes_on_after_a_restart(void **state)
{
	uint32_t before;

	(void)state;
	open_core(folder, NOW);
	hours_of(NOW, 5);
	assert_int_equal(fg_core_end(&core), 0);
	before = hours_ended();
	fg_core_close(&core);
	open_core(folder, NOW + 5 * HOUR_NS - 1000 * S);
	second_of(1, 200, 1, NOW + 5 * HOUR_NS - 900 * S);
	hours_of(NOW + 5 * HOUR_NS, 2);
	assert_int_equal(hours_ended(), before + 1);
	degraded_says("cohorts", false);
}

/* --- What was learned --------------------------------------------------------------------------- */

/* A week of learning that is kept in the folder. */
static void learn_a_week(void)
{
	uint64_t seed[4];

	open_core(folder, NOW);
	assert_int_equal(fg_core_seed(&core, seed), 0);
	hours_of(NOW, 7 * 24);
	assert_int_equal(fg_core_end(&core), 0);
	assert_true(fg_cohorts_state(core.cohorts).days >= 6);
}

/* Opened again: does it know what it learned, and what does it say? */
static void assert_forgets(const char *says)
{
	char why[256] = "";

	fg_core_close(&core);
	if (fg_core_open(&core, &conf, folder, NOW + 7 * 24 * HOUR_NS, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(fg_cohorts_state(core.cohorts).hours, 0);
	degraded_says(says, true);
	degraded_says("learning begins anew", true);
}

static void test_core_takes_up_what_it_learned(void **state)
{
	(void)state;
	learn_a_week();
	fg_core_close(&core);
	open_core(folder, NOW + 7 * 24 * HOUR_NS);
	assert_true(fg_cohorts_state(core.cohorts).days >= 6);
	assert_int_equal(core.view.n_degraded, 0);
}

/* Cut off, damaged, of another version, of another seed, of another instance: each is said, set aside
 * and not overwritten; then learning goes on, and its result is kept. */
static void test_core_sets_aside_what_it_cannot_take_up(void **state)
{
	static const char *const says[] = { "cut off",		 "their number is wrong",
					    "damaged",		 "another version",
					    "another hash seed", "another instance" };
	uint8_t other[32] = { 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		void *bytes, *aside;
		size_t n, n_aside;

		learn_a_week();
		assert_int_equal(fg_store_load_blob(core.store, "learned", &bytes, &n), 0);
		assert_true(n > 1000);
		if (i == 0)
			n = 20;
		else if (i == 1)
			n /= 2;
		else if (i == 2)
			((uint8_t *)bytes)[n / 2] ^= 1;
		else if (i == 3)
			((uint8_t *)bytes)[0] ^= 1;
		else if (i == 5)
			((uint8_t *)bytes)[8] ^= 1;
		assert_int_equal(fg_store_put_blob(core.store, "learned", bytes, n), 0);
		if (i == 4)
			assert_int_equal(fg_store_put_blob(core.store, "hash_seed", other,
							   sizeof(other)),
					 0);
		assert_forgets(says[i]);
		assert_int_equal(fg_store_load_blob(core.store, "learned.aside", &aside, &n_aside),
				 0);
		assert_int_equal(n_aside, n);
		assert_memory_equal(aside, bytes, n);
		hours_of(NOW + 8 * 24 * HOUR_NS, 30);
		assert_int_equal(fg_core_end(&core), 0);
		fg_core_close(&core);
		open_core(folder, NOW + 10 * 24 * HOUR_NS);
		assert_int_equal(core.view.n_degraded, 0);
		assert_int_equal(hours_ended(), 30);
		fg_core_close(&core);
		free(bytes);
		free(aside);
		tear_down(state);
		set_up(state);
	}
}

/* The file itself: what can be read is kept, and the rest is said. */
static void test_core_says_what_it_has_of_a_damaged_file(void **state)
{
	const uint8_t addr[16] = { [10] = 0xff, 0xff, 10, 2, 0, 0 };
	char path[128];
	int64_t id;
	FILE *f;

	(void)state;
	learn_a_week();
	assert_int_equal(
		fg_store_block(core.store, addr, 128, 0, "", 3600, "by hand", core.now_ns, &id), 0);
	fg_core_close(&core);
	snprintf(path, sizeof(path), "%s/farmgate.db", folder);
	f = fopen(path, "r+");
	assert_non_null(f);
	/* a byte of the file's size in pages, which its head holds */
	fseek(f, 0, SEEK_END);
	assert_int_equal(ftruncate(fileno(f), ftell(f) - 4096), 0);
	fclose(f);
	open_core(folder, NOW + 7 * 24 * HOUR_NS);
	degraded_says("the state file was damaged and is now", true);
	assert_int_equal(fg_store_n(core.store), 1);
	hours_of(NOW + 7 * 24 * HOUR_NS, 2);
	assert_int_equal(core.store_errors, 0);
}

/* --- Table of networks and status ----------------------------------------------------------------- */

static json_t *status(void)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	json_t *doc;

	assert_int_equal(fg_report_status(f, &core.view), 0);
	fclose(f);
	doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	free(text);
	return doc;
}

/* "networks.weaker", "fairness.classes.0.ratio" of a document. */
static const json_t *inside(const json_t *doc, const char *where)
{
	char steps[96], *step, *rest = steps;

	snprintf(steps, sizeof(steps), "%s", where);
	while (doc && (step = strtok_r(rest, ".", &rest)))
		doc = json_is_array(doc) ? json_array_get(doc, (size_t)atoi(step)) :
					   json_object_get(doc, step);
	return doc;
}

static const char *text_in(const json_t *doc, const char *where)
{
	const char *text = json_string_value(inside(doc, where));

	if (!text)
		fail_msg("no text at %s", where);
	return text;
}

static void write_table(const char *text)
{
	char table[96];
	FILE *f;

	snprintf(table, sizeof(table), "%s/networks", folder);
	f = fopen(table, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	free(conf.asn_file);
	conf.asn_file = strdup(table);
}

static void test_core_says_what_is_weaker_without_a_table(void **state)
{
	json_t *doc;

	(void)state;
	open_core(NULL, NOW);
	doc = status();
	assert_non_null(strstr(text_in(doc, "networks.weaker"), "prefixes of /16 and /32"));
	assert_string_equal(text_in(doc, "detection.families.clock.state"), "off");
	assert_int_equal(json_array_size(inside(doc, "fairness.classes")), 0);
	json_decref(doc);
}

/* Broken lines are skipped, and told by number with the reason. */
static void test_core_says_which_lines_of_a_table_are_broken(void **state)
{
	json_t *doc;

	(void)state;
	write_table(
		"10.1.0.0/16\t1\tres\tDE\n10.1.0.1/16\t1\tres\tDE\n10.2.0.0/16\t2\tkiosk\tUS\n");
	open_core(NULL, NOW);
	degraded_says("asn.file: 2 of 3 lines are skipped, the first is line 2", true);
	doc = status();
	assert_int_equal(json_integer_value(inside(doc, "networks.prefixes")), 1);
	assert_int_equal(json_integer_value(inside(doc, "networks.skipped")), 2);
	assert_non_null(strstr(text_in(doc, "networks.bad.1"), "line 3: the class is none of"));
	assert_true(json_is_null(inside(doc, "networks.weaker")));
	json_decref(doc);
	fg_core_close(&core);
	write_table("10.1.0.0/16\t1\t-\tDE\n");
	open_core(NULL, NOW);
	doc = status();
	assert_non_null(strstr(text_in(doc, "networks.weaker"), "no classes"));
	json_decref(doc);
}

/* Day by day each family says how far it is. */
static void test_core_says_how_warm_it_is(void **state)
{
	static const struct {
		unsigned int days;
		const char *volume, *relay;
		double of;
	} steps[] = { { 0, "warming", "cold", 3 },
		      { 4, "warming", "warming", 14 },
		      { 16, "warm", "warm", 14 } };
	unsigned int h = 0;

	(void)state;
	open_core(NULL, NOW);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		json_t *doc;

		for (; h < steps[i].days * 24; h += 24)
			hours_of(NOW + h * HOUR_NS, 24);
		doc = status();
		assert_string_equal(text_in(doc, "detection.families.volume.state"),
				    steps[i].volume);
		assert_string_equal(text_in(doc, "detection.families.relay.state"), steps[i].relay);
		assert_true(json_number_value(inside(doc, "detection.families.relay.of_days")) ==
			    steps[i].of);
		assert_true(json_number_value(inside(doc, "detection.families.relay.days")) ==
			    json_number_value(inside(doc, "detection.baseline_days")));
		json_decref(doc);
	}
}

/* A stem that is relayed twice as often as when its reference was frozen is named. */
static void test_core_names_what_drifts(void **state)
{
	struct fg_cell *cell;
	struct fg_cell_base *b;
	json_t *doc;

	(void)state;
	open_core(NULL, NOW);
	hours_of(NOW, 48);
	cell = (struct fg_cell *)fg_cells_at(fg_cohorts_cells(core.cohorts), FG_CELL_STEM, 1);
	b = &cell->base;
	b->frozen_day = 1;
	b->known[FG_SHARE_RELAYED] = 1000;
	b->yes[FG_SHARE_RELAYED] = 100;
	b->frozen[FG_SHARE_RELAYED] = 0.05F;
	doc = status();
	assert_int_equal(json_array_size(inside(doc, "detection.drift")), 1);
	/* nothing named it here */
	assert_string_equal(text_in(doc, "detection.drift.0.stem"), "-");
	assert_true(fabs(json_number_value(inside(doc, "detection.drift.0.relayed_share")) - 0.1) <
		    1e-6);
	json_decref(doc);
	b->frozen[FG_SHARE_RELAYED] = 0.09F;
	doc = status();
	assert_int_equal(json_array_size(inside(doc, "detection.drift")), 0);
	json_decref(doc);
}

/* All who are flagged are in one class of networks and one country: their ratio is all to their part. */
static void test_core_shows_whom_flags_fall_on(void **state)
{
	json_t *doc;

	(void)state;
	write_table("10.1.0.0/16\t1\tres\tDE\n10.2.0.0/16\t2\tdc\tUS\n10.3.0.0/16\t3\t-\t-\n");
	open_core(NULL, NOW);
	second_of(1, 3000, 1, NOW + S);
	second_of(3, 500, 1, NOW + S);
	second_of(2, 500, 60, NOW + 2 * S);
	second_of(1, 1, 1, NOW + 2 * HOUR_NS);
	doc = status();
	assert_int_equal(json_integer_value(inside(doc, "fairness.sources")), 4000);
	assert_int_equal(json_integer_value(inside(doc, "fairness.flagged")), 500);
	assert_string_equal(text_in(doc, "fairness.classes.0.class"), "dc");
	assert_float_equal(json_number_value(inside(doc, "fairness.classes.0.ratio")), 8, 1e-9);
	assert_true(json_number_value(inside(doc, "fairness.classes.1.ratio")) == 0);
	assert_int_equal(json_array_size(inside(doc, "fairness.classes")), 3);
	assert_string_equal(text_in(doc, "fairness.countries.0.country"), "US");
	assert_int_equal(json_array_size(inside(doc, "fairness.countries")), 2);
	json_decref(doc);
}

/* Files may grow no further: nothing can be written, and the agent goes on watching and says so. */
static void test_core_a_full_disk_does_not_stop_it(void **state)
{
	struct rlimit all, none = { 0, RLIM_INFINITY };

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	open_core(folder, NOW);
	second_of(1, 3000, 1, NOW + S);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
	none.rlim_max = all.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	second_of(2, 1, 60, NOW + 2 * S);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_true(core.store_errors > 0);
	assert_int_equal(fg_store_n(core.store), 0);
	degraded_says("verdicts cannot be written", true);
	second_of(2, 1, 60, NOW + 3 * S);
	assert_int_equal(fg_store_n(core.store), 1);
	degraded_says("verdicts cannot be written", false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_core_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(without_a_store_is_refused_and_can_be_closed),
		TEST(a_full_disk_does_not_stop_it),
		TEST(first_hour_flags_one_loud_source),
		TEST(first_hour_flags_five_hundred_machines),
		TEST(first_hour_enforces_only_if_told_to),
		TEST(enforces_when_it_is_warm),
		TEST(clock_jumps_forwards),
		TEST(clock_is_set_back_by_a_year),
		TEST(rows_of_a_wrong_clock_give_way),
		TEST(state_of_a_wrong_clock_is_taken_up),
		TEST(an_hour_goes_on_after_a_restart),
		TEST(takes_up_what_it_learned),
		TEST(sets_aside_what_it_cannot_take_up),
		TEST(says_what_it_has_of_a_damaged_file),
		TEST(says_what_is_weaker_without_a_table),
		TEST(says_which_lines_of_a_table_are_broken),
		TEST(says_how_warm_it_is),
		TEST(names_what_drifts),
		TEST(shows_whom_flags_fall_on),
	};

	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
