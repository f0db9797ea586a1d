/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks libyaml's events and the schema side by side. Recursion is bounded by the schema: what is
 * not in it is refused where it starts.
 */
#define _GNU_SOURCE
#include "lib/yaml.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "lib/mem.h"
#include "lib/near.h"
#include "lib/num.h"

/* Characters of an unknown key that are shown. */
#define MAX_KEY 40

struct walk {
	struct fg_yaml *out;
	yaml_parser_t parser;
	const char *text;
	size_t n;
	const cyaml_schema_value_t *root;
};

static int refuse_line(const struct fg_yaml *yaml, size_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse_line(const struct fg_yaml *yaml, size_t line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(yaml->why, yaml->n_why, "%s:%zu: %s", yaml->file, line, text);
	return -EINVAL;
}

size_t fg_yaml_line(const struct fg_yaml *yaml, const char *path)
{
	size_t i;

	for (i = 0; i < yaml->n_places; i++) {
		if (strcmp(yaml->places[i].path, path) == 0)
			return yaml->places[i].line;
	}
	return 0;
}

int fg_yaml_refuse(const struct fg_yaml *yaml, const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return refuse_line(yaml, fg_yaml_line(yaml, path), "%s: %s", path, text);
}

static int note_place(struct walk *walk, const char *path, size_t line)
{
	struct fg_yaml *out = walk->out;
	struct fg_yaml_place *place;

	if (out->n_places == FG_YAML_MAX_VALUES)
		return refuse_line(out, line, "more than %d values in one file",
				   FG_YAML_MAX_VALUES);
	place = &out->places[out->n_places++];
	snprintf(place->path, sizeof(place->path), "%s", path);
	place->line = line;
	return 0;
}

static bool indented_by_tab(const struct walk *walk, size_t line)
{
	const char *p = walk->text, *end = walk->text + walk->n;

	for (; line > 1 && p < end; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return false;
		p++;
	}
	while (p < end && *p == ' ')
		p++;
	return p < end && *p == '\t';
}

/* A parser error in one sentence with its line. */
static int refuse_syntax(struct walk *walk)
{
	const yaml_parser_t *parser = &walk->parser;
	size_t line = parser->problem_mark.line + 1, i;

	if (parser->error == YAML_MEMORY_ERROR)
		return refuse_line(walk->out, line, "out of memory");
	if (parser->error == YAML_READER_ERROR) {
		for (i = 0, line = 1; i < walk->n && i < parser->problem_offset; i++)
			line += walk->text[i] == '\n';
		return refuse_line(walk->out, line, "this is no text file: %s", parser->problem);
	}
	if (indented_by_tab(walk, line))
		return refuse_line(walk->out, line, "indented by a tab; YAML wants spaces");
	return refuse_line(walk->out, line, "not YAML: %s%s%s",
			   parser->context ? parser->context : "", parser->context ? ", " : "",
			   parser->problem ? parser->problem : "unknown problem");
}

/* The next event; the caller deletes it also on failure. */
static int next_event(struct walk *walk, yaml_event_t *ret_event)
{
	size_t line;

	memset(ret_event, 0, sizeof(*ret_event));
	if (!yaml_parser_parse(&walk->parser, ret_event))
		return refuse_syntax(walk);
	line = ret_event->start_mark.line + 1;
	if (ret_event->type == YAML_ALIAS_EVENT)
		return refuse_line(walk->out, line,
				   "aliases (*name) are not used here; write it out");
	return 0;
}

/* Looks through a mapping and those below for the key nearest to the one written; a key of the
 * mapping where it stood wins over an equally near one elsewhere. */
static void find_nearest(const cyaml_schema_value_t *mapping, const cyaml_schema_value_t *here,
			 const char *prefix, const char *key, unsigned int *best, char *ret_path)
{
	const cyaml_schema_field_t *f;
	char path[FG_YAML_MAX_PATH];
	unsigned int d;

	for (f = mapping->mapping.fields; f->key; f++) {
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", f->key);
		d = 2 * fg_near_distance(key, f->key) + (mapping != here);
		if (d < *best) {
			*best = d;
			memcpy(ret_path, path, sizeof(path));
		}
		if (f->value.type == CYAML_MAPPING)
			find_nearest(&f->value, here, path, key, best, ret_path);
	}
}

static int refuse_key(const struct walk *walk, const cyaml_schema_value_t *here, const char *key,
		      size_t line)
{
	char nearest[FG_YAML_MAX_PATH] = "";
	unsigned int best = UINT_MAX;

	find_nearest(walk->root, here, "", key, &best, nearest);
	return refuse_line(walk->out, line, "unknown key '%.*s' (did you mean '%s'?)", MAX_KEY, key,
			   nearest);
}

static int refuse_enum(const struct walk *walk, const cyaml_schema_value_t *schema,
		       const char *path, const char *text)
{
	char list[256] = "";
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < schema->enumeration.count && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
				      schema->enumeration.strings[i].str);
	return fg_yaml_refuse(walk->out, path, "'%.80s' is none of %s", text, list);
}

