/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sensor/sensor.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "farmgate.skel.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "sensor/attach.h"
#include "sensor/clock.h"
#include "sensor/pins.h"
#include "sensor/probe.h"

#define MAX_DEGRADED 12
#define MAX_NOTES    24
#define TEXT_BYTES   200

/* Maps in our memory: the tables and fg_meta. */
#define N_MAPPED 9

struct fg_sensor {
	struct farmgate_bpf *skel;
	struct fg_config config;
	struct fg_tables tables;
	size_t maps_bytes[N_MAPPED];
	struct fg_ticks ticks;
	uint64_t tick_ns;
	struct ring_buffer *ring;
	fg_sensor_sample_fn on_sample;
	fg_sensor_datagram_fn on_datagram;
	void *datagram_arg;
	void *arg;
	struct fg_pins *pins; /* NULL = nothing is pinned */
	struct fg_sensor_found found;
	/* what the totals were when we came: ours begin there */
	struct fg_totals base_received, base_replies;
	uint64_t base_packets[FG_MAX_IFACES];
	struct fg_attacher attacher;
	struct fg_attached at[FG_MAX_IFACES];
	size_t n_at;
	bool attached, keep;
	int cpus;
	char degraded[MAX_DEGRADED][TEXT_BYTES];
	size_t n_degraded;
	char notes[MAX_NOTES][TEXT_BYTES];
	size_t n_notes;
	uint32_t n_source_blocks, n_client_blocks;
	uint32_t n_prefix_blocks[129]; /* of each length */
	uint64_t late_block; /* FG_EVENT_late_block: what the agent counts of it */
};

