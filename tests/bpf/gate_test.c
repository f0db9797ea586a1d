/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate of the loaded program: what a block of a source, of a prefix and of a client stops, what it
 * must let pass, and that it ends by the kernel's own ticks. tests/bpf/reset_test.c has the RSTs.
 */
#include <arpa/inet.h>
#include <errno.h>

#include "lib/ip.h"
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
	assert_int_equal(LIVE_EVENT(dropped_client), 1);
	assert_int_equal(LIVE_EVENT(dropped_behind), 3);
	fg_conn_ack(&c);
	assert_int_equal(live.action, XDP_PASS);
	fg_conn_done(&c);

	c = conn("192.0.2.1", 40002, fg_hello_library);
	fg_conn_run(&c);
	fg_conn_done(&c);
	c = conn("192.0.2.2", 40001, fg_hello_browser);
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(dropped_client), 1);
	assert_int_equal(LIVE_EVENT(dropped_behind), 3);
	assert_int_equal(LIVE_OUTCOME(blocked), 3);
}

/* The second segment comes first and waits in the stash; which of them completes the hello does not
 * matter. Its own neighbour, in the same order, passes. */
static void test_gate_drops_a_blocked_client_whose_segments_are_swapped(void **state)
{
	struct fg_sample bad = learn("192.0.2.1", 40000, fg_hello_browser);
	struct fg_conn c = conn("192.0.2.1", 40001, fg_hello_browser);

	(void)state;
	assert_int_equal(fg_sensor_block_client(live.sensor, bad.client, bad.hello.stem, bad.stack,
						FOREVER),
			 0);
	fg_conn_open(&c);
	fg_conn_segment(&c, 1000, c.hello + 1000, c.hello_len - 1000);
	assert_int_equal(live.action, XDP_PASS);
	assert_int_equal(LIVE_EVENT(stashed), 1);
	fg_conn_segment(&c, 0, c.hello, 1000);
	assert_int_equal(live.action, XDP_DROP);
	assert_string_equal(live_outcome(), "hello");
	assert_int_equal(LIVE_EVENT(dropped_client), 1);
	fg_conn_segment(&c, 1000, c.hello + 1000, c.hello_len - 1000);
	assert_int_equal(live.action, XDP_DROP);
	fg_conn_send(&c, c.hello, 300);
	assert_int_equal(live.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_behind), 2);
	fg_conn_done(&c);

	c = conn("192.0.2.1", 40002, fg_hello_browser_plain);
	fg_conn_open(&c);
	fg_conn_segment(&c, 1000, c.hello + 1000, c.hello_len - 1000);
	fg_conn_segment(&c, 0, c.hello, 1000);
	assert_int_equal(live.action, XDP_PASS);
	assert_string_equal(live_outcome(), "hello");
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(hellos), 3);
	assert_int_equal(LIVE_EVENT(dropped_client), 1);
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

/* --- Prefixes --------------------------------------------------------------------------------- */

static struct fg_gate_key key_of(const char *addr, uint8_t bits)
{
	struct fg_end end = fg_end_of(addr, 0);
	struct fg_gate_key key = { .bits = bits };

	memcpy(key.addr, end.addr, sizeof(key.addr));
	return key;
}

static int put_prefix(const char *addr, uint8_t bits)
{
	struct fg_gate_key key = key_of(addr, bits);

	return fg_sensor_gate_put(live.sensor, &key, FOREVER, 0);
}

static int remove_prefix(const char *addr, uint8_t bits)
{
	struct fg_gate_key key = key_of(addr, bits);

	return fg_sensor_gate_remove(live.sensor, &key);
}

static uint32_t syn_action(const char *client)
{
	syn_of(client, 40000);
	return live.action;
}

static void test_gate_drops_what_comes_from_a_prefix(void **state)
{
	(void)state;
	assert_int_equal(put_prefix("192.0.2.0", 120), 0);
	assert_int_equal(put_prefix("2001:db8:7::", 48), 0);
	assert_int_equal(syn_action("192.0.2.0"), XDP_DROP);
	assert_string_equal(live_outcome(), "blocked");
	assert_int_equal(syn_action("192.0.2.255"), XDP_DROP);
	assert_int_equal(syn_action("192.0.1.255"), XDP_PASS);
	assert_int_equal(syn_action("192.0.3.0"), XDP_PASS);
	assert_int_equal(syn_action("2001:db8:7:ffff:ffff:ffff:ffff:ffff"), XDP_DROP);
	assert_int_equal(syn_action("2001:db8:7::"), XDP_DROP);
	assert_int_equal(syn_action("2001:db8:6:ffff::1"), XDP_PASS);
	assert_int_equal(syn_action("2001:db8:8::"), XDP_PASS);
	assert_int_equal(LIVE_EVENT(dropped_prefix), 4);
	assert_int_equal(LIVE_EVENT(dropped_source), 0);
	assert_int_equal(remove_prefix("192.0.2.0", 120), 0);
	assert_int_equal(remove_prefix("2001:db8:7::", 48), 0);
	assert_int_equal(remove_prefix("2001:db8:7::", 48), -ENOENT);
	assert_int_equal(syn_action("192.0.2.1"), XDP_PASS);
	assert_int_equal(syn_action("2001:db8:7::1"), XDP_PASS);
}

