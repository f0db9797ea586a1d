/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The configuration file. One schema table says which keys there are: lib/yaml checks the text
 * against it and knows the lines, libcyaml loads it into struct raw, and the apply functions below
 * bring each value into a copy of the configuration, which replaces the old one only when all of
 * it was right. farmgate.yaml(5) describes the keys; the ranges are here.
 */
#define _GNU_SOURCE
#include "agent/conf.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/ip.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/yaml.h"
#include "serve/listen.h"
#include "verdict/store.h"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define MAX_ALLOW COUNT(((struct fg_conf *)0)->allow)
/* 256 prefixes and a comment for each stay below 64 kB; more is not a configuration. */
#define MAX_FILE_BYTES (256U << 10)
#define MAX_TTL_S      86400
/* Longer than what is learned is remembered, nobody would ever block. */
#define MAX_WARMUP_S (90 * 86400)
/* Somebody's retention rules end before this. */
#define MAX_HISTORY_S (10ULL * 365 * 86400)
#define S_TO_NS	      1000000000ULL

enum format {
	FORMAT_TEXT,
	FORMAT_JSON
};
enum drop {
	DROP_SILENCE,
	DROP_RESET
};
enum export {
	EXPORT_NFT,
	EXPORT_XDP,
	EXPORT_IPSET,
	EXPORT_HAPROXY,
	EXPORT_NGINX,
	EXPORT_HOOK,
	EXPORT_CROWDSEC
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
	enum fg_mode mode;
	char *ttl, *warmup, *history;
	enum drop drop;
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

/* --- Schema ---------------------------------------------------------------------------------- */

static const cyaml_strval_t roles[] = { { "terminate", FG_ROLE_TERMINATE },
					{ "transit", FG_ROLE_TRANSIT },
					{ "mirror", FG_ROLE_MIRROR } };
static const cyaml_strval_t attaches[] = { { "auto", FG_ATTACH_AUTO },
					   { "native", FG_ATTACH_NATIVE },
					   { "generic", FG_ATTACH_GENERIC },
					   { "tc", FG_ATTACH_TC } };
static const cyaml_strval_t on_stops[] = { { "detach", FG_STOP_DETACH }, { "keep", FG_STOP_KEEP } };
static const cyaml_strval_t modes[] = { { "observe", FG_MODE_OBSERVE },
					{ "enforce", FG_MODE_ENFORCE } };
static const cyaml_strval_t exports[] = {
	{ "nft", EXPORT_NFT },		 { "xdp", EXPORT_XDP },	    { "ipset", EXPORT_IPSET },
	{ "haproxy", EXPORT_HAPROXY },	 { "nginx", EXPORT_NGINX }, { "hook", EXPORT_HOOK },
	{ "crowdsec", EXPORT_CROWDSEC },
};
static const cyaml_strval_t flags[] = { { "false", FLAG_FALSE }, { "true", FLAG_TRUE } };
static const cyaml_strval_t decisions[] = { { "profile", DECISIONS_PROFILE },
					    { "push", DECISIONS_PUSH } };
static const cyaml_strval_t drops[] = { { "silence", DROP_SILENCE }, { "reset", DROP_RESET } };
static const cyaml_strval_t formats[] = { { "text", FORMAT_TEXT }, { "json", FORMAT_JSON } };
static const cyaml_strval_t levels[] = { { "error", FG_LOG_ERROR },
					 { "warning", FG_LOG_WARNING },
					 { "info", FG_LOG_INFO },
					 { "debug", FG_LOG_DEBUG } };

static const cyaml_schema_value_t text_entry = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0,
								    CYAML_UNLIMITED) };
static const cyaml_schema_value_t export_entry = { CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, enum export,
								    exports, COUNT(exports)) };

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, type, member) \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPTIONAL, type, member, 0, CYAML_UNLIMITED)
#define TEXTS(key, type, member, min, max)                                                       \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | OPTIONAL, type, member, &text_entry, min, \
			     max)
#define ENUM(key, type, member, names) \
	CYAML_FIELD_ENUM(key, OPTIONAL | CYAML_FLAG_STRICT, type, member, names, COUNT(names))
#define UINT(key, type, member) CYAML_FIELD_UINT(key, OPTIONAL, type, member)

/* The type of a nested struct, which has no name of its own. */
#define NESTED(member) __typeof__(((struct raw *)0)->member)

