/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/lockstep.c: batches are seen and stay the same group over days; sources that are dealt work in
 * turn, and people of one country, are not, and make e-values of one on average.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/lockstep.h"
#include "detect/thresholds.h"
#include "packet.h"

#define MOST  60000
#define DRAWS 200

static struct {
	struct fg_step steps[MOST];
	uint32_t groups[MOST];
	size_t n;
	struct fg_prng rng;
} day;

static double uniform(void)
{
	return (double)(fg_prng_next(&day.rng) >> 11) * 0x1p-53;
}

static struct fg_step *add(uint8_t shape)
{
	struct fg_step *s = &day.steps[day.n++];

	assert_true(day.n <= MOST);
	*s = (struct fg_step){ .shape = shape, .source = day.n, .client = day.n };
	return s;
}

static void mark(struct fg_step *s, int quarter)
{
	if (quarter >= 0 && quarter < 96)
		s->quarters[quarter / 32] |= 1U << quarter % 32;
}

/* 26 exchanges at any time. */
static void add_in_turn(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct fg_step *s = add((uint8_t)(i % 3));

		for (int k = 0; k < 26; k++)
			mark(s, (int)(96 * uniform()));
	}
}

/* One country's day, busy from nine to six: sessions of half an hour to two hours. */
static void add_people(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct fg_step *s = add(1);
		int sessions = 2 + (int)(4 * uniform());

		for (int k = 0; k < sessions; k++) {
			int at = 36 + (int)(36 * uniform()), lasts = 2 + (int)(7 * uniform());

			for (int q = at; q < at + lasts; q++)
				mark(s, q);
		}
	}
}

/* Batches of half an hour, the same twelve for all of one list; each client takes part in most. */
static void add_batch(size_t n, const int *starts, double takes_part)
{
	for (size_t i = 0; i < n; i++) {
		struct fg_step *s = add(1);

		for (int k = 0; k < 12; k++) {
			if (uniform() > takes_part)
				continue;
			mark(s, starts[k]);
			mark(s, starts[k] + 1);
		}
	}
}

static void draw_starts(int starts[12])
{
	for (int k = 0; k < 12; k++)
		starts[k] = (int)(95 * uniform());
}

static struct fg_lockstep test(uint64_t seed)
{
	struct fg_lockstep l;

	assert_int_equal(fg_lockstep_test(day.steps, day.n, seed, day.groups, &l), 0);
	return l;
}

static void in_turn(void)
{
	add_in_turn(200);
}

/* So many that pairs are above the bar by chance: about one in five hundred. */
static void busy(void)
{
	for (size_t i = 0; i < 200; i++) {
		struct fg_step *s = add(1);

		for (int k = 0; k < 60; k++)
			mark(s, (int)(96 * uniform()));
	}
}

static void people(void)
{
	add_people(200);
}

static void both(void)
{
	add_in_turn(120);
	add_people(120);
}

/* e is 6.9 at most: the mean of 200 has an error of some 0.09, of which three are the margin. None of these
 * days may be told of, and of what is not, no more than e = 1 counts (detect/cohort_daily.c). */
static void assert_honest(const char *name, void (*draw)(void), bool exact)
{
	double sum = 0, squares = 0, mean, error;

	day.rng.state = 1;
	for (uint64_t i = 0; i < DRAWS; i++) {
		struct fg_lockstep l;
		double e;

		day.n = 0;
		draw();
		l = test(i);
		e = exp(l.log_e);
		sum += e;
		squares += e * e;
		assert_true(l.known);
		assert_false(l.effect);
		if (!i)
			print_message("%s: %u pairs, usual %.1f, %u in %u groups, p %.3f\n", name,
				      l.pairs, l.pairs_usual, l.in_groups, l.groups, l.p);
	}
	mean = sum / DRAWS;
	error = sqrt((squares / DRAWS - mean * mean) / DRAWS);
	print_message("%s: mean e-value %.3f, its error %.3f\n", name, mean, error);
	assert_true(!exact || mean <= 1.05 + 3 * error);
}

static void test_null(void **state)
{
	(void)state;
	assert_honest("in turn", in_turn, true);
	assert_honest("busy", busy, true);
	assert_honest("people", people, false);
	assert_honest("both", both, false);
}

static uint32_t in_groups(size_t from, size_t to)
{
	uint32_t n = 0;

	for (size_t i = from; i < to; i++)
		n += day.groups[i] != 0;
	return n;
}

