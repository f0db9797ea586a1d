/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What QUIC hellos cost, in nanoseconds of one core. Initials are sealed as a client seals them, padded
 * to datagrams of 1,200 bytes; each hello comes from a connection that was never seen.
 *
 *   kernel   BPF_PROG_TEST_RUN, net of an XDP_PASS-only program of the same rounds: knock row made or
 *            found, datagram into the ring. "fresh": one call each, caches cold, an upper bound.
 *            "hot": the same datagram again and again. "one client": the same one, one call each.
 *   agent    CPU time of reading the ring and what the agent does with each datagram: keys, decryption,
 *            frames, fold, look-up of blocks, tables, naming. "ring alone" is the baseline: as many
 *            datagrams that nobody listens to.
 *
 * Then the latency of a block: from the moment a program submits the datagram that completes a blocked
 * client's hello to the mark in its row, by an agent that sleeps on the ring as the real one does.
 * "knock": the address is not proven yet, the usual case. "flow": the client has used the server's
 * connection ID meanwhile.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "../harness/hello_build.h"
#include "../harness/packet.h"
#include "../harness/quic_build.h"
#include "agent/core.h"
#include "export/xdp.h"
#include "source/platform_host.h"
#include "source/quic_take.h"
#include "testrun.h"

#include "farmgate/quic.h"

#define REPEAT	       100000
#define HELLOS	       600 /* a round; in two datagrams each they fit the ring, which holds 1,900 */
#define DATAGRAM_BYTES 1200
#define FIRST_PIECE    1100 /* bytes of a hello in the first of two datagrams */
#define HANDED_RUNS    20 /* a round: a test run of more than one repetition waits for RCU */
#define LATENCIES      2000
#define FLOOD	       1800

struct kind {
	const char *name;
	void (*shape)(struct fg_hello_desc *d, const char *sni);
	size_t n_datagrams;
	bool forged; /* looks like an Initial, and no key opens it */
};

static const struct kind one = { "hello in one datagram", fg_hello_tool, 1, false },
			 two = { "hello in two (post-quantum)", fg_hello_browser, 2, false },
			 forged = { "forged Initial", NULL, 1, true };

static struct fg_quic_take *take;
static struct fg_xdp *xdp;
static struct fg_core core;
static struct fg_conf conf;
static const struct fg_end server = { .addr = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, .port = 443 };
static const struct fg_quic_id server_id = { 8, { 0x5e, 0x7e, 1, 2, 3, 4, 5, 6 } };

/* --- Datagrams -------------------------------------------------------------------------------- */

static struct fg_end client_of(uint32_t i)
{
	struct fg_end e = fg_end_of("10.0.0.0", (uint16_t)(1024 + i % 60000));

	e.addr[13] = (uint8_t)(i >> 16);
	e.addr[14] = (uint8_t)(i >> 8);
	e.addr[15] = (uint8_t)i;
	return e;
}

static struct fg_quic_id id_of(uint32_t i)
{
	struct fg_quic_id id = { .len = 8 };
	struct fg_prng r = { i };

	fg_prng_fill(&r, id.bytes, id.len);
	return id;
}

static void put_frame(struct frames *f, const struct fg_end *from, const struct fg_end *to,
		      const uint8_t *payload, size_t n)
{
	struct fg_pkt *p = fg_pkt_new();

	fg_pkt_eth(p);
	fg_pkt_ip(p, from, to, NULL);
	fg_pkt_udp(p, from->port, to->port);
	fg_pkt_payload(p, payload, n);
	fg_pkt_end(p);
	keep(f, 0, p->buf, p->len);
	fg_pkt_free(p);
}

