/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a core keeps in the store over a restart: blobs bound to instance and hash seed, among them
 * what was learned; the rows of sources and clients (agent/memory.h); the seed.
 */
#include "agent/core_kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

#include "lib/mem.h"

/* Name of the store's blob with cells, cohorts and members. */
#define LEARNED	   "learned"
#define SEED_BYTES (4 * sizeof(uint64_t))

/* Before the bytes of a blob: whose they are, and the seed that their stems were hashed with. With
 * another seed they would be about other clients. */
struct bound {
	uint64_t magic;
	char instance[FG_INSTANCE_TEXT - 1];
	uint32_t seed_crc; /* 0 = there was none */
	uint32_t unused;
};
#define BOUND_MAGIC 0x31646e756f626766ULL

static uint32_t seed_crc(struct fg_core *c)
{
	uint8_t seed[SEED_BYTES];

	if (fg_store_get_blob(c->store, "hash_seed", seed, sizeof(seed)) != (int)sizeof(seed))
		return 0;
	return (uint32_t)crc32_z(0, seed, sizeof(seed));
}

static struct bound binding(struct fg_core *c)
{
	struct bound b = { .magic = BOUND_MAGIC, .seed_crc = seed_crc(c) };

	memcpy(b.instance, fg_store_instance(c->store), sizeof(b.instance));
	return b;
}

static const char *not_ours(struct fg_core *c, const void *bytes, size_t n)
{
	const struct bound mine = binding(c);
	struct bound b;

	if (n < sizeof(b))
		return "they are cut off";
	memcpy(&b, bytes, sizeof(b));
	if (b.magic != BOUND_MAGIC)
		return "another version wrote them, or they are damaged";
	if (memcmp(b.instance, mine.instance, sizeof(b.instance)))
		return "another instance wrote them";
	return b.seed_crc == mine.seed_crc ? NULL : "they are of another hash seed";
}

int fg_core_keep(struct fg_core *c, const char *name, const void *bytes, size_t n)
{
	const struct bound b = binding(c);
	_cleanup_free_ uint8_t *all = malloc(sizeof(b) + n);

	if (!all)
		return -ENOMEM;
	memcpy(all, &b, sizeof(b));
	if (n)
		memcpy(all + sizeof(b), bytes, n);
	return fg_store_put_blob(c->store, name, all, sizeof(b) + n);
}

/* Under NAME.aside it waits for somebody who wants to know what it was; one of them is enough. */
static void set_aside(struct fg_core *c, const char *name, const void *bytes, size_t n)
{
	char aside[48];

	snprintf(aside, sizeof(aside), "%s.aside", name);
	if (!fg_store_put_blob(c->store, aside, bytes, n))
		fg_store_put_blob(c->store, name, "", 0);
}

int fg_core_recall(struct fg_core *c, const char *name, fg_core_read_fn read, void *arg)
{
	_cleanup_free_ void *bytes = NULL;
	char why[128] = "";
	const char *wrong;
	size_t n;
	int r = fg_store_load_blob(c->store, name, &bytes, &n);

	if (!r && !bytes)
		return 0;
	wrong = r ? NULL : not_ours(c, bytes, n);
	if (wrong) {
		snprintf(why, sizeof(why), "%s", wrong);
		r = -EBADMSG;
	} else if (!r) {
		r = read(arg, (const uint8_t *)bytes + sizeof(struct bound),
			 n - sizeof(struct bound), why, sizeof(why));
	}
	if (r == -EBADMSG)
		set_aside(c, name, bytes, n);
	if (r)
		fg_core_degraded(c, "what was %s cannot be taken up (%s)%s: learning begins anew",
				 name, why[0] ? why : strerror(-r),
				 r == -EBADMSG ? ", and is set aside in the state file" : "");
	return r;
}

/* What became of a state file that was no good, or not ours. */
static void tell_aside(struct fg_core *c)
{
	const struct fg_store_aside aside = fg_store_aside(c->store);
	const char *moved = fg_store_moved(c->store);

	if (moved[0] && aside.foreign)
		fg_core_degraded(c,
				 "the state file was another instance's and is now %s: this one "
				 "begins anew (to take it over: farmgate(8), FILES)",
				 moved);
	else if (moved[0])
		fg_core_degraded(c,
				 "the state file was damaged and is now %s; read from it: %zu "
				 "verdicts, %zu allowed prefixes",
				 moved, aside.verdicts, aside.allows);
}

static int read_learned(void *arg, const void *bytes, size_t n, char *why, size_t n_why)
{
	return fg_cohorts_load(arg, bytes, n, why, n_why);
}

int fg_core_save_learned(struct fg_core *c)
{
	_cleanup_free_ void *bytes = NULL;
	size_t n;
	int r;

	if (!c->cohorts)
		return -EBADF;
	r = fg_cohorts_save(c->cohorts, &bytes, &n);
	return r ? r : fg_core_keep(c, LEARNED, bytes, n);
}

int fg_core_save(struct fg_core *c)
{
	int r, kept;

	/* it did not start */
	if (!c->cohorts || !c->store)
		return -EBADF;
	r = fg_core_save_learned(c);
	kept = fg_memory_save(&c->memory, c->hour);
	return r ? r : kept;
}

/* Rows of sources and clients; what cannot be read is learned anew, and that is said. */
static void load_memory(struct fg_core *c, uint64_t now_ns)
{
	const struct fg_memory *m = &c->memory;
	int r = fg_memory_open(&c->memory, c->store, c->model, now_ns, &c->hour);

	if (r)
		fg_core_degraded(c, "sources and clients cannot be read back (%s): they are new",
				 strerror(-r));
	if (m->damaged)
		fg_core_degraded(c,
				 "%llu summaries of sources and clients are damaged: these are new",
				 (unsigned long long)m->damaged);
	if (m->other_version)
		fg_core_degraded(c,
				 "%llu summaries of sources and clients are of another version: "
				 "these are new",
				 (unsigned long long)m->other_version);
}

void fg_core_take_up(struct fg_core *c, const char *state_dir, uint64_t now_ns)
{
	tell_aside(c);
	fg_core_recall(c, LEARNED, read_learned, c->cohorts);
	if (state_dir)
		load_memory(c, now_ns);
}

int fg_core_seed(struct fg_core *c, uint64_t ret_seed[4])
{
	const size_t size = SEED_BYTES;
	int r = fg_store_get_blob(c->store, "hash_seed", ret_seed, size);

	if (r == (int)size)
		return 0;
	if (getrandom(ret_seed, size, 0) != (ssize_t)size)
		return -errno;
	return fg_store_put_blob(c->store, "hash_seed", ret_seed, size);
}
