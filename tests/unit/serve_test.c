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
#include <math.h>
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
#include "serve/report.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static struct fg_conf conf;
static struct fg_core core;
static char folder[64], socket_path[96], stem_text[64];
static const char *asks; /* who does */
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
	static char values[4][128]; /* a route holds several at once */
	static unsigned int turn;
	char *value = values[turn++ % 4];
	size_t n = strlen(name);

	for (const char *at = arg; at && *at; at += strcspn(at, "&"), at += *at == '&') {
		if (strncmp(at, name, n) || at[n] != '=')
			continue;
		snprintf(value, sizeof(values[0]), "%.*s", (int)strcspn(at + n + 1, "&"),
			 at + n + 1);
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
				    .arg = (void *)arguments,
				    .who = asks };
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
	assert_string_equal(a.allow, "GET, HEAD, POST");
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

/* --- Rows, orders and limits ------------------------------------------------------------------ */

/* A number that looks drawn: each field of the rows below has an order of its own. */
static uint64_t drawn(uint64_t row, uint64_t field)
{
	uint64_t x = (row + 1) * 0x9e3779b97f4a7c15 ^ (field + 1) * 0xbf58476d1ce4e5b9;

	x = (x ^ x >> 29) * 0x94d049bb133111eb;
	return x >> 40 & 1023;
}

/* A second of one source. */
static void second_of(uint64_t i, uint64_t stem, uint64_t print)
{
	const uint64_t end_ns = core.now_ns + S;
	struct fg_epoch_source s = { .addr = { [10] = 0xff, 0xff, 198, 51, 100, (uint8_t)i },
				     .syns = drawn(i, 1),
				     .connections = drawn(i, 2),
				     .proven = drawn(i, 3) & 3,
				     .hellos = drawn(i, 4),
				     .incomplete = drawn(i, 5) & 3,
				     .fins = drawn(i, 6),
				     .rsts = drawn(i, 7) };
	struct fg_epoch_client c = { .stem = stem,
				     .stack = 9,
				     .print = print,
				     .connections = 1 + (drawn(i, 8) & 7),
				     .resumed = drawn(i, 9) & 3 };
	struct fg_epoch_print p = { print, stem, drawn(i, 10) };
	struct fg_epoch_flow f = { .stem = stem,
				   .stack = 9,
				   .bytes_in = drawn(i, 11),
				   .bytes_out = drawn(i, 12),
				   .exchanges = drawn(i, 13) };
	const struct fg_epoch e = { .start_ns = core.now_ns,
				    .end_ns = end_ns,
				    .sources = &s,
				    .n_sources = 1,
				    .clients = &c,
				    .n_clients = 1,
				    .prints = &p,
				    .n_prints = 1,
				    .flows = &f,
				    .n_flows = 1 };

	memcpy(c.addr, s.addr, 16);
	memcpy(f.addr, s.addr, 16);
	assert_int_equal(fg_model_apply(core.model, &e), 0);
	core.now_ns = end_ns;
}

/* Nine sources more, each with a client and a fingerprint of its own; of some fields two are equal.
 * Three come back, with a second fingerprint, a second client, and both. */
static void fill_mixed(void)
{
	for (uint64_t i = 0; i < 9; i++)
		second_of(i, 900 + i, 9000 + i);
	second_of(5, 905, 9500);
	second_of(2, 952, 9002);
	second_of(7, 957, 9507);
	second_of(1, 901, 9001);
}

/* A finding as a detector would emit it. */
static void flag(unsigned int host, double score, bool proven, uint32_t ttl_s, uint64_t now_ns)
{
	static const struct fg_names names = { "t13d1516h2_8daaf6152771_02713d6af862", "~t13d",
					       "64:64240" };
	const struct fg_finding f = { .source = { [10] = 0xff, 0xff, 203, 0, 113, (uint8_t)host },
				      .score = score,
				      .proven = proven,
				      .n_evidence = 1,
				      .evidence[0] = { .name = "proven_connections_60s",
						       .observed = 30,
						       .nats = score,
						       .text = "Thirty.",
						       .n_benign = 1,
						       .benign[0] = { FG_BENIGN_own_service,
								      FG_CONSIDERED_OPEN, NAN } } };

	assert_true(fg_store_note(core.store, &f, &names, true, ttl_s, now_ns) >= 0);
}

/* "flagged.0.evidence.0" of a document. */
static const json_t *inside(const json_t *doc, const char *path)
{
	char steps[64], *step, *rest = steps;

	snprintf(steps, sizeof(steps), "%s", path);
	while (doc && (step = strtok_r(rest, ".", &rest)))
		doc = json_is_array(doc) ? json_array_get(doc, (size_t)atoi(step)) :
					   json_object_get(doc, step);
	return doc;
}

static json_int_t number_in(const json_t *doc, const char *key)
{
	return json_integer_value(json_object_get(doc, key));
}

/* Who would be hit is said before anybody is. */
static void test_serve_blocks_a_prefix_in_two_steps(void **state)
{
	json_t *doc;

	(void)state;
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.0/24\"}", 409,
		       "3 known sources with 3 clients and 0 exchanges, 3 of them not flagged; if "
		       "that is meant, repeat it with --confirm 3");
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.0/24\",\"confirm\":2}",
		       409, "--confirm 3");
	assert_int_equal(changes, 0);
	doc = document("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.0/24\",\"confirm\":3}",
		       200);
	assert_int_equal(number_in(doc, "blocked"), 1);
	json_decref(doc);
	/* all that is known in it is flagged by now, and of others nothing is known */
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.112.0/22\"}", 200));
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"198.51.100.0/24\"}", 200));
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.1\"}", 200));
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"0.0.0.0/0\",\"confirm\":9}", 400,
		       "wider than any block");
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"10.0.0.0/7\"}", 400, "wider");
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"::/0\"}", 400, "wider");
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"2000::/15\"}", 400, "wider");
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"10.0.0.0/8\",\"confirm\":-1}", 400,
		       "confirm");
	json_decref(document("POST", "/v1/allow", NULL,
			     "{\"prefix\":\"10.1.0.0/16\",\"reason\":\"our offices\"}", 200));
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"10.0.0.0/8\"}", 409,
		       "10.1.0.0/16 is on the allowlist (our offices)");
}

