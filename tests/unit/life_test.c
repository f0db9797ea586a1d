/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verdict/life.h: the rules of a verdict's life, one by one and through the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ip.h"
#include "verdict/life.h"
#include "with_store.h"

/* --- Rules ------------------------------------------------------------------------------------ */

static void test_life_objections(void **state)
{
	struct fg_finding f = { .proven = true,
				.shared_why = "7 stems",
				.no_enforce_why = "young" };
	char why[160];

	(void)state;
	assert_int_equal(fg_life_objection(&f, true, why), FG_OBJECTION_NONE);
	assert_string_equal(why, "");
	assert_int_equal(fg_life_objection(&f, false, why), FG_OBJECTION_MODE);
	f.no_enforce = true;
	assert_int_equal(fg_life_objection(&f, true, why), FG_OBJECTION_UNSURE);
	assert_string_equal(why, "not sure enough: young");
	/* the mode is what forbids, whatever is said */
	assert_int_equal(fg_life_objection(&f, false, why), FG_OBJECTION_MODE);
	f.shared = true;
	assert_int_equal(fg_life_objection(&f, true, why), FG_OBJECTION_SHARED);
	assert_string_equal(why, "shared: 7 stems");
	/* one client behind it: its neighbours go on; without a stack it is no client */
	f.no_enforce = false;
	f.cohort = 3;
	f.stem = 5;
	assert_int_equal(fg_life_objection(&f, true, why), FG_OBJECTION_SHARED);
	f.stack = 6;
	assert_int_equal(fg_life_objection(&f, true, why), FG_OBJECTION_NONE);
	f.proven = false;
	assert_int_equal(fg_life_objection(&f, true, why), FG_OBJECTION_UNPROVEN);
}

static void test_life_escalates(void **state)
{
	static const uint64_t hours[] = { 1, 4, 16, 24, 24 };

	(void)state;
	for (uint32_t strikes = 0; strikes < 5; strikes++)
		assert_int_equal(fg_life_ttl_ns(3600, 0, strikes), hours[strikes] * HOUR);
	assert_int_equal(fg_life_ttl_ns(3600, 0, UINT32_MAX), DAY);
	/* the time until it is judged again is not multiplied */
	assert_int_equal(fg_life_ttl_ns(3600, 3600, 1), 5 * HOUR);
	assert_int_equal(fg_life_ttl_ns(UINT32_MAX, UINT32_MAX, 7), DAY);
	assert_int_equal(fg_life_ttl_ns(0, 0, 0), S);
}

/* The verdict as it is judged s seconds after it was first flagged. */
static struct fg_verdict judged(const struct fg_verdict *before, uint64_t s,
				enum fg_objection why_not, bool at_once, bool allowed)
{
	struct fg_verdict v = { .first_ns = NOW, .until_ns = NOW + s * S + HOUR };

	fg_life_judge(&v, before, why_not, at_once, allowed, NOW + s * S);
	return v;
}

static void test_life_waits_for_a_second_look(void **state)
{
	struct fg_verdict v = judged(NULL, 0, FG_OBJECTION_NONE, false, false);

	(void)state;
	assert_int_equal(v.tier, FG_TIER_ALERT);
	assert_memory_equal(v.reason, "waiting:", 8);
	v = judged(&v, 9, FG_OBJECTION_NONE, false, false);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	assert_false(v.enforced);
	v = judged(&v, 10, FG_OBJECTION_NONE, false, false);
	assert_int_equal(v.tier, FG_TIER_ENFORCE);
	assert_true(v.enforced);
	assert_string_equal(v.reason, "");
	/* a cohort's member was judged from hours */
	v = judged(NULL, 0, FG_OBJECTION_NONE, true, false);
	assert_int_equal(v.tier, FG_TIER_ENFORCE);
}

