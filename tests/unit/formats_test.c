/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* export/formats.h: every format to the letter, with reasons that try to break it; what each can be
 * told; which blocks become routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/formats.h"
#include "lib/ip.h"

#define S	 1000000000ULL
#define NOW	 (1795435200 * S + S / 2) /* 2026-11-23T12:00:00.5Z */
#define INSTANCE "00112233445566778899aabbccddeeff"

/* What an operator may type, and worse: quotes, ends of lines, escapes, no UTF-8. */
#define EVIL "q\"u'o\\te\n\r\t\x1b[1m\x7f\xff; } $(id)\nannounce route 0.0.0.0/0 next-hop 1.1.1.1"

static struct fg_export_set *set;
static char *text;
static size_t n_text;

static int set_up(void **arg)
{
	(void)arg;
	set = calloc(1, sizeof(*set));
	assert_non_null(set);
	atomic_init(&set->refs, 1);
	set->revision = 7;
	return 0;
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_export_set_unref(&set);
	free(text);
	text = NULL;
	return 0;
}

static struct fg_export_item *add(const char *prefix, uint64_t left_s, const char *reason)
{
	struct fg_export_item *item;

	set->items = realloc(set->items, (set->n + 1) * sizeof(*set->items));
	assert_non_null(set->items);
	item = &set->items[set->n++];
	*item = (struct fg_export_item){
		.until_ns = NOW + left_s * S,
		.verdict = (int64_t)set->n,
		.tier = FG_TIER_ENFORCE,
		.first_ns = NOW - 3600 * S,
		.updated_ns = NOW - 60 * S,
	};
	assert_int_equal(fg_ip_parse(prefix, item->addr, &item->bits), 0);
	snprintf(item->reason, sizeof(item->reason), "%s", reason);
	return item;
}

/* One of each kind. */
static void fill(void)
{
	add("192.0.2.1", 59, "proven_connections_60s")->cohort = 12;
	add("192.0.2.2", 0, EVIL)->by_operator = true;
	add("198.51.100.0/24", 3599, "");
	add("2001:db8:1:2::/64", 14398, "a \"b\"")->tier = FG_TIER_ALERT;
	add("2001:db8:3::/48", 60, "x");
}

static const char *const *given; /* pairs of name and text, NULL behind */

static const char *argument(void *arg, const char *name)
{
	(void)arg;
	for (const char *const *at = given; at && *at; at += 2)
		if (!strcmp(*at, name))
			return at[1];
	return NULL;
}

static const char *write_with(const char *format, const char *const *arguments)
{
	static const uint16_t ports[] = { 443 };
	const struct fg_export_conf conf = { ports, 1, false };
	const struct fg_export_format *f;
	struct fg_export_options options;
	const struct fg_export_ask ask = {
		.set = set, .conf = &conf, .options = &options, .instance = INSTANCE, .now_ns = NOW
	};
	char why[256] = "";
	FILE *out;

	given = arguments;
	if (fg_export_choose(format, FG_TIER_ENFORCE, argument, NULL, &f, &options, why,
			     sizeof(why)))
		fail_msg("%s: %s", format, why);
	free(text);
	out = open_memstream(&text, &n_text);
	assert_int_equal(f->write(out, &ask), 0);
	fclose(out);
	return text;
}

static const char *written(const char *format)
{
	return write_with(format, NULL);
}

/* Not by strstr(): under a sanitizer each call of it measures the whole text. */
static size_t count(const char *what)
{
	size_t n = strlen(what), found = 0;

	for (size_t i = 0; i + n <= n_text; i++)
		found += text[i] == what[0] && !memcmp(text + i, what, n);
	return found;
}

/* --- The table --------------------------------------------------------------------------------- */

static void test_formats_are_those_of_the_help(void **arg)
{
	char names[128] = "";

	(void)arg;
	for (size_t i = 0; fg_export_format_at(i); i++) {
		strcat(names, i ? "|" : "");
		strcat(names, fg_export_format_at(i)->name);
	}
	assert_string_equal(names, FG_EXPORT_FORMATS);
}

