/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_splitter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* Room that is kept from one value to the next; what a larger one took is given back. */
#define KEPT_CAPACITY (256u << 10)

enum state {
	BETWEEN,  /* before a top-level object */
	DOCUMENT, /* in one, outside of the member */
	VALUE,    /* past the member's colon */
	ELEMENTS, /* in its array, between two elements */
	CAPTURE,  /* in what is handed over */
};

struct bytes {
	char *items;
	size_t count, capacity;
};

struct json_splitter {
	struct json_splitter_options options;
	enum state state;
	unsigned int depth;      /* brackets that are open, from the top-level object's or the captured value's on */
	bool in_string, escaped; /* in the present state's text */
	bool is_key;             /* a string at the top of the object that starts here is a key */
	bool found;              /* the last key is the member's name */
	bool has_value;          /* the document's value is in `value` */
	size_t key_start;        /* in `rest` */
	struct bytes rest, value;
	char error[96];
};

int json_splitter_new(const struct json_splitter_options *options, struct json_splitter **out)
{
	struct json_splitter *splitter = calloc(1, sizeof(*splitter));

	if (!splitter)
		return -ENOMEM;
	splitter->options = *options;
	*out = splitter;
	return 0;
}

void json_splitter_free(struct json_splitter *splitter)
{
	if (!splitter)
		return;
	free(splitter->rest.items);
	free(splitter->value.items);
	free(splitter);
}

bool json_splitter_is_between(const struct json_splitter *splitter)
{
	return splitter->state == BETWEEN;
}

const char *json_splitter_error(const struct json_splitter *splitter)
{
	return splitter->error;
}

static int fail_character(struct json_splitter *splitter, const char *expected, char found)
{
	if (found >= ' ' && found <= '~')
		snprintf(splitter->error, sizeof(splitter->error), "expected %s, found '%c'", expected, found);
	else
		snprintf(splitter->error, sizeof(splitter->error), "expected %s, found byte 0x%02x", expected,
			 (unsigned char)found);
	return -EINVAL;
}

static int append(struct json_splitter *splitter, struct bytes *bytes, const char *text, size_t length)
{
	if (bytes->count + length > splitter->options.limit) {
		snprintf(splitter->error, sizeof(splitter->error), "expected at most %zu bytes of an object, found more",
			 splitter->options.limit);
		return -EMSGSIZE;
	}
	if (array_reserve(&bytes->items, &bytes->capacity, bytes->count + length, 1))
		return -ENOMEM;
	memcpy(bytes->items + bytes->count, text, length);
	bytes->count += length;
	return 0;
}

static void empty(struct bytes *bytes)
{
	bytes->count = 0;
	if (bytes->capacity <= KEPT_CAPACITY)
		return;
	free(take(bytes->items));
	bytes->capacity = 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * How many of the bytes belong to the present text up to and with the next one that matters for its structure; that one
 * has been counted in depth and in_string.
 */
static size_t scan(struct json_splitter *splitter, const char *bytes, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		char c = bytes[i];

		if (splitter->escaped) {
			splitter->escaped = false;
		} else if (splitter->in_string) {
			if (c == '\\')
				splitter->escaped = true;
			if (c != '"')
				continue;
			splitter->in_string = false;
			return i + 1;
		} else if (c == '"') {
			splitter->in_string = true;
			return i + 1;
		} else if (c == '{' || c == '[') {
			splitter->depth++;
			return i + 1;
		} else if (c == '}' || c == ']') {
			splitter->depth--;
			return i + 1;
		} else if (c == ',' || c == ':') {
			return i + 1;
		}
	}
	return length;
}

static bool key_is_member(const struct json_splitter *splitter)
{
	const char *member = splitter->options.member;
	size_t length = strlen(member);
	/* The opening quote is at key_start, the closing one is the last byte. */
	const char *key = splitter->rest.items + splitter->key_start + 1;

	return splitter->rest.count - splitter->key_start == length + 2 && !memcmp(key, member, length);
}

static int end_document(struct json_splitter *splitter)
{
	const char *value = splitter->has_value ? splitter->value.items : NULL;
	int error = splitter->options.document(splitter->rest.items, splitter->rest.count, value,
					       value ? splitter->value.count : 0, splitter->options.data);

	empty(&splitter->rest);
	empty(&splitter->value);
	splitter->has_value = false;
	splitter->state = BETWEEN;
	return error;
}

