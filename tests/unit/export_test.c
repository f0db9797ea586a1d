/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* export/export.h: who may leave, and the documents to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/export.h"
#include "lib/ip.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static struct fg_store *store;
static struct fg_plan *plan;
static struct fg_export_set *set;
static char *text;

static int set_up(void **arg)
{
	char why[256];

	(void)arg;
	return fg_store_open(NULL, NOW, &store, why, sizeof(why));
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_export_set_unref(&set);
	fg_plan_free(&plan);
	fg_store_close(&store);
	free(text);
	text = NULL;
	return 0;
}

static void note(const char *source, double score, bool proven, bool shared)
{
	static const struct fg_names names = { "-", "-", "-" };
	struct fg_finding f = {
		.score = score,
		.proven = proven,
		.shared = shared,
		.n_evidence = 1,
		.evidence[0] = { .name = "proven_connections_60s", .n_benign = 1 },
	};
	uint8_t bits;

	assert_int_equal(fg_ip_parse(source, f.source, &bits), 0);
	/* one spike enforces nothing */
	assert_true(fg_store_note(store, &f, &names, true, 11, NOW - 10 * S) >= 0);
	assert_true(fg_store_note(store, &f, &names, true, 3600, NOW) >= 0);
}

static void block(const char *prefix, uint64_t stem, uint32_t ttl_s, const char *reason)
{
	uint8_t addr[16], bits;
	int64_t id;

	assert_int_equal(fg_ip_parse(prefix, addr, &bits), 0);
	assert_int_equal(fg_store_block(store, addr, bits, stem, "", ttl_s, reason, NOW, &id), 0);
}

/* Of each source it is known that nobody else is there. */
static void look(void *arg, const struct fg_verdict *const *verdicts, size_t n,
		 struct fg_collateral *ret, uint64_t *ret_activity)
{
	(void)arg;
	(void)verdicts;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct fg_collateral){
			.known = true,
			.clients = 2,
			.stems = 2,
			.hosts = 2,
			.turns = 10,
			.own_turns = 10,
		};
		ret_activity[i] = 10;
	}
}

static uint64_t network(void *arg, const uint8_t addr[16])
{
	(void)arg;
	return addr[13];
}

static void network_name(void *arg, uint64_t key, char ret_name[24])
{
	(void)arg;
	snprintf(ret_name, 24, "N%llu", (unsigned long long)key);
}

static const struct fg_witness witness = {
	.look = look,
	.network = network,
	.network_name = network_name,
	.all_turns = 1000000,
	.all_sources = 1000000,
};

static void choose(enum fg_tier min_tier, uint64_t now_ns)
{
	/* no holdback, so that it is known who leaves */
	const struct fg_guard_conf conf = {
		.collateral = 0.05,
		.max_blocks = 1000,
		.max_blocks_network = 1000,
		.max_harm = 1,
	};
	const struct fg_plan_input in = {
		.store = store,
		.min_tier = min_tier,
		.now_ns = now_ns,
		.witness = &witness,
		.conf = &conf,
	};

	fg_export_set_unref(&set);
	fg_plan_free(&plan);
	assert_int_equal(fg_plan_make(&in, &plan), 0);
	assert_int_equal(fg_export_select(store, plan, &set), 0);
}

/* The set as a plain document. */
static const char *plain(void)
{
	size_t n;
	FILE *out;

	free(text);
	out = open_memstream(&text, &n);
	assert_int_equal(fg_export_plain(out, set), 0);
	fclose(out);
	return text;
}

static void test_export_holds_back_what_may_hit_others(void **arg)
{
	(void)arg;
	note("192.0.2.1", 20, true, false);
	note("192.0.2.2", 20, false, false);
	note("192.0.2.3", 20, true, true);
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(plain(), "192.0.2.1\n");
	choose(FG_TIER_ALERT, NOW);
	assert_string_equal(plain(), "192.0.2.1\n");
	assert_int_equal(set->withheld, 2);
	choose(FG_TIER_ENFORCE, NOW + 3600 * S);
	assert_int_equal(set->n, 0);
}

static void test_export_withholds_client_blocks(void **arg)
{
	(void)arg;
	block("192.0.2.1", 77, 60, "");
	block("192.0.2.2", 0, 60, "");
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(plain(), "192.0.2.2\n");
	assert_int_equal(set->n_clients, 1);
}

static void test_export_leaves_the_allowlist_out(void **arg)
{
	uint8_t addr[16], bits;

	(void)arg;
	note("192.0.2.1", 20, true, false);
	block("198.51.100.0/24", 0, 60, "");
	fg_ip_parse("198.51.100.9", addr, &bits);
	assert_int_equal(fg_store_allow_static(store, addr, bits), 0);
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(plain(), "192.0.2.1\n");
	choose(FG_TIER_ALERT, NOW);
	assert_string_equal(plain(), "192.0.2.1\n");
	assert_int_equal(set->withheld, 1);
}

