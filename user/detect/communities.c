/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pairs are sorted by client, and by account, into rows of places (compressed sparse rows); then two
 * passes over accounts join, one over clients and one over accounts spread.
 */
#define _GNU_SOURCE
#include "detect/communities.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "detect/accounts.h"

/* Accounts that stand for a client's. Work is pairs times this, so it is halved down to the least while
 * that is more than STEPS: half a second. */
#define SAMPLE_MOST  64
#define SAMPLE_LEAST 16
#define STEPS	     (1U << 24)

/* Rows of places: those of i are at[first[i]] to at[first[i + 1] - 1]. */
struct rows {
	uint32_t *first, *at;
};

/* An account that was met, and where. */
struct met {
	uint32_t account;
	uint64_t network;
};

struct search {
	const struct fg_accounts *accounts;
	size_t n_accounts, n_clients, n_pairs;
	bool *usable; /* clients */
	uint64_t *network; /* of clients */
	bool *crowd; /* clients with too many young accounts */
	struct rows of_client,
		of_account; /* of_client: the sample, with the smallest keys, first */
	uint32_t *parent; /* of accounts: union-find */
	bool *joined; /* accounts */
	struct met *met;
	size_t sample;
};

bool fg_account_young(const struct fg_account *account)
{
	return account->age == FG_AGE_NEW || account->age == FG_AGE_DAY ||
	       account->age == FG_AGE_WEEK;
}

uint64_t fg_account_network(const struct fg_networks *networks, const uint8_t addr[16])
{
	uint32_t asn = networks ? fg_networks_find(networks, addr).asn : 0;
	uint8_t prefix[16] = { 0 };
	uint64_t words[2];

	if (asn)
		return asn;
	/* IPv4 is v4-mapped: its first two bytes are the thirteenth and fourteenth */
	memcpy(prefix, addr, addr[10] == 0xff && addr[11] == 0xff ? 14 : 4);
	memcpy(words, prefix, sizeof(words));
	return (words[0] ^ words[1]) | 1ULL << 63;
}

/* --- Rows -------------------------------------------------------------------------------------- */

static uint32_t row_n(const struct rows *r, size_t i)
{
	return r->first[i + 1] - r->first[i];
}

/* Counting sort of the pairs on usable clients. */
static int sort_pairs(const struct search *s, bool by_client, struct rows *r)
{
	size_t n = by_client ? s->n_clients : s->n_accounts;

	r->first = calloc(n + 2, sizeof(*r->first));
	r->at = calloc(s->n_pairs + 1, sizeof(*r->at));
	if (!r->first || !r->at)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_pairs; i++) {
		const struct fg_account_pair *p = fg_accounts_pair_at(s->accounts, i);

		if (s->usable[p->client])
			r->first[(by_client ? p->client : p->account) + 2]++;
	}
	for (size_t i = 2; i < n + 2; i++)
		r->first[i] += r->first[i - 1];
	for (size_t i = 0; i < s->n_pairs; i++) {
		const struct fg_account_pair *p = fg_accounts_pair_at(s->accounts, i);

		if (s->usable[p->client])
			r->at[r->first[(by_client ? p->client : p->account) + 1]++] =
				by_client ? p->account : p->client;
	}
	return 0;
}

static int by_key(const void *a, const void *b, void *arg)
{
	uint64_t x = fg_accounts_at(arg, *(const uint32_t *)a)->key;
	uint64_t y = fg_accounts_at(arg, *(const uint32_t *)b)->key;

	return x < y ? -1 : x > y;
}

/* Only where not all accounts stand for the client. */
static void sort_by_key(const struct search *s)
{
	for (size_t c = 0; c < s->n_clients; c++)
		if (row_n(&s->of_client, c) > s->sample)
			qsort_r(s->of_client.at + s->of_client.first[c], row_n(&s->of_client, c),
				sizeof(uint32_t), by_key, (void *)s->accounts);
}

