/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Owns: finding out what kernel and interfaces can do. Each kernel feature is tried with the
 * smallest program, map or query that needs it; file descriptors are closed again at once.
 * Must not: attach, pin or change anything, and never look at version numbers (distributions
 * backport).
 */
#include "sensor/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "lib/mem.h"
#include "sensor/attach.h"
#include "sensor/pins.h"

#ifndef ETH_FLAG_LRO
#define ETH_FLAG_LRO (1U << 15)
#endif

/* Values that the headers of the oldest supported distribution do not have yet. */
#define PROBE_OP_MAY_GOTO 0xe5 /* BPF_JMP | BPF_JCOND */
#define PROBE_TCX_INGRESS 46
/* linux/netdev.h: family "netdev", which tells each device's XDP features. */
#define PROBE_NETDEV_CMD_DEV_GET    1
#define PROBE_NETDEV_A_IFINDEX	    1
#define PROBE_NETDEV_A_XDP_FEATURES 3
#define PROBE_NETDEV_XDP_BASIC	    1ULL

/* --- Capabilities ---------------------------------------------------------------------------- */

static int probe_capabilities(struct fg_probe *probe)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	uint64_t caps, admin;

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	caps = data[0].effective | (uint64_t)data[1].effective << 32;
	admin = caps >> CAP_SYS_ADMIN & 1;
	probe->net_admin = caps >> CAP_NET_ADMIN & 1;
	probe->bpf = admin || caps >> CAP_BPF & 1;
	probe->perfmon = admin || caps >> CAP_PERFMON & 1;
	return 0;
}

/* --- Programs and maps ----------------------------------------------------------------------- */

static bool loads(enum bpf_prog_type type, const struct bpf_insn *insns, size_t n)
{
	_cleanup_close_ int fd = bpf_prog_load(type, NULL, "GPL", insns, n, NULL);

	return fd >= 0;
}

static bool probe_may_goto(void)
{
	/* while (may_goto) ; return 0. Kernels that don't know the opcode refuse it. */
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = PROBE_OP_MAY_GOTO, .off = 1 },
		{ .code = BPF_JMP | BPF_JA, .off = -2 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return loads(BPF_PROG_TYPE_XDP, insns, sizeof(insns) / sizeof(insns[0]));
}

/* Asks what is attached to the loopback's tcx hook: kernels without tcx do not know the question.
 * Loading says nothing, older kernels ignore the attach type there. */
static bool probe_tcx(void)
{
	__u32 n = 0;
	int r;

	r = bpf_prog_query((int)if_nametoindex("lo"), PROBE_TCX_INGRESS, 0, NULL, NULL, &n);
	return r == 0 || r == -ENOENT;
}

static bool probe_mmap_array(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	_cleanup_close_ int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "fg_probe", 4, 8, 1, &opts);
	long page = sysconf(_SC_PAGESIZE);
	void *p;

	if (fd < 0)
		return false;
	p = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return false;
	munmap(p, (size_t)page);
	return true;
}

static bool has_helper(enum bpf_prog_type type, enum bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(type, helper, NULL) == 1;
}

int fg_probe_kernel(struct fg_probe *ret_probe)
{
	struct fg_probe probe = {};
	struct statfs fs;
	int r;

	r = probe_capabilities(&probe);
	if (r < 0)
		return r;
	probe.btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	probe.bpffs = statfs("/sys/fs/bpf", &fs) == 0 && (__u32)fs.f_type == BPF_FS_MAGIC;
	/* Without the capability libbpf takes the refusal for "not unknown". */
	if (!probe.bpf)
		goto out;
	probe.xdp = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, NULL) == 1;
	probe.tc = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, NULL) == 1;
	probe.may_goto = probe_may_goto();
	probe.bpf_loop = has_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_loop);
	probe.skc_lookup = has_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_skc_lookup_tcp) &&
			   has_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_skc_to_tcp_sock);
	probe.tcx = probe_tcx();
	probe.ringbuf = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) == 1;
	probe.mmap_array = probe_mmap_array();
out:
	*ret_probe = probe;
	return 0;
}

/* --- Generic netlink: one question, one answer ------------------------------------------------ */

