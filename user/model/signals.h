/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one client's connections tell beside their number: round trips and turn-arounds, gaps,
 * hours, shapes of exchanges, who closes after how much silence, resumption. A fixed 176 bytes a
 * client, so that two million clients fit into memory: times are logarithms, and counts that only
 * serve as shares are bytes which are halved together when one is full (they then speak of the
 * latest one to two hundred). Pure arithmetic: no model, no clock, no opinion but the trait
 * `relayed`, which is a definition.
 *
 * Nothing here tells a farm from a customer. A relay is no fraud: corporate gateways, privacy
 * relays and split-TCP proxies of mobile networks are relayed, too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/epoch.h"

/* Measured connections remembered; a median and a spread need three. */
#define FG_TIMES_KEPT 6
/* Gaps between the starts of exchanges: bin 0 below 128 ms, then one bin a doubling, 15 from 2^21
 * ms (35 minutes) on. 25 exchanges a day are an hour apart, a polling client a second. */
#define FG_GAP_BINS    16
#define FG_GAP_LOW_BIT 7
#define FG_SHAPES_KEPT 4
/* An answer that came in so many steps was streamed. */
#define FG_STREAM_CHUNKS 8
#define FG_DAY_QUARTERS	 96
#define FG_DAY_NS	 86400000000000ULL
/* Older handshakes leave no usable ticket behind. */
#define FG_TICKET_NS FG_DAY_NS

/*
 * Silence before the client's close. Libraries and proxies close idle connections after constants
 * of their own: undici 4 s, httpx 5 s, providers of residential proxies 45, 60, 90, 180 or 300 s. A
 * mode reaches one second to either side; 4 and 5 part at 4.5 s. A server that closes first hides
 * the client's constant, so its closes are counted apart and have no mode.
 */
enum fg_idle_mode {
	FG_IDLE_BELOW_1,
	FG_IDLE_4,
	FG_IDLE_5,
	FG_IDLE_30,
	FG_IDLE_45,
	FG_IDLE_60,
	FG_IDLE_90,
	FG_IDLE_120,
	FG_IDLE_180,
	FG_IDLE_300,
	FG_IDLE_OTHER,
	_FG_IDLE_MAX
};
/** Key of a mode: "below_1_s", "4_s", …, "other". */
const char *fg_idle_mode_name(enum fg_idle_mode mode);
enum fg_idle_mode fg_idle_mode_of(uint32_t idle_ms);

/* All zero is a client of which nothing was heard. Times are fg_time_code(). */
struct fg_signals {
	uint64_t orders; /* linear counting of extension orders, one bit each */
	uint32_t times[FG_TIMES_KEPT]; /* newest first; 0 = none; see signals.c */
	float gap_mean_ms, gap_variance;
	uint32_t start_ms; /* unix ms of the latest exchange's start, low half; 0 = none */
	uint16_t gaps[FG_GAP_BINS]; /* each stops at 65535 */
	uint32_t active[2][FG_DAY_QUARTERS / 32]; /* quarter hours of `day` and of the day before */
	uint16_t day; /* days since 1970 (UTC) of the newest activity, 0 = none */
	uint8_t hours[24]; /* active quarter hours by hour of day (UTC), halved together */
	uint16_t shapes[FG_SHAPES_KEPT], shape_counts[FG_SHAPES_KEPT]; /* space-saving */
	uint16_t streams; /* of the exchanges with a shape; halved with them */
	uint16_t rtt_min; /* of all, not only of those kept */
	uint16_t full_minute; /* minute of the latest full handshake, low half; 0 = none */
	uint32_t chunks; /* sum, halved with streams */
	uint16_t parallel; /* most connections that moved within one epoch */
	uint8_t closes[_FG_IDLE_MAX], closers[_FG_CLOSE_MAX - 1]; /* halved together */
	uint8_t opened, early, judged, orphans; /* hellos, halved together */
	uint8_t measured, resent; /* connections with times, and left out; stop at 255 */
	uint8_t returns; /* later days on which it was seen again; stops at 255 */
};
_Static_assert(sizeof(struct fg_signals) == 176, "fg_signals: fg_model_client has 256 bytes");

/**
 * A time as a logarithm of ten bits: 0 = not measured, else steps of 2 %, so that the value read
 * back is within 1 % (0.995 %) from 1 us to 615 s; above, 615 s.
 */
uint16_t fg_time_code(uint32_t us);
/** Microseconds; 0 for code 0. */
double fg_time_us(uint16_t code);

