/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an exchange looked like from outside: the sums of its row, folded into 16 bits. Computed by
 * the programs where a later exchange ends it, by the agent where silence or the connection's end
 * does.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"

/* Four bits: 0 below 2^from, then one step a doubling. Without a branch, or the verifier would
 * follow each of the results. */
static __always_inline __u32 fg_turn_log(__u64 n, __u32 from)
{
	__u64 log = 0, above;
	__u32 i;

#pragma GCC unroll 15
	for (i = 0; i < 15; i++) {
		above = (1ULL << (from + i)) - 1 - n; /* its top bit says n >= 2^(from + i) */
		fg_barrier(above);
		log += above >> 63;
	}
	return log;
}

/**
 * Shape of an exchange, four logarithms of four bits each: request bytes (0 = below 128, 15 = from
 * 2 MiB on) in bits 12-15, answer bytes (the same) in 8-11, milliseconds from the request to the
 * answer's end (0 = 0, 15 = from 16 s on) in 4-7, to its first byte in 0-3.
 */
static __always_inline __u16 fg_turn_shape(__u32 up_bytes, __u32 down_bytes, __u32 lasted_ms,
					   __u32 first_ms)
{
	return fg_turn_log(up_bytes, 7) << 12 | fg_turn_log(down_bytes, 7) << 8 |
	       fg_turn_log(lasted_ms, 0) << 4 | fg_turn_log(first_ms, 0);
}

/* Milliseconds between two ticks, 0 where they are in the wrong order. */
static __always_inline __u32 fg_ticks_ms(__u32 from, __u32 to, __u32 tick_ns)
{
	__s32 ticks = to - from;

	return ticks > 0 ? (__u64)(__u32)ticks * tick_ns / 1000000 : 0;
}

/* The exchange in hand as it stands, its answer having ended at this tick. */
static __always_inline void fg_turn_sum_up(const struct fg_timing *t, __u32 bytes_in,
					   __u32 bytes_out, __u32 chunks, __u32 end, __u32 tick_ns,
					   struct fg_turn *ret)
{
	__u32 lasted_ms = fg_ticks_ms(t->turn_start, end, tick_ns);

	ret->start = t->turn_start;
	ret->lasted_ms = lasted_ms;
	ret->chunks = chunks < 65535 ? chunks : 65535;
	ret->shape = fg_turn_shape(bytes_in - t->turn_in, bytes_out - t->turn_out, lasted_ms,
				   fg_ticks_ms(t->turn_start, t->turn_first, tick_ns));
}
