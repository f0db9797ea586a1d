/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is usual for a cell, and how it is learned.
 *
 * Share     (yes + LEAN p_parent) / (known + LEAN), and the same once more for the hour of the week
 *           (empirical Bayes with a fixed weight: a small cell says what its parent says). Parents:
 *           class, network and stack lean on their stem; a stem on the one that its clients come from
 *           (hand-over at a release), else on everybody; shape and prefix on everybody; everybody on
 *           priors that are written here. A release comes to all networks alike: where the mix of
 *           networks of a stem's clients is not that of the one before it (Jensen-Shannon divergence of
 *           UNLIKE or more, model/reach.h), it is no release, and leans on everybody.
 * Straying  v, the mean squared distance between a day's share and what was expected of it. Days
 *           resemble themselves, hours of one day do not vary freely, so this is measured on days
 *           and taken for hours. It holds the chance of small numbers, too. Until it is known a cell
 *           is given C_EXPECTED of its share, and as far as it leans on its parent the whole share.
 *           rho = MULTIPLIER^2 v / (p (1 - p)), never less than C_FLOOR of the share.
 *           The multiplier of three is that of a simulation: with noise that is day-correlated to 90 %
 *           the bound on false alarms fails by far at 1 (63 of 700 months), and holds at 3 (0).
 * Bins      the same with one rho for all bins, the Dirichlet-multinomial's.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/cells_table.h"

#define LEAN	   1000.0 /* clients and hours */
#define LEAN_WEEK  2000.0
#define LEAN_PRIOR 100.0
#define MULTIPLIER 3.0
#define C_EXPECTED 0.10
#define C_LEANING  1.0
#define C_FLOOR	   0.05
#define PRIOR_DAYS 7.0
#define RHO_MAX	   0.5
/* Of histograms: C_EXPECTED and C_LEANING of a bin that holds a tenth. */
#define HIST_EXPECTED 0.001
#define HIST_LEANING  0.1
#define HIST_FLOOR    0.0003
#define FADE_DAYS     28.0
#define FREEZE_AFTER  14
#define FREEZE_FOR    60
/* Distinct clients, day by day, that a cell's size is told from: those of the last week or so, or a cell
 * would only ever grow, and the small ones' residual would be left with who hardly comes. */
#define SIZE_DAYS 7.0
#define NONE	  UINT16_MAX
/* In nats, of ln 2 = 0.69. A farm in homes of ten of a hundred equal networks is at 0.4. */
#define UNLIKE 0.1

/* Before anything is known. Of shares that only rise where something changes, high ones are the
 * careful ones. */
static const double prior[_FG_SHARE_MAX] = {
	[FG_SHARE_RELAYED] = 0.05, [FG_SHARE_RELAYED_YOUNG] = 0.05, [FG_SHARE_IDLE] = 0.2,
	[FG_SHARE_V4] = 0.8,	   [FG_SHARE_BORN] = 0.1,	    [FG_SHARE_NOT_BACK] = 0.5,
};

static unsigned int bins_of(enum fg_hist hist)
{
	return fg_hist_at((unsigned int)hist + 1) - fg_hist_at((unsigned int)hist);
}

/* Day 0 of 1970 was a Thursday. */
static unsigned int week_hour(uint32_t hour)
{
	return (hour + 3 * 24) % FG_WEEK_HOURS;
}

/* --- Parents ---------------------------------------------------------------------------------- */

static const struct fg_cell *heir(const struct fg_cells *c, const struct fg_cell *cell)
{
	uint16_t at;

	if (!cell->heir_hash || cell->heir_votes * 2 <= cell->newcomers ||
	    cell->unlike_heir >= UNLIKE)
		return &c->all;
	at = fg_cells_find(c, FG_CELL_STEM, cell->heir_hash);
	if (at == NONE || &c->tables[FG_CELL_STEM].cells[at] == cell)
		return &c->all;
	/* one that came from elsewhere itself is asked no further: no circles */
	return &c->tables[FG_CELL_STEM].cells[at];
}

static const struct fg_cell *stem_of(const struct fg_cells *c, const struct fg_cell *cell)
{
	const struct fg_cell_key key = { .kind = FG_CELL_STEM, .stem = cell->key.stem };
	uint16_t at = fg_cells_find(c, FG_CELL_STEM, fg_cell_hash(c, &key));

	return at == NONE ? &c->all : &c->tables[FG_CELL_STEM].cells[at];
}