static void say_degraded(struct fg_sensor *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say_degraded(struct fg_sensor *s, const char *fmt, ...)
{
	va_list ap;

	if (s->n_degraded == MAX_DEGRADED)
		return;
	va_start(ap, fmt);
	vsnprintf(s->degraded[s->n_degraded++], sizeof(s->degraded[0]), fmt, ap);
	va_end(ap);
}

static void say_attached(void *arg, bool worse, const char *text)
{
	struct fg_sensor *s = arg;

	if (worse)
		say_degraded(s, "%s", text);
	else if (s->n_notes < MAX_NOTES)
		snprintf(s->notes[s->n_notes++], TEXT_BYTES, "%s", text);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	/* FARMGATE_LIBBPF=1 shows libbpf's own words, verifier log included */
	if (level > LIBBPF_WARN || !getenv("FARMGATE_LIBBPF"))
		return 0;
	return vfprintf(stderr, fmt, ap);
}

/* Which programs this kernel and this use need. */
static int choose_programs(struct fg_sensor *s, const struct fg_sensor_conf *conf,
			   const struct fg_probe *probe, char *why, size_t n_why)
{
	bool may_goto = probe->may_goto && !conf->force_loop;
	struct farmgate_bpf *k = s->skel;

	if (!probe->bpf || !probe->net_admin) {
		snprintf(why, n_why,
			 "CAP_BPF and CAP_NET_ADMIN are needed (run it as root, or grant them)");
		return -EPERM;
	}
	if (!probe->bpf_loop || !probe->mmap_array || !probe->ringbuf) {
		snprintf(why, n_why, "this kernel is too old: 6.1 or later is needed");
		return -ENOTSUP;
	}
	if (!probe->btf) {
		snprintf(
			why, n_why,
			"no /sys/kernel/btf/vmlinux: the kernel lacks CONFIG_DEBUG_INFO_BTF (Debian's "
			"kernels have it)");
		return -ENOTSUP;
	}
	bpf_program__set_autoload(k->progs.fg_xdp, may_goto);
	bpf_program__set_autoload(k->progs.fg_xdp_loop, !may_goto);
	bpf_program__set_autoload(k->progs.fg_tc, may_goto && !conf->replay);
	bpf_program__set_autoload(k->progs.fg_tc_loop, !may_goto && !conf->replay);
	bpf_program__set_autoload(k->progs.fg_egress, !conf->replay);
	if (!may_goto && !conf->force_loop)
		say_degraded(s,
			     "kernel before 6.9: hellos are read with bpf_loop, about three times "
			     "slower");
	if (!conf->replay && conf->config.role == FG_ROLE_TERMINATE) {
		s->config.socket_proof = probe->perfmon && probe->skc_lookup;
		if (!s->config.socket_proof)
			say_degraded(
				s,
				"no socket proof (CAP_PERFMON is missing): handshake proof only");
	}
	s->attacher.tcx = probe->tcx && !conf->no_tcx;
	return 0;
}

static void size_maps(struct farmgate_bpf *k, const struct fg_tables *t)
{
	bpf_map__set_max_entries(k->maps.fg_flows, t->n_flows);
	bpf_map__set_max_entries(k->maps.fg_timings, t->n_flows * FG_WAYS);
	bpf_map__set_max_entries(k->maps.fg_knocks, t->n_knocks);
	bpf_map__set_max_entries(k->maps.fg_sources, t->n_sources);
	bpf_map__set_max_entries(k->maps.fg_clients, t->n_clients);
	bpf_map__set_max_entries(k->maps.fg_prints, t->n_prints);
	bpf_map__set_max_entries(k->maps.fg_streams, t->n_streams);
	bpf_map__set_max_entries(k->maps.fg_stash, t->n_stash);
}

static int map_table(struct bpf_map *map, void **ret_table, size_t *ret_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	/* an array's rows are eight bytes aligned, and so are ours */
	size_t bytes = (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map);
	void *p;

	bytes = (bytes + page - 1) / page * page;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret_table = p;
	*ret_bytes = bytes;
	return 0;
}

static int map_tables(struct fg_sensor *s)
{
	struct farmgate_bpf *k = s->skel;
	struct fg_tables *t = &s->tables;
	struct {
		struct bpf_map *map;
		void **table;
	} all[] = {
		{ k->maps.fg_flows, (void **)&t->flows },
		{ k->maps.fg_timings, (void **)&t->timings },
		{ k->maps.fg_knocks, (void **)&t->knocks },
		{ k->maps.fg_sources, (void **)&t->sources },
		{ k->maps.fg_clients, (void **)&t->clients },
		{ k->maps.fg_prints, (void **)&t->prints },
		{ k->maps.fg_streams, (void **)&t->streams },
		{ k->maps.fg_overflow, (void **)&t->overflow },
		{ k->maps.fg_meta, (void **)&t->meta },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int r = map_table(all[i].map, all[i].table, &s->maps_bytes[i]);

		if (r)
			return r;
	}
	return 0;
}

static int on_ring(void *arg, void *data, size_t len)
{
	struct fg_sensor *s = arg;

	if (len >= sizeof(struct fg_sample) && s->on_sample)
		s->on_sample(s->arg, data);
	return 0;
}

static int on_datagram_ring(void *arg, void *data, size_t len)
{
	struct fg_sensor *s = arg;
	const struct fg_datagram *d = data;

	if (len >= sizeof(*d) && d->len <= FG_DATAGRAM_BYTES && s->on_datagram)
		s->on_datagram(s->datagram_arg, d);
	return 0;
}

static int load(struct fg_sensor *s, char *why, size_t n_why)
{
	int r = farmgate_bpf__load(s->skel);

	if (r == -ENOMEM) {
		snprintf(why, n_why, "no memory for tables of %llu MB (lower memory_mb)",
			 (unsigned long long)(fg_tables_bytes(&s->tables) >> 20));
	} else if (r == -EPERM || r == -EACCES) {
		snprintf(
			why, n_why,
			"the kernel refuses the programs: %s (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON "
			"are needed; FARMGATE_LIBBPF=1 shows its words)",
			strerror(-r));
	} else if (r) {
		snprintf(why, n_why,
			 "the kernel refuses the programs: %s (FARMGATE_LIBBPF=1 shows its words)",
			 strerror(-r));
	}
	return r;
}

static int start_clock(struct fg_sensor *s, bool replay, char *why, size_t n_why)
{
	int r = fg_ticks_open(&s->ticks);

	/* a capture's ticks are what its reader says */
	s->tick_ns = 1000000;
	if (!r && !replay)
		r = fg_ticks_length(&s->ticks, &s->tick_ns);
	if (r == -EPERM)
		snprintf(why, n_why,
			 "CAP_BPF and CAP_NET_ADMIN are needed (run it as root, or grant them)");
	else if (r)
		snprintf(why, n_why, "the kernel's tick counter cannot be read: %s", strerror(-r));
	return r;
}

/* --- What an agent before this one left -------------------------------------------------------- */

static struct fg_pins_stamp stamp_of(const struct fg_sensor *s)
{
	struct fg_pins_stamp stamp = {
		.magic = FG_PINS_MAGIC,
		.abi_version = FG_ABI_VERSION,
		.size = sizeof(stamp),
		.tick_ns = s->tick_ns,
		.role = s->config.role,
		.volume = s->config.volume,
		.n_at = (uint32_t)s->n_at,
		.taken = s->base_received,
	};

	memcpy(stamp.seed, s->config.seed, sizeof(stamp.seed));
	for (size_t i = 0; i < s->n_at; i++) {
		const struct fg_attached *a = &s->at[i];

		memcpy(stamp.at[i].name, a->name, sizeof(stamp.at[i].name));
		stamp.at[i].ifindex = a->ifindex;
		stamp.at[i].clsact_in = a->clsact_ingress;
		stamp.at[i].clsact_out = a->clsact_egress;
		stamp.at[i].clsact_made = a->clsact_made;
	}
	return stamp;
}

/* Without a folder everything works, until the agent dies: that is told, and no reason to stop. */
static int open_pins(struct fg_sensor *s, const char *dir, char *why, size_t n_why)
{
	int r = dir ? fg_pins_open(dir, &s->pins, why, n_why) : 0;

	if (!r || r == -EBUSY)
		return r;
	say_degraded(s, "nothing is pinned, so blocks end when the agent dies: %.130s", why);
	return 0;
}

static int adopt_pins(struct fg_sensor *s, char *why, size_t n_why)
{
	struct fg_pins_stamp mine = stamp_of(s);
	struct fg_pins_found found;
	int r;

	if (!s->pins)
		return 0;
	r = fg_pins_adopt(s->pins, s->skel->obj, &mine, &found);
	if (r) {
		snprintf(why, n_why, "the pinned maps cannot be reused: %s", strerror(-r));
		return r;
	}
	s->found.any = found.any;
	s->found.tables = found.tables;
	s->found.blocks = found.blocks;
	memcpy(s->found.why_not, found.why_not, sizeof(s->found.why_not));
	return 0;
}

static void set_up_meta(struct fg_sensor *s)
{
	struct fg_meta *m = s->tables.meta;
	uint64_t now = 0;

	fg_ticks_now(&s->ticks, &now);
	if (s->found.tables && now > m->heartbeat_ticks)
		s->found.away_ns = (now - m->heartbeat_ticks) * s->tick_ns;
	memcpy(m->seed, s->config.seed, sizeof(m->seed));
	m->abi_version = FG_ABI_VERSION;
	m->tick_ns = s->tick_ns;
	m->heartbeat_ticks = now;
	/* rows carry epochs: in tables that go on, it goes on */
	if (!s->found.tables)
		__atomic_store_n(&m->epoch, 8, __ATOMIC_RELEASE);
}

static void subtract_totals(struct fg_totals *from, const struct fg_totals *less)
{
	__u64 *to = (__u64 *)from;
	const __u64 *by = (const __u64 *)less;

	for (size_t i = 0; i < sizeof(*from) / sizeof(__u64); i++)
		to[i] -= by[i] < to[i] ? by[i] : to[i];
}

/* Counters of an agent run since its start: what stands is no part of ours. */
static int begin_totals(struct fg_sensor *s)
{
	uint64_t packets[FG_MAX_IFACES] = { 0 };
	struct fg_totals received, replies;
	int r = s->found.tables ? fg_sensor_totals(s, &received, &replies, packets) : 0;

	if (r || !s->found.tables)
		return r;
	s->base_received = s->found.untaken = received;
	s->base_replies = replies;
	memcpy(s->base_packets, packets, sizeof(packets));
	subtract_totals(&s->found.untaken, &fg_pins_before(s->pins)->taken);
	return 0;
}

/* Memory of the loaded maps, and how what stands in them goes on. */
static int open_maps(struct fg_sensor *s, char *why, size_t n_why)
{
	int r = map_tables(s);

	if (r) {
		snprintf(why, n_why, "the tables cannot be mapped: %s", strerror(-r));
		return r;
	}
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.fg_samples), on_ring, s, NULL);
	if (!s->ring || ring_buffer__add(s->ring, bpf_map__fd(s->skel->maps.fg_datagrams),
					 on_datagram_ring, s)) {
		snprintf(why, n_why, "the sample ring cannot be opened: %s", strerror(errno));
		return -errno;
	}
	set_up_meta(s);
	/* entries that go on; the agent before us may have died between an entry and its count */
	r = fg_sensor_gate_recount(s);
	if (!r)
		r = begin_totals(s);
	if (r)
		snprintf(why, n_why, "what stands in the maps cannot be read: %s", strerror(-r));
	return r;
}

