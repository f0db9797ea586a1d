/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Initial packets as a client sends them: frames, packet, datagram. For tests; any length that is
 * wrong on purpose is the caller's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "source/quic_packet.h"

/* Frames of a packet, in the order they are added. */
struct fg_quic_frames {
	uint8_t bytes[4096];
	size_t n;
};
void fg_quic_put_number(struct fg_quic_frames *f, uint64_t value);
void fg_quic_put_crypto(struct fg_quic_frames *f, size_t off, const uint8_t *bytes, size_t n);
/** The same byte so often: PADDING (0), PING (1). */
void fg_quic_put_bytes(struct fg_quic_frames *f, uint8_t byte, size_t n);

struct fg_quic_initial {
	enum fg_quic_version version;
	struct fg_quic_cid dcid, scid;
	const struct fg_quic_cid *key_of; /* NULL = dcid */
	size_t n_token;
	uint32_t number;
	uint8_t n_number; /* bytes of it, 1 to 4 */
};
/** Writes the protected packet. @return its bytes. */
size_t fg_quic_build(const struct fg_quic_initial *initial, const struct fg_quic_frames *frames,
		     uint8_t *ret_bytes, size_t room);
