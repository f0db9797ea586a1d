/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verdict/store.h: what is decided, what is on disk, and that memory never says anything else. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ip.h"
#include "verdict/store.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static char dir[] = "/tmp/fg-store-XXXXXX", state[64], path[96];
static struct fg_store *store;

static void remove_files(void)
{
	char file[128];

	snprintf(file, sizeof(file), "%s-wal", path);
	unlink(file);
	snprintf(file, sizeof(file), "%s-shm", path);
	unlink(file);
	unlink(path);
	snprintf(file, sizeof(file), "%s/instance", state);
	unlink(file);
	rmdir(state);
}

static void open_at(uint64_t now_ns)
{
	char why[256] = "";

	if (fg_store_open(state, now_ns, &store, why, sizeof(why)))
		fail_msg("%s", why);
}

static void reopen(uint64_t now_ns)
{
	fg_store_close(&store);
	open_at(now_ns);
}

static int set_up(void **arg)
{
	(void)arg;
	strcpy(dir, "/tmp/fg-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(path, sizeof(path), "%s/farmgate.db", state);
	open_at(NOW);
	return 0;
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_store_close(&store);
	remove_files();
	return rmdir(dir);
}

struct prefix {
	uint8_t addr[16], bits;
};

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(fg_ip_parse(text, p.addr, &p.bits), 0);
	return p;
}

static struct fg_finding finding(const char *source)
{
	struct fg_finding f = {
		.score = 20, .proven = true, .n_evidence = 1, .stem = 5, .stack = 6
	};

