/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Largest TLS record of application data written here. */
#define RECORD_MAX 4096

/* mss, sack permitted, timestamps, nop, window scale 7; mss is patched in */
static const uint8_t usual_options[20] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0,
					   0, 1, 0,    0,    0, 0, 1, 3,  3, 7 };

void fg_conn_init(struct fg_conn *c, struct fg_end client, struct fg_end server, uint64_t start_ns,
		  fg_conn_emit_fn emit, void *ctx)
{
	struct fg_prng r = { start_ns ^ client.port };

	memset(c, 0, sizeof(*c));
	c->client = client;
	c->server = server;
	c->client_isn = (uint32_t)fg_prng_next(&r);
	c->server_isn = (uint32_t)fg_prng_next(&r);
	c->mss = fg_end_is4(&client) ? 1460 : 1440;
	c->ttl = 64;
	c->window = 64240;
	c->syn_options = usual_options;
	c->n_syn_options = sizeof(usual_options);
	c->rtt_ns = 30000000;
	c->think_ns = 500000000;
	c->n_exchanges = 1;
	c->flight_len = 2300;
	c->request_len = 600;
	c->response_len = 3000;
	c->emit = emit;
	c->ctx = ctx;
	c->now_ns = start_ns;
	c->pkt = fg_pkt_new();
	if (!c->pkt) {
		fprintf(stderr, "connection: no memory for a frame\n");
		abort();
	}
}

void fg_conn_done(struct fg_conn *c)
{
	fg_pkt_free(c->pkt);
	c->pkt = NULL;
}

static void put_link(const struct fg_conn *c)
{
	fg_pkt_reset(c->pkt);
	fg_pkt_eth(c->pkt);
	/* 802.1ad outside, 802.1Q inside; a single tag is 802.1Q */
	for (size_t i = 0; i < COUNT(c->vlan) && c->vlan[i]; i++)
		fg_pkt_vlan(c->pkt, i + 1 < COUNT(c->vlan) && c->vlan[i + 1] ? 0x88a8 : 0x8100,
			    c->vlan[i]);
}

static void emit_client(struct fg_conn *c, const struct fg_pkt_tcp *tcp, const uint8_t *bytes,
			size_t n)
{
	struct fg_pkt_ip ip = c->ip;

	ip.ttl = c->ttl;
	put_link(c);
	fg_pkt_ip(c->pkt, &c->client, &c->server, &ip);
	fg_pkt_tcp(c->pkt, tcp);
	fg_pkt_payload(c->pkt, bytes, n);
	fg_pkt_end(c->pkt);
	c->emit(c->ctx, c->now_ns, c->pkt->buf, c->pkt->len);
	c->now_ns += 20000; /* back to back: 20 us */
}

static void emit_server(struct fg_conn *c, const struct fg_pkt_tcp *tcp, const uint8_t *bytes,
			size_t n)
{
	if (!c->ingress_only) {
		put_link(c);
		fg_pkt_ip(c->pkt, &c->server, &c->client, NULL);
		fg_pkt_tcp(c->pkt, tcp);
		fg_pkt_payload(c->pkt, bytes, n);
		fg_pkt_end(c->pkt);
		c->emit(c->ctx, c->now_ns, c->pkt->buf, c->pkt->len);
	}
	c->now_ns += 20000;
}

void fg_conn_syn(struct fg_conn *c)
{
	struct fg_pkt_tcp tcp = { .seq = c->client_isn,
				  .flags = FG_PKT_SYN,
				  .window = c->window,
				  .options = c->syn_options,
				  .options_len = c->n_syn_options };

	emit_client(c, &tcp, c->hello, c->syn_bytes);
	c->client_next = c->client_isn + 1 + (uint32_t)c->syn_taken;
}

void fg_conn_syn_ack(struct fg_conn *c)
{
	struct fg_pkt_tcp tcp = { .seq = c->server_isn,
				  .ack = c->client_isn + 1 + (uint32_t)c->syn_taken,
				  .flags = FG_PKT_SYN | FG_PKT_ACK,
				  .options = usual_options,
				  .options_len = sizeof(usual_options) };

	emit_server(c, &tcp, NULL, 0);
	c->server_next = c->server_isn + 1;
	c->now_ns += c->rtt_ns;
}

void fg_conn_flags(struct fg_conn *c, uint8_t flags)
{
	struct fg_pkt_tcp tcp = {
		.seq = c->client_next, .ack = c->server_next, .flags = flags, .window = 502
	};

	emit_client(c, &tcp, NULL, 0);
}

void fg_conn_ack(struct fg_conn *c)
{
	fg_conn_flags(c, FG_PKT_ACK);
}

void fg_conn_open(struct fg_conn *c)
{
	fg_conn_syn(c);
	fg_conn_syn_ack(c);
	fg_conn_ack(c);
}

