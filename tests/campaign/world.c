/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clock of the world: a heap of actors by the time of their next connection. Each step takes the
 * first, makes its connection, and puts it back where its life goes on.
 */
#include "campaign/world.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/population.h"

#define SECOND_NS 1000000000ULL
#define HOUR_NS	  (3600 * SECOND_NS)
/* Exchanges a day above which they are told in bulk, a connection of ten minutes at a time. */
#define BULK_A_DAY 1500
#define BULK_NS	   (600 * SECOND_NS)
#define MAX_THINK  (6 * 3600.0)

struct event {
	uint64_t ns;
	uint32_t actor;
};

struct cg_world {
	struct cg_conf conf;
	struct fg_prng rng;
	/* Who speaks QUIC, and when: a stream of its own, so that a world without it is the same with
	 * and without the code for it. */
	struct fg_prng quic_rng;
	struct cg_network networks[CG_NETWORKS];
	uint16_t by_class[_CG_CLASS_MAX][CG_NETWORKS];
	unsigned int n_class[_CG_CLASS_MAX];
	struct cg_hello hellos[CG_PROGRAMS];
	struct cg_stack stacks[CG_SYSTEMS];
	struct cg_actor *actors;
	struct cg_source *sources;
	size_t n_actors, cap_actors, n_sources, cap_sources;
	struct event *heap;
	size_t n_heap, cap_heap;
	struct cg_connection conn;
	/* The scenario comes into the world with the first event from begin_ns on, and does what it does
	 * from start_ns on. */
	uint64_t end_ns, begin_ns, start_ns;
	bool begun;
	uint64_t step_ns, step; /* from step_ns on clocks are ahead by step */
	bool replaces; /* banned ones come back under another address */
	uint64_t reserve; /* of other addresses */
};

/* --- Random numbers --------------------------------------------------------------------------- */

double cg_uniform(struct fg_prng *r)
{
	return (double)(fg_prng_next(r) >> 11) * 0x1p-53;
}

/* Box and Muller 1958. */
double cg_normal(struct fg_prng *r)
{
	return sqrt(-2 * log(cg_uniform(r) + 0x1p-60)) * cos(2 * M_PI * cg_uniform(r));
}

double cg_lognormal(struct fg_prng *r, double median, double sigma)
{
	return median * exp(sigma * cg_normal(r));
}

double cg_exponential(struct fg_prng *r, double mean)
{
	return -mean * log(1 - cg_uniform(r));
}

unsigned int cg_geometric(struct fg_prng *r, double p)
{
	return p >= 1 ? 1 : 1 + (unsigned int)(log(1 - cg_uniform(r)) / log(1 - p));
}

unsigned int cg_pick(struct fg_prng *r, const double *weights, unsigned int n)
{
	double sum = 0, at;
	unsigned int i;

	for (i = 0; i < n; i++)
		sum += weights[i];
	at = cg_uniform(r) * sum;
	for (i = 0; i + 1 < n && at >= weights[i]; i++)
		at -= weights[i];
	return i;
}

double cg_gap(struct fg_prng *r)
{
	return fmax(15, cg_lognormal(r, 120, 0.6));
}

/* --- The heap --------------------------------------------------------------------------------- */

/* Of equal times the smaller actor first, so that the order is the seed's alone. */
static bool is_before(const struct event *a, const struct event *b)
{
	return a->ns != b->ns ? a->ns < b->ns : a->actor < b->actor;
}

static void sink(struct cg_world *w)
{
	struct event moved = w->heap[0];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->n_heap) {
		if (child + 1 < w->n_heap && is_before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!is_before(&w->heap[child], &moved))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = moved;
}

