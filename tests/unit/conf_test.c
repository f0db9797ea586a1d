/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent/conf: every key, and one clear line for everything that is wrong. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/conf.h"
#include "lib/log.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char why[1024];

static int parse(struct fg_conf *conf, const char *text)
{
	why[0] = '\0';
	return fg_conf_parse(conf, text, strlen(text), "f.yaml", why, sizeof(why));
}

/* A refusal changes nothing and says exactly this. */
static void refuse_n(const char *text, size_t n, const char *message)
{
	struct fg_conf conf, before;

	fg_conf_init(&conf);
	before = conf;
	assert_int_equal(fg_conf_parse(&conf, text, n, "f.yaml", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, message);
	assert_memory_equal(&conf, &before, sizeof(conf));
	fg_conf_done(&conf);
}

static void refuse(const char *text, const char *message)
{
	refuse_n(text, strlen(text), message);
}

static void test_conf_defaults_are_the_contracts(void **state)
{
	struct fg_conf conf;

	(void)state;
	fg_conf_init(&conf);
	assert_int_equal(conf.n_interfaces, 0);
	assert_int_equal(conf.role, FG_ROLE_TERMINATE);
	assert_int_equal(conf.attach, FG_ATTACH_AUTO);
	assert_int_equal(conf.n_ports, 1);
	assert_int_equal(conf.ports[0], 443);
	assert_int_equal(conf.mode, FG_MODE_OBSERVE);
	assert_int_equal(conf.ttl_s, 3600);
	assert_int_equal(conf.history_s, 90 * 86400);
	assert_true(conf.detect.enforce_days == 14);
	assert_true(conf.limits.window_ns == 60000000000ULL);
	assert_true(conf.detect.flag_nats == FG_FLAG_NATS);
	assert_string_equal(conf.socket_path, "/run/farmgate/farmgate.sock");
	assert_string_equal(conf.state_dir, "/var/lib/farmgate");
	assert_string_equal(conf.pins, "/sys/fs/bpf/farmgate");
	assert_int_equal(conf.on_stop, FG_STOP_DETACH);
	assert_null(conf.asn_file);
	assert_null(conf.feed_socket);
	assert_null(conf.feed_group);
	assert_int_equal(conf.n_allow_files, 0);
	assert_memory_equal(&conf.guards, &fg_guard_defaults, sizeof(conf.guards));
	assert_null(conf.listen_address);
	assert_null(conf.listen_keys);
	fg_conf_done(&conf);
}

static void expect_targets(const struct fg_conf_targets *t)
{
	assert_true(t->nft_udp);
	assert_string_equal(t->haproxy_socket, "/tmp/h");
	assert_string_equal(t->haproxy_map, "/tmp/m");
	assert_string_equal(t->nginx_file, "/tmp/g");
	assert_int_equal(t->nginx_test.n, 0);
	assert_null(t->nginx_test.argv[0]);
	assert_string_equal(t->nginx_reload.argv[1], "-x");
	assert_null(t->nginx_reload.argv[2]);
	assert_int_equal(t->nginx_interval_s, 10);
	assert_int_equal(t->hook_command.n, 3);
	assert_string_equal(t->hook_command.argv[2], "b");
	assert_null(t->hook_command.argv[3]);
	assert_string_equal(t->hook_url, "https://example.com/");
	assert_string_equal(t->hook_key_file, "/tmp/k");
	assert_int_equal(t->hook_timeout_s, 3);
	assert_int_equal(t->hook_batch, 7);
}

static const char every_key[] =
	"interfaces: [eth0, eth1]\n"
	"role: transit\n"
	"attach: tc\n"
	"pins: /sys/fs/bpf/other\n"
	"on_stop: keep\n"
	"protect:\n"
	"  ports: [443, 8443]\n"
	"  prefixes:\n"
	"    - 192.0.2.0/24\n"
	"    - 2001:db8::/48\n"
	"tunnels: [203.0.113.0/30, 2001:db8:7::1]\n"
	"balancers: [203.0.113.8]\n"
	"mode: enforce\n"
	"ttl: 30m\n"
	"warmup: 36h\n"
	"history: 30d\n"
	"exports: [nft]\n"
	"drop: reset\n"
	"established: end\n"
	"allow: [198.51.100.0/24, '2001:db8:1::/64']\n"
	"allow_files: [/etc/farmgate/office.txt, /var/lib/crawlers]\n"
	"guards: {collateral: 2.5, max_blocks: 300, max_blocks_network: 30,\n"
	"  max_harm: 0.1, holdback: 0}\n"
	"memory_mb: 128\n"
	"limits: {sources: 5, clients: 6, fingerprints: 7, stems: 8, hosts: 9,\n"
	"  pairs: 10, window: 2m}\n"
	"detect:\n"
	"  flag_nats: 9.5\n"
	"  min_connections: 10\n"
	"  min_population: 11\n"
	"  shared_stems: 12\n"
	"  alert_per_million: 20\n"
	"  enforce_per_million: 0.5\n"
	"log: {format: json, level: debug}\n"
	"socket: /tmp/s\n"
	"state: /tmp/d\n"
	"asn: {file: /tmp/a}\n"
	"feed: {socket: /tmp/f, group: app}\n"
	"listen: {address: '[::1]:8093', keys: /tmp/k}\n"
	"nft: {udp: true}\n"
	"haproxy: {socket: /tmp/h, map: /tmp/m}\n"
	"nginx: {file: /tmp/g, test: [], reload: [/bin/r, -x], interval: 10s}\n"
	"hook:\n"
	"  command: [/bin/c, a, b]\n"
	"  url: https://example.com/\n"
	"  key_file: /tmp/k\n"
	"  timeout: 3s\n"
	"  batch: 7\n";

static void test_conf_reads_every_key(void **state)
{
	struct fg_conf conf;

	(void)state;
	fg_conf_init(&conf);
	assert_int_equal(parse(&conf, every_key), 0);
	assert_int_equal(conf.n_interfaces, 2);
	assert_string_equal(conf.interfaces[1], "eth1");
	assert_int_equal(conf.role, FG_ROLE_TRANSIT);
	assert_int_equal(conf.attach, FG_ATTACH_TC);
	assert_string_equal(conf.pins, "/sys/fs/bpf/other");
	assert_int_equal(conf.on_stop, FG_STOP_KEEP);
	assert_int_equal(conf.n_ports, 2);
	assert_int_equal(conf.ports[1], 8443);
	assert_int_equal(conf.n_prefixes, 2);
	assert_int_equal(conf.n_peers, 2);
	assert_int_equal(conf.peers[0].bits, 126);
	assert_int_equal(conf.peers[1].bits, 128);
	assert_int_equal(conf.n_balancers, 1);
	assert_int_equal(conf.balancers[0].addr[15], 8);
	assert_int_equal(conf.prefixes[0].bits, 120);
	assert_int_equal(conf.prefixes[1].bits, 48);
	assert_int_equal(conf.prefixes[1].addr[3], 0xb8);
	assert_int_equal(conf.mode, FG_MODE_ENFORCE);
	assert_int_equal(conf.ttl_s, 1800);
	assert_int_equal(conf.history_s, 30 * 86400);
	assert_true(conf.detect.enforce_days == 1.5);
	assert_true(conf.export_nft);
	assert_false(conf.export_xdp);
	assert_true(conf.reset);
	assert_true(conf.end_established);
	assert_int_equal(conf.n_allow, 2);
	assert_string_equal(conf.allow[1], "2001:db8:1::/64");
	assert_int_equal(conf.n_allow_files, 2);
	assert_string_equal(conf.allow_files[1], "/var/lib/crawlers");
	assert_true(conf.guards.collateral == 0.025);
	assert_int_equal(conf.guards.max_blocks, 300);
	assert_int_equal(conf.guards.max_blocks_network, 30);
	assert_true(conf.guards.max_harm == 0.001);
	assert_true(conf.guards.holdback == 0);
	assert_int_equal(conf.memory_mb, 128);
	assert_int_equal(conf.limits.sources, 5);
	assert_int_equal(conf.limits.clients, 6);
	assert_int_equal(conf.limits.fingerprints, 7);
	assert_int_equal(conf.limits.stems, 8);
	assert_int_equal(conf.limits.hosts, 9);
	assert_int_equal(conf.limits.pairs, 10);
	assert_true(conf.limits.window_ns == 120000000000ULL);
	assert_true(conf.detect.flag_nats == 9.5);
	assert_int_equal(conf.detect.min_connections, 10);
	assert_int_equal(conf.detect.min_population, 11);
	assert_int_equal(conf.detect.shared_stems, 12);
	assert_true(conf.detect.alert_per_million == 20);
	assert_true(conf.detect.enforce_per_million == 0.5);
	assert_true(conf.log_json);
	assert_int_equal(conf.log_level, FG_LOG_DEBUG);
	assert_string_equal(conf.socket_path, "/tmp/s");
	assert_string_equal(conf.state_dir, "/tmp/d");
	assert_string_equal(conf.asn_file, "/tmp/a");
	assert_string_equal(conf.feed_socket, "/tmp/f");
	assert_string_equal(conf.feed_group, "app");
	assert_string_equal(conf.listen_address, "[::1]:8093");
	assert_string_equal(conf.listen_keys, "/tmp/k");
	expect_targets(&conf.targets);
	fg_conf_done(&conf);
}

static void test_conf_replaces_only_what_is_given(void **state)
{
	struct fg_conf conf;

	(void)state;
	fg_conf_init(&conf);
	assert_int_equal(parse(&conf, "interfaces: [a, b]\nallow: [192.0.2.1]\nttl: 2h\n"), 0);
	assert_int_equal(parse(&conf, "interfaces: [c]\nallow: []\n"), 0);
	assert_int_equal(conf.n_interfaces, 1);
	assert_string_equal(conf.interfaces[0], "c");
	assert_int_equal(conf.n_allow, 0);
	assert_int_equal(conf.ttl_s, 7200);
	assert_int_equal(parse(&conf, "pins: none\n"), 0);
	assert_null(conf.pins);
	assert_int_equal(parse(&conf, "exports: []\n"), 0);
	assert_null(conf.pins);
	assert_false(conf.export_xdp || conf.export_nft);
	assert_int_equal(parse(&conf, "haproxy: {socket: /tmp/h, map: /tmp/m}\n"
				      "exports: [haproxy, ipset]\n"),
			 0);
	assert_true(conf.export_haproxy && conf.export_ipset);
	assert_false(conf.export_xdp || conf.export_nft || conf.export_nginx || conf.export_hook);
	assert_int_equal(parse(&conf, "# nothing but a comment\n\n"), 0);
	assert_int_equal(parse(&conf, "---\n"), 0);
	assert_int_equal(conf.ttl_s, 7200);
	fg_conf_done(&conf);
}

static void test_conf_unknown_keys_name_the_nearest(void **state)
{
	(void)state;
	refuse("ttl: 1h\nroel: mirror\n", "f.yaml:2: unknown key 'roel' (did you mean 'role'?)");
	refuse("limits:\n  sources: 5\n  client: 6\n",
	       "f.yaml:3: unknown key 'client' (did you mean 'limits.clients'?)");
	refuse("ports: [443]\n", "f.yaml:1: unknown key 'ports' (did you mean 'protect.ports'?)");
	refuse("Role: mirror\n", "f.yaml:1: unknown key 'Role' (did you mean 'role'?)");
	refuse("flag_nats: 3\n", "f.yaml:1: unknown key 'flag_nats' (did you mean "
				 "'detect.flag_nats'?)");
}

static const struct {
	const char *text, *message;
} bad_values[] = {
	{ "tunnels: [192.0.2.1,\n  0.0.0.0/0]\n",
	  "f.yaml:2: tunnels[1]: '0.0.0.0/0' is wider than any network of peers" },
	{ "balancers:\n  - '::/8'\n",
	  "f.yaml:2: balancers[0]: '::/8' is wider than any network of balancers" },
	{ "role: router\n", "f.yaml:1: role: 'router' is none of terminate, transit, mirror" },
	{ "exports: [nft,\n  pf]\n",
	  "f.yaml:2: exports[1]: 'pf' is none of nft, xdp, ipset, haproxy, nginx, hook, crowdsec" },
	{ "exports: [nft,\n  haproxy]\nhaproxy: {map: /tmp/m}\n",
	  "f.yaml:2: exports[1]: haproxy needs haproxy.socket and haproxy.map" },
	{ "exports: [nginx]\n", "f.yaml:1: exports[0]: nginx needs nginx.file" },
	{ "exports: [hook]\nhook: {timeout: 5s}\n",
	  "f.yaml:1: exports[0]: hook needs hook.command or hook.url" },
	{ "nft: {udp: yes}\n", "f.yaml:1: nft.udp: 'yes' is none of false, true" },
	{ "haproxy:\n  map: '/tmp/a;b'\n",
	  "f.yaml:2: haproxy.map: blanks and ; \\ # < cannot be in it" },
	{ "haproxy: {socket: s}\n", "f.yaml:1: haproxy.socket: 's' is no absolute path" },
	{ "nginx:\n  interval: 5s\n", "f.yaml:2: nginx.interval: '5s' is no time of 10s to 3600s" },
	{ "nginx: {reload: []}\n", "f.yaml:1: nginx.reload: needs at least 1" },
	{ "nginx: {test: ['', -t]}\n", "f.yaml:1: nginx.test: the program has no name" },
	{ "hook: {command: [hook.sh]}\n",
	  "f.yaml:1: hook.command[0]: 'hook.sh' is no absolute path" },
	{ "hook:\n  url: ftp://x/\n",
	  "f.yaml:2: hook.url: 'ftp://x/' does not begin with https://" },
	{ "hook: {key_file: /tmp/k}\n", "f.yaml:1: hook.key_file: it signs what goes to hook.url" },
	{ "hook: {timeout: 11s}\n", "f.yaml:1: hook.timeout: '11s' is no time of 1s to 10s" },
	{ "hook: {batch: 0}\n", "f.yaml:1: hook.batch: 0 is not within 1 to 10000" },
	{ "protect:\n  ports: [443, 0]\n",
	  "f.yaml:2: protect.ports[1]: '0' is no port of 1 to 65535" },
	{ "protect: {ports: [65536]}\n",
	  "f.yaml:1: protect.ports[0]: '65536' is no port of 1 to 65535" },
	{ "protect: {ports: [443, 443]}\n", "f.yaml:1: protect.ports[1]: 443 is listed twice" },
	{ "protect: {ports: []}\n", "f.yaml:1: protect.ports: needs at least 1" },
	{ "protect: {ports: 443}\n", "f.yaml:1: protect.ports: takes a list, like [a, b]" },
	{ "protect:\n  prefixes:\n    - 192.0.2.1/24\n",
	  "f.yaml:3: protect.prefixes[0]: '192.0.2.1/24' is no address or prefix with zero "
	  "host bits, like 192.0.2.0/24 or 2001:db8::/64" },
	{ "allow: [example.org]\n",
	  "f.yaml:1: allow[0]: 'example.org' is no address or prefix with zero host bits, "
	  "like 192.0.2.0/24 or 2001:db8::/64" },
	{ "on_stop: stay\n", "f.yaml:1: on_stop: 'stay' is none of detach, keep" },
	{ "pins: farmgate\n", "f.yaml:1: pins: 'farmgate' is no absolute path" },
	{ "ttl: 25h\n", "f.yaml:1: ttl: '25h' is no time of 1s to 24h, like 90s, 15m, 1h" },
	{ "ttl: 0\n", "f.yaml:1: ttl: '0' is no time of 1s to 24h, like 90s, 15m, 1h" },
	{ "warmup: 91d\n", "f.yaml:1: warmup: '91d' is no time of 0 to 90d, like 14d, 0" },
	{ "warmup: soon\n", "f.yaml:1: warmup: 'soon' is no time of 0 to 90d, like 14d, 0" },
	{ "history: 23h\n", "f.yaml:1: history: '23h' is no time of 1d to 3650d, like 90d" },
	{ "history: 3651d\n", "f.yaml:1: history: '3651d' is no time of 1d to 3650d, like 90d" },
	{ "ttl:\n", "f.yaml:1: ttl: has no value; give one or remove the key" },
	{ "ttl: [1h]\n", "f.yaml:1: ttl: takes one value, not a list" },
	{ "limits: {window: 5s}\n",
	  "f.yaml:1: limits.window: '5s' is no time of 12s to 1h, like 60s, 5m" },
	{ "limits: {sources: 0}\n", "f.yaml:1: limits.sources: 0 is not within 1 to 16777216" },
	{ "limits: {sources: -1}\n",
	  "f.yaml:1: limits.sources: '-1' is no whole number of 0 to 4294967295" },
	{ "limits: {sources: 4294967296}\n", "f.yaml:1: limits.sources: '4294967296' is no "
					     "whole number of 0 to 4294967295" },
	{ "memory_mb: 0x10\n",
	  "f.yaml:1: memory_mb: '0x10' is no whole number of 0 to 4294967295" },
	{ "memory_mb: 010\n", "f.yaml:1: memory_mb: '010' is no whole number of 0 to 4294967295" },
	{ "limits: 5\n", "f.yaml:1: limits: takes keys of its own below it" },
	{ "detect: {flag_nats: nan}\n",
	  "f.yaml:1: detect.flag_nats: 'nan' is no number like 13.8" },
	{ "detect: {flag_nats: 0}\n", "f.yaml:1: detect.flag_nats: 0 is not within 1 to 1000" },
	{ "detect: {enforce_per_million: 20000}\n",
	  "f.yaml:1: detect.enforce_per_million: 20000 is not within 0 to 10000" },
	{ "detect: {alert_per_million: nan}\n",
	  "f.yaml:1: detect.alert_per_million: 'nan' is no number like 13.8" },
	{ "guards: {collateral: 51}\n", "f.yaml:1: guards.collateral: 51 is not within 0 to 50" },
	{ "guards: {max_harm: 100.5}\n",
	  "f.yaml:1: guards.max_harm: 100.5 is not within 0 to 100" },
	{ "guards: {max_blocks: 100001}\n",
	  "f.yaml:1: guards.max_blocks: 100001 is not within 0 to 100000" },
	{ "allow_files: [/a, lists/b]\n",
	  "f.yaml:1: allow_files[1]: 'lists/b' is no absolute path" },
	{ "allow_files: [/a, /a]\n", "f.yaml:1: allow_files[1]: '/a' is listed twice" },
	{ "detect: {shared_stems: 1}\n",
	  "f.yaml:1: detect.shared_stems: 1 is not within 2 to 65536" },
	{ "interfaces: [interface-too-long]\n",
	  "f.yaml:1: interfaces[0]: 'interface-too-long' is no interface name" },
	{ "interfaces: [eth0, eth0]\n", "f.yaml:1: interfaces[1]: 'eth0' is listed twice" },
	{ "interfaces: [a,b,c,d,e,f,g,h,i]\n", "f.yaml:1: interfaces: more than 8 entries" },
	{ "socket: run/s\n", "f.yaml:1: socket: 'run/s' is no absolute path" },
	{ "\n\nlog:\n  level: loud\n",
	  "f.yaml:4: log.level: 'loud' is none of error, warning, info, debug" },
};

static void test_conf_refuses_bad_values_with_their_line(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad_values); i++)
		refuse(bad_values[i].text, bad_values[i].message);
}

