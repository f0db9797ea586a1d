/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * farmgate doctor: what this host, its interfaces and a running agent can and can't do, and the
 * cure. Owns the list of checks and their wording; the facts come from sensor/probe and from the
 * agent's own status.
 */
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/conf.h"
#include "agent/core.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "lib/jsonw.h"
#include "lib/log.h"
#include "sensor/probe.h"

/* ok: as it should be. warn: works, but worse than it could. fail: farmgate run can't work. */
enum level {
	LEVEL_OK,
	LEVEL_WARN,
	LEVEL_FAIL,
	_LEVEL_MAX
};
static const char *const level_names[_LEVEL_MAX] = { "ok", "warn", "fail" };

/* Checks on all interfaces of a large host; more than this nobody reads. */
#define MAX_CHECKS 128

struct check {
	enum level level;
	char name[48];
	char text[200];
	char cure[200]; /* "" where nothing is wrong */
};

struct exam {
	struct check checks[MAX_CHECKS];
	size_t n;
	enum level worst;
};

static struct check *note(struct exam *exam, enum level level, const char *name)
{
	/* the last place is overwritten when the list is full; the worst level stays */
	struct check *c = &exam->checks[exam->n < MAX_CHECKS ? exam->n++ : MAX_CHECKS - 1];

	if (level > exam->worst)
		exam->worst = level;
	memset(c, 0, sizeof(*c));
	c->level = level;
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

__attribute__((format(printf, 2, 3))) static void say(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void cure(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->cure, sizeof(c->cure), fmt, ap);
	va_end(ap);
}

/* --- Kernel ---------------------------------------------------------------------------------- */

struct feature {
	const char *name;
	size_t offset; /* of its bool in struct fg_probe */
	enum level without;
	const char *has, *lacks, *cure;
	bool needs_bpf; /* can't be asked without CAP_BPF */
};

#define AT(member) offsetof(struct fg_probe, member)

static const struct feature features[] = {
	{ "CAP_BPF", AT(bpf), LEVEL_FAIL, "programs and maps can be loaded",
	  "programs and maps cannot be loaded", "run as root, or give the service CAP_BPF", false },
	{ "CAP_NET_ADMIN", AT(net_admin), LEVEL_FAIL, "programs can be attached",
	  "programs cannot be attached", "run as root, or give the service CAP_NET_ADMIN", false },
	{ "CAP_PERFMON", AT(perfmon), LEVEL_WARN, "proof by the socket table is allowed",
	  "no proof by the socket table: by the handshake only",
	  "run as root, or give the service CAP_PERFMON", false },
	{ "BTF", AT(btf), LEVEL_FAIL, "the kernel describes its types",
	  "/sys/kernel/btf/vmlinux is missing: the programs cannot be fitted to this kernel",
	  "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, as distributions build it", false },
	{ "XDP", AT(xdp), LEVEL_FAIL, "programs load", "programs do not load",
	  "boot Linux 6.1 or later with CONFIG_BPF_SYSCALL=y", true },
	{ "tc", AT(tc), LEVEL_FAIL, "programs load", "programs do not load",
	  "boot a kernel with CONFIG_NET_CLS_BPF", true },
	{ "tcx", AT(tcx), LEVEL_OK, "tc programs attach by a link",
	  "not in this kernel: clsact does the same", "", true },
	{ "ring buffer", AT(ringbuf), LEVEL_FAIL, "new hellos reach the agent",
	  "not in this kernel", "boot Linux 6.1 or later", true },
	{ "mapped arrays", AT(mmap_array), LEVEL_FAIL, "tables are read in place",
	  "not in this kernel", "boot Linux 6.1 or later", true },
	{ "socket look-up", AT(skc_lookup), LEVEL_WARN, "proof by the socket table",
	  "not in this kernel: proof by the handshake only", "boot Linux 6.1 or later", true },
};

static void check_loops(struct exam *exam, const struct fg_probe *probe)
{
	struct check *c;

	if (probe->may_goto) {
		say(note(exam, LEVEL_OK, "hello loop"), "may_goto: the fast variant");
		return;
	}
	c = note(exam, probe->bpf_loop ? LEVEL_WARN : LEVEL_FAIL, "hello loop");
	if (probe->bpf_loop)
		say(c, "bpf_loop: reading a hello costs about three times as much");
	else
		say(c, "neither may_goto nor bpf_loop");
	cure(c, "boot Linux 6.9 or later");
}

static void check_kernel(struct exam *exam)
{
	struct fg_probe probe;
	int r = fg_probe_kernel(&probe);

	if (r < 0) {
		say(note(exam, LEVEL_FAIL, "kernel"), "cannot be asked: %s", strerror(-r));
		return;
	}
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		const struct feature *f = &features[i];
		bool has = *(const bool *)((const char *)&probe + f->offset);
		struct check *c;

		if (f->needs_bpf && !probe.bpf)
			continue;
		c = note(exam, has ? LEVEL_OK : f->without, f->name);
		say(c, "%s", has ? f->has : f->lacks);
		if (!has)
			cure(c, "%s", f->cure);
	}
	if (probe.bpf)
		check_loops(exam, &probe);
}

