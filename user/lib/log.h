/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's log: lines on stderr, text or JSON. Libraries are silent; the edge logs once. */
#pragma once

#include <stdbool.h>

enum fg_log_level {
	FG_LOG_ERROR,
	FG_LOG_WARNING,
	FG_LOG_INFO,
	FG_LOG_DEBUG
};

void fg_log_setup(enum fg_log_level max, bool json);
__attribute__((format(printf, 2, 3))) void fg_log(enum fg_log_level level, const char *fmt, ...);

#define fg_log_error(...)   fg_log(FG_LOG_ERROR, __VA_ARGS__)
#define fg_log_warning(...) fg_log(FG_LOG_WARNING, __VA_ARGS__)
#define fg_log_info(...)    fg_log(FG_LOG_INFO, __VA_ARGS__)
#define fg_log_debug(...)   fg_log(FG_LOG_DEBUG, __VA_ARGS__)

/** "farmgate: WHAT: WHY" on stderr, the form of every command-line error. */
void fg_complain(const char *what, const char *why_fmt, ...) __attribute__((format(printf, 2, 3)));