struct question {
	struct nlmsghdr head;
	struct genlmsghdr genl;
	char attrs[64];
};

static void put_attr(struct question *q, uint16_t type, const void *data, size_t n)
{
	struct nlattr attr = { .nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = type };
	char *at = (char *)q + q->head.nlmsg_len;

	memcpy(at, &attr, sizeof(attr));
	memcpy(at + NLA_HDRLEN, data, n);
	q->head.nlmsg_len += (uint32_t)NLA_ALIGN(NLA_HDRLEN + n);
}

static struct question question_of(uint16_t family, uint8_t cmd)
{
	struct question q = {
		.head = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
			  .nlmsg_type = family,
			  .nlmsg_flags = NLM_F_REQUEST },
		.genl = { .cmd = cmd, .version = 1 },
	};

	return q;
}

/** Sends q and copies attribute `type` of the first answer. @return 0, -ENODATA, -errno. */
static int ask(int fd, const struct question *q, uint16_t type, void *ret_value, size_t n)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	const struct nlmsghdr *head = (const void *)buf;
	size_t at, end;
	ssize_t got;

	if (send(fd, q, q->head.nlmsg_len, 0) < 0)
		return -errno;
	got = recv(fd, buf, sizeof(buf), 0);
	if (got < 0)
		return -errno;
	if (!NLMSG_OK(head, (size_t)got))
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(head);

		return head->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error :
										 -EBADMSG;
	}
	end = head->nlmsg_len;
	for (at = NLMSG_LENGTH(GENL_HDRLEN); at + NLA_HDRLEN <= end;) {
		struct nlattr attr;

		memcpy(&attr, buf + at, sizeof(attr));
		if (attr.nla_len < NLA_HDRLEN || at + attr.nla_len > end)
			return -EBADMSG;
		if ((attr.nla_type & NLA_TYPE_MASK) == type && attr.nla_len >= NLA_HDRLEN + n) {
			memcpy(ret_value, buf + at + NLA_HDRLEN, n);
			return 0;
		}
		at += NLA_ALIGN(attr.nla_len);
	}
	return -ENODATA;
}

/* XDP features as the kernel tells them (6.3 and later). @return 0, -ENOENT without the family. */
static int netdev_xdp_features(unsigned int ifindex, uint64_t *ret_features)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	struct timeval patience = { .tv_sec = 2 };
	struct question q;
	uint16_t family;
	int r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	q = question_of(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	put_attr(&q, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof("netdev"));
	r = ask(fd, &q, CTRL_ATTR_FAMILY_ID, &family, sizeof(family));
	if (r < 0)
		return r;
	q = question_of(family, PROBE_NETDEV_CMD_DEV_GET);
	put_attr(&q, PROBE_NETDEV_A_IFINDEX, &ifindex, sizeof(ifindex));
	return ask(fd, &q, PROBE_NETDEV_A_XDP_FEATURES, ret_features, sizeof(*ret_features));
}

/* --- Interfaces ------------------------------------------------------------------------------ */

/* For kernels that don't tell: drivers whose native XDP is long established, and software devices
 * that have none. Any other is unknown. */
static enum fg_probe_native native_by_driver(const char *driver)
{
	static const char *const yes[] = { "veth", "virtio_net", "ixgbe",     "i40e",	 "ice",
					   "igb",  "igc",	 "mlx5_core", "mlx4_en", "bnxt_en",
					   "ena",  "tun",	 "hv_netvsc", "nfp",	 "qede",
					   "sfc",  "mvneta",	 "bonding" };
	static const char *const no[] = { "dummy",     "bridge", "802.1Q VLAN Support",
					  "vxlan",     "ipvlan", "macvlan",
					  "wireguard", "e1000",	 "e1000e",
					  "8139cp",    "r8169",	 "team" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!strcmp(driver, yes[i]))
			return FG_PROBE_NATIVE_YES;
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (!strcmp(driver, no[i]))
			return FG_PROBE_NATIVE_NO;
	return FG_PROBE_NATIVE_UNKNOWN;
}

static int ethtool(int fd, struct ifreq *req, void *cmd)
{
	req->ifr_data = cmd;
	return ioctl(fd, SIOCETHTOOL, req) < 0 ? -errno : 0;
}

