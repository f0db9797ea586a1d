/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live nft target. A shadow says what the kernel should hold; a batch is the difference, one
 * transaction for `nft -f -`. Deleting an element that is gone (its time was up) would abort the
 * transaction, so each removal and renewal is written add, delete, and for a renewal add again.
 * Elements end by the kernel's own clock.
 */
#define _GNU_SOURCE /* open_memstream */
#include "export/nft.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "export/child.h"
#include "export/diff.h"
#include "export/nft_text.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/now.h"

#define TIMEOUT_MS 10000
/* More for large batches: on a busy host a million elements take this long. */
#define TIMEOUT_PER_1000_MS 20
/* nft needs 6 s for a quarter of a million; the target has a thread of its own. */
#define FULL_TIMEOUT_MS 60000
/* The most that is read back in full are some 60 MB of JSON. */
#define MAX_OUTPUT (128U << 20)

struct fg_nft {
	struct fg_export_conf conf;
	uint16_t *ports;
	struct fg_shadow shadow;
	uint32_t size; /* of each set of the table that stands */
	bool in_place; /* the table stands, as far as we know */
};

int fg_nft_new(const struct fg_export_conf *conf, struct fg_nft **ret_nft)
{
	struct fg_nft *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->conf = *conf;
	t->ports = calloc(conf->n_ports + 1, sizeof(*t->ports));
	if (!t->ports) {
		free(t);
		return -ENOMEM;
	}
	memcpy(t->ports, conf->ports, conf->n_ports * sizeof(*t->ports));
	t->conf.ports = t->ports;
	*ret_nft = t;
	return 0;
}

void fg_nft_free(struct fg_nft **nft)
{
	if (!*nft)
		return;
	free((*nft)->ports);
	fg_shadow_clear(&(*nft)->shadow);
	free(*nft);
	*nft = NULL;
}

/* Runs nft with this input; stdout into *ret_out (freed by the caller) unless NULL.
 * @return its exit status, -errno. */
static int run_nft(const char *const argv[], const char *input, size_t n_input, uint32_t timeout_ms,
		   char **ret_out, char *why, size_t n_why)
{
	const struct fg_child child = {
		.argv = argv,
		.input = input,
		.n_input = n_input,
		.timeout_ms = timeout_ms,
		.max_output = MAX_OUTPUT,
	};
	int r = fg_child_run(&child, ret_out, NULL, why, n_why);

	if (r == -ENOENT)
		snprintf(why, n_why, "the nft program is missing (apt-get install nftables)");
	return r;
}

static int run_script(const char *script, size_t n, int changes, char *why, size_t n_why)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	uint32_t timeout_ms = TIMEOUT_MS + (uint32_t)changes / 1000 * TIMEOUT_PER_1000_MS;
	int r = run_nft(argv, script, n, timeout_ms, NULL, why, n_why);

	return r > 0 ? -EIO : r;
}

/* --- Applying --------------------------------------------------------------------------------- */

static void put_verb(FILE *out, const char *verb, const struct fg_held *held, uint64_t timeout_s)
{
	fprintf(out, "%s element inet farmgate %s { ", verb, fg_nft_set_of(held->addr, held->bits));
	fg_nft_element(out, held->addr, held->bits);
	if (timeout_s)
		fprintf(out, " timeout %llus", (unsigned long long)timeout_s);
	fputs(" }\n", out);
}

static void put_change(FILE *out, const struct fg_change *change, uint64_t now_ns)
{
	put_verb(out, "add", change->held, 1);
	put_verb(out, "delete", change->held, 0);
	if (change->kind != FG_CHANGE_REMOVE)
		put_verb(out, "add", change->held, fg_left_s(change->held->until_ns, now_ns));
}

static bool is_range(const struct fg_held *held)
{
	return !strncmp(fg_nft_set_of(held->addr, held->bits), "ranges", 6);
}

/* Does a range come that overlaps another one that goes? nft compares it with what stood before the
 * batch, removed in it or not, and refuses (1.0.6): then the table is written whole. What stays
 * overlaps nothing that comes: no item of a set lies inside another. */
