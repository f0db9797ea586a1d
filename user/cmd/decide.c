/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The operator's decisions, and explanations, all through the running agent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ask.h"
#include "lib/ip.h"
#include "lib/log.h"
#include "lib/num.h"

#define MAX_TARGET 1024
/* What the agent takes; it is asked without one. */
#define MAX_BLOCK_S (24 * 3600)
#define MAX_ALLOW_S (10ULL * 365 * 24 * 3600)

/* Asks before the agent does, so that a typing error is told without one. */
static int check_prefix(const char *text)
{
	uint8_t addr[16], bits;

	if (!fg_ip_parse(text, addr, &bits))
		return 0;
	fg_complain(text, "no address or prefix (host bits must be zero)");
	return FG_EXIT_USAGE;
}

/* "c7", or "a7" of accounts: whether there is one is the agent's to say. */
static bool is_cohort(const char *text)
{
	return (text[0] == 'c' || text[0] == 'a') && text[1] &&
	       strspn(text + 1, "0123456789") == strlen(text + 1);
}

/* The same of what the options say: max_s is the longest that the verb takes. */
static int check_options(const struct fg_options *o, uint64_t max_s)
{
	uint64_t number;
	int r = o->ttl ? fg_num_duration(o->ttl, max_s, &number) : 0;

	if (r || (o->ttl && !number)) {
		if (r == -ERANGE)
			fg_complain(o->ttl, "more than %llu h", (unsigned long long)max_s / 3600);
		else
			fg_complain(o->ttl, "no duration (90s, 15m, 1h)");
		return FG_EXIT_USAGE;
	}
	if (o->confirm && fg_num_u64(o->confirm, 0, INT64_MAX, &number)) {
		fg_complain(o->confirm, "no number of sources");
		return FG_EXIT_USAGE;
	}
	return 0;
}

/* What was typed, as JSON to be freed; NULL where it cannot all be told: a stem that is left out
 * would block everybody. */
static char *body_of(const struct fg_options *o, const char *key, const char *subject)
{
	const struct {
		const char *name, *value;
		bool number;
	} members[] = { { key, subject, !strcmp(key, "id") },
			{ "stem", o->stem, false },
			{ "ttl", o->ttl, false },
			{ "reason", o->reason, false },
			{ "confirm", o->confirm, true } };
	json_t *body = json_object();
	char *text = NULL;
	int r = 0;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (members[i].value)
			r |= json_object_set_new(body, members[i].name,
						 members[i].number ?
							 json_integer(atoll(members[i].value)) :
							 json_string(members[i].value));
	if (!r)
		text = json_dumps(body, 0);
	json_decref(body);
	return text;
}

/* "block c1: 25000 blocked, 3 left out; 'farmgate undo 17' takes it back" */
static void say_done(const struct fg_client_answer *a, const char *verb, const char *subject)
{
	static const char *const counts[] = { "blocked", "removed", "undone" };
	json_t *doc = json_loadb(a->body, a->n, 0, NULL);
	json_t *note = json_object_get(doc, "note"), *n;
	const char *between = "";

	printf("%s %s: ", verb, subject);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		n = json_object_get(doc, counts[i]);
		if (!n)
			continue;
		printf("%lld %s", (long long)json_integer_value(n), counts[i]);
		between = ", ";
	}
	n = json_object_get(doc, "left_out");
	if (json_integer_value(n))
		printf("%s%lld left out", between, (long long)json_integer_value(n));
	printf("%s; 'farmgate undo %lld' takes it back\n", between[0] ? "" : "done",
	       (long long)json_integer_value(json_object_get(doc, "id")));
	if (note)
		printf("note: %s\n", fg_ask_text(note));
	json_decref(doc);
}

static int decide(struct fg_options *o, const char *verb, const char *key, const char *subject)
{
	struct fg_client_answer a;
	char target[64];
	char *text = body_of(o, key, subject);
	int r;

	if (!text) {
		fg_complain(verb, "an option is no UTF-8 text");
		return FG_EXIT_USAGE;
	}
	snprintf(target, sizeof(target), "/v1/%s", verb);
	r = fg_ask(o, "POST", target, text, &a);
	free(text);
	if (r)
		return r;
	if (o->format == FG_FORMAT_JSON)
		fwrite(a.body, 1, a.n, stdout);
	else
		say_done(&a, verb, subject);
	free(a.body);
	return FG_EXIT_OK;
}

/* About a prefix or a cohort. */
static int decide_on(struct fg_options *o, const char *verb, const char *subject, uint64_t max_s)
{
	bool cohort = is_cohort(subject);
	int r = cohort ? 0 : check_prefix(subject);

	if (!r)
		r = check_options(o, max_s);
	return r ? r : decide(o, verb, cohort ? "cohort" : "prefix", subject);
}

int fg_cmd_block(struct fg_options *o, int argc, char **argv)
{
	(void)argc;
	return decide_on(o, "block", argv[0], MAX_BLOCK_S);
}