/* The first and the last address of each length, and their neighbours outside. */
static void test_gate_knows_each_prefix_length(void **state)
{
	struct fg_gate_key key;

	(void)state;
	for (uint8_t bits = FG_PREFIX6_MIN; bits <= FG_PREFIX4_MAX; bits++) {
		bool is4 = bits >= FG_PREFIX4_MIN;
		uint8_t bit = (uint8_t)(bits - 1);
		char inside[64], outside[64];
		struct fg_end last;

		if (bits > FG_PREFIX6_MAX && !is4)
			continue;
		key = is4 ? key_of("101.85.170.84", bits) : key_of("2a05:5aa5:5aa5:5aa4::", bits);
		for (int i = bits; i < 128; i++)
			key.addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
		assert_int_equal(fg_sensor_gate_put(live.sensor, &key, FOREVER, 0), 0);
		memcpy(last.addr, key.addr, 16);
		for (int i = bits; i < 128; i++)
			last.addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
		fg_ip_prefix(last.addr, 128, inside);
		last.addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		fg_ip_prefix(last.addr, 128, outside);
		assert_int_equal(syn_action(inside), XDP_DROP);
		assert_int_equal(syn_action(outside), XDP_PASS);
		assert_int_equal(fg_sensor_gate_remove(live.sensor, &key), 0);
		assert_int_equal(syn_action(inside), XDP_PASS);
	}
}

static void test_gate_refuses_other_prefixes(void **state)
{
	struct fg_gate_key client = key_of("192.0.2.0", 120);

	(void)state;
	assert_int_equal(put_prefix("64.0.0.0", 103), -EINVAL);
	assert_int_equal(put_prefix("2000::", 15), -EINVAL);
	assert_int_equal(put_prefix("2001:db8::", 65), -EINVAL);
	assert_int_equal(put_prefix("2001:db8::1", 128), -EINVAL);
	assert_int_equal(put_prefix("2001:db8::1", 64), -EINVAL);
	assert_int_equal(put_prefix("192.0.2.1", 120), -EINVAL);
	client.stem = 1;
	assert_int_equal(fg_sensor_gate_put(live.sensor, &client, FOREVER, 0), -EINVAL);
	assert_int_equal(fg_sensor_tables(live.sensor)->meta->lengths4, 0);
	assert_int_equal(fg_sensor_tables(live.sensor)->meta->lengths6, 0);
}

/* No more lengths at once than a SYN may cost look-ups; a length that is no longer used makes room. */
static void test_gate_caps_prefix_lengths(void **state)
{
	const struct fg_meta *meta = fg_sensor_tables(live.sensor)->meta;

	(void)state;
	for (uint8_t i = 0; i < FG_PREFIX_LENGTHS; i++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "10.%u.0.0", i);
		assert_int_equal(put_prefix(addr, (uint8_t)(112 + i)), 0);
		snprintf(addr, sizeof(addr), "2001:db8:%x::", i);
		assert_int_equal(put_prefix(addr, (uint8_t)(48 + i)), 0);
	}
	assert_int_equal(put_prefix("10.200.0.0", 120), -ENOSPC);
	assert_int_equal(put_prefix("2001:db8:c000::", 34), -ENOSPC);
	/* of a length that is there, as many as one likes */
	assert_int_equal(put_prefix("10.201.0.0", 113), 0);
	for (uint8_t i = 0; i < FG_PREFIX_LENGTHS; i++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "10.%u.0.1", i);
		assert_int_equal(syn_action(addr), XDP_DROP);
		snprintf(addr, sizeof(addr), "2001:db8:%x::1", i);
		assert_int_equal(syn_action(addr), XDP_DROP);
		/* the longest first */
		assert_int_equal(meta->lengths4 >> 8 * i & 0xff, 119 - i);
		assert_int_equal(meta->lengths6 >> 8 * i & 0xff, 55 - i);
	}
	assert_int_equal(remove_prefix("10.1.0.0", 113), 0);
	assert_int_equal(put_prefix("10.200.0.0", 120), -ENOSPC);
	assert_int_equal(remove_prefix("10.201.0.0", 113), 0);
	assert_int_equal(put_prefix("10.200.0.0", 120), 0);
	assert_int_equal(syn_action("10.200.0.255"), XDP_DROP);
	assert_int_equal(syn_action("10.1.0.1"), XDP_PASS);
}

