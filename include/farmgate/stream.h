/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hello stage: feeds the first payload of a connection to the hello reader. A hello that ends in
 * its first segment is read in the CPU's scratch; one that goes on is parked in the streams table
 * and resumed at the next expected sequence number. A segment that comes too early waits in the
 * stash; one that never comes makes the hello incomplete, never a guess. First bytes win; a repeated
 * part is skipped.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/flow.h"
#include "farmgate/hello.h"
#include "farmgate/platform.h"
#include "farmgate/stash.h"

/* Rows tried for a parked hello, neighbours of the hashed one. */
#define FG_STREAM_PROBES 4

/* What a row could be taken for: its hello's end, counted by whoever takes it, _FG_INCOMPLETE_MAX
 * where it is free. Negative: it may not be taken. */
static __always_inline int stream_yields(struct fg_env *env, const struct fg_stream *row, __u64 tag,
					 enum fg_proof proof)
{
	if (tag == FG_TAG_FREE)
		return _FG_INCOMPLETE_MAX;
	if (tag == FG_TAG_BUSY)
		return -1;
	if (fg_hello_timed_out(env, row->ticks))
		return row->gap ? FG_INCOMPLETE_gap : FG_INCOMPLETE_timeout;
	if (proof != FG_PROOF_NONE && row->proof == FG_PROOF_NONE)
		return FG_INCOMPLETE_no_proof;
	return -1;
}

/* A row for a hello with this proof: one that is free, else one whose time is over; and what is
 * proven takes from what is not, so that forged beginnings of hellos crowd out only each other.
 * Answers its number plus one, 0 = none; its tag is busy then. */
static __always_inline __u32 stream_claim(struct fg_env *env, __u64 hash, enum fg_proof proof)
{
	__u32 i;

	for (i = 0; i < FG_STREAM_PROBES; i++) {
		__u32 at = ((__u32)hash ^ i) & FG_CFG(env)->stream_mask;
		struct fg_stream *row = fg_stream_at(env, at);
		__u64 old, reason;

		if (!row)
			break;
		old = row->tag;
		reason = stream_yields(env, row, old, proof);
		fg_barrier(reason);
		if (reason > _FG_INCOMPLETE_MAX || !fg_tag_claim(&row->tag, old))
			continue;
		if (reason < _FG_INCOMPLETE_MAX)
			env->totals->incomplete[reason]++;
		row->ticks = env->ticks;
		return fg_forget(env, at) + 1;
	}
	return 0;
}

/* The hello of this connection is over, whatever came of it. */
static __always_inline void stream_release(struct fg_env *env, struct fg_flow *flow, __u64 hash)
{
	struct fg_stream *row;

	if (flow->flags & FG_FLOW_STASHED)
		stash_release(env, hash);
	if (!flow->stream)
		return;
	row = fg_stream_at(env, (flow->stream - 1) & FG_CFG(env)->stream_mask);
	if (row)
		fg_tag_publish(&row->tag, FG_TAG_FREE);
	flow->stream = 0;
}

/* Does the socket table know the connection of this segment? It is asked for one that starts or resumes
 * a hello, or that carries a PROXY header: behind that k is not what the host calls it. */
static __always_inline int stream_socket_proves(struct fg_env *env, const struct fg_frame *f,
						const struct fg_key *k, const struct fg_flow *flow)
{
	enum fg_socket answer;

	if (!FG_CFG(env)->socket_proof || flow->proof == FG_PROOF_SOCKET ||
	    flow->flags & FG_FLOW_PROXIED)
		return 0;
	answer = fg_socket_proof(env, f, k);
	if (answer == FG_SOCKET_LISTENER)
		fg_event(env, socket_listener);
	else if (answer == FG_SOCKET_NONE)
		fg_event(env, socket_none);
	else if (answer == FG_SOCKET_MISMATCH)
		fg_event(env, socket_mismatch);
	return answer == FG_SOCKET_PROVES;
}

/* A whole hello: its keys go into the flow, its counts where they belong. True where the agent
 * should be asked to name it. */
