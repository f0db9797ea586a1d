/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stash: segments of a hello that came before the one in front of them wait here, whole, until
 * it comes. First bytes win: what the reader has passed is skipped, and a row is read once.
 *
 * A segment is only kept when it acknowledges exactly the server's ISN (flow_may_stash()), which a
 * sender off the path would have to guess beside the sequence number. The payload of a SYN (TCP Fast
 * Open, RFC 7413) waits here too, unread until the handshake is proven: a flood of them fills rows
 * that any proven connection may take, and nothing else.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/hello.h"
#include "farmgate/platform.h"
#include "farmgate/table.h"

/* Bytes copied in one turn of the reader's loop. */
#define FG_STASH_PIECE_BYTES 64

static __always_inline struct fg_stash *stash_row(struct fg_env *env, __u64 hash, __u32 way)
{
	__u32 set = fg_set_index(hash, FG_CFG(env)->stash_mask) & ~(FG_WAYS - 1);

	return fg_stash_at(env, set + way);
}

/* Signed: a row that another CPU made may be younger than the tick this program began with. */
static __always_inline int fg_hello_timed_out(struct fg_env *env, __u32 ticks)
{
	__s32 age = (__u32)env->ticks - ticks;

	return age >
	       (__s32)(FG_HELLO_TIMEOUT_NS / (FG_CFG(env)->tick_ns ? FG_CFG(env)->tick_ns : 1));
}

/* May a segment with this proof take the row? Into the scratch: which one, and its tag. */
static __always_inline int stash_consider(struct fg_env *env, const struct fg_stash *row, __u32 way,
					  enum fg_proof proof)
{
	__u64 tag = row->tag;

	fg_reload();
	if (tag == FG_TAG_BUSY)
		return 0;
	if (tag != FG_TAG_FREE && !fg_hello_timed_out(env, row->ticks) &&
	    (proof == FG_PROOF_NONE || row->proof != FG_PROOF_NONE))
		return 0;
	env->scratch->best = way;
	env->scratch->best_tag = tag;
	return 1;
}

/* Way for a new row, its tag busy then; FG_WAY_NONE where none may be taken. */
static __always_inline __u32 stash_claim(struct fg_env *env, __u64 hash, enum fg_proof proof)
{
	struct fg_stash *row;
	__u32 i;

	for (i = 0; i < FG_WAYS; i++) {
		row = stash_row(env, hash, i);
		if (!row || !stash_consider(env, row, i, proof))
			continue;
		if (fg_tag_claim(&row->tag, env->scratch->best_tag))
			return fg_forget(env, env->scratch->best);
	}
	return FG_WAY_NONE;
}

/* Is a segment from this byte on, as long at least, waiting already? */
static __always_inline int stash_has(struct fg_env *env, __u64 hash, __u32 seq, __u32 len)
{
	struct fg_stash *row;
	__u32 i;

	for (i = 0; i < FG_WAYS; i++) {
		row = stash_row(env, hash, i);
		if (row && row->tag == hash && row->seq == seq && row->len >= len)
			return 1;
	}
	return 0;
}

/* Keeps the payload of a segment, whose first byte has this sequence number. False where there is no
 * place, or where the capture cut it. */
static __always_inline int stash_put(struct fg_env *env, __u64 hash, const struct fg_frame *f,
				     __u32 seq, enum fg_proof proof)
{
	__u32 len = f->payload_len, way;
	struct fg_stash *row;

	if (len == 0 || len > FG_STASH_BYTES)
		return 0;
	if (stash_has(env, hash, seq, len))
		return 1;
	way = stash_claim(env, hash, proof);
	if (way >= FG_WAYS)
		return 0;
	row = stash_row(env, hash, way);
	if (!row)
		return 0;
	if (!fg_copy_payload(env, f->payload_off, row->bytes, len)) {
		fg_tag_publish(&row->tag, FG_TAG_FREE);
		return 0;
	}
	row->seq = seq;
	row->len = len;
	row->proof = proof;
	row->ticks = env->ticks;
	fg_tag_publish(&row->tag, hash);
	fg_event(env, stashed);
	return 1;
}

/* Nothing of this connection waits any more. */
static __always_inline void stash_release(struct fg_env *env, __u64 hash)
{
	struct fg_stash *row;
	__u32 i;

	for (i = 0; i < FG_WAYS; i++) {
		row = stash_row(env, hash, i);
		if (row && row->tag == hash && fg_tag_claim(&row->tag, hash))
			fg_tag_publish(&row->tag, FG_TAG_FREE);
	}
}

/* Looks at one row: where its segment goes on from the last byte read, begins to copy it, its row
 * busy. */
static __always_inline void stash_probe(struct fg_env *env)
{
	struct fg_scratch *s = env->scratch;
	struct fg_stash *row = stash_row(env, s->stash_hash, s->probe & (FG_WAYS - 1));
	__u32 skip;

	s->copy_way = s->probe++;
	if (!row || row->tag != s->stash_hash)
		return;
	skip = s->next_seq - row->seq;
	if (skip >= row->len || !fg_tag_claim(&row->tag, s->stash_hash))
		return;
	s->copy_from = skip;
	s->copy_len = row->len - skip;
	s->copied = 0;
	s->segment_seq = s->next_seq;
	s->next_seq += s->copy_len;
	s->probe = 0;
}

/* Another piece; with the last one the row is free and the segment can be read. */
static __always_inline void stash_copy(struct fg_env *env)
{
	struct fg_scratch *s = env->scratch;
	struct fg_stash *row = stash_row(env, s->stash_hash, s->copy_way & (FG_WAYS - 1));
	__u32 from = (s->copy_from + s->copied) & (FG_STASH_BYTES - 1);
	__u32 to = s->copied & (FG_STASH_BYTES - 1), i;

	if (!row)
		return;
	for (i = 0; i < FG_STASH_PIECE_BYTES; i += 8)
		__builtin_memcpy(s->segment + to + i, row->bytes + from + i, 8);
	s->copied += FG_STASH_PIECE_BYTES;
	if (s->copied < s->copy_len)
		return;
	fg_tag_publish(&row->tag, FG_TAG_FREE);
	fg_hello_segment(&s->hello, s->copy_len);
	s->copy_len = 0;
}

/**
 * One step of the hello in the scratch: a token or run; or where its segment is used up, a look at
 * the stash, or a piece of the segment that was found there. Steps are small and what they know lies
 * in the scratch, so that the verifier sees one loop.
 *
 * @return 0 when nothing is left, or the hello is over.
 */
static __always_inline int fg_stream_step(struct fg_env *env)
{
	struct fg_scratch *s = env->scratch;

	fg_reload();
	if (s->copy_len) {
		stash_copy(env);
		return s->hello.result == FG_HELLO_MORE;
	}
	if (fg_hello_step(&s->hello, FG_CFG(env)->seed, s->segment))
		return 1;
	if (!s->stash_hash || s->hello.result != FG_HELLO_MORE || s->probe >= FG_WAYS)
		return 0;
	stash_probe(env);
	return 1;
}
