/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lib/betabin.c: probabilities against values worked out by hand, e-values that average to one over
 * all outcomes of the null, and the recursion's and e-BH's arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "lib/betabin.h"

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void test_log_add(void **state)
{
	(void)state;
	assert_near(fg_log_add(log(2), log(3)), log(5), 1e-12);
	assert_near(fg_log_add(-INFINITY, log(3)), log(3), 1e-12);
	assert_true(fg_log_add(-INFINITY, -INFINITY) == -INFINITY);
	assert_near(fg_log_add(1000, 1000), 1000 + log(2), 1e-9);
}

/* a = b = 1 is the uniform distribution: each of n + 1 outcomes is as likely. rho = 1/3. */
static void test_uniform(void **state)
{
	(void)state;
	for (int x = 0; x <= 10; x++)
		assert_near(fg_betabin_log(x, 10, 0.5, 1.0 / 3), log(1.0 / 11), 1e-9);
}

/* Hardly any correlation: the binomial. C(10,3) / 1024 = 0.1171875. */
static void test_binomial_limit(void **state)
{
	(void)state;
	assert_near(exp(fg_betabin_log(3, 10, 0.5, 1e-9)), 0.1171875, 1e-6);
}

static void test_sums_to_one(void **state)
{
	static const double p[] = { 0.001, 0.03, 0.5, 0.97 }, rho[] = { 1e-4, 0.01, 0.3 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 3; k++) {
			double sum = 0, mean = 0, square = 0, n = 200;

			for (int x = 0; x <= n; x++) {
				double prob = exp(fg_betabin_log(x, n, p[i], rho[k]));

				sum += prob;
				mean += x * prob;
				square += (double)x * x * prob;
			}
			assert_near(sum, 1, 1e-6);
			assert_near(mean, n * p[i], 1e-4 * n);
			assert_near(square - mean * mean,
				    n * p[i] * (1 - p[i]) * (1 + (n - 1) * rho[k]), 1e-3 * n);
		}
	}
}

/* E[e] = 1 under the null, whatever its p and rho. */
static void test_e_value_averages_to_one(void **state)
{
	static const double p[] = { 0.001, 0.03, 0.3, 0.9 }, rho[] = { 1e-4, 0.01, 0.2 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 3; k++) {
			double e = 0, n = 300;

			for (int x = 0; x <= n; x++)
				e += exp(fg_betabin_log(x, n, p[i], rho[k]) +
					 fg_betabin_log_e(x, n, p[i], rho[k]));
			assert_near(e, 1, 1e-6);
		}
	}
}

static void test_e_value_grows_with_the_excess(void **state)
{
	double before = -INFINITY;

	(void)state;
	for (int x = 30; x <= 1000; x += 10) {
		double e = fg_betabin_log_e(x, 1000, 0.03, 0.003);

		assert_true(e > before);
		before = e;
	}
	assert_true(fg_betabin_log_e(30, 1000, 0.03, 0.003) < 0.1);
	/* wider nulls see less in the same */
	assert_true(fg_betabin_log_e(200, 1000, 0.03, 0.03) <
		    fg_betabin_log_e(200, 1000, 0.03, 0.003));
	/* p at the edge, all of a few */
	assert_true(isfinite(fg_betabin_log_e(5, 5, 0, 0.1)));
	assert_true(isfinite(fg_betabin_log_e(0, 0, 1, 0.1)));
}

static void test_shiryaev_roberts(void **state)
{
	double r = -INFINITY;

	(void)state;
	/* e = 1 each time: R counts the steps */
	for (int i = 1; i <= 100; i++) {
		r = fg_shiryaev_roberts(r, 0);
		assert_near(exp(r), i, 1e-6);
	}
	/* (1 + 100) * 2 */
	assert_near(fg_shiryaev_roberts(r, log(2)), log(202), 1e-9);
	assert_true(fg_shiryaev_roberts(r, -INFINITY) == -INFINITY);
}

/* Against its formula by hand, its limits, and its mean over a uniform p: of a permutation test's k/4096,
 * one at most; the integral is one, and that near 0 is 1/ln(1/p) of it. */
static void test_calibrated_p(void **state)
{
	double sum = 0;

	(void)state;
	assert_near(exp(fg_p_log_e(1)), 0.5, 1e-9);
	assert_near(exp(fg_p_log_e(1 - 1e-5)), 0.5, 1e-4);
	assert_near(exp(fg_p_log_e(0.9)), (0.1 + 0.9 * log(0.9)) / (0.9 * log(0.9) * log(0.9)),
		    1e-9);
	/* 1 - 0.05 - 0.05 x 2.9957 = 0.80021 of 0.05 x 8.9744 = 0.44872 */
	assert_near(exp(fg_p_log_e(0.05)), 1.7833, 1e-3);
	assert_true(isfinite(fg_p_log_e(0)));
	for (int k = 1; k <= 4096; k++) {
		sum += exp(fg_p_log_e(k / 4096.0)) / 4096;
		assert_true(k == 1 || fg_p_log_e(k / 4096.0) <= fg_p_log_e((k - 1) / 4096.0));
	}
	assert_true(sum <= 1 && sum > 0.85);
}

static void test_e_bh(void **state)
{
	/* of four at q = 0.1: thresholds 40, 20, 13.3, 10 */
	const double three[] = { log(50), log(30), log(14), log(2) };
	const double none[] = { log(39), log(3), log(2), log(1) };
	const double all[] = { log(10), log(10), log(10), log(10) };

	(void)state;
	assert_int_equal(fg_e_bh(three, 4, 0.1), 3);
	assert_int_equal(fg_e_bh(none, 4, 0.1), 0);
	assert_int_equal(fg_e_bh(all, 4, 0.1 + 1e-12), 4);
	assert_int_equal(fg_e_bh(all, 0, 0.1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_add),
		cmocka_unit_test(test_uniform),
		cmocka_unit_test(test_binomial_limit),
		cmocka_unit_test(test_sums_to_one),
		cmocka_unit_test(test_e_value_averages_to_one),
		cmocka_unit_test(test_e_value_grows_with_the_excess),
		cmocka_unit_test(test_shiryaev_roberts),
		cmocka_unit_test(test_calibrated_p),
		cmocka_unit_test(test_e_bh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
