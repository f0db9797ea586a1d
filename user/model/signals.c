/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection's times lie in 32 bits: round trip in bits 0-9, turn-around in 10-19, delay of the
 * hello in 20-29, each a fg_time_code(); bit 30 says second hello, bit 31 early data. One that was
 * measured is never 0, so the first 0 ends the list.
 */
#include "model/signals.h"

#include <math.h>
#include <string.h>

#define STEP	     1.02
#define CODE_MAX     1023
#define TIMES_SECOND (1U << 30)
#define TIMES_EARLY  (1U << 31)
#define MIN_MEASURED 3
#define RELAY_GAP_MS 25.0
#define RELAY_MADS   4.0
#define RELAY_OF_RTT 0.25
#define DELAY_OFF_MS 10.0
#define DELAY_OF_GAP 0.3
/* An exchange told after one that began later: no longer than this behind, else a new beginning. */
#define LATE_MS		3600000
#define MINUTE_NS	60000000000ULL
#define QUARTER_NS	(15 * MINUTE_NS)
#define TICKET_MINUTES	(FG_TICKET_NS / MINUTE_NS)
#define YOUNGER_MINUTES 10

/* --- Times ------------------------------------------------------------------------------------ */

uint16_t fg_time_code(uint32_t us)
{
	double steps;

	if (!us)
		return 0;
	steps = 1 + round(log(us) / log(STEP));
	return steps < CODE_MAX ? (uint16_t)steps : CODE_MAX;
}

double fg_time_us(uint16_t code)
{
	return code ? exp((code - 1) * log(STEP)) : 0;
}

static void add_times(struct fg_signals *g, const struct fg_epoch_flow *f)
{
	uint16_t rtt = fg_time_code(f->rtt_us);
	uint32_t all = rtt | (uint32_t)fg_time_code(f->turn_us) << 10 |
		       (uint32_t)fg_time_code(f->hello_delay_us) << 20;

	if (f->time_flags & FG_TIMES_RESENT) {
		g->resent += g->resent < UINT8_MAX;
		return;
	}
	if (!all)
		return;
	if (rtt && (!g->rtt_min || rtt < g->rtt_min))
		g->rtt_min = rtt;
	if (f->time_flags & FG_TIMES_SECOND_HELLO)
		all |= TIMES_SECOND;
	if (f->time_flags & FG_TIMES_EARLY)
		all |= TIMES_EARLY;
	memmove(g->times + 1, g->times, sizeof(g->times) - sizeof(g->times[0]));
	g->times[0] = all;
	g->measured += g->measured < UINT8_MAX;
}

