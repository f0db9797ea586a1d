/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Nanoseconds a frame by BPF_PROG_TEST_RUN, net of an XDP_PASS-only program that runs in the same
 * rounds. "hot": one frame again and again. "fresh": one call each on a source or connection that
 * was never seen; a system call lies between two of them, so caches are cold and these rows are
 * upper bounds. "one client": one call each as well, always the same connection. Prints the median
 * and the range over the rounds.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../harness/connection.h"
#include "../harness/hello_build.h"
#include "testrun.h"

#define REPEAT	100000
#define SINGLES 4000

/* Frames of connection i from SYN to the end of its hello, then an ACK and a data segment. */
static void connection(struct frames *f, uint32_t i, bool large)
{
	static uint8_t hello[FG_HELLO_BUILD_MAX], payload[1400];
	struct fg_end client = fg_end_of("10.0.0.0", (uint16_t)(1024 + i % 60000));
	struct fg_hello_desc d;
	struct fg_conn c;

	client.addr[13] = (uint8_t)(i >> 16);
	client.addr[14] = (uint8_t)(i >> 8);
	client.addr[15] = (uint8_t)i;
	if (large)
		fg_hello_browser(&d, "api.example.com");
	else
		fg_hello_tool(&d, "api.example.com");
	fg_conn_init(&c, client, fg_end_of("192.0.2.1", 443), 1000000000, keep, f);
	c.hello = hello;
	c.hello_len = fg_hello_stream(&d, hello, sizeof(hello));
	fg_conn_open(&c);
	fg_conn_hello(&c);
	fg_conn_flags(&c, FG_PKT_ACK);
	payload[0] = 23;
	payload[1] = 3;
	payload[2] = 3;
	fg_conn_send(&c, payload, sizeof(payload));
	fg_conn_done(&c);
}

/* frames[0..last) bring the tables into the state, frame `last` is measured. */
static void hot(const char *what, const struct frames *f, size_t last)
{
	int net[ROUNDS];

	for (size_t i = 0; i < last; i++)
		run(f, i, 1);
	for (int round = 0; round < ROUNDS; round++) {
		int pass = (int)run_fd(pass_fd, f->bytes[last], f->len[last], REPEAT);

		net[round] = (int)run(f, last, REPEAT) - pass;
	}
	print_row(what, "hot", net, ROUNDS);
}

/* Mean of single calls over many connections, net of as many single calls of the pass program;
 * frames [from, to) of each are measured, those before only run. */
static void singles(const char *what, const char *how, uint32_t base, bool large, size_t from,
		    size_t to, bool prepared)
{
	int net[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t ours = 0, pass = 0;

		for (uint32_t i = 0; i < SINGLES; i++) {
			struct frames f = { .n = 0 };

			connection(&f, base + (prepared ? i : (uint32_t)round * SINGLES + i),
				   large);
			for (size_t k = 0; !prepared && k < from; k++)
				run(&f, k, 1);
			for (size_t k = from; k < to; k++) {
				pass += run_fd(pass_fd, f.bytes[k], f.len[k], 1);
				ours += run(&f, k, 1);
			}
			forget(&f);
		}
		net[round] = (int)(((int64_t)ours - (int64_t)pass) / SINGLES);
	}
	print_row(what, how, net, ROUNDS);
}

/* The set that holds the only connection of an empty table. */
static struct fg_flow_set *only_flow(void)
{
	const struct fg_tables *t = fg_sensor_tables(sensor);

	for (uint32_t i = 0; i < t->n_flows; i++)
		for (size_t way = 0; way < FG_WAYS; way++)
			if (t->flows[i].tag[way] != FG_TAG_FREE)
				return &t->flows[i];
	die("no connection in the table");
	return NULL;
}

/* The hello of one connection again and again: its row is put back to where it was before. Frames
 * [3, to) are the hello; the table must be empty. */
static void same_hello(const char *what, const struct frames *f, size_t to)
{
	struct fg_flow_set *set, before;
	int net[ROUNDS];

	for (size_t k = 0; k < 3; k++)
		run(f, k, 1);
	set = only_flow();
	before = *set;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t ours = 0, pass = 0;

		for (uint32_t i = 0; i < SINGLES; i++) {
			*set = before;
			for (size_t k = 3; k < to; k++) {
				pass += run_fd(pass_fd, f->bytes[k], f->len[k], 1);
				ours += run(f, k, 1);
			}
		}
		net[round] = (int)(((int64_t)ours - (int64_t)pass) / SINGLES);
	}
	print_row(what, "one client", net, ROUNDS);
}

static void put_block(uint32_t addr, uint8_t bits, uint64_t stem);

