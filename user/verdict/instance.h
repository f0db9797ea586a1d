/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose state is this? An id of 128 bits, drawn once, lies in DIR/instance beside the state file and
 * in it. Where the two differ somebody copied one of them here: baselines and verdicts of two places
 * must not become one.
 */
#pragma once

#include <stddef.h>

#include "verdict/store.h"

/** Reads DIR/instance. @return 0, -ENOENT where there is none or it holds no id, -errno. */
int fg_instance_read(const char *dir, char ret_id[FG_INSTANCE_TEXT]);
/** Writes it, whole or not at all. @return 0, -errno. */
int fg_instance_write(const char *dir, const char id[FG_INSTANCE_TEXT]);
/** @return 0, -EIO where there is no randomness. */
int fg_instance_draw(char ret_id[FG_INSTANCE_TEXT]);
