/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model/summary.h and model/remember.h: a row that is put back reads as it did, a model that is read
 * back goes on as the one that was left, and what gives way is taken up again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/remember.h"
#include "model/summary.h"
#include "model/traits.h"
#include "packet.h"

#define S	 1000000000ULL
#define HOUR_NS	 (3600 * S)
#define START_NS (20500 * FG_DAY_NS)
#define PEOPLE	 400
#define KEPT	 32768

static struct fg_prng rng;

static void address(uint32_t i, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	if (i % 5 == 4) {
		ret_addr[0] = 0x20;
		memcpy(ret_addr + 4, &i, 4);
		return;
	}
	ret_addr[10] = ret_addr[11] = 0xff;
	memcpy(ret_addr + 12, &i, 4);
}

/* --- One row ---------------------------------------------------------------------------------- */

static void fill(void *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)row)[i] = (uint8_t)fg_prng_next(&rng);
}

/* Fields that a row never has anything in, or that a summary leaves out, as it puts them back. */
static void settle_source(struct fg_model_source *s)
{
	s->first_ns = START_NS + fg_prng_below(&rng, 1000) * S;
	s->last_ns = s->first_ns + fg_prng_below(&rng, 1000) * S;
	s->tsval_ns = START_NS;
	s->usual = 3.5F;
	s->clients = s->moving = 0;
	memset(s->window, 0, sizeof(s->window));
	memset(s->turns, 0, sizeof(s->turns));
	s->window_slot = 0;
	s->recent = s->unsaved = false;
	/* between the two lies nothing */
	memset(&s->day + 1, 0, (size_t)((uint8_t *)&s->today - (uint8_t *)(&s->day + 1)));
}

static void settle_client(struct fg_client_summary *c)
{
	struct fg_signals *g = &c->row.signals;

	c->row.first_ns = START_NS;
	c->row.last_ns = START_NS + S;
	c->row.print = 0;
	c->row.unsaved = 0;
	c->day.hour = 0;
	c->listed = true;
	g->gap_mean_ms = g->gap_variance = 1e9F;
	for (int i = 0; i < FG_TIMES_KEPT; i++)
		g->times[i] |= 1;
	for (int i = 0; i < FG_SHAPES_KEPT; i++)
		g->shape_counts[i] |= 1;
}

static void test_summary_of_any_row_is_that_row(void **state)
{
	struct fg_client_summary c, c2;
	struct fg_model_source s, s2;
	struct fg_summary sum;
	size_t most = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		memset(&s, 0, sizeof(s));
		fill(&s, offsetof(struct fg_model_source, recent));
		settle_source(&s);
		address((uint32_t)i, s.addr);
		fg_summary_put_source(&s, &sum);
		assert_int_equal(sum.last_ns, s.last_ns);
		assert_int_equal(fg_summary_get_source(sum.bytes, sum.n, &s2), 0);
		assert_memory_equal(&s, &s2, sizeof(s));
		memset(&c, 0, sizeof(c));
		fill(&c.row, sizeof(c.row));
		fill(&c.day, sizeof(c.day));
		settle_client(&c);
		c.print = fg_prng_next(&rng);
		fg_summary_put_client(&c, &sum);
		assert_int_equal(fg_summary_get_client(sum.bytes, sum.n, &c2), 0);
		assert_memory_equal(&c.row, &c2.row, sizeof(c.row));
		assert_memory_equal(&c.day, &c2.day, sizeof(c.day));
		assert_int_equal(c.print, c2.print);
		assert_true(c2.listed);
		most = sum.n > most ? sum.n : most;
	}
	print_message("largest client %zu bytes\n", most);
}

