/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/near.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORD 40
/* More changes than this and the two words have nothing to do with each other. */
#define MAX_CHANGES 3

/* Levenshtein distance, one row of the table kept. */
unsigned int fg_near_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned int row[MAX_WORD + 1];

	if (n > MAX_WORD || m > MAX_WORD)
		return MAX_WORD;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int corner = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int change = corner + (a[i - 1] != b[j - 1]), up = row[j];

			corner = up;
			row[j] = up + 1 < row[j - 1] + 1 ? up + 1 : row[j - 1] + 1;
			if (change < row[j])
				row[j] = change;
		}
	}
	return row[m];
}

const char *fg_near_text(const char *word, const char *const *names, const char *prefix)
{
	static char text[MAX_WORD + 32];
	unsigned int best = MAX_CHANGES + 1;
	const char *nearest = NULL;

	for (size_t i = 0; names[i]; i++) {
		unsigned int d = fg_near_distance(word, names[i]);

		if (d < best && d < strlen(names[i])) {
			best = d;
			nearest = names[i];
		}
	}
	if (!nearest)
		return "";
	snprintf(text, sizeof(text), " (did you mean '%s%s'?)", prefix, nearest);
	return text;
}
