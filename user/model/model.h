/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What has happened: sources, clients and fingerprints in bounded tables, each with its totals
 * since the start and a sliding window of proven connections. Fed by epochs, read by detectors,
 * the API and the replay report. No opinion, no clock, no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/epoch.h"

/* Caps: a stranger can make us allocate rows only by completing handshakes. */
struct fg_model_limits {
	uint32_t sources; /* default 1,000,000 */
	uint32_t clients; /* default 2,000,000 */
	uint32_t fingerprints; /* default 65,536; names of more are refused and counted */
	uint64_t window_ns; /* length of the sliding window, default 60 s */
};

#define FG_WINDOW_SLOTS 12

struct fg_model_source {
	uint8_t addr[16];
	uint64_t syns, connections, proven, hellos, incomplete, fins, rsts;
	uint64_t exchanges, bytes_in, bytes_out;
	uint64_t first_ns, last_ns;
	uint32_t fingerprints; /* distinct fingerprint keys seen with this source's clients */
	uint32_t clients; /* distinct clients */
	uint32_t stems; /* distinct stems */
	uint32_t window[FG_WINDOW_SLOTS]; /* proven connections, ring by slot number */
	uint32_t window_slot; /* slot number of the newest entry */
};

struct fg_model_client {
	uint8_t addr[16];
	uint64_t stem, stack, print;
	uint64_t connections, proof_socket, resumed;
	uint64_t exchanges, bytes_in, bytes_out;
	uint64_t first_ns, last_ns;
};

struct fg_model_print {
	uint64_t print, stem; /* keys */
	uint64_t hellos;
	uint64_t sources; /* distinct sources whose clients showed it */
	uint64_t first_ns, last_ns;
	uint16_t flags; /* FG_HELLO_* of the hello that named it */
	bool named;
	char ja4[40]; /* "" until named */
	char stem_text[44]; /* "~t13d…" */
	char sni[256]; /* of the hello that named it */
};

struct fg_model;

/** Empty model. @return 0, -ENOMEM. */
int fg_model_new(const struct fg_model_limits *limits, struct fg_model **ret_model);
void fg_model_free(struct fg_model **model);

/** Adds one epoch, names included. @return 0 (what did not fit is counted, see
 * fg_model_refused), -ENOMEM. */
int fg_model_apply(struct fg_model *model, const struct fg_epoch *epoch);

/** True where the text of a fingerprint key is known. */
bool fg_model_knows(const struct fg_model *model, uint64_t print);

/** End of the newest epoch; 0 before the first. */
uint64_t fg_model_now_ns(const struct fg_model *model);
uint64_t fg_model_window_ns(const struct fg_model *model);

size_t fg_model_n_sources(const struct fg_model *model);
size_t fg_model_n_clients(const struct fg_model *model);
size_t fg_model_n_prints(const struct fg_model *model);

/** i below the matching fg_model_n_*; valid until the next fg_model_apply(). */
const struct fg_model_source *fg_model_source_at(const struct fg_model *model, size_t i);
const struct fg_model_client *fg_model_client_at(const struct fg_model *model, size_t i);
const struct fg_model_print *fg_model_print_at(const struct fg_model *model, size_t i);

/** NULL where not there. */
const struct fg_model_source *fg_model_source_find(const struct fg_model *model,
						   const uint8_t addr[16]);
const struct fg_model_print *fg_model_print_find(const struct fg_model *model, uint64_t print);
/** Text of a stem key, NULL where no fingerprint with it is named yet. */
const char *fg_model_stem_text(const struct fg_model *model, uint64_t stem);
/** Key of a stem text ("~t13d…"), 0 where never seen. */
uint64_t fg_model_stem_key(const struct fg_model *model, const char *text);

/** Clients of one source, busiest first. Writes at most n, returns how many. */
size_t fg_model_clients_of(const struct fg_model *model, const uint8_t addr[16],
			   const struct fg_model_client **ret, size_t n);

/** Proven connections of a source inside the window that ends now. */
uint32_t fg_model_window_proven(const struct fg_model *model, const struct fg_model_source *s);

/** Totals of the newest epoch (received, replies). */
const struct fg_totals *fg_model_received(const struct fg_model *model);
const struct fg_totals *fg_model_replies(const struct fg_model *model);
/** Sum of exchanges over all proven connections. */
uint64_t fg_model_exchanges(const struct fg_model *model);

struct fg_model_refused {
	uint64_t sources, clients, fingerprints; /* no room */
	uint64_t sources_expired, clients_expired; /* oldest idle rows that gave way */
	uint64_t pairs; /* forgotten: distinct counts may be too high by at most so much */
};
struct fg_model_refused fg_model_refused(const struct fg_model *model);
