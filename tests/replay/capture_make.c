/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Makes the captures below this folder: capture_make FOLDER writes FOLDER/CASE/input.pcap for each
 * case. The same bytes on every machine and in every run.
 *
 * Owns: which cases there are. Must not: use any code of the product.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "capture.h"
#include "connection.h"
#include "hello_build.h"
#include "quic_build.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 2026-05-01 00:00:00 UTC: a fixed time, so that reports do not change with the clock. */
#define START_NS  1777593600000000000ULL
#define SECOND_NS 1000000000ULL

/* The farm of connections in `farm` is held back here, so that frames go out in order of time. */
#define MAX_HELD       4096
#define HELD_MAX_BYTES (4 << 20)

struct held {
	uint64_t time_ns;
	size_t at, len, order;
};

struct writer {
	struct fg_dump *dump;
	struct held held[MAX_HELD];
	size_t n_held;
	uint8_t *bytes;
	size_t n_bytes;
};

static struct writer writer;
static uint8_t hello_bytes[FG_HELLO_BUILD_MAX + 1000];

static void write_now(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	fg_dump_write(((struct writer *)ctx)->dump, time_ns, frame, len);
}

static void hold(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct writer *w = ctx;

	if (w->n_held == MAX_HELD || len > HELD_MAX_BYTES - w->n_bytes) {
		fprintf(stderr, "capture_make: more than %d frames held: make the case smaller\n",
			MAX_HELD);
		abort();
	}
	w->held[w->n_held] = (struct held){ time_ns, w->n_bytes, len, w->n_held };
	w->n_held++;
	memcpy(w->bytes + w->n_bytes, frame, len);
	w->n_bytes += len;
}