static uint32_t sample_n(const struct search *s, uint32_t client)
{
	uint32_t n = row_n(&s->of_client, client);

	return n < s->sample ? n : (uint32_t)s->sample;
}

/* Does one of a client's accounts stand for it? */
static bool stands(const struct search *s, uint32_t account, uint32_t client)
{
	uint32_t last = s->of_client.first[client] + sample_n(s, client) - 1;

	return row_n(&s->of_client, client) <= s->sample ||
	       fg_accounts_at(s->accounts, account)->key <=
		       fg_accounts_at(s->accounts, s->of_client.at[last])->key;
}

/* As many accounts stand for a client as can be gone through. */
static void choose_sample(struct search *s)
{
	uint64_t steps;

	s->sample = 2 * SAMPLE_MOST;
	do {
		s->sample /= 2;
		steps = 0;
		for (size_t c = 0; c < s->n_clients; c++)
			steps += (uint64_t)row_n(&s->of_client, c) * sample_n(s, (uint32_t)c);
	} while (steps > STEPS && s->sample > SAMPLE_LEAST);
}

/* --- Joining ----------------------------------------------------------------------------------- */

static uint32_t root(struct search *s, uint32_t i)
{
	while (s->parent[i] != i) {
		s->parent[i] = s->parent[s->parent[i]];
		i = s->parent[i];
	}
	return i;
}

/* The smaller key is the root: it names the community. */
static void join(struct search *s, uint32_t a, uint32_t b)
{
	s->joined[a] = s->joined[b] = true;
	a = root(s, a);
	b = root(s, b);
	if (fg_accounts_at(s->accounts, a)->key < fg_accounts_at(s->accounts, b)->key)
		s->parent[b] = a;
	else
		s->parent[a] = b;
}

static int by_account_and_network(const void *a, const void *b)
{
	const struct met *x = a, *y = b;

	if (x->account != y->account)
		return x->account < y->account ? -1 : 1;
	return x->network < y->network ? -1 : x->network > y->network;
}

/* Whom an account met where both stand, each pair from the side of the smaller place. */
static size_t meet(struct search *s, uint32_t account)
{
	size_t n = 0;

	for (uint32_t i = s->of_account.first[account]; i < s->of_account.first[account + 1]; i++) {
		uint32_t client = s->of_account.at[i];
		const uint32_t *at = s->of_client.at + s->of_client.first[client];
		uint32_t others = stands(s, account, client) ? sample_n(s, client) : 0;

		for (uint32_t k = 0; k < others; k++)
			if (at[k] > account)
				s->met[n++] = (struct met){ at[k], s->network[client] };
	}
	return n;
}

static void join_account(struct search *s, uint32_t account)
{
	size_t n = meet(s, account);

	qsort(s->met, n, sizeof(*s->met), by_account_and_network);
	for (size_t i = 0; i < n;) {
		uint32_t other = s->met[i].account;
		unsigned int networks = 0;

		for (uint64_t last = 0; i < n && s->met[i].account == other; i++) {
			networks += !networks || s->met[i].network != last;
			last = s->met[i].network;
		}
		if (networks >= FG_COMMUNITY_NETWORKS)
			join(s, account, other);
	}
}

static int join_all(struct search *s)
{
	size_t most = 0;

	for (size_t a = 0; a < s->n_accounts; a++) {
		uint32_t n = row_n(&s->of_account, a);

		most = n > most ? n : most;
	}
	s->met = calloc(most * s->sample + 1, sizeof(*s->met));
	if (!s->met)
		return -ENOMEM;
	for (uint32_t a = 0; a < s->n_accounts; a++)
		if (row_n(&s->of_account, a) >= FG_COMMUNITY_NETWORKS)
			join_account(s, a);
	return 0;
}

/* --- Rovers ------------------------------------------------------------------------------------ */

