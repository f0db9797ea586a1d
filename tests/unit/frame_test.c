/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate/frame.h: every frame kind, whole, cut at every byte, and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/frame.h"
#include "packet.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const uint8_t payload[40] = { 1, 2, 3 };
static const uint8_t syn_options[] = { 2, 4, 5, 0xb4, 1, 3, 3, 7 };

/* Parses the first len bytes of a frame from memory that ends behind them. */
static int parse_cut(const struct fg_pkt *p, size_t len, uint32_t frame_len, struct fg_frame *f)
{
	uint8_t *exact = malloc(len ? len : 1);
	int r;

	assert_non_null(exact);
	memcpy(exact, p->buf, len);
	memset(f, 0, sizeof(*f));
	r = fg_frame_parse(exact, exact + len, frame_len, f);
	free(exact);
	return r;
}

static int parse(const struct fg_pkt *p, struct fg_frame *f)
{
	return parse_cut(p, p->len, (uint32_t)p->len, f);
}

/* --- Kinds of frames -------------------------------------------------------------------------- */

struct kind {
	const char *name;
	const char *from, *to;
	size_t n_vlans;
	struct fg_pkt_ip ip;
	bool udp;
	size_t options_len;
};

static const struct fg_pkt_ext six_exts[] = {
	{ .type = 0, .len = 8 },  { .type = 60, .len = 64 }, { .type = 43, .len = 24 },
	{ .type = 44, .len = 8 }, { .type = 51, .len = 16 }, { .type = 135, .len = 2048 },
};

static const struct kind kinds[] = {
	{ "v4", "192.0.2.1", "198.51.100.1", 0, { 0 }, false, 0 },
	{ "v4 with TCP options", "192.0.2.1", "198.51.100.1", 0, { 0 }, false, 8 },
	{ "v4 with IP options", "192.0.2.1", "198.51.100.1", 0, { .options_len = 40 }, false, 8 },
	{ "v4 first fragment", "192.0.2.1", "198.51.100.1", 0, { .more_fragments = true }, false, 0 },
	{ "v4 without length", "192.0.2.1", "198.51.100.1", 0, { .no_length = true }, false, 0 },
	{ "v4 UDP", "192.0.2.1", "198.51.100.1", 0, { 0 }, true, 0 },
	{ "v4 in one tag", "192.0.2.1", "198.51.100.1", 1, { 0 }, false, 0 },
	{ "v4 in three tags", "192.0.2.1", "198.51.100.1", 3, { 0 }, false, 8 },
	{ "v6", "2001:db8::1", "2001:db8::2", 0, { 0 }, false, 0 },
	{ "v6 in three tags", "2001:db8::1", "2001:db8::2", 3, { 0 }, false, 8 },
	{ "v6 UDP", "2001:db8::1", "2001:db8::2", 0, { 0 }, true, 0 },
	{ "v6 without length", "2001:db8::1", "2001:db8::2", 0, { .no_length = true }, false, 0 },
	{ "v6 with six headers",
	  "2001:db8::1",
	  "2001:db8::2",
	  3,
	  { .exts = six_exts, .n_exts = COUNT(six_exts) },
	  false,
	  8 },
};

static void build(struct fg_pkt *p, const struct kind *k)
{
	static const uint16_t tpids[] = { 0x88a8, 0x9100, 0x8100 };
	struct fg_end from = fg_end_of(k->from, 40001), to = fg_end_of(k->to, 443);

	fg_pkt_reset(p);
	fg_pkt_eth(p);
	for (size_t i = 0; i < k->n_vlans; i++)
		fg_pkt_vlan(p, tpids[i % COUNT(tpids)], (uint16_t)(100 + i));
	fg_pkt_ip(p, &from, &to, &k->ip);
	if (k->udp)
		fg_pkt_udp(p, 0, 0);
	else
		fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .seq = 0x80000001,
						    .ack = 0x7fffffff,
						    .flags = FG_PKT_ACK | FG_PKT_ECE,
						    .window = 1234,
						    .options = syn_options,
						    .options_len = k->options_len });
	fg_pkt_payload(p, payload, sizeof(payload));
	fg_pkt_end(p);
}

