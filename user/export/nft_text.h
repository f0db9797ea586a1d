/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names and elements of our nft table, shared by the document and the live target. */
#pragma once

#include <stdint.h>
#include <stdio.h>

/* Of each set; an element takes about 100 bytes of the kernel. */
#define FG_NFT_SET_SIZE 262144

/* One for each set; as many again with UDP. */
#define FG_NFT_RULES 4

/** blocked4, blocked6, ranges4 or ranges6. */
const char *fg_nft_set_of(const uint8_t addr[16], uint8_t bits);
/** The element's key as nft wants it in that set. */
void fg_nft_element(FILE *out, const uint8_t addr[16], uint8_t bits);
