/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/failures.h"

#include <stddef.h>
#include <string.h>

#define MINUTE_NS 60e9

bool fg_failures_note(struct fg_failures *f, const uint8_t source[16], uint64_t now_ns)
{
	size_t at = 0;

	for (size_t i = 0; i < FG_FAILURES_ADDRESSES; i++) {
		if (f->rows[i].last_ns && !memcmp(f->rows[i].source, source, 16)) {
			at = i;
			break;
		}
		if (f->rows[i].last_ns < f->rows[at].last_ns)
			at = i;
	}
	if (!f->rows[at].last_ns || memcmp(f->rows[at].source, source, 16)) {
		memcpy(f->rows[at].source, source, 16);
		f->rows[at].left = FG_FAILURES_A_MINUTE;
	} else if (now_ns > f->rows[at].last_ns) {
		/* a clock that was set back refills nothing */
		f->rows[at].left +=
			(double)(now_ns - f->rows[at].last_ns) / MINUTE_NS * FG_FAILURES_A_MINUTE;
	}
	if (f->rows[at].left > FG_FAILURES_A_MINUTE)
		f->rows[at].left = FG_FAILURES_A_MINUTE;
	f->rows[at].last_ns = now_ns ? now_ns : 1;
	if (f->rows[at].left < 1)
		return true;
	f->rows[at].left--;
	return false;
}