const struct fg_cell *fg_cells_parent(const struct fg_cells *c, const struct fg_cell *cell)
{
	if (cell == &c->all)
		return NULL;
	if (cell == &c->tables[cell->key.kind].cells[FG_CELL_RESIDUAL])
		return &c->all;
	switch (cell->key.kind) {
	case FG_CELL_CLASS:
	case FG_CELL_NETWORK:
	case FG_CELL_STACK:
		return stem_of(c, cell);
	case FG_CELL_STEM:
		return heir(c, cell);
	default:
		return &c->all;
	}
}

/* The longest way up: stack, stem, the stem before it, everybody. */
#define MAX_DEPTH 4

/* From everybody down to the cell; returns how many. */
static int lineage(const struct fg_cells *c, const struct fg_cell *cell,
		   const struct fg_cell *ret[MAX_DEPTH])
{
	const struct fg_cell *up[MAX_DEPTH];
	int n = 0;

	for (; cell && n < MAX_DEPTH - 1; cell = fg_cells_parent(c, cell))
		up[n++] = cell;
	if (up[n - 1] != &c->all)
		up[n++] = &c->all;
	for (int i = 0; i < n; i++)
		ret[i] = up[n - 1 - i];
	return n;
}

double fg_cells_days(const struct fg_cells *c, const struct fg_cell *cell)
{
	const struct fg_cell *line[MAX_DEPTH];
	int n = lineage(c, cell, line);
	double days = 0;

	for (int i = 0; i < n; i++)
		days = fmax(days, line[i]->base.days);
	return days;
}

/* --- What is usual ---------------------------------------------------------------------------- */

static double share_of(const struct fg_cells *c, const struct fg_cell *cell, enum fg_share share,
		       double p)
{
	const struct fg_cell_base *b = &cell->base;
	const struct fg_cell_week *w = cell->week ? &c->weeks[cell->week] : NULL;
	unsigned int slot = week_hour(c->hour);
	double lean = cell == &c->all ? LEAN_PRIOR : LEAN;

	p = (b->yes[share] + lean * p) / (b->known[share] + lean);
	if (w)
		p = (w->yes[slot][share] + LEAN_WEEK * p) / (w->known[slot][share] + LEAN_WEEK);
	return p;
}

/* How far a cell strays relative to its share, squared. */
static double stray_of(const struct fg_cell *cell, enum fg_share share, double p)
{
	const struct fg_cell_base *b = &cell->base;
	double weight = b->known[share] / (b->known[share] + LEAN);
	double days = b->stray_days[share];
	double own = (b->stray[share] * days / (p * p) + PRIOR_DAYS * C_EXPECTED * C_EXPECTED) /
		     (days + PRIOR_DAYS);

	return weight * own + (1 - weight) * C_LEANING * C_LEANING;
}

struct fg_usual fg_cells_usual(const struct fg_cells *c, const struct fg_cell *cell,
			       enum fg_share share)
{
	const struct fg_cell *line[MAX_DEPTH];
	int n = lineage(c, cell, line);
	struct fg_usual u = { .p = prior[share], .n = cell->base.known[share] };
	double stray = 0;

	for (int i = 0; i < n; i++) {
		u.p = share_of(c, line[i], share, u.p);
		u.p = fmin(fmax(u.p, 1e-6), 1 - 1e-6);
		/* what everybody strays by does not bind those who have enough of their own */
		if (i > 0 || n == 1)
			stray = fmax(stray, stray_of(line[i], share, u.p));
	}
	stray = fmax(stray, C_FLOOR * C_FLOOR);
	u.rho = fmin(MULTIPLIER * MULTIPLIER * stray * u.p / (1 - u.p), RHO_MAX);
	return u;
}

double fg_cells_stem_share(const struct fg_cells *c, uint64_t stem, enum fg_share share,
			   double otherwise)
{
	const struct fg_cell_key key = { .kind = FG_CELL_STEM, .stem = stem };
	uint16_t at = fg_cells_find(c, FG_CELL_STEM, fg_cell_hash(c, &key));

	return at == NONE || !c->all.base.days ?
		       otherwise :
		       fg_cells_usual(c, &c->tables[FG_CELL_STEM].cells[at], share).p;
}

double fg_cells_stem_known(const struct fg_cells *c, uint64_t stem, enum fg_share share)
{
	const struct fg_cell_key key = { .kind = FG_CELL_STEM, .stem = stem };
	uint16_t at = fg_cells_find(c, FG_CELL_STEM, fg_cell_hash(c, &key));

	return at == NONE ? 0 : (double)c->tables[FG_CELL_STEM].cells[at].base.known[share];
}

