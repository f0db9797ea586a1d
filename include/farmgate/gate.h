/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gate stage: what a block stops, and when.
 *
 *   SYN              of a blocked source or prefix: dropped, no trace of it is kept
 *   complete hello   of a blocked source, prefix or client: dropped, and its connection is marked
 *   payload behind   on a marked connection: dropped
 *   all else         passes, whatever is blocked
 *
 * The line between a connection that is being established and one that is: its first hello is
 * complete. From there on no block touches it, however long it lives, unless the agent marks it on
 * purpose (FG_BLOCK_ESTABLISHED). Before there, a SYN that came in time helps nobody: else whoever
 * opens connections in advance would outlive each block by them. A connection whose hello cannot be
 * read, or that speaks no TLS, passes: a gate that cannot tell fails open.
 *
 * Looks nothing up on the way of data segments: all they are asked for is a flag in their row.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/platform.h"

/* Is the client's address blocked, alone or with its neighbours? 0, or the flag that says which. */
static __always_inline __u32 gate_address(struct fg_env *env, const struct fg_key *k)
{
	__u64 lengths = k->client[0] ? env->meta->lengths6 : env->meta->lengths4;

	if (env->meta->source_blocks && fg_source_blocked(env, k)) {
		fg_event(env, dropped_source);
		return 1;
	}
	if (lengths && fg_prefix_blocked(env, k, lengths)) {
		fg_event(env, dropped_prefix);
		return 1;
	}
	return 0;
}

/* May the connection with this hello come to be? Marks it where not. */
static __always_inline int gate_hello(struct fg_env *env, const struct fg_key *k,
				      struct fg_flow *flow)
{
	if (!gate_address(env, k)) {
		if (!env->meta->client_blocks ||
		    !fg_client_blocked(env, k, flow->stem, flow->stack))
			return 0;
		fg_event(env, dropped_client);
	}
	flow->flags |= FG_FLOW_DROPPED;
	return 1;
}

/* Drops a blocked SYN or hello. How it is answered goes by the scratch, to fg_pipeline(): the verifier
 * would follow one more answer through all that lies between. A RST is never answered with a RST (RFC
 * 9293 section 3.5.2). */
static __always_inline enum fg_action gate_drop(struct fg_env *env, const struct fg_frame *f)
{
	env->scratch->reset = FG_CFG(env)->reset && !(f->tcp_flags & FG_TCP_RST);
	return FG_DROP;
}

/* Payload, or a FIN of a hello that is not over, on a marked connection. What the client sends again
 * was answered with a RST that it did not get; what is new gets silence. */
static __always_inline enum fg_action gate_dropped(struct fg_env *env, const struct fg_frame *f,
						   const struct fg_flow *flow)
{
	__u32 next = flow->client_next;

	fg_event(env, dropped_behind);
	gate_drop(env, f);
	if (!fg_seq_before(f->seq, next) || fg_seq_before(next, f->seq + f->payload_len))
		env->scratch->reset = 0;
	return FG_DROP;
}
