/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two levels of the simulated campaign: hand-made connections through both must leave the same in
 * two models, whatever way an exchange or a close goes; and the epochs must say what was played.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "campaign/compare.h"
#include "campaign/epochs.h"
#include "campaign/packets.h"
#include "farmgate/stack.h"
#include "farmgate/turn_shape.h"
#include "source/capture.h"

#define MS	    1000000ULL
#define S	    (1000 * MS)
#define TABLE_BYTES (4ULL << 20)

enum {
	BROWSER,
	TOOL,
	OLD,
	H3, /* the browser over QUIC */
	HELLOS
};
enum {
	LINUX,
	WINDOWS,
	STACKS
};

static const uint64_t seed[4] = { 1, 2, 3, 4 };
static struct cg_hello hellos[HELLOS];
static struct cg_stack stacks[STACKS];

static void server_of(const uint8_t source[16], uint8_t server, uint8_t ret_addr[16])
{
	struct fg_end end = fg_end_of(source[0] ? "2001:db8:ffff::1" : "198.51.100.1", 443);

	memcpy(ret_addr, end.addr, 16);
	ret_addr[15] = (uint8_t)(ret_addr[15] + server);
}

/* mss, sack permitted, timestamps, nop, window scale 7 */
static const uint8_t linux_syn[20] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0,
				       0, 0, 0,	   0,	 0, 0, 1, 3,  3, 7 };
/* mss, nop, window scale 8, nop, nop, sack permitted; ends on no word */
static const uint8_t windows_syn[11] = { 2, 4, 0x05, 0x78, 1, 3, 3, 8, 1, 4, 2 };

static int set_up(void **state)
{
	(void)state;
	hellos[BROWSER].name = "browser";
	fg_hello_browser(&hellos[BROWSER].desc, "api.example.com");
	hellos[TOOL].name = "tool";
	fg_hello_tool(&hellos[TOOL].desc, "api.example.com");
	hellos[OLD].name = "old";
	fg_hello_tls12(&hellos[OLD].desc, "api.example.com");
	hellos[H3] = hellos[BROWSER];
	hellos[H3].name = "h3";
	hellos[H3].quic = true;
	hellos[H3].desc.n_alpn = 1;
	hellos[H3].desc.alpn[0] = "h3";
	stacks[LINUX] = (struct cg_stack){
		.name = "linux", .window = 64240, .mss = 1460, .n_options = 20, .ts_off = 8
	};
	memcpy(stacks[LINUX].options, linux_syn, sizeof(linux_syn));
	stacks[WINDOWS] = (struct cg_stack){
		.name = "windows", .window = 65535, .mss = 1400, .n_options = 11
	};
	memcpy(stacks[WINDOWS].options, windows_syn, sizeof(windows_syn));
	return 0;
}

/* --- Both levels ------------------------------------------------------------------------------- */

struct levels {
	struct cg_keys *keys;
	struct cg_epochs *epochs;
	struct cg_packets *packets;
	struct cg_side *side;
	struct fg_model *model;
	uint64_t exchanges, epochs_n;
	uint64_t flow_exchanges, turns, bytes_in, bytes_out;
};

static void open_levels(struct levels *l, struct cg_epochs_conf *ec)
{
	struct cg_packets_conf pc = { .server = server_of, .emit = cg_side_frame };
	const struct fg_model_limits limits = {
		.sources = 1000, .clients = 1000, .fingerprints = 100, .stems = 64, .hosts = 64
	};

	memset(l, 0, sizeof(*l));
	ec->server = server_of;
	assert_int_equal(cg_keys_new(hellos, HELLOS, stacks, STACKS, seed, &l->keys), 0);
	assert_int_equal(cg_epochs_new(ec, l->keys, &l->epochs), 0);
	assert_int_equal(cg_side_new(seed, TABLE_BYTES, &l->side), 0);
	assert_int_equal(fg_model_new(&limits, &l->model), 0);
	pc.arg = l->side;
	assert_int_equal(cg_packets_new(&pc, l->keys, &l->packets), 0);
}

static void close_levels(struct levels *l)
{
	cg_packets_free(&l->packets);
	cg_epochs_free(&l->epochs);
	cg_side_free(&l->side);
	cg_keys_free(&l->keys);
	fg_model_free(&l->model);
}

