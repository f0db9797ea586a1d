/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `campaign packets` and `campaign asn`: what the product is fed with, and the truth about it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "campaign/campaign.h"
#include "campaign/packets.h"
#include "campaign/truth.h"

struct writer {
	struct cg_world *world;
	struct cg_keys *keys;
	struct cg_packets *packets;
	struct cg_pcap *pcap;
	struct cg_truth *truth; /* NULL = nobody asks */
	uint64_t connections;
};

static int open_writer(const struct cg_options *o, struct writer *w)
{
	struct cg_packets_conf pc = { .server = cg_server_address,
				      .emit = cg_pcap_frame,
				      .keep_bytes = o->keep_bytes };
	int r = cg_open(&o->world, &w->world, &w->keys);

	if (!r)
		r = cg_pcap_new(STDOUT_FILENO, &w->pcap);
	pc.arg = w->pcap;
	if (!r)
		r = cg_packets_new(&pc, w->keys, &w->packets);
	if (!r && o->truth_file)
		r = cg_truth_new(w->world, &w->truth);
	return r;
}

static int write_frames(const struct cg_options *o, struct writer *w)
{
	const struct cg_connection *c;
	int r = 0, more;

	while (!r && (more = cg_world_next(w->world, &c)) != 0) {
		r = more < 0 ? more : cg_packets_add(w->packets, c);
		if (!r && w->truth)
			r = cg_truth_add(w->truth, c);
		if (++w->connections == o->max_connections)
			break;
	}
	return r ? r : cg_packets_finish(w->packets);
}

static int write_truth(const struct cg_options *o, const struct writer *w)
{
	FILE *out = fopen(o->truth_file, "w");
	int r = out ? cg_truth_write(w->truth, out) : -errno;

	if (out && fclose(out) && !r)
		r = -EIO;
	if (r)
		fprintf(stderr, "campaign: %s: %s\n", o->truth_file, strerror(-r));
	return r;
}

static void close_writer(struct writer *w)
{
	cg_truth_free(&w->truth);
	cg_packets_free(&w->packets);
	cg_keys_free(&w->keys);
	if (w->world)
		cg_world_close(&w->world);
}

int cg_packets_write(const struct cg_options *o)
{
	struct writer w = { 0 };
	int r = open_writer(o, &w), end;

	if (!r)
		r = write_frames(o, &w);
	end = w.pcap ? cg_pcap_close(&w.pcap) : 0;
	r = r ? r : end;
	if (!r && w.truth)
		r = write_truth(o, &w);
	if (r)
		fprintf(stderr, "campaign: stopped: %s\n", strerror(-r));
	else
		fprintf(stderr, "%llu connections, %llu frames\n",
			(unsigned long long)w.connections,
			(unsigned long long)cg_packets_frames(w.packets));
	close_writer(&w);
	return r;
}

int cg_asn_write(const struct cg_options *o)
{
	struct cg_world *world = NULL;
	int r = cg_world_open(&o->world, &world);

	if (r)
		return r;
	r = cg_world_write_asn(world, stdout);
	if (fflush(stdout) && !r)
		r = -EIO;
	cg_world_close(&world);
	return r;
}
