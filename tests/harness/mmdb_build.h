/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Writes a small MaxMind DB (file format 2.0), so that reading one can be tested without somebody's
 * data. Written from the specification; not a line of it is shared with the reader. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FG_MMDB_NODES 4096
#define FG_MMDB_DATA  8192

struct fg_mmdb {
	unsigned int ip_version; /* 4 or 6 */
	uint32_t nodes[FG_MMDB_NODES][2]; /* 0 = empty; node + 1; or data: DATA_BIT | offset */
	uint32_t n_nodes;
	uint8_t data[FG_MMDB_DATA];
	size_t n_data;
};

void fg_mmdb_begin(struct fg_mmdb *db, unsigned int ip_version);

/* Values are put one behind the other; a map of n is followed by n times key and value. All return the
 * offset of what they put. */
uint32_t fg_mmdb_map(struct fg_mmdb *db, unsigned int n);
uint32_t fg_mmdb_text(struct fg_mmdb *db, const char *text);
uint32_t fg_mmdb_u32(struct fg_mmdb *db, uint32_t value);

/** "192.0.2.0/24", "2001:db8::/32": leads to the value at data. */
void fg_mmdb_put(struct fg_mmdb *db, const char *prefix, uint32_t data);
/** The prefix leads to the tree of IPv4 once more, as 2002::/16 does in real ones. */
void fg_mmdb_alias(struct fg_mmdb *db, const char *prefix);

/** @return bytes of a file, the caller's to free. */
uint8_t *fg_mmdb_bytes(const struct fg_mmdb *db, size_t *ret_n);