static void apply_until(struct levels *l, uint64_t ns)
{
	const struct cg_progress *progress;
	struct fg_epoch epoch;
	size_t n;
	int r;

	while ((r = cg_epochs_end(l->epochs, ns, &epoch)) == 1) {
		assert_int_equal(fg_model_apply(l->model, &epoch), 0);
		progress = cg_epochs_progress(l->epochs, &n);
		for (size_t i = 0; i < n; i++)
			l->exchanges += progress[i].exchanges;
		for (size_t i = 0; i < epoch.n_flows; i++) {
			l->flow_exchanges += epoch.flows[i].exchanges;
			l->turns += epoch.flows[i].n_turns;
			l->bytes_in += epoch.flows[i].bytes_in;
			l->bytes_out += epoch.flows[i].bytes_out;
		}
		l->epochs_n++;
	}
	assert_int_equal(r, 0);
}

static void add(struct levels *l, const struct cg_connection *c)
{
	apply_until(l, c->syn_ns);
	assert_int_equal(cg_epochs_add(l->epochs, c), 0);
	assert_int_equal(cg_packets_add(l->packets, c), 0);
}

/* The end of everything; ns is the last SYN. */
static void finish(struct levels *l, uint64_t ns)
{
	assert_int_equal(cg_packets_finish(l->packets), 0);
	assert_int_equal(cg_side_finish(l->side), 0);
	while (cg_epochs_open(l->epochs))
		apply_until(l, ns += 3600 * S);
	apply_until(l, ns + 3600 * S);
}

static size_t differences(struct levels *l, bool tell)
{
	struct cg_difference d[CG_MAX_DIFFERENCES];
	size_t n = cg_compare(l->model, cg_side_model(l->side), d), differ = 0;

	for (size_t i = 0; i < n; i++) {
		differ += d[i].differ != 0;
		if (d[i].differ && tell)
			print_message("%s: %llu of %llu differ, A %g, B %g\n", d[i].what,
				      (unsigned long long)d[i].differ,
				      (unsigned long long)d[i].compared, d[i].a, d[i].b);
	}
	assert_true(!tell || n > 40);
	return differ;
}

static void agree(const struct cg_connection *connections, size_t n)
{
	struct cg_epochs_conf ec = { .epoch_ns = S };
	struct levels l;

	open_levels(&l, &ec);
	for (size_t i = 0; i < n; i++)
		add(&l, &connections[i]);
	finish(&l, connections[n - 1].syn_ns);
	assert_int_equal(cg_side_losses(l.side), 0);
	assert_int_equal(differences(&l, true), 0);
	close_levels(&l);
}

/* One connection, over TCP and over QUIC. */
static void agree_both(const struct cg_connection *c)
{
	struct cg_connection quic = *c;

	quic.hello = H3;
	agree(c, 1);
	agree(&quic, 1);
}

/* --- Connections ------------------------------------------------------------------------------- */

/* A plain one: 30 ms away, one exchange, closed by the client five seconds after. */
static struct cg_connection plain(uint64_t after_ns)
{
	struct cg_connection c = { .syn_ns = CG_START_NS + after_ns,
				   .actor = 1,
				   .port = 40000,
				   .hello = TOOL,
				   .stack = LINUX,
				   .ttl = 52,
				   .has_tsval = true,
				   .tsval = 123456,
				   .rtt_us = 30000,
				   .hello_delay_us = 1500,
				   .turn_us = 34000,
				   .n_exchanges = 1,
				   .closer = CG_CLOSE_CLIENT_FIN };

	memcpy(c.source, fg_end_of("192.0.2.1", 0).addr, sizeof(c.source));
	c.exchanges[0] = (struct cg_exchange){ .start_ns = c.syn_ns + 80 * MS,
					       .up_bytes = 5000,
					       .down_bytes = 20000,
					       .first_ms = 700,
					       .lasted_ms = 2900,
					       .chunks = 100 };
	c.close_ns = c.syn_ns + 80 * MS + 2900 * MS + 5 * S;
	return c;
}

static void test_levels_agree_on_a_plain_connection(void **state)
{
	struct cg_connection c = plain(250 * MS);

	(void)state;
	agree_both(&c);
}

