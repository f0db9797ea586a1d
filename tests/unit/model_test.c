/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/model.h: what epochs add up to, what names a fingerprint, and what gives way when full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "farmgate/hello.h"
#include "hello_build.h"
#include "model/model.h"

#define S   1000000000ULL
#define NOW (1795435200 * S)

static struct fg_model *model;

static void open_model(uint32_t sources, uint32_t clients, uint32_t prints)
{
	const struct fg_model_limits limits = {
		.sources = sources, .clients = clients, .fingerprints = prints, .window_ns = 60 * S
	};

	fg_model_free(&model);
	assert_int_equal(fg_model_new(&limits, &model), 0);
}

static int set_up(void **state)
{
	(void)state;
	open_model(1000, 2000, 100);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_model_free(&model);
	return 0;
}

static void address(uint32_t i, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	ret_addr[10] = ret_addr[11] = 0xff;
	memcpy(ret_addr + 12, &i, 4);
}

static const struct fg_model_source *source(uint32_t i)
{
	uint8_t addr[16];

	address(i, addr);
	return fg_model_source_find(model, addr);
}

/* One epoch: n proven connections of a source, by one client. */
static void epoch(uint64_t end_ns, uint32_t i, uint64_t n, uint64_t stem, uint64_t print)
{
	struct fg_epoch_source s = {
		.syns = n, .connections = n, .proven = n, .hellos = n, .fins = n
	};
	struct fg_epoch_client c = {
		.stem = stem, .stack = 9, .print = print, .connections = n, .resumed = n / 2
	};
	struct fg_epoch_print p = { .print = print, .stem = stem, .hellos = n };
	struct fg_epoch_flow f = {
		.stem = stem, .stack = 9, .bytes_in = 100 * n, .bytes_out = 900 * n, .exchanges = n
	};
	const struct fg_epoch e = { .start_ns = end_ns - S,
				    .end_ns = end_ns,
				    .sources = &s,
				    .n_sources = 1,
				    .clients = &c,
				    .n_clients = 1,
				    .prints = &p,
				    .n_prints = 1,
				    .flows = &f,
				    .n_flows = 1 };

	address(i, s.addr);
	address(i, c.addr);
	address(i, f.addr);
	assert_int_equal(fg_model_apply(model, &e), 0);
}

static void test_model_epochs_add_up(void **state)
{
	const struct fg_model_client *c;
	const struct fg_model_source *s;

	(void)state;
	epoch(NOW, 1, 4, 50, 500);
	epoch(NOW + S, 1, 6, 50, 500);
	epoch(NOW + S, 2, 1, 50, 500);
	s = source(1);
	assert_non_null(s);
	assert_int_equal(s->syns, 10);
	assert_int_equal(s->proven, 10);
	assert_int_equal(s->hellos, 10);
	assert_int_equal(s->fins, 10);
	assert_int_equal(s->exchanges, 10);
	assert_int_equal(s->bytes_in, 1000);
	assert_int_equal(s->bytes_out, 9000);
	assert_int_equal(s->first_ns, NOW);
	assert_int_equal(s->last_ns, NOW + S);
	assert_int_equal(fg_model_exchanges(model), 11);
	assert_int_equal(fg_model_n_sources(model), 2);
	assert_int_equal(fg_model_n_clients(model), 2);
	assert_int_equal(fg_model_n_prints(model), 1);
	assert_int_equal(fg_model_print_find(model, 500)->hellos, 11);
	assert_int_equal(fg_model_print_find(model, 500)->sources, 2);
	assert_int_equal(fg_model_clients_of(model, s->addr, &c, 1), 1);
	assert_int_equal(c->connections, 10);
	assert_int_equal(c->resumed, 5);
	assert_int_equal(c->exchanges, 10);
	assert_null(source(3));
}

/* The weaker proof where connections were proven differently. */
static void test_model_keeps_the_weaker_proof(void **state)
{
	struct fg_epoch_client c = { .stem = 50, .stack = 9, .connections = 5, .proof_socket = 5 };
	const struct fg_epoch e = { .end_ns = NOW, .clients = &c, .n_clients = 1 };

	(void)state;
	assert_int_equal(fg_model_apply(model, &e), 0);
	assert_false(fg_model_client_at(model, 0)->by_handshake);
	c.proof_socket = 4;
	assert_int_equal(fg_model_apply(model, &e), 0);
	assert_true(fg_model_client_at(model, 0)->by_handshake);
	c.proof_socket = 5;
	assert_int_equal(fg_model_apply(model, &e), 0);
	assert_true(fg_model_client_at(model, 0)->by_handshake);
}

