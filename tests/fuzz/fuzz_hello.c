/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a client's stream: the same answer in one piece and cut anywhere. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hello.h"
#include "fuzz.h"

static const __u64 seed[4] = { 11, 22, 33, 44 };
static uint8_t segment[FG_SEGMENT_MAX_BYTES + 8];

/* Reads one segment; what lies behind it is garbage. */
static void feed(struct fg_hello *h, const uint8_t *bytes, size_t n, int garbage)
{
	memset(segment, garbage, sizeof(segment));
	memcpy(segment, bytes, n);
	fg_hello_segment(h, (__u32)n);
	if (h->result == FG_HELLO_MORE)
		while (fg_hello_step(h, seed, segment))
			;
}

/* cuts holds lengths of segments, used round and round; none = one segment. */
static void read_stream(struct fg_hello *h, const uint8_t *stream, size_t len, const uint8_t *cuts,
			size_t n_cuts)
{
	size_t from = 0, n;

	memset(h, n_cuts ? 0xaa : 0x55, sizeof(*h));
	fg_hello_begin(h);
	for (size_t i = 0; from < len && h->result == FG_HELLO_MORE; i++, from += n) {
		n = n_cuts ? cuts[i % n_cuts] + 1u : len;
		if (n > len - from)
			n = len - from;
		feed(h, stream + from, n, n_cuts ? 0xff : 0);
	}
}

static void must_be_equal(const struct fg_hello *a, const struct fg_hello *b)
{
	MUST(a->result == b->result);
	MUST(a->reason == b->reason);
	MUST(a->n_ciphers <= FG_MAX_CIPHERS && a->n_exts <= FG_MAX_EXTS);
	MUST(a->n_sigalgs <= FG_MAX_SIGALGS);
	MUST(a->n_stem_exts <= a->n_exts);
	if (a->result != FG_HELLO_COMPLETE)
		return;
	MUST(a->print == b->print && a->stem == b->stem && a->order_fold == b->order_fold);
	MUST(a->flags == b->flags && a->sni_len == b->sni_len);
	MUST(!memcmp(a->sni, b->sni, a->sni_len));
	MUST(!memcmp(a->exts, b->exts, a->n_exts * sizeof(a->exts[0])));
	MUST(!memcmp(a->ciphers, b->ciphers, a->n_ciphers * sizeof(a->ciphers[0])));
	MUST(!memcmp(a->sigalgs, b->sigalgs, a->n_sigalgs * sizeof(a->sigalgs[0])));
}

/* Input: number of cuts (one byte), their lengths less one, the stream. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fg_hello whole, cut;
	size_t n_cuts;

	if (size < 2 || data[0] == 0 || size - 1 < data[0])
		return 0;
	n_cuts = data[0];
	if (size - 1 - n_cuts > FG_SEGMENT_MAX_BYTES)
		return 0;
	read_stream(&whole, data + 1 + n_cuts, size - 1 - n_cuts, NULL, 0);
	read_stream(&cut, data + 1 + n_cuts, size - 1 - n_cuts, data + 1, n_cuts);
	must_be_equal(&whole, &cut);
	return 0;
}
