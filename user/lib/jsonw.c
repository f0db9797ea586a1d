/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Writes straight to the stream; the state says only what may come next. */
#define _GNU_SOURCE
#include "lib/jsonw.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define LEVEL_OBJECT 1
#define LEVEL_FILLED 2 /* has a member: a comma is due before the next */

void fg_jsonw_init(struct fg_jsonw *w, FILE *out)
{
	*w = (struct fg_jsonw){ .out = out };
}

static void fail(struct fg_jsonw *w, int error)
{
	if (!w->error)
		w->error = error;
}

int fg_jsonw_finish(struct fg_jsonw *w)
{
	if (w->depth || !w->root_done)
		fail(w, -EINVAL);
	if (ferror(w->out))
		fail(w, -EIO);
	return w->error;
}

/* Comma between members of the open object or array. */
static void separate(struct fg_jsonw *w)
{
	uint8_t *level = &w->level[w->depth - 1];

	if (*level & LEVEL_FILLED)
		fputc(',', w->out);
	*level |= LEVEL_FILLED;
}

/* True where a value may come now; writes what must stand before it. */
static bool begin_value(struct fg_jsonw *w)
{
	bool in_object = w->depth && w->level[w->depth - 1] & LEVEL_OBJECT;

	if (w->error)
		return false;
	if (in_object != w->key_done || (!w->depth && w->root_done)) {
		fail(w, -EINVAL);
		return false;
	}
	if (w->depth && !in_object)
		separate(w);
	w->key_done = false;
	w->root_done = true;
	return true;
}

static void begin_level(struct fg_jsonw *w, uint8_t level, char c)
{
	if (w->depth == FG_JSONW_DEPTH)
		fail(w, -EINVAL);
	if (!begin_value(w))
		return;
	w->level[w->depth++] = level;
	fputc(c, w->out);
}

static void end_level(struct fg_jsonw *w, uint8_t level, char c)
{
	if (!w->error &&
	    (!w->depth || w->key_done || (w->level[w->depth - 1] & LEVEL_OBJECT) != level))
		fail(w, -EINVAL);
	if (w->error)
		return;
	w->depth--;
	fputc(c, w->out);
}

void fg_jsonw_object(struct fg_jsonw *w)
{
	begin_level(w, LEVEL_OBJECT, '{');
}

void fg_jsonw_object_end(struct fg_jsonw *w)
{
	end_level(w, LEVEL_OBJECT, '}');
}

void fg_jsonw_array(struct fg_jsonw *w)
{
	begin_level(w, 0, '[');
}

void fg_jsonw_array_end(struct fg_jsonw *w)
{
	end_level(w, 0, ']');
}

/* Length of the UTF-8 character at p, 0 where it is none: cut off, overlong, a surrogate or
 * beyond U+10FFFF (RFC 3629, table in section 4). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	size_t len, i;
	unsigned char low = 0x80, high = 0xbf;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < len; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return len;
}

static void write_ascii(FILE *out, unsigned char c)
{
	static const char named[] = "\"\\\b\f\n\r\t";
	static const char letter[] = "\"\\bfnrt";
	const char *at = c ? strchr(named, c) : NULL;

	if (at)
		fprintf(out, "\\%c", letter[at - named]);
	else if (c < 0x20 || c == 0x7f)
		fprintf(out, "\\u%04x", c);
	else
		fputc(c, out);
}

static void write_text(FILE *out, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len;

	fputc('"', out);
	while (n) {
		len = utf8_len(p, n);
		if (len == 1)
			write_ascii(out, *p);
		else if (len)
			fwrite(p, 1, len, out);
		else
			fputs("\xef\xbf\xbd", out); /* U+FFFD */
		p += len ? len : 1;
		n -= len ? len : 1;
	}
	fputc('"', out);
}

void fg_jsonw_key(struct fg_jsonw *w, const char *key)
{
	if (!w->error && (!w->depth || !(w->level[w->depth - 1] & LEVEL_OBJECT) || w->key_done))
		fail(w, -EINVAL);
	if (w->error)
		return;
	separate(w);
	write_text(w->out, key, strlen(key));
	fputc(':', w->out);
	w->key_done = true;
}

void fg_jsonw_string_n(struct fg_jsonw *w, const char *text, size_t n)
{
	if (begin_value(w))
		write_text(w->out, text, n);
}

void fg_jsonw_string(struct fg_jsonw *w, const char *text)
{
	if (text)
		fg_jsonw_string_n(w, text, strlen(text));
	else
		fg_jsonw_null(w);
}

void fg_jsonw_stringf(struct fg_jsonw *w, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		fail(w, -ENOMEM);
		return;
	}
	fg_jsonw_string_n(w, text, (size_t)n);
}

void fg_jsonw_u64(struct fg_jsonw *w, uint64_t value)
{
	if (begin_value(w))
		fprintf(w->out, "%" PRIu64, value);
}

void fg_jsonw_i64(struct fg_jsonw *w, int64_t value)
{
	if (begin_value(w))
		fprintf(w->out, "%" PRId64, value);
}

void fg_jsonw_double(struct fg_jsonw *w, double value)
{
	char text[40];
	int digits;

	if (!isfinite(value)) {
		fg_jsonw_null(w);
		return;
	}
	/* 17 digits always read back as the same double; mostly fewer do. */
	for (digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	if (begin_value(w))
		fputs(text, w->out);
}

void fg_jsonw_time(struct fg_jsonw *w, uint64_t unix_ns)
{
	if (begin_value(w))
		fprintf(w->out, "%" PRIu64 ".%06" PRIu64, unix_ns / 1000000000,
			unix_ns % 1000000000 / 1000);
}

void fg_jsonw_bool(struct fg_jsonw *w, bool value)
{
	if (begin_value(w))
		fputs(value ? "true" : "false", w->out);
}

void fg_jsonw_null(struct fg_jsonw *w)
{
	if (begin_value(w))
		fputs("null", w->out);
}
