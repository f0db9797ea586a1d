/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a configuration file: taken whole, or refused with a sentence and no change. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/conf.h"
#include "fuzz.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("conf", MFD_CLOEXEC);
	struct fg_conf conf, before;
	char path[64], why[512] = "";

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fg_conf_init(&conf);
	memcpy(&before, &conf, sizeof(conf));
	if (fg_conf_load(&conf, path, why, sizeof(why))) {
		MUST(why[0] && memchr(why, 0, sizeof(why)));
		MUST(!memcmp(&before, &conf, sizeof(conf)));
	} else {
		MUST(conf.n_ports >= 1 && conf.n_ports <= FG_CONF_MAX_PORTS);
		MUST(conf.n_interfaces <= FG_MAX_IFACES && conf.n_prefixes <= FG_MAX_PREFIXES);
		MUST(conf.role < _FG_ROLE_MAX && conf.ttl_s <= 86400);
	}
	fg_conf_done(&conf);
	return 0;
}
