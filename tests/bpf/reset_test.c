/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a blocked client gets with drop: reset, byte by byte, from XDP and from tc: made of its own
 * frame, with the checksums that an independent builder gives.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

#include "live.h"

LIVE_SETUP(FG_ROLE_TRANSIT)

#define FOREVER	    UINT64_MAX
#define TC_DROP	    2
#define TC_REDIRECT 7

static const char *const clients[] = { "192.0.2.1", "2001:db8:1:2:3::4" };
static const char *const servers[] = { "198.51.100.1", "2001:db8:ffff::1" };

static int (*setup)(void **state);

static int setup_goto(void **state)
{
	live_resets = true;
	setup = live_setup_goto;
	return setup(state);
}

static int setup_loop(void **state)
{
	live_resets = true;
	setup = live_setup_loop;
	return setup(state);
}

static int setup_silent(void **state)
{
	live_resets = false;
	return live_setup_goto(state);
}

/* The tc program of this process: the sensor does not hand it out. */
static int tc_fd(void)
{
	for (int fd = 3; fd < 256; fd++) {
		struct bpf_prog_info info = { 0 };
		__u32 n = sizeof(info);

		if (!bpf_obj_get_info_by_fd(fd, &info, &n) &&
		    info.type == BPF_PROG_TYPE_SCHED_CLS && !strncmp(info.name, "fg_tc", 5))
			return fd;
	}
	fail_msg("no tc program is loaded");
	return -1;
}

/* Empty tables, no blocks; the program of the hook that is tested. */
static int again(uint32_t action)
{
	live_close();
	assert_int_equal(setup(NULL), 0);
	return action == XDP_TX ? fg_sensor_prog_fd(live.sensor) : tc_fd();
}

/* What became of a frame. */
struct answer {
	uint32_t action;
	uint8_t bytes[FG_PKT_MAX];
	uint32_t len;
};

static void run(int fd, const uint8_t *frame, size_t len, struct answer *ret_answer)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)len,
		    .data_out = ret_answer->bytes, .data_size_out = sizeof(ret_answer->bytes),
		    .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
	ret_answer->action = opts.retval;
	ret_answer->len = opts.data_size_out;
	live.frames++;
	live.bytes += len;
	live_check();
}

/* A frame of one of the clients, and the RST that belongs to it. */
struct given {
	size_t family; /* place in clients and servers */
	uint16_t vlan[3];
	struct fg_pkt_tcp tcp;
	const uint8_t *payload;
	size_t n_payload;
	struct fg_pkt_ip ip;
};

static void vlans(struct fg_pkt *p, const struct given *g)
{
	for (size_t i = 0; i < 3 && g->vlan[i]; i++)
		fg_pkt_vlan(p, i ? 0x8100 : 0x88a8, g->vlan[i]);
}

static struct fg_pkt *frame_of(const struct given *g)
{
	struct fg_end from = fg_end_of(clients[g->family], 40000);
	struct fg_end to = fg_end_of(servers[g->family], 443);
	struct fg_pkt *p = fg_pkt_new();

	assert_non_null(p);
	fg_pkt_eth(p);
	memcpy(p->buf, "\x02\x11\x22\x33\x44\x55\x02\xaa\xbb\xcc\xdd\xee", 12);
	vlans(p, g);
	fg_pkt_ip(p, &from, &to, &g->ip);
	fg_pkt_tcp(p, &g->tcp);
	if (g->n_payload)
		fg_pkt_payload(p, g->payload, g->n_payload);
	fg_pkt_end(p);
	return p;
}

static struct fg_pkt *reset_of(const struct given *g, size_t frame_len)
{
	bool syn = g->tcp.flags & FG_PKT_SYN;
	struct fg_end from = fg_end_of(servers[g->family], 443);
	struct fg_end to = fg_end_of(clients[g->family], 40000);
	struct fg_pkt_tcp tcp = { .flags = FG_PKT_RST | FG_PKT_ACK,
				  .seq = g->tcp.ack,
				  .ack = g->tcp.seq + (syn ? 1 : (uint32_t)g->n_payload) };
	struct fg_pkt *p = fg_pkt_new();

	assert_non_null(p);
	fg_pkt_eth(p);
	memcpy(p->buf, "\x02\xaa\xbb\xcc\xdd\xee\x02\x11\x22\x33\x44\x55", 12);
	vlans(p, g);
	fg_pkt_ip(p, &from, &to, NULL);
	fg_pkt_tcp(p, &tcp);
	memset(p->buf + p->l4_off + 14, 0, 2); /* the builder's window is never 0 */
	fg_pkt_end(p);
	/* no shorter than an Ethernet frame may be, padded with zeros, where it was none to begin with */
	if (p->len < 60 && frame_len >= 60) {
		memset(p->buf + p->len, 0, 60 - p->len);
		p->len = 60;
	}
	return p;
}

