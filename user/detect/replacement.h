/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hand-over: is a banned account replaced at once?
 *
 * Signal    accounts that are told as new and appear within FG_REPLACEMENT_NS after a ban, on a client with
 *           the same stem, from another source
 * Null      bans and newcomers have nothing to do with each other: the bans' times are shifted by whole
 *           hours, each by its own 1 to FG_REPLACEMENT_SHIFT either way, round about inside the time that
 *           was watched; so few hours keep the time of day, whole ones keep what happens by the minute.
 *           p = (1 + shifts with as many newcomers) / (1 + FG_REPLACEMENT_ROUNDS), which is exact whatever
 *           the newcomers' law is (Phipson and Smyth 2010).
 * Waves     bans within FG_REPLACEMENT_NS of the first of them are one event: a moderator who bans a hundred
 *           at once and one newcomer after it are one coincidence, not a hundred.
 * False positive case: bans that are made when many sign up anyway (someone works in the evening).
 *           Hence it is evidence of one family, which flags nobody by itself.
 * Groups    newcomers are those of one client, or of one community's clients; bans those of the stem. A
 *           farm that replaces its accounts says nothing about others with its stem.
 * Blind     where bans of one stem follow each other day and night: every time is then after a ban.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/accounts.h"

struct fg_replacement_event {
	uint64_t ns;
	uint8_t source[16];
};

struct fg_replacement {
	uint32_t bans; /* events */
	uint32_t newcomers; /* within FG_REPLACEMENT_NS after one */
	double expected; /* of these by chance: mean over the shifts */
	double p; /* 1 where it was not asked, or is plainly no less than chance */
};

/**
 * Both lists sorted by time, all within from_ns .. to_ns.
 *
 * @param seed  of the shifts: the same seed gives the same answer
 */
struct fg_replacement fg_replacement_ask(const struct fg_replacement_event *bans, size_t n_bans,
					 const struct fg_replacement_event *newcomers,
					 size_t n_newcomers, uint64_t from_ns, uint64_t to_ns,
					 uint64_t seed);

/* What was found for newcomers of each group of clients, after bans of their stem anywhere. */
struct fg_replacements {
	struct fg_replacement_group {
		uint64_t stem;
		uint32_t group;
		struct fg_replacement found;
	} * groups; /* sorted */
	size_t n;
};

/**
 * Asks for each stem and group with FG_REPLACEMENT_BANS bans and FG_REPLACEMENT_NEWCOMERS newcomers or more.
 *
 * @param groups  of each client, by place: newcomers are counted for the group of their first client
 * @return 0, -ENOMEM
 */
int fg_replacements_find(const struct fg_accounts *accounts, const uint32_t *groups, uint64_t seed,
			 struct fg_replacements *ret_replacements);
void fg_replacements_done(struct fg_replacements *replacements);
/** NULL where it was not asked. */
const struct fg_replacement *fg_replacements_of(const struct fg_replacements *replacements,
						uint64_t stem, uint32_t group);
