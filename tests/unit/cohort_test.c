/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/cohort.c over a small town of its own: 2,000 clients of two stems that come and go by the day
 * for two weeks, and then a farm among them, or a change that is none. The large proof is
 * tests/campaign; this one is to see which part breaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "farmgate/turn_shape.h"
#include "packet.h"

#define HOUR_NS	 3600000000000ULL
#define START_NS (20500 * FG_DAY_NS) /* a Tuesday */
#define LEGIT	 2000
#define MOST	 4096
/* clang-format off */
#define STACK(win, layout) (FG_STACK_VALID | (win) | 1ULL << 16 | 12ULL << 18 | (uint64_t)(layout) << 30)
/* clang-format on */
#define LINUX_STACK   STACK(64240, 2 | 4 << 3 | 5 << 6 | 1 << 9 | 3 << 12)
#define ANDROID_STACK STACK(65535, 2 | 4 << 3 | 5 << 6 | 1 << 9 | 3 << 12)

#include "farmgate/stack.h"

struct person {
	uint8_t addr[16];
	uint64_t stem, stack;
	bool relayed;
	double a_day; /* exchanges */
	int zone; /* hours ahead of UTC; 99 = always on */
	uint32_t rtt_us;
	uint32_t up, down; /* bytes of its exchanges, median */
	uint32_t from_day, until_day;
	uint32_t idle_ms;
	bool busy; /* four exchanges a connection, not one */
};

static struct {
	struct person who[MOST];
	size_t n;
	struct fg_prng rng;
	struct fg_model *model;
	struct fg_cohorts *cohorts;
	struct fg_detect_conf conf;
} town;

static double uniform(void)
{
	return (double)(fg_prng_next(&town.rng) >> 11) * 0x1p-53;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform() + 1e-300)) * cos(2 * M_PI * uniform());
}

static struct person *add_person(uint32_t net)
{
	struct person *p = &town.who[town.n];
	uint32_t i = (uint32_t)town.n++;

	assert_true(town.n <= MOST);
	memset(p, 0, sizeof(*p));
	p->addr[10] = p->addr[11] = 0xff;
	p->addr[12] = (uint8_t)(20 + net % 200);
	p->addr[13] = (uint8_t)(i % 61);
	p->addr[14] = (uint8_t)(i >> 8);
	p->addr[15] = (uint8_t)i;
	p->rtt_us = (uint32_t)(1000 * exp(log(40) + 0.5 * normal()));
	p->until_day = UINT32_MAX;
	p->idle_ms = 4000;
	return p;
}

static void add_legit(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct person *p = add_person((uint32_t)i);

		p->stem = i % 4 ? 0x5ee1 : 0x5ee2;
		p->stack = i % 3 ? LINUX_STACK : ANDROID_STACK;
		p->relayed = uniform() < 0.03;
		p->a_day = exp(log(12) + 1.2 * normal());
		p->zone = (int)fg_prng_below(&town.rng, 18) - 8;
		p->up = (uint32_t)exp(log(3000) + 1.2 * normal());
		p->down = (uint32_t)exp(log(5000) + 1.2 * normal());
	}
}

static void add_farm(size_t n, uint32_t from_day)
{
	for (size_t i = 0; i < n; i++) {
		struct person *p = add_person((uint32_t)i * 7);

		p->stem = 0x5ee1;
		p->stack = i % 10 < 6 ? ANDROID_STACK : LINUX_STACK;
		p->relayed = true;
		p->a_day = 25.6 * (0.8 + 0.4 * uniform());
		p->zone = 99;
		p->up = (uint32_t)exp(log(24000) + 0.3 * normal());
		p->down = (uint32_t)exp(log(50000) + 0.3 * normal());
		p->from_day = from_day;
		p->idle_ms = 60000;
	}
}

/* --- One hour, as one epoch ------------------------------------------------------------------- */

static struct {
	struct fg_epoch_source sources[MOST];
	struct fg_epoch_client clients[MOST];
	struct fg_epoch_flow flows[8 * MOST];
} hour_of;

