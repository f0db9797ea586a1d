/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loaded programs as they run live (their own clock, no packet time), fed frame by frame
 * through test runs: what the test programs of this folder have in common.
 *
 * Owns: the sensor under test and what its counters said before the last frame. Must not: attach
 * anything. Every frame fed is checked to end in exactly one outcome.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "hello_build.h"
#include "sensor/sensor.h"

static const uint64_t live_seed[4] = { 0x1111222233334444, 0x5555666677778888, 0x9999aaaabbbbcccc,
				       0xddddeeeeffff0001 };

static struct {
	struct fg_sensor *sensor;
	int egress_fd;
	struct fg_totals now, before; /* ingress and egress together */
	uint64_t frames, bytes;
	uint32_t action; /* of the last frame */
	uint64_t samples;
	struct fg_sample sample; /* the last one */
} live;

static inline void live_keep_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	live.samples++;
	live.sample = *sample;
}

/* The egress program of this process: the sensor does not hand it out, nothing but attaching
 * needs it. -1 = not loaded. */
static inline int live_find_egress(void)
{
	for (int fd = 3; fd < 256; fd++) {
		struct bpf_prog_info info = { 0 };
		__u32 n = sizeof(info);

		if (!bpf_obj_get_info_by_fd(fd, &info, &n) &&
		    info.type == BPF_PROG_TYPE_SCHED_CLS && !strcmp(info.name, "fg_egress"))
			return fd;
	}
	return -1;
}

/* Sensors opened from now on answer what they drop with a RST. */
static bool live_resets;

static inline int live_open(enum fg_role role, bool force_loop, const struct fg_tables *sizes)
{
	struct fg_sensor_conf conf = { .force_loop = force_loop };
	char why[256] = "";

	memset(&live, 0, sizeof(live));
	memcpy(conf.config.seed, live_seed, sizeof(live_seed));
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = (uint8_t)role;
	conf.config.volume = 1;
	conf.config.sample_all = 1;
	conf.config.reset = live_resets;
	if (sizes)
		conf.sizes = *sizes;
	else
		fg_tables_size(4 << 20, &conf.sizes);
	if (fg_sensor_open(&conf, &live.sensor, why, sizeof(why))) {
		print_message("the sensor does not open: %s\n", why);
		return -1;
	}
	fg_sensor_on_sample(live.sensor, live_keep_sample, NULL);
	live.egress_fd = live_find_egress();
	return 0;
}

static inline void live_close(void)
{
	fg_sensor_close(&live.sensor);
}

static inline void live_read(void)
{
	struct fg_totals replies;
	__u64 *to = (__u64 *)&live.now;
	const __u64 *from = (const __u64 *)&replies;

	assert_int_equal(fg_sensor_totals(live.sensor, &live.now, &replies, NULL), 0);
	for (size_t i = 0; i < sizeof(replies) / sizeof(__u64); i++)
		to[i] += from[i];
}

/* Counters as of now; received = sum(outcomes), whatever was fed. */
static inline void live_check(void)
{
	uint64_t sum = 0;

	assert_true(fg_sensor_drain(live.sensor) >= 0);
	live_read();
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += live.now.frames[i];
	assert_int_equal(sum, live.frames);
	assert_int_equal(live.now.bytes, live.bytes);
}

static inline void live_feed(const uint8_t *frame, size_t len)
{
	live.before = live.now;
	assert_int_equal(fg_sensor_run(live.sensor, NULL, frame, len, 1, &live.action, NULL), 0);
	live.frames++;
	live.bytes += len;
	live_check();
}

static inline void live_feed_egress(const uint8_t *frame, size_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)len,
		    .repeat = 1);

	live.before = live.now;
	assert_int_equal(bpf_prog_test_run_opts(live.egress_fd, &opts), 0);
	live.frames++;
	live.bytes += len;
	live_check();
}

