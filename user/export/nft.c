/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live nft target. A shadow says what the kernel should hold; a batch is the difference, one
 * transaction for `nft -f -`. Deleting an element that is gone (its time was up) would abort the
 * transaction, so each removal and refresh is written add, delete, and for a refresh add again.
 */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "export/export.h"
#include "export/nft_text.h"
#include "lib/ip.h"
#include "lib/mem.h"

#define TIMEOUT_MS 10000
/* Read back at most so much: 100,000 elements in JSON are some 20 MB. */
#define MAX_OUTPUT (64U << 20)
/* Moved ends below this share of the time left are not worth a transaction. */
#define REFRESH_SHARE 10

extern char **environ;

struct fg_nft {
	struct fg_export_conf conf;
	uint16_t *ports;
	struct fg_export_item *shadow; /* sorted like a set */
	size_t n;
	bool in_place; /* the table stands, as far as we know */
};

int fg_nft_new(const struct fg_export_conf *conf, struct fg_nft **ret_nft)
{
	struct fg_nft *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->conf = *conf;
	t->ports = calloc(conf->n_ports + 1, sizeof(*t->ports));
	if (!t->ports) {
		free(t);
		return -ENOMEM;
	}
	memcpy(t->ports, conf->ports, conf->n_ports * sizeof(*t->ports));
	t->conf.ports = t->ports;
	*ret_nft = t;
	return 0;
}

void fg_nft_free(struct fg_nft **nft)
{
	if (!*nft)
		return;
	free((*nft)->ports);
	free((*nft)->shadow);
	free(*nft);
	*nft = NULL;
}

/* --- Running nft ------------------------------------------------------------------------------ */

struct child {
	pid_t pid;
	int in, out, err; /* our ends */
};

/* By PATH, then where Debian has it: the PATH of an ordinary user leaves sbin out. */
static int start(const char *const argv[], const posix_spawn_file_actions_t *actions,
		 pid_t *ret_pid)
{
	char *const *args = (char *const *)argv;
	int error = posix_spawnp(ret_pid, argv[0], actions, NULL, args, environ);

	if (error == ENOENT)
		error = posix_spawn(ret_pid, "/usr/sbin/nft", actions, NULL, args, environ);
	return -error;
}

static int spawn_nft(const char *const argv[], struct child *c)
{
	posix_spawn_file_actions_t actions;
	int in[2], out[2], err[2], r;

	if (pipe2(in, O_CLOEXEC))
		return -errno;
	if (pipe2(out, O_CLOEXEC)) {
		r = -errno;
		goto close_in;
	}
	if (pipe2(err, O_CLOEXEC)) {
		r = -errno;
		goto close_out;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, err[1], 2);
	r = start(argv, &actions, &c->pid);
	posix_spawn_file_actions_destroy(&actions);
	close(err[1]);
	if (r) {
		close(err[0]);
		goto close_out;
	}
	close(out[1]);
	close(in[0]);
	*c = (struct child){ .pid = c->pid, .in = in[1], .out = out[0], .err = err[0] };
	return 0;

close_out:
	close(out[0]);
	close(out[1]);
close_in:
	close(in[0]);
	close(in[1]);
	return r;
}

struct text {
	char *at;
	size_t n, cap;
};

