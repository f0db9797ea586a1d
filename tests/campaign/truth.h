/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The truth about a capture, in a file beside it: who was a farm's, and how many exchanges were made in
 * each hour. Lines of text, fields separated by tabs:
 *
 *   source  ADDRESS  KIND  FARM  FIRST  LAST  EXCHANGES  FARM_EXCHANGES    times in unix seconds
 *   hour    HOUR     EXCHANGES  FARM_EXCHANGES                              hours since 1970
 *
 * ADDRESS is the agent's name for a source. A source may be both: the exchanges tell.
 *
 * Owns: what it counts. Must not: be shown to a detector.
 */
#pragma once

#include <stdio.h>

#include "campaign/world.h"

struct cg_truth;

/** @return 0, -ENOMEM. */
int cg_truth_new(const struct cg_world *world, struct cg_truth **ret_truth);
void cg_truth_free(struct cg_truth **truth);
/** @return 0, -ENOMEM. */
int cg_truth_add(struct cg_truth *truth, const struct cg_connection *conn);
/** @return 0, -EIO. */
int cg_truth_write(const struct cg_truth *truth, FILE *out);
