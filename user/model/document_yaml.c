/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML side of document_parse: libyaml's events to the builder. */
#include <errno.h>
#include <string.h>
#include <yaml.h>

/* uthash exits the process when memory is short, unless told not to; with this, the element's table is NULL then. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/cleanup.h"
#include "model/document_builder.h"
#include "model/scalar.h"

/* In the document's arena, which outlives the hash table. */
struct anchor {
	UT_hash_handle hh;
	const struct value *value;
	const char *name;
};

struct yaml_side {
	struct builder *builder;
	yaml_parser_t parser;
	struct anchor *anchors; /* of the present document */
};

static void yaml_side_clear(struct yaml_side *side)
{
	HASH_CLEAR(hh, side->anchors);
	yaml_parser_delete(&side->parser);
}

static unsigned int line_of(const yaml_event_t *event)
{
	return (unsigned int)event->start_mark.line + 1;
}

static unsigned int column_of(const yaml_event_t *event)
{
	return (unsigned int)event->start_mark.column + 1;
}

/* ------------------------------------------------------------------ anchors */

static struct anchor *find_anchor(const struct yaml_side *side, const char *name)
{
	struct anchor *anchor;

	HASH_FIND_STR(side->anchors, name, anchor);
	return anchor;
}

static void set_anchor(struct yaml_side *side, const yaml_char_t *name, const struct value *value)
{
	struct builder *builder = side->builder;
	struct anchor *anchor;

	if (!name || !value || builder->error)
		return;
	anchor = find_anchor(side, (const char *)name);
	if (anchor) {
		anchor->value = value;
		return;
	}
	anchor = arena_allocate(builder->arena, sizeof(*anchor));
	if (anchor)
		anchor->name = arena_string(builder->arena, (const char *)name);
	if (!anchor || !anchor->name) {
		builder->error = -ENOMEM;
		return;
	}
	anchor->value = value;
	HASH_ADD_KEYPTR(hh, side->anchors, anchor->name, strlen(anchor->name), anchor);
	if (!anchor->hh.tbl)
		builder->error = -ENOMEM;
}

static void add_alias(struct yaml_side *side, const yaml_event_t *event)
{
	unsigned int line = line_of(event), column = column_of(event);
	const char *name = (const char *)event->data.alias.anchor;
	struct builder *builder = side->builder;
	struct anchor *anchor = find_anchor(side, name);
	struct mapping_field key = { .line = line, .column = column };

	if (!anchor) {
		builder_fail(builder, "syntax", line, column, "expected an anchor before its alias, found *%.64s",
			     name);
	} else if (builder_is_open(builder, anchor->value)) {
		builder_fail(builder, "syntax", line, column, "expected a finished value, found *%.64s inside itself",
			     name);
	} else if (!builder_expects_key(builder)) {
		builder_alias(builder, anchor->value, line, column);
	} else if (anchor->value->type != VALUE_STRING) {
		builder_fail(builder, "syntax", line, column, "expected a string as key, found *%.64s", name);
	} else {
		key.key = anchor->value->text;
		builder_key(builder, &key, strlen(key.key), false);
	}
}

/* ------------------------------------------------------------------ scalars */

static bool tag_is(const char *tag, const char *type)
{
	static const char prefix[] = "tag:yaml.org,2002:";

	return !strncmp(tag, prefix, sizeof(prefix) - 1) && !strcmp(tag + sizeof(prefix) - 1, type);
}

static void fail_tag(struct yaml_side *side, const yaml_event_t *event, const char *tag)
{
	builder_fail(side->builder, "unsupported", line_of(event), column_of(event),
		     "expected a tag of YAML's core schema, found \"%.64s\"", tag);
}

/* The type that an explicit tag gives to a scalar; VALUE_MAPPING: none of a scalar's. */
static enum value_type tagged_type(const char *tag)
{
	if (!strcmp(tag, "!") || tag_is(tag, "str"))
		return VALUE_STRING;
	if (tag_is(tag, "null"))
		return VALUE_NULL;
	if (tag_is(tag, "bool"))
		return VALUE_BOOLEAN;
	if (tag_is(tag, "int"))
		return VALUE_INTEGER;
	if (tag_is(tag, "float"))
		return VALUE_NUMBER;
	return VALUE_MAPPING;
}

static struct scalar resolve_tagged(struct yaml_side *side, const yaml_event_t *event, const char *text)
{
	const char *tag = (const char *)event->data.scalar.tag;
	struct scalar scalar = { .type = tagged_type(tag) };

	if (scalar.type == VALUE_MAPPING) {
		fail_tag(side, event, tag);
	} else if (scalar.type != VALUE_STRING) {
		enum value_type wanted = scalar.type;

		scalar = scalar_resolve(text);
		if (wanted == VALUE_NUMBER && scalar.type == VALUE_INTEGER)
			scalar.type = VALUE_NUMBER;
		if (scalar.type != wanted)
			builder_fail(side->builder, "syntax", line_of(event), column_of(event),
				     "expected a value that fits its tag \"%.64s\", found \"%.64s\"", tag, text);
	}
	return scalar;
}

static struct scalar resolve_scalar(struct yaml_side *side, const yaml_event_t *event, const char *text)
{
	if (event->data.scalar.tag)
		return resolve_tagged(side, event, text);
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return scalar_resolve(text);
	return (struct scalar){ .type = VALUE_STRING };
}

