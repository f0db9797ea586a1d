/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model/accounts.c, and detect/accounts.c over what it holds: small farms that must be found, and the
 * families, offices, gateways and fleets that look a little like them and must stay quiet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "detect/accounts.h"
#include "detect/communities.h"
#include "detect/detect.h"
#include "detect/replacement.h"
#include "packet.h"

#define S     1000000000ULL
#define M     (60 * S)
#define H     (60 * M)
#define NOW   (1795435200 * S)
#define STEM  100
#define STACK 7
#define KEEP  4096

static struct fg_model *model;
static struct fg_accounts *accounts;
static struct fg_prng prng;

static struct {
	struct fg_finding list[KEEP];
	size_t n;
} found;

static int keep(const struct fg_finding *f, void *arg)
{
	(void)arg;
	assert_true(found.n < KEEP);
	found.list[found.n++] = *f;
	return 0;
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = 20000, .clients = 40000, .fingerprints = 100, .window_ns = 60 * S
	};

	(void)state;
	found.n = 0;
	prng.state = 1;
	return fg_model_new(&limits, &model) || fg_accounts_new(NULL, &accounts);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&model);
	fg_accounts_free(&accounts);
	return 0;
}

/* An address of one /16 by network, or a client of it. */
static void address(uint32_t network, uint32_t host, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	ret_addr[10] = ret_addr[11] = 0xff;
	ret_addr[12] = (uint8_t)(20 + network / 256);
	ret_addr[13] = (uint8_t)network;
	ret_addr[14] = (uint8_t)(host >> 8);
	ret_addr[15] = (uint8_t)host;
}

/* The source connects with so many stems, STEM the first. */
static void connect_source(uint32_t network, uint32_t host, uint32_t stems)
{
	struct fg_epoch_source source = { .connections = stems, .proven = stems, .hellos = stems };
	struct fg_epoch_client clients[16];
	struct fg_epoch e = { .start_ns = NOW - S,
			      .end_ns = NOW,
			      .sources = &source,
			      .n_sources = 1,
			      .clients = clients,
			      .n_clients = stems };

	address(network, host, source.addr);
	for (uint32_t k = 0; k < stems; k++) {
		clients[k] = (struct fg_epoch_client){
			.stem = STEM + k, .stack = STACK, .print = 500 + k, .connections = 1
		};
		memcpy(clients[k].addr, source.addr, 16);
	}
	assert_int_equal(fg_model_apply(model, &e), 0);
}

/* Keys of accounts are hashes: small numbers must not lie in order. */
static uint64_t key_of(uint64_t account)
{
	return (account + 1) * 0x9e3779b97f4a7c15ULL;
}

static int push_full(uint64_t account, uint32_t network, uint32_t host,
		     enum fg_account_outcome outcome, enum fg_account_age age, uint64_t now_ns)
{
	struct fg_account_push p = {
		.key = key_of(account), .stem = STEM, .stack = STACK, .outcome = outcome, .age = age
	};

	address(network, host, p.source);
	return fg_accounts_push(accounts, &p, now_ns);
}

static void push(uint64_t account, uint32_t network, uint32_t host, enum fg_account_age age)
{
	assert_int_equal(push_full(account, network, host, FG_ACCOUNT_OK, age, NOW - H), 0);
}

/* Homes of one or two accounts, a tenth of them young: numbers from 1,000,000, networks from 200. */
static void population(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t network = 200 + i % 40, host = i;
		bool young = i % 10 == 0;

		connect_source(network, host, 1);
		push(1000000 + i, network, host, young ? FG_AGE_WEEK : FG_AGE_OLD);
		if (i % 2)
			push(2000000 + i, network, host, FG_AGE_OLD);
	}
}

static size_t judge(const struct fg_networks *networks)
{
	const struct fg_scene scene = { .model = model,
					.accounts = accounts,
					.networks = networks };

	found.n = 0;
	fg_accounts_epoch(accounts, NOW - M);
	fg_accounts_epoch(accounts, NOW);
	assert_true(fg_accounts_due(accounts));
	assert_int_equal(fg_detect_accounts.run(&scene, &fg_detect_defaults, keep, NULL), 0);
	/* and not again in this minute */
	fg_accounts_epoch(accounts, NOW + S);
	assert_false(fg_accounts_due(accounts));
	return found.n;
}

