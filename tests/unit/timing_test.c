/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * farmgate/timing.h through an engine and the taker, the host's unless told otherwise (tests/bpf):
 * scripted connections whose times are known to the microsecond, and what may not be measured.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "connection.h"
#include "farmgate/turn_shape.h"
#include "hello_build.h"
#include "source/engine.h"
#include "source/take.h"
#include "whole_frame.h"

#ifndef ENGINE
#define ENGINE	   fg_engine_host
#define FORCE_LOOP false
#endif

#define START_NS 1777593600000000000ULL
#define MS	 1000000ULL
#define S	 1000000000ULL
#define FRAME_US 20 /* the script's frames lie so far apart */

static struct {
	void *engine;
	struct fg_taker *taker;
	uint64_t now_ns; /* of the last frame */
	/* what the records said, news by news */
	struct fg_epoch_flow opened, times, closed;
	unsigned int n_opened, n_times, n_closed, n_records;
	struct fg_epoch_turn turns[64];
	unsigned int n_turns;
	uint64_t exchanges;
} e;

static void ignore_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	(void)sample;
}

static int setup(void **state)
{
	struct fg_engine_conf conf = { .table_bytes = 8 << 20,
				       .force_loop = FORCE_LOOP,
				       .on_sample = ignore_sample };
	char why[256];

	(void)state;
	memset(&e, 0, sizeof(e));
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	conf.config.volume = 1;
	conf.config.seed[0] = 0x1234;
	assert_int_equal(ENGINE.open(&conf, &e.engine, why, sizeof(why)), 0);
	return fg_taker_new(ENGINE.tables(e.engine), &e.taker);
}

static int teardown(void **state)
{
	(void)state;
	fg_taker_free(&e.taker);
	ENGINE.close(e.engine);
	return 0;
}

static void feed(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct fg_capture_frame f = fg_whole_frame(time_ns, frame, len);

	(void)ctx;
	e.now_ns = time_ns;
	assert_int_equal(ENGINE.frame(e.engine, &f), 0);
	assert_int_equal(ENGINE.drain(e.engine), 0);
}

static void keep(const struct fg_epoch_flow *f)
{
	e.n_records++;
	e.exchanges += f->exchanges;
	if (f->news & FG_NEWS_OPENED) {
		e.n_opened++;
		e.opened = *f;
	}
	if (f->news & FG_NEWS_TIMES) {
		e.n_times++;
		e.times = *f;
	}
	if (f->news & FG_NEWS_CLOSED) {
		e.n_closed++;
		e.closed = *f;
	}
	assert_true(f->n_turns <= FG_EPOCH_TURNS);
	for (unsigned int i = 0; i < f->n_turns; i++)
		e.turns[e.n_turns++] = f->turns[i];
}

static void take_at(uint64_t now_ns, bool all)
{
	struct fg_epoch epoch = { .end_ns = now_ns };

	assert_int_equal(fg_taker_take(e.taker, now_ns / FG_REPLAY_TICK_NS, FG_REPLAY_TICK_NS, all,
				       &epoch),
			 0);
	for (size_t i = 0; i < epoch.n_flows; i++)
		keep(&epoch.flows[i]);
}

static void take_all(void)
{
	take_at(e.now_ns, true);
}

static uint8_t hello_bytes[FG_HELLO_BUILD_MAX];

static struct fg_conn conn(const struct fg_hello_desc *d)
{
	struct fg_conn c;

	fg_conn_init(&c, fg_end_of("192.0.2.1", 20000), fg_end_of("198.51.100.1", 443), START_NS,
		     feed, NULL);
	c.hello = hello_bytes;
	c.hello_len = fg_hello_stream(d, hello_bytes, sizeof(hello_bytes));
	return c;
}

static struct fg_conn usual(void)
{
	struct fg_hello_desc d;

	fg_hello_library(&d, "api.example.com");
	return conn(&d);
}

static void shake_hands(struct fg_conn *c)
{
	fg_conn_open(c);
	fg_conn_hello(c);
	fg_conn_finish(c);
}

/* --- Handshake -------------------------------------------------------------------------------- */

