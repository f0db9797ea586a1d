/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate/hello.h and fingerprint.h: cuts anywhere, keys against the description, damage, caps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hello.h"
#include "hello_build.h"

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define STREAM_MAX (FG_HELLO_BUILD_MAX * 2)

static const __u64 seed[4] = { 0x0123456789abcdef, 0xfedcba9876543210, 0x5555aaaa3333cccc,
			       0x1111222244448888 };

/* Reads one segment out of a buffer as large as the contract asks for, garbage behind it. */
static void feed(struct fg_hello *h, const uint8_t *bytes, size_t n, uint8_t garbage)
{
	uint8_t *buf;

	assert_in_range(n, 0, FG_SEGMENT_MAX_BYTES);
	buf = malloc(FG_SEGMENT_MAX_BYTES + 8);
	assert_non_null(buf);
	memset(buf, garbage, FG_SEGMENT_MAX_BYTES + 8);
	memcpy(buf, bytes, n);
	fg_hello_segment(h, (__u32)n);
	if (h->result == FG_HELLO_MORE)
		while (fg_hello_step(h, seed, buf))
			;
	free(buf);
}

/* The stream in segments that end at the given positions. */
static void read_cut(struct fg_hello *h, const uint8_t *stream, size_t len, const size_t *cuts,
		     size_t n_cuts)
{
	size_t from = 0, to;

	memset(h, 0xee, sizeof(*h));
	fg_hello_begin(h);
	for (size_t i = 0; i <= n_cuts && h->result == FG_HELLO_MORE; i++) {
		to = i < n_cuts ? cuts[i] : len;
		feed(h, stream + from, to - from, (uint8_t)(i * 37));
		from = to;
	}
}

static void read_whole(struct fg_hello *h, const uint8_t *stream, size_t len)
{
	read_cut(h, stream, len, NULL, 0);
}

static void read_desc(struct fg_hello *h, const struct fg_hello_desc *d)
{
	uint8_t stream[STREAM_MAX];

	read_whole(h, stream, fg_hello_stream(d, stream, sizeof(stream)));
}

static void assert_complete(const struct fg_hello *h)
{
	if (h->result != FG_HELLO_COMPLETE)
		fail_msg("result %d, reason %d, state %d", h->result, h->reason, h->state);
}

static void assert_failed(const struct fg_hello *h, enum fg_incomplete reason)
{
	assert_int_equal(h->result, FG_HELLO_FAILED);
	assert_int_equal(h->reason, reason);
}

/* Everything that was gathered, parser state left out. */
static void assert_same(const struct fg_hello *a, const struct fg_hello *b)
{
	assert_complete(b);
	assert_true(a->print == b->print);
	assert_true(a->stem == b->stem);
	assert_true(a->order_fold == b->order_fold);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->legacy_version, b->legacy_version);
	assert_int_equal(a->n_ciphers, b->n_ciphers);
	assert_int_equal(a->n_exts, b->n_exts);
	assert_int_equal(a->n_stem_exts, b->n_stem_exts);
	assert_int_equal(a->n_sigalgs, b->n_sigalgs);
	assert_int_equal(a->sni_len, b->sni_len);
	assert_int_equal(a->alpn_len, b->alpn_len);
	assert_int_equal(a->alpn_first, b->alpn_first);
	assert_int_equal(a->alpn_last, b->alpn_last);
	assert_memory_equal(a->sni, b->sni, a->sni_len);
	assert_memory_equal(a->ciphers, b->ciphers, a->n_ciphers * sizeof(a->ciphers[0]));
	assert_memory_equal(a->exts, b->exts, a->n_exts * sizeof(a->exts[0]));
	assert_memory_equal(a->sigalgs, b->sigalgs, a->n_sigalgs * sizeof(a->sigalgs[0]));
}

