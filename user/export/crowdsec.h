/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The set of blocks as CrowdSec's decisions. A log numbers each change, so that a bouncer which says
 * how far it came gets what changed since. A decision names one address: bouncers program the first
 * address of a range and nothing else. IPv4 ranges up to /28 are written out; wider ones and IPv6 /64s
 * stay away and are counted. Bouncers trust what they read, so that each of these is certain here: an
 * address that is one, all seven fields, and a duration above zero in Go's notation (zero would be a
 * ban without end).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "export/export.h"

#define FG_CROWDSEC_ORIGIN   "farmgate"
#define FG_CROWDSEC_SCENARIO "farmgate/account-farm"

/* As many as an nft set of ours holds. Written-out ranges could be sixteen times what the store keeps. */
#define FG_CROWDSEC_MAX_DECISIONS 262144
/* Removals that are remembered for bouncers which were away: all blocks of a full store, and some
 * renewals; 13 MB. Who was away for longer is told all that is new, as ever, and what it holds of the
 * forgotten ones ends by its own time, within a day. */
#define FG_CROWDSEC_MAX_REMOVED (1U << 18)

struct fg_crowdsec;

struct fg_crowdsec_counts {
	uint64_t decisions; /* that stand, one address each */
	uint64_t unexportable; /* items of the set that no decision can name */
	uint64_t added, renewed, removed; /* changes since the start */
	uint64_t remembered; /* removals kept for who was away */
};

/** @return 0, -ENOMEM. */
int fg_crowdsec_new(struct fg_crowdsec **ret_log);
void fg_crowdsec_free(struct fg_crowdsec **log);

/** Notes how the set differs from the last one, and keeps a reference to it. An end that moved by less
 * than a tenth of what is left is no change, a shorter one always is. @return number of changes,
 * -ENOMEM with nothing changed. */
int fg_crowdsec_update(struct fg_crowdsec *log, struct fg_export_set *set, uint64_t now_ns);

/** The number of the last change; 0 = there was none yet. */
uint64_t fg_crowdsec_sequence(const struct fg_crowdsec *log);
void fg_crowdsec_counts(const struct fg_crowdsec *log, struct fg_crowdsec_counts *ret_counts);

/* What a bouncer is to be told. */
struct fg_crowdsec_ask {
	bool all; /* it begins, or nobody knows how far it came: everything that stands */
	uint64_t after; /* else what changed after this number */
	/* and what was brought by the changes behind the first up to the second, once more: for who may
	 * hold it with another end. In slices, as what is refreshed is open for a moment */
	uint64_t refresh_after, refresh_to;
};

/** The number of the change that brought the nth decision after another change; that of the last change
 * where fewer follow, and of the other one where there is no memory to tell. */
uint64_t fg_crowdsec_slice(const struct fg_crowdsec *log, uint64_t after, size_t n);

/** {"new":[…],"deleted":[…]}, null where there is none. A renewed address is in both: bouncers ignore a
 * longer end of what they hold, and delete first. @return 0, -EIO, -ENOMEM. */
int fg_crowdsec_stream(FILE *out, const struct fg_crowdsec *log, const struct fg_crowdsec_ask *ask,
		       uint64_t now_ns);

/** [{…}] with one decision about the whole prefix where it lies in a block, of any width, else null:
 * for bouncers that ask about each client. @return 0, -EIO. */
int fg_crowdsec_lookup(FILE *out, const struct fg_crowdsec *log, const uint8_t addr[16],
		       uint8_t bits, uint64_t now_ns);
/** All decisions as an array, null where there is none. @return 0, -EIO. */
int fg_crowdsec_list(FILE *out, const struct fg_crowdsec *log, uint64_t now_ns);

/** "3h59m58.5s" of what is left: at least 1 s, at most FG_MAX_TTL_S whatever the clock says. */
const char *fg_crowdsec_duration(uint64_t until_ns, uint64_t now_ns, char buf[32]);
