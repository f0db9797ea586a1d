/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A set of prefixes: filled once, sealed, then asked whether a prefix meets one of them. Sorted
 * arrays, one of each family, without what lies inside another: an answer is a binary search.
 * 24 bytes a prefix.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fg_prefixes;

/** Empty. @return 0, -ENOMEM. */
int fg_prefixes_new(struct fg_prefixes **ret_prefixes);
/** NULL is fine. */
void fg_prefixes_free(struct fg_prefixes **prefixes);

/** Before the seal. Host bits must be zero; IPv4 is v4-mapped, bits are of 128. tag is the caller's,
 * and comes back with an answer. @return 0, -EINVAL, -ENOMEM. */
int fg_prefixes_add(struct fg_prefixes *prefixes, const uint8_t addr[16], uint8_t bits,
		    uint32_t tag);
/** Sorts, and drops what lies inside another (of equal ones the later): from here on it is asked,
 * and never changed. */
void fg_prefixes_seal(struct fg_prefixes *prefixes);

/** Does the prefix have an address in common with one of the set? ret_tag (may be NULL) gets that
 * one's. */
bool fg_prefixes_meet(const struct fg_prefixes *prefixes, const uint8_t addr[16], uint8_t bits,
		      uint32_t *ret_tag);

/** Prefixes in it; after the seal those that do not lie inside another. */
size_t fg_prefixes_n(const struct fg_prefixes *prefixes);
/** Memory, in bytes. */
size_t fg_prefixes_bytes(const struct fg_prefixes *prefixes);
