/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The resumable ClientHello reader (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2). No packets,
 * no tables: bytes of the client's stream in, in order and each once; folds and lists out.
 *
 * It reads tokens of one to eight bytes and jumps over runs. A token may be cut by the end of a
 * segment or of a TLS record at any byte: what is there goes into `carry`, and the next call goes
 * on. All state lives in struct fg_hello, so the caller may keep it in a table between segments.
 * One call of fg_hello_step() consumes one token or one run; the loop around it belongs to the
 * caller, because the kernel wants a special one.
 *
 *   record header (5) ─ handshake header (4) ─ version (2) ─ random ─ session id ─ ciphers ─
 *   compression ─ extensions: type and length (4), body of the few we look into, jump
 *
 * `left` counts the bytes of the message behind the token being read; `scope` and `list` are the
 * values of `left` at which the current extension and the list in it end. A length that does not
 * fit into what encloses it makes the hello malformed: a hello whose lengths do not add up has
 * no JA4.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"
#include "farmgate/fingerprint.h"

enum fg_hello_result {
	FG_HELLO_MORE, /* feed the next bytes */
	FG_HELLO_COMPLETE, /* keys are set */
	FG_HELLO_FAILED, /* see reason */
	FG_HELLO_NOT, /* the stream does not begin with a hello */
};

enum fg_hello_state {
	FG_HS_HEADER,
	FG_HS_VERSION,
	FG_HS_SESSION,
	FG_HS_CIPHERS,
	FG_HS_CIPHER,
	FG_HS_COMPRESSION,
	FG_HS_EXTS,
	FG_HS_EXT,
	FG_HS_SNI,
	FG_HS_SNI_BYTES,
	FG_HS_ALPN,
	FG_HS_ALPN_FIRST,
	FG_HS_ALPN_LAST,
	FG_HS_VERSIONS,
	FG_HS_ONE_VERSION,
	FG_HS_SIGALGS,
	FG_HS_SIGALG,
	FG_HS_SHARES,
	FG_HS_SHARE,
	FG_HS_DONE,
};

#define FG_TLS_HANDSHAKE	22
#define FG_TLS_APPLICATION_DATA 23
/* RFC 5246 section 6.2.3: at most 2^14 + 2048 bytes in a record. */
#define FG_TLS_MAX_RECORD (16384 + 2048)

/* Everything up to the lists, which need no clearing. */
#define FG_HELLO_HEAD_BYTES __builtin_offsetof(struct fg_hello, sni)

/** Makes h ready for the first byte of a client's stream. */
static __always_inline void fg_hello_begin(struct fg_hello *h)
{
	__builtin_memset(h, 0, FG_HELLO_HEAD_BYTES);
	h->state = FG_HS_HEADER;
	h->need = 4;
}

static __always_inline void fg_hello_fail(struct fg_hello *h, enum fg_incomplete reason)
{
	h->result = FG_HELLO_FAILED;
	h->reason = reason;
}

/* The next token, with need bytes, unless the message ends before it. */
static __always_inline void hello_expect(struct fg_hello *h, enum fg_hello_state state, __u32 need)
{
	h->state = state;
	h->need = need;
	if (h->left < need)
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
	else
		h->left -= need;
}

static __always_inline void hello_skip(struct fg_hello *h, __u32 n)
{
	if (h->left < n) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	h->left -= n;
	h->skip += n;
}

static __always_inline void hello_next_ext(struct fg_hello *h)
{
	if (h->left == 0)
		hello_expect(h, FG_HS_DONE, 0);
	else
		hello_expect(h, FG_HS_EXT, 4);
}

/* Jumps to the end of the current extension. */
static __always_inline void hello_end_ext(struct fg_hello *h)
{
	hello_skip(h, h->left - h->scope);
	hello_next_ext(h);
}

/* Enters a list of len bytes inside the current extension and expects its first item. */
static __always_inline void hello_enter_list(struct fg_hello *h, __u32 len,
					     enum fg_hello_state state, __u32 need)
{
	if (len > h->left - h->scope) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	h->list = h->left - len;
	if (len < need)
		hello_end_ext(h);
	else
		hello_expect(h, state, need);
}

/* The list's next item, or the end of the extension. */
static __always_inline void hello_next_item(struct fg_hello *h, enum fg_hello_state state,
					    __u32 need)
{
	if (h->left - h->list < need)
		hello_end_ext(h);
	else
		hello_expect(h, state, need);
}

