/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The drop maps, as farmgate/gate.h asks for them. One hash map for sources, one for clients, one
 * for prefixes with the length in the key: a look-up costs the same however many entries there are,
 * and a length that nobody uses costs nothing.
 */
#pragma once

/* A block counts while its end, in this kernel's own ticks, has not come: no agent needed. */
static __always_inline int fg_block_holds(struct fg_env *env, struct fg_block *block)
{
	if (!block || block->until_ticks <= env->ticks)
		return 0;
	fg_add(&block->hits, 1);
	block->last_ticks = env->ticks;
	return 1;
}

static __always_inline int fg_source_blocked(struct fg_env *env, const struct fg_key *k)
{
	struct fg_block_source key = {};
	__u64 addr[2];

	fg_source_of(k, addr);
	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return fg_block_holds(env, bpf_map_lookup_elem(&fg_drop_sources, &key));
}

static __always_inline int fg_prefix_blocked(struct fg_env *env, const struct fg_key *k,
					     __u64 lengths)
{
	struct fg_block_prefix key = {};
	__u64 addr[2];
	__u32 i, bits;

	for (i = 0; i < FG_PREFIX_LENGTHS; i++) {
		bits = lengths & 0xff;
		if (!bits)
			break;
		lengths >>= 8;
		addr[0] = k->client[0];
		addr[1] = 0;
		if (bits > 64)
			addr[1] = k->client[1] & fg_be64(~0ULL << (128 - bits));
		else if (bits < 64)
			addr[0] &= fg_be64(~0ULL << (64 - bits));
		__builtin_memcpy(key.addr, addr, sizeof(key.addr));
		key.bits = bits;
		if (fg_block_holds(env, bpf_map_lookup_elem(&fg_drop_prefix, &key)))
			return 1;
	}
	return 0;
}

static __always_inline int fg_client_blocked(struct fg_env *env, const struct fg_key *k, __u64 stem,
					     __u64 stack)
{
	struct fg_block_client key = { .stem = stem, .stack = stack };
	__u64 addr[2];

	fg_source_of(k, addr);
	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	if (stack && fg_block_holds(env, bpf_map_lookup_elem(&fg_drop_clients, &key)))
		return 1;
	key.stack = 0; /* a block on the stem alone */
	return fg_block_holds(env, bpf_map_lookup_elem(&fg_drop_clients, &key));
}
