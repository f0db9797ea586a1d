/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rows lie in dense arrays that grow by doubling up to their cap; open-addressing indexes of places
 * find them. Nothing is removed one by one: forgetting writes the tables anew without what is old.
 */
#include "model/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hash.h"

#define S_NS 1000000000ULL
/* Old rows are looked for this often: what is kept for a day is kept for ten minutes more at most. */
#define FORGET_S 600
/* ... and where there is no room, at most this often. */
#define FORGET_FULL_S 60
#define JUDGE_S	      60
#define FIRST_ROWS    256U
#define NONE	      UINT32_MAX

struct index {
	uint32_t *slots; /* place + 1; 0 = free */
	uint32_t mask;
};

enum kind {
	ACCOUNT,
	CLIENT,
	PAIR,
	_KIND_MAX
};

/* One table; row bytes by kind. */
struct table {
	void *rows;
	uint32_t n, cap, max;
	struct index index;
};

struct fg_accounts {
	struct table t[_KIND_MAX];
	uint64_t now_ns, began_ns;
	uint64_t forgot_s; /* when old rows were last looked for */
	uint64_t judged; /* number of the minute */
	bool due;
	struct fg_accounts_refused refused;
	uint64_t outcomes[_FG_ACCOUNT_OUTCOME_MAX];
};

static const size_t row_bytes[_KIND_MAX] = {
	[ACCOUNT] = sizeof(struct fg_account),
	[CLIENT] = sizeof(struct fg_account_client),
	[PAIR] = sizeof(struct fg_account_pair),
};

const struct fg_accounts_limits fg_accounts_defaults = {
	.accounts = FG_ACCOUNTS_MAX,
	.clients = FG_ACCOUNTS_MAX_CLIENTS,
	.pairs = FG_ACCOUNTS_MAX_PAIRS,
};

static const char *const outcome_names[_FG_ACCOUNT_OUTCOME_MAX] = {
	[FG_ACCOUNT_OK] = "ok",
	[FG_ACCOUNT_REFUSED] = "refused",
	[FG_ACCOUNT_LIMITED] = "limited",
	[FG_ACCOUNT_BANNED] = "banned",
};
static const char *const age_names[_FG_AGE_MAX] = {
	[FG_AGE_UNKNOWN] = "unknown", [FG_AGE_NEW] = "new",	[FG_AGE_DAY] = "day",
	[FG_AGE_WEEK] = "week",	      [FG_AGE_MONTH] = "month", [FG_AGE_OLD] = "old",
};

const char *fg_account_outcome_name(enum fg_account_outcome outcome)
{
	return (unsigned int)outcome < _FG_ACCOUNT_OUTCOME_MAX ? outcome_names[outcome] : "?";
}

const char *fg_account_age_name(enum fg_account_age age)
{
	return (unsigned int)age < _FG_AGE_MAX ? age_names[age] : "?";
}

/* --- Rows and indexes -------------------------------------------------------------------------- */

static struct fg_account *account_at(const struct fg_accounts *a, uint32_t i)
{
	return (struct fg_account *)a->t[ACCOUNT].rows + i;
}

static struct fg_account_client *client_at(const struct fg_accounts *a, uint32_t i)
{
	return (struct fg_account_client *)a->t[CLIENT].rows + i;
}

static struct fg_account_pair *pair_at(const struct fg_accounts *a, uint32_t i)
{
	return (struct fg_account_pair *)a->t[PAIR].rows + i;
}

/* Keys of accounts are keyed hashes already, and clients come from the tables of proven connections:
 * the words are mixed so that they spread, not to keep a stranger out. */
static uint64_t hash_words(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return fg_mix_end(fg_mix(fg_mix(fg_mix(fg_mix(1, a, 0), b, 1), c, 2), d, 3), 4);
}

static uint64_t hash_client(const uint8_t addr[16], uint64_t stem, uint64_t stack)
{
	uint64_t words[2];

	memcpy(words, addr, sizeof(words));
	return hash_words(words[0], words[1], stem, stack);
}

static uint64_t hash_row(const struct fg_accounts *a, enum kind kind, uint32_t at)
{
	if (kind == ACCOUNT)
		return hash_words(account_at(a, at)->key, 0, 0, 0);
	if (kind == CLIENT)
		return hash_client(client_at(a, at)->addr, client_at(a, at)->stem,
				   client_at(a, at)->stack);
	return hash_words(pair_at(a, at)->account, pair_at(a, at)->client, 0, 0);
}

static void index_put(struct index *ix, uint64_t hash, uint32_t at)
{
	uint32_t i = (uint32_t)hash & ix->mask;

	while (ix->slots[i])
		i = (i + 1) & ix->mask;
	ix->slots[i] = at + 1;
}