static void test_batch(void **state)
{
	struct fg_lockstep l;
	int one[12], other[12];

	(void)state;
	day.rng.state = 2;
	day.n = 0;
	add_people(1000);
	add_in_turn(500);
	draw_starts(one);
	draw_starts(other);
	add_batch(300, one, 0.85);
	add_batch(200, other, 0.85);
	l = test(9);
	print_message(
		"%u pairs, usual %.0f, p %.3f, %u clients in %u groups; %u of 500 in batches\n",
		l.pairs, l.pairs_usual, l.p, l.in_groups, l.groups, in_groups(1500, 2000));
	assert_true(l.p <= 0.005 && l.effect);
	assert_true(in_groups(1500, 2000) > 400);
	assert_int_not_equal(day.groups[1600], day.groups[1900]);
	assert_int_equal(day.groups[1600], day.groups[1700]);
	/* those that are dealt work in turn are in none */
	assert_true(in_groups(1000, 1500) < 10);
	assert_true(in_groups(0, 1000) < 20);
}

/* The same times of other shapes, or of one source, are no lockstep. */
static void test_what_is_none(void **state)
{
	struct fg_lockstep l;
	int starts[12];

	(void)state;
	day.rng.state = 3;
	day.n = 0;
	draw_starts(starts);
	add_in_turn(300);
	add_batch(60, starts, 1);
	for (size_t i = 300; i < 360; i++)
		day.steps[i].source = 77;
	l = test(1);
	assert_false(l.effect);
	day.n = 0;
	add_in_turn(300);
	add_batch(60, starts, 1);
	for (size_t i = 300; i < 360; i++)
		day.steps[i].shape = (uint8_t)(i - 300);
	l = test(1);
	assert_false(l.effect);
	/* always there, or hardly ever */
	day.n = 0;
	for (int i = 0; i < 200; i++) {
		memset(add(1)->quarters, 0xff, sizeof(day.steps[0].quarters));
		add(1)->quarters[0] = 0xff << 8 & 0x1f00;
	}
	l = test(1);
	assert_false(l.known || l.effect);
	assert_true(l.log_e == 0);
}

static void test_days(void **state)
{
	struct fg_lockstep_days *days, *again;
	struct fg_lockstep_kept *kept = malloc(FG_LOCKSTEP_KEPT * sizeof(*kept));
	struct fg_lockstep l;
	size_t n;

	(void)state;
	day.rng.state = 4;
	assert_int_equal(fg_lockstep_days_new(&days), 0);
	assert_int_equal(fg_lockstep_days_new(&again), 0);
	for (uint16_t d = 100; d < 104; d++) {
		int starts[12];

		/* other times each day, the same clients */
		draw_starts(starts);
		day.n = 0;
		add_batch(300, starts, 0.9);
		add_in_turn(700);
		l = test(d);
		assert_true(l.effect);
		assert_int_equal(fg_lockstep_note(days, d, day.steps, day.n, day.groups, &l), 0);
		print_message("day %u: %u in groups, %u on %d days\n", d, l.in_groups, l.on_days,
			      FG_LOCKSTEP_DAYS);
		assert_true(d < 102 ? !l.on_days : l.on_days > 250);
		/* a day that is told twice is one */
		assert_int_equal(fg_lockstep_note(days, d, day.steps, day.n, day.groups, &l), 0);
		assert_true(d < 102 ? !l.on_days : l.on_days > 250);
	}
	/* over a restart */
	n = fg_lockstep_days_save(days, kept);
	assert_true(n > 250 && n <= 1000);
	fg_lockstep_days_load(again, kept, n);
	assert_int_equal(fg_lockstep_note(again, 104, day.steps, day.n, day.groups, &l), 0);
	assert_true(l.on_days > 250);
	/* and gone after a week */
	assert_int_equal(fg_lockstep_note(days, 111, day.steps, day.n, day.groups, &l), 0);
	assert_int_equal(l.on_days, 0);
	fg_lockstep_days_free(&days);
	fg_lockstep_days_free(&again);
	free(kept);
}

/* What is remembered has a bound, and what finds no room is counted. */
static void test_bound(void **state)
{
	struct fg_lockstep_days *days;
	struct fg_lockstep l = { .groups = 1 };
	uint32_t *groups = malloc(MOST * sizeof(*groups));

	(void)state;
	assert_int_equal(fg_lockstep_days_new(&days), 0);
	day.n = 0;
	for (int i = 0; i < MOST; i++) {
		add(1);
		groups[i] = 1;
	}
	assert_int_equal(fg_lockstep_note(days, 100, day.steps, MOST, groups, &l), 0);
	assert_int_equal(fg_lockstep_refused(days), MOST - FG_LOCKSTEP_KEPT);
	assert_int_equal(fg_lockstep_note(days, 101, day.steps, MOST, groups, &l), 0);
	assert_int_equal(fg_lockstep_refused(days), 2 * (MOST - FG_LOCKSTEP_KEPT));
	fg_lockstep_days_free(&days);
	free(groups);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_null),	     cmocka_unit_test(test_batch),
		cmocka_unit_test(test_what_is_none), cmocka_unit_test(test_days),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests_name("lockstep", tests, NULL, NULL);
}
