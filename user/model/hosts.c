/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A line is its newest point and the frequencies that all its points fit. A SYN joins the line
 * whose clock comes nearest, if that is within TOLERANCE_MS (queues on the way) and the drift of
 * two crystals since the newest point. Arithmetic is modulo 2^32 on both axes, so a TSval may wrap;
 * a line is forgotten after a day, long before milliseconds wrap (49 days).
 */
#include "model/hosts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hash.h"

#define WAYS	     8
#define DAY_NS	     86400000000000ULL
#define DAY_MS	     86400000
#define TOLERANCE_MS 30.0
/* Crystals of PCs and phones are within 50 parts in a million, also against an exact clock. */
#define DRIFT 50e-6
/* The share of a source's SYNs speaks of the latest so many, so that it follows a change. */
#define RECENT 64
#define MIN_N  4
/* Half or more of the SYNs must have come back to a line. With sixteen lines kept of N hosts about
 * 16 in N do: below a half there are more hosts than lines, or there is no line to come back to. */
#define MIN_SHARE 0.5
/* Standard deviations above what chance joins. */
#define CHANCE_Z 4.0

static const uint32_t frequencies[] = { 1000, 250, 100 };
#define N_FREQUENCIES (sizeof(frequencies) / sizeof(frequencies[0]))

struct fg_hosts {
	uint64_t seed[2];
	size_t n;
	struct fg_ts_joins joins;
	struct fg_hosts_refused refused;
	size_t n_sets;
	struct fg_hosts_row row[][WAYS];
};

static size_t sets_of(uint32_t n)
{
	return (n + WAYS - 1) / WAYS;
}

int fg_hosts_new(const uint64_t seed[2], uint32_t n, struct fg_hosts **ret_hosts)
{
	struct fg_hosts *h = calloc(1, fg_hosts_bytes(n));

	if (!h)
		return -ENOMEM;
	memcpy(h->seed, seed, sizeof(h->seed));
	h->n_sets = sets_of(n);
	*ret_hosts = h;
	return 0;
}

void fg_hosts_free(struct fg_hosts **hosts)
{
	free(*hosts);
	*hosts = NULL;
}

static uint64_t hash_of(const struct fg_hosts *h, const uint8_t addr[16])
{
	uint64_t words[2];

	memcpy(words, addr, sizeof(words));
	return fg_mix_end(fg_mix(fg_mix(h->seed[0], words[0], h->seed[1]), words[1], h->seed[1]),
			  h->seed[0]);
}

static size_t set_of(const struct fg_hosts *h, const uint8_t addr[16])
{
	return hash_of(h, addr) % h->n_sets;
}

uint16_t fg_hosts_to(const struct fg_hosts *h, const uint8_t server[16])
{
	return (uint16_t)hash_of(h, server);
}

static const struct fg_hosts_row *find(const struct fg_hosts *h, const uint8_t addr[16])
{
	const struct fg_hosts_row *set = h->row[set_of(h, addr)];

	for (int i = 0; i < WAYS; i++)
		if (set[i].last_ns && !memcmp(set[i].addr, addr, 16))
			return &set[i];
	return NULL;
}

/* A new row, in a free place or that of one idle for a day; NULL where there is none. */
static struct fg_hosts_row *make(struct fg_hosts *h, const uint8_t addr[16], uint64_t now_ns)
{
	struct fg_hosts_row *set = h->row[set_of(h, addr)], *row = NULL;

	for (int i = 0; i < WAYS && !row; i++)
		if (!set[i].last_ns || set[i].last_ns + DAY_NS <= now_ns)
			row = &set[i];
	if (!row) {
		h->refused.no_room++;
		return NULL;
	}
	if (row->last_ns)
		h->refused.expired++;
	else
		h->n++;
	memset(row, 0, sizeof(*row));
	memcpy(row->addr, addr, 16);
	return row;
}

/* --- Lines ------------------------------------------------------------------------------------ */

static uint32_t ms_of(uint64_t ns)
{
	return (uint32_t)(ns / 1000000);
}

/* Milliseconds since the line's newest point; a little negative where epochs come in no order. */
static int32_t age_of(const struct fg_host_line *line, uint32_t ms)
{
	return (int32_t)(ms - line->ms);
}

static double tolerance_of(int32_t age_ms)
{
	return TOLERANCE_MS + fabs((double)age_ms) * DRIFT;
}

/* How far, in milliseconds, a point lies from the line under one frequency. */
static double off_line(const struct fg_host_line *line, uint32_t tsval, int32_t age_ms, uint32_t f)
{
	int64_t ticks = (int64_t)age_ms * f / 1000;
	int32_t off = (int32_t)(tsval - line->tsval - (uint32_t)ticks);

	return fabs((double)off) * 1000 / f;
}

