/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE /* open_memstream */
#include "export/nginx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/child.h"
#include "export/diff.h"
#include "export/file.h"
#include "lib/ip.h"
#include "lib/mem.h"

/* A test looks up the names in the configuration. */
#define TEST_TIMEOUT_MS	  8000
#define RELOAD_TIMEOUT_MS 5000
#define MAX_OUTPUT	  (64U << 10)
/* Of what is put back where the test fails: 50 bytes for each of the store's 200,000, and more. */
#define MAX_FILE (64U << 20)
#define HEADER	 "# written by farmgate, which will do it again\n"

struct fg_nginx {
	char *file, **test, **reload;
	uint32_t interval_s;
	struct fg_shadow shadow;
	struct fg_file_mark mark; /* of the file as we wrote it */
	bool in_place; /* nginx was told to read it, and nobody changed it since */
};

int fg_nginx_new(const struct fg_nginx_conf *conf, struct fg_nginx **ret_nginx)
{
	struct fg_nginx *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->interval_s = conf->interval_s;
	t->file = strdup(conf->file);
	if (!t->file || fg_argv_copy(conf->test, &t->test) ||
	    fg_argv_copy(conf->reload, &t->reload)) {
		fg_nginx_free(&t);
		return -ENOMEM;
	}
	*ret_nginx = t;
	return 0;
}

void fg_nginx_free(struct fg_nginx **nginx)
{
	struct fg_nginx *t = *nginx;

	if (!t)
		return;
	free(t->file);
	fg_argv_free(&t->test);
	fg_argv_free(&t->reload);
	fg_shadow_clear(&t->shadow);
	free(t);
	*nginx = NULL;
}

static int run(char **argv, uint32_t timeout_ms, char *why, size_t n_why)
{
	const struct fg_child child = {
		.argv = (const char *const *)argv,
		.timeout_ms = timeout_ms,
		.max_output = MAX_OUTPUT,
	};
	int r = fg_child_run(&child, NULL, NULL, why, n_why);

	return r > 0 ? -EIO : r;
}

static int write_file(struct fg_nginx *t, const struct fg_shadow *held, char *why, size_t n_why)
{
	_cleanup_free_ char *text = NULL;
	char buf[FG_IP_TEXT];
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (out)
		fputs(HEADER, out);
	for (size_t i = 0; out && i < held->n; i++)
		fprintf(out, "%s 1;\n",
			fg_ip_prefix(held->items[i].addr, held->items[i].bits, buf));
	if (!out || (ferror(out) | fclose(out))) {
		snprintf(why, n_why, "no memory for a file of %zu entries", held->n);
		return -ENOMEM;
	}
	return fg_file_replace(t->file, text, n, why, n_why);
}

/* Without a file there was none to be put back. */
static int put_back(const struct fg_nginx *t, const char *old, size_t n, char *why, size_t n_why)
{
	if (old)
		return fg_file_replace(t->file, old, n, why, n_why);
	return unlink(t->file) && errno != ENOENT ? -errno : 0;
}

/* The new file stays only where nginx takes it: the next start of nginx must not fail for it. */
static int replace_tested(struct fg_nginx *t, const struct fg_shadow *held, char *why, size_t n_why)
{
	_cleanup_free_ char *old = NULL;
	char refused[200] = "", lost[200];
	size_t n_old = 0;
	int r = fg_file_read(t->file, MAX_FILE, &old, &n_old);

	if (r && r != -ENOENT) {
		snprintf(why, n_why, "%s cannot be read: %s", t->file, strerror(-r));
		return r;
	}
	r = write_file(t, held, why, n_why);
	if (r || !t->test)
		return r;
	r = run(t->test, TEST_TIMEOUT_MS, refused, sizeof(refused));
	if (!r)
		return 0;
	if (put_back(t, old, n_old, lost, sizeof(lost)))
		snprintf(why, n_why, "%s; and %s", refused, lost);
	else
		snprintf(why, n_why, "%s; the old file was put back", refused);
	return r;
}

static bool changes_file(const struct fg_diff *diff)
{
	for (size_t i = 0; i < diff->n; i++)
		if (diff->changes[i].kind != FG_CHANGE_RENEW)
			return true;
	return false;
}

static int apply(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	_cleanup_(fg_diff_free) struct fg_diff diff = { 0 };
	struct fg_nginx *t = impl;
	int changes, r;

	if (!t->in_place)
		fg_shadow_clear(&t->shadow);
	r = fg_diff_make(&t->shadow, set, now_ns, false, &diff);
	if (r)
		return r;
	if (t->in_place && !changes_file(&diff)) {
		/* it knows no ends */
		fg_diff_done(&diff, &t->shadow);
		return 0;
	}
	changes = (int)diff.n + !t->in_place;
	t->in_place = false;
	r = replace_tested(t, &diff.next, why, n_why);
	if (!r)
		r = run(t->reload, RELOAD_TIMEOUT_MS, why, n_why);
	if (r)
		return r;
	fg_file_mark(t->file, &t->mark);
	t->in_place = true;
	fg_diff_done(&diff, &t->shadow);
	return changes;
}

static int check(void *impl, bool full, char *why, size_t n_why)
{
	struct fg_nginx *t = impl;

	(void)full;
	if (t->in_place && fg_file_same(t->file, &t->mark))
		return 0;
	snprintf(why, n_why, "%s was changed or removed", t->file);
	t->in_place = false;
	return 1;
}

static uint32_t pause_s(const void *impl)
{
	return ((const struct fg_nginx *)impl)->interval_s;
}

/* Nobody would take them out while the agent is away. */
static int leave(void *impl, char *why, size_t n_why)
{
	const struct fg_shadow none = { 0 };
	struct fg_nginx *t = impl;
	struct fg_file_mark mark;
	int r;

	fg_file_mark(t->file, &mark);
	if (!mark.ino || (size_t)mark.size <= strlen(HEADER))
		return 0;
	r = write_file(t, &none, why, n_why);
	return r ? r : run(t->reload, RELOAD_TIMEOUT_MS, why, n_why);
}

static void free_impl(void *impl)
{
	struct fg_nginx *t = impl;

	fg_nginx_free(&t);
}

const struct fg_target_ops fg_nginx_ops = {
	.name = "nginx",
	.apply = apply,
	.check = check,
	.pause_s = pause_s,
	.leave = leave,
	.free = free_impl,
};