static void expect_reset(int fd, uint32_t action, const struct given *g)
{
	struct fg_pkt *frame = frame_of(g), *want = reset_of(g, frame->len);
	static struct answer got;

	run(fd, frame->buf, frame->len, &got);
	assert_int_equal(got.action, action);
	assert_int_equal(got.len, want->len);
	assert_memory_equal(got.bytes, want->buf, want->len);
	fg_pkt_free(frame);
	fg_pkt_free(want);
}

static void block_clients(void)
{
	assert_int_equal(fg_sensor_block(live.sensor, fg_end_of("192.0.2.1", 0).addr, FOREVER), 0);
	assert_int_equal(fg_sensor_block(live.sensor, fg_end_of("2001:db8:1:2::", 0).addr, FOREVER),
			 0);
}

/* The SYN of a usual client: options of 20 bytes. */
static const uint8_t syn_options[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1,
				       2, 3, 0, 0,    0, 0, 1, 3,  3, 7 };

static struct given a_syn(size_t family)
{
	return (struct given){ .family = family,
			       .tcp = { .flags = FG_PKT_SYN,
					.seq = 0xfffffffe,
					.window = 64240,
					.options = syn_options,
					.options_len = sizeof(syn_options) } };
}

static void each_way(void (*check)(int fd, uint32_t action))
{
	check(fg_sensor_prog_fd(live.sensor), XDP_TX);
	check(tc_fd(), TC_REDIRECT);
}

static void syns(int fd, uint32_t action)
{
	for (size_t family = 0; family < 2; family++) {
		struct given g = a_syn(family);

		expect_reset(fd, action, &g);
		assert_string_equal(live_outcome(), "blocked");
		g.tcp.seq = 0xffffffff; /* wraps round */
		expect_reset(fd, action, &g);
		g.tcp.options_len = 0;
		expect_reset(fd, action, &g);
		for (size_t i = 0; i < 3; i++) {
			g.vlan[i] = (uint16_t)(100 + i);
			expect_reset(fd, action, &g);
		}
		/* a hello in the SYN (TCP Fast Open) is not acknowledged */
		g.payload = syn_options;
		g.n_payload = sizeof(syn_options);
		expect_reset(fd, action, &g);
	}
}

static void test_reset_answers_syns(void **state)
{
	(void)state;
	block_clients();
	each_way(syns);
	assert_int_equal(LIVE_EVENT(reset_sent), 28);
	assert_int_equal(LIVE_EVENT(dropped_source), 28);
	assert_int_equal(LIVE_EVENT(reset_failed), 0);
	assert_int_equal(LIVE_ROWS(knocks), 0);
}

/* Of many sequence numbers and ports, each sum must be right, also where it folds to zero. */
static void checksums(int fd, uint32_t action)
{
	struct fg_prng r = { .state = 4711 };

	for (size_t i = 0; i < 300; i++) {
		struct given g = a_syn(i % 2);

		g.tcp.seq = (uint32_t)fg_prng_next(&r);
		expect_reset(fd, action, &g);
	}
}

static void test_reset_sums_right(void **state)
{
	(void)state;
	block_clients();
	each_way(checksums);
}

static uint8_t hello[FG_HELLO_BUILD_MAX];
static size_t hello_len;

/* Opens the connection, unblocked, so that its hello is what meets the gate. */
static void open_connection(int fd, struct given *g)
{
	struct fg_pkt *p;
	static struct answer got;

	*g = a_syn(g->family);
	p = frame_of(g);
	run(fd, p->buf, p->len, &got);
	fg_pkt_free(p);
	g->tcp = (struct fg_pkt_tcp){
		.flags = FG_PKT_ACK, .seq = 0xffffffff, .ack = 0x89abcdef, .window = 500
	};
	p = frame_of(g);
	run(fd, p->buf, p->len, &got);
	fg_pkt_free(p);
}

static void expect_drop(int fd, uint32_t reset_action, const struct given *g)
{
	struct fg_pkt *p = frame_of(g);
	static struct answer got;

	run(fd, p->buf, p->len, &got);
	assert_int_equal(got.action, reset_action == XDP_TX ? XDP_DROP : TC_DROP);
	assert_int_equal(got.len, p->len);
	fg_pkt_free(p);
}

