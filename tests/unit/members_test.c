/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/members.c: clients drawn at random from two populations that are known, and what is said of
 * how many are taken for the farm's by mistake. Cells that learned nothing take every bin for as usual
 * as any other, so that the usual clients are drawn like that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "detect/cohort.h"
#include "detect/thresholds.h"
#include "packet.h"

#define MOST 2000

static struct fg_prng rng;
static struct fg_cells *cells;
static struct fg_traits traits[MOST];
static struct fg_suspect suspects[MOST];
static size_t n;

static int set_up(void **state)
{
	(void)state;
	rng.state = 11;
	n = 0;
	return fg_cells_new(&cells);
}

static int tear_down(void **state)
{
	(void)state;
	fg_cells_free(&cells);
	return 0;
}

static uint8_t below(uint32_t limit)
{
	return (uint8_t)fg_prng_below(&rng, limit);
}

static struct fg_suspect *add(bool relayed, bool born)
{
	struct fg_traits *t = &traits[n];
	struct fg_suspect *s = &suspects[n++];

	assert_true(n <= MOST);
	*t = (struct fg_traits){ .measured = FG_MEMBER_MEASURED,
				 .known = 1 << FG_SHARE_RELAYED | 1 << FG_SHARE_BORN };
	t->yes = (uint8_t)(relayed << FG_SHARE_RELAYED | born << FG_SHARE_BORN);
	t->age_days = born ? 0 : 30;
	*s = (struct fg_suspect){
		.traits = t, .half = n & 1, .clock = FG_BIN_UNKNOWN, .marked = born
	};
	return s;
}

static void add_usual(size_t many)
{
	for (size_t i = 0; i < many; i++) {
		struct fg_suspect *s = add(below(20) == 0, below(10) == 0);
		uint8_t *bins = traits[n - 1].bins;

		s->member = false;
		bins[FG_HIST_TURNS] = below(FG_TURN_BINS);
		bins[FG_HIST_SHAPE] = below(FG_SHAPE_BINS);
		bins[FG_HIST_STACK] = below(FG_STACK_BINS);
	}
}

/* It does about as much a day, of a few shapes, on any stack. */
static void add_farm(size_t many, bool member)
{
	for (size_t i = 0; i < many; i++) {
		struct fg_suspect *s = add(true, below(2) == 0);
		uint8_t *bins = traits[n - 1].bins;

		s->member = member;
		bins[FG_HIST_TURNS] = 4 + below(4);
		bins[FG_HIST_SHAPE] = below(16);
		bins[FG_HIST_STACK] = below(FG_STACK_BINS);
	}
}

static struct fg_mixture fit(size_t farm)
{
	struct fg_mixture m;

	fg_members_fit(cells, fg_cells_all(cells), suspects, n, (double)farm, true, 0.5, &m);
	return m;
}

/* In the first hour of an alarm nobody is a member: all are newcomers. */
static void test_all_are_newcomers_at_first(void **state)
{
	struct fg_mixture m;

	(void)state;
	add_usual(300);
	add_farm(600, false);
	m = fit(600);
	print_message("share %.3f, of newcomers %.3f\n", m.share, m.newcomers);
	assert_true(fabs(m.share - 0.667) < 0.05);
	assert_true(m.newcomers <= m.share && m.newcomers > m.share - 0.03);
}

/* The farm was found: who is there now and was not is rather a usual client, however large the farm. */
static void test_who_is_left_is_usual(void **state)
{
	struct fg_mixture m;
	struct fg_suspect *last;
	float odds;

	(void)state;
	add_usual(300);
	add_farm(601, true);
	last = &suspects[n - 1];
	m = fit(600);
	odds = last->log_odds;
	print_message("share %.3f, of newcomers %.3f\n", m.share, m.newcomers);
	assert_true(m.share > 0.6 && m.newcomers < 0.03);
	/* the same one, had it not been found */
	last->member = false;
	m = fit(600);
	assert_true(last->log_odds < odds - 3);
	assert_true(m.newcomers < 0.03);
}

