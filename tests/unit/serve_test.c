/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* serve/api.h and serve/http.h: every route, every refusal, and real requests over a unix socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/core.h"
#include "farmgate/hello.h"
#include "hello_build.h"
#include "serve/api.h"
#include "serve/http.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static struct fg_conf conf;
static struct fg_core core;
static char folder[64], socket_path[96], stem_text[64];
static unsigned int changes;

static void count_change(void *agent)
{
	(void)agent;
	changes++;
}

/* A complete hello as the kernel would sample it. */
static struct fg_sample a_sample(void)
{
	static const __u64 seed[4] = { 1, 2, 3, 4 };
	static uint8_t segment[FG_SEGMENT_MAX_BYTES + 8];
	struct fg_sample s = { .proto = 't' };
	struct fg_hello_desc d;

	fg_hello_tool(&d, "api.example.com");
	fg_hello_begin(&s.hello);
	fg_hello_segment(&s.hello, (__u32)fg_hello_stream(&d, segment, FG_SEGMENT_MAX_BYTES));
	while (fg_hello_step(&s.hello, seed, segment))
		;
	assert_int_equal(s.hello.result, FG_HELLO_COMPLETE);
	return s;
}

/* Three sources, a second apart, with 10, 20 and 30 proven connections of one stem. */
static void fill(void)
{
	const struct fg_sample sample = a_sample();

	for (unsigned int i = 1; i <= 3; i++) {
		struct fg_epoch_source s = { .addr = { [10] = 0xff, 0xff, 203, 0, 113, i },
					     .connections = 10 * i,
					     .proven = 10 * i,
					     .hellos = 10 * i };
		struct fg_epoch_client c = { .addr = { [10] = 0xff, 0xff, 203, 0, 113, i },
					     .stem = sample.hello.stem,
					     .print = sample.hello.print,
					     .connections = 10 * i };
		struct fg_epoch_print p = { sample.hello.print, sample.hello.stem, 10 * i };
		struct fg_epoch e = { .start_ns = NOW + (i - 1) * S,
				      .end_ns = NOW + i * S,
				      .sources = &s,
				      .n_sources = 1,
				      .clients = &c,
				      .n_clients = 1,
				      .prints = &p,
				      .n_prints = 1,
				      .samples = &sample,
				      .n_samples = i == 1 };

		assert_int_equal(fg_model_apply(core.model, &e), 0);
		core.now_ns = e.end_ns;
	}
	snprintf(stem_text, sizeof(stem_text), "%s",
		 fg_model_stem_text(core.model, sample.hello.stem));
	assert_int_equal(stem_text[0], '~');
}

static int set_up(void **state)
{
	char why[256] = "";

	(void)state;
	fg_conf_init(&conf);
	conf.limits = (struct fg_model_limits){
		.sources = 100, .clients = 100, .fingerprints = 100, .window_ns = 60 * S
	};
	if (fg_core_open(&core, &conf, NULL, NOW, why, sizeof(why)))
		fail_msg("%s", why);
	core.view.changed = count_change;
	changes = 0;
	fill();
	strcpy(folder, "/tmp/farmgate-serve.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_core_close(&core);
	fg_conf_done(&conf);
	unlink(socket_path);
	return rmdir(folder);
}

/* --- Routes ----------------------------------------------------------------------------------- */

/* "limit=2&sort=proven", looked up as a server would. */
static const char *argument(void *arg, const char *name)
{
	static char value[128];
	size_t n = strlen(name);

	for (const char *at = arg; at && *at; at += strcspn(at, "&"), at += *at == '&') {
		if (strncmp(at, name, n) || at[n] != '=')
			continue;
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + n + 1, "&"), at + n + 1);
		return value;
	}
	return NULL;
}

static struct fg_answer ask(const char *method, const char *path, const char *arguments,
			    const char *body)
{
	const struct fg_query q = { .path = path,
				    .method = method,
				    .body = body,
				    .n_body = body ? strlen(body) : 0,
				    .argument = argument,
				    .arg = (void *)arguments };
	struct fg_answer a;

	fg_api_answer(&core.view, &q, &a);
	assert_non_null(a.body);
	assert_int_equal(strlen(a.body), a.n);
	return a;
}

