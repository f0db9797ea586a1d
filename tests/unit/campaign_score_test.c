/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The scorer of the simulated campaign on four days that were counted by hand:
 *
 *   day 0 is not scored. L makes ten exchanges an hour at half past, M one. From day 1 on two clients
 *   of a farm do likewise, F two and G one.
 *   F  alert from day 1, 05:30 on                 G  enforce from day 2, 10:15 on
 *   M  enforce, its whole source, day 2, 20:30 to 22:30
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/score.h"

#define MINUTE_NS 60000000000ULL
#define DAYS	  4

enum {
	L,
	M,
	F,
	G
};

static const struct cg_actor_info actors[] = {
	[L] = { .kind = "L1", .network = "res", .country = "DE", .asn = 1 },
	[M] = { .kind = "L3", .network = "res", .country = "FR", .asn = 2 },
	[F] = { .kind = "F1", .network = "dc", .country = "US", .asn = 3, .farm = true },
	[G] = { .kind = "F1", .network = "dc", .country = "US", .asn = 3, .farm = true },
};

static struct cg_actor_info actor_of(void *arg, uint32_t actor)
{
	(void)arg;
	return actors[actor];
}

static unsigned int told[4];

static void tell(void *arg, uint32_t actor, uint64_t now_ns)
{
	(void)arg;
	(void)now_ns;
	told[actor]++;
}

static uint64_t at(unsigned int day, unsigned int hour, unsigned int minute)
{
	return CG_START_NS + day * CG_DAY_NS + hour * CG_HOUR_NS + minute * MINUTE_NS;
}

static struct cg_progress made(uint32_t actor, uint32_t exchanges, uint64_t ns)
{
	struct cg_progress p = { .stem = 7,
				 .stack = 8,
				 .time_ns = ns,
				 .actor = actor,
				 .exchanges = exchanges,
				 .farm = actors[actor].farm };

	p.source[15] = (uint8_t)actor;
	return p;
}

static void play_hour(struct cg_score *s, unsigned int day, unsigned int hour)
{
	struct cg_progress p[4];
	size_t n = 0;

	p[n++] = made(L, 10, at(day, hour, 30));
	p[n++] = made(M, 1, at(day, hour, 30));
	if (day) {
		p[n++] = made(F, 2, at(day, hour, 30));
		p[n++] = made(G, 1, at(day, hour, 30));
	}
	assert_int_equal(cg_score_progress(s, p, n), 0);
}

static void tell_verdict(struct cg_score *s, uint32_t actor, bool whole, enum fg_tier tier,
			 uint64_t from_ns, uint64_t to_ns, uint64_t now_ns)
{
	uint8_t source[16] = { [15] = (uint8_t)actor };

	if (now_ns > from_ns && now_ns < to_ns)
		assert_int_equal(cg_score_verdict(s, source, whole ? 0 : 7, whole ? 0 : 8, tier,
						  from_ns, to_ns),
				 0);
}

static void read_hour(struct cg_score *s, uint64_t now_ns)
{
	tell_verdict(s, F, false, FG_TIER_ALERT, at(1, 5, 30), at(DAYS + 1, 0, 0), now_ns);
	tell_verdict(s, G, false, FG_TIER_ENFORCE, at(2, 10, 15), at(DAYS + 1, 0, 0), now_ns);
	tell_verdict(s, M, true, FG_TIER_ENFORCE, at(2, 20, 30), at(2, 22, 30), now_ns);
	tell_verdict(s, L, true, FG_TIER_OBSERVE, at(1, 0, 30), at(2, 0, 0), now_ns);
	if (now_ns == at(2, 1, 0)) {
		cg_score_alarm(
			s, &(struct cg_alarm){
				   .time_ns = now_ns, .clients = 10, .farm = 2, .farm_active = 2 });
		cg_score_alarm(s, &(struct cg_alarm){ .time_ns = at(1, 3, 0),
						      .clients = 10,
						      .farm = 1,
						      .farm_active = 2,
						      .enforced = true });
	}
	assert_int_equal(cg_score_hour(s, now_ns), 0);
}

static struct cg_score *play(void)
{
	const struct cg_score_conf conf = { .start_ns = CG_START_NS,
					    .scored_ns = at(1, 0, 0),
					    .actor = actor_of,
					    .flagged = tell };
	struct cg_score *s;

