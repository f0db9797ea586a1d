/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* export/crowdsec.h: what bouncers are told of sets that come and go, and that they can hold all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/crowdsec.h"
#include "lib/ip.h"

#define S   1000000000ULL
#define H   (3600 * S)
#define NOW (1795435200 * S)

static struct fg_crowdsec *crowdsec;
static uint64_t revision;

static struct fg_export_set *new_set(size_t n)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	atomic_init(&set->refs, 1);
	set->revision = ++revision;
	set->items = calloc(n + 1, sizeof(*set->items));
	set->clients = calloc(1, sizeof(*set->clients));
	assert_non_null(set->items);
	return set;
}

struct block {
	const char *prefix;
	uint64_t until_ns;
	int64_t id;
};

/* In the order of addresses, as a set is. @return changes. */
static int update(const struct block *blocks, size_t n, uint64_t now_ns)
{
	struct fg_export_set *set = new_set(n);
	int r;

	for (size_t i = 0; i < n; i++) {
		struct fg_export_item *item = &set->items[set->n++];

		assert_int_equal(fg_ip_parse(blocks[i].prefix, item->addr, &item->bits), 0);
		item->until_ns = blocks[i].until_ns;
		item->verdict = blocks[i].id;
	}
	r = fg_crowdsec_update(crowdsec, set, now_ns);
	fg_export_set_unref(&set);
	return r;
}

#define UPDATE(now_ns, ...)                           \
	update((const struct block[]){ __VA_ARGS__ }, \
	       sizeof((const struct block[]){ __VA_ARGS__ }) / sizeof(struct block), now_ns)

/* Every decision keeps to the contract, whatever it is about; in deleted ones the duration is below zero. */
static void check_decisions(const json_t *list, bool deleted)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *duration, *value, *scope, *origin, *type, *scenario;
		json_int_t id;
		uint8_t addr[16], bits;

		if (i > 1000 && i % 101) /* of very many some */
			continue;
		assert_int_equal(json_unpack(one, "{s:I,s:s,s:s,s:s,s:s,s:s,s:s!}", "id", &id,
					     "origin", &origin, "type", &type, "scope", &scope,
					     "value", &value, "duration", &duration, "scenario",
					     &scenario),
				 0);
		assert_true(id > 0 && id < 1LL << 53);
		assert_string_equal(origin, "farmgate");
		assert_string_equal(type, "ban");
		assert_string_equal(scope, "Ip");
		assert_string_equal(scenario, "farmgate/account-farm");
		assert_int_equal(fg_ip_parse(value, addr, &bits), 0);
		assert_int_equal(bits, 128);
		assert_int_equal(duration[0] == '-', deleted);
		/* Go's ParseDuration, of what we write: digits, a point, and units in this order */
		assert_int_equal(strspn(duration + deleted, "0123456789.hms"),
				 strlen(duration + deleted));
		assert_int_equal(duration[strlen(duration) - 1], 's');
		assert_string_not_equal(duration + deleted, "0s");
	}
}

static json_t *stream(const struct fg_crowdsec_ask *ask, uint64_t now_ns)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	json_error_t error;
	json_t *doc;

	assert_int_equal(fg_crowdsec_stream(out, crowdsec, ask, now_ns), 0);
	fclose(out);
	doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (!doc)
		fail_msg("%s in: %.200s", error.text, text);
	assert_int_equal(json_object_size(doc), 2);
	check_decisions(json_object_get(doc, "new"), false);
	check_decisions(json_object_get(doc, "deleted"), true);
	free(text);
	return doc;
}

static json_t *startup(uint64_t now_ns)
{
	return stream(&(struct fg_crowdsec_ask){ .all = true }, now_ns);
}

static json_t *changes(uint64_t after, uint64_t now_ns)
{
	return stream(&(struct fg_crowdsec_ask){ .after = after }, now_ns);
}

/* "A,B": the values of a list, in its order; "null" where it is none. */
static const char *values(const json_t *doc, const char *key)
{
	static char text[2][65536];
	static int turn;
	char *to = text[turn++ % 2];
	json_t *list = json_object_get(doc, key), *one;
	size_t i, n = 0;

	if (!json_is_array(list))
		return "null";
	to[0] = '\0';
	json_array_foreach(list, i, one)
		n += (size_t)snprintf(to + n, sizeof(text[0]) - n, "%s%s", i ? "," : "",
				      json_string_value(json_object_get(one, "value")));
	return to;
}

