/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sensor/sensor.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "farmgate.skel.h"
#include "lib/mem.h"
#include "sensor/clock.h"
#include "sensor/probe.h"

/* tcx attach types (kernel 6.6); Debian 12's headers are older. */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47
#define MAX_DEGRADED	   8
#define TC_HANDLE	   0xfa46 /* ours, fixed, so that a restart replaces its own filter */
#define TC_PRIORITY	   61

struct attached {
	char name[IF_NAMESIZE];
	unsigned int ifindex;
	const char *mode; /* native, generic, tc */
	int ingress_link, egress_link; /* -1 = none */
	bool clsact_ingress, clsact_egress, clsact_made;
};

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
	struct attached at[FG_MAX_IFACES];
	size_t n_at;
	int xdp_fd, tc_fd, egress_fd;
	int cpus;
	bool tcx;
	char degraded[MAX_DEGRADED][160];
	size_t n_degraded;
	uint32_t n_source_blocks, n_client_blocks;
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
	s->tcx = probe->tcx;
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

	if (!r)
		r = fg_ticks_length(&s->ticks, &s->tick_ns);
	if (r == -EPERM)
		snprintf(why, n_why,
			 "CAP_BPF and CAP_NET_ADMIN are needed (run it as root, or grant them)");
	else if (r)
		snprintf(why, n_why, "the kernel's tick counter cannot be read: %s", strerror(-r));
	if (replay)
		s->tick_ns = 1000000;
	return r;
}

static void set_up_meta(struct fg_sensor *s)
{
	struct fg_meta *m = s->tables.meta;
	uint64_t now = 0;

	fg_ticks_now(&s->ticks, &now);
	memcpy(m->seed, s->config.seed, sizeof(m->seed));
	m->abi_version = FG_ABI_VERSION;
	m->tick_ns = s->tick_ns;
	m->heartbeat_ticks = now;
	__atomic_store_n(&m->epoch, 8, __ATOMIC_RELEASE);
}

/* Everything behind the choice of programs: sizes, configuration, load, memory. */
static int bring_up(struct fg_sensor *s, const struct fg_sensor_conf *conf, char *why, size_t n_why)
{
	struct farmgate_bpf *k = s->skel;
	int r;

	r = start_clock(s, conf->replay, why, n_why);
	if (r)
		return r;
	s->config.tick_ns = (uint32_t)s->tick_ns;
	s->config.second_ticks = (uint32_t)(1000000000 / s->tick_ns);
	s->config.replay = conf->replay;
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
	fg_tables_masks(&s->tables, &s->config);
	memcpy((void *)&k->rodata->fg_config, &s->config, sizeof(s->config));
	size_maps(k, &s->tables);
	r = load(s, why, n_why);
	if (r)
		return r;
	r = map_tables(s);
	if (r) {
		snprintf(why, n_why, "the tables cannot be mapped: %s", strerror(-r));
		return r;
	}
	s->ring = ring_buffer__new(bpf_map__fd(k->maps.fg_samples), on_ring, s, NULL);
	if (!s->ring ||
	    ring_buffer__add(s->ring, bpf_map__fd(k->maps.fg_datagrams), on_datagram_ring, s)) {
		snprintf(why, n_why, "the sample ring cannot be opened: %s", strerror(errno));
		return -errno;
	}
	set_up_meta(s);
	return 0;
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
	s->xdp_fd = bpf_program__fd(bpf_program__autoload(s->skel->progs.fg_xdp) ?
					    s->skel->progs.fg_xdp :
					    s->skel->progs.fg_xdp_loop);
	s->tc_fd = bpf_program__fd(bpf_program__autoload(s->skel->progs.fg_tc) ?
					   s->skel->progs.fg_tc :
					   s->skel->progs.fg_tc_loop);
	s->egress_fd = bpf_program__fd(s->skel->progs.fg_egress);
	*ret_sensor = s;
	return 0;

fail:
	fg_sensor_close(&s);
	return r;
}

static void clsact_detach(struct attached *a, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	bpf_tc_detach(&hook, &opts);
}

