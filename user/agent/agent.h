/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live agent: the one place that knows the whole chain, from interfaces to exports. */
#pragma once

#include <stddef.h>

#include "agent/conf.h"

/** Runs until SIGTERM or SIGINT. Nothing stays attached afterwards. what and why name the thing and
 * the cause on failure. @return 0, -errno. */
int fg_agent_run(const struct fg_conf *conf, char *what, size_t n_what, char *why, size_t n_why);
