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
#include "model/hosts.h"
#include "model/signals.h"
#include "model/stems.h"

/* Caps: a stranger can make us allocate rows only by completing handshakes. */
struct fg_model_limits {
	uint32_t sources; /* default 1,000,000 */
	uint32_t clients; /* default 2,000,000 */
	uint32_t fingerprints; /* default 65,536; names of more are refused and counted */
	uint32_t stems; /* what is usual for each; 0 = FG_DEFAULT_STEMS */
	uint32_t hosts; /* sources whose clocks are followed; 0 = FG_DEFAULT_HOSTS */
	uint32_t pairs; /* remembered for distinct counts; 0 = FG_DEFAULT_PAIRS */
	uint64_t window_ns; /* length of the sliding window, default 60 s */
	uint64_t seed[2]; /* keys its hashes, and those of its summaries; 0 = drawn by chance */
};

/* Four for each of a million sources, in two generations of slots of 8 bytes, half full: 64 MB. */
#define FG_DEFAULT_PAIRS (1U << 22)

#define FG_WINDOW_SLOTS	 12

/* Counters of 32 bits stop at their end. */
struct fg_model_source {
	uint8_t addr[16];
	uint64_t bytes_in, bytes_out;
	uint64_t first_ns, last_ns;
	uint32_t syns, connections, proven, hellos, incomplete, fins, rsts, exchanges;
	uint32_t fingerprints; /* distinct fingerprint keys seen with this source's clients */
	uint32_t clients; /* distinct clients */
	uint32_t stems; /* distinct stems */
	uint32_t stacks; /* distinct stacks, "-" left out */
	uint16_t window[FG_WINDOW_SLOTS]; /* proven connections, ring by slot number; stop */
	uint16_t turns[FG_WINDOW_SLOTS]; /* exchanges, the same way */
	uint32_t window_slot; /* slot number of the newest entry */
	uint32_t tsval; /* of its latest SYN with a timestamp, at tsval_ns; 0 = none */
	uint64_t tsval_ns;
	uint16_t moving; /* clients that moved within the epoch that ends at last_ns */
	uint16_t parallel; /* most of them in one epoch */
	uint8_t hops_min, hops_max; /* of its SYNs, plus 1: initial TTL less what came; 0 = none */
	uint16_t tsval_to; /* which address of ours that SYN came to, fg_hosts_to() */
	uint16_t day; /* days since 1970 (UTC) that `today` is of */
	uint32_t today; /* proven connections and exchanges of that day, together */
	float usual; /* of its days before: mean that forgets within a week or two */
	uint16_t days; /* that `usual` rests on; stops at its end */
	/* most turns or proven connections in one window: today so far, and on days before, fading */
	uint16_t peak_today, peak;
	bool recent; /* in the list of fg_model_recent() */
	bool held; /* nothing is learned from this day: fg_model_hold() */
	bool unsaved; /* changed since its summary was made (model/remember.h) */
};

struct fg_model_client {
	uint8_t addr[16];
	uint64_t stem, stack;
	uint64_t bytes_in, bytes_out;
	uint64_t first_ns, last_ns;
	uint32_t connections, resumed, exchanges; /* stop at their end */
	uint32_t print : 30; /* place of its latest fingerprint, see fg_model_print_of() */
	uint32_t by_handshake : 1; /* not all connections were proven by the socket table */
	uint32_t unsaved : 1; /* changed since its summary was made (model/remember.h) */
	struct fg_signals signals;
};
/* Two million of them are 512 MB. */
_Static_assert(sizeof(struct fg_model_client) <= 256, "fg_model_client");

/* What a client did on its latest day; lies beside its row. */
struct fg_client_day {
	uint32_t hour; /* number of the fg_model_begin_hour() since which it is on the list */
	uint16_t day; /* days since 1970 (UTC) that the counts are of */
	uint16_t exchanges, connections; /* of that day; stop at their end */
	uint16_t before; /* turns of the day before, 0 where it was not active then */
};
/** Exchanges or proven connections, whichever are more: a connection without an exchange that could
 * be seen counts, too. */
static inline uint16_t fg_client_turns(const struct fg_client_day *d)
{
	return d->exchanges > d->connections ? d->exchanges : d->connections;
}

