/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Each open connection has two cursors over its plan: one on what either side sends, one on the
 * client's acknowledgements, which walk behind the server's frames by one round trip. A heap over all
 * connections says whose frame is next.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "campaign/packets.h"
#include "campaign/datagrams.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ETH_LEN	    14
#define UDP_LEN	    8
#define PROTO_TCP   6
#define PROTO_UDP   17
#define MAX_SEGMENT 1460
/* Answers that come faster than this are acknowledged every second frame (RFC 9293 3.8.6.3). */
#define DELAYED_ACK_NS 1000000ULL
/* The server's kernel answers a FIN. */
#define FIN_ACK_NS 50000ULL
/* Random bytes that payloads are cut from, and places where the cut may begin. */
#define POOL_BYTES (64U << 10)
/* Longest content of a record of ours, header included; the last of a message takes what would be too
 * short for one. */
#define RECORD_BYTES 16384U
#define RECORD_MIN   32U
#define MESSAGE_MAX  4096

enum phase {
	SYN,
	SYN_ACK,
	ACK,
	HELLO,
	FLIGHT,
	FINISH,
	TICKET,
	REQUEST,
	ANSWER,
	CLOSE,
	CLOSE_ANSWER,
	CLOSE_ACK,
	DONE
};

/* Where a cursor is: a frame of a phase; of an exchange, where it is one. */
struct cursor {
	enum phase phase;
	uint32_t turn, frame;
	uint32_t offset; /* of the frame in its message */
};

struct flow {
	struct flow *next; /* spare ones */
	uint8_t client[16], server[16];
	uint16_t port;
	uint8_t ttl;
	bool tls13, resumed;
	uint16_t stack;
	uint32_t tsval;
	uint32_t pool_at; /* where its payloads are cut from the pool */
	uint32_t client_seq, server_seq; /* next byte to send */
	uint32_t acked; /* of the server's bytes, by the client */
	const struct cg_form *form;
	struct cursor data, ack;
	struct cg_turn at; /* exchange of the data cursor */
	struct cg_turn ack_at; /* and of the other */
	struct cg_plan plan; /* cut off behind its turns */
};

/* A frame to be made. */
struct step {
	uint64_t ns;
	enum phase phase; /* DONE of a bare acknowledgement */
	uint32_t seq, ack, bytes, offset;
	uint8_t flags;
	bool from_server;
};

struct waiting {
	uint64_t ns;
	struct flow *flow;
};

struct message {
	uint16_t n;
	uint8_t bytes[MESSAGE_MAX];
};

struct cg_packets {
	struct cg_packets_conf conf;
	struct cg_keys *keys;
	struct waiting *heap;
	size_t n, cap;
	struct flow *spare[CG_EXCHANGES + 2];
	uint64_t frames;
	/* [tls13][resumed] */
	struct message flights[2][2], finishes[2][2], tickets[2][2];
	uint8_t pool[POOL_BYTES + MAX_SEGMENT];
	uint8_t frame[ETH_LEN + 40 + 60 + MAX_SEGMENT];
};

enum {
	FIN = FG_PKT_FIN,
	PSH_ACK = FG_PKT_PSH | FG_PKT_ACK
};

/* --- Messages ---------------------------------------------------------------------------------- */

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

static void put_header(uint8_t *at, uint8_t type, uint32_t content)
{
	at[0] = type;
	put16(at + 1, 0x0303);
	put16(at + 3, content);
}

/* A record of n bytes, header included, with random content. */
static uint8_t *put_record(struct message *m, uint8_t type, uint32_t n, struct fg_prng *r)
{
	uint8_t *at = m->bytes + m->n;

	put_header(at, type, n - 5);
	fg_prng_fill(r, at + 5, n - 5);
	m->n = (uint16_t)(m->n + n);
	return at + 5;
}

static void put_change_cipher(struct message *m)
{
	put_header(m->bytes + m->n, 20, 1);
	m->bytes[m->n + 5] = 1;
	m->n += 6;
}

