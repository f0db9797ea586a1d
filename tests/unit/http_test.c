/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* serve/http.h over TCP, serve/bouncer.h, serve/negotiate.h, serve/listen.h: who is let in and to what, how
 * far bouncers come, and answers that are compressed, conditional or only a head. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/core.h"
#include "export/crowdsec.h"
#include "export/export.h"
#include "lib/ip.h"
#include "serve/bouncer.h"
#include "serve/failures.h"
#include "serve/http.h"
#include "serve/listen.h"
#include "serve/negotiate.h"

#define S	 1000000000ULL
#define NOW	 (1795435200 * S)

#define READER	 "reader-reader-reader"
#define BOUNCER	 "bouncer-bouncer-bouncer"
#define OPERATOR "operator-operator-operator"

static struct fg_conf conf;
static struct fg_core core;
static struct fg_bouncers *bouncers;
static struct fg_crowdsec *crowdsec;
static struct fg_keyring *keys;
static struct fg_http *http;
static char keys_path[64];
static uint16_t port;
static uint64_t clock_ns;

static uint64_t view_now(void *agent)
{
	(void)agent;
	return clock_ns;
}

/* What the agent does when something changed. */
static void apply(void *agent)
{
	struct fg_export_set *set;

	(void)agent;
	core.now_ns = clock_ns;
	assert_int_equal(fg_guards_set(&core.guards, clock_ns, &set), 0);
	assert_true(fg_crowdsec_update(crowdsec, set, clock_ns) >= 0);
	core.view.set_revision = set->revision;
	core.view.set_changed_ns = clock_ns;
	fg_export_set_unref(&set);
}

static void block(const char *prefix)
{
	uint8_t addr[16], bits;
	int64_t id;

	assert_int_equal(fg_ip_parse(prefix, addr, &bits), 0);
	assert_int_equal(
		fg_store_block(core.store, addr, bits, 0, NULL, 3600, "test", clock_ns, &id), 0);
}

static void block_many(unsigned int n)
{
	char text[32];

	assert_int_equal(fg_store_begin(core.store), 0);
	for (unsigned int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		block(text);
	}
	assert_int_equal(fg_store_commit(core.store), 0);
	apply(NULL);
}

/* --- A server and its clients ------------------------------------------------------------------ */

/* A port that nobody has: another may take it before we do, so some are tried. */
static void serve(void)
{
	char why[256] = "", address[32];
	int r = -EADDRINUSE;

	for (int i = 0; r == -EADDRINUSE && i < 50; i++) {
		struct sockaddr_in at = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t n = sizeof(at);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
		close(fd);
		port = ntohs(at.sin_port);
		snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		r = fg_http_open_tcp(address, keys, &core.view, &http, why, sizeof(why));
	}
	if (r)
		fail_msg("%s", why);
}

static int set_up(void **state)
{
	static const char text[] = "grafana " READER " read\nedge " BOUNCER
				   " bouncer\nops " OPERATOR " operator\n";
	char why[256] = "";
	int fd;

	(void)state;
	clock_ns = NOW;
	fg_conf_init(&conf);
	conf.limits = (struct fg_model_limits){
		.sources = 100, .clients = 100, .fingerprints = 100, .window_ns = 60 * S
	};
	if (fg_core_open(&core, &conf, NULL, NOW, why, sizeof(why)))
		fail_msg("%s", why);
	bouncers = calloc(1, sizeof(*bouncers));
	assert_non_null(bouncers);
	assert_int_equal(fg_crowdsec_new(&crowdsec), 0);
	core.view.bouncers = bouncers;
	core.view.crowdsec = crowdsec;
	core.view.now_ns = view_now;
	core.view.changed = apply;
	strcpy(keys_path, "/tmp/farmgate-http.XXXXXX");
	fd = mkstemp(keys_path);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	if (fg_keyring_open(keys_path, &keys, why, sizeof(why)))
		fail_msg("%s", why);
	serve();
	core.view.http = fg_http_counts(http);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_http_close(&http);
	fg_keyring_free(&keys);
	fg_crowdsec_free(&crowdsec);
	free(bouncers);
	fg_core_close(&core);
	fg_conf_done(&conf);
	return unlink(keys_path);
}

