/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one slice of time added, as taken from the tables of the kernel or of the host engine.
 * Everything in it is a difference to the epoch before, except the totals. A subject may appear
 * more than once; the model adds up. The arrays belong to the source of epochs and are valid until
 * its next call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farmgate/abi.h"

struct fg_epoch_source {
	uint8_t addr[16]; /* IPv4 v4-mapped, IPv6 masked to the /64 */
	uint64_t syns, connections, proven, hellos, incomplete, fins, rsts;
};

struct fg_epoch_client {
	uint8_t addr[16];
	uint64_t stem, stack, print;
	uint64_t connections; /* proven connections that brought this client's hello */
	uint64_t proof_socket, resumed;
};

struct fg_epoch_print {
	uint64_t print, stem;
	uint64_t hellos;
};

/* Progress of one proven connection; stem 0 where its hello is not complete. */
struct fg_epoch_flow {
	uint8_t addr[16];
	uint64_t stem, stack;
	uint64_t bytes_in, bytes_out, exchanges;
};

struct fg_epoch {
	uint64_t start_ns, end_ns; /* unix time; of the capture in replay */
	struct fg_totals received; /* since the start, all ingress slots and CPUs */
	struct fg_totals replies; /* same, egress slots */
	const struct fg_epoch_source *sources;
	size_t n_sources;
	const struct fg_epoch_client *clients;
	size_t n_clients;
	const struct fg_epoch_print *prints;
	size_t n_prints;
	const struct fg_epoch_flow *flows;
	size_t n_flows;
	const struct fg_sample *samples; /* hellos to be named */
	size_t n_samples;
};
