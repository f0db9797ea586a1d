/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * farmgate/pipeline.h through an engine, the host's unless told otherwise (tests/bpf): scripted connections whose exact account is known,
 * and the same frames lost, repeated and out of order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "hello_build.h"
#include "source/engine.h"

#ifndef ENGINE
#define ENGINE	   fg_engine_host
#define FORCE_LOOP false
#define ROUNDS	   600 /* an engine is opened for each */
#endif

#define START_NS   1777593600000000000ULL
#define SECOND_NS  1000000000ULL
#define MAX_FRAMES 64

static struct {
	void *engine;
	struct fg_totals totals;
	uint64_t frames, samples;
	struct fg_sample sample; /* the last one */
} e;

static void keep_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	e.samples++;
	e.sample = *sample;
}

static int setup(void **state)
{
	struct fg_engine_conf conf = { .table_bytes = 8 << 20,
				       .force_loop = FORCE_LOOP,
				       .on_sample = keep_sample };
	char why[256];

	(void)state;
	memset(&e, 0, sizeof(e));
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.ports[8443 >> 6] |= 1ULL << (8443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	conf.config.volume = 1;
	conf.config.sample_all = 1;
	conf.config.seed[0] = 0x1234;
	conf.config.seed[1] = 0x5678;
	return ENGINE.open(&conf, &e.engine, why, sizeof(why));
}

static int teardown(void **state)
{
	(void)state;
	ENGINE.close(e.engine);
	return 0;
}

static void feed_cut(uint64_t time_ns, const uint8_t *frame, size_t len, size_t wire_len)
{
	struct fg_capture_frame f = { .time_ns = time_ns,
				      .data = frame,
				      .len = (uint32_t)len,
				      .frame_len = (uint32_t)wire_len,
				      .wire_len = (uint32_t)wire_len };
	uint64_t sum = 0;

	e.frames++;
	assert_int_equal(ENGINE.frame(e.engine, &f), 0);
	assert_int_equal(ENGINE.drain(e.engine), 0);
	assert_int_equal(ENGINE.totals(e.engine, &e.totals), 0);
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += e.totals.frames[i];
	assert_int_equal(sum, e.frames);
}

static void feed(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)ctx;
	feed_cut(time_ns, frame, len, len);
}

static uint64_t event(enum fg_event which)
{
	return e.totals.events[which];
}

static uint64_t all_incomplete(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < _FG_INCOMPLETE_MAX; i++)
		n += e.totals.incomplete[i];
	return n;
}

/* Sums over all connections, and the sources there are. */
struct account {
	uint64_t exchanges, bytes_in, bytes_out, sources;
};

static struct account take(void)
{
	const struct fg_tables *t = ENGINE.tables(e.engine);
	struct account a = { 0 };

	for (uint32_t i = 0; i < t->n_flows * FG_WAYS; i++) {
		const struct fg_flow_set *set = &t->flows[i / FG_WAYS];

		if (set->tag[i % FG_WAYS] == FG_TAG_FREE)
			continue;
		a.exchanges += set->row[i % FG_WAYS].exchanges;
		a.bytes_in += set->row[i % FG_WAYS].bytes_in;
		a.bytes_out += set->row[i % FG_WAYS].bytes_out;
	}
	for (uint32_t i = 0; i < t->n_sources * FG_WAYS; i++)
		a.sources += t->sources[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE;
	return a;
}

/* The bytes a connection moves beside its exchanges: Finished and its ChangeCipherSpec; ServerHello,
 * ChangeCipherSpec and the rest of the server's flight. */
#define FINISHED_BYTES	  (6 + 58)
#define FLIGHT_BYTES(len) (127 + 6 + 5 + (len))

static uint8_t hello_bytes[FG_HELLO_BUILD_MAX];

static struct fg_conn conn(uint32_t n, const struct fg_hello_desc *d)
{
	struct fg_end client =
		fg_end_of(n & 1 ? "2001:db8:1::1" : "192.0.2.1", (uint16_t)(20000 + n));
	struct fg_end server = fg_end_of(n & 1 ? "2001:db8:ffff::1" : "198.51.100.1", 443);
	struct fg_conn c;

