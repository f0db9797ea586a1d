/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A row of the model as a few bytes that outlive it: of a source, a client, a stem, a fingerprint,
 * the clocks behind a source. Put back, it reads the same: everything survives but
 *
 *   - what speaks of less than an hour: the sliding window of a source, connections that move at the
 *     same time in this epoch;
 *   - a source's number of clients, which its clients make up, and which fingerprints a client showed
 *     before its latest: these count once more when they come again;
 *   - parts of a second of first_ns (rounded down), last_ns (up), and of a millisecond of tsval_ns.
 *
 * So traits, signals and what is usual for a source are what they were (tests/unit/summary_test.c).
 *
 * Form: version, fields in a fixed order, CRC-32. Numbers have as many bytes as they need (seven bits
 * each), lists leave out their zeros: about 65 bytes a source, 170 a client (30 of them its identity),
 * 280 a stem, where their rows have 184, 270 and 552. Pure; no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

/* Of the form. What another version wrote is not read. */
#define FG_SUMMARY_VERSION 1
/* A stem with every bin of its histogram in use, and more. */
#define FG_SUMMARY_BYTES 1024

/* In the order in which they have to be put back: a client finds its fingerprint and its source. */
enum fg_summary_kind {
	FG_SUMMARY_PRINT = 1,
	FG_SUMMARY_STEM,
	FG_SUMMARY_SOURCE,
	FG_SUMMARY_CLIENT,
	FG_SUMMARY_HOSTS,
	_FG_SUMMARY_MAX
};

struct fg_summary {
	uint64_t key; /* kind in the highest four bits, then the row's hash: below 2^63 */
	uint64_t last_ns; /* when it was last seen */
	size_t n;
	uint8_t bytes[FG_SUMMARY_BYTES];
};

uint64_t fg_summary_key(enum fg_summary_kind kind, uint64_t hash);
enum fg_summary_kind fg_summary_kind_of(uint64_t key);

/* A client's row, with what lies beside it. */
struct fg_client_summary {
	struct fg_model_client row; /* without the place of its fingerprint */
	struct fg_client_day day; /* without the list's hour */
	uint64_t print; /* key of its latest fingerprint, 0 = none */
	bool listed; /* it was active in the hour of last_ns */
};

/** These fill in everything but the key. */
void fg_summary_put_source(const struct fg_model_source *source, struct fg_summary *ret);
void fg_summary_put_client(const struct fg_client_summary *client, struct fg_summary *ret);
void fg_summary_put_stem(const struct fg_stem *stem, struct fg_summary *ret);
void fg_summary_put_print(const struct fg_model_print *print, struct fg_summary *ret);
void fg_summary_put_hosts(const struct fg_hosts_row *row, struct fg_summary *ret);

/** @return 0 with *ret filled in whole, -ESTALE where another version wrote it, -EBADMSG where it is
 * damaged. */
int fg_summary_get_source(const void *bytes, size_t n, struct fg_model_source *ret);
int fg_summary_get_client(const void *bytes, size_t n, struct fg_client_summary *ret);
int fg_summary_get_stem(const void *bytes, size_t n, struct fg_stem *ret);
int fg_summary_get_print(const void *bytes, size_t n, struct fg_model_print *ret);
int fg_summary_get_hosts(const void *bytes, size_t n, struct fg_hosts_row *ret);
