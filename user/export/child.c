/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE /* pipe2, posix_spawn_file_actions_addclosefrom_np */
#include "export/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/now.h"

/* Its complaint is for one line of a log. */
#define MAX_COMPLAINT 1024

extern char **environ;

enum {
	IN,
	OUT,
	ERR,
	ENDED,
	N_FDS
};

struct text {
	char *at;
	size_t n, cap, max;
};

struct running {
	pid_t pid;
	struct pollfd fds[N_FDS]; /* our ends, and one that is readable when it has ended */
	size_t sent;
	struct text out, err;
};

/* --- Start ------------------------------------------------------------------------------------ */

/* By PATH, then where Debian has it: the PATH of an ordinary user leaves sbin out. */
static int spawn(const char *const argv[], const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attr, pid_t *ret_pid)
{
	static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/local/sbin" };
	char *const *args = (char *const *)argv;
	int error = posix_spawnp(ret_pid, argv[0], actions, attr, args, environ);
	char path[256];

	for (size_t i = 0;
	     error == ENOENT && !strchr(argv[0], '/') && i < sizeof(folders) / sizeof(folders[0]);
	     i++) {
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", folders[i], argv[0]) >=
		    sizeof(path))
			break;
		error = posix_spawn(ret_pid, path, actions, attr, args, environ);
	}
	return -error;
}

/* Our signal mask is the agent's business; the group is for killing what it started with it. */
static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	error = posix_spawnattr_setsigmask(attr, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(attr, &all);
	if (!error)
		error = posix_spawnattr_setpgroup(attr, 0);
	if (!error)
		error = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK |
							       POSIX_SPAWN_SETSIGDEF |
							       POSIX_SPAWN_SETPGROUP);
	return -error;
}

/* Descriptors are closed behind stderr: a hook is not to hold sockets and maps of the agent. */
static int spawn_with(const char *const argv[], const int theirs[3], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = -posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = -posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&actions);
		return r;
	}
	for (int i = 0; !r && i < 3; i++)
		r = -posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
	if (!r)
		r = -posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (!r)
		r = set_attributes(&attr);
	if (!r)
		r = spawn(argv, &actions, &attr, ret_pid);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static void close_fds(struct running *c)
{
	for (size_t i = 0; i < N_FDS; i++) {
		if (c->fds[i].fd >= 0)
			close(c->fds[i].fd);
		c->fds[i].fd = -1;
	}
}

static int start(const char *const argv[], struct running *c)
{
	int theirs[3] = { -1, -1, -1 }, r = 0;

	for (size_t i = 0; i < N_FDS; i++)
		c->fds[i] = (struct pollfd){ .fd = -1, .events = i == IN ? POLLOUT : POLLIN };
	for (int i = 0; !r && i < 3; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC)) {
			r = -errno;
			break;
		}
		theirs[i] = ends[i != IN];
		c->fds[i].fd = ends[i == IN];
		if (fcntl(c->fds[i].fd, F_SETFL, O_NONBLOCK))
			r = -errno;
	}
	if (!r)
		r = spawn_with(argv, theirs, &c->pid);
	for (int i = 0; i < 3; i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	if (r)
		close_fds(c);
	else
		/* without it (-1) its end is told by its closed pipes alone */
		c->fds[ENDED].fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	return r;
}

/* --- Conversation ----------------------------------------------------------------------------- */

static int grow(struct text *t)
{
	size_t cap = t->cap ? t->cap * 2 : 65536;
	char *larger;

	if (t->n + 1 < t->cap)
		return 0;
	larger = realloc(t->at, cap);
	if (!larger)
		return -ENOMEM;
	t->at = larger;
	t->cap = cap;
	return 0;
}

/* Reads what is there. @return 1 at the end, 0, -EFBIG, -ENOMEM. */
static int take_out(int fd, struct text *t)
{
	for (;;) {
		ssize_t got;
		int r = grow(t);

		if (r)
			return r;
		got = read(fd, t->at + t->n, t->cap - t->n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? 0 : 1;
		if (!got)
			return 1;
		t->n += (size_t)got;
		t->at[t->n] = '\0';
		if (t->n > t->max)
			return -EFBIG;
	}
}

/* The same, keeping the beginning only. */
static int take_complaint(int fd, struct text *t)
{
	char more[4096];

	for (;;) {
		ssize_t got = read(fd, more, sizeof(more));
		size_t room = t->max - t->n;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? 0 : 1;
		if (!got)
			return 1;
		room = (size_t)got < room ? (size_t)got : room;
		memcpy(t->at + t->n, more, room);
		t->n += room;
		t->at[t->n] = '\0';
	}
}

/* Writes what it takes; who ends without reading all of it has told why otherwise. */
static void feed(struct running *c, const struct fg_child *child)
{
	while (c->sent < child->n_input) {
		ssize_t w = write(c->fds[IN].fd, child->input + c->sent, child->n_input - c->sent);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN)
			return;
		if (w < 0)
			break;
		c->sent += (size_t)w;
	}
	close(c->fds[IN].fd);
	c->fds[IN].fd = -1;
}

