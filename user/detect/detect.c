/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names, defaults and the list of detectors. */
#include "detect/detect.h"

#include <errno.h>
#include <string.h>

#include "detect/accounts.h"
#include "detect/volume.h"

static const char *const family_names[_FG_FAMILY_MAX] = {
	[FG_FAMILY_VOLUME] = "volume",	       [FG_FAMILY_RELAY] = "relay",
	[FG_FAMILY_AUTOMATION] = "automation", [FG_FAMILY_CLOCK] = "clock",
	[FG_FAMILY_LIFECYCLE] = "lifecycle",
};

static const char *const tier_names[_FG_TIER_MAX] = {
	[FG_TIER_OBSERVE] = "observe",
	[FG_TIER_ALERT] = "alert",
	[FG_TIER_ENFORCE] = "enforce",
};

const struct fg_detect_conf fg_detect_defaults = {
	.flag_nats = FG_FLAG_NATS,
	.min_connections = FG_MIN_CONNECTIONS,
	.min_population = FG_MIN_POPULATION,
	.shared_stems = FG_CROWD_STEMS,
	.alert_per_million = FG_ALERT_PER_MILLION,
	.enforce_per_million = FG_ENFORCE_PER_MILLION,
	.enforce_days = FG_WARM_ENFORCE_DAYS,
};

const struct fg_detector_ops *const fg_detectors[] = {
	&fg_detect_volume,
	&fg_detect_accounts,
	NULL,
};

const char *fg_family_name(enum fg_family family)
{
	return (unsigned int)family < _FG_FAMILY_MAX ? family_names[family] : "?";
}

const char *fg_tier_name(enum fg_tier tier)
{
	return (unsigned int)tier < _FG_TIER_MAX ? tier_names[tier] : "?";
}

int fg_tier_parse(const char *text, enum fg_tier *ret_tier)
{
	for (int i = 0; i < _FG_TIER_MAX; i++) {
		if (!strcmp(text, tier_names[i])) {
			*ret_tier = (enum fg_tier)i;
			return 0;
		}
	}
	return -EINVAL;
}
