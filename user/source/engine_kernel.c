/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loaded XDP program, one test run a frame: private maps, packet time in front of the frame,
 * nothing attached. About a microsecond of system call each, so it is for proof, not for speed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/sensor.h"
#include "source/engine.h"

struct kernel {
	struct fg_sensor *sensor;
	uint64_t clock_back;
	/* frames that a test run does not take (shorter than an Ethernet header, or larger than its
	 * buffer): counted here under the same names as the program would */
	struct fg_totals extra;
};

static void kernel_close(void *engine)
{
	struct kernel *k = engine;

	if (!k)
		return;
	fg_sensor_close(&k->sensor);
	free(k);
}

static int kernel_open(const struct fg_engine_conf *conf, void **ret_engine, char *why,
		       size_t n_why)
{
	struct fg_sensor_conf sc = {
		.config = conf->config,
		.replay = true,
		.force_loop = conf->force_loop,
	};
	struct kernel *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	fg_tables_size(conf->table_bytes, &sc.sizes);
	r = fg_sensor_open(&sc, &k->sensor, why, n_why);
	if (r) {
		kernel_close(k);
		return r;
	}
	fg_sensor_on_sample(k->sensor, conf->on_sample, conf->arg);
	fg_sensor_on_datagram(k->sensor, conf->on_datagram, conf->datagram_arg);
	*ret_engine = k;
	return 0;
}

static int kernel_frame(void *engine, const struct fg_capture_frame *f)
{
	struct kernel *k = engine;
	uint64_t ticks = f->time_ns / FG_REPLAY_TICK_NS;
	struct fg_replay_meta meta = {
		.time_ns = f->time_ns,
		.ticks_lo = (uint32_t)ticks,
		.ticks_hi = (uint32_t)(ticks >> 32),
		.frame_len = f->frame_len,
		.wire_len = f->wire_len,
	};
	uint32_t action;
	int r;

	k->clock_back += f->clamped;
	if (f->len < 14) {
		k->extra.frames[FG_FRAME_frame_truncated]++;
		k->extra.bytes += f->wire_len;
		return 0;
	}
	r = fg_sensor_run(k->sensor, &meta, f->data, f->len, 1, &action, NULL);
	if (r == -EMSGSIZE || r == -EINVAL || r == -ENOMEM) {
		k->extra.frames[FG_FRAME_internal]++;
		k->extra.bytes += f->wire_len;
		return 0;
	}
	return r;
}

static int kernel_drain(void *engine)
{
	struct kernel *k = engine;
	int r = fg_sensor_drain(k->sensor);

	return r < 0 ? r : 0;
}

static const struct fg_tables *kernel_tables(void *engine)
{
	return fg_sensor_tables(((struct kernel *)engine)->sensor);
}

static const struct fg_config *kernel_config(void *engine)
{
	return fg_sensor_config(((struct kernel *)engine)->sensor);
}

static int kernel_totals(void *engine, struct fg_totals *ret_totals)
{
	struct kernel *k = engine;
	struct fg_totals received, replies;
	int r = fg_sensor_totals(k->sensor, &received, &replies, NULL);

	if (r)
		return r;
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		received.frames[i] += k->extra.frames[i];
	received.bytes += k->extra.bytes;
	received.events[FG_EVENT_clock_back] += k->clock_back;
	*ret_totals = received;
	return 0;
}

const struct fg_engine_ops fg_engine_kernel = {
	.name = "kernel",
	.open = kernel_open,
	.close = kernel_close,
	.frame = kernel_frame,
	.drain = kernel_drain,
	.tables = kernel_tables,
	.config = kernel_config,
	.totals = kernel_totals,
};