/* A plain key that is no string becomes one on its way to Kubernetes, and not always the one that was written. */
static bool is_odd_key(const struct scalar *scalar, const char *text)
{
	if (scalar->type == VALUE_INTEGER)
		return *text == '+' || !strcmp(text, "-0") || strpbrk(text, "xo");
	return scalar->type != VALUE_STRING;
}

static void add_key(struct yaml_side *side, const yaml_event_t *event, const struct scalar *scalar)
{
	const char *text = (const char *)event->data.scalar.value;
	struct mapping_field key = {
		.key = text,
		.line = line_of(event),
		.column = column_of(event),
		.odd_key = is_odd_key(scalar, text),
	};
	bool merge = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag &&
		     !strcmp(text, "<<");

	builder_key(side->builder, &key, event->data.scalar.length, merge);
}

static struct value *new_scalar(struct yaml_side *side, const yaml_event_t *event, const struct scalar *scalar)
{
	unsigned int line = line_of(event), column = column_of(event);
	struct builder *builder = side->builder;
	struct value *value = builder_new_value(builder, scalar->type, line, column);

	if (!value)
		return NULL;
	value->boolean = scalar->boolean;
	if (scalar->type == VALUE_INTEGER)
		value->integer = scalar->integer;
	else
		value->text = builder_text(builder, (const char *)event->data.scalar.value, event->data.scalar.length,
					   line, column);
	return builder->error ? NULL : value;
}

static void add_scalar(struct yaml_side *side, const yaml_event_t *event)
{
	struct scalar scalar = resolve_scalar(side, event, (const char *)event->data.scalar.value);
	bool is_key = builder_expects_key(side->builder);
	struct value *value = NULL;

	/* A key is kept as a value too where an alias may name it. */
	if (!is_key || event->data.scalar.anchor)
		value = new_scalar(side, event, &scalar);
	set_anchor(side, event->data.scalar.anchor, value);
	if (is_key)
		add_key(side, event, &scalar);
	else
		builder_value(side->builder, value);
}

/* ------------------------------------------------------------------ collections and documents */

static void open_collection(struct yaml_side *side, const yaml_event_t *event, enum value_type type)
{
	bool mapping = type == VALUE_MAPPING;
	const yaml_char_t *anchor = mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
	const char *tag = (const char *)(mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag);

	if (builder_expects_key(side->builder))
		builder_fail(side->builder, "syntax", line_of(event), column_of(event),
			     "expected a string as key, found a %s", mapping ? "mapping" : "list");
	if (tag && strcmp(tag, "!") && !tag_is(tag, mapping ? "map" : "seq"))
		fail_tag(side, event, tag);
	set_anchor(side, anchor, builder_open(side->builder, type, line_of(event), column_of(event)));
}

static void start_document(struct yaml_side *side)
{
	HASH_CLEAR(hh, side->anchors);
	builder_start(side->builder);
}

static void end_document(struct yaml_side *side, document_handler handler, void *context)
{
	struct builder *builder = side->builder;

	if (!builder->error && builder->root && builder->root->type != VALUE_NULL)
		builder->error = handler(builder->root, context);
}

static void take_event(struct yaml_side *side, const yaml_event_t *event, document_handler handler, void *context)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		start_document(side);
		break;
	case YAML_DOCUMENT_END_EVENT:
		end_document(side, handler, context);
		break;
	case YAML_ALIAS_EVENT:
		add_alias(side, event);
		break;
	case YAML_SCALAR_EVENT:
		add_scalar(side, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		open_collection(side, event, VALUE_SEQUENCE);
		break;
	case YAML_MAPPING_START_EVENT:
		open_collection(side, event, VALUE_MAPPING);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		builder_close(side->builder);
		break;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
		break;
	}
}

/* ------------------------------------------------------------------ the parser's own errors */

/* libyaml gives only the byte's offset for a character that it cannot read. */
static void locate_offset(const char *text, size_t length, size_t offset, unsigned int *line, unsigned int *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset && i < length; i++) {
		if (text[i] == '\n') {
			(*line)++;
			*column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			(*column)++;
		}
	}
}

static void report_parser_error(struct yaml_side *side, const char *text, size_t length)
{
	const yaml_parser_t *parser = &side->parser;
	unsigned int line = (unsigned int)parser->problem_mark.line + 1;
	unsigned int column = (unsigned int)parser->problem_mark.column + 1;
	const char *problem = parser->problem ? parser->problem : "malformed YAML";

	if (parser->error == YAML_MEMORY_ERROR) {
		side->builder->error = -ENOMEM;
		return;
	}
	if (parser->error == YAML_READER_ERROR)
		locate_offset(text, length, parser->problem_offset, &line, &column);
	if (parser->context)
		builder_fail(side->builder, "syntax", line, column, "YAML: %s, %s that began on line %zu", problem,
			     parser->context, parser->context_mark.line + 1);
	else
		builder_fail(side->builder, "syntax", line, column, "YAML: %s", problem);
}

int document_parse_yaml(struct builder *builder, const char *text, size_t length, document_handler handler,
			void *context)
{
	_cleanup_(yaml_side_clear) struct yaml_side side = { .builder = builder };
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_event_t event;

	if (!yaml_parser_initialize(&side.parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&side.parser, (const unsigned char *)text, length);

	while (!builder->error && type != YAML_STREAM_END_EVENT) {
		if (!yaml_parser_parse(&side.parser, &event)) {
			report_parser_error(&side, text, length);
			break;
		}
		type = event.type;
		take_event(&side, &event, handler, context);
		yaml_event_delete(&event);
	}
	return builder->error;
}
