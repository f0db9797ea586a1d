/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* export/target with targets that hang, fail and flap; export/diff; export/child; export/file. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "export/child.h"
#include "export/diff.h"
#include "export/export.h"
#include "export/file.h"
#include "export/haproxy.h"
#include "export/hook.h"
#include "export/plan.h"
#include "export/target.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/splitmix.h"

#define S     1000000000ULL
#define NOW   (1795521600ULL * S)
#define LONG  60000 /* ms; only a broken target takes so long */
#define HANGS (-1000)

/* --- Sets ------------------------------------------------------------------------------------- */

static struct fg_export_set *new_set(size_t room)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	atomic_init(&set->refs, 1);
	set->items = calloc(room + 1, sizeof(*set->items));
	set->clients = calloc(1, sizeof(*set->clients));
	assert_true(set->items && set->clients);
	return set;
}

/* Callers add in the order of addresses. */
static void put(struct fg_export_set *set, const char *prefix, uint64_t until_ns)
{
	struct fg_export_item *item = &set->items[set->n++];

	assert_int_equal(fg_ip_parse(prefix, item->addr, &item->bits), 0);
	item->until_ns = until_ns;
	item->verdict = (int64_t)set->n;
}

/* --- A target that does what it is told ------------------------------------------------------- */

struct fake {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int answer; /* of apply; HANGS = waits until it is another */
	int look; /* of check, once */
	int fails; /* so many applies fail before answer counts */
	bool hangs, more_once, freed;
	uint64_t applies, checks, leaves, forgets;
	uint64_t last; /* number of items in the set applied last */
	uint32_t pause;
	int left;
};

static void fake_init(struct fake *f)
{
	*f = (struct fake){ .answer = 1 };
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
}

static int fake_apply(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		      size_t n_why)
{
	struct fake *f = impl;
	int r;

	assert_true(now_ns > NOW / 2);
	pthread_mutex_lock(&f->lock);
	f->applies++;
	f->last = set->n;
	f->hangs = true;
	pthread_cond_broadcast(&f->changed);
	while (f->answer == HANGS)
		pthread_cond_wait(&f->changed, &f->lock);
	f->hangs = false;
	r = f->answer;
	if (f->fails) {
		f->fails--;
		r = -EIO;
	}
	if (r < 0)
		snprintf(why, n_why, "out of order");
	pthread_mutex_unlock(&f->lock);
	return r;
}

static int fake_check(void *impl, bool full, char *why, size_t n_why)
{
	struct fake *f = impl;
	int r;

	(void)full;
	pthread_mutex_lock(&f->lock);
	f->checks++;
	r = f->look;
	f->look = 0;
	snprintf(why, n_why, "somebody was here");
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return r;
}

static bool fake_more(const void *impl)
{
	struct fake *f = (struct fake *)(uintptr_t)impl;
	bool more = f->more_once;

	f->more_once = false;
	return more;
}

static uint32_t fake_pause(const void *impl)
{
	return ((const struct fake *)impl)->pause;
}

static int fake_leave(void *impl, char *why, size_t n_why)
{
	struct fake *f = impl;

	f->leaves++;
	snprintf(why, n_why, "cannot leave");
	return f->left;
}

static void fake_forget_ends(void *impl)
{
	struct fake *f = impl;

	pthread_mutex_lock(&f->lock);
	f->forgets++;
	pthread_mutex_unlock(&f->lock);
}

static uint64_t fake_unexportable(const void *impl)
{
	(void)impl;
	return 1;
}

