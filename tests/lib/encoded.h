/* SPDX-License-Identifier: Apache-2.0 */
/* What object_encode writes, as one text and as JSON. */
#ifndef EGRESSD_TESTS_ENCODED_H
#define EGRESSD_TESTS_ENCODED_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/encode.h"

static inline int encoded_sink(const char *text, size_t length, void *data)
{
	return fwrite(text, 1, length, data) == length ? 0 : -1;
}

/* The caller frees it. NULL: memory is short. */
static inline char *encoded_text(const struct object *object)
{
	size_t length;
	char *text = NULL;
	FILE *file = open_memstream(&text, &length);
	int error = file ? object_encode(object, encoded_sink, file) : -1;

	if (file)
		fclose(file);
	if (!error)
		return text;
	free(text);
	return NULL;
}

/* A new reference. NULL: memory is short. */
static inline json_t *encoded(const struct object *object)
{
	char *text = encoded_text(object);
	json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	free(text);
	return json;
}

#endif
