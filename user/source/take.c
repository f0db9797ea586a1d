/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One pass over all rows. The order inside a row matters: tag, counters, tag and generation again;
 * where they differ the row changed hands meanwhile and is left for the next pass, which loses
 * nothing because a row is only replaced when its counts were taken (farmgate/table.h).
 *
 * Tables that an agent before this one left (fg_taker_adopt): what stands there is not taken. Of each
 * row it is the sum of what that agent took and what came since, and only its shadows, which died with
 * it, told them apart. Had they been kept, what came since would still have no time: an hour without
 * an agent would arrive as one second, and be judged as a burst. So nothing counts twice, nothing is
 * told of a time that nobody watched, and the loss has a size: the totals, of which the last ones taken
 * are noted beside the maps, say how much was not taken (fg_sensor_found.untaken).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "farmgate/hash.h"
#include "farmgate/turn_shape.h"
#include "source/take.h"

struct flow_shadow {
	uint32_t generation, exchanges;
	uint64_t bytes_in, bytes_out;
	uint32_t shaped; /* exchanges whose shape was told, or that are lost */
	uint8_t told; /* FG_NEWS_* */
	uint8_t passes; /* since the turn-around is known */
};

/* One pass: the programs' clock now, and what it means. */
struct pass {
	uint32_t epoch;
	uint64_t ticks, tick_ns, now_ns;
	bool all; /* no later pass comes */
};

struct fg_taker {
	struct fg_tables t;
	struct flow_shadow *flows;
	struct fg_source *sources;
	struct fg_client *clients;
	struct fg_print *prints;
	/* results, reused from epoch to epoch */
	struct fg_epoch_source *out_sources;
	struct fg_epoch_client *out_clients;
	struct fg_epoch_print *out_prints;
	struct fg_epoch_flow *out_flows;
	size_t n_sources, cap_sources, n_clients, cap_clients, n_prints, cap_prints, n_flows,
		cap_flows;
	uint64_t incomplete[_FG_INCOMPLETE_MAX];
	struct fg_overflow *overflow_before; /* as adopted; NULL = it began with us */
	/* live rows: of each set as of its last visit, and their sums */
	struct fg_per_set filled;
	struct fg_fill fill;
	fg_given_up_fn given_up;
	void *given_up_arg;
};

int fg_taker_new(const struct fg_tables *tables, struct fg_taker **ret_taker)
{
	struct fg_taker *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->t = *tables;
	k->flows = calloc((size_t)tables->n_flows * FG_WAYS, sizeof(*k->flows));
	k->sources = calloc((size_t)tables->n_sources * FG_WAYS, sizeof(*k->sources));
	k->clients = calloc((size_t)tables->n_clients * FG_WAYS, sizeof(*k->clients));
	k->prints = calloc((size_t)tables->n_prints * FG_WAYS, sizeof(*k->prints));
	if (!k->flows || !k->sources || !k->clients || !k->prints ||
	    fg_per_set_new(&k->t, &k->filled)) {
		fg_taker_free(&k);
		return -ENOMEM;
	}
	*ret_taker = k;
	return 0;
}

void fg_taker_free(struct fg_taker **taker)
{
	struct fg_taker *k = *taker;

	if (!k)
		return;
	free(k->flows);
	free(k->sources);
	free(k->clients);
	free(k->prints);
	free(k->overflow_before);
	fg_per_set_free(&k->filled);
	free(k->out_sources);
	free(k->out_clients);
	free(k->out_prints);
	free(k->out_flows);
	free(k);
	*taker = NULL;
}

const uint64_t *fg_taker_incomplete(const struct fg_taker *k)
{
	return k->incomplete;
}

struct fg_fill fg_taker_fill(const struct fg_taker *k)
{
	return k->fill;
}

void fg_taker_on_given_up(struct fg_taker *k, fg_given_up_fn fn, void *arg)
{
	k->given_up = fn;
	k->given_up_arg = arg;
}

