/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Taking epochs while two CPUs count: nothing is lost and nothing counted twice. With tables that
 * are far too small, what is missing is named.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "live.h"
#include "source/take.h"

#define N_THREADS 2
#define N_SOURCES 600

struct sums {
	uint64_t syns, connections, proven, hellos, incomplete, fins, rsts;
	uint64_t client_connections, print_hellos, exchanges, bytes_in, bytes_out;
};

struct worker {
	pthread_t thread;
	int cpu;
	uint32_t n_connections;
	int prog_fd;
	uint64_t frames, failed;
	struct sums sent;
};

static struct {
	uint8_t bytes[3][FG_HELLO_BUILD_MAX];
	size_t len[3];
} hellos;

static void make_hellos(void)
{
	struct fg_hello_desc d;

	fg_hello_browser(&d, "api.example.com");
	hellos.len[0] = fg_hello_stream(&d, hellos.bytes[0], sizeof(hellos.bytes[0]));
	fg_hello_tool(&d, "api.example.com");
	hellos.len[1] = fg_hello_stream(&d, hellos.bytes[1], sizeof(hellos.bytes[1]));
	fg_hello_library(&d, "api.example.com");
	hellos.len[2] = fg_hello_stream(&d, hellos.bytes[2], sizeof(hellos.bytes[2]));
}

/* Not fg_sensor_run(): it has one buffer, and here are two threads. */
static void emit(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct worker *w = ctx;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)len,
		    .repeat = 1);

	(void)time_ns;
	w->frames++;
	w->failed += bpf_prog_test_run_opts(w->prog_fd, &opts) != 0;
}

/* One connection of a source that both threads share; the port is the thread's own. */
static void one_connection(struct worker *w, uint32_t i, struct fg_prng *r)
{
	uint32_t n = fg_prng_below(r, N_SOURCES), kind = fg_prng_below(r, 3);
	uint16_t port = (uint16_t)(1024 + (i * N_THREADS + (uint32_t)w->cpu) % 60000);
	struct fg_end to = fg_end_of("198.51.100.1", 443), from = fg_end_of("10.0.0.0", port);
	struct fg_conn c;

	from.addr[14] = (uint8_t)(n >> 8);
	from.addr[15] = (uint8_t)n;
	fg_conn_init(&c, from, to, 0, emit, w);
	c.client_isn = (uint32_t)fg_prng_next(r);
	c.server_isn = (uint32_t)fg_prng_next(r);
	c.hello = hellos.bytes[kind];
	c.hello_len = hellos.len[kind];
	c.n_exchanges = fg_prng_below(r, 3);
	c.end = fg_prng_below(r, 2) ? FG_CONN_FIN : FG_CONN_RST;
	fg_conn_run(&c);
	fg_conn_done(&c);
	w->sent.syns++;
	w->sent.connections++;
	w->sent.proven++;
	w->sent.hellos++;
	w->sent.client_connections++;
	w->sent.print_hellos++;
	if (c.end == FG_CONN_FIN)
		w->sent.fins++;
	else
		w->sent.rsts++;
	w->sent.exchanges += c.n_exchanges;
	w->sent.bytes_in += c.hello_len + 6 + 58 + c.n_exchanges * c.request_len;
	w->sent.bytes_out += 127 + 6 + 5 + c.flight_len + c.n_exchanges * c.response_len;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct fg_prng r = { 1000 + (uint64_t)w->cpu };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(w->cpu, &cpus);
	w->failed += pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0;
	for (uint32_t i = 0; i < w->n_connections; i++)
		one_connection(w, i, &r);
	return NULL;
}

/* --- Taking ----------------------------------------------------------------------------------- */

static void add_epoch(struct sums *s, const struct fg_epoch *e)
{
	for (size_t i = 0; i < e->n_sources; i++) {
		s->syns += e->sources[i].syns;
		s->connections += e->sources[i].connections;
		s->proven += e->sources[i].proven;
		s->hellos += e->sources[i].hellos;
		s->incomplete += e->sources[i].incomplete;
		s->fins += e->sources[i].fins;
		s->rsts += e->sources[i].rsts;
	}
	for (size_t i = 0; i < e->n_clients; i++)
		s->client_connections += e->clients[i].connections;
	for (size_t i = 0; i < e->n_prints; i++)
		s->print_hellos += e->prints[i].hellos;
	for (size_t i = 0; i < e->n_flows; i++) {
		s->exchanges += e->flows[i].exchanges;
		s->bytes_in += e->flows[i].bytes_in;
		s->bytes_out += e->flows[i].bytes_out;
	}
}

static void take(struct fg_taker *taker, struct sums *s)
{
	struct fg_epoch epoch = { 0 };
	uint64_t ticks;

	assert_int_equal(fg_sensor_ticks(live.sensor, &ticks), 0);
	assert_int_equal(fg_taker_take(taker, ticks, fg_sensor_tick_ns(live.sensor), false, &epoch),
			 0);
	add_epoch(s, &epoch);
	assert_true(fg_sensor_drain(live.sensor) >= 0);
}

