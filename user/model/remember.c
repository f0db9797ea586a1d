/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/remember.h"

#include <errno.h>
#include <math.h>

#include "model/model_tables.h"

#define HOUR_NS 3600000000000ULL

void fg_model_remember(struct fg_model *m, const struct fg_keeper *keeper)
{
	m->keeper = *keeper;
}

/* --- Making summaries ------------------------------------------------------------------------- */

static int keep_source(struct fg_model *m, uint32_t at)
{
	struct fg_model_source *row = &m->sources[at];
	struct fg_summary s;
	int r;

	if (!row->unsaved)
		return 0;
	fg_summary_put_source(row, &s);
	s.key = fg_summary_key(FG_SUMMARY_SOURCE, hash_source(m, row->addr));
	r = m->keeper.put(m->keeper.arg, &s);
	row->unsaved = r != 0;
	return r ? r : 1;
}

static int keep_client(struct fg_model *m, uint32_t at)
{
	struct fg_model_client *row = &m->clients[at];
	struct fg_client_summary c;
	struct fg_summary s;
	int r;

	if (!row->unsaved)
		return 0;
	c.row = *row;
	c.day = m->days[at];
	c.print = fg_model_print_key(m, at);
	c.listed = m->days[at].hour == m->hour_mark;
	fg_summary_put_client(&c, &s);
	s.key = fg_summary_key(FG_SUMMARY_CLIENT, hash_client(m, row->addr, row->stem, row->stack));
	r = m->keeper.put(m->keeper.arg, &s);
	row->unsaved = r != 0;
	return r ? r : 1;
}

static int keep_print(struct fg_model *m, uint32_t at)
{
	struct fg_model_print *row = &m->prints[at];
	struct fg_summary s;
	int r;

	if (!row->unsaved)
		return 0;
	fg_summary_put_print(row, &s);
	s.key = fg_summary_key(FG_SUMMARY_PRINT, hash_print(m, row->print));
	r = m->keeper.put(m->keeper.arg, &s);
	row->unsaved = r != 0;
	return r ? r : 1;
}

static int keep_stem(struct fg_model *m, uint32_t at)
{
	struct fg_stem *row = fg_stems_at(m->stems, at);
	struct fg_summary s;
	int r;

	if (!row || !row->unsaved)
		return 0;
	fg_summary_put_stem(row, &s);
	s.key = fg_summary_key(FG_SUMMARY_STEM, hash_stem(m, row->stem));
	r = m->keeper.put(m->keeper.arg, &s);
	row->unsaved = r != 0;
	return r ? r : 1;
}

static int keep_hosts(struct fg_model *m, uint32_t at)
{
	struct fg_hosts_row *row = fg_hosts_at(m->hosts, at);
	struct fg_summary s;
	int r;

	if (!row || !row->unsaved)
		return 0;
	fg_summary_put_hosts(row, &s);
	s.key = fg_summary_key(FG_SUMMARY_HOSTS, hash_source(m, row->addr));
	r = m->keeper.put(m->keeper.arg, &s);
	row->unsaved = r != 0;
	return r ? r : 1;
}

typedef int (*keep_fn)(struct fg_model *m, uint32_t at);

/* A share of n places from *from on, and round. slots: the places are in there, plus 1; NULL where
 * they are all numbers below n. */
static long turn(struct fg_model *m, uint32_t *from, uint32_t n, const uint32_t *slots,
		 double share, size_t max, keep_fn keep)
{
	uint32_t todo = (uint32_t)ceil(fmin(share, 1) * n);
	size_t kept = 0;

	if (*from >= n)
		*from = 0;
	for (; todo && kept < max; todo--) {
		uint32_t at = slots ? slots[*from] - 1 : *from;
		int r = slots && !slots[*from] ? 0 : keep(m, at);

		if (r < 0)
			return r;
		kept += (size_t)r;
		*from = *from + 1 < n ? *from + 1 : 0;
	}
	return (long)kept;
}

static long turn_index(struct fg_model *m, struct index *ix, double share, size_t max, keep_fn keep)
{
	return ix->slots ? turn(m, &ix->saved, ix->mask + 1, ix->slots, share, max, keep) : 0;
}

/* In the order of their keys' kinds. */
long fg_model_save(struct fg_model *m, double share, size_t max)
{
	long sum = 0, n[_FG_SUMMARY_MAX] = { 0 };

	if (!m->keeper.put)
		return 0;
	n[FG_SUMMARY_PRINT] = turn_index(m, &m->print_index, share, max, keep_print);
	if (n[FG_SUMMARY_PRINT] >= 0)
		n[FG_SUMMARY_STEM] = turn(m, &m->saved_stems, (uint32_t)fg_stems_places(m->stems),
					  NULL, share, max, keep_stem);
	if (n[FG_SUMMARY_STEM] >= 0)
		n[FG_SUMMARY_SOURCE] = turn_index(m, &m->source_index, share, max, keep_source);
	if (n[FG_SUMMARY_SOURCE] >= 0)
		n[FG_SUMMARY_CLIENT] = turn_index(m, &m->client_index, share, max, keep_client);
	if (n[FG_SUMMARY_CLIENT] >= 0)
		n[FG_SUMMARY_HOSTS] = turn(m, &m->saved_hosts, (uint32_t)fg_hosts_places(m->hosts),
					   NULL, share, max, keep_hosts);
	for (int kind = 0; kind < _FG_SUMMARY_MAX; kind++) {
		if (n[kind] < 0)
			return n[kind];
		sum += n[kind];
	}
	return sum;
}

