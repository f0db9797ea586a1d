/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/traits.h"

#include <stdio.h>
#include <string.h>

#include "lib/ip.h"
#include "model/family.h"

#include "farmgate/stack.h"

/* By the same yardstick as model/signals.c, for clients of fewer connections than make a spread. */
#define YOUNG_GAP_MS 25.0
#define YOUNG_OF_RTT 0.25

static const char *const share_names[_FG_SHARE_MAX] = {
	[FG_SHARE_RELAYED] = "relayed",	   [FG_SHARE_RELAYED_YOUNG] = "relayed_young",
	[FG_SHARE_IDLE] = "provider_idle", [FG_SHARE_V4] = "over_ipv4",
	[FG_SHARE_BORN] = "new_sources",   [FG_SHARE_NOT_BACK] = "not_active_yesterday",
};

static const char *const hist_names[_FG_HIST_MAX] = {
	[FG_HIST_TURNS] = "turns_a_day",
	[FG_HIST_SHAPE] = "shape",
	[FG_HIST_STACK] = "stack",
};

const char *fg_share_name(enum fg_share share)
{
	return (unsigned int)share < _FG_SHARE_MAX ? share_names[share] : "?";
}

const char *fg_hist_name(enum fg_hist hist)
{
	return (unsigned int)hist < _FG_HIST_MAX ? hist_names[hist] : "?";
}

unsigned int fg_hist_at(unsigned int hist)
{
	static const unsigned int at[_FG_HIST_MAX + 1] = { 0, FG_TURN_BINS,
							   FG_TURN_BINS + FG_SHAPE_BINS,
							   FG_HIST_BINS };

	return at[hist];
}

void fg_traits_begin(struct fg_traits_reader *r, const struct fg_model *model,
		     const struct fg_networks *networks)
{
	memset(r, 0, sizeof(*r));
	r->model = model;
	r->networks = networks;
}

static double crypto_us(struct fg_traits_reader *r, uint64_t stem)
{
	unsigned int i = stem & 0xff;

	if (r->crypto[i].stem != stem) {
		r->crypto[i].stem = stem;
		r->crypto[i].us = fg_stem_crypto(fg_model_stem(r->model, stem)).us;
	}
	return r->crypto[i].us;
}

static void answer(struct fg_traits *t, enum fg_share share, bool yes)
{
	t->known |= (uint8_t)(1U << share);
	t->yes |= (uint8_t)((unsigned int)yes << share);
}

static void read_relay(struct fg_traits_reader *r, const struct fg_model_client *c,
		       struct fg_traits *t)
{
	const struct fg_times times = fg_signals_times(&c->signals, crypto_us(r, c->stem));

	/* over QUIC no times are ever known: how often it was seen has to do, and says nothing else */
	t->measured = c->stack == FG_STACK_QUIC ? c->signals.opened : (uint8_t)times.measured;
	if (times.relayed != FG_TRAIT_UNKNOWN)
		answer(t, FG_SHARE_RELAYED, times.relayed == FG_TRAIT_YES);
	else if (times.gap_ms.n)
		answer(t, FG_SHARE_RELAYED_YOUNG,
		       times.gap_ms.median > YOUNG_GAP_MS &&
			       times.gap_ms.median > YOUNG_OF_RTT * times.rtt_ms.median);
}

/* Of the silences before this client's closes, is the most frequent one a provider's constant? */
static void read_idle(const struct fg_signals *g, struct fg_traits *t)
{
	static const bool provider[_FG_IDLE_MAX] = { [FG_IDLE_45] = true,
						     [FG_IDLE_60] = true,
						     [FG_IDLE_90] = true,
						     [FG_IDLE_180] = true,
						     [FG_IDLE_300] = true };
	int most = 0;

	for (int i = 1; i < _FG_IDLE_MAX; i++)
		if (g->closes[i] > g->closes[most])
			most = i;
	if (g->closes[most])
		answer(t, FG_SHARE_IDLE, provider[most]);
}

static void read_life(const struct fg_model *m, const struct fg_model_client *c,
		      const struct fg_client_day *d, struct fg_traits *t)
{
	uint64_t first_ns = fg_model_source_first_ns(m, c);
	uint64_t now_ns = fg_model_now_ns(m);
	uint64_t age = now_ns > first_ns ? (now_ns - first_ns) / FG_DAY_NS : 0;

	t->age_days = age < UINT8_MAX ? (uint8_t)age : UINT8_MAX;
	/* who is new to us on our own first day, or after a break, is not new to the service */
	if (fg_model_now_ns(m) - fg_model_unbroken_ns(m) > FG_DAY_NS)
		answer(t, FG_SHARE_BORN, age == 0);
	if (fg_model_now_ns(m) - fg_model_unbroken_ns(m) > 2 * FG_DAY_NS)
		answer(t, FG_SHARE_NOT_BACK, d->before == 0);
}

