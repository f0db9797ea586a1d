/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "verdict/guard.h"

#include <math.h>
#include <string.h>

#include "farmgate/hash.h"
#include "lib/ip.h"

const struct fg_guard_conf fg_guard_defaults = {
	.collateral = FG_GUARD_COLLATERAL,
	.max_blocks = FG_GUARD_MAX_BLOCKS,
	.max_blocks_network = FG_GUARD_MAX_BLOCKS_NETWORK,
	.max_harm = FG_GUARD_MAX_HARM,
	.holdback = FG_GUARD_HOLDBACK,
};

static const struct {
	const char *name, *says;
} guards[_FG_GUARD_MAX] = { [FG_GUARD_none] = { NULL, "" },
#define FG_GUARD_TEXT(name, says) [FG_GUARD_##name] = { #name, says },
			    FG_GUARDS(FG_GUARD_TEXT)
#undef FG_GUARD_TEXT
};

const char *fg_guard_name(enum fg_guard guard)
{
	return guards[guard].name;
}

const char *fg_guard_says(enum fg_guard guard)
{
	return guards[guard].says;
}

const char *fg_scope_name(enum fg_scope scope)
{
	static const char *const names[_FG_SCOPE_MAX] = { "client", "source", "prefix" };

	return names[scope];
}

static uint8_t source_bits(const uint8_t addr[16])
{
	return fg_ip_is4(addr) ? 128 : 64;
}

enum fg_scope fg_scope_of(const struct fg_verdict *v)
{
	if (v->stem)
		return FG_SCOPE_CLIENT;
	return v->bits == source_bits(v->addr) ? FG_SCOPE_SOURCE : FG_SCOPE_PREFIX;
}

double fg_collateral_share(const struct fg_collateral *c)
{
	if (!c->known)
		return 1;
	return c->turns ? (double)c->other_turns / (double)c->turns : 0;
}

static bool is_canonical(const struct fg_verdict *v)
{
	uint8_t masked[16];

	if (v->bits > 128)
		return false;
	memcpy(masked, v->addr, 16);
	fg_ip_mask(masked, v->bits);
	return !memcmp(masked, v->addr, 16);
}

static bool is_held_back(const struct fg_guard_case *c, const struct fg_guard_conf *conf)
{
	/* 2^64 would not fit: the largest draws are held back at a share of 1 only */
	return conf->holdback >= 1 || (double)c->draw < conf->holdback * 0x1p64;
}

/* Wider than what the agent itself takes for one source. */
static bool is_wide(const struct fg_verdict *v)
{
	return v->bits < source_bits(v->addr);
}

/* Both forms of one verdict differ in a few guards only; the order is that of FG_GUARDS. */
static enum fg_guard ask(const struct fg_guard_case *c, const struct fg_guard_conf *conf,
			 bool as_address)
{
	const struct fg_verdict *v = c->verdict;
	const struct fg_collateral *who = c->collateral;

	if (c->allowed)
		return FG_GUARD_allowed;
	if (!is_canonical(v))
		return FG_GUARD_not_canonical;
	if (v->origin == FG_ORIGIN_OPERATOR)
		return as_address && v->stem ? FG_GUARD_client_only : FG_GUARD_none;
	if (c->allow_unread)
		return FG_GUARD_allow_files;
	if (!v->proven)
		return FG_GUARD_not_proven;
	/* a client block does no harm to neighbours */
	if (as_address && (v->shared || who->shared))
		return FG_GUARD_shared;
	/* who blocks the address blocks the client too */
	if (who->known && who->hosts > FG_GUARD_CROWD * (who->clients ? who->clients : 1))
		return FG_GUARD_crowd;
	if (as_address && fg_collateral_share(who) > conf->collateral)
		return FG_GUARD_collateral;
	if (is_held_back(c, conf))
		return FG_GUARD_holdback;
	return is_wide(v) ? FG_GUARD_two_step : FG_GUARD_none;
}

enum fg_guard fg_guard_block(const struct fg_guard_case *c, const struct fg_guard_conf *conf)
{
	return ask(c, conf, !c->verdict->stem);
}

enum fg_guard fg_guard_address(const struct fg_guard_case *c, const struct fg_guard_conf *conf)
{
	return ask(c, conf, true);
}

uint64_t fg_guard_draw(const uint64_t seed[4], const uint8_t addr[16], uint64_t stem)
{
	__u64 keys[4], words[2];

	memcpy(keys, seed, sizeof(keys));
	memcpy(words, addr, sizeof(words));
	return fg_hash_client(keys, words, stem, 0);
}

/* --- Caps ------------------------------------------------------------------------------------- */

void fg_guard_wish_add(struct fg_guard_wish *wish, double est_fdr, const struct fg_collateral *who,
		       bool address)
{
	double fdr = est_fdr >= 0 && est_fdr <= 1 ? est_fdr : 1;

	wish->blocks++;
	wish->false_turns += fdr * (double)who->own_turns;
	/* who is not known is not among all sources either */
	if (who->known)
		wish->false_sources += fmax(fdr, FG_GUARD_LEAST_FDR);
	if (address)
		wish->clean_turns += who->other_turns;
}

double fg_guard_harm(const struct fg_guard_wish *w)
{
	double turns = w->false_turns + (double)w->clean_turns;
	double of_turns = w->all_turns ? turns / (double)w->all_turns : turns > 0;
	double of_sources = w->all_sources ? w->false_sources / (double)w->all_sources : 0;

	return fmin(fmax(of_turns, of_sources), 1);
}

uint64_t fg_guard_clean_budget(uint64_t all_turns, const struct fg_guard_conf *conf)
{
	return (uint64_t)(conf->max_harm / 2 * (double)all_turns);
}

static enum fg_guard exceeded(uint64_t blocks, double harm, const struct fg_guard_conf *conf)
{
	if (blocks > conf->max_blocks)
		return FG_GUARD_max_blocks;
	return harm > conf->max_harm ? FG_GUARD_max_harm : FG_GUARD_none;
}

enum fg_guard fg_trip_step(struct fg_trip *t, const struct fg_guard_wish *wish,
			   const struct fg_guard_conf *conf, uint64_t now_ns)
{
	double harm = fg_guard_harm(wish);
	enum fg_guard by = exceeded(wish->blocks, harm, conf);

	if (t->by == FG_GUARD_none) {
		if (by != FG_GUARD_none)
			*t = (struct fg_trip){ by, now_ns, 0, wish->blocks, harm };
		return t->by;
	}
	if (2 * wish->blocks > conf->max_blocks || 2 * harm > conf->max_harm) {
		t->calm_ns = 0;
		return t->by;
	}
	/* a clock that was set back begins the hour anew */
	if (!t->calm_ns || now_ns < t->calm_ns)
		t->calm_ns = now_ns;
	if (now_ns - t->calm_ns >= FG_GUARD_CALM_NS)
		*t = (struct fg_trip){ FG_GUARD_none, 0, 0, 0, 0 };
	return t->by;
}

bool fg_guard_network_held(uint64_t wished, bool held, const struct fg_guard_conf *conf)
{
	return wished > conf->max_blocks_network || (held && 2 * wished > conf->max_blocks_network);
}
