/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the operator types and reads: options, help and man page, and the agent's answers as they come
 * over the socket, whole or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/client.h"
#include "cmd/cmd.h"

static char folder[64], socket_path[96], file_path[96], empty_path[96], asked_path[96];

static int set_up(void **state)
{
	FILE *f;

	(void)state;
	strcpy(folder, "/tmp/farmgate-cmd.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	snprintf(file_path, sizeof(file_path), "%s/said", folder);
	snprintf(empty_path, sizeof(empty_path), "%s/empty.yaml", folder);
	snprintf(asked_path, sizeof(asked_path), "%s/asked", folder);
	f = fopen(empty_path, "w");
	assert_non_null(f);
	fputs("mode: observe\n", f);
	return fclose(f);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(socket_path);
	unlink(file_path);
	unlink(empty_path);
	unlink(asked_path);
	return rmdir(folder);
}

/* --- What was said ---------------------------------------------------------------------------- */

static char said[65536];
static int kept[2];

/* From here on stdout and stderr go into one file. */
static void listen_in(void)
{
	int fd;

	fflush(NULL);
	kept[0] = dup(STDOUT_FILENO);
	kept[1] = dup(STDERR_FILENO);
	fd = fileno(fopen(file_path, "w"));
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static const char *heard(void)
{
	FILE *f;
	size_t n;

	fflush(NULL);
	dup2(kept[0], STDOUT_FILENO);
	dup2(kept[1], STDERR_FILENO);
	close(kept[0]);
	close(kept[1]);
	f = fopen(file_path, "r");
	assert_non_null(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	fclose(f);
	return said;
}

/* --- Options ---------------------------------------------------------------------------------- */

#define MAX_WORDS 12

static struct fg_options options;
static const struct fg_command *command;
static char *words[MAX_WORDS + 1];
static char line[256];
static int n_words;

/* Parses a line as main() would; blanks part the words. */
static int parse(const char *text)
{
	int n = 1, r;

	snprintf(line, sizeof(line), "%s", text);
	words[0] = (char *)"farmgate";
	for (char *rest = line, *word; n < MAX_WORDS && (word = strtok_r(rest, " ", &rest));)
		words[n++] = word;
	words[n] = NULL;
	command = NULL;
	listen_in();
	r = fg_options_parse(&options, &command, n, words, &n_words);
	heard();
	return r;
}

static void test_cmd_options_stand_anywhere(void **state)
{
	(void)state;
	assert_int_equal(parse("--format json block 203.0.113.7 --ttl=1h --reason mine"), 0);
	assert_string_equal(command->name, "block");
	assert_int_equal(options.format, FG_FORMAT_JSON);
	assert_string_equal(options.ttl, "1h");
	assert_string_equal(options.reason, "mine");
	assert_int_equal(n_words, 1);
	assert_string_equal(words[0], "203.0.113.7");
	assert_int_equal(parse("run -i eth0,eth1 --role transit --config /x"), 0);
	assert_string_equal(options.interfaces, "eth0,eth1");
	assert_string_equal(options.role, "transit");
	assert_string_equal(options.config, "/x");
	assert_int_equal(parse("run -ieth0"), 0);
	assert_string_equal(options.interfaces, "eth0");
	/* "-" is a file, and behind "--" so is everything */
	assert_int_equal(parse("ja4 --raw -"), 0);
	assert_true(options.raw);
	assert_string_equal(words[0], "-");
	assert_int_equal(parse("ja4 -- --raw"), 0);
	assert_false(options.raw);
	assert_string_equal(words[0], "--raw");
	assert_int_equal(parse("-h"), 0);
	assert_true(options.help && !command);
	assert_int_equal(parse(""), 0);
	assert_null(command);
}

static void test_cmd_options_that_are_wrong(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "statsu", "farmgate: statsu: unknown command (did you mean 'status'?)" },
		{ "status --formt json", "--formt: unknown option (did you mean '--format'?)" },
		{ "status -x", "-x: unknown option" },
		{ "status --format xml", "xml: no such format (human, json or tsv)" },
		{ "status --stem ~t13d", "status: takes no --stem" },
		{ "--ttl 1h", "takes no --ttl" },
		{ "block 203.0.113.7 --ttl", "--ttl: needs a value (TIME)" },
		{ "ja4 --raw=1 x", "takes no value" },
		{ "status --formt=json",
		  "--formt=json: unknown option (did you mean '--format'?)" },
		{ "status --=json", "--=json: unknown option" },
		{ "status --forma json", "(did you mean '--format'?)" },
		{ "status --formatted json", "(did you mean '--format'?)" },
		{ "-- --format json", "--format: unknown command" },
		{ "xyzzyxyzzy", "xyzzyxyzzy: unknown command\n" }, /* nothing is near */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].line), FG_EXIT_USAGE);
		if (!strstr(said, cases[i].says))
			fail_msg("'%s' says: %s", cases[i].line, said);
	}
}

/* A line with n arguments, "1" each. */
static int parse_args(const struct fg_command *c, int n, const char *behind)
{
	char text[256];

	snprintf(text, sizeof(text), "%s", c->name);
	for (int i = 0; i < n; i++)
		strcat(text, " 1");
	strcat(text, behind);
	return parse(text);
}