/* One more element at the end of a growing array. Bounded by the rows of the table it is made of. */
static void *push(void **array, size_t *n, size_t *cap, size_t size)
{
	void *larger;

	if (*n == *cap) {
		size_t next = *cap ? *cap * 2 : 256;

		larger = realloc(*array, next * size);
		if (!larger)
			return NULL;
		*array = larger;
		*cap = next;
	}
	return memset((char *)*array + size * (*n)++, 0, size);
}
#define PUSH(k, what) \
	push((void **)&(k)->out_##what, &(k)->n_##what, &(k)->cap_##what, sizeof(*(k)->out_##what))

/* Was the row touched since the pass before last? Older ones hold nothing new. */
static bool is_recent(uint32_t touched, uint32_t epoch)
{
	return epoch - touched <= 4;
}

static bool is_live(uint64_t tag)
{
	return tag != FG_TAG_FREE && tag != FG_TAG_BUSY;
}

/* A copy of a row that had one owner all the time; false where it changed hands. The tag says so
 * before anything else in the row changes, the generation even if the same key came back. */
#define SNAPSHOT(copy, row, tag)                                                              \
	({                                                                                    \
		uint64_t _tag = __atomic_load_n(tag, __ATOMIC_ACQUIRE);                       \
		uint32_t _generation = __atomic_load_n(&(row)->generation, __ATOMIC_ACQUIRE); \
                                                                                              \
		(copy) = *(row);                                                              \
		__atomic_thread_fence(__ATOMIC_ACQUIRE);                                      \
		is_live(_tag) && _tag == __atomic_load_n(tag, __ATOMIC_RELAXED) &&            \
			_generation == __atomic_load_n(&(row)->generation, __ATOMIC_RELAXED); \
	})

static void source_of(const uint8_t client[16], uint8_t ret_addr[16])
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(ret_addr, client, 16);
	if (memcmp(client, v4, sizeof(v4)))
		memset(ret_addr + 8, 0, 8);
}

/* Unix time of a tick's low half; of one that is yet to come, now. */
static uint64_t time_of(const struct pass *p, uint32_t tick)
{
	int32_t ago = (int32_t)((uint32_t)p->ticks - tick);
	uint64_t ns = ago > 0 ? (uint64_t)ago * p->tick_ns : 0;

	return p->now_ns > ns ? p->now_ns - ns : 0;
}

/* The times of the flow in *row, copied while they were that connection's; false where it has none
 * yet. */
static bool snapshot_timing(struct fg_timing *copy, const struct fg_timing *row,
			    const struct fg_flow *flow)
{
	uint32_t generation = __atomic_load_n(&row->generation, __ATOMIC_ACQUIRE);

	*copy = *row;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return generation == flow->generation &&
	       generation == __atomic_load_n(&row->generation, __ATOMIC_RELAXED);
}

static void tell_opened(const struct pass *p, const struct fg_flow *f, const struct fg_timing *t,
			struct fg_epoch_flow *out)
{
	memcpy(out->server, f->server, sizeof(out->server));
	out->opened_ns = time_of(p, t->opened);
	out->print = t->print;
	out->order = t->order;
	out->hello_flags = t->hello_flags;
	/* behind a balancer these are the balancer's */
	if (f->flags & FG_FLOW_PROXIED)
		return;
	out->ttl = t->ttl;
	out->has_tsval = t->flags & FG_TIMING_TSVAL;
	out->tsval = t->tsval;
	out->tsval_ns = time_of(p, t->syn);
}

static void tell_times(const struct fg_timing *t, struct fg_epoch_flow *out)
{
	out->time_flags = (t->flags & FG_TIMING_EGRESS ? FG_TIMES_EGRESS : 0) |
			  (t->flags & FG_TIMING_SECOND_HELLO ? FG_TIMES_SECOND_HELLO : 0) |
			  (t->flags & FG_TIMING_RESENT ? FG_TIMES_RESENT : 0) |
			  (t->hello_flags & FG_HELLO_EARLY ? FG_TIMES_EARLY : 0);
	out->n_rtts = t->n_rtts;
	out->rtt_us = t->rtt_us;
	out->rtt_max_us = t->rtt_max_us;
	out->hello_delay_us = t->hello_delay_us;
	out->turn_us = t->turn_us;
}

/* What is told once: who it is, when its hello is complete; its times, when no sample can be added or
 * it has been quiet; its end. */
