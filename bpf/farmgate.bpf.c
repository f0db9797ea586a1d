/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sensor's entries. Each sets up where it runs and hands the frame to the one pipeline
 * (include/farmgate/pipeline.h); nothing is parsed or counted here.
 *
 *   fg_xdp, fg_xdp_loop   XDP ingress, with may_goto (6.9) or bpf_loop for the hello loop
 *   fg_tc, fg_tc_loop     tc ingress, where XDP cannot attach
 *   fg_egress             tc egress, the reply direction: SYN-ACKs and server payload
 *
 * Context: softirq, or a test run. No program sleeps. XDP and tc ingress drop what the gate names;
 * none changes a frame but one that is dropped and goes back as a RST (reset.bpf.h).
 */
#include "platform.bpf.h"

#include "farmgate/pipeline.h"

#include "apart.bpf.h"
#include "reset.bpf.h"

/* tcx verdicts (kernel 6.6); the same numbers mean the same to clsact. */
#define FG_TC_NEXT (-1)
#define FG_TC_DROP 2

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The slot of the interface in fg_totals. */
static __always_inline __u32 slot_of(__u32 ifindex)
{
	__u32 i;

	for (i = 0; i < FG_MAX_IFACES; i++) {
		if (i + 1 >= fg_config.n_ifaces || fg_config.ifindex[i] == ifindex)
			break;
	}
	return i < FG_MAX_IFACES ? i : 0;
}

/* Replay: packet time, tick and lengths travel in front of the frame. */
static __always_inline int env_from_metadata(struct fg_env *env, struct xdp_md *ctx,
					     __u32 *ret_frame_len, __u32 *ret_wire_len)
{
	struct fg_replay_meta *m = (void *)(long)ctx->data_meta;

	if ((void *)(m + 1) > (void *)(long)ctx->data)
		return 0;
	env->replay_ns = m->time_ns;
	env->ticks = (__u64)m->ticks_hi << 32 | m->ticks_lo;
	env->scratch->ticks = env->ticks;
	*ret_frame_len = m->frame_len;
	*ret_wire_len = m->wire_len;
	return 1;
}

static __always_inline int run_xdp(struct xdp_md *ctx, int may_goto)
{
	struct fg_env env = { .hook = FG_HOOK_INGRESS, .may_goto = may_goto };
	__u32 frame_len, wire_len;

	if (!env_init(&env, ctx, slot_of(ctx->ingress_ifindex)))
		return XDP_PASS;
	frame_len = bpf_xdp_get_buff_len(ctx);
	wire_len = frame_len;
	if (fg_config.replay && !env_from_metadata(&env, ctx, &frame_len, &wire_len))
		return XDP_PASS;
	switch (fg_pipeline(&env, frame_len, wire_len)) {
	case FG_DROP:
		return XDP_DROP;
	case FG_RESET:
		return reset_answer(&env) ? XDP_TX : XDP_DROP;
	default:
		return XDP_PASS;
	}
}

static __always_inline int run_tc(struct __sk_buff *skb, enum fg_hook hook, int may_goto)
{
	struct fg_env env = { .hook = hook, .tc = 1, .may_goto = may_goto };
	__u32 slot = slot_of(skb->ifindex);

	if (hook == FG_HOOK_EGRESS)
		slot += FG_MAX_IFACES;
	if (!env_init(&env, skb, slot))
		return FG_TC_NEXT;
	switch (fg_pipeline(&env, skb->len, skb->len)) {
	case FG_DROP:
		return FG_TC_DROP;
	case FG_RESET:
		return reset_answer(&env) ? bpf_redirect(skb->ifindex, 0) : FG_TC_DROP;
	default:
		return FG_TC_NEXT;
	}
}

SEC("xdp.frags")
int fg_xdp(struct xdp_md *ctx)
{
	return run_xdp(ctx, 1);
}

SEC("xdp.frags")
int fg_xdp_loop(struct xdp_md *ctx)
{
	return run_xdp(ctx, 0);
}

SEC("tc")
int fg_tc(struct __sk_buff *skb)
{
	return run_tc(skb, FG_HOOK_INGRESS, 1);
}

SEC("tc")
int fg_tc_loop(struct __sk_buff *skb)
{
	return run_tc(skb, FG_HOOK_INGRESS, 0);
}

SEC("tc")
int fg_egress(struct __sk_buff *skb)
{
	return run_tc(skb, FG_HOOK_EGRESS, 0);
}
