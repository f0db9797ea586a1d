/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a capture file, read and run through all stages: every frame is accounted for. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "lib/mem.h"
#include "source/capture.h"
#include "source/engine.h"

static void take_sample(void *arg, const struct fg_sample *sample)
{
	MUST(sample->status <= _FG_INCOMPLETE_MAX);
	++*(uint64_t *)arg;
}

/* Frames through the host's engine until the file ends or breaks off. */
static void run(struct fg_capture *capture)
{
	uint64_t frames = 0, samples = 0, sum = 0, last_ns = 0;
	struct fg_engine_conf conf = { .table_bytes = 1 << 20,
				       .on_sample = take_sample,
				       .arg = &samples };
	struct fg_capture_frame frame;
	struct fg_totals totals;
	char why[256];
	void *engine;
	int r;

	conf.config.seed[1] = 1;
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_MIRROR;
	conf.config.sample_all = 1;
	conf.config.volume = 1;
	MUST(!fg_engine_host.open(&conf, &engine, why, sizeof(why)));
	while ((r = fg_capture_next(capture, &frame)) == 1) {
		MUST(frame.len <= frame.frame_len && frame.time_ns >= last_ns);
		last_ns = frame.time_ns;
		MUST(!fg_engine_host.frame(engine, &frame));
		frames++;
	}
	MUST(r == 0 || fg_capture_error(capture)[0]);
	MUST(!fg_engine_host.totals(engine, &totals));
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += totals.frames[i];
	MUST(sum == frames);
	MUST(samples == totals.events[FG_EVENT_samples]);
	fg_engine_host.close(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("capture", MFD_CLOEXEC);
	struct fg_capture *capture;
	char path[64], why[512];

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fg_capture_open(path, &capture, why, sizeof(why)))
		return 0;
	run(capture);
	fg_capture_close(&capture);
	return 0;
}
