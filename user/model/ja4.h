/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The text forms of a hello: JA4 (TLS client fingerprint, FoxIO, BSD-3-Clause; specification
 * technical_details/JA4.md of FoxIO-LLC/ja4), its raw form, and our stem.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "farmgate/abi.h"

#define FG_JA4_LEN 36 /* "t13d1516h2_8daaf6152771_02713d6af862" */

struct fg_ja4 {
	char ja4[FG_JA4_LEN + 4];
	char stem[FG_JA4_LEN + 8]; /* same rules without the extensions that come and go, '~' first */
};

/** Text of a complete hello. proto is 't', 'q' or 'd'. @return 0, -EINVAL where the hello is not
 * complete, -EIO where libcrypto refuses. */
int fg_ja4_text(const struct fg_hello *hello, char proto, struct fg_ja4 *ret_text);

/** ja4_r: the lists unhashed. Writes at most n bytes with the ending NUL. @return length, -ENOSPC. */
int fg_ja4_raw(const struct fg_hello *hello, char proto, char *ret_text, size_t n);