static uint8_t news_of(const struct pass *p, const struct fg_flow *f, const struct fg_timing *t,
		       struct flow_shadow *shadow)
{
	uint8_t news = shadow->told;

	if (f->stem)
		news |= FG_NEWS_OPENED;
	if (t->turn_us && shadow->passes < 3)
		shadow->passes++;
	if (f->stem && !(f->flags & FG_FLOW_PROXIED) &&
	    (t->closed_by || t->n_rtts >= 8 || shadow->passes == 3 || p->all))
		news |= FG_NEWS_TIMES;
	if (f->stem && t->closed_by)
		news |= FG_NEWS_CLOSED;
	news &= ~shadow->told;
	shadow->told |= news;
	return news;
}

static void put_turn(const struct pass *p, const struct fg_turn *t, struct fg_epoch_flow *out)
{
	out->turns[out->n_turns++] = (struct fg_epoch_turn){ .start_ns = time_of(p, t->start),
							     .shape = t->shape,
							     .chunks = t->chunks,
							     .lasted_ms = t->lasted_ms };
}

/*
 * Exchanges that ended: those that a later one ended lie in the row's ring, and more than fit there
 * in one epoch have no shape. The last one ends with the connection, or with a second of silence
 * behind its answer.
 */
static void take_turns(const struct pass *p, const struct fg_flow *f, const struct fg_timing *t,
		       struct flow_shadow *shadow, struct fg_epoch_flow *out)
{
	uint32_t ended = f->exchanges ? f->exchanges - 1 : 0;
	int32_t quiet = (int32_t)((uint32_t)p->ticks - f->ticks);
	struct fg_turn last;

	if (ended > FG_TIMING_TURNS && shadow->shaped < ended - FG_TIMING_TURNS)
		shadow->shaped = ended - FG_TIMING_TURNS;
	for (; shadow->shaped < ended; shadow->shaped++)
		put_turn(p, &t->turns[shadow->shaped % FG_TIMING_TURNS], out);
	if (shadow->shaped >= f->exchanges || !f->chunks)
		return;
	if (!t->closed_by && !p->all && quiet * (int64_t)p->tick_ns < 1000000000)
		return;
	fg_turn_sum_up(t, (uint32_t)f->bytes_in, (uint32_t)f->bytes_out, f->chunks, f->ticks,
		       (uint32_t)p->tick_ns, &last);
	put_turn(p, &last, out);
	shadow->shaped = f->exchanges;
}

static bool flow_moved(const struct fg_flow *now, const struct flow_shadow *shadow)
{
	return now->bytes_in != shadow->bytes_in || now->bytes_out != shadow->bytes_out ||
	       now->exchanges != shadow->exchanges;
}

static int take_flow(struct fg_taker *k, const struct fg_flow *row, const uint64_t *tag,
		     const struct fg_timing *timing, struct flow_shadow *shadow,
		     const struct pass *p)
{
	struct fg_epoch_flow told = { 0 }, *out;
	struct fg_timing times;
	struct fg_flow now;

	if (!is_recent(row->touched, p->epoch) || !SNAPSHOT(now, row, tag))
		return 0;
	if (now.proof == FG_PROOF_NONE || now.flags & FG_FLOW_PROXY_AWAITED)
		return 0;
	/* its client may have been written while it was copied; by now it is there */
	if (now.flags & FG_FLOW_PROXIED && !SNAPSHOT(now, row, tag))
		return 0;
	if (shadow->generation != now.generation)
		*shadow = (struct flow_shadow){ .generation = now.generation };
	if (snapshot_timing(&times, timing, &now)) {
		told.news = news_of(p, &now, &times, shadow);
		take_turns(p, &now, &times, shadow, &told);
	}
	if (!told.news && !told.n_turns && !flow_moved(&now, shadow))
		return 0;
	if (told.news & FG_NEWS_OPENED)
		tell_opened(p, &now, &times, &told);
	if (told.news & FG_NEWS_TIMES)
		tell_times(&times, &told);
	if (told.news & FG_NEWS_CLOSED) {
		told.closed_by = times.closed_by;
		told.idle_ms = fg_ticks_ms(0, times.idle, (uint32_t)p->tick_ns);
		told.lasted_ms = fg_ticks_ms(times.opened, times.closed, (uint32_t)p->tick_ns);
	}
	out = PUSH(k, flows);
	if (!out)
		return -ENOMEM;
	*out = told;
	source_of(now.client, out->addr);
	out->stem = now.stem;
	out->stack = now.stack;
	out->bytes_in = now.bytes_in - shadow->bytes_in;
	out->bytes_out = now.bytes_out - shadow->bytes_out;
	out->exchanges = now.exchanges - shadow->exchanges;
	shadow->bytes_in = now.bytes_in;
	shadow->bytes_out = now.bytes_out;
	shadow->exchanges = now.exchanges;
	return 0;
}

