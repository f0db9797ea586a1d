/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bouncers cost the agent's loop: the log brought up to a set of 25,000 and of 100,000 blocks (all
 * new, and with one in a hundred changed), the answer with everything, and gzip's levels over it; the
 * agent uses level 1. Addresses at random, ends anywhere within a day. CPU time, median of
 * five runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "export/crowdsec.h"
#include "serve/negotiate.h"

#define RUNS 5
#define S    1000000000ULL
#define NOW  (1795435200ULL * S)

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int by_number(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(double v[RUNS])
{
	qsort(v, RUNS, sizeof(*v), by_number);
	return v[RUNS / 2];
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static int by_address(const void *a, const void *b)
{
	return memcmp(((const struct fg_export_item *)a)->addr,
		      ((const struct fg_export_item *)b)->addr, 16);
}

/* changed: one in a hundred has another end. An odd factor leaves no two addresses alike. */
static struct fg_export_set *make_set(size_t n, bool changed)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	if (set) {
		atomic_init(&set->refs, 1);
		set->items = calloc(n, sizeof(*set->items));
		set->clients = calloc(1, sizeof(*set->clients));
	}
	if (!set || !set->items || !set->clients)
		die("no memory");
	for (; set->n < n; set->n++) {
		struct fg_export_item *item = &set->items[set->n];
		uint32_t at = (uint32_t)(set->n + 1) * 2654435761U;
		const uint8_t addr[16] = { [10] = 0xff,		0xff,
					   (uint8_t)(at >> 24), (uint8_t)(at >> 16),
					   (uint8_t)(at >> 8),	(uint8_t)at };

		memcpy(item->addr, addr, 16);
		item->bits = 128;
		item->verdict = (int64_t)set->n + 1;
		item->until_ns = NOW + 3600 * S + mix(set->n) % (23 * 3600 * S);
		if (changed && set->n % 100 == 0)
			item->until_ns = NOW + 1800 * S;
	}
	qsort(set->items, n, sizeof(*set->items), by_address);
	return set;
}

static double update(struct fg_crowdsec *log, struct fg_export_set *set, int *ret_changes)
{
	double begin = now_ms();

	*ret_changes = fg_crowdsec_update(log, set, NOW);
	if (*ret_changes < 0)
		die("update");
	return now_ms() - begin;
}

static char *startup(const struct fg_crowdsec *log, size_t *n, double *ret_ms)
{
	const struct fg_crowdsec_ask all = { .all = true };
	double begin = now_ms();
	char *text = NULL;
	FILE *out = open_memstream(&text, n);

	if (!out || fg_crowdsec_stream(out, log, &all, NOW) || fclose(out))
		die("stream");
	*ret_ms = now_ms() - begin;
	return text;
}

static double deflate_all(const char *text, size_t n, int level, unsigned char *out, size_t *ret_n)
{
	double begin = now_ms();
	z_stream z = { 0 };

	if (deflateInit2(&z, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		die("zlib");
	z.next_in = (unsigned char *)text;
	z.avail_in = (unsigned int)n;
	z.next_out = out;
	z.avail_out = (unsigned int)n;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		die("deflate");
	*ret_n = z.total_out;
	deflateEnd(&z);
	return now_ms() - begin;
}

static void levels(struct fg_export_set *set)
{
	struct fg_crowdsec *log;
	unsigned char *out;
	size_t n, size = 0;
	double ms[RUNS];
	char *text;
	int changes;

	if (fg_crowdsec_new(&log))
		die("no memory");
	update(log, set, &changes);
	text = startup(log, &n, ms);
	out = malloc(n);
	if (!out)
		die("no memory");
	for (int level = 1; level <= 6; level++) {
		for (int i = 0; i < RUNS; i++)
			ms[i] = deflate_all(text, n, level, out, &size);
		printf("  gzip level %d          %8.1f ms  %9zu bytes (%.1f %%)\n", level,
		       median(ms), size, 100.0 * (double)size / (double)n);
	}
	free(out);
	free(text);
	fg_crowdsec_free(&log);
}

static void measure(size_t n)
{
	double first[RUNS], second[RUNS], same[RUNS], answer[RUNS], gzip[RUNS];
	struct fg_export_set *set = make_set(n, false), *next = make_set(n, true);
	size_t bytes = 0, compressed = 0;
	char *text = NULL;
	int changes = 0, none;

	for (int i = 0; i < RUNS; i++) {
		struct fg_crowdsec *log;

		if (fg_crowdsec_new(&log))
			die("no memory");
		free(text);
		first[i] = update(log, set, &changes);
		text = startup(log, &bytes, &answer[i]);
		second[i] = update(log, next, &changes);
		same[i] = update(log, next, &none);
		if (none)
			die("a set that did not change is told");
		compressed = bytes;
		text = realloc(text, bytes);
		gzip[i] = now_ms();
		if (!fg_gzip(&text, &compressed))
			die("gzip");
		gzip[i] = now_ms() - gzip[i];
		fg_crowdsec_free(&log);
	}
	free(text);
	printf("%zu decisions\n", n);
	printf("  log, all new          %8.1f ms\n", median(first));
	printf("  log, %5d changes    %8.1f ms\n", changes, median(second));
	printf("  log, none             %8.1f ms\n", median(same));
	printf("  answer                %8.1f ms  %9zu bytes\n", median(answer), bytes);
	printf("  gzip as the agent's   %8.1f ms  %9zu bytes\n", median(gzip), compressed);
	levels(set);
	fg_export_set_unref(&set);
	fg_export_set_unref(&next);
}

int main(void)
{
	measure(25000);
	measure(100000);
	return 0;
}
