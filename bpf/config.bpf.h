/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's configuration, frozen at load: branches on it vanish from the program. */
#pragma once

#include "farmgate/abi.h"

const volatile struct fg_config fg_config = {};
