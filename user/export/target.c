/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The thread of a target. It sleeps until there is something to do: a set that was not applied yet,
 * a look that was asked for, a failure whose time to be tried again has come.
 *
 * Everything in struct fg_target but ops and impl is under the lock; impl is the thread's alone from
 * its start to its end. The lock is never held while a target works.
 */
#include "export/target.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/now.h"

#define S_TO_NS 1000000000ULL

struct fg_target {
	const struct fg_target_ops *ops;
	void *impl;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work; /* for the thread: something changed */
	pthread_cond_t done; /* for who waits: a batch, or the thread, is at its end */
	struct fg_export_set *set; /* the newest that was offered; NULL = none yet */
	uint64_t offered,
		tried; /* numbers of the newest set, and of the last that was applied or failed */
	bool due; /* the newest set has to be applied, or applied again */
	bool look, look_full;
	bool forget; /* the ends that impl was told, before the next apply */
	bool halt, ended, abandoned;
	uint64_t not_before_ns; /* monotonic: the end of a pause, or of the wait after a failure */
	uint32_t retry_s; /* the wait after the next failure */
	int left; /* what leave said */
	struct fg_target_status status;
};

/* Waits for a signal on cond until then (monotonic, UINT64_MAX = for ever). @return 0, -ETIMEDOUT. */
static int wait_until(struct fg_target *t, pthread_cond_t *cond, uint64_t then_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(then_ns / S_TO_NS),
		.tv_nsec = (long)(then_ns % S_TO_NS),
	};

	if (then_ns == UINT64_MAX)
		return -pthread_cond_wait(cond, &t->lock);
	return -pthread_cond_timedwait(cond, &t->lock, &ts);
}

/* --- The thread ------------------------------------------------------------------------------- */

static void note_failure(struct fg_target *t, const char *why, int r)
{
	t->status.errors++;
	t->status.failing = true;
	snprintf(t->status.error, sizeof(t->status.error), "%s", why[0] ? why : strerror(-r));
	t->not_before_ns = fg_monotonic_ns() + t->retry_s * S_TO_NS;
	t->retry_s *= 2;
	if (t->retry_s > FG_TARGET_RETRY_LAST_S)
		t->retry_s = FG_TARGET_RETRY_LAST_S;
	t->due = true;
}

static void note_success(struct fg_target *t, int changes, size_t n_items, uint64_t took_ns)
{
	uint32_t pause_s = changes && t->ops->pause_s ? t->ops->pause_s(t->impl) : 0;

	t->status.failing = false;
	t->status.applied += (uint64_t)changes;
	t->status.batches += changes != 0;
	t->status.unexportable = t->ops->unexportable ? t->ops->unexportable(t->impl) : 0;
	t->status.held = n_items - t->status.unexportable;
	t->status.last_success_ns = fg_unix_ns();
	if (changes)
		t->status.last_batch_ns = took_ns;
	t->retry_s = FG_TARGET_RETRY_FIRST_S;
	t->not_before_ns = pause_s ? fg_monotonic_ns() + pause_s * S_TO_NS : 0;
}

static void apply_newest(struct fg_target *t)
{
	struct fg_export_set *set = fg_export_set_ref(t->set);
	uint64_t number = t->offered, began_ns, took_ns;
	char why[sizeof(t->status.error)] = "";
	bool forget = t->forget;
	int r;

	t->due = t->forget = false;
	pthread_mutex_unlock(&t->lock);
	began_ns = fg_monotonic_ns();
	if (forget)
		t->ops->forget_ends(t->impl);
	r = t->ops->apply(t->impl, set, fg_unix_ns(), why, sizeof(why));
	took_ns = fg_monotonic_ns() - began_ns;
	pthread_mutex_lock(&t->lock);
	if (r < 0 && r != -EAGAIN)
		note_failure(t, why, r);
	else if (r >= 0)
		note_success(t, r, set->n, took_ns);
	if (r == -EAGAIN || (r >= 0 && t->ops->more && t->ops->more(t->impl)))
		t->due = true;
	else
		t->tried = number;
	fg_export_set_unref(&set);
	pthread_cond_broadcast(&t->done);
}

/* Somebody may have flushed the ruleset, or restarted the balancer with an old file. */
static void look(struct fg_target *t)
{
	char why[sizeof(t->status.error)] = "";
	bool full = t->look_full;
	int r;

	t->look = t->look_full = false;
	pthread_mutex_unlock(&t->lock);
	r = t->ops->check(t->impl, full, why, sizeof(why));
	pthread_mutex_lock(&t->lock);
	if (r < 0) {
		note_failure(t, why, r);
	} else if (r > 0) {
		t->status.rewrites++;
		snprintf(t->status.found, sizeof(t->status.found), "%s", why);
		t->due = true;
	}
}