static void test_life_lowers_at_once_and_rises_slowly(void **state)
{
	static const enum fg_objection forbids[] = { FG_OBJECTION_UNPROVEN, FG_OBJECTION_SHARED,
						     FG_OBJECTION_MODE };
	struct fg_verdict high = judged(NULL, 0, FG_OBJECTION_NONE, true, false), v;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		v = judged(&high, 100, forbids[i], false, false);
		assert_int_equal(v.tier, FG_TIER_ALERT);
		assert_int_equal(v.earned, FG_TIER_ALERT);
		v = judged(&v, 159, FG_OBJECTION_NONE, true, false);
		assert_int_equal(v.tier, FG_TIER_ALERT);
		v = judged(&v, 160, FG_OBJECTION_NONE, false, false);
		assert_int_equal(v.tier, FG_TIER_ENFORCE);
	}
	/* an objection within the minute begins it anew */
	v = judged(&high, 100, FG_OBJECTION_MODE, false, false);
	v = judged(&v, 130, FG_OBJECTION_MODE, false, false);
	v = judged(&v, 189, FG_OBJECTION_NONE, false, false);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	/* the allowlist holds down what it has earned */
	v = judged(&high, 100, FG_OBJECTION_NONE, false, true);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	assert_int_equal(v.earned, FG_TIER_ENFORCE);
	v = judged(&v, 159, FG_OBJECTION_NONE, false, false);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	v = judged(&v, 160, FG_OBJECTION_NONE, false, false);
	assert_int_equal(v.tier, FG_TIER_ENFORCE);
	/* nothing is earned while it is allowed */
	v = judged(NULL, 0, FG_OBJECTION_NONE, true, true);
	assert_int_equal(v.earned, FG_TIER_ALERT);
}

static void test_life_doubts_do_not_lower_until_the_end_of_the_sure(void **state)
{
	struct fg_verdict high = judged(NULL, 0, FG_OBJECTION_NONE, true, false), v;

	(void)state;
	assert_int_equal(high.sure_until_ns, NOW + HOUR);
	v = judged(&high, 3599, FG_OBJECTION_UNSURE, false, false);
	assert_int_equal(v.tier, FG_TIER_ENFORCE);
	assert_int_equal(v.sure_until_ns, NOW + HOUR);
	v = judged(&v, 3600, FG_OBJECTION_UNSURE, false, false);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	/* and never raise */
	v = judged(NULL, 0, FG_OBJECTION_UNSURE, true, false);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	v = judged(&v, 100, FG_OBJECTION_UNSURE, true, false);
	assert_int_equal(v.tier, FG_TIER_ALERT);
}

static void test_life_news(void **state)
{
	struct fg_verdict ended = { .score = 20,
				    .n_evidence = 1,
				    .evidence[0].family = FG_FAMILY_VOLUME };
	struct fg_finding f = { .score = 24.5,
				.n_evidence = 1,
				.evidence[0] = { .family = FG_FAMILY_VOLUME, .name = "volume" } };
	char what[160];

	(void)state;
	assert_false(fg_life_is_news(&ended, &f, what));
	f.score = 24.6;
	assert_true(fg_life_is_news(&ended, &f, what));
	assert_string_equal(what, "24.6 nats, 4.6 more than when it was unblocked");
	f.score = NAN;
	assert_false(fg_life_is_news(&ended, &f, what));
	f.score = 5;
	f.n_evidence = 2;
	f.evidence[1].family = FG_FAMILY_RELAY;
	strcpy(f.evidence[1].name, "relayed");
	assert_true(fg_life_is_news(&ended, &f, what));
	assert_string_equal(what,
			    "relay evidence (relayed), which it had not when it was unblocked");
}

