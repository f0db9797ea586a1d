/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/signals.h"

#include <math.h>
#include <string.h>

#include "lib/num.h"
#include "model/family.h"

/* --- JSON ------------------------------------------------------------------------------------- */

/* A figure, or null where it rests on nothing. */
static void key_figure(struct fg_jsonw *w, const char *key, unsigned int n, double value)
{
	fg_jsonw_key(w, key);
	if (n)
		fg_jsonw_double(w, value);
	else
		fg_jsonw_null(w);
}

static void open_part(struct fg_jsonw *w, const char *key, unsigned int n)
{
	fg_jsonw_key(w, key);
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "n", n);
}

/* In microseconds; they are kept within one percent. */
static double round_ms(double ms)
{
	return round(ms * 1e3) / 1e3;
}

static void write_spread(struct fg_jsonw *w, const struct fg_spread *s)
{
	key_figure(w, "median_ms", s->n, round_ms(s->median));
	key_figure(w, "mad_ms", s->n, round_ms(s->mad));
}

static void write_times(struct fg_jsonw *w, const struct fg_model *m,
			const struct fg_model_client *c)
{
	const struct fg_crypto crypto = fg_stem_crypto(fg_model_stem(m, c->stem));
	const struct fg_times t = fg_model_times(m, c);

	fg_jsonw_key_u64(w, "measured", t.measured);
	fg_jsonw_key_u64(w, "resent", t.resent);
	open_part(w, "round_trip", t.rtt_ms.n);
	write_spread(w, &t.rtt_ms);
	key_figure(w, "smallest_ms", t.rtt_min_ms > 0, round_ms(t.rtt_min_ms));
	fg_jsonw_object_end(w);
	open_part(w, "turn_around", t.turn_ms.n);
	write_spread(w, &t.turn_ms);
	fg_jsonw_key_u64(w, "second_hellos", t.second_hellos);
	fg_jsonw_key_u64(w, "early_data", t.early);
	fg_jsonw_object_end(w);
	open_part(w, "hello_delay", t.delay_ms.n);
	write_spread(w, &t.delay_ms);
	fg_jsonw_object_end(w);
	open_part(w, "relay_gap", t.gap_ms.n);
	write_spread(w, &t.gap_ms);
	key_figure(w, "crypto_ms", crypto.known, round_ms(crypto.us / 1e3));
	fg_jsonw_key_u64(w, "crypto_n", crypto.n);
	fg_jsonw_key_string(w, "relayed", fg_trait_name(t.relayed));
	fg_jsonw_key_string(w, "confirmed", fg_trait_name(t.confirmed));
	fg_jsonw_object_end(w);
}

