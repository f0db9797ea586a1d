/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "sensor/pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "sensor/clock.h"

#define STAMP "stamp"
/* Maps of one object: three dozen would be many. */
#define MAX_MAPS 48
/* An agent that ends holds the folder a little longer, and doctor for a moment. */
#define LOCK_TRIES    20
#define LOCK_PAUSE_NS 50000000L

struct fg_pins {
	char dir[PATH_MAX - NAME_MAX - 1];
	int dir_fd;
	bool has_before;
	struct fg_pins_stamp before;
	const struct bpf_map *reused[MAX_MAPS];
	size_t n_reused;
	int stamp_fd;
	struct fg_pins_stamp *stamp;
};

static const char *const kind_names[_FG_PINS_KIND_MAX] = { "xdp", "tcx_in", "tcx_out" };

/* --- The folder ------------------------------------------------------------------------------- */

static void path_of(const struct fg_pins *p, const char *name, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%s/%s", p->dir, name);
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* The folder itself, or the one that it would be made in. */
static bool on_bpffs(const char *dir)
{
	_cleanup_free_ char *parent = strdup(dir);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash || slash == parent)
		return false;
	*slash = '\0';
	return is_bpffs(dir) || is_bpffs(parent);
}

/* On the bpf file system only: a folder anywhere else would be left behind. */
static int make_dir(const char *dir, char *why, size_t n_why)
{
	if (!on_bpffs(dir)) {
		snprintf(why, n_why,
			 "%.120s lies on no bpf file system ('mount -t bpf bpf /sys/fs/bpf')", dir);
		return -ENOTSUP;
	}
	if (mkdir(dir, 0700) && errno != EEXIST) {
		int r = -errno;

		snprintf(why, n_why, "%.160s cannot be made: %s", dir, strerror(-r));
		return r;
	}
	return 0;
}

/* Others could put their own maps there. */
static int check_dir(int fd, const char *dir, char *why, size_t n_why)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_uid && st.st_uid != geteuid()) || st.st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(why, n_why, "%.160s belongs to another user, or others may write there",
			 dir);
		return -EPERM;
	}
	return 0;
}

static int lock_dir(int fd)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };

	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (i == LOCK_TRIES)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Whoever ends removes the folder before letting go of it: the one locked may be gone. */
static bool is_still_there(int fd, const char *dir)
{
	struct stat here, there;

	return !fstat(fd, &here) && !stat(dir, &there) && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
}

static int open_dir(const char *dir, char *why, size_t n_why)
{
	_cleanup_close_ int fd = -1;
	int r;

	do {
		if (fd >= 0)
			close(fd);
		r = make_dir(dir, why, n_why);
		if (r)
			return r;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		r = fd < 0 ? -errno : check_dir(fd, dir, why, n_why);
		if (!r)
			r = lock_dir(fd);
		if (r == -EBUSY)
			snprintf(why, n_why,
				 "another agent has %.120s (stop it, or name another folder with "
				 "'pins')",
				 dir);
		if (r)
			return r;
	} while (fd < 0 || !is_still_there(fd, dir));
	return FG_TAKE_FD(fd);
}

int fg_pins_open(const char *dir, struct fg_pins **ret_pins, char *why, size_t n_why)
{
	struct fg_pins *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	why[0] = '\0';
	p->stamp_fd = -1;
	if ((size_t)snprintf(p->dir, sizeof(p->dir), "%s", dir) >= sizeof(p->dir))
		p->dir_fd = -ENAMETOOLONG;
	else
		p->dir_fd = open_dir(dir, why, n_why);
	if (p->dir_fd < 0) {
		int r = p->dir_fd;

		if (!why[0])
			snprintf(why, n_why, "%.160s: %s", dir, strerror(-r));
		free(p);
		return r;
	}
	*ret_pins = p;
	return 0;
}

void fg_pins_close(struct fg_pins **pins)
{
	struct fg_pins *p = *pins;

	if (!p)
		return;
	if (p->stamp)
		munmap(p->stamp, sizeof(*p->stamp));
	if (p->stamp_fd >= 0)
		close(p->stamp_fd);
	/* what was made for nothing; with pins in it, it stays */
	rmdir(p->dir);
	close(p->dir_fd);
	free(p);
	*pins = NULL;
}