/* --- The tables ------------------------------------------------------------------------------- */

static void test_accounts_count_both_ways(void **state)
{
	const struct fg_account *a;

	(void)state;
	for (int twice = 0; twice < 2; twice++)
		for (uint32_t account = 0; account < 10; account++)
			for (uint32_t host = 0; host <= account; host++)
				push(account, 1, host, FG_AGE_OLD);
	assert_int_equal(fg_accounts_n(accounts), 10);
	assert_int_equal(fg_accounts_n_clients(accounts), 10);
	assert_int_equal(fg_accounts_n_pairs(accounts), 55);
	for (uint32_t account = 0; account < 10; account++) {
		a = fg_accounts_find(accounts, key_of(account));
		assert_non_null(a);
		assert_int_equal(a->clients, account + 1);
	}
	for (uint32_t host = 0; host < 10; host++)
		assert_int_equal(fg_accounts_client_at(accounts, host)->accounts, 10 - host);
	assert_null(fg_accounts_find(accounts, key_of(10)));
	assert_int_equal(fg_accounts_outcomes(accounts)[FG_ACCOUNT_OK], 110);
}

static void test_accounts_grow_and_are_found(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 50000; i++)
		push(i, i % 100, i / 100, FG_AGE_OLD);
	assert_int_equal(fg_accounts_n(accounts), 50000);
	assert_int_equal(fg_accounts_n_clients(accounts), 50000);
	for (uint32_t i = 0; i < 50000; i++)
		assert_non_null(fg_accounts_find(accounts, key_of(i)));
}

static void test_accounts_forget_after_a_day(void **state)
{
	(void)state;
	push_full(1, 1, 1, FG_ACCOUNT_BANNED, FG_AGE_NEW, NOW);
	push_full(2, 1, 2, FG_ACCOUNT_OK, FG_AGE_OLD, NOW);
	push_full(2, 1, 3, FG_ACCOUNT_OK, FG_AGE_OLD, NOW + 12 * H);
	push_full(3, 1, 3, FG_ACCOUNT_OK, FG_AGE_OLD, NOW + 12 * H);
	fg_accounts_epoch(accounts, NOW + 23 * H);
	assert_int_equal(fg_accounts_n(accounts), 3);
	assert_int_equal(fg_accounts_n_pairs(accounts), 4);
	fg_accounts_epoch(accounts, NOW + 25 * H);
	assert_int_equal(fg_accounts_n(accounts), 2);
	assert_int_equal(fg_accounts_n_clients(accounts), 1);
	assert_int_equal(fg_accounts_n_pairs(accounts), 2);
	assert_null(fg_accounts_find(accounts, key_of(1)));
	assert_int_equal(fg_accounts_find(accounts, key_of(2))->clients, 1);
	assert_int_equal(fg_accounts_client_at(accounts, 0)->accounts, 2);
	/* what is left is found by its new places, and grows again */
	push_full(3, 1, 3, FG_ACCOUNT_OK, FG_AGE_OLD, NOW + 25 * H);
	push_full(1, 1, 3, FG_ACCOUNT_OK, FG_AGE_OLD, NOW + 25 * H);
	assert_int_equal(fg_accounts_n_pairs(accounts), 3);
	assert_int_equal(fg_accounts_client_at(accounts, 0)->accounts, 3);
	fg_accounts_epoch(accounts, NOW + 60 * H);
	assert_int_equal(fg_accounts_n(accounts), 0);
	assert_int_equal(fg_accounts_n_pairs(accounts), 0);
}

/* A ban is a day's news, also of an account that goes on trying. */
static void test_accounts_ban_is_the_first_and_fades(void **state)
{
	(void)state;
	for (uint64_t h = 0; h < 30; h++) {
		push_full(1, 1, (uint32_t)h, FG_ACCOUNT_BANNED, FG_AGE_OLD, NOW + h * H);
		fg_accounts_epoch(accounts, NOW + h * H);
		if (h < 24)
			assert_true(fg_accounts_at(accounts, 0)->banned_ns == NOW);
	}
	assert_true(fg_accounts_at(accounts, 0)->banned_ns > NOW + 20 * H);
}