/* The first flight of client i. to: where its second datagram goes, NULL = where the first went. */
static void first_flight(struct frames *f, const struct kind *kind, uint32_t i,
			 const struct fg_quic_id *to)
{
	static uint8_t message[FG_HELLO_BUILD_MAX];
	const struct fg_quic_id first = id_of(i), none = { .len = 0 };
	struct fg_quic_initial q = { .dcid = first, .key_of = &first };
	struct fg_end client = client_of(i);
	uint8_t bytes[DATAGRAM_BYTES];
	struct fg_hello_desc d;
	size_t n, at = 0;

	if (kind->forged) {
		n = fg_quic_long(0, &first, &none, DATAGRAM_BYTES - 18, bytes);
		put_frame(f, &client, &server, bytes, n);
		return;
	}
	kind->shape(&d, "api.example.com");
	n = fg_hello_build(&d, message);
	for (size_t k = 0; k < kind->n_datagrams; k++) {
		size_t piece = k + 1 < kind->n_datagrams ? FIRST_PIECE : n - at;

		q.number = (uint32_t)k;
		if (k && to)
			q.dcid = *to;
		fg_quic_datagram_of(&q, message, at, piece, bytes, DATAGRAM_BYTES);
		put_frame(f, &client, &server, bytes, DATAGRAM_BYTES);
		at += piece;
	}
}

/* --- Agent ------------------------------------------------------------------------------------ */

/* The look-up of an agent that exports to XDP. */
static int is_blocked(void *arg, const uint8_t source[16], uint64_t stem, uint64_t stack)
{
	uint64_t hits, last_ns;

	(void)arg;
	return !fg_xdp_hits(xdp, source, 128, stem, stack, 1, &hits, &last_ns) ||
	       !fg_xdp_hits(xdp, source, 128, stem, 0, 1, &hits, &last_ns);
}

static void open_agent(void)
{
	struct fg_quic_take_conf c = {
		.on_sample = fg_core_sample,
		.arg = &core,
		.is_blocked = is_blocked,
	};

	fg_quic_take_free(&take);
	fg_xdp_free(&xdp);
	open_sensor(true, false);
	c.config = fg_sensor_config(sensor);
	c.tables = fg_sensor_tables(sensor);
	if (fg_quic_take_new(&c, &take) || fg_xdp_new(sensor, NULL, &xdp))
		die("no memory for the agent");
	fg_sensor_on_datagram(sensor, fg_quic_take_datagram, take);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* CPU time of reading what waits in the ring, which are n datagrams. */
static uint64_t drain(int n)
{
	uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	if (fg_sensor_drain(sensor) != n)
		die("datagrams were lost");
	return clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
}

static uint64_t event(enum fg_event e)
{
	struct fg_totals received, replies;

	if (fg_sensor_totals(sensor, &received, &replies, NULL))
		die("no counters");
	fg_quic_take_add(take, &received);
	return received.events[e];
}

/* --- Kernel and agent together ---------------------------------------------------------------- */

struct cost {
	int kernel, agent, ring, both;
};

/* Submits the flights of clients from base on. @return ns of the kernel's part, net. */
static int64_t submit(const struct kind *kind, uint32_t base)
{
	int64_t net = 0;

	for (uint32_t i = 0; i < HELLOS; i++) {
		struct frames f = { .n = 0 };

		first_flight(&f, kind, base + i, NULL);
		for (size_t k = 0; k < f.n; k++) {
			net -= run_fd(pass_fd, f.bytes[k], f.len[k], 1);
			net += run(&f, k, 1);
		}
		forget(&f);
	}
	return net;
}

static struct cost one_round(const struct kind *kind, uint32_t base)
{
	int n = (int)(HELLOS * kind->n_datagrams);
	struct cost c;

	c.kernel = (int)(submit(kind, base) / n);
	c.agent = (int)(drain(n) / (uint64_t)n);
	c.both = c.kernel + c.agent;
	fg_sensor_on_datagram(sensor, NULL, NULL);
	submit(kind, base + HELLOS);
	c.ring = (int)(drain(n) / (uint64_t)n);
	fg_sensor_on_datagram(sensor, fg_quic_take_datagram, take);
	return c;
}

static void initials(const struct kind *kind)
{
	int kernel[ROUNDS], agent[ROUNDS], ring[ROUNDS], both[ROUNDS];
	uint64_t hellos, unreadable;

	open_agent();
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct cost c = one_round(kind, round * 2 * HELLOS);

		kernel[round] = c.kernel;
		agent[round] = c.agent;
		ring[round] = c.ring;
		both[round] = c.both;
	}
	hellos = event(FG_EVENT_hellos);
	unreadable = event(FG_EVENT_quic_unreadable);
	if (hellos != (kind->forged ? 0 : ROUNDS * HELLOS) ||
	    unreadable != (kind->forged ? ROUNDS * HELLOS : 0))
		die("not every datagram was what it should be");
	printf("%s\n", kind->name);
	print_row("  kernel, net", "fresh", kernel, ROUNDS);
	print_row("  agent, ring alone", "fresh", ring, ROUNDS);
	print_row("  agent", "fresh", agent, ROUNDS);
	print_row("  kernel and agent", "fresh", both, ROUNDS);
	printf("  = %.0f k Initials/s a core", 1e6 / both[ROUNDS / 2]);
	if (!kind->forged)
		printf(", %.0f k hellos/s, %d ns a hello",
		       1e6 / both[ROUNDS / 2] / (double)kind->n_datagrams,
		       both[ROUNDS / 2] * (int)kind->n_datagrams);
	putchar('\n');
}

