/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Proof on a terminating host: the socket table of a network namespace of this test's own, with
 * real sockets in it, asked about crafted segments; the handshake through the egress hook; and that
 * forged segments leave nothing that counts against a source.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/mem.h"
#include "live.h"

LIVE_SETUP(FG_ROLE_TERMINATE)

#define SERVER "127.0.0.1"

static uint8_t hello_bytes[FG_HELLO_BUILD_MAX];
static size_t hello_len;

/* --- A network of our own --------------------------------------------------------------------- */

static void bring_up(const char *name)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	req.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &req), 0);
}

static void set_address(const char *name, unsigned long what, const char *addr)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	inet_pton(AF_INET, addr, &in.sin_addr);
	memcpy(&req.ifr_addr, &in, sizeof(in));
	assert_int_equal(ioctl(fd, what, &req), 0);
}

static int listen_on(const char *addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(443) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, addr, &in.sin_addr);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* A real connection, and where its server stands. */
struct real {
	int client, server;
	uint16_t port;
	uint32_t rcv_nxt, snd_nxt;
};

static uint32_t queue_seq(int fd, int queue)
{
	uint32_t seq = 0;
	socklen_t n = sizeof(seq);

	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)), 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &n), 0);
	return seq;
}

/* Repair mode shows the sequence numbers; left without a window probe, nothing goes out. */
static void read_numbers(struct real *r)
{
	int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP;

	assert_int_equal(setsockopt(r->server, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)), 0);
	r->rcv_nxt = queue_seq(r->server, TCP_RECV_QUEUE);
	r->snd_nxt = queue_seq(r->server, TCP_SEND_QUEUE);
	assert_int_equal(setsockopt(r->server, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)), 0);
}

static struct real really_connect(int listener)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(443) };
	socklen_t n = sizeof(in);
	struct real r;

	inet_pton(AF_INET, SERVER, &in.sin_addr);
	r.client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(r.client, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(r.client, (struct sockaddr *)&in, &n), 0);
	r.port = ntohs(in.sin_port);
	r.server = accept(listener, NULL, NULL);
	assert_true(r.server >= 0);
	read_numbers(&r);
	return r;
}

static void really_close(struct real *r)
{
	close(r->client);
	close(r->server);
}

/* --- Crafted hellos --------------------------------------------------------------------------- */

static void feed_hello(const char *client, uint16_t port, const char *server, uint32_t seq,
		       uint32_t ack)
{
	struct fg_end from = fg_end_of(client, port), to = fg_end_of(server, 443);
	struct fg_pkt *p = fg_pkt_new();

	assert_non_null(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, NULL);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .seq = seq, .ack = ack, .flags = FG_PKT_ACK });
	fg_pkt_payload(p, hello_bytes, hello_len);
	fg_pkt_end(p);
	live_feed(p->buf, p->len);
	fg_pkt_free(p);
	assert_string_equal(live_outcome(), "hello");
}

/* What the socket table said about the last frame. */
static const char *answer(void)
{
	static const struct {
		enum fg_event event;
		const char *name;
	} answers[] = { { FG_EVENT_proven_socket, "proven" },
			{ FG_EVENT_socket_listener, "listener" },
			{ FG_EVENT_socket_none, "none" },
			{ FG_EVENT_socket_mismatch, "mismatch" } };
	const char *name = "nothing";

	for (size_t i = 0; i < 4; i++)
		if (live.now.events[answers[i].event] != live.before.events[answers[i].event])
			name = answers[i].name;
	return name;
}

/* Only a proof makes rows, and it makes one of each. */
static void expect(const char *what, const char *expected)
{
	bool proven = !strcmp(expected, "proven");
	uint64_t moved = live.now.events[FG_EVENT_proven] - live.before.events[FG_EVENT_proven];
	uint64_t unproven = live.now.events[FG_EVENT_hellos_unproven] -
			    live.before.events[FG_EVENT_hellos_unproven];

	if (strcmp(answer(), expected))
		fail_msg("%s: the answer is %s, not %s", what, answer(), expected);
	assert_int_equal(moved, proven);
	assert_int_equal(unproven, !proven);
}