/* Shares of a cell's own bins, and the weight that they have; at an hour of the day for turns. */
static double own_bins(const struct fg_cells *c, const struct fg_cell *cell, enum fg_hist hist,
		       double *ret_p)
{
	const struct fg_cell_base *b = &cell->base;
	unsigned int n = bins_of(hist), at = fg_hist_at(hist);
	double known = 0;

	if (hist == FG_HIST_TURNS) {
		for (unsigned int i = 0; i < n; i++)
			ret_p[i] = b->turns[c->hour % 24][i] / 65535.0;
		return b->turns_known[c->hour % 24];
	}
	for (unsigned int i = 0; i < n; i++)
		known += b->bins[at + i];
	for (unsigned int i = 0; i < n; i++)
		ret_p[i] = known > 0 ? b->bins[at + i] / known : 0;
	return known;
}

struct fg_usual fg_cells_usual_bins(const struct fg_cells *c, const struct fg_cell *cell,
				    enum fg_hist hist, double *ret_p)
{
	const struct fg_cell *line[MAX_DEPTH];
	int depth = lineage(c, cell, line);
	unsigned int n = bins_of(hist);
	double own[FG_SHAPE_BINS], weight, days, rho = 0, known = 0;
	/* turns are learned once a day and hour, the others each hour */
	double lean = hist == FG_HIST_TURNS ? LEAN / 10 : LEAN;

	for (unsigned int i = 0; i < n; i++)
		ret_p[i] = 1.0 / n;
	for (int d = 0; d < depth; d++) {
		const struct fg_cell_base *b = &line[d]->base;

		known = own_bins(c, line[d], hist, own);
		weight = known / (known + (d ? lean : LEAN_PRIOR));
		for (unsigned int i = 0; i < n; i++)
			ret_p[i] = weight * own[i] + (1 - weight) * ret_p[i];
		days = b->hist_days[hist];
		if (d > 0 || depth == 1)
			rho = fmax(
				rho,
				weight * (b->hist_stray[hist] * days + PRIOR_DAYS * HIST_EXPECTED) /
						(days + PRIOR_DAYS) +
					(1 - weight) * HIST_LEANING);
	}
	rho = MULTIPLIER * MULTIPLIER * fmax(rho, HIST_FLOOR);
	return (struct fg_usual){ .rho = fmin(rho, RHO_MAX), .n = known };
}

double fg_cells_drift(const struct fg_cells *c, const struct fg_cell *cell, enum fg_share share)
{
	const struct fg_cell_base *b = &cell->base;
	double now = b->known[share] > 0 ? b->yes[share] / b->known[share] : 0;

	if (!b->frozen_day || b->frozen[share] <= 0)
		return 0;
	if (cell->key.kind == FG_CELL_STEM && heir(c, cell) != &c->all)
		return 0;
	return now / b->frozen[share] - 1;
}

/* --- Learning --------------------------------------------------------------------------------- */

static uint16_t new_week(struct fg_cells *c)
{
	if (c->n_free_weeks)
		return c->free_weeks[--c->n_free_weeks];
	if (c->n_weeks >= FG_CELL_WEEKS)
		return 0;
	if (c->n_weeks + 1 >= c->cap_weeks) {
		uint32_t cap = c->cap_weeks ? c->cap_weeks * 2 : 16;
		struct fg_cell_week *larger = realloc(c->weeks, cap * sizeof(*larger));

		if (!larger)
			return 0;
		c->weeks = larger;
		c->cap_weeks = cap;
	}
	return (uint16_t)++c->n_weeks;
}

static void learn_week(struct fg_cells *c, struct fg_cell *cell)
{
	unsigned int slot = week_hour(c->hour);
	const double keep = exp(-7 / FADE_DAYS);
	struct fg_cell_week *w;

	if (!cell->week && (cell == &c->all || cell->learn.active >= FG_WEEK_MIN)) {
		cell->week = new_week(c);
		if (cell->week)
			memset(&c->weeks[cell->week], 0, sizeof(*c->weeks));
	}
	if (!cell->week)
		return;
	w = &c->weeks[cell->week];
	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		w->known[slot][i] = (float)(w->known[slot][i] * keep + cell->learn.known[i]);
		w->yes[slot][i] = (float)(w->yes[slot][i] * keep + cell->learn.yes[i]);
	}
}