static void write_gaps(struct fg_jsonw *w, const struct fg_signals *g)
{
	const struct fg_gaps gaps = fg_signals_gaps(g);

	open_part(w, "gaps", gaps.n);
	key_figure(w, "mean_s", gaps.n, gaps.mean_ms / 1e3);
	fg_jsonw_key_double(w, "cv", gaps.cv);
	fg_jsonw_key(w, "histogram");
	fg_jsonw_array(w);
	for (int i = 0; i < FG_GAP_BINS; i++)
		fg_jsonw_u64(w, g->gaps[i]);
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

static void write_quarters(struct fg_jsonw *w, const struct fg_signals *g, const char *key,
			   unsigned int days_ago)
{
	fg_jsonw_key(w, key);
	fg_jsonw_array(w);
	for (unsigned int i = 0; i < FG_DAY_QUARTERS; i++)
		if (fg_signals_active(g, days_ago, i))
			fg_jsonw_u64(w, i);
	fg_jsonw_array_end(w);
}

static void write_activity(struct fg_jsonw *w, const struct fg_signals *g)
{
	open_part(w, "activity", fg_signals_hours(g));
	fg_jsonw_key(w, "hours_utc");
	fg_jsonw_array(w);
	for (int i = 0; i < 24; i++)
		fg_jsonw_u64(w, g->hours[i]);
	fg_jsonw_array_end(w);
	fg_jsonw_key_time(w, "day", g->day * FG_DAY_NS);
	write_quarters(w, g, "quarters", 0);
	write_quarters(w, g, "quarters_before", 1);
	fg_jsonw_key_u64(w, "returns_days", g->returns);
	fg_jsonw_object_end(w);
}

static void write_shapes(struct fg_jsonw *w, const struct fg_signals *g)
{
	const struct fg_shapes s = fg_signals_shapes(g);

	open_part(w, "shapes", s.n);
	key_figure(w, "streamed_share", s.n, s.streamed_share);
	key_figure(w, "chunks_mean", s.n, s.chunks_mean);
	fg_jsonw_key(w, "top");
	fg_jsonw_array(w);
	for (unsigned int i = 0; i < s.n_top; i++) {
		fg_jsonw_object(w);
		fg_jsonw_key(w, "shape");
		fg_jsonw_stringf(w, "%04x", s.top[i].shape);
		fg_jsonw_key_double(w, "share", s.top[i].share);
		fg_jsonw_object_end(w);
	}
	fg_jsonw_array_end(w);
	fg_jsonw_object_end(w);
}

static void write_closes(struct fg_jsonw *w, const struct fg_signals *g)
{
	static const char *const by[_FG_CLOSE_MAX] = {
		[FG_CLOSE_CLIENT_FIN] = "client_fin_share",
		[FG_CLOSE_CLIENT_RST] = "client_rst_share",
		[FG_CLOSE_SERVER_FIN] = "server_fin_share",
		[FG_CLOSE_SERVER_RST] = "server_rst_share",
	};
	const struct fg_closes c = fg_signals_closes(g);

	open_part(w, "closes", c.n);
	for (int i = 1; i < _FG_CLOSE_MAX; i++)
		key_figure(w, by[i], c.n, c.by_share[i]);
	open_part(w, "idle_share", c.n_idle);
	for (int i = 0; i < _FG_IDLE_MAX; i++)
		key_figure(w, fg_idle_mode_name((enum fg_idle_mode)i), c.n_idle, c.idle_share[i]);
	fg_jsonw_object_end(w);
	fg_jsonw_object_end(w);
}

static double resumed_share(const struct fg_model_client *c)
{
	return c->connections ? (double)c->resumed / c->connections : 0;
}

static void write_lifecycle(struct fg_jsonw *w, const struct fg_model_client *c)
{
	const struct fg_lifecycle l = fg_signals_lifecycle(&c->signals);

	open_part(w, "resumption", c->connections);
	key_figure(w, "resumed_share", c->connections, resumed_share(c));
	fg_jsonw_object_end(w);
	open_part(w, "orphans", l.n_judged);
	key_figure(w, "orphan_share", l.n_judged, l.orphan_share);
	fg_jsonw_object_end(w);
	open_part(w, "hellos", l.n);
	key_figure(w, "early_data_share", l.n, l.early_share);
	key_figure(w, "extension_orders", l.n, l.orders);
	fg_jsonw_key_bool(w, "extension_orders_or_more", l.orders_full);
	fg_jsonw_object_end(w);
}

static void write_days(struct fg_jsonw *w, const char *key, const struct fg_stem_day *day)
{
	unsigned int active = day->births + day->returns;

	open_part(w, key, active);
	key_figure(w, "births", 1, day->births);
	key_figure(w, "returns_share", active, (double)day->returns / active);
	fg_jsonw_object_end(w);
}

static double share_of(uint64_t n, const struct fg_stem *stem)
{
	return stem ? (double)n / (double)stem->connections : 0;
}

void fg_signals_write_stem(struct fg_jsonw *w, const struct fg_model *m, uint64_t key)
{
	const struct fg_stem *stem = fg_model_stem(m, key);
	const struct fg_stem_day today = fg_model_stem_day(m, key, 0);
	const struct fg_stem_day before = fg_model_stem_day(m, key, 1);
	uint64_t n = stem ? stem->connections : 0;

	fg_jsonw_key(w, "stem_everywhere");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "n", n);
	key_figure(w, "v6_share", n != 0, share_of(stem ? stem->v6 : 0, stem));
	/* a stem over QUIC is another one than over TCP: which of them are one program is not known */
	fg_jsonw_key(w, "h3_share");
	fg_jsonw_null(w);
	key_figure(w, "resumed_share", n != 0, share_of(stem ? stem->resumed : 0, stem));
	write_days(w, "today", &today);
	write_days(w, "yesterday", &before);
	fg_jsonw_object_end(w);
}