	client.addr[n & 1 ? 7 : 15] = (uint8_t)(n >> 1); /* another source each */
	fg_conn_init(&c, client, server, START_NS + n * 10 * SECOND_NS, feed, NULL);
	c.hello = hello_bytes;
	c.hello_len = fg_hello_stream(d, hello_bytes, sizeof(hello_bytes));
	return c;
}

static void test_pipeline_counts_what_was_done(void **state)
{
	struct account expected = { 0 }, a;
	struct fg_prng r = { 21 };
	struct fg_hello_desc d;

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		struct fg_conn c;

		if (i % 3)
			fg_hello_browser(&d, "api.example.com");
		else
			fg_hello_library(&d, "api.example.com");
		fg_hello_again(&d, &r);
		c = conn(i, &d);
		c.n_exchanges = fg_prng_below(&r, 5);
		c.request_len = 200 + fg_prng_below(&r, 9000);
		c.response_len = 10 + fg_prng_below(&r, 20000);
		c.flight_len = 50 + fg_prng_below(&r, 3000);
		c.end = (enum fg_conn_end)fg_prng_below(&r, 3);
		if (i % 7 == 0) { /* sequence numbers wrap inside the connection */
			c.client_isn = 0U - 400;
			c.server_isn = 0U - 900;
		}
		fg_conn_run(&c);
		fg_conn_done(&c);
		expected.exchanges += c.n_exchanges;
		expected.bytes_in += c.hello_len + FINISHED_BYTES + c.n_exchanges * c.request_len;
		expected.bytes_out += FLIGHT_BYTES(c.flight_len) + c.n_exchanges * c.response_len;
		assert_int_equal(e.samples, i + 1);
		assert_int_equal(e.sample.status, 0);
		assert_memory_equal(e.sample.client, c.client.addr, 16);
	}
	assert_int_equal(event(FG_EVENT_syns), 200);
	assert_int_equal(event(FG_EVENT_connections), 200);
	assert_int_equal(event(FG_EVENT_proven_handshake), 200);
	assert_int_equal(event(FG_EVENT_hellos), 200);
	assert_int_equal(all_incomplete(), 0);
	a = take();
	assert_int_equal(a.sources, 200);
	assert_int_equal(a.exchanges, expected.exchanges);
	assert_int_equal(a.bytes_in, expected.bytes_in);
	assert_int_equal(a.bytes_out, expected.bytes_out);
}

/* Less than an exchange's bytes is none, just enough is one, and a turn counts once. */
static void test_pipeline_exchange_threshold(void **state)
{
	static const struct {
		size_t request_len;
		uint64_t exchanges;
	} cases[] = { { 60, 0 }, { 199, 0 }, { 200, 3 }, { 5000, 3 } };
	struct fg_hello_desc d;

	fg_hello_library(&d, "api.example.com");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fg_conn c;

		teardown(state);
		setup(state);
		c = conn(0, &d);
		fg_conn_open(&c);
		fg_conn_hello(&c);
		fg_conn_finish(&c);
		/* the server's tickets end the turn that the Finished began */
		fg_conn_reply(&c, hello_bytes, 100);
		c.request_len = cases[i].request_len;
		for (int n = 0; n < 3; n++)
			fg_conn_exchange(&c);
		fg_conn_done(&c);
		assert_int_equal(take().exchanges, cases[i].exchanges);
	}
}

static void test_pipeline_without_replies_nothing_is_proven(void **state)
{
	struct fg_hello_desc d;
	struct account a;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	for (uint32_t i = 0; i < 20; i++) {
		struct fg_conn c = conn(i, &d);

		c.ingress_only = true;
		fg_conn_run(&c);
		fg_conn_done(&c);
	}
	a = take();
	assert_int_equal(event(FG_EVENT_connections), 20);
	assert_int_equal(event(FG_EVENT_hellos), 20);
	assert_int_equal(event(FG_EVENT_hellos_unproven), 20);
	assert_int_equal(event(FG_EVENT_proven), 0);
	assert_int_equal(a.sources, 0);
	assert_int_equal(a.exchanges, 20);
}

/* Whoever never saw the SYN-ACK does not know the server's number. */
static void test_pipeline_guessed_acknowledgement_proves_nothing(void **state)
{
	struct fg_prng r = { 3 };
	struct fg_hello_desc d;

	(void)state;
	fg_hello_library(&d, "api.example.com");
	for (uint32_t i = 0; i < 200; i++) {
		struct fg_conn c = conn(i, &d);

		fg_conn_syn(&c);
		fg_conn_syn_ack(&c);
		c.server_next += i % 2 ? 1 + fg_prng_below(&r, 1000) : 0U - 1 - i;
		fg_conn_ack(&c);
		fg_conn_hello(&c);
		fg_conn_done(&c);
	}
	assert_int_equal(event(FG_EVENT_proven), 0);
	assert_int_equal(take().sources, 0);
}

