/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the live agent and replay have in common: model, detectors, store, and the view that readers
 * get. Fed one epoch at a time; knows neither kernels nor files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/conf.h"
#include "agent/guards.h"
#include "agent/memory.h"
#include "detect/cohort.h"
#include "model/epoch.h"
#include "model/networks.h"
#include "serve/view.h"
#include "source/take.h"

/* Samples kept until the epoch ends. The programs ask again for a key that was refused here. */
#define FG_MAX_PENDING_SAMPLES 1024

struct fg_core {
	const struct fg_conf *conf;
	struct fg_model *model;
	struct fg_store *store;
	struct fg_cohorts *cohorts;
	struct fg_networks *networks; /* NULL = none is known */
	struct fg_accounts *accounts; /* the feed's; NULL = it is off */
	struct fg_memory memory; /* of the model's rows */
	struct fg_guards guards; /* what of the verdicts may leave */
	uint32_t hour; /* since 1970, that is running; 0 = none yet */
	bool back; /* the clock stands before that hour */
	uint32_t jump_hour; /* it jumped in this hour, and the view says so; 0 = not */
	struct fg_view view;
	struct fg_sample *samples;
	size_t n_samples;
	uint64_t now_ns;
	uint64_t store_errors; /* decisions that could not be written */
	const struct fg_taker *taker; /* of the last epoch; the owner clears it with the taker */
	struct fg_totals before; /* received, at the end of the last epoch */
	uint64_t full_ns[4]; /* when a table last had no room, see core.c */
};

/** state_dir NULL keeps nothing. @return 0, -errno with one sentence in why: then the core holds
 * nothing, and may be closed again. */
int fg_core_open(struct fg_core *core, const struct fg_conf *conf, const char *state_dir,
		 uint64_t now_ns, char *why, size_t n_why);
void fg_core_close(struct fg_core *core);

/** What a table of networks holds, and what of it is skipped, in a sentence; for who asks before a
 * start. @return 0, 1 where something is skipped, -errno with the reason in text. */
int fg_core_try_networks(const char *path, char *text, size_t n);

/** fg_sample_fn: keeps the sample for the epoch's end. */
void fg_core_sample(void *core, const struct fg_sample *sample);

/** Adds an epoch (samples are put in here), names keys, runs the detectors, notes verdicts. taker may
 * be NULL where no program asks for names. @return 0, -errno; what could not be written is counted and said in the view. */
int fg_core_epoch(struct fg_core *core, struct fg_epoch *epoch, struct fg_taker *taker);

/** fg_view.write_export with the configuration's ports; core is the agent. */
int fg_core_write_export(void *core, FILE *out, const struct fg_view_document *what, char *why,
			 size_t n_why);

/** Keeps bytes in the store under a name, bound to this instance and to its hash seed. @return 0,
 * -errno. */
int fg_core_keep(struct fg_core *core, const char *name, const void *bytes, size_t n);
/** Reads them back; @return 0, -EBADMSG with a sentence in why where they are no such thing. */
typedef int (*fg_core_read_fn)(void *arg, const void *bytes, size_t n, char *why, size_t n_why);
/** Calls read with what fg_core_keep() kept, if anything. What is another instance's, of another seed
 * or refused by read is set aside as NAME.aside and said in the view. @return 0, -EBADMSG, -errno. */
int fg_core_recall(struct fg_core *core, const char *name, fg_core_read_fn read, void *arg);

/** Keeps what was learned, all of it. @return 0, -EBADF where the core never opened, -errno. */
int fg_core_save(struct fg_core *core);
/** Ends the hour that is running, whole or not, and keeps what was learned. @return 0, -errno. */
int fg_core_end(struct fg_core *core);

/** The replay report. @return 0, -EIO. */
int fg_core_report(struct fg_core *core, FILE *out, bool json);

/** The hash seed: the store's, or a new one that is stored. @return 0, -errno. */
int fg_core_seed(struct fg_core *core, uint64_t ret_seed[4]);

/** Adds a sentence to the view's list of what is degraded, once. */
void fg_core_degraded(struct fg_core *core, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** Takes the sentences that begin like this off the list: the cause is gone. */
void fg_core_restored(struct fg_core *core, const char *beginning);
