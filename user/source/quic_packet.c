/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "source/quic_packet.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define LONG_HEADER 0x80
#define SAMPLE	    16 /* bytes, RFC 9001 section 5.4.2 */
#define SHA256	    32

/* What is a version's own. Salts: RFC 9001 section 5.2, RFC 9369 section 3.3.1, and section 5.2 of
 * draft-ietf-quic-tls-29, which a client of 2020 speaks. */
static const struct {
	uint32_t number;
	uint8_t initial; /* type of an Initial packet, in the bits 0x30 */
	uint8_t retry;
	uint8_t salt[20];
	const char *key, *iv, *hp;
} versions[_FG_QUIC_VERSION_MAX] = {
	[FG_QUIC_V1] = { 0x00000001,
			 0x00,
			 0x30,
			 { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
			   0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a },
			 "tls13 quic key",
			 "tls13 quic iv",
			 "tls13 quic hp" },
	[FG_QUIC_V2] = { 0x6b3343cf,
			 0x10,
			 0x00,
			 { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
			   0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 },
			 "tls13 quicv2 key",
			 "tls13 quicv2 iv",
			 "tls13 quicv2 hp" },
	[FG_QUIC_DRAFT_29] = { 0xff00001d,
			       0x00,
			       0x30,
			       { 0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97,
				 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99 },
			       "tls13 quic key",
			       "tls13 quic iv",
			       "tls13 quic hp" },
};

struct fg_quic_crypto {
	EVP_MAC_CTX *hmac,
		*salted[_FG_QUIC_VERSION_MAX]; /* these have their version's salt as key */
	EVP_CIPHER *gcm, *ecb;
	EVP_CIPHER_CTX *open, *mask;
};

enum fg_quic_version fg_quic_version_of(uint32_t number)
{
	int v = 0;

	while (v < _FG_QUIC_VERSION_MAX && versions[v].number != number)
		v++;
	return (enum fg_quic_version)v;
}

/* --- Header ----------------------------------------------------------------------------------- */

size_t fg_quic_varint(const uint8_t *bytes, size_t n, uint64_t *ret_value)
{
	size_t len = n ? (size_t)1 << (bytes[0] >> 6) : 0;
	uint64_t value;

	if (!len || len > n)
		return 0;
	value = bytes[0] & 0x3f;
	for (size_t i = 1; i < len; i++)
		value = value << 8 | bytes[i];
	*ret_value = value;
	return len;
}

/* A connection ID with its length in front. @return bytes, 0 where they are not there. */
static size_t take_cid(const uint8_t *bytes, size_t n, struct fg_quic_cid *ret_cid)
{
	if (!n || bytes[0] > FG_QUIC_MAX_CID || n < 1U + bytes[0])
		return 0;
	ret_cid->len = bytes[0];
	memcpy(ret_cid->bytes, bytes + 1, bytes[0]);
	return 1U + bytes[0];
}

bool fg_quic_packet_parse(const uint8_t *bytes, size_t n, struct fg_quic_packet *ret_packet)
{
	struct fg_quic_packet p = { 0 };
	struct fg_quic_cid scid;
	uint64_t token = 0, length;
	size_t at = 5, got;
	uint32_t number;

	if (n < at || !(bytes[0] & LONG_HEADER))
		return false;
	number = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 |
		 bytes[4];
	p.version = fg_quic_version_of(number);
	if (p.version == _FG_QUIC_VERSION_MAX || (bytes[0] & 0x30) == versions[p.version].retry)
		return false;
	p.initial = (bytes[0] & 0x30) == versions[p.version].initial;
	got = take_cid(bytes + at, n - at, &p.dcid);
	at += got;
	if (!got || !(got = take_cid(bytes + at, n - at, &scid)))
		return false;
	at += got;
	if (p.initial) {
		got = fg_quic_varint(bytes + at, n - at, &token);
		at += got;
		if (!got || token > n - at)
			return false;
		at += token;
		p.token = token != 0;
	}
	got = fg_quic_varint(bytes + at, n - at, &length);
	at += got;
	if (!got || length > n - at)
		return false;
	p.number_off = at;
	p.n = at + length;
	*ret_packet = p;
	return true;
}

