/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect/handover.c: e-values of comings and goings that know nothing of each other are one on average,
 * also of a fleet of jobs by office hours on the hour; a farm that replaces its exits is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "detect/handover.h"
#include "detect/thresholds.h"
#include "packet.h"

#define MOST  8192
#define DRAWS 1000

static struct {
	struct fg_move moves[MOST];
	size_t n;
	struct fg_prng rng;
} day;

static double uniform(void)
{
	return (double)(fg_prng_next(&day.rng) >> 11) * 0x1p-53;
}

static void add(int start, int stop, uint64_t network, uint8_t shape)
{
	struct fg_move *m = &day.moves[day.n++];

	assert_true(day.n <= MOST);
	*m = (struct fg_move){ network, FG_HANDOVER_NOT, FG_HANDOVER_NOT, shape };
	if (start >= 0 && start < 86400)
		m->start_s = start;
	if (stop >= -FG_HANDOVER_S && stop < 86400 + FG_HANDOVER_S &&
	    (start < 0 || stop - start >= FG_HANDOVER_S))
		m->stop_s = stop;
}

static uint64_t new_network(void)
{
	return 1 + fg_prng_below(&day.rng, 4000);
}

/* Round the clock, stops and starts apart. */
static void add_flat(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		add((int)(uniform() * 86400), -100000, new_network(), (uint8_t)(i % 3));
		add(-1, (int)(uniform() * 88200) - 900, new_network(), (uint8_t)(i % 3));
	}
}

/* Jobs on machines of their own for some fifteen minutes; most in office hours, a third of those in bursts
 * of ten on the hour, as schedulers begin them. */
static void add_jobs(size_t n)
{
	while (n > 0) {
		int hour = uniform() < 0.8 ? 8 + (int)(10 * uniform()) : (int)(24 * uniform());
		size_t burst = uniform() < 0.05 ? 10 : 1;
		int at = hour * 3600 + (burst > 1 ? 0 : (int)(3600 * uniform()));

		for (size_t i = 0; i < burst && n > 0; i++, n--) {
			int start = at + (int)(20 * uniform());
			int lasts = (int)(900 * exp(1.4 * (uniform() - 0.5)));

			add(start, start + lasts, new_network(), 1);
		}
	}
}

/* People: sessions of some hours by their day, of which the last of an address is its end. */
static void add_people(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double hour = 14 + 9 * (uniform() + uniform() - 1);
		double lasts = 2 * -log(uniform() + 1e-9);

		add(uniform() < 0.5 ? (int)(3600 * hour) : -1, (int)(3600 * (hour + lasts)),
		    new_network(), 1);
	}
}

/* Exits are banned and replaced from elsewhere within one to fifteen minutes. */
static void add_hydra(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int stop = (int)(uniform() * 85000);

		add(-1, stop, new_network(), 1);
		add(stop + 60 + (int)(uniform() * 840), -100000, new_network(), 1);
	}
}

static struct fg_handover test(void)
{
	struct fg_handover h;

	assert_int_equal(fg_handover_test(day.moves, day.n, &h), 0);
	return h;
}

static void flat(void)
{
	add_flat(300);
}

static void jobs(void)
{
	add_jobs(900);
}

static void people(void)
{
	add_people(900);
}

static void all_of_them(void)
{
	add_flat(100);
	add_jobs(500);
	add_people(300);
}

/* Jobs that begin together end together: they make pairs in the other order, which hides a farm among them
 * rather than look like one.
 *
 * The mean of DRAWS days, less three of its standard errors, is one at most. e is as heavy in its tail as
 * it may be: one draw has a standard deviation of 1.3, so that the margin is some 0.12. What may be
 * called a hand-over at p of 0.1 % is seen on 0.1 % of days: of 1,000 more than 6 has a chance of 0.01 %. */
static void assert_honest(const char *name, void (*draw)(void))
{
	double sum = 0, squares = 0, mean, error;
	unsigned int called = 0;

	day.rng.state = 1;
	for (int i = 0; i < DRAWS; i++) {
		struct fg_handover h;
		double e;

		day.n = 0;
		draw();
		h = test();
		assert_true(h.known);
		e = exp(h.log_e);
		sum += e;
		squares += e * e;
		called += h.p <= 0.001;
	}
	mean = sum / DRAWS;
	error = sqrt((squares / DRAWS - mean * mean) / DRAWS);
	print_message("%s: mean e-value %.3f, its error %.3f; %u of %d called\n", name, mean, error,
		      called, DRAWS);
	assert_true(mean <= 1.05 + 3 * error);
	assert_true(called <= 6);
}