/* What to do now: at most one thing, so that a halt between two of them is seen. */
static void step(struct fg_target *t)
{
	bool waits = t->not_before_ns > fg_monotonic_ns();

	/* who waits after a failure writes everything anyway */
	if (t->look && !t->status.failing && !t->due)
		look(t);
	else if (t->due && !waits)
		apply_newest(t);
	else
		wait_until(t, &t->work, t->due ? t->not_before_ns : UINT64_MAX);
}

static void free_target(struct fg_target *t)
{
	if (t->ops->free)
		t->ops->free(t->impl);
	fg_export_set_unref(&t->set);
	pthread_cond_destroy(&t->work);
	pthread_cond_destroy(&t->done);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void *run(void *arg)
{
	struct fg_target *t = arg;
	char why[sizeof(t->status.error)] = "";
	bool abandoned;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	while (!t->halt)
		step(t);
	pthread_mutex_unlock(&t->lock);
	if (t->ops->leave)
		r = t->ops->leave(t->impl, why, sizeof(why));
	pthread_mutex_lock(&t->lock);
	t->left = r;
	if (r < 0)
		snprintf(t->status.error, sizeof(t->status.error), "%s", why);
	t->ended = true;
	abandoned = t->abandoned;
	pthread_cond_broadcast(&t->done);
	pthread_mutex_unlock(&t->lock);
	if (abandoned)
		free_target(t);
	return NULL;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static int init_sync(struct fg_target *t)
{
	pthread_condattr_t attr;
	int error = pthread_mutex_init(&t->lock, NULL);

	if (error)
		return -error;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->work, &attr);
	pthread_cond_init(&t->done, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

/* Signals are the loop's: its threads get none of them. */
static int start_thread(struct fg_target *t)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

int fg_target_start(const struct fg_target_ops *ops, void *impl, struct fg_target **ret_target)
{
	struct fg_target *t = calloc(1, sizeof(*t));
	int r = t ? init_sync(t) : -ENOMEM;

	if (r) {
		free(t);
		if (ops->free)
			ops->free(impl);
		return r;
	}
	t->ops = ops;
	t->impl = impl;
	t->retry_s = FG_TARGET_RETRY_FIRST_S;
	t->status.name = ops->name;
	r = start_thread(t);
	if (r) {
		free_target(t);
		return r;
	}
	*ret_target = t;
	return 0;
}

void fg_target_offer(struct fg_target *t, struct fg_export_set *set)
{
	pthread_mutex_lock(&t->lock);
	fg_export_set_unref(&t->set);
	t->set = fg_export_set_ref(set);
	t->offered++;
	t->due = true;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

void fg_target_forget_ends(struct fg_target *t)
{
	if (!t->ops->forget_ends)
		return;
	pthread_mutex_lock(&t->lock);
	/* before the first set it was told nothing */
	t->forget = t->due = t->set != NULL;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

void fg_target_check(struct fg_target *t, bool full)
{
	if (!t->ops->check)
		return;
	pthread_mutex_lock(&t->lock);
	/* before the first set there is nothing to look for */
	t->look = t->set != NULL;
	t->look_full |= full;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

void fg_target_status(struct fg_target *t, struct fg_target_status *ret_status)
{
	pthread_mutex_lock(&t->lock);
	*ret_status = t->status;
	pthread_mutex_unlock(&t->lock);
}

int fg_target_wait(struct fg_target *t, uint32_t timeout_ms)
{
	uint64_t then_ns = fg_monotonic_ns() + timeout_ms * 1000000ULL, number;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	number = t->offered;
	while (!r && t->tried < number)
		r = wait_until(t, &t->done, then_ns);
	if (t->tried >= number)
		r = t->status.failing ? -EIO : 0;
	pthread_mutex_unlock(&t->lock);
	return r;
}

void fg_target_halt(struct fg_target *t)
{
	pthread_mutex_lock(&t->lock);
	t->halt = true;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

int fg_target_stop(struct fg_target **target, uint32_t timeout_ms, char *why, size_t n_why)
{
	struct fg_target *t = *target;
	uint64_t then_ns = fg_monotonic_ns() + timeout_ms * 1000000ULL;
	pthread_t thread;
	bool ended;
	int r = 0;

	*target = NULL;
	if (!t)
		return 0;
	fg_target_halt(t);
	pthread_mutex_lock(&t->lock);
	while (!r && !t->ended)
		r = wait_until(t, &t->done, then_ns);
	ended = t->ended;
	t->abandoned = !ended;
	thread = t->thread;
	r = ended ? t->left : -ETIMEDOUT;
	if (!ended)
		snprintf(why, n_why, "it still hangs in what it does");
	else if (r)
		snprintf(why, n_why, "%s", t->status.error);
	pthread_mutex_unlock(&t->lock);
	if (!ended) {
		pthread_detach(thread);
		return r;
	}
	pthread_join(thread, NULL);
	free_target(t);
	return r;
}
