/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "hello_build.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- Bytes ------------------------------------------------------------------------------------ */

struct out {
	uint8_t *buf;
	size_t len, max;
	struct fg_prng prng;
};

static uint8_t *put(struct out *o, size_t n)
{
	uint8_t *at = o->buf + o->len;

	if (n > o->max - o->len) {
		fprintf(stderr, "hello: more than %zu bytes: describe a smaller one\n", o->max);
		abort();
	}
	o->len += n;
	return at;
}

static void put8(struct out *o, uint32_t v)
{
	*put(o, 1) = (uint8_t)v;
}

static void put16(struct out *o, uint32_t v)
{
	put8(o, v >> 8);
	put8(o, v);
}

static void put_bytes(struct out *o, const void *bytes, size_t n)
{
	memcpy(put(o, n), bytes, n);
}

static void put_random(struct out *o, size_t n)
{
	fg_prng_fill(&o->prng, put(o, n), n);
}

static void put_list(struct out *o, const uint16_t *values, size_t n)
{
	put16(o, (uint32_t)n * 2);
	for (size_t i = 0; i < n; i++)
		put16(o, values[i]);
}

/* Two bytes for a length that is known later. */
static size_t open16(struct out *o)
{
	put16(o, 0);
	return o->len;
}

static void close16(struct out *o, size_t at)
{
	o->buf[at - 2] = (uint8_t)((o->len - at) >> 8);
	o->buf[at - 1] = (uint8_t)(o->len - at);
}

bool fg_hello_is_grease(uint16_t value)
{
	return (value & 15) == 10 && value >> 8 == (value & 255);
}

/* --- Extension bodies ------------------------------------------------------------------------- */

static void put_sni(struct out *o, const char *name)
{
	size_t list, host;

	if (!name)
		return;
	list = open16(o);
	put8(o, 0);
	host = open16(o);
	put_bytes(o, name, strlen(name));
	close16(o, host);
	close16(o, list);
}

static void put_alpn(struct out *o, const struct fg_hello_desc *d)
{
	size_t list = open16(o);

	for (size_t i = 0; i < d->n_alpn; i++) {
		put8(o, (uint32_t)strlen(d->alpn[i]));
		put_bytes(o, d->alpn[i], strlen(d->alpn[i]));
	}
	close16(o, list);
}

static void put_versions(struct out *o, const struct fg_hello_desc *d)
{
	put8(o, (uint32_t)d->n_versions * 2);
	for (size_t i = 0; i < d->n_versions; i++)
		put16(o, d->versions[i]);
}

static size_t share_len(uint16_t group)
{
	switch (group) {
	case 0x001d:
		return 32;
	case 0x0017:
		return 65;
	case 0x0018:
		return 97;
	case 0x11ec: /* X25519MLKEM768 */
		return 1216;
	case 0x11eb: /* SecP256r1MLKEM768 */
		return 1249;
	default:
		return fg_hello_is_grease(group) ? 1 : 32;
	}
}

static void put_shares(struct out *o, const struct fg_hello_desc *d)
{
	size_t list = open16(o), share;

	for (size_t i = 0; i < d->n_shares; i++) {
		put16(o, d->shares[i]);
		share = open16(o);
		put_random(o, share_len(d->shares[i]));
		close16(o, share);
	}
	close16(o, list);
}

/* One identity with its age, one binder of SHA-256's length (RFC 8446 section 4.2.11). */
static void put_psk(struct out *o, const struct fg_hello_desc *d)
{
	size_t list = open16(o), identity = open16(o);

	put_random(o, d->psk_len);
	close16(o, identity);
	put_random(o, 4);
	close16(o, list);
	list = open16(o);
	put8(o, 32);
	put_random(o, 32);
	close16(o, list);
}

