/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/plan.h"

/* RFC 9293 section 3.7.1: what may be sent to a peer that names no MSS. */
#define MSS_DEFAULT 536
#define MSS_V4	    1460
#define MSS_V6	    1440

/* Handshake messages in records, bytes. TLS 1.3: ServerHello 127, ChangeCipherSpec 6, and encrypted:
 * extensions, a chain of two ECDSA certificates with its signature, Finished; client's
 * ChangeCipherSpec and Finished (SHA-384); tickets of OpenSSL, two after a full handshake. */
#define FLIGHT_13	  2900
#define FLIGHT_13_RESUMED 300
#define FINISH_13	  80
#define TICKET_13	  255
/* TLS 1.2: ServerHello, the chain, key exchange, done; client's key exchange, ChangeCipherSpec,
 * Finished, and the server's behind a ticket. Resumed, the server's Finished is in its flight. */
#define FLIGHT_12	  2850
#define FLIGHT_12_RESUMED 150
#define FINISH_12	  93
#define FINISH_12_RESUMED 51
#define TICKET_12	  270

/* QUIC: a flight in three datagrams, which is what may be sent to who has shown nothing yet (RFC 9000
 * section 8.1), Finished in a packet of its own, and HANDSHAKE_DONE with the tickets. */
#define FLIGHT_QUIC	    3600
#define FLIGHT_QUIC_RESUMED 1200
#define FINISH_QUIC	    100
#define TICKET_QUIC	    240

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t burst_ns(uint32_t bytes, uint16_t segment)
{
	return (cg_frames(bytes, segment) - 1) * CG_FRAME_NS;
}

static bool is_v4(const uint8_t addr[16])
{
	return !addr[0] && !addr[1] && addr[10] == 0xff && addr[11] == 0xff;
}

static uint16_t segment_of(const struct cg_connection *c, uint16_t mss)
{
	uint16_t ours = is_v4(c->source) ? MSS_V4 : MSS_V6;

	if (mss < MSS_DEFAULT)
		return MSS_DEFAULT;
	return mss < ours ? mss : ours;
}

static void plan_handshake(const struct cg_connection *c, const struct cg_voice *v,
			   struct cg_plan *p)
{
	p->segment = segment_of(c, v->mss);
	p->rtt_ns = c->rtt_us * 1000ULL;
	p->hello_bytes = v->hello_bytes;
	if (v->tls13) {
		p->flight_bytes = c->resumed ? FLIGHT_13_RESUMED : FLIGHT_13;
		p->finish_bytes = FINISH_13;
		p->ticket_bytes = c->resumed ? TICKET_13 : 2 * TICKET_13;
	} else {
		p->flight_bytes = c->resumed ? FLIGHT_12_RESUMED : FLIGHT_12;
		p->finish_bytes = c->resumed ? FINISH_12_RESUMED : FINISH_12;
		p->ticket_bytes = c->resumed ? 0 : TICKET_12;
	}
	p->syn_ns = c->syn_ns;
	p->ack_ns = p->syn_ns + CG_SYN_ACK_NS + p->rtt_ns;
	p->hello_ns = p->ack_ns + c->hello_delay_us * 1000ULL;
	p->hello_end_ns = p->hello_ns + burst_ns(p->hello_bytes, p->segment);
	p->flight_ns = p->hello_end_ns + CG_SIGN_NS;
	p->flight_end_ns = p->flight_ns + burst_ns(p->flight_bytes, p->segment);
	p->finish_ns = p->flight_end_ns + c->turn_us * 1000ULL;
	p->ticket_ns = p->ticket_bytes ? p->finish_ns + CG_TICKET_NS : 0;
}

static void plan_quic_handshake(const struct cg_connection *c, const struct cg_voice *v,
				struct cg_plan *p)
{
	p->segment = CG_DATAGRAM;
	p->rtt_ns = c->rtt_us * 1000ULL;
	/* the message, without the record that it has over TCP */
	p->hello_bytes = cg_frames(v->hello_bytes - 5, CG_INITIAL_PIECE) * CG_DATAGRAM;
	p->flight_bytes = c->resumed ? FLIGHT_QUIC_RESUMED : FLIGHT_QUIC;
	p->finish_bytes = FINISH_QUIC;
	p->ticket_bytes = c->resumed ? TICKET_QUIC : 2 * TICKET_QUIC;
	p->syn_ns = c->syn_ns;
	p->hello_ns = p->syn_ns;
	p->hello_end_ns = p->hello_ns + burst_ns(p->hello_bytes, p->segment);
	p->flight_ns = p->hello_end_ns + CG_SIGN_NS;
	p->flight_end_ns = p->flight_ns + burst_ns(p->flight_bytes, p->segment);
	p->finish_ns = p->flight_end_ns + c->turn_us * 1000ULL;
	p->ack_ns = p->finish_ns;
	p->ticket_ns = p->finish_ns + CG_TICKET_NS;
}