/* Share of young accounts among all whose age is known. */
static double young_share(const struct search *s)
{
	size_t known = 0, young = 0;

	for (size_t i = 0; i < s->n_accounts; i++) {
		const struct fg_account *a = fg_accounts_at(s->accounts, i);

		known += a->age != FG_AGE_UNKNOWN;
		young += fg_account_young(a);
	}
	return ((double)young + 1) / ((double)known + 1);
}

static void find_crowds(struct search *s)
{
	double share = young_share(s);

	for (size_t c = 0; c < s->n_clients; c++) {
		uint32_t known = 0, young = 0;

		for (uint32_t i = s->of_client.first[c]; i < s->of_client.first[c + 1]; i++) {
			const struct fg_account *a =
				fg_accounts_at(s->accounts, s->of_client.at[i]);

			known += a->age != FG_AGE_UNKNOWN;
			young += fg_account_young(a);
		}
		s->crowd[c] = young >= FG_ACCOUNTS_LEAST &&
			      fg_accounts_excess_nats(young, known, share) >= FG_FAMILY_CAP_NATS;
	}
}

/* Was the account on crowds in enough networks? */
static bool roves(const struct search *s, uint32_t account)
{
	uint64_t seen[FG_COMMUNITY_NETWORKS];
	size_t n = 0;

	for (uint32_t i = s->of_account.first[account];
	     i < s->of_account.first[account + 1] && n < FG_COMMUNITY_NETWORKS; i++) {
		uint32_t client = s->of_account.at[i];
		size_t k = 0;

		if (!s->crowd[client])
			continue;
		while (k < n && seen[k] != s->network[client])
			k++;
		if (k == n)
			seen[n++] = s->network[client];
	}
	return n == FG_COMMUNITY_NETWORKS;
}

/* Each crowd joins the rovers that were on it. */
static int join_rovers(struct search *s)
{
	uint32_t *on = calloc(s->n_clients + 1, sizeof(*on)); /* a rover there, plus 1 */

	if (!on)
		return -ENOMEM;
	find_crowds(s);
	for (uint32_t a = 0; a < s->n_accounts; a++) {
		if (!roves(s, a))
			continue;
		for (uint32_t i = s->of_account.first[a]; i < s->of_account.first[a + 1]; i++) {
			uint32_t client = s->of_account.at[i];

			if (!s->crowd[client])
				continue;
			if (on[client])
				join(s, on[client] - 1, a);
			on[client] = a + 1;
		}
	}
	free(on);
	return 0;
}

/* --- Members ----------------------------------------------------------------------------------- */

/* The community that most of a client's joined accounts are of, by its root account; with how many. */
static uint32_t most_of(struct search *s, uint32_t client, uint32_t *ret_n)
{
	uint32_t best = FG_NO_COMMUNITY;

	*ret_n = 0;
	/* a majority vote (Boyer and Moore 1981): only a majority is asked for */
	for (uint32_t i = s->of_client.first[client]; i < s->of_client.first[client + 1]; i++) {
		uint32_t account = s->of_client.at[i], of;

		if (!s->joined[account])
			continue;
		of = root(s, account);
		if (!*ret_n)
			best = of;
		*ret_n += of == best ? 1 : -1U;
	}
	*ret_n = 0;
	for (uint32_t i = s->of_client.first[client]; i < s->of_client.first[client + 1]; i++) {
		uint32_t account = s->of_client.at[i];

		*ret_n += s->joined[account] && root(s, account) == best;
	}
	return best;
}

static void assign_clients(struct search *s, struct fg_communities *c)
{
	for (uint32_t i = 0; i < s->n_clients; i++) {
		uint32_t n, of = most_of(s, i, &n);

		c->of_client[i] = n >= 2 ? of : FG_NO_COMMUNITY;
	}
}

