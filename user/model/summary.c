/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One function for each kind of row says which fields go, in which order, and does both: it writes
 * them or reads them back, so the two cannot part. What is read is checked against what a field can
 * hold; the CRC says whether the disk kept what was written.
 */
#include "model/summary.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "lib/ip.h"

#define SECOND_NS 1000000000ULL
#define MS_NS	  1000000ULL
/* Unix seconds fit; a later time is damage. */
#define MAX_S	 UINT32_MAX
#define CRC_SIZE sizeof(uint32_t)

struct coder {
	uint8_t *at, *end;
	bool reading, bad;
};

/* --- Parts ------------------------------------------------------------------------------------ */

static void code_bytes(struct coder *c, void *what, size_t n)
{
	if (c->bad || (size_t)(c->end - c->at) < n) {
		c->bad = true;
		return;
	}
	if (c->reading)
		memcpy(what, c->at, n);
	else
		memcpy(c->at, what, n);
	c->at += n;
}

/* Seven bits a byte, the lowest first; the highest bit says that more follow. */
static void code_number(struct coder *c, uint64_t *v, uint64_t most)
{
	uint64_t left = *v, sum = 0;
	uint8_t byte = 0x80;

	for (int shift = 0; shift < 64 && byte & 0x80; shift += 7, left >>= 7) {
		byte = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
		code_bytes(c, &byte, 1);
		if (c->bad)
			return;
		sum |= (uint64_t)(byte & 0x7f) << shift;
	}
	c->bad = sum > most || byte & 0x80;
	if (c->reading && !c->bad)
		*v = sum;
}

/* Any unsigned field that is no bit field. */
#define CODE(c, field)                                                 \
	do {                                                           \
		uint64_t v_ = (field);                                 \
		code_number(c, &v_, (uint64_t)(__typeof__(field))~0U); \
		if ((c)->reading)                                      \
			(field) = (__typeof__(field))v_;               \
	} while (0)

/* The same of one of 64 bits. */
#define CODE64(c, field) code_number(c, &(field), UINT64_MAX)

/* Which entries of a list are not 0, and these. */
#define CODE_LIST(c, list)                                                \
	do {                                                              \
		const unsigned int n_ = sizeof(list) / sizeof((list)[0]); \
		uint64_t mask_ = 0;                                       \
		for (unsigned int i_ = 0; i_ < n_; i_++)                  \
			mask_ |= (uint64_t)((list)[i_] != 0) << i_;       \
		code_number(c, &mask_, (1ULL << n_) - 1);                 \
		for (unsigned int i_ = 0; i_ < n_ && !(c)->bad; i_++)     \
			if (mask_ >> i_ & 1)                              \
				CODE(c, (list)[i_]);                      \
	} while (0)

static void code_flag(struct coder *c, bool *flag)
{
	uint64_t v = *flag;

	code_number(c, &v, 1);
	*flag = v == 1;
}

static void code_float(struct coder *c, float *v)
{
	code_bytes(c, v, sizeof(*v));
}

/* With its terminator; n is the size of the field. */
static void code_text(struct coder *c, char *text, size_t n)
{
	uint64_t len = c->reading ? 0 : strnlen(text, n - 1);

	code_number(c, &len, n - 1);
	if (c->bad)
		return;
	code_bytes(c, text, len);
	if (c->reading)
		text[len] = '\0';
}

/* An IPv4 address is four bytes, a /64 eight. */
static void code_address(struct coder *c, uint8_t addr[16])
{
	static const uint8_t zero[16], mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t n = 16;

	if (fg_ip_is4(addr))
		n = 4;
	else if (!memcmp(addr + 8, zero, 8))
		n = 8;
	code_bytes(c, &n, 1);
	c->bad |= n != 4 && n != 8 && n != 16;
	if (c->reading && !c->bad) {
		memset(addr, 0, 16);
		if (n == 4)
			memcpy(addr, mapped, sizeof(mapped));
	}
	code_bytes(c, n == 4 ? addr + 12 : addr, c->bad ? 0 : n);
}

