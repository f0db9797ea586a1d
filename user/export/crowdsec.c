/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two tables instead of a list of events: what stands, each with the number of the change that brought
 * it, and a ring of what was removed. What is new since a number follows from the first and is never
 * forgotten; only removals can be, and these expire by themselves.
 */
#include "export/crowdsec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/mem.h"

/* Moved ends below this share of the time left are not worth a change, as in the nft target. */
#define REFRESH_SHARE 10
/* The widest IPv4 range that is written out: 16 addresses. */
#define MIN_BITS4 124
#define NS_PER_S  1000000000ULL

struct held {
	uint8_t addr[16];
	uint64_t sequence; /* of the change that brought it */
	uint64_t until_ns, told_ns; /* its end, and the end that bouncers were told */
	int64_t id;
};

struct removed {
	uint8_t addr[16];
	uint64_t sequence;
	uint64_t at_ns, told_ns;
	int64_t id;
};

struct fg_crowdsec {
	struct fg_export_set *set; /* of the last update; NULL before the first */
	struct held *held; /* sorted by address */
	size_t n;
	struct removed *ring; /* n_removed of them, the oldest at first */
	size_t room, first, n_removed;
	uint64_t sequence;
	struct fg_crowdsec_counts counts;
};

int fg_crowdsec_new(struct fg_crowdsec **ret_log)
{
	*ret_log = calloc(1, sizeof(**ret_log));
	return *ret_log ? 0 : -ENOMEM;
}

void fg_crowdsec_free(struct fg_crowdsec **log)
{
	struct fg_crowdsec *c = *log;

	*log = NULL;
	if (!c)
		return;
	fg_export_set_unref(&c->set);
	free(c->held);
	free(c->ring);
	free(c);
}

uint64_t fg_crowdsec_sequence(const struct fg_crowdsec *c)
{
	return c->sequence;
}

void fg_crowdsec_counts(const struct fg_crowdsec *c, struct fg_crowdsec_counts *ret_counts)
{
	*ret_counts = c->counts;
	ret_counts->decisions = c->n;
	ret_counts->remembered = c->n_removed;
}

/* --- From one set to the next ------------------------------------------------------------------ */

/* Addresses that an item is written out to; 0 = none, it can't be. */
static unsigned int width(const struct fg_export_item *item)
{
	if (item->bits == 128)
		return 1;
	return item->bits >= MIN_BITS4 && fg_ip_is4(item->addr) ? 1U << (128 - item->bits) : 0;
}

/* The set's order is that of addresses, and no item lies in another: what comes out is sorted. */
static size_t write_out(const struct fg_export_set *set, struct held *to,
			uint64_t *ret_unexportable)
{
	size_t n = 0;

	*ret_unexportable = 0;
	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];
		unsigned int addresses = width(item);

		if (n + addresses > FG_CROWDSEC_MAX_DECISIONS)
			addresses = 0;
		*ret_unexportable += !addresses;
		for (unsigned int k = 0; k < addresses; k++) {
			struct held *h = &to[n++];

			memcpy(h->addr, item->addr, sizeof(h->addr));
			h->addr[15] |= (uint8_t)k;
			h->until_ns = h->told_ns = item->until_ns;
			/* the verdict's own, and numbers beyond any verdict's for a range's others:
			 * below 2^53, where readers with doubles begin to guess */
			h->id = item->verdict | (int64_t)k << 48;
		}
	}
	return n;
}

static bool is_worth_telling(const struct held *old, const struct held *now, uint64_t now_ns)
{
	uint64_t left = now->until_ns > now_ns ? now->until_ns - now_ns : 0;

	return now->id != old->id || now->until_ns < old->told_ns ||
	       now->until_ns - old->told_ns > left / REFRESH_SHARE;
}

/* Room for n more removals, as far as there may be. */
static int reserve(struct fg_crowdsec *c, size_t n)
{
	size_t want = c->n_removed + n, room = c->room ? c->room : 64;
	struct removed *larger;

	if (want > FG_CROWDSEC_MAX_REMOVED)
		want = FG_CROWDSEC_MAX_REMOVED;
	if (want <= c->room)
		return 0;
	while (room < want)
		room *= 2;
	larger = malloc(room * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_removed; i++)
		larger[i] = c->ring[(c->first + i) % c->room];
	free(c->ring);
	c->ring = larger;
	c->room = room;
	c->first = 0;
	return 0;
}

static void note_removed(struct fg_crowdsec *c, const struct held *h, uint64_t now_ns)
{
	struct removed *r;

	if (c->n_removed == c->room) {
		c->first = (c->first + 1) % c->room;
		c->n_removed--;
	}
	r = &c->ring[(c->first + c->n_removed++) % c->room];
	memcpy(r->addr, h->addr, sizeof(r->addr));
	r->sequence = ++c->sequence;
	r->at_ns = now_ns;
	r->told_ns = h->told_ns;
	r->id = h->id;
}

