/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames a second of replay: reading alone, naming every hello (what `farmgate ja4` does but print),
 * the whole agent on the host engine, and on the kernel engine (a part of the capture). The capture is made here: 60,000 connections of mixed clients from
 * 20,000 sources, one exchange each. Median and range of five runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../harness/capture.h"
#include "../harness/connection.h"
#include "../harness/hello_build.h"
#include "agent/hello_line.h"
#include "agent/replay.h"

#define CONNECTIONS	   60000
#define KERNEL_CONNECTIONS 6000
#define RUNS		   5

static char path[] = "/tmp/farmgate-bench.XXXXXX", part[] = "/tmp/farmgate-bench.XXXXXX";
static struct fg_dump *dump;
static uint64_t n_frames;

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	unlink(path);
	unlink(part);
	exit(1);
}

static void write_frame(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)ctx;
	n_frames++;
	fg_dump_write(dump, time_ns, frame, len);
}

static uint64_t make(const char *to, uint32_t connections)
{
	static uint8_t hello[FG_HELLO_BUILD_MAX];
	void (*const kinds[])(struct fg_hello_desc *, const char *) = {
		fg_hello_browser, fg_hello_browser_plain, fg_hello_tool,
		fg_hello_library, fg_hello_tls12,
	};

	n_frames = 0;
	if (fg_dump_open(to, FG_LINK_ETHERNET, 1000, 0, &dump))
		die("no room for the capture");
	for (uint32_t i = 0; i < connections; i++) {
		struct fg_end client = fg_end_of("10.0.0.0", (uint16_t)(1024 + i / 20000));
		struct fg_hello_desc d;
		struct fg_conn c;

		client.addr[14] = (uint8_t)(i % 20000 >> 8);
		client.addr[15] = (uint8_t)(i % 20000);
		kinds[i % 5](&d, "api.example.com");
		fg_conn_init(&c, client, fg_end_of("192.0.2.1", 443),
			     1777593600000000000ULL + i * 1000000ULL, write_frame, NULL);
		c.hello = hello;
		c.hello_len = fg_hello_stream(&d, hello, sizeof(hello));
		fg_conn_run(&c);
		fg_conn_done(&c);
	}
	if (fg_dump_close(dump) < 0)
		die("the capture cannot be written");
	return n_frames;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void read_alone(const char *from)
{
	struct fg_capture_frame f;
	struct fg_capture *c;
	char why[256];

	if (fg_capture_open(from, &c, why, sizeof(why)))
		die(why);
	while (fg_capture_next(c, &f) == 1)
		;
	fg_capture_close(&c);
}

static void whole_agent(const char *from, const struct fg_engine_ops *engine)
{
	struct fg_replay_conf rc = { .path = from, .engine = engine, .table_bytes = 64 << 20 };
	struct fg_core core;
	struct fg_conf conf;
	char why[512] = "";

	fg_conf_init(&conf);
	if (fg_core_open(&core, &conf, NULL, 0, why, sizeof(why)) ||
	    fg_replay(&core, &rc, why, sizeof(why)))
		die(why);
	fg_core_close(&core);
	fg_conf_done(&conf);
}

static void name_hello(void *arg, const struct fg_sample *sample)
{
	struct fg_hello_line line;

	if (!fg_hello_line_of(sample, false, &line))
		++*(uint64_t *)arg;
}

static void hellos_alone(const char *from)
{
	uint64_t hellos = 0;
	struct fg_replay_conf rc = {
		.path = from,
		.engine = &fg_engine_host,
		.table_bytes = 64 << 20,
		.any_port = true,
		.on_hello = name_hello,
		.arg = &hellos,
	};
	struct fg_core core;
	struct fg_conf conf;
	char why[512] = "";

	fg_conf_init(&conf);
	if (fg_core_open(&core, &conf, NULL, 0, why, sizeof(why)) ||
	    fg_replay(&core, &rc, why, sizeof(why)) || hellos != CONNECTIONS)
		die(why[0] ? why : "not every hello was named");
	fg_core_close(&core);
	fg_conf_done(&conf);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void host_engine(const char *from)
{
	whole_agent(from, &fg_engine_host);
}

static void kernel_engine(const char *from)
{
	whole_agent(from, &fg_engine_kernel);
}

static double row(const char *what, const char *from, uint64_t frames,
		  void (*run)(const char *from), double reading)
{
	double rate[RUNS];

	for (int i = 0; i < RUNS; i++) {
		double start = now();

		run(from);
		rate[i] = (double)frames / (now() - start) / 1e6;
	}
	qsort(rate, RUNS, sizeof(*rate), by_size);
	printf("%-34s %6.2f M frames/s  (%.2f to %.2f)", what, rate[RUNS / 2], rate[0],
	       rate[RUNS - 1]);
	if (reading > 0)
		printf("  %.2f of reading alone", rate[RUNS / 2] / reading);
	putchar('\n');
	fflush(stdout);
	return rate[RUNS / 2];
}

int main(void)
{
	uint64_t frames, few;
	double reading, rate;

	close(mkstemp(path));
	close(mkstemp(part));
	frames = make(path, CONNECTIONS);
	few = make(part, KERNEL_CONNECTIONS);
	printf("%llu frames, %d connections\n", (unsigned long long)frames, CONNECTIONS);
	reading = row("reading alone", path, frames, read_alone, 0);
	rate = row("hellos named, host engine", path, frames, hellos_alone, reading);
	printf("  that is %.0f k hellos/s\n", rate * 1000 * CONNECTIONS / (double)frames);
	row("whole agent, host engine", path, frames, host_engine, reading);
	if (!geteuid())
		row("whole agent, kernel engine", part, few, kernel_engine, reading);
	unlink(path);
	unlink(part);
	return 0;
}
