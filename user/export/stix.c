/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The set as a STIX 2.1 bundle: who says it (an identity), who may read it (a TLP marking), and an
 * indicator for each prefix. Identifiers are made of what they name (UUIDv5), so that a later
 * bundle brings new versions of the same objects: an indicator is one verdict of one farmgate, from
 * when it was first flagged on, and its modified moves with the verdict's renewals.
 */
#include "export/documents.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/num.h"

#define STIX_TIME 40
#define STIX_ID	  80

/* Of confidence: the middle of "high" and of "medium" in the standard's appendix A. */
#define HIGH   85
#define MEDIUM 50

/* When the identity's text was last changed: all versions of an object have their times. */
#define IDENTITY_TIME "2026-11-28T00:00:00.000Z"

/* Fixed by the standard, section 7.2.1.4: nobody may make others. */
static const struct {
	const char *id, *name, *tlp;
} markings[_FG_TLP_MAX] = {
	[FG_TLP_WHITE] = { "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", "TLP:WHITE",
			   "white" },
	[FG_TLP_GREEN] = { "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", "TLP:GREEN",
			   "green" },
	[FG_TLP_AMBER] = { "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", "TLP:AMBER",
			   "amber" },
	[FG_TLP_RED] = { "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "TLP:RED",
			 "red" },
};

/* RFC 4122, section 4.3: SHA-1 over a namespace of ours and a name. */
static int make_id(const char *type, const char *name, char ret_id[STIX_ID])
{
	static const uint8_t space[16] = { 0x2a, 0xb4, 0xc9, 0xb6, 0xf9, 0x03, 0x46, 0x14,
					   0x92, 0x47, 0xcf, 0xcc, 0x2f, 0x47, 0x28, 0xea };
	uint8_t bytes[sizeof(space) + 160], u[EVP_MAX_MD_SIZE];
	size_t n = strlen(name);

	if (n > sizeof(bytes) - sizeof(space))
		return -EINVAL;
	memcpy(bytes, space, sizeof(space));
	memcpy(bytes + sizeof(space), name, n);
	if (!EVP_Digest(bytes, sizeof(space) + n, u, NULL, EVP_sha1(), NULL))
		return -EIO;
	u[6] = (u[6] & 0x0f) | 0x50;
	u[8] = (u[8] & 0x3f) | 0x80;
	snprintf(ret_id, STIX_ID,
		 "%s--%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", type,
		 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
		 u[13], u[14], u[15]);
	return 0;
}

static const char *time_text(uint64_t unix_ns, char buf[STIX_TIME])
{
	char seconds[32];

	fg_num_time(unix_ns, seconds);
	snprintf(buf, STIX_TIME, "%.19s.%03uZ", seconds, (unsigned int)(unix_ns / 1000000 % 1000));
	return buf;
}

static void begin_object(struct fg_jsonw *w, const char *type, const char *id)
{
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "type", type);
	fg_jsonw_key_string(w, "spec_version", "2.1");
	fg_jsonw_key_string(w, "id", id);
}

static void put_list(struct fg_jsonw *w, const char *key, const char *one)
{
	fg_jsonw_key(w, key);
	fg_jsonw_array(w);
	fg_jsonw_string(w, one);
	fg_jsonw_array_end(w);
}

static void put_identity(struct fg_jsonw *w, const struct fg_export_ask *ask, const char *id)
{
	begin_object(w, "identity", id);
	fg_jsonw_key_string(w, "created", IDENTITY_TIME);
	fg_jsonw_key_string(w, "modified", IDENTITY_TIME);
	fg_jsonw_key(w, "name");
	fg_jsonw_stringf(w, "farmgate %.8s", ask->instance);
	fg_jsonw_key_string(w, "description",
			    "A sensor at a network edge that spots account farms by how their "
			    "clients behave, without decrypting.");
	fg_jsonw_key_string(w, "identity_class", "system");
	fg_jsonw_object_end(w);
}

static void put_marking(struct fg_jsonw *w, enum fg_tlp tlp)
{
	begin_object(w, "marking-definition", markings[tlp].id);
	fg_jsonw_key_string(w, "created", "2017-01-20T00:00:00.000Z");
	fg_jsonw_key_string(w, "definition_type", "tlp");
	fg_jsonw_key_string(w, "name", markings[tlp].name);
	fg_jsonw_key(w, "definition");
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "tlp", markings[tlp].tlp);
	fg_jsonw_object_end(w);
	fg_jsonw_object_end(w);
}

