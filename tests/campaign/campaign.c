/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/campaign.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/num.h"

const uint64_t cg_hash_seed[4] = { 0x6361727061636b31, 0x0f1e2d3c4b5a6978, 0xa5a5c3c3f00f9669,
				   0x0123456789abcdef };

static const char *const ablation_names[_CG_ABLATION_MAX] = {
	[CG_WHOLE] = "none",	[CG_NO_TIMES] = "no-times",
	[CG_NO_JA4] = "no-ja4", [CG_INGRESS_ONLY] = "ingress-only",
	[CG_LOSS] = "loss",	[CG_RESTART] = "restart",
	[CG_JITTER] = "jitter", [CG_NO_TABLE] = "no-table",
};

static const struct {
	const char *name;
	int (*run)(const struct cg_options *options);
	const char *what;
} commands[] = {
	{ "run", cg_run, "simulate, feed the agent's core, score its verdicts" },
	{ "branches", cg_branches, "many scenarios of one seed, their common past only once" },
	{ "agree", cg_agree, "the same as epochs and as frames: what the agent knows must agree" },
	{ "packets", cg_packets_write, "frames as a capture file on stdout" },
	{ "judge", cg_judge, "a report of replay against the truth about its capture" },
	{ "summary", cg_summary, "rows of run, from stdin, as a table" },
	{ "asn", cg_asn_write, "the world's table of networks on stdout" },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *cg_ablation_name(enum cg_ablation ablation)
{
	return ablation_names[ablation];
}

int cg_open(const struct cg_conf *conf, struct cg_world **ret_world, struct cg_keys **ret_keys)
{
	const struct cg_hello *hellos;
	const struct cg_stack *stacks;
	size_t n_hellos, n_stacks;
	int r = cg_world_open(conf, ret_world);

	if (r) {
		fprintf(stderr, "campaign: no world for scenario %s: %s\n", conf->scenario,
			strerror(-r));
		return r;
	}
	hellos = cg_hellos(*ret_world, &n_hellos);
	stacks = cg_stacks(*ret_world, &n_stacks);
	r = cg_keys_new(hellos, n_hellos, stacks, n_stacks, cg_hash_seed, ret_keys);
	if (r) {
		fprintf(stderr, "campaign: no keys: %s\n", strerror(-r));
		cg_world_close(ret_world);
	}
	return r;
}

static int usage(int code)
{
	fprintf(code ? stderr : stdout,
		"usage: campaign COMMAND --scenario S --seed N [OPTION]...\n\ncommands:\n");
	for (size_t i = 0; i < COUNT(commands); i++)
		fprintf(code ? stderr : stdout, "  %-10s %s\n", commands[i].name, commands[i].what);
	fprintf(code ? stderr : stdout,
		"\noptions:\n"
		"  --scenario S     none, N1..N12, F1, F2, F3a.., F12, reference\n"
		"  --seed N         1-20 are for development\n"
		"  --sources N      legitimate sources (default 20000)\n"
		"  --scale X        of the farm; 1 = 25,000 accounts (default 1)\n"
		"  --days N         horizon (default 28)\n"
		"  --farm-day N     first scored day (default 14)\n"
		"  --knob X         moves the variant's knobs, -0.3 .. 0.3\n"
		"  --heavy-cap N    most exchanges of a legitimate source a day\n"
		"  --flush N        tokens in a frame of a streamed answer (default 2.5)\n"
		"  --keep N         payload bytes that a frame of the capture keeps, 16 or more;\n"
		"                   hellos stay whole (packets)\n"
		"  --truth FILE     who was a farm's, and the exchanges of each hour (packets;\n"
		"                   judge reads it)\n"
		"  --report FILE    what replay said, in JSON (judge)\n"
		"  --quic 0|1       browsers speak QUIC, too (default 0; F12: always)\n"
		"  --ablation NAME  no-times, no-ja4, ingress-only, loss, restart, jitter, no-table\n"
		"  --epoch S        seconds an epoch, a part of an hour (run: 60, agree: 1)\n"
		"  --connections N  stop after so many\n"
		"  --state DIR      the agent's state (run)\n"
		"  --branches LIST  SCENARIO[:SCALE],... instead of --scenario (branches)\n"
		"  --rows DIR       where SCENARIO-SEED.tsv and .log go; what is there is kept\n"
		"                   (branches)\n"
		"  --jobs N         processes at a time (branches; default 1)\n"
		"  --no-header      the row without the names of its columns (run)\n"
		"  --verbose        who is flagged and why, as it happens (run)\n");
	return code;
}

static int bad(const char *option, const char *value)
{
	fprintf(stderr, "campaign: --%s: '%s' is none (campaign --help)\n", option, value);
	return -EINVAL;
}

static int ablation_of(const char *text, enum cg_ablation *ret)
{
	for (int i = 0; i < _CG_ABLATION_MAX; i++) {
		if (!strcmp(ablation_names[i], text)) {
			*ret = (enum cg_ablation)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Signed, unlike fg_num_double(). */
static int knob_of(const char *text, double *ret)
{
	bool minus = text[0] == '-';
	int r = fg_num_double(text + minus, 0, 1, ret);

	*ret = minus ? -*ret : *ret;
	return r;
}

static int number32(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	uint64_t n;
	int r = fg_num_u64(text, min, max, &n);

	if (!r)
		*ret = (uint32_t)n;
	return r;
}

static int set_option(struct cg_options *o, int c, const char *text)
{
	uint32_t flag;
	int r;

	switch (c) {
	case 's':
		o->world.scenario = text;
		return 0;
	case 'n':
		return fg_num_u64(text, 0, UINT64_MAX, &o->world.seed);
	case 'S':
		return number32(text, 0, 100000000, &o->world.legit_sources);
	case 'x':
		return fg_num_double(text, 0, 1000, &o->world.farm_scale);
	case 'd':
		return number32(text, 1, 3650, &o->world.days);
	case 'f':
		return number32(text, 0, 3650, &o->world.farm_day);
	case 'k':
		return knob_of(text, &o->world.knob);
	case 'h':
		return number32(text, 0, UINT32_MAX, &o->world.heavy_cap);
	case 'K':
		return number32(text, 16, 65535, &o->keep_bytes);
	case 'R':
		o->report_file = text;
		return 0;
	case 'T':
		o->truth_file = text;
		return 0;
	case 'F':
		return number32(text, 1, 1000, &o->world.flush_tokens);
	case 'Q':
		r = number32(text, 0, 1, &flag);
		o->world.quic = !r && flag;
		return r;
	case 'b':
		return ablation_of(text, &o->ablation);
	case 'e': /* hours end with an epoch */
		r = number32(text, 1, 3600, &o->epoch_s);
		return r || 3600 % o->epoch_s ? -EINVAL : 0;
	case 'B':
		o->branches = text;
		return 0;
	case 'D':
		o->rows_dir = text;
		return 0;
	case 'j':
		return number32(text, 1, 1024, &o->jobs);
	case 'c':
		return fg_num_u64(text, 0, UINT64_MAX, &o->max_connections);
	default:
		o->state_dir = text;
		return 0;
	}
}

/* A database cannot be shared with a process that goes another way. */
static int check_branches(struct cg_options *o)
{
	if (!o->branches || !o->rows_dir) {
		fprintf(stderr, "campaign: which --branches, to which --rows? (campaign --help)\n");
		return -EINVAL;
	}
	if (o->state_dir || o->ablation == CG_RESTART) {
		fprintf(stderr, "campaign: branches keep no --state\n");
		return -EINVAL;
	}
	o->world.scenario = "none";
	return 0;
}

static int parse(int argc, char **argv, struct cg_options *o)
{
	static const struct option options[] = {
		{ "scenario", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'n' },
		{ "sources", required_argument, NULL, 'S' },
		{ "scale", required_argument, NULL, 'x' },
		{ "days", required_argument, NULL, 'd' },
		{ "farm-day", required_argument, NULL, 'f' },
		{ "knob", required_argument, NULL, 'k' },
		{ "heavy-cap", required_argument, NULL, 'h' },
		{ "truth", required_argument, NULL, 'T' },
		{ "report", required_argument, NULL, 'R' },
		{ "keep", required_argument, NULL, 'K' },
		{ "flush", required_argument, NULL, 'F' },
		{ "quic", required_argument, NULL, 'Q' },
		{ "ablation", required_argument, NULL, 'b' },
		{ "epoch", required_argument, NULL, 'e' },
		{ "connections", required_argument, NULL, 'c' },
		{ "state", required_argument, NULL, 't' },
		{ "branches", required_argument, NULL, 'B' },
		{ "rows", required_argument, NULL, 'D' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "no-header", no_argument, NULL, 'q' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 },
	};
	int c, at;

	while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
		if (c == '?')
			return -EINVAL;
		if (c == 'q')
			o->no_header = true;
		else if (c == 'v')
			o->verbose = true;
		else if (set_option(o, c, optarg))
			return bad(options[at].name, optarg);
	}
	o->world.jitter_us = o->ablation == CG_JITTER ? 5000 : 0;
	o->world.one_hello = o->ablation == CG_NO_JA4;
	if (optind < argc)
		return bad("", argv[optind]);
	if (!strcmp(argv[0], "branches"))
		return check_branches(o);
	if (!o->world.scenario && strcmp(argv[0], "judge") && strcmp(argv[0], "summary")) {
		fprintf(stderr, "campaign: which --scenario? (campaign --help)\n");
		return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct cg_options o = { .world = { .seed = 1,
					   .legit_sources = 20000,
					   .farm_scale = 1,
					   .days = 28,
					   .farm_day = 14 },
				.jobs = 1 };
	int r;

	if (argc < 2 || !strcmp(argv[1], "--help"))
		return usage(argc < 2 ? 2 : 0);
	for (size_t i = 0; i < COUNT(commands); i++) {
		if (strcmp(commands[i].name, argv[1]))
			continue;
		r = parse(argc - 1, argv + 1, &o);
		if (r)
			return 2;
		r = commands[i].run(&o);
		return r < 0 ? 2 : r;
	}
	return usage(2);
}