static void check_fields(const struct fg_pkt *p, const struct kind *k, const struct fg_frame *f)
{
	assert_int_equal(f->ip_off, p->ip_off);
	assert_int_equal(f->ipv6, p->ipv6);
	assert_int_equal(f->ttl, 64);
	assert_int_equal(f->sport, 40001);
	assert_int_equal(f->dport, 443);
	assert_int_equal(f->l4_off, p->l4_off);
	assert_int_equal(f->l4_len, p->len - p->l4_off);
	assert_int_equal(f->proto, k->udp ? FG_IPPROTO_UDP : FG_IPPROTO_TCP);
	if (k->udp)
		return;
	assert_int_equal(f->payload_off, p->payload_off);
	assert_int_equal(f->payload_len, sizeof(payload));
	assert_int_equal(f->seq, 0x80000001);
	assert_int_equal(f->ack, 0x7fffffff);
	assert_int_equal(f->tcp_flags, FG_TCP_ACK | FG_TCP_ECE);
	assert_int_equal(f->window, 1234);
	assert_int_equal(f->options_len, k->options_len);
	assert_int_equal(f->dont_fragment, 1);
}

static void test_frame_reads_every_kind(void **state)
{
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		print_message("# %s\n", kinds[i].name);
		build(p, &kinds[i]);
		assert_int_equal(parse(p, &f), FG_FRAME_OK);
		check_fields(p, &kinds[i], &f);
	}
	fg_pkt_free(p);
}

/* A capture or the linear part of a buffer ends anywhere: before the end of the fixed transport
 * header it is truncated, behind it the frame reads as if whole. */
static void test_frame_cut_by_memory_at_every_byte(void **state)
{
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		size_t needed;

		build(p, &kinds[i]);
		needed = p->l4_off + (kinds[i].udp ? 8 : 20);
		print_message("# %s: %zu bytes needed\n", kinds[i].name, needed);
		for (size_t len = 0; len < needed; len++)
			assert_int_equal(parse_cut(p, len, (uint32_t)p->len, &f),
					 FG_FRAME_frame_truncated);
		for (size_t len = needed; len <= p->len; len++) {
			assert_int_equal(parse_cut(p, len, (uint32_t)p->len, &f), FG_FRAME_OK);
			check_fields(p, &kinds[i], &f);
		}
	}
	fg_pkt_free(p);
}

/* A frame that is really this short contradicts its IP length: never OK, always named. */
static void test_frame_cut_on_the_wire_at_every_byte(void **state)
{
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;
	int r;

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		build(p, &kinds[i]);
		if (p->no_length)
			continue; /* nothing there to contradict */
		for (size_t len = 0; len < p->len; len++) {
			r = parse_cut(p, len, (uint32_t)len, &f);
			if (r != FG_FRAME_frame_truncated && r != FG_FRAME_ip_malformed)
				fail_msg("%s cut to %zu: outcome %d", kinds[i].name, len, r);
		}
	}
	fg_pkt_free(p);
}

static void test_frame_padding_is_no_payload(void **state)
{
	struct fg_end from = fg_end_of("192.0.2.1", 1), to = fg_end_of("192.0.2.2", 443);
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, NULL);
	fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .flags = FG_PKT_ACK });
	fg_pkt_end(p);
	fg_pkt_payload(p, payload, 6);
	assert_int_equal(p->len, 60);
	assert_int_equal(parse(p, &f), FG_FRAME_OK);
	assert_int_equal(f.payload_len, 0);
	fg_pkt_free(p);
}

/* --- Named refusals --------------------------------------------------------------------------- */

/* A frame of one of the kinds, for damage. */
static struct fg_pkt *good(size_t kind)
{
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	build(p, &kinds[kind]);
	assert_int_equal(parse(p, &f), FG_FRAME_OK);
	return p;
}

enum {
	V4,
	V4_TCP_OPTIONS,
	V6 = 8
};

static void expect_damaged(size_t kind, size_t at_ip, int at_l4, uint8_t value, int outcome)
{
	struct fg_pkt *p = good(kind);
	struct fg_frame f;

	p->buf[at_l4 < 0 ? p->ip_off + at_ip : p->l4_off + (size_t)at_l4] = value;
	assert_int_equal(parse(p, &f), outcome);
	fg_pkt_free(p);
}

