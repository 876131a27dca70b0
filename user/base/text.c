/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

char *text_format_list(const char *format, va_list arguments)
{
	va_list again;
	char *text;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return NULL;
	text = malloc((size_t)length + 1);
	if (text)
		vsnprintf(text, (size_t)length + 1, format, arguments);
	return text;
}

char *text_format(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	return text;
}

/* What the first byte of a character in UTF-8 says about it. */
struct utf8_form {
	uint8_t mask, lead; /* byte & mask == lead */
	unsigned int length;
	uint32_t least; /* smaller ones are written shorter */
};

/* Length of the valid character at `text`, 0 if there is none. The NUL at the end stops a character that is cut. */
static unsigned int utf8_length(const unsigned char *text)
{
	static const struct utf8_form forms[] = {
		{ 0x80, 0x00, 1, 0 },
		{ 0xe0, 0xc0, 2, 0x80 },
		{ 0xf0, 0xe0, 3, 0x800 },
		{ 0xf8, 0xf0, 4, 0x10000 },
	};
	const struct utf8_form *form = forms;
	uint32_t character;
	bool surrogate;

	while (form < forms + 4 && (text[0] & form->mask) != form->lead)
		form++;
	if (form == forms + 4)
		return 0;
	character = text[0] & (uint8_t)~form->mask;
	for (unsigned int i = 1; i < form->length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (text[i] & 0x3f);
	}
	surrogate = character >= 0xd800 && character <= 0xdfff;
	return character < form->least || character > 0x10ffff || surrogate ? 0 : form->length;
}

void text_make_line(char *text)
{
	unsigned int length;

	for (; *text; text += length) {
		length = utf8_length((const unsigned char *)text);
		if (!length) {
			*text = '?';
			length = 1;
		} else if ((unsigned char)*text < ' ' || *text == '\x7f') {
			*text = ' ';
		}
	}
}
