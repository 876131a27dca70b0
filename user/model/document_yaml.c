/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML side of document_parse: libyaml's events to the builder.
 *
 * libyaml takes most of the time that a long text takes. So items of a long sequence, in the second half of the text,
 * are cut out of it (model/yaml_slice.h) and parsed by another thread, as a text of their own; where the sequence
 * ends in the rest of the text, its next items are those. That the two together are what the text says has to be seen
 * from their events: of the rest, that nothing that began before the cut goes on behind it but block collections, and
 * that these end there, up to the sequence of the cut's indentation; of the slice, that it is one such sequence without
 * anchors, which the rest might name. Where it is not so, or anything is wrong, the text is parsed anew as a whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/helper.h"
#include "model/document_builder.h"
#include "model/scalar.h"
#include "model/yaml_slice.h"

/* In the document's arena, which outlives the hash table. */
struct anchor {
	UT_hash_handle hh;
	const struct value *value;
	const char *name;
};

/* A slice of the text on its way. */
struct slice_side {
	struct yaml_slice slice;
	const char *text; /* of the slice alone */
	struct builder part;
	struct problem_list ignored;
	size_t lines; /* that the parser saw in it */
	struct helper helper;
};

struct yaml_side {
	struct builder *builder;
	yaml_parser_t parser;
	struct anchor *anchors; /* of the present document */
	size_t line;            /* of the text's first line, from 0 */
	size_t documents;       /* that were handed over */
	size_t documents_known; /* that were handed over before the text had to be parsed anew */
	bool handler_failed;

	/* What of the text is read, in turn: with a slice, what is before it and what is behind it. */
	const char *read[2];
	size_t read_length[2];
	struct slice_side *slice; /* NULL: there is none, or it was joined */
	const struct value *sliced; /* the last block sequence of the slice's indentation: the one that it may be of */
	size_t cut_start;         /* where it is cut out; SIZE_MAX: nowhere */
	size_t cut_lines;         /* of it, once it was joined */
};

static void yaml_side_clear(struct yaml_side *side)
{
	HASH_CLEAR(hh, side->anchors);
	yaml_parser_delete(&side->parser);
}

