/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A block by an operator: of one source or client, of a prefix, of all members of a cohort.
 *
 * False positive case: a prefix holds more than who was meant. So a block of one that holds sources nobody
 * flagged takes two steps: the first is refused and says who would be hit, the second repeats the number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "model/stack.h"
#include "serve/cohorts.h"
#include "serve/decide.h"

/* --- Who would be hit ------------------------------------------------------------------------ */

struct hit {
	uint64_t sources, clients, exchanges, unflagged;
};

static bool is_flagged(const struct fg_store *store, const uint8_t addr[16], uint64_t now_ns)
{
	const struct fg_verdict *on[8];
	size_t n = fg_store_find(store, addr, on, 8);

	for (size_t i = 0; i < n; i++)
		if (on[i]->tier >= FG_TIER_ALERT && on[i]->until_ns > now_ns)
			return true;
	return false;
}

/* Of the sources that are known. */
static void count_hit(const struct fg_view *v, const struct fg_request *d, struct hit *hit)
{
	uint64_t now_ns = v->now_ns(v->agent);

	*hit = (struct hit){ 0 };
	for (size_t i = 0; i < fg_model_n_sources(v->model); i++) {
		const struct fg_model_source *s = fg_model_source_at(v->model, i);

		if (!fg_ip_contains(d->addr, d->bits, s->addr, fg_ip_is4(s->addr) ? 128 : 64))
			continue;
		hit->sources++;
		hit->clients += s->clients;
		hit->exchanges += s->exchanges;
		hit->unflagged += !is_flagged(v->store, s->addr, now_ns);
	}
}

/* --- What is refused ------------------------------------------------------------------------- */

static int check_width(const struct fg_request *d, char *why, size_t n_why)
{
	bool is4 = d->bits >= 96 && fg_ip_is4(d->addr);

	if (d->bits >= (is4 ? FG_MAX_BLOCK_BITS4 : FG_MAX_BLOCK_BITS6))
		return 0;
	snprintf(why, n_why,
		 "prefix: %s is wider than any block may be (a /8 of IPv4, a /16 of IPv6)",
		 d->subject);
	return 400;
}

static int check_allow(const struct fg_view *v, const struct fg_request *d, char *why, size_t n_why)
{
	const struct fg_allow *a =
		fg_store_allow_on(v->store, d->addr, d->bits, v->now_ns(v->agent));
	char prefix[FG_IP_TEXT], reason[160];

	if (!a)
		return 0;
	if (fg_store_extra_allows(v->store, d->addr, d->bits, reason)) {
		snprintf(why, n_why, "prefix: it is on the allowlist, which always wins (%s)",
			 reason);
		return 409;
	}
	snprintf(why, n_why,
		 "prefix: %s is on the allowlist (%.80s), which always wins ('farmgate disallow' "
		 "takes it off)",
		 fg_ip_prefix(a->addr, a->bits, prefix), a->reason[0] ? a->reason : "no reason");
	return 409;
}

static int check_hit(const struct fg_view *v, const struct fg_request *d, char *why, size_t n_why)
{
	struct hit hit;

	if (fg_request_is_one_source(d))
		return 0;
	count_hit(v, d, &hit);
	if (!hit.unflagged || d->confirm >= hit.sources)
		return 0;
	snprintf(
		why, n_why,
		"prefix: it would hit %llu known sources with %llu clients and %llu exchanges, %llu "
		"of them not flagged; if that is meant, repeat it with --confirm %llu",
		(unsigned long long)hit.sources, (unsigned long long)hit.clients,
		(unsigned long long)hit.exchanges, (unsigned long long)hit.unflagged,
		(unsigned long long)hit.sources);
	return 409;
}

/* --- One prefix ------------------------------------------------------------------------------ */

static int check_prefix(const struct fg_view *v, const struct fg_request *d, char *why,
			size_t n_why)
{
	int r = check_width(d, why, n_why);

	if (!r)
		r = check_allow(v, d, why, n_why);
	return r ? r : check_hit(v, d, why, n_why);
}

static int block_prefix(struct fg_view *v, const struct fg_request *d, uint64_t stem,
			uint32_t ttl_s)
{
	struct fg_subject b = { .bits = d->bits, .stem = stem, .stem_text = d->stem };

	memcpy(b.addr, d->addr, sizeof(b.addr));
	return fg_decision_block(v->store, &b, ttl_s);
}

/* --- A cohort -------------------------------------------------------------------------------- */

struct members {
	struct fg_view *v;
	const struct fg_request *d;
	uint32_t ttl_s;
	bool again; /* who is left out was counted already */
	size_t blocked, allowed, without_stack;
};

