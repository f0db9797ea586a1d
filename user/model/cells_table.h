/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Inside of cells.h, for cells.c and usual.c only. */
#pragma once

#include "model/cells.h"
#include "model/reach.h"

/* The residual cell is one more. */
#define CELLS	   (FG_CELLS_KEPT + 1)
#define INDEX_MASK 16383U

struct fg_cell_table {
	struct fg_cell *cells;
	uint32_t n, cap;
	bool replaced; /* in this hour a cell gave way that had counted */
	uint32_t clients[CELLS]; /* by themselves, to find the smallest in */
	uint16_t index[INDEX_MASK + 1]; /* place + 1, 0 = free; open addressing by hash */
};

/* What is usual at each hour of the week, Monday 00:00 UTC first. */
struct fg_cell_week {
	float known[FG_WEEK_HOURS][_FG_SHARE_MAX];
	float yes[FG_WEEK_HOURS][_FG_SHARE_MAX];
};

struct fg_cells {
	uint64_t seed;
	uint32_t hour; /* since 1970 */
	uint32_t day; /* the last that learning saw */
	struct fg_cell all;
	struct fg_cell_table tables[_FG_CELL_MAX];
	struct fg_reach *reach; /* of FG_CELL_STEM, by place */
	struct fg_cell_week *weeks; /* places 1 .. n_weeks */
	uint32_t n_weeks, cap_weeks;
	uint16_t free_weeks[FG_CELL_WEEKS + 1];
	uint32_t n_free_weeks;
};

uint64_t fg_cell_hash(const struct fg_cells *c, const struct fg_cell_key *key);
/** Place of the cell with this hash, UINT16_MAX where not there. */
uint16_t fg_cells_find(const struct fg_cells *c, enum fg_cell_kind kind, uint64_t hash);
/** A cell with this key, as it is read back; NULL without memory, or where there are too many. */
struct fg_cell *fg_cells_restore(struct fg_cells *c, const struct fg_cell_key *key, bool residual,
				 uint32_t clients);
