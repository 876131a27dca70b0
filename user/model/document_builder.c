/* SPDX-License-Identifier: Apache-2.0 */
#include "model/document_builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

/* Mappings up to this many fields are searched for a key that stands twice by comparing all with all. */
#define SMALL_MAPPING 16

_Static_assert(DECODE_DEPTH_MAX <= UINT8_MAX, "value.height");
_Static_assert(DECODE_SAVED_NODES_MAX <= UINT32_MAX, "value.size and value.count");

void builder_clear(struct builder *builder)
{
	arena_free(builder->arena);
	free(builder->entries);
	free(builder->items);
	*builder = (struct builder){};
}

void builder_start(struct builder *builder)
{
	arena_free(builder->arena);
	builder->arena = arena_new();
	if (!builder->arena)
		builder->error = -ENOMEM;
	builder->size = 0;
	builder->depth = 0;
	builder->entry_count = 0;
	builder->item_count = 0;
	memset(builder->keys, 0, sizeof(builder->keys));
	builder->root = NULL;
}

void builder_fail(struct builder *builder, const char *rule, unsigned int line, unsigned int column,
		  const char *format, ...)
{
	struct place place = { builder->name, line, column };
	_cleanup_free_ char *message = NULL;
	va_list arguments;

	if (builder->error)
		return;
	va_start(arguments, format);
	message = text_format_list(format, arguments);
	va_end(arguments);
	builder->error = -ENOMEM;
	if (message && !problem_add(builder->problems, PROBLEM_ERROR, rule, &place, NULL, "%s", message))
		builder->error = -EINVAL;
}

static bool count_values(struct builder *builder, uint32_t size, unsigned int line, unsigned int column)
{
	builder->size += size;
	if (builder->size <= builder->size_max)
		return true;
	builder_fail(builder, "limit", line, column, "expected at most %u values in a document, found more",
		     builder->size_max);
	return false;
}

struct value *builder_new_value(struct builder *builder, enum value_type type, unsigned int line, unsigned int column)
{
	struct value *value;

	if (builder->error || !count_values(builder, 1, line, column))
		return NULL;
	value = arena_allocate(builder->arena, sizeof(*value));
	if (!value) {
		builder->error = -ENOMEM;
		return NULL;
	}
	value->type = type;
	value->size = 1;
	value->line = line;
	value->column = column;
	return value;
}

const char *builder_text(struct builder *builder, const char *text, size_t length, unsigned int line,
			 unsigned int column)
{
	char *copy;

	if (builder->error)
		return NULL;
	if (length && memchr(text, '\0', length)) {
		builder_fail(builder, "syntax", line, column, "expected text, found a NUL character in it");
		return NULL;
	}
	copy = arena_copy(builder->arena, text, length);
	if (!copy)
		builder->error = -ENOMEM;
	return copy;
}

static struct builder_level *top_level(const struct builder *builder)
{
	return (struct builder_level *)&builder->levels[builder->depth - 1];
}

bool builder_expects_key(const struct builder *builder)
{
	return builder->depth && top_level(builder)->collection->type == VALUE_MAPPING &&
	       !top_level(builder)->has_key;
}

static struct builder_entry *new_entry(struct builder *builder)
{
	struct builder_entry *entry;

	if (builder->error)
		return NULL;
	if (array_reserve(&builder->entries, &builder->entry_capacity, builder->entry_count + 1, sizeof(*entry))) {
		builder->error = -ENOMEM;
		return NULL;
	}
	entry = &builder->entries[builder->entry_count++];
	*entry = (struct builder_entry){};
	return entry;
}

static void place_key(struct builder *builder, const struct mapping_field *key, const char *text, bool merge)
{
	struct builder_entry *entry = new_entry(builder);

	if (!entry)
		return;
	entry->field = *key;
	entry->field.key = text;
	entry->merge = merge;
	top_level(builder)->has_key = true;
}

static const char *key_text(struct builder *builder, const struct mapping_field *key, size_t length)
{
	struct builder_known_key *known = &builder->keys[length % BUILDER_KEYS];
	const char *text;

	if (known->text && known->length == length && !memcmp(known->text, key->key, length))
		return known->text;
	text = builder_text(builder, key->key, length, key->line, key->column);
	if (text)
		*known = (struct builder_known_key){ text, length };
	return text;
}

