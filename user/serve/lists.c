/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/lists.h"

#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "model/family.h"
#include "model/stack.h"
#include "serve/cohorts.h"
#include "serve/signals.h"

#define DEFAULT_LIMIT 1000
#define MAX_LIMIT     1000000
/* A client's row has two kilobytes: a million of them must not cost the agent its memory. */
#define MAX_ANSWER_BYTES (256L << 20)

/* A numeric field to sort by, and where it stands in the row. */
struct field {
	const char *name;
	size_t offset;
	bool is32;
};

/* One kind of row. */
struct table {
	const char *name;
	size_t n;
	const void *(*at)(const struct fg_model *model, size_t i);
	const struct field *fields; /* ended by one without a name; the first is the default */
	size_t last_seen;
	void (*write)(struct fg_jsonw *w, const struct fg_view *view, const void *row);
};

struct ranked {
	uint64_t key;
	uint32_t at;
};

static uint64_t field_of(const void *row, const struct field *f)
{
	const char *p = (const char *)row + f->offset;
	uint32_t small;
	uint64_t value;

	if (f->is32) {
		memcpy(&small, p, sizeof(small));
		return small;
	}
	memcpy(&value, p, sizeof(value));
	return value;
}

int fg_list_limit(const struct fg_query *q, size_t *ret_limit, char *why, size_t n_why)
{
	const char *text = q->argument(q->arg, "limit");
	uint64_t n = DEFAULT_LIMIT;

	if (text && fg_num_u64(text, 1, MAX_LIMIT, &n)) {
		snprintf(why, n_why, "limit: '%s' is no number between 1 and %d", text, MAX_LIMIT);
		return 400;
	}
	*ret_limit = n;
	return 0;
}

int fg_list_since(const struct fg_query *q, uint64_t *ret_ns, char *why, size_t n_why)
{
	const char *text = q->argument(q->arg, "since");
	double seconds = 0;

	*ret_ns = 0;
	if (!text)
		return 0;
	if (!fg_num_time_parse(text, ret_ns))
		return 0;
	if (fg_num_double(text, 0, 1e11, &seconds)) {
		snprintf(why, n_why, "since: '%s' is neither unix seconds nor RFC 3339", text);
		return 400;
	}
	/* 64 bits of nanoseconds end in the year 2554: whatever is later has not been seen */
	*ret_ns = seconds < 18446744073.0 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
	return 0;
}

static int sort_of(const struct fg_query *q, const struct table *t, const struct field **ret_field,
		   char *why, size_t n_why)
{
	const char *text = q->argument(q->arg, "sort");

	*ret_field = &t->fields[0];
	if (!text)
		return 0;
	for (const struct field *f = t->fields; f->name; f++) {
		if (!strcmp(f->name, text)) {
			*ret_field = f;
			return 0;
		}
	}
	snprintf(why, n_why, "sort: no field '%s' to sort %s by", text, t->name);
	return 400;
}

/* Does x come behind y? Of equal rows the later: a shorter list is the longer one's beginning. */
static bool is_behind(const struct ranked *x, const struct ranked *y)
{
	return x->key != y->key ? x->key < y->key : x->at > y->at;
}

/* The last of the kept rows sits on top, so that it is the one to go. */
static void sift_down(struct ranked *heap, size_t n, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;
		struct ranked swap = heap[i];

		if (child >= n)
			return;
		if (child + 1 < n && is_behind(&heap[child + 1], &heap[child]))
			child++;
		if (!is_behind(&heap[child], &heap[i]))
			return;
		heap[i] = heap[child];
		heap[child] = swap;
		i = child;
	}
}

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return is_behind(x, y) ? 1 : -1;
}