static void (*const clients[])(struct fg_hello_desc *,
			       const char *) = { fg_hello_browser, fg_hello_browser_plain,
						 fg_hello_tool, fg_hello_library, fg_hello_tls12 };

/* A client with a ticket to resume with: every field there is. */
static void full_client(struct fg_hello_desc *d, size_t i)
{
	clients[i](d, "a-rather-long-name.api.example.com");
	fg_hello_add_ext(d, 0x002c);
	fg_hello_add_ext(d, 0x002a);
	fg_hello_add_ext(d, 0x0029);
}

/* --- Cuts ------------------------------------------------------------------------------------- */

static void test_hello_cut_at_every_byte_gives_the_same(void **state)
{
	uint8_t stream[STREAM_MAX];
	struct fg_hello whole, cut;
	struct fg_hello_desc d;

	(void)state;
	for (size_t i = 0; i < COUNT(clients); i++) {
		size_t len;

		full_client(&d, i);
		len = fg_hello_stream(&d, stream, sizeof(stream));
		read_whole(&whole, stream, len);
		assert_complete(&whole);
		assert_int_equal(whole.pos, len);
		for (size_t at = 0; at < len; at++) {
			read_cut(&cut, stream, len, &at, 1);
			assert_same(&whole, &cut);
		}
	}
}

static void test_hello_byte_by_byte_gives_the_same(void **state)
{
	static size_t cuts[STREAM_MAX];
	uint8_t stream[STREAM_MAX];
	struct fg_hello whole, cut;
	struct fg_hello_desc d;

	(void)state;
	for (size_t i = 0; i < COUNT(cuts); i++)
		cuts[i] = i;
	for (size_t i = 0; i < COUNT(clients); i++) {
		size_t len;

		full_client(&d, i);
		len = fg_hello_stream(&d, stream, sizeof(stream));
		read_whole(&whole, stream, len);
		read_cut(&cut, stream, len, cuts, len);
		assert_same(&whole, &cut);
	}
}

/* Two records, cut at every byte of the message, the four-byte handshake header included. */
static void test_hello_record_cut_at_every_byte_gives_the_same(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	struct fg_hello whole, cut;
	struct fg_hello_desc d;

	(void)state;
	for (size_t i = 0; i < COUNT(clients); i++) {
		size_t len;

		full_client(&d, i);
		len = fg_hello_build(&d, msg);
		read_desc(&whole, &d);
		for (size_t at = 1; at < len; at++) {
			read_whole(&cut, stream,
				   fg_hello_records(msg, len, &at, 1, stream, sizeof(stream)));
			assert_same(&whole, &cut);
		}
	}
}

static size_t random_cuts(struct fg_prng *r, size_t len, size_t *ret_cuts, size_t max)
{
	size_t n = 0, at = 0;

	while (n < max) {
		at += fg_prng_below(r, 4) ? fg_prng_below(r, 12) : fg_prng_below(r, 600);
		if (at >= len)
			break;
		ret_cuts[n++] = at;
	}
	return n;
}

static void test_hello_random_records_and_segments_give_the_same(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	struct fg_hello whole, cut;
	struct fg_prng r = { 7 };
	struct fg_hello_desc d;
	size_t cuts[64];

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		size_t len, n;

		full_client(&d, i % COUNT(clients));
		fg_hello_again(&d, &r);
		len = fg_hello_build(&d, msg);
		read_desc(&whole, &d);
		n = random_cuts(&r, len, cuts, COUNT(cuts));
		len = fg_hello_records(msg, len, cuts, n, stream, sizeof(stream));
		n = random_cuts(&r, len, cuts, COUNT(cuts));
		read_cut(&cut, stream, len, cuts, n);
		assert_same(&whole, &cut);
	}
}

static void test_hello_unfinished_asks_for_more(void **state)
{
	uint8_t stream[STREAM_MAX];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len;

	(void)state;
	full_client(&d, 0);
	len = fg_hello_stream(&d, stream, sizeof(stream));
	for (size_t n = 0; n < len; n++) {
		read_whole(&h, stream, n);
		assert_int_equal(h.result, FG_HELLO_MORE);
	}
}