/* Every bin in use, every number as large as it can be. */
static void test_summary_has_room_for_the_largest(void **state)
{
	struct fg_model_print p = { .print = 1, .stem = 2, .named = true };
	struct fg_hosts_row h, h2;
	struct fg_stem stem, stem2;
	struct fg_model_print p2;
	struct fg_summary sum;

	(void)state;
	memset(&stem, 0xff, sizeof(stem));
	stem.last_ns = START_NS;
	stem.crypto_n = FG_CRYPTO_BINS * 65535U;
	stem.unsaved = false;
	fg_summary_put_stem(&stem, &sum);
	print_message("largest stem %zu bytes\n", sum.n);
	assert_int_equal(fg_summary_get_stem(sum.bytes, sum.n, &stem2), 0);
	assert_int_equal(stem2.crypto_n, stem.crypto_n);
	assert_memory_equal(stem2.crypto, stem.crypto, sizeof(stem.crypto));
	assert_memory_equal(stem2.stacks, stem.stacks, sizeof(stem.stacks));
	assert_int_equal(stem2.connections, UINT64_MAX);
	assert_int_equal(stem2.births[1], UINT32_MAX);
	memset(p.ja4, 'a', sizeof(p.ja4) - 1);
	memset(p.stem_text, 'b', sizeof(p.stem_text) - 1);
	memset(p.sni, 'c', sizeof(p.sni) - 1);
	p.hellos = p.sources = UINT64_MAX;
	p.last_ns = p.first_ns = START_NS;
	fg_summary_put_print(&p, &sum);
	assert_int_equal(fg_summary_get_print(sum.bytes, sum.n, &p2), 0);
	assert_memory_equal(&p, &p2, sizeof(p));
	memset(&h, 0, sizeof(h));
	fill(&h, offsetof(struct fg_hosts_row, unsaved));
	for (int i = 0; i < FG_HOST_LINES; i++)
		h.fits[i] |= 1;
	h.last_ns = START_NS;
	h.by_chance = 0.25F;
	fg_summary_put_hosts(&h, &sum);
	assert_int_equal(fg_summary_get_hosts(sum.bytes, sum.n, &h2), 0);
	assert_memory_equal(&h, &h2, sizeof(h));
}

static void test_summary_sparse_crypto_comes_back(void **state)
{
	struct fg_stem stem = { .stem = 7, .last_ns = START_NS }, stem2;
	struct fg_summary sum;

	(void)state;
	for (int i = 0; i < 500; i++)
		fg_stem_add_crypto(&stem, 30000, 32000 + (uint32_t)fg_prng_below(&rng, 900000));
	fg_summary_put_stem(&stem, &sum);
	assert_int_equal(fg_summary_get_stem(sum.bytes, sum.n, &stem2), 0);
	assert_memory_equal(&stem, &stem2, sizeof(stem));
	assert_true(fg_stem_crypto(&stem2).known);
	assert_true(fg_stem_crypto(&stem2).us == fg_stem_crypto(&stem).us);
}

/* Seconds are whole: the first is not later, the last not earlier, and in the same day. */
static void test_summary_rounds_times_outwards(void **state)
{
	struct fg_model_source s = { .first_ns = START_NS + 1, .last_ns = START_NS + FG_DAY_NS },
			       s2;
	struct fg_summary sum;

	(void)state;
	fg_summary_put_source(&s, &sum);
	assert_int_equal(fg_summary_get_source(sum.bytes, sum.n, &s2), 0);
	assert_int_equal(s2.first_ns, START_NS);
	assert_int_equal(s2.last_ns, START_NS + FG_DAY_NS);
	s.last_ns -= 1;
	fg_summary_put_source(&s, &sum);
	assert_int_equal(fg_summary_get_source(sum.bytes, sum.n, &s2), 0);
	assert_int_equal((s2.last_ns - 1) / FG_DAY_NS, (s.last_ns - 1) / FG_DAY_NS);
}

