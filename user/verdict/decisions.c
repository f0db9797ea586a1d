/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What operators decide: one transaction each, with a row for the audit and one for every subject as it
 * was before. */
#include "verdict/decisions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/ip.h"
#include "verdict/life.h"
#include "verdict/store_state.h"

int fg_decision_open(struct fg_store *s, struct fg_decision *d, const char *name)
{
	int r = s->deciding ? -EBUSY : fg_store_enter(s);

	if (r)
		return r;
	d->id = s->next_id++;
	snprintf(d->who, sizeof(d->who), "operator%s%.50s", name && name[0] ? ":" : "",
		 name ? name : "");
	s->now_ns = d->time_ns;
	s->deciding = d->id;
	s->n_effects = 0;
	memcpy(s->who, d->who, sizeof(s->who));
	memcpy(s->reason, d->reason, sizeof(s->reason));
	r = fg_disk_put_decision(s->disk, d);
	return r ? fg_decision_end(s, r) : 0;
}

int fg_decision_begin(struct fg_store *store, const char *what, const char *name,
		      const char *subject, const char *reason, uint64_t now_ns)
{
	struct fg_decision d = { .time_ns = now_ns };

	snprintf(d.what, sizeof(d.what), "%s", what);
	snprintf(d.subject, sizeof(d.subject), "%s", subject);
	snprintf(d.reason, sizeof(d.reason), "%s", reason ? reason : "");
	return fg_decision_open(store, &d, name);
}

int64_t fg_decision_id(const struct fg_store *store)
{
	return store->deciding;
}

int fg_decision_end(struct fg_store *store, int r)
{
	store->deciding = 0;
	return fg_store_leave(store, r);
}

int fg_decision_find(struct fg_store *store, int64_t id, struct fg_decision *ret)
{
	return fg_disk_get_decision(store->disk, id, ret);
}

int fg_decisions_on(struct fg_store *store, const char *subject, fg_decision_fn fn, void *arg)
{
	return fg_disk_decisions(store->disk, subject, fn, arg);
}

/* --- How a subject was before ------------------------------------------------------------------ */

void fg_effect_of(const struct entry *e, struct fg_effect *ret)
{
	const struct fg_verdict *v = &e->v;

	*ret = (struct fg_effect){
		.bits = v->bits,
		.stem = v->stem,
		.stack = v->stack,
		.origin = v->origin,
		.id = v->id,
		.state = e->state,
		.was_id = v->id,
		.was_decision = v->decision,
		.first_ns = v->first_ns,
		.until_ns = v->until_ns,
		.kept_ns = v->kept_ns,
	};
	memcpy(ret->addr, v->addr, sizeof(ret->addr));
	snprintf(ret->reason, sizeof(ret->reason), "%s", v->reason);
}

void fg_effect_of_allow(const struct allow *allow, struct fg_effect *ret)
{
	*ret = (struct fg_effect){
		.allow = true,
		.bits = allow->a.bits,
		.state = FG_STATE_STANDING,
		.was_id = allow->a.id,
		.was_decision = allow->a.decision,
		.first_ns = allow->a.made_ns,
		.until_ns = allow->a.until_ns,
	};
	memcpy(ret->addr, allow->a.addr, sizeof(ret->addr));
	snprintf(ret->reason, sizeof(ret->reason), "%s", allow->a.reason);
}

int fg_effect_keep(struct fg_store *s, const struct fg_effect *effect)
{
	return fg_disk_put_effect(s->disk, s->deciding, s->n_effects++, effect);
}

/* --- Block ----------------------------------------------------------------------------------- */

bool fg_store_is_prefix(const uint8_t addr[16], uint8_t bits)
{
	uint8_t masked[16];

	if (bits > 128)
		return false;
	memcpy(masked, addr, 16);
	fg_ip_mask(masked, bits);
	return !memcmp(masked, addr, 16);
}

static bool is_too_wide(const uint8_t addr[16], uint8_t bits)
{
	return bits < (bits >= 96 && fg_ip_is4(addr) ? FG_MAX_BLOCK_BITS4 : FG_MAX_BLOCK_BITS6);
}

static void text(char *to, size_t n, const char *from)
{
	snprintf(to, n, "%s", from ? from : "");
}