static void test_hello_ends_where_the_message_ends(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len, end;

	(void)state;
	fg_hello_library(&d, "a.example");
	end = fg_hello_stream(&d, stream, sizeof(stream));
	memset(stream + end, 0x17, 100);
	read_whole(&h, stream, end + 100);
	assert_complete(&h);
	assert_int_equal(h.pos, end);
	assert_int_equal(h.rec_left, 0);
	/* another message in the same record */
	len = fg_hello_build(&d, msg);
	memset(msg + len, 0, 50);
	read_whole(&h, stream, fg_hello_records(msg, len + 50, NULL, 0, stream, sizeof(stream)));
	assert_complete(&h);
	assert_int_equal(h.pos, end);
	assert_int_equal(h.rec_left, 50);
}

/* --- Keys ------------------------------------------------------------------------------------- */

#define MANY 700

struct many {
	struct {
		__u64 print, stem;
		char ja4[600], stem_text[600];
	} one[MANY];
};

/* Equal key if and only if equal text, over all pairs of descriptions that often nearly agree. */
static void test_hello_keys_are_equal_when_the_texts_are(void **state)
{
	static char text[FG_HELLO_CANON_MAX];
	static struct many m;
	size_t same_print = 0, same_stem_only = 0;
	struct fg_prng r = { 11 };
	struct fg_hello_desc d;
	struct fg_hello h;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		fg_hello_random(&d, &r);
		read_desc(&h, &d);
		assert_complete(&h);
		m.one[i].print = h.print;
		m.one[i].stem = h.stem;
		fg_hello_canon(&d, false, text);
		assert_true(strlen(text) < sizeof(m.one[i].ja4));
		strcpy(m.one[i].ja4, text);
		fg_hello_canon(&d, true, text);
		strcpy(m.one[i].stem_text, text);
	}
	for (size_t i = 0; i < MANY; i++) {
		for (size_t j = 0; j < i; j++) {
			bool print = !strcmp(m.one[i].ja4, m.one[j].ja4);
			bool stem = !strcmp(m.one[i].stem_text, m.one[j].stem_text);

			if ((m.one[i].print == m.one[j].print) != print)
				fail_msg("%s and %s", m.one[i].ja4, m.one[j].ja4);
			if ((m.one[i].stem == m.one[j].stem) != stem)
				fail_msg("stems %s and %s", m.one[i].stem_text, m.one[j].stem_text);
			same_print += print;
			same_stem_only += stem && !print;
			assert_true(m.one[i].print != m.one[j].stem);
		}
	}
	/* the comparison has seen both answers */
	assert_in_range(same_print, 20, MANY * MANY / 4);
	assert_in_range(same_stem_only, 20, MANY * MANY / 4);
}

static void test_hello_grease_and_order_do_not_change_keys(void **state)
{
	struct fg_hello first, again;
	size_t other_order = 0;
	struct fg_prng r = { 13 };
	struct fg_hello_desc d;

	(void)state;
	for (size_t i = 0; i < COUNT(clients); i++) {
		clients[i](&d, "a.example");
		read_desc(&first, &d);
		for (unsigned int n = 0; n < 100; n++) {
			fg_hello_again(&d, &r);
			read_desc(&again, &d);
			assert_complete(&again);
			assert_true(first.print == again.print);
			assert_true(first.stem == again.stem);
			assert_int_equal(first.flags, again.flags);
			other_order += first.order_fold != again.order_fold;
		}
	}
	assert_in_range(other_order, 400, 500);
}

