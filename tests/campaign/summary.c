/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `campaign summary`: rows of `campaign run`, read from stdin, as two tables: a line for each scenario and
 * ablation with the median of its seeds and, where they differ, the least and the most; under them what
 * legitimate users had of all runs together, and how true stated local false discovery rates are, both with
 * exact Poisson bounds.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/campaign.h"
#include "campaign/reliability.h"
#include "campaign/score.h"

#define MAX_COLUMNS 96
#define MAX_ROWS    4096
#define MAX_SEEDS   64

struct row {
	char scenario[16], ablation[16];
	double values[MAX_COLUMNS];
};

struct table {
	char names[MAX_COLUMNS][32];
	size_t n_columns, n;
	struct row *rows;
};

struct shown {
	const char *column, *title;
	int decimals;
};

static const struct shown whom[] = {
	{ "ttd_h", "TTD h", 2 },
	{ "steady_recall", "recall", 3 },
	{ "precision", "precision", 4 },
	{ "leak", "leak", 3 },
	{ "leak_to_alarm", "to alarm", 3 },
	{ "steady_recall_enforce", "enforced", 3 },
	{ "fp_alert", "false alerts", 0 },
	{ "fp_enforce", "false blocks", 0 },
	{ "alarms", "cohorts", 0 },
	{ "cell_precision", "true", 2 },
};

static const struct shown how[] = {
	{ "ttd_cell_h", "cell's TTD h", 2 },
	{ "cell_found", "cell found", 0 },
	{ "ttm50_h", "TTM50 h", 2 },
	{ "ttm90_h", "TTM90 h", 2 },
	{ "late_flag_h", "late flag h", 2 },
	{ "recall_exchanges", "recall, exchanges", 3 },
	{ "precision_exchanges", "precision, exchanges", 4 },
	{ "fp_alert_upper", "false alerts/M at most", 0 },
	{ "fp_enforce_upper", "false blocks/M at most", 0 },
	{ "blocked", "blocked", 7 },
	{ "blocked_kind_worst", "worst kind", 7 },
	{ "blocked_country_worst", "worst country", 7 },
	{ "blocked_asn_worst", "worst network", 7 },
	{ "mean_e", "mean e", 2 },
};
#define N_WHOM (sizeof(whom) / sizeof(whom[0]))
#define N_HOW  (sizeof(how) / sizeof(how[0]))

static int split(char *line, char *fields[MAX_COLUMNS])
{
	int n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *field; n < MAX_COLUMNS && (field = strsep(&line, "\t"));)
		fields[n++] = field;
	return n;
}

static int column_of(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (!strcmp(t->names[i], name))
			return (int)i;
	return -1;
}

static void take_row(struct table *t, char *fields[], int n)
{
	struct row *r = &t->rows[t->n++];

	snprintf(r->scenario, sizeof(r->scenario), "%s", fields[column_of(t, "scenario")]);
	snprintf(r->ablation, sizeof(r->ablation), "%s", fields[column_of(t, "ablation")]);
	for (int i = 0; i < n; i++)
		r->values[i] = strcmp(fields[i], "-") ? strtod(fields[i], NULL) : NAN;
}

