/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Our own class of a TCP SYN, packed without loss into 64 bits so that it is key and name at once:
 *
 *   bits  0-15 window            16-17 initial TTL bucket (32 64 128 255)
 *        18-21 MSS bucket        22-26 window scale + 1 (0 = none)
 *        27    don't fragment    28    ECN asked for
 *        29    more options than fit           30-59 ten option kinds, three bits each
 *        60    always 1, so that no stack is 0
 *
 * The MSS is bucketed because tunnels and access networks clamp it by a few bytes; the TTL because
 * each hop takes one.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"
#include "farmgate/frame.h"

#define FG_STACK_MAX_OPTIONS 10
#define FG_STACK_VALID	     (1ULL << 60)
/* Of every QUIC client: there is no SYN to tell its system by. */
#define FG_STACK_QUIC 2ULL

enum fg_stack_option {
	FG_OPT_NONE,
	FG_OPT_NOP,
	FG_OPT_MSS,
	FG_OPT_WS,
	FG_OPT_SACK,
	FG_OPT_TS,
	FG_OPT_EOL,
	FG_OPT_OTHER,
};

/* Upper ends of the MSS buckets; bucket 0 = no MSS option, 15 = anything larger. */
/* clang-format off */
#define FG_STACK_MSS_BUCKETS(X)                                           \
	X(1, 536) X(2, 1024) X(3, 1220) X(4, 1300) X(5, 1340) X(6, 1360)  \
	X(7, 1380) X(8, 1400) X(9, 1420) X(10, 1440) X(11, 1452)          \
	X(12, 1460) X(13, 8960) X(14, 65495)
/* clang-format on */

static __always_inline __u32 fg_stack_mss_bucket(__u32 mss)
{
#define FG_BUCKET(n, end) \
	if (mss <= (end)) \
		return n;
	FG_STACK_MSS_BUCKETS(FG_BUCKET)
#undef FG_BUCKET
	return 15;
}

static __always_inline __u32 fg_stack_ttl_bucket(__u8 ttl)
{
	return ttl <= 32 ? 0 : ttl <= 64 ? 1 : ttl <= 128 ? 2 : 3;
}

static __always_inline __u32 fg_stack_kind(__u8 kind)
{
	switch (kind) {
	case 0:
		return FG_OPT_EOL;
	case 1:
		return FG_OPT_NOP;
	case 2:
		return FG_OPT_MSS;
	case 3:
		return FG_OPT_WS;
	case 4:
		return FG_OPT_SACK;
	case 8:
		return FG_OPT_TS;
	default:
		return FG_OPT_OTHER;
	}
}

/**
 * Stack of a SYN. options holds f->options_len bytes copied out of the frame, in a buffer of 64
 * (the rest may be anything). A kind whose length runs out ends the walk. *ret_ts is where the value
 * of the timestamp option (RFC 7323) begins, 0 where there is none.
 */
static __always_inline __u64 fg_stack_of_syn(const struct fg_frame *f, const __u8 options[64],
					     __u32 *ret_ts)
{
	__u64 stack = FG_STACK_VALID | f->window;
	__u32 pos = 0, kinds_at = 30, end = f->options_len;
	int i;

	*ret_ts = 0;
	stack |= (__u64)fg_stack_ttl_bucket(f->ttl) << 16;
	stack |= (__u64)(f->dont_fragment != 0) << 27;
	stack |= (__u64)((f->tcp_flags & (FG_TCP_ECE | FG_TCP_CWR)) == (FG_TCP_ECE | FG_TCP_CWR))
		 << 28;
	for (i = 0; i < FG_STACK_MAX_OPTIONS; i++) {
		__u32 at = pos & 63, kind, len;

		if (pos >= end)
			break;
		kind = options[at];
		len = kind < 2 ? 1 : options[(at + 1) & 63];
		stack |= (__u64)fg_stack_kind(kind) << kinds_at;
		kinds_at += 3;
		if (kind == 2 && len == 4)
			stack |= (__u64)fg_stack_mss_bucket((__u32)options[(at + 2) & 63] << 8 |
							    options[(at + 3) & 63])
				 << 18;
		if (kind == 8 && len == 10)
			*ret_ts = at + 2;
		if (kind == 3 && len == 3)
			stack |= (__u64)((options[(at + 2) & 63] & 15) + 1) << 22;
		if (kind == 0 || len == 0)
			return stack;
		pos += len;
	}
	if (pos < end)
		stack |= 1ULL << 29;
	return stack;
}