static void test_hello_resumption_keeps_the_stem(void **state)
{
	static const uint16_t fleeting[] = { 0x0015, 0x0023, 0x0029, 0x002a, 0x002c };
	struct fg_hello first, again;
	struct fg_hello_desc d;

	(void)state;
	for (size_t i = 0; i < COUNT(fleeting); i++) {
		fg_hello_library(&d, "a.example");
		read_desc(&first, &d);
		fg_hello_add_ext(&d, fleeting[i]);
		read_desc(&again, &d);
		assert_complete(&again);
		assert_true(first.print != again.print);
		assert_true(first.stem == again.stem);
	}
	fg_hello_library(&d, "a.example");
	fg_hello_add_ext(&d, 0x0022); /* an ordinary one */
	read_desc(&again, &d);
	assert_true(first.stem != again.stem);
}

static void test_hello_seed_changes_keys(void **state)
{
	static const __u64 other[4] = { 1, 2, 3, 4 };
	uint8_t stream[FG_SEGMENT_MAX_BYTES + 8];
	struct fg_hello_desc d;
	struct fg_hello a, b;

	(void)state;
	fg_hello_library(&d, "a.example");
	read_desc(&a, &d);
	fg_hello_begin(&b);
	fg_hello_segment(&b, (__u32)fg_hello_stream(&d, stream, sizeof(stream)));
	while (fg_hello_step(&b, other, stream))
		;
	assert_complete(&b);
	assert_true(a.print != b.print);
	assert_true(a.stem != b.stem);
}

/* --- Fields ----------------------------------------------------------------------------------- */

static void test_hello_fields_are_those_of_the_description(void **state)
{
	struct fg_hello_desc d;
	struct fg_hello h;

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	read_desc(&h, &d);
	assert_complete(&h);
	assert_int_equal(h.legacy_version, 0x0303);
	assert_int_equal(h.version, 0x0304);
	assert_int_equal(h.n_ciphers, d.n_ciphers - 1);
	assert_int_equal(h.n_exts, d.n_exts - 2);
	assert_int_equal(h.n_stem_exts, d.n_exts - 3);
	assert_int_equal(h.n_sigalgs, d.n_sigalgs - 1);
	assert_int_equal(h.sni_len, 15);
	assert_memory_equal(h.sni, "api.example.com", 15);
	assert_int_equal(h.alpn_len, 2);
	assert_int_equal(h.alpn_first, 'h');
	assert_int_equal(h.alpn_last, '2');
	assert_int_equal(h.flags, FG_HELLO_SNI | FG_HELLO_ECH | FG_HELLO_PQ | FG_HELLO_GREASE |
					  FG_HELLO_VERSIONS | FG_HELLO_ALPN);
	assert_memory_equal(h.ciphers, d.ciphers + 1, h.n_ciphers * sizeof(h.ciphers[0]));
	assert_memory_equal(h.sigalgs, d.sigalgs + 1, h.n_sigalgs * sizeof(h.sigalgs[0]));
}

static void test_hello_flags_follow_extensions(void **state)
{
	struct fg_hello_desc d;
	struct fg_hello h;

	(void)state;
	fg_hello_tls12(&d, NULL);
	read_desc(&h, &d);
	assert_complete(&h);
	assert_int_equal(h.flags, 0);
	d.ticket_len = 100;
	fg_hello_add_ext(&d, 0x002a);
	fg_hello_add_ext(&d, 0x0029);
	read_desc(&h, &d);
	assert_complete(&h);
	assert_int_equal(h.flags, FG_HELLO_TICKET | FG_HELLO_EARLY | FG_HELLO_RESUMED);
}

/* A name of every length: up to RFC 1035's limit it is kept, beyond it is left out, and neither
 * changes a key. */
static void test_hello_name_lengths(void **state)
{
	char name[400];
	struct fg_hello_desc d;
	struct fg_hello first, h;

	(void)state;
	fg_hello_library(&d, "a");
	read_desc(&first, &d);
	for (size_t n = 1; n < sizeof(name); n++) {
		for (size_t i = 0; i < n; i++)
			name[i] = (char)('a' + i % 26);
		name[n] = '\0';
		d.sni = name;
		read_desc(&h, &d);
		assert_complete(&h);
		assert_true(h.print == first.print);
		assert_int_equal(h.sni_len, n < FG_MAX_SNI ? n : 0);
		assert_memory_equal(h.sni, name, h.sni_len);
	}
}