/* In seconds: the first rounded down, the last up, so that last_ns - 1 stays in its day. */
static void code_times(struct coder *c, uint64_t *first_ns, uint64_t *last_ns)
{
	uint64_t first = *first_ns / SECOND_NS, last = (*last_ns + SECOND_NS - 1) / SECOND_NS;
	uint64_t lasted = last > first ? last - first : 0;

	code_number(c, &first, MAX_S);
	code_number(c, &lasted, MAX_S);
	if (!c->reading || c->bad)
		return;
	*first_ns = first * SECOND_NS;
	*last_ns = (first + lasted) * SECOND_NS;
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void code_source(struct coder *c, struct fg_model_source *s)
{
	uint64_t tsval_ms = s->tsval_ns / MS_NS;

	code_address(c, s->addr);
	code_times(c, &s->first_ns, &s->last_ns);
	CODE64(c, s->bytes_in);
	CODE64(c, s->bytes_out);
	CODE(c, s->syns);
	CODE(c, s->connections);
	CODE(c, s->proven);
	CODE(c, s->hellos);
	CODE(c, s->incomplete);
	CODE(c, s->fins);
	CODE(c, s->rsts);
	CODE(c, s->exchanges);
	CODE(c, s->fingerprints);
	CODE(c, s->stems);
	CODE(c, s->stacks);
	CODE(c, s->parallel);
	CODE(c, s->hops_min);
	CODE(c, s->hops_max);
	CODE(c, s->tsval);
	CODE(c, s->tsval_to);
	code_number(c, &tsval_ms, UINT64_MAX / MS_NS);
	s->tsval_ns = c->reading ? tsval_ms * MS_NS : s->tsval_ns;
	CODE(c, s->day);
	CODE(c, s->today);
	CODE(c, s->days);
	code_float(c, &s->usual);
	CODE(c, s->peak_today);
	CODE(c, s->peak);
	code_flag(c, &s->held);
}

static void code_round_trips(struct coder *c, struct fg_signals *g)
{
	uint8_t n = 0;

	while (n < FG_TIMES_KEPT && g->times[n])
		n++;
	CODE(c, n);
	c->bad |= n > FG_TIMES_KEPT;
	for (int i = 0; i < n && !c->bad; i++)
		code_bytes(c, &g->times[i], sizeof(g->times[i]));
	CODE(c, g->rtt_min);
	CODE(c, g->measured);
	CODE(c, g->resent);
}

static void code_signals(struct coder *c, struct fg_signals *g)
{
	code_round_trips(c, g);
	code_bytes(c, &g->orders, sizeof(g->orders));
	CODE_LIST(c, g->gaps);
	code_float(c, &g->gap_mean_ms);
	code_float(c, &g->gap_variance);
	CODE(c, g->start_ms);
	CODE_LIST(c, g->active[0]);
	CODE_LIST(c, g->active[1]);
	CODE(c, g->day);
	CODE_LIST(c, g->hours);
	CODE_LIST(c, g->shape_counts);
	for (int i = 0; i < FG_SHAPES_KEPT; i++)
		if (g->shape_counts[i])
			CODE(c, g->shapes[i]);
	CODE(c, g->streams);
	CODE(c, g->chunks);
	CODE(c, g->full_minute);
	CODE(c, g->parallel);
	CODE_LIST(c, g->closes);
	CODE_LIST(c, g->closers);
	CODE(c, g->opened);
	CODE(c, g->early);
	CODE(c, g->judged);
	CODE(c, g->orphans);
	CODE(c, g->returns);
}

static void code_client(struct coder *c, struct fg_client_summary *s)
{
	struct fg_model_client *row = &s->row;
	bool by_handshake = row->by_handshake;

	code_address(c, row->addr);
	code_bytes(c, &row->stem, sizeof(row->stem));
	CODE64(c, row->stack);
	code_bytes(c, &s->print, sizeof(s->print));
	code_times(c, &row->first_ns, &row->last_ns);
	CODE64(c, row->bytes_in);
	CODE64(c, row->bytes_out);
	CODE(c, row->connections);
	CODE(c, row->resumed);
	CODE(c, row->exchanges);
	code_flag(c, &by_handshake);
	row->by_handshake = by_handshake;
	code_signals(c, &row->signals);
	CODE(c, s->day.day);
	CODE(c, s->day.exchanges);
	CODE(c, s->day.connections);
	CODE(c, s->day.before);
	code_flag(c, &s->listed);
}

/* Bins that are not 0, each with how many were passed over. */
static void code_crypto(struct coder *c, struct fg_stem *s)
{
	uint32_t n = 0, at = 0;

	for (int i = 0; i < FG_CRYPTO_BINS; i++)
		n += s->crypto[i] != 0;
	CODE(c, n);
	for (uint32_t k = 0; k < n && !c->bad; k++, at++) {
		uint32_t skip = 0;

		while (!c->reading && !s->crypto[at + skip])
			skip++;
		CODE(c, skip);
		c->bad |= skip >= FG_CRYPTO_BINS || at + skip >= FG_CRYPTO_BINS;
		if (c->bad)
			return;
		at += skip;
		CODE(c, s->crypto[at]);
		c->bad |= !s->crypto[at];
		s->crypto_n += c->reading ? s->crypto[at] : 0;
	}
}

static void code_stem(struct coder *c, struct fg_stem *s)
{
	uint64_t none = s->last_ns / SECOND_NS * SECOND_NS;

	code_bytes(c, &s->stem, sizeof(s->stem));
	c->bad |= !s->stem;
	code_times(c, &none, &s->last_ns);
	CODE64(c, s->connections);
	CODE64(c, s->v6);
	CODE64(c, s->resumed);
	CODE(c, s->clients);
	CODE(c, s->day);
	CODE_LIST(c, s->births);
	CODE_LIST(c, s->returns);
	CODE_LIST(c, s->stack_counts);
	for (int i = 0; i < FG_STEM_STACKS; i++)
		if (s->stack_counts[i])
			code_bytes(c, &s->stacks[i], sizeof(s->stacks[i]));
	code_crypto(c, s);
}

static void code_print(struct coder *c, struct fg_model_print *p)
{
	code_bytes(c, &p->print, sizeof(p->print));
	code_bytes(c, &p->stem, sizeof(p->stem));
	code_times(c, &p->first_ns, &p->last_ns);
	CODE64(c, p->hellos);
	CODE64(c, p->sources);
	CODE(c, p->flags);
	code_flag(c, &p->named);
	code_text(c, p->ja4, sizeof(p->ja4));
	code_text(c, p->stem_text, sizeof(p->stem_text));
	code_text(c, p->sni, sizeof(p->sni));
}

static void code_hosts(struct coder *c, struct fg_hosts_row *r)
{
	uint64_t last_ms = (r->last_ns + MS_NS - 1) / MS_NS;

	code_address(c, r->addr);
	code_number(c, &last_ms, UINT64_MAX / MS_NS);
	r->last_ns = c->reading ? last_ms * MS_NS : r->last_ns;
	c->bad |= !r->last_ns;
	CODE_LIST(c, r->fits);
	for (int i = 0; i < FG_HOST_LINES && !c->bad; i++) {
		if (!r->fits[i])
			continue;
		code_bytes(c, &r->lines[i], sizeof(r->lines[i]));
		CODE(c, r->points[i]);
		CODE(c, r->to[i]);
	}
	CODE(c, r->n);
	CODE(c, r->joined);
	code_float(c, &r->by_chance);
}

/* --- Both ways -------------------------------------------------------------------------------- */

uint64_t fg_summary_key(enum fg_summary_kind kind, uint64_t hash)
{
	return (uint64_t)kind << 60 | hash >> 4;
}

enum fg_summary_kind fg_summary_kind_of(uint64_t key)
{
	return (enum fg_summary_kind)(key >> 60);
}

static struct coder begin_put(struct fg_summary *s)
{
	s->bytes[0] = FG_SUMMARY_VERSION;
	return (struct coder){ .at = s->bytes + 1, .end = s->bytes + sizeof(s->bytes) - CRC_SIZE };
}

/* There is room for the largest row of every kind: tested. */
static void end_put(struct coder *c, uint64_t last_ns, struct fg_summary *s)
{
	uint32_t crc;

	s->n = (size_t)(c->at - s->bytes);
	crc = (uint32_t)crc32_z(0, s->bytes, s->n);
	memcpy(c->at, &crc, CRC_SIZE);
	s->n += CRC_SIZE;
	s->last_ns = last_ns;
}

static int begin_get(const void *bytes, size_t n, struct coder *ret)
{
	const uint8_t *at = bytes;
	uint32_t crc;

	if (n <= CRC_SIZE || n > FG_SUMMARY_BYTES)
		return -EBADMSG;
	memcpy(&crc, at + n - CRC_SIZE, CRC_SIZE);
	if (crc != (uint32_t)crc32_z(0, at, n - CRC_SIZE))
		return -EBADMSG;
	if (at[0] != FG_SUMMARY_VERSION)
		return -ESTALE;
	/* reading writes nothing there */
	*ret = (struct coder){ .at = (uint8_t *)at + 1,
			       .end = (uint8_t *)at + n - CRC_SIZE,
			       .reading = true };
	return 0;
}

#define BOTH_WAYS(name, type, last)                                         \
	void fg_summary_put_##name(const type *row, struct fg_summary *ret) \
	{                                                                   \
		struct coder c = begin_put(ret);                            \
		type copy = *row;                                           \
                                                                            \
		code_##name(&c, &copy);                                     \
		end_put(&c, row->last, ret);                                \
	}                                                                   \
                                                                            \
	int fg_summary_get_##name(const void *bytes, size_t n, type *ret)   \
	{                                                                   \
		struct coder c = { 0 };                                     \
		int r = begin_get(bytes, n, &c);                            \
                                                                            \
		if (r)                                                      \
			return r;                                           \
		memset(ret, 0, sizeof(*ret));                               \
		code_##name(&c, ret);                                       \
		return c.bad || c.at != c.end ? -EBADMSG : 0;               \
	}

BOTH_WAYS(source, struct fg_model_source, last_ns)
BOTH_WAYS(client, struct fg_client_summary, row.last_ns)
BOTH_WAYS(stem, struct fg_stem, last_ns)
BOTH_WAYS(print, struct fg_model_print, last_ns)
BOTH_WAYS(hosts, struct fg_hosts_row, last_ns)