static void test_pipeline_forged_frames_move_no_source(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	fg_hello_library(&d, "api.example.com");
	for (uint32_t i = 0; i < 500; i++) {
		struct fg_conn c = conn(i, &d);

		if (i % 3 == 0)
			fg_conn_syn(&c);
		c.client_next = c.client_isn + 1;
		if (i % 3 == 1)
			fg_conn_ack(&c);
		if (i % 3 != 0)
			fg_conn_hello(&c);
		fg_conn_close(&c);
		fg_conn_done(&c);
	}
	assert_int_equal(event(FG_EVENT_proven), 0);
	assert_int_equal(take().sources, 0);
}

/* --- Frames of one connection, held back and let go in another way ----------------------------- */

static struct {
	size_t n, len[MAX_FRAMES];
	uint8_t bytes[MAX_FRAMES][1600];
} held;

static void hold(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)ctx;
	(void)time_ns;
	assert_true(held.n < MAX_FRAMES && len <= sizeof(held.bytes[0]));
	memcpy(held.bytes[held.n], frame, len);
	held.len[held.n++] = len;
}

static void let_go(size_t i, size_t at)
{
	feed(NULL, START_NS + at * 1000000, held.bytes[i], held.len[i]);
}

static void hold_connection(uint32_t n, const struct fg_hello_desc *d)
{
	struct fg_conn c = conn(n, d);
	size_t cuts[] = { 1, 4, 9, 300, 1000 };

	held.n = 0;
	c.emit = hold;
	c.cuts = cuts;
	c.n_cuts = sizeof(cuts) / sizeof(cuts[0]);
	fg_conn_run(&c);
	fg_conn_done(&c);
}

/* A key is the right one or there is none, whatever was lost, repeated or late. */
static void test_pipeline_a_key_is_never_guessed(void **state)
{
	uint64_t print = 0, complete = 0, broken = 0;
	struct fg_prng r = { 9 };
	struct fg_hello_desc d;

	fg_hello_browser(&d, "api.example.com");
	for (uint32_t i = 0; i < ROUNDS; i++) {
		size_t at = 0;

		teardown(state);
		setup(state);
		hold_connection(0, &d);
		for (size_t n = 0; n < held.n; n++) {
			uint32_t fate = i ? fg_prng_below(&r, 24) : 9;
			size_t other = n + 1 + fg_prng_below(&r, 3);

			if (fate == 0 || (fate == 1 && other >= held.n))
				continue;
			if (fate == 1)
				let_go(other, at++);
			let_go(n, at++);
			if (fate == 2)
				let_go(n, at++);
		}
		if (i == 0)
			print = e.sample.hello.print;
		if (event(FG_EVENT_hellos)) {
			assert_int_equal(event(FG_EVENT_hellos), 1);
			assert_true(e.sample.hello.print == print);
			complete++;
		} else {
			broken++;
		}
		assert_true(event(FG_EVENT_hellos) + all_incomplete() <= 1);
	}
	assert_true(print != 0);
	assert_in_range(complete, ROUNDS / 12, ROUNDS - 1);
	assert_in_range(broken, ROUNDS / 12, ROUNDS - 1);
}

/* Every segment twice, and every one overlapping the one before: same key, same bytes. */
static void test_pipeline_repeated_bytes_count_once(void **state)
{
	struct account once, twice;
	struct fg_hello_desc d;
	uint64_t print;

	fg_hello_browser(&d, "api.example.com");
	hold_connection(0, &d);
	for (size_t i = 0; i < held.n; i++)
		let_go(i, i);
	once = take();
	print = e.sample.hello.print;
	teardown(state);
	setup(state);
	for (size_t i = 0; i < held.n; i++) {
		let_go(i, 2 * i);
		let_go(i, 2 * i + 1);
	}
	twice = take();
	assert_true(e.sample.hello.print == print);
	assert_int_equal(event(FG_EVENT_hellos), 1);
	assert_int_equal(event(FG_EVENT_connections), 1);
	assert_int_equal(once.bytes_in, twice.bytes_in);
	assert_int_equal(once.bytes_out, twice.bytes_out);
	assert_int_equal(once.exchanges, 1);
	assert_int_equal(twice.exchanges, 1);
}

/* A missing segment is said to be missing, and only that. */
static void test_pipeline_a_missing_segment_is_a_gap(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	c = conn(0, &d);
	fg_conn_open(&c);
	fg_conn_segment(&c, 0, c.hello, 300);
	fg_conn_segment(&c, 301, c.hello + 301, c.hello_len - 301);
	fg_conn_segment(&c, 300, c.hello + 300, 1);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 0);
	assert_int_equal(e.totals.incomplete[FG_INCOMPLETE_gap], 1);
	assert_int_equal(all_incomplete(), 1);
	assert_int_equal(e.sample.status, 1 + FG_INCOMPLETE_gap);
}

