/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a request to the bytes of its answer: the route table of /v1. No sockets. */
#pragma once

#include <stddef.h>

#include "serve/view.h"

struct fg_query {
	const char *path, *method;
	const char *body; /* NULL = none */
	size_t n_body;
	const char *(*argument)(void *arg, const char *name); /* NULL where not given */
	void *arg;
	const char *who; /* asks: a user of this host or the name of a key; NULL = not known */
};

struct fg_answer {
	int status;
	const char *type;
	char allow[16]; /* methods, with 405 */
	char etag[48]; /* of an export: the same as long as its set is; "" = none */
	char *body; /* the caller frees it; NULL = no memory */
	size_t n;
};

void fg_api_answer(struct fg_view *view, const struct fg_query *query,
		   struct fg_answer *ret_answer);
/** {"error": text} */
void fg_api_refuse(struct fg_answer *ret_answer, int status, const char *text);
