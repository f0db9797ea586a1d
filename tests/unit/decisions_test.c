/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verdict/decisions.h: who decided what, in one transaction, and every step taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/ip.h"
#include "lib/splitmix.h"
#include "verdict/decisions.h"
#include "verdict/life.h"
#include "with_store.h"

static int64_t last_id;

static int begin(const char *what, const char *text, uint8_t addr[16], uint8_t *bits,
		 uint64_t now_ns)
{
	assert_int_equal(fg_ip_parse(text, addr, bits), 0);
	assert_int_equal(fg_decision_begin(store, what, "alice", text, "because", now_ns), 0);
	last_id = fg_decision_id(store);
	return 0;
}

static int block(const char *text, uint32_t ttl_s, uint64_t now_ns)
{
	struct fg_subject b = { 0 };
	int r = begin("block", text, b.addr, &b.bits, now_ns);

	r = fg_decision_block(store, &b, ttl_s);
	return fg_decision_end(store, r);
}

static int unblock(const char *text, uint64_t now_ns)
{
	uint8_t addr[16], bits;
	int r = begin("unblock", text, addr, &bits, now_ns);

	r = fg_decision_unblock(store, addr, bits, 0);
	return fg_decision_end(store, r ? r : -ENOENT);
}

static int allow(const char *text, uint32_t ttl_s, uint64_t now_ns)
{
	uint8_t addr[16], bits;
	int r = begin("allow", text, addr, &bits, now_ns);

	r = fg_decision_allow(store, addr, bits, ttl_s);
	return fg_decision_end(store, r);
}

static int disallow(const char *text, uint64_t now_ns)
{
	uint8_t addr[16], bits;
	int r = begin("disallow", text, addr, &bits, now_ns);

	r = fg_decision_disallow(store, addr, bits);
	return fg_decision_end(store, r ? r : -ENOENT);
}

static struct fg_undone undone;

static int undo(int64_t id, uint64_t now_ns)
{
	int r = fg_decision_undo(store, id, "bob", "oops", now_ns, &undone);

	if (!r)
		last_id = undone.id;
	return r;
}

static int note_as(const char *text, uint32_t cohort, uint64_t stem, double score, bool enforce,
		   uint64_t now_ns)
{
	static const struct fg_names names = { "t13d", "~t13d", "64,65535" };
	struct fg_finding f = { .score = score,
				.proven = true,
				.cohort = cohort,
				.stem = stem,
				.stack = 6,
				.n_evidence = 1,
				.evidence[0] = { .name = "n", .text = "Much." } };
	uint8_t bits;

	assert_int_equal(fg_ip_parse(text, f.source, &bits), 0);
	fg_evidence_benign(&f.evidence[0], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	return fg_store_note(store, &f, &names, enforce, 3600, now_ns);
}

/* A member of c3, in tier enforce. */
static int note(const char *text, uint64_t now_ns)
{
	return note_as(text, 3, 5, 20, true, now_ns);
}

static const struct fg_verdict *on(const char *text)
{
	const struct fg_verdict *v = NULL;
	uint8_t addr[16], bits;

	assert_int_equal(fg_ip_parse(text, addr, &bits), 0);
	return fg_store_find(store, addr, &v, 1) ? v : NULL;
}

/* --- Undo ------------------------------------------------------------------------------------- */

static void test_decisions_undo_a_block(void **state)
{
	int64_t id, first;

	(void)state;
	assert_int_equal(block("192.0.2.1", 3600, NOW), 1);
	id = last_id;
	assert_int_equal(on("192.0.2.1")->decision, id);
	assert_int_equal(undo(id, NOW + S), 0);
	assert_int_equal(undone.done, 1);
	assert_string_equal(undone.decision.who, "operator:alice");
	assert_null(on("192.0.2.1"));
	assert_int_equal(fg_store_n(store), 0);
	assert_int_equal(undo(id, NOW + S), -EALREADY);
	assert_int_equal(undone.decision.undone_by, last_id);
	/* an undo is undone, and its decision may be taken back once more; over restarts */
	reopen(NOW + 2 * S);
	assert_int_equal(undo(last_id, NOW + 2 * S), 0);
	assert_int_equal(on("192.0.2.1")->until_ns, NOW + HOUR);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ENFORCE);
	assert_string_equal(on("192.0.2.1")->reason, "because");
	assert_int_equal(undo(id, NOW + 3 * S), 0);
	assert_null(on("192.0.2.1"));
	/* a second block over the first: the first stands again */
	assert_int_equal(block("192.0.2.1", 60, NOW + 4 * S), 1);
	first = last_id;
	assert_int_equal(block("192.0.2.1", 7200, NOW + 5 * S), 1);
	assert_int_equal(undo(last_id, NOW + 6 * S), 0);
	assert_int_equal(on("192.0.2.1")->until_ns, NOW + 64 * S);
	assert_int_equal(undo(first, NOW + 7 * S), 0);
	assert_null(on("192.0.2.1"));
}