static void test_conf_refuses_a_socket_path_too_long(void **state)
{
	char text[200] = "socket: /";

	(void)state;
	memset(text + strlen(text), 'x', 120);
	refuse(text, "f.yaml:1: socket: longer than 107 characters");
}

static void test_conf_refuses_duplicate_keys(void **state)
{
	(void)state;
	refuse("ttl: 1h\nrole: mirror\nttl: 2h\n", "f.yaml:3: ttl: given twice, first on line 1");
	refuse("log: {level: info, level: info}\n",
	       "f.yaml:1: log.level: given twice, first on line 1");
}

static void test_conf_refuses_what_is_no_plain_yaml(void **state)
{
	static const char binary[] = "\x7f"
				     "ELF\x02\x01\x01\0\0\0\x01\xff\xfe";

	(void)state;
	refuse("log:\n\tlevel: info\n", "f.yaml:2: indented by a tab; YAML wants spaces");
	refuse_n(binary, sizeof(binary),
		 "f.yaml:1: this is no text file: control characters are "
		 "not allowed");
	refuse("ttl: 1h\n\xff\xff\n",
	       "f.yaml:2: this is no text file: invalid leading UTF-8 octet");
	refuse("just words\n", "f.yaml:1: expected 'key: value' lines here");
	refuse("[a, b]\n", "f.yaml:1: expected 'key: value' lines here");
	refuse("ttl: 1h\n---\nttl: 2h\n", "f.yaml:2: a second document ('---'); one is read");
	refuse("ttl: &a 1h\nrole: *a\n",
	       "f.yaml:2: aliases (*name) are not used here; write it out");
	refuse("? [a]\n: b\n", "f.yaml:1: a key must be a plain word");
	refuse("ttl: \"1h\\0x\"\n", "f.yaml:1: ttl: holds a NUL byte");
	refuse("limits: {sources: 5\n",
	       "f.yaml:2: not YAML: while parsing a flow mapping, did not find expected ',' or '}'");
}

