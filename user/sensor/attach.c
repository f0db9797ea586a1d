/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sensor/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "sensor/probe.h"

/* tcx (kernel 6.6); Debian 12's headers are older. */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47
#define LINK_TYPE_TCX	   11
#define TC_HANDLE	   0xfa46 /* ours, fixed, so that a restart replaces its own filter */
/* Programs on one hook; the kernel allows 64. */
#define MAX_TCX_PROGS 64

__attribute__((format(printf, 3, 4))) static void say(const struct fg_attacher *at, bool worse,
						      const char *fmt, ...)
{
	char text[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	at->say(at->arg, worse, text);
}

/* --- Pinned links ----------------------------------------------------------------------------- */

static void keep_link(const struct fg_attacher *at, struct fg_attached *a, enum fg_pins_kind kind,
		      int fd)
{
	int r = at->pins ? fg_pins_put_link(at->pins, kind, a->ifindex, fd) : 0;

	if (r)
		say(at, true, "%s: its link cannot be pinned (%s): blocks end with the agent",
		    a->name, strerror(-r));
}

static void hold(struct fg_attached *a, enum fg_pins_kind kind, int fd, bool found)
{
	if (kind == FG_PINS_TCX_OUT) {
		a->egress_link = fd;
		a->egress_found = found;
		return;
	}
	a->ingress_link = fd;
	a->ingress_kind = kind;
	a->ingress_found = found;
}

static enum bpf_attach_type hook_of(enum fg_pins_kind kind)
{
	/* not in the enum of older headers */
	return (enum bpf_attach_type)(kind == FG_PINS_TCX_OUT ? ATTACH_TCX_EGRESS :
								ATTACH_TCX_INGRESS);
}

/* Does a program of this id sit at this interface, in this network namespace? An index alone is no
 * interface: each namespace counts its own. */
static bool sits_here(const struct fg_attached *a, enum fg_pins_kind kind, __u32 prog_id)
{
	__u32 ids[MAX_TCX_PROGS], n = MAX_TCX_PROGS;
	struct fg_probe_iface iface;

	if (kind == FG_PINS_XDP)
		return !fg_probe_iface(a->name, &iface) && iface.xdp_prog == prog_id;
	if (bpf_prog_query((int)a->ifindex, hook_of(kind), 0, NULL, ids, &n))
		return false;
	for (__u32 i = 0; i < n && i < MAX_TCX_PROGS; i++)
		if (ids[i] == prog_id)
			return true;
	return false;
}

static bool is_ours(const struct fg_attached *a, enum fg_pins_kind kind, int fd)
{
	struct bpf_link_info info = { 0 };
	__u32 n = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &n))
		return false;
	if (info.type != (kind == FG_PINS_XDP ? BPF_LINK_TYPE_XDP : LINK_TYPE_TCX))
		return false;
	/* the index lies at the same place for tcx; 0 where the interface is gone */
	return info.xdp.ifindex == a->ifindex && sits_here(a, kind, info.prog_id);
}

/* The link that an agent before us pinned, as it is; one that is of no use is taken away.
 * @return descriptor, -ENOENT. */
static int find_link(const struct fg_attacher *at, const struct fg_attached *a,
		     enum fg_pins_kind kind)
{
	_cleanup_close_ int fd = at->pins ? fg_pins_link(at->pins, kind, a->ifindex) : -ENOENT;

	if (fd < 0)
		return -ENOENT;
	if (is_ours(a, kind, fd))
		return FG_TAKE_FD(fd);
	say(at, false,
	    "%s: a pinned link was of another interface or network namespace, and is taken away",
	    a->name);
	fg_pins_drop_link(at->pins, kind, a->ifindex);
	return -ENOENT;
}

/* Puts our program in place of the one in the link, between two frames. @return 0; -ENOENT where there
 * is no such link, or no longer. */
static int take_over(const struct fg_attacher *at, struct fg_attached *a, enum fg_pins_kind kind,
		     int prog_fd)
{
	_cleanup_close_ int fd = find_link(at, a, kind);

	if (fd < 0)
		return fd;
	if (bpf_link_update(fd, prog_fd, NULL)) {
		say(at, false,
		    "%s: the program cannot be replaced in place (%s): attached anew, frames pass "
		    "in between",
		    a->name, strerror(errno));
		fg_pins_drop_link(at->pins, kind, a->ifindex);
		return -ENOENT;
	}
	hold(a, kind, FG_TAKE_FD(fd), true);
	return 0;
}

/* --- XDP -------------------------------------------------------------------------------------- */

static const char *mode_name(bool native)
{
	return native ? "native" : "generic";
}

/* The mode of a link is chosen when it is made. */
static int take_over_xdp(const struct fg_attacher *at, struct fg_attached *a,
			 enum fg_sensor_mode mode)
{
	_cleanup_close_ int fd = find_link(at, a, FG_PINS_XDP);
	struct fg_probe_iface iface;
	bool native;
	int r;

