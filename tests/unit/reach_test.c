/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model/reach.c, by itself and in cells: counts over two generations, mixes of networks that are alike or
 * not, its bound on memory, what a restart keeps, and that a stem leans on another only where its
 * clients come from the same networks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/cells.h"
#include "model/reach.h"
#include "packet.h"

#define DAY 20503 /* begins a generation: 7 x 2929 */

static struct fg_reach *reach;
static struct fg_prng rng;

static int set_up(void **state)
{
	(void)state;
	rng.state = 5;
	return fg_reach_new(100, &reach);
}

static int tear_down(void **state)
{
	(void)state;
	fg_reach_free(&reach);
	return 0;
}

static void address(uint32_t network, uint32_t host, uint8_t ret[16])
{
	memset(ret, 0, 16);
	ret[10] = ret[11] = 0xff;
	ret[12] = (uint8_t)(1 + (network >> 8));
	ret[13] = (uint8_t)network;
	ret[14] = (uint8_t)(host >> 8);
	ret[15] = (uint8_t)host;
}

static void add(uint32_t row, uint32_t network, uint32_t host, const char country[2])
{
	uint8_t a[16];

	address(network, host, a);
	fg_reach_add(reach, row, a, fg_reach_network(a, 0), country, true);
}

/* Short lists hold hashes of the run's own key: now and then two of them are the same. */
static bool about(double n, double want)
{
	return round(n) <= want && n > want - 3;
}

static double sources(uint32_t row)
{
	return fg_reach_counts(reach, row).n[FG_REACH_SOURCES];
}

static void test_counts(void **state)
{
	struct fg_reach_counts c;
	uint8_t a[16] = { 0x20, 0x01, 0x0d, 0xb8, 7 }, b[16] = { 0x20, 0x01, 0x0d, 0xb8, 9 };

	(void)state;
	fg_reach_begin(reach, DAY);
	for (uint32_t i = 0; i < 600; i++) {
		add(3, i % 40, i / 2, i % 3 ? "DE" : "FR");
		add(3, i % 40, i / 2, i % 3 ? "DE" : "FR");
	}
	c = fg_reach_counts(reach, 3);
	assert_true(about(c.n[FG_REACH_SOURCES], 600));
	assert_true(about(c.n[FG_REACH_NETWORKS], 40));
	assert_true(round(c.n[FG_REACH_COUNTRIES]) == 2);
	assert_true(fg_reach_counts(reach, 4).n[FG_REACH_SOURCES] == 0);
	/* a network is an ASN, a /16, a /32 of IPv6; none is another */
	assert_true(fg_reach_network(a, 0) == fg_reach_network(b, 0));
	assert_true(fg_reach_network(a, 0) != fg_reach_network(a, 64500));
	assert_true(fg_reach_network(a, 64500) == 64500);
	/* no country is none */
	fg_reach_add(reach, 5, a, 1, (const char[2]){ 0 }, true);
	assert_true(fg_reach_counts(reach, 5).n[FG_REACH_COUNTRIES] == 0);
}

static void test_generations(void **state)
{
	(void)state;
	fg_reach_begin(reach, DAY);
	for (uint32_t i = 0; i < 500; i++)
		add(1, 1, i, "DE");
	fg_reach_begin(reach, DAY + 6);
	assert_true(about(sources(1), 500));
	fg_reach_begin(reach, DAY + 7);
	for (uint32_t i = 400; i < 700; i++)
		add(1, 1, i, "DE");
	assert_true(about(sources(1), 700));
	/* back is no generation */
	fg_reach_begin(reach, DAY);
	assert_true(about(sources(1), 700));
	fg_reach_begin(reach, DAY + 14);
	assert_true(about(sources(1), 300));
	fg_reach_begin(reach, DAY + 28);
	assert_true(sources(1) == 0);
}

/* n clients of networks from .. to - 1, some of which have many. */
static void add_mix(uint32_t row, uint32_t n, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < n; i++) {
		double u = (double)fg_prng_below(&rng, 1000) / 1000;

		add(row, from + (uint32_t)((to - from) * u * u), row * 10000 + i, "DE");
	}
}

