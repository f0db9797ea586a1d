/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cmd/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/routes.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/now.h"

#define S 1000000000ULL
/* Between questions; the agent decides once a second. */
#define ASK_NS S
/* Meanwhile nobody reads what exabgp says, nor withdraws what has ended. */
#define PATIENCE_S 3
/* For the last withdrawals, when told to end: exabgp waits for its processes. */
#define LAST_NS (2 * S)
/* What a pipe that is ready takes without blocking. */
#define PIECE 4096
/* Refusals are told at most so often: a broken peer refuses everything. */
#define TELL_NS (60 * S)

/* Of a clock that nobody sets and that runs on while the host sleeps: a route's time is real time. */
static uint64_t clock_ns(void)
{
	return fg_clock_ns(CLOCK_BOOTTIME);
}

/* --- The agent, which may be away -------------------------------------------------------------- */

struct source {
	const char *socket_path, *target;
	char etag[48];
	bool every_time; /* an answer is wanted, too, where its tag says that it is the same */
	bool ever, away;
};

/* {"error": "..."} of a refusal, or its status. */
static void error_text(const struct fg_client_answer *a, char *text, size_t n)
{
	json_t *doc = json_loadb(a->body, a->n, 0, NULL);
	const char *error = json_string_value(json_object_get(doc, "error"));

	if (error)
		snprintf(text, n, "%s", error);
	else
		snprintf(text, n, "the agent answers %d", a->status);
	json_decref(doc);
}

/* Asks once. Tells when the agent goes and when it is back, not each time. @return 1 with an answer
 * to be freed, 0 where nothing has changed or nobody is there, -errno where asking again is no use. */
static int ask(struct source *s, const char *meanwhile, struct fg_client_answer *ret_answer)
{
	struct fg_client_answer a = { 0 };
	char why[256] = "";
	int r = fg_client_request_within(PATIENCE_S, s->socket_path, "GET", s->target, NULL, &a,
					 why, sizeof(why));

	if (!r && a.status != 200) {
		error_text(&a, why, sizeof(why));
		free(a.body);
		r = a.status >= 500 ? -EAGAIN : -EPERM;
	}
	if (r == -EPERM) {
		fg_complain("export", "%s", why);
		return r;
	}
	if (r) {
		if (!s->away)
			fg_complain(s->socket_path, "%s%s", why, meanwhile);
		s->away = true;
		return 0;
	}
	if (s->away)
		fg_complain(s->socket_path, "the agent answers again");
	s->away = false;
	if (s->ever && !s->every_time && a.etag[0] && !strcmp(s->etag, a.etag)) {
		free(a.body);
		return 0;
	}
	s->ever = true;
	memcpy(s->etag, a.etag, sizeof(s->etag));
	*ret_answer = a;
	return 1;
}

/* --- Documents --------------------------------------------------------------------------------- */

static int print(const struct fg_client_answer *a, bool framed)
{
	fwrite(a->body, 1, a->n, stdout);
	if (framed)
		putchar('\n');
	/* main() only sees it when this ends */
	if (!fflush(stdout))
		return 0;
	fg_complain("stdout", "%s", strerror(errno));
	return -EIO;
}

/* A second, unless the reader goes. */
static int wait_for_change(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	if (poll(&out, 1, (int)(ASK_NS / 1000000)) <= 0 || !(out.revents & (POLLERR | POLLNVAL)))
		return 0;
	fg_complain("stdout", "%s", strerror(EPIPE));
	return -EPIPE;
}

int fg_follow_document(const char *socket_path, const char *target, bool framed)
{
	struct source s = { .socket_path = socket_path, .target = target };
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	struct fg_client_answer a;
	int r = 0;

	while (!r) {
		r = ask(&s, s.ever ? ": waiting for it" : "", &a);
		if (r > 0) {
			r = print(&a, framed);
			free(a.body);
		}
		/* a wrong socket is told at once */
		if (!s.ever)
			r = -ENOENT;
		if (!r)
			r = wait_for_change();
	}
	signal(SIGPIPE, before);
	return FG_EXIT_ERROR;
}

/* --- Routes ------------------------------------------------------------------------------------ */

