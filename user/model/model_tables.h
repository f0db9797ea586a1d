/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inside of model.h, for model.c and remember.c only.
 *
 * An index is in the order of its rows' hashes, but for what collides. The keys of summaries begin
 * with the same bits, so that a walk through an index is one through the file, and each page of it is
 * written once.
 */
#pragma once

#include <string.h>

#include "model/model.h"
#include "model/remember.h"
#include "model/summary.h"

#define NONE UINT32_MAX
/* A client whose source gave way: in no chain. */
#define UNCHAINED (UINT32_MAX - 1)
/* fg_model_client.print of a fingerprint that has no row. */
#define NO_PRINT 0x3fffffffU

struct index {
	uint32_t *slots; /* position + 1, 0 = free */
	uint32_t mask,
		shift; /* of so many slots, a power of two; a hash's highest bits say which */
	uint32_t saved; /* slot up to which its rows' summaries were made */
};

/* Hashes of pairs, open addressing, 0 = free. */
struct pairs {
	uint64_t *slots;
	uint32_t n, cap;
};

struct fg_model {
	struct fg_model_limits limits;
	uint64_t seed[2];
	uint64_t draw; /* state of the draws */

	struct fg_model_source *sources;
	uint32_t *first_client; /* of each source: head of its chain */
	uint32_t n_sources, cap_sources;
	struct index source_index;

	struct fg_model_client *clients;
	uint32_t *next_client;
	uint16_t *moving; /* of each client: connections that moved within the epoch at last_ns */
	uint32_t *recent; /* places of sources that were active within the window, or shortly before */
	uint32_t n_recent, cap_recent;
	uint32_t pruned_slot; /* when those that were not were last taken out */
	struct fg_client_day *days; /* of each client */
	uint32_t *active; /* places of clients, since fg_model_begin_hour() */
	uint32_t n_active, cap_active;
	uint32_t hour_mark; /* days[].hour of those that are in the list */
	uint32_t n_clients, cap_clients;
	struct index client_index;

	struct fg_model_print *prints;
	uint32_t n_prints, cap_prints;
	struct index print_index;
	struct index stem_index; /* the first named fingerprint of each stem */

	struct fg_stems *stems;
	struct fg_hosts *hosts;

	struct pairs pairs, older_pairs; /* this generation and the one before */
	uint32_t kept_pairs; /* of the older ones, seen in this generation too */

	struct fg_keeper keeper; /* of summaries; without functions nothing is remembered */
	uint32_t saved_stems, saved_hosts; /* places up to which their summaries were made */
	uint32_t n_recalled, n_left; /* in this epoch */
	bool watching; /* an epoch was seen */
	bool complete; /* what was restored had been saved to its last epoch */
	uint16_t break_from, break_to; /* days with a break in them */
	uint64_t unbroken_ns; /* fg_model_unbroken_ns() */
	uint64_t began_ns, now_ns, exchanges;
	uint64_t known_since_ns; /* fg_model_known_since_ns() */
	struct fg_totals received, replies;
	struct fg_model_refused refused;
};

/* --- Hashes ----------------------------------------------------------------------------------- */

enum kind {
	SOURCE,
	CLIENT,
	PRINT
};

/* What a hash is of. */
enum {
	SOURCE_ROW = 1,
	STACK_OF_CLIENT, /* is added to its stack */
	PRINT_ROW,
	STEM_PAIR,
	PRINT_PAIR,
	STEM_ROW,
	STACK_PAIR,
};

static inline uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 32);
}

static inline uint64_t hash_words(const struct fg_model *m, uint64_t a, uint64_t b, uint64_t c,
				  uint64_t d)
{
	uint64_t h = mix(mix(m->seed[0], a), b);

	h = mix(mix(h ^ m->seed[1], c), d);
	return mix(h, m->seed[0]);
}

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t hash_source(const struct fg_model *m, const uint8_t addr[16])
{
	return hash_words(m, word_at(addr), word_at(addr + 8), 0, SOURCE_ROW);
}

static inline uint64_t hash_client(const struct fg_model *m, const uint8_t addr[16], uint64_t stem,
				   uint64_t stack)
{
	return hash_words(m, word_at(addr), word_at(addr + 8), stem, stack + STACK_OF_CLIENT);
}

static inline uint64_t hash_print(const struct fg_model *m, uint64_t print)
{
	return hash_words(m, print, 0, 0, PRINT_ROW);
}

static inline uint64_t hash_stem(const struct fg_model *m, uint64_t stem)
{
	return hash_words(m, stem, 0, 0, STEM_ROW);
}

static inline uint32_t index_home(const struct index *ix, uint64_t hash)
{
	return (uint32_t)(hash >> (ix->shift & 63));
}

/* --- model.c ---------------------------------------------------------------------------------- */

/** NONE where not there. */
uint32_t fg_model_source_place(const struct fg_model *m, const uint8_t addr[16]);
uint32_t fg_model_client_place(const struct fg_model *m, const uint8_t addr[16], uint64_t stem,
			       uint64_t stack);
uint32_t fg_model_print_place(const struct fg_model *m, uint64_t print);

/** A row that is not there yet, behind all others. @return 0, -ENOMEM, -ENOSPC at the limit. */
int fg_model_add_source(struct fg_model *m, const struct fg_model_source *row);
int fg_model_add_client(struct fg_model *m, const struct fg_client_summary *row, uint32_t *ret_at);
int fg_model_add_print(struct fg_model *m, const struct fg_model_print *row);
/** Puts a restored client into its source's chain, and what its source has counted of it among what
 * is known. @return 0, -ENOMEM. */
int fg_model_link_client(struct fg_model *m, uint32_t at, uint64_t print);
/** Key of a client's latest fingerprint, 0 where that has no row. */
uint64_t fg_model_print_key(const struct fg_model *m, uint32_t at);
/** What of a client is counted in its source's row, if it was there when the client came: counted it
 * is once. print is a key, 0 = none. */
void fg_model_note_pairs(struct fg_model *m, uint32_t at, uint64_t print, int *error);
/** Puts a client on the list of this hour. @return 0, -ENOMEM. */
int fg_model_list_active(struct fg_model *m, uint32_t at);
/** A client of that time is not known any more: it may have made a full handshake then. */
void fg_model_forget_until(struct fg_model *m, uint64_t ns);

/* --- remember.c ------------------------------------------------------------------------------- */

/** A row gives way: what of it is unsaved is kept. */
void fg_model_leave_source(struct fg_model *m, uint32_t at);
void fg_model_leave_client(struct fg_model *m, uint32_t at);
/** Fills in what is known of a row that is being made; as it was where nothing is. */
void fg_model_recall_source(struct fg_model *m, struct fg_model_source *row);
void fg_model_recall_client(struct fg_model *m, struct fg_client_summary *row);
void fg_model_recall_stem(struct fg_model *m, struct fg_stem *row);
/** The first epoch: since when has the model watched? */
void fg_model_begin_watch(struct fg_model *m, uint64_t start_ns, uint64_t end_ns);