/* A source, stem and stack each: neighbours behind the same address go on. @return 0, -errno. */
static int block_client(struct members *m, const uint8_t addr[16], uint64_t stem, uint64_t stack)
{
	const struct fg_model *model = m->v->model;
	const struct fg_model_client *client = fg_model_client_find(model, addr, stem, stack);
	const struct fg_model_print *print = client ? fg_model_print_of(model, client) : NULL;
	char stack_text[FG_STACK_TEXT];
	struct fg_subject b = {
		.bits = fg_ip_is4(addr) ? 128 : 64,
		.stem = stem,
		.stack = stack,
		.cohort = m->d->cohort,
		.ja4 = print && print->named ? print->ja4 : NULL,
		.stem_text = fg_model_stem_text(model, stem),
		.stack_text = fg_stack_text(stack, stack_text),
	};
	int r;

	/* without a stack everybody with its stem behind that source would be hit */
	if (!stem || !stack) {
		m->without_stack += !m->again;
		return 0;
	}
	memcpy(b.addr, addr, sizeof(b.addr));
	r = fg_decision_block(m->v->store, &b, m->ttl_s);
	m->allowed += r == -EPERM && !m->again;
	m->blocked += r == 1;
	return r == -EPERM || r > 0 ? 0 : r;
}

/* Members of cells are the cohorts' to know; those of communities, and who was one and still is flagged as
 * one, are verdicts. */
static int block_members(struct members *m)
{
	const struct fg_cohorts *cohorts = m->v->cohorts;
	const struct fg_store *store = m->v->store;
	size_t n = fg_store_n(store);
	int r = 0;

	for (size_t i = 0; !r && cohorts && i < fg_cohorts_n_members(cohorts); i++) {
		const struct fg_member *member = fg_cohorts_member_at(cohorts, i);

		if (member->cohort == m->d->cohort)
			r = block_client(m, member->addr, member->stem, member->stack);
	}
	m->again = m->blocked || m->allowed || m->without_stack;
	for (size_t i = 0; !r && i < n; i++) {
		const struct fg_verdict *verdict = fg_store_at(store, i);

		if (verdict->origin == FG_ORIGIN_DETECTOR && verdict->cohort == m->d->cohort)
			r = block_client(m, verdict->addr, verdict->stem, verdict->stack);
	}
	return r ? r : m->blocked ? (int)m->blocked : -ENOENT;
}

static int refuse_members(const struct members *m, char *why, size_t n_why)
{
	if (m->allowed || m->without_stack) {
		snprintf(
			why, n_why,
			"cohort: none of %s's %zu members can be blocked: %zu are on the allowlist, "
			"of %zu the stack is not known",
			m->d->subject, m->allowed + m->without_stack, m->allowed, m->without_stack);
		return 409;
	}
	snprintf(why, n_why, "cohort: '%s' is none that stands, or has no members yet",
		 m->d->subject);
	return 404;
}

/* --- The request ------------------------------------------------------------------------------- */

static void write_note(const struct fg_view *v, const struct members *m, bool client, char *note,
		       size_t n)
{
	snprintf(note, n, "%s%s%s",
		 strcmp(v->mode, "observe") ?
			 "" :
			 "mode is observe: your block is exported, what detectors find is not; ",
		 client ? "a firewall knows no stems: only the XDP gate (exports: [xdp]) acts on "
			  "this block; " :
			  "",
		 m->allowed || m->without_stack ? "left out: " : "");
	if (m->allowed)
		snprintf(note + strlen(note), n - strlen(note), "%zu on the allowlist; ",
			 m->allowed);
	if (m->without_stack)
		snprintf(note + strlen(note), n - strlen(note), "%zu whose stack is not known; ",
			 m->without_stack);
	/* the last separator */
	if (note[0])
		note[strlen(note) - 2] = '\0';
}

static int refuse_block(int r, const struct members *m, char *why, size_t n_why)
{
	if (r == -ENOENT)
		return refuse_members(m, why, n_why);
	if (r != -EDQUOT)
		return fg_decided_failed(r, why, n_why);
	snprintf(why, n_why,
		 "there is room for %d operators' blocks: end some, or block wider prefixes",
		 FG_MAX_VERDICTS);
	return 409;
}

int fg_decide_block(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	struct fg_decided done = { .verb = "blocked", .left_out = SIZE_MAX };
	uint64_t ttl_s = FG_DEFAULT_TTL_S, stem;
	struct fg_request d;
	struct members m = { .v = v, .d = &d };
	char note[320];
	int r = fg_request_parse(q, "prefix cohort stem ttl reason confirm", &d, why, n_why);

	if (!r)
		r = fg_request_ttl(&d, FG_MAX_TTL_S, &ttl_s, why, n_why);
	if (!r)
		r = fg_request_stem(v, &d, &stem, why, n_why);
	if (!r && !d.cohort)
		r = check_prefix(v, &d, why, n_why);
	if (r)
		return r;
	m.ttl_s = (uint32_t)ttl_s;
	if (d.cohort && !d.reason[0])
		snprintf(d.reason, sizeof(d.reason), "member of %s", d.subject);
	r = fg_decision_begin(v->store, "block", q->who, d.subject, d.reason, v->now_ns(v->agent));
	if (r)
		return fg_decided_failed(r, why, n_why);
	done.id = fg_decision_id(v->store);
	r = fg_decision_end(v->store,
			    d.cohort ? block_members(&m) : block_prefix(v, &d, stem, m.ttl_s));
	if (r < 0)
		return refuse_block(r, &m, why, n_why);
	v->changed(v->agent);
	write_note(v, &m, stem || d.cohort, note, sizeof(note));
	done.n = (size_t)r;
	if (d.cohort)
		done.left_out = m.allowed + m.without_stack;
	done.note = note;
	return fg_decided_write(out, &done);
}