static void test_cmd_arguments_are_counted(void **state)
{
	(void)state;
	for (const struct fg_command *c = fg_commands; c->name; c++) {
		for (int n = 0; n <= c->max_args + 1; n++) {
			bool fits = n >= c->min_args && n <= c->max_args;

			assert_int_equal(parse_args(c, n, ""), fits ? 0 : FG_EXIT_USAGE);
			if (!fits && (!strstr(said, c->args) || !strstr(said, c->name)))
				fail_msg("%s with %d arguments says: %s", c->name, n, said);
			if (!fits)
				assert_non_null(
					strstr(said, n < c->min_args ? "missing" : "too many"));
			else
				assert_int_equal(n_words, n);
			assert_int_equal(parse_args(c, n, " --help"), 0);
		}
	}
}

/* Does the command take this option by the table? */
static bool is_taken(const struct fg_command *c, const char *name)
{
	static const char globals[] = " config socket state format version help ";
	char word[64], list[256];

	snprintf(word, sizeof(word), " %s ", name);
	snprintf(list, sizeof(list), " %s ", c->options);
	return strstr(globals, word) || strstr(list, word);
}

static void test_cmd_each_takes_its_own_options_only(void **state)
{
	static const char flags[] = " version help raw dry-run follow ";

	(void)state;
	for (const struct fg_command *c = fg_commands; c->name; c++) {
		for (int i = 0; fg_options_name(i); i++) {
			const char *name = fg_options_name(i);
			char text[64], no[64], word[64];
			int r;

			snprintf(word, sizeof(word), " %s ", name);
			snprintf(text, sizeof(text), " --%s%s", name,
				 strstr(flags, word)	? "" :
				 strcmp(name, "format") ? " 1" :
							  " json");
			r = parse_args(c, c->min_args, text);
			if (r != (is_taken(c, name) ? 0 : FG_EXIT_USAGE))
				fail_msg("%s%s: %d: %s", c->name, text, r, said);
			snprintf(no, sizeof(no), "farmgate: %s: takes no --%s\n", c->name, name);
			assert_string_equal(said, r ? no : "");
		}
	}
}

static char page[65536];

/* The part of the manual page that begins where this one is named as a command. */
static const char *of_command(const char *name, const char **ret_end)
{
	char word[64];

	for (const char *at = strstr(page, "\n.It Cm "); at; at = strstr(at + 1, "\n.It Cm ")) {
		size_t n = strcspn(at + 1, "\n");
		char head[256];

		snprintf(head, sizeof(head), " %.*s ", (int)n - 7, at + 8);
		for (char *p = head; *p; p++)
			if (*p == ',')
				*p = ' ';
		snprintf(word, sizeof(word), " %s ", name);
		if (!strstr(head, word))
			continue;
		*ret_end = strstr(at + 1, "\n.It Cm ");
		if (!*ret_end)
			*ret_end = strstr(at, "\n.Ss ");
		assert_non_null(*ret_end);
		return at;
	}
	fail_msg("farmgate(8) has no command %s", name);
	return NULL;
}

static void test_cmd_manual_knows_commands_and_options(void **state)
{
	FILE *f = fopen("user/man/farmgate.8", "re");
	const char *globals;

	(void)state;
	if (!f)
		skip(); /* not run from the tree */
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	assert_true(feof(f));
	fclose(f);
	globals = strstr(page, "\n.Ss Global options");
	assert_non_null(globals);
	for (const struct fg_command *c = fg_commands; c->name; c++) {
		const char *end = page, *begin = of_command(c->name, &end);

		for (int i = 0; fg_options_name(i); i++) {
			char list[256], word[64], option[64];
			const char *at;

			snprintf(list, sizeof(list), " %s ", c->options);
			snprintf(word, sizeof(word), " %s ", fg_options_name(i));
			if (!is_taken(c, fg_options_name(i)))
				continue;
			snprintf(option, sizeof(option), "Fl -%s", fg_options_name(i));
			at = strstr(strstr(list, word) ? begin : globals, option);
			if (!at || (strstr(list, word) && at > end))
				fail_msg("farmgate(8): %s has no --%s", c->name,
					 fg_options_name(i));
		}
	}
}

