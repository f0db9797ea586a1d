/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rows live in dense arrays that grow by doubling up to their cap; a keyed open-addressing index
 * finds them. Beyond the cap the longest idle of some rows drawn by chance gives way when it was
 * idle for a whole window, else the newcomer is refused; both are counted.
 *
 * Distinct counts (fingerprints, stems and stacks of a source, sources of a fingerprint) are exact
 * while the set of pairs seen has room (limits.pairs), and may be too high after.
 */
#include "model/model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "farmgate/hello.h"
#include "farmgate/stack.h"
#include "lib/ip.h"
#include "model/ja4.h"
#include "model/model_tables.h"

/* Rows drawn when one has to give way. */
#define DRAWS 16
/* Connections of one client that its stem's crypto time is learned from: no single client, however
 * busy, says what is usual. */
#define CRYPTO_OF_CLIENT 8
/* Days that a source's usual day is the mean of; older ones fade. */
#define USUAL_DAYS 14
/* Of a source's busiest window of earlier days so much is left a day later: half after a week. */
#define PEAK_KEPT 0.9F

/* --- The index -------------------------------------------------------------------------------- */

static uint64_t hash_row(const struct fg_model *m, enum kind kind, uint32_t at)
{
	switch (kind) {
	case SOURCE:
		return hash_source(m, m->sources[at].addr);
	case CLIENT:
		return hash_client(m, m->clients[at].addr, m->clients[at].stem,
				   m->clients[at].stack);
	default:
		return hash_print(m, m->prints[at].print);
	}
}

static void index_put(struct index *ix, uint64_t hash, uint32_t at)
{
	uint32_t i = index_home(ix, hash);

	while (ix->slots[i])
		i = (i + 1) & ix->mask;
	ix->slots[i] = at + 1;
}

/* Twice as many slots as rows, so that probes stay short. */
static uint32_t index_size(uint32_t cap)
{
	uint32_t n = 16;

	while (n < cap * 2)
		n *= 2;
	return n;
}

static int index_resize(const struct fg_model *m, struct index *ix, enum kind kind, uint32_t rows,
			uint32_t cap)
{
	uint32_t n = index_size(cap);
	struct index fresh = { .mask = n - 1, .shift = 64 - (uint32_t)__builtin_ctz(n) };

	fresh.slots = calloc((size_t)fresh.mask + 1, sizeof(*fresh.slots));
	if (!fresh.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < rows; i++)
		index_put(&fresh, hash_row(m, kind, i), i);
	if (ix->slots)
		fresh.saved = (uint32_t)((uint64_t)ix->saved * n / ((uint64_t)ix->mask + 1));
	free(ix->slots);
	*ix = fresh;
	return 0;
}

/* Takes a row out and moves later ones of its run up (Knuth, TAOCP 3, 6.4, algorithm R). */
static void index_remove(const struct fg_model *m, struct index *ix, enum kind kind, uint32_t at)
{
	uint32_t i = index_home(ix, hash_row(m, kind, at)), j;

	while (ix->slots[i] != at + 1)
		i = (i + 1) & ix->mask;
	for (j = (i + 1) & ix->mask; ix->slots[j]; j = (j + 1) & ix->mask) {
		uint32_t home = index_home(ix, hash_row(m, kind, ix->slots[j] - 1));

		if (((j - home) & ix->mask) >= ((j - i) & ix->mask)) {
			ix->slots[i] = ix->slots[j];
			i = j;
		}
	}
	ix->slots[i] = 0;
}

/* --- Making room ------------------------------------------------------------------------------ */

static int grow(void **array, size_t size, uint32_t cap)
{
	void *larger = reallocarray(*array, cap, size);

	if (!larger)
		return -ENOMEM;
	*array = larger;
	return 0;
}

static uint32_t next_cap(uint32_t cap, uint32_t limit)
{
	uint32_t next = cap ? cap * 2 : 1024;

	return next < limit ? next : limit;
}

static uint64_t last_seen(const struct fg_model *m, enum kind kind, uint32_t at)
{
	return kind == SOURCE ? m->sources[at].last_ns : m->clients[at].last_ns;
}

/* The longest idle of some rows, or NONE where none was idle for a window. */
static uint32_t draw_idle(struct fg_model *m, enum kind kind, uint32_t n)
{
	uint32_t best = NONE;

	for (int i = 0; n && i < DRAWS; i++) {
		uint64_t last_ns;
		uint32_t at;

		m->draw = mix(m->draw + 1, m->seed[1]);
		at = (uint32_t)(m->draw % n);
		last_ns = last_seen(m, kind, at);
		/* one from a time that the clock was set back from gives way, too */
		if (last_ns + m->limits.window_ns > m->now_ns &&
		    last_ns < m->now_ns + m->limits.window_ns)
			continue;
		if (best == NONE || last_seen(m, kind, at) < last_seen(m, kind, best))
			best = at;
	}
	return best;
}

uint32_t fg_model_source_place(const struct fg_model *m, const uint8_t addr[16])
{
	uint32_t i = index_home(&m->source_index, hash_source(m, addr));

	if (!m->source_index.slots)
		return NONE;
	for (; m->source_index.slots[i]; i = (i + 1) & m->source_index.mask) {
		uint32_t at = m->source_index.slots[i] - 1;

		if (!memcmp(m->sources[at].addr, addr, 16))
			return at;
	}
	return NONE;
}

uint32_t fg_model_client_place(const struct fg_model *m, const uint8_t addr[16], uint64_t stem,
			       uint64_t stack)
{
	uint32_t i = index_home(&m->client_index, hash_client(m, addr, stem, stack));

	if (!m->client_index.slots)
		return NONE;
	for (; m->client_index.slots[i]; i = (i + 1) & m->client_index.mask) {
		uint32_t at = m->client_index.slots[i] - 1;
		const struct fg_model_client *c = &m->clients[at];

		if (c->stem == stem && c->stack == stack && !memcmp(c->addr, addr, 16))
			return at;
	}
	return NONE;
}

