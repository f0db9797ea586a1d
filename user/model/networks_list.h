/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Inside of networks.h: the prefixes that a table is made of, from a text or from a MaxMind DB. */
#pragma once

#include "model/networks.h"

struct fg_net_prefix {
	uint8_t addr[16], bits;
	struct fg_network network;
	uint32_t line; /* or number of the record */
};

struct fg_net_list {
	struct fg_net_prefix *prefixes;
	size_t n, cap;
};

/** @return 0, -E2BIG beyond FG_NETWORKS_MAX, -ENOMEM. */
int fg_net_list_add(struct fg_net_list *list, const struct fg_net_prefix *prefix);
/** Counts a line or record that is left out. */
void fg_networks_skip(struct fg_networks_report *report, size_t line, const char *why);

/** Is the file a MaxMind DB, by its content? @return 1, 0, -errno. */
int fg_mmdb_is(const char *path);
/**
 * All prefixes of a MaxMind DB, the copies of IPv4 inside of IPv6 left out. Known are
 *   ASN      autonomous_system_number, asn ("AS64500"), both also below traits
 *   country  country.iso_code, country, country_code
 *   class    class (ours), user_type, connection_type, both also below traits
 * A record with none of them is skipped. why gets "FILE: ..." on failure.
 *
 * @return 0, -ENOTSUP where this build has no libmaxminddb, -EINVAL, -E2BIG, -ENOMEM, -errno.
 */
int fg_mmdb_read(const char *path, struct fg_net_list *list, struct fg_networks_report *report,
		 char *why, size_t n_why);
