/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* export/lapi.h against a LAPI that lives in this file: what is sent, in what pieces, and that
 * nothing is sent twice, wherever a request breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/lapi.h"
#include "export/lapi_json.h"
#include "lib/ip.h"
#include "lib/num.h"

#define S	      1000000000ULL
#define NOW	      (1795435200 * S)

#define MAX_DECISIONS 8192

/* A decision, or an alert that led to none (id 0). */
struct decision {
	int64_t id, alert;
	char value[FG_IP_TEXT], scenario[40], told[32];
	char scope[16]; /* of the source of its alert */
	uint64_t until_ns; /* by its clock */
};

static struct {
	uint64_t now_ns; /* ours */
	int64_t skew_ns; /* its clock minus ours */
	struct decision decisions[MAX_DECISIONS];
	size_t n;
	int64_t alerts, ids;
	unsigned int logins, posts, deletes, beats, reads;
	size_t sizes[64]; /* decisions or alerts of each post that was taken */
	int token; /* the one that holds */
	bool profile; /* makes decisions of 4 h on alerts of one address */
	/* troubles */
	bool down; /* no connection */
	unsigned int refuse_posts; /* 500 so many times */
	unsigned int lose_posts; /* takes them, but the answer never comes */
	const char *login_says; /* refuses with this */
	const char *next_body; /* instead of the next answer's */
	uint64_t step_ns; /* how long each request takes */
} its;

static struct fg_lapi *lapi;
static char password_file[] = "/tmp/farmgate-lapi-XXXXXX";
static struct fg_export_set set;
static struct fg_export_item items[MAX_DECISIONS];
static char why[256];

static uint64_t its_now(void)
{
	return its.now_ns + (uint64_t)its.skew_ns;
}

static uint64_t now_ns(void *arg)
{
	(void)arg;
	return its.now_ns;
}

static int answer(struct fg_lapi_answer *a, unsigned int status, const char *body)
{
	if (its.next_body) {
		body = its.next_body;
		its.next_body = NULL;
	}
	a->status = status;
	a->body = strdup(body);
	a->n_body = strlen(body);
	a->date_ns = its_now() / S * S;
	return 0;
}

static int take_login(const struct fg_lapi_request *q, struct fg_lapi_answer *a)
{
	char body[256], expire[32];
	json_t *doc = json_loadb(q->body, q->n_body, 0, NULL);

	its.logins++;
	assert_string_equal(json_string_value(json_object_get(doc, "machine_id")), "farmgate1");
	assert_int_equal(json_array_size(json_object_get(doc, "scenarios")), 3);
	if (its.login_says) {
		snprintf(body, sizeof(body), "{\"code\":401,\"message\":\"%s\"}", its.login_says);
		json_decref(doc);
		return answer(a, 401, body);
	}
	assert_string_equal(json_string_value(json_object_get(doc, "password")), "secret");
	json_decref(doc);
	fg_num_time(its_now() + 3600 * S, expire);
	snprintf(body, sizeof(body), "{\"code\":200,\"expire\":\"%s\",\"token\":\"t%d\"}", expire,
		 its.token);
	return answer(a, 200, body);
}

static const char *text_at(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	assert_non_null(text);
	return text;
}

/* @return stop_at. */
static uint64_t check_required(json_t *alert)
{
	static const char *const keys[] = { "scenario",	  "scenario_hash", "scenario_version",
					    "message",	  "events_count",  "start_at",
					    "stop_at",	  "capacity",	   "leakspeed",
					    "simulated",  "events",	   "source",
					    "remediation" };
	uint64_t stop_ns;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(json_object_get(alert, keys[i]));
	assert_int_equal(fg_num_time_parse(text_at(alert, "stop_at"), &stop_ns), 0);
	assert_true(stop_ns <= its_now() + 2 * S && stop_ns + 2 * S >= its_now());
	text_at(json_object_get(alert, "source"), "scope");
	text_at(json_object_get(alert, "source"), "value");
	return stop_ns;
}