/* Whole numbers: of few it is exact, of many within one percent. */
void fg_signals_write_reach(struct fg_jsonw *w, const struct fg_view *v, uint64_t stem)
{
	struct fg_reach_counts c = { { 0 } };

	if (v->cohorts)
		c = fg_cells_reach(fg_cohorts_cells(v->cohorts), stem);
	fg_jsonw_key(w, "stem_reach");
	if (c.n[FG_REACH_SOURCES] < 0.5) {
		fg_jsonw_null(w);
		return;
	}
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "days_at_most", 2 * FG_REACH_DAYS);
	fg_jsonw_key_double(w, "sources", round(c.n[FG_REACH_SOURCES]));
	fg_jsonw_key_double(w, "networks", round(c.n[FG_REACH_NETWORKS]));
	key_figure(w, "countries", v->networks != NULL, round(c.n[FG_REACH_COUNTRIES]));
	fg_jsonw_object_end(w);
}

void fg_signals_write(struct fg_jsonw *w, const struct fg_model *m, const struct fg_model_client *c)
{
	const struct fg_stack_share share = fg_stem_stack(fg_model_stem(m, c->stem), c->stack);

	fg_jsonw_object(w);
	write_times(w, m, c);
	write_gaps(w, &c->signals);
	write_activity(w, &c->signals);
	write_shapes(w, &c->signals);
	write_closes(w, &c->signals);
	write_lifecycle(w, c);
	open_part(w, "parallel", c->connections);
	fg_jsonw_key_u64(w, "most", c->signals.parallel);
	fg_jsonw_object_end(w);
	fg_jsonw_key(w, "stack_given_stem");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "n", share.n);
	key_figure(w, "share", c->stack != 0, share.p);
	fg_jsonw_object_end(w);
	fg_signals_write_stem(w, m, c->stem);
	fg_jsonw_object_end(w);
}

/* --- Sentences -------------------------------------------------------------------------------- */

static void say_relay(struct fg_jsonw *w, const struct fg_times *t, const struct fg_crypto *crypto)
{
	if (t->relayed == FG_TRAIT_UNKNOWN)
		return;
	if (crypto->known)
		fg_jsonw_stringf(w,
				 "Less %.1f ms for its own cryptography (from %u connections of "
				 "its stem) a gap of %.1f ms is left, give or take %.1f.",
				 crypto->us / 1e3, crypto->n, t->gap_ms.median, t->gap_ms.mad);
	else
		fg_jsonw_stringf(w,
				 "That is a gap of %.1f ms, give or take %.1f, its own "
				 "cryptography included: how long that takes is not known yet (%u "
				 "of %d connections of its stem).",
				 t->gap_ms.median, t->gap_ms.mad, crypto->n, FG_CRYPTO_MIN_N);
	if (t->relayed == FG_TRAIT_NO) {
		fg_jsonw_string(w, "It does not seem to be relayed.");
		return;
	}
	fg_jsonw_stringf(
		w,
		"It seems to be relayed%s. Benign explanations: a company's gateway, a privacy "
		"relay, a mobile network's proxy, a slow device.",
		t->confirmed == FG_TRAIT_YES ? ", and its hellos are late by the same way" :
		t->confirmed == FG_TRAIT_NO  ? ", though its hellos come at once" :
					       "");
}

static void say_times(struct fg_jsonw *w, const struct fg_model *m, const struct fg_model_client *c)
{
	const struct fg_crypto crypto = fg_stem_crypto(fg_model_stem(m, c->stem));
	const struct fg_times t = fg_model_times(m, c);

	if (t.rtt_ms.n && t.turn_ms.n)
		fg_jsonw_stringf(w,
				 "The address answers TCP after %.1f ms (smallest ever %.1f), the "
				 "client TLS after %.1f ms: medians of its latest %u connections.",
				 t.rtt_ms.median, t.rtt_min_ms, t.turn_ms.median, t.turn_ms.n);
	say_relay(w, &t, &crypto);
}

static void say_gaps(struct fg_jsonw *w, const struct fg_signals *g)
{
	const struct fg_gaps gaps = fg_signals_gaps(g);

	if (gaps.n < 2)
		return;
	fg_jsonw_stringf(w,
			 "Its exchanges begin %.3g s apart on average, with a coefficient of "
			 "variation of %.2f (0 a clock, 1 chance, more in bursts), from %u gaps.",
			 gaps.mean_ms / 1e3, gaps.cv, gaps.n);
}

