/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Harmless explanations. Each piece of evidence names at least one that it could have, how far that
 * was considered, and what would refute it: a flag that cannot be argued with is of no use to whoever
 * is woken by it. The store refuses a finding with evidence that has none.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What it could be, which figure speaks for or against it (a format for one double, "" = none), and
 * when it is refuted: "refuted if ...". Names are kept on disk: they stay. */
#define FG_BENIGN(X)                                                                               \
	X(crowd, "many users behind one address", "kinds of clients or hosts: %.0f",               \
	  "it shows one kind of client from one host")                                             \
	X(own_service, "a monitoring probe, a crawler or one customer's API server", "",           \
	  "nobody claims it; allow it if somebody does")                                           \
	X(owners_gateway, "a VPN or gateway of its owner", "",                                     \
	  "clients of other owners come through it")                                               \
	X(new_system, "a new system that others will have, too", "",                               \
	  "the share stays that low for weeks")                                                    \
	X(scheduled_job, "a monitoring probe or a scheduled job of its owner", "",                 \
	  "nobody claims it; allow it if somebody does")                                           \
	X(developer, "a developer's machine", "", "it does as much on every day of the week")      \
	X(home_server, "a server at home", "", "nobody claims it; allow it if somebody does")      \
	X(phone, "a phone that moves between networks", "", "its address stays the same for days") \
	X(new_customer, "a new customer, as every one is at first", "",                            \
	  "no account began on that day")                                                          \
	X(corporate_gateway, "a corporate gateway", "%.0f networks",                               \
	  "its clients are in more than a few networks")                                           \
	X(privacy_relay, "a privacy relay", "",                                                    \
	  "its addresses are outside the ranges that relays publish")                              \
	X(split_tcp, "split TCP of one mobile network", "%.0f networks",                           \
	  "its clients are in more than a few networks")                                           \
	X(course, "a course or an event with one notebook", "%.0f d so far",                       \
	  "it goes on for more than a week")                                                       \
	X(monitoring, "a monitoring service", "", "its gaps are not fixed")                        \
	X(release, "a new release of a client", "", "clients of the old release stay as they are") \
	X(launch, "a launch or a flash crowd", "", "the newcomers come through relays")            \
	X(address_change, "addresses that change daily", "",                                       \
	  "other clients of these networks keep theirs")                                           \
	X(abroad, "users of one country abroad", "%.0f networks",                                  \
	  "its clients are in more than a few networks")                                           \
	X(timers, "a scheduled job of many customers", "", "it does not start on the hour")        \
	X(one_owner, "one owner of many accounts who broke a rule once", "",                       \
	  "accounts go on being banned")                                                           \
	X(newcomers, "an office or a course that has just begun, behind one address", "",          \
	  "its accounts are not one owner's guests or staff")                                      \
	X(sign_up_hours, "bans made at the hours when people sign up", "",                         \
	  "it happens at other hours, too")                                                        \
	X(household, "a family or an office", "%.0f networks",                                     \
	  "its clients are in more than a few networks")                                           \
	X(fleet, "a company's fleet with many keys", "",                                           \
	  "no customer claims it; allow it if one does")                                           \
	X(pipeline, "pipelines whose jobs follow each other", "%.0f networks",                     \
	  "its clients are in more than a few networks")                                           \
	X(chance, "chance", "%.2g %% of usual clients do so", "it does the same on later days")

enum fg_benign_what {
#define FG_ENUM(name, text, figure, refuted_by) FG_BENIGN_##name,
	FG_BENIGN(FG_ENUM)
#undef FG_ENUM
	_FG_BENIGN_MAX
};

enum fg_considered {
	FG_CONSIDERED_OPEN, /* cannot be told from here */
	FG_CONSIDERED_UNLIKELY, /* something speaks against it */
	FG_CONSIDERED_REFUTED,
	_FG_CONSIDERED_MAX
};

#define FG_MAX_BENIGN 3

struct fg_benign {
	uint8_t what; /* enum fg_benign_what */
	uint8_t considered; /* enum fg_considered */
	float figure; /* not finite = none */
};

/** Names of the contract: "corporate_gateway"; "open", "unlikely", "refuted"; "?" beyond the end. */
const char *fg_benign_name(enum fg_benign_what what);
const char *fg_considered_name(enum fg_considered considered);
/** What it is, and what would refute it, in words. */
const char *fg_benign_text(enum fg_benign_what what);
const char *fg_benign_refutation(enum fg_benign_what what);
/** The figure in words, "" where there is none. @return buf. */
const char *fg_benign_figure(const struct fg_benign *benign, char *buf, size_t n);

/** "corporate_gateway refuted 61,privacy_relay open", for the store. @return length, as snprintf. */
size_t fg_benign_pack(const struct fg_benign *benign, size_t n, char *buf, size_t n_buf);
/** Reads that back; what another version wrote and this one does not know is left out. @return how
 * many, at most FG_MAX_BENIGN. */
size_t fg_benign_unpack(const char *text, struct fg_benign ret[FG_MAX_BENIGN]);