/* With a stem what else stands on the source goes on. */
static void test_decisions_unblock_one_stem(void **state)
{
	struct fg_subject b = { .stem_text = "~a" };
	const struct fg_verdict *left[4];

	(void)state;
	begin("block", "192.0.2.1", b.addr, &b.bits, NOW);
	for (b.stem = 5; b.stem <= 6; b.stem++)
		assert_int_equal(fg_decision_block(store, &b, 3600), 1);
	b.stem = 0;
	assert_int_equal(fg_decision_block(store, &b, 3600), 1);
	assert_int_equal(fg_decision_end(store, 0), 0);

	begin("unblock", "192.0.2.1", b.addr, &b.bits, NOW + S);
	assert_int_equal(fg_decision_unblock(store, b.addr, b.bits, 7), 0);
	assert_int_equal(fg_decision_unblock(store, b.addr, b.bits, 5), 1);
	assert_int_equal(fg_decision_end(store, 0), 0);
	assert_int_equal(fg_store_find(store, b.addr, left, 4), 2);
	assert_int_not_equal(left[0]->stem, 5);
	assert_int_not_equal(left[1]->stem, 5);
	begin("unblock", "192.0.2.1", b.addr, &b.bits, NOW + 2 * S);
	assert_int_equal(fg_decision_unblock(store, b.addr, b.bits, 0), 2);
	assert_int_equal(fg_decision_end(store, 0), 0);
}

static void test_decisions_undo_an_unblock(void **state)
{
	(void)state;
	assert_int_equal(note("192.0.2.1", NOW), 1);
	assert_int_equal(block("192.0.2.1", 60, NOW), 1);
	assert_int_equal(unblock("192.0.2.1", NOW + S), 2);
	assert_int_equal(fg_store_n(store), 0);
	reopen(NOW + 2 * S);
	assert_int_equal(undo(last_id, NOW + 2 * S), 0);
	assert_int_equal(undone.done, 2);
	assert_int_equal(fg_store_n(store), 2);
	for (size_t i = 0; i < 2; i++) {
		const struct fg_verdict *v = fg_store_at(store, i);

		assert_int_equal(v->tier, FG_TIER_ENFORCE);
		assert_int_equal(v->until_ns,
				 v->origin == FG_ORIGIN_OPERATOR ? NOW + 60 * S : NOW + 2 * HOUR);
	}
	/* a detector goes on where it was */
	assert_int_equal(note("192.0.2.1", NOW + 3 * S), 0);
	assert_int_equal(fg_store_n(store), 2);
	/* the part that expired is left alone */
	assert_int_equal(unblock("192.0.2.1", NOW + 4 * S), 2);
	assert_int_equal(undo(last_id, NOW + 61 * S), 0);
	assert_int_equal(undone.done, 1);
	assert_int_equal(undone.expired, 1);
	/* the part that was flagged anew, too, and then nothing is left */
	assert_int_equal(unblock("192.0.2.1", NOW + 62 * S), 1);
	assert_int_equal(note_as("192.0.2.1", 3, 5, 30, true, NOW + 63 * S), 1);
	assert_int_equal(undo(last_id, NOW + 64 * S), -ESTALE);
	assert_int_equal(undone.overtaken, 1);
	assert_true(on("192.0.2.1")->score == 30);
}

static void test_decisions_undo_an_allow(void **state)
{
	int64_t id;

	(void)state;
	assert_int_equal(note("192.0.2.1", NOW), 1);
	assert_int_equal(note_as("192.0.2.2", 3, 5, 20, false, NOW), 1);
	assert_int_equal(block("192.0.2.3", 3600, NOW), 1);
	assert_int_equal(allow("192.0.2.0/24", 0, NOW + S), 0);
	id = last_id;
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_int_equal(on("192.0.2.3")->tier, FG_TIER_ALERT);
	assert_int_equal(note("192.0.2.1", NOW + 2 * S), 0);
	reopen(NOW + 3 * S);
	assert_int_equal(undo(id, NOW + 3 * S), 0);
	assert_int_equal(fg_store_n_allow(store), 0);
	/* what it lowered rises at once, and only that */
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ENFORCE);
	assert_int_equal(on("192.0.2.2")->tier, FG_TIER_ALERT);
	assert_int_equal(on("192.0.2.3")->tier, FG_TIER_ENFORCE);
	assert_string_equal(on("192.0.2.3")->reason, "because");
	/* undone, it is allowed again; of two the wider still holds */
	assert_int_equal(undo(last_id, NOW + 4 * S), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_int_equal(allow("192.0.0.0/16", 3600, NOW + 5 * S), 0);
	assert_int_equal(undo(id, NOW + 6 * S), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	/* another ttl over the same prefix: the old one is back */
	assert_int_equal(allow("192.0.0.0/16", 0, NOW + 7 * S), 0);
	assert_int_equal(fg_store_allow_at(store, 0)->until_ns, 0);
	assert_int_equal(undo(last_id, NOW + 8 * S), 0);
	assert_int_equal(fg_store_allow_at(store, 0)->until_ns, NOW + 5 * S + HOUR);
	assert_int_equal(note("192.0.2.1", NOW + HOUR), 0);
	/* it expires: operators' blocks are enforced again, detectors' verdicts judged again */
	assert_int_equal(block("198.51.100.1", 7200, NOW + HOUR), 1);
	assert_int_equal(allow("198.51.100.1", 60, NOW + HOUR), 0);
	fg_store_expire(store, NOW + HOUR + 60 * S);
	assert_int_equal(on("198.51.100.1")->tier, FG_TIER_ENFORCE);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_int_equal(undo(last_id, NOW + HOUR + 61 * S), -ESTALE);
}

static void test_decisions_undo_a_disallow(void **state)
{
	int64_t id;

	(void)state;
	assert_int_equal(block("192.0.2.1", 3600, NOW), 1);
	assert_int_equal(allow("192.0.2.0/24", 600, NOW), 0);
	assert_int_equal(note("192.0.2.2", NOW), 1);
	assert_int_equal(disallow("192.0.2.0/24", NOW + S), 1);
	id = last_id;
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ENFORCE);
	reopen(NOW + 2 * S);
	assert_int_equal(undo(id, NOW + 2 * S), 0);
	assert_int_equal(on("192.0.2.1")->tier, FG_TIER_ALERT);
	assert_int_equal(fg_store_allow_at(store, 0)->until_ns, NOW + 600 * S);
	assert_string_equal(fg_store_allow_at(store, 0)->reason, "because");
	/* allowed again by another decision in between */
	assert_int_equal(disallow("192.0.2.0/24", NOW + 3 * S), 1);
	id = last_id;
	assert_int_equal(allow("192.0.2.0/24", 0, NOW + 4 * S), 0);
	assert_int_equal(undo(id, NOW + 5 * S), -ESTALE);
	assert_int_equal(undone.overtaken, 1);
	assert_int_equal(fg_store_allow_at(store, 0)->until_ns, 0);
	/* its rest of time is over */
	assert_int_equal(allow("198.51.100.0/24", 10, NOW), 0);
	assert_int_equal(disallow("198.51.100.0/24", NOW + S), 1);
	assert_int_equal(undo(last_id, NOW + 10 * S), -ESTALE);
	assert_int_equal(undone.expired, 1);
}

