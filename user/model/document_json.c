/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON side of document_parse. jansson parses; it does not say where a value stood, so a cursor goes through the
 * text in step with the parsed tree. The text is known to be JSON by then, and members keep their order, so the cursor
 * only has to find where each value begins and ends.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/document_builder.h"

struct cursor {
	const char *at, *end;
	unsigned int line, column;
};

/*
 * What jansson allocates for a text comes from an arena, and goes with it: piece by piece it would take longer than all
 * the rest, and leave holes in the heap between the objects that come of it.
 */
static struct arena *text_memory;

static void *allocate_text_memory(size_t size)
{
	return arena_allocate(text_memory, size);
}

static void keep_text_memory(void *memory)
{
	(void)memory;
}

/* The value lives as long as the arena; it is not to be released. */
static json_t *load_into(struct arena *arena, const char *text, size_t length, json_error_t *error)
{
	json_malloc_t allocate;
	json_free_t release;
	json_t *json;

	json_get_alloc_funcs(&allocate, &release);
	text_memory = arena;
	json_set_alloc_funcs(allocate_text_memory, keep_text_memory);
	json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, error);
	json_set_alloc_funcs(allocate, release);
	text_memory = NULL;
	return json;
}

static void step(struct cursor *cursor)
{
	if (*cursor->at == '\n') {
		cursor->line++;
		cursor->column = 1;
	} else if (((unsigned char)*cursor->at & 0xc0) != 0x80) {
		/* A character of several bytes counts once, by its first. */
		cursor->column++;
	}
	cursor->at++;
}

static void skip_space(struct cursor *cursor)
{
	while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
		step(cursor);
}

/* From the opening quote past the closing one. No line ends in a string. */
static void skip_string(struct cursor *cursor)
{
	const char *at = cursor->at + 1, *end = cursor->end;
	unsigned int column = cursor->column + 1;

	for (; at < end && *at != '"'; at++) {
		column += ((unsigned char)*at & 0xc0) != 0x80;
		if (*at == '\\' && at + 1 < end) {
			at++;
			column++;
		}
	}
	if (at < end) {
		at++;
		column++;
	}
	cursor->at = at;
	cursor->column = column;
}

static void skip_character(struct cursor *cursor)
{
	skip_space(cursor);
	if (cursor->at < cursor->end)
		step(cursor);
}

/* A number, true, false or null. */
static void skip_word(struct cursor *cursor)
{
	while (cursor->at < cursor->end && *cursor->at && !strchr(" \t\r\n,]}", *cursor->at))
		step(cursor);
}

/* ------------------------------------------------------------------ the tree */

static void add_string(struct cursor *cursor, const json_t *json, struct value *value)
{
	/* Lives as long as the document does, and jansson lets no NUL into it. */
	value->text = json_string_value(json);
	skip_string(cursor);
}

static void add_word(struct builder *builder, struct cursor *cursor, const json_t *json, struct value *value)
{
	const char *start = cursor->at;

	skip_word(cursor);
	if (json_is_integer(json)) {
		value->integer = json_integer_value(json);
		return;
	}
	value->boolean = json_is_true(json);
	value->text = builder_text(builder, start, (size_t)(cursor->at - start), value->line, value->column);
}

static enum value_type scalar_type(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_STRING:
		return VALUE_STRING;
	case JSON_INTEGER:
		return VALUE_INTEGER;
	case JSON_REAL:
		return VALUE_NUMBER;
	case JSON_TRUE:
	case JSON_FALSE:
		return VALUE_BOOLEAN;
	default:
		return VALUE_NULL;
	}
}

static void add_scalar(struct builder *builder, struct cursor *cursor, const json_t *json)
{
	struct value *value = builder_new_value(builder, scalar_type(json), cursor->line, cursor->column);

	if (!value)
		return;
	if (json_is_string(json))
		add_string(cursor, json, value);
	else
		add_word(builder, cursor, json, value);
	builder_value(builder, value);
}

static void add_value(struct builder *builder, struct cursor *cursor, json_t *json);

