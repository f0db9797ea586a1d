/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One QUIC packet: its long header, the keys of Initial packets and their removal. Bytes only;
 * everything is checked against the length that is there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 9000 section 17.2. */
#define FG_QUIC_MAX_CID 20
/* RFC 9001 section 5.3: AES-128-GCM. */
#define FG_QUIC_KEY_BYTES 16
#define FG_QUIC_IV_BYTES  12
#define FG_QUIC_TAG_BYTES 16
/* Largest payload of UDP. */
#define FG_QUIC_MAX_DATAGRAM 65527

enum fg_quic_version {
	FG_QUIC_V1,
	FG_QUIC_V2,
	FG_QUIC_DRAFT_29,
	_FG_QUIC_VERSION_MAX
};
/** @return the version of that number, _FG_QUIC_VERSION_MAX where it is not known. */
enum fg_quic_version fg_quic_version_of(uint32_t number);

struct fg_quic_cid {
	uint8_t len;
	uint8_t bytes[FG_QUIC_MAX_CID];
};

/* A packet with a long header, of a version that is known. */
struct fg_quic_packet {
	enum fg_quic_version version;
	bool initial; /* else another one, which is only jumped over */
	bool token; /* an Initial with what a server gave the client: in a Retry, or for later */
	struct fg_quic_cid dcid;
	size_t n; /* bytes of the whole packet: the next one begins behind them */
	size_t number_off; /* of the protected packet number */
};
/** @return false where there is none: a short header, an unknown version, a Retry (which has no
 * length), or lengths that do not add up. */
bool fg_quic_packet_parse(const uint8_t *bytes, size_t n, struct fg_quic_packet *ret_packet);

/** A variable-length integer (RFC 9000 section 16). @return bytes read, 0 where they are not there. */
size_t fg_quic_varint(const uint8_t *bytes, size_t n, uint64_t *ret_value);

struct fg_quic_keys {
	uint8_t key[FG_QUIC_KEY_BYTES], iv[FG_QUIC_IV_BYTES], hp[FG_QUIC_KEY_BYTES];
};

/* Contexts of libcrypto, made once: fetching them for each packet halves the speed. */
struct fg_quic_crypto;
/** @return 0, -ENOMEM, -ENOTSUP. */
int fg_quic_crypto_new(struct fg_quic_crypto **ret_crypto);
void fg_quic_crypto_free(struct fg_quic_crypto **crypto);

/** Keys of a client's Initial packets, of the connection ID that its first one went to (RFC 9001
 * section 5.2, RFC 9369 section 3.3). @return 0, -EIO where libcrypto fails. */
int fg_quic_derive(struct fg_quic_crypto *crypto, enum fg_quic_version version,
		   const struct fg_quic_cid *dcid, struct fg_quic_keys *ret_keys);

/**
 * Removes header protection and opens the packet (RFC 9001 sections 5.3 and 5.4).
 *
 * largest: the largest packet number so far, -1 = none (RFC 9000 appendix A.3). plain has room for
 * packet->n bytes. @return bytes in plain; -EBADMSG where the keys do not open it, -EINVAL where it
 * is too short to be one.
 */
int fg_quic_open(struct fg_quic_crypto *crypto, const struct fg_quic_keys *keys,
		 const uint8_t *bytes, const struct fg_quic_packet *packet, int64_t largest,
		 uint8_t *plain, int64_t *ret_number);
