/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's answers to farmgate/platform.h: tables are maps, bytes come by load_bytes (payload
 * may lie in fragments), clocks and the socket table are helpers.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "config.bpf.h"
#include "maps.bpf.h"

struct fg_env {
	FG_ENV;
	__u8 tc; /* ctx is a struct __sk_buff, else a struct xdp_md */
	__u8 may_goto; /* which hello loop this program was built for */
	void *ctx;
	__u64 replay_ns;
};

#define FG_CFG(env) ((void)(env), &fg_config)

/* slot: of the totals. */
static __always_inline int env_init(struct fg_env *env, void *ctx, __u32 slot)
{
	__u32 zero = 0;

	env->ctx = ctx;
	env->totals = bpf_map_lookup_elem(&fg_totals, &slot);
	env->meta = bpf_map_lookup_elem(&fg_meta, &zero);
	env->scratch = bpf_map_lookup_elem(&fg_scratch, &zero);
	if (!env->totals || !env->meta || !env->scratch)
		return 0;
	env->epoch = env->meta->epoch;
	env->ticks = bpf_jiffies64();
	if (fg_config.n_peers || fg_config.n_balancers) {
		env->scratch->ticks = env->ticks;
		env->scratch->slot = slot;
	}
	return 1;
}

#define FG_TABLE_LOOKUP(name, type, map)                                      \
	static __always_inline struct type *name(struct fg_env *env, __u32 i) \
	{                                                                     \
		(void)env;                                                    \
		return bpf_map_lookup_elem(&map, &i);                         \
	}
FG_TABLE_LOOKUP(fg_flow_set, fg_flow_set, fg_flows)
FG_TABLE_LOOKUP(fg_timing_at, fg_timing, fg_timings)
FG_TABLE_LOOKUP(fg_knock_set, fg_knock_set, fg_knocks)
FG_TABLE_LOOKUP(fg_source_set, fg_source_set, fg_sources)
FG_TABLE_LOOKUP(fg_client_set, fg_client_set, fg_clients)
FG_TABLE_LOOKUP(fg_print_set, fg_print_set, fg_prints)
FG_TABLE_LOOKUP(fg_stream_at, fg_stream, fg_streams)
FG_TABLE_LOOKUP(fg_stash_at, fg_stash, fg_stash)
FG_TABLE_LOOKUP(fg_overflow_at, fg_overflow, fg_overflow)

/* Read anew each time, so that what earlier checks proved about the old pointers is forgotten. */
static __always_inline void fg_headers(struct fg_env *env, const void **ret_data,
				       const void **ret_data_end)
{
	if (env->tc) {
		volatile struct __sk_buff *skb = env->ctx;

		*ret_data = (void *)(long)skb->data;
		*ret_data_end = (void *)(long)skb->data_end;
	} else {
		volatile struct xdp_md *xdp = env->ctx;

		*ret_data = (void *)(long)xdp->data;
		*ret_data_end = (void *)(long)xdp->data_end;
	}
}

/* Adding a zero that the verifier cannot know makes its copies of the state equal again; without
 * it each way of a set would be followed to the program's end on its own. */
static __always_inline __u32 fg_forget(struct fg_env *env, __u32 x)
{
	return x + *(volatile __u64 *)&env->scratch->zero;
}

#define fg_add(p, n)	       ((void)__sync_fetch_and_add(p, n))
#define fg_or32(p, bits)       __sync_fetch_and_or(p, bits)
#define fg_swap32(p, old, new) (__sync_val_compare_and_swap(p, old, new) == (old))

static __always_inline __u64 fg_now_ns(struct fg_env *env)
{
	return fg_config.replay ? env->replay_ns : bpf_ktime_get_boot_ns();
}

static __always_inline int fg_load(struct fg_env *env, __u32 off, void *dst, __u32 n)
{
	if (env->tc)
		return bpf_skb_load_bytes(env->ctx, off, dst, n);
	return bpf_xdp_load_bytes(env->ctx, off, dst, n);
}

static __always_inline int fg_peek(struct fg_env *env, __u32 off, __u8 dst[8], __u32 n)
{
	return fg_load(env, off, dst, n) == 0;
}

/* n, known to lie in 1..FG_SEGMENT_MAX_BYTES, said in a way that the verifier can follow. */
static __always_inline __u32 fg_bounded(__u32 n)
{
	n--;
	fg_barrier(n);
	return (n & (FG_SEGMENT_MAX_BYTES - 1)) + 1;
}

/* As much of the payload as is there: a capture may have cut it, so the second try takes what the
 * frame holds. */
