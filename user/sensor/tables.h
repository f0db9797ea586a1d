/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tables of one engine as memory, wherever they live (mapped from the kernel, or ours), and how
 * large they are made.
 */
#pragma once

#include <stdint.h>

#include "farmgate/abi.h"

/*
 * Where something may have changed: for each set (streams: row) in how many passes it is still to be
 * looked at. Kept by the engine on this host, which touches few rows between two passes over a large
 * table; NULL where the kernel's programs write: all of it is looked at.
 */
#define FG_HOT_PASSES 6 /* a row has news up to four passes after it was touched last */
struct fg_per_set {
	uint8_t *flows, *knocks, *sources, *clients, *prints, *streams;
};

struct fg_tables {
	struct fg_flow_set *flows;
	struct fg_timing *timings; /* one for each row of flows */
	struct fg_knock_set *knocks;
	struct fg_source_set *sources;
	struct fg_client_set *clients;
	struct fg_print_set *prints;
	struct fg_stream *streams;
	struct fg_stash *stash; /* NULL where it is the kernel's: the agent does not read it */
	struct fg_overflow *overflow; /* FG_OVERFLOW_COLUMNS */
	struct fg_meta *meta;
	struct fg_per_set hot;
	/* sets (streams, stash: rows); powers of two */
	uint32_t n_flows, n_knocks, n_sources, n_clients, n_prints, n_streams, n_stash;
};

/** Sizes that fit into so many bytes, the largest powers of two; pointers stay NULL. */
void fg_tables_size(uint64_t bytes, struct fg_tables *ret_sizes);
/** What tables of these sizes take. */
uint64_t fg_tables_bytes(const struct fg_tables *sizes);
/** The default: 1/32 of RAM, at most 256 MB. */
uint64_t fg_tables_default_bytes(void);
/** A byte for each set of tables of these sizes, zero. @return 0, -ENOMEM: free it then, too. */
int fg_per_set_new(const struct fg_tables *sizes, struct fg_per_set *ret);
void fg_per_set_free(struct fg_per_set *per_set);
/** Writes the masks of the sizes into a configuration. */
void fg_tables_masks(const struct fg_tables *sizes, struct fg_config *config);
