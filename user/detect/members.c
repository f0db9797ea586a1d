/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/members.h"

#include <math.h>
#include <string.h>

#include "detect/cell_tests.h"
#include "detect/thresholds.h"

/* Attributes, each with its own bins. Relay by stack is one: a relay's stack is the exit's. */
#define RELAY_STATES 3 /* unknown, no, yes */
#define RELAY_BINS   (RELAY_STATES * (FG_STACK_BINS + 1))
#define AGE_BINS     5 /* first day, first week, second, first four, older */
#define ROUNDS	     12
/* Clients that a bin of the farm's histogram is smoothed by, in all. */
#define SMOOTH 4.0
/* The farm's share is kept off the edges: a few are never all, and an alarm is about some. */
#define SHARE_MIN 0.001
#define SHARE_MAX 0.95

enum attribute {
	RELAY,
	TURNS,
	SHAPE,
	AGE,
	CLOCK,
	_ATTRIBUTES
};

static const struct {
	enum fg_family family;
	unsigned int n;
} attributes[_ATTRIBUTES] = {
	[RELAY] = { FG_FAMILY_RELAY, RELAY_BINS },
	[TURNS] = { FG_FAMILY_AUTOMATION, FG_TURN_BINS },
	[SHAPE] = { FG_FAMILY_AUTOMATION, FG_SHAPE_BINS },
	[AGE] = { FG_FAMILY_LIFECYCLE, AGE_BINS },
	[CLOCK] = { FG_FAMILY_CLOCK, 2 },
};

/* Probabilities of bins, by attribute. */
struct histograms {
	double p[_ATTRIBUTES][FG_SHAPE_BINS];
};

static unsigned int relay_state(const struct fg_traits *t)
{
	unsigned int known = t->known >> FG_SHARE_RELAYED & 1;

	return known ? 1 + (t->yes >> FG_SHARE_RELAYED & 1) : 0;
}

static unsigned int age_bin(unsigned int days)
{
	return days < 1 ? 0 : days < 7 ? 1 : days < 14 ? 2 : days < 28 ? 3 : 4;
}

/* The bin of a suspect, FG_BIN_UNKNOWN where it is not known: then the attribute says nothing. */
static unsigned int bin_of(const struct fg_suspect *s, enum attribute a)
{
	const struct fg_traits *t = s->traits;
	unsigned int stack = t->bins[FG_HIST_STACK];

	switch (a) {
	case RELAY:
		if (stack == FG_BIN_UNKNOWN)
			stack = FG_STACK_BINS;
		return relay_state(t) * (FG_STACK_BINS + 1) + stack;
	case TURNS:
		return t->bins[FG_HIST_TURNS];
	case SHAPE:
		return t->bins[FG_HIST_SHAPE];
	case AGE:
		return t->known >> FG_SHARE_BORN & 1 ? age_bin(t->age_days) : FG_BIN_UNKNOWN;
	default:
		return s->clock;
	}
}

/* Whether a relayed client has this stack is not learned apart: usual clients are taken to be relayed
 * as often on each. How many are measured is the same for both parts. */
static void usual_relay(const struct fg_cells *cells, const struct fg_cell *cell,
			const struct fg_suspect *s, size_t n, double *ret_p)
{
	double relayed = fg_cells_usual(cells, cell, FG_SHARE_RELAYED).p;
	double stacks[FG_STACK_BINS], unknown = 0, no_stack = 0;

	fg_cells_usual_bins(cells, cell, FG_HIST_STACK, stacks);
	for (size_t i = 0; i < n; i++) {
		unknown += relay_state(s[i].traits) == 0;
		no_stack += s[i].traits->bins[FG_HIST_STACK] == FG_BIN_UNKNOWN;
	}
	unknown /= (double)n;
	no_stack /= (double)n;
	relayed = fmax(relayed, FG_BASE_RATE_FLOOR);
	for (unsigned int k = 0; k <= FG_STACK_BINS; k++) {
		double stack = k < FG_STACK_BINS ? stacks[k] * (1 - no_stack) : no_stack;

		ret_p[k] = unknown * stack;
		ret_p[FG_STACK_BINS + 1 + k] = (1 - unknown) * (1 - relayed) * stack;
		ret_p[2 * (FG_STACK_BINS + 1) + k] = (1 - unknown) * relayed * stack;
	}
}

/* Ages are not learned but by whether a source is new: the others are spread as seen here among those
 * that are not relayed, which is the best that is there of who is usual. */