/* A cohort's block is one decision, whatever became of some of its members. */
static void test_decisions_undo_a_cohort(void **state)
{
	int64_t id;
	int blocked = 0;

	(void)state;
	assert_int_equal(fg_store_begin(store), 0);
	for (uint32_t i = 0; i < 200; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.0.%u", i);
		assert_int_equal(note(text, NOW), 1);
	}
	assert_int_equal(fg_store_commit(store), 0);
	assert_int_equal(allow("10.0.0.7", 0, NOW), 0);
	assert_int_equal(fg_decision_begin(store, "block", NULL, "c3", "", NOW + S), 0);
	id = fg_decision_id(store);
	for (uint32_t i = 0; i < 200; i++) {
		struct fg_subject b = { .addr = { [10] = 0xff, 0xff, 10, 0, 0, (uint8_t)i },
					.bits = 128,
					.stem = 5,
					.stack = 6,
					.cohort = 3,
					.ja4 = "t13d",
					.stem_text = "~t13d" };
		int r = fg_decision_block(store, &b, 3600);

		assert_int_equal(r, i == 7 ? -EPERM : 1);
		assert_int_equal(fg_decision_block(store, &b, 3600), i == 7 ? -EPERM : 0);
		blocked += r == 1;
	}
	assert_int_equal(fg_decision_end(store, blocked), 199);
	assert_int_equal(fg_store_n(store), 399);
	reopen(NOW + 2 * S);
	assert_int_equal(unblock("10.0.0.9", NOW + 2 * S), 2);
	assert_int_equal(undo(id, NOW + 3 * S), 0);
	assert_int_equal(undone.done, 198);
	assert_int_equal(undone.overtaken, 1);
	assert_int_equal(fg_store_n(store), 199);
	/* all of its members at once, operators' blocks and detectors' */
	assert_int_equal(undo(last_id, NOW + 4 * S), 0);
	assert_int_equal(fg_store_n(store), 397);
	assert_int_equal(fg_decision_begin(store, "unblock", "alice", "c3", "", NOW + 5 * S), 0);
	id = fg_decision_id(store);
	assert_int_equal(fg_decision_end(store, fg_decision_unblock_cohort(store, 3)), 397);
	assert_int_equal(fg_store_n(store), 0);
	reopen(NOW + 6 * S);
	assert_int_equal(undo(id, NOW + 6 * S), 0);
	assert_int_equal(undone.done, 397);
	assert_int_equal(fg_store_n(store), 397);
	assert_int_equal(on("10.0.0.199")->tier, FG_TIER_ENFORCE);
	assert_string_equal(on("10.0.0.199")->stem_text, "~t13d");
}

static void test_decisions_refuse_what_cannot_be(void **state)
{
	struct fg_subject b = { .bits = 103 };
	uint64_t revision;

	(void)state;
	assert_int_equal(undo(1, NOW), -ENOENT);
	assert_int_equal(block("192.0.2.1", 60, NOW), 1);
	fg_store_expire(store, NOW + 60 * S);
	revision = fg_store_revision(store);
	assert_int_equal(undo(last_id, NOW + 60 * S), -ESTALE);
	assert_int_equal(undone.expired, 1);
	assert_int_equal(undo(last_id + 1, NOW + 60 * S), -ENOENT);
	assert_int_equal(unblock("192.0.2.1", NOW + 60 * S), -ENOENT);
	assert_int_equal(disallow("192.0.2.1", NOW + 60 * S), -ENOENT);
	assert_int_equal(block("0.0.0.0/7", 60, NOW), -ERANGE);
	assert_int_equal(block("0.0.0.0/0", 60, NOW), -ERANGE);
	assert_int_equal(block("::/0", 60, NOW), -ERANGE);
	assert_int_equal(block("2000::/15", 60, NOW), -ERANGE);
	assert_int_equal(block("192.0.2.1", 86401, NOW), -EINVAL);
	assert_int_equal(fg_decision_begin(store, "block", NULL, "x", "", NOW), 0);
	assert_int_equal(fg_decision_begin(store, "block", NULL, "x", "", NOW), -EBUSY);
	memset(b.addr, 1, sizeof(b.addr));
	assert_int_equal(fg_decision_end(store, fg_decision_block(store, &b, 60)), -EINVAL);
	/* none of these was a decision */
	assert_int_equal(fg_store_revision(store), revision);
	assert_int_equal(fg_store_n(store), 0);
	assert_int_equal(undo(last_id, NOW), -ENOENT);
	assert_int_equal(block("10.0.0.0/8", 60, NOW), 1);
	assert_int_equal(block("2000::/16", 60, NOW), 1);
}