static struct decision *new_decision(const char *value, const char *scenario, const char *scope)
{
	struct decision *d = &its.decisions[its.n++];

	assert_true(its.n <= MAX_DECISIONS);
	*d = (struct decision){ .alert = its.alerts };
	snprintf(d->value, sizeof(d->value), "%s", value);
	snprintf(d->scenario, sizeof(d->scenario), "%s", scenario);
	snprintf(d->scope, sizeof(d->scope), "%s", scope);
	return d;
}

/* As 1.4.6 does: each alert for itself, no duplicate refused. */
static size_t take_alert(json_t *alert)
{
	json_t *source = json_object_get(alert, "source"), *d, *meta;
	json_t *decisions = json_object_get(alert, "decisions");
	uint64_t stop_ns;
	int64_t life_ns;
	size_t i;

	stop_ns = check_required(alert);
	its.alerts++;
	json_array_foreach(decisions, i, d)
	{
		struct decision *made = new_decision(text_at(d, "value"), text_at(d, "scenario"),
						     text_at(source, "scope"));

		assert_string_equal(text_at(d, "type"), "ban");
		assert_string_equal(text_at(d, "origin"), "farmgate");
		assert_string_equal(text_at(d, "scope"), strchr(made->value, '/') ? "Range" : "Ip");
		assert_int_equal(fg_lapi_duration(text_at(d, "duration"), &life_ns), 0);
		assert_true(life_ns >= (int64_t)S);
		made->id = ++its.ids;
		made->until_ns = stop_ns + (uint64_t)life_ns;
	}
	if (i)
		return i;
	new_decision(text_at(source, "value"), text_at(alert, "scenario"),
		     text_at(source, "scope"));
	json_array_foreach(json_object_get(json_array_get(json_object_get(alert, "events"), 0),
					   "meta"),
			   i, meta)
	{
		if (!strcmp(text_at(meta, "key"), "until"))
			snprintf(its.decisions[its.n - 1].told, 32, "%s", text_at(meta, "value"));
	}
	if (its.profile && !strcmp(text_at(source, "scope"), "Ip")) {
		its.decisions[its.n - 1].id = ++its.ids;
		its.decisions[its.n - 1].until_ns = its_now() + 4 * 3600 * S;
	}
	return 1;
}

static int take_alerts(const struct fg_lapi_request *q, struct fg_lapi_answer *a, char *text,
		       size_t n_text)
{
	json_t *doc = json_loadb(q->body, q->n_body, 0, NULL), *alert, *ids = json_array();
	size_t i, n = 0;
	char *body, id[24];
	int r;

	assert_true(json_is_array(doc) && q->once);
	if (its.refuse_posts) {
		its.refuse_posts--;
		json_decref(doc);
		json_decref(ids);
		return answer(a, 500, "{\"message\":\"database is locked\"}");
	}
	json_array_foreach(doc, i, alert)
	{
		n += take_alert(alert);
		snprintf(id, sizeof(id), "%lld", (long long)its.alerts);
		json_array_append_new(ids, json_string(id));
	}
	assert_true(its.posts < 64);
	its.sizes[its.posts++] = n;
	body = json_dumps(ids, 0);
	r = answer(a, 201, body);
	free(body);
	json_decref(ids);
	json_decref(doc);
	if (its.lose_posts) {
		its.lose_posts--;
		snprintf(text, n_text, "timed out");
		return -EIO;
	}
	return r;
}

