/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How far each kind of client reaches: from how many sources, networks and countries a stem came
 * lately, and from which networks how often. Popularity is told and never judged; the mix of networks
 * says whether a stem's newcomers are those of the stem that they seem to come from
 * (model/usual.c).
 *
 * Two generations of FG_REACH_DAYS each, this one and the one before, so that what is told is of the
 * last seven to fourteen days: whole weeks, because offices and homes keep different days. Distinct
 * counts are HyperLogLogs (lib/hll.h). Of a stem that a thousand sources show they are exact and small.
 *
 * A network is an ASN where a table knows it, else a /16 or a /32 of IPv6.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fg_reach_set {
	FG_REACH_SOURCES,
	FG_REACH_NETWORKS,
	FG_REACH_COUNTRIES, /* needs a table of networks */
	_FG_REACH_MAX
};

#define FG_REACH_DAYS 7
/* All sketches together. 500 stems of many sources and networks take 500 x 2 sets x 2 generations x 12
 * kB = 24 MB, and the 500 most frequent fingerprints are 99.7 % of what there is (model/stems.h);
 * the others are sparse. What finds no room is counted. */
#define FG_REACH_BYTES (32U << 20)
/* Networks by hash: told apart into so many. */
#define FG_REACH_MIX 64
/* Mixes of fewer sources are not compared: by chance alone two of 100 are apart by 0.16 before it is
 * taken off, give or take 0.03. */
#define FG_REACH_MIX_LEAST 100

struct fg_reach;

/** @param rows  stems, each in a row of its own. @return 0, -ENOMEM. */
int fg_reach_new(uint32_t rows, struct fg_reach **ret_reach);
void fg_reach_free(struct fg_reach **reach);

/** Begins a day, and with every seventh a generation. @param day  since 1970. */
void fg_reach_begin(struct fg_reach *reach, uint32_t day);
/** A row is another stem's now. */
void fg_reach_clear(struct fg_reach *reach, uint32_t row);

/**
 * Counts a client on one of its days.
 *
 * @param network  fg_reach_network()
 * @param country  two letters, or zeros where not known
 * @param learn  it counts in the mix: what belongs to a cohort does not
 */
void fg_reach_add(struct fg_reach *reach, uint32_t row, const uint8_t addr[16], uint64_t network,
		  const char country[2], bool learn);
/** What network an address counts as; asn 0 where not known. */
uint64_t fg_reach_network(const uint8_t addr[16], uint32_t asn);

struct fg_reach_counts {
	double n[_FG_REACH_MAX];
};
struct fg_reach_counts fg_reach_counts(const struct fg_reach *reach, uint32_t row);

/**
 * How unlike the mixes of networks of two rows are: the Jensen-Shannon divergence in nats (0 alike,
 * ln 2 nothing in common; Lin 1991), less what chance alone makes of so few, (bins - 1)/8 (1/n + 1/m)
 * (its first-order expectation; n and m are distinct sources). Bins hold several networks, which
 * can only make it smaller, so it errs towards alike. 0 where either has fewer than
 * FG_REACH_MIX_LEAST sources.
 */
double fg_reach_unlike(const struct fg_reach *reach, uint32_t a, uint32_t b);

/** Not counted because there was no room. */
uint64_t fg_reach_refused(const struct fg_reach *reach);
/** Of its sketches and rows. */
uint64_t fg_reach_bytes(const struct fg_reach *reach);

/** Rows below n as bytes. *ret_bytes is the caller's to free. @return 0, -ENOMEM. */
int fg_reach_save(const struct fg_reach *reach, uint32_t n, void **ret_bytes, size_t *ret_n);
/** @return 0, -EBADMSG, -ENOMEM: it is empty then. */
int fg_reach_load(struct fg_reach *reach, const void *bytes, size_t n);
