/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Set-associative tables. A keyed hash picks one set; a set is eight tags (one cache line) and
 * eight rows. Works on pointers into a set, wherever the set lives.
 *
 *   set = hash >> 32 & mask        tag = hash     (0 = free, 1 = being filled)
 *
 * Claiming a row: compare-and-swap its tag to busy, write the key, publish the tag. Two CPUs that
 * claim the same key at the same time may end with two rows of it; the first is found from then
 * on and the agent adds both up, so nothing is lost or counted twice.
 *
 * Replacement, when no tag is free. A row is clean when the agent has taken its counts: two whole
 * epochs went by since it was last touched (the agent's pass over the first takes them; the second
 * is there for a program that read the old epoch number and was late with its addition). Only clean rows are replaced, the longest
 * idle first. Where the agent has been silent for FG_HEARTBEAT_LOST_NS, rows go by age whether
 * clean or not, and each counts as untaken_lost: new sources must not go dark with the agent.
 *
 * Counters are added to atomically (another CPU, or the egress hook) and never reset; the agent
 * keeps shadows and notices a new owner of a row by its generation.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"

#define FG_WAY_NONE FG_WAYS

static __always_inline __u32 fg_set_index(__u64 hash, __u32 mask)
{
	return (hash >> 32) & mask;
}

/* Way with this tag, or FG_WAY_NONE. */
static __always_inline __u32 fg_set_find(const __u64 tag[FG_WAYS], __u64 hash)
{
	__u32 i;

#pragma GCC unroll 8
	for (i = 0; i < FG_WAYS; i++)
		if (tag[i] == hash)
			return i;
	return FG_WAY_NONE;
}

/* What a new row may replace, and how gladly: 0 = not at all, larger = rather. */
static __always_inline __u32 fg_age_rank(__u32 touched, __u32 epoch, int agent_lost)
{
	__u32 idle = epoch - touched;

	if (idle >= 3 && idle < 0x7fffffff)
		return 2 + (idle < 0x3ffffff0 ? idle : 0x3ffffff0);
	return agent_lost ? 1 : 0;
}

/* Compare-and-swap of one tag; true where this CPU now owns the row. */
static __always_inline int fg_tag_claim(__u64 *tag, __u64 old)
{
	return __sync_val_compare_and_swap(tag, old, FG_TAG_BUSY) == old;
}

static __always_inline void fg_tag_publish(__u64 *tag, __u64 value)
{
	__sync_lock_test_and_set(tag, value);
}