static unsigned int log2_of(unsigned int v)
{
	return v ? 31 - (unsigned int)__builtin_clz(v) : 0;
}

unsigned int fg_shape_bin(uint16_t shape)
{
	return (unsigned int)(shape >> 12) << 2 | (unsigned int)(shape >> 8 & 15) >> 2;
}

/* Family in eight, MSS in two: whole Ethernet frames, or less (tunnels, mobile networks). Where no SYN
 * was seen there is no bin. */
static unsigned int stack_bin(uint64_t stack)
{
	enum fg_stack_family family = fg_stack_family(stack);

	if (family == FG_STACK_UNKNOWN)
		return FG_BIN_UNKNOWN;
	return ((unsigned int)family & 7) << 1 | (unsigned int)fg_stack_mss_small(stack);
}

static void read_bins(const struct fg_traits_reader *r, const struct fg_model_client *c,
		      const struct fg_client_day *d, struct fg_traits *t)
{
	const struct fg_signals *g = &c->signals;
	int top = 0;

	for (int i = 1; i < FG_SHAPES_KEPT; i++)
		if (g->shape_counts[i] > g->shape_counts[top])
			top = i;
	/* a day that began before us, or has a break in it, has counts that lack a part of it */
	t->bins[FG_HIST_TURNS] = (uint64_t)d->day * FG_DAY_NS >= fg_model_unbroken_ns(r->model) ?
					 (uint8_t)log2_of(fg_client_turns(d)) :
					 FG_BIN_UNKNOWN;
	t->bins[FG_HIST_SHAPE] = g->shape_counts[top] ? (uint8_t)fg_shape_bin(g->shapes[top]) :
							FG_BIN_UNKNOWN;
	t->bins[FG_HIST_STACK] = (uint8_t)stack_bin(c->stack);
}

static void read_network(const struct fg_traits_reader *r, const struct fg_model_client *c,
			 struct fg_traits *t)
{
	struct fg_network network = { 0 };
	int minutes;

	if (r->networks)
		network = fg_networks_find(r->networks, c->addr);
	t->asn = network.asn;
	t->network_class = (uint8_t)network.class;
	memcpy(t->country, network.country, sizeof(t->country));
	t->offset_minutes = r->networks && !fg_country_offset(network.country, &minutes) ?
				    (int16_t)minutes :
				    FG_OFFSET_UNKNOWN;
}

void fg_traits_read(struct fg_traits_reader *r, uint32_t place, struct fg_traits *t)
{
	const struct fg_model_client *c = fg_model_client_at(r->model, place);
	const struct fg_client_day *d = fg_model_client_day(r->model, place);

	*t = (struct fg_traits){ .place = place };
	read_relay(r, c, t);
	read_idle(&c->signals, t);
	answer(t, FG_SHARE_V4, fg_ip_is4(c->addr));
	read_life(r->model, c, d, t);
	read_bins(r, c, d, t);
	read_network(r, c, t);
}

/* --- Words ------------------------------------------------------------------------------------ */

/* Where a step of fg_turn_log(n, 7) ends: 128 bytes that of step 0. */
static void bytes_text(unsigned int log, char *text, size_t n)
{
	uint32_t bytes = 1U << (7 + log);

	if (bytes < 1024)
		snprintf(text, n, "%u B", bytes);
	else if (bytes < 1024 * 1024)
		snprintf(text, n, "%u kB", bytes >> 10);
	else
		snprintf(text, n, "%u MB", bytes >> 20);
}

/* Steps from..to, which last includes what is larger. */
static void range_text(unsigned int from, unsigned int to, char *text, size_t n)
{
	char low[16], high[16];

	bytes_text(from ? from - 1 : 0, low, sizeof(low));
	bytes_text(to, high, sizeof(high));
	if (from == 0)
		snprintf(text, n, "below %s", high);
	else if (to == 15)
		snprintf(text, n, "from %s on", low);
	else
		snprintf(text, n, "of %s to %s", low, high);
}

void fg_shape_bin_text(unsigned int bin, char *text, size_t n)
{
	char up[40], down[40];

	range_text(bin >> 2, bin >> 2, up, sizeof(up));
	range_text((bin & 3) * 4, (bin & 3) * 4 + 3, down, sizeof(down));
	snprintf(text, n, "requests %s, answers %s", up, down);
}

void fg_turn_bin_text(unsigned int bin, char *text, size_t n)
{
	if (bin == 0)
		snprintf(text, n, "at most 1");
	else
		snprintf(text, n, "%u to %u", 1U << bin, (1U << (bin + 1)) - 1);
}

void fg_stack_bin_text(unsigned int bin, char *text, size_t n)
{
	snprintf(text, n, "%s%s", fg_stack_family_name((enum fg_stack_family)(bin >> 1)),
		 bin & 1 ? " with a small MSS" : "");
}