int fg_cmd_unblock(struct fg_options *o, int argc, char **argv)
{
	(void)argc;
	return decide_on(o, "unblock", argv[0], 0);
}

int fg_cmd_allow(struct fg_options *o, int argc, char **argv)
{
	(void)argc;
	return decide_on(o, "allow", argv[0], MAX_ALLOW_S);
}

int fg_cmd_disallow(struct fg_options *o, int argc, char **argv)
{
	(void)argc;
	return decide_on(o, "disallow", argv[0], 0);
}

int fg_cmd_undo(struct fg_options *o, int argc, char **argv)
{
	uint64_t id;

	(void)argc;
	if (fg_num_u64(argv[0], 1, INT64_MAX, &id)) {
		fg_complain(argv[0], "no id of a decision (an action prints it)");
		return FG_EXIT_USAGE;
	}
	return decide(o, "undo", "id", argv[0]);
}

static json_t *ask_about(struct fg_options *o, const char *path, const char *source, int *ret_exit)
{
	char target[MAX_TARGET];

	*ret_exit = is_cohort(source) ? 0 : check_prefix(source);
	if (*ret_exit)
		return NULL;
	snprintf(target, sizeof(target), "%s", path);
	if (fg_client_argument(target, sizeof(target), "source", source)) {
		fg_complain(source, "too long");
		*ret_exit = FG_EXIT_USAGE;
		return NULL;
	}
	return fg_ask_json(o, target, ret_exit);
}

static long long number(const json_t *row, const char *key)
{
	return (long long)json_integer_value(json_object_get(row, key));
}

static void print_clients(const json_t *doc)
{
	const json_t *clients = json_object_get(doc, "clients");
	long long total = number(doc, "clients_total");
	size_t i;
	json_t *row;

	json_array_foreach(clients, i, row)
	{
		printf("  client %s\n", fg_ask_text(json_object_get(row, "stem")));
		printf("    JA4 %s, stack %s", fg_ask_text(json_object_get(row, "ja4")),
		       fg_ask_text(json_object_get(row, "stack")));
		printf(" (%s),", fg_ask_text(json_object_get(row, "stack_family")));
		printf(" proof %s, %lld connections, %lld exchanges\n",
		       fg_ask_text(json_object_get(row, "proof")), number(row, "connections"),
		       number(row, "exchanges"));
	}
	if (total > (long long)json_array_size(clients))
		printf("  and %lld clients more\n", total - (long long)json_array_size(clients));
}

static void print_signals(const json_t *doc, bool tsv)
{
	size_t i, k;
	json_t *row, *sentence;

	json_array_foreach(json_object_get(doc, "signals"), i, row)
	{
		const json_t *sentences = json_object_get(row, "sentences");

		if (!tsv && json_array_size(sentences))
			printf("  signals of %s, %s\n", fg_ask_text(json_object_get(row, "stem")),
			       fg_ask_text(json_object_get(row, "stack")));
		json_array_foreach(sentences, k, sentence)
			printf("%s%s\n", tsv ? "" : "    ", fg_ask_text(sentence));
	}
}

int fg_cmd_explain(struct fg_options *o, int argc, char **argv)
{
	size_t i;
	json_t *doc, *row;
	int r;

	(void)argc;
	doc = ask_about(o, "/v1/explain", argv[0], &r);
	if (!doc)
		return r;
	if (o->format == FG_FORMAT_TSV)
		puts("#sentence");
	else if (is_cohort(argv[0]))
		printf("cohort %s\n", argv[0]);
	else
		puts(fg_ask_text(json_object_get(doc, "source")));
	json_array_foreach(json_object_get(doc, "sentences"), i, row)
		printf("%s%s\n", o->format == FG_FORMAT_TSV ? "" : "  ", fg_ask_text(row));
	print_signals(doc, o->format == FG_FORMAT_TSV);
	if (o->format == FG_FORMAT_HUMAN)
		print_clients(doc);
	json_decref(doc);
	return r;
}

int fg_cmd_history(struct fg_options *o, int argc, char **argv)
{
	char when[32];
	size_t i;
	json_t *doc, *row;
	int r;

	(void)argc;
	doc = ask_about(o, "/v1/history", argv[0], &r);
	if (!doc)
		return r;
	if (o->format == FG_FORMAT_TSV)
		puts("#time\twhat\twho\treason\tid");
	json_array_foreach(json_object_get(doc, "history"), i, row)
	{
		fg_num_time((uint64_t)(json_number_value(json_object_get(row, "time")) * 1e9),
			    when);
		printf(o->format == FG_FORMAT_TSV ? "%s\t%s" : "%s  %s", when,
		       fg_ask_text(json_object_get(row, "what")));
		printf(o->format == FG_FORMAT_TSV ? "\t%s\t%s" : " by %s  %s",
		       fg_ask_text(json_object_get(row, "who")),
		       fg_ask_text(json_object_get(row, "reason")));
		printf(o->format == FG_FORMAT_TSV ? "\t%lld\n" : "  (%lld)\n", number(row, "id"));
	}
	json_decref(doc);
	return r;
}
