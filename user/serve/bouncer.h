/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The API that CrowdSec's bouncers ask for decisions, over the log of export/crowdsec.h: what changed
 * since a bouncer last asked (stream), or whether one client is blocked (live). How far each came is
 * kept in memory, by key, address and program: two bouncers with one key do not take each other's
 * changes away. It moves when an answer has left whole. After a restart of the agent, and where its row gave way, a
 * bouncer is told everything that stands, and in slices with each later answer to delete and add it once
 * more: what it held it may hold with an end that is no longer true.
 */
#pragma once

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "serve/api.h"

/* As many as there may be keys; of more the one that asked longest ago is told everything again. */
#define FG_BOUNCERS_MAX 256
/* Of one key, so that whoever holds one cannot push the others out. */
#define FG_BOUNCERS_PER_KEY 16

/* A bouncer needs half a millisecond for each, in which that address is open. */
#define FG_BOUNCERS_SLICE 500

struct fg_bouncer {
	uint64_t id; /* 0 = a free row */
	char who[48], from[FG_IP_TEXT], agent[64];
	bool known; /* sequence is how far it came */
	uint64_t sequence;
	uint64_t refreshed, refresh_end; /* up to where it was refreshed, and will be */
	uint64_t last_ns, answers; /* taken whole */
};

struct fg_bouncers {
	struct fg_bouncer rows[FG_BOUNCERS_MAX];
	uint64_t last_id;
	uint64_t startups,
		resyncs; /* answers with everything: asked for, or for want of a cursor */
	uint64_t lookups, reports;
};

/** What who asks is to be told now; makes a row for who is new. */
void fg_bouncers_pull(struct fg_view *view, const struct fg_query *query, struct fg_pull *ret_pull);
/** Such an answer left whole. */
void fg_bouncers_moved(struct fg_bouncers *bouncers, const struct fg_pull *pull, uint64_t now_ns);

/* Writers of route bodies, see serve/api.c. */
int fg_bouncer_stream(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		      size_t n_why);
int fg_bouncer_decisions(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
			 size_t n_why);
/** What newer bouncers report of themselves is counted and not kept. */
int fg_bouncer_metrics(FILE *out, struct fg_view *view, const struct fg_query *query, char *why,
		       size_t n_why);

/** A member "crowdsec" of the status. */
void fg_bouncers_write(struct fg_jsonw *w, const struct fg_view *view);