static int find_interfaces(struct fg_sensor *s, const struct fg_sensor_conf *conf, char *why,
			   size_t n_why)
{
	s->config.n_ifaces = (uint32_t)conf->n_interfaces;
	for (size_t i = 0; i < conf->n_interfaces; i++) {
		s->config.ifindex[i] = if_nametoindex(conf->interfaces[i]);
		if (!s->config.ifindex[i]) {
			snprintf(why, n_why, "%s: no such interface ('ip link' lists them)",
				 conf->interfaces[i]);
			return -ENODEV;
		}
		snprintf(s->at[i].name, sizeof(s->at[i].name), "%s", conf->interfaces[i]);
		s->at[i].ifindex = s->config.ifindex[i];
	}
	return 0;
}

/* Everything behind the choice of programs: sizes, configuration, load, memory. */
static int bring_up(struct fg_sensor *s, const struct fg_sensor_conf *conf, char *why, size_t n_why)
{
	int r = start_clock(s, conf->replay, why, n_why);

	if (!r)
		r = find_interfaces(s, conf, why, n_why);
	if (!r)
		r = open_pins(s, conf->pins, why, n_why);
	if (r)
		return r;
	s->config.tick_ns = (uint32_t)s->tick_ns;
	s->config.second_ticks = (uint32_t)(1000000000 / s->tick_ns);
	s->config.replay = conf->replay;
	fg_tables_masks(&s->tables, &s->config);
	memcpy((void *)&s->skel->rodata->fg_config, &s->config, sizeof(s->config));
	size_maps(s->skel, &s->tables);
	r = adopt_pins(s, why, n_why);
	if (!r)
		r = load(s, why, n_why);
	return r ? r : open_maps(s, why, n_why);
}

