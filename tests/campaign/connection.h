/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One TLS connection of the simulated world, as it happened. Both levels are written from it: the
 * agent's own records (epochs.c) and frames (packets.c), so that they must agree. Where the hello is
 * one of QUIC it is a connection of QUIC: its first Initial stands for the SYN, bytes are payload of
 * datagrams, and what only TCP has (stack, ttl, timestamp, round trip, delay of the hello) is not sent.
 *
 * Owns: nothing. Must not: know the detectors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exchanges told one by one; a busy connection has more of them (bulk). */
#define CG_EXCHANGES 16

/* Times are unix nanoseconds as the sensor, beside the server, sees them. */
struct cg_exchange {
	uint64_t start_ns; /* first byte of the request arrives */
	uint32_t up_bytes, down_bytes; /* TLS records included; up is 200 or more */
	uint32_t first_ms; /* from start_ns to the answer's first byte */
	uint32_t lasted_ms; /* from start_ns to the answer's last byte */
	uint16_t chunks; /* steps in which the answer came, 1 or more */
};

enum cg_closer {
	CG_CLOSE_CLIENT_FIN,
	CG_CLOSE_CLIENT_RST,
	CG_CLOSE_SERVER_FIN
};

struct cg_connection {
	uint64_t syn_ns; /* the SYN arrives; connections come in this order */
	uint32_t actor; /* who: an index for the truth, never shown to a detector */
	uint8_t source[16]; /* v4-mapped, or a whole IPv6 address */
	uint16_t port; /* the client's; no (source, port) is used twice within ten minutes */
	uint8_t server; /* which address of ours, 0 or 1 */
	uint16_t hello; /* index into cg_hellos() */
	uint16_t stack; /* index into cg_stacks() */
	uint8_t ttl; /* as it arrives */
	bool has_tsval;
	uint32_t tsval;
	bool resumed; /* offers a PSK, and it is taken */
	uint32_t rtt_us; /* smallest TCP round trip to the peer that ends TCP */
	uint32_t hello_delay_us; /* from the handshake's end to the hello's first byte */
	uint32_t turn_us; /* TLS turn-around, cryptography included */
	uint8_t n_exchanges;
	uint32_t bulk; /* further exchanges, like the last, evenly spread over the time up to
			  close_ns; 0 for most */
	struct cg_exchange exchanges[CG_EXCHANGES];
	enum cg_closer closer;
	uint64_t close_ns; /* FIN or RST; idle = close_ns less the end of the last answer */
	bool farm; /* truth: carries a farm's exchanges */
};
