/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Builds frames for tests, header by header, front to back:
 *
 *	struct fg_pkt *p = fg_pkt_new();
 *
 *	fg_pkt_eth(p);
 *	fg_pkt_vlan(p, 0x88a8, 100);
 *	fg_pkt_ip(p, &client, &server, NULL);
 *	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .flags = FG_PKT_SYN, .seq = isn });
 *	fg_pkt_payload(p, bytes, n);
 *	fg_pkt_end(p);		lengths and checksums
 *
 * Owns: bytes of one frame. Must not: use any code of the product, which it is there to test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the largest IP packet behind a link header and tags. */
#define FG_PKT_MAX 65600

enum {
	FG_PKT_FIN = 0x01,
	FG_PKT_SYN = 0x02,
	FG_PKT_RST = 0x04,
	FG_PKT_PSH = 0x08,
	FG_PKT_ACK = 0x10,
	FG_PKT_ECE = 0x40,
	FG_PKT_CWR = 0x80
};

/* One end of a connection. IPv4 is v4-mapped, the port in host order. */
struct fg_end {
	uint8_t addr[16];
	uint16_t port;
};

/* One IPv6 extension header of len bytes, next header filled in. len is a multiple of eight. */
struct fg_pkt_ext {
	uint8_t type;
	uint16_t len;
	uint16_t fragment_offset; /* fragment header only, in bytes */
	bool more_fragments;
};

/* What an IP header may say beyond its addresses; zero means the usual value. */
struct fg_pkt_ip {
	uint8_t ttl; /* 0 = 64 */
	uint8_t protocol; /* 0 = by what follows */
	bool may_fragment; /* IPv4: DF off */
	bool more_fragments;
	uint16_t fragment_offset; /* IPv4, in bytes */
	uint16_t options_len; /* IPv4: bytes of NOP options, a multiple of four up to 40 */
	bool no_length; /* length field 0, as behind segmentation offload */
	const struct fg_pkt_ext *exts;
	size_t n_exts;
};

/* Ports 0 = those of the ends given to fg_pkt_ip(). */
struct fg_pkt_tcp {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *options;
	size_t options_len; /* padded with end-of-list to a multiple of four */
};

struct fg_pkt {
	uint8_t buf[FG_PKT_MAX];
	size_t len;
	/* where things are, for tests that damage them; 0 = not there */
	size_t ip_off, l4_off, payload_off;
	size_t next_off; /* of the field that names the next header */
	bool ipv6, no_length;
	uint8_t l4_proto; /* 0 = nothing to sum */
	uint16_t sport, dport;
};

/** An empty frame, NULL without memory. */
struct fg_pkt *fg_pkt_new(void);
void fg_pkt_free(struct fg_pkt *p);
void fg_pkt_freep(struct fg_pkt **p);

/** Makes the frame empty again. */
void fg_pkt_reset(struct fg_pkt *p);
/** Ethernet header; the EtherType follows from what comes next. */
void fg_pkt_eth(struct fg_pkt *p);
/** Ethernet header in front of something that is not IP. */
void fg_pkt_eth_kind(struct fg_pkt *p, uint16_t kind);
void fg_pkt_vlan(struct fg_pkt *p, uint16_t tpid, uint16_t id);
/** IPv4 or IPv6 by the addresses. more may be NULL. */
void fg_pkt_ip(struct fg_pkt *p, const struct fg_end *from, const struct fg_end *to,
	       const struct fg_pkt_ip *more);
void fg_pkt_tcp(struct fg_pkt *p, const struct fg_pkt_tcp *tcp);
void fg_pkt_udp(struct fg_pkt *p, uint16_t sport, uint16_t dport);
/** Bytes behind all headers. */
void fg_pkt_payload(struct fg_pkt *p, const void *bytes, size_t n);
/** Fills in lengths and checksums. Link-layer padding to 60 bytes is left to the caller. */
void fg_pkt_end(struct fg_pkt *p);

/** "192.0.2.1" or "2001:db8::1". Aborts on anything else: a test that lies about its input. */
struct fg_end fg_end_of(const char *addr, uint16_t port);
bool fg_end_is4(const struct fg_end *e);

/* --- Repeatable random numbers (splitmix64, Steele and others 2014) -------------------------- */

struct fg_prng {
	uint64_t state;
};

uint64_t fg_prng_next(struct fg_prng *r);
/** 0 .. below - 1. */
uint32_t fg_prng_below(struct fg_prng *r, uint32_t below);
void fg_prng_fill(struct fg_prng *r, void *bytes, size_t n);
