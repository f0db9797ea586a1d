/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a line of the application feed: taken whole, or refused with a sentence and no change. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "serve/feed_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct fg_feed_line line, before;
	char why[256] = "";
	int r;

	memset(&line, 0x55, sizeof(line));
	before = line;
	r = fg_feed_parse((const char *)data, size, seed, &line, why, sizeof(why));
	if (r >= 0) {
		MUST(r < _FG_FEED_REFUSED_MAX && why[0] && memchr(why, 0, sizeof(why)));
		MUST(!memcmp(&before, &line, sizeof(line)));
		return 0;
	}
	MUST(size <= FG_FEED_MAX_LINE && line.pair.client_port && line.pair.server_port);
	MUST(line.lookup || (line.outcome < _FG_ACCOUNT_OUTCOME_MAX && line.age < _FG_AGE_MAX));
	return 0;
}