static json_t *show(const struct decision *d)
{
	double left_s = ((double)d->until_ns - (double)its_now()) / 1e9;
	char duration[48];
	json_t *decisions = NULL, *events = json_array();

	snprintf(duration, sizeof(duration), "%.6fs", left_s);
	if (d->id)
		decisions = json_pack("[{s:I,s:s,s:s}]", "id", (json_int_t)d->id, "value", d->value,
				      "duration", duration);
	if (d->told[0])
		json_array_append_new(events, json_pack("{s:[{s:s,s:s}]}", "meta", "key", "until",
							"value", d->told));
	return json_pack("{s:I,s:s,s:{s:s},s:o,s:o?}", "id", (json_int_t)d->alert, "machine_id",
			 "farmgate1", "source", "value", d->value, "events", events, "decisions",
			 decisions);
}

/* A filter of 1.4.6: of the scenario of decisions, or of the scope of the alert's source. */
static bool matches(const char *query, const struct decision *d)
{
	char filter[80];

	snprintf(filter, sizeof(filter), "&scenario=%s&", d->scenario);
	if (d->id && strstr(query, filter))
		return true;
	snprintf(filter, sizeof(filter), "&scope=%s&", d->scope);
	return strstr(query, filter);
}

/* Each decision as an alert of its own, which parses the same. */
static int show_alerts(const struct fg_lapi_request *q, struct fg_lapi_answer *a)
{
	bool active = strstr(q->path, "has_active_decision=true");
	json_t *all = json_array();
	char *body;
	int r;

	its.reads++;
	/* any other limit and the real one may never answer */
	assert_non_null(strstr(q->path, "?limit=0&"));
	for (size_t i = 0; i < its.n; i++) {
		const struct decision *d = &its.decisions[i];

		if (matches(q->path, d) && (!active || (d->id && d->until_ns > its_now())))
			json_array_append_new(all, show(d));
	}
	body = json_array_size(all) ? json_dumps(all, 0) : strdup("null");
	r = answer(a, 200, body);
	free(body);
	json_decref(all);
	return r;
}

static int show_alert(const struct fg_lapi_request *q, struct fg_lapi_answer *a)
{
	int64_t id = atoll(strrchr(q->path, '/') + 1);
	json_t *all = NULL;
	char *body;
	int r;

	for (size_t i = 0; i < its.n; i++) {
		json_t *one = its.decisions[i].alert == id ? show(&its.decisions[i]) : NULL;

		if (!one)
			continue;
		if (!all)
			all = one;
		else {
			json_array_extend(json_object_get(all, "decisions"),
					  json_object_get(one, "decisions"));
			json_decref(one);
		}
	}
	if (!all)
		return answer(a, 404, "{\"message\":\"object not found\"}");
	body = json_dumps(all, 0);
	r = answer(a, 200, body);
	free(body);
	json_decref(all);
	return r;
}

static int delete_decision(const struct fg_lapi_request *q, struct fg_lapi_answer *a)
{
	int64_t id = atoll(strrchr(q->path, '/') + 1);

	for (size_t i = 0; i < its.n; i++) {
		if (its.decisions[i].id != id)
			continue;
		its.deletes++;
		its.decisions[i].until_ns = its_now();
		return answer(a, 200, "{\"nbDeleted\":\"1\"}");
	}
	return answer(a, 500, "{\"message\":\"decision with id '9' doesn't exist\"}");
}

static int exchange(void *arg, const struct fg_lapi_request *q, struct fg_lapi_answer *a,
		    char *text, size_t n_text)
{
	char token[16];

	(void)arg;
	assert_true(q->timeout_ms && q->timeout_ms <= 10000);
	its.now_ns += its.step_ns;
	if (its.down) {
		snprintf(text, n_text, "connection refused");
		return -ENOTCONN;
	}
	if (!strcmp(q->path, "/v1/watchers/login"))
		return take_login(q, a);
	snprintf(token, sizeof(token), "t%d", its.token);
	assert_non_null(q->token);
	if (strcmp(q->token, token))
		return answer(a, 401, "{\"code\":401,\"message\":\"signature is invalid\"}");
	if (!strcmp(q->path, "/v1/heartbeat")) {
		its.beats++;
		return answer(a, 200, "");
	}
	if (!strcmp(q->method, "POST"))
		return take_alerts(q, a, text, n_text);
	if (!strcmp(q->method, "DELETE"))
		return delete_decision(q, a);
	return strchr(q->path, '?') ? show_alerts(q, a) : show_alert(q, a);
}

