/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate run: the command line over the configuration, then the agent. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "cmd/cmd.h"
#include "lib/ip.h"
#include "lib/log.h"
#include "lib/num.h"

#define MAX_LIST 1024

static int choice(const char *what, const char *text, const char *const *names, int *ret_choice)
{
	for (int i = 0; names[i]; i++) {
		if (!strcmp(text, names[i])) {
			*ret_choice = i;
			return 0;
		}
	}
	fg_complain(text, "no such %s", what);
	return FG_EXIT_USAGE;
}

static int take_interfaces(const char *list, struct fg_conf *conf)
{
	char text[MAX_LIST], *save, *name;

	for (size_t i = 0; i < conf->n_interfaces; i++)
		free(conf->interfaces[i]);
	conf->n_interfaces = 0;
	if ((size_t)snprintf(text, sizeof(text), "%s", list) >= sizeof(text)) {
		fg_complain("--interface", "the list is too long");
		return FG_EXIT_USAGE;
	}
	for (name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		if (conf->n_interfaces == FG_MAX_IFACES) {
			fg_complain("--interface", "at most %d interfaces", FG_MAX_IFACES);
			return FG_EXIT_USAGE;
		}
		conf->interfaces[conf->n_interfaces] = strdup(name);
		if (!conf->interfaces[conf->n_interfaces])
			return FG_EXIT_ERROR;
		conf->n_interfaces++;
	}
	return 0;
}

static int take_prefixes(const char *list, struct fg_conf *conf)
{
	char text[MAX_LIST], *save, *name;

	conf->n_prefixes = 0;
	if ((size_t)snprintf(text, sizeof(text), "%s", list) >= sizeof(text)) {
		fg_complain("--protect-prefix", "the list is too long");
		return FG_EXIT_USAGE;
	}
	for (name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		struct fg_prefix *p = &conf->prefixes[conf->n_prefixes];

		if (conf->n_prefixes == FG_MAX_PREFIXES) {
			fg_complain("--protect-prefix", "at most %d prefixes", FG_MAX_PREFIXES);
			return FG_EXIT_USAGE;
		}
		memset(p, 0, sizeof(*p));
		if (fg_ip_parse(name, p->addr, &p->bits)) {
			fg_complain(name, "not a prefix (host bits must be zero)");
			return FG_EXIT_USAGE;
		}
		conf->n_prefixes++;
	}
	return 0;
}

static int take_options(const struct fg_options *o, struct fg_conf *conf)
{
	static const char *const roles[] = { "terminate", "transit", "mirror", NULL };
	static const char *const attaches[] = { "auto", "native", "generic", "tc", NULL };
	int r = 0, n;

	if (o->interfaces)
		r = take_interfaces(o->interfaces, conf);
	if (!r && o->role) {
		r = choice("role (terminate, transit or mirror)", o->role, roles, &n);
		if (!r)
			conf->role = (enum fg_role)n;
	}
	if (!r && o->attach) {
		r = choice("way to attach (auto, native, generic or tc)", o->attach, attaches, &n);
		if (!r)
			conf->attach = (enum fg_attach)n;
	}
	if (!r && o->protect) {
		n = fg_num_ports(o->protect, conf->ports, FG_CONF_MAX_PORTS);
		if (n < 0) {
			fg_complain(o->protect, "not a list of ports between 1 and 65535");
			return FG_EXIT_USAGE;
		}
		conf->n_ports = (size_t)n;
	}
	if (!r && o->protect_prefix)
		r = take_prefixes(o->protect_prefix, conf);
	if (!r && !conf->n_interfaces) {
		fg_complain("run", "no interface: -i IF, or 'interfaces' in the configuration");
		return FG_EXIT_USAGE;
	}
	return r;
}

int fg_cmd_run(struct fg_options *o, int argc, char **argv)
{
	char what[256] = "agent", why[512] = "";
	struct fg_conf conf;
	int r = fg_options_conf(o, &conf);

	(void)argc;
	(void)argv;
	if (!r)
		r = take_options(o, &conf);
	if (!r) {
		fg_log_setup((enum fg_log_level)conf.log_level, conf.log_json);
		if (fg_agent_run(&conf, what, sizeof(what), why, sizeof(why))) {
			fg_complain(what, "%s", why);
			r = FG_EXIT_ERROR;
		}
	}
	fg_conf_done(&conf);
	return r;
}
