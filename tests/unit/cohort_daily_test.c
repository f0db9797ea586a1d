/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/cohort_daily.c: days of a model in epochs of five minutes, with a cell that is raised by hand. A
 * hydra's hand-overs and a batch's lockstep reach the cell's recursions and its cohort's evidence, people
 * and jobs do not; each cell is asked once a day, and only where something is amiss.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/cohort_state.h"
#include "detect/thresholds.h"
#include "farmgate/turn_shape.h"
#include "packet.h"

#define MINUTE_NS 60000000000ULL
#define EPOCH_NS  (5 * MINUTE_NS)
#define HOUR_NS	  3600000000000ULL
#define START_NS  (20500 * FG_DAY_NS)
#define STEM	  0x5eedULL
#define MOST	  20000
#define A_DAY	  288 /* epochs */

/* From .. to, in epochs since the start; in between it connects by its kind. */
struct one {
	uint32_t from, to, network;
	enum {
		FLAT,
		OFFICE,
		BATCH,
	} kind;
};

static struct {
	struct one who[MOST];
	uint32_t n;
	struct fg_prng rng;
	struct fg_model *model;
	struct fg_cohorts *cohorts;
	uint32_t batch[12]; /* quarter hours of the day */
} world;

static struct {
	struct fg_epoch_source sources[MOST];
	struct fg_epoch_client clients[MOST];
	struct fg_epoch_flow flows[MOST];
} rows;

static uint32_t below(uint32_t n)
{
	return fg_prng_below(&world.rng, n);
}

static void add(uint32_t from, uint32_t to, int kind)
{
	struct one *o = &world.who[world.n++];

	assert_true(world.n <= MOST);
	*o = (struct one){ .from = from, .to = to, .network = below(250) };
	o->kind = kind;
}

static bool is_active(const struct one *o, uint32_t epoch)
{
	uint32_t quarter = epoch % A_DAY / 3;

	/* first and last are seen */
	if (epoch == o->from || epoch == o->to)
		return true;
	if (epoch < o->from || epoch > o->to)
		return false;
	if (o->kind == FLAT)
		return below(12) == 0;
	if (o->kind == OFFICE)
		return quarter >= 32 && quarter < 72 && below(9) == 0;
	for (int i = 0; i < 12; i++)
		if (world.batch[i] == quarter)
			return below(2) == 0;
	return false;
}

static void live_epoch(uint32_t epoch)
{
	struct fg_epoch e = { .start_ns = START_NS + epoch * EPOCH_NS,
			      .end_ns = START_NS + (epoch + 1) * EPOCH_NS - 1,
			      .sources = rows.sources,
			      .clients = rows.clients,
			      .flows = rows.flows };

	for (uint32_t i = 0; i < world.n; i++) {
		const struct one *o = &world.who[i];
		uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };
		struct fg_epoch_flow *f = &rows.flows[e.n_flows];

		if (!is_active(o, epoch))
			continue;
		addr[12] = 11;
		addr[13] = (uint8_t)o->network;
		addr[14] = (uint8_t)(i >> 8);
		addr[15] = (uint8_t)i;
		rows.sources[e.n_sources] =
			(struct fg_epoch_source){ .proven = 1, .connections = 1, .hellos = 1 };
		rows.clients[e.n_clients] =
			(struct fg_epoch_client){ .stem = STEM, .print = STEM, .connections = 1 };
		*f = (struct fg_epoch_flow){ .stem = STEM,
					     .print = STEM,
					     .exchanges = 1,
					     .news = FG_NEWS_OPENED,
					     .opened_ns = e.start_ns,
					     .n_turns = 1 };
		f->turns[0] =
			(struct fg_epoch_turn){ .start_ns = e.start_ns,
						.shape = fg_turn_shape(24000, 50000, 4000, 900) };
		memcpy(rows.sources[e.n_sources++].addr, addr, 16);
		memcpy(rows.clients[e.n_clients++].addr, addr, 16);
		memcpy(f->addr, addr, 16);
		e.n_flows++;
	}
	assert_int_equal(fg_model_apply(world.model, &e), 0);
}

static struct fg_watch *watch(void)
{
	for (uint16_t i = 1; i < fg_cells_n(world.cohorts->cells, FG_CELL_STEM); i++)
		if (fg_cells_at(world.cohorts->cells, FG_CELL_STEM, i)->key.stem == STEM)
			return &world.cohorts->watch[FG_CELL_STEM][i];
	fail();
	return NULL;
}

/* Hours from .. to - 1; raised is what stands behind the cell in each. */
static void live(uint32_t from, uint32_t to, double raised)
{
	for (uint32_t h = from; h < to; h++) {
		for (uint32_t k = 0; k < 12; k++)
			live_epoch(h * 12 + k);
		if (h)
			watch()->log_r[FG_FAMILY_LIFECYCLE] = (float)raised;
		assert_int_equal(fg_cohorts_hour(world.cohorts, world.model, NULL,
						 &fg_detect_defaults,
						 (uint32_t)(START_NS / HOUR_NS) + h),
				 0);
		fg_model_begin_hour(world.model);
	}
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = MOST, .clients = MOST, .fingerprints = 100, .window_ns = MINUTE_NS
	};

	(void)state;
	memset(&world, 0, sizeof(world));
	world.rng.state = 3;
	for (int i = 0; i < 12; i++)
		world.batch[i] = (uint32_t)(5 + i * 37) % 96;
	if (fg_model_new(&limits, &world.model))
		return -1;
	return fg_cohorts_new(&world.cohorts);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&world.model);
	fg_cohorts_free(&world.cohorts);
	return 0;
}