/* --- Set-up ----------------------------------------------------------------------------------- */

static void start(bool push)
{
	const struct fg_lapi_conf conf = { .url = "http://127.0.0.1:8080/",
					   .machine = "farmgate1",
					   .password_file = password_file,
					   .push = push };
	const struct fg_lapi_transport transport = { .exchange = exchange, .now_ns = now_ns };

	fg_lapi_free(&lapi);
	assert_int_equal(fg_lapi_new_over(&conf, &transport, &lapi), 0);
}

static void write_password(const char *text)
{
	FILE *f = fopen(password_file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int set_up(void **arg)
{
	(void)arg;
	memset(&its, 0, sizeof(its));
	memset(items, 0, sizeof(items));
	its.now_ns = NOW;
	set = (struct fg_export_set){ .items = items };
	strcpy(password_file + strlen(password_file) - 6, "XXXXXX");
	close(mkstemp(password_file));
	write_password("secret\n");
	start(true);
	return 0;
}

static int tear_down(void **arg)
{
	(void)arg;
	fg_lapi_free(&lapi);
	unlink(password_file);
	return 0;
}

/* Sorted by address: the caller's care. */
static struct fg_export_item *want(const char *prefix, uint64_t ttl_s)
{
	struct fg_export_item *item = &items[set.n++];

	*item = (struct fg_export_item){ .until_ns = its.now_ns + ttl_s * S, .by_operator = true };
	snprintf(item->reason, sizeof(item->reason), "operator");
	assert_int_equal(fg_ip_parse(prefix, item->addr, &item->bits), 0);
	return item;
}

static void want_many(size_t n)
{
	char text[FG_IP_TEXT];

	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "10.1.%zu.%zu", i / 256, i % 256);
		want(text, 3600);
	}
}

static int apply(void)
{
	why[0] = '\0';
	return fg_lapi_apply(lapi, &set, its.now_ns, why, sizeof(why));
}

static size_t standing(void)
{
	size_t n = 0;

	for (size_t i = 0; i < its.n; i++)
		n += its.decisions[i].id && its.decisions[i].until_ns > its_now();
	return n;
}

static size_t standing_on(const char *value)
{
	size_t n = 0;

	for (size_t i = 0; i < its.n; i++)
		n += its.decisions[i].id && its.decisions[i].until_ns > its_now() &&
		     !strcmp(its.decisions[i].value, value);
	return n;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void test_chunks(void **arg)
{
	(void)arg;
	want_many(2500);
	assert_int_equal(apply(), 2500);
	assert_int_equal(its.posts, 3);
	assert_int_equal(its.sizes[0], 1000);
	assert_int_equal(its.sizes[2], 500);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.posts, 3);
	assert_int_equal(its.logins, 1);
}

/* One alert a farm, one of all sources flagged by themselves, one of all operators' blocks. */
static void test_groups(void **arg)
{
	static const struct {
		const char *prefix;
		uint32_t cohort;
		bool by_operator;
	} rows[] = { { "2001:db8::/64", 7, false }, { "192.0.2.1", 7, false },
		     { "192.0.2.2", 8, false },	    { "192.0.2.3", 0, false },
		     { "192.0.2.4", 0, true },	    { "192.0.2.5", 0, false },
		     { "192.0.2.6", 9, true } };

	(void)arg;
	/* IPv4 lies below */
	for (size_t i = 1; i < 7; i++) {
		struct fg_export_item *item = want(rows[i].prefix, 60);

		item->cohort = rows[i].cohort;
		item->by_operator = rows[i].by_operator;
	}
	want(rows[0].prefix, 60)->cohort = 7;
	items[6].by_operator = false;
	assert_int_equal(apply(), 7);
	assert_int_equal(its.posts, 4);
	assert_int_equal(its.sizes[0], 2);
	assert_int_equal(its.sizes[1], 1);
	assert_int_equal(its.sizes[2], 2);
	assert_int_equal(its.sizes[3], 2);
	assert_string_equal(its.decisions[0].scenario, "farmgate/account-farm");
	assert_string_equal(its.decisions[3].scenario, "farmgate/source");
	assert_string_equal(its.decisions[5].scenario, "farmgate/operator");
}

