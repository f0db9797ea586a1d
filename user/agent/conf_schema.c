/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which keys there are: one table, against which lib/yaml checks the text, and by which libcyaml
 * loads it. Ranges are in the steps (conf_raw.h), descriptions in farmgate.yaml(5).
 */
#include "agent/conf_raw.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>

#define MAX_ALLOW COUNT(((struct fg_conf *)0)->allow)

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
static const cyaml_strval_t established[] = { { "keep", ESTABLISHED_KEEP },
					      { "end", ESTABLISHED_END } };
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
	TEXTS("balancers", struct raw, balancers, 0, FG_MAX_PEERS),
	ENUM("mode", struct raw, mode, modes),
	TEXT("ttl", struct raw, ttl),
	TEXT("warmup", struct raw, warmup),
	TEXT("history", struct raw, history),
	ENUM("drop", struct raw, drop, drops),
	ENUM("established", struct raw, established, established),
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

static const cyaml_config_t cyaml_config = { .mem_fn = cyaml_mem, .flags = CYAML_CFG_DEFAULT };

void fg_conf_free_raw(struct raw **raw)
{
	cyaml_free(&cyaml_config, &root_schema, *raw, 0);
}

int fg_conf_read(struct fg_yaml *yaml, const char *text, size_t n, struct raw **ret_raw)
{
	cyaml_err_t err;
	int r = fg_yaml_check(yaml, text, n, &root_schema);

	if (r < 0)
		return r;
	/* Comments alone: nothing to load, and libcyaml takes that for an error. */
	if (!yaml->n_places)
		return 0;
	err = cyaml_load_data((const uint8_t *)text, n, &cyaml_config, &root_schema,
			      (cyaml_data_t **)ret_raw, NULL);
	if (err == CYAML_OK)
		return 0;
	snprintf(yaml->why, yaml->n_why, "%s: %s", yaml->file, cyaml_strerror(err));
	return err == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
}