static void test_hello_without_extensions(void **state)
{
	struct fg_hello_desc d = { .legacy_version = 0x0301,
				   .ciphers = { 0x002f },
				   .n_ciphers = 1 };
	struct fg_hello h;

	(void)state;
	for (int i = 0; i < 2; i++) {
		d.no_exts = i;
		read_desc(&h, &d);
		assert_complete(&h);
		assert_int_equal(h.n_exts, 0);
		assert_int_equal(h.n_ciphers, 1);
	}
}

/* --- Not a hello, and damage ------------------------------------------------------------------ */

static void test_hello_other_streams_are_not_hellos(void **state)
{
	static const struct {
		uint8_t bytes[12];
	} others[] = {
		{ "GET / HTTP/" },
		{ "SSH-2.0-Ope" },
		{ { 0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10 } }, /* SSLv2 form */
		{ { 23, 3, 3, 0, 60, 1, 0, 0, 50 } },
		{ { 22, 2, 3, 0, 60, 1, 0, 0, 50 } },
		{ { 22, 3, 1, 0, 60, 2, 0, 0, 50 } }, /* ServerHello */
		{ { 22, 3, 1, 0, 0, 1, 0, 0, 50 } },
		{ { 22, 3, 1, 0xff, 0xff, 1, 0, 0, 50 } },
	};
	struct fg_hello h;

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		read_whole(&h, others[i].bytes, sizeof(others[i].bytes));
		if (h.result != FG_HELLO_NOT)
			fail_msg("stream %zu: result %d", i, h.result);
	}
}

static void test_hello_record_of_another_kind_inside_is_malformed(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len, at;

	(void)state;
	fg_hello_library(&d, "a.example");
	len = fg_hello_build(&d, msg);
	for (at = 1; at < len; at++) {
		size_t n = fg_hello_records(msg, len, &at, 1, stream, sizeof(stream));

		stream[5 + at] = 23;
		read_whole(&h, stream, n);
		assert_failed(&h, FG_INCOMPLETE_malformed);
		stream[5 + at] = 22;
		stream[5 + at + 3] = stream[5 + at + 4] = 0;
		read_whole(&h, stream, n);
		assert_failed(&h, FG_INCOMPLETE_malformed);
	}
}

/* Position in the message of an extension's type. */
static size_t find_ext(const uint8_t *msg, size_t len, const struct fg_hello_desc *d, uint16_t type)
{
	size_t at = 4 + 2 + 32 + 1 + d->session_id_len + 2 + d->n_ciphers * 2 + 2 + 2;

	while (at < len && fg_load_be16(msg + at) != type)
		at += 4u + fg_load_be16(msg + at + 2);
	assert_in_range(at, 1, len - 4);
	return at;
}