/* One read into a growing text; false at the end. */
static bool take(int fd, struct text *t)
{
	ssize_t got;

	if (t->n + 4096 > t->cap && t->cap < MAX_OUTPUT) {
		size_t cap = t->cap ? t->cap * 2 : 65536;
		char *larger = realloc(t->at, cap + 1);

		if (!larger)
			return false;
		t->at = larger;
		t->cap = cap;
	}
	if (t->n == t->cap)
		return false;
	got = read(fd, t->at + t->n, t->cap - t->n);
	if (got <= 0)
		return got < 0 && (errno == EINTR || errno == EAGAIN);
	t->n += (size_t)got;
	t->at[t->n] = '\0';
	return true;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Feeds and reads the child until all its ends are closed. */
static int converse(struct child *c, const char *input, size_t n_input, struct text *out,
		    struct text *err)
{
	struct pollfd fds[3] = { { c->in, POLLOUT, 0 },
				 { c->out, POLLIN, 0 },
				 { c->err, POLLIN, 0 } };
	int64_t until = now_ms() + TIMEOUT_MS;
	size_t sent = 0;

	fcntl(c->in, F_SETFL, O_NONBLOCK);
	while (fds[0].fd >= 0 || fds[1].fd >= 0 || fds[2].fd >= 0) {
		int64_t left = until - now_ms();
		int ready = left > 0 ? poll(fds, 3, (int)left) : 0;

		if (!ready)
			return -ETIMEDOUT;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready < 0)
			continue;
		if (fds[0].fd >= 0 && fds[0].revents) {
			ssize_t w = sent < n_input ?
					    write(fds[0].fd, input + sent, n_input - sent) :
					    -1;

			if (w > 0)
				sent += (size_t)w;
			if (sent == n_input || (w < 0 && errno != EAGAIN && errno != EINTR)) {
				close(c->in);
				c->in = fds[0].fd = -1;
			}
		}
		if (fds[1].fd >= 0 && fds[1].revents && !take(fds[1].fd, out))
			fds[1].fd = -1;
		if (fds[2].fd >= 0 && fds[2].revents && !take(fds[2].fd, err))
			fds[2].fd = -1;
	}
	return 0;
}

/* The same, with a child that dies early reported as an error of write(), not as a signal that ends
 * the agent. */
static int converse_quietly(struct child *c, const char *input, size_t n_input, struct text *out,
			    struct text *err)
{
	const struct timespec at_once = { 0 };
	sigset_t broken_pipe, before;
	int r;

	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
	r = converse(c, input, n_input, out, err);
	while (sigtimedwait(&broken_pipe, NULL, &at_once) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* Runs nft with this input; stdout into *ret_out (freed by the caller) unless NULL.
 * @return its exit status, -errno. */
static int run_nft(const char *const argv[], const char *input, size_t n_input, char **ret_out,
		   char *why, size_t n_why)
{
	struct text out = { 0 }, err = { 0 };
	struct child c;
	int r = spawn_nft(argv, &c), status = 0;

	if (r) {
		snprintf(why, n_why,
			 r == -ENOENT ? "the nft program is missing (apt-get install nftables)" :
					"nft does not start: %s",
			 strerror(-r));
		return r;
	}
	r = converse_quietly(&c, input, n_input, &out, &err);
	if (r)
		kill(c.pid, SIGKILL);
	if (c.in >= 0)
		close(c.in);
	close(c.out);
	close(c.err);
	while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == -ETIMEDOUT)
		snprintf(why, n_why, "nft took longer than %d s", TIMEOUT_MS / 1000);
	else if (r)
		snprintf(why, n_why, "nft: %s", strerror(-r));
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		snprintf(why, n_why, "nft: %.*s", err.at ? (int)strcspn(err.at, "\n") : 6,
			 err.at ? err.at : "failed");
	if (!r)
		r = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	if (ret_out)
		*ret_out = out.at;
	else
		free(out.at);
	free(err.at);
	return r;
}

static int run_script(const char *script, size_t n, char *why, size_t n_why)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	int r = run_nft(argv, script, n, NULL, why, n_why);

	return r > 0 ? -EIO : r;
}

/* --- Applying --------------------------------------------------------------------------------- */

static int by_address(const struct fg_export_item *x, const struct fg_export_item *y)
{
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	return order ? order : (int)x->bits - (int)y->bits;
}

static bool needs_refresh(const struct fg_export_item *old, const struct fg_export_item *item,
			  uint64_t now_ns)
{
	uint64_t left = item->until_ns > now_ns ? item->until_ns - now_ns : 0;
	uint64_t moved = item->until_ns > old->until_ns ? item->until_ns - old->until_ns :
							  old->until_ns - item->until_ns;

	/* a shorter end always counts: nobody stays blocked past it */
	return item->until_ns < old->until_ns || moved > left / REFRESH_SHARE;
}

static void put_verb(FILE *out, const char *verb, const struct fg_export_item *item,
		     uint64_t timeout_s)
{
	fprintf(out, "%s element inet farmgate %s { ", verb, fg_nft_set_of(item->addr, item->bits));
	fg_nft_element(out, item->addr, item->bits);
	if (timeout_s)
		fprintf(out, " timeout %llus", (unsigned long long)timeout_s);
	fputs(" }\n", out);
}

static void put_removal(FILE *out, const struct fg_export_item *item)
{
	put_verb(out, "add", item, 1);
	put_verb(out, "delete", item, 0);
}

