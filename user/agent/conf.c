/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The configuration file: defaults, then one step after the other brings what the file gives into
 * a copy of the configuration, which replaces the old one only when all of it was right.
 *
 * conf_schema.c	which keys there are; the text into struct raw
 * conf_lists.c		interfaces, ports, prefixes
 * conf_values.c	numbers, times, choices
 * conf_paths.c		files and sockets, the feed, the API over TCP
 * conf_exports.c	where blocks go
 * conf_copy.c		what a configuration owns
 */
#define _GNU_SOURCE
#include "agent/conf.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/conf_raw.h"
#include "lib/mem.h"

/* 256 prefixes and a comment for each stay below 64 kB; more is not a configuration. */
#define MAX_FILE_BYTES (256U << 10)

void fg_conf_init(struct fg_conf *conf)
{
	*conf = (struct fg_conf){
		.role = FG_ROLE_TERMINATE,
		.attach = FG_ATTACH_AUTO,
		.ports = { 443 },
		.n_ports = 1,
		.mode = FG_MODE_OBSERVE,
		.ttl_s = 3600,
		.history_s = FG_DEFAULT_HISTORY_S,
		.export_xdp = true,
		.limits = { .sources = 1000000,
			    .clients = 2000000,
			    .fingerprints = 65536,
			    .stems = FG_DEFAULT_STEMS,
			    .hosts = FG_DEFAULT_HOSTS,
			    .pairs = FG_DEFAULT_PAIRS,
			    .window_ns = 60 * S_TO_NS },
		.detect = fg_detect_defaults,
		.guards = fg_guard_defaults,
		.log_level = FG_LOG_INFO,
		.socket_path = strdup(FG_SOCKET_PATH),
		.state_dir = strdup(FG_STATE_DIR),
		.targets = { .nginx_test = { { strdup("nginx"), strdup("-t") }, 2 },
			     .nginx_reload = { { strdup("nginx"), strdup("-s"), strdup("reload") },
					       3 },
			     .nginx_interval_s = 30,
			     .hook_timeout_s = 10,
			     .hook_batch = 500 },
		.pins = strdup(FG_PINS_DIR),
	};
}

static int apply_raw(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = fg_conf_apply_lists(conf, raw, y);

	if (!r)
		r = fg_conf_apply_values(conf, raw, y);
	if (!r)
		r = fg_conf_apply_paths(conf, raw, y);
	return r ? r : fg_conf_apply_exports(conf, raw, y);
}

int fg_conf_parse(struct fg_conf *conf, const char *text, size_t n, const char *file, char *why,
		  size_t n_why)
{
	_cleanup_free_ struct fg_yaml *yaml = malloc(sizeof(*yaml));
	_cleanup_(fg_conf_free_raw) struct raw *raw = NULL;
	struct fg_conf next;
	int r;

	if (!yaml) {
		snprintf(why, n_why, "%s: out of memory", file);
		return -ENOMEM;
	}
	yaml->file = file;
	yaml->why = why;
	yaml->n_why = n_why;
	r = fg_conf_read(yaml, text, n, &raw);
	if (r < 0 || !raw)
		return r;
	r = fg_conf_copy(&next, conf);
	if (r == 0)
		r = apply_raw(&next, raw, yaml);
	if (r == -ENOMEM)
		snprintf(why, n_why, "%s: out of memory", file);
	if (r < 0) {
		fg_conf_done(&next);
		return r;
	}
	fg_conf_done(conf);
	*conf = next;
	return 0;
}

static int refuse_file(const char *path, int r, char *why, size_t n_why)
{
	snprintf(why, n_why, "%s: %s", path, strerror(-r));
	return r;
}

int fg_conf_load(struct fg_conf *conf, const char *path, char *why, size_t n_why)
{
	_cleanup_free_ char *text = malloc(MAX_FILE_BYTES + 1);
	_cleanup_fclose_ FILE *f = NULL;
	struct stat st;
	size_t n;

	if (!text)
		return refuse_file(path, -ENOMEM, why, n_why);
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		return refuse_file(path, -errno, why, n_why);
	if (S_ISDIR(st.st_mode))
		return refuse_file(path, -EISDIR, why, n_why);
	n = fread(text, 1, MAX_FILE_BYTES + 1, f);
	if (ferror(f))
		return refuse_file(path, -EIO, why, n_why);
	if (n > MAX_FILE_BYTES) {
		snprintf(why, n_why, "%s: larger than %u kB, this is no configuration", path,
			 MAX_FILE_BYTES >> 10);
		return -EINVAL;
	}
	/* What a full disk leaves of a file; an agent that then runs on defaults surprises. */
	if (!n && S_ISREG(st.st_mode)) {
		snprintf(why, n_why, "%s: empty; a file with only comments means all defaults",
			 path);
		return -EINVAL;
	}
	return fg_conf_parse(conf, text, n, path, why, n_why);
}
