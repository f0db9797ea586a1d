/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate of the loaded program: what a block of a source and of a client stops, what it must let
 * pass, and that it ends by the kernel's own ticks.
 */
#include "live.h"

LIVE_SETUP(FG_ROLE_TRANSIT)

#define FOREVER UINT64_MAX

static uint8_t hello_bytes[FG_HELLO_BUILD_MAX];

static struct fg_conn conn(const char *client, uint16_t port,
			   void (*shape)(struct fg_hello_desc *, const char *))
{
	struct fg_conn c = live_conn(client, port, live_emit);
	struct fg_hello_desc d;

	shape(&d, "api.example.com");
	c.hello = hello_bytes;
	c.hello_len = fg_hello_stream(&d, hello_bytes, sizeof(hello_bytes));
	return c;
}

static void syn_of(const char *client, uint16_t port)
{
	struct fg_conn c = live_conn(client, port, live_emit);

	fg_conn_syn(&c);
	fg_conn_done(&c);
}

static void test_gate_drops_the_syn_of_a_blocked_source(void **state)
{
	struct fg_end blocked = fg_end_of("192.0.2.1", 0);

	(void)state;
	assert_int_equal(fg_sensor_block(live.sensor, blocked.addr, FOREVER), 0);
	syn_of("192.0.2.1", 40000);
	assert_int_equal(live.action, XDP_DROP);
	assert_string_equal(live_outcome(), "blocked");
	assert_int_equal(LIVE_EVENT(dropped_source), 1);
	assert_int_equal(LIVE_ROWS(knocks), 0);
	syn_of("192.0.2.2", 40000);
	assert_int_equal(live.action, XDP_PASS);
	assert_string_equal(live_outcome(), "syn");
	assert_int_equal(fg_sensor_unblock(live.sensor, blocked.addr), 0);
	syn_of("192.0.2.1", 40000);
	assert_int_equal(live.action, XDP_PASS);
	assert_int_equal(LIVE_EVENT(dropped_source), 1);
}

static void test_gate_blocks_ipv6_by_the_64(void **state)
{
	struct fg_end blocked = fg_end_of("2001:db8:1:2::", 0);

	(void)state;
	assert_int_equal(fg_sensor_block(live.sensor, blocked.addr, FOREVER), 0);
	syn_of("2001:db8:1:2:aaaa::1", 40000);
	assert_int_equal(live.action, XDP_DROP);
	syn_of("2001:db8:1:2:bbbb:cccc::7", 40000);
	assert_int_equal(live.action, XDP_DROP);
	syn_of("2001:db8:1:3::1", 40000);
	assert_int_equal(live.action, XDP_PASS);
}

/* What was open before the block goes on to its end. */
static void test_gate_spares_established_connections(void **state)
{
	struct fg_conn c = conn("192.0.2.1", 40000, fg_hello_browser);

	(void)state;
	fg_conn_open(&c);
	fg_conn_hello(&c);
	assert_int_equal(fg_sensor_block(live.sensor, c.client.addr, FOREVER), 0);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	fg_conn_close(&c);
	assert_int_equal(LIVE_OUTCOME(blocked), 0);
	assert_int_equal(LIVE_EVENT(dropped_source), 0);
	assert_int_equal(live_flow()->exchanges, 1);
	fg_conn_done(&c);
}

static void test_gate_block_ends_by_ticks(void **state)
{
	struct fg_end source = fg_end_of("192.0.2.1", 0);
	uint64_t now, until;

	(void)state;
	assert_int_equal(fg_sensor_ticks(live.sensor, &now), 0);
	assert_int_equal(fg_sensor_block(live.sensor, source.addr, now), 0);
	syn_of("192.0.2.1", 40000);
	assert_int_equal(live.action, XDP_PASS);
	/* far enough that one frame fits in between, near enough to be waited for */
	until = now + 500000000ULL / fg_sensor_tick_ns(live.sensor);
	assert_int_equal(fg_sensor_block(live.sensor, source.addr, until), 0);
	syn_of("192.0.2.1", 40001);
	assert_int_equal(fg_sensor_ticks(live.sensor, &now), 0);
	if (now < until)
		assert_int_equal(live.action, XDP_DROP);
	while (now < until) {
		usleep(10000);
		assert_int_equal(fg_sensor_ticks(live.sensor, &now), 0);
	}
	syn_of("192.0.2.1", 40002);
	assert_int_equal(live.action, XDP_PASS);
}

/* A connection of each kind, so that its stem and stack are known. */
static struct fg_sample learn(const char *client, uint16_t port,
			      void (*shape)(struct fg_hello_desc *, const char *))
{
	struct fg_conn c = conn(client, port, shape);

	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(live.sample.status, 0);
	assert_true(live.sample.stack != 0);
	return live.sample;
}

