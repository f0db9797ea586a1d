/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/cohort.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/clock.h"
#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "lib/betabin.h"

#define HOUR_NS 3600000000000ULL
#define BH_RATE 0.05
/* A cohort whose cell was quiet for so long, and has no members, is over. */
#define OVER_NS (48 * HOUR_NS)

/* --- Life cycle ------------------------------------------------------------------------------- */

int fg_cohorts_new(struct fg_cohorts **ret_cohorts)
{
	struct fg_cohorts *c = calloc(1, sizeof(*c));
	int r = c ? fg_cells_new(&c->cells) : -ENOMEM;

	for (int kind = 0; !r && kind < _FG_CELL_MAX; kind++) {
		c->watch[kind] = calloc(FG_CELLS_KEPT + 1, sizeof(*c->watch[kind]));
		r = c->watch[kind] ? 0 : -ENOMEM;
		for (size_t i = 0; !r && i <= FG_CELLS_KEPT; i++)
			for (int f = 0; f < _FG_FAMILY_MAX; f++)
				c->watch[kind][i].log_r[f] = -INFINITY;
		for (size_t i = 0; !r && i <= FG_CELLS_KEPT; i++)
			for (int s = 0; s < _FG_SUPPORT_MAX; s++)
				c->watch[kind][i].support[s] = -INFINITY;
	}
	if (r) {
		fg_cohorts_free(&c);
		return r;
	}
	c->next_id = 1;
	*ret_cohorts = c;
	return 0;
}

void fg_cohorts_free(struct fg_cohorts **cohorts)
{
	struct fg_cohorts *c = *cohorts;

	if (!c)
		return;
	fg_cells_free(&c->cells);
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		free(c->watch[kind]);
	free(c->members);
	free(c->member_index);
	free(c->active);
	free(c->suspects);
	free(c->places);
	fg_lockstep_days_free(&c->steps);
	free(c);
	*cohorts = NULL;
}

/* --- One: who was active, and what they are like ---------------------------------------------- */

static unsigned int half_of(const struct fg_model_client *client)
{
	uint64_t h = fg_client_hash(client->addr, client->stem, client->stack);

	return (h ^ h >> 32) & 1;
}

/* Was it active in an earlier hour of this day? Then its cells have counted it today. */
static bool is_new_today(const struct fg_model_client *client, uint32_t hour)
{
	const struct fg_signals *g = &client->signals;

	if (g->day != hour / 24)
		return true;
	for (unsigned int quarter = 0; quarter < hour % 24 * 4; quarter++)
		if (fg_signals_active(g, 0, quarter))
			return false;
	return true;
}

/* Is it the first of its source's clients today, by place where several came in this hour? Of
 * who has more than 32 kinds of clients the busiest are looked at. */
static bool is_new_source(const struct fg_model *m, const struct fg_model_client *client,
			  uint32_t hour)
{
	const struct fg_model_client *others[32];
	size_t n = fg_model_clients_of(m, client->addr, others, 32);

	for (size_t i = 0; i < n; i++) {
		if (others[i] == client || others[i]->signals.day != hour / 24)
			continue;
		if (!is_new_today(others[i], hour) || others[i] < client)
			return false;
	}
	return true;
}

/* A stem that the same stack of the same source showed until this client came up: a new release. */
static uint64_t predecessor_of(const struct fg_model *m, const struct fg_model_client *client)
{
	const struct fg_model_client *others[8];
	size_t n = fg_model_clients_of(m, client->addr, others, 8);

	for (size_t i = 0; i < n; i++)
		if (others[i] != client && others[i]->stack == client->stack &&
		    others[i]->stem != client->stem && others[i]->first_ns < client->first_ns &&
		    others[i]->last_ns <= client->first_ns)
			return others[i]->stem;
	return 0;
}

