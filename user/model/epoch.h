/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one slice of time added, as taken from the tables of the kernel or of the host engine.
 * Everything in it is a difference to the epoch before, except the totals. A subject may appear
 * more than once; the model adds up. The arrays belong to the source of epochs and are valid until
 * its next call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farmgate/abi.h"

struct fg_epoch_source {
	uint8_t addr[16]; /* IPv4 v4-mapped, IPv6 masked to the /64 */
	uint64_t syns, connections, proven, hellos, incomplete, fins, rsts;
};

struct fg_epoch_client {
	uint8_t addr[16];
	uint64_t stem, stack, print;
	uint64_t connections; /* proven connections that brought this client's hello */
	uint64_t proof_socket, resumed;
};

struct fg_epoch_print {
	uint64_t print, stem;
	uint64_t hellos;
};

/* An exchange whose end was seen. */
struct fg_epoch_turn {
	uint64_t start_ns; /* first byte of the request; as fine as a tick */
	uint16_t shape; /* farmgate/turn.h: up, down, duration, first byte, four bits each */
	uint16_t chunks; /* steps in which the answer came, at most 65535 */
	uint32_t lasted_ms; /* from the request to the last byte of the answer */
};

/* fg_epoch_flow.news: told once of each connection, in the epoch in which it became final. */
#define FG_NEWS_OPENED (1U << 0) /* its hello is complete: who it is */
#define FG_NEWS_TIMES  (1U << 1) /* its round trips and turn-arounds */
#define FG_NEWS_CLOSED (1U << 2) /* who ended it, after how much silence */

/* fg_epoch_flow.time_flags */
#define FG_TIMES_EGRESS	      (1U << 0) /* clocks began at the reply, not at the request */
#define FG_TIMES_SECOND_HELLO (1U << 1) /* turn-around is that of the second hello */
#define FG_TIMES_EARLY	      (1U << 2) /* early data: turn-around is that of its end */
#define FG_TIMES_RESENT	      (1U << 3) /* something was sent again: what it touched is left out */

/* Exchanges of one connection kept for one epoch; the others count, without a shape. */
#define FG_EPOCH_TURNS 4

/* Progress of one proven connection; stem 0 where its hello is not complete. */
struct fg_epoch_flow {
	uint8_t addr[16];
	uint64_t stem, stack;
	uint64_t bytes_in, bytes_out, exchanges;
	uint8_t news; /* FG_NEWS_*; which of the groups below are valid */
	/* opened */
	uint64_t opened_ns; /* first segment behind the handshake; as fine as a tick */
	uint64_t print;
	uint32_t order; /* hash of the extensions in wire order */
	uint16_t hello_flags; /* FG_HELLO_* */
	uint8_t server[16]; /* the address of ours that it came to */
	uint8_t ttl; /* of the SYN, as it came; 0 = no SYN seen */
	bool has_tsval; /* the SYN carried a timestamp option */
	uint32_t tsval;
	uint64_t tsval_ns; /* when that SYN came; as fine as a tick */
	/* times, in microseconds; 0 = not measured */
	uint8_t time_flags; /* FG_TIMES_* */
	uint8_t n_rtts; /* samples of the TCP round trip, at most 8 */
	uint32_t rtt_us, rtt_max_us; /* smallest and largest of them */
	uint32_t hello_delay_us; /* from the handshake's end to the hello's first byte */
	uint32_t turn_us; /* TLS turn-around */
	/* closed */
	uint8_t closed_by; /* enum fg_close */
	uint32_t idle_ms; /* silence before the close */
	uint32_t lasted_ms; /* from opened_ns to the close */
	/* exchanges that ended, oldest first */
	uint8_t n_turns;
	struct fg_epoch_turn turns[FG_EPOCH_TURNS];
};

struct fg_epoch {
	uint64_t start_ns, end_ns; /* unix time; of the capture in replay */
	struct fg_totals received; /* since the start, all ingress slots and CPUs */
	struct fg_totals replies; /* same, egress slots */
	const struct fg_epoch_source *sources;
	size_t n_sources;
	const struct fg_epoch_client *clients;
	size_t n_clients;
	const struct fg_epoch_print *prints;
	size_t n_prints;
	const struct fg_epoch_flow *flows;
	size_t n_flows;
	const struct fg_sample *samples; /* hellos to be named */
	size_t n_samples;
};
