/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes of a PROXY header (HAProxy, "The PROXY protocol", section 2). Version 1 is a line:
 *
 *   PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n      TCP6 likewise; or UNKNOWN and anything
 *
 * with addresses in the forms of RFC 4291 section 2.2 and ports in decimal. It is read a character at a
 * time, and what is known lies in the scratch, so that the verifier sees one small step of a loop.
 * Version 2 is binary, and may have more behind the addresses.
 */
#pragma once

#include "farmgate/platform.h"

/* "PROXY UNKNOWN\r\n", and a line's end included (section 2.1 of the specification). */
#define FG_PROXY1_MIN_BYTES 15
#define FG_PROXY1_MAX_BYTES 107
/* Where "TCP4 " begins, and what is behind it. */
#define FG_PROXY1_KIND	    6
#define FG_PROXY1_ADDRESSES 11

/* Version 2 up to the addresses; two of IPv4, of IPv6, with their ports. */
#define FG_PROXY2_HEAD_BYTES 16
#define FG_PROXY2_IPV4_BYTES 12
#define FG_PROXY2_IPV6_BYTES 36

enum proxy_field {
	PROXY_SOURCE,
	PROXY_DESTINATION,
	PROXY_SOURCE_PORT,
	PROXY_DESTINATION_PORT,
	PROXY_UNKNOWN,
	PROXY_LF /* the line feed is next */
};

/* Longest run of digits: a port. */
#define PROXY_MAX_DIGITS 5
/* What was read is no decimal number. */
#define PROXY_NO_DECIMAL 0x10000000U

static __always_inline void proxy_next_number(struct fg_proxy *p)
{
	p->digits = 0;
	p->hex = p->decimal = 0;
}

static __always_inline void proxy_next_field(struct fg_proxy *p)
{
	proxy_next_number(p);
	p->front[0] = p->front[1] = p->back[0] = p->back[1] = 0;
	p->n_front = p->n_back = p->has_gap = p->quads = p->colons = 0;
	p->quad = 0;
	p->field++;
}

static __always_inline int proxy_digit(struct fg_proxy *p, __u32 c)
{
	__u32 d = c - '0';

	if (p->digits >= PROXY_MAX_DIGITS || (p->colons == 1 && !p->n_back && !p->has_gap))
		return 0;
	p->colons = 0;
	if (d > 9) {
		d = (c | 0x20) - 'a' + 10;
		if (d < 10 || d > 15)
			return 0;
		p->decimal = PROXY_NO_DECIMAL;
	} else if (p->digits && !p->decimal) {
		p->decimal = PROXY_NO_DECIMAL; /* a zero in front */
	} else if (p->decimal < PROXY_NO_DECIMAL) {
		p->decimal = p->decimal * 10 + d;
	}
	p->hex = p->hex << 4 | d;
	p->digits++;
	return 1;
}

/* 16 bits more of the address. */
static __always_inline int proxy_put_group(struct fg_proxy *p, __u32 group)
{
	if (p->n_front + p->n_back >= 8)
		return 0;
	p->back[0] = p->back[0] << 16 | p->back[1] >> 48;
	p->back[1] = p->back[1] << 16 | (group & 0xffff);
	p->n_back++;
	proxy_next_number(p);
	return 1;
}

/* Behind a group, or the second of "::", or the first of it in front of everything. */
static __always_inline int proxy_colon(struct fg_proxy *p)
{
	if (!p->ipv6 || p->quads || p->colons == 2)
		return 0;
	p->colons++;
	if (p->digits)
		return p->digits <= 4 && proxy_put_group(p, p->hex);
	if (p->colons == 1)
		return !p->n_back && !p->has_gap;
	if (p->has_gap)
		return 0;
	p->has_gap = 1;
	p->front[0] = p->back[0];
	p->front[1] = p->back[1];
	p->n_front = p->n_back;
	p->back[0] = p->back[1] = 0;
	p->n_back = 0;
	return 1;
}