static void fake_free(void *impl)
{
	struct fake *f = impl;

	pthread_mutex_lock(&f->lock);
	f->freed = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static const struct fg_target_ops fake_ops = {
	.name = "fake",
	.apply = fake_apply,
	.check = fake_check,
	.forget_ends = fake_forget_ends,
	.unexportable = fake_unexportable,
	.more = fake_more,
	.pause_s = fake_pause,
	.leave = fake_leave,
	.free = fake_free,
};

static void set_answer(struct fake *f, int answer)
{
	pthread_mutex_lock(&f->lock);
	f->answer = answer;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

/* Waits until a counter of the fake is at least n. */
static void wait_for(struct fake *f, const uint64_t *counter, uint64_t n)
{
	pthread_mutex_lock(&f->lock);
	while (*counter < n)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void wait_until_it_hangs(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	while (!f->hangs)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static struct fg_target *start(struct fake *f)
{
	struct fg_target *t = NULL;

	assert_int_equal(fg_target_start(&fake_ops, f, &t), 0);
	return t;
}

static int stop(struct fg_target **t, char *why)
{
	return fg_target_stop(t, LONG, why, 256);
}

static void offer(struct fg_target *t, size_t n)
{
	struct fg_export_set *set = new_set(n);
	char source[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(source, sizeof(source), "10.0.%zu.%zu", i >> 8, i & 255);
		put(set, source, NOW);
	}
	fg_target_offer(t, set);
	fg_export_set_unref(&set);
}

static struct fg_target_status status_of(struct fg_target *t)
{
	struct fg_target_status s;

	fg_target_status(t, &s);
	return s;
}

static void test_target_applies_what_it_is_offered(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256] = "";

	(void)arg;
	fake_init(&f);
	f.answer = 3;
	t = start(&f);
	/* nothing to wait for, nothing to look for */
	assert_int_equal(fg_target_wait(t, LONG), 0);
	fg_target_check(t, true);
	offer(t, 3);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	assert_int_equal(f.last, 3);
	assert_int_equal(status_of(t).applied, 3);
	assert_int_equal(status_of(t).batches, 1);
	assert_int_equal(status_of(t).errors, 0);
	assert_int_equal(status_of(t).unexportable, 1);
	assert_int_equal(status_of(t).held, 2);
	assert_true(status_of(t).last_success_ns > 0);
	assert_false(status_of(t).failing);
	/* a batch of no changes is none */
	set_answer(&f, 0);
	offer(t, 3);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	assert_int_equal(status_of(t).batches, 1);
	assert_int_equal(stop(&t, why), 0);
	assert_null(t);
	assert_int_equal(f.checks, 0);
	assert_int_equal(f.leaves, 1);
	assert_true(f.freed);
	assert_int_equal(stop(&t, why), 0);
}

static void test_target_takes_the_newest_of_what_waited(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256];

	(void)arg;
	fake_init(&f);
	f.answer = HANGS;
	t = start(&f);
	offer(t, 1);
	wait_until_it_hangs(&f);
	/* nobody is held back, and it is known that the last one is not applied */
	for (size_t n = 2; n < 200; n++)
		offer(t, n);
	assert_int_equal(fg_target_wait(t, 10), -ETIMEDOUT);
	set_answer(&f, 1);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	assert_int_equal(f.last, 199);
	assert_int_equal(f.applies, 2);
	assert_int_equal(stop(&t, why), 0);
}

static void test_target_hangs_alone(void **arg)
{
	struct fake hanging, failing, good;
	struct fg_target *h, *x, *g;
	char why[256];

	(void)arg;
	fake_init(&hanging);
	fake_init(&failing);
	fake_init(&good);
	hanging.answer = HANGS;
	failing.answer = -EIO;
	h = start(&hanging);
	x = start(&failing);
	g = start(&good);
	for (size_t n = 1; n <= 5; n++) {
		offer(h, n);
		offer(x, n);
		offer(g, n);
		assert_int_equal(fg_target_wait(g, LONG), 0);
		assert_int_equal(good.last, n);
	}
	assert_int_equal(good.applies, 5);
	assert_int_equal(stop(&g, why), 0);
	assert_int_equal(stop(&x, why), 0);
	set_answer(&hanging, 0);
	assert_int_equal(stop(&h, why), 0);
}

static void test_target_tries_again(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256];

	(void)arg;
	fake_init(&f);
	f.fails = 2;
	t = start(&f);
	offer(t, 7);
	assert_int_equal(fg_target_wait(t, LONG), -EIO);
	assert_true(status_of(t).failing);
	assert_string_equal(status_of(t).error, "out of order");
	/* by itself, without another set and without a look */
	fg_target_check(t, false);
	wait_for(&f, &f.applies, 3);
	while (status_of(t).failing)
		usleep(1000);
	assert_int_equal(status_of(t).errors, 2);
	assert_int_equal(status_of(t).applied, 1);
	assert_int_equal(f.last, 7);
	/* the last error stays, for who looks later */
	assert_string_equal(status_of(t).error, "out of order");
	/* and the wait begins at the shortest again: the look that waited comes first */
	wait_for(&f, &f.checks, 1);
	f.fails = 1;
	offer(t, 8);
	assert_int_equal(fg_target_wait(t, LONG), -EIO);
	wait_for(&f, &f.applies, 5);
	assert_int_equal(stop(&t, why), 0);
}

static void test_target_writes_again_what_a_stranger_changed(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256];

	(void)arg;
	fake_init(&f);
	t = start(&f);
	offer(t, 1);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	fg_target_check(t, false);
	wait_for(&f, &f.checks, 1);
	assert_int_equal(f.applies, 1);
	f.look = 1;
	fg_target_check(t, true);
	wait_for(&f, &f.applies, 2);
	assert_int_equal(status_of(t).rewrites, 1);
	assert_string_equal(status_of(t).found, "somebody was here");
	/* one that cannot be looked at is a failure, and is written again, too */
	f.look = -ETIMEDOUT;
	fg_target_check(t, true);
	wait_for(&f, &f.applies, 3);
	assert_int_equal(status_of(t).errors, 1);
	assert_int_equal(status_of(t).rewrites, 1);
	assert_int_equal(stop(&t, why), 0);
}

