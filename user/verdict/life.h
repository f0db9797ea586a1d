/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a detector's verdict, as pure rules: what a finding, an objection and time make of it.
 * Operators' blocks know standing, ended and gone only: they neither wait, escalate nor cool.
 *
 *   state      on                                         becomes
 *   ---------  -----------------------------------------  ------------------------------------------
 *   none       a finding                                  standing, tier alert
 *   standing   a finding of a member of a cohort, sure    tier enforce at once (also when it is new)
 *   (alert)    another, sure, 10 s or more after first    tier enforce
 *   standing   a guard says no: shared, not proven, mode  tier alert at once; up again after 60 s
 *   (enforce)    is observe                                 without an objection
 *              an allow covers it                         the same, and up at once where it is undone
 *              a finding that is weaker, or not sure      as it was, until the end that the last sure
 *                                                           one gave it; until never comes nearer
 *   standing   until passes                               cooling, tier observe
 *              an operator unblocks                       ended, for a week
 *   cooling    a finding                                  standing with one strike more and four
 *                                                           times as long, at most 24 h
 *              its time passes                            gone: strikes are forgotten
 *   ended      a finding with new evidence                standing, without strikes
 *              any other finding                          as it was
 *              a week passes                              gone
 *
 * Sure: no guard objects, and the baseline and the budget of false blocks allow it. Time is a parameter.
 */
#pragma once

#include "verdict/store.h"

/* One spike is no reason to block: the noisiest ten seconds of an honest source (a page opened in many
 * tabs, a retry storm after an outage) are over by then. Members of cohorts were judged from hours. */
#define FG_RIPE_S 10
/* Judged each second, a verdict at the edge of an objection would flap in every export. */
#define FG_CALM_S 60
/* A day: a farm's exits come back daily, and the next holder of an address should not inherit more. */
#define FG_COOLING_S (24 * 3600)
/* A week for who was enforced against: while a block of up to 24 h stands its wrongs are not seen, so
 * that quiet days count for less; and strikes flag nobody, they only say for how long. */
#define FG_COOLING_ENFORCED_S (7 * 24 * 3600)
/* 1 h, 4 h, 16 h, 24 h: three returns make the longest that any block lasts. */
#define FG_ESCALATION 4
/* Members of cohorts are judged once an hour: their time runs from when they are judged again. */
#define FG_MEMBER_WAIT_S 3600
/* An operator's word holds for a week: one cycle of working days and weekend shows whether it was right. */
#define FG_ENDED_S (7 * 24 * 3600)
/* ln 100: the case must be a hundred times as strong as the one that an operator looked at and dropped. */
#define FG_NEW_NATS 4.6

/* Why a finding may not be enforced; the first that holds. */
enum fg_objection {
	FG_OBJECTION_NONE,
	FG_OBJECTION_UNPROVEN,
	FG_OBJECTION_SHARED,
	FG_OBJECTION_UNSURE, /* bars the way up, and does not lower */
	FG_OBJECTION_MODE,
	_FG_OBJECTION_MAX
};
/** What speaks against enforcing a finding, the allowlist left aside. Being shared is no objection to a
 * block of one client: its neighbours go on. enforce: mode is enforce. reason gets a sentence. */
enum fg_objection fg_life_objection(const struct fg_finding *finding, bool enforce,
				    char reason[160]);
/** Is the finding about one client (source, stem and stack)? */
bool fg_life_is_client(const struct fg_finding *finding);
/** A member of a cohort of cells, which is judged once an hour. */
bool fg_life_is_hourly(const struct fg_finding *finding);

/** For how long a verdict stands that came back so often. */
uint64_t fg_life_ttl_ns(uint32_t ttl_s, uint32_t wait_s, uint32_t strikes);

/** Sets tier, earned, enforced and the times of objections of *v, which is judged at now_ns, from what it
 * was before (NULL = new, or new again). v has its first_ns and until_ns already. Where the tier could be
 * higher but for time, reason says for what it waits. */
void fg_life_judge(struct fg_verdict *v, const struct fg_verdict *before, enum fg_objection why_not,
		   bool at_once, bool allowed, uint64_t now_ns);

/** Until when it cools once until_ns passed. */
uint64_t fg_life_cooled_ns(const struct fg_verdict *v);
/** Does the finding know more than the verdict that an operator ended? what gets a sentence. */
bool fg_life_is_news(const struct fg_verdict *ended, const struct fg_finding *finding,
		     char what[160]);
/** Do its times lie further ahead than any rule puts them? A clock that ran ahead wrote them then. */
bool fg_life_is_ahead(const struct fg_verdict *v, enum fg_state state, uint64_t now_ns);
/** Nothing lasts longer from now on than it would if it began now. */
void fg_life_bring_back(struct fg_verdict *v, enum fg_state state, uint64_t now_ns);
