/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The clocks, in ns. For who stands at the edge: everything else is told the time. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t fg_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* Since 1970; may be set while we look. */
static inline uint64_t fg_unix_ns(void)
{
	return fg_clock_ns(CLOCK_REALTIME);
}

static inline uint64_t fg_monotonic_ns(void)
{
	return fg_clock_ns(CLOCK_MONOTONIC);
}

/** Signed, for what is left until a time that may be past. */
static inline int64_t fg_monotonic_ms(void)
{
	return (int64_t)(fg_monotonic_ns() / 1000000);
}
