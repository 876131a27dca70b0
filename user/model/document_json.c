/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON side of document_parse. jansson parses; it does not say where a value stood, so a cursor goes through the
 * text in step with the parsed tree. The text is known to be JSON by then, and members keep their order, so the cursor
 * only has to find where each value begins and ends.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "model/document_builder.h"

/*
 * Of a list as long as this, jansson gets one element after the other. All at once it would take 600 bytes for a
 * {"ipBlock": {"cidr": "192.0.2.1/32"}}, a gigabyte for the lists that the agent is made for, and the time to touch it.
 */
#define LONG_TEXT (64u << 10)
/* What the elements of so much text take stands in memory together. */
#define BATCH_TEXT (16u << 10)

struct cursor {
	const char *at, *end;
	unsigned int line, column;
};

/* From the opening bracket of a list or an object to the closing one. */
struct span {
	const char *start, *end;
};

struct span_list {
	struct span *items; /* those of LONG_TEXT and more, in the order of their starts */
	size_t count, capacity;
};

struct json_side {
	struct builder *builder;
	struct cursor cursor;
	struct span_list long_ones;
	bool copies; /* what jansson holds goes before the document does */
};

static void json_side_clear(struct json_side *side)
{
	free(side->long_ones.items);
}

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
static json_t *load_into(struct arena *arena, const char *text, size_t length, size_t flags, json_error_t *error)
{
	json_malloc_t allocate;
	json_free_t release;
	json_t *json;

	json_get_alloc_funcs(&allocate, &release);
	text_memory = arena;
	json_set_alloc_funcs(allocate_text_memory, keep_text_memory);
	json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK | flags, error);
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

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct cursor *cursor)
{
	while (cursor->at < cursor->end && is_space(*cursor->at))
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

/* ------------------------------------------------------------------ long lists and objects */

static int compare_spans(const void *left, const void *right)
{
	const struct span *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* The long one that begins here, or NULL. */
static const struct span *find_long(const struct json_side *side, const char *start)
{
	const struct span wanted = { .start = start };

	if (!side->long_ones.count)
		return NULL;
	return bsearch(&wanted, side->long_ones.items, side->long_ones.count, sizeof(wanted), compare_spans);
}

static int add_span(struct span_list *list, const char *start, const char *end)
{
	if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
		return -ENOMEM;
	list->items[list->count++] = (struct span){ start, end };
	return 0;
}

/* The brackets that are open, as far as a document may be deep. */
struct brackets {
	const char *open[DECODE_DEPTH_MAX];
	size_t depth;
};

/* A bracket of a text that need not be right: what follows from it is checked where it is used. */
static int note_bracket(struct brackets *brackets, const char *at, struct span_list *long_ones)
{
	const char *start;

	if (*at == '[' || *at == '{') {
		if (brackets->depth < DECODE_DEPTH_MAX)
			brackets->open[brackets->depth] = at;
		brackets->depth++;
		return 0;
	}
	if (!brackets->depth || --brackets->depth >= DECODE_DEPTH_MAX)
		return 0;
	start = brackets->open[brackets->depth];
	if (at - start < (ptrdiff_t)LONG_TEXT || *at != (*start == '[' ? ']' : '}'))
		return 0;
	return add_span(long_ones, start, at);
}

/* The text of a long list or object, without what is in the long lists in it. The caller frees it. */
static char *without_lists(const struct json_side *side, const struct span *whole, size_t *length)
{
	char *text = malloc((size_t)(whole->end - whole->start) + 1);
	const char *from = whole->start;
	const struct span *span;

	*length = 0;
	if (!text)
		return NULL;
	for (span = whole; span < side->long_ones.items + side->long_ones.count && span->start < whole->end; span++) {
		if (*span->start != '[' || span->start < from)
			continue;
		memcpy(text + *length, from, (size_t)(span->start + 1 - from));
		*length += (size_t)(span->start + 1 - from);
		from = span->end;
	}
	memcpy(text + *length, from, (size_t)(whole->end + 1 - from));
	*length += (size_t)(whole->end + 1 - from);
	return text;
}

/* The value, with long lists empty, in the document's memory. NULL: builder->error says so. */
static json_t *load_long(struct json_side *side, const struct span *whole)
{
	_cleanup_free_ char *text = NULL;
	json_error_t error;
	size_t length;
	json_t *json;

	text = without_lists(side, whole, &length);
	json = text ? load_into(side->builder->arena, text, length, 0, &error) : NULL;
	if (!json)
		side->builder->error = -EINVAL;
	return json;
}

/* ------------------------------------------------------------------ the tree */

static void add_string(struct json_side *side, const json_t *json, struct value *value)
{
	/* jansson lets no NUL into it. */
	value->text = json_string_value(json);
	if (side->copies)
		value->text = builder_text(side->builder, value->text, json_string_length(json), value->line,
					   value->column);
	skip_string(&side->cursor);
}

static void add_word(struct json_side *side, const json_t *json, struct value *value)
{
	struct cursor *cursor = &side->cursor;
	const char *start = cursor->at;

	skip_word(cursor);
	if (json_is_integer(json)) {
		value->integer = json_integer_value(json);
		return;
	}
	value->boolean = json_is_true(json);
	value->text = builder_text(side->builder, start, (size_t)(cursor->at - start), value->line, value->column);
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

static void add_scalar(struct json_side *side, const json_t *json)
{
	struct builder *builder = side->builder;
	struct value *value = builder_new_value(builder, scalar_type(json), side->cursor.line, side->cursor.column);

	if (!value)
		return;
	if (json_is_string(json))
		add_string(side, json, value);
	else
		add_word(side, json, value);
	if (!builder->error)
		builder_value(builder, value);
}

static void add_value(struct json_side *side, json_t *json);

static void add_key(struct json_side *side, const char *name)
{
	struct mapping_field key = { .key = name, .line = side->cursor.line, .column = side->cursor.column };

	if (side->copies)
		builder_key(side->builder, &key, strlen(name), false);
	else
		builder_key_kept(side->builder, &key);
}

static void add_object(struct json_side *side, json_t *json)
{
	struct cursor *cursor = &side->cursor;
	const char *name;
	json_t *member;

	json_object_foreach(json, name, member) {
		/* Past the brace or comma. */
		skip_character(cursor);
		skip_space(cursor);
		add_key(side, name);
		skip_string(cursor);
		/* Past the colon. */
		skip_character(cursor);
		add_value(side, member);
		if (side->builder->error)
			return;
	}
	if (!json_object_size(json))
		skip_character(cursor);
	skip_character(cursor);
}

static void add_array(struct json_side *side, json_t *json)
{
	struct cursor *cursor = &side->cursor;
	json_t *item;
	size_t index;

	json_array_foreach(json, index, item) {
		skip_character(cursor);
		add_value(side, item);
		if (side->builder->error)
			return;
	}
	if (!json_array_size(json))
		skip_character(cursor);
	skip_character(cursor);
}

/* The element of a long list that begins at the cursor, by itself. */
static void add_element(struct json_side *side, struct arena *memory, const char *end)
{
	const char *start = side->cursor.at;
	const struct span *whole = find_long(side, start);
	json_error_t error = { .position = 0 };
	json_t *json;

	if (whole) {
		json = load_long(side, whole);
		if (json)
			add_value(side, json);
		return;
	}
	json = load_into(memory, start, (size_t)(end - start), JSON_DECODE_ANY, &error);
	if (!json) {
		side->builder->error = -EINVAL;
		return;
	}
	side->copies = true;
	add_value(side, json);
	side->copies = false;
	/* A word may go on behind what jansson took for one. */
	if (!side->builder->error && side->cursor.at - start != error.position)
		side->builder->error = -EINVAL;
}

/* Past the comma between two elements. False: the list ends here. */
static bool next_element(struct json_side *side, const char *end)
{
	struct cursor *cursor = &side->cursor;

	skip_space(cursor);
	if (cursor->at == end)
		return false;
	if (*cursor->at == ',')
		step(cursor);
	else
		side->builder->error = -EINVAL;
	skip_space(cursor);
	if (cursor->at == end)
		side->builder->error = -EINVAL;
	return !side->builder->error;
}

/* The elements of a long list, of which jansson saw only the brackets. */
static void add_long_list(struct json_side *side, const char *end)
{
	_cleanup_(arena_free_pointer) struct arena *memory = NULL;
	struct cursor *cursor = &side->cursor;
	const char *batch = NULL;
	bool more;

	skip_character(cursor);
	skip_space(cursor);
	for (more = cursor->at != end; more; more = next_element(side, end)) {
		if (!batch || cursor->at - batch >= (ptrdiff_t)BATCH_TEXT) {
			arena_free_pointer(&memory);
			memory = arena_new();
			batch = cursor->at;
		}
		if (!memory)
			side->builder->error = -ENOMEM;
		else
			add_element(side, memory, end);
		if (side->builder->error)
			return;
	}
	skip_character(cursor);
}

static void add_list(struct json_side *side, json_t *json)
{
	/* A long one stands empty in the tree. */
	const struct span *whole = json_array_size(json) ? NULL : find_long(side, side->cursor.at);

	if (whole)
		add_long_list(side, whole->end);
	else
		add_array(side, json);
}

/* Goes as deep as the builder lets it: DECODE_DEPTH_MAX. */
static void add_value(struct json_side *side, json_t *json)
{
	struct builder *builder = side->builder;
	bool is_object = json_is_object(json);
	const struct cursor *cursor = &side->cursor;

	skip_space(&side->cursor);
	if (!is_object && !json_is_array(json)) {
		add_scalar(side, json);
		return;
	}
	if (!builder_open(builder, is_object ? VALUE_MAPPING : VALUE_SEQUENCE, cursor->line, cursor->column))
		return;
	if (is_object)
		add_object(side, json);
	else
		add_list(side, json);
	builder_close(builder);
}

/* ------------------------------------------------------------------ texts */

/*
 * jansson takes some 200 bytes for a value of two characters, so a text of too many values is refused before it is
 * parsed. Every value but the first follows a bracket, brace, comma or colon; those of keys are counted once.
 */
static bool within_limits(struct json_side *side)
{
	struct builder *builder = side->builder;
	struct brackets brackets = { .depth = 0 };
	struct cursor cursor = side->cursor;
	size_t values = 1;

	while (cursor.at < cursor.end) {
		char c = *cursor.at;

		if (c == '"') {
			skip_string(&cursor);
			continue;
		}
		values += c == ',' || c == '[' || c == '{';
		if (values > builder->size_max) {
			builder_fail(builder, "limit", cursor.line, cursor.column,
				     "expected at most %u values in a document, found more", builder->size_max);
			return false;
		}
		if ((c == '[' || c == '{' || c == ']' || c == '}') &&
		    note_bracket(&brackets, cursor.at, &side->long_ones)) {
			builder->error = -ENOMEM;
			return false;
		}
		step(&cursor);
	}
	if (side->long_ones.count)
		qsort(side->long_ones.items, side->long_ones.count, sizeof(*side->long_ones.items), compare_spans);
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

static int load_and_add(struct json_side *side)
{
	const struct cursor start = side->cursor;
	struct builder *builder = side->builder;
	json_error_t error;
	json_t *json = load_into(builder->arena, start.at, (size_t)(start.end - start.at), 0, &error);

	if (!json && !builder->strict_json)
		return -ENOTSUP;
	if (json)
		add_value(side, json);
	else
		report_json_error(builder, &start, &error);
	return builder->error;
}

/*
 * The same with long lists element by element. False: something is wrong with the text, and nothing was done; what it
 * is shows when it is parsed as a whole.
 */
static bool load_and_add_long(struct json_side *side)
{
	const struct span *whole = find_long(side, side->cursor.at);
	_cleanup_(problem_list_clear) struct problem_list ignored = { 0 };
	struct builder *builder = side->builder;
	struct problem_list *problems = builder->problems;
	const struct cursor start = side->cursor;
	json_t *json;

	if (!whole)
		return false;
	builder->problems = &ignored;
	json = load_long(side, whole);
	if (json)
		add_value(side, json);
	builder->problems = problems;
	if (!builder->error)
		return true;
	side->cursor = start;
	side->copies = false;
	builder->error = 0;
	builder_start(builder);
	return false;
}

/* One value and what it takes; the cursor is then behind it. */
static int parse_one(struct json_side *side, document_handler handler, void *context)
{
	struct cursor *cursor = &side->cursor;
	struct builder *builder = side->builder;
	int error;

	builder_start(builder);
	if (builder->error)
		return builder->error;
	if (!load_and_add_long(side)) {
		error = builder->error ? builder->error : load_and_add(side);
		if (error)
			return error;
	}
	skip_space(cursor);
	if (!builder->strict_json && cursor->at < cursor->end)
		return -ENOTSUP;
	return handler(builder->root, context);
}

int document_parse_json(struct builder *builder, const char *text, size_t length, document_handler handler,
			void *context)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	_cleanup_(json_side_clear) struct json_side side = {
		.builder = builder,
		.cursor = { .at = text, .end = text + length, .line = 1, .column = 1 },
	};
	struct cursor *cursor = &side.cursor;
	int error;

	if (length >= 3 && !memcmp(text, byte_order_mark, 3))
		cursor->at += 3;
	skip_space(cursor);
	if (!builder->strict_json && (cursor->at == cursor->end || *cursor->at != '{'))
		return -ENOTSUP;
	if (!within_limits(&side))
		return builder->error;
	do {
		error = parse_one(&side, handler, context);
	} while (!error && cursor->at < cursor->end);
	return error;
}