struct follow {
	struct source source;
	const struct fg_bgp_options *options;
	struct fg_routes *routes;
	int signals;
	char *out; /* what exabgp has not read yet */
	size_t n_out, at;
	char line[1024]; /* what it is saying; longer lines are none of ours */
	size_t n_line;
	uint64_t ask_ns, tell_ns; /* not before */
	bool asked; /* exabgp, what it has */
	bool told_left_out, told_garbage;
	bool ended, gone; /* gone: nobody reads any more */
	int exit_code;
};

void fg_follow_tell_left_out(const json_t *rows)
{
	static const struct {
		const char *key, *why;
	} kinds[] = {
		{ "left_out", "above the maximum (--max)" },
		{ "too_wide", "wider than a router should be told" },
		{ "no_next_hop", "of a family without --next-hop" },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		json_int_t n = json_integer_value(json_object_get(rows, kinds[i].key));

		if (n)
			fg_complain("exabgp", "%" PRId64 " blocks are left out: %s", (int64_t)n,
				    kinds[i].why);
	}
}

/* Once, until there is nothing to tell. */
static void tell_left_out(struct follow *f, const json_t *rows)
{
	const struct fg_routes_counts *c = fg_routes_counts(f->routes);
	bool any = c->left_out || c->too_wide || c->no_next_hop;

	if (any && !f->told_left_out)
		fg_follow_tell_left_out(rows);
	f->told_left_out = any;
}

static void take(struct follow *f, const struct fg_client_answer *a, FILE *out)
{
	json_t *doc = json_loadb(a->body, a->n, 0, NULL);
	int r = fg_routes_take(f->routes, doc, clock_ns(), out);

	if (r && !f->told_garbage)
		fg_complain("exabgp", "the agent's answer is not taken: %s", strerror(-r));
	f->told_garbage = r;
	if (!r)
		tell_left_out(f, doc);
	json_decref(doc);
}

/* New lines are made only when exabgp has read those before: what piles up is a difference, not a
 * history. */
static void renew(struct follow *f)
{
	struct fg_client_answer a;
	FILE *out;
	int r;

	free(f->out);
	f->out = NULL;
	f->at = f->n_out = 0;
	out = open_memstream(&f->out, &f->n_out);
	if (!out)
		return; /* no memory: the next turn tries again */
	if (!f->asked)
		fg_routes_ask(f->routes, out);
	f->asked = true;
	if (clock_ns() >= f->ask_ns) {
		r = ask(&f->source, ": routes stay until their time is up", &a);
		if (r > 0) {
			take(f, &a, out);
			free(a.body);
		}
		if (r < 0) {
			f->exit_code = FG_EXIT_ERROR;
			f->ended = true;
		}
		f->ask_ns = clock_ns() + ASK_NS;
	}
	fg_routes_tick(f->routes, clock_ns(), out);
	fclose(out);
}

static void lose(struct follow *f, int error)
{
	if (!f->gone)
		fg_complain("stdout", "%s", strerror(error));
	f->exit_code = FG_EXIT_ERROR;
	f->gone = f->ended = true;
}

static void write_piece(struct follow *f)
{
	size_t left = f->n_out - f->at;
	ssize_t n = write(STDOUT_FILENO, f->out + f->at, left < PIECE ? left : PIECE);

	if (n >= 0)
		f->at += (size_t)n;
	else if (errno != EINTR && errno != EAGAIN)
		lose(f, errno);
}

/* A route that a killed process before this one has left: the agent's next answer says whether it
 * stands. */
static void take_over(struct follow *f, const char *line)
{
	char up[FG_BGP_LINE], down[FG_BGP_LINE];

	if (fg_exabgp_is_ours(line, f->options, up, down))
		fg_routes_found(f->routes, up, down, clock_ns());
}

static void hear(struct follow *f, const char *line)
{
	const struct fg_routes_counts *c = fg_routes_counts(f->routes);
	const char *refused = fg_routes_answer(f->routes, line, clock_ns());

	if (!strncmp(line, "neighbor ", 9))
		take_over(f, line);
	if (!refused || clock_ns() < f->tell_ns)
		return;
	fg_complain("exabgp", "it refused '%s' (%" PRIu64 " in all; its log says why)", refused,
		    c->refused);
	f->tell_ns = clock_ns() + TELL_NS;
}