int fg_sensor_open(const struct fg_sensor_conf *conf, struct fg_sensor **ret_sensor, char *why,
		   size_t n_why)
{
	struct fg_sensor *s = calloc(1, sizeof(*s));
	struct fg_probe probe;
	int r;

	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < FG_MAX_IFACES; i++)
		s->at[i].ingress_link = s->at[i].egress_link = -1;
	s->ticks.low_fd = s->ticks.high_fd = -1;
	s->config = conf->config;
	s->tables = conf->sizes;
	s->cpus = libbpf_num_possible_cpus();
	libbpf_set_print(quiet);
	s->skel = farmgate_bpf__open();
	if (!s->skel) {
		r = -errno;
		snprintf(why, n_why, "the built-in program object cannot be opened: %s",
			 strerror(-r));
		goto fail;
	}
	r = fg_probe_kernel(&probe);
	if (r) {
		snprintf(why, n_why, "the kernel cannot be asked: %s", strerror(-r));
		goto fail;
	}
	r = choose_programs(s, conf, &probe, why, n_why);
	if (!r)
		r = bring_up(s, conf, why, n_why);
	if (r)
		goto fail;
	s->attacher.xdp_fd = bpf_program__fd(bpf_program__autoload(s->skel->progs.fg_xdp) ?
						     s->skel->progs.fg_xdp :
						     s->skel->progs.fg_xdp_loop);
	s->attacher.tc_fd = bpf_program__fd(bpf_program__autoload(s->skel->progs.fg_tc) ?
						    s->skel->progs.fg_tc :
						    s->skel->progs.fg_tc_loop);
	s->attacher.egress_fd = bpf_program__fd(s->skel->progs.fg_egress);
	s->attacher.pins = s->pins;
	s->attacher.say = say_attached;
	s->attacher.arg = s;
	*ret_sensor = s;
	return 0;

fail:
	fg_sensor_close(&s);
	return r;
}

/* What is attached, and pinned: taken away unless it shall stay. */
static void leave(struct fg_sensor *s)
{
	for (size_t i = 0; i < s->n_at; i++) {
		if (s->keep && s->pins)
			fg_attach_leave(&s->at[i]);
		else
			fg_attach_undo(&s->attacher, &s->at[i]);
	}
	if (s->pins && s->attached && !s->keep)
		fg_pins_remove(s->pins);
	fg_pins_close(&s->pins);
}

void fg_sensor_close(struct fg_sensor **sensor)
{
	struct fg_sensor *s = *sensor;
	void *tables[N_MAPPED];

	if (!s)
		return;
	leave(s);
	if (s->ring)
		ring_buffer__free(s->ring);
	memcpy(tables,
	       (void *[N_MAPPED]){ s->tables.flows, s->tables.timings, s->tables.knocks,
				   s->tables.sources, s->tables.clients, s->tables.prints,
				   s->tables.streams, s->tables.overflow, s->tables.meta },
	       sizeof(tables));
	for (size_t i = 0; i < N_MAPPED; i++)
		if (tables[i])
			munmap(tables[i], s->maps_bytes[i]);
	fg_ticks_close(&s->ticks);
	farmgate_bpf__destroy(s->skel);
	free(s);
	*sensor = NULL;
}

/* The maps first: a link without its maps' pins is whole, maps without links are not in use. */
static void pin_maps(struct fg_sensor *s)
{
	struct fg_pins_stamp stamp = stamp_of(s);
	int r = s->pins ? fg_pins_put(s->pins, s->skel->obj, &stamp) : 0;

	if (r)
		say_degraded(s, "maps cannot be pinned (%s): the next agent begins with empty ones",
			     strerror(-r));
}

