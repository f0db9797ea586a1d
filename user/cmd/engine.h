/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* --engine, shared by replay and ja4. */
#pragma once

#include "source/engine.h"

/** Complains itself. NULL is the host engine. @return 0, FG_EXIT_USAGE. */
int fg_cmd_engine(const char *name, const struct fg_engine_ops **ret_engine);
