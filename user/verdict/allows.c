/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The allowlist in memory, and what it holds down. A verdict that an allow touches is in tier alert at
 * most; what it would be otherwise it keeps (earned), so that no order of allows and blocks matters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "verdict/store_state.h"

/* Allow wins also where only a part is allowed: a block cannot leave that part out. */
static bool overlaps(const uint8_t a[16], uint8_t a_bits, const uint8_t b[16], uint8_t b_bits)
{
	return fg_ip_contains(a, a_bits, b, b_bits) || fg_ip_contains(b, b_bits, a, a_bits);
}

const struct fg_allow *fg_store_allow_on(const struct fg_store *s, const uint8_t addr[16],
					 uint8_t bits, uint64_t now_ns)
{
	for (size_t i = 0; i < s->n_allow; i++) {
		const struct fg_allow *a = &s->allow[i].a;

		if ((!a->until_ns || a->until_ns > now_ns) &&
		    overlaps(a->addr, a->bits, addr, bits))
			return a;
	}
	return fg_store_extra_allows(s, addr, bits, s->extra ? s->extra_hit->reason : NULL) ?
		       s->extra_hit :
		       NULL;
}

bool fg_store_extra_allows(const struct fg_store *store, const uint8_t addr[16], uint8_t bits,
			   char reason[160])
{
	return store->extra && store->extra(store->extra_arg, addr, bits, reason);
}

int fg_store_allow_extra(struct fg_store *store, fg_allow_fn fn, void *arg)
{
	if (!store->extra_hit)
		store->extra_hit = calloc(1, sizeof(*store->extra_hit));
	if (!store->extra_hit)
		return -ENOMEM;
	store->extra = fn;
	store->extra_arg = arg;
	return 0;
}

bool fg_store_allowed(const struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		      uint64_t now_ns)
{
	return fg_store_allow_on(store, addr, bits, now_ns) != NULL;
}

size_t fg_allows_find(const struct fg_store *s, const uint8_t addr[16], uint8_t bits, bool fixed)
{
	size_t i = 0;

	while (i < s->n_allow && (s->allow[i].fixed != fixed || s->allow[i].a.bits != bits ||
				  memcmp(s->allow[i].a.addr, addr, 16)))
		i++;
	return i;
}

int fg_allows_remember(struct fg_store *s)
{
	if (s->allow_saved)
		return 0;
	if (s->n_allow) {
		s->allow_before = calloc(s->n_allow, sizeof(*s->allow));
		if (!s->allow_before)
			return -ENOMEM;
		memcpy(s->allow_before, s->allow, s->n_allow * sizeof(*s->allow));
	}
	s->n_allow_before = s->n_allow;
	s->allow_saved = true;
	return 0;
}

