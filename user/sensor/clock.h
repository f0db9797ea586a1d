/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's tick counter (jiffies), read through two tiny programs run on demand: nothing else
 * shows it to user space, and expiry of blocks must not depend on another clock. */
#pragma once

#include <stdint.h>

struct fg_ticks {
	int low_fd, high_fd;
};

/** @return 0, -errno of the program load (-EPERM without CAP_BPF). */
int fg_ticks_open(struct fg_ticks *ret_ticks);
void fg_ticks_close(struct fg_ticks *ticks);
/** @return 0, -errno. */
int fg_ticks_now(const struct fg_ticks *ticks, uint64_t *ret_ticks);
/** Measures the length of a tick, for 200 ms where nothing disturbs it; answers one of the kernel's
 * possible lengths (HZ 100, 250, 300, 1000). @return 0, -ETIME where 5 s did not tell, -errno. */
int fg_ticks_length(const struct fg_ticks *ticks, uint64_t *ret_tick_ns);

/* What is known of the length of a tick; zeroed at first. */
struct fg_tick_guess {
	uint64_t ns, ticks; /* the reading before */
	uint64_t length; /* that the period up to it came nearest to; 0 = none */
	unsigned int n; /* readings */
};

/** One more reading of both clocks. @return the length once two periods in a row agree on it, else 0. */
uint64_t fg_tick_guess(struct fg_tick_guess *guess, uint64_t ns, uint64_t ticks);
