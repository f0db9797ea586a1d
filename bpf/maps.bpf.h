/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map. Sizes of the tables are set before load (max_entries here is the smallest).
 *
 *   map              a row is                 written by          removed by           when full
 *   fg_flows         8 connections            ingress, egress     replacement          flow_table_full
 *   fg_timings       one connection's times   ingress, egress     with its connection  cannot
 *   fg_knocks        8 waiting SYNs           ingress, egress     their connection,    oldest goes:
 *                                                                 replacement          knock_replaced
 *   fg_sources       8 proven sources         ingress             replacement          source_table_full
 *   fg_clients       8 clients                ingress             replacement          client_table_full
 *   fg_prints        8 fingerprints           ingress, agent      replacement          print_table_full
 *                                             (known)
 *   fg_streams       a hello being read       ingress             its end, time-out    table_full
 *   fg_stash         a segment that came      ingress             its turn, time-out   gap
 *                    too early
 *   fg_overflow      counters of sources      ingress             never                cannot
 *                    without a row
 *   fg_totals        one slot's counters      all, each CPU its   never                cannot
 *                                             own
 *   fg_meta          the one row              agent               never                cannot
 *   fg_scratch       a CPU's working memory   ingress             never                cannot
 *   fg_samples       hellos to be named       ingress             agent reads          sample_lost
 *   fg_datagrams     Initials of QUIC         ingress             agent reads          quic_lost
 *   fg_drop_sources  a blocked source         agent               agent, and expiry    agent is told
 *                                                                 makes it void
 *   fg_drop_prefix   a blocked prefix         agent               same                 same
 *   fg_drop_clients  a blocked client         agent               same                 same
 *
 * Tables are ARRAY maps so that a look-up is inlined and the agent reads them through mmap; how
 * rows are found, claimed and replaced is told in farmgate/table.h.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "farmgate/platform.h"

#define FG_TABLE(name, value_type)                 \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, value_type);         \
	} name SEC(".maps")

FG_TABLE(fg_flows, struct fg_flow_set);
FG_TABLE(fg_timings, struct fg_timing);
FG_TABLE(fg_knocks, struct fg_knock_set);
FG_TABLE(fg_sources, struct fg_source_set);
FG_TABLE(fg_clients, struct fg_client_set);
FG_TABLE(fg_prints, struct fg_print_set);
FG_TABLE(fg_streams, struct fg_stream);
FG_TABLE(fg_stash, struct fg_stash);
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FG_OVERFLOW_COLUMNS);
	__type(key, __u32);
	__type(value, struct fg_overflow);
} fg_overflow SEC(".maps");
FG_TABLE(fg_meta, struct fg_meta);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FG_TOTAL_SLOTS);
	__type(key, __u32);
	__type(value, struct fg_totals);
} fg_totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fg_scratch);
} fg_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} fg_samples SEC(".maps");

/* Some 1,900 datagrams. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} fg_datagrams SEC(".maps");

#define FG_DROP_MAP(name, key_type)                   \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, FG_DROP_ENTRIES); \
		__type(key, key_type);                \
		__type(value, struct fg_block);       \
	} name SEC(".maps")

FG_DROP_MAP(fg_drop_sources, struct fg_block_source);
FG_DROP_MAP(fg_drop_prefix, struct fg_block_prefix);
FG_DROP_MAP(fg_drop_clients, struct fg_block_client);