/* Where the disk says no, neither memory nor the next start knows of it. */
static void test_decisions_are_on_disk_or_not_at_all(void **state)
{
	const struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit before;
	uint64_t revision;
	int64_t id;
	int r[3];

	(void)state;
	assert_int_equal(note("192.0.2.1", NOW), 1);
	assert_int_equal(block("192.0.2.1", 60, NOW), 1);
	id = last_id;
	revision = fg_store_revision(store);
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	r[0] = fg_store_unblock(store, on("192.0.2.1")->addr, 128, "", NOW);
	r[1] = fg_decision_undo(store, id, NULL, "", NOW, &undone);
	r[2] = fg_store_allow(store, on("192.0.2.1")->addr, 128, 0, "", NOW, NULL);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);
	assert_true(r[0] < 0 && r[1] < 0 && r[2] < 0);
	(void)revision;
	assert_int_equal(fg_store_n(store), 2);
	assert_int_equal(fg_store_n_allow(store), 0);
	assert_int_equal(undo(id, NOW + S), 0);
	reopen(NOW + S);
	assert_int_equal(fg_store_n(store), 1);
}

/* --- The audit -------------------------------------------------------------------------------- */

static char past_text[2048];

static int write_decision(void *arg, const struct fg_decision *d)
{
	size_t n = strlen(past_text);

	(void)arg;
	snprintf(past_text + n, sizeof(past_text) - n, "+%llu %s %s %s %s%s%s\n",
		 (unsigned long long)((d->time_ns - NOW) / S), d->what, d->subject, d->who,
		 d->reason, d->undoes ? " undoes" : "", d->undone_by ? " undone" : "");
	return 0;
}

static int write_past(void *arg, uint64_t time_ns, int64_t id, const char *what, const char *who,
		      const char *reason)
{
	size_t n = strlen(past_text);

	snprintf(past_text + n, sizeof(past_text) - n, "+%llu %s %s %s (%d)\n",
		 (unsigned long long)((time_ns - NOW) / S), what, who, reason,
		 (int)(id - *(int64_t *)arg));
	return 0;
}

static void test_decisions_are_audited(void **state)
{
	struct fg_decision d;
	int64_t id;

	(void)state;
	assert_int_equal(block("192.0.2.1", 60, NOW), 1);
	id = last_id;
	assert_int_equal(undo(id, NOW + S), 0);
	assert_int_equal(fg_decision_begin(store, "block", NULL, "192.0.2.1", NULL, NOW + 2 * S),
			 0);
	assert_int_equal(fg_decision_end(store, 0), 0);
	reopen(NOW + 3 * S);
	past_text[0] = '\0';
	assert_int_equal(fg_decisions_on(store, "192.0.2.1", write_decision, NULL), 0);
	assert_int_equal(fg_decisions_on(store, "block 192.0.2.1", write_decision, NULL), 0);
	assert_string_equal(past_text, "+0 block 192.0.2.1 operator:alice because undone\n"
				       "+2 block 192.0.2.1 operator \n"
				       "+1 undo block 192.0.2.1 operator:bob oops undoes\n");
	assert_int_equal(fg_decision_find(store, id, &d), 0);
	assert_int_equal(d.undone_by, last_id);
	assert_int_equal(fg_decision_find(store, last_id, &d), 0);
	assert_int_equal(d.undoes, id);
	past_text[0] = '\0';
	assert_int_equal(fg_store_history(store, (uint8_t[16]){ [10] = 0xff, 0xff, 192, 0, 2, 1 },
					  write_past, &id),
			 0);
	snprintf(past_text + strlen(past_text), 64, "%lld", (long long)id);
	assert_non_null(strstr(past_text, "+0 blocked operator:alice because (0)\n"
					  "+1 undone operator:bob decision "));
}

/* Ids of decisions are kept as long as history is, and given to no other. */
static void test_decisions_are_forgotten_with_history(void **state)
{
	struct fg_decision d;
	int64_t id;

	(void)state;
	assert_int_equal(allow("192.0.2.0/24", 0, NOW), 0);
	id = last_id;
	fg_store_expire(store, NOW + 90 * DAY);
	assert_int_equal(undo(id, NOW + 90 * DAY), 0);
	assert_int_equal(undo(last_id, NOW + 90 * DAY), 0);
	fg_store_expire(store, NOW + 91 * DAY);
	assert_int_equal(fg_decision_find(store, id, &d), -ENOENT);
	assert_int_equal(undo(id, NOW + 91 * DAY), -ENOENT);
	assert_int_equal(fg_store_n_allow(store), 1);
}

/* The time of an allow does not grow where the clock goes back. */
static void test_decisions_clock_goes_back(void **state)
{
	(void)state;
	assert_int_equal(allow("192.0.2.0/24", 3600, NOW), 0);
	assert_int_equal(allow("198.51.100.0/24", 0, NOW), 0);
	assert_int_equal(block("10.0.0.1", 3600, NOW), 1);
	assert_int_equal(unblock("10.0.0.1", NOW), 1);
	reopen(NOW - 365 * DAY);
	assert_int_equal(fg_store_allow_at(store, 0)->until_ns, NOW - 365 * DAY + HOUR);
	assert_int_equal(fg_store_allow_at(store, 1)->until_ns, 0);
	/* what stands again does not stand for longer than a day */
	assert_int_equal(undo(last_id, NOW - 365 * DAY), 0);
	fg_store_expire(store, NOW - 365 * DAY + S);
	assert_true(on("10.0.0.1")->until_ns <= NOW - 364 * DAY + S);
	fg_store_expire(store, NOW - 365 * DAY + HOUR);
	assert_int_equal(fg_store_n_allow(store), 1);
}

