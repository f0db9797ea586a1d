/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a frame carries inside another: IP in IP (RFC 2003, 2473, 4213), GRE (RFC 2784, 2890), VXLAN (RFC
 * 7348), GENEVE (RFC 8926), GTP-U (3GPP TS 29.281). Who may send such a frame may choose the addresses
 * inside, so it is opened only where its sender is one of the configured peers; without any nothing
 * is. Only the first fragment of what is inside has ports, as outside.
 */
#pragma once

#include "farmgate/direction.h"
#include "farmgate/frame.h"
#include "farmgate/platform.h"

#define FG_IPPROTO_IPIP	    4
#define FG_IPPROTO_IPV6	    41
#define FG_IPPROTO_GRE	    47

#define FG_PORT_VXLAN	    4789
#define FG_PORT_VXLAN_LINUX 8472 /* Linux's default from before the number was assigned */
#define FG_PORT_GENEVE	    6081
#define FG_PORT_GTPU	    2152

/* Ethernet inside (Transparent Ethernet Bridging). */
#define FG_ETH_BRIDGED 0x6558
/* Inside GTP-U: the version is in the packet. */
#define FG_ETH_EITHER 1

/* Tunnels inside tunnels that are opened. */
#define FG_MAX_TUNNELS 2
/* Extension headers of GTP-U that are walked: real traffic has one (the PDU session container). */
#define FG_MAX_GTPU_EXTS 3

/* Checksum, key and sequence number each take four bytes; routing (RFC 1701) is long gone, version 1
 * is PPTP's. @return the EtherType inside, 0 = none. */
static __always_inline __u32 tunnel_gre(struct fg_env *env, __u32 *off)
{
	__u8 b[8] = {};

	if (!fg_peek(env, *off, b, 4) || b[0] & 0x40 || b[1] & 7)
		return 0;
	*off += 4 + (b[0] >> 7) * 4 + (b[0] >> 5 & 1) * 4 + (b[0] >> 4 & 1) * 4;
	return fg_load_be16(b + 2);
}

static __always_inline __u32 tunnel_vxlan(struct fg_env *env, __u32 *off)
{
	__u8 b[8] = {};

	if (!fg_peek(env, *off, b, 1) || !(b[0] & 0x08))
		return 0;
	*off += 8;
	return FG_ETH_BRIDGED;
}

static __always_inline __u32 tunnel_geneve(struct fg_env *env, __u32 *off)
{
	__u8 b[8] = {};

	if (!fg_peek(env, *off, b, 4) || b[0] >> 6)
		return 0;
	*off += 8 + (b[0] & 0x3f) * 4;
	return fg_load_be16(b + 2);
}

/* A G-PDU; with any of its three flags four bytes more, of which the last names an extension. */
static __always_inline __u32 tunnel_gtpu(struct fg_env *env, __u32 *off)
{
	__u8 b[8] = {}, next[8] = {}, len[8] = {};
	__u32 i;

	if (!fg_peek(env, *off, b, 2) || b[0] >> 4 != 3 || b[1] != 0xff)
		return 0;
	*off += 8;
	if (!(b[0] & 7))
		return FG_ETH_EITHER;
	*off += 4;
	if (!(b[0] & 4))
		return FG_ETH_EITHER;
	for (i = 0; i < FG_MAX_GTPU_EXTS; i++) {
		if (!fg_peek(env, *off - 1, next, 1))
			return 0;
		if (!next[0])
			return FG_ETH_EITHER;
		if (!fg_peek(env, *off, len, 1) || !len[0])
			return 0;
		*off += len[0] * 4;
	}
	return 0;
}

static __always_inline __u32 tunnel_udp(struct fg_env *env, const struct fg_frame *f, __u32 *off)
{
	*off += 8;
	switch (f->dport) {
	case FG_PORT_VXLAN:
	case FG_PORT_VXLAN_LINUX:
		return tunnel_vxlan(env, off);
	case FG_PORT_GENEVE:
		return tunnel_geneve(env, off);
	case FG_PORT_GTPU:
		return tunnel_gtpu(env, off);
	default:
		return 0;
	}
}

/* The Ethernet header inside, with its tags. @return the EtherType behind them. */
static __always_inline __u32 tunnel_bridged(struct fg_env *env, __u32 *off)
{
	__u32 kind, i;
	__u8 b[8] = {};

	if (!fg_peek(env, *off + 12, b, 2))
		return 0;
	kind = fg_load_be16(b);
	*off += 14;
	for (i = 0; i < 2; i++) {
		if (kind != FG_ETH_8021Q && kind != FG_ETH_8021AD)
			break;
		if (!fg_peek(env, *off + 2, b, 2))
			return 0;
		kind = fg_load_be16(b);
		*off += 4;
	}
	return kind;
}

/* Where the packet inside begins, and what it is: 0 where there is none. */
static __always_inline __u32 tunnel_inside(struct fg_env *env, const struct fg_frame *f, __u32 *off)
{
	__u32 kind = 0;
	__u8 b[8] = {};

	*off = f->l4_off;
	if (f->proto == FG_IPPROTO_IPIP)
		return FG_ETH_IPV4;
	if (f->proto == FG_IPPROTO_IPV6)
		return FG_ETH_IPV6;
	if (f->proto == FG_IPPROTO_GRE)
		kind = tunnel_gre(env, off);
	else if (f->proto == FG_IPPROTO_UDP)
		kind = tunnel_udp(env, f, off);
	if (kind == FG_ETH_BRIDGED)
		kind = tunnel_bridged(env, off);
	if (kind != FG_ETH_EITHER)
		return kind;
	if (!fg_peek(env, *off, b, 1))
		return 0;
	return b[0] >> 4 == 6 ? FG_ETH_IPV6 : b[0] >> 4 == 4 ? FG_ETH_IPV4 : 0;
}

/* Is the peer of this frame, its sender or on egress its receiver, one that may tunnel? */
static __always_inline int tunnel_is_trusted(struct fg_env *env, const struct fg_frame *f)
{
	struct fg_key *k = &env->scratch->key;
	const void *data, *data_end;

	fg_headers(env, &data, &data_end);
	if (!fg_frame_addresses(data, data_end, f, k->client, k->server))
		return 0;
	fg_reload();
	return fg_prefix_has(FG_CFG(env)->peers, FG_CFG(env)->n_peers,
			     env->hook == FG_HOOK_EGRESS ? k->server : k->client);
}

/**
 * Opens what a trusted peer tunnels, up to the transport header inside: *f becomes the frame inside.
 * outcome is that of the frame outside. @return the outcome of what is inside; unchanged where nothing
 * is opened.
 */
static __always_inline int fg_unwrap(struct fg_env *env, __u32 frame_len, struct fg_frame *f,
				     int outcome)
{
	const void *data, *data_end;
	__u32 off, kind, i;

	for (i = 0; i < FG_MAX_TUNNELS; i++) {
		if (outcome != FG_FRAME_OK && outcome != FG_FRAME_other_protocol)
			break;
		if (f->proto == FG_IPPROTO_TCP || !tunnel_is_trusted(env, f))
			break;
		kind = tunnel_inside(env, f, &off);
		if ((kind != FG_ETH_IPV4 && kind != FG_ETH_IPV6) || off > FG_MAX_IP_OFF)
			break;
		f->ip_off = off;
		f->kind = (__u16)kind;
		fg_event(env, tunnelled);
		fg_reload();
		fg_headers(env, &data, &data_end);
		outcome = fg_frame_parse_ip(data, data_end, f->ip_off & FG_MAX_IP_OFF, f->kind,
					    frame_len, f);
		fg_reload();
	}
	return outcome;
}
