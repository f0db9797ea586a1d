/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One line of the application feed: what it says, or which field is wrong. Pure; farmgate(8) describes
 * the protocol.
 *
 *   {"client":"203.0.113.7:51234","server":"198.51.100.10:443","account":"9f86d081884c7d65",
 *    "outcome":"ok","age":"week"}
 *   {"lookup":{"client":"[2001:db8::7]:51234","server":"[2001:db8:ff::1]:443"}}
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/accounts.h"

/* A message with the longest of everything has 260 bytes; the rest is room for blanks. */
#define FG_FEED_MAX_LINE 1024
/* Hex digits of an account: an HMAC's first 64 bits at least, all of SHA-256's at most. */
#define FG_FEED_MIN_ACCOUNT 16
#define FG_FEED_MAX_ACCOUNT 64

/* X(name): why a line was refused. */
#define FG_FEED_REFUSED(X)                                 \
	X(too_long) /* more than FG_FEED_MAX_LINE bytes */ \
	X(cut) /* the connection ended inside it */        \
	X(json) /* no JSON object */                       \
	X(unknown) /* a field that has no meaning here */  \
	X(missing)                                         \
	X(client)                                          \
	X(server)                                          \
	X(account)                                         \
	X(outcome)                                         \
	X(age)                                             \
	X(lookup)                                          \
	X(room) /* the tables of accounts are full: no_room says which */

#define FG_NAME_ENUM(name) FG_FEED_##name,
enum fg_feed_refused {
	FG_FEED_REFUSED(FG_NAME_ENUM) _FG_FEED_REFUSED_MAX
};
#undef FG_NAME_ENUM
/** Its name. */
const char *fg_feed_refused_name(enum fg_feed_refused refused);

/* A connection: 16-byte addresses, ports in host order. */
struct fg_feed_pair {
	uint8_t client[16], server[16];
	uint16_t client_port, server_port;
};

struct fg_feed_line {
	bool lookup; /* only pair is valid */
	struct fg_feed_pair pair;
	uint64_t account; /* hash of the digits under the seed; upper and lower case are one */
	enum fg_account_outcome outcome;
	enum fg_account_age age; /* FG_AGE_UNKNOWN where it was not given */
};

/** @param text  n bytes without the line's end
 * @return -1 where the line was taken; else why not (enum fg_feed_refused), with a sentence in why */
int fg_feed_parse(const char *text, size_t n, const uint64_t seed[2], struct fg_feed_line *ret_line,
		  char *why, size_t n_why);