uint32_t fg_model_print_place(const struct fg_model *m, uint64_t print)
{
	uint32_t i = index_home(&m->print_index, hash_print(m, print));

	if (!m->print_index.slots)
		return NONE;
	for (; m->print_index.slots[i]; i = (i + 1) & m->print_index.mask)
		if (m->prints[m->print_index.slots[i] - 1].print == print)
			return m->print_index.slots[i] - 1;
	return NONE;
}

/* A named fingerprint with this stem. */
static uint32_t find_stem(const struct fg_model *m, uint64_t stem)
{
	uint32_t i = index_home(&m->stem_index, hash_stem(m, stem));

	if (!m->stem_index.slots)
		return NONE;
	for (; m->stem_index.slots[i]; i = (i + 1) & m->stem_index.mask)
		if (m->prints[m->stem_index.slots[i] - 1].stem == stem)
			return m->stem_index.slots[i] - 1;
	return NONE;
}

/* A client leaves its source's chain. */
static void unchain_client(struct fg_model *m, uint32_t at)
{
	uint32_t source = fg_model_source_place(m, m->clients[at].addr), *link;

	if (source == NONE || m->next_client[at] == UNCHAINED)
		return;
	for (link = &m->first_client[source]; *link != NONE; link = &m->next_client[*link]) {
		if (*link == at) {
			*link = m->next_client[at];
			return;
		}
	}
}

/* The clients of a source that gives way stay, until it comes back or they give way themselves. */
static void unchain_all(struct fg_model *m, uint32_t source)
{
	uint32_t at = m->first_client[source], next;

	for (; at != NONE; at = next) {
		next = m->next_client[at];
		m->next_client[at] = UNCHAINED;
	}
}

static int grow_sources(struct fg_model *m, uint32_t cap)
{
	if (grow((void **)&m->sources, sizeof(*m->sources), cap) ||
	    grow((void **)&m->first_client, sizeof(*m->first_client), cap) ||
	    index_resize(m, &m->source_index, SOURCE, m->n_sources, cap))
		return -ENOMEM;
	m->cap_sources = cap;
	return 0;
}

/* A place behind all others. @return 0, -ENOMEM, -ENOSPC at the limit. */
static int append_source(struct fg_model *m, uint32_t *ret_at)
{
	uint32_t at = m->n_sources;

	if (at == m->limits.sources)
		return -ENOSPC;
	if (at == m->cap_sources && grow_sources(m, next_cap(at, m->limits.sources)))
		return -ENOMEM;
	m->sources[at].recent = false;
	m->n_sources++;
	*ret_at = at;
	return 0;
}

/* The longest idle of some gives way, and leaves its summary. */
static int replace_source(struct fg_model *m, uint32_t *ret_at)
{
	uint32_t at = draw_idle(m, SOURCE, m->n_sources);

	if (at == NONE) {
		m->refused.sources++;
		return -ENOSPC;
	}
	m->refused.sources_expired++;
	fg_model_leave_source(m, at);
	unchain_all(m, at);
	index_remove(m, &m->source_index, SOURCE, at);
	*ret_at = at;
	return 0;
}

static void put_source(struct fg_model *m, const struct fg_model_source *row, uint32_t at)
{
	/* a place is in the list of recent ones once, whoever has it */
	bool recent = m->sources[at].recent;

	m->sources[at] = *row;
	m->sources[at].recent = recent;
	m->first_client[at] = NONE;
	index_put(&m->source_index, hash_source(m, row->addr), at);
}

int fg_model_add_source(struct fg_model *m, const struct fg_model_source *row)
{
	uint32_t at;
	int r = append_source(m, &at);

	if (!r)
		put_source(m, row, at);
	return r;
}

static int make_source(struct fg_model *m, const uint8_t addr[16], uint32_t *ret_at)
{
	struct fg_model_source row = { .first_ns = m->now_ns };
	int r = append_source(m, ret_at);

	if (r == -ENOSPC)
		r = replace_source(m, ret_at);
	if (r)
		return r;
	memcpy(row.addr, addr, 16);
	fg_model_recall_source(m, &row);
	put_source(m, &row, *ret_at);
	return 0;
}

/* The row of a source; NULL where there is no room (counted) or no memory. */
static struct fg_model_source *source_row(struct fg_model *m, const uint8_t addr[16], int *error)
{
	uint32_t at = fg_model_source_place(m, addr);
	int r;

	if (at == NONE) {
		r = make_source(m, addr, &at);
		if (r) {
			if (r == -ENOMEM)
				*error = r;
			return NULL;
		}
	}
	if (m->sources[at].last_ns != m->now_ns)
		m->sources[at].moving = 0;
	m->sources[at].last_ns = m->now_ns;
	m->sources[at].unsaved = true;
	return &m->sources[at];
}

void fg_model_forget_until(struct fg_model *m, uint64_t ns)
{
	if (ns > m->known_since_ns)
		m->known_since_ns = ns;
}

static int grow_clients(struct fg_model *m, uint32_t cap)
{
	if (grow((void **)&m->clients, sizeof(*m->clients), cap) ||
	    grow((void **)&m->next_client, sizeof(*m->next_client), cap) ||
	    grow((void **)&m->moving, sizeof(*m->moving), cap) ||
	    grow((void **)&m->days, sizeof(*m->days), cap) ||
	    index_resize(m, &m->client_index, CLIENT, m->n_clients, cap))
		return -ENOMEM;
	m->cap_clients = cap;
	return 0;
}

static int append_client(struct fg_model *m, uint32_t *ret_at)
{
	uint32_t at = m->n_clients;

	if (at == m->limits.clients)
		return -ENOSPC;
	if (at == m->cap_clients && grow_clients(m, next_cap(at, m->limits.clients)))
		return -ENOMEM;
	m->days[at].hour = 0;
	m->n_clients++;
	*ret_at = at;
	return 0;
}

static int replace_client(struct fg_model *m, uint32_t *ret_at)
{
	uint32_t at = draw_idle(m, CLIENT, m->n_clients);

	if (at == NONE) {
		m->refused.clients++;
		fg_model_forget_until(m, m->now_ns);
		return -ENOSPC;
	}
	m->refused.clients_expired++;
	fg_model_leave_client(m, at);
	unchain_client(m, at);
	index_remove(m, &m->client_index, CLIENT, at);
	*ret_at = at;
	return 0;
}