/* The help of each command tells each option that it takes and no other command's. */
static void test_cmd_help_knows_the_options(void **state)
{
	static char help[16384];

	(void)state;
	for (const struct fg_command *c = fg_commands; c->name; c++) {
		FILE *f = fmemopen(memset(help, 0, sizeof(help)), sizeof(help) - 1, "w");
		unsigned int told = 0, taken = c->options[0] != '\0';
		char *globals;

		fg_options_help(f, c);
		fclose(f);
		assert_non_null(strstr(help, c->summary));
		globals = strstr(help, "global options:");
		assert_non_null(globals);
		for (const char *at = c->options; *at; at++)
			taken += *at == ' ';
		for (int i = 0; fg_options_name(i); i++) {
			char option[64];
			const char *at;

			snprintf(option, sizeof(option), "--%s ", fg_options_name(i));
			at = strstr(help, option);
			told += at && at < globals;
		}
		if (told != taken)
			fail_msg("%s --help tells %u options of %u", c->name, told, taken);
	}
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* Reads one request whole, its body too, and keeps it in the file. */
static bool take_request(int client)
{
	static char request[8192];
	size_t n = 0, whole = sizeof(request);
	FILE *f;

	while (n < whole && n < sizeof(request) - 1) {
		ssize_t got = recv(client, request + n, sizeof(request) - 1 - n, 0);
		const char *end, *length;

		if (got <= 0)
			return false;
		n += (size_t)got;
		request[n] = '\0';
		end = strstr(request, "\r\n\r\n");
		length = strstr(request, "Content-Length: ");
		if (end && length)
			whole = (size_t)(end + 4 - request) + (size_t)atoi(length + 16);
	}
	f = fopen(asked_path, "w");
	return f && fputs(request, f) >= 0 && !fclose(f);
}

/* A server in a process of its own: a connection for each canned answer, closed behind it. */
static pid_t serve_all(const char *const *answers)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;
	pid_t pid;

	strcpy(at.sun_path, socket_path);
	unlink(socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	fflush(NULL);
	pid = fork();
	if (pid) {
		close(fd);
		return pid;
	}
	alarm(60); /* whoever does not come: this process goes */
	for (; *answers; answers++) {
		client = accept(fd, NULL, NULL);
		if (!answers[1])
			close(fd); /* before the last answer: afterwards nobody is there */
		if (!take_request(client) ||
		    send(client, *answers, strlen(*answers), MSG_NOSIGNAL) < 0)
			_exit(1);
		close(client);
	}
	_exit(0);
}

static pid_t serve(const char *answer)
{
	return serve_all((const char *const[]){ answer, NULL });
}

/* What the agent was asked last. */
static const char *asked(void)
{
	static char text[8192];
	FILE *f = fopen(asked_path, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static int request(const char *answer, struct fg_client_answer *ret_answer, char *why, size_t n)
{
	pid_t pid = serve(answer);
	int status, r;

	*ret_answer = (struct fg_client_answer){ 0 };
	r = fg_client_request(socket_path, "GET", "/v1/status", NULL, ret_answer, why, n);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return r;
}

static void test_client_takes_whole_answers_only(void **state)
{
	static const struct {
		const char *answer, *body; /* NULL = none */
		int status;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", 200 },
		{ "HTTP/1.1 404 Not Found\r\ncontent-length:2\r\n\r\n{}", "{}", 404 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nA\r\n 123456789\r\n0"
		  "\r\n\r\n",
		  "{ 123456789", 200 },
		/* cut off, too long, or not what it says */
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", NULL, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", NULL, 0 },
		{ "HTTP/1.1 200 OK\r\n\r\n{}", NULL, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", NULL, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Le", NULL, 0 },
		{ "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\n{}", NULL, 0 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", NULL, 0 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
		  NULL, 0 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", NULL, 0 },
		{ "SSH-2.0-farmgate\r\n\r\n", NULL, 0 },
		{ "\r\n\r\n", NULL, 0 },
	};
	struct fg_client_answer a;
	char why[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = request(cases[i].answer, &a, why, sizeof(why));

		if (!cases[i].body) {
			if (r != -EBADMSG || !strstr(why, "cut off or no HTTP"))
				fail_msg("case %zu: %d", i, r);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(a.status, cases[i].status);
		assert_string_equal(a.body, cases[i].body);
		assert_int_equal(a.n, strlen(cases[i].body));
		free(a.body);
	}
}

static void test_client_says_that_nobody_is_there(void **state)
{
	struct fg_client_answer a;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char why[256] = "", far[512];
	int fd;

	(void)state;
	assert_int_equal(fg_client_request(socket_path, "GET", "/", NULL, &a, why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "no agent is serving there"));
	/* left behind by one that was killed */
	strcpy(at.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	assert_int_equal(fg_client_request(socket_path, "GET", "/", NULL, &a, why, sizeof(why)),
			 -ECONNREFUSED);
	assert_non_null(strstr(why, "no agent is serving there"));
	snprintf(far, sizeof(far), "%s/%0*d", folder, 300, 0);
	assert_int_equal(fg_client_request(far, "GET", "/", NULL, &a, why, sizeof(why)),
			 -ENAMETOOLONG);
	assert_non_null(strstr(why, "too long"));
}

/* A server that has read enough to refuse, and hangs up on the rest. */
static void test_client_hears_a_refusal_of_what_nobody_reads(void **state)
{
	static const char refusal[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}";
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), status;
	char why[256] = "", first[64], *body = malloc(4 << 20);
	struct fg_client_answer a = { 0 };
	pid_t pid;

	(void)state;
	assert_non_null(body);
	memset(body, 'x', (4 << 20) - 1);
	body[(4 << 20) - 1] = '\0';
	strcpy(at.sun_path, socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (!pid) {
		int client;

		alarm(60);
		client = accept(fd, NULL, NULL);
		if (recv(client, first, sizeof(first), 0) <= 0 ||
		    send(client, refusal, strlen(refusal), MSG_NOSIGNAL) < 0)
			_exit(1);
		_exit(0);
	}
	close(fd);
	status = fg_client_request(socket_path, "POST", "/v1/block", body, &a, why, sizeof(why));
	if (status)
		fail_msg("%d: %s", status, why);
	assert_int_equal(a.status, 413);
	assert_string_equal(a.body, "{}");
	free(a.body);
	free(body);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Every length of what stands before, with a value that is empty or long: it fits whole, or -ENOSPC;
 * never a byte behind the end. */
static void test_client_arguments_end_where_the_target_ends(void **state)
{
	static const char *const values[] = { "", "a", ":", "::::::::" };

	(void)state;
	for (size_t n = 1; n < 40; n++) {
		for (size_t begin = 0; begin < n; begin++) {
			for (size_t i = 0; i < 4; i++) {
				char *target = malloc(n); /* its end is watched under ASan */
				int r;

				assert_non_null(target);
				memset(target, 'x', begin);
				target[begin] = '\0';
				r = fg_client_argument(target, n, "since", values[i]);
				if (r)
					assert_int_equal(r, -ENOSPC);
				else
					assert_true(strlen(target) >=
							    begin + 7 + strlen(values[i]) &&
						    strlen(target) < n);
				free(target);
			}
		}
	}
}

static void test_client_arguments_are_encoded(void **state)
{
	char target[64] = "/v1/explain", small[20] = "/v1/explain";

	(void)state;
	assert_int_equal(fg_client_argument(target, sizeof(target), "source", "2001:db8::/64"), 0);
	assert_int_equal(fg_client_argument(target, sizeof(target), "none", NULL), 0);
	assert_int_equal(fg_client_argument(target, sizeof(target), "q", "a b&c"), 0);
	assert_string_equal(target, "/v1/explain?source=2001%3Adb8%3A%3A%2F64&q=a%20b%26c");
	assert_int_equal(fg_client_argument(small, sizeof(small), "source", "2001:db8::/64"),
			 -ENOSPC);
}

/* A command from the option line to what is printed and the exit code. */
static int run(const char *text, const char *answer)
{
	char whole[512];
	pid_t pid = 0;
	int r;

	if (answer) {
		snprintf(whole, sizeof(whole), "HTTP/1.1 %s", answer);
		pid = serve(whole);
	}
	assert_int_equal(parse(text), 0);
	options.socket = socket_path;
	options.config = empty_path;
	listen_in();
	r = command->run(&options, n_words, words);
	heard();
	if (pid)
		waitpid(pid, NULL, 0);
	return r;
}

#define STATUS(degraded)                                                                              \
	"{\"version\":\"0\",\"role\":\"terminate\",\"interfaces\":[],\"accounted\":{},\"losses\":{}," \
	"\"maps\":[],\"uptime_s\":1,\"degraded\":[" degraded "]}\n"

static const char *ok(const char *body)
{
	static char text[400];

	snprintf(text, sizeof(text), "200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	return text;
}

static void test_cmd_exit_codes(void **state)
{
	static const char refusal[] = "404 Not Found\r\nContent-Length: 28\r\n\r\n"
				      "{\"error\":\"source: not here\"}";

	(void)state;
	assert_int_equal(run("status", ok(STATUS(""))), FG_EXIT_OK);
	assert_int_equal(run("status", ok(STATUS("\"XDP is generic\""))), FG_EXIT_DEGRADED);
	assert_non_null(strstr(said, "XDP is generic"));
	assert_int_equal(run("status --format json", ok(STATUS(""))), FG_EXIT_OK);
	assert_string_equal(said, STATUS(""));
	assert_int_equal(run("status", NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "farmgate: "));
	assert_int_equal(run("explain 203.0.113.7", refusal), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "farmgate: explain: source: not here"));
	assert_int_equal(run("sources", ok("no json")), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "no JSON"));
	assert_int_equal(run("sources", ok("{\"sources\":[],\"total\":0}\n")), FG_EXIT_OK);
	assert_int_equal(run("unblock 203.0.113.7", ok("{\"ok\":true,\"id\":7,\"removed\":1}\n")),
			 FG_EXIT_OK);
	assert_int_equal(run("block 203.0.113.7", "503 Busy\r\nContent-Length: 0\r\n\r\n"),
			 FG_EXIT_ERROR);
	assert_non_null(strstr(said, "the agent refuses"));
}

static void test_cmd_lists_ask_for_what_was_typed(void **state)
{
	static const char row[] = "{\"sources\":[{\"source\":\"203.0.113.7\",\"connections\":12,"
				  "\"last_seen\":1795435200.0}],\"total\":5}\n";

	(void)state;
	assert_int_equal(run("sources --limit 1 --sort proven --since 2026-11-23T12:00:00Z",
			     ok(row)),
			 FG_EXIT_OK);
	assert_memory_equal(
		asked(),
		"GET /v1/sources?limit=1&sort=proven&since=2026-11-23T12%3A00%3A00Z HTTP/1.1", 75);
	assert_non_null(strstr(said, "203.0.113.7"));
	assert_non_null(strstr(said, "2026-11-23T12:00:00Z"));
	assert_non_null(strstr(said, "\n1 of 5 sources (--limit shows more)\n"));
	assert_int_equal(run("sources --format tsv", ok(row)), FG_EXIT_OK);
	assert_memory_equal(asked(), "GET /v1/sources HTTP/1.1\r\n", 26);
	assert_string_equal(said, "#source\tconnections\tproven\thellos\tincomplete\tfingerprints\t"
				  "exchanges\tbytes_in\tbytes_out\tlast_seen\n"
				  "203.0.113.7\t12\t-\t-\t-\t-\t-\t-\t-\t2026-11-23T12:00:00Z\n");
	assert_int_equal(run("sources --format json", ok(row)), FG_EXIT_OK);
	assert_string_equal(said, row);
	assert_int_equal(run("flagged --tier observe", ok("{\"flagged\":[],\"total\":0}\n")),
			 FG_EXIT_OK);
	assert_memory_equal(asked(), "GET /v1/flagged?tier=observe HTTP/1.1\r\n", 39);
}

/* The body of a decision, as the agent gets it. */
static void assert_sent(const char *text, const char *verb, const char *body)
{
	char head[64];
	json_t *sent, *want = json_loads(body, 0, NULL);

	assert_int_equal(run(text, ok("{\"ok\":true,\"id\":7,\"note\":\"be\\u001b careful\"}\n")),
			 FG_EXIT_OK);
	snprintf(head, sizeof(head), "POST /v1/%s HTTP/1.1\r\n", verb);
	assert_memory_equal(asked(), head, strlen(head));
	sent = json_loads(strstr(asked(), "\r\n\r\n") + 4, 0, NULL);
	if (!json_equal(sent, want))
		fail_msg("%s sent: %s", text, asked());
	assert_non_null(strstr(said, ": done; 'farmgate undo 7' takes it back\n"
				     "note: be? careful\n"));
	json_decref(sent);
	json_decref(want);
}

static void test_cmd_decisions_send_what_was_typed(void **state)
{
	(void)state;
	assert_sent("block 203.0.113.7 --ttl 1h --stem ~t13d --reason \"'", "block",
		    "{\"prefix\":\"203.0.113.7\",\"ttl\":\"1h\",\"stem\":\"~t13d\",\"reason\":"
		    "\"\\\"'\"}");
	assert_sent("unblock 2001:db8::/64 --reason x", "unblock",
		    "{\"prefix\":\"2001:db8::/64\",\"reason\":\"x\"}");
	assert_sent("allow 203.0.113.0/24 --ttl 2d", "allow",
		    "{\"prefix\":\"203.0.113.0/24\",\"ttl\":\"2d\"}");
	assert_sent("disallow 203.0.113.0/24", "disallow", "{\"prefix\":\"203.0.113.0/24\"}");
	assert_sent("block c1 --reason farm --ttl 24h", "block",
		    "{\"cohort\":\"c1\",\"reason\":\"farm\",\"ttl\":\"24h\"}");
	assert_sent("unblock a17", "unblock", "{\"cohort\":\"a17\"}");
	assert_sent("block 203.0.113.0/24 --confirm 142", "block",
		    "{\"prefix\":\"203.0.113.0/24\",\"confirm\":142}");
	assert_sent("undo 7 --reason oops", "undo", "{\"id\":7,\"reason\":\"oops\"}");
	/* told without an agent, that there is none besides */
	unlink(socket_path);
	assert_int_equal(run("block 203.0.113.7/24", NULL), FG_EXIT_USAGE);
	assert_non_null(strstr(said, "203.0.113.7/24: no address or prefix"));
	assert_int_equal(run("explain pigs", NULL), FG_EXIT_USAGE);
	assert_int_equal(run("block 203.0.113.7 --reason \xff", NULL), FG_EXIT_USAGE);
	assert_non_null(strstr(said, "no UTF-8"));
	assert_int_equal(run("block 203.0.113.7 --stem \xff", NULL), FG_EXIT_USAGE);
	assert_int_equal(run("block 203.0.113.7 --ttl 25h", NULL), FG_EXIT_USAGE);
	assert_non_null(strstr(said, "25h: more than 24 h"));
	assert_int_equal(run("block c1 --ttl 0", NULL), FG_EXIT_USAGE);
	assert_int_equal(run("allow 203.0.113.7 --ttl soon", NULL), FG_EXIT_USAGE);
	assert_int_equal(run("block 203.0.113.0/24 --confirm all", NULL), FG_EXIT_USAGE);
	assert_non_null(strstr(said, "all: no number of sources"));
	assert_int_equal(run("undo c1", NULL), FG_EXIT_USAGE);
	assert_int_equal(run("undo 0", NULL), FG_EXIT_USAGE);
}

static void test_cmd_decisions_are_told_in_words(void **state)
{
	(void)state;
	assert_int_equal(run("block c1", ok("{\"ok\":true,\"id\":17,\"blocked\":25000,"
					    "\"left_out\":3,\"note\":\"left out: 3\"}\n")),
			 FG_EXIT_OK);
	assert_string_equal(said,
			    "block c1: 25000 blocked, 3 left out; 'farmgate undo 17' takes it "
			    "back\nnote: left out: 3\n");
	assert_int_equal(run("undo 17", ok("{\"ok\":true,\"id\":18,\"undone\":25000,"
					   "\"left_out\":0}\n")),
			 FG_EXIT_OK);
	assert_string_equal(said, "undo 17: 25000 undone; 'farmgate undo 18' takes it back\n");
	assert_int_equal(run("undo 17", "409 Conflict\r\nContent-Length: 26\r\n\r\n"
					"{\"error\":\"taken back al.\"}"),
			 FG_EXIT_ERROR);
	assert_non_null(strstr(said, "farmgate: undo: taken back al."));
}

static void test_cmd_nobody_is_there(void **state)
{
	static const char *const lines[] = { "status",
					     "sources",
					     "clients",
					     "fingerprints",
					     "cohorts",
					     "flagged",
					     "explain 192.0.2.1",
					     "history 192.0.2.1",
					     "block 192.0.2.1",
					     "unblock 192.0.2.1",
					     "allow 192.0.2.1",
					     "disallow 192.0.2.1",
					     "export nft",
					     "export nft --follow" };
	char want[256];

	(void)state;
	snprintf(
		want, sizeof(want),
		"farmgate: %s: no agent is serving there (start it with 'farmgate run -i IFACE')\n",
		socket_path);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run(lines[i], NULL), FG_EXIT_ERROR);
		assert_string_equal(said, want);
	}
}

/* Half a list is no list: nothing of it is shown. */
static void test_cmd_half_an_answer_is_none(void **state)
{
	static const char *const lines[] = { "sources", "sources --format json", "export plain",
					     "flagged --format tsv" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run(lines[i], "200 OK\r\nContent-Length: 90\r\n\r\n192.0.2.1\n"),
				 FG_EXIT_ERROR);
		assert_null(strstr(said, "192.0.2.1"));
		assert_non_null(strstr(said, "the answer is cut off"));
	}
}

static void test_cmd_too_long_options_are_refused(void **state)
{
	static char text[1100];

	(void)state;
	assert_int_equal(parse("flagged"), 0);
	options.socket = socket_path;
	options.config = empty_path;
	options.since = "";
	/* the places where what follows is cut differently */
	for (size_t n = 1000; n < 1040; n++) {
		memset(text, 'a', n);
		text[n] = '\0';
		options.sort = text;
		listen_in();
		assert_int_equal(command->run(&options, 0, words), FG_EXIT_USAGE);
		assert_non_null(strstr(heard(), "too long"));
	}
}

#define TAGGED(tag, body) "HTTP/1.1 200 OK\r\nETag: \"" tag "\"\r\nContent-Length: 10\r\n\r\n" body

/* Follows in a process of its own until it has said something, or a minute; its exit code. */
static int follow(const char *text, const char *until)
{
	struct timespec moment = { .tv_nsec = 20000000 };
	pid_t pid;
	int status = -1;

	assert_int_equal(parse(text), 0);
	options.socket = socket_path;
	options.config = empty_path;
	listen_in();
	fflush(NULL);
	pid = fork();
	if (!pid) {
		alarm(60);
		_exit(command->run(&options, n_words, words));
	}
	for (bool seen = false; !seen && !waitpid(pid, &status, WNOHANG);) {
		FILE *f = fopen(file_path, "r");

		said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
		fclose(f);
		seen = until && strstr(said, until);
		if (seen)
			kill(pid, SIGTERM);
		nanosleep(&moment, NULL);
	}
	if (status == -1)
		waitpid(pid, &status, 0);
	heard();
	return status;
}

static void test_cmd_follow_prints_what_changed(void **state)
{
	static const char *const answers[] = { TAGGED("1", "192.0.2.1\n"),
					       TAGGED("1", "192.0.2.9\n"),
					       TAGGED("2", "192.0.2.2\n"), NULL };
	pid_t pid = serve_all(answers);
	int status;

	(void)state;
	/* the agent goes: that is said, and it is waited for */
	status = follow("export plain --follow --tier alert", "waiting for it");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_memory_equal(asked(), "GET /v1/export?format=plain&tier=alert HTTP/1.1\r\n", 49);
	assert_non_null(strstr(said, "192.0.2.1\n\n"));
	assert_non_null(strstr(said, "192.0.2.2\n\n"));
	assert_null(strstr(said, "192.0.2.9"));
	assert_non_null(strstr(said, "no agent is serving there"));
}

static void test_cmd_follow_ends_where_it_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run("export plain --follow", "400 Bad Request\r\nContent-Length: 17\r\n"
						      "\r\n{\"error\":\"never\"}"),
			 FG_EXIT_ERROR);
	assert_non_null(strstr(said, "farmgate: export: never\n"));
}