/* A member of a community of accounts, on a host's client with that stem. */
static void flag_member(unsigned int host, uint64_t stack)
{
	static const struct fg_names names = { "t13d", "~t13d", "64:64240" };
	struct fg_finding f = { .source = { [10] = 0xff, 0xff, 203, 0, 113, (uint8_t)host },
				.stem = 77,
				.stack = stack,
				.cohort = FG_COMMUNITY | 4,
				.score = 20,
				.proven = true,
				.n_evidence = 1 };

	fg_evidence_benign(&f.evidence[0], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	assert_true(fg_store_note(core.store, &f, &names, true, 3600, core.now_ns) >= 0);
}

static void test_serve_decides_about_a_cohort(void **state)
{
	char body[64], *text;
	json_t *doc;
	json_int_t id;

	(void)state;
	for (unsigned int host = 1; host <= 20; host++)
		flag_member(host, host == 9 ? 0 : 6);
	json_decref(document("POST", "/v1/allow", NULL, "{\"prefix\":\"203.0.113.8\"}", 200));
	asks = "alice";
	doc = document("POST", "/v1/block", NULL, "{\"cohort\":\"a4\",\"ttl\":\"2h\"}", 200);
	assert_int_equal(number_in(doc, "blocked"), 18);
	assert_int_equal(number_in(doc, "left_out"), 2);
	assert_non_null(strstr(json_string_value(json_object_get(doc, "note")),
			       "left out: 1 on the allowlist; 1 whose stack is not known"));
	id = number_in(doc, "id");
	json_decref(doc);
	assert_int_equal(fg_store_n(core.store), 38);
	assert_int_equal(fg_store_at(core.store, 37)->stem, 77);
	assert_int_equal(fg_store_at(core.store, 37)->stack, 6);
	assert_string_equal(fg_store_at(core.store, 37)->reason, "member of a4");
	snprintf(body, sizeof(body), "{\"id\":%lld}", (long long)id);
	doc = document("POST", "/v1/undo", NULL, body, 200);
	assert_int_equal(number_in(doc, "undone"), 18);
	assert_int_equal(number_in(doc, "left_out"), 0);
	json_decref(doc);
	assert_int_equal(fg_store_n(core.store), 20);
	assert_refused("POST", "/v1/undo", NULL, body, 409, "was taken back already");
	assert_refused("POST", "/v1/undo", NULL, "{\"id\":99999}", 404, "no decision 99999");
	assert_refused("POST", "/v1/undo", NULL, "{}", 400, "which decision");
	assert_refused("POST", "/v1/undo", NULL, "{\"id\":\"7\"}", 400, "id: not a whole number");
	assert_refused("GET", "/v1/undo", NULL, NULL, 405, "not allowed");
	doc = document("POST", "/v1/unblock", NULL, "{\"cohort\":\"a4\"}", 200);
	assert_int_equal(number_in(doc, "removed"), 20);
	json_decref(doc);
	assert_refused("POST", "/v1/unblock", NULL, "{\"cohort\":\"a4\"}", 404, "member of 'a4'");
	assert_refused("POST", "/v1/block", NULL, "{\"cohort\":\"a4\"}", 404, "none that stands");
	assert_refused("POST", "/v1/block", NULL, "{\"cohort\":\"c9\"}", 404, "none that stands");
	assert_refused("POST", "/v1/block", NULL, "{\"cohort\":\"b1\"}", 400, "no cohort's id");
	assert_refused("POST", "/v1/block", NULL, "{\"cohort\":\"c1\",\"prefix\":\"10.0.0.1\"}",
		       400, "not both");
	assert_refused("POST", "/v1/allow", NULL, "{\"cohort\":\"a4\"}", 400,
		       "farmgate unblock a4");
	assert_refused("POST", "/v1/disallow", NULL, "{\"cohort\":\"a4\"}", 400, "cohort");
	/* who it was, of the cohort and of each member */
	doc = document("GET", "/v1/history", "source=a4", NULL, 200);
	assert_int_equal(number_in(doc, "total"), 2);
	assert_string_equal(json_string_value(inside(doc, "history.0.who")), "operator:alice");
	assert_int_equal(json_integer_value(inside(doc, "history.0.id")), id);
	json_decref(doc);
	doc = document("GET", "/v1/history", "source=203.0.113.1", NULL, 200);
	assert_string_equal(json_string_value(inside(doc, "history.1.what")), "blocked");
	assert_string_equal(json_string_value(inside(doc, "history.2.what")), "undone");
	assert_string_equal(json_string_value(inside(doc, "history.3.what")), "unblocked");
	json_decref(doc);
	doc = document("GET", "/v1/explain", "source=203.0.113.1", NULL, 200);
	text = json_dumps(json_object_get(doc, "sentences"), 0);
	assert_non_null(strstr(text, "An operator ended its verdict of 2026-11-23"));
	free(text);
	json_decref(doc);
	asks = NULL;
}

static void test_serve_shows_what_cools(void **state)
{
	json_t *doc;

	(void)state;
	flag(1, 20, true, 3600, core.now_ns);
	core.now_ns += 3600 * S;
	fg_store_expire(core.store, core.now_ns);
	doc = document("GET", "/v1/flagged", NULL, NULL, 200);
	assert_int_equal(number_in(doc, "total"), 0);
	json_decref(doc);
	doc = document("GET", "/v1/flagged", "tier=observe", NULL, 200);
	assert_int_equal(number_in(doc, "total"), 1);
	assert_string_equal(json_string_value(inside(doc, "flagged.0.state")), "cooling");
	assert_string_equal(json_string_value(inside(doc, "flagged.0.tier")), "observe");
	json_decref(doc);
	flag(1, 20, true, 3600, core.now_ns);
	doc = document("GET", "/v1/flagged", NULL, NULL, 200);
	assert_int_equal(json_integer_value(inside(doc, "flagged.0.strikes")), 1);
	json_decref(doc);
}

#define ROW_OF_A_SOURCE                                                                     \
	"source syns connections proven hellos incomplete fingerprints exchanges bytes_in " \
	"bytes_out first_seen last_seen "
#define VERDICT                                                                         \
	"source ja4 stem stack kind tier cohort score first_flagged until evidence id " \
	"subject window n_obs total_nats alpha est_fdr cell action ttl sensor_version " \
	"scope held address_held collateral "

static void test_serve_rows_have_the_keys_of_the_contract(void **state)
{
	static const struct {
		const char *path, *arguments, *row, *keys;
	} rows[] = {
		{ "/v1/sources", NULL, "sources.0", ROW_OF_A_SOURCE },
		{ "/v1/clients", NULL, "clients.0", ROW_OF_A_SOURCE "stem stack proof signals" },
		{ "/v1/fingerprints", NULL, "fingerprints.0",
		  "ja4 stem hellos sources sni flags first_seen last_seen" },
		{ "/v1/flagged", NULL, "flagged.0", VERDICT },
		{ "/v1/flagged", NULL, "flagged.0.evidence.0",
		  "family name observed expected base_rate nats text baseline_n capped "
		  "counter_hypotheses" },
		{ "/v1/flagged", NULL, "flagged.0.evidence.0.counter_hypotheses.0",
		  "name explanation considered figure refuted_by" },
		{ "/v1/flagged", NULL, "losses", "flow_table_full internal" },
		{ "/v1/status", NULL, "interfaces.0", "name attach packets" },
		{ "/v1/status", NULL, "maps.0", "name entries capacity" },
		{ "/v1/explain", "source=203.0.113.1", "clients.0", ROW_OF_A_SOURCE "signals" },
		{ "/v1/explain", "source=203.0.113.1", "verdicts.0", VERDICT },
		{ "/v1/explain", "source=203.0.113.1", "allow.0", "id prefix reason until" },
		{ "/v1/allow", NULL, "allow.0", "id prefix reason until" },
		{ "/v1/history", "source=203.0.113.1", "history.0", "time what who reason" },
	};

	(void)state;
	flag(1, 20, true, 3600, core.now_ns);
	json_decref(document("POST", "/v1/allow", NULL, "{\"prefix\":\"203.0.113.0/24\"}", 200));
	core.view.interfaces[core.view.n_interfaces++] =
		(struct fg_view_interface){ "eth0", "native", 7 };
	core.view.maps[core.view.n_maps++] = (struct fg_view_map){ "sources", 3, 100 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *doc = document("GET", rows[i].path, rows[i].arguments, NULL, 200);
		const json_t *row = inside(doc, rows[i].row);
		char keys[256], *key, *rest = keys;

		if (!row)
			fail_msg("%s has no %s", rows[i].path, rows[i].row);
		snprintf(keys, sizeof(keys), "%s", rows[i].keys);
		while ((key = strtok_r(rest, " ", &rest)))
			if (!json_object_get(row, key))
				fail_msg("%s %s has no %s", rows[i].path, rows[i].row, key);
		json_decref(doc);
	}
}

/* The rows of a list stand in the order of the field, the largest first. Their own order differs
 * from field to field, so that a look at another one would be seen. */
static void assert_sorted(const char *list, const char *field)
{
	char path[64], arguments[64];
	double last = INFINITY, first;
	json_t *doc, *rows, *row;
	size_t i;

	snprintf(path, sizeof(path), "/v1/%s", list);
	snprintf(arguments, sizeof(arguments), "sort=%s", field);
	doc = document("GET", path, arguments, NULL, 200);
	rows = json_object_get(doc, list);
	assert_true(json_array_size(rows) > 3);
	first = json_number_value(json_object_get(json_array_get(rows, 0), field));
	json_array_foreach(rows, i, row)
	{
		const json_t *value = json_object_get(row, field);

		if (!json_is_number(value) || json_number_value(value) > last)
			fail_msg("%s sort=%s: row %zu is out of order", list, field, i);
		last = json_number_value(value);
	}
	if (!(first > last))
		fail_msg("%s: all %s are equal, so no order was seen", list, field);
	json_decref(doc);
}

static void test_serve_lists_sort_by_each_of_their_fields(void **state)
{
	static const struct {
		const char *list, *fields;
	} lists[] = {
		{ "sources", "syns connections proven hellos incomplete exchanges fingerprints "
			     "clients bytes_in bytes_out fins rsts first_seen last_seen" },
		{ "clients", "connections proven hellos resumed exchanges bytes_in bytes_out "
			     "first_seen last_seen" },
		{ "fingerprints", "hellos sources first_seen last_seen" },
		{ "flagged", "score first_flagged until" },
	};

	(void)state;
	fill_mixed();
	flag(1, 20, true, 1000, core.now_ns + S);
	flag(2, 40, true, 3000, core.now_ns);
	flag(3, 30, true, 2000, core.now_ns + 2 * S);
	flag(4, 25, true, 4000, core.now_ns + 3 * S);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char fields[256], *field, *rest = fields;

		snprintf(fields, sizeof(fields), "%s", lists[i].fields);
		while ((field = strtok_r(rest, " ", &rest)))
			assert_sorted(lists[i].list, field);
	}
}