static const char *field(const json_t *doc, const char *key, size_t i, const char *name)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(doc, key), i), name));
}

static json_int_t id_of(const json_t *doc, const char *key, size_t i)
{
	return json_integer_value(
		json_object_get(json_array_get(json_object_get(doc, key), i), "id"));
}

/* Frees the document. */
static void assert_told(json_t *doc, const char *new, const char *deleted)
{
	assert_string_equal(values(doc, "new"), new);
	assert_string_equal(values(doc, "deleted"), deleted);
	json_decref(doc);
}

static uint64_t here(void)
{
	return fg_crowdsec_sequence(crowdsec);
}

static int set_up(void **state)
{
	(void)state;
	return fg_crowdsec_new(&crowdsec);
}

static int tear_down(void **state)
{
	(void)state;
	fg_crowdsec_free(&crowdsec);
	return crowdsec != NULL;
}

static void test_crowdsec_of_nothing_is_null(void **state)
{
	(void)state;
	assert_told(startup(NOW), "null", "null");
	assert_told(changes(0, NOW), "null", "null");
	assert_int_equal(update(NULL, 0, NOW), 0);
	assert_told(startup(NOW), "null", "null");
}

static void test_crowdsec_tells_what_changed(void **state)
{
	uint64_t at;

	(void)state;
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + H, 1 }, { "192.0.2.2", NOW + H, 2 }), 2);
	assert_told(startup(NOW), "192.0.2.1,192.0.2.2", "null");
	at = here();
	assert_told(changes(at, NOW), "null", "null");
	assert_int_equal(UPDATE(NOW, { "192.0.2.2", NOW + H, 2 }, { "192.0.2.3", NOW + H, 3 }), 2);
	assert_told(changes(at, NOW), "192.0.2.3", "192.0.2.1");
	assert_told(changes(here(), NOW), "null", "null");
	/* the same once more: as long as it did not move on */
	assert_told(changes(at, NOW), "192.0.2.3", "192.0.2.1");
	/* what came and went meanwhile is only deleted, what went and came is both, each once */
	UPDATE(NOW, { "192.0.2.2", NOW + H, 2 });
	UPDATE(NOW, { "192.0.2.1", NOW + H, 4 }, { "192.0.2.2", NOW + H, 2 });
	UPDATE(NOW, { "192.0.2.2", NOW + H, 2 });
	UPDATE(NOW, { "192.0.2.1", NOW + H, 5 }, { "192.0.2.2", NOW + H, 2 });
	assert_told(changes(at, NOW), "192.0.2.1", "192.0.2.1,192.0.2.3");
}

static void test_crowdsec_renews_by_delete_and_add(void **state)
{
	uint64_t at;
	json_t *doc;

	(void)state;
	UPDATE(NOW, { "192.0.2.1", NOW + H, 1 });
	at = here();
	/* less than a tenth of what is left is no change, also bit by bit */
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + H + 200 * S, 1 }), 0);
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + H + 390 * S, 1 }), 0);
	assert_told(changes(at, NOW), "null", "null");
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + H + 410 * S, 1 }), 1);
	at = here();
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + 24 * H, 1 }), 1);
	doc = changes(at, NOW);
	assert_string_equal(field(doc, "new", 0, "duration"), "24h0m0s");
	assert_int_equal(id_of(doc, "new", 0), 1);
	assert_int_equal(id_of(doc, "deleted", 0), 1);
	assert_told(doc, "192.0.2.1", "192.0.2.1");
	/* shorter always is one: nobody stays blocked past the end */
	at = here();
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + 24 * H - S, 1 }), 1);
	assert_told(changes(at, NOW), "192.0.2.1", "192.0.2.1");
	/* another verdict in its place */
	at = here();
	assert_int_equal(UPDATE(NOW, { "192.0.2.1", NOW + 24 * H - S, 7 }), 1);
	doc = changes(at, NOW);
	assert_int_equal(id_of(doc, "deleted", 0), 1);
	assert_int_equal(id_of(doc, "new", 0), 7);
	json_decref(doc);
}

