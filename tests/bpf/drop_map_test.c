/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The XDP target on real drop maps: differences only, what cannot be held by name, an earlier agent's
 * entries, and connections that are ended where the target was told to. */
#include <errno.h>

#include "export/xdp.h"
#include "lib/ip.h"
#include "live.h"

LIVE_SETUP(FG_ROLE_TRANSIT)

#define NOW_NS	 1800000000000000000ULL
#define UNTIL_NS (NOW_NS + 3600000000000ULL)

static struct fg_export_set *new_set(size_t room)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	atomic_init(&set->refs, 1);
	set->items = calloc(room + 1, sizeof(*set->items));
	set->clients = calloc(room + 1, sizeof(*set->clients));
	assert_non_null(set->items);
	assert_non_null(set->clients);
	return set;
}

static void add(struct fg_export_set *set, const char *prefix)
{
	struct fg_export_item *item = &set->items[set->n++];

	assert_int_equal(fg_ip_parse(prefix, item->addr, &item->bits), 0);
	item->until_ns = UNTIL_NS;
}

static int apply(struct fg_xdp *x, const struct fg_export_set *set)
{
	char why[256] = "";
	int r = fg_xdp_apply(x, set, NOW_NS, why, sizeof(why));

	if (r < 0)
		print_message("%s\n", why);
	return r;
}

static struct fg_xdp *new_target(bool established)
{
	const struct fg_xdp_conf conf = { .established = established };
	struct fg_xdp *x = NULL;

	assert_int_equal(fg_xdp_new(live.sensor, &conf, &x), 0);
	return x;
}

static int count_one(void *arg, const struct fg_gate_key *key, const struct fg_block *block)
{
	(void)key;
	(void)block;
	++*(size_t *)arg;
	return 0;
}

static size_t n_entries(void)
{
	size_t n = 0;

	assert_int_equal(fg_sensor_gate_each(live.sensor, count_one, &n), 0);
	return n;
}

static void test_drop_map_is_changed_by_differences(void **state)
{
	struct fg_xdp *x = new_target(false);
	struct fg_export_set *set = new_set(25010);

	(void)state;
	for (uint32_t i = 0; i < 25000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		add(set, text);
	}
	add(set, "192.0.2.0/24");
	add(set, "2001:db8::/48");
	add(set, "2001:db8:1:2::/64");
	set->clients[0] = (struct fg_export_client){ .stem = 7, .until_ns = UNTIL_NS };
	memcpy(set->clients[0].addr, set->items[0].addr, 16);
	set->n_clients = 1;
	assert_int_equal(apply(x, set), 25004);
	assert_int_equal(n_entries(), 25004);
	assert_int_equal(apply(x, set), 0);
	set->items[0].until_ns += 1000000000;
	assert_int_equal(apply(x, set), 1);
	/* the clock was set: once */
	fg_xdp_forget_ends(x);
	assert_int_equal(apply(x, set), 25004);
	assert_int_equal(apply(x, set), 0);
	set->n -= 3;
	set->n_clients = 0;
	assert_int_equal(apply(x, set), 4);
	assert_int_equal(n_entries(), 25000);
	assert_int_equal(fg_sensor_tables(live.sensor)->meta->lengths4, 0);
	assert_int_equal(fg_xdp_unexportable(x), 0);
	fg_export_set_unref(&set);
	fg_xdp_free(&x);
}

static void test_drop_map_says_what_it_cannot_hold(void **state)
{
	static const char *const lengths[] = { "10.0.0.0/9",  "11.0.0.0/10", "12.0.0.0/11",
					       "13.0.0.0/12", "14.0.0.0/13", "15.0.0.0/14",
					       "16.0.0.0/15", "17.0.0.0/16", "18.0.0.0/17" };
	struct fg_xdp *x = new_target(false);
	struct fg_export_set *set = new_set(32);
	uint64_t left[_FG_XDP_LEFT_MAX];
	char text[256];

	(void)state;
	add(set, "64.0.0.0/7");
	add(set, "2000::/15");
	add(set, "2001:db8::/65");
	add(set, "2001:db8::1");
	for (size_t i = 0; i < 9; i++)
		add(set, lengths[i]);
	assert_int_equal(apply(x, set), 8);
	fg_xdp_left_over(x, left);
	assert_int_equal(left[FG_XDP_TOO_WIDE], 2);
	assert_int_equal(left[FG_XDP_TOO_NARROW], 2);
	assert_int_equal(left[FG_XDP_LENGTHS], 1);
	assert_int_equal(left[FG_XDP_FULL], 0);
	assert_int_equal(fg_xdp_unexportable(x), 5);
	assert_string_equal(fg_xdp_left_text(x, text, sizeof(text)),
			    "2 wider than an IPv4 /8 or an IPv6 /16; 2 part of an IPv6 /64; "
			    "1 of more prefix lengths than it holds at once");
	/* the length of most blocks comes before the longer one */
	add(set, "19.0.0.0/9");
	assert_int_equal(apply(x, set), 3);
	fg_xdp_left_over(x, left);
	assert_int_equal(left[FG_XDP_LENGTHS], 1);
	assert_int_equal(fg_sensor_tables(live.sensor)->meta->lengths4 >> 56, 96 + 9);
	fg_export_set_unref(&set);
	fg_xdp_free(&x);
}