static void add_people(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = below(4 * A_DAY);

		add(from, from + A_DAY + below(4 * A_DAY), OFFICE);
	}
}

/* n exits; of each, one in twenty an hour is replaced from elsewhere one to three epochs later. */
static void add_hydra(uint32_t n, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t at = from + below(A_DAY); at < to;) {
			uint32_t lives = 4 + below(2 * 240);

			add(at, at + lives, FLAT);
			at += lives + 1 + below(2);
		}
	}
}

static void test_hydra(void **state)
{
	struct fg_watch *w;

	(void)state;
	add_people(600);
	add_hydra(300, A_DAY, 4 * A_DAY);
	/* the first whole day behind the model's own first is asked of on the third */
	live(0, 49, 20);
	assert_int_equal(fg_cohorts_state(world.cohorts).daily_asked, 0);
	live(49, 72, 20);
	assert_int_equal(fg_cohorts_state(world.cohorts).daily_asked, 1);
	/* by day 3 it is full */
	live(72, 98, 20);
	w = watch();
	print_message("recursion %.2f, asked %llu\n", w->support[FG_SUPPORT_HANDOVER],
		      (unsigned long long)fg_cohorts_state(world.cohorts).daily_asked);
	assert_int_equal(fg_cohorts_state(world.cohorts).daily_asked, 3);
	assert_true(w->support[FG_SUPPORT_HANDOVER] > 3);
	/* support alone, and a family alone, raise nothing */
	assert_int_equal(fg_cohorts_n(world.cohorts), 0);
	assert_int_equal(fg_cohorts_state(world.cohorts).daily_left_out, 0);
}

/* The same hours, nothing amiss: it is not asked. */
static void test_not_asked(void **state)
{
	(void)state;
	add_people(300);
	add_hydra(100, A_DAY, 4 * A_DAY);
	live(0, 98, 0);
	assert_int_equal(fg_cohorts_state(world.cohorts).daily_asked, 0);
	assert_true(watch()->support[FG_SUPPORT_HANDOVER] == -INFINITY);
}

/* Jobs of half an hour, each from an address of its own, most by day; people. */
static void test_jobs(void **state)
{
	(void)state;
	add_people(600);
	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t at = below(4) * A_DAY + (i % 4 ? 96 + below(120) : below(A_DAY));

		add(at, at + 4 + below(4), FLAT);
	}
	live(0, 110, 20);
	print_message("hand-over %.2f, lockstep %.2f\n", watch()->support[FG_SUPPORT_HANDOVER],
		      watch()->support[FG_SUPPORT_LOCKSTEP]);
	assert_int_equal(fg_cohorts_state(world.cohorts).daily_asked, 3);
	/* no e-value above one: three of them at most make three */
	assert_true(watch()->support[FG_SUPPORT_HANDOVER] <= log(3) + 1e-6);
	assert_true(watch()->support[FG_SUPPORT_LOCKSTEP] <= log(3) + 1e-6);
}

static bool says(const char *name)
{
	struct fg_cohort *c = &world.cohorts->list[0];
	struct fg_evidence e[FG_COHORT_EVIDENCE];
	size_t n = fg_cohort_evidence(c, e, FG_COHORT_EVIDENCE);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(e[i].name, name))
			continue;
		print_message("%s\n", e[i].text);
		assert_true(strstr(e[i].text, "flags nobody by itself") != NULL);
		/* the sentence has its end */
		assert_true(e[i].text[strlen(e[i].text) - 1] == '.');
		return true;
	}
	return false;
}

/* A cohort that stands: what is found of its cell becomes evidence, lockstep from the third day on, and is
 * there after a restart. */
static void test_evidence(void **state)
{
	struct fg_cohorts *again;
	char why[128];
	void *bytes;
	size_t n;

	(void)state;
	add_people(400);
	add_hydra(300, A_DAY, 7 * A_DAY);
	for (uint32_t i = 0; i < 250; i++)
		add(below(A_DAY), 9 * A_DAY, BATCH);
	live(0, 48, 20);
	world.cohorts->list[world.cohorts->n++] = (struct fg_cohort){
		.id = 1, .key = fg_cells_at(world.cohorts->cells, FG_CELL_STEM, 1)->key
	};
	world.cohorts->next_id = 2;
	watch()->cohort = 1;
	for (uint32_t day = 2; day < 6; day++) {
		world.cohorts->list[0].alarm_ns = fg_model_now_ns(world.model);
		live(day * 24, day * 24 + 24, 20);
		print_message("day %u: lockstep %.2f\n", day, watch()->support[1]);
		if (day < 4)
			assert_false(says("lockstep"));
	}
	assert_true(says("hand_over"));
	assert_true(says("lockstep"));
	assert_true(world.cohorts->list[0].lockstep.on_days > 200);
	assert_int_equal(fg_cohorts_save(world.cohorts, &bytes, &n), 0);
	assert_int_equal(fg_cohorts_new(&again), 0);
	assert_int_equal(fg_cohorts_load(again, bytes, n, why, sizeof(why)), 0);
	fg_cohorts_free(&world.cohorts);
	world.cohorts = again;
	free(bytes);
	assert_true(says("hand_over") && says("lockstep"));
	world.cohorts->list[0].lockstep.on_days = 0;
	live(144, 146, 20);
	assert_true(world.cohorts->list[0].lockstep.on_days > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hydra, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_jobs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_evidence, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("cohort_daily", tests, NULL, NULL);
}