/* Each span starts at the reply: the client's own round trip, and nothing of the server's time. */
static void test_timing_spans_of_a_handshake(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	c.rtt_ns = 30 * MS;
	fg_conn_open(&c);
	c.now_ns += 7 * MS;
	fg_conn_hello(&c);
	c.now_ns += 100 * MS; /* the server thinks */
	fg_conn_finish(&c);
	take_at(e.now_ns, false);
	assert_int_equal(e.n_opened, 1);
	assert_int_equal(e.n_times, 0);
	take_all();
	assert_int_equal(e.n_opened, 1);
	assert_int_equal(e.n_times, 1);
	assert_int_equal(e.times.n_rtts, 1);
	assert_in_range(e.times.rtt_us, 30000, 30000 + FRAME_US);
	assert_in_range(e.times.hello_delay_us, 7000, 7000 + FRAME_US);
	assert_in_range(e.times.turn_us, 30000, 30000 + FRAME_US);
	assert_int_equal(e.times.time_flags, FG_TIMES_EGRESS);
	take_all();
	assert_int_equal(e.n_times, 1); /* told once */
	fg_conn_done(&c);
}

/* Who it is: from the SYN and the hello, with the time of each. */
static void test_timing_tells_who_opened(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	c.ttl = 53;
	fg_conn_open(&c);
	take_at(e.now_ns, false);
	assert_int_equal(e.n_opened, 0); /* no hello yet */
	c.now_ns += 2 * S;
	fg_conn_hello(&c);
	take_at(e.now_ns + 500 * MS, false);
	assert_int_equal(e.n_opened, 1);
	assert_true(e.opened.stem && e.opened.print && e.opened.order);
	assert_int_equal(e.opened.ttl, 53);
	assert_true(e.opened.has_tsval);
	assert_in_range(e.opened.tsval_ns, START_NS - 2 * MS, START_NS + 2 * MS);
	assert_in_range(e.opened.opened_ns, START_NS + 29 * MS, START_NS + 31 * MS);
	fg_conn_done(&c);
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void test_timing_reads_the_clients_clock(void **state)
{
	/* Linux order; a timestamp first; none; and one whose length lies */
	uint8_t linux_like[20] = { 2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7 };
	uint8_t first[12] = { 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1 };
	uint8_t none[4] = { 2, 4, 5, 180 }, lies[12] = { 8, 9, 1, 2, 3, 4, 0, 0, 0, 1, 1, 1 };
	const struct {
		const uint8_t *options;
		size_t n;
		bool there;
	} cases[] = { { linux_like, 20, true },
		      { first, 12, true },
		      { none, 4, false },
		      { lies, 12, false } };

	put_be32(linux_like + 8, 0xfedcba98);
	put_be32(first + 2, 0xfedcba98);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fg_conn c = usual();

		teardown(state);
		setup(state);
		c.syn_options = cases[i].options;
		c.n_syn_options = cases[i].n;
		fg_conn_open(&c);
		fg_conn_hello(&c);
		take_all();
		assert_int_equal(e.n_opened, 1);
		assert_int_equal(e.opened.has_tsval, cases[i].there);
		if (cases[i].there)
			assert_int_equal(e.opened.tsval, 0xfedcba98);
		fg_conn_done(&c);
	}
}

/* An answer to something that was sent twice could be to either. */
static void test_timing_leaves_out_what_was_sent_again(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	fg_conn_syn(&c);
	fg_conn_syn_ack(&c);
	fg_conn_syn_ack(&c);
	fg_conn_ack(&c);
	fg_conn_hello(&c);
	fg_conn_finish(&c);
	take_all();
	assert_int_equal(e.times.n_rtts, 0);
	assert_int_equal(e.times.rtt_us, 0);
	assert_true(e.times.time_flags & FG_TIMES_RESENT);
	fg_conn_done(&c);

	teardown(state);
	setup(state);
	c = usual();
	fg_conn_open(&c);
	fg_conn_hello(&c);
	fg_conn_segment(&c, 0, c.hello, c.hello_len); /* the hello again */
	fg_conn_finish(&c);
	take_all();
	assert_int_equal(e.times.n_rtts, 1);
	assert_true(e.times.time_flags & FG_TIMES_RESENT);
	fg_conn_done(&c);
}

/* The server's flight, sent again before it was answered. */
static void test_timing_leaves_out_a_flight_sent_again(void **state)
{
	struct fg_conn c = usual();
	uint8_t finished[64] = { 23, 3, 3, 0, 59 };
	uint32_t before;

	(void)state;
	fg_conn_open(&c);
	fg_conn_hello(&c);
	before = c.server_next;
	fg_conn_reply(&c, hello_bytes, 300);
	c.server_next = before;
	c.now_ns += 200 * MS;
	fg_conn_reply(&c, hello_bytes, 300);
	c.now_ns += c.rtt_ns;
	fg_conn_send(&c, finished, sizeof(finished));
	take_all();
	assert_int_equal(e.times.time_flags, FG_TIMES_RESENT | FG_TIMES_EGRESS);
	fg_conn_done(&c);
}