static void put_client(struct fg_model *m, const struct fg_client_summary *row, uint32_t at)
{
	uint32_t hour = m->days[at].hour, print = fg_model_print_place(m, row->print);

	m->clients[at] = row->row;
	m->clients[at].print = print == NONE ? NO_PRINT : print;
	m->next_client[at] = UNCHAINED;
	m->moving[at] = 0;
	m->days[at] = row->day;
	/* the hour stays: a place is in the list of active ones once, whoever has it */
	m->days[at].hour = hour;
	index_put(&m->client_index, hash_client(m, row->row.addr, row->row.stem, row->row.stack),
		  at);
}

int fg_model_add_client(struct fg_model *m, const struct fg_client_summary *row, uint32_t *ret_at)
{
	int r = append_client(m, ret_at);

	if (!r)
		put_client(m, row, *ret_at);
	return r;
}

static int make_client(struct fg_model *m, const struct fg_epoch_client *in, uint32_t *ret_at,
		       int *error)
{
	struct fg_client_summary row = { .row = { .stem = in->stem, .stack = in->stack } };
	int r = append_client(m, ret_at);

	if (r == -ENOSPC)
		r = replace_client(m, ret_at);
	if (r)
		return r;
	memcpy(row.row.addr, in->addr, 16);
	row.row.first_ns = m->now_ns;
	fg_model_recall_client(m, &row);
	put_client(m, &row, *ret_at);
	/* what its source counted when it was there is in the source's summary */
	if (row.row.last_ns)
		fg_model_note_pairs(m, *ret_at, row.print, error);
	return 0;
}

static int stem_index_resize(struct fg_model *m, uint32_t cap)
{
	struct index fresh = { 0 };
	int r = index_resize(m, &fresh, PRINT, 0, cap);

	if (r)
		return r;
	free(m->stem_index.slots);
	m->stem_index = fresh;
	for (uint32_t i = 0; i < m->n_prints; i++)
		if (m->prints[i].named && find_stem(m, m->prints[i].stem) == NONE)
			index_put(&m->stem_index, hash_stem(m, m->prints[i].stem), i);
	return 0;
}

static int grow_prints(struct fg_model *m, uint32_t cap)
{
	if (grow((void **)&m->prints, sizeof(*m->prints), cap) ||
	    index_resize(m, &m->print_index, PRINT, m->n_prints, cap) || stem_index_resize(m, cap))
		return -ENOMEM;
	m->cap_prints = cap;
	return 0;
}

static int append_print(struct fg_model *m, uint32_t *ret_at)
{
	uint32_t at = m->n_prints;

	if (at == m->limits.fingerprints)
		return -ENOSPC;
	if (at == m->cap_prints && grow_prints(m, next_cap(at, m->limits.fingerprints)))
		return -ENOMEM;
	m->n_prints++;
	*ret_at = at;
	return 0;
}

static void put_print(struct fg_model *m, const struct fg_model_print *row, uint32_t at)
{
	m->prints[at] = *row;
	index_put(&m->print_index, hash_print(m, row->print), at);
	if (row->named && find_stem(m, row->stem) == NONE)
		index_put(&m->stem_index, hash_stem(m, row->stem), at);
}

int fg_model_add_print(struct fg_model *m, const struct fg_model_print *row)
{
	uint32_t at;
	int r = append_print(m, &at);

	if (!r)
		put_print(m, row, at);
	return r;
}

static int make_print(struct fg_model *m, uint64_t print, uint64_t stem, uint32_t *ret_at)
{
	const struct fg_model_print row = { .print = print, .stem = stem, .first_ns = m->now_ns };
	int r = append_print(m, ret_at);

	if (r == -ENOSPC)
		m->refused.fingerprints++;
	if (!r)
		put_print(m, &row, *ret_at);
	return r;
}

static struct fg_model_print *print_row(struct fg_model *m, uint64_t print, uint64_t stem,
					int *error)
{
	uint32_t at = fg_model_print_place(m, print);
	int r;

	if (at == NONE) {
		r = make_print(m, print, stem, &at);
		if (r) {
			if (r == -ENOMEM)
				*error = r;
			return NULL;
		}
	}
	m->prints[at].last_ns = m->now_ns;
	m->prints[at].unsaved = true;
	return &m->prints[at];
}

/* --- Distinct counts -------------------------------------------------------------------------- */

static bool pairs_hold(const struct pairs *p, uint64_t hash)
{
	if (!p->slots)
		return false;
	for (uint32_t i = (uint32_t)hash & (p->cap - 1); p->slots[i]; i = (i + 1) & (p->cap - 1))
		if (p->slots[i] == hash)
			return true;
	return false;
}

static void pairs_put(struct pairs *p, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & (p->cap - 1);

	while (p->slots[i])
		i = (i + 1) & (p->cap - 1);
	p->slots[i] = hash;
	p->n++;
}

static int pairs_grow(struct pairs *p)
{
	struct pairs larger = { .cap = p->cap ? p->cap * 2 : 4096 };

	larger.slots = calloc(larger.cap, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->cap; i++)
		if (p->slots[i])
			pairs_put(&larger, p->slots[i]);
	free(p->slots);
	*p = larger;
	return 0;
}

/* Remembers a pair by its hash; true the first time. When a generation is full the next begins, and
 * pairs that nobody showed for a whole generation are forgotten: they count anew, so that a source
 * never seems to have fewer kinds of clients than it has. */
static bool pair_is_new(struct fg_model *m, uint64_t hash, int *error)
{
	bool known;

	if (hash == 0)
		hash = 1;
	if (pairs_hold(&m->pairs, hash))
		return false;
	known = pairs_hold(&m->older_pairs, hash);
	if (m->pairs.n >= m->limits.pairs / 2) {
		m->refused.pairs += m->older_pairs.n - m->kept_pairs;
		free(m->older_pairs.slots);
		m->older_pairs = m->pairs;
		m->pairs = (struct pairs){ 0 };
		m->kept_pairs = 0;
	}
	if (m->pairs.n * 2 >= m->pairs.cap && pairs_grow(&m->pairs)) {
		*error = -ENOMEM;
		return false;
	}
	pairs_put(&m->pairs, hash);
	m->kept_pairs += known;
	return !known;
}

