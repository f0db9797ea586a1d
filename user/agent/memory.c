/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "model/remember.h"
#include "model/summary.h"

#define SECOND_NS 1000000000ULL
#define DAY_S	  86400U
/* What is not in rows is noted at least so often: it says until when the agent watched. */
#define NOTE_NS (60 * SECOND_NS)
/* Old ones are looked for in one turn a day, so they go a day early. */
#define FORGET_TURN_NS (DAY_S * SECOND_NS)
#define FORGET_S       ((FG_SUMMARY_DAYS - 1) * DAY_S)
/* A transaction of fg_memory_save(). */
#define SAVE_ALL_ROWS 20000
#define SEED	      "memory_seed"
/* The note lies before all summaries. Not among the store's blobs: to find one SQLite reads those it
 * passes, and some have megabytes. */
#define PAST_KEY 0

/* The note; of another size it is another version's. */
struct past {
	uint32_t version, hour;
	uint32_t complete; /* every row was written before it */
	uint32_t reserved;
	struct fg_model_past model;
};

int fg_memory_seed(struct fg_store *store, uint64_t ret_seed[2])
{
	const size_t size = 2 * sizeof(uint64_t);

	if (fg_store_get_blob(store, SEED, ret_seed, size) == (int)size)
		return 0;
	if (getrandom(ret_seed, size, 0) != (ssize_t)size)
		return -errno;
	return fg_store_put_blob(store, SEED, ret_seed, size);
}

/* --- What the model asks for ------------------------------------------------------------------ */

/* One transaction for all that an epoch looks up and writes. */
static int begin(struct fg_memory *m)
{
	if (!m->open && !m->error) {
		m->error = fg_store_begin_summaries(m->store);
		m->open = !m->error;
	}
	return m->error;
}

static void note_error(struct fg_memory *m, int r)
{
	if (r < 0 && !m->error)
		m->error = r;
}

static size_t find(void *arg, uint64_t key, void *bytes, size_t n)
{
	struct fg_memory *m = arg;
	int r = begin(m);

	if (!r)
		r = fg_store_find_summary(m->store, key, bytes, n);
	note_error(m, r);
	return r > 0 ? (size_t)r : 0;
}

static int put(void *arg, const struct fg_summary *s)
{
	struct fg_memory *m = arg;
	int r = begin(m);

	if (!r)
		r = fg_store_put_summary(m->store, s->key,
					 (uint32_t)((s->last_ns + SECOND_NS - 1) / SECOND_NS),
					 s->bytes, s->n);
	note_error(m, r);
	m->written += !r;
	return r;
}

/* What a transaction that failed has taken with it is made again. */
static int end(struct fg_memory *m)
{
	int r = m->error;

	if (m->open && !r)
		r = fg_store_commit_summaries(m->store);
	else if (m->open)
		fg_store_rollback_summaries(m->store);
	if (m->open && r)
		fg_model_save_again(m->model);
	m->open = false;
	m->error = 0;
	return r;
}

/* --- At the start ----------------------------------------------------------------------------- */

struct reader {
	struct fg_memory *memory;
	uint64_t *unread; /* keys of what cannot be read: deleted, so that it is said once */
	size_t n_unread, cap_unread;
};

