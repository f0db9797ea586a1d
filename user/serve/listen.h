/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listening sockets: a unix socket and its file, made with the mode it shall have and taken away by who
 * made it; or a TCP port.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct fg_listener {
	int fd; /* non-blocking; -1 = its owner closes it */
	dev_t dev; /* of the socket file, to know it again */
	ino_t ino;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/**
 * Listens at path (mode 0660), whose folder is made where it is missing. The socket file of a dead agent
 * is replaced.
 *
 * @param cure  what to do where a live agent answers there: "give another --socket"
 * @return 0, -EADDRINUSE for a live agent, -errno; with a sentence in why
 */
int fg_listen(struct fg_listener *listener, const char *path, int backlog, const char *cure,
	      char *why, size_t n_why);
/** Closes the socket and removes its file, unless somebody has put another one in its place. */
void fg_listen_close(struct fg_listener *listener);

/** "127.0.0.1:8093" or "[::1]:8093": an address in digits and a port of 1 to 65535. @return 0, -EINVAL with
 * a sentence in why. */
int fg_listen_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_n,
		    char *why, size_t n_why);
/** Can other hosts reach it? */
bool fg_listen_is_loopback(const struct sockaddr_storage *address);
/** Listens there. @return 0, -EADDRINUSE, -errno; with a sentence in why. */
int fg_listen_tcp(struct fg_listener *listener, const char *address, int backlog, char *why,
		  size_t n_why);
