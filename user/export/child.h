/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs a program of the host (nft, ipset, nginx, a hook) with what it reads and what it says, in
 * bounded time and memory. Never a shell; arguments are given one by one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fg_child {
	const char *const *argv; /* ends with NULL; argv[0] by PATH, then in the sbin folders */
	const char *input; /* its stdin; NULL = empty */
	size_t n_input;
	uint32_t timeout_ms; /* then it and what it started are killed */
	size_t max_output; /* of stdout, in bytes; more is an error, and it is killed */
};

/** Waits for its end, or until the time is up; what its own children do after it ended is not
 * waited for. ret_out gets stdout with a NUL behind it (the caller's to free), NULL where there was
 * none; ret_out may be NULL. why gets a sentence unless it ended with status 0: the first line of
 * its stderr where it said something.
 * @return its exit status (128 + number where a signal ended it), -ENOENT or another -errno where it
 * does not start, -ETIMEDOUT, -EFBIG, -ENOMEM. */
int fg_child_run(const struct fg_child *child, char **ret_out, size_t *ret_n, char *why,
		 size_t n_why);

/** A list of arguments that shares nothing with the other; NULL of NULL. @return 0, -ENOMEM. */
int fg_argv_copy(const char *const *argv, char ***ret_argv);
void fg_argv_free(char ***argv);
