/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules of decisions, and their copy in memory. Each change is made in memory and on disk
 * inside one transaction; where the disk says no, an undo log puts the memory back. Only numbers
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
#include "verdict/disk.h"
#include "verdict/instance.h"

#define NS_PER_S 1000000000ULL
/* Chains stay at one or two entries with the store full; 512 kB. */
#define N_BUCKETS 65536
/* Each note walks the allowlist; operators who need more allow wider prefixes. */
#define MAX_ALLOW     10000
#define CONFIGURATION "configuration"

enum state {
	STANDING,
	ENDED, /* taken back by the operator: found by note(), shown to nobody */
	GONE, /* freed when the transaction is through */
};

struct entry {
	struct fg_verdict v;
	enum state state;
	struct entry *next; /* in its bucket */
};

/* How an entry was before this transaction; made: it was not. */
struct undo {
	struct entry *entry;
	struct fg_verdict v;
	enum state state;
	bool made;
};

struct allow {
	struct fg_allow a;
	bool fixed; /* from the configuration */
};

struct fg_store {
	struct fg_disk *disk;
	int64_t next_id;
	uint64_t now_ns, revision, refused;
	uint64_t soonest_ns; /* nothing expires before */
	uint64_t aged_ns; /* time of the last look at what expires */
	__u64 seed[4];
	struct entry **list, **ended; /* both have room for capacity entries */
	size_t n, n_ended, capacity;
	size_t n_origin[_FG_ORIGIN_MAX];
	size_t n_bits[129]; /* entries of each prefix length: lengths not in use are not looked up */
	struct entry *buckets[N_BUCKETS];
	struct allow *allow, *allow_before;
	size_t n_allow, n_allow_before;
	bool allow_saved;
	fg_allow_fn extra; /* a further allowlist; NULL = none */
	void *extra_arg;
	struct fg_allow *extra_hit; /* what it last said */
	struct undo *undo;
	size_t n_undo, undo_capacity;
	unsigned int depth; /* of nested transactions */
	int failed; /* first error inside the transaction */
	char moved[300]; /* where a file went that could not be taken up */
	struct fg_store_aside aside;
	char instance[FG_INSTANCE_TEXT];
};

/* --- Index ----------------------------------------------------------------------------------- */

static struct entry **bucket(struct fg_store *s, const uint8_t addr[16])
{
	__u64 words[2];

	memcpy(words, addr, sizeof(words));
	return &s->buckets[fg_hash_source(s->seed, words) % N_BUCKETS];
}

static struct entry *lookup(struct fg_store *s, const uint8_t addr[16], uint8_t bits, uint64_t stem,
			    enum fg_origin origin)
{
	struct entry *e = *bucket(s, addr);

	for (; e; e = e->next)
		if (e->state != GONE && e->v.bits == bits && e->v.stem == stem &&
		    e->v.origin == origin && !memcmp(e->v.addr, addr, 16))
			return e;
	return NULL;
}

