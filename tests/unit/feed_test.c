/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * serve/feed_line.c, serve/feed.c over a real socket, agent/feed.c's choice of a verdict, and
 * source/take.c's way from a connection to its client.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/feed.h"
#include "farmgate/hash.h"
#include "serve/feed.h"
#include "source/take.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define S	 1000000000ULL
#define NOW	 (1795435200 * S)
#define GOOD                                                                  \
	"{\"client\":\"203.0.113.7:51234\",\"server\":\"198.51.100.10:443\"," \
	"\"account\":\"9f86d081884c7d65\",\"outcome\":\"ok\",\"age\":\"week\"}"
#define LOOKUP                                                      \
	"{\"lookup\":{\"client\":\"203.0.113.7:51234\",\"server\":" \
	"\"198.51.100.10:443\"}}"

static const uint64_t seed[2] = { 3, 4 };
static char why[256];

static int parse(const char *text, struct fg_feed_line *ret_line)
{
	why[0] = '\0';
	return fg_feed_parse(text, strlen(text), seed, ret_line, why, sizeof(why));
}

static void is_v4(const uint8_t addr[16], uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t want[16] = { [10] = 0xff, 0xff, a, b, c, d };

	assert_memory_equal(addr, want, 16);
}

/* --- Lines ------------------------------------------------------------------------------------ */

static void test_feed_line_is_taken(void **state)
{
	struct fg_feed_line line;

	(void)state;
	assert_int_equal(parse(GOOD, &line), -1);
	assert_false(line.lookup);
	is_v4(line.pair.client, 203, 0, 113, 7);
	is_v4(line.pair.server, 198, 51, 100, 10);
	assert_int_equal(line.pair.client_port, 51234);
	assert_int_equal(line.pair.server_port, 443);
	assert_int_equal(line.outcome, FG_ACCOUNT_OK);
	assert_int_equal(line.age, FG_AGE_WEEK);
	assert_int_equal(parse(" {\"age\" : \"old\", \"outcome\":\"banned\", \"account\":"
			       "\"0123456789ABCDEF\", \"server\":\"[2001:db8::1]:443\", "
			       "\"client\":\"[::ffff:192.0.2.1]:1\"} ",
			       &line),
			 -1);
	is_v4(line.pair.client, 192, 0, 2, 1);
	assert_int_equal(line.pair.server[0], 0x20);
	assert_int_equal(line.outcome, FG_ACCOUNT_BANNED);
	assert_int_equal(line.age, FG_AGE_OLD);
	/* the age may be left out */
	assert_int_equal(parse("{\"client\":\"192.0.2.1:1\",\"server\":\"192.0.2.2:2\",\"account\":"
			       "\"0123456789abcdef\",\"outcome\":\"limited\"}",
			       &line),
			 -1);
	assert_int_equal(line.age, FG_AGE_UNKNOWN);
	assert_int_equal(parse(LOOKUP, &line), -1);
	assert_true(line.lookup);
	assert_int_equal(line.pair.client_port, 51234);
}

static uint64_t key_of(const char *digits)
{
	struct fg_feed_line line;
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"client\":\"192.0.2.1:1\",\"server\":\"192.0.2.2:2\",\"account\":\"%s\","
		 "\"outcome\":\"ok\"}",
		 digits);
	assert_int_equal(parse(text, &line), -1);
	return line.account;
}

static void test_feed_account_keys(void **state)
{
	static const char *const different[] = {
		"0000000000000000",
		"00000000000000000",
		"000000000000000000000000000000000",
		"0000000000000001",
		"1000000000000000",
		"00000000000000001",
		"00000000000000010000000000000000",
		"00000000000000000000000000000001",
		"0000000000000000000000000000000000000000000000000000000000000001",
		"1000000000000000000000000000000000000000000000000000000000000000",
	};

	(void)state;
	assert_true(key_of("abcdef0123456789") == key_of("ABCDEF0123456789"));
	for (size_t i = 0; i < COUNT(different); i++)
		for (size_t k = 0; k < i; k++)
			assert_true(key_of(different[i]) != key_of(different[k]));
}

