/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/guarded.h"

#include <stdio.h>
#include <string.h>

static bool ask(const struct fg_view *v, const struct fg_verdict *verdict, struct fg_guarded *ret)
{
	return v->guarded && v->guarded(v->agent, verdict, ret);
}

/* --- One verdict -------------------------------------------------------------------------------- */

static void write_collateral(struct fg_jsonw *w, const struct fg_collateral *c)
{
	fg_jsonw_key(w, "collateral");
	if (!c->known) {
		fg_jsonw_null(w);
		return;
	}
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "clients", c->clients);
	fg_jsonw_key_u64(w, "other_clients", c->other_clients);
	fg_jsonw_key_u64(w, "other_stems", c->other_stems);
	fg_jsonw_key_u64(w, "hosts", c->hosts);
	fg_jsonw_key_u64(w, "turns", c->turns);
	fg_jsonw_key_u64(w, "other_turns", c->other_turns);
	fg_jsonw_key_double(w, "share", fg_collateral_share(c));
	fg_jsonw_object_end(w);
}

void fg_guarded_write(struct fg_jsonw *w, const struct fg_view *v, const struct fg_verdict *verdict)
{
	struct fg_guarded g = { .scope = fg_scope_of(verdict) };

	if (!ask(v, verdict, &g))
		g.held = g.address_held = FG_GUARD_none;
	fg_jsonw_key_string(w, "scope", fg_scope_name(g.scope));
	fg_jsonw_key(w, "held");
	fg_jsonw_string(w, fg_guard_name(g.held));
	fg_jsonw_key(w, "address_held");
	fg_jsonw_string(w, fg_guard_name(g.address_held));
	write_collateral(w, &g.collateral);
}

/* "shared (6 stems)": a guard with the figure that it goes by. */
static void name_with_figure(enum fg_guard guard, const struct fg_collateral *c, char *text,
			     size_t n)
{
	switch (guard) {
	case FG_GUARD_shared:
		snprintf(text, n, "shared (%u stems)", c->stems);
		break;
	case FG_GUARD_crowd:
		snprintf(text, n, "crowd (%u hosts, %u clients)", c->hosts, c->clients);
		break;
	case FG_GUARD_collateral:
		if (c->known)
			snprintf(text, n, "collateral (others make %.1f %% of what comes from it)",
				 100 * fg_collateral_share(c));
		else
			snprintf(text, n, "collateral (nothing is known of others there)");
		break;
	default:
		snprintf(text, n, "%s", fg_guard_name(guard));
	}
}

static void say_address(struct fg_jsonw *w, const struct fg_guarded *g)
{
	const struct fg_collateral *c = &g->collateral;
	char what[96];

	if (g->address_held != FG_GUARD_none) {
		name_with_figure(g->address_held, c, what, sizeof(what));
		fg_jsonw_stringf(w, "Its address would not leave, because %s: %s.",
				 fg_guard_says(g->address_held), what);
		return;
	}
	if (!c->known) {
		fg_jsonw_string(w, "Its address would leave, to firewalls that know no clients; "
				   "nothing is known of others there.");
		return;
	}
	fg_jsonw_stringf(
		w,
		"Its address would leave, to firewalls that know no clients: of %llu "
		"connections and exchanges there %llu (%.1f %%) are others', of %u clients "
		"with %u other stems.",
		(unsigned long long)c->turns, (unsigned long long)c->other_turns,
		100 * fg_collateral_share(c), c->other_clients, c->other_stems);
}

void fg_guarded_say(struct fg_jsonw *w, const struct fg_view *v, const struct fg_verdict *verdict)
{
	struct fg_guarded g;
	char what[96];

	if (!ask(v, verdict, &g))
		return;
	if (g.held != FG_GUARD_none && g.held != FG_GUARD_tier) {
		name_with_figure(g.held, &g.collateral, what, sizeof(what));
		fg_jsonw_stringf(w, "It would not be blocked, because %s: %s.",
				 fg_guard_says(g.held), what);
		return;
	}
	fg_jsonw_stringf(w, "%s as a %s%s.",
			 g.held == FG_GUARD_tier ? "In tier enforce it would be blocked" :
						   "It would be blocked",
			 fg_scope_name(g.scope),
			 g.scope == FG_SCOPE_CLIENT ? ": others behind its source go on" : "");
	/* what holds the address beside the tier is news, the tier itself is said */
	if (g.address_held == FG_GUARD_tier)
		g.address_held = FG_GUARD_none;
	if (g.scope != FG_SCOPE_PREFIX && verdict->origin != FG_ORIGIN_OPERATOR)
		say_address(w, &g);
}

