/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* source/quic_packet.h against the examples of the RFCs, source/quic.h against clients that shuffle,
 * repeat, retry and lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hello.h"
#include "hello_build.h"
#include "quic_build.h"
#include "source/quic.h"
#include "source/quic_packet.h"

#define S 1000000000ULL

static const uint64_t seed[4] = { 1, 2, 3, 4 };
static const struct fg_quic_id rfc_dcid = { 8, { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 } };
static struct fg_quic *quic;
static struct fg_hello hello;
static unsigned int lost[_FG_INCOMPLETE_MAX];
static uint8_t message[FG_HELLO_BUILD_MAX];
static size_t n_message;

static void count_lost(void *arg, const struct fg_quic_path *path, enum fg_incomplete reason)
{
	(void)arg;
	(void)path;
	lost[reason]++;
}

static int set_up(void **state)
{
	struct fg_hello_desc d;

	(void)state;
	memset(lost, 0, sizeof(lost));
	fg_hello_browser(&d, "api.example.com");
	n_message = fg_hello_build(&d, message);
	if (fg_quic_new(seed, &quic))
		return -1;
	fg_quic_on_lost(quic, count_lost, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fg_quic_free(&quic);
	return 0;
}

static struct fg_quic_path path_of(uint32_t client)
{
	struct fg_quic_path p = { .client = { [10] = 0xff, 0xff, 10 }, .server = { [15] = 1 } };

	memcpy(p.client + 13, &client, 3);
	p.client_port_be = (__be16)(client >> 8);
	p.server_port_be = 443;
	return p;
}

/* What the reader of TCP says about the same message. */
static struct fg_hello as_over_tcp(void)
{
	static uint8_t segment[FG_SEGMENT_MAX_BYTES + 8];
	struct fg_hello h;
	size_t n = fg_hello_records(message, n_message, NULL, 0, segment, sizeof(segment));

	fg_hello_begin(&h);
	fg_hello_segment(&h, (__u32)n);
	while (fg_hello_step(&h, (const __u64 *)seed, segment))
		;
	return h;
}

static void hex(const uint8_t *bytes, size_t n, char *text)
{
	for (size_t i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

/* --- Packets ---------------------------------------------------------------------------------- */

static void check_keys(enum fg_quic_version version, const char *key, const char *iv,
		       const char *hp)
{
	struct fg_quic_cid dcid = { .len = rfc_dcid.len };
	struct fg_quic_crypto *crypto;
	struct fg_quic_keys k;
	char text[64];

	memcpy(dcid.bytes, rfc_dcid.bytes, dcid.len);
	assert_int_equal(fg_quic_crypto_new(&crypto), 0);
	assert_int_equal(fg_quic_derive(crypto, version, &dcid, &k), 0);
	fg_quic_crypto_free(&crypto);
	hex(k.key, sizeof(k.key), text);
	assert_string_equal(text, key);
	hex(k.iv, sizeof(k.iv), text);
	assert_string_equal(text, iv);
	hex(k.hp, sizeof(k.hp), text);
	assert_string_equal(text, hp);
}

/* RFC 9001 appendix A.1, RFC 9369 appendix A.1. */
static void test_quic_derives_the_keys_of_the_rfcs(void **state)
{
	(void)state;
	check_keys(FG_QUIC_V1, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
		   "9f50449e04a0e810283a1e9933adedd2");
	check_keys(FG_QUIC_V2, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
		   "45b95e15235d6f45a6b19cbcb0294ba9");
}

static void from_hex(const char *text, uint8_t *to)
{
	for (size_t i = 0; text[2 * i]; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		to[i] = (uint8_t)byte;
	}
}

/* RFC 9001 appendix A.2: the builder writes its bytes, and they are read back. */
static void test_quic_reads_the_packet_of_the_rfc(void **state)
{
	static const char crypto[] =
		"060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b6948"
		"4c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a0008"
		"0006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2"
		"c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d001000"
		"0e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff"
		"05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";
	const struct fg_quic_initial initial = { .dcid = rfc_dcid, .number = 2, .n_number = 4 };
	const struct fg_quic_path path = path_of(1);
	struct fg_quic_frames frames = { .n = (sizeof(crypto) - 1) / 2 };
	uint8_t bytes[1500];
	char text[64];
	size_t n;

	(void)state;
	from_hex(crypto, frames.bytes);
	fg_quic_put_bytes(&frames, 0, 1162 - frames.n);
	n = fg_quic_build(&initial, &frames, bytes, sizeof(bytes));
	assert_int_equal(n, 1200);
	hex(bytes, 22, text);
	assert_string_equal(text, "c000000001088394c8f03e5157080000449e7b9aec34");
	hex(bytes + 22, 16, text);
	assert_string_equal(text, "d1b1c98dd7689fb8ec11d242b123dc9b");
	hex(bytes + n - 16, 16, text);
	assert_string_equal(text, "e221af44860018ab0856972e194cd934");
	assert_int_equal(fg_quic_datagram(quic, &path, S, bytes, n, &hello), FG_QUIC_HELLO);
	assert_int_equal(hello.n_ciphers, 2);
	assert_int_equal(hello.sni_len, 11);
	assert_memory_equal(hello.sni, "example.com", 11);
}

static void test_quic_numbers_have_four_lengths(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t n;
		uint64_t value;
	} rows[] = {
		/* RFC 9000 appendix A.1 */
		{ { 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c }, 8, 151288809941952652 },
		{ { 0x9d, 0x7f, 0x3e, 0x7d }, 4, 494878333 },
		{ { 0x7b, 0xbd }, 2, 15293 },
		{ { 0x25 }, 1, 37 },
		{ { 0x40, 0x25 }, 2, 37 },
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(fg_quic_varint(rows[i].bytes, 8, &value), rows[i].n);
		assert_int_equal(value, rows[i].value);
		assert_int_equal(fg_quic_varint(rows[i].bytes, rows[i].n - 1, &value), 0);
	}
}

/* --- Hellos ----------------------------------------------------------------------------------- */

struct piece {
	size_t off, n;
};

/* One datagram with these pieces of the message, in this order. */
static enum fg_quic_result send(const struct fg_quic_initial *initial, uint32_t client,
				const struct piece *pieces, size_t n_pieces)
{
	const struct fg_quic_path path = path_of(client);
	struct fg_quic_frames frames = { .n = 0 };
	uint8_t bytes[4096];
	size_t n;

	for (size_t i = 0; i < n_pieces; i++) {
		fg_quic_put_bytes(&frames, (uint8_t)(i & 1), 3); /* PADDING or PING between */
		fg_quic_put_crypto(&frames, pieces[i].off, message + pieces[i].off, pieces[i].n);
	}
	fg_quic_put_bytes(&frames, 0, 30);
	n = fg_quic_build(initial, &frames, bytes, sizeof(bytes));
	return fg_quic_datagram(quic, &path, S, bytes, n, &hello);
}

static void check_hello(void)
{
	const struct fg_hello h = as_over_tcp();

	assert_int_equal(h.result, FG_HELLO_COMPLETE);
	assert_int_equal(hello.result, FG_HELLO_COMPLETE);
	assert_true(hello.print == h.print && hello.stem == h.stem);
	assert_int_equal(hello.sni_len, h.sni_len);
	assert_memory_equal(hello.sni, h.sni, h.sni_len);
}

static void test_quic_reads_one_datagram_of_each_version(void **state)
{
	static const uint32_t versions[] = { FG_QUIC_NUMBER_1, FG_QUIC_NUMBER_2,
					     FG_QUIC_NUMBER_29 };

	(void)state;
	for (int v = 0; v < 3; v++) {
		const struct fg_quic_initial initial = { .version = versions[v],
							 .dcid = rfc_dcid,
							 .n_number = (uint8_t)(1 + v),
							 .n_token = (size_t)v * 9 };
		const struct piece all = { 0, n_message };

		assert_int_equal(send(&initial, (uint32_t)v, &all, 1), FG_QUIC_HELLO);
		check_hello();
	}
}

/* As a browser shuffles them: over two datagrams, any order, overlaps, the first byte last. */
static void test_quic_puts_pieces_in_order(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct piece first[] = { { 900, 300 }, { 10, 200 }, { 300, 100 } },
			   second[] = { { 1100, n_message - 1100 }, { 150, 800 }, { 0, 10 } };

	(void)state;
	assert_int_equal(send(&initial, 1, first, 3), FG_QUIC_MORE);
	assert_int_equal(fg_quic_waiting(quic), 1);
	assert_true(fg_quic_waiting_bytes(quic) > 0);
	/* the same again is nothing new */
	assert_int_equal(send(&initial, 1, first, 3), FG_QUIC_MORE);
	initial.number = 1;
	assert_int_equal(send(&initial, 1, second, 3), FG_QUIC_HELLO);
	check_hello();
	assert_int_equal(fg_quic_waiting_bytes(quic), 0);
	/* a connection has one hello */
	assert_int_equal(send(&initial, 1, second, 3), FG_QUIC_IGNORED);
}

/* Later Initials go to the server's connection ID, and keep the keys of the first. */
static void test_quic_keeps_keys_over_connection_ids(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 2 };
	const struct piece first = { 0, 800 }, second = { 800, n_message - 800 };

	(void)state;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_MORE);
	initial.key_of = &rfc_dcid;
	initial.dcid = (struct fg_quic_id){ 4, { 9, 9, 9, 9 } };
	initial.number = 1;
	assert_int_equal(send(&initial, 1, &second, 1), FG_QUIC_HELLO);
	check_hello();
}

