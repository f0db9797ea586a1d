/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A store as it is opened: what can be saved of a damaged file, and whose file it is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verdict/instance.h"
#include "verdict/store_state.h"

/* --- What could be read of a damaged file ---------------------------------------------------- */

static int save_verdict(void *arg, const struct fg_verdict *v, enum fg_state state)
{
	const struct key key = { v->addr, v->bits, v->stem, v->stack, v->origin };
	struct fg_store *s = arg;
	struct entry *e;
	int r;

	/* two rows of one subject are damage, too: the first stands */
	if (fg_entry_find(s, &key) || !fg_store_is_prefix(v->addr, v->bits) ||
	    s->n_origin[v->origin] >= FG_MAX_VERDICTS)
		return 0;
	r = fg_entry_enlist(s, v, state, &e);
	if (!r)
		r = fg_disk_put_verdict(s->disk, v, state);
	s->aside.verdicts += !r;
	return r;
}

static int save_allow(void *arg, const struct fg_allow *a)
{
	const struct allow allow = { .a = *a };
	struct fg_store *s = arg;
	int r;

	if (!fg_store_is_prefix(a->addr, a->bits))
		return 0;
	r = fg_allows_put(s, &allow);
	if (r == -EDQUOT)
		return 0;
	if (!r)
		r = fg_disk_put_allow(s->disk, a);
	s->aside.allows += !r;
	return r;
}

static int save_blob(void *arg, const char *name, const void *bytes, size_t n)
{
	struct fg_store *s = arg;
	int r = fg_disk_put_blob(s->disk, name, bytes, n);

	s->aside.blobs += !r;
	return r;
}

/* Into a store that is new. */
static int salvage(struct fg_store *s, uint64_t now_ns)
{
	const struct fg_disk_sink sink = { save_verdict, save_allow, save_blob, s };
	int r = fg_disk_begin(s->disk);

	if (r)
		return r;
	r = fg_disk_salvage(s->moved, &sink);
	if (!r)
		r = fg_disk_commit(s->disk);
	if (r) {
		fg_disk_rollback(s->disk);
		return r;
	}
	return fg_store_loaded(s, now_ns);
}

/* --- Whose file is it? ---------------------------------------------------------------------------- */

/* @return 0 where file and folder belong together, now or ever; 1 where the file is another
 * instance's; -errno. */
static int settle_instance(struct fg_store *s, const char *dir)
{
	char beside[FG_INSTANCE_TEXT];
	int in_file = fg_disk_get_blob(s->disk, "instance", s->instance, FG_INSTANCE_TEXT - 1);
	int r = dir ? fg_instance_read(dir, beside) : -ENOENT;

	if (in_file < 0 && in_file != -EOVERFLOW)
		return in_file;
	if (r && r != -ENOENT)
		return r;
	s->instance[FG_INSTANCE_TEXT - 1] = '\0';
	if (in_file == FG_INSTANCE_TEXT - 1) {
		if (!r)
			return strcmp(beside, s->instance) != 0;
		/* a file that came alone: there is nothing it could be mixed with */
		return dir ? fg_instance_write(dir, s->instance) : 0;
	}
	if (r) {
		r = fg_instance_draw(beside);
		if (!r && dir)
			r = fg_instance_write(dir, beside);
	}
	memcpy(s->instance, beside, sizeof(beside));
	return r ? r : fg_disk_put_blob(s->disk, "instance", s->instance, FG_INSTANCE_TEXT - 1);
}

/* A new file in the place of the one that was moved to `moved`. */
static int begin_anew(const char *dir, uint64_t now_ns, const char *moved, bool foreign,
		      struct fg_store **ret_store, char *why, size_t n_why)
{
	int r = fg_store_open_file(dir, now_ns, ret_store, why, n_why);

	if (r)
		return r;
	snprintf((*ret_store)->moved, sizeof((*ret_store)->moved), "%s", moved);
	(*ret_store)->aside.foreign = foreign;
	r = foreign ? 0 : salvage(*ret_store, now_ns);
	if (r) {
		snprintf(why, n_why, "%s", fg_disk_error((*ret_store)->disk));
		fg_store_close(ret_store);
	}
	return r;
}

static int set_foreign_aside(const char *dir, uint64_t now_ns, struct fg_store **ret_store,
			     char *why, size_t n_why)
{
	char moved[300] = "", suffix[32];
	int r;

	snprintf(suffix, sizeof(suffix), "foreign-%.8s", (*ret_store)->instance);
	fg_store_close(ret_store);
	r = fg_disk_move_aside(dir, suffix, moved, sizeof(moved));
	if (r) {
		snprintf(why, n_why, "%s: is another instance's, and cannot be moved aside: %s",
			 dir, strerror(-r));
		return r;
	}
	r = begin_anew(dir, now_ns, moved, true, ret_store, why, n_why);
	return r ? r : settle_instance(*ret_store, dir);
}

/* A damaged file must not keep a host blind, and another instance's must not speak for it: they go
 * aside. */
int fg_store_open(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		  size_t n_why)
{
	char moved[300] = "";
	int r = fg_store_open_file(dir, now_ns, ret_store, why, n_why);

	if (r == -EUCLEAN && dir && !fg_disk_move_aside(dir, "damaged", moved, sizeof(moved)))
		r = begin_anew(dir, now_ns, moved, false, ret_store, why, n_why);
	if (r)
		return r;
	r = settle_instance(*ret_store, dir);
	if (r == 1)
		r = set_foreign_aside(dir, now_ns, ret_store, why, n_why);
	else if (r)
		snprintf(why, n_why, "%s/instance: %s; look at the rights of the folder", dir,
			 strerror(-r));
	if (r)
		fg_store_close(ret_store);
	return r;
}