static int by_time(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void write_held(struct writer *w)
{
	qsort(w->held, w->n_held, sizeof(w->held[0]), by_time);
	for (size_t i = 0; i < w->n_held; i++)
		fg_dump_write(w->dump, w->held[i].time_ns, w->bytes + w->held[i].at,
			      w->held[i].len);
	w->n_held = w->n_bytes = 0;
}

/* --- Connections ------------------------------------------------------------------------------ */

static struct fg_end server4(void)
{
	return fg_end_of("198.51.100.10", 443);
}

static struct fg_end server6(void)
{
	return fg_end_of("2001:db8:ffff::10", 443);
}

/* A connection from addr with this client's hello in one record. */
static void begin(struct fg_conn *c, const char *addr, uint16_t port, const struct fg_hello_desc *d)
{
	struct fg_end client = fg_end_of(addr, port);

	fg_conn_init(c, client, fg_end_is4(&client) ? server4() : server6(), START_NS, write_now,
		     &writer);
	c->hello = hello_bytes;
	c->hello_len = fg_hello_stream(d, hello_bytes, sizeof(hello_bytes));
	c->response_len = 700;
	c->flight_len = 300;
}

static void run(struct fg_conn *c)
{
	fg_conn_run(c);
	fg_conn_done(c);
}

static void hello_v4(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_tool(&d, "api.example.com");
	begin(&c, "192.0.2.1", 40001, &d);
	run(&c);
}

static void hello_v6_two_segments(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	begin(&c, "2001:db8:1::1", 40001, &d);
	run(&c);
}

static void vlan(void)
{
	static const uint16_t tags[][3] = { { 100 }, { 100, 200 }, { 100, 200, 300 } };
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_library(&d, "api.example.com");
	for (size_t i = 0; i < COUNT(tags); i++) {
		begin(&c, "192.0.2.1", (uint16_t)(40001 + i), &d);
		memcpy(c.vlan, tags[i], sizeof(tags[i]));
		c.now_ns += i * SECOND_NS;
		run(&c);
	}
}

/* One v4 and one v6 connection, one after the other: for link headers of every kind. */
static void both_families(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	hello_v4();
	fg_hello_browser(&d, "api.example.com");
	begin(&c, "2001:db8:1::1", 40001, &d);
	c.now_ns += 3 * SECOND_NS;
	run(&c);
}

static void ingress_only(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_tool(&d, "api.example.com");
	begin(&c, "192.0.2.1", 40001, &d);
	c.ingress_only = true;
	c.n_exchanges = 3;
	run(&c);
}

/* 200 sources: a farm of 120 with one library client behind many addresses, the rest four kinds of
 * ordinary clients with their own habits. */
static void farm(void)
{
	static void (*const clients[])(struct fg_hello_desc *,
				       const char *) = { fg_hello_browser, fg_hello_browser_plain,
							 fg_hello_tool, fg_hello_tls12 };
	struct fg_prng r = { 200 };
	struct fg_hello_desc d;
	struct fg_conn c;
	char addr[64];

	for (unsigned int i = 0; i < 200; i++) {
		bool member = i < 120, v6 = i % 5 == 4;

		snprintf(addr, sizeof(addr), v6 ? "2001:db8:%x::1" : "203.0.113.%u",
			 v6 ? 0x100 + i : i + 1);
		if (member)
			fg_hello_library(&d, "api.example.com");
		else
			clients[i % COUNT(clients)](&d, "www.example.com");
		fg_hello_again(&d, &r);
		begin(&c, addr, (uint16_t)(50000 + i), &d);
		c.emit = hold;
		c.now_ns += (uint64_t)fg_prng_below(&r, 60000) * 1000000;
		c.rtt_ns = (10 + fg_prng_below(&r, 150)) * 1000000ULL;
		c.mss = member ? 1400 : c.mss;
		c.request_len = 210 + fg_prng_below(&r, 50);
		c.response_len = 60;
		c.flight_len = 60;
		c.n_exchanges = member && i % 2;
		c.end = i % 3 ? FG_CONN_RST : FG_CONN_FIN;
		run(&c);
	}
	write_held(&writer);
}

/* The same client first whole, then resumed: same stem, other fingerprint. */
static void resumption(void)
{
	struct fg_prng r = { 3 };
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	for (unsigned int i = 0; i < 3; i++) {
		if (i == 1) {
			fg_hello_add_ext(&d, 0x0029);
			fg_hello_add_ext(&d, 0x002a);
		}
		fg_hello_again(&d, &r);
		begin(&c, "192.0.2.1", (uint16_t)(40001 + i), &d);
		c.now_ns += i * SECOND_NS;
		c.flight_len = i ? 80 : 300;
		run(&c);
	}
}

/* Connections of a balancer: two clients that it names, one in a segment of its own and one in the
 * hello's, its own, and one that it says nothing of. */
static void balancer(void)
{
	static const char *const lines[] = {
		"PROXY TCP4 192.0.2.1 198.51.100.10 40001 443\r\n",
		"PROXY TCP6 2001:db8:1::1 2001:db8:ff::10 40002 443\r\n",
		"PROXY UNKNOWN\r\n",
		"",
	};
	uint8_t bytes[1024 + sizeof(hello_bytes)];
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_tool(&d, "api.example.com");
	for (unsigned int i = 0; i < COUNT(lines); i++) {
		size_t n = strlen(lines[i]);

		begin(&c, "203.0.113.8", (uint16_t)(40001 + i), &d);
		memcpy(bytes, lines[i], n);
		memcpy(bytes + n, c.hello, c.hello_len);
		c.hello = bytes;
		c.hello_len += n;
		c.cuts = &n;
		c.n_cuts = i == 0;
		c.now_ns += i * SECOND_NS;
		run(&c);
	}
}

/* The capture begins inside connections: one after the hello, one between SYN and hello. */
static void midstream(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_tool(&d, "api.example.com");
	begin(&c, "192.0.2.1", 40001, &d);
	c.client_next = c.client_isn + 1 + (uint32_t)c.hello_len;
	c.server_next = c.server_isn + 1;
	fg_conn_exchange(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	fg_conn_done(&c);
	begin(&c, "192.0.2.2", 40002, &d);
	c.now_ns += 3 * SECOND_NS;
	c.client_next = c.client_isn + 1;
	c.server_next = c.server_isn + 1;
	fg_conn_hello(&c);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	fg_conn_done(&c);
}

/* One 4-tuple, three connections: after FIN, after RST, and without any end. */
static void port_reuse(void)
{
	static const enum fg_conn_end ends[] = { FG_CONN_FIN, FG_CONN_RST, FG_CONN_OPEN,
						 FG_CONN_FIN };
	struct fg_hello_desc d;
	struct fg_conn c;

	for (size_t i = 0; i < COUNT(ends); i++) {
		if (i & 1)
			fg_hello_tool(&d, "api.example.com");
		else
			fg_hello_library(&d, "api.example.com");
		begin(&c, "192.0.2.1", 40001, &d);
		c.now_ns += i * 2 * SECOND_NS;
		c.client_isn += (uint32_t)i * 1000003;
		c.server_isn += (uint32_t)i * 2000003;
		c.end = ends[i];
		run(&c);
	}
}

/* Ends of every kind: in each place of the connection, by either flag, twice, and out of window. */
static void ends(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	for (unsigned int i = 0; i < 6; i++) {
		begin(&c, "192.0.2.1", (uint16_t)(40001 + i), &d);
		c.now_ns += i * SECOND_NS;
		fg_conn_open(&c);
		if (i == 1) /* inside the hello */
			fg_conn_segment(&c, 0, c.hello, 700);
		if (i >= 2)
			fg_conn_hello(&c);
		if (i >= 3) {
			fg_conn_finish(&c);
			fg_conn_exchange(&c);
		}
		if (i == 4) { /* forged: beyond everything sent */
			c.client_next += 5000;
			fg_conn_flags(&c, FG_PKT_RST);
			c.client_next -= 5000;
		}
		c.end = i & 1 ? FG_CONN_RST : FG_CONN_FIN;
		fg_conn_close(&c);
		if (i == 5)
			fg_conn_close(&c);
		fg_conn_done(&c);
	}
}

/* IPv4 options, IPv6 extension headers up to and beyond what is walked, fragments. */
static void ip_extras(void)
{
	static const struct fg_pkt_ext exts[] = {
		{ .type = 0, .len = 8 },   { .type = 60, .len = 16 }, { .type = 43, .len = 24 },
		{ .type = 44, .len = 8 },  { .type = 51, .len = 16 }, { .type = 60, .len = 8 },
		{ .type = 135, .len = 8 },
	};
	static const struct fg_pkt_ext later = { .type = 44, .len = 8, .fragment_offset = 1232 };
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_library(&d, "api.example.com");
	begin(&c, "192.0.2.1", 40001, &d);
	c.ip.options_len = 40;
	run(&c);
	for (size_t n = 1; n <= COUNT(exts); n += 2) {
		begin(&c, "2001:db8:1::1", (uint16_t)(40001 + n), &d);
		c.now_ns += n * SECOND_NS;
		c.ip.exts = exts;
		c.ip.n_exts = n;
		run(&c);
	}
	begin(&c, "192.0.2.2", 40010, &d);
	c.now_ns += 20 * SECOND_NS;
	c.ip.fragment_offset = 1480;
	fg_conn_ack(&c);
	fg_conn_done(&c);
	begin(&c, "2001:db8:1::2", 40010, &d);
	c.now_ns += 21 * SECOND_NS;
	c.ip.exts = &later;
	c.ip.n_exts = 1;
	fg_conn_ack(&c);
	fg_conn_done(&c);
}

/* One hello in many segments and many records, cut in the record and handshake headers too. */
static void many_pieces(void)
{
	static const size_t records[] = { 1, 3, 5, 60, 61, 200, 700, 1100 };
	uint8_t msg[FG_HELLO_BUILD_MAX];
	size_t cuts[64], n = 0;
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	begin(&c, "192.0.2.1", 40001, &d);
	c.hello_len = fg_hello_records(msg, fg_hello_build(&d, msg), records, COUNT(records),
				       hello_bytes, sizeof(hello_bytes));
	for (size_t at = 2; at < c.hello_len && n < COUNT(cuts); at += 1 + at / 4)
		cuts[n++] = at;
	c.cuts = cuts;
	c.n_cuts = n;
	run(&c);
	/* the records alone, in whole segments */
	begin(&c, "192.0.2.1", 40002, &d);
	c.now_ns += 3 * SECOND_NS;
	c.hello_len = fg_hello_records(msg, fg_hello_build(&d, msg), records, COUNT(records),
				       hello_bytes, sizeof(hello_bytes));
	run(&c);
}

/* Everything sent twice, then overlapping, then out of order: first bytes win, gaps are said. */
static void retransmissions(void)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	for (unsigned int i = 0; i < 3; i++) {
		begin(&c, "192.0.2.1", (uint16_t)(40001 + i), &d);
		c.now_ns += i * 3 * SECOND_NS;
		fg_conn_syn(&c);
		c.now_ns += SECOND_NS;
		fg_conn_syn(&c);
		fg_conn_syn_ack(&c);
		fg_conn_syn_ack(&c);
		fg_conn_ack(&c);
		if (i == 2)
			fg_conn_segment(&c, 900, c.hello + 900, c.hello_len - 900);
		fg_conn_segment(&c, 0, c.hello, 900);
		if (i == 0)
			fg_conn_segment(&c, 0, c.hello, 900);
		if (i == 1) /* keep-alive form, then a part seen before with a part that is new */
			fg_conn_segment(&c, 899, c.hello + 899, 1);
		fg_conn_segment(&c, 500, c.hello + 500, c.hello_len - 500);
		fg_conn_finish(&c);
		fg_conn_exchange(&c);
		fg_conn_close(&c);
		fg_conn_done(&c);
	}
}

/* What no TLS sensor cares for: other protocols and ports, and damage. */
static void not_for_us(void)
{
	struct fg_end client = fg_end_of("192.0.2.1", 40001),
		      other = fg_end_of("198.51.100.10", 80);
	struct fg_pkt *p = fg_pkt_new();
	uint8_t arp[46] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	struct fg_end server = server4();

	fg_pkt_eth_kind(p, 0x0806);
	fg_pkt_payload(p, arp, sizeof(arp));
	write_now(&writer, START_NS, p->buf, p->len);
	fg_pkt_reset(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &client, &server, &(struct fg_pkt_ip){ .protocol = 1 });
	fg_pkt_payload(p, arp, 8);
	fg_pkt_end(p);
	write_now(&writer, START_NS + SECOND_NS, p->buf, p->len);
	fg_pkt_reset(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &client, &other, NULL);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .flags = FG_PKT_SYN });
	fg_pkt_end(p);
	write_now(&writer, START_NS + 2 * SECOND_NS, p->buf, p->len);
	fg_pkt_reset(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &client, &server, NULL);
	fg_pkt_udp(p, 0, 0);
	fg_pkt_payload(p, arp, 20);
	fg_pkt_end(p);
	write_now(&writer, START_NS + 3 * SECOND_NS, p->buf, p->len);
	for (size_t len = 14; len < p->len; len += 7)
		write_now(&writer, START_NS + (3 + len) * SECOND_NS, p->buf, len);
	fg_pkt_free(p);
}