static int make_room(struct fg_cohorts *c, size_t n)
{
	struct fg_active *larger;

	if (n <= c->cap_active)
		return 0;
	larger = realloc(c->active, n * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	c->active = larger;
	c->cap_active = n;
	return 0;
}

static int gather(struct fg_cohorts *c, const struct fg_model *m,
		  const struct fg_networks *networks, uint32_t hour)
{
	struct fg_traits_reader reader;
	const uint32_t *places;
	size_t n = fg_model_active(m, &places);
	int r = make_room(c, n);

	if (r)
		return r;
	fg_traits_begin(&reader, m, networks);
	fg_cells_begin(c->cells, hour);
	c->n_active = n;
	for (size_t i = 0; i < n; i++) {
		const struct fg_model_client *client = fg_model_client_at(m, places[i]);
		struct fg_active *a = &c->active[i];
		bool new_today = is_new_today(client, hour);
		bool is_young = fg_model_now_ns(m) - client->first_ns < FG_DAY_NS;

		fg_traits_read(&reader, places[i], &a->traits);
		a->half = (uint8_t)half_of(client);
		a->member = fg_member_find(c, client->addr, client->stem, client->stack) != NULL;
		fg_cells_add(c->cells, client, &a->traits, new_today,
			     new_today && is_young ? predecessor_of(m, client) : 0, a->member,
			     a->cells);
		c->day_sources += new_today && !a->member && is_new_source(m, client, hour);
	}
	fg_cells_counted(c->cells);
	for (size_t i = 0; i < n; i++) {
		struct fg_active *a = &c->active[i];

		for (int kind = 0; kind < _FG_CELL_MAX; kind++)
			a->cells[kind] =
				fg_cells_home(c->cells, (enum fg_cell_kind)kind, a->cells[kind],
					      fg_model_client_at(m, places[i]), &a->traits);
	}
	return 0;
}

/* --- Two: which cells changed ----------------------------------------------------------------- */

static struct fg_watch *watch_of(struct fg_cohorts *c, const struct fg_cell *cell, uint16_t place)
{
	struct fg_watch *w = &c->watch[cell->key.kind][place];

	if (w->hash != cell->hash) {
		*w = (struct fg_watch){ .hash = cell->hash };
		for (int f = 0; f < _FG_FAMILY_MAX; f++)
			w->log_r[f] = -INFINITY;
		for (int s = 0; s < _FG_SUPPORT_MAX; s++)
			w->support[s] = -INFINITY;
	}
	return w;
}

static void step(struct fg_watch *w, enum fg_family family, double log_e)
{
	double r = fg_shiryaev_roberts(w->log_r[family], log_e);

	w->log_r[family] = (float)fmin(r, FG_ALARM_MAX_NATS);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* What stands out in this hour by itself, with a bound on the share of false ones. */
static void count_discoveries(struct fg_cohorts *c, double *log_e, size_t n)
{
	double sum = 0;

	qsort(log_e, n, sizeof(*log_e), by_size);
	for (size_t i = 0; i < n; i++)
		sum += exp(log_e[i]);
	c->state.mean_e = n ? sum / (double)n : 0;
	c->state.tested = n;
	c->state.discoveries = fg_e_bh(log_e, n, BH_RATE);
}

static double mean_e(const struct fg_cell_tests *t)
{
	return fg_log_add(fg_log_add(t->log_e[FG_FAMILY_RELAY], t->log_e[FG_FAMILY_AUTOMATION]),
			  t->log_e[FG_FAMILY_LIFECYCLE]) -
	       log(3);
}

/* Asked once a day, where relays are in excess, of all that is known of its clients' hours: the answer takes
 * the place of the day before's. */
static int test_clock(struct fg_cohorts *c, const struct fg_model *m, const struct fg_cell *cell,
		      uint16_t place, struct fg_watch *w, const struct fg_cell_tests *t)
{
	uint16_t day = (uint16_t)(c->hour / 24 + 1);
	struct fg_clock clock;
	size_t n;
	int r;

	/* what nobody asked for a whole day stands no longer */
	if (w->clock_day + 1 < day)
		w->log_r[FG_FAMILY_CLOCK] = -INFINITY;
	if (w->clock_day == day || !fg_cohort_relays(cell, w, t))
		return 0;
	w->clock_day = day;
	r = fg_cohort_suspects(c, cell->key.kind, place, &n);
	if (r)
		return r;
	fg_clock_vote(m, c->suspects, n, &clock);
	w->log_r[FG_FAMILY_CLOCK] = (float)fmin(clock.log_e, FG_ALARM_MAX_NATS);
	return 0;
}

static int test_cell(struct fg_cohorts *c, const struct fg_model *m, const struct fg_cell *cell,
		     uint16_t place, double *ret_log_e)
{
	struct fg_watch *w = watch_of(c, cell, place);
	struct fg_cell_tests t;
	int r;

	fg_cell_test(c->cells, cell, &t);
	step(w, FG_FAMILY_RELAY, t.log_e[FG_FAMILY_RELAY]);
	step(w, FG_FAMILY_AUTOMATION, t.log_e[FG_FAMILY_AUTOMATION]);
	step(w, FG_FAMILY_LIFECYCLE, t.log_e[FG_FAMILY_LIFECYCLE]);
	*ret_log_e = mean_e(&t);
	r = test_clock(c, m, cell, place, w, &t);
	/* everything is new, and nothing usual */
	if (r || c->state.hours < 1)
		return r;
	fg_cohort_alarm(c, m, cell, place, w, &t);
	return 0;
}

static int test_all(struct fg_cohorts *c, const struct fg_model *m)
{
	size_t max = 0, n = 0;
	double *log_e;
	int r = 0;

	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		max += fg_cells_n(c->cells, (enum fg_cell_kind)kind);
	log_e = malloc(max * sizeof(*log_e));
	if (!log_e)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		c->list[i].in_alarm = false;
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		size_t cells = fg_cells_n(c->cells, (enum fg_cell_kind)kind);

		for (uint16_t i = 0; i < cells && !r; i++) {
			const struct fg_cell *cell =
				fg_cells_at(c->cells, (enum fg_cell_kind)kind, i);

			if (cell->now.active >= FG_MIN_ACTIVE)
				r = test_cell(c, m, cell, i, &log_e[n++]);
		}
	}
	if (!r)
		count_discoveries(c, log_e, n);
	free(log_e);
	return r;
}

/* --- Three: members --------------------------------------------------------------------------- */

static uint16_t place_of(struct fg_cohorts *c, const struct fg_cohort *cohort)
{
	size_t n = fg_cells_n(c->cells, cohort->key.kind);

	for (uint16_t i = 0; i < n; i++)
		if (c->watch[cohort->key.kind][i].cohort == cohort->id)
			return i;
	return UINT16_MAX;
}

/* What has a name before what is the rest; then the largest. */
static int by_excess(const void *a, const void *b)
{
	const struct fg_cohort *x = *(struct fg_cohort *const *)a;
	const struct fg_cohort *y = *(struct fg_cohort *const *)b;

	if (x->residual != y->residual)
		return x->residual - y->residual;
	return x->excess < y->excess ? 1 : x->excess > y->excess ? -1 : 0;
}

/* The largest cohort first: a client belongs to the first that claims it. */
static int find_members(struct fg_cohorts *c, const struct fg_model *m)
{
	struct fg_cohort *order[FG_MAX_COHORTS];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].in_alarm && c->list[i].warm)
			order[n++] = &c->list[i];
	qsort(order, n, sizeof(order[0]), by_excess);
	for (size_t i = 0; i < n && !r; i++) {
		uint16_t place = place_of(c, order[i]);

		if (place != UINT16_MAX)
			r = fg_cohort_find_members(c, m, order[i], place);
	}
	return r;
}