/* ServerHello (RFC 8446 section 4.1.3): TLS 1.3 with a key share of X25519, or TLS 1.2. */
static void put_server_hello(struct message *m, bool tls13, struct fg_prng *r)
{
	static const uint8_t exts13[] = { 0x00, 0x2e, 0x00, 0x2b, 0x00, 0x02, 0x03, 0x04,
					  0x00, 0x33, 0x00, 0x24, 0x00, 0x1d, 0x00, 0x20 };
	static const uint8_t exts12[] = { 0x00, 0x09, 0xff, 0x01, 0x00, 0x01,
					  0x00, 0x00, 0x17, 0x00, 0x00 };
	size_t n_exts = tls13 ? sizeof(exts13) + 32 : sizeof(exts12);
	uint8_t *at = put_record(m, 22, (uint32_t)(5 + 4 + 70 + n_exts), r);

	put32(at, 0x02000000 + 70 + (uint32_t)n_exts);
	put16(at + 4, 0x0303);
	at[38] = 32;
	put16(at + 71, tls13 ? 0x1302 : 0xc02f);
	at[73] = 0;
	memcpy(at + 74, tls13 ? exts13 : exts12, tls13 ? sizeof(exts13) : sizeof(exts12));
}

/* What the handshake of each kind consists of; lengths as planned. */
static void make_messages(struct cg_packets *p, const struct cg_plan *plan, bool tls13,
			  bool resumed, struct fg_prng *r)
{
	struct message *flight = &p->flights[tls13][resumed], *ticket = &p->tickets[tls13][resumed];
	struct message *finish = &p->finishes[tls13][resumed];
	uint32_t half = plan->ticket_bytes / (resumed ? 1 : 2);

	put_server_hello(flight, tls13, r);
	if (tls13 || resumed)
		put_change_cipher(flight);
	put_record(flight, tls13 ? 23 : 22, plan->flight_bytes - flight->n, r);
	if (!tls13 && !resumed)
		put_record(finish, 22, 42, r)[0] = 16; /* ClientKeyExchange */
	put_change_cipher(finish);
	put_record(finish, tls13 ? 23 : 22, plan->finish_bytes - finish->n, r);
	if (tls13) {
		for (uint32_t n = 0; n < plan->ticket_bytes; n += half)
			put_record(ticket, 23, half, r);
	} else if (plan->ticket_bytes) {
		put_record(ticket, 22, plan->ticket_bytes - 6 - 45, r)[0] = 4;
		put_change_cipher(ticket);
		put_record(ticket, 22, 45, r);
	}
}

static void make_all_messages(struct cg_packets *p)
{
	struct fg_prng r = { 20260302 };

	for (int tls13 = 0; tls13 < 2; tls13++) {
		for (int resumed = 0; resumed < 2; resumed++) {
			const struct cg_voice voice = { .hello_bytes = 500, .tls13 = tls13 };
			const struct cg_connection c = { .resumed = resumed };
			struct cg_plan plan;

			cg_plan_make(&c, &voice, &plan);
			make_messages(p, &plan, tls13, resumed, &r);
		}
	}
	fg_prng_fill(&r, p->pool, sizeof(p->pool));
}

int cg_packets_new(const struct cg_packets_conf *conf, struct cg_keys *keys,
		   struct cg_packets **ret)
{
	struct cg_packets *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->conf = *conf;
	p->keys = keys;
	make_all_messages(p);
	*ret = p;
	return 0;
}

void cg_packets_free(struct cg_packets **packets)
{
	struct cg_packets *p = *packets;
	struct flow *next;

	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		free(p->heap[i].flow);
	for (size_t i = 0; i < CG_EXCHANGES + 2; i++) {
		for (struct flow *f = p->spare[i]; f; f = next) {
			next = f->next;
			free(f);
		}
	}
	free(p->heap);
	free(p);
	*packets = NULL;
}

uint64_t cg_packets_frames(const struct cg_packets *p)
{
	return p->frames;
}

/* --- Payloads ---------------------------------------------------------------------------------- */

/* Places of record headers in a message of n bytes: each RECORD_BYTES, but the rest is no record of
 * its own where it would be too short. */
static uint32_t record_len(uint32_t n, uint32_t at)
{
	uint32_t left = n - at;

	return left < RECORD_BYTES + RECORD_MIN ? left : RECORD_BYTES;
}

