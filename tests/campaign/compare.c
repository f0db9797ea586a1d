/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/compare.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conf.h"
#include "source/engine.h"
#include "source/quic_take.h"
#include "source/take.h"

#define SECOND_NS 1000000000ULL
/* Passes over a silent wire before the rest of the silence is jumped over: by then everything is told
 * (take.c: three passes behind Finished, two behind an answer). */
#define QUIET_PASSES 5
/* Detection note 4.1: times agree within 2 ms, all else within 1 %. The model keeps times in steps of
 * 2 %, and two that are next to each other may fall to either side of a step's end. */
#define TOLERANCE_MS 2.0
#define TIME_STEP    0.021
#define TOLERANCE    0.01

struct cg_side {
	void *engine;
	struct fg_taker *taker;
	struct fg_quic_take *quic;
	struct fg_model *model;
	struct fg_sample *samples;
	size_t n_samples, cap_samples;
	uint64_t end_ns; /* of the running second; 0 before the first frame */
	unsigned int quiet; /* passes since the last frame */
	int error;
	struct fg_totals totals;
};

/* --- Level B: engine, taker, model -------------------------------------------------------------- */

static void keep_sample(void *arg, const struct fg_sample *sample)
{
	struct cg_side *s = arg;
	struct fg_sample *larger;

	if (s->n_samples == s->cap_samples) {
		larger = reallocarray(s->samples, s->cap_samples ? s->cap_samples * 2 : 64,
				      sizeof(*larger));
		if (!larger) {
			s->error = -ENOMEM;
			return;
		}
		s->samples = larger;
		s->cap_samples = s->cap_samples ? s->cap_samples * 2 : 64;
	}
	s->samples[s->n_samples++] = *sample;
}

int cg_model_new(struct fg_model **ret)
{
	struct fg_conf conf;
	int r;

	fg_conf_init(&conf);
	r = fg_model_new(&conf.limits, ret);
	fg_conf_done(&conf);
	return r;
}

/* The engine has its callback before there are tables to make the reader of. */
static void take_datagram(void *arg, const struct fg_datagram *d)
{
	fg_quic_take_datagram(((struct cg_side *)arg)->quic, d);
}

static int open_takers(struct cg_side *s)
{
	const struct fg_quic_take_conf qc = { .config = fg_engine_host.config(s->engine),
					      .tables = fg_engine_host.tables(s->engine),
					      .on_sample = keep_sample,
					      .arg = s };
	int r = fg_taker_new(fg_engine_host.tables(s->engine), &s->taker);

	return r ? r : fg_quic_take_new(&qc, &s->quic);
}

int cg_side_new(const uint64_t seed[4], uint64_t table_bytes, struct cg_side **ret)
{
	struct cg_side *s = calloc(1, sizeof(*s));
	struct fg_engine_conf ec = { .table_bytes = table_bytes,
				     .on_sample = keep_sample,
				     .arg = s,
				     .on_datagram = take_datagram,
				     .datagram_arg = s };
	char why[256] = "no memory";
	int r = s ? cg_model_new(&s->model) : -ENOMEM;

	memcpy(ec.config.seed, seed, sizeof(ec.config.seed));
	ec.config.role = FG_ROLE_MIRROR;
	ec.config.volume = 1;
	ec.config.ports[443 >> 6] = 1ULL << (443 & 63);
	if (!r)
		r = fg_engine_host.open(&ec, &s->engine, why, sizeof(why));
	if (!r)
		r = open_takers(s);
	if (r) {
		fprintf(stderr, "campaign: level B does not start: %s\n", why);
		cg_side_free(&s);
	}
	*ret = s;
	return r;
}

void cg_side_free(struct cg_side **side)
{
	struct cg_side *s = *side;

	if (!s)
		return;
	fg_taker_free(&s->taker);
	fg_quic_take_free(&s->quic);
	if (s->engine)
		fg_engine_host.close(s->engine);
	fg_model_free(&s->model);
	free(s->samples);
	free(s);
	*side = NULL;
}

