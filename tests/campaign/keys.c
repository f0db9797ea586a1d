/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hello.h"
#include "farmgate/stack.h"

#define TTL_BUCKETS 4
/* application_settings, by its number until 2025 and since: only Chromium sends it, and Chromium
 * shuffles its extensions (since version 110). */
#define EXT_ALPS_OLD 0x4469
#define EXT_ALPS     0x44cd
#define EXT_TICKET   0x0023
#define EXT_PSK	     0x0029
#define EXT_VERSIONS 0x002b
/* Lengths of a ticket of OpenSSL. */
#define PSK_BYTES    192
#define TICKET_BYTES 176

struct cg_keys {
	const struct cg_hello *hellos;
	const struct cg_stack *stacks;
	size_t n_hellos, n_stacks;
	__u64 seed[4];
	struct cg_hello_key *keys; /* [hello * 2 + resumed] */
	uint64_t *stack_keys; /* [stack * TTL_BUCKETS + bucket] */
};

static bool speaks_tls13(const struct fg_hello_desc *d)
{
	if (!fg_hello_has_ext(d, EXT_VERSIONS))
		return false;
	for (size_t i = 0; i < d->n_versions; i++)
		if (d->versions[i] == 0x0304)
			return true;
	return false;
}

static bool greases(const struct fg_hello_desc *d)
{
	for (size_t i = 0; i < d->n_exts; i++)
		if (fg_hello_is_grease(d->exts[i]))
			return true;
	return d->n_ciphers && fg_hello_is_grease(d->ciphers[0]);
}

static bool shuffles(const struct fg_hello_desc *d)
{
	return fg_hello_has_ext(d, EXT_ALPS) || fg_hello_has_ext(d, EXT_ALPS_OLD);
}

/* The description as sent in this form. */
static void describe(const struct cg_keys *k, size_t at, uint32_t form, struct fg_hello_desc *d)
{
	struct fg_prng r = { (at << 16 | form) * 0x9e3779b97f4a7c15ULL + 1 };

	*d = k->hellos[at / 2].desc;
	if (at & 1 && speaks_tls13(d)) {
		d->psk_len = d->psk_len ? d->psk_len : PSK_BYTES;
		if (!fg_hello_has_ext(d, EXT_PSK))
			fg_hello_add_ext(d, EXT_PSK);
	} else if (at & 1) {
		d->ticket_len = TICKET_BYTES;
		if (!fg_hello_has_ext(d, EXT_TICKET))
			fg_hello_add_ext(d, EXT_TICKET);
	}
	if (!form)
		return;
	if (shuffles(d))
		fg_hello_again(d, &r);
	else
		fg_hello_regrease(d, &r);
}

/* The product's reader over a stream. @return 0, -EINVAL. */
static int read_hello(const struct cg_keys *k, const uint8_t *stream, size_t n, struct fg_hello *h)
{
	uint8_t segment[FG_SEGMENT_MAX_BYTES + 8];

	fg_hello_begin(h);
	for (size_t at = 0; at < n && h->result == FG_HELLO_MORE;) {
		size_t part = n - at < FG_SEGMENT_MAX_BYTES ? n - at : FG_SEGMENT_MAX_BYTES;

		memcpy(segment, stream + at, part);
		memset(segment + part, 0, 8);
		fg_hello_segment(h, (__u32)part);
		while (fg_hello_step(h, k->seed, segment))
			;
		at += part;
	}
	return h->result == FG_HELLO_COMPLETE ? 0 : -EINVAL;
}

static int make_form(struct cg_keys *k, size_t at, uint32_t form, struct fg_hello *ret_hello)
{
	struct cg_form *f = &k->keys[at].forms[form];
	uint8_t stream[FG_HELLO_BUILD_MAX];
	struct fg_hello_desc d;
	size_t n;

	describe(k, at, form, &d);
	n = fg_hello_stream(&d, stream, sizeof(stream));
	if (read_hello(k, stream, n, ret_hello) || n > UINT16_MAX) {
		fprintf(stderr, "hello '%s' cannot be read: describe a whole one\n",
			k->hellos[at / 2].name);
		return -EINVAL;
	}
	f->bytes = (uint16_t)n;
	f->order = (uint32_t)ret_hello->order_fold;
	return 0;
}

static int make_hello(struct cg_keys *k, size_t at)
{
	struct cg_hello_key *key = &k->keys[at];
	const struct fg_hello_desc *d = &k->hellos[at / 2].desc;
	struct fg_hello h;
	int r;

	key->n_forms = shuffles(d) || greases(d) ? CG_FORMS : 1;
	key->forms = calloc(key->n_forms, sizeof(*key->forms));
	if (!key->forms)
		return -ENOMEM;
	r = make_form(k, at, 0, &h);
	key->print = h.print;
	key->stem = h.stem;
	key->flags = h.flags;
	key->tls13 = speaks_tls13(d);
	key->quic = k->hellos[at / 2].quic;
	return r;
}

/* A SYN's options as they stand in the frame: padded to whole words with end-of-list. */
static uint64_t stack_key(const struct cg_stack *s, uint32_t bucket)
{
	static const uint8_t ttls[TTL_BUCKETS] = { 32, 64, 128, 255 };
	const struct fg_frame f = { .window = s->window,
				    .ttl = ttls[bucket],
				    .dont_fragment = 1,
				    .tcp_flags = FG_TCP_SYN,
				    .options_len = (__u8)((s->n_options + 3) & ~3UL) };
	uint8_t options[64] = { 0 };
	uint32_t ts;

	memcpy(options, s->options, s->n_options);
	return fg_stack_of_syn(&f, options, &ts);
}