/* No sooner than the client can have what it waits for. */
static uint64_t first_request_ns(const struct cg_plan *p, bool tls13)
{
	if (!tls13 && p->ticket_ns)
		return p->ticket_ns + p->rtt_ns;
	return p->finish_ns + CG_REQUEST_NS;
}

/* Spreads an answer's frames between its first and last byte. */
static void plan_answer(const struct cg_plan *p, uint32_t chunks, uint64_t last_ns,
			struct cg_turn *t)
{
	uint32_t most = t->down_bytes / CG_ANSWER_MIN_BYTES;
	uint64_t sent = t->start_ns + burst_ns(t->up_bytes, p->segment) + CG_FRAME_NS;

	t->frames = cg_frames(t->down_bytes, p->segment);
	if (chunks > t->frames)
		t->frames = chunks < most ? chunks : most;
	t->first_ns = later(t->first_ns, sent);
	t->gap_ns = 0;
	if (t->frames < 2)
		return;
	if (last_ns > t->first_ns)
		t->gap_ns = (last_ns - t->first_ns) / (t->frames - 1);
	t->gap_ns = later(t->gap_ns, CG_FRAME_NS);
}

static void plan_turn(const struct cg_plan *p, const struct cg_exchange *x, uint64_t from_ns,
		      struct cg_turn *t)
{
	t->start_ns = later(x->start_ns, from_ns);
	t->up_bytes = x->up_bytes;
	t->down_bytes = x->down_bytes > CG_ANSWER_MIN_BYTES ? x->down_bytes : CG_ANSWER_MIN_BYTES;
	t->first_ns = t->start_ns + x->first_ms * 1000000ULL;
	plan_answer(p, x->chunks, t->start_ns + x->lasted_ms * 1000000ULL, t);
}

/* Further exchanges like the last, a period apart up to the close. Answers longer than a period, the
 * last one's too, are sent faster; so many that they cannot even be sent back to back are left out. */
static void plan_bulk(const struct cg_connection *c, struct cg_plan *p)
{
	const struct cg_exchange *x = &c->exchanges[p->n - 1];
	struct cg_turn *last = &p->turns[p->n - 1];
	uint64_t least = burst_ns(last->up_bytes, p->segment) + last->frames * CG_FRAME_NS +
			 2 * CG_REQUEST_NS;
	uint64_t room = c->close_ns > last->start_ns ? c->close_ns - last->start_ns : 0;
	uint64_t most = room / least, end, start = last->start_ns;

	if (most < 2)
		return;
	p->bulk = c->bulk < most ? c->bulk : (uint32_t)most - 1;
	p->period_ns = room / (p->bulk + 1);
	if (cg_turn_end_ns(last) + CG_REQUEST_NS > start + p->period_ns) {
		end = start + p->period_ns - CG_REQUEST_NS;
		if (last->first_ns + last->frames * CG_FRAME_NS > end)
			last->first_ns = end - last->frames * CG_FRAME_NS;
		plan_answer(p, x->chunks, end, last);
	}
	p->turns[p->n] = *last;
	p->turns[p->n].start_ns += p->period_ns;
	p->turns[p->n].first_ns += p->period_ns;
}

void cg_plan_make(const struct cg_connection *c, const struct cg_voice *v, struct cg_plan *p)
{
	uint64_t end;

	p->quic = v->quic;
	if (v->quic)
		plan_quic_handshake(c, v, p);
	else
		plan_handshake(c, v, p);
	p->closer = c->closer;
	p->n = 0;
	p->bulk = 0;
	p->period_ns = 0;
	end = first_request_ns(p, v->tls13);
	for (; p->n < c->n_exchanges && p->n < CG_EXCHANGES; p->n++) {
		plan_turn(p, &c->exchanges[p->n], end, &p->turns[p->n]);
		end = cg_turn_end_ns(&p->turns[p->n]) + CG_REQUEST_NS;
	}
	if (p->n && c->bulk) {
		plan_bulk(c, p);
		end = cg_turn_end_ns(&p->turns[p->n - 1]) + CG_REQUEST_NS + p->bulk * p->period_ns;
	}
	p->close_ns = later(c->close_ns, end);
}

uint64_t cg_plan_start_ns(const struct cg_plan *p, uint64_t k)
{
	if (k < p->n)
		return p->turns[k].start_ns;
	if (k < p->n + (uint64_t)p->bulk)
		return p->turns[p->n].start_ns + (k - p->n) * p->period_ns;
	return p->close_ns;
}

struct cg_turn cg_plan_turn(const struct cg_plan *p, uint32_t k)
{
	struct cg_turn t = p->turns[k < p->n ? k : p->n];
	uint64_t later_ns = k < p->n ? 0 : (k - p->n) * p->period_ns;

	t.start_ns += later_ns;
	t.first_ns += later_ns;
	return t;
}