int fg_sensor_attach(struct fg_sensor *s, enum fg_sensor_mode mode, char *why, size_t n_why)
{
	/* with more than one interface in transit, a reply would be counted twice */
	bool egress = s->config.role == FG_ROLE_TERMINATE ||
		      (s->config.role == FG_ROLE_TRANSIT && s->config.n_ifaces == 1);
	int r;

	for (size_t i = 0; i < s->config.n_ifaces; i++) {
		s->n_at = i + 1;
		r = fg_attach(&s->attacher, &s->at[i], mode, egress, why, n_why);
		if (r)
			goto fail;
	}
	fg_attach_sweep(&s->attacher, s->at, s->n_at);
	pin_maps(s);
	s->attached = true;
	return 0;

fail:
	/* what an agent before us left goes on without us */
	for (size_t i = 0; i < s->n_at; i++)
		fg_attach_undo_new(&s->attacher, &s->at[i]);
	s->n_at = 0;
	return r;
}

void fg_sensor_keep(struct fg_sensor *s)
{
	s->keep = true;
}

const struct fg_sensor_found *fg_sensor_found(const struct fg_sensor *s)
{
	return &s->found;
}

const char *fg_sensor_note(const struct fg_sensor *s, size_t i)
{
	return i < s->n_notes ? s->notes[i] : NULL;
}

const char *fg_sensor_mode_name(const struct fg_sensor *s, size_t i)
{
	return i < s->n_at && s->at[i].mode ? s->at[i].mode : "none";
}

const char *fg_sensor_degraded(const struct fg_sensor *s, size_t i)
{
	return i < s->n_degraded ? s->degraded[i] : NULL;
}

const struct fg_tables *fg_sensor_tables(const struct fg_sensor *s)
{
	return &s->tables;
}

const struct fg_config *fg_sensor_config(const struct fg_sensor *s)
{
	return &s->config;
}

static void add_totals(struct fg_totals *sum, const struct fg_totals *one)
{
	/* the very type of the members: another 64-bit type may not alias them */
	const __u64 *from = (const __u64 *)one;
	__u64 *to = (__u64 *)sum;

	_Static_assert(sizeof(*sum) % sizeof(__u64) == 0, "totals are counters only");
	for (size_t i = 0; i < sizeof(*sum) / sizeof(__u64); i++)
		to[i] += from[i];
}

int fg_sensor_totals(const struct fg_sensor *s, struct fg_totals *ret_received,
		     struct fg_totals *ret_replies, uint64_t packets[FG_MAX_IFACES])
{
	_cleanup_free_ struct fg_totals *row = calloc((size_t)s->cpus, sizeof(*row));
	struct fg_totals received = { 0 }, replies = { 0 };

	if (!row)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < FG_TOTAL_SLOTS; slot++) {
		struct fg_totals sum = { 0 };

		/* a slot is an interface's; without any, slot 0 counts */
		if (slot % FG_MAX_IFACES && slot % FG_MAX_IFACES >= s->config.n_ifaces)
			continue;
		if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.fg_totals), &slot, row))
			return -errno;
		for (int cpu = 0; cpu < s->cpus; cpu++)
			add_totals(&sum, &row[cpu]);
		add_totals(slot < FG_MAX_IFACES ? &received : &replies, &sum);
		if (!packets || slot >= FG_MAX_IFACES)
			continue;
		packets[slot] = 0;
		for (size_t i = 0; i < _FG_OUTCOME_MAX; i++)
			packets[slot] += sum.frames[i];
	}
	subtract_totals(&received, &s->base_received);
	subtract_totals(&replies, &s->base_replies);
	for (size_t i = 0; packets && i < FG_MAX_IFACES; i++)
		packets[i] -= s->base_packets[i];
	received.events[FG_EVENT_late_block] += s->late_block;
	*ret_received = received;
	*ret_replies = replies;
	return 0;
}

void fg_sensor_took(struct fg_sensor *s, const struct fg_totals *received)
{
	struct fg_pins_stamp *stamp = s->pins ? fg_pins_stamp(s->pins) : NULL;
	struct fg_totals sum = s->base_received;

	if (!stamp)
		return;
	add_totals(&sum, received);
	stamp->taken = sum;
}

int fg_sensor_ticks(const struct fg_sensor *s, uint64_t *ret_ticks)
{
	return fg_ticks_now(&s->ticks, ret_ticks);
}

uint64_t fg_sensor_tick_ns(const struct fg_sensor *s)
{
	return s->tick_ns;
}

void fg_sensor_on_sample(struct fg_sensor *s, fg_sensor_sample_fn fn, void *arg)
{
	s->on_sample = fn;
	s->arg = arg;
}

void fg_sensor_on_datagram(struct fg_sensor *s, fg_sensor_datagram_fn fn, void *arg)
{
	s->on_datagram = fn;
	s->datagram_arg = arg;
}

