/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to its transport header: Ethernet, VLAN tags, MPLS labels, PPPoE, IPv4 with options,
 * IPv6 with extension headers, TCP, UDP. Cursor in, values out; no TLS, no tables. Reads only headers, and
 * only between data and data_end: the payload may lie elsewhere (multi-buffer frames), so it is
 * described by offset and length from the IP header, never by what follows in memory.
 *
 * Steps keep what they found in *f and read it back (fg_reload), so that in the kernel, where *f
 * lies in a map, the verifier does not follow each combination of tags and headers on its own.
 */
#pragma once

#include "farmgate/abi.h"
#include "farmgate/cursor.h"

#define FG_ETH_IPV4	0x0800
#define FG_ETH_IPV6	0x86dd
#define FG_ETH_8021Q	0x8100
#define FG_ETH_8021AD	0x88a8
#define FG_ETH_QINQ_OLD 0x9100
#define FG_ETH_MPLS	0x8847
#define FG_ETH_MPLS_UP	0x8848
#define FG_ETH_PPPOE	0x8864

/* Furthest place of an IP header, a mask: behind tags and labels 48, inside tunnels more. */
#define FG_MAX_IP_OFF  0x1ff

#define FG_IPPROTO_TCP 6
#define FG_IPPROTO_UDP 17

#define FG_TCP_FIN     0x01
#define FG_TCP_SYN     0x02
#define FG_TCP_RST     0x04
#define FG_TCP_ACK     0x10
#define FG_TCP_ECE     0x40
#define FG_TCP_CWR     0x80

struct fg_frame {
	__u32 ip_off; /* of the IP header, from the start of the frame */
	__u32 l4_off; /* of the TCP or UDP header */
	__u32 l4_len; /* transport header and payload, by the IP header */
	__u32 payload_off;
	__u32 payload_len; /* by the IP header; padding behind it is no payload */
	__u32 seq, ack;
	__u16 sport, dport; /* host order */
	__u16 window;
	__u16 kind; /* EtherType behind the tags */
	__u8 ipv6;
	__u8 proto;
	__u8 ttl;
	__u8 dont_fragment;
	__u8 tcp_flags;
	__u8 options_len; /* of TCP */
};

/* Parse answers: a transport header was found, or the outcome to count. */
#define FG_FRAME_OK (-1)

static __always_inline int fg_frame_ipv4(const void *data, const void *data_end, __u32 off,
					 __u32 frame_len, struct fg_frame *f)
{
	const __u8 *ip = data + off;
	__u32 header_len, total_len, fragment;

	if ((const void *)(ip + 20) > data_end)
		return FG_FRAME_frame_truncated;
	header_len = (ip[0] & 0x0f) * 4;
	total_len = fg_load_be16(ip + 2);
	/* GSO beyond 64 kB and some offloads leave the length zero: the frame knows better. */
	if (total_len == 0)
		total_len = frame_len - off;
	if (ip[0] >> 4 != 4 || header_len < 20 || total_len < header_len ||
	    total_len > frame_len - off)
		return FG_FRAME_ip_malformed;
	fragment = fg_load_be16(ip + 6);
	if (fragment & 0x1fff)
		return FG_FRAME_fragment;
	f->ipv6 = 0;
	f->ttl = ip[8];
	f->proto = ip[9];
	f->dont_fragment = (fragment & 0x4000) != 0;
	f->ip_off = off;
	f->l4_off = off + header_len;
	f->l4_len = total_len - header_len;
	return FG_FRAME_OK;
}

/* One extension header (RFC 8200 section 4): moves f->l4_off and f->proto to the next. */
static __always_inline int fg_frame_ip6_ext(const void *data, const void *data_end,
					    struct fg_frame *f)
{
	const __u8 *ext = data + (f->l4_off & 0x3fff);
	__u32 len;

	if ((const void *)(ext + 8) > data_end)
		return FG_FRAME_frame_truncated;
	if (f->proto == 44) { /* fragment header: only a first fragment has the ports */
		if (fg_load_be16(ext + 2) & 0xfff8)
			return FG_FRAME_fragment;
		len = 8;
	} else {
		len = f->proto == 51 ? (ext[1] + 2) * 4 : (ext[1] + 1) * 8;
	}
	f->proto = ext[0];
	f->l4_off += len;
	fg_reload();
	return FG_FRAME_OK;
}