/* --- To the letter ------------------------------------------------------------------------------ */

#define HEAD4		 "_new hash:ip family inet maxelem 262144 timeout 0 counters comment -exist\n"
#define HEAD4N		 "_new hash:net family inet maxelem 262144 timeout 0 counters comment -exist\n"
#define HEAD6		 "_new hash:net family inet6 maxelem 262144 timeout 0 counters comment -exist\n"
#define SWAP(name, head) "create " name head "swap " name "_new " name "\ndestroy " name "_new\n"
#define FOR4		 " hash:ip family inet maxelem 262144 timeout 0 counters comment -exist\n"
#define FOR4N		 " hash:net family inet maxelem 262144 timeout 0 counters comment -exist\n"
#define FOR6		 " hash:net family inet6 maxelem 262144 timeout 0 counters comment -exist\n"
#define NEW_SETS                                            \
	"create farmgate4" HEAD4 "flush farmgate4_new\n"    \
	"create farmgate4n" HEAD4N "flush farmgate4n_new\n" \
	"create farmgate6" HEAD6 "flush farmgate6_new\n"    \
	"create farmgate6n" HEAD6 "flush farmgate6n_new\n"
#define SWAPPED_SETS            \
	SWAP("farmgate4", FOR4) \
	SWAP("farmgate4n", FOR4N) SWAP("farmgate6", FOR6) SWAP("farmgate6n", FOR6)

static void test_formats_ipset(void **arg)
{
	(void)arg;
	assert_string_equal(written("ipset"), NEW_SETS SWAPPED_SETS);
	fill();
	assert_string_equal(
		written("ipset"), NEW_SETS
		"add farmgate4_new 192.0.2.1 timeout 59 comment \"proven_connections_60s\"\n"
		"add farmgate4_new 192.0.2.2 timeout 1 comment \"q'u'o'te    [1m \xff; } $(id) "
		"announce route 0.0.0.0/0 next-hop 1.1.1.1\"\n"
		"add farmgate4n_new 198.51.100.0/24 timeout 3599 comment \"\"\n"
		"add farmgate6_new 2001:db8:1:2::/64 timeout 14398 comment \"a 'b'\"\n"
		"add farmgate6n_new 2001:db8:3::/48 timeout 60 comment \"x\"\n" SWAPPED_SETS);
}

/* A prefix without bits is none for ipset; a single IPv6 address is no source. */
static void test_formats_ipset_edges(void **arg)
{
	(void)arg;
	add("::/0", 9, "all");
	add("0.0.0.0/0", 9, "all");
	add("2001:db8::1", 9, "one");
	written("ipset");
	assert_non_null(strstr(text, "add farmgate6n_new ::/1 timeout 9 comment \"all\"\n"
				     "add farmgate6n_new 8000::/1 timeout 9 comment \"all\"\n"
				     "add farmgate4n_new 0.0.0.0/1 timeout 9 comment \"all\"\n"
				     "add farmgate4n_new 128.0.0.0/1 timeout 9 comment \"all\"\n"
				     "add farmgate6n_new 2001:db8::1 timeout 9 "));
}

static void test_formats_proxies(void **arg)
{
	(void)arg;
	assert_string_equal(
		written("haproxy"),
		"# farmgate, 2026-11-23T12:00:00Z: 0 prefixes; until when, in unix seconds\n");
	assert_string_equal(
		written("nginx"),
		"# farmgate, 2026-11-23T12:00:00Z: 0 prefixes; for geo; nothing in here ends by "
		"itself\n");
	fill();
	assert_string_equal(
		written("haproxy"),
		"# farmgate, 2026-11-23T12:00:00Z: 5 prefixes; until when, in unix seconds\n"
		"192.0.2.1 1795435259\n192.0.2.2 1795435200\n198.51.100.0/24 1795438799\n"
		"2001:db8:1:2::/64 1795449598\n2001:db8:3::/48 1795435260\n");
	assert_string_equal(
		written("nginx"),
		"# farmgate, 2026-11-23T12:00:00Z: 5 prefixes; for geo; nothing in here ends by "
		"itself\n192.0.2.1 1;\n192.0.2.2 1;\n198.51.100.0/24 1;\n2001:db8:1:2::/64 1;\n"
		"2001:db8:3::/48 1;\n");
}