static void test_cmd_export_is_told_what_there_is(void **state)
{
	static const struct {
		const char *line, *says;
	} lines[] = {
		{ "export xml",
		  "format: 'xml' is not one of nft, ipset, json, csv, plain, haproxy, "
		  "nginx, crowdsec, exabgp or stix" },
		{ "export nft --tier observe", "tier: 'observe' is neither alert nor enforce" },
		{ "export nft --tlp red", "tlp: the format nft takes none" },
		{ "export stix --tlp blue", "tlp: 'blue' is none of white, green, amber, red" },
		{ "export exabgp --tier alert", "tier: exabgp is for enforce only" },
		{ "export exabgp --bgp rtbh", "next-hop: rtbh needs one" },
		{ "export exabgp --bgp rtbh --next-hop 10.0.0.0/8",
		  "next-hop: '10.0.0.0/8' is not" },
		{ "export exabgp --follow --max 0", "max: '0' is no number from 1 to 5000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run(lines[i].line, NULL), FG_EXIT_USAGE);
		if (!strstr(said, lines[i].says))
			fail_msg("%s: %s", lines[i].line, said);
	}
}

static void test_cmd_export_exabgp_prints_routes(void **state)
{
	(void)state;
	assert_int_equal(run("export exabgp --max 1",
			     ok("{\"left_out\":7,\"too_wide\":0,\"no_next_hop\":0,\"rows\":[{"
				"\"announce\":\"announce x\",\"withdraw\":\"withdraw x\",\"left\":"
				"1.5}]}\n")),
			 FG_EXIT_OK);
	assert_memory_equal(asked(), "GET /v1/export?format=exabgp&rows=1&max=1 HTTP", 46);
	assert_non_null(strstr(said, "announce x\n"));
	assert_non_null(strstr(said, "exabgp: 7 blocks are left out: above the maximum (--max)\n"));
}

/* More routes than a pipe holds lines of. */
#define MANY_ROUTES 3000

static char *many_routes(void)
{
	static char body[MANY_ROUTES * 96 + 64];
	size_t n = 0;

	n += (size_t)sprintf(body, "{\"rows\":[");
	for (int i = 0; i < MANY_ROUTES; i++)
		n += (size_t)sprintf(body + n,
				     "%s{\"announce\":\"announce route-%027d\",\"withdraw\":"
				     "\"withdraw %d\",\"left\":600}",
				     i ? "," : "", i, i);
	sprintf(body + n, "]}");
	return body;
}

/* exabgp for a process of ours, which ends with the test. */
static pid_t start_process(int *ret_to, int *ret_from)
{
	static char answer[MANY_ROUTES * 96 + 256];
	const char *body = many_routes();
	int in[2], out[2];
	pid_t pid;

	snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	serve(answer);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	assert_int_equal(parse("export exabgp --follow"), 0);
	options.socket = socket_path;
	options.config = empty_path;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		FILE *errors = fopen(file_path, "w");

		alarm(60);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(fileno(errors), STDERR_FILENO);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		_exit(command->run(&options, n_words, words));
	}
	close(in[0]);
	close(out[1]);
	*ret_to = in[1];
	*ret_from = out[0];
	return pid;
}

