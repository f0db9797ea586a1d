/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP on a unix socket, through libmicrohttpd, driven by the agent's loop: no threads, every size
 * and time capped. Knows requests and answers, no routes.
 */
#pragma once

#include <stddef.h>

#include "serve/view.h"

struct fg_http;

/** Serves the API of the view at path (mode 0660). The socket file of a dead agent is replaced.
 * The answers' Content-Length says whether one came whole; an export carries an ETag besides.
 * @return 0, -EADDRINUSE where a live agent answers there, -errno with a sentence in why. */
int fg_http_open(const char *path, struct fg_view *view, struct fg_http **ret_http, char *why,
		 size_t n_why);
/** Removes the socket file, unless somebody has put another one in its place. */
void fg_http_close(struct fg_http **http);

/** Readable when fg_http_run() has something to do; call it once a second besides, for time-outs. */
int fg_http_fd(const struct fg_http *http);
void fg_http_run(struct fg_http *http);
