/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/families.c: how usual a stem is, is no evidence. Who has one that everybody has, or one that was
 * never seen before, is judged by what it does: nothing for nothing, and for the same trait the
 * unseen one a nat more at most.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "detect/cohort.h"
#include "detect/families.h"

#define HOUR_NS	 3600000000000ULL
#define START_NS (20500 * FG_DAY_NS)
#define POPULAR	 0xaaaULL
#define UNSEEN	 0xbbbULL
#define CROWD	 2000

static struct fg_model *model;
static struct fg_cohorts *cohorts;

static struct {
	struct fg_epoch_source sources[CROWD + 4];
	struct fg_epoch_client clients[CROWD + 4];
	struct fg_epoch_flow flows[CROWD + 4];
	size_t n;
} rows;

static void address(uint32_t i, uint8_t ret[16])
{
	memset(ret, 0, 16);
	ret[10] = ret[11] = 0xff;
	ret[12] = 11;
	ret[13] = (uint8_t)(i % 250);
	ret[14] = (uint8_t)(i >> 8);
	ret[15] = (uint8_t)i;
}

static void add(uint32_t i, uint64_t stem, bool relayed, uint64_t ns)
{
	struct fg_epoch_flow *f = &rows.flows[rows.n];

	rows.sources[rows.n] =
		(struct fg_epoch_source){ .proven = 1, .connections = 1, .hellos = 1 };
	rows.clients[rows.n] =
		(struct fg_epoch_client){ .stem = stem, .print = stem, .connections = 1 };
	*f = (struct fg_epoch_flow){ .stem = stem,
				     .print = stem,
				     .news = FG_NEWS_OPENED | FG_NEWS_TIMES,
				     .opened_ns = ns,
				     .n_rtts = 2,
				     .rtt_us = 30000,
				     .turn_us = relayed ? 150000 : 33000 };
	address(i, rows.sources[rows.n].addr);
	address(i, rows.clients[rows.n].addr);
	address(i, f->addr);
	rows.n++;
}

/* Four days of a crowd of one stem of which one in fifty is relayed, and in the last hours four others: of the
 * crowd's stem and of one that was never seen, with nothing about them and relayed. Who they are comes up
 * days before, so that being new says nothing. */
static void live(void)
{
	for (uint32_t h = 0; h < 100; h++) {
		struct fg_epoch e = { .start_ns = START_NS + h * HOUR_NS,
				      .end_ns = START_NS + (h + 1) * HOUR_NS - 1,
				      .sources = rows.sources,
				      .clients = rows.clients,
				      .flows = rows.flows };

		rows.n = 0;
		for (uint32_t i = 0; i < CROWD; i++)
			if ((i + h) % 3 == 0)
				add(i, POPULAR, i % 50 == 0, e.start_ns);
		for (uint32_t i = 0; i < 4 && h % 24 == 3; i++)
			add(CROWD + i, h < 96 || i < 2 ? POPULAR : UNSEEN, i % 2, e.start_ns);
		for (uint32_t i = 0; i < 4 && h >= 96; i++)
			add(CROWD + i, i < 2 ? POPULAR : UNSEEN, i % 2, e.start_ns);
		e.n_sources = e.n_clients = e.n_flows = rows.n;
		assert_int_equal(fg_model_apply(model, &e), 0);
		/* the last hour is still running */
		if (h < 99)
			assert_int_equal(fg_cohorts_hour(cohorts, model, NULL, &fg_detect_defaults,
							 (uint32_t)(START_NS / HOUR_NS) + h),
					 0);
		fg_model_begin_hour(model);
	}
}

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = 4000, .clients = 4000, .fingerprints = 100, .window_ns = HOUR_NS
	};

	(void)state;
	if (fg_model_new(&limits, &model) || fg_cohorts_new(&cohorts))
		return -1;
	live();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&model);
	fg_cohorts_free(&cohorts);
	return 0;
}

static double nats_of(uint32_t i, uint64_t stem, const struct fg_cells *cells)
{
	const struct fg_scene scene = { .model = model, .cells = cells };
	struct fg_evidence e[FG_MAX_EVIDENCE];
	uint8_t addr[16];
	const struct fg_model_client *client;

	address(i, addr);
	client = fg_model_client_find(model, addr, stem, 0);
	assert_non_null(client);
	return fg_families_nats(e, fg_families_judge(&scene, fg_model_source_find(model, addr),
						     client, e, FG_MAX_EVIDENCE));
}

static void test_popularity_is_no_evidence(void **state)
{
	const struct fg_cells *learned[] = { NULL, fg_cohorts_cells(cohorts) };

	(void)state;
	for (int i = 0; i < 2; i++) {
		double popular = nats_of(CROWD + 1, POPULAR, learned[i]);
		double unseen = nats_of(CROWD + 3, UNSEEN, learned[i]);

		print_message("%s: popular %.2f, unseen %.2f nats for a relay\n",
			      i ? "learned" : "cold", popular, unseen);
		assert_true(nats_of(CROWD, POPULAR, learned[i]) == 0);
		assert_true(nats_of(CROWD + 2, UNSEEN, learned[i]) == 0);
		assert_true(popular > 1 && unseen > 1);
		assert_true(unseen <= popular + 1);
		assert_true(unseen <= FG_FAMILY_CAP_NATS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_popularity_is_no_evidence, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