/* Room for one more, before anything is changed. */
static int reserve(struct fg_store *s)
{
	size_t capacity = s->capacity ? 2 * s->capacity : 64;
	struct entry **list, **ended;

	if (s->n + s->n_ended < s->capacity)
		return 0;
	list = reallocarray(s->list, capacity, sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->list = list;
	ended = reallocarray(s->ended, capacity, sizeof(*ended));
	if (!ended)
		return -ENOMEM;
	s->ended = ended;
	s->capacity = capacity;
	return 0;
}

/* A new entry in list and index. */
static int enlist(struct fg_store *s, const struct fg_verdict *v, enum state state,
		  struct entry **ret_entry)
{
	struct entry **head = bucket(s, v->addr), *e;
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
	if (state == STANDING)
		s->list[s->n++] = e;
	else
		s->ended[s->n_ended++] = e;
	*ret_entry = e;
	return 0;
}

static void destroy(struct fg_store *s, struct entry *e)
{
	struct entry **link = bucket(s, e->v.addr);

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
	size_t n = s->n, n_ended = s->n_ended;

	s->n = s->n_ended = 0;
	for (size_t i = 0; i < n_ended; i++) {
		struct entry *e = s->ended[i];

		if (e->state == ENDED)
			s->ended[s->n_ended++] = e;
		else if (e->state == STANDING)
			s->list[n++] = e;
		else
			destroy(s, e);
	}
	for (size_t i = 0; i < n; i++) {
		struct entry *e = s->list[i];

		if (e->state == STANDING)
			s->list[s->n++] = e;
		else if (e->state == ENDED)
			s->ended[s->n_ended++] = e;
		else
			destroy(s, e);
	}
}

/* --- Transactions ---------------------------------------------------------------------------- */

static int remember(struct fg_store *s, struct entry *e, bool made)
{
	if (s->n_undo == s->undo_capacity) {
		size_t capacity = s->undo_capacity ? 2 * s->undo_capacity : 16;
		struct undo *undo = reallocarray(s->undo, capacity, sizeof(*undo));

		if (!undo)
			return -ENOMEM;
		s->undo = undo;
		s->undo_capacity = capacity;
	}
	s->undo[s->n_undo++] = (struct undo){
		.entry = e,
		.v = e->v,
		.state = e->state,
		.made = made,
	};
	return 0;
}

static int remember_allow(struct fg_store *s)
{
	if (s->allow_saved)
		return 0;
	if (s->n_allow) {
		s->allow_before = calloc(s->n_allow, sizeof(*s->allow));
		if (!s->allow_before)
			return -ENOMEM;
		memcpy(s->allow_before, s->allow, s->n_allow * sizeof(*s->allow));
	}
	s->n_allow_before = s->n_allow;
	s->allow_saved = true;
	return 0;
}

static void take_back(struct fg_store *s)
{
	while (s->n_undo) {
		const struct undo *u = &s->undo[--s->n_undo];

		u->entry->v = u->v;
		u->entry->state = u->made ? GONE : u->state;
	}
	if (s->allow_saved) {
		free(s->allow);
		s->allow = FG_TAKE_PTR(s->allow_before);
		s->n_allow = s->n_allow_before;
	}
	s->soonest_ns = 0;
}

static int enter(struct fg_store *s)
{
	int r = s->depth ? 0 : fg_disk_begin(s->disk);

	if (!r)
		s->depth++;
	return r;
}

/* Ends a transaction with the result of its work; any failure inside takes all of it back. */
static int leave(struct fg_store *s, int r)
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
	free(s->allow_before);
	s->allow_before = NULL;
	s->allow_saved = false;
	s->n_undo = 0;
	s->failed = 0;
	if (changes || r < 0) {
		settle(s);
		s->revision++;
	}
	return r;
}

int fg_store_begin(struct fg_store *store)
{
	return enter(store);
}

int fg_store_commit(struct fg_store *store)
{
	return leave(store, 0);
}

void fg_store_rollback(struct fg_store *store)
{
	leave(store, -ECANCELED);
}

/* --- Entries inside a transaction ------------------------------------------------------------ */

static int write_entry(struct fg_store *s, struct entry *e)
{
	if (e->v.until_ns < s->soonest_ns)
		s->soonest_ns = e->v.until_ns;
	return fg_disk_put_verdict(s->disk, &e->v, e->state == ENDED);
}

static int past(struct fg_store *s, const struct entry *e, const char *what, const char *who,
		const char *reason)
{
	const struct fg_past p = {
		.time_ns = s->now_ns,
		.addr = e->v.addr,
		.bits = e->v.bits,
		.id = e->v.id,
		.what = what,
		.who = who,
		.reason = reason,
	};

	return fg_disk_put_past(s->disk, &p);
}

/* Puts v in the place of e, or makes an entry where e is NULL; a fresh one gets a new id. */
static int replace(struct fg_store *s, struct entry **e, struct fg_verdict *v, bool fresh)
{
	int r = 0;

	if (fresh) {
		v->id = s->next_id++;
		v->first_ns = s->now_ns;
	}
	if (!*e) {
		r = enlist(s, v, STANDING, e);
		if (!r)
			r = remember(s, *e, true);
		if (r && *e)
			(*e)->state = GONE;
		return r ? r : write_entry(s, *e);
	}
	r = remember(s, *e, false);
	if (!r && fresh)
		r = fg_disk_drop_verdict(s->disk, (*e)->v.id);
	if (r)
		return r;
	(*e)->v = *v;
	(*e)->state = STANDING;
	return write_entry(s, *e);
}

static int end(struct fg_store *s, struct entry *e, enum state state)
{
	int r = remember(s, e, false);

	if (r)
		return r;
	e->state = state;
	return state == ENDED ? fg_disk_put_verdict(s->disk, &e->v, true) :
				fg_disk_drop_verdict(s->disk, e->v.id);
}

