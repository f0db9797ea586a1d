/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * QUIC stage (RFC 9000, RFC 8999 for what is the same in all versions). What is encrypted with keys
 * that anybody can derive is read by the agent, which gets a client's Initial datagrams through a
 * bounded ring; everything else happens here:
 *
 *   Initial ──► knock ──(server's packet: its connection ID)──► client's packet to that ID ──► flow
 *      │          ▲                                                                            ▲
 *      └► agent ──┴─────────── stem and print, whichever comes first ──────────────────────────┘
 *
 * An Initial proves nothing, as a SYN does not: it waits in the knocks table. A client that sends to
 * the connection ID which the server chose has received the server's packet, and so its address is
 * real (`handshake`). Only then there is a flow, and only then anything counts against the source.
 *
 * Hello and proof come in any order and from two sides, so the flow has a word in which each leaves a
 * bit, and who completes it counts the client, once.
 *
 * The gate is asked for the address at the Initial. Clients are told apart when the agent has read the
 * hello; by then the server has its beginning, and what is dropped is the rest of the connection.
 * There is no RST in QUIC that a third party could send: blocked clients get silence.
 */
#pragma once

#include "farmgate/account.h"
#include "farmgate/direction.h"
#include "farmgate/flow.h"
#include "farmgate/gate.h"
#include "farmgate/platform.h"
#include "farmgate/stash.h"
#include "farmgate/timing.h"

#define FG_QUIC_V1_NUMBER	0x00000001U
#define FG_QUIC_V2_NUMBER	0x6b3343cfU
#define FG_QUIC_DRAFT_29_NUMBER 0xff00001dU
#define FG_QUIC_MAX_CID_BYTES	20
/* A connection ID that proves an address must not be guessed: off the path a guess at four bytes hits
 * once in four billion datagrams. Servers choose 4 to 20. */
#define FG_QUIC_MIN_PROOF_BYTES 4
/* A datagram that can hold an Initial: first byte, version, two lengths, and what is authenticated. */
#define FG_QUIC_MIN_BYTES 24
/* Initials of one connection that the agent gets: a first flight of four datagrams, three times. */
#define FG_QUIC_MAX_HANDED 12
/* Below so many bytes a datagram only acknowledges: a short header, a packet number, an ACK frame of
 * two ranges and 16 bytes of authentication are less, a request is more. */
#define FG_QUIC_SPEAKS_BYTES 64

/* fg_quic_knock.state, and the first two of fg_flow.stream */
#define FG_QUIC_HELLO_KNOWN (1U << 0)
#define FG_QUIC_PROVEN	    (1U << 1)
#define FG_QUIC_KNOCK_DROPS (1U << 2) /* a blocked client's: its datagrams go no further */

/* What a datagram says before its encryption begins. */
struct quic_head {
	__u8 is_long, is_initial, known;
	__u8 dcid_len, scid_len;
	__u32 payload_off, payload_len;
};

/* Apart from a TCP connection of the same addresses and ports. */
static __always_inline __u64 quic_hash(struct fg_env *env, const struct fg_key *k)
{
	return fg_mix_end(flow_hash(env, k), FG_CFG(env)->seed[2]);
}

/* Keyed hash of a connection ID at this place of the frame; 0 where it is not there. Behind any ID
 * lie more than seven bytes, so whole words can be read. */
static __always_inline __u64 quic_cid(struct fg_env *env, __u32 off, __u32 len)
{
	__u64 hash = len, word;
	__u32 i, left;

	for (i = 0; i < 3; i++) {
		if (len <= 8 * i)
			break;
		if (!fg_peek(env, off + 8 * i, (__u8 *)&word, 8))
			return 0;
		left = len - 8 * i;
		word = fg_be64(word);
		if (left < 8)
			word >>= 64 - 8 * left;
		hash = fg_mix(hash, word, FG_CFG(env)->seed[i]);
	}
	return fg_mix_end(hash, FG_CFG(env)->seed[3]);
}

static __always_inline int quic_is_initial(__u32 version, __u8 first)
{
	__u32 type = first >> 4 & 3;

	if (version == FG_QUIC_V2_NUMBER)
		return type == 1;
	return type == 0;
}

/* False where it is no QUIC. */
static __always_inline int quic_read_head(struct fg_env *env, const struct fg_frame *f,
					  struct quic_head *h)
{
	__u8 b[8] = {}, len[8] = {};
	__u32 version;

	h->payload_off = f->l4_off + 8;
	h->payload_len = f->l4_len - 8;
	if (f->l4_len < 8 + FG_QUIC_MIN_BYTES || !fg_peek(env, h->payload_off, b, 8))
		return 0;
	h->is_long = b[0] >> 7;
	h->is_initial = h->known = 0;
	h->dcid_len = h->scid_len = 0;
	if (!h->is_long)
		return b[0] >> 6 & 1;
	version = fg_load_be32(b + 1);
	h->known = version == FG_QUIC_V1_NUMBER || version == FG_QUIC_V2_NUMBER ||
		   version == FG_QUIC_DRAFT_29_NUMBER;
	h->is_initial = h->known && quic_is_initial(version, b[0]);
	h->dcid_len = b[5];
	/* any version has the IDs here (RFC 8999 section 5.1), but not of any length */
	if (h->dcid_len > FG_QUIC_MAX_CID_BYTES ||
	    !fg_peek(env, h->payload_off + 6 + h->dcid_len, len, 1) ||
	    len[0] > FG_QUIC_MAX_CID_BYTES)
		return 0;
	h->scid_len = len[0];
	return 1;
}

static __always_inline struct fg_quic_knock *quic_knock_find(struct fg_env *env, __u64 hash,
							     __u64 **ret_tag)
{
	return (struct fg_quic_knock *)knock_find(env, hash, ret_tag);
}

static __always_inline void quic_knock_begin(struct fg_quic_knock *knock)
{
	knock->stem = knock->cid = knock->print = 0;
	knock->handed = knock->cid_len = knock->state = 0;
	knock->hello_flags = 0;
	knock->order = 0;
}

static __always_inline struct fg_quic_knock *quic_knock_make(struct fg_env *env, __u64 hash)
{
	struct fg_quic_knock *knock = (struct fg_quic_knock *)knock_make(env, hash);

	if (knock)
		quic_knock_begin(knock);
	return knock;
}

/* The Initials that wait on this path; those of a connection that is long over are forgotten: its
 * ports are another's now, who may be another client behind the same address. */
static __always_inline struct fg_quic_knock *
quic_knock_of(struct fg_env *env, __u64 hash, const struct quic_head *h, __u64 **ret_tag)
{
	struct fg_quic_knock *knock = quic_knock_find(env, hash, ret_tag);

	if (knock && h->is_initial && fg_hello_timed_out(env, knock->ticks))
		quic_knock_begin(knock);
	return knock;
}

/* Who sent it? As for TCP, but that no SYN helps where both ports are protected: then it is who began
 * that has a row. Leaves *k client first. */
static __always_inline enum fg_direction
quic_direction_of(struct fg_env *env, const struct fg_frame *f, struct fg_key *k)
{
	int to = fg_port_protected(env, f->dport) && fg_prefix_protected(env, k->server);
	int from = fg_port_protected(env, f->sport) && fg_prefix_protected(env, k->client);
	__u64 hash, *tag;

	if (FG_CFG(env)->role == FG_ROLE_TERMINATE) {
		to = to && env->hook == FG_HOOK_INGRESS;
		from = from && env->hook == FG_HOOK_EGRESS;
	}
	if (!to && !from)
		return FG_NOT_OURS;
	if (to && !from)
		return FG_FROM_CLIENT;
	fg_key_swap(k);
	if (!to)
		return FG_FROM_SERVER;
	hash = quic_hash(env, k);
	if (quic_knock_find(env, hash, &tag) || flow_find(env, k, hash))
		return FG_FROM_SERVER;
	fg_key_swap(k);
	return FG_FROM_CLIENT;
}

/* --- Hello and proof -------------------------------------------------------------------------- */

/* The flow's hello is known: who says so first fills it in and counts. h: stem, print, flags, order. */
static __always_inline void quic_credit(struct fg_env *env, const struct fg_key *k,
					struct fg_flow *flow, const struct fg_hello *h)
{
	struct fg_source *source;
	struct fg_timing *t;

	if (fg_or32(&flow->stream, FG_QUIC_HELLO_KNOWN) & FG_QUIC_HELLO_KNOWN)
		return;
	t = timing_of(env, flow);
	if (t) {
		t->print = h->print;
		t->order = h->order_fold;
		t->hello_flags = h->flags;
	}
	flow->flags |= FG_FLOW_HELLO_SEEN;
	flow->stem = h->stem;
	source = account_source(env, k);
	if (source)
		fg_add(&source->hellos, 1);
	account_client(env, k, flow, h);
	account_print(env, h);
}

/* A knock's hello, as far as counting needs it. */
static __always_inline struct fg_hello *quic_hello_of(struct fg_env *env,
						      const struct fg_quic_knock *knock)
{
	struct fg_hello *h = &env->scratch->hello;

	h->stem = knock->stem;
	h->print = knock->print;
	h->flags = knock->hello_flags;
	h->order_fold = knock->order;
	return h;
}

/* The client used the server's connection ID: the waiting Initial becomes a connection. One of the
 * same ports, if any, is over. */
static __always_inline struct fg_flow *quic_open(struct fg_env *env, const struct fg_key *k,
						 __u64 hash, struct fg_quic_knock *knock,
						 __u64 *tag, int *ret_full)
{
	struct fg_flow *flow = flow_make(env, k, hash, FG_PROOF_HANDSHAKE);
	__u32 before;
	__u8 state;

	if (!flow) {
		*ret_full = 1;
		account_overflow(env, k);
		fg_event(env, spilled);
		return 0;
	}
	flow->flags = FG_FLOW_QUIC;
	flow->cid = knock->cid;
	flow->record_have = knock->cid_len;
	flow->client_next = flow->server_next = flow->record_seq = 0;
	flow->stack = FG_STACK_QUIC;
	flow->syns = 0;
	timing_make(env, flow);
	fg_event(env, connections);
	flow_prove(env, k, flow, FG_PROOF_NONE, FG_PROOF_HANDSHAKE);
	/* From here on the agent writes to the flow. It looks for one again after it has written to
	 * the knock, both sides with a barrier between, so one of the two sees both. The exchange's
	 * answer is asked for because only then it is a barrier. */
	before = fg_or32(&flow->stream, FG_QUIC_PROVEN);
	fg_barrier(before);
	fg_reload();
	/* one byte, written at once: who sees the hello sees whether it is a blocked client's */
	state = *(const volatile __u8 *)&knock->state;
	if (state & FG_QUIC_HELLO_KNOWN)
		quic_credit(env, k, flow, quic_hello_of(env, knock));
	if (state & FG_QUIC_KNOCK_DROPS)
		flow->flags |= FG_FLOW_DROPPED;
	fg_tag_publish(tag, FG_TAG_FREE);
	return flow;
}

/* The flow that waits for this hello. None are: one that has a hello, which is an older connection of
 * the same ports until this one is proven; and one that a program is just filling in, which will look
 * at the knock when it has. */
static __always_inline struct fg_flow *quic_waiting(struct fg_env *env, const struct fg_key *k,
						    __u64 hash)
{
	struct fg_flow *flow = flow_find(env, k, hash);
	__u32 have = flow ? *(const volatile __u32 *)&flow->stream : 0;

	return (have & (FG_QUIC_PROVEN | FG_QUIC_HELLO_KNOWN)) == FG_QUIC_PROVEN ? flow : 0;
}

/* Leaves the hello with the Initials that wait for their proof. Answers the flow where the proof came
 * first: a program frees a knock only when it has made its flow, so of the two one is there, unless the
 * Initials gave way to others. */
static __always_inline struct fg_flow *quic_leave(struct fg_env *env, const struct fg_key *k,
						  __u64 hash, const struct fg_hello *h, int blocked)
{
	struct fg_quic_knock *knock;
	struct fg_flow *flow;
	__u64 *tag;

	knock = quic_knock_find(env, hash, &tag);
	__sync_synchronize();
	flow = quic_waiting(env, k, hash);
	if (flow)
		return flow;
	if (!knock)
		knock = quic_knock_make(env, hash);
	if (!knock)
		return 0;
	knock->stem = h->stem;
	knock->print = h->print;
	knock->order = h->order_fold;
	knock->hello_flags = h->flags;
	fg_reload();
	knock->state = FG_QUIC_HELLO_KNOWN | (blocked ? FG_QUIC_KNOCK_DROPS : 0);
	__sync_synchronize();
	return quic_waiting(env, k, hash);
}

/* Programs write to the row's first word meanwhile. */
static __always_inline void quic_mark(struct fg_flow *flow)
{
	struct fg_flow before, after;

	do {
		before.head = *(const volatile __u64 *)&flow->head;
		after.head = before.head;
		after.flags |= FG_FLOW_DROPPED;
	} while (!__sync_bool_compare_and_swap(&flow->head, before.head, after.head));
}

/**
 * The agent has read the hello of a connection, h: the keys are those of the seed that the tables
 * have. True where the client is blocked; then its datagrams are dropped from here on.
 */
static __always_inline int fg_quic_hello(struct fg_env *env, const struct fg_key *k,
					 const struct fg_hello *h)
{
	__u64 hash = quic_hash(env, k);
	struct fg_flow *flow = quic_waiting(env, k, hash);
	int blocked = env->meta->client_blocks && fg_client_blocked(env, k, h->stem, FG_STACK_QUIC);

	fg_event(env, hellos);
	if (blocked) {
		fg_event(env, dropped_client);
		/* the server has its beginning already */
		fg_event(env, late_block);
	}
	if (!flow)
		flow = quic_leave(env, k, hash, h, blocked);
	if (!flow)
		return blocked;
	if (blocked)
		quic_mark(flow);
	quic_credit(env, k, flow, h);
	return blocked;
}

/* --- Datagrams -------------------------------------------------------------------------------- */

/* New bytes of the client: a request is what it says since the server spoke. What only acknowledges is
 * no payload, as in TCP, and no activity. */
static __always_inline void quic_client_bytes(struct fg_env *env, struct fg_flow *flow,
					      const struct quic_head *h)
{
	__u32 before = flow->turn_bytes, after;

	if (h->payload_len < FG_QUIC_SPEAKS_BYTES)
		return;
	env->scratch->active = flow->ticks;
	flow->ticks = env->ticks;
	if (!FG_CFG(env)->volume)
		return;
	fg_add(&flow->bytes_in, h->payload_len);
	if (h->is_long)
		return;
	after = before + h->payload_len;
	flow->turn_bytes = after;
	if (!before)
		timing_ask(env, flow);
	if (before >= FG_EXCHANGE_MIN_BYTES || after < FG_EXCHANGE_MIN_BYTES)
		return;
	flow->exchanges++;
	timing_turn(env, flow, after);
}

/* Each datagram of an answer is a step of it. */
static __always_inline void quic_server_bytes(struct fg_env *env, struct fg_flow *flow,
					      const struct quic_head *h)
{
	if (h->payload_len < FG_QUIC_SPEAKS_BYTES)
		return;
	flow->ticks = env->ticks;
	if (!FG_CFG(env)->volume)
		return;
	fg_add(&flow->bytes_out, h->payload_len);
	if (h->is_long)
		return;
	if (flow->turn_bytes >= FG_EXCHANGE_MIN_BYTES)
		timing_first_answer(env, flow);
	flow->turn_bytes = 0;
	flow->chunks++;
}

/* Does the datagram go to the connection ID with this hash? */
static __always_inline int quic_goes_to(struct fg_env *env, const struct quic_head *h, __u64 cid,
					__u32 len)
{
	__u32 off = h->payload_off + (h->is_long ? 6 : 1);

	if (len > FG_QUIC_MAX_CID_BYTES || (h->is_long && h->dcid_len != len))
		return 0;
	return quic_cid(env, off, len) == cid;
}

/* An Initial: the agent gets it, until it must have had the whole hello. */
static __always_inline void quic_hand(struct fg_env *env, const struct fg_key *k, __u8 *handed,
				      const struct quic_head *h)
{
	fg_event(env, quic_initials);
	if (*handed >= FG_QUIC_MAX_HANDED)
		return;
	(*handed)++;
	fg_hand_datagram(env, k, h->payload_off, h->payload_len);
}

static __always_inline enum fg_action quic_drop(struct fg_env *env, int *ret_outcome)
{
	env->scratch->reset = 0;
	*ret_outcome = FG_FRAME_blocked;
	return FG_DROP;
}

/* A client whose address is not proven yet, on this connection. */
static __always_inline enum fg_action quic_knocks(struct fg_env *env, const struct fg_key *k,
						  __u64 hash, const struct quic_head *h,
						  int *ret_outcome)
{
	struct fg_quic_knock *knock;
	struct fg_flow *flow;
	int full = 0;
	__u64 *tag;

	knock = quic_knock_of(env, hash, h, &tag);
	if (!knock && !h->is_initial)
		return FG_PASS;
	*ret_outcome = FG_FRAME_quic;
	if (h->is_initial && gate_address(env, k))
		return quic_drop(env, ret_outcome);
	if (!knock) {
		knock = quic_knock_make(env, hash);
		if (!knock)
			return FG_PASS; /* gave way to newer ones: knock_replaced */
		quic_hand(env, k, &knock->handed, h);
		return FG_PASS;
	}
	if (knock->state & FG_QUIC_KNOCK_DROPS) {
		fg_event(env, dropped_behind);
		return quic_drop(env, ret_outcome);
	}
	knock->ticks = env->ticks;
	if (h->is_initial)
		quic_hand(env, k, &knock->handed, h);
	fg_reload();
	if (knock->cid_len < FG_QUIC_MIN_PROOF_BYTES ||
	    !quic_goes_to(env, h, knock->cid, knock->cid_len))
		return FG_PASS;
	fg_reload();
	flow = quic_open(env, k, hash, knock, tag, &full);
	if (flow)
		quic_client_bytes(env, flow, h);
	else if (full)
		*ret_outcome = FG_FRAME_flow_table_full;
	return FG_PASS;
}

/* Does it belong to a newer connection than the flow of the same ports? An Initial to another ID than
 * the server's begins one, and until that is proven both are asked. Anybody can send such an Initial:
 * it takes nothing from the flow. */
static __always_inline int quic_is_newer(struct fg_env *env, struct fg_flow *flow,
					 const struct quic_head *h)
{
	if (!h->is_initial && !(flow->flags & FG_FLOW_KNOCKED))
		return 0;
	if (quic_goes_to(env, h, flow->cid, flow->record_have))
		return 0;
	if (h->is_initial)
		flow->flags |= FG_FLOW_KNOCKED;
	return 1;
}

static __always_inline enum fg_action quic_from_client(struct fg_env *env, const struct fg_key *k,
						       const struct quic_head *h, int *ret_outcome)
{
	__u64 hash = quic_hash(env, k);
	struct fg_flow *flow = flow_find(env, k, hash);

	if (!flow || quic_is_newer(env, flow, h))
		return quic_knocks(env, k, hash, h, ret_outcome);
	*ret_outcome = FG_FRAME_quic;
	if (flow->flags & FG_FLOW_DROPPED) {
		fg_event(env, dropped_behind);
		return quic_drop(env, ret_outcome);
	}
	if (h->is_initial)
		quic_hand(env, k, &flow->syns, h);
	quic_client_bytes(env, flow, h);
	return FG_PASS;
}

static __always_inline void quic_from_server(struct fg_env *env, const struct fg_key *k,
					     const struct quic_head *h, int *ret_outcome)
{
	__u64 hash = quic_hash(env, k), *tag;
	struct fg_flow *flow = flow_find(env, k, hash);
	struct fg_quic_knock *knock;

	if (flow) {
		*ret_outcome = FG_FRAME_quic_server;
		quic_server_bytes(env, flow, h);
	}
	if (!h->is_long || !h->known)
		return;
	fg_reload();
	knock = quic_knock_find(env, hash, &tag);
	if (!knock)
		return;
	*ret_outcome = FG_FRAME_quic_server;
	knock->cid = quic_cid(env, h->payload_off + 7 + h->dcid_len, h->scid_len);
	knock->cid_len = h->scid_len;
}

/* A hello of DTLS (RFC 9147 section 5.3): counted, not read. */
static __always_inline void quic_count_dtls(struct fg_env *env, const struct fg_frame *f)
{
	__u8 b[8] = {}, type[8] = {};

	if (f->l4_len < 8 + 25 || !fg_peek(env, f->l4_off + 8, b, 3) || b[0] != 22 ||
	    b[1] != 0xfe || !fg_peek(env, f->l4_off + 8 + 13, type, 1) || type[0] != 1)
		return;
	fg_event(env, dtls_hellos);
}

/* A datagram with a protected port. */
static __always_inline enum fg_action fg_datagram(struct fg_env *env, const struct fg_frame *f,
						  struct fg_key *k, int *ret_outcome)
{
	enum fg_direction direction = quic_direction_of(env, f, k);
	struct quic_head head;

	*ret_outcome = FG_FRAME_other_port;
	if (direction == FG_NOT_OURS)
		return FG_PASS;
	*ret_outcome = FG_FRAME_udp;
	if (!quic_read_head(env, f, &head)) {
		if (direction == FG_FROM_CLIENT)
			quic_count_dtls(env, f);
		return FG_PASS;
	}
	fg_reload();
	if (direction == FG_FROM_CLIENT) {
		if (head.is_long && !head.known)
			fg_event(env, quic_unknown_version);
		return quic_from_client(env, k, &head, ret_outcome);
	}
	quic_from_server(env, k, &head, ret_outcome);
	return FG_PASS;
}
