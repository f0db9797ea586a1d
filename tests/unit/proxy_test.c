/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * farmgate/proxy.h through an engine: a balancer's connection counts for the client in its PROXY header,
 * and for nobody where there is none; a header of anybody else names nobody. What a line says of an
 * address is what inet_pton() says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "hello_build.h"
#include "source/platform_host.h"
#include "whole_frame.h"

#ifndef ENGINE
#define ENGINE	   fg_engine_host
#define FORCE_LOOP false
#define CUT_STEP   1 /* bytes from cut to cut; each is an engine of its own */
#endif

#define START_NS 1777593600000000000ULL
#define BALANCER "203.0.113.8"
#define SERVER	 "198.51.100.1"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void *engine;
static struct fg_totals totals;
static uint64_t frames, samples, now_ns;
static struct fg_sample last;

static void take_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	samples++;
	last = *sample;
}

/* balancer: who may send a header; NULL = nobody. */
static void open_engine(const char *balancer)
{
	struct fg_engine_conf conf = { .table_bytes = 4 << 20,
				       .force_loop = FORCE_LOOP,
				       .on_sample = take_sample };
	char why[256];

	conf.config.seed[0] = 7;
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	conf.config.volume = 1;
	conf.config.sample_all = 1;
	if (balancer) {
		memcpy(conf.config.balancers[0].addr, fg_end_of(balancer, 0).addr, 16);
		conf.config.balancers[0].bits = 128;
		conf.config.n_balancers = 1;
	}
	frames = samples = 0;
	memset(&totals, 0, sizeof(totals));
	now_ns = START_NS;
	if (ENGINE.open(&conf, &engine, why, sizeof(why)))
		fail_msg("%s", why);
}

static void close_engine(void)
{
	ENGINE.close(engine);
	engine = NULL;
}

static void feed(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct fg_capture_frame f = fg_whole_frame(time_ns, frame, len);

	(void)ctx;
	frames++;
	assert_int_equal(ENGINE.frame(engine, &f), 0);
}

static void take_totals(void)
{
	uint64_t sum = 0;

	assert_int_equal(ENGINE.drain(engine), 0);
	assert_int_equal(ENGINE.totals(engine, &totals), 0);
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += totals.frames[i];
	assert_int_equal(sum, frames);
}

/* The row of a source; NULL where it has none. */
static const struct fg_source *source_of(const char *text)
{
	const struct fg_tables *t = ENGINE.tables(engine);
	struct fg_end end = fg_end_of(text, 0);

	if (!fg_end_is4(&end))
		memset(end.addr + 8, 0, 8);
	for (uint32_t i = 0; i < t->n_sources; i++)
		for (int way = 0; way < FG_WAYS; way++)
			if (t->sources[i].tag[way] > FG_TAG_BUSY &&
			    !memcmp(t->sources[i].row[way].addr, end.addr, 16))
				return &t->sources[i].row[way];
	return NULL;
}

/* --- Connections ------------------------------------------------------------------------------ */

static uint8_t stream[4096];
static size_t stream_len;
static uint16_t next_port;

/* A stream that begins with these bytes and goes on with a hello. */
static void put_stream(const void *header, size_t n)
{
	struct fg_hello_desc d;

	memcpy(stream, header, n);
	fg_hello_tool(&d, "api.example.com");
	stream_len = n + fg_hello_stream(&d, stream + n, sizeof(stream) - n);
}

static void begin(struct fg_conn *c, const char *from)
{
	fg_conn_init(c, fg_end_of(from, (uint16_t)(20000 + next_port++ % 20000)),
		     fg_end_of(SERVER, 443), now_ns, feed, NULL);
	c->hello = stream;
	c->hello_len = stream_len;
}

static void end(struct fg_conn *c)
{
	now_ns = c->now_ns + 1000000;
	fg_conn_done(c);
}

