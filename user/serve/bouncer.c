/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/bouncer.h"

#include <string.h>
#include <strings.h>

#include "export/crowdsec.h"
#include "lib/jsonw.h"

/* --- How far each came ------------------------------------------------------------------------- */

static void copy(char *to, size_t n, const char *from)
{
	snprintf(to, n, "%s", from ? from : "");
}

static struct fg_bouncer row_of(const struct fg_query *q)
{
	struct fg_bouncer b = { .id = 0 };

	copy(b.who, sizeof(b.who), q->who);
	copy(b.from, sizeof(b.from), q->from);
	copy(b.agent, sizeof(b.agent), q->header ? q->header(q->arg, "User-Agent") : NULL);
	return b;
}

/* A free row, or that of who asked longest ago: of its own key where that has many already. */
static struct fg_bouncer *place_for(struct fg_bouncers *bs, const struct fg_bouncer *b)
{
	struct fg_bouncer *oldest = &bs->rows[0], *own = NULL;
	size_t n_own = 0;

	for (size_t i = 0; i < FG_BOUNCERS_MAX; i++) {
		struct fg_bouncer *row = &bs->rows[i];

		if (row->id && !strcmp(row->who, b->who)) {
			n_own++;
			if (!own || row->last_ns < own->last_ns)
				own = row;
		}
		if (oldest->id && (!row->id || row->last_ns < oldest->last_ns))
			oldest = row;
	}
	return n_own >= FG_BOUNCERS_PER_KEY ? own : oldest;
}

static struct fg_bouncer *bouncer_of(struct fg_bouncers *bs, const struct fg_query *q,
				     uint64_t now_ns)
{
	struct fg_bouncer b = row_of(q), *row;

	for (size_t i = 0; i < FG_BOUNCERS_MAX; i++) {
		row = &bs->rows[i];
		if (row->id && !strcmp(row->who, b.who) && !strcmp(row->from, b.from) &&
		    !strcmp(row->agent, b.agent))
			return row;
	}
	row = place_for(bs, &b);
	*row = b;
	row->id = ++bs->last_id;
	row->last_ns = now_ns;
	return row;
}

static const char *argument(const struct fg_query *q, const char *name)
{
	const char *text = q->argument(q->arg, name);

	return text ? text : "";
}

void fg_bouncers_pull(struct fg_view *v, const struct fg_query *q, struct fg_pull *ret_pull)
{
	const struct fg_bouncer *b = bouncer_of(v->bouncers, q, v->now_ns(v->agent));
	struct fg_pull p = { .bouncer = b->id, .sequence = fg_crowdsec_sequence(v->crowdsec) };

	p.startup = !strcasecmp(argument(q, "startup"), "true");
	p.all = p.startup || !b->known;
	if (!p.all) {
		p.refreshed = b->refreshed;
		if (b->refreshed < b->refresh_end)
			p.refreshed =
				fg_crowdsec_slice(v->crowdsec, b->refreshed, FG_BOUNCERS_SLICE);
		if (p.refreshed > b->refresh_end)
			p.refreshed = b->refresh_end;
	}
	*ret_pull = p;
}

void fg_bouncers_moved(struct fg_bouncers *bs, const struct fg_pull *p, uint64_t now_ns)
{
	for (size_t i = 0; i < FG_BOUNCERS_MAX; i++) {
		struct fg_bouncer *row = &bs->rows[i];

		if (row->id != p->bouncer)
			continue;
		/* of two answers on their way the older one may arrive last */
		if (!row->known || p->sequence > row->sequence)
			row->sequence = p->sequence;
		row->refreshed = p->refreshed;
		if (p->all)
			row->refresh_end = p->startup ? 0 : p->sequence;
		row->known = true;
		row->last_ns = now_ns;
		row->answers++;
		bs->startups += p->startup;
		bs->resyncs += p->all && !p->startup;
	}
}

/* --- Questions --------------------------------------------------------------------------------- */

/* Calls test with each entry of a list between commas until one says yes. */
static bool any_of(const char *list, bool (*test)(const char *entry, size_t n))
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n && test(list, n))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static bool is_scope(const char *entry, size_t n)
{
	return n == 2 && !strncasecmp(entry, "ip", n);
}

static bool is_origin(const char *entry, size_t n)
{
	return n == strlen(FG_CROWDSEC_ORIGIN) && !strncasecmp(entry, FG_CROWDSEC_ORIGIN, n);
}

static bool is_in_scenario(const char *entry, size_t n)
{
	static const char scenario[] = FG_CROWDSEC_SCENARIO;

	for (size_t i = 0; i + n < sizeof(scenario); i++)
		if (!strncasecmp(scenario + i, entry, n))
			return true;
	return false;
}

