/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prefixes are sorted by address, then by length, and swept once with a stack of those that are open:
 * what comes out are ranges that do not overlap, each with the longest prefix over it. A look-up is a
 * binary search for the last range that begins at or before the address.
 */
#include "model/networks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "model/networks_list.h"

/* Larger files are no tables of networks: 64 bytes a line for the most lines there may be. */
#define MAX_BYTES (64L * FG_NETWORKS_MAX)

struct range {
	uint8_t from[16];
	struct fg_network network; /* all zero: in no prefix */
};

struct fg_networks {
	struct range *ranges;
	size_t n, n_prefixes;
	bool has_classes;
};

static const char *const class_names[_FG_NET_MAX] = { "-",   "dc",   "res",  "mobile",
						      "edu", "corp", "relay" };

const char *fg_net_class_name(enum fg_net_class net_class)
{
	return (unsigned int)net_class < _FG_NET_MAX ? class_names[net_class] : "?";
}

int fg_net_class_parse(const char *text, size_t n, enum fg_net_class *ret_class)
{
	if (!n) {
		*ret_class = FG_NET_UNKNOWN;
		return 0;
	}
	for (int i = 0; i < _FG_NET_MAX; i++) {
		if (strlen(class_names[i]) == n && !memcmp(text, class_names[i], n)) {
			*ret_class = (enum fg_net_class)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- One line --------------------------------------------------------------------------------- */

struct field {
	const char *at;
	size_t n;
};

/* The next field of a line that ends at end; blanks around it are left out. */
static struct field next_field(const char **at, const char *end)
{
	const char *from = *at, *to;
	struct field f;

	for (to = from; to < end && *to != '\t' && *to != ','; to++)
		;
	*at = to < end ? to + 1 : end;
	while (from < to && *from == ' ')
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\r'))
		to--;
	f.at = from;
	f.n = (size_t)(to - from);
	return f;
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static const char *read_asn(struct field f, uint32_t *ret_asn)
{
	uint64_t asn = 0;

	*ret_asn = 0;
	if (f.n > 2 && (f.at[0] | 0x20) == 'a' && (f.at[1] | 0x20) == 's') {
		f.at += 2;
		f.n -= 2;
	}
	if (!f.n || (f.n == 1 && f.at[0] == '-'))
		return NULL;
	for (size_t i = 0; i < f.n; i++) {
		if (f.at[i] < '0' || f.at[i] > '9' || asn > UINT32_MAX)
			return "the ASN is no number";
		asn = asn * 10 + (uint64_t)(f.at[i] - '0');
	}
	if (asn > UINT32_MAX)
		return "the ASN is larger than 4294967295";
	*ret_asn = (uint32_t)asn;
	return NULL;
}

static const char *read_country(struct field f, char ret_country[2])
{
	memset(ret_country, 0, 2);
	if (!f.n || (f.n == 1 && f.at[0] == '-'))
		return NULL;
	if (f.n != 2 || !is_letter(f.at[0]) || !is_letter(f.at[1]))
		return "the country is not two letters";
	ret_country[0] = (char)(f.at[0] & ~0x20);
	ret_country[1] = (char)(f.at[1] & ~0x20);
	return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *read_line(const char *at, const char *end, struct fg_net_prefix *p)
{
	struct field f = next_field(&at, end);
	char text[FG_IP_TEXT];
	const char *wrong;

	if (!f.n || f.n >= sizeof(text))
		return "no prefix in the first column";
	memcpy(text, f.at, f.n);
	text[f.n] = '\0';
	if (strlen(text) != f.n || fg_ip_parse(text, p->addr, &p->bits))
		return "the first column is no prefix, or has host bits";
	wrong = read_asn(next_field(&at, end), &p->network.asn);
	if (wrong)
		return wrong;
	f = next_field(&at, end);
	if (fg_net_class_parse(f.at, f.n, &p->network.class))
		return "the class is none of dc res mobile edu corp relay -";
	return read_country(next_field(&at, end), p->network.country);
}

/* --- The whole text --------------------------------------------------------------------------- */

int fg_net_list_add(struct fg_net_list *t, const struct fg_net_prefix *p)
{
	if (t->n == FG_NETWORKS_MAX)
		return -E2BIG;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 1024;
		struct fg_net_prefix *larger = realloc(t->prefixes, cap * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		t->prefixes = larger;
		t->cap = cap;
	}
	t->prefixes[t->n++] = *p;
	return 0;
}

void fg_networks_skip(struct fg_networks_report *r, size_t line, const char *why)
{
	if (r->skipped < FG_NETWORKS_BAD) {
		r->bad[r->skipped].line = line;
		snprintf(r->bad[r->skipped].why, sizeof(r->bad[0].why), "%s", why);
	}
	r->skipped++;
}

/* The first line may name the columns. */
static bool is_header(const char *at, const char *end, size_t line)
{
	return line == 1 && end > at && is_letter(*at) && !memchr(at, ':', (size_t)(end - at)) &&
	       !memchr(at, '/', (size_t)(end - at));
}

static int read_lines(const char *at, size_t n, struct fg_net_list *t, struct fg_networks_report *r)
{
	const char *end = at + n;
	int error = 0;

	for (size_t line = 1; at < end && !error; line++) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		struct fg_net_prefix p = { .line = (uint32_t)line };
		const char *wrong;

		if (!eol)
			eol = end;
		if (*at != '#' && eol > at && *at != '\r' && !is_header(at, eol, line)) {
			wrong = read_line(at, eol, &p);
			if (wrong)
				fg_networks_skip(r, line, wrong);
			else
				error = fg_net_list_add(t, &p);
			r->good += !wrong && !error;
		}
		at = eol < end ? eol + 1 : end;
	}
	return error;
}

/* --- Ranges ----------------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	const struct fg_net_prefix *x = a, *y = b;
	int r = memcmp(x->addr, y->addr, 16);

	if (r)
		return r;
	if (x->bits != y->bits)
		return x->bits < y->bits ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

/* The first address behind a prefix; false where there is none. */
static bool behind(const struct fg_net_prefix *p, uint8_t ret_addr[16])
{
	int i = (p->bits - 1) / 8;
	unsigned int step = p->bits % 8 ? 1U << (8 - p->bits % 8) : 1, sum;

	memcpy(ret_addr, p->addr, 16);
	if (!p->bits)
		return false;
	for (; i >= 0; i--) {
		sum = ret_addr[i] + step;
		ret_addr[i] = (uint8_t)sum;
		if (sum < 256)
			return true;
		step = 1;
	}
	return false;
}

static void begin_range(struct fg_networks *t, const uint8_t from[16],
			const struct fg_network *network)
{
	struct range *last = t->n ? &t->ranges[t->n - 1] : NULL;

	/* a longer prefix that begins where this one does takes its place */
	if (last && !memcmp(last->from, from, 16))
		t->n--;
	t->ranges[t->n] = (struct range){ .network = *network };
	memcpy(t->ranges[t->n++].from, from, 16);
}

static bool same_prefix(const struct fg_net_prefix *a, const struct fg_net_prefix *b)
{
	return a->bits == b->bits && !memcmp(a->addr, b->addr, 16);
}

/* Sorted prefixes nest or lie apart: those that are open are a stack, at most one of each length. */
static void sweep(struct fg_networks *t, const struct fg_net_prefix *p, size_t n)
{
	static const struct fg_network nothing;
	const struct fg_net_prefix *open[129];
	uint8_t next[16];
	size_t depth = 0;

	for (size_t i = 0; i <= n; i++) {
		while (depth &&
		       (i == n || !fg_ip_contains(open[depth - 1]->addr, open[depth - 1]->bits,
						  p[i].addr, p[i].bits))) {
			const struct fg_net_prefix *closed = open[--depth];

			if (behind(closed, next))
				begin_range(t, next, depth ? &open[depth - 1]->network : &nothing);
		}
		if (i == n)
			break;
		if (i + 1 < n && same_prefix(&p[i], &p[i + 1]))
			continue;
		begin_range(t, p[i].addr, &p[i].network);
		open[depth++] = &p[i];
	}
}

/* The table of a list, which is sorted for it. @return 0, -ENOMEM. */
static int build(struct fg_net_list *list, struct fg_networks **ret_networks)
{
	struct fg_networks *t = calloc(1, sizeof(*t));

	if (t)
		t->ranges = malloc(2 * list->n * sizeof(*t->ranges));
	if (!t || !t->ranges) {
		free(t);
		return -ENOMEM;
	}
	qsort(list->prefixes, list->n, sizeof(*list->prefixes), by_address);
	sweep(t, list->prefixes, list->n);
	t->n_prefixes = list->n;
	for (size_t i = 0; i < list->n; i++)
		t->has_classes |= list->prefixes[i].network.class != FG_NET_UNKNOWN;
	*ret_networks = t;
	return 0;
}

int fg_networks_parse(const char *text, size_t n, const char *file,
		      struct fg_networks **ret_networks, struct fg_networks_report *r, char *why,
		      size_t n_why)
{
	struct fg_net_list lines = { 0 };
	int error;

	memset(r, 0, sizeof(*r));
	error = read_lines(text, n, &lines, r);
	if (!error && !lines.n)
		error = -EINVAL;
	if (!error)
		error = build(&lines, ret_networks);
	if (error == -EINVAL && r->skipped)
		snprintf(why, n_why, "%s:%zu: %s; no line of it is any better", file,
			 r->bad[0].line, r->bad[0].why);
	else if (error)
		snprintf(why, n_why, "%s: %s", file,
			 error == -EINVAL ? "holds no prefix" :
			 error == -E2BIG  ? "holds more than 4000000 prefixes" :
					    "no memory for its prefixes");
	free(lines.prefixes);
	return error;
}

static int open_mmdb(const char *path, struct fg_networks **ret_networks,
		     struct fg_networks_report *report, char *why, size_t n_why)
{
	struct fg_net_list list = { 0 };
	int r;

	memset(report, 0, sizeof(*report));
	r = fg_mmdb_read(path, &list, report, why, n_why);
	if (!r) {
		r = build(&list, ret_networks);
		if (r)
			snprintf(why, n_why, "%s: no memory for its prefixes", path);
	}
	free(list.prefixes);
	return r;
}

static int read_file(const char *path, char **ret_text, size_t *ret_n)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	long size;

	if (!f)
		return -errno;
	if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		return -errno;
	if (size > MAX_BYTES)
		return -EFBIG;
	text = malloc((size_t)size + 1);
	if (!text)
		return -ENOMEM;
	*ret_n = fread(text, 1, (size_t)size, f);
	if (ferror(f))
		return -EIO;
	*ret_text = FG_TAKE_PTR(text);
	return 0;
}

int fg_networks_open(const char *path, struct fg_networks **ret_networks,
		     struct fg_networks_report *ret_report, char *why, size_t n_why)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r = fg_mmdb_is(path);

	if (r > 0)
		return open_mmdb(path, ret_networks, ret_report, why, n_why);
	if (!r)
		r = read_file(path, &text, &n);
	if (r) {
		snprintf(why, n_why, "%s: %s", path, strerror(-r));
		return r;
	}
	return fg_networks_parse(text, n, path, ret_networks, ret_report, why, n_why);
}

void fg_networks_free(struct fg_networks **networks)
{
	struct fg_networks *t = *networks;

	if (!t)
		return;
	free(t->ranges);
	free(t);
	*networks = NULL;
}

size_t fg_networks_n(const struct fg_networks *t)
{
	return t->n_prefixes;
}

bool fg_networks_has_classes(const struct fg_networks *t)
{
	return t->has_classes;
}

struct fg_network fg_networks_find(const struct fg_networks *t, const uint8_t addr[16])
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (memcmp(t->ranges[mid].from, addr, 16) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? t->ranges[lo - 1].network : (struct fg_network){ 0 };
}

/* --- Clocks ----------------------------------------------------------------------------------- */

/* Standard time of the zone most people live in, in quarters of an hour; IANA time zone database. */
static const struct {
	char country[3];
	int8_t quarters;
} offsets[] = {
	{ "AE", 16 },  { "AF", 18 },  { "AL", 4 },   { "AM", 16 },  { "AO", 4 },   { "AR", -12 },
	{ "AT", 4 },   { "AU", 40 },  { "AZ", 16 },  { "BA", 4 },   { "BD", 24 },  { "BE", 4 },
	{ "BF", 0 },   { "BG", 8 },   { "BH", 12 },  { "BO", -16 }, { "BR", -12 }, { "BY", 12 },
	{ "CA", -20 }, { "CD", 4 },   { "CH", 4 },   { "CI", 0 },   { "CL", -16 }, { "CM", 4 },
	{ "CN", 32 },  { "CO", -20 }, { "CR", -24 }, { "CU", -20 }, { "CY", 8 },   { "CZ", 4 },
	{ "DE", 4 },   { "DK", 4 },   { "DO", -16 }, { "DZ", 4 },   { "EC", -20 }, { "EE", 8 },
	{ "EG", 8 },   { "ES", 4 },   { "ET", 12 },  { "FI", 8 },   { "FR", 4 },   { "GB", 0 },
	{ "GE", 16 },  { "GH", 0 },   { "GR", 8 },   { "GT", -24 }, { "HK", 32 },  { "HN", -24 },
	{ "HR", 4 },   { "HU", 4 },   { "ID", 28 },  { "IE", 0 },   { "IL", 8 },   { "IN", 22 },
	{ "IQ", 12 },  { "IR", 14 },  { "IS", 0 },   { "IT", 4 },   { "JM", -20 }, { "JO", 12 },
	{ "JP", 36 },  { "KE", 12 },  { "KG", 24 },  { "KH", 28 },  { "KR", 36 },  { "KW", 12 },
	{ "KZ", 20 },  { "LA", 28 },  { "LB", 8 },   { "LK", 22 },  { "LT", 8 },   { "LU", 4 },
	{ "LV", 8 },   { "LY", 8 },   { "MA", 4 },   { "MD", 8 },   { "MG", 12 },  { "MK", 4 },
	{ "MM", 26 },  { "MN", 32 },  { "MT", 4 },   { "MX", -24 }, { "MY", 32 },  { "MZ", 8 },
	{ "NG", 4 },   { "NI", -24 }, { "NL", 4 },   { "NO", 4 },   { "NP", 23 },  { "NZ", 48 },
	{ "OM", 16 },  { "PA", -20 }, { "PE", -20 }, { "PH", 32 },  { "PK", 20 },  { "PL", 4 },
	{ "PR", -16 }, { "PS", 8 },   { "PT", 0 },   { "PY", -12 }, { "QA", 12 },  { "RO", 8 },
	{ "RS", 4 },   { "RU", 12 },  { "RW", 8 },   { "SA", 12 },  { "SD", 8 },   { "SE", 4 },
	{ "SG", 32 },  { "SI", 4 },   { "SK", 4 },   { "SN", 0 },   { "SV", -24 }, { "SY", 12 },
	{ "TH", 28 },  { "TJ", 20 },  { "TM", 20 },  { "TN", 4 },   { "TR", 12 },  { "TW", 32 },
	{ "TZ", 12 },  { "UA", 8 },   { "UG", 12 },  { "US", -20 }, { "UY", -12 }, { "UZ", 20 },
	{ "VE", -16 }, { "VN", 28 },  { "YE", 12 },  { "ZA", 8 },   { "ZM", 8 },   { "ZW", 8 },
};

int fg_country_offset(const char country[2], int *ret_minutes)
{
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		if (country[0] == offsets[i].country[0] && country[1] == offsets[i].country[1]) {
			*ret_minutes = offsets[i].quarters * 15;
			return 0;
		}
	}
	return -ENOENT;
}
