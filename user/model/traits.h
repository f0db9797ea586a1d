/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one client is like, in a few bytes: answers of yes, no or unknown, and places in histograms.
 * Cells (model/cells.h) count clients by these, each client once an hour: that a client shows a trait
 * again and again says no more than that it shows it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "model/networks.h"

/* Yes or no. A farm has more of each than its surroundings; none of them is wrong in itself. */
enum fg_share {
	FG_SHARE_RELAYED, /* fg_times.relayed: three measured connections or more */
	FG_SHARE_RELAYED_YOUNG, /* one or two measured: their median by the same yardstick */
	FG_SHARE_IDLE, /* closes after a constant of proxy providers: 45, 60, 90, 180, 300 s */
	FG_SHARE_V4, /* comes over IPv4: residential proxies hardly have anything else */
	FG_SHARE_BORN, /* its source was first seen within a day */
	FG_SHARE_NOT_BACK, /* was not active on the day before */
	_FG_SHARE_MAX
};
const char *fg_share_name(enum fg_share share);

/* Histograms; their bins lie one behind the other in one array. */
enum fg_hist {
	FG_HIST_TURNS, /* log2 of the day's turns so far */
	FG_HIST_SHAPE, /* its most frequent shape: request bytes by answer bytes */
	FG_HIST_STACK, /* family of its stack by MSS */
	_FG_HIST_MAX
};
#define FG_TURN_BINS  16
#define FG_SHAPE_BINS 64
#define FG_STACK_BINS 16
#define FG_HIST_BINS  (FG_TURN_BINS + FG_SHAPE_BINS + FG_STACK_BINS)
/** First bin of a histogram, and behind its last: fg_hist_at(h + 1). */
unsigned int fg_hist_at(unsigned int hist);
const char *fg_hist_name(enum fg_hist hist);

#define FG_BIN_UNKNOWN	  0xff
#define FG_OFFSET_UNKNOWN INT16_MIN

struct fg_traits {
	uint32_t place; /* for fg_model_client_at() */
	uint8_t known, yes; /* bits 1 << enum fg_share */
	uint8_t bins[_FG_HIST_MAX]; /* within the histogram, or FG_BIN_UNKNOWN */
	uint8_t measured; /* connections with times, stops at 255 */
	uint8_t age_days; /* of its source, stops at 255 */
	uint8_t network_class; /* enum fg_net_class */
	int16_t offset_minutes; /* of its country's clock to UTC, or FG_OFFSET_UNKNOWN */
	uint32_t asn; /* 0 = not known */
	char country[2]; /* zeros = not known */
};

struct fg_crypto_cache;

/**
 * Traits of many clients of one model at one time.
 *
 * networks may be NULL: nothing is known of networks then.
 */
struct fg_traits_reader {
	const struct fg_model *model;
	const struct fg_networks *networks;
	/* c of the stems seen lately, by the low bits of their keys */
	struct {
		uint64_t stem;
		double us;
	} crypto[256];
};
void fg_traits_begin(struct fg_traits_reader *reader, const struct fg_model *model,
		     const struct fg_networks *networks);
void fg_traits_read(struct fg_traits_reader *reader, uint32_t place, struct fg_traits *ret_traits);

/** Bin of a shape (farmgate/turn_shape.h): request bytes in sixteen steps, answer bytes in four. */
unsigned int fg_shape_bin(uint16_t shape);
/** "requests of 16 to 32 kB, answers of 2 to 32 kB". */
void fg_shape_bin_text(unsigned int bin, char *text, size_t n);
/** "8 to 15". */
void fg_turn_bin_text(unsigned int bin, char *text, size_t n);
/** "android, MSS 1400". */
void fg_stack_bin_text(unsigned int bin, char *text, size_t n);