/* The largest rows of a table: a heap of as many as are asked for, one pass. */
static size_t pick(const struct fg_model *m, const struct table *t, const struct field *f,
		   uint64_t since_ns, struct ranked *heap, size_t limit, uint64_t *ret_total)
{
	const struct field last = { "", t->last_seen, false };
	size_t n = 0;

	*ret_total = 0;
	for (size_t i = 0; i < t->n; i++) {
		const void *row = t->at(m, i);
		struct ranked r = { field_of(row, f), (uint32_t)i };

		if (since_ns && field_of(row, &last) < since_ns)
			continue;
		++*ret_total;
		if (n < limit) {
			heap[n++] = r;
			if (n == limit)
				for (size_t k = n; k-- > 0;)
					sift_down(heap, n, k);
		} else if (is_behind(&heap[0], &r)) {
			heap[0] = r;
			sift_down(heap, n, 0);
		}
	}
	qsort(heap, n, sizeof(*heap), by_rank);
	return n;
}

static int write_list(FILE *out, const struct fg_view *v, const struct table *t,
		      const struct fg_query *q, char *why, size_t n_why)
{
	_cleanup_free_ struct ranked *heap = NULL;
	const struct field *field;
	uint64_t since_ns, total;
	size_t limit, n;
	struct fg_jsonw w;
	int r = fg_list_limit(q, &limit, why, n_why);

	if (!r)
		r = fg_list_since(q, &since_ns, why, n_why);
	if (!r)
		r = sort_of(q, t, &field, why, n_why);
	if (r)
		return r;
	limit = limit < t->n ? limit : t->n;
	heap = calloc(limit + 1, sizeof(*heap));
	if (!heap) {
		snprintf(why, n_why, "no memory for %zu rows (ask for fewer)", limit);
		return 500;
	}
	n = limit ? pick(v->model, t, field, since_ns, heap, limit, &total) : (total = 0);
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key(&w, t->name);
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n; i++) {
		fg_jsonw_object(&w);
		t->write(&w, v, t->at(v->model, heap[i].at));
		fg_jsonw_object_end(&w);
		if (ftell(out) > MAX_ANSWER_BYTES) {
			snprintf(why, n_why,
				 "limit: the answer grows beyond 256 MB at row %zu (ask for fewer)",
				 i);
			return 400;
		}
	}
	fg_jsonw_array_end(&w);
	fg_jsonw_key_u64(&w, "total", total);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

/* --- Sources ---------------------------------------------------------------------------------- */

static const void *source_at(const struct fg_model *m, size_t i)
{
	return fg_model_source_at(m, i);
}

static void write_source(struct fg_jsonw *w, const struct fg_view *v, const void *row)
{
	const struct fg_model_source *s = row;
	char buf[FG_IP_TEXT];

	(void)v;
	fg_jsonw_key_string(w, "source", fg_ip_source(s->addr, buf));
	fg_jsonw_key_u64(w, "syns", s->syns);
	fg_jsonw_key_u64(w, "connections", s->connections);
	fg_jsonw_key_u64(w, "proven", s->proven);
	fg_jsonw_key_u64(w, "hellos", s->hellos);
	fg_jsonw_key_u64(w, "incomplete", s->incomplete);
	fg_jsonw_key_u64(w, "fingerprints", s->fingerprints);
	fg_jsonw_key_u64(w, "clients", s->clients);
	fg_jsonw_key_u64(w, "exchanges", s->exchanges);
	fg_jsonw_key_u64(w, "bytes_in", s->bytes_in);
	fg_jsonw_key_u64(w, "bytes_out", s->bytes_out);
	fg_jsonw_key_u64(w, "fins", s->fins);
	fg_jsonw_key_u64(w, "rsts", s->rsts);
	fg_jsonw_key_time(w, "first_seen", s->first_ns);
	fg_jsonw_key_time(w, "last_seen", s->last_ns);
}

