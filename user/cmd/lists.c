/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lists of the running agent as tables: the same bytes as the API with --format json. */
#include <stdlib.h>
#include <string.h>

#include "cmd/ask.h"
#include "lib/log.h"
#include "lib/num.h"

#define MAX_COLUMNS 16
#define MAX_TARGET  1024

struct column {
	const char *key, *title;
	enum {
		TEXT,
		NUMBER,
		TIME
	} kind;
};

/* A cell as text, good until the next call with the same slot. */
static const char *cell(const json_t *row, const struct column *c, char buf[64])
{
	const json_t *v = json_object_get(row, c->key);

	if (c->kind == TIME && json_is_number(v))
		return fg_num_time((uint64_t)(json_number_value(v) * 1e9), buf);
	if (json_is_integer(v))
		snprintf(buf, 64, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(buf, 64, "%.1f", json_real_value(v));
	else if (json_is_string(v))
		return fg_ask_text(v);
	else
		return "-";
	return buf;
}

static void print_tsv(const json_t *rows, const struct column *columns)
{
	char buf[64];
	size_t i;
	json_t *row;

	for (size_t c = 0; columns[c].key; c++)
		printf("%s%s", c ? "\t" : "#", columns[c].key);
	putchar('\n');
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; columns[c].key; c++)
			printf("%s%s", c ? "\t" : "", cell(row, &columns[c], buf));
		putchar('\n');
	}
}

/* What a flagged row rests on: the first sentence of each piece; explain has them all. */
static void print_evidence(const json_t *row)
{
	size_t i;
	json_t *one;

	json_array_foreach(json_object_get(row, "evidence"), i, one)
	{
		const char *text = fg_ask_text(json_object_get(one, "text"));
		const char *end = strstr(text, ". ");

		printf("    %.*s\n", end ? (int)(end - text + 1) : (int)strlen(text), text);
	}
}

static void print_table(const json_t *rows, const struct column *columns)
{
	int width[MAX_COLUMNS];
	char buf[64];
	size_t i;
	json_t *row;

	for (size_t c = 0; columns[c].key; c++)
		width[c] = (int)strlen(columns[c].title);
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; columns[c].key; c++) {
			int n = (int)strlen(cell(row, &columns[c], buf));

			width[c] = n > width[c] ? n : width[c];
		}
	}
	for (size_t c = 0; columns[c].key; c++)
		printf(columns[c].kind == NUMBER ? "%*s  " : "%-*s  ", width[c], columns[c].title);
	putchar('\n');
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; columns[c].key; c++)
			printf(columns[c].kind == NUMBER ? "%*s  " : "%-*s  ", width[c],
			       cell(row, &columns[c], buf));
		putchar('\n');
		print_evidence(row);
	}
}

static int list(struct fg_options *o, const char *name, const struct column *columns)
{
	char target[MAX_TARGET];
	long long total;
	json_t *doc, *rows;
	int r;

	snprintf(target, sizeof(target), "/v1/%s", name);
	if (fg_client_argument(target, sizeof(target), "limit", o->limit) ||
	    fg_client_argument(target, sizeof(target), "sort", o->sort) ||
	    fg_client_argument(target, sizeof(target), "since", o->since) ||
	    fg_client_argument(target, sizeof(target), "tier", o->tier)) {
		fg_complain(name, "an option is too long");
		return FG_EXIT_USAGE;
	}
	doc = fg_ask_json(o, target, &r);
	if (!doc)
		return r;
	rows = json_object_get(doc, name);
	if (o->format == FG_FORMAT_TSV) {
		print_tsv(rows, columns);
	} else {
		print_table(rows, columns);
		total = json_integer_value(json_object_get(doc, "total"));
		if ((long long)json_array_size(rows) < total)
			printf("%zu of %lld %s (--limit shows more)\n", json_array_size(rows),
			       total, name);
	}
	json_decref(doc);
	return FG_EXIT_OK;
}

