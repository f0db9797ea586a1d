/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this kernel and these interfaces can do, found by trying and never by version number.
 * Nothing is attached, created under a name or changed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fg_probe {
	/* this process; CAP_SYS_ADMIN stands for each */
	bool bpf, net_admin, perfmon;
	bool btf; /* /sys/kernel/btf/vmlinux can be read */
	bool bpffs; /* /sys/fs/bpf is a bpf file system */
	/* this kernel; all false without CAP_BPF, since nothing can be tried then */
	bool xdp; /* XDP programs load */
	bool tc; /* tc classifiers load */
	bool may_goto; /* the instruction is accepted (6.9) */
	bool bpf_loop; /* the helper is there (5.17) */
	bool tcx; /* tc programs attach by a link (6.6) */
	bool ringbuf;
	bool mmap_array; /* arrays that user space maps */
	bool skc_lookup; /* XDP may look into the socket table */
};

/** @return 0; -errno only where asking itself fails. */
int fg_probe_kernel(struct fg_probe *ret_probe);

enum fg_probe_native {
	FG_PROBE_NATIVE_UNKNOWN, /* neither the kernel nor our list of drivers says */
	FG_PROBE_NATIVE_NO,
	FG_PROBE_NATIVE_YES,
};

struct fg_probe_iface {
	unsigned int ifindex;
	char driver[32]; /* "" where the device names none */
	bool up;
	uint32_t mtu;
	uint32_t rx_queues, tx_queues; /* in use; 0 = not known */
	uint32_t rx_queues_max; /* 0 = not known */
	bool queues_combined; /* receive and transmit come in pairs */
	bool lro; /* receive offload that XDP can't see through */
	enum fg_probe_native native; /* native XDP */
	uint32_t xdp_prog; /* id of the XDP program that sits there; 0 = none */
	char xdp_mode[8]; /* its mode: native, generic, hw, several; "" = none */
	char xdp_name[16]; /* its name; "" = none or not readable */
};

/** @return 0, -ENODEV, -EINVAL for a name that can't be one, -errno. */
int fg_probe_iface(const char *name, struct fg_probe_iface *ret_iface);

/* What agents keep in the folder of pins. */
struct fg_probe_pins {
	bool agent; /* a live one has it */
	uint32_t links;
	bool known; /* of this version; what follows is known */
	uint64_t blocks; /* that hold now */
	uint64_t away_ns; /* since an agent was last alive */
	char filters[160]; /* commands that take tc filters away, which rm does not; "" = there are none */
};

/** @return 0, -ENOENT where nothing is pinned, -ENOTSUP where no bpf file system is there, -errno. */
int fg_probe_pins(const char *dir, struct fg_probe_pins *ret_pins);
