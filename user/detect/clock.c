/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/clock.h"

#include <math.h>
#include <string.h>

#include "detect/thresholds.h"
#include "lib/betabin.h"
#include "lib/splitmix.h"

/* Clients of hours that a template is smoothed by. */
#define SMOOTH 1.0
/* A client's hours say something from so many quarters on. */
#define MIN_QUARTERS 4

static bool is_relayed(const struct fg_suspect *s)
{
	return s->traits->yes >> FG_SHARE_RELAYED & 1;
}

static unsigned int local_hour(unsigned int hour, int offset_minutes)
{
	return (unsigned int)(hour * 60 + 2880 + (unsigned int)offset_minutes) / 60 % 24;
}

static const uint8_t *hours_of(const struct fg_model *m, const struct fg_suspect *s)
{
	const struct fg_signals *g = &fg_model_client_at(m, s->traits->place)->signals;

	if (s->traits->offset_minutes == FG_OFFSET_UNKNOWN || fg_signals_hours(g) < MIN_QUARTERS)
		return NULL;
	return g->hours;
}

/* Who keeps the templates' clients: straight ones, and relayed ones, of either half. */
enum {
	STRAIGHT,
	RELAYED,
	GROUPS
};

/* Of either half: the day of straight clients, and of relayed ones, by local time, and that of relayed ones
 * by UTC. As logarithms. */
struct templates {
	double local[GROUPS][2][24], utc[2][24];
	bool rests[2]; /* relayed ones, by local time */
};

/* Between 0 and 1, the same each time. */
static double draw_of(const struct fg_model_client *client)
{
	uint64_t h = fg_client_hash(client->addr, client->stem, client->stack);

	return (double)(fg_mix64(h) >> 11) * 0x1p-53;
}

/* Each client counts once, however busy. */
static void add_to(double template[24], const uint8_t hours[24], int offset_minutes)
{
	double sum = 0;

	for (int h = 0; h < 24; h++)
		sum += hours[h];
	for (unsigned int h = 0; h < 24; h++)
		template[local_hour(h, offset_minutes)] += hours[h] / sum;
}

/* Do six hours in a row hold hardly anything? */
static bool rests(const double template[24])
{
	double sum = 0, least = INFINITY;

	for (unsigned int begin = 0; begin < 24; begin++) {
		double six = 0;

		for (unsigned int h = begin; h < begin + 6; h++)
			six += template[h % 24];
		least = fmin(least, six);
		sum += template[begin];
	}
	return least < FG_CLOCK_REST * sum;
}

static void to_logs(double template[24])
{
	double sum = 0;

	for (int h = 0; h < 24; h++)
		sum += template[h] + SMOOTH / 24;
	for (int h = 0; h < 24; h++)
		template[h] = log((template[h] + SMOOTH / 24) / sum);
}

/* How much of each group and half is taken, so that all templates are of about as many clients: what is made
 * of more fits everybody better. */
static void shares_of(const struct fg_model *m, const struct fg_suspect *s, size_t n,
		      double ret[GROUPS][2])
{
	double count[GROUPS][2] = { { 0 } }, least = INFINITY;

	for (size_t i = 0; i < n; i++)
		if (hours_of(m, &s[i]))
			count[is_relayed(&s[i])][s[i].half]++;
	for (int k = 0; k < GROUPS * 2; k++)
		least = fmin(least, count[k / 2][k % 2]);
	for (int k = 0; k < GROUPS * 2; k++)
		ret[k / 2][k % 2] = least / fmax(count[k / 2][k % 2], 1);
}

static void make_templates(const struct fg_model *m, const struct fg_suspect *s, size_t n,
			   struct templates *ret)
{
	double share[GROUPS][2];

	memset(ret, 0, sizeof(*ret));
	shares_of(m, s, n, share);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *hours = hours_of(m, &s[i]);
		bool relayed = is_relayed(&s[i]);
		unsigned int half = s[i].half;

		if (!hours ||
		    draw_of(fg_model_client_at(m, s[i].traits->place)) >= share[relayed][half])
			continue;
		add_to(ret->local[relayed][half], hours, s[i].traits->offset_minutes);
		if (relayed)
			add_to(ret->utc[half], hours, 0);
	}
	for (int half = 0; half < 2; half++) {
		ret->rests[half] = rests(ret->local[RELAYED][half]);
		to_logs(ret->local[STRAIGHT][half]);
		to_logs(ret->local[RELAYED][half]);
		to_logs(ret->utc[half]);
	}
}

static double likelihood(const uint8_t hours[24], const double template[24], int offset_minutes)
{
	double sum = 0;

	for (unsigned int h = 0; h < 24; h++)
		sum += hours[h] * template[local_hour(h, offset_minutes)];
	return sum;
}

static uint8_t vote_of(const struct fg_model *m, const struct fg_suspect *s,
		       const struct templates *t)
{
	const uint8_t *hours = hours_of(m, s);
	unsigned int other = !s->half;
	double local;

	if (!hours)
		return FG_BIN_UNKNOWN;
	local = likelihood(hours, t->local[STRAIGHT][other], s->traits->offset_minutes);
	if (t->rests[other])
		local = fmax(local, likelihood(hours, t->local[RELAYED][other],
					       s->traits->offset_minutes));
	return likelihood(hours, t->utc[other], 0) > local;
}

void fg_clock_vote(const struct fg_model *m, struct fg_suspect *s, size_t n, struct fg_clock *ret)
{
	unsigned int others = 0, other_votes = 0;
	struct templates t;

	*ret = (struct fg_clock){ .usual = 0.5 };
	make_templates(m, s, n, &t);
	for (size_t i = 0; i < n; i++) {
		s[i].clock = vote_of(m, &s[i], &t);
		if (s[i].clock == FG_BIN_UNKNOWN)
			continue;
		if (is_relayed(&s[i])) {
			ret->n++;
			ret->votes += s[i].clock;
		} else {
			others++;
			other_votes += s[i].clock;
		}
	}
	if (others >= FG_CLOCK_VOTERS)
		ret->usual = fmax(0.5, (double)other_votes / others);
	if (ret->n >= FG_CLOCK_VOTERS && others >= FG_CLOCK_VOTERS)
		ret->log_e = fg_betabin_log_e(ret->votes, ret->n, ret->usual, FG_CLOCK_RHO);
	else
		for (size_t i = 0; i < n; i++)
			s[i].clock = FG_BIN_UNKNOWN;
}