/* --- Keys ------------------------------------------------------------------------------------- */

void fg_quic_crypto_free(struct fg_quic_crypto **crypto)
{
	struct fg_quic_crypto *c = *crypto;

	*crypto = NULL;
	if (!c)
		return;
	EVP_MAC_CTX_free(c->hmac);
	for (int v = 0; v < _FG_QUIC_VERSION_MAX; v++)
		EVP_MAC_CTX_free(c->salted[v]);
	EVP_CIPHER_CTX_free(c->open);
	EVP_CIPHER_CTX_free(c->mask);
	EVP_CIPHER_free(c->gcm);
	EVP_CIPHER_free(c->ecb);
	free(c);
}

/* One context more, with a key where there is one. */
static EVP_MAC_CTX *new_hmac(EVP_MAC *mac, const uint8_t *key, size_t n_key)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

	if (ctx && EVP_MAC_CTX_set_params(ctx, params) &&
	    (!key || EVP_MAC_init(ctx, key, n_key, NULL)))
		return ctx;
	EVP_MAC_CTX_free(ctx);
	return NULL;
}

static bool new_hmacs(struct fg_quic_crypto *c)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	bool whole;

	c->hmac = mac ? new_hmac(mac, NULL, 0) : NULL;
	whole = c->hmac;
	for (int v = 0; whole && v < _FG_QUIC_VERSION_MAX; v++) {
		c->salted[v] = new_hmac(mac, versions[v].salt, sizeof(versions[v].salt));
		whole = c->salted[v];
	}
	EVP_MAC_free(mac);
	return whole;
}

int fg_quic_crypto_new(struct fg_quic_crypto **ret_crypto)
{
	struct fg_quic_crypto *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	c->ecb = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	c->open = EVP_CIPHER_CTX_new();
	c->mask = EVP_CIPHER_CTX_new();
	if (!c->gcm || !c->ecb || !c->open || !c->mask || !new_hmacs(c)) {
		fg_quic_crypto_free(&c);
		return -ENOTSUP;
	}
	*ret_crypto = c;
	return 0;
}

/* key NULL = the one of the call before: hashing it is half of the work. */
static bool hmac(EVP_MAC_CTX *ctx, const uint8_t *key, size_t n_key, const uint8_t *text, size_t n,
		 uint8_t ret_mac[SHA256])
{
	size_t got = 0;

	return EVP_MAC_init(ctx, key, n_key, NULL) && EVP_MAC_update(ctx, text, n) &&
	       EVP_MAC_final(ctx, ret_mac, &got, SHA256) && got == SHA256;
}

/* HKDF-Expand-Label without a context, of at most one hash (RFC 5869 section 2.3, RFC 8446 section
 * 7.1). secret NULL = as in the call before. */
static bool expand(struct fg_quic_crypto *c, const uint8_t *secret, const char *label,
		   uint8_t *ret_key, size_t n)
{
	uint8_t info[64], mac[SHA256];
	size_t n_label = strlen(label), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)n;
	info[at++] = (uint8_t)n_label;
	memcpy(info + at, label, n_label);
	at += n_label;
	info[at++] = 0;
	info[at++] = 1; /* the counter of HKDF */
	if (!hmac(c->hmac, secret, secret ? SHA256 : 0, info, at, mac))
		return false;
	memcpy(ret_key, mac, n);
	return true;
}

