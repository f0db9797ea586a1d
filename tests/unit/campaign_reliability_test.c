/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How stated local false discovery rates are held against the truth: two cohorts counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/reliability.h"
#include "campaign/score.h"

static struct cg_reliability *r;

static int set_up(void **state)
{
	(void)state;
	return cg_reliability_new(&r);
}

static int tear_down(void **state)
{
	(void)state;
	cg_reliability_free(&r);
	return 0;
}

static void tell(uint64_t key, uint32_t cohort, double lfdr, bool farm)
{
	assert_int_equal(cg_reliability_member(r, key, cohort, lfdr, farm), 0);
}

/* The last word counts, once; who ever was the farm's is. */
static void test_members_count_once(void **state)
{
	(void)state;
	tell(1, 1, 1e-7, true);
	tell(2, 1, 1e-3, false);
	tell(3, 1, 0.005, false);
	cg_reliability_hour(r);
	tell(1, 1, 1e-5, false);
	tell(2, 1, 0.01, false);
	tell(3, 1, 0.5, false);
	cg_reliability_hour(r);
	assert_int_equal(cg_reliability_bin(r, 0).n, 0);
	assert_int_equal(cg_reliability_bin(r, 1).n, 1);
	assert_int_equal(cg_reliability_bin(r, 1).falsely, 0);
	assert_int_equal(cg_reliability_bin(r, 2).n, 0);
	assert_int_equal(cg_reliability_bin(r, 3).n, 1);
	assert_int_equal(cg_reliability_bin(r, 3).falsely, 1);
	assert_true(fabs(cg_reliability_bin(r, 3).stated - 0.01) < 1e-12);
	assert_int_equal(cg_reliability_bin(r, 4).n, 1);
	assert_int_equal(cg_reliability_bin(r, 4).falsely, 1);
}

/* 5 of 100 false where 1 is stated is more than twice that by chance in 5 %: 5 >= Garwood's 1.97 not quite,
 * 6 with 2.61 is. */
static void test_cohorts_at_their_largest(void **state)
{
	struct cg_lfdr_bin sum;
	unsigned int off;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		tell(i, 1, 0.01, i >= 5);
		tell(1000 + i, 2, 0.01, i >= 6);
	}
	cg_reliability_hour(r);
	tell(1, 1, 0.9, false);
	cg_reliability_hour(r);
	sum = cg_reliability_cohorts(r, &off);
	assert_int_equal(sum.n, 200);
	assert_int_equal(sum.falsely, 11);
	assert_true(fabs(sum.stated - 2) < 1e-9);
	assert_int_equal(off, 1);
}

/* Tables of the chi-square distribution: half of its quantiles. */
static void test_poisson_bounds(void **state)
{
	(void)state;
	assert_true(cg_poisson_lower(0) == 0);
	assert_true(fabs(cg_poisson_lower(1) - 0.0513) < 1e-4);
	assert_true(fabs(cg_poisson_lower(5) - 1.9701) < 1e-4);
	assert_true(fabs(cg_poisson_lower(6) - 2.6130) < 1e-4);
	assert_true(fabs(cg_poisson_upper(0) - 2.9957) < 1e-4);
	assert_true(fabs(cg_poisson_upper(6) - 11.8424) < 1e-4);
}

/* Rows end in as many fields as the header names, and a table says the ratio. */
static void test_columns(void **state)
{
	char *text = NULL;
	size_t size = 0, tabs[2] = { 0 };
	FILE *out = open_memstream(&text, &size);
	struct cg_lfdr_bin bins[CG_LFDR_BINS] = { [3] = { .n = 100, .falsely = 3, .stated = 0.5 } };

	(void)state;
	tell(1, 1, 1e-7, true);
	cg_reliability_header(out);
	fputc('\n', out);
	cg_reliability_row(r, out);
	fputc('\n', out);
	cg_reliability_print(bins, &bins[0], out);
	fclose(out);
	for (size_t i = 0, line = 0; i < size && line < 2; i++) {
		tabs[line] += text[i] == '\t';
		line += text[i] == '\n';
	}
	assert_int_equal(tabs[0], 3 * CG_LFDR_BINS + 4);
	assert_int_equal(tabs[1], tabs[0]);
	assert_non_null(strstr(text, "| to 1 % | 100 | 0.5 | 3 | 6 |"));
	assert_null(strstr(text, "to 1e-6"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_members_count_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cohorts_at_their_largest, set_up, tear_down),
		cmocka_unit_test(test_poisson_bounds),
		cmocka_unit_test_setup_teardown(test_columns, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
