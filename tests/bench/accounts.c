/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The application feed at its limits: lines read a second, messages added a second, and one judgement of
 * full tables (half a million accounts and clients, a million pairs). Accounts are told of in random
 * order on random clients: no cache helps. Median and range of five runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "detect/accounts.h"
#include "model/accounts.h"
#include "packet.h"
#include "serve/feed_line.h"

#define LINES 200000
#define RUNS  5
#define NOW   (1795435200ULL * 1000000000ULL)
/* A farm among them: so many accounts on so many exits, each on so many. */
#define FARM	   25000
#define FARM_POOL  5000
#define FARM_EXITS 10

static struct fg_model *model;

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

static double read_lines(void)
{
	static const char text[] =
		"{\"client\":\"203.0.113.7:51234\",\"server\":"
		"\"198.51.100.10:443\",\"account\":\"9f86d081884c7d659a2feaa0c55a"
		"d015\",\"outcome\":\"ok\",\"age\":\"week\"}";
	const uint64_t seed[2] = { 1, 2 };
	double begin = now();
	struct fg_feed_line line;
	char why[256];

	for (int i = 0; i < LINES; i++)
		if (fg_feed_parse(text, sizeof(text) - 1, seed, &line, why, sizeof(why)) >= 0)
			die(why);
	return LINES / (now() - begin);
}

static void push(struct fg_accounts *a, uint64_t account, uint32_t client)
{
	struct fg_account_push p = { .key = (account + 1) * 0x9e3779b97f4a7c15ULL,
				     .source = { [10] = 0xff, 0xff },
				     .stem = 1 + client % 50,
				     .stack = 1,
				     .age = account < FARM ? FG_AGE_DAY : FG_AGE_OLD };

	for (int i = 0; i < 4; i++)
		p.source[12 + i] = (uint8_t)(client * 2654435761U >> 8 * i);
	if (fg_accounts_push(a, &p, NOW) && fg_accounts_n_pairs(a) < FG_ACCOUNTS_MAX_PAIRS)
		die("a message was refused");
}

/* Messages a second until the pairs are full. */
static double fill(struct fg_accounts *a)
{
	struct fg_prng r = { 1 };
	double begin = now();
	uint64_t n = 0;

	for (uint32_t i = 0; i < FARM; i++)
		for (int k = 0; k < FARM_EXITS; k++, n++)
			push(a, i, fg_prng_below(&r, FARM_POOL));
	for (; fg_accounts_n_pairs(a) < FG_ACCOUNTS_MAX_PAIRS; n++) {
		uint32_t account = FARM + fg_prng_below(&r, FG_ACCOUNTS_MAX - FARM);
		/* at home, and on one of some places that 20 go to */
		uint32_t client = n % 2 ? FARM_POOL + account :
					  FARM_POOL + FARM + fg_prng_below(&r, 20000);

		push(a, account, client % FG_ACCOUNTS_MAX_CLIENTS);
	}
	return (double)n / (now() - begin);
}

static int count(const struct fg_finding *f, void *arg)
{
	*(size_t *)arg += f->cohort != 0;
	return 0;
}

static double judge(struct fg_accounts *a, size_t *ret_found)
{
	const struct fg_scene scene = { .model = model, .accounts = a };
	double begin;

	fg_accounts_epoch(a, NOW - 60000000000ULL);
	fg_accounts_epoch(a, NOW);
	*ret_found = 0;
	begin = now();
	if (fg_detect_accounts.run(&scene, &fg_detect_defaults, count, ret_found))
		die("the detector failed");
	return (now() - begin) * 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void tell(const char *what, double *values, const char *unit)
{
	qsort(values, RUNS, sizeof(*values), by_value);
	printf("%-34s %12.0f %s (%.0f to %.0f)\n", what, values[RUNS / 2], unit, values[0],
	       values[RUNS - 1]);
}

int main(void)
{
	const struct fg_model_limits limits = {
		.sources = 1000, .clients = 1000, .fingerprints = 100, .window_ns = 60000000000ULL
	};
	double lines[RUNS], messages[RUNS], judged[RUNS];
	size_t found = 0;

	if (fg_model_new(&limits, &model))
		die("no memory");
	for (int run = 0; run < RUNS; run++) {
		struct fg_accounts *a;

		if (fg_accounts_new(NULL, &a))
			die("no memory");
		lines[run] = read_lines();
		messages[run] = fill(a);
		judged[run] = judge(a, &found);
		if (!run)
			printf("%zu accounts, %zu clients, %zu pairs\n", fg_accounts_n(a),
			       fg_accounts_n_clients(a), fg_accounts_n_pairs(a));
		fg_accounts_free(&a);
	}
	tell("lines read", lines, "a second");
	tell("messages added", messages, "a second");
	tell("one judgement", judged, "ms");
	printf("%-34s %12zu clients of %d\n", "found", found, FARM_POOL);
	fg_model_free(&model);
	return found < FARM_POOL / 2;
}
