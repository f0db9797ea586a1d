/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/minhash.c: agreement against true Jaccard indices, bands against their formula, and unions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "lib/minhash.h"

#define PAIRS 2000

/* Elements from .. to - 1 of a world of their own. */
static void sketch(const struct fg_minhash_family *f, uint64_t world, uint32_t from, uint32_t to,
		   struct fg_minhash *ret)
{
	fg_minhash_begin(ret);
	for (uint32_t i = from; i < to; i++)
		fg_minhash_add(f, ret, world << 32 | i);
}

/* Pairs of sets of 24 that share so many: means within four standard errors of J, of the chance to be
 * a candidate within four of its own. Errors of single pairs spread as sqrt(J (1 - J) / 60). */
static void test_pairs_are_as_alike_as_they_are(void **state)
{
	static const uint32_t shared[] = { 0, 4, 8, 15, 20, 24 };
	struct fg_minhash_family f;

	(void)state;
	fg_minhash_family(11, &f);
	for (int s = 0; s < 6; s++) {
		double j = shared[s] / (48.0 - shared[s]), sum = 0, squares = 0, found = 0;
		double chance = 1 - pow(1 - pow(j, 5), 12);

		for (uint64_t k = 0; k < PAIRS; k++) {
			struct fg_minhash a, b;
			double got;
			int bands = 0;

			sketch(&f, k, 0, 24, &a);
			sketch(&f, k, 24 - shared[s], 48 - shared[s], &b);
			got = fg_minhash_jaccard(&a, &b);
			sum += got;
			squares += (got - j) * (got - j);
			for (unsigned int band = 0; band < FG_MINHASH_BANDS; band++)
				bands += fg_minhash_band(&a, band) == fg_minhash_band(&b, band);
			found += bands > 0;
		}
		print_message("J %.3f: mean %.3f, spread %.3f, candidates %.3f of %.3f\n", j,
			      sum / PAIRS, sqrt(squares / PAIRS), found / PAIRS, chance);
		assert_true(fabs(sum / PAIRS - j) <= 4 * sqrt(j * (1 - j) / 60 / PAIRS) + 1e-3);
		assert_true(sqrt(squares / PAIRS) <= 1.1 * sqrt(j * (1 - j) / 60) + 1e-9);
		assert_true(fabs(found / PAIRS - chance) <=
			    4 * sqrt(chance * (1 - chance) / PAIRS) + 2e-3);
	}
}

static void test_merge_is_the_union(void **state)
{
	struct fg_minhash_family f;
	struct fg_minhash a, b, both;

	(void)state;
	fg_minhash_family(12, &f);
	sketch(&f, 1, 0, 40, &a);
	sketch(&f, 1, 20, 90, &b);
	sketch(&f, 1, 0, 90, &both);
	fg_minhash_merge(&a, &b);
	assert_memory_equal(&a, &both, sizeof(a));
	/* nothing changes what it is merged into; what was added twice counts once */
	fg_minhash_begin(&b);
	fg_minhash_merge(&a, &b);
	fg_minhash_add(&f, &a, 1ULL << 32 | 5);
	assert_memory_equal(&a, &both, sizeof(a));
}

/* Of other hash functions nothing agrees. */
static void test_families_differ(void **state)
{
	struct fg_minhash_family f, g;
	struct fg_minhash a, b;

	(void)state;
	fg_minhash_family(1, &f);
	fg_minhash_family(2, &g);
	sketch(&f, 1, 0, 40, &a);
	sketch(&g, 1, 0, 40, &b);
	assert_true(fg_minhash_jaccard(&a, &b) < 0.05);
	fg_minhash_begin(&a);
	fg_minhash_begin(&b);
	assert_true(fg_minhash_jaccard(&a, &b) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs_are_as_alike_as_they_are),
		cmocka_unit_test(test_merge_is_the_union),
		cmocka_unit_test(test_families_differ),
	};

	return cmocka_run_group_tests_name("lib_minhash", tests, NULL, NULL);
}
