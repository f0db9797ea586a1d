/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Clients are told apart by 64 bits of a hash: among ten million two are mixed up once in 370,000
 * runs.
 */
#include "campaign/score.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign/map.h"

/* --- What is kept ------------------------------------------------------------------------------ */

/* What a verdict may name: the client, its stem at the source, the whole source. */
enum scope {
	CLIENT,
	STEM,
	SOURCE,
	SCOPES
};

struct entry {
	uint64_t keys[SCOPES];
	uint64_t time_ns;
	uint32_t actor, exchanges;
	bool farm;
};

struct client {
	uint64_t keys[SCOPES];
	uint32_t actor, legit, farm; /* exchanges today */
	uint32_t hour; /* counted as active in this hour of the run, plus one */
	bool told;
};

struct source {
	uint32_t actor;
	bool legit;
};

/* A client of a farm, from its first exchange on. */
struct comer {
	uint64_t first_ns, flagged_ns; /* 0 = not yet */
};

struct span {
	uint64_t since_ns, until_ns, seen_ns;
};

struct flag {
	uint64_t first_ns;
	struct span spans[CG_TIERS];
};

/* What legitimate users have in common. */
enum group {
	KIND,
	COUNTRY,
	NETWORK,
	GROUPS
};

struct harmed {
	char name[16];
	struct cg_harm harm;
};

struct known {
	uint32_t at[GROUPS];
};

struct cg_score {
	struct cg_score_conf conf;
	struct cg_metrics m;
	uint64_t day_ns, read_ns; /* the running day; the last hour's end */
	struct entry *log;
	size_t n_log, cap_log;
	struct cg_map clients, sources; /* of the day */
	struct cg_map flags; /* by key of any scope */
	struct cg_map harmed[GROUPS], actors;
	struct cg_map comers; /* by CLIENT */
	uint64_t farm_clients; /* today so far */
	uint32_t hours;
};

static uint64_t key_of(const uint8_t source[16], uint64_t stem, uint64_t stack)
{
	uint64_t words[2];

	memcpy(words, source, sizeof(words));
	return cg_mix(cg_mix(cg_mix(cg_mix(0x243f6a8885a308d3ULL, words[0]), words[1]), stem),
		      stack);
}

static void keys_of(const struct cg_progress *p, uint64_t keys[SCOPES])
{
	keys[CLIENT] = key_of(p->source, p->stem, p->stack);
	keys[STEM] = key_of(p->source, p->stem, 0);
	keys[SOURCE] = key_of(p->source, 0, 0);
}

int cg_score_new(const struct cg_score_conf *conf, struct cg_score **ret)
{
	struct cg_score *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->conf = *conf;
	s->day_ns = conf->start_ns;
	s->read_ns = conf->start_ns;
	s->clients.size = sizeof(struct client);
	s->sources.size = sizeof(struct source);
	s->flags.size = sizeof(struct flag);
	s->actors.size = sizeof(struct known);
	s->comers.size = sizeof(struct comer);
	for (int i = 0; i < GROUPS; i++)
		s->harmed[i].size = sizeof(struct harmed);
	*ret = s;
	return 0;
}

void cg_score_free(struct cg_score **score)
{
	struct cg_score *s = *score;

	if (!s)
		return;
	cg_map_free(&s->clients);
	cg_map_free(&s->sources);
	cg_map_free(&s->flags);
	cg_map_free(&s->actors);
	cg_map_free(&s->comers);
	for (int i = 0; i < GROUPS; i++)
		cg_map_free(&s->harmed[i]);
	free(s->log);
	free(s);
	*score = NULL;
}