/* The first time that this row of the source and the key come together. A source that gave way and
 * came back has a new row, and counts its kinds of clients anew. */
static bool first_together(struct fg_model *m, const struct fg_model_source *s, uint64_t key,
			   uint64_t kind, int *error)
{
	uint64_t hash = hash_words(m, word_at(s->addr), word_at(s->addr + 8), key, kind);

	return pair_is_new(m, mix(hash, s->first_ns), error);
}

static uint32_t cap_for(uint64_t n, uint32_t cap, uint32_t limit)
{
	while (cap < n && cap < limit)
		cap = next_cap(cap, limit);
	return cap;
}

int fg_model_reserve(struct fg_model *m, int kind, uint64_t n)
{
	uint32_t sources = cap_for(n, m->cap_sources, m->limits.sources);
	uint32_t clients = cap_for(n, m->cap_clients, m->limits.clients);
	uint32_t prints = cap_for(n, m->cap_prints, m->limits.fingerprints);

	switch (kind) {
	case FG_SUMMARY_SOURCE:
		return sources > m->cap_sources ? grow_sources(m, sources) : 0;
	case FG_SUMMARY_CLIENT:
		return clients > m->cap_clients ? grow_clients(m, clients) : 0;
	case FG_SUMMARY_PRINT:
		return prints > m->cap_prints ? grow_prints(m, prints) : 0;
	default:
		return 0;
	}
}

uint64_t fg_model_print_key(const struct fg_model *m, uint32_t at)
{
	uint32_t print = m->clients[at].print;

	return print == NO_PRINT ? 0 : m->prints[print].print;
}

void fg_model_note_pairs(struct fg_model *m, uint32_t at, uint64_t print, int *error)
{
	const struct fg_model_client *c = &m->clients[at];
	uint32_t source = fg_model_source_place(m, c->addr);

	/* was it counted? A row of the source that was made after it has to count it again */
	if (source == NONE || m->sources[source].first_ns > c->first_ns ||
	    m->sources[source].last_ns < c->first_ns)
		return;
	first_together(m, &m->sources[source], c->stem, STEM_PAIR, error);
	if (c->stack)
		first_together(m, &m->sources[source], c->stack, STACK_PAIR, error);
	if (print)
		first_together(m, &m->sources[source], print, PRINT_PAIR, error);
}

/* --- Applying an epoch ------------------------------------------------------------------------ */

static uint32_t slot_of(const struct fg_model *m, uint64_t ns)
{
	return (uint32_t)(ns / (m->limits.window_ns / FG_WINDOW_SLOTS));
}

/* Clears the slots that went by since the source was last active. */
static void window_advance(struct fg_model_source *s, uint32_t slot)
{
	uint32_t passed = slot - s->window_slot;

	if (passed >= FG_WINDOW_SLOTS) {
		memset(s->window, 0, sizeof(s->window));
		memset(s->turns, 0, sizeof(s->turns));
	} else {
		for (uint32_t i = 1; i <= passed; i++) {
			s->window[(s->window_slot + i) % FG_WINDOW_SLOTS] = 0;
			s->turns[(s->window_slot + i) % FG_WINDOW_SLOTS] = 0;
		}
	}
	s->window_slot = slot;
}

static void add16(uint16_t *to, uint64_t n)
{
	*to = n < (uint64_t)(UINT16_MAX - *to) ? (uint16_t)(*to + n) : UINT16_MAX;
}

/* Stops at its end instead of starting over. */
static void add32(uint32_t *to, uint64_t n)
{
	*to = n < UINT32_MAX - *to ? *to + (uint32_t)n : UINT32_MAX;
}

/* The epoch's end is the next one's first moment, and may be the next day's. */
static uint64_t last_moment(const struct fg_model *m)
{
	return m->now_ns ? m->now_ns - 1 : 0;
}

/* A day is over: what the source did on it joins what is usual for it. Days without it are not
 * held against it, and of a day with a break nobody knows. */
static void source_day(struct fg_model *m, struct fg_model_source *s)
{
	uint16_t day = (uint16_t)(last_moment(m) / FG_DAY_NS);

	if (s->day == day)
		return;
	if (s->day && !s->held && (s->day < m->break_from || s->day > m->break_to)) {
		s->days += s->days < UINT16_MAX;
		s->usual += ((float)s->today - s->usual) /
			    (s->days < USUAL_DAYS ? s->days : USUAL_DAYS);
		s->peak = (uint16_t)fmaxf(s->peak_today, PEAK_KEPT * s->peak);
	}
	s->day = day;
	s->today = 0;
	s->peak_today = 0;
	s->held = false;
}

void fg_model_hold(struct fg_model *m, const uint8_t addr[16])
{
	struct fg_model_source *s = (struct fg_model_source *)fg_model_source_find(m, addr);

	if (s)
		s->held = true;
}

/* Behind a change of its window. */
static void source_peak(struct fg_model_source *s, uint32_t in_window)
{
	if (in_window > s->peak_today)
		s->peak_today = in_window < UINT16_MAX ? (uint16_t)in_window : UINT16_MAX;
}

static void note_recent(struct fg_model *m, struct fg_model_source *s, int *error)
{
	if (s->recent)
		return;
	if (m->n_recent == m->cap_recent) {
		uint32_t cap = next_cap(m->cap_recent, m->limits.sources);

		if (grow((void **)&m->recent, sizeof(*m->recent), cap)) {
			*error = -ENOMEM;
			return;
		}
		m->cap_recent = cap;
	}
	s->recent = true;
	m->recent[m->n_recent++] = (uint32_t)(s - m->sources);
}

