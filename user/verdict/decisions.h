/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Operators' decisions. Each has an id, and is kept with time, who, what, subject and reason for as long
 * as history is. It may be about many subjects and is one transaction: all of it is on disk, or nothing
 * changed. What it found before it is kept, too, so that one step takes all of it back.
 */
#pragma once

#include "verdict/store.h"

#define FG_SUBJECT_TEXT 80

struct fg_decision {
	int64_t id; /* 0 = not yet made */
	uint64_t time_ns;
	char what[16]; /* block, unblock, allow, disallow, undo */
	char who[FG_WHO_TEXT]; /* operator:NAME, operator where it is not known */
	char subject[FG_SUBJECT_TEXT]; /* prefix or cohort; of an undo what it takes back */
	char reason[160];
	int64_t undoes, undone_by; /* ids, 0 = none */
};

/* One subject of a block. */
struct fg_subject {
	uint8_t addr[16], bits;
	uint64_t stem, stack; /* 0 = any */
	uint32_t cohort; /* blocked as a member of it; 0 = by itself */
	const char *ja4, *stem_text, *stack_text; /* NULL = not known */
};

/** Begins a decision and its transaction. name: of who decides, NULL = not known. @return 0, -errno. */
int fg_decision_begin(struct fg_store *store, const char *what, const char *name,
		      const char *subject, const char *reason, uint64_t now_ns);
/** Its id, between begin and end. */
int64_t fg_decision_id(const struct fg_store *store);
/** Ends it with the result of its work: a negative one takes all of it back. @return r, -errno. */
int fg_decision_end(struct fg_store *store, int r);

/* Between begin and end. */

/** @return 1, 0 where this decision blocks it already, -EPERM where it is on the allowlist, -ERANGE where
 * it is too wide, -EDQUOT above FG_MAX_VERDICTS, -errno. After -EPERM nothing is changed. */
int fg_decision_block(struct fg_store *store, const struct fg_subject *block, uint32_t ttl_s);
/** Every verdict on exactly this prefix; stem: only those on clients with it, 0 = all. @return number
 * ended, -errno. */
int fg_decision_unblock(struct fg_store *store, const uint8_t addr[16], uint8_t bits,
			uint64_t stem);
/** Every verdict on members of a cohort. @return number ended, -errno. */
int fg_decision_unblock_cohort(struct fg_store *store, uint32_t cohort);
/** ttl_s 0 = no end. @return 0, -EDQUOT, -errno. */
int fg_decision_allow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint32_t ttl_s);
/** @return number removed, -errno. */
int fg_decision_disallow(struct fg_store *store, const uint8_t addr[16], uint8_t bits);

struct fg_undone {
	int64_t id; /* of the undo */
	struct fg_decision decision; /* that it took back, as it was */
	size_t done; /* subjects as they were before it */
	size_t expired,
		overtaken; /* left alone: their time is over, something later decided them */
};
/** Takes a decision back: its blocks end, what it ended stands again for the rest of its time, what it
 * allowed is not allowed any more, with what it lowered, and the other way round. Subjects that a later
 * decision or finding changed are left alone. An undo is a decision, and may be undone.
 * @return 0; -ENOENT no such id; -EALREADY undone (decision.undone_by); -ESTALE nothing of it is left to
 * take back; -errno. Unless 0, nothing is changed. */
int fg_decision_undo(struct fg_store *store, int64_t id, const char *name, const char *reason,
		     uint64_t now_ns, struct fg_undone *ret);

/** @return 0, -ENOENT, -errno. */
int fg_decision_find(struct fg_store *store, int64_t id, struct fg_decision *ret);
/** Those about a subject (as it was written), oldest first. A non-zero answer ends the listing.
 * @return 0, -errno, or fn's answer. */
typedef int (*fg_decision_fn)(void *arg, const struct fg_decision *decision);
int fg_decisions_on(struct fg_store *store, const char *subject, fg_decision_fn fn, void *arg);
