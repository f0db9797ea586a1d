/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a flag rests on: every detector's evidence has a benign explanation, whatever it found; the
 * sentences; and the bounds on a farm's size against draws of which the size is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "detect/cell_tests.h"
#include "detect/detect.h"
#include "detect/families.h"
#include "packet.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

/* --- Benign explanations ------------------------------------------------------------------------ */

static void test_evidence_explanations_have_all_their_words(void **state)
{
	(void)state;
	for (int i = 0; i < _FG_BENIGN_MAX; i++) {
		enum fg_benign_what what = (enum fg_benign_what)i;

		assert_true(strlen(fg_benign_name(what)) > 2);
		assert_null(strpbrk(fg_benign_name(what), " ,"));
		assert_true(strlen(fg_benign_text(what)) > 5);
		assert_true(strlen(fg_benign_refutation(what)) > 10);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(fg_benign_name(what),
						fg_benign_name((enum fg_benign_what)k));
	}
	assert_string_equal(fg_benign_name(_FG_BENIGN_MAX), "?");
}

static void test_evidence_explanations_come_back_from_the_store(void **state)
{
	struct fg_benign all[FG_MAX_BENIGN], back[FG_MAX_BENIGN];
	char text[FG_MAX_BENIGN * 48];

	(void)state;
	for (int i = 0; i < _FG_BENIGN_MAX; i++) {
		for (int k = 0; k < FG_MAX_BENIGN; k++)
			all[k] = (struct fg_benign){ (uint8_t)i, (uint8_t)(k % _FG_CONSIDERED_MAX),
						     k ? (float)(k * 12345.5) : NAN };
		assert_true(fg_benign_pack(all, FG_MAX_BENIGN, text, sizeof(text)) < sizeof(text));
		assert_int_equal(fg_benign_unpack(text, back), FG_MAX_BENIGN);
		for (int k = 0; k < FG_MAX_BENIGN; k++) {
			assert_int_equal(back[k].what, i);
			assert_int_equal(back[k].considered, all[k].considered);
			assert_true(k ? back[k].figure == all[k].figure : isnan(back[k].figure));
		}
	}
	/* another version's words, and damage */
	assert_int_equal(fg_benign_unpack("", back), 0);
	assert_int_equal(fg_benign_unpack("wormhole open 3,crowd refuted", back), 1);
	assert_int_equal(back[0].what, FG_BENIGN_crowd);
	assert_int_equal(fg_benign_unpack("crowd maybe,crowd,,, open", back), 0);
	assert_int_equal(fg_benign_unpack("crowd open,crowd open,crowd open,crowd open", back),
			 FG_MAX_BENIGN);
}

static void test_evidence_is_said_with_what_speaks_against_it(void **state)
{
	struct fg_evidence e = { .text = "All of it." };
	char text[FG_EVIDENCE_TEXT];

	(void)state;
	fg_evidence_benign(&e, FG_BENIGN_corporate_gateway, FG_CONSIDERED_REFUTED, 61);
	fg_evidence_benign(&e, FG_BENIGN_privacy_relay, FG_CONSIDERED_OPEN, NAN);
	fg_evidence_benign(&e, FG_BENIGN_monitoring, FG_CONSIDERED_REFUTED, NAN);
	fg_evidence_benign(&e, FG_BENIGN_chance, FG_CONSIDERED_OPEN, NAN);
	assert_int_equal(e.n_benign, FG_MAX_BENIGN);
	assert_string_equal(
		fg_evidence_say(&e, text),
		"All of it. Benign explanations considered: a corporate gateway (no: 61 "
		"networks), a privacy relay (open; refuted if its addresses are outside "
		"the ranges that relays publish), a monitoring service (no: its gaps "
		"are not fixed).");
	/* the longest there can be is not cut */
	memset(e.text, 'x', sizeof(e.text) - 1);
	for (int i = 0; i + FG_MAX_BENIGN <= _FG_BENIGN_MAX; i++) {
		e.n_benign = 0;
		for (int k = 0; k < FG_MAX_BENIGN; k++)
			fg_evidence_benign(&e, (enum fg_benign_what)(i + k), FG_CONSIDERED_UNLIKELY,
					   1234567);
		fg_evidence_say(&e, text);
		assert_int_equal(text[strlen(text) - 1], '.');
	}
}

/* --- Detectors ---------------------------------------------------------------------------------- */

static struct fg_model *model;

static int set_up(void **state)
{
	const struct fg_model_limits limits = {
		.sources = 20000, .clients = 40000, .fingerprints = 100, .window_ns = 60 * S
	};

	(void)state;
	return fg_model_new(&limits, &model);
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&model);
	return 0;
}

static const uint8_t odd_one[16] = { [10] = 0xff, 0xff, 10, 0, 0, 1 };