/* A whole connection with one exchange, cut where cuts say. */
static void run_cut(const char *from, const size_t *cuts, size_t n_cuts)
{
	struct fg_conn c;

	begin(&c, from);
	c.cuts = cuts;
	c.n_cuts = n_cuts;
	fg_conn_run(&c);
	end(&c);
	take_totals();
}

static void run(const char *from)
{
	run_cut(from, NULL, 0);
}

/* --- Headers ---------------------------------------------------------------------------------- */

/* Version 2: command and family as on the wire, then body, then tail bytes of extensions. */
static size_t put_2(uint8_t *to, uint8_t command, uint8_t family, const void *body, size_t n,
		    size_t tail)
{
	static const uint8_t signature[12] = { 13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10 };

	memcpy(to, signature, 12);
	to[12] = command;
	to[13] = family;
	to[14] = (uint8_t)((n + tail) >> 8);
	to[15] = (uint8_t)(n + tail);
	memcpy(to + 16, body, n);
	memset(to + 16 + n, 4, tail);
	return 16 + n + tail;
}

static const uint8_t body4[12] = { 192, 0, 2, 77, 198, 51, 100, 1, 0x9c, 0x40, 1, 0xbb };
static const uint8_t body6[36] = { 0x20, 1, 0xd, 0xb8, 0,    7, 0,   0,	   0,	 0,    0, 0,
				   0,	 0, 0,	 9,    0x20, 1, 0xd, 0xb8, 0,	 8,    0, 0,
				   0,	 0, 0,	 0,    0,    0, 0,   1,	   0x9c, 0x40, 1, 0xbb };

static const struct {
	const char *line;
	const char *source; /* "" = the balancer's own; NULL = no header */
} lines[] = {
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 40000 443\r\n", "192.0.2.77" },
	{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255" },
	{ "PROXY TCP6 2001:db8:7::9 2001:db8:8::1 40000 443\r\n", "2001:db8:7::9" },
	{ "PROXY TCP6 2001:db8:7:0:0:0:0:9 ::1 1 443\r\n", "2001:db8:7::9" },
	{ "PROXY TCP6 ::ffff:192.0.2.77 ::ffff:198.51.100.1 40000 443\r\n", "192.0.2.77" },
	{ "PROXY TCP6 ::ffff:c000:24d ::1 40000 443\r\n", "192.0.2.77" },
	{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "PROXY UNKNOWN\r\n", "" },
	{ "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "" },
	{ "", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 40000 443\n", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 40000 443\r", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 40000\r\n", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 40000 443 1\r\n", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 65536 443\r\n", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 040000 443\r\n", NULL },
	{ "PROXY TCP4 192.0.2.77 198.51.100.1 9c40 443\r\n", NULL },
	{ "PROXY TCP4 192.0.2.777 198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY TCP4 192.0.2.7a 198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY TCP4 192.0.2 198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY TCP4 192.0.2.77  198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY TCP4 2001:db8::9 2001:db8::1 40000 443\r\n", NULL },
	{ "PROXY TCP6 192.0.2.77 198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY TCP6 2001:db8:::9 2001:db8::1 40000 443\r\n", NULL },
	{ "PROXY TCP6 2001:db8::9 2001:db8::1::2 40000 443\r\n", NULL },
	{ "PROXY TCP6 ::9 2001:db8::1 40000 443\r\n", NULL }, /* nobody's address */
	{ "PROXY UDP4 192.0.2.77 198.51.100.1 40000 443\r\n", NULL },
	{ "proxy TCP4 192.0.2.77 198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY TCP44 192.0.2.77 198.51.100.1 40000 443\r\n", NULL },
	{ "PROXY UNKNOWNxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
	  NULL },
};

/* What came of the connection that was run alone on a new engine. */
static void expect_source(const char *what, const char *source)
{
	const struct fg_source *row;

	assert_int_equal(totals.events[FG_EVENT_connections], 1);
	assert_int_equal(totals.events[FG_EVENT_proven], 1);
	assert_int_equal(totals.events[FG_EVENT_proxy_headers], source && *source);
	assert_int_equal(totals.events[FG_EVENT_proxy_local], source && !*source);
	assert_int_equal(totals.events[FG_EVENT_proxy_missing], !source);
	if (totals.events[FG_EVENT_hellos] != (source != NULL))
		fail_msg("%s: %llu hellos", what,
			 (unsigned long long)totals.events[FG_EVENT_hellos]);
	if (!source) {
		assert_null(source_of(BALANCER));
		assert_null(source_of("192.0.2.77"));
		return;
	}
	row = source_of(*source ? source : BALANCER);
	if (!row)
		fail_msg("%s: no row", what);
	assert_int_equal(row->connections, 1);
	assert_int_equal(row->proven, 1);
	assert_int_equal(row->syns, 1);
	assert_int_equal(row->hellos, 1);
	assert_int_equal(row->fins, 1);
	assert_int_equal(samples, 1);
	assert_int_equal(last.status, 0);
	assert_int_equal(last.stack == 0, *source != 0);
	if (*source)
		assert_null(source_of(BALANCER));
}

static void test_proxy_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		put_stream(lines[i].line, strlen(lines[i].line));
		open_engine(BALANCER);
		run(BALANCER);
		expect_source(lines[i].line, lines[i].source);
		if (lines[i].source && *lines[i].source) {
			struct fg_end source = fg_end_of(lines[i].source, 0);

			assert_memory_equal(last.client, source.addr, 16);
		}
		close_engine();
	}
}

