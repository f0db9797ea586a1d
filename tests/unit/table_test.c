/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * farmgate/table.h, account.h, flow.h: who gets a row, who gives way, and what is counted for it.
 * Tables of one set each, so that every key competes for the same eight ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "source/platform_host.h"
#include "source/take.h"

#include "farmgate/pipeline.h"

#define EPOCH	100
#define TICK_NS 1000000

/* One engine with one-set tables, clean before each test. */
static struct {
	struct fg_config config;
	struct fg_tables tables;
	struct fg_meta meta;
	struct fg_totals totals;
	struct fg_scratch scratch;
	struct fg_env env;
	struct fg_flow_set flows;
	struct fg_timing timings[2 * FG_WAYS];
	struct fg_knock_set knocks;
	struct fg_source_set sources;
	struct fg_client_set clients;
	struct fg_print_set prints;
	struct fg_stream streams[8];
	struct fg_stash stash[FG_WAYS];
	struct fg_overflow overflow[FG_OVERFLOW_COLUMNS];
	uint8_t hot[8];
} t;

static struct fg_env *const env = &t.env;

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.config.tick_ns = TICK_NS;
	t.config.seed[0] = 1;
	t.config.seed[1] = 2;
	t.config.seed[2] = 3;
	t.config.seed[3] = 4;
	t.config.stream_mask = 7;
	t.config.stash_mask = FG_WAYS - 1;
	t.tables = (struct fg_tables){ .flows = &t.flows,
				       .timings = t.timings,
				       .knocks = &t.knocks,
				       .sources = &t.sources,
				       .clients = &t.clients,
				       .prints = &t.prints,
				       .streams = t.streams,
				       .stash = t.stash,
				       .overflow = t.overflow,
				       .meta = &t.meta,
				       .hot = { t.hot, t.hot, t.hot, t.hot, t.hot, t.hot } };
	t.env = (struct fg_env){ .scratch = &t.scratch,
				 .totals = &t.totals,
				 .meta = &t.meta,
				 .config = &t.config,
				 .tables = &t.tables,
				 .epoch = EPOCH,
				 .ticks = 1000000 };
	t.meta.heartbeat_ticks = t.env.ticks;
	return 0;
}

static struct fg_key key(uint32_t n)
{
	struct fg_key k = { .client_port = (__u16)(1024 + n), .server_port = 443 };

	k.client[0] = htobe64(0x20010db800000000 + n);
	k.client[1] = htobe64(n);
	k.server[0] = htobe64(0x20010db8ffff0000);
	k.server[1] = 1;
	return k;
}

static struct fg_source *source(uint32_t n)
{
	struct fg_key k = key(n);

	return account_source(env, &k);
}

static __u64 events(enum fg_event e)
{
	return t.totals.events[e];
}

/* Eight sources, touched in the given epoch. */
static void fill_sources(__u32 touched)
{
	for (uint32_t i = 0; i < FG_WAYS; i++)
		assert_non_null(source(i));
	for (uint32_t i = 0; i < FG_WAYS; i++)
		t.sources.row[i].touched = touched;
}

/* --- Sources ---------------------------------------------------------------------------------- */

static void test_table_finds_the_row_it_made(void **state)
{
	struct fg_source *rows[FG_WAYS];

	(void)state;
	for (uint32_t i = 0; i < FG_WAYS; i++) {
		rows[i] = source(i);
		assert_non_null(rows[i]);
		rows[i]->hellos = i + 1;
	}
	for (uint32_t i = 0; i < FG_WAYS; i++) {
		assert_ptr_equal(source(i), rows[i]);
		assert_int_equal(rows[i]->hellos, i + 1);
		for (uint32_t j = 0; j < i; j++)
			assert_ptr_not_equal(rows[i], rows[j]);
	}
	assert_int_equal(events(FG_EVENT_source_table_full), 0);
}

static void test_table_source_is_the_v6_64(void **state)
{
	struct fg_key a = key(1), b = key(1);
	struct fg_source *row;

	(void)state;
	b.client[1] = ~0ULL;
	row = account_source(env, &a);
	assert_ptr_equal(account_source(env, &b), row);
	assert_memory_equal(row->addr, a.client, 8);
	assert_memory_equal(row->addr + 8, "\0\0\0\0\0\0\0\0", 8);
	a.client[0] = b.client[0] = 0; /* v4-mapped: each address */
	assert_ptr_not_equal(account_source(env, &a), account_source(env, &b));
}

