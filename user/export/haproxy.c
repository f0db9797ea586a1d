/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file comes first: who reloads between it and the socket has all of it. The whole is written
 * into a version of the map that nobody asks yet, which then takes the place of the old one.
 */
#define _GNU_SOURCE /* open_memstream, SOCK_CLOEXEC */
#include "export/haproxy.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "export/diff.h"
#include "export/file.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/now.h"

/* Of a batch or a look, all commands together. */
#define TIMEOUT_MS 9000
/* HAProxy drops a command that is longer than its tune.bufsize, 16384 unless somebody lowered it,
 * without a word. */
#define MAX_COMMAND 8000
/* Of a listing: 70 bytes for each of 300,000 entries, and three times that to spare. */
#define MAX_ANSWER (64U << 20)
/* Of the path in a command, so that each entry's fits. */
#define MAX_MAP 255
/* A removal or renewal is a walk over the whole map, in HAProxy's own loop: so many of them cost it
 * as much as taking everything anew (tests/bench/export.c). */
#define MAX_SINGLE 32
#define S_TO_NS	   1000000000ULL

struct fg_haproxy {
	char *socket, *map;
	struct fg_shadow shadow;
	struct fg_file_mark mark; /* of the file as we wrote it */
	bool in_place;
};

int fg_haproxy_new(const struct fg_haproxy_conf *conf, struct fg_haproxy **ret_haproxy)
{
	struct fg_haproxy *t;

	if (strlen(conf->map) > MAX_MAP)
		return -ENAMETOOLONG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->socket = strdup(conf->socket);
	t->map = strdup(conf->map);
	if (!t->socket || !t->map) {
		fg_haproxy_free(&t);
		return -ENOMEM;
	}
	*ret_haproxy = t;
	return 0;
}

void fg_haproxy_free(struct fg_haproxy **haproxy)
{
	struct fg_haproxy *t = *haproxy;

	if (!t)
		return;
	free(t->socket);
	free(t->map);
	fg_shadow_clear(&t->shadow);
	free(t);
	*haproxy = NULL;
}

/* --- Commands --------------------------------------------------------------------------------- */

/* A batch's time and where its errors go. */
struct talk {
	const struct fg_haproxy *target;
	int64_t until_ms;
	char *why;
	size_t n_why;
};

static int fail(const struct talk *k, int r, const char *what)
{
	snprintf(k->why, k->n_why, "%s: %s", k->target->socket, what);
	return r;
}

static int open_socket(const struct talk *k)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(k->target->socket) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	strcpy(at.sun_path, k->target->socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* EAGAIN is a queue of connections that nobody takes */
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)))
		return -errno;
	return FG_TAKE_FD(fd);
}

static int wait_for(const struct talk *k, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int ready;

	do {
		left = k->until_ms - fg_monotonic_ms();
		ready = left > 0 ? poll(&p, 1, (int)left) : 0;
	} while (ready < 0 && errno == EINTR);
	return ready > 0 ? 0 : ready ? -errno : -ETIMEDOUT;
}

static int send_all(const struct talk *k, int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
		int r = 0;

		if (sent < 0 && errno == EAGAIN)
			r = wait_for(k, fd, POLLOUT);
		else if (sent < 0 && errno != EINTR)
			r = -errno;
		if (r)
			return r;
		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

/* Everything until it closes. */
static int receive_all(const struct talk *k, int fd, char **ret_bytes)
{
	_cleanup_free_ char *bytes = NULL;
	size_t n = 0, cap = 0;

	for (;;) {
		ssize_t got;
		int r;

		if (n + 1 >= cap) {
			char *larger;

			cap = cap ? cap * 2 : 16384;
			if (cap > MAX_ANSWER)
				return -EFBIG;
			larger = realloc(bytes, cap);
			if (!larger)
				return -ENOMEM;
			bytes = larger;
		}
		got = recv(fd, bytes + n, cap - n - 1, 0);
		if (got == 0)
			break;
		r = got > 0 || errno == EINTR ? 0 :
		    errno == EAGAIN	      ? wait_for(k, fd, POLLIN) :
						-errno;
		if (r)
			return r;
		n += got > 0 ? (size_t)got : 0;
	}
	bytes[n] = '\0';
	*ret_bytes = FG_TAKE_PTR(bytes);
	return 0;
}

/* One connection, one command or several with ';' between. @return 0, -errno with why set. */
static int ask(const struct talk *k, const char *command, size_t n, char **ret_answer)
{
	_cleanup_close_ int fd = open_socket(k);
	int r = fd < 0 ? fd : send_all(k, fd, command, n);

	if (!r)
		r = receive_all(k, fd, ret_answer);
	if (r == -ETIMEDOUT)
		return fail(k, r, "no answer in time");
	if (r)
		return fail(k, r, strerror(-r));
	if (!**ret_answer) {
		free(FG_TAKE_PTR(*ret_answer));
		return fail(k, -EBADMSG, "no answer at all (is its tune.bufsize below 16384?)");
	}
	return 0;
}

/* A command that answers nothing where it succeeds. */
static int tell(const struct talk *k, const char *command, size_t n)
{
	_cleanup_free_ char *answer = NULL;
	int r = ask(k, command, n, &answer);
	const char *said;

	if (r)
		return r;
	said = answer + strspn(answer, "\n");
	if (!*said)
		return 0;
	snprintf(k->why, k->n_why, "%s: %.*s", k->target->socket, (int)strcspn(said, "\n"), said);
	return -EIO;
}

/* --- The file --------------------------------------------------------------------------------- */

static unsigned long long end_s(const struct fg_held *held)
{
	return (unsigned long long)(held->until_ns / S_TO_NS);
}

static void put_entry(FILE *out, const struct fg_held *held)
{
	char buf[FG_IP_TEXT];

	fprintf(out, "%s %llu\n", fg_ip_prefix(held->addr, held->bits, buf), end_s(held));
}

static int write_file(struct fg_haproxy *t, const struct fg_shadow *held, char *why, size_t n_why)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int r;

	for (size_t i = 0; out && i < held->n; i++)
		put_entry(out, &held->items[i]);
	if (!out || (ferror(out) | fclose(out))) {
		snprintf(why, n_why, "no memory for a file of %zu entries", held->n);
		return -ENOMEM;
	}
	r = fg_file_replace(t->map, text, n, why, n_why);
	if (!r)
		fg_file_mark(t->map, &t->mark);
	return r;
}