/* --- Allowlist ------------------------------------------------------------------------------- */

/* Allow wins also where only a part is allowed: a block cannot leave that part out. */
static bool overlaps(const struct fg_allow *a, const uint8_t addr[16], uint8_t bits)
{
	return fg_ip_contains(a->addr, a->bits, addr, bits) ||
	       fg_ip_contains(addr, bits, a->addr, a->bits);
}

static const struct fg_allow *allow_on(const struct fg_store *s, const uint8_t addr[16],
				       uint8_t bits, uint64_t now_ns)
{
	for (size_t i = 0; i < s->n_allow; i++) {
		const struct fg_allow *a = &s->allow[i].a;

		if ((!a->until_ns || a->until_ns > now_ns) && overlaps(a, addr, bits))
			return a;
	}
	return fg_store_extra_allows(s, addr, bits, s->extra ? s->extra_hit->reason : NULL) ?
		       s->extra_hit :
		       NULL;
}

bool fg_store_extra_allows(const struct fg_store *store, const uint8_t addr[16], uint8_t bits,
			   char reason[160])
{
	return store->extra && store->extra(store->extra_arg, addr, bits, reason);
}

int fg_store_allow_extra(struct fg_store *store, fg_allow_fn fn, void *arg)
{
	if (!store->extra_hit)
		store->extra_hit = calloc(1, sizeof(*store->extra_hit));
	if (!store->extra_hit)
		return -ENOMEM;
	store->extra = fn;
	store->extra_arg = arg;
	return 0;
}

bool fg_store_allowed(const struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		      uint64_t now_ns)
{
	return allow_on(store, addr, bits, now_ns) != NULL;
}

static int lower(struct fg_store *s, struct entry *e, const struct fg_allow *a, const char *who)
{
	struct fg_verdict v = e->v;
	int r;

	v.tier = FG_TIER_ALERT;
	snprintf(v.reason, sizeof(v.reason), "allowlisted: %.140s", a->reason);
	r = replace(s, &e, &v, false);
	return r ? r : past(s, e, "lowered", who, v.reason);
}

static int lower_all(struct fg_store *s, const struct fg_allow *a, const char *who)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n; i++)
		if (s->list[i]->state == STANDING && s->list[i]->v.tier > FG_TIER_ALERT &&
		    overlaps(a, s->list[i]->v.addr, s->list[i]->v.bits))
			r = lower(s, s->list[i], a, who);
	return r;
}

int fg_store_allow_extra_grown(struct fg_store *store, uint64_t now_ns)
{
	struct fg_store *s = store;
	int r = s->extra ? enter(s) : 0;

	if (r || !s->extra)
		return r;
	s->now_ns = now_ns;
	for (size_t i = 0; !r && i < s->n; i++) {
		const struct fg_verdict *v = &s->list[i]->v;

		if (s->list[i]->state == STANDING && v->tier > FG_TIER_ALERT &&
		    fg_store_extra_allows(s, v->addr, v->bits, s->extra_hit->reason))
			r = lower(s, s->list[i], s->extra_hit, CONFIGURATION);
	}
	return leave(s, r);
}

int fg_store_observe(struct fg_store *store)
{
	struct fg_store *s = store;
	int r = enter(s);

	if (r)
		return r;
	for (size_t i = 0; !r && i < s->n; i++) {
		struct entry *e = s->list[i];
		struct fg_verdict v = e->v;

		if (e->state != STANDING || v.origin != FG_ORIGIN_DETECTOR ||
		    v.tier <= FG_TIER_ALERT)
			continue;
		v.tier = FG_TIER_ALERT;
		snprintf(v.reason, sizeof(v.reason), "mode is observe");
		r = replace(s, &e, &v, false);
		if (!r)
			r = past(s, e, "lowered", CONFIGURATION, v.reason);
	}
	return leave(s, r);
}

static size_t find_allow(const struct fg_store *s, const uint8_t addr[16], uint8_t bits, bool fixed)
{
	size_t i = 0;

	while (i < s->n_allow && (s->allow[i].fixed != fixed || s->allow[i].a.bits != bits ||
				  memcmp(s->allow[i].a.addr, addr, 16)))
		i++;
	return i;
}