static int dial(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static char heard[16 << 20];
static size_t n_heard;
static const char *body;
static size_t n_body;

/* Runs the server as the agent's loop does until the other side ends. */
static void hear(int fd)
{
	n_heard = 0;
	for (;;) {
		struct pollfd polled[] = { { .fd = fg_http_fd(http), .events = POLLIN },
					   { .fd = fd, .events = POLLIN } };
		ssize_t got;

		poll(polled, 2, 100);
		fg_http_run(http);
		assert_true(n_heard < sizeof(heard) - 1);
		got = recv(fd, heard + n_heard, sizeof(heard) - 1 - n_heard, 0);
		if (got > 0)
			n_heard += (size_t)got;
		else if (!got || errno != EAGAIN)
			break;
	}
	heard[n_heard] = '\0';
	body = strstr(heard, "\r\n\r\n");
	if (!body)
		fail_msg("no answer: %s", heard);
	body += 4;
	n_body = n_heard - (size_t)(body - heard);
	/* the server ends the connection when its answer is out, and says so to itself */
	for (int i = 0; i < 10; i++)
		fg_http_run(http);
}

/* One request. key NULL = none; more: further header lines. @return status. */
static int ask(const char *method, const char *url, const char *key, const char *more)
{
	char request[1024];
	int fd = dial(), n;

	n = snprintf(request, sizeof(request),
		     "%s %s HTTP/1.1\r\nHost: x\r\n%s%s%s%sConnection: close\r\n\r\n", method, url,
		     key ? "X-Api-Key: " : "", key ? key : "", key ? "\r\n" : "", more ? more : "");
	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	hear(fd);
	close(fd);
	return atoi(heard + strlen("HTTP/1.1 "));
}

/* The value of a header, "" where it is not there. */
static const char *header(const char *name)
{
	static char value[256];
	char line[64];
	const char *at;

	value[0] = '\0';
	snprintf(line, sizeof(line), "\r\n%s: ", name);
	at = strstr(heard, line);
	if (at && at < body)
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(line), "\r"),
			 at + strlen(line));
	return value;
}

/* The values of "new" or "deleted" of the last answer: how many, -1 = null. */
static int told(const char *key)
{
	json_t *doc = json_loadb(body, n_body, 0, NULL);
	const json_t *list = json_object_get(doc, key);
	int n = json_is_array(list) ? (int)json_array_size(list) : -1;

	assert_non_null(doc);
	json_decref(doc);
	return n;
}

/* --- Keys -------------------------------------------------------------------------------------- */

static void test_http_needs_a_key(void **state)
{
	static const char *const decisions[] = { "/v1/decisions/stream?startup=true",
						 "/v1/decisions?ip=192.0.2.1",
						 "/v1/usage-metrics" };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ask(i == 2 ? "POST" : "GET", decisions[i], NULL, NULL), 403);
		assert_string_equal(body, "{\"message\":\"access forbidden\"}\n");
		assert_int_equal(ask("HEAD", decisions[i], BOUNCER "x", NULL), 403);
	}
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 401);
	assert_string_equal(header("WWW-Authenticate"), "Bearer");
	assert_non_null(strstr(body, "\"error\":\"a key is needed"));
	assert_int_equal(ask("GET", "/v1/status", "wrong-wrong-wrong-wrong", NULL), 403);
	assert_non_null(strstr(body, "\"error\":\"the key is not one"));
	/* what there is, is nobody else's business */
	assert_int_equal(ask("GET", "/v1/nothing", NULL, NULL), 401);
	assert_int_equal(ask("GET", "/v1/status", READER, NULL), 200);
	assert_int_equal(ask("GET", "/v1/status", NULL, "Authorization: Bearer " READER "\r\n"),
			 200);
	assert_int_equal(ask("GET", "/v1/status", NULL, "Authorization: bearer  " READER "\r\n"),
			 200);
	assert_int_equal(ask("GET", "/v1/status", NULL, "Authorization: Basic " READER "\r\n"),
			 401);
	assert_int_equal(fg_http_counts(http)->no_key, 6);
	assert_int_equal(fg_http_counts(http)->wrong_key, 4);
	assert_string_equal(fg_http_counts(http)->last_refused, "127.0.0.1");
}