static __always_inline void hello_header(struct fg_hello *h, __u32 v)
{
	if (v >> 24 != 1) {
		h->result = FG_HELLO_NOT;
		return;
	}
	h->left = v & 0xffffff;
	if (h->left > FG_HELLO_MAX_MESSAGE) {
		fg_hello_fail(h, FG_INCOMPLETE_too_long);
		return;
	}
	hello_expect(h, FG_HS_VERSION, 2);
}

static __always_inline void hello_ciphers(struct fg_hello *h, __u32 len)
{
	if (len > h->left || len & 1) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	h->list = h->left - len;
	if (len)
		hello_expect(h, FG_HS_CIPHER, 2);
	else
		hello_expect(h, FG_HS_COMPRESSION, 1);
}

static __always_inline void hello_cipher(struct fg_hello *h, const volatile __u64 *seed, __u32 v)
{
	__u32 n = h->n_ciphers;

	if (fg_is_grease(v)) {
		h->flags |= FG_HELLO_GREASE;
	} else if (n >= FG_MAX_CIPHERS) {
		fg_hello_fail(h, FG_INCOMPLETE_too_many);
		return;
	} else {
		h->ciphers[n] = v;
		h->n_ciphers = n + 1;
		h->ciphers_fold += fg_fold_value(seed, FG_FOLD_CIPHER, v);
	}
	if (h->left == h->list)
		hello_expect(h, FG_HS_COMPRESSION, 1);
	else
		hello_expect(h, FG_HS_CIPHER, 2);
}

static __always_inline void hello_fold_ext(struct fg_hello *h, const volatile __u64 *seed,
					   __u32 type, __u32 len)
{
	__u32 n = h->n_exts;
	__u64 value;

	if (fg_is_grease(type)) {
		h->flags |= FG_HELLO_GREASE;
		return;
	}
	if (n >= FG_MAX_EXTS) {
		fg_hello_fail(h, FG_INCOMPLETE_too_many);
		return;
	}
	h->exts[n] = type;
	h->n_exts = n + 1;
	h->order_fold = fg_fold_next(h->order_fold, fg_fold_value(seed, FG_FOLD_ORDER, type));
	value = type == 0x0000 || type == 0x0010 ? 0 : fg_fold_value(seed, FG_FOLD_EXT, type);
	h->exts_fold += value;
	if (!fg_ext_is_fleeting(type)) {
		h->n_stem_exts++;
		h->stem_fold += value;
	}
	if (type == 0x0000)
		h->flags |= FG_HELLO_SNI;
	else if (type == 0x0029)
		h->flags |= FG_HELLO_RESUMED;
	else if (type == 0x002a)
		h->flags |= FG_HELLO_EARLY;
	else if (type == 0xfe0d)
		h->flags |= FG_HELLO_ECH;
	else if (type == 0x0023 && len)
		h->flags |= FG_HELLO_TICKET;
}

static __always_inline void hello_ext(struct fg_hello *h, const volatile __u64 *seed, __u32 v)
{
	__u32 type = v >> 16, len = v & 0xffff;

	if (len > h->left) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	h->scope = h->left - len;
	hello_fold_ext(h, seed, type, len);
	if (h->result != FG_HELLO_MORE)
		return;
	if (type == 0x0000 && len >= 5 && !h->sni_len)
		hello_expect(h, FG_HS_SNI, 5);
	else if (type == 0x0010 && len >= 3 && !(h->flags & FG_HELLO_ALPN))
		hello_expect(h, FG_HS_ALPN, 3);
	else if (type == 0x002b && len >= 1) {
		h->flags |= FG_HELLO_VERSIONS;
		hello_expect(h, FG_HS_VERSIONS, 1);
	} else if (type == 0x002b) {
		h->flags |= FG_HELLO_VERSIONS;
		hello_end_ext(h);
	} else if (type == 0x000d && len >= 2)
		hello_expect(h, FG_HS_SIGALGS, 2);
	else if (type == 0x0033 && len >= 2)
		hello_expect(h, FG_HS_SHARES, 2);
	else
		hello_end_ext(h);
}

static __always_inline void hello_next_sni_bytes(struct fg_hello *h)
{
	__u32 n = h->left - h->list;

	if (n == 0)
		hello_end_ext(h);
	else
		hello_expect(h, FG_HS_SNI_BYTES, n < 8 ? n : 8);
}

/* list length (2), name type (1), name length (2): RFC 6066 section 3 */
static __always_inline void hello_sni(struct fg_hello *h, __u64 v)
{
	__u32 len = v & 0xffff;

	if (len > h->left - h->scope) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	if ((v >> 16 & 0xff) != 0 || len >= FG_MAX_SNI) {
		hello_end_ext(h);
		return;
	}
	h->list = h->left - len;
	hello_next_sni_bytes(h);
}