static __always_inline int proxy_dot(struct fg_proxy *p)
{
	if (!p->digits || p->decimal > 255 || p->quads >= 4)
		return 0;
	p->quad = p->quad << 8 | p->decimal;
	p->quads++;
	proxy_next_number(p);
	return 1;
}

/* The n groups that were read first, as the highest of eight. */
static __always_inline void proxy_to_front(__u64 addr[2], __u32 n)
{
	__u32 shift = 128 - 16 * n;

	if (shift >= 128) {
		addr[0] = addr[1] = 0;
	} else if (shift >= 64) {
		addr[0] = addr[1] << (shift - 64);
		addr[1] = 0;
	} else if (shift) {
		addr[0] = addr[0] << shift | addr[1] >> (64 - shift);
		addr[1] <<= shift;
	}
}

/* The address is at its end: front[] becomes it. */
static __always_inline int proxy_end_address(struct fg_proxy *p)
{
	/* four bytes in decimal: the end of it, or of IPv4 all */
	if (p->quads) {
		if (!proxy_dot(p) || p->quads != 4 || !proxy_put_group(p, p->quad >> 16) ||
		    !proxy_put_group(p, p->quad))
			return 0;
	} else if (p->digits) {
		if (!p->ipv6 || p->digits > 4 || !proxy_put_group(p, p->hex))
			return 0;
	} else if (p->colons != 2) {
		return 0;
	}
	if (!p->ipv6) {
		p->front[1] = 0xffff00000000ULL | p->back[1];
		return 1;
	}
	if (p->has_gap ? p->n_front + p->n_back > 7 : p->n_back != 8)
		return 0;
	proxy_to_front(p->front, p->n_front);
	p->front[0] |= p->back[0];
	p->front[1] |= p->back[1];
	return 1;
}

/* A space, or with the last field the end of the line. */
static __always_inline int proxy_end_field(struct fg_proxy *p)
{
	if (p->field >= PROXY_SOURCE_PORT) {
		if (!p->digits || p->decimal > 0xffff)
			return 0;
		if (p->field == PROXY_SOURCE_PORT)
			p->port = p->decimal;
	} else {
		if (!proxy_end_address(p))
			return 0;
		if (p->field == PROXY_SOURCE) {
			p->source[0] = p->front[0];
			p->source[1] = p->front[1];
		}
	}
	proxy_next_field(p);
	return 1;
}

/* One character; false where the line cannot be one. */
static __always_inline int proxy_character(struct fg_proxy *p, __u8 c)
{
	if (c == '\r') {
		if (p->field != PROXY_UNKNOWN &&
		    (p->field != PROXY_DESTINATION_PORT || !proxy_end_field(p)))
			return 0;
		p->field = PROXY_LF;
		return 1;
	}
	if (p->field == PROXY_UNKNOWN)
		return 1;
	if (c == ' ')
		return p->field != PROXY_DESTINATION_PORT && proxy_end_field(p);
	if (p->field >= PROXY_SOURCE_PORT)
		return proxy_digit(p, c);
	if (c == ':')
		return proxy_colon(p);
	return c == '.' ? proxy_dot(p) : proxy_digit(p, c);
}

/**
 * One step over the segment in the scratch. @return 0 when the line is over: p->length is what it has
 * of bytes, 0 = it is none.
 */
static __always_inline int fg_proxy_step(struct fg_scratch *s)
{
	struct fg_proxy *p = &s->proxy;
	__u32 at = p->at;
	__u8 c;

	fg_reload();
	if (at >= p->end || at >= FG_PROXY1_MAX_BYTES)
		return 0;
	c = s->segment[at];
	p->at = at + 1;
	if (p->field == PROXY_LF) {
		p->length = c == '\n' ? at + 1 : 0;
		return 0;
	}
	return proxy_character(p, c);
}

