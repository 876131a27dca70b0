/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text_buffer text_buffer_over(char *text, size_t size)
{
	text[0] = '\0';
	return (struct text_buffer){.text = text, .size = size};
}

void text_add(struct text_buffer *buffer, const char *format, ...)
{
	size_t room = buffer->size - buffer->length;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(buffer->text + buffer->length, room, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t)length < room) {
		buffer->length += (size_t)length;
		return;
	}
	memcpy(buffer->text + buffer->size - 4, "...", 4);
	buffer->length = buffer->size - 1;
}

static void add_values(struct text_buffer *buffer, const struct selector_requirement *requirement)
{
	size_t i;

	for (i = 0; i < requirement->value_count; i++)
		text_add(buffer, "%s%s", i ? "," : "", requirement->values[i]);
}

static void add_requirement(struct text_buffer *buffer, const struct selector_requirement *requirement)
{
	switch (requirement->op) {
	case SELECTOR_EXISTS:
		text_add(buffer, "%s", requirement->key);
		return;
	case SELECTOR_DOES_NOT_EXIST:
		text_add(buffer, "!%s", requirement->key);
		return;
	case SELECTOR_IN:
		if (requirement->value_count == 1) {
			text_add(buffer, "%s=%s", requirement->key, requirement->values[0]);
			return;
		}
		text_add(buffer, "%s in (", requirement->key);
		break;
	case SELECTOR_NOT_IN:
		text_add(buffer, "%s not in (", requirement->key);
		break;
	}
	add_values(buffer, requirement);
	text_add(buffer, ")");
}

void text_add_selector(struct text_buffer *buffer, const struct label_selector *selector, const char *what)
{
	size_t i;

	if (!selector->count) {
		text_add(buffer, "all %s", what);
		return;
	}
	text_add(buffer, "%s ", what);
	for (i = 0; i < selector->count; i++) {
		text_add(buffer, "%s", i ? "," : "");
		add_requirement(buffer, &selector->requirements[i]);
	}
}