static __always_inline void hello_sni_bytes(struct fg_hello *h, __u64 v)
{
	__u32 n = h->sni_len, i;

	v <<= 64 - 8 * (__u32)(h->need & 15 ? h->need & 15 : 1);
	fg_barrier(n);
	n &= 0xff;
	for (i = 0; i < 8; i++)
		h->sni[n + i] = v >> (56 - 8 * i);
	h->sni_len = n + h->need;
	hello_next_sni_bytes(h);
}

/* list length (2), length of the first name (1): RFC 7301 section 3.1 */
static __always_inline void hello_alpn(struct fg_hello *h, __u32 v)
{
	__u32 len = v & 0xff;

	if (len > h->left - h->scope) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	if (len == 0) {
		hello_end_ext(h);
		return;
	}
	h->flags |= FG_HELLO_ALPN;
	h->alpn_len = len;
	hello_expect(h, FG_HS_ALPN_FIRST, 1);
}

static __always_inline void hello_alpn_first(struct fg_hello *h, __u32 v)
{
	h->alpn_first = v;
	h->alpn_last = v;
	if (h->alpn_len == 1) {
		hello_end_ext(h);
		return;
	}
	hello_skip(h, h->alpn_len - 2);
	hello_expect(h, FG_HS_ALPN_LAST, 1);
}

static __always_inline void hello_version(struct fg_hello *h, __u32 v)
{
	if (fg_is_grease(v))
		h->flags |= FG_HELLO_GREASE;
	else if (v > h->version)
		h->version = v;
	hello_next_item(h, FG_HS_ONE_VERSION, 2);
}

static __always_inline void hello_sigalg(struct fg_hello *h, const volatile __u64 *seed, __u32 v)
{
	__u32 n = h->n_sigalgs;

	if (fg_is_grease(v)) {
		h->flags |= FG_HELLO_GREASE;
	} else if (n >= FG_MAX_SIGALGS) {
		fg_hello_fail(h, FG_INCOMPLETE_too_many);
		return;
	} else {
		h->sigalgs[n] = v;
		h->n_sigalgs = n + 1;
		h->sigalgs_fold =
			fg_fold_next(h->sigalgs_fold, fg_fold_value(seed, FG_FOLD_SIGALG, v));
	}
	hello_next_item(h, FG_HS_SIGALG, 2);
}

/* Hybrid and pure ML-KEM groups, and the Kyber draft that browsers used before. */
static __always_inline int hello_group_is_pq(__u32 group)
{
	return (group >= 0x11eb && group <= 0x11ed) || group == 0x6399 || group == 0x639a ||
	       (group >= 0x0200 && group <= 0x0202);
}

static __always_inline void hello_share(struct fg_hello *h, __u32 v)
{
	__u32 group = v >> 16, len = v & 0xffff;

	if (len > h->left - h->list) {
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
		return;
	}
	if (fg_is_grease(group))
		h->flags |= FG_HELLO_GREASE;
	if (hello_group_is_pq(group))
		h->flags |= FG_HELLO_PQ;
	hello_skip(h, len);
	hello_next_item(h, FG_HS_SHARE, 4);
}

static __always_inline void hello_exts(struct fg_hello *h, __u32 len)
{
	if (len != h->left)
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
	else
		hello_next_ext(h);
}

static __always_inline void hello_done(struct fg_hello *h, const volatile __u64 *seed)
{
	fg_fold_keys(seed, h, 't');
	h->result = FG_HELLO_COMPLETE;
}

/* A whole token arrived. */
static __always_inline void hello_token(struct fg_hello *h, const volatile __u64 *seed, __u64 v)
{
	switch (h->state) {
	case FG_HS_CIPHER:
		hello_cipher(h, seed, v);
		break;
	case FG_HS_EXT:
		hello_ext(h, seed, v);
		break;
	case FG_HS_SIGALG:
		hello_sigalg(h, seed, v);
		break;
	case FG_HS_HEADER:
		hello_header(h, v);
		break;
	case FG_HS_VERSION:
		h->legacy_version = v;
		hello_skip(h, 32);
		hello_expect(h, FG_HS_SESSION, 1);
		break;
	case FG_HS_SESSION:
		hello_skip(h, v);
		hello_expect(h, FG_HS_CIPHERS, 2);
		break;
	case FG_HS_CIPHERS:
		hello_ciphers(h, v);
		break;
	case FG_HS_COMPRESSION:
		hello_skip(h, v);
		if (h->left == 0) /* no extensions at all: TLS 1.0 clients */
			hello_expect(h, FG_HS_DONE, 0);
		else
			hello_expect(h, FG_HS_EXTS, 2);
		break;
	case FG_HS_EXTS:
		hello_exts(h, v);
		break;
	case FG_HS_SNI:
		hello_sni(h, v);
		break;
	case FG_HS_SNI_BYTES:
		hello_sni_bytes(h, v);
		break;
	case FG_HS_ALPN:
		hello_alpn(h, v);
		break;
	case FG_HS_ALPN_FIRST:
		hello_alpn_first(h, v);
		break;
	case FG_HS_ALPN_LAST:
		h->alpn_last = v;
		hello_end_ext(h);
		break;
	case FG_HS_VERSIONS:
		hello_enter_list(h, v, FG_HS_ONE_VERSION, 2);
		break;
	case FG_HS_ONE_VERSION:
		hello_version(h, v);
		break;
	case FG_HS_SIGALGS:
		hello_enter_list(h, v, FG_HS_SIGALG, 2);
		break;
	case FG_HS_SHARES:
		hello_enter_list(h, v, FG_HS_SHARE, 4);
		break;
	case FG_HS_SHARE:
		hello_share(h, v);
		break;
	default:
		hello_done(h, seed);
		break;
	}
}