/* The document of an answer with this status. */
static json_t *document(const char *method, const char *path, const char *arguments,
			const char *body, int status)
{
	struct fg_answer a = ask(method, path, arguments, body);
	json_error_t error;
	json_t *doc = json_loads(a.body, JSON_REJECT_DUPLICATES, &error);

	if (a.status != status || !doc)
		fail_msg("%s %s?%s: %d %s", method, path, arguments ? arguments : "", a.status,
			 a.body);
	assert_string_equal(a.type, "application/json");
	free(a.body);
	return doc;
}

/* A refusal says why, and names what is wrong. */
static void assert_refused(const char *method, const char *path, const char *arguments,
			   const char *body, int status, const char *names)
{
	json_t *doc = document(method, path, arguments, body, status);
	const char *error = json_string_value(json_object_get(doc, "error"));

	assert_int_equal(json_object_size(doc), 1);
	assert_non_null(error);
	if (!strstr(error, names))
		fail_msg("%s?%s: '%s' does not name '%s'", path, arguments ? arguments : "", error,
			 names);
	json_decref(doc);
}

static void test_serve_routes_have_the_keys_of_the_contract(void **state)
{
	static const struct {
		const char *path, *arguments, *keys;
	} routes[] = {
		{ "/v1/status", NULL,
		  "version role interfaces accounted losses maps uptime_s degraded" },
		{ "/v1/sources", NULL, "sources total" },
		{ "/v1/clients", NULL, "clients total" },
		{ "/v1/fingerprints", NULL, "fingerprints total" },
		{ "/v1/cohorts", NULL, "cohorts total" },
		{ "/v1/allow", NULL, "allow total" },
		{ "/v1/flagged", NULL,
		  "packets bytes first_packet last_packet connections proven hellos incomplete "
		  "exchanges sources clients accounted losses flagged cohorts" },
		{ "/v1/explain", "source=203.0.113.1", "source sentences" },
		{ "/v1/history", "source=203.0.113.1", "total" },
		{ "/v1/export", "format=json", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		struct fg_answer a = ask("GET", routes[i].path, routes[i].arguments, NULL);
		json_t *doc = json_loads(a.body, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
		char keys[256], *key, *rest = keys;

		assert_int_equal(a.status, 200);
		assert_non_null(doc);
		snprintf(keys, sizeof(keys), "%s", routes[i].keys);
		while ((key = strtok_r(rest, " ", &rest)))
			if (!json_object_get(doc, key))
				fail_msg("%s has no %s", routes[i].path, key);
		json_decref(doc);
		free(a.body);
	}
}

static json_int_t of_row(const json_t *doc, const char *list, size_t i, const char *key)
{
	return json_integer_value(
		json_object_get(json_array_get(json_object_get(doc, list), i), key));
}

static void test_serve_lists_sort_limit_and_look_back(void **state)
{
	json_t *doc = document("GET", "/v1/sources", "limit=2&sort=proven", NULL, 200);
	char since[64];

	(void)state;
	assert_int_equal(json_array_size(json_object_get(doc, "sources")), 2);
	assert_int_equal(json_integer_value(json_object_get(doc, "total")), 3);
	assert_int_equal(of_row(doc, "sources", 0, "proven"), 30);
	assert_int_equal(of_row(doc, "sources", 1, "proven"), 20);
	json_decref(doc);
	snprintf(since, sizeof(since), "since=%llu&sort=last_seen", NOW / S + 2);
	doc = document("GET", "/v1/clients", since, NULL, 200);
	assert_int_equal(json_integer_value(json_object_get(doc, "total")), 2);
	assert_int_equal(of_row(doc, "clients", 0, "connections"), 30);
	assert_int_equal(of_row(doc, "clients", 1, "connections"), 20);
	json_decref(doc);
	doc = document("GET", "/v1/sources", "since=2100-01-01T00:00:00Z", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(doc, "sources")), 0);
	json_decref(doc);
	assert_refused("GET", "/v1/sources", "limit=0", NULL, 400, "limit");
	assert_refused("GET", "/v1/sources", "limit=1e3", NULL, 400, "limit");
	assert_refused("GET", "/v1/clients", "sort=stem", NULL, 400, "sort: no field 'stem'");
	assert_refused("GET", "/v1/fingerprints", "since=yesterday", NULL, 400, "since");
	assert_refused("GET", "/v1/flagged", "sort=proven", NULL, 400, "sort");
	assert_refused("GET", "/v1/flagged", "tier=high", NULL, 400, "tier");
	assert_refused("GET", "/v1/flagged", "limit=-1", NULL, 400, "limit");
}

static void test_serve_refuses_what_it_does_not_know(void **state)
{
	struct fg_answer a;

	(void)state;
	assert_refused("GET", "/v1/nothing", NULL, NULL, 404, "no such path");
	assert_refused("GET", "/", NULL, NULL, 404, "no such path");
	assert_refused("DELETE", "/v1/sources", NULL, NULL, 405, "method");
	assert_refused("GET", "/v1/explain", NULL, NULL, 400, "source is missing");
	assert_refused("GET", "/v1/explain", "source=pigs", NULL, 400, "source: 'pigs'");
	assert_refused("GET", "/v1/explain", "source=203.0.113.0/24", NULL, 400, "many sources");
	assert_refused("GET", "/v1/history", NULL, NULL, 400, "source is missing");
	assert_refused("GET", "/v1/export", NULL, NULL, 400, "format is missing");
	assert_refused("GET", "/v1/export", "format=xml", NULL, 400, "format: 'xml'");
	assert_refused("GET", "/v1/export", "format=csv&tier=observe", NULL, 400, "tier");
	assert_refused("GET", "/v1/export", "format=csv&dry_run=yes", NULL, 400, "dry_run");
	a = ask("PUT", "/v1/allow", NULL, NULL);
	assert_int_equal(a.status, 405);
	assert_string_equal(a.allow, "GET, POST");
	free(a.body);
}

/* --- Decisions -------------------------------------------------------------------------------- */

static void test_serve_decides(void **state)
{
	char body[256];
	json_t *doc;

	(void)state;
	doc = document("POST", "/v1/block", NULL,
		       "{\"prefix\":\"203.0.113.7\",\"ttl\":\"15m\",\"reason\":\"ticket 4711\"}",
		       200);
	assert_true(json_is_true(json_object_get(doc, "ok")));
	assert_true(json_integer_value(json_object_get(doc, "id")) > 0);
	json_decref(doc);
	assert_int_equal(changes, 1);
	assert_int_equal(fg_store_n(core.store), 1);
	assert_int_equal(fg_store_at(core.store, 0)->until_ns, core.now_ns + 900 * S);
	/* an IPv6 address means its /64 */
	doc = document("POST", "/v1/block", NULL, "{\"prefix\":\"2001:db8:1:2:3::4\"}", 200);
	json_decref(doc);
	assert_int_equal(fg_store_at(core.store, 1)->bits, 64);
	snprintf(body, sizeof(body), "{\"prefix\":\"203.0.113.8\",\"stem\":\"%s\"}", stem_text);
	doc = document("POST", "/v1/block", NULL, body, 200);
	assert_non_null(strstr(json_string_value(json_object_get(doc, "note")), "XDP gate"));
	json_decref(doc);
	assert_int_equal(fg_store_n(core.store), 3);
	doc = document("POST", "/v1/unblock", NULL, "{\"prefix\":\"203.0.113.7\"}", 200);
	assert_int_equal(json_integer_value(json_object_get(doc, "removed")), 1);
	json_decref(doc);
	doc = document("POST", "/v1/allow", NULL, "{\"prefix\":\"203.0.113.0/24\"}", 200);
	json_decref(doc);
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.9\"}", 409, "allowlist");
	doc = document("GET", "/v1/allow", NULL, NULL, 200);
	assert_int_equal(json_integer_value(json_object_get(doc, "total")), 1);
	json_decref(doc);
	doc = document("POST", "/v1/disallow", NULL, "{\"prefix\":\"203.0.113.0/24\"}", 200);
	json_decref(doc);
	assert_int_equal(changes, 6);
}