static void test_model_clients_without_a_fingerprint_row(void **state)
{
	(void)state;
	open_model(10, 10, 1);
	epoch(NOW, 1, 1, 50, 500);
	epoch(NOW, 2, 1, 51, 501);
	assert_int_equal(fg_model_print_of(model, fg_model_client_at(model, 0))->print, 500);
	assert_null(fg_model_print_of(model, fg_model_client_at(model, 1)));
}

/* Clients are (source, stem, stack); stems and fingerprints are counted apart from them. */
static void test_model_counts_kinds_behind_a_source(void **state)
{
	const struct fg_model_client *c[3];
	uint8_t addr[16];

	(void)state;
	epoch(NOW, 1, 1, 50, 500);
	epoch(NOW, 1, 5, 50, 501);
	epoch(NOW, 1, 3, 51, 502);
	epoch(NOW, 1, 9, 52, 502);
	epoch(NOW + S, 1, 1, 50, 500);
	assert_int_equal(source(1)->clients, 3);
	assert_int_equal(source(1)->stems, 3);
	assert_int_equal(source(1)->fingerprints, 3);
	address(1, addr);
	assert_int_equal(fg_model_clients_of(model, addr, c, 3), 3);
	assert_int_equal(c[0]->stem, 52);
	assert_int_equal(c[1]->stem, 50);
	assert_int_equal(c[1]->connections, 7);
	assert_int_equal(fg_model_print_of(model, c[1])->print, 500);
	assert_int_equal(c[2]->stem, 51);
	/* only the busiest where the caller has less room */
	assert_int_equal(fg_model_clients_of(model, addr, c, 1), 1);
	assert_int_equal(c[0]->stem, 52);
}

static void test_model_window_slides(void **state)
{
	(void)state;
	epoch(NOW, 1, 7, 50, 500);
	assert_int_equal(fg_model_window_proven(model, source(1)), 7);
	epoch(NOW + 30 * S, 1, 2, 50, 500);
	assert_int_equal(fg_model_window_proven(model, source(1)), 9);
	epoch(NOW + 61 * S, 2, 1, 50, 500);
	assert_int_equal(fg_model_window_proven(model, source(1)), 2);
	epoch(NOW + 200 * S, 2, 1, 50, 500);
	assert_int_equal(fg_model_window_proven(model, source(1)), 0);
	assert_int_equal(source(1)->proven, 9);
	epoch(NOW + 201 * S, 1, 1, 50, 500);
	assert_int_equal(fg_model_window_proven(model, source(1)), 1);
}

/* A complete hello as the kernel would sample it. */
static struct fg_sample sample_of(const struct fg_hello_desc *d)
{
	static const __u64 seed[4] = { 1, 2, 3, 4 };
	static uint8_t segment[FG_SEGMENT_MAX_BYTES + 8];
	struct fg_sample s = { .proto = 't' };
	size_t len = fg_hello_stream(d, segment, FG_SEGMENT_MAX_BYTES);

	fg_hello_begin(&s.hello);
	fg_hello_segment(&s.hello, (__u32)len);
	while (fg_hello_step(&s.hello, seed, segment))
		;
	assert_int_equal(s.hello.result, FG_HELLO_COMPLETE);
	return s;
}

static void apply_sample(const struct fg_sample *s)
{
	const struct fg_epoch e = { .end_ns = NOW, .samples = s, .n_samples = 1 };

	assert_int_equal(fg_model_apply(model, &e), 0);
}

