/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Live targets: systems that are kept equal to the set of blocks, each as add/remove differences.
 * One that hangs, fails or answers garbage never holds back another, nor the agent's loop: each
 * has a thread of its own, gets the newest set when it is ready for one, and tries again after a
 * failure, later each time. What a target does is in its own file; what is common is here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/export.h"

/* Waits between tries after failures: doubled each time, from the first to the last of these. */
#define FG_TARGET_RETRY_FIRST_S 1
#define FG_TARGET_RETRY_LAST_S	60
/* How long a stop waits: an apply takes 10 s at most. */
#define FG_TARGET_STOP_MS 15000

/* A kind of target. impl is its own state; nothing of it is called by two threads at once. */
struct fg_target_ops {
	const char *name; /* as in exports: [NAME] */
	/** Brings it from what it holds to the set. Bounded in time: 10 s, more only beyond 100,000 items. Items that it
	 * cannot hold are left out and counted. @return number of changes; -EAGAIN where the time was
	 * too short for all of it: it is called again at once and goes on from there; -errno with a
	 * sentence in why (256 bytes); then what it holds is unknown, and the next call finds out or
	 * writes everything. */
	int (*apply)(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		     size_t n_why);
	/** Looks whether it still holds what was applied; NULL = nobody else can change it. full:
	 * each element, which may take a minute. @return 0 it does, 1 it does not, -errno where it
	 * cannot be told: after both the next apply writes everything. */
	int (*check)(void *impl, bool full, char *why, size_t n_why);
	/** The wall clock was set: what it counts down ends at another time of that clock than it was told,
	 * and the next apply shall tell it anew. NULL = it counts nothing down, or sees by itself. */
	void (*forget_ends)(void *impl);
	/** Items of the last set that it cannot hold; NULL = there are none. */
	uint64_t (*unexportable)(const void *impl);
	/** Is something of the set left that the time was too short for? Then apply is called again at
	 * once. NULL = never. */
	bool (*more)(const void *impl);
	/** Seconds that have to pass behind a batch that changed something; NULL = none. What comes
	 * meanwhile waits, the newest of it only. */
	uint32_t (*pause_s)(const void *impl);
	/** At a clean stop, for a target that holds blocks without an end: takes them out.
	 * NULL = what it holds ends by itself. @return 0, -errno. */
	int (*leave)(void *impl, char *why, size_t n_why);
	void (*free)(void *impl);
};

/* What a target did, for status and metrics. */
struct fg_target_status {
	const char *name;
	uint64_t applied; /* changes made, in all */
	uint64_t batches, errors, rewrites; /* rewrites: somebody else had changed it */
	uint64_t unexportable;
	uint64_t held; /* items it should hold now */
	uint64_t last_success_ns; /* unix; 0 = never */
	uint64_t last_batch_ns; /* how long the last one took */
	bool failing;
	char error[256]; /* of the last failure */
	char found[256]; /* by the last look that led to a rewrite */
};

struct fg_target;

/** Starts the thread of a target, which takes over impl, also where this fails. @return 0, -errno. */
int fg_target_start(const struct fg_target_ops *ops, void *impl, struct fg_target **ret_target);
/** Hands it a set, of which it takes a reference; an older one that still waits is dropped. */
void fg_target_offer(struct fg_target *target, struct fg_export_set *set);
/** The wall clock was set: tells the ends of the newest set anew. */
void fg_target_forget_ends(struct fg_target *target);
/** Asks for a look at what others may have done to it. */
void fg_target_check(struct fg_target *target, bool full);
void fg_target_status(struct fg_target *target, struct fg_target_status *ret_status);
/** Waits until the last set offered was applied or failed. @return 0, -ETIMEDOUT, -EIO where it failed. */
int fg_target_wait(struct fg_target *target, uint32_t timeout_ms);
/** Says that it is to end after what it does now, and does not wait for it: so that several end at
 * the same time. */
void fg_target_halt(struct fg_target *target);
/** Ends the thread and frees all of it; what the target holds stays, but for what leave takes out.
 * One that does not end within timeout_ms is left behind, and frees itself should it ever.
 * @return 0, -ETIMEDOUT where it was left behind, or what leave said. NULL is fine. */
int fg_target_stop(struct fg_target **target, uint32_t timeout_ms, char *why, size_t n_why);
