/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connection stage: SYNs wait in the knocks table, connections live in the flows table.
 *
 *   SYN ──► knock ──(SYN-ACK: server's ISN)──► first client segment behind the SYN ──► flow
 *
 * A flow is proven when that segment acknowledged the server's ISN (`handshake`), or when the
 * host's socket table confirms exact sequence numbers at a hello (`socket`). Whatever a sender
 * without a real address can send only ever touches knocks and unproven flows, which give way
 * first.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/direction.h"
#include "farmgate/gate.h"
#include "farmgate/hash.h"
#include "farmgate/platform.h"
#include "farmgate/proxy_header.h"
#include "farmgate/stack.h"
#include "farmgate/stash.h"
#include "farmgate/table.h"
#include "farmgate/timing.h"

static __always_inline __u64 flow_hash(struct fg_env *env, const struct fg_key *k)
{
	return fg_hash_flow(FG_CFG(env)->seed, k->client, k->server,
			    (__u32)k->client_port << 16 | k->server_port);
}

/* Behind a balancer row and frame name two clients, and the tag has to do: as for a knock, another
 * 4-tuple has it once in 2^64. */
static __always_inline int flow_is(const struct fg_flow *row, const struct fg_key *k)
{
	return (row->flags & FG_FLOW_PROXIED || (fg_load_u64(row->client) == k->client[0] &&
						 fg_load_u64(row->client + 8) == k->client[1])) &&
	       fg_load_u64(row->server) == k->server[0] &&
	       fg_load_u64(row->server + 8) == k->server[1];
}

/* Says that a row is in use, see row_use(). A row without proof gives way within ticks, so there the
 * tick is what tells. */
static __always_inline int flow_use(struct fg_env *env, struct fg_flow *row, const __u64 *tag,
				    __u64 hash)
{
	if (row->proof == FG_PROOF_NONE)
		row_use(&row->used, tag, hash, env->ticks);
	return row_use(&row->touched, tag, hash, env->epoch);
}

static __always_inline struct fg_flow *flow_find(struct fg_env *env, const struct fg_key *k,
						 __u64 hash)
{
	__u32 at = fg_set_index(hash, FG_CFG(env)->flow_mask), way;
	struct fg_flow_set *set = fg_flow_set(env, at);

	if (!set)
		return 0;
	way = fg_forget(env, fg_set_find(set->tag, hash));
	env->scratch->flow_at = at * FG_WAYS + way;
	if (way >= FG_WAYS || !flow_is(&set->row[way], k) ||
	    !flow_use(env, &set->row[way], &set->tag[way], hash))
		return 0;
	return &set->row[way];
}

/* Does a connection of this client begin with the header of a balancer? */
static __always_inline int flow_awaits_proxy(struct fg_env *env, const struct fg_key *k)
{
	return FG_CFG(env)->n_balancers &&
	       fg_prefix_has(FG_CFG(env)->balancers, FG_CFG(env)->n_balancers, k->client);
}

/* What k calls the balancer's connection is from here on its client's. */
static __always_inline void flow_rename(const struct fg_flow *flow, struct fg_key *k)
{
	k->client[0] = fg_load_u64(flow->client);
	k->client[1] = fg_load_u64(flow->client + 8);
	k->client_port = fg_ntohs(flow->client_port_be);
}

static __always_inline int flow_awaits_hello(const struct fg_flow *flow)
{
	return !(flow->flags & (FG_FLOW_HELLO_SEEN | FG_FLOW_NOT_TLS));
}

/* May a segment that came too early be of this connection's hello? A TLS server says nothing before
 * it has the hello, so the client acknowledges its ISN and no more: a sender off the path would have
 * to guess that beside the sequence number. */
static __always_inline int flow_may_stash(const struct fg_frame *f, const struct fg_flow *flow)
{
	return f->tcp_flags & FG_TCP_ACK && f->ack == flow->server_isn + 1 &&
	       f->seq + f->payload_len - flow->client_next <= FG_STASH_AHEAD_BYTES;
}

/* A dropped connection keeps its row for this many idle epochs: longer than TCP waits before it
 * sends again (120 s), but not for ever, or a blocked client that comes again and again would take
 * the whole table. */
#define FG_DROPPED_EPOCHS 180

/* A row without proof gives way after this many ticks: long enough for every program that found it
 * to be done with it (one frame, well below a tick), short enough that a flood of such rows, which
 * anybody can make, fills no set: at 10 M a second these are a few rows in a hundred. */
#define FG_UNPROVEN_TICKS 2

/* A proven connection that is open keeps its row for this many idle epochs: what is silent between two
 * questions must not go for a flood's sake, which would lose its exchanges. Most servers and proxies
 * close by then, and one whose end was not seen must go at last. */
#define FG_OPEN_EPOCHS 60

/* How gladly a flow row gives way: closed and taken, then unproven, then long idle and taken. */
static __always_inline __u32 flow_rank(struct fg_env *env, const struct fg_flow *row, int lost)
{
	__u32 rank = fg_age_rank(row->touched, env->epoch, lost);
	__s32 age = (__u32)env->ticks - row->used;

	if (row->flags & FG_FLOW_DROPPED && !(row->flags & FG_FLOW_CLOSED) &&
	    env->epoch - row->touched < FG_DROPPED_EPOCHS)
		return lost;
	if (row->proof == FG_PROOF_NONE && age >= FG_UNPROVEN_TICKS)
		return 0x40000000 + (age & 0x3fffffff);
	if (rank > 1 && row->flags & FG_FLOW_CLOSED)
		return rank + 0x80000000;
	if (row->proof != FG_PROOF_NONE && env->epoch - row->touched < FG_OPEN_EPOCHS && !lost)
		return 0;
	return rank;
}

static __always_inline __u32 flow_claim(struct fg_env *env, struct fg_flow_set *set)
{
	int lost = fg_agent_lost(env);
	__u32 i, way, rank;
	__u64 tag;

	env->scratch->best_rank = 0;
	for (i = 0; i < FG_WAYS; i++) {
		tag = set->tag[i];
		fg_reload();
		rank = flow_rank(env, &set->row[i], lost);
		claim_consider(env, tag, 0, rank, i);
	}
	way = claim_take(env, set->tag);
	if (way >= FG_WAYS || env->scratch->best_rank == ~0U)
		return way;
	/* judged again now that its tag is busy, see claim_confirm() */
	if (flow_rank(env, &set->row[way], lost) != env->scratch->best_rank) {
		fg_tag_publish(&set->tag[way], env->scratch->best_tag);
		return FG_WAY_NONE;
	}
	if (env->scratch->best_rank == 1)
		fg_event(env, untaken_lost);
	fg_event(env, flow_replaced);
	return way;
}

/* The row's first word, in one store: the agent may be about to set a flag on the connection that had
 * the row before. */
static __always_inline void flow_begin(struct fg_flow *row, enum fg_proof proof)
{
	struct fg_flow next = { .generation = row->generation + 1, .proof = proof };

	*(volatile __u64 *)&row->head = next.head;
}

/* A fresh row for this connection; NULL where the set is full, which the caller counts. An older
 * connection of the same 4-tuple keeps its row until the agent has taken its counts, under a tag
 * that no look-up asks for. */
static __always_inline struct fg_flow *flow_make(struct fg_env *env, const struct fg_key *k,
						 __u64 hash, enum fg_proof proof)
{
	__u32 at = fg_set_index(hash, FG_CFG(env)->flow_mask), way, older;
	struct fg_flow_set *set = fg_flow_set(env, at);
	struct fg_flow *row;

	if (!set)
		return 0;
	way = flow_claim(env, set);
	if (way >= FG_WAYS)
		return 0;
	older = fg_forget(env, fg_set_find(set->tag, hash));
	if (older < FG_WAYS) {
		set->row[older].flags |= FG_FLOW_CLOSED;
		fg_tag_publish(&set->tag[older], ~hash);
	}
	env->scratch->flow_at = at * FG_WAYS + way;
	row = &set->row[way];
	__builtin_memcpy(row->client, k->client, 16);
	__builtin_memcpy(row->server, k->server, 16);
	row->client_port_be = fg_ntohs(k->client_port);
	row->server_port_be = fg_ntohs(k->server_port);
	flow_begin(row, proof);
	row->record_len = 0;
	row->reply = 0;
	row->touched = env->epoch;
	row->turn_bytes = 0;
	row->exchanges = 0;
	row->stream = 0;
	row->bytes_in = 0;
	row->bytes_out = 0;
	row->stem = 0;
	row->chunks = 0;
	row->used = env->ticks;
	row->ticks = env->ticks;
	fg_tag_publish(&set->tag[way], hash);
	return row;
}

static __always_inline struct fg_knock *knock_find(struct fg_env *env, __u64 hash, __u64 **ret_tag)
{
	struct fg_knock_set *set;
	struct fg_knock *row;
	__u32 way;

	set = fg_knock_set(env, fg_set_index(hash, FG_CFG(env)->knock_mask));
	if (!set)
		return 0;
	way = fg_forget(env, fg_set_find(set->tag, hash));
	if (way >= FG_WAYS)
		return 0;
	*ret_tag = &set->tag[way];
	row = &set->row[way];
	/* made here: behind a spill Linux 6.1 no longer knows how large way is */
	fg_barrier(row);
	return row;
}

/* Its age; another CPU's SYN may be younger than the tick this program began with. */
static __always_inline __u32 knock_rank(struct fg_env *env, const struct fg_knock *row)
{
	__s32 age = (__u32)env->ticks - row->ticks;

	return 2 + (age > 0 ? age & 0x3fffffff : 0);
}

/* Row for a new SYN: a free one, else the oldest. Unproven state may always give way. */
static __always_inline struct fg_knock *knock_make(struct fg_env *env, __u64 hash)
{
	struct fg_knock_set *set;
	__u32 i, way;

	set = fg_knock_set(env, fg_set_index(hash, FG_CFG(env)->knock_mask));
	if (!set)
		return 0;
	env->scratch->best_rank = 0;
	for (i = 0; i < FG_WAYS; i++)
		claim_consider(env, set->tag[i], 0, knock_rank(env, &set->row[i]), i);
	way = claim_take(env, set->tag);
	if (way >= FG_WAYS || env->scratch->best_rank != ~0U)
		fg_event(env, knock_replaced);
	if (way >= FG_WAYS)
		return 0; /* the new one gave way to a newer yet */
	way = fg_forget(env, way) & (FG_WAYS - 1);
	set->row[way].ticks = env->ticks;
	set->row[way].client_isn = 0;
	set->row[way].syns = 0;
	set->row[way].replied = 0;
	set->row[way].syn_bytes = 0;
	set->row[way].clock_us = 0;
	set->row[way].spilled = 0;
	fg_tag_publish(&set->tag[way], hash);
	return &set->row[way];
}

/* Copies the TCP options word by word (their length is a multiple of four) into the scratch. */
static __always_inline void flow_copy_options(struct fg_env *env, const struct fg_frame *f)
{
	const void *data, *data_end;
	const __u8 *options;
	__u32 i;

	fg_headers(env, &data, &data_end);
	options = data + (f->l4_off & 0x3fff) + 20;
	for (i = 0; i < 40; i += 4) {
		if (i >= f->options_len || (const void *)(options + i + 4) > data_end)
			break;
		__builtin_memcpy(env->scratch->options + i, options + i, 4);
	}
}

/* Does the payload begin like a TLS record with a hello? */
static __always_inline int flow_is_hello(struct fg_env *env, const struct fg_frame *f)
{
	__u8 b[8];

	if (f->payload_len < 6 || !fg_peek(env, f->payload_off, b, 6))
		return 0;
	return b[0] == 22 && b[1] == 3 && b[5] == 1;
}

/* A hello in a SYN (TCP Fast Open) waits, unread, until the server took it and the handshake is
 * proven. */
static __always_inline void flow_syn_payload(struct fg_env *env, const struct fg_frame *f,
					     struct fg_knock *knock, __u64 hash)
{
	if (!flow_is_hello(env, f))
		return;
	if (stash_put(env, hash, f, f->seq + 1, FG_PROOF_NONE))
		knock->syn_bytes = f->payload_len;
}

/* What a SYN says about time: when it came, its sender's own clock, how far it travelled. */
static __always_inline void flow_knock_clock(struct fg_env *env, const struct fg_frame *f,
					     struct fg_knock *knock)
{
	__u32 at = env->scratch->ts_at & 63;

	knock->ttl = f->ttl;
	knock->has_tsval = at != 0;
	knock->tsval = (__u32)env->scratch->options[at] << 24 |
		       (__u32)env->scratch->options[(at + 1) & 63] << 16 |
		       (__u32)env->scratch->options[(at + 2) & 63] << 8 |
		       env->scratch->options[(at + 3) & 63];
	if (!knock->replied)
		timing_knock(env, knock, 0);
}

/* A client's SYN: remembered, nothing else. It proves nothing about its source. */
static __always_inline enum fg_action flow_syn(struct fg_env *env, const struct fg_frame *f,
					       const struct fg_key *k, int *ret_outcome)
{
	__u64 hash = flow_hash(env, k), *tag;
	struct fg_knock *knock;
	struct fg_flow *flow;

	fg_event(env, syns);
	if (gate_address(env, k)) {
		*ret_outcome = FG_FRAME_blocked;
		return gate_drop(env, f);
	}
	flow = flow_find(env, k, hash);
	if (flow && flow->client_isn != f->seq)
		flow->flags |= FG_FLOW_KNOCKED;
	knock = knock_find(env, hash, &tag);
	if (!knock)
		knock = knock_make(env, hash);
	if (!knock)
		return FG_PASS;
	if (knock->client_isn != f->seq) {
		knock->syns = 0;
		knock->replied = 0;
		knock->spilled = 0;
		knock->syn_bytes = 0;
	}
	flow_copy_options(env, f);
	fg_reload();
	knock->client_isn = f->seq;
	knock->stack = fg_stack_of_syn(f, env->scratch->options, &env->scratch->ts_at);
	fg_reload();
	flow_knock_clock(env, f, knock);
	knock->ticks = env->ticks;
	if (knock->syns < 255)
		knock->syns++;
	if (f->payload_len && !knock->replied)
		flow_syn_payload(env, f, knock, hash);
	return FG_PASS;
}

/* The server's SYN-ACK: from now on the handshake can be proven. */
static __always_inline void flow_syn_ack(struct fg_env *env, const struct fg_frame *f,
					 const struct fg_key *k)
{
	__u64 hash = flow_hash(env, k), *tag;
	struct fg_knock *knock;
	__u32 taken;

	knock = knock_find(env, hash, &tag);
	if (!knock)
		return;
	taken = f->ack - (knock->client_isn + 1);
	if (taken > knock->syn_bytes)
		return;
	knock->server_isn = f->seq;
	if (knock->replied < 255)
		knock->replied++;
	timing_knock(env, knock, 1);
	if (taken == knock->syn_bytes)
		return;
	/* refused: what the client sends again is what the server reads */
	stash_release(env, hash);
	knock->syn_bytes = 0;
}

/* Counts a proven connection for its source. */
static __always_inline void flow_credit(struct fg_env *env, const struct fg_key *k,
					const struct fg_flow *flow)
{
	struct fg_source *source = account_source(env, k);

	if (!source) {
		fg_event(env, overflow);
		account_overflow(env, k);
		return;
	}
	fg_add(&source->connections, 1);
	fg_add(&source->proven, 1);
	fg_add(&source->syns, flow->syns);
	env->totals->events[FG_EVENT_syns_proven] += flow->syns;
}

/* Writes down a proof. True with the connection's first. */
static __always_inline int flow_note_proof(struct fg_env *env, struct fg_flow *flow, __u8 before,
					   enum fg_proof proof)
{
	flow->proof = proof;
	if (before != FG_PROOF_NONE)
		return 0;
	fg_event(env, proven);
	if (proof == FG_PROOF_SOCKET)
		fg_event(env, proven_socket);
	else
		fg_event(env, proven_handshake);
	return 1;
}

/* The connection's source address is real: only from here on anything counts against it. */
static __always_inline void flow_prove(struct fg_env *env, const struct fg_key *k,
				       struct fg_flow *flow, __u8 before, enum fg_proof proof)
{
	if (flow_note_proof(env, flow, before, proof) && !(flow->flags & FG_FLOW_PROXY_AWAITED))
		flow_credit(env, k, flow);
}

/* Are bytes of the SYN part of the stream? Where the reply was not seen, the client's next sequence
 * number says whether the server took them. */
static __always_inline int flow_takes_syn_bytes(struct fg_env *env, const struct fg_knock *knock,
						__u32 ahead, __u64 hash)
{
	if (!knock->syn_bytes)
		return 0;
	if (knock->replied || ahead >= knock->syn_bytes)
		return 1;
	stash_release(env, hash);
	return 0;
}

/* A proven connection for which there is no row: once, its volume is counted. Its next segments try
 * again, so the sketch may count one too many, and never too few. */
static __always_inline void flow_spill(struct fg_env *env, const struct fg_key *k,
				       struct fg_knock *knock)
{
	if (knock->spilled)
		return;
	knock->spilled = 1;
	fg_event(env, spilled);
	account_overflow(env, k);
}

/*
 * Begins the connection that a waiting SYN announced, when this segment is its first, or one of its
 * first that came too early. Where the reply direction was seen, the segment must acknowledge the
 * server's ISN exactly: anything looser could be guessed by a sender who never saw the reply.
 */
static __always_inline struct fg_flow *flow_open(struct fg_env *env, const struct fg_frame *f,
						 const struct fg_key *k, __u64 hash, int *ret_full)
{
	struct fg_knock *knock;
	struct fg_flow *flow;
	enum fg_proof proof;
	__u32 ahead;
	__u64 *tag;

	knock = knock_find(env, hash, &tag);
	if (!knock || !(f->tcp_flags & FG_TCP_ACK))
		return 0;
	ahead = f->seq - (knock->client_isn + 1);
	if (ahead > FG_STASH_AHEAD_BYTES)
		return 0;
	proof = knock->replied ? FG_PROOF_HANDSHAKE : FG_PROOF_NONE;
	if (proof && f->ack != knock->server_isn + 1)
		return 0;
	flow = flow_make(env, k, hash, proof);
	if (!flow) {
		*ret_full = 1;
		if (proof)
			flow_spill(env, k, knock);
		return 0;
	}
	flow->client_isn = knock->client_isn;
	flow->server_isn = f->ack - 1;
	flow->client_next = f->seq - ahead;
	flow->server_next = f->ack;
	flow->record_seq = f->seq - ahead;
	flow->stack = knock->stack;
	flow->syns = knock->syns;
	if (flow_takes_syn_bytes(env, knock, ahead, hash))
		flow->flags = FG_FLOW_STASHED;
	if (flow_awaits_proxy(env, k))
		flow->flags |= FG_FLOW_PROXY_AWAITED;
	timing_open(env, f, knock, flow);
	fg_event(env, connections);
	if (proof)
		flow_prove(env, k, flow, FG_PROOF_NONE, proof);
	fg_tag_publish(tag, FG_TAG_FREE);
	return flow;
}

/* May a connection be seen to begin here? *ret_flags is its row's. */
static __always_inline int flow_begins(struct fg_env *env, const struct fg_frame *f,
				       const struct fg_key *k, __u16 *ret_flags)
{
	*ret_flags = FG_FLOW_NO_SYN;
	if (!flow_awaits_proxy(env, k))
		return flow_is_hello(env, f);
	if (FG_CFG(env)->proxy_skip && flow_is_hello(env, f))
		return 1;
	*ret_flags |= FG_FLOW_PROXY_AWAITED;
	return proxy_kind_of(env, f->payload_off, f->payload_len) != PROXY_NOT;
}

/* Begins a connection whose SYN was not kept, at a payload that looks like a hello, or like what a
 * balancer has in front of one. */
static __always_inline struct fg_flow *flow_open_midway(struct fg_env *env,
							const struct fg_frame *f,
							const struct fg_key *k, __u64 hash,
							int *ret_full)
{
	struct fg_flow *flow;
	__u16 flags;

	if (!flow_begins(env, f, k, &flags))
		return 0;
	flow = flow_make(env, k, hash, FG_PROOF_NONE);
	if (!flow) {
		*ret_full = 1;
		return 0;
	}
	flow->flags = flags;
	flow->client_isn = f->seq - 1;
	flow->server_isn = f->ack - 1;
	flow->client_next = f->seq;
	flow->server_next = f->ack;
	flow->record_seq = f->seq;
	flow->stack = 0;
	flow->syns = 0;
	timing_make(env, flow);
	fg_event(env, connections);
	return flow;
}

/*
 * Does server payload answer a question, or go on with an answer ? A server that takes an upload
 * over HTTP/2 sends window updates into it: less than FG_ANSWER_MIN_BYTES since the client's latest
 * payload leaves the question open.
 */
static __always_inline int flow_is_answer(struct fg_flow *flow, __u32 advance)
{
	__u32 sum = flow->answer_bytes + advance;

	if (!flow->turn_bytes || sum >= FG_ANSWER_MIN_BYTES)
		return 1;
	flow->answer_bytes = sum;
	return 0;
}

/* Server bytes up to `end` exist. One CPU wins the advance and adds it. */
static __always_inline void flow_server_progress(struct fg_env *env, struct fg_flow *flow,
						 __u32 end)
{
	__u32 old = flow->server_next, advance = end - old;

	if (advance == 0 || advance > FG_WINDOW_MAX_BYTES)
		return;
	if (!fg_swap32(&flow->server_next, old, end))
		return;
	fg_add(&flow->bytes_out, advance);
	timing_active(env, flow, advance);
	if (!flow_is_answer(flow, advance))
		return;
	if (flow->turn_bytes >= FG_EXCHANGE_MIN_BYTES)
		timing_first_answer(env, flow);
	flow->turn_bytes = 0;
	flow->chunks++;
}