static int note_client(struct cg_score *s, const struct entry *e)
{
	struct client *c = cg_map_put(&s->clients, e->keys[CLIENT]);
	struct source *source = cg_map_put(&s->sources, e->keys[SOURCE]);

	if (!c || !source)
		return -ENOMEM;
	memcpy(c->keys, e->keys, sizeof(c->keys));
	c->actor = e->actor;
	if (e->farm) {
		s->farm_clients += !c->farm;
		c->farm += e->exchanges;
		return 0;
	}
	c->legit += e->exchanges;
	if (!source->legit)
		source->actor = e->actor;
	source->legit = true;
	return 0;
}

int cg_score_progress(struct cg_score *s, const struct cg_progress *p, size_t n)
{
	struct entry *larger;
	size_t cap;
	int r = 0;

	if (s->n_log + n > s->cap_log) {
		cap = (s->n_log + n) * 2;
		larger = reallocarray(s->log, cap, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		s->log = larger;
		s->cap_log = cap;
	}
	for (size_t i = 0; !r && i < n; i++) {
		struct entry *e = &s->log[s->n_log++];

		keys_of(&p[i], e->keys);
		e->time_ns = p[i].time_ns;
		e->actor = p[i].actor;
		e->exchanges = p[i].exchanges;
		e->farm = p[i].farm;
		r = note_client(s, e);
	}
	return r;
}

/* --- Verdicts ----------------------------------------------------------------------------------- */

/* A span that was seen at the last reading goes on; else a new one began. */
static void see_span(const struct cg_score *s, struct span *span, uint64_t since_ns,
		     uint64_t until_ns, uint64_t now_ns)
{
	if (!span->seen_ns || span->seen_ns < s->read_ns)
		span->since_ns = since_ns;
	span->until_ns = until_ns;
	span->seen_ns = now_ns;
}

int cg_score_verdict(struct cg_score *s, const uint8_t source[16], uint64_t stem, uint64_t stack,
		     enum fg_tier tier, uint64_t first_ns, uint64_t until_ns)
{
	uint64_t now_ns = s->read_ns + CG_HOUR_NS;
	struct flag *f;

	if (tier < FG_TIER_ALERT)
		return 0;
	f = cg_map_put(&s->flags, key_of(source, stem, stack));
	if (!f)
		return -ENOMEM;
	if (!f->first_ns || first_ns < f->first_ns)
		f->first_ns = first_ns;
	see_span(s, &f->spans[CG_ALERT], first_ns, until_ns, now_ns);
	/* when it was raised is not told: at the last reading at the earliest */
	if (tier >= FG_TIER_ENFORCE)
		see_span(s, &f->spans[CG_ENFORCE], first_ns > s->read_ns ? first_ns : s->read_ns,
			 until_ns, now_ns);
	return 0;
}

static uint64_t span_end(const struct span *span)
{
	uint64_t gone = span->seen_ns + CG_HOUR_NS;

	return span->until_ns < gone ? span->until_ns : gone;
}

/* Did a verdict of this tier stand at any time from..to, on the client or what it belongs to? */
static bool flagged_within(const struct cg_score *s, const uint64_t keys[SCOPES], enum cg_tier tier,
			   uint64_t from_ns, uint64_t to_ns)
{
	for (int i = 0; i < SCOPES; i++) {
		const struct flag *f = cg_map_find(&s->flags, keys[i]);

		if (f && f->spans[tier].seen_ns && f->spans[tier].since_ns < to_ns &&
		    span_end(&f->spans[tier]) > from_ns)
			return true;
	}
	return false;
}

/* When a verdict first fell on it; UINT64_MAX = never. */
static uint64_t first_flagged(const struct cg_score *s, const uint64_t keys[SCOPES])
{
	uint64_t first = UINT64_MAX;

	for (int i = 0; i < SCOPES; i++) {
		const struct flag *f = cg_map_find(&s->flags, keys[i]);

		if (f && f->first_ns < first)
			first = f->first_ns;
	}
	return first;
}

static void see_alarm(struct cg_score *s, uint64_t ns)
{
	if (!s->m.first_alarm_ns || ns < s->m.first_alarm_ns)
		s->m.first_alarm_ns = ns;
}

void cg_score_alarm(struct cg_score *s, const struct cg_alarm *a)
{
	bool is_true = a->farm && a->farm * 5ULL >= a->clients;

	s->m.alarms++;
	s->m.true_alarms += is_true;
	s->m.false_enforced += !is_true && a->enforced;
	if (!is_true)
		return;
	see_alarm(s, a->time_ns);
	if (!s->m.first_cell_alarm_ns || a->time_ns < s->m.first_cell_alarm_ns)
		s->m.first_cell_alarm_ns = a->time_ns;
	s->m.farm_cell_found |= a->farm * 10ULL >= a->farm_active;
}

/* --- The hour ----------------------------------------------------------------------------------- */

static int harm_of(struct cg_map *map, const char *name, uint32_t *ret_at)
{
	uint64_t key = 0;
	struct harmed *h;

	for (const char *c = name; *c; c++)
		key = cg_mix(key, (uint8_t)*c);
	h = cg_map_put(map, key);
	if (!h)
		return -ENOMEM;
	if (!h->name[0])
		snprintf(h->name, sizeof(h->name), "%s", name);
	*ret_at = (uint32_t)(h - (struct harmed *)map->values);
	return 0;
}

/* The three rows that speak of an actor, remembered. @return 0, -ENOMEM. */
static int harms_of(struct cg_score *s, uint32_t actor, struct cg_harm *ret[GROUPS])
{
	struct known *known = cg_map_find(&s->actors, actor);
	struct cg_actor_info info;
	char asn[16];
	int r = 0;

	if (!known) {
		known = cg_map_put(&s->actors, actor);
		if (!known)
			return -ENOMEM;
		info = s->conf.actor(s->conf.arg, actor);
		snprintf(asn, sizeof(asn), "AS%u", info.asn);
		r = harm_of(&s->harmed[KIND], info.kind, &known->at[KIND]);
		r = r ? r : harm_of(&s->harmed[COUNTRY], info.country, &known->at[COUNTRY]);
		r = r ? r : harm_of(&s->harmed[NETWORK], info.asn ? asn : "-", &known->at[NETWORK]);
	}
	for (int i = 0; !r && i < GROUPS; i++)
		ret[i] = &((struct harmed *)s->harmed[i].values)[known->at[i]].harm;
	return r;
}

static int count_legit(struct cg_score *s, const struct entry *e)
{
	bool blocked = flagged_within(s, e->keys, CG_ENFORCE, e->time_ns, e->time_ns + 1);
	struct cg_harm *harms[GROUPS];

	if (s->day_ns < s->conf.scored_ns)
		return 0;
	s->m.legit_exchanges += e->exchanges;
	s->m.blocked += blocked ? e->exchanges : 0;
	if (harms_of(s, e->actor, harms))
		return -ENOMEM;
	for (int i = 0; i < GROUPS; i++) {
		harms[i]->exchanges += e->exchanges;
		harms[i]->blocked += blocked ? e->exchanges : 0;
	}
	return 0;
}

static int note_comer(struct cg_score *s, const struct entry *e, uint64_t flagged)
{
	struct comer *c = cg_map_put(&s->comers, e->keys[CLIENT]);

	if (!c)
		return -ENOMEM;
	if (!c->first_ns)
		c->first_ns = e->time_ns;
	if (!c->flagged_ns && flagged != UINT64_MAX)
		c->flagged_ns = flagged > c->first_ns ? flagged : c->first_ns;
	return 0;
}

static int count_farm(struct cg_score *s, const struct entry *e)
{
	uint64_t first = first_flagged(s, e->keys);

	if (!s->m.farm_start_ns || e->time_ns < s->m.farm_start_ns)
		s->m.farm_start_ns = e->time_ns;
	s->m.farm_exchanges += e->exchanges;
	if (e->time_ns < first)
		s->m.leaked += e->exchanges;
	if (!s->m.first_cell_alarm_ns || e->time_ns < s->m.first_cell_alarm_ns)
		s->m.leaked_to_alarm += e->exchanges;
	if (first != UINT64_MAX)
		see_alarm(s, first > e->time_ns ? first : e->time_ns);
	return note_comer(s, e, first);
}

/* How much of the farm that was active in this hour is under a verdict now? */
static void see_members(struct cg_score *s, uint64_t now_ns)
{
	static const unsigned int percent[2] = { 50, 90 };
	uint64_t active = 0, members = 0;

	for (size_t i = 0; i < s->n_log; i++) {
		const struct entry *e = &s->log[i];
		struct client *c = e->farm ? cg_map_find(&s->clients, e->keys[CLIENT]) : NULL;

		if (!c || c->hour == s->hours + 1)
			continue;
		c->hour = s->hours + 1;
		active++;
		members += flagged_within(s, e->keys, CG_ALERT, now_ns, now_ns + 1);
	}
	for (int i = 0; i < 2; i++)
		if (active && members * 100 >= active * percent[i] && !s->m.member_ns[i])
			s->m.member_ns[i] = now_ns;
}

static void tell_flagged(struct cg_score *s, uint64_t now_ns)
{
	if (!s->conf.flagged)
		return;
	for
		CG_EACH(struct client, c, &s->clients)
		{
			if (c->told || !flagged_within(s, c->keys, CG_ALERT, now_ns, now_ns + 1))
				continue;
			c->told = true;
			s->conf.flagged(s->conf.arg, c->actor, now_ns);
		}
}

/* --- The day ------------------------------------------------------------------------------------ */

static void count_tally(struct cg_tally *t, const bool flagged[CG_TIERS], uint64_t farm,
			uint64_t legit)
{
	t->farm += farm;
	t->legit += legit;
	for (int i = 0; i < CG_TIERS; i++) {
		t->farm_flagged[i] += flagged[i] ? farm : 0;
		t->legit_flagged[i] += flagged[i] ? legit : 0;
	}
}

static int judge_client(struct cg_score *s, const struct client *c, bool steady)
{
	uint64_t end = s->day_ns + CG_DAY_NS;
	struct cg_harm *harms[GROUPS];
	bool flagged[CG_TIERS];

	for (int i = 0; i < CG_TIERS; i++)
		flagged[i] = flagged_within(s, c->keys, (enum cg_tier)i, s->day_ns, end);
	count_tally(&s->m.days, flagged, c->farm != 0, c->farm == 0);
	count_tally(&s->m.exchanges, flagged, c->farm, c->legit);
	if (steady)
		count_tally(&s->m.steady, flagged, c->farm != 0, c->farm == 0);
	if (c->farm)
		return 0;
	if (harms_of(s, c->actor, harms))
		return -ENOMEM;
	for (int i = 0; i < GROUPS; i++) {
		harms[i]->client_days++;
		for (int tier = 0; tier < CG_TIERS; tier++)
			harms[i]->flagged[tier] += flagged[tier];
	}
	return 0;
}

static int judge_sources(struct cg_score *s)
{
	struct cg_harm *harms[GROUPS];

	for
		CG_EACH(struct source, source, &s->sources)
		{
			if (!source->legit)
				continue;
			s->m.legit_source_days++;
			if (harms_of(s, source->actor, harms))
				return -ENOMEM;
			for (int i = 0; i < GROUPS; i++)
				harms[i]->source_days++;
		}
	return 0;
}

static void log_day(const struct cg_score *s, const struct cg_tally *before)
{
	const struct cg_tally *t = &s->m.days;

	if (!s->conf.log)
		return;
	fprintf(s->conf.log,
		"day %2llu%s %9u clients %8u sources, farm %7llu; flagged: farm %llu, legit %llu "
		"(enforced %llu, %llu)\n",
		(unsigned long long)((s->day_ns - s->conf.start_ns) / CG_DAY_NS),
		s->day_ns < s->conf.scored_ns ? "-" : ":", s->clients.n, s->sources.n,
		(unsigned long long)s->farm_clients,
		(unsigned long long)(t->farm_flagged[0] - before->farm_flagged[0]),
		(unsigned long long)(t->legit_flagged[0] - before->legit_flagged[0]),
		(unsigned long long)(t->farm_flagged[1] - before->farm_flagged[1]),
		(unsigned long long)(t->legit_flagged[1] - before->legit_flagged[1]));
	fflush(s->conf.log);
}

static int judge_day(struct cg_score *s)
{
	bool steady = s->m.first_alarm_ns && s->day_ns >= s->m.first_alarm_ns + CG_DAY_NS;
	const struct cg_tally before = s->m.days;
	int r = 0;

	if (s->day_ns >= s->conf.scored_ns) {
		s->m.scored_days++;
		for
			CG_EACH(struct client, c, &s->clients)
		r = r ? r : judge_client(s, c, steady);
		r = r ? r : judge_sources(s);
	}
	log_day(s, &before);
	cg_map_clear(&s->clients);
	cg_map_clear(&s->sources);
	s->farm_clients = 0;
	s->day_ns += CG_DAY_NS;
	return r;
}

int cg_score_hour(struct cg_score *s, uint64_t now_ns)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n_log; i++) {
		r = s->log[i].farm ? count_farm(s, &s->log[i]) : count_legit(s, &s->log[i]);
	}
	if (r)
		return r;
	see_members(s, now_ns);
	tell_flagged(s, now_ns);
	s->n_log = 0;
	s->hours++;
	s->read_ns = now_ns;
	return now_ns >= s->day_ns + CG_DAY_NS ? judge_day(s) : 0;
}