/* Once a slot: those that were quiet for a whole window leave. */
static void prune_recent(struct fg_model *m)
{
	uint32_t slot = slot_of(m, m->now_ns), kept = 0;

	if (slot == m->pruned_slot)
		return;
	m->pruned_slot = slot;
	for (uint32_t i = 0; i < m->n_recent; i++) {
		struct fg_model_source *s = &m->sources[m->recent[i]];

		s->recent = slot - s->window_slot < FG_WINDOW_SLOTS;
		if (s->recent)
			m->recent[kept++] = m->recent[i];
	}
	m->n_recent = kept;
}

static void apply_source(struct fg_model *m, const struct fg_epoch_source *in, int *error)
{
	struct fg_model_source *s = source_row(m, in->addr, error);
	uint32_t slot = slot_of(m, m->now_ns);

	if (!s)
		return;
	add32(&s->syns, in->syns);
	add32(&s->connections, in->connections);
	add32(&s->proven, in->proven);
	add32(&s->hellos, in->hellos);
	add32(&s->incomplete, in->incomplete);
	add32(&s->fins, in->fins);
	add32(&s->rsts, in->rsts);
	window_advance(s, slot);
	add16(&s->window[slot % FG_WINDOW_SLOTS], in->proven);
	note_recent(m, s, error);
	source_day(m, s);
	add32(&s->today, in->proven);
	source_peak(s, fg_model_window_proven(m, s));
}

static void apply_print(struct fg_model *m, const struct fg_epoch_print *in, int *error)
{
	struct fg_model_print *p = print_row(m, in->print, in->stem, error);

	if (p)
		p->hellos += in->hellos;
}

static void count_distinct(struct fg_model *m, struct fg_model_source *s,
			   const struct fg_epoch_client *in, int *error)
{
	struct fg_model_print *p;

	if (first_together(m, s, in->stem, STEM_PAIR, error))
		s->stems++;
	if (in->stack && first_together(m, s, in->stack, STACK_PAIR, error))
		s->stacks++;
	if (!first_together(m, s, in->print, PRINT_PAIR, error))
		return;
	s->fingerprints++;
	p = print_row(m, in->print, in->stem, error);
	if (p)
		p->sources++;
}

static struct fg_stem *stem_row(struct fg_model *m, uint64_t key)
{
	bool is_new = !fg_stems_find(m->stems, key);
	struct fg_stem *row = fg_stems_row(m->stems, key, m->now_ns);

	if (row && is_new)
		fg_model_recall_stem(m, row);
	return row;
}

static void see_client(struct fg_model *m, uint32_t at)
{
	struct fg_model_client *c = &m->clients[at];
	struct fg_stem *stem;

	if (c->last_ns && (c->last_ns - 1) / FG_DAY_NS < last_moment(m) / FG_DAY_NS) {
		stem = stem_row(m, c->stem);
		if (stem)
			fg_stem_add_return(stem, last_moment(m));
	}
	if (c->last_ns != m->now_ns)
		m->moving[at] = 0;
	c->last_ns = m->now_ns;
	c->unsaved = 1;
}

int fg_model_list_active(struct fg_model *m, uint32_t at)
{
	if (m->days[at].hour == m->hour_mark)
		return 0;
	if (m->n_active == m->cap_active) {
		uint32_t cap = next_cap(m->cap_active, m->limits.clients);

		if (grow((void **)&m->active, sizeof(*m->active), cap))
			return -ENOMEM;
		m->cap_active = cap;
	}
	m->days[at].hour = m->hour_mark;
	m->active[m->n_active++] = at;
	return 0;
}

/* Counts of the client's day; puts it on the list of this hour. No room for the list is no harm: its
 * clients are told as idle (error). */
static void act(struct fg_model *m, uint32_t at, uint64_t connections, uint64_t exchanges,
		int *error)
{
	struct fg_client_day *d = &m->days[at];
	uint16_t day = (uint16_t)(last_moment(m) / FG_DAY_NS);

	if (d->day != day) {
		d->before = d->day + 1 == day ? fg_client_turns(d) : 0;
		d->exchanges = d->connections = 0;
		d->day = day;
	}
	add16(&d->connections, connections);
	add16(&d->exchanges, exchanges);
	if ((connections || exchanges) && fg_model_list_active(m, at))
		*error = -ENOMEM;
}

static void learn_stem(struct fg_model *m, const struct fg_epoch_client *in, bool is_new)
{
	struct fg_stem *stem = stem_row(m, in->stem);

	if (!stem)
		return;
	stem->connections += in->connections;
	stem->resumed += in->resumed;
	if (!fg_ip_is4(in->addr))
		stem->v6 += in->connections;
	if (is_new)
		fg_stem_add_client(stem, in->stack, last_moment(m));
}

/* The client's place in its source's chain. */
static void chain_client(struct fg_model *m, uint32_t at, uint32_t source)
{
	if (m->next_client[at] != UNCHAINED)
		return;
	m->next_client[at] = m->first_client[source];
	m->first_client[source] = at;
	m->sources[source].clients++;
}

int fg_model_link_client(struct fg_model *m, uint32_t at, uint64_t print)
{
	uint32_t source = fg_model_source_place(m, m->clients[at].addr);
	int error = 0;

	if (source == NONE)
		return 0;
	chain_client(m, at, source);
	fg_model_note_pairs(m, at, print, &error);
	return error;
}

static void apply_client(struct fg_model *m, const struct fg_epoch_client *in, int *error)
{
	struct fg_model_source *s = source_row(m, in->addr, error);
	uint32_t at = fg_model_client_place(m, in->addr, in->stem, in->stack), print;
	struct fg_model_client *c;
	int r = 0;

	if (!s)
		return;
	if (at == NONE)
		r = make_client(m, in, &at, error);
	else if (m->next_client[at] == UNCHAINED)
		/* its source may have taken up its summary, in which it is counted */
		fg_model_note_pairs(m, at, fg_model_print_key(m, at), error);
	/* also where the client has no room: a crowd must not look like one host */
	count_distinct(m, s, in, error);
	if (r) {
		if (r == -ENOMEM)
			*error = r;
		return;
	}
	chain_client(m, at, (uint32_t)(s - m->sources));
	c = &m->clients[at];
	/* one that took up its summary was seen before */
	learn_stem(m, in, !c->last_ns);
	print = fg_model_print_place(m, in->print);
	c->print = print == NONE ? NO_PRINT : print;
	add32(&c->connections, in->connections);
	add32(&c->resumed, in->resumed);
	c->by_handshake |= in->proof_socket < in->connections;
	see_client(m, at);
	act(m, at, in->connections, 0, error);
}

