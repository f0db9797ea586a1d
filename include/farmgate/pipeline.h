/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One frame through all stages, the same on every side:
 *
 *   frame.h ─► tunnel.h ─► direction.h ─► flow.h ─► stream.h + hello.h ─► fingerprint.h ─► account.h
 *                            │            SYN, proof   hello bytes           keys            rows
 *                            ├► proxy.h: whom a balancer speaks for, in front of the hello
 *                            ├► gate.h: what a block stops, also behind the hello
 *                            ├► turn.h: exchanges
 *                            └► timing.h: when what happened
 *           quic.h: datagrams ─► the agent, which reads their hellos
 *
 * Each frame ends in exactly one outcome (abi.h), counted at the end of fg_pipeline().
 */
#pragma once

#include "farmgate/direction.h"
#include "farmgate/flow.h"
#include "farmgate/platform.h"
#include "farmgate/proxy.h"
#include "farmgate/quic.h"
#include "farmgate/stream.h"
#include "farmgate/tunnel.h"
#include "farmgate/turn.h"

/*
 * Who sent it? By the protected port; where both ports are protected the SYN decides, then a known
 * connection the other way round, else the sender is taken for the client. On a terminating host
 * each hook only sees one direction that matters. Leaves *k client first.
 */
static __always_inline enum fg_direction fg_direction_of(struct fg_env *env,
							 const struct fg_frame *f, struct fg_key *k)
{
	int to = fg_port_protected(env, f->dport) && fg_prefix_protected(env, k->server);
	int from = fg_port_protected(env, f->sport) && fg_prefix_protected(env, k->client);
	__u32 syn = f->tcp_flags & (FG_TCP_SYN | FG_TCP_ACK);

	if (FG_CFG(env)->role == FG_ROLE_TERMINATE) {
		to = to && env->hook == FG_HOOK_INGRESS;
		from = from && env->hook == FG_HOOK_EGRESS;
	}
	if (!to && !from)
		return FG_NOT_OURS;
	if (to && from && syn == FG_TCP_SYN)
		return FG_FROM_CLIENT;
	if (to && !from)
		return FG_FROM_CLIENT;
	fg_key_swap(k);
	if (!to || syn == (FG_TCP_SYN | FG_TCP_ACK) || flow_find(env, k, flow_hash(env, k)))
		return FG_FROM_SERVER;
	fg_key_swap(k);
	return FG_FROM_CLIENT;
}

/* FIN or RST of the client, in sequence: the connection's row may go once its counts are taken. */
static __always_inline void fg_client_close(struct fg_env *env, const struct fg_frame *f,
					    const struct fg_key *k, struct fg_flow *flow)
{
	struct fg_source *source;

	if (flow->flags & FG_FLOW_CLOSED || f->seq + f->payload_len != flow->client_next)
		return;
	timing_close(env, flow,
		     f->tcp_flags & FG_TCP_RST ? FG_CLOSE_CLIENT_RST : FG_CLOSE_CLIENT_FIN);
	flow->flags |= FG_FLOW_CLOSED;
	if (flow->proof == FG_PROOF_NONE || flow->flags & FG_FLOW_PROXY_AWAITED)
		return;
	source = account_source(env, k);
	if (!source)
		return;
	if (f->tcp_flags & FG_TCP_RST)
		fg_add(&source->rsts, 1);
	else
		fg_add(&source->fins, 1);
}

/* Is there something for the hello stage in a segment without payload? */
static __always_inline int fg_wakes_hello(const struct fg_frame *f, const struct fg_flow *flow)
{
	if (!flow_awaits_hello(flow))
		return 0;
	return flow->flags & FG_FLOW_STASHED ||
	       (flow->stream && f->tcp_flags & (FG_TCP_FIN | FG_TCP_RST));
}

/* Client payload on a known connection, or the end of one whose hello is not read yet. */
static __always_inline enum fg_action
fg_client_payload(struct fg_env *env, const struct fg_frame *f, const struct fg_key *k,
		  struct fg_flow *flow, __u64 hash, int *ret_outcome)
{
	__u32 end = f->seq + f->payload_len, next = flow->client_next, fresh = end - next;
	int awaits = flow_awaits_hello(flow), gap = 0;
	int turning = !awaits && flow->flags & FG_FLOW_TURNING;
	enum fg_action action = FG_PASS;