static void test_removal(void **arg)
{
	(void)arg;
	want("192.0.2.1", 600);
	want("192.0.2.2", 600);
	assert_int_equal(apply(), 2);
	set.n = 1;
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 1);
	assert_int_equal(standing_on("192.0.2.1"), 1);
	assert_int_equal(its.deletes, 1);
	assert_int_equal(apply(), 0);
	/* expiry is the LAPI's own */
	its.now_ns += 601 * S;
	set.n = 0;
	assert_int_equal(apply(), 0);
	assert_int_equal(its.deletes, 1);
}

/* Another machine's decision on the same address stays. */
static void test_removes_only_ours(void **arg)
{
	(void)arg;
	want("192.0.2.1", 600);
	assert_int_equal(apply(), 1);
	its.alerts++;
	new_decision("192.0.2.1", "other/scenario", "Ip")->id = ++its.ids;
	its.decisions[1].until_ns = its.now_ns + 600 * S;
	set.n = 0;
	assert_int_equal(apply(), 1);
	assert_int_equal(standing_on("192.0.2.1"), 1);
	assert_true(its.decisions[1].until_ns > its.now_ns);
}

/* A longer end is told when the first is over, never by a second decision beside it. */
static void test_renewal(void **arg)
{
	(void)arg;
	want("192.0.2.1", 60);
	assert_int_equal(apply(), 1);
	items[0].until_ns += 3600 * S;
	assert_int_equal(apply(), 0);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
	its.now_ns += 61 * S;
	assert_int_equal(apply(), 0);
	its.now_ns += 2 * S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 1);
	assert_int_equal(standing_on("192.0.2.1"), 1);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
}

/* A shorter end: the long one goes at once, the short one comes when bouncers have heard. */
static void test_shorter(void **arg)
{
	(void)arg;
	want("192.0.2.1", 3600);
	assert_int_equal(apply(), 1);
	items[0].until_ns = its.now_ns + 300 * S;
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 0);
	assert_int_equal(apply(), 0);
	its.now_ns += 31 * S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 1);
	assert_int_equal(its.decisions[1].until_ns, its.now_ns + 269 * S);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
}

/* Unblocked and blocked again at once: the new one rests, too. */
static void test_block_again(void **arg)
{
	(void)arg;
	want("192.0.2.1", 600);
	assert_int_equal(apply(), 1);
	set.n = 0;
	assert_int_equal(apply(), 1);
	set.n = 1;
	assert_int_equal(apply(), 0);
	its.now_ns += 31 * S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 1);
}

static void test_restart(void **arg)
{
	(void)arg;
	want_many(1500);
	assert_int_equal(apply(), 1500);
	start(true);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.posts, 2);
	start(true);
	set.n = 1490;
	assert_int_equal(apply(), 10);
	assert_int_equal(standing(), 1490);
	assert_int_equal(its.deletes, 10);
}

/* Taken, and the answer lost: read back before anything is sent again. */
static void test_lost_answer(void **arg)
{
	(void)arg;
	want_many(2500);
	its.lose_posts = 1;
	assert_true(apply() < 0);
	assert_string_equal(why, "timed out");
	assert_int_equal(standing(), 1000);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 1500);
	assert_int_equal(standing(), 2500);
	assert_int_equal(its.posts, 3);
}