/* The community on whose clients an account was in enough networks; the one of its first such client. */
static uint32_t community_of(const struct search *s, const struct fg_communities *c,
			     uint32_t account)
{
	uint64_t seen[FG_COMMUNITY_NETWORKS];
	uint32_t of = FG_NO_COMMUNITY;
	size_t n = 0;

	for (uint32_t i = s->of_account.first[account]; i < s->of_account.first[account + 1]; i++) {
		uint32_t client = s->of_account.at[i];
		size_t k = 0;

		if (c->of_client[client] == FG_NO_COMMUNITY || (n && c->of_client[client] != of))
			continue;
		while (k < n && seen[k] != s->network[client])
			k++;
		of = c->of_client[client];
		if (k == n)
			seen[n++] = s->network[client];
		if (n == FG_COMMUNITY_NETWORKS)
			return of;
	}
	return FG_NO_COMMUNITY;
}

static void assign_accounts(struct search *s, struct fg_communities *c)
{
	for (uint32_t i = 0; i < s->n_accounts; i++)
		c->of_account[i] = s->joined[i] ? root(s, i) : community_of(s, c, i);
}

/* A client whose other accounts are more than the community's belongs to its own. */
static void part_clients(struct search *s, struct fg_communities *c)
{
	for (uint32_t i = 0; i < s->n_clients; i++) {
		uint32_t n = 0;

		for (uint32_t k = s->of_client.first[i]; k < s->of_client.first[i + 1]; k++)
			n += c->of_account[s->of_client.at[k]] == c->of_client[i];
		if (n < FG_COMMUNITY_OWN * row_n(&s->of_client, i))
			c->of_client[i] = FG_NO_COMMUNITY;
	}
}

/* --- Counting ---------------------------------------------------------------------------------- */

/* Roots with enough accounts become places in the list; everybody else has none. */
static int number(struct search *s, struct fg_communities *c)
{
	uint32_t *size = calloc(s->n_accounts + 1, sizeof(*size));

	if (!size)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_accounts; i++)
		if (c->of_account[i] != FG_NO_COMMUNITY)
			size[c->of_account[i]]++;
	for (size_t i = 0; i < s->n_accounts; i++)
		c->n += size[i] >= FG_COMMUNITY_ACCOUNTS;
	c->list = calloc(c->n + 1, sizeof(*c->list));
	c->n = 0;
	for (size_t i = 0; c->list && i < s->n_accounts; i++) {
		uint64_t key = fg_accounts_at(s->accounts, i)->key;

		if (size[i] >= FG_COMMUNITY_ACCOUNTS) {
			c->list[c->n].id = FG_COMMUNITY | (uint32_t)(key >> 33);
			size[i] = (uint32_t)c->n++;
		} else {
			size[i] = FG_NO_COMMUNITY;
		}
	}
	for (size_t i = 0; i < s->n_accounts; i++)
		if (c->of_account[i] != FG_NO_COMMUNITY)
			c->of_account[i] = size[c->of_account[i]];
	for (size_t i = 0; i < s->n_clients; i++)
		if (c->of_client[i] != FG_NO_COMMUNITY)
			c->of_client[i] = size[c->of_client[i]];
	free(size);
	return c->list ? 0 : -ENOMEM;
}

static void count_accounts(const struct search *s, struct fg_communities *c)
{
	for (size_t i = 0; i < s->n_accounts; i++) {
		const struct fg_account *a = fg_accounts_at(s->accounts, i);
		bool known = a->age != FG_AGE_UNKNOWN, young = fg_account_young(a);

		if (c->of_account[i] != FG_NO_COMMUNITY) {
			struct fg_community *of = &c->list[c->of_account[i]];

			of->accounts++;
			of->known += known;
			of->young += young;
			of->banned += a->banned_ns != 0;
		} else {
			c->others++;
			c->others_joined += s->joined[i];
			c->others_known += known;
			c->others_young += young;
			c->others_banned += a->banned_ns != 0;
		}
	}
}

struct place {
	uint32_t community;
	uint64_t network;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->community != y->community)
		return x->community < y->community ? -1 : 1;
	return x->network < y->network ? -1 : x->network > y->network;
}

