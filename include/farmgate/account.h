/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting stage: rows of sources, clients and fingerprints, found or made. Only proven
 * connections come here, so a forged segment can neither make a row nor push one out.
 */
#pragma once

#include "farmgate/hash.h"
#include "farmgate/platform.h"
#include "farmgate/table.h"

#define fg_event(env, name) ((env)->totals->events[FG_EVENT_##name]++)

static __always_inline int fg_agent_lost(struct fg_env *env)
{
	__u64 limit = FG_HEARTBEAT_LOST_NS / (FG_CFG(env)->tick_ns ? FG_CFG(env)->tick_ns : 1);
	__s64 silent = env->ticks - env->meta->heartbeat_ticks;

	/* below zero where the agent wrote after we had read our tick */
	return silent > (__s64)limit;
}

/* The source of a client address: IPv4 as it is, IPv6 its /64. */
static __always_inline void fg_source_of(const struct fg_key *k, __u64 addr[2])
{
	int v4 = k->client[0] == 0;

	addr[0] = k->client[0];
	addr[1] = v4 ? k->client[1] : 0;
}

/* One way of a set as a place for a new row. The best so far is kept in the scratch. The tag must
 * have been read before touched, or it could be a newer owner's than the one that was judged. */
static __always_inline void claim_consider(struct fg_env *env, __u64 tag, __u32 touched, __u32 rank,
					   __u32 way)
{
	struct fg_scratch *s = env->scratch;

	if (tag == FG_TAG_FREE)
		rank = ~0U;
	if (tag == FG_TAG_BUSY)
		rank = 0;
	if (rank > s->best_rank) {
		s->best = way;
		s->best_rank = rank;
		s->best_tag = tag;
		s->best_touched = touched;
	}
	fg_reload();
}

/* Takes the best way of a set, or where another CPU was faster, any that is free; FG_WAY_NONE where
 * none is. */
static __always_inline __u32 claim_take(struct fg_env *env, __u64 tag[FG_WAYS])
{
	__u32 way = env->scratch->best & (FG_WAYS - 1), i;

	if (!env->scratch->best_rank)
		return FG_WAY_NONE;
	if (fg_tag_claim(&tag[way], env->scratch->best_tag))
		return way;
	env->scratch->best_rank = ~0U;
	for (i = 0; i < FG_WAYS; i++)
		if (tag[i] == FG_TAG_FREE && fg_tag_claim(&tag[i], FG_TAG_FREE))
			return fg_forget(env, i) & (FG_WAYS - 1);
	return FG_WAY_NONE;
}

/* The claimed row's touched, read now that its tag is busy: where it moved, another CPU found the
 * row in time (row_use() is the other half), and it gets it back. */
static __always_inline __u32 claim_confirm(struct fg_env *env, __u64 tag[FG_WAYS], __u32 way,
					   const __u32 *touched)
{
	struct fg_scratch *s = env->scratch;

	if (s->best_rank == ~0U)
		return way;
	if (*(const volatile __u32 *)touched != s->best_touched) {
		fg_tag_publish(&tag[way & (FG_WAYS - 1)], s->best_tag);
		return FG_WAY_NONE;
	}
	if (s->best_rank == 1)
		fg_event(env, untaken_lost);
	return way;
}

/* Says that a row is in use. False where another CPU claimed it for another key meanwhile: the
 * exchange is a full barrier, so either that CPU sees the new epoch or we see its tag. */
static __always_inline int row_use(__u32 *touched, const __u64 *tag, __u64 hash, __u32 epoch)
{
	if (*(const volatile __u32 *)touched != epoch)
		__sync_lock_test_and_set(touched, epoch);
	return *(const volatile __u64 *)tag == hash;
}

/* Defines NAME_claim(env, set): a row for a new key, tag still busy. Free ones first, else the
 * longest idle clean one. */
#define FG_DEFINE_CLAIM(name, set_type)                                                           \
	static __always_inline __u32 name##_claim(struct fg_env *env, struct set_type *set)       \
	{                                                                                         \
		int lost = fg_agent_lost(env);                                                    \
		__u32 i, way, touched;                                                            \
		__u64 tag;                                                                        \
                                                                                                  \
		env->scratch->best_rank = 0;                                                      \
		for (i = 0; i < FG_WAYS; i++) {                                                   \
			tag = set->tag[i];                                                        \
			fg_reload();                                                              \
			touched = set->row[i].touched;                                            \
			claim_consider(env, tag, touched, fg_age_rank(touched, env->epoch, lost), \
				       i);                                                        \
		}                                                                                 \
		way = claim_take(env, set->tag);                                                  \
		if (way >= FG_WAYS)                                                               \
			return way;                                                               \
		return claim_confirm(env, set->tag, way, &set->row[way].touched);                 \
	}

FG_DEFINE_CLAIM(source, fg_source_set)
FG_DEFINE_CLAIM(client, fg_client_set)
FG_DEFINE_CLAIM(print, fg_print_set)

