/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The formats of `farmgate export` and of GET /v1/export, in one table: what each is called, what
 * it can be told, how it is written. Whoever lists formats lists these.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "export/exabgp.h"
#include "export/export.h"

/* The table's names, for help texts that must stand in the program as they are. */
#define FG_EXPORT_FORMATS "nft|ipset|json|csv|plain|haproxy|nginx|crowdsec|exabgp|stix"

/* The marking of a STIX bundle: who may read it (TLP 1.0, as STIX 2.1 has it). */
enum fg_tlp {
	FG_TLP_WHITE,
	FG_TLP_GREEN,
	FG_TLP_AMBER,
	FG_TLP_RED,
	_FG_TLP_MAX
};

/* What a format was told. */
struct fg_export_options {
	struct fg_bgp_options bgp; /* exabgp */
	enum fg_tlp tlp; /* stix */
	bool rows; /* exabgp: for who keeps the routes up */
};

/* What there is to write. */
struct fg_export_ask {
	const struct fg_export_set *set;
	const struct fg_export_conf *conf;
	const struct fg_export_options *options;
	const char *instance; /* fg_store_instance(): whose words these are */
	uint64_t now_ns; /* unix */
};

struct fg_export_format {
	const char *name;
	const char *type; /* of HTTP */
	const char *takes; /* options of its own, blanks between; "" = none */
	/** The complete document. @return 0, -EIO, -ENOMEM. */
	int (*write)(FILE *out, const struct fg_export_ask *ask);
	bool only_enforce; /* routers act on it at once: alerts are for people */
};

/** Format i, NULL behind the last. */
const struct fg_export_format *fg_export_format_at(size_t i);

/** Text of an option, NULL where it was not given. Names are those of the query of /v1/export: bgp,
 * next_hop, community, max, tlp, rows. */
typedef const char *(*fg_export_argument_fn)(void *arg, const char *name);

/** What was asked for: a format of the table, in a tier that it is for, with options that it takes.
 * name NULL = not given. @return 0, -EINVAL with a sentence in why. */
int fg_export_choose(const char *name, enum fg_tier min_tier, fg_export_argument_fn argument,
		     void *arg, const struct fg_export_format **ret_format,
		     struct fg_export_options *ret_options, char *why, size_t n_why);