static void test_null(void **state)
{
	(void)state;
	assert_honest("round the clock", flat);
	assert_honest("jobs", jobs);
	assert_honest("people", people);
	assert_honest("all of them", all_of_them);
}

/* Seven hundred exits of which five in a hundred are banned each hour, beside the others. */
static void test_hydra(void **state)
{
	unsigned int seen = 0;
	double told = 0;

	(void)state;
	day.rng.state = 2;
	for (int i = 0; i < 20; i++) {
		struct fg_handover h;

		day.n = 0;
		add_people(300);
		add_hydra(24 * 35);
		h = test();
		if (!i)
			print_message(
				"%u stops, %u starts, %.0f pairs after, %.0f before, p %.5f\n",
				h.stops, h.starts, h.after, h.before, h.p);
		seen += h.p <= 0.01 && h.effect;
		told += h.excess / 20;
	}
	print_message("seen on %u of 20 days; %.0f of 840 hand-overs\n", seen, told);
	assert_true(seen >= 19);
	assert_true(told > 0.8 * 840 && told < 1.2 * 840);
}

/* A thousand accounts of 25.6 exchanges a day each, on exits of which five in a hundred are banned an hour and
 * replaced at once: what is seen of a ban are the exchanges before and after, an hour apart. This is what
 * the test cannot see, and does not say. */
static void test_quiet_accounts(void **state)
{
	const double gap = 86400 / 25.6, life = 3600 / 0.05;
	unsigned int told = 0;

	(void)state;
	day.rng.state = 4;
	for (int i = 0; i < 20; i++) {
		day.n = 0;
		for (int k = 0; k < 1000; k++) {
			double at = -life * uniform(), last;

			while (at < 90000) {
				double start = at, ban = at - life * log(uniform() + 1e-12);

				for (last = at; at < ban; at -= gap * log(uniform() + 1e-12))
					last = at;
				add((int)start, (int)last, new_network(), 1);
				at = fmax(at, ban + 60 + 840 * uniform());
			}
		}
		told += test().effect;
	}
	print_message("quiet accounts: told of on %u of 20 days\n", told);
	assert_true(told <= 4);
}

/* The same in the other order, in one network, or of other shapes is no hand-over. */
static void test_what_is_none(void **state)
{
	struct fg_handover h;

	(void)state;
	day.rng.state = 3;
	day.n = 0;
	for (int i = 0; i < 800; i++) {
		int at = (int)(uniform() * 86400);

		add(at, -100000, new_network(), 1);
		add(-1, at + 60 + (int)(uniform() * 840), new_network(), 1);
	}
	h = test();
	assert_true(h.p > 0.9);
	assert_false(h.effect);
	day.n = 0;
	for (uint64_t i = 0; i < 800; i++) {
		int at = (int)(uniform() * 86400);

		add(-1, at, 9000 + i % 700, 1);
		add(at + 60, -100000, 9000 + i % 700, 1); /* a new address from one provider */
		add(-1, at, new_network(), 2);
		add(at + 60, -100000, new_network(), 3);
	}
	h = test();
	assert_true(h.p > 0.001);
	assert_false(h.effect);
}

static void test_few_say_nothing(void **state)
{
	struct fg_handover h;

	(void)state;
	day.n = 0;
	h = test();
	assert_false(h.known);
	assert_true(h.log_e == 0 && h.p == 1);
	add_hydra(FG_HANDOVER_LEAST - 1);
	h = test();
	assert_false(h.known || h.effect);
	assert_true(h.log_e == 0);
	add_hydra(1);
	assert_true(test().known);
}

/* The order in which clients are told does not matter, nor what their networks are called. */
static void test_order(void **state)
{
	struct fg_handover one, other;

	(void)state;
	day.rng.state = 5;
	day.n = 0;
	add_jobs(500);
	add_hydra(500);
	one = test();
	for (size_t i = 0; i < day.n / 2; i++) {
		struct fg_move swap = day.moves[i];

		day.moves[i] = day.moves[day.n - 1 - i];
		day.moves[day.n - 1 - i] = swap;
	}
	for (size_t i = 0; i < day.n; i++)
		day.moves[i].network += 1ULL << 40;
	other = test();
	assert_true(fabs(one.p - other.p) < 1e-9);
	assert_true(one.after == other.after && one.before == other.before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_hydra),
		cmocka_unit_test(test_quiet_accounts),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_few_say_nothing),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
