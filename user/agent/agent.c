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

#include "agent/api.h"
#include "agent/core.h"
#include "agent/exports.h"
#include "agent/feed.h"
#include "export/xdp.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/notify.h"
#include "lib/now.h"
#include "sensor/probe.h"
#include "sensor/sensor.h"
#include "serve/http.h"
#include "source/quic_take.h"
#include "source/take.h"

#define EPOCH_NS 1000000000ULL
/* Epochs between looks for a balancer in front of us. */
#define CHECK_EPOCHS 10
/* One source with this share of at least so many connections is a balancer in front of us. */
#define BALANCER_MIN_CONNECTIONS 1000
#define BALANCER_SHARE		 0.9
/* More connections than a balancer's health checks make before somebody looks. */
#define HEADERS_JUDGED	100
#define HEADERS_MISSING "balancers: "

struct agent {
	const struct fg_conf *conf;
	struct fg_core core;
	struct fg_sensor *sensor;
	struct fg_taker *taker;
	struct fg_quic_take *quic;
	struct fg_loop *loop;
	struct fg_http *http;
	struct fg_agent_api *api;
	struct fg_agent_feed *feed; /* NULL = off */
	struct fg_exports *exports;
	uint64_t epoch_start_ns;
	uint64_t epochs;
	uint64_t last_packets;
	uint64_t headers_missing, headers_all; /* when they were judged last */
	enum fg_guard tripped_by; /* that was logged last */
	char *what, *why;
	size_t n_what, n_why;
};

static uint64_t view_now(void *core)
{
	(void)core;
	return fg_unix_ns();
}

static struct agent *agent_of(void *core)
{
	return (struct agent *)((char *)core - offsetof(struct agent, core));
}

/* A trip is worth a line when it comes and when it goes; what to do is in the status. */
static void say_trip(struct agent *a)
{
	const struct fg_trip *trip = &a->core.guards.trip;

	if (trip->by == a->tripped_by)
		return;
	a->tripped_by = trip->by;
	if (trip->by == FG_GUARD_none)
		fg_log_info("automatic blocks are released");
	else
		fg_log_warning("automatic blocks are held (guards.%s): %llu were wished, with an "
			       "expected harm of %.2f %%",
			       fg_guard_name(trip->by), (unsigned long long)trip->blocks,
			       100 * trip->harm);
}

static void on_changed(void *core)
{
	fg_exports_run(agent_of(core)->exports, fg_unix_ns());
}

static int view_gate_hits(void *core, const struct fg_verdict *v, uint64_t *ret_hits,
			  uint64_t *ret_last_ns)
{
	return fg_exports_hits(agent_of(core)->exports, v, fg_unix_ns(), ret_hits, ret_last_ns);
}

/* Named balancers whose connections come without what says whose they are, judged by each hundred or more
 * since the last time: a cure shows. */
static void find_missing_headers(struct agent *a)
{
	const __u64 *events = a->core.before.events;
	uint64_t missing = events[FG_EVENT_proxy_missing],
		 all = missing + events[FG_EVENT_proxy_headers] + events[FG_EVENT_proxy_local];
	uint64_t new_missing = missing - a->headers_missing, new_all = all - a->headers_all;

	if (new_all < HEADERS_JUDGED)
		return;
	a->headers_missing = missing;
	a->headers_all = all;
	if (new_missing * 2 > new_all)
		fg_core_degraded(&a->core, HEADERS_MISSING
				 "most of their connections have no PROXY header, and count for "
				 "nobody: have it sent, or take them off the list");
	else
		fg_core_restored(&a->core, HEADERS_MISSING);
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
				 "stands in front; attach where client addresses arrive, or have "
				 "it send PROXY headers and name it in balancers");
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
	fg_exports_refresh(a->exports);
}

