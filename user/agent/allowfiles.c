/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/allowfiles.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/prefixes.h"

#define MAX_FAULT 256
/* Of each file; a tag is a place in it. */
#define MAX_REASON_BYTES (32U << 20)

/* One reading of a file. */
struct list {
	struct fg_prefixes *prefixes; /* tag: where the reason begins */
	char *reasons;
	size_t n_reasons, capacity, last; /* last: where the latest one begins */
};

/* What tells one state of a file from another. */
struct mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed, modified;
	int error; /* of stat(), then all else is 0 */
};

struct file {
	const char *path, *name;
	struct list list; /* prefixes is NULL before the first that was right */
	struct mark read; /* as it was when it was last read, right or wrong */
	struct mark seen; /* at the last look */
	uint64_t changed; /* revision of its last change */
	char fault[MAX_FAULT];
};

struct fg_allowfiles {
	struct file *files;
	size_t n;
	uint64_t revision;
};

/* --- One list --------------------------------------------------------------------------------- */

static void drop_list(struct list *l)
{
	fg_prefixes_free(&l->prefixes);
	free(l->reasons);
	*l = (struct list){ .prefixes = NULL };
}

/* Many lines have the reason of the one before. */
static int keep_reason(struct list *l, const char *reason, uint32_t *ret_at)
{
	size_t n = strlen(reason) + 1;

	if (!l->n_reasons || strcmp(l->reasons + l->last, reason)) {
		if (l->n_reasons + n > MAX_REASON_BYTES)
			return -E2BIG;
		if (l->n_reasons + n > l->capacity) {
			size_t capacity = 2 * l->capacity + n + 64;
			char *grown = realloc(l->reasons, capacity);

			if (!grown)
				return -ENOMEM;
			l->reasons = grown;
			l->capacity = capacity;
		}
		memcpy(l->reasons + l->n_reasons, reason, n);
		l->last = l->n_reasons;
		l->n_reasons += n;
	}
	*ret_at = (uint32_t)l->last;
	return 0;
}

/* @return 0, -EINVAL with what is wrong in `wrong` */
static int add_prefix(struct list *l, const char *prefix, const char *reason, char *wrong,
		      size_t n_wrong)
{
	uint8_t addr[16], bits;
	uint32_t at;
	int r;

	if (fg_ip_parse(prefix, addr, &bits)) {
		snprintf(wrong, n_wrong,
			 "'%.60s' is no address or prefix with zero host bits, like 192.0.2.0/24 "
			 "or 2001:db8::/64",
			 prefix);
		return -EINVAL;
	}
	if (bits == 0 || (bits == 96 && fg_ip_is4(addr))) {
		snprintf(wrong, n_wrong,
			 "a prefix of length 0 allows everybody: that is mode observe");
		return -EINVAL;
	}
	if (fg_prefixes_n(l->prefixes) == FG_ALLOWFILE_PREFIXES) {
		snprintf(wrong, n_wrong, "more than a million prefixes");
		return -EINVAL;
	}
	r = keep_reason(l, reason, &at);
	if (!r)
		r = fg_prefixes_add(l->prefixes, addr, bits, at);
	if (r)
		snprintf(wrong, n_wrong, "%s",
			 r == -E2BIG ? "the reasons are longer than 32 MB" : strerror(-r));
	return r;
}