/* Calls fn with each name in the folder. It may unlink that one. */
static void each_name(const char *dir, void (*fn)(void *arg, const char *name), void *arg)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			fn(arg, names[i]->d_name);
		free(names[i]);
	}
	free(names);
}

static void unpin(void *arg, const char *name)
{
	unlinkat(((struct fg_pins *)arg)->dir_fd, name, 0);
}

void fg_pins_remove(struct fg_pins *p)
{
	/* whoever is killed here leaves maps without a stamp, which nobody takes for whole */
	unpin(p, STAMP);
	each_name(p->dir, unpin, p);
}

/* --- Maps ------------------------------------------------------------------------------------- */

static bool is_pinned_kind(const struct bpf_map *map)
{
	/* the configuration is frozen into each program; what it computes with lasts for one frame */
	return !bpf_map__is_internal(map) && strcmp(bpf_map__name(map), "fg_scratch");
}

static bool holds_blocks(const struct bpf_map *map)
{
	return !strncmp(bpf_map__name(map), "fg_drop_", 8);
}

/* The pinned map of this name, where it has the shape of the one here. */
static int open_same(const struct fg_pins *p, const struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	_cleanup_close_ int fd = -1;
	__u32 n = sizeof(info);
	char path[PATH_MAX];

	path_of(p, bpf_map__name(map), path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &n))
		return -errno;
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    info.max_entries != bpf_map__max_entries(map) ||
	    info.map_flags != bpf_map__map_flags(map))
		return -EILSEQ;
	return FG_TAKE_FD(fd);
}

static int read_stamp(const char *dir, struct fg_pins_stamp *ret_stamp)
{
	struct bpf_map_info info = { 0 };
	_cleanup_close_ int fd = -1;
	__u32 n = sizeof(info), zero = 0;
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/" STAMP, dir) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &n))
		return -errno;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(*ret_stamp))
		return -EILSEQ;
	if (bpf_map_lookup_elem(fd, &zero, ret_stamp))
		return -errno;
	if (ret_stamp->magic != FG_PINS_MAGIC || ret_stamp->abi_version != FG_ABI_VERSION ||
	    ret_stamp->size != sizeof(*ret_stamp))
		return -EILSEQ;
	return 0;
}

static void note_any(void *arg, const char *name)
{
	*(bool *)arg |= !strncmp(name, "fg_", 3);
}

/* Reuses the maps of one group, all or none. @return 0; -ENOENT, -EILSEQ where one does not fit, whose
 * name is in ret_misfit. */
static int reuse_group(struct fg_pins *p, struct bpf_object *object, bool blocks,
		       const char **ret_misfit)
{
	int fds[MAX_MAPS], r = 0;
	struct bpf_map *maps[MAX_MAPS], *map;
	size_t n = 0;

	bpf_object__for_each_map(map, object) {
		if (!is_pinned_kind(map) || holds_blocks(map) != blocks || r)
			continue;
		if (p->n_reused + n == MAX_MAPS) {
			r = -E2BIG;
			break;
		}
		maps[n] = map;
		fds[n] = open_same(p, map);
		if (fds[n] < 0) {
			r = fds[n];
			*ret_misfit = bpf_map__name(map);
			continue;
		}
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		if (!r)
			r = bpf_map__reuse_fd(maps[i], fds[i]);
		if (!r)
			p->reused[p->n_reused++] = maps[i];
		close(fds[i]);
	}
	return r;
}

/* Why the maps cannot be used by who would write this stamp; NULL = they can. */
static const char *misfit_of(const struct fg_pins *p, const struct fg_pins_stamp *mine, bool tables)
{
	if (!p->has_before)
		return "they carry no stamp of this version";
	if (memcmp(p->before.seed, mine->seed, sizeof(mine->seed)))
		return "they are of another hash seed";
	if (tables && (p->before.role != mine->role || p->before.volume != mine->volume))
		return "they are of another role";
	return NULL;
}

