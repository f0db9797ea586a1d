/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* HTTP/1.1 to the agent over its unix socket: one request, one answer, bounded. */
#pragma once

#include <stddef.h>

/* A million rows of 400 bytes: what the largest list may have. */
#define FG_CLIENT_MAX_BYTES (512ULL << 20)

struct fg_client_answer {
	int status;
	char *body; /* NUL behind it; free it */
	size_t n;
	char etag[48]; /* "" = none */
};

/** method GET or POST; body NULL = none. why gets one sentence on failure. An answer that did not
 * come whole is none: it may be on its way into a firewall.
 * @return 0, -ENOENT and -ECONNREFUSED where no agent serves, -errno. */
int fg_client_request(const char *socket_path, const char *method, const char *target,
		      const char *body, struct fg_client_answer *ret_answer, char *why,
		      size_t n_why);

/** The same with another patience than 30 s, for who has other things to do. */
int fg_client_request_within(unsigned int timeout_s, const char *socket_path, const char *method,
			     const char *target, const char *body,
			     struct fg_client_answer *ret_answer, char *why, size_t n_why);

/** Appends "?name=value" or "&name=value", percent-encoded, unless value is NULL. @return 0, -ENOSPC. */
int fg_client_argument(char *target, size_t n, const char *name, const char *value);