/* --- Kernel, hot ------------------------------------------------------------------------------ */

/* The only row of an empty table. */
static struct fg_quic_knock *only_knock(void)
{
	const struct fg_tables *t = fg_sensor_tables(sensor);

	for (uint32_t i = 0; i < t->n_knocks; i++)
		for (size_t way = 0; way < FG_WAYS; way++)
			if (t->knocks[i].tag[way] != FG_TAG_FREE)
				return (struct fg_quic_knock *)&t->knocks[i].row[way];
	die("no Initial waits");
	return NULL;
}

/* One datagram as often as the agent is handed it, then its count is put back. The ring is never
 * empty, as under load. */
static void handed_hot(const struct frames *f)
{
	struct fg_quic_knock *knock = only_knock();
	int net[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		int64_t sum = 0;

		knock->handed = 0;
		run(f, 0, 1);
		for (int i = 0; i < HANDED_RUNS; i++) {
			sum -= run_fd(pass_fd, f->bytes[0], f->len[0], FG_QUIC_MAX_HANDED);
			knock->handed = 0;
			sum += run(f, 0, FG_QUIC_MAX_HANDED);
		}
		fg_sensor_drain(sensor);
		net[round] = (int)(sum / HANDED_RUNS);
	}
	print_row("Initial, handed to an agent that is behind", "hot", net, ROUNDS);
}

/* The first datagram in an empty ring: the kernel interrupts itself to wake whoever sleeps on it. */
static void handed_to_a_sleeper(const struct frames *f)
{
	struct fg_quic_knock *knock = only_knock();
	int net[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		int64_t sum = 0;

		for (int i = 0; i < HELLOS; i++) {
			knock->handed = 0;
			sum -= run_fd(pass_fd, f->bytes[0], f->len[0], 1);
			sum += run(f, 0, 1);
			fg_sensor_drain(sensor);
		}
		net[round] = (int)(sum / HELLOS);
	}
	print_row("Initial, handed to an agent that sleeps", "one client", net, ROUNDS);
}

static void hot(const char *what, const struct frames *f)
{
	int net[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		int pass = (int)run_fd(pass_fd, f->bytes[0], f->len[0], REPEAT);

		net[round] = (int)run(f, 0, REPEAT) - pass;
	}
	print_row(what, "hot", net, ROUNDS);
}

