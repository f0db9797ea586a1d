/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is asked of a cell once a day, as the day before was: hand-over and lockstep. They look at every
 * client of the cell, also at those that are gone, so they are asked only where something is amiss
 * already, of FG_DAILY_CELLS cells an hour, and of FG_DAILY_CLIENTS clients each. They support a family
 * that is raised by itself (FG_SUPPORT_WEIGHT), and are evidence of a cohort; alone they raise nothing.
 *
 * In an hour in which a cell is asked, one pass over the model's clients reads a cache line of each.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "lib/betabin.h"
#include "lib/splitmix.h"

#define SECOND_NS  1000000000ULL
#define OVERLAP_NS (FG_HANDOVER_S * SECOND_NS)
/* Of the day that began, before it is asked: who stopped on the day before was quiet for so long. */
#define WAIT_HOURS 1

/* A client of a cell, as the tests need it. */
struct picked {
	uint32_t place;
	uint8_t shape;
	uint64_t network;
};

/* A cell that is asked. */
struct asked {
	const struct fg_cell *cell;
	struct fg_watch *watch;
	double weight; /* what is behind it */
	struct picked *picked;
	uint32_t n, seen;
	uint64_t rng;
};

/* --- Which cells ------------------------------------------------------------------------------ */

/* What is behind a cell, in nats; 0 where it is not to be asked. */
static double weight_of(const struct fg_cohorts *c, const struct fg_cell *cell,
			const struct fg_watch *w, uint16_t day)
{
	const struct fg_cohort *cohort = w->cohort ? fg_cohorts_find(c, w->cohort) : NULL;
	bool in_alarm = cohort && cohort->in_alarm, raised = false;
	double sum = 0;

	if (w->hash != cell->hash || (w->daily_day == day && !in_alarm) ||
	    (w->daily_day == day && cohort->daily_day == day))
		return 0;
	for (int f = 0; f < _FG_FAMILY_MAX; f++) {
		raised |= w->log_r[f] >= FG_SUSPECT_NATS;
		sum += fmax(w->log_r[f], 0);
	}
	return raised || in_alarm ? sum + in_alarm * FG_ALARM_MAX_NATS : 0;
}

/* The heaviest first. */
static size_t insert(struct asked *list, size_t n, const struct asked *one)
{
	size_t i = n < FG_DAILY_CELLS ? n : FG_DAILY_CELLS - 1;

	if (n == FG_DAILY_CELLS && list[i].weight >= one->weight)
		return n;
	for (; i > 0 && list[i - 1].weight < one->weight; i--)
		list[i] = list[i - 1];
	list[i] = *one;
	return n < FG_DAILY_CELLS ? n + 1 : n;
}

static size_t choose(struct fg_cohorts *c, uint16_t day, struct asked list[FG_DAILY_CELLS])
{
	/* those of one stem that are not one network by themselves */
	static const enum fg_cell_kind kinds[] = { FG_CELL_STEM, FG_CELL_CLASS, FG_CELL_STACK };
	size_t n = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		size_t cells = fg_cells_n(c->cells, kinds[k]);

		for (uint16_t i = FG_CELL_RESIDUAL + 1; i < cells; i++) {
			struct asked one = { .cell = fg_cells_at(c->cells, kinds[k], i),
					     .watch = &c->watch[kinds[k]][i] };

			if (one.cell->now.active < FG_MIN_ACTIVE)
				continue;
			one.weight = weight_of(c, one.cell, one.watch, day);
			one.rng = one.cell->key.stem ^ day;
			if (one.weight > 0)
				n = insert(list, n, &one);
		}
	}
	return n;
}

/* --- Which clients ---------------------------------------------------------------------------- */

/* Of more than there is room for, each is as likely to stay (Vitter 1985, algorithm R). */
static void pick(struct asked *a, const struct picked *one)
{
	uint64_t at = a->n;

	a->seen++;
	if (a->n < FG_DAILY_CLIENTS)
		a->n++;
	else
		at = fg_splitmix(&a->rng) % a->seen;
	if (at < a->n)
		a->picked[at] = *one;
}