/* Bytes [offset, offset + n) of a request of `all` bytes: random, with record headers in it. */
static void put_request(const uint8_t *random, uint32_t all, uint32_t offset, uint32_t n,
			uint8_t *to)
{
	uint32_t at = offset / RECORD_BYTES * RECORD_BYTES, len;
	uint8_t header[5];

	memcpy(to, random, n);
	if (at && all - at < RECORD_MIN)
		at -= RECORD_BYTES;
	for (; at < all && at < offset + n; at += len) {
		len = record_len(all, at);
		put_header(header, 23, len - 5);
		for (uint32_t i = 0; i < 5; i++)
			if (at + i >= offset && at + i < offset + n)
				to[at + i - offset] = header[i];
	}
}

/* A datagram of QUIC, whole. */
static void put_datagram(const struct flow *f, const struct step *s, uint8_t *to)
{
	uint64_t connection = f->plan.syn_ns ^ (uint64_t)f->port << 48;

	if (s->phase == HELLO)
		cg_datagram_hello(connection, f->form->stream + 5, f->form->bytes - 5U,
				  s->offset / CG_DATAGRAM, to);
	else if (s->phase == FLIGHT || s->phase == FINISH)
		cg_datagram_handshake(connection, s->from_server, !s->offset, s->bytes, to);
	else
		cg_datagram_data(connection, s->from_server, s->bytes, to);
}

/* The first n bytes of a step's payload. */
static void put_payload(struct cg_packets *p, const struct flow *f, const struct step *s,
			uint32_t n, uint8_t *to)
{
	const uint8_t *random = p->pool + ((f->pool_at + s->offset * 7) & (POOL_BYTES - 1) & ~1U);

	if (f->plan.quic) {
		put_datagram(f, s, to);
		return;
	}
	switch (s->phase) {
	case HELLO:
		memcpy(to, f->form->stream + s->offset, n);
		break;
	case FLIGHT:
		memcpy(to, p->flights[f->tls13][f->resumed].bytes + s->offset, n);
		break;
	case FINISH:
		memcpy(to, p->finishes[f->tls13][f->resumed].bytes, n);
		break;
	case TICKET:
		memcpy(to, p->tickets[f->tls13][f->resumed].bytes, n);
		break;
	case REQUEST:
		put_request(random, f->at.up_bytes, s->offset, n, to);
		break;
	default: /* a record of its own: an answer's step, or the alert in front of a close */
		memcpy(to, random, n);
		put_header(to, f->tls13 || s->phase == ANSWER ? 23 : 21, s->bytes - 5);
	}
}

/* --- Frames ------------------------------------------------------------------------------------ */

/* One's complement sum in the order of this machine (RFC 1071 section 2(B)); at may be odd, n too. */
static uint64_t sum_bytes(const uint8_t *at, size_t n, uint64_t sum)
{
	uint64_t words[2];
	uint16_t rest = 0;

	for (; n >= 16; n -= 16, at += 16) {
		memcpy(words, at, 16);
		sum += (words[0] & UINT32_MAX) + (words[0] >> 32);
		sum += (words[1] & UINT32_MAX) + (words[1] >> 32);
	}
	for (; n >= 2; n -= 2, at += 2) {
		memcpy(&rest, at, 2);
		sum += rest;
	}
	rest = 0;
	memcpy(&rest, at, n);
	return sum + rest;
}

static void put_sum(uint8_t *at, uint64_t sum)
{
	uint16_t folded;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	memcpy(at, &folded, 2);
}

static void put_ip(uint8_t *ip, bool v4, const uint8_t *from, const uint8_t *to, uint8_t ttl,
		   uint8_t protocol, size_t l4_len)
{
	memset(ip, 0, v4 ? 20 : 40);
	if (v4) {
		ip[0] = 0x45;
		put16(ip + 2, (uint32_t)(20 + l4_len));
		ip[6] = 0x40;
		ip[8] = ttl;
		ip[9] = protocol;
		memcpy(ip + 12, from + 12, 4);
		memcpy(ip + 16, to + 12, 4);
		put_sum(ip + 10, sum_bytes(ip, 20, 0));
		return;
	}
	ip[0] = 0x60;
	put16(ip + 4, (uint32_t)l4_len);
	ip[6] = protocol;
	ip[7] = ttl;
	memcpy(ip + 8, from, 16);
	memcpy(ip + 24, to, 16);
}

