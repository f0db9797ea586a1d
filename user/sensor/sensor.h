/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel side in user space's hands: load the programs with their configuration, attach them,
 * map their tables, hand over blocks and samples. Reads no counters and has no opinion.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farmgate/abi.h"
#include "sensor/tables.h"

struct fg_sensor;

enum fg_sensor_mode {
	FG_SENSOR_AUTO,
	FG_SENSOR_NATIVE,
	FG_SENSOR_GENERIC,
	FG_SENSOR_TC
};

struct fg_sensor_conf {
	struct fg_config config; /* seed, ports, prefixes, role; the rest is filled in */
	struct fg_tables sizes; /* fg_tables_size() */
	bool replay; /* for test runs with packet time, nothing is attached */
	bool force_loop; /* bpf_loop even where may_goto is accepted (tests, bench) */
	const char *interfaces[FG_MAX_IFACES];
	size_t n_interfaces;
};

/** Loads programs and maps. Nothing is attached yet. why gets one sentence that names the thing
 * and the cure. @return 0, -EPERM, -ENOTSUP (kernel too old), -errno. */
int fg_sensor_open(const struct fg_sensor_conf *conf, struct fg_sensor **ret_sensor, char *why,
		   size_t n_why);
/** Detaches everything and frees. */
void fg_sensor_close(struct fg_sensor **sensor);

/** Attaches to all interfaces of the configuration, or to none. @return 0, -EBUSY where another
 * XDP program sits there (never replaced), -errno. */
int fg_sensor_attach(struct fg_sensor *sensor, enum fg_sensor_mode mode, char *why, size_t n_why);
/** "native", "generic" or "tc" of interface i. */
const char *fg_sensor_mode_name(const struct fg_sensor *sensor, size_t i);
/** What works worse than it could, one sentence each; NULL ends. */
const char *fg_sensor_degraded(const struct fg_sensor *sensor, size_t i);

const struct fg_tables *fg_sensor_tables(const struct fg_sensor *sensor);
const struct fg_config *fg_sensor_config(const struct fg_sensor *sensor);

/** Sums over CPUs: ingress slots into *ret_received (and frames of interface i into packets[i]
 * unless NULL), egress slots into *ret_replies. @return 0, -errno. */
int fg_sensor_totals(const struct fg_sensor *sensor, struct fg_totals *ret_received,
		     struct fg_totals *ret_replies, uint64_t packets[FG_MAX_IFACES]);

/** The programs' clock. @return 0, -errno. */
int fg_sensor_ticks(const struct fg_sensor *sensor, uint64_t *ret_ticks);
uint64_t fg_sensor_tick_ns(const struct fg_sensor *sensor);

typedef void (*fg_sensor_sample_fn)(void *arg, const struct fg_sample *sample);
void fg_sensor_on_sample(struct fg_sensor *sensor, fg_sensor_sample_fn fn, void *arg);
typedef void (*fg_sensor_datagram_fn)(void *arg, const struct fg_datagram *datagram);
/** Told about clients' Initials of QUIC; NULL = nobody is. */
void fg_sensor_on_datagram(struct fg_sensor *sensor, fg_sensor_datagram_fn fn, void *arg);
/** Readable when samples or datagrams wait. */
int fg_sensor_sample_fd(const struct fg_sensor *sensor);
/** @return number handed over, -errno. */
int fg_sensor_drain(struct fg_sensor *sensor);

/** Blocks a source (IPv4 /32, IPv6 /64) until so many ticks; a later call renews it.
 * @return 0, -E2BIG (map full), -errno. */
int fg_sensor_block(struct fg_sensor *sensor, const uint8_t addr[16], uint64_t until_ticks);
/** @return 0, -ENOENT. */
int fg_sensor_unblock(struct fg_sensor *sensor, const uint8_t addr[16]);
/** Same for one client of a source; stack 0 = any. */
int fg_sensor_block_client(struct fg_sensor *sensor, const uint8_t addr[16], uint64_t stem,
			   uint64_t stack, uint64_t until_ticks);
int fg_sensor_unblock_client(struct fg_sensor *sensor, const uint8_t addr[16], uint64_t stem,
			     uint64_t stack);

/** Runs one frame (at most 32 kB behind its metadata) through the XDP program, times > 1 for
 * measuring. *ret_action: XDP_PASS or XDP_DROP; *ret_ns: mean time, may be NULL. @return 0, -errno. */
int fg_sensor_run(struct fg_sensor *sensor, const struct fg_replay_meta *meta, const void *frame,
		  size_t len, uint32_t times, uint32_t *ret_action, uint32_t *ret_ns);
int fg_sensor_prog_fd(const struct fg_sensor *sensor);
