/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON side of document_parse. jansson parses; it does not say where a value stood, so a cursor goes through the
 * text in step with the parsed tree. The text is known to be JSON by then, and members keep their order, so the cursor
 * only has to find where each value begins and ends.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/helper.h"
#include "model/document_builder.h"

/*
 * Of a list as long as this, jansson gets one element after the other. All at once it would take 600 bytes for a
 * {"ipBlock": {"cidr": "192.0.2.1/32"}}, a gigabyte for the lists that the agent is made for, and the time to touch it.
 */
#define LONG_TEXT (64u << 10)
/* From element to element of a long list there are so many bytes at least between two places where it may be split. */
#define MARK_TEXT (32u << 10)
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

/* A place behind a comma of a long list. */
struct mark {
	const char *list; /* its opening bracket */
	struct cursor cursor;
};

struct mark_list {
	struct mark *items; /* in the order of the text */
	size_t count, capacity;
};

struct json_side {
	struct builder *builder;
	struct cursor cursor;
	struct span_list long_ones;
	struct mark_list marks; /* some of those of the long lists */
	bool copies; /* what jansson holds goes before the document does */
	bool split;  /* this is a part of a list, of which another thread has the other one */
};

static void json_side_clear(struct json_side *side)
{
	free(side->long_ones.items);
	free(side->marks.items);
}

/*
 * What jansson allocates for a text comes from an arena, and goes with it: piece by piece it would take longer than all
 * the rest, and leave holes in the heap between the objects that come of it. Each thread that parses has its own.
 */
static _Thread_local struct arena *text_memory;

static void *allocate_text_memory(size_t size)
{
	return arena_allocate(text_memory, size);
}

static void keep_text_memory(void *memory)
{
	(void)memory;
}

/* What jansson allocates with otherwise. While a text is parsed no other thread is to do anything with jansson. */
struct allocators {
	json_malloc_t allocate;
	json_free_t release;
};

static void use_text_memory(struct allocators *before)
{
	json_get_alloc_funcs(&before->allocate, &before->release);
	json_set_alloc_funcs(allocate_text_memory, keep_text_memory);
}

static void use_other_memory(const struct allocators *before)
{
	json_set_alloc_funcs(before->allocate, before->release);
}

/* The value lives as long as the arena; it is not to be released. */
static json_t *load_into(struct arena *arena, const char *text, size_t length, size_t flags, json_error_t *error)
{
	text_memory = arena;
	return json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK | flags, error);
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

/* The brackets that are open, as far as a document may be deep, and where the list of each was marked last. */
struct brackets {
	const char *open[DECODE_DEPTH_MAX], *marked[DECODE_DEPTH_MAX];
	size_t depth;
};