static void test_summary_damage_is_told_from_age(void **state)
{
	struct fg_model_source s = { .first_ns = START_NS, .last_ns = START_NS, .proven = 12345 };
	struct fg_client_summary c;
	struct fg_summary sum;

	(void)state;
	fg_summary_put_source(&s, &sum);
	for (size_t i = 0; i < sum.n * 8; i++) {
		sum.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(fg_summary_get_source(sum.bytes, sum.n, &s), -EBADMSG);
		sum.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n < sum.n; n++)
		assert_int_equal(fg_summary_get_source(sum.bytes, n, &s), -EBADMSG);
	/* whole, but of another kind */
	assert_int_equal(fg_summary_get_client(sum.bytes, sum.n, &c), -EBADMSG);
	assert_int_equal(fg_summary_get_source(sum.bytes, sum.n, &s), 0);
	assert_int_equal(s.proven, 12345);
}

/* --- A keeper in memory ----------------------------------------------------------------------- */

static struct {
	struct fg_summary *at;
	size_t n;
	uint64_t puts, finds;
	int error;
} kept;

static size_t find(void *arg, uint64_t key, void *bytes, size_t n)
{
	(void)arg;
	kept.finds++;
	for (size_t i = 0; i < kept.n; i++) {
		if (kept.at[i].key != key)
			continue;
		assert_true(kept.at[i].n <= n);
		memcpy(bytes, kept.at[i].bytes, kept.at[i].n);
		return kept.at[i].n;
	}
	return 0;
}

static int put(void *arg, const struct fg_summary *s)
{
	size_t i = 0;

	(void)arg;
	if (kept.error)
		return kept.error;
	kept.puts++;
	while (i < kept.n && kept.at[i].key != s->key)
		i++;
	assert_true(i < KEPT);
	kept.at[i] = *s;
	kept.n += i == kept.n;
	return 0;
}

static const struct fg_keeper keeper = { find, put, NULL };

static struct fg_model *open_model(uint32_t sources, uint32_t clients, uint32_t prints)
{
	const struct fg_model_limits limits = { .sources = sources,
						.clients = clients,
						.fingerprints = prints,
						.stems = 64,
						.hosts = 4096,
						.window_ns = 60 * S,
						.seed = { 11, 12 } };
	struct fg_model *m;

	assert_int_equal(fg_model_new(&limits, &m), 0);
	fg_model_remember(m, &keeper);
	return m;
}

static void save_all(struct fg_model *m)
{
	while (fg_model_save(m, 1, 100) > 0)
		;
}

static struct fg_model *read_back(struct fg_model *left, bool complete)
{
	const struct fg_model_past past = fg_model_past(left);
	struct fg_model *m = open_model(1000, 2000, 400);

	for (unsigned int kind = 1; kind < _FG_SUMMARY_MAX; kind++)
		for (size_t i = 0; i < kept.n; i++)
			if (fg_summary_kind_of(kept.at[i].key) == kind)
				assert_int_equal(fg_model_restore(m, kept.at[i].key,
								  kept.at[i].bytes, kept.at[i].n),
						 0);
	fg_model_restored(m, &past, complete);
	return m;
}

static int set_up(void **state)
{
	(void)state;
	rng.state = 5;
	memset(&kept, 0, sizeof(kept));
	kept.at = calloc(KEPT, sizeof(*kept.at));
	return kept.at ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(kept.at);
	return 0;
}

/* --- A small town ----------------------------------------------------------------------------- */

static struct {
	struct fg_epoch_source sources[PEOPLE];
	struct fg_epoch_client clients[2 * PEOPLE];
	struct fg_epoch_print prints[2 * PEOPLE];
	struct fg_epoch_flow flows[2 * PEOPLE];
	struct fg_epoch e;
} now;

