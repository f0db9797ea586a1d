/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What live exports cost: so many blocks at once into an empty nft table, ipset and HAProxy map, then
 * 1,000 changes (a third each of removals, additions and renewals) against what stands, and the looks
 * that follow. Wall time, CPU of the programs that are run and of ourselves, and their memory; each
 * row is a process and a network namespace of its own. Needs root; what is missing is left out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "export/child.h"
#include "export/haproxy.h"
#include "export/ipset.h"
#include "export/nft.h"
#include "lib/ip.h"

#define S	1000000000ULL
#define CHANGES 999U
#define RUNS	6 /* there and back */
/* nft lists no more of them within the time-out of a look. */
#define MAX_FULL 300000U

static char folder[] = "/tmp/farmgate-bench.XXXXXX";

struct cost {
	double wall_ms, child_ms, own_ms;
};

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static double cpu_ms(int who)
{
	struct rusage used;

	getrusage(who, &used);
	return (seconds(used.ru_utime) + seconds(used.ru_stime)) * 1e3;
}

static double child_mb(void)
{
	struct rusage used;

	getrusage(RUSAGE_CHILDREN, &used);
	return (double)used.ru_maxrss / 1024;
}

static double now_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct cost begin(void)
{
	return (struct cost){ now_ms(CLOCK_MONOTONIC), cpu_ms(RUSAGE_CHILDREN),
			      cpu_ms(RUSAGE_SELF) };
}

static struct cost since(struct cost then)
{
	struct cost now = begin();

	return (struct cost){ now.wall_ms - then.wall_ms, now.child_ms - then.child_ms,
			      now.own_ms - then.own_ms };
}

static int by_wall(const void *a, const void *b)
{
	const struct cost *x = a, *y = b;

	return (x->wall_ms > y->wall_ms) - (x->wall_ms < y->wall_ms);
}

/* --- Sets ------------------------------------------------------------------------------------- */

static struct fg_export_set *new_set(size_t n)
{
	struct fg_export_set *set = calloc(1, sizeof(*set));

	if (set)
		set->items = calloc(n + CHANGES, sizeof(*set->items));
	if (!set || !set->items) {
		fprintf(stderr, "farmgate: bench: no memory for %zu blocks\n", n);
		exit(1);
	}
	return set;
}

static void put(struct fg_export_set *set, uint32_t i, uint64_t until_ns)
{
	struct fg_export_item *item = &set->items[set->n++];
	uint32_t addr = (10U << 24) + i;

	item->addr[10] = item->addr[11] = 0xff;
	for (int k = 0; k < 4; k++)
		item->addr[12 + k] = (uint8_t)(addr >> (24 - 8 * k));
	item->bits = 128;
	item->until_ns = until_ns;
	item->verdict = i + 1;
}

/* Even numbers stand; of other, every so many is gone, renewed, or has a new one behind it. */
static struct fg_export_set *make_set(uint32_t n, uint64_t until_ns, bool other)
{
	struct fg_export_set *set = new_set(n);
	uint32_t step = n / (CHANGES / 3), changed = 0;

	for (uint32_t i = 0; i < n; i++) {
		bool change = other && i % step == 0 && changed < CHANGES / 3;

		changed += change;
		if (!change)
			put(set, 2 * i, until_ns);
		else
			put(set, 2 * i + 1, until_ns);
		/* the next one is renewed */
		if (other && i % step == 1 && changed <= CHANGES / 3 && i / step < CHANGES / 3)
			set->items[set->n - 1].until_ns -= 1800 * S;
	}
	return set;
}

/* --- One target ------------------------------------------------------------------------------- */

struct subject {
	const struct fg_target_ops *ops;
	void *impl;
	const char *name;
	uint32_t n;
};

static int apply(const struct subject *s, const struct fg_export_set *set, struct cost *ret_cost)
{
	struct cost then = begin();
	char why[256] = "";
	int r = s->ops->apply(s->impl, set, (uint64_t)(now_ms(CLOCK_REALTIME) * 1e6), why,
			      sizeof(why));

	*ret_cost = since(then);
	if (r < 0) {
		fprintf(stderr, "farmgate: bench: %s: %s\n", s->name, why);
		exit(1);
	}
	return r;
}

static void print(const struct subject *s, const char *what, struct cost cost)
{
	printf("%-8s %9u %-22s %9.1f %9.1f %8.1f %8.0f\n", s->name, s->n, what, cost.wall_ms,
	       cost.child_ms, cost.own_ms, child_mb());
	fflush(stdout);
}

static void look(const struct subject *s, bool full)
{
	struct cost then = begin();
	char why[256] = "";
	int r = s->ops->check(s->impl, full, why, sizeof(why));

	print(s, full ? "look, each element" : "look", since(then));
	if (r) {
		fprintf(stderr, "farmgate: bench: %s: the look found: %s\n", s->name, why);
		exit(1);
	}
}