static int note_unread(struct reader *reader, uint64_t key)
{
	if (reader->n_unread == reader->cap_unread) {
		size_t cap = reader->cap_unread ? 2 * reader->cap_unread : 1024;
		uint64_t *larger = reallocarray(reader->unread, cap, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		reader->unread = larger;
		reader->cap_unread = cap;
	}
	reader->unread[reader->n_unread++] = key;
	return 0;
}

static int read_one(void *arg, uint64_t key, const void *bytes, size_t n)
{
	struct reader *reader = arg;
	struct fg_memory *m = reader->memory;
	int r = fg_model_restore(m->model, key, bytes, n);

	switch (r) {
	case 0:
		m->restored++;
		return 0;
	case 1:
		return 0;
	case -ESTALE:
		m->other_version++;
		break;
	case -EBADMSG:
		m->damaged++;
		break;
	default:
		return r;
	}
	return note_unread(reader, key);
}

static uint64_t first_key(int kind)
{
	return fg_summary_key((enum fg_summary_kind)kind, 0);
}

/* Newest first: where there are more than there is room for, those since the hour in which they are
 * enough. */
static int read_kind(struct reader *reader, int kind, uint32_t now_s)
{
	uint32_t days = kind == FG_SUMMARY_HOSTS ? 1 : FG_RESTORE_DAYS;
	uint32_t from_s = now_s > days * DAY_S ? now_s - days * DAY_S : 0, enough_s;
	uint64_t from = first_key(kind), to = first_key(kind + 1) - 1;
	struct fg_store *store = reader->memory->store;
	struct fg_model *model = reader->memory->model;
	uint64_t n;
	int r = fg_store_newest_summaries(store, from, to, fg_model_room(model, kind), &enough_s,
					  &n);

	if (!r)
		r = fg_model_reserve(model, kind, n);
	if (r)
		return r;
	from_s = enough_s > from_s ? enough_s : from_s;
	/* the newest whole hours, then what still fits of that one */
	r = enough_s == from_s ?
		    fg_store_each_summary(store, from, to, from_s + 3600, read_one, reader) :
		    0;
	return r ? r : fg_store_each_summary(store, from, to, from_s, read_one, reader);
}

/* @return 1, 0 where there is none that can be read. */
static int read_past(struct fg_memory *m, struct past *past)
{
	int r = fg_store_find_summary(m->store, PAST_KEY, past, sizeof(*past));

	if (r == -EOVERFLOW)
		r = 1;
	if (r <= 0)
		return r;
	m->other_version += r != sizeof(*past) || past->version != FG_SUMMARY_VERSION;
	return r == sizeof(*past) && past->version == FG_SUMMARY_VERSION;
}

static int drop_unread(struct reader *reader, uint32_t now_s)
{
	struct fg_store *store = reader->memory->store;
	int r = fg_store_begin_summaries(store);

	if (r)
		return r;
	for (size_t i = 0; !r && i < reader->n_unread; i++)
		r = fg_store_drop_summary(store, reader->unread[i]);
	if (!r && now_s > FORGET_S)
		r = fg_store_forget_summaries(store, 0, INT64_MAX, now_s - FORGET_S);
	if (!r)
		return fg_store_commit_summaries(store);
	fg_store_rollback_summaries(store);
	return r;
}

static int read_back(struct fg_memory *m, const struct past *past, uint64_t now_ns)
{
	struct reader reader = { .memory = m };
	uint64_t newest_ns = past->model.now_ns > now_ns ? past->model.now_ns : now_ns;
	uint32_t now_s = (uint32_t)(newest_ns / SECOND_NS);
	int r = 0;

	for (int kind = FG_SUMMARY_PRINT; !r && kind < _FG_SUMMARY_MAX; kind++)
		r = read_kind(&reader, kind, now_s);
	fg_model_restored(m->model, &past->model, past->complete);
	if (!r)
		r = drop_unread(&reader, now_s);
	free(reader.unread);
	return r;
}

int fg_memory_open(struct fg_memory *m, struct fg_store *store, struct fg_model *model,
		   uint64_t now_ns, uint32_t *ret_hour)
{
	const struct fg_keeper keeper = { find, put, m };
	struct past past;
	int r;

	*m = (struct fg_memory){ .store = store, .model = model };
	*ret_hour = 0;
	r = read_past(m, &past);
	if (r > 0) {
		*ret_hour = past.hour;
		r = read_back(m, &past, now_ns);
	}
	fg_model_remember(model, &keeper);
	return r;
}

/* --- Behind each epoch ------------------------------------------------------------------------ */

static int note(struct fg_memory *m, uint64_t now_ns, uint32_t hour, bool complete)
{
	const struct past past = { .version = FG_SUMMARY_VERSION,
				   .hour = hour,
				   .complete = complete,
				   .model = fg_model_past(m->model) };
	int r = begin(m);

	return r ? r :
		   fg_store_put_summary(m->store, PAST_KEY, (uint32_t)(now_ns / SECOND_NS), &past,
					sizeof(past));
}

/* The part of the keys that is due since the last time. */
static int forget(struct fg_memory *m, uint64_t now_ns, uint64_t elapsed_ns)
{
	const uint64_t keys = first_key(_FG_SUMMARY_MAX);
	double share = (double)elapsed_ns / (double)FORGET_TURN_NS;
	uint64_t part = share < 1 ? (uint64_t)(share * (double)keys) : keys;
	uint64_t from = m->forgotten < keys ? m->forgotten : 0;
	uint64_t now_s = now_ns / SECOND_NS;
	int r = begin(m);

	m->forgotten = from + part;
	if (r || now_s < FORGET_S)
		return r;
	return fg_store_forget_summaries(m->store, from, from + part, (uint32_t)(now_s - FORGET_S));
}

int fg_memory_step(struct fg_memory *m, uint64_t now_ns, uint32_t hour)
{
	uint64_t elapsed_ns = m->stepped_ns && now_ns > m->stepped_ns ? now_ns - m->stepped_ns : 0;
	long n;

	if (!m->store)
		return 0;
	m->stepped_ns = now_ns;
	n = fg_model_save(m->model, (double)elapsed_ns / (double)FG_SAVE_TURN_NS, FG_SAVE_ROWS);
	if (n >= 0 && (!m->noted_ns || now_ns < m->noted_ns || now_ns - m->noted_ns >= NOTE_NS)) {
		note_error(m, note(m, now_ns, hour, false));
		if (m->noted_ns && now_ns > m->noted_ns)
			note_error(m, forget(m, now_ns, now_ns - m->noted_ns));
		m->noted_ns = now_ns;
	}
	return end(m);
}

int fg_memory_save(struct fg_memory *m, uint32_t hour)
{
	long n = 1;
	int r = 0;

	/* who saw nothing has nothing to say: what is stored stays, complete or not */
	if (!m->store || !m->stepped_ns)
		return 0;
	while (!r && n > 0) {
		n = fg_model_save(m->model, 1, SAVE_ALL_ROWS);
		r = end(m);
	}
	if (!r) {
		note_error(m, note(m, m->stepped_ns, hour, true));
		r = end(m);
	}
	m->noted_ns = 0;
	return r;
}