bool cg_score_is_farm(const struct cg_score *s, const uint8_t source[16], uint64_t stem,
		      uint64_t stack)
{
	const struct client *c = cg_map_find(&s->clients, key_of(source, stem, stack));

	return c && c->farm;
}

uint64_t cg_score_key(const uint8_t source[16], uint64_t stem, uint64_t stack)
{
	return key_of(source, stem, stack);
}

uint64_t cg_score_farm_clients(const struct cg_score *s)
{
	return s->farm_clients;
}

const struct cg_metrics *cg_score_metrics(const struct cg_score *s)
{
	return &s->m;
}

/* --- Figures ------------------------------------------------------------------------------------ */

double cg_share(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : NAN;
}

/* P(X <= n) of a Poisson, summed from its largest term down. */
static double poisson_cdf(uint64_t n, double mean)
{
	double log_term = (double)n * log(mean) - mean - lgamma((double)n + 1), sum = 0;

	for (uint64_t k = n;; k--) {
		double term = exp(log_term);

		sum += term;
		if (!k || (term < sum * 1e-16 && (double)k < mean))
			return sum;
		log_term += log((double)k) - log(mean);
	}
}

/* The mean between lo and hi under which n or fewer are seen with this chance. */
static double poisson_mean(uint64_t n, double chance, double lo, double hi)
{
	for (int i = 0; i < 100; i++) {
		double mid = (lo + hi) / 2;

		if (poisson_cdf(n, mid) > chance)
			lo = mid;
		else
			hi = mid;
	}
	return (lo + hi) / 2;
}

