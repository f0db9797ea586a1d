/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hand-over of epochs under load: two CPUs run connections through the loaded program while
 * epochs are taken as fast as the tables can be walked. What was taken is what was sent, and where
 * a table has no room the loss has a name. Needs root and two CPUs.
 *
 * Owns: the workers and what they sent. Must not: attach anything. An epoch here lasts until each
 * worker has got a few frames done, because the contract of table.h is that no program runs for
 * longer than an epoch; on a busy machine a worker may stand still for a while.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "hello_build.h"
#include "sensor/sensor.h"
#include "source/take.h"

#define N_WORKERS 2
#define N_KINDS	  12 /* fingerprints; more than one set has ways */
#define TICKS	  1000000ULL
#define TICK_NS	  1000000ULL
/* Frames of each worker between two takes. */
#define EPOCH_FRAMES 4
/* Beside hello and exchanges: Finished and its ChangeCipherSpec; the server's flight. */
#define FINISHED_BYTES	  (6 + 58)
#define FLIGHT_BYTES(len) (127 + 6 + 5 + (len))

struct sums {
	uint64_t syns, connections, proven, hellos, incomplete, fins, rsts;
	uint64_t client_connections, print_hellos;
	uint64_t bytes_in, bytes_out, exchanges;
	/* of the source that both workers use */
	uint64_t shared_connections, shared_hellos, shared_bytes_in;
};

struct load {
	uint32_t connections; /* of each worker */
	uint32_t n_sources; /* of each worker, beside the shared one */
	uint32_t burst; /* connections of one worker in one epoch; 0 = any */
};

struct worker {
	pthread_t thread;
	int cpu, error;
	const struct load *load;
	uint8_t buf[sizeof(struct fg_replay_meta) + 4096];
	uint64_t frames, bytes;
	uint64_t progress; /* atomic: frames done, and turns spent waiting */
	bool done; /* atomic */
	struct sums sent;
};

static struct {
	struct fg_sensor *sensor;
	struct fg_taker *taker;
	struct worker worker[N_WORKERS];
	struct sums taken;
	uint32_t epochs; /* atomic */
	struct fg_totals totals;
	struct fg_end shared, server;
	uint8_t hello[N_KINDS][FG_HELLO_BUILD_MAX];
	size_t hello_len[N_KINDS];
} t;

/* --- Workers ---------------------------------------------------------------------------------- */

static void emit(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct worker *w = ctx;
	struct fg_replay_meta meta = { .time_ns = time_ns,
				       .ticks_lo = (uint32_t)TICKS,
				       .ticks_hi = (uint32_t)(TICKS >> 32),
				       .frame_len = (uint32_t)len,
				       .wire_len = (uint32_t)len };
	struct xdp_md ctx_in = { .data = sizeof(meta), .data_end = (uint32_t)(sizeof(meta) + len) };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = w->buf, .ctx_in = &ctx_in,
		    .ctx_size_in = sizeof(ctx_in), .repeat = 1);

	if (len > sizeof(w->buf) - sizeof(meta)) {
		w->error = EMSGSIZE;
		return;
	}
	memcpy(w->buf, &meta, sizeof(meta));
	memcpy(w->buf + sizeof(meta), frame, len);
	opts.data_size_in = ctx_in.data_end;
	if (bpf_prog_test_run_opts(fg_sensor_prog_fd(t.sensor), &opts))
		w->error = errno;
	w->frames++;
	w->bytes += len;
	__atomic_fetch_add(&w->progress, 1, __ATOMIC_RELEASE);
}

/* Client number i of a worker: every fourth is the shared source, every eighth IPv6. */
static struct fg_end client_of(const struct worker *w, uint32_t i)
{
	uint32_t source = i % w->load->n_sources;
	struct fg_end e = t.shared;

	e.port = (uint16_t)(1024 + 32000 * w->cpu + i % 32000);
	if (i % 4 == 0)
		return e;
	if (i % 8 == 1) {
		e = fg_end_of("2001:db8::1", e.port);
		e.addr[5] = (uint8_t)w->cpu;
		e.addr[6] = (uint8_t)(source >> 8);
		e.addr[7] = (uint8_t)source;
		return e;
	}
	e.addr[12] = 10;
	e.addr[13] = (uint8_t)w->cpu;
	e.addr[14] = (uint8_t)(source >> 8);
	e.addr[15] = (uint8_t)source;
	return e;
}

