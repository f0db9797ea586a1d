/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ownership helpers: cleanup attributes for locals, and taking a value out of them. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void fg_freep(void *p)
{
	free(*(void **)p);
}

static inline void fg_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fg_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 _cleanup_(fg_freep)
#define _cleanup_close_	 _cleanup_(fg_closep)
#define _cleanup_fclose_ _cleanup_(fg_fclosep)

/* The value, leaving NULL or -1 behind so that the cleanup does nothing. */
#define FG_TAKE_PTR(p)                      \
	({                                  \
		__typeof__(p) _taken = (p); \
		(p) = NULL;                 \
		_taken;                     \
	})
#define FG_TAKE_FD(fd)             \
	({                         \
		int _taken = (fd); \
		(fd) = -1;         \
		_taken;            \
	})
