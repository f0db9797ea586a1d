/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lib/hll.c: counts against the truth within bounds of its standard error, on fixed seeds; layout of
 * registers by hand; a merge is the union; what is written reads back, and damage is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/hll.h"

/* 1.04 / sqrt(16384) */
#define SE 0.008125

static uint64_t hash_of(uint64_t i)
{
	uint64_t z = i * 0x9e3779b97f4a7c15ULL + 0x1234567;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void fill(struct fg_hll *h, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(fg_hll_add(h, hash_of(i), NULL), 0);
}

static void test_few_are_exact(void **state)
{
	struct fg_hll h = { 0 };

	(void)state;
	assert_true(fg_hll_count(&h) == 0);
	for (uint64_t i = 0; i < FG_HLL_SPARSE; i++) {
		assert_int_equal(fg_hll_add(&h, hash_of(i), NULL), 0);
		assert_int_equal(fg_hll_add(&h, hash_of(i / 2), NULL), 0);
		/* one of 1,000 meets another in 2^25 places one time in 67 */
		assert_true(fabs(fg_hll_count(&h) - (double)(i + 1)) < 1.5);
	}
	assert_true(fg_hll_bytes(&h) <= FG_HLL_SPARSE * 4);
	fill(&h, FG_HLL_SPARSE, FG_HLL_SPARSE + 2);
	assert_int_equal(fg_hll_bytes(&h), FG_HLL_BYTES);
	assert_true(fabs(fg_hll_count(&h) / 1002 - 1) < 3 * SE);
	fg_hll_clear(&h, NULL);
	assert_true(fg_hll_count(&h) == 0);
}

/* Root mean square of the error over 40 sketches within a quarter of the standard error (that of 40
 * draws is sqrt(1 / 80) = 11 %), and no bias of more than three of theirs. */
static void test_errors_are_as_stated(void **state)
{
	static const uint64_t sizes[] = { 2000, 12000, 40000, 70000, 300000 };

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		double sum = 0, squares = 0;

		for (uint64_t k = 0; k < 40; k++) {
			struct fg_hll h = { 0 };
			double off;

			fill(&h, k << 32, (k << 32) + sizes[s]);
			off = fg_hll_count(&h) / (double)sizes[s] - 1;
			sum += off;
			squares += off * off;
			fg_hll_clear(&h, NULL);
		}
		print_message("%llu: bias %.2f %%, error %.2f %%\n", (unsigned long long)sizes[s],
			      100 * sum / 40, 100 * sqrt(squares / 40));
		assert_true(sqrt(squares / 40) < 1.25 * SE);
		assert_true(fabs(sum / 40) < 3 * SE / sqrt(40));
	}
}

/* Index 5, rank 3: bits 30 to 35, so the high two of byte 3 and the low four of byte 4. */
static void test_layout(void **state)
{
	struct fg_hll h = { 0 }, one = { 0 };
	uint8_t out[FG_HLL_SAVED_MAX];

	(void)state;
	fill(&h, 0, FG_HLL_SPARSE + 1);
	memset(h.at, 0, FG_HLL_BYTES);
	assert_int_equal(fg_hll_add(&h, 5 | 1ULL << 16, NULL), 0);
	assert_int_equal(((uint8_t *)h.at)[3], 3 << 6);
	assert_int_equal(((uint8_t *)h.at)[4], 0);
	assert_int_equal(fg_hll_add(&h, 5, NULL), 0); /* all other bits zero: rank 51 */
	assert_int_equal(((uint8_t *)h.at)[3], (51 << 6) & 255);
	assert_int_equal(((uint8_t *)h.at)[4], 51 >> 2);
	assert_int_equal(fg_hll_add(&h, 16383 | 1ULL << 14, NULL), 0);
	assert_int_equal(((uint8_t *)h.at)[FG_HLL_BYTES - 1], 1 << 2);
	/* the same by way of the sparse form, ranks on either side of its 25 bits */
	for (int bit = 14; bit < 64; bit++) {
		struct fg_hll dense = { 0 };
		uint64_t hash = 77 | 1ULL << bit;

		fill(&dense, 0, FG_HLL_SPARSE + 1);
		memset(dense.at, 0, FG_HLL_BYTES);
		assert_int_equal(fg_hll_add(&one, hash, NULL), 0);
		assert_int_equal(fg_hll_merge(&dense, &one, NULL), 0);
		assert_int_equal(((uint8_t *)dense.at)[77 * 6 / 8 + 1] >> 0 & 15,
				 (bit - 13) >> 2 & 15);
		assert_int_equal(((uint8_t *)dense.at)[77 * 6 / 8] >> 6, (bit - 13) & 3);
		fg_hll_clear(&dense, NULL);
		fg_hll_clear(&one, NULL);
	}
	assert_int_equal(fg_hll_save(&h, out), FG_HLL_SAVED_MAX);
	fg_hll_clear(&h, NULL);
}