/* Rows of equal rank too: a shorter list is the longer one's beginning. */
static void test_serve_a_limit_cuts_the_list_and_changes_no_order(void **state)
{
	static const char *const asked[][3] = { { "/v1/sources", "sources", "incomplete" },
						{ "/v1/sources", "sources", "proven" },
						{ "/v1/clients", "clients", "resumed" },
						{ "/v1/fingerprints", "fingerprints", "sources" },
						{ "/v1/flagged", "flagged", "score" } };

	(void)state;
	fill_mixed();
	for (unsigned int host = 1; host <= 5; host++)
		flag(host, 20 + host / 3, true, 3600, core.now_ns);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		char arguments[64];
		json_t *all, *rows;

		snprintf(arguments, sizeof(arguments), "sort=%s", asked[i][2]);
		all = document("GET", asked[i][0], arguments, NULL, 200);
		rows = json_object_get(all, asked[i][1]);
		for (size_t limit = 1; limit <= json_array_size(rows) + 1; limit++) {
			size_t n = json_array_size(rows), want = limit < n ? limit : n;
			json_t *some, *fewer;

			snprintf(arguments, sizeof(arguments), "sort=%s&limit=%zu", asked[i][2],
				 limit);
			some = document("GET", asked[i][0], arguments, NULL, 200);
			fewer = json_object_get(some, asked[i][1]);
			assert_int_equal(json_array_size(fewer), want);
			assert_int_equal(json_integer_value(json_object_get(some, "total")), n);
			for (size_t k = 0; k < want; k++)
				if (!json_equal(json_array_get(fewer, k), json_array_get(rows, k)))
					fail_msg("%s %s: row %zu is another", asked[i][0],
						 arguments, k);
			json_decref(some);
		}
		json_decref(all);
	}
}

