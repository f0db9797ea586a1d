/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/cohort_members.c over weeks of a small town with a farm in it: who is not confirmed fades
 * and is out after a week, who is stays; who may be enforced, the surest first and within the day's
 * budget; and that nobody grows surer by being looked at again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/population.h"
#include "detect/cohort.h"
#include "detect/thresholds.h"
#include "farmgate/stack.h"
#include "farmgate/turn_shape.h"
#include "packet.h"

#define HOUR_NS	 3600000000000ULL
#define START_NS (20500 * FG_DAY_NS)
#define STEM	 0x5eedULL
#define LEGIT	 300
#define MOST	 1024
#define FARM_DAY 4 /* it comes on */
#define EVER	 UINT32_MAX
/* clang-format off */
#define STACK(win) (FG_STACK_VALID | (win) | 1ULL << 16 | 12ULL << 18 | \
		    (uint64_t)(2 | 4 << 3 | 5 << 6 | 1 << 9 | 3 << 12) << 30)
/* clang-format on */

struct person {
	uint8_t addr[16];
	uint64_t stack;
	double an_hour; /* connections, on average */
	uint32_t up, down;
	uint32_t from_day, away_day, back_day; /* is there from .. away - 1, and from back on */
	uint32_t straight_day; /* comes straight from this day on, else through a relay */
};

static struct {
	struct person who[MOST];
	size_t n;
	struct fg_prng rng;
	struct fg_model *model;
	struct fg_cohorts *cohorts;
	struct fg_detect_conf conf;
	struct fg_epoch_source sources[MOST];
	struct fg_epoch_client clients[MOST];
	struct fg_epoch_flow flows[5 * MOST];
} town;

static struct person *add_person(void)
{
	struct person *p = &town.who[town.n];
	uint32_t i = (uint32_t)town.n++;

	assert_true(town.n <= MOST);
	*p = (struct person){ .away_day = EVER, .back_day = EVER };
	p->addr[10] = p->addr[11] = 0xff;
	p->addr[12] = (uint8_t)(20 + i % 10);
	p->addr[14] = (uint8_t)(i >> 8);
	p->addr[15] = (uint8_t)i;
	return p;
}

static void add_legit(void)
{
	for (size_t i = 0; i < LEGIT; i++) {
		struct person *p = add_person();

		p->stack = i % 3 ? STACK(64240) : STACK(65535);
		p->an_hour = exp(log(0.25) + 0.8 * cg_normal(&town.rng));
		p->up = (uint32_t)exp(log(3000) + 1.2 * cg_normal(&town.rng));
		p->down = (uint32_t)exp(log(5000) + 1.2 * cg_normal(&town.rng));
		p->straight_day = cg_uniform(&town.rng) < 0.03 ? EVER : 0;
	}
}

/* What they do is the more alike the smaller the spread is. @return the first of them. */
static size_t add_farm(size_t n, double spread)
{
	size_t first = town.n;

	for (size_t i = 0; i < n; i++) {
		struct person *p = add_person();

		p->stack = STACK(65535);
		/* in more quarter hours than lockstep looks at: that takes most of the time */
		p->an_hour = 3;
		p->up = (uint32_t)exp(log(24000) + spread * cg_normal(&town.rng));
		p->down = (uint32_t)exp(log(50000) + spread * cg_normal(&town.rng));
		p->from_day = FARM_DAY;
		p->straight_day = EVER;
	}
	return first;
}

/* --- One hour, as one epoch ------------------------------------------------------------------- */

static bool is_there(const struct person *p, uint32_t day)
{
	return day >= p->from_day && (day < p->away_day || day >= p->back_day);
}

static void fill_flow(const struct person *p, bool relayed, uint64_t hour_ns,
		      struct fg_epoch_flow *f)
{
	*f = (struct fg_epoch_flow){ .stem = STEM,
				     .stack = p->stack,
				     .print = STEM,
				     .bytes_in = p->up,
				     .bytes_out = p->down,
				     .exchanges = 1,
				     .news = FG_NEWS_OPENED | FG_NEWS_TIMES,
				     .ttl = 57,
				     .n_rtts = 2,
				     .rtt_us = 30000,
				     .turn_us = relayed ? 150000 : 33000,
				     .n_turns = 1 };
	memcpy(f->addr, p->addr, 16);
	f->opened_ns = hour_ns + fg_prng_below(&town.rng, 3600) * 1000000000ULL;
	f->turns[0] = (struct fg_epoch_turn){ .start_ns = f->opened_ns,
					      .shape = fg_turn_shape(p->up, p->down, 4000, 900),
					      .chunks = 20,
					      .lasted_ms = 4000 };
}