static void hellos(int fd, uint32_t action)
{
	for (size_t family = 0; family < 2; family++) {
		struct given g = { .family = family };

		fd = again(action);
		open_connection(fd, &g);
		block_clients();
		g.payload = hello;
		g.n_payload = hello_len;
		g.tcp.flags |= FG_PKT_PSH;
		expect_reset(fd, action, &g);
		assert_int_equal(LIVE_EVENT(dropped_source), 1);
		/* it did not arrive: the same again */
		expect_reset(fd, action, &g);
		assert_int_equal(LIVE_EVENT(dropped_behind), 1);
		assert_int_equal(LIVE_EVENT(reset_sent), 2);
		/* what is new is dropped without a word */
		g.tcp.seq += (uint32_t)hello_len;
		expect_drop(fd, action, &g);
		assert_int_equal(LIVE_EVENT(dropped_behind), 2);
		assert_int_equal(LIVE_EVENT(reset_sent), 2);
	}
}

static void test_reset_answers_hellos(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	fg_hello_tool(&d, "api.example.com");
	hello_len = fg_hello_stream(&d, hello, sizeof(hello));
	each_way(hellos);
}

/* No RST is made of these, so they are dropped as they are. */
static void refused(int fd, uint32_t action)
{
	static const struct fg_pkt_ext ext = { .type = 60, .len = 8 };
	struct given g = a_syn(0);

	fd = again(action);
	block_clients();
	g.ip.options_len = 8;
	expect_drop(fd, action, &g);
	g = a_syn(1);
	g.ip.exts = &ext;
	g.ip.n_exts = 1;
	expect_drop(fd, action, &g);
	assert_int_equal(LIVE_EVENT(reset_failed), 2);
	/* a RST gets none, nor does it count as one that could not be made */
	g = a_syn(0);
	g.tcp.flags |= FG_PKT_RST;
	expect_drop(fd, action, &g);
	assert_int_equal(LIVE_EVENT(reset_failed), 2);
	assert_int_equal(LIVE_EVENT(reset_sent), 0);
	assert_int_equal(LIVE_EVENT(dropped_source), 3);
}

static void test_reset_leaves_odd_frames(void **state)
{
	(void)state;
	each_way(refused);
}

static void test_reset_answers_no_group_address(void **state)
{
	struct given g = a_syn(0);
	struct fg_pkt *p = frame_of(&g);
	static struct answer got;

	(void)state;
	block_clients();
	p->buf[0] |= 1;
	run(fg_sensor_prog_fd(live.sensor), p->buf, p->len, &got);
	assert_int_equal(got.action, XDP_DROP);
	assert_int_equal(LIVE_EVENT(reset_failed), 1);
	fg_pkt_free(p);
}

/* A flood of forged SYNs buys a fixed number of RSTs a second and CPU, then silence. */
static void test_reset_has_a_limit(void **state)
{
	int fd = fg_sensor_prog_fd(live.sensor);
	uint64_t before, after, seconds, n = 4 * FG_RESETS;
	struct given g = a_syn(0);
	static struct answer got;
	struct fg_pkt *p = frame_of(&g);
	cpu_set_t all, one;

	(void)state;
	block_clients();
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(fg_sensor_ticks(live.sensor, &before), 0);
	for (uint64_t i = 0; i < n; i++)
		run(fd, p->buf, p->len, &got);
	assert_int_equal(fg_sensor_ticks(live.sensor, &after), 0);
	sched_setaffinity(0, sizeof(all), &all);
	seconds = (after - before) * fg_sensor_tick_ns(live.sensor) / 1000000000 + 1;
	assert_int_equal(LIVE_EVENT(reset_sent) + LIVE_EVENT(reset_limited), n);
	assert_int_equal(LIVE_EVENT(dropped_source), n);
	assert_true(LIVE_EVENT(reset_sent) >= FG_RESETS);
	assert_true(LIVE_EVENT(reset_sent) <= FG_RESETS * seconds);
	fg_pkt_free(p);
}

static void test_reset_is_silent_where_not_asked_for(void **state)
{
	struct given g = a_syn(0);

	(void)state;
	block_clients();
	expect_drop(fg_sensor_prog_fd(live.sensor), XDP_TX, &g);
	expect_drop(tc_fd(), TC_REDIRECT, &g);
	assert_int_equal(
		LIVE_EVENT(reset_sent) + LIVE_EVENT(reset_failed) + LIVE_EVENT(reset_limited), 0);
}

#define RESET_TEST(f)                                                   \
	{ #f, f, setup_goto, live_teardown, NULL },                     \
	{                                                               \
#f "_with_bpf_loop", f, setup_loop, live_teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RESET_TEST(test_reset_answers_syns),
		RESET_TEST(test_reset_sums_right),
		RESET_TEST(test_reset_answers_hellos),
		RESET_TEST(test_reset_leaves_odd_frames),
		RESET_TEST(test_reset_answers_no_group_address),
		RESET_TEST(test_reset_has_a_limit),
		{ "test_reset_is_silent_where_not_asked_for",
		  test_reset_is_silent_where_not_asked_for, setup_silent, live_teardown, NULL },
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