	memset(told, 0, sizeof(told));
	assert_int_equal(cg_score_new(&conf, &s), 0);
	for (unsigned int hour = 0; hour < DAYS * 24; hour++) {
		play_hour(s, hour / 24, hour % 24);
		read_hour(s, at(0, hour + 1, 0));
	}
	return s;
}

static void test_score_client_days(void **state)
{
	struct cg_score *s = play();
	const struct cg_metrics *m = cg_score_metrics(s);

	(void)state;
	assert_int_equal(m->scored_days, 3);
	assert_int_equal(m->legit_source_days, 6);
	assert_int_equal(m->days.farm, 6);
	assert_int_equal(m->days.legit, 6);
	assert_int_equal(m->days.farm_flagged[CG_ALERT], 5);
	assert_int_equal(m->days.legit_flagged[CG_ALERT], 1);
	assert_int_equal(m->days.farm_flagged[CG_ENFORCE], 2);
	assert_int_equal(m->days.legit_flagged[CG_ENFORCE], 1);
	assert_int_equal(m->steady.farm, 2);
	assert_int_equal(m->steady.farm_flagged[CG_ALERT], 2);
	assert_int_equal(m->exchanges.farm, 216);
	assert_int_equal(m->exchanges.farm_flagged[CG_ALERT], 192);
	assert_int_equal(m->exchanges.legit_flagged[CG_ALERT], 24);
	cg_score_free(&s);
}

static void test_score_times_and_leaks(void **state)
{
	struct cg_score *s = play();
	const struct cg_metrics *m = cg_score_metrics(s);

	(void)state;
	assert_int_equal(m->farm_start_ns, at(1, 0, 30));
	assert_int_equal(m->first_alarm_ns, at(1, 5, 30));
	assert_int_equal(m->member_ns[0], at(1, 6, 0));
	assert_int_equal(m->member_ns[1], at(2, 11, 0));
	assert_int_equal(m->farm_exchanges, 216);
	assert_int_equal(m->leaked, 10 + 34);
	assert_int_equal(m->first_cell_alarm_ns, at(2, 1, 0));
	assert_int_equal(m->leaked_to_alarm, 25 * 3);
	cg_score_free(&s);
}

static void test_score_harm(void **state)
{
	struct cg_score *s = play();
	const struct cg_metrics *m = cg_score_metrics(s);

	(void)state;
	assert_int_equal(m->legit_exchanges, 3 * 24 * 11);
	assert_int_equal(m->blocked, 2);
	assert_int_equal(m->alarms, 2);
	assert_int_equal(m->true_alarms, 1);
	assert_int_equal(m->false_enforced, 1);
	assert_true(m->farm_cell_found);
	/* once a day each at most */
	assert_int_equal(told[L], 0);
	assert_int_equal(told[M], 1);
	assert_int_equal(told[F], 3);
	assert_int_equal(told[G], 2);
	cg_score_free(&s);
}

/* Value of a column in what is printed. */
static double column(const struct cg_score *s, const char *name)
{
	char *names = NULL, *values = NULL, *n, *v, *one, *value;
	size_t n_names, n_values;
	FILE *header = open_memstream(&names, &n_names), *row = open_memstream(&values, &n_values);
	double found = INFINITY;

	assert_true(header && row);
	cg_score_header(header);
	cg_score_row(s, row);
	fclose(header);
	fclose(row);
	for (n = names + 1, v = values + 1; n && v;) {
		one = strsep(&n, "\t");
		value = strsep(&v, "\t");
		if (!strcmp(one, name))
			found = strcmp(value, "-") ? atof(value) : NAN;
	}
	assert_true(!n && !v);
	free(names);
	free(values);
	return found;
}

static void assert_near(double a, double b)
{
	if (!(fabs(a - b) <= 1e-5 * fmax(1, fabs(b))))
		fail_msg("%.9g is not %.9g", a, b);
}