int fg_sensor_sample_fd(const struct fg_sensor *s)
{
	return ring_buffer__epoll_fd(s->ring);
}

int fg_sensor_drain(struct fg_sensor *s)
{
	return ring_buffer__consume(s->ring);
}

/* --- Blocks ----------------------------------------------------------------------------------- */

/* A block's key as its drop map has it. */
union drop_key {
	struct fg_block_source source;
	struct fg_block_prefix prefix;
	struct fg_block_client client;
};

enum drop_kind {
	DROP_SOURCE,
	DROP_PREFIX,
	DROP_CLIENT
};

static int drop_map(const struct fg_sensor *s, enum drop_kind kind)
{
	const struct bpf_map *const maps[] = {
		[DROP_SOURCE] = s->skel->maps.fg_drop_sources,
		[DROP_PREFIX] = s->skel->maps.fg_drop_prefix,
		[DROP_CLIENT] = s->skel->maps.fg_drop_clients,
	};

	return bpf_map__fd(maps[kind]);
}

static int drop_key_of(const struct fg_gate_key *key, union drop_key *ret_key,
		       enum drop_kind *ret_kind)
{
	bool is4 = fg_ip_is4(key->addr);
	uint8_t host[16];

	memset(ret_key, 0, sizeof(*ret_key));
	memcpy(host, key->addr, sizeof(host));
	fg_ip_mask(host, key->bits);
	if (memcmp(host, key->addr, sizeof(host)))
		return -EINVAL;
	if (key->stem) {
		*ret_kind = DROP_CLIENT;
		ret_key->client =
			(struct fg_block_client){ .stem = key->stem, .stack = key->stack };
		memcpy(ret_key->client.addr, host, sizeof(host));
		return key->bits == (is4 ? 128 : 64) ? 0 : -EINVAL;
	}
	if (key->bits == (is4 ? 128 : 64)) {
		*ret_kind = DROP_SOURCE;
		memcpy(ret_key->source.addr, host, sizeof(host));
		return 0;
	}
	if (key->bits < (is4 ? FG_PREFIX4_MIN : FG_PREFIX6_MIN) ||
	    key->bits > (is4 ? FG_PREFIX4_MAX : FG_PREFIX6_MAX))
		return -EINVAL;
	*ret_kind = DROP_PREFIX;
	ret_key->prefix.bits = key->bits;
	memcpy(ret_key->prefix.addr, host, sizeof(host));
	return 0;
}

static bool is_prefix4(uint8_t bits)
{
	return bits >= FG_PREFIX4_MIN;
}

/* The prefix lengths in use of one family, as the programs read them: the longest first. */
static uint64_t lengths_in_use(const struct fg_sensor *s, bool is4, size_t *ret_n)
{
	uint64_t lengths = 0;
	size_t n = 0;

	for (int bits = is4 ? FG_PREFIX4_MAX : FG_PREFIX6_MAX;
	     bits >= (is4 ? FG_PREFIX4_MIN : FG_PREFIX6_MIN) && n < FG_PREFIX_LENGTHS; bits--)
		if (s->n_prefix_blocks[bits])
			lengths |= (uint64_t)bits << 8 * n++;
	*ret_n = n;
	return lengths;
}

/* Tells the programs what there is to look up. */
static void publish_blocks(struct fg_sensor *s)
{
	struct fg_meta *m = s->tables.meta;
	size_t n;

	__atomic_store_n(&m->source_blocks, s->n_source_blocks, __ATOMIC_RELEASE);
	__atomic_store_n(&m->client_blocks, s->n_client_blocks, __ATOMIC_RELEASE);
	__atomic_store_n(&m->lengths4, lengths_in_use(s, true, &n), __ATOMIC_RELEASE);
	__atomic_store_n(&m->lengths6, lengths_in_use(s, false, &n), __ATOMIC_RELEASE);
}

static uint32_t *count_of(struct fg_sensor *s, const struct fg_gate_key *key, enum drop_kind kind)
{
	return kind == DROP_SOURCE ? &s->n_source_blocks :
	       kind == DROP_CLIENT ? &s->n_client_blocks :
				     &s->n_prefix_blocks[key->bits];
}

int fg_sensor_gate_put(struct fg_sensor *s, const struct fg_gate_key *key, uint64_t until_ticks,
		       uint32_t flags)
{
	struct fg_block block = { .until_ticks = until_ticks, .flags = flags }, old;
	enum drop_kind kind;
	union drop_key raw;
	int r = drop_key_of(key, &raw, &kind);
	size_t lengths;
	bool known;

	if (r)
		return r;
	if (kind == DROP_PREFIX && !s->n_prefix_blocks[key->bits]) {
		lengths_in_use(s, is_prefix4(key->bits), &lengths);
		if (lengths == FG_PREFIX_LENGTHS)
			return -ENOSPC;
	}
	known = !bpf_map_lookup_elem(drop_map(s, kind), &raw, &old);
	if (known) {
		block.hits = old.hits;
		block.last_ticks = old.last_ticks;
	}
	if (bpf_map_update_elem(drop_map(s, kind), &raw, &block, BPF_ANY))
		return -errno;
	if (!known) {
		++*count_of(s, key, kind);
		publish_blocks(s);
	}
	return 0;
}