static void learn_turns(struct fg_cells *c, struct fg_cell *cell)
{
	struct fg_cell_base *b = &cell->base;
	unsigned int hour = c->hour % 24;
	double n = 0, weight;

	for (int i = 0; i < FG_TURN_BINS; i++)
		n += cell->learn.bins[i];
	if (n == 0)
		return;
	b->turns_known[hour] = (float)(b->turns_known[hour] * exp(-1 / FADE_DAYS) + n);
	weight = n / b->turns_known[hour];
	for (int i = 0; i < FG_TURN_BINS; i++) {
		double was = b->turns[hour][i] / 65535.0, is = cell->learn.bins[i] / n;

		b->turns[hour][i] = (uint16_t)lround((was + (is - was) * weight) * 65535);
	}
}

/* Each expected share is that of before this hour: what is learned from is not what was expected. */
static void learn_day(struct fg_cells *c, struct fg_cell *cell)
{
	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		if (!cell->learn.known[i])
			continue;
		cell->day_known[i] += (float)cell->learn.known[i];
		cell->day_yes[i] += (float)cell->learn.yes[i];
		cell->day_expected[i] +=
			(float)(fg_cells_usual(c, cell, (enum fg_share)i).p * cell->learn.known[i]);
	}
}

static void learn_counts(struct fg_cell *cell)
{
	struct fg_cell_base *b = &cell->base;

	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		b->known[i] += (float)cell->learn.known[i];
		b->yes[i] += (float)cell->learn.yes[i];
	}
	for (int i = FG_TURN_BINS; i < FG_HIST_BINS; i++)
		b->bins[i] += (float)cell->learn.bins[i];
}

static void mean_in(float *mean, uint16_t *n, double value)
{
	*n += *n < (uint16_t)FADE_DAYS;
	*mean += (float)((value - *mean) / *n);
}

/* Once a day: how far did it stray? Histograms are judged by this last hour's. */
static void learn_stray(struct fg_cells *c, struct fg_cell *cell)
{
	struct fg_cell_base *b = &cell->base;

	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		double off;

		if (cell->day_known[i] < FG_CELL_SMALL)
			continue;
		off = (cell->day_yes[i] - cell->day_expected[i]) / cell->day_known[i];
		mean_in(&b->stray[i], &b->stray_days[i], off * off);
	}
	for (int h = 0; h < _FG_HIST_MAX; h++) {
		double p[FG_SHAPE_BINS], n = 0, off = 0, squares = 0;
		unsigned int at = fg_hist_at((unsigned int)h);

		for (unsigned int i = 0; i < bins_of((enum fg_hist)h); i++)
			n += cell->learn.bins[at + i];
		if (n < FG_CELL_SMALL)
			continue;
		fg_cells_usual_bins(c, cell, (enum fg_hist)h, p);
		for (unsigned int i = 0; i < bins_of((enum fg_hist)h); i++) {
			double q = cell->learn.bins[at + i] / n;

			off += (q - p[i]) * (q - p[i]);
			squares += p[i] * p[i];
		}
		mean_in(&b->hist_stray[h], &b->hist_days[h], off / (1 - fmin(squares, 0.99)));
	}
}

static void fade(struct fg_cell_base *b)
{
	const float keep = (float)exp(-1 / FADE_DAYS);

	for (int i = 0; i < _FG_SHARE_MAX; i++) {
		b->known[i] *= keep;
		b->yes[i] *= keep;
	}
	for (int i = 0; i < FG_HIST_BINS; i++)
		b->bins[i] *= keep;
}

/* A reference that learning does not move, renewed after two months. */
static void freeze(struct fg_cell_base *b, uint32_t day)
{
	if (b->days < FREEZE_AFTER || (b->frozen_day && day - b->frozen_day < FREEZE_FOR))
		return;
	b->frozen_day = (uint16_t)day;
	for (int i = 0; i < _FG_SHARE_MAX; i++)
		b->frozen[i] = b->known[i] > 0 ? b->yes[i] / b->known[i] : 0;
}

static void end_day(struct fg_cells *c, struct fg_cell *cell)
{
	if (!cell->frozen_hour && cell->day_known[FG_SHARE_V4] > 0) {
		cell->base.days += cell->base.days < UINT16_MAX;
		fade(&cell->base);
	}
	freeze(&cell->base, c->hour / 24);
	memset(cell->day_known, 0, sizeof(cell->day_known));
	memset(cell->day_yes, 0, sizeof(cell->day_yes));
	memset(cell->day_expected, 0, sizeof(cell->day_expected));
}

