/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Builds ClientHellos from a description, and TLS records around them. Also says what the
 * description's fingerprints are made of (fg_hello_canon), without any code of the product: two
 * descriptions have the same JA4 if and only if these texts are equal.
 *
 * Owns: the bytes of a client's first flight. Must not: use any code of the product.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

#define FG_HELLO_BUILD_MAX 20000 /* also hellos beyond every cap of the product */
#define FG_HELLO_CANON_MAX 8192

/* In wire order, GREASE where the client puts it. Extensions are named by type; the body follows
 * from the type and the fields here, types not mentioned here get other_len random bytes. */
struct fg_hello_desc {
	uint16_t legacy_version;
	uint8_t session_id_len;
	uint16_t ciphers[512];
	size_t n_ciphers;
	uint16_t exts[128];
	size_t n_exts;
	bool no_exts; /* not even the length field: the oldest clients */

	const char *sni; /* 0x0000; NULL = the extension is empty */
	const char *alpn[4]; /* 0x0010 */
	size_t n_alpn;
	uint16_t versions[8]; /* 0x002b */
	size_t n_versions;
	uint16_t sigalgs[80]; /* 0x000d, and the same list in 0x0032 */
	size_t n_sigalgs;
	uint16_t groups[12]; /* 0x000a */
	size_t n_groups;
	uint16_t shares[6]; /* 0x0033; each share has the length its group has */
	size_t n_shares;
	uint16_t padding_len; /* 0x0015 */
	uint16_t ticket_len; /* 0x0023 */
	uint16_t psk_len; /* 0x0029: length of the ticket in it */
	uint16_t cookie_len; /* 0x002c */
	uint16_t other_len;
	uint64_t seed; /* of random, session id, keys and other bodies */
};

/* --- Whole clients, in the shape of those that are on the net. sni may be NULL for none. ------ */

/** Browser with GREASE, permuted extensions and a post-quantum share: about 1.8 kB. */
void fg_hello_browser(struct fg_hello_desc *d, const char *sni);
/** Browser without GREASE and with a post-quantum share. */
void fg_hello_browser_plain(struct fg_hello_desc *d, const char *sni);
/** OpenSSL-based tool: about 520 bytes. */
void fg_hello_tool(struct fg_hello_desc *d, const char *sni);
/** Small library client, HTTP/1.1 only. */
void fg_hello_library(struct fg_hello_desc *d, const char *sni);
/** TLS 1.2 client without supported_versions. */
void fg_hello_tls12(struct fg_hello_desc *d, const char *sni);
/** Any valid description, small lists preferred, to compare many with each other. */
void fg_hello_random(struct fg_hello_desc *d, struct fg_prng *r);

/** Another connection of the same client: new GREASE values, another order of extensions
 * (pre_shared_key stays last), other random bytes. */
void fg_hello_again(struct fg_hello_desc *d, struct fg_prng *r);
/** The same of a client that keeps its order. */
void fg_hello_regrease(struct fg_hello_desc *d, struct fg_prng *r);
/** Adds an extension in front of a last pre_shared_key, or that one at the end. */
void fg_hello_add_ext(struct fg_hello_desc *d, uint16_t type);
bool fg_hello_has_ext(const struct fg_hello_desc *d, uint16_t type);
bool fg_hello_is_grease(uint16_t value);

/** The handshake message. @return its length. */
size_t fg_hello_build(const struct fg_hello_desc *d, uint8_t ret_msg[FG_HELLO_BUILD_MAX]);

/** The message as records, cut behind each of n_cuts ascending positions in the message.
 * @return length of the records. */
size_t fg_hello_records(const uint8_t *msg, size_t len, const size_t *cuts, size_t n_cuts,
			uint8_t *ret_stream, size_t n);
/** The description's stream in one record. */
size_t fg_hello_stream(const struct fg_hello_desc *d, uint8_t *ret_stream, size_t n);

/** What the JA4 (stem: the stem) is made of, as text, unhashed. */
void fg_hello_canon(const struct fg_hello_desc *d, bool stem, char ret_text[FG_HELLO_CANON_MAX]);