static void test_life_times_ahead_are_brought_back(void **state)
{
	struct fg_verdict v = { .first_ns = NOW + 1,
				.updated_ns = NOW + 2,
				.objected_ns = NOW + 3,
				.until_ns = NOW + 2 * DAY,
				.sure_until_ns = NOW + 2 * DAY,
				.kept_ns = NOW + 100 * DAY };

	(void)state;
	assert_true(fg_life_is_ahead(&v, FG_STATE_STANDING, NOW));
	fg_life_bring_back(&v, FG_STATE_COOLING, NOW);
	assert_true(v.first_ns == NOW && v.updated_ns == NOW && v.objected_ns == NOW);
	assert_true(v.until_ns == NOW + DAY && v.sure_until_ns == NOW + DAY);
	assert_true(v.kept_ns == NOW + DAY);
	assert_false(fg_life_is_ahead(&v, FG_STATE_COOLING, NOW));
	v.kept_ns++;
	assert_true(fg_life_is_ahead(&v, FG_STATE_COOLING, NOW));
	assert_false(fg_life_is_ahead(&v, FG_STATE_ENDED, NOW));
	v.enforced = true;
	assert_false(fg_life_is_ahead(&v, FG_STATE_COOLING, NOW));
}

/* --- Through the store ------------------------------------------------------------------------ */

static struct fg_finding finding(unsigned int host, uint32_t cohort)
{
	struct fg_finding f = {
		.source = { [10] = 0xff, 0xff, 192, 0, (uint8_t)(host >> 8), (uint8_t)host },
		.score = 20,
		.proven = true,
		.cohort = cohort,
		.stem = 5,
		.stack = 6,
		.n_evidence = 1,
		.evidence[0] = { .name = "proven_connections_60s",
				 .nats = 20,
				 .text = "80 connections" }
	};

	fg_evidence_benign(&f.evidence[0], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	return f;
}

static int note_of(const struct fg_finding *f, uint64_t now_ns)
{
	static const struct fg_names names = { "t13d", "~t13d", "64,65535" };

	return fg_store_note(store, f, &names, true, 3600, now_ns);
}

static int note(unsigned int host, uint32_t cohort, uint64_t now_ns)
{
	struct fg_finding f = finding(host, cohort);

	return note_of(&f, now_ns);
}

static const struct fg_verdict *in(enum fg_state state, unsigned int host)
{
	struct fg_finding f = finding(host, 0);
	const struct fg_verdict *v;

	return fg_store_find_in(store, state, f.source, &v, 1) ? v : NULL;
}

static char past_text[4096];

static int write_past(void *arg, uint64_t time_ns, int64_t id, const char *what, const char *who,
		      const char *reason)
{
	size_t n = strlen(past_text);

	(void)arg;
	(void)time_ns;
	assert_true(id > 0);
	snprintf(past_text + n, sizeof(past_text) - n, "%s %s %s\n", what, who, reason);
	return 0;
}

static const char *history(unsigned int host)
{
	struct fg_finding f = finding(host, 0);

	past_text[0] = '\0';
	assert_int_equal(fg_store_history(store, f.source, write_past, NULL), 0);
	return past_text;
}

static void test_life_comes_back_longer_each_time(void **state)
{
	static const uint64_t hours[] = { 1, 4, 16, 24, 24 };
	uint64_t now_ns = NOW;

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(note(1, 0, now_ns), 1);
		assert_int_equal(in(FG_STATE_STANDING, 1)->strikes, i);
		assert_int_equal(in(FG_STATE_STANDING, 1)->until_ns, now_ns + hours[i] * HOUR);
		now_ns += hours[i] * HOUR;
		assert_int_equal(fg_store_expire(store, now_ns), 1);
		assert_null(in(FG_STATE_STANDING, 1));
		assert_int_equal(fg_store_n(store), 0);
		assert_int_equal(in(FG_STATE_COOLING, 1)->tier, FG_TIER_OBSERVE);
		assert_int_equal(in(FG_STATE_COOLING, 1)->kept_ns, now_ns + DAY);
		reopen(now_ns + HOUR);
		assert_int_equal(in(FG_STATE_COOLING, 1)->strikes, i);
		now_ns += 12 * HOUR;
	}
	assert_non_null(strstr(history(1), "flagged detector again: it came back while it cooled, "
					   "strike 4\ncooling clock \n"));
	/* quiet to the end */
	now_ns += 12 * HOUR;
	assert_int_equal(fg_store_expire(store, now_ns), 0);
	assert_null(in(FG_STATE_COOLING, 1));
	assert_int_equal(note(1, 0, now_ns), 1);
	assert_int_equal(in(FG_STATE_STANDING, 1)->strikes, 0);
	assert_int_equal(in(FG_STATE_STANDING, 1)->until_ns, now_ns + HOUR);
}

