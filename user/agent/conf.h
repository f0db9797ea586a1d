/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration: defaults, then the YAML file, then the command line. No side effects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detect.h"
#include "model/model.h"

#define FG_CONF_PATH	  "/etc/farmgate/farmgate.yaml"
#define FG_SOCKET_PATH	  "/run/farmgate/farmgate.sock"
#define FG_STATE_DIR	  "/var/lib/farmgate"
#define FG_CONF_MAX_PORTS 64

enum fg_attach {
	FG_ATTACH_AUTO,
	FG_ATTACH_NATIVE,
	FG_ATTACH_GENERIC,
	FG_ATTACH_TC
};
enum fg_mode {
	FG_MODE_OBSERVE,
	FG_MODE_ENFORCE
};

struct fg_conf {
	char *interfaces[FG_MAX_IFACES];
	size_t n_interfaces;
	enum fg_role role;
	enum fg_attach attach;
	uint16_t ports[FG_CONF_MAX_PORTS];
	size_t n_ports;
	struct fg_prefix prefixes[FG_MAX_PREFIXES];
	size_t n_prefixes;
	enum fg_mode mode; /* observe: automatic verdicts never leave the host's memory */
	uint32_t ttl_s; /* of automatic verdicts, default 1 h, at most 24 h */
	bool export_nft; /* exports: [nft] */
	bool export_xdp; /* exports: [xdp] */
	bool reset; /* drop: reset; a blocked SYN or hello gets a RST, else silence */
	char *allow[256]; /* allowlist prefixes of the file */
	size_t n_allow;
	uint32_t memory_mb; /* kernel tables; 0 = 1/32 of RAM, at most 256 */
	struct fg_model_limits limits;
	struct fg_detect_conf detect;
	bool log_json;
	int log_level; /* enum fg_log_level */
	char *socket_path;
	char *state_dir;
	char *asn_file; /* NULL = none */
	char *feed_socket; /* NULL = no application feed */
	char *feed_group; /* that may use it; NULL = the agent's own */
};

/** Defaults of the contract. */
void fg_conf_init(struct fg_conf *conf);
void fg_conf_done(struct fg_conf *conf);
/** Reads a YAML file over what is there; nothing is changed unless the whole file is right. why
 * gets "FILE:LINE: unknown key 'x' (did you mean 'y'?)" and the like.
 * @return 0, -ENOENT, -EINVAL, -errno. */
int fg_conf_load(struct fg_conf *conf, const char *path, char *why, size_t n_why);
/** The same from memory; file is its name in messages. @return 0, -EINVAL, -ENOMEM. */
int fg_conf_parse(struct fg_conf *conf, const char *text, size_t n, const char *file, char *why,
		  size_t n_why);