/* --- Any order of anything -------------------------------------------------------------------- */

/* The same in the plainest way: every subject in an array, every decision with copies of all of it. */
#define HOSTS	  4
#define STEMS	  2 /* clients of a host; and the whole host, stem 0 */
#define KEYS	  (HOSTS * (STEMS + 1))
#define ALLOWS	  3 /* two hosts, and all */
#define DECISIONS 4000

struct m_verdict {
	enum fg_state state; /* GONE = none */
	struct fg_verdict v; /* its life, and v.decision */
	int serial; /* which one it is */
	bool relay;
};
struct m_allow {
	bool there;
	uint64_t until_ns;
	int decision, serial;
};
struct m_effect {
	bool touched;
	struct m_verdict before; /* verdicts */
	struct m_allow allow_before;
	int serial, after;
};
static struct model {
	struct m_verdict v[2][KEYS]; /* by origin */
	struct m_allow allow[ALLOWS];
	int serial;
} m;
static struct m_decision {
	int64_t id;
	int undoes, undone_by; /* 0 = none */
	bool made;
	struct m_effect v[2][KEYS], allow[ALLOWS];
} * decisions;
static int n_decisions;

static unsigned int host_of(unsigned int key)
{
	return key / (STEMS + 1);
}

static bool m_allowed(unsigned int host, uint64_t now_ns)
{
	for (unsigned int i = 0; i < ALLOWS; i++)
		if (m.allow[i].there && (!m.allow[i].until_ns || m.allow[i].until_ns > now_ns) &&
		    (i == 2 || i == host))
			return true;
	return false;
}

static bool m_stands(const struct m_verdict *x, uint64_t now_ns)
{
	return x->state == FG_STATE_STANDING && x->v.until_ns > now_ns;
}

/* Tiers follow from what was earned and what is allowed. */
static void m_apply(unsigned int i, bool undo_it, uint64_t now_ns)
{
	for (unsigned int o = 0; o < 2; o++) {
		for (unsigned int k = 0; k < KEYS; k++) {
			struct fg_verdict *v = &m.v[o][k].v;
			bool allowed = m_allowed(host_of(k), now_ns);

			if (!m_stands(&m.v[o][k], now_ns) || v->earned < FG_TIER_ENFORCE ||
			    (i != 2 && i != host_of(k)))
				continue;
			if (allowed && v->tier == FG_TIER_ENFORCE) {
				v->tier = FG_TIER_ALERT;
				v->objected_ns = now_ns;
				strcpy(v->reason, "allowlisted: because");
			} else if (!allowed && v->tier < v->earned &&
				   (undo_it || o == FG_ORIGIN_OPERATOR)) {
				v->tier = v->earned;
				v->objected_ns = 0;
				v->reason[0] = '\0';
			}
		}
	}
}

static void m_expire(uint64_t now_ns)
{
	for (unsigned int o = 0; o < 2; o++) {
		for (unsigned int k = 0; k < KEYS; k++) {
			struct m_verdict *x = &m.v[o][k];

			if (x->state == FG_STATE_STANDING && x->v.until_ns <= now_ns) {
				x->v.kept_ns = fg_life_cooled_ns(&x->v);
				x->state = o == FG_ORIGIN_DETECTOR ? FG_STATE_COOLING :
								     FG_STATE_GONE;
			}
			if (x->state != FG_STATE_STANDING && x->v.kept_ns <= now_ns)
				x->state = FG_STATE_GONE;
		}
	}
	for (unsigned int i = 0; i < ALLOWS; i++)
		if (m.allow[i].there && m.allow[i].until_ns && m.allow[i].until_ns <= now_ns)
			m.allow[i].there = false;
	m_apply(2, false, now_ns);
}

static void m_note(unsigned int k, bool enforce, bool relay, uint64_t now_ns)
{
	struct m_verdict *x = &m.v[FG_ORIGIN_DETECTOR][k];
	bool member = k % (STEMS + 1) != 0, fresh = true, strike = false;
	struct fg_verdict v = { .first_ns = now_ns };

	if (x->state == FG_STATE_ENDED && x->v.kept_ns > now_ns) {
		if (!relay || x->relay)
			return;
	} else if (m_stands(x, now_ns)) {
		fresh = false;
		v.first_ns = x->v.first_ns;
		v.decision = x->v.decision;
		v.strikes = x->v.strikes;
	} else if (x->state == FG_STATE_COOLING || x->state == FG_STATE_STANDING) {
		strike = x->state == FG_STATE_COOLING || now_ns - x->v.until_ns >= 60 * S;
		v.strikes = x->v.strikes + strike;
		v.enforced = x->v.enforced;
		if (fg_life_cooled_ns(&x->v) <= now_ns)
			v.strikes = 0, v.enforced = false;
	}
	v.until_ns = now_ns + fg_life_ttl_ns(3600, member ? 3600 : 0, v.strikes);
	if (!fresh && v.until_ns < x->v.until_ns)
		v.until_ns = x->v.until_ns;
	strike = v.enforced;
	fg_life_judge(&v, fresh ? NULL : &x->v, enforce ? FG_OBJECTION_NONE : FG_OBJECTION_MODE,
		      member, m_allowed(host_of(k), now_ns), now_ns);
	v.enforced |= strike;
	if (m_allowed(host_of(k), now_ns))
		strcpy(v.reason, "allowlisted: because");
	/* the end moves where a quarter is over, or what it is */
	if (!fresh && v.tier == x->v.tier && v.earned == x->v.earned && relay == x->relay &&
	    !strncmp(v.reason, x->v.reason, 8) &&
	    x->v.until_ns - now_ns >= fg_life_ttl_ns(3600, member ? 3600 : 0, v.strikes) / 4 * 3)
		v.until_ns = x->v.until_ns;
	if (v.sure_until_ns > v.until_ns)
		v.sure_until_ns = v.until_ns;
	if (fresh)
		x->serial = ++m.serial;
	x->v = v;
	x->relay = relay;
	x->state = FG_STATE_STANDING;
}

