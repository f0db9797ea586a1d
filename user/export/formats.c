/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "export/formats.h"

#include <errno.h>
#include <string.h>

#include "export/documents.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"

static int write_nft(FILE *out, const struct fg_export_ask *ask)
{
	return fg_export_nft(out, ask->set, ask->conf, ask->now_ns);
}

static int write_json(FILE *out, const struct fg_export_ask *ask)
{
	return fg_export_json(out, ask->set, ask->now_ns);
}

static int write_csv(FILE *out, const struct fg_export_ask *ask)
{
	return fg_export_csv(out, ask->set, ask->now_ns);
}

static int write_plain(FILE *out, const struct fg_export_ask *ask)
{
	return fg_export_plain(out, ask->set);
}

static int write_exabgp(FILE *out, const struct fg_export_ask *ask)
{
	if (ask->options->rows)
		return fg_exabgp_rows(out, ask->set, &ask->options->bgp, ask->now_ns);
	return fg_exabgp_lines(out, ask->set, &ask->options->bgp);
}

static const struct fg_export_format formats[] = {
	{ "nft", TEXT, "", write_nft, false },
	{ "ipset", TEXT, "", fg_document_ipset, false },
	{ "json", JSON, "", write_json, false },
	{ "csv", "text/csv; charset=utf-8", "", write_csv, false },
	{ "plain", TEXT, "", write_plain, false },
	{ "haproxy", TEXT, "", fg_document_haproxy, false },
	{ "nginx", TEXT, "", fg_document_nginx, false },
	{ "crowdsec", JSON, "", fg_document_crowdsec, false },
	{ "exabgp", TEXT, "bgp next_hop community max rows", write_exabgp, true },
	{ "stix", "application/stix+json;version=2.1", "tlp", fg_document_stix, false },
};
#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

const struct fg_export_format *fg_export_format_at(size_t i)
{
	return i < N_FORMATS ? &formats[i] : NULL;
}

/* "nft, ipset, ... or stix" */
static void list_names(char *text, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < N_FORMATS && used < n; i++)
		used += (size_t)snprintf(text + used, n - used, "%s%s",
					 !i		    ? "" :
					 i + 1 == N_FORMATS ? " or " :
							      ", ",
					 formats[i].name);
}

static const struct fg_export_format *find(const char *name, char *why, size_t n_why)
{
	char names[128] = "";

	for (size_t i = 0; name && i < N_FORMATS; i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	list_names(names, sizeof(names));
	if (name)
		snprintf(why, n_why, "format: '%.40s' is not one of %s", name, names);
	else
		snprintf(why, n_why, "format is missing (%s)", names);
	return NULL;
}

/* Is the word in the blank-separated list? */
static bool is_in(const char *list, const char *word)
{
	const char *at = strstr(list, word);
	size_t n = strlen(word);

	return at && (at == list || at[-1] == ' ') && (!at[n] || at[n] == ' ');
}

static int check_taken(const struct fg_export_format *format, fg_export_argument_fn argument,
		       void *arg, char *why, size_t n_why)
{
	static const char *const names[] = { "bgp", "next_hop", "community", "max", "tlp", "rows" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (argument(arg, names[i]) && !is_in(format->takes, names[i])) {
			snprintf(why, n_why, "%s: the format %s takes none", names[i],
				 format->name);
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_tlp(const char *text, enum fg_tlp *ret_tlp, char *why, size_t n_why)
{
	static const char *const names[_FG_TLP_MAX] = { "white", "green", "amber", "red" };

	*ret_tlp = FG_TLP_AMBER;
	for (size_t i = 0; text && i < _FG_TLP_MAX; i++) {
		if (!strcmp(text, names[i])) {
			*ret_tlp = (enum fg_tlp)i;
			return 0;
		}
	}
	if (!text)
		return 0;
	snprintf(why, n_why, "tlp: '%.40s' is none of white, green, amber, red", text);
	return -EINVAL;
}

int fg_export_choose(const char *name, enum fg_tier min_tier, fg_export_argument_fn argument,
		     void *arg, const struct fg_export_format **ret_format,
		     struct fg_export_options *ret_options, char *why, size_t n_why)
{
	const struct fg_export_format *format = find(name, why, n_why);
	struct fg_export_options o = { .rows = false };
	const char *rows;
	int r;

	if (!format)
		return -EINVAL;
	if (format->only_enforce && min_tier != FG_TIER_ENFORCE) {
		snprintf(why, n_why, "tier: %s is for enforce only: routers act on it at once",
			 format->name);
		return -EINVAL;
	}
	r = check_taken(format, argument, arg, why, n_why);
	if (!r)
		r = fg_bgp_options(&o.bgp, argument(arg, "bgp"), argument(arg, "next_hop"),
				   argument(arg, "community"), argument(arg, "max"), why, n_why);
	if (!r)
		r = parse_tlp(argument(arg, "tlp"), &o.tlp, why, n_why);
	rows = argument(arg, "rows");
	o.rows = rows && strcmp(rows, "0");
	if (r)
		return r;
	*ret_format = format;
	*ret_options = o;
	return 0;
}