int fg_sensor_gate_remove(struct fg_sensor *s, const struct fg_gate_key *key)
{
	enum drop_kind kind;
	union drop_key raw;
	int r = drop_key_of(key, &raw, &kind);
	uint32_t *count;

	if (r)
		return r;
	if (bpf_map_delete_elem(drop_map(s, kind), &raw))
		return -errno;
	count = count_of(s, key, kind);
	if (*count)
		--*count;
	publish_blocks(s);
	return 0;
}

int fg_sensor_gate_read(const struct fg_sensor *s, const struct fg_gate_key *key,
			struct fg_block *ret_block)
{
	enum drop_kind kind;
	union drop_key raw;
	int r = drop_key_of(key, &raw, &kind);

	if (r)
		return r;
	return bpf_map_lookup_elem(drop_map(s, kind), &raw, ret_block) ? -errno : 0;
}

static struct fg_gate_key gate_key_of(const union drop_key *raw, enum drop_kind kind)
{
	struct fg_gate_key key = { .bits = 0 };

	/* the address is the first member of each */
	memcpy(key.addr, raw->source.addr, sizeof(key.addr));
	key.bits = kind == DROP_PREFIX ? (uint8_t)raw->prefix.bits : fg_ip_is4(key.addr) ? 128 : 64;
	if (kind == DROP_CLIENT) {
		key.stem = raw->client.stem;
		key.stack = raw->client.stack;
	}
	return key;
}

static int each_of_kind(const struct fg_sensor *s, enum drop_kind kind, fg_sensor_gate_fn fn,
			void *arg)
{
	union drop_key at = { 0 }, next = { 0 };
	void *from = NULL;
	int r;

	while (!bpf_map_get_next_key(drop_map(s, kind), from, &next)) {
		struct fg_gate_key key = gate_key_of(&next, kind);
		struct fg_block block;

		if (!bpf_map_lookup_elem(drop_map(s, kind), &next, &block)) {
			r = fn(arg, &key, &block);
			if (r)
				return r;
		}
		at = next;
		from = &at;
	}
	return errno == ENOENT ? 0 : -errno;
}

int fg_sensor_gate_each(const struct fg_sensor *s, fg_sensor_gate_fn fn, void *arg)
{
	for (enum drop_kind kind = DROP_SOURCE; kind <= DROP_CLIENT; kind++) {
		int r = each_of_kind(s, kind, fn, arg);

		if (r)
			return r;
	}
	return 0;
}

static int count_block(void *arg, const struct fg_gate_key *key, const struct fg_block *block)
{
	enum drop_kind kind;
	union drop_key raw;

	(void)block;
	if (!drop_key_of(key, &raw, &kind))
		++*count_of(arg, key, kind);
	return 0;
}

int fg_sensor_gate_recount(struct fg_sensor *s)
{
	int r;

	s->n_source_blocks = s->n_client_blocks = 0;
	memset(s->n_prefix_blocks, 0, sizeof(s->n_prefix_blocks));
	r = fg_sensor_gate_each(s, count_block, s);
	publish_blocks(s);
	return r;
}

static struct fg_gate_key source_key(const uint8_t addr[16])
{
	struct fg_gate_key key = { .bits = fg_ip_is4(addr) ? 128 : 64 };

	memcpy(key.addr, addr, sizeof(key.addr));
	return key;
}

int fg_sensor_block(struct fg_sensor *s, const uint8_t addr[16], uint64_t until_ticks)
{
	struct fg_gate_key key = source_key(addr);

	return fg_sensor_gate_put(s, &key, until_ticks, 0);
}

int fg_sensor_unblock(struct fg_sensor *s, const uint8_t addr[16])
{
	struct fg_gate_key key = source_key(addr);

	return fg_sensor_gate_remove(s, &key);
}

int fg_sensor_block_client(struct fg_sensor *s, const uint8_t addr[16], uint64_t stem,
			   uint64_t stack, uint64_t until_ticks)
{
	struct fg_gate_key key = source_key(addr);

	key.stem = stem;
	key.stack = stack;
	return fg_sensor_gate_put(s, &key, until_ticks, 0);
}

