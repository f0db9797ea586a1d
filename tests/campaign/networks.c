/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "campaign/population.h"

static const struct {
	char country[3];
	int8_t offset;
	double rtt_ms, weight;
} countries[] = {
	{ "US", -5, 35, 22 }, { "DE", 1, 95, 8 },   { "GB", 0, 85, 7 },	  { "FR", 1, 92, 6 },
	{ "IN", 5, 190, 9 },  { "BR", -3, 130, 6 }, { "JP", 9, 120, 6 },  { "KR", 9, 135, 4 },
	{ "CA", -5, 40, 4 },  { "AU", 10, 180, 3 }, { "ES", 1, 105, 3 },  { "IT", 1, 108, 3 },
	{ "NL", 1, 90, 3 },   { "PL", 1, 110, 2 },  { "SE", 1, 112, 2 },  { "MX", -6, 60, 2 },
	{ "ID", 7, 200, 3 },  { "VN", 7, 205, 2 },  { "TH", 7, 198, 2 },  { "TR", 3, 135, 2 },
	{ "ZA", 2, 210, 1 },  { "NG", 1, 180, 1 },  { "AR", -3, 150, 1 }, { "CL", -4, 140, 1 },
	{ "SG", 8, 180, 2 },  { "TW", 8, 150, 2 },  { "PH", 8, 195, 1 },  { "UA", 2, 120, 1 },
	{ "RO", 2, 118, 1 },  { "IL", 2, 130, 1 },
};
#define COUNTRIES (sizeof(countries) / sizeof(countries[0]))

/* Of four hundred networks. */
static const double class_weights[_CG_CLASS_MAX] = { 90, 160, 60, 25, 50, 15 };

void cg_networks_make(struct cg_network networks[CG_NETWORKS], struct fg_prng *r)
{
	double weights[COUNTRIES];
	uint32_t used[65536 / 32] = { 0 };

	for (size_t i = 0; i < COUNTRIES; i++)
		weights[i] = countries[i].weight;
	for (uint32_t i = 0; i < CG_NETWORKS; i++) {
		struct cg_network *n = &networks[i];
		unsigned int c = cg_pick(r, weights, COUNTRIES);

		memset(n, 0, sizeof(*n));
		n->asn = 64512 + i; /* RFC 6996: private use */
		n->class = (enum cg_class)cg_pick(r, class_weights, _CG_CLASS_MAX);
		memcpy(n->country, countries[c].country, sizeof(n->country));
		n->offset = countries[c].offset;
		n->rtt_ms = countries[c].rtt_ms;
		for (int k = 0; k < 2; k++) {
			uint32_t net;

			/* 11.0.0.0 .. 99.255.0.0: anything that is nobody's own */
			do
				net = (11 + fg_prng_below(r, 89)) << 8 | fg_prng_below(r, 256);
			while (used[net / 32] >> net % 32 & 1);
			used[net / 32] |= 1U << net % 32;
			n->v4[k] = net << 16;
		}
		n->v6 = 0x2a000000U | i << 8 | fg_prng_below(r, 256);
	}
}
