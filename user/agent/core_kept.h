/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Inside of core.h, for core.c only: what the store kept, at the start and in between. */
#pragma once

#include "agent/core.h"

/** Takes up what was learned and who is known; what cannot be is said in the view, and new. */
void fg_core_take_up(struct fg_core *core, const char *state_dir, uint64_t now_ns);
/** Keeps what was learned; fg_core_save() keeps who is known, too. @return 0, -EBADF, -errno. */
int fg_core_save_learned(struct fg_core *core);
