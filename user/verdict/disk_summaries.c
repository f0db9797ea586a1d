/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "verdict/disk_tables.h"

/* Without a sync: a crash of the host may take the last seconds of them, never the file's order. What
 * is written after them in a transaction of verdicts is synced with them. */
int fg_disk_begin_summaries(struct fg_disk *disk)
{
	int r = fg_disk_exec(disk, "PRAGMA synchronous = NORMAL; BEGIN");

	disk->n_before = disk->n_summaries;
	if (r)
		sqlite3_exec(disk->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	return r;
}

void fg_disk_rollback_summaries(struct fg_disk *disk)
{
	fg_disk_rollback(disk);
	disk->n_summaries = disk->n_before;
	sqlite3_exec(disk->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
}

int fg_disk_commit_summaries(struct fg_disk *disk)
{
	int r = fg_disk_run(disk, COMMIT);

	if (r)
		fg_disk_rollback_summaries(disk);
	else
		sqlite3_exec(disk->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	return r;
}

static int drop_oldest(struct fg_disk *d, uint64_t key)
{
	sqlite3_stmt *s = d->stmt[OLDEST_SUMMARY];
	int64_t oldest = 0;
	int code, r;

	sqlite3_bind_int64(s, 1, (int64_t)key);
	code = sqlite3_step(s);
	r = fg_disk_checked(d, code);
	if (code == SQLITE_ROW)
		oldest = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return r || code != SQLITE_ROW ? r : fg_disk_drop_summary(d, (uint64_t)oldest);
}

static int write_summary(struct fg_disk *d, enum stmt which, uint64_t key, uint32_t last_s,
			 const void *bytes, size_t n)
{
	sqlite3_stmt *s = d->stmt[which];

	sqlite3_bind_int64(s, 1, (int64_t)key);
	sqlite3_bind_int64(s, 2, last_s);
	sqlite3_bind_blob(s, 3, bytes, (int)n, SQLITE_STATIC);
	return fg_disk_run(d, which);
}

int fg_disk_put_summary(struct fg_disk *disk, uint64_t key, uint32_t last_s, const void *bytes,
			size_t n)
{
	int r = n > INT_MAX ? -EMSGSIZE : write_summary(disk, SET_SUMMARY, key, last_s, bytes, n);

	if (r || sqlite3_changes(disk->db))
		return r;
	if (disk->n_summaries >= disk->max_summaries)
		r = drop_oldest(disk, key);
	if (!r)
		r = write_summary(disk, ADD_SUMMARY, key, last_s, bytes, n);
	disk->n_summaries += !r;
	return r;
}

int fg_disk_find_summary(struct fg_disk *disk, uint64_t key, void *ret_buf, size_t n)
{
	sqlite3_stmt *s = disk->stmt[GET_SUMMARY];
	sqlite3_bind_int64(s, 1, (int64_t)key);
	return fg_disk_step_blob(disk, s, ret_buf, n);
}

int fg_disk_newest_summaries(struct fg_disk *disk, uint64_t from_key, uint64_t to_key, uint64_t n,
			     uint32_t *ret_from_s, uint64_t *ret_n)
{
	sqlite3_stmt *s = disk->stmt[AGES_OF_SUMMARIES];
	int code;

	*ret_from_s = 0;
	*ret_n = 0;
	sqlite3_bind_int64(s, 1, (int64_t)from_key);
	sqlite3_bind_int64(s, 2, (int64_t)to_key);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		int64_t hour = sqlite3_column_int64(s, 0);

		*ret_n += (uint64_t)sqlite3_column_int64(s, 1);
		/* the hour in which they are enough is the last */
		if (*ret_n >= n && hour >= 0 && hour <= UINT32_MAX / 3600) {
			*ret_from_s = (uint32_t)(hour * 3600);
			code = SQLITE_DONE;
			break;
		}
	}
	code = fg_disk_checked(disk, code);
	sqlite3_reset(s);
	return code;
}

int fg_disk_each_summary(struct fg_disk *disk, uint64_t from_key, uint64_t to_key, uint32_t from_s,
			 fg_summary_fn fn, void *arg)
{
	sqlite3_stmt *s = disk->stmt[LIST_SUMMARIES];
	int code = SQLITE_DONE, r = 0;

	sqlite3_bind_int64(s, 1, (int64_t)from_key);
	sqlite3_bind_int64(s, 2, (int64_t)to_key);
	sqlite3_bind_int64(s, 3, from_s);
	while (!r && (code = sqlite3_step(s)) == SQLITE_ROW)
		r = fn(arg, (uint64_t)sqlite3_column_int64(s, 0), sqlite3_column_blob(s, 1),
		       (size_t)sqlite3_column_bytes(s, 1));
	if (!r)
		r = fg_disk_checked(disk, code);
	sqlite3_reset(s);
	return r;
}

static int drop_summaries(struct fg_disk *d, enum stmt which)
{
	int r = fg_disk_run(d, which);

	if (!r)
		d->n_summaries -= (uint64_t)sqlite3_changes(d->db);
	return r;
}

int fg_disk_drop_summary(struct fg_disk *disk, uint64_t key)
{
	sqlite3_bind_int64(disk->stmt[DROP_SUMMARY], 1, (int64_t)key);
	return drop_summaries(disk, DROP_SUMMARY);
}

int fg_disk_forget_summaries(struct fg_disk *disk, uint64_t from_key, uint64_t to_key,
			     uint32_t before_s)
{
	sqlite3_stmt *s = disk->stmt[FORGET_SUMMARIES];

	sqlite3_bind_int64(s, 1, (int64_t)from_key);
	sqlite3_bind_int64(s, 2, (int64_t)to_key);
	sqlite3_bind_int64(s, 3, before_s);
	return drop_summaries(disk, FORGET_SUMMARIES);
}

uint64_t fg_disk_n_summaries(const struct fg_disk *disk)
{
	return disk->n_summaries;
}

void fg_disk_limit_summaries(struct fg_disk *disk, uint64_t max)
{
	disk->max_summaries = max;
}
