/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the memory of sources and clients costs: 200,000 sources with 400,000 clients of a few
 * exchanges, kept in a file, read back, kept in turns while all of them are active once an hour, and
 * under floods of sources that are new each second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/memory.h"
#include "model/remember.h"

#define SOURCES	 200000U
#define CLIENTS	 (2 * SOURCES)
#define AN_EPOCH 2000U /* sources that are filled in with one */
#define S	 1000000000ULL
#define START_NS (20500 * FG_DAY_NS)

static char dir[] = "/tmp/farmgate-bench.XXXXXX";
static struct fg_store *store;
static struct fg_model *model;
static struct fg_memory memory;
static uint64_t now_ns = START_NS;
static struct {
	struct fg_epoch_source sources[10000];
	struct fg_epoch_client clients[20000];
	struct fg_epoch_print prints[16];
	struct fg_epoch_flow flows[20000];
	struct fg_epoch e;
} row;

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double file_mb(const char *name)
{
	struct stat st = { 0 };
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	stat(path, &st);
	return (double)st.st_size / 1e6;
}

static double anonymous_mb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	double kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "RssAnon:", 8))
			kb = atof(line + 8);
	if (f)
		fclose(f);
	return kb / 1024;
}

static void open_all(void)
{
	struct fg_model_limits limits = { .sources = 1000000,
					  .clients = 2000000,
					  .fingerprints = 65536 };
	char why[256] = "";
	uint32_t hour;

	if (fg_store_open(dir, now_ns, &store, why, sizeof(why)))
		die(why);
	if (fg_memory_seed(store, limits.seed) || fg_model_new(&limits, &model) ||
	    fg_memory_open(&memory, store, model, now_ns, &hour))
		die("the memory does not open");
}

static void close_all(void)
{
	fg_model_free(&model);
	fg_store_close(&store);
}

static void address(uint32_t i, uint8_t addr[16])
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	i = __builtin_bswap32(i * 2654435761U);
	memcpy(addr + 12, &i, 4);
}

/* One client of the two of a source, in one connection of two exchanges. */
static void add_client(uint32_t source, uint32_t which)
{
	uint64_t stem = 0x9e3779b97f4a7c15ULL * (1 + (source + 7 * which) % 40);
	uint64_t stack = 0x8000fa5510120000ULL + source % 3;
	struct fg_epoch_client *c = &row.clients[row.e.n_clients++];
	struct fg_epoch_flow *f = &row.flows[row.e.n_flows++];
	uint32_t rtt_us = 20000 + source % 50000;

	*c = (struct fg_epoch_client){
		.stem = stem, .stack = stack, .print = stem + 1, .connections = 1
	};
	*f = (struct fg_epoch_flow){
		.stem = stem,
		.stack = stack,
		.bytes_in = 5000 + source % 9000,
		.bytes_out = 20000 + source % 70000,
		.exchanges = 2,
		.news = FG_NEWS_OPENED | FG_NEWS_TIMES | FG_NEWS_CLOSED,
		.opened_ns = now_ns,
		.print = stem + 1,
		.order = source % 7 ? 1 : source,
		.ttl = 57,
		.has_tsval = true,
		.tsval = source * 77,
		.tsval_ns = now_ns,
		.n_rtts = 1,
		.rtt_us = rtt_us,
		.turn_us = rtt_us + 4000,
		.hello_delay_us = 900,
		.closed_by = FG_CLOSE_CLIENT_FIN,
		.idle_ms = 4000,
		.n_turns = 2,
		.turns = { { now_ns, (uint16_t)(source % 4000), 20, 1500 },
			   { now_ns + 30 * S, (uint16_t)(source % 3000), 30, 2500 } },
	};
	address(source, c->addr);
	address(source, f->addr);
}

static void add_source(uint32_t source, bool clients)
{
	struct fg_epoch_source *s = &row.sources[row.e.n_sources++];

	*s = (struct fg_epoch_source){ .syns = 2, .connections = 2, .proven = 2, .hellos = 2 };
	address(source, s->addr);
	if (!clients)
		return;
	add_client(source, 0);
	add_client(source, 1);
}

static void begin(uint64_t lasts_ns)
{
	memset(&row.e, 0, sizeof(row.e));
	row.e.sources = row.sources;
	row.e.clients = row.clients;
	row.e.flows = row.flows;
	row.e.start_ns = now_ns;
	now_ns += lasts_ns;
	row.e.end_ns = now_ns;
}