/* --- Four: what is usual ---------------------------------------------------------------------- */

/* A cell that may be changing is not learned from, for two weeks at most. */
static bool is_frozen(void *arg, const struct fg_cell *cell)
{
	struct fg_cohorts *c = arg;
	const struct fg_cell *first = fg_cells_at(c->cells, cell->key.kind, 0);
	struct fg_watch *w;
	bool suspect = false;

	if (cell == fg_cells_all(c->cells))
		return false;
	w = &c->watch[cell->key.kind][cell - first];
	for (int f = 0; f < _FG_FAMILY_MAX; f++)
		suspect |= w->log_r[f] >= FG_SUSPECT_NATS;
	if (w->cohort) {
		const struct fg_cohort *cohort = fg_cohorts_find(c, w->cohort);

		if (cohort && cohort->in_alarm && cohort->warm)
			return true;
	}
	if (!suspect) {
		w->suspect_days = 0;
		return false;
	}
	if (w->last_day != c->hour / 24) {
		w->last_day = (uint16_t)(c->hour / 24);
		w->suspect_days += w->suspect_days < UINT16_MAX;
	}
	/* who has no baseline must learn one first */
	return cell->base.days >= FG_WARM_DAYS && w->suspect_days <= FG_SUSPECT_DAYS;
}

