/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open connections wait in a ring of lists, one for each epoch to come, in which they next have
 * something to tell; those that end in the epoch they begin in never wait.
 */
#include "campaign/epochs.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/turn_shape.h"

#define SECOND_NS 1000000000ULL
#define TICK_NS	  1000000ULL
/* Epochs ahead; who waits longer is looked at in between. */
#define RING 4096
/* At most so many samples an epoch: fg_core keeps as many (FG_MAX_PENDING_SAMPLES), and asks again
 * for the others. */
#define MAX_SAMPLES 1024
/* Passes behind the client's Finished at which its times are told (take.c). */
#define TIMES_PASSES 3

struct open {
	struct open *next;
	uint8_t source[16];
	uint8_t server, ttl;
	uint64_t stem, stack;
	uint32_t actor, tsval, order;
	uint32_t hello_delay_us, turn_us, rtt_us;
	uint16_t hello;
	bool resumed, farm, has_tsval, lost;
	/* told so far */
	uint64_t done_ns; /* everything before */
	uint64_t bytes_in, bytes_out;
	uint32_t exchanges;
	uint32_t turn; /* exchange whose shape is told next */
	struct cg_plan plan; /* cut off behind its turns */
};

struct array {
	void *at;
	size_t n, cap;
};

struct cg_epochs {
	struct cg_epochs_conf conf;
	struct cg_keys *keys;
	uint64_t start_ns, end_ns; /* of the running epoch; 0 before the first */
	uint64_t n_open;
	struct open *ring[RING];
	struct open *spare[CG_EXCHANGES + 2]; /* by number of turns */
	struct fg_totals received;
	struct array sources, clients, prints, flows, progress, samples;
	uint32_t *hellos; /* [hello * 2 + resumed] this epoch */
	uint8_t *asked; /* same index: its name was asked for */
	uint32_t *shown; /* indices with hellos this epoch */
	size_t n_shown;
	bool ended; /* arrays hold the last epoch */
};

