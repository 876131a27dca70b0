/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, and what was read of one written down, to be compared with what another parser or another way makes of it. */
#ifndef EGRESSD_TESTS_DOCUMENT_TEXT_H
#define EGRESSD_TESTS_DOCUMENT_TEXT_H

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "model/document.h"

struct text {
	char *bytes;
	size_t length;
};

static inline void text_clear(struct text *text)
{
	free(text->bytes);
}

#define _cleanup_text_ _cleanup_(text_clear)

/* All of a value: types, places, sizes and texts. */
static inline void write_value(FILE *out, const struct value *value)
{
	fprintf(out, "%u:%u:%u:%u:%u ", value->type, value->line, value->column, value->size, value->height);
	for (size_t i = 0; i < value->count && value->type == VALUE_MAPPING; i++) {
		fprintf(out, "%s@%u:%u=", value->fields[i].key, value->fields[i].line, value->fields[i].column);
		write_value(out, value->fields[i].value);
	}
	for (size_t i = 0; i < value->count && value->type == VALUE_SEQUENCE; i++)
		write_value(out, value->items[i]);
	if (value->type == VALUE_INTEGER)
		fprintf(out, "%lld\n", (long long)value->integer);
	else if (value->type != VALUE_MAPPING && value->type != VALUE_SEQUENCE && value->text)
		fprintf(out, "%s\n", value->text);
}

#endif
