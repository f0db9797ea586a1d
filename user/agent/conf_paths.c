/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the agent keeps its files, and where it listens: for commands, the feed, the API. */
#define _GNU_SOURCE
#include "agent/conf_raw.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "serve/listen.h"

int fg_conf_check_path(const char *path, const char *value, size_t max, const struct fg_yaml *y)
{
	if (value[0] != '/')
		return fg_yaml_refuse(y, path, "'%.80s' is no absolute path", value);
	if (strlen(value) >= max)
		return fg_yaml_refuse(y, path, "longer than %zu characters", max - 1);
	return 0;
}

int fg_conf_apply_path(char **to, const char *path, const char *value, size_t max,
		       const struct fg_yaml *y)
{
	int r;

	if (!fg_yaml_line(y, path))
		return 0;
	r = fg_conf_check_path(path, value, max, y);
	return r ? r : fg_conf_copy_text(to, value);
}

static int apply_pins(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	if (fg_yaml_line(y, "pins") && !strcmp(raw->pins, "none"))
		return fg_conf_copy_text(&conf->pins, NULL);
	return fg_conf_apply_path(&conf->pins, "pins", raw->pins, 1024, y);
}

static int apply_files(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const size_t max_socket = sizeof(((struct sockaddr_un *)0)->sun_path);
	int r = fg_conf_apply_path(&conf->socket_path, "socket", raw->socket, max_socket, y);

	if (r == 0)
		r = fg_conf_apply_path(&conf->state_dir, "state", raw->state, 1024, y);
	if (r == 0)
		r = fg_conf_apply_path(&conf->asn_file, "asn.file", raw->asn.file, 4096, y);
	if (!r)
		r = apply_pins(conf, raw, y);
	return r;
}

static int apply_feed(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const size_t max_socket = sizeof(((struct sockaddr_un *)0)->sun_path);
	int r = fg_conf_apply_path(&conf->feed_socket, "feed.socket", raw->feed.socket, max_socket,
				   y);

	if (r)
		return r;
	if (fg_yaml_line(y, "feed.socket") && !strcmp(conf->feed_socket, conf->socket_path))
		return fg_yaml_refuse(y, "feed.socket", "'%.80s' is the commands' own socket",
				      conf->feed_socket);
	if (!fg_yaml_line(y, "feed.group"))
		return 0;
	if (!conf->feed_socket)
		return fg_yaml_refuse(y, "feed.group", "without feed.socket there is no feed");
	if (!raw->feed.group[0])
		return fg_yaml_refuse(y, "feed.group", "empty: name a group of this host");
	return fg_conf_copy_text(&conf->feed_group, raw->feed.group);
}

static int apply_listen(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	struct sockaddr_storage at;
	char why[160];
	socklen_t n;
	int r = fg_conf_apply_path(&conf->listen_keys, "listen.keys", raw->listen.keys, 4096, y);

	if (r)
		return r;
	if (!fg_yaml_line(y, "listen.address")) {
		if (conf->listen_keys && !conf->listen_address)
			return fg_yaml_refuse(y, "listen.keys",
					      "without listen.address nobody is asked for a key");
		return 0;
	}
	if (fg_listen_parse(raw->listen.address, &at, &n, why, sizeof(why)))
		return fg_yaml_refuse(y, "listen.address", "%s", why);
	if (!conf->listen_keys)
		return fg_yaml_refuse(y, "listen.address",
				      "listen.keys is missing: over TCP each request needs a key");
	return fg_conf_copy_text(&conf->listen_address, raw->listen.address);
}

int fg_conf_apply_paths(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_files(conf, raw, y);

	if (!r)
		r = apply_feed(conf, raw, y);
	return r ? r : apply_listen(conf, raw, y);
}