static void say_activity(struct fg_jsonw *w, const struct fg_signals *g)
{
	unsigned int quarters[2] = { 0 }, silence = 0, longest = 0;
	char day[32];

	if (!g->day)
		return;
	for (unsigned int i = 0; i < FG_DAY_QUARTERS; i++) {
		quarters[0] += fg_signals_active(g, 0, i);
		quarters[1] += fg_signals_active(g, 1, i);
		silence = fg_signals_active(g, 1, i) ? 0 : silence + 1;
		longest = silence > longest ? silence : longest;
	}
	fg_num_time(g->day * FG_DAY_NS, day);
	fg_jsonw_stringf(w,
			 "On %.10s (UTC) it was active in %u quarter hours, on the day before in "
			 "%u%s; days on which it came back: %u%s.",
			 day, quarters[0], quarters[1],
			 quarters[1] && longest < 12 ? " without three hours of rest" : "",
			 g->returns, g->returns == UINT8_MAX ? " or more" : "");
}

/* One of the four parts of a shape: a doubling a step, from 2^from on (model/epoch.h). */
static const char *shape_part(unsigned int log, unsigned int from, char buf[48])
{
	unsigned int low = 1U << (log ? from + log - 1 : from);

	if (!log)
		snprintf(buf, 48, "below %u", low);
	else if (log == 15)
		snprintf(buf, 48, "%u or more", low);
	else
		snprintf(buf, 48, "%u to %u", low, 2 * low - 1);
	return buf;
}

static void say_shapes(struct fg_jsonw *w, const struct fg_signals *g)
{
	const struct fg_shapes s = fg_signals_shapes(g);
	char up[48], down[48], lasted[48], first[48];
	unsigned int top;

	if (!s.n)
		return;
	top = s.top[0].shape;
	fg_jsonw_stringf(w,
			 "Of %u exchanges %.0f %% have the commonest shape (request %s bytes, "
			 "answer %s bytes, first byte after %s ms, all after %s ms); %.0f %% are "
			 "streamed.",
			 s.n, 100 * s.top[0].share, shape_part(top >> 12, 7, up),
			 shape_part(top >> 8 & 15, 7, down), shape_part(top & 15, 0, first),
			 shape_part(top >> 4 & 15, 0, lasted), 100 * s.streamed_share);
}

/* "after 45 s of silence", for most of its closes. */
static const char *idle_text(enum fg_idle_mode mode, char buf[48])
{
	const char *name = fg_idle_mode_name(mode); /* "45_s" */

	if (mode == FG_IDLE_BELOW_1)
		return "after less than 1 s";
	if (mode == FG_IDLE_OTHER)
		return "after silences of no known length";
	snprintf(buf, 48, "after %.*s s", (int)strcspn(name, "_"), name);
	return buf;
}

static void say_closes(struct fg_jsonw *w, const struct fg_signals *g)
{
	const struct fg_closes c = fg_signals_closes(g);
	char idle[48];
	int most = 0;

	if (!c.n)
		return;
	for (int i = 1; i < _FG_IDLE_MAX; i++)
		if (c.idle_share[i] > c.idle_share[most])
			most = i;
	if (!c.n_idle) {
		fg_jsonw_stringf(w, "The server closed all of its latest %u connections.", c.n);
		return;
	}
	fg_jsonw_stringf(w,
			 "Of its latest %u connections it closed %.0f %% first, by reset %.0f %%; "
			 "%.0f %% of these %s.",
			 c.n,
			 100 * (c.by_share[FG_CLOSE_CLIENT_FIN] + c.by_share[FG_CLOSE_CLIENT_RST]),
			 100 * c.by_share[FG_CLOSE_CLIENT_RST], 100 * c.idle_share[most],
			 idle_text((enum fg_idle_mode)most, idle));
}

static void say_lifecycle(struct fg_jsonw *w, const struct fg_model *m,
			  const struct fg_model_client *c)
{
	const struct fg_lifecycle l = fg_signals_lifecycle(&c->signals);
	char orphans[96], from[32];

	if (!l.n)
		return;
	if (l.n_judged)
		snprintf(orphans, sizeof(orphans), "%.0f %% of the latest %u", 100 * l.orphan_share,
			 l.n_judged);
	else if (fg_model_now_ns(m) < fg_model_known_since_ns(m) + FG_TICKET_NS)
		snprintf(orphans, sizeof(orphans), "unknown before %s",
			 fg_num_time(fg_model_known_since_ns(m) + FG_TICKET_NS, from));
	else
		snprintf(orphans, sizeof(orphans), "none to judge");
	fg_jsonw_stringf(w,
			 "It resumes sessions in %.0f %% of %u connections (without a full "
			 "handshake of its own within a day before: %s), sends early data in %.0f "
			 "%%, and orders its extensions in %s%.0f way%s.",
			 100 * resumed_share(c), c->connections, orphans, 100 * l.early_share,
			 l.orders_full ? "at least " : "", fmax(l.orders, 1),
			 l.orders < 1.5 ? "" : "s");
}