static double activity(const struct person *p, unsigned int hour)
{
	unsigned int local = (hour + 24 + (unsigned int)(p->zone == 99 ? 0 : p->zone + 24)) % 24;

	if (p->zone == 99)
		return 1;
	return local < 7 ? 0.05 : local < 9 ? 0.8 : local < 22 ? 1.6 : 0.6;
}

static unsigned int poisson(double mean)
{
	double limit = exp(-mean), p = uniform();
	unsigned int n = 0;

	for (; p > limit && n < 60; n++)
		p *= uniform();
	return n;
}

/* What QUIC does not tell. */
static void tell_no_times(struct fg_epoch_flow *f)
{
	f->news = FG_NEWS_OPENED;
	f->ttl = 0;
	f->n_rtts = 0;
	f->rtt_us = f->rtt_max_us = f->turn_us = f->hello_delay_us = 0;
	f->closed_by = FG_CLOSE_NOT;
	f->idle_ms = 0;
}

static void fill_flow(const struct person *p, uint64_t hour_ns, struct fg_epoch_flow *f)
{
	uint64_t at = hour_ns + fg_prng_below(&town.rng, 3600) * 1000000000ULL;
	uint32_t jitter = (uint32_t)(1400 * (1 + 2 * uniform()));

	memset(f, 0, sizeof(*f));
	memcpy(f->addr, p->addr, 16);
	f->stem = p->stem;
	f->stack = p->stack;
	f->print = p->stem;
	f->bytes_in = p->up;
	f->bytes_out = p->down;
	f->exchanges = 1;
	f->news = FG_NEWS_OPENED | FG_NEWS_TIMES | FG_NEWS_CLOSED;
	f->opened_ns = at;
	f->ttl = 57;
	f->n_rtts = 2;
	f->rtt_us = p->rtt_us + jitter;
	f->rtt_max_us = f->rtt_us;
	f->turn_us = p->rtt_us + jitter + 5000 + (p->relayed ? 90000 + jitter : 0);
	f->hello_delay_us = p->relayed ? 91000 : 500;
	f->closed_by = FG_CLOSE_CLIENT_FIN;
	f->idle_ms = p->idle_ms;
	f->n_turns = 1;
	f->turns[0] = (struct fg_epoch_turn){
		.start_ns = at,
		.shape = fg_turn_shape(p->up, p->down, 4000, 900),
		.chunks = 20,
		.lasted_ms = 4000,
	};
	if (p->busy) {
		f->exchanges = f->n_turns = FG_EPOCH_TURNS;
		for (int i = 1; i < FG_EPOCH_TURNS; i++) {
			f->turns[i] = f->turns[0];
			f->turns[i].start_ns += (uint64_t)i * 60000000000ULL;
		}
	}
	if (p->stack == FG_STACK_QUIC)
		tell_no_times(f);
}

static void end_hour(uint32_t hour)
{
	assert_int_equal(fg_cohorts_hour(town.cohorts, town.model, NULL, &town.conf, hour), 0);
	fg_model_begin_hour(town.model);
}

static void live_hour(uint32_t h)
{
	const uint64_t start = START_NS + h * HOUR_NS;
	struct fg_epoch e = { .start_ns = start,
			      .end_ns = start + HOUR_NS - 1,
			      .sources = hour_of.sources,
			      .clients = hour_of.clients,
			      .flows = hour_of.flows };

	for (size_t i = 0; i < town.n; i++) {
		const struct person *p = &town.who[i];
		unsigned int n = 0;

		if (h / 24 >= p->from_day && h / 24 < p->until_day)
			n = poisson(p->a_day / 24 * activity(p, h % 24));
		n = n < 8 ? n : 8;
		if (!n)
			continue;
		hour_of.sources[e.n_sources] = (struct fg_epoch_source){
			.syns = n, .connections = n, .proven = n, .hellos = n
		};
		memcpy(hour_of.sources[e.n_sources++].addr, p->addr, 16);
		hour_of.clients[e.n_clients] = (struct fg_epoch_client){
			.stem = p->stem, .stack = p->stack, .print = p->stem, .connections = n
		};
		memcpy(hour_of.clients[e.n_clients++].addr, p->addr, 16);
		for (unsigned int k = 0; k < n; k++)
			fill_flow(p, start, &hour_of.flows[e.n_flows++]);
	}
	assert_int_equal(fg_model_apply(town.model, &e), 0);
	end_hour((uint32_t)(start / HOUR_NS));
}

