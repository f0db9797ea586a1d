/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "source/quic_take.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FG_TABLES_SHARED /* programs write to them meanwhile */
#include "source/platform_host.h"
#include "source/quic.h"

#include "farmgate/quic.h"

struct fg_quic_take {
	struct fg_quic_take_conf conf;
	struct fg_quic *quic;
	struct fg_scratch scratch;
	struct fg_totals totals;
	struct fg_env env;
	struct fg_sample sample;
	uint64_t now_ns; /* of the datagram in hand */
};

static void sample_of(struct fg_quic_take *t, const struct fg_quic_path *path, uint8_t status)
{
	struct fg_sample *s = &t->sample;

	s->time_ns = t->now_ns;
	memcpy(s->client, path->client, sizeof(s->client));
	memcpy(s->server, path->server, sizeof(s->server));
	s->client_port_be = path->client_port_be;
	s->server_port_be = path->server_port_be;
	s->proto = 'q';
	s->status = status;
	s->proof = FG_PROOF_NONE;
	s->stack = FG_STACK_QUIC;
	t->conf.on_sample(t->conf.arg, s);
}

static void on_lost(void *arg, const struct fg_quic_path *path, enum fg_incomplete reason)
{
	struct fg_quic_take *t = arg;

	t->totals.incomplete[reason]++;
	fg_hello_begin(&t->sample.hello);
	sample_of(t, path, (uint8_t)(1 + reason));
}

int fg_quic_take_new(const struct fg_quic_take_conf *conf, struct fg_quic_take **ret_take)
{
	struct fg_quic_take *t = calloc(1, sizeof(*t));
	int r = t ? fg_quic_new((const uint64_t *)conf->config->seed, &t->quic) : -ENOMEM;

	if (r) {
		free(t);
		return r;
	}
	t->conf = *conf;
	t->env = (struct fg_env){
		.scratch = &t->scratch,
		.totals = &t->totals,
		.meta = conf->tables->meta,
		.config = conf->config,
		.tables = conf->tables,
		.is_blocked = conf->is_blocked,
		.arg = conf->blocked_arg,
	};
	fg_quic_on_lost(t->quic, on_lost, t);
	*ret_take = t;
	return 0;
}

void fg_quic_take_free(struct fg_quic_take **take)
{
	struct fg_quic_take *t = *take;

	*take = NULL;
	if (!t)
		return;
	fg_quic_free(&t->quic);
	free(t);
}

static void take_hello(struct fg_quic_take *t, const struct fg_datagram *d,
		       const struct fg_quic_path *path)
{
	struct fg_key k = {
		.client_port = be16toh(d->client_port_be),
		.server_port = be16toh(d->server_port_be),
	};

	memcpy(k.client, d->client, sizeof(k.client));
	memcpy(k.server, d->server, sizeof(k.server));
	t->env.epoch = t->env.meta->epoch;
	fg_quic_hello(&t->env, &k, &t->sample.hello);
	sample_of(t, path, 0);
}

void fg_quic_take_datagram(void *take, const struct fg_datagram *d)
{
	struct fg_quic_take *t = take;
	struct fg_quic_path path = { .client_port_be = d->client_port_be,
				     .server_port_be = d->server_port_be };
	struct fg_hello *h = &t->sample.hello;

	memcpy(path.client, d->client, sizeof(path.client));
	memcpy(path.server, d->server, sizeof(path.server));
	t->now_ns = d->time_ns;
	switch (fg_quic_datagram(t->quic, &path, d->time_ns, d->bytes, d->len, h)) {
	case FG_QUIC_HELLO:
		take_hello(t, d, &path);
		break;
	case FG_QUIC_FAILED:
		t->totals.incomplete[h->reason]++;
		sample_of(t, &path, (uint8_t)(1 + h->reason));
		break;
	case FG_QUIC_UNREADABLE:
		t->totals.events[FG_EVENT_quic_unreadable]++;
		break;
	case FG_QUIC_IGNORED:
	case FG_QUIC_MORE:
		break;
	}
}

void fg_quic_take_expire(struct fg_quic_take *t, uint64_t now_ns, uint64_t ticks, bool all)
{
	t->env.ticks = ticks;
	t->now_ns = now_ns;
	if (all)
		fg_quic_give_up(t->quic, FG_INCOMPLETE_end);
	else
		fg_quic_expire(t->quic, now_ns);
}

void fg_quic_take_add(const struct fg_quic_take *t, struct fg_totals *totals)
{
	for (size_t i = 0; i < _FG_EVENT_MAX; i++)
		totals->events[i] += t->totals.events[i];
	for (size_t i = 0; i < _FG_INCOMPLETE_MAX; i++)
		totals->incomplete[i] += t->totals.incomplete[i];
}