static void put_renewal(FILE *out, const struct fg_export_item *item, uint64_t now_ns)
{
	uint64_t left = item->until_ns > now_ns ? (item->until_ns - now_ns) / 1000000000ULL : 0;

	put_removal(out, item);
	put_verb(out, "add", item, left ? left : 1);
}

/* The differences as a script; where an end moves too little, the set's item takes the old end so
 * that the shadow stays true. Removals first: a wider range may follow what lay inside it. */
static int write_differences(FILE *out, const struct fg_nft *t, struct fg_export_item *items,
			     size_t n, uint64_t now_ns)
{
	int changes = 0;
	size_t i = 0, j = 0;

	while (i < t->n || j < n) {
		int order = i == t->n ? 1 : j == n ? -1 : by_address(&t->shadow[i], &items[j]);

		if (order < 0) {
			put_removal(out, &t->shadow[i]);
			changes++;
		}
		i += order <= 0;
		j += order >= 0;
	}
	for (i = j = 0; i < t->n || j < n;) {
		int order = i == t->n ? 1 : j == n ? -1 : by_address(&t->shadow[i], &items[j]);

		if (order > 0 || (order == 0 && needs_refresh(&t->shadow[i], &items[j], now_ns))) {
			put_renewal(out, &items[j], now_ns);
			changes++;
		} else if (order == 0) {
			items[j].until_ns = t->shadow[i].until_ns;
		}
		i += order <= 0;
		j += order >= 0;
	}
	return changes;
}

/* Does a range come that overlaps another one standing? nft compares it with what stood before the
 * batch, removed in it or not, and refuses (1.0.6): then the table is written whole. */
static bool ranges_clash(const struct fg_nft *t, const struct fg_export_item *items, size_t n)
{
	/* both are sorted without nesting: what holds an item is the last one passed on the other side */
	const struct fg_export_item *old = NULL, *new = NULL;
	size_t i = 0, j = 0;

	while (i < t->n || j < n) {
		int order = i == t->n ? 1 : j == n ? -1 : by_address(&t->shadow[i], &items[j]);
		const struct fg_export_item *x = order <= 0 ? &t->shadow[i] : NULL;
		const struct fg_export_item *y = order >= 0 ? &items[j] : NULL;

		if (x && !y && new &&fg_ip_contains(new->addr, new->bits, x->addr, x->bits))
			return true;
		if (y && !x && old && fg_ip_contains(old->addr, old->bits, y->addr, y->bits))
			return true;
		old = x ? x : old;
		new = y ? y : new;
		i += order <= 0;
		j += order >= 0;
	}
	return false;
}

int fg_nft_apply(struct fg_nft *t, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	_cleanup_free_ struct fg_export_item *items = calloc(set->n + 1, sizeof(*items));
	_cleanup_free_ char *script = NULL;
	size_t n_script = 0;
	int changes, r = 0;
	FILE *out = items ? open_memstream(&script, &n_script) : NULL;

	if (!out) {
		snprintf(why, n_why, "no memory for a script of %zu elements", set->n);
		return -ENOMEM;
	}
	if (set->n)
		memcpy(items, set->items, set->n * sizeof(*items));
	if (t->in_place && !ranges_clash(t, items, set->n)) {
		changes = write_differences(out, t, items, set->n, now_ns);
	} else {
		changes = (int)set->n + 1;
		fg_export_nft(out, set, &t->conf, now_ns);
	}
	/* a script cut short by lack of memory must not run */
	if (ferror(out) | fclose(out)) {
		snprintf(why, n_why, "no memory for a script of %zu elements", set->n);
		return -ENOMEM;
	}
	if (changes)
		r = run_script(script, n_script, why, n_why);
	if (r) {
		/* whatever happened, the next time everything is written */
		t->in_place = false;
		return r;
	}
	free(t->shadow);
	t->shadow = FG_TAKE_PTR(items);
	t->n = set->n;
	t->in_place = true;
	return changes;
}

/* --- Looking ---------------------------------------------------------------------------------- */

