/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The commands of `campaign`, and what they have in common.
 */
#pragma once

#include <stdint.h>

#include "campaign/keys.h"
#include "campaign/world.h"

/* What is taken from the agent, or done to it, to see what it is worth. */
enum cg_ablation {
	CG_WHOLE,
	CG_NO_TIMES, /* no round trips, no turn-arounds */
	CG_NO_JA4, /* every hello looks the same */
	CG_INGRESS_ONLY, /* the reply direction is not seen */
	CG_LOSS, /* a tenth of the connections is not told */
	CG_RESTART, /* the agent restarts six days into the scored days */
	CG_JITTER, /* clock readings are off by up to 5 ms */
	CG_NO_TABLE, /* no table of networks */
	_CG_ABLATION_MAX
};

struct cg_options {
	struct cg_conf world;
	enum cg_ablation ablation;
	uint32_t epoch_s;
	uint64_t max_connections; /* 0 = all */
	const char *state_dir; /* NULL = memory, or a temporary one where it restarts */
	const char *report_file; /* of replay, JSON */
	const char *truth_file; /* NULL = not wanted */
	uint32_t keep_bytes; /* of a frame's payload; 0 = all */
	const char *branches,
		*rows_dir; /* of branches: scenarios with commas between, and where to */
	uint32_t jobs; /* of branches: processes at a time */
	bool no_header;
	bool verbose; /* who is flagged and why, as it happens */
};

const char *cg_ablation_name(enum cg_ablation ablation);

/* Keys are only comparable under one seed: the campaign's own, fixed. */
extern const uint64_t cg_hash_seed[4];

/** World and keys of it. @return 0, -errno with a sentence on stderr. */
int cg_open(const struct cg_conf *conf, struct cg_world **ret_world, struct cg_keys **ret_keys);

/** Each @return 0, 1 where the proof fails, -errno with a sentence on stderr. */
int cg_run(const struct cg_options *options);
int cg_branches(const struct cg_options *options);
int cg_agree(const struct cg_options *options);
int cg_packets_write(const struct cg_options *options);
int cg_asn_write(const struct cg_options *options);
int cg_judge(const struct cg_options *options);
int cg_summary(const struct cg_options *options);