static void test_table_live_rows_are_not_replaced(void **state)
{
	static const __u32 live[] = { EPOCH, EPOCH - 1, EPOCH - 2, EPOCH + 1 };
	struct fg_source_set before;

	(void)state;
	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
		setup(NULL);
		fill_sources(live[i]);
		before = t.sources;
		assert_null(source(100));
		assert_int_equal(events(FG_EVENT_source_table_full), 1);
		assert_int_equal(events(FG_EVENT_untaken_lost), 0);
		assert_memory_equal(&before, &t.sources, sizeof(before));
	}
}

static void test_table_longest_idle_row_goes(void **state)
{
	struct fg_source *row;
	__u32 generation;

	(void)state;
	fill_sources(EPOCH - 3);
	t.sources.row[3].touched = EPOCH - 50;
	t.sources.row[6].touched = EPOCH - 49;
	t.sources.row[3].connections = 7;
	generation = t.sources.row[3].generation;
	row = source(100);
	assert_ptr_equal(row, &t.sources.row[3]);
	assert_int_equal(row->generation, generation + 1);
	assert_int_equal(row->connections, 0);
	assert_int_equal(row->touched, EPOCH);
	assert_ptr_equal(source(101), &t.sources.row[6]);
	assert_int_equal(events(FG_EVENT_untaken_lost), 0);
	assert_int_equal(events(FG_EVENT_source_table_full), 0);
}

/* Sources without a row: never counted too low, and seldom much too high. */
static void test_table_sketch_holds_sources_without_a_row(void **state)
{
	const uint32_t n = 100000;
	struct fg_taker *taker;
	uint32_t high = 0;
	uint64_t all = 0;

	(void)state;
	memcpy(t.meta.seed, t.config.seed, sizeof(t.meta.seed));
	assert_int_equal(fg_taker_new(&t.tables, &taker), 0);
	fill_sources(EPOCH);
	for (uint32_t i = 0; i < n; i++) {
		struct fg_key k = key(1000 + i);
		struct fg_flow flow = { 0 };

		for (uint32_t j = 0; j <= i % 4; j++, all++)
			flow_prove(env, &k, &flow, FG_PROOF_NONE, FG_PROOF_HANDSHAKE);
	}
	assert_int_equal(events(FG_EVENT_overflow), all);
	for (uint32_t i = 0; i < n; i++) {
		struct fg_key k = key(1000 + i);
		uint8_t addr[16];
		uint64_t found;

		memcpy(addr, k.client, 8);
		memset(addr + 8, 0, 8);
		found = fg_taker_overflow(taker, addr);
		assert_true(found >= i % 4 + 1);
		high += found > i % 4 + 1 + 2.72 / FG_OVERFLOW_COLUMNS * (double)all;
	}
	assert_true(high < n * 0.0184); /* e^-4 */
	fg_taker_free(&taker);
}

static void test_table_idle_time_survives_the_wrap_of_epochs(void **state)
{
	(void)state;
	fill_sources(EPOCH);
	t.env.epoch = 1;
	for (uint32_t i = 0; i < FG_WAYS; i++)
		t.sources.row[i].touched = 0U - 1; /* two epochs ago */
	assert_null(source(100));
	t.sources.row[5].touched = 0U - 2; /* three */
	assert_ptr_equal(source(101), &t.sources.row[5]);
}

static void test_table_without_agent_untaken_rows_go_and_are_counted(void **state)
{
	(void)state;
	fill_sources(EPOCH);
	t.env.ticks = t.meta.heartbeat_ticks + FG_HEARTBEAT_LOST_NS / TICK_NS;
	assert_null(source(100));
	t.env.ticks++;
	assert_non_null(source(101));
	assert_int_equal(events(FG_EVENT_untaken_lost), 1);
	/* a clean row is still preferred */
	t.sources.row[4].touched = EPOCH - 3;
	assert_ptr_equal(source(102), &t.sources.row[4]);
	assert_int_equal(events(FG_EVENT_untaken_lost), 1);
}

static void test_table_busy_rows_are_left_alone(void **state)
{
	(void)state;
	fill_sources(EPOCH - 10);
	for (uint32_t i = 0; i < FG_WAYS; i++)
		t.sources.tag[i] = FG_TAG_BUSY;
	assert_null(source(100));
	assert_int_equal(events(FG_EVENT_source_table_full), 1);
	t.sources.tag[2] = FG_TAG_FREE;
	assert_ptr_equal(source(101), &t.sources.row[2]);
}