static void test_conf_refusal_leaves_earlier_values(void **state)
{
	struct fg_conf conf;

	(void)state;
	fg_conf_init(&conf);
	assert_int_equal(parse(&conf, "interfaces: [eth7]\nstate: /tmp/x\n"), 0);
	assert_int_equal(parse(&conf, "interfaces: [eth8]\nstate: /tmp/y\nsocket: bad\n"), -EINVAL);
	assert_string_equal(conf.interfaces[0], "eth7");
	assert_string_equal(conf.state_dir, "/tmp/x");
	fg_conf_done(&conf);
}

/* Any cut and any flipped byte of a good file: refused with a line, or right; never a crash. */
static void test_conf_survives_damage(void **state)
{
	static const char good[] = "interfaces: [eth0]\nprotect: {ports: [443]}\nallow:\n"
				   "  - 192.0.2.0/24\ndetect: {flag_nats: 9.5}\n";
	char text[sizeof(good)];
	struct fg_conf conf;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < 2 * strlen(good); i++) {
		memcpy(text, good, sizeof(good));
		if (i < strlen(good))
			text[i] ^= 0x15;
		fg_conf_init(&conf);
		why[0] = '\0';
		r = fg_conf_parse(&conf, text, i < strlen(good) ? strlen(good) : i - strlen(good),
				  "f.yaml", why, sizeof(why));
		assert_true(r == 0 || (r == -EINVAL && strncmp(why, "f.yaml:", 7) == 0 &&
				       !strchr(why, '\n')));
		fg_conf_done(&conf);
	}
}

