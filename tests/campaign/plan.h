/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a simulated connection sends and when, in closed form, as a sensor beside the server sees it.
 * Both levels read it: epochs.c asks how far it is at a time, packets.c walks it frame by frame.
 *
 *   SYN, SYN-ACK ─rtt─► ACK ─delay─► hello ─► server's flight ─turn─► Finished, tickets ─►
 *   request ─► answer ─► request ─► … ─► FIN or RST
 *
 * Over QUIC the hello comes first, in Initials; there are datagrams of CG_DATAGRAM instead of segments,
 * and of the client's packets Finished is the first one that proves who it is (ack_ns):
 *
 *   hello ─► server's flight ─turn─► Finished, tickets ─► request ─► answer ─► … ─► close, or silence
 *
 * The world's times are taken as they are, unless they cannot be: an exchange begins no sooner than
 * the one before ended, and an answer no sooner than its request did.
 *
 * Owns: nothing. Must not: know the detectors, or any code of the product.
 */
#pragma once

#include "campaign/connection.h"

/* Between frames sent back to back: 1.5 kB at 1 Gbit/s. */
#define CG_FRAME_NS 12000ULL
/* SYN to SYN-ACK: the server's kernel. */
#define CG_SYN_ACK_NS 15000ULL
/* Hello to flight: the server's signature. */
#define CG_SIGN_NS 700000ULL
/* Finished to tickets; no request comes sooner behind it, so that tickets never look like an
 * answer. */
#define CG_TICKET_NS  40000ULL
#define CG_REQUEST_NS 100000ULL
/* A TLS 1.3 alert record: 5 + 2 + 1 + 16. */
#define CG_NOTIFY_BYTES 24
/* Of QUIC: datagrams (RFC 9000 section 14), what of a hello an Initial of that size takes, and what
 * only acknowledges or closes. */
#define CG_DATAGRAM	 1200
#define CG_INITIAL_PIECE 1100
#define CG_QUIC_ACK	 33
#define CG_QUIC_CLOSE	 45
/* Smallest answer, and smallest step of one: less is no activity to the agent (FG_QUIET_BYTES). The
 * world's answers are larger. */
#define CG_ANSWER_MIN_BYTES 100

/* One exchange. The request's segments go back to back from start_ns; the answer's frames, all of a
 * size but for rounding, evenly from first_ns on. */
struct cg_turn {
	uint64_t start_ns, first_ns, gap_ns;
	uint32_t up_bytes, down_bytes, frames;
};

struct cg_plan {
	bool quic;
	uint64_t syn_ns, ack_ns, hello_ns, hello_end_ns, flight_ns, flight_end_ns, finish_ns;
	uint64_t ticket_ns; /* 0 = the server sends nothing behind Finished */
	uint64_t close_ns;
	uint64_t period_ns; /* of the bulk exchanges */
	uint64_t rtt_ns;
	uint32_t hello_bytes, flight_bytes, finish_bytes, ticket_bytes;
	uint32_t bulk; /* exchanges like turns[n], one period apart behind turns[n - 1] */
	uint16_t segment; /* payload of a full frame */
	uint8_t n;
	enum cg_closer closer;
	struct cg_turn turns[CG_EXCHANGES + 1];
};

/* What the plan needs to know of who speaks. */
struct cg_voice {
	uint32_t hello_bytes; /* records included */
	uint16_t mss; /* of the client's SYN, 0 = none */
	bool tls13, quic;
};

void cg_plan_make(const struct cg_connection *conn, const struct cg_voice *voice,
		  struct cg_plan *ret_plan);

/** Exchange k of cg_plan_exchanges(). */
static inline uint32_t cg_plan_exchanges(const struct cg_plan *p)
{
	return p->n + p->bulk;
}

/** @return when exchange k begins; the close for the one behind the last. */
uint64_t cg_plan_start_ns(const struct cg_plan *plan, uint64_t k);
struct cg_turn cg_plan_turn(const struct cg_plan *plan, uint32_t k);

static inline uint32_t cg_frames(uint32_t bytes, uint16_t segment)
{
	return (bytes + segment - 1) / segment;
}

/** Last frame of the answer. */
static inline uint64_t cg_turn_end_ns(const struct cg_turn *t)
{
	return t->first_ns + (t->frames - 1) * t->gap_ns;
}

/** Bytes of the first m of n frames, all of a size but for rounding. */
static inline uint32_t cg_even_bytes(uint32_t bytes, uint32_t n, uint32_t m)
{
	uint32_t rest = bytes % n;

	return bytes / n * m + (m < rest ? m : rest);
}

/** Bytes of the first m frames of an answer. */
static inline uint32_t cg_turn_bytes(const struct cg_turn *t, uint32_t m)
{
	return cg_even_bytes(t->down_bytes, t->frames, m);
}

/** Frames of the answer sent before a time. */
static inline uint32_t cg_turn_frames(const struct cg_turn *t, uint64_t ns)
{
	uint64_t m;

	if (ns <= t->first_ns)
		return 0;
	m = t->gap_ns ? (ns - t->first_ns - 1) / t->gap_ns + 1 : t->frames;
	return m < t->frames ? (uint32_t)m : t->frames;
}
