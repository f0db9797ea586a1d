/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `export … --follow`: goes on until somebody ends it, also while the agent restarts. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "export/formats.h"

/** Prints the document behind target on stdout, and again whenever its set changes. An agent that
 * is not there at the start is an error; one that goes later is waited for. framed: an empty line
 * behind each, for documents that have no end of their own. @return exit code. */
int fg_follow_document(const char *socket_path, const char *target, bool framed);

/** The process of an exabgp: keeps its routes equal to the agent's rows, reads its answers on stdin.
 * Waits for an agent from the start on: exabgp gives up on a process that ends too often. SIGTERM,
 * SIGINT, SIGHUP and the end of stdin withdraw everything; what a process before this one has left,
 * because it was killed, is asked for and taken over. @return exit code. */
int fg_follow_routes(const char *socket_path, const char *target,
		     const struct fg_bgp_options *options);

/** What fg_exabgp_rows() says routers get none of, on stderr. */
void fg_follow_tell_left_out(const json_t *rows);
