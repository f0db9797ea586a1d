/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the operator types: one table of options, one of commands; help text comes from both. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of every command. */
enum fg_exit {
	FG_EXIT_OK,
	FG_EXIT_ERROR,
	FG_EXIT_USAGE,
	FG_EXIT_DEGRADED
};

enum fg_format {
	FG_FORMAT_HUMAN,
	FG_FORMAT_JSON,
	FG_FORMAT_TSV
};

/* Every option of every command as typed; NULL or false = not given. */
struct fg_options {
	/* global */
	const char *config, *socket, *state, *format_text;
	bool version, help;
	enum fg_format format; /* from format_text */
	/* run */
	const char *interfaces, *role, *attach, *protect, *protect_prefix;
	/* replay, ja4 */
	const char *asn, *engine;
	bool raw;
	/* lists */
	const char *limit, *sort, *since, *tier;
	/* decisions */
	const char *stem, *ttl, *reason, *confirm;
	/* export */
	const char *bgp, *next_hop, *community, *max, *tlp;
	bool dry_run, follow;
};

struct fg_command {
	const char *name;
	const char *args; /* shown in help: "PREFIX" */
	int min_args, max_args;
	const char *options; /* names of the options it takes besides the global ones, by blanks */
	const char *summary;
	int (*run)(struct fg_options *options, int argc, char **argv);
};

/** All commands, ended by one without a name. */
extern const struct fg_command fg_commands[];

/** Splits argv into options and arguments (moved to the front, their number in *ret_argc: as many
 * as the command takes, but with --help and --version). Complains itself. @return 0, FG_EXIT_USAGE. */
int fg_options_parse(struct fg_options *options, const struct fg_command **ret_command, int argc,
		     char **argv, int *ret_argc);
void fg_options_help(FILE *out, const struct fg_command *command);
/** Name of option i, NULL at the end; for tests that compare with the man page. */
const char *fg_options_name(int i);

struct fg_conf;
/** Defaults, the configuration file (a missing default file is fine), then socket and state of the
 * command line. Complains itself. @return 0, FG_EXIT_ERROR, FG_EXIT_USAGE. */
int fg_options_conf(const struct fg_options *options, struct fg_conf *conf);

int fg_cmd_run(struct fg_options *options, int argc, char **argv);
int fg_cmd_replay(struct fg_options *options, int argc, char **argv);
int fg_cmd_ja4(struct fg_options *options, int argc, char **argv);
int fg_cmd_status(struct fg_options *options, int argc, char **argv);
int fg_cmd_sources(struct fg_options *options, int argc, char **argv);
int fg_cmd_clients(struct fg_options *options, int argc, char **argv);
int fg_cmd_fingerprints(struct fg_options *options, int argc, char **argv);
int fg_cmd_cohorts(struct fg_options *options, int argc, char **argv);
int fg_cmd_flagged(struct fg_options *options, int argc, char **argv);
int fg_cmd_explain(struct fg_options *options, int argc, char **argv);
int fg_cmd_history(struct fg_options *options, int argc, char **argv);
int fg_cmd_block(struct fg_options *options, int argc, char **argv);
int fg_cmd_unblock(struct fg_options *options, int argc, char **argv);
int fg_cmd_allow(struct fg_options *options, int argc, char **argv);
int fg_cmd_disallow(struct fg_options *options, int argc, char **argv);
int fg_cmd_undo(struct fg_options *options, int argc, char **argv);
int fg_cmd_export(struct fg_options *options, int argc, char **argv);
int fg_cmd_check_config(struct fg_options *options, int argc, char **argv);
int fg_cmd_doctor(struct fg_options *options, int argc, char **argv);