static int take_source(struct fg_taker *k, const struct fg_source *row, const uint64_t *tag,
		       struct fg_source *shadow, uint32_t epoch)
{
	struct fg_epoch_source *out;
	struct fg_source now;

	if (!is_recent(row->touched, epoch) || !SNAPSHOT(now, row, tag))
		return 0;
	if (shadow->generation != now.generation)
		*shadow = (struct fg_source){ .generation = now.generation };
	if (!memcmp(&shadow->syns, &now.syns,
		    sizeof(now) - __builtin_offsetof(struct fg_source, syns)))
		return 0;
	out = PUSH(k, sources);
	if (!out)
		return -ENOMEM;
	memcpy(out->addr, now.addr, 16);
	out->syns = now.syns - shadow->syns;
	out->connections = now.connections - shadow->connections;
	out->proven = now.proven - shadow->proven;
	out->hellos = now.hellos - shadow->hellos;
	out->incomplete = now.incomplete - shadow->incomplete;
	out->fins = now.fins - shadow->fins;
	out->rsts = now.rsts - shadow->rsts;
	*shadow = now;
	return 0;
}

static int take_client(struct fg_taker *k, const struct fg_client *row, const uint64_t *tag,
		       struct fg_client *shadow, uint32_t epoch)
{
	struct fg_epoch_client *out;
	struct fg_client now;

	if (!is_recent(row->touched, epoch) || !SNAPSHOT(now, row, tag))
		return 0;
	if (shadow->generation != now.generation)
		*shadow = (struct fg_client){ .generation = now.generation };
	if (shadow->connections == now.connections)
		return 0;
	out = PUSH(k, clients);
	if (!out)
		return -ENOMEM;
	memcpy(out->addr, now.addr, 16);
	out->stem = now.stem;
	out->stack = now.stack;
	out->print = now.print;
	out->connections = now.connections - shadow->connections;
	out->proof_socket = now.proof_socket - shadow->proof_socket;
	out->resumed = now.resumed - shadow->resumed;
	*shadow = now;
	return 0;
}

static int take_print(struct fg_taker *k, const struct fg_print *row, const uint64_t *tag,
		      struct fg_print *shadow, uint32_t epoch)
{
	struct fg_epoch_print *out;
	struct fg_print now;

	if (!is_recent(row->touched, epoch) || !SNAPSHOT(now, row, tag))
		return 0;
	if (shadow->generation != now.generation)
		*shadow = (struct fg_print){ .generation = now.generation };
	if (shadow->hellos == now.hellos)
		return 0;
	out = PUSH(k, prints);
	if (!out)
		return -ENOMEM;
	out->print = now.print;
	out->stem = now.stem;
	out->hellos = now.hellos - shadow->hellos;
	*shadow = now;
	return 0;
}

/* --- Over the tables -------------------------------------------------------------------------- */

/* A way through the sets of one table, past those in which nothing can have changed. */
struct walk {
	uint8_t *hot; /* NULL = all sets */
	uint8_t *filled;
	uint64_t *fill;
	uint32_t n, at;
};

#define WALK(k, what)                                                                           \
	{                                                                                       \
		(k)->t.hot.what, (k)->filled.what, &(k)->fill.what, (k)->t.n_##what, UINT32_MAX \
	}

/* Eight sets at a time: in most seconds most of a table rests. */
static uint32_t skip_cold(const struct walk *w, uint32_t i)
{
	uint64_t eight;

	while (w->n - i >= 8 && (memcpy(&eight, w->hot + i, 8), !eight))
		i += 8;
	while (i < w->n && !w->hot[i])
		i++;
	return i;
}

