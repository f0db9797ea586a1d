/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A RST to a blocked client, made of the frame that is dropped: headers are read into the scratch,
 * turned round there, and written back over a frame that was cut behind them. VLAN tags stay. What
 * goes out is 40 bytes of IPv4 or 60 of IPv6 for a SYN or hello of at least as many, and so many a
 * second: a forged SYN makes no amplifier of us.
 *
 *	SYN	seq 0, ack = its seq + 1
 *	hello	seq = its ack, ack = its seq + payload	(RFC 9293 section 3.10.7.1)
 *
 * The server is told nothing: its half-made connection waits for a hello until its own time-out.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "farmgate/pipeline.h"

#define RESET_TTL	64
#define RESET_TCP_BYTES sizeof(struct tcphdr)
/* Behind tags, IPv6 and TCP: at most so many bytes are written. */
#define RESET_ROOM 96
_Static_assert(ETH_HLEN + 4 * FG_MAX_VLANS + sizeof(struct ipv6hdr) + RESET_TCP_BYTES <= RESET_ROOM,
	       "a RST fits");

/* One more in this second of this CPU? */
static __always_inline int reset_allowed(struct fg_env *env)
{
	struct fg_scratch *s = env->scratch;

	if (env->ticks - s->reset_start >= FG_CFG(env)->second_ticks) {
		s->reset_start = env->ticks;
		s->resets = 0;
	}
	if (s->resets >= FG_RESETS)
		return 0;
	s->resets++;
	return 1;
}

