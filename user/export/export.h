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

#include "verdict/store.h"

/* Until the collateral guards exist: no more automatic blocks than one person can review. */
#define FG_EXPORT_CAP 1000

/* A block of all that comes from a prefix. */
struct fg_export_item {
	uint8_t addr[16];
	uint8_t bits; /* of 128 */
	uint64_t until_ns;
	int64_t verdict; /* its id, which grows and is never used again */
	uint32_t cohort; /* 0 = of none */
	bool by_operator;
	char ja4[40]; /* "" = not known */
	char reason[160];
};

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
	uint64_t revision; /* fg_store_revision() that it was made of */
	/* sorted by address, then bits; no duplicates, no item inside another */
	struct fg_export_item *items;
	size_t n;
	/* sorted by address, stem, stack; no duplicates */
	struct fg_export_client *clients;
	size_t n_clients;
	size_t withheld; /* matched the tier but were held back by a guard or the cap */
};

/** @return 0, -ENOMEM; *ret_set has one reference, the caller's. */
int fg_export_select(const struct fg_store *store, enum fg_tier min_tier, uint64_t now_ns,
		     struct fg_export_set **ret_set);
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

/** For each item its end, author and reason, and who would be hit: sources, clients and exchanges
 * inside it that the model knows. @return 0, -EIO, -ENOMEM. */
int fg_export_dry_run(FILE *out, const struct fg_export_set *set, const struct fg_model *model);
