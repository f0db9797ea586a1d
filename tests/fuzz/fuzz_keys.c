/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a keys file: taken whole, or refused by line with nothing changed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "serve/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fg_keys keys, before;
	char why[256] = "";

	memset(&keys, 0x55, sizeof(keys));
	before = keys;
	if (fg_keys_parse(&keys, (const char *)data, size, "keys", why, sizeof(why))) {
		MUST(!strncmp(why, "keys:", 5) && memchr(why, 0, sizeof(why)));
		MUST(!memcmp(&before, &keys, sizeof(keys)));
		return 0;
	}
	MUST(keys.n <= FG_KEYS_MAX);
	for (size_t i = 0; i < keys.n; i++) {
		const struct fg_key *key = &keys.keys[i];

		MUST(key->name[0] && memchr(key->name, 0, sizeof(key->name)));
		MUST(key->role <= FG_KEY_READ);
		for (size_t k = 0; k < i; k++)
			MUST(strcmp(key->name, keys.keys[k].name));
	}
	/* the file itself is nobody's key */
	MUST(!fg_keys_find(&keys, (const char *)data, size) || size <= FG_KEY_MAX);
	return 0;
}
