/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What guards cost: a plan of 25,000 and of 100,000 verdicts on a model of a million sources with a client
 * each, with 300,000 prefixes in an allow file. First: nothing was looked up before. Another verdict: the
 * store has changed, what is known of sources is still fresh. A minute later: everything is looked up anew,
 * and everybody's activity counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/core.h"

#define SOURCES	 1000000U
#define AN_EPOCH 10000U
#define S	 1000000000ULL
#define START_NS (20500 * 86400 * S)
/* Nine in ten verdicts are on sources all over the table, as a farm's are. */
#define STRIDE 9U

static struct fg_conf conf;
static struct fg_core core;
static uint64_t now_ns = START_NS;
static char allow_path[] = "/tmp/farmgate-bench-allow.XXXXXX";
static struct {
	struct fg_epoch_source sources[AN_EPOCH];
	struct fg_epoch_client clients[AN_EPOCH];
} rows;

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

/* Of the processor: what else runs on this machine is not ours to say. */
static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void address(uint32_t i, uint8_t addr[16])
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	i = __builtin_bswap32(i * 2654435761U);
	memcpy(addr + 12, &i, 4);
}

static void fill_model(void)
{
	for (uint32_t from = 0; from < SOURCES; from += AN_EPOCH) {
		struct fg_epoch e = { .start_ns = now_ns,
				      .end_ns = now_ns + S,
				      .sources = rows.sources,
				      .n_sources = AN_EPOCH,
				      .clients = rows.clients,
				      .n_clients = AN_EPOCH };

		for (uint32_t i = 0; i < AN_EPOCH; i++) {
			rows.sources[i] =
				(struct fg_epoch_source){ .connections = 20, .proven = 20 };
			rows.clients[i] = (struct fg_epoch_client){ .stem = 1 + (from + i) % 40,
								    .stack = 5,
								    .print = 1,
								    .connections = 20 };
			address(from + i, rows.sources[i].addr);
			address(from + i, rows.clients[i].addr);
		}
		if (fg_model_apply(core.model, &e))
			die("no memory");
		now_ns += S;
	}
}

static void flag(uint32_t from, uint32_t to)
{
	static const struct fg_names names = { "-", "-", "-" };
	struct fg_finding f = {
		.stack = 5,
		.cohort = 7,
		.score = 20,
		.proven = true,
		.n_evidence = 1,
		.evidence[0] = { .name = "test", .n_benign = 1 },
	};

	if (fg_store_begin(core.store))
		die("the store does not write");
	for (uint32_t i = from; i < to; i++) {
		f.stem = 1 + i * STRIDE % 40;
		address(i * STRIDE, f.source);
		if (fg_store_note(core.store, &f, &names, true, 24 * 3600, now_ns) < 0)
			die("the store does not note");
	}
	if (fg_store_commit(core.store))
		die("the store does not write");
}

static void write_allow(void)
{
	int fd = mkstemp(allow_path);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	for (uint32_t i = 0; out && i < 300000; i++)
		fprintf(out, "2001:%x:%x::/48 relay egress\n", 0x100 + (i >> 12), i & 4095);
	if (!out || fclose(out))
		die("the allow file cannot be written");
}

static double refresh(void)
{
	double begin = now_ms();

	if (fg_guards_refresh(&core.guards, now_ns))
		die("no memory");
	return now_ms() - begin;
}

static void measure(uint32_t n, uint32_t more)
{
	double first, another, minute;

	now_ns += 61 * S;
	first = refresh();
	flag(n, n + more);
	another = refresh();
	now_ns += 61 * S;
	minute = refresh();
	printf("guards: %u verdicts of %u sources: first %.0f ms, another verdict %.0f ms, a minute "
	       "later %.0f ms; %llu leave, %llu are held back\n",
	       n, SOURCES, first, another, minute,
	       (unsigned long long)core.guards.plan->report.blocks,
	       (unsigned long long)core.guards.plan->report.held[FG_GUARD_holdback]);
}

int main(void)
{
	char why[256] = "";

	fg_conf_init(&conf);
	write_allow();
	conf.allow_files[conf.n_allow_files++] = strdup(allow_path);
	conf.guards.max_blocks = FG_MAX_VERDICTS;
	if (fg_core_open(&core, &conf, NULL, now_ns, why, sizeof(why)))
		die(why);
	fill_model();
	flag(0, 25000);
	measure(25000, 1);
	flag(25001, 99999);
	measure(99999, 1);
	fg_core_close(&core);
	fg_conf_done(&conf);
	unlink(allow_path);
	return 0;
}
