/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an hour of detection costs when every table is full: the pass over all cells of all kinds, the
 * tests that are asked once a day, and sketches by themselves. CPU time; median and range of five rounds.
 *
 * The world: 98,304 clients of 4,096 stems, each stem in a network, on a stack and with a prefix of its own
 * and 24 clients that are active in every hour: the cells of five kinds are all there, and none is small.
 * Of the sixth, shapes, there are no more than 64.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "detect/cohort.h"
#include "detect/thresholds.h"
#include "farmgate/stack.h"
#include "farmgate/turn_shape.h"
#include "lib/hll.h"
#include "lib/minhash.h"
#include "packet.h"

#define ROUNDS	 5
#define STEMS	 4096
#define EACH	 24
#define CLIENTS	 (STEMS * EACH)
#define HOUR_NS	 3600000000000ULL
#define START_NS (20500 * FG_DAY_NS)

static struct fg_prng rng = { 1 };

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

/* Of this program, which has one thread: who else runs does not count. */
static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print(const char *what, double *v, const char *unit)
{
	qsort(v, ROUNDS, sizeof(*v), by_size);
	printf("%-52s %8.2f %s  (%.2f to %.2f)\n", what, v[ROUNDS / 2], unit, v[0], v[ROUNDS - 1]);
}

/* --- The pass over all cells ------------------------------------------------------------------ */

static struct {
	struct fg_epoch_source *sources;
	struct fg_epoch_client *clients;
	struct fg_epoch_flow *flows;
} rows;

static uint64_t stack_of(uint32_t i)
{
	static const uint32_t windows[] = { 64240, 65535, 29200, 8192 };

	return FG_STACK_VALID | windows[i % 4] | 1ULL << 16 | (i & 4 ? 12ULL : 7ULL) << 18 |
	       (uint64_t)(2 | 4 << 3 | 5 << 6 | 1 << 9 | 3 << 12) << 30;
}

/* Stem s has clients in EACH networks of its own neighbourhood: a cell of each network and stem is too
 * small, one of every prefix has EACH clients. */
static void make_client(uint32_t i, uint64_t hour_ns)
{
	struct fg_epoch_flow *f = &rows.flows[i];
	uint64_t stem = 0x5000 + i / EACH;
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };
	uint32_t net = i / EACH, up = 1U << (8 + i % 12);

	addr[12] = (uint8_t)(11 + (net >> 8));
	addr[13] = (uint8_t)net;
	addr[14] = 7;
	addr[15] = (uint8_t)(i % EACH);
	memset(f, 0, sizeof(*f));
	rows.sources[i] = (struct fg_epoch_source){ .proven = 1, .connections = 1, .hellos = 1 };
	rows.clients[i] = (struct fg_epoch_client){
		.stem = stem, .stack = stack_of(net), .print = stem, .connections = 1
	};
	memcpy(rows.sources[i].addr, addr, 16);
	memcpy(rows.clients[i].addr, addr, 16);
	memcpy(f->addr, addr, 16);
	*f = (struct fg_epoch_flow){ .stem = stem,
				     .stack = rows.clients[i].stack,
				     .print = stem,
				     .bytes_in = up,
				     .exchanges = 1,
				     .news = FG_NEWS_OPENED | FG_NEWS_TIMES,
				     .opened_ns =
					     hour_ns + fg_prng_below(&rng, 3600) * 1000000000ULL,
				     .n_rtts = 2,
				     .rtt_us = 40000,
				     .turn_us = 45000 + (i % 30 ? 0 : 90000),
				     .n_turns = 1 };
	memcpy(f->addr, addr, 16);
	f->turns[0] = (struct fg_epoch_turn){ .start_ns = f->opened_ns,
					      .shape = fg_turn_shape(up, 5000, 4000, 900) };
}

static void live_hour(struct fg_model *model, uint32_t h)
{
	struct fg_epoch e = { .start_ns = START_NS + h * HOUR_NS,
			      .end_ns = START_NS + (h + 1) * HOUR_NS - 1,
			      .sources = rows.sources,
			      .n_sources = CLIENTS,
			      .clients = rows.clients,
			      .n_clients = CLIENTS,
			      .flows = rows.flows,
			      .n_flows = CLIENTS };

	for (uint32_t i = 0; i < CLIENTS; i++)
		make_client(i, e.start_ns);
	if (fg_model_apply(model, &e))
		die("no memory");
}

static void print_cells(const struct fg_cohorts *cohorts)
{
	const struct fg_cells *cells = fg_cohorts_cells(cohorts);
	size_t all = 0, tested = fg_cohorts_state(cohorts).tested;

	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		all += fg_cells_n(cells, (enum fg_cell_kind)kind);
	printf("%-52s %8zu cells, %zu of them tested, of %d clients\n", "the last pass", all,
	       tested, CLIENTS);
	printf("%-52s %8.1f MB\n", "tables of cells and weeks",
	       ((double)fg_cells_bytes(cells) - (double)fg_cohorts_state(cohorts).sketch_bytes) /
		       1e6);
	printf("%-52s %8.1f MB\n", "how far stems reach, as here",
	       (double)fg_cohorts_state(cohorts).sketch_bytes / 1e6);
}

