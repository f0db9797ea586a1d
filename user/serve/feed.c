/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "serve/feed.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/jsonw.h"
#include "lib/mem.h"
#include "serve/cohorts.h"
#include "serve/listen.h"

/* Read of one connection in one turn: some twenty messages, so that all connections together hold the
 * agent's loop for ten milliseconds at most. */
#define TURN_BYTES 4096
/* Answers that wait for their reader: all of a turn's. The shortest question has 55 bytes, an answer to
 * it 140 at most. */
#define OUT_BYTES 16384
/* The longest: an error of 256 bytes, each of them escaped to six. */
#define MAX_ANSWER 2048
#define BATCH	   64

struct connection {
	int fd;
	uint64_t lines; /* of this connection, the one being read included */
	bool skip; /* the rest of a line that was refused */
	bool writes; /* epoll is asked for room to write */
	size_t n_in, n_out;
	char in[FG_FEED_MAX_LINE + 1], out[OUT_BYTES];
};

struct fg_feed {
	struct fg_listener listener;
	int epoll;
	bool paused; /* nobody is let in until the next turn: no file descriptor was left */
	uint64_t seed[2];
	struct fg_feed_ops ops;
	struct fg_feed_counts counts;
	struct connection *connections[FG_FEED_MAX_CONNECTIONS];
};

/* --- Answers ----------------------------------------------------------------------------------- */

static void close_connection(struct fg_feed *f, struct connection *c)
{
	for (size_t i = 0; i < FG_FEED_MAX_CONNECTIONS; i++)
		if (f->connections[i] == c)
			f->connections[i] = NULL;
	f->counts.connections--;
	close(c->fd);
	free(c);
}

/* @return false where the connection is gone. */
static bool flush(struct fg_feed *f, struct connection *c)
{
	struct epoll_event ev = { .data.ptr = c };
	ssize_t n = c->n_out ? send(c->fd, c->out, c->n_out, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		close_connection(f, c);
		return false;
	}
	if (n > 0) {
		c->n_out -= (size_t)n;
		memmove(c->out, c->out + n, c->n_out);
	}
	if (c->writes != (c->n_out > 0)) {
		c->writes = c->n_out > 0;
		ev.events = EPOLLIN | (c->writes ? EPOLLOUT : 0);
		epoll_ctl(f->epoll, EPOLL_CTL_MOD, c->fd, &ev);
	}
	return true;
}

/* @return false where there is no room. */
static bool put_answer(struct connection *c, const char *text, size_t n)
{
	if (n > sizeof(c->out) - c->n_out)
		return false;
	memcpy(c->out + c->n_out, text, n);
	c->n_out += n;
	return true;
}

/* An object on a line of its own. @return its bytes. */
static size_t end_answer(struct fg_jsonw *w, FILE *out)
{
	long n;

	fg_jsonw_object_end(w);
	fputc('\n', out);
	n = fg_jsonw_finish(w) || fflush(out) ? 0 : ftell(out);
	return n > 0 ? (size_t)n : 0;
}

static void answer_error(struct fg_feed *f, struct connection *c, const char *why)
{
	char text[MAX_ANSWER];
	_cleanup_fclose_ FILE *out = fmemopen(text, sizeof(text), "w");
	struct fg_jsonw w;
	size_t n;

	if (!out) {
		f->counts.answers_lost++;
		return;
	}
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "error", why);
	fg_jsonw_key_u64(&w, "line", c->lines);
	n = end_answer(&w, out);
	if (!n || !put_answer(c, text, n))
		f->counts.answers_lost++;
}

static bool answer_lookup(struct connection *c, const struct fg_feed_verdict *v)
{
	char text[MAX_ANSWER], cohort[FG_COHORT_TEXT];
	_cleanup_fclose_ FILE *out = fmemopen(text, sizeof(text), "w");
	struct fg_jsonw w;
	size_t n;

	if (!out)
		return false;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "tier", fg_tier_name(v->tier));
	fg_jsonw_key_string(&w, "evidence", v->evidence[0] ? v->evidence : NULL);
	fg_jsonw_key_string(&w, "cohort", v->cohort ? fg_cohort_id_text(v->cohort, cohort) : NULL);
	fg_jsonw_key_string(&w, "client", v->client_known ? "known" : "unknown");
	n = end_answer(&w, out);
	return n && put_answer(c, text, n);
}

/* --- Lines ------------------------------------------------------------------------------------- */

static void refuse(struct fg_feed *f, struct connection *c, enum fg_feed_refused reason,
		   const char *why)
{
	f->counts.refused[reason]++;
	answer_error(f, c, why);
}

/* @return false where the connection must end: its answers would no longer belong to its questions. */
static bool take_line(struct fg_feed *f, struct connection *c, const char *text, size_t n)
{
	struct fg_feed_verdict verdict = { .tier = FG_TIER_OBSERVE };
	struct fg_feed_line line;
	char why[256] = "";
	int r;

	if (n && text[n - 1] == '\r')
		n--;
	f->counts.lines++;
	c->lines++;
	r = fg_feed_parse(text, n, f->seed, &line, why, sizeof(why));
	if (r >= 0) {
		refuse(f, c, (enum fg_feed_refused)r, why);
	} else if (line.lookup) {
		f->counts.lookups++;
		f->ops.lookup(f->ops.arg, &line.pair, &verdict);
		return answer_lookup(c, &verdict);
	} else if (f->ops.push(f->ops.arg, &line)) {
		refuse(f, c, FG_FEED_room, "no room: the tables of accounts are full");
	} else {
		f->counts.messages++;
	}
	return true;
}