/* RFC 9001 section 5.2: behind a Retry the keys are of the new ID, and the hello comes again. */
static void test_quic_follows_a_retry(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct piece first = { 0, 800 }, second = { 800, n_message - 800 };

	(void)state;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_MORE);
	initial.dcid = (struct fg_quic_id){ 8, { 7, 7, 7 } };
	initial.n_token = 40;
	initial.number = 1;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_MORE);
	assert_int_equal(lost[FG_INCOMPLETE_closed], 0);
	initial.number = 2;
	assert_int_equal(send(&initial, 1, &second, 1), FG_QUIC_HELLO);
	check_hello();
	assert_int_equal(fg_quic_waiting(quic), 1);
	/* another Retry: one hello is enough */
	initial.dcid.bytes[0] = 8;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_IGNORED);
	assert_int_equal(send(&initial, 1, &second, 1), FG_QUIC_IGNORED);
}

/* Another connection ID without a token is another connection of the same ports. */
static void test_quic_sees_a_port_used_again(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid };
	const struct piece first = { 0, 800 }, all = { 0, n_message };

	(void)state;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_MORE);
	initial.dcid.bytes[0]++;
	assert_int_equal(send(&initial, 1, &all, 1), FG_QUIC_HELLO);
	assert_int_equal(lost[FG_INCOMPLETE_closed], 1);
	initial.dcid.bytes[0]++;
	assert_int_equal(send(&initial, 1, &all, 1), FG_QUIC_HELLO);
}