static double median_of(double *v, unsigned int n)
{
	for (unsigned int i = 1; i < n; i++) {
		double moved = v[i];
		unsigned int k = i;

		for (; k > 0 && v[k - 1] > moved; k--)
			v[k] = v[k - 1];
		v[k] = moved;
	}
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Sorts v. */
static struct fg_spread spread_of(double *v, unsigned int n)
{
	struct fg_spread s = { .n = n };

	if (!n)
		return s;
	s.median = median_of(v, n);
	for (unsigned int i = 0; i < n; i++)
		v[i] = fabs(v[i] - s.median);
	s.mad = median_of(v, n);
	return s;
}

static void judge_relay(struct fg_times *t)
{
	double gap = t->gap_ms.median;

	if (t->gap_ms.n < MIN_MEASURED)
		return;
	t->relayed = gap > RELAY_GAP_MS && gap > RELAY_MADS * t->gap_ms.mad &&
				     gap > RELAY_OF_RTT * t->rtt_ms.median ?
			     FG_TRAIT_YES :
			     FG_TRAIT_NO;
	if (t->relayed != FG_TRAIT_YES || t->delay_ms.n < MIN_MEASURED)
		return;
	t->confirmed = fabs(t->delay_ms.median - gap) < fmax(DELAY_OFF_MS, DELAY_OF_GAP * gap) ?
			       FG_TRAIT_YES :
			       FG_TRAIT_NO;
}

struct fg_times fg_signals_times(const struct fg_signals *g, double crypto_us)
{
	double rtt[FG_TIMES_KEPT], turn[FG_TIMES_KEPT], delay[FG_TIMES_KEPT], gap[FG_TIMES_KEPT];
	unsigned int n_rtt = 0, n_turn = 0, n_delay = 0, n_gap = 0;
	struct fg_times t = { .measured = g->measured, .resent = g->resent };

	for (int i = 0; i < FG_TIMES_KEPT && g->times[i]; i++) {
		uint32_t one = g->times[i];
		double s1 = fg_time_us(one & CODE_MAX) / 1e3;
		double s2 = fg_time_us(one >> 10 & CODE_MAX) / 1e3;
		double d = fg_time_us(one >> 20 & CODE_MAX) / 1e3;

		if (s1 > 0)
			rtt[n_rtt++] = s1;
		if (s2 > 0)
			turn[n_turn++] = s2;
		if (d > 0)
			delay[n_delay++] = d;
		if (s1 > 0 && s2 > 0)
			gap[n_gap++] = s2 - s1 - crypto_us / 1e3;
		t.second_hellos += (one & TIMES_SECOND) != 0;
		t.early += (one & TIMES_EARLY) != 0;
	}
	t.rtt_ms = spread_of(rtt, n_rtt);
	t.turn_ms = spread_of(turn, n_turn);
	t.delay_ms = spread_of(delay, n_delay);
	t.gap_ms = spread_of(gap, n_gap);
	t.rtt_min_ms = fg_time_us(g->rtt_min) / 1e3;
	judge_relay(&t);
	return t;
}

/* --- Gaps between exchanges ------------------------------------------------------------------- */

static unsigned int gap_bin(uint32_t ms)
{
	unsigned int bits = ms ? 32 - (unsigned int)__builtin_clz(ms) : 0;

	if (bits <= FG_GAP_LOW_BIT)
		return 0;
	return bits - FG_GAP_LOW_BIT < FG_GAP_BINS ? bits - FG_GAP_LOW_BIT : FG_GAP_BINS - 1;
}

static uint32_t n_gaps(const struct fg_signals *g)
{
	uint32_t n = 0;

	for (int i = 0; i < FG_GAP_BINS; i++)
		n += g->gaps[i];
	return n;
}

/* Welford's recurrence; n is the histogram's sum. When bins are full n stands still, and mean and
 * variance go on as those of the latest n or so. */
static void add_gap(struct fg_signals *g, uint32_t ms)
{
	uint16_t *bin = &g->gaps[gap_bin(ms)];
	double n, off = ms - (double)g->gap_mean_ms, mean;

	*bin += *bin < UINT16_MAX;
	n = n_gaps(g);
	mean = g->gap_mean_ms + off / n;
	g->gap_variance += (float)((off * (ms - mean) - g->gap_variance) / n);
	g->gap_mean_ms = (float)mean;
}

static void add_start(struct fg_signals *g, uint64_t start_ns)
{
	uint32_t ms = (uint32_t)(start_ns / 1000000), before = g->start_ms;
	int32_t gap = (int32_t)(ms - before);

	ms = ms ? ms : 1;
	if (before && gap < 0 && gap > -LATE_MS)
		return;
	/* silence of more than 24 days looks like a step back, and makes no gap */
	if (before && gap >= 0)
		add_gap(g, (uint32_t)gap);
	g->start_ms = ms;
}

struct fg_gaps fg_signals_gaps(const struct fg_signals *g)
{
	struct fg_gaps r = { .n = n_gaps(g), .mean_ms = g->gap_mean_ms, .cv = NAN };

	if (r.n >= 2 && r.mean_ms > 0)
		r.cv = sqrt(fmax(g->gap_variance, 0) * r.n / (r.n - 1.0)) / r.mean_ms;
	return r;
}

/* --- Hours ------------------------------------------------------------------------------------ */

static void halve(uint8_t *counts, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		counts[i] /= 2;
}

static void begin_day(struct fg_signals *g, uint16_t day)
{
	if (g->day) {
		g->returns += g->returns < UINT8_MAX;
		if (day == g->day + 1)
			memcpy(g->active[1], g->active[0], sizeof(g->active[1]));
		else
			memset(g->active[1], 0, sizeof(g->active[1]));
	}
	memset(g->active[0], 0, sizeof(g->active[0]));
	g->day = day;
}

/* What is told of days further back is left out. */
static void add_activity(struct fg_signals *g, uint64_t ns)
{
	uint16_t day = (uint16_t)(ns / FG_DAY_NS);
	unsigned int quarter = (unsigned int)(ns % FG_DAY_NS / QUARTER_NS), ago;
	uint32_t *word, bit = 1U << quarter % 32;

	if (day > g->day)
		begin_day(g, day);
	ago = g->day - day;
	if (ago > 1)
		return;
	word = &g->active[ago][quarter / 32];
	if (*word & bit)
		return;
	*word |= bit;
	if (g->hours[quarter / 4] == UINT8_MAX)
		halve(g->hours, sizeof(g->hours));
	g->hours[quarter / 4]++;
}

bool fg_signals_active(const struct fg_signals *g, unsigned int days_ago, unsigned int quarter)
{
	return days_ago < 2 && quarter < FG_DAY_QUARTERS &&
	       g->active[days_ago][quarter / 32] >> quarter % 32 & 1;
}

unsigned int fg_signals_hours(const struct fg_signals *g)
{
	unsigned int n = 0;

	for (int i = 0; i < 24; i++)
		n += g->hours[i];
	return n;
}

/* --- Shapes ----------------------------------------------------------------------------------- */

static void halve_shapes(struct fg_signals *g)
{
	for (int i = 0; i < FG_SHAPES_KEPT; i++)
		g->shape_counts[i] /= 2;
	g->streams /= 2;
	g->chunks /= 2;
}

/* Space-saving (Metwally et al. 2005): a newcomer takes the place and the count of the rarest. The
 * counts' sum is the number of exchanges, and that bounds streams. */
static void add_shape(struct fg_signals *g, const struct fg_epoch_turn *t)
{
	int at = 0;

	for (int i = 0; i < FG_SHAPES_KEPT; i++) {
		if (g->shape_counts[i] && g->shapes[i] == t->shape) {
			at = i;
			break;
		}
		if (g->shape_counts[i] < g->shape_counts[at])
			at = i;
	}
	if (g->shape_counts[at] == UINT16_MAX || g->streams == UINT16_MAX ||
	    g->chunks > UINT32_MAX - UINT16_MAX)
		halve_shapes(g);
	g->shapes[at] = t->shape;
	g->shape_counts[at]++;
	g->streams += t->chunks >= FG_STREAM_CHUNKS;
	g->chunks += t->chunks;
}

struct fg_shapes fg_signals_shapes(const struct fg_signals *g)
{
	uint16_t counts[FG_SHAPES_KEPT];
	struct fg_shapes s = { 0 };

	for (int i = 0; i < FG_SHAPES_KEPT; i++) {
		unsigned int k = s.n_top;

		if (!g->shape_counts[i])
			continue;
		for (; k > 0 && counts[k - 1] < g->shape_counts[i]; k--) {
			counts[k] = counts[k - 1];
			s.top[k] = s.top[k - 1];
		}
		counts[k] = g->shape_counts[i];
		s.top[k].shape = g->shapes[i];
		s.n_top++;
		s.n += g->shape_counts[i];
	}
	for (unsigned int i = 0; i < s.n_top; i++)
		s.top[i].share = (double)counts[i] / s.n;
	if (s.n) {
		s.streamed_share = fmin((double)g->streams / s.n, 1);
		s.chunks_mean = (double)g->chunks / s.n;
	}
	return s;
}

/* --- Closes ----------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t from_ms, to_ms; /* both included */
} idle_modes[_FG_IDLE_MAX] = {
	[FG_IDLE_BELOW_1] = { "below_1_s", 0, 999 },  [FG_IDLE_4] = { "4_s", 3000, 4499 },
	[FG_IDLE_5] = { "5_s", 4500, 6000 },	      [FG_IDLE_30] = { "30_s", 29000, 31000 },
	[FG_IDLE_45] = { "45_s", 44000, 46000 },      [FG_IDLE_60] = { "60_s", 59000, 61000 },
	[FG_IDLE_90] = { "90_s", 89000, 91000 },      [FG_IDLE_120] = { "120_s", 119000, 121000 },
	[FG_IDLE_180] = { "180_s", 179000, 181000 },  [FG_IDLE_300] = { "300_s", 299000, 301000 },
	[FG_IDLE_OTHER] = { "other", 0, UINT32_MAX },
};

