/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decisions in memory and on disk: the index, transactions, time. Each change is made in memory and on
 * disk inside one transaction; where the disk says no, an undo log puts the memory back. Only numbers
 * of evidence run ahead of the disk between two writes: a renewal each second must not cost a sync
 * each second. Must not read a clock, log, or act on a verdict.
 */
#include "verdict/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "farmgate/hash.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "verdict/life.h"
#include "verdict/store_state.h"

/* An undo log that grew for a whole cohort is given back; this many are kept for the next second. */
#define KEPT_UNDO 1024
/* One step a minute: short transactions, and a clock that jumps ahead for a minute costs a thousand rows
 * and not ninety days. */
#define PRUNE_EVERY_S 60
#define PRUNE_ROWS    1000

/* --- Index ----------------------------------------------------------------------------------- */

struct entry **fg_entry_bucket(struct fg_store *s, const uint8_t addr[16])
{
	__u64 words[2];

	memcpy(words, addr, sizeof(words));
	return &s->buckets[fg_hash_source(s->seed, words) % N_BUCKETS];
}

struct entry *fg_entry_find(struct fg_store *s, const struct key *key)
{
	struct entry *e = *fg_entry_bucket(s, key->addr);

	for (; e; e = e->next)
		if (e->state != FG_STATE_GONE && e->v.bits == key->bits && e->v.stem == key->stem &&
		    e->v.stack == key->stack && e->v.origin == key->origin &&
		    !memcmp(e->v.addr, key->addr, 16))
			return e;
	return NULL;
}

bool fg_entry_stands(const struct fg_store *s, const struct entry *e)
{
	return e->state == FG_STATE_STANDING && e->v.until_ns > s->now_ns;
}

static int grow(struct entry ***list, size_t capacity)
{
	struct entry **grown = reallocarray(*list, capacity, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	return 0;
}

/* Room for one more in every list, before anything is changed. */
static int reserve(struct fg_store *s)
{
	size_t capacity = s->capacity ? 2 * s->capacity : 64, n = 0;
	int r;

	for (size_t i = 0; i < FG_STATE_GONE; i++)
		n += s->n[i];
	if (n < s->capacity)
		return 0;
	r = grow(&s->movers, capacity);
	for (size_t i = 0; !r && i < FG_STATE_GONE; i++)
		r = grow(&s->lists[i], capacity);
	if (!r)
		s->capacity = capacity;
	return r;
}

int fg_entry_enlist(struct fg_store *s, const struct fg_verdict *v, enum fg_state state,
		    struct entry **ret_entry)
{
	struct entry **head = fg_entry_bucket(s, v->addr), *e;
	int r = reserve(s);

	if (r)
		return r;
	e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct entry){ .v = *v, .state = state, .next = *head };
	*head = e;
	s->n_origin[v->origin]++;
	s->n_bits[v->bits]++;
	s->lists[state][s->n[state]++] = e;
	*ret_entry = e;
	return 0;
}

static void destroy(struct fg_store *s, struct entry *e)
{
	struct entry **link = fg_entry_bucket(s, e->v.addr);

	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	s->n_origin[e->v.origin]--;
	s->n_bits[e->v.bits]--;
	free(e);
}

/* Sorts every entry where its state belongs, in order. Together they never outgrow the room. */
static void settle(struct fg_store *s)
{
	size_t n_movers = 0;

	for (size_t list = 0; list < FG_STATE_GONE; list++) {
		size_t n = s->n[list];

		s->n[list] = 0;
		for (size_t i = 0; i < n; i++) {
			struct entry *e = s->lists[list][i];

			if (e->state == list)
				s->lists[list][s->n[list]++] = e;
			else
				s->movers[n_movers++] = e;
		}
	}
	for (size_t i = 0; i < n_movers; i++) {
		struct entry *e = s->movers[i];

		if (e->state == FG_STATE_GONE)
			destroy(s, e);
		else
			s->lists[e->state][s->n[e->state]++] = e;
	}
	s->give_way = s->n_given_way = 0;
	s->moved_any = false;
}

