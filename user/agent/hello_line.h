/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One hello as the fields of `farmgate ja4`. */
#pragma once

#include <stdbool.h>

#include "farmgate/abi.h"
#include "lib/ip.h"

struct fg_hello_line {
	const char *proto; /* tcp, quic */
	char source[FG_IP_TEXT], server[FG_IP_TEXT];
	unsigned int sport, dport;
	char sni[FG_MAX_SNI + 1]; /* "-" where there is none; one word whatever was sent */
	char ja4[48], stem[48]; /* "-" where the hello is incomplete */
	char status[32]; /* complete, or incomplete:REASON */
	/* "-" where it is not asked for */
	char raw[5 * (FG_MAX_CIPHERS + FG_MAX_EXTS + FG_MAX_SIGALGS) + 32];
};

/** raw: fill in the raw form too. @return 0, -EINVAL where the sample makes no sense. */
int fg_hello_line_of(const struct fg_sample *sample, bool raw, struct fg_hello_line *ret_line);