/* Each names what is wrong, and nothing has changed afterwards. */
static void test_serve_refuses_decisions(void **state)
{
#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"
	static const struct {
		const char *path, *body;
		int status;
		const char *names;
	} cases[] = {
		{ "/v1/block", NULL, 400, "no JSON" },
		{ "/v1/block", "{\"prefix\":", 400, "no JSON: line 1" },
		{ "/v1/block", "[]", 400, "no JSON object" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"prefix\":\"203.0.113.8\"}", 400,
		  "no JSON" },
		{ "/v1/block", "{}", 400, "prefix" },
		{ "/v1/block", "{\"prefix\":7}", 400, "prefix" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7/24\"}", 400, "host bits" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"ttl\":\"25h\"}", 400, "ttl" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"ttl\":\"0s\"}", 400, "ttl" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"ttl\":3600}", 400, "ttl" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"ttl\":\"soon\"}", 400, "ttl" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"reasons\":\"x\"}", 400, "'reasons'" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"\":\"x\"}", 400, "key ''" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"eason\":\"x\"}", 400, "'eason'" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"reason\":\"" LONG LONG LONG "\"}",
		  400, "reason" },
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\",\"stem\":\"~t13d0000\"}", 404, "stem" },
		{ "/v1/allow", "{\"prefix\":\"203.0.113.7\",\"stem\":\"~t13d0000\"}", 400,
		  "'stem'" },
		{ "/v1/allow", "{\"prefix\":\"\"}", 400, "prefix" },
		{ "/v1/allow", "{\"prefix\":\"203.0.113.7\",\"ttl\":\"11y\"}", 400, "ttl" },
		{ "/v1/unblock", "{\"prefix\":\"203.0.113.7\"}", 404, "no verdict" },
		{ "/v1/unblock", "{\"prefix\":\"203.0.113.7\",\"ttl\":\"1h\"}", 400, "'ttl'" },
		{ "/v1/disallow", "{\"prefix\":\"203.0.113.7\"}", 404, "not on the allowlist" },
		{ "/v1/disallow", "{\"prefix\":\"203.0.113.7\",\"reason\":\"x\"}", 400,
		  "'reason'" },
	};
	const uint64_t revision = fg_store_revision(core.store);
	char body[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused("POST", cases[i].path, NULL, cases[i].body, cases[i].status,
			       cases[i].names);
	snprintf(body, sizeof(body), "{\"prefix\":\"203.0.113.0/24\",\"stem\":\"%s\"}", stem_text);
	assert_refused("POST", "/v1/block", NULL, body, 400, "one source");
	assert_int_equal(fg_store_n(core.store), 0);
	assert_int_equal(fg_store_n_allow(core.store), 0);
	assert_int_equal(fg_store_revision(core.store), revision);
	assert_int_equal(changes, 0);
}

