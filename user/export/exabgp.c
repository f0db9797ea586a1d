/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "export/exabgp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/mem.h"
#include "lib/num.h"

/* RFC 1997 and RFC 7999. */
#define NO_EXPORT 0xffffff01U
#define BLACKHOLE 0xffff029aU

/* What is shorter is a slice of the Internet, or the default route itself: no router should learn
 * it from here, whoever asked for the block. */
#define SHORTEST4 (96 + 8)
#define SHORTEST6 16

/* --- Options ----------------------------------------------------------------------------------- */

static int bad_next_hop(const char *text, char *why, size_t n_why)
{
	snprintf(why, n_why,
		 "next-hop: '%.60s' is not one address, nor one of IPv4 and one of IPv6 with a "
		 "comma between",
		 text);
	return -EINVAL;
}

static int parse_next_hop(struct fg_bgp_options *o, const char *text, char *why, size_t n_why)
{
	for (const char *at = text;; at++) {
		size_t n = strcspn(at, ",");
		uint8_t addr[16], bits;
		char one[FG_IP_TEXT];
		bool is6;

		if (n >= sizeof(one))
			return bad_next_hop(text, why, n_why);
		snprintf(one, sizeof(one), "%.*s", (int)n, at);
		if (strchr(one, '/') || fg_ip_parse(one, addr, &bits))
			return bad_next_hop(text, why, n_why);
		is6 = !fg_ip_is4(addr);
		if (o->has_next_hop[is6])
			return bad_next_hop(text, why, n_why);
		o->has_next_hop[is6] = true;
		memcpy(o->next_hop[is6], addr, sizeof(addr));
		at += n;
		if (!*at)
			return 0;
	}
}

/* "64500:13", "blackhole", "no-export" */
static int parse_community(const char *text, size_t n, uint32_t *ret_community)
{
	char one[16], *colon;
	uint64_t high, low;

	if (n >= sizeof(one))
		return -EINVAL;
	snprintf(one, sizeof(one), "%.*s", (int)n, text);
	if (!strcmp(one, "no-export") || !strcmp(one, "blackhole")) {
		*ret_community = one[0] == 'n' ? NO_EXPORT : BLACKHOLE;
		return 0;
	}
	colon = strchr(one, ':');
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (fg_num_u64(one, 0, 65535, &high) || fg_num_u64(colon + 1, 0, 65535, &low))
		return -EINVAL;
	*ret_community = (uint32_t)(high << 16 | low);
	return 0;
}

static bool has_community(const struct fg_bgp_options *o, uint32_t community)
{
	for (size_t i = 0; i < o->n_communities; i++)
		if (o->communities[i] == community)
			return true;
	return community == NO_EXPORT;
}

static int parse_communities(struct fg_bgp_options *o, const char *text, char *why, size_t n_why)
{
	for (const char *at = text;; at++) {
		size_t n = strcspn(at, ",");
		uint32_t community;

		if (parse_community(at, n, &community)) {
			snprintf(why, n_why,
				 "community: '%.*s' is none of ASN:VALUE (each up to 65535), "
				 "blackhole, no-export",
				 (int)(n < 40 ? n : 40), at);
			return -EINVAL;
		}
		if (!has_community(o, community)) {
			if (o->n_communities == FG_BGP_COMMUNITIES) {
				snprintf(why, n_why, "community: more than %d", FG_BGP_COMMUNITIES);
				return -EINVAL;
			}
			o->communities[o->n_communities++] = community;
		}
		at += n;
		if (!*at)
			return 0;
	}
}

static int check_kind(struct fg_bgp_options *o, const char *kind, char *why, size_t n_why)
{
	if (kind && strcmp(kind, "flowspec") && strcmp(kind, "rtbh")) {
		snprintf(why, n_why, "bgp: '%.40s' is neither flowspec nor rtbh", kind);
		return -EINVAL;
	}
	o->kind = kind && !strcmp(kind, "rtbh") ? FG_BGP_RTBH : FG_BGP_FLOWSPEC;
	return 0;
}

int fg_bgp_options(struct fg_bgp_options *ret_options, const char *kind, const char *next_hop,
		   const char *communities, const char *max, char *why, size_t n_why)
{
	struct fg_bgp_options o = { .max = FG_BGP_MAX };
	uint64_t most;
	int r = check_kind(&o, kind, why, n_why);

	if (r)
		return r;
	if (o.kind == FG_BGP_RTBH && !next_hop) {
		snprintf(why, n_why,
			 "next-hop: rtbh needs one: the address that your routers discard "
			 "(--next-hop 192.0.2.1)");
		return -EINVAL;
	}
	if (o.kind == FG_BGP_FLOWSPEC && next_hop) {
		snprintf(why, n_why, "next-hop: only rtbh has one (--bgp rtbh)");
		return -EINVAL;
	}
	if (!communities && o.kind == FG_BGP_RTBH)
		communities = "blackhole";
	if (next_hop)
		r = parse_next_hop(&o, next_hop, why, n_why);
	if (!r && communities)
		r = parse_communities(&o, communities, why, n_why);
	if (!r && max) {
		r = fg_num_u64(max, 1, FG_BGP_MOST, &most) ? -EINVAL : 0;
		if (r)
			snprintf(why, n_why, "max: '%.40s' is no number from 1 to %d", max,
				 FG_BGP_MOST);
		else
			o.max = (size_t)most;
	}
	if (!r)
		*ret_options = o;
	return r;
}

