/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the loaded program calls each kind of frame: its outcome and nothing else moves. */
#include "live.h"

LIVE_SETUP(FG_ROLE_TRANSIT)

struct row {
	const char *what;
	void (*build)(struct fg_pkt *p);
	const char *outcome;
};

static struct fg_end client4(void)
{
	return fg_end_of("192.0.2.1", 40000);
}

static struct fg_end client6(void)
{
	return fg_end_of("2001:db8:1::1", 40000);
}

static struct fg_end server4(void)
{
	return fg_end_of("198.51.100.1", 443);
}

static struct fg_end server6(void)
{
	return fg_end_of("2001:db8:ffff::1", 443);
}

static void put_tcp(struct fg_pkt *p, uint16_t sport, uint16_t dport, uint8_t flags)
{
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){
			      .sport = sport, .dport = dport, .flags = flags, .seq = 1000 });
	fg_pkt_end(p);
}

static void arp(struct fg_pkt *p)
{
	fg_pkt_eth_kind(p, 0x0806);
	fg_pkt_payload(p, "0123456789012345678901234567", 28);
}

static void lldp(struct fg_pkt *p)
{
	fg_pkt_eth_kind(p, 0x88cc);
	fg_pkt_payload(p, "0123456789012345678901234567", 28);
}

static void icmp(struct fg_pkt *p)
{
	struct fg_end from = client4(), to = server4();

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, &(struct fg_pkt_ip){ .protocol = 1 });
	fg_pkt_payload(p, "01234567", 8);
	fg_pkt_end(p);
}

static void udp(struct fg_pkt *p, uint16_t port)
{
	struct fg_end from = client4(), to = server4();

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, NULL);
	fg_pkt_udp(p, 40000, port);
	fg_pkt_payload(p, "0123456789", 10);
	fg_pkt_end(p);
}

static void udp_other(struct fg_pkt *p)
{
	udp(p, 53);
}

static void udp_protected(struct fg_pkt *p)
{
	udp(p, 443);
}

static void tcp4(struct fg_pkt *p, const struct fg_pkt_ip *more, uint16_t port, uint8_t flags)
{
	struct fg_end from = client4(), to = server4();

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, more);
	put_tcp(p, 40000, port, flags);
}

static void tcp6(struct fg_pkt *p, const struct fg_pkt_ip *more)
{
	struct fg_end from = client6(), to = server6();

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, more);
	put_tcp(p, 40000, 443, FG_PKT_SYN);
}

static void other_port(struct fg_pkt *p)
{
	tcp4(p, NULL, 80, FG_PKT_SYN);
}

static void syn4(struct fg_pkt *p)
{
	tcp4(p, NULL, 443, FG_PKT_SYN);
}

static void syn4_options(struct fg_pkt *p)
{
	tcp4(p, &(struct fg_pkt_ip){ .options_len = 40 }, 443, FG_PKT_SYN);
}

static void syn6(struct fg_pkt *p)
{
	tcp6(p, NULL);
}

/* hop-by-hop, destination options and routing in front of TCP */
static void syn6_exts(struct fg_pkt *p)
{
	static const struct fg_pkt_ext exts[] = { { .type = 0, .len = 8 },
						  { .type = 60, .len = 16 },
						  { .type = 43, .len = 24 } };

	tcp6(p, &(struct fg_pkt_ip){ .exts = exts, .n_exts = 3 });
}

static void syn6_many_exts(struct fg_pkt *p)
{
	static const struct fg_pkt_ext exts[FG_MAX_IP6_EXTS + 1] = {
		{ .type = 60, .len = 8 }, { .type = 60, .len = 8 }, { .type = 60, .len = 8 },
		{ .type = 60, .len = 8 }, { .type = 60, .len = 8 }, { .type = 60, .len = 8 },
		{ .type = 60, .len = 8 }
	};

	tcp6(p, &(struct fg_pkt_ip){ .exts = exts, .n_exts = FG_MAX_IP6_EXTS + 1 });
}

static void vlans(struct fg_pkt *p, int n)
{
	struct fg_end from = client4(), to = server4();

	fg_pkt_eth(p);
	for (int i = 0; i < n; i++)
		fg_pkt_vlan(p, i + 1 < n ? 0x88a8 : 0x8100, (uint16_t)(100 + i));
	fg_pkt_ip(p, &from, &to, NULL);
	put_tcp(p, 40000, 443, FG_PKT_SYN);
}

static void vlan(struct fg_pkt *p)
{
	vlans(p, 1);
}

static void qinq(struct fg_pkt *p)
{
	vlans(p, 2);
}

static void vlans_too_many(struct fg_pkt *p)
{
	vlans(p, FG_MAX_VLANS + 1);
}

static void later_fragment(struct fg_pkt *p)
{
	struct fg_end from = client4(), to = server4();

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, &(struct fg_pkt_ip){ .protocol = 6, .fragment_offset = 1480 });
	fg_pkt_payload(p, "0123456789012345678901234567", 28);
	fg_pkt_end(p);
}