static json_int_t total_since(const char *path, const char *since)
{
	char arguments[64];
	json_t *doc;
	json_int_t n;

	snprintf(arguments, sizeof(arguments), "since=%s", since);
	doc = document("GET", path, arguments, NULL, 200);
	n = json_integer_value(json_object_get(doc, "total"));
	json_decref(doc);
	return n;
}

/* The sources were seen last at NOW + 1, 2 and 3 s. */
static void test_serve_since_includes_its_moment(void **state)
{
	static const char *const paths[] = { "/v1/sources", "/v1/clients" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(total_since(paths[i], "0"), 3);
		assert_int_equal(total_since(paths[i], "1795435202"), 2);
		assert_int_equal(total_since(paths[i], "1795435202.5"), 1);
		assert_int_equal(total_since(paths[i], "2026-11-23T12:00:03Z"), 1);
		assert_int_equal(total_since(paths[i], "1795435204"), 0);
	}
	flag(1, 20, true, 3600, NOW + S);
	flag(2, 20, true, 3600, NOW + 2 * S);
	assert_int_equal(total_since("/v1/flagged", "1795435202"), 1);
	assert_int_equal(total_since("/v1/flagged", "1795435203"), 0);
}

/* Later than our 64 bits of nanoseconds reach (the year 2554) nothing was seen either. */
static void test_serve_since_may_be_far_away(void **state)
{
	(void)state;
	assert_int_equal(total_since("/v1/sources", "18446744074"), 0);
	assert_int_equal(total_since("/v1/sources", "99999999999"), 0);
	assert_int_equal(total_since("/v1/flagged", "99999999999"), 0);
	assert_refused("GET", "/v1/sources", "since=100000000001", NULL, 400, "since");
}

static void test_serve_flagged_keeps_to_the_tier(void **state)
{
	json_t *doc;

	(void)state;
	flag(1, 20, true, 3600, core.now_ns - 10 * S);
	flag(1, 20, true, 3600, core.now_ns);
	flag(2, 30, false, 3600, core.now_ns); /* unproven: alert at most */
	doc = document("GET", "/v1/flagged", "tier=enforce", NULL, 200);
	assert_int_equal(json_integer_value(json_object_get(doc, "total")), 1);
	assert_string_equal(json_string_value(inside(doc, "flagged.0.source")), "203.0.113.1");
	assert_string_equal(json_string_value(inside(doc, "flagged.0.tier")), "enforce");
	json_decref(doc);
	doc = document("GET", "/v1/flagged", NULL, NULL, 200);
	assert_int_equal(json_integer_value(json_object_get(doc, "total")), 2);
	assert_string_equal(json_string_value(inside(doc, "flagged.0.tier")), "alert");
	assert_true(json_is_false(inside(doc, "flagged.0.proven")));
	json_decref(doc);
}

/* Lists that have nothing to sort by or to look back on refuse what they cannot read, too. */
static void test_serve_every_list_reads_its_arguments(void **state)
{
	static const char *const paths[] = { "/v1/sources", "/v1/clients", "/v1/fingerprints",
					     "/v1/cohorts", "/v1/flagged", "/v1/allow" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		assert_refused("GET", paths[i], "limit=many", NULL, 400, "limit: 'many'");
		assert_refused("GET", paths[i], "limit=1000001", NULL, 400, "limit: '1000001'");
		assert_refused("GET", paths[i], "limit=", NULL, 400, "limit: ''");
		if (strcmp(paths[i], "/v1/allow"))
			assert_refused("GET", paths[i], "since=soon", NULL, 400, "since: 'soon'");
		json_decref(document("GET", paths[i], "limit=1000000", NULL, 200));
	}
	json_decref(document("POST", "/v1/allow", NULL, "{\"prefix\":\"192.0.2.1\"}", 200));
	json_decref(document("POST", "/v1/allow", NULL, "{\"prefix\":\"192.0.2.2\"}", 200));
	{
		json_t *doc = document("GET", "/v1/allow", "limit=1", NULL, 200);

		assert_int_equal(json_array_size(json_object_get(doc, "allow")), 1);
		assert_int_equal(json_integer_value(json_object_get(doc, "total")), 2);
		json_decref(doc);
	}
}

