/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Builds QUIC packets for tests: frames, and an Initial around them as a client seals it; and the
 * outsides of packets whose insides nobody but their ends could read.
 *
 * Owns: bytes of one datagram. Must not: use any code of the product, which it is there to test.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FG_QUIC_NUMBER_1  0x00000001U
#define FG_QUIC_NUMBER_2  0x6b3343cfU
#define FG_QUIC_NUMBER_29 0xff00001dU

struct fg_quic_id {
	uint8_t len;
	uint8_t bytes[20];
};

/* Frames of a packet, in the order they are added. */
struct fg_quic_frames {
	uint8_t bytes[4096];
	size_t n;
};
void fg_quic_put_number(struct fg_quic_frames *f, uint64_t value);
void fg_quic_put_crypto(struct fg_quic_frames *f, uint64_t off, const uint8_t *bytes, size_t n);
/** The same byte so often: PADDING (0), PING (1). */
void fg_quic_put_bytes(struct fg_quic_frames *f, uint8_t byte, size_t n);

struct fg_quic_initial {
	uint32_t version; /* 0 = 1 */
	struct fg_quic_id dcid, scid;
	const struct fg_quic_id *key_of; /* NULL = dcid */
	size_t n_token;
	uint32_t number;
	uint8_t n_number; /* bytes of it, 1 to 4; 0 = 1 */
};
/** Writes the protected packet. @return its bytes. */
size_t fg_quic_build(const struct fg_quic_initial *initial, const struct fg_quic_frames *frames,
		     uint8_t *ret_bytes, size_t room);

/** Bytes [off, off + n) of a message as that packet, alone in a datagram that PADDING makes so large.
 * Version 1 or alike, without a token, a packet number of one byte. */
void fg_quic_datagram_of(const struct fg_quic_initial *initial, const uint8_t *message, size_t off,
			 size_t n, uint8_t *ret_bytes, size_t n_datagram);

/** A packet with a long header and n bytes that mean nothing inside: type as in version 1, 0 Initial
 * to 3 Retry. @return its bytes. */
size_t fg_quic_long(uint8_t type, const struct fg_quic_id *dcid, const struct fg_quic_id *scid,
		    size_t n, uint8_t *ret_bytes);
/** The same with a short header. */
size_t fg_quic_short(const struct fg_quic_id *dcid, size_t n, uint8_t *ret_bytes);