static void make_hello(void)
{
	struct fg_hello_desc d;

	fg_hello_tool(&d, "api.example.com");
	hello_len = fg_hello_stream(&d, hello_bytes, sizeof(hello_bytes));
}

static void test_proof_by_socket_wants_exact_numbers(void **state)
{
	static const struct {
		const char *what;
		uint32_t seq, ack; /* beside the right ones */
		const char *answer;
	} rows[] = {
		{ "one byte ahead", 1, 0, "mismatch" },
		{ "one byte behind", 0U - 1, 0, "mismatch" },
		{ "far away", 0x40000000, 0, "mismatch" },
		{ "acknowledges what was not sent", 0, 1, "mismatch" },
		{ "acknowledges too little", 0, 0U - 1, "mismatch" },
		{ "acknowledges something else", 0, 0x7654321, "mismatch" },
		{ "exact", 0, 0, "proven" },
	};
	int listener = listen_on(SERVER);

	(void)state;
	make_hello();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct real r = really_connect(listener);

		feed_hello(SERVER, r.port, SERVER, r.rcv_nxt + rows[i].seq,
			   r.snd_nxt + rows[i].ack);
		expect(rows[i].what, rows[i].answer);
		assert_int_equal(LIVE_ROWS(sources), !strcmp(rows[i].answer, "proven"));
		really_close(&r);
	}
	assert_int_equal(live_source()->proven, 1);
	assert_int_equal(live_source()->hellos, 1);
	close(listener);
}

/* What was sent and is not acknowledged yet may be acknowledged in part; what was acknowledged
 * before is the past. */
static void test_proof_by_socket_follows_the_window(void **state)
{
	int listener = listen_on(SERVER);
	struct real r = really_connect(listener);
	char byte[1000] = { 0 };

	(void)state;
	make_hello();
	assert_int_equal(send(r.server, byte, sizeof(byte), 0), sizeof(byte));
	while (recv(r.client, byte, 1, MSG_PEEK) != 1)
		;
	feed_hello(SERVER, r.port, SERVER, r.rcv_nxt, r.snd_nxt - 1);
	expect("acknowledges the past", "mismatch");
	really_close(&r);

	r = really_connect(listener);
	assert_int_equal(send(r.client, byte, 10, 0), 10);
	while (recv(r.server, byte, 10, MSG_PEEK) != 10)
		;
	feed_hello(SERVER, r.port, SERVER, r.rcv_nxt, r.snd_nxt);
	expect("bytes the server has already", "mismatch");
	really_close(&r);
	close(listener);
}

static void test_proof_by_socket_without_a_connection(void **state)
{
	int listener = listen_on(SERVER);

	(void)state;
	make_hello();
	feed_hello(SERVER, 1, SERVER, 1, 1);
	expect("a port without a connection", "listener");
	feed_hello("192.0.2.1", 40000, "198.51.100.1", 1, 1);
	expect("an address that is not here", "none");
	assert_int_equal(LIVE_ROWS(sources), 0);
	assert_int_equal(LIVE_ROWS(clients), 0);
	assert_int_equal(LIVE_ROWS(prints), 0);
	close(listener);
}

/* --- A handshake that waits for its last ACK --------------------------------------------------- */

