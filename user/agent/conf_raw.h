/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inside of conf.h, for conf*.c only: the file as libcyaml loads it, and the steps that bring it
 * into a configuration.
 *
 * A step takes what the file gives (fg_yaml_line) and refuses with file, line and key what is
 * wrong. It returns 0, -EINVAL or -ENOMEM, and leaves a configuration that can be cleaned up.
 */
#pragma once

#include "agent/conf.h"
#include "lib/log.h"
#include "lib/yaml.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define S_TO_NS	 1000000000ULL

enum format {
	FORMAT_TEXT,
	FORMAT_JSON
};
enum drop {
	DROP_SILENCE,
	DROP_RESET
};
enum established {
	ESTABLISHED_KEEP,
	ESTABLISHED_END
};
enum export {
	EXPORT_NFT,
	EXPORT_XDP,
	EXPORT_IPSET,
	EXPORT_HAPROXY,
	EXPORT_NGINX,
	EXPORT_HOOK,
	EXPORT_CROWDSEC,
	_EXPORT_MAX
};
enum flag {
	FLAG_FALSE,
	FLAG_TRUE
};
enum decisions {
	DECISIONS_PROFILE,
	DECISIONS_PUSH
};

/* The file as libcyaml loads it. Which of it was given is asked of the fg_yaml beside it. */
struct raw {
	char **interfaces;
	unsigned int interfaces_count;
	enum fg_role role;
	enum fg_attach attach;
	char *pins;
	enum fg_on_stop on_stop;
	struct {
		char **ports;
		unsigned int ports_count;
		char **prefixes;
		unsigned int prefixes_count;
	} protect;
	char **tunnels;
	unsigned int tunnels_count;
	char **balancers;
	unsigned int balancers_count;
	enum fg_mode mode;
	char *ttl, *warmup, *history;
	enum drop drop;
	enum established established;
	enum export *exports;
	unsigned int exports_count;
	char **allow;
	unsigned int allow_count;
	char **allow_files;
	unsigned int allow_files_count;
	struct {
		double collateral, max_harm, holdback;
		uint32_t max_blocks, max_blocks_network;
	} guards;
	uint32_t memory_mb;
	struct {
		uint32_t sources, clients, fingerprints, stems, hosts, pairs;
		char *window;
	} limits;
	struct {
		double flag_nats, alert_per_million, enforce_per_million;
		uint32_t min_connections, min_population, shared_stems;
	} detect;
	struct {
		enum format format;
		enum fg_log_level level;
	} log;
	char *socket;
	char *state;
	struct {
		char *file;
	} asn;
	struct {
		char *socket, *group;
	} feed;
	struct {
		char *address, *keys;
	} listen;
	struct {
		enum flag udp;
	} nft;
	struct {
		char *socket, *map;
	} haproxy;
	struct {
		char *file, *interval;
		char **test, **reload;
		unsigned int test_count, reload_count;
	} nginx;
	struct {
		char **command;
		unsigned int command_count;
		char *url, *key_file, *timeout;
		uint32_t batch;
	} hook;
	struct {
		char *url, *machine, *password_file, *ca_file;
		enum decisions decisions;
	} crowdsec;
};

/* --- conf_schema.c ---------------------------------------------------------------------------- */

/** Checks the text and loads it; *ret_raw stays NULL where the text gives nothing. yaml as for
 * fg_yaml_check(). @return 0, -EINVAL, -ENOMEM. */
int fg_conf_read(struct fg_yaml *yaml, const char *text, size_t n, struct raw **ret_raw);
void fg_conf_free_raw(struct raw **raw);

/* --- conf_copy.c ------------------------------------------------------------------------------ */

/** next becomes a copy that shares nothing; it must be cleaned up also after a failure.
 * @return 0, -ENOMEM. */
int fg_conf_copy(struct fg_conf *next, const struct fg_conf *conf);
/** Puts a copy in the place of what is there; from may be NULL. @return 0, -ENOMEM. */
int fg_conf_copy_text(char **to, const char *from);
int fg_conf_copy_texts(char **to, size_t *n_to, char *const *from, size_t n);

/* --- Steps, in this order --------------------------------------------------------------------- */

int fg_conf_apply_lists(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y);
int fg_conf_apply_values(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y);
int fg_conf_apply_paths(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y);
int fg_conf_apply_exports(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y);

/* --- One value, by any step: nothing happens where the file does not give it ------------------ */

int fg_conf_apply_number(uint32_t *to, const char *path, uint32_t value, uint32_t min, uint32_t max,
			 const struct fg_yaml *y);
int fg_conf_apply_seconds(uint32_t *to, const char *path, const char *value, uint64_t min,
			  uint64_t max, const struct fg_yaml *y);
/** An absolute path of less than max characters. */
int fg_conf_apply_path(char **to, const char *path, const char *value, size_t max,
		       const struct fg_yaml *y);
/** Only whether it is one. */
int fg_conf_check_path(const char *path, const char *value, size_t max, const struct fg_yaml *y);