static int put_allow(struct fg_store *s, const struct allow *allow)
{
	size_t i = find_allow(s, allow->a.addr, allow->a.bits, allow->fixed);
	struct allow *grown;

	if (i == MAX_ALLOW)
		return -ENOSPC;
	grown = i < s->n_allow ? s->allow : reallocarray(s->allow, i + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->allow = grown;
	s->allow[i] = *allow;
	if (i == s->n_allow)
		s->n_allow++;
	return 0;
}

static bool is_prefix(const uint8_t addr[16], uint8_t bits)
{
	uint8_t masked[16];

	if (bits > 128)
		return false;
	memcpy(masked, addr, 16);
	fg_ip_mask(masked, bits);
	return !memcmp(masked, addr, 16);
}

static int allow_now(struct fg_store *s, const struct allow *allow)
{
	const struct fg_allow *a = &allow->a;
	const struct fg_past p = {
		.time_ns = s->now_ns,
		.addr = a->addr,
		.bits = a->bits,
		.id = a->id,
		.what = "allowed",
		.who = "operator",
		.reason = a->reason,
	};
	int r = remember_allow(s);

	if (!r)
		r = put_allow(s, allow);
	if (!r && !allow->fixed)
		r = fg_disk_put_allow(s->disk, a);
	if (!r && !allow->fixed)
		r = fg_disk_put_past(s->disk, &p);
	return r ? r : lower_all(s, a, allow->fixed ? CONFIGURATION : "operator");
}

int fg_store_allow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint32_t ttl_s,
		   const char *reason, uint64_t now_ns, int64_t *ret_id)
{
	size_t i = find_allow(store, addr, bits, false);
	struct allow allow = { .a.bits = bits };
	int r;

	if (!is_prefix(addr, bits))
		return -EINVAL;
	memcpy(allow.a.addr, addr, 16);
	allow.a.id = i < store->n_allow ? store->allow[i].a.id : store->next_id++;
	allow.a.until_ns = ttl_s ? now_ns + ttl_s * NS_PER_S : 0;
	snprintf(allow.a.reason, sizeof(allow.a.reason), "%s", reason ? reason : "");
	r = enter(store);
	if (r)
		return r;
	store->now_ns = now_ns;
	if (allow.a.until_ns && allow.a.until_ns < store->soonest_ns)
		store->soonest_ns = allow.a.until_ns;
	r = leave(store, allow_now(store, &allow));
	if (!r && ret_id)
		*ret_id = allow.a.id;
	return r;
}

int fg_store_allow_static(struct fg_store *store, const uint8_t addr[16], uint8_t bits)
{
	struct allow allow = { .a = { .bits = bits, .reason = CONFIGURATION }, .fixed = true };
	int r;

	if (!is_prefix(addr, bits))
		return -EINVAL;
	memcpy(allow.a.addr, addr, 16);
	r = enter(store);
	return r ? r : leave(store, allow_now(store, &allow));
}

static int drop_allow(struct fg_store *s, size_t i)
{
	int r = remember_allow(s);

	if (!r)
		r = fg_disk_drop_allow(s->disk, s->allow[i].a.id);
	if (r)
		return r;
	memmove(&s->allow[i], &s->allow[i + 1], (--s->n_allow - i) * sizeof(*s->allow));
	return 0;
}

int fg_store_disallow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint64_t now_ns)
{
	size_t i = find_allow(store, addr, bits, false);
	struct fg_past p = {
		.time_ns = now_ns,
		.addr = addr,
		.bits = bits,
		.what = "disallowed",
		.who = "operator",
		.reason = "",
	};
	int r;

	if (i == store->n_allow)
		return 0;
	p.id = store->allow[i].a.id;
	r = enter(store);
	if (r)
		return r;
	store->now_ns = now_ns;
	r = drop_allow(store, i);
	if (!r)
		r = fg_disk_put_past(store->disk, &p);
	return leave(store, r ? r : 1);
}

/* --- Detectors ------------------------------------------------------------------------------- */

static enum fg_tier judge(const struct fg_store *s, const struct fg_finding *f, uint8_t bits,
			  bool enforce, char reason[160])
{
	const struct fg_allow *a = allow_on(s, f->source, bits, s->now_ns);

	reason[0] = '\0';
	if (a)
		snprintf(reason, 160, "allowlisted: %.140s", a->reason);
	else if (!f->proven)
		snprintf(reason, 160, "not proven: its address may be forged");
	else if (f->shared)
		snprintf(reason, 160, "shared: %s", f->shared_why);
	else if (f->no_enforce)
		snprintf(reason, 160, "not sure enough: %s", f->no_enforce_why);
	else if (!enforce)
		snprintf(reason, 160, "mode is observe");
	else
		return FG_TIER_ENFORCE;
	return FG_TIER_ALERT;
}