static int make_tun(void)
{
	struct ifreq req = { .ifr_name = "fgtun0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd < 0)
		return -1;
	if (ioctl(fd, TUNSETIFF, &req)) {
		close(fd);
		return -1;
	}
	set_address("fgtun0", SIOCSIFADDR, "10.9.0.1");
	set_address("fgtun0", SIOCSIFNETMASK, "255.255.255.0");
	bring_up("fgtun0");
	return fd;
}

/* Sends a SYN through the tunnel; the ISN that the kernel answers with. */
static uint32_t knock(int tun, uint16_t port, uint32_t isn)
{
	struct fg_end from = fg_end_of("10.9.0.2", port), to = fg_end_of("10.9.0.1", 443);
	struct fg_pkt *p = fg_pkt_new();
	struct pollfd ready = { .fd = tun, .events = POLLIN };
	uint8_t reply[2000];
	uint32_t server_isn;
	ssize_t n;

	assert_non_null(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, NULL);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .seq = isn, .flags = FG_PKT_SYN, .window = 64240 });
	fg_pkt_end(p);
	assert_int_equal(write(tun, p->buf + 14, p->len - 14), p->len - 14);
	fg_pkt_free(p);
	do {
		if (poll(&ready, 1, 10000) != 1)
			fail_msg("no SYN-ACK within ten seconds");
		n = read(tun, reply, sizeof(reply));
		/* the kernel also says other things to a new interface */
	} while (n < 40 || reply[0] >> 4 != 4 || reply[9] != 6 || reply[33] != 0x12 ||
		 (reply[22] << 8 | reply[23]) != port);
	memcpy(&server_isn, reply + 24, sizeof(server_isn));
	return ntohl(server_isn);
}

static void test_proof_by_a_waiting_handshake(void **state)
{
	static const struct {
		const char *what;
		uint32_t seq, ack;
		const char *answer;
	} rows[] = {
		{ "one byte ahead", 2, 1, "mismatch" },
		{ "acknowledges too much", 1, 2, "mismatch" },
		{ "acknowledges too little", 1, 0, "mismatch" },
		{ "acknowledges something else", 1, 0x12345678, "mismatch" },
		{ "exact", 1, 1, "proven" },
	};
	int listener, tun = make_tun();

	(void)state;
	if (tun < 0) {
		print_message("no /dev/net/tun here\n");
		skip();
	}
	make_hello();
	listener = listen_on("10.9.0.1");
	for (uint16_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t isn = 1000000U * (i + 1), server_isn = knock(tun, 20000 + i, isn);

		feed_hello("10.9.0.2", 20000 + i, "10.9.0.1", isn + rows[i].seq,
			   server_isn + rows[i].ack);
		expect(rows[i].what, rows[i].answer);
	}
	assert_int_equal(LIVE_ROWS(sources), 1);
	close(listener);
	close(tun);
}

/* --- The reply direction ---------------------------------------------------------------------- */

/* No socket here, as in front of a container: the handshake proves, through the egress hook. */
static void test_proof_by_handshake_through_egress(void **state)
{
	struct fg_conn c = live_conn("192.0.2.1", 40000, live_emit_host);

	(void)state;
	make_hello();
	assert_true(live.egress_fd >= 0);
	c.hello = hello_bytes;
	c.hello_len = hello_len;
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(proven_handshake), 1);
	assert_int_equal(LIVE_EVENT(proven_socket), 0);
	assert_int_equal(LIVE_EVENT(socket_none), 1);
	assert_int_equal(LIVE_OUTCOME(syn_ack), 1);
	assert_int_equal(live_flow()->exchanges, 1);
	assert_int_equal(live_flow()->bytes_out, 127 + 6 + 5 + c.flight_len + c.response_len);
}

static void test_proof_by_handshake_wants_the_isn(void **state)
{
	static const uint32_t off[] = { 1, 0U - 1, 0x10000, 0x80000000 };

	(void)state;
	make_hello();
	for (uint16_t i = 0; i < 4; i++) {
		struct fg_conn c = live_conn("192.0.2.1", (uint16_t)(40000 + i), live_emit_host);

		c.hello = hello_bytes;
		c.hello_len = hello_len;
		fg_conn_syn(&c);
		fg_conn_syn_ack(&c);
		c.server_next += off[i];
		fg_conn_ack(&c);
		assert_string_equal(live_outcome(), "midstream");
		fg_conn_hello(&c);
		fg_conn_done(&c);
	}
	assert_int_equal(LIVE_EVENT(proven), 0);
	assert_int_equal(LIVE_ROWS(sources), 0);
}

