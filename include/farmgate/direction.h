/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is ours: protected ports and prefixes, and a connection's name seen from either side. */
#pragma once

#include "farmgate/platform.h"

static __always_inline int fg_port_protected(struct fg_env *env, __u16 port)
{
	return FG_CFG(env)->ports[port >> 6] >> (port & 63) & 1;
}

static __always_inline int fg_prefix_has(const volatile struct fg_prefix *prefixes, __u32 n,
					 const __u64 addr[2])
{
	__u32 i;

	for (i = 0; i < FG_MAX_PREFIXES; i++) {
		__u64 high, low, mask_high, mask_low;
		__u32 bits;

		if (i >= n)
			break;
		bits = prefixes[i].bits;
		mask_high = bits >= 64 ? ~0ULL : bits ? ~0ULL << (64 - bits) : 0;
		mask_low = bits >= 128 ? ~0ULL : bits > 64 ? ~0ULL << (128 - bits) : 0;
		high = *(const volatile __u64 *)&prefixes[i].addr[0] ^ addr[0];
		low = *(const volatile __u64 *)&prefixes[i].addr[8] ^ addr[1];
		if (!(fg_be64(high) & mask_high) && !(fg_be64(low) & mask_low))
			return 1;
	}
	return 0;
}

/* Is the server's address inside a protected prefix? True where none is configured. */
static __always_inline int fg_prefix_protected(struct fg_env *env, const __u64 server[2])
{
	return !FG_CFG(env)->n_prefixes ||
	       fg_prefix_has(FG_CFG(env)->prefixes, FG_CFG(env)->n_prefixes, server);
}

static __always_inline void fg_key_swap(struct fg_key *k)
{
	struct fg_key old = *k;

	k->client[0] = old.server[0];
	k->client[1] = old.server[1];
	k->server[0] = old.client[0];
	k->server[1] = old.client[1];
	k->client_port = old.server_port;
	k->server_port = old.client_port;
}