/* One address of the old table, the new one, or both. @return changes. */
static unsigned int step(struct fg_crowdsec *c, const struct held *old, struct held *now,
			 uint64_t now_ns)
{
	if (old && now && !is_worth_telling(old, now, now_ns)) {
		now->sequence = old->sequence;
		now->told_ns = old->told_ns;
		return 0;
	}
	if (old)
		note_removed(c, old, now_ns);
	if (now)
		now->sequence = ++c->sequence;
	c->counts.added += now && !old;
	c->counts.renewed += now && old;
	c->counts.removed += !now;
	return 1;
}

static unsigned int merge(struct fg_crowdsec *c, struct held *next, size_t n, uint64_t now_ns)
{
	unsigned int changes = 0;
	size_t i = 0, j = 0;

	while (i < c->n || j < n) {
		int order = i == c->n ? 1 : j == n ? -1 : memcmp(c->held[i].addr, next[j].addr, 16);

		changes += step(c, order <= 0 ? &c->held[i] : NULL, order >= 0 ? &next[j] : NULL,
				now_ns);
		i += order <= 0;
		j += order >= 0;
	}
	return changes;
}

int fg_crowdsec_update(struct fg_crowdsec *c, struct fg_export_set *set, uint64_t now_ns)
{
	unsigned int changes;
	struct held *next;
	size_t n = 0;

	for (size_t i = 0; i < set->n && n < FG_CROWDSEC_MAX_DECISIONS; i++)
		n += width(&set->items[i]);
	next = calloc(n + 1, sizeof(*next));
	if (!next || reserve(c, c->n)) {
		free(next);
		return -ENOMEM;
	}
	n = write_out(set, next, &c->counts.unexportable);
	changes = merge(c, next, n, now_ns);
	free(c->held);
	c->held = next;
	c->n = n;
	fg_export_set_unref(&c->set);
	c->set = fg_export_set_ref(set);
	return (int)changes;
}

/* --- JSON: fixed texts and numbers, so that nothing needs an escape ----------------------------- */

static const char *write_duration(const char *sign, uint64_t ns, char buf[32])
{
	unsigned long long ms = ns / 1000000, h = ms / 3600000, m = ms / 60000 % 60;
	unsigned int s = ms / 1000 % 60, rest = ms % 1000;
	int n = snprintf(buf, 32, "%s", sign);

	if (h)
		n += snprintf(buf + n, 32 - (size_t)n, "%lluh", h);
	if (h || m)
		n += snprintf(buf + n, 32 - (size_t)n, "%llum", m);
	if (rest)
		snprintf(buf + n, 32 - (size_t)n, "%u.%03us", s, rest);
	else
		snprintf(buf + n, 32 - (size_t)n, "%us", s);
	return buf;
}

const char *fg_crowdsec_duration(uint64_t until_ns, uint64_t now_ns, char buf[32])
{
	uint64_t left = until_ns > now_ns ? until_ns - now_ns : 0;

	/* a clock that was set back must not make a ban that outlives what any block may last */
	if (left > FG_MAX_TTL_S * NS_PER_S)
		left = FG_MAX_TTL_S * NS_PER_S;
	return write_duration("", left < NS_PER_S ? NS_PER_S : left, buf);
}

/* Below zero, as the reference server writes what has ended. */
static const char *ended_duration(uint64_t at_ns, uint64_t now_ns, char buf[32])
{
	uint64_t since = now_ns > at_ns ? now_ns - at_ns : 0;

	return write_duration("-", since < NS_PER_S ? NS_PER_S : since, buf);
}

/* An array that is null as long as nothing was put in. */
struct list {
	FILE *out;
	size_t n;
};

static void put_decision(struct list *list, int64_t id, const char *scope, const uint8_t addr[16],
			 uint8_t bits, const char *duration)
{
	char value[FG_IP_TEXT];

	fprintf(list->out,
		"%s{\"id\":%lld,\"origin\":\"" FG_CROWDSEC_ORIGIN
		"\",\"type\":\"ban\",\"scope\":\"%s\","
		"\"value\":\"%s\",\"duration\":\"%s\",\"scenario\":\"" FG_CROWDSEC_SCENARIO "\"}",
		list->n++ ? "," : "[", (long long)id, scope, fg_ip_prefix(addr, bits, value),
		duration);
}

static void end_list(const struct list *list)
{
	fputs(list->n ? "]" : "null", list->out);
}

