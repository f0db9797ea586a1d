/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the API and the reports may see of an agent. The agent fills one in and keeps it; readers
 * run on the agent's own loop, so nothing here is locked. Actions go back through the callbacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "detect/cohort.h"
#include "model/accounts.h"
#include "model/model.h"
#include "serve/feed.h"
#include "model/networks.h"
#include "verdict/store.h"

/* Who is flagged, among the sources that are known: the share of a class of networks, or of a country,
 * against everybody's. serve/fairness.h */
#define FG_FAIR_COUNTRIES 5
struct fg_fair_row {
	char name[8]; /* class or country */
	uint64_t sources, flagged; /* sources is an estimate where they are many */
	double ratio; /* NAN where there are too few to tell */
};
struct fg_fairness {
	uint64_t sources, flagged;
	struct fg_fair_row classes[7], countries[FG_FAIR_COUNTRIES]; /* the largest ratios first */
	size_t n_classes, n_countries;
};

struct fg_view_interface {
	char name[16];
	char attach[8]; /* native, generic, tc, file */
	uint64_t packets;
};

struct fg_view_map {
	char name[16];
	uint64_t entries, capacity;
};

#define FG_VIEW_MAX_MAPS     16
#define FG_VIEW_MAX_DEGRADED 16

struct fg_view {
	const struct fg_model *model;
	struct fg_store *store;
	const struct fg_cohorts *cohorts; /* NULL = none are looked for */
	const struct fg_networks *networks; /* NULL = none is known */
	const struct fg_accounts *accounts; /* what the application told; NULL = the feed is off */
	const struct fg_feed_counts *feed; /* NULL with accounts */
	const char *networks_file; /* NULL where networks is */
	struct fg_networks_report networks_report; /* what was wrong with it */
	double enforce_days; /* fg_detect_conf.enforce_days */
	double alert_per_million, enforce_per_million; /* the same */
	struct fg_fairness fairness; /* of the last hour that ended */
	const char *role; /* terminate, transit, mirror */
	const char *mode; /* observe, enforce */
	uint32_t shared_stems; /* fg_detect_conf.shared_stems */
	uint64_t started_ns; /* unix */
	struct fg_view_interface interfaces[FG_MAX_IFACES];
	size_t n_interfaces;
	struct fg_view_map maps[FG_VIEW_MAX_MAPS];
	size_t n_maps;
	char degraded[FG_VIEW_MAX_DEGRADED][256]; /* sentences; none = healthy */
	size_t n_degraded;
	uint64_t first_packet_ns, last_packet_ns; /* 0 = none yet */

	void *agent; /* first argument of the callbacks */
	uint64_t (*now_ns)(void *agent); /* unix; packet time in replay */
	/** Brings counters above up to date (interfaces, maps) before a status answer. */
	void (*refresh)(void *agent);
	/** Writes an export (nft plain json csv) of the tier. @return 0, -EINVAL unknown format,
	 * -errno. */
	int (*write_export)(void *agent, FILE *out, const char *format, enum fg_tier min_tier,
			    bool dry_run);
	/** Proven connections of a source counted while it had no row; never too low. */
	uint64_t (*overflow)(void *agent, const uint8_t source[16]);
	/** What the kernel's gate stopped for a verdict, and when the last came (unix ns, 0 = nothing
	 * yet); NULL = there is no gate. @return 0, -ENOENT where it holds no block of it, -errno. */
	int (*gate_hits)(void *agent, const struct fg_verdict *verdict, uint64_t *ret_hits,
			 uint64_t *ret_last_ns);
	/** Called after each operator decision so that exports follow at once. */
	void (*changed)(void *agent);
};
