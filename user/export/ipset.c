/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One `ipset restore -exist` a batch. The whole is written into sets beside ours, which are swapped
 * in: there is no moment without blocks. A set of our name that is of another type is somebody
 * else's: it is named in an error, and never touched.
 */
#define _GNU_SOURCE /* open_memstream */
#include "export/ipset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/child.h"
#include "export/diff.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/now.h"

#define TIMEOUT_MS 10000
/* More for large batches: on a busy host a million elements take this long. */
#define TIMEOUT_PER_1000_MS 20
/* 100 bytes for each of 200,000 elements, the store's most, and three times that to spare. */
#define MAX_OUTPUT (64U << 20)
/* Where nobody says how long; each element has its own. */
#define DEFAULT_TIMEOUT_S 3600

enum which {
	FARMGATE4,
	FARMGATE6,
	FARMGATE4N,
	FARMGATE6N,
	N_SETS
};

/* An IPv6 source is a /64, so even its single ones are networks. */
static const struct {
	const char *name, *type, *family;
} our_sets[N_SETS] = {
	[FARMGATE4] = { "farmgate4", "hash:ip", "inet" },
	[FARMGATE6] = { "farmgate6", "hash:net", "inet6" },
	[FARMGATE4N] = { "farmgate4n", "hash:net", "inet" },
	[FARMGATE6N] = { "farmgate6n", "hash:net", "inet6" },
};

/* The one that is filled beside it, for a moment. */
#define NEW ".new"

struct fg_ipset {
	struct fg_shadow shadow;
	uint64_t unexportable;
	bool in_place;
};

int fg_ipset_new(struct fg_ipset **ret_ipset)
{
	*ret_ipset = calloc(1, sizeof(**ret_ipset));
	return *ret_ipset ? 0 : -ENOMEM;
}

void fg_ipset_free(struct fg_ipset **ipset)
{
	if (!*ipset)
		return;
	fg_shadow_clear(&(*ipset)->shadow);
	free(*ipset);
	*ipset = NULL;
}

static enum which set_of(const uint8_t addr[16], uint8_t bits)
{
	if (fg_ip_is4(addr) && bits >= 96)
		return bits == 128 ? FARMGATE4 : FARMGATE4N;
	return bits == 64 ? FARMGATE6 : FARMGATE6N;
}

/* A hash of networks holds no /0. */
static bool is_holdable(const struct fg_export_item *item)
{
	return item->bits != (fg_ip_is4(item->addr) && item->bits >= 96 ? 96 : 0);
}

static int run_ipset(const char *const argv[], const char *input, size_t n_input, size_t n_elements,
		     char **ret_out, char *why, size_t n_why)
{
	const struct fg_child child = {
		.argv = argv,
		.input = input,
		.n_input = n_input,
		.timeout_ms = TIMEOUT_MS + (uint32_t)(n_elements / 1000) * TIMEOUT_PER_1000_MS,
		.max_output = MAX_OUTPUT,
	};
	int r = fg_child_run(&child, ret_out, NULL, why, n_why);

	if (r == -ENOENT)
		snprintf(why, n_why, "the ipset program is missing (apt-get install ipset)");
	return r > 0 ? -EIO : r;
}

/* --- What stands ------------------------------------------------------------------------------ */

struct standing {
	bool ours[N_SETS], leftover[N_SETS];
};

/* One set as it is listed: its name, its type, and the header that begins with its family. */
static int look_at(const char *name, const char *type, const char *header, struct standing *s,
		   char *why, size_t n_why)
{
	char family[16] = "-";

	sscanf(header, "family %15s", family);
	for (size_t i = 0; i < N_SETS; i++) {
		size_t n = strlen(our_sets[i].name);

		if (strncmp(name, our_sets[i].name, n))
			continue;
		if (!strcmp(name + n, NEW))
			s->leftover[i] = true;
		if (name[n])
			continue;
		if (strcmp(type, our_sets[i].type) || strcmp(family, our_sets[i].family) ||
		    !strstr(header, " timeout ")) {
			snprintf(why, n_why,
				 "there is a set %s of type %s %s that is not ours: rename or "
				 "destroy it (ours is %s %s with timeout)",
				 name, type, family, our_sets[i].type, our_sets[i].family);
			return -EEXIST;
		}
		s->ours[i] = true;
	}
	return 0;
}

