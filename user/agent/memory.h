/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model's summaries in the store: the keeper that model/remember.h asks for. Everything that
 * changed is written within an hour, a part in each epoch; at the start what was seen within two weeks
 * is read back, and what was not seen for 30 days is deleted.
 *
 * Without a store nothing is kept, and nothing costs anything.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "verdict/store.h"

/* The addresses of customers are kept no longer than what is done with them needs: births are asked
 * for a fortnight back, and a client away for a month is new again (data minimisation). */
#define FG_SUMMARY_DAYS 30
/* Read back at the start: what is older comes back when it is seen again. */
#define FG_RESTORE_DAYS 14
/* A crash of the agent costs at most so much. */
#define FG_SAVE_TURN_NS 3600000000000ULL
/* Rows of each table written in an epoch: 15 million an hour, some 40 ms. */
#define FG_SAVE_ROWS 4096

struct fg_memory {
	struct fg_store *store; /* NULL = nothing is kept */
	struct fg_model *model;
	bool open; /* a transaction is */
	int error; /* the first of this transaction */
	uint64_t stepped_ns, noted_ns; /* end of the epoch of the last step; of the last note */
	uint64_t forgotten; /* key up to which old ones were deleted in this turn */
	uint64_t restored, damaged, other_version; /* at the start */
	uint64_t written; /* rows, since the start */
};

/** Keys for a model's hashes: the store's, or new ones that are stored. @return 0, -errno. */
int fg_memory_seed(struct fg_store *store, uint64_t ret_seed[2]);
/**
 * Reads back what the store has and keeps the model from then on. Owns neither; the model was made
 * with fg_memory_seed(), and saw no epoch yet.
 *
 * @param now_ns    0 = not known: the time of what was stored last
 * @param ret_hour  since 1970, that was running when it was stored; 0 = none
 * @return 0, -errno; what was damaged is counted, and no error.
 */
int fg_memory_open(struct fg_memory *memory, struct fg_store *store, struct fg_model *model,
		   uint64_t now_ns, uint32_t *ret_hour);
/** Behind each epoch. @return 0, -errno: it is written again with the next ones. */
int fg_memory_step(struct fg_memory *memory, uint64_t now_ns, uint32_t hour);
/** Writes everything. @return 0, -errno. */
int fg_memory_save(struct fg_memory *memory, uint32_t hour);