/* Who was hardly measured cannot come in, and says nothing of who can. */
static void test_unmeasured_are_no_newcomers(void **state)
{
	(void)state;
	add_usual(300);
	add_farm(600, true);
	add_farm(300, false);
	for (size_t i = 900; i < n; i++)
		traits[i].measured = FG_MEMBER_MEASURED - 1;
	assert_true(fit(900).newcomers < 0.03);
}

/* A farm that goes on growing: half of the newcomers are its. */
static void test_new_exits_still_come_in(void **state)
{
	struct fg_mixture m;
	size_t in = 0;

	(void)state;
	add_usual(300);
	add_farm(600, true);
	add_farm(300, false);
	m = fit(900);
	for (size_t i = 900; i < n; i++)
		in += fg_member_lfdr(&suspects[i]) <= FG_MEMBER_LFDR;
	print_message("share %.3f, of newcomers %.3f; %zu of 300 came in\n", m.share, m.newcomers,
		      in);
	assert_true(fabs(m.newcomers - 0.5) < 0.08);
	assert_true(in > 150);
}

/* No farm is there, but everybody does what nobody did: that is no share of a farm behind relays. */
static void test_what_is_usual_fits_badly(void **state)
{
	struct fg_mixture m;

	(void)state;
	add_usual(500);
	for (size_t i = 0; i < n; i++) {
		traits[i].bins[FG_HIST_TURNS] = 4;
		traits[i].bins[FG_HIST_SHAPE] = 9;
	}
	m = fit(150);
	print_message("share %.3f, of newcomers %.3f\n", m.share, m.newcomers);
	assert_true(m.share > 0.8);
	assert_true(m.newcomers < 0.4 && m.members < 0.4);
	/* nor of machines that came, of which there are no more than came: a tenth */
	fg_members_fit(cells, fg_cells_all(cells), suspects, n, 150, false, 0.5, &m);
	assert_true(m.share > 0.8);
	assert_true(m.newcomers < 0.15 && m.members < 0.15);
	for (size_t i = 0; i < n; i++)
		suspects[i].marked = true;
	fg_members_fit(cells, fg_cells_all(cells), suspects, n, 150, false, 0.5, &m);
	assert_true(m.newcomers > 0.8);
}

/* Two hundred hours of a farm that was found but for a twentieth of it. Each hour's usual clients are others:
 * of those that come in as many are false as is said, twice as many at most. */
static void test_stated_rate_is_true(void **state)
{
	double stated = 0;
	size_t in = 0, falsely = 0;

	(void)state;
	for (int hour = 0; hour < 200; hour++) {
		n = 0;
		add_usual(300);
		add_farm(10, false);
		add_farm(600, true);
		fit(600);
		for (size_t i = 0; i < 310; i++) {
			if (fg_member_lfdr(&suspects[i]) > 0.2)
				continue;
			in++;
			falsely += i < 300;
			stated += fg_member_lfdr(&suspects[i]);
		}
	}
	print_message("%zu came in, %.1f false ones stated, %zu are\n", in, stated, falsely);
	assert_true(in > 200 && stated > 10);
	assert_true((double)falsely <= 2 * stated);
	assert_true((double)falsely >= stated / 4);
}

/* Looks that a farm's client has are no news once it is a member; those that it does not have are. */
static void test_score_of_a_member(void **state)
{
	struct fg_member m = { .log_odds = 5 };

	(void)state;
	m.nats[FG_FAMILY_RELAY] = 3;
	m.nats[FG_FAMILY_AUTOMATION] = 4;
	assert_true(fg_member_score(&m) == 5);
	m.nats[FG_FAMILY_AUTOMATION] = -3;
	assert_true(fg_member_score(&m) == 5);
	m.nats[FG_FAMILY_LIFECYCLE] = -2;
	assert_true(fg_member_score(&m) == 3);
	assert_true(fabs(fg_member_est_fdr(&m) - 1 / (1 + exp(3))) < 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_are_newcomers_at_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_left_is_usual, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmeasured_are_no_newcomers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_new_exits_still_come_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_usual_fits_badly, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stated_rate_is_true, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_score_of_a_member, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