static void assert_same(const struct fg_hll *a, const struct fg_hll *b)
{
	uint8_t x[FG_HLL_SAVED_MAX], y[FG_HLL_SAVED_MAX];
	size_t n = fg_hll_save(a, x);

	assert_int_equal(fg_hll_save(b, y), n);
	assert_memory_equal(x, y, n);
}

static void test_merge_is_the_union(void **state)
{
	static const uint64_t of_a[] = { 0, 300, 800, 900, 30000 };
	static const uint64_t of_b[] = { 0, 200, 900, 30000, 50000 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < 5; k++) {
			struct fg_hll a = { 0 }, b = { 0 }, both = { 0 };
			double together;

			fill(&a, 0, of_a[i]);
			fill(&b, of_a[i] / 2, of_a[i] / 2 + of_b[k]);
			fill(&both, 0, of_a[i]);
			fill(&both, of_a[i] / 2, of_a[i] / 2 + of_b[k]);
			together = fg_hll_count_both(&a, &b);
			assert_int_equal(fg_hll_merge(&a, &b, NULL), 0);
			/* two sparse ones stay exact where the union is dense already */
			assert_true(fabs(together - fg_hll_count(&a)) <= 3 * SE * together);
			assert_same(&a, &both);
			fg_hll_clear(&a, NULL);
			fg_hll_clear(&b, NULL);
			fg_hll_clear(&both, NULL);
		}
	}
}

static void test_bound(void **state)
{
	uint64_t left = 100;
	struct fg_hll h = { 0 };
	uint32_t refused = 0;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		refused += fg_hll_add(&h, hash_of(i), &left) == -ENOSPC;
	/* 8 and 16 entries are 64 bytes; 32 more would be 64 more */
	assert_int_equal(refused, 100 - 16);
	assert_int_equal(left, 100 - fg_hll_bytes(&h));
	fg_hll_clear(&h, &left);
	assert_int_equal(left, 100);
	left = 2 * FG_HLL_BYTES;
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(fg_hll_add(&h, hash_of(i), &left), 0);
	assert_int_equal(left, FG_HLL_BYTES);
	/* what is there already needs no room */
	left = 0;
	assert_int_equal(fg_hll_add(&h, hash_of(7777), &left), 0);
	fg_hll_clear(&h, &left);
	assert_int_equal(left, FG_HLL_BYTES);
}

static void test_kept(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 999, 1000, 1001, 60000 };

	(void)state;
	for (int i = 0; i < 6; i++) {
		struct fg_hll h = { 0 }, back = { 0 };
		uint8_t bytes[FG_HLL_SAVED_MAX + 1];
		uint64_t left = 1 << 20;
		size_t n, used;

		fill(&h, 0, sizes[i]);
		n = fg_hll_save(&h, bytes);
		assert_int_equal(fg_hll_load(&back, bytes, n + 1, &left, &used), 0);
		assert_int_equal(used, n);
		assert_same(&h, &back);
		assert_int_equal(left, (1 << 20) - fg_hll_bytes(&back));
		fg_hll_clear(&back, &left);
		for (size_t at = 0; at < n; at += at < 64 ? 1 : 61) {
			bytes[at] ^= 0x10;
			assert_int_equal(fg_hll_load(&back, bytes, n, &left, &used), -EBADMSG);
			bytes[at] ^= 0x10;
			assert_int_equal(fg_hll_load(&back, bytes, at, &left, &used), -EBADMSG);
		}
		assert_int_equal(left, 1 << 20);
		left = 0;
		assert_int_equal(fg_hll_load(&back, bytes, n, &left, &used),
				 sizes[i] ? -ENOSPC : 0);
		fg_hll_clear(&h, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_are_exact), cmocka_unit_test(test_errors_are_as_stated),
		cmocka_unit_test(test_layout),	      cmocka_unit_test(test_merge_is_the_union),
		cmocka_unit_test(test_bound),	      cmocka_unit_test(test_kept),
	};

	return cmocka_run_group_tests_name("lib_hll", tests, NULL, NULL);
}
