/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live nft target: keeps table inet farmgate equal to the set. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/export.h"
#include "export/target.h"

struct fg_nft;
extern const struct fg_target_ops fg_nft_ops;

/** conf is copied. @return 0, -ENOMEM. */
int fg_nft_new(const struct fg_export_conf *conf, struct fg_nft **ret_nft);
void fg_nft_free(struct fg_nft **nft);
/** One transaction with the differences (whole table where it is not there). why gets a sentence on
 * failure. @return number of changed elements, -errno. */
int fg_nft_apply(struct fg_nft *nft, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why);
/** Looks whether table, chain and sets still stand (terse list); forgets its shadow when not, so
 * that the next apply writes everything. With full, also compares the elements, up to
 * FG_NFT_FULL_CHECK_MAX of them. @return 0 in place, 1 gone or different, -errno. */
int fg_nft_check(struct fg_nft *nft, bool full, char *why, size_t n_why);
/** Removes the table (clean stop leaves it standing by default: blocks expire by themselves). */
int fg_nft_remove(struct fg_nft *nft, char *why, size_t n_why);
