/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses and prefixes as 16 bytes, IPv4 v4-mapped; text both ways. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FG_IP_TEXT 64

/** "192.0.2.1", "192.0.2.0/24", "2001:db8::/64", "2001:db8::1". bits is of 128 (an IPv4 /24 is
 * 120). Host bits must be zero. @return 0, -EINVAL. */
int fg_ip_parse(const char *text, uint8_t ret_addr[16], uint8_t *ret_bits);

/** A source: bare IPv4 address, or an RFC 5952 prefix with its length ("2001:db8::/64"). */
const char *fg_ip_source(const uint8_t addr[16], char buf[FG_IP_TEXT]);
/** A prefix: a whole address without its length, anything shorter with it. */
const char *fg_ip_prefix(const uint8_t addr[16], uint8_t bits, char buf[FG_IP_TEXT]);
bool fg_ip_is4(const uint8_t addr[16]);
/** Zeroes the bits behind the prefix. */
void fg_ip_mask(uint8_t addr[16], uint8_t bits);
/** True where prefix a/a_bits holds b/b_bits. */
bool fg_ip_contains(const uint8_t a[16], uint8_t a_bits, const uint8_t b[16], uint8_t b_bits);
/** The source that an address belongs to: IPv4 as it is, IPv6 its /64. */
void fg_ip_to_source(const uint8_t addr[16], uint8_t ret_source[16], uint8_t *ret_bits);