/* Every way to close, at every distance from the answer that is told in another way. */
static void test_levels_agree_on_every_close(void **state)
{
	static const uint64_t idle_ms[] = { 0, 1, 300, 999, 1000, 1001, 1500, 2100, 60000 };
	struct cg_connection c;

	(void)state;
	for (int closer = 0; closer <= CG_CLOSE_SERVER_FIN; closer++) {
		for (size_t i = 0; i < sizeof(idle_ms) / sizeof(idle_ms[0]); i++) {
			for (int ms = 0; ms < 1000; ms += 333) {
				c = plain((uint64_t)ms * MS);
				c.closer = (enum cg_closer)closer;
				c.close_ns = c.exchanges[0].start_ns + (2900 + idle_ms[i]) * MS;
				agree_both(&c);
			}
		}
	}
}

/* A step of the answer that comes after more than a second is lost, or not, as the passes fall. */
static void test_levels_agree_on_slow_answers(void **state)
{
	static const uint32_t lasted_ms[] = { 1700, 1701, 2200, 2699, 2701, 3900, 9000, 61000 };
	struct cg_connection c;

	(void)state;
	for (size_t i = 0; i < sizeof(lasted_ms) / sizeof(lasted_ms[0]); i++) {
		for (uint16_t chunks = 1; chunks < 5; chunks++) {
			for (uint64_t at = 0; at < 1000; at += 200) {
				c = plain(at * MS);
				c.exchanges[0].down_bytes = 700;
				c.exchanges[0].chunks = chunks;
				c.exchanges[0].lasted_ms = lasted_ms[i];
				c.close_ns = c.exchanges[0].start_ns + lasted_ms[i] * MS + 4 * S;
				agree_both(&c);
			}
		}
	}
}

/* Exchanges so close that some of them find no place in the agent's memory of two a second. */
static void test_levels_agree_on_quick_exchanges(void **state)
{
	struct cg_connection c = plain(0);

	(void)state;
	for (uint32_t step_ms = 20; step_ms < 1300; step_ms += 70) {
		c.n_exchanges = 9;
		for (uint32_t i = 0; i < c.n_exchanges; i++)
			c.exchanges[i] = (struct cg_exchange){ .start_ns = c.syn_ns + 90 * MS +
									   i * step_ms * MS,
							       .up_bytes = 200 + i * 700,
							       .down_bytes = 100 + i * 5000,
							       .first_ms = 2,
							       .lasted_ms = 8,
							       .chunks = (uint16_t)(1 + i) };
		c.close_ns = c.exchanges[8].start_ns + 300 * MS;
		agree_both(&c);
	}
}

static void test_levels_agree_on_bulk(void **state)
{
	static const struct {
		uint32_t n;
		uint64_t over_s;
	} cases[] = { { 1, 1 }, { 7, 3 }, { 100, 20 }, { 400, 3600 }, { 3, 40000 }, { 5000, 30 } };
	struct cg_connection c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c = plain(700 * MS);
		c.bulk = cases[i].n;
		c.close_ns = c.exchanges[0].start_ns + cases[i].over_s * S;
		c.exchanges[0].chunks = 3;
		c.exchanges[0].down_bytes = 3000;
		agree_both(&c);
	}
}

static void test_levels_agree_on_connections_without_a_request(void **state)
{
	struct cg_connection c = plain(100 * MS);

	(void)state;
	c.n_exchanges = 0;
	for (int hello = 0; hello < HELLOS; hello++) {
		for (int resumed = 0; resumed < 2; resumed++) {
			c.hello = (uint16_t)hello;
			c.resumed = resumed;
			for (int closer = 0; closer <= CG_CLOSE_SERVER_FIN; closer++) {
				c.closer = (enum cg_closer)closer;
				c.close_ns = c.syn_ns + 90 * MS;
				agree(&c, 1);
				c.close_ns = c.syn_ns + 30 * S;
				agree(&c, 1);
			}
		}
	}
}

/* A pass that finds a part of the hello only: the agent counts it for the source, not for the client. */
static void test_levels_agree_on_a_hello_within_a_pass(void **state)
{
	struct cg_connection c;

	(void)state;
	for (uint64_t us = 0; us < 40; us++) {
		/* hello from 31.515 ms behind the SYN on, two frames */
		c = plain(S - 31515000 - us * 1000);
		c.hello = BROWSER;
		agree(&c, 1);
		c.syn_ns += 59 * S;
		c.exchanges[0].start_ns += 59 * S;
		c.close_ns += 59 * S;
		agree(&c, 1);
	}
}