static void test_http_limits_wrong_keys_and_nobody_else(void **state)
{
	(void)state;
	for (int i = 0; i < FG_FAILURES_A_MINUTE; i++)
		assert_int_equal(ask("GET", "/v1/status", "wrong-wrong-wrong-wrong", NULL), 403);
	assert_int_equal(ask("GET", "/v1/status", "wrong-wrong-wrong-wrong", NULL), 429);
	assert_string_equal(header("Retry-After"), "60");
	assert_int_equal(ask("GET", "/v1/decisions/stream", NULL, NULL), 429);
	assert_int_equal(ask("GET", "/v1/status", READER, NULL), 200);
	clock_ns += 60 * S;
	assert_int_equal(ask("GET", "/v1/decisions/stream", NULL, NULL), 403);
	assert_int_equal(fg_http_counts(http)->limited, 2);
}

static void test_http_roles(void **state)
{
	static const struct {
		const char *method, *url;
		int reader, bouncer, operator;
	} cases[] = {
		{ "GET", "/v1/status", 200, 403, 200 },
		{ "GET", "/v1/flagged", 200, 403, 200 },
		{ "HEAD", "/v1/sources", 200, 403, 200 },
		{ "GET", "/v1/allow", 200, 403, 200 },
		{ "GET", "/v1/export?format=plain", 200, 200, 200 },
		{ "GET", "/v1/blocklist", 200, 200, 200 },
		{ "GET", "/v1/decisions/stream", 200, 200, 200 },
		{ "GET", "/v1/decisions", 200, 200, 200 },
		{ "POST", "/v1/usage-metrics", 403, 201, 201 },
		{ "POST", "/v1/block", 403, 403, 400 }, /* without a body */
		{ "POST", "/v1/unblock", 403, 403, 400 },
		{ "POST", "/v1/allow", 403, 403, 400 },
		{ "POST", "/v1/disallow", 403, 403, 400 },
		{ "DELETE", "/v1/decisions", 405, 405, 405 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *more = strcmp(cases[i].method, "POST") ? "" : "Content-Length: 0\r\n";

		assert_int_equal(ask(cases[i].method, cases[i].url, READER, more), cases[i].reader);
		assert_int_equal(ask(cases[i].method, cases[i].url, BOUNCER, more),
				 cases[i].bouncer);
		assert_int_equal(ask(cases[i].method, cases[i].url, OPERATOR, more),
				 cases[i].operator);
	}
	ask("GET", "/v1/status", BOUNCER, NULL);
	assert_non_null(strstr(body, "key edge is of role bouncer"));
}

/* --- Documents --------------------------------------------------------------------------------- */

static void test_http_head_has_the_head_of_get(void **state)
{
	static const char *const urls[] = {
		"/v1/status",
		"/v1/sources",
		"/v1/flagged",
		"/v1/allow",
		"/v1/export?format=json",
		"/v1/blocklist",
		"/v1/decisions",
		"/v1/decisions/stream?startup=true",
		"/v1/nothing",
	};

	(void)state;
	block_many(3);
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		char length[32], type[64];
		int status = ask("GET", urls[i], OPERATOR, NULL);

		strcpy(length, header("Content-Length"));
		strcpy(type, header("Content-Type"));
		assert_int_equal(atoi(length), n_body);
		assert_int_equal(ask("HEAD", urls[i], OPERATOR, NULL), status);
		/* a counter in the status may have grown by a digit */
		if (strcmp(urls[i], "/v1/status"))
			assert_string_equal(header("Content-Length"), length);
		assert_string_equal(header("Content-Type"), type);
		assert_int_equal(n_body, 0);
	}
}

