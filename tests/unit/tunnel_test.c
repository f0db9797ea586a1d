/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * farmgate/tunnel.h through an engine: a SYN inside each kind of tunnel counts where the peer is named,
 * and nowhere else; cut or bent anywhere, it is never more than what is outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"
#include "source/engine.h"

#ifndef ENGINE
#define ENGINE	   fg_engine_host
#define FORCE_LOOP false
#endif

#define START_NS 1777593600000000000ULL
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void *engine;
static struct fg_totals totals;
static uint64_t frames;

static void ignore_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	(void)sample;
}

/* peer: an IPv4 address that may tunnel; NULL = nobody may. */
static void open_engine(const char *peer)
{
	struct fg_engine_conf conf = { .table_bytes = 4 << 20,
				       .force_loop = FORCE_LOOP,
				       .on_sample = ignore_sample };
	char why[256];

	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	if (peer) {
		memcpy(conf.config.peers[0].addr, fg_end_of(peer, 0).addr, 16);
		conf.config.peers[0].bits = 128;
		conf.config.n_peers = 1;
	}
	frames = 0;
	if (ENGINE.open(&conf, &engine, why, sizeof(why)))
		fail_msg("%s", why);
}

static void close_engine(void)
{
	ENGINE.close(engine);
	engine = NULL;
}

static void feed_cut(const uint8_t *frame, size_t len, size_t wire_len)
{
	struct fg_capture_frame f = { .time_ns = START_NS + frames * 1000000,
				      .data = frame,
				      .len = (uint32_t)len,
				      .frame_len = (uint32_t)wire_len,
				      .wire_len = (uint32_t)wire_len };
	uint64_t sum = 0;

	frames++;
	assert_int_equal(ENGINE.frame(engine, &f), 0);
	assert_int_equal(ENGINE.totals(engine, &totals), 0);
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += totals.frames[i];
	assert_int_equal(sum, frames);
}

static void feed(const struct fg_pkt *p)
{
	feed_cut(p->buf, p->len, p->len);
}

/* --- Frames ----------------------------------------------------------------------------------- */

/* A client's SYN as it lies inside: an IP packet, or with ethernet a frame. @return its bytes. */
static size_t inside(bool ipv6, bool ethernet, uint8_t *to)
{
	struct fg_end client = fg_end_of(ipv6 ? "2001:db8:1::1" : "192.0.2.77", 40000),
		      server = fg_end_of(ipv6 ? "2001:db8:ff::1" : "198.51.100.1", 443);
	struct fg_pkt *p = fg_pkt_new();
	size_t skip = ethernet ? 0 : 14, n;

	fg_pkt_eth(p);
	fg_pkt_ip(p, &client, &server, NULL);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .flags = FG_PKT_SYN, .seq = 1000 });
	fg_pkt_end(p);
	n = p->len - skip;
	memcpy(to, p->buf + skip, n);
	fg_pkt_free(p);
	return n;
}

enum outside {
	IP_PROTOCOL, /* behind an IP header with this protocol */
	UDP_PORT, /* behind UDP to this port */
	ETHERTYPE, /* behind an Ethernet header with this type */
};

struct kind {
	const char *name;
	enum outside outside;
	uint16_t number;
	uint8_t header[24];
	size_t n_header;
	bool ipv6, ethernet;
};

static const struct kind tunnels[] = {
	{ "IP in IP", IP_PROTOCOL, 4, { 0 }, 0, false, false },
	{ "IPv6 in IPv4", IP_PROTOCOL, 41, { 0 }, 0, true, false },
	{ "GRE", IP_PROTOCOL, 47, { 0, 0, 0x08, 0x00 }, 4, false, false },
	{ "GRE, IPv6 inside", IP_PROTOCOL, 47, { 0, 0, 0x86, 0xdd }, 4, true, false },
	{ "GRE with key", IP_PROTOCOL, 47, { 0x20, 0, 0x08, 0x00, 0, 0, 0, 7 }, 8, false, false },
	{ "GRE with checksum, key, sequence",
	  IP_PROTOCOL,
	  47,
	  { 0xb0, 0, 0x08, 0x00, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9 },
	  16,
	  false,
	  false },
	{ "GRE with Ethernet", IP_PROTOCOL, 47, { 0, 0, 0x65, 0x58 }, 4, false, true },
	{ "VXLAN", UDP_PORT, 4789, { 0x08, 0, 0, 0, 0, 0, 5, 0 }, 8, false, true },
	{ "VXLAN on Linux's port", UDP_PORT, 8472, { 0x08, 0, 0, 0, 0, 0, 5, 0 }, 8, true, true },
	{ "GENEVE", UDP_PORT, 6081, { 0, 0, 0x65, 0x58, 0, 0, 6, 0 }, 8, false, true },
	{ "GENEVE with options, IP inside",
	  UDP_PORT,
	  6081,
	  { 2, 0, 0x08, 0x00, 0, 0, 6, 0, 0, 1, 2, 1, 9, 9, 9, 9 },
	  16,
	  false,
	  false },
	{ "GTP-U", UDP_PORT, 2152, { 0x30, 0xff, 0, 40, 0, 0, 0, 1 }, 8, false, false },
	{ "GTP-U with sequence", UDP_PORT, 2152, { 0x32, 0xff, 0, 44, 0, 0, 0, 1 }, 12, true, false },
	{ "GTP-U with an extension",
	  UDP_PORT,
	  2152,
	  { 0x34, 0xff, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0 },
	  16,
	  false,
	  false },
};