static __always_inline int stream_complete(struct fg_env *env, const struct fg_key *k,
					   struct fg_flow *flow, struct fg_hello *h)
{
	flow->stem = h->stem;
	/* the bytes behind it are the next record's */
	flow->record_seq = env->scratch->segment_seq + h->pos + h->rec_left;
	timing_hello(env, flow, h);
	fg_event(env, hellos);
	if (flow->proof == FG_PROOF_NONE) {
		fg_event(env, hellos_unproven);
		return 0;
	}
	account_client(env, k, flow, h);
	return account_print(env, h);
}

/* Counts a hello that could not be completed; the connection goes on. */
static __always_inline void stream_give_up(struct fg_env *env, struct fg_flow *flow,
					   const struct fg_hello *h)
{
	__u64 reason = h->reason;

	flow->flags |= FG_FLOW_RECORD_LOST;
	fg_barrier(reason);
	if (reason < _FG_INCOMPLETE_MAX)
		env->totals->incomplete[reason]++;
}

/* Either of them, for the source. */
static __always_inline void stream_count(struct fg_env *env, const struct fg_key *k,
					 const struct fg_flow *flow, const struct fg_hello *h)
{
	struct fg_source *source;

	if (flow->proof == FG_PROOF_NONE || h->reason >= _FG_INCOMPLETE_MAX)
		return;
	source = account_source(env, k);
	if (!source)
		return;
	if (h->result == FG_HELLO_COMPLETE)
		fg_add(&source->hellos, 1);
	else
		fg_add(&source->incomplete, 1);
}

/* Parks an unfinished hello from the scratch; false where no row is free. */
static __always_inline int stream_park(struct fg_env *env, struct fg_flow *flow, __u64 hash)
{
	__u32 at = stream_claim(env, hash, flow->proof);
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
	row->gap = (flow->flags & FG_FLOW_STASHED) != 0;
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
	*ret_reason = flow->flags & FG_FLOW_STASHED ? FG_INCOMPLETE_gap : FG_INCOMPLETE_timeout;
	if (!row)
		return 0;
	if (fg_hello_timed_out(env, row->ticks) && row->tag == hash)
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
	row->proof = flow->proof;
	row->gap = (flow->flags & FG_FLOW_STASHED) != 0;
	fg_tag_publish(&row->tag, hash);
}

/* rest bytes of the segment were not read: either the capture cut them, or it is a jumbo frame, and
 * then they may be some that the reader jumps over anyhow. */
static __always_inline void stream_skip_rest(struct fg_hello *h, __u32 have, __u32 rest)
{
	if (have < FG_SEGMENT_MAX_BYTES) {
		fg_hello_fail(h, FG_INCOMPLETE_snaplen);
	} else if (rest > h->skip || rest > h->rec_left) {
		fg_hello_fail(h, FG_INCOMPLETE_too_long);
	} else {
		h->skip -= rest;
		h->rec_left -= rest;
	}
}

/* The last bytes of the segment, as many as s->want, into the scratch, and behind them what waits in
 * the stash; reads it all. */
static __always_inline void stream_read(struct fg_env *env, const struct fg_frame *f,
					struct fg_flow *flow, __u64 hash)
{
	struct fg_scratch *s = env->scratch;
	struct fg_hello *h = &s->hello;
	__u32 n = s->want;

	s->have = fg_payload(env, f->payload_off + f->payload_len - n,
			     n > FG_SEGMENT_MAX_BYTES ? FG_SEGMENT_MAX_BYTES : n);
	fg_reload();
	s->next_seq = flow->client_next;
	s->segment_seq = flow->client_next - s->want;
	s->copy_len = 0;
	s->probe = 0;
	s->stash_hash = flow->flags & FG_FLOW_STASHED && s->have == s->want ? hash : 0;
	fg_hello_segment(h, s->have);
	fg_reload();
	if (h->result == FG_HELLO_MORE)
		fg_stream_run(env);
	fg_reload();
	if (h->result == FG_HELLO_MORE && s->have < s->want)
		stream_skip_rest(h, s->have, s->want - s->have);
	n = s->next_seq - flow->client_next; /* came out of the stash */
	if (!n)
		return;
	flow->client_next += n;
	if (FG_CFG(env)->volume)
		fg_add(&flow->bytes_in, n);
}