/* Half full at most. */
static int index_fill(const struct fg_accounts *a, enum kind kind, uint32_t cap)
{
	struct index fresh = { .mask = 2 * FIRST_ROWS - 1 };

	while (fresh.mask < 2 * cap - 1)
		fresh.mask = 2 * fresh.mask + 1;
	fresh.slots = calloc((size_t)fresh.mask + 1, sizeof(*fresh.slots));
	if (!fresh.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->t[kind].n; i++)
		index_put(&fresh, hash_row(a, kind, i), i);
	free(a->t[kind].index.slots);
	((struct fg_accounts *)a)->t[kind].index = fresh;
	return 0;
}

/* Room for one more row. @return 0, -ENOSPC, -ENOMEM. */
static int reserve(struct fg_accounts *a, enum kind kind)
{
	struct table *t = &a->t[kind];
	uint32_t cap = t->cap ? 2 * t->cap : FIRST_ROWS;
	void *rows;

	if (t->n >= t->max)
		return -ENOSPC;
	if (t->n < t->cap)
		return 0;
	cap = cap < t->max ? cap : t->max;
	rows = reallocarray(t->rows, cap, row_bytes[kind]);
	if (!rows)
		return -ENOMEM;
	t->rows = rows;
	if (index_fill(a, kind, cap))
		return -ENOMEM;
	t->cap = cap;
	return 0;
}

static uint32_t find_account(const struct fg_accounts *a, uint64_t key)
{
	const struct index *ix = &a->t[ACCOUNT].index;
	uint32_t i = (uint32_t)hash_words(key, 0, 0, 0) & ix->mask;

	for (; ix->slots && ix->slots[i]; i = (i + 1) & ix->mask)
		if (account_at(a, ix->slots[i] - 1)->key == key)
			return ix->slots[i] - 1;
	return NONE;
}

static uint32_t find_client(const struct fg_accounts *a, const uint8_t addr[16], uint64_t stem,
			    uint64_t stack)
{
	const struct index *ix = &a->t[CLIENT].index;
	uint32_t i = (uint32_t)hash_client(addr, stem, stack) & ix->mask;

	for (; ix->slots && ix->slots[i]; i = (i + 1) & ix->mask) {
		const struct fg_account_client *c = client_at(a, ix->slots[i] - 1);

		if (c->stem == stem && c->stack == stack && !memcmp(c->addr, addr, 16))
			return ix->slots[i] - 1;
	}
	return NONE;
}

static uint32_t find_pair(const struct fg_accounts *a, uint32_t account, uint32_t client)
{
	const struct index *ix = &a->t[PAIR].index;
	uint32_t i = (uint32_t)hash_words(account, client, 0, 0) & ix->mask;

	for (; ix->slots && ix->slots[i]; i = (i + 1) & ix->mask) {
		const struct fg_account_pair *p = pair_at(a, ix->slots[i] - 1);

		if (p->account == account && p->client == client)
			return ix->slots[i] - 1;
	}
	return NONE;
}

/* A row at the end; there is room. */
static uint32_t add_row(struct fg_accounts *a, enum kind kind, const void *row)
{
	struct table *t = &a->t[kind];

	memcpy((char *)t->rows + t->n * row_bytes[kind], row, row_bytes[kind]);
	index_put(&t->index, hash_row(a, kind, t->n), t->n);
	return t->n++;
}

/* --- Life -------------------------------------------------------------------------------------- */

int fg_accounts_new(const struct fg_accounts_limits *limits, struct fg_accounts **ret_accounts)
{
	struct fg_accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	if (!limits)
		limits = &fg_accounts_defaults;
	a->t[ACCOUNT].max = limits->accounts;
	a->t[CLIENT].max = limits->clients;
	a->t[PAIR].max = limits->pairs;
	*ret_accounts = a;
	return 0;
}

void fg_accounts_free(struct fg_accounts **accounts)
{
	struct fg_accounts *a = *accounts;

	if (!a)
		return;
	for (int kind = 0; kind < _KIND_MAX; kind++) {
		free(a->t[kind].rows);
		free(a->t[kind].index.slots);
	}
	free(a);
	*accounts = NULL;
}

/* --- Forgetting -------------------------------------------------------------------------------- */

static bool is_old(const struct fg_accounts *a, uint64_t then_s)
{
	return then_s + FG_ACCOUNTS_KEEP_S < a->now_ns / S_NS;
}

