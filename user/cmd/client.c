/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE /* memmem */
#include "cmd/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/num.h"

#define TIMEOUT_S  30
#define HEADER_MAX 8192

int fg_client_argument(char *target, size_t n, const char *name, const char *value)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	size_t at = strlen(target);

	if (!value)
		return 0;
	at += (size_t)snprintf(target + at, n - at, "%c%s=", strchr(target, '?') ? '&' : '?', name);
	for (; *value; value++) {
		if (at + 4 >= n)
			return -ENOSPC;
		if (strchr(plain, *value))
			target[at++] = *value;
		else
			at += (size_t)snprintf(target + at, n - at, "%%%02X",
					       (unsigned char)*value);
	}
	target[at] = '\0';
	return 0;
}

static int open_socket(const char *path, int *ret_fd)
{
	struct timeval patience = { .tv_sec = TIMEOUT_S };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)))
		return -errno;
	*ret_fd = FG_TAKE_FD(fd);
	return 0;
}

static int send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return sent < 0 ? -errno : -EIO;
		bytes += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* Everything until the other side closes. */
static int receive_all(int fd, char **ret_bytes, size_t *ret_n)
{
	_cleanup_free_ char *bytes = NULL;
	size_t n = 0, cap = 0;

	for (;;) {
		ssize_t got;

		if (n + 1 >= cap) {
			char *larger;

			cap = cap ? cap * 2 : 65536;
			if (cap > FG_CLIENT_MAX_BYTES)
				return -EFBIG;
			larger = realloc(bytes, cap);
			if (!larger)
				return -ENOMEM;
			bytes = larger;
		}
		got = recv(fd, bytes + n, cap - n - 1, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	bytes[n] = '\0';
	*ret_bytes = FG_TAKE_PTR(bytes);
	*ret_n = n;
	return 0;
}

/* The server answers "Connection: close" requests with a length, so the body is the rest. */
static int split(char *bytes, size_t n, struct fg_client_answer *ret_answer)
{
	char *end = memmem(bytes, n < HEADER_MAX ? n : HEADER_MAX, "\r\n\r\n", 4), status[4] = "";
	uint64_t code;
	size_t body_n;

	if (!end || strncmp(bytes, "HTTP/1.", 7) || n < 12)
		return -EBADMSG;
	memcpy(status, bytes + 9, 3);
	if (fg_num_u64(status, 100, 599, &code))
		return -EBADMSG;
	end += 4;
	body_n = n - (size_t)(end - bytes);
	memmove(bytes, end, body_n + 1);
	*ret_answer = (struct fg_client_answer){ .status = (int)code, .body = bytes, .n = body_n };
	return 0;
}

int fg_client_request(const char *socket_path, const char *method, const char *target,
		      const char *body, struct fg_client_answer *ret_answer, char *why,
		      size_t n_why)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_close_ int fd = -1;
	char head[2048];
	size_t n = 0;
	int r = open_socket(socket_path, &fd);

	if (r) {
		snprintf(why, n_why,
			 r == -ENOENT || r == -ECONNREFUSED ?
				 "no agent is serving there (start it with 'farmgate run -i IF')" :
				 "%s",
			 strerror(-r));
		return r;
	}
	snprintf(
		head, sizeof(head),
		"%s %s HTTP/1.1\r\nHost: farmgate\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
		method, target, body ? strlen(body) : 0);
	r = send_all(fd, head, strlen(head));
	if (!r && body)
		r = send_all(fd, body, strlen(body));
	if (!r)
		r = receive_all(fd, &bytes, &n);
	if (!r)
		r = split(bytes, n, ret_answer);
	if (r) {
		snprintf(why, n_why, "the agent's answer is unusable: %s", strerror(-r));
		return r;
	}
	bytes = NULL; /* now the answer's body */
	return 0;
}