static void test_model_a_sample_names_its_fingerprint(void **state)
{
	const struct fg_model_print *p;
	struct fg_hello_desc d;
	struct fg_sample s;
	uint64_t stem;

	(void)state;
	fg_hello_tool(&d, "api.example.com");
	s = sample_of(&d);
	assert_false(fg_model_knows(model, s.hello.print));
	assert_null(fg_model_stem_text(model, s.hello.stem));
	apply_sample(&s);
	p = fg_model_print_find(model, s.hello.print);
	assert_non_null(p);
	assert_true(p->named && fg_model_knows(model, s.hello.print));
	assert_int_equal(strlen(p->ja4), 36);
	assert_memory_equal(p->ja4, "t13d", 4);
	assert_string_equal(p->sni, "api.example.com");
	assert_string_equal(fg_model_stem_text(model, s.hello.stem), p->stem_text);
	stem = fg_model_stem_key(model, p->stem_text);
	assert_true(stem == s.hello.stem);
	assert_int_equal(fg_model_stem_key(model, "~nobody"), 0);
	/* an incomplete one names nothing */
	s.hello.print++;
	s.status = 1 + FG_INCOMPLETE_gap;
	apply_sample(&s);
	assert_null(fg_model_print_find(model, s.hello.print));
}

static void test_model_a_name_from_the_wire_is_made_harmless(void **state)
{
	struct fg_hello_desc d;
	struct fg_sample s;

	(void)state;
	fg_hello_tool(&d, "a\033[2J\tb\177.example");
	s = sample_of(&d);
	apply_sample(&s);
	assert_string_equal(fg_model_print_find(model, s.hello.print)->sni, "a?[2J?b?.example");
}

/* Full: who was idle for a window gives way, and nobody else; each is counted. Rows to give way are
 * drawn by chance: with at most 35 of 100 active, all 16 draws miss once in 2e7. */
static void test_model_full_tables_keep_the_active(void **state)
{
	(void)state;
	open_model(100, 100, 10);
	for (uint32_t i = 0; i < 100; i++)
		epoch(NOW, i, 1, 50, 500);
	epoch(NOW + S, 1000, 1, 50, 500);
	assert_null(source(1000));
	assert_int_equal(fg_model_refused(model).sources, 3); /* as source, client and flow */
	assert_int_equal(fg_model_refused(model).sources_expired, 0);
	for (uint32_t i = 0; i < 5; i++)
		epoch(NOW + 100 * S, i, 1, 50, 500);
	for (uint32_t i = 0; i < 30; i++)
		epoch(NOW + 101 * S, 2000 + i, 1, 50, 500);
	assert_int_equal(fg_model_n_sources(model), 100);
	assert_int_equal(fg_model_n_clients(model), 100);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(source(i)->proven, 2);
	for (uint32_t i = 0; i < 30; i++)
		assert_int_equal(source(2000 + i)->clients, 1);
	assert_int_equal(fg_model_refused(model).sources_expired, 30);
	for (uint64_t i = 0; i < 20; i++)
		epoch(NOW + 102 * S, 1, 1, 60 + i, 600 + i);
	assert_int_equal(fg_model_n_prints(model), 10);
	assert_true(fg_model_refused(model).fingerprints >= 11);
}

/* A crowd whose row gave way and came back is a crowd again, and its clients are its clients: else
 * it would look like one host, and could be blocked. */
static void test_model_a_crowd_that_comes_back_is_a_crowd(void **state)
{
	const struct fg_model_client *c[8];
	uint8_t addr[16];

	(void)state;
	open_model(20, 1000, 100);
	for (uint64_t k = 0; k < 6; k++)
		epoch(NOW, 1, 1, 50 + k, 500 + k);
	assert_int_equal(source(1)->stems, 6);
	for (uint32_t i = 100; i < 119; i++)
		epoch(NOW + 100 * S, i, 1, 50, 500);
	for (uint32_t i = 100; source(1) && i < 200; i++) {
		epoch(NOW + 200 * S, 100 + i % 19, 1, 50, 500);
		epoch(NOW + 200 * S, 1000 + i, 1, 50, 500);
	}
	assert_null(source(1));
	for (uint64_t k = 0; k < 6; k++)
		epoch(NOW + 400 * S, 1, 1, 50 + k, 500 + k);
	assert_non_null(source(1));
	assert_int_equal(source(1)->stems, 6);
	assert_int_equal(source(1)->fingerprints, 6);
	assert_int_equal(source(1)->clients, 6);
	address(1, addr);
	assert_int_equal(fg_model_clients_of(model, addr, c, 8), 6);
	assert_int_equal(c[0]->connections, 2);
}

