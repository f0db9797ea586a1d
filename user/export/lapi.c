/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The CrowdSec target. `held` says what the LAPI has of ours: an entry for each decision, or for an
 * alert that led to none, from its 201 on. A LAPI removes no duplicates, so where the end of a
 * request is not known, or nothing is held yet (a start), it is read back before anything is sent.
 *
 * A decision is never lengthened: Debian's bouncer ignores the second one of an address. A block
 * that stands on is sent anew when the first is over; a shorter one when bouncers have heard of
 * the first one's removal.
 */
#include "export/lapi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/lapi_json.h"
#include "export/lapi_session.h"
#include "lib/mem.h"

#define S 1000000000ULL
/* A machine that says nothing for longer is shown as gone. */
#define HEARTBEAT_NS (60 * S)
/* Ends nearer to each other are the same: durations are whole seconds and answers take time. */
#define SLACK_NS (5 * S)
/* Removals go one by one; so many, and what else is to be done has its turn. */
#define MAX_REMOVALS 500
/* Where so many requests are refused, the rest would be too. */
#define MAX_REFUSED 3

struct held {
	uint8_t addr[16];
	uint8_t bits;
	bool doomed; /* to be removed in this batch */
	int64_t alert; /* 0 = taken, but its id is not known */
	int64_t decision; /* 0 = not known, or there is none */
	uint64_t until_ns;
	uint64_t removed_ns; /* when we removed it; 0 = not */
	uint64_t wanted_ns; /* the verdict's end when last seen; 0 = no verdict */
};

struct fg_lapi {
	struct fg_lapi_session session;
	bool push;
	bool known; /* held is what the LAPI has */
	bool behind; /* the last batch came to no end */
	struct held *held; /* sorted by address, bits, alert */
	size_t n, room;
	uint64_t n_clients;
	uint64_t heartbeat_ns; /* when the last one arrived */
};

int fg_lapi_new_over(const struct fg_lapi_conf *conf, const struct fg_lapi_transport *transport,
		     struct fg_lapi **ret_lapi)
{
	struct fg_lapi *l = calloc(1, sizeof(*l));

	*ret_lapi = NULL;
	if (!l) {
		if (transport->free)
			transport->free(transport->arg);
		return -ENOMEM;
	}
	l->push = conf->push;
	if (fg_lapi_session_init(&l->session, conf, transport)) {
		fg_lapi_free(&l);
		return -ENOMEM;
	}
	*ret_lapi = l;
	return 0;
}

void fg_lapi_free(struct fg_lapi **lapi)
{
	if (!*lapi)
		return;
	fg_lapi_session_done(&(*lapi)->session);
	free((*lapi)->held);
	free(*lapi);
	*lapi = NULL;
}

uint64_t fg_lapi_unexportable(const struct fg_lapi *l)
{
	return l->n_clients;
}

/* --- What is held ----------------------------------------------------------------------------- */

static int by_key(const uint8_t addr[16], uint8_t bits, const uint8_t addr2[16], uint8_t bits2)
{
	int order = memcmp(addr, addr2, 16);

	return order ? order : (int)bits - (int)bits2;
}

static int by_held(const void *a, const void *b)
{
	const struct held *x = a, *y = b;
	int order = by_key(x->addr, x->bits, y->addr, y->bits);

	return order ? order : x->alert < y->alert ? -1 : x->alert > y->alert;
}

static void sort_held(struct fg_lapi *l)
{
	if (l->n)
		qsort(l->held, l->n, sizeof(*l->held), by_held);
}

/* Room for more, so that what a LAPI took can be remembered whatever comes. */
static int reserve(struct fg_lapi *l, size_t more)
{
	size_t room = l->n + more;
	struct held *larger;

	if (room <= l->room)
		return 0;
	larger = reallocarray(l->held, room + room / 2, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	l->held = larger;
	l->room = room + room / 2;
	return 0;
}

static bool stands(const struct held *h, uint64_t now_ns)
{
	return !h->removed_ns && h->until_ns > now_ns;
}

/* From when on a new decision on it is not ignored. */
static uint64_t rested_ns(const struct held *h)
{
	uint64_t ended_ns = h->until_ns + FG_LAPI_REST_ENDED_S * S;
	uint64_t heard_ns = h->removed_ns + FG_LAPI_REST_DELETED_S * S;

	return h->removed_ns && heard_ns < ended_ns ? heard_ns : ended_ns;
}

/* Drops what is over and means nothing any more. */
static void forget(struct fg_lapi *l, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->held[i].wanted_ns || rested_ns(&l->held[i]) > now_ns)
			l->held[kept++] = l->held[i];
	l->n = kept;
}

