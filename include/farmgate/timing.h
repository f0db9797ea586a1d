/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Timing stage: when things happened on a connection, in a row beside its own (struct fg_timing).
 *
 *   SYN ─► SYN-ACK ─► ACK ─► hello ─────► answer ─► client's next payload
 *            └── rtt ──┘└ delay ┘└ server ┘    └── turn-around ──┘
 *
 * Each span starts at the last thing that the client waited for: at the reply where its direction is
 * seen, else at the segment that asked for it, and then the server's own time is in it. What was
 * sent again is left out (Karn and Partridge, SIGCOMM 1987): an answer could be to either copy.
 *
 * Fields of the reply direction are written by its hook only, the others by the client's; each is
 * one 32-bit store, so that two CPUs can spoil one sample at worst, and none that counts.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/platform.h"
#include "farmgate/turn_shape.h"

/* Reads of the fine clock for SYNs and SYN-ACKs, a second and CPU: a flood must not buy more. */
#define FG_SYN_CLOCKS 10000
/* Round trips measured on one connection. */
#define FG_TIMING_RTTS 8
/* Payload that is no activity behind a second of silence: what keeps a connection open, or takes
 * leave of it (HTTP/2 PING 17+22 bytes, GOAWAY and close_notify 39+24), is no sign of a request. */
#define FG_QUIET_BYTES 100

static __always_inline __u32 timing_now_us(struct fg_env *env)
{
	return fg_now_ns(env) / 1000;
}

/* True where a SYN or SYN-ACK may read the fine clock. In replay time comes with the frame. */
static __always_inline int timing_may_clock(struct fg_env *env)
{
	struct fg_scratch *s = env->scratch;

	if (FG_CFG(env)->replay)
		return 1;
	if (s->clock_tick != (__u32)env->ticks) {
		s->clock_tick = env->ticks;
		s->clocks = (__u64)FG_SYN_CLOCKS * FG_CFG(env)->tick_ns / 1000000000;
	}
	if (!s->clocks)
		return 0;
	s->clocks--;
	return 1;
}

/* The row of the flow that was found or made last; NULL where it is another connection's. */
static __always_inline struct fg_timing *timing_of(struct fg_env *env, const struct fg_flow *flow)
{
	struct fg_timing *t = fg_timing_at(env, env->scratch->flow_at);

	return t && t->generation == flow->generation ? t : 0;
}

/* Starts the clock of a waiting SYN; egress says that this is the SYN-ACK, a better start. */
static __always_inline void timing_knock(struct fg_env *env, struct fg_knock *knock, __u8 egress)
{
	knock->clock_us = timing_may_clock(env) ? timing_now_us(env) | 1 : 0;
	knock->egress = egress;
}

/* A fresh row; its generation goes last, so that the agent never takes a half-made one. */
static __always_inline struct fg_timing *timing_make(struct fg_env *env, const struct fg_flow *flow)
{
	struct fg_timing *t = fg_timing_at(env, env->scratch->flow_at);

	if (!t)
		return 0;
	t->generation = 0;
	fg_reload();
	*t = (struct fg_timing){ .opened = env->ticks };
	fg_reload();
	t->generation = flow->generation;
	return t;
}

static __always_inline void timing_rtt(struct fg_timing *t, __u32 us)
{
	if (!t->n_rtts || us < t->rtt_us)
		t->rtt_us = us;
	if (us > t->rtt_max_us)
		t->rtt_max_us = us;
	t->n_rtts++;
}

/* The handshake is done with this segment. One that carries data besides was held back until there
 * was some, so it measures nothing. */
static __always_inline void timing_open(struct fg_env *env, const struct fg_frame *f,
					const struct fg_knock *knock, const struct fg_flow *flow)
{
	struct fg_timing *t = timing_make(env, flow);
	__u32 now;

	if (!t)
		return;
	t->syn = knock->ticks;
	t->ttl = knock->ttl;
	t->tsval = knock->tsval;
	t->flags = knock->has_tsval ? FG_TIMING_TSVAL : 0;
	if (!knock->clock_us || f->payload_len)
		return;
	now = timing_now_us(env) | 1;
	t->clock_us = now;
	if (knock->egress ? knock->replied == 1 : knock->syns == 1)
		timing_rtt(t, now - knock->clock_us);
	else
		t->flags |= FG_TIMING_RESENT;
}

/* A hello segment arrived: its time, and with the first one how long the client took to send it. */
static __always_inline void timing_hello_segment(struct fg_env *env, const struct fg_flow *flow,
						 int first)
{
	struct fg_timing *t;

	env->scratch->now_us = timing_now_us(env);
	if (!first)
		return;
	t = timing_of(env, flow);
	if (t && t->clock_us)
		t->hello_delay_us = env->scratch->now_us - t->clock_us;
}

/* The hello is complete: the turn-around begins. */
static __always_inline void timing_hello(struct fg_env *env, struct fg_flow *flow,
					 const struct fg_hello *h)
{
	struct fg_timing *t = timing_of(env, flow);

	if (!t)
		return;
	t->print = h->print;
	t->order = h->order_fold;
	t->hello_flags = h->flags;
	t->clock_us = env->scratch->now_us;
	flow->flags |= FG_FLOW_TURNING;
}