/* Where clients have no room, the kinds behind a source are counted all the same. */
static void test_model_a_crowd_without_room_is_a_crowd(void **state)
{
	(void)state;
	open_model(100, 4, 100);
	for (uint64_t k = 0; k < 9; k++)
		epoch(NOW, 1, 1, 50 + k, 500 + k);
	assert_int_equal(fg_model_n_clients(model), 4);
	assert_int_equal(fg_model_refused(model).clients, 5);
	assert_int_equal(source(1)->stems, 9);
	assert_int_equal(source(1)->fingerprints, 9);
}

/* More pairs than one generation remembers: those shown all along are never counted twice. */
static void test_model_forgets_only_pairs_nobody_shows(void **state)
{
	static struct fg_epoch_client many[65536];
	const uint32_t rounds = 80;

	(void)state;
	open_model(10, 10, 10);
	epoch(NOW, 1, 1, 50, 500);
	for (uint32_t r = 0; r < rounds; r++) {
		struct fg_epoch e = { .end_ns = NOW + S * (r + 1), .clients = many };

		for (uint32_t k = 0; k < 65536; k++) {
			address(2, many[k].addr);
			many[k].stem = 1000 + r * 65536ULL + k;
			many[k].print = 77;
		}
		e.n_clients = 65536;
		assert_int_equal(fg_model_apply(model, &e), 0);
		epoch(NOW + S * (r + 1), 1, 1, 50, 500);
	}
	assert_int_equal(source(1)->stems, 1);
	assert_int_equal(source(1)->fingerprints, 1);
	assert_int_equal(source(2)->stems, rounds * 65536ULL);
	assert_int_equal(source(2)->fingerprints, 1);
	assert_true(fg_model_refused(model).pairs > 1 << 20);
}

/* --- What connections tell -------------------------------------------------------------------- */

#define DAY (86400 * S)

/* A flow of source i, stem 50, stack 9, with news. */
static struct fg_epoch_flow flow_of(uint32_t i, uint8_t news, uint64_t ns)
{
	struct fg_epoch_flow f = { .stem = 50, .stack = 9, .news = news, .opened_ns = ns };

	address(i, f.addr);
	return f;
}

static void apply_flows(uint64_t end_ns, const struct fg_epoch_flow *flows, size_t n)
{
	const struct fg_epoch e = {
		.start_ns = end_ns - S, .end_ns = end_ns, .flows = flows, .n_flows = n
	};

	assert_int_equal(fg_model_apply(model, &e), 0);
}

static const struct fg_model_client *client(uint32_t i)
{
	const struct fg_model_client *c = NULL;
	uint8_t addr[16];

	address(i, addr);
	fg_model_clients_of(model, addr, &c, 1);
	return c;
}

static void test_model_hands_news_to_the_client(void **state)
{
	struct fg_epoch_flow f = flow_of(1, FG_NEWS_OPENED | FG_NEWS_TIMES | FG_NEWS_CLOSED, NOW);

	(void)state;
	f.rtt_us = 20000;
	f.turn_us = 150000;
	f.closed_by = FG_CLOSE_CLIENT_FIN;
	f.idle_ms = 45000;
	f.n_turns = 1;
	f.turns[0] = (struct fg_epoch_turn){ .start_ns = NOW, .shape = 0x3456, .chunks = 9 };
	/* no such client: counted, and nobody's */
	apply_flows(NOW, &f, 1);
	assert_int_equal(fg_model_refused(model).news, 1);
	epoch(NOW, 1, 1, 50, 500);
	for (int i = 0; i < 3; i++)
		apply_flows(NOW + S, &f, 1);
	assert_int_equal(fg_model_refused(model).news, 1);
	assert_int_equal(fg_model_times(model, client(1)).rtt_ms.n, 3);
	assert_int_equal(fg_model_times(model, client(1)).relayed, FG_TRAIT_YES);
	assert_int_equal(fg_signals_shapes(&client(1)->signals).top[0].shape, 0x3456);
	assert_true(fg_signals_closes(&client(1)->signals).idle_share[FG_IDLE_45] == 1);
	assert_int_equal(fg_signals_lifecycle(&client(1)->signals).n, 3);
	/* a connection without a hello is nobody's, and that is no loss */
	f.stem = 0;
	apply_flows(NOW + S, &f, 1);
	assert_int_equal(fg_model_refused(model).news, 1);
}

