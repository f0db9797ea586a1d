/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "lib/ip.h"
#include "verdict/disk_tables.h"

/* --- History --------------------------------------------------------------------------------- */

int fg_disk_put_past(struct fg_disk *disk, const struct fg_past *past)
{
	sqlite3_stmt *s = disk->stmt[PUT_PAST];

	disk->past_grew = true;
	sqlite3_bind_int64(s, 1, (int64_t)past->time_ns);
	fg_disk_bind_addr(s, 2, past->addr);
	sqlite3_bind_int(s, 3, past->bits);
	sqlite3_bind_int64(s, 4, past->id);
	fg_disk_bind_text(s, 5, past->what);
	fg_disk_bind_text(s, 6, past->who);
	fg_disk_bind_text(s, 7, past->reason);
	return fg_disk_run(disk, PUT_PAST);
}

int fg_disk_history(struct fg_disk *disk, const uint8_t addr[16], fg_history_fn fn, void *arg)
{
	sqlite3_stmt *s = disk->stmt[LIST_PAST];
	int code = SQLITE_DONE, r = 0;

	for (int bits = 0; bits <= 128; bits++) {
		uint8_t masked[16];

		memcpy(masked, addr, 16);
		fg_ip_mask(masked, (uint8_t)bits);
		sqlite3_bind_blob(s, 1 + bits, masked, 16, SQLITE_TRANSIENT);
	}
	while (!r && (code = sqlite3_step(s)) == SQLITE_ROW) {
		uint8_t prefix[16], bits;

		/* found by its first address: a longer prefix may begin there too */
		if (!fg_disk_take_prefix(s, 1, prefix, &bits) ||
		    !fg_ip_contains(prefix, bits, addr, 128))
			continue;
		r = fn(arg, (uint64_t)sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 6),
		       (const char *)sqlite3_column_text(s, 3),
		       (const char *)sqlite3_column_text(s, 4),
		       (const char *)sqlite3_column_text(s, 5));
	}
	if (!r)
		r = fg_disk_checked(disk, code);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r;
}

/* --- Decisions ------------------------------------------------------------------------------- */

int fg_disk_put_decision(struct fg_disk *disk, const struct fg_decision *decision)
{
	sqlite3_stmt *s = disk->stmt[PUT_DECISION];

	sqlite3_bind_int64(s, 1, decision->id);
	sqlite3_bind_int64(s, 2, (int64_t)decision->time_ns);
	fg_disk_bind_text(s, 3, decision->what);
	fg_disk_bind_text(s, 4, decision->who);
	fg_disk_bind_text(s, 5, decision->subject);
	fg_disk_bind_text(s, 6, decision->reason);
	sqlite3_bind_int64(s, 7, decision->undoes);
	sqlite3_bind_int64(s, 8, decision->undone_by);
	return fg_disk_run(disk, PUT_DECISION);
}

static void take_decision(sqlite3_stmt *s, struct fg_decision *ret)
{
	*ret = (struct fg_decision){
		.id = sqlite3_column_int64(s, 0),
		.time_ns = (uint64_t)sqlite3_column_int64(s, 1),
		.undoes = sqlite3_column_int64(s, 6),
		.undone_by = sqlite3_column_int64(s, 7),
	};
	fg_disk_take_text(s, 2, ret->what, sizeof(ret->what));
	fg_disk_take_text(s, 3, ret->who, sizeof(ret->who));
	fg_disk_take_text(s, 4, ret->subject, sizeof(ret->subject));
	fg_disk_take_text(s, 5, ret->reason, sizeof(ret->reason));
}

int fg_disk_get_decision(struct fg_disk *disk, int64_t id, struct fg_decision *ret)
{
	sqlite3_stmt *s = disk->stmt[GET_DECISION];
	int code, r;

	sqlite3_bind_int64(s, 1, id);
	code = sqlite3_step(s);
	r = fg_disk_checked(disk, code);
	if (code == SQLITE_ROW)
		take_decision(s, ret);
	sqlite3_reset(s);
	return r ? r : code == SQLITE_ROW ? 0 : -ENOENT;
}

int fg_disk_set_undone(struct fg_disk *disk, int64_t id, int64_t by)
{
	sqlite3_bind_int64(disk->stmt[SET_UNDONE], 1, by);
	sqlite3_bind_int64(disk->stmt[SET_UNDONE], 2, id);
	return fg_disk_run(disk, SET_UNDONE);
}