/* --- The running map -------------------------------------------------------------------------- */

/* A command that grows until it has to be sent. */
struct command {
	char text[MAX_COMMAND + 512]; /* and one path or entry more */
	size_t n;
};

static int send_command(const struct talk *k, struct command *c, const char *end)
{
	int r;

	if (!c->n)
		return 0;
	c->n += (size_t)snprintf(c->text + c->n, sizeof(c->text) - c->n, "%s", end);
	r = tell(k, c->text, c->n);
	c->n = 0;
	return r;
}

/* Entries as lines behind one command, into a version (0 = the one that is asked). */
static int add_entries(const struct talk *k, unsigned int version, const struct fg_change *changes,
		       size_t n)
{
	struct command c = { .n = 0 };
	char buf[FG_IP_TEXT];
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		const struct fg_held *held = changes[i].held;

		if (changes[i].kind != FG_CHANGE_ADD)
			continue;
		if (!c.n && version)
			c.n = (size_t)snprintf(c.text, sizeof(c.text), "add map @%u %s <<\n",
					       version, k->target->map);
		else if (!c.n)
			c.n = (size_t)snprintf(c.text, sizeof(c.text), "add map %s <<\n",
					       k->target->map);
		c.n += (size_t)snprintf(c.text + c.n, sizeof(c.text) - c.n, "%s %llu\n",
					fg_ip_prefix(held->addr, held->bits, buf), end_s(held));
		if (c.n >= MAX_COMMAND)
			r = send_command(k, &c, "\n");
	}
	return r ? r : send_command(k, &c, "\n");
}

static int prepare(const struct talk *k, unsigned int *ret_version)
{
	_cleanup_free_ char *answer = NULL;
	char command[512];
	int n = snprintf(command, sizeof(command), "prepare map %s\n", k->target->map);
	int r = ask(k, command, (size_t)n, &answer);

	if (r)
		return r;
	if (sscanf(answer, "New version created: %u", ret_version) == 1)
		return 0;
	if (strstr(answer, "Unknown map"))
		snprintf(k->why, k->n_why, "%s: no rule of its configuration uses the map %s",
			 k->target->socket, k->target->map);
	else
		snprintf(k->why, k->n_why, "%s: %.*s", k->target->socket,
			 (int)strcspn(answer, "\n"), answer);
	return -EIO;
}

static int write_whole(const struct talk *k, const struct fg_diff *diff)
{
	char command[512];
	unsigned int version;
	int n, r = prepare(k, &version);

	if (r)
		return r;
	r = add_entries(k, version, diff->changes, diff->n);
	n = snprintf(command, sizeof(command), "%s map @%u %s\n", r ? "clear" : "commit", version,
		     k->target->map);
	if (!r)
		return tell(k, command, (size_t)n);
	/* what was half written is not to stay in its memory; that it may fail, too, is no news */
	(void)tell(&(struct talk){ k->target, fg_monotonic_ms() + 500, (char[256]){ 0 }, 256 },
		   command, (size_t)n);
	return r;
}

static int write_differences(const struct talk *k, const struct fg_diff *diff)
{
	struct command c = { .n = 0 };
	char buf[FG_IP_TEXT];
	int r = 0;

	for (size_t i = 0; !r && i < diff->n; i++) {
		const struct fg_held *held = diff->changes[i].held;
		const char *map = k->target->map, *key;

		key = fg_ip_prefix(held->addr, held->bits, buf);
		if (diff->changes[i].kind == FG_CHANGE_REMOVE)
			c.n += (size_t)snprintf(c.text + c.n, sizeof(c.text) - c.n,
						"%sdel map %s %s", c.n ? ";" : "", map, key);
		else if (diff->changes[i].kind == FG_CHANGE_RENEW)
			c.n += (size_t)snprintf(c.text + c.n, sizeof(c.text) - c.n,
						"%sset map %s %s %llu", c.n ? ";" : "", map, key,
						end_s(held));
		if (c.n >= MAX_COMMAND)
			r = send_command(k, &c, "\n");
	}
	if (!r)
		r = send_command(k, &c, "\n");
	return r ? r : add_entries(k, 0, diff->changes, diff->n);
}

