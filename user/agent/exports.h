/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One set of verdicts, many exports: takes the set when it has changed, hands it to each
 * target that the configuration names, and says in log and view what became of it. The drop map is
 * written on the agent's loop, where it takes microseconds; all others have threads (target.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/api.h"
#include "agent/conf.h"
#include "agent/core.h"
#include "sensor/sensor.h"

struct fg_exports;

/** Makes the targets that conf names; call it when the loop has the signals. core, sensor, conf and
 * api, which gets the sets too, outlive it. @return 0, -errno with a sentence in why. */
int fg_exports_open(struct fg_core *core, struct fg_sensor *sensor, const struct fg_conf *conf,
		    struct fg_agent_api *api, struct fg_exports **ret_exports, char *why,
		    size_t n_why);
/** Ends all targets at the same time: what has no end of its own is taken out. */
void fg_exports_close(struct fg_exports **exports);

/** Hands out the set where the store has changed since the last one; for each epoch, and at once
 * after an operator's word. */
void fg_exports_run(struct fg_exports *exports, uint64_t now_ns);
/** Brings the view up to date, logs what changed, and now and then has the targets looked at; for
 * each epoch. */
void fg_exports_epoch(struct fg_exports *exports);
/** What the gate dropped for a verdict, and when last (unix). @return 0, -ENOENT where it is not in the
 * gate, -errno. */
int fg_exports_hits(struct fg_exports *exports, const struct fg_verdict *verdict, uint64_t now_ns,
		    uint64_t *ret_hits, uint64_t *ret_last_ns);
/** Does the gate stop this client now? */
bool fg_exports_block(struct fg_exports *exports, const uint8_t source[16], uint64_t stem,
		      uint64_t stack, uint64_t now_ns);
/** Brings only the view up to date, for who reads a status between epochs. */
void fg_exports_refresh(struct fg_exports *exports);
