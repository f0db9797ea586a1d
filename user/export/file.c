/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE /* mkostemp */
#include "export/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

static int write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t w = write(fd, bytes, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		bytes += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Without the right to give files away it stays ours, which is no failure: readers have the mode. */
static int take_after(int fd, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return fchmod(fd, 0644) ? -errno : 0;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (fchmod(fd, st.st_mode & 07777))
		return -errno;
	return fchown(fd, st.st_uid, st.st_gid) && errno != EPERM ? -errno : 0;
}

/* A rename is on the disk when its folder is. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) :
					      strdup(".");
	_cleanup_close_ int fd = -1;

	if (!folder)
		return -ENOMEM;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

int fg_file_replace(const char *path, const char *bytes, size_t n, char *why, size_t n_why)
{
	_cleanup_close_ int fd = -1;
	char temporary[PATH_MAX];
	int r;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary))
		r = -ENAMETOOLONG;
	else
		r = (fd = mkostemp(temporary, O_CLOEXEC)) < 0 ? -errno : 0;
	if (!r) {
		r = write_all(fd, bytes, n);
		if (!r)
			r = take_after(fd, path);
		if (!r && fsync(fd))
			r = -errno;
		if (!r && rename(temporary, path))
			r = -errno;
		if (r)
			unlink(temporary);
		else
			r = sync_folder(path);
	}
	if (r)
		snprintf(why, n_why, "%s cannot be written: %s", path, strerror(-r));
	return r;
}

int fg_file_read(const char *path, size_t max, char **ret_bytes, size_t *ret_n)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *bytes = NULL;
	struct stat st;
	size_t n;

	if (!f || fstat(fileno(f), &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	n = fread(bytes, 1, (size_t)st.st_size, f);
	if (ferror(f))
		return -EIO;
	bytes[n] = '\0';
	*ret_n = n;
	*ret_bytes = FG_TAKE_PTR(bytes);
	return 0;
}

void fg_file_mark(const char *path, struct fg_file_mark *ret_mark)
{
	struct stat st;

	*ret_mark = (struct fg_file_mark){ 0 };
	if (!stat(path, &st))
		*ret_mark = (struct fg_file_mark){ st.st_dev, st.st_ino, st.st_size, st.st_ctim };
}

bool fg_file_same(const char *path, const struct fg_file_mark *mark)
{
	struct fg_file_mark now;

	fg_file_mark(path, &now);
	return now.ino && now.dev == mark->dev && now.ino == mark->ino && now.size == mark->size &&
	       now.changed.tv_sec == mark->changed.tv_sec &&
	       now.changed.tv_nsec == mark->changed.tv_nsec;
}
