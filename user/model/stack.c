/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/stack.h"

#include <stdio.h>

#include "farmgate/stack.h"

static const char *const kind_names[] = {
	[FG_OPT_NONE] = "",   [FG_OPT_NOP] = "nop",	[FG_OPT_MSS] = "mss",
	[FG_OPT_WS] = "ws",   [FG_OPT_SACK] = "sack",	[FG_OPT_TS] = "ts",
	[FG_OPT_EOL] = "eol", [FG_OPT_OTHER] = "other",
};

static const char *mss_name(unsigned int bucket, char buf[16])
{
	static const unsigned int ends[16] = {
#define FG_BUCKET(n, end) [n] = (end),
		FG_STACK_MSS_BUCKETS(FG_BUCKET)
#undef FG_BUCKET
	};

	if (bucket == 0)
		return "mss-";
	snprintf(buf, 16, "mss%u", bucket == 15 ? 65535 : ends[bucket]);
	return buf;
}

const char *fg_stack_text(uint64_t stack, char buf[FG_STACK_TEXT])
{
	static const unsigned int ttls[] = { 32, 64, 128, 255 };
	char mss[16], ws[8] = "ws-", kinds[64] = "";
	size_t at = 0;

	if (!stack)
		return "-";
	if (stack == FG_STACK_QUIC)
		return "quic";
	if (stack >> 22 & 31)
		snprintf(ws, sizeof(ws), "ws%u", (unsigned int)(stack >> 22 & 31) - 1);
	for (int i = 0; i < FG_STACK_MAX_OPTIONS && (stack >> (30 + 3 * i) & 7); i++)
		at += (size_t)snprintf(kinds + at, sizeof(kinds) - at, "%s%s", i ? "," : "",
				       kind_names[stack >> (30 + 3 * i) & 7]);
	snprintf(buf, FG_STACK_TEXT, "%u:%u:%s:%s:%s%s%s%s", ttls[stack >> 16 & 3],
		 (unsigned int)(stack & 0xffff), mss_name(stack >> 18 & 15, mss), ws, kinds,
		 stack >> 29 & 1 ? ",…" : "", stack >> 27 & 1 ? ":df" : "",
		 stack >> 28 & 1 ? ":ecn" : "");
	return buf;
}
