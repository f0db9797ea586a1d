/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The only file that turns text into numbers: whole text, stated range, no locale, no sign. */
#define _GNU_SOURCE
#include "lib/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Digits from *text on; moves *text behind them. */
static int read_digits(const char **text, uint64_t *ret_value)
{
	const char *p = *text;
	uint64_t value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	*text = p;
	*ret_value = value;
	return 0;
}

int fg_num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value;
	int r = read_digits(&text, &value);

	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int fg_num_double(const char *text, double min, double max, double *ret_value)
{
	double value;
	char *end;

	/* strtod() alone would take blanks, signs, hex, "inf" and "nan". */
	if (!*text || text[strspn(text, "0123456789.")] || strcmp(text, ".") == 0)
		return -EINVAL;
	value = strtod(text, &end);
	if (*end)
		return -EINVAL;
	if (!(value >= min && value <= max))
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int fg_num_duration(const char *text, uint64_t max_s, uint64_t *ret_s)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	uint64_t value;
	size_t i;
	int r = read_digits(&text, &value);

	if (r < 0)
		return r;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].seconds, &value) || value > max_s)
			return -ERANGE;
		*ret_s = value;
		return 0;
	}
	return -EINVAL;
}

/* One port and the comma or end behind it. */
static int read_port(const char **text, uint16_t *ret_port)
{
	uint64_t value;
	int r = read_digits(text, &value);

	if (r < 0)
		return r;
	if (value < 1 || value > UINT16_MAX)
		return -ERANGE;
	if (**text == ',' && (*text)[1])
		(*text)++;
	else if (**text)
		return -EINVAL;
	*ret_port = (uint16_t)value;
	return 0;
}

int fg_num_ports(const char *text, uint16_t *ret_ports, size_t n)
{
	uint8_t seen[(UINT16_MAX + 1) / 8] = { 0 };
	const char *p = text;
	size_t i, count = 0;
	uint16_t port;
	int r;

	do {
		r = read_port(&p, &port);
		if (r < 0)
			return r;
		if (seen[port / 8] & 1U << port % 8)
			return -EINVAL;
		seen[port / 8] |= (uint8_t)(1U << port % 8);
		count++;
	} while (*p);
	if (count > n)
		return -ERANGE;
	for (i = 0, p = text; i < count; i++)
		read_port(&p, &ret_ports[i]);
	return (int)count;
}

const char *fg_num_time(uint64_t unix_ns, char buf[32])
{
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

int fg_num_time_parse(const char *text, uint64_t *ret_ns)
{
	struct tm tm = { 0 };
	char back[32];
	uint64_t ns;
	time_t t;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return -EINVAL;
	t = timegm(&tm);
	if (t < 0 || __builtin_mul_overflow((uint64_t)t, 1000000000ULL, &ns))
		return -EINVAL;
	/* strptime() takes blanks, single digits and the 30th of February. */
	if (strcmp(fg_num_time(ns, back), text) != 0)
		return -EINVAL;
	*ret_ns = ns;
	return 0;
}