/* One byte changed: the length fields that must add up, each too long by the given amount. */
static void test_hello_lengths_that_do_not_add_up_are_malformed(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len, n, places[12];

	(void)state;
	fg_hello_browser(&d, "api.example.com");
	len = fg_hello_build(&d, msg);
	n = 0;
	places[n++] = 3; /* message */
	places[n++] = 4 + 2 + 32; /* session id */
	places[n++] = 4 + 2 + 32 + 1 + 32 + 1; /* ciphers */
	places[n++] = 4 + 2 + 32 + 1 + 32 + 2 + d.n_ciphers * 2; /* compression */
	places[n++] = find_ext(msg, len, &d, d.exts[0]) - 1; /* extensions */
	places[n++] = find_ext(msg, len, &d, d.exts[d.n_exts - 1]) + 3; /* last extension */
	places[n++] = find_ext(msg, len, &d, 0x0000) + 4 + 4; /* name */
	places[n++] = find_ext(msg, len, &d, 0x0010) + 4 + 2; /* first ALPN name */
	places[n++] = find_ext(msg, len, &d, 0x002b) + 4; /* versions */
	places[n++] = find_ext(msg, len, &d, 0x000d) + 4 + 1; /* signature algorithms */
	places[n++] = find_ext(msg, len, &d, 0x0033) + 4; /* shares */
	places[n++] = find_ext(msg, len, &d, 0x0033) + 4 + 2 + 2; /* first share */
	for (size_t i = 0; i < n; i++) {
		uint8_t was = msg[places[i]];

		msg[places[i]] = 0xf1;
		assert_int_not_equal(was, 0xf1);
		/* the message's own length is larger then: more bytes follow */
		read_whole(&h, stream,
			   fg_hello_records(msg, len + 300, NULL, 0, stream, sizeof(stream)));
		if (h.result != FG_HELLO_FAILED || h.reason != FG_INCOMPLETE_malformed)
			fail_msg("place %zu: result %d, reason %d", i, h.result, h.reason);
		msg[places[i]] = was;
	}
}

/* A message that ends before its contents do: at every length, never complete. */
static void test_hello_message_too_short_is_malformed(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len, no_exts;

	(void)state;
	fg_hello_tool(&d, "api.example.com");
	len = fg_hello_build(&d, msg);
	/* this short it is a whole hello without extensions */
	no_exts = 2 + 32 + 1 + 32 + 2 + d.n_ciphers * 2 + 2;
	for (size_t n = 0; n < len - 4; n++) {
		msg[2] = (uint8_t)(n >> 8);
		msg[3] = (uint8_t)n;
		read_whole(&h, stream, fg_hello_records(msg, len, NULL, 0, stream, sizeof(stream)));
		if (n == no_exts)
			assert_complete(&h);
		else
			assert_failed(&h, FG_INCOMPLETE_malformed);
	}
}

/* Any damage: an answer, lists within their caps, and the same answer however it is cut. */
static void test_hello_damage_gives_one_answer(void **state)
{
	uint8_t msg[FG_HELLO_BUILD_MAX], stream[STREAM_MAX];
	unsigned int results[4] = { 0 };
	struct fg_hello whole, cut;
	struct fg_prng r = { 17 };
	struct fg_hello_desc d;
	size_t cuts[64], len, n;

	(void)state;
	for (unsigned int i = 0; i < 6000; i++) {
		clients[i % COUNT(clients)](&d, "api.example.com");
		len = fg_hello_build(&d, msg);
		len = fg_hello_records(msg, len, NULL, 0, stream, sizeof(stream));
		for (n = 1 + fg_prng_below(&r, 3); n; n--)
			stream[fg_prng_below(&r, fg_prng_below(&r, 8) ? (uint32_t)len : 12)] =
				(uint8_t)fg_prng_next(&r);
		read_whole(&whole, stream, len);
		read_cut(&cut, stream, len, cuts, random_cuts(&r, len, cuts, COUNT(cuts)));
		results[whole.result]++;
		assert_int_equal(whole.result, cut.result);
		if (whole.result == FG_HELLO_COMPLETE)
			assert_same(&whole, &cut);
		if (whole.result == FG_HELLO_FAILED)
			assert_int_equal(whole.reason, cut.reason);
		assert_in_range(whole.n_ciphers, 0, FG_MAX_CIPHERS);
		assert_in_range(whole.n_exts, 0, FG_MAX_EXTS);
		assert_in_range(whole.n_sigalgs, 0, FG_MAX_SIGALGS);
	}
	assert_in_range(results[FG_HELLO_COMPLETE], 100, 6000);
	assert_in_range(results[FG_HELLO_FAILED], 100, 6000);
	assert_in_range(results[FG_HELLO_NOT], 100, 6000);
}

