/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What replay runs frames through: the stages compiled for this host, or the program loaded into
 * the kernel. Both fill the same tables.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/capture.h"
#include "sensor/tables.h"

/* Length of a tick in replay, where ticks come from packet time. */
#define FG_REPLAY_TICK_NS 1000000ULL

typedef void (*fg_sample_fn)(void *arg, const struct fg_sample *sample);
/* A client's datagram that begins with an Initial. */
typedef void (*fg_datagram_fn)(void *arg, const struct fg_datagram *datagram);

struct fg_engine_conf {
	struct fg_config config; /* seed, ports, role; masks are filled in by the engine */
	uint64_t table_bytes;
	bool force_loop; /* kernel: bpf_loop even where may_goto is accepted */
	fg_sample_fn on_sample;
	void *arg;
	fg_datagram_fn on_datagram;
	void *datagram_arg;
};

struct fg_engine_ops {
	const char *name;
	int (*open)(const struct fg_engine_conf *conf, void **ret_engine, char *why, size_t n_why);
	void (*close)(void *engine);
	int (*frame)(void *engine, const struct fg_capture_frame *frame);
	/** Hands pending samples to on_sample, datagrams to on_datagram. */
	int (*drain)(void *engine);
	const struct fg_tables *(*tables)(void *engine);
	/** With seed, masks and tick as the tables have them. */
	const struct fg_config *(*config)(void *engine);
	int (*totals)(void *engine, struct fg_totals *ret_totals);
};

extern const struct fg_engine_ops fg_engine_host;
extern const struct fg_engine_ops fg_engine_kernel;