/* --- Transactions ---------------------------------------------------------------------------- */

static int log_undo(struct fg_store *s, struct entry *e, bool made)
{
	size_t used =
		offsetof(struct fg_verdict, evidence) + e->v.n_evidence * sizeof(e->v.evidence[0]);
	struct fg_verdict *v;

	if (s->n_undo == s->undo_capacity) {
		size_t capacity = s->undo_capacity ? 2 * s->undo_capacity : 16;
		struct undo *undo = reallocarray(s->undo, capacity, sizeof(*undo));

		if (!undo)
			return -ENOMEM;
		s->undo = undo;
		s->undo_capacity = capacity;
	}
	v = made ? NULL : malloc(used);
	if (!v && !made)
		return -ENOMEM;
	if (v)
		memcpy(v, &e->v, used);
	s->undo[s->n_undo++] = (struct undo){ e, v, e->state, made };
	return 0;
}

int fg_entry_remember(struct fg_store *s, struct entry *e)
{
	return log_undo(s, e, false);
}

/* Forgets the undo log, or with back puts the memory to where it was. */
static void drop_undo(struct fg_store *s, bool back)
{
	while (s->n_undo) {
		const struct undo *u = &s->undo[--s->n_undo];

		if (back && u->v)
			memcpy(&u->entry->v, u->v,
			       offsetof(struct fg_verdict, evidence) +
				       u->v->n_evidence * sizeof(u->v->evidence[0]));
		if (back)
			u->entry->state = u->made ? FG_STATE_GONE : u->state;
		free(u->v);
	}
	if (s->undo_capacity > KEPT_UNDO) {
		free(s->undo);
		s->undo = NULL;
		s->undo_capacity = 0;
	}
}

static void take_back(struct fg_store *s)
{
	drop_undo(s, true);
	s->moved_any = true;
	if (s->allow_saved) {
		free(s->allow);
		s->allow = FG_TAKE_PTR(s->allow_before);
		s->n_allow = s->n_allow_before;
	}
	s->soonest_ns = 0;
}

int fg_store_enter(struct fg_store *s)
{
	int r = s->depth ? 0 : fg_disk_begin(s->disk);

	if (!r)
		s->depth++;
	return r;
}

int fg_store_leave(struct fg_store *s, int r)
{
	size_t changes = s->n_undo + s->allow_saved;

	if (r < 0 && !s->failed)
		s->failed = r;
	if (--s->depth)
		return r;
	if (!s->failed)
		s->failed = fg_disk_commit(s->disk);
	if (s->failed) {
		r = s->failed;
		fg_disk_rollback(s->disk);
		take_back(s);
	}
	drop_undo(s, false);
	free(s->allow_before);
	s->allow_before = NULL;
	s->allow_saved = false;
	s->failed = 0;
	if (s->moved_any)
		settle(s);
	if (changes)
		s->revision++;
	return r;
}

int fg_store_begin(struct fg_store *store)
{
	return fg_store_enter(store);
}

int fg_store_commit(struct fg_store *store)
{
	return fg_store_leave(store, 0);
}

void fg_store_rollback(struct fg_store *store)
{
	fg_store_leave(store, -ECANCELED);
}

/* --- Entries inside a transaction ------------------------------------------------------------ */

/* When time next changes something about it. */
static uint64_t next_ns(const struct entry *e)
{
	const struct fg_verdict *v = &e->v;

	if (e->state != FG_STATE_STANDING)
		return v->kept_ns;
	if (v->origin == FG_ORIGIN_DETECTOR && v->earned == FG_TIER_ENFORCE &&
	    v->sure_until_ns < v->until_ns)
		return v->sure_until_ns;
	return v->until_ns;
}

static void look_at(struct fg_store *s, const struct entry *e)
{
	uint64_t ns = next_ns(e);

	if (ns < s->soonest_ns)
		s->soonest_ns = ns;
}

static int write_whole(struct fg_store *s, struct entry *e)
{
	look_at(s, e);
	return fg_disk_put_verdict(s->disk, &e->v, e->state);
}