/* Reads so many lines, or to the end; how many begin with that. */
static size_t count_lines(FILE *f, size_t lines, const char *begin)
{
	static char one[512];
	size_t n = 0;

	while (lines-- && fgets(one, sizeof(one), f))
		n += !strncmp(one, begin, strlen(begin));
	return n;
}

/* The server is left to itself, and so is whoever waits for a minute. */
static int exit_code_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_cmd_follow_routes_never_blocks(void **state)
{
	int to, from;
	pid_t pid = start_process(&to, &from);
	FILE *f = fdopen(from, "r");

	(void)state;
	alarm(120);
	/* it is not read, and hears a megabyte nevertheless */
	for (size_t i = 0; i < 200000; i++)
		assert_int_equal(write(to, "done\n", 5), 5);
	assert_int_equal(count_lines(f, MANY_ROUTES + 1, "announce route-"), MANY_ROUTES);
	/* exabgp's last answer: everything is withdrawn */
	close(to);
	assert_int_equal(count_lines(f, SIZE_MAX, "withdraw "), MANY_ROUTES);
	fclose(f);
	assert_int_equal(exit_code_of(pid), FG_EXIT_ERROR);
	alarm(0);
}

static void test_cmd_follow_routes_ends_with_its_reader(void **state)
{
	int to, from;
	pid_t pid = start_process(&to, &from);
	FILE *f = fdopen(from, "r");

	(void)state;
	alarm(120);
	assert_int_equal(count_lines(f, 10, "announce "), 9);
	fclose(f);
	assert_int_equal(exit_code_of(pid), FG_EXIT_ERROR);
	close(to);
	alarm(0);
	f = fopen(file_path, "r");
	said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
	fclose(f);
	assert_non_null(strstr(said, "farmgate: stdout: Broken pipe\n"));
}

