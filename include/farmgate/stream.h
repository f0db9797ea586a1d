/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hello stage: feeds the first payload of a connection to the hello reader. A hello that ends in
 * its first segment is read in the CPU's scratch; one that goes on is parked in the streams table
 * and resumed at the next expected sequence number. Segments must come in order here: a gap makes
 * the hello incomplete, never a guess. First bytes win; a repeated part is skipped.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/flow.h"
#include "farmgate/hello.h"
#include "farmgate/platform.h"

/* Rows tried for a parked hello, neighbours of the hashed one. */
#define FG_STREAM_PROBES 4

/* Signed: a row that another CPU made may be younger than the tick this program began with. */
static __always_inline int stream_timed_out(struct fg_env *env, const struct fg_stream *row)
{
	__s32 age = (__u32)env->ticks - row->ticks;

	return age >
	       (__s32)(FG_HELLO_TIMEOUT_NS / (FG_CFG(env)->tick_ns ? FG_CFG(env)->tick_ns : 1));
}

/* A free row, else one whose hello has timed out. Answers its number plus one, 0 = none; its tag
 * is busy then. */
static __always_inline __u32 stream_claim(struct fg_env *env, __u64 hash)
{
	__u32 i;

	for (i = 0; i < FG_STREAM_PROBES; i++) {
		__u32 at = ((__u32)hash ^ i) & FG_CFG(env)->stream_mask;
		struct fg_stream *row = fg_stream_at(env, at);
		__u64 old;

		if (!row)
			break;
		old = row->tag;
		if (old == FG_TAG_BUSY)
			continue;
		if (old != FG_TAG_FREE && !stream_timed_out(env, row))
			continue;
		if (!fg_tag_claim(&row->tag, old))
			continue;
		if (old != FG_TAG_FREE)
			env->totals->incomplete[FG_INCOMPLETE_timeout]++;
		row->ticks = env->ticks;
		return fg_forget(env, at) + 1;
	}
	return 0;
}

/* The hello of this connection is over, whatever came of it. */
static __always_inline void stream_release(struct fg_env *env, struct fg_flow *flow)
{
	struct fg_stream *row;

	if (!flow->stream)
		return;
	row = fg_stream_at(env, (flow->stream - 1) & FG_CFG(env)->stream_mask);
	if (row)
		fg_tag_publish(&row->tag, FG_TAG_FREE);
	flow->stream = 0;
}

/* Counts a hello that could not be completed; the connection goes on. */
static __always_inline void stream_give_up(struct fg_env *env, const struct fg_key *k,
					   struct fg_flow *flow, struct fg_hello *h,
					   enum fg_incomplete reason)
{
	struct fg_source *source;
	__u64 at = reason;

	stream_release(env, flow);
	flow->flags |= FG_FLOW_HELLO_SEEN | FG_FLOW_RECORD_LOST;
	fg_barrier(at);
	if (at >= _FG_INCOMPLETE_MAX)
		return;
	env->totals->incomplete[at]++;
	if (FG_CFG(env)->sample_all)
		fg_emit(env, k, flow, h, 1 + reason);
	if (flow->proof == FG_PROOF_NONE)
		return;
	source = account_source(env, k);
	if (source)
		fg_add(&source->incomplete, 1);
}

/* Tries the socket table for a segment that starts or resumes a hello. */
static __always_inline void stream_prove(struct fg_env *env, const struct fg_frame *f,
					 const struct fg_key *k, struct fg_flow *flow)
{
	enum fg_socket answer;

	if (!FG_CFG(env)->socket_proof || flow->proof == FG_PROOF_SOCKET)
		return;
	answer = fg_socket_proof(env, f, k);
	if (answer == FG_SOCKET_PROVES)
		flow_prove(env, k, flow, flow->proof, FG_PROOF_SOCKET);
	else if (answer == FG_SOCKET_LISTENER)
		fg_event(env, socket_listener);
	else if (answer == FG_SOCKET_NONE)
		fg_event(env, socket_none);
	else
		fg_event(env, socket_mismatch);
}

/* A whole hello: keys into the flow, counts where the connection is proven, the gate for clients. */
static __always_inline enum fg_action stream_complete(struct fg_env *env, const struct fg_key *k,
						      struct fg_flow *flow, struct fg_hello *h)
{
	struct fg_source *source;
	int ask = FG_CFG(env)->sample_all;

	flow->flags |= FG_FLOW_HELLO_SEEN;
	flow->stem = h->stem;
	flow->print = h->print;
	flow->touched = env->epoch;
	fg_event(env, hellos);
	if (flow->proof == FG_PROOF_NONE) {
		fg_event(env, hellos_unproven);
	} else {
		source = account_source(env, k);
		if (source)
			fg_add(&source->hellos, 1);
		account_client(env, k, flow, h);
		ask |= account_print(env, h);
	}
	if (ask)
		fg_emit(env, k, flow, h, 0);
	if (env->meta->client_blocks && fg_client_blocked(env, k, flow->stem, flow->stack)) {
		flow->flags |= FG_FLOW_DROPPED;
		fg_event(env, dropped_client);
		return FG_DROP;
	}
	return FG_PASS;
}