static const cyaml_schema_field_t protect_fields[] = {
	TEXTS("ports", NESTED(protect), ports, 1, FG_CONF_MAX_PORTS),
	TEXTS("prefixes", NESTED(protect), prefixes, 0, FG_MAX_PREFIXES),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
	UINT("sources", NESTED(limits), sources),
	UINT("clients", NESTED(limits), clients),
	UINT("fingerprints", NESTED(limits), fingerprints),
	UINT("stems", NESTED(limits), stems),
	UINT("hosts", NESTED(limits), hosts),
	UINT("pairs", NESTED(limits), pairs),
	TEXT("window", NESTED(limits), window),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t detect_fields[] = {
	CYAML_FIELD_FLOAT("flag_nats", OPTIONAL, NESTED(detect), flag_nats),
	CYAML_FIELD_FLOAT("alert_per_million", OPTIONAL, NESTED(detect), alert_per_million),
	CYAML_FIELD_FLOAT("enforce_per_million", OPTIONAL, NESTED(detect), enforce_per_million),
	UINT("min_connections", NESTED(detect), min_connections),
	UINT("min_population", NESTED(detect), min_population),
	UINT("shared_stems", NESTED(detect), shared_stems),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t guard_fields[] = {
	CYAML_FIELD_FLOAT("collateral", OPTIONAL, NESTED(guards), collateral),
	UINT("max_blocks", NESTED(guards), max_blocks),
	UINT("max_blocks_network", NESTED(guards), max_blocks_network),
	CYAML_FIELD_FLOAT("max_harm", OPTIONAL, NESTED(guards), max_harm),
	CYAML_FIELD_FLOAT("holdback", OPTIONAL, NESTED(guards), holdback),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t log_fields[] = {
	ENUM("format", NESTED(log), format, formats),
	ENUM("level", NESTED(log), level, levels),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t asn_fields[] = {
	TEXT("file", NESTED(asn), file),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t feed_fields[] = {
	TEXT("socket", NESTED(feed), socket),
	TEXT("group", NESTED(feed), group),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t listen_fields[] = {
	TEXT("address", NESTED(listen), address),
	TEXT("keys", NESTED(listen), keys),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t nft_fields[] = {
	ENUM("udp", NESTED(nft), udp, flags),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t haproxy_fields[] = {
	TEXT("socket", NESTED(haproxy), socket),
	TEXT("map", NESTED(haproxy), map),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t nginx_fields[] = {
	TEXT("file", NESTED(nginx), file),
	TEXTS("test", NESTED(nginx), test, 0, FG_CONF_MAX_ARGS),
	TEXTS("reload", NESTED(nginx), reload, 1, FG_CONF_MAX_ARGS),
	TEXT("interval", NESTED(nginx), interval),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t hook_fields[] = {
	TEXTS("command", NESTED(hook), command, 1, FG_CONF_MAX_ARGS),
	TEXT("url", NESTED(hook), url),
	TEXT("key_file", NESTED(hook), key_file),
	TEXT("timeout", NESTED(hook), timeout),
	UINT("batch", NESTED(hook), batch),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t crowdsec_fields[] = {
	TEXT("url", NESTED(crowdsec), url),
	TEXT("machine", NESTED(crowdsec), machine),
	TEXT("password_file", NESTED(crowdsec), password_file),
	ENUM("decisions", NESTED(crowdsec), decisions, decisions),
	TEXT("ca_file", NESTED(crowdsec), ca_file),
	CYAML_FIELD_END,
};
static const cyaml_schema_field_t root_fields[] = {
	TEXTS("interfaces", struct raw, interfaces, 1, FG_MAX_IFACES),
	ENUM("role", struct raw, role, roles),
	ENUM("attach", struct raw, attach, attaches),
	TEXT("pins", struct raw, pins),
	ENUM("on_stop", struct raw, on_stop, on_stops),
	CYAML_FIELD_MAPPING("protect", OPTIONAL, struct raw, protect, protect_fields),
	TEXTS("tunnels", struct raw, tunnels, 0, FG_MAX_PEERS),
	ENUM("mode", struct raw, mode, modes),
	TEXT("ttl", struct raw, ttl),
	TEXT("warmup", struct raw, warmup),
	TEXT("history", struct raw, history),
	ENUM("drop", struct raw, drop, drops),
	CYAML_FIELD_SEQUENCE("exports", CYAML_FLAG_POINTER | OPTIONAL, struct raw, exports,
			     &export_entry, 0, COUNT(exports)),
	TEXTS("allow", struct raw, allow, 0, MAX_ALLOW),
	TEXTS("allow_files", struct raw, allow_files, 0, FG_CONF_MAX_ALLOW_FILES),
	CYAML_FIELD_MAPPING("guards", OPTIONAL, struct raw, guards, guard_fields),
	UINT("memory_mb", struct raw, memory_mb),
	CYAML_FIELD_MAPPING("limits", OPTIONAL, struct raw, limits, limits_fields),
	CYAML_FIELD_MAPPING("detect", OPTIONAL, struct raw, detect, detect_fields),
	CYAML_FIELD_MAPPING("log", OPTIONAL, struct raw, log, log_fields),
	TEXT("socket", struct raw, socket),
	TEXT("state", struct raw, state),
	CYAML_FIELD_MAPPING("asn", OPTIONAL, struct raw, asn, asn_fields),
	CYAML_FIELD_MAPPING("feed", OPTIONAL, struct raw, feed, feed_fields),
	CYAML_FIELD_MAPPING("listen", OPTIONAL, struct raw, listen, listen_fields),
	CYAML_FIELD_MAPPING("nft", OPTIONAL, struct raw, nft, nft_fields),
	CYAML_FIELD_MAPPING("haproxy", OPTIONAL, struct raw, haproxy, haproxy_fields),
	CYAML_FIELD_MAPPING("nginx", OPTIONAL, struct raw, nginx, nginx_fields),
	CYAML_FIELD_MAPPING("hook", OPTIONAL, struct raw, hook, hook_fields),
	CYAML_FIELD_MAPPING("crowdsec", OPTIONAL, struct raw, crowdsec, crowdsec_fields),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t root_schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER,
								      struct raw, root_fields) };

/* --- Life ------------------------------------------------------------------------------------ */

void fg_conf_init(struct fg_conf *conf)
{
	*conf = (struct fg_conf){
		.role = FG_ROLE_TERMINATE,
		.attach = FG_ATTACH_AUTO,
		.ports = { 443 },
		.n_ports = 1,
		.mode = FG_MODE_OBSERVE,
		.ttl_s = 3600,
		.history_s = FG_DEFAULT_HISTORY_S,
		.export_xdp = true,
		.limits = { .sources = 1000000,
			    .clients = 2000000,
			    .fingerprints = 65536,
			    .stems = FG_DEFAULT_STEMS,
			    .hosts = FG_DEFAULT_HOSTS,
			    .pairs = FG_DEFAULT_PAIRS,
			    .window_ns = 60 * S_TO_NS },
		.detect = fg_detect_defaults,
		.guards = fg_guard_defaults,
		.log_level = FG_LOG_INFO,
		.socket_path = strdup(FG_SOCKET_PATH),
		.state_dir = strdup(FG_STATE_DIR),
		.targets = { .nginx_test = { { strdup("nginx"), strdup("-t") }, 2 },
			     .nginx_reload = { { strdup("nginx"), strdup("-s"), strdup("reload") },
					       3 },
			     .nginx_interval_s = 30,
			     .hook_timeout_s = 10,
			     .hook_batch = 500 },
		.pins = strdup(FG_PINS_DIR),
	};
}

static void free_texts(char **texts, size_t *n)
{
	while (*n)
		free(texts[--*n]);
}

static void free_targets(struct fg_conf_targets *t)
{
	free(t->haproxy_socket);
	free(t->haproxy_map);
	free(t->nginx_file);
	free(t->hook_url);
	free(t->hook_key_file);
	free_texts(t->nginx_test.argv, &t->nginx_test.n);
	free_texts(t->nginx_reload.argv, &t->nginx_reload.n);
	free_texts(t->hook_command.argv, &t->hook_command.n);
}

void fg_conf_done(struct fg_conf *conf)
{
	free_texts(conf->interfaces, &conf->n_interfaces);
	free_texts(conf->allow, &conf->n_allow);
	free_texts(conf->allow_files, &conf->n_allow_files);
	free(conf->socket_path);
	free(conf->state_dir);
	free(conf->pins);
	free(conf->asn_file);
	free(conf->feed_socket);
	free(conf->feed_group);
	free(conf->listen_address);
	free(conf->listen_keys);
	free_targets(&conf->targets);
	free(conf->crowdsec_url);
	free(conf->crowdsec_machine);
	free(conf->crowdsec_password_file);
	free(conf->crowdsec_ca_file);
	*conf = (struct fg_conf){ 0 };
}

static int copy_text(char **to, const char *from)
{
	char *copy = from ? strdup(from) : NULL;

	if (from && !copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int copy_texts(char **to, size_t *n_to, char *const *from, size_t n)
{
	size_t i;

	free_texts(to, n_to);
	for (i = 0; i < n; i++) {
		to[i] = NULL;
		if (copy_text(&to[i], from[i]) < 0)
			return -ENOMEM;
		*n_to = i + 1;
	}
	return 0;
}

static int copy_command(struct fg_conf_command *to, char *const *from, size_t n)
{
	int r = copy_texts(to->argv, &to->n, from, n);

	to->argv[to->n] = NULL;
	return r;
}

/* Like copy_conf(). */
static int copy_targets(struct fg_conf_targets *next, const struct fg_conf_targets *t)
{
	*next = *t;
	next->haproxy_socket = next->haproxy_map = next->nginx_file = NULL;
	next->hook_url = next->hook_key_file = NULL;
	next->nginx_test.n = next->nginx_reload.n = next->hook_command.n = 0;
	if (copy_text(&next->haproxy_socket, t->haproxy_socket) < 0 ||
	    copy_text(&next->haproxy_map, t->haproxy_map) < 0 ||
	    copy_text(&next->nginx_file, t->nginx_file) < 0 ||
	    copy_text(&next->hook_url, t->hook_url) < 0 ||
	    copy_text(&next->hook_key_file, t->hook_key_file) < 0 ||
	    copy_command(&next->nginx_test, t->nginx_test.argv, t->nginx_test.n) < 0 ||
	    copy_command(&next->nginx_reload, t->nginx_reload.argv, t->nginx_reload.n) < 0 ||
	    copy_command(&next->hook_command, t->hook_command.argv, t->hook_command.n) < 0)
		return -ENOMEM;
	return 0;
}

/* next becomes a copy that shares nothing; it must be cleaned up also after a failure. */
static int copy_conf(struct fg_conf *next, const struct fg_conf *conf)
{
	*next = *conf;
	next->n_interfaces = next->n_allow = next->n_allow_files = 0;
	next->socket_path = next->state_dir = next->asn_file = NULL;
	next->feed_socket = next->feed_group = next->pins = NULL;
	next->listen_address = next->listen_keys = NULL;
	next->crowdsec_url = next->crowdsec_machine = NULL;
	next->crowdsec_password_file = next->crowdsec_ca_file = NULL;
	if (copy_targets(&next->targets, &conf->targets) < 0 ||
	    copy_texts(next->interfaces, &next->n_interfaces, conf->interfaces,
		       conf->n_interfaces) < 0 ||
	    copy_texts(next->allow, &next->n_allow, conf->allow, conf->n_allow) < 0 ||
	    copy_texts(next->allow_files, &next->n_allow_files, conf->allow_files,
		       conf->n_allow_files) < 0 ||
	    copy_text(&next->socket_path, conf->socket_path) < 0 ||
	    copy_text(&next->state_dir, conf->state_dir) < 0 ||
	    copy_text(&next->pins, conf->pins) < 0 ||
	    copy_text(&next->asn_file, conf->asn_file) < 0 ||
	    copy_text(&next->feed_socket, conf->feed_socket) < 0 ||
	    copy_text(&next->feed_group, conf->feed_group) < 0 ||
	    copy_text(&next->listen_address, conf->listen_address) < 0 ||
	    copy_text(&next->listen_keys, conf->listen_keys) < 0 ||
	    copy_text(&next->crowdsec_url, conf->crowdsec_url) < 0 ||
	    copy_text(&next->crowdsec_machine, conf->crowdsec_machine) < 0 ||
	    copy_text(&next->crowdsec_password_file, conf->crowdsec_password_file) < 0 ||
	    copy_text(&next->crowdsec_ca_file, conf->crowdsec_ca_file) < 0)
		return -ENOMEM;
	return 0;
}

/* --- Values: each of these refuses with file, line and key ------------------------------------ */

static int apply_interfaces(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];
	unsigned int i, j;

	if (!fg_yaml_line(y, "interfaces"))
		return 0;
	for (i = 0; i < raw->interfaces_count; i++) {
		const char *name = raw->interfaces[i];

		snprintf(path, sizeof(path), "interfaces[%u]", i);
		if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/ \t\n,"))
			return fg_yaml_refuse(y, path, "'%.40s' is no interface name", name);
		for (j = 0; j < i; j++) {
			if (strcmp(raw->interfaces[j], name) == 0)
				return fg_yaml_refuse(y, path, "'%s' is listed twice", name);
		}
	}
	return copy_texts(conf->interfaces, &conf->n_interfaces, raw->interfaces,
			  raw->interfaces_count);
}

static int apply_ports(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];
	unsigned int i, j;
	uint64_t port;

	if (!fg_yaml_line(y, "protect.ports"))
		return 0;
	for (i = 0; i < raw->protect.ports_count; i++) {
		snprintf(path, sizeof(path), "protect.ports[%u]", i);
		if (fg_num_u64(raw->protect.ports[i], 1, UINT16_MAX, &port) < 0)
			return fg_yaml_refuse(y, path, "'%.40s' is no port of 1 to 65535",
					      raw->protect.ports[i]);
		for (j = 0; j < i; j++) {
			if (conf->ports[j] == port)
				return fg_yaml_refuse(y, path, "%u is listed twice",
						      conf->ports[j]);
		}
		conf->ports[i] = (uint16_t)port;
	}
	conf->n_ports = raw->protect.ports_count;
	return 0;
}

static int check_prefix(const struct fg_yaml *y, const char *path, const char *text,
			struct fg_prefix *ret_prefix)
{
	struct fg_prefix prefix = { 0 };

	if (fg_ip_parse(text, prefix.addr, &prefix.bits) < 0)
		return fg_yaml_refuse(y, path,
				      "'%.60s' is no address or prefix with zero host bits, like "
				      "192.0.2.0/24 or 2001:db8::/64",
				      text);
	*ret_prefix = prefix;
	return 0;
}

static int apply_prefixes(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];
	unsigned int i;
	int r;

	if (!fg_yaml_line(y, "protect.prefixes"))
		return 0;
	for (i = 0; i < raw->protect.prefixes_count; i++) {
		snprintf(path, sizeof(path), "protect.prefixes[%u]", i);
		r = check_prefix(y, path, raw->protect.prefixes[i], &conf->prefixes[i]);
		if (r < 0)
			return r;
	}
	conf->n_prefixes = raw->protect.prefixes_count;
	return 0;
}

static int apply_tunnels(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];

	if (!fg_yaml_line(y, "tunnels"))
		return 0;
	for (unsigned int i = 0; i < raw->tunnels_count; i++) {
		int r;

		snprintf(path, sizeof(path), "tunnels[%u]", i);
		r = check_prefix(y, path, raw->tunnels[i], &conf->peers[i]);
		if (r < 0)
			return r;
		/* who may tunnel may choose every address that counts here */
		if (conf->peers[i].bits < (fg_ip_is4(conf->peers[i].addr) ? 96 + 8 : 16))
			return fg_yaml_refuse(y, path, "'%.60s' is wider than any network of peers",
					      raw->tunnels[i]);
	}
	conf->n_peers = raw->tunnels_count;
	return 0;
}

static int apply_allow(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];
	struct fg_prefix prefix;
	unsigned int i;
	int r;

	if (!fg_yaml_line(y, "allow"))
		return 0;
	for (i = 0; i < raw->allow_count; i++) {
		snprintf(path, sizeof(path), "allow[%u]", i);
		r = check_prefix(y, path, raw->allow[i], &prefix);
		if (r < 0)
			return r;
	}
	return copy_texts(conf->allow, &conf->n_allow, raw->allow, raw->allow_count);
}

static int apply_allow_files(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	char path[FG_YAML_MAX_PATH];

	if (!fg_yaml_line(y, "allow_files"))
		return 0;
	for (unsigned int i = 0; i < raw->allow_files_count; i++) {
		const char *file = raw->allow_files[i];

		snprintf(path, sizeof(path), "allow_files[%u]", i);
		if (file[0] != '/')
			return fg_yaml_refuse(y, path, "'%.80s' is no absolute path", file);
		if (strlen(file) >= 1024)
			return fg_yaml_refuse(y, path, "longer than 1023 characters");
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(raw->allow_files[j], file))
				return fg_yaml_refuse(y, path, "'%.80s' is listed twice", file);
	}
	return copy_texts(conf->allow_files, &conf->n_allow_files, raw->allow_files,
			  raw->allow_files_count);
}

static void apply_choices(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	if (fg_yaml_line(y, "role"))
		conf->role = raw->role;
	if (fg_yaml_line(y, "attach"))
		conf->attach = raw->attach;
	if (fg_yaml_line(y, "on_stop"))
		conf->on_stop = raw->on_stop;
	if (fg_yaml_line(y, "mode"))
		conf->mode = raw->mode;
	if (fg_yaml_line(y, "drop"))
		conf->reset = raw->drop == DROP_RESET;
	if (fg_yaml_line(y, "log.format"))
		conf->log_json = raw->log.format == FORMAT_JSON;
	if (fg_yaml_line(y, "log.level"))
		conf->log_level = raw->log.level;
}

static int apply_numbers(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	/* Upper ends: what the tables can index in the memory of a large server. */
	const struct {
		const char *path;
		uint32_t value, min, max;
		uint32_t *to;
	} rows[] = {
		{ "memory_mb", raw->memory_mb, 0, 65536, &conf->memory_mb },
		{ "limits.sources", raw->limits.sources, 1, 1U << 24, &conf->limits.sources },
		{ "limits.clients", raw->limits.clients, 1, 1U << 25, &conf->limits.clients },
		{ "limits.fingerprints", raw->limits.fingerprints, 1, 1U << 20,
		  &conf->limits.fingerprints },
		{ "limits.stems", raw->limits.stems, 1, 1U << 20, &conf->limits.stems },
		{ "limits.hosts", raw->limits.hosts, 1, 1U << 24, &conf->limits.hosts },
		{ "limits.pairs", raw->limits.pairs, 2, 1U << 28, &conf->limits.pairs },
		{ "detect.min_connections", raw->detect.min_connections, 1, 1U << 24,
		  &conf->detect.min_connections },
		{ "detect.min_population", raw->detect.min_population, 2, 1U << 24,
		  &conf->detect.min_population },
		{ "detect.shared_stems", raw->detect.shared_stems, 2, 1U << 16,
		  &conf->detect.shared_stems },
		/* as many verdicts as there may be */
		{ "guards.max_blocks", raw->guards.max_blocks, 0, FG_MAX_VERDICTS,
		  &conf->guards.max_blocks },
		{ "guards.max_blocks_network", raw->guards.max_blocks_network, 0, FG_MAX_VERDICTS,
		  &conf->guards.max_blocks_network },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		if (!fg_yaml_line(y, rows[i].path))
			continue;
		if (rows[i].value < rows[i].min || rows[i].value > rows[i].max)
			return fg_yaml_refuse(y, rows[i].path, "%u is not within %u to %u",
					      rows[i].value, rows[i].min, rows[i].max);
		*rows[i].to = rows[i].value;
	}
	return 0;
}

static int apply_reals(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const struct {
		const char *path;
		double value, min, max;
		double *to;
		double unit; /* of the value, in that of `to` */
	} rows[] = {
		/* below 1 every busy source is flagged; above 1000 none ever is */
		{ "detect.flag_nats", raw->detect.flag_nats, 1, 1000, &conf->detect.flag_nats, 1 },
		/* 0 is never; above 10000 one source in a hundred may be hurt */
		{ "detect.alert_per_million", raw->detect.alert_per_million, 0, 10000,
		  &conf->detect.alert_per_million, 1 },
		{ "detect.enforce_per_million", raw->detect.enforce_per_million, 0, 10000,
		  &conf->detect.enforce_per_million, 1 },
		/* in percent; above a half the others are the rule */
		{ "guards.collateral", raw->guards.collateral, 0, 50, &conf->guards.collateral,
		  0.01 },
		{ "guards.max_harm", raw->guards.max_harm, 0, 100, &conf->guards.max_harm, 0.01 },
		/* 100: nothing automatic is ever acted on */
		{ "guards.holdback", raw->guards.holdback, 0, 100, &conf->guards.holdback, 0.01 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!fg_yaml_line(y, rows[i].path))
			continue;
		if (!(rows[i].value >= rows[i].min && rows[i].value <= rows[i].max))
			return fg_yaml_refuse(y, rows[i].path, "%g is not within %g to %g",
					      rows[i].value, rows[i].min, rows[i].max);
		*rows[i].to = rows[i].value * rows[i].unit;
	}
	return 0;
}

static int apply_durations(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	uint64_t s;

	if (fg_yaml_line(y, "ttl")) {
		if (fg_num_duration(raw->ttl, MAX_TTL_S, &s) < 0 || !s)
			return fg_yaml_refuse(y, "ttl",
					      "'%.40s' is no time of 1s to 24h, like 90s, 15m, 1h",
					      raw->ttl);
		conf->ttl_s = (uint32_t)s;
	}
	if (fg_yaml_line(y, "warmup")) {
		if (fg_num_duration(raw->warmup, MAX_WARMUP_S, &s) < 0)
			return fg_yaml_refuse(y, "warmup",
					      "'%.40s' is no time of 0 to 90d, like 14d, 0",
					      raw->warmup);
		conf->detect.enforce_days = (double)s / 86400;
	}
	if (fg_yaml_line(y, "history")) {
		if (fg_num_duration(raw->history, MAX_HISTORY_S, &s) < 0 || s < 86400)
			return fg_yaml_refuse(y, "history",
					      "'%.40s' is no time of 1d to 3650d, like 90d",
					      raw->history);
		conf->history_s = s;
	}
	if (fg_yaml_line(y, "limits.window")) {
		/* A slot of the window is at least the epoch of one second. */
		if (fg_num_duration(raw->limits.window, 3600, &s) < 0 || s < FG_WINDOW_SLOTS)
			return fg_yaml_refuse(y, "limits.window",
					      "'%.40s' is no time of %ds to 1h, like 60s, 5m",
					      raw->limits.window, FG_WINDOW_SLOTS);
		conf->limits.window_ns = s * S_TO_NS;
	}
	return 0;
}

static int apply_path(char **to, const char *path, const char *value, size_t max,
		      const struct fg_yaml *y)
{
	if (!fg_yaml_line(y, path))
		return 0;
	if (value[0] != '/')
		return fg_yaml_refuse(y, path, "'%.80s' is no absolute path", value);
	if (strlen(value) >= max)
		return fg_yaml_refuse(y, path, "longer than %zu characters", max - 1);
	return copy_text(to, value);
}

static int apply_pins(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	if (fg_yaml_line(y, "pins") && !strcmp(raw->pins, "none"))
		return copy_text(&conf->pins, NULL);
	return apply_path(&conf->pins, "pins", raw->pins, 1024, y);
}

static int apply_paths(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const size_t max_socket = sizeof(((struct sockaddr_un *)0)->sun_path);
	int r = apply_path(&conf->socket_path, "socket", raw->socket, max_socket, y);

	if (r == 0)
		r = apply_path(&conf->state_dir, "state", raw->state, 1024, y);
	if (r == 0)
		r = apply_path(&conf->asn_file, "asn.file", raw->asn.file, 4096, y);
	if (!r)
		r = apply_pins(conf, raw, y);
	return r;
}

static int apply_feed(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const size_t max_socket = sizeof(((struct sockaddr_un *)0)->sun_path);
	int r = apply_path(&conf->feed_socket, "feed.socket", raw->feed.socket, max_socket, y);

	if (r)
		return r;
	if (fg_yaml_line(y, "feed.socket") && !strcmp(conf->feed_socket, conf->socket_path))
		return fg_yaml_refuse(y, "feed.socket", "'%.80s' is the commands' own socket",
				      conf->feed_socket);
	if (!fg_yaml_line(y, "feed.group"))
		return 0;
	if (!conf->feed_socket)
		return fg_yaml_refuse(y, "feed.group", "without feed.socket there is no feed");
	if (!raw->feed.group[0])
		return fg_yaml_refuse(y, "feed.group", "empty: name a group of this host");
	return copy_text(&conf->feed_group, raw->feed.group);
}

static int apply_listen(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	struct sockaddr_storage at;
	char why[160];
	socklen_t n;
	int r = apply_path(&conf->listen_keys, "listen.keys", raw->listen.keys, 4096, y);

	if (r)
		return r;
	if (!fg_yaml_line(y, "listen.address")) {
		if (conf->listen_keys && !conf->listen_address)
			return fg_yaml_refuse(y, "listen.keys",
					      "without listen.address nobody is asked for a key");
		return 0;
	}
	if (fg_listen_parse(raw->listen.address, &at, &n, why, sizeof(why)))
		return fg_yaml_refuse(y, "listen.address", "%s", why);
	if (!conf->listen_keys)
		return fg_yaml_refuse(y, "listen.address",
				      "listen.keys is missing: over TCP each request needs a key");
	return copy_text(&conf->listen_address, raw->listen.address);
}

static int apply_haproxy(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	const size_t max_socket = sizeof(((struct sockaddr_un *)0)->sun_path);
	int r = apply_path(&t->haproxy_socket, "haproxy.socket", raw->haproxy.socket, max_socket,
			   y);

	if (r)
		return r;
	/* it is a word of commands on that socket */
	if (fg_yaml_line(y, "haproxy.map") && strpbrk(raw->haproxy.map, " \t\n;\\#<"))
		return fg_yaml_refuse(y, "haproxy.map", "blanks and ; \\ # < cannot be in it");
	return apply_path(&t->haproxy_map, "haproxy.map", raw->haproxy.map, 256, y);
}

static int apply_command(struct fg_conf_command *to, const char *path, char *const *argv, size_t n,
			 const struct fg_yaml *y)
{
	if (!fg_yaml_line(y, path))
		return 0;
	if (n && !argv[0][0])
		return fg_yaml_refuse(y, path, "the program has no name");
	return copy_command(to, argv, n);
}

static int apply_seconds(uint32_t *to, const char *path, const char *value, uint64_t min,
			 uint64_t max, const struct fg_yaml *y)
{
	uint64_t s;

	if (!fg_yaml_line(y, path))
		return 0;
	if (fg_num_duration(value, max, &s) < 0 || s < min)
		return fg_yaml_refuse(y, path, "'%.40s' is no time of %llus to %llus", value,
				      (unsigned long long)min, (unsigned long long)max);
	*to = (uint32_t)s;
	return 0;
}

static int apply_nginx(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_path(&t->nginx_file, "nginx.file", raw->nginx.file, 4000, y);

	if (!r)
		r = apply_command(&t->nginx_test, "nginx.test", raw->nginx.test,
				  raw->nginx.test_count, y);
	if (!r)
		r = apply_command(&t->nginx_reload, "nginx.reload", raw->nginx.reload,
				  raw->nginx.reload_count, y);
	/* more often, and old workers that still serve their connections pile up */
	if (!r)
		r = apply_seconds(&t->nginx_interval_s, "nginx.interval", raw->nginx.interval, 10,
				  3600, y);
	return r;
}

static int apply_url(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	if (!fg_yaml_line(y, "hook.url"))
		return 0;
	if (strncmp(raw->hook.url, "https://", 8) && strncmp(raw->hook.url, "http://", 7))
		return fg_yaml_refuse(y, "hook.url", "'%.80s' does not begin with https://",
				      raw->hook.url);
	return copy_text(&t->hook_url, raw->hook.url);
}

static int apply_hook(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_command(&t->hook_command, "hook.command", raw->hook.command,
			      raw->hook.command_count, y);

	if (!r && t->hook_command.n && t->hook_command.argv[0][0] != '/')
		return fg_yaml_refuse(y, "hook.command[0]", "'%.80s' is no absolute path",
				      t->hook_command.argv[0]);
	if (!r)
		r = apply_url(t, raw, y);
	if (!r)
		r = apply_path(&t->hook_key_file, "hook.key_file", raw->hook.key_file, 4000, y);
	if (!r && t->hook_key_file && !t->hook_url)
		return fg_yaml_refuse(y, "hook.key_file", "it signs what goes to hook.url");
	if (!r)
		r = apply_seconds(&t->hook_timeout_s, "hook.timeout", raw->hook.timeout, 1, 10, y);
	if (!r && fg_yaml_line(y, "hook.batch")) {
		if (!raw->hook.batch || raw->hook.batch > 10000)
			return fg_yaml_refuse(y, "hook.batch", "%u is not within 1 to 10000",
					      raw->hook.batch);
		t->hook_batch = raw->hook.batch;
	}
	return r;
}

/* What a named target cannot do without. */
static const char *missing(const struct fg_conf_targets *t, enum export which)
{
	if (which == EXPORT_HAPROXY && (!t->haproxy_socket || !t->haproxy_map))
		return "haproxy needs haproxy.socket and haproxy.map";
	if (which == EXPORT_NGINX && !t->nginx_file)
		return "nginx needs nginx.file";
	if (which == EXPORT_HOOK && !t->hook_command.n && !t->hook_url)
		return "hook needs hook.command or hook.url";
#ifndef FG_HAVE_LIBCURL
	if (which == EXPORT_HOOK && t->hook_url)
		return "hook.url needs libcurl, which was left out of this build";
#endif
	return NULL;
}

static int apply_exports(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	bool *const chosen[COUNT(exports)] = {
		[EXPORT_NFT] = &conf->export_nft,
		[EXPORT_XDP] = &conf->export_xdp,
		[EXPORT_IPSET] = &conf->export_ipset,
		[EXPORT_HAPROXY] = &conf->export_haproxy,
		[EXPORT_NGINX] = &conf->export_nginx,
		[EXPORT_HOOK] = &conf->export_hook,
		[EXPORT_CROWDSEC] = &conf->export_crowdsec,
	};
	char path[FG_YAML_MAX_PATH];

	if (!fg_yaml_line(y, "exports"))
		return 0;
	for (size_t i = 0; i < COUNT(chosen); i++)
		*chosen[i] = false;
	for (unsigned int i = 0; i < raw->exports_count; i++) {
		const char *what = missing(&conf->targets, raw->exports[i]);

		snprintf(path, sizeof(path), "exports[%u]", i);
		if (what)
			return fg_yaml_refuse(y, path, "%s", what);
		*chosen[raw->exports[i]] = true;
	}
	return 0;
}

static int apply_targets(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_haproxy(&conf->targets, raw, y);

	if (fg_yaml_line(y, "nft.udp"))
		conf->targets.nft_udp = raw->nft.udp == FLAG_TRUE;
	if (!r)
		r = apply_nginx(&conf->targets, raw, y);
	if (!r)
		r = apply_hook(&conf->targets, raw, y);
	return r ? r : apply_exports(conf, raw, y);
}

/* A password is sent there: in clear only where no cable is. */
static int check_lapi_url(const char *url, const struct fg_yaml *y)
{
	static const char loopback[] =
		"'%.80s' would send the password in clear: https://, or http:// "
		"to 127.0.0.1, [::1] or localhost";
	static const char *const hosts[] = { "127.0.0.1", "[::1]", "localhost" };
	const char *host = url + strlen("http://");

	if (strpbrk(url, " \t\r\n@?#") ||
	    (strncmp(url, "http://", 7) && strncmp(url, "https://", 8)))
		return fg_yaml_refuse(y, "crowdsec.url",
				      "'%.80s' is no address like http://127.0.0.1:8080/", url);
	if (!strncmp(url, "https://", 8))
		return url[8] && url[8] != '/' ? 0 :
						 fg_yaml_refuse(y, "crowdsec.url", "no host in it");
	for (size_t i = 0; i < COUNT(hosts); i++) {
		size_t n = strlen(hosts[i]);

		if (!strncmp(host, hosts[i], n) && strchr(":/", host[n]))
			return 0;
	}
	return fg_yaml_refuse(y, "crowdsec.url", loopback, url);
}

/* It is said to operators as part of a command. */
static int check_machine(const char *machine, const struct fg_yaml *y)
{
	size_t n = strspn(machine,
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	if (n && n <= 64 && !machine[n])
		return 0;
	return fg_yaml_refuse(y, "crowdsec.machine",
			      "'%.80s' is no name of 1 to 64 letters, digits, '.', '_' or '-'",
			      machine);
}

/* What an export to CrowdSec cannot be without. */
static int check_crowdsec(const struct fg_conf *conf, const struct fg_yaml *y)
{
	const char *missing = !conf->crowdsec_url	    ? "url" :
			      !conf->crowdsec_machine	    ? "machine" :
			      !conf->crowdsec_password_file ? "password_file" :
							      NULL;

	if (!conf->export_crowdsec)
		return 0;
#ifndef FG_HAVE_LIBCURL
	return fg_yaml_refuse(y, "exports", "crowdsec needs libcurl, which this build left out");
#endif
	if (missing)
		return fg_yaml_refuse(y, "exports", "crowdsec needs crowdsec.%s", missing);
	return 0;
}

static int apply_crowdsec(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = 0;

	if (fg_yaml_line(y, "crowdsec.url")) {
		r = check_lapi_url(raw->crowdsec.url, y);
		if (!r)
			r = copy_text(&conf->crowdsec_url, raw->crowdsec.url);
	}
	if (!r && fg_yaml_line(y, "crowdsec.machine")) {
		r = check_machine(raw->crowdsec.machine, y);
		if (!r)
			r = copy_text(&conf->crowdsec_machine, raw->crowdsec.machine);
	}
	if (!r)
		r = apply_path(&conf->crowdsec_password_file, "crowdsec.password_file",
			       raw->crowdsec.password_file, 4096, y);
	if (!r)
		r = apply_path(&conf->crowdsec_ca_file, "crowdsec.ca_file", raw->crowdsec.ca_file,
			       4096, y);
	if (fg_yaml_line(y, "crowdsec.decisions"))
		conf->crowdsec_push = raw->crowdsec.decisions == DECISIONS_PUSH;
	return r;
}

static int apply_raw(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_interfaces(conf, raw, y);

	if (r == 0)
		r = apply_ports(conf, raw, y);
	if (r == 0)
		r = apply_prefixes(conf, raw, y);
	if (r == 0)
		r = apply_tunnels(conf, raw, y);
	if (r == 0)
		r = apply_allow(conf, raw, y);
	if (r == 0)
		r = apply_allow_files(conf, raw, y);
	if (r == 0)
		r = apply_numbers(conf, raw, y);
	if (!r)
		r = apply_reals(conf, raw, y);
	if (r == 0)
		r = apply_durations(conf, raw, y);
	if (r == 0)
		r = apply_paths(conf, raw, y);
	if (r == 0)
		r = apply_feed(conf, raw, y);
	if (r == 0)
		r = apply_listen(conf, raw, y);
	if (r == 0)
		r = apply_targets(conf, raw, y);
	if (r == 0)
		r = apply_crowdsec(conf, raw, y);
	if (r == 0)
		apply_choices(conf, raw, y);
	if (r == 0)
		r = check_crowdsec(conf, y);
	return r;
}

/* --- Loading --------------------------------------------------------------------------------- */

static const cyaml_config_t cyaml_config = { .mem_fn = cyaml_mem, .flags = CYAML_CFG_DEFAULT };

static void free_raw(struct raw **raw)
{
	cyaml_free(&cyaml_config, &root_schema, *raw, 0);
}

static int load_raw(const struct fg_yaml *y, const char *text, size_t n, struct raw **ret_raw)
{
	cyaml_err_t err = cyaml_load_data((const uint8_t *)text, n, &cyaml_config, &root_schema,
					  (cyaml_data_t **)ret_raw, NULL);

	if (err == CYAML_OK)
		return 0;
	snprintf(y->why, y->n_why, "%s: %s", y->file, cyaml_strerror(err));
	return err == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
}

int fg_conf_parse(struct fg_conf *conf, const char *text, size_t n, const char *file, char *why,
		  size_t n_why)
{
	_cleanup_free_ struct fg_yaml *yaml = malloc(sizeof(*yaml));
	_cleanup_(free_raw) struct raw *raw = NULL;
	struct fg_conf next;
	int r;

	if (!yaml) {
		snprintf(why, n_why, "%s: out of memory", file);
		return -ENOMEM;
	}
	yaml->file = file;
	yaml->why = why;
	yaml->n_why = n_why;
	r = fg_yaml_check(yaml, text, n, &root_schema);
	if (r < 0)
		return r;
	/* Comments alone: nothing to load, and libcyaml takes that for an error. */
	if (!yaml->n_places)
		return 0;
	r = load_raw(yaml, text, n, &raw);
	if (r < 0)
		return r;
	r = copy_conf(&next, conf);
	if (r == 0)
		r = apply_raw(&next, raw, yaml);
	if (r == -ENOMEM)
		snprintf(why, n_why, "%s: out of memory", file);
	if (r < 0) {
		fg_conf_done(&next);
		return r;
	}
	fg_conf_done(conf);
	*conf = next;
	return 0;
}

static int refuse_file(const char *path, int r, char *why, size_t n_why)
{
	snprintf(why, n_why, "%s: %s", path, strerror(-r));
	return r;
}

int fg_conf_load(struct fg_conf *conf, const char *path, char *why, size_t n_why)
{
	_cleanup_free_ char *text = malloc(MAX_FILE_BYTES + 1);
	_cleanup_fclose_ FILE *f = NULL;
	struct stat st;
	size_t n;

	if (!text)
		return refuse_file(path, -ENOMEM, why, n_why);
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		return refuse_file(path, -errno, why, n_why);
	if (S_ISDIR(st.st_mode))
		return refuse_file(path, -EISDIR, why, n_why);
	n = fread(text, 1, MAX_FILE_BYTES + 1, f);
	if (ferror(f))
		return refuse_file(path, -EIO, why, n_why);
	if (n > MAX_FILE_BYTES) {
		snprintf(why, n_why, "%s: larger than %u kB, this is no configuration", path,
			 MAX_FILE_BYTES >> 10);
		return -EINVAL;
	}
	/* What a full disk leaves of a file; an agent that then runs on defaults surprises. */
	if (!n && S_ISREG(st.st_mode)) {
		snprintf(why, n_why, "%s: empty; a file with only comments means all defaults",
			 path);
		return -EINVAL;
	}
	return fg_conf_parse(conf, text, n, path, why, n_why);
}