static void come(const struct person *p, unsigned int n, uint32_t hour, struct fg_epoch *e)
{
	town.sources[e->n_sources] =
		(struct fg_epoch_source){ .connections = n, .proven = n, .hellos = n };
	memcpy(town.sources[e->n_sources++].addr, p->addr, 16);
	town.clients[e->n_clients] = (struct fg_epoch_client){
		.stem = STEM, .stack = p->stack, .print = STEM, .connections = n
	};
	memcpy(town.clients[e->n_clients++].addr, p->addr, 16);
	for (unsigned int k = 0; k < n; k++)
		fill_flow(p, hour / 24 < p->straight_day, e->start_ns, &town.flows[e->n_flows++]);
}

/* So many connections on average: one more or less. */
static unsigned int draw(const struct person *p)
{
	return (unsigned int)(fmin(p->an_hour, 4) + cg_uniform(&town.rng));
}

static void live_hour(uint32_t h)
{
	const uint64_t start = START_NS + h * HOUR_NS;
	struct fg_epoch e = { .start_ns = start,
			      .end_ns = start + HOUR_NS - 1,
			      .sources = town.sources,
			      .clients = town.clients,
			      .flows = town.flows };

	for (size_t i = 0; i < town.n; i++) {
		unsigned int n = is_there(&town.who[i], h / 24) ? draw(&town.who[i]) : 0;

		if (n)
			come(&town.who[i], n, h, &e);
	}
	assert_int_equal(fg_model_apply(town.model, &e), 0);
	assert_int_equal(fg_cohorts_hour(town.cohorts, town.model, NULL, &town.conf,
					 (uint32_t)(start / HOUR_NS)),
			 0);
	fg_model_begin_hour(town.model);
}

static void live_days(uint32_t from, uint32_t to)
{
	for (uint32_t h = from * 24; h < to * 24; h++)
		live_hour(h);
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = { .sources = 4096,
						.clients = 4096,
						.fingerprints = 100,
						.stems = 64,
						.hosts = 64,
						.window_ns = 60000000000ULL,
						.seed = { 1, 2 } };

	(void)state;
	memset(&town, 0, sizeof(town));
	town.rng.state = 7;
	town.conf = fg_detect_defaults;
	if (fg_model_new(&limits, &town.model))
		return -1;
	add_legit();
	return fg_cohorts_new(&town.cohorts);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&town.model);
	fg_cohorts_free(&town.cohorts);
	return 0;
}

static const struct fg_member *member_of(const struct person *p)
{
	for (size_t i = 0; i < fg_cohorts_n_members(town.cohorts); i++) {
		const struct fg_member *m = fg_cohorts_member_at(town.cohorts, i);

		if (m->stack == p->stack && !memcmp(m->addr, p->addr, 16))
			return m;
	}
	return NULL;
}

/* --- Who fades -------------------------------------------------------------------------------- */

static void assert_weight(const struct person *p, double weight)
{
	const struct fg_member *m = member_of(p);

	assert_non_null(m);
	assert_float_equal(m->weight, weight, 1e-5);
}

#define OF_EACH 25

/* At the end of a day behind the last one on which all were there. Five kinds: who stays; who is
 * gone; who is back on the third day; who is back on the seventh; who stays, but comes straight
 * now. Who is there and looks like the farm is confirmed, and the others fade. */
static void assert_faded(size_t first, uint32_t day)
{
	const uint32_t days = day - FARM_DAY;
	const double faded = pow(FG_MEMBER_DECAY, days);

	for (size_t i = first; i < first + OF_EACH; i++) {
		const struct person *p = &town.who[i];

		assert_weight(p, 1);
		if (days < 7)
			assert_weight(p + OF_EACH, faded);
		else
			assert_null(member_of(p + OF_EACH));
		assert_weight(p + 2 * OF_EACH, days < 3 ? faded : 1);
		/* on the last day on which it is one */
		assert_weight(p + 3 * OF_EACH, days < 7 ? faded : 1);
		if (days < 7)
			assert_weight(p + 4 * OF_EACH, faded);
		else
			assert_null(member_of(p + 4 * OF_EACH));
	}
}