static void add_flow(uint32_t who, uint64_t stem, uint64_t stack, uint64_t print, uint64_t at_ns)
{
	uint32_t rtt_us = 20000 + who * 100 + (uint32_t)fg_prng_below(&rng, 900);
	struct fg_epoch_client *c = &now.clients[now.e.n_clients++];
	struct fg_epoch_print *p = &now.prints[now.e.n_prints++];
	struct fg_epoch_flow *f = &now.flows[now.e.n_flows++];

	*c = (struct fg_epoch_client){
		.stem = stem, .stack = stack, .print = print, .connections = 1
	};
	*p = (struct fg_epoch_print){ print, stem, 1 };
	*f = (struct fg_epoch_flow){
		.stem = stem,
		.stack = stack,
		.bytes_in = 900,
		.bytes_out = 5000,
		.exchanges = 1 + who % 3,
		.news = FG_NEWS_OPENED | FG_NEWS_TIMES | FG_NEWS_CLOSED,
		.opened_ns = at_ns,
		.order = (uint32_t)fg_prng_below(&rng, who % 2 ? 1 : 50),
		.ttl = 57,
		.has_tsval = true,
		.tsval = (uint32_t)(at_ns / 1000000) + who * 1000003,
		.tsval_ns = at_ns,
		.n_rtts = 1,
		.rtt_us = rtt_us,
		.rtt_max_us = rtt_us,
		.turn_us = rtt_us + 4000 + (who % 7 ? 0 : 90000),
		.hello_delay_us = who % 7 ? 500 : 91000,
		.closed_by = FG_CLOSE_CLIENT_FIN,
		.idle_ms = who % 7 ? 4000 : 60000,
		.n_turns = 1,
		.turns = { { at_ns, (uint16_t)(0x3321 + (who % 5 << 12)), 20, 1500 } },
	};
	address(who, c->addr);
	address(who, f->addr);
}

/* A quarter of the town is busy in an hour; who is on a NAT (who % 11 == 0) has two kinds of
 * clients. */
static const struct fg_epoch *make_hour(uint32_t h)
{
	const uint64_t start = START_NS + h * HOUR_NS;

	memset(&now.e, 0, sizeof(now.e));
	now.e.start_ns = start;
	now.e.end_ns = start + HOUR_NS;
	now.e.sources = now.sources;
	now.e.clients = now.clients;
	now.e.prints = now.prints;
	now.e.flows = now.flows;
	for (uint32_t who = 0; who < PEOPLE; who++) {
		uint64_t at = start + fg_prng_below(&rng, 3600) * S;

		if (fg_prng_below(&rng, 4) || (h / 24 + who) % 3 == 0)
			continue;
		now.sources[now.e.n_sources] = (struct fg_epoch_source){
			.syns = 1, .connections = 1, .proven = 1, .hellos = 1
		};
		address(who, now.sources[now.e.n_sources++].addr);
		add_flow(who, 50 + who % 6, 9 + who % 2, 500 + who % 13, at);
		if (who % 11 == 0)
			add_flow(who, 60 + who % 4, 9, 600 + who % 4, at + 60 * S);
	}
	return &now.e;
}

static void live(struct fg_model *m, uint32_t h)
{
	assert_int_equal(fg_model_apply(m, make_hour(h)), 0);
}

static void same_source(const struct fg_model *a, const struct fg_model *b,
			const struct fg_model_source *s)
{
	const struct fg_model_source *t = fg_model_source_find(b, s->addr);
	const struct fg_hosts_seen hs = fg_model_hosts(a, s->addr), ht = fg_model_hosts(b, s->addr);

	assert_non_null(t);
	assert_int_equal(s->proven, t->proven);
	assert_int_equal(s->exchanges, t->exchanges);
	assert_int_equal(s->first_ns, t->first_ns);
	assert_int_equal(s->fingerprints, t->fingerprints);
	assert_int_equal(s->clients, t->clients);
	assert_int_equal(s->stems, t->stems);
	assert_int_equal(s->stacks, t->stacks);
	assert_int_equal(s->days, t->days);
	assert_int_equal(s->today, t->today);
	assert_true(s->usual == t->usual);
	assert_int_equal(hs.lines, ht.lines);
	assert_int_equal(hs.hosts, ht.hosts);
	assert_string_equal(hs.why, ht.why);
	assert_int_equal(fg_model_estimated_hosts(a, s), fg_model_estimated_hosts(b, t));
}

static uint32_t place_of(const struct fg_model *m, const struct fg_model_client *c)
{
	const struct fg_model_client *found = fg_model_client_find(m, c->addr, c->stem, c->stack);

	assert_non_null(found);
	return (uint32_t)(found - fg_model_client_at(m, 0));
}