static void test_crowdsec_writes_out_ranges_that_can_be(void **state)
{
	struct fg_crowdsec_counts counts;
	char want[400] = "";
	json_t *doc;

	(void)state;
	for (int i = 0; i < 16; i++)
		sprintf(want + strlen(want), "192.0.2.%d,", 16 + i);
	strcat(want, "192.0.2.64,198.51.100.6,198.51.100.7,2001:db8::1");
	UPDATE(NOW, { "::/64", NOW + H, 9 }, { "192.0.2.16/28", NOW + H, 10 },
	       { "192.0.2.64", NOW + H, 11 }, { "198.51.100.6/31", NOW + H, 12 },
	       { "203.0.113.32/27", NOW + H, 13 }, { "2001:db8::1", NOW + H, 14 },
	       { "2001:db8:1::/64", NOW + H, 15 }, { "2001:db8:2::2/127", NOW + H, 16 });
	doc = startup(NOW);
	assert_int_equal(id_of(doc, "new", 0), 10);
	assert_int_equal(id_of(doc, "new", 16), 11);
	for (size_t i = 0; i < json_array_size(json_object_get(doc, "new")); i++)
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(id_of(doc, "new", i), id_of(doc, "new", k));
	assert_told(doc, want, "null");
	fg_crowdsec_counts(crowdsec, &counts);
	assert_int_equal(counts.decisions, 20);
	assert_int_equal(counts.unexportable, 4);
	/* a range that becomes one of its addresses */
	UPDATE(NOW, { "198.51.100.7", NOW + H, 17 });
	fg_crowdsec_counts(crowdsec, &counts);
	assert_int_equal(counts.decisions, 1);
	assert_int_equal(counts.unexportable, 0);
	assert_int_equal(counts.removed, 19);
	assert_int_equal(counts.renewed, 1);
}

static void test_crowdsec_durations(void **state)
{
	static const struct {
		uint64_t left;
		const char *text;
	} cases[] = {
		{ 0, "1s" },
		{ 1, "1s" },
		{ S - 1, "1s" },
		{ S, "1s" },
		{ S + 500 * 1000000, "1.500s" },
		{ 59 * S, "59s" },
		{ 60 * S, "1m0s" },
		{ 3600 * S, "1h0m0s" },
		{ 4 * H - 1500 * 1000000, "3h59m58.500s" },
		{ 24 * H, "24h0m0s" },
		{ 24 * H + 1, "24h0m0s" },
		{ 100000 * H, "24h0m0s" },
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(fg_crowdsec_duration(NOW + cases[i].left, NOW, buf),
				    cases[i].text);
	assert_string_equal(fg_crowdsec_duration(NOW, NOW + 100 * H, buf), "1s");
	assert_string_equal(fg_crowdsec_duration(UINT64_MAX, 0, buf), "24h0m0s");
}

/* Whatever the clock does, nothing is announced that has ended, and nothing for longer than a day. */
static void test_crowdsec_with_a_clock_that_jumps(void **state)
{
	static const uint64_t clocks[] = { 0,		1,	 NOW - 1000 * H, NOW,
					   NOW + H - 1, NOW + H, NOW + 1000 * H };
	uint64_t at;

	(void)state;
	UPDATE(NOW, { "192.0.2.1", NOW + H, 1 }, { "192.0.2.2", NOW + 2 * H, 2 });
	at = here();
	UPDATE(NOW + S, { "192.0.2.2", NOW + 2 * H, 2 });
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		json_decref(startup(clocks[i]));
		json_decref(changes(0, clocks[i]));
		json_decref(changes(at, clocks[i]));
	}
	assert_told(startup(NOW + 2 * H), "null", "null");
	assert_told(changes(at, NOW + 3 * H), "null", "192.0.2.1");
}

/* A bouncer that begins may find elements of an earlier life: what was taken back before its end. */
static void test_crowdsec_startup_takes_back_what_may_stand(void **state)
{
	(void)state;
	UPDATE(NOW, { "192.0.2.1", NOW + H, 1 }, { "192.0.2.2", NOW + H, 2 },
	       { "192.0.2.3", NOW + 9 * H, 3 });
	UPDATE(NOW + S, { "192.0.2.2", NOW + 9 * H, 2 }, { "192.0.2.3", NOW + 9 * H, 3 });
	assert_told(startup(NOW + 2 * S), "192.0.2.2,192.0.2.3", "192.0.2.1,192.0.2.2");
	/* what it was told has ended by itself */
	assert_told(startup(NOW + 2 * H), "192.0.2.2,192.0.2.3", "null");
}