/* One of many: clients of all kinds, IPv4 and IPv6, at random times. */
static void random_connection(struct fg_prng *r, uint64_t *now_ns, struct cg_connection *c)
{
	uint32_t who = fg_prng_below(r, 40);
	uint64_t at;

	*now_ns += fg_prng_below(r, 1200) * MS + fg_prng_below(r, 1000000);
	*c = plain(*now_ns);
	if (who % 3 == 0)
		memcpy(c->source, fg_end_of("2001:db8:1::9", 0).addr, sizeof(c->source));
	c->source[who % 3 ? 15 : 7] = (uint8_t)who;
	c->port = (uint16_t)fg_prng_next(r);
	c->server = who & 1;
	c->hello = (uint16_t)fg_prng_below(r, HELLOS);
	c->stack = (uint16_t)(who % STACKS);
	c->ttl = (uint8_t)(who % STACKS ? 120 - who : 60 - who);
	c->has_tsval = c->stack == LINUX;
	c->tsval = (uint32_t)(*now_ns / MS);
	c->resumed = fg_prng_below(r, 3) == 0;
	c->rtt_us = 500 + fg_prng_below(r, 300000);
	c->turn_us = c->rtt_us / (1 + (fg_prng_below(r, 10) == 0)) + fg_prng_below(r, 90000);
	c->hello_delay_us = fg_prng_below(r, 200000);
	c->closer = (enum cg_closer)fg_prng_below(r, 3);
	c->n_exchanges = (uint8_t)fg_prng_below(r, CG_EXCHANGES + 1);
	at = c->syn_ns + 2 * c->rtt_us * 1000ULL + fg_prng_below(r, 3000) * MS;
	for (int i = 0; i < c->n_exchanges; i++) {
		struct cg_exchange *x = &c->exchanges[i];

		x->start_ns = at;
		x->up_bytes = 200 + fg_prng_below(r, 1U << fg_prng_below(r, 18));
		x->down_bytes = 100 + fg_prng_below(r, 1U << fg_prng_below(r, 18));
		x->chunks = (uint16_t)(1 + fg_prng_below(r, 60));
		x->first_ms = fg_prng_below(r, 3000);
		x->lasted_ms = x->first_ms + fg_prng_below(r, 1U << fg_prng_below(r, 14));
		at += x->lasted_ms * MS + fg_prng_below(r, 1U << fg_prng_below(r, 14)) * MS;
	}
	c->bulk = fg_prng_below(r, 20) ? 0 : fg_prng_below(r, 300);
	c->close_ns = at + fg_prng_below(r, 1U << fg_prng_below(r, 18)) * MS;
}

static void test_levels_agree_on_many_connections(void **state)
{
	enum {
		N = 600
	};
	struct cg_connection *c = calloc(N, sizeof(*c));
	struct fg_prng r = { 20260302 };
	uint64_t now_ns = 0;

	(void)state;
	assert_non_null(c);
	for (int i = 0; i < N; i++)
		random_connection(&r, &now_ns, &c[i]);
	agree(c, N);
	free(c);
}

/* The comparison itself must be able to fail. */
static void test_levels_that_differ_are_told(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = S };
	struct cg_connection a = plain(0), b;
	struct levels l;

	(void)state;
	for (int i = 0; i < 6; i++) {
		b = a;
		b.rtt_us += i == 0 ? 5000 : 0;
		b.exchanges[0].down_bytes += i == 1 ? 400 : 0;
		b.closer = i == 2 ? CG_CLOSE_SERVER_FIN : a.closer;
		b.close_ns += i == 3 ? 30 * S : 0;
		b.hello = i == 4 ? BROWSER : a.hello;
		b.exchanges[0].lasted_ms += i == 5 ? 2000 : 0;
		open_levels(&l, &ec);
		apply_until(&l, a.syn_ns);
		assert_int_equal(cg_epochs_add(l.epochs, &a), 0);
		assert_int_equal(cg_packets_add(l.packets, &b), 0);
		finish(&l, a.syn_ns);
		assert_true(differences(&l, false) > 0);
		close_levels(&l);
	}
}

/* --- What epochs say --------------------------------------------------------------------------- */

static const struct fg_model_client *only_client(const struct levels *l)
{
	assert_int_equal(fg_model_n_clients(l->model), 1);
	return fg_model_client_at(l->model, 0);
}

