/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The application feed of a live agent: its socket, what it tells of accounts, what it asks about. */
#pragma once

#include "agent/core.h"

struct fg_agent_feed;

/** Opens the configuration's feed.socket; core and taker outlive it. core->accounts is there until it is
 * closed. @return 0, -errno with a sentence in why. */
int fg_agent_feed_open(struct fg_core *core, const struct fg_taker *taker,
		       struct fg_agent_feed **ret_feed, char *why, size_t n_why);
void fg_agent_feed_close(struct fg_agent_feed **feed);
/** Readable when fg_agent_feed_run() has something to do; call it once a second besides. */
int fg_agent_feed_fd(const struct fg_agent_feed *feed);
void fg_agent_feed_run(struct fg_agent_feed *feed);

/** The verdict that stands on a client (stem 0: only its source is known). Verdicts on other clients of
 * the source are nobody else's. */
void fg_agent_feed_verdict(const struct fg_store *store, const uint8_t source[16], uint64_t stem,
			   uint64_t stack, uint64_t now_ns, struct fg_feed_verdict *ret_verdict);
