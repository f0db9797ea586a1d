/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is said to a CrowdSec LAPI and what it answers, as JSON. Answers are a stranger's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "export/export.h"

/* Scenarios, by who decided. */
enum fg_lapi_scenario {
	FG_LAPI_FARM, /* members of a cohort */
	FG_LAPI_SOURCE, /* flagged by themselves */
	FG_LAPI_OPERATOR,
	_FG_LAPI_SCENARIO_MAX
};
extern const char *const fg_lapi_scenarios[_FG_LAPI_SCENARIO_MAX];
enum fg_lapi_scenario fg_lapi_scenario_of(const struct fg_export_item *item);

/* Of an alert of ours that a LAPI has: one decision, or the whole of one without any. */
struct fg_lapi_seen {
	uint8_t addr[16];
	uint8_t bits;
	int64_t alert;
	int64_t decision; /* 0 = the alert has none */
	uint64_t until_ns; /* by our clock; 0 where no decision was made and none was told */
};

int fg_lapi_write_login(FILE *out, const char *machine, const char *password);
/** An array of one alert with a decision for each of items, all of one scenario and cohort; stop_ns
 * is the LAPI's clock now. @return 0, -EIO. */
int fg_lapi_write_decisions(FILE *out, const struct fg_export_item *const *items, size_t n,
			    uint64_t now_ns, uint64_t stop_ns);
/** An array of an alert for each of items, without decisions: profiles see one source each. */
int fg_lapi_write_alerts(FILE *out, const struct fg_export_item *const *items, size_t n,
			 uint64_t stop_ns);

/** *ret_token is the caller's to free; *ret_expire_ns is the LAPI's clock.
 * @return 0, -EBADMSG, -ENOMEM. */
int fg_lapi_read_login(const char *body, size_t n, char **ret_token, uint64_t *ret_expire_ns);
/** The ids of exactly n_ids new alerts. @return 0, -EBADMSG. */
int fg_lapi_read_ids(const char *body, size_t n, int64_t *ret_ids, size_t n_ids);
/** Alerts of this machine, an array or one alone, added to *seen (of *n_seen, the caller's to free).
 * Those of others and those about no address are left out. @return 0, -EBADMSG, -ENOMEM. */
int fg_lapi_read_alerts(const char *body, size_t n, const char *machine, uint64_t now_ns,
			struct fg_lapi_seen **seen, size_t *n_seen);
/** What it says about a failure, on one line; "" = nothing. */
void fg_lapi_read_message(const char *body, size_t n, char *ret_text, size_t n_text);

/** A Go duration ("1h59m59.44s", "-1m2s", "750ms"). @return 0, -EINVAL. */
int fg_lapi_duration(const char *text, int64_t *ret_ns);
/** RFC 3339 with a fraction or an offset, as Go writes local time. @return 0, -EINVAL. */
int fg_lapi_time(const char *text, uint64_t *ret_ns);