/* SYN: the client's own options; SYN-ACK: MSS, SACK, window scale. Answers their length. */
static size_t put_options(struct cg_packets *p, const struct flow *f, bool v4, bool from_server,
			  uint8_t *to)
{
	const struct cg_stack *s = cg_keys_syn(p->keys, f->stack);
	size_t n = (s->n_options + 3) & ~(size_t)3;

	if (from_server) {
		memcpy(to, "\x02\x04\x05\xb4\x01\x01\x04\x02\x01\x03\x03\x07", 12);
		put16(to + 2, v4 ? 1460 : 1440);
		return 12;
	}
	memset(to, 0, n);
	memcpy(to, s->options, s->n_options);
	if (s->ts_off)
		put32(to + s->ts_off, f->tsval);
	return n;
}

static size_t put_tcp(struct cg_packets *p, const struct flow *f, const struct step *s, bool v4,
		      uint8_t *tcp)
{
	const struct cg_stack *stack = cg_keys_syn(p->keys, f->stack);
	size_t options = s->flags & FG_PKT_SYN ? put_options(p, f, v4, s->from_server, tcp + 20) :
						 0;

	put16(tcp, s->from_server ? 443 : f->port);
	put16(tcp + 2, s->from_server ? f->port : 443);
	put32(tcp + 4, s->seq);
	put32(tcp + 8, s->ack);
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	tcp[13] = s->flags;
	put16(tcp + 14, s->from_server ? 65160 : stack->window);
	put32(tcp + 16, 0);
	return 20 + options;
}

static size_t put_udp(const struct flow *f, const struct step *s, uint8_t *udp)
{
	put16(udp, s->from_server ? 443 : f->port);
	put16(udp + 2, s->from_server ? f->port : 443);
	put16(udp + 4, UDP_LEN + s->bytes);
	put16(udp + 6, 0);
	return UDP_LEN;
}

/* Payload bytes that a capture keeps: of hellos all. */
static uint32_t kept_of(const struct cg_packets *p, const struct step *s)
{
	if (!p->conf.keep_bytes || s->phase == HELLO || s->bytes < p->conf.keep_bytes)
		return s->bytes;
	return p->conf.keep_bytes;
}

static int emit(struct cg_packets *p, const struct flow *f, const struct step *s)
{
	static const uint8_t macs[2][12] = { { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 },
					     { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 } };
	bool v4 = !f->client[0] && !f->client[1] && f->client[10] == 0xff;
	uint8_t *ip = p->frame + ETH_LEN, *l4 = ip + (v4 ? 20 : 40);
	uint8_t protocol = f->plan.quic ? PROTO_UDP : PROTO_TCP;
	size_t head = f->plan.quic ? put_udp(f, s, l4) : put_tcp(p, f, s, v4, l4);
	size_t l4_len = head + s->bytes;
	uint32_t kept = kept_of(p, s);
	const uint8_t *from = s->from_server ? f->server : f->client;
	const uint8_t *to = s->from_server ? f->client : f->server;
	uint16_t pseudo[2];
	size_t len;

	memcpy(p->frame, macs[s->from_server], 12);
	put16(p->frame + 12, v4 ? 0x0800 : 0x86dd);
	put_ip(ip, v4, from, to, s->from_server ? 64 : f->ttl, protocol, l4_len);
	if (kept)
		put_payload(p, f, s, kept, l4 + head);
	p->frames++;
	len = (size_t)(l4 - p->frame) + l4_len;
	if (kept < s->bytes) /* whose checksum nobody can know */
		return p->conf.emit(p->conf.arg, s->ns, p->frame, len - s->bytes + kept, len);
	put16((uint8_t *)pseudo, protocol);
	put16((uint8_t *)(pseudo + 1), (uint32_t)l4_len);
	put_sum(l4 + (f->plan.quic ? 6 : 16),
		sum_bytes(l4, l4_len, 0) + pseudo[0] + pseudo[1] +
			sum_bytes(from + (v4 ? 12 : 0), v4 ? 4 : 16, 0) +
			sum_bytes(to + (v4 ? 12 : 0), v4 ? 4 : 16, 0));
	return p->conf.emit(p->conf.arg, s->ns, p->frame, len, len);
}

