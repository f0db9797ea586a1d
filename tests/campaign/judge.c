/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `campaign judge`: what the product said of a capture (its report, as JSON) against the truth about it.
 *
 *   alarm      the first cohort, or the first flag on a farm's source, less the farm's first exchange
 *   leaked     exchanges of the farm in hours that began before that
 *   recall     farm's sources that made an exchange on the last day and stand flagged at the end
 *   precision  of the sources that stand flagged at the end
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/campaign.h"
#include "campaign/map.h"
#include "campaign/score.h"
#include "lib/ip.h"

#define HOUR_S 3600
#define DAY_S  86400

struct person {
	char kind[8];
	bool farm, flagged;
	uint64_t first_s, last_s;
};

struct hour {
	uint64_t number, exchanges, farm_exchanges;
};

struct judge {
	struct cg_map people;
	struct hour *hours;
	size_t n_hours, cap_hours;
	json_t *report;
	uint64_t farm_start_s, end_s;
};

static uint64_t key_of(const char *address)
{
	uint64_t words[2] = { 0 };
	uint8_t addr[16], bits;

	if (!fg_ip_parse(address, addr, &bits))
		memcpy(words, addr, sizeof(words));
	return cg_mix(cg_mix(0x243f6a8885a308d3ULL, words[0]), words[1]);
}

static int read_person(struct judge *j, const char *line)
{
	char address[FG_IP_TEXT], kind[8];
	uint64_t first, last, all, farm;
	struct person *p;
	int flag;

	if (sscanf(line, "source\t%63s\t%7s\t%d\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64,
		   address, kind, &flag, &first, &last, &all, &farm) != 7)
		return -EINVAL;
	p = cg_map_put(&j->people, key_of(address));
	if (!p)
		return -ENOMEM;
	snprintf(p->kind, sizeof(p->kind), "%s", kind);
	p->farm = flag;
	p->first_s = first;
	p->last_s = last;
	if (flag && (!j->farm_start_s || first < j->farm_start_s))
		j->farm_start_s = first;
	return 0;
}

static int read_hour(struct judge *j, const char *line)
{
	struct hour h, *larger;

	if (sscanf(line, "hour\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64, &h.number, &h.exchanges,
		   &h.farm_exchanges) != 3)
		return -EINVAL;
	if (j->n_hours == j->cap_hours) {
		j->cap_hours = j->cap_hours ? j->cap_hours * 2 : 1024;
		larger = reallocarray(j->hours, j->cap_hours, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		j->hours = larger;
	}
	j->hours[j->n_hours++] = h;
	return 0;
}

static int read_truth(struct judge *j, const char *path)
{
	FILE *in = fopen(path, "r");
	unsigned long number = 0;
	char line[256];
	int r = in ? 0 : -errno;

	j->people.size = sizeof(struct person);
	while (!r && fgets(line, sizeof(line), in)) {
		number++;
		r = line[0] == 's' ? read_person(j, line) : read_hour(j, line);
	}
	if (r)
		fprintf(stderr, "campaign: %s:%lu: %s\n", path, number, strerror(-r));
	if (in)
		fclose(in);
	return r;
}

static int read_report(struct judge *j, const char *path)
{
	json_error_t error;

	j->report = json_load_file(path, 0, &error);
	if (j->report)
		return 0;
	fprintf(stderr, "campaign: %s:%d: %s\n", path, error.line, error.text);
	return -EINVAL;
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* Marks who is flagged; when a farm's source was first. @return 0 = never. */
static double mark_flagged(struct judge *j)
{
	double first = 0;
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(j->report, "flagged"), i, row)
	{
		const char *source = json_string_value(json_object_get(row, "source"));
		struct person *p = source ? cg_map_find(&j->people, key_of(source)) : NULL;
		double at = number_of(row, "first_flagged");

		if (!p)
			continue;
		p->flagged = true;
		if (p->farm && (first == 0 || at < first))
			first = at;
	}
	return first;
}

static double first_alarm(const struct judge *j, double first)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(j->report, "cohorts"), i, row)
	{
		double at = number_of(row, "first_flagged");

		if (at >= (double)j->farm_start_s && (first == 0 || at < first))
			first = at;
	}
	return first;
}

static void print_exchanges(const struct judge *j, double alarm)
{
	uint64_t all = 0, farm = 0, leaked = 0;

	for (size_t i = 0; i < j->n_hours; i++) {
		const struct hour *h = &j->hours[i];

		all += h->exchanges;
		farm += h->farm_exchanges;
		leaked += alarm == 0 || (double)(h->number * HOUR_S) < alarm ? h->farm_exchanges :
									       0;
	}
	printf("exchanges             %" PRIu64 ", of them the farm's %" PRIu64 "\n", all, farm);
	printf("leaked to the alarm   %" PRIu64 " (%.2f %%)\n", leaked,
	       100 * cg_share(leaked, farm));
}

static void print_people(const struct judge *j)
{
	uint64_t active = 0, found = 0, farm = 0, legit = 0, people = 0, farms = 0;

	for
		CG_EACH(const struct person, p, &j->people)
		{
			bool late = p->last_s + DAY_S >= j->end_s;

			farms += p->farm;
			people += !p->farm;
			active += p->farm && late;
			found += p->farm && late && p->flagged;
			farm += p->flagged && p->farm;
			legit += p->flagged && !p->farm;
		}
	printf("sources               %" PRIu64 " of the farm, %" PRIu64 " others\n", farms,
	       people);
	printf("flagged at the end    %" PRIu64 " of the farm, %" PRIu64
	       " others: precision %.4f\n",
	       farm, legit, cg_share(farm, farm + legit));
	printf("of the last day's     %" PRIu64 " of %" PRIu64 " of the farm: recall %.4f\n", found,
	       active, cg_share(found, active));
}

static void print_cohorts(const struct judge *j)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(j->report, "cohorts"), i, row)
	{
		if (i == 3)
			break;
		printf("cohort                %s: %.0f sources, estimated farm %.0f, %.1f h: %s\n",
		       json_string_value(json_object_get(row, "id")), number_of(row, "sources"),
		       number_of(row, "estimated_farm"),
		       (number_of(row, "first_flagged") - (double)j->farm_start_s) / HOUR_S,
		       json_string_value(json_object_get(row, "subject")));
	}
}

static void print_all(struct judge *j)
{
	double alarm = first_alarm(j, mark_flagged(j));

	j->end_s = (uint64_t)number_of(j->report, "last_packet");
	printf("frames                %.0f over %.1f days\n", number_of(j->report, "packets"),
	       (number_of(j->report, "last_packet") - number_of(j->report, "first_packet")) /
		       DAY_S);
	if (alarm == 0)
		printf("alarm                 never\n");
	else
		printf("alarm                 %.2f h after the farm's first exchange\n",
		       (alarm - (double)j->farm_start_s) / HOUR_S);
	print_exchanges(j, alarm);
	print_people(j);
	print_cohorts(j);
}

int cg_judge(const struct cg_options *o)
{
	struct judge j = { 0 };
	int r = o->truth_file && o->report_file ? 0 : -EINVAL;

	if (r)
		fprintf(stderr, "campaign: judge: --truth and --report are needed\n");
	if (!r)
		r = read_truth(&j, o->truth_file);
	if (!r)
		r = read_report(&j, o->report_file);
	if (!r)
		print_all(&j);
	json_decref(j.report);
	cg_map_free(&j.people);
	free(j.hours);
	return r;
}