static void short_ip(struct fg_pkt *p)
{
	syn4(p);
	p->len = p->ip_off + 12;
}

static void bad_header_length(struct fg_pkt *p)
{
	syn4(p);
	p->buf[p->ip_off] = 0x44; /* 16 bytes of IPv4 header */
}

static void bad_tcp_offset(struct fg_pkt *p)
{
	syn4(p);
	p->buf[p->l4_off + 12] = 0x40; /* 16 bytes of TCP header */
}

static void unknown_ack(struct fg_pkt *p)
{
	tcp4(p, NULL, 443, FG_PKT_ACK);
}

static void server_rst(struct fg_pkt *p)
{
	struct fg_end from = server4(), to = client4();

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, NULL);
	put_tcp(p, 443, 40000, FG_PKT_RST);
}

static const struct row rows[] = {
	{ "ARP", arp, "not_ip" },
	{ "LLDP", lldp, "not_ip" },
	{ "ICMP", icmp, "other_protocol" },
	{ "UDP on another port", udp_other, "other_port" },
	{ "UDP on the protected port", udp_protected, "udp" },
	{ "TCP on another port", other_port, "other_port" },
	{ "SYN, IPv4", syn4, "syn" },
	{ "SYN, IPv4 with 40 bytes of options", syn4_options, "syn" },
	{ "SYN, IPv6", syn6, "syn" },
	{ "SYN, IPv6 with three extension headers", syn6_exts, "syn" },
	{ "SYN behind a VLAN tag", vlan, "syn" },
	{ "SYN behind two VLAN tags", qinq, "syn" },
	{ "IPv6 with one extension header too many", syn6_many_exts, "ext_too_deep" },
	{ "one VLAN tag too many", vlans_too_many, "vlan_too_deep" },
	{ "later fragment", later_fragment, "fragment" },
	{ "ends inside the IP header", short_ip, "frame_truncated" },
	{ "IPv4 header of 16 bytes", bad_header_length, "ip_malformed" },
	{ "TCP header of 16 bytes", bad_tcp_offset, "tcp_malformed" },
	{ "ACK of an unknown connection", unknown_ack, "midstream" },
	{ "RST of a server", server_rst, "close" },
};

/* Of all counters only the outcome, the bytes, and at a SYN the SYNs move. */
static void only_outcome_moved(const struct row *row)
{
	bool syn = !strcmp(row->outcome, "syn");

	for (size_t i = 0; i < _FG_EVENT_MAX; i++) {
		uint64_t moved = live.now.events[i] - live.before.events[i];

		if (moved != (syn && i == FG_EVENT_syns))
			fail_msg("%s: event %zu moved by %llu", row->what, i,
				 (unsigned long long)moved);
	}
	assert_memory_equal(live.now.incomplete, live.before.incomplete,
			    sizeof(live.now.incomplete));
}

static void test_frame_has_its_outcome(void **state)
{
	struct fg_pkt *p = fg_pkt_new();

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fg_pkt_reset(p);
		rows[i].build(p);
		live_feed(p->buf, p->len);
		if (strcmp(live_outcome(), rows[i].outcome))
			fail_msg("%s: outcome is %s, not %s", rows[i].what, live_outcome(),
				 rows[i].outcome);
		assert_int_equal(live.action, XDP_PASS);
		only_outcome_moved(&rows[i]);
	}
	assert_int_equal(LIVE_ROWS(flows), 0);
	assert_int_equal(LIVE_ROWS(sources), 0);
	fg_pkt_free(p);
}

/* The same connection behind tags and extension headers: proven, with its hello. */
static void test_frame_headers_in_front_change_nothing(void **state)
{
	static const struct fg_pkt_ext exts[] = { { .type = 0, .len = 8 },
						  { .type = 60, .len = 24 } };
	static uint8_t hello[FG_HELLO_BUILD_MAX];
	struct fg_hello_desc d;
	uint64_t print = 0;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	for (uint16_t i = 0; i < 8; i++) {
		struct fg_conn c = live_conn(i & 4 ? "2001:db8:1::1" : "192.0.2.1",
					     (uint16_t)(40000 + i), live_emit);

		c.hello = hello;
		c.hello_len = fg_hello_stream(&d, hello, sizeof(hello));
		for (int n = 0; n < (i & 3); n++)
			c.vlan[n] = (uint16_t)(10 + n);
		if (i & 4)
			c.ip = (struct fg_pkt_ip){ .exts = exts, .n_exts = 2 };
		fg_conn_run(&c);
		fg_conn_done(&c);
		assert_int_equal(LIVE_EVENT(proven_handshake), i + 1);
		assert_int_equal(LIVE_EVENT(hellos), i + 1);
		if (!print)
			print = live.sample.hello.print;
		assert_true(live.sample.hello.print == print);
	}
	assert_int_equal(LIVE_ROWS(sources), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_frame_has_its_outcome),
		LIVE_TEST(test_frame_headers_in_front_change_nothing),
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
