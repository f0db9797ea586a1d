/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/crowdsec.h"
#include "lib/log.h"
#include "serve/bouncer.h"
#include "serve/http.h"
#include "serve/keys.h"
#include "serve/listen.h"

/* Epochs between looks at the keys file, and between lines about requests that were refused. */
#define KEYS_EPOCHS    2
#define REFUSED_EPOCHS 60
/* How the sentence about keys that could not be read begins. */
#define KEYS_FAIL "listen.keys"

struct fg_agent_api {
	struct fg_core *core;
	struct fg_crowdsec *crowdsec;
	struct fg_bouncers *bouncers;
	struct fg_keyring *keys; /* NULL with http */
	struct fg_http *http; /* NULL = no TCP port */
	uint64_t epochs, refused; /* refused: as told last */
};

static void tell_keys(const struct fg_agent_api *a, const char *how)
{
	size_t n = fg_keyring_keys(a->keys)->n;

	if (n)
		fg_log_info("listen.keys: %zu keys %s", n, how);
	else
		fg_log_warning("listen.keys: no keys in %s: nobody is let in",
			       a->core->conf->listen_keys);
}

int fg_agent_api_try(const struct fg_conf *conf, char *why, size_t n_why)
{
	struct fg_keyring *keys = NULL;
	int r = 0;

	if (conf->listen_keys)
		r = fg_keyring_open(conf->listen_keys, &keys, why, n_why);
	fg_keyring_free(&keys);
	return r;
}

static int open_tcp(struct fg_agent_api *a, char *why, size_t n_why)
{
	const struct fg_conf *conf = a->core->conf;
	struct sockaddr_storage at;
	char reason[256] = "";
	socklen_t n;
	int r;

	r = fg_keyring_open(conf->listen_keys, &a->keys, reason, sizeof(reason));
	if (r) {
		snprintf(why, n_why, "listen.keys: %s", reason);
		return r;
	}
	r = fg_http_open_tcp(conf->listen_address, a->keys, &a->core->view, &a->http, reason,
			     sizeof(reason));
	if (r) {
		snprintf(why, n_why, "listen.address: %s: %s", conf->listen_address, reason);
		return r;
	}
	a->core->view.http = fg_http_counts(a->http);
	tell_keys(a, "read");
	fg_log_info("API at %s", conf->listen_address);
	if (!fg_listen_parse(conf->listen_address, &at, &n, reason, sizeof(reason)) &&
	    !fg_listen_is_loopback(&at))
		fg_log_warning("%s can be reached from other hosts, and keys pass unencrypted: put "
			       "it behind your TLS proxy",
			       conf->listen_address);
	return 0;
}

int fg_agent_api_open(struct fg_core *core, struct fg_agent_api **ret_api, char *why, size_t n_why)
{
	struct fg_agent_api *a = calloc(1, sizeof(*a));
	int r = a ? fg_crowdsec_new(&a->crowdsec) : -ENOMEM;

	if (a) {
		a->core = core;
		a->bouncers = calloc(1, sizeof(*a->bouncers));
	}
	if (r || !a->bouncers) {
		snprintf(why, n_why, "no memory for decisions");
		fg_agent_api_close(&a);
		return -ENOMEM;
	}
	core->view.crowdsec = a->crowdsec;
	core->view.bouncers = a->bouncers;
	if (core->conf->listen_address)
		r = open_tcp(a, why, n_why);
	if (r)
		fg_agent_api_close(&a);
	else
		*ret_api = a;
	return r;
}

void fg_agent_api_close(struct fg_agent_api **api)
{
	struct fg_agent_api *a = *api;

	*api = NULL;
	if (!a)
		return;
	fg_http_close(&a->http); /* answers on their way move the bouncers' rows */
	a->core->view.http = NULL;
	a->core->view.crowdsec = NULL;
	a->core->view.bouncers = NULL;
	fg_keyring_free(&a->keys);
	fg_crowdsec_free(&a->crowdsec);
	free(a->bouncers);
	free(a);
}

void fg_agent_api_update(struct fg_agent_api *a, struct fg_export_set *set, uint64_t now_ns)
{
	struct fg_view *v = &a->core->view;
	int r = fg_crowdsec_update(a->crowdsec, set, now_ns);

	if (r < 0)
		fg_log_error("decisions for bouncers: %s", strerror(-r));
	if (v->set_changed_ns && v->set_revision == set->revision)
		return;
	v->set_revision = set->revision;
	v->set_changed_ns = now_ns;
}

static void check_keys(struct fg_agent_api *a)
{
	char why[512];
	int r = fg_keyring_check(a->keys, why, sizeof(why));

	if (r > 0) {
		fg_core_restored(a->core, KEYS_FAIL);
		tell_keys(a, "read again");
	} else if (r < 0) {
		fg_core_restored(a->core, KEYS_FAIL);
		fg_core_degraded(a->core, KEYS_FAIL ": %s (the old keys stay)", why);
		fg_log_error("listen.keys: %s (the old keys stay)", why);
	}
}

static void tell_refused(struct fg_agent_api *a)
{
	const struct fg_http_counts *c = fg_http_counts(a->http);
	uint64_t refused = c->no_key + c->wrong_key;

	if (refused != a->refused)
		fg_log_warning("API: %llu requests without a right key, the last from %s",
			       (unsigned long long)(refused - a->refused), c->last_refused);
	a->refused = refused;
}

void fg_agent_api_epoch(struct fg_agent_api *a)
{
	if (!a->http)
		return;
	a->epochs++;
	if (a->epochs % KEYS_EPOCHS == 0)
		check_keys(a);
	if (a->epochs % REFUSED_EPOCHS == 0)
		tell_refused(a);
	fg_http_run(a->http);
}

int fg_agent_api_fd(const struct fg_agent_api *a)
{
	return a->http ? fg_http_fd(a->http) : -1;
}

void fg_agent_api_run(struct fg_agent_api *a)
{
	fg_http_run(a->http);
}