/* --- Which ones -------------------------------------------------------------------------------- */

struct picked {
	const struct fg_export_item **items; /* in the set's order */
	size_t n;
	size_t left_out, too_wide, no_next_hop;
};

static void picked_done(struct picked *p)
{
	free(p->items);
}

/* An operator's word first, then the highest score, then the newest. */
static int by_weight(const void *a, const void *b)
{
	const struct fg_export_item *x = *(const struct fg_export_item *const *)a;
	const struct fg_export_item *y = *(const struct fg_export_item *const *)b;

	if (x->by_operator != y->by_operator)
		return x->by_operator ? -1 : 1;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return x->verdict < y->verdict ? 1 : x->verdict > y->verdict ? -1 : 0;
}

static int by_place(const void *a, const void *b)
{
	const struct fg_export_item *x = *(const struct fg_export_item *const *)a;
	const struct fg_export_item *y = *(const struct fg_export_item *const *)b;

	return x < y ? -1 : x > y;
}

static int pick(struct picked *p, const struct fg_export_set *set, const struct fg_bgp_options *o)
{
	*p = (struct picked){ .items = calloc(set->n + 1, sizeof(*p->items)) };
	if (!p->items)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];
		bool is6 = item->bits < 96 || !fg_ip_is4(item->addr);

		if (item->bits < (is6 ? SHORTEST6 : SHORTEST4))
			p->too_wide++;
		else if (o->kind == FG_BGP_RTBH && !o->has_next_hop[is6])
			p->no_next_hop++;
		else
			p->items[p->n++] = item;
	}
	if (p->n <= o->max)
		return 0;
	qsort(p->items, p->n, sizeof(*p->items), by_weight);
	p->left_out = p->n - o->max;
	p->n = o->max;
	qsort(p->items, p->n, sizeof(*p->items), by_place);
	return 0;
}

/* --- Lines ------------------------------------------------------------------------------------- */

/* With its length, which exabgp asks for also where it is whole. */
static void prefix_text(const struct fg_export_item *item, char buf[FG_IP_TEXT])
{
	bool is4 = item->bits >= 96 && fg_ip_is4(item->addr);
	size_t n;

	fg_ip_prefix(item->addr, item->bits, buf);
	n = strlen(buf);
	if (item->bits == 128)
		snprintf(buf + n, FG_IP_TEXT - n, "/%d", is4 ? 32 : 128);
}

static void communities_text(const struct fg_bgp_options *o, char *text, size_t n)
{
	size_t used = (size_t)snprintf(text, n, "[");

	for (size_t i = 0; i < o->n_communities; i++)
		used += (size_t)snprintf(text + used, n - used, "%u:%u ", o->communities[i] >> 16,
					 o->communities[i] & 0xffff);
	snprintf(text + used, n - used, "no-export]");
}

/* Nothing of an item but its prefix goes in: its reason is free text, and a line is a command. */
static void line_of(const struct fg_bgp_options *o, const struct fg_export_item *item, bool up,
		    char line[FG_BGP_LINE])
{
	bool is6 = item->bits < 96 || !fg_ip_is4(item->addr);
	char prefix[FG_IP_TEXT], next_hop[FG_IP_TEXT], communities[FG_BGP_COMMUNITIES * 12 + 16];

	prefix_text(item, prefix);
	communities_text(o, communities, sizeof(communities));
	if (o->kind == FG_BGP_RTBH)
		snprintf(line, FG_BGP_LINE, "%s route %s next-hop %s community %s",
			 up ? "announce" : "withdraw", prefix,
			 fg_ip_prefix(o->next_hop[is6], 128, next_hop), communities);
	else
		snprintf(line, FG_BGP_LINE,
			 "%s flow route { match { source %s; } then { discard; community %s; } }",
			 up ? "announce" : "withdraw", prefix, communities);
}

int fg_exabgp_lines(FILE *out, const struct fg_export_set *set,
		    const struct fg_bgp_options *options)
{
	_cleanup_(picked_done) struct picked p;
	char line[FG_BGP_LINE];
	int r = pick(&p, set, options);

	for (size_t i = 0; !r && i < p.n; i++) {
		line_of(options, p.items[i], true, line);
		fprintf(out, "%s\n", line);
	}
	return r ? r : fflush(out) || ferror(out) ? -EIO : 0;
}