static void live_days(uint32_t from, uint32_t to)
{
	for (uint32_t h = from * 24; h < to * 24; h++)
		live_hour(h);
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = 20000, .clients = 40000, .fingerprints = 100, .window_ns = 60000000000ULL
	};

	(void)state;
	memset(&town, 0, sizeof(town));
	town.rng.state = 7;
	town.conf = fg_detect_defaults;
	if (fg_model_new(&limits, &town.model))
		return -1;
	return fg_cohorts_new(&town.cohorts);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&town.model);
	fg_cohorts_free(&town.cohorts);
	return 0;
}

static const struct fg_cohort *first_alarm(void)
{
	for (size_t i = 0; i < fg_cohorts_n(town.cohorts); i++)
		if (fg_cohorts_at(town.cohorts, i)->warm)
			return fg_cohorts_at(town.cohorts, i);
	return NULL;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void test_nothing_happens(void **state)
{
	(void)state;
	add_legit(LEGIT);
	live_days(0, 30);
	assert_int_equal(fg_cohorts_n(town.cohorts), 0);
	assert_int_equal(fg_cohorts_n_members(town.cohorts), 0);
}

/* Everything a flag must carry is there, and possible. */
static int whole(const struct fg_finding *f, void *arg)
{
	assert_true(fg_evidence_is_whole(f->evidence, f->n_evidence));
	assert_true(f->window_s && f->n_obs >= FG_MEMBER_MEASURED);
	assert_true(f->alpha == FG_MEMBER_LFDR && f->est_fdr >= 0 && f->est_fdr < 0.5);
	for (size_t i = 0; i < f->n_evidence; i++)
		assert_true(f->evidence[i].base_rate > 0 && f->evidence[i].base_rate <= 1);
	++*(uint32_t *)arg;
	return 0;
}

/* The farm that was active in the last hour lies within the bounds, and these say something. */
static void assert_bounds(const struct fg_cohort *c)
{
	const struct fg_interval bounds = fg_cohort_interval(c);
	const uint32_t *places;
	size_t n = fg_cohorts_active(town.cohorts, c, &places), farm = 0;

	for (size_t i = 0; i < n; i++) {
		const struct fg_model_client *client = fg_model_client_at(town.model, places[i]);

		for (size_t k = LEGIT; k < town.n; k++)
			farm += !memcmp(client->addr, town.who[k].addr, 16);
	}
	print_message("%zu of the farm were active: %.0f, %.0f to %.0f\n", farm, c->excess,
		      bounds.low, bounds.high);
	assert_true(bounds.low <= farm && farm <= bounds.high);
	assert_true(bounds.high - bounds.low < 0.5 * (double)farm);
}

/* So many members are false: no more than chance makes of twice what is stated, and what cohorts say is the
 * sum of what their members say. */
static void assert_stated(uint32_t falsely)
{
	double members = 0, cohorts = 0;

	for (size_t i = 0; i < fg_cohorts_n_members(town.cohorts); i++)
		members += fg_member_est_fdr(fg_cohorts_member_at(town.cohorts, i));
	for (size_t i = 0; i < fg_cohorts_n(town.cohorts); i++)
		cohorts += fg_cohorts_at(town.cohorts, i)->expected_false;
	print_message("%.2f members are stated to be false, %u are\n", members, falsely);
	assert_true(fabs(members - cohorts) < 1e-9 * members);
	assert_true(falsely <= 2 * members + 2);
}

static void test_a_farm_is_one_cohort(void **state)
{
	uint32_t h, right = 0, n, flagged;

	(void)state;
	add_legit(LEGIT);
	add_farm(700, 15);
	live_days(0, 15);
	assert_null(first_alarm());
	for (h = 15 * 24; h < 17 * 24 && !first_alarm(); h++)
		live_hour(h);
	print_message("alarm after %u hours\n", h - 15 * 24);
	assert_non_null(first_alarm());
	for (; h < 18 * 24; h++)
		live_hour(h);
	n = (uint32_t)fg_cohorts_n_members(town.cohorts);
	for (size_t i = 0; i < n; i++) {
		const struct fg_member *m = fg_cohorts_member_at(town.cohorts, i);

		for (size_t k = LEGIT; k < town.n; k++)
			right += !memcmp(m->addr, town.who[k].addr, 16);
	}
	print_message("%u members, %u of them the farm's 700, cohorts %zu\n", n, right,
		      fg_cohorts_n(town.cohorts));
	for (size_t i = 0; i < fg_cohorts_n(town.cohorts); i++) {
		const struct fg_cohort *c = fg_cohorts_at(town.cohorts, i);
		struct fg_evidence e[4];
		char what[200];
		size_t found = fg_cohort_evidence(c, e, 4);

		fg_cohort_what(c, town.model, what, sizeof(what));
		print_message(
			"c%u %s: %u members, excess %.0f of %.0f, part of %u, R %.1f A %.1f C "
			"%.1f L %.1f\n",
			c->id, what, c->members, c->excess, c->active, c->part_of, c->log_r[1],
			c->log_r[2], c->log_r[3], c->log_r[4]);
		for (size_t k = 0; k < found; k++)
			print_message("   %s\n", e[k].text);
		assert_true(fg_evidence_is_whole(e, found));
	}
	assert_bounds(first_alarm());
	assert_stated(n - right);
	flagged = 0;
	assert_int_equal(fg_cohorts_members(town.cohorts, town.model, &town.conf, whole, &flagged),
			 0);
	assert_int_equal(flagged, n);
	assert_true(right >= 0.9 * 700);
	assert_true(right >= 0.98 * n);
}

static size_t warm_alarms(void)
{
	size_t n = 0;

	for (size_t i = 0; i < fg_cohorts_n(town.cohorts); i++)
		n += fg_cohorts_at(town.cohorts, i)->warm;
	return n;
}

static void assert_quiet(void)
{
	assert_int_equal(warm_alarms(), 0);
	assert_int_equal(fg_cohorts_n_members(town.cohorts), 0);
}

/* A browser's privacy relay is rolled out: one in eight comes through it from one day to the next. */
static void test_a_relay_product(void **state)
{
	(void)state;
	add_legit(LEGIT);
	live_days(0, 15);
	for (size_t i = 0; i < town.n; i += 8)
		town.who[i].relayed = true;
	live_days(15, 22);
	assert_quiet();
}

/* Three times as many within two days. */
static void test_a_flash_crowd(void **state)
{
	(void)state;
	add_legit(LEGIT / 2);
	live_days(0, 15);
	add_legit(LEGIT);
	for (size_t i = LEGIT / 2; i < town.n; i++)
		town.who[i].from_day = 15 + (uint32_t)(i & 1);
	live_days(15, 22);
	assert_quiet();
}

/* Four hundred students at home run the same notebook until the same deadline. */
static void test_a_course(void **state)
{
	(void)state;
	add_legit(LEGIT);
	add_farm(400, 15);
	for (size_t i = LEGIT; i < town.n; i++) {
		town.who[i].relayed = false;
		town.who[i].stack = i % 3 ? LINUX_STACK : ANDROID_STACK;
		town.who[i].zone = 1;
		town.who[i].until_day = 18;
		town.who[i].idle_ms = 4000;
	}
	live_days(0, 22);
	assert_quiet();
}

/* The farm, and half of the town on the same stem. */
static void become_heavy_over_quic(void)
{
	for (size_t i = 0; i < town.n; i++) {
		if (i < LEGIT && i % 2)
			continue;
		town.who[i].stem = 0x5ee4;
		town.who[i].stack = FG_STACK_QUIC;
		town.who[i].relayed = false;
		town.who[i].busy = i >= LEGIT;
		town.who[i].a_day = i >= LEGIT ? 100 : town.who[i].a_day;
	}
}

/* Without relays a farm must be heavy; over QUIC nobody is ever measured to come through one. */
static void test_a_heavy_farm_over_quic(void **state)
{
	uint32_t flagged = 0, right = 0, n;

	(void)state;
	add_legit(LEGIT);
	add_farm(500, 15);
	become_heavy_over_quic();
	live_days(0, 18);
	assert_true(first_alarm() && first_alarm()->machines);
	n = (uint32_t)fg_cohorts_n_members(town.cohorts);
	for (uint32_t i = 0; i < n; i++)
		for (size_t k = LEGIT; k < town.n; k++)
			right += !memcmp(fg_cohorts_member_at(town.cohorts, i)->addr,
					 town.who[k].addr, 16);
	print_message("%u members, %u of them the farm's 500\n", n, right);
	assert_int_equal(fg_cohorts_members(town.cohorts, town.model, &town.conf, whole, &flagged),
			 0);
	assert_true(right >= 0.9 * 500);
	assert_true(right >= 0.98 * n);
}

/* Of who was in the last hour and came on this day: how many does the cohort mark, of how many? */
static uint32_t marked(const struct fg_cohort *c, uint32_t from_day, uint32_t *ret_n)
{
	const uint32_t *places;
	size_t n = fg_cohorts_active(town.cohorts, c, &places);
	struct fg_traits_reader reader;
	uint32_t yes = 0;

	*ret_n = 0;
	fg_traits_begin(&reader, town.model, NULL);
	for (size_t i = 0; i < n; i++) {
		struct fg_traits t;
		uint64_t first_ns = fg_model_client_at(town.model, places[i])->first_ns;

		if ((first_ns - START_NS) / FG_DAY_NS != from_day)
			continue;
		fg_traits_read(&reader, places[i], &t);
		++*ret_n;
		yes += fg_cohort_marks(c, town.model, &t);
	}
	return yes;
}

/* Machines like a farm's that were there two weeks before it came are none of it. */
static void test_machines_that_were_there(void **state)
{
	static const struct {
		uint32_t many, day;
		bool marked;
	} came[] = { { 24, 0, false }, { 24, 3, false }, { 24, 10, true }, { 500, 18, true } };

	(void)state;
	add_legit(LEGIT);
	for (size_t i = 0; i < 4; i++)
		add_farm(came[i].many, came[i].day);
	become_heavy_over_quic();
	live_days(0, 20);
	assert_true(first_alarm() && first_alarm()->machines);
	for (size_t i = 0; i < fg_cohorts_n_members(town.cohorts); i++)
		for (size_t k = LEGIT; k < LEGIT + 48; k++)
			assert_memory_not_equal(fg_cohorts_member_at(town.cohorts, i)->addr,
						town.who[k].addr, 16);
	for (size_t i = 0; i < 4; i++) {
		uint32_t n, yes = marked(first_alarm(), came[i].day, &n);

		assert_true(n > came[i].many / 2);
		assert_int_equal(yes, came[i].marked ? n : 0);
	}
}

/* A release moves most of one stem's clients to another one, new to all. */
static void test_a_release(void **state)
{
	(void)state;
	add_legit(LEGIT);
	for (uint32_t day = 0; day < 22; day++) {
		for (size_t i = 0; day >= 15 && i < town.n; i++)
			if (town.who[i].stem == 0x5ee1 && fg_prng_below(&town.rng, 4) == 0)
				town.who[i].stem = 0x5ee3;
		live_days(day, day + 1);
	}
	assert_quiet();
}

/* A restart in the middle of an alarm costs neither what was learned nor the members. */
static void test_a_restart(void **state)
{
	struct fg_cohorts *fresh;
	void *bytes;
	size_t n, members;
	char why[128];

	(void)state;
	add_legit(LEGIT);
	add_farm(700, 15);
	live_days(0, 16);
	members = fg_cohorts_n_members(town.cohorts);
	assert_true(members > 500);
	assert_int_equal(fg_cohorts_save(town.cohorts, &bytes, &n), 0);
	print_message("%zu bytes of state\n", n);
	assert_int_equal(fg_cohorts_new(&fresh), 0);
	assert_int_equal(fg_cohorts_load(fresh, bytes, n, why, sizeof(why)), 0);
	fg_cohorts_free(&town.cohorts);
	town.cohorts = fresh;
	assert_int_equal(fg_cohorts_n_members(town.cohorts), members);
	live_days(16, 17);
	assert_true(fg_cohorts_n_members(town.cohorts) >= members);
	assert_non_null(first_alarm());
	for (size_t i = 0; i < n; i += 997) {
		struct fg_cohorts *damaged;

		((uint8_t *)bytes)[i] ^= 0x40;
		assert_int_equal(fg_cohorts_new(&damaged), 0);
		assert_int_equal(fg_cohorts_load(damaged, bytes, n, why, sizeof(why)), -EBADMSG);
		assert_int_equal(fg_cohorts_load(damaged, bytes, i, why, sizeof(why)), -EBADMSG);
		fg_cohorts_free(&damaged);
		((uint8_t *)bytes)[i] ^= 0x40;
	}
	free(bytes);
}

/* A farm that is there from the first hour on is reported, and has no members. */
static void test_cold_start(void **state)
{
	(void)state;
	add_legit(LEGIT);
	add_farm(700, 0);
	live_days(0, 2);
	assert_quiet();
}

/* What recursions stand at behind each cell, whatever the hour's tests said. */
static void set_recursions(double automation, double lockstep)
{
	for (int kind = 0; kind < _FG_CELL_MAX; kind++)
		for (size_t i = 0; i <= FG_CELLS_KEPT; i++) {
			struct fg_watch *w = &town.cohorts->watch[kind][i];

			w->log_r[FG_FAMILY_AUTOMATION] = (float)automation;
			w->support[FG_SUPPORT_LOCKSTEP] = (float)lockstep;
		}
}

/* Half of all come through a new privacy relay. The surest lockstep makes no cohort of them where nothing else
 * says automation, and makes one where that is suspected already. */
static void test_support_is_never_alone(void **state)
{
	(void)state;
	add_legit(LEGIT);
	live_days(0, 5);
	for (size_t i = 0; i < town.n; i += 2)
		town.who[i].relayed = true;
	for (uint32_t h = 5 * 24; h < 6 * 24 + 8; h++) {
		set_recursions(-INFINITY, FG_ALARM_MAX_NATS);
		live_hour(h);
		assert_quiet();
	}
	/* the same without support */
	set_recursions(FG_SUSPECT_NATS + 6, -INFINITY);
	live_hour(6 * 24 + 8);
	assert_quiet();
	set_recursions(FG_SUSPECT_NATS + 6, FG_ALARM_MAX_NATS);
	live_hour(6 * 24 + 9);
	assert_true(warm_alarms() > 0);
}

/* However often a client shows what it is like, it counts once. */
static void test_repetition_is_no_evidence(void **state)
{
	(void)state;
	add_legit(LEGIT);
	add_farm(700, 5);
	for (size_t i = LEGIT; i < town.n; i++)
		town.who[i].a_day = 150;
	live_days(0, 12);
	assert_true(fg_cohorts_n_members(town.cohorts) > 500);
	for (size_t i = 0; i < fg_cohorts_n_members(town.cohorts); i++) {
		const struct fg_member *m = fg_cohorts_member_at(town.cohorts, i);

		for (int f = 0; f < _FG_FAMILY_MAX; f++) {
			assert_true(m->nats[f] <= FG_FAMILY_CAP_NATS + 1e-6);
			assert_true(m->nats[f] >= FG_FAMILY_FLOOR_NATS - 1e-6);
		}
	}
}

/* A clock that was set back ends no hour twice. */
static void test_hours_go_on(void **state)
{
	(void)state;
	add_legit(100);
	live_hour(5);
	assert_int_equal(fg_cohorts_hour(town.cohorts, town.model, NULL, &town.conf,
					 (uint32_t)(START_NS / HOUR_NS) + 5),
			 -EINVAL);
	assert_int_equal(fg_cohorts_hour(town.cohorts, town.model, NULL, &town.conf,
					 (uint32_t)(START_NS / HOUR_NS) + 4),
			 -EINVAL);
	live_hour(6);
	/* a month without a frame */
	live_hour(6 + 30 * 24);
	assert_int_equal(fg_cohorts_state(town.cohorts).hours, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_repetition_is_no_evidence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_support_is_never_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hours_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_relay_product, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_flash_crowd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_course, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_heavy_farm_over_quic, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_machines_that_were_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_release, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cold_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_happens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_farm_is_one_cohort, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