static void drop_cohorts(struct fg_cohorts *c, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct fg_cohort *cohort = &c->list[i];

		if (cohort->members || cohort->in_alarm || now_ns - cohort->alarm_ns < OVER_NS) {
			if (kept != i)
				c->list[kept] = *cohort;
			kept++;
		}
	}
	c->n = kept;
}

/* A day's budget is a rate over the legitimate sources of the day before. */
static void begin_budget(struct fg_cohorts *c, uint32_t day)
{
	if (c->budget_day == day)
		return;
	c->state.legit_sources = c->day_sources;
	c->day_sources = 0;
	c->state.alert_expected_false = c->state.enforce_expected_false = 0;
	c->budget_day = day;
}

int fg_cohorts_hour(struct fg_cohorts *c, const struct fg_model *m,
		    const struct fg_networks *networks, const struct fg_detect_conf *conf,
		    uint32_t hour)
{
	int r;

	if (c->hour && hour <= c->hour)
		return -EINVAL;
	c->hour = hour;
	c->conf = conf;
	begin_budget(c, hour / 24);
	r = gather(c, m, networks, hour);
	if (!r)
		r = test_all(c, m);
	if (!r)
		r = fg_cohorts_daily(c, m, networks);
	if (!r)
		r = find_members(c, m);
	if (r)
		return r;
	fg_members_fade(c, hour / 24);
	fg_members_count(c, m);
	fg_cells_learn(c->cells, is_frozen, c);
	drop_cohorts(c, fg_model_now_ns(m));
	c->state.hours++;
	c->state.days = fg_cells_all(c->cells)->base.days;
	return 0;
}

uint32_t fg_cohorts_last_hour(const struct fg_cohorts *c)
{
	return c->hour;
}

void fg_cohorts_set_back(struct fg_cohorts *c, uint32_t hour)
{
	const uint64_t now_ns = hour * HOUR_NS;
	const uint16_t day = (uint16_t)(hour / 24);

	c->hour = hour ? hour - 1 : 0;
	for (size_t i = 0; i < c->n; i++) {
		struct fg_cohort *cohort = &c->list[i];

		cohort->alarm_ns = cohort->alarm_ns < now_ns ? cohort->alarm_ns : now_ns;
		cohort->first_ns = cohort->first_ns < now_ns ? cohort->first_ns : now_ns;
	}
	for (uint32_t i = 0; i < c->n_members; i++) {
		struct fg_member *m = &c->members[i];

		m->day = m->day < day ? m->day : day;
		m->first_ns = m->first_ns < now_ns ? m->first_ns : now_ns;
	}
}

size_t fg_cohorts_active(struct fg_cohorts *c, const struct fg_cohort *cohort,
			 const uint32_t **ret_places)
{
	uint16_t place = place_of(c, cohort);
	uint32_t *larger = realloc(c->places, (c->n_active + 1) * sizeof(*larger));
	size_t n = 0;

	*ret_places = NULL;
	if (!larger)
		return 0;
	c->places = larger;
	for (size_t i = 0; i < c->n_active; i++)
		if (c->active[i].cells[cohort->key.kind] == place)
			c->places[n++] = c->active[i].traits.place;
	*ret_places = c->places;
	return n;
}

/* --- Reading ---------------------------------------------------------------------------------- */

const struct fg_cohort *fg_cohorts_find(const struct fg_cohorts *c, uint32_t id)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].id == id)
			return &c->list[i];
	return NULL;
}

size_t fg_cohorts_n(const struct fg_cohorts *c)
{
	return c->n;
}

const struct fg_cohort *fg_cohorts_at(const struct fg_cohorts *c, size_t i)
{
	return &c->list[i];
}

const struct fg_cells *fg_cohorts_cells(const struct fg_cohorts *c)
{
	return c->cells;
}

struct fg_cohorts_state fg_cohorts_state(const struct fg_cohorts *c)
{
	const struct fg_reach *reach = fg_cells_reaches(c->cells);
	struct fg_cohorts_state s = c->state;

	s.sketch_bytes = fg_reach_bytes(reach);
	s.sketch_refused = fg_reach_refused(reach);
	s.lockstep_refused = c->steps ? fg_lockstep_refused(c->steps) : 0;
	return s;
}