static void test_table_a_claimed_tag_is_claimed_once(void **state)
{
	__u64 tag = FG_TAG_FREE;

	(void)state;
	assert_true(fg_tag_claim(&tag, FG_TAG_FREE));
	assert_false(fg_tag_claim(&tag, FG_TAG_FREE));
	fg_tag_publish(&tag, 77);
	assert_false(fg_tag_claim(&tag, FG_TAG_FREE));
	assert_true(fg_tag_claim(&tag, 77));
}

/* --- Clients and fingerprints ------------------------------------------------------------------ */

static void test_table_clients_differ_by_each_part(void **state)
{
	struct fg_hello hello = { .flags = FG_HELLO_RESUMED };
	struct fg_flow flow = { .stem = 10, .stack = 20, .proof = FG_PROOF_SOCKET };
	struct fg_key k = key(1), other = key(2);

	(void)state;
	account_client(env, &k, &flow, &hello);
	account_client(env, &k, &flow, &hello);
	flow.stem = 11;
	account_client(env, &k, &flow, &hello);
	flow.stack = 21;
	account_client(env, &k, &flow, &hello);
	account_client(env, &other, &flow, &hello);
	assert_int_equal(t.clients.row[0].connections, 2);
	assert_int_equal(t.clients.row[0].proof_socket, 2);
	assert_int_equal(t.clients.row[0].resumed, 2);
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(t.clients.row[i].connections, 1);
	assert_true(t.clients.tag[4] == FG_TAG_FREE);
}

static void test_table_a_new_fingerprint_is_asked_for_now_and_then(void **state)
{
	struct fg_hello hello = { .print = 5, .stem = 6 };

	(void)state;
	assert_true(account_print(env, &hello));
	assert_false(account_print(env, &hello));
	t.env.ticks += FG_ASK_AGAIN_NS / TICK_NS + 1;
	assert_true(account_print(env, &hello));
	t.prints.row[0].known = 1;
	t.env.ticks += FG_ASK_AGAIN_NS / TICK_NS + 1;
	assert_false(account_print(env, &hello));
	assert_int_equal(t.prints.row[0].hellos, 4);
}

/* --- Connections ------------------------------------------------------------------------------ */

static struct fg_flow *make_flow(uint32_t n, enum fg_proof proof, __u16 flags, __u32 touched)
{
	struct fg_key k = key(n);
	struct fg_flow *row = flow_make(env, &k, flow_hash(env, &k), proof);

	if (!row)
		return NULL;
	row->flags = flags;
	row->touched = touched;
	return row;
}

static void fill_flows(enum fg_proof proof, __u16 flags, __u32 touched)
{
	for (uint32_t i = 0; i < FG_WAYS; i++)
		assert_non_null(make_flow(i, proof, flags, touched));
}

static void test_table_proven_live_connections_stay(void **state)
{
	(void)state;
	fill_flows(FG_PROOF_HANDSHAKE, 0, EPOCH);
	assert_null(make_flow(100, FG_PROOF_NONE, 0, EPOCH));
	for (uint32_t i = 0; i < FG_WAYS; i++) {
		struct fg_key k = key(i);

		assert_non_null(flow_find(env, &k, flow_hash(env, &k)));
	}
	assert_int_equal(events(FG_EVENT_flow_replaced), 0);
}

static void test_table_unproven_connections_go_before_proven(void **state)
{
	(void)state;
	fill_flows(FG_PROOF_HANDSHAKE, 0, EPOCH - 1000);
	t.flows.row[2].proof = FG_PROOF_NONE;
	t.flows.row[2].touched = EPOCH;
	t.env.ticks += FG_UNPROVEN_TICKS;
	assert_ptr_equal(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[2]);
	assert_int_equal(events(FG_EVENT_flow_replaced), 1);
}

static void test_table_closed_and_taken_connections_go_first(void **state)
{
	(void)state;
	fill_flows(FG_PROOF_NONE, 0, EPOCH - 3);
	t.flows.row[6].proof = FG_PROOF_HANDSHAKE;
	t.flows.row[6].flags = FG_FLOW_CLOSED;
	assert_ptr_equal(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[6]);
}