/* Where the handshake's end came with the hello, it had waited for it. */
static void test_timing_an_ack_with_data_measures_nothing(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	fg_conn_syn(&c);
	fg_conn_syn_ack(&c);
	c.now_ns += 50 * MS;
	fg_conn_hello(&c);
	fg_conn_finish(&c);
	take_all();
	assert_int_equal(e.times.n_rtts, 0);
	assert_int_equal(e.times.hello_delay_us, 0);
	assert_in_range(e.times.turn_us, 30000, 30000 + FRAME_US);
	fg_conn_done(&c);
}

/* Early data follows the hello at once; the turn ends with what acknowledges the server's flight. */
static void test_timing_early_data_ends_no_turn(void **state)
{
	struct fg_conn c = usual();
	uint8_t early[300] = { 23, 3, 3, 1, 39 };

	(void)state;
	fg_conn_open(&c);
	fg_conn_hello(&c);
	c.now_ns -= c.rtt_ns / 2;
	fg_conn_send(&c, early, sizeof(early));
	c.now_ns += c.rtt_ns / 2;
	fg_conn_finish(&c);
	take_all();
	assert_in_range(e.times.turn_us, 30000, 30000 + FRAME_US);
	fg_conn_done(&c);
}

/* HelloRetryRequest: the second hello costs a round trip of its own, the turn is the one behind it. */
static void test_timing_second_hello_starts_the_turn_anew(void **state)
{
	struct fg_conn c = usual();
	uint8_t second[6 + 4096];
	size_t n = 6 + c.hello_len;

	(void)state;
	memcpy(second, "\x14\x03\x03\x00\x01\x01", 6);
	memcpy(second + 6, c.hello, c.hello_len);
	fg_conn_open(&c);
	fg_conn_hello(&c);
	fg_conn_reply(&c, (const uint8_t *)"\x16\x03\x03\x00\x01\x02", 6);
	c.now_ns += 500 * MS; /* slow with its second key share */
	fg_conn_send(&c, second, n);
	c.now_ns += c.rtt_ns / 2;
	fg_conn_finish(&c);
	take_all();
	assert_true(e.times.time_flags & FG_TIMES_SECOND_HELLO);
	assert_in_range(e.times.turn_us, 30000, 30000 + FRAME_US);
	fg_conn_done(&c);
}

/* Further round trips come from replies that a segment without data acknowledges, eight at most. */
static void test_timing_keeps_the_smallest_round_trip(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	shake_hands(&c);
	for (unsigned int i = 0; i < 20; i++) {
		fg_conn_reply(&c, hello_bytes, 100);
		c.now_ns += i == 4 ? 12 * MS : (40 + i) * MS;
		fg_conn_ack(&c);
	}
	take_at(e.now_ns, false);
	assert_int_equal(e.n_times, 1);
	assert_int_equal(e.times.n_rtts, 8);
	assert_in_range(e.times.rtt_us, 12000, 12000 + FRAME_US);
	assert_in_range(e.times.rtt_max_us, 46000, 46000 + FRAME_US);
	fg_conn_done(&c);
}

/* A segment with data was perhaps held back for it, and an old acknowledgement answers nothing. */
static void test_timing_takes_round_trips_from_plain_acks_only(void **state)
{
	struct fg_conn c = usual();
	uint32_t end;

	(void)state;
	shake_hands(&c);
	fg_conn_reply(&c, hello_bytes, 100);
	end = c.server_next;
	c.now_ns += 5 * MS;
	c.server_next -= 1;
	fg_conn_ack(&c); /* not all of it */
	c.server_next = end;
	fg_conn_send(&c, hello_bytes, 50);
	take_all();
	assert_int_equal(e.times.n_rtts, 1);
	fg_conn_done(&c);
}

/* --- Exchanges -------------------------------------------------------------------------------- */

static unsigned int up_of(uint16_t shape)
{
	return shape >> 12;
}