static int push(struct cg_world *w, uint64_t ns, uint32_t actor)
{
	struct event e = { ns, actor };
	size_t i;

	if (w->n_heap == w->cap_heap) {
		size_t cap = w->cap_heap ? w->cap_heap * 2 : 1024;
		struct event *larger = realloc(w->heap, cap * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		w->heap = larger;
		w->cap_heap = cap;
	}
	for (i = w->n_heap++; i > 0 && is_before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
	return 0;
}

/* --- Addresses -------------------------------------------------------------------------------- */

uint16_t cg_network_of(struct cg_world *w, enum cg_class class)
{
	return w->by_class[class][fg_prng_below(&w->rng, w->n_class[class])];
}

static void put32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

static void new_address(struct cg_world *w, const struct cg_network *n, bool v6, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (v6) {
		put32(addr, n->v6);
		put32(addr + 4, (uint32_t)fg_prng_next(&w->rng));
		put32(addr + 8, (uint32_t)fg_prng_next(&w->rng));
		put32(addr + 12, (uint32_t)fg_prng_next(&w->rng) | 1);
		return;
	}
	addr[10] = addr[11] = 0xff;
	put32(addr + 12, n->v4[fg_prng_below(&w->rng, 2)] + 1 + fg_prng_below(&w->rng, 65533));
}

void cg_actor_move(struct cg_world *w, struct cg_actor *a)
{
	const struct cg_network *n = &w->networks[a->network];

	new_address(w, n, a->v6, w->sources[a->source].addr);
	a->rtt_ms = (float)fmax(2, cg_lognormal(&w->rng, n->rtt_ms, 0.35));
	if (a->habit->move_days > 0)
		a->move_ns = 1 + (uint64_t)(cg_exponential(&w->rng, a->habit->move_days) *
					    (double)CG_DAY_NS);
}

/* --- Actors ----------------------------------------------------------------------------------- */

static int new_source(struct cg_world *w)
{
	if (w->n_sources == w->cap_sources) {
		size_t cap = w->cap_sources ? w->cap_sources * 2 : 1024;
		struct cg_source *larger = realloc(w->sources, cap * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		w->sources = larger;
		w->cap_sources = cap;
	}
	w->sources[w->n_sources++] =
		(struct cg_source){ .port = (uint16_t)(1024 + fg_prng_below(&w->rng, 60000)) };
	return 0;
}

/* Share of an actor's connections that are QUIC's. */
static double quic_of(struct cg_world *w, const struct cg_habit *habit, enum cg_program program)
{
	if (!w->conf.quic || program > CG_FIREFOX)
		return 0;
	return cg_uniform(&w->quic_rng) < habit->quic ? habit->quic_often : 0;
}

struct cg_actor *cg_actor_behind(struct cg_world *w, uint32_t source, const struct cg_habit *habit,
				 enum cg_program program, enum cg_system system, double a_day)
{
	struct fg_prng *r = &w->rng;
	struct cg_actor *a;

	if (w->n_actors == w->cap_actors) {
		size_t cap = w->cap_actors ? w->cap_actors * 2 : 1024;

		a = realloc(w->actors, cap * sizeof(*a));
		if (!a)
			return NULL;
		w->actors = a;
		w->cap_actors = cap;
	}
	a = &w->actors[w->n_actors++];
	*a = (struct cg_actor){
		.habit = habit,
		.source = source,
		.hello = (uint16_t)program,
		.stack = (uint8_t)system,
		.a_day = a_day,
		.ttl = (uint8_t)(w->stacks[system].initial_ttl - 5 - fg_prng_below(r, 15)),
		.has_ts = w->stacks[system].ts_off != 0,
		.rtt_ms = 50,
		.crypto_ms = (float)(w->hellos[program].crypto_us / 1e3 * exp(0.3 * cg_normal(r))),
		.in_tokens = (float)cg_lognormal(r, habit->in_tokens, habit->in_sigma * 0.7),
		.out_tokens = (float)cg_lognormal(r, habit->out_tokens, habit->out_sigma * 0.7),
		.think_s = (float)cg_lognormal(r, habit->think_s, 0.4),
		.quic = (float)quic_of(w, habit, program),
		.ts_offset = (uint32_t)fg_prng_next(r),
		.from_ns = CG_START_NS,
		.until_ns = UINT64_MAX,
	};
	return a;
}

struct cg_actor *cg_actor_add(struct cg_world *w, const struct cg_habit *habit, uint16_t network,
			      enum cg_program program, enum cg_system system, double a_day)
{
	struct cg_actor *a;

	if (new_source(w))
		return NULL;
	a = cg_actor_behind(w, (uint32_t)w->n_sources - 1, habit, program, system, a_day);
	if (!a)
		return NULL;
	a->network = network;
	cg_actor_move(w, a);
	if (a->move_ns)
		a->move_ns += CG_START_NS;
	return a;
}

struct fg_prng *cg_random(struct cg_world *w)
{
	return &w->rng;
}

const struct cg_conf *cg_world_conf(const struct cg_world *w)
{
	return &w->conf;
}

size_t cg_world_n(const struct cg_world *w)
{
	return w->n_actors;
}

struct cg_actor *cg_world_at(struct cg_world *w, size_t i)
{
	return &w->actors[i];
}

/* --- When ------------------------------------------------------------------------------------- */

#define BUSIEST 3.0

/* How active at a time, 1 on average over a week or so; never above BUSIEST. */
static double activity(enum cg_clock clock, uint64_t ns, int offset)
{
	uint64_t local = (ns - CG_START_NS + 14 * CG_DAY_NS) / HOUR_NS +
			 (uint64_t)(clock == CG_CENTRAL ? 8 : offset);
	unsigned int hour = local % 24, day = local / 24 % 7;
	static const double people[24] = { 0.5, 0.25, 0.1, 0.05, 0.05, 0.1, 0.3, 0.7,
					   1.0, 1.2,  1.3, 1.3,	 1.2,  1.3, 1.3, 1.3,
					   1.3, 1.3,  1.4, 1.6,	 1.9,  1.9, 1.5, 0.9 };

	switch (clock) {
	case CG_LOCAL:
		return people[hour];
	case CG_OFFICE:
		return day >= 5		       ? 0.25 :
		       hour >= 9 && hour < 19  ? 2.4 :
		       hour >= 19 && hour < 23 ? 0.9 :
						 0.15;
	case CG_HOURLY:
		return day < 5 && hour >= 7 && hour < 21 ? 2.2 : 0.4;
	case CG_CENTRAL:
		return day < 6 && hour >= 9 && hour < 19 ? 2.8 : 0.0;
	default:
		return 1;
	}
}

/* The amount of this day, drawn anew each day. */
static void begin_day(struct cg_world *w, struct cg_actor *a, uint64_t ns)
{
	uint32_t day = (uint32_t)((ns - CG_START_NS) / CG_DAY_NS) + 1;
	double spread = a->habit->spread;

	if (a->day == day)
		return;
	a->day = day;
	a->done_today = 0;
	a->today = a->a_day * exp(spread * cg_normal(&w->rng) - spread * spread / 2);
	if (!a->farm && w->conf.heavy_cap && a->today > w->conf.heavy_cap)
		a->today = w->conf.heavy_cap;
}

static uint64_t seconds(double s)
{
	return (uint64_t)(s * 1e9);
}

/* Start of the next session, an inhomogeneous Poisson process by thinning (Lewis, Shedler 1979). */
static uint64_t next_session(struct cg_world *w, struct cg_actor *a, uint64_t ns)
{
	const struct cg_habit *h = a->habit;
	int offset = w->networks[a->network].offset;

	if (h->period_s > 0)
		return ns + seconds(h->period_s * (1 + 0.01 * cg_normal(&w->rng)));
	for (int i = 0; i < 400; i++) {
		double rate;

		begin_day(w, a, ns);
		rate = fmax(a->today, 0.05) / h->session * BUSIEST; /* a day */
		ns += 1 + seconds(fmin(cg_exponential(&w->rng, 86400 / rate), 5 * 86400.0));
		if (ns >= w->end_ns)
			return ns;
		if (cg_uniform(&w->rng) * BUSIEST < activity(h->clock, ns, offset))
			return h->clock == CG_HOURLY ?
				       ns - ns % HOUR_NS + seconds(cg_exponential(&w->rng, 60)) +
					       HOUR_NS :
				       ns;
	}
	return ns;
}

/* A quota: so many a day, evenly over the hours its clock works. */
static uint64_t next_of_quota(struct cg_world *w, struct cg_actor *a, uint64_t ns)
{
	int offset = w->networks[a->network].offset;

	begin_day(w, a, ns);
	for (int i = 0; i < 2000; i++) {
		double active = activity(a->habit->clock, ns, offset);
		double gap = 86400 / fmax(a->today, 0.1) * (0.6 + 0.8 * cg_uniform(&w->rng));

		if (active > 0)
			return ns + 1 + seconds(gap / active);
		ns += seconds(600 + 600 * cg_uniform(&w->rng));
	}
	return ns;
}

static double think(struct cg_world *w, const struct cg_actor *a)
{
	return fmin(cg_lognormal(&w->rng, a->think_s, a->habit->think_sigma), MAX_THINK);
}

/* --- What ------------------------------------------------------------------------------------- */

/* Bytes from tokens: 4.3 bytes in JSON for one of a request; an answer plain, or as a stream of events
 * with two and a half tokens each. 30-80 tokens a second. */
static void fill_exchange(struct cg_world *w, const struct cg_actor *a, uint64_t ns,
			  struct cg_exchange *e)
{
	struct fg_prng *r = &w->rng;
	const struct cg_habit *h = a->habit;
	double in = cg_lognormal(r, a->in_tokens, h->in_sigma * 0.7);
	double out = fmin(cg_lognormal(r, a->out_tokens, h->out_sigma * 0.7), 16000);
	bool stream = cg_uniform(r) < h->stream;
	double flush = w->conf.flush_tokens ? w->conf.flush_tokens : 2.5;
	double first_s = fmin(cg_lognormal(r, 0.9, 0.6), 20);
	double seconds_of = first_s + out / (30 + 50 * cg_uniform(r));

	*e = (struct cg_exchange){
		.start_ns = ns,
		.up_bytes = (uint32_t)fmin(700 + 4.3 * in, 4e6),
		.down_bytes = (uint32_t)(stream ? 500 + 160 * out / 2.5 : 500 + 4.5 * out),
		.first_ms = (uint32_t)(1000 * (stream ? first_s : seconds_of)),
		.chunks = stream ? (uint16_t)fmin(1 + out / flush, 4000) : 1,
	};
	e->lasted_ms = (uint32_t)(1000 * seconds_of) + (stream ? 0 : 5);
	/* a step is larger than what the agent takes for quiet */
	while (e->chunks > 1 && e->down_bytes / e->chunks < 120)
		e->chunks /= 2;
}

static uint64_t end_of(const struct cg_exchange *e)
{
	return e->start_ns + (uint64_t)e->lasted_ms * 1000000;
}

/* Above the least round trip: median 1.4 ms, 5 % above 6, one in a thousand above 19. */
static double jitter_ms(struct cg_world *w)
{
	double own = w->conf.jitter_us ? cg_uniform(&w->rng) * w->conf.jitter_us / 1e3 : 0;

	return cg_lognormal(&w->rng, 1.4, 0.88) + own;
}

static void fill_times(struct cg_world *w, const struct cg_actor *a, struct cg_connection *c)
{
	struct fg_prng *r = &w->rng;
	bool relayed = a->gap_ms > 0 && c->syn_ns >= a->relay_ns;
	double gap = relayed ? a->gap_ms + jitter_ms(w) : 0;
	double crypto = a->crypto_ms * exp(0.25 * cg_normal(r));

	c->rtt_us = (uint32_t)(1000 * (a->rtt_ms + jitter_ms(w)));
	c->turn_us = (uint32_t)(1000 * (a->rtt_ms + jitter_ms(w) + gap + crypto));
	c->hello_delay_us =
		(uint32_t)(1000 * (relayed ? gap + jitter_ms(w) : 0.3 + cg_exponential(r, 0.7)));
	if (!relayed && a->hello <= CG_FIREFOX && cg_uniform(r) < 0.05)
		c->hello_delay_us = (uint32_t)(1e6 * (1 + cg_exponential(r, 3)));
}

static uint64_t handshake_ns(const struct cg_connection *c)
{
	return ((uint64_t)c->rtt_us + c->hello_delay_us + c->turn_us) * 1000 + 3000000;
}

static void fill_who(struct cg_world *w, struct cg_actor *a, struct cg_connection *c, uint64_t ns)
{
	struct cg_source *s = &w->sources[a->source];

	c->syn_ns = ns;
	c->actor = (uint32_t)(a - w->actors);
	memcpy(c->source, s->addr, 16);
	c->port = s->port;
	s->port = s->port == 65535 ? 1024 : s->port + 1;
	c->server = c->actor & 1;
	c->hello = a->hello_ns && ns >= a->hello_ns ? a->next_hello : a->hello;
	if (w->conf.one_hello)
		c->hello = CG_CHROME;
	if (a->quic > 0 && c->hello <= CG_FIREFOX && cg_uniform(&w->quic_rng) < a->quic)
		c->hello += CG_CHROME_H3 - CG_CHROME;
	c->stack = a->stack;
	c->ttl = a->ttl;
	c->has_tsval = a->has_ts;
	c->tsval = a->ts_offset + (uint32_t)(ns / 1000000);
	c->resumed = cg_uniform(&w->rng) < a->habit->resume;
	c->farm = a->farm;
}

/* Who does thousands a day keeps connections busy. */
static uint64_t fill_bulk(struct cg_world *w, struct cg_actor *a, struct cg_connection *c)
{
	double active = activity(a->habit->clock, c->syn_ns, w->networks[a->network].offset);
	double each = a->today / ((double)CG_DAY_NS / (double)BULK_NS) * active;
	double gamma = cg_exponential(&w->rng, 1) * 0.5 + 0.5;

	fill_exchange(w, a, c->syn_ns + handshake_ns(c), &c->exchanges[0]);
	c->n_exchanges = 1;
	c->bulk = (uint32_t)(each * gamma);
	c->close_ns = c->syn_ns + BULK_NS;
	if (c->close_ns < end_of(&c->exchanges[0]) + SECOND_NS)
		c->close_ns = end_of(&c->exchanges[0]) + SECOND_NS;
	c->closer = CG_CLOSE_CLIENT_FIN;
	return c->close_ns + seconds(1 + 5 * cg_uniform(&w->rng));
}

/* Exchanges of the session as long as the connection is kept; when the next connection comes. */
static uint64_t fill_session(struct cg_world *w, struct cg_actor *a, struct cg_connection *c)
{
	const struct cg_habit *h = a->habit;
	uint64_t at = c->syn_ns + handshake_ns(c), end;
	double pause = 0;

	if (!a->left)
		a->left = h->session > 1 ? cg_geometric(&w->rng, 1 / h->session) : 1;
	for (;;) {
		fill_exchange(w, a, at, &c->exchanges[c->n_exchanges]);
		end = end_of(&c->exchanges[c->n_exchanges++]);
		a->left--;
		a->done_today++;
		if (!a->left)
			break;
		pause = think(w, a);
		if (pause > h->keepalive_s || c->n_exchanges == CG_EXCHANGES)
			break;
		at = end + seconds(pause);
	}
	c->closer = cg_uniform(&w->rng) < 0.08 ? CG_CLOSE_CLIENT_RST : CG_CLOSE_CLIENT_FIN;
	c->close_ns = end + seconds(h->keepalive_s * (1 + 0.002 * cg_uniform(&w->rng)));
	if (h->keepalive_s > 75 && cg_uniform(&w->rng) < 0.5) {
		c->closer = CG_CLOSE_SERVER_FIN;
		c->close_ns = end + 75 * SECOND_NS;
	}
	if (a->left)
		return end + seconds(fmax(pause, 0.05));
	if (h->quota)
		return next_of_quota(w, a, c->syn_ns);
	return next_session(w, a, end);
}

static void fill(struct cg_world *w, struct cg_actor *a, uint64_t ns, struct cg_connection *c)
{
	bool begins = !a->left;

	if ((a->habit->job && begins) || (a->move_ns && ns >= a->move_ns)) {
		cg_actor_move(w, a);
		a->move_ns = a->move_ns ? ns + a->move_ns : 0;
	}
	memset(c, 0, sizeof(*c));
	begin_day(w, a, ns);
	fill_who(w, a, c, ns);
	fill_times(w, a, c);
	a->next_ns = a->today > BULK_A_DAY && a->habit->period_s == 0 ? fill_bulk(w, a, c) :
									fill_session(w, a, c);
}

/* --- The world -------------------------------------------------------------------------------- */

static int start_actors(struct cg_world *w, size_t from)
{
	for (size_t i = from; i < w->n_actors; i++) {
		struct cg_actor *a = &w->actors[i];
		uint64_t ns = a->from_ns + seconds(cg_uniform(&w->rng) * 600);

		ns = a->habit->quota ?
			     next_of_quota(w, a, ns) - seconds(cg_uniform(&w->rng) * 3000) :
			     next_session(w, a, ns);
		if (ns < a->from_ns)
			ns = a->from_ns;
		if (push(w, ns, (uint32_t)i))
			return -ENOMEM;
	}
	return 0;
}

uint64_t cg_begin_ns(const struct cg_conf *conf)
{
	uint64_t day = conf->farm_day;

	/* its first clients come on the fourth day */
	if (!strcmp(conf->scenario, "F7") && day > 4)
		day = 4;
	return CG_START_NS + day * CG_DAY_NS;
}

static bool is_known(const char *scenario)
{
	return !strcmp(scenario, "none") || !strcmp(scenario, "N12") ||
	       cg_surprise_known(scenario) || cg_farm_known(scenario);
}

int cg_world_become(struct cg_world *w, const char *scenario, double farm_scale)
{
	if (w->begun)
		return -EBUSY;
	if (!is_known(scenario)) {
		fprintf(stderr, "campaign: scenario '%s' is none, or is not simulated\n", scenario);
		return -EINVAL;
	}
	w->conf.scenario = scenario;
	w->conf.farm_scale = farm_scale;
	w->begin_ns = cg_begin_ns(&w->conf);
	return 0;
}

static int add_scenario(struct cg_world *w)
{
	const char *s = w->conf.scenario;

	if (!strcmp(s, "none"))
		return 0;
	if (!strcmp(s, "N12")) {
		w->step_ns = w->start_ns;
		w->step = 600 * SECOND_NS;
		return 0;
	}
	if (s[0] == 'N')
		return cg_surprise_add(w, s, w->start_ns);
	w->replaces = !strcmp(s, "F9");
	w->reserve = (uint64_t)(100000 * w->conf.farm_scale);
	return cg_farm_add(w, s, w->start_ns);
}

static int begin(struct cg_world *w)
{
	size_t people = w->n_actors;
	int r = add_scenario(w);

	w->begun = true;
	return r ? r : start_actors(w, people);
}

static int populate(struct cg_world *w)
{
	uint32_t scored = w->conf.days > w->conf.farm_day ? w->conf.days - w->conf.farm_day : 0;
	int r = cg_people_add(w);

	/* at any minute */
	w->start_ns = CG_START_NS + w->conf.farm_day * CG_DAY_NS +
		      seconds(cg_uniform(&w->rng) * 86400 *
			      (scored > 8 ? 4 :
			       scored > 4 ? 1 :
					    0));
	return r ? r : start_actors(w, 0);
}

int cg_world_open(const struct cg_conf *conf, struct cg_world **ret_world)
{
	struct cg_world *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->conf = *conf;
	w->conf.quic |= !strcmp(conf->scenario, "F12");
	w->rng.state = conf->seed * 0x9e3779b97f4a7c15ULL + 1;
	w->quic_rng.state = conf->seed * 0xd1342543de82ef95ULL + 3;
	w->end_ns = CG_START_NS + conf->days * CG_DAY_NS;
	cg_networks_make(w->networks, &w->rng);
	for (uint16_t i = 0; i < CG_NETWORKS; i++) {
		enum cg_class class = w->networks[i].class;

		w->by_class[class][w->n_class[class]++] = i;
	}
	cg_programs_make(w->hellos, &w->rng);
	cg_systems_make(w->stacks);
	r = cg_world_become(w, conf->scenario, conf->farm_scale);
	if (!r)
		r = populate(w);
	if (r)
		cg_world_close(&w);
	else
		*ret_world = w;
	return r;
}

void cg_world_close(struct cg_world **world)
{
	struct cg_world *w = *world;

	if (!w)
		return;
	free(w->actors);
	free(w->sources);
	free(w->heap);
	free(w);
	*world = NULL;
}

static void step_clock(const struct cg_world *w, struct cg_connection *c)
{
	if (!w->step_ns || c->syn_ns < w->step_ns)
		return;
	c->syn_ns += w->step;
	c->close_ns += w->step;
	for (unsigned int i = 0; i < c->n_exchanges; i++)
		c->exchanges[i].start_ns += w->step;
}

uint64_t cg_world_next_ns(const struct cg_world *w)
{
	return w->n_heap ? w->heap[0].ns : w->begun ? UINT64_MAX : w->begin_ns;
}

int cg_world_next(struct cg_world *w, const struct cg_connection **ret)
{
	if (!w->begun && cg_world_next_ns(w) >= w->begin_ns) {
		int r = begin(w);

		if (r)
			return r;
	}
	while (w->n_heap) {
		struct event *first = &w->heap[0];
		struct cg_actor *a = &w->actors[first->actor];
		uint64_t ns = first->ns;

		if (ns >= w->end_ns)
			return 0;
		if (ns >= a->until_ns) {
			*first = w->heap[--w->n_heap];
			if (w->n_heap)
				sink(w);
			continue;
		}
		fill(w, a, ns, &w->conn);
		first->ns = a->next_ns > ns ? a->next_ns : ns + 1;
		sink(w);
		step_clock(w, &w->conn);
		*ret = &w->conn;
		return 1;
	}
	return 0;
}

/* The operator bans 6 % of who is flagged an hour (2 to 10 by the knob); a place is taken within one to
 * fifteen minutes by another exit, as long as the reserve of four a place lasts. */
void cg_world_ban(struct cg_world *w, uint32_t actor, uint64_t now_ns)
{
	double an_hour = 0.06 * (1 + 2 * w->conf.knob);
	struct cg_actor *a, old = w->actors[actor];
	size_t before = w->n_actors;
	uint64_t ban_ns;

	if (!old.farm || old.until_ns != UINT64_MAX)
		return;
	ban_ns = now_ns + seconds(cg_exponential(&w->rng, 3600 / an_hour));
	w->actors[actor].until_ns = ban_ns;
	if (!w->replaces || !w->reserve)
		return;
	w->reserve--;
	a = cg_actor_add(w, old.habit, cg_network_of(w, CG_RES), (enum cg_program)old.hello,
			 (enum cg_system)old.stack, old.a_day);
	if (!a)
		return;
	a->farm = true;
	a->gap_ms = old.gap_ms;
	a->from_ns = ban_ns + seconds(60 + 840 * cg_uniform(&w->rng));
	start_actors(w, before);
}

/* --- What may be asked ------------------------------------------------------------------------ */

const struct cg_hello *cg_hellos(const struct cg_world *w, size_t *ret_n)
{
	*ret_n = CG_PROGRAMS;
	return w->hellos;
}

const struct cg_stack *cg_stacks(const struct cg_world *w, size_t *ret_n)
{
	*ret_n = CG_SYSTEMS;
	return w->stacks;
}

void cg_server_address(const uint8_t source[16], uint8_t server, uint8_t ret_addr[16])
{
	static const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 10 };
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 10 };

	memcpy(ret_addr, source[0] ? v6 : v4, 16);
	ret_addr[15] = (uint8_t)(ret_addr[15] + server);
}

static const char *class_name(enum cg_class class)
{
	static const char *const names[] = { "dc", "res", "mobile", "edu", "corp", "relay" };

	return names[class];
}

int cg_world_write_asn(const struct cg_world *w, FILE *out)
{
	fprintf(out, "#prefix\tasn\tclass\tcountry\n");
	for (size_t i = 0; i < CG_NETWORKS; i++) {
		const struct cg_network *n = &w->networks[i];

		for (int k = 0; k < 2; k++)
			fprintf(out, "%u.%u.0.0/16\t%u\t%s\t%s\n", n->v4[k] >> 24,
				n->v4[k] >> 16 & 255, n->asn, class_name(n->class), n->country);
		fprintf(out, "%x:%x::/32\t%u\t%s\t%s\n", n->v6 >> 16, n->v6 & 0xffff, n->asn,
			class_name(n->class), n->country);
	}
	return ferror(out) ? -EIO : 0;
}

struct cg_actor_info cg_world_actor(const struct cg_world *w, uint32_t actor)
{
	const struct cg_actor *a = &w->actors[actor];
	const struct cg_network *n = &w->networks[a->network];

	return (struct cg_actor_info){ .kind = a->habit->kind,
				       .network = class_name(n->class),
				       .country = n->country,
				       .asn = n->asn,
				       .farm = a->farm };
}