/* Where each row goes, NONE where it goes nowhere. */
static void plan(const struct fg_accounts *a, enum kind kind, uint32_t *to)
{
	uint32_t next = 0;

	for (uint32_t i = 0; i < a->t[kind].n; i++) {
		uint64_t last_ns = kind == ACCOUNT ? account_at(a, i)->last_ns :
						     client_at(a, i)->last_ns;

		to[i] = is_old(a, last_ns / S_NS) ? NONE : next++;
	}
}

static void move_accounts(struct fg_accounts *a, const uint32_t *to, const uint32_t *client_to)
{
	uint32_t n = a->t[ACCOUNT].n;

	a->t[ACCOUNT].n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct fg_account row = *account_at(a, i);

		if (to[i] == NONE)
			continue;
		row.clients = 0;
		row.first_client = row.first_client == NONE ? NONE : client_to[row.first_client];
		row.banned_client = row.banned_client == NONE ? NONE : client_to[row.banned_client];
		if (is_old(a, row.banned_ns / S_NS))
			row.banned_ns = 0;
		*account_at(a, a->t[ACCOUNT].n++) = row;
	}
}

static void move_clients(struct fg_accounts *a, const uint32_t *to)
{
	uint32_t n = a->t[CLIENT].n;

	a->t[CLIENT].n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct fg_account_client row = *client_at(a, i);

		if (to[i] == NONE)
			continue;
		row.accounts = 0;
		*client_at(a, a->t[CLIENT].n++) = row;
	}
}

/* An account or client is as young as its youngest pair, so no pair outlives either. */
static void move_pairs(struct fg_accounts *a, const uint32_t *account_to, const uint32_t *client_to)
{
	uint32_t n = a->t[PAIR].n;

	a->t[PAIR].n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct fg_account_pair row = *pair_at(a, i);

		if (is_old(a, row.last_s))
			continue;
		row.account = account_to[row.account];
		row.client = client_to[row.client];
		account_at(a, row.account)->clients++;
		client_at(a, row.client)->accounts++;
		*pair_at(a, a->t[PAIR].n++) = row;
	}
}

/* Indexes keep their size, so writing them anew needs no memory. */
static void reindex(struct fg_accounts *a)
{
	for (int kind = 0; kind < _KIND_MAX; kind++) {
		struct index *ix = &a->t[kind].index;

		if (!ix->slots)
			continue;
		memset(ix->slots, 0, ((size_t)ix->mask + 1) * sizeof(*ix->slots));
		for (uint32_t i = 0; i < a->t[kind].n; i++)
			index_put(ix, hash_row(a, (enum kind)kind, i), i);
	}
}

/* Without memory for the plan everything stays until the next time. */
static void forget(struct fg_accounts *a)
{
	uint32_t *account_to = calloc((size_t)a->t[ACCOUNT].n + 1, sizeof(*account_to));
	uint32_t *client_to = calloc((size_t)a->t[CLIENT].n + 1, sizeof(*client_to));

	a->forgot_s = a->now_ns / S_NS;
	if (account_to && client_to) {
		plan(a, ACCOUNT, account_to);
		plan(a, CLIENT, client_to);
		move_accounts(a, account_to, client_to);
		move_clients(a, client_to);
		move_pairs(a, account_to, client_to);
		reindex(a);
	}
	free(account_to);
	free(client_to);
}

/* --- Adding ------------------------------------------------------------------------------------ */

/* Rows of one message; NONE where there is none yet. */
struct places {
	uint32_t account, client, pair;
	bool crowded; /* and gets no pair */
};

static void find_places(const struct fg_accounts *a, const struct fg_account_push *p,
			struct places *at)
{
	at->account = find_account(a, p->key);
	at->client = find_client(a, p->source, p->stem, p->stack);
	at->pair = at->account != NONE && at->client != NONE ?
			   find_pair(a, at->account, at->client) :
			   NONE;
	at->crowded = at->pair == NONE &&
		      ((at->account != NONE &&
			account_at(a, at->account)->clients >= FG_ACCOUNTS_MAX_EDGES) ||
		       (at->client != NONE &&
			client_at(a, at->client)->accounts >= FG_ACCOUNTS_MAX_EDGES));
}

/* Room for all that is missing, before anything is changed; ret_refused is what there is none for. */
static int reserve_all(struct fg_accounts *a, const struct places *at, uint64_t **ret_refused)
{
	const struct {
		bool missing;
		uint64_t *refused;
	} kinds[_KIND_MAX] = {
		[ACCOUNT] = { at->account == NONE, &a->refused.accounts },
		[CLIENT] = { at->client == NONE, &a->refused.clients },
		[PAIR] = { at->pair == NONE && !at->crowded, &a->refused.pairs },
	};

	for (int kind = 0; kind < _KIND_MAX; kind++) {
		int r = kinds[kind].missing ? reserve(a, (enum kind)kind) : 0;

		*ret_refused = kinds[kind].refused;
		if (r)
			return r;
	}
	return 0;
}

