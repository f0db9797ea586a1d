/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP target: keeps the kernel's drop maps equal to what may be exported. Entries expire in the
 * kernel by its own clock, so a dead agent blocks nobody for longer than the TTL.
 */
#pragma once

#include <stdint.h>

#include "export/export.h"
#include "sensor/sensor.h"

struct fg_xdp;

/** Begins with what the drop maps hold already. @return 0, -ENOMEM, -errno. The sensor outlives the
 * target. */
int fg_xdp_new(struct fg_sensor *sensor, struct fg_xdp **ret_xdp);
void fg_xdp_free(struct fg_xdp **xdp);

/** Adds, renews and removes entries, of sources and of clients. @return number of changes, -errno
 * with a sentence in why (the rest was applied). */
int fg_xdp_apply(struct fg_xdp *xdp, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why);

/** Items that no entry can hold (prefixes other than one IPv4 address or one IPv6 /64). */
uint64_t fg_xdp_unexportable(const struct fg_xdp *xdp);