	if (f->payload_len)
		*ret_outcome = FG_FRAME_data;
	if (flow->flags & FG_FLOW_DROPPED) {
		*ret_outcome = FG_FRAME_blocked;
		return gate_dropped(env, f, flow);
	}
	if (!f->payload_len || fresh > FG_WINDOW_MAX_BYTES)
		fresh = 0; /* seen before, or not of this connection */
	if (awaits && fresh > f->payload_len) {
		gap = !flow_may_stash(f, flow) || !stash_put(env, hash, f, f->seq, flow->proof);
		if (!gap) {
			flow->flags |= FG_FLOW_STASHED;
			fresh = 0;
		}
	}
	if (fresh) {
		flow->client_next = end;
		if (FG_CFG(env)->n_balancers && awaits && flow->flags & FG_FLOW_PROXY_AWAITED) {
			fresh = fg_proxy_apart(env, flow, next, fresh);
			next = end - fresh;
		}
		env->scratch->active = flow->ticks;
		timing_active(env, flow, fresh);
		if (FG_CFG(env)->volume)
			fg_add(&flow->bytes_in, fresh);
	}
	if (awaits) {
		if (!fresh && !fg_wakes_hello(f, flow))
			return FG_PASS;
		timing_hello_segment(env, flow, fresh && next == flow->client_isn + 1);
		action = stream_feed(env, f, k, flow, hash, fresh, gap, ret_outcome);
		/* read again what would else be followed through the hello's loop */
		fg_reload();
		end = f->seq + f->payload_len;
		fresh = env->scratch->want;
		next = flow->record_seq;
		if (flow_awaits_hello(flow) || !fg_seq_before(next, end))
			return action;
	}
	env->scratch->second_hello = 0;
	if (fresh && FG_CFG(env)->volume)
		turn_client_bytes(env, f, flow, next, end);
	if (turning)
		timing_answer(env, f, flow, fresh);
	return action;
}

static __always_inline enum fg_action fg_from_client(struct fg_env *env, const struct fg_frame *f,
						     const struct fg_key *k, int *ret_outcome)
{
	__u64 hash = flow_hash(env, k);
	enum fg_action action = FG_PASS;
	struct fg_flow *flow, *opened;
	int full = 0;

	if (f->tcp_flags & FG_TCP_SYN) {
		*ret_outcome = FG_FRAME_syn;
		return flow_syn(env, f, k, ret_outcome);
	}
	*ret_outcome = FG_FRAME_midstream;
	flow = flow_find(env, k, hash);
	if (!flow || flow->flags & (FG_FLOW_CLOSED | FG_FLOW_KNOCKED)) {
		opened = flow_open(env, f, k, hash, &full);
		if (!opened && !flow && !full)
			opened = flow_open_midway(env, f, k, hash, &full);
		if (full) {
			*ret_outcome = FG_FRAME_flow_table_full;
			return FG_PASS;
		}
		if (opened)
			flow = opened;
	}
	if (!flow)
		return FG_PASS;
	*ret_outcome = FG_FRAME_ack;
	if (FG_CFG(env)->n_balancers && flow->flags & FG_FLOW_PROXIED)
		flow_rename(flow, &env->scratch->key);
	if (f->tcp_flags & FG_TCP_ACK && !(flow->reply & FG_REPLY_SEEN) && FG_CFG(env)->volume)
		flow_server_progress(env, flow, f->ack);
	if (f->payload_len || fg_wakes_hello(f, flow))
		action = fg_client_payload(env, f, k, flow, hash, ret_outcome);
	/* else what follows would be followed for each pair of these */
	env->scratch->action = action;
	env->scratch->outcome = *ret_outcome;
	fg_reload();
	if (flow->reply & FG_REPLY_CLOCK)
		timing_ack(env, f, flow);
	if (f->tcp_flags & (FG_TCP_FIN | FG_TCP_RST))
		fg_client_close(env, f, k, flow);
	*ret_outcome = env->scratch->outcome;
	if (f->tcp_flags & (FG_TCP_FIN | FG_TCP_RST) &&
	    (*ret_outcome == FG_FRAME_ack || *ret_outcome == FG_FRAME_data))
		*ret_outcome = FG_FRAME_close;
	return env->scratch->action;
}

