/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What has to be done to a target so that it holds a set: a walk of two sorted lists, what it holds
 * and what it should. Pure; used by every target that takes differences.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/export.h"

/* What a target holds of an item. */
struct fg_held {
	uint8_t addr[16];
	uint64_t until_ns; /* as it was told to the target */
	int64_t verdict;
	uint32_t cohort;
	uint8_t bits;
};

/* All that it holds, sorted like a set. Zeroed = nothing. */
struct fg_shadow {
	struct fg_held *items;
	size_t n, room;
	struct fg_held
		*spare; /* memory of the one before, for the one behind: faulting it in anew costs
				* more than the walk */
	size_t n_spare;
};

enum fg_change_kind {
	FG_CHANGE_REMOVE,
	FG_CHANGE_ADD,
	FG_CHANGE_RENEW, /* the same with another end */
};

struct fg_change {
	enum fg_change_kind kind;
	const struct fg_held *held; /* of the shadow where it is removed, else of what follows it */
	const struct fg_export_item *item; /* of the set; NULL where it is removed */
};

/* Removals come first: a wider prefix may follow what lay inside it. Both parts are in the order of
 * addresses. Points into the shadow and the set: these stay until it is freed. */
struct fg_diff {
	struct fg_change *changes;
	size_t n, n_removed;
	struct fg_shadow next; /* what it holds when all of it was done */
};

/* An end that moves forward by less than this part of the time left is not worth a change; one that
 * moves back always is: nobody stays blocked past it. */
#define FG_RENEW_SHARE 10
/* A target's own clock ends items within so many seconds of their end. */
#define FG_EXPIRY_SLACK_S 3

/** expires: the target ends items by itself, so that those past their end leave without a change.
 * Only the shadow's spare memory
 * is taken, what it holds stays. @return 0, -ENOMEM: then there is nothing to free. */
int fg_diff_make(struct fg_shadow *shadow, const struct fg_export_set *set, uint64_t now_ns,
		 bool expires, struct fg_diff *ret_diff);
void fg_diff_free(struct fg_diff *diff);

/** All of it was done: the shadow becomes what follows it, and the differences are freed. */
void fg_diff_done(struct fg_diff *diff, struct fg_shadow *shadow);
/** The first n changes were done, and no more. @return 0, -ENOMEM: the shadow is as it was. */
int fg_diff_done_part(struct fg_diff *diff, size_t n, struct fg_shadow *shadow);

/** The item of exactly this prefix, NULL where it holds none. */
const struct fg_held *fg_shadow_find(const struct fg_shadow *shadow, const uint8_t addr[16],
				     uint8_t bits);
/** Items that a target which expires by itself may have dropped at now_ns, or drops soon. */
size_t fg_shadow_due(const struct fg_shadow *shadow, uint64_t now_ns);
/** The wall clock was set, so that what the target counts down ends at another time of it than it was
 * told: the next differences tell all ends anew. */
void fg_shadow_forget_ends(struct fg_shadow *shadow);
void fg_shadow_clear(struct fg_shadow *shadow);
/** By address, then length. */
int fg_held_order(const struct fg_held *x, const uint8_t addr[16], uint8_t bits);
/** Whole seconds that an end is away, at least one: 0 means for ever to many a program. */
uint64_t fg_left_s(uint64_t until_ns, uint64_t now_ns);
