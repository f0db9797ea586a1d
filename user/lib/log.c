/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line a message, one write a line. Bytes of strangers (names in hellos, file content) can
 * reach a message, so control bytes never reach the terminal or start a line of their own. */
#define _GNU_SOURCE
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "lib/jsonw.h"
#include "lib/mem.h"

/* A message longer than this is cut: the longest of ours is a config error with a path. */
#define MAX_MESSAGE 4096

static const char *const level_names[] = {
	[FG_LOG_ERROR] = "error",
	[FG_LOG_WARNING] = "warning",
	[FG_LOG_INFO] = "info",
	[FG_LOG_DEBUG] = "debug",
};

static enum fg_log_level max_level = FG_LOG_INFO;
static bool as_json;

void fg_log_setup(enum fg_log_level max, bool json)
{
	max_level = max;
	as_json = json;
}

static void blunt(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

static void write_json(enum fg_log_level level, const char *message)
{
	_cleanup_free_ char *line = NULL;
	struct fg_jsonw w;
	struct timespec now;
	size_t n;
	FILE *f = open_memstream(&line, &n);

	if (!f)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	fg_jsonw_init(&w, f);
	fg_jsonw_object(&w);
	fg_jsonw_key_time(&w, "time", (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	fg_jsonw_key_string(&w, "level", level_names[level]);
	fg_jsonw_key_string(&w, "message", message);
	fg_jsonw_object_end(&w);
	fputc('\n', f);
	if (fclose(f) == 0)
		fwrite(line, 1, n, stderr);
}

void fg_log(enum fg_log_level level, const char *fmt, ...)
{
	char message[MAX_MESSAGE], line[MAX_MESSAGE + 32];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (as_json) {
		write_json(level, message);
		return;
	}
	blunt(message);
	/* An error is its own name: "farmgate: WHAT: WHY". */
	snprintf(line, sizeof(line), "farmgate: %s%s%s\n",
		 level == FG_LOG_ERROR ? "" : level_names[level], level == FG_LOG_ERROR ? "" : ": ",
		 message);
	fputs(line, stderr);
}

void fg_complain(const char *what, const char *why_fmt, ...)
{
	char why[MAX_MESSAGE], line[2 * MAX_MESSAGE];
	va_list ap;

	va_start(ap, why_fmt);
	vsnprintf(why, sizeof(why), why_fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "farmgate: %.2048s: %s", what, why);
	blunt(line);
	fprintf(stderr, "%s\n", line);
}
