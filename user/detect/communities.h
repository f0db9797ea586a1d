/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Communities of accounts: accounts that turn up together on client after client.
 *
 * Graph     two accounts are joined where they were on the same clients in FG_COMMUNITY_NETWORKS networks
 *           within a day (EvilCohort, Stringhini et al., USENIX Security 2015, which joins by shared
 *           addresses; networks instead, so that the several addresses of one office or of one mobile
 *           operator are one). Connected components of it are communities.
 * Rovers    where a pool of exits is large no two accounts meet three times. So accounts are joined, too,
 *           that each were on crowds in so many networks, and share one of them: a crowd is a client with
 *           FG_ACCOUNTS_LEAST young accounts or more, and a larger share of them, by FG_FAMILY_CAP_NATS,
 *           than all clients have. Who opens an account at a new office is on one crowd.
 * Left out  clients of shared sources, clients with one account, and those with so many that pairs are
 *           no longer remembered. Of a client with many accounts those with the smallest keys stand for
 *           all (the same ones everywhere, so that those who stand are still joined: a bottom-k sample,
 *           Broder 1997); the others join a community when they were on its clients in as many networks.
 * Members   clients with two accounts of a community or more, if these are FG_COMMUNITY_OWN of its own.
 *
 * False positive case: visitors of a fair, with accounts made for it, on the same three networks: hence the
 * advice in detect/accounts.h. Of rovers it is the three crowds that tell; that they are young, which is then
 * evidence, too, they have in common with the people of any one of them.
 *
 * A family is joined, and small. An office shares one network and perhaps two; one account on a thousand
 * clients is joined to nobody.
 */
#pragma once

#include "detect/detect.h"

#define FG_NO_COMMUNITY UINT32_MAX

struct fg_community {
	uint32_t id; /* FG_COMMUNITY and bits of its smallest key: as long as that account is in it */
	uint32_t accounts, clients;
	uint32_t networks; /* distinct, of its clients */
	uint32_t known, young; /* accounts whose age is known; made within a week */
	uint32_t banned;
};

struct fg_communities {
	struct fg_community *list; /* of at least FG_COMMUNITY_ACCOUNTS accounts */
	size_t n;
	uint32_t *of_account, *of_client; /* by place; FG_NO_COMMUNITY */
	/* accounts outside, for comparison */
	uint32_t others, others_joined, others_known, others_young, others_banned;
};

/** @return 0, -ENOMEM. */
int fg_communities_find(const struct fg_scene *scene, const struct fg_detect_conf *conf,
			struct fg_communities *ret_communities);
void fg_communities_done(struct fg_communities *communities);

/** Made within a week. */
bool fg_account_young(const struct fg_account *account);
/** The network an address counts for: its ASN, or without a table its /16 (IPv6: /32). */
uint64_t fg_account_network(const struct fg_networks *networks, const uint8_t addr[16]);
