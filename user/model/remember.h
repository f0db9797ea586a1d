/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the model knows outlives its rows and its process, as summaries (model/summary.h) that a keeper
 * holds: a file, of which the model knows nothing.
 *
 *   - Rows that changed have their summaries made in turns, a part of the tables at a time, so that a
 *     turn through all of them may take as long as the caller likes and no epoch has much to do.
 *   - A row that gives way in a full table leaves its summary, if it has changed since.
 *   - A row that is made takes up its summary where there is one: who comes back is not new.
 *   - At the start the caller reads everything back (fg_model_restore()) before the first epoch.
 *
 * The last two cost a look-up and a write for each row, so an epoch has at most FG_RECALLS and
 * FG_LEFT of them; what is beyond is counted (fg_model_refused: recalls, left).
 *
 * While the agent was away nobody was seen, and that nobody was seen says nothing: after a break of
 * FG_BREAK_NS births and returns are unknown as on its first days (fg_model_unbroken_ns()), and days
 * with a break in them say nothing of what is usual for a source. Resumptions can be judged only where
 * no full handshake went by unseen: after anything but a clean restart within FG_SHORT_BREAK_NS they
 * wait for a day (fg_model_known_since_ns()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fg_model;
struct fg_summary;

/* A look-up is 2 to 10 us: at most 40 ms of an epoch, which only a flood of newcomers takes. */
#define FG_RECALLS 4096
#define FG_LEFT	   4096
/* Clients are told by the hour: of a shorter break an hour's shares notice little. */
#define FG_BREAK_NS 3600000000000ULL
/* A restart. Of a day's full handshakes it misses less than one in a thousand. */
#define FG_SHORT_BREAK_NS 60000000000ULL
/* A break so long, and what is known of the time before says nothing of now. */
#define FG_STALE_NS (14 * 86400000000000ULL)

struct fg_keeper {
	/** Copies the summary's bytes, at most n. @return how many, 0 where there is none. What
	 * cannot be read is none; the keeper says so itself. */
	size_t (*find)(void *arg, uint64_t key, void *bytes, size_t n);
	/** @return 0, -errno. */
	int (*put)(void *arg, const struct fg_summary *summary);
	void *arg;
};
/** From now on. The keys are good for models of the same fg_model_limits.seed. */
void fg_model_remember(struct fg_model *model, const struct fg_keeper *keeper);

/**
 * Makes the summaries of rows that changed.
 *
 * @param share  of each table, 0 to 1; goes on where the last call stopped
 * @param max    rows of each table; a call that makes so many stops before its share is done
 * @return how many, -errno of the keeper: what it did not take is made again
 */
long fg_model_save(struct fg_model *model, double share, size_t max);

/** What was put is lost: the summary of every row is made again. */
void fg_model_save_again(struct fg_model *model);

/* What is not in rows. */
struct fg_model_past {
	uint64_t began_ns, unbroken_ns; /* fg_model_began_ns(), fg_model_unbroken_ns() */
	uint64_t known_since_ns;
	uint64_t now_ns; /* end of the last epoch */
};
struct fg_model_past fg_model_past(const struct fg_model *model);

/** Rows of one kind that the model will take back: of fingerprints half of its limit, as they never
 * give way and newcomers need room. @param kind  enum fg_summary_kind */
size_t fg_model_room(const struct fg_model *model, int kind);
/** Room for n rows of a kind, at most its limit. Rows come back in the order of their hashes, which is
 * that of an index: in one that grows with them the first ones would lie in one heap.
 * @return 0, -ENOMEM. */
int fg_model_reserve(struct fg_model *model, int kind, uint64_t n);
/** Before the first epoch, and behind fg_model_reserve(): puts a row back. Fingerprints and sources before clients.
 * @return 0, 1 where it is there already or has no room, -EBADMSG (damaged), -ESTALE (of another
 * version), -ENOMEM. */
int fg_model_restore(struct fg_model *model, uint64_t key, const void *bytes, size_t n);
/** After the last of them. complete: everything was saved before the model was left. */
void fg_model_restored(struct fg_model *model, const struct fg_model_past *past, bool complete);