static void count_sent(struct worker *w, const struct fg_conn *c, bool shared)
{
	uint64_t in = c->hello_len + FINISHED_BYTES + c->n_exchanges * c->request_len;
	struct sums *s = &w->sent;

	s->syns++;
	s->connections++;
	s->proven++;
	s->hellos++;
	s->client_connections++;
	s->print_hellos++;
	s->fins += c->end == FG_CONN_FIN;
	s->rsts += c->end == FG_CONN_RST;
	s->exchanges += c->n_exchanges;
	s->bytes_in += in;
	s->bytes_out += FLIGHT_BYTES(c->flight_len) + c->n_exchanges * c->response_len;
	if (!shared)
		return;
	s->shared_connections++;
	s->shared_hellos++;
	s->shared_bytes_in += in;
}

static void connect_once(struct worker *w, uint32_t i)
{
	struct fg_end client = client_of(w, i), server = t.server;
	struct fg_conn c;

	if (client.addr[0])
		server = fg_end_of("2001:db8:ffff::1", 443);
	fg_conn_init(&c, client, server, i, emit, w);
	/* both workers bring the same kinds in another order */
	c.hello = t.hello[(i + 5 * (uint32_t)w->cpu) % N_KINDS];
	c.hello_len = t.hello_len[(i + 5 * (uint32_t)w->cpu) % N_KINDS];
	c.n_exchanges = i % 3;
	c.end = (enum fg_conn_end)(i / 3 % 3);
	fg_conn_run(&c);
	fg_conn_done(&c);
	count_sent(w, &c, i % 4 == 0);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint32_t epoch = 0, burst = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	w->error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	for (uint32_t i = 0; i < w->load->connections && !w->error; i++) {
		while (w->load->burst && burst >= w->load->burst &&
		       __atomic_load_n(&t.epochs, __ATOMIC_ACQUIRE) == epoch) {
			__atomic_fetch_add(&w->progress, 1, __ATOMIC_RELEASE);
			sched_yield();
		}
		if (__atomic_load_n(&t.epochs, __ATOMIC_ACQUIRE) != epoch) {
			epoch = __atomic_load_n(&t.epochs, __ATOMIC_ACQUIRE);
			burst = 0;
		}
		burst++;
		connect_once(w, i);
	}
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* --- Epochs ----------------------------------------------------------------------------------- */

static void add_taken(const struct fg_epoch *e)
{
	struct sums *s = &t.taken;

	for (size_t i = 0; i < e->n_sources; i++) {
		bool shared = !memcmp(e->sources[i].addr, t.shared.addr, 16);

		s->syns += e->sources[i].syns;
		s->connections += e->sources[i].connections;
		s->proven += e->sources[i].proven;
		s->hellos += e->sources[i].hellos;
		s->incomplete += e->sources[i].incomplete;
		s->fins += e->sources[i].fins;
		s->rsts += e->sources[i].rsts;
		s->shared_connections += shared ? e->sources[i].connections : 0;
		s->shared_hellos += shared ? e->sources[i].hellos : 0;
	}
	for (size_t i = 0; i < e->n_clients; i++)
		s->client_connections += e->clients[i].connections;
	for (size_t i = 0; i < e->n_prints; i++)
		s->print_hellos += e->prints[i].hellos;
	for (size_t i = 0; i < e->n_flows; i++) {
		s->bytes_in += e->flows[i].bytes_in;
		s->bytes_out += e->flows[i].bytes_out;
		s->exchanges += e->flows[i].exchanges;
		if (!memcmp(e->flows[i].addr, t.shared.addr, 16))
			s->shared_bytes_in += e->flows[i].bytes_in;
	}
}

static void take(void)
{
	struct fg_epoch epoch = { 0 };

	assert_int_equal(fg_taker_take(t.taker, TICKS, TICK_NS, false, &epoch), 0);
	add_taken(&epoch);
	assert_true(fg_sensor_drain(t.sensor) >= 0);
	__atomic_fetch_add(&t.epochs, 1, __ATOMIC_RELEASE);
}

/* Until each worker has got on, or is done. False where all are done. */
static bool wait_for_workers(uint64_t seen[N_WORKERS])
{
	bool running = false;

	for (int i = 0; i < N_WORKERS; i++) {
		struct worker *w = &t.worker[i];
		uint64_t now;

		do {
			now = __atomic_load_n(&w->progress, __ATOMIC_ACQUIRE);
			if (__atomic_load_n(&w->done, __ATOMIC_ACQUIRE))
				break;
			if (now - seen[i] < EPOCH_FRAMES)
				sched_yield();
		} while (now - seen[i] < EPOCH_FRAMES);
		running |= !__atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
	}
	for (int i = 0; i < N_WORKERS; i++)
		seen[i] = __atomic_load_n(&t.worker[i].progress, __ATOMIC_ACQUIRE);
	return running;
}

static void run_load(const struct load *load)
{
	uint64_t seen[N_WORKERS] = { 0 };
	struct fg_totals replies;

	take(); /* the first heartbeat */
	for (int i = 0; i < N_WORKERS; i++) {
		t.worker[i].cpu = i;
		t.worker[i].load = load;
		assert_int_equal(pthread_create(&t.worker[i].thread, NULL, work, &t.worker[i]), 0);
	}
	while (wait_for_workers(seen))
		take();
	for (int i = 0; i < N_WORKERS; i++)
		pthread_join(t.worker[i].thread, NULL);
	take();
	for (int i = 0; i < N_WORKERS; i++)
		assert_int_equal(t.worker[i].error, 0);
	assert_int_equal(fg_sensor_totals(t.sensor, &t.totals, &replies, NULL), 0);
	print_message("%u epochs, %llu frames\n", t.epochs,
		      (unsigned long long)(t.worker[0].frames + t.worker[1].frames));
}

static struct sums sent(void)
{
	struct sums sum = t.worker[0].sent;
	const uint64_t *from = (const uint64_t *)&t.worker[1].sent;
	uint64_t *to = (uint64_t *)&sum;

	for (size_t i = 0; i < sizeof(sum) / sizeof(*to); i++)
		to[i] += from[i];
	return sum;
}

/* --- Set-up ----------------------------------------------------------------------------------- */

static void build_hellos(void)
{
	static void (*const shapes[])(struct fg_hello_desc *, const char *) = { fg_hello_browser,
										fg_hello_tool,
										fg_hello_library };
	struct fg_hello_desc d;

	for (size_t i = 0; i < N_KINDS; i++) {
		shapes[i % 3](&d, "api.example.com");
		/* another count of ciphers is another fingerprint, and another stem */
		d.n_ciphers -= i / 3;
		t.hello_len[i] = fg_hello_stream(&d, t.hello[i], sizeof(t.hello[i]));
	}
}

static void open_tables(const struct fg_tables *sizes)
{
	struct fg_sensor_conf conf = { .replay = true, .sizes = *sizes };
	char why[256] = "";

	for (size_t i = 0; i < 4; i++)
		conf.config.seed[i] = 0x0102030405060708 * (i + 1);
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_TRANSIT;
	conf.config.volume = 1;
	if (fg_sensor_open(&conf, &t.sensor, why, sizeof(why)))
		fail_msg("the sensor does not open: %s", why);
	assert_int_equal(fg_taker_new(fg_sensor_tables(t.sensor), &t.taker), 0);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.shared = fg_end_of("192.0.2.1", 0);
	t.server = fg_end_of("198.51.100.1", 443);
	build_hellos();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_taker_free(&t.taker);
	fg_sensor_close(&t.sensor);
	return 0;
}

/* --- Claims ----------------------------------------------------------------------------------- */

#define EVENT(name)   (t.totals.events[FG_EVENT_##name])
#define OUTCOME(name) (t.totals.frames[FG_FRAME_##name])

static void check_received(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
		sum += t.totals.frames[i];
	assert_int_equal(sum, t.worker[0].frames + t.worker[1].frames);
	assert_int_equal(t.totals.bytes, t.worker[0].bytes + t.worker[1].bytes);
	assert_int_equal(EVENT(syns), sent().syns);
	/* the agent was there all the time */
	assert_int_equal(EVENT(untaken_lost), 0);
}

static uint64_t source_counts(const struct sums *s)
{
	return s->connections + s->hellos + s->incomplete + s->fins + s->rsts;
}

/* Taken is what was sent. A row that two CPUs want at the same moment goes to one of them; the
 * other's count is then lost under the table's name, one each. */
static void check_exact(void)
{
	struct sums out = sent(), in = t.taken;

	check_received();
	assert_int_equal(OUTCOME(midstream), 0);
	assert_int_equal(EVENT(connections), out.connections);
	assert_int_equal(EVENT(proven), out.proven);
	assert_int_equal(EVENT(hellos), out.hellos);
	assert_int_equal(EVENT(hellos_unproven), 0);
	assert_int_equal(in.bytes_in, out.bytes_in);
	assert_int_equal(in.bytes_out, out.bytes_out);
	assert_int_equal(in.exchanges, out.exchanges);
	assert_int_equal(in.shared_bytes_in, out.shared_bytes_in);
	assert_int_equal(in.client_connections + EVENT(client_table_full), out.client_connections);
	assert_int_equal(in.print_hellos + EVENT(print_table_full), out.print_hellos);
	assert_int_equal(source_counts(&in) + EVENT(source_table_full), source_counts(&out));
	if (!EVENT(source_table_full))
		assert_memory_equal(&in.syns, &out.syns, offsetof(struct sums, client_connections));
	if (!EVENT(source_table_full)) {
		assert_int_equal(in.shared_connections, out.shared_connections);
		assert_int_equal(in.shared_hellos, out.shared_hellos);
	}
}

static void test_handover_takes_exactly_what_was_sent(void **state)
{
	const struct load load = { .connections = 8000, .n_sources = 1500 };
	/* room for all of it, were no epoch ever taken */
	const struct fg_tables sizes = { .n_flows = 16384,
					 .n_knocks = 64,
					 .n_sources = 4096,
					 .n_clients = 16384,
					 .n_prints = 64,
					 .n_streams = 16,
					 .n_stash = 8 };

	(void)state;
	open_tables(&sizes);
	run_load(&load);
	check_exact();
	/* moments only */
	assert_true(EVENT(source_table_full) + EVENT(client_table_full) + EVENT(print_table_full) <
		    10);
}

/* Rows change hands all the time, but never before they were taken. */
static void test_handover_replaces_only_what_was_taken(void **state)
{
	const struct load load = { .connections = 10000, .n_sources = 9000, .burst = 2 };
	/* open ones keep their rows for FG_OPEN_EPOCHS */
	const struct fg_tables sizes = { .n_flows = 256,
					 .n_knocks = 64,
					 .n_sources = 32,
					 .n_clients = 32,
					 .n_prints = 16,
					 .n_streams = 16,
					 .n_stash = 8 };

	(void)state;
	open_tables(&sizes);
	run_load(&load);
	check_exact();
	assert_true(EVENT(flow_replaced) > 10000);
}

/* Far too small: what does not fit is lost under a name, and nothing is counted twice. */
static void test_handover_names_what_did_not_fit(void **state)
{
	const struct load load = { .connections = 10000, .n_sources = 9000 };
	const struct fg_tables sizes = { .n_flows = 4,
					 .n_knocks = 2,
					 .n_sources = 2,
					 .n_clients = 2,
					 .n_prints = 1,
					 .n_streams = 2,
					 .n_stash = 8 };
	struct sums out, *in = &t.taken;
	uint64_t unopened;

	(void)state;
	open_tables(&sizes);
	run_load(&load);
	check_received();
	out = sent();
	/* a connection without a row tries with its hello at the latest, its SYN kept or not */
	unopened = out.connections > EVENT(connections) ? out.connections - EVENT(connections) : 0;
	assert_true(unopened <= OUTCOME(flow_table_full));
	assert_true(OUTCOME(flow_table_full) > 0);
	assert_true(EVENT(source_table_full) > 0);
	assert_true(EVENT(client_table_full) > 0);
	assert_true(EVENT(proven) <= out.proven);
	assert_true(EVENT(hellos) <= out.hellos);
	/* one hello of a proven connection is one count of its client and of its fingerprint */
	assert_int_equal(in->client_connections + EVENT(client_table_full),
			 EVENT(hellos) - EVENT(hellos_unproven));
	assert_int_equal(in->print_hellos + EVENT(print_table_full),
			 EVENT(hellos) - EVENT(hellos_unproven));
	assert_int_equal(in->connections, in->proven);
	assert_true(in->connections <= EVENT(proven));
	assert_true(in->syns <= EVENT(syns_proven));
	assert_true(in->connections + EVENT(source_table_full) >= EVENT(proven));
	assert_true(in->hellos <= EVENT(hellos));
	assert_true(in->fins <= out.fins && in->rsts <= out.rsts);
	assert_true(in->bytes_in <= out.bytes_in && in->bytes_out <= out.bytes_out);
	assert_true(in->exchanges <= out.exchanges);
	/* an exchange that is missing had its request on a connection without a row */
	assert_true(in->exchanges + OUTCOME(midstream) >= out.exchanges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_handover_takes_exactly_what_was_sent, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_handover_replaces_only_what_was_taken, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_handover_names_what_did_not_fit, set_up,
						tear_down),
	};

	if (geteuid() || sysconf(_SC_NPROCESSORS_ONLN) < N_WORKERS) {
		print_message("needs root and two CPUs\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
