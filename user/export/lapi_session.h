/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Talking to a LAPI as one machine: login, the token's life, what an answer means. */
#pragma once

#include "export/lapi.h"

/* All that one apply or check may take; a request gets what is left of it. */
#define FG_LAPI_BUDGET_MS 10000

struct fg_lapi_session {
	struct fg_lapi_transport transport;
	char *machine, *password_file;
	char *token; /* NULL = none that holds */
	uint64_t token_until_ns; /* by our clock */
	int64_t skew_ns; /* its clock minus ours */
	bool clock_known;
	/* Set where its memory or a clock may be another one than before; the reader clears it. */
	bool doubt;
	uint64_t give_up_ns; /* end of the budget */
};

int fg_lapi_session_init(struct fg_lapi_session *s, const struct fg_lapi_conf *conf,
			 const struct fg_lapi_transport *transport);
void fg_lapi_session_done(struct fg_lapi_session *s);

/** A new budget begins. */
void fg_lapi_session_begin(struct fg_lapi_session *s);
/** Is there time for another request? */
bool fg_lapi_session_has_time(const struct fg_lapi_session *s);
/** Its clock now. */
uint64_t fg_lapi_session_its_ns(const struct fg_lapi_session *s);

/** Logs in where there is no token that holds. @return 0, -errno with a sentence. */
int fg_lapi_login(struct fg_lapi_session *s, char *why, size_t n_why);
/** One request with the token; logs in before, and once more where the token was refused. body NULL =
 * none; it is sent at most once where once is set. @return 0 with an answer of any status but 401,
 * which is free_answer's; -ENOTCONN, -EACCES where certainly nothing was done; another -errno. */
int fg_lapi_call(struct fg_lapi_session *s, struct fg_lapi_request request,
		 struct fg_lapi_answer *ret_answer, char *why, size_t n_why);
void fg_lapi_free_answer(struct fg_lapi_answer *answer);
/** A sentence about an answer that is not what was hoped for. */
void fg_lapi_say(const struct fg_lapi_answer *answer, const char *what, char *why, size_t n_why);