/* The host's own outgoing TLS is nobody's client: the other hook's direction does not count. */
static void test_proof_hooks_see_one_direction_each(void **state)
{
	struct fg_conn c = live_conn("192.0.2.1", 40000, live_emit);
	struct fg_pkt *p = fg_pkt_new();

	(void)state;
	assert_non_null(p);
	fg_conn_syn(&c);
	assert_string_equal(live_outcome(), "syn");
	fg_conn_syn_ack(&c); /* at ingress: the answer to our own SYN to somebody's port 443 */
	assert_string_equal(live_outcome(), "other_port");
	fg_pkt_eth(p);
	fg_pkt_ip(p, &c.client, &c.server, NULL);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .seq = 1, .flags = FG_PKT_SYN });
	fg_pkt_end(p);
	live_feed_egress(p->buf, p->len);
	assert_string_equal(live_outcome(), "other_port");
	fg_pkt_free(p);
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(syns), 1);
}

/* --- Forgeries -------------------------------------------------------------------------------- */

static void only_these_events(uint64_t n)
{
	static const enum fg_event may[] = { FG_EVENT_syns,	    FG_EVENT_connections,
					     FG_EVENT_hellos,	    FG_EVENT_hellos_unproven,
					     FG_EVENT_socket_none,  FG_EVENT_samples,
					     FG_EVENT_sample_lost,  FG_EVENT_knock_replaced,
					     FG_EVENT_flow_replaced };
	struct fg_totals t = live.now;

	assert_int_equal(LIVE_EVENT(syns), n);
	for (size_t i = 0; i < sizeof(may) / sizeof(may[0]); i++)
		t.events[may[i]] = 0;
	for (size_t i = 0; i < _FG_EVENT_MAX; i++)
		if (t.events[i])
			fail_msg("event %zu moved by %llu", i, (unsigned long long)t.events[i]);
}

/* SYNs, hellos and ends from addresses that never saw a reply: totals, and nothing else. */
static void test_proof_forgeries_leave_no_rows(void **state)
{
	struct fg_prng r = { 4 };

	(void)state;
	make_hello();
	for (uint32_t i = 0; i < 3000; i++) {
		char addr[32];
		struct fg_conn c;

		snprintf(addr, sizeof(addr), "203.0.%u.%u", fg_prng_below(&r, 256),
			 fg_prng_below(&r, 256));
		c = live_conn(addr, (uint16_t)(1024 + fg_prng_below(&r, 60000)), live_emit_host);
		c.client_isn = (uint32_t)fg_prng_next(&r);
		c.server_next = (uint32_t)fg_prng_next(&r);
		c.hello = hello_bytes;
		c.hello_len = hello_len;
		fg_conn_syn(&c);
		fg_conn_ack(&c);
		fg_conn_hello(&c);
		c.end = i & 1 ? FG_CONN_FIN : FG_CONN_RST;
		c.ingress_only = true;
		fg_conn_close(&c);
		fg_conn_done(&c);
	}
	only_these_events(3000);
	assert_int_equal(LIVE_ROWS(sources), 0);
	assert_int_equal(LIVE_ROWS(clients), 0);
	assert_int_equal(LIVE_ROWS(prints), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_proof_by_socket_wants_exact_numbers),
		LIVE_TEST(test_proof_by_socket_follows_the_window),
		LIVE_TEST(test_proof_by_socket_without_a_connection),
		LIVE_TEST(test_proof_by_a_waiting_handshake),
		LIVE_TEST(test_proof_by_handshake_through_egress),
		LIVE_TEST(test_proof_by_handshake_wants_the_isn),
		LIVE_TEST(test_proof_hooks_see_one_direction_each),
		LIVE_TEST(test_proof_forgeries_leave_no_rows),
	};

	LIVE_NEEDS_ROOT();
	if (unshare(CLONE_NEWNET)) {
		print_message("no network namespace of its own: %m\n");
		return 77;
	}
	bring_up("lo");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