/* --- The data cursor --------------------------------------------------------------------------- */

static uint32_t segment_at(const struct flow *f, uint32_t all)
{
	uint32_t left = all - f->data.offset;

	return left < f->plan.segment ? left : f->plan.segment;
}

/* Datagrams are of a size, so that the last one is not taken for an acknowledgement. */
static uint32_t request_at(const struct flow *f)
{
	uint32_t all = f->at.up_bytes;

	if (!f->plan.quic)
		return segment_at(f, all);
	return cg_even_bytes(all, cg_frames(all, f->plan.segment), f->data.frame + 1) -
	       f->data.offset;
}

static uint64_t data_ns(const struct flow *f)
{
	const struct cg_plan *p = &f->plan;
	uint64_t behind = f->data.frame * CG_FRAME_NS;

	switch (f->data.phase) {
	case SYN:
		return p->syn_ns;
	case SYN_ACK:
		return p->syn_ns + CG_SYN_ACK_NS;
	case ACK:
		return p->ack_ns;
	case HELLO:
		return p->hello_ns + behind;
	case FLIGHT:
		return p->flight_ns + behind;
	case FINISH:
		return p->finish_ns;
	case TICKET:
		return p->ticket_ns;
	case REQUEST:
		return f->at.start_ns + behind;
	case ANSWER:
		return f->at.first_ns + f->data.frame * f->at.gap_ns;
	case CLOSE:
		return p->close_ns;
	case CLOSE_ANSWER:
		return p->close_ns + (p->closer == CG_CLOSE_SERVER_FIN ? p->rtt_ns : FIN_ACK_NS);
	case CLOSE_ACK:
		return p->close_ns + FIN_ACK_NS + p->rtt_ns;
	default:
		return UINT64_MAX;
	}
}

/* Payload of the frame at the cursor. */
static uint32_t data_bytes(const struct flow *f)
{
	const struct cg_plan *p = &f->plan;

	switch (f->data.phase) {
	case HELLO:
		return segment_at(f, p->hello_bytes);
	case FLIGHT:
		return segment_at(f, p->flight_bytes);
	case FINISH:
		return p->finish_bytes;
	case TICKET:
		return p->ticket_bytes;
	case REQUEST:
		return request_at(f);
	case ANSWER:
		return cg_turn_bytes(&f->at, f->data.frame + 1) - f->data.offset;
	case CLOSE:
		if (p->quic)
			return CG_QUIC_CLOSE;
		return p->closer == CG_CLOSE_CLIENT_RST ? 0 : CG_NOTIFY_BYTES;
	default:
		return 0;
	}
}

static bool data_from_server(const struct flow *f)
{
	bool server_closes = f->plan.closer == CG_CLOSE_SERVER_FIN;

	switch (f->data.phase) {
	case SYN_ACK:
	case FLIGHT:
	case TICKET:
	case ANSWER:
		return true;
	case CLOSE:
	case CLOSE_ACK:
		return server_closes;
	case CLOSE_ANSWER:
		return !server_closes;
	default:
		return false;
	}
}

static uint8_t data_flags(const struct flow *f)
{
	switch (f->data.phase) {
	case SYN:
		return FG_PKT_SYN;
	case SYN_ACK:
		return FG_PKT_SYN | FG_PKT_ACK;
	case ACK:
	case CLOSE_ACK:
		return FG_PKT_ACK;
	case CLOSE:
		return f->plan.closer == CG_CLOSE_CLIENT_RST ? FG_PKT_RST | FG_PKT_ACK :
							       PSH_ACK | FIN;
	case CLOSE_ANSWER:
		return FG_PKT_ACK | FIN;
	default:
		return PSH_ACK;
	}
}

/* Over QUIC a client without a FIN just falls silent. */
static void begin_turn(struct flow *f)
{
	if (f->data.turn < cg_plan_exchanges(&f->plan)) {
		f->at = cg_plan_turn(&f->plan, f->data.turn);
		f->data.phase = REQUEST;
	} else {
		f->data.phase = f->plan.quic && f->plan.closer == CG_CLOSE_CLIENT_RST ? DONE :
											CLOSE;
	}
}