/* All decisions have one scope, origin and scenario: a filter lets all through or none. */
static bool lets_through(const struct fg_query *q)
{
	const char *scopes = argument(q, "scopes"), *origins = argument(q, "origins"),
		   *with = argument(q, "scenarios_containing"),
		   *without = argument(q, "scenarios_not_containing");

	return (!*scopes || any_of(scopes, is_scope)) &&
	       (!*origins || any_of(origins, is_origin)) &&
	       (!*with || any_of(with, is_in_scenario)) && !any_of(without, is_in_scenario);
}

static int unserved(char *why, size_t n_why)
{
	snprintf(why, n_why, "no decisions are served here");
	return 404;
}

int fg_bouncer_stream(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		      size_t n_why)
{
	struct fg_crowdsec_ask ask;
	const struct fg_bouncer *b;
	struct fg_pull pull;

	if (!v->crowdsec)
		return unserved(why, n_why);
	fg_bouncers_pull(v, q, &pull);
	b = bouncer_of(v->bouncers, q, v->now_ns(v->agent));
	if (!lets_through(q)) {
		fputs("{\"new\":null,\"deleted\":null}\n", out);
		return 0;
	}
	ask = (struct fg_crowdsec_ask){ .all = pull.all,
					.after = b->sequence,
					.refresh_after = b->refreshed,
					.refresh_to = pull.refreshed };
	return fg_crowdsec_stream(out, v->crowdsec, &ask, v->now_ns(v->agent)) ? 500 : 0;
}

/* ip= or range=, or the older form value= with scope=. @return what was asked for, NULL = all; sets
 * *ret_none where it can be about none of ours. */
static const char *asked_for(const struct fg_query *q, bool *ret_none)
{
	const char *scope = argument(q, "scope"), *value = argument(q, "value"),
		   *type = argument(q, "type"), *ip = argument(q, "ip"),
		   *range = argument(q, "range");

	*ret_none = (*type && strcasecmp(type, "ban")) || !lets_through(q) ||
		    (*scope && strcasecmp(scope, "ip") && strcasecmp(scope, "range"));
	return *ip ? ip : *range ? range : *value ? value : NULL;
}

int fg_bouncer_decisions(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
			 size_t n_why)
{
	uint64_t now_ns = v->now_ns(v->agent);
	uint8_t addr[16], bits;
	const char *value;
	bool none;

	if (!v->crowdsec)
		return unserved(why, n_why);
	v->bouncers->lookups++;
	value = asked_for(q, &none);
	if (value && fg_ip_parse(value, addr, &bits)) {
		snprintf(why, n_why, "'%.60s' is no address or prefix (host bits must be zero)",
			 value);
		return 400;
	}
	if (none) {
		fputs("null\n", out);
		return 0;
	}
	if (value)
		return fg_crowdsec_lookup(out, v->crowdsec, addr, bits, now_ns) ? 500 : 0;
	return fg_crowdsec_list(out, v->crowdsec, now_ns) ? 500 : 0;
}

int fg_bouncer_metrics(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	(void)out;
	(void)q;
	if (!v->crowdsec)
		return unserved(why, n_why);
	v->bouncers->reports++;
	return 0;
}

/* --- Status ------------------------------------------------------------------------------------ */

static void write_row(struct fg_jsonw *w, const struct fg_bouncer *b, uint64_t sequence)
{
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "key", b->who);
	fg_jsonw_key_string(w, "address", b->from);
	fg_jsonw_key_string(w, "program", b->agent);
	fg_jsonw_key_u64(w, "answers", b->answers);
	fg_jsonw_key(w, "behind");
	if (b->known)
		fg_jsonw_u64(w, sequence - b->sequence);
	else
		fg_jsonw_null(w);
	fg_jsonw_key_time(w, "last", b->last_ns);
	fg_jsonw_object_end(w);
}

void fg_bouncers_write(struct fg_jsonw *w, const struct fg_view *v)
{
	const struct fg_bouncers *bs = v->bouncers;
	struct fg_crowdsec_counts c;

	fg_crowdsec_counts(v->crowdsec, &c);
	fg_jsonw_key(w, "crowdsec");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "decisions", c.decisions);
	fg_jsonw_key_u64(w, "unexportable", c.unexportable);
	fg_jsonw_key_u64(w, "added", c.added);
	fg_jsonw_key_u64(w, "renewed", c.renewed);
	fg_jsonw_key_u64(w, "removed", c.removed);
	fg_jsonw_key_u64(w, "remembered", c.remembered);
	fg_jsonw_key_u64(w, "startups", bs->startups);
	fg_jsonw_key_u64(w, "resyncs", bs->resyncs);
	fg_jsonw_key_u64(w, "lookups", bs->lookups);
	fg_jsonw_key_u64(w, "reports", bs->reports);
	fg_jsonw_key(w, "bouncers");
	fg_jsonw_array(w);
	for (size_t i = 0; i < FG_BOUNCERS_MAX; i++)
		if (bs->rows[i].id)
			write_row(w, &bs->rows[i], fg_crowdsec_sequence(v->crowdsec));
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}
