/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keyed 64-bit hashing of table keys. The seed is secret, random, and never leaves the host; no
 * output is ever shown, so an outsider can neither aim at a set nor build two keys that meet.
 * Each step is an xor with the seed, a multiplication by an odd number and a fold of the high half
 * into the low: enough mixing for 64-bit equality, and five cycles a word.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"

#define FG_ODD_1 0x9e3779b97f4a7c15ULL /* 2^64 / golden ratio (Knuth, TAOCP 3, 6.4) */
#define FG_ODD_2 0xd6e8feb86659fd93ULL

static __always_inline __u64 fg_mix(__u64 h, __u64 word, __u64 seed)
{
	h = (h ^ word ^ seed) * FG_ODD_1;
	return h ^ (h >> 32);
}

static __always_inline __u64 fg_mix_end(__u64 h, __u64 seed)
{
	h = (h + seed) * FG_ODD_2;
	h ^= h >> 29;
	h *= FG_ODD_1;
	h ^= h >> 32;
	/* 0 and 1 mean free and busy in a tag. */
	return h > FG_TAG_BUSY ? h : h + 2;
}

static __always_inline __u64 fg_hash_flow(const volatile __u64 seed[4], const __u64 client[2],
					  const __u64 server[2], __u32 ports)
{
	__u64 a = fg_mix(seed[0], client[0], seed[1]);
	__u64 b = fg_mix(seed[2], server[0], seed[3]);

	a = fg_mix(a, client[1], seed[2]);
	b = fg_mix(b, server[1] + ports, seed[0]);
	return fg_mix_end(a ^ (b << 17 | b >> 47), seed[1] + ports);
}

static __always_inline __u64 fg_hash_source(const volatile __u64 seed[4], const __u64 addr[2])
{
	__u64 h = fg_mix(seed[1], addr[0], seed[2]);

	return fg_mix_end(fg_mix(h, addr[1], seed[3]), seed[0]);
}

static __always_inline __u64 fg_hash_client(const volatile __u64 seed[4], const __u64 addr[2],
					    __u64 stem, __u64 stack)
{
	__u64 h = fg_mix(seed[3], addr[0], seed[0]);

	h = fg_mix(h, addr[1], seed[1]);
	h = fg_mix(h, stem, seed[2]);
	return fg_mix_end(fg_mix(h, stack, seed[3]), seed[0]);
}

static __always_inline __u64 fg_hash_print(const volatile __u64 seed[4], __u64 print)
{
	return fg_mix_end(fg_mix(seed[2], print, seed[0]), seed[3]);
}