static __always_inline void fg_from_server(struct fg_env *env, const struct fg_frame *f,
					   const struct fg_key *k, int *ret_outcome)
{
	struct fg_flow *flow;

	*ret_outcome = FG_FRAME_server;
	if (f->tcp_flags & FG_TCP_SYN) {
		*ret_outcome = FG_FRAME_syn_ack;
		flow_syn_ack(env, f, k);
		return;
	}
	if (f->tcp_flags & (FG_TCP_FIN | FG_TCP_RST))
		*ret_outcome = FG_FRAME_close;
	if ((!f->payload_len && *ret_outcome != FG_FRAME_close) || !FG_CFG(env)->volume)
		return;
	flow = flow_find(env, k, flow_hash(env, k));
	if (!flow)
		return;
	if (f->payload_len) {
		timing_reply(env, f, flow);
		flow->reply |= FG_REPLY_SEEN;
		flow_server_progress(env, flow, f->seq + f->payload_len);
	}
	if (*ret_outcome == FG_FRAME_close && f->seq + f->payload_len == flow->server_next)
		timing_close(env, flow,
			     f->tcp_flags & FG_TCP_RST ? FG_CLOSE_SERVER_RST : FG_CLOSE_SERVER_FIN);
}

/* Addresses and ports into the scratch, sender first. */
static __always_inline int fg_read_key(struct fg_env *env, const struct fg_frame *f)
{
	struct fg_key *k = &env->scratch->key;
	const void *data, *data_end;

	fg_headers(env, &data, &data_end);
	k->client_port = f->sport;
	k->server_port = f->dport;
	return fg_frame_addresses(data, data_end, f, k->client, k->server);
}

/* What becomes of a frame whose transport header was found. */
static __always_inline enum fg_action fg_transport(struct fg_env *env, const struct fg_frame *f,
						   int *ret_outcome)
{
	struct fg_key *k = &env->scratch->key;

	*ret_outcome = FG_FRAME_other_port;
	if (!fg_port_protected(env, f->dport) && !fg_port_protected(env, f->sport))
		return FG_PASS;
	if (!fg_read_key(env, f)) {
		*ret_outcome = FG_FRAME_internal;
		return FG_PASS;
	}
	fg_reload();
	if (f->proto == FG_IPPROTO_UDP)
		return fg_datagram(env, f, k, ret_outcome);
	switch (fg_direction_of(env, f, k)) {
	case FG_FROM_CLIENT:
		fg_reload();
		return fg_from_client(env, f, k, ret_outcome);
	case FG_FROM_SERVER:
		fg_reload();
		fg_from_server(env, f, k, ret_outcome);
		return FG_PASS;
	default:
		return FG_PASS;
	}
}

/**
 * Counts one frame and says what to do with it.
 *
 * frame_len is the length that the headers may describe, wire_len what is counted as received (they
 * differ where a capture had another link header). env->totals is the row of this CPU and slot.
 */
static __always_inline enum fg_action fg_pipeline(struct fg_env *env, __u32 frame_len,
						  __u32 wire_len)
{
	struct fg_frame *f = &env->scratch->frame;
	enum fg_action action = FG_PASS;
	const void *data, *data_end;
	int outcome;

	fg_headers(env, &data, &data_end);
	outcome = fg_frame_parse(data, data_end, frame_len, f);
	fg_reload();
	if (FG_CFG(env)->n_peers)
		outcome = fg_unwrap_apart(env, frame_len, outcome);
	if (outcome == FG_FRAME_OK)
		action = fg_transport(env, f, &outcome);
	if ((__u32)outcome < _FG_OUTCOME_MAX)
		env->totals->frames[outcome]++;
	env->totals->bytes += wire_len;
	return action == FG_DROP && env->scratch->reset ? FG_RESET : action;
}