/* Which of our sets stand. @return 0, -EEXIST where one is somebody else's, -errno. */
static int find_sets(struct standing *s, char *why, size_t n_why)
{
	/* in the format of save, 7.17 lists all elements in spite of -t */
	static const char *const argv[] = { "ipset", "-t", "list", NULL };
	_cleanup_free_ char *out = NULL;
	int r = run_ipset(argv, NULL, 0, 0, &out, why, n_why);
	char *line, *save = NULL, name[64] = "", type[64] = "";

	*s = (struct standing){ 0 };
	for (line = out ? strtok_r(out, "\n", &save) : NULL; !r && line;
	     line = strtok_r(NULL, "\n", &save)) {
		sscanf(line, "Name: %63s", name);
		sscanf(line, "Type: %63s", type);
		if (!strncmp(line, "Header: ", 8))
			r = look_at(name, type, line + 8, s, why, n_why);
	}
	return r;
}

/* --- Applying --------------------------------------------------------------------------------- */

/* Addresses as ipset lists them: alone where they are whole. */
static const char *element(const uint8_t addr[16], uint8_t bits, char buf[FG_IP_TEXT])
{
	return fg_ip_prefix(addr, bits, buf);
}

static void put_element(FILE *out, const struct fg_held *held, const char *suffix, uint64_t now_ns)
{
	char buf[FG_IP_TEXT];

	fprintf(out, "add %s%s %s timeout %llu comment \"verdict %lld\"\n",
		our_sets[set_of(held->addr, held->bits)].name, suffix,
		element(held->addr, held->bits, buf),
		(unsigned long long)fg_left_s(held->until_ns, now_ns), (long long)held->verdict);
}

static void put_create(FILE *out, size_t i, const char *suffix)
{
	fprintf(out, "create %s%s %s family %s maxelem %u timeout %u counters comment\n",
		our_sets[i].name, suffix, our_sets[i].type, our_sets[i].family, FG_IPSET_MAX,
		DEFAULT_TIMEOUT_S);
}

static void write_whole(FILE *out, const struct standing *s, const struct fg_diff *diff,
			uint64_t now_ns)
{
	for (size_t i = 0; i < N_SETS; i++) {
		if (s->leftover[i])
			fprintf(out, "destroy %s" NEW "\n", our_sets[i].name);
		if (!s->ours[i])
			put_create(out, i, "");
		put_create(out, i, NEW);
	}
	for (size_t i = 0; i < diff->n; i++)
		put_element(out, diff->changes[i].held, NEW, now_ns);
	for (size_t i = 0; i < N_SETS; i++)
		fprintf(out, "swap %s" NEW " %s\ndestroy %s" NEW "\n", our_sets[i].name,
			our_sets[i].name, our_sets[i].name);
}

/* With -exist an element that stands takes the new end, and one that is gone may be deleted. */
static void write_differences(FILE *out, const struct fg_diff *diff, uint64_t now_ns)
{
	char buf[FG_IP_TEXT];

	for (size_t i = 0; i < diff->n; i++) {
		const struct fg_held *held = diff->changes[i].held;

		if (diff->changes[i].kind == FG_CHANGE_REMOVE)
			fprintf(out, "del %s %s\n", our_sets[set_of(held->addr, held->bits)].name,
				element(held->addr, held->bits, buf));
		else
			put_element(out, held, "", now_ns);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct fg_export_item *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	return order ? order : (int)x->bits - (int)y->bits;
}

/* How many of the two that it cannot hold are in the set, without a walk over all of it. */
static size_t count_unholdable(const struct fg_export_set *set)
{
	static const struct fg_export_item keys[] = {
		{ .bits = 0 },
		{ .addr = { [10] = 0xff, 0xff }, .bits = 96 },
	};
	size_t n = 0;

	for (size_t i = 0; set->n && i < 2; i++)
		n += bsearch(&keys[i], set->items, set->n, sizeof(keys[0]), by_key) != NULL;
	return n;
}

/* The items that it can hold; the set's own where that is all of them. */
static int choose(struct fg_ipset *t, const struct fg_export_set *set, struct fg_export_set *ret,
		  struct fg_export_item **ret_copy)
{
	t->unexportable = count_unholdable(set);
	ret->items = set->items;
	ret->n = set->n;
	*ret_copy = NULL;
	if (!t->unexportable)
		return 0;
	ret->items = *ret_copy = calloc(set->n, sizeof(*set->items));
	ret->n = 0;
	if (!ret->items)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++)
		if (is_holdable(&set->items[i]))
			ret->items[ret->n++] = set->items[i];
	return 0;
}

