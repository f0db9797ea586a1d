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
	bool no_tcx; /* clsact even where tcx links are accepted (tests) */
	const char *interfaces[FG_MAX_IFACES];
	size_t n_interfaces;
	const char *pins; /* folder in the bpf file system, see pins.h; NULL = nothing is pinned */
};

/* What an agent before this one left in the folder of pins. */
struct fg_sensor_found {
	bool any;
	bool tables; /* rows and counters go on: the taker begins with fg_taker_adopt() */
	bool blocks; /* entries of the drop maps go on */
	char why_not[128]; /* where something does not */
	uint64_t away_ns; /* how long nobody took the counts; known where tables go on */
	struct fg_totals untaken; /* what was received meanwhile; in no total of this agent */
};

/** Loads programs and maps, or takes up pinned maps of an agent before. Nothing is attached yet. why
 * gets one sentence that names the thing and the cure. @return 0, -EPERM, -ENOTSUP (kernel too old),
 * -EBUSY (another agent has the pins), -errno. */
int fg_sensor_open(const struct fg_sensor_conf *conf, struct fg_sensor **ret_sensor, char *why,
		   size_t n_why);
/** Detaches and unpins everything, unless fg_sensor_keep() was called, and frees. */
void fg_sensor_close(struct fg_sensor **sensor);
/** What is attached and pinned outlives this sensor. What is not pinned does not. */
void fg_sensor_keep(struct fg_sensor *sensor);
const struct fg_sensor_found *fg_sensor_found(const struct fg_sensor *sensor);

/** Attaches to all interfaces of the configuration, in place of what an agent before left there, or to
 * none; then pins. Blocks that shall hold from the first frame on are in the maps before.
 * @return 0, -EBUSY where another XDP program sits there (never replaced), -errno: then what was there
 * before goes on. */
int fg_sensor_attach(struct fg_sensor *sensor, enum fg_sensor_mode mode, char *why, size_t n_why);
/** "native", "generic" or "tc" of interface i. */
const char *fg_sensor_mode_name(const struct fg_sensor *sensor, size_t i);
/** What works worse than it could, one sentence each; NULL ends. */
const char *fg_sensor_degraded(const struct fg_sensor *sensor, size_t i);
/** What was done that an operator should hear of, same form. */
const char *fg_sensor_note(const struct fg_sensor *sensor, size_t i);

const struct fg_tables *fg_sensor_tables(const struct fg_sensor *sensor);
const struct fg_config *fg_sensor_config(const struct fg_sensor *sensor);

/** Sums over CPUs: ingress slots into *ret_received (and frames of interface i into packets[i]
 * unless NULL), egress slots into *ret_replies; all since this sensor was opened. @return 0, -errno. */
int fg_sensor_totals(const struct fg_sensor *sensor, struct fg_totals *ret_received,
		     struct fg_totals *ret_replies, uint64_t packets[FG_MAX_IFACES]);
/** Notes for the next agent up to where the counts were taken: *received of the call above. */
void fg_sensor_took(struct fg_sensor *sensor, const struct fg_totals *received);

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

/* --- Blocks ----------------------------------------------------------------------------------- */

/* What a block is of: one client where stem is not 0, else a source (128 bits of IPv4, 64 of IPv6),
 * else a prefix (FG_PREFIX4_MIN..MAX, FG_PREFIX6_MIN..MAX). */
struct fg_gate_key {
	uint8_t addr[16]; /* host bits zero */
	uint8_t bits; /* of 128 */
	uint64_t stem, stack; /* stack 0 = any */
};

/** Puts a block until so many ticks, or renews it (its counts stay, but for hits of the microseconds
 * that takes). flags: FG_BLOCK_*; they are kept for whoever reads the entry, and end no connection:
 * see fg_sensor_drop_flows(). @return 0, -EINVAL (no such key), -E2BIG (map full), -ENOSPC (one prefix
 * length more than FG_PREFIX_LENGTHS), -errno. */
int fg_sensor_gate_put(struct fg_sensor *sensor, const struct fg_gate_key *key,
		       uint64_t until_ticks, uint32_t flags);
/** @return 0, -ENOENT, -EINVAL, -errno. */
int fg_sensor_gate_remove(struct fg_sensor *sensor, const struct fg_gate_key *key);
/** The entry as it stands: end, hits and the tick of the last. @return 0, -ENOENT, -EINVAL, -errno. */
int fg_sensor_gate_read(const struct fg_sensor *sensor, const struct fg_gate_key *key,
			struct fg_block *ret_block);

typedef int (*fg_sensor_gate_fn)(void *arg, const struct fg_gate_key *key,
				 const struct fg_block *block);
/** Each entry of the drop maps, expired ones too, until fn answers not 0, which is returned then; one
 * that comes or goes meanwhile may be seen twice or not at all. @return 0, -errno. */
int fg_sensor_gate_each(const struct fg_sensor *sensor, fg_sensor_gate_fn fn, void *arg);
/** Counts the entries anew: for drop maps that an earlier agent filled. @return 0, -errno. */
int fg_sensor_gate_recount(struct fg_sensor *sensor);

/** The same for one source (IPv4 /32, IPv6 /64), and for one client of it. */
int fg_sensor_block(struct fg_sensor *sensor, const uint8_t addr[16], uint64_t until_ticks);
int fg_sensor_unblock(struct fg_sensor *sensor, const uint8_t addr[16]);
int fg_sensor_block_client(struct fg_sensor *sensor, const uint8_t addr[16], uint64_t stem,
			   uint64_t stack, uint64_t until_ticks);
int fg_sensor_unblock_client(struct fg_sensor *sensor, const uint8_t addr[16], uint64_t stem,
			     uint64_t stack);

/** Is this connection to be ended? *flow is a copy. */
typedef bool (*fg_sensor_match_fn)(void *arg, const struct fg_flow *flow);
/** Marks standing connections, so that the programs drop their payload from now on: one pass over the
 * flow table (5 ms for a million), no cost for other connections. Never marks another connection
 * than the one that fn saw. What had passed on them is added to the event late_block: their payload
 * in full Ethernet segments, which is at least how many there were. @return number marked now. */
uint64_t fg_sensor_drop_flows_if(struct fg_sensor *sensor, fg_sensor_match_fn fn, void *arg);
/** Those of a source or prefix, or of a client: stem 0 = all, stack 0 = any. @return 0, -EINVAL. */
int fg_sensor_drop_flows(struct fg_sensor *sensor, const uint8_t addr[16], uint8_t bits,
			 uint64_t stem, uint64_t stack, uint64_t *ret_n);

/** Runs one frame (at most 32 kB behind its metadata) through the XDP program, times > 1 for
 * measuring. *ret_action: XDP_PASS, XDP_DROP or XDP_TX; *ret_ns: mean time, may be NULL. @return 0, -errno. */
int fg_sensor_run(struct fg_sensor *sensor, const struct fg_replay_meta *meta, const void *frame,
		  size_t len, uint32_t times, uint32_t *ret_action, uint32_t *ret_ns);
int fg_sensor_prog_fd(const struct fg_sensor *sensor);
