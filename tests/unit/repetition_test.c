/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * However often a trait is observed, it counts once and up to its cap: of a source, an office that
 * comes through a CONNECT proxy, and of a member of a cohort. Else time alone would convict who is
 * odd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/cohort.h"
#include "detect/families.h"
#include "farmgate/turn_shape.h"
#include "packet.h"

#define S	    1000000000ULL
#define MINUTE_NS   (60 * S)
#define HOUR_NS	    (60 * MINUTE_NS)
#define START_NS    (20500 * FG_DAY_NS)
#define LEARNED	    3 /* days */
#define STEM	    0x5eedULL
#define CROWD	    300
#define OFFICE	    5000
#define EXITS	    6000
#define MOST	    600
#define MOST_FLOWS  40000
#define USUAL_STACK 7
#define RARE_STACK  9

static struct {
	struct fg_prng rng;
	struct fg_model *model;
	struct fg_cohorts *cohorts;
	struct fg_epoch epoch;
	struct fg_epoch_source sources[MOST];
	struct fg_epoch_client clients[MOST];
	struct fg_epoch_flow flows[MOST_FLOWS];
	/* of the office */
	uint64_t stack;
	struct fg_finding found;
	size_t n_found;
} town;

static void address(uint32_t i, uint8_t ret[16])
{
	memset(ret, 0, 16);
	ret[10] = ret[11] = 0xff;
	ret[12] = 11;
	ret[13] = (uint8_t)(i % 40);
	ret[14] = (uint8_t)(i >> 8);
	ret[15] = (uint8_t)i;
}

/* --- One epoch -------------------------------------------------------------------------------- */

static void begin(uint64_t start_ns, uint64_t length_ns)
{
	town.epoch = (struct fg_epoch){ .start_ns = start_ns,
					.end_ns = start_ns + length_ns - 1,
					.sources = town.sources,
					.clients = town.clients,
					.flows = town.flows };
}