int fg_entry_write(struct fg_store *s, struct entry *e)
{
	look_at(s, e);
	return fg_disk_set_state(s->disk, &e->v, e->state);
}

int fg_entry_past(struct fg_store *s, const struct entry *e, int64_t id, const char *what,
		  const char *who, const char *reason)
{
	const struct fg_past p = {
		.time_ns = s->now_ns,
		.addr = e->v.addr,
		.bits = e->v.bits,
		.id = id ? id : e->v.id,
		.what = what,
		.who = who,
		.reason = reason,
	};

	return fg_disk_put_past(s->disk, &p);
}

static int make(struct fg_store *s, struct entry **e, const struct fg_verdict *v)
{
	int r = fg_entry_enlist(s, v, FG_STATE_STANDING, e);

	if (r)
		return r;
	r = log_undo(s, *e, true);
	if (r) {
		(*e)->state = FG_STATE_GONE;
		s->moved_any = true;
	}
	return r ? r : write_whole(s, *e);
}

int fg_entry_replace(struct fg_store *s, struct entry **e, struct fg_verdict *v, bool fresh)
{
	int r;

	if (fresh) {
		v->id = s->next_id++;
		v->first_ns = s->now_ns;
	}
	if (!*e)
		return make(s, e, v);
	r = log_undo(s, *e, false);
	if (!r && fresh)
		r = fg_disk_drop_verdict(s->disk, (*e)->v.id);
	if (r)
		return r;
	s->moved_any |= (*e)->state != FG_STATE_STANDING;
	(*e)->v = *v;
	(*e)->state = FG_STATE_STANDING;
	return write_whole(s, *e);
}

int fg_entry_move(struct fg_store *s, struct entry *e, enum fg_state state)
{
	int r = log_undo(s, e, false);

	if (r)
		return r;
	s->moved_any |= e->state != state;
	e->state = state;
	return state == FG_STATE_GONE ? fg_disk_drop_verdict(s->disk, e->v.id) :
					fg_entry_write(s, e);
}

/* --- Time ------------------------------------------------------------------------------------ */

/* Its time is over: what a detector flagged cools, once. */
static int end_of_time(struct fg_store *s, struct entry *e)
{
	bool cools = e->state == FG_STATE_STANDING && e->v.origin == FG_ORIGIN_DETECTOR &&
		     fg_life_cooled_ns(&e->v) > s->now_ns;
	int r = 0;

	if (cools) {
		r = fg_entry_past(s, e, 0, "cooling", "clock", "");
		if (!r)
			r = fg_entry_remember(s, e);
		e->v.tier = e->v.earned = FG_TIER_OBSERVE;
		e->v.kept_ns = fg_life_cooled_ns(&e->v);
		return r ? r : fg_entry_move(s, e, FG_STATE_COOLING);
	}
	/* of what an operator ended everything was said */
	if (e->state != FG_STATE_ENDED)
		r = fg_entry_past(s, e, 0, "expired", "clock", "");
	return r ? r : fg_entry_move(s, e, FG_STATE_GONE);
}

/* No finding was sure of it for as long as the last that was gave it. */
static int end_of_doubt(struct fg_store *s, struct entry *e)
{
	bool lowered = e->v.tier == FG_TIER_ENFORCE;
	int r = fg_entry_remember(s, e);

	if (r)
		return r;
	e->v.earned = FG_TIER_ALERT;
	if (lowered) {
		e->v.tier = FG_TIER_ALERT;
		snprintf(e->v.reason, sizeof(e->v.reason), "not sure enough any more");
		r = fg_entry_past(s, e, 0, "lowered", "clock", e->v.reason);
	}
	return r ? r : fg_entry_write(s, e);
}

/* @return 1 where it stood and stands no more, 0, -errno. */
static int age(struct fg_store *s, struct entry *e)
{
	bool stood = e->state == FG_STATE_STANDING;
	int r = 0;

	if (fg_life_is_ahead(&e->v, e->state, s->now_ns)) {
		r = fg_entry_remember(s, e);
		fg_life_bring_back(&e->v, e->state, s->now_ns);
		if (!r)
			r = fg_entry_write(s, e);
	}
	if (!r && next_ns(e) <= s->now_ns) {
		if (stood && e->v.until_ns > s->now_ns)
			r = end_of_doubt(s, e);
		else
			r = end_of_time(s, e);
	}
	if (e->state != FG_STATE_GONE && next_ns(e) < s->soonest_ns)
		s->soonest_ns = next_ns(e);
	return r ? r : stood && e->state != FG_STATE_STANDING;
}

