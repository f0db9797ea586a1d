/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inside of disk.h, for verdict/disk*.c only: the statements, and what runs them. disk.c has the tables
 * and verdicts, disk_past.c history and decisions, disk_summaries.c summaries.
 */
#pragma once

#include <limits.h>
#include <sqlite3.h>

#include "verdict/disk.h"

/* Past decisions kept: strangers cause them by being flagged. About 200 B each, so 40 MB. */
#define MAX_HISTORY 200000
/* Operators' decisions kept. About 250 B each, so 5 MB; a script that decides each minute fills it in two
 * weeks. */
#define MAX_DECISIONS 20000

enum stmt {
	BEGIN,
	COMMIT,
	LIST_VERDICTS,
	LIST_EVIDENCE,
	LIST_ALLOW,
	NEXT_ID,
	PUT_VERDICT,
	SET_STATE,
	PUT_EVIDENCE,
	DROP_VERDICT,
	DROP_EVIDENCE,
	PUT_ALLOW,
	DROP_ALLOW,
	PUT_PAST,
	TRIM_PAST,
	LIST_PAST,
	PRUNE_PAST,
	PUT_DECISION,
	GET_DECISION,
	SET_UNDONE,
	LIST_DECISIONS,
	PUT_EFFECT,
	LIST_EFFECTS,
	PRUNE_EFFECTS,
	PRUNE_DECISIONS,
	LIST_STATE,
	GET_BLOB,
	PUT_BLOB,
	SET_SUMMARY,
	ADD_SUMMARY,
	GET_SUMMARY,
	LIST_SUMMARIES,
	AGES_OF_SUMMARIES,
	OLDEST_SUMMARY,
	DROP_SUMMARY,
	FORGET_SUMMARIES,
	_STMT_MAX
};

struct fg_disk {
	sqlite3 *db;
	sqlite3_stmt *stmt[_STMT_MAX];
	uint64_t n_summaries, max_summaries, n_before; /* before this transaction */
	bool past_grew; /* in this transaction: looked at when it ends */
	char path[PATH_MAX];
	char error[256];
};

/* Remembers the sentence of a failure. @return 0, -errno. */
int fg_disk_checked(struct fg_disk *d, int code);
/** Runs a statement that answers one blob at most. @return its bytes, 0 = none, -EOVERFLOW above n,
 * -errno. */
int fg_disk_step_blob(struct fg_disk *d, sqlite3_stmt *s, void *ret_buf, size_t n);
/* Runs a statement that returns no rows, and makes it ready for the next time. */
int fg_disk_run(struct fg_disk *d, enum stmt which);
int fg_disk_exec(struct fg_disk *d, const char *text);
void fg_disk_bind_text(sqlite3_stmt *s, int i, const char *text);
void fg_disk_bind_addr(sqlite3_stmt *s, int i, const uint8_t addr[16]);
void fg_disk_take_text(sqlite3_stmt *s, int i, char *to, size_t n);
/* An address and its length in the next column. @return false where they are none. */
bool fg_disk_take_prefix(sqlite3_stmt *s, int i, uint8_t addr[16], uint8_t *bits);
int fg_disk_unclean(struct fg_disk *d, const char *table, int64_t id);