static void fill(const struct fg_store *s, const struct fg_subject *b, uint32_t ttl_s,
		 struct fg_verdict *v)
{
	*v = (struct fg_verdict){
		.bits = b->bits,
		.stem = b->stem,
		.stack = b->stack,
		.cohort = b->cohort,
		.origin = FG_ORIGIN_OPERATOR,
		.tier = FG_TIER_ENFORCE,
		.earned = FG_TIER_ENFORCE,
		.enforced = true,
		.first_ns = s->now_ns,
		.updated_ns = s->now_ns,
		.until_ns = s->now_ns + ttl_s * NS_PER_S,
		.decision = s->deciding,
	};
	memcpy(v->addr, b->addr, sizeof(v->addr));
	text(v->ja4, sizeof(v->ja4), b->ja4);
	text(v->stem_text, sizeof(v->stem_text), b->stem_text);
	text(v->stack_text, sizeof(v->stack_text), b->stack_text);
	text(v->reason, sizeof(v->reason), s->reason);
}

int fg_decision_block(struct fg_store *store, const struct fg_subject *b, uint32_t ttl_s)
{
	const struct key key = { b->addr, b->bits, b->stem, b->stack, FG_ORIGIN_OPERATOR };
	struct fg_effect effect;
	struct fg_verdict v;
	struct entry *e;
	bool fresh, was;
	int r;

	if (!fg_store_is_prefix(b->addr, b->bits) || !ttl_s || ttl_s > FG_MAX_TTL_S)
		return -EINVAL;
	if (is_too_wide(b->addr, b->bits))
		return -ERANGE;
	if (fg_store_allowed(store, b->addr, b->bits, store->now_ns))
		return -EPERM;
	e = fg_entry_find(store, &key);
	if (!e && store->n_origin[FG_ORIGIN_OPERATOR] >= FG_MAX_VERDICTS)
		return -EDQUOT;
	if (e && e->v.decision == store->deciding)
		return 0;
	fresh = !e || !fg_entry_stands(store, e);
	fill(store, b, ttl_s, &v);
	was = e != NULL;
	if (was)
		fg_effect_of(e, &effect);
	if (!fresh) {
		v.id = e->v.id;
		v.first_ns = e->v.first_ns;
	}
	r = fg_entry_replace(store, &e, &v, fresh);
	if (r)
		return r;
	if (!was) {
		fg_effect_of(e, &effect);
		effect.state = FG_STATE_GONE;
	}
	effect.id = v.id;
	effect.after = store->deciding;
	r = fg_effect_keep(store, &effect);
	if (!r)
		r = fg_entry_past(store, e, store->deciding, "blocked", store->who, v.reason);
	return r ? r : 1;
}

/* --- Unblock --------------------------------------------------------------------------------- */

/* An operator's block is kept for as long as taking back its end could make it stand. */
int fg_decision_end_entry(struct fg_store *s, struct entry *e, int64_t decision)
{
	uint64_t week_ns = s->now_ns + FG_ENDED_S * NS_PER_S;
	int r = fg_entry_remember(s, e);

	if (r)
		return r;
	e->v.kept_ns = e->v.origin == FG_ORIGIN_OPERATOR ? e->v.until_ns : week_ns;
	e->v.decision = decision;
	return fg_entry_move(s, e, FG_STATE_ENDED);
}

/* What cools is ended, too: a case that an operator dropped after its time must not come back as before. */
static bool may_end(const struct fg_store *s, const struct entry *e)
{
	return fg_entry_stands(s, e) || e->state == FG_STATE_COOLING;
}

static int end(struct fg_store *s, struct entry *e)
{
	struct fg_effect effect;
	int r = fg_entry_past(s, e, s->deciding, "unblocked", s->who, s->reason);

	if (r)
		return r;
	fg_effect_of(e, &effect);
	effect.after = s->deciding;
	r = fg_effect_keep(s, &effect);
	return r ? r : fg_decision_end_entry(s, e, s->deciding);
}

int fg_decision_unblock(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint64_t stem)
{
	struct entry *e = *fg_entry_bucket(store, addr);
	int ended = 0, r = 0;

	for (; !r && e; e = e->next) {
		if (!may_end(store, e) || e->v.bits != bits || memcmp(e->v.addr, addr, 16) ||
		    (stem && e->v.stem != stem))
			continue;
		r = end(store, e);
		ended++;
	}
	return r ? r : ended;
}

int fg_decision_unblock_cohort(struct fg_store *store, uint32_t cohort)
{
	int ended = 0, r = 0;

	for (size_t list = 0; list < FG_STATE_GONE; list++) {
		for (size_t i = 0; !r && i < store->n[list]; i++) {
			struct entry *e = store->lists[list][i];

			if (e->v.cohort != cohort || !may_end(store, e))
				continue;
			r = end(store, e);
			ended++;
		}
	}
	return r ? r : ended;
}