static void test_frame_names_contradictions(void **state)
{
	(void)state;
	expect_damaged(V4, 0, -1, 0x65, FG_FRAME_ip_malformed); /* version 6 in IPv4 */
	expect_damaged(V4, 0, -1, 0x44, FG_FRAME_ip_malformed); /* header of 16 bytes */
	expect_damaged(V4, 2, -1, 0xff, FG_FRAME_ip_malformed); /* longer than the frame */
	expect_damaged(V4, 3, -1, 19, FG_FRAME_ip_malformed); /* shorter than its header */
	expect_damaged(V6, 0, -1, 0x40, FG_FRAME_ip_malformed); /* version 4 in IPv6 */
	expect_damaged(V6, 4, -1, 0xff, FG_FRAME_ip_malformed); /* longer than the frame */
	expect_damaged(V4, 0, 12, 0x40, FG_FRAME_tcp_malformed); /* header of 16 bytes */
	expect_damaged(V4, 0, 12, 0xf0, FG_FRAME_OK); /* 60 bytes: there are 60 */
	expect_damaged(V4, 3, -1, 20 + 20 + 39, FG_FRAME_OK);
	expect_damaged(V4, 9, -1, 1, FG_FRAME_other_protocol);
	expect_damaged(V6, 6, -1, 58, FG_FRAME_other_protocol);
}

static void test_frame_tcp_header_beyond_the_packet_is_malformed(void **state)
{
	struct fg_pkt *p = good(V4);
	struct fg_frame f;

	(void)state;
	p->buf[p->ip_off + 3] = 20 + 24;
	p->buf[p->l4_off + 12] = 7 << 4;
	assert_int_equal(parse(p, &f), FG_FRAME_tcp_malformed);
	p->buf[p->l4_off + 12] = 6 << 4;
	assert_int_equal(parse(p, &f), FG_FRAME_OK);
	assert_int_equal(f.payload_len, 0);
	fg_pkt_free(p);
}

static void test_frame_names_what_is_not_ip(void **state)
{
	static const uint16_t not_ip[] = { 0x0806, 0x88cc, 0x8847, 0x0000, 0x0026, 0xffff };
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(not_ip); i++) {
		fg_pkt_reset(p);
		fg_pkt_eth_kind(p, not_ip[i]);
		fg_pkt_payload(p, payload, sizeof(payload));
		assert_int_equal(parse(p, &f), FG_FRAME_not_ip);
	}
	fg_pkt_free(p);
}

static void test_frame_names_later_fragments(void **state)
{
	static const struct fg_pkt_ext later = { .type = 44, .len = 8, .fragment_offset = 8 };
	static const struct kind fragments[] = {
		{ "v4", "192.0.2.1", "192.0.2.2", 1, { .fragment_offset = 8 }, false, 0 },
		{ "v4, more",
		  "192.0.2.1",
		  "192.0.2.2",
		  0,
		  { .fragment_offset = 65528, .more_fragments = true },
		  false,
		  0 },
		{ "v6", "2001:db8::1", "2001:db8::2", 0, { .exts = &later, .n_exts = 1 }, false, 0 },
	};
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(fragments); i++) {
		build(p, &fragments[i]);
		assert_int_equal(parse(p, &f), FG_FRAME_fragment);
	}
	fg_pkt_free(p);
}

static void test_frame_names_chains_too_deep(void **state)
{
	struct fg_pkt_ext exts[FG_MAX_IP6_EXTS + 1];
	struct kind k = { "deep", "2001:db8::1", "2001:db8::2", FG_MAX_VLANS + 1, { 0 }, false, 0 };
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	build(p, &k);
	assert_int_equal(parse(p, &f), FG_FRAME_vlan_too_deep);
	k.n_vlans = FG_MAX_VLANS;
	k.ip.exts = exts;
	for (size_t n = 0; n <= FG_MAX_IP6_EXTS + 1; n++) {
		for (size_t i = 0; i < n; i++)
			exts[i] = (struct fg_pkt_ext){ .type = 60, .len = 8 };
		k.ip.n_exts = n;
		build(p, &k);
		assert_int_equal(parse(p, &f),
				 n <= FG_MAX_IP6_EXTS ? FG_FRAME_OK : FG_FRAME_ext_too_deep);
	}
	fg_pkt_free(p);
}

