/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * interfaces ─► sensor ─► taker ─► core (model, detect, store) ─► exports
 *                  application feed ───┘ └─► http
 * One thread, one loop: an epoch a second, samples and requests as they come.
 */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/core.h"
#include "agent/feed.h"
#include "export/export.h"
#include "export/xdp.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/notify.h"
#include "sensor/probe.h"
#include "sensor/sensor.h"
#include "serve/http.h"
#include "source/quic_take.h"
#include "source/take.h"

#define EPOCH_NS 1000000000ULL
/* Epochs between looks at what others may have done to our firewall table. */
#define CHECK_EPOCHS 10
/* Read back in full up to here; above, where nft needs many seconds and hundreds of MB, hourly. */
#define FULL_CHECK_MAX	  100000
#define FULL_CHECK_EPOCHS 3600
/* One source with this share of at least so many connections is a balancer in front of us. */
#define BALANCER_MIN_CONNECTIONS 1000
#define BALANCER_SHARE		 0.9

struct agent {
	const struct fg_conf *conf;
	struct fg_core core;
	struct fg_sensor *sensor;
	struct fg_taker *taker;
	struct fg_quic_take *quic;
	struct fg_loop *loop;
	struct fg_http *http;
	struct fg_agent_feed *feed; /* NULL = off */
	struct fg_nft *nft;
	struct fg_xdp *xdp;
	struct fg_export_conf export_conf;
	uint64_t epoch_start_ns;
	uint64_t epochs;
	uint64_t exported_revision;
	uint64_t last_packets;
	bool export_failed;
	char *what, *why;
	size_t n_what, n_why;
};

static uint64_t unix_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* The programs' fine clock. */
static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static uint64_t view_now(void *core)
{
	(void)core;
	return unix_ns();
}

static struct agent *agent_of(void *core)
{
	return (struct agent *)((char *)core - offsetof(struct agent, core));
}

/* What an export did, said once: when it changes something, fails, or works again. */
static void say_export(struct agent *a, const char *target, int r, const char *why)
{
	char beginning[64];

	snprintf(beginning, sizeof(beginning), "export %s fails", target);
	fg_core_restored(&a->core, beginning);
	if (r < 0) {
		if (!a->export_failed)
			fg_log_error("export %s: %s (tried again every second)", target, why);
		a->export_failed = true;
		fg_core_degraded(&a->core, "%s: %s", beginning, why);
		return;
	}
	if (r > 0)
		fg_log_info("export %s: %d changes", target, r);
}

static void export_now(struct agent *a, uint64_t now_ns)
{
	uint64_t revision = fg_store_revision(a->core.store);
	struct fg_export_set *set;
	char why[256] = "";
	bool failed = false;
	int r;

	r = fg_export_select(a->core.store, FG_TIER_ENFORCE, now_ns, &set);
	if (r) {
		fg_log_error("export: %s", strerror(-r));
		return;
	}
	if (a->nft) {
		r = fg_nft_apply(a->nft, set, now_ns, why, sizeof(why));
		say_export(a, "nft", r, why);
		failed |= r < 0;
	}
	if (a->xdp) {
		r = fg_xdp_apply(a->xdp, set, now_ns, why, sizeof(why));
		say_export(a, "xdp", r, why);
		failed |= r < 0;
		fg_core_restored(&a->core, "export xdp holds");
		if (fg_xdp_unexportable(a->xdp))
			fg_core_degraded(
				&a->core,
				"export xdp holds single sources only: wider blocks need nft");
	}
	a->export_failed = failed;
	if (!failed)
		a->exported_revision = revision;
	fg_export_set_unref(&set);
}

/* Somebody may have flushed the ruleset: then everything is written again. */
static void check_firewall(struct agent *a)
{
	bool full = fg_store_n(a->core.store) <= FULL_CHECK_MAX ||
		    a->epochs % FULL_CHECK_EPOCHS == 0;
	char why[256] = "";
	int r;

	if (!a->nft)
		return;
	r = fg_nft_check(a->nft, full, why, sizeof(why));
	if (r > 0)
		fg_log_warning("export nft: %s; writing it again", why);
	if (r)
		a->exported_revision = UINT64_MAX;
}

static void on_changed(void *core)
{
	struct agent *a = agent_of(core);

	export_now(a, unix_ns());
}