/* --- Many --------------------------------------------------------------------------------------- */

/* "shared 3, holdback 1"; "" where nothing is held. */
static const char *list_held(const uint64_t held[_FG_GUARD_MAX], char *text, size_t n)
{
	size_t used = 0;

	text[0] = '\0';
	for (int g = FG_GUARD_none + 1; g < _FG_GUARD_MAX && used < n; g++)
		if (held[g])
			used += (size_t)snprintf(text + used, n - used, "%s%s %llu",
						 used ? ", " : "", fg_guard_name((enum fg_guard)g),
						 (unsigned long long)held[g]);
	return text;
}

void fg_guarded_say_cohort(struct fg_jsonw *w, const struct fg_view *v, uint32_t cohort)
{
	struct fg_guard_report r;
	char text[256];

	if (!v->guard_report || !v->guard_report(v->agent, cohort, &r))
		return;
	fg_jsonw_stringf(w,
			 "In tier enforce %llu of its members would be blocked, and %llu of their "
			 "addresses would leave to firewalls that know no clients.",
			 (unsigned long long)r.blocks, (unsigned long long)r.addresses);
	if (list_held(r.held, text, sizeof(text))[0])
		fg_jsonw_stringf(w, "Members that would not be blocked: %s.", text);
	if (list_held(r.address_held, text, sizeof(text))[0])
		fg_jsonw_stringf(w, "Addresses that would not leave: %s.", text);
}

static void write_counts(struct fg_jsonw *w, const char *key, const uint64_t held[_FG_GUARD_MAX])
{
	fg_jsonw_key(w, key);
	fg_jsonw_object(w);
	/* tier is what asks, and holds none of those that are asked about */
	for (int g = FG_GUARD_none + 1; g < FG_GUARD_tier; g++)
		fg_jsonw_key_u64(w, fg_guard_name((enum fg_guard)g), held[g]);
	fg_jsonw_object_end(w);
}

/* Turns in an hour of one verdict: of those that are held back what a block takes away can be read off. */
static void write_group(struct fg_jsonw *w, const char *key, const struct fg_guard_group *g)
{
	fg_jsonw_key(w, key);
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "verdicts", g->verdicts);
	fg_jsonw_key_u64(w, "turns", g->turns);
	fg_jsonw_key(w, "turns_an_hour");
	if (g->hours > 0)
		fg_jsonw_double(w, (double)g->turns / g->hours);
	else
		fg_jsonw_null(w);
	fg_jsonw_object_end(w);
}

static void write_files(struct fg_jsonw *w, const struct fg_view *v)
{
	fg_jsonw_key(w, "allow_files");
	fg_jsonw_array(w);
	for (size_t i = 0; i < v->n_allow_files; i++) {
		const struct fg_view_allow_file *f = &v->allow_files[i];

		fg_jsonw_object(w);
		fg_jsonw_key_string(w, "file", f->path);
		fg_jsonw_key_u64(w, "prefixes", f->prefixes);
		fg_jsonw_key(w, "fault");
		fg_jsonw_string(w, f->fault[0] ? f->fault : NULL);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
}

void fg_guarded_write_state(struct fg_jsonw *w, const struct fg_view *v)
{
	struct fg_guard_report r;

	write_files(w, v);
	if (!v->guard_report || !v->guard_report(v->agent, 0, &r))
		return;
	fg_jsonw_key(w, "blocks");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "total", r.blocks);
	fg_jsonw_key_u64(w, "automatic", r.automatic);
	fg_jsonw_key_u64(w, "clients", r.clients);
	fg_jsonw_key_u64(w, "addresses", r.addresses);
	fg_jsonw_key_double(w, "expected_harm", r.harm);
	fg_jsonw_object_end(w);
	write_counts(w, "guards", r.held);
	write_counts(w, "address_guards", r.address_held);
	fg_jsonw_key(w, "holdback");
	fg_jsonw_object(w);
	fg_jsonw_key_double(w, "share", v->holdback);
	write_group(w, "held_back", &r.held_back);
	write_group(w, "enforced", &r.enforced);
	fg_jsonw_object_end(w);
	fg_jsonw_key_bool(w, "tripped", r.trip.by != FG_GUARD_none);
}