static void test_gate_drops_a_blocked_client_and_spares_its_neighbour(void **state)
{
	struct fg_sample bad = learn("192.0.2.1", 40000, fg_hello_browser);
	struct fg_conn c = conn("192.0.2.1", 40001, fg_hello_browser);

	(void)state;
	assert_int_equal(fg_sensor_block_client(live.sensor, bad.client, bad.hello.stem, bad.stack,
						FOREVER),
			 0);
	fg_conn_open(&c);
	assert_int_equal(live.action, XDP_PASS);
	/* the hello has two segments: only the one that completes it can be told */
	fg_conn_segment(&c, 0, c.hello, 1000);
	assert_int_equal(live.action, XDP_PASS);
	fg_conn_segment(&c, 1000, c.hello + 1000, c.hello_len - 1000);
	assert_int_equal(live.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_client), 1);
	fg_conn_segment(&c, 1000, c.hello + 1000, c.hello_len - 1000);
	assert_int_equal(live.action, XDP_DROP);
	assert_string_equal(live_outcome(), "blocked");
	fg_conn_segment(&c, 0, c.hello, 1000);
	assert_int_equal(live.action, XDP_DROP);
	fg_conn_send(&c, c.hello, 300);
	assert_int_equal(live.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_client), 4);
	fg_conn_ack(&c);
	assert_int_equal(live.action, XDP_PASS);
	fg_conn_done(&c);

	c = conn("192.0.2.1", 40002, fg_hello_library);
	fg_conn_run(&c);
	fg_conn_done(&c);
	c = conn("192.0.2.2", 40001, fg_hello_browser);
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(dropped_client), 4);
	assert_int_equal(LIVE_OUTCOME(blocked), 3);
}

static void test_gate_tells_stacks_apart(void **state)
{
	struct fg_sample bad = learn("192.0.2.1", 40000, fg_hello_tool);
	struct fg_conn c;

	(void)state;
	assert_int_equal(fg_sensor_block_client(live.sensor, bad.client, bad.hello.stem, bad.stack,
						FOREVER),
			 0);
	c = conn("192.0.2.1", 40001, fg_hello_tool);
	c.ttl = 128;
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(dropped_client), 0);
	assert_int_equal(
		fg_sensor_block_client(live.sensor, bad.client, bad.hello.stem, 0, FOREVER), 0);
	c = conn("192.0.2.1", 40002, fg_hello_tool);
	c.ttl = 128;
	fg_conn_open(&c);
	fg_conn_hello(&c);
	assert_int_equal(live.action, XDP_DROP);
	fg_conn_done(&c);
	assert_int_equal(fg_sensor_unblock_client(live.sensor, bad.client, bad.hello.stem, 0), 0);
	c = conn("192.0.2.1", 40003, fg_hello_tool);
	c.ttl = 128;
	fg_conn_open(&c);
	fg_conn_hello(&c);
	assert_int_equal(live.action, XDP_PASS);
	fg_conn_done(&c);
}

/* A blocked client that comes again and again, and never says goodbye, takes the table from nobody
 * for longer than its connections live. */
static void test_gate_dropped_connections_give_their_rows_back(void **state)
{
	struct fg_sample bad = learn("192.0.2.1", 40000, fg_hello_library);
	struct fg_tables small = *fg_sensor_tables(live.sensor);
	struct fg_meta *meta;

	(void)state;
	live_close();
	small.n_flows = 1;
	assert_int_equal(live_open(FG_ROLE_TRANSIT, false, &small), 0);
	assert_int_equal(fg_sensor_block_client(live.sensor, bad.client, bad.hello.stem, bad.stack,
						FOREVER),
			 0);
	for (uint16_t i = 0; i < FG_WAYS; i++) {
		struct fg_conn c = conn("192.0.2.1", (uint16_t)(41000 + i), fg_hello_library);

		fg_conn_open(&c);
		fg_conn_hello(&c);
		assert_int_equal(live.action, XDP_DROP);
		fg_conn_done(&c);
	}
	meta = fg_sensor_tables(live.sensor)->meta;
	for (uint32_t idle = 4; idle < 100000; idle *= 8) {
		struct fg_conn c = conn("192.0.2.9", (uint16_t)idle, fg_hello_tool);

		meta->epoch += idle;
		fg_conn_open(&c);
		fg_conn_done(&c);
		if (idle == 4) /* the client may still be sending */
			assert_int_equal(LIVE_OUTCOME(flow_table_full), 1);
	}
	assert_string_equal(live_outcome(), "ack");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_gate_drops_the_syn_of_a_blocked_source),
		LIVE_TEST(test_gate_blocks_ipv6_by_the_64),
		LIVE_TEST(test_gate_spares_established_connections),
		LIVE_TEST(test_gate_block_ends_by_ticks),
		LIVE_TEST(test_gate_drops_a_blocked_client_and_spares_its_neighbour),
		LIVE_TEST(test_gate_tells_stacks_apart),
		LIVE_TEST(test_gate_dropped_connections_give_their_rows_back),
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