/* --- Reading back ----------------------------------------------------------------------------- */

/* A limit above what there is makes 1.4.6 loop for ever; 0 is all. Its scenario is that of
 * decisions: an alert that led to none is found by the scope of its source alone, among those of all
 * machines, and no verdict lives longer than a day. */
static const char *const queries[][3] = {
	[false] = { "scope=Ip&since=24h", "scope=Range&since=24h",
		    "scope=farmgate&has_active_decision=true" },
	[true] = { "scenario=farmgate/account-farm&has_active_decision=true",
		   "scenario=farmgate/source&has_active_decision=true",
		   "scenario=farmgate/operator&has_active_decision=true" },
};

static int read_some(struct fg_lapi *l, const char *query, struct fg_lapi_seen **seen,
		     size_t *n_seen, char *why, size_t n_why)
{
	_cleanup_(fg_lapi_free_answer) struct fg_lapi_answer answer = { 0 };
	char path[128];
	int r;

	snprintf(path, sizeof(path), "/v1/alerts?limit=0&%s", query);
	r = fg_lapi_call(&l->session, (struct fg_lapi_request){ .method = "GET", .path = path },
			 &answer, why, n_why);
	if (r)
		return r;
	if (answer.status != 200) {
		fg_lapi_say(&answer, "reading back", why, n_why);
		return -EBADMSG;
	}
	r = fg_lapi_read_alerts(answer.body, answer.n_body, l->session.machine,
				l->session.transport.now_ns(l->session.transport.arg), seen,
				n_seen);
	if (r)
		snprintf(why, n_why, "reading back: the LAPI's answer is no list of alerts");
	return r;
}

static int by_address(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	return by_key(x->addr, x->bits, y->addr, y->bits);
}

/* What the LAPI cannot know: the verdict's end. */
static void carry_over(struct held *h, const struct fg_lapi *l)
{
	const struct held *old;

	if (!l->n)
		return;
	old = bsearch(h, l->held, l->n, sizeof(*h), by_address);
	if (old)
		h->wanted_ns = old->wanted_ns;
}

static int take_over(struct fg_lapi *l, const struct fg_lapi_seen *seen, size_t n, uint64_t now_ns)
{
	struct held *fresh = calloc(n + l->n + 1, sizeof(*fresh));
	size_t kept = 0;

	if (!fresh)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct held *h = &fresh[kept];

		if (seen[i].until_ns <= now_ns)
			continue;
		memcpy(h->addr, seen[i].addr, 16);
		h->bits = seen[i].bits;
		h->alert = seen[i].alert;
		h->decision = seen[i].decision;
		h->until_ns = seen[i].until_ns;
		carry_over(h, l);
		kept++;
	}
	for (size_t i = 0; i < l->n; i++)
		if (!stands(&l->held[i], now_ns) && rested_ns(&l->held[i]) > now_ns)
			fresh[kept++] = l->held[i];
	l->room = n + l->n + 1;
	free(l->held);
	l->held = fresh;
	l->n = kept;
	sort_held(l);
	return 0;
}

static int read_back(struct fg_lapi *l, uint64_t now_ns, char *why, size_t n_why)
{
	_cleanup_free_ struct fg_lapi_seen *seen = NULL;
	size_t n = 0;
	int r = 0;

	/* what raises doubt from now on is newer than this */
	l->session.doubt = false;
	for (size_t i = 0; i < 3 && !r; i++)
		r = read_some(l, queries[l->push][i], &seen, &n, why, n_why);
	if (!r && take_over(l, seen, n, now_ns)) {
		snprintf(why, n_why, "no memory for %zu decisions", n);
		r = -ENOMEM;
	}
	l->known = !r;
	return r;
}

