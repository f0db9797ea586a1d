/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What each fuzz target is, and how it says that something must be so. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)           \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)