static void test_export_drops_items_inside_others(void **arg)
{
	(void)arg;
	block("10.0.0.0/8", 0, 60, "");
	block("10.0.0.0/16", 0, 60, "");
	block("10.1.2.3", 0, 60, "");
	block("11.0.0.1", 0, 60, "");
	block("2001:db8::/32", 0, 60, "");
	block("2001:db8:7:7::/64", 0, 60, "");
	note("11.0.0.1", 20, true, false);
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(plain(), "10.0.0.0/8\n11.0.0.1\n2001:db8::/32\n");
	/* the longer of two ends on the same prefix, in the operator's name */
	assert_true(set->items[1].by_operator);
	assert_true(set->items[1].until_ns == NOW + 3600 * S);
	assert_int_equal(set->withheld, 0);
	/* IPv4 lies between in our storage, and is not part of it */
	block("::/16", 0, 60, "");
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(plain(), "::/16\n10.0.0.0/8\n11.0.0.1\n2001:db8::/32\n");
}

/* What formats say of a block beside its prefix. */
static void test_export_items_say_where_they_are_from(void **arg)
{
	(void)arg;
	note("192.0.2.1", 20, true, false);
	block("192.0.2.2", 0, 60, "mine");
	choose(FG_TIER_ENFORCE, NOW);
	assert_int_equal(set->n, 2);
	assert_true(set->items[0].score == 20 && !set->items[0].by_operator);
	assert_string_equal(set->items[0].reason, "proven_connections_60s");
	assert_true(set->items[1].score == 0 && set->items[1].by_operator);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(set->items[i].tier, FG_TIER_ENFORCE);
		assert_true(set->items[i].updated_ns == NOW);
		assert_true(set->items[i].first_ns == (i ? NOW : NOW - 10 * S));
	}
}

/* Its time runs from when it is judged again, an hour later. */
static void member(const char *source, uint64_t stem, uint32_t ttl_s)
{
	static const struct fg_names names = { "t13d", "~t13d", "l64" };
	struct fg_finding f = {
		.stem = stem,
		.stack = 5,
		.cohort = 7,
		.score = 20,
		.proven = true,
		.n_evidence = 1,
		.evidence[0] = { .name = "relay_gap", .n_benign = 1 },
	};
	uint8_t bits;

	assert_int_equal(fg_ip_parse(source, f.source, &bits), 0);
	assert_true(fg_store_note(store, &f, &names, true, ttl_s, NOW) >= 0);
}

/* Who can tell clients apart must not drop a whole source for one of its clients. */
static void test_export_gives_a_members_address_to_who_knows_no_clients(void **arg)
{
	(void)arg;
	member("192.0.2.1", 77, 3600);
	member("192.0.2.1", 78, 3600);
	member("192.0.2.2", 77, 3600);
	note("192.0.2.2", 20, true, false);
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(plain(), "192.0.2.1\n192.0.2.2\n");
	assert_int_equal(set->n_clients, 3);
	assert_true(set->items[0].of_clients);
	assert_true(set->items[0].until_ns == NOW + 7200 * S);
	assert_true(fg_export_whole_until(&set->items[0]) == 0);
	assert_true(fg_export_whole_until(&set->items[1]) == NOW + 3600 * S);
}

/* Of a source's own verdict and a client's that lasts longer each consumer has its own end. */
static void test_export_keeps_two_ends_apart(void **arg)
{
	(void)arg;
	member("192.0.2.2", 77, 7200);
	note("192.0.2.2", 20, true, false);
	choose(FG_TIER_ENFORCE, NOW);
	assert_int_equal(set->n, 1);
	assert_true(set->items[0].until_ns == NOW + 10800 * S);
	assert_true(fg_export_whole_until(&set->items[0]) == NOW + 3600 * S);
}

static void test_export_refuses_a_plan_of_another_day(void **arg)
{
	struct fg_export_set *other = NULL;

	(void)arg;
	note("192.0.2.1", 20, true, false);
	choose(FG_TIER_ENFORCE, NOW);
	block("192.0.2.9", 0, 60, "");
	assert_int_equal(fg_export_select(store, plan, &other), -ESTALE);
	assert_null(other);
}