/* Cuts a line into prefix and reason. @return 0, -EINVAL with what is wrong */
static int read_line(struct list *l, char *line, size_t n, char *wrong, size_t n_wrong)
{
	char *prefix, *end, *reason;

	if (n > FG_ALLOWFILE_LINE || strlen(line) != n) {
		snprintf(wrong, n_wrong, "%s",
			 n > FG_ALLOWFILE_LINE ? "longer than 1024 characters" :
						 "holds a byte 0: this is no text");
		return -EINVAL;
	}
	while (n && strchr("\r\n\t ", line[n - 1]))
		line[--n] = '\0';
	prefix = line + strspn(line, "\t ");
	if (!*prefix || *prefix == '#')
		return 0;
	end = prefix + strcspn(prefix, "\t ,;#");
	reason = end + strspn(end, "\t ,;#");
	*end = '\0';
	/* it ends in answers and sentences */
	for (char *c = reason; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return add_prefix(l, prefix, reason, wrong, n_wrong);
}

static int read_lines(FILE *f, const char *path, struct list *l, char *why, size_t n_why)
{
	_cleanup_free_ char *line = NULL;
	char wrong[192];
	size_t size = 0;
	ssize_t n;

	for (size_t at = 1; (n = getline(&line, &size, f)) > 0; at++) {
		/* what editors of another system put in front */
		bool marked = at == 1 && !strncmp(line, "\xef\xbb\xbf", 3);
		char *begin = line + 3 * marked;

		if (read_line(l, begin, (size_t)n - 3 * marked, wrong, sizeof(wrong))) {
			snprintf(why, n_why, "%s:%zu: %s", path, at, wrong);
			return -EINVAL;
		}
	}
	if (ferror(f)) {
		snprintf(why, n_why, "%s: %s", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

/* A pipe or device could keep us waiting; nothing is what a full disk leaves of a file. */
static int check_size(const char *path, const struct stat *st, char *why, size_t n_why)
{
	const char *wrong =
		!S_ISREG(st->st_mode) ? "is no regular file" :
		!st->st_size ? "empty; a file with only comments means that it allows nobody" :
		st->st_size > FG_ALLOWFILE_BYTES ? "larger than 64 MB" :
						   NULL;

	if (wrong)
		snprintf(why, n_why, "%s: %s", path, wrong);
	return wrong ? -EINVAL : 0;
}

static struct mark mark_of(const struct stat *st)
{
	return (struct mark){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.changed = st->st_ctim,
		.modified = st->st_mtim,
	};
}

static bool same(const struct mark *a, const struct mark *b)
{
	return a->error == b->error && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
	       a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

/* @return 0, -EAGAIN where it changed meanwhile, -errno with a sentence in why. */
static int read_list(const char *path, struct list *ret_list, struct mark *ret_mark, char *why,
		     size_t n_why)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	struct list l = { .prefixes = NULL };
	struct stat st, after;
	struct mark end;
	int r;

	if (!f || fstat(fileno(f), &st) < 0) {
		r = -errno;
		snprintf(why, n_why, "%s: %s", path, strerror(-r));
		return r;
	}
	*ret_mark = mark_of(&st);
	r = check_size(path, &st, why, n_why);
	if (r)
		return r;
	r = fg_prefixes_new(&l.prefixes);
	if (r)
		snprintf(why, n_why, "%s: %s", path, strerror(-r));
	else
		r = read_lines(f, path, &l, why, n_why);
	if (!fstat(fileno(f), &after)) {
		end = mark_of(&after);
		if (!same(&end, ret_mark))
			r = -EAGAIN;
	}
	if (r) {
		drop_list(&l);
		return r;
	}
	fg_prefixes_seal(l.prefixes);
	*ret_list = l;
	return 0;
}

long fg_allowfiles_try(const char *path, char *why, size_t n_why)
{
	struct list l = { .prefixes = NULL };
	struct mark mark;
	int r = read_list(path, &l, &mark, why, n_why);
	long n;

	if (r == -EAGAIN)
		snprintf(why, n_why, "%s: changes while it is read", path);
	if (r)
		return r;
	n = (long)fg_prefixes_n(l.prefixes);
	drop_list(&l);
	return n;
}

/* --- All of them -------------------------------------------------------------------------------- */

static void set_fault(struct fg_allowfiles *a, struct file *f, const char *fault)
{
	if (!strcmp(f->fault, fault))
		return;
	snprintf(f->fault, sizeof(f->fault), "%s", fault);
	f->changed = ++a->revision;
}

static int take(struct fg_allowfiles *a, struct file *f)
{
	struct list l = { .prefixes = NULL };
	char why[MAX_FAULT] = "";
	int r = read_list(f->path, &l, &f->read, why, sizeof(why));

	if (r == -EAGAIN) {
		/* still that file, in no state that it was read in */
		f->read.size = -1;
		return 0;
	}
	if (r) {
		set_fault(a, f, why);
		return 0;
	}
	drop_list(&f->list);
	f->list = l;
	f->fault[0] = '\0';
	f->changed = ++a->revision;
	return 1;
}

static int look(struct fg_allowfiles *a, struct file *f)
{
	struct mark now, before = f->seen;
	char why[MAX_FAULT];
	struct stat st;

	if (stat(f->path, &st) < 0)
		now = (struct mark){ .error = errno };
	else
		now = mark_of(&st);
	f->seen = now;
	if (now.error) {
		snprintf(why, sizeof(why), "%s: %s", f->path, strerror(now.error));
		set_fault(a, f, why);
		/* when it comes back it is read, even if it is the same one */
		f->read = now;
		return 0;
	}
	if (same(&now, &f->read))
		return 0;
	/* in place: it may be half written */
	if (now.dev == f->read.dev && now.ino == f->read.ino && !same(&now, &before))
		return 0;
	return take(a, f);
}

int fg_allowfiles_open(char *const *paths, size_t n, struct fg_allowfiles **ret_files)
{
	struct fg_allowfiles *a = calloc(1, sizeof(*a));

	if (a)
		a->files = calloc(n + 1, sizeof(*a->files));
	if (!a || !a->files) {
		fg_allowfiles_free(&a);
		return -ENOMEM;
	}
	for (a->n = 0; a->n < n; a->n++) {
		struct file *f = &a->files[a->n];
		const char *slash = strrchr(paths[a->n], '/');

		f->path = paths[a->n];
		f->name = slash ? slash + 1 : f->path;
		look(a, f);
	}
	*ret_files = a;
	return 0;
}

void fg_allowfiles_free(struct fg_allowfiles **files)
{
	struct fg_allowfiles *a = *files;

	*files = NULL;
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		drop_list(&a->files[i].list);
	free(a->files);
	free(a);
}

int fg_allowfiles_look(struct fg_allowfiles *a)
{
	int changed = 0;

	for (size_t i = 0; i < a->n; i++)
		changed |= look(a, &a->files[i]);
	return changed;
}

bool fg_allowfiles_has_list(const struct fg_allowfiles *a, size_t i)
{
	return a->files[i].list.prefixes != NULL;
}

bool fg_allowfiles_ready(const struct fg_allowfiles *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (!fg_allowfiles_has_list(a, i))
			return false;
	return true;
}

uint64_t fg_allowfiles_revision(const struct fg_allowfiles *a)
{
	return a->revision;
}

uint64_t fg_allowfiles_changed(const struct fg_allowfiles *a, size_t i)
{
	return a->files[i].changed;
}

const char *fg_allowfiles_fault(const struct fg_allowfiles *a, size_t i)
{
	return i < a->n ? a->files[i].fault : NULL;
}

size_t fg_allowfiles_n(const struct fg_allowfiles *a, size_t i)
{
	const struct list *l = &a->files[i].list;

	return l->prefixes ? fg_prefixes_n(l->prefixes) : 0;
}

size_t fg_allowfiles_bytes(const struct fg_allowfiles *a)
{
	size_t bytes = sizeof(*a) + a->n * sizeof(*a->files);

	for (size_t i = 0; i < a->n; i++)
		if (a->files[i].list.prefixes)
			bytes += fg_prefixes_bytes(a->files[i].list.prefixes) +
				 a->files[i].list.capacity;
	return bytes;
}

bool fg_allowfiles_meet(void *files, const uint8_t addr[16], uint8_t bits, char reason[160])
{
	const struct fg_allowfiles *a = files;

	for (size_t i = 0; i < a->n; i++) {
		const struct file *f = &a->files[i];
		const char *why;
		uint32_t tag;

		if (!f->list.prefixes || !fg_prefixes_meet(f->list.prefixes, addr, bits, &tag))
			continue;
		why = f->list.reasons + tag;
		snprintf(reason, 160, "allow file %.60s%s%.80s", f->name, why[0] ? ": " : "", why);
		return true;
	}
	return false;
}
