/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cells, recursions, cohorts and members as one run of bytes, so that a restart costs no learning. Of
 * this build only: what another one wrote is refused as a whole, and learning begins anew.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "detect/cohort_state.h"

#define MAGIC 0x34747268636746ULL

struct head {
	uint64_t magic;
	uint32_t cohort_size, member_size, watch_size;
	uint32_t n_cohorts, n_members, n_steps;
	uint32_t n_watch[_FG_CELL_MAX];
	uint32_t next_id, hour, budget_day, crc;
	uint64_t n_cells; /* bytes */
	struct fg_cohorts_state state;
	uint64_t day_sources; /* tomorrow's budget rests on them */
};

static size_t size_of(const struct head *h)
{
	size_t n = sizeof(*h) + h->n_cohorts * sizeof(struct fg_cohort) +
		   h->n_members * sizeof(struct fg_member) +
		   h->n_steps * sizeof(struct fg_lockstep_kept) + h->n_cells;

	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		n += h->n_watch[kind] * sizeof(struct fg_watch);
	return n;
}

/* The parts behind the head, in the order they lie; the cells last. */
static uint8_t *put(uint8_t *at, const void *what, size_t n)
{
	if (n)
		memcpy(at, what, n);
	return at + n;
}

/* Clients in lockstep; NULL where there are none. */
static int save_steps(const struct fg_cohorts *c, struct fg_lockstep_kept **ret_steps,
		      uint32_t *ret_n)
{
	*ret_steps = NULL;
	if (!c->steps)
		return 0;
	*ret_steps = malloc(FG_LOCKSTEP_KEPT * sizeof(**ret_steps));
	if (!*ret_steps)
		return -ENOMEM;
	*ret_n = (uint32_t)fg_lockstep_days_save(c->steps, *ret_steps);
	return 0;
}

int fg_cohorts_save(const struct fg_cohorts *c, void **ret_bytes, size_t *ret_n)
{
	struct head h = { .magic = MAGIC,
			  .cohort_size = sizeof(struct fg_cohort),
			  .member_size = sizeof(struct fg_member),
			  .watch_size = sizeof(struct fg_watch),
			  .n_cohorts = (uint32_t)c->n,
			  .n_members = c->n_members,
			  .next_id = c->next_id,
			  .hour = c->hour,
			  .budget_day = c->budget_day,
			  .day_sources = c->day_sources,
			  .state = c->state };
	struct fg_lockstep_kept *steps;
	void *cells;
	size_t n_cells;
	uint8_t *bytes, *at;
	int r = save_steps(c, &steps, &h.n_steps);

	if (!r)
		r = fg_cells_save(c->cells, &cells, &n_cells);
	if (r) {
		free(steps);
		return r;
	}
	h.n_cells = n_cells;
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		h.n_watch[kind] = (uint32_t)fg_cells_n(c->cells, (enum fg_cell_kind)kind);
	bytes = malloc(size_of(&h));
	if (!bytes) {
		free(steps);
		free(cells);
		return -ENOMEM;
	}
	at = put(bytes + sizeof(h), c->list, c->n * sizeof(*c->list));
	at = put(at, c->members, c->n_members * sizeof(*c->members));
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		at = put(at, c->watch[kind], h.n_watch[kind] * sizeof(struct fg_watch));
	at = put(at, steps, h.n_steps * sizeof(*steps));
	put(at, cells, n_cells);
	free(steps);
	free(cells);
	h.crc = (uint32_t)crc32_z(0, bytes + sizeof(h), size_of(&h) - sizeof(h));
	memcpy(bytes, &h, sizeof(h));
	*ret_bytes = bytes;
	*ret_n = size_of(&h);
	return 0;
}

static const char *what_is_wrong(const void *bytes, size_t n, struct head *h)
{
	if (n < sizeof(*h))
		return "too short";
	memcpy(h, bytes, sizeof(*h));
	if (h->magic != MAGIC)
		return "these are no baselines";
	if (h->cohort_size != sizeof(struct fg_cohort) ||
	    h->member_size != sizeof(struct fg_member) || h->watch_size != sizeof(struct fg_watch))
		return "another version wrote them";
	if (h->n_cohorts > FG_MAX_COHORTS || h->n_members > FG_MAX_MEMBERS ||
	    h->n_steps > FG_LOCKSTEP_KEPT || h->n_cells > n)
		return "their number is wrong";
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		if (h->n_watch[kind] > FG_CELLS_KEPT + 1)
			return "their number is wrong";
	if (n != size_of(h))
		return "their length is wrong";
	if (h->crc != (uint32_t)crc32_z(0, (const uint8_t *)bytes + sizeof(*h), n - sizeof(*h)))
		return "they are damaged";
	return NULL;
}

static int load_members(struct fg_cohorts *c, const uint8_t *at, uint32_t n)
{
	if (!n)
		return 0;
	c->members = malloc(n * sizeof(*c->members));
	if (!c->members)
		return -ENOMEM;
	memcpy(c->members, at, n * sizeof(*c->members));
	c->n_members = c->cap_members = n;
	return fg_members_reindex(c);
}

/* The cells come back in the order they went, so each recursion lies where its cell does; only their
 * hashes are new. */
static const uint8_t *load_watch(struct fg_cohorts *c, const struct head *h, const uint8_t *at)
{
	for (int kind = 0; kind < _FG_CELL_MAX; kind++) {
		memcpy(c->watch[kind], at, h->n_watch[kind] * sizeof(struct fg_watch));
		at += h->n_watch[kind] * sizeof(struct fg_watch);
		for (uint32_t i = 0; i < h->n_watch[kind]; i++)
			c->watch[kind][i].hash =
				fg_cells_at(c->cells, (enum fg_cell_kind)kind, (uint16_t)i)->hash;
	}
	return at;
}

static int load_steps(struct fg_cohorts *c, const uint8_t *at, uint32_t n)
{
	struct fg_lockstep_kept *aligned;
	int r;

	if (!n)
		return 0;
	aligned = malloc(n * sizeof(*aligned));
	r = aligned ? fg_lockstep_days_new(&c->steps) : -ENOMEM;
	if (!r) {
		memcpy(aligned, at, n * sizeof(*aligned));
		fg_lockstep_days_load(c->steps, aligned, n);
	}
	free(aligned);
	return r;
}

int fg_cohorts_load(struct fg_cohorts *c, const void *bytes, size_t n, char *why, size_t n_why)
{
	const uint8_t *cohorts, *members, *watch;
	struct head h;
	const char *wrong = what_is_wrong(bytes, n, &h);
	int r;

	if (wrong) {
		snprintf(why, n_why, "%s", wrong);
		return -EBADMSG;
	}
	cohorts = (const uint8_t *)bytes + sizeof(h);
	members = cohorts + h.n_cohorts * sizeof(struct fg_cohort);
	watch = members + h.n_members * sizeof(struct fg_member);
	r = fg_cells_load(c->cells, (const uint8_t *)bytes + n - h.n_cells, h.n_cells, why, n_why);
	if (!r)
		r = load_members(c, members, h.n_members);
	if (r)
		return r;
	memcpy(c->list, cohorts, h.n_cohorts * sizeof(*c->list));
	c->n = h.n_cohorts;
	r = load_steps(c, load_watch(c, &h, watch), h.n_steps);
	if (r)
		return r;
	c->next_id = h.next_id;
	c->hour = h.hour;
	c->budget_day = h.budget_day;
	c->day_sources = h.day_sources;
	c->state = h.state;
	return 0;
}