static void put_body(struct out *o, const struct fg_hello_desc *d, uint16_t type)
{
	size_t cookie;

	switch (type) {
	case 0x0000:
		put_sni(o, d->sni);
		break;
	case 0x000a:
		put_list(o, d->groups, d->n_groups);
		break;
	case 0x000b:
		put16(o, 0x0100);
		break;
	case 0x000d:
	case 0x0032:
		put_list(o, d->sigalgs, d->n_sigalgs);
		break;
	case 0x0010:
		put_alpn(o, d);
		break;
	case 0x0015:
		memset(put(o, d->padding_len), 0, d->padding_len);
		break;
	case 0x0017:
	case 0x0012:
	case 0x002a:
		break;
	case 0x0023:
		put_random(o, d->ticket_len);
		break;
	case 0x0029:
		put_psk(o, d);
		break;
	case 0x002b:
		put_versions(o, d);
		break;
	case 0x002c:
		cookie = open16(o);
		put_random(o, d->cookie_len);
		close16(o, cookie);
		break;
	case 0x002d:
		put16(o, 0x0101);
		break;
	case 0x0033:
		put_shares(o, d);
		break;
	case 0xff01:
		put8(o, 0);
		break;
	default:
		put_random(o, fg_hello_is_grease(type) ? type >> 12 & 1 : d->other_len);
	}
}

size_t fg_hello_build(const struct fg_hello_desc *d, uint8_t ret_msg[FG_HELLO_BUILD_MAX])
{
	struct out o = { .buf = ret_msg, .max = FG_HELLO_BUILD_MAX, .prng = { d->seed } };
	size_t exts, body;

	put8(&o, 1);
	put8(&o, 0);
	put16(&o, 0);
	put16(&o, d->legacy_version);
	put_random(&o, 32);
	put8(&o, d->session_id_len);
	put_random(&o, d->session_id_len);
	put_list(&o, d->ciphers, d->n_ciphers);
	put16(&o, 0x0100);
	if (!d->no_exts) {
		exts = open16(&o);
		for (size_t i = 0; i < d->n_exts; i++) {
			put16(&o, d->exts[i]);
			body = open16(&o);
			put_body(&o, d, d->exts[i]);
			close16(&o, body);
		}
		close16(&o, exts);
	}
	close16(&o, 4);
	return o.len;
}

size_t fg_hello_records(const uint8_t *msg, size_t len, const size_t *cuts, size_t n_cuts,
			uint8_t *ret_stream, size_t n)
{
	struct out o = { .buf = ret_stream, .max = n };
	size_t from = 0, to, record;

	for (size_t i = 0; i <= n_cuts; i++) {
		to = i < n_cuts ? cuts[i] : len;
		if (to <= from || to > len)
			continue; /* RFC 8446 section 5.1: no empty handshake records */
		put8(&o, 22);
		put16(&o, 0x0301);
		record = open16(&o);
		put_bytes(&o, msg + from, to - from);
		close16(&o, record);
		from = to;
	}
	return o.len;
}

size_t fg_hello_stream(const struct fg_hello_desc *d, uint8_t *ret_stream, size_t n)
{
	uint8_t msg[FG_HELLO_BUILD_MAX];

	return fg_hello_records(msg, fg_hello_build(d, msg), NULL, 0, ret_stream, n);
}

/* --- Clients ---------------------------------------------------------------------------------- */

#define SET(d, list, ...)                                          \
	do {                                                       \
		static const uint16_t _values[] = { __VA_ARGS__ }; \
		memcpy((d)->list, _values, sizeof(_values));       \
		(d)->n_##list = COUNT(_values);                    \
	} while (0)

static void begin(struct fg_hello_desc *d, const char *sni)
{
	memset(d, 0, sizeof(*d));
	d->legacy_version = 0x0303;
	d->session_id_len = 32;
	d->sni = sni;
	d->ticket_len = 0;
	d->psk_len = 192;
	d->cookie_len = 32;
	d->other_len = 5;
	d->seed = 1;
}

/* Extension lists are written with SNI; without a name it goes. */
static void finish(struct fg_hello_desc *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_exts; i++)
		if (d->exts[i] != 0 || d->sni)
			d->exts[n++] = d->exts[i];
	d->n_exts = n;
}

void fg_hello_browser(struct fg_hello_desc *d, const char *sni)
{
	begin(d, sni);
	SET(d, ciphers, 0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
	    0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035);
	SET(d, exts, 0xdada, 0x0012, 0x002b, 0x0010, 0x0033, 0x44cd, 0x000a, 0xff01, 0xfe0d, 0x0023,
	    0x0005, 0x000d, 0x002d, 0x0000, 0x0017, 0x000b, 0x001b, 0x2a2a);
	SET(d, versions, 0x8a8a, 0x0304, 0x0303);
	SET(d, sigalgs, 0x5a5a, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601);
	SET(d, groups, 0x4a4a, 0x11ec, 0x001d, 0x0017, 0x0018);
	SET(d, shares, 0x4a4a, 0x11ec, 0x001d);
	d->alpn[d->n_alpn++] = "h2";
	d->alpn[d->n_alpn++] = "http/1.1";
	d->other_len = 28;
	finish(d);
}

