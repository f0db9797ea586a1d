/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decisions taken back. A decision kept how each of its subjects was before; where a subject is still as
 * the decision left it, that is put back. An undo keeps the same of its own, and is undone the same way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verdict/life.h"
#include "verdict/store_state.h"

struct job {
	struct fg_store *s;
	struct fg_undone *ret;
	char reason[160]; /* for the history of each subject */
};

/* Could the subject be again what it was? */
static bool may_return(const struct fg_effect *was, uint64_t now_ns)
{
	if (was->state == FG_STATE_STANDING)
		return was->until_ns > now_ns;
	return was->state != FG_STATE_GONE && was->kept_ns > now_ns;
}

/* The tier that it has now is for the allowlist to say. */
static int restore(struct fg_store *s, struct entry *e, const struct fg_effect *was)
{
	const struct fg_allow *a = fg_store_allow_on(s, was->addr, was->bits, s->now_ns);
	struct fg_verdict *v = &e->v;
	bool other_id = v->id != was->was_id;
	int r = fg_entry_remember(s, e);

	/* a block that took the place of one has another id */
	if (!r && other_id)
		r = fg_disk_drop_verdict(s->disk, v->id);
	if (r)
		return r;
	v->id = was->was_id;
	v->decision = was->was_decision;
	v->first_ns = was->first_ns;
	v->until_ns = was->until_ns;
	v->kept_ns = was->kept_ns;
	/* the clock may have gone back since */
	fg_life_bring_back(v, was->state, s->now_ns);
	if (v->origin == FG_ORIGIN_OPERATOR)
		memcpy(v->reason, was->reason, sizeof(v->reason));
	if (was->state == FG_STATE_STANDING)
		v->tier = a && v->earned > FG_TIER_ALERT ? FG_TIER_ALERT : v->earned;
	if (v->tier == FG_TIER_ENFORCE && v->origin == FG_ORIGIN_DETECTOR)
		v->reason[0] = '\0';
	if (other_id)
		r = fg_disk_put_verdict(s->disk, v, was->state);
	return r ? r : fg_entry_move(s, e, was->state);
}

static int undo_verdict(struct job *job, const struct fg_effect *was)
{
	const struct key key = { was->addr, was->bits, was->stem, was->stack, was->origin };
	struct fg_store *s = job->s;
	struct entry *e = fg_entry_find(s, &key);
	struct fg_effect own;
	bool returns = may_return(was, s->now_ns);
	int r;

	if (e && (e->v.id != was->id || e->v.decision != was->after)) {
		job->ret->overtaken++;
		return 0;
	}
	/* what does not stand now can only be made to stand */
	if (!e || (e->state == FG_STATE_STANDING ? !fg_entry_stands(s, e) : !returns)) {
		job->ret->expired++;
		return 0;
	}
	fg_effect_of(e, &own);
	r = returns ? restore(s, e, was) : fg_decision_end_entry(s, e, s->deciding);
	if (r)
		return r;
	own.id = e->v.id;
	own.after = e->v.decision;
	job->ret->done++;
	r = fg_effect_keep(s, &own);
	return r ? r : fg_entry_past(s, e, s->deciding, "undone", s->who, job->reason);
}

static int past_of(struct job *job, const struct fg_effect *was)
{
	const struct fg_past p = {
		.time_ns = job->s->now_ns,
		.addr = was->addr,
		.bits = was->bits,
		.id = job->s->deciding,
		.what = "undone",
		.who = job->s->who,
		.reason = job->reason,
	};

	return fg_disk_put_past(job->s->disk, &p);
}

static int put_back(struct fg_store *s, const struct fg_effect *was)
{
	struct allow allow = { .a = { .id = was->was_id,
				      .bits = was->bits,
				      .until_ns = was->until_ns,
				      .made_ns = was->first_ns,
				      .decision = was->was_decision } };

	memcpy(allow.a.addr, was->addr, sizeof(allow.a.addr));
	memcpy(allow.a.reason, was->reason, sizeof(allow.a.reason));
	/* as age_allow() has it */
	if (was->until_ns && was->first_ns > s->now_ns) {
		allow.a.until_ns -= was->first_ns - s->now_ns;
		allow.a.made_ns = s->now_ns;
	}
	return fg_allows_set(s, &allow);
}

static int undo_allow(struct job *job, const struct fg_effect *was)
{
	struct fg_store *s = job->s;
	size_t i = fg_allows_find(s, was->addr, was->bits, false);
	const struct fg_allow *a = i < s->n_allow ? &s->allow[i].a : NULL;
	bool returns = was->state == FG_STATE_STANDING &&
		       (!was->until_ns || was->until_ns > s->now_ns);
	struct fg_effect own;
	int r;

	if (a ? a->id != was->id || a->decision != was->after : was->id != 0) {
		job->ret->overtaken++;
		return 0;
	}
	if (a ? a->until_ns && a->until_ns <= s->now_ns : !returns) {
		job->ret->expired++;
		return 0;
	}
	if (a)
		fg_effect_of_allow(&s->allow[i], &own);
	else
		own = *was;
	if (!a)
		own.state = FG_STATE_GONE;
	own.id = returns ? was->was_id : 0;
	own.after = returns ? was->was_decision : 0;
	r = fg_effect_keep(s, &own);
	if (!r)
		r = returns ? put_back(s, was) : fg_allows_drop(s, i);
	if (!r)
		r = fg_allows_apply(s, was->addr, was->bits, true, s->who);
	job->ret->done++;
	return r ? r : past_of(job, was);
}

static int undo_one(void *arg, const struct fg_effect *was)
{
	return was->allow ? undo_allow(arg, was) : undo_verdict(arg, was);
}

/* An undo that is undone leaves its decision as if it had not been. */
static int mark(struct fg_store *s, const struct fg_decision *d)
{
	int r = fg_disk_set_undone(s->disk, d->id, s->deciding);

	return r || !d->undoes ? r : fg_disk_set_undone(s->disk, d->undoes, 0);
}

int fg_decision_undo(struct fg_store *store, int64_t id, const char *name, const char *reason,
		     uint64_t now_ns, struct fg_undone *ret)
{
	struct fg_decision own = { .what = "undo", .time_ns = now_ns, .undoes = id };
	struct job job = { .s = store, .ret = ret };
	const struct fg_decision *d = &ret->decision;
	int r;

	*ret = (struct fg_undone){ 0 };
	r = fg_disk_get_decision(store->disk, id, &ret->decision);
	if (r)
		return r;
	if (d->undone_by)
		return -EALREADY;
	snprintf(own.subject, sizeof(own.subject), "%s %.60s", d->what, d->subject);
	snprintf(own.reason, sizeof(own.reason), "%s", reason ? reason : "");
	snprintf(job.reason, sizeof(job.reason), "decision %lld: %s %.80s", (long long)id, d->what,
		 d->subject);
	r = fg_decision_open(store, &own, name);
	if (r)
		return r;
	ret->id = own.id;
	r = fg_disk_effects(store->disk, id, undo_one, &job);
	if (!r && !ret->done)
		r = -ESTALE;
	if (!r)
		r = mark(store, d);
	return fg_decision_end(store, r);
}