static void add_sums(struct sums *to, const struct sums *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += f[i];
}

/* Runs the load, takes epochs all the while; sums of what was sent and of what was taken. */
static uint64_t run_load(uint32_t n_connections, unsigned int pause_us, struct sums *ret_sent,
			 struct sums *ret_taken)
{
	struct worker workers[N_THREADS] = { 0 };
	struct sums sent = { 0 }, taken = { 0 };
	struct fg_taker *taker;
	uint64_t epochs = 0;
	int running = N_THREADS;

	make_hellos();
	assert_int_equal(fg_taker_new(fg_sensor_tables(live.sensor), &taker), 0);
	for (int i = 0; i < N_THREADS; i++) {
		workers[i].cpu = i;
		workers[i].n_connections = n_connections;
		workers[i].prog_fd = fg_sensor_prog_fd(live.sensor);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (; running; epochs++) {
		take(taker, &taken);
		usleep(pause_us);
		if (!pthread_tryjoin_np(workers[N_THREADS - running].thread, NULL))
			running--;
	}
	for (int i = 0; i < 4; i++)
		take(taker, &taken);
	for (int i = 0; i < N_THREADS; i++) {
		assert_int_equal(workers[i].failed, 0);
		add_sums(&sent, &workers[i].sent);
		live.frames += workers[i].frames;
	}
	fg_taker_free(&taker);
	live_read();
	*ret_sent = sent;
	*ret_taken = taken;
	return epochs;
}

#define SAME(member) assert_int_equal(taken.member, sent.member)

static void received_is_accounted(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += live.now.frames[i];
	assert_int_equal(sum, live.frames);
}

static void test_table_epochs_lose_nothing(void **state)
{
	struct fg_tables sizes;
	struct sums sent, taken;
	uint64_t epochs;

	(void)state;
	fg_tables_size(16 << 20, &sizes);
	assert_int_equal(live_open(FG_ROLE_TRANSIT, false, &sizes), 0);
	epochs = run_load(6000, 0, &sent, &taken);
	print_message("%llu epochs, %llu frames\n", (unsigned long long)epochs,
		      (unsigned long long)live.frames);
	assert_true(epochs > 10);
	received_is_accounted();
	assert_int_equal(LIVE_OUTCOME(flow_table_full), 0);
	assert_int_equal(LIVE_EVENT(untaken_lost), 0);
	SAME(syns);
	SAME(connections);
	SAME(proven);
	SAME(hellos);
	SAME(incomplete);
	SAME(fins);
	SAME(rsts);
	SAME(client_connections);
	SAME(print_hellos);
	SAME(exchanges);
	SAME(bytes_in);
	SAME(bytes_out);
}

/* 32 rows for 600 sources and their 1,800 clients. */
static void test_table_what_has_no_row_is_named(void **state)
{
	struct fg_tables sizes;
	struct sums sent, taken;
	uint64_t expected, replaced = 0;

	(void)state;
	fg_tables_size(16 << 20, &sizes);
	sizes.n_sources = 4;
	sizes.n_clients = 4;
	assert_int_equal(live_open(FG_ROLE_TRANSIT, false, &sizes), 0);
	run_load(6000, 1000, &sent, &taken);
	received_is_accounted();
	for (uint32_t i = 0; i < 4 * FG_WAYS; i++)
		replaced += fg_sensor_tables(live.sensor)
				    ->sources[i / FG_WAYS]
				    .row[i % FG_WAYS]
				    .generation > 1;
	assert_true(replaced > 0);
	assert_true(LIVE_EVENT(source_table_full) > 0);
	assert_int_equal(LIVE_EVENT(untaken_lost), 0);
	/* a source is looked for at the proof, the hello and the end of a connection */
	expected = sent.connections + sent.hellos + sent.fins + sent.rsts;
	assert_int_equal(taken.connections + taken.hellos + taken.fins + taken.rsts +
				 LIVE_EVENT(source_table_full),
			 expected);
	assert_int_equal(taken.client_connections + LIVE_EVENT(client_table_full),
			 sent.client_connections);
	assert_int_equal(LIVE_EVENT(proven), sent.proven);
	assert_int_equal(LIVE_EVENT(hellos), sent.hellos);
	SAME(print_hellos);
	SAME(exchanges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_table_epochs_lose_nothing, live_teardown),
		cmocka_unit_test_teardown(test_table_what_has_no_row_is_named, live_teardown),
	};

	LIVE_NEEDS_ROOT();
	if (sysconf(_SC_NPROCESSORS_ONLN) < N_THREADS) {
		print_message("needs two CPUs\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