void fg_hello_browser_plain(struct fg_hello_desc *d, const char *sni)
{
	begin(d, sni);
	SET(d, ciphers, 0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030,
	    0xc00a, 0xc009, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035);
	SET(d, exts, 0x0000, 0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0010, 0x0005, 0x0022, 0x0033,
	    0x002b, 0x000d, 0x002d, 0x001c, 0xfe0d);
	SET(d, versions, 0x0304, 0x0303);
	SET(d, sigalgs, 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
	    0x0203, 0x0201);
	SET(d, groups, 0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x0100, 0x0101);
	SET(d, shares, 0x11ec, 0x001d, 0x0017);
	d->alpn[d->n_alpn++] = "h2";
	d->alpn[d->n_alpn++] = "http/1.1";
	d->other_len = 20;
	finish(d);
}

void fg_hello_tool(struct fg_hello_desc *d, const char *sni)
{
	begin(d, sni);
	SET(d, ciphers, 0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xccaa,
	    0xc02b, 0xc02f, 0x009e, 0xc024, 0xc028, 0x006b, 0xc023, 0xc027, 0x0067, 0xc00a, 0xc014,
	    0x0039, 0xc009, 0xc013, 0x0033, 0x009d, 0x009c, 0x003d, 0x003c, 0x0035, 0x002f, 0x00ff);
	SET(d, exts, 0x0000, 0x000b, 0x000a, 0x0010, 0x0016, 0x0017, 0x0031, 0x000d, 0x002b, 0x002d,
	    0x0033, 0x0015);
	SET(d, versions, 0x0304, 0x0303);
	SET(d, sigalgs, 0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804,
	    0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602);
	SET(d, groups, 0x001d, 0x0017, 0x001e, 0x0019, 0x0018);
	SET(d, shares, 0x001d);
	d->alpn[d->n_alpn++] = "h2";
	d->alpn[d->n_alpn++] = "http/1.1";
	d->padding_len = 171;
	d->other_len = 0;
	finish(d);
}

void fg_hello_library(struct fg_hello_desc *d, const char *sni)
{
	begin(d, sni);
	SET(d, ciphers, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a,
	    0xc014, 0x1301, 0x1302, 0x1303);
	SET(d, exts, 0x0000, 0x000b, 0xff01, 0x0017, 0x0012, 0x0005, 0x000a, 0x000d, 0x0010, 0x002b,
	    0x0033);
	SET(d, versions, 0x0304, 0x0303);
	SET(d, sigalgs, 0x0804, 0x0403, 0x0807, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0503,
	    0x0603, 0x0201, 0x0203);
	SET(d, groups, 0x001d, 0x0017, 0x0018, 0x0019);
	SET(d, shares, 0x001d);
	d->alpn[d->n_alpn++] = "http/1.1";
	finish(d);
}

void fg_hello_tls12(struct fg_hello_desc *d, const char *sni)
{
	begin(d, sni);
	d->session_id_len = 0;
	SET(d, ciphers, 0xc02c, 0xc02b, 0xc030, 0xc02f, 0x009f, 0x009e, 0xc024, 0xc023, 0xc028,
	    0xc027, 0x009d, 0x009c, 0x0035, 0x002f, 0x000a);
	SET(d, exts, 0x0000, 0x000a, 0x000b, 0x000d, 0x0023, 0x0017, 0xff01);
	SET(d, sigalgs, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0201, 0x0403, 0x0503);
	SET(d, groups, 0x001d, 0x0017, 0x0018);
	finish(d);
}

/* Few different values in short lists, so that random descriptions often agree or nearly do. */
static size_t random_list(struct fg_prng *r, uint16_t *ret_list, size_t max, const uint16_t *from,
			  size_t n_from)
{
	size_t n = fg_prng_below(r, (uint32_t)max + 1);

	for (size_t i = 0; i < n; i++)
		ret_list[i] = from[fg_prng_below(r, (uint32_t)n_from)];
	return n;
}