/* --- QUIC ------------------------------------------------------------------------------------- */

static const struct fg_quic_id first_id = { 8, { 1, 2, 3, 4, 5, 6, 7, 8 } },
			       client_id = { 4, { 9, 9, 9, 9 } };

struct quic_pair {
	struct fg_end client, server;
	uint64_t now_ns;
	struct fg_quic_id server_id;
};

static void datagram(struct quic_pair *q, bool to_server, const uint8_t *bytes, size_t n)
{
	struct fg_pkt *p = fg_pkt_new();
	const struct fg_end *from = to_server ? &q->client : &q->server;

	fg_pkt_eth(p);
	fg_pkt_ip(p, from, to_server ? &q->server : &q->client, NULL);
	fg_pkt_udp(p, 0, 0);
	fg_pkt_payload(p, bytes, n);
	fg_pkt_end(p);
	write_now(&writer, q->now_ns, p->buf, p->len);
	q->now_ns += SECOND_NS / 50;
	fg_pkt_free(p);
}

/* The browser's hello in two datagrams, shuffled; id is what the keys are of. */
static void quic_hello(struct quic_pair *q, const struct fg_quic_id *id, size_t n_token)
{
	struct fg_quic_initial initial = { .dcid = *id, .scid = client_id, .n_token = n_token };
	struct fg_hello_desc d;
	uint8_t msg[FG_HELLO_BUILD_MAX], bytes[1500];
	size_t n;

	fg_hello_browser(&d, "api.example.com");
	n = fg_hello_build(&d, msg);
	for (uint32_t i = 0; i < 2; i++) {
		struct fg_quic_frames f = { .n = 0 };

		fg_quic_put_crypto(&f, i ? 100 : 900, msg + (i ? 100 : 900), i ? 800 : n - 900);
		if (i)
			fg_quic_put_crypto(&f, 0, msg, 100);
		fg_quic_put_bytes(&f, 0, 1150 - f.n);
		initial.number = i;
		datagram(q, true, bytes, fg_quic_build(&initial, &f, bytes, sizeof(bytes)));
	}
}