int fg_disk_decisions(struct fg_disk *disk, const char *subject, fg_decision_fn fn, void *arg)
{
	sqlite3_stmt *s = disk->stmt[LIST_DECISIONS];
	int code = SQLITE_DONE, r = 0;

	fg_disk_bind_text(s, 1, subject);
	while (!r && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct fg_decision d;

		take_decision(s, &d);
		r = fn(arg, &d);
	}
	if (!r)
		r = fg_disk_checked(disk, code);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r;
}

int fg_disk_put_effect(struct fg_disk *disk, int64_t decision, uint32_t i,
		       const struct fg_effect *e)
{
	sqlite3_stmt *s = disk->stmt[PUT_EFFECT];

	sqlite3_bind_int64(s, 1, decision);
	sqlite3_bind_int64(s, 2, i);
	sqlite3_bind_int(s, 3, e->allow);
	fg_disk_bind_addr(s, 4, e->addr);
	sqlite3_bind_int(s, 5, e->bits);
	sqlite3_bind_int64(s, 6, (int64_t)e->stem);
	sqlite3_bind_int64(s, 7, (int64_t)e->stack);
	sqlite3_bind_int(s, 8, (int)e->origin);
	sqlite3_bind_int64(s, 9, e->id);
	sqlite3_bind_int64(s, 10, e->after);
	sqlite3_bind_int(s, 11, (int)e->state);
	sqlite3_bind_int64(s, 12, e->was_id);
	sqlite3_bind_int64(s, 13, e->was_decision);
	sqlite3_bind_int64(s, 14, (int64_t)e->first_ns);
	sqlite3_bind_int64(s, 15, (int64_t)e->until_ns);
	sqlite3_bind_int64(s, 16, (int64_t)e->kept_ns);
	fg_disk_bind_text(s, 17, e->reason);
	return fg_disk_run(disk, PUT_EFFECT);
}

static int take_effect(struct fg_disk *d, sqlite3_stmt *s, struct fg_effect *ret)
{
	int origin = sqlite3_column_int(s, 7), state = sqlite3_column_int(s, 10);

	*ret = (struct fg_effect){
		.allow = sqlite3_column_int(s, 2),
		.stem = (uint64_t)sqlite3_column_int64(s, 5),
		.stack = (uint64_t)sqlite3_column_int64(s, 6),
		.id = sqlite3_column_int64(s, 8),
		.after = sqlite3_column_int64(s, 9),
		.was_id = sqlite3_column_int64(s, 11),
		.was_decision = sqlite3_column_int64(s, 12),
		.first_ns = (uint64_t)sqlite3_column_int64(s, 13),
		.until_ns = (uint64_t)sqlite3_column_int64(s, 14),
		.kept_ns = (uint64_t)sqlite3_column_int64(s, 15),
	};
	if (!fg_disk_take_prefix(s, 3, ret->addr, &ret->bits) || origin < 0 ||
	    origin >= _FG_ORIGIN_MAX || state < 0 || state > FG_STATE_GONE)
		return fg_disk_unclean(d, "effect", sqlite3_column_int64(s, 0));
	ret->origin = (enum fg_origin)origin;
	ret->state = (enum fg_state)state;
	fg_disk_take_text(s, 16, ret->reason, sizeof(ret->reason));
	return 0;
}

int fg_disk_effects(struct fg_disk *disk, int64_t decision,
		    int (*fn)(void *arg, const struct fg_effect *effect), void *arg)
{
	sqlite3_stmt *s = disk->stmt[LIST_EFFECTS];
	int code = SQLITE_DONE, r = 0;

	sqlite3_bind_int64(s, 1, decision);
	while (!r && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct fg_effect e;

		r = take_effect(disk, s, &e);
		if (!r)
			r = fn(arg, &e);
	}
	if (!r)
		r = fg_disk_checked(disk, code);
	sqlite3_reset(s);
	return r;
}

int fg_disk_prune(struct fg_disk *disk, uint64_t before_ns, uint64_t effects_before_ns,
		  uint32_t rows)
{
	static const enum stmt steps[] = { PRUNE_PAST, PRUNE_EFFECTS, PRUNE_DECISIONS };
	int r = 0;

	for (size_t i = 0; !r && i < sizeof(steps) / sizeof(steps[0]); i++) {
		sqlite3_bind_int64(disk->stmt[steps[i]], 1,
				   (int64_t)(steps[i] == PRUNE_EFFECTS ? effects_before_ns :
									 before_ns));
		sqlite3_bind_int64(disk->stmt[steps[i]], 2, rows);
		r = fg_disk_run(disk, steps[i]);
	}
	return r;
}