static void test_serve_an_export_is_known_by_its_tag(void **state)
{
	struct fg_answer first = ask("GET", "/v1/export", "format=plain", NULL), again, later;

	(void)state;
	assert_int_equal(first.status, 200);
	assert_int_equal(first.etag[0], '"');
	again = ask("GET", "/v1/export", "format=plain", NULL);
	assert_string_equal(again.etag, first.etag);
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.7\"}", 200));
	later = ask("GET", "/v1/export", "format=plain", NULL);
	assert_string_not_equal(later.etag, first.etag);
	assert_non_null(strstr(later.body, "203.0.113.7\n"));
	assert_null(strstr(first.body, "203.0.113.7"));
	free(first.body);
	free(again.body);
	free(later.body);
}

/* --- Over a socket ---------------------------------------------------------------------------- */

static struct fg_http *http;

static int serve(char *why, size_t n)
{
	return fg_http_open(socket_path, &core.view, &http, why, n);
}

static int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Sends what the socket takes while the server runs. */
static void say(int fd, const char *bytes, size_t n)
{
	for (int turn = 0; n && turn < 10000; turn++) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return; /* refused unread */
		}
		fg_http_run(http);
	}
	assert_int_equal(n, 0);
}

static char heard[1 << 20];

/* Runs the server as the agent's loop does until the answer holds this text, or its end if it is
 * NULL. The server ends what is silent after 10 s, so there is always an end. */