static __always_inline int fg_frame_ipv6(const void *data, const void *data_end, __u32 off,
					 __u32 frame_len, struct fg_frame *f)
{
	const __u8 *ip = data + off;
	__u32 end;
	int i, r;

	if ((const void *)(ip + 40) > data_end)
		return FG_FRAME_frame_truncated;
	end = off + 40 + fg_load_be16(ip + 4);
	if (fg_load_be16(ip + 4) == 0) /* jumbo or GSO beyond 64 kB */
		end = frame_len;
	if (ip[0] >> 4 != 6 || end > frame_len)
		return FG_FRAME_ip_malformed;
	f->proto = ip[6];
	f->ttl = ip[7];
	f->l4_off = off + 40;
	f->l4_len = end;
	fg_reload();
	for (i = 0; i <= FG_MAX_IP6_EXTS; i++) {
		/* hop-by-hop, routing, fragment, authentication, destination, mobility */
		__u8 p = f->proto;

		if (p != 0 && p != 43 && p != 44 && p != 51 && p != 60 && p != 135)
			break;
		if (i == FG_MAX_IP6_EXTS)
			return FG_FRAME_ext_too_deep;
		r = fg_frame_ip6_ext(data, data_end, f);
		if (r != FG_FRAME_OK)
			return r;
	}
	if (f->l4_off > f->l4_len)
		return FG_FRAME_ip_malformed;
	f->ipv6 = 1;
	f->dont_fragment = 1;
	f->ip_off = off;
	f->l4_len -= f->l4_off;
	return FG_FRAME_OK;
}

static __always_inline int fg_frame_tcp(const void *data, const void *data_end, struct fg_frame *f)
{
	const __u8 *tcp = data + (f->l4_off & 0x3fff);
	__u32 header_len;

	if ((const void *)(tcp + 20) > data_end)
		return FG_FRAME_frame_truncated;
	header_len = (tcp[12] >> 4) * 4;
	if (header_len < 20 || header_len > f->l4_len)
		return FG_FRAME_tcp_malformed;
	f->sport = fg_load_be16(tcp);
	f->dport = fg_load_be16(tcp + 2);
	f->seq = fg_load_be32(tcp + 4);
	f->ack = fg_load_be32(tcp + 8);
	f->tcp_flags = tcp[13];
	f->window = fg_load_be16(tcp + 14);
	f->options_len = header_len - 20;
	f->payload_off = f->l4_off + header_len;
	f->payload_len = f->l4_len - header_len;
	return FG_FRAME_OK;
}

/* From the IP header on. kind is the EtherType in front of it. */
static __always_inline int fg_frame_parse_ip(const void *data, const void *data_end, __u32 off,
					     __u16 kind, __u32 frame_len, struct fg_frame *f)
{
	const __u8 *udp;
	int r;

	if (kind == FG_ETH_IPV4)
		r = fg_frame_ipv4(data, data_end, off, frame_len, f);
	else if (kind == FG_ETH_IPV6)
		r = fg_frame_ipv6(data, data_end, off, frame_len, f);
	else
		return FG_FRAME_not_ip;
	if (r != FG_FRAME_OK)
		return r;
	fg_reload();
	if (f->proto == FG_IPPROTO_TCP)
		return fg_frame_tcp(data, data_end, f);
	if (f->proto != FG_IPPROTO_UDP)
		return FG_FRAME_other_protocol;
	udp = data + (f->l4_off & 0x3fff);
	if ((const void *)(udp + 8) > data_end)
		return FG_FRAME_frame_truncated;
	f->sport = fg_load_be16(udp);
	f->dport = fg_load_be16(udp + 2);
	return FG_FRAME_OK;
}

/* Labels in front of an IP packet (RFC 3032); what else they may be in front of does not begin with
 * its version. @return the EtherType behind them, 0 = none. */