static void test_target_tells_ends_anew_when_the_clock_was_set(void **arg)
{
	struct fg_target *t;
	char why[256];
	struct fake f;

	(void)arg;
	fake_init(&f);
	t = start(&f);
	fg_target_forget_ends(t);
	offer(t, 2);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	assert_int_equal(f.applies, 1);
	assert_int_equal(f.forgets, 0);
	fg_target_forget_ends(t);
	wait_for(&f, &f.applies, 2);
	assert_int_equal(f.forgets, 1);
	assert_int_equal(f.last, 2);
	offer(t, 3);
	wait_for(&f, &f.applies, 3);
	assert_int_equal(f.forgets, 1);
	assert_int_equal(stop(&t, why), 0);
}

static void test_target_goes_on_where_time_was_short(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256];

	(void)arg;
	fake_init(&f);
	f.more_once = true;
	t = start(&f);
	offer(t, 4);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	assert_int_equal(f.applies, 2);
	assert_int_equal(stop(&t, why), 0);
}

static void test_target_pauses_between_batches(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256];

	(void)arg;
	fake_init(&f);
	f.pause = 3600;
	t = start(&f);
	offer(t, 1);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	offer(t, 2);
	assert_int_equal(fg_target_wait(t, 50), -ETIMEDOUT);
	assert_int_equal(f.applies, 1);
	assert_false(status_of(t).failing);
	/* a stop does not wait for the pause's end */
	f.left = -EROFS;
	assert_int_equal(stop(&t, why), -EROFS);
	assert_string_equal(why, "cannot leave");
	assert_int_equal(f.leaves, 1);
}

static void test_target_that_hangs_is_left_behind(void **arg)
{
	struct fake f;
	struct fg_target *t;
	char why[256] = "";

	(void)arg;
	fake_init(&f);
	f.answer = HANGS;
	t = start(&f);
	offer(t, 1);
	wait_until_it_hangs(&f);
	assert_int_equal(fg_target_stop(&t, 20, why, sizeof(why)), -ETIMEDOUT);
	assert_null(t);
	assert_string_not_equal(why, "");
	assert_false(f.freed);
	/* should it ever end, it frees what it has */
	set_answer(&f, 1);
	pthread_mutex_lock(&f.lock);
	while (!f.freed)
		pthread_cond_wait(&f.changed, &f.lock);
	pthread_mutex_unlock(&f.lock);
	assert_int_equal(f.leaves, 1);
	/* the thread itself is about to end, with its set */
	usleep(100000);
}

static void *offer_many(void *arg)
{
	for (size_t n = 1; n <= 200; n++)
		offer(arg, n % 7);
	return NULL;
}

static void *ask_many(void *arg)
{
	for (size_t n = 1; n <= 200; n++) {
		struct fg_target_status s = status_of(arg);

		assert_true(s.errors <= 1000);
		fg_target_check(arg, n % 2);
	}
	return NULL;
}

static void test_target_is_used_by_many(void **arg)
{
	pthread_t threads[4];
	struct fg_target *t;
	struct fake f;
	char why[256];

	(void)arg;
	fake_init(&f);
	t = start(&f);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, i % 2 ? offer_many : ask_many, t), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	offer(t, 9);
	assert_int_equal(fg_target_wait(t, LONG), 0);
	assert_int_equal(f.last, 9);
	assert_int_equal(stop(&t, why), 0);
}

/* Items of the set that is made now. */
static size_t n_left(struct fg_store *store, uint64_t now_ns)
{
	const struct fg_plan_input in = {
		.store = store,
		.min_tier = FG_TIER_ENFORCE,
		.now_ns = now_ns,
		.conf = &fg_guard_defaults,
	};
	struct fg_export_set *set;
	struct fg_plan *plan;
	size_t n;

	assert_int_equal(fg_plan_make(&in, &plan), 0);
	assert_int_equal(fg_export_select(store, plan, &set), 0);
	n = set->n;
	fg_export_set_unref(&set);
	fg_plan_free(&plan);
	return n;
}