static void test_http_compresses_for_who_can_read_it(void **state)
{
	static char plain[1 << 20];
	z_stream z = { 0 };
	char tag[64];

	(void)state;
	block_many(1000);
	assert_int_equal(ask("GET", "/v1/blocklist", READER, NULL), 200);
	assert_string_equal(header("Content-Encoding"), "");
	assert_string_equal(header("Vary"), "Accept-Encoding");
	strcpy(tag, header("ETag"));
	snprintf(plain, sizeof(plain), "%s", body);
	assert_int_equal(ask("GET", "/v1/blocklist", READER, "Accept-Encoding: deflate, gzip\r\n"),
			 200);
	assert_string_equal(header("Content-Encoding"), "gzip");
	assert_string_equal(header("Vary"), "Accept-Encoding");
	assert_int_equal(atoi(header("Content-Length")), n_body);
	assert_true(n_body < strlen(plain) / 2);
	assert_true(!strncmp(header("ETag"), "W/", 2) && !strcmp(header("ETag") + 2, tag));
	assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)body;
	z.avail_in = (unsigned int)n_body;
	z.next_out = (unsigned char *)heard + sizeof(heard) / 2;
	z.avail_out = sizeof(heard) / 2;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, strlen(plain));
	assert_memory_equal(heard + sizeof(heard) / 2, plain, z.total_out);
	inflateEnd(&z);
	/* what is short, and who does not want it */
	assert_int_equal(ask("GET", "/v1/cohorts", READER, "Accept-Encoding: gzip\r\n"), 200);
	assert_string_equal(header("Content-Encoding"), "");
	assert_int_equal(ask("GET", "/v1/blocklist", READER, "Accept-Encoding: gzip;q=0\r\n"), 200);
	assert_string_equal(header("Content-Encoding"), "");
	assert_int_equal(fg_http_counts(http)->compressed, 1);
}

/* Asks with a header that holds what the last answer's header held. */
static int again(const char *url, const char *name, const char *value, const char *more)
{
	char lines[400];

	snprintf(lines, sizeof(lines), "%s: %s\r\n%s", name, value, more ? more : "");
	return ask("GET", url, READER, lines);
}

static void test_http_sends_nothing_that_is_known(void **state)
{
	static const char url[] = "/v1/export?format=csv";
	char tag[64], gzip_tag[64], date[64];

	(void)state;
	block_many(200);
	/* within the second of the change there is no date: it may change once more */
	assert_int_equal(ask("GET", url, READER, NULL), 200);
	assert_string_equal(header("Last-Modified"), "");
	strcpy(tag, header("ETag"));
	clock_ns += 2 * S;
	assert_int_equal(ask("GET", url, READER, "Accept-Encoding: gzip\r\n"), 200);
	strcpy(gzip_tag, header("ETag"));
	strcpy(date, header("Last-Modified"));
	assert_string_equal(date, "Mon, 23 Nov 2026 12:00:00 GMT");
	assert_string_equal(header("Cache-Control"), "private, no-cache");
	assert_int_equal(again(url, "If-None-Match", tag, NULL), 304);
	assert_int_equal(n_body, 0);
	assert_string_equal(header("ETag"), tag);
	assert_int_equal(again(url, "If-None-Match", gzip_tag, "Accept-Encoding: gzip\r\n"), 304);
	assert_int_equal(again(url, "If-None-Match", "\"other\", W/\"one\"", NULL), 200);
	assert_int_equal(again(url, "If-Modified-Since", date, NULL), 304);
	assert_int_equal(again(url, "If-Modified-Since", "Mon, 23 Nov 2026 11:59:59 GMT", NULL),
			 200);
	assert_int_equal(again(url, "If-Modified-Since", "yesterday", NULL), 200);
	/* the tag decides where both are there */
	assert_int_equal(again(url, "If-None-Match",
			       "\"x\"\r\nIf-Modified-Since: Mon, 23 Nov 2026 12:00:00 GMT", NULL),
			 200);
	/* a trial run depends on more than the set */
	assert_int_equal(again("/v1/export?format=csv&dry_run=1", "If-None-Match", tag, NULL), 200);
	block("192.0.2.1");
	apply(NULL);
	assert_int_equal(again(url, "If-None-Match", tag, NULL), 200);
	assert_int_equal(again(url, "If-Modified-Since", date, NULL), 200);
	assert_int_equal(fg_http_counts(http)->not_modified, 3);
}