/* Who was enforced against is remembered for a week. */
static void test_life_cools_longer_after_a_block(void **state)
{
	(void)state;
	assert_int_equal(note(1, 0, NOW), 1);
	assert_int_equal(note(1, 0, NOW + 10 * S), 0);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ENFORCE);
	fg_store_expire(store, NOW + 2 * HOUR);
	fg_store_expire(store, NOW + 7 * DAY);
	assert_non_null(in(FG_STATE_COOLING, 1));
	assert_int_equal(note(1, 0, NOW + 7 * DAY), 1);
	assert_int_equal(in(FG_STATE_STANDING, 1)->strikes, 1);
	/* found at its very end, by a look that came before the clock's: it was never quiet */
	assert_int_equal(note(1, 0, NOW + 7 * DAY + 4 * HOUR + S), 1);
	assert_int_equal(in(FG_STATE_STANDING, 1)->strikes, 1);
	/* and after an hour in which nobody looked it was */
	assert_int_equal(note(1, 0, NOW + 7 * DAY + 9 * HOUR + S), 1);
	assert_int_equal(in(FG_STATE_STANDING, 1)->strikes, 2);
}

static void test_life_members_stand_until_they_are_judged_again(void **state)
{
	struct fg_finding f = finding(1, 3);

	(void)state;
	f.shared = true;
	strcpy(f.shared_why, "7 stems");
	assert_int_equal(note_of(&f, NOW), 1);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ENFORCE);
	assert_true(in(FG_STATE_STANDING, 1)->shared);
	assert_int_equal(in(FG_STATE_STANDING, 1)->until_ns, NOW + 2 * HOUR);
	/* another stack behind the same source is another client */
	f.stack = 7;
	assert_int_equal(note_of(&f, NOW), 1);
	assert_int_equal(fg_store_n(store), 2);
	/* of a community of accounts, judged each minute: by the second look */
	f = finding(2, FG_COMMUNITY | 3);
	assert_int_equal(note_of(&f, NOW), 1);
	assert_int_equal(in(FG_STATE_STANDING, 2)->tier, FG_TIER_ALERT);
	assert_int_equal(in(FG_STATE_STANDING, 2)->until_ns, NOW + HOUR);
	assert_int_equal(note_of(&f, NOW + 60 * S), 0);
	assert_int_equal(in(FG_STATE_STANDING, 2)->tier, FG_TIER_ENFORCE);
}

/* In the store doubts end with the clock, too, when nothing is judged any more. */
static void test_life_doubts_end_with_the_clock(void **state)
{
	struct fg_finding f = finding(1, 3);

	(void)state;
	assert_int_equal(note_of(&f, NOW), 1);
	f.no_enforce = true;
	strcpy(f.no_enforce_why, "young");
	assert_int_equal(note_of(&f, NOW + HOUR), 0);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ENFORCE);
	assert_int_equal(in(FG_STATE_STANDING, 1)->until_ns, NOW + 3 * HOUR);
	fg_store_expire(store, NOW + 2 * HOUR - S);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ENFORCE);
	fg_store_expire(store, NOW + 2 * HOUR);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ALERT);
	assert_non_null(strstr(history(1), "lowered clock not sure enough any more\n"));
	reopen(NOW + 2 * HOUR);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ALERT);
}

