/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a live agent offers over its API beside the lists: decisions for bouncers, and all of it over TCP
 * to who has a key. */
#pragma once

#include "agent/core.h"
#include "export/export.h"

struct fg_agent_api;

/** Reads the configuration's keys without anything else; for who asks before a start. @return 0, -errno with
 * a sentence in why. */
int fg_agent_api_try(const struct fg_conf *conf, char *why, size_t n_why);

/** Makes the log of decisions, and opens the configuration's listen.address where there is one. The
 * core outlives it. @return 0, -errno with a sentence in why. */
int fg_agent_api_open(struct fg_core *core, struct fg_agent_api **ret_api, char *why, size_t n_why);
void fg_agent_api_close(struct fg_agent_api **api);

/** The set that is exported now. */
void fg_agent_api_update(struct fg_agent_api *api, struct fg_export_set *set, uint64_t now_ns);
/** Call it once a second: time-outs of connections, changes of the keys file, refused requests told. */
void fg_agent_api_epoch(struct fg_agent_api *api);

/** Readable when fg_agent_api_run() has something to do; -1 = there is no TCP port. */
int fg_agent_api_fd(const struct fg_agent_api *api);
void fg_agent_api_run(struct fg_agent_api *api);
