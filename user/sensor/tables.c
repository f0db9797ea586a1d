/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sensor/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t fg_tables_bytes(const struct fg_tables *t)
{
	return (uint64_t)t->n_flows * sizeof(struct fg_flow_set) +
	       (uint64_t)t->n_flows * FG_WAYS * sizeof(struct fg_timing) +
	       (uint64_t)t->n_knocks * sizeof(struct fg_knock_set) +
	       (uint64_t)t->n_sources * sizeof(struct fg_source_set) +
	       (uint64_t)t->n_clients * sizeof(struct fg_client_set) +
	       (uint64_t)t->n_prints * sizeof(struct fg_print_set) +
	       (uint64_t)t->n_streams * sizeof(struct fg_stream) +
	       (uint64_t)t->n_stash * sizeof(struct fg_stash) +
	       (uint64_t)FG_OVERFLOW_COLUMNS * sizeof(struct fg_overflow);
}

/* Proportions: as many sources and clients as a quarter of the connections, and as many waiting
 * SYNs; hellos in the middle of their segments are few and short-lived, and those whose segments
 * changed places fewer yet. */
static void scale(struct fg_tables *t, uint32_t flows)
{
	t->n_flows = flows;
	t->n_knocks = flows / 4;
	t->n_sources = flows / 4;
	t->n_clients = flows / 4;
	t->n_prints = flows / 64 > 512 ? flows / 64 : 512;
	t->n_streams = flows / 8 > 16384 ? 16384 : flows / 8;
	t->n_stash = t->n_streams / 8;
}

void fg_tables_size(uint64_t bytes, struct fg_tables *ret_sizes)
{
	uint32_t flows = 1024;

	memset(ret_sizes, 0, sizeof(*ret_sizes));
	scale(ret_sizes, flows);
	while (flows < 1U << 24) {
		struct fg_tables larger = { 0 };

		scale(&larger, flows * 2);
		if (fg_tables_bytes(&larger) > bytes)
			break;
		flows *= 2;
		*ret_sizes = larger;
	}
}

uint64_t fg_tables_default_bytes(void)
{
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return ram / 32 < 256ULL << 20 ? ram / 32 : 256ULL << 20;
}

int fg_per_set_new(const struct fg_tables *t, struct fg_per_set *ret)
{
	*ret = (struct fg_per_set){
		.flows = calloc(t->n_flows, 1),
		.knocks = calloc(t->n_knocks, 1),
		.sources = calloc(t->n_sources, 1),
		.clients = calloc(t->n_clients, 1),
		.prints = calloc(t->n_prints, 1),
		.streams = calloc(t->n_streams, 1),
	};
	return ret->flows && ret->knocks && ret->sources && ret->clients && ret->prints &&
			       ret->streams ?
		       0 :
		       -ENOMEM;
}

void fg_per_set_free(struct fg_per_set *p)
{
	free(p->flows);
	free(p->knocks);
	free(p->sources);
	free(p->clients);
	free(p->prints);
	free(p->streams);
}

void fg_tables_masks(const struct fg_tables *t, struct fg_config *config)
{
	config->flow_mask = t->n_flows - 1;
	config->knock_mask = t->n_knocks - 1;
	config->source_mask = t->n_sources - 1;
	config->client_mask = t->n_clients - 1;
	config->print_mask = t->n_prints - 1;
	config->stream_mask = t->n_streams - 1;
	config->stash_mask = t->n_stash - 1;
}