/* An end is a change of the store: targets without a clock are told of it by the next set. */
static void test_target_an_end_is_a_change_of_the_set(void **arg)
{
	struct fg_store *store;
	uint64_t revision;
	uint8_t addr[16], bits;
	char why[256];
	int64_t id;

	(void)arg;
	assert_int_equal(fg_store_open(NULL, NOW, &store, why, sizeof(why)), 0);
	assert_int_equal(fg_ip_parse("192.0.2.1", addr, &bits), 0);
	assert_int_equal(fg_store_block(store, addr, bits, 0, NULL, 60, "test", NOW, &id), 0);
	revision = fg_store_revision(store);
	assert_true(fg_store_expire(store, NOW + 59 * S) == 0);
	assert_int_equal(fg_store_revision(store), revision);
	assert_int_equal(n_left(store, NOW + 59 * S), 1);
	assert_true(fg_store_expire(store, NOW + 60 * S) >= 0);
	assert_true(fg_store_revision(store) > revision);
	assert_int_equal(n_left(store, NOW + 60 * S), 0);
	fg_store_close(&store);
}

/* --- Differences ------------------------------------------------------------------------------ */

static size_t count(const struct fg_diff *d, enum fg_change_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += d->changes[i].kind == kind;
	return n;
}

static struct fg_diff diff_to(struct fg_shadow *shadow, struct fg_export_set *set, uint64_t now_ns,
			      bool expires)
{
	struct fg_diff d;

	assert_int_equal(fg_diff_make(shadow, set, now_ns, expires, &d), 0);
	return d;
}

static void test_diff_adds_renews_removes(void **arg)
{
	struct fg_export_set *a = new_set(8), *b = new_set(8);
	struct fg_shadow shadow = { 0 };
	struct fg_diff d;

	(void)arg;
	put(a, "192.0.2.1", NOW + 600 * S);
	put(a, "192.0.2.2", NOW + 600 * S);
	put(a, "192.0.2.3", NOW + 600 * S);
	put(a, "192.0.2.4", NOW + 600 * S);
	d = diff_to(&shadow, a, NOW, true);
	assert_int_equal(count(&d, FG_CHANGE_ADD), 4);
	assert_int_equal(d.n, 4);
	fg_diff_done(&d, &shadow);
	d = diff_to(&shadow, a, NOW, true);
	assert_int_equal(d.n, 0);
	fg_diff_done(&d, &shadow);
	/* a little later counts not, a little sooner does, much later does */
	put(b, "192.0.2.0", NOW + 600 * S);
	put(b, "192.0.2.1", NOW + 650 * S);
	put(b, "192.0.2.2", NOW + 599 * S);
	put(b, "192.0.2.3", NOW + 700 * S);
	d = diff_to(&shadow, b, NOW, true);
	assert_int_equal(d.n_removed, 1);
	assert_int_equal(d.changes[0].kind, FG_CHANGE_REMOVE);
	assert_int_equal(d.changes[0].held->addr[15], 4);
	assert_null(d.changes[0].item);
	assert_int_equal(count(&d, FG_CHANGE_ADD), 1);
	assert_int_equal(count(&d, FG_CHANGE_RENEW), 2);
	fg_diff_done(&d, &shadow);
	assert_int_equal(shadow.n, 4);
	/* what was not told keeps the end that the target knows */
	assert_true(shadow.items[1].until_ns == NOW + 600 * S);
	assert_true(shadow.items[2].until_ns == NOW + 599 * S);
	assert_true(shadow.items[3].until_ns == NOW + 700 * S);
	fg_shadow_clear(&shadow);
	fg_export_set_unref(&a);
	fg_export_set_unref(&b);
}