static void find_balancer(struct agent *a)
{
	uint64_t all = 0, most = 0;

	for (size_t i = 0; i < fg_model_n_sources(a->core.model); i++) {
		uint64_t n = fg_model_source_at(a->core.model, i)->proven;

		all += n;
		most = n > most ? n : most;
	}
	if (all >= BALANCER_MIN_CONNECTIONS && (double)most > BALANCER_SHARE * (double)all)
		fg_core_degraded(&a->core,
				 "nearly all connections come from one source: a balancer or proxy "
				 "stands in front; attach where client addresses arrive");
}

static void refresh(void *core)
{
	struct agent *a = agent_of(core);
	struct fg_view *v = &a->core.view;
	const struct fg_tables *t = fg_sensor_tables(a->sensor);
	struct fg_fill fill = fg_taker_fill(a->taker);
	const struct fg_view_map maps[] = {
		{ "fg_flows", fill.flows, (uint64_t)t->n_flows * FG_WAYS },
		{ "fg_knocks", fill.knocks, (uint64_t)t->n_knocks * FG_WAYS },
		{ "fg_sources", fill.sources, (uint64_t)t->n_sources * FG_WAYS },
		{ "fg_clients", fill.clients, (uint64_t)t->n_clients * FG_WAYS },
		{ "fg_prints", fill.prints, (uint64_t)t->n_prints * FG_WAYS },
		{ "fg_streams", fill.streams, t->n_streams },
	};

	memcpy(v->maps, maps, sizeof(maps));
	v->n_maps = sizeof(maps) / sizeof(maps[0]);
}

/* Takes the epoch that ends now. */
static int take_epoch(struct agent *a)
{
	struct fg_epoch epoch = { .start_ns = a->epoch_start_ns, .end_ns = unix_ns() };
	struct fg_view *v = &a->core.view;
	uint64_t packets[FG_MAX_IFACES] = { 0 }, ticks, all = 0;
	int r = fg_sensor_drain(a->sensor);

	if (r >= 0)
		r = fg_sensor_ticks(a->sensor, &ticks);
	if (!r)
		fg_quic_take_expire(a->quic, boot_ns(), ticks, false);
	if (!r)
		r = fg_taker_take(a->taker, ticks, fg_sensor_tick_ns(a->sensor), false, &epoch);
	if (!r)
		r = fg_sensor_totals(a->sensor, &epoch.received, &epoch.replies, packets);
	if (r)
		return r;
	for (size_t i = 0; i < _FG_INCOMPLETE_MAX; i++)
		epoch.received.incomplete[i] += fg_taker_incomplete(a->taker)[i];
	fg_quic_take_add(a->quic, &epoch.received);
	for (size_t i = 0; i < v->n_interfaces; i++) {
		v->interfaces[i].packets = packets[i];
		all += packets[i];
	}
	if (all != a->last_packets) {
		if (!v->first_packet_ns)
			v->first_packet_ns = epoch.end_ns;
		v->last_packet_ns = epoch.end_ns;
		a->last_packets = all;
	}
	a->epoch_start_ns = epoch.end_ns;
	return fg_core_epoch(&a->core, &epoch, a->taker);
}

static int on_epoch(void *arg, uint32_t periods)
{
	struct agent *a = arg;
	int r = take_epoch(a);

	(void)periods;
	if (r) {
		fg_log_error("epoch: %s", strerror(-r));
		return r;
	}
	a->epochs++;
	if (a->epochs % CHECK_EPOCHS == 0) {
		check_firewall(a);
		find_balancer(a);
	}
	if (fg_store_revision(a->core.store) != a->exported_revision)
		export_now(a, a->core.now_ns);
	fg_http_run(a->http); /* connection time-outs */
	if (a->feed)
		fg_agent_feed_run(a->feed);
	fg_notify_watchdog();
	return 0;
}

static int on_samples(void *arg, uint32_t events)
{
	struct agent *a = arg;
	int r = fg_sensor_drain(a->sensor);

	(void)events;
	return r < 0 ? r : 0;
}

static int on_http(void *arg, uint32_t events)
{
	(void)events;
	fg_http_run(((struct agent *)arg)->http);
	return 0;
}

static int on_feed(void *arg, uint32_t events)
{
	(void)events;
	fg_agent_feed_run(((struct agent *)arg)->feed);
	return 0;
}