static void test_levels_epochs_say_what_was_played(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = 60 * S };
	struct cg_connection c = plain(59 * S);
	const struct fg_model_client *client;
	struct fg_shapes shapes;
	struct fg_times times;
	struct levels l;

	(void)state;
	open_levels(&l, &ec);
	add(&l, &c);
	finish(&l, c.syn_ns);
	client = only_client(&l);
	assert_int_equal(client->connections, 1);
	assert_int_equal(client->exchanges, 1);
	assert_memory_equal(client->addr, c.source, 16);
	assert_int_equal(client->stack >> 16 & 3, 1); /* TTL 64 */
	/* hello, Finished and its like, request, alert; flight, tickets, answer */
	assert_int_equal(client->bytes_in, cg_keys_form(l.keys, &c, false)->bytes + 80 + 5000 + 24);
	assert_int_equal(client->bytes_out, 2900 + 510 + 20000);
	times = fg_signals_times(&client->signals, 0);
	assert_true(times.rtt_ms.median > 29.7 && times.rtt_ms.median < 30.4);
	assert_true(times.turn_ms.median > 33.6 && times.turn_ms.median < 34.4);
	assert_true(times.delay_ms.median > 1.48 && times.delay_ms.median < 1.52);
	shapes = fg_signals_shapes(&client->signals);
	assert_int_equal(shapes.n, 1);
	assert_int_equal(shapes.top[0].shape, fg_turn_shape(5000, 20000, 2900, 700));
	assert_int_equal(shapes.chunks_mean, 100);
	assert_int_equal(client->signals.closers[FG_CLOSE_CLIENT_FIN - 1], 1);
	assert_int_equal(client->signals.closes[FG_IDLE_5], 1);
	assert_true(fg_model_print_of(l.model, client)->named);
	assert_int_equal(l.exchanges, 1);
	close_levels(&l);
}

/* Of QUIC only what a datagram's outside tells: no stack, no times, no end; exchanges like any. */
static void test_levels_epochs_say_what_quic_tells(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = 60 * S };
	struct cg_connection c = plain(59 * S);
	const struct fg_model_source *source;
	const struct fg_model_client *client;
	struct fg_shapes shapes;
	struct levels l;

	(void)state;
	c.hello = H3;
	open_levels(&l, &ec);
	add(&l, &c);
	finish(&l, c.syn_ns);
	client = only_client(&l);
	source = fg_model_source_find(l.model, client->addr);
	assert_true(client->stack == FG_STACK_QUIC && client->by_handshake);
	assert_int_equal(fg_model_print_of(l.model, client)->ja4[0], 'q');
	/* from Finished on: 100 bytes of it, two tickets in 480 */
	assert_int_equal(client->bytes_in, 100 + 5000);
	assert_int_equal(client->bytes_out, 480 + 20000);
	assert_int_equal(client->exchanges, 1);
	shapes = fg_signals_shapes(&client->signals);
	assert_int_equal(shapes.n, 1);
	assert_int_equal(shapes.top[0].shape, fg_turn_shape(5000, 20000, 2900, 700));
	assert_int_equal(shapes.chunks_mean, 100);
	assert_int_equal(fg_signals_times(&client->signals, 0).measured, 0);
	assert_int_equal(fg_signals_closes(&client->signals).n, 0);
	assert_int_equal(source->syns + source->fins + source->rsts, 0);
	assert_int_equal(source->proven, 1);
	assert_int_equal(source->hops_max, 0);
	close_levels(&l);
}

/* However long the epochs, the sums are the same, and no exchange is told twice. */
static void test_levels_epochs_of_any_length_add_up(void **state)
{
	static const uint64_t lengths[] = { 1, 7, 60, 3600 };
	uint64_t first[4] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct cg_epochs_conf ec = { .epoch_ns = lengths[i] * S };
		struct fg_prng r = { 42 };
		uint64_t now_ns = 0;
		struct levels l;

		open_levels(&l, &ec);
		for (int k = 0; k < 200; k++) {
			struct cg_connection c;

			random_connection(&r, &now_ns, &c);
			apply_until(&l, c.syn_ns);
			assert_int_equal(cg_epochs_add(l.epochs, &c), 0);
		}
		finish(&l, CG_START_NS + now_ns);
		assert_int_equal(l.flow_exchanges, l.exchanges);
		assert_true(l.turns <= l.exchanges && l.turns > l.exchanges / 2);
		if (!i)
			memcpy(first, (uint64_t[]){ l.exchanges, l.turns, l.bytes_in, l.bytes_out },
			       sizeof(first));
		assert_int_equal(l.exchanges, first[0]);
		assert_int_equal(l.turns, first[1]);
		assert_int_equal(l.bytes_in, first[2]);
		assert_int_equal(l.bytes_out, first[3]);
		close_levels(&l);
	}
}

