/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One epoll loop: file descriptors, periodic timers, signals. One thread; callbacks never overlap. */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>

struct fg_loop;

/** what: epoll events of a file descriptor, periods elapsed of a timer (more than one after a
 * stall), number of a signal. @return 0 to go on; a negative errno ends fg_loop_run() with it. */
typedef int (*fg_loop_fn)(void *arg, uint32_t what);

/** @return 0, -ENOMEM, -errno. */
int fg_loop_new(struct fg_loop **ret_loop);
/** Closes its own timers and signals and gives the signal mask back; added fds stay the caller's. */
void fg_loop_free(struct fg_loop **loop);

/** events: EPOLLIN and so on. @return 0, -EEXIST, -ENOMEM, -errno. */
int fg_loop_add(struct fg_loop *loop, int fd, uint32_t events, fg_loop_fn fn, void *arg);
/** @return 0, -ENOENT, -errno. */
int fg_loop_modify(struct fg_loop *loop, int fd, uint32_t events);
/** Also from inside a callback; call it before closing fd. @return 0, -ENOENT. */
int fg_loop_remove(struct fg_loop *loop, int fd);

/** Calls fn each period of the monotonic clock, first after one period. The id is good for
 * fg_loop_remove(). @return id (0 or more), -EINVAL for a period of 0, -errno. */
int fg_loop_every(struct fg_loop *loop, uint64_t period_ns, fg_loop_fn fn, void *arg);

/** SIGTERM, SIGINT and SIGHUP arrive in fn from now on. Call it before any thread is made, so that
 * all of them inherit the mask. @return 0, -errno. */
int fg_loop_signals(struct fg_loop *loop, fg_loop_fn fn, void *arg);

/** Until fg_loop_stop() or a callback's error. @return 0, or that error. */
int fg_loop_run(struct fg_loop *loop);
/** fg_loop_run() returns 0 after the current callback. */
void fg_loop_stop(struct fg_loop *loop);