static unsigned int line_of(const struct yaml_side *side, const yaml_event_t *event)
{
	size_t cut = event->start_mark.index >= side->cut_start ? side->cut_lines : 0;

	return (unsigned int)(side->line + cut + event->start_mark.line) + 1;
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
	unsigned int line = line_of(side, event), column = column_of(event);
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
	builder_fail(side->builder, "unsupported", line_of(side, event), column_of(event),
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
			builder_fail(side->builder, "syntax", line_of(side, event), column_of(event),
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
		.line = line_of(side, event),
		.column = column_of(event),
		.odd_key = is_odd_key(scalar, text),
	};
	bool merge = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag &&
		     !strcmp(text, "<<");

	builder_key(side->builder, &key, event->data.scalar.length, merge);
}

static struct value *new_scalar(struct yaml_side *side, const yaml_event_t *event, const struct scalar *scalar)
{
	unsigned int line = line_of(side, event), column = column_of(event);
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
		builder_fail(side->builder, "syntax", line_of(side, event), column_of(event),
			     "expected a string as key, found a %s", mapping ? "mapping" : "list");
	if (tag && strcmp(tag, "!") && !tag_is(tag, mapping ? "map" : "seq"))
		fail_tag(side, event, tag);
	set_anchor(side, anchor, builder_open(side->builder, type, line_of(side, event), column_of(event)));
}

static void start_document(struct yaml_side *side)
{
	HASH_CLEAR(hh, side->anchors);
	builder_start(side->builder);
}

static void end_document(struct yaml_side *side, document_handler handler, void *context)
{
	struct builder *builder = side->builder;

	if (builder->error || !builder->root || builder->root->type == VALUE_NULL)
		return;
	if (side->documents++ < side->documents_known)
		return;
	builder->error = handler(builder->root, context);
	side->handler_failed = builder->error;
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

/* ------------------------------------------------------------------ texts */

/* libyaml's yaml_read_handler_t. */
static int read_text(void *data, unsigned char *buffer, size_t size, size_t *size_read)
{
	struct yaml_side *side = data;
	size_t i = side->read_length[0] ? 0 : 1;
	size_t count = side->read_length[i] < size ? side->read_length[i] : size;

	*size_read = count;
	if (!count) /* where there is one text, the other is no memory at all */
		return 1;
	memcpy(buffer, side->read[i], count);
	side->read[i] += count;
	side->read_length[i] -= count;
	return 1;
}

typedef void (*event_taker)(struct yaml_side *side, const yaml_event_t *event, document_handler handler, void *context);

/* False: libyaml has something to tell. */
static bool parse_events(struct yaml_side *side, event_taker take_one, document_handler handler, void *context)
{
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_event_t event;

	yaml_parser_set_input(&side->parser, read_text, side);
	while (!side->builder->error && type != YAML_STREAM_END_EVENT) {
		if (!yaml_parser_parse(&side->parser, &event))
			return false;
		type = event.type;
		take_one(side, &event, handler, context);
		yaml_event_delete(&event);
	}
	return true;
}

static int parse_whole(struct builder *builder, const char *text, size_t length, size_t documents_known,
		       document_handler handler, void *context)
{
	_cleanup_(yaml_side_clear) struct yaml_side side = {
		.builder = builder,
		.documents_known = documents_known,
		.read = { text },
		.read_length = { length },
		.cut_start = SIZE_MAX,
	};

	if (!yaml_parser_initialize(&side.parser))
		return -ENOMEM;
	if (!parse_events(&side, take_event, handler, context))
		report_parser_error(&side, text, length);
	return builder->error;
}

/* ------------------------------------------------------------------ slices */

/* Not a problem of the text: it has to be parsed as a whole. */
static void give_up(struct yaml_side *side)
{
	if (!side->builder->error)
		side->builder->error = -EINVAL;
}

static bool has_anchor(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return true;
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor;
	default:
		return false;
	}
}

/* A block sequence whose first '-' stands there; one with a tag or an anchor begins with that. */
static bool is_sequence_at(const yaml_event_t *event, size_t column)
{
	return event->type == YAML_SEQUENCE_START_EVENT && !event->data.sequence_start.tag && !has_anchor(event) &&
	       event->data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE && event->start_mark.column == column;
}

static void take_slice_event(struct yaml_side *side, const yaml_event_t *event, document_handler handler, void *context)
{
	bool opens_root = event->type == YAML_SEQUENCE_START_EVENT && !side->builder->depth;

	if (has_anchor(event) || (event->type == YAML_DOCUMENT_START_EVENT && side->builder->root) ||
	    (opens_root && !is_sequence_at(event, side->slice->slice.indentation)))
		give_up(side);
	else
		take_event(side, event, handler, context);
	if (event->type == YAML_STREAM_END_EVENT)
		side->slice->lines = event->start_mark.line;
}

/* The document is taken from the part when it is joined. */
static int keep_document(const struct value *root, void *context)
{
	(void)context;
	return root->type == VALUE_SEQUENCE ? 0 : -EINVAL;
}

static void parse_slice(void *data)
{
	struct slice_side *slice = data;
	_cleanup_(yaml_side_clear) struct yaml_side side = {
		.builder = &slice->part,
		.slice = slice,
		.line = slice->slice.line,
		.read = { slice->text },
		.read_length = { slice->slice.end - slice->slice.start },
		.cut_start = SIZE_MAX,
	};

	if (!yaml_parser_initialize(&side.parser) || !parse_events(&side, take_slice_event, keep_document, NULL) ||
	    !slice->part.root)
		give_up(&side);
}

static void join_slice(struct yaml_side *side)
{
	struct slice_side *slice = side->slice;

	helper_join(&slice->helper);
	side->slice = NULL;
	side->cut_lines = slice->lines;
	builder_join(side->builder, &slice->part);
}

/* Behind the cut, before the sequence has ended: what is open has no end of its own in the text. */
static bool is_end_by_indentation(const yaml_event_t *event)
{
	return (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT) &&
	       event->start_mark.index == event->end_mark.index;
}

/* A handle of the document's own would mean something else in the slice. */
static bool has_tag_handles(const yaml_event_t *event)
{
	return event->type == YAML_DOCUMENT_START_EVENT &&
	       event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end;
}

static void take_event_of_rest(struct yaml_side *side, const yaml_event_t *event, document_handler handler,
			       void *context)
{
	bool before = event->end_mark.index <= side->cut_start && event->start_mark.index < side->cut_start;

	if (side->slice && (has_tag_handles(event) || (!before && !is_end_by_indentation(event)))) {
		give_up(side);
		return;
	}
	if (side->slice && !before && builder_innermost(side->builder) == side->sliced)
		join_slice(side);
	take_event(side, event, handler, context);
	if (side->slice && is_sequence_at(event, side->slice->slice.indentation))
		side->sliced = builder_innermost(side->builder);
}

static void slice_free(struct slice_side **pointer)
{
	struct slice_side *slice = *pointer;

	if (!slice)
		return;
	builder_clear(&slice->part);
	problem_list_clear(&slice->ignored);
	free(slice);
}

/*
 * 0: the text was parsed, and handed over. *again: what is wrong is not the handler's error, and has no sentence yet.
 * *documents: how many were handed over.
 */
static int parse_rest(struct builder *builder, struct slice_side *slice, const char *text, size_t length,
		      size_t *documents, document_handler handler, void *context, bool *again)
{
	_cleanup_(yaml_side_clear) struct yaml_side side = {
		.builder = builder,
		.slice = slice,
		.read = { text, text + slice->slice.end },
		.read_length = { slice->slice.start, length - slice->slice.end },
		.cut_start = slice->slice.start,
	};

	if (!yaml_parser_initialize(&side.parser))
		return -ENOMEM;
	helper_start(&slice->helper, parse_slice, slice);
	if (!parse_events(&side, take_event_of_rest, handler, context))
		give_up(&side);
	if (side.slice) {
		/* The sequence did not end, or was none. */
		helper_join(&slice->helper);
		give_up(&side);
	}
	*documents = side.documents;
	*again = !side.handler_failed;
	return builder->error;
}

/* -EAGAIN: it is to be parsed as a whole, without the documents that were handed over. */
static int parse_sliced(struct builder *builder, const struct yaml_slice *found, const char *text, size_t length,
			size_t *documents, document_handler handler, void *context)
{
	_cleanup_(slice_free) struct slice_side *slice = calloc(1, sizeof(*slice));
	_cleanup_(problem_list_clear) struct problem_list ignored = { 0 };
	struct problem_list *problems = builder->problems;
	bool again = false;
	int error;

	if (!slice)
		return -ENOMEM;
	slice->slice = *found;
	slice->text = text + found->start;
	slice->part = (struct builder){ .size_max = builder->size_max, .problems = &slice->ignored };
	builder->problems = &ignored;
	error = parse_rest(builder, slice, text, length, documents, handler, context, &again);
	builder->problems = problems;
	if (!error || !again)
		return error;
	builder->error = 0;
	return -EAGAIN;
}

int document_parse_yaml(struct builder *builder, const char *text, size_t length, document_handler handler,
			void *context)
{
	struct yaml_slice slice;
	size_t documents = 0;
	int error = -EAGAIN;

	if (yaml_slice_find(text, length, &slice))
		error = parse_sliced(builder, &slice, text, length, &documents, handler, context);
	return error == -EAGAIN ? parse_whole(builder, text, length, documents, handler, context) : error;
}
