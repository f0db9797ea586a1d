/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Payload of one datagram of a simulated QUIC connection. Initials of the client are sealed as clients
 * seal them, so that who reads the connection must open them; of all else the outside is true, and the
 * inside means nothing, as it does to anybody between the ends. The server names itself with eight
 * bytes, the client with none, as browsers do.
 *
 * Owns: nothing. Must not: use any code of the product.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Initial i of those that carry the message, CG_DATAGRAM bytes; connection is any number of its own. */
void cg_datagram_hello(uint64_t connection, const uint8_t *message, size_t n_message, uint32_t i,
		       uint8_t *ret_bytes);
/** Of the handshake behind it: a long header, n bytes in all. The server's first one is an Initial. */
void cg_datagram_handshake(uint64_t connection, bool from_server, bool first, size_t n,
			   uint8_t *ret_bytes);
/** Of what comes then: a short header, n bytes in all. */
void cg_datagram_data(uint64_t connection, bool from_server, size_t n, uint8_t *ret_bytes);