/* Takes the epoch that ends now. */
static int take_epoch(struct agent *a)
{
	struct fg_epoch epoch = { .start_ns = a->epoch_start_ns, .end_ns = fg_unix_ns() };
	struct fg_view *v = &a->core.view;
	uint64_t packets[FG_MAX_IFACES] = { 0 }, ticks, all = 0;
	int r = fg_sensor_drain(a->sensor);

	if (r >= 0)
		r = fg_sensor_ticks(a->sensor, &ticks);
	if (!r)
		fg_quic_take_expire(a->quic, fg_clock_ns(CLOCK_BOOTTIME), ticks, false);
	if (!r)
		r = fg_taker_take(a->taker, ticks, fg_sensor_tick_ns(a->sensor), false, &epoch);
	if (!r)
		r = fg_sensor_totals(a->sensor, &epoch.received, &epoch.replies, packets);
	if (r)
		return r;
	fg_sensor_took(a->sensor, &epoch.received);
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
		find_balancer(a);
		find_missing_headers(a);
	}
	fg_exports_run(a->exports, fg_unix_ns());
	say_trip(a);
	fg_exports_epoch(a->exports);
	fg_http_run(a->http); /* connection time-outs */
	fg_agent_api_epoch(a->api);
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

static int on_api(void *arg, uint32_t events)
{
	(void)events;
	fg_agent_api_run(((struct agent *)arg)->api);
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

/* Clients that speak QUIC are told apart here: the programs cannot read their hellos. */
static int is_blocked(void *agent, const uint8_t source[16], uint64_t stem, uint64_t stack)
{
	const struct agent *a = agent;

	return a->exports && fg_exports_block(a->exports, source, stem, stack, fg_unix_ns());
}

static int open_quic(struct agent *a)
{
	const struct fg_quic_take_conf qc = {
		.config = fg_sensor_config(a->sensor),
		.tables = fg_sensor_tables(a->sensor),
		.on_sample = fg_core_sample,
		.arg = &a->core,
		.is_blocked = is_blocked,
		.blocked_arg = a,
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
	struct fg_sensor_conf sc = { .n_interfaces = a->conf->n_interfaces, .pins = a->conf->pins };
	uint64_t bytes = a->conf->memory_mb ? (uint64_t)a->conf->memory_mb << 20 :
					      fg_tables_default_bytes();
	int r;

	for (size_t i = 0; i < a->conf->n_interfaces; i++)
		sc.interfaces[i] = a->conf->interfaces[i];
	for (size_t i = 0; i < a->conf->n_ports; i++)
		sc.config.ports[a->conf->ports[i] >> 6] |= 1ULL << (a->conf->ports[i] & 63);
	sc.config.role = (uint8_t)a->conf->role;
	sc.config.volume = 1;
	sc.config.reset = a->conf->reset && a->conf->role != FG_ROLE_MIRROR;
	if (a->conf->reset && !sc.config.reset)
		fg_core_degraded(&a->core,
				 "drop: reset means silence on a mirror: what comes there "
				 "are copies, and nobody is to answer them");
	sc.config.n_prefixes = (uint32_t)a->conf->n_prefixes;
	memcpy(sc.config.prefixes, a->conf->prefixes, sizeof(sc.config.prefixes));
	sc.config.n_peers = (uint32_t)a->conf->n_peers;
	memcpy(sc.config.peers, a->conf->peers, sizeof(sc.config.peers));
	sc.config.n_balancers = (uint32_t)a->conf->n_balancers;
	memcpy(sc.config.balancers, a->conf->balancers, sizeof(sc.config.balancers));
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
	if (!r && fg_sensor_found(a->sensor)->tables)
		r = fg_taker_adopt(a->taker);
	return r ? r : open_quic(a);
}

/* What an agent before this one left, and what became of it. */
static void tell_found(struct agent *a)
{
	const struct fg_sensor_found *f = fg_sensor_found(a->sensor);
	uint64_t frames = 0;

	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		frames += f->untaken.frames[i];
	if (f->tables)
		fg_log_info(
			"tables of an agent before this one go on: %.1f s without an agent, in "
			"which %llu frames, %llu connections, %llu hellos and %llu blocked frames "
			"were counted that are in no total",
			(double)f->away_ns / 1e9, (unsigned long long)frames,
			(unsigned long long)f->untaken.events[FG_EVENT_connections],
			(unsigned long long)f->untaken.events[FG_EVENT_hellos],
			(unsigned long long)f->untaken.frames[FG_FRAME_blocked]);
	else if (f->any)
		fg_log_warning("tables of an agent before this one are replaced (%s): open "
			       "connections are midstream; blocks %s",
			       f->why_not,
			       f->blocks ? "go on" : "were installed anew from the state");
	for (size_t i = 0; fg_sensor_note(a->sensor, i); i++)
		fg_log_info("%s", fg_sensor_note(a->sensor, i));
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
	tell_found(a);
	for (size_t i = 0; fg_sensor_degraded(a->sensor, i); i++)
		fg_core_degraded(&a->core, "%s", fg_sensor_degraded(a->sensor, i));
	for (size_t i = 0; i < v->n_degraded; i++)
		fg_log_warning("%s", v->degraded[i]);
}

/* Without exports: [xdp] nothing is wanted at the gate, whatever an agent before us left there. */
static void clear_blocks(struct agent *a, char *why, size_t n_why)
{
	struct fg_export_set none = { .n = 0 };
	struct fg_xdp *xdp;
	int r = fg_xdp_new(a->sensor, NULL, &xdp);

	if (!r) {
		r = fg_xdp_apply(xdp, &none, fg_unix_ns(), why, n_why);
		fg_xdp_free(&xdp);
	}
	if (r < 0)
		fg_core_degraded(&a->core, "blocks of an agent before this one are still there: %s",
				 strerror(-r));
}

/* Targets are told what the state wants, and the gate holds nothing else, before the programs see a
 * frame. */
static void install_blocks(struct agent *a)
{
	char why[256] = "";

	if (!a->conf->export_xdp)
		clear_blocks(a, why, sizeof(why));
	fg_exports_run(a->exports, fg_unix_ns());
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
	if (!r && fg_agent_api_fd(a->api) >= 0)
		r = fg_loop_add(a->loop, fg_agent_api_fd(a->api), EPOLLIN, on_api, a);
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

	if (fg_core_open(&a->core, a->conf, a->conf->state_dir, fg_unix_ns(), a->why, a->n_why))
		return fail(a, a->conf->state_dir);
	a->core.view.now_ns = view_now;
	a->core.view.refresh = refresh;
	a->core.view.changed = on_changed;
	a->core.view.gate_hits = view_gate_hits;
	/* the socket first: two agents on one host would fight over the interfaces */
	if (fg_http_open(a->conf->socket_path, &a->core.view, &a->http, a->why, a->n_why))
		return fail(a, a->conf->socket_path);
	if (fg_agent_api_open(&a->core, &a->api, a->why, a->n_why))
		return fail(a, "API");
	if (open_sensor(a))
		return fail(a, "sensor");
	if (a->conf->feed_socket &&
	    fg_agent_feed_open(&a->core, a->taker, &a->feed, a->why, a->n_why))
		return fail(a, a->conf->feed_socket);
	if (open_loop(a)) {
		snprintf(a->why, a->n_why, "%s", strerror(errno));
		return fail(a, "agent");
	}
	if (fg_exports_open(&a->core, a->sensor, a->conf, a->api, &a->exports, a->why, a->n_why))
		return fail(a, "exports");
	/* also who is told later that we are ready finds the blocks that stand */
	install_blocks(a);
	if (fg_sensor_attach(a->sensor, modes[a->conf->attach], a->why, a->n_why))
		return fail(a, "attach");
	introduce(a);
	a->epoch_start_ns = fg_unix_ns();
	fg_log_info("serving %s, mode %s", a->conf->socket_path, a->core.view.mode);
	if (a->feed)
		fg_log_info("application feed at %s", a->conf->feed_socket);
	fg_notify_ready();
	return 0;
}

/* An agent that ends by an error is followed by another: until then blocks hold, as after a kill. One
 * that could not start takes away only what is its own. */
static bool shall_keep(const struct agent *a, bool started, int r)
{
	if (!started)
		return fg_sensor_found(a->sensor)->any;
	return r || a->conf->on_stop == FG_STOP_KEEP;
}

int fg_agent_run(const struct fg_conf *conf, char *what, size_t n_what, char *why, size_t n_why)
{
	struct agent a = {
		.conf = conf, .what = what, .n_what = n_what, .why = why, .n_why = n_why
	};
	int r = start(&a), save_r;
	bool started = !r;

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
	/* while the loop still holds the signals: a second one must not cut this short */
	fg_exports_close(&a.exports);
	fg_agent_feed_close(&a.feed);
	fg_http_close(&a.http);
	fg_agent_api_close(&a.api);
	fg_loop_free(&a.loop);
	if (a.sensor && shall_keep(&a, started, r))
		fg_sensor_keep(a.sensor);
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