static int take_pass(struct cg_side *s, uint64_t end_ns, bool all)
{
	struct fg_epoch epoch = { .start_ns = end_ns - SECOND_NS, .end_ns = end_ns };
	int r;

	fg_quic_take_expire(s->quic, end_ns, end_ns / FG_REPLAY_TICK_NS, all);
	r = fg_taker_take(s->taker, end_ns / FG_REPLAY_TICK_NS, FG_REPLAY_TICK_NS, all, &epoch);

	if (!r)
		r = fg_engine_host.totals(s->engine, &s->totals);
	if (r)
		return r;
	fg_quic_take_add(s->quic, &s->totals);
	epoch.received = s->totals;
	epoch.samples = s->samples;
	epoch.n_samples = s->n_samples;
	r = fg_model_apply(s->model, &epoch);
	for (size_t i = 0; !r && i < s->n_samples; i++)
		fg_taker_mark_known(s->taker, s->samples[i].hello.print);
	s->n_samples = 0;
	return r ? r : s->error;
}

/* Passes up to this time. A long silence ends with one more, so that the tables know of an agent. */
static int pass_until(struct cg_side *s, uint64_t ns)
{
	uint64_t second = ns / SECOND_NS * SECOND_NS;
	int r = 0;

	if (!s->end_ns)
		s->end_ns = second;
	for (; !r && s->end_ns <= ns; s->end_ns += SECOND_NS) {
		if (s->quiet++ > QUIET_PASSES)
			s->end_ns = second;
		r = take_pass(s, s->end_ns, false);
	}
	return r;
}

int cg_side_frame(void *side, uint64_t time_ns, const uint8_t *frame, size_t len, size_t wire_len)
{
	struct cg_side *s = side;
	const struct fg_capture_frame f = { .time_ns = time_ns,
					    .data = frame,
					    .len = (uint32_t)len,
					    .frame_len = (uint32_t)wire_len,
					    .wire_len = (uint32_t)wire_len };
	int r = pass_until(s, time_ns);

	s->quiet = 0;
	return r ? r : fg_engine_host.frame(s->engine, &f);
}

int cg_side_finish(struct cg_side *s)
{
	if (!s->end_ns)
		return 0;
	return pass_until(s, s->end_ns + QUIET_PASSES * SECOND_NS);
}

struct fg_model *cg_side_model(struct cg_side *s)
{
	return s->model;
}

uint64_t cg_side_losses(const struct cg_side *s)
{
	static const enum fg_event events[] = {
		FG_EVENT_source_table_full, FG_EVENT_overflow,	   FG_EVENT_spilled,
		FG_EVENT_client_table_full, FG_EVENT_untaken_lost, FG_EVENT_print_table_full,
		FG_EVENT_record_lost,	    FG_EVENT_not_tls,	   FG_EVENT_clock_back,
		FG_EVENT_quic_unreadable,   FG_EVENT_quic_lost,
	};
	uint64_t n = s->totals.frames[FG_FRAME_midstream];

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		n += s->totals.events[events[i]];
	for (int i = _FG_LOSSES_BEGIN + 1; i < _FG_OUTCOME_MAX; i++)
		n += s->totals.frames[i];
	for (int i = 0; i < _FG_INCOMPLETE_MAX; i++)
		n += s->totals.incomplete[i];
	return n;
}

/* --- Comparison --------------------------------------------------------------------------------- */

struct compare {
	struct cg_difference *list;
	size_t n;
};

static struct cg_difference *row_of(struct compare *c, const char *what)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->list[i].what, what))
			return &c->list[i];
	if (c->n == CG_MAX_DIFFERENCES)
		abort();
	c->list[c->n] = (struct cg_difference){ .what = what };
	return &c->list[c->n++];
}

/* Both not a number is the same. */
static void check(struct compare *c, const char *what, double a, double b, double tolerance)
{
	struct cg_difference *d = row_of(c, what);
	double off = isnan(a) && isnan(b) ? 0 : fabs(a - b);

	d->compared++;
	d->differ += isnan(off) || off > tolerance;
	if (off > d->worst || (isnan(off) && !isnan(d->worst))) {
		d->worst = off;
		d->a = a;
		d->b = b;
	}
}

#define EXACT(what, member) check(c, what, (double)a->member, (double)b->member, 0)

static void check_share(struct compare *c, const char *what, double a, double b)
{
	check(c, what, a, b, TOLERANCE * fmax(fabs(a), fabs(b)) + 1e-9);
}

