/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the stages need from the side they run on. bpf/platform.bpf.h answers with maps and
 * helpers, user/source/platform_host.h with memory; a third side (a fuzzer) would answer likewise.
 * Each side defines, before it includes pipeline.h:
 *
 *   struct fg_env          at least the members of FG_ENV below
 *   FG_CFG(env)            pointer to the configuration
 *   fg_timing_at(env, i)   row i of timings; NULL as below
 *   fg_TABLE_set(env, i)   set i of flows, knocks, sources, clients, prints; NULL only if i is out
 *                          of range, which the mask excludes
 *   fg_stream_at(env, i), fg_stash_at(env, i)   row i of streams, of stash
 *   fg_overflow_at(env, i) column i of overflow
 *   fg_headers(env, &data, &data_end)   the frame's bytes in memory, at least its headers
 *   fg_forget(env, x)      x; the kernel's verifier loses its value, so that paths converge
 *   fg_add(p, n)           adds to a counter that other CPUs may add to
 *   fg_swap32(p, old, new) compare-and-swap, true when it stored
 *   fg_or32(p, bits)       sets bits, answers what was there before
 *   fg_now_ns(env)         fine clock; costs about 150 ns on a cold path, so: hellos only
 *   fg_peek(env, off, dst, n)   n <= 8 bytes of the frame into dst; false where they are missing
 *   fg_payload(env, off, n)     n bytes of the frame into scratch->segment; answers how many
 *   fg_copy_payload(env, off, dst, n)   n <= FG_STASH_BYTES of it to dst; false where any is missing
 *   fg_stream_run(env)     fg_stream_step() until it answers 0
 *   fg_proxy_run(env)      fg_proxy_step() until it answers 0
 *   fg_unwrap_apart(env, frame_len, outcome)   fg_unwrap() of the frame in the scratch, and
 *   fg_proxy_apart(env, flow, seq, n)   proxy_take(): what few installations ask for, in functions of
 *                          their own, so that the kernel's verifier does not follow all else twice
 *   fg_socket_proof(env, f, k)  enum fg_socket
 *   fg_source_blocked(env, k), fg_prefix_blocked(env, k, lengths), fg_client_blocked(env, k, stem,
 *                          stack)   whether an entry of that drop map holds now
 *   fg_emit(env, k, flow, h, status)   hands the agent a sample
 *   fg_hand_datagram(env, k, off, n)   hands the agent n bytes of the frame
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"
#include "farmgate/frame.h"

/* A connection's name, client first; addresses as in memory, ports in host order. */
struct fg_key {
	__u64 client[2];
	__u64 server[2];
	__u16 client_port, server_port;
};

/* A PROXY header being read; addresses in host order, high half first. */
struct fg_proxy {
	__u64 source[2]; /* results */
	__u32 length; /* of the whole header */
	__u16 port;
	__u8 named; /* it is somebody's: source and port are valid */
	/* proxy_header.h */
	__u8 ipv6;
	__u8 field; /* enum proxy_field */
	__u8 digits, quads, colons, has_gap, n_front, n_back;
	__u8 pad;
	__u32 at, end; /* of the segment */
	__u32 hex, decimal, quad; /* the number in hand; four bytes in decimal */
	__u64 front[2], back[2]; /* groups before a "::", groups since */
};

/*
 * One CPU's working memory: what is too large for a program's stack, and what the verifier should
 * not follow. It tracks each value on the stack along each path; of values here it knows nothing,
 * so that the many ways through the headers meet again behind the parser.
 */
struct fg_scratch {
	__u64 zero; /* always 0; its value is unknown to the verifier */
	__u64 ticks; /* of env, and the slot of its totals: for the functions apart */
	__u32 slot;
	struct fg_frame frame;
	struct fg_key key;
	__u32 flow_at; /* place of the flow found or made last: set * FG_WAYS + way */
	__u32 now_us; /* timing.h: of the hello segment in hand */
	__u32 clock_tick, clocks; /* fine clock reads left in this tick, timing_may_clock() */
	__u64 reset_start; /* tick at which the second of the resets below began */
	__u32 resets;
	__u8 reset; /* of a frame that is dropped: it is to be answered with a RST */
	__u8 action; /* enum fg_action, and */
	__u8 outcome; /* enum fg_outcome of the client's segment in hand */
	__u32 active; /* tick of the connection's last activity before the segment in hand */
	__u8 second_hello; /* the segment in hand began one */
	__u64 best_tag; /* claim_consider() */
	__u32 best, best_rank, best_touched;
	__u8 options[64];
	__u32 ts_at; /* fg_stack_of_syn() */
	struct fg_proxy proxy;
	struct fg_hello hello;
	__u8 segment[FG_SEGMENT_MAX_BYTES + 64];
	/* of the stream in hand; read again behind its loop, see fg_stream_step() */
	__u64 hash; /* of its connection */
	__u64 stash_hash; /* the same; 0 = nothing of it waits in the stash */
	__u32 want, have; /* new bytes of the frame; of these, bytes that are there */
	__u32 segment_seq; /* of segment[0] */
	__u32 next_seq; /* behind the segment */
	__u32 probe, copy_way, copy_from, copy_len, copied;
};

#define FG_ENV                                               \
	struct fg_scratch *scratch;                          \
	struct fg_totals *totals; /* of this CPU and slot */ \
	struct fg_meta *meta;                                \
	__u64 ticks;                                         \
	__u32 epoch;                                         \
	__u8 hook /* enum fg_hook */

/* What the host's socket table says about a segment. */
enum fg_socket {
	FG_SOCKET_PROVES,
	FG_SOCKET_LISTENER,
	FG_SOCKET_NONE,
	FG_SOCKET_MISMATCH
};

/* Copies a hello in two halves: the BPF compiler expands a copy of at most 128 stores. */
static __always_inline void fg_hello_copy(struct fg_hello *to, const struct fg_hello *from)
{
	__builtin_memcpy(to, from, sizeof(*to) / 16 * 8);
	__builtin_memcpy((__u8 *)to + sizeof(*to) / 16 * 8,
			 (const __u8 *)from + sizeof(*to) / 16 * 8,
			 sizeof(*to) - sizeof(*to) / 16 * 8);
}

/* Directions a frame may have. */
enum fg_direction {
	FG_FROM_CLIENT,
	FG_FROM_SERVER,
	FG_NOT_OURS
};

/* Sensor's answer for a frame. */
enum fg_action {
	FG_PASS,
	FG_DROP,
	FG_RESET /* drop, and answer with a RST */
};
