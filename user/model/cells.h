/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cells: groups of clients that have one thing in common, watched for change. A client is in one cell
 * of each kind, never in the full cross product. Of each kind the 4,096 cells with most distinct
 * clients are kept (space-saving); small ones are counted together in one residual cell, in which who
 * changes fingerprints all the time piles up.
 *
 * An hour of a cell is counted twice: with everybody, for the tests, and without known members of
 * cohorts, to learn from. What is learned is a share or a histogram and how far it strays from day to
 * day; both lean on the cell's parent until the cell has enough of its own, and a cell is never taken
 * for steadier than its parent.
 *
 * Fed once an hour with traits, in any order. No model, no clock, no opinion.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/reach.h"
#include "model/traits.h"

enum fg_cell_kind {
	FG_CELL_STEM, /* one stem */
	FG_CELL_CLASS, /* stem and class of network (needs a table of networks) */
	FG_CELL_NETWORK, /* stem and ASN; without a table, stem and /16 or /32 */
	FG_CELL_SHAPE, /* most frequent shape of exchanges */
	FG_CELL_STACK, /* stem and stack bin */
	FG_CELL_PREFIX, /* /24 or /48 */
	_FG_CELL_MAX
};
const char *fg_cell_kind_name(enum fg_cell_kind kind);

#define FG_CELLS_KEPT	 4096
#define FG_CELL_RESIDUAL 0 /* of each kind */
#define FG_CELL_NONE	 UINT16_MAX /* the client has nothing to be in one by */
/* Cells with fewer distinct clients count in the residual one. */
#define FG_CELL_SMALL 20
#define FG_WEEK_HOURS 168
/* Tables by hour of the week, 8 kB each, for cells with at least FG_WEEK_MIN active clients an hour:
 * 8 MB. Others lean on their all-hours share. */
#define FG_CELL_WEEKS 1024
#define FG_WEEK_MIN   50

/* What a cell is of; what its kind does not use is 0. */
struct fg_cell_key {
	enum fg_cell_kind kind;
	uint64_t stem;
	uint32_t asn;
	uint8_t network_class, bin;
	uint8_t prefix[6]; /* the first 24 or 48 bits; of FG_CELL_NETWORK 16 or 32 */
	bool is4;
};

/* One hour's clients. */
struct fg_cell_counts {
	uint32_t active;
	uint32_t known[_FG_SHARE_MAX], yes[_FG_SHARE_MAX];
	uint32_t bins[FG_HIST_BINS];
};

/* What was learned: sums that forget within four weeks. */
struct fg_cell_base {
	float known[_FG_SHARE_MAX], yes[_FG_SHARE_MAX];
	float bins[FG_HIST_BINS]; /* those of FG_HIST_TURNS stay 0, see turns[] */
	/* turns a day grow by the hour: shares of 65535 at each hour of the day */
	uint16_t turns[24][FG_TURN_BINS];
	float turns_known[24];
	/* how far a day's share lay from what was expected, squared; mean of stray_days */
	float stray[_FG_SHARE_MAX];
	/* the same of histograms: sum over bins of (q - p)^2 / (1 - sum of p^2) */
	float hist_stray[_FG_HIST_MAX];
	uint16_t stray_days[_FG_SHARE_MAX], hist_days[_FG_HIST_MAX];
	uint16_t days; /* learned from, stops at its end */
	uint16_t frozen_day; /* since 1970; 0 = not yet */
	float frozen[_FG_SHARE_MAX]; /* shares as they were then, against slow drift */
};

struct fg_cell {
	struct fg_cell_key key;
	uint64_t hash;
	uint32_t clients; /* space-saving: distinct, day by day */
	uint32_t error; /* too high by at most so many */
	struct fg_cell_counts now, learn;
	struct fg_cell_base base;
	uint16_t week; /* its table by hour of the week + 1, 0 = none */
	/* FG_CELL_STEM: hash of the cell that its clients come from, by majority vote (Boyer and
	 * Moore 1981), and how many are ahead */
	uint64_t heir_hash;
	uint32_t heir_votes, newcomers;
	float unlike_heir; /* fg_reach_unlike() of both */
	bool frozen_hour; /* nothing is learned from the running hour */
	/* this day so far, to learn how far it strays */
	float day_known[_FG_SHARE_MAX], day_yes[_FG_SHARE_MAX], day_expected[_FG_SHARE_MAX];
};

struct fg_cells;

/** @return 0, -ENOMEM. */
int fg_cells_new(struct fg_cells **ret_cells);
void fg_cells_free(struct fg_cells **cells);

