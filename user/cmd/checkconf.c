/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate check-config: the file as the agent would read it, without starting. */
#include <string.h>

#include "agent/allowfiles.h"
#include "agent/api.h"
#include "agent/conf.h"
#include "agent/core.h"
#include "cmd/cmd.h"
#include "lib/jsonw.h"
#include "lib/log.h"

/* They are read again while the agent runs, so they count as part of the configuration. */
static int try_allow_files(const struct fg_conf *conf, char *why, size_t n_why)
{
	char fault[512];

	for (size_t i = 0; i < conf->n_allow_files; i++) {
		long n = fg_allowfiles_try(conf->allow_files[i], fault, sizeof(fault));

		if (n < 0) {
			snprintf(why, n_why, "allow_files: %s", fault);
			return (int)n;
		}
	}
	return 0;
}

int fg_cmd_check_config(struct fg_options *o, int argc, char **argv)
{
	const char *path = argc ? argv[0] : o->config ? o->config : FG_CONF_PATH;
	char why[640] = "", networks[600] = "", keys[600] = "";
	struct fg_conf conf;
	struct fg_jsonw w;
	int r;

	fg_conf_init(&conf);
	r = fg_conf_load(&conf, path, why, sizeof(why));
	if (!r && conf.asn_file) {
		r = fg_core_try_networks(conf.asn_file, networks, sizeof(networks));
		if (r < 0)
			snprintf(why, sizeof(why), "asn.file: %s", networks);
		else
			r = 0;
	}
	if (!r)
		r = try_allow_files(&conf, why, sizeof(why));
	if (!r) {
		r = fg_agent_api_try(&conf, keys, sizeof(keys));
		if (r)
			snprintf(why, sizeof(why), "listen.keys: %s", keys);
	}
	fg_conf_done(&conf);
	if (o->format == FG_FORMAT_JSON) {
		fg_jsonw_init(&w, stdout);
		fg_jsonw_object(&w);
		fg_jsonw_key_bool(&w, "ok", !r);
		fg_jsonw_key_string(&w, "file", path);
		if (r)
			fg_jsonw_key_string(&w, "error", why[0] ? why : strerror(-r));
		else if (networks[0])
			fg_jsonw_key_string(&w, "networks", networks);
		fg_jsonw_object_end(&w);
		putchar('\n');
		fg_jsonw_finish(&w);
	} else if (!r) {
		printf("%s: ok\n", path);
		if (networks[0])
			printf("asn.file: %s\n", networks);
	}
	if (r)
		fg_complain("check-config", "%s", why[0] ? why : strerror(-r));
	return r ? FG_EXIT_ERROR : FG_EXIT_OK;
}