/* --- Differences ------------------------------------------------------------------------------ */

struct plan {
	const struct fg_export_item **items; /* to be sent, sorted by scenario and cohort */
	size_t n;
	size_t n_doomed;
};

static void free_plan(struct plan *plan)
{
	free(plan->items);
}

static void doom(struct held *h, struct plan *plan)
{
	h->doomed = true;
	plan->n_doomed++;
}

/* Entries of one address that no item asks for. Where profiles decide, a decision that outlives its
 * verdict is theirs; one whose verdict was taken back is wrong. */
static void judge_unwanted(const struct fg_lapi *l, struct held *h, size_t n, uint64_t now_ns,
			   struct plan *plan)
{
	for (size_t i = 0; i < n; i++) {
		if (stands(&h[i], now_ns) && (l->push || h[i].wanted_ns > now_ns))
			doom(&h[i], plan);
		if (l->push || !h[i].doomed)
			h[i].wanted_ns = 0;
	}
}

/* Entries of the address of an item. */
static void judge_wanted(const struct fg_lapi *l, struct held *h, size_t n,
			 const struct fg_export_item *item, uint64_t now_ns, struct plan *plan)
{
	bool due = item->until_ns > now_ns + S;

	for (size_t i = 0; i < n; i++) {
		bool over = !stands(&h[i], now_ns) && rested_ns(&h[i]) <= now_ns;

		h[i].wanted_ns = over ? 0 : item->until_ns;
		if (stands(&h[i], now_ns) && l->push && h[i].until_ns > item->until_ns + SLACK_NS)
			doom(&h[i], plan);
		/* one that rests must be over for everybody */
		due = due && over;
	}
	if (due)
		plan->items[plan->n++] = item;
}

static int by_group(const void *a, const void *b)
{
	const struct fg_export_item *x = *(const struct fg_export_item *const *)a;
	const struct fg_export_item *y = *(const struct fg_export_item *const *)b;
	enum fg_lapi_scenario xs = fg_lapi_scenario_of(x), ys = fg_lapi_scenario_of(y);

	if (xs != ys)
		return xs < ys ? -1 : 1;
	if (xs == FG_LAPI_FARM && x->cohort != y->cohort)
		return x->cohort < y->cohort ? -1 : 1;
	return by_key(x->addr, x->bits, y->addr, y->bits);
}

static bool same_group(const struct fg_export_item *x, const struct fg_export_item *y)
{
	enum fg_lapi_scenario scenario = fg_lapi_scenario_of(x);

	return scenario == fg_lapi_scenario_of(y) &&
	       (scenario != FG_LAPI_FARM || x->cohort == y->cohort);
}

static int make_plan(struct fg_lapi *l, const struct fg_export_set *set, uint64_t now_ns,
		     struct plan *plan)
{
	size_t i = 0, j = 0;

	plan->items = calloc(set->n + 1, sizeof(*plan->items));
	if (!plan->items)
		return -ENOMEM;
	while (i < l->n || j < set->n) {
		struct held *h = &l->held[i];
		const struct fg_export_item *item = &set->items[j];
		int order = i == l->n	? 1 :
			    j == set->n ? -1 :
					  by_key(h->addr, h->bits, item->addr, item->bits);
		size_t n = 0;

		/* all entries of the address */
		if (order <= 0)
			for (n = 1; i + n < l->n; n++)
				if (by_key(h->addr, h->bits, h[n].addr, h[n].bits))
					break;
		if (order < 0)
			judge_unwanted(l, h, n, now_ns, plan);
		else
			judge_wanted(l, h, n, item, now_ns, plan);
		i += n;
		j += order >= 0;
	}
	if (plan->n)
		qsort(plan->items, plan->n, sizeof(*plan->items), by_group);
	return 0;
}

/* --- Taking back ------------------------------------------------------------------------------ */

static void mark_removed(const struct fg_lapi *l, struct held *h, uint64_t now_ns)
{
	h->doomed = false;
	h->removed_ns = now_ns;
	/* of our own decisions a shorter one may be wanted after the rest */
	if (!l->push)
		h->wanted_ns = 0;
}