static __always_inline void hello_record(struct fg_hello *h, __u64 v)
{
	__u32 len = v & 0xffff;

	h->rec_left = len;
	if (v >> 32 == FG_TLS_HANDSHAKE && (v >> 24 & 0xff) == 3 && len && len <= FG_TLS_MAX_RECORD)
		return;
	if (h->state == FG_HS_HEADER && !h->have)
		h->result = FG_HELLO_NOT;
	else
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
}

/* n (1..8) bytes at buf + pos as a big-endian number. */
static __always_inline __u64 hello_bytes(const __u8 *buf, __u32 pos, __u32 n)
{
	return fg_be64(fg_load_u64(buf + (pos & (FG_SEGMENT_MAX_BYTES - 1)))) >>
	       ((64 - 8 * n) & 63);
}

/* Takes up to need - have bytes into *carry; answers how many. */
static __always_inline __u32 hello_take(struct fg_hello *h, const __u8 *buf, __u64 *carry,
					__u32 missing, __u32 avail)
{
	__u32 n = missing < avail ? missing : avail;
	__u64 bytes;

	if (n == 0)
		return 0;
	bytes = hello_bytes(buf, h->pos, n);
	/* a shift by 64 is undefined, and n is 8 only where nothing was carried */
	*carry = n == 8 ? bytes : *carry << (8 * n & 63) | bytes;
	h->pos += n;
	return n;
}

/**
 * Consumes one token or run of the segment at buf[h->pos .. h->end).
 *
 * buf has FG_SEGMENT_MAX_BYTES + 8 readable bytes; h->end is at most FG_SEGMENT_MAX_BYTES.
 * @return 1 to be called again, 0 when the segment or the hello ends (see h->result).
 */
static __always_inline int fg_hello_step(struct fg_hello *h, const volatile __u64 *seed,
					 const __u8 *buf)
{
	__u32 avail = h->end - h->pos, n;
	__u64 v;

	if (h->skip == 0 && h->need == 0) {
		hello_done(h, seed);
		return 0;
	}
	if (avail == 0 || avail > FG_SEGMENT_MAX_BYTES)
		return 0;
	if (h->rec_left == 0) {
		h->rec_have += hello_take(h, buf, &h->rec_carry, 5 - h->rec_have, avail);
		if (h->rec_have < 5)
			return 0;
		v = h->rec_carry;
		h->rec_carry = 0;
		h->rec_have = 0;
		hello_record(h, v);
		return h->result == FG_HELLO_MORE;
	}
	if (avail > h->rec_left)
		avail = h->rec_left;
	if (h->skip) {
		n = h->skip < avail ? h->skip : avail;
		h->skip -= n;
		h->total -= n;
		h->pos += n;
		h->rec_left -= n;
		return 1;
	}
	n = hello_take(h, buf, &h->carry, h->need - h->have, avail);
	h->have += n;
	h->rec_left -= n;
	if (h->have < h->need)
		return 1;
	v = h->carry;
	h->carry = 0;
	h->have = 0;
	hello_token(h, seed, v);
	return h->result == FG_HELLO_MORE;
}

/** Begins a segment of len bytes (at most FG_SEGMENT_MAX_BYTES) for fg_hello_step(). */
static __always_inline void fg_hello_segment(struct fg_hello *h, __u32 len)
{
	h->pos = 0;
	h->end = len;
	if (h->total > FG_HELLO_MAX_BYTES)
		fg_hello_fail(h, FG_INCOMPLETE_too_long);
	else
		h->total += len;
}
