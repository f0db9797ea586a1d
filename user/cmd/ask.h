/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A command's question to the running agent, and its answer. */
#pragma once

#include <jansson.h>

#include "cmd/client.h"
#include "cmd/cmd.h"

/** Sends the request to the configured socket and complains about everything but success.
 * @return FG_EXIT_OK with *ret_answer to be freed, FG_EXIT_ERROR. */
int fg_ask(struct fg_options *options, const char *method, const char *target, const char *body,
	   struct fg_client_answer *ret_answer);

/** fg_ask() for a GET. --format json prints the bytes as they are, unparsed, and answers NULL; else
 * the parsed document, NULL on failure. *ret_exit tells. */
json_t *fg_ask_json(struct fg_options *options, const char *target, int *ret_exit);

/** A text of the document for a terminal or a table: what could steer it (C0, DEL, C1) becomes '?'.
 * "-" where it is no text. The result is good until json_decref() or the next but one call. */
const char *fg_ask_text(const json_t *value);