/* Parks an unfinished hello from the scratch; false where no row is free. */
static __always_inline int stream_park(struct fg_env *env, struct fg_flow *flow, __u64 hash)
{
	__u32 at = stream_claim(env, hash);
	struct fg_stream *row;

	if (!at)
		return 0;
	row = fg_stream_at(env, (at - 1) & FG_CFG(env)->stream_mask);
	if (!row)
		return 0;
	fg_hello_copy(&row->hello, &env->scratch->hello);
	__builtin_memcpy(row->client, flow->client, 16);
	__builtin_memcpy(row->server, flow->server, 16);
	row->client_port_be = flow->client_port_be;
	row->server_port_be = flow->server_port_be;
	row->proof = flow->proof;
	flow->stream = at;
	fg_tag_publish(&row->tag, hash);
	return 1;
}

/* Takes the parked hello back into the scratch; the row stays ours (busy). False where it is too
 * old, where another CPU holds it, or where the row was taken away after its time: whoever took it
 * has counted the hello as timed out (_FG_INCOMPLETE_MAX counts nothing here). */
static __always_inline int stream_resume(struct fg_env *env, struct fg_flow *flow, __u64 hash,
					 enum fg_incomplete *ret_reason)
{
	struct fg_stream *row;

	row = fg_stream_at(env, (flow->stream - 1) & FG_CFG(env)->stream_mask);
	*ret_reason = FG_INCOMPLETE_timeout;
	if (!row)
		return 0;
	if (stream_timed_out(env, row) && row->tag == hash)
		return 0;
	if (!fg_tag_claim(&row->tag, hash)) {
		*ret_reason = row->tag == FG_TAG_BUSY ? FG_INCOMPLETE_busy : _FG_INCOMPLETE_MAX;
		flow->stream = 0; /* not ours to release */
		return 0;
	}
	fg_hello_copy(&env->scratch->hello, &row->hello);
	return 1;
}

/* Writes the resumed hello back for the next segment. */
static __always_inline void stream_keep(struct fg_env *env, struct fg_flow *flow, __u64 hash)
{
	struct fg_stream *row;

	row = fg_stream_at(env, (flow->stream - 1) & FG_CFG(env)->stream_mask);
	if (!row)
		return;
	fg_hello_copy(&row->hello, &env->scratch->hello);
	fg_tag_publish(&row->tag, hash);
}

/**
 * Feeds the new part of a client segment to the connection's hello.
 *
 * skip bytes at the payload's beginning were seen before. *ret_outcome becomes hello or data.
 */
static __always_inline enum fg_action stream_feed(struct fg_env *env, const struct fg_frame *f,
						  const struct fg_key *k, struct fg_flow *flow,
						  __u64 hash, __u32 skip, int *ret_outcome)
{
	struct fg_hello *h = &env->scratch->hello;
	__u32 want = f->payload_len - skip, len;
	enum fg_incomplete reason;

	*ret_outcome = FG_FRAME_hello;
	stream_prove(env, f, k, flow);
	if (!flow->stream) {
		fg_hello_begin(h);
	} else if (!stream_resume(env, flow, hash, &reason)) {
		fg_hello_begin(h);
		stream_give_up(env, k, flow, h, reason);
		return FG_PASS;
	}
	len = fg_payload(env, f->payload_off + skip,
			 want > FG_SEGMENT_MAX_BYTES ? FG_SEGMENT_MAX_BYTES : want);
	fg_hello_segment(h, len);
	if (h->result == FG_HELLO_MORE)
		fg_hello_run(env, h);
	if (h->result == FG_HELLO_MORE && len < want)
		fg_hello_fail(h, len < FG_SEGMENT_MAX_BYTES ? FG_INCOMPLETE_snaplen :
							      FG_INCOMPLETE_too_long);
	if (h->result == FG_HELLO_COMPLETE) {
		stream_release(env, flow);
		flow->record_seq = f->seq + skip + h->pos + h->rec_left;
		return stream_complete(env, k, flow, h);
	}
	if (h->result == FG_HELLO_FAILED) {
		stream_give_up(env, k, flow, h, h->reason);
		return FG_PASS;
	}
	if (h->result == FG_HELLO_NOT) {
		stream_release(env, flow);
		flow->flags |= FG_FLOW_NOT_TLS;
		fg_event(env, not_tls);
		*ret_outcome = FG_FRAME_data;
		return FG_PASS;
	}
	if (flow->stream)
		stream_keep(env, flow, hash);
	else if (!stream_park(env, flow, hash))
		stream_give_up(env, k, flow, h, FG_INCOMPLETE_table_full);
	return FG_PASS;
}