static void test_levels_epochs_refuse_what_is_not_theirs(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = S / 2, .server = server_of };
	struct cg_connection c = plain(10 * S);
	struct cg_epochs *epochs = NULL;
	struct fg_epoch epoch;
	struct cg_keys *keys;

	(void)state;
	assert_int_equal(cg_keys_new(hellos, HELLOS, stacks, STACKS, seed, &keys), 0);
	assert_int_equal(cg_epochs_new(&ec, keys, &epochs), -EINVAL);
	ec.epoch_ns = S;
	assert_int_equal(cg_epochs_new(&ec, keys, &epochs), 0);
	assert_int_equal(cg_epochs_add(epochs, &c), -EINVAL);
	assert_int_equal(cg_epochs_end(epochs, c.syn_ns - S, &epoch), 0);
	assert_int_equal(cg_epochs_add(epochs, &c), -EINVAL);
	assert_int_equal(cg_epochs_end(epochs, c.syn_ns, &epoch), 1);
	assert_int_equal(cg_epochs_end(epochs, c.syn_ns, &epoch), 0);
	assert_int_equal(cg_epochs_add(epochs, &c), 0);
	cg_epochs_free(&epochs);
	cg_keys_free(&keys);
}

/* --- Ablations ---------------------------------------------------------------------------------- */

static void test_levels_without_times_have_none(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = 60 * S, .no_times = true };
	struct cg_connection c = plain(0);
	struct levels l;

	(void)state;
	open_levels(&l, &ec);
	add(&l, &c);
	finish(&l, c.syn_ns);
	assert_int_equal(fg_signals_times(&only_client(&l)->signals, 0).measured, 0);
	assert_int_equal(only_client(&l)->exchanges, 1);
	close_levels(&l);
}

static void test_levels_ingress_alone_times_the_server_too(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = 60 * S, .ingress_only = true };
	struct cg_connection c = plain(0);
	const struct fg_model_client *client;
	struct levels l;

	(void)state;
	c.closer = CG_CLOSE_SERVER_FIN;
	open_levels(&l, &ec);
	add(&l, &c);
	finish(&l, c.syn_ns);
	client = only_client(&l);
	assert_false(client->by_handshake);
	assert_true(fg_signals_times(&client->signals, 0).turn_ms.median > 34.3);
	assert_int_equal(fg_signals_shapes(&client->signals).top[0].shape,
			 fg_turn_shape(5000, 20000, 2930, 730));
	assert_int_equal(client->signals.closers[FG_CLOSE_CLIENT_FIN - 1], 1);
	close_levels(&l);
}

/* Nothing proves a client of QUIC but what the server says. */
static void test_levels_ingress_alone_sees_no_quic(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = 60 * S, .ingress_only = true };
	struct cg_connection c = plain(0);
	struct levels l;

	(void)state;
	c.hello = H3;
	open_levels(&l, &ec);
	add(&l, &c);
	finish(&l, c.syn_ns);
	assert_int_equal(fg_model_n_clients(l.model), 0);
	assert_int_equal(fg_model_n_sources(l.model), 0);
	assert_int_equal(l.exchanges, 1);
	close_levels(&l);
}

static void test_levels_lost_connections_are_still_true(void **state)
{
	struct cg_epochs_conf ec = { .epoch_ns = 60 * S, .loss = 0.25 };
	struct fg_prng r = { 3 };
	uint64_t now_ns = 0, told = 0;
	struct levels l;

	(void)state;
	open_levels(&l, &ec);
	for (int i = 0; i < 1000; i++) {
		struct cg_connection c = plain(now_ns += fg_prng_below(&r, 500) * MS);

		c.port = (uint16_t)(1024 + i);
		c.actor = (uint32_t)i;
		add(&l, &c);
	}
	finish(&l, CG_START_NS + now_ns);
	for (size_t i = 0; i < fg_model_n_clients(l.model); i++)
		told += fg_model_client_at(l.model, i)->connections;
	assert_int_equal(l.exchanges, 1000);
	assert_in_range(told, 700, 800);
	assert_int_equal(l.flow_exchanges, told);
	close_levels(&l);
}

/* --- Frames ------------------------------------------------------------------------------------- */