/* Packets before and behind the Initial in one datagram are jumped over. */
static void test_quic_reads_coalesced_packets(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct fg_quic_path path = path_of(1);
	const struct piece halves[] = { { 0, 900 }, { 900, n_message - 900 } };
	uint8_t bytes[8192];
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct fg_quic_frames frames = { .n = 0 };

		fg_quic_put_crypto(&frames, halves[i].off, message + halves[i].off, halves[i].n);
		initial.number = i;
		n += fg_quic_build(&initial, &frames, bytes + n, sizeof(bytes) - n);
		/* 0-RTT with eleven bytes: type 1, length 11 */
		memcpy(bytes + n, "\xd0\0\0\0\1\0\0\x0b", 8);
		n += 8 + 11;
	}
	assert_int_equal(fg_quic_datagram(quic, &path, S, bytes, n, &hello), FG_QUIC_HELLO);
	check_hello();
}

/* --- Strangers -------------------------------------------------------------------------------- */

static void test_quic_does_not_read_what_no_key_opens(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct fg_quic_id other = { 1, { 1 } };
	const struct piece first = { 0, 800 }, second = { 800, n_message - 800 };

	(void)state;
	initial.key_of = &other;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_UNREADABLE);
	assert_int_equal(fg_quic_waiting(quic), 0);
	/* and one that comes between does not harm a connection */
	initial.key_of = NULL;
	assert_int_equal(send(&initial, 1, &first, 1), FG_QUIC_MORE);
	initial.key_of = &other;
	assert_int_equal(send(&initial, 1, &second, 1), FG_QUIC_UNREADABLE);
	initial.key_of = NULL;
	initial.number = 1;
	assert_int_equal(send(&initial, 1, &second, 1), FG_QUIC_HELLO);
	check_hello();
}

/* A datagram of one packet with these frames. */
static enum fg_quic_result send_frames(const struct fg_quic_frames *frames, uint32_t client)
{
	const struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct fg_quic_path path = path_of(client);
	uint8_t bytes[4096 + 64];
	size_t n = fg_quic_build(&initial, frames, bytes, sizeof(bytes));

	return fg_quic_datagram(quic, &path, S, bytes, n, &hello);
}

static void refuse(struct fg_quic_frames *frames, enum fg_incomplete reason)
{
	static uint32_t client = 1000;

	if (frames->n < 8)
		fg_quic_put_bytes(frames, 0, 8);
	assert_int_equal(send_frames(frames, client), FG_QUIC_FAILED);
	assert_int_equal(hello.result, FG_HELLO_FAILED);
	assert_int_equal(hello.reason, reason);
	/* and that is all that comes of the connection */
	assert_int_equal(send_frames(frames, client++), FG_QUIC_IGNORED);
}