/* Numbers inside a reason or in evidence move each second; only another kind is worth a write. */
static bool same_kind(const struct fg_verdict *a, const struct fg_verdict *b)
{
	size_t n = strcspn(a->reason, ":");

	if (a->cohort != b->cohort || a->tier != b->tier || a->proven != b->proven ||
	    a->shared != b->shared || a->n_evidence != b->n_evidence ||
	    n != strcspn(b->reason, ":") || memcmp(a->reason, b->reason, n))
		return false;
	for (size_t i = 0; i < a->n_evidence; i++)
		if (a->evidence[i].family != b->evidence[i].family ||
		    strcmp(a->evidence[i].name, b->evidence[i].name))
			return false;
	return true;
}

static void describe(const struct fg_finding *f, const struct fg_names *names, struct fg_verdict *v)
{
	v->proven = f->proven;
	v->shared = f->shared;
	v->cohort = f->cohort;
	if (f->cohort) {
		v->stem = f->stem;
		v->stack = f->stack;
	}
	v->score = f->score;
	v->window_s = f->window_s;
	v->n_obs = f->n_obs;
	v->alpha = f->alpha;
	v->est_fdr = f->est_fdr;
	snprintf(v->version, sizeof(v->version), "%s", FG_VERSION);
	memcpy(v->ja4, names->ja4, sizeof(v->ja4));
	memcpy(v->stem_text, names->stem_text, sizeof(v->stem_text));
	memcpy(v->stack_text, names->stack_text, sizeof(v->stack_text));
	v->n_evidence = f->n_evidence;
	memcpy(v->evidence, f->evidence, v->n_evidence * sizeof(v->evidence[0]));
}

/* v is what e becomes. @return 1 new, 0 renewed, -errno. */
static int note_changed(struct fg_store *s, struct entry *e, struct fg_verdict *v, bool fresh)
{
	enum fg_tier before = e ? e->v.tier : FG_TIER_OBSERVE;
	const char *what = fresh ? "flagged" : v->tier > before ? "raised" : "lowered";
	bool told = fresh || v->tier != before;
	int r = enter(s);

	if (r)
		return r;
	r = replace(s, &e, v, fresh);
	if (!r && told)
		r = past(s, e, what, "detector", v->reason[0] ? v->reason : v->evidence[0].text);
	return leave(s, r ? r : fresh);
}

int fg_store_note(struct fg_store *store, const struct fg_finding *finding,
		  const struct fg_names *names, bool enforce, uint32_t ttl_s, uint64_t now_ns)
{
	struct fg_verdict v = { .origin = FG_ORIGIN_DETECTOR };
	uint64_t ttl_ns = (ttl_s > FG_MAX_TTL_S ? FG_MAX_TTL_S : ttl_s ? ttl_s : 1) * NS_PER_S;
	struct entry *e;
	bool fresh;

	if (finding->n_evidence > FG_MAX_EVIDENCE ||
	    !fg_evidence_is_whole(finding->evidence, finding->n_evidence))
		return -EINVAL;
	store->now_ns = now_ns;
	fg_ip_to_source(finding->source, v.addr, &v.bits);
	/* members are clients; who is flagged by itself is so with all its clients */
	e = lookup(store, v.addr, v.bits, finding->cohort ? finding->stem : 0, FG_ORIGIN_DETECTOR);
	fresh = !e || e->v.until_ns <= now_ns;
	if (!fresh && e->state == ENDED)
		return 0;
	if (!e && store->n_origin[FG_ORIGIN_DETECTOR] >= FG_MAX_VERDICTS) {
		store->refused++;
		return 0;
	}
	if (!fresh) {
		v.id = e->v.id;
		v.first_ns = e->v.first_ns;
	}
	describe(finding, names, &v);
	v.tier = judge(store, finding, v.bits, enforce, v.reason);
	v.updated_ns = now_ns;
	v.until_ns = now_ns + ttl_ns;
	if (fresh || !same_kind(&e->v, &v) || e->v.until_ns - now_ns < ttl_ns / 4 * 3) {
		if (!fresh && v.until_ns < e->v.until_ns)
			v.until_ns = e->v.until_ns;
		return note_changed(store, e, &v, fresh);
	}
	v.until_ns = e->v.until_ns;
	e->v = v;
	return 0;
}