static void test_timing_shape_of_an_exchange(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	shake_hands(&c);
	fg_conn_reply(&c, hello_bytes, 100); /* tickets: the turn of Finished is over */
	c.now_ns += 3 * S;
	c.request_len = 5000;
	c.response_len = 100000;
	c.rtt_ns = 190 * MS; /* the first byte comes after half of it and 5 ms */
	fg_conn_exchange(&c);
	take_at(e.now_ns, false);
	assert_int_equal(e.exchanges, 1);
	assert_int_equal(e.n_turns, 0); /* more could come */
	take_at(e.now_ns + 2 * S, false);
	assert_int_equal(e.n_turns, 1);
	assert_int_equal(up_of(e.turns[0].shape), 6); /* 4096..8191: 1 + 12 - 7 */
	assert_int_equal(e.turns[0].shape >> 8 & 15, 10); /* 65536..131071 */
	assert_int_equal(e.turns[0].shape & 15, 7); /* first byte after 100 ms: 64..127 */
	assert_in_range(e.turns[0].lasted_ms, 100, 103);
	assert_in_range(e.turns[0].chunks, 100000 / c.mss, 100000 / c.mss + 10);
	assert_in_range(e.turns[0].start_ns, START_NS + 3 * S, START_NS + 4 * S);
	take_at(e.now_ns + 3 * S, false);
	assert_int_equal(e.n_turns, 1);
	fg_conn_done(&c);
}

/* An exchange that another one ends has its own numbers, however long the client thought. */
static void test_timing_exchanges_one_after_another(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	shake_hands(&c);
	fg_conn_reply(&c, hello_bytes, 100);
	c.rtt_ns = 20 * MS;
	for (unsigned int i = 0; i < 20; i++) {
		c.request_len = i % 2 ? 300 : 40000;
		c.response_len = 3000;
		c.think_ns = 700 * MS;
		fg_conn_exchange(&c);
		take_at(e.now_ns, false);
	}
	take_all();
	assert_int_equal(e.exchanges, 20);
	assert_int_equal(e.n_turns, 20);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(up_of(e.turns[i].shape), i % 2 ? 2 : 9);
		assert_in_range(e.turns[i].lasted_ms, 14, 17);
		assert_int_equal(e.turns[i].chunks, 3);
	}
	fg_conn_done(&c);
}

/* A connection that stays open for more than a day is heard of with each exchange, a second after its
 * answer, and not when it ends: what checkpoints are for. */
static void test_timing_of_a_connection_open_for_a_day(void **state)
{
	struct fg_conn c = usual();
	uint64_t asked_ns;

	(void)state;
	shake_hands(&c);
	fg_conn_reply(&c, hello_bytes, 100);
	for (unsigned int i = 0; i < 26; i++) {
		c.now_ns += 3600 * S;
		asked_ns = c.now_ns;
		fg_conn_exchange(&c);
		take_at(e.now_ns + S + FG_REPLAY_TICK_NS, false);
		assert_int_equal(e.exchanges, i + 1);
		assert_int_equal(e.n_turns, i + 1);
		assert_in_range(e.turns[i].start_ns, asked_ns - 2 * FG_REPLAY_TICK_NS,
				asked_ns + 2 * FG_REPLAY_TICK_NS);
	}
	fg_conn_close(&c);
	take_all();
	assert_int_equal(e.n_closed, 1);
	assert_in_range(e.closed.lasted_ms, 26 * 3600000, 26 * 3600000 + 60000);
	assert_in_range(e.closed.idle_ms, 0, 1000);
	fg_conn_done(&c);
}

/* More in one epoch than the row remembers: all count, the last ones have a shape. */
static void test_timing_exchanges_beyond_the_ring_count(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	shake_hands(&c);
	fg_conn_reply(&c, hello_bytes, 100);
	c.think_ns = MS;
	for (unsigned int i = 0; i < 50; i++)
		fg_conn_exchange(&c);
	take_all();
	assert_int_equal(e.exchanges, 50);
	assert_int_equal(e.n_turns, FG_TIMING_TURNS + 1);
	take_all();
	assert_int_equal(e.n_turns, FG_TIMING_TURNS + 1);
	fg_conn_done(&c);
}

static void test_timing_turn_logs(void **state)
{
	(void)state;
	for (uint32_t from = 0; from <= 7; from += 7) {
		assert_int_equal(fg_turn_log(0, from), 0);
		for (uint32_t bit = 0; bit < 32; bit++) {
			uint32_t n = 1U << bit, log = bit < from ? 0 : bit - from + 1;

			assert_int_equal(fg_turn_log(n, from), log > 15 ? 15 : log);
			assert_int_equal(fg_turn_log(n - 1, from),
					 log ? (log > 16 ? 15 : log - 1) : 0);
		}
		assert_int_equal(fg_turn_log(0xffffffff, from), 15);
	}
}

/* --- The end ---------------------------------------------------------------------------------- */

