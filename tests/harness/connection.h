/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A scripted TLS connection, as frames with times. fg_conn_run() plays the usual whole; the steps
 * are there for scripts that go another way (out of order, repeated, cut off).
 *
 * Owns: sequence numbers and the clock of one connection. Must not: use any code of the product.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* Takes one frame; it is gone when the call returns. */
typedef void (*fg_conn_emit_fn)(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len);

enum fg_conn_end {
	FG_CONN_FIN,
	FG_CONN_RST,
	FG_CONN_OPEN
};

struct fg_conn {
	/* set before the first step; fg_conn_init() gives usual values */
	struct fg_end client, server;
	uint32_t client_isn, server_isn;
	uint16_t vlan[3]; /* ids, outermost first; 0 = no more */
	uint16_t mss;
	uint8_t ttl;
	uint16_t window;
	const uint8_t *syn_options;
	size_t n_syn_options;
	struct fg_pkt_ip ip; /* of the client's frames */
	bool ingress_only; /* the server's frames are not emitted */
	uint64_t rtt_ns, think_ns;

	const uint8_t *hello; /* stream bytes, records included */
	size_t hello_len;
	size_t syn_bytes; /* of the hello, in the SYN (TCP Fast Open) */
	size_t syn_taken; /* of these, what the server acknowledges: all or none */
	const size_t *cuts; /* ascending positions where hello segments end; NULL = by mss */
	size_t n_cuts;
	size_t flight_len; /* of the server's encrypted flight: certificates and Finished */
	unsigned int n_exchanges;
	size_t request_len, response_len;
	enum fg_conn_end end;

	fg_conn_emit_fn emit;
	void *ctx;

	/* moves on with the steps */
	uint64_t now_ns;
	uint32_t client_next, server_next;
	struct fg_pkt *pkt;
};

/** Usual values: mss 1460 or 1440, TTL 64, Linux-like SYN, 30 ms round trip, one exchange. */
void fg_conn_init(struct fg_conn *c, struct fg_end client, struct fg_end server, uint64_t start_ns,
		  fg_conn_emit_fn emit, void *ctx);
void fg_conn_done(struct fg_conn *c);

/** SYN to the end. */
void fg_conn_run(struct fg_conn *c);

/* --- Steps ------------------------------------------------------------------------------------ */

void fg_conn_syn(struct fg_conn *c);
void fg_conn_syn_ack(struct fg_conn *c);
void fg_conn_ack(struct fg_conn *c);
/** SYN, SYN-ACK, ACK. */
void fg_conn_open(struct fg_conn *c);
/** The hello in its segments. */
void fg_conn_hello(struct fg_conn *c);
/** Server's flight and the client's end of the handshake. */
void fg_conn_finish(struct fg_conn *c);
/** One request and its response as application data. */
void fg_conn_exchange(struct fg_conn *c);
void fg_conn_close(struct fg_conn *c);

/** One client segment at a position relative to the first payload byte; moves nothing but the
 * clock, and client_next forward. */
void fg_conn_segment(struct fg_conn *c, size_t at, const uint8_t *bytes, size_t n);
/** Client or server bytes in sequence, cut by mss. */
void fg_conn_send(struct fg_conn *c, const uint8_t *bytes, size_t n);
void fg_conn_reply(struct fg_conn *c, const uint8_t *bytes, size_t n);
/** A client frame with any flags and no payload. */
void fg_conn_flags(struct fg_conn *c, uint8_t flags);
