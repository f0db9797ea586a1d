/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Speaks the sd_notify datagram protocol; keeps no socket and no state between calls. */
#define _GNU_SOURCE
#include "lib/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/num.h"

int fg_notify(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	_cleanup_close_ int fd = -1;
	socklen_t len;
	size_t n;

	if (!path || !*path)
		return 0;
	n = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof(addr.sun_path))
		return -EINVAL;
	memcpy(addr.sun_path, path, n);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	/* An abstract address starts with a NUL byte and has no terminator. */
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	else
		len++;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Never wait for the service manager: a lost status line hurts nobody. */
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&addr,
		   len) < 0)
		return -errno;
	return 0;
}

int fg_notify_status(const char *fmt, ...)
{
	char line[512] = "STATUS=";
	size_t n = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	/* A second line would be another assignment. */
	line[strcspn(line, "\n")] = '\0';
	return fg_notify(line);
}

uint64_t fg_notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value;

	if (pid && (fg_num_u64(pid, 1, INT32_MAX, &value) < 0 || value != (uint64_t)getpid()))
		return 0;
	if (!usec || fg_num_u64(usec, 1, UINT64_MAX / 1000, &value) < 0)
		return 0;
	return value * 1000 / 2;
}