static void test_table_a_closed_connection_waits_to_be_taken(void **state)
{
	(void)state;
	fill_flows(FG_PROOF_HANDSHAKE, FG_FLOW_CLOSED, EPOCH - 2);
	assert_null(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH));
	t.env.epoch++;
	assert_non_null(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH));
}

static void test_table_dropped_connections_stay(void **state)
{
	(void)state;
	fill_flows(FG_PROOF_HANDSHAKE, FG_FLOW_DROPPED, EPOCH - FG_DROPPED_EPOCHS + 1);
	assert_null(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH));
	t.flows.row[3].touched--; /* nothing was sent on it for longer than TCP sends again */
	assert_ptr_equal(make_flow(102, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[3]);
	t.flows.row[1].flags |= FG_FLOW_CLOSED;
	assert_ptr_equal(make_flow(101, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[1]);
}

static void test_table_open_connections_stay_for_a_minute(void **state)
{
	(void)state;
	fill_flows(FG_PROOF_HANDSHAKE, 0, EPOCH - FG_OPEN_EPOCHS + 1);
	assert_null(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH));
	t.flows.row[3].touched--;
	assert_ptr_equal(make_flow(102, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[3]);
	/* without an agent by age, or new sources would go dark with it */
	t.env.ticks = t.meta.heartbeat_ticks + FG_HEARTBEAT_LOST_NS / TICK_NS + 1;
	for (uint32_t i = 0; i < FG_WAYS; i++)
		t.flows.row[i].touched = EPOCH - 3 - i;
	assert_ptr_equal(make_flow(103, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[FG_WAYS - 1]);
}

/* A proven connection without a row is in the sketch, once, however often its segments ask; an
 * unproven one is not. */
static void test_table_connections_without_a_row_are_counted_once(void **state)
{
	struct fg_frame f = { .tcp_flags = FG_TCP_ACK, .seq = 1001, .ack = 5001 };
	struct fg_key k = key(100);
	__u64 hash = flow_hash(env, &k);
	struct fg_knock *knock;
	struct fg_taker *taker;
	uint8_t addr[16] = { 0 };
	int full;

	(void)state;
	memcpy(t.meta.seed, t.config.seed, sizeof(t.meta.seed));
	assert_int_equal(fg_taker_new(&t.tables, &taker), 0);
	memcpy(addr, k.client, 8);
	fill_flows(FG_PROOF_HANDSHAKE, 0, EPOCH);
	knock = knock_make(env, hash);
	assert_non_null(knock);
	knock->client_isn = 1000;
	knock->server_isn = 5000;
	for (int replied = 0; replied < 3; replied++) {
		knock->replied = (__u8)replied;
		full = 0;
		assert_null(flow_open(env, &f, &k, hash, &full));
		assert_int_equal(full, 1);
		assert_int_equal(events(FG_EVENT_spilled), replied > 0);
	}
	assert_int_equal(fg_taker_overflow(taker, addr), 1);
	assert_int_equal(events(FG_EVENT_overflow), 0);
	fg_taker_free(&taker);
}

/* Another CPU may still be at work on a row that was just found: it is not given away. */
static void test_table_unproven_connections_in_use_stay(void **state)
{
	struct fg_key k = key(5);

	(void)state;
	fill_flows(FG_PROOF_NONE, 0, EPOCH);
	t.env.ticks += FG_UNPROVEN_TICKS - 1;
	assert_null(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH));
	for (uint32_t i = 0; i < FG_WAYS; i++)
		t.flows.row[i].used -= i != 5 ? 0 : 100; /* the oldest of all */
	assert_non_null(flow_find(env, &k, flow_hash(env, &k)));
	t.env.ticks++;
	assert_ptr_not_equal(make_flow(100, FG_PROOF_SOCKET, 0, EPOCH), &t.flows.row[5]);
	assert_int_equal(events(FG_EVENT_flow_replaced), 1);
}

/* A flood of unproven connections fills what is free and then only replaces its own kind. */
static void test_table_flood_hurts_itself_only(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		assert_non_null(make_flow(i, FG_PROOF_HANDSHAKE, 0, EPOCH));
	for (uint32_t i = 0; i < 1000; i++) {
		t.env.ticks++; /* three ways, so none is used before its time is over */
		assert_non_null(make_flow(1000 + i, FG_PROOF_NONE, 0, EPOCH));
	}
	for (uint32_t i = 0; i < 5; i++) {
		struct fg_key k = key(i);
		struct fg_flow *row = flow_find(env, &k, flow_hash(env, &k));

		assert_non_null(row);
		assert_int_equal(row->proof, FG_PROOF_HANDSHAKE);
	}
	assert_int_equal(events(FG_EVENT_flow_replaced), 997);
}

static void test_table_a_reused_4_tuple_keeps_the_older_counts(void **state)
{
	struct fg_flow *older, *newer;
	struct fg_key k = key(1);

	(void)state;
	older = make_flow(1, FG_PROOF_HANDSHAKE, 0, EPOCH);
	older->bytes_in = 1000;
	newer = make_flow(1, FG_PROOF_HANDSHAKE, 0, EPOCH);
	assert_ptr_not_equal(older, newer);
	assert_int_equal(older->bytes_in, 1000);
	assert_true(older->flags & FG_FLOW_CLOSED);
	assert_ptr_equal(flow_find(env, &k, flow_hash(env, &k)), newer);
}

/* --- Knocks ----------------------------------------------------------------------------------- */

static void test_table_oldest_knock_gives_way(void **state)
{
	__u64 hash[FG_WAYS + 1], *tag;

	(void)state;
	for (uint32_t i = 0; i <= FG_WAYS; i++) {
		struct fg_key k = key(i);

		hash[i] = flow_hash(env, &k);
		t.env.ticks++;
		assert_non_null(knock_make(env, hash[i]));
	}
	assert_int_equal(events(FG_EVENT_knock_replaced), 1);
	assert_null(knock_find(env, hash[0], &tag));
	for (uint32_t i = 1; i <= FG_WAYS; i++)
		assert_non_null(knock_find(env, hash[i], &tag));
}

/* --- Streams ---------------------------------------------------------------------------------- */

static void test_table_parked_hellos_give_way_only_after_their_time(void **state)
{
	__u64 hash = 0x123456789;

	(void)state;
	for (uint32_t i = 0; i < FG_STREAM_PROBES; i++) {
		__u32 at = stream_claim(env, hash, FG_PROOF_NONE);

		assert_in_range(at, 1, 8);
		fg_tag_publish(&t.streams[at - 1].tag, hash + i);
	}
	assert_int_equal(stream_claim(env, hash, FG_PROOF_NONE), 0);
	t.env.ticks += FG_HELLO_TIMEOUT_NS / TICK_NS;
	assert_int_equal(stream_claim(env, hash, FG_PROOF_NONE), 0);
	t.env.ticks++;
	assert_in_range(stream_claim(env, hash, FG_PROOF_NONE), 1, 8);
	assert_int_equal(t.totals.incomplete[FG_INCOMPLETE_timeout], 1);
}

static void test_table_proven_hellos_take_the_rows_of_unproven_ones(void **state)
{
	__u64 hash = 0x123456789;

	(void)state;
	for (uint32_t i = 0; i < FG_STREAM_PROBES; i++)
		fg_tag_publish(&t.streams[stream_claim(env, hash, FG_PROOF_NONE) - 1].tag,
			       hash + i);
	assert_int_equal(stream_claim(env, hash, FG_PROOF_NONE), 0);
	for (uint32_t i = 0; i < FG_STREAM_PROBES; i++) {
		__u32 at = stream_claim(env, hash, FG_PROOF_HANDSHAKE);

		assert_in_range(at, 1, 8);
		t.streams[at - 1].proof = FG_PROOF_HANDSHAKE;
		fg_tag_publish(&t.streams[at - 1].tag, hash + 100 + i);
		assert_int_equal(t.totals.incomplete[FG_INCOMPLETE_no_proof], i + 1);
	}
	assert_int_equal(stream_claim(env, hash, FG_PROOF_HANDSHAKE), 0);
	assert_int_equal(t.totals.incomplete[FG_INCOMPLETE_timeout], 0);
}

/* --- Stash ------------------------------------------------------------------------------------ */

/* Rows that unproven segments took are there for a proven one; the other way round not. */
static void test_table_stash_prefers_the_proven(void **state)
{
	__u64 hash = 0x123456789;

	(void)state;
	for (uint32_t i = 0; i < FG_WAYS; i++) {
		__u32 way = stash_claim(env, hash, FG_PROOF_NONE);

		assert_in_range(way, 0, FG_WAYS - 1);
		t.stash[way].ticks = (__u32)t.env.ticks;
		fg_tag_publish(&t.stash[way].tag, hash + i);
	}
	assert_int_equal(stash_claim(env, hash, FG_PROOF_NONE), FG_WAY_NONE);
	for (uint32_t i = 0; i < FG_WAYS; i++) {
		__u32 way = stash_claim(env, hash, FG_PROOF_SOCKET);

		assert_in_range(way, 0, FG_WAYS - 1);
		t.stash[way].proof = FG_PROOF_SOCKET;
		fg_tag_publish(&t.stash[way].tag, hash + 100 + i);
	}
	assert_int_equal(stash_claim(env, hash, FG_PROOF_SOCKET), FG_WAY_NONE);
	t.env.ticks += FG_HELLO_TIMEOUT_NS / TICK_NS + 1;
	assert_in_range(stash_claim(env, hash, FG_PROOF_NONE), 0, FG_WAYS - 1);
}

/* --- Hashes ----------------------------------------------------------------------------------- */

static void test_table_hashes_are_never_a_reserved_tag(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		struct fg_key k = key(i);

		assert_true(flow_hash(env, &k) > FG_TAG_BUSY);
		assert_true(fg_hash_source(t.config.seed, k.client) > FG_TAG_BUSY);
	}
}

