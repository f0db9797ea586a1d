/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state file: SQLite tables of verdicts, allowlist, history, decisions, summaries and
 * small state. Knows rows, not rules; only verdict/disk*.c include sqlite3.h. Without a folder the same tables live in memory.
 */
#pragma once

#include "verdict/decisions.h"
#include "verdict/store.h"

struct fg_disk;

/** why gets one sentence with the cure. @return 0, -errno; -EUCLEAN where the file is damaged. */
int fg_disk_open(const char *dir, struct fg_disk **ret_disk, char *why, size_t n_why);
void fg_disk_close(struct fg_disk **disk);
/** What the last failure was, in a sentence. */
const char *fg_disk_error(const struct fg_disk *disk);

/** Moves the files of a state aside, to DIR/farmgate.db.SUFFIX and the like; one that lies there
 * already is overwritten. ret_to (at least 300 bytes) gets the name. @return 0, -errno. */
int fg_disk_move_aside(const char *dir, const char *suffix, char *ret_to, size_t n);

struct fg_disk_sink {
	int (*verdict)(void *arg, const struct fg_verdict *verdict, enum fg_state state);
	int (*allow)(void *arg, const struct fg_allow *allow);
	/* salvage only */
	int (*blob)(void *arg, const char *name, const void *bytes, size_t n);
	void *arg;
};
/** Every row. @return 0, -EUCLEAN where a row is no verdict, the sink's error. */
int fg_disk_load(struct fg_disk *disk, const struct fg_disk_sink *sink);
/** What can be read of a damaged file at path, row by row; what cannot is left out. @return 0, the
 * sink's error. */
int fg_disk_salvage(const char *path, const struct fg_disk_sink *sink);
/** Larger than every id in the file. @return id, -errno. */
int64_t fg_disk_next_id(struct fg_disk *disk);

int fg_disk_begin(struct fg_disk *disk);
int fg_disk_commit(struct fg_disk *disk);
void fg_disk_rollback(struct fg_disk *disk);

int fg_disk_put_verdict(struct fg_disk *disk, const struct fg_verdict *verdict,
			enum fg_state state);
/** What its life changes, of one that is there: not what it is about, nor its evidence. */
int fg_disk_set_state(struct fg_disk *disk, const struct fg_verdict *verdict, enum fg_state state);
int fg_disk_drop_verdict(struct fg_disk *disk, int64_t id);
int fg_disk_put_allow(struct fg_disk *disk, const struct fg_allow *allow);
int fg_disk_drop_allow(struct fg_disk *disk, int64_t id);

struct fg_past {
	uint64_t time_ns;
	const uint8_t *addr;
	uint8_t bits;
	int64_t id; /* of an operator's decision, else of the verdict */
	const char *what, *who, *reason;
};
int fg_disk_put_past(struct fg_disk *disk, const struct fg_past *past);
int fg_disk_history(struct fg_disk *disk, const uint8_t addr[16], fg_history_fn fn, void *arg);

int fg_disk_put_decision(struct fg_disk *disk, const struct fg_decision *decision);
/** @return 0, -ENOENT, -errno. */
int fg_disk_get_decision(struct fg_disk *disk, int64_t id, struct fg_decision *ret);
int fg_disk_set_undone(struct fg_disk *disk, int64_t id, int64_t by);
int fg_disk_decisions(struct fg_disk *disk, const char *subject, fg_decision_fn fn, void *arg);

/* One subject of a decision: how it was before, and what it is known again by. */
struct fg_effect {
	bool allow; /* an entry of the allowlist, else a verdict */
	uint8_t addr[16], bits;
	uint64_t stem, stack;
	enum fg_origin origin;
	int64_t id, after; /* of the entry and its decision afterwards; id 0 = there is none */
	enum fg_state state; /* it was in; FG_STATE_GONE = it was not there */
	int64_t was_id, was_decision;
	uint64_t first_ns, until_ns, kept_ns; /* first_ns of an allow is when it was made */
	char reason[160];
};
int fg_disk_put_effect(struct fg_disk *disk, int64_t decision, uint32_t i,
		       const struct fg_effect *effect);
/** By i. fn must not add any to this decision. @return 0, -errno, or fn's answer. */
int fg_disk_effects(struct fg_disk *disk, int64_t decision,
		    int (*fn)(void *arg, const struct fg_effect *effect), void *arg);
/** Drops so many rows at most of what is older; effects on verdicts have a time of their own. */
int fg_disk_prune(struct fg_disk *disk, uint64_t before_ns, uint64_t effects_before_ns,
		  uint32_t rows);

int fg_disk_get_blob(struct fg_disk *disk, const char *name, void *ret_buf, size_t n);
int fg_disk_load_blob(struct fg_disk *disk, const char *name, void **ret_bytes, size_t *ret_n);
int fg_disk_put_blob(struct fg_disk *disk, const char *name, const void *buf, size_t n);

/* As fg_store_* of the same names. */
int fg_disk_begin_summaries(struct fg_disk *disk);
int fg_disk_commit_summaries(struct fg_disk *disk);
void fg_disk_rollback_summaries(struct fg_disk *disk);
int fg_disk_put_summary(struct fg_disk *disk, uint64_t key, uint32_t last_s, const void *bytes,
			size_t n);
int fg_disk_find_summary(struct fg_disk *disk, uint64_t key, void *ret_buf, size_t n);
int fg_disk_newest_summaries(struct fg_disk *disk, uint64_t from_key, uint64_t to_key, uint64_t n,
			     uint32_t *ret_from_s, uint64_t *ret_n);
int fg_disk_each_summary(struct fg_disk *disk, uint64_t from_key, uint64_t to_key, uint32_t from_s,
			 fg_summary_fn fn, void *arg);
int fg_disk_drop_summary(struct fg_disk *disk, uint64_t key);
int fg_disk_forget_summaries(struct fg_disk *disk, uint64_t from_key, uint64_t to_key,
			     uint32_t before_s);
uint64_t fg_disk_n_summaries(const struct fg_disk *disk);
void fg_disk_limit_summaries(struct fg_disk *disk, uint64_t max);