static void usual_age(const struct fg_cells *cells, const struct fg_cell *cell,
		      const struct fg_suspect *s, size_t n, double *ret_p)
{
	double born = fg_cells_usual(cells, cell, FG_SHARE_BORN).p, older = 1;
	double count[AGE_BINS] = { 0 };

	for (int i = 1; i < AGE_BINS; i++)
		count[i] = 1;
	older += AGE_BINS - 2;
	for (size_t i = 0; i < n; i++) {
		unsigned int bin = bin_of(&s[i], AGE);

		if (bin == FG_BIN_UNKNOWN || bin == 0 || relay_state(s[i].traits) == 2)
			continue;
		count[bin]++;
		older++;
	}
	ret_p[0] = born;
	for (int i = 1; i < AGE_BINS; i++)
		ret_p[i] = (1 - born) * count[i] / older;
}

static void usual_of(const struct fg_cells *cells, const struct fg_cell *cell,
		     const struct fg_suspect *s, size_t n, double clock, struct histograms *ret)
{
	memset(ret, 0, sizeof(*ret));
	usual_relay(cells, cell, s, n, ret->p[RELAY]);
	fg_cells_usual_bins(cells, cell, FG_HIST_TURNS, ret->p[TURNS]);
	fg_cells_usual_bins(cells, cell, FG_HIST_SHAPE, ret->p[SHAPE]);
	usual_age(cells, cell, s, n, ret->p[AGE]);
	ret->p[CLOCK][0] = 1 - clock;
	ret->p[CLOCK][1] = clock;
	for (int a = 0; a < _ATTRIBUTES; a++)
		for (unsigned int i = 0; i < attributes[a].n; i++)
			ret->p[a][i] = fmax(ret->p[a][i], 1e-5);
}

static double cap(double nats)
{
	return fmin(fmax(nats, FG_FAMILY_FLOOR_NATS), FG_FAMILY_CAP_NATS);
}

static double logit(double p)
{
	return log(p / (1 - p));
}

/* ln(farm / usual), capped by family. */
static void judge(struct fg_suspect *s, const struct histograms *farm,
		  const struct histograms *usual, double share)
{
	double sum = logit(share);

	memset(s->nats, 0, sizeof(s->nats));
	for (int a = 0; a < _ATTRIBUTES; a++) {
		unsigned int bin = bin_of(s, (enum attribute)a);

		if (bin != FG_BIN_UNKNOWN)
			s->nats[attributes[a].family] +=
				(float)log(farm->p[a][bin] / usual->p[a][bin]);
	}
	for (int f = 0; f < _FG_FAMILY_MAX; f++) {
		s->nats[f] = (float)cap(s->nats[f]);
		sum += s->nats[f];
	}
	s->log_odds = (float)sum;
}

static double posterior(const struct fg_suspect *s)
{
	return 1 / (1 + exp(-(double)s->log_odds));
}

/* What the clients of one half that are probably the farm's look like. */
static void refit(const struct fg_suspect *s, size_t n, unsigned int half,
		  const struct histograms *usual, struct histograms *ret)
{
	double sum[_ATTRIBUTES] = { 0 };

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < n; i++) {
		double weight = posterior(&s[i]);

		if (s[i].half != half)
			continue;
		for (int a = 0; a < _ATTRIBUTES; a++) {
			unsigned int bin = bin_of(&s[i], (enum attribute)a);

			if (bin == FG_BIN_UNKNOWN)
				continue;
			ret->p[a][bin] += weight;
			sum[a] += weight;
		}
	}
	for (int a = 0; a < _ATTRIBUTES; a++)
		for (unsigned int i = 0; i < attributes[a].n; i++)
			ret->p[a][i] = (ret->p[a][i] + SMOOTH * usual->p[a][i]) / (sum[a] + SMOOTH);
}

/* To begin with: of each attribute's bins, what is there above the usual. */
static void first_guess(const struct fg_suspect *s, size_t n, const struct histograms *usual,
			double share, struct histograms *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (int a = 0; a < _ATTRIBUTES; a++) {
		double known = 0, sum = 0;

		for (size_t i = 0; i < n; i++) {
			unsigned int bin = bin_of(&s[i], (enum attribute)a);

			if (bin == FG_BIN_UNKNOWN)
				continue;
			ret->p[a][bin]++;
			known++;
		}
		for (unsigned int i = 0; i < attributes[a].n; i++) {
			ret->p[a][i] =
				fmax(0, ret->p[a][i] - (1 - share) * known * usual->p[a][i]) +
				SMOOTH * usual->p[a][i];
			sum += ret->p[a][i];
		}
		for (unsigned int i = 0; i < attributes[a].n; i++)
			ret->p[a][i] /= sum;
	}
}

