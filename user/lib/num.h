/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers, durations and times from and to text. The whole text must match. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/** Decimal. @return 0, -EINVAL, -ERANGE. */
int fg_num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/** Decimal with an optional fraction: no sign, no exponent. @return 0, -EINVAL, -ERANGE. */
int fg_num_double(const char *text, double min, double max, double *ret_value);
/** "90", "90s", "15m", "1h", "2d" to seconds. @return 0, -EINVAL, -ERANGE above max_s. */
int fg_num_duration(const char *text, uint64_t max_s, uint64_t *ret_s);
/** "443" or "443,8443": at least one of 1..65535, no duplicates. @return count, -EINVAL, -ERANGE. */
int fg_num_ports(const char *text, uint16_t *ret_ports, size_t n);
/** RFC 3339 UTC with seconds, "2026-11-23T12:00:00Z". */
const char *fg_num_time(uint64_t unix_ns, char buf[32]);
/** The other way round; seconds only, ending in Z. @return 0, -EINVAL. */
int fg_num_time_parse(const char *text, uint64_t *ret_ns);
