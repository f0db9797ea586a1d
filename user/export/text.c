/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The set as documents: nft script, plain list, CSV, JSON, and the dry run. */
#include <errno.h>
#include <string.h>

#include "export/export.h"
#include "export/nft_text.h"
#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/mem.h"
#include "lib/num.h"

static int finish(FILE *out)
{
	return fflush(out) || ferror(out) ? -EIO : 0;
}

static uint64_t left_s(const struct fg_export_item *item, uint64_t now_ns)
{
	uint64_t left = item->until_ns > now_ns ? (item->until_ns - now_ns) / 1000000000ULL : 0;

	return left ? left : 1;
}

int fg_export_plain(FILE *out, const struct fg_export_set *set)
{
	char buf[FG_IP_TEXT];

	for (size_t i = 0; i < set->n; i++)
		fprintf(out, "%s\n", fg_ip_prefix(set->items[i].addr, set->items[i].bits, buf));
	return finish(out);
}

static const char *scope_of(const struct fg_export_item *item)
{
	return item->bits == 128 ? "Ip" : "Range";
}

/* RFC 4180: quotes around, quotes inside doubled; line ends become blanks. */
static void put_csv(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('"', out);
}

int fg_export_csv(FILE *out, const struct fg_export_set *set, uint64_t now_ns)
{
	char buf[FG_IP_TEXT];

	fputs("duration,scope,type,value,reason\n", out);
	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];

		fprintf(out, "%llus,%s,ban,%s,", (unsigned long long)left_s(item, now_ns),
			scope_of(item), fg_ip_prefix(item->addr, item->bits, buf));
		put_csv(out, item->reason);
		fputc('\n', out);
	}
	return finish(out);
}

int fg_export_json(FILE *out, const struct fg_export_set *set, uint64_t now_ns)
{
	char buf[FG_IP_TEXT];
	struct fg_jsonw w;
	int r;

	fg_jsonw_init(&w, out);
	fg_jsonw_array(&w);
	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];

		fg_jsonw_object(&w);
		fg_jsonw_key(&w, "duration");
		fg_jsonw_stringf(&w, "%llus", (unsigned long long)left_s(item, now_ns));
		fg_jsonw_key_string(&w, "scope", scope_of(item));
		fg_jsonw_key_string(&w, "type", "ban");
		fg_jsonw_key_string(&w, "value", fg_ip_prefix(item->addr, item->bits, buf));
		fg_jsonw_key_string(&w, "reason", item->reason);
		fg_jsonw_object_end(&w);
	}
	fg_jsonw_array_end(&w);
	r = fg_jsonw_finish(&w);
	fputc('\n', out);
	return r ? r : finish(out);
}

struct hit {
	uint64_t sources, clients, exchanges;
};

/* Index of the item that holds a source, set->n where none does. Items are sorted and none lies
 * inside another, so only the last one of its family that begins at or before the source can. */
static size_t item_of(const struct fg_export_set *set, const uint8_t addr[16])
{
	/* the last address in front of those that hold IPv4 */
	static const uint8_t below4[16] = { [10] = 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff };
	uint8_t bits = fg_ip_is4(addr) ? 128 : 64;
	size_t n = fg_export_count_up_to(set, addr);

	if (n && !fg_ip_is4(addr) && fg_ip_is4(set->items[n - 1].addr))
		n = fg_export_count_up_to(set, below4);
	if (!n || !fg_ip_contains(set->items[n - 1].addr, set->items[n - 1].bits, addr, bits))
		return set->n;
	return n - 1;
}

static void put_end(FILE *out, uint64_t until_ns, bool by_operator, const char *reason)
{
	char until[32];

	fprintf(out, " until %s by %s (%s): ", fg_num_time(until_ns, until),
		by_operator ? "operator" : "detector", reason);
}

static void put_others(FILE *out, const struct fg_collateral *c)
{
	if (!c->known) {
		fputs("nothing is known of others there", out);
		return;
	}
	fprintf(out,
		"others make %llu of %llu connections and exchanges there (%.1f %%), %u clients with "
		"%u other stems",
		(unsigned long long)c->other_turns, (unsigned long long)c->turns,
		100 * fg_collateral_share(c), c->other_clients, c->other_stems);
}

