/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration's single values and their ranges: numbers, times, choices. */
#define _GNU_SOURCE
#include "agent/conf_raw.h"

#include "lib/num.h"
#include "verdict/store.h"

#define MAX_TTL_S 86400
/* Longer than what is learned is remembered, nobody would ever block. */
#define MAX_WARMUP_S (90 * 86400)
/* Somebody's retention rules end before this. */
#define MAX_HISTORY_S (10ULL * 365 * 86400)

int fg_conf_apply_number(uint32_t *to, const char *path, uint32_t value, uint32_t min, uint32_t max,
			 const struct fg_yaml *y)
{
	if (!fg_yaml_line(y, path))
		return 0;
	if (value < min || value > max)
		return fg_yaml_refuse(y, path, "%u is not within %u to %u", value, min, max);
	*to = value;
	return 0;
}

int fg_conf_apply_seconds(uint32_t *to, const char *path, const char *value, uint64_t min,
			  uint64_t max, const struct fg_yaml *y)
{
	uint64_t s;

	if (!fg_yaml_line(y, path))
		return 0;
	if (fg_num_duration(value, max, &s) < 0 || s < min)
		return fg_yaml_refuse(y, path, "'%.40s' is no time of %llus to %llus", value,
				      (unsigned long long)min, (unsigned long long)max);
	*to = (uint32_t)s;
	return 0;
}

static int apply_numbers(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	/* Upper ends: what the tables can index in the memory of a large server. */
	const struct {
		const char *path;
		uint32_t value, min, max;
		uint32_t *to;
	} rows[] = {
		{ "memory_mb", raw->memory_mb, 0, 65536, &conf->memory_mb },
		{ "limits.sources", raw->limits.sources, 1, 1U << 24, &conf->limits.sources },
		{ "limits.clients", raw->limits.clients, 1, 1U << 25, &conf->limits.clients },
		{ "limits.fingerprints", raw->limits.fingerprints, 1, 1U << 20,
		  &conf->limits.fingerprints },
		{ "limits.stems", raw->limits.stems, 1, 1U << 20, &conf->limits.stems },
		{ "limits.hosts", raw->limits.hosts, 1, 1U << 24, &conf->limits.hosts },
		{ "limits.pairs", raw->limits.pairs, 2, 1U << 28, &conf->limits.pairs },
		{ "detect.min_connections", raw->detect.min_connections, 1, 1U << 24,
		  &conf->detect.min_connections },
		{ "detect.min_population", raw->detect.min_population, 2, 1U << 24,
		  &conf->detect.min_population },
		{ "detect.shared_stems", raw->detect.shared_stems, 2, 1U << 16,
		  &conf->detect.shared_stems },
		/* as many verdicts as there may be */
		{ "guards.max_blocks", raw->guards.max_blocks, 0, FG_MAX_VERDICTS,
		  &conf->guards.max_blocks },
		{ "guards.max_blocks_network", raw->guards.max_blocks_network, 0, FG_MAX_VERDICTS,
		  &conf->guards.max_blocks_network },
	};
	int r = 0;

	for (size_t i = 0; !r && i < COUNT(rows); i++)
		r = fg_conf_apply_number(rows[i].to, rows[i].path, rows[i].value, rows[i].min,
					 rows[i].max, y);
	return r;
}

static int apply_reals(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	const struct {
		const char *path;
		double value, min, max;
		double *to;
		double unit; /* of the value, in that of `to` */
	} rows[] = {
		/* below 1 every busy source is flagged; above 1000 none ever is */
		{ "detect.flag_nats", raw->detect.flag_nats, 1, 1000, &conf->detect.flag_nats, 1 },
		/* 0 is never; above 10000 one source in a hundred may be hurt */
		{ "detect.alert_per_million", raw->detect.alert_per_million, 0, 10000,
		  &conf->detect.alert_per_million, 1 },
		{ "detect.enforce_per_million", raw->detect.enforce_per_million, 0, 10000,
		  &conf->detect.enforce_per_million, 1 },
		/* in percent; above a half the others are the rule */
		{ "guards.collateral", raw->guards.collateral, 0, 50, &conf->guards.collateral,
		  0.01 },
		{ "guards.max_harm", raw->guards.max_harm, 0, 100, &conf->guards.max_harm, 0.01 },
		/* 100: nothing automatic is ever acted on */
		{ "guards.holdback", raw->guards.holdback, 0, 100, &conf->guards.holdback, 0.01 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!fg_yaml_line(y, rows[i].path))
			continue;
		if (!(rows[i].value >= rows[i].min && rows[i].value <= rows[i].max))
			return fg_yaml_refuse(y, rows[i].path, "%g is not within %g to %g",
					      rows[i].value, rows[i].min, rows[i].max);
		*rows[i].to = rows[i].value * rows[i].unit;
	}
	return 0;
}

static int apply_durations(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	uint64_t s;

	if (fg_yaml_line(y, "ttl")) {
		if (fg_num_duration(raw->ttl, MAX_TTL_S, &s) < 0 || !s)
			return fg_yaml_refuse(y, "ttl",
					      "'%.40s' is no time of 1s to 24h, like 90s, 15m, 1h",
					      raw->ttl);
		conf->ttl_s = (uint32_t)s;
	}
	if (fg_yaml_line(y, "warmup")) {
		if (fg_num_duration(raw->warmup, MAX_WARMUP_S, &s) < 0)
			return fg_yaml_refuse(y, "warmup",
					      "'%.40s' is no time of 0 to 90d, like 14d, 0",
					      raw->warmup);
		conf->detect.enforce_days = (double)s / 86400;
	}
	if (fg_yaml_line(y, "history")) {
		if (fg_num_duration(raw->history, MAX_HISTORY_S, &s) < 0 || s < 86400)
			return fg_yaml_refuse(y, "history",
					      "'%.40s' is no time of 1d to 3650d, like 90d",
					      raw->history);
		conf->history_s = s;
	}
	if (fg_yaml_line(y, "limits.window")) {
		/* A slot of the window is at least the epoch of one second. */
		if (fg_num_duration(raw->limits.window, 3600, &s) < 0 || s < FG_WINDOW_SLOTS)
			return fg_yaml_refuse(y, "limits.window",
					      "'%.40s' is no time of %ds to 1h, like 60s, 5m",
					      raw->limits.window, FG_WINDOW_SLOTS);
		conf->limits.window_ns = s * S_TO_NS;
	}
	return 0;
}

static void apply_choices(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	if (fg_yaml_line(y, "role"))
		conf->role = raw->role;
	if (fg_yaml_line(y, "attach"))
		conf->attach = raw->attach;
	if (fg_yaml_line(y, "on_stop"))
		conf->on_stop = raw->on_stop;
	if (fg_yaml_line(y, "mode"))
		conf->mode = raw->mode;
	if (fg_yaml_line(y, "drop"))
		conf->reset = raw->drop == DROP_RESET;
	if (fg_yaml_line(y, "established"))
		conf->end_established = raw->established == ESTABLISHED_END;
	if (fg_yaml_line(y, "log.format"))
		conf->log_json = raw->log.format == FORMAT_JSON;
	if (fg_yaml_line(y, "log.level"))
		conf->log_level = raw->log.level;
}

int fg_conf_apply_values(struct fg_conf *conf, const struct raw *raw, const struct fg_yaml *y)
{
	int r = apply_numbers(conf, raw, y);

	if (!r)
		r = apply_reals(conf, raw, y);
	if (!r)
		r = apply_durations(conf, raw, y);
	apply_choices(conf, raw, y);
	return r;
}