/* One element of a JSON listing: a text, a prefix, or either with its timeout. */
static bool element_key(json_t *e, uint8_t addr[16], uint8_t *bits, bool in_blocked6)
{
	char text[FG_IP_TEXT];
	json_t *inner = json_object_get(e, "elem"), *prefix;

	if (inner)
		e = json_object_get(inner, "val");
	prefix = json_object_get(e, "prefix");
	if (prefix)
		snprintf(text, sizeof(text), "%s/%d",
			 json_string_value(json_object_get(prefix, "addr")) ?: "",
			 (int)json_integer_value(json_object_get(prefix, "len")));
	else
		snprintf(text, sizeof(text), "%s", json_string_value(e) ?: "");
	if (fg_ip_parse(text, addr, bits))
		return false;
	if (in_blocked6)
		*bits = 64;
	return true;
}

static bool shadow_has(const struct fg_nft *t, const uint8_t addr[16], uint8_t bits)
{
	struct fg_export_item key = { .bits = bits };
	size_t lo = 0, hi = t->n;

	memcpy(key.addr, addr, 16);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (by_address(&t->shadow[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n && !by_address(&t->shadow[lo], &key);
}

struct seen {
	bool chain, sets[4];
	size_t rules, elements, strangers;
};

static const char *const set_names[4] = { "blocked4", "blocked6", "ranges4", "ranges6" };

static void look_at(const struct fg_nft *t, json_t *entry, struct seen *seen)
{
	json_t *set = json_object_get(entry, "set"), *elements, *e;
	const char *name;
	size_t i;

	if (json_object_get(entry, "chain"))
		seen->chain = true;
	seen->rules += json_object_get(entry, "rule") != NULL;
	name = set ? json_string_value(json_object_get(set, "name")) : NULL;
	for (i = 0; name && i < 4; i++)
		if (!strcmp(name, set_names[i]))
			seen->sets[i] = true;
	if (!name)
		return;
	elements = json_object_get(set, "elem");
	json_array_foreach(elements, i, e)
	{
		uint8_t addr[16], bits;

		seen->elements++;
		if (!element_key(e, addr, &bits, !strcmp(name, "blocked6")) ||
		    !shadow_has(t, addr, bits))
			seen->strangers++;
	}
}

static bool all_there(const struct fg_nft *t, const struct seen *seen)
{
	for (size_t i = 0; i < 4; i++)
		if (!seen->sets[i])
			return false;
	return seen->chain && seen->rules == FG_NFT_RULES * (t->conf.udp ? 2 : 1);
}

/* Elements that the kernel may have dropped already, or will while we look. */
static size_t count_due(const struct fg_nft *t)
{
	struct timespec now;
	uint64_t soon_ns;
	size_t due = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	soon_ns = ((uint64_t)now.tv_sec + 2) * 1000000000ULL;
	for (size_t i = 0; i < t->n; i++)
		due += t->shadow[i].until_ns <= soon_ns;
	return due;
}

int fg_nft_check(struct fg_nft *t, bool full, char *why, size_t n_why)
{
	const char *const terse[] = { "nft", "-t", "-j", "list", "table", "inet", "farmgate", NULL };
	const char *const whole[] = { "nft", "-j", "list", "table", "inet", "farmgate", NULL };
	_cleanup_free_ char *out = NULL;
	struct seen seen = { 0 };
	json_t *doc, *entry;
	size_t i;
	int r;

	if (!t->in_place) {
		snprintf(why, n_why, "table inet farmgate is not written yet");
		return 1;
	}
	r = run_nft(full ? whole : terse, NULL, 0, &out, why, n_why);
	if (r < 0)
		return r;
	doc = r == 0 && out ? json_loads(out, 0, NULL) : NULL;
	json_array_foreach(json_object_get(doc, "nftables"), i, entry) look_at(t, entry, &seen);
	json_decref(doc);
	if (!all_there(t, &seen)) {
		snprintf(why, n_why, "table inet farmgate is gone or damaged");
	} else if (full && (seen.strangers || seen.elements + count_due(t) < t->n)) {
		snprintf(why, n_why,
			 "the sets hold %zu elements, %zu of them not ours, instead of %zu",
			 seen.elements, seen.strangers, t->n);
	} else {
		return 0;
	}
	t->in_place = false;
	return 1;
}

int fg_nft_remove(struct fg_nft *t, char *why, size_t n_why)
{
	static const char script[] = "table inet farmgate\ndelete table inet farmgate\n";

	t->in_place = false;
	return run_script(script, sizeof(script) - 1, why, n_why);
}
