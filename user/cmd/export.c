/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate export: what the agent has written, once or for as long as it changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conf.h"
#include "cmd/ask.h"
#include "cmd/follow.h"
#include "export/formats.h"
#include "lib/log.h"

#define MAX_TARGET 1024

/* Options under the names that the API has for them. */
static const char *argument(void *arg, const char *name)
{
	const struct fg_options *o = arg;
	const struct {
		const char *name, *text;
	} all[] = {
		{ "bgp", o->bgp }, { "next_hop", o->next_hop }, { "community", o->community },
		{ "max", o->max }, { "tlp", o->tlp },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].name, name))
			return all[i].text;
	return NULL;
}

/* What cannot be asked for is told without an agent. */
static int check(struct fg_options *o, const char *name, const struct fg_export_format **ret_format,
		 struct fg_export_options *ret_options)
{
	enum fg_tier tier = FG_TIER_ENFORCE;
	char why[256];

	if (o->tier && (fg_tier_parse(o->tier, &tier) || tier == FG_TIER_OBSERVE)) {
		fg_complain("export", "tier: '%s' is neither alert nor enforce", o->tier);
		return FG_EXIT_USAGE;
	}
	if (!fg_export_choose(name, tier, argument, o, ret_format, ret_options, why, sizeof(why)))
		return FG_EXIT_OK;
	fg_complain("export", "%s", why);
	return FG_EXIT_USAGE;
}

static int make_target(struct fg_options *o, const char *name, bool rows, char *target, size_t n)
{
	static const char *const names[] = { "bgp", "next_hop", "community", "max", "tlp" };
	int r = fg_client_argument(target, n, "format", name);

	if (!r)
		r = fg_client_argument(target, n, "tier", o->tier);
	if (!r)
		r = fg_client_argument(target, n, "dry_run", o->dry_run ? "1" : NULL);
	if (!r)
		r = fg_client_argument(target, n, "rows", rows ? "1" : NULL);
	for (size_t i = 0; !r && i < sizeof(names) / sizeof(names[0]); i++)
		r = fg_client_argument(target, n, names[i], argument(o, names[i]));
	if (!r)
		return FG_EXIT_OK;
	fg_complain(name, "too long");
	return FG_EXIT_USAGE;
}

/* The announcements, and on stderr what routers get none of. */
static int print_routes(struct fg_options *o, const char *target)
{
	struct fg_client_answer a;
	json_error_t error;
	json_t *doc, *row;
	size_t i;
	int r = fg_ask(o, "GET", target, NULL, &a);

	if (r)
		return r;
	doc = json_loadb(a.body, a.n, 0, &error);
	free(a.body);
	if (!doc) {
		fg_complain("agent", "its answer is no JSON: %s", error.text);
		return FG_EXIT_ERROR;
	}
	json_array_foreach(json_object_get(doc, "rows"), i, row)
		puts(fg_ask_text(json_object_get(row, "announce")));
	fg_follow_tell_left_out(doc);
	json_decref(doc);
	return FG_EXIT_OK;
}

static int print_document(struct fg_options *o, const char *target)
{
	struct fg_client_answer a;
	int r = fg_ask(o, "GET", target, NULL, &a);

	if (r)
		return r;
	fwrite(a.body, 1, a.n, stdout);
	free(a.body);
	return FG_EXIT_OK;
}

static int follow(struct fg_options *o, const char *name, const char *target,
		  const struct fg_bgp_options *routes)
{
	struct fg_conf conf;
	int r = fg_options_conf(o, &conf);

	if (!r)
		r = routes ? fg_follow_routes(conf.socket_path, target, routes) :
			     fg_follow_document(conf.socket_path, target, !strcmp(name, "plain"));
	fg_conf_done(&conf);
	return r;
}

int fg_cmd_export(struct fg_options *o, int argc, char **argv)
{
	const struct fg_export_format *format;
	struct fg_export_options options;
	char target[MAX_TARGET] = "/v1/export";
	bool routes;
	int r = check(o, argv[0], &format, &options);

	(void)argc;
	if (r)
		return r;
	routes = !o->dry_run && !strcmp(format->name, "exabgp");
	r = make_target(o, argv[0], routes, target, sizeof(target));
	if (r)
		return r;
	if (o->follow)
		return follow(o, argv[0], target, routes ? &options.bgp : NULL);
	return routes ? print_routes(o, target) : print_document(o, target);
}