#define DECISION(duration, scenario, scope, value)                                               \
	"{\"duration\":\"" duration "\",\"origin\":\"farmgate\",\"reason\":\"farmgate/" scenario \
	"\",\"scope\":\"" scope "\",\"type\":\"ban\",\"value\":\"" value "\"}"

static void test_formats_crowdsec(void **arg)
{
	(void)arg;
	assert_string_equal(written("crowdsec"), "[]\n");
	fill();
	assert_string_equal(
		written("crowdsec"),
		"[" DECISION("59s", "account-farm", "Ip", "192.0.2.1") "," DECISION("1s", "operator", "Ip", "192.0.2.2") "," DECISION(
			"59m59s", "account-farm", "Range",
			"198.51.100.0/24") "," DECISION("3h59m58s", "account-farm", "Range",
							"2001:db8:1:2::/64") "," DECISION("1m0s",
											  "account-farm",
											  "Range",
											  "2001:db8:3::/48") "]\n");
}

static void test_formats_of_before(void **arg)
{
	(void)arg;
	assert_string_equal(written("plain"), "");
	assert_string_equal(written("json"), "[]\n");
	assert_string_equal(written("csv"), "duration,scope,type,value,reason\n");
	fill();
	assert_string_equal(written("plain"), "192.0.2.1\n192.0.2.2\n198.51.100.0/24\n"
					      "2001:db8:1:2::/64\n2001:db8:3::/48\n");
	assert_string_equal(written("csv"),
			    "duration,scope,type,value,reason\n"
			    "59s,Ip,ban,192.0.2.1,\"proven_connections_60s\"\n"
			    "1s,Ip,ban,192.0.2.2,\"q\"\"u'o\\te    [1m\x7f\xff; } $(id) announce "
			    "route 0.0.0.0/0 next-hop 1.1.1.1\"\n"
			    "3599s,Range,ban,198.51.100.0/24,\"\"\n"
			    "14398s,Range,ban,2001:db8:1:2::/64,\"a \"\"b\"\"\"\n"
			    "60s,Range,ban,2001:db8:3::/48,\"x\"\n");
	/* no reason gets into a script */
	written("nft");
	assert_null(strstr(text, "announce"));
}

static void assert_json_reason(const char *format, const char *const path[])
{
	json_error_t error;
	json_t *doc = json_loads(written(format), JSON_REJECT_DUPLICATES, &error);
	json_t *at = doc;

	if (!doc)
		fail_msg("%s: %s: %s", format, error.text, text);
	for (; *path; path++)
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(*path)) :
					 json_object_get(at, *path);
	/* as it was, but for the byte that is no UTF-8 */
	assert_string_equal(json_string_value(at),
			    "q\"u'o\\te\n\r\t\x1b[1m\x7f\xef\xbf\xbd; } $(id)\nannounce route "
			    "0.0.0.0/0 next-hop 1.1.1.1");
	json_decref(doc);
	assert_int_equal(count("\n"), 1);
}

static void test_formats_json_holds_any_reason(void **arg)
{
	(void)arg;
	fill();
	assert_json_reason("json", (const char *const[]){ "1", "reason", NULL });
	assert_json_reason("stix", (const char *const[]){ "objects", "3", "description", NULL });
}

/* --- STIX -------------------------------------------------------------------------------------- */

#define IDENTITY "identity--d7d62eac-7fe2-590d-bc25-06a0dd8d5d7f"
#define AMBER	 "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"