/* Does this segment end the client's side? Behind a gap only a FIN is believed that was sent before
 * the server spoke: a reset could be guessed. */
static __always_inline int stream_closes(const struct fg_frame *f, const struct fg_flow *flow)
{
	__u32 ahead = f->seq + f->payload_len - flow->client_next;

	if (!(f->tcp_flags & (FG_TCP_FIN | FG_TCP_RST)))
		return 0;
	if (!ahead)
		return 1;
	return f->tcp_flags & FG_TCP_FIN && flow->flags & FG_FLOW_STASHED &&
	       flow_may_stash(f, flow);
}

/* An unfinished hello waits for the next segment, unless there is no place or no next one. */
static __always_inline void stream_wait(struct fg_env *env, const struct fg_frame *f,
					struct fg_flow *flow, __u64 hash)
{
	struct fg_hello *h = &env->scratch->hello;
	__u32 ahead;

	if (stream_closes(f, flow)) {
		ahead = f->seq + f->payload_len - flow->client_next;
		flow->client_next += ahead;
		if (FG_CFG(env)->volume)
			fg_add(&flow->bytes_in, ahead);
		fg_hello_fail(h, flow->flags & FG_FLOW_STASHED ? FG_INCOMPLETE_gap :
								 FG_INCOMPLETE_closed);
	} else if (flow->stream) {
		stream_keep(env, flow, hash);
	} else if (!stream_park(env, flow, hash)) {
		fg_hello_fail(h, FG_INCOMPLETE_table_full);
	}
}

/* The hello is read, or never will be. One that will not passes: nobody can tell whose it is. */
static __always_inline enum fg_action stream_end(struct fg_env *env, const struct fg_frame *f,
						 const struct fg_key *k, struct fg_flow *flow)
{
	struct fg_hello *h = &env->scratch->hello;
	int ask = 0;

	flow->flags |= FG_FLOW_HELLO_SEEN;
	if (h->result == FG_HELLO_COMPLETE)
		ask = stream_complete(env, k, flow, h);
	else
		stream_give_up(env, flow, h);
	stream_count(env, k, flow, h);
	if ((ask || FG_CFG(env)->sample_all) && h->reason < _FG_INCOMPLETE_MAX)
		fg_emit(env, k, flow, h, h->result == FG_HELLO_COMPLETE ? 0 : 1 + h->reason);
	if (h->result != FG_HELLO_COMPLETE || !gate_hello(env, k, flow))
		return FG_PASS;
	return gate_drop(env, f);
}

/**
 * Feeds the last n bytes of a client segment, up to flow->client_next, to the connection's hello,
 * and then what waited for them; n is 0 where the segment itself only waits now. With gap it is
 * given up instead: bytes are missing and there is no place to wait for them.
 *
 * *ret_outcome becomes hello or data.
 */
static __always_inline enum fg_action stream_feed(struct fg_env *env, const struct fg_frame *f,
						  const struct fg_key *k, struct fg_flow *flow,
						  __u64 hash, __u32 n, int gap, int *ret_outcome)
{
	struct fg_hello *h = &env->scratch->hello;
	enum fg_incomplete reason = FG_INCOMPLETE_gap;

	*ret_outcome = FG_FRAME_hello;
	env->scratch->want = n;
	env->scratch->hash = hash;
	if (stream_socket_proves(env, f, k, flow))
		flow_prove(env, k, flow, flow->proof, FG_PROOF_SOCKET);
	fg_hello_begin(h);
	if (gap || (flow->stream && !stream_resume(env, flow, hash, &reason)))
		fg_hello_fail(h, reason);
	else
		stream_read(env, f, flow, hash);
	fg_reload();
	hash = env->scratch->hash;
	if (h->result == FG_HELLO_MORE)
		stream_wait(env, f, flow, hash);
	fg_reload();
	if (h->result == FG_HELLO_MORE)
		return FG_PASS;
	stream_release(env, flow, hash);
	if (h->result != FG_HELLO_NOT)
		return stream_end(env, f, k, flow);
	flow->flags |= FG_FLOW_NOT_TLS;
	fg_event(env, not_tls);
	*ret_outcome = FG_FRAME_data;
	return FG_PASS;
}
