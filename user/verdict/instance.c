/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "verdict/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DIGITS (FG_INSTANCE_TEXT - 1)

int fg_instance_read(const char *dir, char ret_id[FG_INSTANCE_TEXT])
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/instance", dir) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = read(fd, ret_id, DIGITS);
	close(fd);
	ret_id[DIGITS] = '\0';
	return n == DIGITS && strspn(ret_id, "0123456789abcdef") == DIGITS ? 0 : -ENOENT;
}

static int put(int fd, const char id[FG_INSTANCE_TEXT])
{
	char line[FG_INSTANCE_TEXT];

	memcpy(line, id, DIGITS);
	line[DIGITS] = '\n';
	errno = ENOSPC;
	if (write(fd, line, sizeof(line)) != (ssize_t)sizeof(line) || fsync(fd))
		return -errno;
	return 0;
}

int fg_instance_write(const char *dir, const char id[FG_INSTANCE_TEXT])
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int fd, r;

	if ((size_t)snprintf(path, sizeof(path), "%s/instance", dir) >= sizeof(path) ||
	    (size_t)snprintf(fresh, sizeof(fresh), "%s/instance.new", dir) >= sizeof(fresh))
		return -ENAMETOOLONG;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = put(fd, id);
	close(fd);
	if (!r && rename(fresh, path))
		r = -errno;
	if (r)
		unlink(fresh);
	return r;
}

int fg_instance_draw(char ret_id[FG_INSTANCE_TEXT])
{
	unsigned char bytes[DIGITS / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(ret_id + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}