/* The server's flight, the client's end of the handshake to the server's ID, and three questions. */
static void quic_rest(struct quic_pair *q)
{
	uint8_t bytes[1500];

	q->server_id.len = 11;
	q->server_id.bytes[0]++;
	datagram(q, false, bytes, fg_quic_long(0, &client_id, &q->server_id, 1100, bytes));
	datagram(q, false, bytes, fg_quic_long(2, &client_id, &q->server_id, 900, bytes));
	datagram(q, true, bytes, fg_quic_long(2, &q->server_id, &client_id, 80, bytes));
	for (int i = 0; i < 3; i++) {
		datagram(q, true, bytes, fg_quic_short(&q->server_id, 300, bytes));
		datagram(q, false, bytes, fg_quic_short(&client_id, 30, bytes));
		datagram(q, false, bytes, fg_quic_short(&client_id, 1200, bytes));
		datagram(q, true, bytes, fg_quic_short(&q->server_id, 25, bytes));
	}
	q->now_ns += SECOND_NS;
}

/* Connections in both families, behind a Retry and on a port used before; then Initials that nobody
 * answers, a server's packets that nobody asked for, another version, DTLS and what is nothing. */
static void quic(void)
{
	static const uint8_t dtls[40] = { 22, 0xfe, 0xfd, [13] = 1 };
	struct quic_pair v4 = { fg_end_of("192.0.2.1", 40001), server4(), START_NS, { 0 } },
			 v6 = { fg_end_of("2001:db8:1::1", 40002), server6(), START_NS, { 0 } };
	uint8_t bytes[1500];
	struct fg_quic_id retried = { 8, { 5 } };
	size_t n;

	quic_hello(&v4, &first_id, 0);
	quic_rest(&v4);
	v6.now_ns = v4.now_ns;
	quic_hello(&v6, &first_id, 0);
	datagram(&v6, false, bytes, fg_quic_long(3, &client_id, &retried, 60, bytes));
	quic_hello(&v6, &retried, 40);
	quic_rest(&v6);
	v4.now_ns = v6.now_ns;
	retried.bytes[1] = 1;
	quic_hello(&v4, &retried, 0);
	quic_rest(&v4);
	for (uint16_t i = 0; i < 20; i++) {
		v4.client = fg_end_of("192.0.2.77", (uint16_t)(50000 + i));
		quic_hello(&v4, &first_id, 0);
	}
	v4.client = fg_end_of("192.0.2.78", 50000);
	quic_rest(&v4);
	n = fg_quic_long(0, &first_id, &client_id, 1100, bytes);
	memcpy(bytes + 1, "\x1a\x2a\x3a\x4a", 4);
	datagram(&v4, true, bytes, n);
	datagram(&v4, true, dtls, sizeof(dtls));
	datagram(&v4, true, dtls, 3);
}

