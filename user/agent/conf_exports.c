/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where blocks go, and what each of these needs: haproxy, nginx, hook, crowdsec. */
#define _GNU_SOURCE
#include "agent/conf_raw.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static int apply_haproxy(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	const size_t max_socket = sizeof(((struct sockaddr_un *)0)->sun_path);
	int r = fg_conf_apply_path(&t->haproxy_socket, "haproxy.socket", raw->haproxy.socket,
				   max_socket, y);

	if (r)
		return r;
	/* it is a word of commands on that socket */
	if (fg_yaml_line(y, "haproxy.map") && strpbrk(raw->haproxy.map, " \t\n;\\#<"))
		return fg_yaml_refuse(y, "haproxy.map", "blanks and ; \\ # < cannot be in it");
	return fg_conf_apply_path(&t->haproxy_map, "haproxy.map", raw->haproxy.map, 256, y);
}

static int apply_command(struct fg_conf_command *to, const char *path, char *const *argv, size_t n,
			 const struct fg_yaml *y)
{
	int r;

	if (!fg_yaml_line(y, path))
		return 0;
	if (n && !argv[0][0])
		return fg_yaml_refuse(y, path, "the program has no name");
	r = fg_conf_copy_texts(to->argv, &to->n, argv, n);
	to->argv[to->n] = NULL;
	return r;
}

static int apply_nginx(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	int r = fg_conf_apply_path(&t->nginx_file, "nginx.file", raw->nginx.file, 4000, y);

	if (!r)
		r = apply_command(&t->nginx_test, "nginx.test", raw->nginx.test,
				  raw->nginx.test_count, y);
	if (!r)
		r = apply_command(&t->nginx_reload, "nginx.reload", raw->nginx.reload,
				  raw->nginx.reload_count, y);
	/* more often, and old workers that still serve their connections pile up */
	if (!r)
		r = fg_conf_apply_seconds(&t->nginx_interval_s, "nginx.interval",
					  raw->nginx.interval, 10, 3600, y);
	return r;
}

static int apply_url(struct fg_conf_targets *t, const struct raw *raw, const struct fg_yaml *y)
{
	if (!fg_yaml_line(y, "hook.url"))
		return 0;
	if (strncmp(raw->hook.url, "https://", 8) && strncmp(raw->hook.url, "http://", 7))
		return fg_yaml_refuse(y, "hook.url", "'%.80s' does not begin with https://",
				      raw->hook.url);
	return fg_conf_copy_text(&t->hook_url, raw->hook.url);
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
		r = fg_conf_apply_path(&t->hook_key_file, "hook.key_file", raw->hook.key_file, 4000,
				       y);
	if (!r && t->hook_key_file && !t->hook_url)
		return fg_yaml_refuse(y, "hook.key_file", "it signs what goes to hook.url");
	if (!r)
		r = fg_conf_apply_seconds(&t->hook_timeout_s, "hook.timeout", raw->hook.timeout, 1,
					  10, y);
	if (!r)
		r = fg_conf_apply_number(&t->hook_batch, "hook.batch", raw->hook.batch, 1, 10000,
					 y);
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
	bool *const chosen[_EXPORT_MAX] = {
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
			r = fg_conf_copy_text(&conf->crowdsec_url, raw->crowdsec.url);
	}
	if (!r && fg_yaml_line(y, "crowdsec.machine")) {
		r = check_machine(raw->crowdsec.machine, y);
		if (!r)
			r = fg_conf_copy_text(&conf->crowdsec_machine, raw->crowdsec.machine);
	}
	if (!r)
		r = fg_conf_apply_path(&conf->crowdsec_password_file, "crowdsec.password_file",
				       raw->crowdsec.password_file, 4096, y);
	if (!r)
		r = fg_conf_apply_path(&conf->crowdsec_ca_file, "crowdsec.ca_file",
				       raw->crowdsec.ca_file, 4096, y);
	if (fg_yaml_line(y, "crowdsec.decisions"))
		conf->crowdsec_push = raw->crowdsec.decisions == DECISIONS_PUSH;
	return r;
}

int fg_conf_apply_exports(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_targets(conf, raw, y);

	if (!r)
		r = apply_crowdsec(conf, raw, y);
	return r ? r : check_crowdsec(conf, y);
}
