/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The inside of the verdict store, for its own files only: entries and their lists, the allowlist, and
 * transactions with an undo log. store.c has the index, transactions and time; notes.c what detectors
 * say, decisions.c what operators decide, undo.c how that is taken back, allows.c the allowlist, open.c
 * whose file it is.
 */
#pragma once

#include <linux/types.h>

#include "verdict/disk.h"
#include "verdict/store.h"

#define NS_PER_S 1000000000ULL
/* Chains stay at one or two entries with the store full; 512 kB. */
#define N_BUCKETS 65536
/* Each note walks the allowlist; operators who need more allow wider prefixes. */
#define MAX_ALLOW     10000
#define CONFIGURATION "configuration"

struct entry {
	struct fg_verdict v;
	enum fg_state state;
	struct entry *next; /* in its bucket */
};

/* How an entry was before this transaction: the struct up to the evidence it has; made: it was not. */
struct undo {
	struct entry *entry;
	struct fg_verdict *v;
	enum fg_state state;
	bool made;
};

struct allow {
	struct fg_allow a;
	bool fixed; /* from the configuration */
};

struct fg_store {
	struct fg_disk *disk;
	int64_t next_id;
	uint64_t now_ns, revision, refused;
	uint64_t soonest_ns; /* nothing changes with time before */
	uint64_t aged_ns; /* time of the last look at what does */
	uint64_t history_s, pruned_ns; /* how long the past is kept; last look at it */
	__u64 seed[4];
	/* by state, each with room for capacity entries; those that cool in the order they began to */
	struct entry **lists[FG_STATE_GONE], **movers;
	size_t n[FG_STATE_GONE], capacity;
	size_t give_way; /* of those that cool, the next that gives way to a newcomer */
	size_t n_given_way; /* in this transaction, still counted in n_origin */
	bool moved_any; /* entries changed their state in this transaction */
	size_t n_origin[_FG_ORIGIN_MAX];
	size_t n_bits[129]; /* entries of each prefix length: lengths not in use are not looked up */
	struct entry *buckets[N_BUCKETS];
	struct allow *allow, *allow_before;
	size_t n_allow, n_allow_before;
	bool allow_saved;
	fg_allow_fn extra; /* a further allowlist; NULL = none */
	void *extra_arg;
	struct fg_allow *extra_hit; /* what it last said */
	struct undo *undo;
	size_t n_undo, undo_capacity;
	unsigned int depth; /* of nested transactions */
	int failed; /* first error inside the transaction */
	int64_t deciding; /* the decision that this transaction is, 0 = none */
	uint32_t n_effects; /* that it has so far */
	char who[FG_WHO_TEXT], reason[160]; /* of it */
	char moved[300]; /* where a file went that could not be taken up */
	struct fg_store_aside aside;
	char instance[FG_INSTANCE_TEXT];
};

/* --- Entries --------------------------------------------------------------------------------- */

/* What a verdict is about, and whose it is. */
struct key {
	const uint8_t *addr;
	uint8_t bits;
	uint64_t stem, stack;
	enum fg_origin origin;
};

struct entry **fg_entry_bucket(struct fg_store *s, const uint8_t addr[16]);
/* NULL where there is none that is not gone. */
struct entry *fg_entry_find(struct fg_store *s, const struct key *key);
/* A new entry in its list and the index. @return 0, -ENOMEM. */
int fg_entry_enlist(struct fg_store *s, const struct fg_verdict *v, enum fg_state state,
		    struct entry **ret_entry);
bool fg_store_is_prefix(const uint8_t addr[16], uint8_t bits);
bool fg_entry_stands(const struct fg_store *s, const struct entry *e);

/* These are called inside a transaction. */

/* Puts v in the place of *e, or makes an entry where *e is NULL; a fresh one gets a new id. */
int fg_entry_replace(struct fg_store *s, struct entry **e, struct fg_verdict *v, bool fresh);
/* Another state: of one that is gone the row goes, too. */
int fg_entry_move(struct fg_store *s, struct entry *e, enum fg_state state);
/* What its life changed; what is about it and its evidence only replace() writes. */
int fg_entry_write(struct fg_store *s, struct entry *e);
/* Before a change of e->v by hand. */
int fg_entry_remember(struct fg_store *s, struct entry *e);
int fg_entry_past(struct fg_store *s, const struct entry *e, int64_t id, const char *what,
		  const char *who, const char *reason);

/* --- Allowlist ------------------------------------------------------------------------------- */

size_t fg_allows_find(const struct fg_store *s, const uint8_t addr[16], uint8_t bits, bool fixed);
int fg_allows_remember(struct fg_store *s);
/* In the place of the one on the same prefix, or behind all. @return 0, -EDQUOT, -ENOMEM. */
int fg_allows_put(struct fg_store *s, const struct allow *allow);
int fg_allows_drop(struct fg_store *s, size_t i);
/* The same as put, on disk, too. */
int fg_allows_set(struct fg_store *s, const struct allow *allow);
/* Brings the tiers of all that stands inside a prefix in line with the allowlist. undone: of what was
 * lowered, also detectors' verdicts rise at once. */
int fg_allows_apply(struct fg_store *s, const uint8_t addr[16], uint8_t bits, bool undone,
		    const char *who);

/* --- Decisions ------------------------------------------------------------------------------- */

int fg_decision_open(struct fg_store *s, struct fg_decision *d, const char *name);
/* How a subject is now: id and after are left to who knows. */
void fg_effect_of(const struct entry *e, struct fg_effect *ret);
void fg_effect_of_allow(const struct allow *allow, struct fg_effect *ret);
int fg_effect_keep(struct fg_store *s, const struct fg_effect *effect);
/* By that decision. */
int fg_decision_end_entry(struct fg_store *s, struct entry *e, int64_t decision);

/* --- Transactions ---------------------------------------------------------------------------- */

int fg_store_enter(struct fg_store *s);
/* Ends a transaction with the result of its work; any failure inside takes all of it back. */
int fg_store_leave(struct fg_store *s, int r);

/* --- Open ------------------------------------------------------------------------------------ */

/* The file of a folder as it is; NULL = memory. */
int fg_store_open_file(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		       size_t n_why);
/* Takes up the ids and the time after rows were put in. */
int fg_store_loaded(struct fg_store *s, uint64_t now_ns);