double cg_poisson_upper(uint64_t n)
{
	return poisson_mean(n, 0.05, (double)n, (double)n * 2 + 10);
}

double cg_poisson_lower(uint64_t n)
{
	return n ? poisson_mean(n - 1, 0.95, 0, (double)n) : 0;
}

/* The one that was blocked most, of those with at least so many source-days; NULL where none is. */
static const struct harmed *worst(const struct cg_map *map, uint64_t min_source_days)
{
	const struct harmed *found = NULL;

	for
		CG_EACH(const struct harmed, h, map)
	if (h->harm.source_days >= min_source_days && h->harm.exchanges &&
	    (!found || cg_share(h->harm.blocked, h->harm.exchanges) >
			       cg_share(found->harm.blocked, found->harm.exchanges)))
		found = h;
	return found;
}

/* Networks of a thousand sources, or of what that is of the 215,000 of a full run. */
static const struct harmed *worst_asn(const struct cg_score *s)
{
	uint64_t thousand = 1000 * s->m.scored_days, share = s->m.legit_source_days / 215;

	return worst(&s->harmed[NETWORK], thousand < share ? thousand : share);
}

static double blocked_share(const struct harmed *h)
{
	return h ? cg_share(h->harm.blocked, h->harm.exchanges) : NAN;
}

