/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/benign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/detect.h"

static const struct {
	const char *name, *text, *figure, *refuted_by;
} table[_FG_BENIGN_MAX] = {
#define FG_ROW(name, text, figure, refuted_by) { #name, text, figure, refuted_by },
	FG_BENIGN(FG_ROW)
#undef FG_ROW
};

static const char *const considered_names[_FG_CONSIDERED_MAX] = {
	[FG_CONSIDERED_OPEN] = "open",
	[FG_CONSIDERED_UNLIKELY] = "unlikely",
	[FG_CONSIDERED_REFUTED] = "refuted",
};

const char *fg_benign_name(enum fg_benign_what what)
{
	return (unsigned int)what < _FG_BENIGN_MAX ? table[what].name : "?";
}

const char *fg_considered_name(enum fg_considered considered)
{
	return (unsigned int)considered < _FG_CONSIDERED_MAX ? considered_names[considered] : "?";
}

const char *fg_benign_text(enum fg_benign_what what)
{
	return (unsigned int)what < _FG_BENIGN_MAX ? table[what].text : "?";
}

const char *fg_benign_refutation(enum fg_benign_what what)
{
	return (unsigned int)what < _FG_BENIGN_MAX ? table[what].refuted_by : "?";
}

const char *fg_benign_figure(const struct fg_benign *b, char *buf, size_t n)
{
	buf[0] = '\0';
	if (b->what < _FG_BENIGN_MAX && table[b->what].figure[0] && isfinite(b->figure))
		/* a format of the table above, with its one double */
		snprintf(buf, n, table[b->what].figure, (double)b->figure);
	return buf;
}

/* --- For the store ---------------------------------------------------------------------------- */

size_t fg_benign_pack(const struct fg_benign *benign, size_t n, char *buf, size_t n_buf)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n && used < n_buf; i++) {
		const struct fg_benign *b = &benign[i];
		int r = snprintf(buf + used, n_buf - used, "%s%s %s", i ? "," : "",
				 fg_benign_name((enum fg_benign_what)b->what),
				 fg_considered_name((enum fg_considered)b->considered));

		used += (size_t)r;
		if (isfinite(b->figure) && used < n_buf)
			used += (size_t)snprintf(buf + used, n_buf - used, " %.6g",
						 (double)b->figure);
	}
	return used;
}

/* Which of n names text begins with, up to a blank or its end; -1 = none. */
static int one_of(const char *text, size_t length, const char *(*name)(int i), int n)
{
	for (int i = 0; i < n; i++)
		if (strlen(name(i)) == length && !memcmp(text, name(i), length))
			return i;
	return -1;
}

static const char *what_name(int i)
{
	return table[i].name;
}

static const char *considered_name(int i)
{
	return considered_names[i];
}

size_t fg_benign_unpack(const char *text, struct fg_benign ret[FG_MAX_BENIGN])
{
	size_t n = 0;

	while (*text && n < FG_MAX_BENIGN) {
		size_t length = strcspn(text, " ,");
		int what = one_of(text, length, what_name, _FG_BENIGN_MAX), considered = -1;
		float figure = NAN;

		text += length;
		if (*text == ' ') {
			length = strcspn(++text, " ,");
			considered = one_of(text, length, considered_name, _FG_CONSIDERED_MAX);
			text += length;
		}
		if (*text == ' ')
			figure = strtof(text + 1, NULL);
		if (what >= 0 && considered >= 0)
			ret[n++] = (struct fg_benign){ (uint8_t)what, (uint8_t)considered, figure };
		text += strcspn(text, ",");
		text += *text == ',';
	}
	return n;
}

/* --- With the evidence ------------------------------------------------------------------------ */

void fg_evidence_benign(struct fg_evidence *e, enum fg_benign_what what,
			enum fg_considered considered, double figure)
{
	if (e->n_benign < FG_MAX_BENIGN)
		e->benign[e->n_benign++] =
			(struct fg_benign){ (uint8_t)what, (uint8_t)considered, (float)figure };
}

bool fg_evidence_is_whole(const struct fg_evidence *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!e[i].n_benign || e[i].n_benign > FG_MAX_BENIGN)
			return false;
		for (size_t k = 0; k < e[i].n_benign; k++)
			if (e[i].benign[k].what >= _FG_BENIGN_MAX ||
			    e[i].benign[k].considered >= _FG_CONSIDERED_MAX)
				return false;
	}
	return n > 0;
}

/* One explanation: "a corporate gateway (no: 61 networks)". */
static size_t say_one(const struct fg_benign *b, char *buf, size_t n)
{
	enum fg_benign_what what = (enum fg_benign_what)b->what;
	const char *refuted_by = fg_benign_refutation(what);
	char figure[64];
	int r;

	fg_benign_figure(b, figure, sizeof(figure));
	if (b->considered == FG_CONSIDERED_REFUTED)
		r = snprintf(buf, n, "%s (no: %s)", fg_benign_text(what),
			     figure[0] ? figure : refuted_by);
	else
		r = snprintf(buf, n, "%s (%s%s%s; refuted if %s)", fg_benign_text(what),
			     fg_considered_name((enum fg_considered)b->considered),
			     figure[0] ? ": " : "", figure, refuted_by);
	return (size_t)r;
}

const char *fg_evidence_benign_text(const struct fg_evidence *e, char *buf, size_t n)
{
	size_t used = (size_t)snprintf(buf, n, "Benign explanations considered: ");

	for (size_t i = 0; i < e->n_benign && used < n; i++) {
		if (i)
			used += (size_t)snprintf(buf + used, n - used, ", ");
		if (used < n)
			used += say_one(&e->benign[i], buf + used, n - used);
	}
	if (used < n)
		snprintf(buf + used, n - used, ".");
	return buf;
}

const char *fg_evidence_say(const struct fg_evidence *e, char buf[FG_EVIDENCE_TEXT])
{
	int used = snprintf(buf, FG_EVIDENCE_TEXT, "%s", e->text);

	if (e->n_benign) {
		buf[used++] = ' ';
		fg_evidence_benign_text(e, buf + used, FG_EVIDENCE_TEXT - (size_t)used);
	}
	return buf;
}
