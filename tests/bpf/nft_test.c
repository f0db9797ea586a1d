/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live nft target against the kernel, in a network namespace of its own. Needs root. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "export/nft.h"
#include "lib/ip.h"

#define S	 1000000000ULL
#define LIST_SET "nft list set inet farmgate "

static const uint16_t ports[] = { 443, 8443 };
static const struct fg_export_conf conf = { ports, 2, false };
static struct fg_nft *nft;
static struct fg_export_set set;
static struct fg_export_item items[270000];
static char why[256];

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * S + (uint64_t)ts.tv_nsec;
}

static int set_up(void **arg)
{
	(void)arg;
	set = (struct fg_export_set){ .items = items };
	/* a namespace for each test: nothing of the one before is left */
	return unshare(CLONE_NEWNET) || fg_nft_new(&conf, &nft);
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_nft_free(&nft);
	return 0;
}

/* Callers add in the order of addresses. */
static void add(const char *prefix, uint64_t ttl_s)
{
	struct fg_export_item *item = &items[set.n++];

	assert_int_equal(fg_ip_parse(prefix, item->addr, &item->bits), 0);
	/* half a second to get there */
	item->until_ns = now() + ttl_s * S + S / 2;
}

static int apply(void)
{
	int r = fg_nft_apply(nft, &set, now(), why, sizeof(why));

	if (r < 0)
		fail_msg("%s", why);
	return r;
}

static int check(bool full)
{
	return fg_nft_check(nft, full, why, sizeof(why));
}

static int run(const char *command)
{
	return system(command);
}

/* Is it in that set's listing? The listing has to work. */
static bool holds(const char *name, const char *element)
{
	char command[128], line[4096];
	bool found = false;
	FILE *out;

	snprintf(command, sizeof(command), LIST_SET "%s", name);
	out = popen(command, "r");
	assert_non_null(out);
	while (fgets(line, sizeof(line), out))
		if (strstr(line, element))
			found = true;
	assert_int_equal(pclose(out), 0);
	return found;
}

static void add_one_of_each(void)
{
	add("192.0.2.1", 600);
	add("198.51.100.0/24", 600);
	add("2001:db8:1:2::/64", 600);
	add("2001:db8:3::/48", 600);
}

static void test_nft_writes_the_whole_table_first(void **arg)
{
	(void)arg;
	assert_int_equal(check(false), 1);
	add_one_of_each();
	assert_true(apply() > 0);
	assert_true(holds("blocked4", "192.0.2.1 timeout 10m"));
	assert_true(holds("ranges4", "198.51.100.0/24 timeout 10m"));
	assert_true(holds("blocked6", "2001:db8:1:2:: timeout 10m"));
	assert_true(holds("ranges6", "2001:db8:3::/48 timeout 10m"));
	assert_int_equal(check(false), 0);
	assert_int_equal(check(true), 0);
	assert_int_equal(apply(), 0);
}

static void test_nft_loading_the_document_twice_is_once(void **arg)
{
	char file[] = "/tmp/fg-nft-XXXXXX", command[64];
	int fd = mkstemp(file);
	FILE *out = fdopen(fd, "w");

	(void)arg;
	add_one_of_each();
	assert_int_equal(fg_export_nft(out, &set, &conf, now()), 0);
	fclose(out);
	snprintf(command, sizeof(command), "nft -f %s", file);
	assert_int_equal(run(command), 0);
	assert_int_equal(run("nft -s list ruleset >/tmp/fg-nft-once"), 0);
	assert_int_equal(run(command), 0);
	assert_int_equal(run("nft -s list ruleset | sed 's/expires [0-9a-z]*//' >/tmp/fg-nft-twice;"
			     "sed -i 's/expires [0-9a-z]*//' /tmp/fg-nft-once;"
			     "cmp /tmp/fg-nft-once /tmp/fg-nft-twice"),
			 0);
	remove("/tmp/fg-nft-once");
	remove("/tmp/fg-nft-twice");
	remove(file);
}

static void test_nft_applies_differences(void **arg)
{
	(void)arg;
	add_one_of_each();
	apply();
	/* one is gone, one is new, one moves much, one moves little */
	set.n = 0;
	add("192.0.2.7", 600);
	add("198.51.100.0/24", 3600);
	add("2001:db8:1:2::/64", 610);
	assert_int_equal(apply(), 4);
	assert_false(holds("blocked4", "192.0.2.1 "));
	assert_true(holds("blocked4", "192.0.2.7 timeout"));
	assert_true(holds("ranges4", "198.51.100.0/24 timeout 59m") ||
		    holds("ranges4", "198.51.100.0/24 timeout 1h"));
	assert_true(holds("blocked6", "2001:db8:1:2:: timeout 9m") ||
		    holds("blocked6", "2001:db8:1:2:: timeout 10m"));
	assert_false(holds("ranges6", "2001"));
	assert_int_equal(check(true), 0);
	/* a wider prefix takes the place of what lay inside it */
	set.n = 0;
	add("192.0.2.0/24", 600);
	add("198.51.0.0/16", 600);
	assert_true(apply() > 0);
	assert_true(holds("ranges4", "198.51.0.0/16"));
	assert_false(holds("blocked4", "192.0.2.7"));
	assert_int_equal(check(true), 0);
}

static void test_nft_notices_a_flushed_ruleset(void **arg)
{
	(void)arg;
	add_one_of_each();
	apply();
	assert_int_equal(run("nft flush ruleset"), 0);
	assert_int_equal(check(false), 1);
	assert_non_null(strstr(why, "gone"));
	assert_true(apply() > 0);
	assert_true(holds("blocked4", "192.0.2.1"));
	assert_int_equal(check(true), 0);
}

