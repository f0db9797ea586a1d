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
		c.response_len = FG_ANSWER_MIN_BYTES + fg_prng_below(&r, 20000);
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

/* A server's window updates amid an upload end no turn, however many; an answer does, also one that
 * comes in small steps; with replies seen, and by acknowledgements alone. */
static void test_pipeline_window_updates_are_no_answer(void **state)
{
	for (int ingress_only = 0; ingress_only < 2; ingress_only++) {
		struct fg_hello_desc d;
		struct fg_conn c;

		teardown(state);
		setup(state);
		fg_hello_browser(&d, "api.example.com");
		c = conn(0, &d);
		c.ingress_only = ingress_only;
		fg_conn_open(&c);
		fg_conn_hello(&c);
		fg_conn_finish(&c);
		c.request_len = 5000;
		c.response_len = FG_ANSWER_MIN_BYTES;
		fg_conn_exchange(&c);
		for (int i = 0; i < 10; i++) {
			fg_conn_send(&c, hello_bytes, 300);
			fg_conn_reply(&c, hello_bytes, 48);
		}
		fg_conn_ack(&c);
		assert_int_equal(take().exchanges, 2);
		for (int i = 0; i < 3; i++) {
			fg_conn_reply(&c, hello_bytes, 30);
			fg_conn_ack(&c);
		}
		fg_conn_exchange(&c);
		assert_int_equal(take().exchanges, 3);
		/* a byte less than an answer: the next question is the same one */
		c.response_len = FG_ANSWER_MIN_BYTES - 1;
		fg_conn_exchange(&c);
		fg_conn_exchange(&c);
		assert_int_equal(take().exchanges, 4);
		fg_conn_done(&c);
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

/* What the frames of a whole connection come to. */
struct sum {
	uint64_t print, hellos, incomplete, exchanges, bytes_in, record_lost;
};

static struct sum sum(void)
{
	struct account a = take();

	return (struct sum){ e.sample.hello.print, a.exchanges ? event(FG_EVENT_hellos) : 0,
			     all_incomplete(),	   a.exchanges,
			     a.bytes_in,	   event(FG_EVENT_record_lost) };
}

static void assert_sum(const struct sum *is, const struct sum *want)
{
	assert_true(is->print == want->print);
	assert_int_equal(is->hellos, want->hellos);
	assert_int_equal(is->incomplete, want->incomplete);
	assert_int_equal(is->exchanges, want->exchanges);
	assert_int_equal(is->bytes_in, want->bytes_in);
	assert_int_equal(is->record_lost, want->record_lost);
}

static void restart(void **state)
{
	teardown(state);
	setup(state);
}

static struct sum run_whole(void **state, const struct fg_hello_desc *d)
{
	struct fg_conn c;

	restart(state);
	c = conn(0, d);
	fg_conn_run(&c);
	fg_conn_done(&c);
	return sum();
}

/* A hello in n pieces, sent in this order, and the rest of its connection. */
static struct sum run_order(void **state, const struct fg_hello_desc *d, const size_t *cuts,
			    const size_t *order, size_t n)
{
	struct fg_conn c;

	restart(state);
	c = conn(0, d);
	/* the numbers wrap inside the hello */
	c.client_isn = 0xffffffff - 40;
	fg_conn_open(&c);
	for (size_t i = 0; i < n; i++) {
		size_t from = order[i] ? cuts[order[i] - 1] : 0;
		size_t to = order[i] + 1 < n ? cuts[order[i]] : c.hello_len;

		fg_conn_segment(&c, from, c.hello + from, to - from);
	}
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	fg_conn_done(&c);
	return sum();
}

/* Ascending cuts that leave no piece empty, and a random order of the pieces. */
static void random_order(struct fg_prng *r, size_t len, size_t *cuts, size_t *order, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		cuts[i] = len * (i + 1) / n - fg_prng_below(r, (uint32_t)(len / n));
	for (size_t i = 0; i < n; i++) {
		size_t at = fg_prng_below(r, (uint32_t)i + 1);

		order[i] = order[at];
		order[at] = i;
	}
}

/* Up to nine segments in any order: those that come too early wait. */
static void test_pipeline_reordered_segments_give_the_same(void **state)
{
	size_t cuts[FG_WAYS + 1], order[FG_WAYS + 1];
	struct fg_prng r = { 77 };
	struct fg_hello_desc d;
	struct sum want, is;

	fg_hello_browser(&d, "api.example.com");
	want = run_whole(state, &d);
	assert_int_equal(want.hellos, 1);
	for (uint32_t i = 0; i < ROUNDS / 2; i++) {
		size_t n = 2 + fg_prng_below(&r, FG_WAYS);

		random_order(&r, 1500, cuts, order, n);
		is = run_order(state, &d, cuts, order, n);
		assert_sum(&is, &want);
		assert_true(i % 8 || event(FG_EVENT_stashed) <= n);
	}
}

static void test_pipeline_many_small_segments_give_the_same(void **state)
{
	static size_t cuts[2000], order[2000];
	struct fg_hello_desc d;
	struct sum want, is;
	size_t len;

	fg_hello_tool(&d, "api.example.com");
	len = fg_hello_stream(&d, hello_bytes, sizeof(hello_bytes));
	want = run_whole(state, &d);
	/* up to twenty, then one byte each */
	for (size_t n = 2; n <= len; n = n < 20 || n == len ? n + 1 : len) {
		for (size_t i = 0; i < n; i++) {
			cuts[i] = len * (i + 1) / n;
			order[i] = i;
		}
		is = run_order(state, &d, cuts, order, n);
		assert_sum(&is, &want);
	}
}

/* More than there is room for, or from the last to the first of twenty: a gap, never a guess. */
static void test_pipeline_too_many_early_segments_are_a_gap(void **state)
{
	size_t cuts[20], order[20];
	struct fg_hello_desc d;

	fg_hello_browser(&d, "api.example.com");
	for (size_t i = 0; i < 20; i++) {
		cuts[i] = 80 * (i + 1);
		order[i] = 19 - i;
	}
	run_order(state, &d, cuts, order, 20);
	assert_int_equal(event(FG_EVENT_hellos), 0);
	assert_int_equal(e.totals.incomplete[FG_INCOMPLETE_gap], 1);
	assert_int_equal(all_incomplete(), 1);
}

/* A segment that never comes is said to be missing, and only that. */
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
	assert_int_equal(all_incomplete(), 0);
	fg_conn_close(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 0);
	assert_int_equal(e.totals.incomplete[FG_INCOMPLETE_gap], 1);
	assert_int_equal(all_incomplete(), 1);
	assert_int_equal(e.sample.status, 1 + FG_INCOMPLETE_gap);
	assert_int_equal(e.sample.hello.sni_len, 0);
	assert_int_equal(take().bytes_in, c.hello_len);
}

/* The missing segment comes after fifteen seconds: too late. */
static void test_pipeline_a_late_segment_is_a_gap(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	c = conn(0, &d);
	fg_conn_open(&c);
	fg_conn_segment(&c, 300, c.hello + 300, 900);
	c.now_ns += 16 * SECOND_NS;
	fg_conn_segment(&c, 0, c.hello, 300);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 0);
	assert_int_equal(e.totals.incomplete[FG_INCOMPLETE_gap], 1);
	assert_int_equal(all_incomplete(), 1);
}