int fg_sensor_unblock_client(struct fg_sensor *s, const uint8_t addr[16], uint64_t stem,
			     uint64_t stack)
{
	struct fg_gate_key key = source_key(addr);

	key.stem = stem;
	key.stack = stack;
	return fg_sensor_gate_remove(s, &key);
}

/* Payload of a full segment on an Ethernet path, with timestamps. */
#define SEGMENT_BYTES 1448
/* A program that read the flags just before they were marked writes the old ones back. It is done
 * long before the next pass over the table comes by. */
#define MARK_PASSES 4

/*
 * Marks one connection; false where there is nothing to do. The row may be another's by the time that
 * we write: the exchange compares its generation, flags and proof with what was read in front of the
 * key, and a program that claims the row writes all of these anew in one store, behind the key.
 * Whatever became of the row between, the mark is on the connection that fn saw, or gone.
 */
static bool mark_flow(struct fg_flow *row, const __u64 *tag, fg_sensor_match_fn fn, void *arg,
		      struct fg_flow *ret_flow)
{
	uint64_t name = __atomic_load_n(tag, __ATOMIC_ACQUIRE), head;
	struct fg_flow next;

	if (name == FG_TAG_FREE || name == FG_TAG_BUSY)
		return false;
	head = __atomic_load_n(&row->head, __ATOMIC_ACQUIRE);
	memcpy(ret_flow, row, sizeof(*ret_flow));
	ret_flow->head = head;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(tag, __ATOMIC_RELAXED) != name ||
	    ret_flow->flags & (FG_FLOW_DROPPED | FG_FLOW_CLOSED) || !fn(arg, ret_flow))
		return false;
	next = *ret_flow;
	next.flags |= FG_FLOW_DROPPED;
	return __atomic_compare_exchange_n(&row->head, &head, next.head, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

uint64_t fg_sensor_drop_flows_if(struct fg_sensor *s, fg_sensor_match_fn fn, void *arg)
{
	const struct fg_tables *t = &s->tables;
	uint64_t n = 0, last = 1;

	for (int pass = 0; pass < MARK_PASSES && last; pass++) {
		last = 0;
		for (size_t i = 0; i < (size_t)t->n_flows * FG_WAYS; i++) {
			struct fg_flow_set *set = &t->flows[i / FG_WAYS];
			struct fg_flow flow;

			if (!mark_flow(&set->row[i % FG_WAYS], &set->tag[i % FG_WAYS], fn, arg,
				       &flow))
				continue;
			last++;
			if (pass)
				continue; /* lost once, or one more: it was counted, or is new */
			s->late_block += (flow.bytes_in + SEGMENT_BYTES - 1) / SEGMENT_BYTES;
			n++;
		}
	}
	return n;
}

static bool is_inside(void *arg, const struct fg_flow *flow)
{
	const struct fg_gate_key *key = arg;

	return fg_ip_contains(key->addr, key->bits, flow->client, 128) &&
	       (!key->stem ||
		(flow->stem == key->stem && (!key->stack || flow->stack == key->stack)));
}

int fg_sensor_drop_flows(struct fg_sensor *s, const uint8_t addr[16], uint8_t bits, uint64_t stem,
			 uint64_t stack, uint64_t *ret_n)
{
	struct fg_gate_key key = { .bits = bits, .stem = stem, .stack = stack };
	enum drop_kind kind;
	union drop_key raw;
	int r;

	memcpy(key.addr, addr, sizeof(key.addr));
	r = drop_key_of(&key, &raw, &kind);
	if (!r)
		*ret_n = fg_sensor_drop_flows_if(s, is_inside, &key);
	return r;
}

int fg_sensor_prog_fd(const struct fg_sensor *s)
{
	return s->attacher.xdp_fd;
}

int fg_sensor_run(struct fg_sensor *s, const struct fg_replay_meta *meta, const void *frame,
		  size_t len, uint32_t times, uint32_t *ret_action, uint32_t *ret_ns)
{
	/* the metadata goes in front of the frame; the context says where the frame begins */
	static uint8_t buf[sizeof(*meta) + 65536];
	struct xdp_md ctx = { .data = meta ? sizeof(*meta) : 0 };
	size_t front = meta ? sizeof(*meta) : 0;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = buf, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = (int)times);

	/* the kernel wants at least an Ethernet header, and a frame that fits its page */
	if (len < 14 || len > sizeof(buf) - front)
		return -EMSGSIZE;
	if (meta)
		memcpy(buf, meta, sizeof(*meta));
	memcpy(buf + front, frame, len);
	ctx.data_end = (uint32_t)(front + len);
	opts.data_size_in = (uint32_t)(front + len);
	if (bpf_prog_test_run_opts(s->attacher.xdp_fd, &opts))
		return -errno;
	*ret_action = opts.retval;
	if (ret_ns)
		*ret_ns = opts.duration;
	return 0;
}