/* A slow client's own time is no relay, once its stem is known to be slow; and one busy client does
 * not say what its stem is. */
static void test_model_learns_crypto_times_from_many_clients(void **state)
{
	struct fg_epoch_flow f = flow_of(0, FG_NEWS_TIMES, NOW);

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		epoch(NOW, i, 1, 50, 500);
	f.rtt_us = 10000;
	f.turn_us = 70000;
	for (int i = 0; i < 1000; i++)
		apply_flows(NOW, &f, 1);
	assert_int_equal(fg_model_times(model, client(0)).relayed, FG_TRAIT_YES);
	assert_int_equal(fg_stem_crypto(fg_model_stem(model, 50)).n, 8);
	for (uint32_t i = 1; i < 10; i++) {
		address(i, f.addr);
		for (int k = 0; k < 20; k++)
			apply_flows(NOW, &f, 1);
	}
	assert_int_equal(fg_stem_crypto(fg_model_stem(model, 50)).n, 80);
	assert_int_equal(fg_model_times(model, client(0)).relayed, FG_TRAIT_NO);
	f.time_flags = FG_TIMES_RESENT;
	epoch(NOW, 20, 1, 50, 500);
	address(20, f.addr);
	apply_flows(NOW, &f, 1);
	assert_int_equal(fg_stem_crypto(fg_model_stem(model, 50)).n, 80);
}

static void test_model_knows_stems(void **state)
{
	const struct fg_stem *stem;

	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		epoch(NOW, i, 2, 50, 500);
		epoch(NOW + S, i, 3, 50, 501);
	}
	epoch(NOW, 1, 1, 51, 502);
	stem = fg_model_stem(model, 50);
	assert_non_null(stem);
	assert_int_equal(stem->connections, 200);
	assert_int_equal(stem->clients, 40);
	assert_int_equal(fg_stem_stack(stem, 9).n, 40);
	assert_true(fg_stem_stack(stem, 9).p > 0.9);
	assert_int_equal(fg_model_stem(model, 51)->clients, 1);
	assert_null(fg_model_stem(model, 52));
	assert_int_equal(source(1)->stacks, 1);
}

/* Most connections that moved within one epoch, of one client and of one source's clients. */
static void test_model_counts_what_moves_at_once(void **state)
{
	struct fg_epoch_flow f[12];

	(void)state;
	for (uint64_t k = 0; k < 3; k++)
		epoch(NOW + k * S, 1, 1, 50 + k, 500 + k);
	for (uint32_t i = 0; i < 12; i++) {
		f[i] = flow_of(1, 0, 0);
		f[i].stem = i < 7 ? 50 : i < 10 ? 51 : 52;
		/* one that only closed did not move */
		f[i].bytes_out = i != 11;
	}
	apply_flows(NOW + 4 * S, f, 5);
	assert_int_equal(source(1)->parallel, 1);
	apply_flows(NOW + 5 * S, f, 12);
	apply_flows(NOW + 6 * S, f, 2);
	assert_int_equal(source(1)->parallel, 3);
	for (uint64_t k = 0; k < 3; k++) {
		const struct fg_model_client *c[3];

		assert_int_equal(fg_model_clients_of(model, source(1)->addr, c, 3), 3);
		assert_int_equal(c[k]->signals.parallel, c[k]->stem == 50 ? 7 :
							 c[k]->stem == 51 ? 3 :
									    1);
	}
}

/* Orphans are judged after a day, in whatever order an epoch's flows come. */
static void test_model_judges_orphans_when_it_can(void **state)
{
	struct fg_epoch_flow f[2];

	(void)state;
	epoch(NOW, 1, 1, 50, 500);
	epoch(NOW, 2, 1, 50, 500);
	assert_int_equal(fg_model_known_since_ns(model), NOW);
	f[0] = flow_of(1, FG_NEWS_OPENED, NOW + DAY + S);
	f[0].hello_flags = FG_HELLO_RESUMED;
	f[1] = flow_of(1, FG_NEWS_OPENED, NOW + DAY);
	apply_flows(NOW + DAY + S, f, 2);
	address(2, f[0].addr);
	apply_flows(NOW + DAY + S, f, 1);
	assert_int_equal(fg_signals_lifecycle(&client(1)->signals).n_judged, 1);
	assert_true(fg_signals_lifecycle(&client(1)->signals).orphan_share == 0);
	assert_int_equal(fg_signals_lifecycle(&client(2)->signals).n_judged, 1);
	assert_true(fg_signals_lifecycle(&client(2)->signals).orphan_share == 1);
}