const char *fg_idle_mode_name(enum fg_idle_mode mode)
{
	return (unsigned int)mode < _FG_IDLE_MAX ? idle_modes[mode].name : "?";
}

enum fg_idle_mode fg_idle_mode_of(uint32_t idle_ms)
{
	int i = 0;

	while (idle_ms < idle_modes[i].from_ms || idle_ms > idle_modes[i].to_ms)
		i++;
	return (enum fg_idle_mode)i;
}

static void add_close(struct fg_signals *g, const struct fg_epoch_flow *f)
{
	bool by_client = f->closed_by == FG_CLOSE_CLIENT_FIN || f->closed_by == FG_CLOSE_CLIENT_RST;
	enum fg_idle_mode mode = fg_idle_mode_of(f->idle_ms);

	if (f->closed_by == FG_CLOSE_NOT || f->closed_by >= _FG_CLOSE_MAX)
		return;
	if (g->closers[f->closed_by - 1] == UINT8_MAX ||
	    (by_client && g->closes[mode] == UINT8_MAX)) {
		halve(g->closers, sizeof(g->closers));
		halve(g->closes, sizeof(g->closes));
	}
	g->closers[f->closed_by - 1]++;
	g->closes[mode] += by_client;
}

struct fg_closes fg_signals_closes(const struct fg_signals *g)
{
	struct fg_closes c = { 0 };