/* Takes the whole lines out of what was read. @return false where the connection must end. */
static bool take_lines(struct fg_feed *f, struct connection *c)
{
	char *at = c->in, *end;
	bool more = true;

	while (more && (end = memchr(at, '\n', c->n_in))) {
		if (!c->skip)
			more = take_line(f, c, at, (size_t)(end - at));
		c->skip = false;
		c->n_in -= (size_t)(end + 1 - at);
		at = end + 1;
	}
	if (c->skip) {
		c->n_in = 0;
	} else if (c->n_in == sizeof(c->in)) {
		/* said at once, its end may never come */
		c->skip = true;
		more = take_line(f, c, at, c->n_in);
		c->n_in = 0;
	}
	memmove(c->in, at, c->n_in);
	return more;
}

/* The connection ended: what is no whole line is no message. */
static void take_end(struct fg_feed *f, const struct connection *c)
{
	if (!c->n_in || c->skip)
		return;
	f->counts.lines++;
	f->counts.refused[FG_FEED_cut]++;
}

static void read_connection(struct fg_feed *f, struct connection *c)
{
	for (size_t have = 0; have < TURN_BYTES;) {
		ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			take_end(f, c);
			if (flush(f, c))
				close_connection(f, c);
			return;
		}
		have += (size_t)n;
		c->n_in += (size_t)n;
		if (!take_lines(f, c)) {
			f->counts.slow++;
			close_connection(f, c);
			return;
		}
	}
	flush(f, c);
}

/* --- Connections ------------------------------------------------------------------------------- */

static size_t free_place(const struct fg_feed *f)
{
	size_t i = 0;

	while (i < FG_FEED_MAX_CONNECTIONS && f->connections[i])
		i++;
	return i;
}

static void turn_away(struct fg_feed *f, int fd, const char *text)
{
	f->counts.connections_refused++;
	if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		f->counts.answers_lost++;
	close(fd);
}

static void let_in(struct fg_feed *f, int fd)
{
	size_t place = free_place(f);
	struct connection *c = place < FG_FEED_MAX_CONNECTIONS ? calloc(1, sizeof(*c)) : NULL;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (!c) {
		turn_away(f, fd, "{\"error\":\"too many connections\",\"line\":0}\n");
		return;
	}
	c->fd = fd;
	if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		free(c);
		turn_away(f, fd, "{\"error\":\"no memory\",\"line\":0}\n");
		return;
	}
	f->connections[place] = c;
	f->counts.connections++;
}

/* Without a file descriptor left the listener would wake the loop for ever: it rests for a turn. */
static void accept_all(struct fg_feed *f)
{
	for (int i = 0; i < BATCH; i++) {
		int fd = accept4(f->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			f->paused = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
			if (f->paused)
				epoll_ctl(f->epoll, EPOLL_CTL_DEL, f->listener.fd, NULL);
			return;
		}
		let_in(f, fd);
	}
}

static int watch_listener(struct fg_feed *f)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	f->paused = false;
	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->listener.fd, &ev) ? -errno : 0;
}

void fg_feed_run(struct fg_feed *f)
{
	struct epoll_event events[BATCH];
	int n;

	if (f->paused)
		watch_listener(f);
	n = epoll_wait(f->epoll, events, BATCH, 0);
	for (int i = 0; i < n; i++) {
		struct connection *c = events[i].data.ptr;

		if (!c)
			accept_all(f);
		else if (!(events[i].events & EPOLLOUT) || flush(f, c))
			read_connection(f, c);
	}
}

/* --- Life -------------------------------------------------------------------------------------- */

static int give_to(const char *path, const char *group, char *why, size_t n_why)
{
	const struct group *g;
	int r;

	if (!group)
		return 0;
	errno = 0;
	g = getgrnam(group);
	if (!g) {
		r = errno ? -errno : -ENOENT;
		snprintf(why, n_why, "no group '%s' on this host", group);
		return r;
	}
	if (!chown(path, (uid_t)-1, g->gr_gid))
		return 0;
	r = -errno;
	snprintf(why, n_why,
		 "cannot be given to the group '%s': %s (the agent must be in that group, or have "
		 "CAP_CHOWN)",
		 group, strerror(-r));
	return r;
}

int fg_feed_open(const char *path, const char *group, const uint64_t seed[2],
		 const struct fg_feed_ops *ops, struct fg_feed **ret_feed, char *why, size_t n_why)
{
	struct fg_feed *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		snprintf(why, n_why, "no memory");
		return -ENOMEM;
	}
	f->epoll = -1;
	f->ops = *ops;
	memcpy(f->seed, seed, sizeof(f->seed));
	r = fg_listen(&f->listener, path, FG_FEED_MAX_CONNECTIONS, "give another feed.socket", why,
		      n_why);
	if (!r)
		r = give_to(path, group, why, n_why);
	if (!r) {
		f->epoll = epoll_create1(EPOLL_CLOEXEC);
		r = f->epoll < 0 ? -errno : watch_listener(f);
		if (r)
			snprintf(why, n_why, "cannot be served: %s", strerror(-r));
	}
	if (r) {
		fg_feed_close(&f);
		return r;
	}
	*ret_feed = f;
	return 0;
}

void fg_feed_close(struct fg_feed **feed)
{
	struct fg_feed *f = *feed;

	if (!f)
		return;
	for (size_t i = 0; i < FG_FEED_MAX_CONNECTIONS; i++)
		if (f->connections[i])
			close_connection(f, f->connections[i]);
	if (f->epoll >= 0)
		close(f->epoll);
	fg_listen_close(&f->listener);
	free(f);
	*feed = NULL;
}

int fg_feed_fd(const struct fg_feed *f)
{
	return f->epoll;
}

struct fg_feed_counts *fg_feed_counts(struct fg_feed *f)
{
	return &f->counts;
}
