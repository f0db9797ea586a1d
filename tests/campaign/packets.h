/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Level B: simulated connections as Ethernet frames of both directions, merged by time, as a mirror
 * port beside the server sees them. Hellos are whole and true to the client, SYNs to its stack;
 * everything else is TLS records of the right type and length with random content, and checksums are
 * right. The server takes no timestamps, so only SYNs carry them. Connections of QUIC are datagrams
 * (datagrams.h).
 *
 * Owns: the connections that are open. Must not: use the product, but for what keys.c takes of it.
 */
#pragma once

#include "campaign/keys.h"

/* Connections open at a time: 2 GB of them. */
#define CG_MAX_FLOWS (4U << 20)

/** Takes one frame, of whose wire_len bytes len are there; it is gone when the call returns.
 * @return 0, or what ends the run. */
typedef int (*cg_frame_fn)(void *arg, uint64_t time_ns, const uint8_t *frame, size_t len,
			   size_t wire_len);

struct cg_packets_conf {
	/** Our address that a source came to, cg_server_address(). */
	void (*server)(const uint8_t source[16], uint8_t server, uint8_t ret_addr[16]);
	cg_frame_fn emit;
	void *arg;
	/* Payload that a frame keeps, 16 or more; 0 = all. Hellos stay whole. What is cut off is not
	 * made either, and its frame's checksum is not filled in. */
	uint32_t keep_bytes;
};

struct cg_packets;

/** @return 0, -ENOMEM. */
int cg_packets_new(const struct cg_packets_conf *conf, struct cg_keys *keys,
		   struct cg_packets **ret_packets);
void cg_packets_free(struct cg_packets **packets);
/** Emits all frames before the connection's SYN, and takes it in.
 * @return 0, -ENOMEM, -ENOSPC beyond CG_MAX_FLOWS, emit's answer. */
int cg_packets_add(struct cg_packets *packets, const struct cg_connection *conn);
/** Emits what is left. @return 0, emit's answer. */
int cg_packets_finish(struct cg_packets *packets);
uint64_t cg_packets_frames(const struct cg_packets *packets);

/* Classic capture file with times in nanoseconds, through a large buffer. */
struct cg_pcap;

/** @return 0, -ENOMEM. */
int cg_pcap_new(int fd, struct cg_pcap **ret_pcap);
/** cg_frame_fn. @return 0, -errno. */
int cg_pcap_frame(void *pcap, uint64_t time_ns, const uint8_t *frame, size_t len, size_t wire_len);
/** Writes what is left and frees. @return 0, -errno. */
int cg_pcap_close(struct cg_pcap **pcap);