static void test_cmd_explains_in_lines(void **state)
{
	static const char explained[] =
		"{\"source\":\"192.0.2.1\",\"sentences\":[\"One.\",\"Two\\u0007.\"],\"signals\":[{"
		"\"stem\":\"~t\",\"stack\":\"-\",\"sentences\":[\"Three.\"]}],\"clients\":[]}\n";
	static const char past[] =
		"{\"history\":[{\"time\":1795435200,\"what\":\"blocked\",\"who\":"
		"\"operator:alice\",\"reason\":\"a\\tb\",\"id\":7}],\"total\":1}\n";

	(void)state;
	assert_int_equal(run("explain 192.0.2.1", ok(explained)), FG_EXIT_OK);
	assert_memory_equal(asked(), "GET /v1/explain?source=192.0.2.1 HTTP/1.1", 41);
	assert_string_equal(said, "192.0.2.1\n  One.\n  Two?.\n  signals of ~t, -\n    Three.\n");
	assert_int_equal(run("explain 192.0.2.1 --format tsv", ok(explained)), FG_EXIT_OK);
	assert_string_equal(said, "#sentence\nOne.\nTwo?.\nThree.\n");
	assert_int_equal(run("history 192.0.2.1 --format tsv", ok(past)), FG_EXIT_OK);
	assert_string_equal(said, "#time\twhat\twho\treason\tid\n"
				  "2026-11-23T12:00:00Z\tblocked\toperator:alice\ta?b\t7\n");
	assert_int_equal(run("history c1", ok(past)), FG_EXIT_OK);
	assert_memory_equal(asked(), "GET /v1/history?source=c1 HTTP/1.1", 34);
	assert_string_equal(said, "2026-11-23T12:00:00Z  blocked by operator:alice  a?b  (7)\n");
}