static const struct kind links[] = {
	{ "MPLS", ETHERTYPE, 0x8847, { 0, 0, 0x10, 64, 0, 0, 0x21, 64 }, 8, false, false },
	{ "MPLS, IPv6", ETHERTYPE, 0x8847, { 0, 0, 0x21, 64 }, 4, true, false },
	{ "PPPoE", ETHERTYPE, 0x8864, { 0x11, 0, 0, 1, 0, 42, 0, 0x21 }, 8, false, false },
	{ "PPPoE, IPv6", ETHERTYPE, 0x8864, { 0x11, 0, 0, 1, 0, 62, 0, 0x57 }, 8, true, false },
};

static struct fg_pkt *wrap(const struct kind *k, const uint8_t *body, size_t n)
{
	struct fg_end from = fg_end_of("10.0.0.1", 5000),
		      to = fg_end_of("10.0.0.2", k->outside == UDP_PORT ? k->number : 0);
	struct fg_pkt_ip ip = { .protocol = (uint8_t)(k->outside == IP_PROTOCOL ? k->number : 0) };
	struct fg_pkt *p = fg_pkt_new();

	if (k->outside == ETHERTYPE) {
		fg_pkt_eth_kind(p, k->number);
	} else {
		fg_pkt_eth(p);
		fg_pkt_ip(p, &from, &to, &ip);
		if (k->outside == UDP_PORT)
			fg_pkt_udp(p, 0, 0);
	}
	fg_pkt_payload(p, k->header, k->n_header);
	fg_pkt_payload(p, body, n);
	if (k->outside != ETHERTYPE)
		fg_pkt_end(p);
	return p;
}

static struct fg_pkt *syn_in(const struct kind *k)
{
	uint8_t body[256];

	return wrap(k, body, inside(k->ipv6, k->ethernet, body));
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void test_tunnel_of_a_peer_is_opened(void **state)
{
	(void)state;
	open_engine("10.0.0.1");
	for (size_t i = 0; i < COUNT(tunnels); i++) {
		struct fg_pkt *p = syn_in(&tunnels[i]);

		feed(p);
		if (totals.frames[FG_FRAME_syn] != i + 1)
			fail_msg("%s: not opened", tunnels[i].name);
		assert_int_equal(totals.events[FG_EVENT_tunnelled], i + 1);
		fg_pkt_free(p);
	}
	close_engine();
}

static void test_tunnel_of_anybody_else_is_not(void **state)
{
	static const char *const peers[] = { NULL, "10.0.0.2", "10.0.0.3" };

	(void)state;
	for (size_t k = 0; k < COUNT(peers); k++) {
		open_engine(peers[k]);
		for (size_t i = 0; i < COUNT(tunnels); i++) {
			struct fg_pkt *p = syn_in(&tunnels[i]);

			feed(p);
			fg_pkt_free(p);
		}
		assert_int_equal(totals.frames[FG_FRAME_syn], 0);
		assert_int_equal(totals.events[FG_EVENT_tunnelled], 0);
		assert_int_equal(totals.frames[FG_FRAME_other_protocol] +
					 totals.frames[FG_FRAME_other_port],
				 COUNT(tunnels));
		close_engine();
	}
}

static void test_tunnel_links_are_read_in_any_case(void **state)
{
	(void)state;
	open_engine(NULL);
	for (size_t i = 0; i < COUNT(links); i++) {
		struct fg_pkt *p = syn_in(&links[i]);

		feed(p);
		if (totals.frames[FG_FRAME_syn] != i + 1)
			fail_msg("%s: not read", links[i].name);
		fg_pkt_free(p);
	}
	close_engine();
}

/* A tunnel in a tunnel; a third one stays shut. The peer of each level must be one. */
static void test_tunnel_in_a_tunnel(void **state)
{
	uint8_t body[512];
	struct fg_pkt *p;
	size_t n = inside(false, false, body);

	(void)state;
	open_engine("10.0.0.1");
	for (int level = 1; level <= 3; level++) {
		p = wrap(&tunnels[0], body, n);
		feed(p);
		assert_int_equal(totals.frames[FG_FRAME_syn], level <= 2 ? level : 2);
		n = p->len - 14;
		memcpy(body, p->buf + 14, n);
		fg_pkt_free(p);
	}
	assert_int_equal(totals.frames[FG_FRAME_other_protocol], 1);
	close_engine();
}

/* Ends anywhere, and every byte of the outside bent: counted once, and nothing inside is invented. */
static void test_tunnel_that_is_damaged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(tunnels); i++) {
		struct fg_pkt *p = syn_in(&tunnels[i]);
		size_t outside = p->payload_off + tunnels[i].n_header;

		open_engine("10.0.0.1");
		for (size_t n = 14; n < p->len; n++) {
			uint8_t *copy = malloc(n);

			assert_non_null(copy);
			memcpy(copy, p->buf, n);
			feed_cut(copy, n, p->len);
			feed_cut(copy, n, n);
			free(copy);
		}
		assert_int_equal(totals.frames[FG_FRAME_syn], 0);
		for (size_t at = 12; at < outside; at++) {
			p->buf[at] ^= 0xff;
			feed(p);
			p->buf[at] ^= 0xff;
		}
		close_engine();
		fg_pkt_free(p);
	}
}

#define T(name) cmocka_unit_test(test_tunnel_##name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(of_a_peer_is_opened), T(of_anybody_else_is_not), T(links_are_read_in_any_case),
		T(in_a_tunnel),		T(that_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