/* Everything that speaks of clients, sources and stems is what it is in the other model. */
static void same(const struct fg_model *a, const struct fg_model *b)
{
	struct fg_traits_reader ra, rb;
	struct fg_traits ta, tb;

	assert_int_equal(fg_model_n_sources(a), fg_model_n_sources(b));
	assert_int_equal(fg_model_n_clients(a), fg_model_n_clients(b));
	assert_int_equal(fg_model_n_prints(a), fg_model_n_prints(b));
	fg_traits_begin(&ra, a, NULL);
	fg_traits_begin(&rb, b, NULL);
	for (uint32_t i = 0; i < fg_model_n_sources(a); i++)
		same_source(a, b, fg_model_source_at(a, i));
	for (uint32_t i = 0; i < fg_model_n_clients(a); i++) {
		const struct fg_model_client *c = fg_model_client_at(a, i);
		uint32_t at = place_of(b, c);
		const struct fg_model_client *d = fg_model_client_at(b, at);

		fg_traits_read(&ra, i, &ta);
		fg_traits_read(&rb, at, &tb);
		tb.place = ta.place;
		assert_memory_equal(&ta, &tb, sizeof(ta));
		assert_memory_equal(&c->signals, &d->signals, sizeof(c->signals));
		assert_int_equal(c->first_ns, d->first_ns);
		assert_int_equal(c->connections, d->connections);
		assert_int_equal(fg_model_print_of(a, c)->print, fg_model_print_of(b, d)->print);
		assert_true(fg_stem_crypto(fg_model_stem(a, c->stem)).us ==
			    fg_stem_crypto(fg_model_stem(b, c->stem)).us);
		assert_int_equal(fg_model_stem_day(a, c->stem, 0).births,
				 fg_model_stem_day(b, c->stem, 0).births);
		assert_int_equal(fg_model_stem_day(a, c->stem, 1).returns,
				 fg_model_stem_day(b, c->stem, 1).returns);
	}
	for (uint32_t i = 0; i < fg_model_n_prints(a); i++) {
		const struct fg_model_print *p = fg_model_print_at(a, i);

		assert_int_equal(p->sources, fg_model_print_find(b, p->print)->sources);
		assert_int_equal(p->hellos, fg_model_print_find(b, p->print)->hellos);
	}
}

/* --- Models ----------------------------------------------------------------------------------- */

static void test_model_goes_on_as_it_was(void **state)
{
	struct fg_model *a = open_model(1000, 2000, 400), *b;
	const uint32_t *places;
	unsigned int relayed = 0;
	size_t listed;

	(void)state;
	for (uint32_t h = 0; h < 9 * 24; h++) {
		live(a, h);
		/* the last hour is left in its midst */
		if (h + 1 < 9 * 24)
			fg_model_begin_hour(a);
		fg_model_save(a, 0.3, 50);
	}
	save_all(a);
	b = read_back(a, true);
	same(a, b);
	for (uint32_t i = 0; i < fg_model_n_clients(b); i++)
		relayed += fg_model_times(b, fg_model_client_at(b, i)).relayed == FG_TRAIT_YES;
	assert_true(relayed >= PEOPLE / 7);
	listed = fg_model_active(a, &places);
	assert_true(listed > 50);
	assert_int_equal(fg_model_active(b, &places), listed);
	for (uint32_t h = 9 * 24; h < 12 * 24; h++) {
		const struct fg_epoch *e = make_hour(h);

		assert_int_equal(fg_model_apply(a, e), 0);
		assert_int_equal(fg_model_apply(b, e), 0);
		fg_model_begin_hour(a);
		fg_model_begin_hour(b);
	}
	same(a, b);
	assert_int_equal(fg_model_known_since_ns(a), fg_model_known_since_ns(b));
	assert_int_equal(fg_model_unbroken_ns(a), fg_model_unbroken_ns(b));
	fg_model_free(&a);
	fg_model_free(&b);
}