static void test_cmd_check_config(void **state)
{
	char text[128];
	FILE *f;

	(void)state;
	snprintf(text, sizeof(text), "check-config %s", empty_path);
	assert_int_equal(run(text, NULL), FG_EXIT_OK);
	assert_non_null(strstr(said, ": ok\n"));
	f = fopen(empty_path, "w");
	fputs("mode: observe\nmodee: enforce\n", f);
	fclose(f);
	assert_int_equal(run(text, NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "empty.yaml:2"));
	assert_non_null(strstr(said, "'mode'"));
	assert_int_equal(run("check-config /nowhere/farmgate.yaml", NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "/nowhere/farmgate.yaml"));
	/* a command that only asks does not start on a bad file either */
	assert_int_equal(run("status", NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "empty.yaml:2"));
	/* the file may be the global option's, and the verdict JSON */
	assert_int_equal(run("check-config --format json", NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "{\"ok\":false,\"file\":\""));
	assert_non_null(strstr(said, "\"error\":\""));
}

/* The table that the configuration names is read, too, and what is wrong with it is said by line. */
static void test_cmd_check_config_reads_the_table_of_networks(void **state)
{
	char table[160], text[128];
	FILE *f;

	(void)state;
	snprintf(text, sizeof(text), "check-config %s", empty_path);
	snprintf(table, sizeof(table), "%s.networks", empty_path);
	f = fopen(empty_path, "w");
	fprintf(f, "asn:\n  file: %s\n", table);
	fclose(f);
	assert_int_equal(run(text, NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, "asn.file: "));
	assert_non_null(strstr(said, table));
	f = fopen(table, "w");
	fputs("192.0.2.0/24\t1\tdc\tDE\n192.0.2.1/24\t1\tdc\tDE\nrubbish\n", f);
	fclose(f);
	assert_int_equal(run(text, NULL), FG_EXIT_OK);
	assert_non_null(strstr(said, ": ok\n"));
	assert_non_null(
		strstr(said, "1 prefixes; line 2 is skipped: the first column is no prefix"));
	assert_non_null(strstr(said, "line 3 is skipped"));
	assert_int_equal(run("doctor lo", NULL), FG_EXIT_DEGRADED);
	assert_non_null(strstr(said, "warn  networks"));
	assert_non_null(strstr(said, "line 2 is skipped"));
	f = fopen(table, "w");
	fputs("192.0.2.0/24\t1\tcastle\tDE\n", f);
	fclose(f);
	assert_int_equal(run(text, NULL), FG_EXIT_ERROR);
	assert_non_null(strstr(said, ".networks:1: the class is none of dc"));
	unlink(table);
}

