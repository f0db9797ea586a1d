/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent/core.h: what a core does where its state, its clock or its tables are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/core.h"

#define S	1000000000ULL
#define NOW	(1795435200 * S)
#define HOUR_NS (3600 * S)

static struct fg_conf conf;
static struct fg_core core;
static char folder[64];

static int set_up(void **state)
{
	(void)state;
	fg_conf_init(&conf);
	conf.limits.sources = conf.limits.clients = 4096;
	conf.limits.hosts = conf.limits.pairs = 4096;
	strcpy(folder, "/tmp/farmgate-core.XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "farmgate.db", "farmgate.db-wal", "farmgate.db-shm" };
	char path[128];

	(void)state;
	fg_core_close(&core);
	fg_conf_done(&conf);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

/* --- The state folder -------------------------------------------------------------------------- */

/* A store that cannot open leaves nothing to save: the agent asks for both on its way out. */
static void test_core_without_a_store_is_refused_and_can_be_closed(void **state)
{
	char file[96], below[112], why[256] = "";
	FILE *f;

	(void)state;
	snprintf(file, sizeof(file), "%s/file", folder);
	snprintf(below, sizeof(below), "%s/state", file);
	f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(fg_core_open(&core, &conf, below, NOW, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, below));
	assert_int_equal(fg_core_save(&core), -EBADF);
	fg_core_close(&core);
	assert_int_equal(unlink(file), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_core_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(without_a_store_is_refused_and_can_be_closed),
	};

	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