/* What all clients of a stem do, since it has been known. */
static void say_stem(struct fg_jsonw *w, const struct fg_model *m, uint64_t key)
{
	const struct fg_stem *stem = fg_model_stem(m, key);
	const struct fg_stem_day today = fg_model_stem_day(m, key, 0);

	if (!stem || !stem->connections)
		return;
	fg_jsonw_stringf(
		w,
		"Of the %llu connections with its stem, from everywhere, %.0f %% came over "
		"IPv6 and %.0f %% resumed a session; today %u of its clients were seen for "
		"the first time and %u came back from an earlier day.",
		(unsigned long long)stem->connections, 100 * share_of(stem->v6, stem),
		100 * share_of(stem->resumed, stem), today.births, today.returns);
}

void fg_signals_say(struct fg_jsonw *w, const struct fg_model *m, const struct fg_model_client *c)
{
	const struct fg_stack_share share = fg_stem_stack(fg_model_stem(m, c->stem), c->stack);

	if (c->stack)
		fg_jsonw_stringf(w,
				 "Its stack is of the family %s; of %llu clients with its stem an "
				 "estimated %.2g %% have this stack.",
				 fg_stack_family_name(fg_stack_family(c->stack)),
				 (unsigned long long)share.n, 100 * share.p);
	say_times(w, m, c);
	say_gaps(w, &c->signals);
	say_shapes(w, &c->signals);
	say_activity(w, &c->signals);
	say_closes(w, &c->signals);
	say_lifecycle(w, m, c);
	say_stem(w, m, c->stem);
	if (c->signals.parallel > 1)
		fg_jsonw_stringf(w, "At most %u of its connections moved in one second.",
				 c->signals.parallel);
}

/* --- A source --------------------------------------------------------------------------------- */

void fg_signals_write_source(struct fg_jsonw *w, const struct fg_view *v,
			     const struct fg_model_source *s)
{
	const struct fg_hosts_seen hosts = fg_model_hosts(v->model, s->addr);
	const struct fg_shared shared = fg_model_shared(v->model, s, v->shared_stems);
	const struct fg_ts_joins all = fg_model_ts_joins(v->model);

	open_part(w, "hosts", (unsigned int)hosts.joins.n);
	key_figure(w, "estimate", hosts.known, hosts.hosts);
	fg_jsonw_key_u64(w, "at_least", fg_model_estimated_hosts(v->model, s));
	fg_jsonw_key_u64(w, "clocks", hosts.lines);
	key_figure(w, "joined_share", hosts.joins.n != 0,
		   (double)hosts.joins.joined / (double)hosts.joins.n);
	key_figure(w, "joined_share_everywhere", all.n != 0, (double)all.joined / (double)all.n);
	fg_jsonw_key_string(w, "why", hosts.why);
	fg_jsonw_object_end(w);
	fg_jsonw_key(w, "shared");
	fg_jsonw_object(w);
	fg_jsonw_key_bool(w, "shared", shared.shared);
	fg_jsonw_key_u64(w, "facts", shared.facts);
	fg_jsonw_key_string(w, "why", shared.why);
	fg_jsonw_object_end(w);
}

void fg_signals_say_source(struct fg_jsonw *w, const struct fg_view *v,
			   const struct fg_model_source *s)
{
	const struct fg_hosts_seen hosts = fg_model_hosts(v->model, s->addr);
	const struct fg_shared shared = fg_model_shared(v->model, s, v->shared_stems);
	const struct fg_ts_joins all = fg_model_ts_joins(v->model);

	fg_jsonw_stringf(w,
			 "Hosts behind it: %s. Everywhere %llu of %llu come back to one. Its "
			 "volume is judged as that of %u.",
			 hosts.why, (unsigned long long)all.joined, (unsigned long long)all.n,
			 fg_model_estimated_hosts(v->model, s));
	fg_jsonw_stringf(w, "It is %s (%u of %d facts of a crowd%s%s).",
			 shared.shared ? "shared: only single clients of it can be blocked" :
					 "not known to be shared",
			 shared.facts, FG_SHARED_ALL, shared.why[0] ? ": " : "", shared.why);
}
