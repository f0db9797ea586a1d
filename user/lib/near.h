/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* "Did you mean": the nearest of some words. */
#pragma once

/** Changes of one letter that make one word the other; words of more than 40 letters are as far
 * from everything as can be. */
unsigned int fg_near_distance(const char *a, const char *b);

/** " (did you mean 'PREFIXword'?)" or "" where none is near. names ends with NULL. The text is good
 * until the next call. */
const char *fg_near_text(const char *word, const char *const *names, const char *prefix);