/* What an alert holds now: ids of decisions that were not known. */
static int learn_decisions(struct fg_lapi *l, int64_t alert, const struct fg_lapi_seen *seen,
			   size_t n, uint64_t now_ns)
{
	if (reserve(l, n))
		return -ENOMEM;
	for (size_t i = 0, n_before = l->n; i < n_before; i++) {
		struct held *h = &l->held[i], more = *h;

		if (h->alert != alert || h->decision || h->removed_ns)
			continue;
		for (size_t k = 0; k < n; k++) {
			if (!seen[k].decision || seen[k].until_ns <= now_ns ||
			    by_key(h->addr, h->bits, seen[k].addr, seen[k].bits))
				continue;
			more.decision = seen[k].decision;
			more.until_ns = seen[k].until_ns;
			/* a profile may have made several on one source */
			if (!h->decision)
				*h = more;
			else if (l->n < l->room)
				l->held[l->n++] = more;
		}
		/* gone, or never made */
		if (!h->decision)
			mark_removed(l, h, now_ns);
	}
	return 0;
}

static int look_up(struct fg_lapi *l, int64_t alert, uint64_t now_ns, char *why, size_t n_why)
{
	_cleanup_(fg_lapi_free_answer) struct fg_lapi_answer answer = { 0 };
	_cleanup_free_ struct fg_lapi_seen *seen = NULL;
	size_t n = 0;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/v1/alerts/%lld", (long long)alert);
	r = fg_lapi_call(&l->session, (struct fg_lapi_request){ .method = "GET", .path = path },
			 &answer, why, n_why);
	if (r)
		return r;
	/* flushed with its decisions, or a LAPI that begins anew: nothing to take back */
	if (answer.status != 404 && answer.status != 200) {
		fg_lapi_say(&answer, "looking up an alert", why, n_why);
		return -EBADMSG;
	}
	if (answer.status == 200)
		r = fg_lapi_read_alerts(answer.body, answer.n_body, l->session.machine, now_ns,
					&seen, &n);
	if (!r)
		r = learn_decisions(l, alert, seen, n, now_ns);
	if (r)
		snprintf(why, n_why, "looking up alert %lld: the LAPI's answer is no alert",
			 (long long)alert);
	return r;
}

static int remove_one(struct fg_lapi *l, struct held *h, uint64_t now_ns, char *why, size_t n_why)
{
	_cleanup_(fg_lapi_free_answer) struct fg_lapi_answer answer = { 0 };
	char path[64], message[160];
	int r;

	/* by its id: another machine's decision on the same address is not ours to end */
	snprintf(path, sizeof(path), "/v1/decisions/%lld", (long long)h->decision);
	r = fg_lapi_call(&l->session, (struct fg_lapi_request){ .method = "DELETE", .path = path },
			 &answer, why, n_why);
	if (r)
		return r;
	fg_lapi_read_message(answer.body, answer.n_body, message, sizeof(message));
	if (answer.status != 200 && !strstr(message, "doesn't exist")) {
		fg_lapi_say(&answer, "removing a decision", why, n_why);
		return -EBADMSG;
	}
	mark_removed(l, h, now_ns);
	return 0;
}

/* The doomed, as many as time allows. @return how many, -errno. */
static int take_back(struct fg_lapi *l, uint64_t now_ns, char *why, size_t n_why)
{
	int n = 0, r = 0;

	for (size_t i = 0; i < l->n && !r && n < MAX_REMOVALS; i++) {
		struct held *h = &l->held[i];

		if (!h->doomed)
			continue;
		if (!fg_lapi_session_has_time(&l->session))
			break;
		if (!h->decision && h->alert) {
			r = look_up(l, h->alert, now_ns, why, n_why);
			h = &l->held[i];
		} else if (!h->decision) {
			/* of an answer that told no ids: they are read back the next time */
			l->known = false;
		}
		if (!r && h->doomed && h->decision) {
			r = remove_one(l, h, now_ns, why, n_why);
			n += !r;
		}
	}
	return r ? r : n;
}

