/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a request to the bytes of its answer: the route table of /v1. No sockets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serve/keys.h"
#include "serve/view.h"

struct fg_query {
	const char *path, *method;
	const char *body; /* NULL = none */
	size_t n_body;
	const char *(*argument)(void *arg, const char *name); /* NULL where not given */
	void *arg;
	const char *who; /* asks: a user of this host or the name of a key; NULL = not known */
	enum fg_key_role role; /* of that key; whoever the unix socket lets in is an operator */
	const char *from; /* its address; NULL = this host */
	const char *(*header)(void *arg, const char *name); /* NULL = there are none */
};

/* How far an answer brings a bouncer, see serve/bouncer.h. */
struct fg_pull {
	uint64_t bouncer; /* its row; 0 = the answer is nobody's */
	uint64_t sequence; /* it has all changes up to this one */
	uint64_t refreshed; /* and everything once more that those up to this one brought */
	bool all, startup; /* it was told everything; because it asked for it */
};

struct fg_answer {
	int status;
	const char *type;
	char allow[16]; /* methods, with 405 */
	char etag[48]; /* of an export: the same as long as its set is; "" = none */
	uint64_t changed_s; /* unix: when that set became so; 0 = not known, or within this second */
	struct fg_pull pull; /* of a bouncer: once it has left whole, fg_bouncers_moved() */
	bool gzip; /* the body is compressed */
	char *body; /* the caller frees it; NULL = no memory */
	size_t n;
};

void fg_api_answer(struct fg_view *view, const struct fg_query *query,
		   struct fg_answer *ret_answer);
/** Nobody's key, or none: what the route's clients expect to be told. */
void fg_api_forbid(const char *path, bool any_key, struct fg_answer *ret_answer);
/** {"error": text} */
void fg_api_refuse(struct fg_answer *ret_answer, int status, const char *text);