int cg_keys_new(const struct cg_hello *hellos, size_t n_hellos, const struct cg_stack *stacks,
		size_t n_stacks, const uint64_t seed[4], struct cg_keys **ret_keys)
{
	struct cg_keys *k = calloc(1, sizeof(*k));
	int r = k ? 0 : -ENOMEM;

	if (r)
		return r;
	k->hellos = hellos;
	k->n_hellos = n_hellos;
	k->stacks = stacks;
	k->n_stacks = n_stacks;
	memcpy(k->seed, seed, sizeof(k->seed));
	k->keys = calloc(n_hellos * 2 + 1, sizeof(*k->keys));
	k->stack_keys = calloc(n_stacks * TTL_BUCKETS + 1, sizeof(*k->stack_keys));
	if (!k->keys || !k->stack_keys)
		r = -ENOMEM;
	for (size_t i = 0; !r && i < n_hellos * 2; i++)
		r = make_hello(k, i);
	for (size_t i = 0; !r && i < n_stacks * TTL_BUCKETS; i++)
		k->stack_keys[i] = stack_key(&stacks[i / TTL_BUCKETS], i % TTL_BUCKETS);
	if (r)
		cg_keys_free(&k);
	*ret_keys = k;
	return r;
}

void cg_keys_free(struct cg_keys **keys)
{
	struct cg_keys *k = *keys;

	if (!k)
		return;
	for (size_t i = 0; k->keys && i < k->n_hellos * 2; i++) {
		for (size_t f = 0; k->keys[i].forms && f < k->keys[i].n_forms; f++)
			free(k->keys[i].forms[f].stream);
		free(k->keys[i].forms);
	}
	free(k->keys);
	free(k->stack_keys);
	free(k);
	*keys = NULL;
}

const __u64 *cg_keys_seed(const struct cg_keys *k)
{
	return k->seed;
}

size_t cg_keys_n_hellos(const struct cg_keys *k)
{
	return k->n_hellos;
}

const struct cg_hello_key *cg_keys_hello(const struct cg_keys *k, uint16_t hello, bool resumed)
{
	return &k->keys[hello * 2 + resumed];
}

/* One of n by what tells connections apart. */
static uint32_t pick(const struct cg_connection *c, uint32_t n)
{
	struct fg_prng r = { c->syn_ns ^ (uint64_t)c->port << 48 ^ c->source[15] };

	return n > 1 ? fg_prng_below(&r, n) : 0;
}

const struct cg_form *cg_keys_form(struct cg_keys *k, const struct cg_connection *c,
				   bool with_stream)
{
	size_t at = c->hello * 2u + c->resumed;
	uint32_t form = pick(c, k->keys[at].n_forms);
	struct cg_form *f = &k->keys[at].forms[form];
	struct fg_hello_desc d;
	struct fg_hello h;

	if (!f->bytes && make_form(k, at, form, &h))
		return NULL;
	if (!with_stream || f->stream)
		return f;
	f->stream = malloc(f->bytes);
	if (!f->stream)
		return NULL;
	describe(k, at, form, &d);
	fg_hello_stream(&d, f->stream, f->bytes);
	return f;
}

uint64_t cg_keys_stack(const struct cg_keys *k, const struct cg_connection *c)
{
	if (cg_keys_hello(k, c->hello, c->resumed)->quic)
		return FG_STACK_QUIC;
	return k->stack_keys[c->stack * TTL_BUCKETS + fg_stack_ttl_bucket(c->ttl)];
}

const struct cg_stack *cg_keys_syn(const struct cg_keys *k, uint16_t stack)
{
	return &k->stacks[stack];
}

bool cg_keys_tsval(const struct cg_keys *k, const struct cg_connection *c, uint32_t *ret_tsval)
{
	if (!k->stacks[c->stack].ts_off || cg_keys_hello(k, c->hello, c->resumed)->quic)
		return false;
	*ret_tsval = c->has_tsval ? c->tsval : 0;
	return true;
}

int cg_keys_sample(struct cg_keys *k, uint16_t hello, bool resumed, struct fg_sample *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->proto = k->hellos[hello].quic ? 'q' : 't';
	ret->proof = k->hellos[hello].quic ? FG_PROOF_NONE : FG_PROOF_HANDSHAKE;
	return make_form(k, hello * 2u + resumed, 0, &ret->hello);
}

const struct cg_form *cg_keys_plan(struct cg_keys *k, const struct cg_connection *c,
				   bool with_stream, struct cg_plan *ret_plan)
{
	const struct cg_form *f = cg_keys_form(k, c, with_stream);
	struct cg_voice voice;

	if (!f)
		return NULL;
	voice = (struct cg_voice){ .hello_bytes = f->bytes,
				   .mss = k->stacks[c->stack].mss,
				   .tls13 = cg_keys_hello(k, c->hello, c->resumed)->tls13,
				   .quic = k->hellos[c->hello].quic };
	cg_plan_make(c, &voice, ret_plan);
	return f;
}

void cg_source_of(const uint8_t addr[16], uint8_t ret_source[16])
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(ret_source, addr, 16);
	if (memcmp(addr, v4, sizeof(v4)))
		memset(ret_source + 8, 0, 8);
}
