/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The PROXY header (HAProxy, "The PROXY protocol", versions 1 and 2): a balancer that ends a client's TCP
 * connection and opens one of its own says in front of the first byte whose connection it carries.
 *
 *   segment ──► proxy_take ──(the client's address: the flow's from here on)──► what is left: stream.h
 *
 * Whoever may send one may choose the source, so it is read only on connections from the configured
 * balancers; on any other it is payload that is no TLS. From a balancer it is asked of each connection:
 * until it has come nothing counts against anybody. The proof is that of the balancer's connection; for
 * its client's handshake stands the balancer, which the operator trusts by naming it. What a SYN tells,
 * and round trips, are the balancer's own: such a flow has no stack and no times.
 *
 * The protocol has the header sent at once, so it lies in one segment; only the tail of version 2, behind
 * the addresses, may go on in the next.
 */
#pragma once

#include "farmgate/flow.h"
#include "farmgate/proxy_header.h"
#include "farmgate/stream.h"

/* Longer than any header. */
#define FG_PROXY_NONE ~0U

/* The flow is the client's. Its address goes first: who reads the flag reads the address, too. */
static __always_inline void proxy_name(struct fg_env *env, struct fg_flow *flow)
{
	struct fg_proxy *p = &env->scratch->proxy;
	__u64 client[2] = { fg_be64(p->source[0]), fg_be64(p->source[1]) };

	__builtin_memcpy(flow->client, client, 16);
	flow->client_port_be = fg_ntohs(p->port);
	flow->stack = 0;
	fg_reload();
	flow->flags |= FG_FLOW_PROXIED;
	fg_event(env, proxy_headers);
}

/* The header is over: from now on the connection is as any other. */
static __always_inline void proxy_end(struct fg_env *env, struct fg_flow *flow)
{
	struct fg_key *k = &env->scratch->key;

	if (flow->flags & FG_FLOW_PROXIED)
		flow_rename(flow, k);
	fg_reload();
	flow->flags &= ~FG_FLOW_PROXY_AWAITED;
	if (flow->proof != FG_PROOF_NONE)
		flow_credit(env, k, flow);
}

/* Reads what n bytes begin with, the first of the connection. @return the header's bytes, 0 = none. */
static __always_inline __u32 proxy_read(struct fg_env *env, __u32 off, __u32 n)
{
	struct fg_proxy *p = &env->scratch->proxy;
	enum proxy_kind kind = proxy_kind_of(env, off, n);
	__u32 length = 0;

	if (kind == PROXY_1)
		length = proxy_read_1(env, off, n);
	else if (kind == PROXY_2)
		length = proxy_read_2(env, off, n);
	return p->named && !proxy_may_be(p) ? 0 : length;
}

/* The beginning of the connection. @return its header's bytes; FG_PROXY_NONE where whose it is nobody
 * can tell. */
static __always_inline __u32 proxy_begin(struct fg_env *env, const struct fg_frame *f,
					 struct fg_flow *flow, __u32 seq, __u32 n)
{
	__u32 length = 0;

	if (seq == flow->client_isn + 1)
		length = proxy_read(env, f->payload_off + f->payload_len - n, n);
	if (FG_CFG(env)->proxy_skip)
		return length;
	if (!length) {
		flow->flags |= FG_FLOW_NOT_TLS;
		fg_event(env, proxy_missing);
		return FG_PROXY_NONE;
	}
	if (stream_socket_proves(env, f, &env->scratch->key, flow))
		flow_note_proof(env, flow, flow->proof, FG_PROOF_SOCKET);
	if (env->scratch->proxy.named)
		proxy_name(env, flow);
	else
		fg_event(env, proxy_local);
	return length;
}

/**
 * Takes what is the header's of the last n bytes of a segment, which go on from sequence number `seq`.
 * With the end of the header the key in the scratch is the client's name.
 *
 * @return how many of the n bytes are behind it.
 */
static __always_inline __u32 proxy_take(struct fg_env *env, const struct fg_frame *f,
					struct fg_flow *flow, __u32 seq, __u32 n)
{
	__u32 length = flow->record_len;

	if (!length)
		length = proxy_begin(env, f, flow, seq, n);
	if (length == FG_PROXY_NONE)
		return 0;
	if (length > n) {
		flow->record_len = length - n;
		return 0;
	}
	flow->record_len = 0;
	flow->record_seq = seq + length;
	proxy_end(env, flow);
	return n - length;
}
