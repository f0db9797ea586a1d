/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hook target: tells a program of the operator, or a web server, what to add, renew and remove,
 * one JSON object for each. Batches that failed are told again before anything else, with the same
 * id. What it holds is not known: after a start everything that stands is told as added.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "export/target.h"

struct fg_hook_conf {
	const char *const *command; /* argv; gets a line for each change on stdin. NULL = none */
	const char *url; /* gets a POST for each batch; NULL = none. One of the two is given */
	const char *key_file; /* signs it: HMAC-SHA256 of the body; NULL = not signed */
	uint32_t timeout_s; /* of each batch, 1 to 10 */
	uint32_t batch; /* changes at once, at most */
};

struct fg_hook_target;
extern const struct fg_target_ops fg_hook_ops, fg_webhook_ops; /* the same under two names */

/** conf is copied. @return 0, -ENOTSUP where a url is given and libcurl was left out, -ENOMEM,
 * -errno. */
int fg_hook_new(const struct fg_hook_conf *conf, struct fg_hook_target **ret_hook);
void fg_hook_free(struct fg_hook_target **hook);