/* Neighbouring addresses spread: no set of 256 gets more than four times its share. */
static void test_table_hashes_spread_neighbours(void **state)
{
	unsigned int n[256] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 25600; i++) {
		__u64 addr[2] = { 0, htobe64(0x0000ffffc0000200 + i) };

		n[fg_set_index(fg_hash_source(t.config.seed, addr), 255)]++;
	}
	for (unsigned int i = 0; i < 256; i++)
		assert_in_range(n[i], 25, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_table_finds_the_row_it_made, setup),
		cmocka_unit_test_setup(test_table_source_is_the_v6_64, setup),
		cmocka_unit_test_setup(test_table_live_rows_are_not_replaced, setup),
		cmocka_unit_test_setup(test_table_longest_idle_row_goes, setup),
		cmocka_unit_test_setup(test_table_sketch_holds_sources_without_a_row, setup),
		cmocka_unit_test_setup(test_table_idle_time_survives_the_wrap_of_epochs, setup),
		cmocka_unit_test_setup(test_table_without_agent_untaken_rows_go_and_are_counted,
				       setup),
		cmocka_unit_test_setup(test_table_busy_rows_are_left_alone, setup),
		cmocka_unit_test_setup(test_table_a_claimed_tag_is_claimed_once, setup),
		cmocka_unit_test_setup(test_table_clients_differ_by_each_part, setup),
		cmocka_unit_test_setup(test_table_a_new_fingerprint_is_asked_for_now_and_then,
				       setup),
		cmocka_unit_test_setup(test_table_proven_live_connections_stay, setup),
		cmocka_unit_test_setup(test_table_unproven_connections_go_before_proven, setup),
		cmocka_unit_test_setup(test_table_closed_and_taken_connections_go_first, setup),
		cmocka_unit_test_setup(test_table_a_closed_connection_waits_to_be_taken, setup),
		cmocka_unit_test_setup(test_table_dropped_connections_stay, setup),
		cmocka_unit_test_setup(test_table_open_connections_stay_for_a_minute, setup),
		cmocka_unit_test_setup(test_table_connections_without_a_row_are_counted_once,
				       setup),
		cmocka_unit_test_setup(test_table_unproven_connections_in_use_stay, setup),
		cmocka_unit_test_setup(test_table_flood_hurts_itself_only, setup),
		cmocka_unit_test_setup(test_table_a_reused_4_tuple_keeps_the_older_counts, setup),
		cmocka_unit_test_setup(test_table_oldest_knock_gives_way, setup),
		cmocka_unit_test_setup(test_table_parked_hellos_give_way_only_after_their_time,
				       setup),
		cmocka_unit_test_setup(test_table_proven_hellos_take_the_rows_of_unproven_ones,
				       setup),
		cmocka_unit_test_setup(test_table_stash_prefers_the_proven, setup),
		cmocka_unit_test_setup(test_table_hashes_are_never_a_reserved_tag, setup),
		cmocka_unit_test_setup(test_table_hashes_spread_neighbours, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