/* --- Interfaces ------------------------------------------------------------------------------ */

static void check_native(struct exam *exam, const char *name, const struct fg_probe_iface *iface)
{
	struct check *c;

	switch (iface->native) {
	case FG_PROBE_NATIVE_YES:
		say(note(exam, LEVEL_OK, name), "driver %s: native XDP",
		    iface->driver[0] ? iface->driver : "(unnamed)");
		break;
	case FG_PROBE_NATIVE_NO:
		c = note(exam, LEVEL_WARN, name);
		say(c, "driver %s: no native XDP, generic mode only (slower, same counts)",
		    iface->driver[0] ? iface->driver : "(unnamed)");
		cure(c, "attach to the physical device below it, or use a NIC with native XDP");
		break;
	default:
		say(note(exam, LEVEL_OK, name),
		    "driver %s: native XDP is tried, then generic; 'status' says which",
		    iface->driver[0] ? iface->driver : "(unnamed)");
	}
}

static void check_queues(struct exam *exam, const char *name, const struct fg_probe_iface *iface)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct check *c;

	if (!iface->rx_queues) {
		say(note(exam, LEVEL_OK, name), "MTU %u; number of queues not known", iface->mtu);
		return;
	}
	if (iface->rx_queues == 1 && iface->rx_queues_max > 1 && cpus > 1) {
		c = note(exam, LEVEL_WARN, name);
		say(c, "MTU %u; one receive queue in use of %u: one CPU of %ld does all the work",
		    iface->mtu, iface->rx_queues_max, cpus);
		cure(c, "ethtool -L %s %s %ld", name, iface->queues_combined ? "combined" : "rx",
		     (long)iface->rx_queues_max < cpus ? (long)iface->rx_queues_max : cpus);
		return;
	}
	say(note(exam, LEVEL_OK, name), "MTU %u; receive queues: %u, CPUs: %u", iface->mtu,
	    iface->rx_queues, (unsigned int)cpus);
}

static void check_present(struct exam *exam, const char *name, const struct fg_probe_iface *iface)
{
	struct check *c;

	if (!iface->xdp_prog)
		return;
	if (!strncmp(iface->xdp_name, "fg_", 3)) {
		say(note(exam, LEVEL_OK, name), "farmgate is attached, %s mode", iface->xdp_mode);
		return;
	}
	c = note(exam, LEVEL_FAIL, name);
	say(c, "another XDP program is there (%s, id %u, %s): it is never replaced",
	    iface->xdp_name[0] ? iface->xdp_name : "unnamed", iface->xdp_prog, iface->xdp_mode);
	cure(c, "remove it ('ip link set dev %s xdp off') or attach with --attach tc", name);
}