/* The time that an allow has left does not grow where the clock goes back. */
static int age_allow(struct fg_store *s, size_t i)
{
	struct fg_allow *a = &s->allow[i].a;
	uint8_t addr[16], bits = a->bits;
	int r;

	memcpy(addr, a->addr, sizeof(addr));
	if (a->until_ns && a->made_ns > s->now_ns) {
		r = fg_allows_remember(s);
		if (r)
			return r;
		a->until_ns -= a->made_ns - s->now_ns;
		a->made_ns = s->now_ns;
		r = fg_disk_put_allow(s->disk, a);
		if (r)
			return r;
	}
	if (!a->until_ns || a->until_ns > s->now_ns) {
		if (a->until_ns && a->until_ns < s->soonest_ns)
			s->soonest_ns = a->until_ns;
		return 0;
	}
	r = fg_allows_drop(s, i);
	return r ? r : fg_allows_apply(s, addr, bits, false, "clock");
}

static int age_all(struct fg_store *s)
{
	int dropped = 0, r = 0;

	s->soonest_ns = UINT64_MAX;
	for (size_t list = 0; r >= 0 && list < FG_STATE_GONE; list++)
		for (size_t i = 0; r >= 0 && i < s->n[list]; i++)
			if (s->lists[list][i]->state != FG_STATE_GONE)
				dropped += r = age(s, s->lists[list][i]);
	for (size_t i = s->n_allow; r >= 0 && i-- > 0;)
		r = age_allow(s, i);
	return r < 0 ? r : dropped;
}

/* In a transaction of its own, and whether it succeeds is of no matter to the verdicts. */
static void prune(struct fg_store *s)
{
	bool due = s->now_ns < s->pruned_ns || s->now_ns - s->pruned_ns >= PRUNE_EVERY_S * NS_PER_S;
	uint64_t kept_ns = s->history_s * NS_PER_S;

	if (!due || s->depth || s->now_ns < kept_ns)
		return;
	s->pruned_ns = s->now_ns;
	if (fg_disk_begin(s->disk))
		return;
	if (fg_disk_prune(s->disk, s->now_ns - kept_ns, s->now_ns - 2 * FG_MAX_TTL_S * NS_PER_S,
			  PRUNE_ROWS) ||
	    fg_disk_commit(s->disk))
		fg_disk_rollback(s->disk);
}

int fg_store_expire(struct fg_store *store, uint64_t now_ns)
{
	bool back = now_ns < store->aged_ns;
	int r;

	store->now_ns = store->aged_ns = now_ns;
	prune(store);
	if (now_ns < store->soonest_ns && !back)
		return 0;
	r = fg_store_enter(store);
	if (r)
		return r;
	r = fg_store_leave(store, age_all(store));
	/* after a failure the next call looks again */
	if (r < 0)
		store->soonest_ns = 0;
	return r;
}

void fg_store_keep_history(struct fg_store *store, uint64_t seconds)
{
	store->history_s = seconds;
}

/* --- Open and close -------------------------------------------------------------------------- */

static int load_verdict(void *arg, const struct fg_verdict *verdict, enum fg_state state)
{
	struct fg_store *s = arg;
	struct entry *e;
	int r = fg_entry_enlist(s, verdict, state, &e);

	/* the seconds of an objection run ahead of the disk: they begin anew */
	if (!r && e->v.objected_ns && e->v.tier < FG_TIER_ENFORCE && e->v.objected_ns < s->now_ns)
		e->v.objected_ns = s->now_ns;
	return r;
}

static int load_allow(void *arg, const struct fg_allow *a)
{
	const struct allow allow = { .a = *a };

	return fg_allows_put(arg, &allow);
}

