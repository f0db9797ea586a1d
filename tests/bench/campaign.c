/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Both levels of the simulated campaign without the agent: connections a second as epochs of a
 * minute, frames a second as bytes in memory. Two million connections of mixed clients, one to three
 * exchanges each, forty a second. Median and range of five runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "campaign/epochs.h"
#include "campaign/packets.h"

#define CONNECTIONS 2000000
#define FRAMES_OF   200000
#define RUNS	    5

static const uint64_t seed[4] = { 1, 2, 3, 4 };
static struct cg_hello hellos[5];
static struct cg_stack stack = { .name = "linux",
				 .window = 64240,
				 .mss = 1460,
				 .n_options = 20,
				 .ts_off = 8 };

static void server_of(const uint8_t source[16], uint8_t server, uint8_t ret_addr[16])
{
	(void)source;
	memcpy(ret_addr, fg_end_of("198.51.100.1", 443).addr, 16);
	ret_addr[15] = (uint8_t)(ret_addr[15] + server);
}

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

static void make(struct cg_connection *c, uint32_t i)
{
	uint64_t at;

	*c = (struct cg_connection){ .closer = CG_CLOSE_CLIENT_FIN };
	c->syn_ns = CG_START_NS + i * 25000000ULL;
	c->source[10] = c->source[11] = 0xff;
	c->source[12] = 10;
	c->source[13] = (uint8_t)(i % 20000 >> 8);
	c->source[14] = (uint8_t)(i % 20000);
	c->actor = i % 20000;
	c->port = (uint16_t)i;
	c->hello = (uint16_t)(i % 5);
	c->ttl = 52;
	c->has_tsval = true;
	c->rtt_us = 30000;
	c->hello_delay_us = 1000;
	c->turn_us = 33000;
	c->n_exchanges = (uint8_t)(1 + i % 3);
	at = c->syn_ns + 100000000;
	for (int k = 0; k < c->n_exchanges; k++, at += 10000000000ULL)
		c->exchanges[k] = (struct cg_exchange){ .start_ns = at,
							.up_bytes = 6000,
							.down_bytes = 12000,
							.first_ms = 900,
							.lasted_ms = 4000,
							.chunks = 40 };
	c->close_ns = at;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t as_epochs(void)
{
	const struct cg_epochs_conf ec = { .epoch_ns = 60000000000ULL, .server = server_of };
	struct cg_epochs *epochs;
	struct cg_connection c;
	struct fg_epoch epoch;
	struct cg_keys *keys;
	uint64_t hellos_told = 0;

	if (cg_keys_new(hellos, 5, &stack, 1, seed, &keys) || cg_epochs_new(&ec, keys, &epochs))
		die("no memory");
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		make(&c, i);
		while (cg_epochs_end(epochs, c.syn_ns, &epoch) == 1)
			hellos_told += epoch.n_clients;
		if (cg_epochs_add(epochs, &c))
			die("an epoch refused a connection");
	}
	if (hellos_told < CONNECTIONS / 10 * 9)
		die("hellos are missing");
	cg_epochs_free(&epochs);
	cg_keys_free(&keys);
	return CONNECTIONS;
}

static int count(void *arg, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)time_ns;
	*(uint64_t *)arg += frame[len - 1] & 1;
	return 0;
}

static uint64_t as_frames(void)
{
	uint64_t odd = 0, n;
	const struct cg_packets_conf pc = { .server = server_of, .emit = count, .arg = &odd };
	struct cg_packets *packets;
	struct cg_connection c;
	struct cg_keys *keys;

	if (cg_keys_new(hellos, 5, &stack, 1, seed, &keys) || cg_packets_new(&pc, keys, &packets))
		die("no memory");
	for (uint32_t i = 0; i < FRAMES_OF; i++) {
		make(&c, i);
		if (cg_packets_add(packets, &c))
			die("no frames");
	}
	if (cg_packets_finish(packets) || !odd)
		die("no frames");
	n = cg_packets_frames(packets);
	cg_packets_free(&packets);
	cg_keys_free(&keys);
	return n;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void row(const char *what, uint64_t (*run)(void))
{
	double rate[RUNS];

	for (int i = 0; i < RUNS; i++) {
		double start = now();
		uint64_t n = run();

		rate[i] = (double)n / (now() - start) / 1e6;
	}
	qsort(rate, RUNS, sizeof(*rate), by_size);
	printf("%-34s %6.2f M/s  (%.2f to %.2f)\n", what, rate[RUNS / 2], rate[0], rate[RUNS - 1]);
}

int main(void)
{
	void (*const kinds[])(struct fg_hello_desc *, const char *) = {
		fg_hello_browser, fg_hello_browser_plain, fg_hello_tool,
		fg_hello_library, fg_hello_tls12,
	};
	static const uint8_t syn[20] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0,
					 0, 0, 0,    0,	   0, 0, 1, 3,	3, 7 };

	memcpy(stack.options, syn, sizeof(syn));
	for (int i = 0; i < 5; i++) {
		hellos[i].name = "client";
		kinds[i](&hellos[i].desc, "api.example.com");
	}
	row("connections as epochs", as_epochs);
	row("frames", as_frames);
	return 0;
}