/* --- Allow and disallow ------------------------------------------------------------------------ */

static int past_of(struct fg_store *s, const uint8_t addr[16], uint8_t bits, const char *what)
{
	const struct fg_past p = {
		.time_ns = s->now_ns,
		.addr = addr,
		.bits = bits,
		.id = s->deciding,
		.what = what,
		.who = s->who,
		.reason = s->reason,
	};

	return fg_disk_put_past(s->disk, &p);
}

int fg_decision_allow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint32_t ttl_s)
{
	size_t i = fg_allows_find(store, addr, bits, false);
	struct allow allow = {
		.a = { .bits = bits, .made_ns = store->now_ns, .decision = store->deciding }
	};
	struct fg_effect effect;
	int r;

	if (!fg_store_is_prefix(addr, bits))
		return -EINVAL;
	memcpy(allow.a.addr, addr, 16);
	allow.a.id = i < store->n_allow ? store->allow[i].a.id : store->next_id++;
	allow.a.until_ns = ttl_s ? store->now_ns + ttl_s * NS_PER_S : 0;
	text(allow.a.reason, sizeof(allow.a.reason), store->reason);
	fg_effect_of_allow(i < store->n_allow ? &store->allow[i] : &allow, &effect);
	if (i == store->n_allow)
		effect.state = FG_STATE_GONE;
	effect.id = allow.a.id;
	effect.after = store->deciding;
	r = fg_effect_keep(store, &effect);
	if (!r)
		r = fg_allows_set(store, &allow);
	if (!r)
		r = past_of(store, addr, bits, "allowed");
	return r ? r : fg_allows_apply(store, addr, bits, false, store->who);
}

int fg_decision_disallow(struct fg_store *store, const uint8_t addr[16], uint8_t bits)
{
	size_t i = fg_allows_find(store, addr, bits, false);
	struct fg_effect effect;
	int r;

	if (i == store->n_allow)
		return 0;
	fg_effect_of_allow(&store->allow[i], &effect);
	r = fg_effect_keep(store, &effect);
	if (!r)
		r = fg_allows_drop(store, i);
	if (!r)
		r = past_of(store, addr, bits, "disallowed");
	if (!r)
		r = fg_allows_apply(store, addr, bits, false, store->who);
	return r ? r : 1;
}

/* --- One subject, nobody's name ------------------------------------------------------------------ */

static int begin_on(struct fg_store *s, const char *what, const uint8_t addr[16], uint8_t bits,
		    const char *reason, uint64_t now_ns, int64_t *ret_id)
{
	char subject[FG_IP_TEXT];
	int r;

	if (!fg_store_is_prefix(addr, bits))
		return -EINVAL;
	r = fg_decision_begin(s, what, NULL, fg_ip_prefix(addr, bits, subject), reason, now_ns);
	if (!r && ret_id)
		*ret_id = s->deciding;
	return r;
}

int fg_store_block(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint64_t stem,
		   const char *stem_text, uint32_t ttl_s, const char *reason, uint64_t now_ns,
		   int64_t *ret_id)
{
	struct fg_subject b = { .bits = bits, .stem = stem, .stem_text = stem_text };
	int r = begin_on(store, "block", addr, bits, reason, now_ns, ret_id);

	if (r)
		return r;
	memcpy(b.addr, addr, sizeof(b.addr));
	r = fg_decision_end(store, fg_decision_block(store, &b, ttl_s));
	return r < 0 ? r : 0;
}

int fg_store_unblock(struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		     const char *reason, uint64_t now_ns)
{
	int r = begin_on(store, "unblock", addr, bits, reason, now_ns, NULL);

	if (r)
		return r;
	r = fg_decision_unblock(store, addr, bits, 0);
	/* what ended nothing was no decision */
	r = fg_decision_end(store, r ? r : -ENOENT);
	return r == -ENOENT ? 0 : r;
}

int fg_store_allow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint32_t ttl_s,
		   const char *reason, uint64_t now_ns, int64_t *ret_id)
{
	int r = begin_on(store, "allow", addr, bits, reason, now_ns, ret_id);

	return r ? r : fg_decision_end(store, fg_decision_allow(store, addr, bits, ttl_s));
}

int fg_store_disallow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint64_t now_ns)
{
	int r = begin_on(store, "disallow", addr, bits, "", now_ns, NULL);

	if (r)
		return r;
	r = fg_decision_disallow(store, addr, bits);
	r = fg_decision_end(store, r ? r : -ENOENT);
	return r == -ENOENT ? 0 : r;
}