/* What did not change is not written again, and what is written at a time is bounded. */
static void test_model_saves_what_changed(void **state)
{
	struct fg_model *m = open_model(1000, 2000, 400);
	uint64_t all, before;

	(void)state;
	live(m, 0);
	save_all(m);
	all = kept.puts;
	assert_true(all > PEOPLE / 4);
	save_all(m);
	assert_int_equal(kept.puts, all);
	live(m, 1);
	before = kept.puts;
	assert_true(fg_model_save(m, 1, 10) <= 5 * 10);
	assert_true(kept.puts - before <= 5 * 10);
	save_all(m);
	assert_true(kept.puts - before > 5 * 10);
	/* what the keeper did not take is made again */
	live(m, 2);
	kept.error = -ENOSPC;
	assert_int_equal(fg_model_save(m, 1, 1000), -ENOSPC);
	kept.error = 0;
	before = kept.puts;
	save_all(m);
	assert_true(kept.puts - before > PEOPLE / 8);
	before = kept.puts;
	fg_model_save_again(m);
	save_all(m);
	assert_true(kept.puts - before >= fg_model_n_sources(m) + fg_model_n_clients(m));
	fg_model_free(&m);
}

/* A turn in many small shares reaches every row, also while the tables grow. */
static void test_model_turns_reach_every_row(void **state)
{
	struct fg_model *m = open_model(1000, 2000, 400);

	(void)state;
	for (uint32_t h = 0; h < 48; h++) {
		live(m, h);
		fg_model_save(m, 0.01, 1000);
	}
	for (int i = 0; i < 400; i++)
		fg_model_save(m, 1 / 300.0, 1000);
	for (uint32_t i = 0; i < fg_model_n_sources(m); i++)
		assert_false(fg_model_source_at(m, i)->unsaved);
	for (uint32_t i = 0; i < fg_model_n_clients(m); i++)
		assert_false(fg_model_client_at(m, i)->unsaved);
	for (uint32_t i = 0; i < fg_model_n_prints(m); i++)
		assert_false(fg_model_print_at(m, i)->unsaved);
	fg_model_free(&m);
}

/* In a table that is too small for the town everybody gives way to others, and comes back as who
 * they were. */
static void test_model_who_gave_way_is_not_new(void **state)
{
	struct fg_model *large = open_model(1000, 2000, 400), *small;
	struct fg_model_refused refused;
	uint64_t births = 0, births_small = 0;

	(void)state;
	fg_model_remember(large, &(struct fg_keeper){ NULL, NULL, NULL });
	small = open_model(150, 150, 400);
	for (uint32_t h = 0; h < 5 * 24; h++) {
		const struct fg_epoch *e = make_hour(h);

		assert_int_equal(fg_model_apply(large, e), 0);
		assert_int_equal(fg_model_apply(small, e), 0);
	}
	refused = fg_model_refused(small);
	assert_true(refused.sources_expired > 1000);
	assert_true(refused.clients_expired > 1000);
	assert_int_equal(refused.left, 0);
	assert_int_equal(refused.recalls, 0);
	for (uint32_t i = 0; i < fg_model_n_sources(small); i++) {
		const struct fg_model_source *s = fg_model_source_at(small, i);
		const struct fg_model_source *t = fg_model_source_find(large, s->addr);

		assert_int_equal(s->first_ns, t->first_ns);
		assert_int_equal(s->stems, t->stems);
		assert_int_equal(s->proven, t->proven);
		assert_int_equal(s->days, t->days);
	}
	for (uint64_t stem = 50; stem < 64; stem++) {
		if (fg_model_stem(large, stem))
			assert_int_equal(fg_model_stem(large, stem)->clients,
					 fg_model_stem(small, stem)->clients);
		births += fg_model_stem_day(large, stem, 0).births;
		births_small += fg_model_stem_day(small, stem, 0).births;
	}
	assert_int_equal(births, births_small);
	/* nothing was forgotten: resumptions can be judged */
	assert_int_equal(fg_model_known_since_ns(small), fg_model_known_since_ns(large));
	fg_model_free(&large);
	fg_model_free(&small);
}

