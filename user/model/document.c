/* SPDX-License-Identifier: Apache-2.0 */
#include "model/document.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "model/document_builder.h"

const struct value *value_get(const struct value *mapping, const char *key)
{
	for (size_t i = 0; i < mapping->count; i++) {
		if (!strcmp(mapping->fields[i].key, key))
			return mapping->fields[i].value;
	}
	return NULL;
}

static bool named_json(const char *name)
{
	size_t length = name ? strlen(name) : 0;

	return length >= 5 && !strcasecmp(name + length - 5, ".json");
}

int document_parse(const char *name, const char *text, size_t length, document_handler handler, void *context,
		   struct problem_list *problems)
{
	_cleanup_(builder_clear) struct builder builder = {
		.name = name,
		.size_max = DECODE_NODES_MAX,
		.problems = problems,
	};
	int error;

	builder.strict_json = named_json(name);
	error = document_parse_json(&builder, text, length, handler, context);
	if (error == -ENOTSUP && !builder.strict_json)
		error = document_parse_yaml(&builder, text, length, handler, context);
	return error;
}

/* JSON and nothing else. */
static int parse_strictly(const char *name, uint32_t size_max, const char *text, size_t length, document_handler handler,
			  void *context, struct problem_list *problems)
{
	_cleanup_(builder_clear) struct builder builder = {
		.name = name,
		.size_max = size_max,
		.strict_json = true,
		.problems = problems,
	};

	return document_parse_json(&builder, text, length, handler, context);
}

int document_parse_saved(const char *name, const char *text, size_t length, document_handler handler, void *context,
			 struct problem_list *problems)
{
	return parse_strictly(name, DECODE_SAVED_NODES_MAX, text, length, handler, context, problems);
}

int document_parse_api(const char *text, size_t length, document_handler handler, void *context,
		       struct problem_list *problems)
{
	return parse_strictly(NULL, DECODE_NODES_MAX, text, length, handler, context, problems);
}