/* --- Operators ------------------------------------------------------------------------------- */

int fg_store_block(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint64_t stem,
		   const char *stem_text, uint32_t ttl_s, const char *reason, uint64_t now_ns,
		   int64_t *ret_id)
{
	struct fg_verdict v = {
		.bits = bits,
		.stem = stem,
		.origin = FG_ORIGIN_OPERATOR,
		.tier = FG_TIER_ENFORCE,
		.updated_ns = now_ns,
		.until_ns = now_ns + ttl_s * NS_PER_S,
	};
	struct entry *e;
	bool fresh;
	int r;

	if (!is_prefix(addr, bits) || !ttl_s || ttl_s > FG_MAX_TTL_S)
		return -EINVAL;
	if (fg_store_allowed(store, addr, bits, now_ns))
		return -EPERM;
	e = lookup(store, addr, bits, stem, FG_ORIGIN_OPERATOR);
	if (!e && store->n_origin[FG_ORIGIN_OPERATOR] >= FG_MAX_VERDICTS)
		return -ENOSPC;
	fresh = !e || e->v.until_ns <= now_ns;
	memcpy(v.addr, addr, 16);
	v.id = fresh ? 0 : e->v.id;
	v.first_ns = fresh ? now_ns : e->v.first_ns;
	snprintf(v.stem_text, sizeof(v.stem_text), "%s", stem_text ? stem_text : "");
	snprintf(v.reason, sizeof(v.reason), "%s", reason ? reason : "");
	r = enter(store);
	if (r)
		return r;
	store->now_ns = now_ns;
	r = replace(store, &e, &v, fresh);
	if (!r)
		r = past(store, e, "blocked", "operator", v.reason);
	r = leave(store, r);
	if (!r && ret_id)
		*ret_id = v.id;
	return r;
}

int fg_store_unblock(struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		     const char *reason, uint64_t now_ns)
{
	struct entry *e = *bucket(store, addr);
	int ended = 0, r;

	r = enter(store);
	if (r)
		return r;
	store->now_ns = now_ns;
	for (; !r && e; e = e->next) {
		if (e->state != STANDING || e->v.until_ns <= now_ns || e->v.bits != bits ||
		    memcmp(e->v.addr, addr, 16))
			continue;
		r = past(store, e, "unblocked", "operator", reason ? reason : "");
		if (!r)
			r = end(store, e, e->v.origin == FG_ORIGIN_DETECTOR ? ENDED : GONE);
		ended++;
	}
	return leave(store, r ? r : ended);
}

/* --- Time ------------------------------------------------------------------------------------ */

/* A verdict with more than the longest TTL ahead was written by a clock that ran ahead. */
static int age(struct fg_store *s, struct entry *e, uint64_t *soonest_ns)
{
	uint64_t limit = s->now_ns + FG_MAX_TTL_S * NS_PER_S;
	int r = 0;

	if (e->state == GONE)
		return 0;
	if (e->v.until_ns <= s->now_ns) {
		if (e->state == STANDING)
			r = past(s, e, "expired", "clock", "");
		if (!r)
			r = end(s, e, GONE);
		return r ? r : 1;
	}
	if (e->v.until_ns > limit) {
		r = remember(s, e, false);
		e->v.until_ns = limit;
		if (!r)
			r = fg_disk_put_verdict(s->disk, &e->v, e->state == ENDED);
	}
	if (e->v.until_ns < *soonest_ns)
		*soonest_ns = e->v.until_ns;
	return r;
}

static int age_all(struct fg_store *s, uint64_t *soonest_ns)
{
	int dropped = 0, r = 0;

	for (size_t i = 0; r >= 0 && i < s->n; i++)
		dropped += r = age(s, s->list[i], soonest_ns);
	for (size_t i = 0; r >= 0 && i < s->n_ended; i++)
		r = age(s, s->ended[i], soonest_ns);
	for (size_t i = s->n_allow; r >= 0 && i-- > 0;) {
		uint64_t until_ns = s->allow[i].a.until_ns;

		if (until_ns && until_ns <= s->now_ns)
			r = drop_allow(s, i);
		else if (until_ns && until_ns < *soonest_ns)
			*soonest_ns = until_ns;
	}
	return r < 0 ? r : dropped;
}