static void kernel_hot(void)
{
	struct frames f = { .n = 0 };
	int pass[ROUNDS];

	open_agent();
	first_flight(&f, &one, 1, NULL);
	for (int round = 0; round < ROUNDS; round++)
		pass[round] = (int)run_fd(pass_fd, f.bytes[0], f.len[0], REPEAT);
	print_row("XDP_PASS alone, gross", "hot", pass, ROUNDS);
	run(&f, 0, 1);
	fg_sensor_on_datagram(sensor, NULL, NULL);
	fg_sensor_drain(sensor);
	handed_hot(&f);
	handed_to_a_sleeper(&f);
	hot("Initial, the agent has had enough of them", &f);
	only_knock()->state = FG_QUIC_HELLO_KNOWN | FG_QUIC_KNOCK_DROPS;
	hot("Initial of a blocked client, to XDP_DROP", &f);
	if (fg_sensor_block(sensor, client_of(1).addr, UINT64_MAX))
		die("no block");
	hot("Initial of a blocked source, to XDP_DROP", &f);
	forget(&f);
}

/* --- Latency of a block ----------------------------------------------------------------------- */

/* The agent's loop, as far as it goes for the ring: sleeps until there is something, reads it. */
static struct {
	atomic_bool stop;
	atomic_ullong submitted_ns; /* of the datagram read last, and */
	atomic_ullong read_ns; /* the time at which it had been dealt with; 0 = not yet */
} loop;

static void on_datagram(void *arg, const struct fg_datagram *d)
{
	fg_quic_take_datagram(arg, d);
	loop.submitted_ns = d->time_ns;
}

static void *agent_loop(void *arg)
{
	struct epoll_event e = { .events = EPOLLIN };
	int fd = epoll_create1(0);

	(void)arg;
	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, fg_sensor_sample_fd(sensor), &e))
		die("epoll refused");
	while (!loop.stop)
		if (epoll_wait(fd, &e, 1, 100) > 0 && fg_sensor_drain(sensor) > 0)
			loop.read_ns = clock_ns(CLOCK_BOOTTIME);
	close(fd);
	return NULL;
}

/* Runs the frame and waits until the agent has read it. @return ns from its submission on. */
static int latency_of(const struct frames *f, size_t k)
{
	loop.read_ns = 0;
	run(f, k, 1);
	while (!loop.read_ns)
		usleep(50);
	return (int)(loop.read_ns - loop.submitted_ns);
}

/* What the server says, and a client that answers has read it: the flow is there when the last
 * datagram of the hello is. */
static void reply(uint32_t i)
{
	const struct fg_quic_id none = { .len = 0 };
	struct fg_end client = client_of(i);
	struct frames f = { .n = 0 };
	uint8_t bytes[256];

	put_frame(&f, &server, &client, bytes, fg_quic_long(2, &none, &server_id, 100, bytes));
	run(&f, 0, 1);
	forget(&f);
}

static uint64_t stem_of(const struct kind *kind)
{
	struct frames f = { .n = 0 };
	uint64_t stem;

	open_agent();
	first_flight(&f, kind, 1, NULL);
	for (size_t k = 0; k < f.n; k++)
		run(&f, k, 1);
	fg_sensor_drain(sensor);
	stem = only_knock()->stem;
	forget(&f);
	return stem;
}

static void block_clients(uint64_t stem, uint32_t base, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (fg_sensor_block_client(sensor, client_of(base + i).addr, stem, FG_STACK_QUIC,
					   UINT64_MAX))
			die("no block");
}

static uint64_t flows_marked(void)
{
	const struct fg_tables *t = fg_sensor_tables(sensor);
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->n_flows * FG_WAYS; i++)
		n += t->flows[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE &&
		     t->flows[i / FG_WAYS].row[i % FG_WAYS].flags & FG_FLOW_DROPPED;
	return n;
}