static void check_ms(struct compare *c, const char *what, const struct fg_spread *a,
		     const struct fg_spread *b)
{
	check(c, what, a->median, b->median,
	      fmax(TOLERANCE_MS, TIME_STEP * fmax(a->median, b->median)));
}

static void check_times(struct compare *c, const struct fg_signals *a, const struct fg_signals *b)
{
	const struct fg_times x = fg_signals_times(a, 0), y = fg_signals_times(b, 0);

	EXACT("client measured", measured);
	EXACT("client resent", resent);
	check_ms(c, "client rtt, ms", &x.rtt_ms, &y.rtt_ms);
	check_ms(c, "client turn-around, ms", &x.turn_ms, &y.turn_ms);
	check_ms(c, "client hello delay, ms", &x.delay_ms, &y.delay_ms);
	check(c, "client relayed", x.relayed, y.relayed, 0);
	check(c, "client confirmed", x.confirmed, y.confirmed, 0);
}

/* Epochs tell their flows in no order, and of exchanges side by side the order says which gaps there
 * are: where a client had some, three gaps or one in twenty more or less are no difference. */
static void check_gaps(struct compare *c, const struct fg_signals *a, const struct fg_signals *b)
{
	const struct fg_gaps x = fg_signals_gaps(a), y = fg_signals_gaps(b);

	if (a->parallel > 1) {
		check(c, "client gaps, side by side", x.n, y.n,
		      fmax(3, 5 * TOLERANCE * fmax(x.n, y.n)));
		return;
	}
	check(c, "client gaps", x.n, y.n, 0);
	check_share(c, "client gap mean, ms", x.mean_ms, y.mean_ms);
	check_share(c, "client gap cv", x.cv, y.cv);
}

static double count_of(const struct fg_signals *g, uint16_t shape)
{
	for (int i = 0; i < FG_SHAPES_KEPT; i++)
		if (g->shape_counts[i] && g->shapes[i] == shape)
			return g->shape_counts[i];
	return 0;
}

static void check_shapes(struct compare *c, const struct fg_signals *a, const struct fg_signals *b)
{
	const struct fg_shapes x = fg_signals_shapes(a), y = fg_signals_shapes(b);

	check(c, "client shapes", x.n, y.n, 0);
	check_share(c, "client streamed share", x.streamed_share, y.streamed_share);
	check_share(c, "client chunks", x.chunks_mean, y.chunks_mean);
	/* a full list says which came late, too, and epochs tell their flows in no order */
	if (x.n_top == FG_SHAPES_KEPT || y.n_top == FG_SHAPES_KEPT)
		return;
	for (unsigned int i = 0; i < x.n_top; i++)
		check(c, "client count of a shape", count_of(a, x.top[i].shape),
		      count_of(b, x.top[i].shape), 0);
}

static void check_signals(struct compare *c, const struct fg_signals *a, const struct fg_signals *b)
{
	unsigned int bits = 0;

	check_times(c, a, b);
	check_gaps(c, a, b);
	check_shapes(c, a, b);
	for (int i = 0; i < _FG_CLOSE_MAX - 1; i++)
		EXACT("client closes, by whom", closers[i]);
	for (int i = 0; i < _FG_IDLE_MAX; i++)
		EXACT("client closes, idle mode", closes[i]);
	for (int d = 0; d < 2; d++)
		for (int i = 0; i < FG_DAY_QUARTERS / 32; i++)
			bits += (unsigned int)__builtin_popcount(a->active[d][i] ^ b->active[d][i]);
	check(c, "client active quarters", bits, 0, 0);
	for (int i = 0; i < 24; i++)
		EXACT("client hours", hours[i]);
	EXACT("client parallel", parallel);
	EXACT("client returns", returns);
	EXACT("client orders of extensions", orders);
	EXACT("client hellos", opened);
	EXACT("client judged resumptions", judged);
	EXACT("client orphans", orphans);
}

