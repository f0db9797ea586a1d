/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conf.h"
#include "cmd/cmd.h"
#include "lib/log.h"
#include "lib/near.h"

struct option {
	const char *name;
	char letter; /* 0 = none */
	const char *metavar; /* NULL = a flag */
	size_t offset;
	bool global;
	const char *help;
};

#define AT(member) offsetof(struct fg_options, member)

static const struct option options[] = {
	{ "config", 0, "FILE", AT(config), true,
	  "configuration (default " FG_CONF_PATH ", optional)" },
	{ "socket", 0, "PATH", AT(socket), true,
	  "the agent's socket (default " FG_SOCKET_PATH ")" },
	{ "state", 0, "DIR", AT(state), true, "state folder (default " FG_STATE_DIR ")" },
	{ "format", 0, "FORMAT", AT(format_text), true, "human, json or tsv" },
	{ "version", 0, NULL, AT(version), true, "print the version and what is built in" },
	{ "help", 'h', NULL, AT(help), true, "print this help" },
	{ "interface", 'i', "IF[,IF...]", AT(interfaces), false, "interfaces to attach to" },
	{ "role", 0, "ROLE", AT(role), false, "terminate (default), transit or mirror" },
	{ "attach", 0, "MODE", AT(attach), false,
	  "auto (default: native, else generic, said aloud), native, generic or tc" },
	{ "protect", 0, "PORT[,PORT...]", AT(protect), false, "protected ports (default 443)" },
	{ "protect-prefix", 0, "P[,P...]", AT(protect_prefix), false,
	  "protected server prefixes (default all)" },
	{ "asn", 0, "FILE", AT(asn), false, "table of prefix, ASN, class and country" },
	{ "engine", 0, "ENGINE", AT(engine), false,
	  "host (default) or kernel: the loaded program, frame by frame" },
	{ "raw", 0, NULL, AT(raw), false, "add ja4_r as tenth column" },
	{ "limit", 0, "N", AT(limit), false, "rows at most (default 1000)" },
	{ "sort", 0, "FIELD", AT(sort), false, "sort by this field, largest first" },
	{ "since", 0, "TIME", AT(since), false,
	  "only rows seen since then (unix seconds or RFC 3339)" },
	{ "tier", 0, "TIER", AT(tier), false, "observe, alert or enforce, and above" },
	{ "stem", 0, "STEM", AT(stem), false, "only clients with this stem (~t13d...)" },
	{ "ttl", 0, "TIME", AT(ttl), false,
	  "how long it holds: 90s, 15m, 1h; a block at most 24h" },
	{ "reason", 0, "TEXT", AT(reason), false, "kept with the decision" },
	{ "confirm", 0, "N", AT(confirm), false,
	  "so many known sources may be hit by a prefix that holds some nobody flagged" },
	{ "dry-run", 0, NULL, AT(dry_run), false,
	  "show what would be blocked and who else is hit" },
	{ "follow", 0, NULL, AT(follow), false,
	  "print the set again whenever it changes; exabgp: only the differences" },
	{ "bgp", 0, "KIND", AT(bgp), false,
	  "exabgp: flowspec (default: discard by source) or rtbh (discard route)" },
	{ "next-hop", 0, "ADDR[,ADDR]", AT(next_hop), false,
	  "rtbh: the address that routers discard, one of each family" },
	{ "community", 0, "LIST", AT(community), false,
	  "exabgp: ASN:VALUE,... beside no-export (default for rtbh: 65535:666)" },
	{ "max", 0, "N", AT(max), false, "exabgp: announcements at most (default 500)" },
	{ "tlp", 0, "COLOUR", AT(tlp), false,
	  "stix: who may read it: white, green, amber (default) or red" },
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

const char *fg_options_name(int i)
{
	return i >= 0 && (size_t)i < N_OPTIONS ? options[i].name : NULL;
}

/* Is the word in the blank-separated list? */
static bool is_in(const char *list, const char *word, size_t len)
{
	for (const char *at = list; at && *at;) {
		size_t n = strcspn(at, " ");

		if (n == len && !strncmp(at, word, len))
			return true;
		at += n + (at[n] == ' ');
	}
	return false;
}

static bool takes(const struct fg_command *c, const struct option *o)
{
	return o->global || (c && is_in(c->options, o->name, strlen(o->name)));
}

static const struct option *find(const char *name, size_t len, char letter)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (letter ? options[i].letter == letter :
			     !strncmp(options[i].name, name, len) && !options[i].name[len])
			return &options[i];
	}
	return NULL;
}

static int complain_option(const char *arg)
{
	const char *names[N_OPTIONS + 1] = { 0 }, *typed = arg + strspn(arg, "-");
	char name[64]; /* what is longer is near nothing */

	for (size_t i = 0; i < N_OPTIONS; i++)
		names[i] = options[i].name;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(typed, "="), typed);
	fg_complain(arg, "unknown option%s", fg_near_text(name, names, "--"));
	return FG_EXIT_USAGE;
}