void builder_key(struct builder *builder, const struct mapping_field *key, size_t length, bool merge)
{
	place_key(builder, key, key_text(builder, key, length), merge);
}

void builder_key_kept(struct builder *builder, const struct mapping_field *key)
{
	place_key(builder, key, key->key, false);
}

static void reserve_items(struct builder *builder, size_t more)
{
	if (array_reserve(&builder->items, &builder->item_capacity, builder->item_count + more, sizeof(*builder->items)))
		builder->error = -ENOMEM;
}

/* Now, while the value is at hand: at the end of a long list its items are no longer in the processor's cache. */
static void count_in(struct value *collection, const struct value *value)
{
	collection->size += value->size;
	if (collection->height <= value->height)
		collection->height = value->height + 1;
}

/* The value is already counted among the document's. */
static void place_value(struct builder *builder, const struct value *value)
{
	struct builder_level *level;

	if (builder->error)
		return;
	if (!builder->depth) {
		builder->root = value;
		return;
	}
	level = top_level(builder);
	count_in(level->collection, value);
	if (level->has_key) {
		builder->entries[builder->entry_count - 1].field.value = value;
		level->has_key = false;
		return;
	}
	reserve_items(builder, 1);
	if (!builder->error)
		builder->items[builder->item_count++] = value;
}

void builder_value(struct builder *builder, const struct value *value)
{
	if (value)
		place_value(builder, value);
}

void builder_alias(struct builder *builder, const struct value *value, unsigned int line, unsigned int column)
{
	if (builder->error || !count_values(builder, value->size, line, column))
		return;
	if (builder->depth + value->height > DECODE_DEPTH_MAX) {
		builder_fail(builder, "limit", line, column, "expected at most %d levels, found more",
			     DECODE_DEPTH_MAX);
		return;
	}
	place_value(builder, value);
}

bool builder_is_open(const struct builder *builder, const struct value *value)
{
	for (size_t i = 0; i < builder->depth; i++) {
		if (builder->levels[i].collection == value)
			return true;
	}
	return false;
}

const struct value *builder_innermost(const struct builder *builder)
{
	return builder->depth ? top_level(builder)->collection : NULL;
}

struct value *builder_open(struct builder *builder, enum value_type type, unsigned int line, unsigned int column)
{
	struct value *collection;

	if (builder->depth == DECODE_DEPTH_MAX)
		builder_fail(builder, "limit", line, column, "expected at most %d levels, found more",
			     DECODE_DEPTH_MAX);
	collection = builder_new_value(builder, type, line, column);
	if (!collection)
		return NULL;
	collection->height = 1;
	builder->levels[builder->depth++] = (struct builder_level){
		.collection = collection,
		.first = type == VALUE_MAPPING ? builder->entry_count : builder->item_count,
	};
	return collection;
}

/* ------------------------------------------------------------------ end of a collection */

/* A field that a mapping may have: its own, or one that a merge key brings. */
struct candidate {
	struct mapping_field field;
	size_t order;                   /* its own first, then as they are merged: where YAML lets the first win */
	const struct builder_entry *by; /* the mapping's entry that it is, or that brings it */
};

struct candidate_list {
	struct candidate *items;
	size_t count, capacity;
};

static void candidate_list_clear(struct candidate_list *list)
{
	free(list->items);
}

static int add_candidate(struct candidate_list *list, const struct mapping_field *field,
			 const struct builder_entry *by)
{
	if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
		return -ENOMEM;
	list->items[list->count] = (struct candidate){ *field, list->count, by };
	list->count++;
	return 0;
}

static int add_merged_mapping(struct builder *builder, struct candidate_list *list, const struct value *mapping,
			      const struct builder_entry *merge)
{
	if (mapping->type != VALUE_MAPPING) {
		builder_fail(builder, "syntax", merge->field.line, merge->field.column,
			     "expected a mapping or a list of mappings to merge, found something else");
		return -EINVAL;
	}
	for (size_t i = 0; i < mapping->count; i++) {
		if (add_candidate(list, &mapping->fields[i], merge))
			return -ENOMEM;
	}
	return 0;
}