static void test_timing_says_who_closed_after_how_long(void **state)
{
	static const struct {
		enum fg_conn_end end;
		uint64_t idle_s;
		enum fg_close by;
	} cases[] = { { FG_CONN_FIN, 5, FG_CLOSE_CLIENT_FIN },
		      { FG_CONN_RST, 45, FG_CLOSE_CLIENT_RST } };

	for (size_t i = 0; i < 2; i++) {
		struct fg_conn c = usual();

		teardown(state);
		setup(state);
		shake_hands(&c);
		fg_conn_reply(&c, hello_bytes, 100);
		c.think_ns = 0;
		fg_conn_exchange(&c);
		c.now_ns += cases[i].idle_s * S - c.rtt_ns / 2;
		fg_conn_send(&c, hello_bytes, 24); /* close_notify is no activity */
		c.end = cases[i].end;
		fg_conn_close(&c);
		take_at(e.now_ns, false);
		assert_int_equal(e.n_closed, 1);
		assert_int_equal(e.closed.closed_by, cases[i].by);
		assert_in_range(e.closed.idle_ms, cases[i].idle_s * 1000 - 2,
				cases[i].idle_s * 1000 + 2);
		assert_in_range(e.closed.lasted_ms, cases[i].idle_s * 1000,
				cases[i].idle_s * 1000 + 200);
		assert_int_equal(e.n_turns, 1); /* the end ends the exchange too */
		fg_conn_done(&c);
	}
}

/* The server's end of an idle connection, its leave-taking included. */
static void test_timing_says_when_the_server_closed(void **state)
{
	struct fg_conn c = usual();
	struct fg_pkt_tcp tcp = { .flags = FG_PKT_FIN | FG_PKT_ACK };

	(void)state;
	shake_hands(&c);
	fg_conn_reply(&c, hello_bytes, 200);
	c.now_ns += 60 * S;
	fg_conn_reply(&c, hello_bytes, 63);
	fg_pkt_reset(c.pkt);
	fg_pkt_eth(c.pkt);
	fg_pkt_ip(c.pkt, &c.server, &c.client, NULL);
	tcp.seq = c.server_next;
	tcp.ack = c.client_next;
	fg_pkt_tcp(c.pkt, &tcp);
	fg_pkt_end(c.pkt);
	feed(NULL, c.now_ns, c.pkt->buf, c.pkt->len);
	c.server_next++;
	c.now_ns += 15 * MS;
	c.end = FG_CONN_FIN;
	fg_conn_close(&c);
	take_all();
	assert_int_equal(e.n_closed, 1);
	assert_int_equal(e.closed.closed_by, FG_CLOSE_SERVER_FIN);
	assert_in_range(e.closed.idle_ms, 59990, 60010);
	fg_conn_done(&c);
}

/* A connection that is replaced by a later one of the same name tells both. */
static void test_timing_of_a_name_used_again(void **state)
{
	struct fg_conn c = usual();

	(void)state;
	fg_conn_run(&c);
	fg_conn_done(&c);
	c = usual();
	c.now_ns = e.now_ns + 10 * MS;
	c.client_isn += 100000;
	c.server_isn += 77;
	c.rtt_ns = 80 * MS;
	fg_conn_run(&c);
	take_all();
	assert_int_equal(e.n_opened, 2);
	assert_int_equal(e.n_times, 2);
	assert_int_equal(e.n_closed, 2);
	fg_conn_done(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_timing_spans_of_a_handshake),
		TEST(test_timing_tells_who_opened),
		TEST(test_timing_reads_the_clients_clock),
		TEST(test_timing_leaves_out_what_was_sent_again),
		TEST(test_timing_leaves_out_a_flight_sent_again),
		TEST(test_timing_an_ack_with_data_measures_nothing),
		TEST(test_timing_early_data_ends_no_turn),
		TEST(test_timing_second_hello_starts_the_turn_anew),
		TEST(test_timing_keeps_the_smallest_round_trip),
		TEST(test_timing_takes_round_trips_from_plain_acks_only),
		TEST(test_timing_shape_of_an_exchange),
		TEST(test_timing_exchanges_one_after_another),
		TEST(test_timing_of_a_connection_open_for_a_day),
		TEST(test_timing_exchanges_beyond_the_ring_count),
		TEST(test_timing_turn_logs),
		TEST(test_timing_says_who_closed_after_how_long),
		TEST(test_timing_says_when_the_server_closed),
		TEST(test_timing_of_a_name_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