static int count_clients(const struct search *s, struct fg_communities *c)
{
	struct place *places = calloc(s->n_clients + 1, sizeof(*places));
	size_t n = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_clients; i++) {
		if (c->of_client[i] == FG_NO_COMMUNITY)
			continue;
		c->list[c->of_client[i]].clients++;
		places[n++] = (struct place){ c->of_client[i], s->network[i] };
	}
	qsort(places, n, sizeof(*places), by_place);
	for (size_t i = 0; i < n; i++)
		if (!i || by_place(&places[i], &places[i - 1]))
			c->list[places[i].community].networks++;
	free(places);
	return 0;
}

/* --- All of it --------------------------------------------------------------------------------- */

static int open_search(struct search *s, struct fg_communities *c)
{
	s->n_accounts = fg_accounts_n(s->accounts);
	s->n_clients = fg_accounts_n_clients(s->accounts);
	s->n_pairs = fg_accounts_n_pairs(s->accounts);
	s->usable = calloc(s->n_clients + 1, sizeof(*s->usable));
	s->network = calloc(s->n_clients + 1, sizeof(*s->network));
	s->crowd = calloc(s->n_clients + 1, sizeof(*s->crowd));
	s->parent = calloc(s->n_accounts + 1, sizeof(*s->parent));
	s->joined = calloc(s->n_accounts + 1, sizeof(*s->joined));
	c->of_account = calloc(s->n_accounts + 1, sizeof(*c->of_account));
	c->of_client = calloc(s->n_clients + 1, sizeof(*c->of_client));
	if (!s->usable || !s->network || !s->crowd || !s->parent || !s->joined || !c->of_account ||
	    !c->of_client)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_accounts; i++)
		s->parent[i] = (uint32_t)i;
	return 0;
}

static void close_search(struct search *s)
{
	free(s->usable);
	free(s->network);
	free(s->crowd);
	free(s->parent);
	free(s->joined);
	free(s->met);
	free(s->of_client.first);
	free(s->of_client.at);
	free(s->of_account.first);
	free(s->of_account.at);
}

static void choose_clients(struct search *s, const struct fg_scene *scene,
			   const struct fg_detect_conf *conf)
{
	for (size_t i = 0; i < s->n_clients; i++) {
		const struct fg_account_client *c = fg_accounts_client_at(s->accounts, i);
		const struct fg_model_source *source = fg_model_source_find(scene->model, c->addr);

		s->network[i] = fg_account_network(scene->networks, c->addr);
		s->usable[i] = c->accounts >= 2 && c->accounts < FG_ACCOUNTS_MAX_EDGES &&
			       !(source &&
				 fg_model_shared(scene->model, source, conf->shared_stems).shared);
	}
}

int fg_communities_find(const struct fg_scene *scene, const struct fg_detect_conf *conf,
			struct fg_communities *ret)
{
	struct search s = { .accounts = scene->accounts };
	struct fg_communities c = { 0 };
	int r = open_search(&s, &c);

	if (!r) {
		choose_clients(&s, scene, conf);
		r = sort_pairs(&s, true, &s.of_client);
	}
	if (!r)
		r = sort_pairs(&s, false, &s.of_account);
	if (!r) {
		choose_sample(&s);
		sort_by_key(&s);
		r = join_all(&s);
	}
	if (!r)
		r = join_rovers(&s);
	if (!r) {
		assign_clients(&s, &c);
		assign_accounts(&s, &c);
		part_clients(&s, &c);
		r = number(&s, &c);
	}
	if (!r) {
		count_accounts(&s, &c);
		r = count_clients(&s, &c);
	}
	close_search(&s);
	if (r)
		fg_communities_done(&c);
	*ret = c;
	return r;
}

void fg_communities_done(struct fg_communities *c)
{
	free(c->list);
	free(c->of_account);
	free(c->of_client);
	*c = (struct fg_communities){ 0 };
}
