/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"

void out_of_memory(void)
{
	log_error("out of memory");
	exit(EXIT_ERROR);
}

void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

char *copy_text(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		out_of_memory();
	return copy;
}

char *format_text(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	if (!text)
		out_of_memory();
	return text;
}

void *array_grow(void *items, size_t count, size_t *capacity, size_t size)
{
	if (array_reserve(&items, capacity, count + 1, size))
		out_of_memory();
	return items;
}