static void test_frame_extension_beyond_the_packet_is_malformed(void **state)
{
	static const struct fg_pkt_ext ext = { .type = 60, .len = 8 };
	static const struct kind k = {
		"v6", "2001:db8::1", "2001:db8::2", 0, { .exts = &ext, .n_exts = 1 }, false, 0
	};
	struct fg_pkt *p = fg_pkt_new();
	struct fg_frame f;

	(void)state;
	build(p, &k);
	p->buf[p->ip_off + 40 + 1] = 255; /* 2048 bytes */
	assert_int_equal(parse(p, &f), FG_FRAME_ip_malformed);
	fg_pkt_free(p);
}

/* Whatever the bytes are, the answer has a name and no byte behind the end is read. */
static void test_frame_damaged_bytes_have_a_named_outcome(void **state)
{
	struct fg_prng r = { 1 };
	struct fg_pkt *p = fg_pkt_new();
	unsigned int ok = 0, refused = 0;
	struct fg_frame f;

	(void)state;
	for (unsigned int i = 0; i < 60000; i++) {
		size_t len;
		int outcome;

		build(p, &kinds[fg_prng_below(&r, COUNT(kinds) - 1)]);
		for (unsigned int n = 1 + fg_prng_below(&r, 4); n; n--)
			p->buf[fg_prng_below(&r, 80)] = (uint8_t)fg_prng_next(&r);
		len = fg_prng_below(&r, 4) ? p->len : fg_prng_below(&r, (uint32_t)p->len + 1);
		outcome = parse_cut(p, len, (uint32_t)p->len, &f);
		if (outcome == FG_FRAME_OK) {
			ok++;
			assert_in_range(f.l4_off + f.l4_len, 0, p->len);
			if (f.proto == FG_IPPROTO_TCP)
				assert_in_range(f.payload_off + f.payload_len, 0, p->len);
			assert_in_range(f.options_len, 0, 40);
		} else {
			refused++;
			assert_in_range(outcome, 0, _FG_OUTCOME_MAX - 1);
		}
	}
	assert_in_range(ok, 1000, 59000);
	assert_in_range(refused, 1000, 59000);
	fg_pkt_free(p);
}

static void test_frame_addresses_are_sixteen_bytes(void **state)
{
	struct fg_pkt *p = fg_pkt_new();
	struct fg_end from, to;
	__u64 src[2], dst[2];
	struct fg_frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		build(p, &kinds[i]);
		from = fg_end_of(kinds[i].from, 0);
		to = fg_end_of(kinds[i].to, 0);
		assert_int_equal(parse(p, &f), FG_FRAME_OK);
		assert_true(fg_frame_addresses(p->buf, p->buf + p->len, &f, src, dst));
		assert_memory_equal(src, from.addr, 16);
		assert_memory_equal(dst, to.addr, 16);
		assert_false(fg_frame_addresses(p->buf, p->buf + f.ip_off + 19, &f, src, dst));
	}
	fg_pkt_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_reads_every_kind),
		cmocka_unit_test(test_frame_cut_by_memory_at_every_byte),
		cmocka_unit_test(test_frame_cut_on_the_wire_at_every_byte),
		cmocka_unit_test(test_frame_padding_is_no_payload),
		cmocka_unit_test(test_frame_names_contradictions),
		cmocka_unit_test(test_frame_tcp_header_beyond_the_packet_is_malformed),
		cmocka_unit_test(test_frame_names_what_is_not_ip),
		cmocka_unit_test(test_frame_names_later_fragments),
		cmocka_unit_test(test_frame_names_chains_too_deep),
		cmocka_unit_test(test_frame_extension_beyond_the_packet_is_malformed),
		cmocka_unit_test(test_frame_damaged_bytes_have_a_named_outcome),
		cmocka_unit_test(test_frame_addresses_are_sixteen_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