	if (fd < 0)
		return fd;
	r = fg_probe_iface(a->name, &iface);
	if (r)
		return r;
	native = !strcmp(iface.xdp_mode, "native");
	if ((mode == FG_SENSOR_NATIVE && !native) || (mode == FG_SENSOR_GENERIC && native)) {
		say(at, false,
		    "%s: was attached in %s mode: attached anew in %s mode, frames pass in between",
		    a->name, mode_name(native), mode_name(!native));
		fg_pins_drop_link(at->pins, FG_PINS_XDP, a->ifindex);
		return -ENOENT;
	}
	r = take_over(at, a, FG_PINS_XDP, at->xdp_fd);
	if (!r)
		a->mode = mode_name(native);
	return r;
}

/* XDP by a link: it goes with its last holder, never with somebody else's program. */
static int make_xdp(const struct fg_attacher *at, struct fg_attached *a, bool native)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(at->xdp_fd, (int)a->ifindex, BPF_XDP, &opts);

	if (fd < 0)
		return -errno;
	hold(a, FG_PINS_XDP, fd, false);
	a->mode = mode_name(native);
	keep_link(at, a, FG_PINS_XDP, fd);
	return 0;
}

/* --- tc --------------------------------------------------------------------------------------- */

static bool clsact_find(const struct fg_attached *a, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = FG_TC_PRIORITY);

	return !bpf_tc_query(&hook, &opts);
}

static void clsact_detach(const struct fg_attached *a, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = FG_TC_PRIORITY);

	bpf_tc_detach(&hook, &opts);
}

/* Did an agent before us make the qdisc, and not take it away? */
static bool clsact_was_made(const struct fg_attacher *at, const struct fg_attached *a)
{
	const struct fg_pins_stamp *before = at->pins ? fg_pins_before(at->pins) : NULL;

	for (uint32_t i = 0; before && i < before->n_at && i < FG_MAX_IFACES; i++)
		if (before->at[i].ifindex == a->ifindex && before->at[i].clsact_made)
			return true;
	return false;
}

/* A filter with our handle, in place of one that an agent before us left. */
static int clsact_attach(const struct fg_attacher *at, struct fg_attached *a, int prog_fd,
			 enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = FG_TC_PRIORITY,
		    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	bool found = clsact_find(a, point);
	int r = bpf_tc_hook_create(&hook);

	if (r && r != -EEXIST)
		return r;
	a->clsact_made |= r == 0 || clsact_was_made(at, a);
	r = bpf_tc_attach(&hook, &opts);
	if (r)
		return r;
	if (point == BPF_TC_EGRESS) {
		a->clsact_egress = true;
		a->egress_found = found;
	} else {
		a->clsact_ingress = true;
		a->ingress_found = found;
	}
	if (found)
		say(at, false, "%s: a filter of an agent before this one is replaced", a->name);
	return 0;
}

/* By a tcx link where the kernel has it, else by a clsact filter. */
static int attach_tc(const struct fg_attacher *at, struct fg_attached *a, int prog_fd,
		     enum bpf_tc_attach_point point)
{
	enum fg_pins_kind kind = point == BPF_TC_EGRESS ? FG_PINS_TCX_OUT : FG_PINS_TCX_IN;
	int fd;

	if (!at->tcx)
		return clsact_attach(at, a, prog_fd, point);
	if (!take_over(at, a, kind, prog_fd))
		return 0;
	fd = bpf_link_create(prog_fd, (int)a->ifindex, hook_of(kind), NULL);
	if (fd < 0) {
		say(at, false, "%s: a tcx link is refused (%s): clsact instead", a->name,
		    strerror(errno));
		return clsact_attach(at, a, prog_fd, point);
	}
	hold(a, kind, fd, false);
	keep_link(at, a, kind, fd);
	return 0;
}

/* --- An interface ----------------------------------------------------------------------------- */

/* Filters with our handle where another way is used now: frames would count twice. */
static void drop_old_filters(const struct fg_attacher *at, const struct fg_attached *a, bool egress)
{
	if (!a->clsact_ingress && clsact_find(a, BPF_TC_INGRESS)) {
		clsact_detach(a, BPF_TC_INGRESS);
		say(at, false, "%s: a filter of an agent before this one is taken away", a->name);
	}
	if ((!egress || !a->clsact_egress) && clsact_find(a, BPF_TC_EGRESS)) {
		clsact_detach(a, BPF_TC_EGRESS);
		say(at, false, "%s: a reply filter of an agent before this one is taken away",
		    a->name);
	}
}

static int refuse_other(const struct fg_attached *a, char *why, size_t n_why)
{
	struct fg_probe_iface iface;

	if (fg_probe_iface(a->name, &iface) || !iface.xdp_prog)
		return 0;
	snprintf(why, n_why,
		 "%s: XDP program %u (%s) is there already and is never replaced (take it off "
		 "with 'ip link set dev %s xdp off', or use --attach tc)",
		 a->name, iface.xdp_prog, iface.xdp_name[0] ? iface.xdp_name : "no name", a->name);
	return -EBUSY;
}