static int finish(FILE *out)
{
	return fflush(out) || ferror(out) ? -EIO : 0;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

uint64_t fg_crowdsec_slice(const struct fg_crowdsec *c, uint64_t after, size_t n)
{
	_cleanup_free_ uint64_t *numbers = malloc((c->n + 1) * sizeof(*numbers));
	size_t found = 0;

	if (!numbers)
		return after;
	for (size_t i = 0; i < c->n; i++)
		if (c->held[i].sequence > after)
			numbers[found++] = c->held[i].sequence;
	if (found <= n)
		return c->sequence;
	qsort(numbers, found, sizeof(*numbers), by_number);
	return numbers[n - 1];
}

static bool is_refreshed(const struct held *h, const struct fg_crowdsec_ask *ask)
{
	return h->sequence > ask->refresh_after && h->sequence <= ask->refresh_to;
}

/* What has ended meanwhile is on its way out. */
static void put_new(FILE *out, const struct fg_crowdsec *c, const struct fg_crowdsec_ask *ask,
		    uint64_t now_ns)
{
	struct list list = { out, 0 };
	char duration[32];

	for (size_t i = 0; i < c->n; i++) {
		const struct held *h = &c->held[i];

		if ((ask->all || h->sequence > ask->after || is_refreshed(h, ask)) &&
		    h->until_ns > now_ns)
			put_decision(&list, h->id, "Ip", h->addr, 128,
				     fg_crowdsec_duration(h->until_ns, now_ns, duration));
	}
	end_list(&list);
}

/* Of one address the last one first. */
static int by_address(const void *a, const void *b)
{
	const struct removed *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	return x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
}

/* Each address once: a bouncer that deletes it twice in one batch loses the batch. */
static void put_deleted(FILE *out, struct removed *gone, size_t n, uint64_t now_ns)
{
	struct list list = { out, 0 };
	char duration[32];

	if (n)
		qsort(gone, n, sizeof(*gone), by_address);
	for (size_t i = 0; i < n; i++)
		if (!i || memcmp(gone[i].addr, gone[i - 1].addr, 16))
			put_decision(&list, gone[i].id, "Ip", gone[i].addr, 128,
				     ended_duration(gone[i].at_ns, now_ns, duration));
	end_list(&list);
}

/* What the bouncer may hold and should not, or not with the end that it knows. Who begins has nothing, or
 * what an earlier life left standing: what has not ended by itself yet. */
static size_t gather(const struct fg_crowdsec *c, const struct fg_crowdsec_ask *ask,
		     uint64_t now_ns, struct removed *to)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_removed; i++) {
		const struct removed *r = &c->ring[(c->first + i) % c->room];

		if (ask->all ? r->told_ns > now_ns : r->sequence > ask->after)
			to[n++] = *r;
	}
	for (size_t i = 0; !ask->all && i < c->n; i++) {
		const struct held *h = &c->held[i];

		if (!is_refreshed(h, ask))
			continue;
		to[n] = (struct removed){ .sequence = h->sequence, .at_ns = now_ns, .id = h->id };
		memcpy(to[n++].addr, h->addr, sizeof(h->addr));
	}
	return n;
}

int fg_crowdsec_stream(FILE *out, const struct fg_crowdsec *c, const struct fg_crowdsec_ask *ask,
		       uint64_t now_ns)
{
	_cleanup_free_ struct removed *gone = malloc((c->n_removed + c->n + 1) * sizeof(*gone));
	size_t n;

	if (!gone)
		return -ENOMEM;
	n = gather(c, ask, now_ns, gone);
	fputs("{\"new\":", out);
	put_new(out, c, ask, now_ns);
	fputs(",\"deleted\":", out);
	put_deleted(out, gone, n, now_ns);
	fputs("}\n", out);
	return finish(out);
}

int fg_crowdsec_list(FILE *out, const struct fg_crowdsec *c, uint64_t now_ns)
{
	const struct fg_crowdsec_ask all = { .all = true };

	put_new(out, c, &all, now_ns);
	fputc('\n', out);
	return finish(out);
}

static bool is_family4(const uint8_t addr[16], uint8_t bits)
{
	return bits >= 96 && fg_ip_is4(addr);
}

/* The item that holds a whole prefix, NULL where none does. No item lies in another, so only the last
 * one of its family that begins at or before it can. */
static const struct fg_export_item *find(const struct fg_export_set *set, const uint8_t addr[16],
					 uint8_t bits)
{
	/* the last address in front of those that hold IPv4 */
	static const uint8_t below4[16] = { [10] = 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff };
	bool is4 = is_family4(addr, bits);
	const struct fg_export_item *item;
	size_t n = set ? fg_export_count_up_to(set, addr) : 0;

	if (n && !is4 && is_family4(set->items[n - 1].addr, set->items[n - 1].bits))
		n = fg_export_count_up_to(set, below4);
	if (!n)
		return NULL;
	item = &set->items[n - 1];
	return is_family4(item->addr, item->bits) == is4 &&
			       fg_ip_contains(item->addr, item->bits, addr, bits) ?
		       item :
		       NULL;
}

int fg_crowdsec_lookup(FILE *out, const struct fg_crowdsec *c, const uint8_t addr[16], uint8_t bits,
		       uint64_t now_ns)
{
	const struct fg_export_item *item = find(c->set, addr, bits);
	struct list list = { out, 0 };
	char duration[32];

	if (item && item->until_ns > now_ns)
		put_decision(&list, item->verdict, bits == 128 ? "Ip" : "Range", addr, bits,
			     fg_crowdsec_duration(item->until_ns, now_ns, duration));
	end_list(&list);
	fputc('\n', out);
	return finish(out);
}