static void pick_client(const struct fg_model_client *client, struct fg_traits_reader *reader,
			uint32_t place, struct asked *list, size_t n)
{
	struct fg_traits t;
	bool read = false;

	for (size_t k = 0; k < n; k++) {
		struct picked one = { .place = place };

		if (client->stem != list[k].cell->key.stem)
			continue;
		if (!read)
			fg_traits_read(reader, place, &t);
		read = true;
		one.shape = t.bins[FG_HIST_SHAPE];
		one.network = fg_reach_network(client->addr, t.asn);
		if (one.shape != FG_BIN_UNKNOWN && fg_cell_holds(&list[k].cell->key, client, &t))
			pick(&list[k], &one);
	}
}

/* Clients that were there on the day, or stopped or began just beside it. */
static int gather(const struct fg_model *m, const struct fg_networks *networks, uint64_t day_ns,
		  struct asked *list, size_t n)
{
	struct fg_traits_reader reader;
	size_t clients = fg_model_n_clients(m);

	for (size_t k = 0; k < n; k++) {
		list[k].picked = malloc(FG_DAILY_CLIENTS * sizeof(*list[k].picked));
		if (!list[k].picked)
			return -ENOMEM;
	}
	fg_traits_begin(&reader, m, networks);
	for (size_t i = 0; i < clients; i++) {
		const struct fg_model_client *client = fg_model_client_at(m, i);

		if (client->last_ns + OVERLAP_NS >= day_ns &&
		    client->first_ns < day_ns + FG_DAY_NS + OVERLAP_NS)
			pick_client(client, &reader, (uint32_t)i, list, n);
	}
	return 0;
}

/* --- Hand-over -------------------------------------------------------------------------------- */

static void fill_move(const struct fg_model_client *client, const struct picked *p, uint64_t day_ns,
		      struct fg_move *move)
{
	int64_t start = (int64_t)(client->first_ns - day_ns);
	int64_t stop = (int64_t)(client->last_ns - day_ns);

	*move = (struct fg_move){ p->network, FG_HANDOVER_NOT, FG_HANDOVER_NOT, p->shape };
	if (start >= 0 && start < (int64_t)FG_DAY_NS)
		move->start_s = (int32_t)(start / (int64_t)SECOND_NS);
	if (stop < (int64_t)(FG_DAY_NS + OVERLAP_NS) &&
	    client->last_ns - client->first_ns >= OVERLAP_NS)
		move->stop_s = (int32_t)(stop / (int64_t)SECOND_NS);
}

static int test_handover(const struct fg_model *m, uint64_t day_ns, const struct asked *a,
			 struct fg_handover *ret)
{
	struct fg_move *moves = malloc((a->n + 1) * sizeof(*moves));
	int r;

	if (!moves)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->n; i++)
		fill_move(fg_model_client_at(m, a->picked[i].place), &a->picked[i], day_ns,
			  &moves[i]);
	r = fg_handover_test(moves, a->n, ret);
	free(moves);
	return r;
}

/* --- Lockstep --------------------------------------------------------------------------------- */

static uint64_t hash_words(const uint8_t addr[16], uint64_t stem, uint64_t stack, uint64_t cell)
{
	uint64_t h[2], state;

	memcpy(h, addr, sizeof(h));
	state = h[0];
	state = fg_splitmix(&state) ^ h[1];
	state = fg_splitmix(&state) ^ stem;
	state = fg_splitmix(&state) ^ stack;
	state = fg_splitmix(&state) ^ cell;
	return fg_splitmix(&state) | 1;
}

/* What is the same over restarts: the table of cells hashes anew in each. */
static uint64_t name_of(const struct fg_cell_key *k)
{
	return (uint64_t)k->kind << 32 | (uint64_t)k->network_class << 16 | (uint64_t)k->bin << 8;
}

/* False where the client was not there on that day. */
static bool fill_step(const struct fg_model_client *client, const struct fg_cell_key *key,
		      uint8_t shape, uint16_t day, struct fg_step *step)
{
	const struct fg_signals *g = &client->signals;
	unsigned int ago = (unsigned int)(g->day - day);

	if (ago > 1)
		return false;
	*step = (struct fg_step){ .shape = shape,
				  .source = hash_words(client->addr, 0, 0, 0),
				  .client = hash_words(client->addr, client->stem, client->stack,
						       name_of(key)) };
	memcpy(step->quarters, g->active[ago], sizeof(step->quarters));
	return true;
}