/* The same hello with a block of another client of its source, of itself, and of its source. */
static void blocked_hellos(const struct frames *small)
{
	uint64_t stem;

	open_sensor(true, false);
	for (size_t k = 0; k < 4; k++)
		run(small, k, 1);
	stem = only_flow()->row[0].stem;
	for (size_t way = 0; way < FG_WAYS && !stem; way++)
		stem = only_flow()->row[way].stem;
	open_sensor(true, false);
	put_block(1, 32, stem + 1);
	same_hello("hello, another client of it is blocked", small, 4);
	open_sensor(true, false);
	put_block(1, 32, stem);
	same_hello("hello of a blocked client, to XDP_DROP", small, 4);
	open_sensor(true, false);
	for (uint32_t i = 0; i < 100000; i++)
		put_block(0x200000 + i, 32, stem);
	same_hello("hello, 100,000 other clients blocked", small, 4);
}

/* The same hello, its two segments the other way round: the first of them waits in the stash. */
static struct frames swapped(const struct frames *f)
{
	struct frames s = *f;

	s.bytes[3] = f->bytes[4];
	s.len[3] = f->len[4];
	s.bytes[4] = f->bytes[3];
	s.len[4] = f->len[3];
	return s;
}

static uint64_t event(enum fg_event e)
{
	struct fg_totals received, replies;

	if (fg_sensor_totals(sensor, &received, &replies, NULL))
		die("no counters");
	return received.events[e];
}

/* From the frame that completes a blocked client's hello to the mark in its row. Both happen in one
 * run of the program, which drops the frame itself: its time is what there is of a latency. Frames
 * [3, 5) are the hello. */
static void until_dropped(const char *what, const struct frames *f, uint64_t stem)
{
	static int ns[ROUNDS * SINGLES];
	struct fg_flow_set *set, before;
	uint64_t dropped;

	open_sensor(true, false);
	put_block(2, 32, stem);
	for (size_t k = 0; k < 3; k++)
		run(f, k, 1);
	set = only_flow();
	before = *set;
	dropped = event(FG_EVENT_dropped_client);
	for (int i = 0; i < ROUNDS * SINGLES; i++) {
		*set = before;
		run(f, 3, 1);
		ns[i] = (int)run(f, 4, 1);
	}
	if (event(FG_EVENT_dropped_client) != dropped + ROUNDS * SINGLES)
		die("a hello of the blocked client passed");
	print_latency(what, "one client", ns, ROUNDS * SINGLES);
}

static void reordered_hellos(const struct frames *large)
{
	const struct frames other = swapped(large);
	uint64_t stem = 0;

	open_sensor(true, false);
	same_hello("hello, two segments, the second first", &other, 5);
	if (event(FG_EVENT_stashed) != ROUNDS * SINGLES)
		die("the second segment did not wait");
	for (size_t way = 0; way < FG_WAYS && !stem; way++)
		stem = only_flow()->row[way].stem;
	open_sensor(true, true);
	same_hello("the same, bpf_loop", &other, 5);
	until_dropped("last frame to dropped, in order, gross", large, stem);
	until_dropped("last frame to dropped, reordered, gross", &other, stem);
}

/* All four combinations, each on tables of its own. */
static void same_hellos(const struct frames *small, const struct frames *large)
{
	open_sensor(true, false);
	same_hello("hello, one segment, may_goto", small, 4);
	open_sensor(true, false);
	same_hello("hello, two segments, may_goto", large, 5);
	open_sensor(true, true);
	same_hello("hello, one segment, bpf_loop", small, 4);
	open_sensor(true, true);
	same_hello("hello, two segments, bpf_loop", large, 5);
}

/* Moves a client segment on by n times its payload: bytes that were not seen before. */
static void advance(uint8_t *frame, size_t payload, uint32_t n)
{
	uint32_t seq;

	memcpy(&seq, frame + 14 + 20 + 4, sizeof(seq));
	seq = htonl(ntohl(seq) + n * (uint32_t)payload);
	memcpy(frame + 14 + 20 + 4, &seq, sizeof(seq));
}

/* Client data that is new in each call, on one connection or on so many in turn. A frame that is
 * run again and again would be a retransmission from its second time on, which counts nothing. */
static void new_data(const char *what, uint32_t base, uint32_t n_connections)
{
	struct frames *f = calloc(n_connections, sizeof(*f));
	int net[ROUNDS];

	if (!f)
		die("no memory for connections");
	for (uint32_t i = 0; i < n_connections; i++) {
		connection(&f[i], base + i, false);
		for (size_t k = 0; k < 6; k++)
			run(&f[i], k, 1);
	}
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t ours = 0, pass = 0;

		for (uint32_t i = 0; i < SINGLES; i++) {
			/* a step of a large prime: no order that a cache could learn */
			struct frames *c =
				&f[(uint64_t)(round * SINGLES + i) * 7368787 % n_connections];

			advance(c->bytes[5], 1400, 1);
			pass += run_fd(pass_fd, c->bytes[5], c->len[5], 1);
			ours += run(c, 5, 1);
		}
		net[round] = (int)(((int64_t)ours - (int64_t)pass) / SINGLES);
	}
	print_row(what, "fresh", net, ROUNDS);
	for (uint32_t i = 0; i < n_connections; i++)
		forget(&f[i]);
	free(f);
}