static void test_score_columns(void **state)
{
	struct cg_score *s = play();

	(void)state;
	assert_near(column(s, "precision"), 5.0 / 6);
	assert_near(column(s, "recall"), 5.0 / 6);
	assert_near(column(s, "steady_recall"), 1);
	assert_near(column(s, "precision_exchanges"), 192.0 / 216);
	assert_near(column(s, "recall_exchanges"), 192.0 / 216);
	assert_near(column(s, "ttd_h"), 5);
	assert_near(column(s, "ttm50_h"), 5.5);
	assert_near(column(s, "ttm90_h"), 34.5);
	assert_near(column(s, "leak"), 44.0 / 216);
	assert_near(column(s, "leak_to_alarm"), 75.0 / 216);
	assert_near(column(s, "fp_alert_per_m"), 1e6 / 6);
	assert_near(column(s, "fp_enforce_upper"), cg_poisson_upper(1) * 1e6 / 6);
	assert_near(column(s, "blocked"), 2.0 / 792);
	assert_near(column(s, "blocked_kind_worst"), 2.0 / 72);
	assert_near(column(s, "blocked_kind_mean"), 1.0 / 72);
	assert_near(column(s, "blocked_asn_worst"), 2.0 / 72);
	assert_near(column(s, "cell_precision"), 0.5);
	assert_near(column(s, "false_alarms_30d"), 10);
	cg_score_free(&s);
}

/* Where there is no farm and no verdict, shares of nothing are no numbers. */
static void test_score_of_nothing(void **state)
{
	const struct cg_score_conf conf = { .start_ns = CG_START_NS,
					    .scored_ns = CG_START_NS,
					    .actor = actor_of };
	struct cg_score *s;

	(void)state;
	assert_int_equal(cg_score_new(&conf, &s), 0);
	for (unsigned int hour = 0; hour < 24; hour++) {
		play_hour(s, 0, hour);
		assert_int_equal(cg_score_hour(s, at(0, hour + 1, 0)), 0);
	}
	assert_true(isnan(column(s, "precision")) && isnan(column(s, "recall")));
	assert_true(isnan(column(s, "ttd_h")) && isnan(column(s, "leak")));
	assert_near(column(s, "fp_alert_upper"), 2.99573227 * 1e6 / 2);
	assert_near(column(s, "blocked"), 0);
	cg_score_free(&s);
}

/* Half the 95 % quantiles of chi-square with 2 n + 2 degrees of freedom, from tables. */
static void test_score_poisson_upper(void **state)
{
	(void)state;
	assert_near(cg_poisson_upper(0), 2.995732);
	assert_near(cg_poisson_upper(1), 4.743865);
	assert_near(cg_poisson_upper(2), 6.295794);
	assert_near(cg_poisson_upper(10), 16.962219);
	assert_near(cg_poisson_upper(100), 118.078539);
	assert_true(cg_poisson_upper(1000000) > 1001600 && cg_poisson_upper(1000000) < 1001700);
}

/* Who is there when the alarm comes is no late comer; F is flagged twelve hours after G came. */
static void test_score_late_comers(void **state)
{
	const struct cg_score_conf conf = { .start_ns = CG_START_NS,
					    .scored_ns = at(1, 0, 0),
					    .actor = actor_of };
	struct cg_score *s;

	(void)state;
	assert_int_equal(cg_score_new(&conf, &s), 0);
	for (unsigned int hour = 0; hour < 48; hour++) {
		struct cg_progress p[2] = { made(F, 1, at(0, hour, 30)),
					    made(G, 1, at(0, hour, 30)) };

		assert_int_equal(cg_score_progress(s, p, hour < 20 ? 1 : 2), 0);
		tell_verdict(s, F, false, FG_TIER_ALERT, at(0, 9, 0), at(3, 0, 0), at(0, hour, 59));
		tell_verdict(s, G, false, FG_TIER_ALERT, at(0, 32, 30), at(3, 0, 0),
			     at(0, hour, 59));
		if (hour == 5)
			cg_score_alarm(s, &(struct cg_alarm){ .time_ns = at(0, 6, 0),
							      .clients = 2,
							      .farm = 1,
							      .farm_active = 1 });
		assert_int_equal(cg_score_hour(s, at(0, hour + 1, 0)), 0);
	}
	assert_near(column(s, "late_flag_h"), 12);
	cg_score_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_score_client_days),
		cmocka_unit_test(test_score_times_and_leaks),
		cmocka_unit_test(test_score_harm),
		cmocka_unit_test(test_score_late_comers),
		cmocka_unit_test(test_score_columns),
		cmocka_unit_test(test_score_of_nothing),
		cmocka_unit_test(test_score_poisson_upper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