/* What the connection's SYN says about the host that sent it. */
static void apply_syn(struct fg_model *m, struct fg_model_source *s, const struct fg_epoch_flow *in)
{
	static const uint8_t initial_ttl[] = { 32, 64, 128, 255 };
	const struct fg_ts before = { s->tsval, s->tsval_to, s->tsval_ns };
	const struct fg_ts ts = { in->tsval, fg_hosts_to(m->hosts, in->server), in->tsval_ns };
	uint8_t hops;

	if (in->ttl) {
		hops = initial_ttl[fg_stack_ttl_bucket(in->ttl)] - in->ttl + 1;
		if (!s->hops_min || hops < s->hops_min)
			s->hops_min = hops;
		if (hops > s->hops_max)
			s->hops_max = hops;
	}
	if (!in->has_tsval || !in->tsval_ns)
		return;
	if (before.ns)
		fg_hosts_add(m->hosts, in->addr, &before, &ts);
	if (ts.ns > before.ns) {
		s->tsval = ts.tsval;
		s->tsval_to = ts.to;
		s->tsval_ns = ts.ns;
	}
}

/* A connection that moved: how many of the client's, of the source's clients, in this epoch? */
static void count_parallel(struct fg_model *m, struct fg_model_source *s, uint32_t at)
{
	struct fg_signals *g = &m->clients[at].signals;

	m->moving[at] += m->moving[at] < UINT16_MAX;
	if (m->moving[at] > g->parallel)
		g->parallel = m->moving[at];
	if (!s || m->moving[at] > 1)
		return;
	s->moving += s->moving < UINT16_MAX;
	if (s->moving > s->parallel)
		s->parallel = s->moving;
}

static void apply_signals(struct fg_model *m, const struct fg_epoch_flow *in, uint32_t at)
{
	struct fg_signals *g = &m->clients[at].signals;
	struct fg_stem *stem;

	fg_signals_add(g, in, last_moment(m), m->known_since_ns);
	if (!(in->news & FG_NEWS_TIMES) || in->time_flags & FG_TIMES_RESENT || !in->rtt_us ||
	    !in->turn_us || g->measured > CRYPTO_OF_CLIENT)
		return;
	stem = stem_row(m, in->stem);
	if (stem)
		fg_stem_add_crypto(stem, in->rtt_us, in->turn_us);
}

static void apply_flow(struct fg_model *m, const struct fg_epoch_flow *in, int *error)
{
	struct fg_model_source *s = source_row(m, in->addr, error);
	struct fg_model_client *c;
	uint32_t at;

	m->exchanges += in->exchanges;
	if (s) {
		add32(&s->exchanges, in->exchanges);
		window_advance(s, slot_of(m, m->now_ns));
		add16(&s->turns[s->window_slot % FG_WINDOW_SLOTS], in->exchanges);
		note_recent(m, s, error);
		source_day(m, s);
		add32(&s->today, in->exchanges);
		source_peak(s, fg_model_window_exchanges(m, s));
		s->bytes_in += in->bytes_in;
		s->bytes_out += in->bytes_out;
		if (in->news & FG_NEWS_OPENED)
			apply_syn(m, s, in);
	}
	at = in->stem ? fg_model_client_place(m, in->addr, in->stem, in->stack) : NONE;
	if (at == NONE) {
		m->refused.news += in->stem && (in->news || in->n_turns);
		return;
	}
	c = &m->clients[at];
	add32(&c->exchanges, in->exchanges);
	c->bytes_in += in->bytes_in;
	c->bytes_out += in->bytes_out;
	see_client(m, at);
	act(m, at, 0, in->exchanges, error);
	if (in->bytes_in || in->bytes_out)
		count_parallel(m, s, at);
	apply_signals(m, in, at);
}

/* Flows of an epoch come in no order: full handshakes are noted before resumptions are judged. */
static void apply_full(struct fg_model *m, const struct fg_epoch_flow *in)
{
	uint32_t at;

	if (!(in->news & FG_NEWS_OPENED) || fg_signals_offers(in->hello_flags) || !in->stem)
		return;
	at = fg_model_client_place(m, in->addr, in->stem, in->stack);
	if (at != NONE)
		fg_signals_full(&m->clients[at].signals, in->opened_ns);
}

static void apply_sample(struct fg_model *m, const struct fg_sample *in, int *error)
{
	struct fg_model_print *p;
	struct fg_ja4 text;
	size_t n;

	/* of QUIC each hello is a sample: a text once known is not written again */
	if (in->status || fg_model_knows(m, in->hello.print) ||
	    fg_ja4_text(&in->hello, (char)in->proto, &text))
		return;
	p = print_row(m, in->hello.print, in->hello.stem, error);
	if (!p || p->named)
		return;
	memcpy(p->ja4, text.ja4, sizeof(p->ja4));
	memcpy(p->stem_text, text.stem, sizeof(p->stem_text));
	p->flags = in->hello.flags;
	n = in->hello.sni_len;
	for (size_t i = 0; i < n; i++)
		p->sni[i] = in->hello.sni[i] > ' ' && in->hello.sni[i] < 127 ? in->hello.sni[i] :
									       '?';
	p->sni[n] = '\0';
	p->named = true;
	if (find_stem(m, p->stem) == NONE)
		index_put(&m->stem_index, hash_stem(m, p->stem), (uint32_t)(p - m->prints));
}