static void test_quic_refuses_frames_that_lie(void **state)
{
	struct fg_quic_frames f = { .n = 0 };

	(void)state;
	fg_quic_put_crypto(&f, FG_QUIC_HELLO_BYTES, message, 1);
	refuse(&f, FG_INCOMPLETE_too_long);
	f.n = 0;
	fg_quic_put_crypto(&f, (1ULL << 61), message, 1);
	refuse(&f, FG_INCOMPLETE_too_long);
	f = (struct fg_quic_frames){ .bytes = { 0x06, 0x00, 0x44, 0xff, 1, 2, 3, 4 }, .n = 8 };
	refuse(&f, FG_INCOMPLETE_malformed); /* CRYPTO beyond the packet */
	f = (struct fg_quic_frames){
		.bytes = { 0x02, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 }, .n = 12
	};
	refuse(&f, FG_INCOMPLETE_malformed); /* ACK with 2^62 ranges */
	f = (struct fg_quic_frames){ .bytes = { 0x1c, 0, 0, 0 }, .n = 4 };
	refuse(&f, FG_INCOMPLETE_closed);
	f = (struct fg_quic_frames){ .bytes = { 0x08, 0, 1, 2 }, .n = 4 };
	refuse(&f, FG_INCOMPLETE_malformed); /* STREAM */
	f.n = 0;
	fg_quic_put_crypto(&f, 0, (const uint8_t *)"\2\0\0\4abcd", 8);
	refuse(&f, FG_INCOMPLETE_malformed); /* a ServerHello */
	f.n = 0;
	fg_quic_put_crypto(&f, 0, (const uint8_t *)"\1\0\x40\0abcd", 8);
	refuse(&f, FG_INCOMPLETE_too_long); /* a hello of 16 kB and 4 */
	f.n = 0;
	fg_quic_put_crypto(&f, 0, (const uint8_t *)"\1\0\0\4abcd", 8);
	refuse(&f, FG_INCOMPLETE_malformed); /* a hello without an inside */
}

/* Any prefix of a datagram is something: it is never read beyond its end (ASan looks). */
static void test_quic_reads_no_datagram_beyond_its_end(void **state)
{
	struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 4, .n_token = 20 };
	const struct fg_quic_path path = path_of(1);
	struct fg_quic_frames frames = { .n = 0 };
	uint8_t bytes[4096], *copy;
	size_t n;

	(void)state;
	fg_quic_put_crypto(&frames, 0, message, n_message);
	n = fg_quic_build(&initial, &frames, bytes, sizeof(bytes));
	for (size_t k = 0; k < n; k++) {
		copy = malloc(k ? k : 1);
		assert_non_null(copy);
		memcpy(copy, bytes, k);
		assert_true(fg_quic_datagram(quic, &path, S, copy, k, &hello) <=
			    FG_QUIC_UNREADABLE);
		free(copy);
	}
	assert_int_equal(fg_quic_datagram(quic, &path, S, bytes, n, &hello), FG_QUIC_HELLO);
}

static void test_quic_bounds_what_waits(void **state)
{
	const struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct piece first = { 0, 800 };
	const uint32_t more = 100;

	(void)state;
	for (uint32_t i = 0; i < FG_QUIC_WAITING + more; i++)
		assert_int_equal(send(&initial, i, &first, 1), FG_QUIC_MORE);
	assert_true(fg_quic_waiting(quic) <= FG_QUIC_WAITING);
	assert_true(fg_quic_waiting_bytes(quic) <= FG_QUIC_WAITING_BYTES);
	assert_int_equal(lost[FG_INCOMPLETE_table_full] + fg_quic_waiting(quic),
			 FG_QUIC_WAITING + more);
	fg_quic_expire(quic, S + FG_QUIC_TIMEOUT_NS - 1);
	assert_int_equal(lost[FG_INCOMPLETE_timeout], 0);
	fg_quic_expire(quic, S + FG_QUIC_TIMEOUT_NS);
	assert_int_equal(fg_quic_waiting(quic), 0);
	assert_int_equal(fg_quic_waiting_bytes(quic), 0);
	assert_int_equal(lost[FG_INCOMPLETE_table_full] + lost[FG_INCOMPLETE_timeout],
			 FG_QUIC_WAITING + more);
}

static void test_quic_gives_up_at_the_end(void **state)
{
	const struct fg_quic_initial initial = { .dcid = rfc_dcid, .n_number = 1 };
	const struct piece first = { 0, 800 }, all = { 0, n_message };

	(void)state;
	send(&initial, 1, &first, 1);
	send(&initial, 2, &all, 1);
	fg_quic_give_up(quic, FG_INCOMPLETE_end);
	assert_int_equal(lost[FG_INCOMPLETE_end], 1);
	assert_int_equal(fg_quic_waiting(quic), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_quic_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(derives_the_keys_of_the_rfcs),
		T(reads_the_packet_of_the_rfc),
		T(numbers_have_four_lengths),
		T(reads_one_datagram_of_each_version),
		T(puts_pieces_in_order),
		T(keeps_keys_over_connection_ids),
		T(follows_a_retry),
		T(sees_a_port_used_again),
		T(reads_coalesced_packets),
		T(does_not_read_what_no_key_opens),
		T(refuses_frames_that_lie),
		T(reads_no_datagram_beyond_its_end),
		T(bounds_what_waits),
		T(gives_up_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
