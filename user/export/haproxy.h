/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live HAProxy target: keeps a map equal to the set, in the running process over its socket and
 * in the file that it reads at its start. Keys are prefixes (for map_ip), values the end of the
 * block in unix seconds: HAProxy ends none by itself, so its rule compares the value with the clock.
 */
#pragma once

#include "export/target.h"

struct fg_haproxy_conf {
	const char *socket; /* stats socket of level admin */
	const char *
		map; /* as HAProxy's configuration names it; 255 bytes at most, no blank, ';' or '\' */
};

struct fg_haproxy;
extern const struct fg_target_ops fg_haproxy_ops;

/** conf is copied. @return 0, -ENAMETOOLONG, -ENOMEM. */
int fg_haproxy_new(const struct fg_haproxy_conf *conf, struct fg_haproxy **ret_haproxy);
void fg_haproxy_free(struct fg_haproxy **haproxy);
