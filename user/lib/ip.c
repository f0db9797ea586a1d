/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses to text and back. IPv6 text is RFC 5952's: inet_ntop() is close, but writes the
 * low 32 bits of ::/96 dotted, so that two programs would print two names for one source.
 */
#define _GNU_SOURCE
#include "lib/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/num.h"

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool fg_ip_is4(const uint8_t addr[16])
{
	return memcmp(addr, v4_mapped, sizeof(v4_mapped)) == 0;
}

void fg_ip_mask(uint8_t addr[16], uint8_t bits)
{
	unsigned int i;

	for (i = bits / 8; i < 16; i++)
		addr[i] &= i == bits / 8 ? (uint8_t)(0xff00 >> (bits % 8)) : 0;
}

bool fg_ip_contains(const uint8_t a[16], uint8_t a_bits, const uint8_t b[16], uint8_t b_bits)
{
	uint8_t masked[16];

	/* ::/0 means all of IPv6. That IPv4 lives inside it here is our storage, not the
	 * operator's intent. */
	if (a_bits < 96 && b_bits >= 96 && fg_ip_is4(b))
		return false;
	if (b_bits < a_bits)
		return false;
	memcpy(masked, b, 16);
	fg_ip_mask(masked, a_bits);
	return memcmp(masked, a, 16) == 0;
}

void fg_ip_to_source(const uint8_t addr[16], uint8_t ret_source[16], uint8_t *ret_bits)
{
	uint8_t bits = fg_ip_is4(addr) ? 128 : 64;

	memmove(ret_source, addr, 16);
	fg_ip_mask(ret_source, bits);
	*ret_bits = bits;
}

int fg_ip_parse(const char *text, uint8_t ret_addr[16], uint8_t *ret_bits)
{
	uint8_t addr[16], masked[16];
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchrnul(text, '/');
	size_t n = (size_t)(slash - text);
	uint64_t bits;
	bool v4;

	if (n >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	v4 = !strchr(host, ':');
	memcpy(addr, v4_mapped, sizeof(v4_mapped));
	if (inet_pton(v4 ? AF_INET : AF_INET6, host, v4 ? addr + 12 : addr) != 1)
		return -EINVAL;
	bits = v4 ? 32 : 128;
	if (*slash && fg_num_u64(slash + 1, 0, bits, &bits) < 0)
		return -EINVAL;
	bits += v4 ? 96 : 0;
	memcpy(masked, addr, 16);
	fg_ip_mask(masked, (uint8_t)bits);
	if (memcmp(masked, addr, 16) != 0)
		return -EINVAL;
	memcpy(ret_addr, addr, 16);
	*ret_bits = (uint8_t)bits;
	return 0;
}

/* First of the longest runs of zero groups; one group alone is not shortened (RFC 5952 4.2). */
static unsigned int longest_zeros(const uint16_t group[8], unsigned int *ret_len)
{
	unsigned int i, start = 8, len = 1, run = 0;

	for (i = 0; i < 8; i++) {
		run = group[i] ? 0 : run + 1;
		if (run > len) {
			len = run;
			start = i + 1 - run;
		}
	}
	*ret_len = len;
	return start;
}

static size_t write6(const uint8_t addr[16], char *buf, size_t size)
{
	uint16_t group[8];
	unsigned int i, start, len;
	size_t n = 0;

	for (i = 0; i < 8; i++)
		group[i] = (uint16_t)(addr[2 * i] << 8 | addr[2 * i + 1]);
	start = longest_zeros(group, &len);
	for (i = 0; i < 8; i++) {
		if (i == start) {
			n += (size_t)snprintf(buf + n, size - n, "::");
			i += len - 1;
			continue;
		}
		n += (size_t)snprintf(buf + n, size - n, "%s%x", i && i != start + len ? ":" : "",
				      group[i]);
	}
	return n;
}

const char *fg_ip_prefix(const uint8_t addr[16], uint8_t bits, char buf[FG_IP_TEXT])
{
	size_t n;

	if (bits >= 96 && fg_ip_is4(addr)) {
		inet_ntop(AF_INET, addr + 12, buf, FG_IP_TEXT);
		n = strlen(buf);
		bits -= 96;
		if (bits == 32)
			return buf;
	} else {
		n = write6(addr, buf, FG_IP_TEXT);
		if (bits == 128)
			return buf;
	}
	snprintf(buf + n, FG_IP_TEXT - n, "/%u", bits);
	return buf;
}

const char *fg_ip_source(const uint8_t addr[16], char buf[FG_IP_TEXT])
{
	uint8_t source[16], bits;

	fg_ip_to_source(addr, source, &bits);
	return fg_ip_prefix(source, bits, buf);
}