/* The next set to look at; false behind the last. */
static bool next_set(struct walk *w)
{
	w->at++;
	if (!w->hot)
		return w->at < w->n;
	w->at = skip_cold(w, w->at);
	if (w->at >= w->n)
		return false;
	w->hot[w->at]--;
	return true;
}

static void note_filled(struct walk *w, uint8_t live)
{
	*w->fill += (uint64_t)live - w->filled[w->at];
	w->filled[w->at] = live;
}

/* Walks the rows of one table; runs the statement for each live one. */
#define FOR_EACH_ROW(k, what, statement)                                           \
	for (struct walk _w = WALK(k, what); next_set(&_w);) {                     \
		uint32_t _set = _w.at;                                             \
		uint8_t _live = 0;                                                 \
                                                                                   \
		for (uint32_t _way = 0; _way < FG_WAYS; _way++) {                  \
			if (!is_live(__atomic_load_n(&(k)->t.what[_set].tag[_way], \
						     __ATOMIC_ACQUIRE)))           \
				continue;                                          \
			_live++;                                                   \
			statement                                                  \
		}                                                                  \
		note_filled(&_w, _live);                                           \
	}

/* Who frees the row counts the hello. */
static void give_up(struct fg_taker *k, struct fg_stream *row, enum fg_incomplete reason)
{
	struct fg_epoch_source *out;

	k->incomplete[reason]++;
	if (k->given_up)
		k->given_up(k->given_up_arg, row, reason);
	if (row->proof != FG_PROOF_NONE) {
		out = PUSH(k, sources);
		if (out) {
			source_of(row->client, out->addr);
			out->incomplete = 1;
		}
	}
	__atomic_store_n(&row->tag, FG_TAG_FREE, __ATOMIC_RELEASE);
}