#define SOURCE(member) offsetof(struct fg_model_source, member)
static const struct field source_fields[] = {
	{ "connections", SOURCE(connections), true },
	{ "syns", SOURCE(syns), true },
	{ "proven", SOURCE(proven), true },
	{ "hellos", SOURCE(hellos), true },
	{ "incomplete", SOURCE(incomplete), true },
	{ "exchanges", SOURCE(exchanges), true },
	{ "fingerprints", SOURCE(fingerprints), true },
	{ "clients", SOURCE(clients), true },
	{ "bytes_in", SOURCE(bytes_in), false },
	{ "bytes_out", SOURCE(bytes_out), false },
	{ "fins", SOURCE(fins), true },
	{ "rsts", SOURCE(rsts), true },
	{ "first_seen", SOURCE(first_ns), false },
	{ "last_seen", SOURCE(last_ns), false },
	{ NULL, 0, false },
};

int fg_list_sources(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	const struct table t = { "sources",	  fg_model_n_sources(v->model),
				 source_at,	  source_fields,
				 SOURCE(last_ns), write_source };

	return write_list(out, v, &t, q, why, n_why);
}

/* --- Clients ---------------------------------------------------------------------------------- */

static const void *client_at(const struct fg_model *m, size_t i)
{
	return fg_model_client_at(m, i);
}

void fg_list_client_fields(struct fg_jsonw *w, const struct fg_model *m,
			   const struct fg_model_client *c)
{
	const struct fg_model_print *print = fg_model_print_of(m, c);
	char buf[FG_IP_TEXT], stack[FG_STACK_TEXT];

	fg_jsonw_key_string(w, "source", fg_ip_source(c->addr, buf));
	fg_jsonw_key_string(w, "stem", print && print->named ? print->stem_text : "-");
	fg_jsonw_key_string(w, "stack", fg_stack_text(c->stack, stack));
	fg_jsonw_key_string(w, "stack_family", fg_stack_family_name(fg_stack_family(c->stack)));
	/* the weaker proof where connections were proven differently */
	fg_jsonw_key_string(w, "proof", c->by_handshake ? "handshake" : "socket");
	fg_jsonw_key_string(w, "ja4", print && print->named ? print->ja4 : "-");
	fg_jsonw_key_string(w, "sni", print && print->named && print->sni[0] ? print->sni : "-");
	/* A client's connection begins to count with its proven, complete hello. Its SYN was seen
	 * where the stack is known; which of a source's fingerprints are whose is not kept. */
	fg_jsonw_key_u64(w, "syns", c->stack ? c->connections : 0);
	fg_jsonw_key_u64(w, "connections", c->connections);
	fg_jsonw_key_u64(w, "proven", c->connections);
	fg_jsonw_key_u64(w, "hellos", c->connections);
	fg_jsonw_key_u64(w, "incomplete", 0);
	fg_jsonw_key(w, "fingerprints");
	fg_jsonw_null(w);
	fg_jsonw_key_u64(w, "resumed", c->resumed);
	fg_jsonw_key_u64(w, "exchanges", c->exchanges);
	fg_jsonw_key_u64(w, "bytes_in", c->bytes_in);
	fg_jsonw_key_u64(w, "bytes_out", c->bytes_out);
	fg_jsonw_key_time(w, "first_seen", c->first_ns);
	fg_jsonw_key_time(w, "last_seen", c->last_ns);
	fg_jsonw_key(w, "signals");
	fg_signals_write(w, m, c);
}

static void write_client(struct fg_jsonw *w, const struct fg_view *v, const void *row)
{
	fg_list_client_fields(w, v->model, row);
}

#define CLIENT(member) offsetof(struct fg_model_client, member)
static const struct field client_fields[] = {
	{ "connections", CLIENT(connections), true }, { "proven", CLIENT(connections), true },
	{ "hellos", CLIENT(connections), true },      { "resumed", CLIENT(resumed), true },
	{ "exchanges", CLIENT(exchanges), true },     { "bytes_in", CLIENT(bytes_in), false },
	{ "bytes_out", CLIENT(bytes_out), false },    { "first_seen", CLIENT(first_ns), false },
	{ "last_seen", CLIENT(last_ns), false },      { NULL, 0, false },
};