/* How far the hour, and the day that is over, are from what was expected. */
static void compare_cell(struct fg_cells *c, struct fg_cell *cell, bool day_over,
			 fg_cells_frozen_fn frozen, void *arg)
{
	cell->frozen_hour = cell->learn.active && frozen && frozen(arg, cell);
	if (cell->frozen_hour)
		return;
	if (cell->learn.active)
		learn_day(c, cell);
	if (day_over && cell->day_known[FG_SHARE_V4] > 0)
		learn_stray(c, cell);
}

static void learn_cell(struct fg_cells *c, struct fg_cell *cell, bool day_over)
{
	if (day_over)
		end_day(c, cell);
	if (!cell->learn.active || cell->frozen_hour)
		return;
	learn_turns(c, cell);
	learn_week(c, cell);
	learn_counts(cell);
}

static void fade_sizes(struct fg_cells *c)
{
	const double keep = exp(-1 / SIZE_DAYS);

	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		struct fg_cell_table *t = &c->tables[kind];

		for (uint32_t i = 1; i < t->n; i++) {
			t->clients[i] = (uint32_t)lround(t->clients[i] * keep);
			t->cells[i].error = (uint32_t)lround(t->cells[i].error * keep);
		}
	}
}

/* First of all cells how far they are off, then what is new: what was expected of a cell leans on what its
 * parents were before. */
void fg_cells_learn(struct fg_cells *c, fg_cells_frozen_fn frozen, void *arg)
{
	uint32_t day = (c->hour + 1) / 24; /* of the hour that begins */
	bool day_over = c->day && day != c->day;

	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		for (uint32_t i = 0; i < c->tables[kind].n; i++)
			compare_cell(c, &c->tables[kind].cells[i], day_over, frozen, arg);
	compare_cell(c, &c->all, day_over, frozen, arg);
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		for (uint32_t i = 0; i < c->tables[kind].n; i++)
			learn_cell(c, &c->tables[kind].cells[i], day_over);
	learn_cell(c, &c->all, day_over);
	if (day_over)
		fade_sizes(c);
	c->day = day;
}

/* --- Kept over a restart ---------------------------------------------------------------------- */

#define SAVED_MAGIC 0x32736c6c65634746ULL /* "FGcells2" */
#define SAVED_NAME  0x00ffffffffffffffULL /* the magic without its version */

struct saved_head {
	uint64_t magic;
	uint32_t cell_size, week_size; /* another build's structs are not read */
	uint32_t n_cells, n_weeks;
	uint64_t n_reach; /* bytes, at the end */
	uint32_t day, crc;
};

struct saved_cell {
	struct fg_cell_key key;
	uint32_t clients, error;
	uint16_t week;
	uint8_t everybody, residual;
	struct fg_cell_base base;
};

static void save_cell(const struct fg_cell *cell, uint32_t clients, struct saved_cell *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->key = cell->key;
	ret->clients = clients;
	ret->error = cell->error;
	ret->week = cell->week;
	ret->base = cell->base;
}

static size_t save_cells(const struct fg_cells *c, struct saved_cell *out)
{
	size_t n = 0;

	save_cell(&c->all, 0, &out[n]);
	out[n++].everybody = 1;
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		const struct fg_cell_table *t = &c->tables[kind];

		for (uint32_t i = 0; i < t->n; i++) {
			save_cell(&t->cells[i], t->clients[i], &out[n]);
			out[n++].residual = i == FG_CELL_RESIDUAL;
		}
	}
	return n;
}

int fg_cells_save(const struct fg_cells *c, void **ret_bytes, size_t *ret_n)
{
	size_t n_cells = 1, size;
	struct saved_head *head;
	struct fg_cell_week *weeks;
	struct saved_cell *cells;
	size_t n_reach;
	void *reach;
	int r = fg_reach_save(c->reach, c->tables[FG_CELL_STEM].n, &reach, &n_reach);

	if (r)
		return r;
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		n_cells += c->tables[kind].n;
	size = sizeof(*head) + n_cells * sizeof(*cells) + c->n_weeks * sizeof(*weeks) + n_reach;
	head = calloc(1, size);
	if (!head) {
		free(reach);
		return -ENOMEM;
	}
	cells = (struct saved_cell *)(head + 1);
	weeks = (struct fg_cell_week *)(cells + n_cells);
	save_cells(c, cells);
	if (c->n_weeks)
		memcpy(weeks, c->weeks + 1, c->n_weeks * sizeof(*weeks));
	memcpy((uint8_t *)head + size - n_reach, reach, n_reach);
	free(reach);
	*head = (struct saved_head){ .magic = SAVED_MAGIC,
				     .cell_size = sizeof(*cells),
				     .week_size = sizeof(*weeks),
				     .n_cells = (uint32_t)n_cells,
				     .n_weeks = c->n_weeks,
				     .n_reach = n_reach,
				     .day = c->day };
	head->crc = (uint32_t)crc32(0, (const Bytef *)cells, (uInt)(size - sizeof(*head)));
	*ret_bytes = head;
	*ret_n = size;
	return 0;
}