static void test_diff_lets_expired_items_go(void **arg)
{
	struct fg_export_set *a = new_set(8), *none = new_set(0);
	struct fg_shadow shadow = { 0 };
	struct fg_diff d;

	(void)arg;
	put(a, "192.0.2.1", NOW + 10 * S);
	put(a, "192.0.2.2", NOW + 600 * S);
	d = diff_to(&shadow, a, NOW, true);
	fg_diff_done(&d, &shadow);
	assert_int_equal(fg_shadow_due(&shadow, NOW), 0);
	assert_int_equal(fg_shadow_due(&shadow, NOW + 8 * S), 1);
	/* a target with a clock: no change, and for a moment it may still be seen there */
	d = diff_to(&shadow, none, NOW + 11 * S, true);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.next.n, 1);
	fg_diff_free(&d);
	d = diff_to(&shadow, none, NOW + 14 * S, true);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.next.n, 0);
	fg_diff_free(&d);
	/* a target without one has to be told */
	d = diff_to(&shadow, none, NOW + 11 * S, false);
	assert_int_equal(d.n_removed, 2);
	assert_int_equal(d.next.n, 0);
	fg_diff_free(&d);
	fg_shadow_clear(&shadow);
	fg_export_set_unref(&a);
	fg_export_set_unref(&none);
}

/* The clock was set: each end is told anew, sooner or later, and what is no longer wanted is taken out
 * also where the target should have ended it by itself. */
static void test_diff_tells_ends_anew(void **arg)
{
	struct fg_export_set *a = new_set(8), *b = new_set(8);
	struct fg_shadow shadow = { 0 };
	struct fg_diff d;

	(void)arg;
	put(a, "192.0.2.1", NOW + 600 * S);
	put(a, "192.0.2.2", NOW + 10 * S);
	d = diff_to(&shadow, a, NOW, true);
	fg_diff_done(&d, &shadow);
	put(b, "192.0.2.1", NOW + 600 * S);
	fg_shadow_forget_ends(&shadow);
	assert_int_equal(fg_shadow_due(&shadow, NOW + 60 * S), 0);
	d = diff_to(&shadow, b, NOW + 60 * S, true);
	assert_int_equal(count(&d, FG_CHANGE_RENEW), 1);
	assert_int_equal(d.n_removed, 1);
	fg_diff_done(&d, &shadow);
	d = diff_to(&shadow, b, NOW + 60 * S, true);
	assert_int_equal(d.n, 0);
	fg_diff_free(&d);
	fg_shadow_clear(&shadow);
	fg_export_set_unref(&a);
	fg_export_set_unref(&b);
}

/* A set of random sources out of 64, with random ends. */
static struct fg_export_set *random_set(uint64_t *seed)
{
	struct fg_export_set *set = new_set(64);
	char source[32];

	for (unsigned int i = 0; i < 64; i++) {
		if (fg_splitmix(seed) % 3)
			continue;
		snprintf(source, sizeof(source), "10.0.0.%u", i);
		put(set, source, NOW + (1 + fg_splitmix(seed) % 1000) * S);
	}
	return set;
}

static void expect_same(const struct fg_shadow *shadow, const struct fg_held *model)
{
	size_t n = 0;

	for (size_t i = 0; i < 64; i++)
		n += model[i].until_ns != 0;
	assert_int_equal(shadow->n, n);
	for (size_t i = 0; i < shadow->n; i++) {
		const struct fg_held *held = &shadow->items[i];

		assert_true(model[held->addr[15]].until_ns == held->until_ns);
		assert_ptr_equal(fg_shadow_find(shadow, held->addr, held->bits), held);
	}
}

/* Whatever part of the changes a target takes, the shadow is what the target then holds; the rest of
 * the way leads to the set. */
static void test_diff_shadow_is_what_was_taken(void **arg)
{
	struct fg_shadow shadow = { 0 };
	struct fg_held model[64] = { 0 };
	uint64_t seed = 7;

	(void)arg;
	for (int round = 0; round < 2000; round++) {
		struct fg_export_set *set = random_set(&seed);
		struct fg_diff d = diff_to(&shadow, set, NOW, false);
		size_t n = d.n ? fg_splitmix(&seed) % (d.n + 1) : 0;

		for (size_t i = 0; i < n; i++) {
			const struct fg_held *held = d.changes[i].held;

			model[held->addr[15]] = *held;
			if (d.changes[i].kind == FG_CHANGE_REMOVE)
				model[held->addr[15]].until_ns = 0;
		}
		assert_int_equal(fg_diff_done_part(&d, n, &shadow), 0);
		expect_same(&shadow, model);
		fg_export_set_unref(&set);
	}
	fg_shadow_clear(&shadow);
}

/* --- Programs --------------------------------------------------------------------------------- */

static char why[256];

static int child(const char *const argv[], const char *input, uint32_t timeout_ms, size_t max,
		 char **ret_out)
{
	const struct fg_child c = { argv, input, input ? strlen(input) : 0, timeout_ms, max };

	why[0] = '\0';
	return fg_child_run(&c, ret_out, NULL, why, sizeof(why));
}