static void put_times(struct fg_jsonw *w, const struct fg_export_item *item)
{
	uint64_t first = item->first_ns, updated = item->updated_ns, until = item->until_ns;
	char buf[STIX_TIME];

	/* a clock that was set back between must not make a bundle that nobody reads */
	if (updated < first)
		updated = first;
	if (until / 1000000 <= first / 1000000)
		until = first + 1000000;
	fg_jsonw_key_string(w, "created", time_text(first, buf));
	fg_jsonw_key_string(w, "modified", time_text(updated, buf));
	fg_jsonw_key_string(w, "valid_from", time_text(first, buf));
	fg_jsonw_key_string(w, "valid_until", time_text(until, buf));
}

static void put_labels(struct fg_jsonw *w, const struct fg_export_item *item)
{
	fg_jsonw_key(w, "labels");
	fg_jsonw_array(w);
	fg_jsonw_string(w, item->by_operator ? "operator" : "detector");
	fg_jsonw_stringf(w, "tier-%s", fg_tier_name(item->tier));
	if (item->cohort)
		fg_jsonw_stringf(w, "cohort-%u", item->cohort);
	fg_jsonw_array_end(w);
}

/* What a detector saw is unusual, and no more is claimed; what an operator knows is not known here. */
static int put_indicator(struct fg_jsonw *w, const struct fg_export_ask *ask,
			 const struct fg_export_item *item, const char *identity)
{
	bool is4 = item->bits >= 96 && fg_ip_is4(item->addr);
	char prefix[FG_IP_TEXT], name[160], id[STIX_ID];
	int r;

	fg_ip_prefix(item->addr, item->bits, prefix);
	snprintf(name, sizeof(name), "indicator:%s:%lld:%s", ask->instance,
		 (long long)item->verdict, prefix);
	r = make_id("indicator", name, id);
	if (r)
		return r;
	begin_object(w, "indicator", id);
	fg_jsonw_key_string(w, "created_by_ref", identity);
	put_times(w, item);
	fg_jsonw_key_string(w, "name", prefix);
	fg_jsonw_key_string(w, "description", item->reason);
	put_list(w, "indicator_types", item->by_operator ? "unknown" : "anomalous-activity");
	fg_jsonw_key(w, "pattern");
	fg_jsonw_stringf(w, "[%s:value = '%s']", is4 ? "ipv4-addr" : "ipv6-addr", prefix);
	fg_jsonw_key_string(w, "pattern_type", "stix");
	fg_jsonw_key_string(w, "pattern_version", "2.1");
	put_labels(w, item);
	fg_jsonw_key_u64(w, "confidence", item->tier == FG_TIER_ENFORCE ? HIGH : MEDIUM);
	put_list(w, "object_marking_refs", markings[ask->options->tlp].id);
	fg_jsonw_object_end(w);
	return 0;
}

int fg_document_stix(FILE *out, const struct fg_export_ask *ask)
{
	char name[160], bundle[STIX_ID], identity[STIX_ID];
	struct fg_jsonw w;
	int r, error;

	snprintf(name, sizeof(name), "identity:%s", ask->instance);
	r = make_id("identity", name, identity);
	snprintf(name, sizeof(name), "bundle:%s:%llu:%llu", ask->instance,
		 (unsigned long long)ask->set->revision, (unsigned long long)ask->now_ns);
	if (!r)
		r = make_id("bundle", name, bundle);
	if (r)
		return r;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "type", "bundle");
	fg_jsonw_key_string(&w, "id", bundle);
	fg_jsonw_key(&w, "objects");
	fg_jsonw_array(&w);
	put_identity(&w, ask, identity);
	put_marking(&w, ask->options->tlp);
	for (size_t i = 0; i < ask->set->n && !r; i++)
		r = put_indicator(&w, ask, &ask->set->items[i], identity);
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	error = fg_jsonw_finish(&w);
	fputc('\n', out);
	return r ? r : error ? error : fflush(out) || ferror(out) ? -EIO : 0;
}