static bool is_better_whole(const struct fg_diff *diff)
{
	size_t single = 0;

	for (size_t i = 0; i < diff->n; i++)
		single += diff->changes[i].kind != FG_CHANGE_ADD;
	return single > MAX_SINGLE;
}

/* --- As a target ------------------------------------------------------------------------------ */

static struct talk begin(const struct fg_haproxy *t, char *why, size_t n_why)
{
	return (struct talk){ t, fg_monotonic_ms() + TIMEOUT_MS, why, n_why };
}

static int apply(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	_cleanup_(fg_diff_free) struct fg_diff diff = { 0 };
	struct fg_haproxy *t = impl;
	struct talk k = begin(t, why, n_why);
	int changes, r;

	if (!t->in_place)
		fg_shadow_clear(&t->shadow);
	r = fg_diff_make(&t->shadow, set, now_ns, false, &diff);
	changes = r ? 0 : (int)diff.n + !t->in_place;
	if (!r && t->in_place && is_better_whole(&diff)) {
		t->in_place = false;
		fg_diff_free(&diff);
		fg_shadow_clear(&t->shadow);
		r = fg_diff_make(&t->shadow, set, now_ns, false, &diff);
	}
	if (r)
		return r;
	if (!changes)
		return 0;
	r = write_file(t, &diff.next, why, n_why);
	if (!r)
		r = t->in_place ? write_differences(&k, &diff) : write_whole(&k, &diff);
	t->in_place = !r;
	if (r)
		return r;
	fg_diff_done(&diff, &t->shadow);
	return changes;
}

/* Of the list of maps the line of ours tells how many entries it has. */
static int count_entries(const struct talk *k, size_t *ret_n)
{
	_cleanup_free_ char *answer = NULL;
	char ours[512], *line, *count;
	int r = ask(k, "show map\n", strlen("show map\n"), &answer);

	if (r)
		return r;
	snprintf(ours, sizeof(ours), "(%s)", k->target->map);
	line = strstr(answer, ours);
	if (line)
		line[strcspn(line, "\n")] = '\0';
	count = line ? strstr(line, "entry_cnt=") : NULL;
	if (!count)
		return fail(k, -EBADMSG, "it does not list the map");
	*ret_n = strtoull(count + strlen("entry_cnt="), NULL, 10);
	return 0;
}

/* Entries of a listing, "0xADDRESS KEY VALUE" each, and how many of them are not as we wrote them. */
static int compare_entries(const struct talk *k, size_t *ret_n, size_t *ret_strangers)
{
	_cleanup_free_ char *answer = NULL;
	char command[512], text[FG_IP_TEXT], *line, *save = NULL;
	int n = snprintf(command, sizeof(command), "show map %s\n", k->target->map);
	int r = ask(k, command, (size_t)n, &answer);

	*ret_n = *ret_strangers = 0;
	if (r)
		return r;
	for (line = strtok_r(answer, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const struct fg_held *held;
		unsigned long long value;
		uint8_t addr[16], bits;

		++*ret_n;
		if (sscanf(line, "%*s %63s %llu", text, &value) != 2 ||
		    fg_ip_parse(text, addr, &bits) ||
		    !(held = fg_shadow_find(&k->target->shadow, addr, bits)) ||
		    end_s(held) != value)
			++*ret_strangers;
	}
	return 0;
}

static int check(void *impl, bool full, char *why, size_t n_why)
{
	struct fg_haproxy *t = impl;
	struct talk k = begin(t, why, n_why);
	size_t n = 0, strangers = 0;
	int r;

	if (!t->in_place) {
		snprintf(why, n_why, "the map is not written yet");
		return 1;
	}
	r = full ? compare_entries(&k, &n, &strangers) : count_entries(&k, &n);
	if (!r && (n != t->shadow.n || strangers)) {
		snprintf(why, n_why, "the map holds %zu entries, %zu of them not ours, not %zu", n,
			 strangers, t->shadow.n);
		r = 1;
	}
	if (!r && !fg_file_same(t->map, &t->mark)) {
		snprintf(why, n_why, "%s was changed or removed", t->map);
		r = 1;
	}
	if (r)
		t->in_place = false;
	return r;
}

static void free_impl(void *impl)
{
	struct fg_haproxy *t = impl;

	fg_haproxy_free(&t);
}

const struct fg_target_ops fg_haproxy_ops = {
	.name = "haproxy",
	.apply = apply,
	.check = check,
	.free = free_impl,
};
