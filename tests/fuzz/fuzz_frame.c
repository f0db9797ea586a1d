/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a frame: a named outcome, and values that lie inside the frame. */
#include <stdint.h>
#include <stdlib.h>

#include "farmgate/frame.h"
#include "farmgate/stack.h"
#include "fuzz.h"

/* The first byte says how much longer the frame was before the capture cut it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fg_frame f = { 0 };
	uint8_t options[64] = { 0 };
	__u32 ts_at;
	__u64 src[2], dst[2];
	uint32_t frame_len;
	int r;

	if (size < 1 || size > 65536)
		return 0;
	frame_len = (uint32_t)size - 1 + (data[0] & 0x80 ? data[0] & 0x7f : 0);
	r = fg_frame_parse(data + 1, data + size, frame_len, &f);
	MUST(r >= FG_FRAME_OK && r < _FG_OUTCOME_MAX);
	if (r != FG_FRAME_OK)
		return 0;
	MUST(f.l4_off + f.l4_len <= frame_len);
	MUST(fg_frame_addresses(data + 1, data + size, &f, src, dst));
	if (f.proto != FG_IPPROTO_TCP)
		return 0;
	MUST(f.payload_off + f.payload_len == f.l4_off + f.l4_len);
	MUST(f.options_len <= 40 && f.l4_off + 20 <= size - 1);
	for (uint32_t i = 0; i < f.options_len && f.l4_off + 20 + i < size - 1; i++)
		options[i] = data[1 + f.l4_off + 20 + i];
	MUST(fg_stack_of_syn(&f, options, &ts_at) & FG_STACK_VALID);
	MUST(ts_at == 0 || (ts_at >= 2 && ts_at <= 63 + 2));
	return 0;
}
