/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as the beginning of a balancer's connection, cut anywhere, with a hello behind them, through
 * the host's engine: one of three things is counted, the hello is read with a header and not without
 * one, and nobody but whom the header names has a row.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "fuzz.h"
#include "hello_build.h"
#include "source/engine.h"
#include "whole_frame.h"

#define START_NS  1777593600000000000ULL
#define MAX_BYTES 4096

static void *engine;
static uint64_t frames;

static void ignore_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	(void)sample;
}

static void open_engine(void)
{
	struct fg_engine_conf conf = { .table_bytes = 1 << 20, .on_sample = ignore_sample };
	char why[256];

	conf.config.seed[1] = 1;
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	conf.config.volume = 1;
	conf.config.n_balancers = 1;
	frames = 0;
	MUST(!fg_engine_host.open(&conf, &engine, why, sizeof(why)));
}

static void feed(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct fg_capture_frame f = fg_whole_frame(time_ns, frame, len);

	(void)ctx;
	frames++;
	MUST(!fg_engine_host.frame(engine, &f));
}

static size_t count_sources(void)
{
	const struct fg_tables *t = fg_engine_host.tables(engine);
	size_t n = 0;

	for (uint32_t i = 0; i < t->n_sources; i++)
		for (int way = 0; way < FG_WAYS; way++)
			n += t->sources[i].tag[way] > FG_TAG_BUSY;
	return n;
}

static void check_totals(void)
{
	const __u64 *events;
	struct fg_totals t;
	uint64_t sum = 0;

	MUST(!fg_engine_host.totals(engine, &t));
	events = t.events;
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += t.frames[i];
	MUST(sum == frames);
	MUST(events[FG_EVENT_proven] == 1);
	sum = events[FG_EVENT_proxy_headers] + events[FG_EVENT_proxy_local] +
	      events[FG_EVENT_proxy_missing];
	MUST(sum == 1);
	/* behind a header whose end never came there is nobody, either */
	MUST(count_sources() <= !events[FG_EVENT_proxy_missing]);
	if (events[FG_EVENT_proxy_missing])
		MUST(!events[FG_EVENT_hellos] && !events[FG_EVENT_samples]);
}

/* The first two bytes say where the stream is cut, the others are what it begins with. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t stream[MAX_BYTES + 4096];
	struct fg_hello_desc d;
	struct fg_conn c;
	size_t cut;

	if (size < 2 || size - 2 > MAX_BYTES)
		return 0;
	open_engine();
	memcpy(stream, data + 2, size - 2);
	fg_hello_tool(&d, "api.example.com");
	fg_conn_init(&c, fg_end_of("203.0.113.8", 40000), fg_end_of("198.51.100.1", 443), START_NS,
		     feed, NULL);
	c.hello = stream;
	c.hello_len = size - 2 + fg_hello_stream(&d, stream + size - 2, 4096);
	cut = (data[0] << 8 | data[1]) % c.hello_len;
	c.cuts = &cut;
	c.n_cuts = cut != 0;
	fg_conn_run(&c);
	fg_conn_done(&c);
	check_totals();
	fg_engine_host.close(engine);
	return 0;
}