static void test_serve_says_which_methods_there_are(void **state)
{
	static const char *const others[] = { "PUT", "DELETE", "OPTIONS", "PATCH", "get" };
	static const struct {
		const char *path, *allow;
	} routes[] = { { "/v1/status", "GET, HEAD" },  { "/v1/sources", "GET, HEAD" },
		       { "/v1/clients", "GET, HEAD" }, { "/v1/fingerprints", "GET, HEAD" },
		       { "/v1/cohorts", "GET, HEAD" }, { "/v1/flagged", "GET, HEAD" },
		       { "/v1/explain", "GET, HEAD" }, { "/v1/history", "GET, HEAD" },
		       { "/v1/export", "GET, HEAD" },  { "/v1/allow", "GET, HEAD, POST" },
		       { "/v1/block", "POST" },	       { "/v1/unblock", "POST" },
		       { "/v1/disallow", "POST" } };

	(void)state;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
			struct fg_answer a = ask(others[k], routes[i].path, NULL, "{}");

			assert_int_equal(a.status, 405);
			assert_string_equal(a.allow, routes[i].allow);
			free(a.body);
		}
	}
	assert_refused("POST", "/v1/status", NULL, "{}", 405, "method");
	assert_refused("GET", "/v1/block", NULL, NULL, 405, "method");
	assert_refused("GET", "/v1/allow/", NULL, NULL, 404, "no such path");
	assert_refused("GET", "/v1/ALLOW", NULL, NULL, 404, "no such path");
}

static void test_serve_explains_what_it_never_saw(void **state)
{
	json_t *doc = document("GET", "/v1/explain", "source=192.0.2.9", NULL, 200);

	(void)state;
	assert_true(json_is_false(json_object_get(doc, "seen")));
	assert_int_equal(json_array_size(json_object_get(doc, "clients")), 0);
	assert_non_null(strstr(json_string_value(inside(doc, "sentences.0")), "was seen"));
	json_decref(doc);
	/* an IPv6 address is asked about as its /64 */
	doc = document("GET", "/v1/explain", "source=2001:db8:1:2:3::4", NULL, 200);
	assert_string_equal(json_string_value(json_object_get(doc, "source")), "2001:db8:1:2::/64");
	json_decref(doc);
	assert_refused("GET", "/v1/explain", "source=2001:db8::/48", NULL, 400, "many sources");
	assert_refused("GET", "/v1/explain", "source=", NULL, 400, "source: ''");
	assert_refused("GET", "/v1/history", "source=203.0.113.1/24", NULL, 400, "source: '203");
	/* what was decided about a wider prefix is told */
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"192.0.2.0/24\"}", 200));
	doc = document("GET", "/v1/history", "source=192.0.2.0/24", NULL, 200);
	assert_string_equal(json_string_value(inside(doc, "history.0.what")), "blocked");
	json_decref(doc);
}

/* --- The report ------------------------------------------------------------------------------- */

static void test_report_is_the_list_of_flagged(void **state)
{
	static const char *const parts[] = {
		"flagged       1\n", "203.0.113.1", "enforce",
		"20.0 nats",	     "Thirty.",	    "sources       3, clients 3, fingerprints 1\n"
	};
	struct fg_answer a;
	char *text = NULL;
	size_t n = 0;
	FILE *out;

	(void)state;
	flag(1, 20, true, 3600, core.now_ns - 10 * S);
	flag(1, 20, true, 3600, core.now_ns);
	a = ask("GET", "/v1/flagged", NULL, NULL);
	out = open_memstream(&text, &n);
	assert_int_equal(fg_report_write(out, &core.view, true), 0);
	fclose(out);
	assert_string_equal(text, a.body);
	free(a.body);
	free(text);
	out = open_memstream(&text, &n);
	assert_int_equal(fg_report_write(out, &core.view, false), 0);
	fclose(out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no '%s' in:\n%s", parts[i], text);
	free(text);
	out = fopen("/dev/full", "w");
	assert_non_null(out);
	assert_true(fg_report_write(out, &core.view, true) < 0);
	fclose(out);
	out = fopen("/dev/full", "w");
	assert_non_null(out);
	assert_true(fg_report_write(out, &core.view, false) < 0);
	fclose(out);
}

/* --- What decisions may hold ------------------------------------------------------------------ */

/* Everything that a decision can change, as the API tells it. */
static char *standing(void)
{
	static const char *const asked[][2] = { { "/v1/flagged", "tier=observe" },
						{ "/v1/allow", NULL },
						{ "/v1/history", "source=203.0.113.7" },
						{ "/v1/export", "format=plain" } };
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct fg_answer a = ask("GET", asked[i][0], asked[i][1], NULL);

		assert_int_equal(a.status, 200);
		fputs(a.body, out);
		fputs(a.etag, out);
		free(a.body);
	}
	fclose(out);
	return text;
}

/* No type but a text, for no key; and no key that only looks like one. */
static void test_serve_refuses_members_of_other_types(void **state)
{
	static const char *const paths[] = { "/v1/block", "/v1/allow", "/v1/unblock",
					     "/v1/disallow" };
	static const char *const keys[] = { "prefix stem ttl reason", "prefix ttl reason",
					    "prefix reason", "prefix" };
	static const char *const values[] = {
		"7", "true", "[]", "{}", "[\"203.0.113.7\"]", "1e400"
	};
	char *before, *after;

	(void)state;
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.7\"}", 200));
	json_decref(document("POST", "/v1/allow", NULL, "{\"prefix\":\"198.51.100.7\"}", 200));
	before = standing();
	for (size_t i = 0; i < 4; i++) {
		char known[64], body[256], *key, *rest = known;

		snprintf(known, sizeof(known), "%s", keys[i]);
		while ((key = strtok_r(rest, " ", &rest))) {
			for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
				bool number = !strcmp(values[k], "1e400"); /* no JSON of ours */

				snprintf(body, sizeof(body), "{%s\"%s\":%s}",
					 strcmp(key, "prefix") ? "\"prefix\":\"203.0.113.7\"," : "",
					 key, values[k]);
				assert_refused("POST", paths[i], NULL, body, 400,
					       number ? "no JSON" : key);
			}
		}
		snprintf(body, sizeof(body), "{\"prefix\":\"203.0.113.7\",\"%s \":\"x\"}", keys[i]);
		assert_refused("POST", paths[i], NULL, body, 400, "has no meaning");
		if (!strchr(keys[i], ' '))
			continue;
		snprintf(body, sizeof(body), "{\"prefix\":\"203.0.113.7\",\"%s\":\"x\"}", keys[i]);
		assert_refused("POST", paths[i], NULL, body, 400, "has no meaning");
	}
	after = standing();
	assert_string_equal(after, before);
	assert_int_equal(changes, 2);
	free(before);
	free(after);
}

