/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the operator's application told about accounts: which account was on which client within the
 * last day, how old accounts are, which were banned. Bounded tables; time is a parameter.
 *
 * An account is known by a 64-bit hash of the application's HMAC, under a seed of this run: nothing else
 * of it is kept, nothing at all beyond a day after it was last told, and nothing is written to disk. A
 * restart begins anew, and after a day knows what it would have known.
 *
 * Distinct clients of an account, and accounts of a client, are counted exactly by remembering the pairs;
 * up to FG_ACCOUNTS_MAX_EDGES for each, beyond which the count stands for "at least so many".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fg_account_outcome {
	FG_ACCOUNT_OK,
	FG_ACCOUNT_REFUSED,
	FG_ACCOUNT_LIMITED,
	FG_ACCOUNT_BANNED,
	_FG_ACCOUNT_OUTCOME_MAX
};
/** "ok", "refused", "limited", "banned". */
const char *fg_account_outcome_name(enum fg_account_outcome outcome);

/* How long ago the account was made. */
enum fg_account_age {
	FG_AGE_UNKNOWN,
	FG_AGE_NEW, /* within the hour */
	FG_AGE_DAY,
	FG_AGE_WEEK,
	FG_AGE_MONTH,
	FG_AGE_OLD,
	_FG_AGE_MAX
};
/** "unknown", "new", "day", "week", "month", "old". */
const char *fg_account_age_name(enum fg_account_age age);

/* Half a million accounts a day, each on two clients: 80 MB with their indexes when full. More are
 * refused, and counted; who has more gives each ingress host its share of the application's messages. */
#define FG_ACCOUNTS_MAX		(1U << 19)
#define FG_ACCOUNTS_MAX_CLIENTS (1U << 19)
#define FG_ACCOUNTS_MAX_PAIRS	(1U << 20)
/* Of one account, and of one client: a key that a whole fleet uses, or a mobile operator's gateway, must
 * not take the table. What is judged is far below. */
#define FG_ACCOUNTS_MAX_EDGES 4096
/* What was told is forgotten after this. */
#define FG_ACCOUNTS_KEEP_S 86400

struct fg_accounts_limits {
	uint32_t accounts, clients, pairs;
};
extern const struct fg_accounts_limits fg_accounts_defaults;

struct fg_account {
	uint64_t key;
	uint64_t first_ns, last_ns;
	uint64_t banned_ns; /* last told so; 0 = never */
	uint32_t first_client, banned_client; /* places */
	uint32_t clients; /* distinct, within the day */
	uint8_t age; /* enum fg_account_age, as it was told last */
	bool came_new; /* FG_AGE_NEW when it was told first */
};

/* stem 0: the connection was not found, only its source is known. */
struct fg_account_client {
	uint8_t addr[16];
	uint64_t stem, stack;
	uint64_t last_ns;
	uint32_t accounts; /* distinct, within the day */
};

struct fg_account_pair {
	uint32_t account, client; /* places */
	uint32_t last_s;
};

/* One message of the application. */
struct fg_account_push {
	uint64_t key;
	uint8_t source[16];
	uint64_t stem, stack; /* 0: which client it was is not known */
	enum fg_account_outcome outcome;
	enum fg_account_age age;
};

struct fg_accounts;

/** limits NULL = the defaults. @return 0, -ENOMEM. */
int fg_accounts_new(const struct fg_accounts_limits *limits, struct fg_accounts **ret_accounts);
void fg_accounts_free(struct fg_accounts **accounts);

/** Adds one message. What has no room changes nothing and is counted. @return 0, -ENOSPC, -ENOMEM. */
int fg_accounts_push(struct fg_accounts *accounts, const struct fg_account_push *push,
		     uint64_t now_ns);
/** An epoch ends: forgets what is older than a day, and says whether it is time to judge. */
void fg_accounts_epoch(struct fg_accounts *accounts, uint64_t now_ns);
/** True in the first epoch of each minute: what detectors do with accounts takes longer than an epoch
 * should, and none of it is in a hurry. */
bool fg_accounts_due(const struct fg_accounts *accounts);

uint64_t fg_accounts_now_ns(const struct fg_accounts *accounts);
/** Time of the first message; 0 = none yet. */
uint64_t fg_accounts_began_ns(const struct fg_accounts *accounts);

size_t fg_accounts_n(const struct fg_accounts *accounts);
size_t fg_accounts_n_clients(const struct fg_accounts *accounts);
size_t fg_accounts_n_pairs(const struct fg_accounts *accounts);
/** i below the matching count; valid until the next push or epoch. */
const struct fg_account *fg_accounts_at(const struct fg_accounts *accounts, size_t i);
const struct fg_account_client *fg_accounts_client_at(const struct fg_accounts *accounts, size_t i);
const struct fg_account_pair *fg_accounts_pair_at(const struct fg_accounts *accounts, size_t i);
/** NULL where not there. */
const struct fg_account *fg_accounts_find(const struct fg_accounts *accounts, uint64_t key);

#define FG_ACCOUNTS_REFUSED(X)                                    \
	X(accounts) /* messages without room for their account */ \
	X(clients)                                                \
	X(pairs)                                                  \
	X(crowded) /* pairs beyond FG_ACCOUNTS_MAX_EDGES: the account is noted */

struct fg_accounts_refused {
#define FG_FIELD(name) uint64_t name;
	FG_ACCOUNTS_REFUSED(FG_FIELD)
#undef FG_FIELD
};
struct fg_accounts_refused fg_accounts_refused(const struct fg_accounts *accounts);
/** Messages taken, by outcome. */
const uint64_t *fg_accounts_outcomes(const struct fg_accounts *accounts);
