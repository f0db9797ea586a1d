/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Folds the fields of a hello into two keys, as they stream by:
 *
 *   print  equal if and only if the JA4 is equal        (JA4: FoxIO, BSD-3-Clause)
 *   stem   equal if and only if the stem is equal
 *
 * JA4 sorts ciphers and extensions before it hashes them. Sorting only removes the order, and so
 * does a sum: each value is mapped to a secret random-looking 64-bit number and the numbers are
 * added modulo 2^64. Signature algorithms keep their order and are chained.
 *
 * Why an attacker cannot build a collision: two different lists collide if a known integer
 * combination of secret numbers is zero. Without the seed, and without ever seeing a key (keys
 * never leave the host), each such combination is a blind guess at 2^-64; a combination that is
 * zero for every seed needs one value 2^64 times, and lists are capped at some hundred. A public
 * hash in this place would let anybody search for colliding sets offline.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/hash.h"

/* What a value stands for; the same number means other things in other lists. */
enum fg_fold_domain {
	FG_FOLD_CIPHER = 1 << 16,
	FG_FOLD_EXT = 2 << 16,
	FG_FOLD_SIGALG = 3 << 16,
	FG_FOLD_ORDER = 4 << 16,
};

/* RFC 8701: 0x0a0a, 0x1a1a, ... 0xfafa. Look-alikes such as 0x0a1a are ordinary values. */
static __always_inline int fg_is_grease(__u32 value)
{
	return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff);
}

/* Extensions that come and go between connections of one client: padding, session_ticket,
 * pre_shared_key, early_data, cookie. The stem leaves them out. */
static __always_inline int fg_ext_is_fleeting(__u32 type)
{
	return type == 0x0015 || type == 0x0023 || type == 0x0029 || type == 0x002a ||
	       type == 0x002c;
}

static __always_inline __u64 fg_fold_value(const volatile __u64 seed[4], __u32 domain, __u32 value)
{
	__u64 x = (domain | value) + seed[0];

	x *= seed[1] | 1;
	x ^= x >> 32;
	x = (x + seed[2]) * FG_ODD_2;
	x ^= x >> 29;
	x *= seed[3] | 1;
	return x ^ (x >> 32);
}

static __always_inline __u64 fg_fold_next(__u64 chain, __u64 value)
{
	chain = (chain ^ value) * FG_ODD_1;
	return chain ^ (chain >> 31);
}

static __always_inline __u32 fg_cap99(__u32 n)
{
	return n > 99 ? 99 : n;
}

/* 0-9 A-Z a-z */
static __always_inline int fg_is_alnum(__u32 c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static __always_inline __u32 fg_hex_digit(__u32 nibble)
{
	return nibble < 10 ? '0' + nibble : 'a' + nibble - 10;
}

/* The two ALPN characters of JA4, first in the high byte. Both ends alphanumeric: the bytes
 * themselves; else the first and last character of the name's hex form. */
static __always_inline __u32 fg_alpn_chars(const struct fg_hello *h)
{
	if (!(h->flags & FG_HELLO_ALPN))
		return '0' << 8 | '0';
	if (fg_is_alnum(h->alpn_first) && fg_is_alnum(h->alpn_last))
		return h->alpn_first << 8 | h->alpn_last;
	return fg_hex_digit(h->alpn_first >> 4) << 8 | fg_hex_digit(h->alpn_last & 15);
}

/* The two version characters of JA4 for a TCP or QUIC hello, as one number; unknown versions all
 * print 00 and so must share one key. */
static __always_inline __u32 fg_version_chars(const struct fg_hello *h)
{
	__u32 v = h->flags & FG_HELLO_VERSIONS ? h->version : h->legacy_version;

	switch (v) {
	case 0x0304:
		return '1' << 8 | '3';
	case 0x0303:
		return '1' << 8 | '2';
	case 0x0302:
		return '1' << 8 | '1';
	case 0x0301:
		return '1' << 8 | '0';
	case 0x0300:
		return 's' << 8 | '3';
	case 0x0002:
		return 's' << 8 | '2';
	case 0xfeff:
		return 'd' << 8 | '1';
	case 0xfefd:
		return 'd' << 8 | '2';
	case 0xfefc:
		return 'd' << 8 | '3';
	default:
		return '0' << 8 | '0';
	}
}

static __always_inline __u64 fg_fold_key(const volatile __u64 seed[4], const struct fg_hello *h,
					 __u32 proto, __u32 n_exts, __u64 exts_fold)
{
	__u64 head = (__u64)proto << 56 | h->carry << 24 | fg_cap99(h->n_ciphers) << 16 |
		     fg_cap99(n_exts) << 8 | (h->flags & FG_HELLO_SNI);
	__u64 key = fg_mix(seed[0], head, seed[1]);

	key = fg_mix(key, h->ciphers_fold, seed[2]);
	key = fg_mix(key, exts_fold, seed[3]);
	return fg_mix_end(fg_mix(key, h->sigalgs_fold, seed[0]), seed[1]);
}

/* Both keys of a complete hello. proto is 't' or 'q'. The reader's carry is free by now and holds
 * the characters for both keys. */
static __always_inline void fg_fold_keys(const volatile __u64 seed[4], struct fg_hello *h,
					 __u32 proto)
{
	h->carry = fg_version_chars(h) << 16;
	fg_reload();
	h->carry |= fg_alpn_chars(h);
	fg_reload();
	h->print = fg_fold_key(seed, h, proto, h->n_exts, h->exts_fold);
	/* another first word than the fingerprint key, so that the two never mix up */
	h->stem = fg_fold_key(seed, h, proto | 0x80, h->n_stem_exts, h->stem_fold);
}