static const char bundle_head[] =
	"{\"type\":\"bundle\",\"id\":\"bundle--248df961-1039-5eec-8b97-8956db6d0c3a\",\"objects\":["
	"{\"type\":\"identity\",\"spec_version\":\"2.1\",\"id\":\"" IDENTITY "\","
	"\"created\":\"2026-11-28T00:00:00.000Z\",\"modified\":\"2026-11-28T00:00:00.000Z\","
	"\"name\":\"farmgate 00112233\",\"description\":\"A sensor at a network edge that spots "
	"account farms by how their clients behave, without decrypting.\","
	"\"identity_class\":\"system\"},"
	"{\"type\":\"marking-definition\",\"spec_version\":\"2.1\",\"id\":\"" AMBER "\","
	"\"created\":\"2017-01-20T00:00:00.000Z\",\"definition_type\":\"tlp\","
	"\"name\":\"TLP:AMBER\",\"definition\":{\"tlp\":\"amber\"}}";

static const char indicators[] =
	",{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"indicator--5b2d3457-ecd3-5e44-bad8-985700510f8e\","
	"\"created_by_ref\":\"" IDENTITY "\",\"created\":\"2026-11-23T11:00:00.500Z\","
	"\"modified\":\"2026-11-23T11:59:00.500Z\",\"valid_from\":\"2026-11-23T11:00:00.500Z\","
	"\"valid_until\":\"2026-11-23T12:00:59.500Z\",\"name\":\"192.0.2.1\","
	"\"description\":\"proven_connections_60s\","
	"\"indicator_types\":[\"anomalous-activity\"],"
	"\"pattern\":\"[ipv4-addr:value = '192.0.2.1']\",\"pattern_type\":\"stix\","
	"\"pattern_version\":\"2.1\",\"labels\":[\"detector\",\"tier-enforce\",\"cohort-12\"],"
	"\"confidence\":85,\"object_marking_refs\":[\"" AMBER "\"]}";

static void test_formats_stix(void **arg)
{
	char want[4096];

	(void)arg;
	snprintf(want, sizeof(want), "%s]}\n", bundle_head);
	assert_string_equal(written("stix"), want);
	add("192.0.2.1", 59, "proven_connections_60s")->cohort = 12;
	snprintf(want, sizeof(want), "%s%s]}\n", bundle_head, indicators);
	assert_string_equal(written("stix"), want);
}

static json_t *indicator(const char *const *arguments, size_t i)
{
	json_t *doc = json_loads(write_with("stix", arguments), 0, NULL);
	json_t *one = json_incref(json_array_get(json_object_get(doc, "objects"), 2 + i));

	assert_non_null(one);
	json_decref(doc);
	return one;
}

static const char *word(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_string_value(json_is_array(value) ? json_array_get(value, 0) : value);
}

