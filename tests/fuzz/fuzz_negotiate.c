/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any text as a header that a stranger sends, and as an address to listen at: read to its end, no further. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "serve/listen.h"
#include "serve/negotiate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *body, date[FG_HTTP_DATE], why[256] = "";
	struct sockaddr_storage at;
	size_t n = size;
	socklen_t n_at;
	uint64_t s;

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (fg_accepts_gzip(text))
		MUST(strchr(text, '*') || strpbrk(text, "gG"));
	if (fg_tag_matches(text, "\"a-1\""))
		MUST(strchr(text, '*') || strstr(text, "\"a-1\""));
	if (!fg_http_date_parse(text, &s))
		MUST(!strcmp(fg_http_date(s, date), text));
	if (fg_listen_parse(text, &at, &n_at, why, sizeof(why)))
		MUST(why[0]);
	else
		MUST(at.ss_family == AF_INET || at.ss_family == AF_INET6);
	body = malloc(size + 1);
	MUST(body);
	memcpy(body, data, size);
	if (fg_gzip(&body, &n))
		MUST(n <= size);
	free(body);
	free(text);
	return 0;
}
