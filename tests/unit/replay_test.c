/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent/replay.c over captures whose clock does what it should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/replay.h"
#include "capture.h"
#include "connection.h"
#include "hello_build.h"

#define S	  1000000000ULL
#define START	  1777593600000000000ULL
#define DAY	  (24 * 3600 * S)
#define N_CLIENTS 30

static struct fg_conf conf;
static struct fg_core core;
static char path[64];

/* Where frames go, and how far their clock is off from now on. */
static struct {
	struct fg_dump *dump;
	int64_t off_ns;
	uint64_t frames;
} out;

static void emit(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)ctx;
	fg_dump_write(out.dump, time_ns + (uint64_t)out.off_ns, frame, len);
	out.frames++;
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	fg_conf_init(&conf);
	strcpy(path, "/tmp/farmgate-replay.XXXXXX");
	fd = mkstemp(path);
	memset(&out, 0, sizeof(out));
	return fd < 0 || close(fd) || fg_dump_open(path, FG_LINK_ETHERNET, 1000, 0, &out.dump);
}

static int tear_down(void **state)
{
	(void)state;
	fg_core_close(&core);
	fg_conf_done(&conf);
	return unlink(path);
}

/* One connection of each client, from this moment on. */
static void connect_all(uint64_t start_ns)
{
	static uint8_t stream[FG_SEGMENT_MAX_BYTES];
	struct fg_hello_desc d;
	size_t n;

	fg_hello_tool(&d, "api.example.com");
	n = fg_hello_stream(&d, stream, sizeof(stream));
	for (uint32_t i = 0; i < N_CLIENTS; i++) {
		struct fg_conn c;
		char addr[32];

		snprintf(addr, sizeof(addr), "10.0.1.%u", i);
		fg_conn_init(&c, fg_end_of(addr, (uint16_t)(40000 + start_ns / S % 9999)),
			     fg_end_of("192.0.2.1", 443), start_ns + i * S, emit, NULL);
		c.hello = stream;
		c.hello_len = n;
		c.end = FG_CONN_FIN;
		fg_conn_run(&c);
		fg_conn_done(&c);
	}
}

/* The report of a replay, which must have come through. */
static json_t *replayed(void)
{
	struct fg_replay_conf rc = { .path = path,
				     .engine = &fg_engine_host,
				     .table_bytes = 8 << 20 };
	char why[256] = "", *text = NULL;
	size_t n = 0;
	json_t *doc;
	FILE *f;

	assert_true(fg_dump_close(out.dump) == (long)out.frames);
	assert_int_equal(fg_core_open(&core, &conf, NULL, 0, why, sizeof(why)), 0);
	if (fg_replay(&core, &rc, why, sizeof(why)))
		fail_msg("%s", why);
	f = open_memstream(&text, &n);
	assert_int_equal(fg_core_report(&core, f, true), 0);
	fclose(f);
	doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	free(text);
	return doc;
}

static json_int_t number(const json_t *doc, const char *key)
{
	return json_integer_value(json_object_get(doc, key));
}

static void expect(json_t *doc, json_int_t connections, bool some_back, bool says)
{
	const json_t *degraded = json_object_get(doc, "degraded");
	json_int_t back = number(json_object_get(doc, "events"), "clock_back");

	assert_int_equal(number(doc, "packets"), out.frames);
	assert_int_equal(number(doc, "connections"), connections);
	assert_int_equal(number(doc, "proven"), connections);
	assert_int_equal(number(doc, "hellos"), connections);
	assert_int_equal(json_array_size(json_object_get(doc, "flagged")), 0);
	if (some_back != (back > 0))
		fail_msg("%lld frames went back", (long long)back);
	assert_int_equal(json_array_size(degraded), says);
	if (says)
		assert_non_null(strstr(json_string_value(json_array_get(degraded, 0)),
				       "older than one before them"));
	json_decref(doc);
}

static void test_replay_of_an_honest_clock(void **state)
{
	(void)state;
	connect_all(START);
	connect_all(START + 60 * S);
	expect(replayed(), 2 * N_CLIENTS, false, false);
}

static void test_replay_jumps_forwards_by_a_day_and_a_year(void **state)
{
	(void)state;
	connect_all(START);
	out.off_ns = (int64_t)DAY;
	connect_all(START + 60 * S);
	out.off_ns = (int64_t)(365 * DAY);
	connect_all(START + 120 * S);
	expect(replayed(), 3 * N_CLIENTS, false, false);
}

/* An hour too early from the middle on: counted, said, and every connection is there. */
static void test_replay_goes_back_by_an_hour(void **state)
{
	(void)state;
	connect_all(START);
	out.off_ns = -(int64_t)(3600 * S);
	connect_all(START + 60 * S);
	expect(replayed(), 2 * N_CLIENTS, true, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_replay_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(of_an_honest_clock),
		TEST(jumps_forwards_by_a_day_and_a_year),
		TEST(goes_back_by_an_hour),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
