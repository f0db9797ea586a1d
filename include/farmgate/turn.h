/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exchange stage: request and response turns, seen without decrypting. Behind the hello it walks
 * the client's TLS record headers until the first application-data record; from there on client
 * payload is summed, and a turn counts as an exchange when it reaches FG_EXCHANGE_MIN_BYTES.
 * Server payload of FG_ANSWER_MIN_BYTES ends the turn (flow_server_progress).
 */
#pragma once

#include "farmgate/flow.h"
#include "farmgate/hello.h"
#include "farmgate/platform.h"

/* Record headers walked in one segment: ClientKeyExchange, CertificateVerify, ChangeCipherSpec,
 * Finished and some to spare. */
#define FG_TURN_MAX_RECORDS 8

/* A record that holds exactly one hello, behind the first: the answer to a HelloRetryRequest. An
 * encrypted record looks like one by chance once in 2^32. */
static __always_inline void turn_second_hello(struct fg_env *env, const struct fg_frame *f,
					      __u32 at, __u32 end)
{
	__u8 b[8]; /* version (2), length (2), type (1), length (3) */

	if (end - at < 9 || !fg_peek(env, f->payload_off + (at + 1 - f->seq), b, 8))
		return;
	if (b[4] == 1 && b[5] == 0 && ((b[6] << 8 | b[7]) + 4) == (b[2] << 8 | b[3])) {
		fg_event(env, hellos_second);
		env->scratch->second_hello = 1;
	}
}

/* One record header that begins at flow->record_seq, or what this segment holds of it. */
static __always_inline int turn_read_header(struct fg_env *env, const struct fg_frame *f,
					    struct fg_flow *flow, __u32 end)
{
	__u32 have = flow->record_have, i;

	for (i = 0; i < 5; i++) {
		__u32 at = flow->record_seq + have;
		__u8 b[8];

		if (have >= 5 || at == end)
			break;
		if (!fg_peek(env, f->payload_off + (at - f->seq), b, 1))
			return 0;
		if (have == 0 && b[0] == FG_TLS_APPLICATION_DATA) {
			flow->flags |= FG_FLOW_APP_SEEN;
			return 0;
		}
		if (have == 0 && b[0] == FG_TLS_HANDSHAKE)
			turn_second_hello(env, f, at, end);
		if (have >= 3)
			flow->record_len = flow->record_len << 8 | b[0];
		have++;
	}
	flow->record_have = have;
	if (have < 5)
		return 0;
	flow->record_have = 0;
	flow->record_seq += 5 + flow->record_len;
	flow->record_len = 0;
	return 1;
}

/* Walks the headers inside the new bytes [from, end) of this segment. */
static __always_inline void turn_find_application_data(struct fg_env *env, const struct fg_frame *f,
						       struct fg_flow *flow, __u32 from, __u32 end)
{
	__u32 i;

	if (fg_seq_before(flow->record_seq + flow->record_have, from)) {
		flow->flags |= FG_FLOW_RECORD_LOST;
		fg_event(env, record_lost);
		return;
	}
	for (i = 0; i < FG_TURN_MAX_RECORDS; i++) {
		if (!fg_seq_before(flow->record_seq, end))
			return;
		if (!turn_read_header(env, f, flow, end))
			return;
	}
}

/* New client bytes [from, end), the end of this segment's payload. */
static __always_inline void turn_client_bytes(struct fg_env *env, const struct fg_frame *f,
					      struct fg_flow *flow, __u32 from, __u32 end)
{
	__u32 before = flow->turn_bytes, after;

	if (flow->flags & FG_FLOW_RECORD_LOST || !(flow->flags & FG_FLOW_HELLO_SEEN))
		return;
	if (!(flow->flags & FG_FLOW_APP_SEEN)) {
		turn_find_application_data(env, f, flow, from, end);
		if (!(flow->flags & FG_FLOW_APP_SEEN))
			return;
		from = flow->record_seq;
	}
	after = before + (end - from);
	flow->turn_bytes = after;
	flow->answer_bytes = 0;
	if (!before)
		timing_ask(env, flow);
	if (before >= FG_EXCHANGE_MIN_BYTES || after < FG_EXCHANGE_MIN_BYTES)
		return;
	flow->exchanges++;
	timing_turn(env, flow, after);
}
