/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks of QUIC clients: the loaded program and the agent's half of the stage, on the same tables.
 * What the agent reads in a hello stops the rest of that connection, and no other one.
 */
#include "live.h"
#include "quic_build.h"
#include "source/platform_host.h"
#include "source/quic_take.h"

#include "farmgate/quic.h"

LIVE_SETUP(FG_ROLE_TRANSIT)

static const struct fg_quic_id none = { .len = 0 }, server_id = { 8, { 9, 8, 7, 6, 5, 4, 3, 2 } };
static struct fg_quic_take *take;
static struct {
	uint64_t stem; /* 0 = nobody is blocked */
	uint64_t seen; /* of the last hello */
} block;

static int is_blocked(void *arg, const uint8_t source[16], uint64_t stem, uint64_t stack)
{
	(void)arg;
	(void)source;
	assert_int_equal(stack, FG_STACK_QUIC);
	return stem == block.stem;
}

static void note_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	assert_int_equal(sample->status, 0);
	block.seen = sample->hello.stem;
}

/* The agent of this test has one block, of any source, or none. */
static void begin(void)
{
	const struct fg_quic_take_conf conf = { .config = fg_sensor_config(live.sensor),
						.tables = fg_sensor_tables(live.sensor),
						.on_sample = note_sample,
						.is_blocked = is_blocked };

	fg_quic_take_free(&take);
	assert_int_equal(fg_quic_take_new(&conf, &take), 0);
	fg_sensor_on_datagram(live.sensor, fg_quic_take_datagram, take);
	block.stem = 0;
}

static void set_block(uint64_t stem)
{
	block.stem = stem;
	fg_sensor_tables(live.sensor)->meta->client_blocks = stem != 0;
}

static uint64_t agent_event(enum fg_event e)
{
	struct fg_totals totals = { 0 };

	fg_quic_take_add(take, &totals);
	return totals.events[e];
}

/* --- Datagrams; feeding one lets the agent read it -------------------------------------------- */

static void datagram(bool reply, uint16_t port, const uint8_t *bytes, size_t n)
{
	struct fg_end client = fg_end_of("192.0.2.1", port),
		      server = fg_end_of("198.51.100.1", 443);
	struct fg_pkt *p = fg_pkt_new();

	assert_non_null(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, reply ? &server : &client, reply ? &client : &server, NULL);
	fg_pkt_udp(p, reply ? 443 : port, reply ? port : 443);
	fg_pkt_payload(p, bytes, n);
	fg_pkt_end(p);
	live_feed(p->buf, p->len);
	fg_pkt_free(p);
}

struct part {
	uint8_t connection; /* byte of its first connection ID */
	const struct fg_quic_id *to; /* NULL = that ID */
	uint32_t number;
	size_t from, n; /* n 0 = to the end */
};

/* A part of the hello as an Initial of the client on this port. */
static void initial(uint16_t port, void (*shape)(struct fg_hello_desc *, const char *),
		    const struct part *part)
{
	static uint8_t message[FG_HELLO_BUILD_MAX];
	const struct fg_quic_id first = { 8, { part->connection, 1, 2, 3, 4, 5, 6, 7 } };
	const struct fg_quic_initial q = { .dcid = part->to ? *part->to : first,
					   .key_of = &first,
					   .number = part->number };
	struct fg_quic_frames frames = { .n = 0 };
	struct fg_hello_desc d;
	uint8_t bytes[2048];
	size_t n;

	shape(&d, "api.example.com");
	n = fg_hello_build(&d, message);
	fg_quic_put_crypto(&frames, part->from, message + part->from,
			   part->n ? part->n : n - part->from);
	fg_quic_put_bytes(&frames, 0, 50);
	datagram(false, port, bytes, fg_quic_build(&q, &frames, bytes, sizeof(bytes)));
}

static void whole_initial(uint16_t port, uint8_t connection,
			  void (*shape)(struct fg_hello_desc *, const char *))
{
	initial(port, shape, &(struct part){ .connection = connection });
}