static void test_export_tells_equal_sets(void **arg)
{
	struct fg_export_set *first;

	(void)arg;
	note("192.0.2.1", 20, true, false);
	choose(FG_TIER_ENFORCE, NOW);
	first = fg_export_set_ref(set);
	choose(FG_TIER_ENFORCE, NOW + S);
	assert_true(fg_export_equal(first, set));
	block("192.0.2.9", 0, 60, "");
	choose(FG_TIER_ENFORCE, NOW + S);
	assert_false(fg_export_equal(first, set));
	fg_export_set_unref(&first);
}

static void fill_all_sets(void)
{
	block("192.0.2.1", 0, 60, "say \"no\", now");
	block("192.0.2.2", 0, 1, "");
	block("198.51.100.0/24", 0, 120, "");
	block("2001:db8:1:2::/64", 0, 60, "");
	block("2001:db8:3::/48", 0, 60, "");
	choose(FG_TIER_ENFORCE, NOW + S / 2);
}

static void test_export_writes_the_nft_contract(void **arg)
{
	static const char begin[] = "table inet farmgate\ndelete table inet farmgate\n";
	static const char *const parts[] = {
		"set blocked4 {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t\tsize ",
		"set blocked6 {\n\t\ttype ipv6_addr\n\t\tflags timeout\n\t\tsize ",
		"set ranges4 {\n\t\ttype ipv4_addr\n\t\tflags interval,timeout\n\t\tsize ",
		"set ranges6 {\n\t\ttype ipv6_addr\n\t\tflags interval,timeout\n\t\tsize ",
		"192.0.2.1 timeout 59s,",
		"192.0.2.2 timeout 1s }",
		"{ 198.51.100.0/24 timeout 119s }",
		"{ 2001:db8:1:2:: timeout 59s }",
		"{ 2001:db8:3::/48 timeout 59s }",
		"type filter hook prerouting priority raw; policy accept;",
		"tcp flags & (fin|syn|rst|ack) == syn tcp dport { 443, 8443 } ip saddr @blocked4",
		" ip saddr @blocked4 counter drop\n",
		" ip6 saddr & ffff:ffff:ffff:ffff:: @blocked6 counter drop\n",
		" ip saddr @ranges4 counter drop\n",
		" ip6 saddr @ranges6 counter drop\n",
	};
	const uint16_t ports[] = { 443, 8443 };
	struct fg_export_conf conf = { ports, 2, false };
	size_t n;
	FILE *out;

	(void)arg;
	fill_all_sets();
	out = open_memstream(&text, &n);
	assert_int_equal(fg_export_nft(out, set, &conf, NOW + S / 2), 0);
	fclose(out);
	assert_memory_equal(text, begin, sizeof(begin) - 1);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strstr(text, parts[i]))
			fail_msg("not there: %s in\n%s", parts[i], text);
	assert_null(strstr(text, "udp"));
	assert_null(strstr(text, "auto-merge"));
	free(text);
	conf.udp = true;
	out = open_memstream(&text, &n);
	assert_int_equal(fg_export_nft(out, set, &conf, NOW), 0);
	fclose(out);
	assert_non_null(strstr(text, "udp dport { 443, 8443 } ip saddr @blocked4 counter drop\n"));
}

static void test_export_writes_csv(void **arg)
{
	size_t n;
	FILE *out;

	(void)arg;
	fill_all_sets();
	out = open_memstream(&text, &n);
	assert_int_equal(fg_export_csv(out, set, NOW + S / 2), 0);
	fclose(out);
	assert_string_equal(text, "duration,scope,type,value,reason\n"
				  "59s,Ip,ban,192.0.2.1,\"say \"\"no\"\", now\"\n"
				  "1s,Ip,ban,192.0.2.2,\"operator\"\n"
				  "119s,Range,ban,198.51.100.0/24,\"operator\"\n"
				  "59s,Range,ban,2001:db8:1:2::/64,\"operator\"\n"
				  "59s,Range,ban,2001:db8:3::/48,\"operator\"\n");
}

static void test_export_writes_json(void **arg)
{
	static const char *const keys[] = { "duration", "scope", "type", "value", "reason" };
	json_t *doc, *item;
	size_t n, i;
	FILE *out;

	(void)arg;
	fill_all_sets();
	out = open_memstream(&text, &n);
	assert_int_equal(fg_export_json(out, set, NOW + S / 2), 0);
	fclose(out);
	doc = json_loads(text, 0, NULL);
	assert_int_equal(json_array_size(doc), 5);
	json_array_foreach(doc, i, item) for (size_t k = 0; k < 5; k++)
		assert_true(json_is_string(json_object_get(item, keys[k])));
	item = json_array_get(doc, 0);
	assert_string_equal(json_string_value(json_object_get(item, "value")), "192.0.2.1");
	assert_string_equal(json_string_value(json_object_get(item, "duration")), "59s");
	assert_string_equal(json_string_value(json_object_get(item, "reason")), "say \"no\", now");
	json_decref(doc);
}

