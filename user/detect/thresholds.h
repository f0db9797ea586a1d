/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every number that a verdict hangs on, with where it comes from. Those of a measurement's definition
 * (what counts as relayed, a mode of silence, an exchange) stand where it is defined.
 */
#pragma once

/* --- One source ------------------------------------------------------------------------------- */

/* ln 1e6: under a likelihood ratio test this is passed by chance by at most one source in a million
 * (Wald 1945; Ville 1939 for any stopping time). One a day at a million sources is a case that a
 * person can look at. */
#define FG_FLAG_NATS 13.8

/* A trait counts once, by how rare it is: the cap on a family is that of a trait of 2 % (ln 50 = 3.9).
 * Four families at their caps are 16; what is not volume may be 10 in all, so that nobody is flagged
 * for how it looks, 13.8 - 10 = 3.8 nats of volume at least. */
#define FG_FAMILY_CAP_NATS   4.0
#define FG_FAMILY_FLOOR_NATS (-3.0)
#define FG_OTHERS_CAP_NATS   10.0
/* A trait is never taken for rarer than one in a hundred: base rates are measured on hosts that an
 * unknown share of farms is among. */
#define FG_BASE_RATE_FLOOR 0.01
/* Share of a farm's clients that show the trait it is built on: what is not measured may be missing. Of one
 * source a trait that is not there clears nobody, as farms differ; of a cohort's suspects it does, down to
 * the floor. */
#define FG_TRAIT_IN_FARMS 0.9

/* Who does less than a person with a few tabs in a minute, or than five times the usual, is not looked at: the
 * tail of a fit is worth nothing near its middle. Fewer than fifty sources have no tail. */
#define FG_MIN_CONNECTIONS 20
#define FG_MIN_POPULATION  50
#define FG_MIN_RATIO	   5.0
/* Kinds of clients behind one address: a household has a browser, a phone's, an app's; four at once are an
 * office or a carrier. It errs towards shared, which is never blocked by address. */
#define FG_CROWD_STEMS 4

/* Traits of one source, and how many of the harmless have them. A rate is the stem's own where it was
 * learned; those written here are guesses above what was measured, so that a trait says less.
 * Gaps: of 387 measured clients of model servers a tenth had a coefficient of variation below 0.87 to 1.0
 * (Wang and others, ServeGen); of 30 exponential gaps it is below 0.5 once in forty thousand. */
#define FG_STEADY_CV   0.5
#define FG_STEADY_GAPS 30
#define FG_STEADY_RATE 0.02
/* Stems of one machine: a browser, its next release, an SDK or two and curl are five. */
#define FG_FAN_STEMS 6
#define FG_FAN_RATE  0.02
/* Quarter hours of a day: 80 leave four hours of rest; people at home rest five and more. */
#define FG_AWAKE_QUARTERS 80
#define FG_AWAKE_RATE	  0.02
/* Sessions resumed that were never begun here: phones change addresses every six hours or so, and a
 * quarter of their resumptions is such; more than half of five is. */
#define FG_ORPHAN_JUDGED 5
#define FG_ORPHAN_SHARE	 0.5
#define FG_ORPHAN_RATE	 0.03
/* Relayed, or new within a day, where the stem's rate was not learned: companies and relay products are 4 % of
 * sources; a tenth is born where three quarters return. New is said once births can be told from the
 * beginning. */
#define FG_RELAY_RATE	   0.05
#define FG_BORN_RATE	   0.1
#define FG_BORN_AFTER_DAYS 2
/* A stack that one in a hundred of the stem's clients has, of a hundred or more. */
#define FG_STACK_RATE	 0.01
#define FG_STACK_CLIENTS 100

/* A source's own days: from so many on its own busiest window says what is usual for it, with a tail that
 * falls off as k^-3 (bursts of measured clients of model servers: gaps with a coefficient of variation
 * of 4 and more, so a tail with hardly a variance). After two days 13.8 nats are seventy times the
 * busiest window, after a month thirty, or twice with what others add. */
#define FG_OWN_DAYS 2
#define FG_OWN_TAIL 3.0
/* One in fifty, an engineering estimate: of a programs' interface one to two in a hundred sources are large
 * customers' servers, and a newcomer like them is a new customer. */
