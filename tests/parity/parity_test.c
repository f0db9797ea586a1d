/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Both engines over each capture in tests/replay (or FARMGATE_CAPTURES), and over captures made of
 * random connections with frames lost, repeated and out of order: every source, client and
 * fingerprint, every total, field by field. One seed, or the keys could not be compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/replay.h"
#include "capture.h"
#include "connection.h"
#include "hello_build.h"
#include "model/ja4.h"

static const uint64_t seed[4] = { 0x1111222233334444, 0x5555666677778888, 0x9999aaaabbbbcccc,
				  0xddddeeeeffff0001 };

static void run(struct fg_core *core, const struct fg_conf *conf, const char *path,
		const struct fg_engine_ops *engine, bool force_loop)
{
	struct fg_replay_conf rc = { .path = path,
				     .engine = engine,
				     .table_bytes = 16 << 20,
				     .force_loop = force_loop,
				     .seed = seed };
	char why[512] = "";

	assert_int_equal(fg_core_open(core, conf, NULL, 0, why, sizeof(why)), 0);
	if (fg_replay(core, &rc, why, sizeof(why)))
		fail_msg("%s, %s engine: %s", path, engine->name, why);
}

#define SAME(a, b, member)                                                                        \
	do {                                                                                      \
		if ((a)->member != (b)->member)                                                   \
			fail_msg("%s: " #member " is %llu in the host, %llu in the kernel", path, \
				 (unsigned long long)(a)->member,                                 \
				 (unsigned long long)(b)->member);                                \
	} while (0)

static void same_totals(const char *path, const struct fg_totals *a, const struct fg_totals *b)
{
	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		SAME(a, b, frames[i]);
	for (size_t i = 0; i < _FG_INCOMPLETE_MAX; i++)
		SAME(a, b, incomplete[i]);
	for (size_t i = 0; i < _FG_EVENT_MAX; i++)
		SAME(a, b, events[i]);
	SAME(a, b, bytes);
}