/* Rows of client i, or of the odd one, in the epoch that ends then. */
static void live(const uint8_t addr[16], const struct fg_epoch_flow *flows, size_t n,
		 uint64_t stack, uint64_t end_ns)
{
	struct fg_epoch_source s = { .connections = (uint32_t)n, .proven = (uint32_t)n };
	struct fg_epoch_client c = {
		.stem = 100, .stack = stack, .print = 500, .connections = (uint32_t)n
	};
	struct fg_epoch e = { .start_ns = end_ns - S,
			      .end_ns = end_ns,
			      .sources = &s,
			      .n_sources = 1,
			      .clients = &c,
			      .n_clients = 1,
			      .flows = flows,
			      .n_flows = n };

	memcpy(s.addr, addr, 16);
	memcpy(c.addr, addr, 16);
	assert_int_equal(fg_model_apply(model, &e), 0);
}

static struct fg_epoch_flow flow_of(const uint8_t addr[16], uint64_t stack, uint64_t opened_ns)
{
	struct fg_epoch_flow f = { .stem = 100,
				   .stack = stack,
				   .print = 500,
				   .news = FG_NEWS_OPENED | FG_NEWS_TIMES,
				   .opened_ns = opened_ns,
				   .bytes_in = 900,
				   .exchanges = 1,
				   .n_rtts = 2,
				   .rtt_us = 20000,
				   .rtt_max_us = 20000,
				   .turn_us = 25000,
				   .n_turns = 1 };

	memcpy(f.addr, addr, 16);
	f.turns[0] = (struct fg_epoch_turn){ .start_ns = opened_ns, .lasted_ms = 100 };
	return f;
}

/* What the families say of the odd one; each piece is whole. @return a bit for each family. */
static unsigned int judged(const struct fg_networks *networks)
{
	const struct fg_scene scene = { .model = model, .networks = networks };
	const struct fg_model_source *source = fg_model_source_find(model, odd_one);
	const struct fg_model_client *client;
	struct fg_evidence e[FG_MAX_EVIDENCE];
	unsigned int seen = 0;
	size_t n;

	assert_int_equal(fg_model_clients_of(model, odd_one, &client, 1), 1);
	n = fg_families_judge(&scene, source, client, e, FG_MAX_EVIDENCE);
	for (size_t i = 0; i < n; i++) {
		if (!fg_evidence_is_whole(&e[i], 1))
			fail_msg("%s has no benign explanation", e[i].name);
		print_message("%s: %s\n", e[i].name, e[i].text);
		seen |= 1U << e[i].family;
	}
	return seen;
}

/* A client that is odd in every way at once: relayed, steady as a clock, awake all day in a home
 * network, and new. */
static void test_evidence_of_families_is_whole(void **state)
{
	const char table[] = "10.0.0.0/8\t64500\tres\tDE\n";
	struct fg_networks_report report;
	struct fg_networks *networks;
	struct fg_epoch_flow f;
	char why[128];
	unsigned int seen;

	(void)state;
	assert_int_equal(fg_networks_parse(table, sizeof(table) - 1, "t", &networks, &report, why,
					   sizeof(why)),
			 0);
	/* others of the stem, three days before: they have the crypto time that is usual */
	for (uint32_t i = 0; i < 200; i++) {
		uint8_t addr[16] = { [10] = 0xff, 0xff, 10, 9, (uint8_t)(i >> 8), (uint8_t)i };

		f = flow_of(addr, 7, NOW - S);
		live(addr, &f, 1, 7, NOW);
	}
	for (uint32_t quarter = 0; quarter < 192; quarter++) {
		uint64_t at = NOW + 3 * FG_DAY_NS + quarter * 900 * S;

		f = flow_of(odd_one, 7, at);
		f.turn_us += 90000;
		f.hello_delay_us = 91000;
		live(odd_one, &f, 1, 7, at + S);
	}
	seen = judged(networks);
	assert_true(seen & 1U << FG_FAMILY_RELAY);
	assert_true(seen & 1U << FG_FAMILY_AUTOMATION);
	assert_true(seen & 1U << FG_FAMILY_CLOCK);
	fg_networks_free(&networks);
}

/* Its stack is nobody else's, and it came up today. */
static void test_evidence_of_a_rare_stack_and_a_new_source_is_whole(void **state)
{
	struct fg_epoch_flow f;
	unsigned int seen;

	(void)state;
	for (uint32_t i = 0; i < 400; i++) {
		uint8_t addr[16] = { [10] = 0xff, 0xff, 10, 9, (uint8_t)(i >> 8), (uint8_t)i };

		f = flow_of(addr, 7, NOW - S);
		live(addr, &f, 1, 7, NOW);
	}
	f = flow_of(odd_one, 8, NOW + 3 * FG_DAY_NS);
	live(odd_one, &f, 1, 8, NOW + 3 * FG_DAY_NS + S);
	seen = judged(NULL);
	assert_true(seen & 1U << FG_FAMILY_RELAY);
	assert_true(seen & 1U << FG_FAMILY_LIFECYCLE);
}

static int whole(const struct fg_finding *f, void *arg)
{
	assert_true(fg_evidence_is_whole(f->evidence, f->n_evidence));
	assert_true(f->window_s && f->n_obs > 0 && f->alpha > 0 && f->alpha < 1e-5);
	assert_true(f->est_fdr >= 0 && f->est_fdr <= 1);
	assert_true(f->evidence[0].baseline_n > 0);
	++*(unsigned int *)arg;
	return 0;
}