	memcpy(f.source, prefix(source).addr, 16);
	f.evidence[0] = (struct fg_evidence){ .name = "proven_connections_60s",
					      .observed = 80,
					      .expected = 1.5,
					      .base_rate = 0.001,
					      .nats = 20,
					      .text = "80 connections, 1.5 expected" };
	fg_evidence_benign(&f.evidence[0], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	return f;
}

static const struct fg_names names = { "t13d", "~t13d", "64,65535" };

static int note_of(const struct fg_finding *f, bool enforce, uint64_t now_ns)
{
	return fg_store_note(store, f, &names, enforce, 3600, now_ns);
}

static int note(const char *source, bool enforce, uint64_t now_ns)
{
	struct fg_finding f = finding(source);

	return note_of(&f, enforce, now_ns);
}

/* Twice, ten seconds apart: one spike enforces nothing. @return what the first said. */
static int note_twice(const char *source, bool enforce, uint64_t now_ns)
{
	int r = note(source, enforce, now_ns - 10 * S);

	assert_int_equal(note(source, enforce, now_ns), 0);
	return r;
}

static int block(const char *text, uint32_t ttl_s, uint64_t now_ns)
{
	struct prefix p = prefix(text);
	int64_t id;

	return fg_store_block(store, p.addr, p.bits, 0, "", ttl_s, "by hand", now_ns, &id);
}

static int allow(const char *text, uint32_t ttl_s)
{
	struct prefix p = prefix(text);
	int64_t id;

	return fg_store_allow(store, p.addr, p.bits, ttl_s, "our probe", NOW, &id);
}

static int unblock(const char *text, uint64_t now_ns)
{
	struct prefix p = prefix(text);

	return fg_store_unblock(store, p.addr, p.bits, "mistake", now_ns);
}

/* The newest verdict that covers an address, NULL = none. */
static const struct fg_verdict *on(const char *source)
{
	const struct fg_verdict *v = NULL;

	return fg_store_find(store, prefix(source).addr, &v, 1) ? v : NULL;
}

/* A number from the file, by a second reader: the store must let go of it first. */
static int64_t disk_number(const char *query)
{
	sqlite3_stmt *s;
	int64_t number;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	number = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return number;
}

static void disk_run(const char *script)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, script, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_store_makes_a_private_folder(void **arg)
{
	struct stat st;

	(void)arg;
	assert_int_equal(stat(state, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_store_keeps_verdicts_over_a_restart(void **arg)
{
	struct fg_finding f = finding("2001:db8:1:2::/64");
	struct fg_verdict before;
	const struct fg_verdict *v;

	(void)arg;
	f.window_s = 60;
	f.n_obs = 80;
	f.alpha = 1e-6;
	f.est_fdr = 0.25;
	f.evidence[0].capped = true;
	f.evidence[0].baseline_n = 900;
	fg_evidence_benign(&f.evidence[0], FG_BENIGN_corporate_gateway, FG_CONSIDERED_REFUTED, 61);
	assert_int_equal(note_of(&f, true, NOW), 1);
	assert_int_equal(note_of(&f, true, NOW + 10 * S), 0);
	before = *on("2001:db8:1:2::");
	reopen(NOW + 60 * S);
	v = on("2001:db8:1:2:3:4:5:6");
	assert_non_null(v);
	assert_memory_equal(v->addr, before.addr, 16);
	assert_int_equal(v->bits, 64);
	assert_int_equal(v->id, before.id);
	assert_int_equal(v->tier, FG_TIER_ENFORCE);
	assert_true(v->first_ns == NOW && v->until_ns == NOW + 3610 * S);
	assert_true(v->earned == FG_TIER_ENFORCE && v->enforced && v->strikes == 0);
	assert_true(v->sure_until_ns == v->until_ns && v->objected_ns == 0);
	assert_string_equal(v->ja4, "t13d");
	assert_int_equal(v->stem, 0);
	assert_int_equal(v->n_evidence, 1);
	assert_string_equal(v->evidence[0].name, "proven_connections_60s");
	assert_true(v->evidence[0].observed == 80 && v->evidence[0].base_rate == 0.001);
	assert_true(v->window_s == 60 && v->n_obs == 80 && v->alpha == 1e-6 && v->est_fdr == 0.25);
	assert_string_equal(v->version, before.version);
	assert_true(v->version[0] && v->evidence[0].capped && v->evidence[0].baseline_n == 900);
	assert_int_equal(v->evidence[0].n_benign, 2);
	assert_int_equal(v->evidence[0].benign[0].what, FG_BENIGN_own_service);
	assert_int_equal(v->evidence[0].benign[1].considered, FG_CONSIDERED_REFUTED);
	assert_true(v->evidence[0].benign[1].figure == 61);
	assert_null(on("2001:db8:1:3::"));
}

/* A flag that cannot be argued with is none. */
static void test_store_refuses_evidence_without_a_benign_explanation(void **arg)
{
	struct fg_finding f = finding("192.0.2.1");

	(void)arg;
	f.evidence[0].n_benign = 0;
	assert_int_equal(note_of(&f, true, NOW), -EINVAL);
	f = finding("192.0.2.1");
	f.evidence[1] = f.evidence[0];
	f.evidence[1].n_benign = 0;
	f.n_evidence = 2;
	assert_int_equal(note_of(&f, true, NOW), -EINVAL);
	f.n_evidence = 0;
	assert_int_equal(note_of(&f, true, NOW), -EINVAL);
	f.n_evidence = FG_MAX_EVIDENCE + 1;
	assert_int_equal(note_of(&f, true, NOW), -EINVAL);
	f = finding("192.0.2.1");
	f.evidence[0].benign[0].what = _FG_BENIGN_MAX;
	assert_int_equal(note_of(&f, true, NOW), -EINVAL);
	assert_int_equal(fg_store_n(store), 0);
	assert_int_equal(note("192.0.2.1", true, NOW), 1);
}

static void test_store_keeps_allows_and_blobs_over_a_restart(void **arg)
{
	const uint8_t seed[4] = { 1, 0, 3, 4 };
	struct prefix p = prefix("10.0.0.0/8");
	uint8_t got[8];

	(void)arg;
	assert_int_equal(fg_store_get_blob(store, "hash_seed", got, sizeof(got)), 0);
	assert_int_equal(fg_store_put_blob(store, "hash_seed", seed, sizeof(seed)), 0);
	assert_int_equal(allow("10.0.0.0/8", 0), 0);
	reopen(NOW);
	assert_int_equal(fg_store_get_blob(store, "hash_seed", got, sizeof(got)), 4);
	assert_memory_equal(got, seed, 4);
	assert_int_equal(fg_store_get_blob(store, "hash_seed", got, 3), -EOVERFLOW);
	assert_int_equal(fg_store_n_allow(store), 1);
	assert_int_equal(block("10.1.0.0/16", 60, NOW), -EPERM);
	assert_int_equal(fg_store_disallow(store, p.addr, p.bits, NOW), 1);
	assert_int_equal(fg_store_disallow(store, p.addr, p.bits, NOW), 0);
	reopen(NOW);
	assert_int_equal(fg_store_n_allow(store), 0);
	assert_int_equal(block("10.1.0.0/16", 60, NOW), 0);
}

static void test_store_says_why_a_tier_stops_at_alert(void **arg)
{
	struct fg_finding f = finding("192.0.2.2");

	(void)arg;
	note("192.0.2.1", false, NOW);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.1")->reason, "mode is observe");
	f.shared = true;
	strcpy(f.shared_why, "7 stems");
	note_of(&f, true, NOW - 10 * S);
	note_of(&f, true, NOW);
	assert_int_equal(on("192.0.2.2")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.2")->reason, "shared: 7 stems");
	f = finding("192.0.2.3");
	f.proven = false;
	note_of(&f, true, NOW);
	assert_int_equal(on("192.0.2.3")->tier, FG_TIER_ALERT);
	assert_non_null(strstr(on("192.0.2.3")->reason, "not proven"));
	allow("192.0.2.4", 0);
	note_twice("192.0.2.4", true, NOW);
	assert_int_equal(on("192.0.2.4")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.4")->reason, "allowlisted: our probe");
	note("192.0.2.5", true, NOW - 10 * S);
	assert_int_equal(on("192.0.2.5")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.5")->reason,
			    "waiting: it must still be there 10 s after it was flagged");
	note("192.0.2.5", true, NOW);
	assert_int_equal(on("192.0.2.5")->tier, FG_TIER_ENFORCE);
	assert_string_equal(on("192.0.2.5")->reason, "");
}

static void test_store_writes_a_renewal_only_when_it_matters(void **arg)
{
	struct fg_finding f = finding("192.0.2.1");
	uint64_t revision;

	(void)arg;
	assert_int_equal(note_of(&f, false, NOW), 1);
	revision = fg_store_revision(store);
	f.evidence[0].observed = 90;
	assert_int_equal(note_of(&f, false, NOW + 890 * S), 0);
	assert_int_equal(fg_store_revision(store), revision);
	assert_true(on("192.0.2.1")->until_ns == NOW + 3600 * S);
	assert_true(on("192.0.2.1")->evidence[0].observed == 90);
	/* less than three quarters of the TTL are left */
	assert_int_equal(note_of(&f, false, NOW + 901 * S), 0);
	assert_true(fg_store_revision(store) > revision);
	assert_true(on("192.0.2.1")->until_ns == NOW + 4501 * S);
	assert_true(on("192.0.2.1")->first_ns == NOW);
	/* another tier is written at once */
	assert_int_equal(note_of(&f, true, NOW + 961 * S), 0);
	fg_store_close(&store);
	assert_int_equal(disk_number("SELECT tier FROM verdict"), FG_TIER_ENFORCE);
	assert_int_equal(disk_number("SELECT until_ns FROM verdict"), NOW + 4561 * S);
	assert_int_equal(disk_number("SELECT count(*) FROM history"), 2);
	open_at(NOW + 961 * S);
}

static void test_store_does_not_renew_what_an_operator_ended(void **arg)
{
	const uint64_t week = 7 * 86400 * S;

	(void)arg;
	note("192.0.2.1", true, NOW);
	block("192.0.2.1", 60, NOW);
	assert_int_equal(fg_store_n(store), 2);
	assert_int_equal(unblock("192.0.2.1", NOW + S), 2);
	assert_int_equal(unblock("192.0.2.1", NOW + S), 0);
	assert_int_equal(note("192.0.2.1", true, NOW + 2 * S), 0);
	assert_int_equal(fg_store_n(store), 0);
	reopen(NOW + 3 * S);
	assert_int_equal(note("192.0.2.1", true, NOW + week), 0);
	assert_null(on("192.0.2.1"));
	/* a week is over, whether time was told or not */
	assert_int_equal(note("192.0.2.1", true, NOW + week + S), 1);
	assert_non_null(on("192.0.2.1"));
}

static void test_store_lowers_what_stands_when_the_mode_is_observe(void **arg)
{
	(void)arg;
	assert_int_equal(note_twice("192.0.2.1", true, NOW), 1);
	assert_int_equal(block("192.0.2.2", 3600, NOW), 0);
	reopen(NOW + 1 * S);
	assert_int_equal(fg_store_observe(store), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.1")->reason, "mode is observe");
	assert_int_equal(on("192.0.2.2")->tier, FG_TIER_ENFORCE);
	reopen(NOW + 2 * S);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
}

static void test_store_lets_allow_win(void **arg)
{
	(void)arg;
	note_twice("192.0.2.1", true, NOW);
	block("192.0.2.2", 60, NOW);
	block("198.51.100.0/24", 60, NOW);
	note_twice("203.0.113.1", true, NOW);
	assert_int_equal(allow("192.0.2.0/24", 0), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_int_equal(on("192.0.2.2")->tier, FG_TIER_ALERT);
	assert_int_equal(on("203.0.113.1")->tier, FG_TIER_ENFORCE);
	assert_int_equal(block("192.0.2.2", 60, NOW), -EPERM);
	/* a block cannot leave out the address in its midst */
	assert_int_equal(block("192.0.0.0/16", 60, NOW), -EPERM);
	assert_int_equal(allow("198.51.100.7", 0), 0);
	assert_int_equal(on("198.51.100.8")->tier, FG_TIER_ALERT);
	reopen(NOW);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.1")->reason, "allowlisted: our probe");
}

static void test_store_ends_an_allow_with_its_ttl(void **arg)
{
	(void)arg;
	allow("192.0.2.1", 60);
	assert_int_equal(block("192.0.2.1", 60, NOW + 59 * S), -EPERM);
	assert_int_equal(block("192.0.2.1", 60, NOW + 60 * S), 0);
	fg_store_expire(store, NOW + 60 * S);
	assert_int_equal(fg_store_n_allow(store), 0);
}

static void test_store_does_not_persist_the_configuration(void **arg)
{
	struct prefix p = prefix("192.0.2.0/24");

	(void)arg;
	note("192.0.2.1", true, NOW);
	assert_int_equal(fg_store_allow_static(store, p.addr, p.bits), 0);
	assert_int_equal(fg_store_n_allow(store), 1);
	assert_string_equal(fg_store_allow_at(store, 0)->reason, "configuration");
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_int_equal(fg_store_disallow(store, p.addr, p.bits, NOW), 0);
	reopen(NOW);
	assert_int_equal(fg_store_n_allow(store), 0);
}

static void test_store_takes_back_a_failed_batch(void **arg)
{
	(void)arg;
	note("192.0.2.1", false, NOW);
	note("192.0.2.9", false, NOW);
	unblock("192.0.2.9", NOW);
	assert_int_equal(fg_store_begin(store), 0);
	assert_int_equal(note("192.0.2.1", true, NOW + S), 0);
	assert_int_equal(note("192.0.2.2", true, NOW + S), 1);
	assert_int_equal(note("192.0.2.9", true, NOW + 8 * 86400 * S), 1);
	assert_int_equal(allow("10.0.0.0/8", 0), 0);
	fg_store_rollback(store);
	assert_int_equal(fg_store_n(store), 1);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_null(on("192.0.2.2"));
	assert_int_equal(fg_store_n_allow(store), 0);
	assert_int_equal(note("192.0.2.9", true, NOW + 2 * S), 0);
	assert_int_equal(fg_store_begin(store), 0);
	assert_int_equal(note("192.0.2.2", true, NOW + S), 1);
	assert_int_equal(fg_store_commit(store), 0);
	reopen(NOW + S);
	assert_int_equal(fg_store_n(store), 2);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
}

static void test_store_leaves_memory_alone_where_the_disk_refuses(void **arg)
{
	const struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit before;
	int r;

	(void)arg;
	note("192.0.2.1", false, NOW);
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	r = block("192.0.2.2", 60, NOW);
	assert_true(note("192.0.2.1", true, NOW) < 0);
	assert_true(allow("192.0.2.0/24", 0) < 0);
	assert_true(unblock("192.0.2.1", NOW) < 0);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);
	assert_true(r < 0);
	assert_non_null(strstr(fg_store_error(store), "farmgate.db"));
	assert_int_equal(fg_store_n(store), 1);
	assert_int_equal(fg_store_n_allow(store), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_string_equal(on("192.0.2.1")->reason, "mode is observe");
	assert_int_equal(block("192.0.2.2", 60, NOW), 0);
	reopen(NOW);
	assert_int_equal(fg_store_n(store), 2);
}

static void test_store_drops_what_has_expired(void **arg)
{
	(void)arg;
	block("192.0.2.1", 60, NOW);
	block("192.0.2.2", 120, NOW);
	assert_int_equal(fg_store_expire(store, NOW + 59 * S), 0);
	assert_int_equal(fg_store_expire(store, NOW + 60 * S), 1);
	assert_null(on("192.0.2.1"));
	assert_non_null(on("192.0.2.2"));
	reopen(NOW + 120 * S);
	assert_int_equal(fg_store_n(store), 0);
}

static void test_store_clamps_ends_when_the_clock_went_back(void **arg)
{
	const uint64_t day = FG_MAX_TTL_S * S;

	(void)arg;
	block("192.0.2.1", FG_MAX_TTL_S, NOW);
	reopen(NOW - 10 * day);
	assert_true(on("192.0.2.1")->until_ns == NOW - 9 * day);
	fg_store_expire(store, NOW - 15 * day);
	assert_true(on("192.0.2.1")->until_ns == NOW - 14 * day);
	fg_store_close(&store);
	assert_int_equal(disk_number("SELECT until_ns FROM verdict"), NOW - 14 * day);
	/* without a time nothing is judged */
	open_at(0);
	assert_int_equal(fg_store_n(store), 1);
}

static void test_store_refuses_a_ttl_out_of_range(void **arg)
{
	struct prefix p = prefix("192.0.2.0/24");
	int64_t id;

	(void)arg;
	assert_int_equal(block("192.0.2.1", 0, NOW), -EINVAL);
	assert_int_equal(block("192.0.2.1", FG_MAX_TTL_S + 1, NOW), -EINVAL);
	assert_int_equal(block("192.0.2.1", FG_MAX_TTL_S, NOW), 0);
	p.addr[15] = 1;
	assert_int_equal(fg_store_block(store, p.addr, p.bits, 0, "", 60, "", NOW, &id), -EINVAL);
}

static void test_store_finds_every_length_newest_first(void **arg)
{
	const struct fg_verdict *found[8];

	(void)arg;
	block("192.0.2.1", 60, NOW);
	block("192.0.0.0/16", 60, NOW);
	block("2001:db8::/32", 60, NOW);
	block("2001::/16", 60, NOW);
	note("192.0.2.1", true, NOW);
	assert_int_equal(fg_store_find(store, prefix("192.0.2.1").addr, found, 8), 3);
	assert_int_equal(found[0]->origin, FG_ORIGIN_DETECTOR);
	assert_int_equal(found[1]->bits, 112);
	assert_int_equal(found[2]->bits, 128);
	assert_int_equal(fg_store_find(store, prefix("192.0.2.1").addr, found, 2), 2);
	assert_int_equal(found[1]->bits, 112);
	assert_int_equal(fg_store_find(store, prefix("2001:db8::1").addr, found, 8), 2);
	assert_int_equal(fg_store_find(store, prefix("198.51.100.1").addr, found, 8), 0);
}

struct past {
	size_t n;
	char text[512];
};

static int write_past(void *arg, uint64_t time_ns, int64_t id, const char *what, const char *who,
		      const char *reason)
{
	struct past *p = arg;
	size_t n = strlen(p->text);

	assert_true(id > 0);
	snprintf(p->text + n, sizeof(p->text) - n, "+%llu %s %s %s\n",
		 (unsigned long long)((time_ns - NOW) / S), what, who, reason);
	return ++p->n == 99;
}

static void test_store_remembers_who_decided_what(void **arg)
{
	struct past p = { 0 };

	(void)arg;
	block("192.0.0.0/16", 60, NOW);
	note("192.0.2.1", false, NOW + S);
	block("192.0.0.0/24", 60, NOW + S);
	note("192.0.2.1", true, NOW + 2 * S);
	note("192.0.2.1", true, NOW + 62 * S);
	unblock("192.0.2.1", NOW + 63 * S);
	fg_store_expire(store, NOW + 64 * S);
	reopen(NOW + 64 * S);
	assert_int_equal(fg_store_history(store, prefix("192.0.2.1").addr, write_past, &p), 0);
	assert_string_equal(p.text, "+0 blocked operator by hand\n"
				    "+1 flagged detector mode is observe\n"
				    "+62 raised detector 80 connections, 1.5 expected\n"
				    "+63 unblocked operator mistake\n"
				    "+64 expired clock \n");
	p = (struct past){ .n = 98 };
	assert_int_equal(fg_store_history(store, prefix("192.0.2.1").addr, write_past, &p), 1);
}

static void test_store_never_gives_an_id_twice(void **arg)
{
	int64_t first;

	(void)arg;
	block("192.0.2.1", 60, NOW);
	first = on("192.0.2.1")->id;
	unblock("192.0.2.1", NOW);
	reopen(NOW);
	block("192.0.2.1", 60, NOW);
	assert_true(on("192.0.2.1")->id > first);
}

static int refused(char why[256])
{
	struct fg_store *other = NULL;
	int r = fg_store_open(state, NOW, &other, why, 256);

	assert_null(other);
	return r;
}

static void test_store_refuses_a_newer_file(void **arg)
{
	char why[256] = "";

	(void)arg;
	fg_store_close(&store);
	disk_run("PRAGMA user_version = 99");
	assert_int_equal(refused(why), -ENOTSUP);
	assert_non_null(strstr(why, "newer farmgate"));
	assert_non_null(strstr(why, path));
}

/* The damaged file lies aside, and the store is empty and works. */
static void assert_moved(void)
{
	char why[256];

	assert_int_equal(fg_store_open(state, NOW, &store, why, sizeof(why)), 0);
	assert_non_null(strstr(fg_store_moved(store), "farmgate.db.damaged"));
	assert_int_equal(access(fg_store_moved(store), F_OK), 0);
	assert_int_equal(fg_store_n(store), 0);
	block("192.0.2.1", 60, NOW);
	fg_store_close(&store);
}

static void test_store_moves_a_damaged_file_aside(void **arg)
{
	char damaged[300];
	FILE *f;

	(void)arg;
	block("192.0.2.1", 60, NOW);
	fg_store_close(&store);
	disk_run("UPDATE verdict SET bits = 200");
	assert_moved();
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 4096; i++)
		fputc('x', f);
	fclose(f);
	assert_moved();
	open_at(NOW);
	assert_string_equal(fg_store_moved(store), "");
	assert_int_equal(fg_store_n(store), 1);
	snprintf(damaged, sizeof(damaged), "%s.damaged", path);
	assert_int_equal(unlink(damaged), 0);
}

static void remove_damaged(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char file[400];

	for (size_t i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "%s.damaged%s", path, suffixes[i]);
		unlink(file);
	}
}

/* Two hundred verdicts, an allowlist entry and a blob. */
static void fill(void)
{
	const uint8_t seed[4] = { 1, 2, 3, 4 };
	char source[32];

	for (int i = 0; i < 200; i++) {
		snprintf(source, sizeof(source), "198.51.100.%d", i);
		assert_int_equal(note(source, true, NOW), 1);
	}
	assert_int_equal(allow("10.0.0.0/8", 0), 0);
	assert_int_equal(fg_store_put_blob(store, "hash_seed", seed, sizeof(seed)), 0);
}

/* A row that is no verdict costs that row. */
static void test_store_keeps_what_can_be_read_of_a_damaged_table(void **arg)
{
	char instance[FG_INSTANCE_TEXT];
	uint8_t got[8];
	int64_t last;

	(void)arg;
	fill();
	strcpy(instance, fg_store_instance(store));
	last = on("198.51.100.199")->id;
	fg_store_close(&store);
	disk_run("UPDATE verdict SET bits = 200 WHERE id % 10 = 0");
	open_at(NOW);
	assert_non_null(strstr(fg_store_moved(store), "farmgate.db.damaged"));
	assert_false(fg_store_aside(store).foreign);
	assert_int_equal(fg_store_aside(store).verdicts, 180);
	assert_int_equal(fg_store_n(store), 180);
	assert_int_equal(fg_store_aside(store).allows, 1);
	assert_int_equal(fg_store_n_allow(store), 1);
	assert_int_equal(fg_store_get_blob(store, "hash_seed", got, sizeof(got)), 4);
	assert_string_equal(fg_store_instance(store), instance);
	/* and on disk; no id is given again */
	reopen(NOW);
	assert_string_equal(fg_store_moved(store), "");
	assert_int_equal(fg_store_n(store), 180);
	assert_int_equal(on("198.51.100.1")->evidence[0].n_benign, 1);
	assert_int_equal(note("192.0.2.9", true, NOW), 1);
	assert_true(on("192.0.2.9")->id > last);
	remove_damaged();
}

/* A page that no query of the start reads is found all the same, and the rest is kept. */
static void test_store_finds_a_damaged_page(void **arg)
{
	FILE *f;
	long size, hit = 0;

	(void)arg;
	fill();
	fg_store_close(&store);
	disk_run("VACUUM");
	/* within the history, whose rows the start does not read */
	f = fopen(path, "r+");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	for (long at = size - 4096; at > 0 && !hit; at -= 4096) {
		char page[4096];

		fseek(f, at, SEEK_SET);
		assert_int_equal(fread(page, 1, sizeof(page), f), sizeof(page));
		if (page[0] == 13 && memmem(page, sizeof(page), "flagged", 7))
			hit = at;
	}
	assert_true(hit > 0);
	fseek(f, hit, SEEK_SET);
	for (int i = 0; i < 64; i++)
		fputc(0xa5, f);
	fclose(f);
	open_at(NOW);
	assert_non_null(strstr(fg_store_moved(store), "farmgate.db.damaged"));
	assert_int_equal(fg_store_n(store), 200);
	assert_int_equal(fg_store_n_allow(store), 1);
	assert_int_equal(note("192.0.2.9", true, NOW), 1);
	remove_damaged();
}

/* Another instance's file in this folder goes aside, whole, and nothing of it is taken over. */
static void test_store_refuses_another_instances_file(void **arg)
{
	char other[FG_INSTANCE_TEXT], mine[FG_INSTANCE_TEXT], file[160], aside[400];
	FILE *f;

	(void)arg;
	fill();
	strcpy(other, fg_store_instance(store));
	assert_int_equal(strlen(other), FG_INSTANCE_TEXT - 1);
	snprintf(file, sizeof(file), "%s/instance", state);
	fg_store_close(&store);
	/* as it would lie beside where another one began here */
	memset(mine, 'a', sizeof(mine) - 1);
	mine[sizeof(mine) - 1] = '\0';
	f = fopen(file, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", mine);
	fclose(f);
	open_at(NOW);
	assert_true(fg_store_aside(store).foreign);
	assert_non_null(strstr(fg_store_moved(store), "farmgate.db.foreign-"));
	assert_non_null(strstr(fg_store_moved(store), (other[8] = '\0', other)));
	assert_int_equal(fg_store_n(store), 0);
	assert_int_equal(fg_store_n_allow(store), 0);
	assert_string_equal(fg_store_instance(store), mine);
	strcpy(aside, fg_store_moved(store));
	/* the next start is an ordinary one */
	reopen(NOW);
	assert_string_equal(fg_store_moved(store), "");
	assert_string_equal(fg_store_instance(store), mine);
	fg_store_close(&store);
	/* to take it over after all: put it back, without the folder's own id */
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(unlink(file), 0);
	open_at(NOW);
	assert_int_equal(fg_store_n(store), 200);
	assert_int_equal(strncmp(fg_store_instance(store), other, 8), 0);
	assert_int_equal(access(file, F_OK), 0);
}

/* Files of versions that had no id, and an id that is none. */
static void test_store_takes_up_what_has_no_instance(void **arg)
{
	char instance[FG_INSTANCE_TEXT], file[160];

	(void)arg;
	fill();
	strcpy(instance, fg_store_instance(store));
	fg_store_close(&store);
	disk_run("DELETE FROM state WHERE name = 'instance'");
	open_at(NOW);
	assert_int_equal(fg_store_n(store), 200);
	assert_string_equal(fg_store_instance(store), instance);
	fg_store_close(&store);
	snprintf(file, sizeof(file), "%s/instance", state);
	assert_int_equal(truncate(file, 7), 0);
	open_at(NOW);
	assert_int_equal(fg_store_n(store), 200);
	assert_string_equal(fg_store_instance(store), instance);
}

/* The tables of version 4, as they were, with what stands in them. */
static void back_to_version_4(void)
{
	disk_run(
		"CREATE TABLE v (id INTEGER PRIMARY KEY, addr BLOB NOT NULL, bits INTEGER NOT NULL,"
		" stem INTEGER NOT NULL, stack INTEGER NOT NULL, origin INTEGER NOT NULL,"
		" tier INTEGER NOT NULL, proven INTEGER NOT NULL, shared INTEGER NOT NULL,"
		" score REAL, first_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL,"
		" until_ns INTEGER NOT NULL, ja4 TEXT NOT NULL, stem_text TEXT NOT NULL,"
		" stack_text TEXT NOT NULL, reason TEXT NOT NULL, ended INTEGER NOT NULL,"
		" cohort INTEGER NOT NULL DEFAULT 0, window_s INTEGER NOT NULL DEFAULT 0,"
		" n_obs REAL, alpha REAL, est_fdr REAL, version TEXT NOT NULL DEFAULT '',"
		" UNIQUE (addr, bits, stem, origin));"
		"INSERT INTO v SELECT id, addr, bits, stem, stack, origin, tier, proven, shared,"
		" score, first_ns, updated_ns, until_ns, ja4, stem_text, stack_text, reason,"
		" state = 1, cohort, window_s, n_obs, alpha, est_fdr, version FROM verdict;"
		"DROP TABLE verdict; ALTER TABLE v RENAME TO verdict;"
		"ALTER TABLE allow DROP COLUMN made_ns; ALTER TABLE allow DROP COLUMN decision;"
		"DROP TABLE decision; DROP TABLE effect; DROP INDEX history_time;"
		"PRAGMA user_version = 4");
}

/* Tables of version 2, as they were. */
static void test_store_takes_up_an_older_file(void **arg)
{
	(void)arg;
	fill();
	fg_store_close(&store);
	back_to_version_4();
	disk_run("ALTER TABLE verdict DROP COLUMN window_s; ALTER TABLE verdict DROP COLUMN n_obs;"
		 "ALTER TABLE verdict DROP COLUMN alpha; ALTER TABLE verdict DROP COLUMN est_fdr;"
		 "ALTER TABLE verdict DROP COLUMN version; ALTER TABLE evidence DROP COLUMN capped;"
		 "ALTER TABLE evidence DROP COLUMN baseline_n;"
		 "ALTER TABLE evidence DROP COLUMN benign; DROP TABLE summary;"
		 "PRAGMA user_version = 2");
	open_at(NOW);
	assert_string_equal(fg_store_moved(store), "");
	assert_int_equal(fg_store_n(store), 200);
	assert_int_equal(on("198.51.100.7")->n_evidence, 1);
	assert_int_equal(on("198.51.100.7")->evidence[0].n_benign, 0);
	assert_int_equal(note("198.51.100.7", true, NOW), 0);
	fg_store_close(&store);
	assert_int_equal(disk_number("PRAGMA user_version"), 5);
	open_at(NOW);
}

static void test_store_takes_up_a_file_of_version_4(void **arg)
{
	const uint64_t week = 7 * 86400 * S;

	(void)arg;
	note_twice("192.0.2.1", true, NOW);
	note("192.0.2.2", false, NOW);
	note("192.0.2.3", false, NOW);
	block("192.0.2.4", 3600, NOW);
	allow("198.51.100.0/24", 3600);
	unblock("192.0.2.3", NOW);
	fg_store_close(&store);
	back_to_version_4();
	open_at(NOW + S);
	assert_string_equal(fg_store_moved(store), "");
	assert_int_equal(fg_store_n(store), 3);
	assert_true(on("192.0.2.1")->tier == FG_TIER_ENFORCE && on("192.0.2.1")->enforced);
	assert_int_equal(on("192.0.2.1")->earned, FG_TIER_ENFORCE);
	assert_int_equal(on("192.0.2.2")->earned, FG_TIER_ALERT);
	assert_int_equal(on("192.0.2.4")->tier, FG_TIER_ENFORCE);
	assert_int_equal(fg_store_n_allow(store), 1);
	assert_int_equal(fg_store_allow_at(store, 0)->until_ns, NOW + 3600 * S);
	/* what was ended stays so for a week, with the evidence that it had */
	assert_int_equal(note("192.0.2.3", true, NOW + week - S), 0);
	assert_int_equal(note("192.0.2.1", true, NOW + 2 * S), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ENFORCE);
	assert_int_equal(unblock("192.0.2.4", NOW + 2 * S), 1);
	fg_store_close(&store);
	assert_int_equal(disk_number("PRAGMA user_version"), 5);
	assert_int_equal(disk_number("SELECT count(*) FROM decision"), 1);
	open_at(NOW + 3 * S);
}

static void test_store_has_one_writer(void **arg)
{
	char why[256] = "";

	(void)arg;
	assert_int_equal(refused(why), -EBUSY);
	assert_non_null(strstr(why, "another farmgate"));
}

static void test_store_names_a_folder_it_cannot_make(void **arg)
{
	char why[256] = "";
	struct fg_store *other = NULL;

	(void)arg;
	assert_int_equal(fg_store_open("/proc/none/state", NOW, &other, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/proc/none/state"));
}

static void test_store_works_without_a_folder(void **arg)
{
	struct fg_store *kept = store;
	char why[256];

	(void)arg;
	assert_int_equal(fg_store_open(NULL, 0, &store, why, sizeof(why)), 0);
	assert_int_equal(note("192.0.2.1", true, NOW), 1);
	assert_int_equal(fg_store_expire(store, NOW), 0);
	assert_int_equal(fg_store_n(store), 1);
	assert_int_equal(fg_store_expire(store, NOW + 3600 * S), 1);
	fg_store_close(&store);
	store = kept;
	assert_int_equal(fg_store_n(store), 0);
}

static void test_store_counts_findings_above_the_cap(void **arg)
{
	struct fg_store *kept = store;
	struct fg_finding f = finding("10.0.0.0");
	char why[256];

	(void)arg;
	assert_int_equal(fg_store_open(NULL, NOW, &store, why, sizeof(why)), 0);
	assert_int_equal(fg_store_begin(store), 0);
	for (uint32_t i = 0; i < FG_MAX_VERDICTS; i++) {
		memcpy(f.source + 13,
		       (uint8_t[]){ (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, 3);
		assert_int_equal(note_of(&f, false, NOW), 1);
	}
	assert_int_equal(note("192.0.2.1", false, NOW), 0);
	assert_int_equal(fg_store_commit(store), 0);
	assert_int_equal(fg_store_n(store), FG_MAX_VERDICTS);
	assert_int_equal(fg_store_refused(store), 1);
	/* a flood of flags does not take the operator's right to block */
	assert_int_equal(block("192.0.2.1", 60, NOW), 0);
	fg_store_close(&store);
	store = kept;
}

/* --- Summaries -------------------------------------------------------------------------------- */

static int put_summary(uint64_t key, uint32_t last_s, const char *text)
{
	return fg_store_put_summary(store, key, last_s, text, strlen(text));
}

static void assert_summary(uint64_t key, const char *text)
{
	char bytes[32];
	int n = fg_store_find_summary(store, key, bytes, sizeof(bytes));

	assert_int_equal(n, text ? (int)strlen(text) : 0);
	if (text)
		assert_memory_equal(bytes, text, (size_t)n);
}

static void test_store_keeps_summaries_over_a_restart(void **arg)
{
	char byte;

	(void)arg;
	assert_int_equal(fg_store_begin_summaries(store), 0);
	assert_int_equal(put_summary(5, 100, "five"), 0);
	assert_int_equal(put_summary(7ULL << 60, 200, "large"), 0);
	assert_int_equal(put_summary(5, 150, "five again"), 0);
	assert_int_equal(fg_store_commit_summaries(store), 0);
	assert_int_equal(fg_store_n_summaries(store), 2);
	reopen(NOW);
	assert_int_equal(fg_store_n_summaries(store), 2);
	assert_summary(5, "five again");
	assert_summary(7ULL << 60, "large");
	assert_summary(6, NULL);
	assert_int_equal(fg_store_find_summary(store, 5, &byte, 1), -EOVERFLOW);
	assert_int_equal(fg_store_drop_summary(store, 5), 0);
	assert_int_equal(fg_store_drop_summary(store, 5), 0);
	assert_int_equal(fg_store_n_summaries(store), 1);
	assert_summary(5, NULL);
}

static void test_store_takes_back_summaries(void **arg)
{
	(void)arg;
	put_summary(1, 100, "one");
	assert_int_equal(fg_store_begin_summaries(store), 0);
	put_summary(1, 100, "two");
	put_summary(2, 100, "two");
	fg_store_rollback_summaries(store);
	assert_summary(1, "one");
	assert_summary(2, NULL);
	assert_int_equal(fg_store_n_summaries(store), 1);
	/* never inside a transaction of decisions, which has to be on disk when it ends */
	assert_int_equal(fg_store_begin(store), 0);
	assert_int_equal(fg_store_begin_summaries(store), -EBUSY);
	assert_int_equal(fg_store_commit(store), 0);
	assert_int_equal(fg_store_begin_summaries(store), 0);
	assert_int_equal(fg_store_commit_summaries(store), 0);
	assert_int_equal(block("192.0.2.1", 60, NOW), 0);
}

static int count_keys(void *arg, uint64_t key, const void *bytes, size_t n)
{
	uint64_t *last = arg;

	(void)bytes;
	assert_true(n > 0);
	assert_true(key > last[0]);
	last[0] = key;
	last[1]++;
	return 0;
}

static void test_store_lists_the_newest_summaries(void **arg)
{
	uint64_t seen[2] = { 0 }, n;
	uint32_t from_s;

	(void)arg;
	/* ten an hour for ten hours, and one of another range */
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(
			put_summary(1000 + i * 7919 % 1000, 36000 + i / 10 * 3600 + i, "x"), 0);
	put_summary(5000, 90000, "x");
	assert_int_equal(fg_store_newest_summaries(store, 1000, 1999, 25, &from_s, &n), 0);
	assert_int_equal(from_s, 36000 + 7 * 3600);
	assert_int_equal(n, 30);
	assert_int_equal(fg_store_each_summary(store, 1000, 1999, from_s, count_keys, seen), 0);
	assert_int_equal(seen[1], 30);
	assert_int_equal(fg_store_newest_summaries(store, 1000, 1999, 101, &from_s, &n), 0);
	assert_int_equal(from_s, 0);
	assert_int_equal(n, 100);
	assert_int_equal(fg_store_forget_summaries(store, 1000, 1499, 36000 + 5 * 3600), 0);
	assert_int_equal(fg_store_forget_summaries(store, 1500, 1999, 36000 + 5 * 3600), 0);
	assert_int_equal(fg_store_n_summaries(store), 51);
}

/* Of a full table old ones go, and it never holds more. */
static void test_store_bounds_summaries(void **arg)
{
	unsigned int young = 0;

	(void)arg;
	fg_store_limit_summaries(store, 500);
	assert_int_equal(fg_store_begin_summaries(store), 0);
	for (uint64_t i = 0; i < 2000; i++) {
		assert_int_equal(
			put_summary(i * 0x9e3779b97f4a7c15ULL >> 1, (uint32_t)(1000 + i), "x"), 0);
		assert_true(fg_store_n_summaries(store) <= 500);
	}
	assert_int_equal(fg_store_commit_summaries(store), 0);
	reopen(NOW);
	assert_int_equal(fg_store_n_summaries(store), 500);
	for (uint64_t i = 1600; i < 2000; i++) {
		char byte;

		young += fg_store_find_summary(store, i * 0x9e3779b97f4a7c15ULL >> 1, &byte, 1) ==
			 1;
	}
	print_message("of the latest 400, %u of 500 are kept\n", young);
	assert_true(young >= 390);
}

static void test_store_adds_what_an_older_file_lacks(void **arg)
{
	(void)arg;
	block("192.0.2.1", 60, NOW);
	fg_store_close(&store);
	back_to_version_4();
	disk_run("DROP TABLE summary; PRAGMA user_version = 3");
	open_at(NOW);
	assert_int_equal(fg_store_n(store), 1);
	assert_int_equal(put_summary(1, 100, "one"), 0);
	reopen(NOW);
	assert_summary(1, "one");
}

#define T(name) cmocka_unit_test_setup_teardown(test_store_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(makes_a_private_folder),
		T(keeps_verdicts_over_a_restart),
		T(refuses_evidence_without_a_benign_explanation),
		T(keeps_allows_and_blobs_over_a_restart),
		T(says_why_a_tier_stops_at_alert),
		T(writes_a_renewal_only_when_it_matters),
		T(does_not_renew_what_an_operator_ended),
		T(lowers_what_stands_when_the_mode_is_observe),
		T(lets_allow_win),
		T(ends_an_allow_with_its_ttl),
		T(does_not_persist_the_configuration),
		T(takes_back_a_failed_batch),
		T(leaves_memory_alone_where_the_disk_refuses),
		T(drops_what_has_expired),
		T(clamps_ends_when_the_clock_went_back),
		T(refuses_a_ttl_out_of_range),
		T(finds_every_length_newest_first),
		T(remembers_who_decided_what),
		T(never_gives_an_id_twice),
		T(refuses_a_newer_file),
		T(moves_a_damaged_file_aside),
		T(keeps_what_can_be_read_of_a_damaged_table),
		T(finds_a_damaged_page),
		T(refuses_another_instances_file),
		T(takes_up_what_has_no_instance),
		T(takes_up_an_older_file),
		T(takes_up_a_file_of_version_4),
		T(has_one_writer),
		T(names_a_folder_it_cannot_make),
		T(works_without_a_folder),
		T(counts_findings_above_the_cap),
		T(keeps_summaries_over_a_restart),
		T(takes_back_summaries),
		T(lists_the_newest_summaries),
		T(bounds_summaries),
		T(adds_what_an_older_file_lacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
