/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A cohort of the reference farm's size in the verdict store, on disk: 25,000 members noted, renewed in
 * memory, renewed on disk, blocked by one decision, and that undone; then the same of a store opened anew.
 * Each is one transaction, during which the agent does nothing else. Median and range of five runs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "verdict/decisions.h"

#define MEMBERS 25000
#define RUNS	5
#define S	1000000000ULL
#define NOW	(1795435200ULL * S)

enum what {
	NOTED,
	SAME,
	RENEWED,
	BLOCKED,
	UNDONE,
	ALLOWED,
	DISALLOWED,
	UNBLOCKED,
	OPENED,
	_WHAT_MAX
};
static const char *const names[_WHAT_MAX] = {
	[NOTED] = "noted for the first time",
	[SAME] = "noted again, nothing to write",
	[RENEWED] = "noted again, written",
	[BLOCKED] = "blocked by one decision",
	[UNDONE] = "that undone",
	[ALLOWED] = "lowered by one allow",
	[DISALLOWED] = "that undone",
	[UNBLOCKED] = "unblocked by one decision",
	[OPENED] = "opened with all of them",
};

static char dir[] = "/tmp/fg-bench-decisions-XXXXXX";
static struct fg_store *store;
static double begun;

static void die(const char *what)
{
	fprintf(stderr, "farmgate: bench: %s\n", what);
	exit(1);
}

static double clock_of(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void member(uint32_t i, uint8_t addr[16])
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	addr[12] = 10;
	addr[13] = (uint8_t)(i >> 16);
	addr[14] = (uint8_t)(i >> 8);
	addr[15] = (uint8_t)i;
}

static double now(void)
{
	return clock_of(CLOCK_MONOTONIC);
}

/* With as much evidence as a member has. */
static double note_all(uint64_t now_ns)
{
	static const struct fg_names texts = { "t13d1516h2_8daaf6152771_02713d6af862",
					       "~t13d1516h2_8daaf6152771_02713d6af862",
					       "64:64240:mss1460:ws7:mss,sack,ts,nop,ws:df" };
	struct fg_finding f = {
		.score = 20, .proven = true, .cohort = 1, .stem = 5, .stack = 6, .n_evidence = 3
	};

	for (size_t i = 0; i < 3; i++) {
		f.evidence[i].family = (enum fg_family)i;
		snprintf(f.evidence[i].name, sizeof(f.evidence[i].name), "evidence_%zu", i);
		snprintf(f.evidence[i].text, sizeof(f.evidence[i].text), "%0*d", 160, 0);
		fg_evidence_benign(&f.evidence[i], FG_BENIGN_own_service, FG_CONSIDERED_OPEN, NAN);
	}
	begun = now();
	if (fg_store_begin(store))
		die("begin");
	for (uint32_t i = 0; i < MEMBERS; i++) {
		member(i, f.source);
		if (fg_store_note(store, &f, &texts, true, 3600, now_ns) < 0)
			die("note");
	}
	if (fg_store_commit(store))
		die("commit");
	return (now() - begun) * 1e3;
}

static double block_all(int64_t *ret_id)
{
	int r = fg_decision_begin(store, "block", "alice", "c1", "a farm", NOW + 3000 * S);

	begun = now();
	*ret_id = fg_decision_id(store);
	for (uint32_t i = 0; !r && i < MEMBERS; i++) {
		struct fg_subject b = { .bits = 128, .stem = 5, .stack = 6, .cohort = 1 };

		member(i, b.addr);
		r = fg_decision_block(store, &b, 3600) == 1 ? 0 : -1;
	}
	if (fg_decision_end(store, r))
		die("block");
	return (now() - begun) * 1e3;
}

static double undo(int64_t id, size_t n)
{
	struct fg_undone undone;

	begun = now();
	if (fg_decision_undo(store, id, "alice", "", NOW + 3001 * S, &undone) || undone.done != n)
		die("undo");
	return (now() - begun) * 1e3;
}

static double allow_all(int64_t *ret_id)
{
	uint8_t addr[16];

	member(0, addr);
	begun = now();
	if (fg_store_allow(store, addr, 104, 0, "", NOW + 3002 * S, ret_id))
		die("allow");
	return (now() - begun) * 1e3;
}

static double unblock_all(void)
{
	int r = fg_decision_begin(store, "unblock", "alice", "c1", "", NOW + 3003 * S);

	begun = now();
	if (!r)
		r = fg_decision_unblock_cohort(store, 1);
	if (fg_decision_end(store, r) != MEMBERS)
		die("unblock");
	return (now() - begun) * 1e3;
}

static double open_store(void)
{
	char why[256];

	fg_store_close(&store);
	begun = now();
	if (fg_store_open(dir, NOW + 3004 * S, &store, why, sizeof(why)))
		die(why);
	return (now() - begun) * 1e3;
}

/* Its time by the clock on the wall, and of the CPU. */
#define STEP(what, step)                                                            \
	do {                                                                        \
		double before = clock_of(CLOCK_PROCESS_CPUTIME_ID);                 \
		ms[what] = step;                                                    \
		cpu_ms[what] = (clock_of(CLOCK_PROCESS_CPUTIME_ID) - before) * 1e3; \
	} while (0)

static void run_once(double ms[_WHAT_MAX], double cpu_ms[_WHAT_MAX])
{
	static const char *const files[] = { "farmgate.db", "farmgate.db-wal", "farmgate.db-shm",
					     "instance" };
	char path[64];
	int64_t id;

	strcpy(dir, "/tmp/fg-bench-decisions-XXXXXX");
	if (!mkdtemp(dir))
		die("no folder");
	open_store();
	STEP(NOTED, note_all(NOW));
	STEP(SAME, note_all(NOW + S));
	STEP(RENEWED, note_all(NOW + 3000 * S));
	STEP(BLOCKED, block_all(&id));
	STEP(UNDONE, undo(id, MEMBERS));
	STEP(ALLOWED, allow_all(&id));
	STEP(DISALLOWED, undo(id, 1));
	STEP(UNBLOCKED, unblock_all());
	STEP(OPENED, open_store());
	fg_store_close(&store);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(void)
{
	double ms[RUNS][_WHAT_MAX], cpu_ms[RUNS][_WHAT_MAX], values[RUNS], cpu[RUNS];

	for (int run = 0; run < RUNS; run++)
		run_once(ms[run], cpu_ms[run]);
	printf("%d members of a cohort, one transaction each\n", MEMBERS);
	for (int what = 0; what < _WHAT_MAX; what++) {
		for (int run = 0; run < RUNS; run++) {
			values[run] = ms[run][what];
			cpu[run] = cpu_ms[run][what];
		}
		qsort(values, RUNS, sizeof(*values), by_value);
		qsort(cpu, RUNS, sizeof(*cpu), by_value);
		printf("%-34s %6.0f ms (%.0f to %.0f), of these %.0f of the CPU\n", names[what],
		       values[RUNS / 2], values[0], values[RUNS - 1], cpu[RUNS / 2]);
	}
	return 0;
}