/* A body with a reason of n bytes, padded with a letter. */
static const char *with_reason(size_t n)
{
	static char body[512];

	snprintf(body, sizeof(body), "{\"prefix\":\"203.0.113.7\",\"reason\":\"%0*d\"}", (int)n, 0);
	return body;
}

static void test_serve_decisions_keep_to_their_bounds(void **state)
{
	json_t *doc;

	(void)state;
	assert_refused("POST", "/v1/block", NULL, with_reason(160), 400, "reason");
	assert_refused("POST", "/v1/allow", NULL, with_reason(160), 400, "reason");
	assert_int_equal(fg_store_n(core.store) + fg_store_n_allow(core.store), 0);
	json_decref(document("POST", "/v1/block", NULL, with_reason(159), 200));
	assert_int_equal(strlen(fg_store_at(core.store, 0)->reason), 159);
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"192.0.2.1\",\"ttl\":\"86401\"}",
		       400, "ttl: '86401' is more than 24 h");
	assert_refused("POST", "/v1/block", NULL,
		       "{\"prefix\":\"192.0.2.1\",\"reason\":\"a\\u0000b\"}", 400, "no JSON");
	assert_refused("POST", "/v1/block", NULL, "{\"prefix\":\"192.0.2.1\",\"reason\":\"\xff\"}",
		       400, "no JSON");
	assert_refused("POST", "/v1/allow", NULL, "{\"prefix\":\"192.0.2.1\",\"ttl\":\"3651d\"}",
		       400, "ttl: '3651d' is more than");
	assert_int_equal(fg_store_n(core.store), 1);
	doc = document("POST", "/v1/block", NULL,
		       "{\"prefix\":\"192.0.2.1\",\"ttl\":\"24h\",\"stem\":null,\"reason\":\"\"}",
		       200);
	assert_int_equal(json_integer_value(json_object_get(doc, "id")),
			 fg_store_at(core.store, 1)->decision);
	json_decref(doc);
	assert_int_equal(fg_store_at(core.store, 1)->until_ns, core.now_ns + 86400 * S);
	assert_int_equal(fg_store_at(core.store, 1)->stem, 0);
	/* without a ttl a block ends by itself, an allow does not */
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"192.0.2.2\"}", 200));
	assert_int_equal(fg_store_at(core.store, 2)->until_ns, core.now_ns + FG_DEFAULT_TTL_S * S);
	json_decref(document("POST", "/v1/allow", NULL,
			     "{\"prefix\":\"192.0.2.0/28\",\"ttl\":\"3650d\"}", 200));
	json_decref(document("POST", "/v1/allow", NULL, "{\"prefix\":\"192.0.2.16/28\"}", 200));
	assert_int_equal(fg_store_allow_at(core.store, 0)->until_ns,
			 core.now_ns + 3650 * 86400 * S);
	assert_int_equal(fg_store_allow_at(core.store, 1)->until_ns, 0);
}

static void test_serve_a_stem_is_of_one_source(void **state)
{
	static const char *const wide[] = { "2001:db8::/63", "2001:db8::/48", "203.0.113.0/31",
					    "0.0.0.0/0" };
	char body[256];

	(void)state;
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		snprintf(body, sizeof(body), "{\"prefix\":\"%s\",\"stem\":\"%s\"}", wide[i],
			 stem_text);
		assert_refused("POST", "/v1/block", NULL, body, 400, "prefix: ");
	}
	assert_int_equal(fg_store_n(core.store), 0);
	snprintf(body, sizeof(body), "{\"prefix\":\"2001:db8::/64\",\"stem\":\"%s\"}", stem_text);
	json_decref(document("POST", "/v1/block", NULL, body, 200));
	assert_string_equal(fg_store_at(core.store, 0)->stem_text, stem_text);
}

static void etag_of(const char *format, char tag[48])
{
	char arguments[64];
	struct fg_answer a;

	snprintf(arguments, sizeof(arguments), "format=%s", format);
	a = ask("GET", "/v1/export", arguments, NULL);
	assert_int_equal(a.status, 200);
	assert_true(a.n > 0 || !strcmp(format, "plain") || !strcmp(format, "exabgp"));
	strcpy(tag, a.etag);
	free(a.body);
}

static void test_serve_tags_follow_the_set(void **state)
{
	static const char *const formats[] = { "nft",	"ipset",    "json",   "csv",  "haproxy",
					       "nginx", "crowdsec", "exabgp", "stix", "plain" };
	static const struct {
		const char *path, *body;
	} steps[] = {
		{ "/v1/block", "{\"prefix\":\"203.0.113.7\"}" },
		{ "/v1/allow", "{\"prefix\":\"203.0.113.0/24\"}" },
		{ "/v1/disallow", "{\"prefix\":\"203.0.113.0/24\"}" },
		{ "/v1/unblock", "{\"prefix\":\"203.0.113.7\"}" },
	};
	struct fg_answer a;

	(void)state;
	for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			char before[48], after[48];

			etag_of(formats[f], before);
			assert_refused("POST", steps[i].path, NULL, "{\"prefix\":\"x\"}", 400,
				       "prefix");
			core.now_ns += S; /* durations run, the set is the same */
			etag_of(formats[f], after);
			assert_string_equal(after, before);
			json_decref(document("POST", steps[i].path, NULL, steps[i].body, 200));
			etag_of(formats[f], after);
			assert_string_not_equal(after, before);
		}
	}
	a = ask("GET", "/v1/export", "format=xml", NULL);
	assert_string_equal(a.etag, "");
	free(a.body);
	a = ask("GET", "/v1/sources", NULL, NULL);
	assert_string_equal(a.etag, "");
	free(a.body);
}