/* A bracket of a text that need not be right: what follows from it is checked where it is used. */
static int note_bracket(struct brackets *brackets, const char *at, struct span_list *long_ones)
{
	const char *start;

	if (*at == '[' || *at == '{') {
		if (brackets->depth < DECODE_DEPTH_MAX)
			brackets->open[brackets->depth] = brackets->marked[brackets->depth] = at;
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

/* Whether to mark the place behind a comma: in a list, and long enough after the last mark in it. */
static bool is_worth_a_mark(const struct brackets *brackets, const char *at)
{
	size_t depth = brackets->depth;

	return depth && depth <= DECODE_DEPTH_MAX && *brackets->open[depth - 1] == '[' &&
	       at - brackets->marked[depth - 1] >= (ptrdiff_t)MARK_TEXT;
}

static int add_mark(struct mark_list *list, struct brackets *brackets, const struct cursor *cursor)
{
	const struct mark mark = { brackets->open[brackets->depth - 1], *cursor };

	if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
		return -ENOMEM;
	list->items[list->count++] = mark;
	brackets->marked[brackets->depth - 1] = cursor->at;
	return 0;
}

/* The mark that is next to the middle of a list, or NULL where it has none. */
static const struct mark *find_middle(const struct json_side *side, const char *list, const char *end)
{
	const char *middle = list + (end - list) / 2;
	const struct mark *best = NULL;

	for (size_t i = 0; i < side->marks.count; i++) {
		const struct mark *mark = &side->marks.items[i];

		if (mark->list != list)
			continue;
		if (!best || mark->cursor.at <= middle)
			best = mark;
	}
	return best;
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

/* Past the comma between two elements. False: the list, or the part of it that is wanted, ends here. */
static bool next_element(struct json_side *side, const char *part_end, const char *end)
{
	struct cursor *cursor = &side->cursor;

	skip_space(cursor);
	if (cursor->at == end)
		return false;
	if (*cursor->at == ',')
		step(cursor);
	else
		side->builder->error = -EINVAL;
	if (cursor->at == part_end)
		return false;
	skip_space(cursor);
	if (cursor->at == end)
		side->builder->error = -EINVAL;
	return !side->builder->error;
}

/* From the element at the cursor to where the part or the list ends, whichever is first. */
static void add_elements(struct json_side *side, const char *part_end, const char *end)
{
	_cleanup_(arena_free_pointer) struct arena *memory = NULL;
	struct cursor *cursor = &side->cursor;
	const char *batch = NULL;
	bool more = true;

	while (more) {
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
		more = next_element(side, part_end, end);
	}
}

/* The second half of a long list, which another thread adds to a part of the document. */
struct half {
	struct json_side side;
	struct builder part;
	struct problem_list ignored;
	const char *end;
	struct helper helper;
};

static void half_free(struct half **pointer)
{
	struct half *half = *pointer;

	if (!half)
		return;
	builder_clear(&half->part);
	problem_list_clear(&half->ignored);
	free(half);
}

static void add_half(void *data)
{
	struct half *half = data;
	struct builder *part = &half->part;

	builder_start(part);
	builder_open(part, VALUE_SEQUENCE, 0, 0);
	skip_space(&half->side.cursor);
	if (half->side.cursor.at == half->end)
		part->error = -EINVAL;
	if (!part->error)
		add_elements(&half->side, NULL, half->end);
	builder_close(part);
}

/* Where the elements before the middle end there too, the middle was one, and the marks told its place. */
static bool same_cursor(const struct cursor *a, const struct cursor *b)
{
	return a->at == b->at && a->line == b->line && a->column == b->column;
}

static void add_halves(struct json_side *side, const struct mark *middle, const char *end)
{
	_cleanup_(half_free) struct half *half = calloc(1, sizeof(*half));
	struct builder *builder = side->builder;

	if (!half) {
		builder->error = -ENOMEM;
		return;
	}
	side->split = true;
	half->side = *side;
	half->side.builder = &half->part;
	half->side.cursor = middle->cursor;
	half->end = end;
	half->part = (struct builder){ .size_max = builder->size_max, .problems = &half->ignored };
	helper_start(&half->helper, add_half, half);
	add_elements(side, middle->cursor.at, end);
	helper_join(&half->helper);
	if (!builder->error && !same_cursor(&side->cursor, &middle->cursor))
		builder->error = -EINVAL;
	builder_join(builder, &half->part);
	side->cursor = half->side.cursor;
	side->split = false;
}

/* The elements of a long list, of which jansson saw only the brackets. */
static void add_long_list(struct json_side *side, const char *end)
{
	struct cursor *cursor = &side->cursor;
	const struct mark *middle = side->split ? NULL : find_middle(side, cursor->at, end);

	skip_character(cursor);
	skip_space(cursor);
	if (middle)
		add_halves(side, middle, end);
	else if (cursor->at != end)
		add_elements(side, NULL, end);
	if (!side->builder->error)
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

/* What brackets, braces, commas and strings begin or end with. */
static const bool is_sign[UCHAR_MAX + 1] = {
	['"'] = true, [','] = true, ['['] = true, [']'] = true, ['{'] = true, ['}'] = true,
};

/* From the opening quote past the closing one. */
static const char *behind_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		at += *at == '\\' && at + 1 < end;
	return at < end ? at + 1 : end;
}

/* Eight bytes at a time: all of a long text goes through here, and nobody else works until it has. */
static size_t count_characters(const char *at, const char *end)
{
	const uint64_t lowest = UINT64_C(0x0101010101010101);
	size_t count = (size_t)(end - at);
	uint64_t bytes;

	for (; end - at >= (ptrdiff_t)sizeof(bytes); at += sizeof(bytes)) {
		memcpy(&bytes, at, sizeof(bytes));
		/* All but the first byte of a character begin with the bits 10. */
		count -= (size_t)__builtin_popcountll(bytes >> 7 & ~bytes >> 6 & lowest);
	}
	for (; at < end; at++)
		count -= ((unsigned char)*at & 0xc0) == 0x80;
	return count;
}

/* As step() would come there. */
static void move_to(struct cursor *cursor, const char *at)
{
	const char *line;

	while ((line = memchr(cursor->at, '\n', (size_t)(at - cursor->at)))) {
		cursor->line++;
		cursor->column = 1;
		cursor->at = line + 1;
	}
	cursor->column += (unsigned int)count_characters(cursor->at, at);
	cursor->at = at;
}

static int note_sign(struct json_side *side, struct brackets *brackets, const char *at, struct cursor *cursor)
{
	if (*at != ',')
		return note_bracket(brackets, at, &side->long_ones);
	if (!is_worth_a_mark(brackets, at))
		return 0;
	move_to(cursor, at + 1);
	return add_mark(&side->marks, brackets, cursor);
}

/*
 * jansson takes some 200 bytes for a value of two characters, so a text of too many values is refused before it is
 * parsed. Every value but the first follows a bracket, brace, comma or colon; those of keys are counted once.
 */
static bool within_limits(struct json_side *side)
{
	struct builder *builder = side->builder;
	struct brackets brackets = { .depth = 0 };
	struct cursor cursor = side->cursor;
	const char *at = cursor.at, *end = cursor.end;
	size_t values = 1;

	while (at < end) {
		if (!is_sign[(unsigned char)*at]) {
			at++;
			continue;
		}
		if (*at == '"') {
			at = behind_string(at, end);
			continue;
		}
		values += *at != ']' && *at != '}';
		if (values > builder->size_max) {
			move_to(&cursor, at);
			builder_fail(builder, "limit", cursor.line, cursor.column,
				     "expected at most %u values in a document, found more", builder->size_max);
			return false;
		}
		if (note_sign(side, &brackets, at, &cursor)) {
			builder->error = -ENOMEM;
			return false;
		}
		at++;
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
	side->copies = side->split = false;
	builder->error = 0;
	builder_start(builder);
	return false;
}

static int load_and_add_any(struct json_side *side)
{
	struct allocators before;
	int error = 0;

	use_text_memory(&before);
	if (!load_and_add_long(side))
		error = side->builder->error ? side->builder->error : load_and_add(side);
	use_other_memory(&before);
	return error;
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
	error = load_and_add_any(side);
	if (error)
		return error;
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
