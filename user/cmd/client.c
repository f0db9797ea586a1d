/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE /* memmem */
#include "cmd/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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
	if (at + strlen(name) + 2 >= n)
		return -ENOSPC;
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

static int open_socket(const char *path, unsigned int timeout_s, int *ret_fd)
{
	struct timeval patience = { .tv_sec = (time_t)timeout_s };
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
		/* whoever hangs up on a body resets behind the answer: whole or not is told by its length */
		if (got == 0 || (got < 0 && errno == ECONNRESET && n))
			break;
		if (got < 0)
			return -errno;
		n += (size_t)got;
	}
	bytes[n] = '\0';
	*ret_bytes = FG_TAKE_PTR(bytes);
	*ret_n = n;
	return 0;
}

/* Value of a header between begin and end, as text; "" where it is not there. */
static void header(const char *begin, const char *end, const char *name, char *ret_text, size_t n)
{
	size_t len = strlen(name);

	ret_text[0] = '\0';
	for (const char *line = begin; line < end;
	     line = (const char *)memchr(line, '\n', end - line) + 1) {
		const char *stop = memchr(line, '\r', (size_t)(end - line));

		/* end stands behind the last line's end, so each line has one */
		if (!stop || !memchr(line, '\n', (size_t)(end - line)))
			return;
		if ((size_t)(stop - line) <= len || strncasecmp(line, name, len) ||
		    line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " \t");
		if (line <= stop && (size_t)(stop - line) < n)
			snprintf(ret_text, n, "%.*s", (int)(stop - line), line);
		return;
	}
}

/* Hexadecimal length of a chunk. */
static int chunk_size(const char **at, size_t *ret_n)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = *at, *digit;
	size_t n = 0;

	for (; *p && (digit = strchr(digits, *p | 0x20)) != NULL; p++) {
		if (n > FG_CLIENT_MAX_BYTES)
			return -EBADMSG;
		n = n * 16 + (size_t)(digit - digits);
	}
	if (p == *at)
		return -EBADMSG;
	*at = p;
	*ret_n = n;
	return 0;
}

/* Puts the chunks of a body together where it lies. @return its length, -EBADMSG. */
static ssize_t join_chunks(char *body, size_t n)
{
	const char *at = body, *end = body + n, *line_end;
	char *to = body;
	size_t len;

	for (;;) {
		if (chunk_size(&at, &len))
			return -EBADMSG;
		line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
		if (!line_end)
			return -EBADMSG;
		if (!len)
			return to - body;
		at = line_end + 2;
		if ((size_t)(end - at) < len + 2 || memcmp(at + len, "\r\n", 2))
			return -EBADMSG;
		memmove(to, at, len);
		to += len;
		at += len + 2;
	}
}

/* bytes is the whole answer, NUL behind it; becomes the body. */
static int split(char *bytes, size_t n, struct fg_client_answer *ret_answer)
{
	char *end = memmem(bytes, n < HEADER_MAX ? n : HEADER_MAX, "\r\n\r\n", 4);
	struct fg_client_answer a = { .body = bytes };
	char status[4] = "", length[24], coding[24];
	uint64_t code, body_n;
	ssize_t joined;

	if (!end || strncmp(bytes, "HTTP/1.", 7) || n < 12)
		return -EBADMSG;
	memcpy(status, bytes + 9, 3);
	if (fg_num_u64(status, 100, 599, &code))
		return -EBADMSG;
	header(bytes, end + 2, "Content-Length", length, sizeof(length));
	header(bytes, end + 2, "Transfer-Encoding", coding, sizeof(coding));
	header(bytes, end + 2, "ETag", a.etag, sizeof(a.etag));
	end += 4;
	a.n = n - (size_t)(end - bytes);
	memmove(bytes, end, a.n + 1);
	if (!strcasecmp(coding, "chunked")) {
		joined = join_chunks(bytes, a.n);
		if (joined < 0)
			return -EBADMSG;
		a.n = (size_t)joined;
		bytes[a.n] = '\0';
	} else if (fg_num_u64(length, 0, FG_CLIENT_MAX_BYTES, &body_n) || body_n != a.n) {
		return -EBADMSG;
	}
	a.status = (int)code;
	*ret_answer = a;
	return 0;
}

/* What a failure of connect() means, with the cure. */
static const char *connect_text(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -ECONNREFUSED:
		return "no agent is serving there (start it with 'farmgate run -i IFACE')";
	case -EACCES:
	case -EPERM:
		return "permission denied (only its owner and group may ask: try as root)";
	case -ENAMETOOLONG:
		return "the path is too long for a socket";
	default:
		return strerror(-r);
	}
}

static const char *answer_text(int r)
{
	switch (r) {
	case -EAGAIN:
		return "the agent does not answer in time (see its log)";
	case -EBADMSG:
		return "the answer is cut off or no HTTP (has the agent stopped?)";
	case -EFBIG:
		return "the answer is larger than 512 MB (ask for fewer rows with --limit)";
	default:
		return strerror(-r);
	}
}

int fg_client_request(const char *socket_path, const char *method, const char *target,
		      const char *body, struct fg_client_answer *ret_answer, char *why,
		      size_t n_why)
{
	return fg_client_request_within(TIMEOUT_S, socket_path, method, target, body, ret_answer,
					why, n_why);
}

int fg_client_request_within(unsigned int timeout_s, const char *socket_path, const char *method,
			     const char *target, const char *body,
			     struct fg_client_answer *ret_answer, char *why, size_t n_why)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_close_ int fd = -1;
	char head[2048];
	size_t n = 0;
	int r = open_socket(socket_path, timeout_s, &fd);

	if (r) {
		snprintf(why, n_why, "%s", connect_text(r));
		return r;
	}
	snprintf(
		head, sizeof(head),
		"%s %s HTTP/1.1\r\nHost: farmgate\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
		method, target, body ? strlen(body) : 0);
	r = send_all(fd, head, strlen(head));
	if (!r && body)
		r = send_all(fd, body, strlen(body));
	/* a body that is refused unread breaks the pipe, or resets it; the answer says why */
	if (!r || r == -EPIPE || r == -ECONNRESET)
		r = receive_all(fd, &bytes, &n);
	if (!r)
		r = split(bytes, n, ret_answer);
	if (r) {
		snprintf(why, n_why, "%s", answer_text(r));
		return r;
	}
	bytes = NULL; /* now the answer's body */
	return 0;
}