static __always_inline __u32 fg_payload(struct fg_env *env, __u32 off, __u32 n)
{
	__u32 there;

	if (n == 0 || n > FG_SEGMENT_MAX_BYTES)
		return 0;
	n = fg_bounded(n);
	if (!fg_load(env, off, env->scratch->segment, n))
		return n;
	if (env->tc)
		there = ((struct __sk_buff *)env->ctx)->len;
	else
		there = bpf_xdp_get_buff_len(env->ctx);
	if (there <= off)
		return 0;
	there -= off;
	if (there > FG_SEGMENT_MAX_BYTES)
		return 0;
	there = fg_bounded(there);
	return fg_load(env, off, env->scratch->segment, there) ? 0 : there;
}

static __always_inline int fg_copy_payload(struct fg_env *env, __u32 off, __u8 *dst, __u32 n)
{
	if (n == 0 || n > FG_STASH_BYTES)
		return 0;
	n--;
	fg_barrier(n);
	n = (n & (FG_STASH_BYTES - 1)) + 1;
	return fg_load(env, off, dst, n) == 0;
}

static __always_inline void fg_stream_run(struct fg_env *env);
static __always_inline void fg_proxy_run(struct fg_env *env);

/* Defined in apart.bpf.h. */
int fg_unwrap_xdp(struct xdp_md *ctx, __u32 frame_len, int outcome);
int fg_unwrap_ingress(struct __sk_buff *skb, __u32 frame_len, int outcome);
int fg_unwrap_egress(struct __sk_buff *skb, __u32 frame_len, int outcome);
int fg_proxy_xdp(struct xdp_md *ctx, __u32 seq, __u32 n);
int fg_proxy_ingress(struct __sk_buff *skb, __u32 seq, __u32 n);

static __always_inline int fg_unwrap_apart(struct fg_env *env, __u32 frame_len, int outcome)
{
	if (!env->tc)
		return fg_unwrap_xdp(env->ctx, frame_len, outcome);
	if (env->hook == FG_HOOK_EGRESS)
		return fg_unwrap_egress(env->ctx, frame_len, outcome);
	return fg_unwrap_ingress(env->ctx, frame_len, outcome);
}

static __always_inline __u32 fg_proxy_apart(struct fg_env *env, struct fg_flow *flow, __u32 seq,
					    __u32 n)
{
	(void)flow; /* the one that was found last */
	return env->tc ? fg_proxy_ingress(env->ctx, seq, n) : fg_proxy_xdp(env->ctx, seq, n);
}

#include "farmgate/proxy_header.h"
#include "farmgate/stash.h"

/* Gets no more of the caller's than it needs: the stack is 512 bytes over all calls, and full
 * (tests/bpf/stack_test.c). */
static long fg_proxy_turn(__u32 i, struct fg_scratch **scratch)
{
	(void)i;
	return !fg_proxy_step(*scratch);
}

static __always_inline void fg_proxy_run(struct fg_env *env)
{
	struct fg_scratch *scratch = env->scratch;

	bpf_loop(FG_PROXY1_MAX_BYTES + 1, fg_proxy_turn, &scratch, 0);
}

static long fg_stream_turn(__u32 i, struct fg_scratch **scratch)
{
	struct fg_env env = { .scratch = *scratch };

	(void)i;
	return !fg_stream_step(&env);
}

/* may_goto 0 (kernel 6.9): leaves the loop when its budget of iterations is spent, which lets the
 * verifier accept a loop without a bound. clang 14 does not know the mnemonic, hence the bytes:
 * opcode 0xe5, offset to `out` in instructions. */
#define FG_MAY_GOTO(out)                                          \
	asm volatile goto("1:.byte 0xe5;.byte 0;.long ((%l[" #out \
			  "] - 1b - 8) / 8) & 0xffff;.short 0" :: ::out)

/* The loop in a frame of its own: the verifier compares whole frames to see that a turn brings
 * nothing new, and this one holds nothing else. */
static __always_inline int fg_stream_turns(struct fg_scratch *scratch)
{
	struct fg_env env = { .scratch = scratch };

	for (;;) {
		FG_MAY_GOTO(out);
		if (!fg_stream_step(&env))
			break;
	}
out:
	return 0;
}

/* fg_stream_step() until it answers 0. Worst case one token a byte, of this segment and of a set of
 * the stash, and as much again for ends. */
static __always_inline void fg_stream_run(struct fg_env *env)
{
	struct fg_scratch *scratch = env->scratch;

	if (env->may_goto)
		fg_stream_turns(scratch);
	else
		bpf_loop(2 * (FG_SEGMENT_MAX_BYTES + FG_WAYS * FG_STASH_BYTES), fg_stream_turn,
			 &scratch, 0);
}