/* A network of its own for each stem, so that there is a class to each. */
static struct fg_networks *make_networks(void)
{
	struct fg_networks_report report;
	struct fg_networks *networks;
	char *text = malloc(STEMS * 64 + 1), why[128];
	size_t n = 0;

	if (!text)
		die("no memory");
	for (uint32_t i = 0; i < STEMS; i++)
		n += (size_t)sprintf(text + n, "%u.%u.7.0/24\t%u\tres\tDE\n", 11 + (i >> 8),
				     i & 255, 64512 + i);
	if (fg_networks_parse(text, n, "networks", &networks, &report, why, sizeof(why)))
		die(why);
	free(text);
	return networks;
}

static void bench_pass(void)
{
	struct fg_networks *networks = make_networks();
	const struct fg_model_limits limits = { .sources = CLIENTS,
						.clients = CLIENTS,
						.fingerprints = 65536,
						.window_ns = 60000000000ULL };
	struct fg_cohorts *cohorts;
	struct fg_model *model;
	double ms[ROUNDS];

	rows.sources = calloc(CLIENTS, sizeof(*rows.sources));
	rows.clients = calloc(CLIENTS, sizeof(*rows.clients));
	rows.flows = calloc(CLIENTS, sizeof(*rows.flows));
	if (!rows.sources || !rows.clients || !rows.flows || fg_model_new(&limits, &model) ||
	    fg_cohorts_new(&cohorts))
		die("no memory");
	for (uint32_t h = 0; h < 8 + ROUNDS; h++) {
		double start;

		live_hour(model, h);
		start = now();
		if (fg_cohorts_hour(cohorts, model, networks, &fg_detect_defaults,
				    (uint32_t)(START_NS / HOUR_NS) + h))
			die("no memory");
		if (h >= 8)
			ms[h - 8] = (now() - start) * 1e3;
		fg_model_begin_hour(model);
	}
	print("an hour: clients counted, all cells tested, learned", ms, "ms");
	print_cells(cohorts);
	fg_model_free(&model);
	fg_cohorts_free(&cohorts);
	fg_networks_free(&networks);
	free(rows.sources);
	free(rows.clients);
	free(rows.flows);
}

/* --- Asked once a day ------------------------------------------------------------------------- */

static void bench_handover(void)
{
	struct fg_move *m = calloc(FG_DAILY_CLIENTS, sizeof(*m));
	struct fg_handover h;
	double ms[ROUNDS];

	if (!m)
		die("no memory");
	for (uint32_t i = 0; i < FG_DAILY_CLIENTS; i++)
		m[i] = (struct fg_move){
			.network = fg_prng_below(&rng, 4000),
			.start_s = i % 2 ? (int32_t)fg_prng_below(&rng, 86400) : FG_HANDOVER_NOT,
			.stop_s = i % 2 ? FG_HANDOVER_NOT : (int32_t)fg_prng_below(&rng, 86400),
			.shape = (uint8_t)(i % 5),
		};
	for (int r = 0; r < ROUNDS; r++) {
		double start = now();

		if (fg_handover_test(m, FG_DAILY_CLIENTS, &h))
			die("no memory");
		ms[r] = (now() - start) * 1e3;
	}
	print("hand-over, 25,000 stops and starts", ms, "ms");
	free(m);
}

/* Half in batches, so that groups are looked for. */
static void bench_lockstep(void)
{
	struct fg_step *s = calloc(FG_DAILY_CLIENTS, sizeof(*s));
	uint32_t *groups = calloc(FG_DAILY_CLIENTS, sizeof(*groups));
	struct fg_lockstep l = { 0 };
	double ms[ROUNDS];

	if (!s || !groups)
		die("no memory");
	for (uint32_t i = 0; i < FG_DAILY_CLIENTS; i++) {
		s[i] = (struct fg_step){ .shape = (uint8_t)(i % 5),
					 .source = i + 1,
					 .client = i + 1 };
		for (int k = 0; k < 26; k++) {
			uint32_t q = i % 2 ? (i % 50 * 7 + (uint32_t)k * 11) % 96 :
					     fg_prng_below(&rng, 96);

			if (fg_prng_below(&rng, 8))
				s[i].quarters[q / 32] |= 1U << q % 32;
		}
	}
	for (int r = 0; r < ROUNDS; r++) {
		double start = now();

		if (fg_lockstep_test(s, FG_DAILY_CLIENTS, (uint64_t)r, groups, &l))
			die("no memory");
		ms[r] = (now() - start) * 1e3;
	}
	print("lockstep, 50,000 clients, half in batches", ms, "ms");
	if (!l.groups)
		die("no group was found");
	free(s);
	free(groups);
}

