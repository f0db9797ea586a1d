/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whole connections through the loaded program, live: hellos cut in every way against the host's
 * keys, bytes with and without the reply direction, ends.
 */
#include "live.h"

#include "source/engine.h"

LIVE_SETUP(FG_ROLE_TRANSIT)

/* Beside the hello and the exchanges: Finished and its ChangeCipherSpec; the server's flight. */
#define FINISHED_BYTES	  (6 + 58)
#define FLIGHT_BYTES(len) (127 + 6 + 5 + (len))

static uint8_t hello_bytes[FG_HELLO_BUILD_MAX + 1000];
static const struct fg_capture_frame no_frame;

/* --- Keys of the host's engine ---------------------------------------------------------------- */

static struct {
	void *engine;
	uint64_t time_ns;
	struct fg_sample sample;
} host;

static void host_sample(void *arg, const struct fg_sample *sample)
{
	(void)arg;
	host.sample = *sample;
}

static void host_emit(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct fg_capture_frame f = no_frame;

	(void)ctx;
	f.time_ns = 1000000000 + time_ns;
	f.data = frame;
	f.len = f.frame_len = f.wire_len = (uint32_t)len;
	assert_int_equal(fg_engine_host.frame(host.engine, &f), 0);
}

static void host_open(void)
{
	struct fg_engine_conf conf = { .table_bytes = 4 << 20, .on_sample = host_sample };
	char why[256];

	conf.config = *fg_sensor_config(live.sensor);
	assert_int_equal(fg_engine_host.open(&conf, &host.engine, why, sizeof(why)), 0);
}

/* --- Cuts ------------------------------------------------------------------------------------- */

enum cut {
	WHOLE,
	TWO,
	SINGLE_BYTES,
	RECORDS,
	RECORDS_AND_BYTES,
	N_CUTS
};

static const char *const cut_names[N_CUTS] = { "one segment", "two segments", "single bytes",
					       "five records", "five records in single bytes" };

static void run_cut(struct fg_conn *c, const struct fg_hello_desc *d, enum cut cut)
{
	static uint8_t msg[FG_HELLO_BUILD_MAX];
	static size_t cuts[FG_HELLO_BUILD_MAX];
	size_t len = fg_hello_build(d, msg), records[] = { 2, 4, len / 3, len - 1 };

	if (cut == RECORDS || cut == RECORDS_AND_BYTES)
		c->hello_len =
			fg_hello_records(msg, len, records, 4, hello_bytes, sizeof(hello_bytes));
	else
		c->hello_len = fg_hello_stream(d, hello_bytes, sizeof(hello_bytes));
	c->hello = hello_bytes;
	c->mss = 3000; /* one segment unless told otherwise */
	c->cuts = cuts;
	if (cut == TWO) {
		cuts[0] = c->hello_len * 2 / 3;
		c->n_cuts = 1;
	}
	if (cut == SINGLE_BYTES || cut == RECORDS_AND_BYTES)
		for (c->n_cuts = 0; c->n_cuts + 1 < c->hello_len; c->n_cuts++)
			cuts[c->n_cuts] = c->n_cuts + 1;
	fg_conn_open(c);
	fg_conn_hello(c);
	fg_conn_done(c);
}

static void test_connection_keys_are_the_hosts(void **state)
{
	static void (*const shapes[])(struct fg_hello_desc *,
				      const char *) = { fg_hello_browser, fg_hello_browser_plain,
							fg_hello_tool, fg_hello_library,
							fg_hello_tls12 };
	struct fg_hello_desc d;
	uint64_t n = 0;

	(void)state;
	host_open();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		shapes[i](&d, "api.example.com");
		for (enum cut cut = WHOLE; cut < N_CUTS; cut++) {
			uint16_t port = (uint16_t)(40000 + 10 * i + cut);
			struct fg_conn a = live_conn("192.0.2.1", port, live_emit);
			struct fg_conn b = live_conn("192.0.2.1", port, host_emit);

			run_cut(&a, &d, cut);
			run_cut(&b, &d, WHOLE);
			if (live.samples != ++n || live.sample.status)
				fail_msg("hello %zu in %s: no key (status %u)", i, cut_names[cut],
					 live.sample.status);
			if (live.sample.hello.print != host.sample.hello.print ||
			    live.sample.hello.stem != host.sample.hello.stem)
				fail_msg("hello %zu in %s: another key than the host's", i,
					 cut_names[cut]);
			assert_string_equal(live.sample.hello.sni, host.sample.hello.sni);
		}
	}
	assert_int_equal(LIVE_EVENT(hellos), n);
	assert_int_equal(LIVE_EVENT(proven_handshake), n);
	for (uint32_t i = 0; i < fg_sensor_tables(live.sensor)->n_streams; i++)
		assert_true(fg_sensor_tables(live.sensor)->streams[i].tag == FG_TAG_FREE);
	fg_engine_host.close(host.engine);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static struct fg_conn usual(uint16_t port)
{
	struct fg_conn c = live_conn("192.0.2.1", port, live_emit);
	struct fg_hello_desc d;

	fg_hello_browser(&d, "api.example.com");
	c.hello = hello_bytes;
	c.hello_len = fg_hello_stream(&d, hello_bytes, sizeof(hello_bytes));
	c.n_exchanges = 3;
	c.request_len = 7000;
	c.response_len = 20001;
	return c;
}