static void test_formats_stix_says_no_more_than_is_known(void **arg)
{
	json_t *one;

	(void)arg;
	fill();
	one = indicator(NULL, 1);
	assert_string_equal(word(one, "indicator_types"), "unknown");
	assert_string_equal(word(one, "labels"), "operator");
	json_decref(one);
	one = indicator(NULL, 3);
	assert_string_equal(word(one, "pattern"), "[ipv6-addr:value = '2001:db8:1:2::/64']");
	assert_int_equal(json_integer_value(json_object_get(one, "confidence")), 50);
	json_decref(one);
	one = indicator((const char *const[]){ "tlp", "red", NULL }, 0);
	assert_string_equal(word(one, "object_marking_refs"),
			    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed");
	json_decref(one);
}

static void test_formats_stix_versions_of_one_object(void **arg)
{
	json_t *before, *after;

	(void)arg;
	fill();
	before = indicator(NULL, 0);
	set->items[0].until_ns += 600 * S;
	set->items[0].updated_ns += 600 * S;
	after = indicator(NULL, 0);
	assert_string_equal(word(before, "id"), word(after, "id"));
	assert_string_equal(word(before, "created"), word(after, "created"));
	assert_true(strcmp(word(before, "modified"), word(after, "modified")) < 0);
	json_decref(after);
	/* a later verdict on the same prefix is another object */
	set->items[0].verdict = 99;
	after = indicator(NULL, 0);
	assert_string_not_equal(word(before, "id"), word(after, "id"));
	json_decref(after);
	json_decref(before);
	/* a clock that was set back between */
	set->items[0].updated_ns = set->items[0].until_ns = 0;
	after = indicator(NULL, 0);
	assert_string_equal(word(after, "modified"), word(after, "created"));
	assert_true(strcmp(word(after, "valid_from"), word(after, "valid_until")) < 0);
	json_decref(after);
}

/* --- Routes ------------------------------------------------------------------------------------ */

static const char *const rtbh[] = { "bgp",	 "rtbh",
				    "next_hop",	 "192.0.2.254,2001:db8::dead",
				    "community", "65535:666,no-export,64500:13,64500:13",
				    NULL };

static void test_formats_exabgp(void **arg)
{
	(void)arg;
	assert_string_equal(written("exabgp"), "");
	fill();
	assert_string_equal(
		written("exabgp"),
		"announce flow route { match { source 192.0.2.1/32; } then { discard; community "
		"[no-export]; } }\n"
		"announce flow route { match { source 192.0.2.2/32; } then { discard; community "
		"[no-export]; } }\n"
		"announce flow route { match { source 198.51.100.0/24; } then { discard; community "
		"[no-export]; } }\n"
		"announce flow route { match { source 2001:db8:1:2::/64; } then { discard; "
		"community [no-export]; } }\n"
		"announce flow route { match { source 2001:db8:3::/48; } then { discard; community "
		"[no-export]; } }\n");
	set->n = 4;
	assert_string_equal(
		write_with("exabgp", rtbh),
		"announce route 192.0.2.1/32 next-hop 192.0.2.254 community [65535:666 64500:13 "
		"no-export]\n"
		"announce route 192.0.2.2/32 next-hop 192.0.2.254 community [65535:666 64500:13 "
		"no-export]\n"
		"announce route 198.51.100.0/24 next-hop 192.0.2.254 community [65535:666 64500:13 "
		"no-export]\n"
		"announce route 2001:db8:1:2::/64 next-hop 2001:db8::dead community [65535:666 "
		"64500:13 no-export]\n");
	/* the longest line there is */
	set->n = 0;
	add("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 9, "");
	write_with("exabgp", (const char *const[]){
				     "bgp", "rtbh", "next_hop",
				     "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "community",
				     "65534:65500,65534:65501,65534:65502,65534:65503,65534:65504,"
				     "65534:65505,65534:65506,65534:65507,65534:65508,65534:65509,"
				     "65534:65510,65534:65511,65534:65512,65534:65513,65534:65514,"
				     "65534:65515",
				     NULL });
	assert_non_null(strstr(text, "65534:65515 no-export]\n"));
}

static json_t *rows(const char *const *arguments)
{
	json_t *doc = json_loads(write_with("exabgp", arguments), JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(doc);
	return doc;
}

static long long number(const json_t *doc, const char *key)
{
	return (long long)json_integer_value(json_object_get(doc, key));
}

static void test_formats_exabgp_rows(void **arg)
{
	json_t *doc, *row;

	(void)arg;
	fill();
	doc = rows((const char *const[]){ "rows", "1", NULL });
	row = json_array_get(json_object_get(doc, "rows"), 0);
	assert_string_equal(word(row, "announce"), "announce flow route { match { source "
						   "192.0.2.1/32; } then { discard; community "
						   "[no-export]; } }");
	assert_string_equal(word(row, "withdraw") + 8, word(row, "announce") + 8);
	assert_true(json_number_value(json_object_get(row, "left")) == 59);
	assert_int_equal(json_array_size(json_object_get(doc, "rows")), 5);
	assert_int_equal(number(doc, "left_out") + number(doc, "too_wide"), 0);
	json_decref(doc);
	doc = rows((const char *const[]){ "rows", "1", "bgp", "rtbh", "next_hop", "192.0.2.254",
					  NULL });
	assert_int_equal(number(doc, "no_next_hop"), 2);
	json_decref(doc);
}

static void test_formats_exabgp_keeps_the_maximum(void **arg)
{
	json_t *doc;

	(void)arg;
	add("192.0.2.1", 60, "")->score = 20;
	add("192.0.2.2", 60, "")->score = 30;
	add("192.0.2.3", 60, "")->score = 20; /* newer than the first */
	add("192.0.2.4", 60, "")->by_operator = true;
	add("192.0.2.5", 60, "")->score = 10;
	doc = rows((const char *const[]){ "max", "3", "rows", "1", NULL });
	assert_int_equal(number(doc, "left_out"), 2);
	json_decref(doc);
	assert_non_null(strstr(text, "192.0.2.2/32"));
	assert_non_null(strstr(text, "192.0.2.3/32"));
	assert_non_null(strstr(text, "192.0.2.4/32"));
	assert_null(strstr(text, "192.0.2.1/32"));
}

/* The default route is not for us to announce, nor a slice of the Internet. */
static void test_formats_exabgp_is_never_wide(void **arg)
{
	json_t *doc;

	(void)arg;
	add("0.0.0.0/0", 60, "");
	add("10.0.0.0/7", 60, "");
	add("10.0.0.0/8", 60, "");
	add("::/0", 60, "");
	add("2000::/15", 60, "");
	add("2001::/16", 60, "");
	doc = rows((const char *const[]){ "rows", "1", NULL });
	assert_int_equal(number(doc, "too_wide"), 4);
	assert_int_equal(json_array_size(json_object_get(doc, "rows")), 2);
	json_decref(doc);
	assert_non_null(strstr(text, " 10.0.0.0/8;"));
	assert_non_null(strstr(text, " 2001::/16;"));
}

#define NEIGHBOR                                                                                  \
	"neighbor 127.0.0.2 local-ip 127.0.0.1 local-as 64500 peer-as 64500 router-id 127.0.0.1 " \
	"family-allowed in-open "

/* Lines of exabgp 4.2.21. */
static void test_formats_exabgp_knows_its_own(void **arg)
{
	static const char *const flow[] = {
		NEIGHBOR "ipv4 flow flow source-ipv4 192.0.2.67/32 community no-export "
			 "extended-community rate-limit:0",
		NEIGHBOR "ipv6 flow flow source-ipv6 2001:db8:2::/64/0 community no-export "
			 "extended-community rate-limit:0",
	};
	static const char *const route[] = {
		NEIGHBOR "ipv4 unicast 192.0.2.66/32 next-hop 192.0.2.254 community [ 64500:13 "
			 "blackhole no-export ]",
		NEIGHBOR "ipv6 unicast 2001:db8:1::/64 next-hop 2001:db8::dead community [ "
			 "64500:13 blackhole no-export ]",
	};
	static const char *const others[] = {
		"",
		NEIGHBOR,
		NEIGHBOR "ipv4 unicast ",
		NEIGHBOR "ipv4 unicast 192.0.2.66/32",
		NEIGHBOR "ipv4 unicast 192.0.2.66/32 next-hop 192.0.2.253 community [ 64500:13 "
			 "blackhole no-export ]",
		NEIGHBOR "ipv4 unicast 192.0.2.66/32 next-hop 192.0.2.254 community [ blackhole "
			 "no-export ]",
		NEIGHBOR "ipv4 unicast 192.0.2.66/33 next-hop 192.0.2.254 community [ 64500:13 "
			 "blackhole no-export ]",
		NEIGHBOR "ipv4 unicast 2001:db8::/64 next-hop 192.0.2.254 community [ 64500:13 "
			 "blackhole no-export ]",
		NEIGHBOR "ipv4 flow flow source-ipv4 192.0.2.67/32 destination-port =443 community "
			 "no-export extended-community rate-limit:0",
		NEIGHBOR "ipv4 flow flow source-ipv4 192.0.2.67/32 community no-export "
			 "extended-community rate-limit:9600",
	};
	char up[FG_BGP_LINE], down[FG_BGP_LINE], why[256];
	struct fg_bgp_options f, r;

	(void)arg;
	assert_int_equal(fg_bgp_options(&f, NULL, NULL, NULL, NULL, why, sizeof(why)), 0);
	assert_int_equal(fg_bgp_options(&r, "rtbh", rtbh[3], rtbh[5], NULL, why, sizeof(why)), 0);
	assert_true(fg_exabgp_is_ours(flow[0], &f, up, down));
	assert_string_equal(up, "announce flow route { match { source 192.0.2.67/32; } then { "
				"discard; community [no-export]; } }");
	assert_true(fg_exabgp_is_ours(flow[1], &f, up, down));
	assert_non_null(strstr(down, "source 2001:db8:2::/64; }"));
	assert_true(fg_exabgp_is_ours(route[0], &r, up, down));
	assert_string_equal(down, "withdraw route 192.0.2.66/32 next-hop 192.0.2.254 community "
				  "[65535:666 64500:13 no-export]");
	assert_true(fg_exabgp_is_ours(route[1], &r, up, down));
	for (size_t i = 0; i < 2; i++) {
		assert_false(fg_exabgp_is_ours(flow[i], &r, up, down));
		assert_false(fg_exabgp_is_ours(route[i], &f, up, down));
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (fg_exabgp_is_ours(others[i], &f, up, down) ||
		    fg_exabgp_is_ours(others[i], &r, up, down))
			fail_msg("taken for ours: %s", others[i]);
}

/* --- What they are told -------------------------------------------------------------------------- */

static void test_formats_refuse_what_is_wrong(void **arg)
{
	static const struct {
		const char *format, *name, *text, *says;
	} wrong[] = {
		{ NULL, NULL, NULL, "format is missing (nft, ipset" },
		{ "xml", NULL, NULL, "format: 'xml' is not one of nft, ipset" },
		{ "exabgp", "bgp", "blackhole", "bgp: 'blackhole' is neither" },
		{ "exabgp", "bgp", "rtbh", "next-hop: rtbh needs one" },
		{ "exabgp", "next_hop", "192.0.2.1", "next-hop: only rtbh has one" },
		{ "exabgp", "community", "", "community: '' is none" },
		{ "exabgp", "community", "1:2,", "community: '' is none" },
		{ "exabgp", "community", "65536:1", "community: '65536:1' is none" },
		{ "exabgp", "community", "1:2]\nwithdraw", "community: '1:2]" },
		{ "exabgp", "community",
		  "1:1,1:2,1:3,1:4,1:5,1:6,1:7,1:8,1:9,1:10,1:11,1:12,1:13,1:14,1:15,1:16,1:17",
		  "community: more than 16" },
		{ "exabgp", "max", "0", "max: '0' is no number from 1 to 5000" },
		{ "exabgp", "max", "5001", "max: '5001' is no number" },
		{ "exabgp", "tlp", "red", "tlp: the format exabgp takes none" },
		{ "stix", "tlp", "AMBER", "tlp: 'AMBER' is none of" },
		{ "stix", "max", "3", "max: the format stix takes none" },
		{ "json", "rows", "1", "rows: the format json takes none" },
	};
	const struct fg_export_format *f;
	struct fg_export_options options;
	char why[256];

	(void)arg;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		given = (const char *const[]){ wrong[i].name, wrong[i].text, NULL };
		assert_true(fg_export_choose(wrong[i].format, FG_TIER_ENFORCE, argument, NULL, &f,
					     &options, why, sizeof(why)) < 0);
		if (strncmp(why, wrong[i].says, strlen(wrong[i].says)))
			fail_msg("'%s' does not begin with '%s'", why, wrong[i].says);
	}
	given = NULL;
	assert_true(fg_export_choose("exabgp", FG_TIER_ALERT, argument, NULL, &f, &options, why,
				     sizeof(why)) < 0);
	assert_int_equal(fg_export_choose("stix", FG_TIER_ALERT, argument, NULL, &f, &options, why,
					  sizeof(why)),
			 0);
}

static void test_formats_refuse_next_hops(void **arg)
{
	static const char *const wrong[] = { "",
					     ",",
					     "192.0.2.1,",
					     "192.0.2.1/32",
					     "192.0.2.1,192.0.2.2",
					     "2001:db8::1,2001:db8::2",
					     "192.0.2.1 community [1:1]",
					     "self" };
	struct fg_bgp_options options;
	char why[256];

	(void)arg;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_true(fg_bgp_options(&options, "rtbh", wrong[i], NULL, NULL, why,
					   sizeof(why)) < 0);
		assert_memory_equal(why, "next-hop: '", 11);
	}
	assert_int_equal(fg_bgp_options(&options, "rtbh", "2001:db8::1,192.0.2.1", NULL, NULL, why,
					sizeof(why)),
			 0);
	assert_true(options.has_next_hop[0] && options.has_next_hop[1]);
	assert_int_equal(options.n_communities, 1);
	assert_int_equal(options.communities[0], 65535U << 16 | 666);
	assert_int_equal(options.max, FG_BGP_MAX);
}

/* --- Many, and nowhere to write --------------------------------------------------------------------- */

#define MANY 100000

static void fill_many(void)
{
	char prefix[32];

	set->items = calloc(MANY, sizeof(*set->items));
	assert_non_null(set->items);
	for (unsigned int i = 0; i < MANY; i++) {
		struct fg_export_item *item = &set->items[set->n++];

		snprintf(prefix, sizeof(prefix), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		fg_ip_parse(prefix, item->addr, &item->bits);
		item->until_ns = NOW + 60 * S;
		item->first_ns = item->updated_ns = NOW;
		item->verdict = i;
		item->score = i % 977;
		strcpy(item->reason, "r");
	}
}

/* Anything that looks at all others for each of 100,000 runs into the runner's time limit. */
static void test_formats_write_many(void **arg)
{
	static const char *const marks[][2] = {
		{ "nft", " timeout 60s" },
		{ "ipset", "\nadd " },
		{ "json", "{\"duration\":\"60s\"" },
		{ "csv", "\n60s,Ip" },
		{ "plain", "\n" },
		{ "haproxy", "\n10." },
		{ "nginx", " 1;\n" },
		{ "crowdsec", "\"1m0s\"" },
		{ "stix", "\"type\":\"indicator\"" },
	};

	(void)arg;
	fill_many();
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		written(marks[i][0]);
		if (count(marks[i][1]) != MANY)
			fail_msg("%s: %zu of %d", marks[i][0], count(marks[i][1]), MANY);
	}
	written("exabgp");
	assert_int_equal(count("\n"), FG_BGP_MAX);
	write_with("exabgp", (const char *const[]){ "max", "5000", NULL });
	assert_int_equal(count("\n"), 5000);
}

static void test_formats_report_a_full_disk(void **arg)
{
	static const uint16_t ports[] = { 443 };
	const struct fg_export_conf conf = { ports, 1, false };
	const struct fg_export_format *f;
	struct fg_export_options options;
	struct fg_export_ask ask = {
		.conf = &conf, .options = &options, .instance = INSTANCE, .now_ns = NOW
	};
	char why[256];

	(void)arg;
	fill();
	ask.set = set;
	given = NULL;
	for (size_t i = 0; (f = fg_export_format_at(i)) != NULL; i++) {
		FILE *out = fopen("/dev/full", "w");

		assert_non_null(out);
		assert_int_equal(fg_export_choose(f->name, FG_TIER_ENFORCE, argument, NULL, &f,
						  &options, why, sizeof(why)),
				 0);
		assert_true(f->write(out, &ask) < 0);
		fclose(out);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(test_formats_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(are_those_of_the_help),
		T(ipset),
		T(ipset_edges),
		T(proxies),
		T(crowdsec),
		T(of_before),
		T(json_holds_any_reason),
		T(stix),
		T(stix_says_no_more_than_is_known),
		T(stix_versions_of_one_object),
		T(exabgp),
		T(exabgp_rows),
		T(exabgp_keeps_the_maximum),
		T(exabgp_is_never_wide),
		T(exabgp_knows_its_own),
		T(refuse_what_is_wrong),
		T(refuse_next_hops),
		T(write_many),
		T(report_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