int fg_store_expire(struct fg_store *store, uint64_t now_ns)
{
	bool back = now_ns < store->aged_ns;
	uint64_t soonest_ns = UINT64_MAX;
	int r;

	store->now_ns = store->aged_ns = now_ns;
	if (now_ns < store->soonest_ns && !back)
		return 0;
	r = enter(store);
	if (r)
		return r;
	r = leave(store, age_all(store, &soonest_ns));
	/* after a failure the next call looks again */
	if (r >= 0)
		store->soonest_ns = soonest_ns;
	return r;
}

/* --- Open and close -------------------------------------------------------------------------- */

static int load_verdict(void *arg, const struct fg_verdict *verdict, bool ended)
{
	struct entry *e;

	return enlist(arg, verdict, ended ? ENDED : STANDING, &e);
}

static int load_allow(void *arg, const struct fg_allow *a)
{
	const struct allow allow = { .a = *a };

	return put_allow(arg, &allow);
}

static int load(struct fg_store *s, uint64_t now_ns)
{
	const struct fg_disk_sink sink = { .verdict = load_verdict, .allow = load_allow, .arg = s };
	int r = fg_disk_load(s->disk, &sink);
	int64_t id = r ? r : fg_disk_next_id(s->disk);

	if (id < 0)
		return (int)id;
	s->next_id = id;
	/* soonest_ns is 0: the first look is at everything */
	return now_ns ? fg_store_expire(s, now_ns) : 0;
}

static int open_store(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		      size_t n_why)
{
	struct fg_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		snprintf(why, n_why, "no memory for the verdict store");
		return -ENOMEM;
	}
	if (getrandom(s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed)) {
		r = -errno;
		snprintf(why, n_why, "no random numbers for the verdict store: %s", strerror(-r));
		goto fail;
	}
	r = fg_disk_open(dir, &s->disk, why, n_why);
	if (r)
		goto fail;
	r = load(s, now_ns);
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

/* --- What could be read of a damaged file -------------------------------------------------------- */

static int save_verdict(void *arg, const struct fg_verdict *v, bool ended)
{
	struct fg_store *s = arg;
	struct entry *e;
	int r;

	/* two rows of one subject are damage, too: the first stands */
	if (lookup(s, v->addr, v->bits, v->stem, v->origin) || !is_prefix(v->addr, v->bits) ||
	    s->n_origin[v->origin] >= FG_MAX_VERDICTS)
		return 0;
	r = enlist(s, v, ended ? ENDED : STANDING, &e);
	if (!r)
		r = fg_disk_put_verdict(s->disk, v, ended);
	s->aside.verdicts += !r;
	return r;
}

static int save_allow(void *arg, const struct fg_allow *a)
{
	const struct allow allow = { .a = *a };
	struct fg_store *s = arg;
	int r;

	if (!is_prefix(a->addr, a->bits))
		return 0;
	r = put_allow(s, &allow);
	if (r == -ENOSPC)
		return 0;
	if (!r)
		r = fg_disk_put_allow(s->disk, a);
	s->aside.allows += !r;
	return r;
}

static int save_blob(void *arg, const char *name, const void *bytes, size_t n)
{
	struct fg_store *s = arg;
	int r = fg_disk_put_blob(s->disk, name, bytes, n);

	s->aside.blobs += !r;
	return r;
}

/* Into a store that is new. */
static int salvage(struct fg_store *s, uint64_t now_ns)
{
	const struct fg_disk_sink sink = { save_verdict, save_allow, save_blob, s };
	int r = fg_disk_begin(s->disk);
	int64_t id;

	if (r)
		return r;
	r = fg_disk_salvage(s->moved, &sink);
	if (!r)
		r = fg_disk_commit(s->disk);
	if (r) {
		fg_disk_rollback(s->disk);
		return r;
	}
	id = fg_disk_next_id(s->disk);
	if (id < 0)
		return (int)id;
	s->next_id = id;
	s->soonest_ns = 0;
	r = now_ns ? fg_store_expire(s, now_ns) : 0;
	return r < 0 ? r : 0;
}

/* --- Whose file is it? ---------------------------------------------------------------------------- */

/* @return 0 where file and folder belong together, now or ever; 1 where the file is another
 * instance's; -errno. */