/* n bytes of the segment may be the line; "PROXY " is. */
static __always_inline void proxy_line_begin(struct fg_scratch *s, __u32 n)
{
	struct fg_proxy *p = &s->proxy;
	const __u8 *kind = s->segment + FG_PROXY1_KIND;
	__u32 word = fg_load_be32(kind);

	__builtin_memset(p, 0, sizeof(*p));
	if (word == 0x554e4b4e && fg_load_be32(kind + 3) == 0x4e4f574e) { /* "UNKN", "NOWN" */
		p->field = PROXY_UNKNOWN;
		p->at = FG_PROXY1_KIND + 7;
	} else if ((word == 0x54435034 || word == 0x54435036) && kind[4] == ' ') { /* "TCP4" */
		p->ipv6 = word == 0x54435036;
		p->named = 1;
		p->at = FG_PROXY1_ADDRESSES;
	} else {
		return;
	}
	p->end = n;
}

/* --- Both versions ----------------------------------------------------------------------------- */

enum proxy_kind {
	PROXY_NOT,
	PROXY_1,
	PROXY_2
};

/* What n bytes of payload begin with. */
static __always_inline enum proxy_kind proxy_kind_of(struct fg_env *env, __u32 off, __u32 n)
{
	__u8 a[8] = {}, b[8] = {};

	if (n < FG_PROXY1_MIN_BYTES || !fg_peek(env, off, a, 8) || !fg_peek(env, off + 8, b, 4))
		return PROXY_NOT;
	if (fg_load_be32(a) == 0x50524f58 && fg_load_be16(a + 4) == 0x5920) /* "PROXY " */
		return PROXY_1;
	if (fg_load_be32(a) == 0x0d0a0d0a && fg_load_be32(a + 4) == 0x000d0a51 &&
	    fg_load_be32(b) == 0x5549540a)
		return n < FG_PROXY2_HEAD_BYTES ? PROXY_NOT : PROXY_2;
	return PROXY_NOT;
}

/* Reads a line into the scratch. @return its bytes, 0 = it is none. */
static __always_inline __u32 proxy_read_1(struct fg_env *env, __u32 off, __u32 n)
{
	struct fg_proxy *p = &env->scratch->proxy;

	if (n > FG_PROXY1_MAX_BYTES)
		n = FG_PROXY1_MAX_BYTES;
	proxy_line_begin(env->scratch, fg_payload(env, off, n));
	fg_reload();
	fg_proxy_run(env);
	fg_reload();
	return p->length;
}

/* The same for version 2; it may be longer than the segment. */
static __always_inline __u32 proxy_read_2(struct fg_env *env, __u32 off, __u32 n)
{
	struct fg_proxy *p = &env->scratch->proxy;
	__u32 want = 0, length;
	__u8 b[8] = {};

	if (!fg_peek(env, off + 12, b, 4) || b[0] >> 4 != 2 || (b[0] & 15) > 1)
		return 0;
	length = fg_load_be16(b + 2);
	p->named = 0;
	/* LOCAL: the balancer's own connection. Of other families than these the address is none. */
	if (b[0] & 15)
		want = b[1] == 0x11 ? FG_PROXY2_IPV4_BYTES :
		       b[1] == 0x21 ? FG_PROXY2_IPV6_BYTES :
				      0;
	if (want > length || FG_PROXY2_HEAD_BYTES + want > n)
		return 0;
	off += FG_PROXY2_HEAD_BYTES;
	if (want == FG_PROXY2_IPV4_BYTES) {
		if (!fg_peek(env, off, b, 4))
			return 0;
		p->source[0] = 0;
		p->source[1] = 0xffff00000000ULL | fg_load_be32(b);
		p->named = fg_peek(env, off + 8, b, 2);
	} else if (want) {
		if (!fg_peek(env, off, b, 8))
			return 0;
		p->source[0] = fg_be64(fg_load_u64(b));
		if (!fg_peek(env, off + 8, b, 8))
			return 0;
		p->source[1] = fg_be64(fg_load_u64(b));
		p->named = fg_peek(env, off + 32, b, 2);
	}
	p->port = fg_load_be16(b);
	return FG_PROXY2_HEAD_BYTES + length;
}

/* Is it an address that a client can have? Below ::/64 only those that stand for IPv4. */
static __always_inline int proxy_may_be(const struct fg_proxy *p)
{
	return p->source[0] || p->source[1] >> 32 == 0xffff;
}
