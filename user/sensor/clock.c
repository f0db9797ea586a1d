/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sensor/clock.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/now.h"

/* A period has 10 to 100 ticks. A virtual processor that its host takes away for some of them sees them
 * late: such a period measures wrong, and the next one right. */
#define PERIOD_NS   100000000
#define PERIODS_MAX 50
#define READINGS    3

/* r0 = bpf_jiffies64() >> shift; exit. A test run answers the low half of r0. */
static int load_half(int shift)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_jiffies64 },
		{ .code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = BPF_REG_0, .imm = shift },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "fg_ticks", "GPL", insns,
			       sizeof(insns) / sizeof(insns[0]), NULL);

	return fd < 0 ? -errno : fd;
}

int fg_ticks_open(struct fg_ticks *ret_ticks)
{
	struct fg_ticks t = { -1, -1 };

	t.low_fd = load_half(0);
	if (t.low_fd < 0)
		return t.low_fd;
	t.high_fd = load_half(32);
	if (t.high_fd < 0) {
		close(t.low_fd);
		return t.high_fd;
	}
	*ret_ticks = t;
	return 0;
}

void fg_ticks_close(struct fg_ticks *ticks)
{
	if (ticks->low_fd >= 0)
		close(ticks->low_fd);
	if (ticks->high_fd >= 0)
		close(ticks->high_fd);
	ticks->low_fd = ticks->high_fd = -1;
}

static int run_half(int fd, uint32_t *ret_half)
{
	char frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1);

	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	*ret_half = opts.retval;
	return 0;
}

int fg_ticks_now(const struct fg_ticks *ticks, uint64_t *ret_ticks)
{
	uint32_t high, low, again;
	int r;

	do {
		r = run_half(ticks->high_fd, &high);
		if (!r)
			r = run_half(ticks->low_fd, &low);
		if (!r)
			r = run_half(ticks->high_fd, &again);
		if (r)
			return r;
	} while (high != again);
	*ret_ticks = (uint64_t)high << 32 | low;
	return 0;
}

/* The length that so many ticks in so many ns come nearest to; 0 where it is none of the kernel's. One
 * tick more or less is a tenth of the fewest. */
static uint64_t nearest_length(uint64_t ns, uint64_t ticks)
{
	static const uint64_t lengths[] = { 10000000, 4000000, 3333333, 1000000 };
	uint64_t best = 0, best_off = ns / 8;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint64_t seen_ns = ticks * lengths[i];
		uint64_t off = seen_ns > ns ? seen_ns - ns : ns - seen_ns;

		if (off < best_off) {
			best_off = off;
			best = lengths[i];
		}
	}
	return best;
}

uint64_t fg_tick_guess(struct fg_tick_guess *g, uint64_t ns, uint64_t ticks)
{
	uint64_t length = g->n ? nearest_length(ns - g->ns, ticks - g->ticks) : 0;
	uint64_t before = g->length;

	g->ns = ns;
	g->ticks = ticks;
	g->length = length;
	g->n++;
	return length == before ? length : 0;
}

/* Both clocks at one time: between two looks at one of them that lie close together. */
static int read_both(const struct fg_ticks *ticks, uint64_t *ret_ns, uint64_t *ret_ticks)
{
	uint64_t closest = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		uint64_t before_ns = fg_monotonic_ns(), now, took_ns;
		int r = fg_ticks_now(ticks, &now);

		if (r)
			return r;
		took_ns = fg_monotonic_ns() - before_ns;
		if (took_ns >= closest)
			continue;
		closest = took_ns;
		*ret_ns = before_ns + took_ns / 2;
		*ret_ticks = now;
	}
	return 0;
}

int fg_ticks_length(const struct fg_ticks *ticks, uint64_t *ret_tick_ns)
{
	const struct timespec pause = { .tv_nsec = PERIOD_NS };
	struct fg_tick_guess guess = { 0 };

	for (int i = 0; i < PERIODS_MAX; i++) {
		uint64_t ns = 0, now = 0;
		int r = read_both(ticks, &ns, &now);

		if (r)
			return r;
		*ret_tick_ns = fg_tick_guess(&guess, ns, now);
		if (*ret_tick_ns)
			return 0;
		nanosleep(&pause, NULL);
	}
	return -ETIME;
}
