/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes JSON as a stream, one value at a time, so that a list of a million rows needs no tree in
 * memory. Commas and nesting are its business; a call that makes no JSON (a value where a key is
 * due, an end without a begin, too deep) writes nothing and is remembered for fg_jsonw_finish().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Our deepest document has 7 levels; the writer keeps one byte for each. */
#define FG_JSONW_DEPTH 32

struct fg_jsonw {
	FILE *out;
	unsigned int depth;
	uint8_t level[FG_JSONW_DEPTH]; /* FG_JSONW_* bits of each open object or array */
	bool key_done; /* a key stands, its value is due */
	bool root_done;
	int error; /* first error, 0 = none */
};

void fg_jsonw_init(struct fg_jsonw *w, FILE *out);
/** @return 0; -EINVAL where the calls made no whole JSON document; -EIO where writing failed. */
int fg_jsonw_finish(struct fg_jsonw *w);

void fg_jsonw_object(struct fg_jsonw *w);
void fg_jsonw_object_end(struct fg_jsonw *w);
void fg_jsonw_array(struct fg_jsonw *w);
void fg_jsonw_array_end(struct fg_jsonw *w);

void fg_jsonw_key(struct fg_jsonw *w, const char *key);
/** NULL writes null. Bytes that are no UTF-8 become U+FFFD each. */
void fg_jsonw_string(struct fg_jsonw *w, const char *text);
/** The same with a length; text may hold NUL bytes. */
void fg_jsonw_string_n(struct fg_jsonw *w, const char *text, size_t n);
__attribute__((format(printf, 2, 3))) void fg_jsonw_stringf(struct fg_jsonw *w, const char *fmt,
							    ...);
void fg_jsonw_u64(struct fg_jsonw *w, uint64_t value);
void fg_jsonw_i64(struct fg_jsonw *w, int64_t value);
/** Shortest text that reads back as the same number; null where it is not finite. */
void fg_jsonw_double(struct fg_jsonw *w, double value);
/** Unix nanoseconds as seconds with microseconds ("1795521600.000123"). */
void fg_jsonw_time(struct fg_jsonw *w, uint64_t unix_ns);
void fg_jsonw_bool(struct fg_jsonw *w, bool value);
void fg_jsonw_null(struct fg_jsonw *w);

/* A key and its value in one call: what most lines of a report are. */
static inline void fg_jsonw_key_string(struct fg_jsonw *w, const char *key, const char *text)
{
	fg_jsonw_key(w, key);
	fg_jsonw_string(w, text);
}

static inline void fg_jsonw_key_u64(struct fg_jsonw *w, const char *key, uint64_t value)
{
	fg_jsonw_key(w, key);
	fg_jsonw_u64(w, value);
}

static inline void fg_jsonw_key_double(struct fg_jsonw *w, const char *key, double value)
{
	fg_jsonw_key(w, key);
	fg_jsonw_double(w, value);
}

static inline void fg_jsonw_key_time(struct fg_jsonw *w, const char *key, uint64_t unix_ns)
{
	fg_jsonw_key(w, key);
	fg_jsonw_time(w, unix_ns);
}

static inline void fg_jsonw_key_bool(struct fg_jsonw *w, const char *key, bool value)
{
	fg_jsonw_key(w, key);
	fg_jsonw_bool(w, value);
}