void fg_conn_segment(struct fg_conn *c, size_t at, const uint8_t *bytes, size_t n)
{
	struct fg_pkt_tcp tcp = { .seq = c->client_isn + 1 + (uint32_t)at,
				  .ack = c->server_next,
				  .flags = FG_PKT_ACK | FG_PKT_PSH,
				  .window = 502 };
	uint32_t end = tcp.seq + (uint32_t)n;

	emit_client(c, &tcp, bytes, n);
	if ((int32_t)(end - c->client_next) > 0)
		c->client_next = end;
}

void fg_conn_send(struct fg_conn *c, const uint8_t *bytes, size_t n)
{
	size_t at = c->client_next - c->client_isn - 1, part;

	for (; n; n -= part, bytes += part, at += part) {
		part = n < c->mss ? n : c->mss;
		fg_conn_segment(c, at, bytes, part);
	}
}

void fg_conn_reply(struct fg_conn *c, const uint8_t *bytes, size_t n)
{
	struct fg_pkt_tcp tcp = { .ack = c->client_next, .flags = FG_PKT_ACK | FG_PKT_PSH };
	size_t part;

	for (; n; n -= part, bytes += part) {
		part = n < c->mss ? n : c->mss;
		tcp.seq = c->server_next;
		emit_server(c, &tcp, bytes, part);
		c->server_next += (uint32_t)part;
	}
}

void fg_conn_hello(struct fg_conn *c)
{
	size_t from = c->syn_taken;

	for (size_t i = 0; i < c->n_cuts; i++) {
		fg_conn_segment(c, from, c->hello + from, c->cuts[i] - from);
		from = c->cuts[i];
	}
	fg_conn_send(c, c->hello + from, c->hello_len - from);
	c->now_ns += c->rtt_ns / 2;
}

/* One record: what is in it is encrypted on the net, and so means nothing here. */
static size_t put_record(uint8_t *to, uint8_t type, size_t n)
{
	to[0] = type;
	to[1] = 3;
	to[2] = 3;
	to[3] = (uint8_t)(n >> 8);
	to[4] = (uint8_t)n;
	memset(to + 5, 0xa5, n);
	return n + 5;
}

void fg_conn_finish(struct fg_conn *c)
{
	uint8_t flight[RECORD_MAX];
	size_t n;

	/* ServerHello, ChangeCipherSpec, then certificate and Finished under one record */
	n = put_record(flight, 22, 122);
	n += put_record(flight + n, 20, 1);
	n += put_record(flight + n, 23, c->flight_len);
	fg_conn_reply(c, flight, n);
	c->now_ns += c->rtt_ns;
	/* ChangeCipherSpec, Finished */
	n = put_record(flight, 20, 1);
	n += put_record(flight + n, 23, 53);
	fg_conn_send(c, flight, n);
}

/* n bytes on the wire as records of at most RECORD_MAX. */
static void send_data(struct fg_conn *c, size_t n,
		      void (*send)(struct fg_conn *, const uint8_t *, size_t))
{
	uint8_t record[RECORD_MAX];
	size_t part;

	for (; n > 5; n -= part) {
		part = n < sizeof(record) ? n : sizeof(record);
		/* no rest that is too short for a record of its own */
		if (n - part > 0 && n - part <= 5)
			part -= 5;
		put_record(record, 23, part - 5);
		send(c, record, part);
	}
}

void fg_conn_exchange(struct fg_conn *c)
{
	send_data(c, c->request_len, fg_conn_send);
	c->now_ns += c->rtt_ns / 2 + 5000000;
	send_data(c, c->response_len, fg_conn_reply);
	c->now_ns += c->rtt_ns / 2;
	fg_conn_ack(c);
	c->now_ns += c->think_ns;
}

void fg_conn_close(struct fg_conn *c)
{
	struct fg_pkt_tcp tcp = { .flags = FG_PKT_FIN | FG_PKT_ACK };

	if (c->end == FG_CONN_OPEN)
		return;
	if (c->end == FG_CONN_RST) {
		fg_conn_flags(c, FG_PKT_RST | FG_PKT_ACK);
		return;
	}
	fg_conn_flags(c, FG_PKT_FIN | FG_PKT_ACK);
	c->client_next++;
	tcp.seq = c->server_next;
	tcp.ack = c->client_next;
	emit_server(c, &tcp, NULL, 0);
	c->server_next++;
	c->now_ns += c->rtt_ns / 2;
	fg_conn_ack(c);
}

void fg_conn_run(struct fg_conn *c)
{
	fg_conn_open(c);
	fg_conn_hello(c);
	fg_conn_finish(c);
	for (unsigned int i = 0; i < c->n_exchanges; i++)
		fg_conn_exchange(c);
	fg_conn_close(c);
}