/*
 * Client payload while the hello's answer is awaited; fresh = new bytes. It ends the turn when it
 * acknowledges server payload: early data, and what follows a hello at once, does not. A second
 * hello (HelloRetryRequest) starts it anew.
 */
static __always_inline void timing_answer(struct fg_env *env, const struct fg_frame *f,
					  struct fg_flow *flow, __u32 fresh)
{
	struct fg_timing *t = timing_of(env, flow);
	__u32 now, start;

	if (!t) {
		flow->flags &= ~FG_FLOW_TURNING;
		return;
	}
	if (!fresh) {
		t->flags |= FG_TIMING_RESENT;
		return;
	}
	if (f->ack == flow->server_isn + 1)
		return;
	now = timing_now_us(env);
	start = t->clock_us;
	if (env->scratch->second_hello) {
		t->flags |= FG_TIMING_SECOND_HELLO;
		t->clock_us = now;
		return;
	}
	if (flow->reply & FG_REPLY_ANSWER) {
		t->flags |= FG_TIMING_EGRESS;
		start = t->reply_us;
	}
	if (flow->reply & FG_REPLY_RESENT)
		t->flags |= FG_TIMING_RESENT;
	t->turn_us = now - start;
	flow->flags &= ~FG_FLOW_TURNING;
}

/* Server payload up to `end`, seen in the reply direction. Between hello and answer the clock runs
 * from the last one; later from one that nothing else waits for. */
static __always_inline void timing_reply(struct fg_env *env, const struct fg_frame *f,
					 struct fg_flow *flow)
{
	struct fg_timing *t;
	__u32 end = f->seq + f->payload_len;
	int again = fg_seq_before(f->seq, flow->server_next), turning;

	turning = flow->flags & FG_FLOW_TURNING;
	if (!turning && !(flow->reply & FG_REPLY_CLOCK))
		return;
	t = timing_of(env, flow);
	if (!t || (!turning && t->n_rtts >= FG_TIMING_RTTS)) {
		flow->reply &= ~FG_REPLY_CLOCK;
		return;
	}
	if (again) {
		t->reply_end = t->reply_taken;
		if (turning)
			flow->reply |= FG_REPLY_RESENT;
		return;
	}
	if (!turning && t->reply_end != t->reply_taken)
		return;
	t->reply_us = timing_now_us(env);
	t->reply_end = end + !end; /* 0 stands for none */
	flow->reply |= turning ? FG_REPLY_CLOCK | FG_REPLY_ANSWER : FG_REPLY_CLOCK;
}

/* Does this client segment acknowledge the reply that the clock runs for? One with payload of its own
 * was perhaps held back for it, and measures nothing. */
static __always_inline void timing_ack(struct fg_env *env, const struct fg_frame *f,
				       const struct fg_flow *flow)
{
	struct fg_timing *t = timing_of(env, flow);
	__u32 end;

	if (!t || t->n_rtts >= FG_TIMING_RTTS)
		return;
	end = t->reply_end;
	if (end == t->reply_taken || fg_seq_before(f->ack, end))
		return;
	if (!f->payload_len)
		timing_rtt(t, timing_now_us(env) - t->reply_us);
	t->reply_taken = end;
}

/* n new payload bytes of either side: was that activity? */
static __always_inline void timing_active(struct fg_env *env, struct fg_flow *flow, __u32 n)
{
	if (n >= FG_QUIET_BYTES || (__u32)env->ticks - flow->ticks < FG_CFG(env)->second_ticks)
		flow->ticks = env->ticks;
}

/* FIN or RST: who was first, after how much silence. */
static __always_inline void timing_close(struct fg_env *env, const struct fg_flow *flow,
					 enum fg_close by)
{
	struct fg_timing *t = timing_of(env, flow);
	__s32 idle = (__u32)env->ticks - flow->ticks;

	if (!t || t->closed_by)
		return;
	t->closed = env->ticks;
	t->idle = idle > 0 ? idle : 0;
	t->closed_by = by;
}

/* --- Exchanges -------------------------------------------------------------------------------- */

/* The client's first payload behind the server's: perhaps a request. */
static __always_inline void timing_ask(struct fg_env *env, const struct fg_flow *flow)
{
	struct fg_timing *t = timing_of(env, flow);

	if (t)
		t->active = env->scratch->active;
}

/* It is one: the exchange before it is over. flow->exchanges counts this one already, bytes_in has
 * `asked` bytes of it. */
static __always_inline void timing_turn(struct fg_env *env, struct fg_flow *flow, __u32 asked)
{
	struct fg_timing *t = timing_of(env, flow);
	__u32 in = (__u32)flow->bytes_in - asked, n = flow->exchanges - 2;

	if (!t)
		return;
	if (flow->exchanges > 1)
		fg_turn_sum_up(t, in, flow->bytes_out, flow->chunks, t->active,
			       FG_CFG(env)->tick_ns, &t->turns[n % FG_TIMING_TURNS]);
	t->turn_start = env->ticks;
	t->turn_first = 0;
	t->turn_in = in;
	t->turn_out = flow->bytes_out;
	flow->chunks = 0;
}

/* The first server payload behind a request. */
static __always_inline void timing_first_answer(struct fg_env *env, const struct fg_flow *flow)
{
	struct fg_timing *t = timing_of(env, flow);

	if (t)
		t->turn_first = env->ticks;
}