static bool ranges_clash(const struct fg_diff *diff)
{
	/* both parts are sorted without nesting: what holds a range is the last one passed on the other
	 * side */
	const struct fg_held *old = NULL, *new = NULL;
	size_t i = 0, j = diff->n_removed;

	while (i < diff->n_removed || j < diff->n) {
		const struct fg_held *x = i < diff->n_removed ? diff->changes[i].held : NULL;
		const struct fg_held *y = j < diff->n ? diff->changes[j].held : NULL;
		bool first = x && (!y || fg_held_order(x, y->addr, y->bits) < 0);
		const struct fg_held *one = first ? x : y, *other = first ? new : old;

		if (is_range(one)) {
			if (other && fg_ip_contains(other->addr, other->bits, one->addr, one->bits))
				return true;
			*(first ? &old : &new) = one;
		}
		i += first;
		j += !first;
	}
	return false;
}

/* What a batch removes makes room for what it adds. */
static bool has_room(const struct fg_nft *t, const struct fg_diff *diff)
{
	return diff->next.n <= t->size;
}

static int write_script(const struct fg_nft *t, const struct fg_export_set *set,
			const struct fg_diff *diff, uint64_t now_ns, bool whole, char **ret_script,
			size_t *ret_n)
{
	FILE *out = open_memstream(ret_script, ret_n);

	if (!out)
		return -ENOMEM;
	if (whole)
		fg_export_nft(out, set, &t->conf, now_ns);
	for (size_t i = 0; !whole && i < diff->n; i++)
		put_change(out, &diff->changes[i], now_ns);
	/* a script cut short by lack of memory must not run */
	return ferror(out) | fclose(out) ? -ENOMEM : 0;
}

/* Whole or in differences; of a whole table nothing that was held before counts. */
static int plan(struct fg_nft *t, const struct fg_export_set *set, uint64_t now_ns,
		struct fg_diff *ret_diff, bool *ret_whole)
{
	int r;

	*ret_whole = !t->in_place;
	if (t->in_place) {
		r = fg_diff_make(&t->shadow, set, now_ns, true, ret_diff);
		if (r || (has_room(t, ret_diff) && !ranges_clash(ret_diff)))
			return r;
		fg_diff_free(ret_diff);
		*ret_whole = true;
	}
	t->in_place = false;
	fg_shadow_clear(&t->shadow);
	return fg_diff_make(&t->shadow, set, now_ns, true, ret_diff);
}

int fg_nft_apply(struct fg_nft *t, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	_cleanup_(fg_diff_free) struct fg_diff diff = { 0 };
	_cleanup_free_ char *script = NULL;
	size_t n_script = 0;
	bool whole;
	int r = plan(t, set, now_ns, &diff, &whole), changes;

	if (!r)
		r = write_script(t, set, &diff, now_ns, whole, &script, &n_script);
	if (r) {
		snprintf(why, n_why, "no memory for a script of %zu elements", set->n);
		return r;
	}
	changes = whole ? (int)set->n + 1 : (int)diff.n;
	if (changes)
		r = run_script(script, n_script, changes, why, n_why);
	if (r) {
		/* whatever happened, the next time everything is written */
		t->in_place = false;
		return r;
	}
	fg_diff_done(&diff, &t->shadow);
	if (whole)
		t->size = fg_nft_set_size(set->n);
	t->in_place = true;
	return changes;
}

/* --- Looking ---------------------------------------------------------------------------------- */

/* One element of a JSON listing: a text, a prefix, or either with its timeout. */
static bool element_key(json_t *e, uint8_t addr[16], uint8_t *bits, bool in_blocked6)
{
	char text[FG_IP_TEXT];
	json_t *inner = json_object_get(e, "elem"), *prefix;

	if (inner)
		e = json_object_get(inner, "val");
	prefix = json_object_get(e, "prefix");
	if (prefix)
		snprintf(text, sizeof(text), "%s/%d",
			 json_string_value(json_object_get(prefix, "addr")) ?: "",
			 (int)json_integer_value(json_object_get(prefix, "len")));
	else
		snprintf(text, sizeof(text), "%s", json_string_value(e) ?: "");
	if (fg_ip_parse(text, addr, bits))
		return false;
	if (in_blocked6)
		*bits = 64;
	return true;
}

struct seen {
	bool chain, sets[4];
	size_t rules, elements, strangers;
};

static const struct {
	const char *name, *type;
	size_t flags; /* how many: timeout, and interval for ranges */
} our_sets[4] = {
	{ "blocked4", "ipv4_addr", 1 },
	{ "blocked6", "ipv6_addr", 1 },
	{ "ranges4", "ipv4_addr", 2 },
	{ "ranges6", "ipv6_addr", 2 },
};

