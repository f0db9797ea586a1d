/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Allow files: prefixes that are never blocked, in files that somebody else keeps: own ranges, monitoring,
 * verified crawlers, relays. One prefix a line; `#` begins a comment; what follows the prefix is the
 * reason.
 *
 * They are looked at in each epoch and read again where they changed, whole or not at all: of a file
 * with a bad line, or that is gone, the old list stays, and that is said. A file that came by rename is
 * read at once; one that is written in place is waited for, until it has been quiet for one look.
 *
 * A file that could not be read since the start leaves a hole in the allowlist, so nothing automatic
 * may be blocked until it is right: fg_allowfiles_ready(). To stop instead would blind the sensor for a
 * typing error; to go on would block whom the file was there to protect.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one file; the lists of all large relays and crawlers are some hundreds of thousands. 24 bytes each,
 * and their reasons. */
#define FG_ALLOWFILE_PREFIXES 1000000
#define FG_ALLOWFILE_BYTES    (64U << 20)
#define FG_ALLOWFILE_LINE     1024

struct fg_allowfiles;

/** Reads them for the first time; one that is bad is no error here. paths are the caller's, and stay.
 * @return 0, -ENOMEM. */
int fg_allowfiles_open(char *const *paths, size_t n, struct fg_allowfiles **ret_files);
void fg_allowfiles_free(struct fg_allowfiles **files);

/** Looks whether any of them changed, and reads those that did. @return 1 where a list is another
 * now, else 0. */
int fg_allowfiles_look(struct fg_allowfiles *files);
/** Is there a list of each? */
bool fg_allowfiles_ready(const struct fg_allowfiles *files);
/** Grows with each list that was read, and with each fault that comes or goes. */
uint64_t fg_allowfiles_revision(const struct fg_allowfiles *files);
/** That of the last change of file i. */
uint64_t fg_allowfiles_changed(const struct fg_allowfiles *files, size_t i);
/** What is wrong with file i, "FILE:LINE: ..."; "" = nothing, NULL behind the last. */
const char *fg_allowfiles_fault(const struct fg_allowfiles *files, size_t i);
/** Was it ever right? */
bool fg_allowfiles_has_list(const struct fg_allowfiles *files, size_t i);
/** Its prefixes that stand, less those that lie inside another. */
size_t fg_allowfiles_n(const struct fg_allowfiles *files, size_t i);
/** Memory of all lists, in bytes. */
size_t fg_allowfiles_bytes(const struct fg_allowfiles *files);

/** fg_allow_fn: does a prefix meet one of them? reason gets "allow file NAME: REASON". */
bool fg_allowfiles_meet(void *files, const uint8_t addr[16], uint8_t bits, char reason[160]);

/** Reads one, for who asks before a start. @return how many prefixes, -errno with "FILE:LINE: ..." in
 * why. */
long fg_allowfiles_try(const char *path, char *why, size_t n_why);
