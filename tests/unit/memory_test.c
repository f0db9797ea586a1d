/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent/memory.h, through the core: an agent that is stopped, killed or replaced loses nothing of what
 * it learned of sources and clients. A small town is lived through by one agent without, and by
 * another with what happens to agents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/core.h"
#include "model/remember.h"
#include "model/summary.h"
#include "model/traits.h"
#include "packet.h"

#define S	     1000000000ULL
#define EPOCH_NS     (600 * S)
#define HOUR_NS	     (3600 * S)
#define EPOCHS	     144U /* of a day */
#define START_NS     (20500 * FG_DAY_NS)
#define PEOPLE	     900
#define HEAVY	     PEOPLE /* one more: 200 connections in each window, day and night */
#define RELAYED(who) ((who) % 10 == 3)

/* --- The town --------------------------------------------------------------------------------- */

static struct fg_prng rng;
static struct {
	struct fg_epoch_source sources[PEOPLE + 1];
	struct fg_epoch_client clients[PEOPLE + 1];
	struct fg_epoch_flow flows[PEOPLE + 1];
	struct fg_epoch e;
} now;

static void address(uint32_t who, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	ret_addr[10] = ret_addr[11] = 0xff;
	ret_addr[12] = 20;
	ret_addr[14] = (uint8_t)(who >> 8);
	ret_addr[15] = (uint8_t)who;
}

static void connect_once(uint32_t who, uint64_t n, uint64_t at_ns)
{
	uint32_t rtt_us = 30000 + (uint32_t)fg_prng_below(&rng, 2000);
	struct fg_epoch_source *s = &now.sources[now.e.n_sources++];
	struct fg_epoch_client *c = &now.clients[now.e.n_clients++];
	struct fg_epoch_flow *f = &now.flows[now.e.n_flows++];

	*s = (struct fg_epoch_source){ .syns = n, .connections = n, .proven = n, .hellos = n };
	*c = (struct fg_epoch_client){
		.stem = 50 + who % 4, .stack = 9, .print = 500 + who % 4, .connections = n
	};
	*f = (struct fg_epoch_flow){
		.stem = c->stem,
		.stack = 9,
		.bytes_in = 900,
		.bytes_out = 5000,
		.exchanges = 1,
		.news = FG_NEWS_OPENED | FG_NEWS_TIMES,
		.opened_ns = at_ns,
		.n_rtts = 1,
		.rtt_us = rtt_us,
		.rtt_max_us = rtt_us,
		.turn_us = rtt_us + 4000 + (RELAYED(who) ? 90000 : 0),
		.n_turns = 1,
		.turns = { { at_ns, (uint16_t)(0x3321 + (who % 5 << 12)), 20, 1500 } },
	};
	address(who, s->addr);
	address(who, c->addr);
	address(who, f->addr);
}

/* People come to town for good in the first month, ten a day, some leave; two days in three they are
 * in. */
static bool is_in_town(uint32_t who, uint32_t day)
{
	uint32_t came = who < 600 ? 0 : (who - 600) / 10;

	return day >= came && (who % 9 || day < came + 6) && (day + who) % 3;
}

static struct fg_epoch *make_epoch(uint32_t i)
{
	const uint64_t start = START_NS + i * EPOCH_NS;

	memset(&now.e, 0, sizeof(now.e));
	now.e.start_ns = start;
	now.e.end_ns = start + EPOCH_NS;
	now.e.sources = now.sources;
	now.e.clients = now.clients;
	now.e.flows = now.flows;
	for (uint32_t who = 0; who < PEOPLE; who++)
		if (is_in_town(who, i / EPOCHS) && !fg_prng_below(&rng, 6))
			connect_once(who, 1 + fg_prng_below(&rng, 2),
				     start + fg_prng_below(&rng, 600) * S);
	connect_once(HEAVY, 200, start);
	return &now.e;
}

/* --- Agents ----------------------------------------------------------------------------------- */

struct agent {
	struct fg_core core;
	char dir[64];
};

static struct fg_conf conf;
static struct agent steady, other;

static void open_agent(struct agent *a, uint64_t now_ns)
{
	char why[256] = "";

	if (fg_core_open(&a->core, &conf, a->dir[0] ? a->dir : NULL, now_ns, why, sizeof(why)))
		fail_msg("%s", why);
}