static bool is_enum_value(const cyaml_schema_value_t *schema, const char *text)
{
	uint32_t i;

	for (i = 0; i < schema->enumeration.count; i++) {
		if (strcmp(schema->enumeration.strings[i].str, text) == 0)
			return true;
	}
	return false;
}

static int check_text(const struct walk *walk, const cyaml_schema_value_t *schema, const char *path,
		      const char *text)
{
	uint64_t max = schema->data_size < 8 ? (1ULL << 8 * schema->data_size) - 1 : UINT64_MAX;
	uint64_t u;
	double d;

	switch (schema->type) {
	case CYAML_ENUM:
		return is_enum_value(schema, text) ? 0 : refuse_enum(walk, schema, path, text);
	case CYAML_UINT:
		/* libcyaml reads a leading zero as octal: nobody who writes 010 means 8. */
		if (fg_num_u64(text, 0, max, &u) < 0 || (text[0] == '0' && text[1]))
			return fg_yaml_refuse(walk->out, path,
					      "'%.80s' is no whole number of 0 to %llu", text,
					      (unsigned long long)max);
		return 0;
	case CYAML_FLOAT:
		if (fg_num_double(text, 0, 1e12, &d) < 0)
			return fg_yaml_refuse(walk->out, path, "'%.80s' is no number like 13.8",
					      text);
		return 0;
	default:
		return 0;
	}
}

