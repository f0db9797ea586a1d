/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A MaxMind DB is a binary tree over the bits of an address, whose leaves point at maps (MaxMind DB
 * File Format Specification 2.0). It is read once as a whole into our own ranges: so a table behaves
 * the same wherever it came from, and a file that is replaced below us harms nobody.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "model/networks_list.h"

/* The metadata begins with this, within the last 128 kB. */
#define MARKER	   "\xab\xcd\xefMaxMind.com"
#define TAIL_BYTES (128L << 10)

int fg_mmdb_is(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *tail = NULL;
	long size;
	size_t n;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 ||
	    fseek(f, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET))
		return -errno;
	tail = malloc(TAIL_BYTES);
	if (!tail)
		return -ENOMEM;
	n = fread(tail, 1, TAIL_BYTES, f);
	if (ferror(f))
		return -EIO;
	return memmem(tail, n, MARKER, sizeof(MARKER) - 1) != NULL;
}

#ifndef FG_HAVE_LIBMAXMINDDB

int fg_mmdb_read(const char *path, struct fg_net_list *list, struct fg_networks_report *report,
		 char *why, size_t n_why)
{
	(void)list;
	(void)report;
	snprintf(why, n_why,
		 "%s: is a MaxMind DB, which this build cannot read (libmaxminddb is left out); "
		 "give it as text, or build with libmaxminddb-dev",
		 path);
	return -ENOTSUP;
}

#else

#include <maxminddb.h>

/* Data of the last records: neighbours in the tree share theirs. */
#define CACHED 4096

struct reader {
	MMDB_s db;
	struct fg_net_list *list;
	struct fg_networks_report *report;
	uint64_t visited; /* nodes: in a damaged file they may lead in circles */
	uint32_t records;
	struct {
		uint32_t offset; /* of the data, plus 1 */
		struct fg_network network;
	} cache[CACHED];
};

/* --- One record ------------------------------------------------------------------------------- */

static bool text_of(const MMDB_entry_data_s *d, char *text, size_t n)
{
	if (d->type != MMDB_DATA_TYPE_UTF8_STRING || d->data_size >= n)
		return false;
	memcpy(text, d->utf8_string, d->data_size);
	text[d->data_size] = '\0';
	return true;
}

static bool get(MMDB_entry_s *entry, const char *const *path, MMDB_entry_data_s *ret)
{
	return MMDB_aget_value(entry, ret, path) == MMDB_SUCCESS && ret->has_data;
}

static void read_asn(MMDB_entry_s *entry, struct fg_network *n)
{
	static const char *const paths[][3] = { { "autonomous_system_number" },
						{ "traits", "autonomous_system_number" },
						{ "asn" },
						{ "traits", "asn" } };
	MMDB_entry_data_s d;
	char text[16], *end;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && !n->asn; i++) {
		if (!get(entry, paths[i], &d))
			continue;
		if (d.type == MMDB_DATA_TYPE_UINT32)
			n->asn = d.uint32;
		else if (text_of(&d, text, sizeof(text)) && !strncmp(text, "AS", 2)) {
			unsigned long asn = strtoul(text + 2, &end, 10);

			if (!*end && asn <= UINT32_MAX)
				n->asn = (uint32_t)asn;
		}
	}
}

static void read_country(MMDB_entry_s *entry, struct fg_network *n)
{
	static const char *const paths[][3] = { { "country", "iso_code" },
						{ "country" },
						{ "country_code" } };
	MMDB_entry_data_s d;
	char text[4];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && !n->country[0]; i++)
		if (get(entry, paths[i], &d) && text_of(&d, text, sizeof(text)) &&
		    strlen(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' &&
		    text[1] <= 'Z')
			memcpy(n->country, text, 2);
}

/* Words of user_type and connection_type; those that say nothing of homes or data centres are left
 * out. */
static const struct {
	const char *word;
	enum fg_net_class class;
} words[] = {
	{ "hosting", FG_NET_DC },
	{ "content_delivery_network", FG_NET_DC },
	{ "search_engine_spider", FG_NET_DC },
	{ "residential", FG_NET_RES },
	{ "dialup", FG_NET_RES },
	{ "Cable/DSL", FG_NET_RES },
	{ "Satellite", FG_NET_RES },
	{ "Dialup", FG_NET_RES },
	{ "cellular", FG_NET_MOBILE },
	{ "Cellular", FG_NET_MOBILE },
	{ "college", FG_NET_EDU },
	{ "school", FG_NET_EDU },
	{ "library", FG_NET_EDU },
	{ "business", FG_NET_CORP },
	{ "government", FG_NET_CORP },
	{ "military", FG_NET_CORP },
	{ "Corporate", FG_NET_CORP },
	{ "consumer_privacy_network", FG_NET_RELAY },
};

static void read_class(MMDB_entry_s *entry, struct fg_network *n)
{
	static const char *const paths[][3] = { { "class" },
						{ "user_type" },
						{ "traits", "user_type" },
						{ "connection_type" },
						{ "traits", "connection_type" } };
	MMDB_entry_data_s d;
	char text[32];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && !n->class; i++) {
		if (!get(entry, paths[i], &d) || !text_of(&d, text, sizeof(text)))
			continue;
		if (!fg_net_class_parse(text, strlen(text), &n->class))
			continue;
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (!strcmp(text, words[k].word))
				n->class = words[k].class;
	}
}

