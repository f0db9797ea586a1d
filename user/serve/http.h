/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP on a unix socket, or over TCP with a key in each request, through libmicrohttpd, driven by the
 * agent's loop: no threads, every size and time capped. Knows requests and answers, no routes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "serve/keys.h"
#include "serve/view.h"

/* Requests over TCP since the start. */
struct fg_http_counts {
	uint64_t requests; /* all of them */
	uint64_t no_key, wrong_key; /* refused for these reasons */
	uint64_t limited; /* of these, told to come back later */
	char last_refused[FG_IP_TEXT]; /* whose that was; "" = there was none */
	uint64_t compressed, not_modified; /* answers */
};

struct fg_http;

/** Serves the API of the view at path (mode 0660). The socket file of a dead agent is replaced.
 * The answers' Content-Length says whether one came whole; an export carries an ETag besides.
 * @return 0, -EADDRINUSE where a live agent answers there, -errno with a sentence in why. */
int fg_http_open(const char *path, struct fg_view *view, struct fg_http **ret_http, char *why,
		 size_t n_why);
/** Serves the API at ADDRESS:PORT to who has one of the keys, which outlive it.
 * @return 0, -EADDRINUSE, -EINVAL, -errno with a sentence in why. */
int fg_http_open_tcp(const char *address, const struct fg_keyring *keys, struct fg_view *view,
		     struct fg_http **ret_http, char *why, size_t n_why);
const struct fg_http_counts *fg_http_counts(const struct fg_http *http);
/** A member "http" of the status. */
void fg_http_write(struct fg_jsonw *w, const struct fg_http_counts *counts);
/** Closes the connections, and removes the socket file, unless somebody has put another one in its place. */
void fg_http_close(struct fg_http **http);

/** Readable when fg_http_run() has something to do; call it once a second besides, for time-outs. */
int fg_http_fd(const struct fg_http *http);
void fg_http_run(struct fg_http *http);
