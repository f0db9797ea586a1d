/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any datagrams as QUIC of a few clients: as they are, and as frames that are sealed first, because
 * nobody guesses a tag. Nothing waits beyond its limits, a hello that is complete is whole, and at the
 * end all of it is told.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hello.h"
#include "fuzz.h"
#include "quic_build.h"
#include "source/quic.h"

static const uint64_t seed[4] = { 11, 22, 33, 44 };
static struct fg_hello hello;

static void on_lost(void *arg, const struct fg_quic_path *path, enum fg_incomplete reason)
{
	MUST(path->server_port_be && reason < _FG_INCOMPLETE_MAX);
	++*(unsigned int *)arg;
}

/* What the client sends: the bytes, or an Initial with them as frames. */
static size_t datagram_of(uint8_t how, const uint8_t *bytes, size_t n, uint8_t *to, size_t room)
{
	static const uint32_t versions[4] = { FG_QUIC_NUMBER_1, FG_QUIC_NUMBER_2, FG_QUIC_NUMBER_29,
					      FG_QUIC_NUMBER_1 };
	struct fg_quic_initial initial = {
		.version = versions[how >> 4 & 3],
		.dcid = { 8, { how >> 6 } },
		.number = n & 0xff,
		.n_number = 4,
	};
	struct fg_quic_frames frames = { .n = n };

	if (how & 8 && n >= 4 && n <= sizeof(frames.bytes)) {
		memcpy(frames.bytes, bytes, n);
		return fg_quic_build(&initial, &frames, to, room);
	}
	memcpy(to, bytes, n);
	return n;
}

/* Input: how (one byte: client 0-7, sealed, version, connection ID), length (two), bytes; again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t sent[8192];
	struct fg_quic *quic;
	unsigned int lost = 0;
	uint64_t now_ns = 0;

	MUST(!fg_quic_new(seed, &quic));
	fg_quic_on_lost(quic, on_lost, &lost);
	while (size >= 3) {
		struct fg_quic_path path = { .client = { data[0] & 7 }, .server_port_be = 443 };
		size_t n = (size_t)data[1] << 8 | data[2], n_sent;
		enum fg_quic_result r;
		uint8_t *exact;

		n = n > size - 3 ? size - 3 : n;
		n = n > 4000 ? 4000 : n;
		n_sent = datagram_of(data[0], data + 3, n, sent, sizeof(sent));
		exact = malloc(n_sent ? n_sent : 1);
		MUST(exact);
		memcpy(exact, sent, n_sent);
		r = fg_quic_datagram(quic, &path, now_ns += 1000000000ULL, exact, n_sent, &hello);
		free(exact);
		MUST(r <= FG_QUIC_FAILED);
		MUST((r == FG_QUIC_HELLO) == (hello.result == FG_HELLO_COMPLETE));
		MUST(r != FG_QUIC_FAILED || hello.reason < _FG_INCOMPLETE_MAX);
		MUST(fg_quic_waiting(quic) <= 8);
		MUST(fg_quic_waiting_bytes(quic) <= FG_QUIC_WAITING_BYTES);
		data += 3 + n;
		size -= 3 + n;
	}
	fg_quic_give_up(quic, FG_INCOMPLETE_end);
	MUST(!fg_quic_waiting(quic) && !fg_quic_waiting_bytes(quic));
	fg_quic_free(&quic);
	return 0;
}
