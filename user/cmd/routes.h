/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one exabgp should announce, and until when: the memory of `export exabgp --follow`. Turns the
 * agent's rows into the lines that make exabgp's routes equal to them. Each route has its end here,
 * so that none outlives its block when the agent is gone. No clock, no file descriptors.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A route that exabgp refused is announced again after so long. */
#define FG_ROUTES_RETRY_NS 60000000000ULL
/* A route that a process before this one left behind: its end is not known, so it stands so long for
 * want of an agent that knows. */
#define FG_ROUTES_FOUND_NS 300000000000ULL

struct fg_routes_counts {
	uint64_t announced, withdrawn; /* lines written, retries included */
	uint64_t done, refused; /* answers */
	uint64_t found; /* of a process before this one */
	uint64_t left_out, too_wide, no_next_hop; /* of the agent's last answer */
};

struct fg_routes;

/** @return 0, -ENOMEM. */
int fg_routes_new(struct fg_routes **ret_routes);
void fg_routes_free(struct fg_routes **routes);

/** Asks exabgp what it has. */
void fg_routes_ask(struct fg_routes *routes, FILE *out);
/** It has this one. The next fg_routes_take() keeps or withdraws it. @return 1 where it was not known,
 * 0, -ENOMEM, -ENOSPC. */
int fg_routes_found(struct fg_routes *routes, const char *announce, const char *withdraw,
		    uint64_t now_ns);

/** The agent's answer (fg_exabgp_rows()): writes the differences, withdrawals first. now_ns is of a
 * clock that nobody sets. @return 0; -EBADMSG where it is no such answer, -ENOMEM: nothing is
 * changed or written. */
int fg_routes_take(struct fg_routes *routes, const json_t *answer, uint64_t now_ns, FILE *out);
/** Withdraws what has ended; announces again what was refused a while ago. */
void fg_routes_tick(struct fg_routes *routes, uint64_t now_ns, FILE *out);
/** Withdraws everything. */
void fg_routes_end(struct fg_routes *routes, FILE *out);

/** One line that exabgp said. @return what it refused, good until the next call; NULL where it
 * refused nothing. */
const char *fg_routes_answer(struct fg_routes *routes, const char *line, uint64_t now_ns);

size_t fg_routes_n(const struct fg_routes *routes);
const struct fg_routes_counts *fg_routes_counts(const struct fg_routes *routes);
