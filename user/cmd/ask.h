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

/** fg_ask() for a GET; prints the bytes as they are for --format json and answers NULL, else the
 * parsed document. *ret_exit tells. */
json_t *fg_ask_json(struct fg_options *options, const char *target, int *ret_exit);