void fg_model_save_again(struct fg_model *m)
{
	for (uint32_t i = 0; i < m->n_prints; i++)
		m->prints[i].unsaved = true;
	for (uint32_t i = 0; i < m->n_sources; i++)
		m->sources[i].unsaved = true;
	for (uint32_t i = 0; i < m->n_clients; i++)
		m->clients[i].unsaved = 1;
	for (size_t i = 0; i < fg_stems_places(m->stems); i++)
		if (fg_stems_at(m->stems, i))
			fg_stems_at(m->stems, i)->unsaved = true;
	for (size_t i = 0; i < fg_hosts_places(m->hosts); i++)
		if (fg_hosts_at(m->hosts, i))
			fg_hosts_at(m->hosts, i)->unsaved = true;
}

/* --- Rows that give way ----------------------------------------------------------------------- */

/* May one more row that gives way be kept? */
static bool may_leave(struct fg_model *m)
{
	if (m->keeper.put && m->n_left < FG_LEFT) {
		m->n_left++;
		return true;
	}
	m->refused.left += m->keeper.put != NULL;
	return false;
}

void fg_model_leave_source(struct fg_model *m, uint32_t at)
{
	if (m->sources[at].unsaved && may_leave(m))
		keep_source(m, at);
}

void fg_model_leave_client(struct fg_model *m, uint32_t at)
{
	struct fg_model_client *row = &m->clients[at];

	if (row->unsaved && may_leave(m))
		keep_client(m, at);
	if (row->unsaved || !m->keeper.put)
		fg_model_forget_until(m, row->last_ns);
}

/* --- Rows that are made ----------------------------------------------------------------------- */

/* @return bytes of the summary, 0 where there is none, or one more look-up would be too many. */
static size_t look_up(struct fg_model *m, enum fg_summary_kind kind, uint64_t hash, void *bytes)
{
	if (!m->keeper.find)
		return 0;
	if (m->n_recalled == FG_RECALLS) {
		m->refused.recalls++;
		/* it may have made a full handshake before */
		if (kind == FG_SUMMARY_CLIENT)
			fg_model_forget_until(m, m->now_ns);
		return 0;
	}
	m->n_recalled++;
	return m->keeper.find(m->keeper.arg, fg_summary_key(kind, hash), bytes, FG_SUMMARY_BYTES);
}

/* What was written in a later time than this is of a clock that was wrong. */
static bool is_past(const struct fg_model *m, uint64_t last_ns)
{
	return last_ns <= m->now_ns;
}

void fg_model_recall_source(struct fg_model *m, struct fg_model_source *row)
{
	uint8_t bytes[FG_SUMMARY_BYTES];
	size_t n = look_up(m, FG_SUMMARY_SOURCE, hash_source(m, row->addr), bytes);
	struct fg_model_source old;

	if (n && !fg_summary_get_source(bytes, n, &old) && !memcmp(old.addr, row->addr, 16) &&
	    is_past(m, old.last_ns))
		*row = old;
}

void fg_model_recall_client(struct fg_model *m, struct fg_client_summary *row)
{
	const struct fg_model_client *c = &row->row;
	uint8_t bytes[FG_SUMMARY_BYTES];
	size_t n = look_up(m, FG_SUMMARY_CLIENT, hash_client(m, c->addr, c->stem, c->stack), bytes);
	struct fg_client_summary old;

	if (n && !fg_summary_get_client(bytes, n, &old) && old.row.stem == c->stem &&
	    old.row.stack == c->stack && !memcmp(old.row.addr, c->addr, 16) &&
	    is_past(m, old.row.last_ns))
		*row = old;
}

void fg_model_recall_stem(struct fg_model *m, struct fg_stem *row)
{
	uint8_t bytes[FG_SUMMARY_BYTES];
	size_t n = look_up(m, FG_SUMMARY_STEM, hash_stem(m, row->stem), bytes);
	struct fg_stem old;

	if (!n || fg_summary_get_stem(bytes, n, &old) || old.stem != row->stem ||
	    !is_past(m, old.last_ns))
		return;
	old.last_ns = row->last_ns;
	old.unsaved = true;
	*row = old;
}

/* --- At the start ----------------------------------------------------------------------------- */

struct fg_model_past fg_model_past(const struct fg_model *m)
{
	return (struct fg_model_past){ m->began_ns, m->unbroken_ns, m->known_since_ns, m->now_ns };
}