static void test_child_answers(void **arg)
{
	const char *const cat[] = { "cat", NULL }, *const no[] = { "false", NULL };
	const char *const say[] = { "sh", "-c", "echo oh no >&2; echo and more >&2; exit 3", NULL };
	_cleanup_free_ char *out = NULL, *large = malloc(300001);

	(void)arg;
	assert_int_equal(child(cat, "hello", LONG, 100, &out), 0);
	assert_string_equal(out, "hello");
	free(FG_TAKE_PTR(out));
	/* more than a pipe holds, both ways at once */
	memset(large, 'x', 300000);
	large[300000] = '\0';
	assert_int_equal(child(cat, large, LONG, 1 << 20, &out), 0);
	assert_string_equal(out, large);
	free(FG_TAKE_PTR(out));
	assert_int_equal(child(no, NULL, LONG, 100, &out), 1);
	assert_null(out);
	assert_string_equal(why, "false failed with status 1");
	assert_int_equal(child(say, NULL, LONG, 100, NULL), 3);
	assert_string_equal(why, "sh: oh no");
}

static void test_child_is_missing(void **arg)
{
	const char *const none[] = { "no-such-program-anywhere", NULL };
	const char *const path[] = { "/nonexistent/nft", NULL };
	const char *const folder[] = { "/", NULL };

	(void)arg;
	assert_int_equal(child(none, "x", LONG, 100, NULL), -ENOENT);
	assert_string_equal(why, "the program no-such-program-anywhere is missing");
	assert_int_equal(child(path, NULL, LONG, 100, NULL), -ENOENT);
	assert_int_equal(child(folder, NULL, LONG, 100, NULL), -EACCES);
}

/* Nobody reads what it is fed, and that does not end us. */
static void test_child_dies_early(void **arg)
{
	const char *const deaf[] = { "sh", "-c", "exec <&-; exit 0", NULL };
	const char *const killed[] = { "sh", "-c", "kill -9 $$", NULL };
	_cleanup_free_ char *large = malloc(1 << 20);

	(void)arg;
	memset(large, 'x', (1 << 20) - 1);
	large[(1 << 20) - 1] = '\0';
	assert_int_equal(child(deaf, large, LONG, 100, NULL), 0);
	assert_int_equal(child(killed, NULL, LONG, 100, NULL), 128 + SIGKILL);
	assert_string_equal(why, "sh was ended by signal 9");
}

static bool is_gone(pid_t pid)
{
	for (int i = 0; i < 1000; i++) {
		char path[64], state = 'R';
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (!f)
			return true;
		if (fscanf(f, "%*d %*s %c", &state) != 1)
			state = 'X';
		fclose(f);
		if (state == 'Z' || state == 'X')
			return true;
		usleep(10000);
	}
	return false;
}

static void test_child_that_hangs_is_killed_with_its_own(void **arg)
{
	char file[] = "/tmp/fg-child-XXXXXX", script[128];
	const char *const hang[] = { "sh", "-c", script, NULL };
	int fd = mkstemp(file), pid = 0;
	FILE *f = fdopen(fd, "r");

	(void)arg;
	snprintf(script, sizeof(script), "sleep 1000 & echo $! >%s; wait", file);
	assert_int_equal(child(hang, NULL, 1000, 100, NULL), -ETIMEDOUT);
	assert_string_equal(why, "sh took longer than 1 s");
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	assert_true(is_gone(pid));
	fclose(f);
	remove(file);
}

static void test_child_that_says_too_much_is_killed(void **arg)
{
	const char *const yes[] = { "yes", NULL };
	const char *const loud[] = { "sh", "-c", "yes >&2 & sleep 0.1; kill $!; exit 2", NULL };

	(void)arg;
	assert_int_equal(child(yes, NULL, LONG, 100000, NULL), -EFBIG);
	assert_string_equal(why, "yes said more than 100000 bytes");
	/* complaints are cut */
	assert_int_equal(child(loud, NULL, LONG, 100, NULL), 2);
	assert_string_equal(why, "sh: y");
}

/* What it leaves running keeps its pipes open, and is not waited for. */
static void test_child_leaves_somebody_behind(void **arg)
{
	const char *const leave[] = { "sh", "-c", "sleep 60 & echo $!", NULL };
	_cleanup_free_ char *out = NULL;

	(void)arg;
	assert_int_equal(child(leave, NULL, 30000, 100, &out), 0);
	assert_true(atoi(out) > 1);
	kill(atoi(out), SIGKILL);
}

