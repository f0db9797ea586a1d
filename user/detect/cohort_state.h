/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Inside of cohort.h, for detect/cohort*.c only. */
#pragma once

#include "detect/cohort.h"

/* The recursions of one cell. */
struct fg_watch {
	uint64_t hash; /* of the cell: another one in its place begins anew */
	float log_r[_FG_FAMILY_MAX];
	uint16_t suspect_days; /* in a row that learning was stopped */
	uint16_t last_day;
	uint16_t clock_day; /* that the cell's clock was asked on, plus 1 */
	uint16_t daily_day; /* that its daily tests were last asked of, plus 1 */
	float support[_FG_SUPPORT_MAX]; /* recursions of these */
	uint32_t cohort; /* id, 0 = none */
};

/* A client of the hour. */
struct fg_active {
	struct fg_traits traits;
	uint16_t cells[_FG_CELL_MAX];
	uint8_t half;
	bool member;
};

struct fg_cohorts {
	struct fg_cells *cells;
	const struct fg_detect_conf *conf; /* of the hour that is being ended */
	struct fg_watch *watch[_FG_CELL_MAX]; /* by place; one for each cell and the residual */
	struct fg_cohort list[FG_MAX_COHORTS];
	size_t n;
	uint32_t next_id, hour;
	struct fg_member *members;
	uint32_t n_members, cap_members;
	uint32_t *member_index; /* place + 1, open addressing */
	struct fg_active *active; /* of this hour */
	size_t n_active, cap_active;
	uint32_t *places; /* as many as suspects; fg_cohorts_active() */
	struct fg_suspect *suspects;
	size_t cap_suspects;
	struct fg_lockstep_days *steps; /* NULL until a group was found */
	struct fg_cohorts_state state;
	uint32_t budget_day; /* that the expected numbers of state are of */
	uint64_t day_sources; /* of clients that are no members, each once on this day */
};

/** The active clients of a cell, in c->suspects. @return 0, -ENOMEM. */
int fg_cohort_suspects(struct fg_cohorts *c, enum fg_cell_kind kind, uint16_t place, size_t *ret_n);
/** Do relays stand out here? */
bool fg_cohort_relays(const struct fg_cell *cell, const struct fg_watch *watch,
		      const struct fg_cell_tests *tests);
/** Raises or renews the cell's cohort where one of the two rules holds. */
void fg_cohort_alarm(struct fg_cohorts *c, const struct fg_model *model, const struct fg_cell *cell,
		     uint16_t place, struct fg_watch *watch, const struct fg_cell_tests *tests);
/** Asks the daily tests of the cells whose turn it is. @return 0, -ENOMEM. */
int fg_cohorts_daily(struct fg_cohorts *c, const struct fg_model *model,
		     const struct fg_networks *networks);
/** Does this client show what the cohort's alarm rests on? What the mixture takes for independent (a shape
 * and how much is done, say) goes together in other trades, too; so nobody is a member without. Of a farm
 * behind relays: it was measured to come through one. Of machines that came: its source was not there
 * FG_NEW_DAYS before them, nor on our own first day, when nobody can say who is new. */
bool fg_cohort_marks(const struct fg_cohort *cohort, const struct fg_model *model,
		     const struct fg_traits *traits);
/** The members of a cell in alarm. @return 0, -ENOMEM. */
int fg_cohort_find_members(struct fg_cohorts *c, const struct fg_model *model,
			   struct fg_cohort *cohort, uint16_t place);
/** The member of this client, NULL where it is none. */
struct fg_member *fg_member_find(const struct fg_cohorts *c, const uint8_t addr[16], uint64_t stem,
				 uint64_t stack);
/** A day or more went by: memberships fade, those that are gone go. */
void fg_members_fade(struct fg_cohorts *c, uint32_t day);
/** Finds members anew where they were read back. @return 0, -ENOMEM. */
int fg_members_reindex(struct fg_cohorts *c);
/** Sums over members into their cohorts. */
void fg_members_count(struct fg_cohorts *c, const struct fg_model *model);