static void test_crowdsec_refreshes_in_slices(void **state)
{
	struct fg_crowdsec_ask ask = { .refresh_to = 2 };

	(void)state;
	UPDATE(NOW, { "192.0.2.1", NOW + H, 1 }, { "192.0.2.2", NOW + H, 2 },
	       { "192.0.2.3", NOW + H, 3 });
	ask.after = here();
	assert_told(stream(&ask, NOW), "192.0.2.1,192.0.2.2", "192.0.2.1,192.0.2.2");
	ask.refresh_after = 2;
	ask.refresh_to = 3;
	/* with what changed meanwhile, each address once */
	UPDATE(NOW, { "192.0.2.2", NOW + 9 * H, 2 }, { "192.0.2.3", NOW + H, 3 });
	assert_told(stream(&ask, NOW), "192.0.2.2,192.0.2.3", "192.0.2.1,192.0.2.2,192.0.2.3");
	ask.refresh_after = 3;
	ask.after = here();
	assert_told(stream(&ask, NOW), "null", "null");
}

/* However many changes lie between them, a slice has so many decisions. */
static void test_crowdsec_slices_count_decisions(void **state)
{
	(void)state;
	assert_int_equal(fg_crowdsec_slice(crowdsec, 0, 2), 0);
	UPDATE(NOW, { "192.0.2.1", NOW + H, 1 });
	for (int i = 0; i < 10; i++)
		UPDATE(NOW, { "192.0.2.1", NOW + H, 1 },
		       { "192.0.2.2", NOW + (i % 2 ? 2 : 4) * H, 2 });
	UPDATE(NOW, { "192.0.2.1", NOW + H, 1 }, { "192.0.2.2", NOW + 2 * H, 2 },
	       { "192.0.2.3", NOW + H, 3 });
	assert_int_equal(here(), 21);
	assert_int_equal(fg_crowdsec_slice(crowdsec, 0, 1), 1);
	assert_int_equal(fg_crowdsec_slice(crowdsec, 1, 1), 20);
	assert_int_equal(fg_crowdsec_slice(crowdsec, 0, 2), 20);
	assert_int_equal(fg_crowdsec_slice(crowdsec, 20, 1), 21);
	assert_int_equal(fg_crowdsec_slice(crowdsec, 0, 100), 21);
	assert_int_equal(fg_crowdsec_slice(crowdsec, 21, 1), 21);
}

static struct fg_export_set *many(size_t n, uint32_t first, int64_t id)
{
	struct fg_export_set *set = new_set(n);

	for (; set->n < n; set->n++) {
		struct fg_export_item *item = &set->items[set->n];
		uint32_t at = first + (uint32_t)set->n;
		const uint8_t addr[16] = { [10] = 0xff,		0xff,
					   (uint8_t)(at >> 24), (uint8_t)(at >> 16),
					   (uint8_t)(at >> 8),	(uint8_t)at };

		memcpy(item->addr, addr, 16);
		item->bits = 128;
		item->until_ns = NOW + 24 * H;
		item->verdict = id + (int64_t)set->n;
	}
	return set;
}

/* Removals are forgotten when there are too many, additions never. */
static void test_crowdsec_of_a_bouncer_long_away(void **state)
{
	const size_t n = 100000;
	struct fg_crowdsec_counts counts;
	struct fg_export_set *set;
	json_t *doc;

	(void)state;
	UPDATE(NOW, { "9.9.9.9", NOW + H, 9 });
	for (int i = 0; i < 4; i++) {
		set = many(n, (uint32_t)(10 + i) << 24, 1 + i * (int64_t)n);
		assert_int_equal(fg_crowdsec_update(crowdsec, set, NOW), i ? 2 * n : n + 1);
		fg_export_set_unref(&set);
	}
	fg_crowdsec_counts(crowdsec, &counts);
	assert_int_equal(counts.remembered, FG_CROWDSEC_MAX_REMOVED);
	assert_int_equal(counts.removed, 3 * n + 1);
	doc = changes(1, NOW);
	assert_int_equal(json_array_size(json_object_get(doc, "new")), n);
	assert_string_equal(field(doc, "new", 0, "value"), "13.0.0.0");
	assert_int_equal(json_array_size(json_object_get(doc, "deleted")), FG_CROWDSEC_MAX_REMOVED);
	json_decref(doc);
	doc = changes(here() - 1, NOW);
	assert_int_equal(json_array_size(json_object_get(doc, "new")), 1);
	json_decref(doc);
}

