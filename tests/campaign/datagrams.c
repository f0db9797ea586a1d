/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/datagrams.h"

#include "campaign/plan.h"
#include "packet.h"
#include "quic_build.h"

#define ID_BYTES 8

static const struct fg_quic_id nobody;

/* Of each connection two: to what the client sends first, and what the server calls itself. */
static struct fg_quic_id id_of(uint64_t connection, bool server)
{
	struct fg_quic_id id = { .len = ID_BYTES };
	struct fg_prng r = { connection * 2 + server };

	fg_prng_fill(&r, id.bytes, id.len);
	return id;
}

void cg_datagram_hello(uint64_t connection, const uint8_t *message, size_t n_message, uint32_t i,
		       uint8_t *bytes)
{
	const struct fg_quic_initial q = { .dcid = id_of(connection, false), .number = i };
	size_t off = (size_t)i * CG_INITIAL_PIECE, left = n_message - off;

	fg_quic_datagram_of(&q, message, off, left < CG_INITIAL_PIECE ? left : CG_INITIAL_PIECE,
			    bytes, CG_DATAGRAM);
}

void cg_datagram_handshake(uint64_t connection, bool from_server, bool first, size_t n,
			   uint8_t *bytes)
{
	struct fg_quic_id server = id_of(connection, true);
	bool initial = from_server && first;
	/* first byte, version, two IDs, no token, length of two bytes */
	size_t around = 1 + 4 + 2 + ID_BYTES + initial + 2;

	fg_quic_long(initial ? 0 : 2, from_server ? &nobody : &server,
		     from_server ? &server : &nobody, n - around, bytes);
}

void cg_datagram_data(uint64_t connection, bool from_server, size_t n, uint8_t *bytes)
{
	struct fg_quic_id server = id_of(connection, true);
	const struct fg_quic_id *to = from_server ? &nobody : &server;

	fg_quic_short(to, n - 1 - to->len, bytes);
}