int fg_quic_derive(struct fg_quic_crypto *c, enum fg_quic_version version,
		   const struct fg_quic_cid *dcid, struct fg_quic_keys *k)
{
	const char *key = versions[version].key, *iv = versions[version].iv,
		   *hp = versions[version].hp;
	uint8_t secret[SHA256], client[SHA256];

	return hmac(c->salted[version], NULL, 0, dcid->bytes, dcid->len, secret) &&
			       expand(c, secret, "tls13 client in", client, SHA256) &&
			       expand(c, client, key, k->key, sizeof(k->key)) &&
			       expand(c, NULL, iv, k->iv, sizeof(k->iv)) &&
			       expand(c, NULL, hp, k->hp, sizeof(k->hp)) ?
		       0 :
		       -EIO;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* RFC 9000 appendix A.3. */
static int64_t whole_number(int64_t truncated, unsigned int n_bytes, int64_t largest)
{
	int64_t expected = largest + 1, window = (int64_t)1 << 8 * n_bytes, half = window / 2;
	int64_t candidate = (expected & ~(window - 1)) | truncated;

	if (candidate <= expected - half && candidate < ((int64_t)1 << 62) - window)
		return candidate + window;
	if (candidate > expected + half && candidate >= window)
		return candidate - window;
	return candidate;
}

static bool make_mask(struct fg_quic_crypto *c, const struct fg_quic_keys *k, const uint8_t *sample,
		      uint8_t ret_mask[SAMPLE])
{
	int n = 0;

	return EVP_EncryptInit_ex2(c->mask, c->ecb, k->hp, NULL, NULL) &&
	       EVP_CIPHER_CTX_set_padding(c->mask, 0) &&
	       EVP_EncryptUpdate(c->mask, ret_mask, &n, sample, SAMPLE) && n == SAMPLE;
}

/* What is authenticated beside the text: the header without its protection. */
struct header {
	uint8_t first, number[4];
	const uint8_t *rest; /* between them */
	size_t n_rest, n_number;
};

static bool authenticate(EVP_CIPHER_CTX *ctx, const struct header *h)
{
	int n = 0;

	return EVP_DecryptUpdate(ctx, NULL, &n, &h->first, 1) &&
	       EVP_DecryptUpdate(ctx, NULL, &n, h->rest, (int)h->n_rest) &&
	       EVP_DecryptUpdate(ctx, NULL, &n, h->number, (int)h->n_number);
}

static int decrypt(struct fg_quic_crypto *c, const struct fg_quic_keys *k, int64_t number,
		   const struct header *header, const uint8_t *body, size_t n_body, uint8_t *plain)
{
	uint8_t nonce[FG_QUIC_IV_BYTES], tag[FG_QUIC_TAG_BYTES];
	int n_text = (int)(n_body - sizeof(tag)), n = 0, rest = 0;

	memcpy(nonce, k->iv, sizeof(nonce));
	for (size_t i = 0; i < 8; i++)
		nonce[sizeof(nonce) - 1 - i] ^= (uint8_t)(number >> 8 * i);
	memcpy(tag, body + n_text, sizeof(tag));
	if (!EVP_DecryptInit_ex2(c->open, c->gcm, k->key, nonce, NULL) ||
	    !authenticate(c->open, header) ||
	    !EVP_DecryptUpdate(c->open, plain, &n, body, n_text) ||
	    !EVP_CIPHER_CTX_ctrl(c->open, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) ||
	    EVP_DecryptFinal_ex(c->open, plain + n, &rest) <= 0)
		return -EBADMSG;
	return n + rest;
}

int fg_quic_open(struct fg_quic_crypto *c, const struct fg_quic_keys *keys, const uint8_t *bytes,
		 const struct fg_quic_packet *p, int64_t largest, uint8_t *plain,
		 int64_t *ret_number)
{
	struct header h = { .rest = bytes + 1, .n_rest = p->number_off - 1 };
	const uint8_t *body;
	uint8_t mask[SAMPLE];
	int64_t number = 0;
	int r;

	/* the sample lies four bytes behind the number's first, whatever its length */
	if (p->n < p->number_off + 4 + SAMPLE)
		return -EINVAL;
	if (!make_mask(c, keys, bytes + p->number_off + 4, mask))
		return -EBADMSG;
	h.first = bytes[0] ^ (mask[0] & 0x0f);
	h.n_number = (h.first & 3) + 1U;
	for (size_t i = 0; i < h.n_number; i++) {
		h.number[i] = bytes[p->number_off + i] ^ mask[1 + i];
		number = number << 8 | h.number[i];
	}
	number = whole_number(number, (unsigned int)h.n_number, largest);
	body = bytes + p->number_off + h.n_number;
	r = decrypt(c, keys, number, &h, body, (size_t)(bytes + p->n - body), plain);
	if (r >= 0)
		*ret_number = number;
	return r;
}
