/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The set as documents for ipset, HAProxy, nginx and CrowdSec. A reason is an operator's free text:
 * it goes only where it can be quoted, and never breaks a line. */
#include "export/documents.h"

#include <errno.h>
#include <string.h>

#include "export/diff.h"
#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/num.h"

static int finish(FILE *out)
{
	return fflush(out) || ferror(out) ? -EIO : 0;
}

static bool is4(const struct fg_export_item *item)
{
	return item->bits >= 96 && fg_ip_is4(item->addr);
}

/* --- ipset ------------------------------------------------------------------------------------- */

/* The default of 65,536 is less than a set may have. Always the same, because a set that is there
 * with other parameters cannot be made again. */
#define IPSET_MAX "262144"

/* Addresses by themselves are found by one look-up; prefixes by one for each length in use. */
static const struct ipset {
	const char *name, *type;
} ipsets[] = {
	{ "farmgate4", "hash:ip family inet" },
	{ "farmgate4n", "hash:net family inet" },
	{ "farmgate6", "hash:net family inet6" }, /* /64s, which sources are */
	{ "farmgate6n", "hash:net family inet6" },
};
#define N_IPSETS (sizeof(ipsets) / sizeof(ipsets[0]))

static size_t ipset_of(const struct fg_export_item *item)
{
	return is4(item) ? item->bits != 128 : 2 + (item->bits != 64);
}

/* Inside quotes, which ipset has no escape for. */
static void put_comment(FILE *out, const char *text)
{
	fputs(" comment \"", out);
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' || *text == 0x7f ? ' ' :
		      *text == '"' || *text == '\\'		  ? '\'' :
								    *text,
		      out);
	fputs("\"\n", out);
}

static void put_ipset(FILE *out, const struct fg_export_item *item, const char *prefix,
		      uint64_t now_ns)
{
	fprintf(out, "add %s_new %s timeout %llu", ipsets[ipset_of(item)].name, prefix,
		(unsigned long long)fg_left_s(item->until_ns, now_ns));
	put_comment(out, item->reason);
}

/* ipset has no prefix of no bits: two halves are the same. */
static void put_halves(FILE *out, const struct fg_export_item *item, uint64_t now_ns)
{
	put_ipset(out, item, is4(item) ? "0.0.0.0/1" : "::/1", now_ns);
	put_ipset(out, item, is4(item) ? "128.0.0.0/1" : "8000::/1", now_ns);
}

/* Filled under another name and swapped in: a rule that matches a set never sees half of one. */
int fg_document_ipset(FILE *out, const struct fg_export_ask *ask)
{
	char buf[FG_IP_TEXT];

	for (size_t i = 0; i < N_IPSETS; i++)
		fprintf(out,
			"create %s_new %s maxelem " IPSET_MAX " timeout 0 counters comment -exist\n"
			"flush %s_new\n",
			ipsets[i].name, ipsets[i].type, ipsets[i].name);
	for (size_t i = 0; i < ask->set->n; i++) {
		const struct fg_export_item *item = &ask->set->items[i];

		if (item->bits == (is4(item) ? 96 : 0))
			put_halves(out, item, ask->now_ns);
		else
			put_ipset(out, item, fg_ip_prefix(item->addr, item->bits, buf),
				  ask->now_ns);
	}
	for (size_t i = 0; i < N_IPSETS; i++)
		fprintf(out,
			"create %s %s maxelem " IPSET_MAX " timeout 0 counters comment -exist\n"
			"swap %s_new %s\n"
			"destroy %s_new\n",
			ipsets[i].name, ipsets[i].type, ipsets[i].name, ipsets[i].name,
			ipsets[i].name);
	return finish(out);
}

/* --- Files of proxies --------------------------------------------------------------------------- */

static void put_head(FILE *out, const struct fg_export_ask *ask, const char *what)
{
	char when[32];

	fprintf(out, "# farmgate, %s: %zu prefixes; %s\n", fg_num_time(ask->now_ns, when),
		ask->set->n, what);
}

/* A map has no times of its own: the end stands beside, for a rule to compare with. */
int fg_document_haproxy(FILE *out, const struct fg_export_ask *ask)
{
	char buf[FG_IP_TEXT];

	put_head(out, ask, "until when, in unix seconds");
	for (size_t i = 0; i < ask->set->n; i++) {
		const struct fg_export_item *item = &ask->set->items[i];

		fprintf(out, "%s %llu\n", fg_ip_prefix(item->addr, item->bits, buf),
			(unsigned long long)(item->until_ns / 1000000000ULL));
	}
	return finish(out);
}

int fg_document_nginx(FILE *out, const struct fg_export_ask *ask)
{
	char buf[FG_IP_TEXT];

	put_head(out, ask, "for geo; nothing in here ends by itself");
	for (size_t i = 0; i < ask->set->n; i++)
		fprintf(out, "%s 1;\n",
			fg_ip_prefix(ask->set->items[i].addr, ask->set->items[i].bits, buf));
	return finish(out);
}

/* --- CrowdSec ----------------------------------------------------------------------------------- */

/* As time.Duration is written: only hours, minutes and seconds are understood everywhere. */
static void put_duration(struct fg_jsonw *w, uint64_t s)
{
	unsigned long long h = s / 3600, m = s / 60 % 60, rest = s % 60;

	if (h)
		fg_jsonw_stringf(w, "%lluh%llum%llus", h, m, rest);
	else if (m)
		fg_jsonw_stringf(w, "%llum%llus", m, rest);
	else
		fg_jsonw_stringf(w, "%llus", rest);
}

/* For `cscli decisions import`. It calls a scenario a reason; an origin it overwrites with its own. */
int fg_document_crowdsec(FILE *out, const struct fg_export_ask *ask)
{
	char buf[FG_IP_TEXT];
	struct fg_jsonw w;
	int r;

	fg_jsonw_init(&w, out);
	fg_jsonw_array(&w);
	for (size_t i = 0; i < ask->set->n; i++) {
		const struct fg_export_item *item = &ask->set->items[i];

		fg_jsonw_object(&w);
		fg_jsonw_key(&w, "duration");
		put_duration(&w, fg_left_s(item->until_ns, ask->now_ns));
		fg_jsonw_key_string(&w, "origin", "farmgate");
		fg_jsonw_key_string(&w, "reason",
				    item->by_operator ? "farmgate/operator" :
							"farmgate/account-farm");
		fg_jsonw_key_string(&w, "scope", item->bits == 128 ? "Ip" : "Range");
		fg_jsonw_key_string(&w, "type", "ban");
		fg_jsonw_key_string(&w, "value", fg_ip_prefix(item->addr, item->bits, buf));
		fg_jsonw_object_end(&w);
	}
	fg_jsonw_array_end(&w);
	r = fg_jsonw_finish(&w);
	fputc('\n', out);
	return r ? r : finish(out);
}