static void test_members_fade_and_come_back(void **state)
{
	size_t first = add_farm(9 * OF_EACH, 0.05);

	(void)state;
	for (size_t i = first; i < first + OF_EACH; i++) {
		struct person *p = &town.who[i];

		p[OF_EACH].away_day = FARM_DAY + 1;
		p[2 * OF_EACH].away_day = FARM_DAY + 1;
		p[2 * OF_EACH].back_day = FARM_DAY + 3;
		p[3 * OF_EACH].away_day = FARM_DAY + 1;
		p[3 * OF_EACH].back_day = FARM_DAY + 7;
		p[4 * OF_EACH].straight_day = FARM_DAY + 1;
	}
	live_days(0, FARM_DAY + 1);
	for (size_t i = first; i < town.n; i++)
		assert_weight(&town.who[i], 1);
	for (uint32_t day = FARM_DAY + 1; day <= FARM_DAY + 7; day++) {
		live_days(day, day + 1);
		assert_faded(first, day);
	}
	/* the table is whole: who is out is not told any more */
	assert_int_equal(fg_cohorts_n_members(town.cohorts), 7 * OF_EACH);
}

/* Days without an hour, as of an agent that was off, count as days. */
static void test_days_that_nobody_saw(void **state)
{
	size_t first = add_farm(200, 0.05);

	(void)state;
	for (size_t i = first; i < town.n; i++)
		town.who[i].away_day = FARM_DAY + 1;
	live_days(0, FARM_DAY + 1);
	assert_weight(&town.who[first], 1);
	live_hour((FARM_DAY + 6) * 24 + 5);
	for (size_t i = first; i < town.n; i++)
		assert_weight(&town.who[i], pow(FG_MEMBER_DECAY, 6));
	live_hour((FARM_DAY + 7) * 24 + 5);
	assert_int_equal(fg_cohorts_n_members(town.cohorts), 0);
}

/* --- Who may be enforced ---------------------------------------------------------------------- */

static double budget(void)
{
	return town.conf.enforce_per_million *
	       (double)fg_cohorts_state(town.cohorts).legit_sources / 1e6;
}

static struct enforced {
	size_t n, may;
	double all, sum; /* of their false discovery rates, and of those that may */
	double most, least; /* the largest of those that may, the smallest of the others */
} enforced(void)
{
	struct enforced e = { .n = fg_cohorts_n_members(town.cohorts), .least = 1 };

	for (size_t i = 0; i < e.n; i++) {
		const struct fg_member *m = fg_cohorts_member_at(town.cohorts, i);
		double fdr = fg_member_est_fdr(m);

		e.all += fdr;
		e.may += m->may_enforce;
		e.sum += m->may_enforce ? fdr : 0;
		e.most = m->may_enforce ? fmax(e.most, fdr) : e.most;
		e.least = m->may_enforce ? e.least : fmin(e.least, fdr);
	}
	return e;
}

static int count_enforceable(const struct fg_finding *f, void *arg)
{
	assert_true(f->no_enforce_why[0]);
	*(size_t *)arg += !f->no_enforce;
	return 0;
}

/* What is told of members is what is known of them. */
static void assert_told(void)
{
	size_t told = 0;

	assert_int_equal(fg_cohorts_members(town.cohorts, town.model, &town.conf, count_enforceable,
					    &told),
			 0);
	assert_int_equal(told, enforced().may);
}

/* Until the first hour that has members, of one cohort. Some of them hardly differ from others in
 * what they do. @return that hour. */
static uint32_t live_to_first_members(double per_million)
{
	uint32_t h = FARM_DAY * 24;
	size_t first;

	tear_down(NULL);
	set_up(NULL);
	first = add_farm(320, 0.05);
	for (size_t i = first; i < town.n; i += 3) {
		town.who[i].up = (uint32_t)exp(log(4000) + cg_normal(&town.rng));
		town.who[i].an_hour = 0.8;
	}
	town.conf.enforce_days = FG_WARM_DAYS;
	town.conf.enforce_per_million = per_million;
	live_days(0, FARM_DAY);
	while (!fg_cohorts_n_members(town.cohorts) && h < (FARM_DAY + 1) * 24)
		live_hour(h++);
	assert_true(fg_cohorts_n_members(town.cohorts) > 50);
	assert_int_equal(fg_cohorts_n(town.cohorts), 1);
	return h;
}