void fg_hello_random(struct fg_hello_desc *d, struct fg_prng *r)
{
	static const uint16_t ciphers[] = { 0x1301, 0x1302, 0x3a3a, 0x0a1a };
	static const uint16_t exts[] = { 0x0000, 0x0010, 0x000d, 0x002b, 0x0015, 0x0023,
					 0x0017, 0x0032, 0x002a, 0x1a1a, 0xfe0d, 0x002c };
	static const uint16_t sigalgs[] = { 0x0403, 0x0804, 0x6a6a };
	static const uint16_t versions[] = { 0x0304, 0x0303, 0x7a7a, 0x7f1c, 0x0305 };
	static const uint16_t legacy[] = { 0x0303, 0x0301, 0x0305 };
	static const char *const names[] = { "h2", "hx2", "\xab", "x", "\xab-\xcd", "http/1.1" };
	uint32_t have = 0;

	begin(d, fg_prng_below(r, 2) ? "a.example" : NULL);
	d->legacy_version = legacy[fg_prng_below(r, COUNT(legacy))];
	d->session_id_len = fg_prng_below(r, 2) ? 32 : 0;
	d->n_ciphers = random_list(r, d->ciphers, 3, ciphers, COUNT(ciphers));
	d->n_sigalgs = random_list(r, d->sigalgs, 2, sigalgs, COUNT(sigalgs));
	d->n_versions = random_list(r, d->versions, 2, versions, COUNT(versions));
	d->n_alpn = fg_prng_below(r, 3);
	for (size_t i = 0; i < d->n_alpn; i++)
		d->alpn[i] = names[fg_prng_below(r, COUNT(names))];
	/* RFC 8446 section 4.2: no type twice in one hello */
	for (size_t i = fg_prng_below(r, 4); i > 0; i--) {
		uint32_t pick = fg_prng_below(r, COUNT(exts));

		if (!(have >> pick & 1))
			d->exts[d->n_exts++] = exts[pick];
		have |= 1u << pick;
	}
	d->padding_len = (uint16_t)fg_prng_below(r, 40);
	d->seed = fg_prng_next(r);
	if (!d->n_exts)
		d->no_exts = fg_prng_below(r, 2);
}

static void regrease(uint16_t *values, size_t n, struct fg_prng *r)
{
	for (size_t i = 0; i < n; i++)
		if (fg_hello_is_grease(values[i]))
			values[i] = (uint16_t)(0x0a0a + 0x1010 * fg_prng_below(r, 16));
}

void fg_hello_regrease(struct fg_hello_desc *d, struct fg_prng *r)
{
	regrease(d->ciphers, d->n_ciphers, r);
	regrease(d->exts, d->n_exts, r);
	regrease(d->versions, d->n_versions, r);
	regrease(d->sigalgs, d->n_sigalgs, r);
	regrease(d->groups, d->n_groups, r);
	if (d->n_shares && d->n_groups && fg_hello_is_grease(d->shares[0]))
		d->shares[0] = d->groups[0];
	d->seed = fg_prng_next(r);
}

void fg_hello_again(struct fg_hello_desc *d, struct fg_prng *r)
{
	size_t n = d->n_exts;

	if (n && d->exts[n - 1] == 0x0029)
		n--;
	for (size_t i = n; i > 1; i--) {
		size_t j = fg_prng_below(r, (uint32_t)i);
		uint16_t swap = d->exts[i - 1];

		d->exts[i - 1] = d->exts[j];
		d->exts[j] = swap;
	}
	fg_hello_regrease(d, r);
}

bool fg_hello_has_ext(const struct fg_hello_desc *d, uint16_t type)
{
	for (size_t i = 0; i < d->n_exts; i++)
		if (d->exts[i] == type)
			return true;
	return false;
}

void fg_hello_add_ext(struct fg_hello_desc *d, uint16_t type)
{
	if (d->n_exts >= COUNT(d->exts)) {
		fprintf(stderr, "hello: more than %zu extensions: describe fewer\n",
			COUNT(d->exts));
		abort();
	}
	d->exts[d->n_exts++] = type;
	if (d->n_exts > 1 && d->exts[d->n_exts - 2] == 0x0029) {
		d->exts[d->n_exts - 2] = type;
		d->exts[d->n_exts - 1] = 0x0029;
	}
}

