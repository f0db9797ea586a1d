/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs onto interfaces: XDP and tcx by links, which are pinned where there is a folder for them,
 * else clsact filters with our handle and priority. What an agent before this one left there is
 * replaced in place, so that no frame passes between the two.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "sensor/pins.h"
#include "sensor/sensor.h"

/* Of our clsact filters; with their handle it is what says that they are ours. */
#define FG_TC_PRIORITY 61

/* What is attached to one interface. */
struct fg_attached {
	char name[IF_NAMESIZE];
	unsigned int ifindex;
	const char *mode; /* native, generic, tc; NULL = not attached */
	int ingress_link, egress_link; /* -1 = none */
	enum fg_pins_kind ingress_kind;
	bool ingress_found, egress_found; /* it was there before us */
	bool clsact_ingress, clsact_egress, clsact_made;
};

/* What they have in common. */
struct fg_attacher {
	int xdp_fd, tc_fd, egress_fd;
	bool tcx;
	struct fg_pins *pins; /* NULL = nothing is pinned */
	/* one sentence each; worse: it stays like that */
	void (*say)(void *arg, bool worse, const char *text);
	void *arg;
};

/** Attaches ingress, and egress where asked for. why gets a sentence. @return 0, -EBUSY where another
 * program sits there, which is never replaced, -errno: what was attached up to there is in *a. */
int fg_attach(const struct fg_attacher *at, struct fg_attached *a, enum fg_sensor_mode mode,
	      bool egress, char *why, size_t n_why);
/** Takes away all of it, pins too. */
void fg_attach_undo(const struct fg_attacher *at, struct fg_attached *a);
/** Takes away only what was not there before us. */
void fg_attach_undo_new(const struct fg_attacher *at, struct fg_attached *a);
/** Lets go of it; what is pinned, and filters, stay. */
void fg_attach_leave(struct fg_attached *a);
/** Detaches pinned links that none of these holds: of interfaces, or ways to attach, no longer used. */
void fg_attach_sweep(const struct fg_attacher *at, const struct fg_attached *all, size_t n);
