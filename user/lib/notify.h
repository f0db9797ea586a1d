/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The service manager's notification socket (sd_notify protocol), without its library: datagrams
 * to $NOTIFY_SOCKET. Everything succeeds and does nothing where the variable is not set.
 */
#pragma once

#include <stdint.h>

/** One datagram, e.g. "READY=1" or several lines. @return 0, -EINVAL bad address, -errno. */
int fg_notify(const char *state);

/** "STATUS=" and one line for `systemctl status`. @return as fg_notify(). */
int fg_notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline int fg_notify_ready(void)
{
	return fg_notify("READY=1");
}

static inline int fg_notify_stopping(void)
{
	return fg_notify("STOPPING=1");
}

static inline int fg_notify_watchdog(void)
{
	return fg_notify("WATCHDOG=1");
}

/** Time between two fg_notify_watchdog(): half of $WATCHDOG_USEC. 0 = no watchdog asked of this
 * process ($WATCHDOG_PID names another, or the variable is missing or no number). */
uint64_t fg_notify_watchdog_ns(void);
