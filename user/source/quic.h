/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hellos out of QUIC (RFC 9000, 9001, 9369). A client's first packets are encrypted with keys that
 * anybody can derive from the connection ID in them: this opens them, puts the CRYPTO frames in
 * order, over packets and datagrams, and reads the hello with the reader that TCP has. Datagrams in,
 * hellos out; no tables of farmgate's, no clocks, no logging.
 *
 * Strangers choose everything here. A connection that is waited for has a place in a table of fixed
 * size, of which the oldest gives way, and memory only for what it has sent, within one limit for
 * all.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "farmgate/abi.h"

/* Connections whose hello has begun and not ended: at 10,000 new ones a second it is complete or
 * lost within a round trip, and 4,096 are 0.4 s of them. 104 bytes each. */
#define FG_QUIC_WAITING 4096
/* Of CRYPTO data together: what all of them need for a usual hello of 2 kB each. */
#define FG_QUIC_WAITING_BYTES (8U << 20)
/* Of one hello. The largest of today's browsers is 2 kB; one record of TLS holds as much. */
#define FG_QUIC_HELLO_BYTES 16384
/* After so long an unfinished hello is given up: a client repeats its first flight after 1, 3 and 7 s
 * (RFC 9002 section 6.2), and gives up itself soon after. */
#define FG_QUIC_TIMEOUT_NS 15000000000ULL

/* A connection's name; ports in network order. */
struct fg_quic_path {
	uint8_t client[16], server[16];
	__be16 client_port_be, server_port_be;
};

enum fg_quic_result {
	FG_QUIC_IGNORED, /* no Initial of a version that is known, or nothing new in it */
	FG_QUIC_UNREADABLE, /* an Initial that no key opens: forged, damaged, or its beginning was lost */
	FG_QUIC_MORE, /* a part of a hello, which waits for the rest */
	FG_QUIC_HELLO, /* the hello is complete */
	FG_QUIC_FAILED, /* it never will be; the hello's reason says why */
};

struct fg_quic;

/** seed: of the fingerprint keys. @return 0, -ENOMEM, -ENOTSUP where libcrypto lacks a cipher. */
int fg_quic_new(const uint64_t seed[4], struct fg_quic **ret_quic);
void fg_quic_free(struct fg_quic **quic);

/**
 * Takes a datagram of a client: UDP payload, with all packets that are coalesced in it.
 *
 * ret_hello is filled with HELLO and FAILED. A connection has its hello once: what comes again of it
 * is IGNORED, until the address begins another connection with another connection ID.
 */
enum fg_quic_result fg_quic_datagram(struct fg_quic *quic, const struct fg_quic_path *path,
				     uint64_t time_ns, const uint8_t *bytes, size_t n,
				     struct fg_hello *ret_hello);

/** Told about each hello that is given up because its time is over or its place was needed. */
typedef void (*fg_quic_lost_fn)(void *arg, const struct fg_quic_path *path,
				enum fg_incomplete reason);
void fg_quic_on_lost(struct fg_quic *quic, fg_quic_lost_fn fn, void *arg);
/** Gives up what began more than FG_QUIC_TIMEOUT_NS before. */
void fg_quic_expire(struct fg_quic *quic, uint64_t now_ns);
/** Gives up all of it, for this reason: the capture ended. */
void fg_quic_give_up(struct fg_quic *quic, enum fg_incomplete reason);

/** Waiting connections, and bytes that they hold. */
uint32_t fg_quic_waiting(const struct fg_quic *quic);
size_t fg_quic_waiting_bytes(const struct fg_quic *quic);