static void test_accounts_full_tables_refuse_whole_messages(void **state)
{
	const struct fg_accounts_limits limits = { .accounts = 10, .clients = 20, .pairs = 30 };
	struct fg_accounts_refused r;

	(void)state;
	fg_accounts_free(&accounts);
	assert_int_equal(fg_accounts_new(&limits, &accounts), 0);
	for (uint32_t i = 0; i < 10; i++)
		push(i, 1, i, FG_AGE_OLD);
	/* an eleventh account: not even its client is noted */
	assert_int_equal(push_full(10, 1, 10, FG_ACCOUNT_OK, FG_AGE_OLD, NOW), -ENOSPC);
	assert_int_equal(fg_accounts_n_clients(accounts), 10);
	for (uint32_t i = 10; i < 20; i++)
		push(0, 1, i, FG_AGE_OLD);
	assert_int_equal(push_full(0, 1, 20, FG_ACCOUNT_BANNED, FG_AGE_OLD, NOW), -ENOSPC);
	assert_int_equal(fg_accounts_find(accounts, key_of(0))->banned_ns, 0);
	for (uint32_t i = 10; i < 20; i++)
		push(1, 1, i, FG_AGE_OLD);
	assert_int_equal(fg_accounts_n_pairs(accounts), 30);
	assert_int_equal(push_full(2, 1, 10, FG_ACCOUNT_OK, FG_AGE_OLD, NOW), -ENOSPC);
	r = fg_accounts_refused(accounts);
	assert_int_equal(r.accounts, 1);
	assert_int_equal(r.clients, 1);
	assert_int_equal(r.pairs, 1);
	/* known ones go on */
	push(2, 1, 2, FG_AGE_OLD);
	/* and what is a day old makes room */
	assert_int_equal(push_full(99, 1, 99, FG_ACCOUNT_OK, FG_AGE_OLD, NOW + 30 * H), 0);
	assert_int_equal(fg_accounts_n(accounts), 1);
}

static void test_accounts_hub_stops_at_its_cap(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < FG_ACCOUNTS_MAX_EDGES + 100; i++)
		push(1, i / 1000, i % 1000, FG_AGE_OLD);
	assert_int_equal(fg_accounts_find(accounts, key_of(1))->clients, FG_ACCOUNTS_MAX_EDGES);
	assert_int_equal(fg_accounts_n_pairs(accounts), FG_ACCOUNTS_MAX_EDGES);
	assert_int_equal(fg_accounts_refused(accounts).crowded, 100);
}

/* --- Statistics ------------------------------------------------------------------------------- */

/* By hand: of 2 with 1/2, at least 1 in 3/4; of 3 with 1/10, all three in 1/1000. */
static void test_accounts_binomial_tail(void **state)
{
	(void)state;
	assert_float_equal(fg_accounts_binomial_nats(0, 10, 0.3), 0, 1e-12);
	assert_float_equal(fg_accounts_binomial_nats(1, 2, 0.5), -log(0.75), 1e-9);
	assert_float_equal(fg_accounts_binomial_nats(3, 3, 0.1), -log(1e-3), 1e-9);
	assert_float_equal(fg_accounts_binomial_nats(5, 10, 1), 0, 1e-12);
	assert_float_equal(fg_accounts_binomial_nats(1, 10, 0), 700, 1e-9);
	assert_true(fg_accounts_binomial_nats(9000, 10000, 0.1) >= 699);
}