/* A full map is said once for all that does not fit, and what is in it stays. */
static void test_drop_map_may_be_full(void **state)
{
	struct fg_xdp *x = new_target(false);
	struct fg_export_set *set = new_set(FG_DROP_ENTRIES + 2000);
	uint64_t left[_FG_XDP_LEFT_MAX];

	(void)state;
	for (uint32_t i = 0; i < FG_DROP_ENTRIES + 1000; i++) {
		struct fg_export_item *item = &set->items[set->n++];

		fg_ip_parse("10.0.0.0", item->addr, &item->bits);
		item->addr[13] = (uint8_t)(i >> 16);
		item->addr[14] = (uint8_t)(i >> 8);
		item->addr[15] = (uint8_t)i;
		item->until_ns = UNTIL_NS;
	}
	add(set, "192.0.2.0/24");
	assert_true(apply(x, set) > 0);
	fg_xdp_left_over(x, left);
	/* the kernel counts the entries of each CPU apart, in batches */
	assert_in_range(left[FG_XDP_FULL], 500, 1000);
	assert_int_equal(n_entries() + left[FG_XDP_FULL], set->n);
	assert_int_equal(fg_sensor_tables(live.sensor)->meta->lengths4, 120);
	assert_int_equal(apply(x, set), 0);
	fg_export_set_unref(&set);
	fg_xdp_free(&x);
}

/* What an earlier agent left there is kept where it is wanted, and taken out where not. */
static void test_drop_map_takes_over(void **state)
{
	struct fg_xdp *x = new_target(false);
	struct fg_export_set *set = new_set(4);

	(void)state;
	add(set, "192.0.2.0/24");
	add(set, "198.51.100.7");
	assert_int_equal(apply(x, set), 2);
	fg_xdp_free(&x);
	x = new_target(false);
	set->n = 1;
	assert_int_equal(apply(x, set), 2); /* one renewed, one removed */
	assert_int_equal(n_entries(), 1);
	assert_int_equal(apply(x, set), 0);
	set->n = 0;
	assert_int_equal(apply(x, set), 1);
	assert_int_equal(fg_sensor_tables(live.sensor)->meta->lengths4, 0);
	fg_export_set_unref(&set);
	fg_xdp_free(&x);
}

static void test_drop_map_tells_hits(void **state)
{
	struct fg_xdp *x = new_target(false);
	struct fg_export_set *set = new_set(4);
	uint64_t hits = 99, last_ns = 99;
	struct fg_conn c;

	(void)state;
	add(set, "192.0.2.0/24");
	assert_int_equal(apply(x, set), 1);
	assert_int_equal(fg_xdp_hits(x, set->items[0].addr, 120, 0, 0, NOW_NS, &hits, &last_ns), 0);
	assert_int_equal(hits, 0);
	assert_int_equal(last_ns, 0);
	c = live_conn("192.0.2.9", 40000, live_emit);
	fg_conn_syn(&c);
	fg_conn_syn(&c);
	fg_conn_done(&c);
	assert_int_equal(fg_xdp_hits(x, set->items[0].addr, 120, 0, 0, NOW_NS, &hits, &last_ns), 0);
	assert_int_equal(hits, 2);
	assert_in_range(last_ns, NOW_NS - 3600000000000ULL, NOW_NS);
	assert_int_equal(fg_xdp_hits(x, set->items[0].addr, 120, 7, 0, NOW_NS, &hits, &last_ns),
			 -ENOENT);
	assert_int_equal(fg_xdp_hits(x, set->items[0].addr, 128, 0, 0, NOW_NS, &hits, &last_ns),
			 -ENOENT);
	fg_export_set_unref(&set);
	fg_xdp_free(&x);
}

/* Told to, a new block also ends what is established, and only that. */
static void established(bool told)
{
	struct fg_xdp *x = new_target(told);
	struct fg_export_set *set = new_set(4);
	static uint8_t hello[FG_HELLO_BUILD_MAX];
	struct fg_conn c[2];
	struct fg_hello_desc d;

	fg_hello_tool(&d, "api.example.com");
	for (size_t i = 0; i < 2; i++) {
		c[i] = live_conn(i ? "192.0.3.1" : "192.0.2.1", 40000, live_emit);
		c[i].hello = hello;
		c[i].hello_len = fg_hello_stream(&d, hello, sizeof(hello));
		fg_conn_open(&c[i]);
		fg_conn_hello(&c[i]);
	}
	add(set, "192.0.2.0/24");
	assert_int_equal(apply(x, set), 1);
	fg_conn_send(&c[0], (const uint8_t *)"0123456789", 10);
	assert_int_equal(live.action, told ? XDP_DROP : XDP_PASS);
	fg_conn_send(&c[1], (const uint8_t *)"0123456789", 10);
	assert_int_equal(live.action, XDP_PASS);
	assert_int_equal(LIVE_EVENT(late_block), told ? 1 : 0);
	fg_conn_done(&c[0]);
	fg_conn_done(&c[1]);
	fg_export_set_unref(&set);
	fg_xdp_free(&x);
}

static void test_drop_map_ends_connections_when_told(void **state)
{
	(void)state;
	established(true);
}

static void test_drop_map_ends_no_connection_by_itself(void **state)
{
	(void)state;
	established(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_drop_map_is_changed_by_differences),
		LIVE_TEST(test_drop_map_says_what_it_cannot_hold),
		LIVE_TEST(test_drop_map_may_be_full),
		LIVE_TEST(test_drop_map_takes_over),
		LIVE_TEST(test_drop_map_tells_hits),
		LIVE_TEST(test_drop_map_ends_connections_when_told),
		LIVE_TEST(test_drop_map_ends_no_connection_by_itself),
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