static void test_nft_notices_what_a_stranger_changed(void **arg)
{
	static const char *const changes[] = {
		"nft delete element inet farmgate blocked4 '{ 192.0.2.1 }'",
		"nft add element inet farmgate blocked4 '{ 203.0.113.9 timeout 1h }'",
		"nft flush chain inet farmgate prerouting",
		"nft flush set inet farmgate ranges6",
		/* a set of our name with another type */
		"nft 'delete table inet farmgate; add table inet farmgate;"
		" add set inet farmgate blocked4 { type ipv6_addr; flags timeout; }'",
	};

	(void)arg;
	add_one_of_each();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		apply();
		assert_int_equal(check(true), 0);
		assert_int_equal(run(changes[i]), 0);
		if (check(true) != 1)
			fail_msg("not noticed: %s", changes[i]);
	}
	apply();
	assert_int_equal(check(true), 0);
	assert_false(holds("blocked4", "203.0.113.9"));
}

static void test_nft_recovers_from_a_refused_batch(void **arg)
{
	(void)arg;
	add("192.0.2.1", 600);
	apply();
	assert_int_equal(run("nft flush ruleset"), 0);
	add("192.0.2.2", 600);
	assert_true(fg_nft_apply(nft, &set, now(), why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "nft: "));
	assert_true(apply() > 0);
	assert_true(holds("blocked4", "192.0.2.2"));
}

static bool is_gone(const char *element)
{
	/* the kernel's clock decides, ours only gives up */
	for (int i = 0; i < 200; i++) {
		const struct timespec step = { .tv_nsec = 50000000 };

		if (!holds("blocked4", element))
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

static void test_nft_elements_end_without_us(void **arg)
{
	(void)arg;
	add("192.0.2.1", 2);
	add("192.0.2.2", 600);
	apply();
	assert_true(is_gone("192.0.2.1 "));
	assert_true(holds("blocked4", "192.0.2.2"));
	/* removing what the kernel has dropped already must not spoil the batch */
	items[0] = items[1];
	set.n = 1;
	add("192.0.2.3", 600);
	assert_int_equal(apply(), 2);
	assert_true(holds("blocked4", "192.0.2.3"));
	assert_int_equal(check(true), 0);
}

static void test_nft_matches_udp_by_option(void **arg)
{
	static const struct fg_export_conf with_udp = { ports, 2, true };

	(void)arg;
	add("192.0.2.1", 600);
	apply();
	assert_int_equal(run("nft list table inet farmgate | grep -q 'udp dport'"), 256);
	fg_nft_free(&nft);
	assert_int_equal(fg_nft_new(&with_udp, &nft), 0);
	apply();
	assert_int_equal(run("test $(nft list table inet farmgate | grep -c 'udp dport') = 4"), 0);
	assert_int_equal(check(true), 0);
}

/* Sets grow beyond what they were made for. */
static void test_nft_makes_room(void **arg)
{
	char source[32];

	(void)arg;
	for (unsigned int i = 0; i < 270000; i++) {
		if (i == 20000)
			apply();
		snprintf(source, sizeof(source), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		add(source, 3600);
	}
	assert_true(apply() >= 250000);
	set.n--;
	assert_int_equal(apply(), 1);
	assert_int_equal(check(false), 0);
}

/* What has ended costs no batch, and for a moment may still be there. */
static void test_nft_tells_nothing_of_what_ended(void **arg)
{
	(void)arg;
	add("192.0.2.1", 1);
	add("192.0.2.2", 600);
	apply();
	assert_true(is_gone("192.0.2.1 "));
	/* the kernel ends it on the second, which is a little sooner */
	while (now() < items[0].until_ns)
		usleep(10000);
	items[0] = items[1];
	set.n = 1;
	assert_int_equal(apply(), 0);
	assert_int_equal(check(true), 0);
}

static void test_nft_holds_many(void **arg)
{
	char source[32];

	(void)arg;
	for (unsigned int i = 0; i < 25000; i++) {
		snprintf(source, sizeof(source), "10.0.%u.%u", i >> 8, i & 255);
		add(source, 3600);
	}
	assert_int_equal(apply(), 25001);
	assert_int_equal(check(true), 0);
	set.n--;
	assert_int_equal(apply(), 1);
	assert_int_equal(check(true), 0);
	assert_false(holds("blocked4", "10.0.97.167 "));
	assert_true(holds("blocked4", "10.0.97.166 "));
}

static void test_nft_removes_its_table_only(void **arg)
{
	(void)arg;
	assert_int_equal(run("nft add table inet other"), 0);
	add("192.0.2.1", 600);
	apply();
	assert_int_equal(fg_nft_remove(nft, why, sizeof(why)), 0);
	assert_int_equal(fg_nft_remove(nft, why, sizeof(why)), 0);
	assert_int_not_equal(run("nft list table inet farmgate 2>/dev/null"), 0);
	assert_int_equal(run("nft list table inet other >/dev/null"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_nft_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(writes_the_whole_table_first),
		T(loading_the_document_twice_is_once),
		T(applies_differences),
		T(notices_a_flushed_ruleset),
		T(notices_what_a_stranger_changed),
		T(recovers_from_a_refused_batch),
		T(elements_end_without_us),
		T(holds_many),
		T(matches_udp_by_option),
		T(makes_room),
		T(tells_nothing_of_what_ended),
		T(removes_its_table_only),
	};

	if (system("PATH=$PATH:/usr/sbin; nft --version >/dev/null 2>&1")) {
		print_message("needs nft\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