static void check_interface(struct exam *exam, const char *name)
{
	struct fg_probe_iface iface;
	struct check *c;
	int r = fg_probe_iface(name, &iface);

	if (r < 0) {
		c = note(exam, LEVEL_FAIL, name);
		say(c, "%s", r == -ENODEV || r == -EINVAL ? "no such interface" : strerror(-r));
		cure(c, "'ip link' lists them");
		return;
	}
	if (!iface.up) {
		c = note(exam, LEVEL_WARN, name);
		say(c, "the interface is down");
		cure(c, "ip link set dev %s up", name);
	}
	check_native(exam, name, &iface);
	check_queues(exam, name, &iface);
	if (iface.lro) {
		c = note(exam, LEVEL_WARN, name);
		say(c,
		    "LRO is on: it merges segments before they are seen, and native XDP refuses it");
		cure(c, "ethtool -K %s lro off", name);
	}
	check_present(exam, name, &iface);
}

/* Named ones, else those of the configuration, else every one that is up but the loopback. */
static void check_interfaces(struct exam *exam, const struct fg_conf *conf, int argc, char **argv)
{
	struct if_nameindex *all;

	for (int i = 0; i < argc; i++)
		check_interface(exam, argv[i]);
	for (size_t i = 0; !argc && i < conf->n_interfaces; i++)
		check_interface(exam, conf->interfaces[i]);
	if (argc || conf->n_interfaces)
		return;
	all = if_nameindex();
	for (size_t i = 0; all && all[i].if_name; i++) {
		struct fg_probe_iface iface;

		if (strcmp(all[i].if_name, "lo") && fg_probe_iface(all[i].if_name, &iface) == 0 &&
		    iface.up)
			check_interface(exam, all[i].if_name);
	}
	if_freenameindex(all);
}

/* --- Table of networks ------------------------------------------------------------------------ */

static void check_networks(struct exam *exam, const struct fg_conf *conf)
{
	char text[sizeof(exam->checks[0].text)] = "";
	struct check *c;
	int r;

	if (!conf->asn_file) {
		say(note(exam, LEVEL_OK, "networks"),
		    "no table (asn.file): prefixes stand in for networks, homes are not told from "
		    "data centres, no country's day is known");
		return;
	}
	r = fg_core_try_networks(conf->asn_file, text, sizeof(text));
	c = note(exam, r < 0 ? LEVEL_FAIL : r ? LEVEL_WARN : LEVEL_OK, "networks");
	say(c, "%s", text);
	if (r)
		cure(c, "put asn.file right ('farmgate check-config' names what is wrong with it)");
}

/* --- Pins ------------------------------------------------------------------------------------- */

static void check_dead(struct exam *exam, const char *dir, const struct fg_probe_pins *pins)
{
	struct check *c = note(exam, LEVEL_WARN, "pins");

	if (pins->known)
		say(c,
		    "%.90s: an agent that ended %.0f s ago left %u links in place and %llu blocks that "
		    "hold",
		    dir, (double)pins->away_ns / 1e9, pins->links,
		    (unsigned long long)pins->blocks);
	else
		say(c, "%.90s: an agent of another version left %u links in place", dir,
		    pins->links);
	cure(c, "start the agent, which takes them over; or detach: rm -r %.60s%s", dir,
	     pins->filters);
}

/* What outlives an agent that is killed. */
static void check_pins(struct exam *exam, const struct fg_conf *conf)
{
	struct fg_probe_pins pins;
	struct check *c;
	int r;

	if (!conf->pins) {
		say(note(exam, LEVEL_OK, "pins"), "none: blocks end when the agent dies");
		return;
	}
	r = fg_probe_pins(conf->pins, &pins);
	if (r == -ENOENT) {
		say(note(exam, LEVEL_OK, "pins"), "nothing is pinned at %.120s", conf->pins);
	} else if (r) {
		c = note(exam, LEVEL_WARN, "pins");
		say(c, "%.90s: %s", conf->pins,
		    r == -ENOTSUP ? "no bpf file system, so blocks end when the agent dies" :
				    strerror(-r));
		cure(c, "%s",
		     r == -EACCES ? "run as root" : "mount -t bpf bpf /sys/fs/bpf, or set 'pins'");
	} else if (pins.agent) {
		say(note(exam, LEVEL_OK, "pins"), "%.90s: a running agent's, %u links, %llu blocks",
		    conf->pins, pins.links, (unsigned long long)pins.blocks);
	} else {
		check_dead(exam, conf->pins, &pins);
	}
}