static void test_mixes(void **state)
{
	double most = 0, sum = 0;

	(void)state;
	fg_reach_begin(reach, DAY);
	/* as many as are compared at all, of the same networks: chance is taken off */
	add_mix(0, 5000, 0, 300);
	for (uint32_t row = 1; row <= 40; row++) {
		double d;

		add_mix(row, FG_REACH_MIX_LEAST + row * 5, 0, 300);
		d = fg_reach_unlike(reach, row, 0);
		assert_true(fabs(d - fg_reach_unlike(reach, 0, row)) < 1e-12);
		most = d > most ? d : most;
		sum += d;
	}
	print_message("alike: mean %.3f, most %.3f\n", sum / 40, most);
	assert_true(most < 0.1);
	/* homes of thirty networks of the 300 */
	add_mix(50, 400, 100, 130);
	print_message("a tenth of the networks: %.3f\n", fg_reach_unlike(reach, 50, 0));
	assert_true(fg_reach_unlike(reach, 50, 0) > 0.15);
	/* nothing in common, but for networks that share a bin */
	add_mix(51, 400, 0, 8);
	add_mix(52, 400, 1000, 1008);
	assert_true(fg_reach_unlike(reach, 51, 52) > 0.3);
	assert_true(fg_reach_unlike(reach, 51, 52) <= M_LN2);
	/* too few */
	add_mix(53, FG_REACH_MIX_LEAST - 10, 1000, 1001);
	assert_true(fg_reach_unlike(reach, 53, 0) == 0);
	/* members of cohorts are no part of a mix */
	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t a[16];

		address(1000, i, a);
		fg_reach_add(reach, 40, a, fg_reach_network(a, 0), "DE", false);
	}
	assert_true(fg_reach_unlike(reach, 40, 0) < 0.1);
	assert_true(sources(40) > 1000);
}

/* Who makes up stems with a thousand sources each gets no more than there is; the others are counted. */
static void test_bound(void **state)
{
	struct fg_reach *large;
	uint64_t rows;

	(void)state;
	assert_int_equal(fg_reach_new(4097, &large), 0);
	rows = fg_reach_bytes(large);
	fg_reach_begin(large, DAY);
	for (uint32_t row = 0; row < 4097; row++)
		for (uint32_t i = 0; i < 1100; i++) {
			uint8_t a[16];

			address(row, i, a);
			fg_reach_add(large, row, a, i, "DE", true);
		}
	assert_true(fg_reach_bytes(large) <= rows + FG_REACH_BYTES);
	assert_true(fg_reach_bytes(large) > rows + FG_REACH_BYTES * 9ULL / 10);
	assert_true(fg_reach_refused(large) > 1000);
	/* what is given back can be had again */
	for (uint32_t row = 0; row < 4097; row++)
		fg_reach_clear(large, row);
	assert_int_equal(fg_reach_bytes(large), rows);
	fg_reach_free(&large);
}

static void test_restart(void **state)
{
	struct fg_reach *other;
	uint8_t *bytes;
	void *saved;
	size_t n;

	(void)state;
	fg_reach_begin(reach, DAY);
	add_mix(1, 5000, 0, 300);
	add_mix(2, 50, 0, 300);
	fg_reach_begin(reach, DAY + 7);
	add_mix(3, 900, 0, 300);
	assert_int_equal(fg_reach_save(reach, 10, &saved, &n), 0);
	assert_int_equal(fg_reach_new(100, &other), 0);
	assert_int_equal(fg_reach_load(other, saved, n), 0);
	for (uint32_t row = 0; row < 10; row++) {
		struct fg_reach_counts a = fg_reach_counts(reach, row),
				       b = fg_reach_counts(other, row);

		assert_memory_equal(&a, &b, sizeof(a));
		assert_true(fg_reach_unlike(reach, row, 1) == fg_reach_unlike(other, row, 1));
	}
	/* the same addresses are the same after */
	fg_reach_free(&reach);
	reach = other;
	add(2, 0, 2 * 10000, "DE");
	add_mix(1, 0, 0, 300);
	assert_true(round(sources(2)) <= 51);
	fg_reach_begin(reach, DAY + 14);
	assert_true(sources(1) == 0 && sources(3) > 800);
	/* damage */
	bytes = saved;
	assert_int_equal(fg_reach_new(100, &other), 0);
	for (size_t cut = 0; cut < n; cut += 997)
		assert_int_equal(fg_reach_load(other, bytes, cut), -EBADMSG);
	bytes[16 + 512 + 20] ^= 1;
	assert_int_equal(fg_reach_load(other, bytes, n), -EBADMSG);
	assert_true(fg_reach_counts(other, 1).n[FG_REACH_SOURCES] == 0);
	bytes[16 + 512 + 20] ^= 1;
	bytes[8] = 101;
	assert_int_equal(fg_reach_load(other, bytes, n), -EBADMSG);
	fg_reach_free(&other);
	free(saved);
}