static int on_signal(void *arg, uint32_t signo)
{
	struct agent *a = arg;

	if (signo == SIGHUP) {
		fg_log_info("SIGHUP: the configuration is read at start only; restart to apply it");
		return 0;
	}
	fg_log_info("stopping (%s)", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	fg_notify_stopping();
	fg_loop_stop(a->loop);
	return 0;
}

static int fail(struct agent *a, const char *what)
{
	snprintf(a->what, a->n_what, "%s", what);
	return -1;
}

static int open_quic(struct agent *a)
{
	const struct fg_quic_take_conf qc = {
		.config = fg_sensor_config(a->sensor),
		.tables = fg_sensor_tables(a->sensor),
		.on_sample = fg_core_sample,
		.arg = &a->core,
	};
	int r = fg_quic_take_new(&qc, &a->quic);

	if (r)
		snprintf(a->why, a->n_why, "QUIC cannot be read: %s",
			 r == -ENOTSUP ? "libcrypto has no AES-128-GCM or HMAC" : strerror(-r));
	else
		fg_sensor_on_datagram(a->sensor, fg_quic_take_datagram, a->quic);
	return r;
}

static int open_sensor(struct agent *a)
{
	struct fg_sensor_conf sc = { .n_interfaces = a->conf->n_interfaces };
	uint64_t bytes = a->conf->memory_mb ? (uint64_t)a->conf->memory_mb << 20 :
					      fg_tables_default_bytes();
	int r;

	for (size_t i = 0; i < a->conf->n_interfaces; i++)
		sc.interfaces[i] = a->conf->interfaces[i];
	for (size_t i = 0; i < a->conf->n_ports; i++)
		sc.config.ports[a->conf->ports[i] >> 6] |= 1ULL << (a->conf->ports[i] & 63);
	sc.config.role = (uint8_t)a->conf->role;
	sc.config.volume = 1;
	sc.config.n_prefixes = (uint32_t)a->conf->n_prefixes;
	memcpy(sc.config.prefixes, a->conf->prefixes, sizeof(sc.config.prefixes));
	fg_tables_size(bytes, &sc.sizes);
	r = fg_core_seed(&a->core, (uint64_t *)sc.config.seed);
	if (r) {
		snprintf(a->why, a->n_why, "no hash seed: %s", strerror(-r));
		return r;
	}
	r = fg_sensor_open(&sc, &a->sensor, a->why, a->n_why);
	if (r)
		return r;
	fg_sensor_on_sample(a->sensor, fg_core_sample, &a->core);
	r = fg_taker_new(fg_sensor_tables(a->sensor), &a->taker);
	return r ? r : open_quic(a);
}

/* Says how each interface is attached and what works worse than it could. */
static void introduce(struct agent *a)
{
	const struct fg_tables *t = fg_sensor_tables(a->sensor);
	struct fg_view *v = &a->core.view;

	fg_log_info("tables: %llu MB for %u connections, %u sources, %u clients",
		    (unsigned long long)(fg_tables_bytes(t) >> 20), t->n_flows * FG_WAYS,
		    t->n_sources * FG_WAYS, t->n_clients * FG_WAYS);
	if (a->core.memory.restored)
		fg_log_info("%llu summaries of sources and clients read back",
			    (unsigned long long)a->core.memory.restored);
	v->n_interfaces = a->conf->n_interfaces;
	for (size_t i = 0; i < v->n_interfaces; i++) {
		const char *name = a->conf->interfaces[i],
			   *mode = fg_sensor_mode_name(a->sensor, i);
		struct fg_probe_iface iface;

		snprintf(v->interfaces[i].name, sizeof(v->interfaces[i].name), "%s", name);
		snprintf(v->interfaces[i].attach, sizeof(v->interfaces[i].attach), "%s", mode);
		if (fg_probe_iface(name, &iface))
			continue;
		fg_log_info("%s: attached, %s mode, %u receive queues", name, mode,
			    iface.rx_queues);
		if (iface.lro)
			fg_core_degraded(
				&a->core,
				"%s: LRO merges segments before they are seen ('ethtool -K %s "
				"lro off')",
				name, name);
	}
	for (size_t i = 0; fg_sensor_degraded(a->sensor, i); i++)
		fg_core_degraded(&a->core, "%s", fg_sensor_degraded(a->sensor, i));
	for (size_t i = 0; i < v->n_degraded; i++)
		fg_log_warning("%s", v->degraded[i]);
}

static int open_exports(struct agent *a)
{
	int r = 0;

	a->export_conf = (struct fg_export_conf){
		.ports = a->conf->ports,
		.n_ports = a->conf->n_ports,
	};
	if (a->conf->export_nft)
		r = fg_nft_new(&a->export_conf, &a->nft);
	if (!r && a->conf->export_xdp)
		r = fg_xdp_new(a->sensor, &a->xdp);
	a->exported_revision = UINT64_MAX;
	return r;
}

static int open_loop(struct agent *a)
{
	int r = fg_loop_new(&a->loop);

	if (!r)
		r = fg_loop_signals(a->loop, on_signal, a);
	if (!r)
		r = fg_loop_every(a->loop, EPOCH_NS, on_epoch, a);
	if (r >= 0)
		r = fg_loop_add(a->loop, fg_sensor_sample_fd(a->sensor), EPOLLIN, on_samples, a);
	if (!r)
		r = fg_loop_add(a->loop, fg_http_fd(a->http), EPOLLIN, on_http, a);
	if (!r && a->feed)
		r = fg_loop_add(a->loop, fg_agent_feed_fd(a->feed), EPOLLIN, on_feed, a);
	return r;
}

static int start(struct agent *a)
{
	static const enum fg_sensor_mode modes[] = {
		[FG_ATTACH_AUTO] = FG_SENSOR_AUTO,
		[FG_ATTACH_NATIVE] = FG_SENSOR_NATIVE,
		[FG_ATTACH_GENERIC] = FG_SENSOR_GENERIC,
		[FG_ATTACH_TC] = FG_SENSOR_TC,
	};

	if (fg_core_open(&a->core, a->conf, a->conf->state_dir, unix_ns(), a->why, a->n_why))
		return fail(a, a->conf->state_dir);
	a->core.view.now_ns = view_now;
	a->core.view.refresh = refresh;
	a->core.view.changed = on_changed;
	/* the socket first: two agents on one host would fight over the interfaces */
	if (fg_http_open(a->conf->socket_path, &a->core.view, &a->http, a->why, a->n_why))
		return fail(a, a->conf->socket_path);
	if (open_sensor(a))
		return fail(a, "sensor");
	if (a->conf->feed_socket &&
	    fg_agent_feed_open(&a->core, a->taker, &a->feed, a->why, a->n_why))
		return fail(a, a->conf->feed_socket);
	if (fg_sensor_attach(a->sensor, modes[a->conf->attach], a->why, a->n_why))
		return fail(a, "attach");
	if (open_exports(a) || open_loop(a)) {
		snprintf(a->why, a->n_why, "%s", strerror(errno));
		return fail(a, "agent");
	}
	introduce(a);
	a->epoch_start_ns = unix_ns();
	fg_log_info("serving %s, mode %s", a->conf->socket_path, a->core.view.mode);
	if (a->feed)
		fg_log_info("application feed at %s", a->conf->feed_socket);
	fg_notify_ready();
	return 0;
}

int fg_agent_run(const struct fg_conf *conf, char *what, size_t n_what, char *why, size_t n_why)
{
	struct agent a = {
		.conf = conf, .what = what, .n_what = n_what, .why = why, .n_why = n_why
	};
	int r = start(&a), save_r;

	if (!r) {
		r = fg_loop_run(a.loop);
		if (r) {
			snprintf(why, n_why, "%s", strerror(-r));
			fail(&a, "agent");
		} else {
			/* what the last second brought must not be lost with the tables */
			r = take_epoch(&a);
		}
	}
	fg_agent_feed_close(&a.feed);
	fg_http_close(&a.http);
	fg_loop_free(&a.loop);
	fg_xdp_free(&a.xdp);
	fg_nft_free(&a.nft);
	fg_sensor_close(&a.sensor);
	fg_taker_free(&a.taker);
	fg_quic_take_free(&a.quic);
	/* a core that never opened has learned nothing */
	save_r = a.core.store ? fg_core_save(&a.core) : 0;
	if (save_r)
		fg_log_error("what was learned could not be kept: %s", strerror(-save_r));
	fg_core_close(&a.core);
	return r;
}