static const struct fg_command *find_command(const char *name)
{
	for (const struct fg_command *c = fg_commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static int complain_command(const char *name)
{
	const char *names[64] = { 0 };

	for (size_t i = 0; fg_commands[i].name && i < 63; i++)
		names[i] = fg_commands[i].name;
	fg_complain(name, "unknown command%s", fg_near_text(name, names, ""));
	return FG_EXIT_USAGE;
}

/* Stores one option; *at moves over its value. */
static int store(struct fg_options *o, const struct option *opt, const char *value, int argc,
		 char **argv, int *at)
{
	void *field = (char *)o + opt->offset;

	if (!opt->metavar) {
		if (value) {
			fg_complain(argv[*at], "takes no value");
			return FG_EXIT_USAGE;
		}
		*(bool *)field = true;
		return 0;
	}
	if (!value) {
		if (*at + 1 >= argc) {
			fg_complain(argv[*at], "needs a value (%s)", opt->metavar);
			return FG_EXIT_USAGE;
		}
		value = argv[++*at];
	}
	*(const char **)field = value;
	return 0;
}

static int parse_one(struct fg_options *o, int argc, char **argv, int *at, uint64_t *given)
{
	const char *arg = argv[*at], *name, *value = NULL;
	const struct option *opt;

	if (arg[1] == '-') {
		name = arg + 2;
		value = strchr(name, '=');
		opt = find(name, value ? (size_t)(value - name) : strlen(name), 0);
		value = value ? value + 1 : NULL;
	} else {
		opt = find(NULL, 0, arg[1]);
		value = arg[2] ? arg + 2 : NULL;
	}
	if (!opt)
		return complain_option(arg);
	*given |= 1ULL << (opt - options);
	return store(o, opt, value, argc, argv, at);
}

static int parse_format(struct fg_options *o)
{
	static const char *const names[] = { "human", "json", "tsv" };

	for (size_t i = 0; o->format_text && i < 3; i++) {
		if (!strcmp(o->format_text, names[i])) {
			o->format = (enum fg_format)i;
			return 0;
		}
	}
	if (!o->format_text)
		return 0;
	fg_complain(o->format_text, "no such format (human, json or tsv)");
	return FG_EXIT_USAGE;
}

/* Options that the command does not take. */
static int check_given(const struct fg_command *c, uint64_t given)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (given >> i & 1 && !takes(c, &options[i])) {
			fg_complain(c ? c->name : "farmgate", "takes no --%s", options[i].name);
			return FG_EXIT_USAGE;
		}
	}
	return 0;
}

/* As many arguments as the command takes, unless only its help is asked for. */
static int check_args(const struct fg_options *o, const struct fg_command *c, int n)
{
	if (!c || o->help || o->version || (n >= c->min_args && n <= c->max_args))
		return 0;
	fg_complain(c->name, "%s: usage: farmgate %s %s",
		    n < c->min_args ? "an argument is missing" : "too many arguments", c->name,
		    c->args);
	return FG_EXIT_USAGE;
}

int fg_options_parse(struct fg_options *o, const struct fg_command **ret_command, int argc,
		     char **argv, int *ret_argc)
{
	const struct fg_command *command = NULL;
	bool only_args = false;
	uint64_t given = 0;
	int n = 0, r = 0;

	memset(o, 0, sizeof(*o));
	for (int i = 1; i < argc; i++) {
		/* "-" alone is stdin; behind "--" everything is an argument */
		if (!only_args && !strcmp(argv[i], "--")) {
			only_args = true;
		} else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
			r = parse_one(o, argc, argv, &i, &given);
		} else if (!command) {
			command = find_command(argv[i]);
			if (!command)
				return complain_command(argv[i]);
		} else {
			argv[n++] = argv[i];
		}
		if (r)
			return r;
	}
	r = check_given(command, given);
	if (!r)
		r = parse_format(o);
	if (!r)
		r = check_args(o, command, n);
	if (r)
		return r;
	*ret_command = command;
	*ret_argc = n;
	return 0;
}

static void help_options(FILE *out, const struct fg_command *c, bool global)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		char left[48];

		if (o->global != global || !takes(c, o))
			continue;
		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : "  ",
			 o->letter ? o->letter : ' ', o->letter ? ", " : " ", o->name,
			 o->metavar ? " " : "", o->metavar ? o->metavar : "");
		fprintf(out, "  %-30s %s\n", left, o->help);
	}
}

void fg_options_help(FILE *out, const struct fg_command *c)
{
	if (c) {
		fprintf(out, "usage: farmgate %s [OPTION...] %s\n%s.\n\n", c->name, c->args,
			c->summary);
		help_options(out, c, false);
		fputs("\nglobal options:\n", out);
	} else {
		fputs("usage: farmgate [OPTION...] COMMAND [ARGUMENT...]\n"
		      "Spots account farms at the network edge, without decrypting.\n\n"
		      "commands:\n",
		      out);
		for (c = fg_commands; c->name; c++)
			fprintf(out, "  %-14s %s\n", c->name, c->summary);
		fputs("\n'farmgate COMMAND --help' tells its options. Global options:\n", out);
		c = NULL;
	}
	help_options(out, c, true);
}

static int replace(char **text, const char *with)
{
	char *copy;

	if (!with)
		return 0;
	copy = strdup(with);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

int fg_options_conf(const struct fg_options *o, struct fg_conf *conf)
{
	const char *path = o->config ? o->config : FG_CONF_PATH;
	char why[512] = "";
	int r;

	fg_conf_init(conf);
	r = fg_conf_load(conf, path, why, sizeof(why));
	if (r == -ENOENT && !o->config)
		r = 0;
	if (r) {
		fg_complain("configuration", "%s", why[0] ? why : strerror(-r));
		return FG_EXIT_ERROR;
	}
	if (replace(&conf->socket_path, o->socket) || replace(&conf->state_dir, o->state)) {
		fg_complain("configuration", "no memory");
		return FG_EXIT_ERROR;
	}
	return 0;
}