static size_t count_doomed(struct fg_lapi *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		n += l->held[i].doomed;
		l->held[i].doomed = false;
	}
	return n;
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* Taken: from here on none of it is sent again. ids NULL = they are not known. */
static void remember(struct fg_lapi *l, const struct fg_export_item *const *items, size_t n,
		     const int64_t *ids)
{
	for (size_t i = 0; i < n; i++) {
		struct held *h = &l->held[l->n++];

		*h = (struct held){ .bits = items[i]->bits,
				    .alert = !ids    ? 0 :
					     l->push ? ids[0] :
						       ids[i],
				    .until_ns = items[i]->until_ns,
				    .wanted_ns = items[i]->until_ns };
		memcpy(h->addr, items[i]->addr, 16);
	}
}

static int write_body(const struct fg_lapi *l, const struct fg_export_item *const *items, size_t n,
		      char **ret_body, size_t *ret_n)
{
	/* a life counts from stop_at: both of one moment, or a slow batch tells later ends */
	uint64_t its_ns = fg_lapi_session_its_ns(&l->session);
	uint64_t now_ns = l->session.transport.now_ns(l->session.transport.arg);
	FILE *out = open_memstream(ret_body, ret_n);
	int r;

	if (!out)
		return -ENOMEM;
	r = l->push ? fg_lapi_write_decisions(out, items, n, now_ns, its_ns) :
		      fg_lapi_write_alerts(out, items, n, its_ns);
	return fclose(out) || r ? -ENOMEM : 0;
}

/* One request. @return 0 it is remembered; -EPROTO refused, others may fare better; -errno. */
static int send_items(struct fg_lapi *l, const struct fg_export_item *const *items, size_t n,
		      char *why, size_t n_why)
{
	_cleanup_(fg_lapi_free_answer) struct fg_lapi_answer answer = { 0 };
	struct fg_lapi_request request = { .method = "POST", .path = "/v1/alerts", .once = true };
	int64_t ids[FG_LAPI_ALERTS];
	_cleanup_free_ char *body = NULL;
	size_t n_ids = l->push ? 1 : n;
	int r;

	/* also the clock of the LAPI, which it tells with the login, must be known before */
	r = fg_lapi_login(&l->session, why, n_why);
	if (r)
		return -EACCES;
	if (reserve(l, n) || write_body(l, items, n, &body, &request.n_body)) {
		snprintf(why, n_why, "no memory for an alert of %zu decisions", n);
		return -ENOMEM;
	}
	request.body = body;
	r = fg_lapi_call(&l->session, request, &answer, why, n_why);
	if (r) {
		if (r != -ENOTCONN && r != -EACCES)
			l->known = false;
		return r;
	}
	if (answer.status != 201) {
		/* of an array refused in its middle, the first ones were taken */
		l->known = false;
		fg_lapi_say(&answer, "an alert", why, n_why);
		return -EPROTO;
	}
	if (fg_lapi_read_ids(answer.body, answer.n_body, ids, n_ids)) {
		remember(l, items, n, NULL);
		l->known = false;
		snprintf(why, n_why, "an alert: taken, but the LAPI's answer names no alert");
		return -EPROTO;
	}
	remember(l, items, n, ids);
	return 0;
}

/* All of the plan, in requests of one group each. @return how many were sent, -errno. */
static int send_plan(struct fg_lapi *l, const struct plan *plan, bool *ret_all, char *why,
		     size_t n_why)
{
	size_t max = l->push ? FG_LAPI_CHUNK : FG_LAPI_ALERTS, n, refused = 0;
	int sent = 0, r = 0, error = 0;

	*ret_all = true;
	for (size_t i = 0; i < plan->n; i += n) {
		for (n = 1; n < max && i + n < plan->n; n++)
			if (l->push && !same_group(plan->items[i], plan->items[i + n]))
				break;
		if (!fg_lapi_session_has_time(&l->session)) {
			*ret_all = false;
			break;
		}
		r = send_items(l, &plan->items[i], n, why, n_why);
		sent += r ? 0 : (int)n;
		error = r ? r : error;
		if (r && (r != -EPROTO || ++refused == MAX_REFUSED))
			break;
	}
	return error ? error : sent;
}