/* --- What a block counts ---------------------------------------------------------------------- */

static struct fg_block read_block(const struct fg_gate_key *key)
{
	struct fg_block block;

	assert_int_equal(fg_sensor_gate_read(live.sensor, key, &block), 0);
	return block;
}

static void test_gate_counts_for_each_block(void **state)
{
	struct fg_gate_key source = key_of("192.0.2.1", 128), prefix = key_of("192.0.2.0", 120);
	uint64_t before, after;
	struct fg_block block;

	(void)state;
	assert_int_equal(fg_sensor_gate_put(live.sensor, &source, FOREVER, 0), 0);
	assert_int_equal(fg_sensor_gate_put(live.sensor, &prefix, FOREVER, FG_BLOCK_ESTABLISHED),
			 0);
	assert_int_equal(read_block(&source).hits, 0);
	assert_int_equal(fg_sensor_ticks(live.sensor, &before), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(syn_action("192.0.2.1"), XDP_DROP);
	assert_int_equal(syn_action("192.0.2.2"), XDP_DROP);
	assert_int_equal(fg_sensor_ticks(live.sensor, &after), 0);
	block = read_block(&source);
	assert_int_equal(block.hits, 3);
	assert_in_range(block.last_ticks, before, after);
	assert_int_equal(block.flags, 0);
	block = read_block(&prefix);
	assert_int_equal(block.hits, 1);
	assert_in_range(block.last_ticks, before, after);
	assert_int_equal(block.flags, FG_BLOCK_ESTABLISHED);
	/* a renewal keeps them */
	assert_int_equal(fg_sensor_gate_put(live.sensor, &source, FOREVER - 1, 0), 0);
	assert_int_equal(read_block(&source).hits, 3);
	assert_true(read_block(&source).until_ticks == FOREVER - 1);
}

/* Whoever forges SYNs of a blocked source moves what the gate tells of itself, and nothing that a
 * verdict could rest on. */
static void test_gate_keeps_no_trace_of_forged_syns(void **state)
{
	(void)state;
	assert_int_equal(put_prefix("192.0.2.0", 120), 0);
	for (uint16_t i = 0; i < 64; i++)
		syn_of("192.0.2.1", (uint16_t)(1024 + i));
	assert_int_equal(LIVE_EVENT(dropped_prefix), 64);
	assert_int_equal(LIVE_ROWS(knocks), 0);
	assert_int_equal(LIVE_ROWS(flows), 0);
	assert_int_equal(LIVE_ROWS(sources), 0);
	assert_int_equal(LIVE_ROWS(clients), 0);
	assert_int_equal(LIVE_EVENT(connections), 0);
	assert_int_equal(LIVE_EVENT(proven), 0);
}

static int count_entry(void *arg, const struct fg_gate_key *key, const struct fg_block *block)
{
	size_t *n = arg;

	assert_true(block->until_ticks == FOREVER);
	n[key->stem ? 2 : key->bits == 120]++;
	return 0;
}

/* Drop maps that are there already: what the next agent finds, and counts anew. */
static void test_gate_lists_and_recounts(void **state)
{
	struct fg_meta *meta = fg_sensor_tables(live.sensor)->meta;
	struct fg_gate_key client = key_of("192.0.2.1", 128);
	size_t n[3] = { 0 };

	(void)state;
	client.stem = 7;
	assert_int_equal(fg_sensor_gate_put(live.sensor, &client, FOREVER, 0), 0);
	assert_int_equal(put_prefix("192.0.2.0", 120), 0);
	assert_int_equal(put_prefix("192.0.2.1", 128), 0);
	assert_int_equal(put_prefix("192.0.2.3", 128), 0);
	assert_int_equal(fg_sensor_gate_each(live.sensor, count_entry, n), 0);
	assert_int_equal(n[0], 2);
	assert_int_equal(n[1], 1);
	assert_int_equal(n[2], 1);
	meta->source_blocks = meta->client_blocks = 0;
	meta->lengths4 = 0;
	assert_int_equal(syn_action("192.0.2.9"), XDP_PASS);
	assert_int_equal(fg_sensor_gate_recount(live.sensor), 0);
	assert_int_equal(meta->source_blocks, 2);
	assert_int_equal(meta->client_blocks, 1);
	assert_int_equal(meta->lengths4, 120);
	assert_int_equal(syn_action("192.0.2.9"), XDP_DROP);
}

/* --- The line of what is established ---------------------------------------------------------- */

/* Before the hello is complete, a connection is being established: a SYN that came in time helps
 * nobody. Behind it, it lives on. */
static void being_established(const struct fg_gate_key *key, size_t hello_bytes_before)
{
	struct fg_conn c = conn("192.0.2.1", 40000, fg_hello_browser);
	size_t n = hello_bytes_before;

	fg_conn_open(&c);
	if (n)
		fg_conn_segment(&c, 0, c.hello, n);
	assert_int_equal(fg_sensor_gate_put(live.sensor, key, FOREVER, 0), 0);
	for (; n < c.hello_len; n += 1000) {
		assert_int_equal(live.action, XDP_PASS);
		fg_conn_segment(&c, n, c.hello + n,
				c.hello_len - n < 1000 ? c.hello_len - n : 1000);
	}
	assert_int_equal(live.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_behind), 0);
	fg_conn_send(&c, c.hello, 300);
	assert_int_equal(live.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(dropped_behind), 1);
	assert_int_equal(read_block(key).hits, 1);
	fg_conn_done(&c);
}