static void addr_of(unsigned int host, uint8_t addr[16])
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	addr[12] = 10;
	addr[15] = (uint8_t)host;
}

static void s_note(unsigned int k, bool enforce, bool relay, uint64_t now_ns)
{
	static const struct fg_names names = { "t13d", "~t13d", "64,65535" };
	struct fg_finding f = { .score = 20,
				.proven = true,
				.cohort = k % (STEMS + 1) ? 3 : 0,
				.stem = k % (STEMS + 1),
				.stack = 6,
				.n_evidence = relay ? 2 : 1,
				.evidence[0] = { .name = "n", .text = "Much." },
				.evidence[1] = { .family = FG_FAMILY_RELAY, .name = "r" } };

	addr_of(host_of(k), f.source);
	fg_evidence_benign(&f.evidence[0], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	fg_evidence_benign(&f.evidence[1], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	assert_true(fg_store_note(store, &f, &names, enforce, 3600, now_ns) >= 0);
}

static struct m_decision *m_begin(void)
{
	struct m_decision *d = &decisions[++n_decisions];

	memset(d, 0, sizeof(*d));
	d->id = fg_decision_id(store);
	return d;
}

static int touch(struct m_decision *d, unsigned int o, unsigned int k)
{
	d->v[o][k] = (struct m_effect){ .touched = true, .before = m.v[o][k] };
	return n_decisions;
}

static bool m_block(unsigned int k, uint32_t ttl_s, uint64_t now_ns)
{
	struct m_verdict *x = &m.v[FG_ORIGIN_OPERATOR][k];
	bool standing = m_stands(x, now_ns);
	struct m_decision *d = m_begin();

	if (m_allowed(host_of(k), now_ns))
		return false;
	x->v.decision = touch(d, FG_ORIGIN_OPERATOR, k);
	if (!standing) {
		x->serial = ++m.serial;
		x->v.first_ns = now_ns;
	}
	x->v.until_ns = now_ns + ttl_s * S;
	x->v.tier = x->v.earned = FG_TIER_ENFORCE;
	x->v.enforced = true;
	x->state = FG_STATE_STANDING;
	d->v[FG_ORIGIN_OPERATOR][k].serial = x->serial;
	d->v[FG_ORIGIN_OPERATOR][k].after = n_decisions;
	return d->made = true;
}

static void m_end(struct m_decision *d, unsigned int o, unsigned int k, uint64_t now_ns)
{
	struct m_verdict *x = &m.v[o][k];

	(void)d;
	x->v.kept_ns = o == FG_ORIGIN_OPERATOR ? x->v.until_ns : now_ns + 7 * DAY;
	x->state = FG_STATE_ENDED;
	x->v.decision = n_decisions;
}

static int m_unblock(unsigned int host, bool cohort, uint64_t now_ns)
{
	struct m_decision *d = m_begin();
	int n = 0;

	for (unsigned int o = 0; o < 2; o++) {
		for (unsigned int k = 0; k < KEYS; k++) {
			struct m_verdict *x = &m.v[o][k];
			bool is = cohort ? k % (STEMS + 1) != 0 : host_of(k) == host;

			if (!is || (!m_stands(x, now_ns) && x->state != FG_STATE_COOLING))
				continue;
			touch(d, o, k);
			d->v[o][k].serial = x->serial;
			d->v[o][k].after = n_decisions;
			m_end(d, o, k, now_ns);
			n++;
		}
	}
	d->made = n > 0;
	return n;
}

static void m_allow_set(unsigned int i, bool there, uint32_t ttl_s, uint64_t now_ns)
{
	struct m_decision *d = m_begin();

	d->allow[i] = (struct m_effect){ .touched = true, .allow_before = m.allow[i] };
	if (there) {
		if (!m.allow[i].there)
			m.allow[i].serial = ++m.serial;
		m.allow[i].there = true;
		m.allow[i].until_ns = ttl_s ? now_ns + ttl_s * S : 0;
		m.allow[i].decision = n_decisions;
		d->allow[i].serial = m.allow[i].serial;
		d->allow[i].after = n_decisions;
	} else {
		m.allow[i].there = false;
	}
	d->made = true;
	m_apply(i, false, now_ns);
}

static bool m_undo_verdict(struct m_decision *own, const struct m_effect *e, unsigned int o,
			   unsigned int k, uint64_t now_ns)
{
	struct m_verdict *x = &m.v[o][k], now = *x;
	bool returns = e->before.state == FG_STATE_STANDING ? e->before.v.until_ns > now_ns :
		       e->before.state != FG_STATE_GONE	    ? e->before.v.kept_ns > now_ns :
							      false;

	if (x->state == FG_STATE_GONE || x->serial != e->serial || x->v.decision != e->after)
		return false;
	if (x->state == FG_STATE_STANDING ? !m_stands(x, now_ns) : !returns)
		return false;
	if (returns) {
		x->state = e->before.state;
		x->serial = e->before.serial;
		x->v.first_ns = e->before.v.first_ns;
		x->v.until_ns = e->before.v.until_ns;
		x->v.kept_ns = e->before.v.kept_ns;
		x->v.decision = e->before.v.decision;
		if (x->state == FG_STATE_STANDING)
			x->v.tier = m_allowed(host_of(k), now_ns) &&
						    x->v.earned == FG_TIER_ENFORCE ?
					    FG_TIER_ALERT :
					    x->v.earned;
		if (x->v.tier == FG_TIER_ENFORCE)
			x->v.reason[0] = '\0';
	} else {
		m_end(own, o, k, now_ns);
	}
	own->v[o][k] = (struct m_effect){
		.touched = true, .before = now, .serial = x->serial, .after = x->v.decision
	};
	return true;
}

static bool m_undo_allow(struct m_decision *own, const struct m_effect *e, unsigned int i,
			 uint64_t now_ns)
{
	struct m_allow *a = &m.allow[i], now = *a;
	bool returns = e->allow_before.there &&
		       (!e->allow_before.until_ns || e->allow_before.until_ns > now_ns);

	if (a->there ? a->serial != e->serial || a->decision != e->after : e->serial != 0)
		return false;
	if (a->there ? a->until_ns && a->until_ns <= now_ns : !returns)
		return false;
	*a = returns ? e->allow_before : (struct m_allow){ 0 };
	own->allow[i] = (struct m_effect){ .touched = true,
					   .allow_before = now,
					   .serial = returns ? a->serial : 0,
					   .after = returns ? a->decision : 0 };
	m_apply(i, true, now_ns);
	return true;
}

/* @return how many subjects, -1 where it was undone or is none. */
static int m_undo(int which, uint64_t now_ns)
{
	struct m_decision *d = &decisions[which], *own = &decisions[n_decisions + 1];
	int n = 0;

	if (!d->made || d->undone_by)
		return -1;
	n_decisions++;
	memset(own, 0, sizeof(*own));
	for (unsigned int o = 0; o < 2; o++)
		for (unsigned int k = 0; k < KEYS; k++)
			if (d->v[o][k].touched)
				n += m_undo_verdict(own, &d->v[o][k], o, k, now_ns);
	for (unsigned int i = 0; i < ALLOWS; i++)
		if (d->allow[i].touched)
			n += m_undo_allow(own, &d->allow[i], i, now_ns);
	if (!n)
		return 0;
	own->made = true;
	own->undoes = which;
	d->undone_by = n_decisions;
	if (d->undoes)
		decisions[d->undoes].undone_by = 0;
	return n;
}

static void compare(unsigned int step)
{
	size_t n[FG_STATE_GONE] = { 0 }, allows = 0;

	for (unsigned int o = 0; o < 2; o++) {
		for (unsigned int k = 0; k < KEYS; k++) {
			const struct m_verdict *x = &m.v[o][k];
			const struct fg_verdict *found = NULL;

			if (x->state == FG_STATE_GONE)
				continue;
			n[x->state]++;
			for (size_t i = 0; i < fg_store_n_in(store, x->state); i++) {
				const struct fg_verdict *v = fg_store_in(store, x->state, i);

				if (v->origin == o && v->addr[15] == host_of(k) &&
				    v->stem == k % (STEMS + 1))
					found = v;
			}
			if (!found || found->until_ns != x->v.until_ns ||
			    found->strikes != x->v.strikes || found->enforced != x->v.enforced ||
			    (x->state == FG_STATE_STANDING && found->tier != x->v.tier) ||
			    (x->state != FG_STATE_STANDING && found->kept_ns != x->v.kept_ns))
				fail_msg(
					"step %u, origin %u, key %u, state %d: %s: %.1f %.1f, tier "
					"%d %d, strikes %u %u, kept %.1f %.1f, %s",
					step, o, k, x->state, found ? "differs" : "is not there",
					found ? (double)(found->until_ns - NOW) / 1e9 : 0,
					(double)(x->v.until_ns - NOW) / 1e9,
					found ? (int)found->tier : -1, (int)x->v.tier,
					found ? found->strikes : 0, x->v.strikes,
					found ? (double)(found->kept_ns - NOW) / 1e9 : 0,
					(double)(x->v.kept_ns - NOW) / 1e9,
					found ? found->reason : "");
		}
	}
	for (unsigned int s = 0; s < FG_STATE_GONE; s++)
		assert_int_equal(fg_store_n_in(store, s), n[s]);
	for (unsigned int i = 0; i < ALLOWS; i++)
		allows += m.allow[i].there;
	assert_int_equal(fg_store_n_allow(store), allows);
}

static void prefix_of(unsigned int i, uint8_t addr[16], uint8_t *bits)
{
	addr_of(i == 2 ? 0 : i, addr);
	*bits = i == 2 ? 104 : 128;
}

static void step_block(uint64_t draw, uint64_t now_ns)
{
	unsigned int k = draw % KEYS;
	struct fg_subject b = { .bits = 128,
				.stem = k % (STEMS + 1),
				.stack = k % (STEMS + 1) ? 6 : 0,
				.cohort = k % (STEMS + 1) ? 3 : 0 };
	uint32_t ttl_s = 600U << (draw >> 8) % 7;
	int r;

	addr_of(host_of(k), b.addr);
	assert_int_equal(fg_decision_begin(store, "block", NULL, "x", "because", now_ns), 0);
	r = m_block(k, ttl_s, now_ns);
	assert_int_equal(fg_decision_end(store, fg_decision_block(store, &b, ttl_s)),
			 r ? 1 : -EPERM);
}

static void step_unblock(uint64_t draw, uint64_t now_ns)
{
	bool cohort = draw >> 8 & 1;
	uint8_t addr[16];
	int r, n;

	addr_of(draw % HOSTS, addr);
	assert_int_equal(fg_decision_begin(store, "unblock", NULL, "x", "", now_ns), 0);
	n = m_unblock(draw % HOSTS, cohort, now_ns);
	r = cohort ? fg_decision_unblock_cohort(store, 3) :
		     fg_decision_unblock(store, addr, 128, 0);
	assert_int_equal(r, n);
	fg_decision_end(store, r ? r : -ENOENT);
}

static void step_allow(uint64_t draw, uint64_t now_ns)
{
	unsigned int i = draw % ALLOWS;
	uint32_t ttl_s = draw >> 8 & 1 ? 0 : 900;
	uint8_t addr[16], bits;

	prefix_of(i, addr, &bits);
	if (draw >> 9 & 1 && !m.allow[i].there)
		return;
	assert_int_equal(fg_decision_begin(store, "allow", NULL, "x", "because", now_ns), 0);
	m_allow_set(i, !(draw >> 9 & 1), ttl_s, now_ns);
	if (draw >> 9 & 1)
		assert_int_equal(fg_decision_end(store, fg_decision_disallow(store, addr, bits)),
				 1);
	else
		assert_int_equal(
			fg_decision_end(store, fg_decision_allow(store, addr, bits, ttl_s)), 0);
}

static void step_undo(uint64_t draw, uint64_t now_ns)
{
	/* mostly a late one */
	int which = n_decisions - (int)(draw % 8), n;

	if (which < 1)
		return;
	n = m_undo(which, now_ns);
	if (n < 0) {
		/* one that was refused has no id */
		if (decisions[which].made)
			assert_int_equal(undo(decisions[which].id, now_ns), -EALREADY);
		return;
	}
	assert_int_equal(undo(decisions[which].id, now_ns), n ? 0 : -ESTALE);
	if (n) {
		assert_int_equal(undone.done, n);
		decisions[n_decisions].id = undone.id;
	} else {
		/* the id was drawn, and is nobody's */
		decisions[n_decisions].id = -1;
	}
}

static void step_restart(uint64_t now_ns)
{
	reopen(now_ns);
	/* the seconds of an objection are not on disk */
	for (unsigned int o = 0; o < 2; o++)
		for (unsigned int k = 0; k < KEYS; k++)
			if (m.v[o][k].v.objected_ns && m.v[o][k].v.tier < FG_TIER_ENFORCE)
				m.v[o][k].v.objected_ns = now_ns;
	m_expire(now_ns);
}

static void test_decisions_in_any_order_equal_a_model(void **state)
{
	uint64_t seed = 7, now_ns = NOW, draw;

	(void)state;
	decisions = calloc(DECISIONS, sizeof(*decisions));
	assert_non_null(decisions);
	memset(&m, 0, sizeof(m));
	for (unsigned int o = 0; o < 2; o++)
		for (unsigned int k = 0; k < KEYS; k++)
			m.v[o][k].state = FG_STATE_GONE;
	for (unsigned int step = 0; step < 6000 && n_decisions < DECISIONS - 2; step++) {
		draw = fg_splitmix(&seed);
		now_ns += draw % 97 ? draw % 40 * S : draw % 50 * HOUR / 10;
		if (draw % 5 == 0) {
			assert_true(fg_store_expire(store, now_ns) >= 0);
			m_expire(now_ns);
		}
		draw = fg_splitmix(&seed);
		switch (draw % 16) {
		case 0:
			step_block(draw >> 8, now_ns);
			break;
		case 1:
			step_unblock(draw >> 8, now_ns);
			break;
		case 2:
			step_allow(draw >> 8, now_ns);
			break;
		case 3:
		case 4:
			step_undo(draw >> 8, now_ns);
			break;
		case 5:
			if (draw >> 8 & 3)
				break;
			step_restart(now_ns);
			break;
		default:
			s_note(draw >> 8 & 0xff ? (draw >> 16) % KEYS : 0, draw >> 32 & 7,
			       !(draw >> 40 & 7), now_ns);
			m_note(draw >> 8 & 0xff ? (draw >> 16) % KEYS : 0, draw >> 32 & 7,
			       !(draw >> 40 & 7), now_ns);
		}
		compare(step);
	}
	print_message("%d decisions\n", n_decisions);
	assert_true(n_decisions > 1000);
	free(decisions);
}

#define T(name) cmocka_unit_test_setup_teardown(test_decisions_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(undo_a_block),	  T(unblock_one_stem),
		T(undo_an_unblock),	  T(undo_an_allow),
		T(undo_a_disallow),	  T(undo_a_cohort),
		T(refuse_what_cannot_be), T(are_on_disk_or_not_at_all),
		T(are_audited),		  T(are_forgotten_with_history),
		T(clock_goes_back),	  T(in_any_order_equal_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