static void read_answers(struct follow *f)
{
	char bytes[PIECE];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		fg_complain("stdin", "exabgp has gone");
		f->exit_code = FG_EXIT_ERROR;
		f->ended = true;
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			if (f->n_line < sizeof(f->line) - 1)
				f->line[f->n_line++] = bytes[i];
			continue;
		}
		f->line[f->n_line] = '\0';
		f->n_line = 0;
		hear(f, f->line);
	}
}

static void wait_for_something(struct follow *f, int timeout_ms)
{
	struct pollfd fds[3] = { { f->signals, POLLIN, 0 },
				 { STDIN_FILENO, POLLIN, 0 },
				 { STDOUT_FILENO, f->at < f->n_out ? POLLOUT : 0, 0 } };
	struct signalfd_siginfo info;

	/* at the end only what is left is written */
	if (f->ended)
		fds[1].fd = -1;
	if (poll(fds, 3, timeout_ms) <= 0)
		return;
	if (fds[0].revents && read(f->signals, &info, sizeof(info)) == sizeof(info))
		f->ended = true;
	if (fds[1].revents)
		read_answers(f);
	if (fds[2].revents & (POLLERR | POLLNVAL))
		lose(f, EPIPE);
	else if (fds[2].revents)
		write_piece(f);
}

/* exabgp drops our routes only when its session ends, not when we do. */
static void withdraw_all(struct follow *f)
{
	uint64_t until_ns = clock_ns() + LAST_NS;
	char *last = NULL, *all;
	size_t n = 0, left = f->n_out - f->at;
	FILE *out = open_memstream(&last, &n);

	if (!out)
		return;
	/* a line that is half written must be ended first: all that waits goes on */
	if (left)
		fwrite(f->out + f->at, 1, left, out);
	fg_routes_end(f->routes, out);
	fclose(out);
	all = f->out;
	f->out = last;
	f->n_out = n;
	f->at = 0;
	free(all);
	while (f->at < f->n_out && !f->gone && clock_ns() < until_ns)
		wait_for_something(f, 100);
	if (f->at < f->n_out && !f->gone)
		fg_complain("exabgp", "it does not read: its last routes are not withdrawn");
}

static int begin(struct follow *f, sigset_t *before)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, before);
	f->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signals < 0)
		return -errno;
	return fg_routes_new(&f->routes);
}

static void done(struct follow *f, const sigset_t *before)
{
	const struct fg_routes_counts *c;

	if (f->routes) {
		c = fg_routes_counts(f->routes);
		fg_complain("exabgp",
			    "the end: %" PRIu64 " announced, %" PRIu64 " withdrawn, %" PRIu64
			    " refused, %" PRIu64 " taken over",
			    c->announced, c->withdrawn, c->refused, c->found);
	}
	fg_routes_free(&f->routes);
	free(f->out);
	if (f->signals >= 0)
		close(f->signals);
	sigprocmask(SIG_SETMASK, before, NULL);
}

int fg_follow_routes(const char *socket_path, const char *target,
		     const struct fg_bgp_options *options)
{
	/* a guard may change its mind without a change of the store: each answer is compared */
	struct follow f = {
		.source = { .socket_path = socket_path, .target = target, .every_time = true },
		.options = options,
		.signals = -1
	};
	void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
	sigset_t before;
	int r = begin(&f, &before);

	if (r) {
		fg_complain("exabgp", "%s", strerror(-r));
		f.exit_code = FG_EXIT_ERROR;
	}
	while (!r && !f.ended) {
		uint64_t now;

		if (f.at == f.n_out)
			renew(&f);
		now = clock_ns();
		wait_for_something(&f, f.at < f.n_out || now >= f.ask_ns ?
					       100 :
					       (int)((f.ask_ns - now) / 1000000) + 1);
	}
	if (!r && !f.gone)
		withdraw_all(&f);
	done(&f, &before);
	signal(SIGPIPE, pipe_before);
	return f.exit_code;
}
