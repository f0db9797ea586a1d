/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/replay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "source/quic_take.h"

#define EPOCH_NS 1000000000ULL
/* The kernel engine's ring holds some 600 samples: emptied long before. */
#define DRAIN_FRAMES 256

struct replay {
	struct fg_core *core;
	const struct fg_replay_conf *conf;
	void *engine;
	struct fg_taker *taker;
	struct fg_quic_take *quic;
	uint64_t epoch_start_ns, last_ns;
	uint64_t frames;
};

static void fill_config(const struct replay *p, struct fg_config *config)
{
	const struct fg_conf *conf = p->core->conf;

	config->role = FG_ROLE_MIRROR;
	config->volume = !p->conf->on_hello;
	config->sample_all = p->conf->on_hello != NULL;
	if (p->conf->any_port)
		memset(config->ports, 0xff, sizeof(config->ports));
	for (size_t i = 0; i < conf->n_ports; i++)
		config->ports[conf->ports[i] >> 6] |= 1ULL << (conf->ports[i] & 63);
	/* a capture blocks nobody: whatever was tunnelled is looked at */
	config->n_peers = 1;
	config->peers[0] = (struct fg_prefix){ .bits = 0 };
	if (p->conf->on_hello) {
		/* a line names the connection as it is in the capture */
		config->proxy_skip = 1;
		config->n_balancers = 1;
		config->balancers[0] = (struct fg_prefix){ .bits = 0 };
	} else {
		config->n_balancers = (uint32_t)conf->n_balancers;
		memcpy(config->balancers, conf->balancers, sizeof(config->balancers));
	}
	config->n_prefixes = (uint32_t)conf->n_prefixes;
	memcpy(config->prefixes, conf->prefixes, sizeof(config->prefixes));
}

/* A hello that the taker gave up, in the form of a sample. */
static void on_given_up(void *arg, const struct fg_stream *stream, enum fg_incomplete reason)
{
	struct replay *p = arg;
	struct fg_sample s = {
		.time_ns = p->last_ns,
		.client_port_be = stream->client_port_be,
		.server_port_be = stream->server_port_be,
		.proto = 't',
		.status = (uint8_t)(1 + reason),
		.proof = stream->proof,
		.hello = stream->hello,
	};

	memcpy(s.client, stream->client, sizeof(s.client));
	memcpy(s.server, stream->server, sizeof(s.server));
	if (p->conf->on_hello)
		p->conf->on_hello(p->conf->arg, &s);
}

/* The engine has its callback before there are tables to make the taker of. */
static void on_datagram(void *arg, const struct fg_datagram *d)
{
	fg_quic_take_datagram(((struct replay *)arg)->quic, d);
}

static int open_quic(struct replay *p, const struct fg_engine_conf *ec)
{
	const struct fg_quic_take_conf qc = {
		.config = p->conf->engine->config(p->engine),
		.tables = p->conf->engine->tables(p->engine),
		.on_sample = ec->on_sample,
		.arg = ec->arg,
	};

	return fg_quic_take_new(&qc, &p->quic);
}

static int open_engine(struct replay *p, char *why, size_t n_why)
{
	struct fg_engine_conf ec = {
		.table_bytes = p->conf->table_bytes,
		.force_loop = p->conf->force_loop,
		.on_sample = p->conf->on_hello ? p->conf->on_hello : fg_core_sample,
		.arg = p->conf->on_hello ? p->conf->arg : p->core,
		.on_datagram = on_datagram,
		.datagram_arg = p,
	};
	uint64_t seed[4];
	int r = 0;

	if (p->conf->seed)
		memcpy(seed, p->conf->seed, sizeof(seed));
	else
		r = fg_core_seed(p->core, seed);
	if (r) {
		snprintf(why, n_why, "no hash seed: %s", strerror(-r));
		return r;
	}
	memcpy(ec.config.seed, seed, sizeof(ec.config.seed));
	fill_config(p, &ec.config);
	r = p->conf->engine->open(&ec, &p->engine, why, n_why);
	if (r)
		return r;
	r = fg_taker_new(p->conf->engine->tables(p->engine), &p->taker);
	if (!r)
		r = open_quic(p, &ec);
	if (r)
		snprintf(why, n_why,
			 r == -ENOTSUP ?
				 "libcrypto has no AES-128-GCM or HMAC: QUIC cannot be read" :
				 "no memory for shadow counts");
	else
		fg_taker_on_given_up(p->taker, on_given_up, p);
	return r;
}