/* A segment ahead that does not acknowledge the server's ISN exactly is a stranger's: it must not
 * wait to become part of the hello. */
static void test_pipeline_a_strangers_segment_does_not_wait(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	c = conn(0, &d);
	fg_conn_open(&c);
	c.server_next += 5;
	fg_conn_segment(&c, 300, c.hello + 300, 900);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_stashed), 0);
	assert_int_equal(e.totals.incomplete[FG_INCOMPLETE_gap], 1);
}

/* The second segment overtakes even the handshake's last ACK. */
static void test_pipeline_a_segment_may_overtake_the_handshake(void **state)
{
	struct fg_hello_desc d;
	struct sum want, is;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	want = run_whole(state, &d);
	restart(state);
	c = conn(0, &d);
	fg_conn_syn(&c);
	fg_conn_syn_ack(&c);
	fg_conn_segment(&c, 1000, c.hello + 1000, c.hello_len - 1000);
	fg_conn_segment(&c, 0, c.hello, 1000);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	fg_conn_done(&c);
	is = sum();
	assert_sum(&is, &want);
	assert_int_equal(event(FG_EVENT_proven), 1);
}

/* TCP Fast Open: in the SYN all of the hello, or its beginning. */
static void test_pipeline_fast_open(void **state)
{
	struct fg_hello_desc d;
	struct sum want, is;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	want = run_whole(state, &d);
	for (int taken = 0; taken <= 1; taken++) {
		for (size_t n = 700; n <= 1400; n += 700) {
			restart(state);
			c = conn(0, &d);
			c.syn_bytes = n;
			c.syn_taken = taken ? n : 0;
			fg_conn_run(&c);
			fg_conn_done(&c);
			is = sum();
			assert_sum(&is, &want);
			assert_int_equal(event(FG_EVENT_proven), 1);
			assert_int_equal(e.sample.proof, FG_PROOF_HANDSHAKE);
		}
	}
	/* whole: proven and read by the ACK alone */
	fg_hello_tool(&d, "api.example.com");
	restart(state);
	c = conn(0, &d);
	c.syn_bytes = c.syn_taken = c.hello_len;
	fg_conn_syn(&c);
	fg_conn_syn_ack(&c);
	assert_int_equal(event(FG_EVENT_hellos), 0);
	fg_conn_ack(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 1);
	assert_int_equal(event(FG_EVENT_hellos_unproven), 0);
	assert_int_equal(take().bytes_in, c.hello_len);
}

