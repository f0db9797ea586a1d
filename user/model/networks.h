/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which network an address belongs to: its ASN, what kind of network it is and its country, from a
 * table that the operator gives. Optional: without it everything is "-", and prefixes stand in for
 * networks.
 *
 * Text: `prefix asn class country`, separated by tabs or commas; a line that begins with # and a header
 * are skipped, further columns ignored. Longest prefix wins; of equal ones the last.
 * Or a MaxMind DB, which is told by its content (model/networks_list.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fg_net_class {
	FG_NET_UNKNOWN,
	FG_NET_DC,
	FG_NET_RES,
	FG_NET_MOBILE,
	FG_NET_EDU,
	FG_NET_CORP,
	FG_NET_RELAY,
	_FG_NET_MAX
};
/** "-", "dc", "res", "mobile", "edu", "corp", "relay". */
const char *fg_net_class_name(enum fg_net_class net_class);
/** @return 0, -EINVAL. */
int fg_net_class_parse(const char *text, size_t n, enum fg_net_class *ret_class);

struct fg_network {
	uint32_t asn; /* 0 = unknown */
	enum fg_net_class class;
	char country[2]; /* ISO 3166 letters, or zeros */
};

/* Lines of the table. The whole Internet was a million of IPv4 and a quarter of one of IPv6 prefixes in
 * 2025; each becomes two ranges at most, of 28 bytes. */
#define FG_NETWORKS_MAX 4000000
/* A table of rubbish must not fill the log. */
#define FG_NETWORKS_BAD 4

struct fg_networks_report {
	bool records; /* of a MaxMind DB, and not lines */
	size_t good, skipped; /* lines */
	struct {
		size_t line;
		char why[64];
	} bad[FG_NETWORKS_BAD]; /* the first of the skipped */
};

struct fg_networks;

/** Reads a table. why gets "FILE: ..." on failure; a file without one good line is one.
 * @return 0, -ENOENT, -EINVAL, -E2BIG, -ENOMEM, -ENOTSUP for a MaxMind DB without libmaxminddb,
 * -errno. */
int fg_networks_open(const char *path, struct fg_networks **ret_networks,
		     struct fg_networks_report *ret_report, char *why, size_t n_why);
/** The same from memory; file is its name in messages. */
int fg_networks_parse(const char *text, size_t n, const char *file,
		      struct fg_networks **ret_networks, struct fg_networks_report *ret_report,
		      char *why, size_t n_why);
void fg_networks_free(struct fg_networks **networks);

/** Zeros where the address is in no prefix. */
struct fg_network fg_networks_find(const struct fg_networks *networks, const uint8_t addr[16]);
/** Prefixes in it. */
size_t fg_networks_n(const struct fg_networks *networks);
/** Does it say of any network what kind it is? */
bool fg_networks_has_classes(const struct fg_networks *networks);

/**
 * Minutes that a country's clock is ahead of UTC: the zone that most of its people live in, without
 * daylight saving time, which moves it by an hour for half of the year.
 *
 * @return 0, -ENOENT.
 */
int fg_country_offset(const char country[2], int *ret_minutes);