/* An answer of garbage to a request that was taken. */
static void test_garbage_after_taking(void **arg)
{
	static const char *const bodies[] = {
		"", "<html>", "[\"1\"", "[]", "[1,2]", "[\"x\"]", "{}"
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		char text[FG_IP_TEXT];

		snprintf(text, sizeof(text), "192.0.2.%zu", i + 1);
		want(text, 600);
		/* the next answer is the post's: token and memory are there */
		if (!i)
			continue;
		assert_true(apply() >= 0);
		snprintf(text, sizeof(text), "192.0.2.%zu", i + 100);
		want(text, 600);
		its.next_body = bodies[i];
		assert_true(apply() < 0);
		assert_non_null(strstr(why, "taken"));
		assert_int_equal(apply(), 0);
		assert_int_equal(standing_on(text), 1);
		set.n--;
		assert_int_equal(apply(), 1);
	}
}

static void test_garbage_when_reading(void **arg)
{
	(void)arg;
	want("192.0.2.1", 600);
	/* the login goes first */
	its.next_body = "{\"code\":200}";
	assert_int_equal(apply(), -EACCES);
	assert_string_equal(why, "login: the LAPI's answer holds no token");
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	its.next_body = "[{\"id\":\"x\"}]";
	assert_int_equal(apply(), -EBADMSG);
	assert_string_equal(why, "reading back: the LAPI's answer is no list of alerts");
	assert_int_equal(its.posts, 0);
	assert_int_equal(apply(), 1);
}

/* One request refused: the others go on, and it is sent again. */
static void test_refused(void **arg)
{
	(void)arg;
	want_many(2500);
	its.refuse_posts = 1;
	assert_int_equal(apply(), -EPROTO);
	assert_string_equal(why, "an alert: the LAPI says 500: database is locked");
	assert_int_equal(standing(), 1500);
	assert_int_equal(apply(), 1000);
	assert_int_equal(standing(), 2500);
	its.refuse_posts = 100;
	set.n = 0;
	want_many(2500);
	for (size_t i = 0; i < 2500; i++)
		items[i].addr[13] = 2;
	assert_true(apply() < 0);
	assert_int_equal(its.refuse_posts, 97);
}

static void test_down(void **arg)
{
	(void)arg;
	want_many(10);
	its.down = true;
	assert_true(apply() < 0);
	assert_string_equal(why, "connection refused");
	its.down = false;
	assert_int_equal(apply(), 10);
	its.down = true;
	set.n = 5;
	assert_true(apply() < 0);
	its.down = false;
	assert_int_equal(apply(), 5);
	assert_int_equal(standing(), 5);
}

static void test_token(void **arg)
{
	(void)arg;
	want("192.0.2.1", 3600);
	assert_int_equal(apply(), 1);
	/* good for an hour but a minute */
	its.now_ns += 3539 * S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
	assert_int_equal(its.logins, 1);
	its.now_ns += 61 * S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
	assert_int_equal(its.logins, 2);
	assert_int_equal(its.beats, 2);
	/* another secret: once more, and what is there is read again */
	its.token++;
	set.n = 0;
	want("192.0.2.2", 600);
	assert_int_equal(apply(), 1);
	assert_int_equal(its.logins, 3);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 0);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
}

static void test_heartbeat(void **arg)
{
	(void)arg;
	assert_int_equal(apply(), 0);
	for (int i = 0; i < 13; i++) {
		assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 0);
		its.now_ns += 10 * S;
	}
	assert_int_equal(its.beats, 3);
	its.down = true;
	its.now_ns += 60 * S;
	assert_true(fg_lapi_check(lapi, why, sizeof(why)) < 0);
	/* a target that does not answer is not in place, though nothing is to be sent */
	assert_true(apply() < 0);
	its.down = false;
	want("192.0.2.1", 600);
	assert_int_equal(apply(), 1);
	/* and one that lost its memory gets all of it again */
	its.n = 0;
	its.down = true;
	its.now_ns += 60 * S;
	assert_true(fg_lapi_check(lapi, why, sizeof(why)) < 0);
	its.down = false;
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 1);
}