/* Is it the one that we make, or one that somebody made with its name? */
static bool is_ours(json_t *set, size_t i)
{
	const char *type = json_string_value(json_object_get(set, "type"));

	return type && !strcmp(type, our_sets[i].type) &&
	       json_array_size(json_object_get(set, "flags")) == our_sets[i].flags;
}

/* Whatever kind of thing an entry is, does it belong to our table? */
static bool is_of_our_table(json_t *entry)
{
	const char *table = NULL, *kind;
	json_t *thing;

	json_object_foreach(entry, kind, thing)
		table = json_string_value(json_object_get(thing, "table"));
	return table && !strcmp(table, "farmgate");
}

static void look_at(const struct fg_nft *t, json_t *entry, struct seen *seen)
{
	json_t *set = json_object_get(entry, "set"), *elements, *e;
	const char *name;
	size_t i;

	if (!is_of_our_table(entry))
		return;
	if (json_object_get(entry, "chain"))
		seen->chain = true;
	seen->rules += json_object_get(entry, "rule") != NULL;
	name = set ? json_string_value(json_object_get(set, "name")) : NULL;
	for (i = 0; name && i < 4; i++)
		if (!strcmp(name, our_sets[i].name) && is_ours(set, i))
			seen->sets[i] = true;
	if (!name)
		return;
	elements = json_object_get(set, "elem");
	json_array_foreach(elements, i, e)
	{
		uint8_t addr[16], bits;

		seen->elements++;
		if (!element_key(e, addr, &bits, !strcmp(name, "blocked6")) ||
		    !fg_shadow_find(&t->shadow, addr, bits))
			seen->strangers++;
	}
}

static bool all_there(const struct fg_nft *t, const struct seen *seen)
{
	for (size_t i = 0; i < 4; i++)
		if (!seen->sets[i])
			return false;
	return seen->chain && seen->rules == FG_NFT_RULES * (t->conf.udp ? 2 : 1);
}

int fg_nft_check(struct fg_nft *t, bool full, char *why, size_t n_why)
{
	/* of one table alone, nft 1.0.6 fetches all elements before it leaves them out */
	const char *const terse[] = { "nft", "-t", "-j", "list", "ruleset", "inet", NULL };
	const char *const whole[] = { "nft", "-j", "list", "table", "inet", "farmgate", NULL };
	_cleanup_free_ char *out = NULL;
	struct seen seen = { 0 };
	json_t *doc, *entry;
	size_t i;
	int r;

	if (!t->in_place) {
		snprintf(why, n_why, "table inet farmgate is not written yet");
		return 1;
	}
	full = full && t->shadow.n <= FG_NFT_FULL_CHECK_MAX;
	r = run_nft(full ? whole : terse, NULL, 0, full ? FULL_TIMEOUT_MS : TIMEOUT_MS, &out, why,
		    n_why);
	if (r < 0) {
		t->in_place = false;
		return r;
	}
	doc = r == 0 && out ? json_loads(out, 0, NULL) : NULL;
	json_array_foreach(json_object_get(doc, "nftables"), i, entry) look_at(t, entry, &seen);
	json_decref(doc);
	if (!all_there(t, &seen)) {
		snprintf(why, n_why, "table inet farmgate is gone or damaged");
	} else if (full &&
		   (seen.strangers ||
		    seen.elements + fg_shadow_due(&t->shadow, fg_unix_ns()) < t->shadow.n)) {
		snprintf(why, n_why,
			 "the sets hold %zu elements, %zu of them not ours, instead of %zu",
			 seen.elements, seen.strangers, t->shadow.n);
	} else {
		return 0;
	}
	t->in_place = false;
	return 1;
}

int fg_nft_remove(struct fg_nft *t, char *why, size_t n_why)
{
	static const char script[] = "table inet farmgate\ndelete table inet farmgate\n";

	t->in_place = false;
	return run_script(script, sizeof(script) - 1, 0, why, n_why);
}

/* --- As a target ------------------------------------------------------------------------------ */

static int apply(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	return fg_nft_apply(impl, set, now_ns, why, n_why);
}

static int check(void *impl, bool full, char *why, size_t n_why)
{
	return fg_nft_check(impl, full, why, n_why);
}

static void forget_ends(void *impl)
{
	struct fg_nft *t = impl;

	fg_shadow_forget_ends(&t->shadow);
}

static void free_impl(void *impl)
{
	struct fg_nft *t = impl;

	fg_nft_free(&t);
}

const struct fg_target_ops fg_nft_ops = {
	.name = "nft",
	.apply = apply,
	.check = check,
	.forget_ends = forget_ends,
	.free = free_impl,
};