static int load_bytes(const char *text, size_t n, char path[32])
{
	struct fg_conf conf;
	int fd, r;

	strcpy(path, "/tmp/fg-conf-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), (ssize_t)n);
	close(fd);
	fg_conf_init(&conf);
	r = fg_conf_load(&conf, path, why, sizeof(why));
	fg_conf_done(&conf);
	unlink(path);
	return r;
}

static void test_conf_load_names_the_file(void **state)
{
	char path[32], want[128], *large = calloc(1, 300000);
	struct fg_conf conf;

	(void)state;
	fg_conf_init(&conf);
	assert_int_equal(fg_conf_load(&conf, "/nonexistent/f.yaml", why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/nonexistent/f.yaml: No such file or directory");
	assert_int_equal(fg_conf_load(&conf, "/tmp", why, sizeof(why)), -EISDIR);
	assert_string_equal(why, "/tmp: Is a directory");
	assert_int_equal(fg_conf_load(&conf, "/dev/null", why, sizeof(why)), 0);
	fg_conf_done(&conf);

	assert_int_equal(load_bytes("ttl: 1h\n", 8, path), 0);
	assert_int_equal(load_bytes("", 0, path), -EINVAL);
	snprintf(want, sizeof(want), "%s: empty; a file with only comments means all defaults",
		 path);
	assert_string_equal(why, want);
	memset(large, '#', 300000);
	assert_int_equal(load_bytes(large, 300000, path), -EINVAL);
	snprintf(want, sizeof(want), "%s: larger than 256 kB, this is no configuration", path);
	assert_string_equal(why, want);
	free(large);
}

/* The example as shipped, and with the '#' of every key removed: both are the defaults. */
static void test_conf_example_is_the_defaults(void **state)
{
	static char text[8192], bare[8192];
	FILE *f = fopen("scripts/farmgate.yaml", "re");
	struct fg_conf conf, defaults;
	char line[256], *to = bare, *word;
	size_t n = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", line);
		/* "# key: value" or "#   key: value", but no sentence. */
		word = line + 1 + strspn(line + 1, " ");
		if (word != line + 1 && word[strspn(word, "abcdefghijklmnopqrstuvwxyz_")] == ':')
			to = stpcpy(to, line + 2);
	}
	fclose(f);
	fg_conf_init(&conf);
	fg_conf_init(&defaults);
	assert_int_equal(parse(&conf, text), 0);
	assert_int_equal(parse(&conf, bare), 0);
	assert_string_equal(conf.interfaces[0], "eth0");
	assert_non_null(conf.asn_file);
	assert_string_equal(conf.socket_path, defaults.socket_path);
	assert_string_equal(conf.state_dir, defaults.state_dir);
	assert_memory_equal(&conf.limits, &defaults.limits, sizeof(conf.limits));
	assert_memory_equal(&conf.detect, &defaults.detect, sizeof(conf.detect));
	assert_memory_equal(conf.ports, defaults.ports, sizeof(conf.ports));
	assert_int_equal(conf.ttl_s, defaults.ttl_s);
	assert_int_equal(conf.export_nft, defaults.export_nft);
	assert_int_equal(conf.export_xdp, defaults.export_xdp);
	assert_int_equal(conf.reset, defaults.reset);
	assert_int_equal(conf.end_established, defaults.end_established);
	assert_int_equal(conf.mode, defaults.mode);
	assert_int_equal(conf.log_level, defaults.log_level);
	assert_int_equal(conf.targets.nft_udp, defaults.targets.nft_udp);
	assert_int_equal(conf.targets.nginx_test.n, defaults.targets.nginx_test.n);
	assert_string_equal(conf.targets.nginx_reload.argv[2],
			    defaults.targets.nginx_reload.argv[2]);
	assert_int_equal(conf.targets.nginx_interval_s, defaults.targets.nginx_interval_s);
	assert_int_equal(conf.targets.hook_timeout_s, defaults.targets.hook_timeout_s);
	assert_int_equal(conf.targets.hook_batch, defaults.targets.hook_batch);
	fg_conf_done(&conf);
	fg_conf_done(&defaults);
}

static void test_conf_listen(void **state)
{
	(void)state;
	refuse("listen: {address: '127.0.0.1:8093'}\n",
	       "f.yaml:1: listen.address: listen.keys is missing: over TCP each request needs a key");
	refuse("listen: {keys: /tmp/k}\n",
	       "f.yaml:1: listen.keys: without listen.address nobody is asked for a key");
	refuse("listen:\n  keys: k\n  address: 127.0.0.1:8093\n",
	       "f.yaml:2: listen.keys: 'k' is no absolute path");
	refuse("listen: {address: 'localhost:8093', keys: /tmp/k}\n",
	       "f.yaml:1: listen.address: 'localhost:8093' is no ADDRESS:PORT, like "
	       "127.0.0.1:8093 or [::1]:8093");
	refuse("listen: {address: '127.0.0.1:0', keys: /tmp/k}\n",
	       "f.yaml:1: listen.address: '0' is no port of 1 to 65535");
}

static void test_conf_crowdsec(void **state)
{
#define ALL "crowdsec: {url: 'https://lapi:8080', machine: fg-1, password_file: /p"
	struct fg_conf conf;

	(void)state;
	refuse("crowdsec: {url: 'ftp://x'}\n",
	       "f.yaml:1: crowdsec.url: 'ftp://x' is no address like http://127.0.0.1:8080/");
	refuse("crowdsec: {url: 'https:///'}\n", "f.yaml:1: crowdsec.url: no host in it");
	refuse("crowdsec: {url: 'http://lapi:8080/'}\n",
	       "f.yaml:1: crowdsec.url: 'http://lapi:8080/' would send the password in clear: "
	       "https://, or http:// to 127.0.0.1, [::1] or localhost");
	refuse("crowdsec: {url: 'http://127.0.0.1.example.com/'}\n",
	       "f.yaml:1: crowdsec.url: 'http://127.0.0.1.example.com/' would send the password in "
	       "clear: https://, or http:// to 127.0.0.1, [::1] or localhost");
	refuse("crowdsec: {url: 'http://127.0.0.1:80@example.com/'}\n",
	       "f.yaml:1: crowdsec.url: 'http://127.0.0.1:80@example.com/' is no address like "
	       "http://127.0.0.1:8080/");
	refuse("crowdsec: {machine: 'a b'}\n",
	       "f.yaml:1: crowdsec.machine: 'a b' is no name of 1 to 64 letters, digits, '.', '_' "
	       "or '-'");
	refuse("crowdsec: {password_file: p}\n",
	       "f.yaml:1: crowdsec.password_file: 'p' is no absolute path");
#ifdef FG_HAVE_LIBCURL
	refuse("ttl: 1h\nexports: [crowdsec]\n", "f.yaml:2: exports: crowdsec needs crowdsec.url");
	refuse("exports: [crowdsec]\ncrowdsec: {url: 'http://localhost/'}\n",
	       "f.yaml:1: exports: crowdsec needs crowdsec.machine");
	refuse("exports: [crowdsec]\ncrowdsec: {url: 'http://[::1]:8080', machine: a}\n",
	       "f.yaml:1: exports: crowdsec needs crowdsec.password_file");
#else
	refuse("exports: [crowdsec]\n" ALL "}\n",
	       "f.yaml:1: exports: crowdsec needs libcurl, which this build left out");
#endif
	fg_conf_init(&conf);
	assert_int_equal(parse(&conf, ALL ", decisions: push, ca_file: /c}\n"), 0);
	assert_true(conf.crowdsec_push && !conf.export_crowdsec);
	assert_string_equal(conf.crowdsec_url, "https://lapi:8080");
	assert_string_equal(conf.crowdsec_machine, "fg-1");
	assert_string_equal(conf.crowdsec_password_file, "/p");
	assert_string_equal(conf.crowdsec_ca_file, "/c");
#ifdef FG_HAVE_LIBCURL
	assert_int_equal(parse(&conf, "exports: [crowdsec]\ncrowdsec: {decisions: profile}\n"), 0);
	assert_true(conf.export_crowdsec && !conf.export_xdp && !conf.crowdsec_push);
#endif
	fg_conf_done(&conf);
#undef ALL
}

static void test_conf_feed(void **state)
{
	(void)state;
	refuse("feed: {socket: feed.sock}\n",
	       "f.yaml:1: feed.socket: 'feed.sock' is no absolute path");
	refuse("socket: /tmp/s\nfeed:\n  socket: /tmp/s\n",
	       "f.yaml:3: feed.socket: '/tmp/s' is the commands' own socket");
	refuse("feed: {group: app}\n",
	       "f.yaml:1: feed.group: without feed.socket there is no feed");
	refuse("feed: {socket: /tmp/f, group: ''}\n",
	       "f.yaml:1: feed.group: empty: name a group of this host");
	refuse("feed: {sockets: /tmp/f}\n",
	       "f.yaml:1: unknown key 'sockets' (did you mean 'feed.socket'?)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conf_defaults_are_the_contracts),
		cmocka_unit_test(test_conf_reads_every_key),
		cmocka_unit_test(test_conf_replaces_only_what_is_given),
		cmocka_unit_test(test_conf_unknown_keys_name_the_nearest),
		cmocka_unit_test(test_conf_refuses_bad_values_with_their_line),
		cmocka_unit_test(test_conf_refuses_a_socket_path_too_long),
		cmocka_unit_test(test_conf_refuses_duplicate_keys),
		cmocka_unit_test(test_conf_refuses_what_is_no_plain_yaml),
		cmocka_unit_test(test_conf_refusal_leaves_earlier_values),
		cmocka_unit_test(test_conf_survives_damage),
		cmocka_unit_test(test_conf_load_names_the_file),
		cmocka_unit_test(test_conf_crowdsec),
		cmocka_unit_test(test_conf_feed),
		cmocka_unit_test(test_conf_listen),
		cmocka_unit_test(test_conf_example_is_the_defaults),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