struct fg_model_print {
	uint64_t print, stem; /* keys */
	uint64_t hellos;
	uint64_t sources; /* distinct sources whose clients showed it */
	uint64_t first_ns, last_ns;
	uint16_t flags; /* FG_HELLO_* of the hello that named it */
	bool named;
	bool unsaved; /* changed since its summary was made (model/remember.h) */
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
/** Start of its first epoch, or of the first one of what was restored (model/remember.h); 0 before. */
uint64_t fg_model_began_ns(const struct fg_model *model);
/** Since when it has watched without a break of FG_BREAK_NS: began_ns, or the end of the last break.
 * Who came, or was away, in a break is not known. */
uint64_t fg_model_unbroken_ns(const struct fg_model *model);

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
/** When the client's source was first seen; the client itself, where the source gave way. */
uint64_t fg_model_source_first_ns(const struct fg_model *model,
				  const struct fg_model_client *client);
const struct fg_model_client *fg_model_client_find(const struct fg_model *model,
						   const uint8_t addr[16], uint64_t stem,
						   uint64_t stack);
const struct fg_model_print *fg_model_print_find(const struct fg_model *model, uint64_t print);
/** The latest fingerprint of a client; NULL where fingerprints had no room for it. */
const struct fg_model_print *fg_model_print_of(const struct fg_model *model,
					       const struct fg_model_client *client);
/** Text of a stem key, NULL where no fingerprint with it is named yet. */
const char *fg_model_stem_text(const struct fg_model *model, uint64_t stem);
/** Key of a stem text ("~t13d…"), 0 where never seen. */
uint64_t fg_model_stem_key(const struct fg_model *model, const char *text);

/** Clients of one source, busiest first. Writes at most n, returns how many. */
size_t fg_model_clients_of(const struct fg_model *model, const uint8_t addr[16],
			   const struct fg_model_client **ret, size_t n);

/** Proven connections of a source inside the window that ends now. */
uint32_t fg_model_window_proven(const struct fg_model *model, const struct fg_model_source *s);
/** The same of its exchanges. */
uint32_t fg_model_window_exchanges(const struct fg_model *model, const struct fg_model_source *s);

/** The source's running day does not become what is usual for it: it was flagged. */
void fg_model_hold(struct fg_model *model, const uint8_t addr[16]);

/** Places (for fg_model_source_at()) of the sources that connected or exchanged within the window, and
 * perhaps of some that did shortly before. @return how many. */
size_t fg_model_recent(const struct fg_model *model, const uint32_t **ret_places);
/** Places (for fg_model_client_at()) of the clients that connected or exchanged since the last
 * fg_model_begin_hour(), each once. Valid until the next fg_model_apply(). @return how many. */
size_t fg_model_active(const struct fg_model *model, const uint32_t **ret_places);
/** Begins the list of active clients anew. */
void fg_model_begin_hour(struct fg_model *model);
/** i as for fg_model_client_at(). */
const struct fg_client_day *fg_model_client_day(const struct fg_model *model, size_t i);

/** What is usual for a stem; NULL where not there. */
const struct fg_stem *fg_model_stem(const struct fg_model *model, uint64_t stem);
/** Births and returns among its clients, today (0) or on the day before (1). */
struct fg_stem_day fg_model_stem_day(const struct fg_model *model, uint64_t stem,
				     unsigned int days_ago);
/** Round trips of a client, the relay gap less its stem's own crypto time. */
struct fg_times fg_model_times(const struct fg_model *model, const struct fg_model_client *client);
/** Hosts behind a source by their clocks. */
struct fg_hosts_seen fg_model_hosts(const struct fg_model *model, const uint8_t addr[16]);
/** At least so many hosts sit behind a source, 1 or more: its distinct stems, or its clocks where
 * those mean something and are more. What it does is judged for each of them. */
uint32_t fg_model_estimated_hosts(const struct fg_model *model,
				  const struct fg_model_source *source);
/** Over all sources: how many SYNs with timestamps came back to a clock. */
struct fg_ts_joins fg_model_ts_joins(const struct fg_model *model);
/** Is the source a crowd? @param shared_stems  so many distinct stems are one by themselves. */
struct fg_shared fg_model_shared(const struct fg_model *model, const struct fg_model_source *source,
				 uint32_t shared_stems);
/** Since when no client was forgotten or refused: later than this less FG_TICKET_NS nothing is
 * known of orphan resumptions. */
uint64_t fg_model_known_since_ns(const struct fg_model *model);

/** Totals of the newest epoch (received, replies). */
const struct fg_totals *fg_model_received(const struct fg_model *model);
const struct fg_totals *fg_model_replies(const struct fg_model *model);
/** Sum of exchanges over all proven connections. */
uint64_t fg_model_exchanges(const struct fg_model *model);

/* What had no room, and what gave way; each under its own name. */
#define FG_MODEL_REFUSED(X)                                                                   \
	X(sources) /* no room for these */                                                    \
	X(clients)                                                                            \
	X(fingerprints)                                                                       \
	X(stems)                                                                              \
	X(hosts) /* SYNs of sources whose clocks are not followed */                          \
	X(sources_expired) /* oldest idle rows that gave way */                               \
	X(clients_expired)                                                                    \
	X(stems_expired)                                                                      \
	X(hosts_expired)                                                                      \
	X(hosts_lines) /* clocks that gave way within their day: a crowd behind one source */ \
	X(news) /* records of connections whose client has no row */                          \
	X(pairs) /* forgotten: distinct counts may be too high by at most so much */          \
	X(recalls) /* rows made without a look at the summaries: too many in one epoch */     \
	X(left) /* rows that gave way before their summary was made: too many in one epoch */

struct fg_model_refused {
#define FG_FIELD(name) uint64_t name;
	FG_MODEL_REFUSED(FG_FIELD)
#undef FG_FIELD
};
struct fg_model_refused fg_model_refused(const struct fg_model *model);

/** Memory of its tables, in bytes: allocated, also where it was not touched yet. */
uint64_t fg_model_bytes(const struct fg_model *model);
/** The same of a model whose tables are full. */
uint64_t fg_model_bytes_full(const struct fg_model_limits *limits);
