/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "quic_build.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)           \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

void fg_quic_put_number(struct fg_quic_frames *f, uint64_t value)
{
	unsigned int log = value < 1 << 6 ? 0 : value < 1 << 14 ? 1 : value < 1 << 30 ? 2 : 3;

	for (int i = (1 << log) - 1; i >= 0; i--)
		f->bytes[f->n++] = (uint8_t)(value >> 8 * i);
	f->bytes[f->n - (1U << log)] |= (uint8_t)(log << 6);
}

void fg_quic_put_crypto(struct fg_quic_frames *f, size_t off, const uint8_t *bytes, size_t n)
{
	f->bytes[f->n++] = 0x06;
	fg_quic_put_number(f, off);
	fg_quic_put_number(f, n);
	MUST(n <= sizeof(f->bytes) - f->n);
	memcpy(f->bytes + f->n, bytes, n);
	f->n += n;
}

void fg_quic_put_bytes(struct fg_quic_frames *f, uint8_t byte, size_t n)
{
	MUST(n <= sizeof(f->bytes) - f->n);
	memset(f->bytes + f->n, byte, n);
	f->n += n;
}

/* The unprotected header. @return its bytes, with the packet number. */
static size_t put_header(const struct fg_quic_initial *q, size_t n_payload, uint8_t *to)
{
	static const uint8_t numbers[_FG_QUIC_VERSION_MAX][4] = {
		[FG_QUIC_V1] = { 0, 0, 0, 1 },
		[FG_QUIC_V2] = { 0x6b, 0x33, 0x43, 0xcf },
		[FG_QUIC_DRAFT_29] = { 0xff, 0, 0, 0x1d },
	};
	size_t length = q->n_number + n_payload + FG_QUIC_TAG_BYTES, at = 0;

	to[at++] = (uint8_t)(0xc0 | (q->version == FG_QUIC_V2 ? 0x10 : 0) | (q->n_number - 1));
	memcpy(to + at, numbers[q->version], 4);
	at += 4;
	to[at++] = q->dcid.len;
	memcpy(to + at, q->dcid.bytes, q->dcid.len);
	at += q->dcid.len;
	to[at++] = q->scid.len;
	memcpy(to + at, q->scid.bytes, q->scid.len);
	at += q->scid.len;
	MUST(q->n_token < 64);
	to[at++] = (uint8_t)q->n_token;
	memset(to + at, 0x55, q->n_token);
	at += q->n_token;
	to[at++] = (uint8_t)(0x40 | length >> 8);
	to[at++] = (uint8_t)length;
	for (int i = q->n_number - 1; i >= 0; i--)
		to[at++] = (uint8_t)(q->number >> 8 * i);
	return at;
}

static void protect(const struct fg_quic_keys *k, size_t n_number, size_t n_header, uint8_t *bytes)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	size_t number_off = n_header - n_number;
	uint8_t mask[16];
	int n;

	MUST(EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, k->hp, NULL));
	EVP_CIPHER_CTX_set_padding(ctx, 0);
	MUST(EVP_EncryptUpdate(ctx, mask, &n, bytes + number_off + 4, 16));
	bytes[0] ^= mask[0] & 0x0f;
	for (size_t i = 0; i < n_number; i++)
		bytes[number_off + i] ^= mask[1 + i];
	EVP_CIPHER_CTX_free(ctx);
}

size_t fg_quic_build(const struct fg_quic_initial *q, const struct fg_quic_frames *f,
		     uint8_t *bytes, size_t room)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct fg_quic_crypto *crypto;
	struct fg_quic_keys k;
	uint8_t nonce[FG_QUIC_IV_BYTES];
	size_t n_header = put_header(q, f->n, bytes);
	int n;

	MUST(n_header + f->n + FG_QUIC_TAG_BYTES <= room && f->n >= 4);
	MUST(!fg_quic_crypto_new(&crypto));
	MUST(!fg_quic_derive(crypto, q->version, q->key_of ? q->key_of : &q->dcid, &k));
	fg_quic_crypto_free(&crypto);
	memcpy(nonce, k.iv, sizeof(nonce));
	for (int i = 0; i < 4; i++)
		nonce[sizeof(nonce) - 1 - i] ^= (uint8_t)(q->number >> 8 * i);
	MUST(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, k.key, nonce));
	MUST(EVP_EncryptUpdate(ctx, NULL, &n, bytes, (int)n_header));
	MUST(EVP_EncryptUpdate(ctx, bytes + n_header, &n, f->bytes, (int)f->n));
	MUST(EVP_EncryptFinal_ex(ctx, bytes + n_header + n, &n));
	MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, FG_QUIC_TAG_BYTES,
				 bytes + n_header + f->n));
	EVP_CIPHER_CTX_free(ctx);
	protect(&k, q->n_number, n_header, bytes);
	return n_header + f->n + FG_QUIC_TAG_BYTES;
}
