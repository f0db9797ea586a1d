/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live nginx target: keeps a file of `PREFIX 1;` lines for a geo block, and has nginx read it.
 * nginx ends nothing by itself: an entry stays until the file without it was read, so a clean stop
 * takes all of them out, and after a crash they stay until the next start.
 */
#pragma once

#include <stdint.h>

#include "export/target.h"

struct fg_nginx_conf {
	const char *file;
	const char *const *test; /* argv, before each reload; NULL = no test */
	const char *const *reload; /* argv */
	uint32_t interval_s; /* from one reload to the next, at least: each leaves old workers behind */
};

struct fg_nginx;
extern const struct fg_target_ops fg_nginx_ops;

/** conf is copied. @return 0, -ENOMEM. */
int fg_nginx_new(const struct fg_nginx_conf *conf, struct fg_nginx **ret_nginx);
void fg_nginx_free(struct fg_nginx **nginx);