struct order {
	uint64_t last_ns, frames;
	struct cg_pcap *pcap;
};

static int keep_order(void *arg, uint64_t time_ns, const uint8_t *frame, size_t len,
		      size_t wire_len)
{
	struct order *o = arg;

	assert_true(time_ns >= o->last_ns);
	assert_in_range(len, 54, 1514);
	assert_int_equal(wire_len, len);
	o->last_ns = time_ns;
	o->frames++;
	return cg_pcap_frame(o->pcap, time_ns, frame, len, wire_len);
}

static void write_capture(int fd, struct order *o)
{
	const struct cg_packets_conf pc = { .server = server_of, .emit = keep_order, .arg = o };
	struct cg_packets *packets;
	struct fg_prng r = { 5 };
	struct cg_keys *keys;
	uint64_t now_ns = 0;

	assert_int_equal(cg_keys_new(hellos, HELLOS, stacks, STACKS, seed, &keys), 0);
	assert_int_equal(cg_packets_new(&pc, keys, &packets), 0);
	assert_int_equal(cg_pcap_new(fd, &o->pcap), 0);
	for (int i = 0; i < 100; i++) {
		struct cg_connection c;

		random_connection(&r, &now_ns, &c);
		assert_int_equal(cg_packets_add(packets, &c), 0);
	}
	assert_int_equal(cg_packets_finish(packets), 0);
	assert_int_equal(cg_packets_frames(packets), o->frames);
	assert_int_equal(cg_pcap_close(&o->pcap), 0);
	cg_packets_free(&packets);
	cg_keys_free(&keys);
}

static uint32_t sum16(const uint8_t *at, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Sums over header and payload with their checksums are all ones (RFC 1071). */
static void assert_checksums(const uint8_t *frame, size_t len)
{
	bool v4 = frame[12] == 0x08;
	const uint8_t *ip = frame + 14, *l4 = ip + (v4 ? 20 : 40);
	uint32_t l4_len = (uint32_t)(len - (size_t)(l4 - frame)), protocol = ip[v4 ? 9 : 6];

	if (v4)
		assert_int_equal(sum16(ip, 20, 0), 0xffff);
	assert_int_equal(sum16(l4, l4_len,
			       sum16(v4 ? ip + 12 : ip + 8, v4 ? 8 : 32, protocol + l4_len)),
			 0xffff);
}

static void test_levels_capture_can_be_read(void **state)
{
	char path[] = "/tmp/farmgate-levels-XXXXXX", why[256];
	struct fg_capture_frame f = { 0 };
	struct fg_capture *capture;
	struct order o = { 0 };
	uint64_t frames = 0;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	write_capture(fd, &o);
	close(fd);
	assert_int_equal(fg_capture_open(path, &capture, why, sizeof(why)), 0);
	while (fg_capture_next(capture, &f) == 1) {
		assert_false(f.clamped);
		assert_checksums(f.data, f.len);
		frames++;
	}
	assert_string_equal(fg_capture_error(capture), "");
	assert_int_equal(frames, o.frames);
	assert_int_equal(f.time_ns, o.last_ns);
	fg_capture_close(&capture);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_agree_on_a_plain_connection),
		cmocka_unit_test(test_levels_agree_on_every_close),
		cmocka_unit_test(test_levels_agree_on_slow_answers),
		cmocka_unit_test(test_levels_agree_on_quick_exchanges),
		cmocka_unit_test(test_levels_agree_on_bulk),
		cmocka_unit_test(test_levels_agree_on_connections_without_a_request),
		cmocka_unit_test(test_levels_agree_on_a_hello_within_a_pass),
		cmocka_unit_test(test_levels_agree_on_many_connections),
		cmocka_unit_test(test_levels_that_differ_are_told),
		cmocka_unit_test(test_levels_epochs_say_what_was_played),
		cmocka_unit_test(test_levels_epochs_say_what_quic_tells),
		cmocka_unit_test(test_levels_epochs_of_any_length_add_up),
		cmocka_unit_test(test_levels_epochs_refuse_what_is_not_theirs),
		cmocka_unit_test(test_levels_without_times_have_none),
		cmocka_unit_test(test_levels_ingress_alone_times_the_server_too),
		cmocka_unit_test(test_levels_ingress_alone_sees_no_quic),
		cmocka_unit_test(test_levels_lost_connections_are_still_true),
		cmocka_unit_test(test_levels_capture_can_be_read),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