/* One step through the top-level object, outside of the member. */
static int step_document(struct json_splitter *splitter, const char *bytes, size_t length, size_t *used)
{
	bool was_in_string = splitter->in_string;
	char last;
	int error;

	*used = scan(splitter, bytes, length);
	error = append(splitter, &splitter->rest, bytes, *used);
	if (error)
		return error;
	last = bytes[*used - 1];
	if (!splitter->depth)
		return end_document(splitter);
	if (splitter->depth != 1)
		return 0;
	if (splitter->in_string && !was_in_string && splitter->is_key) {
		splitter->key_start = splitter->rest.count - 1;
	} else if (was_in_string && !splitter->in_string && splitter->is_key) {
		splitter->found = key_is_member(splitter);
		splitter->is_key = false;
	} else if (!splitter->in_string && !was_in_string && last == ',') {
		splitter->is_key = true;
		splitter->found = false;
	} else if (!splitter->in_string && !was_in_string && last == ':' && splitter->found) {
		splitter->found = false;
		splitter->state = VALUE;
	}
	return 0;
}

static int begin_capture(struct json_splitter *splitter)
{
	empty(&splitter->value);
	splitter->depth = 0;
	splitter->state = CAPTURE;
	return 0;
}

/* What kind of value does the member have? Nothing but spaces is used up here. */
static int step_value(struct json_splitter *splitter, const char *bytes, size_t length, size_t *used)
{
	size_t i = 0;

	while (i < length && is_space(bytes[i]))
		i++;
	*used = i;
	if (i == length)
		return 0;
	if (splitter->options.elements && bytes[i] == '[') {
		*used = i + 1;
		splitter->state = ELEMENTS;
		return append(splitter, &splitter->rest, "[]", 2);
	}
	if (!splitter->options.elements && (bytes[i] == '{' || bytes[i] == '[')) {
		if (splitter->has_value)
			return fail_character(splitter, "the member once", bytes[i]);
		splitter->has_value = true;
		begin_capture(splitter);
		return append(splitter, &splitter->rest, "null", 4);
	}
	splitter->state = DOCUMENT;
	return 0;
}

static int step_elements(struct json_splitter *splitter, const char *bytes, size_t *used)
{
	char c = *bytes;

	*used = 1;
	if (is_space(c) || c == ',')
		return 0;
	if (c == ']') {
		splitter->state = DOCUMENT;
		return 0;
	}
	*used = 0;
	if (c == '{' || c == '[')
		return begin_capture(splitter);
	return fail_character(splitter, "an object in the list", c);
}

static int step_capture(struct json_splitter *splitter, const char *bytes, size_t length, size_t *used)
{
	int error;

	*used = scan(splitter, bytes, length);
	error = append(splitter, &splitter->value, bytes, *used);
	if (error || splitter->depth || splitter->in_string)
		return error;
	/* The top-level object is the bracket that is open now. */
	splitter->depth = 1;
	if (!splitter->options.elements) {
		splitter->state = DOCUMENT;
		return 0;
	}
	splitter->state = ELEMENTS;
	error = splitter->options.element(splitter->value.items, splitter->value.count, splitter->options.data);
	empty(&splitter->value);
	return error;
}

static int step_between(struct json_splitter *splitter, const char *bytes, size_t *used)
{
	*used = 1;
	if (is_space(*bytes))
		return 0;
	if (*bytes != '{')
		return fail_character(splitter, "a JSON object", *bytes);
	splitter->state = DOCUMENT;
	splitter->depth = 1;
	splitter->is_key = true;
	splitter->found = false;
	return append(splitter, &splitter->rest, "{", 1);
}

static int step(struct json_splitter *splitter, const char *bytes, size_t length, size_t *used)
{
	switch (splitter->state) {
	case DOCUMENT:
		return step_document(splitter, bytes, length, used);
	case VALUE:
		return step_value(splitter, bytes, length, used);
	case ELEMENTS:
		return step_elements(splitter, bytes, used);
	case CAPTURE:
		return step_capture(splitter, bytes, length, used);
	default:
		return step_between(splitter, bytes, used);
	}
}

int json_splitter_feed(struct json_splitter *splitter, const char *bytes, size_t length)
{
	while (length) {
		size_t used = 0;
		int error = step(splitter, bytes, length, &used);

		if (error)
			return error;
		bytes += used;
		length -= used;
	}
	return 0;
}
