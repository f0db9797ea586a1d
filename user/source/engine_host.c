/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The stages on this host, with tables from calloc: replay without a kernel program or root. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "source/engine.h"
#include "source/platform_host.h"

#include "farmgate/pipeline.h"

struct host {
	struct fg_config config;
	struct fg_tables tables;
	struct fg_scratch scratch;
	struct fg_totals totals;
	struct fg_meta meta;
	struct fg_env env;
	struct fg_engine_conf conf; /* whom to tell */
};

static void tell_sample(void *arg, const struct fg_sample *sample)
{
	struct host *h = arg;

	h->conf.on_sample(h->conf.arg, sample);
}

static void tell_datagram(void *arg, const struct fg_datagram *datagram)
{
	struct host *h = arg;

	if (h->conf.on_datagram)
		h->conf.on_datagram(h->conf.datagram_arg, datagram);
}

static void host_close(void *engine)
{
	struct host *h = engine;

	if (!h)
		return;
	free(h->tables.flows);
	free(h->tables.timings);
	free(h->tables.overflow);
	free(h->tables.knocks);
	free(h->tables.sources);
	free(h->tables.clients);
	free(h->tables.prints);
	free(h->tables.streams);
	free(h->tables.stash);
	fg_per_set_free(&h->tables.hot);
	free(h);
}

/* calloc with pages that cost nothing until touched. */
static int make_tables(struct fg_tables *t)
{
	t->flows = calloc(t->n_flows, sizeof(*t->flows));
	t->timings = calloc((size_t)t->n_flows * FG_WAYS, sizeof(*t->timings));
	t->overflow = calloc(FG_OVERFLOW_COLUMNS, sizeof(*t->overflow));
	t->knocks = calloc(t->n_knocks, sizeof(*t->knocks));
	t->sources = calloc(t->n_sources, sizeof(*t->sources));
	t->clients = calloc(t->n_clients, sizeof(*t->clients));
	t->prints = calloc(t->n_prints, sizeof(*t->prints));
	t->streams = calloc(t->n_streams, sizeof(*t->streams));
	t->stash = calloc(t->n_stash, sizeof(*t->stash));
	return t->flows && t->timings && t->overflow && t->knocks && t->sources && t->clients &&
			       t->prints && t->streams && t->stash ?
		       0 :
		       -ENOMEM;
}

static int host_open(const struct fg_engine_conf *conf, void **ret_engine, char *why, size_t n_why)
{
	struct host *h = calloc(1, sizeof(*h));

	if (!h)
		goto no_memory;
	h->config = conf->config;
	h->config.replay = 1;
	h->config.tick_ns = FG_REPLAY_TICK_NS;
	h->config.second_ticks = 1000000000 / FG_REPLAY_TICK_NS;
	fg_tables_size(conf->table_bytes, &h->tables);
	fg_tables_masks(&h->tables, &h->config);
	if (make_tables(&h->tables) || fg_per_set_new(&h->tables, &h->tables.hot))
		goto no_memory;
	h->tables.meta = &h->meta;
	h->meta = (struct fg_meta){
		.abi_version = FG_ABI_VERSION,
		.epoch = 8,
		.tick_ns = FG_REPLAY_TICK_NS,
	};
	memcpy(h->meta.seed, h->config.seed, sizeof(h->meta.seed));
	h->env = (struct fg_env){
		.scratch = &h->scratch,
		.totals = &h->totals,
		.meta = &h->meta,
		.config = &h->config,
		.tables = &h->tables,
		.on_sample = tell_sample,
		.on_datagram = tell_datagram,
		.arg = h,
	};
	h->conf = *conf;
	*ret_engine = h;
	return 0;

no_memory:
	snprintf(why, n_why, "no memory for the tables");
	host_close(h);
	return -ENOMEM;
}

static int host_frame(void *engine, const struct fg_capture_frame *f)
{
	struct host *h = engine;

	h->env.data = f->data;
	h->env.len = f->len;
	h->env.time_ns = f->time_ns;
	h->env.ticks = f->time_ns / FG_REPLAY_TICK_NS;
	h->env.epoch = h->meta.epoch;
	h->totals.events[FG_EVENT_clock_back] += f->clamped;
	fg_pipeline(&h->env, f->frame_len, f->wire_len);
	return 0;
}

static int host_drain(void *engine)
{
	(void)engine;
	return 0;
}

static const struct fg_tables *host_tables(void *engine)
{
	return &((struct host *)engine)->tables;
}

static const struct fg_config *host_config(void *engine)
{
	return &((struct host *)engine)->config;
}

static int host_totals(void *engine, struct fg_totals *ret_totals)
{
	*ret_totals = ((struct host *)engine)->totals;
	return 0;
}

const struct fg_engine_ops fg_engine_host = {
	.name = "host",
	.open = host_open,
	.close = host_close,
	.frame = host_frame,
	.drain = host_drain,
	.tables = host_tables,
	.config = host_config,
	.totals = host_totals,
};
