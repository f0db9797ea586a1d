/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Level A: simulated connections as the agent's own epochs, without frames. What an epoch says is
 * what the taker (user/source/take.c) would have said behind the engine at a mirror port that takes
 * its counts each second, summed up over the epoch's seconds:
 *
 *   - an exchange is told when a pass finds a second of silence behind its answer, else at the pass
 *     behind the next request or the close, whichever is first. A step of its answer that comes
 *     after more than a second is therefore lost to it, as it is to the agent.
 *   - of more than two exchanges that end within one second the last two are told (FG_TIMING_TURNS).
 *   - who closes with an alert in less than a second after the answer's end lengthens the answer.
 *   - round trips and turn-arounds come three passes behind the client's Finished, or with the close.
 *   - of QUIC nothing is told before Finished, neither times nor a stack, and no end: its last exchange
 *     waits for its second of silence.
 *
 * Told in more than one row where a connection's exchanges need it; its bytes are in the first of
 * them. Of the totals only the counts of SYNs, connections and hellos are kept; the model reads
 * none of them. In epochs longer than a second what the model calls parallel is too high: it counts
 * the connections that moved within one epoch.
 *
 * Owns: the connections that are open. Must not: know who is a farm, but to say so to the scorer.
 */
#pragma once

#include "campaign/keys.h"
#include "model/epoch.h"

/* Connections open at a time: 4 GB of them. A world with more has a mistake in it. */
#define CG_MAX_OPEN (8U << 20)

struct cg_epochs_conf {
	uint64_t epoch_ns; /* whole seconds */
	/** Our address that a source came to, cg_server_address(). */
	void (*server)(const uint8_t source[16], uint8_t server, uint8_t ret_addr[16]);
	/* ablations */
	bool no_times; /* nothing of round trips and turn-arounds */
	bool ingress_only; /* the reply direction is not seen */
	double loss; /* so large a share of connections is not told */
};

/* What really happened in the epoch, for the scorer: exchanges of a connection, told or not. */
struct cg_progress {
	uint8_t source[16];
	uint64_t stem, stack;
	uint64_t time_ns; /* of the first of them */
	uint32_t actor, exchanges;
	bool farm;
};

struct cg_epochs;

/** @return 0, -ENOMEM, -EINVAL. */
int cg_epochs_new(const struct cg_epochs_conf *conf, struct cg_keys *keys,
		  struct cg_epochs **ret_epochs);
void cg_epochs_free(struct cg_epochs **epochs);

/** Adds a connection whose SYN lies in the running epoch: cg_epochs_end() first.
 * @return 0, -ENOMEM, -ENOSPC beyond CG_MAX_OPEN. */
int cg_epochs_add(struct cg_epochs *epochs, const struct cg_connection *conn);
/** Ends the running epoch if it ends at now_ns or before; call again until 0. The first call begins
 * the first epoch. The arrays of *ret_epoch are valid until the next call.
 * @return 1 with *ret_epoch filled, 0, -ENOMEM. */
int cg_epochs_end(struct cg_epochs *epochs, uint64_t now_ns, struct fg_epoch *ret_epoch);
/** Of the epoch that ended last. */
const struct cg_progress *cg_epochs_progress(const struct cg_epochs *epochs, size_t *ret_n);
/** The agent restarted: what it had in its tables is gone, and names are asked for again. Its store
 * is not ours. */
void cg_epochs_restart(struct cg_epochs *epochs);
/** Connections that have something to tell behind the running epoch. */
size_t cg_epochs_open(const struct cg_epochs *epochs);