int fg_model_apply(struct fg_model *m, const struct fg_epoch *e)
{
	int error = 0;

	/* also where the clock was ahead when it began, and was set back since */
	if (!m->watching || e->end_ns < m->began_ns)
		fg_model_begin_watch(m, e->start_ns < e->end_ns ? e->start_ns : e->end_ns,
				     e->end_ns);
	m->now_ns = e->end_ns;
	m->n_recalled = m->n_left = 0;
	m->received = e->received;
	m->replies = e->replies;
	for (size_t i = 0; i < e->n_samples; i++)
		apply_sample(m, &e->samples[i], &error);
	for (size_t i = 0; i < e->n_sources; i++)
		apply_source(m, &e->sources[i], &error);
	for (size_t i = 0; i < e->n_prints; i++)
		apply_print(m, &e->prints[i], &error);
	for (size_t i = 0; i < e->n_clients; i++)
		apply_client(m, &e->clients[i], &error);
	for (size_t i = 0; i < e->n_flows; i++)
		apply_full(m, &e->flows[i]);
	for (size_t i = 0; i < e->n_flows; i++)
		apply_flow(m, &e->flows[i], &error);
	prune_recent(m);
	return error;
}

/* --- Life cycle and reading ------------------------------------------------------------------- */

static struct fg_model_limits with_defaults(const struct fg_model_limits *limits)
{
	struct fg_model_limits l = *limits;

	l.stems = l.stems ? l.stems : FG_DEFAULT_STEMS;
	l.hosts = l.hosts ? l.hosts : FG_DEFAULT_HOSTS;
	l.pairs = l.pairs ? l.pairs : FG_DEFAULT_PAIRS;
	if (l.window_ns < FG_WINDOW_SLOTS)
		l.window_ns = 60000000000ULL;
	return l;
}

static int choose_seed(struct fg_model *m)
{
	memcpy(m->seed, m->limits.seed, sizeof(m->seed));
	if (m->seed[0] || m->seed[1])
		return 0;
	return getrandom(m->seed, sizeof(m->seed), 0) == (ssize_t)sizeof(m->seed) ? 0 : -EIO;
}

int fg_model_new(const struct fg_model_limits *limits, struct fg_model **ret_model)
{
	struct fg_model *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->limits = with_defaults(limits);
	m->hour_mark = 1;
	m->break_from = UINT16_MAX;
	r = choose_seed(m);
	if (!r)
		r = fg_stems_new(m->seed, m->limits.stems, &m->stems);
	if (!r)
		r = fg_hosts_new(m->seed, m->limits.hosts, &m->hosts);
	if (r) {
		fg_model_free(&m);
		return r;
	}
	*ret_model = m;
	return 0;
}

void fg_model_free(struct fg_model **model)
{
	struct fg_model *m = *model;

	if (!m)
		return;
	free(m->sources);
	free(m->first_client);
	free(m->source_index.slots);
	free(m->clients);
	free(m->next_client);
	free(m->moving);
	free(m->days);
	free(m->active);
	free(m->recent);
	free(m->client_index.slots);
	free(m->prints);
	free(m->print_index.slots);
	free(m->stem_index.slots);
	fg_stems_free(&m->stems);
	fg_hosts_free(&m->hosts);
	free(m->pairs.slots);
	free(m->older_pairs.slots);
	free(m);
	*model = NULL;
}

bool fg_model_knows(const struct fg_model *m, uint64_t print)
{
	uint32_t at = fg_model_print_place(m, print);

	return at != NONE && m->prints[at].named;
}

uint64_t fg_model_now_ns(const struct fg_model *m)
{
	return m->now_ns;
}

uint64_t fg_model_began_ns(const struct fg_model *m)
{
	return m->began_ns;
}

uint64_t fg_model_unbroken_ns(const struct fg_model *m)
{
	return m->unbroken_ns;
}

uint64_t fg_model_window_ns(const struct fg_model *m)
{
	return m->limits.window_ns;
}

size_t fg_model_n_sources(const struct fg_model *m)
{
	return m->n_sources;
}

size_t fg_model_n_clients(const struct fg_model *m)
{
	return m->n_clients;
}

size_t fg_model_n_prints(const struct fg_model *m)
{
	return m->n_prints;
}

const struct fg_model_source *fg_model_source_at(const struct fg_model *m, size_t i)
{
	return &m->sources[i];
}

const struct fg_model_client *fg_model_client_at(const struct fg_model *m, size_t i)
{
	return &m->clients[i];
}

const struct fg_model_print *fg_model_print_at(const struct fg_model *m, size_t i)
{
	return &m->prints[i];
}

const struct fg_model_source *fg_model_source_find(const struct fg_model *m, const uint8_t addr[16])
{
	uint32_t at = fg_model_source_place(m, addr);

	return at == NONE ? NULL : &m->sources[at];
}

uint64_t fg_model_source_first_ns(const struct fg_model *m, const struct fg_model_client *client)
{
	const struct fg_model_source *s = fg_model_source_find(m, client->addr);

	return s ? s->first_ns : client->first_ns;
}

const struct fg_model_client *fg_model_client_find(const struct fg_model *m, const uint8_t addr[16],
						   uint64_t stem, uint64_t stack)
{
	uint32_t at = fg_model_client_place(m, addr, stem, stack);

	return at == NONE ? NULL : &m->clients[at];
}

const struct fg_model_print *fg_model_print_find(const struct fg_model *m, uint64_t print)
{
	uint32_t at = fg_model_print_place(m, print);

	return at == NONE ? NULL : &m->prints[at];
}

const struct fg_model_print *fg_model_print_of(const struct fg_model *m,
					       const struct fg_model_client *c)
{
	return c->print == NO_PRINT ? NULL : &m->prints[c->print];
}

const char *fg_model_stem_text(const struct fg_model *m, uint64_t stem)
{
	uint32_t at = find_stem(m, stem);

	return at == NONE ? NULL : m->prints[at].stem_text;
}

uint64_t fg_model_stem_key(const struct fg_model *m, const char *text)
{
	for (uint32_t i = 0; i < m->n_prints; i++)
		if (m->prints[i].named && !strcmp(m->prints[i].stem_text, text))
			return m->prints[i].stem;
	return 0;
}

size_t fg_model_clients_of(const struct fg_model *m, const uint8_t addr[16],
			   const struct fg_model_client **ret, size_t n)
{
	uint32_t source = fg_model_source_place(m, addr), at;
	size_t found = 0, i;

	if (source == NONE)
		return 0;
	for (at = m->first_client[source]; at != NONE; at = m->next_client[at]) {
		const struct fg_model_client *c = &m->clients[at];

		/* insertion into the busiest n so far */
		for (i = found; i > 0 && ret[i - 1]->connections < c->connections; i--)
			if (i < n)
				ret[i] = ret[i - 1];
		if (i < n) {
			ret[i] = c;
			found += found < n;
		}
	}
	return found;
}