/* A client block hits nobody else; its bare address may. */
static void put_client_line(FILE *out, const struct fg_plan_entry *e, const struct fg_verdict *v)
{
	char buf[FG_IP_TEXT];

	fprintf(out, "client %s %s %s", fg_ip_source(v->addr, buf),
		v->stem_text[0] ? v->stem_text : "-", v->stack_text[0] ? v->stack_text : "-");
	put_end(out, v->until_ns, e->by_operator,
		e->by_operator ? (v->reason[0] ? v->reason : "operator") :
		v->n_evidence  ? v->evidence[0].name :
				 "farmgate");
	if (e->guarded.address_held != FG_GUARD_none) {
		fprintf(out, "hits nobody else; its address does not leave: %s\n",
			fg_guard_name(e->guarded.address_held));
		return;
	}
	fputs("hits nobody else; as an address, for who knows no clients: ", out);
	put_others(out, &e->guarded.collateral);
	fputc('\n', out);
}

static void put_item_line(FILE *out, const struct fg_export_item *item, const struct hit *hit,
			  const struct fg_plan *plan)
{
	const struct fg_plan_entry *e =
		fg_plan_entry_of(plan, item->addr, item->bits, item->verdict);
	bool whole = item->bits == (fg_ip_is4(item->addr) ? 128 : 64);
	char buf[FG_IP_TEXT];

	fprintf(out, "%s %s", whole ? "address" : "prefix",
		fg_ip_prefix(item->addr, item->bits, buf));
	put_end(out, fg_export_whole_until(item), item->by_operator, item->reason);
	fprintf(out, "hits %llu known sources with %llu clients and %llu exchanges",
		(unsigned long long)hit->sources, (unsigned long long)hit->clients,
		(unsigned long long)hit->exchanges);
	if (e && !e->by_operator) {
		fputs("; ", out);
		put_others(out, &e->guarded.collateral);
	}
	fputc('\n', out);
}

static void put_held(FILE *out, const struct fg_guard_report *r)
{
	char since[32];

	for (int g = FG_GUARD_none + 1; g < _FG_GUARD_MAX; g++)
		if (r->held[g])
			fprintf(out, "held by %s: %llu, because %s\n",
				fg_guard_name((enum fg_guard)g), (unsigned long long)r->held[g],
				fg_guard_says((enum fg_guard)g));
	for (int g = FG_GUARD_none + 1; g < _FG_GUARD_MAX; g++)
		if (r->address_held[g])
			fprintf(out, "address held by %s: %llu, because %s\n",
				fg_guard_name((enum fg_guard)g),
				(unsigned long long)r->address_held[g],
				fg_guard_says((enum fg_guard)g));
	if (r->trip.by != FG_GUARD_none)
		fprintf(out,
			"all automatic blocks are held since %s: %llu were wished, with an expected "
			"harm of %.2f %%\n",
			fg_num_time(r->trip.since_ns, since), (unsigned long long)r->trip.blocks,
			100 * r->trip.harm);
}

/* Who sits inside each item, as far as the model knows. */
static struct hit *find_hits(const struct fg_export_set *set, const struct fg_model *model)
{
	struct hit *hits = calloc(set->n + 1, sizeof(*hits));

	for (size_t i = 0; hits && model && i < fg_model_n_sources(model); i++) {
		const struct fg_model_source *s = fg_model_source_at(model, i);
		struct hit *hit = &hits[item_of(set, s->addr)];

		hit->sources++;
		hit->clients += s->clients;
		hit->exchanges += s->exchanges;
	}
	return hits;
}

int fg_export_dry_run(FILE *out, const struct fg_store *store, const struct fg_plan *plan,
		      const struct fg_model *model)
{
	const struct fg_guard_report *report = &plan->report;
	_cleanup_(fg_export_set_unref) struct fg_export_set *set = NULL;
	_cleanup_free_ struct hit *hits = NULL;
	int r = fg_export_select(store, plan, &set);

	if (r)
		return r;
	hits = find_hits(set, model);
	if (!hits)
		return -ENOMEM;
	fprintf(out,
		"%llu would be blocked, %zu held by a guard; as clients %llu, as addresses or "
		"prefixes %llu\n",
		(unsigned long long)report->blocks, set->withheld,
		(unsigned long long)report->clients, (unsigned long long)report->addresses);
	for (size_t i = 0; i < plan->n; i++)
		if (fg_plan_leaves(&plan->entries[i]) &&
		    plan->entries[i].guarded.scope == FG_SCOPE_CLIENT)
			put_client_line(out, &plan->entries[i],
					fg_plan_verdict(plan, store, &plan->entries[i]));
	for (size_t i = 0; i < set->n; i++)
		if (!set->items[i].of_clients)
			put_item_line(out, &set->items[i], &hits[i], plan);
	put_held(out, report);
	return finish(out);
}