static void end(void)
{
	assert_int_equal(fg_model_apply(town.model, &town.epoch), 0);
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Connections at random times, so many of which are measured. */
static void come(uint32_t i, uint64_t stack, uint32_t connections, uint32_t measured, bool relayed)
{
	struct fg_epoch *e = &town.epoch;
	uint64_t at[400], length = e->end_ns - e->start_ns;
	uint8_t addr[16];

	assert_true(e->n_clients < MOST && connections <= 400 &&
		    e->n_flows + connections <= MOST_FLOWS);
	address(i, addr);
	town.sources[e->n_sources] = (struct fg_epoch_source){ .connections = connections,
							       .proven = connections,
							       .hellos = connections };
	memcpy(town.sources[e->n_sources++].addr, addr, 16);
	town.clients[e->n_clients] = (struct fg_epoch_client){
		.stem = STEM, .stack = stack, .print = STEM, .connections = connections
	};
	memcpy(town.clients[e->n_clients++].addr, addr, 16);
	for (uint32_t k = 0; k < connections; k++)
		at[k] = e->start_ns + fg_prng_next(&town.rng) % length;
	qsort(at, connections, sizeof(at[0]), by_time);
	for (uint32_t k = 0; k < connections; k++) {
		struct fg_epoch_flow *f = &town.flows[e->n_flows++];

		*f = (struct fg_epoch_flow){ .stem = STEM,
					     .stack = stack,
					     .print = STEM,
					     .exchanges = 1,
					     .news = FG_NEWS_OPENED,
					     .opened_ns = at[k],
					     .n_turns = 1 };
		memcpy(f->addr, addr, 16);
		f->turns[0] = (struct fg_epoch_turn){
			.start_ns = at[k],
			.shape = fg_turn_shape(3000 + 20000U * relayed, 9000, 2000, 500)
		};
		if (k >= measured)
			continue;
		f->news |= FG_NEWS_TIMES;
		f->n_rtts = 2;
		f->rtt_us = 28000 + fg_prng_below(&town.rng, 4000);
		f->turn_us =
			f->rtt_us + 3000 + (relayed ? 110000 : 0) + fg_prng_below(&town.rng, 4000);
	}
}

/* A mean of three connections each, the same ones each time. */
static void crowd_comes(void)
{
	struct fg_prng r = { 8 };

	for (uint32_t i = 0; i < CROWD; i++) {
		uint32_t x = 1;

		while (x < 30 && fg_prng_below(&r, 3))
			x++;
		come(i, USUAL_STACK, x, 0, false);
	}
}

/* Days of the crowd, in which one in so many comes through a relay; of the office, which is there
 * from the first on, nothing is measured. */
static void learn(uint32_t one_in)
{
	for (uint32_t h = 0; h < LEARNED * 24; h++) {
		begin(START_NS + h * HOUR_NS, HOUR_NS);
		for (uint32_t i = 0; i < CROWD; i++)
			if ((i + h) % 3 == 0)
				come(i, USUAL_STACK, 1, 1, i % one_in == 0);
		if (h == 5)
			come(OFFICE, town.stack, 1, 0, true);
		end();
		assert_int_equal(fg_cohorts_hour(town.cohorts, town.model, NULL,
						 &fg_detect_defaults,
						 (uint32_t)(START_NS / HOUR_NS) + h),
				 0);
		fg_model_begin_hour(town.model);
	}
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = { .sources = 4096,
						.clients = 4096,
						.fingerprints = 100,
						.stems = 64,
						.hosts = 64,
						.window_ns = MINUTE_NS,
						.seed = { 1, 2 } };

	(void)state;
	memset(&town, 0, sizeof(town));
	town.rng.state = 5;
	town.stack = USUAL_STACK;
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

/* --- One source ------------------------------------------------------------------------------- */

static int keep(const struct fg_finding *f, void *arg)
{
	(void)arg;
	town.found = *f;
	town.n_found++;
	return 0;
}

static void detect(const struct fg_scene *scene, double flag_nats)
{
	struct fg_detect_conf conf = fg_detect_defaults;

	conf.flag_nats = flag_nats;
	town.n_found = 0;
	for (size_t i = 0; fg_detectors[i]; i++)
		assert_int_equal(fg_detectors[i]->run(scene, &conf, keep, NULL), 0);
}

/* Nats of each family but volume for the office; each has one piece of evidence at most. */
static double judge(const struct fg_scene *scene, double ret[_FG_FAMILY_MAX])
{
	struct fg_evidence e[FG_MAX_EVIDENCE];
	uint8_t addr[16];
	size_t n;

	address(OFFICE, addr);
	n = fg_families_judge(scene, fg_model_source_find(town.model, addr),
			      fg_model_client_find(town.model, addr, STEM, town.stack), e,
			      FG_MAX_EVIDENCE);
	memset(ret, 0, _FG_FAMILY_MAX * sizeof(*ret));
	for (size_t i = 0; i < n; i++) {
		assert_true(ret[e[i].family] == 0);
		ret[e[i].family] = e[i].nats;
		assert_true(e[i].nats <= FG_FAMILY_CAP_NATS);
	}
	assert_true(ret[FG_FAMILY_VOLUME] == 0);
	return fg_families_nats(e, n);
}

/* A minute of the office and of the crowd, or of the office alone. */
static void live_minute(uint32_t minute, uint32_t connections, bool crowd)
{
	begin(START_NS + LEARNED * FG_DAY_NS + minute * MINUTE_NS, MINUTE_NS);
	come(OFFICE, town.stack, connections, connections, true);
	if (crowd)
		crowd_comes();
	end();
}

static double volume_of_found(void)
{
	assert_int_equal(town.n_found, 1);
	assert_int_equal(town.found.evidence[0].family, FG_FAMILY_VOLUME);
	return town.found.evidence[0].nats;
}

/* The office in minutes of twenty connections: enough to be looked at, and no volume to be flagged
 * for. What it is like is said on three connections, and no louder on 3,000.
 * @return nats of relay. */
static double watch_office(const struct fg_scene *scene)
{
	static const uint32_t steps[] = { 3, 30, 300, 3000 };
	double first[_FG_FAMILY_MAX], now[_FG_FAMILY_MAX], others = 0, score = 0;
	uint32_t minute = 0, seen = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		while (seen < steps[i]) {
			uint32_t n = (steps[i] - seen) % 20 ? (steps[i] - seen) % 20 : 20;

			seen += n;
			live_minute(minute++, n, seen == steps[i]);
		}
		detect(scene, FG_FLAG_NATS);
		assert_int_equal(town.n_found, 0);
		if (i == 0) {
			others = judge(scene, first);
			assert_true(others == first[FG_FAMILY_RELAY]);
			continue;
		}
		assert_true(judge(scene, now) == others);
		assert_memory_equal(now, first, sizeof(now));
		/* it was looked at: with a lower threshold the same score is told each time */
		detect(scene, 5);
		assert_float_equal(town.found.score, volume_of_found() + others, 1e-9);
		assert_true(i == 1 || town.found.score == score);
		score = town.found.score;
	}
	/* flagged for what it does, and the same is added for how it looks */
	live_minute(minute, 300, true);
	detect(scene, FG_FLAG_NATS);
	assert_float_equal(town.found.score, volume_of_found() + others, 1e-9);
	print_message("relay %.2f nats; %.2f with 20 connections a minute, %.2f with 300\n", others,
		      score, town.found.score);
	return others;
}

static void test_an_office_behind_a_proxy(void **state)
{
	const struct fg_scene cold = { .model = town.model };
	double relay;

	(void)state;
	learn(CROWD);
	relay = watch_office(&cold);
	assert_true(relay > 2 && relay < FG_FAMILY_CAP_NATS);
}

/* Nobody else of its stem comes through a relay: the cap is all that there is of it. */
static void test_where_relays_are_rare(void **state)
{
	struct fg_scene learned = { .model = town.model };

	(void)state;
	learn(CROWD);
	learned.cells = fg_cohorts_cells(town.cohorts);
	assert_float_equal(watch_office(&learned), FG_FAMILY_CAP_NATS, 1e-9);
}

/* And its stack is that of one in 300: two traits of one family, which are not added. */
static void test_on_a_rare_stack(void **state)
{
	const struct fg_scene cold = { .model = town.model };

	(void)state;
	town.stack = RARE_STACK;
	learn(CROWD);
	assert_true(fg_stem_stack(fg_model_stem(town.model, STEM), RARE_STACK).p < 0.01);
	assert_true(watch_office(&cold) > 2);
}

/* --- One member ------------------------------------------------------------------------------- */

#define PAIRS 40

static struct fg_traits traits[MOST];
static struct fg_suspect suspects[MOST];

/* The day's suspects, as a cell makes them; which is which is told by the address. */
static size_t read_suspects(void)
{
	struct fg_traits_reader reader;
	const uint32_t *places;
	size_t n = fg_model_active(town.model, &places);

	assert_true(n <= MOST);
	fg_traits_begin(&reader, town.model, NULL);
	for (size_t i = 0; i < n; i++) {
		const struct fg_model_client *c = fg_model_client_at(town.model, places[i]);

		fg_traits_read(&reader, places[i], &traits[i]);
		suspects[i] =
			(struct fg_suspect){ .traits = &traits[i],
					     /* both of a pair are judged by the same others */
					     .half = c->addr[15] >> 1 & 1,
					     .clock = FG_BIN_UNKNOWN };
	}
	return n;
}

static const struct fg_suspect *suspect_of(uint32_t i, size_t n)
{
	uint8_t addr[16];

	address(i, addr);
	for (size_t k = 0; k < n; k++) {
		const struct fg_model_client *c =
			fg_model_client_at(town.model, suspects[k].traits->place);

		if (!memcmp(c->addr, addr, 16))
			return &suspects[k];
	}
	fail();
	return NULL;
}

static bool is_relayed(const struct fg_suspect *s)
{
	return s->traits->yes >> FG_SHARE_RELAYED & 1;
}

/* Pairs of the farm's clients that differ in this alone: of 300 connections of the one three were
 * measured, of the other all. */
static void test_a_member_on_three_and_on_300(void **state)
{
	const struct fg_cells *cells = fg_cohorts_cells(town.cohorts);
	struct fg_mixture mixture;
	size_t n;

	(void)state;
	learn(25);
	begin(START_NS + LEARNED * FG_DAY_NS, HOUR_NS);
	for (uint32_t i = 0; i < CROWD; i++)
		come(i, USUAL_STACK, 1, 1, i % 25 == 0);
	for (uint32_t i = 0; i < 2 * PAIRS; i++)
		come(EXITS + i, USUAL_STACK, 300, i % 2 ? 300 : 3, true);
	/* one that cannot be told yet */
	come(EXITS + 2 * PAIRS, USUAL_STACK, 300, 2, true);
	end();
	n = read_suspects();
	fg_members_fit(cells, fg_cells_all(cells), suspects, n, 2 * PAIRS, true, 0.5, &mixture);
	for (uint32_t i = 0; i < 2 * PAIRS; i += 2) {
		const struct fg_suspect *few = suspect_of(EXITS + i, n);
		const struct fg_suspect *many = suspect_of(EXITS + i + 1, n);

		assert_int_equal(few->half, many->half);
		assert_true(few->traits->measured == 3 && many->traits->measured == 255);
		assert_true(is_relayed(few) && is_relayed(many));
		assert_memory_equal(few->nats, many->nats, sizeof(few->nats));
		assert_true(few->log_odds == many->log_odds);
		for (int f = 0; f < _FG_FAMILY_MAX; f++)
			assert_true(few->nats[f] <= FG_FAMILY_CAP_NATS);
		/* which is not what makes them equal; and that is enough */
		assert_true(few->nats[FG_FAMILY_RELAY] > 1);
		assert_true(few->nats[FG_FAMILY_RELAY] < FG_FAMILY_CAP_NATS - 0.5);
		assert_true(fg_member_lfdr(few) <= FG_MEMBER_LFDR);
	}
	assert_false(is_relayed(suspect_of(EXITS + 2 * PAIRS, n)));
	print_message("relay %.2f, automation %.2f, lifecycle %.2f nats; one in %.0f is none\n",
		      suspect_of(EXITS, n)->nats[FG_FAMILY_RELAY],
		      suspect_of(EXITS, n)->nats[FG_FAMILY_AUTOMATION],
		      suspect_of(EXITS, n)->nats[FG_FAMILY_LIFECYCLE],
		      1 / fg_member_lfdr(suspect_of(EXITS, n)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_office_behind_a_proxy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_where_relays_are_rare, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_on_a_rare_stack, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_member_on_three_and_on_300, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("repetition", tests, NULL, NULL);
}