static uint32_t window_sum(const struct fg_model *m, const struct fg_model_source *s,
			   const uint16_t *window)
{
	uint32_t age = slot_of(m, m->now_ns) - s->window_slot, sum = 0;

	for (uint32_t i = 0; i < FG_WINDOW_SLOTS; i++)
		if (age + i < FG_WINDOW_SLOTS)
			sum += window[(s->window_slot - i) % FG_WINDOW_SLOTS];
	return sum;
}

uint32_t fg_model_window_proven(const struct fg_model *m, const struct fg_model_source *s)
{
	return window_sum(m, s, s->window);
}

uint32_t fg_model_window_exchanges(const struct fg_model *m, const struct fg_model_source *s)
{
	return window_sum(m, s, s->turns);
}

size_t fg_model_active(const struct fg_model *m, const uint32_t **ret_places)
{
	*ret_places = m->active;
	return m->n_active;
}

size_t fg_model_recent(const struct fg_model *m, const uint32_t **ret_places)
{
	*ret_places = m->recent;
	return m->n_recent;
}

void fg_model_begin_hour(struct fg_model *m)
{
	m->hour_mark++;
	m->n_active = 0;
}

const struct fg_client_day *fg_model_client_day(const struct fg_model *m, size_t i)
{
	return &m->days[i];
}

const struct fg_totals *fg_model_received(const struct fg_model *m)
{
	return &m->received;
}

const struct fg_totals *fg_model_replies(const struct fg_model *m)
{
	return &m->replies;
}

uint64_t fg_model_exchanges(const struct fg_model *m)
{
	return m->exchanges;
}

struct fg_model_refused fg_model_refused(const struct fg_model *m)
{
	const struct fg_stems_refused stems = fg_stems_refused(m->stems);
	const struct fg_hosts_refused hosts = fg_hosts_refused(m->hosts);
	struct fg_model_refused r = m->refused;

	r.stems = stems.no_room;
	r.stems_expired = stems.expired;
	r.hosts = hosts.no_room;
	r.hosts_expired = hosts.expired;
	r.hosts_lines = hosts.lines;
	return r;
}

static uint64_t index_bytes(const struct index *ix)
{
	return ix->slots ? ((uint64_t)ix->mask + 1) * sizeof(*ix->slots) : 0;
}

/* Of so many rows, without what finds them. */
static uint64_t row_bytes(const struct fg_model_limits *n, uint64_t pair_slots)
{
	return sizeof(struct fg_model) + fg_stems_bytes(n->stems) + fg_hosts_bytes(n->hosts) +
	       (uint64_t)n->sources * (sizeof(struct fg_model_source) + 2 * sizeof(uint32_t)) +
	       (uint64_t)n->clients *
		       (sizeof(struct fg_model_client) + sizeof(struct fg_client_day) +
			2 * sizeof(uint32_t) + sizeof(uint16_t)) +
	       (uint64_t)n->fingerprints * sizeof(struct fg_model_print) +
	       pair_slots * sizeof(uint64_t);
}

uint64_t fg_model_bytes(const struct fg_model *m)
{
	const struct fg_model_limits n = { .sources = m->cap_sources,
					   .clients = m->cap_clients,
					   .fingerprints = m->cap_prints,
					   .stems = m->limits.stems,
					   .hosts = m->limits.hosts };

	return row_bytes(&n, (uint64_t)m->pairs.cap + m->older_pairs.cap) +
	       index_bytes(&m->source_index) + index_bytes(&m->client_index) +
	       index_bytes(&m->print_index) + index_bytes(&m->stem_index);
}

uint64_t fg_model_bytes_full(const struct fg_model_limits *l)
{
	const struct fg_model_limits n = with_defaults(l);
	uint64_t slots = (uint64_t)index_size(n.sources) + index_size(n.clients) +
			 2 * index_size(n.fingerprints);

	return row_bytes(&n, 2ULL * n.pairs) + slots * sizeof(uint32_t);
}

/* --- What is derived -------------------------------------------------------------------------- */

const struct fg_stem *fg_model_stem(const struct fg_model *m, uint64_t stem)
{
	return fg_stems_find(m->stems, stem);
}

struct fg_stem_day fg_model_stem_day(const struct fg_model *m, uint64_t stem, unsigned int days_ago)
{
	return fg_stem_day(fg_model_stem(m, stem), days_ago, last_moment(m));
}

struct fg_times fg_model_times(const struct fg_model *m, const struct fg_model_client *c)
{
	return fg_signals_times(&c->signals, fg_stem_crypto(fg_model_stem(m, c->stem)).us);
}

struct fg_hosts_seen fg_model_hosts(const struct fg_model *m, const uint8_t addr[16])
{
	return fg_hosts_read(m->hosts, addr, m->now_ns);
}

uint32_t fg_model_estimated_hosts(const struct fg_model *m, const struct fg_model_source *s)
{
	const struct fg_hosts_seen clocks = fg_model_hosts(m, s->addr);
	uint32_t hosts = s->stems > clocks.hosts ? s->stems : clocks.hosts;

	return hosts ? hosts : 1;
}

struct fg_ts_joins fg_model_ts_joins(const struct fg_model *m)
{
	return fg_hosts_joins(m->hosts);
}

struct fg_shared fg_model_shared(const struct fg_model *m, const struct fg_model_source *s,
				 uint32_t shared_stems)
{
	const struct fg_crowd crowd = {
		.stems = s->stems,
		.stacks = s->stacks,
		.lines = fg_model_hosts(m, s->addr).lines,
		.hops = (uint32_t)(s->hops_max - s->hops_min),
		.clients = s->parallel,
	};

	return fg_hosts_shared(&crowd, shared_stems);
}

uint64_t fg_model_known_since_ns(const struct fg_model *m)
{
	return m->known_since_ns;
}
