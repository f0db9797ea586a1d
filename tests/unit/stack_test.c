/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate/stack.h and model/stack: each field of a SYN in its place, and a text of its own for
 * each stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/stack.h"
#include "model/family.h"
#include "model/stack.h"
#include "packet.h"

#define COUNT(a)     (sizeof(a) / sizeof((a)[0]))
#define OPTIONS(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

/* mss 1460, sack, timestamps, nop, window scale 7: Linux */
#define LINUX OPTIONS(2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7)

struct syn {
	bool v6;
	uint8_t ttl, flags;
	uint16_t window;
	bool may_fragment;
	const uint8_t *options;
	size_t n_options;
};

/* Through a frame, as in the sensor; what lies behind the options is garbage. */
static uint64_t stack_of(const struct syn *s)
{
	struct fg_end from = fg_end_of(s->v6 ? "2001:db8::1" : "192.0.2.1", 1);
	struct fg_end to = fg_end_of(s->v6 ? "2001:db8::2" : "192.0.2.2", 443);
	struct fg_pkt_ip ip = { .ttl = s->ttl, .may_fragment = s->may_fragment };
	struct fg_pkt *p = fg_pkt_new();
	uint8_t options[64];
	uint32_t ts_at;
	struct fg_frame f = { 0 };

	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, &ip);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .flags = FG_PKT_SYN | s->flags,
					    .window = s->window,
					    .options = s->options,
					    .options_len = s->n_options });
	fg_pkt_end(p);
	assert_int_equal(fg_frame_parse(p->buf, p->buf + p->len, (uint32_t)p->len, &f),
			 FG_FRAME_OK);
	memset(options, 0xff, sizeof(options));
	memcpy(options, p->buf + f.l4_off + 20, f.options_len);
	fg_pkt_free(p);
	return fg_stack_of_syn(&f, options, &ts_at);
}

static void test_stack_texts_of_known_syns(void **state)
{
	const struct {
		const char *text;
		struct syn syn;
	} known[] = {
		{ "64:64240:mss1460:ws7:mss,sack,ts,nop,ws:df",
		  { false, 57, 0, 64240, false, LINUX } },
		{ "64:64240:mss1460:ws7:mss,sack,ts,nop,ws:df",
		  { true, 64, 0, 64240, false, LINUX } },
		{ "64:64240:mss1460:ws7:mss,sack,ts,nop,ws", { false, 33, 0, 64240, true, LINUX } },
		{ "64:64240:mss1460:ws7:mss,sack,ts,nop,ws:df:ecn",
		  { false, 64, FG_PKT_ECE | FG_PKT_CWR, 64240, false, LINUX } },
		{ "64:64240:mss1460:ws7:mss,sack,ts,nop,ws:df",
		  { false, 64, FG_PKT_ECE, 64240, false, LINUX } },
		{ "128:65535:mss1460:ws8:mss,nop,ws,nop,nop,sack:df",
		  { false, 117, 0, 65535, false, OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2) } },
		{ "64:65535:mss1460:ws6:mss,nop,ws,nop,nop,ts,sack,eol:df",
		  { false, 64, 0, 65535, false,
		    OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 4, 2, 0,
			    0) } },
		{ "255:1024:mss1460:ws-:mss:df",
		  { false, 129, 0, 1024, false, OPTIONS(2, 4, 5, 0xb4) } },
		{ "32:1:mss-:ws-::df", { false, 32, 0, 1, false, NULL, 0 } },
		{ "32:1:mss-:ws-:other:df", { false, 1, 0, 1, false, OPTIONS(254, 4, 0, 0) } },
		{ "64:512:mss-:ws-:nop,nop,nop,nop,nop,nop,nop,nop,nop,nop,…:df",
		  { false, 64, 0, 512, false, OPTIONS(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) } },
	};
	char buf[FG_STACK_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(known); i++)
		assert_string_equal(fg_stack_text(stack_of(&known[i].syn), buf), known[i].text);
	assert_string_equal(fg_stack_text(0, buf), "-");
}

static void test_stack_mss_buckets_end_where_they_say(void **state)
{
	static const uint16_t ends[] = { 536,  1024, 1220, 1300, 1340, 1360, 1380,
					 1400, 1420, 1440, 1452, 1460, 8960, 65495 };
	uint32_t bucket = 1;

	(void)state;
	assert_int_equal(fg_stack_mss_bucket(0), 1);
	for (size_t i = 0; i < COUNT(ends); i++, bucket++) {
		assert_int_equal(fg_stack_mss_bucket(ends[i]), bucket);
		assert_int_equal(fg_stack_mss_bucket(ends[i] + 1u), bucket + 1);
	}
	assert_int_equal(fg_stack_mss_bucket(65535), 15);
}

/* A few bytes of MSS and a few hops are the network's, not the client's. */
static void test_stack_ignores_what_the_path_changes(void **state)
{
	struct syn a = { false, 64, 0, 64240, false, OPTIONS(2, 4, 5, 0xac) }; /* 1452 */
	struct syn b = { false, 44, 0, 64240, false, OPTIONS(2, 4, 5, 0xaa) }; /* 1450 */
	struct syn c = { false, 64, 0, 64240, false, OPTIONS(2, 4, 5, 0xb4) }; /* 1460 */

	(void)state;
	assert_true(stack_of(&a) == stack_of(&b));
	assert_true(stack_of(&a) != stack_of(&c));
}

/* Options that run out or lie about their length: an answer, the same for the same bytes whatever
 * follows in the buffer, and never without its mark. */