/** Begins an hour: what was counted is gone. @param hour  since 1970. */
void fg_cells_begin(struct fg_cells *cells, uint32_t hour);

/**
 * Counts a client that was active in this hour.
 *
 * @param new_today  it was not counted before on this day: it is one more of the cells' clients
 * @param predecessor  a stem that its source showed with the same stack until it showed this one; 0
 *                     = none
 * @param member  known to belong to a cohort: nothing is learned from it
 * @param ret  its cell of each kind, or FG_CELL_NONE; for fg_cells_home()
 */
void fg_cells_add(struct fg_cells *cells, const struct fg_model_client *client,
		  const struct fg_traits *traits, bool new_today, uint64_t predecessor, bool member,
		  uint16_t ret[_FG_CELL_MAX]);
/** All clients of the hour are in: small cells go into the residual ones. */
void fg_cells_counted(struct fg_cells *cells);
/** The cell that a client counts in once all are counted, of what fg_cells_add() returned for it. */
uint16_t fg_cells_home(const struct fg_cells *cells, enum fg_cell_kind kind, uint16_t at,
		       const struct fg_model_client *client, const struct fg_traits *traits);

/** Cells of a kind, the residual one first. */
size_t fg_cells_n(const struct fg_cells *cells, enum fg_cell_kind kind);
const struct fg_cell *fg_cells_at(const struct fg_cells *cells, enum fg_cell_kind kind,
				  uint16_t at);
/** Everybody. */
const struct fg_cell *fg_cells_all(const struct fg_cells *cells);

/* What is usual for a cell in this hour. */
struct fg_usual {
	double p; /* share */
	double rho; /* how far it strays; lib/betabin.h */
	double n; /* clients and hours that it rests on, those of parents left out */
};
struct fg_usual fg_cells_usual(const struct fg_cells *cells, const struct fg_cell *cell,
			       enum fg_share share);
/** The share among all clients of a stem; otherwise where it has no cell. */
double fg_cells_stem_share(const struct fg_cells *cells, uint64_t stem, enum fg_share share,
			   double otherwise);
/** How many clients and hours that rests on; 0 where it has no cell. */
double fg_cells_stem_known(const struct fg_cells *cells, uint64_t stem, enum fg_share share);
/** The same of all bins of a histogram: ret_p has as many as it has bins. @return the rho of each and
 * n; p is 0. */
struct fg_usual fg_cells_usual_bins(const struct fg_cells *cells, const struct fg_cell *cell,
				    enum fg_hist hist, double *ret_p);

/** From how many sources, networks and countries a stem came lately; zeros where it has no cell. */
struct fg_reach_counts fg_cells_reach(const struct fg_cells *cells, uint64_t stem);
/** For what it refused, and takes. */
const struct fg_reach *fg_cells_reaches(const struct fg_cells *cells);
/** Is this client one of the cell's ? Of residual cells it is not known: false. */
bool fg_cell_holds(const struct fg_cell_key *key, const struct fg_model_client *client,
		   const struct fg_traits *traits);

/** How many days this cell, or an ancestor, learned from. */
double fg_cells_days(const struct fg_cells *cells, const struct fg_cell *cell);
/** The cell that this one leans on; NULL of everybody. */
const struct fg_cell *fg_cells_parent(const struct fg_cells *cells, const struct fg_cell *cell);

/** Share against what it was when it was frozen, in parts of it: 0.25 = a quarter more; 0 where
 * nothing is frozen yet, and of a stem that took its clients over from another one: a release. */
double fg_cells_drift(const struct fg_cells *cells, const struct fg_cell *cell,
		      enum fg_share share);

/** Should nothing be learned from this cell's hour ? */
typedef bool (*fg_cells_frozen_fn)(void *arg, const struct fg_cell *cell);
/** Ends the hour: learns from each cell but those that are frozen. */
void fg_cells_learn(struct fg_cells *cells, fg_cells_frozen_fn frozen, void *arg);

/** Text of a key, "stem ~t13d… from class res"; stem_text may be NULL. */
void fg_cell_text(const struct fg_cell_key *key, const char *stem_text, char *text, size_t n);

/** What is learned, as bytes to be kept; for the store. *ret_bytes is the caller's to free.
 * @return 0, -ENOMEM. */
int fg_cells_save(const struct fg_cells *cells, void **ret_bytes, size_t *ret_n);
/** Takes it up again; nothing is changed where the bytes are no such thing.
 * @return 0, -EBADMSG with a sentence in why. */
int fg_cells_load(struct fg_cells *cells, const void *bytes, size_t n, char *why, size_t n_why);

/** Memory of its tables, and of full ones. */
uint64_t fg_cells_bytes(const struct fg_cells *cells);
