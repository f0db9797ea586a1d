/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agent's half of the QUIC stage: datagrams that the programs handed over become hellos, and
 * these go into the tables, by the same code that the programs are made of (farmgate/quic.h), and to
 * whoever names them.
 */
#pragma once

#include <stdbool.h>

#include "source/engine.h"

struct fg_quic_take;

/** Hands over hellos, complete and given up, as samples; proto is 'q'. */
struct fg_quic_take_conf {
	const struct fg_config *config; /* seed and masks of the tables; outlives the taker */
	const struct fg_tables *tables; /* the same */
	fg_sample_fn on_sample;
	void *arg;
	/** Is this client blocked? NULL = nobody is. */
	int (*is_blocked)(void *arg, const uint8_t source[16], uint64_t stem, uint64_t stack);
	void *blocked_arg;
};

/** @return 0, -ENOMEM, -ENOTSUP where libcrypto lacks a cipher. */
int fg_quic_take_new(const struct fg_quic_take_conf *conf, struct fg_quic_take **ret_take);
void fg_quic_take_free(struct fg_quic_take **take);

/** fg_datagram_fn: take is a struct fg_quic_take. The programs' clock is that of the last
 * fg_quic_take_expire(). */
void fg_quic_take_datagram(void *take, const struct fg_datagram *datagram);
/** Gives up what has waited too long; all: what waits at all, because the capture ended. Time is that
 * of the datagrams. */
void fg_quic_take_expire(struct fg_quic_take *take, uint64_t now_ns, uint64_t ticks, bool all);
/** Adds what was counted here since the start to the programs' totals. */
void fg_quic_take_add(const struct fg_quic_take *take, struct fg_totals *totals);
