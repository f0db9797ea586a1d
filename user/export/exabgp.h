/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks as routes, in the words of exabgp's process protocol. Routers have room for few of them, so
 * the most important ones leave, and the rest is counted. Nothing is announced without no-export,
 * and nothing that is wider than a block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "export/export.h"

/* "announce flow route { match { source 39 characters/128; } then { ... 17 communities } }" */
#define FG_BGP_LINE 512

/* FlowSpec tables of routers are small, often some thousand rules for everybody. */
#define FG_BGP_MAX 500
/* exabgp blocks when its answers are not read: twice as many ("error\n" to each withdrawal and
 * announcement) still fit into the 64 kB of a pipe. */
#define FG_BGP_MOST	   5000
#define FG_BGP_COMMUNITIES 16

enum fg_bgp_kind {
	FG_BGP_FLOWSPEC, /* a rule: discard what comes from the source */
	FG_BGP_RTBH /* a route to a discard address; loose uRPF drops what comes from there */
};

struct fg_bgp_options {
	enum fg_bgp_kind kind;
	bool has_next_hop[2]; /* of IPv4, of IPv6 */
	uint8_t next_hop[2][16];
	uint32_t communities[FG_BGP_COMMUNITIES]; /* beside no-export, which is always there */
	size_t n_communities;
	size_t max;
};

/** Texts as typed, NULL = not given. @return 0, -EINVAL with a sentence in why that begins with the
 * option's name. */
int fg_bgp_options(struct fg_bgp_options *ret_options, const char *kind, const char *next_hop,
		   const char *communities, const char *max, char *why, size_t n_why);

/** One announcement a line. @return 0, -EIO, -ENOMEM. */
int fg_exabgp_lines(FILE *out, const struct fg_export_set *set,
		    const struct fg_bgp_options *options);

/** The same for who keeps them up: {"left_out", "too_wide", "no_next_hop", "rows": [{"announce",
 * "withdraw", "left"}]}, left in seconds. @return 0, -EIO, -ENOMEM. */
int fg_exabgp_rows(FILE *out, const struct fg_export_set *set, const struct fg_bgp_options *options,
		   uint64_t now_ns);

/** A line of exabgp's `show adj-rib out extensive`: is it a route that these options would have made?
 * Then the commands for it. @return whether. */
bool fg_exabgp_is_ours(const char *line, const struct fg_bgp_options *options,
		       char ret_announce[FG_BGP_LINE], char ret_withdraw[FG_BGP_LINE]);