static void test_refused_login(void **arg)
{
	static const struct {
		const char *says, *told;
	} rows[] = {
		{ "machine farmgate1 not validated",
		  "login: machine not validated: cscli machines validate farmgate1" },
		{ "ent: machine not found",
		  "login: the LAPI knows no machine farmgate1: cscli machines add farmgate1" },
		{ "incorrect Username or Password", "login: refused: wrong password for machine" },
	};

	(void)arg;
	for (size_t i = 0; i < 3; i++) {
		its.login_says = rows[i].says;
		assert_int_equal(apply(), -EACCES);
		assert_non_null(strstr(why, rows[i].told));
	}
	assert_int_equal(its.logins, 3);
	its.login_says = NULL;
	assert_int_equal(apply(), 0);
}

static void test_password_file(void **arg)
{
	char password[FG_LAPI_MAX_PASSWORD + 2], lines[400];

	(void)arg;
	assert_int_equal(fg_lapi_password(password_file, password, why, sizeof(why)), 0);
	assert_string_equal(password, "secret");
	chmod(password_file, 0604);
	assert_int_equal(fg_lapi_password(password_file, password, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "chmod 600"));
	chmod(password_file, 0640);
	assert_int_equal(fg_lapi_password(password_file, password, why, sizeof(why)), 0);
	write_password("\nsecret\n");
	assert_int_equal(fg_lapi_password(password_file, password, why, sizeof(why)), -EINVAL);
	memset(lines, 'x', 399);
	lines[399] = '\0';
	write_password(lines);
	assert_int_equal(fg_lapi_password(password_file, password, why, sizeof(why)), -EINVAL);
	assert_int_equal(fg_lapi_password("/tmp", password, why, sizeof(why)), -EINVAL);
	assert_int_equal(fg_lapi_password("/no/such", password, why, sizeof(why)), -ENOENT);
}

/* Profiles see one source an alert; their decisions may outlive the verdict, but not its removal. */
static void test_profile(void **arg)
{
	(void)arg;
	start(false);
	its.profile = true;
	want("192.0.2.1", 600);
	want("192.0.2.2", 600);
	want("192.0.2.3", 600);
	want("2001:db8::/64", 600);
	assert_int_equal(apply(), 4);
	assert_int_equal(its.posts, 1);
	assert_int_equal(its.alerts, 4);
	assert_int_equal(standing(), 3);
	/* a restart: nothing again, of the range neither */
	start(false);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.alerts, 4);
	/* unblocked: theirs goes with it */
	items[0] = items[1];
	items[1] = items[2];
	items[2] = items[3];
	set.n = 3;
	assert_int_equal(apply(), 1);
	assert_int_equal(standing_on("192.0.2.1"), 0);
	/* expired: theirs goes on */
	its.now_ns += 601 * S;
	set.n = 0;
	assert_int_equal(apply(), 0);
	assert_int_equal(standing(), 2);
	/* flagged again under their decision: nothing to say until it ends */
	want("192.0.2.2", 6 * 3600);
	assert_int_equal(apply(), 0);
	its.now_ns += 4 * 3600 * S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 1);
}

static void test_profile_many(void **arg)
{
	(void)arg;
	start(false);
	want_many(250);
	assert_int_equal(apply(), 250);
	assert_int_equal(its.posts, 3);
	assert_int_equal(its.sizes[2], 50);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.posts, 3);
}