/* --- In cells --------------------------------------------------------------------------------- */

static void add_client(struct fg_cells *cells, uint64_t stem, uint32_t network, uint32_t host,
		       uint64_t before)
{
	struct fg_model_client client = { .stem = stem };
	struct fg_traits t = { .known = 1U << FG_SHARE_RELAYED,
			       .bins = { FG_BIN_UNKNOWN, FG_BIN_UNKNOWN, FG_BIN_UNKNOWN } };
	uint16_t at[_FG_CELL_MAX];

	address(network, host, client.addr);
	t.yes = (uint8_t)(stem == 0xa && host % 2);
	fg_cells_add(cells, &client, &t, true, before, false, at);
}

static const struct fg_cell *stem_cell(const struct fg_cells *cells, uint64_t stem)
{
	for (uint16_t i = 1; i < fg_cells_n(cells, FG_CELL_STEM); i++)
		if (fg_cells_at(cells, FG_CELL_STEM, i)->key.stem == stem)
			return fg_cells_at(cells, FG_CELL_STEM, i);
	fail();
	return NULL;
}

/* A release moves clients of all networks; a new kind that 400 of ten networks show is none, although
 * their sources showed the old one before. */
static void test_a_stem_leans_on_its_like(void **state)
{
	struct fg_cells *cells, *back;
	char why[64];
	void *bytes;
	size_t n;

	(void)state;
	assert_int_equal(fg_cells_new(&cells), 0);
	for (uint32_t h = DAY * 24; h < DAY * 24 + 3; h++) {
		fg_cells_begin(cells, h);
		for (uint32_t i = 0; i < 3000; i++)
			add_client(cells, 0xa, i % 300, i, 0);
		fg_cells_counted(cells);
		fg_cells_learn(cells, NULL, NULL);
	}
	fg_cells_begin(cells, DAY * 24 + 3);
	for (uint32_t i = 0; i < 600; i++) {
		add_client(cells, 0xb, i * 7 % 300, i, 0xa);
		add_client(cells, 0xc, i % 10, i, 0xa);
	}
	fg_cells_counted(cells);
	assert_ptr_equal(fg_cells_parent(cells, stem_cell(cells, 0xb)), stem_cell(cells, 0xa));
	assert_ptr_equal(fg_cells_parent(cells, stem_cell(cells, 0xc)), fg_cells_all(cells));
	print_message("unlike: %.3f and %.3f\n", stem_cell(cells, 0xb)->unlike_heir,
		      stem_cell(cells, 0xc)->unlike_heir);
	assert_true(about(fg_cells_reach(cells, 0xc).n[FG_REACH_NETWORKS], 10));
	assert_true(about(fg_cells_reach(cells, 0xb).n[FG_REACH_SOURCES], 600));
	assert_true(fg_cells_reach(cells, 0xd).n[FG_REACH_SOURCES] == 0);
	/* a restart keeps them by stem; blobs of the version before are refused as such */
	assert_int_equal(fg_cells_save(cells, &bytes, &n), 0);
	assert_int_equal(fg_cells_new(&back), 0);
	assert_int_equal(fg_cells_load(back, bytes, n, why, sizeof(why)), 0);
	assert_true(about(fg_cells_reach(back, 0xc).n[FG_REACH_NETWORKS], 10));
	assert_true(about(fg_cells_reach(back, 0xb).n[FG_REACH_SOURCES], 600));
	fg_cells_free(&back);
	((uint8_t *)bytes)[7] = '1';
	assert_int_equal(fg_cells_new(&back), 0);
	assert_int_equal(fg_cells_load(back, bytes, n, why, sizeof(why)), -EBADMSG);
	assert_string_equal(why, "another version wrote them");
	((uint8_t *)bytes)[3] = 'x';
	assert_int_equal(fg_cells_load(back, bytes, n, why, sizeof(why)), -EBADMSG);
	assert_string_equal(why, "these are no cells");
	fg_cells_free(&back);
	fg_cells_free(&cells);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_generations, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mixes, set_up, tear_down),
		cmocka_unit_test(test_bound),
		cmocka_unit_test_setup_teardown(test_restart, set_up, tear_down),
		cmocka_unit_test(test_a_stem_leans_on_its_like),
	};

	return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