/* Our mask and our descriptors are no business of a hook. */
static void test_child_gets_a_clean_start(void **arg)
{
	const char *const mask[] = { "grep", "^SigBlk", "/proc/self/status", NULL };
	/* the fourth is how it reads the folder */
	const char *const fds[] = { "ls", "/proc/self/fd", NULL };
	_cleanup_free_ char *blocked = NULL, *open_fds = NULL;
	int pipe_fds[2];
	sigset_t all, before;

	(void)arg;
	assert_int_equal(pipe(pipe_fds), 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	assert_int_equal(child(mask, NULL, LONG, 1000, &blocked), 0);
	assert_int_equal(child(fds, NULL, LONG, 1000, &open_fds), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_string_equal(blocked, "SigBlk:\t0000000000000000\n");
	assert_string_equal(open_fds, "0\n1\n2\n3\n");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* --- Targets that talk ------------------------------------------------------------------------ */

/* A server that answers each connection with one text and closes. */
struct server {
	int fd;
	const char *answer;
	pthread_t thread;
};

static void *serve(void *arg)
{
	struct server *s = arg;
	char command[16384];
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		if (recv(fd, command, sizeof(command), 0) > 0)
			send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static void test_haproxy_talks_to_something_else(void **arg)
{
	static const struct {
		const char *answer, *want;
	} rows[] = {
		{ "", "no answer at all" },
		{ "\n", ": " },
		{ "Permission denied\n\n", "Permission denied" },
		{ "Unknown map identifier. Please use #<id> or <file>.\n\n", "no rule" },
		{ "New version created: 1\n\n", "New version created: 1" },
		{ "HTTP/1.0 400 Bad request\r\n\r\n", "400 Bad request" },
	};
	char folder[] = "/tmp/fg-haproxy-XXXXXX", sock[64], map[64];
	const struct fg_haproxy_conf conf = { .socket = sock, .map = map };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct fg_export_set *set = new_set(1);
	struct fg_haproxy *haproxy;
	struct server server;

	(void)arg;
	assert_non_null(mkdtemp(folder));
	snprintf(sock, sizeof(sock), "%s/sock", folder);
	snprintf(map, sizeof(map), "%s/map", folder);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", sock);
	put(set, "192.0.2.1", NOW + 600 * S);
	assert_int_equal(fg_haproxy_new(&conf, &haproxy), 0);
	assert_int_equal(fg_haproxy_ops.apply(haproxy, set, NOW, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, sock));
	server.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(server.fd, 8), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		server.answer = rows[i].answer;
		assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
		assert_true(fg_haproxy_ops.apply(haproxy, set, NOW, why, sizeof(why)) < 0);
		if (!strstr(why, rows[i].want))
			fail_msg("'%s' gave '%s'", rows[i].answer, why);
		assert_true(fg_haproxy_ops.check(haproxy, i % 2, why, sizeof(why)) != 0);
		shutdown(server.fd, SHUT_RDWR);
		pthread_join(server.thread, NULL);
		close(server.fd);
		unlink(sock);
		server.fd = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(bind(server.fd, (struct sockaddr *)&at, sizeof(at)), 0);
		assert_int_equal(listen(server.fd, 8), 0);
	}
	close(server.fd);
	fg_haproxy_free(&haproxy);
	fg_export_set_unref(&set);
	unlink(sock);
	/* the file was written all the same: who starts reads it */
	assert_int_equal(unlink(map), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* Plays the lines that a hook took: what they add up to. */
static void play(const char *path, bool model[64])
{
	char line[1024], action[16], source[32];
	FILE *f = fopen(path, "r");

	memset(model, 0, 64 * sizeof(*model));
	while (f && fgets(line, sizeof(line), f)) {
		unsigned int i;

		assert_int_equal(sscanf(line, "{\"action\":\"%15[a-z]\",\"value\":\"%31[0-9.]\"",
					action, source),
				 2);
		assert_int_equal(sscanf(source, "10.0.0.%u", &i), 1);
		/* nothing is told twice that was taken */
		assert_true(model[i] == (strcmp(action, "add") != 0));
		model[i] = strcmp(action, "remove") != 0;
	}
	if (f)
		fclose(f);
}

/* Whenever it fails, what it took adds up to the set in the end. */
static void test_hook_misses_nothing(void **arg)
{
	char folder[] = "/tmp/fg-hook-XXXXXX", lines[64], script[256], bad[64];
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct fg_hook_conf conf = { .command = argv, .timeout_s = 10, .batch = 5 };
	struct fg_export_set *set = NULL;
	struct fg_hook_target *hook;
	uint64_t seed = 3;
	bool model[64];
	int failed = 0;

	(void)arg;
	assert_non_null(mkdtemp(folder));
	snprintf(lines, sizeof(lines), "%s/lines", folder);
	snprintf(bad, sizeof(bad), "%s/bad", folder);
	/* fails on one batch after so many that it takes */
	snprintf(script, sizeof(script),
		 "n=$(cat %s); echo $((n - 1)) >%s; [ \"$n\" = 0 ] && exit 1; cat >>%s", bad, bad,
		 lines);
	assert_int_equal(fg_hook_new(&conf, &hook), 0);
	for (int round = 0; round < 40; round++) {
		FILE *f = fopen(bad, "w");

		fprintf(f, "%u\n", round < 39 ? (unsigned int)(fg_splitmix(&seed) % 12) : 100);
		fclose(f);
		fg_export_set_unref(&set);
		set = random_set(&seed);
		failed += fg_hook_ops.apply(hook, set, NOW, why, sizeof(why)) < 0;
	}
	assert_true(failed > 5 && failed < 39);
	play(lines, model);
	for (size_t i = 0; i < set->n; i++) {
		assert_true(model[set->items[i].addr[15]]);
		model[set->items[i].addr[15]] = false;
	}
	for (size_t i = 0; i < 64; i++)
		assert_false(model[i]);
	fg_export_set_unref(&set);
	fg_hook_free(&hook);
	unlink(lines);
	unlink(bad);
	assert_int_equal(rmdir(folder), 0);
}

/* --- Files ------------------------------------------------------------------------------------ */

static void test_file_is_replaced_whole(void **arg)
{
	char folder[] = "/tmp/fg-file-XXXXXX", path[64];
	_cleanup_free_ char *text = NULL;
	struct fg_file_mark mark, none;
	struct stat st;
	size_t n;

	(void)arg;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/map", folder);
	fg_file_mark(path, &none);
	assert_false(fg_file_same(path, &none));
	assert_int_equal(fg_file_replace(path, "one\n", 4, why, sizeof(why)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	fg_file_mark(path, &mark);
	assert_true(fg_file_same(path, &mark));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(fg_file_replace(path, "two\n", 4, why, sizeof(why)), 0);
	assert_false(fg_file_same(path, &mark));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fg_file_read(path, 3, &text, &n), -EFBIG);
	assert_int_equal(fg_file_read(path, 4, &text, &n), 0);
	assert_string_equal(text, "two\n");
	/* nothing but the file is left, and a folder that is not there is said */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(fg_file_replace(path, "x", 1, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target_applies_what_it_is_offered),
		cmocka_unit_test(test_target_takes_the_newest_of_what_waited),
		cmocka_unit_test(test_target_hangs_alone),
		cmocka_unit_test(test_target_tries_again),
		cmocka_unit_test(test_target_writes_again_what_a_stranger_changed),
		cmocka_unit_test(test_target_tells_ends_anew_when_the_clock_was_set),
		cmocka_unit_test(test_target_goes_on_where_time_was_short),
		cmocka_unit_test(test_target_pauses_between_batches),
		cmocka_unit_test(test_target_that_hangs_is_left_behind),
		cmocka_unit_test(test_target_is_used_by_many),
		cmocka_unit_test(test_target_an_end_is_a_change_of_the_set),
		cmocka_unit_test(test_diff_adds_renews_removes),
		cmocka_unit_test(test_diff_lets_expired_items_go),
		cmocka_unit_test(test_diff_tells_ends_anew),
		cmocka_unit_test(test_diff_shadow_is_what_was_taken),
		cmocka_unit_test(test_child_answers),
		cmocka_unit_test(test_child_is_missing),
		cmocka_unit_test(test_child_dies_early),
		cmocka_unit_test(test_child_that_hangs_is_killed_with_its_own),
		cmocka_unit_test(test_child_that_says_too_much_is_killed),
		cmocka_unit_test(test_child_leaves_somebody_behind),
		cmocka_unit_test(test_child_gets_a_clean_start),
		cmocka_unit_test(test_haproxy_talks_to_something_else),
		cmocka_unit_test(test_hook_misses_nothing),
		cmocka_unit_test(test_file_is_replaced_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