static void probe_queues(int fd, struct ifreq *req, struct fg_probe_iface *iface)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };

	if (ethtool(fd, req, &channels) < 0)
		return;
	iface->rx_queues = channels.rx_count + channels.combined_count;
	iface->tx_queues = channels.tx_count + channels.combined_count;
	iface->rx_queues_max = channels.max_rx + channels.max_combined;
	iface->queues_combined = channels.max_combined > 0;
}

static void probe_xdp(struct fg_probe_iface *iface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	static const char *const modes[] = { "", "native", "generic", "hw", "several" };
	struct bpf_prog_info info = {};
	__u32 n = sizeof(info);
	__u32 id;

	if (bpf_xdp_query((int)iface->ifindex, 0, &opts) < 0)
		return;
	if (opts.attach_mode >= sizeof(modes) / sizeof(modes[0]))
		return;
	id = opts.prog_id;
	if (!id)
		id = opts.drv_prog_id ?: opts.skb_prog_id ?: opts.hw_prog_id;
	iface->xdp_prog = id;
	snprintf(iface->xdp_mode, sizeof(iface->xdp_mode), "%s", modes[opts.attach_mode]);
	if (!id)
		return;
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &n) == 0)
		snprintf(iface->xdp_name, sizeof(iface->xdp_name), "%s", info.name);
}

int fg_probe_iface(const char *name, struct fg_probe_iface *ret_iface)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };
	struct fg_probe_iface iface = {};
	struct ifreq req = {};
	uint64_t features;

	if (!*name || strlen(name) >= sizeof(req.ifr_name))
		return -EINVAL;
	if (fd < 0)
		return -errno;
	memcpy(req.ifr_name, name, strlen(name));
	iface.ifindex = if_nametoindex(name);
	if (!iface.ifindex)
		return -ENODEV;
	if (ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	iface.up = req.ifr_flags & IFF_UP;
	if (ioctl(fd, SIOCGIFMTU, &req) < 0)
		return -errno;
	iface.mtu = (uint32_t)req.ifr_mtu;
	/* Devices without these answers keep the zeros: not known. */
	if (ethtool(fd, &req, &driver) == 0)
		snprintf(iface.driver, sizeof(iface.driver), "%.31s", driver.driver);
	if (ethtool(fd, &req, &flags) == 0)
		iface.lro = flags.data & ETH_FLAG_LRO;
	probe_queues(fd, &req, &iface);
	if (netdev_xdp_features(iface.ifindex, &features) == 0)
		iface.native = features & PROBE_NETDEV_XDP_BASIC ? FG_PROBE_NATIVE_YES :
								   FG_PROBE_NATIVE_NO;
	else
		iface.native = native_by_driver(iface.driver);
	probe_xdp(&iface);
	*ret_iface = iface;
	return 0;
}

/* --- Pins ------------------------------------------------------------------------------------- */

static void tell_filter(struct fg_probe_pins *pins, const char *name, const char *hook)
{
	size_t n = strlen(pins->filters);

	snprintf(pins->filters + n, sizeof(pins->filters) - n,
		 "; tc filter del dev %.15s %s pref %d", name, hook, FG_TC_PRIORITY);
}

int fg_probe_pins(const char *dir, struct fg_probe_pins *ret_pins)
{
	struct fg_pins_look look;
	int r = fg_pins_look(dir, &look);

	if (r)
		return r;
	*ret_pins = (struct fg_probe_pins){ .agent = look.locked,
					    .links = look.n_links,
					    .known = look.readable,
					    .blocks = look.n_blocks };
	if (look.now_ticks > look.heartbeat_ticks)
		ret_pins->away_ns = (look.now_ticks - look.heartbeat_ticks) * look.tick_ns;
	for (uint32_t i = 0; i < look.stamp.n_at && i < FG_MAX_IFACES; i++) {
		if (look.stamp.at[i].clsact_in)
			tell_filter(ret_pins, look.stamp.at[i].name, "ingress");
		if (look.stamp.at[i].clsact_out)
			tell_filter(ret_pins, look.stamp.at[i].name, "egress");
	}
	return 0;
}
