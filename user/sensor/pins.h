/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The folder in the bpf file system in which maps and links outlive the agent. Whoever has it open
 * has it alone. Knows files and what may be reused; attaches nothing, reads no counters.
 *
 *   fg_NAME           one map each, the ring of samples too
 *   link_KIND_INDEX   one link each; KIND is xdp, tcx_in or tcx_out, INDEX the interface's (its name
 *                     may hold a dot, which this file system refuses)
 *   stamp             whose shape the maps have: written last, taken away first. Without it the
 *                     maps are refused
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farmgate/abi.h"

struct bpf_map;
struct bpf_object;
struct fg_pins;

#define FG_PINS_MAGIC 0x31736e6970676674ULL

/* The first two members keep their place in every version. */
struct fg_pins_stamp {
	uint64_t magic;
	uint32_t abi_version;
	uint32_t size; /* of this struct */
	uint64_t seed[4];
	uint64_t tick_ns;
	uint8_t role, volume;
	uint8_t pad[2];
	uint32_t n_at;
	struct fg_pins_at {
		char name[16];
		uint32_t ifindex;
		uint8_t clsact_in, clsact_out; /* filters, which go with no pin */
		uint8_t clsact_made; /* by an agent, who takes the qdisc away, too */
		uint8_t pad;
	} at[FG_MAX_IFACES];
	struct fg_totals taken; /* frames received, as of the last epoch that an agent took */
};

/** Makes the folder (not its parents), and locks it. why gets one sentence.
 * @return 0; -EBUSY where another agent has it; -ENOTSUP where no bpf file system is there, -EPERM
 * where others may write there, -errno: then nothing can be pinned. */
int fg_pins_open(const char *dir, struct fg_pins **ret_pins, char *why, size_t n_why);
/** Lets go of it; what is pinned stays. An empty folder is removed, where that is allowed. */
void fg_pins_close(struct fg_pins **pins);
/** Unpins all. */
void fg_pins_remove(struct fg_pins *pins);

/* What can be reused. */
struct fg_pins_found {
	bool any; /* there are maps */
	bool tables; /* all but the drop maps */
	bool blocks; /* the drop maps */
	char why_not[128]; /* of what is not reused */
};

/** Between open and load of the object, when sizes are set: maps that have its shape are reused.
 * Drop maps need the same ABI version, seed and shape; the others, which refer to each other, also the
 * same role, and all of them together. @return 0, -errno. */
int fg_pins_adopt(struct fg_pins *pins, struct bpf_object *object, const struct fg_pins_stamp *mine,
		  struct fg_pins_found *ret_found);
/** The stamp found by fg_pins_adopt(), NULL = none of this version. */
const struct fg_pins_stamp *fg_pins_before(const struct fg_pins *pins);

/** Pins the maps of a loaded object in place of what was not reused, then the stamp. @return 0, -errno:
 * then there is no stamp. */
int fg_pins_put(struct fg_pins *pins, struct bpf_object *object, const struct fg_pins_stamp *mine);
/** The pinned stamp as memory, to be written to; NULL before fg_pins_put(). */
struct fg_pins_stamp *fg_pins_stamp(struct fg_pins *pins);

enum fg_pins_kind {
	FG_PINS_XDP,
	FG_PINS_TCX_IN,
	FG_PINS_TCX_OUT,
	_FG_PINS_KIND_MAX
};

/** A pinned link. @return descriptor, the caller's; -ENOENT, -errno. */
int fg_pins_link(struct fg_pins *pins, enum fg_pins_kind kind, unsigned int ifindex);
/** Pins it. @return 0, -errno. */
int fg_pins_put_link(struct fg_pins *pins, enum fg_pins_kind kind, unsigned int ifindex,
		     int link_fd);
/** Detaches a pinned link, and unpins it. @return 0, -ENOENT. */
int fg_pins_drop_link(struct fg_pins *pins, enum fg_pins_kind kind, unsigned int ifindex);

/** Calls fn for each pinned link; fn may drop it. */
void fg_pins_each_link(struct fg_pins *pins,
		       void (*fn)(void *arg, enum fg_pins_kind kind, unsigned int ifindex),
		       void *arg);

/* For who only looks, without opening: doctor. */
struct fg_pins_look {
	bool locked; /* an agent has it */
	uint32_t n_links;
	bool readable; /* the stamp is of this version; what follows is known */
	struct fg_pins_stamp stamp;
	uint64_t heartbeat_ticks, tick_ns;
	uint64_t now_ticks; /* 0 = not known */
	uint64_t n_blocks; /* that have not ended */
};

/** Changes nothing. @return 0, -ENOENT where there is no folder or it is empty, -ENOTSUP where no bpf
 * file system is there, -errno. */
int fg_pins_look(const char *dir, struct fg_pins_look *ret_look);
