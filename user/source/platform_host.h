/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The host's answers to farmgate/platform.h: tables are memory, time is the packet's, one thread; or,
 * with FG_TABLES_SHARED, tables that the kernel's programs write to at the same time. No socket table
 * (a capture is not this host), and no blocks but those that is_blocked knows (replay observes).
 */
#pragma once

#include <string.h>

#include "farmgate/hello.h"
#include "farmgate/platform.h"
#include "source/engine.h"

struct fg_env {
	FG_ENV;
	const struct fg_config *config;
	const struct fg_tables *tables;
	const uint8_t *data;
	uint32_t len;
	uint64_t time_ns;
	fg_sample_fn on_sample;
	fg_datagram_fn on_datagram;
	int (*is_blocked)(void *arg, const uint8_t source[16], uint64_t stem, uint64_t stack);
	void *arg;
};

#define FG_CFG(env) ((env)->config)

/* Somebody looks at what changed, where it is known: see sensor/tables.h. */
#define FG_MARK(env, what, i)                                       \
	do {                                                        \
		if ((env)->tables->hot.what)                        \
			(env)->tables->hot.what[i] = FG_HOT_PASSES; \
	} while (0)

static inline struct fg_flow_set *fg_flow_set(struct fg_env *env, uint32_t i)
{
	FG_MARK(env, flows, i);
	return &env->tables->flows[i];
}

static inline struct fg_timing *fg_timing_at(struct fg_env *env, uint32_t i)
{
	return &env->tables->timings[i];
}

static inline struct fg_knock_set *fg_knock_set(struct fg_env *env, uint32_t i)
{
	FG_MARK(env, knocks, i);
	return &env->tables->knocks[i];
}

static inline struct fg_source_set *fg_source_set(struct fg_env *env, uint32_t i)
{
	FG_MARK(env, sources, i);
	return &env->tables->sources[i];
}

static inline struct fg_client_set *fg_client_set(struct fg_env *env, uint32_t i)
{
	FG_MARK(env, clients, i);
	return &env->tables->clients[i];
}

static inline struct fg_print_set *fg_print_set(struct fg_env *env, uint32_t i)
{
	FG_MARK(env, prints, i);
	return &env->tables->prints[i];
}

static inline struct fg_stream *fg_stream_at(struct fg_env *env, uint32_t i)
{
	FG_MARK(env, streams, i);
	return &env->tables->streams[i];
}

static inline struct fg_stash *fg_stash_at(struct fg_env *env, uint32_t i)
{
	return &env->tables->stash[i];
}

static inline struct fg_overflow *fg_overflow_at(struct fg_env *env, uint32_t i)
{
	return &env->tables->overflow[i];
}

static inline uint32_t fg_forget(struct fg_env *env, uint32_t x)
{
	(void)env;
	return x;
}

#ifdef FG_TABLES_SHARED
#define fg_add(p, n)	       ((void)__atomic_fetch_add(p, n, __ATOMIC_RELAXED))
#define fg_or32(p, bits)       __atomic_fetch_or(p, bits, __ATOMIC_ACQ_REL)
#define fg_swap32(p, old, new) __sync_bool_compare_and_swap(p, old, new)
#else
#define fg_add(p, n)	       ((void)(*(p) += (n)))
#define fg_swap32(p, old, new) (*(p) == (old) ? (*(p) = (new), 1) : 0)

static inline uint32_t fg_or32(uint32_t *p, uint32_t bits)
{
	uint32_t before = *p;

	*p |= bits;
	return before;
}
#endif

static inline void fg_headers(struct fg_env *env, const void **ret_data, const void **ret_end)
{
	*ret_data = env->data;
	*ret_end = env->data + env->len;
}

static inline uint64_t fg_now_ns(struct fg_env *env)
{
	return env->time_ns;
}