static int add_merged(struct builder *builder, struct candidate_list *list, const struct builder_entry *merge)
{
	const struct value *source = merge->field.value;
	int error;

	if (source->type != VALUE_SEQUENCE)
		return add_merged_mapping(builder, list, source, merge);
	for (size_t i = 0; i < source->count; i++) {
		error = add_merged_mapping(builder, list, source->items[i], merge);
		if (error)
			return error;
	}
	return 0;
}

/* The mapping's own fields, then those of its merge keys. */
static int collect_candidates(struct builder *builder, const struct builder_entry *entries, size_t count,
			      struct candidate_list *list)
{
	int error;

	for (size_t i = 0; i < count; i++) {
		if (!entries[i].merge && add_candidate(list, &entries[i].field, &entries[i]))
			return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		error = entries[i].merge ? add_merged(builder, list, &entries[i]) : 0;
		if (error)
			return error;
	}
	return 0;
}

static int compare_by_key(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	int order = strcmp(a->field.key, b->field.key);

	return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int compare_by_order(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;

	return (a->order > b->order) - (a->order < b->order);
}

static void fail_twice(struct builder *builder, const struct mapping_field *first, const struct mapping_field *second)
{
	builder_fail(builder, "field", second->line, second->column,
		     "expected the key \"%.64s\" once, found it again (first on line %u)", second->key, first->line);
}

static void fail_ambiguous(struct builder *builder, const struct candidate *first, const struct candidate *last)
{
	const struct mapping_field *merge = &last->by->field;

	builder_fail(builder, "field", merge->line, merge->column,
		     "expected << before what overrides it, found another value of \"%.64s\" in it (first on line %u)",
		     last->field.key, first->by->field.line);
}

/* Of lists and mappings only one and the same, by an alias: two may be large, and nobody repeats what he merges. */
static bool same_value(const struct value *a, const struct value *b)
{
	if (a == b)
		return true;
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case VALUE_NULL:
		return true;
	case VALUE_BOOLEAN:
		return a->boolean == b->boolean;
	case VALUE_INTEGER:
		return a->integer == b->integer;
	case VALUE_NUMBER:
	case VALUE_STRING:
		return !strcmp(a->text, b->text);
	case VALUE_SEQUENCE:
	case VALUE_MAPPING:
		return false;
	}
	return false;
}

/*
 * All candidates of one key, in order. An own field that stands twice is an error. YAML lets an own field win over
 * merged ones, and the first of these over the others; Kubernetes' parser merges where the merge key stands, so that
 * the last entry of the mapping wins (and in a list of one merge key the first). What they read differently is refused.
 */
static int resolve_key(struct builder *builder, const struct candidate *same, size_t count)
{
	const struct candidate *last = same;

	for (size_t i = 1; i < count; i++) {
		if (!same[i].by->merge) {
			fail_twice(builder, &same[0].field, &same[i].field);
			return -EINVAL;
		}
		if (same[i].by > last->by)
			last = &same[i];
	}
	if (same_value(same[0].field.value, last->field.value))
		return 0;
	fail_ambiguous(builder, &same[0], last);
	return -EINVAL;
}

static size_t count_same_key(const struct candidate *candidates, size_t count)
{
	size_t same = 1;

	while (same < count && !strcmp(candidates[0].field.key, candidates[same].field.key))
		same++;
	return same;
}

/* Drops merged fields that are overridden. */
static int resolve_candidates(struct builder *builder, struct candidate_list *list)
{
	size_t kept = 0, same;
	int error;

	if (!list->count)
		return 0;
	qsort(list->items, list->count, sizeof(*list->items), compare_by_key);
	for (size_t i = 0; i < list->count; i += same) {
		same = count_same_key(&list->items[i], list->count - i);
		error = resolve_key(builder, &list->items[i], same);
		if (error)
			return error;
		list->items[kept++] = list->items[i];
	}
	list->count = kept;
	qsort(list->items, list->count, sizeof(*list->items), compare_by_order);
	return 0;
}

static struct mapping_field *new_fields(struct builder *builder, struct value *mapping, size_t count)
{
	struct mapping_field *fields = arena_array(builder->arena, count, sizeof(*fields));

