/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Checks a YAML text against a libcyaml schema before libcyaml loads it, and remembers on which
 * line each value stands: libcyaml alone says neither where nor what was meant. Stricter than
 * YAML: one document, no duplicate keys, no aliases, decimal numbers only.
 */
#pragma once

#include <stddef.h>

struct cyaml_schema_value;

/* Values one file may hold, list entries and mappings counted too. */
#define FG_YAML_MAX_VALUES 1024
#define FG_YAML_MAX_PATH   48

struct fg_yaml {
	const char *file; /* name for messages */
	char *why; /* gets "FILE:LINE: …" on failure */
	size_t n_why;
	size_t n_places;
	struct fg_yaml_place {
		char path[FG_YAML_MAX_PATH]; /* "limits.sources", "allow[3]" */
		size_t line;
	} places[FG_YAML_MAX_VALUES];
};

/** file, why and n_why are set by the caller, the rest is written here. Handled are mappings,
 * sequences, strings, enums, unsigned integers and floats. A text without any value is right and
 * gives no places. @return 0, -EINVAL. */
int fg_yaml_check(struct fg_yaml *yaml, const char *text, size_t n,
		  const struct cyaml_schema_value *schema);

/** Line of a value, 0 where the file does not give it. */
size_t fg_yaml_line(const struct fg_yaml *yaml, const char *path);

/** Writes "FILE:LINE: PATH: …". @return -EINVAL. */
int fg_yaml_refuse(const struct fg_yaml *yaml, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