/* fg_conn_emit_fn: every frame at ingress, as on a mirror or in transit. */
static inline void live_emit(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)ctx;
	(void)time_ns;
	live_feed(frame, len);
}

/* fg_conn_emit_fn: the server's frames leave through the egress hook. */
static inline void live_emit_host(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	bool ipv6 = frame[12] == 0x86;
	size_t l4 = 14 + (ipv6 ? 40 : 20);

	(void)ctx;
	(void)time_ns;
	if (frame[l4] == 443 >> 8 && frame[l4 + 1] == (443 & 0xff))
		live_feed_egress(frame, len);
	else
		live_feed(frame, len);
}

/* How often the last frame (or script, where before was kept) moved a counter. */
#define LIVE_EVENT(name)   (live.now.events[FG_EVENT_##name])
#define LIVE_OUTCOME(name) (live.now.frames[FG_FRAME_##name])

static const char *const live_outcome_names[] = {
#define NAME(name) #name, /* the order is the enum's */
	FG_ACCOUNTED(NAME) FG_LOSSES(NAME)
#undef NAME
};

/* The outcome of the last frame. */
static inline const char *live_outcome(void)
{
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		if (live.now.frames[i] != live.before.frames[i])
			return live_outcome_names[i];
	return "none";
}

static inline uint64_t live_rows(const uint64_t *first_tag, uint32_t n_sets, size_t set_bytes)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < n_sets; i++) {
		const uint64_t *tag = (const void *)((const char *)first_tag + i * set_bytes);

		for (size_t way = 0; way < FG_WAYS; way++)
			n += tag[way] != FG_TAG_FREE;
	}
	return n;
}

#define LIVE_ROWS(table)                                                         \
	live_rows((const uint64_t *)fg_sensor_tables(live.sensor)->table[0].tag, \
		  fg_sensor_tables(live.sensor)->n_##table,                      \
		  sizeof(fg_sensor_tables(live.sensor)->table[0]))

/* The only row of a table that is expected to have one. */
static inline const struct fg_flow *live_flow(void)
{
	const struct fg_tables *t = fg_sensor_tables(live.sensor);

	for (uint32_t i = 0; i < t->n_flows * FG_WAYS; i++)
		if (t->flows[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE)
			return &t->flows[i / FG_WAYS].row[i % FG_WAYS];
	return NULL;
}

static inline const struct fg_source *live_source(void)
{
	const struct fg_tables *t = fg_sensor_tables(live.sensor);

	for (uint32_t i = 0; i < t->n_sources * FG_WAYS; i++)
		if (t->sources[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE)
			return &t->sources[i / FG_WAYS].row[i % FG_WAYS];
	return NULL;
}

static inline struct fg_conn live_conn(const char *client, uint16_t port, fg_conn_emit_fn emit)
{
	struct fg_end from = fg_end_of(client, port);
	struct fg_end to = fg_end_of(fg_end_is4(&from) ? "198.51.100.1" : "2001:db8:ffff::1", 443);
	struct fg_conn c;

	fg_conn_init(&c, from, to, 0, emit, NULL);
	return c;
}

static inline int live_teardown(void **state)
{
	(void)state;
	live_close();
	return 0;
}

/* Every test with each of the two hello loops. */
#define LIVE_SETUP(role)                             \
	static int live_setup_goto(void **state)     \
	{                                            \
		(void)state;                         \
		return live_open(role, false, NULL); \
	}                                            \
	static int live_setup_loop(void **state)     \
	{                                            \
		(void)state;                         \
		return live_open(role, true, NULL);  \
	}

#define LIVE_TEST(f)                                                         \
	{ #f, f, live_setup_goto, live_teardown, NULL },                     \
	{                                                                    \
#f "_with_bpf_loop", f, live_setup_loop, live_teardown, NULL \
	}

#define LIVE_NEEDS_ROOT()                              \
	do {                                           \
		if (geteuid()) {                       \
			print_message("needs root\n"); \
			return 77;                     \
		}                                      \
	} while (0)