/** True where a hello offers a session to take up again: a PSK, or a ticket with content. */
bool fg_signals_offers(uint16_t hello_flags);

/**
 * Notes that a full handshake of this client was seen. Called for all flows of an epoch before any
 * of them is added: they come in no order.
 */
void fg_signals_full(struct fg_signals *g, uint64_t opened_ns);

/**
 * Adds one flow of an epoch.
 *
 * @param epoch_ns        a time inside the epoch, unix
 * @param known_since_ns  no client was forgotten since. A resumption is judged an orphan or not
 *                        only when this lies FG_TICKET_NS before it: until then its full handshake
 *                        may have gone by unseen (burn-in).
 */
void fg_signals_add(struct fg_signals *g, const struct fg_epoch_flow *flow, uint64_t epoch_ns,
		    uint64_t known_since_ns);

/* --- Reading. n is always the number of samples that the figures beside it rest on. ----------- */

/* Median, and median absolute deviation from it (not scaled to a standard deviation). */
struct fg_spread {
	unsigned int n;
	double median, mad;
};

enum fg_trait {
	FG_TRAIT_UNKNOWN, /* too few samples */
	FG_TRAIT_NO,
	FG_TRAIT_YES,
};
const char *fg_trait_name(enum fg_trait trait);

struct fg_times {
	struct fg_spread rtt_ms; /* S1, TCP round trip, smallest of each connection */
	struct fg_spread turn_ms; /* S2, TLS turn-around */
	struct fg_spread delay_ms; /* D, from the handshake's end to the hello */
	struct fg_spread gap_ms; /* G = S2 - S1 - c of each connection that has both */
	double rtt_min_ms; /* smallest ever, 0 = none */
	unsigned int measured, resent; /* connections, at most 255 */
	unsigned int second_hellos, early; /* among the latest FG_TIMES_KEPT */
	/**
	 * The median of G over at least three connections is above 25 ms, above four times its
	 * MAD and above a quarter of S1: the TCP connection seems to end at a relay.
	 */
	enum fg_trait relayed;
	/** |D - G| < max(10 ms, 0.3 G), medians: the hello was late by the same way, as behind a
	 * relay that must report success before the client sends it. Asked only of what is
	 * relayed. */
	enum fg_trait confirmed;
};

/** @param crypto_us  c, the stem's own time for its cryptography (model/stems.h), 0 where not
 * known: G then holds it. */
struct fg_times fg_signals_times(const struct fg_signals *g, double crypto_us);

/* cv is standard deviation over mean: 0 for a clock, 1 for chance, more for bursts; NaN below
 * two gaps. Exchanges that began before one that is known already (parallel ones) make no gap. */
struct fg_gaps {
	uint32_t n;
	double mean_ms, cv;
};
struct fg_gaps fg_signals_gaps(const struct fg_signals *g);

/** Was the quarter hour (0..95, UTC) of `day` (days_ago 0) or of the day before (1) active? */
bool fg_signals_active(const struct fg_signals *g, unsigned int days_ago, unsigned int quarter);
/** Sum of hours[]. */
unsigned int fg_signals_hours(const struct fg_signals *g);

/* A count of a space-saving list is too high by at most the smallest of a full one. */
struct fg_shapes {
	uint32_t n; /* exchanges with a shape */
	unsigned int n_top;
	struct {
		uint16_t shape; /* model/epoch.h */
		double share;
	} top[FG_SHAPES_KEPT]; /* most frequent first */
	double streamed_share, chunks_mean; /* 0 where n is */
};
struct fg_shapes fg_signals_shapes(const struct fg_signals *g);

struct fg_closes {
	unsigned int n; /* connections whose end was seen */
	unsigned int n_idle; /* of these, closed by the client */
	double by_share[_FG_CLOSE_MAX]; /* of n; by enum fg_close, [FG_CLOSE_NOT] is 0 */
	double idle_share[_FG_IDLE_MAX]; /* of n_idle */
};
struct fg_closes fg_signals_closes(const struct fg_signals *g);

struct fg_lifecycle {
	unsigned int n; /* hellos, the latest 128 to 255 */
	double early_share; /* of n: with early data */
	unsigned int n_judged; /* resumptions behind the burn-in */
	double orphan_share; /* of n_judged: no full handshake of this client within a day before */
	/** Distinct orders of extensions, by linear counting (Whang et al. 1990): -64 ln(zeros/64),
	 * about 10 % off up to 64. With all bits set (some 266) it is a lower bound. */
	double orders;
	bool orders_full;
};
struct fg_lifecycle fg_signals_lifecycle(const struct fg_signals *g);