/* --- What the fingerprints are made of -------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static bool left_out_of_stem(uint16_t type)
{
	return type == 0x0015 || type == 0x0023 || type == 0x0029 || type == 0x002a ||
	       type == 0x002c;
}

static const char *version_name(const struct fg_hello_desc *d)
{
	uint16_t v = d->legacy_version;

	if (fg_hello_has_ext(d, 0x002b)) {
		v = 0;
		for (size_t i = 0; i < d->n_versions; i++)
			if (!fg_hello_is_grease(d->versions[i]) && d->versions[i] > v)
				v = d->versions[i];
	}
	switch (v) {
	case 0x0304:
		return "13";
	case 0x0303:
		return "12";
	case 0x0302:
		return "11";
	case 0x0301:
		return "10";
	case 0x0300:
		return "s3";
	default:
		return "00";
	}
}

/* First and last byte of the first name, or of its hexadecimal form. */
static void alpn_name(const struct fg_hello_desc *d, char ret_name[3])
{
	const char *name = d->n_alpn ? d->alpn[0] : "";
	unsigned char first, last;
	char hex[2][3];

	memcpy(ret_name, "00", 3);
	if (!fg_hello_has_ext(d, 0x0010) || !*name)
		return;
	first = (unsigned char)name[0];
	last = (unsigned char)name[strlen(name) - 1];
	snprintf(hex[0], sizeof(hex[0]), "%02x", first);
	snprintf(hex[1], sizeof(hex[1]), "%02x", last);
	if (first < 128 && last < 128 && isalnum(first) && isalnum(last)) {
		ret_name[0] = (char)first;
		ret_name[1] = (char)last;
	} else {
		ret_name[0] = hex[0][0];
		ret_name[1] = hex[1][1];
	}
}

static size_t write_list(char *text, size_t at, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, FG_HELLO_CANON_MAX - at, "%s%04x", i ? "," : "",
				       list[i]);
	return at;
}

void fg_hello_canon(const struct fg_hello_desc *d, bool stem, char ret_text[FG_HELLO_CANON_MAX])
{
	uint16_t ciphers[COUNT(d->ciphers)], exts[COUNT(d->exts)], sigalgs[COUNT(d->sigalgs)];
	size_t n_ciphers = 0, n_exts = 0, n_hashed = 0, n_sigalgs = 0, at;
	char alpn[3];

	for (size_t i = 0; i < d->n_ciphers; i++)
		if (!fg_hello_is_grease(d->ciphers[i]))
			ciphers[n_ciphers++] = d->ciphers[i];
	for (size_t i = 0; i < d->n_exts && !d->no_exts; i++) {
		if (fg_hello_is_grease(d->exts[i]) || (stem && left_out_of_stem(d->exts[i])))
			continue;
		n_exts++;
		if (d->exts[i] != 0x0000 && d->exts[i] != 0x0010)
			exts[n_hashed++] = d->exts[i];
	}
	for (size_t i = 0; i < d->n_sigalgs && fg_hello_has_ext(d, 0x000d); i++)
		if (!fg_hello_is_grease(d->sigalgs[i]))
			sigalgs[n_sigalgs++] = d->sigalgs[i];
	qsort(ciphers, n_ciphers, sizeof(ciphers[0]), by_value);
	qsort(exts, n_hashed, sizeof(exts[0]), by_value);
	alpn_name(d, alpn);
	at = (size_t)snprintf(ret_text, FG_HELLO_CANON_MAX, "t%s%c%02zu%02zu%s_", version_name(d),
			      fg_hello_has_ext(d, 0x0000) ? 'd' : 'i',
			      n_ciphers > 99 ? 99 : n_ciphers, n_exts > 99 ? 99 : n_exts, alpn);
	at = write_list(ret_text, at, ciphers, n_ciphers);
	at += (size_t)snprintf(ret_text + at, FG_HELLO_CANON_MAX - at, "_");
	at = write_list(ret_text, at, exts, n_hashed);
	if (n_sigalgs)
		at += (size_t)snprintf(ret_text + at, FG_HELLO_CANON_MAX - at, "_");
	write_list(ret_text, at, sigalgs, n_sigalgs);
}
