/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "quic_build.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define TAG 16

#define MUST(condition)           \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

struct keys {
	uint8_t key[16], iv[12], hp[16];
};

/* --- Frames ----------------------------------------------------------------------------------- */

void fg_quic_put_number(struct fg_quic_frames *f, uint64_t value)
{
	unsigned int log = value < 1 << 6 ? 0 : value < 1 << 14 ? 1 : value < 1 << 30 ? 2 : 3;

	for (int i = (1 << log) - 1; i >= 0; i--)
		f->bytes[f->n++] = (uint8_t)(value >> 8 * i);
	f->bytes[f->n - (1U << log)] |= (uint8_t)(log << 6);
}

void fg_quic_put_crypto(struct fg_quic_frames *f, uint64_t off, const uint8_t *bytes, size_t n)
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

/* --- Keys: RFC 9001 section 5.2, RFC 9369 section 3.3 ------------------------------------------ */

static void hkdf(int mode, const void *key, size_t n_key, const void *more, size_t n_more,
		 uint8_t *ret, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, n_key),
		OSSL_PARAM_construct_octet_string(mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ?
							  OSSL_KDF_PARAM_SALT :
							  OSSL_KDF_PARAM_INFO,
						  (void *)more, n_more),
		OSSL_PARAM_construct_end(),
	};

	MUST(ctx && EVP_KDF_derive(ctx, ret, n, params) > 0);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void expand(const uint8_t secret[32], const char *label, uint8_t *ret, size_t n)
{
	uint8_t info[64] = { 0, (uint8_t)n, (uint8_t)strlen(label) };
	size_t n_label = strlen(label);

	memcpy(info + 3, label, n_label);
	hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, secret, 32, info, 3 + n_label + 1, ret, n);
}

static const char *salt_of(uint32_t version)
{
	if (version == FG_QUIC_NUMBER_2)
		return "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd"
		       "\x2e\xd9";
	if (version == FG_QUIC_NUMBER_29)
		return "\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90"
		       "\xa8\x99";
	return "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
}

static void derive(uint32_t version, const struct fg_quic_id *id, struct keys *k)
{
	int v2 = version == FG_QUIC_NUMBER_2;
	uint8_t initial[32], client[32];

	/* libcrypto wants a key of HKDF to have bytes: an empty ID is none of ours */
	MUST(id->len);
	hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, id->bytes, id->len, salt_of(version), 20, initial, 32);
	expand(initial, "tls13 client in", client, 32);
	expand(client, v2 ? "tls13 quicv2 key" : "tls13 quic key", k->key, sizeof(k->key));
	expand(client, v2 ? "tls13 quicv2 iv" : "tls13 quic iv", k->iv, sizeof(k->iv));
	expand(client, v2 ? "tls13 quicv2 hp" : "tls13 quic hp", k->hp, sizeof(k->hp));
}

/* --- Packets ---------------------------------------------------------------------------------- */

static size_t put_id(const struct fg_quic_id *id, uint8_t *to)
{
	to[0] = id->len;
	memcpy(to + 1, id->bytes, id->len);
	return 1U + id->len;
}

/* First byte, version, both IDs. */
static size_t put_start(uint8_t first, uint32_t version, const struct fg_quic_id *dcid,
			const struct fg_quic_id *scid, uint8_t *to)
{
	size_t at = 5;

	to[0] = first;
	for (int i = 0; i < 4; i++)
		to[1 + i] = (uint8_t)(version >> (24 - 8 * i));
	at += put_id(dcid, to + at);
	return at + put_id(scid, to + at);
}

/* The unprotected header of an Initial. @return its bytes, with the packet number. */
static size_t put_header(const struct fg_quic_initial *q, uint32_t version, size_t n_number,
			 size_t n_payload, uint8_t *to)
{
	size_t length = n_number + n_payload + TAG;
	size_t at = put_start((uint8_t)(0xc0 | (version == FG_QUIC_NUMBER_2 ? 0x10 : 0) |
					(n_number - 1)),
			      version, &q->dcid, &q->scid, to);

	MUST(q->n_token < 64);
	to[at++] = (uint8_t)q->n_token;
	memset(to + at, 0x55, q->n_token);
	at += q->n_token;
	to[at++] = (uint8_t)(0x40 | length >> 8);
	to[at++] = (uint8_t)length;
	for (size_t i = n_number; i-- > 0;)
		to[at++] = (uint8_t)(q->number >> 8 * i);
	return at;
}

static void protect(const struct keys *k, size_t n_number, size_t n_header, uint8_t *bytes)
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
	uint32_t version = q->version ? q->version : FG_QUIC_NUMBER_1;
	size_t n_number = q->n_number ? q->n_number : 1;
	size_t n_header = put_header(q, version, n_number, f->n, bytes);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct keys k;
	int n;

	MUST(n_header + f->n + TAG <= room && f->n >= 4);
	derive(version, q->key_of ? q->key_of : &q->dcid, &k);
	for (int i = 0; i < 4; i++)
		k.iv[sizeof(k.iv) - 1 - i] ^= (uint8_t)(q->number >> 8 * i);
	MUST(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, k.key, k.iv));
	MUST(EVP_EncryptUpdate(ctx, NULL, &n, bytes, (int)n_header));
	MUST(EVP_EncryptUpdate(ctx, bytes + n_header, &n, f->bytes, (int)f->n));
	MUST(EVP_EncryptFinal_ex(ctx, bytes + n_header + n, &n));
	MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, bytes + n_header + f->n));
	EVP_CIPHER_CTX_free(ctx);
	protect(&k, n_number, n_header, bytes);
	return n_header + f->n + TAG;
}

void fg_quic_datagram_of(const struct fg_quic_initial *q, const uint8_t *message, size_t off,
			 size_t n, uint8_t *bytes, size_t n_datagram)
{
	struct fg_quic_frames frames = { .n = 0 };
	/* first byte, version, two IDs, no token, length of two bytes, number of one */
	size_t around = 1 + 4 + 1 + q->dcid.len + 1 + q->scid.len + 1 + 2 + 1 + TAG;

	fg_quic_put_crypto(&frames, off, message + off, n);
	MUST(around + frames.n <= n_datagram);
	fg_quic_put_bytes(&frames, 0, n_datagram - around - frames.n);
	fg_quic_build(q, &frames, bytes, n_datagram);
}

size_t fg_quic_long(uint8_t type, const struct fg_quic_id *dcid, const struct fg_quic_id *scid,
		    size_t n, uint8_t *to)
{
	size_t at = put_start((uint8_t)(0xc0 | type << 4), FG_QUIC_NUMBER_1, dcid, scid, to);

	if (!type)
		to[at++] = 0; /* no token */
	if (type != 3) {
		to[at++] = (uint8_t)(0x40 | n >> 8);
		to[at++] = (uint8_t)n;
	}
	memset(to + at, 0xa5, n);
	return at + n;
}

size_t fg_quic_short(const struct fg_quic_id *dcid, size_t n, uint8_t *to)
{
	to[0] = 0x41;
	memcpy(to + 1, dcid->bytes, dcid->len);
	memset(to + 1 + dcid->len, 0x5a, n);
	return 1 + dcid->len + n;
}
