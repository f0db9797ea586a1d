/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The whole agent over a capture, on packet time: one epoch a second of it, empty ones skipped. */
#pragma once

#include <stdint.h>

#include "agent/core.h"
#include "source/engine.h"

struct fg_replay_conf {
	const char *path; /* "-" = stdin */
	const struct fg_engine_ops *engine;
	uint64_t table_bytes;
	bool any_port; /* every TCP port may be a server's */
	/* Each hello, complete or not, instead of an account: nothing goes into the core then. NULL:
	 * the core keeps samples to name keys. */
	fg_sample_fn on_hello;
	void *arg;
	bool force_loop; /* kernel engine: bpf_loop even where may_goto is accepted */
	const uint64_t *seed; /* NULL: the core's */
};

/**
 * Runs the capture through the engine into core. Frames before the first error are counted.
 * @return 0; -EBADMSG where the capture breaks off in the middle (the report still stands);
 * -errno. why gets one sentence on failure.
 */
int fg_replay(struct fg_core *core, const struct fg_replay_conf *conf, char *why, size_t n_why);
