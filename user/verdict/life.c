/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "verdict/life.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_S 1000000000ULL

bool fg_life_is_client(const struct fg_finding *f)
{
	/* without a stack a block would be of all that share the stem */
	return f->cohort && f->stem && f->stack;
}

bool fg_life_is_hourly(const struct fg_finding *f)
{
	return f->cohort && !(f->cohort & FG_COMMUNITY);
}

enum fg_objection fg_life_objection(const struct fg_finding *f, bool enforce, char reason[160])
{
	reason[0] = '\0';
	if (!f->proven) {
		snprintf(reason, 160, "not proven: its address may be forged");
		return FG_OBJECTION_UNPROVEN;
	}
	if (f->shared && !fg_life_is_client(f)) {
		snprintf(reason, 160, "shared: %s", f->shared_why);
		return FG_OBJECTION_SHARED;
	}
	if (f->no_enforce) {
		snprintf(reason, 160, "not sure enough: %s", f->no_enforce_why);
		/* what the mode forbids is not held up by doubts */
		return enforce ? FG_OBJECTION_UNSURE : FG_OBJECTION_MODE;
	}
	if (!enforce) {
		snprintf(reason, 160, "mode is observe");
		return FG_OBJECTION_MODE;
	}
	return FG_OBJECTION_NONE;
}

uint64_t fg_life_ttl_ns(uint32_t ttl_s, uint32_t wait_s, uint32_t strikes)
{
	uint64_t s = ttl_s ? ttl_s : 1;

	for (; strikes && s < FG_MAX_TTL_S; strikes--)
		s *= FG_ESCALATION;
	s += wait_s;
	return (s > FG_MAX_TTL_S ? FG_MAX_TTL_S : s) * NS_PER_S;
}

static bool has_passed(uint64_t since_ns, uint64_t s, uint64_t now_ns)
{
	return now_ns >= since_ns && now_ns - since_ns >= s * NS_PER_S;
}

void fg_life_judge(struct fg_verdict *v, const struct fg_verdict *before, enum fg_objection why_not,
		   bool at_once, bool allowed, uint64_t now_ns)
{
	bool sure = why_not == FG_OBJECTION_NONE;
	bool forbidden = !sure && why_not != FG_OBJECTION_UNSURE;
	bool ripe = at_once || (before && has_passed(v->first_ns, FG_RIPE_S, now_ns));
	bool was = before && before->earned == FG_TIER_ENFORCE;
	bool calm;

	v->objected_ns = before ? before->objected_ns : 0;
	calm = !v->objected_ns || has_passed(v->objected_ns, FG_CALM_S, now_ns) ||
	       before->tier == FG_TIER_ENFORCE;
	if (forbidden || allowed)
		v->objected_ns = now_ns;
	v->sure_until_ns = before ? before->sure_until_ns : 0;
	v->earned = FG_TIER_ALERT;
	if (!forbidden &&
	    ((sure && (was || (ripe && calm && !allowed))) || (was && now_ns < v->sure_until_ns)))
		v->earned = FG_TIER_ENFORCE;
	if (sure && v->earned == FG_TIER_ENFORCE)
		v->sure_until_ns = v->until_ns;
	v->tier = allowed || !calm ? FG_TIER_ALERT : v->earned;
	v->enforced = (before && before->enforced) || v->tier == FG_TIER_ENFORCE;
	if (v->tier == FG_TIER_ENFORCE)
		v->reason[0] = '\0';
	else if (sure && !allowed && !ripe)
		snprintf(v->reason, sizeof(v->reason),
			 "waiting: it must still be there %d s after it was flagged", FG_RIPE_S);
	else if (sure && !allowed)
		snprintf(v->reason, sizeof(v->reason),
			 "waiting: something spoke against it in the last %d s", FG_CALM_S);
}

uint64_t fg_life_cooled_ns(const struct fg_verdict *v)
{
	return v->until_ns + (v->enforced ? FG_COOLING_ENFORCED_S : FG_COOLING_S) * NS_PER_S;
}

static bool had_family(const struct fg_verdict *v, enum fg_family family)
{
	for (size_t i = 0; i < v->n_evidence; i++)
		if (v->evidence[i].family == family)
			return true;
	return false;
}

bool fg_life_is_news(const struct fg_verdict *ended, const struct fg_finding *f, char what[160])
{
	for (size_t i = 0; i < f->n_evidence; i++) {
		if (had_family(ended, f->evidence[i].family))
			continue;
		snprintf(what, 160, "%s evidence (%s), which it had not when it was unblocked",
			 fg_family_name(f->evidence[i].family), f->evidence[i].name);
		return true;
	}
	if (!(f->score >= ended->score + FG_NEW_NATS))
		return false;
	snprintf(what, 160, "%.1f nats, %.1f more than when it was unblocked", f->score,
		 f->score - ended->score);
	return true;
}

/* It began to cool, or was ended, at the latest now. */
static uint64_t longest_kept_ns(const struct fg_verdict *v, enum fg_state state, uint64_t now_ns)
{
	uint64_t s = state == FG_STATE_ENDED ? FG_ENDED_S :
		     v->enforced	     ? FG_COOLING_ENFORCED_S :
					       FG_COOLING_S;

	return now_ns + s * NS_PER_S;
}

bool fg_life_is_ahead(const struct fg_verdict *v, enum fg_state state, uint64_t now_ns)
{
	return v->until_ns > now_ns + FG_MAX_TTL_S * NS_PER_S || v->first_ns > now_ns ||
	       v->updated_ns > now_ns || v->objected_ns > now_ns ||
	       (state != FG_STATE_STANDING && v->kept_ns > longest_kept_ns(v, state, now_ns));
}

static uint64_t at_most(uint64_t ns, uint64_t limit_ns)
{
	return ns < limit_ns ? ns : limit_ns;
}

void fg_life_bring_back(struct fg_verdict *v, enum fg_state state, uint64_t now_ns)
{
	uint64_t longest_ns = now_ns + FG_MAX_TTL_S * NS_PER_S;

	v->until_ns = at_most(v->until_ns, longest_ns);
	v->sure_until_ns = at_most(v->sure_until_ns, longest_ns);
	v->first_ns = at_most(v->first_ns, now_ns);
	v->updated_ns = at_most(v->updated_ns, now_ns);
	v->objected_ns = at_most(v->objected_ns, now_ns);
	v->kept_ns = at_most(v->kept_ns, longest_kept_ns(v, state, now_ns));
}
