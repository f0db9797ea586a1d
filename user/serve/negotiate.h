/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a request's headers ask of its answer: compressed or not, or not at all because it has it. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shorter bodies fit a frame as they are. */
#define FG_GZIP_MIN_BYTES 1024

/** Accept-Encoding; NULL = none was sent. */
bool fg_accepts_gzip(const char *accept_encoding);
/** Replaces a body of malloc() by its compressed form; false where that is no shorter, or there is no
 * memory: then it is as it was. */
bool fg_gzip(char **body, size_t *n);

/** If-None-Match: one of its tags, or '*', is this one; W/ makes no difference. */
bool fg_tag_matches(const char *if_none_match, const char *tag);

#define FG_HTTP_DATE 30
/** "Sun, 06 Nov 1994 08:49:37 GMT" */
const char *fg_http_date(uint64_t unix_s, char buf[FG_HTTP_DATE]);
/** The same form only; what is in another is no date. @return 0, -EINVAL. */
int fg_http_date_parse(const char *text, uint64_t *ret_unix_s);