static void test_http_types_of_documents(void **state)
{
	static const char *const cases[][2] = {
		{ "/v1/blocklist", "text/plain; charset=utf-8" },
		{ "/v1/blocklist?format=json", "application/json" },
		{ "/v1/blocklist?format=csv", "text/csv; charset=utf-8" },
		{ "/v1/export?format=crowdsec", "application/json" },
		{ "/v1/export?format=json&dry_run=1", "text/plain; charset=utf-8" },
		{ "/v1/decisions/stream", "application/json" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ask("GET", cases[i][0], BOUNCER, NULL), 200);
		assert_string_equal(header("Content-Type"), cases[i][1]);
	}
	assert_int_equal(ask("GET", "/v1/blocklist?format=xml", BOUNCER, NULL), 400);
	assert_string_equal(header("Content-Type"), "application/json");
}

/* --- Bouncers ---------------------------------------------------------------------------------- */

#define STREAM "/v1/decisions/stream"

static void test_http_bouncers_get_what_changed(void **state)
{
	(void)state;
	block_many(20);
	assert_int_equal(ask("GET", STREAM "?startup=true", BOUNCER, NULL), 200);
	assert_int_equal(told("new"), 20);
	assert_int_equal(told("deleted"), -1);
	/* a bare '?', as they write it */
	assert_int_equal(ask("GET", STREAM "?", BOUNCER, NULL), 200);
	assert_int_equal(told("new"), -1);
	block("192.0.2.1");
	apply(NULL);
	/* a head moves nothing, and no filter lets another bouncer's key read for this one */
	assert_int_equal(ask("HEAD", STREAM "?", BOUNCER, NULL), 200);
	assert_int_equal(ask("GET", STREAM "?startup=true", OPERATOR, NULL), 200);
	assert_int_equal(told("new"), 21);
	assert_int_equal(ask("GET", STREAM "?startup=false", BOUNCER, NULL), 200);
	assert_int_equal(told("new"), 1);
	assert_int_equal(ask("GET", STREAM "?startup=false", BOUNCER, NULL), 200);
	assert_int_equal(told("new"), -1);
}

/* Two with one key are told apart by what they are; it is as if each had its own. */
static void test_http_bouncers_share_a_key(void **state)
{
	static const char one[] = "User-Agent: firewall/1\r\n", two[] = "User-Agent: custom/1\r\n";

	(void)state;
	block_many(1);
	ask("GET", STREAM "?startup=true", BOUNCER, one);
	ask("GET", STREAM "?startup=true", BOUNCER, two);
	block("192.0.2.1");
	apply(NULL);
	ask("GET", STREAM, BOUNCER, one);
	assert_int_equal(told("new"), 1);
	ask("GET", STREAM, BOUNCER, two);
	assert_int_equal(told("new"), 1);
}

/* Nobody knows what it holds: everything, then bit by bit with a delete in front. */
static void test_http_bouncers_of_an_earlier_agent(void **state)
{
	const int n = 2 * FG_BOUNCERS_SLICE + 7;

	(void)state;
	block_many((unsigned int)n);
	ask("GET", STREAM, BOUNCER, NULL);
	assert_int_equal(told("new"), n);
	assert_int_equal(told("deleted"), -1);
	for (int i = 0; i < 3; i++) {
		ask("GET", STREAM, BOUNCER, NULL);
		assert_int_equal(told("new"), i < 2 ? FG_BOUNCERS_SLICE : 7);
		assert_int_equal(told("deleted"), i < 2 ? FG_BOUNCERS_SLICE : 7);
	}
	ask("GET", STREAM, BOUNCER, NULL);
	assert_int_equal(told("new"), -1);
	assert_int_equal(bouncers->resyncs, 1);
}

