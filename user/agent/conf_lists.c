/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration's lists: interfaces, ports, prefixes, files of prefixes. */
#define _GNU_SOURCE
#include "agent/conf_raw.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/num.h"

/* An entry that stands further up, too. */
static int check_repeat(const char *path, char *const *list, unsigned int i,
			const struct fg_yaml *y)
{
	for (unsigned int j = 0; j < i; j++)
		if (!strcmp(list[j], list[i]))
			return fg_yaml_refuse(y, path, "'%.80s' is listed twice", list[i]);
	return 0;
}

static int apply_interfaces(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];

	if (!fg_yaml_line(y, "interfaces"))
		return 0;
	for (unsigned int i = 0; i < raw->interfaces_count; i++) {
		const char *name = raw->interfaces[i];
		int r;

		snprintf(path, sizeof(path), "interfaces[%u]", i);
		if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/ \t\n,"))
			return fg_yaml_refuse(y, path, "'%.40s' is no interface name", name);
		r = check_repeat(path, raw->interfaces, i, y);
		if (r)
			return r;
	}
	return fg_conf_copy_texts(conf->interfaces, &conf->n_interfaces, raw->interfaces,
				  raw->interfaces_count);
}

static int apply_ports(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];
	unsigned int i, j;
	uint64_t port;

	if (!fg_yaml_line(y, "protect.ports"))
		return 0;
	for (i = 0; i < raw->protect.ports_count; i++) {
		snprintf(path, sizeof(path), "protect.ports[%u]", i);
		if (fg_num_u64(raw->protect.ports[i], 1, UINT16_MAX, &port) < 0)
			return fg_yaml_refuse(y, path, "'%.40s' is no port of 1 to 65535",
					      raw->protect.ports[i]);
		for (j = 0; j < i; j++) {
			if (conf->ports[j] == port)
				return fg_yaml_refuse(y, path, "%u is listed twice",
						      conf->ports[j]);
		}
		conf->ports[i] = (uint16_t)port;
	}
	conf->n_ports = raw->protect.ports_count;
	return 0;
}

/* A list of prefixes, and which of them are too wide to be meant. */
struct prefix_list {
	const char *path;
	char *const *texts;
	unsigned int n;
	struct fg_prefix *to; /* as many as the schema lets in; NULL = they are only checked */
	size_t *n_to;
	uint8_t min4, min6; /* bits */
	const char *whose; /* no network of these has fewer */
};

static int apply_prefix(const struct prefix_list *list, unsigned int i, const struct fg_yaml *y)
{
	struct fg_prefix prefix = { 0 };
	char path[FG_YAML_MAX_PATH];

	snprintf(path, sizeof(path), "%s[%u]", list->path, i);
	if (fg_ip_parse(list->texts[i], prefix.addr, &prefix.bits) < 0)
		return fg_yaml_refuse(y, path,
				      "'%.60s' is no address or prefix with zero host bits, like "
				      "192.0.2.0/24 or 2001:db8::/64",
				      list->texts[i]);
	if (prefix.bits < (fg_ip_is4(prefix.addr) ? 96 + list->min4 : list->min6))
		return fg_yaml_refuse(y, path, "'%.60s' is wider than any network of %s",
				      list->texts[i], list->whose);
	if (list->to)
		list->to[i] = prefix;
	return 0;
}

static int apply_prefixes(const struct prefix_list *list, const struct fg_yaml *y)
{
	int r = 0;

	if (!fg_yaml_line(y, list->path))
		return 0;
	for (unsigned int i = 0; !r && i < list->n; i++)
		r = apply_prefix(list, i, y);
	if (!r && list->to)
		*list->n_to = list->n;
	return r;
}

static int apply_prefix_lists(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const struct prefix_list lists[] = {
		{ "protect.prefixes", raw->protect.prefixes, raw->protect.prefixes_count,
		  conf->prefixes, &conf->n_prefixes, 0, 0, NULL },
		/* who may tunnel may choose every address that counts here */
		{ "tunnels", raw->tunnels, raw->tunnels_count, conf->peers, &conf->n_peers, 8, 16,
		  "peers" },
		/* and so may who says whose connection it is */
		{ "balancers", raw->balancers, raw->balancers_count, conf->balancers,
		  &conf->n_balancers, 8, 16, "balancers" },
		{ "allow", raw->allow, raw->allow_count, NULL, NULL, 0, 0, NULL },
	};
	int r = 0;

	for (size_t i = 0; !r && i < COUNT(lists); i++)
		r = apply_prefixes(&lists[i], y);
	if (r || !fg_yaml_line(y, "allow"))
		return r;
	return fg_conf_copy_texts(conf->allow, &conf->n_allow, raw->allow, raw->allow_count);
}

static int apply_allow_files(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];

	if (!fg_yaml_line(y, "allow_files"))
		return 0;
	for (unsigned int i = 0; i < raw->allow_files_count; i++) {
		int r;

		snprintf(path, sizeof(path), "allow_files[%u]", i);
		r = fg_conf_check_path(path, raw->allow_files[i], 1024, y);
		if (!r)
			r = check_repeat(path, raw->allow_files, i, y);
		if (r)
			return r;
	}
	return fg_conf_copy_texts(conf->allow_files, &conf->n_allow_files, raw->allow_files,
				  raw->allow_files_count);
}

int fg_conf_apply_lists(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_interfaces(conf, raw, y);

	if (!r)
		r = apply_ports(conf, raw, y);
	if (!r)
		r = apply_prefix_lists(conf, raw, y);
	return r ? r : apply_allow_files(conf, raw, y);
}