/* A restart does not shorten an objection. */
static void test_life_objections_outlive_a_restart(void **state)
{
	struct fg_finding f = finding(1, 0);

	(void)state;
	f.shared = true;
	note_of(&f, NOW);
	note_of(&f, NOW + 100 * S);
	reopen(NOW + 101 * S);
	f.shared = false;
	note_of(&f, NOW + 160 * S);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ALERT);
	note_of(&f, NOW + 161 * S);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ENFORCE);
	/* and does not lower what had overcome it */
	reopen(NOW + 162 * S);
	note_of(&f, NOW + 163 * S);
	assert_int_equal(in(FG_STATE_STANDING, 1)->tier, FG_TIER_ENFORCE);
}

static void test_life_flags_again_only_with_news(void **state)
{
	struct fg_finding f = finding(1, 0);

	(void)state;
	note_of(&f, NOW);
	assert_int_equal(fg_store_unblock(store, f.source, 128, "a customer", NOW + S), 1);
	reopen(NOW + 2 * S);
	f.score = 24;
	assert_int_equal(note_of(&f, NOW + 3 * S), 0);
	assert_int_equal(note_of(&f, NOW + 7 * DAY), 0);
	assert_int_equal(fg_store_n(store), 0);
	f.score = 25;
	assert_int_equal(note_of(&f, NOW + 7 * DAY), 1);
	assert_int_equal(in(FG_STATE_STANDING, 1)->strikes, 0);
	assert_int_equal(in(FG_STATE_STANDING, 1)->decision, 0);
	assert_non_null(strstr(history(1), "unblocked operator a customer\nflagged detector again: "
					   "25.0 nats, 5.0 more than when it was unblocked\n"));
	/* also of what cooled when it was unblocked */
	fg_store_expire(store, NOW + 7 * DAY + 2 * HOUR);
	assert_non_null(in(FG_STATE_COOLING, 1));
	assert_int_equal(fg_store_unblock(store, f.source, 128, "", NOW + 7 * DAY + 2 * HOUR), 1);
	assert_int_equal(note_of(&f, NOW + 7 * DAY + 3 * HOUR), 0);
	f.n_evidence = 2;
	f.evidence[1] = f.evidence[0];
	f.evidence[1].family = FG_FAMILY_RELAY;
	assert_int_equal(note_of(&f, NOW + 7 * DAY + 3 * HOUR), 1);
}

