/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cohorts: cells that changed as a farm changes them, and the clients that did it. Cohort first,
 * members second: a quiet source cannot be convicted alone.
 *
 * Each hour, in each cell, each family's e-value (detect/cell_tests.h) goes into a recursion of its own
 * (lib/betabin.h). An alarm needs
 *   two families above FG_ALARM_NATS: relay and one of automation or clock; or, for machines in data
 *     centres, automation and lifecycle, where the clients in excess are heavy, spread over networks,
 *     and no monitoring service;
 *   an effect: FG_MIN_EXCESS clients above what is usual, FG_MIN_EXCESS_SHARE of the cell;
 *   a baseline of FG_WARM_DAYS. Before, a cohort is reported in tier observe, and makes no members.
 * Hand-over and lockstep support lifecycle and automation where these are above FG_SUSPECT_NATS by
 * themselves (detect/cohort_daily.c), and never count without.
 * New sources alone are never evidence enough beside relays: every product has launches.
 *
 * False positive case: a product that sells its users one exit and one program to run at set hours.
 * From outside it is a farm.
 */
#pragma once

#include "detect/cell_tests.h"
#include "detect/clock.h"
#include "detect/handover.h"
#include "detect/lockstep.h"

/* Alarms of cells that are told apart; more are refused and counted. 700 bytes each. */
#define FG_MAX_COHORTS 256
/* Clients that are remembered as members; as many as there may be verdicts. 96 bytes each. */
#define FG_MAX_MEMBERS 100000

/* Tests that support a family, asked once a day. */
enum fg_support {
	FG_SUPPORT_HANDOVER, /* of FG_FAMILY_LIFECYCLE */
	FG_SUPPORT_LOCKSTEP, /* of FG_FAMILY_AUTOMATION */
	_FG_SUPPORT_MAX
};

struct fg_cohort {
	uint32_t id; /* "c7" in texts */
	struct fg_cell_key key;
	uint32_t part_of; /* id of the cohort that most of its clients are members of; 0 = its own */
	bool residual; /* of all small cells of its kind */
	bool in_alarm; /* now */
	bool warm; /* else it is a report only */
	bool machines; /* by the second rule: no relays */
	uint64_t first_ns, alarm_ns; /* when it came up; last hour in alarm */
	double log_r[_FG_FAMILY_MAX]; /* recursions, capped at FG_ALARM_MAX_NATS */
	double active, excess; /* clients of the cell in the last hour in alarm, farm's of these */
	uint32_t members; /* that stand */
	double expected_false; /* of these, sum of their local false discovery rates */
	uint64_t exchanges; /* of its members, as long as they were */
	uint32_t networks; /* distinct /16 or /32 of its members */
	uint32_t cell_networks; /* ASNs or prefixes of the cell's clients in its last hour in alarm */
	struct fg_peak {
		struct fg_test test;
		int8_t share, hist; /* which; -1 = not this one */
	} peaks[_FG_FAMILY_MAX]; /* what each family found in its strongest hour in alarm */
	/* for its members' evidence: base rates, of histograms those of the bin that is in excess */
	struct fg_test relay, turns, shape;
	/* of the test that the excess comes from, for fg_cohort_interval() */
	double known, usual, rho;
	struct fg_clock clock; /* n is 0 where it was not asked */
	/* strongest day; effect is false where there was none */
	struct fg_handover handover;
	struct fg_lockstep lockstep;
	float support[_FG_SUPPORT_MAX]; /* recursions */
	uint16_t daily_day; /* that these are of, plus 1 */
};

struct fg_member {
	uint8_t addr[16];
	uint64_t stem, stack;
	uint32_t cohort; /* id */
	float log_odds; /* when it came in */
	float nats[_FG_FAMILY_MAX]; /* mean of its looks */
	float weight; /* 1 when confirmed, fades */
	uint16_t day; /* since 1970, that the weight is of */
	bool may_enforce; /* within the budget of false blocks */
	uint8_t turns_bin, shape_bin, stack_bin, age_days, relayed, clock; /* when last seen */
	uint8_t looked, looks; /* hour, modulo 256, of the last look; how many, stops at 255 */
	uint32_t exchanges; /* of the client when it became a member */
	uint64_t first_ns;
};

struct fg_cohorts;

/** @return 0, -ENOMEM. */
int fg_cohorts_new(struct fg_cohorts **ret_cohorts);
void fg_cohorts_free(struct fg_cohorts **cohorts);