/* --- A running agent -------------------------------------------------------------------------- */

/* What the agent itself finds degraded: LRO, generic mode, missing proof, one balancer in front. */
static void check_degraded(struct exam *exam, const char *body)
{
	json_t *status = json_loads(body, 0, NULL), *text;
	size_t i;

	if (!status) {
		say(note(exam, LEVEL_WARN, "agent"), "its status is no JSON");
		return;
	}
	json_array_foreach(json_object_get(status, "degraded"), i, text)
		say(note(exam, LEVEL_WARN, "agent"), "%s", json_string_value(text) ?: "?");
	if (!i)
		say(note(exam, LEVEL_OK, "agent"), "runs, nothing degraded");
	json_decref(status);
}

static void check_agent(struct exam *exam, const char *socket_path)
{
	struct fg_client_answer answer = {};
	char why[256] = "";
	struct check *c;
	int r;

	r = fg_client_request(socket_path, "GET", "/v1/status", NULL, &answer, why, sizeof(why));
	if (r == -ENOENT || r == -ECONNREFUSED) {
		say(note(exam, LEVEL_OK, "agent"), "none runs at %.150s", socket_path);
		return;
	}
	if (r < 0) {
		c = note(exam, LEVEL_WARN, "agent");
		say(c, "%.80s: %.110s", socket_path, why);
		if (r == -EACCES)
			cure(c, "run as root");
		return;
	}
	check_degraded(exam, answer.body);
	free(answer.body);
}

/* --- Report ---------------------------------------------------------------------------------- */

static void print_json(const struct exam *exam)
{
	struct fg_jsonw w;

	fg_jsonw_init(&w, stdout);
	fg_jsonw_object(&w);
	fg_jsonw_key_bool(&w, "ok", exam->worst == LEVEL_OK);
	fg_jsonw_key(&w, "checks");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < exam->n; i++) {
		const struct check *c = &exam->checks[i];

		fg_jsonw_object(&w);
		fg_jsonw_key_string(&w, "check", c->name);
		fg_jsonw_key_string(&w, "level", level_names[c->level]);
		fg_jsonw_key_string(&w, "text", c->text);
		if (c->cure[0])
			fg_jsonw_key_string(&w, "cure", c->cure);
		fg_jsonw_object_end(&w);
	}
	fg_jsonw_array_end(&w);
	fg_jsonw_key_u64(&w, "total", exam->n);
	fg_jsonw_object_end(&w);
	fg_jsonw_finish(&w);
}

static void print_lines(const struct exam *exam, bool tsv)
{
	if (tsv)
		puts("#level\tcheck\ttext\tcure");
	for (size_t i = 0; i < exam->n; i++) {
		const struct check *c = &exam->checks[i];

		if (tsv) {
			printf("%s\t%s\t%s\t%s\n", level_names[c->level], c->name, c->text,
			       c->cure);
			continue;
		}
		printf("%-4s  %-15s %s\n", level_names[c->level], c->name, c->text);
		if (c->cure[0])
			printf("      %-15s cure: %s\n", "", c->cure);
	}
}

int fg_cmd_doctor(struct fg_options *o, int argc, char **argv)
{
	struct exam *exam = calloc(1, sizeof(*exam));
	struct fg_conf conf;
	enum level worst;
	int r;

	if (!exam) {
		fg_complain("doctor", "no memory");
		return FG_EXIT_ERROR;
	}
	r = fg_options_conf(o, &conf);
	if (!r) {
		check_kernel(exam);
		check_interfaces(exam, &conf, argc, argv);
		check_networks(exam, &conf);
		check_pins(exam, &conf);
		check_agent(exam, conf.socket_path);
		if (o->format == FG_FORMAT_JSON)
			print_json(exam);
		else
			print_lines(exam, o->format == FG_FORMAT_TSV);
	}
	worst = exam->worst;
	fg_conf_done(&conf);
	free(exam);
	return r ? r : worst == LEVEL_OK ? FG_EXIT_OK : FG_EXIT_DEGRADED;
}