static void apply(void)
{
	if (fg_model_apply(model, &row.e))
		die("no memory");
}

/* Three days of every client, so that most of what can be known of it is. */
static void fill(void)
{
	for (int visit = 0; visit < 6; visit++) {
		for (uint32_t i = 0; i < SOURCES; i += AN_EPOCH) {
			begin(S);
			for (uint32_t k = 0; k < AN_EPOCH; k++)
				add_source(i + k, true);
			apply();
		}
		now_ns += FG_DAY_NS / 2;
	}
	if (fg_memory_step(&memory, now_ns, 0))
		die(fg_store_error(store));
}

static void save_and_load(void)
{
	double start = now(), saved, mb;
	uint64_t rows;

	if (fg_memory_save(&memory, 0))
		die("nothing was saved");
	saved = now() - start;
	rows = memory.written;
	if (fg_store_n_summaries(store) < SOURCES + CLIENTS)
		die("summaries are missing");
	close_all();
	mb = file_mb("farmgate.db");
	printf("everything saved    %7.0f ms  %llu rows, %.2f us each; file %.1f MB, %.0f B a row\n",
	       saved * 1e3, (unsigned long long)rows, saved * 1e6 / (double)rows, mb,
	       mb * 1e6 / (double)rows);
	start = now();
	open_all();
	saved = now() - start;
	if (fg_model_n_sources(model) != SOURCES || fg_model_n_clients(model) != CLIENTS)
		die("rows were not read back");
	printf("everything read     %7.0f ms  %.2f us a row; %.0f MB anonymous with it\n",
	       saved * 1e3, saved * 1e6 / (double)rows, anonymous_mb());
}

/* What an epoch of a second has to do, in ms. */
struct cost {
	double worst, sum, cpu;
	unsigned int n;
};

static void step(struct cost *cost)
{
	double start = now(), used = cpu(), ms;

	if (fg_memory_step(&memory, now_ns, (uint32_t)(now_ns / FG_SAVE_TURN_NS)))
		die(fg_store_error(store));
	ms = (now() - start) * 1e3;
	cost->cpu += cpu() - used;
	cost->sum += ms;
	cost->worst = ms > cost->worst ? ms : cost->worst;
	cost->n++;
}

static void tell(const char *what, const struct cost *cost)
{
	printf("%-19s %7.2f ms worst, %.2f mean, %.4f core; %.1f MB of log\n", what, cost->worst,
	       cost->sum / cost->n, cost->cpu / cost->n, file_mb("farmgate.db-wal"));
}

/* Everybody comes once an hour. */
static void turns(void)
{
	struct cost cost = { 0 };
	uint32_t next = 0;

	for (int second = 0; second < 7200; second++) {
		begin(S);
		for (uint32_t end = (uint32_t)((uint64_t)SOURCES * (second % 3600 + 1) / 3600);
		     next < end; next++)
			add_source(next, true);
		next = next == SOURCES ? 0 : next;
		apply();
		step(&cost);
	}
	tell("an hour's turn", &cost);
}

/* So many sources that were never seen, each second; each is looked up, up to the limit. */
static void flood(uint32_t n)
{
	struct cost cost = { 0 };
	double apply_worst = 0, start;
	static uint32_t next = 1U << 24;
	char what[32];

	for (int second = 0; second < 60; second++) {
		begin(S);
		for (uint32_t k = 0; k < n; k++)
			add_source(next++, false);
		start = now();
		apply();
		start = (now() - start) * 1e3;
		apply_worst = start > apply_worst ? start : apply_worst;
		step(&cost);
	}
	snprintf(what, sizeof(what), "%u new a second", n);
	tell(what, &cost);
	printf("  with look-ups, the epoch itself took %.1f ms at worst; %llu were not looked up\n",
	       apply_worst, (unsigned long long)fg_model_refused(model).recalls);
}

int main(void)
{
	char path[128];

	if (!mkdtemp(dir))
		die("no folder");
	open_all();
	fill();
	printf("%u sources, %u clients; model %.0f MB\n", SOURCES, CLIENTS, anonymous_mb());
	save_and_load();
	turns();
	flood(1000);
	flood(10000);
	close_all();
	snprintf(path, sizeof(path), "%s/farmgate.db", dir);
	unlink(path);
	rmdir(dir);
	return 0;
}
