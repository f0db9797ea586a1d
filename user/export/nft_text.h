/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names and elements of our nft table, shared by the document and the live target. */
#pragma once

#include <stdint.h>
#include <stdio.h>

/* Of each set, at least and at most. The kernel takes room for elements as they come, but 16 bytes
 * of a table for each that fits. */
#define FG_NFT_MIN_SIZE 262144U
#define FG_NFT_MAX_SIZE 4194304U
/* Read back in full up to here, which is more than the store can hold; nft takes 650 MB to list a
 * million. */
#define FG_NFT_FULL_CHECK_MAX 300000

/* One for each set; as many again with UDP. */
#define FG_NFT_RULES 4

/** The size for so many elements: twice as many, so that it is seldom made anew for more. */
uint32_t fg_nft_set_size(size_t n);
/** blocked4, blocked6, ranges4 or ranges6. */
const char *fg_nft_set_of(const uint8_t addr[16], uint8_t bits);
/** The element's key as nft wants it in that set. */
void fg_nft_element(FILE *out, const uint8_t addr[16], uint8_t bits);