static void test_gate_drops_the_hello_behind_an_early_syn(void **state)
{
	struct fg_gate_key key = key_of("192.0.2.1", 128);

	(void)state;
	being_established(&key, 0);
	assert_int_equal(LIVE_EVENT(dropped_source), 1);
}

static void test_gate_drops_the_rest_of_a_hello(void **state)
{
	struct fg_gate_key key = key_of("192.0.2.0", 120);

	(void)state;
	being_established(&key, 1000);
	assert_int_equal(LIVE_EVENT(dropped_prefix), 1);
}

/* No TLS: nobody can tell when it would be established, and what it was before the block it stays. */
static void test_gate_passes_what_it_cannot_tell(void **state)
{
	static const uint8_t text[] = "GET / HTTP/1.1\r\n\r\n";
	struct fg_conn c = conn("192.0.2.1", 40000, fg_hello_tool);

	(void)state;
	fg_conn_open(&c);
	assert_int_equal(put_prefix("192.0.2.1", 128), 0);
	fg_conn_send(&c, text, sizeof(text));
	assert_int_equal(live.action, XDP_PASS);
	assert_int_equal(LIVE_EVENT(not_tls), 1);
	fg_conn_done(&c);
}

/* --- Told to: connections that were there before ---------------------------------------------- */

static struct fg_conn established(const char *client, uint16_t port,
				  void (*shape)(struct fg_hello_desc *, const char *))
{
	struct fg_conn c = conn(client, port, shape);

	fg_conn_open(&c);
	fg_conn_hello(&c);
	fg_conn_finish(&c);
	fg_conn_exchange(&c);
	return c;
}

