/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "packet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

/* n zero bytes at the end. A frame that outgrows the buffer is a mistake in the test itself. */
static uint8_t *grow(struct fg_pkt *p, size_t n)
{
	uint8_t *at = p->buf + p->len;

	if (n > sizeof(p->buf) - p->len) {
		fprintf(stderr, "packet: frame larger than %d bytes: build less\n", FG_PKT_MAX);
		abort();
	}
	memset(at, 0, n);
	p->len += n;
	return at;
}

/* One's complement sum (RFC 1071), in host order. */
static uint32_t sum16(const uint8_t *bytes, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

struct fg_pkt *fg_pkt_new(void)
{
	return calloc(1, sizeof(struct fg_pkt));
}

void fg_pkt_free(struct fg_pkt *p)
{
	free(p);
}

void fg_pkt_freep(struct fg_pkt **p)
{
	fg_pkt_free(*p);
	*p = NULL;
}

void fg_pkt_reset(struct fg_pkt *p)
{
	p->len = p->ip_off = p->l4_off = p->payload_off = p->next_off = 0;
	p->ipv6 = p->no_length = false;
	p->l4_proto = 0;
}

void fg_pkt_eth_kind(struct fg_pkt *p, uint16_t kind)
{
	/* locally administered addresses (RFC 7042 section 2.1) */
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
	uint8_t *at = grow(p, 14);

	memcpy(at, macs, sizeof(macs));
	put16(at + 12, kind);
	p->next_off = p->len - 2;
}

void fg_pkt_eth(struct fg_pkt *p)
{
	fg_pkt_eth_kind(p, 0);
}

void fg_pkt_vlan(struct fg_pkt *p, uint16_t tpid, uint16_t id)
{
	uint8_t *at = grow(p, 4);

	put16(p->buf + p->next_off, tpid);
	put16(at, id);
	p->next_off = p->len - 2;
}

static void ip4(struct fg_pkt *p, const struct fg_end *from, const struct fg_end *to,
		const struct fg_pkt_ip *more)
{
	uint8_t *ip = grow(p, 20u + more->options_len);

	ip[0] = (uint8_t)(0x45 + more->options_len / 4);
	put16(ip + 6, (more->may_fragment ? 0 : 0x4000) | (more->more_fragments ? 0x2000 : 0) |
			      more->fragment_offset / 8);
	ip[8] = more->ttl ? more->ttl : 64;
	ip[9] = more->protocol;
	memcpy(ip + 12, from->addr + 12, 4);
	memcpy(ip + 16, to->addr + 12, 4);
	memset(ip + 20, 1, more->options_len);
	p->next_off = p->ip_off + 9;
}

/* Extension header of the given type: all pad but for what a reader looks at. */
static void ip6_ext(struct fg_pkt *p, const struct fg_pkt_ext *ext)
{
	uint8_t *at = grow(p, ext->len);

	p->buf[p->next_off] = ext->type;
	p->next_off = (size_t)(at - p->buf);
	if (ext->type == 44)
		put16(at + 2, (ext->fragment_offset & 0xfff8u) | ext->more_fragments);
	else if (ext->type == 51)
		at[1] = (uint8_t)(ext->len / 4 - 2);
	else
		at[1] = (uint8_t)(ext->len / 8 - 1);
}

static void ip6(struct fg_pkt *p, const struct fg_end *from, const struct fg_end *to,
		const struct fg_pkt_ip *more)
{
	uint8_t *ip = grow(p, 40);

	ip[0] = 0x60;
	ip[7] = more->ttl ? more->ttl : 64;
	memcpy(ip + 8, from->addr, 16);
	memcpy(ip + 24, to->addr, 16);
	p->next_off = p->ip_off + 6;
	for (size_t i = 0; i < more->n_exts; i++)
		ip6_ext(p, &more->exts[i]);
	p->buf[p->next_off] = more->protocol;
}

void fg_pkt_ip(struct fg_pkt *p, const struct fg_end *from, const struct fg_end *to,
	       const struct fg_pkt_ip *more)
{
	static const struct fg_pkt_ip usual;

	if (!more)
		more = &usual;
	p->ip_off = p->len;
	p->ipv6 = !fg_end_is4(from);
	p->no_length = more->no_length;
	p->sport = from->port;
	p->dport = to->port;
	if (p->ip_off)
		put16(p->buf + p->next_off, p->ipv6 ? 0x86dd : 0x0800);
	if (p->ipv6)
		ip6(p, from, to, more);
	else
		ip4(p, from, to, more);
	p->l4_off = p->payload_off = p->len;
}

/* Names the transport, unless the test asked for another name. */
static void name_transport(struct fg_pkt *p, uint8_t proto)
{
	p->l4_proto = proto;
	if (!p->buf[p->next_off])
		p->buf[p->next_off] = proto;
}

void fg_pkt_tcp(struct fg_pkt *p, const struct fg_pkt_tcp *tcp)
{
	size_t options_len = (tcp->options_len + 3) & ~(size_t)3;
	uint8_t *at = grow(p, 20 + options_len);

	put16(at, tcp->sport ? tcp->sport : p->sport);
	put16(at + 2, tcp->dport ? tcp->dport : p->dport);
	put32(at + 4, tcp->seq);
	put32(at + 8, tcp->ack);
	at[12] = (uint8_t)((20 + options_len) / 4 << 4);
	at[13] = tcp->flags;
	put16(at + 14, tcp->window ? tcp->window : 64240);
	if (tcp->options_len)
		memcpy(at + 20, tcp->options, tcp->options_len);
	name_transport(p, 6);
	p->payload_off = p->len;
}

void fg_pkt_udp(struct fg_pkt *p, uint16_t sport, uint16_t dport)
{
	uint8_t *at = grow(p, 8);

	put16(at, sport ? sport : p->sport);
	put16(at + 2, dport ? dport : p->dport);
	name_transport(p, 17);
	p->payload_off = p->len;
}

void fg_pkt_payload(struct fg_pkt *p, const void *bytes, size_t n)
{
	uint8_t *at = grow(p, n);

	if (n)
		memcpy(at, bytes, n);
}

/* Sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1). */
static uint32_t pseudo_sum(const struct fg_pkt *p, size_t l4_len)
{
	const uint8_t *ip = p->buf + p->ip_off;
	uint32_t sum;

	sum = p->ipv6 ? sum16(ip + 8, 32, 0) : sum16(ip + 12, 8, 0);
	return sum + p->l4_proto + (uint32_t)(l4_len >> 16) + (uint32_t)(l4_len & 0xffff);
}

void fg_pkt_end(struct fg_pkt *p)
{
	uint8_t *ip = p->buf + p->ip_off, *l4 = p->buf + p->l4_off, *at;
	size_t l4_len = p->len - p->l4_off;

	if (!p->l4_off)
		return;
	if (p->l4_proto == 17)
		put16(l4 + 4, (uint32_t)l4_len);
	if (p->l4_proto) {
		at = l4 + (p->l4_proto == 6 ? 16 : 6);
		put16(at, 0);
		put16(at, ~sum16(l4, l4_len, pseudo_sum(p, l4_len)) & 0xffff);
	}
	if (p->ipv6) {
		put16(ip + 4, p->no_length ? 0 : (uint32_t)(p->len - p->ip_off - 40));
		return;
	}
	put16(ip + 2, p->no_length ? 0 : (uint32_t)(p->len - p->ip_off));
	put16(ip + 10, 0);
	put16(ip + 10, ~sum16(ip, (ip[0] & 15u) * 4, 0) & 0xffff);
}

struct fg_end fg_end_of(const char *addr, uint16_t port)
{
	struct fg_end e = { .port = port };

	memcpy(e.addr, v4_mapped, sizeof(v4_mapped));
	if (inet_pton(AF_INET, addr, e.addr + 12) != 1 && inet_pton(AF_INET6, addr, e.addr) != 1) {
		fprintf(stderr, "packet: '%s' is no address: write 192.0.2.1 or 2001:db8::1\n",
			addr);
		abort();
	}
	return e;
}

bool fg_end_is4(const struct fg_end *e)
{
	return !memcmp(e->addr, v4_mapped, sizeof(v4_mapped));
}

uint64_t fg_prng_next(struct fg_prng *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint32_t fg_prng_below(struct fg_prng *r, uint32_t below)
{
	return (uint32_t)((fg_prng_next(r) >> 32) * below >> 32);
}

void fg_prng_fill(struct fg_prng *r, void *bytes, size_t n)
{
	uint8_t *at = bytes;

	while (n--)
		*at++ = (uint8_t)(fg_prng_next(r) >> 56);
}