/* The frequencies under which a point fits, and the least distance. */
static uint8_t fits_of(const struct fg_hosts_row *row, int at, uint32_t tsval, int32_t age_ms,
		       double *ret_off)
{
	uint8_t fits = 0;

	*ret_off = INFINITY;
	for (unsigned int i = 0; i < N_FREQUENCIES; i++) {
		double off;

		if (!(row->fits[at] >> i & 1))
			continue;
		off = off_line(&row->lines[at], tsval, age_ms, frequencies[i]);
		if (off > tolerance_of(age_ms))
			continue;
		fits |= (uint8_t)(1U << i);
		*ret_off = fmin(*ret_off, off);
	}
	return fits;
}

/* The share of all timestamps that would join this line. */
static double chance_of(const struct fg_hosts_row *row, int at, int32_t age_ms)
{
	double ticks = 0;

	for (unsigned int i = 0; i < N_FREQUENCIES; i++)
		if (row->fits[at] >> i & 1)
			ticks += 2 * tolerance_of(age_ms) * frequencies[i] / 1000 + 1;
	return ticks / 4294967296.0;
}

static void forget_old(struct fg_hosts_row *row, uint32_t ms)
{
	for (int i = 0; i < FG_HOST_LINES; i++)
		if (row->fits[i] && age_of(&row->lines[i], ms) > DAY_MS)
			row->fits[i] = 0;
}

/* A free line, else the one whose newest point is oldest: hosts that left make room first. */
static int line_for_newcomer(const struct fg_hosts_row *row, uint32_t ms)
{
	int oldest = 0;

	for (int i = 0; i < FG_HOST_LINES; i++) {
		if (!row->fits[i])
			return i;
		if (age_of(&row->lines[i], ms) > age_of(&row->lines[oldest], ms))
			oldest = i;
	}
	return oldest;
}

static void begin_line(struct fg_hosts *h, struct fg_hosts_row *row, const struct fg_ts *ts,
		       uint32_t ms)
{
	int at = line_for_newcomer(row, ms);

	h->refused.lines += row->fits[at] != 0;
	row->lines[at] = (struct fg_host_line){ ts->tsval, ms_of(ts->ns) };
	row->to[at] = ts->to;
	row->fits[at] = (1U << N_FREQUENCIES) - 1;
	row->points[at] = 1;
}

/* True where the point joined a line. */
static bool join(struct fg_hosts_row *row, const struct fg_ts *ts, double *ret_chance)
{
	uint32_t ms = ms_of(ts->ns);
	double best_off = INFINITY, off;
	uint8_t fits, best_fits = 0;
	int best = 0;

	*ret_chance = 0;
	for (int i = 0; i < FG_HOST_LINES; i++) {
		int32_t age = age_of(&row->lines[i], ms);

		if (!row->fits[i] || row->to[i] != ts->to)
			continue;
		*ret_chance += chance_of(row, i, age);
		fits = fits_of(row, i, ts->tsval, age, &off);
		if (fits && off < best_off) {
			best = i;
			best_off = off;
			best_fits = fits;
		}
	}
	if (!best_fits)
		return false;
	row->fits[best] = best_fits;
	row->points[best] += row->points[best] < UINT8_MAX;
	if (age_of(&row->lines[best], ms) > 0)
		row->lines[best] = (struct fg_host_line){ ts->tsval, ms };
	return true;
}

static void count(struct fg_hosts *h, struct fg_hosts_row *row, bool joined, double chance)
{
	if (row->n == RECENT) {
		row->n /= 2;
		row->joined /= 2;
		row->by_chance /= 2;
	}
	row->n++;
	row->joined += joined;
	row->by_chance += (float)chance;
	h->joins.n++;
	h->joins.joined += joined;
	h->joins.by_chance += chance;
}

