/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A bounds-checked reader over a frame's headers, and the few words that mean something different
 * to the kernel's verifier and to a host compiler. The project's only #ifdef __bpf__ lives here.
 */
#pragma once

#include <linux/types.h>

#ifdef __bpf__
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#define fg_ntohs(x) bpf_ntohs(x)
#define fg_ntohl(x) bpf_ntohl(x)
#define fg_be64(x)  bpf_be64_to_cpu(x)
/* The verifier must see the very comparison that the source spells out. */
#define fg_barrier(x) asm volatile("" : "+r"(x))
#else
#include <endian.h>
#include <string.h>
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define fg_ntohs(x)   be16toh(x)
#define fg_ntohl(x)   be32toh(x)
#define fg_be64(x)    be64toh(x)
#define fg_barrier(x) ((void)(x))
#endif

/* Values written before are read again from memory behind this. */
#define fg_reload()    asm volatile("" ::: "memory")

#define fg_likely(x)   __builtin_expect(!!(x), 1)
#define fg_unlikely(x) __builtin_expect(!!(x), 0)

/* Loads at any alignment; the compilers turn them into one load where the machine can. */
static __always_inline __u16 fg_load_be16(const void *p)
{
	__u16 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return fg_ntohs(v);
}

static __always_inline __u32 fg_load_be32(const void *p)
{
	__u32 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return fg_ntohl(v);
}

static __always_inline __u32 fg_load_u32(const void *p)
{
	__u32 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static __always_inline __u64 fg_load_u64(const void *p)
{
	__u64 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

/* True where sequence number a is before b (RFC 9293 section 3.4: arithmetic modulo 2^32). */
static __always_inline int fg_seq_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}