static int adopt_group(struct fg_pins *p, struct bpf_object *object,
		       const struct fg_pins_stamp *mine, bool blocks, struct fg_pins_found *found)
{
	const char *why = misfit_of(p, mine, !blocks), *name = "a map";
	int r = why ? -EILSEQ : reuse_group(p, object, blocks, &name);

	if (r != -EILSEQ && r != -ENOENT) {
		*(blocks ? &found->blocks : &found->tables) = !r;
		return r;
	}
	if (why)
		snprintf(found->why_not, sizeof(found->why_not), "%s", why);
	else
		snprintf(found->why_not, sizeof(found->why_not), "%s %s", name,
			 r == -ENOENT ? "is missing" : "has another size or shape");
	return 0;
}

int fg_pins_adopt(struct fg_pins *p, struct bpf_object *object, const struct fg_pins_stamp *mine,
		  struct fg_pins_found *ret_found)
{
	struct fg_pins_found found = { 0 };
	int r;

	each_name(p->dir, note_any, &found.any);
	p->has_before = !read_stamp(p->dir, &p->before);
	p->n_reused = 0;
	*ret_found = found;
	if (!found.any)
		return 0;
	r = adopt_group(p, object, mine, true, &found);
	if (!r)
		r = adopt_group(p, object, mine, false, &found);
	*ret_found = found;
	return r;
}

const struct fg_pins_stamp *fg_pins_before(const struct fg_pins *p)
{
	return p->has_before ? &p->before : NULL;
}

static bool is_reused(const struct fg_pins *p, const struct bpf_map *map)
{
	for (size_t i = 0; i < p->n_reused; i++)
		if (p->reused[i] == map)
			return true;
	return false;
}

/* Whatever is there under the name: gone, in favour of ours. */
static int pin(const struct fg_pins *p, int fd, const char *name)
{
	char path[PATH_MAX];

	path_of(p, name, path);
	if (unlink(path) && errno != ENOENT)
		return -errno;
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

struct sweep {
	struct fg_pins *pins;
	struct bpf_object *object;
};

/* Maps that only another version had. */
static void unpin_unknown(void *arg, const char *name)
{
	struct sweep *s = arg;
	const struct bpf_map *map;

	if (strncmp(name, "fg_", 3))
		return;
	map = bpf_object__find_map_by_name(s->object, name);
	if (!map || !is_pinned_kind(map))
		unpin(s->pins, name);
}

static int put_stamp(struct fg_pins *p, const struct fg_pins_stamp *mine)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	void *at;
	int fd;

	if (p->stamp_fd < 0) {
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "fg_stamp", sizeof(__u32), sizeof(*mine), 1,
				    &opts);
		if (fd < 0)
			return -errno;
		at = mmap(NULL, sizeof(*mine), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED) {
			close(fd);
			return -ENOMEM;
		}
		p->stamp_fd = fd;
		p->stamp = at;
	}
	*p->stamp = *mine;
	return pin(p, p->stamp_fd, STAMP);
}

int fg_pins_put(struct fg_pins *p, struct bpf_object *object, const struct fg_pins_stamp *mine)
{
	struct sweep sweep = { p, object };
	struct bpf_map *map;
	int r = 0;

	unpin(p, STAMP);
	each_name(p->dir, unpin_unknown, &sweep);
	bpf_object__for_each_map(map, object) {
		if (!r && is_pinned_kind(map) && !is_reused(p, map))
			r = pin(p, bpf_map__fd(map), bpf_map__name(map));
	}
	return r ? r : put_stamp(p, mine);
}

struct fg_pins_stamp *fg_pins_stamp(struct fg_pins *p)
{
	return p->stamp;
}

/* --- Links ------------------------------------------------------------------------------------ */

static void link_name(enum fg_pins_kind kind, unsigned int ifindex, char ret_name[NAME_MAX])
{
	snprintf(ret_name, NAME_MAX, "link_%s_%u", kind_names[kind], ifindex);
}

