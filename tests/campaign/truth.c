/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "campaign/truth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/keys.h"
#include "campaign/map.h"
#include "lib/ip.h"

#define HOUR_NS	  (CG_DAY_NS / 24)
#define SECOND_NS 1000000000ULL

struct person {
	uint8_t addr[16];
	const char *kind;
	uint64_t first_ns, last_ns, exchanges, farm_exchanges;
};

struct hour {
	uint64_t exchanges, farm_exchanges;
};

struct cg_truth {
	const struct cg_world *world;
	struct cg_map people, hours;
};

int cg_truth_new(const struct cg_world *world, struct cg_truth **ret)
{
	struct cg_truth *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->world = world;
	t->people.size = sizeof(struct person);
	t->hours.size = sizeof(struct hour);
	*ret = t;
	return 0;
}

void cg_truth_free(struct cg_truth **truth)
{
	if (!*truth)
		return;
	cg_map_free(&(*truth)->people);
	cg_map_free(&(*truth)->hours);
	free(*truth);
	*truth = NULL;
}

static struct person *person_of(struct cg_truth *t, const struct cg_connection *c)
{
	uint64_t words[2];
	uint8_t addr[16];
	struct person *p;

	cg_source_of(c->source, addr);
	memcpy(words, addr, sizeof(words));
	p = cg_map_put(&t->people, cg_mix(cg_mix(0x243f6a8885a308d3ULL, words[0]), words[1]));
	if (!p || p->kind)
		return p;
	memcpy(p->addr, addr, sizeof(addr));
	p->first_ns = c->syn_ns;
	p->kind = cg_world_actor(t->world, c->actor).kind;
	return p;
}

int cg_truth_add(struct cg_truth *t, const struct cg_connection *c)
{
	uint64_t n = c->n_exchanges + (uint64_t)c->bulk;
	struct person *p = person_of(t, c);
	struct hour *h = cg_map_put(&t->hours, c->syn_ns / HOUR_NS);

	if (!p || !h)
		return -ENOMEM;
	/* a farm's exit may have been somebody's before */
	if (c->farm && !p->farm_exchanges)
		p->first_ns = c->syn_ns;
	p->last_ns = c->close_ns;
	p->exchanges += n;
	p->farm_exchanges += c->farm ? n : 0;
	if (c->farm)
		p->kind = cg_world_actor(t->world, c->actor).kind;
	h->exchanges += n;
	h->farm_exchanges += c->farm ? n : 0;
	return 0;
}

int cg_truth_write(const struct cg_truth *t, FILE *out)
{
	char addr[FG_IP_TEXT];

	for
		CG_EACH(const struct person, p, &t->people)
	fprintf(out, "source\t%s\t%s\t%d\t%llu\t%llu\t%" PRIu64 "\t%" PRIu64 "\n",
		fg_ip_source(p->addr, addr), p->kind, p->farm_exchanges != 0,
		p->first_ns / SECOND_NS, p->last_ns / SECOND_NS, p->exchanges, p->farm_exchanges);
	for (uint32_t i = 0; i < t->hours.n; i++) {
		const struct hour *h = (const struct hour *)t->hours.values + i;

		fprintf(out, "hour\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", t->hours.keys[i],
			h->exchanges, h->farm_exchanges);
	}
	return fflush(out) || ferror(out) ? -EIO : 0;
}