static void hear(int fd, const char *until)
{
	size_t n = 0;

	heard[0] = '\0';
	for (;;) {
		struct pollfd polled[] = { { .fd = fg_http_fd(http), .events = POLLIN },
					   { .fd = fd, .events = POLLIN } };
		ssize_t got;

		poll(polled, 2, 100);
		fg_http_run(http);
		got = recv(fd, heard + n, sizeof(heard) - 1 - n, 0);
		if (got > 0)
			n += (size_t)got;
		heard[n] = '\0';
		if (until && strstr(heard, until))
			return;
		if (!got || (got < 0 && errno != EAGAIN))
			break;
	}
	if (until)
		fail_msg("no '%s' in: %s", until, heard);
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

static void test_http_answers_again_and_again(void **state)
{
	char why[256] = "",
	     pieces[] = "GET /v1/sources?limit=1&sort=proven HTTP/1.1\r\nHost: x\r\n\r\n";
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(serve(why, sizeof(why)), 0);
	assert_int_equal(lstat(socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	fd = dial();
	for (int i = 0; i < 3; i++) {
		say_text(fd, "GET /v1/cohorts HTTP/1.1\r\nHost: x\r\n\r\n");
		hear(fd, "{\"cohorts\":[],\"total\":0}\n");
		assert_memory_equal(heard, "HTTP/1.1 200 ", 13);
	}
	/* a byte at a time */
	for (size_t i = 0; i + 1 < sizeof(pieces); i++)
		say(fd, pieces + i, 1);
	hear(fd, "\"total\":3}\n");
	assert_non_null(strstr(heard, "{\"sources\":[{\"source\":\"203.0.113.3\""));
	assert_non_null(strstr(heard, "Content-Length: "));
	say_text(fd, "POST /v1/allow HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\n"
		     "{\"prefix\":\"198.51.100.0/24\"");
	say_text(fd, "}");
	hear(fd, "{\"ok\":true");
	say_text(fd, "GET /v1/export?format=csv HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(fd, "duration,scope,type,value,reason");
	assert_non_null(strstr(heard, "ETag: \""));
	close(fd);
	fg_http_close(&http);
	assert_int_equal(access(socket_path, F_OK), -1);
}

static void test_http_refuses(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{ "POST /v1/sources HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", " 405 " },
		{ "POST /v1/block HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", " 413 " },
		{ "POST /v1/block HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnone", " 400 " },
		{ "GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", " 404 " },
		{ "\x16\x03\x01\x02 is no HTTP\r\n\r\n", NULL }, /* hung up on */
	};
	char why[256] = "", chunk[8192];
	int fd;

	(void)state;
	assert_int_equal(serve(why, sizeof(why)), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fd = dial();
		say_text(fd, cases[i].request);
		hear(fd, cases[i].answer);
		assert_null(strstr(heard, " 200 "));
		close(fd);
	}
	/* a body that does not say how long it is, and is too long */
	fd = dial();
	say_text(fd, "POST /v1/block HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	memset(chunk, 'x', sizeof(chunk));
	for (int i = 0; i < 9; i++) {
		say_text(fd, "2000\r\n");
		say(fd, chunk, sizeof(chunk));
		say_text(fd, "\r\n");
	}
	say_text(fd, "0\r\n\r\n");
	hear(fd, " 413 ");
	close(fd);
	assert_int_equal(fg_store_n(core.store), 0);
	fg_http_close(&http);
}

static void test_http_takes_the_place_of_the_dead_only(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct fg_http *second = NULL;
	char why[256] = "";
	struct stat st;
	int fd;

	(void)state;
	/* left behind by an agent that was killed */
	strcpy(at.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	assert_int_equal(serve(why, sizeof(why)), 0);
	assert_int_equal(fg_http_open(socket_path, &core.view, &second, why, sizeof(why)),
			 -EADDRINUSE);
	assert_non_null(strstr(why, "live agent"));
	/* another file in its place stays when it goes */
	assert_int_equal(unlink(socket_path), 0);
	fd = open(socket_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	fg_http_close(&http);
	assert_int_equal(lstat(socket_path, &st), 0);
	/* and is no socket to be taken away */
	assert_int_equal(serve(why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, "no socket"));
	assert_int_equal(lstat(socket_path, &st), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_serve_routes_have_the_keys_of_the_contract),
		TEST(test_serve_lists_sort_limit_and_look_back),
		TEST(test_serve_refuses_what_it_does_not_know),
		TEST(test_serve_decides),
		TEST(test_serve_refuses_decisions),
		TEST(test_serve_an_export_is_known_by_its_tag),
		TEST(test_http_answers_again_and_again),
		TEST(test_http_refuses),
		TEST(test_http_takes_the_place_of_the_dead_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