size_t fg_model_room(const struct fg_model *m, int kind)
{
	switch (kind) {
	case FG_SUMMARY_PRINT:
		return m->limits.fingerprints / 2;
	case FG_SUMMARY_STEM:
		return m->limits.stems;
	case FG_SUMMARY_SOURCE:
		return m->limits.sources;
	case FG_SUMMARY_CLIENT:
		return m->limits.clients;
	case FG_SUMMARY_HOSTS:
		return m->limits.hosts;
	default:
		return 0;
	}
}

static int restore_source(struct fg_model *m, const void *bytes, size_t n)
{
	struct fg_model_source row;
	int r = fg_summary_get_source(bytes, n, &row);

	if (r)
		return r;
	if (fg_model_source_place(m, row.addr) != NONE)
		return 1;
	return fg_model_add_source(m, &row);
}

static int restore_client(struct fg_model *m, const void *bytes, size_t n)
{
	struct fg_client_summary row;
	int r = fg_summary_get_client(bytes, n, &row);
	uint32_t at;

	if (r)
		return r;
	if (fg_model_client_place(m, row.row.addr, row.row.stem, row.row.stack) != NONE)
		return 1;
	r = fg_model_add_client(m, &row, &at);
	if (!r)
		r = fg_model_link_client(m, at, row.print);
	/* whether it is of the hour that was left is seen when that is known */
	if (!r && row.listed)
		r = fg_model_list_active(m, at);
	return r;
}

static int restore_print(struct fg_model *m, const void *bytes, size_t n)
{
	struct fg_model_print row;
	int r = fg_summary_get_print(bytes, n, &row);

	if (r)
		return r;
	if (fg_model_print_place(m, row.print) != NONE ||
	    m->n_prints >= fg_model_room(m, FG_SUMMARY_PRINT))
		return 1;
	return fg_model_add_print(m, &row);
}

static int restore_stem(struct fg_model *m, const void *bytes, size_t n)
{
	struct fg_stem row, *made;
	int r = fg_summary_get_stem(bytes, n, &row);

	if (r)
		return r;
	made = fg_stems_find(m->stems, row.stem) ? NULL :
						   fg_stems_row(m->stems, row.stem, row.last_ns);
	if (!made)
		return 1;
	*made = row;
	return 0;
}

static int restore_hosts(struct fg_model *m, const void *bytes, size_t n)
{
	struct fg_hosts_row row;
	int r = fg_summary_get_hosts(bytes, n, &row);

	if (!r)
		fg_hosts_restore(m->hosts, &row);
	return r;
}

int fg_model_restore(struct fg_model *m, uint64_t key, const void *bytes, size_t n)
{
	static int (*const restore[_FG_SUMMARY_MAX])(struct fg_model *, const void *, size_t) = {
		[FG_SUMMARY_PRINT] = restore_print,   [FG_SUMMARY_STEM] = restore_stem,
		[FG_SUMMARY_SOURCE] = restore_source, [FG_SUMMARY_CLIENT] = restore_client,
		[FG_SUMMARY_HOSTS] = restore_hosts,
	};
	enum fg_summary_kind kind = fg_summary_kind_of(key);
	int r = kind && kind < _FG_SUMMARY_MAX ? restore[kind](m, bytes, n) : -EBADMSG;

	return r == -ENOSPC ? 1 : r;
}

/* Marks of "was active in its hour" are good for the hour that was left only. */
static void keep_listed(struct fg_model *m)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->n_active; i++) {
		uint32_t at = m->active[i];

		if (m->now_ns &&
		    (m->clients[at].last_ns - 1) / HOUR_NS == (m->now_ns - 1) / HOUR_NS)
			m->active[kept++] = at;
		else
			m->days[at].hour = 0;
	}
	m->n_active = kept;
}

void fg_model_restored(struct fg_model *m, const struct fg_model_past *past, bool complete)
{
	m->began_ns = past->began_ns;
	m->unbroken_ns = past->unbroken_ns;
	m->known_since_ns = past->known_since_ns;
	m->now_ns = past->now_ns;
	m->complete = complete;
	keep_listed(m);
}

/* The clock may have been set back a little while nobody looked. */
void fg_model_begin_watch(struct fg_model *m, uint64_t start_ns, uint64_t end_ns)
{
	uint64_t left_ns = m->now_ns;
	bool is_back = start_ns + FG_SHORT_BREAK_NS < left_ns;
	uint64_t away_ns = start_ns > left_ns ? start_ns - left_ns : 0;

	m->watching = true;
	if (!left_ns || is_back || away_ns >= FG_STALE_NS)
		m->began_ns = start_ns;
	if (!left_ns || is_back || away_ns >= FG_BREAK_NS)
		m->unbroken_ns = start_ns;
	if (!left_ns || is_back || away_ns > FG_SHORT_BREAK_NS || !m->complete)
		m->known_since_ns = end_ns;
	if (left_ns && away_ns >= FG_BREAK_NS) {
		m->break_from = (uint16_t)(left_ns / FG_DAY_NS);
		m->break_to = (uint16_t)(start_ns / FG_DAY_NS);
	}
}