static int test_lockstep(struct fg_cohorts *c, const struct fg_model *m, uint16_t day,
			 const struct asked *a, struct fg_lockstep *ret)
{
	struct fg_step *steps = malloc((a->n + 1) * sizeof(*steps));
	uint32_t *groups = malloc((a->n + 1) * sizeof(*groups));
	size_t n = 0;
	int r = steps && groups ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < a->n; i++)
		n += fill_step(fg_model_client_at(m, a->picked[i].place), &a->cell->key,
			       a->picked[i].shape, day, &steps[n]);
	if (!r)
		r = fg_lockstep_test(steps, n, a->rng, groups, ret);
	if (!r && ret->effect && !c->steps)
		r = fg_lockstep_days_new(&c->steps);
	if (!r && ret->effect)
		r = fg_lockstep_note(c->steps, day, steps, n, groups, ret);
	free(steps);
	free(groups);
	return r;
}

/* --- What is made of it ----------------------------------------------------------------------- */

/* Where the effect is too small e counts as 1 at most, which keeps its mean. */
static void step(struct fg_watch *w, enum fg_support support, double log_e, bool effect)
{
	double r = fg_shiryaev_roberts(w->support[support], effect ? log_e : fmin(log_e, 0));

	w->support[support] = (float)fmin(r, FG_ALARM_MAX_NATS);
}

/* The strongest day of a cohort is told; of lockstep, how many days it lasts is what counts. */
static void note(struct fg_cohort *cohort, const struct fg_watch *w, uint16_t day,
		 const struct fg_handover *h, const struct fg_lockstep *l)
{
	if (h->effect && (!cohort->handover.effect || h->log_e >= cohort->handover.log_e))
		cohort->handover = *h;
	if (l->effect && l->on_days >= cohort->lockstep.on_days)
		cohort->lockstep = *l;
	memcpy(cohort->support, w->support, sizeof(cohort->support));
	cohort->daily_day = day;
}

static int ask(struct fg_cohorts *c, const struct fg_model *m, uint16_t day, struct asked *a)
{
	struct fg_cohort *cohort = (struct fg_cohort *)fg_cohorts_find(c, a->watch->cohort);
	struct fg_handover handover = { 0 };
	struct fg_lockstep lockstep = { 0 };
	int r = test_handover(m, day * FG_DAY_NS, a, &handover);

	if (!r)
		r = test_lockstep(c, m, day, a, &lockstep);
	if (r)
		return r;
	c->state.daily_asked++;
	c->state.daily_left_out += a->seen - a->n;
	if (a->watch->daily_day != day + 1) {
		step(a->watch, FG_SUPPORT_HANDOVER, handover.log_e, handover.effect);
		step(a->watch, FG_SUPPORT_LOCKSTEP, lockstep.log_e, lockstep.effect);
	}
	a->watch->daily_day = (uint16_t)(day + 1);
	if (cohort)
		note(cohort, a->watch, (uint16_t)(day + 1), &handover, &lockstep);
	return 0;
}

int fg_cohorts_daily(struct fg_cohorts *c, const struct fg_model *m,
		     const struct fg_networks *networks)
{
	struct asked list[FG_DAILY_CELLS] = { { 0 } };
	uint16_t day = (uint16_t)(c->hour / 24 - 1);
	uint64_t day_ns = day * FG_DAY_NS;
	size_t n;
	int r;

	/* on our first days everybody starts */
	if (c->hour % 24 < WAIT_HOURS || fg_model_began_ns(m) + FG_DAY_NS > day_ns)
		return 0;
	n = choose(c, (uint16_t)(day + 1), list);
	r = n ? gather(m, networks, day_ns, list, n) : 0;
	for (size_t i = 0; i < n && !r; i++)
		r = ask(c, m, day, &list[i]);
	for (size_t i = 0; i < n; i++)
		free(list[i].picked);
	return r;
}
