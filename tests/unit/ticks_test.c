/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sensor/clock: the length of a tick, out of readings some of which come late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/splitmix.h"
#include "sensor/clock.h"

#define MS	1000000ULL
#define BOOT	4294892296ULL /* where the kernel's counter begins, for 250 Hz */
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static const uint64_t lengths[] = { 10 * MS, 4 * MS, 3333333, MS };

/* Readings a tenth of a second apart, of which number `late` shows the counter as it was late_ns ago.
 * @return the length that is found, and in how many readings. */
static uint64_t find(uint64_t length, uint64_t phase_ns, unsigned int late, uint64_t late_ns,
		     unsigned int *ret_n)
{
	struct fg_tick_guess guess = { 0 };
	uint64_t found = 0, ns = 1000 * MS + phase_ns;

	for (*ret_n = 0; !found && *ret_n < 50; ++*ret_n) {
		uint64_t seen_ns = ns - (*ret_n == late ? late_ns : 0);

		found = fg_tick_guess(&guess, ns, BOOT + seen_ns / length);
		ns += 100 * MS + phase_ns % MS;
	}
	return found;
}

static void test_ticks_undisturbed(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTHS; i++) {
		for (uint64_t phase_ns = 0; phase_ns < 20 * MS; phase_ns += 333333) {
			unsigned int n;

			assert_true(find(lengths[i], phase_ns, 99, 0, &n) == lengths[i]);
			assert_int_equal(n, 3);
		}
	}
}

/* 24 ms late, 250 Hz look like 300, exactly. */
static void test_ticks_that_come_late(void **state)
{
	uint64_t seed = 7;
	unsigned int n;

	(void)state;
	assert_true(find(4 * MS, 0, 0, 20 * MS, &n) == 4 * MS);
	for (int round = 0; round < 100000; round++) {
		uint64_t length = lengths[fg_splitmix(&seed) % LENGTHS];
		uint64_t found = find(length, fg_splitmix(&seed) % (20 * MS),
				      (unsigned int)(fg_splitmix(&seed) % 4),
				      fg_splitmix(&seed) % (95 * MS), &n);

		assert_true(found == length);
		assert_true(n <= 6);
	}
}

/* A counter that stands still, or runs as none does, is no guess. */
static void test_ticks_of_no_kernel(void **state)
{
	unsigned int n;

	(void)state;
	assert_true(find(100000 * MS, 0, 99, 0, &n) == 0);
	assert_true(find(7 * MS, 0, 99, 0, &n) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks_undisturbed),
		cmocka_unit_test(test_ticks_that_come_late),
		cmocka_unit_test(test_ticks_of_no_kernel),
	};

	return cmocka_run_group_tests_name("ticks", tests, NULL, NULL);
}
