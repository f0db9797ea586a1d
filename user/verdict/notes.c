/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What detectors say: a finding becomes a verdict, renews it, or tells nothing new. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/ip.h"
#include "verdict/life.h"
#include "verdict/store_state.h"

/* Numbers inside a reason or in evidence move each second; only another kind is worth a write. */
static bool is_same_kind(const struct fg_verdict *a, const struct fg_verdict *b)
{
	size_t n = strcspn(a->reason, ":");

	if (a->cohort != b->cohort || a->tier != b->tier || a->earned != b->earned ||
	    a->proven != b->proven || a->shared != b->shared || a->n_evidence != b->n_evidence ||
	    n != strcspn(b->reason, ":") || memcmp(a->reason, b->reason, n))
		return false;
	for (size_t i = 0; i < a->n_evidence; i++)
		if (a->evidence[i].family != b->evidence[i].family ||
		    strcmp(a->evidence[i].name, b->evidence[i].name))
			return false;
	return true;
}

static void describe(const struct fg_finding *f, const struct fg_names *names, struct fg_verdict *v)
{
	v->proven = f->proven;
	v->shared = f->shared;
	v->cohort = f->cohort;
	/* members are clients; who is flagged by itself is so with all its clients */
	if (f->cohort) {
		v->stem = f->stem;
		v->stack = f->stack;
	}
	v->score = f->score;
	v->window_s = f->window_s;
	v->n_obs = f->n_obs;
	v->alpha = f->alpha;
	v->est_fdr = f->est_fdr;
	snprintf(v->version, sizeof(v->version), "%s", FG_VERSION);
	memcpy(v->ja4, names->ja4, sizeof(v->ja4));
	memcpy(v->stem_text, names->stem_text, sizeof(v->stem_text));
	memcpy(v->stack_text, names->stack_text, sizeof(v->stack_text));
	v->n_evidence = f->n_evidence;
	memcpy(v->evidence, f->evidence, v->n_evidence * sizeof(v->evidence[0]));
}

/* v is what e becomes. again: why it is flagged once more, "" = it never was. @return 1 new, 0 renewed,
 * -errno. */
static int change(struct fg_store *s, struct entry *e, struct fg_verdict *v, bool fresh,
		  const char *again)
{
	enum fg_tier before = e ? e->v.tier : FG_TIER_OBSERVE;
	const char *what = fresh ? "flagged" : v->tier > before ? "raised" : "lowered";
	const char *reason = v->reason[0] ? v->reason : v->evidence[0].text;
	char text[256];
	int r = fg_store_enter(s);

	if (r)
		return r;
	if (again[0])
		snprintf(text, sizeof(text), "again: %s", again);
	r = fg_entry_replace(s, &e, v, fresh);
	if (!r && (fresh || v->tier != before))
		r = fg_entry_past(s, e, 0, what, "detector", again[0] ? text : reason);
	return fg_store_leave(s, r ? r : fresh);
}

/* Room for a newcomer: of what cools the oldest gives way. @return 1, 0 where there is none, -errno. */
static int make_room(struct fg_store *s)
{
	struct entry **cooling = s->lists[FG_STATE_COOLING];
	int r;

	if (s->n_origin[FG_ORIGIN_DETECTOR] - s->n_given_way < FG_MAX_VERDICTS)
		return 1;
	while (s->give_way < s->n[FG_STATE_COOLING] &&
	       cooling[s->give_way]->state != FG_STATE_COOLING)
		s->give_way++;
	if (s->give_way == s->n[FG_STATE_COOLING])
		return 0;
	r = fg_entry_past(s, cooling[s->give_way], 0, "expired", "clock",
			  "gave way: the store is full");
	if (!r)
		r = fg_entry_move(s, cooling[s->give_way], FG_STATE_GONE);
	s->n_given_way += !r;
	return r ? r : 1;
}

/* What was known of the subject decides whether it is flagged, and as what. @return 1 flagged for the
 * first time or again, 0 renewed, -EALREADY it stays as an operator left it. */
