/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/columns.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/memory.h"

#define COLUMN_GAP 2

struct columns {
	const char *const *titles;
	size_t width; /* columns */
	char **cells;
	size_t count, capacity;
};

struct columns *columns_new(const char *const *titles, size_t count)
{
	struct columns *columns = allocate(1, sizeof(*columns));

	columns->titles = titles;
	columns->width = count;
	return columns;
}

void columns_free(struct columns *columns)
{
	size_t i;

	if (!columns)
		return;
	for (i = 0; i < columns->count; i++)
		free(columns->cells[i]);
	free(columns->cells);
	free(columns);
}

void columns_clear(struct columns **columns)
{
	columns_free(*columns);
}

static void add_owned(struct columns *columns, char *text)
{
	array_push(columns->cells, columns->count, columns->capacity, text);
}

void columns_add(struct columns *columns, const char *text)
{
	add_owned(columns, copy_text(text && *text ? text : "-"));
}

void columns_format(struct columns *columns, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	if (!text)
		out_of_memory();
	add_owned(columns, text);
}

/* Characters, not bytes, of UTF-8. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static const char *title_text(const struct columns *columns, size_t column)
{
	const char *title = columns->titles[column];

	return *title == '>' ? title + 1 : title;
}

static size_t column_width(const struct columns *columns, size_t column)
{
	size_t widest = columns->titles ? text_width(title_text(columns, column)) : 0, i;

	for (i = column; i < columns->count; i += columns->width) {
		size_t width = text_width(columns->cells[i]);

		if (width > widest)
			widest = width;
	}
	return widest;
}

static void print_padding(FILE *file, size_t spaces)
{
	fprintf(file, "%*s", (int)spaces, "");
}

static void print_cell(const struct columns *columns, FILE *file, size_t column, const char *text, size_t width)
{
	bool right = columns->titles && columns->titles[column][0] == '>';
	size_t padding = width - text_width(text);

	if (right)
		print_padding(file, padding);
	fputs(text, file);
	if (column + 1 == columns->width)
		fputc('\n', file);
	else
		print_padding(file, (right ? 0 : padding) + COLUMN_GAP);
}

void columns_print(const struct columns *columns, FILE *file)
{
	size_t *widths = allocate(columns->width, sizeof(*widths)), i;

	for (i = 0; i < columns->width; i++)
		widths[i] = column_width(columns, i);
	for (i = 0; columns->titles && i < columns->width; i++)
		print_cell(columns, file, i, title_text(columns, i), widths[i]);
	for (i = 0; i < columns->count; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): every table has columns */
		print_cell(columns, file, i % columns->width, columns->cells[i], widths[i % columns->width]);
	free(widths);
}