/* Slow: what the time allows, then the rest. */
static void test_slow(void **arg)
{
	(void)arg;
	want_many(6000);
	its.step_ns = 2 * S;
	assert_int_equal(apply(), -EAGAIN);
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	for (int i = 0; i < 10 && apply() < 0; i++)
		;
	assert_int_equal(standing(), 6000);
	its.step_ns = 0;
	/* the last ones end with their verdicts, too, and a restart agrees */
	for (size_t i = 0; i < its.n; i++)
		assert_true(its.decisions[i].until_ns <= items[0].until_ns);
	start(true);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.deletes, 0);
	set.n = 5000;
	assert_int_equal(apply(), -EAGAIN);
	assert_non_null(strstr(why, "500 removals"));
	assert_int_equal(apply(), 500);
	assert_int_equal(standing(), 5000);
}

/* Its clock is another one: ends are told by it. */
static void test_clock(void **arg)
{
	(void)arg;
	its.skew_ns = -3000 * (int64_t)S;
	want("192.0.2.1", 600);
	assert_int_equal(apply(), 1);
	assert_int_equal(standing(), 1);
	assert_true(its.decisions[0].until_ns >= its_now() + 598 * S);
	assert_true(its.decisions[0].until_ns <= its_now() + 601 * S);
	start(true);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.logins, 2);
	/* ours is set: read back, and nothing twice */
	its.now_ns -= 120 * S;
	its.skew_ns += 120 * (int64_t)S;
	assert_int_equal(fg_lapi_check(lapi, why, sizeof(why)), 1);
	assert_int_equal(apply(), 0);
	assert_int_equal(its.posts, 1);
}

static void test_unexportable(void **arg)
{
	(void)arg;
	set.n_clients = 3;
	assert_int_equal(apply(), 0);
	assert_int_equal(fg_lapi_ops.unexportable(lapi), 3);
	assert_string_equal(fg_lapi_ops.name, "crowdsec");
	assert_int_equal(fg_lapi_ops.apply(lapi, &set, its.now_ns, why, sizeof(why)), 0);
}

static void test_durations(void **arg)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = { { "0", 0 },
		     { "0s", 0 },
		     { "59m59.5s", 3599500000000 },
		     { "-1m2s", -62000000000 },
		     { "1h0m0.25s", 3600250000000 },
		     { "750ms", 750000000 },
		     { "3\xc2\xb5s", 3000 },
		     { "1us2ns", 1002 } };
	static const char *const bad[] = { "",	   "2d",   "3600",	   "-",
					   "h",	   "1h2",  "1 h",	   "s",
					   "1.s.", "--1s", "99999999999h", "4294967295h" };
	int64_t ns;

	(void)arg;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(fg_lapi_duration(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fg_lapi_duration(bad[i], &ns), -EINVAL);
}

static void test_times(void **arg)
{
	static const char *const bad[] = { "", "2026-11-28", "2026-11-28T19:16:23",
					   "2026-11-28T19:16:23+1:00", "2026-11-28T19:16:23.Zx" };
	uint64_t z, ns;

	(void)arg;
	assert_int_equal(fg_num_time_parse("2026-11-28T18:16:23Z", &z), 0);
	assert_int_equal(fg_lapi_time("2026-11-29T03:16:23+09:00", &ns), 0);
	assert_int_equal(ns, z);
	assert_int_equal(fg_lapi_time("2026-11-28T13:46:23.123-04:30", &ns), 0);
	assert_int_equal(ns, z);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fg_lapi_time(bad[i], &ns), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_chunks),
		TEST(test_groups),
		TEST(test_removal),
		TEST(test_removes_only_ours),
		TEST(test_renewal),
		TEST(test_shorter),
		TEST(test_block_again),
		TEST(test_restart),
		TEST(test_lost_answer),
		TEST(test_garbage_after_taking),
		TEST(test_garbage_when_reading),
		TEST(test_refused),
		TEST(test_down),
		TEST(test_token),
		TEST(test_heartbeat),
		TEST(test_refused_login),
		TEST(test_password_file),
		TEST(test_profile),
		TEST(test_profile_many),
		TEST(test_slow),
		TEST(test_clock),
		TEST(test_unexportable),
		TEST(test_durations),
		TEST(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
