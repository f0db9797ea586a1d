/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loop. A watch that is removed while its batch of events is being worked off is only marked,
 * and freed after the batch: an event of it may still wait in the array.
 */
#define _GNU_SOURCE
#include "lib/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/mem.h"

/* Events taken by one epoll_wait(); more wait for the next. */
#define BATCH 32

enum kind {
	KIND_FD,
	KIND_TIMER,
	KIND_SIGNALS
};

struct watch {
	struct watch *next;
	int fd;
	enum kind kind; /* timers and signals are the loop's own fds */
	bool dead;
	fg_loop_fn fn;
	void *arg;
};

struct fg_loop {
	int epoll;
	bool stop;
	bool masked; /* old_mask is to be given back */
	sigset_t old_mask;
	struct watch *watches;
};

int fg_loop_new(struct fg_loop **ret_loop)
{
	struct fg_loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		r = -errno;
		free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

static void free_watch(struct watch *w)
{
	if (w->kind != KIND_FD)
		close(w->fd);
	free(w);
}

static void free_watches(struct fg_loop *loop, bool dead_only)
{
	struct watch **at = &loop->watches, *w;

	while ((w = *at)) {
		if (dead_only && !w->dead) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free_watch(w);
	}
}

void fg_loop_free(struct fg_loop **loop)
{
	if (!*loop)
		return;
	free_watches(*loop, false);
	if ((*loop)->masked)
		sigprocmask(SIG_SETMASK, &(*loop)->old_mask, NULL);
	close((*loop)->epoll);
	free(*loop);
	*loop = NULL;
}

static struct watch *find_watch(const struct fg_loop *loop, int fd)
{
	struct watch *w;

	for (w = loop->watches; w; w = w->next) {
		if (w->fd == fd && !w->dead)
			return w;
	}
	return NULL;
}

static int add_watch(struct fg_loop *loop, int fd, uint32_t events, enum kind kind, fg_loop_fn fn,
		     void *arg)
{
	struct watch *w = malloc(sizeof(*w));
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!w)
		return -ENOMEM;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(w);
		return -errno;
	}
	*w = (struct watch){ .next = loop->watches, .fd = fd, .kind = kind, .fn = fn, .arg = arg };
	loop->watches = w;
	return 0;
}

int fg_loop_add(struct fg_loop *loop, int fd, uint32_t events, fg_loop_fn fn, void *arg)
{
	return add_watch(loop, fd, events, KIND_FD, fn, arg);
}

int fg_loop_modify(struct fg_loop *loop, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = find_watch(loop, fd) };

	if (!ev.data.ptr)
		return -ENOENT;
	return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
}

int fg_loop_remove(struct fg_loop *loop, int fd)
{
	struct watch *w = find_watch(loop, fd);

	if (!w)
		return -ENOENT;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
	w->dead = true;
	return 0;
}

int fg_loop_every(struct fg_loop *loop, uint64_t period_ns, fg_loop_fn fn, void *arg)
{
	struct timespec period = { .tv_sec = (time_t)(period_ns / 1000000000),
				   .tv_nsec = (long)(period_ns % 1000000000) };
	struct itimerspec spec = { .it_interval = period, .it_value = period };
	_cleanup_close_ int fd = -1;
	int r;

	if (!period_ns)
		return -EINVAL;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) < 0)
		return -errno;
	r = add_watch(loop, fd, EPOLLIN, KIND_TIMER, fn, arg);
	if (r < 0)
		return r;
	return FG_TAKE_FD(fd);
}

int fg_loop_signals(struct fg_loop *loop, fg_loop_fn fn, void *arg)
{
	_cleanup_close_ int fd = -1;
	sigset_t set, old;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = add_watch(loop, fd, EPOLLIN, KIND_SIGNALS, fn, arg);
	if (r < 0)
		return r;
	FG_TAKE_FD(fd);
	sigprocmask(SIG_BLOCK, &set, &old);
	if (!loop->masked)
		loop->old_mask = old;
	loop->masked = true;
	return 0;
}

/* The callback's answer; 0 where a timer or signal was taken back meanwhile. */
static int dispatch(const struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;
	uint64_t periods;

	switch (w->kind) {
	case KIND_TIMER:
		if (read(w->fd, &periods, sizeof(periods)) != sizeof(periods))
			return 0;
		return w->fn(w->arg, periods > UINT32_MAX ? UINT32_MAX : (uint32_t)periods);
	case KIND_SIGNALS:
		if (read(w->fd, &info, sizeof(info)) != sizeof(info))
			return 0;
		return w->fn(w->arg, info.ssi_signo);
	default:
		return w->fn(w->arg, events);
	}
}

int fg_loop_run(struct fg_loop *loop)
{
	struct epoll_event events[BATCH];
	int i, n, r = 0;

	loop->stop = false;
	while (!loop->stop && r >= 0) {
		n = epoll_wait(loop->epoll, events, BATCH, -1);
		if (n < 0 && errno != EINTR)
			r = -errno;
		for (i = 0; i < n && !loop->stop && r >= 0; i++) {
			const struct watch *w = events[i].data.ptr;

			if (!w->dead)
				r = dispatch(w, events[i].events);
		}
		free_watches(loop, true);
	}
	return r < 0 ? r : 0;
}

void fg_loop_stop(struct fg_loop *loop)
{
	loop->stop = true;
}