/* --- nft -------------------------------------------------------------------------------------- */

uint32_t fg_nft_set_size(size_t n)
{
	uint32_t size = FG_NFT_MIN_SIZE;

	while (size < 2 * n && size < FG_NFT_MAX_SIZE)
		size *= 2;
	return size;
}

const char *fg_nft_set_of(const uint8_t addr[16], uint8_t bits)
{
	if (fg_ip_is4(addr))
		return bits == 128 ? "blocked4" : "ranges4";
	return bits == 64 ? "blocked6" : "ranges6";
}

void fg_nft_element(FILE *out, const uint8_t addr[16], uint8_t bits)
{
	char buf[FG_IP_TEXT];
	size_t n;

	fg_ip_prefix(addr, bits, buf);
	/* a /64 is the key of blocked6 by its first address: the rule masks the source */
	n = strcspn(buf, "/");
	if (!strncmp(fg_nft_set_of(addr, bits), "blocked", 7))
		buf[n] = '\0';
	fputs(buf, out);
}

static void put_elements(FILE *out, const struct fg_export_set *set, const char *name,
			 uint64_t now_ns)
{
	bool any = false;

	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];

		if (strcmp(fg_nft_set_of(item->addr, item->bits), name))
			continue;
		fputs(any ? ",\n\t\t\t     " : "\t\telements = { ", out);
		fg_nft_element(out, item->addr, item->bits);
		fprintf(out, " timeout %llus", (unsigned long long)left_s(item, now_ns));
		any = true;
	}
	if (any)
		fputs(" }\n", out);
}

static void put_set(FILE *out, const struct fg_export_set *set, const char *name, const char *type,
		    const char *flags, uint64_t now_ns)
{
	/* no auto-merge: it would give a short block the longer one's end */
	fprintf(out, "\tset %s {\n\t\ttype %s\n\t\tflags %s\n\t\tsize %u\n", name, type, flags,
		fg_nft_set_size(set->n));
	put_elements(out, set, name, now_ns);
	fputs("\t}\n\n", out);
}

static void put_rules(FILE *out, const struct fg_export_conf *conf, const char *match)
{
	static const char *const lookups[FG_NFT_RULES] = {
		"ip saddr @blocked4",
		"ip saddr @ranges4",
		"ip6 saddr & ffff:ffff:ffff:ffff:: @blocked6",
		"ip6 saddr @ranges6",
	};

	for (size_t i = 0; i < FG_NFT_RULES; i++) {
		fprintf(out, "\t\t%s dport { ", match);
		for (size_t k = 0; k < conf->n_ports; k++)
			fprintf(out, "%s%u", k ? ", " : "", conf->ports[k]);
		fprintf(out, " } %s counter drop\n", lookups[i]);
	}
}

int fg_export_nft(FILE *out, const struct fg_export_set *set, const struct fg_export_conf *conf,
		  uint64_t now_ns)
{
	fputs("table inet farmgate\ndelete table inet farmgate\ntable inet farmgate {\n", out);
	put_set(out, set, "blocked4", "ipv4_addr", "timeout", now_ns);
	put_set(out, set, "blocked6", "ipv6_addr", "timeout", now_ns);
	put_set(out, set, "ranges4", "ipv4_addr", "interval,timeout", now_ns);
	put_set(out, set, "ranges6", "ipv6_addr", "interval,timeout", now_ns);
	fputs("\tchain prerouting {\n"
	      "\t\ttype filter hook prerouting priority raw; policy accept;\n",
	      out);
	/* only SYNs: connections that stand live on */
	put_rules(out, conf, "tcp flags & (fin|syn|rst|ack) == syn tcp");
	if (conf->udp)
		put_rules(out, conf, "udp");
	fputs("\t}\n}\n", out);
	return finish(out);
}