static int attach_ingress(const struct fg_attacher *at, struct fg_attached *a,
			  enum fg_sensor_mode mode, char *why, size_t n_why)
{
	int r = mode == FG_SENSOR_TC ? -ENOENT : take_over_xdp(at, a, mode);

	if (!r)
		return 0;
	if (mode != FG_SENSOR_TC) {
		r = refuse_other(a, why, n_why);
		if (r)
			return r;
	}
	r = -ENOTSUP;
	if (mode == FG_SENSOR_AUTO || mode == FG_SENSOR_NATIVE)
		r = make_xdp(at, a, true);
	if (mode == FG_SENSOR_GENERIC || (mode == FG_SENSOR_AUTO && r && r != -EBUSY))
		r = make_xdp(at, a, false);
	if (mode == FG_SENSOR_TC || (mode == FG_SENSOR_AUTO && r && r != -EBUSY)) {
		r = attach_tc(at, a, at->tc_fd, BPF_TC_INGRESS);
		if (!r)
			a->mode = "tc";
	}
	if (r)
		snprintf(why, n_why, "%s: cannot attach: %s", a->name,
			 r == -EBUSY ? "another program is there and is never replaced" :
				       strerror(-r));
	return r;
}

int fg_attach(const struct fg_attacher *at, struct fg_attached *a, enum fg_sensor_mode mode,
	      bool egress, char *why, size_t n_why)
{
	int r = attach_ingress(at, a, mode, why, n_why);

	if (r)
		return r;
	if (strcmp(a->mode, "native"))
		say(at, true,
		    "%s: attached in %s mode (the driver has no native XDP, or it was not "
		    "asked for): slower, frames cost a socket buffer first",
		    a->name, a->mode);
	if (egress) {
		r = attach_tc(at, a, at->egress_fd, BPF_TC_EGRESS);
		if (r)
			snprintf(why, n_why, "%s: cannot attach to the reply direction: %s",
				 a->name, strerror(-r));
	}
	if (!r)
		drop_old_filters(at, a, egress);
	return r;
}

static void undo_ingress(const struct fg_attacher *at, struct fg_attached *a)
{
	if (a->ingress_link >= 0) {
		bpf_link_detach(a->ingress_link);
		close(a->ingress_link);
		if (at->pins)
			fg_pins_drop_link(at->pins, a->ingress_kind, a->ifindex);
	}
	if (a->clsact_ingress)
		clsact_detach(a, BPF_TC_INGRESS);
	a->ingress_link = -1;
	a->clsact_ingress = false;
}

static void undo_egress(const struct fg_attacher *at, struct fg_attached *a)
{
	if (a->egress_link >= 0) {
		bpf_link_detach(a->egress_link);
		close(a->egress_link);
		if (at->pins)
			fg_pins_drop_link(at->pins, FG_PINS_TCX_OUT, a->ifindex);
	}
	if (a->clsact_egress)
		clsact_detach(a, BPF_TC_EGRESS);
	a->egress_link = -1;
	a->clsact_egress = false;
}

void fg_attach_undo(const struct fg_attacher *at, struct fg_attached *a)
{
	undo_ingress(at, a);
	undo_egress(at, a);
	if (a->clsact_made) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)a->ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_tc_hook_destroy(&hook);
	}
	a->clsact_made = false;
}

void fg_attach_undo_new(const struct fg_attacher *at, struct fg_attached *a)
{
	if (!a->ingress_found && !a->egress_found) {
		fg_attach_undo(at, a);
		return;
	}
	if (!a->ingress_found)
		undo_ingress(at, a);
	if (!a->egress_found)
		undo_egress(at, a);
	fg_attach_leave(a);
}

void fg_attach_leave(struct fg_attached *a)
{
	if (a->ingress_link >= 0)
		close(a->ingress_link);
	if (a->egress_link >= 0)
		close(a->egress_link);
	a->ingress_link = a->egress_link = -1;
	a->clsact_ingress = a->clsact_egress = a->clsact_made = false;
}

/* --- Links of nobody -------------------------------------------------------------------------- */

struct sweep {
	const struct fg_attacher *at;
	const struct fg_attached *all;
	size_t n;
};

static void drop_unused(void *arg, enum fg_pins_kind kind, unsigned int ifindex)
{
	const struct sweep *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		const struct fg_attached *a = &s->all[i];
		bool held = kind == FG_PINS_TCX_OUT ?
				    a->egress_link >= 0 :
				    a->ingress_link >= 0 && a->ingress_kind == kind;

		if (a->ifindex == ifindex && held)
			return;
	}
	fg_pins_drop_link(s->at->pins, kind, ifindex);
	say(s->at, false, "interface %u: a link that an agent before this one pinned is taken away",
	    ifindex);
}

void fg_attach_sweep(const struct fg_attacher *at, const struct fg_attached *all, size_t n)
{
	struct sweep s = { at, all, n };

	if (at->pins)
		fg_pins_each_link(at->pins, drop_unused, &s);
}
