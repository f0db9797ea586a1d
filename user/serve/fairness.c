/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/fairness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fewer sources than this have no share worth a word. */
#define LEAST	  100
#define COUNTRIES (26 * 26)

struct tally {
	double sources;
	uint64_t flagged;
};

struct tallies {
	struct tally all, classes[_FG_NET_MAX], countries[COUNTRIES];
};

static bool is_letter(char c)
{
	return c >= 'A' && c <= 'Z';
}

static void count(struct tallies *t, const struct fg_view *v, const uint8_t addr[16],
		  double sources, uint64_t flagged)
{
	const struct fg_network n = fg_networks_find(v->networks, addr);
	struct tally *to[3] = { &t->all, &t->classes[n.class], NULL };

	if (is_letter(n.country[0]) && is_letter(n.country[1]))
		to[2] = &t->countries[(n.country[0] - 'A') * 26 + n.country[1] - 'A'];
	for (int i = 0; i < 3; i++) {
		if (!to[i])
			continue;
		to[i]->sources += sources;
		to[i]->flagged += flagged;
	}
}

static void row_of(const struct tally *t, const struct tally *all, const char *name,
		   struct fg_fair_row *row)
{
	*row = (struct fg_fair_row){ .sources = (uint64_t)lround(t->sources),
				     .flagged = t->flagged,
				     .ratio = NAN };
	snprintf(row->name, sizeof(row->name), "%s", name);
	if (t->sources >= LEAST && all->flagged)
		row->ratio =
			(double)t->flagged / t->sources / ((double)all->flagged / all->sources);
}

static int by_ratio(const void *a, const void *b)
{
	const struct fg_fair_row *x = a, *y = b;
	double rx = isnan(x->ratio) ? -1 : x->ratio, ry = isnan(y->ratio) ? -1 : y->ratio;

	return rx < ry ? 1 : rx > ry ? -1 : strcmp(x->name, y->name);
}

static void rows(const struct tallies *t, struct fg_fairness *f)
{
	struct fg_fair_row all[COUNTRIES];
	size_t n = 0;

	for (int i = 0; i < _FG_NET_MAX; i++)
		if (t->classes[i].sources > 0 || t->classes[i].flagged)
			row_of(&t->classes[i], &t->all, fg_net_class_name((enum fg_net_class)i),
			       &f->classes[f->n_classes++]);
	for (int i = 0; i < COUNTRIES; i++) {
		const char name[3] = { (char)('A' + i / 26), (char)('A' + i % 26), '\0' };

		if (t->countries[i].sources >= LEAST)
			row_of(&t->countries[i], &t->all, name, &all[n++]);
	}
	qsort(f->classes, f->n_classes, sizeof(f->classes[0]), by_ratio);
	qsort(all, n, sizeof(all[0]), by_ratio);
	f->n_countries = n < FG_FAIR_COUNTRIES ? n : FG_FAIR_COUNTRIES;
	memcpy(f->countries, all, f->n_countries * sizeof(all[0]));
}

void fg_fairness_take(const struct fg_view *v, struct fg_fairness *f)
{
	size_t n = fg_model_n_sources(v->model), step = n / FG_FAIR_SAMPLE + 1;
	struct tallies *t;

	memset(f, 0, sizeof(*f));
	/* rows of no table would be one row; without memory there are none for an hour */
	t = v->networks ? calloc(1, sizeof(*t)) : NULL;
	if (!t)
		return;
	for (size_t i = 0; i < n; i += step)
		count(t, v, fg_model_source_at(v->model, i)->addr, (double)step, 0);
	for (size_t i = 0; i < fg_store_n(v->store); i++) {
		const struct fg_verdict *verdict = fg_store_at(v->store, i);

		if (verdict->origin == FG_ORIGIN_DETECTOR && verdict->tier >= FG_TIER_ALERT)
			count(t, v, verdict->addr, 0, 1);
	}
	f->sources = (uint64_t)lround(t->all.sources);
	f->flagged = t->all.flagged;
	if (t->all.sources > 0)
		rows(t, f);
	free(t);
}

static void write_rows(struct fg_jsonw *w, const char *key, const char *name,
		       const struct fg_fair_row *row, size_t n)
{
	fg_jsonw_key(w, key);
	fg_jsonw_array(w);
	for (size_t i = 0; i < n; i++) {
		fg_jsonw_object(w);
		fg_jsonw_key_string(w, name, row[i].name);
		fg_jsonw_key_u64(w, "sources", row[i].sources);
		fg_jsonw_key_u64(w, "flagged", row[i].flagged);
		fg_jsonw_key_double(w, "ratio", row[i].ratio);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
}

void fg_fairness_write(struct fg_jsonw *w, const struct fg_view *v)
{
	const struct fg_fairness *f = &v->fairness;

	fg_jsonw_key(w, "fairness");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "sources", f->sources);
	fg_jsonw_key_u64(w, "flagged", f->flagged);
	write_rows(w, "classes", "class", f->classes, f->n_classes);
	write_rows(w, "countries", "country", f->countries, f->n_countries);
	fg_jsonw_object_end(w);
}
