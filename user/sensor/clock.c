/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sensor/clock.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

int fg_ticks_length(const struct fg_ticks *ticks, uint64_t *ret_tick_ns)
{
	static const uint64_t lengths[] = { 10000000, 4000000, 3333333, 1000000 };
	const struct timespec pause = { .tv_nsec = 120000000 };
	uint64_t from_ns, to_ns, from, to, best = 0, best_off = UINT64_MAX;
	int r;

	from_ns = monotonic_ns();
	r = fg_ticks_now(ticks, &from);
	if (r)
		return r;
	nanosleep(&pause, NULL);
	to_ns = monotonic_ns();
	r = fg_ticks_now(ticks, &to);
	if (r)
		return r;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint64_t expect = (to_ns - from_ns) / lengths[i], got = to - from;
		uint64_t off = expect > got ? expect - got : got - expect;

		/* relative: two ticks off out of twelve is further than two out of 120 */
		off = off * 1000 / (expect ? expect : 1);
		if (off < best_off) {
			best_off = off;
			best = lengths[i];
		}
	}
	*ret_tick_ns = best;
	return 0;
}
