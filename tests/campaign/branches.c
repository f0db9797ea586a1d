/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `campaign branches`: many scenarios of one seed. Until a scenario begins, its world and what the
 * agent learns of it are those of every other one; they are simulated once, and each scenario goes on
 * from there in a process of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "campaign/run.h"
#include "lib/num.h"

#define MAX_BRANCHES 64

struct branch {
	struct cg_options options;
	char scenario[16];
	uint64_t begin_ns;
};

struct tree {
	const struct cg_options *options;
	struct cg_run *trunk;
	struct branch branches[MAX_BRANCHES];
	size_t n;
	unsigned int running, failed;
};

#define PATH_BYTES 512

static char *path_of(const struct branch *b, const char *suffix, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%s-%llu%s", b->options.rows_dir, b->scenario,
		 (unsigned long long)b->options.world.seed, suffix);
	return path;
}

/* SCENARIO or SCENARIO:SCALE */
static int read_branch(const struct cg_options *o, const char *text, struct branch *b)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);

	b->options = *o;
	if (!length || length >= sizeof(b->scenario) ||
	    (colon && fg_num_double(colon + 1, 0, 1000, &b->options.world.farm_scale))) {
		fprintf(stderr, "campaign: --branches: '%s' is no SCENARIO[:SCALE]\n", text);
		return -EINVAL;
	}
	memcpy(b->scenario, text, length);
	b->options.world.scenario = b->scenario;
	b->begin_ns = cg_begin_ns(&b->options.world);
	b->options.world.scenario = NULL; /* until it lies where it stays */
	return 0;
}

static int by_begin(const void *a, const void *b)
{
	const struct branch *x = a, *y = b;

	return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

/* Branches whose row is there already are kept. */
static int read_branches(struct tree *t)
{
	char *list = strdup(t->options->branches), *rest = list, *text, path[PATH_BYTES];
	int e = list ? 0 : -ENOMEM;

	while (!e && (text = strsep(&rest, ",")) != NULL) {
		if (t->n == MAX_BRANCHES) {
			fprintf(stderr, "campaign: --branches: more than %d\n", MAX_BRANCHES);
			e = -E2BIG;
			break;
		}
		e = read_branch(t->options, text, &t->branches[t->n]);
		if (!e && access(path_of(&t->branches[t->n], ".tsv", path), F_OK))
			t->n++;
	}
	free(list);
	qsort(t->branches, t->n, sizeof(t->branches[0]), by_begin);
	return e;
}

/* In the process of the branch. @return its exit code */
static int grow(struct tree *t, struct branch *b)
{
	char part[PATH_BYTES], row[PATH_BYTES], log[PATH_BYTES];
	int e;

	path_of(b, ".tsv.part", part);
	if (!freopen(path_of(b, ".log", log), "w", stderr) || !freopen(part, "w", stdout))
		return 2;
	b->options.world.scenario = b->scenario;
	e = cg_run_become(t->trunk, &b->options);
	if (!e)
		e = cg_run_end(t->trunk);
	if (!e)
		cg_run_print(t->trunk);
	else
		fprintf(stderr, "campaign: stopped: %s\n", strerror(-e));
	if (fclose(stdout) && !e)
		e = -EIO;
	return e || rename(part, path_of(b, ".tsv", row)) ? 2 : 0;
}

static int reap(struct tree *t)
{
	int status;

	if (wait(&status) < 0)
		return -errno;
	t->running--;
	t->failed += !WIFEXITED(status) || WEXITSTATUS(status);
	return 0;
}

static int start(struct tree *t, struct branch *b)
{
	pid_t child;
	int e = 0;

	while (!e && t->running >= t->options->jobs)
		e = reap(t);
	if (e)
		return e;
	fflush(NULL);
	child = fork();
	if (child < 0)
		return -errno;
	if (!child)
		_exit(grow(t, b));
	t->running++;
	return 0;
}

static int grow_all(struct tree *t)
{
	int e = 0, reaped = 0;

	for (size_t i = 0; i < t->n && !e; i++) {
		e = cg_run_until(t->trunk, t->branches[i].begin_ns);
		if (!e)
			e = start(t, &t->branches[i]);
	}
	while (!reaped && t->running)
		reaped = reap(t);
	return e ? e : reaped;
}

int cg_branches(const struct cg_options *options)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct cg_options trunk = *options;
	int e = t ? 0 : -ENOMEM;

	if (e)
		return e;
	t->options = options;
	trunk.world.scenario = "none";
	e = read_branches(t);
	if (!e && t->n)
		e = cg_run_open(&trunk, &t->trunk);
	if (!e && t->n)
		e = grow_all(t);
	if (e)
		fprintf(stderr, "campaign: branches: stopped: %s\n", strerror(-e));
	if (t->failed)
		fprintf(stderr,
			"campaign: branches: %u of %zu did not end; their logs in %s say why\n",
			t->failed, t->n, options->rows_dir);
	cg_run_close(&t->trunk);
	e = e ? e : t->failed ? -EIO : 0;
	free(t);
	return e;
}