static void test_crowdsec_holds_no_more_than_a_set_does(void **state)
{
	struct fg_export_set *set = many(17000, 10U << 24, 1);
	struct fg_crowdsec_counts counts;

	(void)state;
	for (size_t i = 0; i < set->n; i++) {
		struct fg_export_item *item = &set->items[i];
		const uint32_t at = (10U << 24) + 16 * (uint32_t)i;

		item->bits = 124;
		item->addr[13] = (uint8_t)(at >> 16);
		item->addr[14] = (uint8_t)(at >> 8);
		item->addr[15] = (uint8_t)at;
	}
	assert_int_equal(fg_crowdsec_update(crowdsec, set, NOW), FG_CROWDSEC_MAX_DECISIONS);
	fg_crowdsec_counts(crowdsec, &counts);
	assert_int_equal(counts.decisions, FG_CROWDSEC_MAX_DECISIONS);
	assert_int_equal(counts.unexportable, 17000 - FG_CROWDSEC_MAX_DECISIONS / 16);
	fg_export_set_unref(&set);
}

/* --- One client -------------------------------------------------------------------------------- */

static void assert_lookup(const char *asked, const char *want, uint64_t now_ns)
{
	char *text = NULL, got[128] = "null";
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	uint8_t addr[16], bits;
	json_t *doc, *one;

	assert_int_equal(fg_ip_parse(asked, addr, &bits), 0);
	assert_int_equal(fg_crowdsec_lookup(out, crowdsec, addr, bits, now_ns), 0);
	fclose(out);
	doc = json_loadb(text, n, JSON_DECODE_ANY, NULL);
	assert_non_null(doc);
	one = json_array_get(doc, 0);
	if (one)
		snprintf(got, sizeof(got), "%s %s %lld",
			 json_string_value(json_object_get(one, "scope")),
			 json_string_value(json_object_get(one, "value")),
			 (long long)json_integer_value(json_object_get(one, "id")));
	assert_string_equal(got, want);
	json_decref(doc);
	free(text);
}

static void test_crowdsec_looks_one_client_up(void **state)
{
	(void)state;
	assert_lookup("192.0.2.1", "null", NOW);
	UPDATE(NOW, { "::/64", NOW + H, 1 }, { "192.0.2.1", NOW + H, 2 },
	       { "198.51.0.0/16", NOW + H, 3 }, { "2001:db8:1::/64", NOW + H, 4 });
	assert_lookup("192.0.2.1", "Ip 192.0.2.1 2", NOW);
	assert_lookup("192.0.2.0", "null", NOW);
	assert_lookup("192.0.2.2", "null", NOW);
	assert_lookup("198.51.255.255", "Ip 198.51.255.255 3", NOW);
	assert_lookup("198.51.7.0/24", "Range 198.51.7.0/24 3", NOW);
	assert_lookup("198.50.0.0/15", "null", NOW);
	assert_lookup("198.52.0.0", "null", NOW);
	assert_lookup("2001:db8:1::77", "Ip 2001:db8:1::77 4", NOW);
	assert_lookup("2001:db8:1:1::77", "null", NOW);
	/* IPv4 is written inside ::/64, and is not part of it; what lies behind it in order is */
	assert_lookup("10.0.0.1", "null", NOW);
	assert_lookup("::1", "Ip ::1 1", NOW);
	assert_lookup("::fffe:0:0:1", "Ip ::fffe:0:0:1 1", NOW);
	/* ended, and about to go */
	assert_lookup("192.0.2.1", "null", NOW + H);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_crowdsec_of_nothing_is_null),
		TEST(test_crowdsec_tells_what_changed),
		TEST(test_crowdsec_renews_by_delete_and_add),
		TEST(test_crowdsec_writes_out_ranges_that_can_be),
		TEST(test_crowdsec_durations),
		TEST(test_crowdsec_with_a_clock_that_jumps),
		TEST(test_crowdsec_startup_takes_back_what_may_stand),
		TEST(test_crowdsec_refreshes_in_slices),
		TEST(test_crowdsec_slices_count_decisions),
		TEST(test_crowdsec_of_a_bouncer_long_away),
		TEST(test_crowdsec_holds_no_more_than_a_set_does),
		TEST(test_crowdsec_looks_one_client_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