int fg_allows_put(struct fg_store *s, const struct allow *allow)
{
	size_t i = fg_allows_find(s, allow->a.addr, allow->a.bits, allow->fixed);
	struct allow *grown;

	if (i == MAX_ALLOW)
		return -EDQUOT;
	grown = i < s->n_allow ? s->allow : reallocarray(s->allow, i + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->allow = grown;
	s->allow[i] = *allow;
	if (i == s->n_allow)
		s->n_allow++;
	return 0;
}

int fg_allows_set(struct fg_store *s, const struct allow *allow)
{
	int r = fg_allows_remember(s);

	if (!r)
		r = fg_allows_put(s, allow);
	if (r)
		return r;
	if (allow->a.until_ns && allow->a.until_ns < s->soonest_ns)
		s->soonest_ns = allow->a.until_ns;
	return fg_disk_put_allow(s->disk, &allow->a);
}

int fg_allows_drop(struct fg_store *s, size_t i)
{
	int r = fg_allows_remember(s);

	if (!r)
		r = fg_disk_drop_allow(s->disk, s->allow[i].a.id);
	if (r)
		return r;
	memmove(&s->allow[i], &s->allow[i + 1], (--s->n_allow - i) * sizeof(*s->allow));
	return 0;
}

static int lower(struct fg_store *s, struct entry *e, const struct fg_allow *a, const char *who)
{
	char why[sizeof(e->v.reason)];
	int r = fg_entry_remember(s, e);

	if (r)
		return r;
	e->v.tier = FG_TIER_ALERT;
	e->v.objected_ns = s->now_ns;
	/* why an operator blocked is not overwritten */
	snprintf(why, sizeof(why), "allowlisted: %.140s", a->reason);
	if (e->v.origin == FG_ORIGIN_DETECTOR)
		memcpy(e->v.reason, why, sizeof(why));
	r = fg_entry_write(s, e);
	return r ? r : fg_entry_past(s, e, s->deciding, "lowered", who, why);
}

static int raise_again(struct fg_store *s, struct entry *e, const char *who)
{
	int r = fg_entry_remember(s, e);

	if (r)
		return r;
	e->v.tier = e->v.earned;
	e->v.objected_ns = 0;
	if (e->v.origin == FG_ORIGIN_DETECTOR)
		e->v.reason[0] = '\0';
	r = fg_entry_write(s, e);
	return r ? r : fg_entry_past(s, e, s->deciding, "raised", who, "not allowlisted any more");
}

int fg_allows_apply(struct fg_store *s, const uint8_t addr[16], uint8_t bits, bool undone,
		    const char *who)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n[FG_STATE_STANDING]; i++) {
		struct entry *e = s->lists[FG_STATE_STANDING][i];
		const struct fg_allow *a;

		if (!fg_entry_stands(s, e) || e->v.earned <= FG_TIER_ALERT ||
		    !overlaps(addr, bits, e->v.addr, e->v.bits))
			continue;
		a = fg_store_allow_on(s, e->v.addr, e->v.bits, s->now_ns);
		if (a && e->v.tier > FG_TIER_ALERT)
			r = lower(s, e, a, who);
		else if (!a && e->v.tier < e->v.earned &&
			 (undone || e->v.origin == FG_ORIGIN_OPERATOR))
			r = raise_again(s, e, who);
	}
	return r;
}

int fg_store_allow_extra_changed(struct fg_store *store, uint64_t now_ns)
{
	static const uint8_t all6[16], all4[16] = { [10] = 0xff, [11] = 0xff };
	int r = fg_store_enter(store);

	if (r)
		return r;
	store->now_ns = now_ns;
	r = fg_allows_apply(store, all6, 0, false, CONFIGURATION);
	if (!r)
		r = fg_allows_apply(store, all4, 96, false, CONFIGURATION);
	return fg_store_leave(store, r);
}

int fg_store_allow_static(struct fg_store *store, const uint8_t addr[16], uint8_t bits)
{
	struct allow allow = { .a = { .bits = bits, .reason = CONFIGURATION }, .fixed = true };
	int r;

	if (!fg_store_is_prefix(addr, bits))
		return -EINVAL;
	memcpy(allow.a.addr, addr, 16);
	r = fg_store_enter(store);
	if (r)
		return r;
	r = fg_allows_remember(store);
	if (!r)
		r = fg_allows_put(store, &allow);
	if (!r)
		r = fg_allows_apply(store, addr, bits, false, CONFIGURATION);
	return fg_store_leave(store, r);
}

static int observe(struct fg_store *s, struct entry *e)
{
	bool told = e->state == FG_STATE_STANDING && e->v.tier > FG_TIER_ALERT;
	int r;

	if (e->state == FG_STATE_GONE || e->v.origin != FG_ORIGIN_DETECTOR ||
	    e->v.earned <= FG_TIER_ALERT)
		return 0;
	r = fg_entry_remember(s, e);
	if (r)
		return r;
	e->v.earned = FG_TIER_ALERT;
	if (e->v.tier > FG_TIER_ALERT) {
		e->v.tier = FG_TIER_ALERT;
		snprintf(e->v.reason, sizeof(e->v.reason), "mode is observe");
	}
	r = fg_entry_write(s, e);
	return r || !told ? r : fg_entry_past(s, e, 0, "lowered", CONFIGURATION, e->v.reason);
}

/* Also of what was ended: it may stand again. */
int fg_store_observe(struct fg_store *store)
{
	int r = fg_store_enter(store);

	if (r)
		return r;
	for (size_t list = 0; !r && list < FG_STATE_GONE; list++)
		for (size_t i = 0; !r && i < store->n[list]; i++)
			r = observe(store, store->lists[list][i]);
	return fg_store_leave(store, r);
}