/* What a flood costs is bounded, and said. */
static void test_model_counts_what_was_not_looked_up(void **state)
{
	static struct fg_epoch_source rows[FG_RECALLS + 100];
	struct fg_model *m = open_model(FG_RECALLS + 200, 10, 10);
	struct fg_epoch e = { .start_ns = START_NS, .end_ns = START_NS + S, .sources = rows };

	(void)state;
	for (e.n_sources = 0; e.n_sources < FG_RECALLS + 100; e.n_sources++) {
		rows[e.n_sources].proven = 1;
		address((uint32_t)e.n_sources, rows[e.n_sources].addr);
	}
	assert_int_equal(fg_model_apply(m, &e), 0);
	assert_int_equal(kept.finds, FG_RECALLS);
	assert_int_equal(fg_model_refused(m).recalls, 100);
	e.start_ns += S;
	e.end_ns += S;
	assert_int_equal(fg_model_apply(m, &e), 0);
	assert_int_equal(kept.finds, FG_RECALLS);
	fg_model_free(&m);
}

/* --- Breaks ----------------------------------------------------------------------------------- */

static struct fg_share_of {
	unsigned int known, yes;
} share_of(const struct fg_model *m, enum fg_share share)
{
	struct fg_share_of sum = { 0 };
	struct fg_traits_reader r;
	const uint32_t *places;
	size_t n = fg_model_active(m, &places);

	fg_traits_begin(&r, m, NULL);
	for (size_t i = 0; i < n; i++) {
		struct fg_traits t;

		fg_traits_read(&r, places[i], &t);
		sum.known += t.known >> share & 1;
		sum.yes += t.yes >> share & 1;
	}
	return sum;
}

static struct fg_model *lived(uint32_t hours)
{
	struct fg_model *m = open_model(1000, 2000, 400);

	for (uint32_t h = 0; h < hours; h++) {
		live(m, h);
		fg_model_begin_hour(m);
	}
	save_all(m);
	return m;
}

static void test_model_a_break_is_no_absence(void **state)
{
	struct fg_model *a = lived(8 * 24), *b = read_back(a, true);
	const struct fg_model_source *s;
	uint8_t addr[16];
	uint16_t days;

	(void)state;
	/* who is in town on the days 6, 8, 9 and 11 */
	address(2, addr);
	days = fg_model_source_find(b, addr)->days;
	/* away for ten hours of a day */
	for (uint32_t h = 8 * 24 + 10; h < 11 * 24; h++) {
		live(b, h);
		if (h < 9 * 24 + 10)
			assert_int_equal(share_of(b, FG_SHARE_BORN).known, 0);
		if (h < 10 * 24 + 10)
			assert_int_equal(share_of(b, FG_SHARE_NOT_BACK).known, 0);
		fg_model_begin_hour(b);
	}
	live(b, 11 * 24);
	fg_model_begin_hour(b);
	for (uint32_t h = 11 * 24 + 1; h < 12 * 24; h++)
		live(b, h);
	assert_true(share_of(b, FG_SHARE_BORN).known > 50);
	assert_int_equal(share_of(b, FG_SHARE_BORN).yes, 0);
	assert_true(share_of(b, FG_SHARE_NOT_BACK).known > 50);
	assert_int_equal(fg_model_began_ns(b), START_NS);
	assert_int_equal(fg_model_unbroken_ns(b), START_NS + (8 * 24 + 10) * HOUR_NS);
	assert_int_equal(fg_model_known_since_ns(b), START_NS + (8 * 24 + 11) * HOUR_NS);
	/* the day of the break says nothing of what is usual: 6 and 9 do, 11 is not over */
	s = fg_model_source_find(b, addr);
	assert_int_equal(s->day, 20500 + 11);
	assert_int_equal(s->days, days + 2);
	fg_model_free(&a);
	fg_model_free(&b);
}