int fg_cmd_sources(struct fg_options *o, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "source", "SOURCE", TEXT },
		{ "connections", "CONNECTIONS", NUMBER },
		{ "proven", "PROVEN", NUMBER },
		{ "hellos", "HELLOS", NUMBER },
		{ "incomplete", "INCOMPLETE", NUMBER },
		{ "fingerprints", "FINGERPRINTS", NUMBER },
		{ "exchanges", "EXCHANGES", NUMBER },
		{ "bytes_in", "BYTES IN", NUMBER },
		{ "bytes_out", "BYTES OUT", NUMBER },
		{ "last_seen", "LAST SEEN", TIME },
		{ 0 },
	};

	(void)argc;
	(void)argv;
	return list(o, "sources", columns);
}

int fg_cmd_clients(struct fg_options *o, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "source", "SOURCE", TEXT },
		{ "stem", "STEM", TEXT },
		{ "stack", "STACK", TEXT },
		{ "stack_family", "FAMILY", TEXT },
		{ "proof", "PROOF", TEXT },
		{ "connections", "CONNECTIONS", NUMBER },
		{ "exchanges", "EXCHANGES", NUMBER },
		{ "bytes_in", "BYTES IN", NUMBER },
		{ "bytes_out", "BYTES OUT", NUMBER },
		{ "last_seen", "LAST SEEN", TIME },
		{ 0 },
	};

	(void)argc;
	(void)argv;
	return list(o, "clients", columns);
}

int fg_cmd_fingerprints(struct fg_options *o, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "ja4", "JA4", TEXT },
		{ "stem", "STEM", TEXT },
		{ "hellos", "HELLOS", NUMBER },
		{ "sources", "SOURCES", NUMBER },
		{ "sni", "SNI", TEXT },
		{ "last_seen", "LAST SEEN", TIME },
		{ 0 },
	};

	(void)argc;
	(void)argv;
	return list(o, "fingerprints", columns);
}

int fg_cmd_cohorts(struct fg_options *o, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "id", "COHORT", TEXT },
		{ "tier", "TIER", TEXT },
		{ "sources", "MEMBERS", NUMBER },
		{ "estimated_farm", "FARM", NUMBER },
		{ "networks", "NETWORKS", NUMBER },
		{ "exchanges", "EXCHANGES", NUMBER },
		{ "first_flagged", "FIRST FLAGGED", TIME },
		{ "subject", "CELL", TEXT },
		{ 0 },
	};

	(void)argc;
	(void)argv;
	return list(o, "cohorts", columns);
}

int fg_cmd_flagged(struct fg_options *o, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "source", "SOURCE", TEXT },
		{ "tier", "TIER", TEXT },
		{ "score", "NATS", NUMBER },
		{ "ja4", "JA4", TEXT },
		{ "stack", "STACK", TEXT },
		{ "origin", "BY", TEXT },
		{ "first_flagged", "FIRST FLAGGED", TIME },
		{ "until", "UNTIL", TIME },
		{ 0 },
	};

	(void)argc;
	(void)argv;
	return list(o, "flagged", columns);
}