static void test_connection_bytes_are_exact(void **state)
{
	struct fg_conn c = usual(40000);

	(void)state;
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(live_flow()->bytes_in, c.hello_len + FINISHED_BYTES + 3 * 7000);
	assert_int_equal(live_flow()->bytes_out, FLIGHT_BYTES(c.flight_len) + 3 * 20001);
	assert_int_equal(live_flow()->exchanges, 3);
}

/* Without the reply direction the client's acknowledgements say what it got. */
static void test_connection_bytes_from_acknowledgements(void **state)
{
	struct fg_conn c = usual(40000);

	(void)state;
	c.ingress_only = true;
	c.end = FG_CONN_RST;
	fg_conn_run(&c);
	fg_conn_done(&c);
	assert_int_equal(live_flow()->proof, FG_PROOF_NONE);
	assert_int_equal(live_flow()->bytes_in, c.hello_len + FINISHED_BYTES + 3 * 7000);
	assert_int_equal(live_flow()->bytes_out, FLIGHT_BYTES(c.flight_len) + 3 * 20001);
	assert_int_equal(live_flow()->exchanges, 3);
}

/* --- Ends ------------------------------------------------------------------------------------- */

static void test_connection_ends_are_counted(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 9; i++) {
		struct fg_conn c = usual((uint16_t)(40000 + i));

		c.end = (enum fg_conn_end)(i % 3);
		fg_conn_run(&c);
		/* a second end, and one out of sequence, are nothing */
		fg_conn_flags(&c, FG_PKT_RST);
		fg_conn_done(&c);
	}
	assert_int_equal(live_source()->connections, 9);
	assert_int_equal(live_source()->proven, 9);
	assert_int_equal(live_source()->syns, 9);
	assert_int_equal(live_source()->hellos, 9);
	assert_int_equal(live_source()->fins, 3);
	/* FG_CONN_RST, and the RST behind FG_CONN_OPEN */
	assert_int_equal(live_source()->rsts, 6);
	assert_int_equal(LIVE_ROWS(sources), 1);
	assert_int_equal(LIVE_ROWS(clients), 1);
}

static void test_connection_forged_end_is_nothing(void **state)
{
	struct fg_conn c = usual(40000);

	(void)state;
	fg_conn_open(&c);
	c.client_next += 77;
	fg_conn_flags(&c, FG_PKT_RST);
	c.client_next -= 77;
	assert_string_equal(live_outcome(), "close");
	assert_int_equal(live_source()->rsts, 0);
	assert_false(live_flow()->flags & FG_FLOW_CLOSED);
	fg_conn_hello(&c);
	assert_int_equal(LIVE_EVENT(hellos), 1);
	fg_conn_done(&c);
}

static void test_connection_retransmitted_syns_count(void **state)
{
	struct fg_conn c = usual(40000);

	(void)state;
	for (int i = 0; i < 4; i++)
		fg_conn_syn(&c);
	fg_conn_syn_ack(&c);
	fg_conn_ack(&c);
	fg_conn_done(&c);
	assert_int_equal(LIVE_EVENT(syns), 4);
	assert_int_equal(LIVE_EVENT(syns_proven), 4);
	assert_int_equal(live_source()->syns, 4);
	assert_int_equal(live_source()->connections, 1);
}

static void test_connection_closed_before_its_hello_ends(void **state)
{
	struct fg_conn c = usual(40000);

	(void)state;
	fg_conn_open(&c);
	fg_conn_segment(&c, 0, c.hello, 700);
	fg_conn_flags(&c, FG_PKT_FIN | FG_PKT_ACK);
	fg_conn_done(&c);
	assert_int_equal(live.now.incomplete[FG_INCOMPLETE_closed], 1);
	assert_int_equal(live_source()->incomplete, 1);
	assert_int_equal(live_source()->hellos, 0);
	assert_int_equal(live.sample.status, 1 + FG_INCOMPLETE_closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(test_connection_keys_are_the_hosts),
		LIVE_TEST(test_connection_bytes_are_exact),
		LIVE_TEST(test_connection_bytes_from_acknowledgements),
		LIVE_TEST(test_connection_ends_are_counted),
		LIVE_TEST(test_connection_forged_end_is_nothing),
		LIVE_TEST(test_connection_retransmitted_syns_count),
		LIVE_TEST(test_connection_closed_before_its_hello_ends),
	};

	LIVE_NEEDS_ROOT();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