static bool is_null(const yaml_event_t *ev)
{
	const char *text = (const char *)ev->data.scalar.value;

	return ev->type == YAML_SCALAR_EVENT && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int walk_scalar(const struct walk *walk, const cyaml_schema_value_t *schema,
		       const char *path, const yaml_event_t *ev)
{
	const char *text;

	if (ev->type != YAML_SCALAR_EVENT)
		return fg_yaml_refuse(walk->out, path, "takes one value, not %s",
				      ev->type == YAML_SEQUENCE_START_EVENT ? "a list" : "keys");
	text = (const char *)ev->data.scalar.value;
	if (strlen(text) != ev->data.scalar.length)
		return fg_yaml_refuse(walk->out, path, "holds a NUL byte");
	return check_text(walk, schema, path, text);
}

static int walk_value(struct walk *walk, const cyaml_schema_value_t *schema, const char *path,
		      const yaml_event_t *ev);

static int walk_sequence(struct walk *walk, const cyaml_schema_value_t *schema, const char *path)
{
	char entry[FG_YAML_MAX_PATH];
	size_t n;
	int r;

	for (n = 0;; n++) {
		_cleanup_(yaml_event_delete) yaml_event_t ev;

		r = next_event(walk, &ev);
		if (r < 0)
			return r;
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (n == schema->sequence.max)
			return refuse_line(walk->out, ev.start_mark.line + 1,
					   "%s: more than %u entries", path, schema->sequence.max);
		snprintf(entry, sizeof(entry), "%.36s[%zu]", path, n);
		r = walk_value(walk, schema->sequence.entry, entry, &ev);
		if (r < 0)
			return r;
	}
	if (n < schema->sequence.min)
		return fg_yaml_refuse(walk->out, path, "needs at least %u", schema->sequence.min);
	return 0;
}

/* One key with its value. */
static int walk_member(struct walk *walk, const cyaml_schema_value_t *schema, const char *path,
		       const yaml_event_t *key)
{
	_cleanup_(yaml_event_delete) yaml_event_t ev = { 0 };
	const cyaml_schema_field_t *f = schema->mapping.fields;
	size_t line = key->start_mark.line + 1;
	char member[FG_YAML_MAX_PATH];
	const char *name;
	int r;

	if (key->type != YAML_SCALAR_EVENT)
		return refuse_line(walk->out, line, "a key must be a plain word");
	name = (const char *)key->data.scalar.value;
	while (f->key && strcmp(f->key, name) != 0)
		f++;
	if (!f->key)
		return refuse_key(walk, schema, name, line);
	snprintf(member, sizeof(member), "%s%s%s", path, *path ? "." : "", f->key);
	if (fg_yaml_line(walk->out, member))
		return refuse_line(walk->out, line, "%s: given twice, first on line %zu", member,
				   fg_yaml_line(walk->out, member));
	r = next_event(walk, &ev);
	return r < 0 ? r : walk_value(walk, &f->value, member, &ev);
}

static int walk_mapping(struct walk *walk, const cyaml_schema_value_t *schema, const char *path)
{
	int r;

	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t ev;

		r = next_event(walk, &ev);
		if (r < 0 || ev.type == YAML_MAPPING_END_EVENT)
			return r;
		r = walk_member(walk, schema, path, &ev);
		if (r < 0)
			return r;
	}
}

static int walk_value(struct walk *walk, const cyaml_schema_value_t *schema, const char *path,
		      const yaml_event_t *ev)
{
	int r = note_place(walk, path, ev->start_mark.line + 1);

	if (r < 0)
		return r;
	if (is_null(ev))
		return fg_yaml_refuse(walk->out, path, "has no value; give one or remove the key");
	switch (schema->type) {
	case CYAML_MAPPING:
		if (ev->type != YAML_MAPPING_START_EVENT)
			return fg_yaml_refuse(walk->out, path, "takes keys of its own below it");
		return walk_mapping(walk, schema, path);
	case CYAML_SEQUENCE:
		if (ev->type != YAML_SEQUENCE_START_EVENT)
			return fg_yaml_refuse(walk->out, path, "takes a list, like [a, b]");
		return walk_sequence(walk, schema, path);
	default:
		return walk_scalar(walk, schema, path, ev);
	}
}

static int walk_document(struct walk *walk)
{
	_cleanup_(yaml_event_delete) yaml_event_t ev;
	int r = next_event(walk, &ev);

	if (r < 0 || is_null(&ev))
		return r;
	if (ev.type != YAML_MAPPING_START_EVENT)
		return refuse_line(walk->out, ev.start_mark.line + 1,
				   "expected 'key: value' lines here");
	return walk_mapping(walk, walk->root, "");
}

static int walk_stream(struct walk *walk)
{
	size_t documents = 0;
	int r;

	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t ev;

		r = next_event(walk, &ev);
		if (r < 0 || ev.type == YAML_STREAM_END_EVENT)
			return r;
		if (ev.type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (documents++)
			return refuse_line(walk->out, ev.start_mark.line + 1,
					   "a second document ('---'); one is read");
		r = walk_document(walk);
		if (r < 0)
			return r;
	}
}

int fg_yaml_check(struct fg_yaml *yaml, const char *text, size_t n,
		  const struct cyaml_schema_value *schema)
{
	struct walk walk = { .out = yaml, .text = text, .n = n, .root = schema };
	int r;

	yaml->n_places = 0;
	if (!yaml_parser_initialize(&walk.parser))
		return refuse_line(yaml, 1, "out of memory");
	yaml_parser_set_encoding(&walk.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, n);
	r = walk_stream(&walk);
	yaml_parser_delete(&walk.parser);
	return r;
}