int fg_exabgp_rows(FILE *out, const struct fg_export_set *set, const struct fg_bgp_options *options,
		   uint64_t now_ns)
{
	_cleanup_(picked_done) struct picked p;
	char line[FG_BGP_LINE];
	struct fg_jsonw w;
	int r = pick(&p, set, options);

	if (r)
		return r;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_u64(&w, "left_out", p.left_out);
	fg_jsonw_key_u64(&w, "too_wide", p.too_wide);
	fg_jsonw_key_u64(&w, "no_next_hop", p.no_next_hop);
	fg_jsonw_key(&w, "rows");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < p.n; i++) {
		uint64_t until_ns = p.items[i]->until_ns;

		fg_jsonw_object(&w);
		line_of(options, p.items[i], true, line);
		fg_jsonw_key_string(&w, "announce", line);
		line_of(options, p.items[i], false, line);
		fg_jsonw_key_string(&w, "withdraw", line);
		fg_jsonw_key_time(&w, "left", until_ns > now_ns ? until_ns - now_ns : 0);
		fg_jsonw_object_end(&w);
	}
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	r = fg_jsonw_finish(&w);
	fputc('\n', out);
	return r ? r : fflush(out) || ferror(out) ? -EIO : 0;
}

/* --- What exabgp has already -------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static const char *community_name(uint32_t community, char buf[16])
{
	/* NO_ADVERTISE, NO_EXPORT_SUBCONFED and NOPEER have names, too */
	static const char *const names[] = { "no-export", "no-advertise", "no-export-subconfed",
					     "no-peer" };

	if (community == BLACKHOLE)
		return "blackhole";
	if (community >= NO_EXPORT && community < NO_EXPORT + 4)
		return names[community - NO_EXPORT];
	snprintf(buf, 16, "%u:%u", community >> 16, community & 0xffff);
	return buf;
}

/* As exabgp shows them: by number, in brackets where they are several. */
static void shown_communities(const struct fg_bgp_options *o, char *text, size_t n)
{
	uint32_t all[FG_BGP_COMMUNITIES + 1];
	size_t n_all = o->n_communities, used;
	char buf[16];

	memcpy(all, o->communities, n_all * sizeof(all[0]));
	all[n_all++] = NO_EXPORT;
	qsort(all, n_all, sizeof(all[0]), by_number);
	used = (size_t)snprintf(text, n, "community %s", n_all > 1 ? "[ " : "");
	for (size_t i = 0; i < n_all; i++)
		used += (size_t)snprintf(text + used, n - used, "%s%s", community_name(all[i], buf),
					 i + 1 < n_all ? " " : "");
	snprintf(text + used, n - used, "%s", n_all > 1 ? " ]" : "");
}

/* What stands behind the prefix. */
static void shown_rest(const struct fg_bgp_options *o, bool is6, char rest[FG_BGP_LINE])
{
	char communities[FG_BGP_LINE - 96], next_hop[FG_IP_TEXT];

	shown_communities(o, communities, sizeof(communities));
	if (o->kind == FG_BGP_RTBH)
		snprintf(rest, FG_BGP_LINE, "next-hop %s %s",
			 fg_ip_prefix(o->next_hop[is6], 128, next_hop), communities);
	else
		snprintf(rest, FG_BGP_LINE, "%s extended-community rate-limit:0", communities);
}

bool fg_exabgp_is_ours(const char *line, const struct fg_bgp_options *o,
		       char ret_announce[FG_BGP_LINE], char ret_withdraw[FG_BGP_LINE])
{
	/* by kind, then by family */
	static const char *const marks[2][2] = {
		[FG_BGP_FLOWSPEC] = { " ipv4 flow flow source-ipv4 ",
				      " ipv6 flow flow source-ipv6 " },
		[FG_BGP_RTBH] = { " ipv4 unicast ", " ipv6 unicast " },
	};
	struct fg_export_item item = { .bits = 0 };
	const char *at = strstr(line, marks[o->kind][0]);
	bool is6 = !at;
	char prefix[FG_IP_TEXT], rest[FG_BGP_LINE];
	size_t n;

	if (is6)
		at = strstr(line, marks[o->kind][1]);
	if (!at || (o->kind == FG_BGP_RTBH && !o->has_next_hop[is6]))
		return false;
	at += strlen(marks[o->kind][is6]);
	n = strcspn(at, " ");
	shown_rest(o, is6, rest);
	if (n >= sizeof(prefix) || !at[n] || strcmp(at + n + 1, rest))
		return false;
	snprintf(prefix, sizeof(prefix), "%.*s", (int)n, at);
	/* rules of IPv6 have an offset behind the length */
	if (is6 && o->kind == FG_BGP_FLOWSPEC && n > 2 && !strcmp(prefix + n - 2, "/0"))
		prefix[n - 2] = '\0';
	if (fg_ip_parse(prefix, item.addr, &item.bits) || fg_ip_is4(item.addr) == is6)
		return false;
	line_of(o, &item, true, ret_announce);
	line_of(o, &item, false, ret_withdraw);
	return true;
}
