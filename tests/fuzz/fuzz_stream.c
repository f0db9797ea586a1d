/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A hello in segments that overlap, repeat, change places and get lost, with a stranger's segments
 * among them, through the host's engine: its fingerprint comes out right or not at all, and each
 * frame and each hello is accounted for once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "fuzz.h"
#include "hello_build.h"
#include "source/engine.h"
#include "whole_frame.h"

#define START_NS   1777593600000000000ULL
#define MAX_STEPS  200
#define STEP_BYTES 5

static struct {
	void *engine;
	uint64_t frames, samples, complete;
	uint64_t print;
} e;

static void take_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	e.samples++;
	if (sample->status)
		return;
	e.complete++;
	e.print = sample->hello.print;
}

static void open_engine(void)
{
	struct fg_engine_conf conf = { .table_bytes = 1 << 20, .on_sample = take_sample };
	char why[256];

	memset(&e, 0, sizeof(e));
	conf.config.seed[1] = 1;
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	conf.config.sample_all = 1;
	conf.config.volume = 1;
	MUST(!fg_engine_host.open(&conf, &e.engine, why, sizeof(why)));
}

static void feed(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct fg_capture_frame f = fg_whole_frame(time_ns, frame, len);

	(void)ctx;
	e.frames++;
	MUST(!fg_engine_host.frame(e.engine, &f));
}

static void check_totals(void)
{
	struct fg_totals t;
	uint64_t frames = 0, incomplete = 0;

	MUST(!fg_engine_host.totals(e.engine, &t));
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		frames += t.frames[i];
	for (size_t i = 0; i < _FG_INCOMPLETE_MAX; i++)
		incomplete += t.incomplete[i];
	MUST(frames == e.frames);
	MUST(t.events[FG_EVENT_hellos] == e.complete);
	MUST(e.complete + incomplete <= 1);
	MUST(e.samples == e.complete + incomplete);
}

/* One step of the input: what is sent, from where, how much of it. */
static void step(struct fg_conn *c, const uint8_t *in)
{
	static const uint8_t garbage[1024] = { 22, 3, 1, 0, 9, 1 };
	uint32_t next = c->client_next, server_next = c->server_next;
	size_t at = (in[1] << 8 | in[2]) % c->hello_len, n = (in[3] << 8 | in[4]) % 1460 + 1;

	if (n > c->hello_len - at)
		n = c->hello_len - at;
	switch (in[0] % 16) {
	case 0: /* a stranger who guessed the sequence number, not the acknowledgement */
		c->server_next += 1 + in[4];
		fg_conn_segment(c, c->hello_len + at, garbage, n < sizeof(garbage) ? n : 1);
		c->server_next = server_next;
		c->client_next = next;
		break;
	case 1:
		fg_conn_ack(c);
		break;
	case 2:
		c->now_ns += (uint64_t)in[4] * 100000000;
		break;
	case 3:
		if (in[4] < 16)
			fg_conn_flags(c, in[4] & 1 ? FG_PKT_FIN | FG_PKT_ACK : FG_PKT_RST);
		break;
	default:
		fg_conn_segment(c, at, c->hello + at, n);
		break;
	}
}

static struct fg_conn begin(const uint8_t *stream, size_t len)
{
	struct fg_conn c;

	fg_conn_init(&c, fg_end_of("192.0.2.1", 20000), fg_end_of("198.51.100.1", 443), START_NS,
		     feed, NULL);
	c.hello = stream;
	c.hello_len = len;
	return c;
}

/* Input: which client, its connection's number, bytes in the SYN, then steps. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const shapes[])(struct fg_hello_desc *,
				      const char *) = { fg_hello_browser, fg_hello_browser_plain,
							fg_hello_tool, fg_hello_library,
							fg_hello_tls12 };
	static uint8_t stream[FG_HELLO_BUILD_MAX + 5];
	struct fg_hello_desc d;
	struct fg_prng r;
	struct fg_conn c;
	uint64_t print;

	if (size < 4)
		return 0;
	r.state = data[1];
	shapes[data[0] % 5](&d, "api.example.com");
	fg_hello_again(&d, &r);
	open_engine();
	c = begin(stream, fg_hello_stream(&d, stream, sizeof(stream)));
	fg_conn_run(&c);
	fg_conn_done(&c);
	check_totals();
	MUST(e.complete == 1);
	print = e.print;
	fg_engine_host.close(e.engine);

	open_engine();
	c = begin(stream, c.hello_len);
	c.client_isn = (uint32_t)data[2] << 24 | 0xfffc00;
	c.syn_bytes = data[3] & 1 ? 4 * data[3] % c.hello_len : 0;
	c.syn_taken = data[3] & 2 ? c.syn_bytes : 0;
	fg_conn_syn(&c);
	fg_conn_syn_ack(&c);
	if (data[3] & 4)
		fg_conn_ack(&c);
	for (size_t i = 4, n = 0; i + STEP_BYTES <= size && n < MAX_STEPS; i += STEP_BYTES, n++)
		step(&c, data + i);
	fg_conn_done(&c);
	check_totals();
	MUST(!e.complete || e.print == print);
	fg_engine_host.close(e.engine);
	return 0;
}