static void make_rows(struct fg_accounts *a, const struct fg_account_push *p, struct places *at)
{
	struct fg_account account = { .key = p->key,
				      .first_ns = a->now_ns,
				      .first_client = NONE,
				      .banned_client = NONE,
				      .came_new = p->age == FG_AGE_NEW };
	struct fg_account_client client = { .stem = p->stem, .stack = p->stack };
	struct fg_account_pair pair;

	memcpy(client.addr, p->source, sizeof(client.addr));
	if (at->client == NONE)
		at->client = add_row(a, CLIENT, &client);
	account.first_client = at->client;
	if (at->account == NONE)
		at->account = add_row(a, ACCOUNT, &account);
	if (at->crowded) {
		a->refused.crowded++;
		return;
	}
	if (at->pair != NONE)
		return;
	pair = (struct fg_account_pair){ .account = at->account, .client = at->client };
	at->pair = add_row(a, PAIR, &pair);
	account_at(a, at->account)->clients++;
	client_at(a, at->client)->accounts++;
}

static void note(struct fg_accounts *a, const struct fg_account_push *p, const struct places *at)
{
	struct fg_account *account = account_at(a, at->account);

	account->last_ns = a->now_ns;
	client_at(a, at->client)->last_ns = a->now_ns;
	if (at->pair != NONE)
		pair_at(a, at->pair)->last_s = (uint32_t)(a->now_ns / S_NS);
	if (p->age != FG_AGE_UNKNOWN)
		account->age = (uint8_t)p->age;
	/* told again and again of a banned account that goes on trying: the first time is the ban */
	if (p->outcome == FG_ACCOUNT_BANNED && !account->banned_ns) {
		account->banned_ns = a->now_ns;
		account->banned_client = at->client;
	}
	a->outcomes[p->outcome]++;
}

int fg_accounts_push(struct fg_accounts *a, const struct fg_account_push *p, uint64_t now_ns)
{
	uint64_t *refused;
	struct places at;
	int r;

	if (now_ns > a->now_ns)
		a->now_ns = now_ns;
	find_places(a, p, &at);
	r = reserve_all(a, &at, &refused);
	if (r == -ENOSPC && a->now_ns / S_NS >= a->forgot_s + FORGET_FULL_S) {
		forget(a);
		find_places(a, p, &at);
		r = reserve_all(a, &at, &refused);
	}
	if (r) {
		++*refused;
		return r;
	}
	if (!a->began_ns)
		a->began_ns = a->now_ns;
	make_rows(a, p, &at);
	note(a, p, &at);
	return 0;
}

void fg_accounts_epoch(struct fg_accounts *a, uint64_t now_ns)
{
	uint64_t minute = now_ns / S_NS / JUDGE_S;

	if (now_ns > a->now_ns)
		a->now_ns = now_ns;
	a->due = minute != a->judged;
	a->judged = minute;
	if (a->now_ns / S_NS >= a->forgot_s + FORGET_S)
		forget(a);
}

/* --- Reading ----------------------------------------------------------------------------------- */

bool fg_accounts_due(const struct fg_accounts *a)
{
	return a->due;
}

uint64_t fg_accounts_now_ns(const struct fg_accounts *a)
{
	return a->now_ns;
}

uint64_t fg_accounts_began_ns(const struct fg_accounts *a)
{
	return a->began_ns;
}

size_t fg_accounts_n(const struct fg_accounts *a)
{
	return a->t[ACCOUNT].n;
}

size_t fg_accounts_n_clients(const struct fg_accounts *a)
{
	return a->t[CLIENT].n;
}

size_t fg_accounts_n_pairs(const struct fg_accounts *a)
{
	return a->t[PAIR].n;
}

const struct fg_account *fg_accounts_at(const struct fg_accounts *a, size_t i)
{
	return account_at(a, (uint32_t)i);
}

const struct fg_account_client *fg_accounts_client_at(const struct fg_accounts *a, size_t i)
{
	return client_at(a, (uint32_t)i);
}

const struct fg_account_pair *fg_accounts_pair_at(const struct fg_accounts *a, size_t i)
{
	return pair_at(a, (uint32_t)i);
}

const struct fg_account *fg_accounts_find(const struct fg_accounts *a, uint64_t key)
{
	uint32_t at = find_account(a, key);

	return at == NONE ? NULL : account_at(a, at);
}

struct fg_accounts_refused fg_accounts_refused(const struct fg_accounts *a)
{
	return a->refused;
}

const uint64_t *fg_accounts_outcomes(const struct fg_accounts *a)
{
	return a->outcomes;
}