	if (!fields) {
		builder->error = -ENOMEM;
		return NULL;
	}
	mapping->fields = fields;
	mapping->count = (uint32_t)count;
	return fields;
}

static void close_large_mapping(struct builder *builder, struct value *mapping, const struct builder_entry *entries,
				size_t count)
{
	_cleanup_(candidate_list_clear) struct candidate_list list = {};
	struct mapping_field *fields;
	int error;

	error = collect_candidates(builder, entries, count, &list);
	if (!error)
		error = resolve_candidates(builder, &list);
	if (error) {
		builder->error = error;
		return;
	}
	fields = new_fields(builder, mapping, list.count);
	for (size_t i = 0; fields && i < list.count; i++)
		fields[i] = list.items[i].field;
}

static void close_small_mapping(struct builder *builder, struct value *mapping, const struct builder_entry *entries,
				size_t count)
{
	struct mapping_field *fields;

	for (size_t i = 1; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(entries[i].field.key, entries[j].field.key))
				continue;
			fail_twice(builder, &entries[j].field, &entries[i].field);
			return;
		}
	}
	fields = new_fields(builder, mapping, count);
	for (size_t i = 0; fields && i < count; i++)
		fields[i] = entries[i].field;
}

static void close_mapping(struct builder *builder, struct value *mapping, const struct builder_entry *entries,
			  size_t count)
{
	bool merges = false;

	for (size_t i = 0; i < count; i++)
		merges |= entries[i].merge;
	if (merges || count > SMALL_MAPPING)
		close_large_mapping(builder, mapping, entries, count);
	else
		close_small_mapping(builder, mapping, entries, count);
}

static void close_sequence(struct builder *builder, struct value *sequence, const struct value *const *items,
			   size_t count)
{
	const struct value **kept = arena_array(builder->arena, count, sizeof(*kept));

	if (!kept) {
		builder->error = -ENOMEM;
		return;
	}
	if (count)
		memcpy(kept, items, count * sizeof(*kept));
	sequence->items = kept;
	sequence->count = (uint32_t)count;
}

static void end_mapping(struct builder *builder, struct value *mapping, size_t first)
{
	size_t count = builder->entry_count - first;
	const struct builder_entry *entries = count ? builder->entries + first : NULL;

	close_mapping(builder, mapping, entries, count);
	builder->entry_count = first;
}

static void end_sequence(struct builder *builder, struct value *sequence, size_t first)
{
	size_t count = builder->item_count - first;
	const struct value *const *items = count ? builder->items + first : NULL;

	close_sequence(builder, sequence, items, count);
	builder->item_count = first;
}

void builder_close(struct builder *builder)
{
	struct builder_level *level;
	struct value *collection;

	if (builder->error)
		return;
	level = top_level(builder);
	collection = level->collection;
	if (collection->type == VALUE_MAPPING)
		end_mapping(builder, collection, level->first);
	else
		end_sequence(builder, collection, level->first);
	builder->depth--;
	place_value(builder, collection);
}

/* ------------------------------------------------------------------ parts */

static void add_items(struct builder *builder, const struct value *sequence)
{
	reserve_items(builder, sequence->count);
	if (builder->error || !sequence->count)
		return;
	memcpy(builder->items + builder->item_count, sequence->items, sequence->count * sizeof(*builder->items));
	builder->item_count += sequence->count;
}

void builder_join(struct builder *builder, struct builder *part)
{
	struct value *open = top_level(builder)->collection;
	const struct value *root = part->root;

	if (builder->error)
		return;
	builder->error = part->error;
	if (builder->error || !count_values(builder, root->size - 1, open->line, open->column))
		return;
	/* What is wrong in a part is found again by one who is alone, with its place. */
	if (builder->depth + root->height - 1 > DECODE_DEPTH_MAX) {
		builder_fail(builder, "limit", open->line, open->column, "expected at most %d levels, found more",
			     DECODE_DEPTH_MAX);
		return;
	}
	open->size += root->size - 1;
	if (open->height < root->height)
		open->height = root->height;
	add_items(builder, root);
	if (!builder->error)
		arena_adopt(builder->arena, take(part->arena));
}