static void begin_phase(struct flow *f, enum phase phase)
{
	f->data.phase = phase;
	f->data.frame = f->data.offset = 0;
	if (phase == TICKET && !f->plan.ticket_ns)
		f->data.phase = REQUEST;
	if (f->data.phase == REQUEST)
		begin_turn(f);
}

/* To the frame behind one of n bytes. */
static void data_next(struct flow *f, uint32_t n)
{
	static const enum phase behind[] = {
		[SYN] = SYN_ACK,
		[SYN_ACK] = ACK,
		[ACK] = HELLO,
		[HELLO] = FLIGHT,
		[FLIGHT] = FINISH,
		[FINISH] = TICKET,
		[TICKET] = REQUEST,
		[REQUEST] = ANSWER,
		[CLOSE] = CLOSE_ANSWER,
		[ANSWER] = REQUEST,
		[CLOSE_ANSWER] = CLOSE_ACK,
		[CLOSE_ACK] = DONE,
		[DONE] = DONE,
	};
	enum phase phase = f->data.phase;
	uint32_t whole = phase == HELLO	  ? f->plan.hello_bytes :
			 phase == FLIGHT  ? f->plan.flight_bytes :
			 phase == REQUEST ? f->at.up_bytes :
			 phase == ANSWER  ? f->at.down_bytes :
					    0;

	f->data.frame++;
	f->data.offset += n;
	if (f->data.offset < whole)
		return;
	if (phase == ANSWER)
		f->data.turn++;
	if (phase == CLOSE && (f->plan.quic || f->plan.closer == CG_CLOSE_CLIENT_RST))
		f->data.phase = DONE;
	else
		begin_phase(f, behind[phase]);
}

static int emit_data(struct cg_packets *p, struct flow *f)
{
	enum phase phase = f->data.phase;
	bool from_server = data_from_server(f);
	struct step s = { .ns = data_ns(f),
			  .phase = phase,
			  .bytes = data_bytes(f),
			  .offset = f->data.offset,
			  .flags = data_flags(f),
			  .from_server = from_server };
	uint32_t *seq = from_server ? &f->server_seq : &f->client_seq;
	int r;

	/* who sends Finished, or answers a FIN, has all that came before */
	if (phase == FINISH || phase == CLOSE_ANSWER || phase == CLOSE_ACK)
		f->acked = f->server_seq;
	s.seq = *seq;
	s.ack = phase == SYN ? 0 : from_server ? f->client_seq : f->acked;
	r = emit(p, f, &s);
	*seq += s.bytes + ((s.flags & (FG_PKT_SYN | FG_PKT_FIN)) != 0);
	if (phase == SYN_ACK)
		f->acked = f->server_seq;
	data_next(f, s.bytes);
	return r;
}

/* --- The cursor of acknowledgements ------------------------------------------------------------ */

/* A frame of a fast answer that is acknowledged together with the next. */
static bool ack_skips(const struct flow *f)
{
	if (f->ack.frame + 1 == f->ack_at.frames)
		return false;
	return f->ack_at.gap_ns < DELAYED_ACK_NS && !(f->ack.frame & 1);
}

static uint64_t ack_ns(const struct flow *f)
{
	const struct cg_plan *p = &f->plan;
	uint64_t ns = UINT64_MAX;

	if (f->ack.phase == FLIGHT)
		ns = p->flight_end_ns + p->rtt_ns;
	else if (f->ack.phase == TICKET)
		ns = p->ticket_ns + p->rtt_ns;
	else if (f->ack.phase == ANSWER)
		ns = f->ack_at.first_ns + f->ack.frame * f->ack_at.gap_ns + p->rtt_ns;
	return ns < p->close_ns ? ns : UINT64_MAX;
}

/* To the next frame of an answer that is acknowledged on its own. */
static void ack_answer(struct flow *f)
{
	do {
		if (++f->ack.frame < f->ack_at.frames)
			continue;
		f->ack.frame = 0;
		if (++f->ack.turn >= cg_plan_exchanges(&f->plan)) {
			f->ack.phase = DONE;
			return;
		}
		f->ack_at = cg_plan_turn(&f->plan, f->ack.turn);
	} while (ack_skips(f));
}