static void answer(uint16_t port)
{
	uint8_t bytes[256];

	datagram(true, port, bytes, fg_quic_long(2, &none, &server_id, 100, bytes));
	assert_int_equal(live.action, XDP_PASS);
}

static uint32_t request(uint16_t port)
{
	uint8_t bytes[512];

	datagram(false, port, bytes, fg_quic_short(&server_id, 300, bytes));
	return live.action;
}

/* Beside the only flow. */
static const struct fg_timing *live_timing(void)
{
	const struct fg_tables *t = fg_sensor_tables(live.sensor);

	for (uint32_t i = 0; i < t->n_flows * FG_WAYS; i++)
		if (&t->flows[i / FG_WAYS].row[i % FG_WAYS] == live_flow())
			return &t->timings[i];
	return NULL;
}

static uint64_t learn(void (*shape)(struct fg_hello_desc *, const char *))
{
	block.seen = 0;
	whole_initial(39999, 0x77, shape);
	assert_true(block.seen != 0);
	return block.seen;
}

static struct fg_quic_knock *knock_of_stem(uint64_t stem, uint8_t state)
{
	const struct fg_tables *t = fg_sensor_tables(live.sensor);

	for (uint32_t i = 0; i < t->n_knocks * FG_WAYS; i++) {
		struct fg_quic_knock *knock = (void *)&t->knocks[i / FG_WAYS].row[i % FG_WAYS];

		if (t->knocks[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE && knock->stem == stem &&
		    knock->state == state)
			return knock;
	}
	return NULL;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void test_quic_drops_what_comes_behind_a_blocked_hello(void **state)
{
	(void)state;
	begin();
	set_block(learn(fg_hello_tool));
	whole_initial(40000, 1, fg_hello_tool);
	assert_int_equal(live.action, XDP_PASS);
	assert_int_equal(agent_event(FG_EVENT_dropped_client), 1);
	assert_int_equal(agent_event(FG_EVENT_late_block), 1);
	answer(40000);
	assert_int_equal(request(40000), XDP_DROP);
	assert_string_equal(live_outcome(), "blocked");
	whole_initial(40000, 1, fg_hello_tool);
	assert_int_equal(live.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_behind), 2);
	assert_int_equal(LIVE_ROWS(flows), 0);
	/* another client of the same address */
	whole_initial(40001, 2, fg_hello_library);
	answer(40001);
	assert_int_equal(request(40001), XDP_PASS);
	assert_int_equal(LIVE_EVENT(dropped_behind), 2);
	assert_int_equal(LIVE_EVENT(proven), 1);
	assert_int_equal(agent_event(FG_EVENT_dropped_client), 1);
}

/* The hello's end comes when the client has used the server's connection ID already. */
static void test_quic_drops_a_connection_that_was_proven_first(void **state)
{
	const struct part first = { .connection = 1, .n = 900 };
	const struct part second = { .connection = 1, .to = &server_id, .number = 1, .from = 900 };

	(void)state;
	begin();
	set_block(learn(fg_hello_browser));
	initial(40000, fg_hello_browser, &first);
	answer(40000);
	initial(40000, fg_hello_browser, &second);
	assert_int_equal(live.action, XDP_PASS);
	assert_int_equal(LIVE_ROWS(flows), 1);
	assert_true(live_flow()->flags & FG_FLOW_DROPPED);
	assert_true(live_flow()->stem == block.stem);
	assert_int_equal(request(40000), XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_behind), 1);
	assert_null(knock_of_stem(block.stem, FG_QUIC_HELLO_KNOWN | FG_QUIC_KNOCK_DROPS));
}

