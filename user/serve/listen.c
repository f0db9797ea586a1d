/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/listen.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"

/* Makes the socket's folder, one level, as a service manager would. */
static void make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return;
	*slash = '\0';
	mkdir(folder, 0755);
}

/* Does somebody answer there? An agent whose queue is full does (EAGAIN), and is not waited for. */
static bool is_served(const struct sockaddr_un *at)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 &&
	       (!connect(fd, (const struct sockaddr *)at, sizeof(*at)) || errno == EAGAIN);
}

int fg_listen(struct fg_listener *l, const char *path, int backlog, const char *cure, char *why,
	      size_t n_why)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct stat st;
	mode_t mask;
	int r;

	*l = (struct fg_listener){ .fd = -1 };
	if (strlen(path) >= sizeof(at.sun_path)) {
		snprintf(why, n_why, "the path is too long for a socket");
		return -ENAMETOOLONG;
	}
	strcpy(at.sun_path, path);
	make_folder(path);
	if (is_served(&at)) {
		snprintf(why, n_why, "already served by a live agent (stop it, or %s)", cure);
		return -EADDRINUSE;
	}
	if (!lstat(path, &st)) {
		if (!S_ISSOCK(st.st_mode)) {
			snprintf(why, n_why, "is there and is no socket");
			return -EEXIST;
		}
		unlink(path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* made with the mode it shall have: nobody may connect in between */
	mask = umask(0117);
	r = fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, backlog) ? -errno :
											    0;
	umask(mask);
	if (r) {
		snprintf(why, n_why, "cannot be served: %s", strerror(-r));
		return r;
	}
	if (!lstat(path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	strcpy(l->path, path);
	l->fd = FG_TAKE_FD(fd);
	return 0;
}

void fg_listen_close(struct fg_listener *l)
{
	struct stat st;

	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->path[0] && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	l->path[0] = '\0';
}