#define FG_KNOWN_SHARE 0.02
/* Who came within so many days from when learning began is taken for usual whatever it does: each day of
 * the week once. */
#define FG_PRESUMED_DAYS 7

/* --- Cohorts ---------------------------------------------------------------------------------- */

/* ln(4,096 cells x 720 hours): the Shiryaev-Roberts recursion's mean time to a false alarm is at
 * least its threshold, so that a kind of cells has one in thirty days (Pollak 1987). */
#define FG_ALARM_NATS 14.9
/* A recursion stops growing here: once the cause is gone it is below the alarm again after a day or
 * two, and not after as many weeks as the farm was there. */
#define FG_ALARM_MAX_NATS 40.0
/* Effects smaller than these are left alone, however sure: legitimate shifts of that size are
 * everyday (a privacy option sold to a few hundred honest users). */
#define FG_MIN_EXCESS	    100.0
#define FG_MIN_EXCESS_SHARE 0.2
/* Fewer active clients in an hour say nothing about a share. */
#define FG_MIN_ACTIVE 20
/* A cell must have learned for so many days before it, or what it leans on, may alarm at all, and for
 * so many before anything in it may be enforced. Shape and prefix cells lean on nothing like them. */
#define FG_WARM_DAYS	     3
#define FG_WARM_ENFORCE_DAYS 14
/* Learning stops in a cell in which one family's recursion is above this (e^5, one hour in 150 by
 * chance), so that a slow farm does not become what is usual; but for two weeks at most: a change
 * that no second family calls a farm is the new usual, and is reported as drift. */
#define FG_SUSPECT_NATS 5.0
#define FG_SUSPECT_DAYS 14
/* Drift by a quarter in a month that no release explains is told. */
#define FG_DRIFT_SHARE 0.25

/* Cohorts without relays (machines in data centres) must be heavy and spread: so many turns a client
 * and day, above what a person does, over so many networks, above what one customer has. */
#define FG_HEAVY_TURNS	  256
#define FG_HEAVY_NETWORKS 5
/* A monitoring service is just that, too, but its requests are one like the other. */
#define FG_PROBE_GAPS	     10
#define FG_PROBE_CV	     0.15
#define FG_PROBE_SHAPE_SHARE 0.9
/* Who was here for two weeks before is none of a farm that comes. */
#define FG_NEW_DAYS 14
/* One clock: fifty voters of the hours of their day, and a correlation between them as of people of one
 * country on one day (a holiday moves a seventh of them). */
#define FG_CLOCK_VOTERS 50
#define FG_CLOCK_RHO	0.02
/* People's least busy six hours hold 3 to 5 % of what they do, by local time; of who never rests 25 %. */
#define FG_CLOCK_REST 0.12

/* --- Tests that are asked once a day, and support others ---------------------------------------- */

/* A family's recursion counts with the weight 0.9, that of its supporting test with 0.1: a mean of such
 * recursions keeps the bound of FG_ALARM_NATS, and a test that says nothing costs ln(1 / 0.9) = 0.1 nats.
 * It is asked for only where the family is above FG_SUSPECT_NATS by itself: never alone an alarm. */
#define FG_SUPPORT_WEIGHT 0.1
/* What chance does on more than one day in twenty is not told, and counts as e = 1 at most. */
#define FG_SUPPORT_P 0.05
/* Clients of a cell that they look at: what one farm of the reference case has, twice. Of more, so many
 * are drawn. */
#define FG_DAILY_CLIENTS 50000
/* Cells an hour, those with most behind them first: what the largest cost is a third of a second, and one
 * farm shows in some 20 of which a day has 23. */
#define FG_DAILY_CELLS 1

/* Hand-over: fewer starts, stops or pairs above chance say nothing; a tenth of all starts is the share of
 * them below which a rate that changes within the quarter hour would do the same. */
#define FG_HANDOVER_LEAST 20
#define FG_HANDOVER_SHARE 0.1

/* Lockstep: of independent sources with 26 exchanges a day, one pair in a thousand has a Jaccard index of
 * quarter hours above 0.40 (median 0.17); of those that work the same five hours the median is 0.56. */
#define FG_LOCKSTEP_JACCARD 0.45
/* Clients of fewer quarter hours a day are alike by chance, and who is there half of the day is alike
 * with everybody. */