/* "  name 12  other 3", zeros left out. */
static void print_counters(const char *title, const json_t *counters)
{
	const char *key;
	json_t *value;
	bool any = false;

	printf("%-13s", title);
	json_object_foreach((json_t *)counters, key, value)
	{
		if (!json_integer_value(value))
			continue;
		printf("%s %lld  ", key, (long long)json_integer_value(value));
		any = true;
	}
	puts(any ? "" : "none");
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* Only where the agent has one. */
/* Bouncers that ask for decisions; nothing where none ever did. */
static void print_crowdsec(const json_t *crowdsec)
{
	size_t n = json_array_size(json_object_get(crowdsec, "bouncers"));

	if (!n)
		return;
	printf("bouncers     %zu, told %lld decisions\n", n, number_of(crowdsec, "decisions"));
	if (number_of(crowdsec, "unexportable"))
		printf("  unexportable %lld blocks that no bouncer can hold (ranges wider than /28, "
		       "IPv6 /64)\n",
		       number_of(crowdsec, "unexportable"));
}

static void print_feed(const json_t *feed)
{
	if (!feed)
		return;
	printf("feed         %lld lines: %lld messages, %lld lookups; connections %lld; client not "
	       "known %lld\n",
	       number_of(feed, "lines"), number_of(feed, "messages"), number_of(feed, "lookups"),
	       number_of(feed, "connections"), number_of(feed, "client_unknown"));
	print_counters("  refused", json_object_get(feed, "refused"));
	print_counters("  outcomes", json_object_get(feed, "outcomes"));
	printf("  accounts   %lld on %lld clients, %lld pairs\n", number_of(feed, "accounts"),
	       number_of(feed, "clients"), number_of(feed, "pairs"));
	print_counters("  no room", json_object_get(feed, "no_room"));
}

/* Where more of today's new members are expected to be false than may be. */
static void print_budget(const json_t *detection, const char *tier)
{
	char expected[32], budget[32];
	double is, may;

	snprintf(expected, sizeof(expected), "%s_expected_false", tier);
	snprintf(budget, sizeof(budget), "%s_budget", tier);
	is = json_number_value(json_object_get(detection, expected));
	may = json_number_value(json_object_get(detection, budget));
	if (is > may)
		printf("over budget  of today's new members %.2f are expected to be false in tier %s, "
		       "%.2f may be\n",
		       is, tier, may);
}

/* "drift        ~t13d…: relayed are 9.1 % of its clients, and were 5.0 % ..." */
static void print_drift(const json_t *detection)
{
	size_t i;
	json_t *row;

	json_array_foreach(json_object_get(detection, "drift"), i, row) printf(
		"drift        %s: relayed are %.1f %% of its clients, and were %.1f %% when its "
		"reference was frozen; no release explains it\n",
		fg_ask_text(json_object_get(row, "stem")),
		100 * json_number_value(json_object_get(row, "relayed_share")),
		100 * json_number_value(json_object_get(row, "was")));
}

/* "relay        cold: day 1 of 3, reports" */
static void print_warmth(const json_t *doc)
{
	const json_t *detection = json_object_get(doc, "detection");
	const char *weaker =
		json_string_value(json_object_get(json_object_get(doc, "networks"), "weaker"));
	const char *family;
	json_t *row;

	json_object_foreach(json_object_get(detection, "families"), family, row)
	{
		printf("%-12s %s: day %.0f of %g, %s\n", family,
		       fg_ask_text(json_object_get(row, "state")),
		       json_number_value(json_object_get(row, "days")),
		       json_number_value(json_object_get(row, "of_days")),
		       fg_ask_text(json_object_get(row, "does")));
	}
	if (weaker)
		printf("weaker       %s\n", weaker);
	print_drift(detection);
	print_budget(detection, "alert");
	print_budget(detection, "enforce");
}

/* "flagged      homes 12 of 3400 (1.9 times the share of all)", for who is flagged most. */
static void print_fairness(const json_t *doc)
{
	static const char *const lists[] = { "classes", "countries" };
	static const char *const names[] = { "class", "country" };
	const json_t *fairness = json_object_get(doc, "fairness");

	for (size_t i = 0; i < 2; i++) {
		const json_t *row = json_array_get(json_object_get(fairness, lists[i]), 0);

		if (!row || !json_is_number(json_object_get(row, "ratio")))
			continue;
		printf("most flagged %s %s: %lld of %lld sources, %.1f times the share of all\n",
		       names[i], fg_ask_text(json_object_get(row, names[i])),
		       (long long)json_integer_value(json_object_get(row, "flagged")),
		       (long long)json_integer_value(json_object_get(row, "sources")),
		       json_number_value(json_object_get(row, "ratio")));
	}
}

/* "blocks       3 (2 automatic); held: shared 3, holdback 1" */
static void print_blocks(const json_t *doc)
{
	const json_t *blocks = json_object_get(doc, "blocks");
	const char *name, *before = "; held: ";
	json_t *n;

	if (!blocks)
		return;
	printf("blocks       %lld (%lld automatic)",
	       (long long)json_integer_value(json_object_get(blocks, "total")),
	       (long long)json_integer_value(json_object_get(blocks, "automatic")));
	json_object_foreach(json_object_get(doc, "guards"), name, n)
	{
		if (!json_integer_value(n))
			continue;
		printf("%s%s %lld", before, name, (long long)json_integer_value(n));
		before = ", ";
	}
	putchar('\n');
}

static void print_export(const json_t *row)
{
	bool failing = json_is_true(json_object_get(row, "failing"));
	long long unexportable = json_integer_value(json_object_get(row, "unexportable"));

	printf("export       %-8s %lld blocks; %lld changes in %lld batches, %lld errors, %lld "
	       "rewrites",
	       fg_ask_text(json_object_get(row, "name")),
	       (long long)json_integer_value(json_object_get(row, "held")),
	       (long long)json_integer_value(json_object_get(row, "applied")),
	       (long long)json_integer_value(json_object_get(row, "batches")),
	       (long long)json_integer_value(json_object_get(row, "errors")),
	       (long long)json_integer_value(json_object_get(row, "rewrites")));
	if (unexportable)
		printf("; %lld it cannot hold", unexportable);
	puts(failing ? "; FAILING" : "");
}

static void print_status(const json_t *doc)
{
	size_t i;
	json_t *row;

	printf("farmgate %s, role %s, mode %s, up %.0f s\n",
	       json_string_value(json_object_get(doc, "version")),
	       json_string_value(json_object_get(doc, "role")),
	       json_string_value(json_object_get(doc, "mode")),
	       json_number_value(json_object_get(doc, "uptime_s")));
	json_array_foreach(json_object_get(doc, "interfaces"), i, row)
		printf("interface    %s (%s): %lld packets\n",
		       json_string_value(json_object_get(row, "name")),
		       json_string_value(json_object_get(row, "attach")),
		       (long long)json_integer_value(json_object_get(row, "packets")));
	print_counters("accounted", json_object_get(doc, "accounted"));
	print_counters("losses", json_object_get(doc, "losses"));
	print_counters("incomplete", json_object_get(doc, "incomplete"));
	printf("connections  %lld, of these %lld proven; hellos %lld; exchanges %lld\n",
	       (long long)json_integer_value(json_object_get(doc, "connections")),
	       (long long)json_integer_value(json_object_get(doc, "proven")),
	       (long long)json_integer_value(json_object_get(doc, "hellos")),
	       (long long)json_integer_value(json_object_get(doc, "exchanges")));
	printf("sources      %lld, clients %lld, fingerprints %lld, flagged %lld\n",
	       (long long)json_integer_value(json_object_get(doc, "sources")),
	       (long long)json_integer_value(json_object_get(doc, "clients")),
	       (long long)json_integer_value(json_object_get(doc, "fingerprints")),
	       (long long)json_integer_value(json_object_get(doc, "flagged")));
	json_array_foreach(json_object_get(doc, "maps"), i, row)
		printf("table        %-11s %lld of %lld\n",
		       json_string_value(json_object_get(row, "name")),
		       (long long)json_integer_value(json_object_get(row, "entries")),
		       (long long)json_integer_value(json_object_get(row, "capacity")));
	json_array_foreach(json_object_get(doc, "exports"), i, row) print_export(row);
	print_feed(json_object_get(doc, "feed"));
	print_crowdsec(json_object_get(doc, "crowdsec"));
	print_warmth(doc);
	print_fairness(doc);
	print_blocks(doc);
	json_array_foreach(json_object_get(doc, "degraded"), i, row)
		printf("degraded     %s\n", fg_ask_text(row));
}

static void status_tsv(const json_t *doc)
{
	static const char *const groups[] = { "accounted", "losses", "incomplete", "events" };
	const char *key;
	json_t *value;
	size_t i;

	puts("#group\tname\tvalue");
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		json_object_foreach(json_object_get(doc, groups[g]), key, value) printf(
			"%s\t%s\t%lld\n", groups[g], key, (long long)json_integer_value(value));
	json_array_foreach(json_object_get(doc, "degraded"), i, value)
		printf("degraded\t%zu\t%s\n", i, fg_ask_text(value));
}

int fg_cmd_status(struct fg_options *o, int argc, char **argv)
{
	struct fg_client_answer a;
	json_t *doc;
	int r;

	(void)argc;
	(void)argv;
	r = fg_ask(o, "GET", "/v1/status", NULL, &a);
	if (r)
		return r;
	doc = json_loadb(a.body, a.n, 0, NULL);
	if (!doc) {
		fg_complain("agent", "its status is no JSON");
		r = FG_EXIT_ERROR;
	} else if (o->format == FG_FORMAT_JSON) {
		fwrite(a.body, 1, a.n, stdout);
	} else if (o->format == FG_FORMAT_TSV) {
		status_tsv(doc);
	} else {
		print_status(doc);
	}
	free(a.body);
	if (json_array_size(json_object_get(doc, "degraded")))
		r = FG_EXIT_DEGRADED;
	json_decref(doc);
	return r;
}
