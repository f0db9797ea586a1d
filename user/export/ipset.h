/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live ipset target: keeps the sets farmgate4, farmgate6, farmgate4n and farmgate6n equal to the
 * set of blocks. The rules that ask them are the operator's. Elements end by the kernel's clock.
 */
#pragma once

#include "export/target.h"

/* Of each set: more than the store can hold. The kernel takes room for elements as they come, some
 * 100 bytes each. */
#define FG_IPSET_MAX 1048576

struct fg_ipset;
extern const struct fg_target_ops fg_ipset_ops;

/** @return 0, -ENOMEM. */
int fg_ipset_new(struct fg_ipset **ret_ipset);
void fg_ipset_free(struct fg_ipset **ipset);