int cg_epochs_new(const struct cg_epochs_conf *conf, struct cg_keys *keys, struct cg_epochs **ret)
{
	size_t n = cg_keys_n_hellos(keys) * 2 + 1;
	struct cg_epochs *e;

	if (!conf->epoch_ns || conf->epoch_ns % SECOND_NS)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->conf = *conf;
	e->keys = keys;
	e->hellos = calloc(n, sizeof(*e->hellos));
	e->shown = calloc(n, sizeof(*e->shown));
	e->asked = calloc(n, sizeof(*e->asked));
	if (!e->hellos || !e->shown || !e->asked) {
		cg_epochs_free(&e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

static void free_list(struct open *o)
{
	struct open *next;

	for (; o; o = next) {
		next = o->next;
		free(o);
	}
}

void cg_epochs_free(struct cg_epochs **epochs)
{
	struct cg_epochs *e = *epochs;

	if (!e)
		return;
	for (size_t i = 0; i < RING; i++)
		free_list(e->ring[i]);
	for (size_t i = 0; i < CG_EXCHANGES + 2; i++)
		free_list(e->spare[i]);
	free(e->sources.at);
	free(e->clients.at);
	free(e->prints.at);
	free(e->flows.at);
	free(e->progress.at);
	free(e->samples.at);
	free(e->hellos);
	free(e->shown);
	free(e->asked);
	free(e);
	*epochs = NULL;
}

/* One more element, not cleared; NULL without memory. */
static void *push(struct array *a, size_t size)
{
	void *larger;

	if (a->n == a->cap) {
		larger = reallocarray(a->at, a->cap ? a->cap * 2 : 256, size);
		if (!larger)
			return NULL;
		a->at = larger;
		a->cap = a->cap ? a->cap * 2 : 256;
	}
	return (char *)a->at + size * a->n++;
}

/* --- Time ------------------------------------------------------------------------------------- */

/* The agent's clock: milliseconds, cut off. */
static uint64_t tick_ns(uint64_t ns)
{
	return ns / TICK_NS * TICK_NS;
}

static uint32_t ticks_between(uint64_t from_ns, uint64_t to_ns)
{
	uint64_t from = from_ns / TICK_NS, to = to_ns / TICK_NS;

	return to > from ? (uint32_t)(to - from) : 0;
}

/* The pass that sees what happens at this time. */
static uint64_t pass_behind(uint64_t ns)
{
	return (ns / SECOND_NS + 1) * SECOND_NS;
}

/* The first pass that finds a second of silence behind this time. */
static uint64_t quiet_pass(uint64_t ns)
{
	return (tick_ns(ns) + 2 * SECOND_NS - 1) / SECOND_NS * SECOND_NS;
}

/* --- How far a connection is ------------------------------------------------------------------- */

struct sum {
	uint64_t in, out;
	uint32_t exchanges;
};

/* Bytes of a hello that a pass found unfinished, which the agent counts for the source, and for no
 * client; *ret_pass_ns is that pass. 0 nearly always: a hello takes microseconds. */
static uint32_t early_bytes(const struct cg_plan *p, uint64_t *ret_pass_ns)
{
	*ret_pass_ns = pass_behind(p->hello_ns);
	if (p->quic || *ret_pass_ns > p->hello_end_ns)
		return 0;
	return (uint32_t)((*ret_pass_ns - p->hello_ns - 1) / CG_FRAME_NS + 1) * p->segment;
}

static void add_turn(const struct cg_turn *t, uint64_t ns, struct sum *s)
{
	s->in += t->up_bytes;
	s->out += cg_turn_bytes(t, cg_turn_frames(t, ns));
	s->exchanges++;
}

/* Bulk exchanges: those that are over in one multiplication, the others one by one. */
static void add_bulk(const struct cg_plan *p, uint64_t ns, struct sum *s)
{
	const struct cg_turn *first = &p->turns[p->n];
	uint64_t end = cg_turn_end_ns(first), over = 0;

	if (ns > end)
		over = (ns - end - 1) / p->period_ns + 1;
	if (over > p->bulk)
		over = p->bulk;
	s->in += over * first->up_bytes;
	s->out += over * first->down_bytes;
	s->exchanges += (uint32_t)over;
	for (uint32_t k = p->n + (uint32_t)over; k < cg_plan_exchanges(p); k++) {
		struct cg_turn t = cg_plan_turn(p, k);

		if (t.start_ns >= ns)
			return;
		add_turn(&t, ns, s);
	}
}

/* What only connections of TCP have: of QUIC nothing counts that comes before the proof, which is
 * Finished, and what closes is no larger than an acknowledgement. */
static void add_tcp(const struct cg_plan *p, uint64_t ns, struct sum *s)
{
	uint64_t pass_ns;

	if (p->hello_end_ns < ns)
		s->in += p->hello_bytes;
	else if (p->hello_ns < ns)
		s->in += early_bytes(p, &pass_ns);
	if (p->flight_end_ns < ns)
		s->out += p->flight_bytes;
	if (p->close_ns < ns && p->closer == CG_CLOSE_CLIENT_FIN)
		s->in += CG_NOTIFY_BYTES;
	if (p->close_ns < ns && p->closer == CG_CLOSE_SERVER_FIN)
		s->out += CG_NOTIFY_BYTES;
}

/* Bytes and exchanges of all that was sent before a time. */
static struct sum sum_until(const struct cg_plan *p, uint64_t ns)
{
	struct sum s = { 0 };

	if (!p->quic)
		add_tcp(p, ns, &s);
	if (p->finish_ns < ns)
		s.in += p->finish_bytes;
	if (p->ticket_ns && p->ticket_ns < ns)
		s.out += p->ticket_bytes;
	for (uint32_t k = 0; k < p->n && p->turns[k].start_ns < ns; k++)
		add_turn(&p->turns[k], ns, &s);
	if (p->bulk && p->turns[p->n].start_ns < ns)
		add_bulk(p, ns, &s);
	return s;
}

/* The last activity before the close, as the agent sees it: less than FG_QUIET_BYTES behind a second
 * of silence is none, and Finished is less. */
static uint64_t active_ns(const struct cg_plan *p)
{
	uint32_t n = cg_plan_exchanges(p);
	struct cg_turn t;

	if (n) {
		t = cg_plan_turn(p, n - 1);
		return cg_turn_end_ns(&t);
	}
	if (p->ticket_ns)
		return p->ticket_ns;
	return ticks_between(p->flight_end_ns, p->finish_ns) < 1000 ? p->finish_ns :
								      p->flight_end_ns;
}

/* Does the alert in front of the close count as activity? */
static bool notify_is_active(const struct cg_plan *p)
{
	return p->closer != CG_CLOSE_CLIENT_RST && ticks_between(active_ns(p), p->close_ns) < 1000;
}

/* --- Exchanges with their shapes --------------------------------------------------------------- */

/* What the agent tells of an exchange, and at which pass; frames 0 = never. */
struct told {
	uint64_t pass_ns, end_ns;
	uint32_t up_bytes, down_bytes, frames;
};

/* Frames that came before a pass found silence; all of them where it never did. */
static uint32_t frames_before_silence(const struct cg_turn *t)
{
	if (t->gap_ns < SECOND_NS)
		return t->frames;
	for (uint32_t i = 0; i + 1 < t->frames; i++)
		if (quiet_pass(t->first_ns + i * t->gap_ns) <= t->first_ns + (i + 1) * t->gap_ns)
			return i + 1;
	return t->frames;
}

/* The last exchange is told at the close, the alert in front of it included. */
static void tell_at_close(const struct cg_plan *p, struct told *told)
{
	told->pass_ns = pass_behind(p->close_ns);
	if (p->closer == CG_CLOSE_CLIENT_FIN)
		told->up_bytes += CG_NOTIFY_BYTES;
	if (p->closer == CG_CLOSE_SERVER_FIN) {
		told->down_bytes += CG_NOTIFY_BYTES;
		told->frames++;
	}
	if (notify_is_active(p))
		told->end_ns = p->close_ns;
}

static struct told told_of(const struct cg_plan *p, uint32_t k, const struct cg_turn *t)
{
	uint32_t frames = frames_before_silence(t), n = cg_plan_exchanges(p);
	struct told told = { .up_bytes = t->up_bytes,
			     .down_bytes = cg_turn_bytes(t, frames),
			     .end_ns = t->first_ns + (frames - 1) * t->gap_ns,
			     .frames = frames };
	uint64_t next = cg_plan_start_ns(p, k + 1ULL);

	told.pass_ns = quiet_pass(told.end_ns);
	if (frames < t->frames || told.pass_ns <= next || (p->quic && k + 1 == n))
		return told;
	if (k + 1 == n) {
		tell_at_close(p, &told);
		return told;
	}
	told.pass_ns = pass_behind(next);
	/* three requests since: its place in the row's ring was taken again before the pass */
	if (k + 3ULL < n && cg_plan_start_ns(p, k + 3ULL) < told.pass_ns)
		told.frames = 0;
	return told;
}

static void put_turn(const struct cg_epochs *e, const struct open *o, const struct cg_turn *t,
		     const struct told *told, struct fg_epoch_turn *ret)
{
	/* without the reply direction an answer is known by its acknowledgement */
	uint64_t late = e->conf.ingress_only ? o->plan.rtt_ns : 0;
	uint32_t lasted = ticks_between(t->start_ns, told->end_ns + late);
	uint32_t first = ticks_between(t->start_ns, t->first_ns + late);

	ret->start_ns = tick_ns(t->start_ns);
	ret->lasted_ms = lasted;
	ret->chunks = told->frames < 65535 ? (uint16_t)told->frames : 65535;
	ret->shape = fg_turn_shape(told->up_bytes, told->down_bytes, lasted, first);
}

/* --- Rows ------------------------------------------------------------------------------------- */

static bool within(const struct cg_epochs *e, const struct open *o, uint64_t ns)
{
	return ns >= o->done_ns && ns < e->end_ns;
}

/* When the client is one that counts: with its hello, over QUIC with its proof, which is behind it. */
static uint64_t known_ns(const struct cg_plan *p)
{
	return p->quic ? p->finish_ns : p->hello_end_ns;
}

static int tell_source(struct cg_epochs *e, const struct open *o)
{
	bool began = within(e, o, o->plan.ack_ns), hello = within(e, o, known_ns(&o->plan));
	bool closed = within(e, o, o->plan.close_ns) && !o->plan.quic;
	bool rst = o->plan.closer == CG_CLOSE_CLIENT_RST;
	struct fg_epoch_source *row;

	e->received.events[FG_EVENT_syns] += within(e, o, o->plan.syn_ns) && !o->plan.quic;
	if (!began && !hello && !closed)
		return 0;
	row = push(&e->sources, sizeof(*row));
	if (!row)
		return -ENOMEM;
	*row = (struct fg_epoch_source){ .syns = began && !o->plan.quic,
					 .connections = began,
					 .proven = began,
					 .hellos = hello,
					 .fins = closed && !rst,
					 .rsts = closed && rst };
	memcpy(row->addr, o->source, sizeof(row->addr));
	e->received.events[FG_EVENT_connections] += began;
	e->received.events[FG_EVENT_proven] += began;
	e->received.events[FG_EVENT_hellos] += hello;
	return 0;
}

/* A fingerprint is asked for until its sample is on its way. */
static int tell_print(struct cg_epochs *e, const struct open *o)
{
	size_t at = o->hello * 2u + o->resumed;
	struct fg_sample *sample;

	if (!e->hellos[at]++)
		e->shown[e->n_shown++] = (uint32_t)at;
	if (e->asked[at] || e->samples.n == MAX_SAMPLES)
		return 0;
	sample = push(&e->samples, sizeof(*sample));
	if (!sample)
		return -ENOMEM;
	e->asked[at] = 1;
	if (cg_keys_sample(e->keys, o->hello, o->resumed, sample))
		return -EINVAL;
	sample->time_ns = o->plan.hello_end_ns;
	sample->stack = o->stack;
	memcpy(sample->client, o->source, sizeof(sample->client));
	return 0;
}

static int tell_client(struct cg_epochs *e, const struct open *o)
{
	const struct cg_hello_key *key = cg_keys_hello(e->keys, o->hello, o->resumed);
	struct fg_epoch_client *row;

	if (!within(e, o, known_ns(&o->plan)))
		return 0;
	row = push(&e->clients, sizeof(*row));
	if (!row)
		return -ENOMEM;
	*row = (struct fg_epoch_client){ .stem = o->stem,
					 .stack = o->stack,
					 .print = key->print,
					 .connections = 1,
					 /* without replies only the host's sockets prove anything */
					 .proof_socket = e->conf.ingress_only,
					 .resumed = (key->flags & FG_HELLO_RESUMED) != 0 };
	memcpy(row->addr, o->source, sizeof(row->addr));
	return tell_print(e, o);
}

static void tell_opened(const struct cg_epochs *e, const struct open *o, struct fg_epoch_flow *f)
{
	const struct cg_hello_key *key = cg_keys_hello(e->keys, o->hello, o->resumed);

	f->news |= FG_NEWS_OPENED;
	f->opened_ns = tick_ns(o->plan.ack_ns);
	f->print = key->print;
	f->order = o->order;
	f->hello_flags = key->flags;
	e->conf.server(o->source, o->server, f->server);
	f->ttl = o->plan.quic ? 0 : o->ttl;
	f->has_tsval = o->has_tsval;
	f->tsval = o->tsval;
	f->tsval_ns = o->plan.quic ? 0 : tick_ns(o->plan.syn_ns);
}

static uint64_t times_pass(const struct cg_plan *p)
{
	uint64_t third = pass_behind(p->finish_ns) + (TIMES_PASSES - 1) * SECOND_NS;
	uint64_t close = pass_behind(p->close_ns);

	return third < close ? third : close;
}

static void tell_times(const struct cg_epochs *e, const struct open *o, struct fg_epoch_flow *f)
{
	f->news |= FG_NEWS_TIMES;
	if (e->conf.no_times)
		return;
	f->n_rtts = 1;
	f->rtt_us = o->rtt_us;
	f->rtt_max_us = o->rtt_us;
	f->hello_delay_us = o->hello_delay_us;
	f->turn_us = o->turn_us;
	f->time_flags = FG_TIMES_EGRESS;
	if (!e->conf.ingress_only)
		return;
	f->time_flags = 0;
	f->rtt_us += CG_SYN_ACK_NS / 1000;
	f->rtt_max_us = f->rtt_us;
	f->turn_us += (uint32_t)((o->plan.flight_end_ns - o->plan.hello_end_ns) / 1000);
}

static void tell_closed(const struct cg_epochs *e, const struct open *o, struct fg_epoch_flow *f)
{
	static const uint8_t by[] = { [CG_CLOSE_CLIENT_FIN] = FG_CLOSE_CLIENT_FIN,
				      [CG_CLOSE_CLIENT_RST] = FG_CLOSE_CLIENT_RST,
				      [CG_CLOSE_SERVER_FIN] = FG_CLOSE_SERVER_FIN };
	const struct cg_plan *p = &o->plan;

	f->news |= FG_NEWS_CLOSED;
	f->closed_by = by[p->closer];
	f->idle_ms = notify_is_active(p) ? 0 : ticks_between(active_ns(p), p->close_ns);
	f->lasted_ms = ticks_between(p->ack_ns, p->close_ns);
	/* the client's answer to the server's FIN is what is seen */
	if (e->conf.ingress_only && p->closer == CG_CLOSE_SERVER_FIN)
		f->closed_by = FG_CLOSE_CLIENT_FIN;
}

static bool told_between(const struct cg_epochs *e, const struct open *o, uint64_t pass_ns)
{
	return pass_ns > o->done_ns && pass_ns <= e->end_ns;
}

static int put_flow(struct cg_epochs *e, const struct fg_epoch_flow *f)
{
	struct fg_epoch_flow *row;

	if (!f->news && !f->n_turns && !f->bytes_in && !f->bytes_out && !f->exchanges)
		return 0;
	row = push(&e->flows, sizeof(*row));
	if (!row)
		return -ENOMEM;
	*row = *f;
	return 0;
}

/* Exchanges that a pass of this epoch tells, four a row; *next_ns is the pass of the one after. */
static int tell_turns(struct cg_epochs *e, struct open *o, struct fg_epoch_flow *f,
		      uint64_t *next_ns)
{
	uint32_t n = cg_plan_exchanges(&o->plan);

	for (*next_ns = UINT64_MAX; o->turn < n; o->turn++) {
		struct cg_turn t = cg_plan_turn(&o->plan, o->turn);
		struct told told = told_of(&o->plan, o->turn, &t);

		*next_ns = told.pass_ns;
		if (told.pass_ns > e->end_ns)
			return 0;
		if (!told.frames)
			continue;
		if (f->n_turns == FG_EPOCH_TURNS) {
			if (put_flow(e, f))
				return -ENOMEM;
			f->news = f->n_turns = 0;
			f->bytes_in = f->bytes_out = f->exchanges = 0;
		}
		put_turn(e, o, &t, &told, &f->turns[f->n_turns++]);
	}
	*next_ns = UINT64_MAX;
	return 0;
}

static int tell_progress(struct cg_epochs *e, const struct open *o, uint32_t exchanges)
{
	struct cg_progress *row;

	if (!exchanges)
		return 0;
	row = push(&e->progress, sizeof(*row));
	if (!row)
		return -ENOMEM;
	memcpy(row->source, o->source, sizeof(row->source));
	row->stem = o->stem;
	row->stack = o->stack;
	row->time_ns = cg_plan_start_ns(&o->plan, o->exchanges);
	row->actor = o->actor;
	row->exchanges = exchanges;
	row->farm = o->farm;
	return 0;
}

/* The row of a hello's beginning. *ret_bytes are in it, and in no other. */
static int tell_early(struct cg_epochs *e, const struct open *o, uint32_t *ret_bytes)
{
	struct fg_epoch_flow f;
	uint64_t pass_ns;

	*ret_bytes = early_bytes(&o->plan, &pass_ns);
	if (!*ret_bytes || !told_between(e, o, pass_ns)) {
		*ret_bytes = 0;
		return 0;
	}
	memset(&f, 0, offsetof(struct fg_epoch_flow, turns));
	memcpy(f.addr, o->source, sizeof(f.addr));
	f.stack = o->stack;
	f.bytes_in = *ret_bytes;
	return put_flow(e, &f);
}

static int tell_flow(struct cg_epochs *e, struct open *o, const struct sum *now, uint64_t *turn_ns)
{
	struct fg_epoch_flow f;
	uint32_t early;

	if (tell_early(e, o, &early))
		return -ENOMEM;
	memset(&f, 0, offsetof(struct fg_epoch_flow, turns));
	memcpy(f.addr, o->source, sizeof(f.addr));
	f.stem = known_ns(&o->plan) < e->end_ns ? o->stem : 0;
	f.stack = o->stack;
	f.bytes_in = now->in - o->bytes_in - early;
	f.bytes_out = now->out - o->bytes_out;
	f.exchanges = now->exchanges - o->exchanges;
	if (within(e, o, known_ns(&o->plan)))
		tell_opened(e, o, &f);
	/* of QUIC the agent has no times, and sees no end */
	if (!o->plan.quic && told_between(e, o, times_pass(&o->plan)))
		tell_times(e, o, &f);
	if (!o->plan.quic && within(e, o, o->plan.close_ns))
		tell_closed(e, o, &f);
	if (tell_turns(e, o, &f, turn_ns))
		return -ENOMEM;
	return put_flow(e, &f);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When it next has something to tell; what lies behind the running epoch only. */
static uint64_t next_event(const struct cg_epochs *e, const struct open *o, uint64_t turn_ns)
{
	const struct cg_plan *p = &o->plan;
	const uint64_t events[] = { p->ack_ns,	  p->hello_ns,	p->hello_end_ns,  p->flight_end_ns,
				    p->finish_ns, p->ticket_ns, times_pass(p) - 1 };
	/* passes tell what came before them */
	uint64_t next = sooner(p->close_ns, turn_ns - 1);
	struct cg_turn t;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i] >= e->end_ns)
			next = sooner(next, events[i]);
	next = sooner(next, cg_plan_start_ns(p, o->exchanges));
	if (o->exchanges) {
		t = cg_plan_turn(p, o->exchanges - 1);
		if (cg_turn_end_ns(&t) >= e->end_ns)
			next = sooner(next, t.first_ns > e->end_ns ? t.first_ns : e->end_ns);
	}
	return next;
}

static bool is_over(const struct cg_epochs *e, const struct open *o, uint64_t turn_ns)
{
	return o->plan.close_ns < e->end_ns && times_pass(&o->plan) <= e->end_ns &&
	       turn_ns == UINT64_MAX;
}

/* Everything of the running epoch. *ret_next_ns is when to look again, 0 = it is over. */
static int advance(struct cg_epochs *e, struct open *o, uint64_t *ret_next_ns)
{
	struct sum now = sum_until(&o->plan, e->end_ns);
	uint64_t turn_ns = UINT64_MAX;
	int r = tell_progress(e, o, now.exchanges - o->exchanges);

	if (!r && !o->lost)
		r = tell_source(e, o);
	if (!r && !o->lost)
		r = tell_client(e, o);
	if (!r && !o->lost)
		r = tell_flow(e, o, &now, &turn_ns);
	o->bytes_in = now.in;
	o->bytes_out = now.out;
	o->exchanges = now.exchanges;
	*ret_next_ns = is_over(e, o, turn_ns) ? 0 : next_event(e, o, turn_ns);
	o->done_ns = e->end_ns;
	return r;
}

static unsigned int turns_of(const struct cg_plan *p)
{
	return p->n + (p->bulk != 0);
}

static size_t open_bytes(unsigned int turns)
{
	return offsetof(struct open, plan.turns) + turns * sizeof(struct cg_turn);
}

static void put_back(struct cg_epochs *e, struct open *o)
{
	struct open **spare = &e->spare[turns_of(&o->plan)];

	o->next = *spare;
	*spare = o;
	e->n_open--;
}

static void wait_until(struct cg_epochs *e, struct open *o, uint64_t ns)
{
	uint64_t ahead = ns > e->end_ns ? (ns - e->end_ns) / e->conf.epoch_ns + 1 : 1;
	uint64_t epoch = e->start_ns / e->conf.epoch_ns + (ahead < RING ? ahead : RING - 1);
	struct open **list = &e->ring[epoch % RING];

	o->next = *list;
	*list = o;
}

/* A copy that stays, as large as it needs to be. */
static int keep(struct cg_epochs *e, const struct open *o, uint64_t ns)
{
	unsigned int turns = turns_of(&o->plan);
	struct open *kept = e->spare[turns];

	if (e->n_open >= CG_MAX_OPEN)
		return -ENOSPC;
	if (kept)
		e->spare[turns] = kept->next;
	else
		kept = malloc(open_bytes(turns));
	if (!kept)
		return -ENOMEM;
	memcpy(kept, o, open_bytes(turns));
	e->n_open++;
	wait_until(e, kept, ns);
	return 0;
}

/* --- Interface -------------------------------------------------------------------------------- */

/* Lost or not, by what tells connections apart. */
static bool is_lost(const struct cg_epochs *e, const struct cg_connection *c)
{
	struct fg_prng r = { c->syn_ns ^ (uint64_t)c->port << 32 ^ c->actor };

	return e->conf.loss > 0 && (double)fg_prng_below(&r, 1U << 30) < e->conf.loss * (1U << 30);
}

static void fill(struct cg_epochs *e, const struct cg_connection *c, const struct cg_form *form,
		 struct open *o)
{
	cg_source_of(c->source, o->source);
	o->server = c->server;
	o->ttl = c->ttl;
	o->stem = cg_keys_hello(e->keys, c->hello, c->resumed)->stem;
	o->stack = cg_keys_stack(e->keys, c);
	o->actor = c->actor;
	o->tsval = 0;
	o->has_tsval = cg_keys_tsval(e->keys, c, &o->tsval);
	o->order = form->order;
	o->hello_delay_us = c->hello_delay_us;
	o->turn_us = c->turn_us;
	o->rtt_us = c->rtt_us;
	o->hello = c->hello;
	o->resumed = c->resumed;
	o->farm = c->farm;
	/* QUIC is proven by what the server says, and only then there is a connection */
	o->lost = is_lost(e, c) || (e->conf.ingress_only && o->plan.quic);
	o->done_ns = 0;
	o->bytes_in = o->bytes_out = 0;
	o->exchanges = o->turn = 0;
}

int cg_epochs_add(struct cg_epochs *e, const struct cg_connection *c)
{
	const struct cg_form *form;
	struct open o;
	uint64_t next;
	int r;

	if (c->syn_ns < e->start_ns || c->syn_ns >= e->end_ns || e->ended)
		return -EINVAL;
	form = cg_keys_plan(e->keys, c, false, &o.plan);
	if (!form)
		return -ENOMEM;
	fill(e, c, form, &o);
	r = advance(e, &o, &next);
	return !r && next ? keep(e, &o, next) : r;
}

/* Those that have something to tell in the epoch that begins. */
static int wake(struct cg_epochs *e)
{
	struct open **list = &e->ring[e->start_ns / e->conf.epoch_ns % RING], *o = *list, *later;
	uint64_t next;
	int r;

	*list = NULL;
	for (; o; o = later) {
		later = o->next;
		r = advance(e, o, &next);
		if (next)
			wait_until(e, o, next);
		else
			put_back(e, o);
		if (r) {
			o = later;
			free_list(o);
			return r;
		}
	}
	return 0;
}

static int begin(struct cg_epochs *e, uint64_t start_ns)
{
	e->start_ns = start_ns;
	e->end_ns = start_ns + e->conf.epoch_ns;
	e->sources.n = e->clients.n = e->prints.n = 0;
	e->flows.n = e->progress.n = e->samples.n = 0;
	e->ended = false;
	return wake(e);
}

static int put_prints(struct cg_epochs *e)
{
	for (size_t i = 0; i < e->n_shown; i++) {
		uint32_t at = e->shown[i];
		const struct cg_hello_key *key = cg_keys_hello(e->keys, (uint16_t)(at / 2), at & 1);
		struct fg_epoch_print *row = push(&e->prints, sizeof(*row));

		if (!row)
			return -ENOMEM;
		*row = (struct fg_epoch_print){ key->print, key->stem, e->hellos[at] };
		e->hellos[at] = 0;
	}
	e->n_shown = 0;
	return 0;
}

int cg_epochs_end(struct cg_epochs *e, uint64_t now_ns, struct fg_epoch *ret)
{
	int r = 0;

	if (!e->end_ns)
		return begin(e, now_ns / e->conf.epoch_ns * e->conf.epoch_ns);
	if (e->ended)
		r = begin(e, e->end_ns);
	if (r || e->end_ns > now_ns)
		return r;
	r = put_prints(e);
	if (r)
		return r;
	e->ended = true;
	*ret = (struct fg_epoch){
		.start_ns = e->start_ns,
		.end_ns = e->end_ns,
		.received = e->received,
		.sources = e->sources.at,
		.n_sources = e->sources.n,
		.clients = e->clients.at,
		.n_clients = e->clients.n,
		.prints = e->prints.at,
		.n_prints = e->prints.n,
		.flows = e->flows.at,
		.n_flows = e->flows.n,
		.samples = e->samples.at,
		.n_samples = e->samples.n,
	};
	return 1;
}

const struct cg_progress *cg_epochs_progress(const struct cg_epochs *e, size_t *ret_n)
{
	*ret_n = e->progress.n;
	return e->progress.at;
}

void cg_epochs_restart(struct cg_epochs *e)
{
	memset(e->asked, 0, cg_keys_n_hellos(e->keys) * 2);
}

size_t cg_epochs_open(const struct cg_epochs *e)
{
	return e->n_open;
}