int fg_pins_link(struct fg_pins *p, enum fg_pins_kind kind, unsigned int ifindex)
{
	char name[NAME_MAX], path[PATH_MAX];
	int fd;

	link_name(kind, ifindex, name);
	path_of(p, name, path);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int fg_pins_put_link(struct fg_pins *p, enum fg_pins_kind kind, unsigned int ifindex, int link_fd)
{
	char name[NAME_MAX];

	link_name(kind, ifindex, name);
	return pin(p, link_fd, name);
}

int fg_pins_drop_link(struct fg_pins *p, enum fg_pins_kind kind, unsigned int ifindex)
{
	_cleanup_close_ int fd = fg_pins_link(p, kind, ifindex);
	char name[NAME_MAX];

	/* at once: a link that only loses its pin goes some time later */
	if (fd >= 0)
		bpf_link_detach(fd);
	link_name(kind, ifindex, name);
	return unlinkat(p->dir_fd, name, 0) ? -errno : 0;
}

struct each_link {
	void (*fn)(void *arg, enum fg_pins_kind kind, unsigned int ifindex);
	void *arg;
};

static void tell_link(void *arg, const char *name)
{
	const struct each_link *each = arg;

	for (enum fg_pins_kind kind = 0; kind < _FG_PINS_KIND_MAX; kind++) {
		char beginning[32];
		int n = snprintf(beginning, sizeof(beginning), "link_%s_", kind_names[kind]);

		if (!strncmp(name, beginning, (size_t)n))
			each->fn(each->arg, kind, (unsigned int)strtoul(name + n, NULL, 10));
	}
}

void fg_pins_each_link(struct fg_pins *p,
		       void (*fn)(void *arg, enum fg_pins_kind kind, unsigned int ifindex),
		       void *arg)
{
	struct each_link each = { fn, arg };

	each_name(p->dir, tell_link, &each);
}

/* --- Looking ---------------------------------------------------------------------------------- */

struct look {
	const char *dir;
	struct fg_pins_look *look;
	bool any;
};

static int open_pinned(const char *dir, const char *name, __u32 value_size,
		       struct bpf_map_info *ret_info)
{
	_cleanup_close_ int fd = -1;
	__u32 n = sizeof(*ret_info);
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, ret_info, &n))
		return -errno;
	return ret_info->value_size == value_size ? FG_TAKE_FD(fd) : -EILSEQ;
}

static void count_blocks(struct look *l, const char *name)
{
	struct bpf_map_info info = { 0 };
	_cleanup_close_ int fd = open_pinned(l->dir, name, sizeof(struct fg_block), &info);
	unsigned char key[256];
	struct fg_block block;
	void *last = NULL;

	if (fd < 0 || info.key_size > sizeof(key))
		return;
	while (!bpf_map_get_next_key(fd, last, key)) {
		last = key;
		if (!bpf_map_lookup_elem(fd, key, &block) && block.until_ticks > l->look->now_ticks)
			l->look->n_blocks++;
	}
}

static void look_at(void *arg, const char *name)
{
	struct look *l = arg;

	l->any = true;
	l->look->n_links += !strncmp(name, "link_", 5);
	if (l->look->readable && !strncmp(name, "fg_drop_", 8))
		count_blocks(l, name);
}

static void look_at_meta(const char *dir, struct fg_pins_look *look)
{
	struct bpf_map_info info = { 0 };
	_cleanup_close_ int fd = open_pinned(dir, "fg_meta", sizeof(struct fg_meta), &info);
	struct fg_ticks ticks;
	struct fg_meta meta;
	__u32 zero = 0;

	if (fd >= 0 && !bpf_map_lookup_elem(fd, &zero, &meta)) {
		look->heartbeat_ticks = meta.heartbeat_ticks;
		look->tick_ns = meta.tick_ns;
	}
	if (!fg_ticks_open(&ticks)) {
		fg_ticks_now(&ticks, &look->now_ticks);
		fg_ticks_close(&ticks);
	}
}

int fg_pins_look(const char *dir, struct fg_pins_look *ret_look)
{
	_cleanup_close_ int fd = -1;
	struct look l = { .dir = dir, .look = ret_look };

	memset(ret_look, 0, sizeof(*ret_look));
	if (!on_bpffs(dir))
		return -ENOTSUP;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_SH | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return -errno;
		ret_look->locked = true;
	} else {
		flock(fd, LOCK_UN);
	}
	ret_look->readable = !read_stamp(dir, &ret_look->stamp);
	if (ret_look->readable)
		look_at_meta(dir, ret_look);
	each_name(dir, look_at, &l);
	return l.any || ret_look->locked ? 0 : -ENOENT;
}
