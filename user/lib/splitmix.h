/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* splitmix64 (Steele, Lea and Flood 2014): repeatable draws, and a mixer of 64 bits. Neither is keyed: not
 * for what a stranger could aim at. */
#pragma once

#include <stdint.h>

/** Each bit of z has a say in each bit of the answer; one to one. */
static inline uint64_t fg_mix64(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/** The next draw. */
static inline uint64_t fg_splitmix(uint64_t *state)
{
	return fg_mix64(*state += 0x9e3779b97f4a7c15ULL);
}
