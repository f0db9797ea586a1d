/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames through the loaded program by BPF_PROG_TEST_RUN, beside an XDP_PASS-only program of the same
 * run: what the benches that measure it have in common.
 *
 * Owns: both programs. Must not: attach anything.
 */
#pragma once

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/sensor.h"

#define ROUNDS	   11
#define MAX_FRAMES 48

struct frames {
	uint8_t *bytes[MAX_FRAMES];
	size_t len[MAX_FRAMES];
	size_t n;
};

static int pass_fd;
static struct fg_sensor *sensor;

static inline void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

/* fg_conn_emit_fn; ctx is a struct frames. */
static inline void keep(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct frames *f = ctx;

	(void)time_ns;
	if (f->n == MAX_FRAMES)
		die("too many frames");
	f->bytes[f->n] = malloc(len);
	memcpy(f->bytes[f->n], frame, len);
	f->len[f->n++] = len;
}

static inline void forget(struct frames *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->bytes[i]);
	f->n = 0;
}

static inline void open_pass(void)
{
	struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	pass_fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "fg_pass", "GPL", pass, 2, NULL);
	if (pass_fd < 0)
		die("XDP_PASS does not load (root needed)");
}

/* With tables that are empty. */
static inline void open_sensor(bool volume, bool loop)
{
	struct fg_sensor_conf c = { .force_loop = loop };
	char why[256] = "";

	if (sensor)
		fg_sensor_close(&sensor);
	c.config.role = FG_ROLE_MIRROR;
	c.config.volume = volume;
	c.config.ports[443 >> 6] |= 1ULL << (443 & 63);
	for (int i = 0; i < 4; i++)
		c.config.seed[i] = 0x9e3779b97f4a7c15ULL * (uint64_t)(i + 7);
	fg_tables_size(fg_tables_default_bytes(), &c.sizes);
	if (fg_sensor_open(&c, &sensor, why, sizeof(why)))
		die(why);
	/* nobody takes epochs here: rows must be allowed to go */
	fg_sensor_tables(sensor)->meta->heartbeat_ticks = 1;
}

/* Mean time of so many runs, as the kernel says. */
static inline uint32_t run_fd(int fd, const uint8_t *frame, size_t len, uint32_t times)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = (uint32_t)len,
		    .repeat = (int)times);

	if (bpf_prog_test_run_opts(fd, &o))
		die("test run refused");
	return o.duration;
}

static inline uint32_t run(const struct frames *f, size_t i, uint32_t times)
{
	return run_fd(fg_sensor_prog_fd(sensor), f->bytes[i], f->len[i], times);
}

static inline int by_size(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

/* Leaves net in order. */
static inline void print_row(const char *what, const char *how, int *net, int n)
{
	qsort(net, (size_t)n, sizeof(*net), by_size);
	printf("%-44s %-12s %6d  (%d to %d)\n", what, how, net[n / 2], net[0], net[n - 1]);
	fflush(stdout);
}

/* Of many single values: what half of them, and all but one in a hundred, stay below. */
static inline void print_latency(const char *what, const char *how, int *ns, int n)
{
	qsort(ns, (size_t)n, sizeof(*ns), by_size);
	printf("%-44s %-12s %6d  p99 %d, max %d, of %d\n", what, how, ns[n / 2], ns[n / 100 * 99],
	       ns[n - 1], n);
	fflush(stdout);
}