static void test_export_reports_a_full_disk(void **arg)
{
	FILE *out = fopen("/dev/full", "w");

	(void)arg;
	fill_all_sets();
	assert_non_null(out);
	assert_true(fg_export_csv(out, set, NOW) < 0);
	fclose(out);
}

/* A model of two sources inside 10.0.0.0/8 and two outside. */
static struct fg_model *make_model(void)
{
	static const struct fg_model_limits limits = {
		.sources = 16, .clients = 16, .fingerprints = 16, .window_ns = 60 * S
	};
	static const char *const sources[] = { "10.0.0.1", "10.255.0.1", "11.0.0.1", "2001:db8::" };
	struct fg_epoch_source rows[4] = { 0 };
	struct fg_epoch epoch = {
		.start_ns = NOW,
		.end_ns = NOW + S,
		.sources = rows,
		.n_sources = 4,
	};
	struct fg_model *model;
	uint8_t bits;

	for (size_t i = 0; i < 4; i++) {
		fg_ip_parse(sources[i], rows[i].addr, &bits);
		rows[i].connections = rows[i].proven = 1;
	}
	assert_int_equal(fg_model_new(&limits, &model), 0);
	assert_int_equal(fg_model_apply(model, &epoch), 0);
	return model;
}

static const char *dry_run(const struct fg_model *model)
{
	size_t n;
	FILE *out;

	free(text);
	out = open_memstream(&text, &n);
	assert_int_equal(fg_export_dry_run(out, store, plan, model), 0);
	fclose(out);
	return text;
}

static void test_export_dry_run_counts_who_would_be_hit(void **arg)
{
	struct fg_model *model = make_model();

	(void)arg;
	block("10.0.0.0/8", 0, 60, "too wide");
	block("192.0.2.1", 0, 60, "");
	block("2001::/16", 0, 60, "all of IPv6");
	choose(FG_TIER_ENFORCE, NOW);
	assert_string_equal(
		dry_run(model),
		"3 would be blocked, 0 held by a guard; as clients 0, as addresses or prefixes 3\n"
		"prefix 10.0.0.0/8 until 2026-11-23T12:01:00Z by operator (too wide): hits 2 known "
		"sources with 0 clients and 0 exchanges\n"
		"address 192.0.2.1 until 2026-11-23T12:01:00Z by operator (operator): hits 0 known "
		"sources with 0 clients and 0 exchanges\n"
		"prefix 2001::/16 until 2026-11-23T12:01:00Z by operator (all of IPv6): hits 1 "
		"known sources with 0 clients and 0 exchanges\n");
	fg_model_free(&model);
}

static void test_export_dry_run_says_what_is_held(void **arg)
{
	(void)arg;
	note("11.0.0.1", 20, true, false);
	note("11.0.0.2", 20, false, false);
	member("11.0.0.3", 77, 60);
	block("11.0.0.4", 77, 60, "one of its clients");
	choose(FG_TIER_ALERT, NOW);
	assert_string_equal(
		dry_run(NULL),
		"3 would be blocked, 1 held by a guard; as clients 2, as addresses or prefixes 2\n"
		"client 11.0.0.3 ~t13d l64 until 2026-11-23T13:01:00Z by detector (relay_gap): hits "
		"nobody else; as an address, for who knows no clients: others make 0 of 10 "
		"connections and exchanges there (0.0 %), 0 clients with 0 other stems\n"
		"client 11.0.0.4 - - until 2026-11-23T12:01:00Z by operator (one of its clients): "
		"hits nobody else; its address does not leave: client_only\n"
		"address 11.0.0.1 until 2026-11-23T13:00:00Z by detector (proven_connections_60s): "
		"hits 0 known sources with 0 clients and 0 exchanges; others make 0 of 10 "
		"connections and exchanges there (0.0 %), 0 clients with 0 other stems\n"
		"held by not_proven: 1, because its address may be forged\n"
		"address held by client_only: 1, because the operator blocked one of its clients "
		"and not the source\n");
}

#define T(name) cmocka_unit_test_setup_teardown(test_export_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(holds_back_what_may_hit_others),
		T(withholds_client_blocks),
		T(leaves_the_allowlist_out),
		T(drops_items_inside_others),
		T(items_say_where_they_are_from),
		T(gives_a_members_address_to_who_knows_no_clients),
		T(keeps_two_ends_apart),
		T(refuses_a_plan_of_another_day),
		T(tells_equal_sets),
		T(writes_the_nft_contract),
		T(writes_csv),
		T(writes_json),
		T(reports_a_full_disk),
		T(dry_run_counts_who_would_be_hit),
		T(dry_run_says_what_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
