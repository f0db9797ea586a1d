/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One simulation: a world, the agent's core that sees it, and who judges what the core says.
 *
 * Owns: both, and the files they need. Must not: show the core who is a farm.
 */
#pragma once

#include "campaign/campaign.h"

struct cg_run;

/** options must live as long, as they do below. @return 0, -errno with a sentence on stderr. */
int cg_run_open(const struct cg_options *options, struct cg_run **ret_run);
void cg_run_close(struct cg_run **run);

/** Everything that begins before a time. @return 0, -errno. */
int cg_run_until(struct cg_run *run, uint64_t ns);
/** All the rest. @return 0, -errno. */
int cg_run_end(struct cg_run *run);
/** Goes on as another scenario than it began; see cg_world_become(). What is counted of the run itself
 * (connections, records) begins anew. */
int cg_run_become(struct cg_run *run, const struct cg_options *options);
/** The row to stdout, the same for people to stderr. */
void cg_run_print(const struct cg_run *run);