int fg_list_clients(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	const struct table t = { "clients",	  fg_model_n_clients(v->model),
				 client_at,	  client_fields,
				 CLIENT(last_ns), write_client };

	return write_list(out, v, &t, q, why, n_why);
}

/* --- Fingerprints ----------------------------------------------------------------------------- */

static const void *print_at(const struct fg_model *m, size_t i)
{
	return fg_model_print_at(m, i);
}

static void write_print(struct fg_jsonw *w, const struct fg_view *v, const void *row)
{
	static const struct {
		unsigned int flag;
		const char *name;
	} flags[] = {
		{ FG_HELLO_RESUMED, "resumed" }, { FG_HELLO_EARLY, "early_data" },
		{ FG_HELLO_ECH, "ech" },	 { FG_HELLO_PQ, "post_quantum" },
		{ FG_HELLO_GREASE, "grease" },
	};
	const struct fg_model_print *p = row;

	fg_jsonw_key_string(w, "ja4", p->named ? p->ja4 : "-");
	fg_jsonw_key_string(w, "stem", p->named ? p->stem_text : "-");
	fg_jsonw_key_u64(w, "hellos", p->hellos);
	fg_jsonw_key_u64(w, "sources", p->sources);
	fg_jsonw_key_string(w, "sni", p->sni[0] ? p->sni : "-");
	fg_jsonw_key(w, "flags");
	fg_jsonw_array(w);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (p->flags & flags[i].flag)
			fg_jsonw_string(w, flags[i].name);
	fg_jsonw_array_end(w);
	fg_jsonw_key_time(w, "first_seen", p->first_ns);
	fg_jsonw_key_time(w, "last_seen", p->last_ns);
	fg_signals_write_stem(w, v->model, p->stem);
	fg_signals_write_reach(w, v, p->stem);
}

#define PRINT(member) offsetof(struct fg_model_print, member)
static const struct field print_fields[] = {
	{ "hellos", PRINT(hellos), false },
	{ "sources", PRINT(sources), false },
	{ "first_seen", PRINT(first_ns), false },
	{ "last_seen", PRINT(last_ns), false },
	{ NULL, 0, false },
};

int fg_list_fingerprints(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
			 size_t n_why)
{
	const struct table t = { "fingerprints", fg_model_n_prints(v->model),
				 print_at,	 print_fields,
				 PRINT(last_ns), write_print };

	return write_list(out, v, &t, q, why, n_why);
}

/* --- Cohorts and the allowlist ---------------------------------------------------------------- */

int fg_list_cohorts(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	struct fg_jsonw w;
	uint64_t since_ns;
	size_t limit, n;
	int r = fg_list_limit(q, &limit, why, n_why);

	if (!r)
		r = fg_list_since(q, &since_ns, why, n_why);
	if (r)
		return r;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	n = fg_cohorts_write(&w, v, FG_TIER_OBSERVE, since_ns, limit);
	fg_jsonw_key_u64(&w, "total", n);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

void fg_list_allow_entry(struct fg_jsonw *w, const struct fg_allow *a)
{
	char buf[FG_IP_TEXT];

	fg_jsonw_object(w);
	fg_jsonw_key(w, "id");
	fg_jsonw_i64(w, a->id);
	fg_jsonw_key_string(w, "prefix", fg_ip_prefix(a->addr, a->bits, buf));
	fg_jsonw_key_string(w, "reason", a->reason);
	fg_jsonw_key(w, "until");
	if (a->until_ns)
		fg_jsonw_time(w, a->until_ns);
	else
		fg_jsonw_null(w);
	fg_jsonw_object_end(w);
}

int fg_list_allow(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	size_t n = fg_store_n_allow(v->store), limit;
	struct fg_jsonw w;
	int r = fg_list_limit(q, &limit, why, n_why);

	if (r)
		return r;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key(&w, "allow");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n && i < limit; i++)
		fg_list_allow_entry(&w, fg_store_allow_at(v->store, i));
	fg_jsonw_array_end(&w);
	fg_jsonw_key_u64(&w, "total", n);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}
