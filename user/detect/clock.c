/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/clock.h"

#include <math.h>
#include <string.h>

#include "detect/thresholds.h"
#include "lib/betabin.h"

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

/* Each client counts once, however busy. */
static void add_to(double template[24], const uint8_t hours[24], int offset_minutes)
{
	double sum = 0;

	for (int h = 0; h < 24; h++)
		sum += hours[h];
	for (unsigned int h = 0; h < 24; h++)
		template[local_hour(h, offset_minutes)] += hours[h] / sum;
}

static void to_logs(double template[24])
{
	double sum = 0;

	for (int h = 0; h < 24; h++)
		sum += template[h] + SMOOTH / 24;
	for (int h = 0; h < 24; h++)
		template[h] = log((template[h] + SMOOTH / 24) / sum);
}

struct templates {
	double local[24], utc[2][24];
};

static void make_templates(const struct fg_model *m, const struct fg_suspect *s, size_t n,
			   struct templates *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < n; i++) {
		const uint8_t *hours = hours_of(m, &s[i]);

		if (!hours)
			continue;
		if (is_relayed(&s[i]))
			add_to(ret->utc[s[i].half], hours, 0);
		else
			add_to(ret->local, hours, s[i].traits->offset_minutes);
	}
	to_logs(ret->local);
	to_logs(ret->utc[0]);
	to_logs(ret->utc[1]);
}

static uint8_t vote_of(const struct fg_model *m, const struct fg_suspect *s,
		       const struct templates *t)
{
	const uint8_t *hours = hours_of(m, s);
	double sum = 0;

	if (!hours)
		return FG_BIN_UNKNOWN;
	for (unsigned int h = 0; h < 24; h++)
		sum += hours[h] *
		       (t->utc[!s->half][h] - t->local[local_hour(h, s->traits->offset_minutes)]);
	return sum > 0;
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
