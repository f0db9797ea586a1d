/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/negotiate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <zlib.h>

#include "lib/num.h"

/* Of a list of blocks level 1 leaves 14 % in 40 % of the time that level 6 takes to leave 13 %, and the
 * agent's loop waits for it (tests/bench/crowdsec.c). */
#define GZIP_LEVEL 1
#define GZIP_BITS  (MAX_WBITS + 16) /* gzip's header instead of zlib's */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* "q=0", "q=0.000": refused. */
static bool is_refused(const char *parameters, size_t n)
{
	const char *q = memchr(parameters, 'q', n);
	size_t left = q ? n - (size_t)(q - parameters) : 0;

	if (left < 3 || q[1] != '=' || q[2] != '0')
		return false;
	for (size_t i = 3; i < left; i++)
		if (q[i] >= '1' && q[i] <= '9')
			return false;
	return true;
}

bool fg_accepts_gzip(const char *at)
{
	bool any = false;

	while (at && *at) {
		size_t n, name;

		at = skip_blanks(at);
		n = strcspn(at, ",");
		name = strcspn(at, " \t;,");
		if (name == 4 && !strncasecmp(at, "gzip", 4))
			return !is_refused(at + name, n - name);
		if (name == 1 && *at == '*')
			any = !is_refused(at + name, n - name);
		at += n + (at[n] == ',');
	}
	return any;
}

bool fg_gzip(char **body, size_t *n)
{
	z_stream z = { 0 };
	char *out = NULL;
	size_t room;
	bool done = false;

	if (*n > UINT32_MAX ||
	    deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	/* no longer than the body: else it goes as it is */
	room = *n;
	out = malloc(room ? room : 1);
	if (out) {
		z.next_in = (unsigned char *)*body;
		z.avail_in = (unsigned int)*n;
		z.next_out = (unsigned char *)out;
		z.avail_out = (unsigned int)room;
		done = deflate(&z, Z_FINISH) == Z_STREAM_END;
	}
	if (done) {
		free(*body);
		*n = z.total_out;
		*body = realloc(out, *n);
		*body = *body ? *body : out;
	} else {
		free(out);
	}
	deflateEnd(&z);
	return done;
}

bool fg_tag_matches(const char *at, const char *tag)
{
	if (!at || !tag[0])
		return false;
	if (!strncmp(tag, "W/", 2))
		tag += 2;
	while (*(at = skip_blanks(at))) {
		size_t n;

		if (*at == '*')
			return true;
		if (!strncmp(at, "W/", 2))
			at += 2;
		if (*at != '"' || !strchr(at + 1, '"'))
			return false;
		n = (size_t)(strchr(at + 1, '"') + 1 - at);
		if (n == strlen(tag) && !memcmp(at, tag, n))
			return true;
		at = skip_blanks(at + n);
		if (*at && *at++ != ',')
			return false;
	}
	return false;
}

/* Not strftime(): its names are the locale's. */
static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

const char *fg_http_date(uint64_t unix_s, char buf[FG_HTTP_DATE])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	buf[0] = '\0';
	if (gmtime_r(&t, &tm) && tm.tm_year < 9999 - 1900)
		snprintf(buf, FG_HTTP_DATE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
			 days + 3 * tm.tm_wday, (unsigned int)tm.tm_mday % 100,
			 months + 3 * tm.tm_mon, (unsigned int)(tm.tm_year + 1900) % 10000,
			 (unsigned int)tm.tm_hour % 100, (unsigned int)tm.tm_min % 100,
			 (unsigned int)tm.tm_sec % 100);
	return buf;
}

int fg_http_date_parse(const char *text, uint64_t *ret_unix_s)
{
	char month[4], iso[32], again[FG_HTTP_DATE];
	const char *at;
	uint64_t ns;

	/* Sun, 06 Nov 1994 08:49:37 GMT */
	if (strlen(text) != 29)
		return -EINVAL;
	snprintf(month, sizeof(month), "%.3s", text + 8);
	at = strstr(months, month);
	if (!at || (at - months) % 3)
		return -EINVAL;
	snprintf(iso, sizeof(iso), "%.4s-%02u-%.2sT%.8sZ", text + 12,
		 (unsigned int)((at - months) / 3 + 1) % 100, text + 5, text + 17);
	if (fg_num_time_parse(iso, &ns))
		return -EINVAL;
	/* what is written again is what was read: so the rest of it was right, too */
	if (strcmp(fg_http_date(ns / 1000000000ULL, again), text))
		return -EINVAL;
	*ret_unix_s = ns / 1000000000ULL;
	return 0;
}
