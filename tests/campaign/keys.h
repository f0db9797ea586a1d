/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys of the simulated clients, as the agent would compute them: the bytes of their hellos and SYNs
 * go through the product's own reader and folds, once for each kind.
 *
 * A client that greases or shuffles its hello sends it in many forms: CG_FORMS of each kind are made,
 * and a connection's bytes pick one, the same on both levels.
 *
 * Owns: hello bytes and keys. Must not: know who is a farm.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "campaign/plan.h"
#include "campaign/world.h"
#include "farmgate/abi.h"

/* As many as there are to tell apart: the agent's count of orders is good up to some 266. */
#define CG_FORMS 256

struct cg_form {
	uint8_t *stream; /* one TLS record, also of QUIC; NULL until asked for */
	uint32_t order; /* low half of the fold of its extensions' order */
	uint16_t bytes; /* of the stream; 0 = not made yet */
};

/* A hello as sent with, or without, a session to resume. */
struct cg_hello_key {
	uint64_t print, stem;
	uint16_t flags; /* FG_HELLO_* */
	bool tls13, quic;
	uint16_t n_forms;
	struct cg_form *forms;
};

struct cg_keys;

/** The descriptions must outlive the keys. @return 0, -ENOMEM, -EINVAL with a sentence on stderr. */
int cg_keys_new(const struct cg_hello *hellos, size_t n_hellos, const struct cg_stack *stacks,
		size_t n_stacks, const uint64_t seed[4], struct cg_keys **ret_keys);
void cg_keys_free(struct cg_keys **keys);

const __u64 *cg_keys_seed(const struct cg_keys *keys);
size_t cg_keys_n_hellos(const struct cg_keys *keys);
const struct cg_hello_key *cg_keys_hello(const struct cg_keys *keys, uint16_t hello, bool resumed);
/** The form that this connection sends; with_stream: its bytes, too. NULL without memory. */
const struct cg_form *cg_keys_form(struct cg_keys *keys, const struct cg_connection *conn,
				   bool with_stream);
/** Of a client over TCP by its SYN; over QUIC it is the same for all. */
uint64_t cg_keys_stack(const struct cg_keys *keys, const struct cg_connection *conn);
const struct cg_stack *cg_keys_syn(const struct cg_keys *keys, uint16_t stack);
/** The SYN's timestamp as the agent reads it. */
bool cg_keys_tsval(const struct cg_keys *keys, const struct cg_connection *conn,
		   uint32_t *ret_tsval);
/** What the agent is sent to name a fingerprint; time, addresses and ports are the caller's. */
int cg_keys_sample(struct cg_keys *keys, uint16_t hello, bool resumed, struct fg_sample *ret);

/** Plan of a connection; NULL without memory, else the form of its hello. */
const struct cg_form *cg_keys_plan(struct cg_keys *keys, const struct cg_connection *conn,
				   bool with_stream, struct cg_plan *ret_plan);

/** The agent's name for the source: IPv4 whole, of IPv6 the /64. */
void cg_source_of(const uint8_t addr[16], uint8_t ret_source[16]);