static void not_ours(void)
{
	struct fg_end a = fg_end_of("10.0.0.1", 40000), b = fg_end_of("192.0.2.1", 8080);
	struct fg_pkt *p = fg_pkt_new();
	struct frames f = { .n = 0 };
	const struct fg_pkt_tcp tcp = { .flags = FG_PKT_ACK };

	fg_pkt_eth(p);
	fg_pkt_ip(p, &a, &b, NULL);
	fg_pkt_tcp(p, &tcp);
	fg_pkt_payload(p, "0123456789abcdef", 16);
	fg_pkt_end(p);
	keep(&f, 0, p->buf, p->len);
	hot("not ours: another TCP port", &f, 0);
	fg_pkt_reset(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &a, &b, NULL);
	fg_pkt_udp(p, 40000, 53);
	fg_pkt_payload(p, "0123456789abcdef", 16);
	fg_pkt_end(p);
	keep(&f, 0, p->buf, p->len);
	hot("not ours: UDP", &f, 1);
	fg_pkt_free(p);
	forget(&f);
}

/* A block of 10.x.y.z, without end. */
static void put_block(uint32_t addr, uint8_t bits, uint64_t stem)
{
	struct fg_gate_key key = { .bits = (uint8_t)(96 + bits), .stem = stem };

	memcpy(key.addr, fg_end_of("10.0.0.0", 0).addr, sizeof(key.addr));
	key.addr[13] = (uint8_t)(addr >> 16);
	key.addr[14] = (uint8_t)(addr >> 8);
	key.addr[15] = (uint8_t)addr;
	if (fg_sensor_gate_put(sensor, &key, UINT64_MAX, 0))
		die("no block");
}

static void remove_block(uint32_t addr, uint8_t bits)
{
	struct fg_gate_key key = { .bits = (uint8_t)(96 + bits) };

	memcpy(key.addr, fg_end_of("10.0.0.0", 0).addr, sizeof(key.addr));
	key.addr[13] = (uint8_t)(addr >> 16);
	key.addr[14] = (uint8_t)(addr >> 8);
	key.addr[15] = (uint8_t)addr;
	if (fg_sensor_gate_remove(sensor, &key))
		die("no block to remove");
}

/* What blocks cost those that they stop, and those that they do not. */
static void blocked(void)
{
	struct frames f = { .n = 0 };
	char what[64];

	connection(&f, 999999, false); /* 10.15.66.63 */
	put_block(999999, 32, 0);
	hot("SYN of a blocked source, to XDP_DROP", &f, 0);
	for (uint32_t i = 0; i < 100000; i++)
		put_block(0x200000 + i, 32, 0);
	hot("the same, of 100,001 sources", &f, 0);
	remove_block(999999, 32);
	hot("SYN of another source, 100,000 blocked", &f, 0);
	singles("SYN of a new source, 100,000 blocked", "fresh", 900000, false, 0, 1, false);
	for (uint32_t i = 0; i < 100000; i++)
		remove_block(0x200000 + i, 32);
	hot("SYN, no block", &f, 0);
	for (uint8_t n = 1; n <= FG_PREFIX_LENGTHS; n++) {
		put_block(0x800000, (uint8_t)(16 + n), 0);
		if (n & (n - 1))
			continue;
		snprintf(what, sizeof(what), "SYN, %u prefix length%s in use", n, n > 1 ? "s" : "");
		hot(what, &f, 0);
	}
	put_block(0x0f4200, 24, 0);
	hot("SYN of a blocked prefix, 8 lengths, to XDP_DROP", &f, 0);
	forget(&f);
}

int main(void)
{
	struct frames small = { .n = 0 }, large = { .n = 0 };
	struct utsname u;

	uname(&u);
	open_pass();
	printf("Linux %s, %ld CPUs; ns a frame, net of XDP_PASS, median (range) of %d rounds\n",
	       u.release, sysconf(_SC_NPROCESSORS_ONLN), ROUNDS);
	connection(&small, 1, false);
	connection(&large, 2, true);
	open_sensor(true, false);
	not_ours();
	/* SYN, SYN-ACK, ACK, hello, ACK, data */
	hot("SYN", &small, 0);
	singles("SYN of a new source", "fresh", 100000, false, 0, 1, false);
	hot("ACK of an open connection", &small, 4);
	hot("retransmitted data segment", &small, 5);
	new_data("new data, volume on, one connection", 200000, 1);
	new_data("new data, volume on, 32768 connections", 210000, 32768);
	singles("hello, one segment, may_goto", "fresh", 300000, false, 3, 4, false);
	singles("hello, two segments, may_goto", "fresh", 400000, true, 3, 5, false);
	blocked();
	open_sensor(false, false);
	hot("ACK of an open connection, volume off", &small, 4);
	new_data("new data, volume off, one connection", 200000, 1);
	same_hellos(&small, &large);
	reordered_hellos(&large);
	blocked_hellos(&small);
	open_sensor(true, true);
	singles("hello, one segment, bpf_loop", "fresh", 500000, false, 3, 4, false);
	singles("hello, two segments, bpf_loop", "fresh", 600000, true, 3, 5, false);
	forget(&small);
	forget(&large);
	fg_sensor_close(&sensor);
	return 0;
}