static void same_sources(const char *path, const struct fg_model *a, const struct fg_model *b)
{
	assert_int_equal(fg_model_n_sources(a), fg_model_n_sources(b));
	for (size_t i = 0; i < fg_model_n_sources(a); i++) {
		const struct fg_model_source *x = fg_model_source_at(a, i);
		const struct fg_model_source *y = fg_model_source_find(b, x->addr);

		assert_non_null(y);
		SAME(x, y, syns);
		SAME(x, y, connections);
		SAME(x, y, proven);
		SAME(x, y, hellos);
		SAME(x, y, incomplete);
		SAME(x, y, fins);
		SAME(x, y, rsts);
		SAME(x, y, exchanges);
		SAME(x, y, bytes_in);
		SAME(x, y, bytes_out);
		SAME(x, y, fingerprints);
		SAME(x, y, clients);
		SAME(x, y, stems);
		SAME(x, y, first_ns);
		SAME(x, y, last_ns);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct fg_model_client *x = *(void *const *)a, *y = *(void *const *)b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

static const struct fg_model_client **sorted_clients(const struct fg_model *m)
{
	size_t n = fg_model_n_clients(m);
	const struct fg_model_client **all = calloc(n + 1, sizeof(*all));

	assert_non_null(all);
	for (size_t i = 0; i < n; i++)
		all[i] = fg_model_client_at(m, i);
	qsort(all, n, sizeof(*all), by_name);
	return all;
}

static void same_clients(const char *path, const struct fg_model *a, const struct fg_model *b)
{
	const struct fg_model_client **x = sorted_clients(a), **y = sorted_clients(b);

	assert_int_equal(fg_model_n_clients(a), fg_model_n_clients(b));
	for (size_t i = 0; i < fg_model_n_clients(a); i++) {
		assert_memory_equal(x[i]->addr, y[i]->addr, sizeof(x[i]->addr));
		SAME(x[i], y[i], stem);
		SAME(x[i], y[i], stack);
		SAME(x[i], y[i], by_handshake);
		SAME(fg_model_print_of(a, x[i]), fg_model_print_of(b, y[i]), print);
		SAME(x[i], y[i], connections);
		SAME(x[i], y[i], resumed);
		SAME(x[i], y[i], exchanges);
		SAME(x[i], y[i], bytes_in);
		SAME(x[i], y[i], bytes_out);
		assert_memory_equal(&x[i]->signals, &y[i]->signals, sizeof(x[i]->signals));
	}
	free(x);
	free(y);
}

static void same_prints(const char *path, const struct fg_model *a, const struct fg_model *b)
{
	assert_int_equal(fg_model_n_prints(a), fg_model_n_prints(b));
	for (size_t i = 0; i < fg_model_n_prints(a); i++) {
		const struct fg_model_print *x = fg_model_print_at(a, i);
		const struct fg_model_print *y = fg_model_print_find(b, x->print);

		assert_non_null(y);
		SAME(x, y, stem);
		SAME(x, y, hellos);
		SAME(x, y, sources);
		SAME(x, y, flags);
		SAME(x, y, named);
		assert_string_equal(x->ja4, y->ja4);
		assert_string_equal(x->stem_text, y->stem_text);
		assert_string_equal(x->sni, y->sni);
	}
}

/* What all captures so far held, so that a test can say it was not about nothing. */
static uint64_t seen_hellos, seen_gaps, seen_sources;

static void compare(const char *path, bool force_loop)
{
	struct fg_core host, kernel;
	struct fg_conf conf;

	fg_conf_init(&conf);
	/* of the capture `balancer`; nobody in the others */
	conf.balancers[0] = (struct fg_prefix){ .bits = 128 };
	memcpy(conf.balancers[0].addr, fg_end_of("203.0.113.8", 0).addr, 16);
	conf.n_balancers = 1;
	run(&host, &conf, path, &fg_engine_host, false);
	run(&kernel, &conf, path, &fg_engine_kernel, force_loop);
	same_totals(path, fg_model_received(host.model), fg_model_received(kernel.model));
	same_sources(path, host.model, kernel.model);
	same_clients(path, host.model, kernel.model);
	same_prints(path, host.model, kernel.model);
	seen_hellos += fg_model_received(host.model)->events[FG_EVENT_hellos];
	seen_gaps += fg_model_received(host.model)->incomplete[FG_INCOMPLETE_gap];
	seen_sources += fg_model_n_sources(host.model);
	fg_core_close(&host);
	fg_core_close(&kernel);
	fg_conf_done(&conf);
}

static void find_captures(glob_t *ret_found)
{
	const char *folder = getenv("FARMGATE_CAPTURES");
	char pattern[4096];

	snprintf(pattern, sizeof(pattern), "%s/*/input.pcap", folder ? folder : "tests/replay");
	assert_int_equal(glob(pattern, 0, NULL, ret_found), 0);
}

static void compare_all(bool force_loop)
{
	glob_t found;

	find_captures(&found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		compare(found.gl_pathv[i], force_loop);
	print_message("%zu captures\n", found.gl_pathc);
	globfree(&found);
}

static void test_parity_holds_on_every_capture(void **state)
{
	(void)state;
	compare_all(false);
}

static void test_parity_holds_with_bpf_loop(void **state)
{
	(void)state;
	compare_all(true);
}

/* --- Keys ------------------------------------------------------------------------------------- */

#define MAX_HELLOS 8192

static struct {
	uint64_t print, stem;
	struct fg_ja4 text;
} hellos[MAX_HELLOS];
static size_t n_hellos;

static void keep_hello(void *arg, const struct fg_sample *s)
{
	(void)arg;
	if (s->status || n_hellos == MAX_HELLOS)
		return;
	hellos[n_hellos].print = s->hello.print;
	hellos[n_hellos].stem = s->hello.stem;
	assert_int_equal(fg_ja4_text(&s->hello, 't', &hellos[n_hellos].text), 0);
	n_hellos++;
}

static void gather_hellos(const char *path)
{
	struct fg_replay_conf rc = { .path = path,
				     .engine = &fg_engine_host,
				     .table_bytes = 16 << 20,
				     .any_port = true,
				     .on_hello = keep_hello,
				     .seed = seed };
	struct fg_core core;
	struct fg_conf conf;
	char why[512] = "";

	fg_conf_init(&conf);
	assert_int_equal(fg_core_open(&core, &conf, NULL, 0, why, sizeof(why)), 0);
	if (fg_replay(&core, &rc, why, sizeof(why)))
		fail_msg("%s: %s", path, why);
	fg_core_close(&core);
	fg_conf_done(&conf);
}

/* Over every hello of every capture: two have the same key if and only if they have the same text,
 * JA4 and stem alike. */
static void test_parity_keys_part_hellos_as_texts_do(void **state)
{
	size_t same = 0, stems = 0;
	glob_t found;

	(void)state;
	n_hellos = 0;
	find_captures(&found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		gather_hellos(found.gl_pathv[i]);
	globfree(&found);
	for (size_t i = 0; i < n_hellos; i++) {
		for (size_t k = 0; k < i; k++) {
			int text = !strcmp(hellos[i].text.ja4, hellos[k].text.ja4);
			int stem = !strcmp(hellos[i].text.stem, hellos[k].text.stem);

			if (text != (hellos[i].print == hellos[k].print) ||
			    stem != (hellos[i].stem == hellos[k].stem))
				fail_msg("%s and %s", hellos[i].text.ja4, hellos[k].text.ja4);
			same += text;
			stems += stem;
		}
	}
	print_message("%zu hellos: of their pairs %zu share the JA4, %zu the stem\n", n_hellos,
		      same, stems);
	assert_true(n_hellos > 100 && same > 0 && stems > same);
}

/* --- Made captures ---------------------------------------------------------------------------- */

#define N_SEEDS	      50
#define N_CONNECTIONS 60
#define START_NS      1777593600000000000ULL

/* Frames pass through here on their way into the file; some do not arrive as they were sent. */
struct wire {
	struct fg_dump *dump;
	struct fg_prng *r;
	uint64_t time_ns;
	size_t held_len;
	uint8_t held[1600];
};

static void put(struct wire *w, const uint8_t *frame, size_t len)
{
	fg_dump_write(w->dump, w->time_ns, frame, len);
	w->time_ns += 1000;
}

static void carry(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	uint32_t fate = fg_prng_below(((struct wire *)ctx)->r, 60);
	struct wire *w = ctx;

	if (time_ns > w->time_ns)
		w->time_ns = time_ns;
	if (fate == 0)
		return;
	if (fate == 1 && !w->held_len && len <= sizeof(w->held)) {
		memcpy(w->held, frame, len);
		w->held_len = len;
		return;
	}
	put(w, frame, len);
	if (fate == 2)
		put(w, frame, len);
	if (w->held_len && fate > 30) {
		put(w, w->held, w->held_len);
		w->held_len = 0;
	}
}

static void random_connection(struct wire *w, struct fg_prng *r)
{
	static uint8_t hello[FG_HELLO_BUILD_MAX + 1000];
	static void (*const shapes[])(struct fg_hello_desc *,
				      const char *) = { fg_hello_browser, fg_hello_browser_plain,
							fg_hello_tool, fg_hello_library,
							fg_hello_tls12 };
	uint32_t n = fg_prng_below(r, 20);
	bool ipv6 = fg_prng_below(r, 3) == 0;
	struct fg_end from = fg_end_of(ipv6 ? "2001:db8:1::1" : "192.0.2.1",
				       (uint16_t)(40000 + fg_prng_below(r, 40)));
	struct fg_hello_desc d;
	struct fg_conn c;

	from.addr[ipv6 ? 7 : 15] = (uint8_t)n;
	if (fg_prng_below(r, 4))
		shapes[fg_prng_below(r, 5)](&d, n & 1 ? "api.example.com" : NULL);
	else
		fg_hello_random(&d, r);
	fg_hello_again(&d, r);
	fg_conn_init(&c, from, fg_end_of(ipv6 ? "2001:db8:ffff::1" : "198.51.100.1", 443),
		     w->time_ns + fg_prng_below(r, 2000) * 1000000ULL, carry, w);
	c.client_isn = (uint32_t)fg_prng_next(r);
	c.server_isn = (uint32_t)fg_prng_next(r);
	c.hello = hello;
	c.hello_len = fg_hello_stream(&d, hello, sizeof(hello));
	c.mss = (uint16_t)(100 + fg_prng_below(r, 1360));
	c.vlan[0] = fg_prng_below(r, 4) ? 0 : 7;
	c.ttl = n & 2 ? 64 : 128;
	c.ingress_only = fg_prng_below(r, 6) == 0;
	c.n_exchanges = fg_prng_below(r, 4);
	c.request_len = 60 + fg_prng_below(r, 3000);
	c.response_len = 60 + fg_prng_below(r, 6000);
	c.end = (enum fg_conn_end)fg_prng_below(r, 3);
	fg_conn_run(&c);
	fg_conn_done(&c);
}

static void make_capture(const char *path, uint64_t number)
{
	struct fg_prng r = { number };
	struct wire w = { .r = &r, .time_ns = START_NS };

	assert_int_equal(fg_dump_open(path, FG_LINK_ETHERNET, 1, number % 5 ? 0 : 400, &w.dump), 0);
	for (int i = 0; i < N_CONNECTIONS; i++)
		random_connection(&w, &r);
	assert_true(fg_dump_close(w.dump) > N_CONNECTIONS);
}

static void test_parity_holds_on_random_captures(void **state)
{
	char path[] = "/tmp/farmgate-parity-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	seen_hellos = seen_gaps = seen_sources = 0;
	for (uint64_t i = 1; i <= N_SEEDS; i++) {
		make_capture(path, i);
		compare(path, i & 1);
	}
	unlink(path);
	print_message("%llu hellos, %llu gaps, %llu sources\n", (unsigned long long)seen_hellos,
		      (unsigned long long)seen_gaps, (unsigned long long)seen_sources);
	assert_true(seen_hellos > N_SEEDS * N_CONNECTIONS / 4);
	assert_true(seen_gaps > N_SEEDS);
	assert_true(seen_sources > N_SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parity_holds_on_every_capture),
		cmocka_unit_test(test_parity_holds_with_bpf_loop),
		cmocka_unit_test(test_parity_holds_on_random_captures),
		cmocka_unit_test(test_parity_keys_part_hellos_as_texts_do),
	};

	if (geteuid()) {
		print_message("needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