/* What a server refuses is not read: the client may send other bytes then. */
static void test_pipeline_refused_fast_open_is_not_read(void **state)
{
	static uint8_t other_bytes[FG_HELLO_BUILD_MAX];
	struct fg_hello_desc d, other;
	struct sum want, is;
	struct fg_conn c;

	fg_hello_tool(&d, "api.example.com");
	fg_hello_library(&other, "api.example.com");
	want = run_whole(state, &d);
	restart(state);
	c = conn(0, &d);
	c.hello = other_bytes;
	c.syn_bytes = fg_hello_stream(&other, other_bytes, sizeof(other_bytes));
	fg_conn_open(&c);
	c.hello = hello_bytes;
	fg_conn_segment(&c, 200, c.hello + 200, c.hello_len - 200);
	fg_conn_segment(&c, 0, c.hello, 200);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	fg_conn_done(&c);
	is = sum();
	assert_sum(&is, &want);
}

/* A flood of forged SYNs with hellos in them moves nothing but its own counters. */
static void test_pipeline_forged_fast_open_moves_no_source(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_tool(&d, "api.example.com");
	for (uint32_t i = 0; i < 200; i++) {
		c = conn(2 * i, &d);
		c.syn_bytes = c.hello_len;
		fg_conn_syn(&c);
		c.client_next = c.client_isn + 1 + (uint32_t)c.hello_len;
		c.server_next = 12345;
		if (i & 1)
			fg_conn_syn_ack(&c);
		c.server_next = 12345;
		fg_conn_ack(&c);
		fg_conn_done(&c);
	}
	assert_int_equal(event(FG_EVENT_syns), 200);
	assert_int_equal(event(FG_EVENT_proven), 0);
	assert_int_equal(event(FG_EVENT_hellos), event(FG_EVENT_hellos_unproven));
	assert_int_equal(take().sources, 0);
}

/* One byte that TCP sends again to see whether the other side lives is no payload. */
static void test_pipeline_keep_alive_bytes_are_nothing(void **state)
{
	static const uint8_t zero[1];
	struct fg_hello_desc d;
	struct sum want, is;
	struct fg_conn c;

	fg_hello_browser(&d, "api.example.com");
	want = run_whole(state, &d);
	restart(state);
	c = conn(0, &d);
	fg_conn_open(&c);
	fg_conn_segment(&c, (size_t)-1, zero, 1);
	fg_conn_segment(&c, 0, c.hello, 700);
	fg_conn_segment(&c, 699, zero, 1);
	fg_conn_segment(&c, 700, c.hello + 700, c.hello_len - 700);
	fg_conn_segment(&c, c.hello_len - 1, zero, 1);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	fg_conn_done(&c);
	is = sum();
	assert_sum(&is, &want);
}

/* HelloRetryRequest: the first hello is the fingerprint, the second is counted as such. */
static void test_pipeline_second_hello_is_counted_as_such(void **state)
{
	static uint8_t second[FG_HELLO_BUILD_MAX];
	static const uint8_t ccs[] = { 20, 3, 3, 0, 1, 1 };
	static const uint8_t retry[] = { 22, 3, 3, 0, 2, 2, 0 };
	struct fg_hello_desc d, again;
	struct fg_prng r = { 3 };
	struct fg_conn c;
	uint64_t print;
	size_t n;

	(void)state;
	fg_hello_tool(&d, "api.example.com");
	again = d;
	fg_hello_again(&again, &r);
	fg_hello_add_ext(&again, 0x002c);
	again.cookie_len = 32;
	c = conn(0, &d);
	fg_conn_open(&c);
	fg_conn_hello(&c);
	print = e.sample.hello.print;
	fg_conn_reply(&c, retry, sizeof(retry));
	fg_conn_send(&c, ccs, sizeof(ccs));
	n = fg_hello_stream(&again, second, sizeof(second));
	fg_conn_send(&c, second, n);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 1);
	assert_int_equal(event(FG_EVENT_hellos_second), 1);
	assert_true(e.sample.hello.print == print);
	assert_int_equal(e.samples, 1);
	assert_int_equal(take().exchanges, 1);
	assert_int_equal(event(FG_EVENT_record_lost), 0);
}

