/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames out of a capture file or stdin (pcap, pcapng, through libpcap), one at a time and in
 * constant memory. Every link type leaves here as Ethernet, so that both engines see the same
 * bytes: raw IP, Linux cooked v1 and v2, and BSD null/loop get a made-up Ethernet header.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fg_capture;

struct fg_capture_frame {
	uint64_t time_ns; /* unix; never going back */
	const uint8_t *data; /* valid until the next call */
	uint32_t len; /* bytes at data */
	uint32_t frame_len; /* as if the capture had not cut it */
	uint32_t wire_len; /* original length with the original link header */
	uint8_t clamped; /* its time went back and was clamped */
};

/** path "-" reads stdin. why gets one sentence on failure. @return 0, -EINVAL, -errno. */
int fg_capture_open(const char *path, struct fg_capture **ret_capture, char *why, size_t n_why);
void fg_capture_close(struct fg_capture **capture);

/** @return 1 with *ret_frame filled, 0 at the end, -EBADMSG where the file breaks off or lies
 * (fg_capture_error() says how); frames before that were good. */
int fg_capture_next(struct fg_capture *capture, struct fg_capture_frame *ret_frame);
const char *fg_capture_error(const struct fg_capture *capture);