#define FG_LOCKSTEP_MIN_QUARTERS 6
#define FG_LOCKSTEP_MAX_QUARTERS 48
/* A bucket of more candidates is cut into parts of so many, so that work stays linear. */
#define FG_LOCKSTEP_BUCKET 200
/* Fewer are a household or an office. */
#define FG_LOCKSTEP_GROUP 10
/* It is told of groups that were together on so many days; chance does not repeat itself. */
#define FG_LOCKSTEP_DAYS 3
/* Of the clients that can be in one, so many must be in groups. */
#define FG_LOCKSTEP_SHARE 0.1

/* --- Members ---------------------------------------------------------------------------------- */

/* Local false discovery rate: of newcomers that look just like this one, so many are none (Efron 2005).
 * One in a hundred is what may be; twice what is said is the limit of what is, in simulated farms
 * (tests/campaign, figures in README.md). */
#define FG_MEMBER_LFDR 0.01
/* Below this no client is a member, whatever it looks like: a median and a spread need three. Over QUIC,
 * where there are no times, it is connections. */
#define FG_MEMBER_MEASURED 3
/* A member that is not confirmed is one to 0.8 after a day, and none after seven (0.8^7 = 0.21). */
#define FG_MEMBER_DECAY 0.8
#define FG_MEMBER_LEAST 0.25

/* --- Budgets, configurable -------------------------------------------------------------------- */

/* False flags in a million legitimate sources and days. */
#define FG_ALERT_PER_MILLION   10.0
#define FG_ENFORCE_PER_MILLION 1.0

/* --- Accounts, where the application tells of them --------------------------------------------- */

/* What the shape of accounts says, how many on one client or how they share clients, is worth so much at
 * most: an office that moves in behind one gateway, a fleet of servers with the keys of many teams, the
 * users of a privacy relay have that shape, too. Without evidence of the accounts themselves (young,
 * banned, replaced: FG_FAMILY_CAP_NATS) nobody is flagged: 10 < 13.8 <= 10 + 4. */
#define FG_ACCOUNTS_CAP_NATS 10.0
/* Of the accounts themselves: effects smaller than these are left alone, however sure. So many of a
 * community's accounts must be young, or banned, at the least; and at odds so many times those of all other
 * accounts. */
#define FG_ACCOUNTS_SHARE 0.1
#define FG_ACCOUNTS_ODDS  3.0
/* Fewer young accounts on a client are a family's: with 1 and Poisson(1.5) others in a household, one in a
 * thousand has 8. */
#define FG_ACCOUNTS_LEAST 8
/* Young accounts on a client are counted as if they had this dispersion (variance mean + 2 mean^2) and no
 * smaller mean than FG_ACCOUNTS_MEAN: a dozen is one in 19,000, 13 are worth the cap. */
#define FG_ACCOUNTS_DISPERSION 0.5
#define FG_ACCOUNTS_MEAN       0.5

/* Two accounts belong together if they were on the same clients in so many networks within a day. Who
 * lives together shares the home and the mobile network; colleagues the office, perhaps its gateway
 * elsewhere; a third is common to couples on a journey, which are two. Farms draw exits from many. */
#define FG_COMMUNITY_NETWORKS 3
/* The floor: about 30 accounts, less a fifth that did not connect that day. What lives together and is
 * joined has a handful. */
#define FG_COMMUNITY_ACCOUNTS 24
/* A client belongs to a community with two of its accounts or more, if they are at least so many of all
 * its accounts: beside them it may have users of its own, who would be hurt. */
#define FG_COMMUNITY_OWN 0.5

/* A replacement comes within 15 minutes ("a banned account is replaced at once"). */
#define FG_REPLACEMENT_NS 900000000000ULL
/* Bans of one stem, those within 15 minutes being one, before they are asked about; and hours that the
 * feed must have been on, for the shifts of 1 to 6 hours either way to have somewhere to go. */
#define FG_REPLACEMENT_BANS 5
/* Newcomers behind them: two may meet by chance. */
#define FG_REPLACEMENT_NEWCOMERS 3
#define FG_REPLACEMENT_HOURS	 4
#define FG_REPLACEMENT_SHIFT	 6
/* The smallest p is 1 in 1,000, ln = -6.9: more than the family's cap takes. */
#define FG_REPLACEMENT_ROUNDS 999