#define ENDS		  "\"client\":\"192.0.2.1:1\",\"server\":\"192.0.2.2:2\","
#define WITH_CLIENT(text) "{\"client\":\"" text "\",\"server\":\"192.0.2.2:2\"}"

static void test_feed_line_is_refused_by_name(void **state)
{
	static const struct {
		const char *text;
		enum fg_feed_refused reason;
		const char *says; /* begins with */
	} rows[] = {
		{ "", FG_FEED_json, "no JSON object" },
		{ "hello", FG_FEED_json, "no JSON object" },
		{ "[]", FG_FEED_json, "no JSON object" },
		{ "{} {}", FG_FEED_json, "no JSON object" },
		{ "{\"client\":1,\"client\":2}", FG_FEED_json, "no JSON object" },
		{ "{\"client\":\"a\\u0000\"}", FG_FEED_json, "no JSON object" },
		{ "{}", FG_FEED_missing, "client: missing" },
		{ "{" ENDS "\"outcome\":\"ok\"}", FG_FEED_missing, "account: missing" },
		{ "{" ENDS "\"account\":\"0123456789abcdef\"}", FG_FEED_missing,
		  "outcome: missing" },
		{ "{\"client\":\"192.0.2.1:1\"}", FG_FEED_missing, "server: missing" },
		{ "{" ENDS "\"acount\":\"0123456789abcdef\"}", FG_FEED_unknown,
		  "acount: no such field" },
		{ "{" ENDS "\"account\":\"0123456789abcde\",\"outcome\":\"ok\"}", FG_FEED_account,
		  "account: no 16 to 64" },
		{ "{" ENDS "\"account\":\"0123456789abcdeg\",\"outcome\":\"ok\"}", FG_FEED_account,
		  "account: " },
		{ "{" ENDS
		  "\"account\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
		  "abcdef0\",\"outcome\":\"ok\"}",
		  FG_FEED_account, "account: " },
		{ "{" ENDS "\"account\":12,\"outcome\":\"ok\"}", FG_FEED_account,
		  "account: no text" },
		{ "{" ENDS "\"account\":\"0123456789abcdef\",\"outcome\":\"OK\"}", FG_FEED_outcome,
		  "outcome: 'OK' is none of" },
		{ "{" ENDS "\"account\":\"0123456789abcdef\",\"outcome\":\"ok\",\"age\":\"young\"}",
		  FG_FEED_age, "age: 'young' is none of" },
		{ "{" ENDS
		  "\"account\":\"0123456789abcdef\",\"outcome\":\"ok\",\"age\":\"unknown\"}",
		  FG_FEED_age, "age: 'unknown' is none of" },
		{ "{" ENDS "\"account\":\"0123456789abcdef\",\"outcome\":\"ok\",\"age\":null}",
		  FG_FEED_age, "age: no text" },
		{ WITH_CLIENT("192.0.2.1"), FG_FEED_client, "client: '192.0.2.1' is no ADDRESS" },
		{ WITH_CLIENT("192.0.2.1:0"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("192.0.2.1:65536"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("192.0.2.1:"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("192.0.2.0/24:1"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("[192.0.2.1]:1"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("2001:db8::1:443"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("[2001:db8::1:443"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("[]:443"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("[:443"), FG_FEED_client, "client: " },
		{ WITH_CLIENT(":"), FG_FEED_client, "client: " },
		{ WITH_CLIENT("[2001:db8::1%eth0]:443"), FG_FEED_client, "client: " },
		{ "{\"lookup\":7}", FG_FEED_lookup, "lookup: no object" },
		{ "{\"lookup\":{},\"client\":1}", FG_FEED_unknown, "client: no such field" },
		{ "{\"lookup\":{}}", FG_FEED_missing, "client: missing" },
		{ "{\"lookup\":{" ENDS "\"account\":1}}", FG_FEED_unknown,
		  "account: no such field" },
		{ "{\"lookup\":{\"client\":\"192.0.2.1:1\",\"server\":\"x\"}}", FG_FEED_server,
		  "server: 'x'" },
	};
	struct fg_feed_line line, before;
	char longest[FG_FEED_MAX_LINE + 2];

	(void)state;
	memset(&line, 0x55, sizeof(line));
	before = line;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int r = parse(rows[i].text, &line);

		if (r != (int)rows[i].reason || strncmp(why, rows[i].says, strlen(rows[i].says)))
			fail_msg("'%s': %d, says '%s'", rows[i].text, r, why);
		assert_memory_equal(&line, &before, sizeof(line));
	}
	memset(longest, ' ', sizeof(longest));
	memcpy(longest, GOOD, strlen(GOOD));
	assert_int_equal(fg_feed_parse(longest, FG_FEED_MAX_LINE, seed, &line, why, sizeof(why)),
			 -1);
	assert_int_equal(fg_feed_parse(longest, FG_FEED_MAX_LINE + 1, seed, &line, why,
				       sizeof(why)),
			 FG_FEED_too_long);
}

/* --- The socket ------------------------------------------------------------------------------- */

static char folder[64], path[96];
static struct fg_feed *feed;
static struct {
	struct fg_feed_line last;
	size_t pushes, lookups;
	int answer;
} owner;

static int on_push(void *arg, const struct fg_feed_line *line)
{
	assert_ptr_equal(arg, &owner);
	owner.last = *line;
	owner.pushes++;
	return owner.answer;
}

static void on_lookup(void *arg, const struct fg_feed_pair *pair,
		      struct fg_feed_verdict *ret_verdict)
{
	(void)arg;
	owner.lookups++;
	*ret_verdict = (struct fg_feed_verdict){ .tier = FG_TIER_ALERT,
						 .cohort = FG_COMMUNITY | 17,
						 .client_known = true };
	if (pair->client_port != 1)
		snprintf(ret_verdict->evidence, sizeof(ret_verdict->evidence), "203.0.113.7");
	else
		*ret_verdict = (struct fg_feed_verdict){ .tier = FG_TIER_OBSERVE };
}

static const struct fg_feed_ops ops = { on_push, on_lookup, &owner };

static int set_up(void **state)
{
	(void)state;
	memset(&owner, 0, sizeof(owner));
	strcpy(folder, "/tmp/farmgate-feed.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/sub/feed.sock", folder);
	return fg_feed_open(path, NULL, seed, &ops, &feed, why, sizeof(why));
}

static int tear_down(void **state)
{
	char sub[96];

	(void)state;
	fg_feed_close(&feed);
	snprintf(sub, sizeof(sub), "%s/sub", folder);
	return rmdir(sub) || rmdir(folder);
}

static int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(at.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	fg_feed_run(feed);
	return fd;
}

static void run(void)
{
	for (int i = 0; i < 200; i++)
		fg_feed_run(feed);
}

static void say_n(int fd, const char *text, size_t n)
{
	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
	run();
}

static void say(int fd, const char *text)
{
	say_n(fd, text, strlen(text));
}

/* What was answered, all of it. */
static const char *hear(int fd)
{
	static char text[65536];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n;

	do
		n = recv(fd, &byte, 1, 0);
	while (n == 1);
	return !n || errno == ECONNRESET;
}

static void test_feed_socket_is_for_its_group(void **state)
{
	struct fg_feed *other = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(fg_feed_open(path, NULL, seed, &ops, &other, why, sizeof(why)),
			 -EADDRINUSE);
	assert_non_null(strstr(why, "feed.socket"));
	assert_null(other);
	fg_feed_close(&feed);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(fg_feed_open(path, "no-such-group-here", seed, &ops, &feed, why,
				      sizeof(why)),
			 -ENOENT);
	assert_string_equal(why, "no group 'no-such-group-here' on this host");
	assert_int_equal(stat(path, &st), -1);
}

static void test_feed_takes_lines_however_they_are_cut(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, GOOD "\n" GOOD "\r\n" GOOD);
	assert_int_equal(owner.pushes, 2);
	say(fd, "\n");
	assert_int_equal(owner.pushes, 3);
	for (const char *at = GOOD "\n"; *at; at++)
		say_n(fd, at, 1);
	assert_int_equal(owner.pushes, 4);
	assert_int_equal(owner.last.pair.client_port, 51234);
	/* what is right gets no answer */
	assert_string_equal(hear(fd), "");
	assert_int_equal(fg_feed_counts(feed)->lines, 4);
	assert_int_equal(fg_feed_counts(feed)->messages, 4);
	close(fd);
}

static void test_feed_answers_what_is_wrong(void **state)
{
	const struct fg_feed_counts *c = fg_feed_counts(feed);
	const char *text;
	int fd = dial();

	(void)state;
	say(fd, GOOD "\nhello\n" LOOKUP "\n");
	text = hear(fd);
	assert_true(!strncmp(text, "{\"error\":\"no JSON object: ", 26));
	assert_non_null(strstr(text, ",\"line\":2}\n{\"tier\":\"alert\""));
	close(fd);
	fd = dial();
	say(fd, "{}\n" LOOKUP "\n");
	assert_string_equal(hear(fd), "{\"error\":\"client: missing\",\"line\":1}\n"
				      "{\"tier\":\"alert\",\"evidence\":\"203.0.113.7\",\"cohort\":"
				      "\"a17\",\"client\":\"known\"}\n");
	say(fd, "{\"lookup\":{\"client\":\"192.0.2.1:1\",\"server\":\"192.0.2.2:2\"}}\n");
	assert_string_equal(hear(fd), "{\"tier\":\"observe\",\"evidence\":null,\"cohort\":null,"
				      "\"client\":\"unknown\"}\n");
	assert_int_equal(c->refused[FG_FEED_json], 1);
	assert_int_equal(c->refused[FG_FEED_missing], 1);
	assert_int_equal(c->lookups, 3);
	assert_int_equal(c->lines, 6);
	assert_int_equal(owner.lookups, 3);
	close(fd);
}

static void test_feed_refuses_long_and_cut_lines(void **state)
{
	const struct fg_feed_counts *c = fg_feed_counts(feed);
	char text[3 * FG_FEED_MAX_LINE];
	int fd = dial();

	(void)state;
	memset(text, 'x', sizeof(text));
	say_n(fd, text, sizeof(text));
	assert_non_null(strstr(hear(fd), "longer than 1024 bytes"));
	say(fd, "\n" GOOD "\n");
	/* once for one line, and the next is taken */
	assert_int_equal(c->refused[FG_FEED_too_long], 1);
	assert_int_equal(owner.pushes, 1);
	say(fd, GOOD);
	shutdown(fd, SHUT_WR);
	run();
	assert_int_equal(owner.pushes, 1);
	assert_int_equal(c->refused[FG_FEED_cut], 1);
	assert_int_equal(c->connections, 0);
	assert_int_equal(c->lines, 3);
	assert_true(is_closed(fd));
	close(fd);
}

static void test_feed_says_that_there_is_no_room(void **state)
{
	int fd = dial();

	(void)state;
	owner.answer = -ENOSPC;
	say(fd, GOOD "\n");
	assert_non_null(strstr(hear(fd), "no room"));
	assert_int_equal(fg_feed_counts(feed)->refused[FG_FEED_room], 1);
	assert_int_equal(fg_feed_counts(feed)->messages, 0);
	close(fd);
}

static void test_feed_caps_connections(void **state)
{
	const struct fg_feed_counts *c = fg_feed_counts(feed);
	int fds[FG_FEED_MAX_CONNECTIONS], extra;

	(void)state;
	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = dial();
	run();
	assert_int_equal(c->connections, COUNT(fds));
	extra = dial();
	run();
	assert_non_null(strstr(hear(extra), "too many connections"));
	assert_true(is_closed(extra));
	close(extra);
	assert_int_equal(c->connections_refused, 1);
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	run();
	assert_int_equal(c->connections, 0);
	fds[0] = dial();
	say(fds[0], GOOD "\n");
	assert_int_equal(owner.pushes, 1);
	close(fds[0]);
}

/* Who never reads: messages are taken all the same, their errors are lost; who asks and does not read is
 * closed, for the answers would no longer belong to the questions. */
static void test_feed_never_waits_for_readers(void **state)
{
	const struct fg_feed_counts *c = fg_feed_counts(feed);
	int fd = dial();

	(void)state;
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(send(fd, "{}\n" GOOD "\n", strlen(GOOD) + 4, MSG_NOSIGNAL),
				 strlen(GOOD) + 4);
		fg_feed_run(feed);
	}
	run();
	assert_int_equal(owner.pushes, 20000);
	assert_true(c->answers_lost > 0);
	assert_int_equal(c->refused[FG_FEED_missing], 20000);
	close(fd);
	run();
	fd = dial();
	for (int i = 0; i < 20000 && !c->slow; i++) {
		if (send(fd, LOOKUP "\n", strlen(LOOKUP) + 1, MSG_NOSIGNAL) < 0)
			break;
		fg_feed_run(feed);
	}
	assert_int_equal(c->slow, 1);
	assert_int_equal(c->connections, 0);
	close(fd);
}

/* A burst of questions in one turn is answered whole. */
static void test_feed_answers_a_burst(void **state)
{
	static const char one[] =
		"{\"lookup\":{\"client\":\"1.1.1.1:2\",\"server\":\"1.1.1.1:1\"}}\n";
	char text[200 * sizeof(one)] = "";
	size_t lines = 0;
	int fd = dial();

	(void)state;
	for (int i = 0; i < 200; i++)
		strcat(text, one);
	say(fd, text);
	for (const char *at = hear(fd); *at; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 200);
	assert_int_equal(fg_feed_counts(feed)->slow, 0);
	close(fd);
}

/* --- From a connection to its client, and to its verdict --------------------------------------- */

static void test_feed_connection_has_a_client(void **state)
{
	const uint8_t client[16] = { [10] = 0xff, 0xff, 203, 0, 113, 7 };
	const uint8_t server[16] = { [10] = 0xff, 0xff, 198, 51, 100, 10 };
	const uint8_t client6[16] = { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8 };
	const uint8_t source6[16] = { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2 };
	static struct fg_flow_set flows[4];
	static struct fg_timing timings[4 * FG_WAYS];
	struct fg_meta meta = { .seed = { 1, 2, 3, 4 } };
	const struct fg_tables tables = {
		.flows = flows, .timings = timings, .n_flows = 4, .meta = &meta
	};
	struct fg_taker *taker;
	struct fg_flow_set *set;
	struct fg_flow *row;
	uint8_t source[16];
	uint64_t stem, stack;
	__u64 from[2], to[2], hash;

	(void)state;
	assert_int_equal(fg_taker_new(&tables, &taker), 0);
	memcpy(from, client, 16);
	memcpy(to, server, 16);
	hash = fg_hash_flow(meta.seed, from, to, 51234U << 16 | 443);
	set = &flows[(hash >> 32) & 3];
	row = &set->row[5];
#define FIND() fg_taker_client(taker, client, 51234, server, 443, source, &stem, &stack)
	assert_int_equal(FIND(), -ENOENT);
	assert_memory_equal(source, client, 16);
	memcpy(row->client, client, 16);
	memcpy(row->server, server, 16);
	row->proof = FG_PROOF_SOCKET;
	row->stem = 11;
	row->stack = 12;
	set->tag[5] = hash;
	assert_int_equal(FIND(), 0);
	assert_int_equal(stem, 11);
	assert_int_equal(stack, 12);
	/* other ports are another connection */
	assert_int_equal(fg_taker_client(taker, client, 51235, server, 443, source, &stem, &stack),
			 -ENOENT);
	assert_int_equal(stem, 0);
	assert_int_equal(fg_taker_client(taker, server, 51234, client, 443, source, &stem, &stack),
			 -ENOENT);
	row->stem = 0;
	assert_int_equal(FIND(), -ENOENT);
	row->stem = 11;
	row->proof = FG_PROOF_NONE;
	assert_int_equal(FIND(), -ENOENT);
	row->proof = FG_PROOF_HANDSHAKE;
	row->client[15] = 8;
	assert_int_equal(FIND(), -ENOENT);
	assert_int_equal(fg_taker_client(taker, client6, 1, client6, 443, source, &stem, &stack),
			 -ENOENT);
	assert_memory_equal(source, source6, 16);
	fg_taker_free(&taker);
}

/* A finding on a source (cohort 0) or one of its clients. */
static void flag(struct fg_store *store, uint32_t cohort, uint64_t stem, double score)
{
	const struct fg_names names = { .ja4 = "-" };
	struct fg_finding f = { .source = { [10] = 0xff, 0xff, 203, 0, 113, 7 },
				.stem = stem,
				.stack = 7,
				.cohort = cohort,
				.proven = true,
				.score = score,
				.n_evidence = 1 };

	fg_evidence_benign(&f.evidence[0], FG_BENIGN_chance, FG_CONSIDERED_OPEN, 1);
	assert_true(fg_store_note(store, &f, &names, false, 3600, NOW) >= 0);
}

static void test_feed_verdict_is_the_clients_own(void **state)
{
	const uint8_t source[16] = { [10] = 0xff, 0xff, 203, 0, 113, 7 };
	struct fg_feed_verdict v;
	struct fg_store *store;

	(void)state;
	assert_int_equal(fg_store_open(NULL, NOW, &store, why, sizeof(why)), 0);
	fg_agent_feed_verdict(store, source, 100, 7, NOW, &v);
	assert_int_equal(v.tier, FG_TIER_OBSERVE);
	assert_string_equal(v.evidence, "");
	assert_true(v.client_known);
	flag(store, FG_COMMUNITY | 5, 100, 14);
	fg_agent_feed_verdict(store, source, 100, 7, NOW, &v);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	assert_int_equal(v.cohort, FG_COMMUNITY | 5);
	assert_string_equal(v.evidence, "203.0.113.7");
	/* its neighbour with another stem or stack, and one that is not known */
	fg_agent_feed_verdict(store, source, 101, 7, NOW, &v);
	assert_int_equal(v.tier, FG_TIER_OBSERVE);
	fg_agent_feed_verdict(store, source, 100, 8, NOW, &v);
	assert_int_equal(v.tier, FG_TIER_OBSERVE);
	fg_agent_feed_verdict(store, source, 0, 0, NOW, &v);
	assert_int_equal(v.tier, FG_TIER_OBSERVE);
	assert_false(v.client_known);
	/* the whole source is everybody's */
	flag(store, 0, 100, 20);
	fg_agent_feed_verdict(store, source, 0, 0, NOW, &v);
	assert_int_equal(v.tier, FG_TIER_ALERT);
	assert_int_equal(v.cohort, 0);
	/* an end is an end, also before it is swept away */
	fg_agent_feed_verdict(store, source, 100, 7, NOW + 3601 * S, &v);
	assert_int_equal(v.tier, FG_TIER_OBSERVE);
	fg_store_close(&store);
}

static void exit_at(uint32_t i, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	ret_addr[10] = ret_addr[11] = 0xff;
	ret_addr[12] = 20;
	ret_addr[13] = (uint8_t)i;
	ret_addr[15] = 1;
}

static void push(struct fg_accounts *accounts, uint64_t account, uint32_t at,
		 enum fg_account_age age)
{
	struct fg_account_push p = {
		.key = account * 0x9e3779b97f4a7c15ULL, .stem = 100, .stack = 7, .age = age
	};

	exit_at(at, p.source);
	assert_int_equal(fg_accounts_push(accounts, &p, NOW), 0);
}

/* The verdict of the detectors on an exit. */
static const struct fg_verdict *verdict_on(const struct fg_store *store, uint32_t at)
{
	const struct fg_verdict *v;
	uint8_t addr[16];

	exit_at(at, addr);
	assert_int_equal(fg_store_find(store, addr, &v, 1), 1);
	return v;
}

static void flag_exit(struct fg_store *store, uint32_t at, double score)
{
	const struct fg_names names = { .ja4 = "-" };
	struct fg_finding f = {
		.stem = 100, .stack = 7, .cohort = 5, .proven = true, .score = score, .n_evidence = 1
	};

	fg_evidence_benign(&f.evidence[0], FG_BENIGN_chance, FG_CONSIDERED_OPEN, 1);
	exit_at(at, f.source);
	assert_true(fg_store_note(store, &f, &names, false, 3600, NOW) >= 0);
}

/* A farm on six exits, through the agent's core. Two exits are members of a cohort, too: surer there, or
 * surer here. */
static void test_feed_stronger_opinion_stands(void **state)
{
	struct fg_epoch epoch = { .start_ns = NOW - S, .end_ns = NOW };
	struct fg_conf conf;
	struct fg_core core;

	(void)state;
	fg_conf_init(&conf);
	assert_int_equal(fg_core_open(&core, &conf, NULL, NOW - S, why, sizeof(why)), 0);
	assert_int_equal(fg_accounts_new(NULL, &core.accounts), 0);
	for (uint32_t i = 0; i < 100; i++)
		push(core.accounts, 1000 + i, 100 + i, FG_AGE_OLD);
	for (uint32_t i = 0; i < 30; i++)
		for (uint32_t k = 0; k < 6; k++)
			push(core.accounts, 1 + i, k, FG_AGE_NEW);
	flag_exit(core.store, 1, 50);
	flag_exit(core.store, 2, 1);
	for (int minute = 0; minute < 3; minute++) {
		assert_int_equal(fg_core_epoch(&core, &epoch, NULL), 0);
		assert_int_equal(fg_store_n(core.store), 6);
		assert_true(verdict_on(core.store, 0)->cohort & FG_COMMUNITY);
		assert_true(verdict_on(core.store, 2)->cohort & FG_COMMUNITY);
		assert_int_equal(verdict_on(core.store, 1)->cohort, 5);
		assert_true(verdict_on(core.store, 1)->score == 50);
		epoch.start_ns += 60 * S;
		epoch.end_ns += 60 * S;
	}
	/* the weaker is there when the stronger has ended */
	for (int minute = 0; minute < 120; minute++) {
		assert_int_equal(fg_core_epoch(&core, &epoch, NULL), 0);
		epoch.start_ns += 60 * S;
		epoch.end_ns += 60 * S;
	}
	assert_true(verdict_on(core.store, 1)->cohort & FG_COMMUNITY);
	fg_accounts_free(&core.accounts);
	fg_core_close(&core);
	fg_conf_done(&conf);
}

int main(void)
{
#define SOCKET(name) cmocka_unit_test_setup_teardown(test_feed_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feed_line_is_taken),
		cmocka_unit_test(test_feed_account_keys),
		cmocka_unit_test(test_feed_line_is_refused_by_name),
		SOCKET(socket_is_for_its_group),
		SOCKET(takes_lines_however_they_are_cut),
		SOCKET(answers_what_is_wrong),
		SOCKET(refuses_long_and_cut_lines),
		SOCKET(says_that_there_is_no_room),
		SOCKET(caps_connections),
		SOCKET(never_waits_for_readers),
		SOCKET(answers_a_burst),
		cmocka_unit_test(test_feed_connection_has_a_client),
		cmocka_unit_test(test_feed_verdict_is_the_clients_own),
		cmocka_unit_test(test_feed_stronger_opinion_stands),
	};

	return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