static struct fg_network network_of(struct reader *r, MMDB_entry_s *entry)
{
	size_t slot = entry->offset % CACHED;
	struct fg_network n = { 0 };

	if (r->cache[slot].offset == entry->offset + 1)
		return r->cache[slot].network;
	read_asn(entry, &n);
	read_country(entry, &n);
	read_class(entry, &n);
	r->cache[slot].offset = entry->offset + 1;
	r->cache[slot].network = n;
	return n;
}

/* --- The tree --------------------------------------------------------------------------------- */

/* Addresses of IPv4 lie below ::/96 in a tree of IPv6, and are ::ffff:0:0/96 with us. */
static int add(struct reader *r, const uint8_t addr[16], unsigned int depth, MMDB_entry_s *entry)
{
	static const uint8_t zeros[12];
	struct fg_net_prefix p = { .line = ++r->records };

	p.network = network_of(r, entry);
	if (!p.network.asn && !p.network.class && !p.network.country[0]) {
		fg_networks_skip(r->report, p.line, "no ASN, country or class that is known here");
		return 0;
	}
	memcpy(p.addr, addr, 16);
	p.bits = (uint8_t)depth;
	if (r->db.metadata.ip_version == 4) {
		memset(p.addr, 0, 16);
		p.addr[10] = p.addr[11] = 0xff;
		memcpy(p.addr + 12, addr, 4);
		p.bits = (uint8_t)(96 + depth);
	} else if (depth >= 96 && !memcmp(addr, zeros, sizeof(zeros))) {
		p.addr[10] = p.addr[11] = 0xff;
	}
	r->report->good++;
	return fg_net_list_add(r->list, &p);
}

static int walk(struct reader *r, uint32_t node, uint8_t addr[16], unsigned int depth);

static int follow(struct reader *r, uint64_t record, unsigned int type, MMDB_entry_s *entry,
		  uint8_t addr[16], unsigned int depth)
{
	switch (type) {
	case MMDB_RECORD_TYPE_DATA:
		return add(r, addr, depth, entry);
	case MMDB_RECORD_TYPE_SEARCH_NODE:
		return walk(r, (uint32_t)record, addr, depth);
	case MMDB_RECORD_TYPE_EMPTY:
		return 0;
	default:
		return -EBADMSG;
	}
}

/* 2002::/16 and others lead into the tree of IPv4 once more: that is no other network. */
static bool is_copy(const struct reader *r, uint32_t node, const uint8_t addr[16],
		    unsigned int depth)
{
	static const uint8_t zeros[16];

	return r->db.metadata.ip_version == 6 && node == r->db.ipv4_start_node.node_value &&
	       depth && (depth != 96 || memcmp(addr, zeros, 16));
}

/* As deep as an address is long. */
static int walk(struct reader *r, uint32_t node, uint8_t addr[16], unsigned int depth)
{
	MMDB_search_node_s n;
	uint8_t bit = (uint8_t)(0x80 >> depth % 8);
	int e;

	if (is_copy(r, node, addr, depth))
		return 0;
	if (depth >= r->db.depth || ++r->visited > r->db.metadata.node_count ||
	    MMDB_read_node(&r->db, node, &n) != MMDB_SUCCESS)
		return -EBADMSG;
	e = follow(r, n.left_record, n.left_record_type, &n.left_record_entry, addr, depth + 1);
	if (e)
		return e;
	addr[depth / 8] |= bit;
	e = follow(r, n.right_record, n.right_record_type, &n.right_record_entry, addr, depth + 1);
	addr[depth / 8] &= (uint8_t)~bit;
	return e;
}

static void say_failure(const char *path, int error, char *why, size_t n_why)
{
	if (error == -EBADMSG)
		snprintf(why, n_why, "%s: damaged: its tree leads nowhere", path);
	else if (error == -EINVAL)
		snprintf(why, n_why, "%s: holds no ASN, country or class", path);
	else
		snprintf(why, n_why, "%s: %s", path,
			 error == -E2BIG ? "holds more than 4000000 prefixes" : strerror(-error));
}

int fg_mmdb_read(const char *path, struct fg_net_list *list, struct fg_networks_report *report,
		 char *why, size_t n_why)
{
	struct reader *r = calloc(1, sizeof(*r));
	uint8_t addr[16] = { 0 };
	int e;

	if (!r) {
		say_failure(path, -ENOMEM, why, n_why);
		return -ENOMEM;
	}
	r->list = list;
	r->report = report;
	report->records = true;
	e = MMDB_open(path, MMDB_MODE_MMAP, &r->db);
	if (e != MMDB_SUCCESS) {
		snprintf(why, n_why, "%s: %s", path, MMDB_strerror(e));
		free(r);
		return -EINVAL;
	}
	e = walk(r, 0, addr, 0);
	if (!e && !list->n)
		e = -EINVAL;
	if (e)
		say_failure(path, e, why, n_why);
	MMDB_close(&r->db);
	free(r);
	return e == -EBADMSG ? -EINVAL : e;
}

#endif