static void test_proxy_version_2(void **state)
{
	static const struct {
		const char *what;
		uint8_t command, family;
		const uint8_t *body;
		size_t n, tail;
		const char *source;
	} headers[] = {
		{ "TCP over IPv4", 0x21, 0x11, body4, 12, 0, "192.0.2.77" },
		{ "TCP over IPv6", 0x21, 0x21, body6, 36, 0, "2001:db8:7::9" },
		{ "with extensions", 0x21, 0x11, body4, 12, 100, "192.0.2.77" },
		{ "LOCAL", 0x20, 0x11, body4, 12, 0, "" },
		{ "LOCAL, nothing more", 0x20, 0, body4, 0, 0, "" },
		{ "unspecified", 0x21, 0, body4, 0, 7, "" },
		{ "a unix socket", 0x21, 0x31, body6, 36, 180, "" },
		{ "version 1", 0x11, 0x11, body4, 12, 0, NULL },
		{ "version 3", 0x31, 0x11, body4, 12, 0, NULL },
		{ "no such command", 0x22, 0x11, body4, 12, 0, NULL },
		{ "shorter than its addresses", 0x21, 0x11, body4, 11, 0, NULL },
		{ "IPv6 shorter than its addresses", 0x21, 0x21, body6, 35, 0, NULL },
	};
	uint8_t header[512];

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		put_stream(header, put_2(header, headers[i].command, headers[i].family,
					 headers[i].body, headers[i].n, headers[i].tail));
		open_engine(BALANCER);
		run(BALANCER);
		expect_source(headers[i].what, headers[i].source);
		close_engine();
	}
}

/* Nobody's but a balancer's: then it is payload, and whom it names is not touched. */
static void test_proxy_of_anybody_else(void **state)
{
	static const char *const balancers[] = { NULL, "203.0.113.9" };

	(void)state;
	for (size_t i = 0; i < COUNT(balancers); i++) {
		put_stream(lines[0].line, strlen(lines[0].line));
		open_engine(balancers[i]);
		run(BALANCER);
		assert_int_equal(totals.events[FG_EVENT_not_tls], 1);
		assert_int_equal(totals.events[FG_EVENT_hellos], 0);
		assert_int_equal(totals.events[FG_EVENT_proxy_headers], 0);
		assert_null(source_of("192.0.2.77"));
		assert_int_equal(source_of(BALANCER)->connections, 1);
		close_engine();
	}
}