/* What an attacker may have put into a name does not steer a terminal. */
static void test_ask_text_is_harmless(void **state)
{
	json_t *s = json_string("a\x1b[31mb\xc2\x9b"
				"c\x7f"
				"d\n\xc3\xa9");

	(void)state;
	assert_string_equal(fg_ask_text(s), "a?[31mb?c?d?\xc3\xa9");
	assert_string_equal(fg_ask_text(NULL), "-");
	json_decref(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cmd_options_stand_anywhere),
		TEST(test_cmd_options_that_are_wrong),
		TEST(test_cmd_arguments_are_counted),
		TEST(test_cmd_each_takes_its_own_options_only),
		TEST(test_cmd_manual_knows_commands_and_options),
		TEST(test_cmd_help_knows_the_options),
		TEST(test_client_takes_whole_answers_only),
		TEST(test_client_says_that_nobody_is_there),
		TEST(test_client_hears_a_refusal_of_what_nobody_reads),
		TEST(test_client_arguments_end_where_the_target_ends),
		TEST(test_client_arguments_are_encoded),
		TEST(test_cmd_exit_codes),
		TEST(test_cmd_lists_ask_for_what_was_typed),
		TEST(test_cmd_decisions_send_what_was_typed),
		TEST(test_cmd_nobody_is_there),
		TEST(test_cmd_half_an_answer_is_none),
		TEST(test_cmd_too_long_options_are_refused),
		TEST(test_cmd_follow_prints_what_changed),
		TEST(test_cmd_follow_ends_where_it_is_refused),
		TEST(test_cmd_export_is_told_what_there_is),
		TEST(test_cmd_export_exabgp_prints_routes),
		TEST(test_cmd_follow_routes_never_blocks),
		TEST(test_cmd_follow_routes_ends_with_its_reader),
		TEST(test_cmd_decisions_are_told_in_words),
		TEST(test_cmd_explains_in_lines),
		TEST(test_cmd_check_config),
		TEST(test_cmd_check_config_reads_the_table_of_networks),
		TEST(test_ask_text_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