static void ack_first_answer(struct flow *f)
{
	f->ack.phase = cg_plan_exchanges(&f->plan) ? ANSWER : DONE;
	if (f->ack.phase == DONE)
		return;
	f->ack_at = cg_plan_turn(&f->plan, 0);
	if (ack_skips(f))
		ack_answer(f);
}

static void ack_next(struct flow *f)
{
	if (f->ack.phase == FLIGHT && f->plan.ticket_ns)
		f->ack.phase = TICKET;
	else if (f->ack.phase != ANSWER)
		ack_first_answer(f);
	else
		ack_answer(f);
}

/* Sequence number behind the frame at the cursor. */
static uint32_t ack_number(const struct flow *f, uint32_t server_isn)
{
	const struct cg_plan *p = &f->plan;
	uint64_t n = server_isn + 1 + (uint64_t)p->flight_bytes;

	if (f->ack.phase != FLIGHT)
		n += p->ticket_bytes;
	if (f->ack.phase != ANSWER)
		return (uint32_t)n;
	for (uint32_t k = 0; k < f->ack.turn && k < p->n; k++)
		n += p->turns[k].down_bytes;
	if (f->ack.turn > p->n)
		n += (uint64_t)(f->ack.turn - p->n) * p->turns[p->n].down_bytes;
	return (uint32_t)(n + cg_turn_bytes(&f->ack_at, f->ack.frame + 1));
}

static uint32_t server_isn(const struct flow *f)
{
	struct fg_prng r = { f->plan.syn_ns ^ f->port };

	return (uint32_t)fg_prng_next(&r);
}

static int emit_ack(struct cg_packets *p, struct flow *f)
{
	uint32_t number = ack_number(f, server_isn(f));
	struct step s = { .ns = ack_ns(f),
			  .phase = DONE,
			  .bytes = f->plan.quic ? CG_QUIC_ACK : 0,
			  .flags = FG_PKT_ACK };

	if ((int32_t)(number - f->acked) > 0)
		f->acked = number;
	s.seq = f->client_seq;
	s.ack = f->acked;
	ack_next(f);
	return emit(p, f, &s);
}

/* --- The heap ---------------------------------------------------------------------------------- */

static void sift_down(struct cg_packets *p, struct waiting moved)
{
	size_t at = 0, child;

	for (; (child = at * 2 + 1) < p->n; at = child) {
		if (child + 1 < p->n && p->heap[child + 1].ns < p->heap[child].ns)
			child++;
		if (p->heap[child].ns >= moved.ns)
			break;
		p->heap[at] = p->heap[child];
	}
	p->heap[at] = moved;
}