/* The header alone in a segment, or with part of the hello; its end never in the middle of a segment. */
static void test_proxy_cut_from_its_hello(void **state)
{
	size_t n = strlen(lines[0].line);
	const size_t cuts[][3] = {
		{ n }, { n, n + 1 }, { n + 1 }, { n + 5, n + 6 }, { n, n + 200 }
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cuts); i++) {
		put_stream(lines[0].line, n);
		open_engine(BALANCER);
		run_cut(BALANCER, cuts[i], cuts[i][1] ? 2 : 1);
		expect_source("cut behind the header", "192.0.2.77");
		close_engine();
	}
	for (size_t cut = 1; cut < n; cut += CUT_STEP) {
		open_engine(BALANCER);
		run_cut(BALANCER, &cut, 1);
		expect_source("cut in the header", NULL);
		close_engine();
	}
}

/* Version 2 may go on behind its addresses, over as many segments as it likes. */
static void test_proxy_extensions_in_more_segments(void **state)
{
	uint8_t header[1024];
	size_t n = put_2(header, 0x21, 0x11, body4, 12, 900);
	const size_t cuts[][3] = { { 28 }, { 28, n }, { 300, 700, n + 3 }, { n - 1 }, { n - 1, n } };

	(void)state;
	for (size_t i = 0; i < COUNT(cuts); i++) {
		size_t n_cuts = 0;

		while (n_cuts < 3 && cuts[i][n_cuts])
			n_cuts++;
		put_stream(header, n);
		open_engine(BALANCER);
		run_cut(BALANCER, cuts[i], n_cuts);
		expect_source("cut in the extensions", "192.0.2.77");
		close_engine();
	}
	for (size_t cut = 17; cut < 28; cut += CUT_STEP) {
		open_engine(BALANCER);
		run_cut(BALANCER, &cut, 1);
		expect_source("cut in the addresses", NULL);
		close_engine();
	}
}

/* The hello comes first and waits; so does one that comes twice. */
static void test_proxy_header_that_comes_late(void **state)
{
	size_t n = strlen(lines[0].line);
	struct fg_conn c;

	(void)state;
	put_stream(lines[0].line, n);
	open_engine(BALANCER);
	begin(&c, BALANCER);
	fg_conn_open(&c);
	fg_conn_segment(&c, n, stream + n, stream_len - n);
	fg_conn_segment(&c, n, stream + n, stream_len - n);
	fg_conn_segment(&c, 0, stream, n);
	fg_conn_segment(&c, 0, stream, n);
	fg_conn_close(&c);
	end(&c);
	take_totals();
	expect_source("the hello first", "192.0.2.77");
	close_engine();
}

/* One balancer, many clients: each has what is its own. */
static void test_proxy_tells_clients_apart(void **state)
{
	char line[128], name[32];

	(void)state;
	open_engine(BALANCER);
	for (int i = 0; i < 60; i++) {
		int n = snprintf(line, sizeof(line), "PROXY TCP4 192.0.2.%d %s %d 443\r\n",
				 1 + i % 3, SERVER, 1000 + i);

		put_stream(line, (size_t)n);
		run(BALANCER);
	}
	for (int i = 1; i <= 3; i++) {
		const struct fg_source *row;

		snprintf(name, sizeof(name), "192.0.2.%d", i);
		row = source_of(name);
		assert_non_null(row);
		assert_int_equal(row->connections, 20);
		assert_int_equal(row->hellos, 20);
		assert_int_equal(row->fins, 20);
	}
	assert_null(source_of(BALANCER));
	assert_int_equal(totals.events[FG_EVENT_proxy_headers], 60);
	close_engine();
}