/* A program has made the row and not yet filled it in: what the agent wrote there would be lost. */
static void test_quic_leaves_a_row_alone_that_is_being_made(void **state)
{
	const struct part first = { .connection = 1, .n = 900 };
	const struct part second = { .connection = 1, .number = 1, .from = 900 };
	struct fg_flow *flow;

	(void)state;
	begin();
	set_block(learn(fg_hello_browser));
	initial(40000, fg_hello_browser, &first);
	answer(40000);
	assert_int_equal(request(40000), XDP_PASS);
	flow = (struct fg_flow *)live_flow();
	assert_int_equal(flow->stream, FG_QUIC_PROVEN);
	flow->stream = 0;
	initial(40000, fg_hello_browser, &second);
	assert_int_equal(agent_event(FG_EVENT_dropped_client), 1);
	assert_int_equal(flow->stream, 0);
	assert_false(flow->flags & FG_FLOW_DROPPED);
	assert_non_null(knock_of_stem(block.stem, FG_QUIC_HELLO_KNOWN | FG_QUIC_KNOCK_DROPS));
}

/* Its ports are another client's some day, or the block is gone: what was dropped there is over when
 * the client must have given up, however often it tried. */
static void test_quic_forgets_what_it_dropped(void **state)
{
	const struct fg_tables *t = fg_sensor_tables(live.sensor);
	struct fg_quic_knock *knock;

	(void)state;
	begin();
	set_block(learn(fg_hello_tool));
	whole_initial(40000, 1, fg_hello_tool);
	knock = knock_of_stem(block.stem, FG_QUIC_HELLO_KNOWN | FG_QUIC_KNOCK_DROPS);
	assert_non_null(knock);
	knock->ticks -= (uint32_t)(FG_HELLO_TIMEOUT_NS / fg_sensor_tick_ns(live.sensor)) - 1000;
	whole_initial(40000, 1, fg_hello_tool);
	assert_int_equal(live.action, XDP_DROP);
	knock->ticks -= 1001;
	assert_int_equal(request(40000), XDP_DROP);
	assert_int_equal(t->meta->client_blocks, 1);
	whole_initial(40000, 2, fg_hello_library);
	assert_int_equal(live.action, XDP_PASS);
	answer(40000);
	assert_int_equal(request(40000), XDP_PASS);
	assert_int_equal(LIVE_EVENT(proven), 1);
	assert_int_equal(agent_event(FG_EVENT_dropped_client), 1);
}

/* Requests and answers by the sizes of datagrams; the acknowledgements of an answer are no part of any. */
static void test_quic_tells_what_an_exchange_looks_like(void **state)
{
	const struct fg_turn *turn;
	uint8_t bytes[1400];

	(void)state;
	begin();
	whole_initial(40000, 1, fg_hello_tool);
	answer(40000);
	request(40000); /* 309 bytes */
	for (int i = 0; i < 3; i++) {
		datagram(true, 40000, bytes, fg_quic_short(&none, 1199, bytes));
		datagram(false, 40000, bytes, fg_quic_short(&server_id, 30, bytes));
	}
	assert_int_equal(live_flow()->exchanges, 1);
	assert_int_equal(live_flow()->chunks, 3);
	request(40000);
	assert_int_equal(live_flow()->exchanges, 2);
	assert_int_equal(live_flow()->chunks, 0);
	assert_int_equal(live_flow()->bytes_in, 2 * 309);
	assert_int_equal(live_flow()->bytes_out, 3 * 1200);
	turn = &live_timing()->turns[0];
	assert_int_equal(turn->chunks, 3);
	assert_int_equal(turn->shape >> 8, fg_turn_shape(309, 3600, 0, 0) >> 8);
	assert_true(turn->start != 0);
}

static int end_all(void **state)
{
	(void)state;
	fg_quic_take_free(&take);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_quic_drops_what_comes_behind_a_blocked_hello),
		LIVE_TEST(test_quic_drops_a_connection_that_was_proven_first),
		LIVE_TEST(test_quic_leaves_a_row_alone_that_is_being_made),
		LIVE_TEST(test_quic_forgets_what_it_dropped),
		LIVE_TEST(test_quic_tells_what_an_exchange_looks_like),
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, end_all);
}
