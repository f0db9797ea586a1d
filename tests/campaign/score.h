/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How good the verdicts are. Fed with what really happened (cg_progress) and, each simulated hour,
 * with what stands in the agent's store; at midnight (UTC) the day is judged and forgotten.
 *
 *   subject     a client-day: (source, stem, stack) that made an exchange on that day
 *   truth       any exchange of a farm among them
 *   predicted   a verdict on the client, on its stem at that source, or on the whole source stood at
 *               any time of that day
 *   steady      days that begin one day or more behind the first true alarm
 *   leak        exchanges of farms before a verdict first stood on their own client; to the alarm:
 *               before the first true alarm on a cohort. Both of all exchanges of farms.
 *   TTD         first true alarm less the farm's first exchange, hours
 *   TTM50, 90   until 50, 90 % of the farm's clients active in an hour are under a verdict at its
 *               end, hours after the farm's first exchange
 *   late flag   from the first exchange of a farm's client that came behind the first true alarm on a
 *               cohort until a verdict stood on it, median hours
 *   FP/M        legitimate client-days predicted, a million of legitimate source-days; upper: of the
 *               95 % one-sided interval (Garwood, Biometrika 28, 1936: half the chi-square quantile
 *               with 2 n + 2 degrees of freedom)
 *   blocked     legitimate exchanges while a verdict of tier enforce stood, of all such
 *
 * Verdicts are read once an hour, with the times they themselves give. One that is gone an hour later
 * is taken to have stood until it was last seen, or its end.
 *
 * Owns: counts. Must not: show the truth to a detector.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "campaign/epochs.h"
#include "detect/detect.h"

#define CG_HOUR_NS 3600000000000ULL

/* Tiers that are counted: an alert or more, and enforce alone. */
enum cg_tier {
	CG_ALERT,
	CG_ENFORCE,
	CG_TIERS
};

/* Client-days and exchanges, by tier. */
struct cg_tally {
	uint64_t farm, legit; /* all */
	uint64_t farm_flagged[CG_TIERS], legit_flagged[CG_TIERS];
};

/* What legitimate users had of it, for a kind of client, a country, a network. */
struct cg_harm {
	uint64_t source_days, client_days, flagged[CG_TIERS];
	uint64_t exchanges, blocked;
};

/* A cohort's alarm as judged by whoever knows its members. */
struct cg_alarm {
	uint64_t id, time_ns;
	uint32_t clients, farm; /* in the cohort at that time; of these, a farm's */
	uint32_t farm_active; /* clients of farms at that time, everywhere */
	bool enforced;
};

struct cg_metrics {
	struct cg_tally days, exchanges; /* of scored days */
	struct cg_tally steady;
	uint64_t legit_source_days, scored_days;
	uint64_t farm_exchanges, leaked, leaked_to_alarm; /* of all days */
	uint64_t legit_exchanges, blocked; /* of scored days */
	uint64_t farm_start_ns, first_alarm_ns, first_cell_alarm_ns; /* 0 = never */
	uint64_t member_ns[2]; /* TTM 50 and 90, 0 = never */
	uint64_t alarms, true_alarms, false_enforced; /* of cohorts */
	bool farm_cell_found; /* a true alarm on a cohort that holds a tenth of the farm */
};

struct cg_score_conf {
	uint64_t start_ns; /* midnight */
	uint64_t scored_ns; /* days before are not scored; midnight */
	/** What an actor is. */
	struct cg_actor_info (*actor)(void *arg, uint32_t actor);
	/** Told of each client that a verdict fell on, once. May be NULL. */
	void (*flagged)(void *arg, uint32_t actor, uint64_t now_ns);
	void *arg;
	FILE *log; /* a line a day; NULL = none */
};

struct cg_score;

int cg_score_new(const struct cg_score_conf *conf, struct cg_score **ret_score);
void cg_score_free(struct cg_score **score);

/** What happened in an epoch that ended. @return 0, -ENOMEM. */
int cg_score_progress(struct cg_score *score, const struct cg_progress *progress, size_t n);
/** A verdict that stands now. stem and stack 0 = all of the source. @return 0, -ENOMEM. */
int cg_score_verdict(struct cg_score *score, const uint8_t source[16], uint64_t stem,
		     uint64_t stack, enum fg_tier tier, uint64_t first_ns, uint64_t until_ns);
void cg_score_alarm(struct cg_score *score, const struct cg_alarm *alarm);
/** Ends the hour at now_ns, of which all verdicts were told; at midnight also the day.
 * @return 0, -ENOMEM. */
int cg_score_hour(struct cg_score *score, uint64_t now_ns);

/** Was this client a farm's today so far? For the truth of cohorts. */
bool cg_score_is_farm(const struct cg_score *score, const uint8_t source[16], uint64_t stem,
		      uint64_t stack);
/** 64 bits that this client is known by. */
uint64_t cg_score_key(const uint8_t source[16], uint64_t stem, uint64_t stack);
/** Clients of farms seen today so far. */
uint64_t cg_score_farm_clients(const struct cg_score *score);

const struct cg_metrics *cg_score_metrics(const struct cg_score *score);

/** a / b, NaN where b is 0. */
double cg_share(uint64_t a, uint64_t b);
/** Upper end of the one-sided 95 % interval of a Poisson mean of which n were seen. */
double cg_poisson_upper(uint64_t n);
/** Lower end of that; 0 where none was seen. */
double cg_poisson_lower(uint64_t n);

/** Columns behind those of the caller: names, or values, each with a tab in front. */
void cg_score_header(FILE *out);
void cg_score_row(const struct cg_score *score, FILE *out);
/** For people. */
void cg_score_print(const struct cg_score *score, FILE *out);
