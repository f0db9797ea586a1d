/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration: defaults, then the YAML file, then the command line. No side effects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detect.h"
#include "model/model.h"
#include "verdict/guard.h"

#define FG_CONF_PATH	  "/etc/farmgate/farmgate.yaml"
#define FG_SOCKET_PATH	  "/run/farmgate/farmgate.sock"
#define FG_STATE_DIR	  "/var/lib/farmgate"
#define FG_PINS_DIR	  "/sys/fs/bpf/farmgate"
#define FG_CONF_MAX_PORTS 64
/* Each is looked at in every epoch, and asked for every verdict. */
#define FG_CONF_MAX_ALLOW_FILES 16
#define FG_CONF_MAX_ARGS	16

enum fg_attach {
	FG_ATTACH_AUTO,
	FG_ATTACH_NATIVE,
	FG_ATTACH_GENERIC,
	FG_ATTACH_TC
};
enum fg_on_stop {
	FG_STOP_DETACH,
	FG_STOP_KEEP
};
enum fg_mode {
	FG_MODE_OBSERVE,
	FG_MODE_ENFORCE
};

/* A program with its arguments. */
struct fg_conf_command {
	char *argv[FG_CONF_MAX_ARGS + 1]; /* NULL behind the last */
	size_t n; /* 0 = none */
};

/* What the exports of these names need. */
struct fg_conf_targets {
	bool nft_udp; /* the nft rules match UDP, too */
	char *haproxy_socket, *haproxy_map;
	char *nginx_file;
	struct fg_conf_command nginx_test, nginx_reload;
	uint32_t nginx_interval_s;
	struct fg_conf_command hook_command;
	char *hook_url, *hook_key_file; /* NULL = none */
	uint32_t hook_timeout_s, hook_batch;
};

struct fg_conf {
	char *interfaces[FG_MAX_IFACES];
	size_t n_interfaces;
	enum fg_role role;
	enum fg_attach attach;
	char *pins; /* folder in the bpf file system; NULL = nothing is pinned */
	enum fg_on_stop on_stop; /* of what is pinned, at a clean stop */
	uint16_t ports[FG_CONF_MAX_PORTS];
	size_t n_ports;
	struct fg_prefix prefixes[FG_MAX_PREFIXES];
	size_t n_prefixes;
	struct fg_prefix peers[FG_MAX_PEERS]; /* tunnels: whose are opened */
	size_t n_peers;
	struct fg_prefix balancers[FG_MAX_PEERS]; /* whose connections begin with a PROXY header */
	size_t n_balancers;
	enum fg_mode mode; /* observe: automatic verdicts never leave the host's memory */
	uint32_t ttl_s; /* of automatic verdicts, default 1 h, at most 24 h */
	uint64_t history_s; /* how long history is kept, default 90 d */
	bool export_nft; /* exports: [nft] */
	bool export_xdp; /* exports: [xdp] */
	bool export_ipset, export_haproxy, export_nginx, export_hook;
	struct fg_conf_targets targets;
	bool export_crowdsec; /* exports: [crowdsec]; then these are given but for the last */
	char *crowdsec_url, *crowdsec_machine, *crowdsec_password_file;
	bool crowdsec_push; /* decisions are ours, not the profiles' */
	char *crowdsec_ca_file; /* NULL = the system's certificates */
	bool end_established; /* established: end; a new block ends what was open before it */
	bool reset; /* drop: reset; a blocked SYN or hello gets a RST, else silence */
	char *allow[256]; /* allowlist prefixes of the file */
	size_t n_allow;
	char *allow_files[FG_CONF_MAX_ALLOW_FILES]; /* agent/allowfiles.h */
	size_t n_allow_files;
	struct fg_guard_conf guards;
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
	char *listen_address; /* ADDRESS:PORT of the API over TCP; NULL = none */
	char *listen_keys; /* file of its keys; NULL with it */
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