/* One that gave way or was refused may have made its full handshake here. */
static void test_model_judges_no_orphans_of_the_forgotten(void **state)
{
	struct fg_epoch_flow f = flow_of(3, FG_NEWS_OPENED, NOW + 2 * DAY);

	(void)state;
	f.hello_flags = FG_HELLO_RESUMED;
	open_model(100, 1, 100);
	epoch(NOW, 1, 1, 50, 500);
	epoch(NOW + 100 * S, 1, 1, 50, 500);
	epoch(NOW + DAY, 2, 1, 50, 500);
	assert_int_equal(fg_model_refused(model).clients_expired, 1);
	assert_int_equal(fg_model_known_since_ns(model), NOW + 100 * S);
	epoch(NOW + DAY, 3, 1, 50, 500);
	assert_int_equal(fg_model_refused(model).clients, 1);
	assert_int_equal(fg_model_known_since_ns(model), NOW + DAY);
	epoch(NOW + 2 * DAY, 3, 1, 50, 500);
	apply_flows(NOW + 2 * DAY, &f, 1);
	assert_int_equal(fg_signals_lifecycle(&client(3)->signals).n_judged, 1);
	epoch(NOW + 2 * DAY, 4, 1, 50, 500);
	apply_flows(NOW + 2 * DAY, &f, 1);
	assert_int_equal(fg_signals_lifecycle(&client(3)->signals).n, 2);
	assert_int_equal(fg_signals_lifecycle(&client(3)->signals).n_judged, 1);
}

/* Clocks of SYNs and the hops they came, of a connection whoever made it. */
static void test_model_counts_hosts_behind_a_source(void **state)
{
	struct fg_epoch_flow f;
	struct fg_hosts_seen seen;

	(void)state;
	for (uint32_t i = 0; i < 60; i++) {
		f = flow_of(1, FG_NEWS_OPENED, NOW + i * S);
		f.has_tsval = true;
		f.tsval_ns = NOW + i * S;
		f.tsval = i * 1000 + i % 6 * 1000000000;
		f.ttl = i % 2 ? 60 : 124 - i % 4;
		apply_flows(NOW + i * S, &f, 1);
	}
	seen = fg_model_hosts(model, f.addr);
	assert_true(seen.known);
	assert_int_equal(seen.hosts, 6);
	assert_int_equal(fg_model_ts_joins(model).n, 59);
	assert_int_equal(fg_model_ts_joins(model).joined, 54);
	assert_int_equal(source(1)->hops_max - source(1)->hops_min, 2);
	assert_false(fg_model_shared(model, source(1), 4).shared);
	assert_int_equal(fg_model_shared(model, source(1), 4).facts, 1);
	/* a crowd by four other facts */
	f.ttl = 40;
	apply_flows(NOW + 61 * S, &f, 1);
	for (uint64_t k = 0; k < 8; k++)
		epoch(NOW + 62 * S, 1, 1, 50 + k, 500 + k);
	assert_false(fg_model_shared(model, source(1), 100).shared);
	assert_int_equal(fg_model_shared(model, source(1), 100).facts, 3);
	assert_true(fg_model_shared(model, source(1), 8).shared);
	for (uint64_t stack = 10; stack < 15; stack++) {
		struct fg_epoch_client c = { .stem = 50, .stack = stack, .connections = 1 };
		const struct fg_epoch e = { .end_ns = NOW + 63 * S, .clients = &c, .n_clients = 1 };

		address(1, c.addr);
		assert_int_equal(fg_model_apply(model, &e), 0);
	}
	assert_true(fg_model_shared(model, source(1), 100).shared);
	assert_int_equal(fg_model_shared(model, source(1), 100).facts, 4);
}

