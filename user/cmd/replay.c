/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate replay: compose a core and run a capture through it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/replay.h"
#include "cmd/cmd.h"
#include "cmd/engine.h"
#include "lib/log.h"
#include "lib/num.h"

/* A pass over the tables ends each second of the capture: smaller than a live agent's. */
#define REPLAY_TABLE_BYTES (64ULL << 20)

int fg_cmd_engine(const char *name, const struct fg_engine_ops **ret_engine)
{
	if (!name || !strcmp(name, "host")) {
		*ret_engine = &fg_engine_host;
	} else if (!strcmp(name, "kernel")) {
		*ret_engine = &fg_engine_kernel;
	} else {
		fg_complain(name, "no such engine (host or kernel)");
		return FG_EXIT_USAGE;
	}
	return 0;
}

static int take_options(const struct fg_options *o, struct fg_conf *conf)
{
	int n;

	if (o->asn) {
		free(conf->asn_file);
		conf->asn_file = strdup(o->asn);
		if (!conf->asn_file) {
			fg_complain(o->asn, "%s", strerror(ENOMEM));
			return FG_EXIT_ERROR;
		}
	}
	conf->role = FG_ROLE_MIRROR;
	if (!o->protect)
		return 0;
	n = fg_num_ports(o->protect, conf->ports, FG_CONF_MAX_PORTS);
	if (n < 0) {
		fg_complain(o->protect, "not a list of ports between 1 and 65535");
		return FG_EXIT_USAGE;
	}
	conf->n_ports = (size_t)n;
	return 0;
}

static int run(const struct fg_options *o, const struct fg_conf *conf, const char *path)
{
	struct fg_replay_conf rc = { .path = path, .table_bytes = REPLAY_TABLE_BYTES };
	struct fg_core core;
	char why[512] = "";
	int r = fg_cmd_engine(o->engine, &rc.engine);

	if (r)
		return r;
	r = fg_core_open(&core, conf, o->state, 0, why, sizeof(why));
	if (r) {
		fg_complain(o->state ? o->state : "replay", "%s", why);
		return FG_EXIT_ERROR;
	}
	for (size_t i = 0; i < core.view.n_degraded; i++)
		fg_complain("replay", "%s", core.view.degraded[i]);
	r = fg_replay(&core, &rc, why, sizeof(why));
	if (r)
		fg_complain(path, "%s", why[0] ? why : strerror(-r));
	/* what came before the break is worth seeing; the exit code tells */
	if (!r || r == -EBADMSG)
		if (fg_core_report(&core, stdout, o->format == FG_FORMAT_JSON))
			r = -EIO;
	fg_core_close(&core);
	return r ? FG_EXIT_ERROR : FG_EXIT_OK;
}

int fg_cmd_replay(struct fg_options *o, int argc, char **argv)
{
	struct fg_conf conf;
	int r = fg_options_conf(o, &conf);

	(void)argc;
	if (!r)
		r = take_options(o, &conf);
	if (!r)
		r = run(o, &conf, argv[0]);
	fg_conf_done(&conf);
	return r;
}