/* --- Sketches --------------------------------------------------------------------------------- */

#define ADDS   2000000
#define MERGES 2000

static void bench_hll_add(const char *what, uint32_t sketches, uint32_t distinct)
{
	struct fg_hll *h = calloc(sketches, sizeof(*h));
	double ns[ROUNDS], bytes = 0;

	if (!h)
		die("no memory");
	for (uint64_t i = 0; i < (uint64_t)sketches * distinct; i++)
		fg_hll_add(&h[i % sketches], fg_prng_next(&rng), NULL);
	for (int r = 0; r < ROUNDS; r++) {
		double start = now();

		for (uint32_t i = 0; i < ADDS; i++) {
			uint64_t hash = fg_prng_next(&rng);

			/* known ones where it is sparse, so that it stays so */
			if (distinct <= FG_HLL_SPARSE)
				hash = ((const uint32_t *)h[hash % sketches].at)[0] >> 6;
			fg_hll_add(&h[hash % sketches], hash, NULL);
		}
		ns[r] = (now() - start) * 1e9 / ADDS;
	}
	print(what, ns, "ns");
	for (uint32_t i = 0; i < sketches; i++) {
		bytes += (double)fg_hll_bytes(&h[i]);
		fg_hll_clear(&h[i], NULL);
	}
	free(h);
}

static void fill(struct fg_hll *h, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		fg_hll_add(h, fg_prng_next(&rng), NULL);
}

static void bench_hll_pair(const char *what, uint32_t n, bool count)
{
	struct fg_hll a = { 0 }, b = { 0 };
	double ns[ROUNDS], sum = 0;

	fill(&a, n);
	fill(&b, n);
	for (int r = 0; r < ROUNDS; r++) {
		double start = now();

		for (int i = 0; i < MERGES; i++) {
			if (count)
				sum += fg_hll_count_both(&a, &b);
			else
				fg_hll_merge(&a, &b, NULL);
		}
		ns[r] = (now() - start) * 1e9 / MERGES;
	}
	if (count && !(sum > 0))
		die("nothing was counted");
	print(what, ns, "ns");
	fg_hll_clear(&a, NULL);
	fg_hll_clear(&b, NULL);
}

static void bench_minhash(void)
{
	struct fg_minhash_family family;
	struct fg_minhash s;
	double ns[ROUNDS];

	fg_minhash_family(1, &family);
	for (int r = 0; r < ROUNDS; r++) {
		double start = now();

		fg_minhash_begin(&s);
		for (uint64_t i = 0; i < ADDS / 10; i++)
			fg_minhash_add(&family, &s, i);
		ns[r] = (now() - start) * 1e9 / (ADDS / 10.0);
	}
	if (s.low[0] == UINT32_MAX)
		die("nothing was added");
	print("MinHash of 60, an element", ns, "ns");
}

/* What can be there at once; cells are no sketches and are told above. */
static void print_memory(void)
{
	struct fg_reach *reach;
	double rest, stems, reaches, steps, daily;

	if (fg_reach_new(FG_CELLS_KEPT + 1, &reach))
		die("no memory");
	reaches = (double)fg_reach_bytes(reach) + FG_REACH_BYTES;
	fg_reach_free(&reach);
	stems = (double)fg_stems_bytes(FG_DEFAULT_STEMS);
	steps = (double)fg_lockstep_bytes();
	daily = FG_DAILY_CLIENTS *
		(double)(sizeof(struct fg_minhash) + sizeof(struct fg_step) + 48);
	rest = reaches + stems + steps + daily;
	printf("%-52s %8.1f MB\n", "reach of 4,096 stems, at its bound", reaches / 1e6);
	printf("%-52s %8.1f MB\n", "stems (quantiles, stacks)", stems / 1e6);
	printf("%-52s %8.1f MB\n", "clients in lockstep", steps / 1e6);
	printf("%-52s %8.1f MB\n", "MinHash of 50,000 clients, while asked", daily / 1e6);
	printf("%-52s %8.1f MB  (budget 64)\n", "all sketches, at most", rest / 1e6);
}

int main(void)
{
	bench_pass();
	bench_handover();
	bench_lockstep();
	bench_hll_add("HyperLogLog add, sparse, 4,096 of 500 in turn", 4096, 500);
	bench_hll_add("HyperLogLog add, dense, one", 1, 100000);
	bench_hll_add("HyperLogLog add, dense, 1,024 at random", 1024, 1100);
	bench_hll_pair("HyperLogLog merge, dense", 50000, false);
	bench_hll_pair("HyperLogLog count of two, dense", 50000, true);
	bench_hll_pair("HyperLogLog count of two, 500 each", 500, true);
	bench_minhash();
	print_memory();
	return 0;
}