static void check_client(struct compare *c, const struct fg_model *ma, const struct fg_model *mb,
			 const struct fg_model_client *a, const struct fg_model_client *b)
{
	const struct fg_model_print *x = fg_model_print_of(ma, a), *y = fg_model_print_of(mb, b);

	EXACT("client connections", connections);
	EXACT("client resumed", resumed);
	EXACT("client exchanges", exchanges);
	EXACT("client proven by", by_handshake);
	check(c, "client fingerprint", x ? (double)x->print : 0, y ? (double)y->print : 0, 0);
	check_share(c, "client bytes in", (double)a->bytes_in, (double)b->bytes_in);
	check_share(c, "client bytes out", (double)a->bytes_out, (double)b->bytes_out);
	check_signals(c, &a->signals, &b->signals);
}

static void check_source(struct compare *c, const struct fg_model_source *a,
			 const struct fg_model_source *b)
{
	EXACT("source syns", syns);
	EXACT("source connections", connections);
	EXACT("source proven", proven);
	EXACT("source hellos", hellos);
	EXACT("source fins", fins);
	EXACT("source rsts", rsts);
	EXACT("source exchanges", exchanges);
	EXACT("source fingerprints", fingerprints);
	EXACT("source clients", clients);
	EXACT("source stems", stems);
	EXACT("source stacks", stacks);
	EXACT("source parallel", parallel);
	EXACT("source hops, least", hops_min);
	EXACT("source hops, most", hops_max);
	EXACT("source timestamp", tsval);
	check_share(c, "source bytes in", (double)a->bytes_in, (double)b->bytes_in);
	check_share(c, "source bytes out", (double)a->bytes_out, (double)b->bytes_out);
}

static void check_print(struct compare *c, const struct fg_model_print *a,
			const struct fg_model_print *b)
{
	EXACT("fingerprint hellos", hellos);
	EXACT("fingerprint sources", sources);
	EXACT("fingerprint named", named);
	EXACT("fingerprint flags", flags);
	check(c, "fingerprint JA4", strcmp(a->ja4, b->ja4), 0, 0);
	check(c, "fingerprint SNI", strcmp(a->sni, b->sni), 0, 0);
}

static int by_name(const void *a, const void *b)
{
	const struct fg_model_client *x = *(void *const *)a, *y = *(void *const *)b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

static const struct fg_model_client **sorted(const struct fg_model *m)
{
	size_t n = fg_model_n_clients(m);
	const struct fg_model_client **all = calloc(n + 1, sizeof(*all));

	for (size_t i = 0; all && i < n; i++)
		all[i] = fg_model_client_at(m, i);
	if (all)
		qsort(all, n, sizeof(*all), by_name);
	return all;
}

/* Both lists by name, side by side; who is only in one of them is a difference. */
static void compare_clients(struct compare *c, const struct fg_model *a, const struct fg_model *b)
{
	const struct fg_model_client **x = sorted(a), **y = sorted(b);
	size_t n = fg_model_n_clients(a), m = fg_model_n_clients(b), i = 0, k = 0;
	int order;

	if (!x || !y)
		abort();
	while (i < n || k < m) {
		order = i == n ? 1 : k == m ? -1 : by_name(&x[i], &y[k]);
		check(c, "client known to both", order<0, order> 0, 0);
		if (!order)
			check_client(c, a, b, x[i], y[k]);
		i += order <= 0;
		k += order >= 0;
	}
	free(x);
	free(y);
}

size_t cg_compare(const struct fg_model *a, const struct fg_model *b,
		  struct cg_difference ret[CG_MAX_DIFFERENCES])
{
	struct compare c = { .list = ret };

	compare_clients(&c, a, b);
	check(&c, "sources", (double)fg_model_n_sources(a), (double)fg_model_n_sources(b), 0);
	for (size_t i = 0; i < fg_model_n_sources(a); i++) {
		const struct fg_model_source *x = fg_model_source_at(a, i);
		const struct fg_model_source *y = fg_model_source_find(b, x->addr);

		check(&c, "source known to both", 1, y != NULL, 0);
		if (y)
			check_source(&c, x, y);
	}
	check(&c, "fingerprints", (double)fg_model_n_prints(a), (double)fg_model_n_prints(b), 0);
	for (size_t i = 0; i < fg_model_n_prints(a); i++) {
		const struct fg_model_print *x = fg_model_print_at(a, i);
		const struct fg_model_print *y = fg_model_print_find(b, x->print);

		check(&c, "fingerprint known to both", 1, y != NULL, 0);
		if (y)
			check_print(&c, x, y);
	}
	return c.n;
}