/* The row of a proven connection's source; NULL and counted where the table is full. */
static __always_inline struct fg_source *account_source(struct fg_env *env, const struct fg_key *k)
{
	struct fg_source_set *set;
	struct fg_source *row;
	__u64 addr[2], hash;
	__u32 way;

	fg_source_of(k, addr);
	hash = fg_hash_source(FG_CFG(env)->seed, addr);
	set = fg_source_set(env, fg_set_index(hash, FG_CFG(env)->source_mask));
	if (!set)
		return 0;
	way = fg_forget(env, fg_set_find(set->tag, hash));
	if (way < FG_WAYS) {
		row = &set->row[way];
		if (row_use(&row->touched, &set->tag[way], hash, env->epoch))
			return row;
	}
	way = source_claim(env, set);
	if (way >= FG_WAYS) {
		fg_event(env, source_table_full);
		return 0;
	}
	row = &set->row[way];
	row->generation++;
	row->touched = env->epoch;
	__builtin_memcpy(row->addr, addr, sizeof(row->addr));
	row->syns = row->connections = row->proven = row->hellos = 0;
	row->incomplete = row->fins = row->rsts = 0;
	fg_tag_publish(&set->tag[way], hash);
	return row;
}

/* A proven connection that got no row, or whose source got none: volume is what is left to count. */
static __always_inline void account_overflow(struct fg_env *env, const struct fg_key *k)
{
	struct fg_overflow *column;
	__u64 addr[2], hash;
	__u32 i;

	fg_source_of(k, addr);
	hash = fg_hash_source(FG_CFG(env)->seed, addr);
#pragma GCC unroll 4
	for (i = 0; i < FG_OVERFLOW_ROWS; i++) {
		column = fg_overflow_at(env, hash >> 16 * i & (FG_OVERFLOW_COLUMNS - 1));
		if (column)
			fg_add(&column->n[i], 1);
	}
}

static __always_inline void account_client(struct fg_env *env, const struct fg_key *k,
					   const struct fg_flow *flow, const struct fg_hello *h)
{
	struct fg_client_set *set;
	struct fg_client *row;
	__u64 addr[2], hash;
	__u32 way;

	fg_source_of(k, addr);
	hash = fg_hash_client(FG_CFG(env)->seed, addr, flow->stem, flow->stack);
	set = fg_client_set(env, fg_set_index(hash, FG_CFG(env)->client_mask));
	if (!set)
		return;
	way = fg_forget(env, fg_set_find(set->tag, hash));
	if (way < FG_WAYS && !row_use(&set->row[way].touched, &set->tag[way], hash, env->epoch))
		way = FG_WAY_NONE;
	if (way >= FG_WAYS) {
		way = client_claim(env, set);
		if (way >= FG_WAYS) {
			fg_event(env, client_table_full);
			return;
		}
		row = &set->row[way];
		row->generation++;
		__builtin_memcpy(row->addr, addr, sizeof(row->addr));
		row->stem = flow->stem;
		row->stack = flow->stack;
		row->connections = row->proof_socket = row->resumed = 0;
		row->touched = env->epoch;
		fg_tag_publish(&set->tag[way], hash);
	}
	row = &set->row[way];
	row->print = h->print;
	fg_add(&row->connections, 1);
	if (flow->proof == FG_PROOF_SOCKET)
		fg_add(&row->proof_socket, 1);
	if (h->flags & FG_HELLO_RESUMED)
		fg_add(&row->resumed, 1);
}

/* At most one sample of a key in this time, so that a popular new key does not fill the ring
 * before the agent has named it. */
#define FG_ASK_AGAIN_NS 100000000ULL

/* Counts the fingerprint. True where the agent should be asked to name it. */
static __always_inline int account_print(struct fg_env *env, const struct fg_hello *h)
{
	__u64 hash = fg_hash_print(FG_CFG(env)->seed, h->print);
	__u32 ask_ticks = FG_ASK_AGAIN_NS / (FG_CFG(env)->tick_ns ? FG_CFG(env)->tick_ns : 1);
	struct fg_print_set *set;
	struct fg_print *row;
	__u32 way;

	set = fg_print_set(env, fg_set_index(hash, FG_CFG(env)->print_mask));
	if (!set)
		return 0;
	way = fg_forget(env, fg_set_find(set->tag, hash));
	if (way < FG_WAYS && !row_use(&set->row[way].touched, &set->tag[way], hash, env->epoch))
		way = FG_WAY_NONE;
	if (way >= FG_WAYS) {
		way = print_claim(env, set);
		if (way >= FG_WAYS) {
			fg_event(env, print_table_full);
			return 0;
		}
		row = &set->row[way];
		row->generation++;
		row->print = h->print;
		row->stem = h->stem;
		row->hellos = 0;
		row->known = 0;
		row->asked = (__u32)env->ticks - ask_ticks - 1;
		row->touched = env->epoch;
		fg_tag_publish(&set->tag[way], hash);
	}
	row = &set->row[way];
	fg_add(&row->hellos, 1);
	if (row->known || (__u32)env->ticks - row->asked <= ask_ticks)
		return 0;
	row->asked = env->ticks;
	return 1;
}