static int by_end(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

	return x->v.until_ns < y->v.until_ns ? -1 : x->v.until_ns > y->v.until_ns;
}

int fg_store_loaded(struct fg_store *s, uint64_t now_ns)
{
	int64_t id = fg_disk_next_id(s->disk);
	int r;

	if (id < 0)
		return (int)id;
	s->next_id = id;
	if (s->n[FG_STATE_COOLING])
		qsort(s->lists[FG_STATE_COOLING], s->n[FG_STATE_COOLING], sizeof(struct entry *),
		      by_end);
	/* the first look is at everything */
	s->soonest_ns = 0;
	r = now_ns ? fg_store_expire(s, now_ns) : 0;
	return r < 0 ? r : 0;
}

int fg_store_open_file(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		       size_t n_why)
{
	struct fg_disk_sink sink = { .verdict = load_verdict, .allow = load_allow };
	struct fg_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		snprintf(why, n_why, "no memory for the verdict store");
		return -ENOMEM;
	}
	s->history_s = FG_DEFAULT_HISTORY_S;
	s->now_ns = now_ns;
	if (getrandom(s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed)) {
		r = -errno;
		snprintf(why, n_why, "no random numbers for the verdict store: %s", strerror(-r));
		goto fail;
	}
	r = fg_disk_open(dir, &s->disk, why, n_why);
	if (r)
		goto fail;
	sink.arg = s;
	r = fg_disk_load(s->disk, &sink);
	if (!r)
		r = fg_store_loaded(s, now_ns);
	if (r < 0) {
		const char *error = fg_disk_error(s->disk);

		snprintf(why, n_why, "%s", error[0] ? error : strerror(-r));
		goto fail;
	}
	*ret_store = s;
	return 0;

fail:
	fg_store_close(&s);
	return r;
}

void fg_store_close(struct fg_store **store)
{
	struct fg_store *s = *store;

	if (!s)
		return;
	for (size_t list = 0; list < FG_STATE_GONE; list++) {
		for (size_t i = 0; i < s->n[list]; i++)
			free(s->lists[list][i]);
		free(s->lists[list]);
	}
	free(s->movers);
	free(s->allow);
	free(s->allow_before);
	free(s->extra_hit);
	drop_undo(s, false);
	free(s->undo);
	fg_disk_close(&s->disk);
	free(s);
	*store = NULL;
}

/* --- Reading --------------------------------------------------------------------------------- */

size_t fg_store_n(const struct fg_store *store)
{
	return store->n[FG_STATE_STANDING];
}

const struct fg_verdict *fg_store_at(const struct fg_store *store, size_t i)
{
	return &store->lists[FG_STATE_STANDING][i]->v;
}

size_t fg_store_n_in(const struct fg_store *store, enum fg_state state)
{
	return store->n[state];
}

const struct fg_verdict *fg_store_in(const struct fg_store *store, enum fg_state state, size_t i)
{
	return &store->lists[state][i]->v;
}

size_t fg_store_n_allow(const struct fg_store *store)
{
	return store->n_allow;
}

const struct fg_allow *fg_store_allow_at(const struct fg_store *store, size_t i)
{
	return &store->allow[i].a;
}

/* Keeps the newest n, newest first; ids grow with time. */
static size_t insert_newest(const struct fg_verdict **ret, size_t have, size_t n,
			    const struct fg_verdict *v)
{
	size_t i = have;

	while (i > 0 && ret[i - 1]->id < v->id)
		i--;
	if (i == n)
		return have;
	have -= have == n;
	memmove(&ret[i + 1], &ret[i], (have - i) * sizeof(*ret));
	ret[i] = v;
	return have + 1;
}

