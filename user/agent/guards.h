/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agent's side of the guards: answers what a plan asks about sources from the model, keeps the plan
 * of tier enforce and the set that leaves of it up to date, and says what was tripped or cannot be read.
 *
 * A plan is made anew where the store or an allow file has changed, and once a minute, since who else is
 * at an address changes without a verdict.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/allowfiles.h"
#include "agent/conf.h"
#include "export/export.h"
#include "export/plan.h"
#include "model/model.h"
#include "model/networks.h"
#include "verdict/store.h"

struct fg_core;

struct fg_guards {
	struct fg_core *core; /* the owner: model, networks, store, configuration */
	struct fg_allowfiles *files; /* NULL = none are configured */
	uint64_t files_revision;
	uint64_t seed[4]; /* of the holdback */
	struct fg_trip trip;
	struct fg_plan *plan; /* of tier enforce; NULL = none yet */
	struct fg_export_set *set; /* that leaves of it */
	uint64_t revision; /* of the set */
	bool stale; /* something other than the store has changed */
	struct fg_plan *each; /* of all verdicts, without caps: what each by itself may do */
	/* who was active within two days, in all; when that was counted (0 = never), and what the model had
	 * then */
	uint64_t all_turns, all_sources, counted_ns, counted_of;
	bool allowed_more; /* standing verdicts inside still have to be lowered */
};

/** Reads allow files and the seed; core's store is open. @return 0, -errno. */
int fg_guards_open(struct fg_guards *guards, struct fg_core *core, uint64_t now_ns);
void fg_guards_close(struct fg_guards *guards);
/** After each epoch: looks at allow files. */
void fg_guards_step(struct fg_guards *guards, uint64_t now_ns);

/** Makes the plan anew where it is out of date, moves the caps on and says in the view what they hold.
 * Nothing does where nobody asks: a replay blocks nobody. @return 0, -ENOMEM: what stood stands. */
int fg_guards_refresh(struct fg_guards *guards, uint64_t now_ns);
/** The set as it is now, after a refresh; the caller drops the reference. Its revision grows with each
 * that is another. @return 0, -ENOMEM. */
int fg_guards_set(struct fg_guards *guards, uint64_t now_ns, struct fg_export_set **ret_set);
/** A plan for who asks, of another tier perhaps; nothing that stands is changed by it. @return 0,
 * -ENOMEM; *ret_plan is the caller's to free. */
int fg_guards_plan(struct fg_guards *guards, enum fg_tier min_tier, uint64_t now_ns,
		   struct fg_plan **ret_plan);

/** For fg_view: what guards make of one verdict. @return false where that cannot be told. */
bool fg_guards_of(struct fg_guards *guards, const struct fg_verdict *verdict, uint64_t now_ns,
		  struct fg_guarded *ret_guarded);
/** For fg_view: the report of tier enforce, or of what a cohort's members would be by themselves. */
bool fg_guards_report(struct fg_guards *guards, uint32_t cohort, uint64_t now_ns,
		      struct fg_guard_report *ret_report);