/* Who leaves in the middle of an answer has not had it. */
static void test_http_bouncers_that_break_off_ask_again(void **state)
{
	static const char request[] = "GET " STREAM " HTTP/1.1\r\nHost: x\r\nX-Api-Key: " BOUNCER
				      "\r\n\r\n";
	int small = 4096, fd;
	char bytes[1024];

	(void)state;
	block_many(1);
	ask("GET", STREAM "?startup=true", BOUNCER, NULL);
	block_many(50000); /* more than a socket takes by itself */
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	for (ssize_t got = 0; got <= 0;) {
		fg_http_run(http);
		got = recv(fd, bytes, sizeof(bytes), 0);
	}
	assert_memory_equal(bytes, "HTTP/1.1 200 ", 13);
	close(fd);
	for (int i = 0; i < 100; i++)
		fg_http_run(http);
	ask("GET", STREAM, BOUNCER, NULL);
	assert_int_equal(told("new"), 49999);
	ask("GET", STREAM, BOUNCER, NULL);
	assert_int_equal(told("new"), -1);
}

static void test_http_bouncers_filter(void **state)
{
	static const struct {
		const char *arguments;
		bool passes;
	} cases[] = {
		{ "", true },
		{ "&scopes=ip,range", true },
		{ "&scopes=Ip", true },
		{ "&scopes=", true },
		{ "&scopes=range", false },
		{ "&scopes=country,as", false },
		{ "&scopes=,", false },
		{ "&origins=cscli,farmgate", true },
		{ "&origins=cscli,crowdsec", false },
		{ "&origins=farm", false },
		{ "&scenarios_containing=farm", true },
		{ "&scenarios_containing=ssh,ACCOUNT-", true },
		{ "&scenarios_containing=ssh", false },
		{ "&scenarios_not_containing=ssh", true },
		{ "&scenarios_not_containing=ssh,farm", false },
		{ "&scenarios_containing=farm&scenarios_not_containing=account", false },
		{ "&scenarios_containing=farmgate/account-farm2", false },
		{ "&dedup=true&community_pull=true", true },
	};
	char url[200];

	(void)state;
	block_many(2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(url, sizeof(url), STREAM "?startup=true%s", cases[i].arguments);
		assert_int_equal(ask("GET", url, BOUNCER, NULL), 200);
		if (told("new") != (cases[i].passes ? 2 : -1))
			fail_msg("%s: %d", cases[i].arguments, told("new"));
	}
}

static void test_http_live_decisions(void **state)
{
	static const struct {
		const char *arguments, *begins;
	} cases[] = {
		{ "?ip=10.0.0.1", "[{\"id\":" },
		{ "?ip=10.0.0.7", "null" },
		{ "?range=10.0.0.1/32", "[{" },
		{ "?range=10.0.0.0/24", "null" },
		{ "?scope=ip&value=10.0.0.1", "[{" },
		{ "?scope=country&value=FR", NULL },
		{ "?scope=country&value=10.0.0.1", "null" },
		{ "?ip=10.0.0.1&type=captcha", "null" },
		{ "?ip=10.0.0.1&origins=cscli", "null" },
		{ "?ip=nobody", NULL },
		{ "?ip=10.0.0.1%2F8", NULL },
		{ "", "[{\"id\":" },
	};
	char url[200];

	(void)state;
	block_many(3);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(url, sizeof(url), "/v1/decisions%s", cases[i].arguments);
		assert_int_equal(ask("GET", url, BOUNCER, NULL), cases[i].begins ? 200 : 400);
		if (cases[i].begins && strncmp(body, cases[i].begins, strlen(cases[i].begins)))
			fail_msg("%s: %s", url, body);
	}
}

static const char *no_argument(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return NULL;
}