size_t fg_store_find_in(const struct fg_store *store, enum fg_state state, const uint8_t addr[16],
			const struct fg_verdict **ret, size_t n)
{
	size_t have = 0;

	for (int bits = 0; bits <= 128; bits++) {
		uint8_t masked[16];
		struct entry *e;

		if (!store->n_bits[bits])
			continue;
		memcpy(masked, addr, 16);
		fg_ip_mask(masked, (uint8_t)bits);
		/* the table is not changed; only its pointer type is not const */
		e = *fg_entry_bucket((struct fg_store *)store, masked);
		for (; e; e = e->next)
			if (e->state == state && e->v.bits == bits &&
			    !memcmp(e->v.addr, masked, 16) &&
			    fg_ip_contains(masked, (uint8_t)bits, addr, 128))
				have = insert_newest(ret, have, n, &e->v);
	}
	return have;
}

size_t fg_store_find(const struct fg_store *store, const uint8_t addr[16],
		     const struct fg_verdict **ret, size_t n)
{
	return fg_store_find_in(store, FG_STATE_STANDING, addr, ret, n);
}

uint64_t fg_store_revision(const struct fg_store *store)
{
	return store->revision;
}

uint64_t fg_store_refused(const struct fg_store *store)
{
	return store->refused;
}

const char *fg_store_moved(const struct fg_store *store)
{
	return store->moved;
}

struct fg_store_aside fg_store_aside(const struct fg_store *store)
{
	return store->aside;
}

const char *fg_store_instance(const struct fg_store *store)
{
	return store->instance;
}

const char *fg_store_error(const struct fg_store *store)
{
	return fg_disk_error(store->disk);
}

int fg_store_history(struct fg_store *store, const uint8_t addr[16], fg_history_fn fn, void *arg)
{
	return fg_disk_history(store->disk, addr, fn, arg);
}

int fg_store_get_blob(struct fg_store *store, const char *name, void *ret_buf, size_t n)
{
	return fg_disk_get_blob(store->disk, name, ret_buf, n);
}

int fg_store_load_blob(struct fg_store *store, const char *name, void **ret_bytes, size_t *ret_n)
{
	return fg_disk_load_blob(store->disk, name, ret_bytes, ret_n);
}

int fg_store_put_blob(struct fg_store *store, const char *name, const void *buf, size_t n)
{
	return fg_disk_put_blob(store->disk, name, buf, n);
}

/* --- Summaries ------------------------------------------------------------------------------- */

int fg_store_begin_summaries(struct fg_store *store)
{
	return store->depth ? -EBUSY : fg_disk_begin_summaries(store->disk);
}

int fg_store_commit_summaries(struct fg_store *store)
{
	return fg_disk_commit_summaries(store->disk);
}

void fg_store_rollback_summaries(struct fg_store *store)
{
	fg_disk_rollback_summaries(store->disk);
}

int fg_store_put_summary(struct fg_store *store, uint64_t key, uint32_t last_s, const void *bytes,
			 size_t n)
{
	return fg_disk_put_summary(store->disk, key, last_s, bytes, n);
}

int fg_store_find_summary(struct fg_store *store, uint64_t key, void *ret_buf, size_t n)
{
	return fg_disk_find_summary(store->disk, key, ret_buf, n);
}

int fg_store_newest_summaries(struct fg_store *store, uint64_t from_key, uint64_t to_key,
			      uint64_t n, uint32_t *ret_from_s, uint64_t *ret_n)
{
	return fg_disk_newest_summaries(store->disk, from_key, to_key, n, ret_from_s, ret_n);
}

int fg_store_each_summary(struct fg_store *store, uint64_t from_key, uint64_t to_key,
			  uint32_t from_s, fg_summary_fn fn, void *arg)
{
	return fg_disk_each_summary(store->disk, from_key, to_key, from_s, fn, arg);
}

int fg_store_drop_summary(struct fg_store *store, uint64_t key)
{
	return fg_disk_drop_summary(store->disk, key);
}

int fg_store_forget_summaries(struct fg_store *store, uint64_t from_key, uint64_t to_key,
			      uint32_t before_s)
{
	return fg_disk_forget_summaries(store->disk, from_key, to_key, before_s);
}

uint64_t fg_store_n_summaries(const struct fg_store *store)
{
	return fg_disk_n_summaries(store->disk);
}

void fg_store_limit_summaries(struct fg_store *store, uint64_t max)
{
	fg_disk_limit_summaries(store->disk, max);
}