static int write_batch(struct fg_ipset *t, const struct fg_diff *diff, uint64_t now_ns, char *why,
		       size_t n_why)
{
	static const char *const argv[] = { "ipset", "-exist", "restore", NULL };
	_cleanup_free_ char *script = NULL;
	struct standing standing;
	size_t n_script = 0;
	FILE *out;
	int r = t->in_place ? 0 : find_sets(&standing, why, n_why);

	if (r)
		return r;
	out = open_memstream(&script, &n_script);
	if (out && t->in_place)
		write_differences(out, diff, now_ns);
	else if (out)
		write_whole(out, &standing, diff, now_ns);
	/* a script cut short by lack of memory must not run */
	if (!out || (ferror(out) | fclose(out))) {
		snprintf(why, n_why, "no memory for a script of %zu elements", diff->n);
		return -ENOMEM;
	}
	return run_ipset(argv, script, n_script, diff->n, NULL, why, n_why);
}

static int apply(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	_cleanup_(fg_diff_free) struct fg_diff diff = { 0 };
	_cleanup_free_ struct fg_export_item *copy = NULL;
	struct fg_export_set holdable = { 0 };
	struct fg_ipset *t = impl;
	int changes, r;

	if (!t->in_place)
		fg_shadow_clear(&t->shadow);
	r = choose(t, set, &holdable, &copy);
	if (!r)
		r = fg_diff_make(&t->shadow, &holdable, now_ns, true, &diff);
	if (r)
		return r;
	changes = (int)diff.n + !t->in_place;
	if (changes)
		r = write_batch(t, &diff, now_ns, why, n_why);
	t->in_place = !r;
	if (r)
		return r;
	fg_diff_done(&diff, &t->shadow);
	return changes;
}

/* --- Looking ---------------------------------------------------------------------------------- */

struct seen {
	size_t elements, strangers;
};

static void look_at_elements(const struct fg_ipset *t, char *listing, size_t i, struct seen *seen)
{
	char *line, *save = NULL, name[64], text[FG_IP_TEXT];
	uint8_t addr[16], bits;

	for (line = strtok_r(listing, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "add %63s %63s", name, text) != 2)
			continue;
		seen->elements++;
		if (strcmp(name, our_sets[i].name) || fg_ip_parse(text, addr, &bits) ||
		    !fg_shadow_find(&t->shadow, addr, bits))
			seen->strangers++;
	}
}

static int read_back(const struct fg_ipset *t, char *why, size_t n_why)
{
	struct seen seen = { 0 };

	for (size_t i = 0; i < N_SETS; i++) {
		const char *const argv[] = { "ipset", "save", our_sets[i].name, NULL };
		_cleanup_free_ char *out = NULL;
		int r = run_ipset(argv, NULL, 0, t->shadow.n, &out, why, n_why);

		if (r)
			return r;
		if (out)
			look_at_elements(t, out, i, &seen);
	}
	if (!seen.strangers &&
	    seen.elements + fg_shadow_due(&t->shadow, fg_unix_ns()) >= t->shadow.n)
		return 0;
	snprintf(why, n_why, "the sets hold %zu elements, %zu of them not ours, instead of %zu",
		 seen.elements, seen.strangers, t->shadow.n);
	return 1;
}

static int check(void *impl, bool full, char *why, size_t n_why)
{
	struct fg_ipset *t = impl;
	struct standing standing;
	int r;

	if (!t->in_place) {
		snprintf(why, n_why, "the sets are not written yet");
		return 1;
	}
	r = find_sets(&standing, why, n_why);
	for (size_t i = 0; !r && i < N_SETS; i++) {
		if (!standing.ours[i]) {
			snprintf(why, n_why, "set %s is gone", our_sets[i].name);
			r = 1;
		}
	}
	if (!r && full)
		r = read_back(t, why, n_why);
	if (r)
		t->in_place = false;
	return r;
}

static uint64_t unexportable(const void *impl)
{
	return ((const struct fg_ipset *)impl)->unexportable;
}

static void forget_ends(void *impl)
{
	struct fg_ipset *t = impl;

	fg_shadow_forget_ends(&t->shadow);
}

static void free_impl(void *impl)
{
	struct fg_ipset *t = impl;

	fg_ipset_free(&t);
}

const struct fg_target_ops fg_ipset_ops = {
	.name = "ipset",
	.apply = apply,
	.check = check,
	.forget_ends = forget_ends,
	.unexportable = unexportable,
	.free = free_impl,
};