static uint64_t bytes_in_of(uint16_t port)
{
	const struct fg_tables *t = fg_sensor_tables(live.sensor);

	for (uint32_t i = 0; i < t->n_flows * FG_WAYS; i++) {
		const struct fg_flow *flow = &t->flows[i / FG_WAYS].row[i % FG_WAYS];

		if (t->flows[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE &&
		    flow->client_port_be == htons(port))
			return flow->bytes_in;
	}
	fail_msg("no connection from port %u", port);
	return 0;
}

static uint32_t data_action(struct fg_conn *c)
{
	fg_conn_send(c, (const uint8_t *)"0123456789", 10);
	return live.action;
}

static void test_gate_ends_established_connections_when_told(void **state)
{
	struct fg_conn a = established("192.0.2.1", 40000, fg_hello_browser);
	struct fg_conn b = established("192.0.2.1", 40001, fg_hello_tool);
	struct fg_conn other = established("192.0.2.2", 40002, fg_hello_browser);
	uint64_t passed = (bytes_in_of(40000) + 1447) / 1448 + (bytes_in_of(40001) + 1447) / 1448;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(fg_sensor_drop_flows(live.sensor, a.client.addr, 128, 0, 0, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(data_action(&a), XDP_DROP);
	assert_string_equal(live_outcome(), "blocked");
	assert_int_equal(data_action(&b), XDP_DROP);
	assert_int_equal(data_action(&other), XDP_PASS);
	assert_int_equal(LIVE_EVENT(dropped_behind), 2);
	assert_int_equal(LIVE_EVENT(late_block), passed);
	/* acknowledgements and the end of it pass: the server shall know */
	fg_conn_ack(&a);
	assert_int_equal(live.action, XDP_PASS);
	fg_conn_close(&b);
	assert_int_equal(live.action, XDP_PASS);
	/* a second time there is nothing left to mark */
	assert_int_equal(fg_sensor_drop_flows(live.sensor, a.client.addr, 128, 0, 0, &n), 0);
	assert_int_equal(n, 0);
	fg_conn_done(&a);
	fg_conn_done(&b);
	fg_conn_done(&other);
}

static void test_gate_ends_only_the_client_that_is_named(void **state)
{
	struct fg_conn bad = established("192.0.2.1", 40000, fg_hello_browser), good;
	struct fg_sample sample = live.sample;
	struct fg_end prefix = fg_end_of("192.0.2.0", 0);
	uint64_t n = 0;

	(void)state;
	good = established("192.0.2.1", 40001, fg_hello_tool);
	assert_int_equal(fg_sensor_drop_flows(live.sensor, bad.client.addr, 128, sample.hello.stem,
					      sample.stack ^ 1, &n),
			 0);
	assert_int_equal(n, 0);
	assert_int_equal(fg_sensor_drop_flows(live.sensor, bad.client.addr, 128, sample.hello.stem,
					      sample.stack, &n),
			 0);
	assert_int_equal(n, 1);
	assert_int_equal(data_action(&bad), XDP_DROP);
	assert_int_equal(data_action(&good), XDP_PASS);
	assert_int_equal(fg_sensor_drop_flows(live.sensor, prefix.addr, 120, 0, 0, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(data_action(&good), XDP_DROP);
	assert_int_equal(fg_sensor_drop_flows(live.sensor, bad.client.addr, 120, 0, 0, &n),
			 -EINVAL);
	fg_conn_done(&bad);
	fg_conn_done(&good);
}

/* What the agent marks while a row changes hands ends on nobody else. */
static struct fg_flow *stolen;

static bool steal(void *arg, const struct fg_flow *flow)
{
	(void)arg;
	/* as a program that claims the row between our look and our exchange */
	stolen = (struct fg_flow *)live_flow();
	stolen->generation++;
	return flow != NULL;
}

static void test_gate_marks_no_row_that_changed_hands(void **state)
{
	struct fg_conn c = established("192.0.2.1", 40000, fg_hello_tool);

	(void)state;
	assert_int_equal(fg_sensor_drop_flows_if(live.sensor, steal, NULL), 0);
	assert_false(stolen->flags & FG_FLOW_DROPPED);
	assert_int_equal(data_action(&c), XDP_PASS);
	assert_int_equal(LIVE_EVENT(late_block), 0);
	fg_conn_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_gate_drops_the_syn_of_a_blocked_source),
		LIVE_TEST(test_gate_blocks_ipv6_by_the_64),
		LIVE_TEST(test_gate_spares_established_connections),
		LIVE_TEST(test_gate_block_ends_by_ticks),
		LIVE_TEST(test_gate_drops_a_blocked_client_and_spares_its_neighbour),
		LIVE_TEST(test_gate_drops_a_blocked_client_whose_segments_are_swapped),
		LIVE_TEST(test_gate_tells_stacks_apart),
		LIVE_TEST(test_gate_dropped_connections_give_their_rows_back),
		LIVE_TEST(test_gate_drops_what_comes_from_a_prefix),
		LIVE_TEST(test_gate_knows_each_prefix_length),
		LIVE_TEST(test_gate_refuses_other_prefixes),
		LIVE_TEST(test_gate_caps_prefix_lengths),
		LIVE_TEST(test_gate_counts_for_each_block),
		LIVE_TEST(test_gate_keeps_no_trace_of_forged_syns),
		LIVE_TEST(test_gate_lists_and_recounts),
		LIVE_TEST(test_gate_drops_the_hello_behind_an_early_syn),
		LIVE_TEST(test_gate_drops_the_rest_of_a_hello),
		LIVE_TEST(test_gate_passes_what_it_cannot_tell),
		LIVE_TEST(test_gate_ends_established_connections_when_told),
		LIVE_TEST(test_gate_ends_only_the_client_that_is_named),
		LIVE_TEST(test_gate_marks_no_row_that_changed_hands),
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