static void stop(struct agent *a)
{
	assert_int_equal(fg_core_save(&a->core), 0);
	fg_core_close(&a->core);
}

static void restart(struct agent *a, uint64_t now_ns)
{
	stop(a);
	open_agent(a, now_ns);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
	char from[128], to[128], bytes[65536];
	ssize_t n;
	int in, out;

	snprintf(from, sizeof(from), "%s/%s", from_dir, name);
	snprintf(to, sizeof(to), "%s/%s", to_dir, name);
	in = open(from, O_RDONLY);
	if (in < 0)
		return;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(out >= 0);
	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

static void remove_dir(const char *dir)
{
	static const char *const names[] = { "farmgate.db", "farmgate.db-wal", "farmgate.db-shm" };
	char path[128];

	for (size_t i = 0; i < 3 && dir[0]; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	if (dir[0])
		rmdir(dir);
}

static void make_dir(struct agent *a)
{
	strcpy(a->dir, "/tmp/fg-memory-XXXXXX");
	assert_non_null(mkdtemp(a->dir));
}

/* The files as they are at this moment are all that is left. */
static void kill_agent(struct agent *a, uint64_t now_ns)
{
	char before[64];

	strcpy(before, a->dir);
	make_dir(a);
	copy_file(before, a->dir, "farmgate.db");
	copy_file(before, a->dir, "farmgate.db-wal");
	fg_core_close(&a->core);
	remove_dir(before);
	open_agent(a, now_ns);
}

static int set_up(void **state)
{
	(void)state;
	rng.state = 3;
	fg_conf_init(&conf);
	conf.limits = (struct fg_model_limits){
		.sources = 5000, .clients = 5000, .fingerprints = 100, .window_ns = EPOCH_NS
	};
	memset(&steady, 0, sizeof(steady));
	memset(&other, 0, sizeof(other));
	make_dir(&other);
	open_agent(&steady, START_NS);
	open_agent(&other, START_NS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_core_close(&steady.core);
	fg_core_close(&other.core);
	fg_conf_done(&conf);
	remove_dir(other.dir);
	return 0;
}

static void feed(struct agent *a, const struct fg_epoch *e)
{
	struct fg_epoch copy = *e;

	assert_int_equal(fg_core_epoch(&a->core, &copy, NULL), 0);
}

/* Epochs from..to - 1, for both or one of them. */
static void live(uint32_t from, uint32_t to, bool both)
{
	for (uint32_t i = from; i < to; i++) {
		const struct fg_epoch *e = make_epoch(i);

		feed(&steady, e);
		if (both)
			feed(&other, e);
	}
}

static bool is_flagged(const struct agent *a, uint32_t who)
{
	const struct fg_verdict *v;
	uint8_t addr[16];

	address(who, addr);
	return fg_store_find(a->core.store, addr, &v, 1) == 1;
}

/* How many of the clients of this hour show a trait, of those of whom it is known. */
static double share_of(const struct agent *a, enum fg_share share, unsigned int *ret_known)
{
	struct fg_traits_reader r;
	const uint32_t *places;
	size_t n = fg_model_active(a->core.model, &places);
	unsigned int yes = 0;

	*ret_known = 0;
	fg_traits_begin(&r, a->core.model, NULL);
	for (size_t i = 0; i < n; i++) {
		struct fg_traits t;

		fg_traits_read(&r, places[i], &t);
		*ret_known += t.known >> share & 1;
		yes += t.yes >> share & 1;
	}
	return *ret_known ? (double)yes / *ret_known : -1;
}

static size_t n_degraded(const struct agent *a, const char *what)
{
	size_t n = 0;

	for (size_t i = 0; i < a->core.view.n_degraded; i++)
		n += strstr(a->core.view.degraded[i], what) != NULL;
	return n;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void test_memory_the_usual_is_no_news_after_a_restart(void **state)
{
	const uint32_t day9 = 9 * EPOCHS + 75;
	struct agent blank = { .dir = "" };

	(void)state;
	live(0, EPOCHS, true);
	assert_true(is_flagged(&other, HEAVY));
	live(EPOCHS, day9, true);
	assert_false(is_flagged(&other, HEAVY));
	restart(&other, START_NS + day9 * EPOCH_NS);
	assert_int_equal(other.core.view.n_degraded, 0);
	open_agent(&blank, START_NS + day9 * EPOCH_NS);
	for (uint32_t i = day9; i < day9 + 12; i++) {
		const struct fg_epoch *e = make_epoch(i);

		feed(&other, e);
		feed(&blank, e);
	}
	assert_false(is_flagged(&other, HEAVY));
	/* without a memory it is: this is what would happen */
	assert_true(is_flagged(&blank, HEAVY));
	fg_core_close(&blank.core);
}

/* The same shares in the same hours, however often it is stopped. */
static void test_memory_no_wave_of_births_after_restarts(void **state)
{
	static const enum fg_share shares[] = { FG_SHARE_BORN, FG_SHARE_NOT_BACK, FG_SHARE_RELAYED,
						FG_SHARE_RELAYED_YOUNG };
	unsigned int births = 0, hours = 0;

	(void)state;
	live(0, 5 * EPOCHS, true);
	for (uint32_t i = 5 * EPOCHS; i < 7 * EPOCHS; i++) {
		live(i, i + 1, true);
		/* in the midst of hours */
		if (i % 50 == 13)
			restart(&other, START_NS + (i + 1) * EPOCH_NS);
		if (i % 6 != 5)
			continue;
		for (size_t k = 0; k < sizeof(shares) / sizeof(shares[0]); k++) {
			unsigned int n, m;
			double a = share_of(&steady, shares[k], &n);
			double b = share_of(&other, shares[k], &m);

			assert_int_equal(n, m);
			assert_true(a == b);
			births += shares[k] == FG_SHARE_BORN && a > 0;
		}
		hours++;
	}
	assert_true(births > hours / 2);
	assert_int_equal(fg_store_n(steady.core.store), fg_store_n(other.core.store));
	assert_int_equal(fg_cohorts_state(other.core.cohorts).hours,
			 fg_cohorts_state(steady.core.cohorts).hours);
	/* what may be blocked is a rate over those of the day before, the hours before the restart too */
	assert_true(fg_cohorts_state(steady.core.cohorts).legit_sources > 100);
	assert_int_equal(fg_cohorts_state(other.core.cohorts).legit_sources,
			 fg_cohorts_state(steady.core.cohorts).legit_sources);
}

/* Half an hour of darkness: nobody is missed, and only who came in it is a little younger. */
static void test_memory_a_short_break_moves_no_share(void **state)
{
	const uint32_t left = 6 * EPOCHS + 70, back = left + 3;
	double worst[2] = { 0 };

	(void)state;
	live(0, left, true);
	stop(&other);
	live(left, back, false);
	open_agent(&other, START_NS + back * EPOCH_NS);
	for (uint32_t i = back; i < 8 * EPOCHS; i++) {
		live(i, i + 1, true);
		if (i % 6 != 5 || i < back + 6)
			continue;
		for (int k = 0; k < 2; k++) {
			enum fg_share share = k ? FG_SHARE_NOT_BACK : FG_SHARE_BORN;
			unsigned int n, m;
			double off = share_of(&steady, share, &n) - share_of(&other, share, &m);

			assert_int_equal(n, m);
			assert_true(m > 100);
			worst[k] = fmax(worst[k], fabs(off));
		}
	}
	print_message("shares are off by at most %.4f (born), %.4f (not back)\n", worst[0],
		      worst[1]);
	assert_true(worst[0] < 0.01);
	assert_true(worst[1] < 0.01);
}

/* What is left of a day's darkness is unknown, and no answer. */
static void test_memory_a_long_break_is_no_absence(void **state)
{
	const uint32_t left = 5 * EPOCHS, back = 6 * EPOCHS;
	unsigned int n;

	(void)state;
	live(0, left, true);
	stop(&other);
	live(left, back, false);
	open_agent(&other, START_NS + back * EPOCH_NS);
	live(back, back + 6, true);
	share_of(&other, FG_SHARE_BORN, &n);
	assert_int_equal(n, 0);
	share_of(&other, FG_SHARE_NOT_BACK, &n);
	assert_int_equal(n, 0);
	share_of(&steady, FG_SHARE_NOT_BACK, &n);
	assert_true(n > 100);
	live(back + 6, back + 2 * EPOCHS + 12, true);
	assert_true(share_of(&other, FG_SHARE_NOT_BACK, &n) ==
		    share_of(&steady, FG_SHARE_NOT_BACK, &n));
	assert_true(n > 100);
}

static unsigned int n_relayed(const struct agent *a)
{
	unsigned int n = 0;

	for (size_t i = 0; i < fg_model_n_clients(a->core.model); i++) {
		const struct fg_model_client *c = fg_model_client_at(a->core.model, i);

		n += fg_model_times(a->core.model, c).relayed == FG_TRAIT_YES;
	}
	return n;
}

static void test_memory_relays_are_known_at_once(void **state)
{
	unsigned int before;

	(void)state;
	live(0, 3 * EPOCHS, true);
	before = n_relayed(&other);
	assert_true(before > 50);
	restart(&other, START_NS + 3 * EPOCHS * EPOCH_NS);
	assert_int_equal(n_relayed(&other), before);
	/* and no crypto time is learned anew */
	assert_true(fg_stem_crypto(fg_model_stem(other.core.model, 50)).known);
}

/* Killed: what changed within the last turn may be as it was before, nothing else. */
static void test_memory_a_kill_costs_an_hour_at_most(void **state)
{
	const uint32_t end = 8 * EPOCHS + 50;
	const uint64_t now_ns = START_NS + end * EPOCH_NS;
	unsigned int same = 0, behind = 0, lost = 0;

	(void)state;
	live(0, end, true);
	kill_agent(&other, now_ns);
	assert_int_equal(other.core.view.n_degraded, 0);
	/* a start that failed before its first epoch says nothing of the one before it */
	restart(&other, now_ns);
	for (size_t i = 0; i < fg_model_n_clients(steady.core.model); i++) {
		const struct fg_model_client *c = fg_model_client_at(steady.core.model, i), *d;
		bool is_old = c->last_ns + FG_SAVE_TURN_NS + 2 * EPOCH_NS < now_ns;

		d = fg_model_client_find(other.core.model, c->addr, c->stem, c->stack);
		lost += !d;
		same += d && d->last_ns == c->last_ns;
		behind += d && d->last_ns != c->last_ns;
		if (d)
			assert_int_equal(d->first_ns, c->first_ns);
		if (is_old)
			assert_true(d && d->last_ns == c->last_ns &&
				    d->connections == c->connections);
		else if (!d)
			assert_true(c->first_ns + FG_SAVE_TURN_NS + 2 * EPOCH_NS >= now_ns);
	}
	print_message("of %zu clients %u as they were, %u an hour behind, %u lost\n",
		      fg_model_n_clients(steady.core.model), same, behind, lost);
	assert_true(same > 100);
	assert_true(behind > 100);
	live(end, end + 6, true);
	assert_false(is_flagged(&other, HEAVY));
	assert_true(fg_model_unbroken_ns(other.core.model) == START_NS);
	/* full handshakes may be among what was lost */
	assert_true(fg_model_known_since_ns(other.core.model) == now_ns + EPOCH_NS);
}

static void on_disk(const struct agent *a, const char *sql)
{
	char path[128], *error = NULL;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/farmgate.db", a->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error))
		fail_msg("%s: %s", sql, error);
	sqlite3_close(db);
}

static void test_memory_damaged_ones_are_said_and_left(void **state)
{
	const uint64_t now_ns = START_NS + EPOCHS * EPOCH_NS;
	size_t n;

	(void)state;
	live(0, EPOCHS, true);
	n = fg_model_n_clients(other.core.model);
	stop(&other);
	/* clients: kind 4 */
	on_disk(&other,
		"UPDATE summary SET value = substr(value, 1, 20) WHERE key IN"
		" (SELECT key FROM summary WHERE key >= 4 << 60 AND key < 5 << 60 LIMIT 7);"
		"UPDATE summary SET value = x'' WHERE key = (SELECT min(key) FROM summary WHERE key > 0);");
	open_agent(&other, now_ns);
	assert_int_equal(other.core.memory.damaged, 8);
	assert_int_equal(n_degraded(&other, "8 summaries"), 1);
	assert_int_equal(fg_model_n_clients(other.core.model), n - 7);
	live(EPOCHS, EPOCHS + 3, true);
	/* said once: they are gone */
	restart(&other, now_ns + 3 * EPOCH_NS);
	assert_int_equal(other.core.view.n_degraded, 0);
}

/* All rows, as if another version had written them, whole. */
static void age_all(const struct agent *a)
{
	sqlite3_stmt *get, *set;
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/farmgate.db", a->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT key, value FROM summary WHERE key > 0", -1, &get, NULL);
	sqlite3_prepare_v2(db, "UPDATE summary SET value = ? WHERE key = ?", -1, &set, NULL);
	sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	while (sqlite3_step(get) == SQLITE_ROW) {
		int n = sqlite3_column_bytes(get, 1);
		uint8_t bytes[FG_SUMMARY_BYTES];
		uint32_t crc;

		memcpy(bytes, sqlite3_column_blob(get, 1), (size_t)n);
		bytes[0] = FG_SUMMARY_VERSION + 1;
		crc = (uint32_t)crc32_z(0, bytes, (size_t)n - 4);
		memcpy(bytes + n - 4, &crc, 4);
		sqlite3_bind_blob(set, 1, bytes, n, SQLITE_TRANSIENT);
		sqlite3_bind_int64(set, 2, sqlite3_column_int64(get, 0));
		assert_int_equal(sqlite3_step(set), SQLITE_DONE);
		sqlite3_reset(set);
	}
	sqlite3_finalize(get);
	sqlite3_finalize(set);
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
}

static void test_memory_another_version_is_said_and_left(void **state)
{
	const uint64_t now_ns = START_NS + EPOCHS * EPOCH_NS;

	(void)state;
	live(0, EPOCHS, true);
	stop(&other);
	age_all(&other);
	open_agent(&other, now_ns);
	assert_true(other.core.memory.other_version > 700);
	assert_int_equal(other.core.memory.damaged, 0);
	assert_int_equal(n_degraded(&other, "another version"), 1);
	assert_int_equal(fg_model_n_sources(other.core.model), 0);
	live(EPOCHS, EPOCHS + 3, true);
	assert_true(fg_model_n_sources(other.core.model) > 100);
	restart(&other, now_ns + 3 * EPOCH_NS);
	assert_int_equal(other.core.view.n_degraded, 0);
	assert_true(fg_model_n_sources(other.core.model) > 100);
}

/* Who left in the first week is deleted within the month, who stays is not. */
static void test_memory_forgets_after_a_month(void **state)
{
	uint8_t addr[16];
	uint64_t n;

	(void)state;
	for (uint32_t i = 0; i < 35 * EPOCHS; i += 6)
		feed(&other, make_epoch(i));
	address(0, addr);
	assert_true(fg_model_source_find(other.core.model, addr)->last_ns <
		    START_NS + 6 * FG_DAY_NS + 1);
	restart(&other, START_NS + 35 * FG_DAY_NS);
	assert_null(fg_model_source_find(other.core.model, addr));
	address(1, addr);
	assert_non_null(fg_model_source_find(other.core.model, addr));
	stop(&other);
	/* none is older than thirty days; nor than that from then on, though nobody comes */
	on_disk(&other, "CREATE TABLE t AS SELECT 1 / (count(*) = 0) AS ok FROM summary"
			" WHERE last < (20500 + 5) * 86400; DROP TABLE t;");
	open_agent(&other, START_NS + 35 * FG_DAY_NS);
	n = fg_store_n_summaries(other.core.store);
	assert_true(n > 1000);
	for (uint32_t h = 35 * 24; h < 67 * 24; h++) {
		struct fg_epoch e = { .start_ns = START_NS + h * HOUR_NS,
				      .end_ns = START_NS + (h + 1) * HOUR_NS };

		feed(&other, &e);
	}
	/* but for the note of when it watched */
	assert_int_equal(fg_store_n_summaries(other.core.store), 1);
}

/* In tables of a tenth of the town, everybody is who they were. */
static void test_memory_small_tables_forget_nobody(void **state)
{
	unsigned int seen = 0;

	(void)state;
	fg_core_close(&other.core);
	conf.limits.sources = conf.limits.clients = 150;
	open_agent(&other, START_NS);
	live(0, 4 * EPOCHS, true);
	assert_true(fg_model_refused(other.core.model).clients_expired > 1000);
	assert_int_equal(fg_model_refused(other.core.model).left, 0);
	for (size_t i = 0; i < fg_model_n_sources(other.core.model); i++, seen++) {
		const struct fg_model_source *s = fg_model_source_at(other.core.model, i);
		const struct fg_model_source *t = fg_model_source_find(steady.core.model, s->addr);

		assert_int_equal(s->first_ns, t->first_ns);
		assert_int_equal(s->proven, t->proven);
	}
	assert_int_equal(seen, 150);
	/* and the newest of them are read back */
	restart(&other, START_NS + 4 * EPOCHS * EPOCH_NS);
	assert_int_equal(fg_model_n_sources(other.core.model), 150);
	for (size_t i = 0; i < fg_model_n_sources(other.core.model); i++)
		assert_true(fg_model_source_at(other.core.model, i)->last_ns + 2 * HOUR_NS >
			    START_NS + 4 * EPOCHS * EPOCH_NS);
	/* who was left in the file is not counted twice when he comes back */
	live(4 * EPOCHS, 5 * EPOCHS, true);
	for (size_t i = 0; i < fg_model_n_sources(other.core.model); i++) {
		const struct fg_model_source *s = fg_model_source_at(other.core.model, i);
		const struct fg_model_source *t = fg_model_source_find(steady.core.model, s->addr);

		assert_int_equal(s->stems, t->stems);
		assert_int_equal(s->stacks, t->stacks);
		assert_int_equal(s->fingerprints, t->fingerprints);
	}
}

/* A full disk: it is said, and what was not written is written when there is room. */
static void test_memory_a_full_disk_is_said_and_made_good(void **state)
{
	const struct rlimit none = { 0, RLIM_INFINITY };
	const uint32_t day = EPOCHS;
	uint64_t now_ns = START_NS + (day + 2) * EPOCH_NS;
	struct rlimit before;
	struct fg_epoch e;

	(void)state;
	live(0, day, true);
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	e = *make_epoch(day);
	feed(&steady, &e);
	fg_core_epoch(&other.core, &e, NULL);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(n_degraded(&other, "cannot be kept"), 1);
	live(day + 1, day + 2, true);
	assert_int_equal(n_degraded(&other, "cannot be kept"), 0);
	for (int i = 0; i < 8; i++, now_ns += EPOCH_NS) {
		e = (struct fg_epoch){ .start_ns = now_ns, .end_ns = now_ns + EPOCH_NS };
		feed(&other, &e);
	}
	kill_agent(&other, now_ns);
	assert_int_equal(fg_model_n_clients(other.core.model),
			 fg_model_n_clients(steady.core.model));
	for (size_t i = 0; i < fg_model_n_clients(steady.core.model); i++) {
		const struct fg_model_client *c = fg_model_client_at(steady.core.model, i), *d;

		d = fg_model_client_find(other.core.model, c->addr, c->stem, c->stack);
		assert_non_null(d);
		assert_int_equal(d->connections, c->connections);
	}
}

static void test_memory_without_a_folder_nothing_is_kept(void **state)
{
	(void)state;
	live(0, 20, false);
	assert_null(steady.core.memory.store);
	assert_int_equal(fg_store_n_summaries(steady.core.store), 0);
	assert_int_equal(fg_core_save(&steady.core), 0);
	assert_int_equal(fg_store_n_summaries(steady.core.store), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory_the_usual_is_no_news_after_a_restart),
		TEST(test_memory_no_wave_of_births_after_restarts),
		TEST(test_memory_a_short_break_moves_no_share),
		TEST(test_memory_a_long_break_is_no_absence),
		TEST(test_memory_relays_are_known_at_once),
		TEST(test_memory_a_kill_costs_an_hour_at_most),
		TEST(test_memory_damaged_ones_are_said_and_left),
		TEST(test_memory_another_version_is_said_and_left),
		TEST(test_memory_forgets_after_a_month),
		TEST(test_memory_small_tables_forget_nobody),
		TEST(test_memory_a_full_disk_is_said_and_made_good),
		TEST(test_memory_without_a_folder_nothing_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