static void test_serve_export_formats(void **state)
{
	static const char text[] = "text/plain; charset=utf-8", json[] = "application/json";
	static const char *const formats[][3] = {
		{ "nft", text, "table inet farmgate\ndelete table inet farmgate\n" },
		{ "ipset", text, "create farmgate4_new hash:ip family inet " },
		{ "json", json, "[{\"duration\":\"3600s\"" },
		{ "csv", "text/csv; charset=utf-8",
		  "duration,scope,type,value,reason\n3600s,Ip,ban,203.0.113.7," },
		{ "plain", text, "203.0.113.7\n" },
		{ "haproxy", text, "# farmgate, " },
		{ "nginx", text, "# farmgate, " },
		{ "crowdsec", json, "[{\"duration\":\"1h0m0s\",\"origin\":\"farmgate\"" },
		{ "exabgp", text, "announce flow route { match { source 203.0.113.7/32; } " },
		{ "exabgp&rows=1", text, "{\"left_out\":0," },
		{ "stix", "application/stix+json;version=2.1", "{\"type\":\"bundle\",\"id\":" },
	};

	(void)state;
	json_decref(document("POST", "/v1/block", NULL, "{\"prefix\":\"203.0.113.7\"}", 200));
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char arguments[64];
		struct fg_answer a;

		snprintf(arguments, sizeof(arguments), "format=%s", formats[i][0]);
		a = ask("GET", "/v1/export", arguments, NULL);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.type, formats[i][1]);
		if (strncmp(a.body, formats[i][2], strlen(formats[i][2])))
			fail_msg("%s begins: %.80s", formats[i][0], a.body);
		free(a.body);
		snprintf(arguments, sizeof(arguments), "format=%s&dry_run=1", formats[i][0]);
		a = ask("GET", "/v1/export", arguments, NULL);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.type, text);
		assert_non_null(strstr(a.body, "1 would be blocked"));
		free(a.body);
	}
	/* a trial run is one of a format that there is */
	assert_refused("GET", "/v1/export", "format=xml&dry_run=1", NULL, 400, "format: 'xml'");
	assert_refused("GET", "/v1/export", "format=xml", NULL, 400,
		       "nft, ipset, json, csv, plain, haproxy, nginx, crowdsec, exabgp or stix");
	/* what a format is told wrongly, or that is none of its business */
	assert_refused("GET", "/v1/export", "format=exabgp&bgp=rtbh", NULL, 400, "next-hop: rtbh");
	assert_refused("GET", "/v1/export", "format=exabgp&tier=alert", NULL, 400, "tier: exabgp");
	assert_refused("GET", "/v1/export", "format=csv&max=5", NULL, 400, "max: ");
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

static void open_server(void)
{
	char why[256] = "";

	if (serve(why, sizeof(why)))
		fail_msg("%s", why);
}

/* One request on a connection of its own. */
static void once(const char *request, const char *until)
{
	int fd = dial();

	say_text(fd, request);
	hear(fd, until);
	close(fd);
}

static void test_http_says_which_methods_there_are(void **state)
{
	static const char *const methods[] = { "PUT", "DELETE", "OPTIONS", "PATCH" };
	char request[128];

	(void)state;
	open_server();
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		snprintf(request, sizeof(request), "%s /v1/allow HTTP/1.1\r\nHost: x\r\n\r\n",
			 methods[i]);
		once(request, "\r\n\r\n");
		assert_memory_equal(heard, "HTTP/1.1 405 ", 13);
		assert_non_null(strstr(heard, "\r\nAllow: GET, HEAD, POST\r\n"));
	}
	fg_http_close(&http);
}

/* Two requests in one breath: two answers, in their order. */
static void test_http_answers_what_waits_behind_another(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say_text(fd, "GET /v1/cohorts HTTP/1.1\r\nHost: x\r\n\r\n"
		     "GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	hear(fd, "no such path");
	assert_memory_equal(heard, "HTTP/1.1 200 ", 13);
	assert_true(strstr(heard, "\"cohorts\"") < strstr(heard, "HTTP/1.1 404 "));
	close(fd);
	fg_http_close(&http);
}

/* The largest body is read and judged, a byte more is not. */
static void test_http_takes_bodies_up_to_the_cap(void **state)
{
	static char body[65536];
	char head[128];
	int fd;

	(void)state;
	memset(body, ' ', sizeof(body));
	memcpy(body, "{\"prefix\":\"192.0.2.1\"}", 22);
	open_server();
	fd = dial();
	snprintf(head, sizeof(head),
		 "POST /v1/allow HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", sizeof(body));
	say_text(fd, head);
	say(fd, body, sizeof(body));
	hear(fd, "{\"ok\":true");
	close(fd);
	assert_int_equal(fg_store_n_allow(core.store), 1);
	/* and cut in pieces by its sender */
	fd = dial();
	say_text(fd, "POST /v1/allow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (const char *at = "{\"prefix\":\"192.0.2.2\"}"; *at; at++) {
		char chunk[16];

		snprintf(chunk, sizeof(chunk), "1\r\n%c\r\n", *at);
		say_text(fd, chunk);
	}
	say_text(fd, "0\r\n\r\n");
	hear(fd, "{\"ok\":true");
	close(fd);
	assert_int_equal(fg_store_n_allow(core.store), 2);
	once("POST /v1/allow HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", NULL);
	assert_null(strstr(heard, " 200 "));
	fg_http_close(&http);
}

/* Some leave in the middle: of a head, of a body, of an answer. Nothing is decided, others are
 * served. */
static void test_http_outlives_those_who_leave(void **state)
{
	static const char *const halves[] = {
		"GET /v1/sour",
		"POST /v1/block HTTP/1.1\r\nHost: x\r\nContent-Length: 23\r\n\r\n{\"prefix\":\"192.0.2.1",
		"GET /v1/clients HTTP/1.1\r\nHost: x\r\n\r\n",
		"",
	};

	(void)state;
	open_server();
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
			int fd = dial();

			say_text(fd, halves[i]);
			fg_http_run(http);
			close(fd);
		}
	}
	once("GET /v1/cohorts HTTP/1.1\r\nHost: x\r\n\r\n", "\"total\":0}\n");
	assert_int_equal(fg_store_n(core.store), 0);
	assert_int_equal(changes, 0);
	fg_http_close(&http);
}

