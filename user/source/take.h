/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Takes the counts of an epoch out of the tables without stopping the programs: their counters only
 * grow, the taker subtracts what it saw last. A row with a new generation has a new owner, whose
 * counts all are new.
 */
#pragma once

#include "model/epoch.h"
#include "sensor/tables.h"

struct fg_taker;

/** Shadows for tables of these sizes. The tables outlive the taker. @return 0, -ENOMEM. */
int fg_taker_new(const struct fg_tables *tables, struct fg_taker **ret_taker);
void fg_taker_free(struct fg_taker **taker);

/**
 * Begins with tables in which rows of an agent before this one stand: what they say now is taken as
 * told, and fingerprints are asked for again. Once, before the first take. @return 0, -ENOMEM.
 */
int fg_taker_adopt(struct fg_taker *taker);

/**
 * Begins the next epoch and takes the counts of the one that ends.
 *
 * ticks, tick_ns: the programs' clock now, which is the epoch's end_ns. Hellos that wait longer than FG_HELLO_TIMEOUT_NS are given
 * up; with all, every waiting one (end of a capture), and what is known of a connection is told as if
 * it had ended. Fills the arrays of *epoch; times, totals and samples are the caller's. @return 0, -ENOMEM.
 */
int fg_taker_take(struct fg_taker *taker, uint64_t ticks, uint64_t tick_ns, bool all,
		  struct fg_epoch *epoch);

/** Hellos given up by the taker, to be added to the programs' totals. */
const uint64_t *fg_taker_incomplete(const struct fg_taker *taker);

/** Told about each hello that is given up, before its row is freed. */
typedef void (*fg_given_up_fn)(void *arg, const struct fg_stream *stream,
			       enum fg_incomplete reason);
void fg_taker_on_given_up(struct fg_taker *taker, fg_given_up_fn fn, void *arg);

/** Begins the next epoch without taking the counts of this one, which are lost; only hellos whose
 * time is over (all: any that are unfinished) are given up. */
void fg_taker_skip(struct fg_taker *taker, uint64_t ticks, uint64_t tick_ns, bool all);
/** Tells the programs that no more samples of this key are needed. */
void fg_taker_mark_known(struct fg_taker *taker, uint64_t print);

/** Proven connections of a source that were counted while it had no row, since the start; never too
 * low (struct fg_overflow). */
uint64_t fg_taker_overflow(const struct fg_taker *taker, const uint8_t source[16]);

/** The client that a live connection belongs to. Addresses are 16 bytes, ports in host order; ret_source
 * is filled in any case. @return 0; -ENOENT where the connection has no row, has no proof, or its hello
 * is not complete: only the source is known then. */
int fg_taker_client(const struct fg_taker *taker, const uint8_t client[16], uint16_t client_port,
		    const uint8_t server[16], uint16_t server_port, uint8_t ret_source[16],
		    uint64_t *ret_stem, uint64_t *ret_stack);

/** Rows in use of each table, as of the last take. */
struct fg_fill {
	uint64_t flows, knocks, sources, clients, prints, streams;
};
struct fg_fill fg_taker_fill(const struct fg_taker *taker);