static void test_model_a_short_break_costs_nothing(void **state)
{
	struct fg_model *a = lived(8 * 24), *b = read_back(a, true), *killed = read_back(a, false);
	struct fg_epoch e;

	(void)state;
	e = *make_hour(8 * 24);
	e.start_ns += 30 * S;
	assert_int_equal(fg_model_apply(b, &e), 0);
	assert_int_equal(fg_model_unbroken_ns(b), START_NS);
	assert_int_equal(fg_model_known_since_ns(b), fg_model_known_since_ns(a));
	assert_true(share_of(b, FG_SHARE_BORN).known > 50);
	assert_int_equal(share_of(b, FG_SHARE_BORN).yes, 0);
	assert_true(share_of(b, FG_SHARE_NOT_BACK).known > 50);
	/* killed: full handshakes of the last hour may be lost, births are not */
	assert_int_equal(fg_model_apply(killed, &e), 0);
	assert_int_equal(fg_model_unbroken_ns(killed), START_NS);
	assert_int_equal(fg_model_known_since_ns(killed), e.end_ns);
	fg_model_free(&a);
	fg_model_free(&b);
	fg_model_free(&killed);
}

/* After a fortnight, or with a clock from before, what was known says nothing of now. */
static void test_model_begins_anew_where_the_past_is_none(void **state)
{
	struct fg_model *a = lived(8 * 24), *b = read_back(a, true), *c = read_back(a, true);
	uint64_t start;

	(void)state;
	live(b, (8 + 15) * 24);
	start = START_NS + (8 + 15) * 24 * HOUR_NS;
	assert_int_equal(fg_model_began_ns(b), start);
	assert_int_equal(fg_model_unbroken_ns(b), start);
	live(c, 5 * 24);
	assert_int_equal(fg_model_began_ns(c), START_NS + 5 * 24 * HOUR_NS);
	assert_int_equal(fg_model_known_since_ns(c), START_NS + (5 * 24 + 1) * HOUR_NS);
	assert_int_equal(share_of(c, FG_SHARE_BORN).known, 0);
	fg_model_free(&a);
	fg_model_free(&b);
	fg_model_free(&c);
}

/* Fingerprints never give way: half of their room stays for new ones. */
static void test_model_takes_no_more_than_it_has_room_for(void **state)
{
	struct fg_model *a = lived(48), *m = open_model(100, 50, 10);
	const struct fg_model_past past = fg_model_past(a);
	size_t refused = 0;

	(void)state;
	for (unsigned int kind = 1; kind < _FG_SUMMARY_MAX; kind++)
		for (size_t i = 0; i < kept.n; i++)
			if (fg_summary_kind_of(kept.at[i].key) == kind)
				refused += fg_model_restore(m, kept.at[i].key, kept.at[i].bytes,
							    kept.at[i].n) == 1;
	fg_model_restored(m, &past, true);
	assert_int_equal(fg_model_n_sources(m), 100);
	assert_int_equal(fg_model_n_clients(m), 50);
	assert_int_equal(fg_model_n_prints(m), 5);
	assert_true(refused > 100);
	live(m, 48);
	fg_model_free(&a);
	fg_model_free(&m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_summary_of_any_row_is_that_row),
		TEST(test_summary_has_room_for_the_largest),
		TEST(test_summary_sparse_crypto_comes_back),
		TEST(test_summary_rounds_times_outwards),
		TEST(test_summary_damage_is_told_from_age),
		TEST(test_model_goes_on_as_it_was),
		TEST(test_model_saves_what_changed),
		TEST(test_model_turns_reach_every_row),
		TEST(test_model_who_gave_way_is_not_new),
		TEST(test_model_counts_what_was_not_looked_up),
		TEST(test_model_a_break_is_no_absence),
		TEST(test_model_a_short_break_costs_nothing),
		TEST(test_model_begins_anew_where_the_past_is_none),
		TEST(test_model_takes_no_more_than_it_has_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
