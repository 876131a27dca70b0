/* SPDX-License-Identifier: Apache-2.0 */
#include "model/yaml_slice.h"

#include <stdint.h>
#include <string.h>

/* What is not longer is parsed before a thread would have begun to be of use. */
#define LEAST_TEXT (64u << 10)
/* From the middle on, so far is looked for the sequence that is indented least: the others are parts of its items. */
#define SEARCHED_TEXT (16u << 10)

/*
 * Marks of the parser are then bytes of the text, and each '\n' is a line. The text is long: eight bytes at a time, of
 * which none has its highest bit.
 */
static bool is_plain(const char *text, size_t length)
{
	uint64_t bytes, seen = 0;
	size_t i = 0;

	for (; i + sizeof(bytes) <= length; i += sizeof(bytes)) {
		memcpy(&bytes, text + i, sizeof(bytes));
		seen |= bytes;
	}
	for (; i < length; i++)
		seen |= (unsigned char)text[i];
	return !(seen & UINT64_C(0x8080808080808080)) && !memchr(text, '\r', length);
}

static size_t next_line(const char *text, size_t length, size_t at)
{
	const char *end = memchr(text + at, '\n', length - at);

	return end ? (size_t)(end - text) + 1 : length;
}

static size_t indentation_at(const char *text, size_t length, size_t at)
{
	size_t spaces = 0;

	while (at + spaces < length && text[at + spaces] == ' ')
		spaces++;
	return spaces;
}

static bool is_item(const char *text, size_t length, size_t at)
{
	return length - at >= 2 && text[at] == '-' && text[at + 1] == ' ';
}

static bool find_start(const char *text, size_t length, struct yaml_slice *slice)
{
	size_t at = next_line(text, length, length / 2);
	size_t end = length - at > SEARCHED_TEXT ? at + SEARCHED_TEXT : length;
	bool found = false;

	for (; at < end; at = next_line(text, length, at)) {
		size_t spaces = indentation_at(text, length, at);

		if (!is_item(text, length, at + spaces) || (found && spaces >= slice->indentation))
			continue;
		slice->start = at;
		slice->indentation = spaces;
		found = true;
	}
	return found;
}

static bool belongs(const char *text, size_t length, size_t at, size_t indentation)
{
	size_t spaces = indentation_at(text, length, at);

	at += spaces;
	if (at == length || text[at] == '\n' || spaces > indentation)
		return true;
	return spaces == indentation && is_item(text, length, at);
}

static size_t count_lines(const char *text, size_t end)
{
	const char *at = text;
	size_t lines = 0;

	while ((at = memchr(at, '\n', (size_t)(text + end - at)))) {
		at++;
		lines++;
	}
	return lines;
}

bool yaml_slice_find(const char *text, size_t length, struct yaml_slice *out)
{
	struct yaml_slice slice = { 0 };

	if (length < LEAST_TEXT || !find_start(text, length, &slice))
		return false;
	slice.end = slice.start;
	while (slice.end < length && belongs(text, length, slice.end, slice.indentation))
		slice.end = next_line(text, length, slice.end);
	if (slice.end - slice.start < length / 8 || !is_plain(text, length))
		return false;
	slice.line = count_lines(text, slice.start);
	*out = slice;
	return true;
}