static int end_epoch(struct replay *p, uint64_t end_ns, bool all)
{
	struct fg_epoch epoch = { .start_ns = p->epoch_start_ns, .end_ns = end_ns };
	int r = p->conf->engine->drain(p->engine);

	fg_quic_take_expire(p->quic, end_ns, end_ns / FG_REPLAY_TICK_NS, all);
	if (!r && p->conf->on_hello) {
		fg_taker_skip(p->taker, end_ns / FG_REPLAY_TICK_NS, FG_REPLAY_TICK_NS, all);
		return 0;
	}
	if (!r)
		r = fg_taker_take(p->taker, end_ns / FG_REPLAY_TICK_NS, FG_REPLAY_TICK_NS, all,
				  &epoch);
	if (!r)
		r = p->conf->engine->totals(p->engine, &epoch.received);
	if (r)
		return r;
	for (size_t i = 0; i < _FG_INCOMPLETE_MAX; i++)
		epoch.received.incomplete[i] += fg_taker_incomplete(p->taker)[i];
	fg_quic_take_add(p->quic, &epoch.received);
	return fg_core_epoch(p->core, &epoch, p->taker);
}

/* Ends the running epoch when the frame lies beyond it; seconds without frames have no epoch. */
static int on_time(struct replay *p, uint64_t now_ns)
{
	int r = 0;

	if (!p->frames) {
		/* the tables' clock starts with the capture, not in 1970 */
		p->core->view.first_packet_ns = now_ns;
		p->core->view.started_ns = now_ns;
		p->epoch_start_ns = now_ns;
		r = end_epoch(p, now_ns, false);
		p->epoch_start_ns = now_ns / EPOCH_NS * EPOCH_NS;
		return r;
	}
	if (now_ns - p->epoch_start_ns < EPOCH_NS)
		return 0;
	r = end_epoch(p, p->epoch_start_ns + EPOCH_NS, false);
	p->epoch_start_ns = now_ns / EPOCH_NS * EPOCH_NS;
	return r;
}

static int run_frames(struct replay *p, struct fg_capture *capture)
{
	struct fg_capture_frame f;
	int r;

	while ((r = fg_capture_next(capture, &f)) == 1) {
		r = on_time(p, f.time_ns);
		if (!r)
			r = p->conf->engine->frame(p->engine, &f);
		if (!r && ++p->frames % DRAIN_FRAMES == 0)
			r = p->conf->engine->drain(p->engine);
		if (r)
			return r;
		p->last_ns = f.time_ns;
	}
	return r;
}

/* Frames of a while on one moment: whatever is counted for a minute is then too much. */
static void tell_clock(const struct replay *p)
{
	uint64_t back = fg_model_received(p->core->model)->events[FG_EVENT_clock_back];

	if (back * 100 > p->frames)
		fg_core_degraded(
			p->core,
			"%llu of %llu frames are older than one before them and count as of "
			"its time: rates may be too high",
			(unsigned long long)back, (unsigned long long)p->frames);
}

int fg_replay(struct fg_core *core, const struct fg_replay_conf *conf, char *why, size_t n_why)
{
	struct replay p = { .core = core, .conf = conf };
	struct fg_capture *capture = NULL;
	int r, end;

	r = fg_capture_open(conf->path, &capture, why, n_why);
	if (r)
		return r;
	r = open_engine(&p, why, n_why);
	if (r)
		goto out;
	r = run_frames(&p, capture);
	if (r == -EBADMSG)
		snprintf(why, n_why, "breaks off after %llu frames: %s",
			 (unsigned long long)p.frames, fg_capture_error(capture));
	else if (r)
		snprintf(why, n_why, "the %s engine stopped: %s", conf->engine->name, strerror(-r));
	if (!r || r == -EBADMSG) {
		end = end_epoch(&p, p.last_ns, true);
		if (!end && !conf->on_hello)
			end = fg_core_end(core);
		if (end) {
			snprintf(why, n_why, "the last epoch could not be taken: %s",
				 strerror(-end));
			r = end;
		}
	}
	core->view.last_packet_ns = p.last_ns;
	tell_clock(&p);
out:
	core->taker = NULL;
	fg_taker_free(&p.taker);
	fg_quic_take_free(&p.quic);
	if (p.engine)
		conf->engine->close(p.engine);
	fg_capture_close(&capture);
	return r;
}
