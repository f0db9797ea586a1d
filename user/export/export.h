/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Verdicts leaving for a firewall or another system. What may leave is decided once
 * (fg_export_select) for all of them: a set of blocks, of addresses and of clients, that nobody
 * changes any more. Documents are written from it (fg_export_NAME), live targets are kept equal to
 * it (target.h).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "export/plan.h"
#include "verdict/store.h"

/* A block of all that comes from a prefix. */
struct fg_export_item {
	uint8_t addr[16];
	uint8_t bits; /* of 128 */
	uint64_t until_ns; /* for who knows addresses only; else ask fg_export_whole_until() */
	uint64_t whole_until_ns; /* for who can tell clients apart, where it is earlier; 0 = it is not */
	bool of_clients; /* it stands for blocks of its clients, which are in the set too */
	int64_t verdict; /* its id, which grows and is never used again */
	uint32_t cohort; /* 0 = of none */
	bool by_operator;
	enum fg_tier tier;
	double score; /* nats; 0 where an operator decided */
	uint64_t first_ns, updated_ns; /* unix: flagged, last renewed */
	char ja4[40]; /* "" = not known */
	char reason[160];
};

/** The end of an item for who can tell clients apart; 0 = the blocks of its clients are enough for them,
 * and they leave it out. */
static inline uint64_t fg_export_whole_until(const struct fg_export_item *item)
{
	if (item->of_clients)
		return 0;
	return item->whole_until_ns ? item->whole_until_ns : item->until_ns;
}

/* A block of one client behind a source, for who can tell clients apart. */
struct fg_export_client {
	uint8_t addr[16]; /* one IPv4 address, or an IPv6 /64 */
	uint64_t stem, stack; /* stack 0 = any */
	uint64_t until_ns;
	int64_t verdict;
	bool by_operator;
};

/* Never changed once it is made, and counted: threads may hold one while they work. */
struct fg_export_set {
	atomic_uint refs;
	uint64_t revision; /* the caller's: grows with each set that differs from the one before */
	/* sorted by address, then bits; no duplicates, no item inside another */
	struct fg_export_item *items;
	size_t n;
	/* sorted by address, stem, stack; no duplicates */
	struct fg_export_client *clients;
	size_t n_clients;
	size_t withheld; /* verdicts of the tier that a guard holds altogether */
};

/** What may leave of a plan that was made of the store as it is. @return 0, -ESTALE where the store has
 * changed since, -ENOMEM; *ret_set has one reference, the caller's. */
int fg_export_select(const struct fg_store *store, const struct fg_plan *plan,
		     struct fg_export_set **ret_set);
/** Do two sets say the same? */
bool fg_export_equal(const struct fg_export_set *a, const struct fg_export_set *b);
/** Number of items that begin at or before an address. */
size_t fg_export_count_up_to(const struct fg_export_set *set, const uint8_t addr[16]);
struct fg_export_set *fg_export_set_ref(struct fg_export_set *set);
/** Drops a reference and clears the caller's pointer; NULL is fine. */
void fg_export_set_unref(struct fg_export_set **set);

/* Ports that the nft rules protect. */
struct fg_export_conf {
	const uint16_t *ports;
	size_t n_ports;
	bool udp; /* also match UDP to these ports */
};

/** Complete documents for the consumer. @return 0, -EIO. */
int fg_export_nft(FILE *out, const struct fg_export_set *set, const struct fg_export_conf *conf,
		  uint64_t now_ns);
int fg_export_plain(FILE *out, const struct fg_export_set *set);
int fg_export_csv(FILE *out, const struct fg_export_set *set, uint64_t now_ns);
int fg_export_json(FILE *out, const struct fg_export_set *set, uint64_t now_ns);

/** Each block that would leave: as what, until when, by whom, and who else would be hit; then what is held,
 * by guard. The plan is of the store as it is. model may be NULL. @return 0, -ESTALE, -EIO, -ENOMEM. */
int fg_export_dry_run(FILE *out, const struct fg_store *store, const struct fg_plan *plan,
		      const struct fg_model *model);