static __always_inline __u32 fg_frame_mpls(const void *data, const void *data_end, __u32 *off)
{
	const __u8 *label;
	int i;

	for (i = 0; i < FG_MAX_LABELS; i++) {
		label = data + (*off & 0x3f);
		/* one byte more: the packet's first */
		if ((const void *)(label + 5) > data_end)
			return 0;
		*off += 4;
		if (!(label[2] & 1))
			continue;
		return label[4] >> 4 == 4 ? FG_ETH_IPV4 : label[4] >> 4 == 6 ? FG_ETH_IPV6 : 0;
	}
	return 0;
}

/* A session's data (RFC 2516 section 4, RFC 1661 section 2). */
static __always_inline __u32 fg_frame_pppoe(const void *data, const void *data_end, __u32 *off)
{
	const __u8 *session = data + (*off & 0x3f);
	__u32 protocol;

	if ((const void *)(session + 8) > data_end || session[0] != 0x11 || session[1])
		return 0;
	*off += 8;
	protocol = fg_load_be16(session + 6);
	return protocol == 0x0021 ? FG_ETH_IPV4 : protocol == 0x0057 ? FG_ETH_IPV6 : 0;
}

/**
 * Parses an Ethernet frame up to its transport header.
 *
 * frame_len is the length on the wire in bytes, which may exceed data_end - data.
 * @return FG_FRAME_OK with *f filled (for UDP only addresses' place, protocol and ports), or the
 * outcome under which the frame counts.
 */
static __always_inline int fg_frame_parse(const void *data, const void *data_end, __u32 frame_len,
					  struct fg_frame *f)
{
	const __u8 *eth = data;
	__u32 off = 14;
	__u16 kind;
	int i;

	if ((const void *)(eth + 14) > data_end)
		return FG_FRAME_frame_truncated;
	kind = fg_load_be16(eth + 12);
	for (i = 0; i <= FG_MAX_VLANS; i++) {
		if (kind != FG_ETH_8021Q && kind != FG_ETH_8021AD && kind != FG_ETH_QINQ_OLD)
			break;
		if (i == FG_MAX_VLANS)
			return FG_FRAME_vlan_too_deep;
		if ((const void *)(eth + off + 4) > data_end)
			return FG_FRAME_frame_truncated;
		kind = fg_load_be16(eth + off + 2);
		off += 4;
	}
	if (kind == FG_ETH_MPLS || kind == FG_ETH_MPLS_UP)
		kind = fg_frame_mpls(data, data_end, &off);
	else if (kind == FG_ETH_PPPOE)
		kind = fg_frame_pppoe(data, data_end, &off);
	f->ip_off = off;
	f->kind = kind;
	fg_reload();
	return fg_frame_parse_ip(data, data_end, f->ip_off & 0x3f, f->kind, frame_len, f);
}

/* Both addresses in the 16-byte form; false where the headers are not in memory (cannot happen
 * behind a successful parse of the same frame). */
static __always_inline int fg_frame_addresses(const void *data, const void *data_end,
					      const struct fg_frame *f, __u64 src[2], __u64 dst[2])
{
	const __u8 *ip = data + (f->ip_off & FG_MAX_IP_OFF);

	if (f->ipv6) {
		if ((const void *)(ip + 40) > data_end)
			return 0;
		src[0] = fg_load_u64(ip + 8);
		src[1] = fg_load_u64(ip + 16);
		dst[0] = fg_load_u64(ip + 24);
		dst[1] = fg_load_u64(ip + 32);
		return 1;
	}
	if ((const void *)(ip + 20) > data_end)
		return 0;
	/* v4-mapped: 80 zero bits, 16 one bits, the address; as a load of the bytes in memory. */
	src[0] = 0;
	dst[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	src[1] = (__u64)fg_load_u32(ip + 12) << 32 | 0xffff0000ULL;
	dst[1] = (__u64)fg_load_u32(ip + 16) << 32 | 0xffff0000ULL;
#else
	src[1] = 0x0000ffff00000000ULL | fg_load_u32(ip + 12);
	dst[1] = 0x0000ffff00000000ULL | fg_load_u32(ip + 16);
#endif
	return 1;
}