static int settle_instance(struct fg_store *s, const char *dir)
{
	char beside[FG_INSTANCE_TEXT];
	int in_file = fg_disk_get_blob(s->disk, "instance", s->instance, FG_INSTANCE_TEXT - 1);
	int r = dir ? fg_instance_read(dir, beside) : -ENOENT;

	if (in_file < 0 && in_file != -EOVERFLOW)
		return in_file;
	if (r && r != -ENOENT)
		return r;
	s->instance[FG_INSTANCE_TEXT - 1] = '\0';
	if (in_file == FG_INSTANCE_TEXT - 1) {
		if (!r)
			return strcmp(beside, s->instance) != 0;
		/* a file that came alone: there is nothing it could be mixed with */
		return dir ? fg_instance_write(dir, s->instance) : 0;
	}
	if (r) {
		r = fg_instance_draw(beside);
		if (!r && dir)
			r = fg_instance_write(dir, beside);
	}
	memcpy(s->instance, beside, sizeof(beside));
	return r ? r : fg_disk_put_blob(s->disk, "instance", s->instance, FG_INSTANCE_TEXT - 1);
}

/* A new file in the place of the one that was moved to `moved`. */
static int begin_anew(const char *dir, uint64_t now_ns, const char *moved, bool foreign,
		      struct fg_store **ret_store, char *why, size_t n_why)
{
	int r = open_store(dir, now_ns, ret_store, why, n_why);

	if (r)
		return r;
	snprintf((*ret_store)->moved, sizeof((*ret_store)->moved), "%s", moved);
	(*ret_store)->aside.foreign = foreign;
	r = foreign ? 0 : salvage(*ret_store, now_ns);
	if (r) {
		snprintf(why, n_why, "%s", fg_disk_error((*ret_store)->disk));
		fg_store_close(ret_store);
	}
	return r;
}

static int set_foreign_aside(const char *dir, uint64_t now_ns, struct fg_store **ret_store,
			     char *why, size_t n_why)
{
	char moved[300] = "", suffix[32];
	int r;

	snprintf(suffix, sizeof(suffix), "foreign-%.8s", (*ret_store)->instance);
	fg_store_close(ret_store);
	r = fg_disk_move_aside(dir, suffix, moved, sizeof(moved));
	if (r) {
		snprintf(why, n_why, "%s: is another instance's, and cannot be moved aside: %s",
			 dir, strerror(-r));
		return r;
	}
	r = begin_anew(dir, now_ns, moved, true, ret_store, why, n_why);
	return r ? r : settle_instance(*ret_store, dir);
}

/* A damaged file must not keep a host blind, and another instance's must not speak for it: they go
 * aside. */
int fg_store_open(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		  size_t n_why)
{
	char moved[300] = "";
	int r = open_store(dir, now_ns, ret_store, why, n_why);

	if (r == -EUCLEAN && dir && !fg_disk_move_aside(dir, "damaged", moved, sizeof(moved)))
		r = begin_anew(dir, now_ns, moved, false, ret_store, why, n_why);
	if (r)
		return r;
	r = settle_instance(*ret_store, dir);
	if (r == 1)
		r = set_foreign_aside(dir, now_ns, ret_store, why, n_why);
	else if (r)
		snprintf(why, n_why, "%s/instance: %s; look at the rights of the folder", dir,
			 strerror(-r));
	if (r)
		fg_store_close(ret_store);
	return r;
}

void fg_store_close(struct fg_store **store)
{
	struct fg_store *s = *store;

	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	for (size_t i = 0; i < s->n_ended; i++)
		free(s->ended[i]);
	free(s->list);
	free(s->ended);
	free(s->allow);
	free(s->allow_before);
	free(s->extra_hit);
	free(s->undo);
	fg_disk_close(&s->disk);
	free(s);
	*store = NULL;
}

/* --- Reading --------------------------------------------------------------------------------- */

size_t fg_store_n(const struct fg_store *store)
{
	return store->n;
}

const struct fg_verdict *fg_store_at(const struct fg_store *store, size_t i)
{
	return &store->list[i]->v;
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

size_t fg_store_find(const struct fg_store *store, const uint8_t addr[16],
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
		e = *bucket((struct fg_store *)store, masked);
		for (; e; e = e->next)
			if (e->state == STANDING && e->v.bits == bits &&
			    !memcmp(e->v.addr, masked, 16) &&
			    fg_ip_contains(masked, (uint8_t)bits, addr, 128))
				have = insert_newest(ret, have, n, &e->v);
	}
	return have;
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