/* --- Caps ------------------------------------------------------------------------------------- */

static void test_hello_cipher_cap(void **state)
{
	struct fg_hello_desc d;
	struct fg_hello h;

	(void)state;
	fg_hello_library(&d, "a.example");
	for (size_t i = 0; i < COUNT(d.ciphers); i++)
		d.ciphers[i] = (uint16_t)i;
	d.n_ciphers = FG_MAX_CIPHERS;
	read_desc(&h, &d);
	assert_complete(&h);
	assert_int_equal(h.n_ciphers, FG_MAX_CIPHERS);
	d.n_ciphers++;
	read_desc(&h, &d);
	assert_failed(&h, FG_INCOMPLETE_too_many);
	d.ciphers[7] = 0x0a0a; /* GREASE takes no place */
	read_desc(&h, &d);
	assert_complete(&h);
}

static void test_hello_extension_cap(void **state)
{
	struct fg_hello_desc d;
	struct fg_hello h;

	(void)state;
	fg_hello_library(&d, "a.example");
	for (d.n_exts = 0; d.n_exts < FG_MAX_EXTS; d.n_exts++)
		d.exts[d.n_exts] = (uint16_t)(0x0100 + d.n_exts);
	read_desc(&h, &d);
	assert_complete(&h);
	assert_int_equal(h.n_exts, FG_MAX_EXTS);
	d.exts[d.n_exts++] = 0x0300;
	read_desc(&h, &d);
	assert_failed(&h, FG_INCOMPLETE_too_many);
}

static void test_hello_signature_algorithm_cap(void **state)
{
	struct fg_hello_desc d;
	struct fg_hello h;

	(void)state;
	fg_hello_library(&d, "a.example");
	for (d.n_sigalgs = 0; d.n_sigalgs < FG_MAX_SIGALGS; d.n_sigalgs++)
		d.sigalgs[d.n_sigalgs] = (uint16_t)(0x0401 + d.n_sigalgs);
	read_desc(&h, &d);
	assert_complete(&h);
	d.sigalgs[d.n_sigalgs++] = 0x0807;
	read_desc(&h, &d);
	assert_failed(&h, FG_INCOMPLETE_too_many);
}

/* What is jumped over may be long, what is read may not. */
static void test_hello_length_cap(void **state)
{
	static uint8_t stream[FG_HELLO_BUILD_MAX + 5];
	static size_t cuts[64];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len, n = 0;

	(void)state;
	fg_hello_library(&d, "a.example");
	fg_hello_add_ext(&d, 0x0015);
	d.padding_len = 15000;
	len = fg_hello_stream(&d, stream, sizeof(stream));
	assert_true(len > FG_HELLO_MAX_BYTES + 6000);
	for (size_t at = 1000; at < len; at += 1000)
		cuts[n++] = at;
	read_cut(&h, stream, len, cuts, n);
	assert_complete(&h);
	assert_in_range(h.total, 1, 1000);
	/* the length field itself: 2^17, and one more */
	stream[6] = FG_HELLO_MAX_MESSAGE >> 16;
	stream[7] = stream[8] = 0;
	read_cut(&h, stream, 12, NULL, 0);
	assert_int_equal(h.result, FG_HELLO_MORE);
	stream[8] = 1;
	read_cut(&h, stream, 12, NULL, 0);
	assert_failed(&h, FG_INCOMPLETE_too_long);
}

