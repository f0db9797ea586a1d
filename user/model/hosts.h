/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hosts behind an address, by their clocks. The timestamp option of a SYN is a clock
 * of its host plus an offset. Most Linux and Android choose the offset by a keyed hash of source and
 * destination address, so all connections of one host to one of our addresses lie on one line
 * TSval = f * t + offset, and hosts behind one NAT lie on different ones (net/core/secure_seq.c).
 *
 * This breaks, and is tested against it, where systems draw the offset anew for each connection:
 * Apple's, the BSDs, and Linux where the ports are in the hash (6.18.44 was measured to be so). Then
 * SYNs join no line. The share that does is kept, overall and for each source; where it is low the
 * answer is "unknown" and no number. Lines are kept for each address of ours apart, and the address
 * with the most of them counts: a host that talks to several has as many clocks. It counts too many
 * where a host slept or rebooted within a day; none of those that send no timestamps (Windows).
 *
 * Rows are made when a second SYN with a timestamp comes from a source, and lie in a fixed table of
 * sets of eight placed by a keyed hash; where its set is full a row idle for a day gives way, else
 * the newcomer is refused and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Those with a crowd worth counting are few among a million sources; 15 MB. */
#define FG_DEFAULT_HOSTS 65536
/* More hosts than these are a crowd, however many. */
#define FG_HOST_LINES 16

/* A SYN's timestamp, which address of ours it came to, and when (unix). */
struct fg_ts {
	uint32_t tsval;
	uint16_t to; /* fg_hosts_to() */
	uint64_t ns;
};

/* The clocks behind one source. */
struct fg_hosts_row {
	uint8_t addr[16];
	uint64_t last_ns; /* 0 = row is free */
	struct fg_host_line {
		uint32_t tsval, ms; /* newest point */
	} lines[FG_HOST_LINES];
	uint8_t fits[FG_HOST_LINES]; /* frequencies that all points fit, a bit each; 0 = no line */
	uint8_t points[FG_HOST_LINES]; /* stops at 255 */
	uint16_t to[FG_HOST_LINES]; /* the address of ours that its points came to */
	uint8_t n, joined; /* of the latest SYNs; halved together */
	bool unsaved; /* changed since its summary was made (model/remember.h) */
	float by_chance;
};

struct fg_hosts;

/** @param seed  keys the placement. @param n  rows, in eights. @return 0, -ENOMEM. */
int fg_hosts_new(const uint64_t seed[2], uint32_t n, struct fg_hosts **ret_hosts);
void fg_hosts_free(struct fg_hosts **hosts);

/** An address of ours as a keyed hash: two in 65536 look alike, and then count as one. */
uint16_t fg_hosts_to(const struct fg_hosts *hosts, const uint8_t server[16]);

/** Adds a SYN of a source; before is the source's SYN before this one, used where it has no row. */
void fg_hosts_add(struct fg_hosts *hosts, const uint8_t addr[16], const struct fg_ts *before,
		  const struct fg_ts *ts);

/* How many SYNs joined a line, of those that could have. */
struct fg_ts_joins {
	uint64_t n, joined;
	double by_chance; /* expected of timestamps that mean nothing */
};

struct fg_hosts_seen {
	struct fg_ts_joins joins; /* of the latest 32 to 64 SYNs */
	/* with two SYNs or more, the newest within a day, to the address of ours that has most */
	unsigned int lines;
	bool full; /* of all lines that are kept, none is free: there may be more */
	bool known; /* the assumption holds for this source */
	unsigned int hosts; /* max(1, lines) where known, else 0 */
	char why[160]; /* a sentence */
};
struct fg_hosts_seen fg_hosts_read(const struct fg_hosts *hosts, const uint8_t addr[16],
				   uint64_t now_ns);

/** Over all sources, since the start. */
struct fg_ts_joins fg_hosts_joins(const struct fg_hosts *hosts);

struct fg_hosts_refused {
	uint64_t no_room, expired;
	uint64_t lines; /* that gave way to a newcomer within their day */
};
struct fg_hosts_refused fg_hosts_refused(const struct fg_hosts *hosts);
size_t fg_hosts_n(const struct fg_hosts *hosts);

/** Places of rows, and the one at a place below that; NULL where it is free. */
size_t fg_hosts_places(const struct fg_hosts *hosts);
struct fg_hosts_row *fg_hosts_at(struct fg_hosts *hosts, size_t place);
/** Puts a row back, where its set has room and it is not there. */
void fg_hosts_restore(struct fg_hosts *hosts, const struct fg_hosts_row *row);

/*
 * Is a source shared, a crowd behind one address ? At least four of these five; the
 * sixth, blocks of ports, is in no record. Thresholds are the note's.
 */
#define FG_SHARED_ALL	 5
#define FG_SHARED_FACTS	 4
#define FG_SHARED_STEMS	 8
#define FG_SHARED_STACKS 5
#define FG_SHARED_LINES	 6
#define FG_SHARED_HOPS \
	3 /* between the farthest and the nearest SYN: a change of route makes 1 or 2 */
#define FG_SHARED_CLIENTS 20 /* that moved within one epoch */

struct fg_crowd {
	uint32_t stems, stacks, lines, hops, clients;
};

struct fg_shared {
	bool shared;
	unsigned int facts; /* of the five */
	char why[128]; /* the facts that hold; "" where none does */
};
/** @param shared_stems  so many distinct stems make a source shared by themselves. */
struct fg_shared fg_hosts_shared(const struct fg_crowd *crowd, uint32_t shared_stems);
/** Memory of a table of n rows. */
size_t fg_hosts_bytes(uint32_t n);