static void measure(const struct subject *s)
{
	uint64_t until_ns = (uint64_t)(now_ms(CLOCK_REALTIME) * 1e6) + 3600 * S;
	struct fg_export_set *one = make_set(s->n, until_ns, false);
	struct fg_export_set *other = make_set(s->n, until_ns, true);
	struct cost cost, runs[RUNS];
	int changes = 0;
	char what[32];

	apply(s, one, &cost);
	print(s, "all at once", cost);
	for (int i = 0; i < RUNS; i++)
		changes = apply(s, i % 2 ? one : other, &runs[i]);
	qsort(runs, RUNS, sizeof(runs[0]), by_wall);
	snprintf(what, sizeof(what), "%d changes, median", changes);
	print(s, what, runs[RUNS / 2]);
	look(s, false);
	if (s->n <= MAX_FULL)
		look(s, true);
}

/* --- HAProxy ---------------------------------------------------------------------------------- */

static pid_t start_haproxy(const char *map, const char *sock)
{
	char conf[64];
	pid_t pid;
	FILE *f;

	snprintf(conf, sizeof(conf), "%s/haproxy.cfg", folder);
	f = fopen(conf, "w");
	if (!f)
		exit(1);
	fprintf(f,
		"global\n\tstats socket %s level admin\n"
		"defaults\n\ttimeout connect 1s\n\ttimeout client 1s\n\ttimeout server 1s\n"
		"frontend f\n\tmode http\n\tbind unix@%s/f.sock\n"
		"\thttp-request deny if { src,map_ip_int(%s,0) -m int gt 0 }\n",
		sock, folder, map);
	fclose(f);
	pid = fork();
	if (!pid) {
		freopen("/dev/null", "w", stderr);
		execlp("haproxy", "haproxy", "-f", conf, "-db", NULL);
		execl("/usr/sbin/haproxy", "haproxy", "-f", conf, "-db", NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && access(sock, F_OK); i++)
		usleep(10000);
	return pid;
}

static void measure_haproxy(uint32_t n)
{
	char map[64], sock[64];
	const struct fg_haproxy_conf conf = { .socket = sock, .map = map };
	struct fg_haproxy *haproxy;
	pid_t pid;
	FILE *f;

	snprintf(map, sizeof(map), "%s/map", folder);
	snprintf(sock, sizeof(sock), "%s/sock", folder);
	unlink(sock);
	f = fopen(map, "w");
	if (f)
		fclose(f);
	pid = start_haproxy(map, sock);
	if (fg_haproxy_new(&conf, &haproxy))
		exit(1);
	/* it is no child of ours as long as it runs: its CPU is not in the table */
	measure(&(struct subject){ &fg_haproxy_ops, haproxy, "haproxy", n });
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

/* --- All of them ------------------------------------------------------------------------------ */

static void measure_nft(uint32_t n)
{
	static const uint16_t ports[] = { 443 };
	const struct fg_export_conf conf = { ports, 1, false };
	struct fg_nft *nft;

	if (!fg_nft_new(&conf, &nft))
		measure(&(struct subject){ &fg_nft_ops, nft, "nft", n });
}

static void measure_ipset(uint32_t n)
{
	struct fg_ipset *ipset;

	if (!fg_ipset_new(&ipset))
		measure(&(struct subject){ &fg_ipset_ops, ipset, "ipset", n });
}

/* In a process and a network namespace of its own; with it goes what the kernel held. */
static void in_its_own(void (*fn)(uint32_t n), uint32_t n)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (unshare(CLONE_NEWNET)) {
			fprintf(stderr, "farmgate: bench: needs root: %s\n", strerror(errno));
			exit(1);
		}
		fn(n);
		exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		exit(1);
}

static bool is_there(const char *program)
{
	const char *const argv[] = { program, "-v", NULL };
	const struct fg_child child = { .argv = argv, .timeout_ms = 5000, .max_output = 65536 };
	char why[256];

	if (fg_child_run(&child, NULL, NULL, why, sizeof(why)) != -ENOENT)
		return true;
	printf("%s is missing: left out\n", program);
	return false;
}

int main(void)
{
	static const uint32_t counts[] = { 25000, 100000, 1000000 };
	static const struct {
		const char *program;
		void (*fn)(uint32_t n);
		uint32_t max;
	} rows[] = {
		{ "nft", measure_nft, 1000000 },
		{ "ipset", measure_ipset, 1000000 },
		{ "haproxy", measure_haproxy, 100000 },
	};
	char command[64];

	if (!mkdtemp(folder))
		return 1;
	puts("target    standing what                     wall ms  child ms   own ms child MB");
	fflush(stdout);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; is_there(rows[i].program) && k < 3; k++)
			if (counts[k] <= rows[i].max)
				in_its_own(rows[i].fn, counts[k]);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) != 0;
}
