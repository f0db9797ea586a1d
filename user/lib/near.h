/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* "Did you mean": the nearest of some words. */
#pragma once

/** " (did you mean 'PREFIXword'?)" or "" where none is near. names ends with NULL. The text is good
 * until the next call. */
const char *fg_near_text(const char *word, const char *const *names, const char *prefix);