	for (int i = 1; i < _FG_CLOSE_MAX; i++)
		c.n += g->closers[i - 1];
	for (int i = 0; i < _FG_IDLE_MAX; i++)
		c.n_idle += g->closes[i];
	for (int i = 1; c.n && i < _FG_CLOSE_MAX; i++)
		c.by_share[i] = (double)g->closers[i - 1] / c.n;
	for (int i = 0; c.n_idle && i < _FG_IDLE_MAX; i++)
		c.idle_share[i] = (double)g->closes[i] / c.n_idle;
	return c;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

bool fg_signals_offers(uint16_t hello_flags)
{
	return hello_flags & (FG_HELLO_RESUMED | FG_HELLO_TICKET);
}

/* The low half of minutes is unambiguous for 45 days; a client silent for just so long would pass
 * for one of yesterday, which errs on its side. */
static uint16_t minute_of(uint64_t ns)
{
	uint16_t minute = (uint16_t)(ns / MINUTE_NS);

	return minute ? minute : 1;
}

void fg_signals_full(struct fg_signals *g, uint64_t opened_ns)
{
	g->full_minute = minute_of(opened_ns);
}

/* A resumption that is no orphan, or cannot be judged, brings a new ticket: it hands the chain on
 * like a full handshake. An orphan's chain stays one, however long. */
static void judge_resumption(struct fg_signals *g, uint64_t opened_ns, uint64_t known_since_ns)
{
	/* a full handshake of the same epoch may be a little younger */
	uint16_t age = (uint16_t)(minute_of(opened_ns) + YOUNGER_MINUTES - g->full_minute);
	bool full_seen = g->full_minute && age <= TICKET_MINUTES + YOUNGER_MINUTES;
	bool judged = opened_ns >= known_since_ns && opened_ns - known_since_ns >= FG_TICKET_NS;

	g->judged += judged;
	if (judged && !full_seen)
		g->orphans++;
	else
		fg_signals_full(g, opened_ns);
}

static void add_opened(struct fg_signals *g, const struct fg_epoch_flow *f, uint64_t known_since_ns)
{
	if (g->opened == UINT8_MAX) {
		g->opened /= 2;
		g->early /= 2;
		g->judged /= 2;
		g->orphans /= 2;
	}
	g->opened++;
	g->early += (f->hello_flags & FG_HELLO_EARLY) != 0;
	/* a hash already, but of no known quality: spread it (Fibonacci hashing) */
	g->orders |= 1ULL << ((f->order * 0x9e3779b97f4a7c15ULL) >> 58);
	if (fg_signals_offers(f->hello_flags))
		judge_resumption(g, f->opened_ns, known_since_ns);
	else
		fg_signals_full(g, f->opened_ns);
	add_activity(g, f->opened_ns);
}

struct fg_lifecycle fg_signals_lifecycle(const struct fg_signals *g)
{
	unsigned int zeros = 64 - (unsigned int)__builtin_popcountll(g->orders);
	struct fg_lifecycle l = { .n = g->opened, .n_judged = g->judged, .orders_full = !zeros };

	l.orders = 64 * log(64.0 / (zeros ? zeros : 1));
	if (l.n)
		l.early_share = (double)g->early / l.n;
	if (l.n_judged)
		l.orphan_share = (double)g->orphans / l.n_judged;
	return l;
}

/* --- One flow of an epoch --------------------------------------------------------------------- */

const char *fg_trait_name(enum fg_trait trait)
{
	static const char *const names[] = { "unknown", "no", "yes" };

	return names[trait];
}

void fg_signals_add(struct fg_signals *g, const struct fg_epoch_flow *f, uint64_t epoch_ns,
		    uint64_t known_since_ns)
{
	if (f->news & FG_NEWS_OPENED)
		add_opened(g, f, known_since_ns);
	if (f->news & FG_NEWS_TIMES)
		add_times(g, f);
	if (f->news & FG_NEWS_CLOSED)
		add_close(g, f);
	for (unsigned int i = 0; i < f->n_turns && i < FG_EPOCH_TURNS; i++) {
		add_start(g, f->turns[i].start_ns);
		add_shape(g, &f->turns[i]);
		add_activity(g, f->turns[i].start_ns);
	}
	if (f->bytes_in || f->bytes_out)
		add_activity(g, epoch_ns);
}