/* Counters of 32 bits stop; they do not begin again. */
static void test_model_counters_stop(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		epoch(NOW + (uint64_t)i * S, 1, 2000000000, 50, 500);
	assert_int_equal(source(1)->proven, UINT32_MAX);
	assert_int_equal(source(1)->exchanges, UINT32_MAX);
	assert_int_equal(client(1)->connections, UINT32_MAX);
	assert_int_equal(client(1)->resumed, 3000000000);
	assert_true(client(1)->bytes_out == 3 * 900 * 2000000000ULL);
}

/* Names of many stems, found again whenever the table grew in between. */
static void test_model_finds_the_text_of_each_stem(void **state)
{
	struct fg_hello_desc d;
	struct fg_sample s;
	uint64_t first;

	(void)state;
	open_model(10, 10, 5000);
	fg_hello_tool(&d, "api.example.com");
	s = sample_of(&d);
	first = s.hello.stem;
	apply_sample(&s);
	for (uint64_t k = 1; k < 5000; k++) {
		s.hello.print++;
		/* three fingerprints of each stem */
		s.hello.stem = first + k / 3;
		apply_sample(&s);
	}
	assert_int_equal(fg_model_n_prints(model), 5000);
	for (uint64_t k = 0; k < 5000 / 3; k++)
		assert_non_null(fg_model_stem_text(model, first + k));
	assert_null(fg_model_stem_text(model, first - 1));
}

static void test_model_size(void **state)
{
	const struct fg_model_limits few = { .sources = 1, .clients = 1, .fingerprints = 1 };
	const struct fg_model_limits clients = { .sources = 1,
						 .clients = 2000000,
						 .fingerprints = 1 };
	const struct fg_model_limits open = { .sources = 1000,
					      .clients = 2000,
					      .fingerprints = 10 };
	const struct fg_model_limits all = { .sources = 1000000,
					     .clients = 2000000,
					     .fingerprints = 65536 };
	uint64_t bytes;

	(void)state;
	print_message("a source has %zu bytes, a client %zu, of these %zu of signals\n",
		      sizeof(struct fg_model_source), sizeof(struct fg_model_client),
		      sizeof(struct fg_signals));
	bytes = fg_model_bytes_full(&clients) - fg_model_bytes_full(&few);
	print_message(
		"2 M clients need %.0f MB; with 1 M sources and all tables full it is %.0f MB\n",
		(double)bytes / 1e6, (double)fg_model_bytes_full(&all) / 1e6);
	assert_true(bytes < 600000000);
	/* the sum is that of what is allocated */
	open_model(1000, 2000, 10);
	for (uint32_t i = 0; i < 2000; i++)
		epoch(NOW, i % 1000, 1, 50 + i / 1000, 500 + i % 10);
	bytes = fg_model_bytes(model);
	assert_true(bytes < fg_model_bytes_full(&open));
	/* but for the pairs, which had few to remember */
	assert_true(fg_model_bytes_full(&open) - bytes < 2ULL * FG_DEFAULT_PAIRS * 8);
	assert_int_equal(fg_model_n_clients(model), 2000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_model_epochs_add_up),
		TEST(test_model_keeps_the_weaker_proof),
		TEST(test_model_clients_without_a_fingerprint_row),
		TEST(test_model_counts_kinds_behind_a_source),
		TEST(test_model_window_slides),
		TEST(test_model_a_sample_names_its_fingerprint),
		TEST(test_model_a_name_from_the_wire_is_made_harmless),
		TEST(test_model_full_tables_keep_the_active),
		TEST(test_model_a_crowd_that_comes_back_is_a_crowd),
		TEST(test_model_a_crowd_without_room_is_a_crowd),
		TEST(test_model_forgets_only_pairs_nobody_shows),
		TEST(test_model_hands_news_to_the_client),
		TEST(test_model_learns_crypto_times_from_many_clients),
		TEST(test_model_knows_stems),
		TEST(test_model_counts_what_moves_at_once),
		TEST(test_model_judges_orphans_when_it_can),
		TEST(test_model_judges_no_orphans_of_the_forgotten),
		TEST(test_model_counts_hosts_behind_a_source),
		TEST(test_model_counters_stop),
		TEST(test_model_finds_the_text_of_each_stem),
		TEST(test_model_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