static bool base_is_sane(const struct fg_cell_base *b)
{
	for (int i = 0; i < _FG_SHARE_MAX; i++)
		if (!(b->known[i] >= 0) || !(b->yes[i] >= 0) || !(b->yes[i] <= b->known[i] + 1) ||
		    !(b->stray[i] >= 0) || !isfinite(b->known[i]) || !isfinite(b->stray[i]) ||
		    !isfinite(b->frozen[i]))
			return false;
	for (int i = 0; i < FG_HIST_BINS; i++)
		if (!(b->bins[i] >= 0) || !isfinite(b->bins[i]))
			return false;
	for (int i = 0; i < 24; i++)
		if (!(b->turns_known[i] >= 0) || !isfinite(b->turns_known[i]))
			return false;
	for (int i = 0; i < _FG_HIST_MAX; i++)
		if (!(b->hist_stray[i] >= 0) || !isfinite(b->hist_stray[i]))
			return false;
	return true;
}

static const char *what_is_wrong(const struct saved_head *head, size_t n)
{
	const struct saved_cell *cells = (const struct saved_cell *)(head + 1);

	if (n < sizeof(*head) || (head->magic ^ SAVED_MAGIC) & SAVED_NAME)
		return "these are no cells";
	if (head->magic != SAVED_MAGIC || head->cell_size != sizeof(*cells) ||
	    head->week_size != sizeof(struct fg_cell_week))
		return "another version wrote them";
	if (head->n_cells > 1 + _FG_CELL_MAX * CELLS || head->n_weeks > FG_CELL_WEEKS ||
	    head->n_reach > n ||
	    n != sizeof(*head) + head->n_cells * sizeof(*cells) +
			    head->n_weeks * sizeof(struct fg_cell_week) + head->n_reach)
		return "their number is wrong";
	if (head->crc != (uint32_t)crc32(0, (const Bytef *)cells, (uInt)(n - sizeof(*head))))
		return "they are damaged";
	for (uint32_t i = 0; i < head->n_cells; i++)
		if ((unsigned int)cells[i].key.kind >= _FG_CELL_MAX ||
		    cells[i].week > head->n_weeks || !base_is_sane(&cells[i].base))
			return "a cell holds what cannot be";
	return NULL;
}

static int load_cell(struct fg_cells *c, const struct saved_cell *in)
{
	struct fg_cell *cell = in->everybody ? &c->all : NULL;

	if (!cell)
		cell = fg_cells_restore(c, &in->key, in->residual, in->clients);
	if (!cell)
		return -ENOMEM;
	cell->error = in->error;
	cell->week = in->week;
	cell->base = in->base;
	return 0;
}

int fg_cells_load(struct fg_cells *c, const void *bytes, size_t n, char *why, size_t n_why)
{
	const struct saved_head *head = bytes;
	const struct saved_cell *cells = (const struct saved_cell *)(head + 1);
	const char *wrong = what_is_wrong(head, n);
	int r;

	if (wrong) {
		snprintf(why, n_why, "%s", wrong);
		return -EBADMSG;
	}
	r = fg_reach_load(c->reach, (const uint8_t *)bytes + n - head->n_reach, head->n_reach);
	if (r) {
		snprintf(why, n_why, "its sketches hold what cannot be");
		return r;
	}
	if (head->n_weeks) {
		c->weeks = calloc(head->n_weeks + 1, sizeof(*c->weeks));
		if (!c->weeks)
			return -ENOMEM;
		memcpy(c->weeks + 1, cells + head->n_cells, head->n_weeks * sizeof(*c->weeks));
		c->n_weeks = head->n_weeks;
		c->cap_weeks = head->n_weeks + 1;
	}
	c->day = head->day;
	for (uint32_t i = 0; i < head->n_cells && !r; i++)
		r = load_cell(c, &cells[i]);
	return r;
}