static int read_rows(struct table *t)
{
	char line[4096], *fields[MAX_COLUMNS];

	while (fgets(line, sizeof(line), stdin)) {
		int n = split(line, fields);

		if (!strcmp(fields[0], "scenario")) {
			t->n_columns = (size_t)n;
			for (int i = 0; i < n; i++)
				snprintf(t->names[i], sizeof(t->names[i]), "%s", fields[i]);
			continue;
		}
		if (!t->n_columns || n != (int)t->n_columns || t->n == MAX_ROWS ||
		    column_of(t, "ablation") < 0) {
			fprintf(stderr, "campaign: summary: row %zu is none of `campaign run`\n",
				t->n + 1);
			return -EINVAL;
		}
		take_row(t, fields, n);
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* "0.98 (0.97 to 0.99)"; "never" where it was so in more than half. */
static void put_cell(const double *values, size_t n, size_t all, int decimals)
{
	char text[64];

	if (n * 2 < all || !n)
		snprintf(text, sizeof(text), "-");
	else if (values[0] == values[n - 1])
		snprintf(text, sizeof(text), "%.*f", decimals, values[0]);
	else
		snprintf(text, sizeof(text), "%.*f (%.*f to %.*f)", decimals, values[n / 2],
			 decimals, values[0], decimals, values[n - 1]);
	printf(" %s |", text);
}

static bool is_same(const struct row *a, const struct row *b)
{
	return !strcmp(a->scenario, b->scenario) && !strcmp(a->ablation, b->ablation);
}

static void put_line(const struct table *t, const struct shown *shown, size_t n_shown, size_t first)
{
	const struct row *r = &t->rows[first];
	size_t all = 0;

	for (size_t i = first; i < t->n; i++)
		all += is_same(&t->rows[i], r);
	printf("| %s%s%s | %zu |", r->scenario, strcmp(r->ablation, "none") ? ", " : "",
	       strcmp(r->ablation, "none") ? r->ablation : "", all);
	for (size_t k = 0; k < n_shown; k++) {
		int column = column_of(t, shown[k].column);
		double values[MAX_SEEDS];
		size_t n = 0;

		for (size_t i = first; i < t->n && n < MAX_SEEDS; i++)
			if (column >= 0 && is_same(&t->rows[i], r) &&
			    !isnan(t->rows[i].values[column]))
				values[n++] = t->rows[i].values[column];
		qsort(values, n, sizeof(values[0]), by_value);
		put_cell(values, n, all, shown[k].decimals);
	}
	putchar('\n');
}

static double sum_of(const struct table *t, const char *column, char first)
{
	int at = column_of(t, column);
	double sum = 0;

	if (at < 0)
		return 0;
	for (size_t i = 0; i < t->n; i++)
		if ((!first || t->rows[i].scenario[0] == first) && !isnan(t->rows[i].values[at]))
			sum += t->rows[i].values[at];
	return sum;
}

/* Scored days of one agent. */
static double scored_days(const struct table *t, char first)
{
	return sum_of(t, "days", first) - sum_of(t, "farm_day", first);
}

static double false_cohorts(const struct table *t, char first)
{
	int alarms = column_of(t, "alarms"), precision = column_of(t, "cell_precision");
	double sum = 0;

	for (size_t i = 0; i < t->n; i++)
		if ((!first || t->rows[i].scenario[0] == first) && t->rows[i].values[alarms] > 0)
			sum += t->rows[i].values[alarms] * (1 - t->rows[i].values[precision]);
	return sum;
}

static void put_harm(const struct table *t, const char *what, char first)
{
	double days = sum_of(t, "legit_source_days", first);
	double alert = sum_of(t, "fp_alert", first), enforce = sum_of(t, "fp_enforce", first);
	double cohorts = false_cohorts(t, first), scored = scored_days(t, first);

	if (days <= 0)
		return;
	printf("%s: %.0f legitimate source-days; false alerts %.0f, %.1f a million (at most %.1f), "
	       "false blocks %.0f, %.2f a million (at most %.2f); false cohorts %.0f, %.2f in thirty "
	       "days (at most %.2f), enforced %.0f\n",
	       what, days, alert, alert * 1e6 / days,
	       cg_poisson_upper((uint64_t)alert) * 1e6 / days, enforce, enforce * 1e6 / days,
	       cg_poisson_upper((uint64_t)enforce) * 1e6 / days, cohorts, cohorts * 30 / scored,
	       cg_poisson_upper((uint64_t)lround(cohorts)) * 30 / scored,
	       sum_of(t, "false_enforced", first));
}

static struct cg_lfdr_bin sum_bin(const struct table *t, const char *what, const char *n)
{
	char name[32];
	struct cg_lfdr_bin b;

	snprintf(name, sizeof(name), "%s_%s", what, n);
	b.n = (uint64_t)sum_of(t, name, '\0');
	snprintf(name, sizeof(name), "%s_stated", what);
	b.stated = sum_of(t, name, '\0');
	snprintf(name, sizeof(name), "%s_false", what);
	b.falsely = (uint64_t)sum_of(t, name, '\0');
	return b;
}

static void put_reliability(const struct table *t)
{
	struct cg_lfdr_bin bins[CG_LFDR_BINS], cohorts = sum_bin(t, "cohort", "members");
	char name[32];

	if (!cohorts.n)
		return;
	for (int i = 0; i < CG_LFDR_BINS; i++) {
		snprintf(name, sizeof(name), "lfdr_%s", cg_lfdr_name(i));
		bins[i] = sum_bin(t, name, "n");
	}
	putchar('\n');
	cg_reliability_print(bins, &cohorts, stdout);
	printf("cohorts off by more than 2: %.0f\n", sum_of(t, "cohorts_off", '\0'));
}

static void put_table(const struct table *t, const struct shown *shown, size_t n_shown)
{
	printf("| scenario | seeds |");
	for (size_t k = 0; k < n_shown; k++)
		printf(" %s |", shown[k].title);
	printf("\n|---|---|");
	for (size_t k = 0; k < n_shown; k++)
		printf("---|");
	putchar('\n');
	for (size_t i = 0; i < t->n; i++) {
		size_t k = 0;

		while (k < i && !is_same(&t->rows[k], &t->rows[i]))
			k++;
		if (k == i)
			put_line(t, shown, n_shown, i);
	}
	putchar('\n');
}

int cg_summary(const struct cg_options *options)
{
	struct table *t = calloc(1, sizeof(*t));
	int r = t ? 0 : -ENOMEM;

	(void)options;
	if (!r) {
		t->rows = calloc(MAX_ROWS, sizeof(*t->rows));
		r = t->rows ? read_rows(t) : -ENOMEM;
	}
	if (!r) {
		put_table(t, whom, N_WHOM);
		put_table(t, how, N_HOW);
		put_harm(t, "all", '\0');
		put_harm(t, "without a farm", 'n');
		put_harm(t, "surprises", 'N');
		put_harm(t, "farms", 'F');
		put_reliability(t);
	}
	if (t)
		free(t->rows);
	free(t);
	return r;
}