static int take_all(struct running *c)
{
	int r = 0;

	if (c->fds[OUT].fd >= 0)
		r = take_out(c->fds[OUT].fd, &c->out);
	if (r < 0)
		return r;
	if (r)
		c->fds[OUT].fd = (close(c->fds[OUT].fd), -1);
	if (c->fds[ERR].fd >= 0 && take_complaint(c->fds[ERR].fd, &c->err))
		c->fds[ERR].fd = (close(c->fds[ERR].fd), -1);
	return 0;
}

/* Feeds and reads it until it has ended. A pipe that its own children keep open is no reason to wait
 * for these. */
static int converse(struct running *c, const struct fg_child *child)
{
	int64_t until = fg_monotonic_ms() + child->timeout_ms;

	for (;;) {
		int64_t left = until - fg_monotonic_ms();
		bool ended;
		int ready, r;

		if (c->fds[IN].fd < 0 && c->fds[OUT].fd < 0 && c->fds[ERR].fd < 0 &&
		    c->fds[ENDED].fd < 0)
			return 0;
		ready = left > 0 ? poll(c->fds, N_FDS, (int)left) : 0;
		if (!ready)
			return -ETIMEDOUT;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready < 0)
			continue;
		ended = c->fds[ENDED].fd >= 0 && c->fds[ENDED].revents;
		if (c->fds[IN].fd >= 0 && c->fds[IN].revents)
			feed(c, child);
		r = take_all(c);
		if (r || ended)
			return r;
	}
}

/* The same, with a child that dies early reported as an error of write(), not as a signal that ends
 * the agent. */
static int converse_quietly(struct running *c, const struct fg_child *child)
{
	const struct timespec at_once = { 0 };
	sigset_t broken_pipe, before;
	int r;

	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
	r = converse(c, child);
	while (sigtimedwait(&broken_pipe, NULL, &at_once) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* --- End -------------------------------------------------------------------------------------- */

static const char *name_of(const char *const argv[])
{
	const char *slash = strrchr(argv[0], '/');

	return slash ? slash + 1 : argv[0];
}

static int say_no_start(const char *const argv[], int r, char *why, size_t n_why)
{
	if (r == -ENOENT)
		snprintf(why, n_why, "the program %s is missing", argv[0]);
	else
		snprintf(why, n_why, "%s does not start: %s", argv[0], strerror(-r));
	return r;
}

/* What became of it, as a number and a sentence. */
static int judge(const struct running *c, const struct fg_child *child, int r, int status,
		 char *why, size_t n_why)
{
	const char *name = name_of(child->argv);
	const char *said = c->err.at + strspn(c->err.at, " \t\n");

	if (r == -ETIMEDOUT)
		snprintf(why, n_why, "%s took longer than %u s", name, child->timeout_ms / 1000);
	else if (r == -EFBIG)
		snprintf(why, n_why, "%s said more than %zu bytes", name, child->max_output);
	else if (r)
		snprintf(why, n_why, "%s: %s", name, strerror(-r));
	if (r)
		return r;
	if (WIFSIGNALED(status)) {
		snprintf(why, n_why, "%s was ended by signal %d", name, WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	if (WEXITSTATUS(status) && *said)
		snprintf(why, n_why, "%s: %.*s", name, (int)strcspn(said, "\n"), said);
	else if (WEXITSTATUS(status))
		snprintf(why, n_why, "%s failed with status %d", name, WEXITSTATUS(status));
	return WEXITSTATUS(status);
}

int fg_child_run(const struct fg_child *child, char **ret_out, size_t *ret_n, char *why,
		 size_t n_why)
{
	char complaint[MAX_COMPLAINT + 1] = "";
	struct running c = {
		.out = { .max = child->max_output },
		.err = { .at = complaint, .max = MAX_COMPLAINT },
	};
	int status = 0, r = start(child->argv, &c);

	if (ret_out)
		*ret_out = NULL;
	if (ret_n)
		*ret_n = 0;
	if (r)
		return say_no_start(child->argv, r, why, n_why);
	r = converse_quietly(&c, child);
	/* its group: what it started, too */
	if (r)
		kill(-c.pid, SIGKILL);
	close_fds(&c);
	while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
		;
	r = judge(&c, child, r, status, why, n_why);
	if (ret_n)
		*ret_n = c.out.n;
	if (ret_out && c.out.n)
		*ret_out = FG_TAKE_PTR(c.out.at);
	free(c.out.at);
	return r;
}

int fg_argv_copy(const char *const *argv, char ***ret_argv)
{
	char **copy;
	size_t n = 0;

	*ret_argv = NULL;
	if (!argv)
		return 0;
	while (argv[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i]) {
			fg_argv_free(&copy);
			return -ENOMEM;
		}
	}
	*ret_argv = copy;
	return 0;
}

void fg_argv_free(char ***argv)
{
	for (size_t i = 0; *argv && (*argv)[i]; i++)
		free((*argv)[i]);
	free(*argv);
	*argv = NULL;
}
