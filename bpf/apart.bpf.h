/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stages that few installations ask for, as functions which the verifier takes on their own: inlined,
 * each of their ends would be followed through all that comes behind. What they need of their caller
 * lies in the scratch. One for each kind of context, whose type the verifier reads from the argument.
 */
#pragma once

#include "platform.bpf.h"

#include "farmgate/proxy.h"
#include "farmgate/tunnel.h"

/* The caller's, again. */
static __always_inline int env_again(struct fg_env *env, void *ctx)
{
	struct fg_scratch *s;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&fg_scratch, &zero);
	if (!s)
		return 0;
	env->scratch = s;
	env->ctx = ctx;
	env->totals = bpf_map_lookup_elem(&fg_totals, &s->slot);
	env->meta = bpf_map_lookup_elem(&fg_meta, &zero);
	if (!env->totals || !env->meta)
		return 0;
	env->epoch = env->meta->epoch;
	env->ticks = s->ticks;
	return 1;
}

static __always_inline int unwrap(struct fg_env *env, void *ctx, __u32 frame_len, int outcome)
{
	if (!env_again(env, ctx))
		return FG_FRAME_internal;
	return fg_unwrap(env, frame_len, &env->scratch->frame, outcome);
}

static __always_inline __u32 take_proxy(struct fg_env *env, void *ctx, __u32 seq, __u32 n)
{
	struct fg_flow_set *set;
	__u32 at;

	if (!env_again(env, ctx))
		return 0;
	at = env->scratch->flow_at;
	set = fg_flow_set(env, at / FG_WAYS);
	if (!set)
		return 0;
	return proxy_take(env, &env->scratch->frame, &set->row[at % FG_WAYS], seq, n);
}

__noinline int fg_unwrap_xdp(struct xdp_md *ctx, __u32 frame_len, int outcome)
{
	struct fg_env env = { .hook = FG_HOOK_INGRESS };

	return unwrap(&env, ctx, frame_len, outcome);
}

__noinline int fg_unwrap_ingress(struct __sk_buff *skb, __u32 frame_len, int outcome)
{
	struct fg_env env = { .hook = FG_HOOK_INGRESS, .tc = 1 };

	return unwrap(&env, skb, frame_len, outcome);
}

__noinline int fg_unwrap_egress(struct __sk_buff *skb, __u32 frame_len, int outcome)
{
	struct fg_env env = { .hook = FG_HOOK_EGRESS, .tc = 1 };

	return unwrap(&env, skb, frame_len, outcome);
}

__noinline int fg_proxy_xdp(struct xdp_md *ctx, __u32 seq, __u32 n)
{
	struct fg_env env = { .hook = FG_HOOK_INGRESS };

	return take_proxy(&env, ctx, seq, n);
}

__noinline int fg_proxy_ingress(struct __sk_buff *skb, __u32 seq, __u32 n)
{
	struct fg_env env = { .hook = FG_HOOK_INGRESS, .tc = 1 };

	return take_proxy(&env, skb, seq, n);
}
