/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/ja4.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/fingerprint.h"
#include "farmgate/hello.h"

/* "0123," for each value, and the underscore between the two lists. */
#define LIST_TEXT_MAX (5 * (FG_MAX_CIPHERS + FG_MAX_EXTS + FG_MAX_SIGALGS) + 8)

struct text {
	char at[LIST_TEXT_MAX];
	size_t n;
};

static int by_value(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Appends values as comma-separated four-digit hex. */
static void put_list(struct text *t, const uint16_t *values, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		if (i)
			t->at[t->n++] = ',';
		for (int shift = 12; shift >= 0; shift -= 4)
			t->at[t->n++] = digits[values[i] >> shift & 15];
	}
}

/* Lists of real clients are short: insertion beats a call of qsort() and its callback. */
#define INSERTION_MAX 64

static void put_sorted(struct text *t, const uint16_t *values, size_t n)
{
	uint16_t sorted[FG_MAX_CIPHERS];
	size_t at;

	if (n > INSERTION_MAX) {
		memcpy(sorted, values, n * sizeof(*values));
		qsort(sorted, n, sizeof(*sorted), by_value);
	} else {
		for (size_t i = 0; i < n; i++) {
			for (at = i; at && sorted[at - 1] > values[i]; at--)
				sorted[at] = sorted[at - 1];
			sorted[at] = values[i];
		}
	}
	put_list(t, sorted, n);
}

static void put_ciphers(struct text *t, const struct fg_hello *h)
{
	put_sorted(t, h->ciphers, h->n_ciphers);
}

/* Extensions without SNI and ALPN, sorted; then the signature algorithms in wire order. */
static void put_extensions(struct text *t, const struct fg_hello *h, bool stem)
{
	uint16_t kept[FG_MAX_EXTS];
	size_t n = 0;

	for (size_t i = 0; i < h->n_exts; i++) {
		uint16_t type = h->exts[i];

		if (type != 0x0000 && type != 0x0010 && !(stem && fg_ext_is_fleeting(type)))
			kept[n++] = type;
	}
	put_sorted(t, kept, n);
	if (!h->n_sigalgs)
		return;
	t->at[t->n++] = '_';
	put_list(t, h->sigalgs, h->n_sigalgs);
}

/* First 12 hex digits of the SHA-256, zeros for an empty text. */
static int hash12(const struct text *t, char ret_hex[13])
{
	static const char digits[] = "0123456789abcdef";
	static EVP_MD *sha256; /* fetched once: an implicit fetch in each call takes locks */
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!t->n) {
		memcpy(ret_hex, "000000000000", 13);
		return 0;
	}
	if (!sha256)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!sha256 || !EVP_Digest(t->at, t->n, digest, NULL, sha256, NULL))
		return -EIO;
	for (int i = 0; i < 12; i++)
		ret_hex[i] = digits[digest[i / 2] >> (i & 1 ? 0 : 4) & 15];
	ret_hex[12] = '\0';
	return 0;
}

/* Part a, ten characters. */
static void part_a(const struct fg_hello *h, char proto, bool stem, char ret_a[16])
{
	unsigned int version = fg_version_chars(h), alpn = fg_alpn_chars(h);

	snprintf(ret_a, 16, "%c%c%c%c%02u%02u%c%c", proto, (char)(version >> 8), (char)version,
		 h->flags & FG_HELLO_SNI ? 'd' : 'i', fg_cap99(h->n_ciphers),
		 fg_cap99(stem ? h->n_stem_exts : h->n_exts), (char)(alpn >> 8), (char)alpn);
}

static bool is_sane(const struct fg_hello *h)
{
	return h->result == FG_HELLO_COMPLETE && h->n_ciphers <= FG_MAX_CIPHERS &&
	       h->n_exts <= FG_MAX_EXTS && h->n_sigalgs <= FG_MAX_SIGALGS;
}

/* b is the ciphers' part, which JA4 and stem share. */
static int one_text(const struct fg_hello *h, char proto, bool stem, const char b[13],
		    char *ret_text, size_t n)
{
	struct text exts;
	char a[16], c[13];
	int r;

	exts.n = 0; /* not its bytes */
	put_extensions(&exts, h, stem);
	r = hash12(&exts, c);
	if (r)
		return r;
	part_a(h, proto, stem, a);
	snprintf(ret_text, n, "%s%s_%s_%s", stem ? "~" : "", a, b, c);
	return 0;
}

int fg_ja4_text(const struct fg_hello *h, char proto, struct fg_ja4 *ret_text)
{
	struct text ciphers;
	struct fg_ja4 text;
	char b[13];
	int r;

	if (!is_sane(h))
		return -EINVAL;
	ciphers.n = 0;
	put_ciphers(&ciphers, h);
	r = hash12(&ciphers, b);
	if (!r)
		r = one_text(h, proto, false, b, text.ja4, sizeof(text.ja4));
	if (!r)
		r = one_text(h, proto, true, b, text.stem, sizeof(text.stem));
	if (!r)
		*ret_text = text;
	return r;
}

int fg_ja4_raw(const struct fg_hello *h, char proto, char *ret_text, size_t n)
{
	struct text t;
	char a[16];
	int len;

	if (!is_sane(h))
		return -EINVAL;
	t.n = 0;
	put_ciphers(&t, h);
	t.at[t.n++] = '_';
	put_extensions(&t, h, false);
	t.at[t.n] = '\0';
	part_a(h, proto, false, a);
	len = snprintf(ret_text, n, "%s_%s", a, t.at);
	return len < 0 || (size_t)len >= n ? -ENOSPC : len;
}