static int heap_put(struct cg_packets *p, struct flow *f, uint64_t ns)
{
	struct waiting *larger;
	size_t at = p->n;

	if (p->n == p->cap) {
		if (p->cap >= CG_MAX_FLOWS)
			return -ENOSPC;
		larger = reallocarray(p->heap, p->cap ? p->cap * 2 : 1024, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		p->heap = larger;
		p->cap = p->cap ? p->cap * 2 : 1024;
	}
	p->n++;
	for (; at && p->heap[(at - 1) / 2].ns > ns; at = (at - 1) / 2)
		p->heap[at] = p->heap[(at - 1) / 2];
	p->heap[at] = (struct waiting){ ns, f };
	return 0;
}

static unsigned int turns_of(const struct cg_plan *p)
{
	return p->n + (p->bulk != 0);
}

/* One frame of the connection whose turn it is. */
static int emit_next(struct cg_packets *p)
{
	struct flow *f = p->heap[0].flow;
	uint64_t data = data_ns(f), ack = ack_ns(f);
	int r = ack < data ? emit_ack(p, f) : emit_data(p, f);

	data = data_ns(f);
	ack = ack_ns(f);
	if (data != UINT64_MAX) {
		sift_down(p, (struct waiting){ data < ack ? data : ack, f });
		return r;
	}
	f->next = p->spare[turns_of(&f->plan)];
	p->spare[turns_of(&f->plan)] = f;
	if (--p->n)
		sift_down(p, p->heap[p->n]);
	return r;
}

/* --- Interface --------------------------------------------------------------------------------- */

static struct flow *flow_of(struct cg_packets *p, const struct cg_connection *c,
			    const struct cg_form *form, const struct cg_plan *plan)
{
	size_t turns = turns_of(plan) * sizeof(struct cg_turn);
	struct flow *f = p->spare[turns_of(plan)];
	struct fg_prng r = { c->syn_ns * 31 + c->port };

	if (f)
		p->spare[turns_of(plan)] = f->next;
	else
		f = malloc(offsetof(struct flow, plan.turns) + turns);
	if (!f)
		return NULL;
	memset(f, 0, offsetof(struct flow, plan));
	memcpy(&f->plan, plan, offsetof(struct cg_plan, turns) + turns);
	memcpy(f->client, c->source, sizeof(f->client));
	p->conf.server(c->source, c->server, f->server);
	f->port = c->port;
	f->ttl = c->ttl;
	f->tls13 = cg_keys_hello(p->keys, c->hello, c->resumed)->tls13;
	f->resumed = c->resumed;
	f->stack = c->stack;
	cg_keys_tsval(p->keys, c, &f->tsval);
	f->form = form;
	f->client_seq = (uint32_t)fg_prng_next(&r);
	f->pool_at = (uint32_t)fg_prng_next(&r);
	f->server_seq = server_isn(f);
	f->data.phase = plan->quic ? HELLO : SYN;
	f->ack.phase = FLIGHT;
	/* a client that answers at once acknowledges with its answer */
	if (plan->quic || plan->flight_end_ns + plan->rtt_ns >= plan->finish_ns)
		ack_next(f);
	return f;
}

int cg_packets_add(struct cg_packets *p, const struct cg_connection *c)
{
	const struct cg_form *form;
	struct cg_plan plan;
	struct flow *f;
	int r = 0;

	while (!r && p->n && p->heap[0].ns < c->syn_ns)
		r = emit_next(p);
	if (r)
		return r;
	form = cg_keys_plan(p->keys, c, true, &plan);
	f = form ? flow_of(p, c, form, &plan) : NULL;
	if (!f)
		return -ENOMEM;
	r = heap_put(p, f, plan.syn_ns);
	if (r)
		free(f);
	return r;
}

int cg_packets_finish(struct cg_packets *p)
{
	int r = 0;

	while (!r && p->n)
		r = emit_next(p);
	return r;
}

/* --- Capture file ------------------------------------------------------------------------------ */

#define BUFFER_BYTES (1U << 20)

struct cg_pcap {
	int fd;
	size_t n;
	uint8_t bytes[BUFFER_BYTES];
};

int cg_pcap_new(int fd, struct cg_pcap **ret)
{
	/* magic of nanoseconds, version 2.4, snapshot length, Ethernet; in this machine's order */
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, sigfigs, snaplen, link;
	} head = { 0xa1b23c4d, 2, 4, 0, 0, 262144, 1 };
	struct cg_pcap *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fd = fd;
	/* a pipe that holds a buffer: its reader works while the next one is filled; else as it is */
	fcntl(fd, F_SETPIPE_SZ, BUFFER_BYTES);
	p->n = sizeof(head);
	memcpy(p->bytes, &head, sizeof(head));
	*ret = p;
	return 0;
}

static int flush(struct cg_pcap *p)
{
	for (size_t at = 0; at < p->n;) {
		ssize_t n = write(p->fd, p->bytes + at, p->n - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	p->n = 0;
	return 0;
}

int cg_pcap_frame(void *pcap, uint64_t time_ns, const uint8_t *frame, size_t len, size_t wire_len)
{
	struct cg_pcap *p = pcap;
	const uint32_t head[4] = { (uint32_t)(time_ns / 1000000000),
				   (uint32_t)(time_ns % 1000000000), (uint32_t)len,
				   (uint32_t)wire_len };
	int r = 0;

	if (p->n + sizeof(head) + len > sizeof(p->bytes))
		r = flush(p);
	if (r)
		return r;
	memcpy(p->bytes + p->n, head, sizeof(head));
	memcpy(p->bytes + p->n + sizeof(head), frame, len);
	p->n += sizeof(head) + len;
	return 0;
}

int cg_pcap_close(struct cg_pcap **pcap)
{
	int r = flush(*pcap);

	free(*pcap);
	*pcap = NULL;
	return r;
}