/* The oldest of what cools gives way to what is new, and nothing else does. */
static void test_life_cooling_gives_way(void **state)
{
	struct fg_store *kept = store;
	struct fg_finding f = finding(0, 0);
	char why[256];

	(void)state;
	assert_int_equal(fg_store_open(NULL, NOW, &store, why, sizeof(why)), 0);
	assert_int_equal(note(1, 0, NOW - HOUR), 1);
	assert_int_equal(note(2, 0, NOW - HOUR + S), 1);
	fg_store_expire(store, NOW);
	fg_store_expire(store, NOW + S);
	assert_int_equal(fg_store_n_in(store, FG_STATE_COOLING), 2);
	assert_int_equal(fg_store_begin(store), 0);
	f.source[12] = 10;
	for (uint32_t i = 0; i < FG_MAX_VERDICTS - 2; i++) {
		memcpy(f.source + 13,
		       (uint8_t[]){ (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, 3);
		assert_int_equal(note_of(&f, NOW + S), 1);
	}
	assert_int_equal(fg_store_commit(store), 0);
	/* taken back, the one that gave way is there again */
	assert_int_equal(fg_store_begin(store), 0);
	assert_int_equal(note(3, 0, NOW + S), 1);
	fg_store_rollback(store);
	assert_non_null(in(FG_STATE_COOLING, 1));
	assert_int_equal(note(3, 0, NOW + S), 1);
	assert_null(in(FG_STATE_COOLING, 1));
	assert_non_null(in(FG_STATE_COOLING, 2));
	assert_int_equal(fg_store_refused(store), 0);
	assert_int_equal(fg_store_begin(store), 0);
	assert_int_equal(note(4, 0, NOW + S), 1);
	assert_int_equal(note(5, 0, NOW + S), 0);
	assert_int_equal(fg_store_commit(store), 0);
	assert_int_equal(fg_store_refused(store), 1);
	assert_int_equal(fg_store_n(store), FG_MAX_VERDICTS);
	fg_store_close(&store);
	store = kept;
}

static void test_life_clock_goes_back(void **state)
{
	struct fg_finding f = finding(1, 0);

	(void)state;
	note_of(&f, NOW);
	note_of(&f, NOW + 10 * S);
	note(2, 0, NOW);
	fg_store_expire(store, NOW + 2 * HOUR);
	note(3, 0, NOW + 2 * HOUR);
	f = finding(3, 0);
	fg_store_unblock(store, f.source, 128, "", NOW + 2 * HOUR);
	note(4, 0, NOW + 2 * HOUR);
	reopen(NOW - 100 * DAY);
	assert_int_equal(in(FG_STATE_COOLING, 1)->kept_ns, NOW - 93 * DAY);
	assert_int_equal(in(FG_STATE_COOLING, 2)->kept_ns, NOW - 99 * DAY);
	assert_int_equal(in(FG_STATE_ENDED, 3)->kept_ns, NOW - 93 * DAY);
	assert_int_equal(in(FG_STATE_STANDING, 4)->until_ns, NOW - 99 * DAY);
	/* it was flagged at the latest now, so that it can ripen */
	note(4, 0, NOW - 100 * DAY + 10 * S);
	assert_int_equal(in(FG_STATE_STANDING, 4)->tier, FG_TIER_ENFORCE);
}

/* Old rows go in steps, new ones stay. */
static void test_life_history_is_kept_as_long_as_said(void **state)
{
	struct fg_finding f = finding(9, 0);

	(void)state;
	assert_int_equal(fg_store_begin(store), 0);
	for (unsigned int i = 0; i < 1500; i++)
		assert_int_equal(note(1000 + i, 0, NOW), 1);
	assert_int_equal(fg_store_commit(store), 0);
	note_of(&f, NOW + DAY);
	fg_store_keep_history(store, 30 * 86400);
	fg_store_expire(store, NOW + 30 * DAY);
	assert_non_null(strstr(history(1000), "flagged"));
	/* a thousand a minute */
	fg_store_expire(store, NOW + 30 * DAY + 60 * S);
	assert_null(strstr(history(1000), "flagged"));
	assert_non_null(strstr(history(2499), "flagged"));
	fg_store_expire(store, NOW + 30 * DAY + 61 * S);
	assert_non_null(strstr(history(2499), "flagged"));
	fg_store_expire(store, NOW + 30 * DAY + 120 * S);
	assert_null(strstr(history(2499), "flagged"));
	assert_non_null(strstr(history(9), "flagged"));
	fg_store_expire(store, NOW + 31 * DAY + 200 * S);
	assert_null(strstr(history(9), "flagged"));
}

#define PURE(name) cmocka_unit_test(test_life_##name)
#define T(name)	   cmocka_unit_test_setup_teardown(test_life_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PURE(objections),
		PURE(escalates),
		PURE(waits_for_a_second_look),
		PURE(lowers_at_once_and_rises_slowly),
		PURE(doubts_do_not_lower_until_the_end_of_the_sure),
		PURE(news),
		PURE(times_ahead_are_brought_back),
		T(comes_back_longer_each_time),
		T(cools_longer_after_a_block),
		T(members_stand_until_they_are_judged_again),
		T(doubts_end_with_the_clock),
		T(objections_outlive_a_restart),
		T(flags_again_only_with_news),
		T(cooling_gives_way),
		T(clock_goes_back),
		T(history_is_kept_as_long_as_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
