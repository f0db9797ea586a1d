/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Level B against level A: the same connections as frames through the engine and the taker, and as
 * epochs straight into the model. What two models know of each client, source and fingerprint is
 * compared field by field.
 *
 * Owns: both models. Must not: judge.
 */
#pragma once

#include "campaign/epochs.h"
#include "campaign/packets.h"
#include "model/model.h"

/** A model with the agent's default limits. @return 0, -errno. */
int cg_model_new(struct fg_model **ret_model);

/* The agent of level B: engine, taker, model; a pass each second of the frames' time. */
struct cg_side;

/** @param table_bytes  of the engine. @return 0, -errno with a sentence on stderr. */
int cg_side_new(const uint64_t seed[4], uint64_t table_bytes, struct cg_side **ret_side);
void cg_side_free(struct cg_side **side);
/** cg_frame_fn. @return 0, -errno. */
int cg_side_frame(void *side, uint64_t time_ns, const uint8_t *frame, size_t len, size_t wire_len);
/** The last passes, until nothing new can be told. @return 0, -errno. */
int cg_side_finish(struct cg_side *side);
struct fg_model *cg_side_model(struct cg_side *side);
/** Frames, hellos and connections that found no room, or could not be read. */
uint64_t cg_side_losses(const struct cg_side *side);

/** One field of all clients (sources, fingerprints) compared. */
struct cg_difference {
	const char *what;
	uint64_t compared, differ;
	double worst; /* largest difference, beyond tolerance or not */
	double a, b; /* where that was */
};

/* Enough for all fields. */
#define CG_MAX_DIFFERENCES 64

/** Compares; level A first. @return number of fields. */
size_t cg_compare(const struct fg_model *a, const struct fg_model *b,
		  struct cg_difference ret[CG_MAX_DIFFERENCES]);