static uint64_t knocks_marked(void)
{
	const struct fg_tables *t = fg_sensor_tables(sensor);
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->n_knocks * FG_WAYS; i++) {
		const void *row = &t->knocks[i / FG_WAYS].row[i % FG_WAYS];

		n += t->knocks[i / FG_WAYS].tag[i % FG_WAYS] != FG_TAG_FREE &&
		     ((const struct fg_quic_knock *)row)->state & FG_QUIC_KNOCK_DROPS;
	}
	return n;
}

/* The agent sleeps between two hellos: what waking it costs is part of it. */
static void until_dropped(const char *what, const char *how, const struct kind *kind, bool proven)
{
	static int ns[LATENCIES];
	uint64_t stem = stem_of(kind);
	pthread_t agent;

	open_agent();
	block_clients(stem, 0, LATENCIES);
	fg_sensor_on_datagram(sensor, on_datagram, take);
	loop.stop = false;
	if (pthread_create(&agent, NULL, agent_loop, NULL))
		die("no thread");
	for (uint32_t i = 0; i < LATENCIES; i++) {
		struct frames f = { .n = 0 };

		first_flight(&f, kind, i, proven ? &server_id : NULL);
		for (size_t k = 0; k + 1 < f.n; k++)
			latency_of(&f, k);
		if (proven)
			reply(i);
		ns[i] = latency_of(&f, f.n - 1);
		forget(&f);
	}
	loop.stop = true;
	pthread_join(agent, NULL);
	if (event(FG_EVENT_dropped_client) != LATENCIES ||
	    flows_marked() != (proven ? LATENCIES : 0) ||
	    knocks_marked() != (proven ? 0 : LATENCIES))
		die("not every blocked client was marked");
	print_latency(what, how, ns, LATENCIES);
}

/* Behind a ring full of what forgers sent: the agent is awake and reads it first. */
static void behind_a_flood(void)
{
	uint64_t stem = stem_of(&one), begin;
	struct frames f = { .n = 0 };
	int ns[ROUNDS];

	open_agent();
	block_clients(stem, FLOOD * ROUNDS, ROUNDS);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < FLOOD; i++) {
			first_flight(&f, &forged, round * FLOOD + i, NULL);
			run(&f, 0, 1);
			forget(&f);
		}
		first_flight(&f, &one, FLOOD * ROUNDS + round, NULL);
		run(&f, 0, 1);
		forget(&f);
		begin = clock_ns(CLOCK_BOOTTIME);
		if (fg_sensor_drain(sensor) != FLOOD + 1)
			die("datagrams were lost");
		ns[round] = (int)(clock_ns(CLOCK_BOOTTIME) - begin);
	}
	if (event(FG_EVENT_dropped_client) != ROUNDS)
		die("not every blocked client was marked");
	print_row("ring read to dropped, 1,800 forged before it", "knock", ns, ROUNDS);
}

int main(void)
{
	char why[512] = "";
	struct utsname u;

	uname(&u);
	open_pass();
	fg_conf_init(&conf);
	if (fg_core_open(&core, &conf, NULL, 0, why, sizeof(why)))
		die(why);
	printf("Linux %s, %ld CPUs; ns an Initial of %d bytes, median (range) of %d rounds\n",
	       u.release, sysconf(_SC_NPROCESSORS_ONLN), DATAGRAM_BYTES, ROUNDS);
	kernel_hot();
	initials(&one);
	initials(&two);
	initials(&forged);
	printf("latency of a block, ns, median\n");
	until_dropped("submitted to dropped, one datagram", "knock", &one, false);
	until_dropped("submitted to dropped, the second of two", "knock", &two, false);
	until_dropped("submitted to dropped, the second of two", "flow", &two, true);
	behind_a_flood();
	fg_quic_take_free(&take);
	fg_xdp_free(&xdp);
	fg_core_close(&core);
	fg_conf_done(&conf);
	fg_sensor_close(&sensor);
	return 0;
}