/* Gives up hellos whose time is over; those that wait are looked at again. */
static void take_streams(struct fg_taker *k, uint64_t ticks, uint64_t tick_ns, bool all)
{
	int32_t limit = (int32_t)(FG_HELLO_TIMEOUT_NS / (tick_ns ? tick_ns : 1));
	enum fg_incomplete why = all ? FG_INCOMPLETE_end : FG_INCOMPLETE_timeout;

	for (struct walk w = WALK(k, streams); next_set(&w);) {
		struct fg_stream *row = &k->t.streams[w.at];
		uint64_t tag = __atomic_load_n(&row->tag, __ATOMIC_ACQUIRE);

		note_filled(&w, is_live(tag));
		if (!is_live(tag))
			continue;
		if (w.hot)
			w.hot[w.at] = FG_HOT_PASSES;
		/* signed: the row may be younger than the caller's tick */
		if (!all && (int32_t)((uint32_t)ticks - row->ticks) <= limit)
			continue;
		if (__atomic_compare_exchange_n(&row->tag, &tag, FG_TAG_BUSY, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			give_up(k, row, row->gap ? FG_INCOMPLETE_gap : why);
	}
}

/* --- Tables of an agent before ---------------------------------------------------------------- */

/* Its beginning was told, if its hello was whole; of its exchanges the one in hand may have been, too.
 * A row that changes while it is looked at is new, and taken as such. */
static void adopt_flow(const struct fg_flow *row, const uint64_t *tag,
		       const struct fg_timing *timing, struct flow_shadow *shadow)
{
	struct fg_timing times;
	struct fg_flow now;

	if (!SNAPSHOT(now, row, tag))
		return;
	*shadow = (struct flow_shadow){ .generation = now.generation,
					.exchanges = now.exchanges,
					.bytes_in = now.bytes_in,
					.bytes_out = now.bytes_out,
					.shaped = now.exchanges,
					.told = now.stem ? FG_NEWS_OPENED | FG_NEWS_TIMES : 0 };
	if (snapshot_timing(&times, timing, &now) && times.closed_by)
		shadow->told |= FG_NEWS_CLOSED;
}

#define ADOPT_ROW(row, tag, shadow)            \
	do {                                   \
		__typeof__(*(shadow)) _copy;   \
		if (SNAPSHOT(_copy, row, tag)) \
			*(shadow) = _copy;     \
	} while (0)

/* A taker that dies between claiming a hello's row and freeing it leaves it busy, for ever. A program
 * holds one for microseconds, and changes it: what is the same after this long is nobody's. */
static int free_lost_streams(struct fg_taker *k)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint32_t *seen = calloc(k->t.n_streams, sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->t.n_streams; i++)
		if (__atomic_load_n(&k->t.streams[i].tag, __ATOMIC_ACQUIRE) == FG_TAG_BUSY)
			seen[i] = k->t.streams[i].hello.total + 1;
	nanosleep(&pause, NULL);
	for (uint32_t i = 0; i < k->t.n_streams; i++) {
		__u64 busy = FG_TAG_BUSY;

		if (seen[i] && k->t.streams[i].hello.total + 1 == seen[i])
			__atomic_compare_exchange_n(&k->t.streams[i].tag, &busy, FG_TAG_FREE, false,
						    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	}
	free(seen);
	return 0;
}

int fg_taker_adopt(struct fg_taker *k)
{
	size_t overflow = FG_OVERFLOW_COLUMNS * sizeof(*k->overflow_before);

	k->overflow_before = malloc(overflow);
	if (!k->overflow_before)
		return -ENOMEM;
	memcpy(k->overflow_before, k->t.overflow, overflow);
	FOR_EACH_ROW(k, flows, {
		adopt_flow(&k->t.flows[_set].row[_way],
			   (const uint64_t *)&k->t.flows[_set].tag[_way],
			   &k->t.timings[_set * FG_WAYS + _way], &k->flows[_set * FG_WAYS + _way]);
	})
	FOR_EACH_ROW(k, sources, {
		ADOPT_ROW(&k->t.sources[_set].row[_way],
			  (const uint64_t *)&k->t.sources[_set].tag[_way],
			  &k->sources[_set * FG_WAYS + _way]);
	})
	FOR_EACH_ROW(k, clients, {
		ADOPT_ROW(&k->t.clients[_set].row[_way],
			  (const uint64_t *)&k->t.clients[_set].tag[_way],
			  &k->clients[_set * FG_WAYS + _way]);
	})
	FOR_EACH_ROW(k, prints, {
		ADOPT_ROW(&k->t.prints[_set].row[_way],
			  (const uint64_t *)&k->t.prints[_set].tag[_way],
			  &k->prints[_set * FG_WAYS + _way]);
		/* its text was that agent's: ask again */
		__atomic_store_n(&k->t.prints[_set].row[_way].known, 0, __ATOMIC_RELEASE);
	})
	return free_lost_streams(k);
}

/* --- Epochs ----------------------------------------------------------------------------------- */

static uint32_t next_epoch(struct fg_taker *k, uint64_t ticks)
{
	uint32_t e = k->t.meta->epoch + 1;

	__atomic_store_n(&k->t.meta->heartbeat_ticks, ticks, __ATOMIC_RELEASE);
	__atomic_store_n(&k->t.meta->epoch, e, __ATOMIC_SEQ_CST);
	return e;
}

int fg_taker_take(struct fg_taker *k, uint64_t ticks, uint64_t tick_ns, bool all,
		  struct fg_epoch *epoch)
{
	uint32_t e = next_epoch(k, ticks);
	const struct pass pass = {
		.epoch = e, .ticks = ticks, .tick_ns = tick_ns, .now_ns = epoch->end_ns, .all = all
	};
	int r = 0;

	k->n_flows = k->n_sources = k->n_clients = k->n_prints = 0;
	FOR_EACH_ROW(k, flows, {
		r |= take_flow(k, &k->t.flows[_set].row[_way],
			       (const uint64_t *)&k->t.flows[_set].tag[_way],
			       &k->t.timings[_set * FG_WAYS + _way],
			       &k->flows[_set * FG_WAYS + _way], &pass);
	})
	FOR_EACH_ROW(k, sources, {
		r |= take_source(k, &k->t.sources[_set].row[_way],
				 (const uint64_t *)&k->t.sources[_set].tag[_way],
				 &k->sources[_set * FG_WAYS + _way], e);
	})
	FOR_EACH_ROW(k, clients, {
		r |= take_client(k, &k->t.clients[_set].row[_way],
				 (const uint64_t *)&k->t.clients[_set].tag[_way],
				 &k->clients[_set * FG_WAYS + _way], e);
	})
	FOR_EACH_ROW(k, prints, {
		r |= take_print(k, &k->t.prints[_set].row[_way],
				(const uint64_t *)&k->t.prints[_set].tag[_way],
				&k->prints[_set * FG_WAYS + _way], e);
	})
	FOR_EACH_ROW(k, knocks, ;)
	take_streams(k, ticks, tick_ns, all);
	epoch->flows = k->out_flows;
	epoch->n_flows = k->n_flows;
	epoch->sources = k->out_sources;
	epoch->n_sources = k->n_sources;
	epoch->clients = k->out_clients;
	epoch->n_clients = k->n_clients;
	epoch->prints = k->out_prints;
	epoch->n_prints = k->n_prints;
	return r ? -ENOMEM : 0;
}

void fg_taker_skip(struct fg_taker *k, uint64_t ticks, uint64_t tick_ns, bool all)
{
	next_epoch(k, ticks);
	k->n_sources = 0;
	take_streams(k, ticks, tick_ns, all);
}

void fg_taker_mark_known(struct fg_taker *k, uint64_t print)
{
	uint64_t hash = fg_hash_print(k->t.meta->seed, print);
	struct fg_print_set *set = &k->t.prints[(hash >> 32) & (k->t.n_prints - 1)];

	for (unsigned int i = 0; i < FG_WAYS; i++)
		if (set->tag[i] == hash)
			__atomic_store_n(&set->row[i].known, 1, __ATOMIC_RELEASE);
}

uint64_t fg_taker_overflow(const struct fg_taker *k, const uint8_t source[16])
{
	uint32_t least = UINT32_MAX;
	__u64 addr[2], hash;

	memcpy(addr, source, sizeof(addr));
	hash = fg_hash_source(k->t.meta->seed, addr);
	for (unsigned int i = 0; i < FG_OVERFLOW_ROWS; i++) {
		const struct fg_overflow *column =
			&k->t.overflow[hash >> 16 * i & (FG_OVERFLOW_COLUMNS - 1)];
		uint32_t n = __atomic_load_n(&column->n[i], __ATOMIC_RELAXED);

		if (k->overflow_before)
			n -= k->overflow_before[column - k->t.overflow].n[i];
		least = n < least ? n : least;
	}
	return least;
}

/* The programs may change the row meanwhile: a copy counts only where it had one owner. */
int fg_taker_client(const struct fg_taker *k, const uint8_t client[16], uint16_t client_port,
		    const uint8_t server[16], uint16_t server_port, uint8_t ret_source[16],
		    uint64_t *ret_stem, uint64_t *ret_stack)
{
	__u64 from[2], to[2], hash;
	struct fg_flow_set *set;

	source_of(client, ret_source);
	*ret_stem = *ret_stack = 0;
	memcpy(from, client, sizeof(from));
	memcpy(to, server, sizeof(to));
	hash = fg_hash_flow(k->t.meta->seed, from, to, (__u32)client_port << 16 | server_port);
	set = &k->t.flows[(hash >> 32) & (k->t.n_flows - 1)];
	for (unsigned int i = 0; i < FG_WAYS; i++) {
		struct fg_flow flow;

		if (__atomic_load_n(&set->tag[i], __ATOMIC_ACQUIRE) != hash ||
		    !SNAPSHOT(flow, &set->row[i], (const uint64_t *)&set->tag[i]))
			continue;
		/* behind a balancer the tag has to do, see flow_is() */
		if ((memcmp(flow.client, client, 16) && !(flow.flags & FG_FLOW_PROXIED)) ||
		    memcmp(flow.server, server, 16) || flow.proof == FG_PROOF_NONE || !flow.stem)
			continue;
		source_of(flow.client, ret_source);
		*ret_stem = flow.stem;
		*ret_stack = flow.stack;
		return 0;
	}
	return -ENOENT;
}