/* A hello of several kilobytes in jumbo frames, its lists far behind the first page: in the kernel
 * that part lies in a fragment of a multi-buffer frame. What is longer than one reading must be
 * something that is jumped over. */
static void test_pipeline_jumbo_frames(void **state)
{
	struct fg_hello_desc d;
	struct sum want, is;
	struct fg_conn c;

	for (uint16_t padding = 2500; padding <= 9000; padding += 6500) {
		fg_hello_tool(&d, "api.example.com"); /* has a padding near its end */
		memmove(d.exts + 1, d.exts, d.n_exts++ * sizeof(d.exts[0]));
		d.exts[0] = 0x0015;
		d.padding_len = padding;
		want = run_whole(state, &d);
		assert_int_equal(want.hellos, 1);
		restart(state);
		c = conn(0, &d);
		c.mss = 8900;
		fg_conn_run(&c);
		fg_conn_done(&c);
		is = sum();
		assert_sum(&is, &want);
		assert_int_equal(e.totals.frames[FG_FRAME_hello], padding == 2500 ? 1 : 3);
		assert_int_equal(e.totals.frames[FG_FRAME_internal], 0);
	}
}

/* An IP fragment without ports is a named loss; a first fragment that holds it all is as good as a
 * whole packet. */
static void test_pipeline_first_fragments_are_read(void **state)
{
	static const struct fg_pkt_ext more = { .type = 44, .len = 8, .more_fragments = true };
	static const struct fg_pkt_ext later = { .type = 44, .len = 8, .fragment_offset = 1280 };
	struct fg_hello_desc d;
	struct fg_conn c;

	fg_hello_tool(&d, "api.example.com");
	for (uint32_t v6 = 0; v6 <= 1; v6++) {
		restart(state);
		c = conn(v6, &d);
		fg_conn_open(&c);
		c.ip.may_fragment = c.ip.more_fragments = true;
		c.ip.exts = &more;
		c.ip.n_exts = 1;
		fg_conn_hello(&c);
		c.ip.more_fragments = false;
		c.ip.fragment_offset = 1280;
		c.ip.exts = &later;
		fg_conn_segment(&c, c.hello_len, c.hello, 100);
		fg_conn_done(&c);
		assert_int_equal(event(FG_EVENT_hellos), 1);
		assert_int_equal(e.totals.frames[FG_FRAME_fragment], 1);
		assert_int_equal(take().bytes_in, c.hello_len);
	}
}

static void test_pipeline_three_tags(void **state)
{
	struct fg_hello_desc d;
	struct fg_conn c;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	c = conn(0, &d);
	c.vlan[0] = 100;
	c.vlan[1] = 200;
	c.vlan[2] = 300;
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(event(FG_EVENT_hellos), 1);
	assert_int_equal(event(FG_EVENT_proven), 1);
	assert_int_equal(take().exchanges, 1);
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
		TEST(test_pipeline_window_updates_are_no_answer),
		TEST(test_pipeline_without_replies_nothing_is_proven),
		TEST(test_pipeline_guessed_acknowledgement_proves_nothing),
		TEST(test_pipeline_forged_frames_move_no_source),
		TEST(test_pipeline_a_key_is_never_guessed),
		TEST(test_pipeline_repeated_bytes_count_once),
		TEST(test_pipeline_reordered_segments_give_the_same),
		TEST(test_pipeline_many_small_segments_give_the_same),
		TEST(test_pipeline_too_many_early_segments_are_a_gap),
		TEST(test_pipeline_a_missing_segment_is_a_gap),
		TEST(test_pipeline_a_late_segment_is_a_gap),
		TEST(test_pipeline_a_strangers_segment_does_not_wait),
		TEST(test_pipeline_a_segment_may_overtake_the_handshake),
		TEST(test_pipeline_fast_open),
		TEST(test_pipeline_refused_fast_open_is_not_read),
		TEST(test_pipeline_forged_fast_open_moves_no_source),
		TEST(test_pipeline_keep_alive_bytes_are_nothing),
		TEST(test_pipeline_second_hello_is_counted_as_such),
		TEST(test_pipeline_jumbo_frames),
		TEST(test_pipeline_first_fragments_are_read),
		TEST(test_pipeline_three_tags),
		TEST(test_pipeline_overlapping_segments_keep_the_records),
		TEST(test_pipeline_early_data_behind_the_hello),
		TEST(test_pipeline_a_cut_capture_says_so),
		TEST(test_pipeline_both_ports_protected_the_syn_decides),
		TEST(test_pipeline_port_reuse_is_another_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