static double mean_blocked(const struct cg_map *map)
{
	double sum = 0;
	unsigned int n = 0;

	for
		CG_EACH(const struct harmed, h, map)
		{
			if (!h->harm.exchanges)
				continue;
			sum += blocked_share(h);
			n++;
		}
	return n ? sum / n : NAN;
}

static double hours_after_start(const struct cg_metrics *m, uint64_t ns)
{
	if (!ns || !m->farm_start_ns)
		return NAN;
	return ns > m->farm_start_ns ? (double)(ns - m->farm_start_ns) / CG_HOUR_NS : 0;
}

static int by_hours(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Of the farm's clients that came after its alarm: replacements, new exits. NAN where there are none, or
 * fewer than half were flagged. */
static double late_flag_h(const struct cg_score *s)
{
	double *hours = calloc(s->comers.n + 1, sizeof(*hours)), median = NAN;
	size_t n = 0;

	for
		CG_EACH(const struct comer, c, &s->comers)
		{
			if (!hours || !s->m.first_cell_alarm_ns ||
			    c->first_ns <= s->m.first_cell_alarm_ns)
				continue;
			hours[n++] = c->flagged_ns ?
					     (double)(c->flagged_ns - c->first_ns) / CG_HOUR_NS :
					     INFINITY;
		}
	if (n) {
		qsort(hours, n, sizeof(*hours), by_hours);
		median = isinf(hours[n / 2]) ? NAN : hours[n / 2];
	}
	free(hours);
	return median;
}

static double precision(const struct cg_tally *t, enum cg_tier tier)
{
	return cg_share(t->farm_flagged[tier], t->farm_flagged[tier] + t->legit_flagged[tier]);
}

static double recall(const struct cg_tally *t, enum cg_tier tier)
{
	return cg_share(t->farm_flagged[tier], t->farm);
}

static double per_million(const struct cg_metrics *m, double n)
{
	return m->legit_source_days ? n * 1e6 / (double)m->legit_source_days : NAN;
}

/* X(name, value): one column each. */
#define COLUMNS(X)                                                                               \
	X(farm_client_days, (double)m->days.farm)                                                \
	X(legit_client_days, (double)m->days.legit)                                              \
	X(legit_source_days, (double)m->legit_source_days)                                       \
	X(precision, precision(&m->days, CG_ALERT))                                              \
	X(recall, recall(&m->days, CG_ALERT))                                                    \
	X(steady_recall, recall(&m->steady, CG_ALERT))                                           \
	X(precision_exchanges, precision(&m->exchanges, CG_ALERT))                               \
	X(recall_exchanges, recall(&m->exchanges, CG_ALERT))                                     \
	X(precision_enforce, precision(&m->days, CG_ENFORCE))                                    \
	X(recall_enforce, recall(&m->days, CG_ENFORCE))                                          \
	X(steady_recall_enforce, recall(&m->steady, CG_ENFORCE))                                 \
	X(ttd_h, hours_after_start(m, m->first_alarm_ns))                                        \
	X(ttd_cell_h, hours_after_start(m, m->first_cell_alarm_ns))                              \
	X(ttm50_h, hours_after_start(m, m->member_ns[0]))                                        \
	X(ttm90_h, hours_after_start(m, m->member_ns[1]))                                        \
	X(late_flag_h, late_flag_h(s))                                                           \
	X(farm_exchanges, (double)m->farm_exchanges)                                             \
	X(leak, cg_share(m->leaked, m->farm_exchanges))                                          \
	X(leak_to_alarm, cg_share(m->leaked_to_alarm, m->farm_exchanges))                        \
	X(fp_alert, (double)m->days.legit_flagged[CG_ALERT])                                     \
	X(fp_alert_per_m, per_million(m, (double)m->days.legit_flagged[CG_ALERT]))               \
	X(fp_alert_upper, per_million(m, cg_poisson_upper(m->days.legit_flagged[CG_ALERT])))     \
	X(fp_enforce, (double)m->days.legit_flagged[CG_ENFORCE])                                 \
	X(fp_enforce_per_m, per_million(m, (double)m->days.legit_flagged[CG_ENFORCE]))           \
	X(fp_enforce_upper, per_million(m, cg_poisson_upper(m->days.legit_flagged[CG_ENFORCE]))) \
	X(blocked, cg_share(m->blocked, m->legit_exchanges))                                     \
	X(blocked_kind_mean, mean_blocked(&s->harmed[KIND]))                                     \
	X(blocked_kind_worst, blocked_share(worst(&s->harmed[KIND], 0)))                         \
	X(blocked_country_worst, blocked_share(worst(&s->harmed[COUNTRY], 0)))                   \
	X(blocked_asn_worst, blocked_share(worst_asn(s)))                                        \
	X(alarms, (double)m->alarms)                                                             \
	X(cell_precision, cg_share(m->true_alarms, m->alarms))                                   \
	X(cell_found, (double)m->farm_cell_found)                                                \
	X(false_alarms_30d, (double)(m->alarms - m->true_alarms) * 30 /                          \
				    (double)(m->scored_days ? m->scored_days : 1))               \
	X(false_enforced, (double)m->false_enforced)

void cg_score_header(FILE *out)
{
#define NAME(name, value) fprintf(out, "\t" #name);
	COLUMNS(NAME)
#undef NAME
}

static void put_number(FILE *out, const char *before, double v)
{
	if (isnan(v))
		fprintf(out, "%s-", before);
	else
		fprintf(out, "%s%.6g", before, v);
}

void cg_score_row(const struct cg_score *s, FILE *out)
{
	const struct cg_metrics *m = &s->m;

#define VALUE(name, value) put_number(out, "\t", value);
	COLUMNS(VALUE)
#undef VALUE
}

static void print_harm(const struct cg_map *map, const char *what, FILE *out)
{
	fprintf(out, "\n%-10s %12s %12s %8s %8s %14s %10s\n", what, "source-days", "client-days",
		"alert", "enforce", "exchanges", "blocked");
	for
		CG_EACH(const struct harmed, h, map)
	fprintf(out, "%-10s %12llu %12llu %8llu %8llu %14llu %10.2g\n", h->name,
		(unsigned long long)h->harm.source_days, (unsigned long long)h->harm.client_days,
		(unsigned long long)h->harm.flagged[CG_ALERT],
		(unsigned long long)h->harm.flagged[CG_ENFORCE],
		(unsigned long long)h->harm.exchanges, blocked_share(h));
}

void cg_score_print(const struct cg_score *s, FILE *out)
{
	const struct harmed *asn = worst_asn(s);
	const struct cg_metrics *m = &s->m;
	char name[40];

#define LINE(column, value)                             \
	snprintf(name, sizeof(name), "%-24s", #column); \
	put_number(out, name, value);                   \
	fputc('\n', out);
	COLUMNS(LINE)
#undef LINE
	if (asn)
		fprintf(out, "worst network: %s\n", asn->name);
	print_harm(&s->harmed[KIND], "kind", out);
	if (s->harmed[COUNTRY].n <= 40)
		print_harm(&s->harmed[COUNTRY], "country", out);
}
