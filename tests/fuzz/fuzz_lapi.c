/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as an answer of a CrowdSec LAPI, to each request that we make: taken whole, or refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "export/lapi_json.h"
#include "fuzz.h"

#define NOW 1795435200000000000ULL

static void read_login(const char *body, size_t n)
{
	char *token = NULL;
	uint64_t expire_ns = 0;
	int r = fg_lapi_read_login(body, n, &token, &expire_ns);

	MUST(!r == !!token);
	/* it becomes a header line */
	MUST(!token || (token[0] && !strpbrk(token, "\r\n :")));
	free(token);
}

static void read_alerts(const char *body, size_t n)
{
	struct fg_lapi_seen *seen = NULL;
	size_t n_seen = 0;
	int r = fg_lapi_read_alerts(body, n, "farmgate1", NOW, &seen, &n_seen);

	MUST(!n_seen || seen);
	for (size_t i = 0; i < n_seen && !r; i++) {
		MUST(seen[i].alert > 0 && seen[i].decision >= 0 && seen[i].bits <= 128);
		MUST(!seen[i].decision || seen[i].until_ns >= NOW);
	}
	free(seen);
}

static void read_texts(const char *body, size_t n)
{
	char *text = strndup(body, n);
	int64_t ns = 0;
	uint64_t at_ns;

	MUST(text);
	if (!fg_lapi_duration(text, &ns))
		MUST(ns > -INT64_MAX / 4 && ns < INT64_MAX / 4);
	fg_lapi_time(text, &at_ns);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;
	char message[64];
	int64_t ids[2];

	read_login(body, size);
	read_alerts(body, size);
	if (!fg_lapi_read_ids(body, size, ids, 2))
		MUST(ids[0] > 0 && ids[1] > 0);
	memset(message, 'x', sizeof(message));
	fg_lapi_read_message(body, size, message, sizeof(message));
	MUST(memchr(message, 0, sizeof(message)) && !strpbrk(message, "\r\n\t"));
	read_texts(body, size);
	return 0;
}