static void add_object(struct builder *builder, struct cursor *cursor, json_t *json)
{
	const char *name;
	json_t *member;

	json_object_foreach(json, name, member) {
		struct mapping_field key = { .key = name };

		/* Past the brace or comma. */
		skip_character(cursor);
		skip_space(cursor);
		key.line = cursor->line;
		key.column = cursor->column;
		builder_key_kept(builder, &key);
		skip_string(cursor);
		/* Past the colon. */
		skip_character(cursor);
		add_value(builder, cursor, member);
		if (builder->error)
			return;
	}
	if (!json_object_size(json))
		skip_character(cursor);
	skip_character(cursor);
}

static void add_array(struct builder *builder, struct cursor *cursor, json_t *json)
{
	json_t *item;
	size_t index;

	json_array_foreach(json, index, item) {
		skip_character(cursor);
		add_value(builder, cursor, item);
		if (builder->error)
			return;
	}
	if (!json_array_size(json))
		skip_character(cursor);
	skip_character(cursor);
}

/* Goes as deep as the builder lets it: DECODE_DEPTH_MAX. */
static void add_value(struct builder *builder, struct cursor *cursor, json_t *json)
{
	bool is_object = json_is_object(json);

	skip_space(cursor);
	if (!is_object && !json_is_array(json)) {
		add_scalar(builder, cursor, json);
		return;
	}
	if (!builder_open(builder, is_object ? VALUE_MAPPING : VALUE_SEQUENCE, cursor->line, cursor->column))
		return;
	if (is_object)
		add_object(builder, cursor, json);
	else
		add_array(builder, cursor, json);
	builder_close(builder);
}

/* ------------------------------------------------------------------ texts */

/*
 * jansson takes some 200 bytes for a value of two characters, so a text of too many values is refused before it is
 * parsed. Every value but the first follows a bracket, brace, comma or colon; those of keys are counted once.
 */
static bool within_limits(struct builder *builder, struct cursor cursor)
{
	size_t values = 1;

	while (cursor.at < cursor.end) {
		if (*cursor.at == '"') {
			skip_string(&cursor);
			continue;
		}
		values += *cursor.at == ',' || *cursor.at == '[' || *cursor.at == '{';
		if (values > DECODE_NODES_MAX) {
			builder_fail(builder, "limit", cursor.line, cursor.column,
				     "expected at most %u values in a document, found more", DECODE_NODES_MAX);
			return false;
		}
		step(&cursor);
	}
	return true;
}

static void report_json_error(struct builder *builder, const struct cursor *start, const json_error_t *error)
{
	unsigned int line = start->line, column = start->column;

	if (json_error_code(error) == json_error_out_of_memory) {
		builder->error = -ENOMEM;
		return;
	}
	if (error->line > 1)
		line += (unsigned int)error->line - 1;
	if (error->line > 1)
		column = (unsigned int)(error->column > 0 ? error->column : 1);
	else if (error->column > 1)
		column += (unsigned int)error->column - 1;
	builder_fail(builder, "syntax", line, column, "JSON: %s", error->text);
}

/* One value and what it takes; the cursor is then behind it. */
static int parse_one(struct builder *builder, struct cursor *cursor, document_handler handler, void *context)
{
	struct cursor start = *cursor;
	size_t length = (size_t)(cursor->end - cursor->at);
	json_error_t error;
	json_t *json;

	builder_start(builder);
	if (builder->error)
		return builder->error;
	json = load_into(builder->arena, cursor->at, length, &error);
	if (!json && !builder->strict_json)
		return -ENOTSUP;
	if (!json) {
		report_json_error(builder, &start, &error);
		return builder->error;
	}
	add_value(builder, cursor, json);
	skip_space(cursor);
	if (builder->error)
		return builder->error;
	if (!builder->strict_json && cursor->at < cursor->end)
		return -ENOTSUP;
	return handler(builder->root, context);
}

int document_parse_json(struct builder *builder, const char *text, size_t length, document_handler handler,
			void *context)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	struct cursor cursor = { .at = text, .end = text + length, .line = 1, .column = 1 };
	int error;

	if (length >= 3 && !memcmp(text, byte_order_mark, 3))
		cursor.at += 3;
	skip_space(&cursor);
	if (!builder->strict_json && (cursor.at == cursor.end || *cursor.at != '{'))
		return -ENOTSUP;
	if (!within_limits(builder, cursor))
		return builder->error;
	do {
		error = parse_one(builder, &cursor, handler, context);
	} while (!error && cursor.at < cursor.end);
	return error;
}