/* The surest first, as far as the day's budget goes; a day later the next. */
static void test_the_budget_of_false_blocks(void **state)
{
	struct enforced e, before;
	double per_million;
	uint32_t h;

	(void)state;
	live_to_first_members(0);
	e = enforced();
	assert_int_equal(e.may, 0);
	assert_told();
	/* enough for a quarter of what they are in all */
	per_million = 1e6 * e.all / 4 / (double)fg_cohorts_state(town.cohorts).legit_sources;
	h = live_to_first_members(per_million);
	e = enforced();
	print_message("%zu of %zu members within %.5f of %.5f, up to %.2g; the others from %.2g\n",
		      e.may, e.n, budget(), e.all, e.most, e.least);
	assert_true(e.may > 0 && e.may < e.n);
	assert_true(e.sum <= budget() + 1e-9);
	assert_true(e.most <= e.least);
	/* not one more */
	assert_true(e.sum + e.least > budget());
	assert_float_equal(fg_cohorts_state(town.cohorts).enforce_expected_false, e.sum, 1e-9);
	assert_told();
	for (; h < (FARM_DAY + 1) * 24; h++) {
		live_hour(h);
		assert_true(enforced().sum <= budget() + 1e-9);
	}
	before = enforced();
	live_days(FARM_DAY + 1, FARM_DAY + 2);
	e = enforced();
	print_message("%zu of %zu at the end of that day, %zu at the end of the next\n", before.may,
		      before.n, e.may);
	assert_true(e.may > before.may);
	assert_true(e.sum - before.sum <= budget() + 1e-9);
	/* of two days */
	assert_true(e.sum > budget());
	assert_told();
}

/* However large the budget: first what is usual must have been learned for two weeks. */
static void test_none_before_two_weeks(void **state)
{
	size_t first = add_farm(150, 0.05);
	uint32_t warm = 0;

	(void)state;
	assert_float_equal(town.conf.enforce_days, FG_WARM_ENFORCE_DAYS, 0);
	town.conf.enforce_per_million = 1e6;
	for (size_t i = first; i < town.n; i++)
		town.who[i].from_day = 12;
	live_days(0, 13);
	assert_int_equal(fg_cohorts_n_members(town.cohorts), town.n - first);
	for (uint32_t h = 13 * 24; h < 15 * 24; h++) {
		bool is_warm = fg_cohorts_state(town.cohorts).days >= FG_WARM_ENFORCE_DAYS;

		assert_true(enforced().may == 0 || warm);
		live_hour(h);
		warm += is_warm;
	}
	print_message("enforced for %u hours\n", warm);
	assert_true(warm > 12 && warm < 36);
	/* no need to come in anew */
	assert_int_equal(enforced().may, town.n - first);
	assert_told();
}

/* --- How sure they are ------------------------------------------------------------------------ */

/* A member keeps the odds that it came in with: no later look makes it surer. */
static void test_looks_make_nobody_surer(void **state)
{
	size_t first = add_farm(320, 0.5), n, looked = 0;
	float came_in[MOST] = { 0 };

	(void)state;
	live_days(0, FARM_DAY);
	for (uint32_t h = FARM_DAY * 24; h < (FARM_DAY + 2) * 24; h++) {
		live_hour(h);
		for (size_t i = first; i < town.n; i++) {
			const struct fg_member *m = member_of(&town.who[i]);

			if (m && !came_in[i])
				came_in[i] = m->log_odds;
			assert_true(!m || m->log_odds == came_in[i]);
			assert_true(!m || fg_member_score(m) <= came_in[i] + 1e-6);
		}
	}
	n = fg_cohorts_n_members(town.cohorts);
	for (size_t i = 0; i < n; i++) {
		const struct fg_member *m = fg_cohorts_member_at(town.cohorts, i);

		looked += m->looks > 24;
		for (int f = 0; f < _FG_FAMILY_MAX; f++)
			assert_true(m->nats[f] <= FG_FAMILY_CAP_NATS + 1e-5);
	}
	assert_true(n > 100 && looked > 0.9 * (double)n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_members_fade_and_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_days_that_nobody_saw, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_budget_of_false_blocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_none_before_two_weeks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_looks_make_nobody_surer, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("member_life", tests, NULL, NULL);
}
