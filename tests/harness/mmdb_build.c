/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "mmdb_build.h"

#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"

#define DATA_BIT 0x80000000U
#define RECORD	 3 /* bytes: 24 bits */
#define GAP	 16 /* zeros between tree and data */

/* --- Values: a control byte of type and size, then the value, most significant byte first -------- */

enum type {
	TEXT = 2,
	U16 = 5,
	U32 = 6,
	MAP = 7,
	U64 = 9,
	ARRAY = 11
};

struct out {
	uint8_t *at;
	size_t *n;
	size_t cap;
};

static void byte(struct out *o, unsigned int value)
{
	if (*o->n >= o->cap)
		abort();
	o->at[(*o->n)++] = (uint8_t)value;
}

static uint32_t control(struct out *o, enum type type, unsigned int size)
{
	uint32_t offset = (uint32_t)*o->n;

	if (size >= 29)
		abort();
	byte(o, type <= 7 ? (unsigned int)type << 5 | size : size);
	if (type > 7)
		byte(o, (unsigned int)type - 7);
	return offset;
}

static uint32_t number(struct out *o, enum type type, uint64_t value, unsigned int size)
{
	uint32_t offset = control(o, type, size);

	while (size--)
		byte(o, (unsigned int)(value >> 8 * size & 255));
	return offset;
}

static uint32_t text_to(struct out *o, const char *text)
{
	uint32_t offset = control(o, TEXT, (unsigned int)strlen(text));

	while (*text)
		byte(o, (uint8_t)*text++);
	return offset;
}

static struct out data_of(struct fg_mmdb *db)
{
	return (struct out){ db->data, &db->n_data, sizeof(db->data) };
}

uint32_t fg_mmdb_map(struct fg_mmdb *db, unsigned int n)
{
	struct out o = data_of(db);

	return control(&o, MAP, n);
}

uint32_t fg_mmdb_text(struct fg_mmdb *db, const char *text)
{
	struct out o = data_of(db);

	return text_to(&o, text);
}

uint32_t fg_mmdb_u32(struct fg_mmdb *db, uint32_t value)
{
	struct out o = data_of(db);

	return number(&o, U32, value, 4);
}

/* --- Tree ----------------------------------------------------------------------------------------- */

void fg_mmdb_begin(struct fg_mmdb *db, unsigned int ip_version)
{
	memset(db, 0, sizeof(*db));
	db->ip_version = ip_version;
	db->n_nodes = 1;
}

/* The address as the tree has it, and its length: IPv4 below ::/96 in a tree of IPv6. */
static unsigned int in_tree(const struct fg_mmdb *db, const char *prefix, uint8_t addr[16])
{
	uint8_t bits, parsed[16];

	if (fg_ip_parse(prefix, parsed, &bits))
		abort();
	memcpy(addr, parsed, 16);
	if (!fg_ip_is4(parsed))
		return bits;
	memset(addr, 0, 12);
	if (db->ip_version == 6)
		return bits;
	memmove(addr, parsed + 12, 4);
	memset(addr + 4, 0, 12);
	return bits - 96U;
}

static uint32_t *record_of(struct fg_mmdb *db, const uint8_t addr[16], unsigned int bits)
{
	uint32_t node = 0;

	for (unsigned int i = 0;; i++) {
		uint32_t *record = &db->nodes[node][addr[i / 8] >> (7 - i % 8) & 1];

		if (i + 1 == bits)
			return record;
		if (!*record) {
			if (db->n_nodes == FG_MMDB_NODES)
				abort();
			*record = db->n_nodes++ + 1;
		}
		if (*record & DATA_BIT)
			abort();
		node = *record - 1;
	}
}

void fg_mmdb_put(struct fg_mmdb *db, const char *prefix, uint32_t data)
{
	uint8_t addr[16];
	unsigned int bits = in_tree(db, prefix, addr);

	*record_of(db, addr, bits) = DATA_BIT | data;
}

void fg_mmdb_alias(struct fg_mmdb *db, const char *prefix)
{
	static const uint8_t zeros[16];
	uint32_t ipv4 = *record_of(db, zeros, 96);
	uint8_t addr[16];
	unsigned int bits = in_tree(db, prefix, addr);

	*record_of(db, addr, bits) = ipv4;
}

/* --- File ----------------------------------------------------------------------------------------- */

static void metadata(const struct fg_mmdb *db, struct out *o)
{
	static const char marker[] = "\xab\xcd\xefMaxMind.com";

	for (size_t i = 0; i + 1 < sizeof(marker); i++)
		byte(o, (uint8_t)marker[i]);
	control(o, MAP, 9);
	text_to(o, "binary_format_major_version");
	number(o, U16, 2, 2);
	text_to(o, "binary_format_minor_version");
	number(o, U16, 0, 2);
	text_to(o, "build_epoch");
	number(o, U64, 1700000000, 8);
	text_to(o, "database_type");
	text_to(o, "Test");
	text_to(o, "description");
	control(o, MAP, 0);
	text_to(o, "ip_version");
	number(o, U16, db->ip_version, 2);
	text_to(o, "languages");
	control(o, ARRAY, 0);
	text_to(o, "node_count");
	number(o, U32, db->n_nodes, 4);
	text_to(o, "record_size");
	number(o, U16, 8 * RECORD, 2);
}

uint8_t *fg_mmdb_bytes(const struct fg_mmdb *db, size_t *ret_n)
{
	size_t cap = db->n_nodes * 2UL * RECORD + GAP + db->n_data + 1024, n = 0;
	uint8_t *bytes = calloc(1, cap);
	struct out o = { bytes, &n, cap };

	if (!bytes)
		abort();
	for (uint32_t i = 0; i < db->n_nodes; i++) {
		for (int side = 0; side < 2; side++) {
			uint32_t r = db->nodes[i][side];
			uint32_t value = !r	      ? db->n_nodes :
					 r & DATA_BIT ? db->n_nodes + GAP + (r & ~DATA_BIT) :
							r - 1;

			byte(&o, value >> 16 & 255);
			byte(&o, value >> 8 & 255);
			byte(&o, value & 255);
		}
	}
	n += GAP;
	memcpy(bytes + n, db->data, db->n_data);
	n += db->n_data;
	metadata(db, &o);
	*ret_n = n;
	return bytes;
}