/* One key cannot push another's place out, and all of them together forget the oldest. */
static void test_http_bouncers_have_so_many_places(void **state)
{
	struct fg_query q = { .method = "GET", .path = STREAM };
	struct fg_pull first, pull;
	char from[32];

	(void)state;
	q.argument = no_argument;
	q.who = "key one";
	q.from = "192.0.2.1";
	fg_bouncers_pull(&core.view, &q, &first);
	fg_bouncers_moved(bouncers, &first, clock_ns);
	q.who = "key two";
	q.from = from;
	for (int i = 0; i < 1000; i++) {
		clock_ns += S;
		snprintf(from, sizeof(from), "192.0.2.%d", i);
		fg_bouncers_pull(&core.view, &q, &pull);
		fg_bouncers_moved(bouncers, &pull, clock_ns);
	}
	q.who = "key one";
	q.from = "192.0.2.1";
	fg_bouncers_pull(&core.view, &q, &pull);
	assert_int_equal(pull.bouncer, first.bouncer);
	assert_false(pull.all);
	for (int i = 0; i < FG_BOUNCERS_MAX; i++) {
		clock_ns += S;
		snprintf(from, sizeof(from), "key of many %d", i);
		q.who = from;
		fg_bouncers_pull(&core.view, &q, &pull);
	}
	q.who = "key one";
	fg_bouncers_pull(&core.view, &q, &pull);
	assert_true(pull.all);
	/* an answer for a row that is another's now is nobody's */
	fg_bouncers_moved(bouncers, &first, clock_ns);
	fg_bouncers_pull(&core.view, &q, &pull);
	assert_true(pull.all);
}

static void test_http_status_tells_of_bouncers(void **state)
{
	json_t *doc, *row;

	(void)state;
	block_many(5);
	block("2001:db8::/64");
	apply(NULL);
	ask("GET", STREAM "?startup=true", BOUNCER, "User-Agent: firewall/1\r\n");
	block("192.0.2.1");
	apply(NULL);
	ask("GET", "/v1/status", READER, NULL);
	doc = json_loadb(body, n_body, 0, NULL);
	row = json_object_get(doc, "crowdsec");
	assert_int_equal(json_integer_value(json_object_get(row, "decisions")), 6);
	assert_int_equal(json_integer_value(json_object_get(row, "unexportable")), 1);
	row = json_array_get(json_object_get(row, "bouncers"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "key")), "key edge");
	assert_string_equal(json_string_value(json_object_get(row, "program")), "firewall/1");
	assert_int_equal(json_integer_value(json_object_get(row, "behind")), 1);
	row = json_object_get(doc, "http");
	assert_int_equal(json_integer_value(json_object_get(row, "requests")), 2);
	json_decref(doc);
}

/* --- Parts ------------------------------------------------------------------------------------- */

static void test_negotiate_encodings(void **state)
{
	static const struct {
		const char *text;
		bool gzip;
	} cases[] = {
		{ "gzip", true },
		{ "GZIP", true },
		{ "deflate, gzip", true },
		{ "br;q=1.0, gzip;q=0.8, *;q=0.1", true },
		{ "*", true },
		{ "gzip;q=0", false },
		{ "gzip; q=0.000", false },
		{ "gzip;q=0.001", true },
		{ "*;q=0", false },
		{ "gzip;q=0, *", false },
		{ "identity", false },
		{ "x-gzip", false },
		{ "gzipped", false },
		{ "", false },
		{ ",,;;,q=,", false },
		{ " gzip ;q=0.5", true },
	};

	(void)state;
	assert_false(fg_accepts_gzip(NULL));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (fg_accepts_gzip(cases[i].text) != cases[i].gzip)
			fail_msg("'%s'", cases[i].text);
}

