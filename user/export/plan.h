/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A plan: what all standing verdicts of a tier would do, made of the store at one moment. One entry for
 * each, with who else would be hit and the guard that holds it (verdict/guard.h). What may leave of it is
 * a set (export/export.h); what may not is told by name.
 *
 * What is known of sources comes through a witness, so that no model is needed to test it. Looking costs
 * a few cache misses for each source with a verdict: what was found for the plan before is taken from it
 * for FG_PLAN_LOOK_NS, as long as the verdicts on the source are the same ones.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdict/guard.h"

#define FG_PLAN_LOOK_NS 60000000000ULL

/* Answers what a plan asks about sources; nothing of it may change the store. */
struct fg_witness {
	/** Who is at a source, of which all n verdicts are; ret has a place for each. They differ in
	 * own_turns only. ret_activity: turns ever seen of what each verdict is about. */
	void (*look)(void *arg, const struct fg_verdict *const *verdicts, size_t n,
		     struct fg_collateral *ret, uint64_t *ret_activity);
	/** The network of an address, as a key that equals another's where they are in one. */
	uint64_t (*network)(void *arg, const uint8_t addr[16]);
	/** Its name. */
	void (*network_name)(void *arg, uint64_t network, char ret_name[24]);
	void *arg;
	uint64_t all_turns, all_sources; /* of everybody who was active within two days */
};

struct fg_plan_entry {
	int64_t id; /* of the verdict */
	uint8_t addr[16];
	uint64_t stem;
	uint8_t bits;
	bool by_operator;
	bool looked; /* collateral was asked */
	uint32_t place; /* of the verdict, for fg_store_at(), while the store is the same */
	uint32_t cohort;
	uint64_t until_ns, network; /* network: of automatic ones */
	double est_fdr;
	struct fg_guarded guarded;
	uint64_t looked_ns; /* when the collateral was asked */
	uint64_t first_ns; /* of the first plan that it was in */
	uint64_t activity_first,
		activity; /* turns of what it is about: then, and when last looked */
};

struct fg_plan {
	uint64_t store_revision; /* that it was made of */
	uint64_t made_ns;
	enum fg_tier min_tier;
	struct fg_plan_entry *entries; /* by address, bits, id */
	size_t n;
	uint64_t *networks; /* held at their cap, by key */
	size_t n_networks;
	struct fg_guard_report report;
};

struct fg_plan_input {
	const struct fg_store *store;
	enum fg_tier min_tier; /* verdicts of this tier and above */
	uint64_t now_ns;
	const struct fg_witness *witness; /* NULL = nothing is known of anybody */
	const struct fg_guard_conf *conf;
	uint64_t seed[4]; /* of the holdback; secret, and the same after a restart */
	bool allow_unread; /* an allow file could not be read since the start */
	bool no_caps; /* what each verdict by itself may do: no caps, and no trip */
	struct fg_trip *trip; /* read and moved on; NULL = as at start */
	const struct fg_plan *before; /* NULL = none */
};

/** @return 0, -ENOMEM; *ret_plan is the caller's to free. */
int fg_plan_make(const struct fg_plan_input *input, struct fg_plan **ret_plan);
/** NULL is fine. */
void fg_plan_free(struct fg_plan **plan);

/** The entry of a verdict; NULL where it has none. */
const struct fg_plan_entry *fg_plan_find(const struct fg_plan *plan,
					 const struct fg_verdict *verdict);
/** The same by its prefix and id. */
const struct fg_plan_entry *fg_plan_entry_of(const struct fg_plan *plan, const uint8_t addr[16],
					     uint8_t bits, int64_t id);
/** The verdict of an entry; NULL where the store has changed since. */
const struct fg_verdict *fg_plan_verdict(const struct fg_plan *plan, const struct fg_store *store,
					 const struct fg_plan_entry *entry);
/** Does it leave, in any form? Who may not leave as what it is about leaves as nothing. */
static inline bool fg_plan_leaves(const struct fg_plan_entry *entry)
{
	return entry->guarded.held == FG_GUARD_none;
}
