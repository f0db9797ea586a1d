/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opinions. A detector is a pure function of the model: it reads windows and writes findings with
 * their evidence, and keeps nothing. Scores are natural logarithms (nats).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/benign.h"
#include "detect/thresholds.h"
#include "model/accounts.h"
#include "model/cells.h"
#include "model/model.h"

#define FG_MAX_EVIDENCE 5

/* In an id of a cohort: it is a community of accounts (detect/communities.h). */
#define FG_COMMUNITY (1U << 31)

enum fg_family {
	FG_FAMILY_VOLUME,
	FG_FAMILY_RELAY,
	FG_FAMILY_AUTOMATION,
	FG_FAMILY_CLOCK,
	FG_FAMILY_LIFECYCLE,
	_FG_FAMILY_MAX
};
const char *fg_family_name(enum fg_family family);

struct fg_evidence {
	enum fg_family family;
	char name[32]; /* what was measured, e.g. proven_connections_60s */
	double observed, expected;
	double base_rate; /* share of the population at or above observed, upper bound */
	double nats; /* after caps */
	char text[320]; /* one sentence: what was seen, and what is usual */
	double baseline_n; /* what the base rate was counted in; 0 = a careful guess */
	bool capped; /* nats would be more */
	uint8_t n_benign; /* at least 1 */
	struct fg_benign benign[FG_MAX_BENIGN];
};
/** Adds a benign explanation; one beyond FG_MAX_BENIGN is left out. figure NAN = none. */
void fg_evidence_benign(struct fg_evidence *e, enum fg_benign_what what,
			enum fg_considered considered, double figure);
/** Is there any, and has each at least one benign explanation? */
bool fg_evidence_is_whole(const struct fg_evidence *e, size_t n);
/** "Benign explanations considered: ...", each with what it is refuted by. @return buf. */
const char *fg_evidence_benign_text(const struct fg_evidence *e, char *buf, size_t n);
/** The sentence, with the benign explanations behind it. @return buf. */
#define FG_EVIDENCE_TEXT 1024
const char *fg_evidence_say(const struct fg_evidence *e, char buf[FG_EVIDENCE_TEXT]);

enum fg_tier {
	FG_TIER_OBSERVE,
	FG_TIER_ALERT,
	FG_TIER_ENFORCE,
	_FG_TIER_MAX
};
const char *fg_tier_name(enum fg_tier tier);
/** @return 0, -EINVAL. */
int fg_tier_parse(const char *text, enum fg_tier *ret_tier);

struct fg_finding {
	uint8_t source[16];
	uint64_t stem, stack, print; /* busiest client of the source; 0 = none */
	double score; /* sum of nats */
	uint32_t window_s; /* that it was seen in */
	double n_obs; /* observations that it rests on */
	double alpha; /* chance that who is harmless is flagged, as the threshold has it */
	/* of flags like this one, the share that is expected to be false; of a source by chance alone,
	 * for a null knows no good reasons to be heavy */
	double est_fdr;
	bool proven; /* at least one connection with a proof other than none */
	/* id of the cohort it is a member of, 0 = flagged by itself; with FG_COMMUNITY of a community
	 * of accounts, which is no cell's */
	uint32_t cohort;
	bool no_enforce; /* alert at most: too young a baseline, or the budget is spent */
	char no_enforce_why[96];
	bool shared; /* many hosts seem to sit behind it: alert, never exported */
	char shared_why[128];
	struct fg_evidence evidence[FG_MAX_EVIDENCE];
	size_t n_evidence;
};

/* Thresholds of the per-source detectors, from the configuration. */
struct fg_detect_conf {
	double flag_nats; /* default FG_FLAG_NATS */
	uint32_t min_connections; /* never an opinion below this many in the window, default 20 */
	uint32_t min_population; /* active sources needed as a population, default 50 */
	uint32_t shared_stems; /* this many distinct stems make a source shared, default 4 */
	/* budgets: false flags in a million legitimate sources and days, default 10 and 1 */
	double alert_per_million, enforce_per_million;
	/* days that must have been learned before anything may be enforced; default
	 * FG_WARM_ENFORCE_DAYS */
	double enforce_days;
};
extern const struct fg_detect_conf fg_detect_defaults;

typedef int (*fg_finding_fn)(const struct fg_finding *finding, void *arg);

/* What a detector looks at. */
struct fg_scene {
	const struct fg_model *model;
	const struct fg_cells *cells; /* what is usual; NULL = nothing was learned */
	const struct fg_networks *networks; /* NULL = none is known */
	const struct fg_accounts *accounts; /* NULL = the application tells nothing */
};

struct fg_detector_ops {
	const char *name;
	/** Calls emit for each finding; stops at its first non-zero answer and returns it. */
	int (*run)(const struct fg_scene *scene, const struct fg_detect_conf *conf,
		   fg_finding_fn emit, void *arg);
};

/** All detectors in the order they run, ended by NULL. */
extern const struct fg_detector_ops *const fg_detectors[];