/* The end of the hello arrives in a segment that begins with bytes seen before. */
static void test_pipeline_overlapping_segments_keep_the_records(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	c = conn(0, &d);
	fg_conn_open(&c);
	fg_conn_segment(&c, 0, c.hello, 900);
	fg_conn_segment(&c, 500, c.hello + 500, c.hello_len - 500);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_exchange(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 1);
	assert_int_equal(event(FG_EVENT_record_lost), 0);
	assert_int_equal(take().exchanges, 2);
	assert_int_equal(take().bytes_in, c.hello_len + FINISHED_BYTES + 2 * c.request_len);
}

/* The hello's record goes on behind it, and early data follows in the same segment: the exchange
 * counts from the application data on. */
static void test_pipeline_early_data_behind_the_hello(void **state)
{
	static uint8_t msg[FG_HELLO_BUILD_MAX], stream[FG_HELLO_BUILD_MAX + 300];
	struct fg_hello_desc d;
	struct fg_conn c;
	size_t len;

	fg_hello_library(&d, "api.example.com");
	for (size_t early = 100; early <= 240; early += 140) {
		teardown(state);
		setup(state);
		c = conn(0, &d);
		len = fg_hello_build(&d, msg);
		memset(msg + len, 0, 90); /* another message in the hello's record */
		len = fg_hello_records(msg, len + 90, NULL, 0, stream, sizeof(stream));
		memcpy(stream + len, "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00", 10);
		stream[len + 10] = (uint8_t)(early - 5);
		memset(stream + len + 11, 0x33, early - 5);
		c.hello = stream;
		c.hello_len = len + 6 + early;
		fg_conn_open(&c);
		fg_conn_hello(&c);
		fg_conn_reply(&c, msg, 500);
		fg_conn_done(&c);
		assert_int_equal(event(FG_EVENT_hellos), 1);
		assert_int_equal(take().exchanges, early >= FG_EXCHANGE_MIN_BYTES);
	}
}

static void test_pipeline_a_cut_capture_says_so(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	hold_connection(0, &d);
	for (size_t i = 0; i < held.n; i++)
		feed_cut(START_NS + i, held.bytes[i], held.len[i] < 200 ? held.len[i] : 200,
			 held.len[i]);
	assert_int_equal(event(FG_EVENT_hellos), 0);
	assert_int_equal(e.totals.incomplete[FG_INCOMPLETE_snaplen], 1);
	assert_int_equal(event(FG_EVENT_proven), 1);
}

static void test_pipeline_both_ports_protected_the_syn_decides(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_library(&d, "api.example.com");
	c = conn(0, &d);
	c.client.port = 8443;
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_connections), 1);
	assert_int_equal(event(FG_EVENT_proven), 1);
	assert_int_equal(event(FG_EVENT_hellos), 1);
	assert_memory_equal(e.sample.client, c.client.addr, 16);
	assert_int_equal(take().bytes_out, FLIGHT_BYTES(c.flight_len) + c.response_len);
}

static void test_pipeline_port_reuse_is_another_connection(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	fg_hello_library(&d, "api.example.com");
	for (uint32_t i = 0; i < 30; i++) {
		struct fg_conn c = conn(0, &d);

		c.now_ns += i * 10 * SECOND_NS;
		c.client_isn += i * 100000007;
		c.server_isn += i * 200000033;
		c.end = (enum fg_conn_end)(i % 3);
		fg_conn_run(&c);
		fg_conn_done(&c);
	}
	assert_int_equal(event(FG_EVENT_connections), 30);
	assert_int_equal(event(FG_EVENT_proven), 30);
	assert_int_equal(event(FG_EVENT_hellos), 30);
	assert_int_equal(take().sources, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pipeline_counts_what_was_done),
		TEST(test_pipeline_exchange_threshold),
		TEST(test_pipeline_without_replies_nothing_is_proven),
		TEST(test_pipeline_guessed_acknowledgement_proves_nothing),
		TEST(test_pipeline_forged_frames_move_no_source),
		TEST(test_pipeline_a_key_is_never_guessed),
		TEST(test_pipeline_repeated_bytes_count_once),
		TEST(test_pipeline_a_missing_segment_is_a_gap),
		TEST(test_pipeline_overlapping_segments_keep_the_records),
		TEST(test_pipeline_early_data_behind_the_hello),
		TEST(test_pipeline_a_cut_capture_says_so),
		TEST(test_pipeline_both_ports_protected_the_syn_decides),
		TEST(test_pipeline_port_reuse_is_another_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