static bool is_newcomer(const struct fg_suspect *s)
{
	return !s->member && s->traits->measured >= FG_MEMBER_MEASURED;
}

/* Derivative of the log likelihood of a share, with SMOOTH more that are usual for sure. */
static double slope(const struct fg_suspect *s, size_t n, double prior, double share)
{
	double sum = -SMOOTH / (1 - share);

	for (size_t i = 0; i < n; i++) {
		double more = exp((double)s[i].log_odds - prior) - 1;

		if (is_newcomer(&s[i]))
			sum += more / (1 + share * more);
	}
	return sum;
}

/* The upper 95 % bound on the share of a farm behind relays among those that were measured: what is relayed
 * above the usual. Where what is usual fits badly, as of a farm's cell at the hours at which it sleeps,
 * a mixture calls a share of any size the farm's that does not look as usual. */
static double most_relayed(const struct fg_cells *cells, const struct fg_cell *cell,
			   const struct fg_suspect *s, size_t n, bool newcomers)
{
	const struct fg_usual usual = fg_cells_usual(cells, cell, FG_SHARE_RELAYED);
	double known = 0, relayed = 0, excess;

	for (size_t i = 0; i < n; i++) {
		if (relay_state(s[i].traits) == 0 || (newcomers && !is_newcomer(&s[i])))
			continue;
		known++;
		relayed += relay_state(s[i].traits) == 2;
	}
	if (known == 0)
		return SHARE_MAX;
	excess = fmax(relayed - known * usual.p, 0) / (1 - usual.p);
	return fmax(fg_excess_interval(excess, known, known, usual.p, usual.rho).high / known,
		    SHARE_MIN);
}

/* Of a farm without relays: all of it came lately. */
static double most_marked(const struct fg_suspect *s, size_t n, bool newcomers)
{
	double all = 0, marked = 0;

	for (size_t i = 0; i < n; i++) {
		if (newcomers && !is_newcomer(&s[i]))
			continue;
		all++;
		marked += s[i].marked;
	}
	return all > 0 ? fmin(fmax(marked / all, SHARE_MIN), SHARE_MAX) : SHARE_MAX;
}

/* The share of the farm among newcomers, by maximum likelihood: theirs is concave in it. */
static double share_of_newcomers(const struct fg_suspect *s, size_t n, double share, double most)
{
	double lo = SHARE_MIN, hi = fmin(share, most), prior = logit(share);

	for (int round = 0; round < ROUNDS; round++) {
		double mid = (lo + hi) / 2;

		if (slope(s, n, prior, mid) > 0)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Each by the share of the farm among those like it: members, newcomers. */
static void part(const struct fg_cells *cells, const struct fg_cell *cell, struct fg_suspect *s,
		 size_t n, bool relayed, struct fg_mixture *m)
{
	double most = relayed ? most_relayed(cells, cell, s, n, false) : most_marked(s, n, false);
	double most_new = relayed ? most_relayed(cells, cell, s, n, true) : most_marked(s, n, true);

	m->members = fmin(m->share, most);
	m->newcomers = share_of_newcomers(s, n, m->share, fmin(most, most_new));
	for (size_t i = 0; i < n; i++)
		s[i].log_odds +=
			(float)(logit(s[i].member ? m->members : m->newcomers) - logit(m->share));
}

void fg_members_fit(const struct fg_cells *cells, const struct fg_cell *cell, struct fg_suspect *s,
		    size_t n, double excess, bool relayed, double clock_usual,
		    struct fg_mixture *ret)
{
	double share = fmin(fmax(excess / (double)n, SHARE_MIN), SHARE_MAX);
	struct histograms usual, farm[2];

	usual_of(cells, cell, s, n, clock_usual, &usual);
	first_guess(s, n, &usual, share, &farm[0]);
	farm[1] = farm[0];
	for (int round = 0; round < ROUNDS; round++) {
		double sum = 0;

		for (size_t i = 0; i < n; i++) {
			judge(&s[i], &farm[!s[i].half], &usual, share);
			sum += posterior(&s[i]);
		}
		share = fmin(fmax(sum / (double)n, SHARE_MIN), SHARE_MAX);
		refit(s, n, 0, &usual, &farm[0]);
		refit(s, n, 1, &usual, &farm[1]);
	}
	for (size_t i = 0; i < n; i++)
		judge(&s[i], &farm[!s[i].half], &usual, share);
	*ret = (struct fg_mixture){ .share = share, .clock_usual = clock_usual };
	part(cells, cell, s, n, relayed, ret);
}

double fg_member_lfdr(const struct fg_suspect *s)
{
	return 1 / (1 + exp((double)s->log_odds));
}