/* Each byte bent, in each way that flips one bit: one of the three, and never a source of its own. */
static void test_proxy_header_that_is_damaged(void **state)
{
	uint8_t header[64];
	size_t n = put_2(header, 0x21, 0x11, body4, 12, 0);

	(void)state;
	open_engine(BALANCER);
	for (int version = 1; version <= 2; version++) {
		if (version == 1)
			put_stream(lines[0].line, n = strlen(lines[0].line));
		else
			put_stream(header, n = 28);
		for (size_t bit = 0; bit < 8 * n; bit++) {
			uint64_t before = totals.events[FG_EVENT_proxy_headers] +
					  totals.events[FG_EVENT_proxy_local] +
					  totals.events[FG_EVENT_proxy_missing];

			stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
			run(BALANCER);
			stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(totals.events[FG_EVENT_proxy_headers] +
						 totals.events[FG_EVENT_proxy_local] +
						 totals.events[FG_EVENT_proxy_missing],
					 before + 1);
		}
	}
	close_engine();
}

/* --- Addresses --------------------------------------------------------------------------------- */

/* What the line reader makes of this text as a source; false where it is none. */
static bool read_address(const char *text, bool ipv6, uint8_t ret_addr[16])
{
	static struct fg_scratch scratch;
	struct fg_proxy *p = &scratch.proxy;
	int n = snprintf((char *)scratch.segment, 128, "PROXY TCP%c %s %s 1 2\r\n",
			 ipv6 ? '6' : '4', text, ipv6 ? "::1" : "192.0.2.1");

	proxy_line_begin(&scratch, (uint32_t)n);
	while (fg_proxy_step(&scratch))
		;
	if (!p->length)
		return false;
	for (int i = 0; i < 8; i++) {
		ret_addr[i] = (uint8_t)(p->source[0] >> (56 - 8 * i));
		ret_addr[8 + i] = (uint8_t)(p->source[1] >> (56 - 8 * i));
	}
	return true;
}

static void compare(const char *text)
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t addr[16], want[16];

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		bool good = read_address(text, ipv6, addr);
		int r = inet_pton(ipv6 ? AF_INET6 : AF_INET, text, ipv6 ? want : want + 12);

		if (good != (r == 1))
			fail_msg("'%s' as IPv%c: %d, inet_pton says %d", text, ipv6 ? '6' : '4',
				 good, r);
		if (!ipv6)
			memcpy(want, v4, sizeof(v4));
		if (good)
			assert_memory_equal(addr, want, 16);
	}
}

/* Texts of what addresses are made of, most of them broken, some of them right. */
static void test_proxy_addresses_as_inet_pton(void **state)
{
	static const char *const parts[] = { "0",     "1",   "ff",   "255", "256", "01", "abcd",
					     "12345", "DB8", ":",    ":",   ":",   "::", ".",
					     ".",     ".",   "2001", "10.", "0.0", ":0", "f:" };
	struct fg_prng random = { 41 };
	char text[128];

	(void)state;
	for (int i = 0; i < 400000; i++) {
		size_t n = 1 + fg_prng_below(&random, 16), len = 0;

		for (size_t k = 0; k < n && len < 45; k++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
						parts[fg_prng_below(&random, COUNT(parts))]);
		if (len <= 45)
			compare(text);
	}
	for (int i = 0; i < 100000; i++) {
		uint8_t addr[16];

		fg_prng_fill(&random, addr, sizeof(addr));
		for (int k = 0; k < 8; k++)
			if (fg_prng_below(&random, 2))
				addr[2 * k] = addr[2 * k + 1] = 0;
		inet_ntop(AF_INET6, addr, text, sizeof(text));
		compare(text);
		inet_ntop(AF_INET, addr, text, sizeof(text));
		compare(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proxy_lines),
		cmocka_unit_test(test_proxy_version_2),
		cmocka_unit_test(test_proxy_of_anybody_else),
		cmocka_unit_test(test_proxy_cut_from_its_hello),
		cmocka_unit_test(test_proxy_extensions_in_more_segments),
		cmocka_unit_test(test_proxy_header_that_comes_late),
		cmocka_unit_test(test_proxy_tells_clients_apart),
		cmocka_unit_test(test_proxy_header_that_is_damaged),
		cmocka_unit_test(test_proxy_addresses_as_inet_pton),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