static void test_stack_broken_options_end_the_walk(void **state)
{
	const struct {
		const uint8_t *options;
		size_t n;
		const char *text;
	} broken[] = {
		{ OPTIONS(2, 0, 5, 0xb4), "64:512:mss-:ws-:mss:df" }, /* length 0 */
		{ OPTIONS(8, 200, 0, 0), "64:512:mss-:ws-:ts:df" }, /* beyond the end */
		{ OPTIONS(1, 1, 1, 2), "64:512:mss-:ws-:nop,nop,nop,mss:df" }, /* no length */
		{ OPTIONS(2, 3, 5, 0), "64:512:mss-:ws-:mss,eol:df" }, /* wrong length */
		{ OPTIONS(3, 1, 2, 4, 5, 0xb4, 1, 1), "64:512:mss1460:ws-:ws,nop,mss,nop,nop:df" },
	};
	char buf[FG_STACK_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		struct syn s = { false, 64, 0, 512, false, broken[i].options, broken[i].n };

		assert_string_equal(fg_stack_text(stack_of(&s), buf), broken[i].text);
	}
}

static int by_stack(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The text says all that the stack says: as many different texts as different stacks. */
static void test_stack_texts_are_as_many_as_stacks(void **state)
{
	enum {
		N = 20000
	};
	static char texts[N][FG_STACK_TEXT];
	static uint64_t stacks[N];
	static const uint8_t starts[] = { 0, 1, 2, 3, 4, 8, 34 };
	size_t n_stacks = 1, n_texts = 1;
	struct fg_prng r = { 5 };

	(void)state;
	for (size_t i = 0; i < N; i++) {
		uint8_t options[40];
		struct syn s = { fg_prng_below(&r, 2),
				 (uint8_t)(1 + fg_prng_below(&r, 255)),
				 fg_prng_below(&r, 2) ? FG_PKT_ECE | FG_PKT_CWR : 0,
				 (uint16_t)(1 + fg_prng_below(&r, 3)),
				 fg_prng_below(&r, 2),
				 options,
				 4 * fg_prng_below(&r, 11) };

		fg_prng_fill(&r, options, sizeof(options));
		for (size_t at = 0; at < sizeof(options); at += 1 + fg_prng_below(&r, 4))
			options[at] = starts[fg_prng_below(&r, COUNT(starts))];
		stacks[i] = stack_of(&s);
		assert_true(stacks[i] & FG_STACK_VALID);
		fg_stack_text(stacks[i], texts[i]);
		assert_true(strlen(texts[i]) < FG_STACK_TEXT - 1);
	}
	qsort(stacks, N, sizeof(stacks[0]), by_stack);
	qsort(texts, N, sizeof(texts[0]), by_text);
	for (size_t i = 1; i < N; i++) {
		n_stacks += stacks[i] != stacks[i - 1];
		n_texts += strcmp(texts[i], texts[i - 1]) != 0;
	}
	assert_in_range(n_stacks, 1000, N);
	assert_int_equal(n_texts, n_stacks);
}

static void test_stack_families(void **state)
{
	const struct {
		struct syn syn;
		enum fg_stack_family family;
	} known[] = {
		{ { false, 57, 0, 64240, false, LINUX }, FG_STACK_LINUX },
		{ { false, 57, 0, 29200, false, LINUX }, FG_STACK_LINUX },
		{ { false, 57, 0, 65535, false, LINUX }, FG_STACK_ANDROID },
		{ { false, 120, 0, 64240, false, LINUX }, FG_STACK_OTHER },
		/* with a Fast Open cookie asked for */
		{ { false, 64, 0, 64240, false,
		    OPTIONS(2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7, 34, 2,
			    1, 1) },
		  FG_STACK_LINUX },
		/* without timestamps */
		{ { false, 64, 0, 64240, false, OPTIONS(2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7) },
		  FG_STACK_LINUX },
		{ { false, 117, 0, 65535, false, OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2) },
		  FG_STACK_WINDOWS },
		/* the layout of Windows, the TTL of Solaris */
		{ { false, 60, 0, 64240, false, OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2) },
		  FG_STACK_OTHER },
		{ { false, 60, 0, 65535, false,
		    OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 4, 2, 0,
			    0) },
		  FG_STACK_APPLE },
		/* FreeBSD */
		{ { false, 64, 0, 65535, false,
		    OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 6, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0) },
		  FG_STACK_OTHER },
		/* begins like Linux, goes on like nobody */
		{ { false, 64, 0, 64240, false,
		    OPTIONS(2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7, 4, 2, 1,
			    1) },
		  FG_STACK_OTHER },
		{ { false, 64, 0, 1024, false, OPTIONS(2, 4, 5, 0xb4) }, FG_STACK_OTHER },
		{ { false, 64, 0, 1024, false, NULL, 0 }, FG_STACK_OTHER },
	};

	(void)state;
	assert_int_equal(fg_stack_family(0), FG_STACK_UNKNOWN);
	assert_string_equal(fg_stack_family_name(FG_STACK_UNKNOWN), "-");
	for (size_t i = 0; i < COUNT(known); i++)
		if (fg_stack_family(stack_of(&known[i].syn)) != known[i].family)
			fail_msg("case %zu is %s", i,
				 fg_stack_family_name(fg_stack_family(stack_of(&known[i].syn))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_texts_of_known_syns),
		cmocka_unit_test(test_stack_mss_buckets_end_where_they_say),
		cmocka_unit_test(test_stack_ignores_what_the_path_changes),
		cmocka_unit_test(test_stack_broken_options_end_the_walk),
		cmocka_unit_test(test_stack_texts_are_as_many_as_stacks),
		cmocka_unit_test(test_stack_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