/* Every detector on the list, over a crowd with a loud source and a loud shared one. */
static void test_evidence_of_every_detector_is_whole(void **state)
{
	const struct fg_scene scene = { .model = model };
	struct fg_prng r = { 3 };
	unsigned int n = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t addr[16] = { [10] = 0xff, 0xff, 10, 9, (uint8_t)(i >> 8), (uint8_t)i };
		struct fg_epoch_flow f[4];

		for (int k = 0; k < 4; k++)
			f[k] = flow_of(addr, 7, NOW - S);
		live(addr, f, 1 + fg_prng_below(&r, 4), 7, NOW);
	}
	for (uint32_t k = 0; k < 300; k++) {
		struct fg_epoch_flow f = flow_of(odd_one, 7, NOW - S);

		live(odd_one, &f, 1, 7, NOW);
	}
	for (size_t i = 0; fg_detectors[i]; i++)
		assert_int_equal(fg_detectors[i]->run(&scene, &fg_detect_defaults, whole, &n), 0);
	assert_int_equal(n, 1);
}

/* --- Bounds ------------------------------------------------------------------------------------- */

static double uniform(struct fg_prng *r)
{
	return ((double)(fg_prng_next(r) >> 11) + 0.5) * 0x1p-53;
}

static double normal(struct fg_prng *r)
{
	return sqrt(-2 * log(uniform(r))) * cos(2 * M_PI * uniform(r));
}

/* Marsaglia and Tsang 2000. */
static double gamma_of(struct fg_prng *r, double shape)
{
	double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);

	if (shape < 1)
		return gamma_of(r, shape + 1) * pow(uniform(r), 1 / shape);
	for (;;) {
		double x = normal(r), v = pow(1 + c * x, 3);

		if (v > 0 && log(uniform(r)) < x * x / 2 + d - d * v + d * log(v))
			return d * v;
	}
}

static double share_of(struct fg_prng *r, double p, double rho)
{
	double m = 1 / rho - 1, a = gamma_of(r, p * m), b = gamma_of(r, (1 - p) * m);

	return a / (a + b);
}

/* 2,000 hours of a cell with a farm of known size, a part of its clients measured. */
static void test_evidence_bounds_hold_the_farm(void **state)
{
	static const struct {
		unsigned int usual, farm;
		double known, p, rho;
	} cells[] = {
		{ 3000, 400, 1, 0.03, 0.0005 }, { 3000, 400, 0.5, 0.03, 0.0005 },
		{ 500, 150, 0.8, 0.1, 0.002 },	{ 20000, 2500, 1, 0.05, 0.0001 },
		{ 300, 2000, 0.6, 0.2, 0.01 },
	};
	struct fg_prng r = { 11 };

	(void)state;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		unsigned int active = cells[i].usual + cells[i].farm, held = 0;
		double width = 0;

		for (int hour = 0; hour < 2000; hour++) {
			double share = share_of(&r, cells[i].p, cells[i].rho), known = 0, x = 0;
			struct fg_interval b;
			double excess;

			for (unsigned int k = 0; k < active; k++) {
				if (uniform(&r) >= cells[i].known)
					continue;
				known++;
				x += k < cells[i].farm || uniform(&r) < share;
			}
			excess = fmax(0, (x - known * cells[i].p) / (1 - cells[i].p)) * active /
				 known;
			b = fg_excess_interval(excess, active, known, cells[i].p, cells[i].rho);
			assert_true(b.low >= 0 && b.high <= active && b.low <= b.high);
			held += b.low <= cells[i].farm && cells[i].farm <= b.high;
			width += (b.high - b.low) / 2000;
		}
		print_message("%u of %u clients: held in %.1f %%, width %.0f\n", cells[i].farm,
			      active, held / 20.0, width);
		assert_true(held >= 0.93 * 2000 && held <= 0.985 * 2000);
	}
}

static void test_evidence_bounds_of_nothing_say_nothing(void **state)
{
	struct fg_interval b = fg_excess_interval(0, 100, 0, 0.1, 0.01);

	(void)state;
	assert_true(b.low == 0 && b.high == 100);
	b = fg_excess_interval(0, 0, 0, 0, 0);
	assert_true(b.low == 0 && b.high == 0);
	/* an estimate of more than all */
	b = fg_excess_interval(200, 100, 50, 0.1, 0.01);
	assert_true(b.low <= 100 && b.high == 100);
}

int main(void)
{
#define MODEL(name) cmocka_unit_test_setup_teardown(test_evidence_##name, set_up, tear_down)
#define TEST(name)  cmocka_unit_test(test_evidence_##name)
	const struct CMUnitTest tests[] = {
		TEST(explanations_have_all_their_words),
		TEST(explanations_come_back_from_the_store),
		TEST(is_said_with_what_speaks_against_it),
		MODEL(of_families_is_whole),
		MODEL(of_a_rare_stack_and_a_new_source_is_whole),
		MODEL(of_every_detector_is_whole),
		TEST(bounds_hold_the_farm),
		TEST(bounds_of_nothing_say_nothing),
	};

	return cmocka_run_group_tests_name("evidence", tests, NULL, NULL);
}