/* Two thousand empty key shares fit the lengths, but are not read to their end. */
static void test_hello_reading_cap(void **state)
{
	static uint8_t stream[24000];
	static const size_t cuts[] = { 2000, 4000, 6000, 8000, 10000, 12000 };
	const size_t shares = 16000, body = 2 + 32 + 1 + 2 + 2 + 2 + 2 + 4 + 2 + shares;
	struct fg_hello h;
	uint8_t *p = stream;

	(void)state;
#define PUT16(v) (*p++ = (uint8_t)((v) >> 8), *p++ = (uint8_t)(v))
	*p++ = 22;
	PUT16(0x0301);
	PUT16(body + 4);
	*p++ = 1;
	*p++ = 0;
	PUT16(body);
	PUT16(0x0303);
	p += 32 + 1;
	PUT16(2);
	PUT16(0x1301);
	PUT16(0x0100); /* one compression method */
	PUT16(4 + 2 + shares);
	PUT16(0x0033);
	PUT16(2 + shares);
	PUT16(shares);
	for (size_t i = 0; i < shares; i += 4)
		p[i + 1] = 29;
	p += shares;
	read_cut(&h, stream, (size_t)(p - stream), cuts, 6);
	assert_failed(&h, FG_INCOMPLETE_too_long);
	assert_in_range(h.total, FG_HELLO_MAX_BYTES, FG_HELLO_MAX_BYTES + 2000);
}

/* Records of one byte each make six bytes out of one: what is followed stays bounded. */
static void test_hello_record_overhead_is_bounded(void **state)
{
	static size_t cuts[FG_HELLO_BUILD_MAX], segments[64];
	static uint8_t msg[FG_HELLO_BUILD_MAX], stream[FG_HELLO_BUILD_MAX * 6];
	struct fg_hello_desc d;
	struct fg_hello h;
	size_t len, n;

	(void)state;
	fg_hello_library(&d, "a.example");
	fg_hello_add_ext(&d, 0x0015);
	d.padding_len = 6000;
	len = fg_hello_build(&d, msg);
	for (size_t i = 0; i < len; i++)
		cuts[i] = i + 1;
	len = fg_hello_records(msg, len, cuts, len, stream, sizeof(stream));
	for (n = 0; (n + 1) * 1000 < len; n++)
		segments[n] = (n + 1) * 1000;
	read_cut(&h, stream, len, segments, n);
	assert_failed(&h, FG_INCOMPLETE_too_long);
	assert_in_range(h.total, FG_HELLO_MAX_BYTES, FG_HELLO_MAX_BYTES + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_cut_at_every_byte_gives_the_same),
		cmocka_unit_test(test_hello_byte_by_byte_gives_the_same),
		cmocka_unit_test(test_hello_record_cut_at_every_byte_gives_the_same),
		cmocka_unit_test(test_hello_random_records_and_segments_give_the_same),
		cmocka_unit_test(test_hello_unfinished_asks_for_more),
		cmocka_unit_test(test_hello_ends_where_the_message_ends),
		cmocka_unit_test(test_hello_keys_are_equal_when_the_texts_are),
		cmocka_unit_test(test_hello_grease_and_order_do_not_change_keys),
		cmocka_unit_test(test_hello_resumption_keeps_the_stem),
		cmocka_unit_test(test_hello_seed_changes_keys),
		cmocka_unit_test(test_hello_fields_are_those_of_the_description),
		cmocka_unit_test(test_hello_flags_follow_extensions),
		cmocka_unit_test(test_hello_name_lengths),
		cmocka_unit_test(test_hello_without_extensions),
		cmocka_unit_test(test_hello_other_streams_are_not_hellos),
		cmocka_unit_test(test_hello_record_of_another_kind_inside_is_malformed),
		cmocka_unit_test(test_hello_lengths_that_do_not_add_up_are_malformed),
		cmocka_unit_test(test_hello_message_too_short_is_malformed),
		cmocka_unit_test(test_hello_damage_gives_one_answer),
		cmocka_unit_test(test_hello_cipher_cap),
		cmocka_unit_test(test_hello_extension_cap),
		cmocka_unit_test(test_hello_signature_algorithm_cap),
		cmocka_unit_test(test_hello_length_cap),
		cmocka_unit_test(test_hello_reading_cap),
		cmocka_unit_test(test_hello_record_overhead_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
