/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The volume detector's null, visible for its tests. */
#pragma once

#include "detect/detect.h"

extern const struct fg_detector_ops fg_detect_volume;

/** ln P(X >= k) of a negative binomial with this mean and dispersion r (variance mean + mean^2/r),
 * not below -700. */
double fg_volume_nb_log_tail(double k, double mean, double r);
