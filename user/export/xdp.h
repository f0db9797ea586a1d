/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP target: keeps the kernel's drop maps equal to what may be exported: sources, prefixes and
 * clients. Entries expire in the kernel by its own clock, so a dead agent blocks nobody for longer
 * than the TTL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/export.h"
#include "sensor/sensor.h"

struct fg_xdp;

struct fg_xdp_conf {
	/* A new block also ends the connections that were established before it. Off: they live on. */
	bool established;
};

/* Why an item is in no drop map. */
enum fg_xdp_left {
	FG_XDP_TOO_WIDE, /* wider than an IPv4 /8 or an IPv6 /16 */
	FG_XDP_TOO_NARROW, /* part of an IPv6 /64 */
	FG_XDP_LENGTHS, /* of a prefix length beyond the FG_PREFIX_LENGTHS most used ones */
	FG_XDP_FULL, /* its map holds FG_DROP_ENTRIES already */
	_FG_XDP_LEFT_MAX
};

/** Takes over what the drop maps hold, which the first apply brings up to date. conf may be NULL.
 * @return 0, -ENOMEM, -errno. The sensor outlives the target. */
int fg_xdp_new(struct fg_sensor *sensor, const struct fg_xdp_conf *conf, struct fg_xdp **ret_xdp);
void fg_xdp_free(struct fg_xdp **xdp);

/** Adds, renews and removes entries; what has not changed since the last call costs no system call.
 * @return number of changes, -errno with a sentence in why (the rest was applied, and what was refused
 * is tried again by the next call). Items that cannot be held are no error: fg_xdp_left_over(). */
int fg_xdp_apply(struct fg_xdp *xdp, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why);

/** The wall clock was set, and entries end by the kernel's own: the next apply renews all of them. */
void fg_xdp_forget_ends(struct fg_xdp *xdp);

/** Items of the last set that are in no drop map. */
uint64_t fg_xdp_unexportable(const struct fg_xdp *xdp);
/** The same by reason; left may be NULL. */
void fg_xdp_left_over(const struct fg_xdp *xdp, uint64_t left[_FG_XDP_LEFT_MAX]);
/** As a sentence's end: "2 wider than an IPv4 /8 or an IPv6 /16; 1 …". "" where there are none. */
const char *fg_xdp_left_text(const struct fg_xdp *xdp, char *buf, size_t n_buf);

/** What the gate stopped for one block: SYNs and hellos, and when the last came (unix ns; 0 = none
 * yet), given that it is now_ns now. stem 0 = a source or prefix, stack 0 = any. Touches nothing that
 * apply does: safe beside it on another thread. @return 0, -ENOENT where no drop map holds it, or it
 * has expired, -errno. */
int fg_xdp_hits(const struct fg_xdp *xdp, const uint8_t addr[16], uint8_t bits, uint64_t stem,
		uint64_t stack, uint64_t now_ns, uint64_t *ret_hits, uint64_t *ret_last_ns);