void fg_hosts_add(struct fg_hosts *h, const uint8_t addr[16], const struct fg_ts *before,
		  const struct fg_ts *ts)
{
	struct fg_hosts_row *row = (struct fg_hosts_row *)find(h, addr);
	uint32_t ms = ms_of(ts->ns);
	double chance;
	bool joined;

	if (!row) {
		row = make(h, addr, ts->ns);
		if (!row)
			return;
		begin_line(h, row, before, ms);
	} else if (row->last_ns + DAY_NS <= ts->ns) {
		memset(row->fits, 0, sizeof(row->fits));
	}
	if (ts->ns > row->last_ns)
		row->last_ns = ts->ns;
	row->unsaved = true;
	forget_old(row, ms);
	joined = join(row, ts, &chance);
	if (!joined)
		begin_line(h, row, ts, ms);
	count(h, row, joined, chance);
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool counts(const struct fg_hosts_row *row, int at, uint32_t ms)
{
	return row->fits[at] && row->points[at] > 1 && age_of(&row->lines[at], ms) <= DAY_MS;
}

/* Of the address of ours that has most. */
static unsigned int count_lines(const struct fg_hosts_row *row, uint32_t ms, bool *ret_full)
{
	unsigned int most = 0;

	*ret_full = true;
	for (int i = 0; i < FG_HOST_LINES; i++) {
		unsigned int n = 0;

		for (int k = 0; k < FG_HOST_LINES; k++)
			n += row->to[k] == row->to[i] && counts(row, k, ms);
		most = n > most ? n : most;
		*ret_full &= counts(row, i, ms);
	}
	return most;
}

/* Poisson: joins of timestamps that mean nothing. */
static bool above_chance(const struct fg_ts_joins *j)
{
	return (double)j->joined > j->by_chance + CHANCE_Z * sqrt(j->by_chance) + 0.5;
}

static void judge(struct fg_hosts_seen *seen)
{
	const struct fg_ts_joins *j = &seen->joins;
	unsigned long long n = j->n, joined = j->joined;

	if (j->n < MIN_N) {
		snprintf(seen->why, sizeof(seen->why),
			 "unknown: too few SYNs with timestamps (%llu, needs %d)", n, MIN_N);
	} else if (!above_chance(j)) {
		snprintf(seen->why, sizeof(seen->why),
			 "unknown: %llu of %llu SYNs come back to a clock, no more than chance",
			 joined, n);
	} else if ((double)j->joined < MIN_SHARE * (double)j->n) {
		snprintf(seen->why, sizeof(seen->why),
			 "unknown: only %llu of %llu SYNs come back to a clock: more hosts than "
			 "clocks kept, or timestamps drawn anew for each connection",
			 joined, n);
	} else {
		seen->known = true;
		seen->hosts = seen->lines ? seen->lines : 1;
		snprintf(seen->why, sizeof(seen->why),
			 "%u%s by their clocks: %llu of %llu SYNs with timestamps come back to one",
			 seen->hosts, seen->full ? " or more" : "", joined, n);
	}
}

struct fg_hosts_seen fg_hosts_read(const struct fg_hosts *h, const uint8_t addr[16],
				   uint64_t now_ns)
{
	const struct fg_hosts_row *row = find(h, addr);
	struct fg_hosts_seen seen = { .lines = 0 };

	if (row && row->last_ns + DAY_NS > now_ns) {
		seen.joins = (struct fg_ts_joins){ row->n, row->joined, row->by_chance };
		seen.lines = count_lines(row, ms_of(now_ns), &seen.full);
	}
	judge(&seen);
	return seen;
}

struct fg_ts_joins fg_hosts_joins(const struct fg_hosts *h)
{
	return h->joins;
}

struct fg_hosts_refused fg_hosts_refused(const struct fg_hosts *h)
{
	return h->refused;
}

size_t fg_hosts_n(const struct fg_hosts *h)
{
	return h->n;
}

size_t fg_hosts_bytes(uint32_t n)
{
	return sizeof(struct fg_hosts) + sets_of(n) * sizeof(((struct fg_hosts *)0)->row[0]);
}

size_t fg_hosts_places(const struct fg_hosts *h)
{
	return h->n_sets * WAYS;
}

struct fg_hosts_row *fg_hosts_at(struct fg_hosts *h, size_t place)
{
	struct fg_hosts_row *row = &h->row[place / WAYS][place % WAYS];

	return row->last_ns ? row : NULL;
}

void fg_hosts_restore(struct fg_hosts *h, const struct fg_hosts_row *row)
{
	struct fg_hosts_row *made = find(h, row->addr) ? NULL : make(h, row->addr, row->last_ns);

	if (made)
		*made = *row;
}

/* --- Shared ----------------------------------------------------------------------------------- */

struct fg_shared fg_hosts_shared(const struct fg_crowd *crowd, uint32_t shared_stems)
{
	const struct {
		uint32_t value, from;
		const char *text;
	} facts[] = {
		{ crowd->stems, FG_SHARED_STEMS, "stems" },
		{ crowd->stacks, FG_SHARED_STACKS, "stacks" },
		{ crowd->lines, FG_SHARED_LINES, "clocks" },
		{ crowd->hops, FG_SHARED_HOPS, "hops apart" },
		{ crowd->clients, FG_SHARED_CLIENTS, "clients at once" },
	};
	struct fg_shared s = { .shared = false };
	size_t at = 0;

	if (crowd->stems >= shared_stems)
		at += (size_t)snprintf(s.why, sizeof(s.why),
				       "%u kinds of clients behind one source", crowd->stems);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		if (facts[i].value < facts[i].from)
			continue;
		s.facts++;
		if (at < sizeof(s.why))
			at += (size_t)snprintf(s.why + at, sizeof(s.why) - at, "%s%u %s",
					       at ? ", " : "", facts[i].value, facts[i].text);
	}
	s.shared = crowd->stems >= shared_stems || s.facts >= FG_SHARED_FACTS;
	return s;
}
