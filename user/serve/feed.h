/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The socket of the application feed: takes lines, hands them on, answers. What a line means is its
 * owner's business. Never blocks, and never makes the application wait: a message that is taken gets no
 * answer, and an error that nobody reads is dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detect.h"
#include "lib/ip.h"
#include "serve/feed_line.h"

/* Workers of one application on one host keep one connection each. */
#define FG_FEED_MAX_CONNECTIONS 128

/* The standing verdict on a connection's client, or on its source. */
struct fg_feed_verdict {
	enum fg_tier tier; /* observe where there is none */
	char evidence[FG_IP_TEXT]; /* what `farmgate explain` is to be asked; "" = nothing */
	uint32_t cohort; /* 0 = none */
	bool client_known; /* else only verdicts on the whole source were looked at */
};

struct fg_feed_ops {
	/** @return 0, or -errno where there is no room for it. */
	int (*push)(void *arg, const struct fg_feed_line *line);
	void (*lookup)(void *arg, const struct fg_feed_pair *pair,
		       struct fg_feed_verdict *ret_verdict);
	void *arg;
};

/* Since the start, but for connections, which are open now. */
struct fg_feed_counts {
	uint64_t connections, connections_refused;
	uint64_t lines; /* = messages + lookups + refused */
	uint64_t messages, lookups;
	uint64_t client_unknown; /* messages and lookups whose connection was not found */
	uint64_t refused[_FG_FEED_REFUSED_MAX];
	uint64_t answers_lost; /* errors that were not read */
	uint64_t slow; /* connections closed because answers to lookups were not read */
};

struct fg_feed;

/** Listens at path (mode 0660). group NULL leaves the socket to the agent's own group. seed: of the
 * accounts' keys. @return 0, -errno with a sentence in why. */
int fg_feed_open(const char *path, const char *group, const uint64_t seed[2],
		 const struct fg_feed_ops *ops, struct fg_feed **ret_feed, char *why, size_t n_why);
/** Removes the socket file, too. */
void fg_feed_close(struct fg_feed **feed);

/** Readable when fg_feed_run() has something to do; call it once a second besides. */
int fg_feed_fd(const struct fg_feed *feed);
void fg_feed_run(struct fg_feed *feed);

/** The owner adds to client_unknown; the rest is the feed's. */
struct fg_feed_counts *fg_feed_counts(struct fg_feed *feed);
