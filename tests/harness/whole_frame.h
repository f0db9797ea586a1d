/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame that was built, as if it had been captured whole. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "source/capture.h"

static inline struct fg_capture_frame fg_whole_frame(uint64_t time_ns, const uint8_t *frame,
						     size_t len)
{
	return (struct fg_capture_frame){ .time_ns = time_ns,
					  .data = frame,
					  .len = (uint32_t)len,
					  .frame_len = (uint32_t)len,
					  .wire_len = (uint32_t)len };
}