/* Bans at random minutes of a day; newcomers so long after each, and others at random. */
static struct fg_replacement handover(uint32_t bans, uint64_t after_ns, uint32_t others, bool same,
				      uint64_t seed)
{
	struct fg_replacement_event b[64], n[1024];
	size_t n_new = 0;

	for (uint32_t i = 0; i < bans; i++) {
		b[i].ns = NOW + i * (24 * H / bans) + fg_prng_below(&prng, 1800) * S;
		address(1, i, b[i].source);
		if (after_ns) {
			n[n_new].ns = b[i].ns + after_ns;
			address(same ? 1 : 2, i, n[n_new++].source);
		}
	}
	for (uint32_t i = 0; i < others; i++) {
		size_t at = n_new++;
		uint64_t ns = NOW + fg_prng_below(&prng, 86400) * S;

		for (; at && n[at - 1].ns > ns; at--)
			n[at] = n[at - 1];
		n[at].ns = ns;
		address(3, i, n[at].source);
	}
	return fg_replacement_ask(b, bans, n, n_new, NOW, NOW + 24 * H, seed);
}

static void test_accounts_handover_is_found(void **state)
{
	struct fg_replacement h = handover(20, 5 * M, 20, false, 1), again;

	(void)state;
	assert_int_equal(h.bans, 20);
	assert_true(h.newcomers >= 20);
	assert_float_equal(h.p, 0.001, 1e-9);
	assert_true(h.expected < 12);
	prng.state = 1;
	again = handover(20, 5 * M, 20, false, 1);
	assert_memory_equal(&h, &again, sizeof(h));
}

/* p is honest: without hand-over it is below 0.05 in about one of twenty days. */
static void test_accounts_handover_by_chance_is_none(void **state)
{
	unsigned int low = 0;

	(void)state;
	for (int day = 0; day < 200; day++)
		low += handover(20, 0, 60, false, (uint64_t)day).p <= 0.05;
	assert_true(low <= 20);
}

static void test_accounts_handover_needs_another_source_and_time(void **state)
{
	struct fg_replacement_event b[100], n[1];

	(void)state;
	/* who comes back on its own source is no replacement */
	assert_int_equal(handover(20, 5 * M, 0, true, 1).newcomers, 0);
	/* nor who comes after half an hour */
	assert_int_equal(handover(20, 30 * M, 0, false, 1).newcomers, 0);
	/* a hundred bans at once are one */
	for (uint32_t i = 0; i < 100; i++) {
		b[i].ns = NOW + 6 * H + i * S;
		address(1, i, b[i].source);
	}
	n[0].ns = NOW + 6 * H + 5 * M;
	address(2, 1, n[0].source);
	assert_int_equal(fg_replacement_ask(b, 100, n, 1, NOW, NOW + 24 * H, 1).bans, 1);
	assert_float_equal(fg_replacement_ask(b, 100, n, 1, NOW, NOW + 24 * H, 1).p, 1, 0);
	/* too short a time to shift in */
	assert_float_equal(fg_replacement_ask(b, 100, n, 1, NOW + 5 * H, NOW + 8 * H, 1).p, 1, 0);
}

/* --- Communities ------------------------------------------------------------------------------ */

/* n accounts from first on, each on so many exits of a pool spread over so many networks. */
static void farm(uint32_t first, uint32_t n, uint32_t exits, uint32_t pool, uint32_t networks,
		 enum fg_account_age age)
{
	for (uint32_t i = 0; i < pool; i++)
		connect_source(i % networks, i / networks, 1);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < exits; k++) {
			uint32_t at = fg_prng_below(&prng, pool);

			push(first + i, at % networks, at / networks, age);
		}
}

static void test_accounts_farm_of_thirty_is_found(void **state)
{
	const struct fg_finding *f = &found.list[0];
	uint64_t least = UINT64_MAX;

	(void)state;
	population(400);
	farm(0, 30, 12, 60, 12, FG_AGE_NEW);
	assert_true(judge(NULL) >= 50);
	for (size_t i = 0; i < found.n; i++) {
		f = &found.list[i];
		assert_true(f->cohort & FG_COMMUNITY);
		assert_int_equal(f->cohort, found.list[0].cohort);
		assert_int_equal(f->source[12], 20);
		assert_true(f->source[13] < 12);
		assert_int_equal(f->stem, STEM);
		assert_true(f->proven);
		assert_false(f->shared);
		assert_int_equal(f->n_evidence, 2);
		assert_int_equal(f->evidence[0].family, FG_FAMILY_VOLUME);
		assert_string_equal(f->evidence[0].name, "accounts_together");
		assert_true(f->evidence[0].observed >= 28 && f->evidence[0].observed <= 30);
		assert_true(f->evidence[0].nats <= FG_ACCOUNTS_CAP_NATS);
		assert_int_equal(f->evidence[1].family, FG_FAMILY_LIFECYCLE);
		assert_string_equal(f->evidence[1].name, "accounts_young");
		assert_true(f->evidence[1].nats <= FG_FAMILY_CAP_NATS);
		assert_true(f->score >= FG_FLAG_NATS);
		/* networks are told by prefix only */
		assert_true(f->no_enforce);
	}
	/* it is called after its smallest key */
	for (uint64_t i = 0; i < 30; i++)
		least = key_of(i) < least ? key_of(i) : least;
	assert_int_equal(found.list[0].cohort, FG_COMMUNITY | (uint32_t)(least >> 33));
}

