/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that another program reads while we write them: it sees the old one or the new one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/** Writes a temporary file beside it, brings it to the disk and renames it. Mode and owner are those
 * of the file that it replaces, 0644 where there was none: who reads it may be another user. why gets
 * a sentence on failure. @return 0, -errno: then the old file stands. */
int fg_file_replace(const char *path, const char *bytes, size_t n, char *why, size_t n_why);
/** The whole of a file of at most max bytes, with a NUL behind it; the caller's to free.
 * @return 0, -ENOENT, -EFBIG, -errno. */
int fg_file_read(const char *path, size_t max, char **ret_bytes, size_t *ret_n);

/* Which file it is, and which writing of it. Zeroed = none. */
struct fg_file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};
void fg_file_mark(const char *path, struct fg_file_mark *ret_mark);
bool fg_file_same(const char *path, const struct fg_file_mark *mark);