/* Kernel structures, only the fields read; relocated at load (CO-RE). */
struct tcp_sock {
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
} __attribute__((preserve_access_index));

struct tcp_request_sock {
	__u32 rcv_isn;
	__u32 snt_isn;
} __attribute__((preserve_access_index));

/* include/net/tcp_states.h */
#define FG_TCP_ESTABLISHED  1
#define FG_TCP_LISTEN	    10
#define FG_TCP_NEW_SYN_RECV 12

static __always_inline enum fg_socket fg_socket_check(struct bpf_sock *sk, const struct fg_frame *f)
{
	struct tcp_request_sock *request;
	struct tcp_sock *tcp;

	if (sk->state == FG_TCP_LISTEN)
		return FG_SOCKET_LISTENER;
	if (sk->state == FG_TCP_NEW_SYN_RECV) {
		/* the ACK and the hello share a batch: TCP has not seen the ACK yet */
		request = bpf_skc_to_tcp_request_sock(sk);
		if (request && f->seq == request->rcv_isn + 1 && f->ack == request->snt_isn + 1)
			return FG_SOCKET_PROVES;
		return FG_SOCKET_MISMATCH;
	}
	if (sk->state != FG_TCP_ESTABLISHED)
		return FG_SOCKET_MISMATCH;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return FG_SOCKET_NONE;
	if (f->seq == tcp->rcv_nxt && f->ack - tcp->snd_una <= tcp->snd_nxt - tcp->snd_una)
		return FG_SOCKET_PROVES;
	return FG_SOCKET_MISMATCH;
}

static __always_inline enum fg_socket fg_socket_proof(struct fg_env *env, const struct fg_frame *f,
						      const struct fg_key *k)
{
	struct bpf_sock_tuple t = {};
	enum fg_socket answer;
	struct bpf_sock *sk;

	if (f->ipv6) {
		__builtin_memcpy(t.ipv6.saddr, k->client, 16);
		__builtin_memcpy(t.ipv6.daddr, k->server, 16);
		t.ipv6.sport = fg_ntohs(k->client_port);
		t.ipv6.dport = fg_ntohs(k->server_port);
		sk = bpf_skc_lookup_tcp(env->ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	} else {
		t.ipv4.saddr = fg_load_u32((const __u8 *)k->client + 12);
		t.ipv4.daddr = fg_load_u32((const __u8 *)k->server + 12);
		t.ipv4.sport = fg_ntohs(k->client_port);
		t.ipv4.dport = fg_ntohs(k->server_port);
		sk = bpf_skc_lookup_tcp(env->ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return FG_SOCKET_NONE;
	answer = fg_socket_check(sk, f);
	bpf_sk_release(sk);
	return answer;
}

#include "gate.bpf.h"

static __always_inline void fg_emit(struct fg_env *env, const struct fg_key *k,
				    const struct fg_flow *flow, const struct fg_hello *h,
				    __u32 status)
{
	struct fg_sample *s = bpf_ringbuf_reserve(&fg_samples, sizeof(*s), 0);

	if (!s) {
		env->totals->events[FG_EVENT_sample_lost]++;
		return;
	}
	env->totals->events[FG_EVENT_samples]++;
	s->time_ns = fg_now_ns(env);
	__builtin_memcpy(s->client, k->client, 16);
	__builtin_memcpy(s->server, k->server, 16);
	s->client_port_be = fg_ntohs(k->client_port);
	s->server_port_be = fg_ntohs(k->server_port);
	s->proto = 't';
	s->status = status;
	s->proof = flow->proof;
	s->pad = 0;
	s->stack = flow->stack;
	fg_hello_copy(&s->hello, h);
	bpf_ringbuf_submit(s, 0);
}

static __always_inline void fg_hand_datagram(struct fg_env *env, const struct fg_key *k, __u32 off,
					     __u32 n)
{
	struct fg_datagram *d = 0;

	if (n <= FG_DATAGRAM_BYTES)
		d = bpf_ringbuf_reserve(&fg_datagrams, sizeof(*d), 0);
	if (!d) {
		env->totals->events[FG_EVENT_quic_lost]++;
		return;
	}
	d->time_ns = fg_now_ns(env);
	__builtin_memcpy(d->client, k->client, 16);
	__builtin_memcpy(d->server, k->server, 16);
	d->client_port_be = fg_ntohs(k->client_port);
	d->server_port_be = fg_ntohs(k->server_port);
	d->len = n;
	if (fg_copy_payload(env, off, d->bytes, n)) {
		bpf_ringbuf_submit(d, 0);
	} else {
		bpf_ringbuf_discard(d, 0);
		env->totals->events[FG_EVENT_quic_lost]++;
	}
}