/* A larger farm than is gone through account by account: those who stand for the others name it. */
static void test_accounts_large_farm_is_one_community(void **state)
{
	struct fg_communities c;
	struct fg_scene scene = { .accounts = NULL };

	(void)state;
	population(400);
	farm(0, 2000, 12, 60, 12, FG_AGE_DAY);
	scene = (struct fg_scene){ .model = model, .accounts = accounts };
	assert_int_equal(fg_communities_find(&scene, &fg_detect_defaults, &c), 0);
	assert_int_equal(c.n, 1);
	assert_true(c.list[0].accounts >= 1990);
	assert_int_equal(c.list[0].clients, 60);
	assert_int_equal(c.list[0].networks, 12);
	assert_int_equal(c.list[0].young, c.list[0].accounts);
	fg_communities_done(&c);
	assert_int_equal(judge(NULL), 60);
}

/* A pool so large that no two accounts meet three times: 900 accounts, each on 8 of 600 exits. */
static void test_accounts_rovers_are_found(void **state)
{
	struct fg_communities c;
	struct fg_scene scene;

	(void)state;
	population(2000);
	farm(0, 900, 8, 600, 40, FG_AGE_WEEK);
	scene = (struct fg_scene){ .model = model, .accounts = accounts };
	assert_int_equal(fg_communities_find(&scene, &fg_detect_defaults, &c), 0);
	assert_int_equal(c.n, 1);
	assert_true(c.list[0].accounts >= 850 && c.list[0].accounts <= 900);
	fg_communities_done(&c);
	assert_true(judge(NULL) >= 500);
	for (size_t i = 0; i < found.n; i++)
		assert_true(found.list[i].source[13] < 40);
}

/* Forty new offices and schools, each a crowd of its own whose people also go home and to cafés. */
static void test_accounts_many_new_offices_are_quiet(void **state)
{
	(void)state;
	population(2000);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t office = i % 40, home = 1 + i % 150;

		if (i < 40)
			connect_source(office, 0, 1);
		push(i, office, 0, FG_AGE_DAY);
		push(i, home % 100, 10 + i / 100, FG_AGE_DAY);
		push(i, 150 + i % 30, 7, FG_AGE_DAY);
		push(i, 150 + i % 30, 8, FG_AGE_DAY);
	}
	assert_int_equal(judge(NULL), 0);
}

/* Shape alone flags nobody: the same with accounts as old as everybody's. A company's fleet with the keys
 * of forty teams in three regions is that. */
static void test_accounts_old_community_is_quiet(void **state)
{
	(void)state;
	population(400);
	farm(0, 40, 12, 60, 12, FG_AGE_OLD);
	assert_int_equal(judge(NULL), 0);
}

/* ... but they are flagged when they are banned. */
static void test_accounts_old_community_that_is_banned_is_found(void **state)
{
	(void)state;
	population(400);
	farm(0, 40, 12, 60, 12, FG_AGE_OLD);
	for (uint32_t i = 0; i < 12; i++)
		push_full(i, i % 12, 0, FG_ACCOUNT_BANNED, FG_AGE_OLD, NOW - H);
	assert_true(judge(NULL) >= 50);
	assert_string_equal(found.list[0].evidence[1].name, "accounts_banned");
}

/* Small effects count for nothing in a crowd, however sure: 3,000 accounts of which 13 % are young, where
 * others' are 7 %; or 1 % banned, where others' are 0. */
