/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <stdlib.h>

#include "cli/memory.h"

static json_t *not_null(json_t *value)
{
	if (!value)
		out_of_memory();
	return value;
}

/* A path may hold any bytes; JSON holds only UTF-8. */
static json_t *json_text_repaired(const char *text)
{
	char *copy = copy_text(text), *c;
	json_t *value;

	for (c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	value = not_null(json_string(copy));
	free(copy);
	return value;
}

json_t *json_text(const char *text)
{
	json_t *value;

	if (!text)
		return json_null();
	value = json_string(text);
	return value ? value : json_text_repaired(text);
}

json_t *json_new_object(void)
{
	return not_null(json_object());
}

json_t *json_new_array(void)
{
	return not_null(json_array());
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, not_null(value)))
		out_of_memory();
}

void json_append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, not_null(value)))
		out_of_memory();
}

void json_put_text(json_t *object, const char *key, const char *text)
{
	json_put(object, key, json_text(text));
}

void json_put_number(json_t *object, const char *key, unsigned long long number)
{
	json_put(object, key, json_integer((json_int_t)number));
}

void json_put_bool(json_t *object, const char *key, int truth)
{
	json_put(object, key, json_boolean(truth));
}

void json_print(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(value);
}

void json_print_line(json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(value);
}

void json_clear(json_t **value)
{
	json_decref(*value);
}