static int go_through(struct fg_lapi *l, const struct fg_export_set *set, uint64_t now_ns,
		      char *why, size_t n_why)
{
	_cleanup_(free_plan) struct plan plan = { 0 };
	int removed, sent = 0;
	bool all = true;
	size_t left;

	if (make_plan(l, set, now_ns, &plan)) {
		snprintf(why, n_why, "no memory for %zu blocks", set->n);
		return -ENOMEM;
	}
	/* removals first: somebody waits to be let in */
	removed = take_back(l, now_ns, why, n_why);
	left = count_doomed(l);
	if (removed >= 0)
		sent = send_plan(l, &plan, &all, why, n_why);
	sort_held(l);
	forget(l, now_ns);
	if (removed < 0)
		return removed;
	if (sent < 0)
		return sent;
	if (left || !all) {
		snprintf(why, n_why,
			 "%d changes made in one batch, %zu removals and %zu blocks are left",
			 removed + sent, left, plan.n - (size_t)sent);
		return -EAGAIN;
	}
	/* the profiles' ends are not the verdicts' */
	if (sent && !l->push && read_back(l, now_ns, why, n_why))
		return -EIO;
	return removed + sent;
}

int fg_lapi_apply(struct fg_lapi *l, const struct fg_export_set *set, uint64_t now_ns, char *why,
		  size_t n_why)
{
	int r = 0;

	fg_lapi_session_begin(&l->session);
	l->n_clients = set->n_clients;
	l->behind = true;
	if (!l->known || l->session.doubt)
		r = read_back(l, now_ns, why, n_why);
	if (!r)
		r = go_through(l, set, now_ns, why, n_why);
	if (r >= 0)
		l->behind = false;
	return r;
}

/* --- Looking ---------------------------------------------------------------------------------- */

static int beat(struct fg_lapi *l, char *why, size_t n_why)
{
	_cleanup_(fg_lapi_free_answer) struct fg_lapi_answer answer = { 0 };
	const struct fg_lapi_request request = { .method = "GET", .path = "/v1/heartbeat" };
	int r = fg_lapi_call(&l->session, request, &answer, why, n_why);

	if (r)
		return r;
	if (answer.status != 200) {
		fg_lapi_say(&answer, "heartbeat", why, n_why);
		return -EBADMSG;
	}
	return 0;
}

/* Blocks that stand on past the end that was told. */
static size_t count_due(const struct fg_lapi *l, uint64_t now_ns)
{
	size_t due = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct held *h = &l->held[i];

		due += h->wanted_ns > now_ns + S && !stands(h, now_ns) && rested_ns(h) <= now_ns;
	}
	return due;
}

int fg_lapi_check(struct fg_lapi *l, char *why, size_t n_why)
{
	uint64_t now_ns = l->session.transport.now_ns(l->session.transport.arg);
	size_t due;
	int r;

	fg_lapi_session_begin(&l->session);
	if (now_ns - l->heartbeat_ns >= HEARTBEAT_NS) {
		r = beat(l, why, n_why);
		if (r) {
			/* it may come back with another memory */
			l->session.doubt = true;
			return r;
		}
		l->heartbeat_ns = now_ns;
	}
	due = count_due(l, now_ns);
	if (!l->known || l->session.doubt)
		snprintf(why, n_why, "what the LAPI holds is not known");
	else if (l->behind)
		snprintf(why, n_why, "the last batch came to no end");
	else if (due)
		snprintf(why, n_why, "%zu blocks outlast what was told: told anew", due);
	else
		return 0;
	return 1;
}

static int apply_impl(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		      size_t n_why)
{
	return fg_lapi_apply(impl, set, now_ns, why, n_why);
}

static int check_impl(void *impl, bool full, char *why, size_t n_why)
{
	(void)full;
	return fg_lapi_check(impl, why, n_why);
}

static uint64_t unexportable_impl(const void *impl)
{
	return fg_lapi_unexportable(impl);
}

static void free_impl(void *impl)
{
	struct fg_lapi *l = impl;

	fg_lapi_free(&l);
}

const struct fg_target_ops fg_lapi_ops = {
	.name = "crowdsec",
	.apply = apply_impl,
	.check = check_impl,
	.unexportable = unexportable_impl,
	.free = free_impl,
};
