/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wrong keys by address. A right key is taken whatever its address did before: behind a proxy all have
 * one address, and nobody shall be able to lock a bouncer out. Keys are too long to be tried out; what
 * the limit saves is the log and the answers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* An address may fail so often in a minute; a bouncer with a wrong key does six times. */
#define FG_FAILURES_A_MINUTE 10
/* Addresses watched; of more the one that failed longest ago is forgotten. */
#define FG_FAILURES_ADDRESSES 64

struct fg_failures {
	struct {
		uint8_t source[16];
		uint64_t last_ns;
		double left; /* of FG_FAILURES_A_MINUTE */
	} rows[FG_FAILURES_ADDRESSES];
};

/** Notes one. @return true where the address is over its limit. Sources are IPv4 addresses or /64s. */
bool fg_failures_note(struct fg_failures *failures, const uint8_t source[16], uint64_t now_ns);