static void test_negotiate_tags(void **state)
{
	static const struct {
		const char *text;
		bool matches;
	} cases[] = {
		{ "\"a-1\"", true },	    { "W/\"a-1\"", true },  { "*", true },
		{ "\"x\", \"a-1\"", true }, { "\"a-1\"x", true },   { "\"a-12\"", false },
		{ "a-1", false },	    { "\"a-1", false },	    { "", false },
		{ "\"x\" \"a-1\"", false }, { "w/\"a-1\"", false }, { "\"x\",", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (fg_tag_matches(cases[i].text, "\"a-1\"") != cases[i].matches ||
		    fg_tag_matches(cases[i].text, "W/\"a-1\"") != cases[i].matches)
			fail_msg("'%s'", cases[i].text);
	}
	assert_false(fg_tag_matches(NULL, "\"a\""));
	assert_false(fg_tag_matches("*", ""));
}

static void test_negotiate_dates(void **state)
{
	static const char *const wrong[] = {
		"",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Mon, 06 Nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Sun, 31 Feb 2021 08:49:37 GMT",
		"Sun, 06 anF 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 25:49:37 GMT",
	};
	char buf[FG_HTTP_DATE];
	uint64_t s;

	(void)state;
	assert_string_equal(fg_http_date(784111777, buf), "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_int_equal(fg_http_date_parse(buf, &s), 0);
	assert_int_equal(s, 784111777);
	for (uint64_t t = 0; t < 4000000000ULL; t += 86399 * 7) {
		assert_int_equal(fg_http_date_parse(fg_http_date(t, buf), &s), 0);
		assert_int_equal(s, t);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!fg_http_date_parse(wrong[i], &s))
			fail_msg("'%s'", wrong[i]);
}

static void test_listen_addresses(void **state)
{
	static const char *const right[] = { "127.0.0.1:8093", "[::1]:1", "0.0.0.0:65535",
					     "[2001:db8::1]:8093", "[::]:80" };
	static const char *const wrong[] = {
		"",
		"8093",
		":8093",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:0",
		"127.0.0.1:65536",
		"127.1:8093",
		"::1:8093",
		"[::1]8093",
		"[::1]:",
		"[127.0.0.1]:80",
		"localhost:80",
		"127.0.0.1:x",
		"[::1%lo]:80",
		"[]:80",
		"127.0.0.1:+80",
		" 127.0.0.1:80",
	};
	struct sockaddr_storage at;
	struct fg_listener l;
	char why[256];
	socklen_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(fg_listen_parse(right[i], &at, &n, why, sizeof(why)), 0);
		assert_int_equal(fg_listen_is_loopback(&at), i < 2);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (fg_listen_parse(wrong[i], &at, &n, why, sizeof(why)) != -EINVAL)
			fail_msg("'%s'", wrong[i]);
	assert_int_equal(fg_listen_tcp(&l, "203.0.113.77:8093", 1, why, sizeof(why)),
			 -EADDRNOTAVAIL);
	assert_non_null(strstr(why, "no interface of this host"));
	assert_int_equal(l.fd, -1);
}

static void test_listen_port_in_use(void **state)
{
	struct fg_http *second = NULL;
	char address[32], why[256] = "";

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(fg_http_open_tcp(address, keys, &core.view, &second, why, sizeof(why)),
			 -EADDRINUSE);
	assert_non_null(strstr(why, "the port is in use"));
	assert_null(second);
	/* what a client left behind keeps nobody from starting again */
	assert_int_equal(ask("GET", "/v1/status", READER, NULL), 200);
	fg_http_close(&http);
	assert_int_equal(fg_http_open_tcp(address, keys, &core.view, &http, why, sizeof(why)), 0);
	core.view.http = fg_http_counts(http);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_http_needs_a_key),
		TEST(test_http_limits_wrong_keys_and_nobody_else),
		TEST(test_http_roles),
		TEST(test_http_head_has_the_head_of_get),
		TEST(test_http_compresses_for_who_can_read_it),
		TEST(test_http_sends_nothing_that_is_known),
		TEST(test_http_types_of_documents),
		TEST(test_http_bouncers_get_what_changed),
		TEST(test_http_bouncers_share_a_key),
		TEST(test_http_bouncers_of_an_earlier_agent),
		TEST(test_http_bouncers_that_break_off_ask_again),
		TEST(test_http_bouncers_filter),
		TEST(test_http_live_decisions),
		TEST(test_http_bouncers_have_so_many_places),
		TEST(test_http_status_tells_of_bouncers),
		cmocka_unit_test(test_negotiate_encodings),
		cmocka_unit_test(test_negotiate_tags),
		cmocka_unit_test(test_negotiate_dates),
		cmocka_unit_test(test_listen_addresses),
		TEST(test_listen_port_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