static void detach(struct attached *a)
{
	if (a->ingress_link >= 0)
		close(a->ingress_link);
	if (a->egress_link >= 0)
		close(a->egress_link);
	if (a->clsact_ingress)
		clsact_detach(a, BPF_TC_INGRESS);
	if (a->clsact_egress)
		clsact_detach(a, BPF_TC_EGRESS);
	if (a->clsact_made) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_tc_hook_destroy(&hook);
	}
	a->ingress_link = a->egress_link = -1;
	a->clsact_ingress = a->clsact_egress = a->clsact_made = false;
}

void fg_sensor_close(struct fg_sensor **sensor)
{
	struct fg_sensor *s = *sensor;
	void *tables[N_MAPPED];

	if (!s)
		return;
	for (size_t i = 0; i < s->n_at; i++)
		detach(&s->at[i]);
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

/* XDP by a link: it goes with this process, never with somebody else's program. */
static int attach_xdp(struct fg_sensor *s, struct attached *a, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	int fd = bpf_link_create(s->xdp_fd, (int)a->ifindex, BPF_XDP, &opts);

	if (fd < 0)
		return -errno;
	a->ingress_link = fd;
	a->mode = flags == XDP_FLAGS_DRV_MODE ? "native" : "generic";
	return 0;
}

/* tc by a tcx link where the kernel has it, else a clsact filter with our handle. */
static int attach_tc(struct fg_sensor *s, struct attached *a, int prog_fd,
		     enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	int fd, r;

	if (s->tcx) {
		fd = bpf_link_create(prog_fd, (int)a->ifindex,
				     point == BPF_TC_EGRESS ?
					     (enum bpf_attach_type)ATTACH_TCX_EGRESS :
					     (enum bpf_attach_type)ATTACH_TCX_INGRESS,
				     NULL);
		if (fd < 0)
			return -errno;
		if (point == BPF_TC_EGRESS)
			a->egress_link = fd;
		else
			a->ingress_link = fd;
		return 0;
	}
	r = bpf_tc_hook_create(&hook);
	if (r && r != -EEXIST)
		return r;
	a->clsact_made |= r == 0;
	r = bpf_tc_attach(&hook, &opts);
	if (r)
		return r;
	if (point == BPF_TC_EGRESS)
		a->clsact_egress = true;
	else
		a->clsact_ingress = true;
	return 0;
}

static int attach_ingress(struct fg_sensor *s, struct attached *a, enum fg_sensor_mode mode,
			  char *why, size_t n_why)
{
	struct fg_probe_iface iface;
	int r = -ENOTSUP;

	if (!fg_probe_iface(a->name, &iface) && iface.xdp_prog && mode != FG_SENSOR_TC) {
		snprintf(
			why, n_why,
			"%s: XDP program %u (%s) is there already and is never replaced (take it off "
			"with 'ip link set dev %s xdp off', or use --attach tc)",
			a->name, iface.xdp_prog, iface.xdp_name[0] ? iface.xdp_name : "no name",
			a->name);
		return -EBUSY;
	}
	if (mode == FG_SENSOR_AUTO || mode == FG_SENSOR_NATIVE)
		r = attach_xdp(s, a, XDP_FLAGS_DRV_MODE);
	if (mode == FG_SENSOR_GENERIC || (mode == FG_SENSOR_AUTO && r && r != -EBUSY))
		r = attach_xdp(s, a, XDP_FLAGS_SKB_MODE);
	if (mode == FG_SENSOR_TC || (mode == FG_SENSOR_AUTO && r && r != -EBUSY)) {
		r = attach_tc(s, a, s->tc_fd, BPF_TC_INGRESS);
		a->mode = "tc";
	}
	if (r)
		snprintf(why, n_why, "%s: cannot attach: %s", a->name,
			 r == -EBUSY ? "another program is there and is never replaced" :
				       strerror(-r));
	else if (strcmp(a->mode, "native"))
		say_degraded(s,
			     "%s: attached in %s mode (the driver has no native XDP, or it was not "
			     "asked for): slower, frames cost a socket buffer first",
			     a->name, a->mode);
	return r;
}

int fg_sensor_attach(struct fg_sensor *s, enum fg_sensor_mode mode, char *why, size_t n_why)
{
	/* with more than one interface in transit, a reply would be counted twice */
	bool egress = s->config.role == FG_ROLE_TERMINATE ||
		      (s->config.role == FG_ROLE_TRANSIT && s->config.n_ifaces == 1);
	int r;

	for (size_t i = 0; i < s->config.n_ifaces; i++) {
		s->n_at = i + 1;
		r = attach_ingress(s, &s->at[i], mode, why, n_why);
		if (r)
			goto fail;
		if (!egress)
			continue;
		r = attach_tc(s, &s->at[i], s->egress_fd, BPF_TC_EGRESS);
		if (r) {
			snprintf(why, n_why, "%s: cannot attach to the reply direction: %s",
				 s->at[i].name, strerror(-r));
			goto fail;
		}
	}
	return 0;

fail:
	for (size_t i = 0; i < s->n_at; i++)
		detach(&s->at[i]);
	s->n_at = 0;
	return r;
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
	*ret_received = received;
	*ret_replies = replies;
	return 0;
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

static int set_block(int map_fd, const void *key, uint64_t until_ticks, uint32_t *count,
		     uint32_t *meta_count)
{
	struct fg_block block = { .until_ticks = until_ticks }, old;
	bool known = !bpf_map_lookup_elem(map_fd, key, &old);

	if (known) {
		block.hits = old.hits;
		block.last_ticks = old.last_ticks;
	}
	if (bpf_map_update_elem(map_fd, key, &block, BPF_ANY))
		return -errno;
	if (!known)
		__atomic_store_n(meta_count, ++*count, __ATOMIC_RELEASE);
	return 0;
}

static int clear_block(int map_fd, const void *key, uint32_t *count, uint32_t *meta_count)
{
	if (bpf_map_delete_elem(map_fd, key))
		return -errno;
	if (*count)
		__atomic_store_n(meta_count, --*count, __ATOMIC_RELEASE);
	return 0;
}

int fg_sensor_block(struct fg_sensor *s, const uint8_t addr[16], uint64_t until_ticks)
{
	struct fg_block_source key;

	memcpy(key.addr, addr, sizeof(key.addr));
	return set_block(bpf_map__fd(s->skel->maps.fg_drop_sources), &key, until_ticks,
			 &s->n_source_blocks, &s->tables.meta->source_blocks);
}

int fg_sensor_unblock(struct fg_sensor *s, const uint8_t addr[16])
{
	struct fg_block_source key;

	memcpy(key.addr, addr, sizeof(key.addr));
	return clear_block(bpf_map__fd(s->skel->maps.fg_drop_sources), &key, &s->n_source_blocks,
			   &s->tables.meta->source_blocks);
}

int fg_sensor_block_client(struct fg_sensor *s, const uint8_t addr[16], uint64_t stem,
			   uint64_t stack, uint64_t until_ticks)
{
	struct fg_block_client key = { .stem = stem, .stack = stack };

	memcpy(key.addr, addr, sizeof(key.addr));
	return set_block(bpf_map__fd(s->skel->maps.fg_drop_clients), &key, until_ticks,
			 &s->n_client_blocks, &s->tables.meta->client_blocks);
}

int fg_sensor_unblock_client(struct fg_sensor *s, const uint8_t addr[16], uint64_t stem,
			     uint64_t stack)
{
	struct fg_block_client key = { .stem = stem, .stack = stack };

	memcpy(key.addr, addr, sizeof(key.addr));
	return clear_block(bpf_map__fd(s->skel->maps.fg_drop_clients), &key, &s->n_client_blocks,
			   &s->tables.meta->client_blocks);
}

int fg_sensor_prog_fd(const struct fg_sensor *s)
{
	return s->xdp_fd;
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
	if (bpf_prog_test_run_opts(s->xdp_fd, &opts))
		return -errno;
	*ret_action = opts.retval;
	if (ret_ns)
		*ret_ns = opts.duration;
	return 0;
}