/**
 * Ends an hour: counts the clients that were active in it (fg_model_active()), tests the cells, finds
 * members and learns. The caller begins the model's next hour.
 *
 * @param networks  NULL = none is known
 * @param hour  since 1970, the one that ends. An earlier one than the last is refused with -EINVAL.
 * @return 0, -ENOMEM, -EINVAL.
 */
int fg_cohorts_hour(struct fg_cohorts *cohorts, const struct fg_model *model,
		    const struct fg_networks *networks, const struct fg_detect_conf *conf,
		    uint32_t hour);

/** The last hour that ended, also before a restart; 0 = none. */
uint32_t fg_cohorts_last_hour(const struct fg_cohorts *cohorts);
/** The clock was set back: this hour is the next that ends. Times ahead of it are taken for it. */
void fg_cohorts_set_back(struct fg_cohorts *cohorts, uint32_t hour);

/** Calls emit for each member that stands; stops at its first non-zero answer and returns it. */
int fg_cohorts_members(const struct fg_cohorts *cohorts, const struct fg_model *model,
		       const struct fg_detect_conf *conf, fg_finding_fn emit, void *arg);

size_t fg_cohorts_n(const struct fg_cohorts *cohorts);
const struct fg_cohort *fg_cohorts_at(const struct fg_cohorts *cohorts, size_t i);
/** NULL where not there. */
const struct fg_cohort *fg_cohorts_find(const struct fg_cohorts *cohorts, uint32_t id);
size_t fg_cohorts_n_members(const struct fg_cohorts *cohorts);
const struct fg_member *fg_cohorts_member_at(const struct fg_cohorts *cohorts, size_t i);
/**
 * ln odds that a member is the farm's: those that it came in with (detect/members.h). The best of later
 * looks would flatter it. That it goes on looking like the farm is no news, a trait counts once; where
 * the mean of its looks is rather a usual client's, that counts against it.
 */
double fg_member_score(const struct fg_member *member);
/** Its local false discovery rate, 1 / (1 + odds). */
double fg_member_est_fdr(const struct fg_member *member);
/** Places (for fg_model_client_at()) of the clients that were active in the cohort's cell in the last
 * hour; valid until the next. @return how many. */
size_t fg_cohorts_active(struct fg_cohorts *cohorts, const struct fg_cohort *cohort,
			 const uint32_t **ret_places);
/** What the cell is, in words. */
void fg_cohort_what(const struct fg_cohort *cohort, const struct fg_model *model, char *text,
		    size_t n);
/** Bounds of 95 % on its excess. */
struct fg_interval fg_cohort_interval(const struct fg_cohort *cohort);
/* Most that a cohort has. */
#define FG_COHORT_EVIDENCE 6
/** Evidence of a cohort: its families, each followed by what supports it. @return how many, at most n. */
size_t fg_cohort_evidence(const struct fg_cohort *cohort, struct fg_evidence *ret, size_t n);

const struct fg_cells *fg_cohorts_cells(const struct fg_cohorts *cohorts);

/* How far learning is, and what the last hour said. */
struct fg_cohorts_state {
	uint32_t hours; /* ended */
	double days; /* that everybody's baseline rests on */
	size_t tested, discoveries; /* cells in the last hour; e-BH at 5 % over current e-values */
	double mean_e; /* of these cells' e-values: 1 at most where nothing changed */
	uint64_t refused; /* cohorts or members without room */
	/* cells that the daily tests were asked of; clients of these that were not drawn */
	uint64_t daily_asked, daily_left_out;
	uint64_t lockstep_refused; /* clients in groups that were not remembered */
	uint64_t sketch_bytes, sketch_refused; /* how far stems reach (model/reach.h) */
	double alert_expected_false, enforce_expected_false; /* of the day's new members */
	uint64_t legit_sources; /* sources that were active on the day, members left out */
};
struct fg_cohorts_state fg_cohorts_state(const struct fg_cohorts *cohorts);

/** What must survive a restart, as bytes. *ret_bytes is the caller's to free. @return 0, -ENOMEM. */
int fg_cohorts_save(const struct fg_cohorts *cohorts, void **ret_bytes, size_t *ret_n);
/** @return 0, -ENOMEM, -EBADMSG with a sentence in why: nothing was read then. */
int fg_cohorts_load(struct fg_cohorts *cohorts, const void *bytes, size_t n, char *why,
		    size_t n_why);