static inline int fg_peek(struct fg_env *env, uint32_t off, uint8_t dst[8], uint32_t n)
{
	if (off > env->len || n > env->len - off)
		return 0;
	memcpy(dst, env->data + off, n);
	return 1;
}

static inline uint32_t fg_payload(struct fg_env *env, uint32_t off, uint32_t n)
{
	if (off > env->len || n > FG_SEGMENT_MAX_BYTES)
		return 0;
	if (n > env->len - off)
		n = env->len - off;
	memcpy(env->scratch->segment, env->data + off, n);
	return n;
}

static inline int fg_copy_payload(struct fg_env *env, uint32_t off, uint8_t *dst, uint32_t n)
{
	if (off > env->len || n > env->len - off || n > FG_STASH_BYTES)
		return 0;
	memcpy(dst, env->data + off, n);
	return 1;
}

static inline void fg_proxy_run(struct fg_env *env);

#include "farmgate/proxy_header.h"
#include "farmgate/stash.h"

static inline void fg_proxy_run(struct fg_env *env)
{
	while (fg_proxy_step(env->scratch))
		;
}

static inline void fg_stream_run(struct fg_env *env)
{
	while (fg_stream_step(env))
		;
}

static inline enum fg_socket fg_socket_proof(struct fg_env *env, const struct fg_frame *f,
					     const struct fg_key *k)
{
	(void)env;
	(void)f;
	(void)k;
	return FG_SOCKET_NONE;
}

static inline int fg_source_blocked(struct fg_env *env, const struct fg_key *k)
{
	(void)env;
	(void)k;
	return 0;
}

static inline int fg_prefix_blocked(struct fg_env *env, const struct fg_key *k, uint64_t lengths)
{
	(void)env;
	(void)k;
	(void)lengths;
	return 0;
}

static inline int fg_client_blocked(struct fg_env *env, const struct fg_key *k, uint64_t stem,
				    uint64_t stack)
{
	uint64_t source[2] = { k->client[0], k->client[0] ? 0 : k->client[1] };

	return env->is_blocked && env->is_blocked(env->arg, (const uint8_t *)source, stem, stack);
}

static inline void fg_hand_datagram(struct fg_env *env, const struct fg_key *k, uint32_t off,
				    uint32_t n)
{
	struct fg_datagram d = {
		.time_ns = env->time_ns,
		.client_port_be = htobe16(k->client_port),
		.server_port_be = htobe16(k->server_port),
		.len = n,
	};

	if (n > FG_DATAGRAM_BYTES || !fg_copy_payload(env, off, d.bytes, n)) {
		env->totals->events[FG_EVENT_quic_lost]++;
		return;
	}
	memcpy(d.client, k->client, 16);
	memcpy(d.server, k->server, 16);
	env->on_datagram(env->arg, &d);
}

static inline void fg_emit(struct fg_env *env, const struct fg_key *k, const struct fg_flow *flow,
			   const struct fg_hello *h, uint32_t status)
{
	struct fg_sample s = {
		.time_ns = env->time_ns,
		.client_port_be = htobe16(k->client_port),
		.server_port_be = htobe16(k->server_port),
		.proto = 't',
		.status = (uint8_t)status,
		.proof = flow->proof,
		.stack = flow->stack,
	};

	memcpy(s.client, k->client, 16);
	memcpy(s.server, k->server, 16);
	s.hello = *h;
	env->totals->events[FG_EVENT_samples]++;
	env->on_sample(env->arg, &s);
}

#include "farmgate/proxy.h"
#include "farmgate/tunnel.h"

static inline int fg_unwrap_apart(struct fg_env *env, uint32_t frame_len, int outcome)
{
	return fg_unwrap(env, frame_len, &env->scratch->frame, outcome);
}

static inline uint32_t fg_proxy_apart(struct fg_env *env, struct fg_flow *flow, uint32_t seq,
				      uint32_t n)
{
	return proxy_take(env, &env->scratch->frame, flow, seq, n);
}