/* --- Cases ------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*make)(void);
	enum fg_link link;
	uint32_t resolution_ns, snaplen;
} cases[] = {
	{ "hello-v4", hello_v4, FG_LINK_ETHERNET, 1000, 0 },
	{ "hello-v6-two-segments", hello_v6_two_segments, FG_LINK_ETHERNET, 1, 0 },
	{ "vlan", vlan, FG_LINK_ETHERNET, 1000, 0 },
	{ "link-sll", both_families, FG_LINK_SLL, 1000, 0 },
	{ "link-sll2", both_families, FG_LINK_SLL2, 1, 0 },
	{ "link-raw", both_families, FG_LINK_RAW, 1000, 0 },
	{ "link-null", both_families, FG_LINK_NULL, 1000, 0 },
	{ "link-loop", both_families, FG_LINK_LOOP, 1000, 0 },
	{ "snaplen-256", both_families, FG_LINK_ETHERNET, 1000, 256 },
	{ "ingress-only", ingress_only, FG_LINK_ETHERNET, 1000, 0 },
	{ "farm", farm, FG_LINK_ETHERNET, 1000, 0 },
	{ "resumption", resumption, FG_LINK_ETHERNET, 1000, 0 },
	{ "balancer", balancer, FG_LINK_ETHERNET, 1000, 0 },
	{ "midstream", midstream, FG_LINK_ETHERNET, 1000, 0 },
	{ "port-reuse", port_reuse, FG_LINK_ETHERNET, 1000, 0 },
	{ "ends", ends, FG_LINK_ETHERNET, 1000, 0 },
	{ "ip-extras", ip_extras, FG_LINK_ETHERNET, 1000, 0 },
	{ "many-pieces", many_pieces, FG_LINK_ETHERNET, 1000, 0 },
	{ "retransmissions", retransmissions, FG_LINK_ETHERNET, 1000, 0 },
	{ "not-for-us", not_for_us, FG_LINK_ETHERNET, 1000, 0 },
	{ "quic", quic, FG_LINK_ETHERNET, 1000, 0 },
};

int main(int argc, char **argv)
{
	char path[4096];
	long frames;

	if (argc != 2) {
		fprintf(stderr, "usage: capture_make FOLDER\n");
		return 2;
	}
	writer.bytes = malloc(HELD_MAX_BYTES);
	if (!writer.bytes) {
		fprintf(stderr, "capture_make: no memory for %d bytes of frames\n", HELD_MAX_BYTES);
		return 1;
	}
	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(path, sizeof(path), "%s/%s", argv[1], cases[i].name);
		if (mkdir(path, 0777) && errno != EEXIST) {
			fprintf(stderr, "%s: %s: make its parent first\n", path, strerror(errno));
			return 1;
		}
		snprintf(path, sizeof(path), "%s/%s/input.pcap", argv[1], cases[i].name);
		if (fg_dump_open(path, cases[i].link, cases[i].resolution_ns, cases[i].snaplen,
				 &writer.dump))
			return 1;
		cases[i].make();
		frames = fg_dump_close(writer.dump);
		if (frames < 0) {
			fprintf(stderr, "%s: not written whole: is the disk full?\n", path);
			return 1;
		}
		printf("%s: %ld frames\n", cases[i].name, frames);
	}
	free(writer.bytes);
	return 0;
}
