/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/num.h"

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

/* --- TCP --------------------------------------------------------------------------------------- */

int fg_listen_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_n,
		    char *why, size_t n_why)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;
	struct sockaddr_in *in = (struct sockaddr_in *)ret_address;
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	bool brackets = n > 2 && text[0] == '[' && colon[-1] == ']';
	char host[64] = "";
	uint64_t port;

	memset(ret_address, 0, sizeof(*ret_address));
	if (n && n < sizeof(host))
		snprintf(host, sizeof(host), "%.*s", (int)(brackets ? n - 2 : n), text + brackets);
	if (brackets && inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		*ret_n = sizeof(*in6);
	} else if (!brackets && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		*ret_n = sizeof(*in);
	} else {
		snprintf(why, n_why,
			 "'%.80s' is no ADDRESS:PORT, like 127.0.0.1:8093 or [::1]:8093", text);
		return -EINVAL;
	}
	if (fg_num_u64(colon + 1, 1, UINT16_MAX, &port)) {
		snprintf(why, n_why, "'%.20s' is no port of 1 to 65535", colon + 1);
		return -EINVAL;
	}
	if (brackets)
		in6->sin6_port = htons((uint16_t)port);
	else
		in->sin_port = htons((uint16_t)port);
	return 0;
}

bool fg_listen_is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;

	if (address->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	return ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

static void explain(int r, char *why, size_t n_why)
{
	if (r == -EADDRINUSE)
		snprintf(why, n_why,
			 "the port is in use by another program ('ss -ltnp' says by which)");
	else if (r == -EADDRNOTAVAIL)
		snprintf(why, n_why, "no interface of this host has the address");
	else if (r == -EACCES)
		snprintf(why, n_why, "a port below 1024 needs CAP_NET_BIND_SERVICE");
	else
		snprintf(why, n_why, "cannot be served: %s", strerror(-r));
}

int fg_listen_tcp(struct fg_listener *l, const char *address, int backlog, char *why, size_t n_why)
{
	struct sockaddr_storage at;
	_cleanup_close_ int fd = -1;
	socklen_t n;
	int on = 1, r;

	*l = (struct fg_listener){ .fd = -1 };
	r = fg_listen_parse(address, &at, &n, why, n_why);
	if (r)
		return r;
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -errno : 0;
	/* what an earlier agent left in TIME_WAIT is nobody; and [::] is what it says, not IPv4, too */
	if (!r && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		   (at.ss_family == AF_INET6 &&
		    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
		   bind(fd, (struct sockaddr *)&at, n) || listen(fd, backlog)))
		r = -errno;
	if (r) {
		explain(r, why, n_why);
		return r;
	}
	l->fd = FG_TAKE_FD(fd);
	return 0;
}