static int look_back(const struct fg_store *s, const struct entry *e, const struct fg_finding *f,
		     struct fg_verdict *v, char again[160])
{
	again[0] = '\0';
	if (!e)
		return 1;
	if (e->state == FG_STATE_ENDED && e->v.kept_ns > s->now_ns)
		return fg_life_is_news(&e->v, f, again) ? 1 : -EALREADY;
	if (fg_entry_stands(s, e)) {
		v->id = e->v.id;
		v->first_ns = e->v.first_ns;
		v->strikes = e->v.strikes;
		v->decision = e->v.decision;
		return 0;
	}
	if (e->state == FG_STATE_ENDED || fg_life_cooled_ns(&e->v) <= s->now_ns)
		return 1;
	v->strikes = e->v.strikes;
	v->enforced = e->v.enforced;
	/* one that is found at the very end was never quiet */
	if (e->state == FG_STATE_COOLING || s->now_ns - e->v.until_ns >= FG_CALM_S * NS_PER_S) {
		v->strikes++;
		snprintf(again, 160, "it came back while it cooled, strike %u", v->strikes);
	}
	return 1;
}

static void judge(const struct fg_store *s, const struct fg_finding *f, const struct entry *before,
		  bool enforce, struct fg_verdict *v)
{
	const struct fg_allow *a = fg_store_allow_on(s, v->addr, v->bits, s->now_ns);
	enum fg_objection why_not = fg_life_objection(f, enforce, v->reason);
	bool once_enforced = v->enforced;

	fg_life_judge(v, before ? &before->v : NULL, why_not, fg_life_is_hourly(f), a != NULL,
		      s->now_ns);
	v->enforced |= once_enforced;
	if (a)
		snprintf(v->reason, sizeof(v->reason), "allowlisted: %.140s", a->reason);
}

/* e is NULL where it is new. */
static int note(struct fg_store *s, struct entry *e, const struct fg_finding *f,
		struct fg_verdict *v, bool enforce, uint32_t ttl_s)
{
	uint32_t wait_s = fg_life_is_hourly(f) ? FG_MEMBER_WAIT_S : 0;
	char again[160];
	int fresh = look_back(s, e, f, v, again);
	uint64_t ttl_ns = fg_life_ttl_ns(ttl_s, wait_s, v->strikes);
	bool same;

	if (fresh < 0)
		return 0;
	v->until_ns = s->now_ns + ttl_ns;
	if (fresh)
		v->first_ns = s->now_ns;
	else if (v->until_ns < e->v.until_ns)
		v->until_ns = e->v.until_ns;
	judge(s, f, fresh ? NULL : e, enforce, v);
	same = !fresh && is_same_kind(&e->v, v) && e->v.until_ns - s->now_ns >= ttl_ns / 4 * 3;
	if (!same)
		return change(s, e, v, fresh, again);
	v->until_ns = e->v.until_ns;
	if (v->sure_until_ns > v->until_ns)
		v->sure_until_ns = v->until_ns;
	e->v = *v;
	return 0;
}

int fg_store_note(struct fg_store *store, const struct fg_finding *finding,
		  const struct fg_names *names, bool enforce, uint32_t ttl_s, uint64_t now_ns)
{
	struct fg_verdict v = { .origin = FG_ORIGIN_DETECTOR };
	struct key key = { v.addr, 0, 0, 0, FG_ORIGIN_DETECTOR };
	struct entry *e;
	int r;

	if (finding->n_evidence > FG_MAX_EVIDENCE ||
	    !fg_evidence_is_whole(finding->evidence, finding->n_evidence))
		return -EINVAL;
	store->now_ns = now_ns;
	describe(finding, names, &v);
	fg_ip_to_source(finding->source, v.addr, &v.bits);
	v.updated_ns = now_ns;
	key.bits = v.bits;
	key.stem = v.stem;
	key.stack = v.stack;
	e = fg_entry_find(store, &key);
	if (e)
		return note(store, e, finding, &v, enforce, ttl_s);
	/* what gives way, does so for this one only */
	r = fg_store_enter(store);
	if (r)
		return r;
	r = make_room(store);
	if (!r)
		store->refused++;
	if (r > 0)
		r = note(store, NULL, finding, &v, enforce, ttl_s);
	return fg_store_leave(store, r);
}
