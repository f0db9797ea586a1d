/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A verdict store in a folder of its own around each test: cmocka's set_up and tear_down. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verdict/store.h"

#define S    1000000000ULL
#define HOUR (3600 * S)
#define DAY  (24 * HOUR)
#define NOW  (1795435200 * S)

static char dir[] = "/tmp/fg-verdicts-XXXXXX";
static struct fg_store *store;

static void reopen(uint64_t now_ns)
{
	char why[256] = "";

	fg_store_close(&store);
	if (fg_store_open(dir, now_ns, &store, why, sizeof(why)))
		fail_msg("%s", why);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fg-verdicts-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	reopen(NOW);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = { "farmgate.db", "farmgate.db-wal", "farmgate.db-shm",
					     "instance" };
	char path[64];

	(void)state;
	fg_store_close(&store);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	return rmdir(dir);
}