static void test_accounts_small_effects_are_quiet(void **state)
{
	(void)state;
	population(400);
	farm(0, 3000, 8, 60, 12, FG_AGE_OLD);
	for (uint32_t i = 0; i < 3000; i += 8)
		push(i, i % 12, 0, FG_AGE_DAY);
	for (uint32_t i = 0; i < 30; i++)
		push_full(i, i % 12, 0, FG_ACCOUNT_BANNED, FG_AGE_OLD, NOW - H);
	assert_int_equal(judge(NULL), 0);
}

/* A farm of aged accounts bought as new ones are banned: each of a community's newcomers comes after a ban
 * of its stem, and others of that stem are not blamed. */
static void test_accounts_replacements_are_found(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		uint64_t ns = NOW - 20 * H + i * 140 * M + fg_prng_below(&prng, 1200) * S;

		push_full(9000 + i, 100 + i, 0, FG_ACCOUNT_BANNED, FG_AGE_OLD, ns);
		push_full(9100 + i, i % 12, 0, FG_ACCOUNT_OK, FG_AGE_NEW, ns + 4 * M);
	}
	population(400);
	farm(0, 100, 12, 60, 12, FG_AGE_OLD);
	assert_true(judge(NULL) >= 50);
	for (size_t i = 0; i < found.n; i++) {
		assert_true(found.list[i].source[13] < 12);
		assert_string_equal(found.list[i].evidence[1].name, "banned_replaced");
		assert_true(found.list[i].evidence[1].observed >= 8);
		assert_true(found.list[i].evidence[1].nats <= FG_FAMILY_CAP_NATS);
	}
}

/* The farm's exits are in one ASN: then it is one network, and no community. */
static void test_accounts_one_network_is_no_community(void **state)
{
	static const char table[] = "20.0.0.0/9\t64500\tdc\tUS\n";
	struct fg_networks_report report;
	struct fg_networks *networks;
	char why[128];

	(void)state;
	population(400);
	farm(0, 30, 12, 60, 12, FG_AGE_NEW);
	assert_int_equal(fg_networks_parse(table, sizeof(table) - 1, "t", &networks, &report, why,
					   sizeof(why)),
			 0);
	assert_int_equal(judge(networks), 0);
	fg_networks_free(&networks);
}

/* Five people, three devices each at home, a cottage, an office: joined, and small. */
static void test_accounts_families_are_quiet(void **state)
{
	(void)state;
	population(400);
	for (uint32_t family = 0; family < 200; family++)
		for (uint32_t one = 0; one < 5; one++)
			for (uint32_t place = 0; place < 4; place++) {
				uint32_t network = place * 40 + family % 40;

				connect_source(network, family, 1);
				push(family * 5 + one, network, family, FG_AGE_NEW);
			}
	assert_int_equal(judge(NULL), 0);
}

/* 200 people with 200 accounts behind one address by day, at home in the evening, in the café at noon. */
static void office(enum fg_account_age age)
{
	connect_source(0, 0, 1);
	connect_source(1, 0, 1);
	for (uint32_t i = 0; i < 200; i++) {
		connect_source(2 + i % 30, 1 + i / 30, 1);
		push(i, 0, 0, age);
		push(i, 1, 0, age);
		push(i, 2 + i % 30, 1 + i / 30, age);
		push(300 + i, 2 + i % 30, 1 + i / 30, FG_AGE_OLD);
	}
}

static void test_accounts_office_of_200_is_quiet(void **state)
{
	(void)state;
	population(400);
	office(FG_AGE_OLD);
	assert_int_equal(judge(NULL), 0);
}

/* It has moved in this week, every account is new. */
static void test_accounts_new_office_of_200_is_quiet(void **state)
{
	(void)state;
	population(400);
	office(FG_AGE_NEW);
	assert_int_equal(judge(NULL), 0);
}

/* A mobile operator's gateways: sixteen addresses in sixteen networks, many kinds of phones, 3,000
 * customers who are on several of them, some of them new. */