/* An answer larger than a socket takes, read in small pieces: whole, as long as it says. */
static void test_http_sends_large_answers_whole(void **state)
{
	const char *body, *length;
	struct fg_answer a;

	(void)state;
	fill_mixed();
	for (int i = 0; i < 300; i++) {
		char decision[256];

		snprintf(decision, sizeof(decision),
			 "{\"prefix\":\"10.1.%d.%d\",\"reason\":\"%0150d\"}", i >> 8, i & 255, i);
		json_decref(document("POST", "/v1/block", NULL, decision, 200));
	}
	a = ask("GET", "/v1/flagged", NULL, NULL);
	assert_true(a.n > 100000 && a.n < sizeof(heard));
	open_server();
	once("GET /v1/flagged HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	body = strstr(heard, "\r\n\r\n");
	length = strstr(heard, "Content-Length: ");
	assert_non_null(body);
	assert_non_null(length);
	assert_int_equal(atoi(length + 16), a.n);
	assert_string_equal(body + 4, a.body);
	free(a.body);
	fg_http_close(&http);
}

/* Whatever the mask of the process: its owner and its group, and it is given back. */
static void test_http_socket_is_for_owner_and_group(void **state)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	const mode_t before = umask(022);
	struct stat st;

	(void)state;
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		umask(masks[i]);
		open_server();
		assert_int_equal(umask(before), masks[i]);
		assert_int_equal(lstat(socket_path, &st), 0);
		assert_true(S_ISSOCK(st.st_mode));
		assert_int_equal(st.st_mode & 07777, 0660);
		fg_http_close(&http);
	}
}

static void test_http_makes_its_folder_and_no_more(void **state)
{
	char path[160], why[256] = "", far[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/run/socket", folder);
	assert_int_equal(fg_http_open(path, &core.view, &http, why, sizeof(why)), 0);
	fg_http_close(&http);
	assert_int_equal(access(path, F_OK), -1);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/not/there/socket", folder);
	assert_int_equal(fg_http_open(path, &core.view, &http, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "cannot be served"));
	snprintf(far, sizeof(far), "%s/%0*d", folder, 200, 0);
	assert_int_equal(fg_http_open(far, &core.view, &http, why, sizeof(why)), -ENAMETOOLONG);
	assert_non_null(strstr(why, "too long"));
	assert_null(http);
}

/* Another agent's socket in the place of ours is not ours to remove. */
static void test_http_leaves_the_socket_of_another(void **state)
{
	struct fg_http *first;
	struct stat st, now;

	(void)state;
	open_server();
	first = http;
	assert_int_equal(unlink(socket_path), 0);
	open_server();
	assert_int_equal(lstat(socket_path, &st), 0);
	fg_http_close(&first);
	assert_null(first);
	assert_int_equal(lstat(socket_path, &now), 0);
	assert_int_equal(now.st_ino, st.st_ino);
	once("GET /v1/cohorts HTTP/1.1\r\nHost: x\r\n\r\n", "\"total\":0}\n");
	fg_http_close(&http);
	assert_int_equal(lstat(socket_path, &now), -1);
	fg_http_close(&http); /* of nothing: nothing */
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
		TEST(test_serve_blocks_a_prefix_in_two_steps),
		TEST(test_serve_decides_about_a_cohort),
		TEST(test_serve_shows_what_cools),
		TEST(test_serve_refuses_decisions),
		TEST(test_serve_an_export_is_known_by_its_tag),
		TEST(test_serve_rows_have_the_keys_of_the_contract),
		TEST(test_serve_lists_sort_by_each_of_their_fields),
		TEST(test_serve_a_limit_cuts_the_list_and_changes_no_order),
		TEST(test_serve_since_includes_its_moment),
		TEST(test_serve_since_may_be_far_away),
		TEST(test_serve_flagged_keeps_to_the_tier),
		TEST(test_serve_every_list_reads_its_arguments),
		TEST(test_serve_says_which_methods_there_are),
		TEST(test_serve_explains_what_it_never_saw),
		TEST(test_report_is_the_list_of_flagged),
		TEST(test_serve_refuses_members_of_other_types),
		TEST(test_serve_decisions_keep_to_their_bounds),
		TEST(test_serve_a_stem_is_of_one_source),
		TEST(test_serve_tags_follow_the_set),
		TEST(test_serve_export_formats),
		TEST(test_http_answers_again_and_again),
		TEST(test_http_refuses),
		TEST(test_http_says_which_methods_there_are),
		TEST(test_http_answers_what_waits_behind_another),
		TEST(test_http_takes_bodies_up_to_the_cap),
		TEST(test_http_outlives_those_who_leave),
		TEST(test_http_sends_large_answers_whole),
		TEST(test_http_socket_is_for_owner_and_group),
		TEST(test_http_makes_its_folder_and_no_more),
		TEST(test_http_leaves_the_socket_of_another),
		TEST(test_http_takes_the_place_of_the_dead_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
