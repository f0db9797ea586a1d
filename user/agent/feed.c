/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 *   application ─► serve/feed ─► flow table: which client? ─► model/accounts
 *                            └─► flow table: which client? ─► store: which verdict?
 */
#include "agent/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/ip.h"
#include "serve/feed.h"

/* Verdicts on one source that are looked through. */
#define MAX_STANDING 64

struct fg_agent_feed {
	struct fg_core *core;
	const struct fg_taker *taker;
	struct fg_feed *feed;
};

/* The client of a connection; where it cannot be told, its source with stem and stack 0, and counted. */
static bool client_of(const struct fg_agent_feed *f, const struct fg_feed_pair *pair,
		      uint8_t ret_source[16], uint64_t *ret_stem, uint64_t *ret_stack)
{
	bool known = !fg_taker_client(f->taker, pair->client, pair->client_port, pair->server,
				      pair->server_port, ret_source, ret_stem, ret_stack);

	fg_feed_counts(f->feed)->client_unknown += !known;
	return known;
}

static int push(void *arg, const struct fg_feed_line *line)
{
	struct fg_agent_feed *f = arg;
	struct fg_account_push p = {
		.key = line->account,
		.outcome = line->outcome,
		.age = line->age,
	};

	client_of(f, &line->pair, p.source, &p.stem, &p.stack);
	return fg_accounts_push(f->core->accounts, &p, f->core->view.now_ns(f->core));
}

static bool is_on(const struct fg_verdict *v, uint64_t stem, uint64_t stack)
{
	return !v->stem || (v->stem == stem && (!v->stack || v->stack == stack));
}

void fg_agent_feed_verdict(const struct fg_store *store, const uint8_t source[16], uint64_t stem,
			   uint64_t stack, uint64_t now_ns, struct fg_feed_verdict *ret)
{
	const struct fg_verdict *standing[MAX_STANDING], *best = NULL;
	size_t n = fg_store_find(store, source, standing, MAX_STANDING);

	for (size_t i = 0; i < n; i++) {
		const struct fg_verdict *v = standing[i];

		if (v->until_ns <= now_ns || !is_on(v, stem, stack))
			continue;
		if (!best || v->tier > best->tier ||
		    (v->tier == best->tier && v->score > best->score))
			best = v;
	}
	*ret = (struct fg_feed_verdict){ .tier = FG_TIER_OBSERVE, .client_known = stem != 0 };
	if (!best)
		return;
	ret->tier = best->tier;
	ret->cohort = best->cohort;
	fg_ip_source(source, ret->evidence);
}

static void lookup(void *arg, const struct fg_feed_pair *pair, struct fg_feed_verdict *ret_verdict)
{
	struct fg_agent_feed *f = arg;
	uint64_t stem, stack;
	uint8_t source[16];

	client_of(f, pair, source, &stem, &stack);
	fg_agent_feed_verdict(f->core->store, source, stem, stack, f->core->view.now_ns(f->core),
			      ret_verdict);
}

int fg_agent_feed_open(struct fg_core *core, const struct fg_taker *taker,
		       struct fg_agent_feed **ret_feed, char *why, size_t n_why)
{
	struct fg_agent_feed *f = calloc(1, sizeof(*f));
	const struct fg_feed_ops ops = { .push = push, .lookup = lookup, .arg = f };
	const struct fg_conf *conf = core->conf;
	uint64_t seed[2];
	int r = f ? fg_accounts_new(NULL, &core->accounts) : -ENOMEM;

	/* of this run only: what was told cannot be joined to what another run was told */
	if (!r && getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		r = -errno;
	if (r) {
		snprintf(why, n_why, "the feed does not start: %s", strerror(-r));
	} else {
		f->core = core;
		f->taker = taker;
		r = fg_feed_open(conf->feed_socket, conf->feed_group, seed, &ops, &f->feed, why,
				 n_why);
	}
	if (r) {
		fg_accounts_free(&core->accounts);
		free(f);
		return r;
	}
	core->view.accounts = core->accounts;
	core->view.feed = fg_feed_counts(f->feed);
	*ret_feed = f;
	return 0;
}

void fg_agent_feed_close(struct fg_agent_feed **feed)
{
	struct fg_agent_feed *f = *feed;

	if (!f)
		return;
	f->core->view.feed = NULL;
	f->core->view.accounts = NULL;
	fg_feed_close(&f->feed);
	fg_accounts_free(&f->core->accounts);
	free(f);
	*feed = NULL;
}

int fg_agent_feed_fd(const struct fg_agent_feed *f)
{
	return fg_feed_fd(f->feed);
}

void fg_agent_feed_run(struct fg_agent_feed *f)
{
	fg_feed_run(f->feed);
}