static void test_accounts_cgnat_is_quiet(void **state)
{
	(void)state;
	population(400);
	for (uint32_t i = 0; i < 16; i++)
		connect_source(i, 0, 9);
	for (uint32_t i = 0; i < 3000; i++)
		for (uint32_t k = 0; k < 6; k++)
			push(i, fg_prng_below(&prng, 16), 0, i % 3 ? FG_AGE_OLD : FG_AGE_NEW);
	assert_int_equal(judge(NULL), 0);
}

/* One key on 2,000 machines that come and go. */
static void test_accounts_shared_key_is_quiet(void **state)
{
	(void)state;
	population(400);
	for (uint32_t i = 0; i < 2000; i++) {
		connect_source(i % 50, i / 50, 1);
		push(0, i % 50, i / 50, FG_AGE_NEW);
	}
	assert_int_equal(judge(NULL), 0);
}

/* A farm on one address whose accounts are banned is found without a community. */
static void test_accounts_banned_on_one_client_are_found(void **state)
{
	const struct fg_finding *f = &found.list[0];

	(void)state;
	population(400);
	connect_source(0, 0, 1);
	for (uint32_t i = 0; i < 60; i++)
		push_full(i, 0, 0, i % 3 ? FG_ACCOUNT_OK : FG_ACCOUNT_BANNED, FG_AGE_DAY, NOW - H);
	assert_int_equal(judge(NULL), 1);
	assert_string_equal(f->evidence[0].name, "young_accounts");
	assert_float_equal(f->evidence[0].observed, 60, 0);
	assert_string_equal(f->evidence[1].name, "accounts_banned");
	assert_true(f->cohort & FG_COMMUNITY);
}

/* The same where nine kinds of clients show a crowd. */
static void test_accounts_banned_in_a_crowd_are_quiet(void **state)
{
	(void)state;
	population(400);
	connect_source(0, 0, 9);
	for (uint32_t i = 0; i < 60; i++)
		push_full(i, 0, 0, i % 3 ? FG_ACCOUNT_OK : FG_ACCOUNT_BANNED, FG_AGE_DAY, NOW - H);
	assert_int_equal(judge(NULL), 0);
}

/* Nobody can stand out where there is nobody else. */
static void test_accounts_need_a_population(void **state)
{
	(void)state;
	population(20);
	farm(0, 30, 12, 60, 12, FG_AGE_NEW);
	assert_int_equal(judge(NULL), 0);
}

/* A client that people of their own use, too, is left to them. */
static void test_accounts_guests_of_a_busy_client(void **state)
{
	uint8_t busy[16];

	(void)state;
	population(400);
	farm(0, 30, 12, 60, 12, FG_AGE_NEW);
	for (uint32_t i = 0; i < 100; i++)
		push(5000 + i, 3, 0, FG_AGE_OLD);
	address(3, 0, busy);
	assert_true(judge(NULL) >= 50);
	for (size_t i = 0; i < found.n; i++)
		assert_memory_not_equal(found.list[i].source, busy, 16);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_accounts_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(count_both_ways),
		TEST(grow_and_are_found),
		TEST(forget_after_a_day),
		TEST(ban_is_the_first_and_fades),
		TEST(full_tables_refuse_whole_messages),
		TEST(hub_stops_at_its_cap),
		TEST(binomial_tail),
		TEST(handover_is_found),
		TEST(handover_by_chance_is_none),
		TEST(handover_needs_another_source_and_time),
		TEST(farm_of_thirty_is_found),
		TEST(large_farm_is_one_community),
		TEST(rovers_are_found),
		TEST(many_new_offices_are_quiet),
		TEST(old_community_is_quiet),
		TEST(old_community_that_is_banned_is_found),
		TEST(small_effects_are_quiet),
		TEST(replacements_are_found),
		TEST(one_network_is_no_community),
		TEST(families_are_quiet),
		TEST(office_of_200_is_quiet),
		TEST(new_office_of_200_is_quiet),
		TEST(cgnat_is_quiet),
		TEST(shared_key_is_quiet),
		TEST(banned_on_one_client_are_found),
		TEST(banned_in_a_crowd_are_quiet),
		TEST(need_a_population),
		TEST(guests_of_a_busy_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
