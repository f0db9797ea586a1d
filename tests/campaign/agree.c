/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `campaign agree`: the same connections as epochs and as frames must leave the same. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "campaign/campaign.h"
#include "campaign/compare.h"

#define SECOND_NS	    1000000000ULL
#define MINUTE_NS	    (60 * SECOND_NS)
#define DEFAULT_CONNECTIONS 200000
#define TABLE_BYTES	    (64ULL << 20)

struct levels {
	struct cg_world *world;
	struct cg_keys *keys;
	struct cg_epochs *epochs;
	struct cg_packets *packets;
	struct fg_model *model; /* of level A */
	struct cg_side *side; /* level B */
	uint64_t connections, last_ns;
};

static void close_levels(struct levels *l)
{
	cg_packets_free(&l->packets);
	cg_epochs_free(&l->epochs);
	cg_side_free(&l->side);
	fg_model_free(&l->model);
	cg_keys_free(&l->keys);
	if (l->world)
		cg_world_close(&l->world);
}

static int open_levels(const struct cg_options *o, struct levels *l)
{
	const struct cg_epochs_conf ec = { .epoch_ns = (o->epoch_s ? o->epoch_s : 1) * SECOND_NS,
					   .server = cg_server_address };
	int r = cg_open(&o->world, &l->world, &l->keys);

	if (!r)
		r = cg_epochs_new(&ec, l->keys, &l->epochs);
	if (!r)
		r = cg_model_new(&l->model);
	if (!r)
		r = cg_side_new(cg_hash_seed, TABLE_BYTES, &l->side);
	if (!r) {
		const struct cg_packets_conf pc = { .server = cg_server_address,
						    .emit = cg_side_frame,
						    .arg = l->side };

		r = cg_packets_new(&pc, l->keys, &l->packets);
	}
	return r;
}

static int apply_until(struct levels *l, uint64_t ns)
{
	struct fg_epoch epoch;
	int r;

	while ((r = cg_epochs_end(l->epochs, ns, &epoch)) == 1) {
		r = fg_model_apply(l->model, &epoch);
		if (r)
			return r;
	}
	return r;
}

static int add_connection(struct levels *l, const struct cg_connection *c)
{
	int r = apply_until(l, c->syn_ns);

	if (!r)
		r = cg_epochs_add(l->epochs, c);
	if (!r)
		r = cg_packets_add(l->packets, c);
	l->last_ns = c->syn_ns;
	l->connections++;
	return r;
}

static int run_both(const struct cg_options *o, struct levels *l)
{
	uint64_t most = o->max_connections ? o->max_connections : DEFAULT_CONNECTIONS;
	const struct cg_connection *c;
	int r = 0, more = 1;

	while (!r && l->connections < most && (more = cg_world_next(l->world, &c)) == 1)
		r = add_connection(l, c);
	if (!r && more < 0)
		r = more;
	if (!r)
		r = cg_packets_finish(l->packets);
	if (!r)
		r = cg_side_finish(l->side);
	while (!r && cg_epochs_open(l->epochs))
		r = apply_until(l, l->last_ns += MINUTE_NS);
	return r ? r : apply_until(l, l->last_ns + MINUTE_NS);
}

/* @return how many fields differ. */
static size_t print_differences(const struct cg_difference *d, size_t n)
{
	size_t differ = 0;

	printf("%-32s %12s %10s %14s %14s %14s\n", "field", "compared", "differ", "worst", "A",
	       "B");
	for (size_t i = 0; i < n; i++) {
		printf("%-32s %12llu %10llu %14.6g %14.6g %14.6g\n", d[i].what,
		       (unsigned long long)d[i].compared, (unsigned long long)d[i].differ,
		       d[i].worst, d[i].a, d[i].b);
		differ += d[i].differ != 0;
	}
	return differ;
}

int cg_agree(const struct cg_options *options)
{
	struct cg_difference differences[CG_MAX_DIFFERENCES];
	struct levels l = { 0 };
	size_t n, differ;
	int r = open_levels(options, &l);

	if (!r)
		r = run_both(options, &l);
	if (r) {
		fprintf(stderr, "campaign: stopped: %s\n", strerror(-r));
		close_levels(&l);
		return r;
	}
	n = cg_compare(l.model, cg_side_model(l.side), differences);
	differ = print_differences(differences, n);
	printf("%llu connections, %zu clients, %llu frames; %llu lost in level B; %zu of %zu fields "
	       "differ\n",
	       (unsigned long long)l.connections, fg_model_n_clients(l.model),
	       (unsigned long long)cg_packets_frames(l.packets),
	       (unsigned long long)cg_side_losses(l.side), differ, n);
	differ += cg_side_losses(l.side) != 0;
	close_levels(&l);
	return differ != 0;
}