/* Sum of n bytes as words in memory order, which the checksum does not depend on (RFC 1071). */
static __always_inline __u32 reset_sum(const void *bytes, __u32 n)
{
	__u32 sum = 0, i;
	__u16 word;

#pragma GCC unroll 20
	for (i = 0; i < n; i += sizeof(word)) {
		__builtin_memcpy(&word, (const __u8 *)bytes + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static __always_inline __u16 reset_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The TCP header, in place; addresses is the sum over both. A frame of another guest of this host may
 * come with a checksum that the sender's driver was to finish: it will be finished on the way out. */
static __always_inline void reset_tcp(const struct fg_frame *f, struct tcphdr *tcp, __u32 addresses,
				      int unfinished)
{
	__u32 syn = f->tcp_flags & FG_TCP_SYN, sum;

	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = bpf_htons(f->dport);
	tcp->dest = bpf_htons(f->sport);
	tcp->seq = f->tcp_flags & FG_TCP_ACK ? bpf_htonl(f->ack) : 0;
	tcp->ack_seq = bpf_htonl(f->seq + (syn ? 1 : f->payload_len));
	tcp->doff = sizeof(*tcp) / 4;
	tcp->rst = 1;
	tcp->ack = 1;
	sum = addresses + bpf_htons(FG_IPPROTO_TCP) + bpf_htons(sizeof(*tcp));
	if (unfinished)
		tcp->check = reset_fold(sum);
	else
		tcp->check = ~reset_fold(sum + reset_sum(tcp, sizeof(*tcp)));
}

static __always_inline void reset_ipv4(const struct fg_frame *f, struct iphdr *ip, int unfinished)
{
	__be32 client = ip->saddr, server = ip->daddr;

	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = bpf_htons(sizeof(*ip) + RESET_TCP_BYTES);
	ip->frag_off = bpf_htons(0x4000); /* don't fragment: then the identification may be 0 */
	ip->ttl = RESET_TTL;
	ip->protocol = FG_IPPROTO_TCP;
	ip->saddr = server;
	ip->daddr = client;
	ip->check = ~reset_fold(reset_sum(ip, sizeof(*ip)));
	reset_tcp(f, (struct tcphdr *)(ip + 1), reset_sum(&ip->saddr, 8), unfinished);
}

static __always_inline void reset_ipv6(const struct fg_frame *f, struct ipv6hdr *ip, int unfinished)
{
	struct in6_addr client = ip->saddr, server = ip->daddr;

	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = bpf_htons(RESET_TCP_BYTES);
	ip->nexthdr = FG_IPPROTO_TCP;
	ip->hop_limit = RESET_TTL;
	ip->saddr = server;
	ip->daddr = client;
	reset_tcp(f, (struct tcphdr *)(ip + 1), reset_sum(&ip->saddr, 32), unfinished);
}

/* Does the frame's checksum wait for a driver (CHECKSUM_PARTIAL), as on its way between guests of one
 * host? The kernel answers by whether it corrects one for a changed word; the frame is dropped or
 * written anew in either case. Only of a tc frame: XDP has no such thing to ask. */
static __always_inline int reset_unfinished(struct fg_env *env, __u32 at)
{
	__u16 before, after;

	if (!env->tc)
		return 0;
	if (bpf_skb_load_bytes(env->ctx, at, &before, sizeof(before)) ||
	    bpf_l4_csum_replace(env->ctx, at, 0, bpf_htons(1), sizeof(__u16)) ||
	    bpf_skb_load_bytes(env->ctx, at, &after, sizeof(after)))
		return 0;
	return before == after;
}

static __always_inline __u32 reset_frame_len(struct fg_env *env)
{
	return env->tc ? ((struct __sk_buff *)env->ctx)->len : bpf_xdp_get_buff_len(env->ctx);
}

/* Cuts the frame to len bytes, of was, and writes them. */
static __always_inline int reset_write(struct fg_env *env, void *bytes, __u32 len, __u32 was)
{
	if (env->tc)
		return !bpf_skb_change_tail(env->ctx, len, 0) &&
		       !bpf_skb_store_bytes(env->ctx, 0, bytes, len,
					    BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH);
	return !bpf_xdp_adjust_tail(env->ctx, (int)len - (int)was) &&
	       !bpf_xdp_store_bytes(env->ctx, 0, bytes, len);
}

/* The frame becomes its RST. False where it has IPv4 options or IPv6 extension headers, or was sent to
 * a group of stations; then, and where the kernel refuses, it may have been damaged. */
static __always_inline int reset_rewrite(struct fg_env *env)
{
	const struct fg_frame *f = &env->scratch->frame;
	__u32 ip = f->ip_off & 31, ip_len = f->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u32 len = ip + ip_len + RESET_TCP_BYTES, was = reset_frame_len(env);
	__u8 *bytes = env->scratch->segment, mac[ETH_ALEN];
	int unfinished;

	if (f->l4_off != ip + ip_len || len > RESET_ROOM || was < len)
		return 0;
	__builtin_memset(bytes, 0, RESET_ROOM);
	if (fg_load(env, 0, bytes, len) || bytes[0] & 1)
		return 0;
	unfinished = reset_unfinished(env, len - RESET_TCP_BYTES +
						   __builtin_offsetof(struct tcphdr, check));
	__builtin_memcpy(mac, bytes, ETH_ALEN);
	__builtin_memcpy(bytes, bytes + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(bytes + ETH_ALEN, mac, ETH_ALEN);
	if (f->ipv6)
		reset_ipv6(f, (struct ipv6hdr *)(bytes + ip), unfinished);
	else
		reset_ipv4(f, (struct iphdr *)(bytes + ip), unfinished);
	/* what was no runt does not become one: not every card pads what XDP sends */
	if (len < ETH_ZLEN && was >= ETH_ZLEN)
		len = ETH_ZLEN;
	return reset_write(env, bytes, len, was);
}

/* Turns the frame in hand into a RST to who sent it, and counts what became of that. False: there is
 * none, the frame is to be dropped. */
static __always_inline int reset_answer(struct fg_env *env)
{
	if (!reset_allowed(env)) {
		fg_event(env, reset_limited);
		return 0;
	}
	if (!reset_rewrite(env)) {
		fg_event(env, reset_failed);
		return 0;
	}
	fg_event(env, reset_sent);
	return 1;
}
