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
#include "verdict/guard.h"
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

/* What a live export did since the start. */
struct fg_view_export {
	char name[16];
	uint64_t held, applied, batches, errors, rewrites, unexportable;
	uint64_t last_success_ns; /* unix; 0 = never */
	uint64_t last_batch_ns; /* how long it took */
	bool failing;
	char error[256]; /* of the last failure; "" = none yet */
};

#define FG_VIEW_MAX_EXPORTS 12

/* A file of prefixes that are never blocked. */
struct fg_view_allow_file {
	const char *path;
	size_t prefixes; /* that stand */
	const char *fault; /* "" = none */
};

#define FG_VIEW_MAX_MAPS	16
#define FG_VIEW_MAX_DEGRADED	16
#define FG_VIEW_MAX_ALLOW_FILES 16

/* An export that is asked for as a document. */
struct fg_view_document {
	const char *format; /* NULL = not given */
	enum fg_tier min_tier;
	bool dry_run;
	/* text of an option of the format, NULL where it is not given */
	const char *(*argument)(void *arg, const char *name);
	void *arg;
};

struct fg_bouncers; /* serve/bouncer.h */
struct fg_crowdsec; /* export/crowdsec.h */
struct fg_http_counts; /* serve/http.h */

struct fg_view {
	const struct fg_model *model;
	struct fg_store *store;
	const struct fg_cohorts *cohorts; /* NULL = none are looked for */
	const struct fg_networks *networks; /* NULL = none is known */
	const struct fg_accounts *accounts; /* what the application told; NULL = the feed is off */
	const struct fg_feed_counts *feed; /* NULL with accounts */
	struct fg_crowdsec *crowdsec; /* decisions for bouncers; NULL = none are served */
	struct fg_bouncers *bouncers; /* NULL with crowdsec */
	const struct fg_http_counts *http; /* of the API over TCP; NULL = it is off */
	uint64_t set_revision,
		set_changed_ns; /* of the set last exported, and since when; 0 = none yet */
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
	struct fg_view_export exports[FG_VIEW_MAX_EXPORTS];
	size_t n_exports;
	char degraded[FG_VIEW_MAX_DEGRADED][256]; /* sentences; none = healthy */
	size_t n_degraded;
	struct fg_view_allow_file allow_files[FG_VIEW_MAX_ALLOW_FILES];
	size_t n_allow_files;
	double holdback; /* fg_guard_conf.holdback */
	uint64_t first_packet_ns, last_packet_ns; /* 0 = none yet */

	void *agent; /* first argument of the callbacks */
	uint64_t (*now_ns)(void *agent); /* unix; packet time in replay */
	/** Brings counters above up to date (interfaces, maps) before a status answer. */
	void (*refresh)(void *agent);
	/** Writes an export. @return 0, -EINVAL with a sentence in why where there is none such,
	 * -errno. */
	int (*write_export)(void *agent, FILE *out, const struct fg_view_document *what, char *why,
			    size_t n_why);
	/** Media type of an export, NULL where there is none such. */
	const char *(*export_type)(const struct fg_view_document *what);
	/** What guards make of a verdict: who else would be hit, and what holds it. NULL = there are no
	 * guards. @return false where it cannot be told. */
	bool (*guarded)(void *agent, const struct fg_verdict *verdict,
			struct fg_guarded *ret_guarded);
	/** The same of all in tier enforce, or of what a cohort's members would be by themselves.
	 * cohort 0 = all. */
	bool (*guard_report)(void *agent, uint32_t cohort, struct fg_guard_report *ret_report);
	/** Number of the set that leaves of tier enforce; grows with each that is another. NULL = there are
	 * no guards. */
	uint64_t (*blocks_revision)(void *agent);
	/** Proven connections of a source counted while it had no row; never too low. */
	uint64_t (*overflow)(void *agent, const uint8_t source[16]);
	/** What the kernel's gate stopped for a verdict, and when the last came (unix ns, 0 = nothing
	 * yet); NULL = there is no gate. @return 0, -ENOENT where it holds no block of it, -errno. */
	int (*gate_hits)(void *agent, const struct fg_verdict *verdict, uint64_t *ret_hits,
			 uint64_t *ret_last_ns);
	/** Called after each operator decision so that exports follow at once. */
	void (*changed)(void *agent);
};
