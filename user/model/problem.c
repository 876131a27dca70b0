/* SPDX-License-Identifier: Apache-2.0 */
#include "model/problem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/text.h"

static void problem_clear(struct problem *problem)
{
	free(problem->file);
	free(problem->object);
	free(problem->message);
}

/* "NetworkPolicy default/web", "Namespace shop"; just the kind where the name is not known (yet). */
static char *describe_object(const struct object *object)
{
	const char *kind = object_kind_name(object->kind);
	bool namespaced = object->namespace && object->namespace[0];

	if (!object->name || !object->name[0])
		return strdup(kind);
	if (!namespaced)
		return text_format("%s %s", kind, object->name);
	return text_format("%s %s/%s", kind, object->namespace, object->name);
}

/* The strings of a problem; what is there is freed by the caller also on failure. */
__attribute__((format(printf, 4, 0)))
static int fill_strings(struct problem *problem, const struct place *place, const struct object *object,
			const char *format, va_list arguments)
{
	problem->message = text_format_list(format, arguments);
	if (!problem->message)
		return -ENOMEM;
	text_make_line(problem->message);
	if (place && place->file) {
		problem->file = strdup(place->file);
		if (!problem->file)
			return -ENOMEM;
	}
	if (object) {
		problem->object = describe_object(object);
		if (!problem->object)
			return -ENOMEM;
	}
	return 0;
}

int problem_add(struct problem_list *list, enum problem_severity severity, const char *rule, const struct place *place,
		const struct object *object, const char *format, ...)
{
	struct problem problem = { .severity = severity, .rule = rule };
	va_list arguments;
	int error;

	if (place) {
		problem.line = place->line;
		problem.column = place->column;
	}
	va_start(arguments, format);
	error = fill_strings(&problem, place, object, format, arguments);
	va_end(arguments);
	if (!error)
		error = array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items));
	if (error) {
		problem_clear(&problem);
		return error;
	}
	list->items[list->count++] = problem;
	if (severity == PROBLEM_ERROR)
		list->errors++;
	return 0;
}

void problem_list_clear(struct problem_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		problem_clear(&list->items[i]);
	free(list->items);
	*list = (struct problem_list){};
}

int problem_list_move(struct problem_list *to, struct problem_list *from)
{
	int error = array_reserve(&to->items, &to->capacity, to->count + from->count, sizeof(*to->items));

	if (error)
		return error;
	if (from->count)
		memcpy(to->items + to->count, from->items, from->count * sizeof(*from->items));
	to->count += from->count;
	to->errors += from->errors;
	free(from->items);
	*from = (struct problem_list){};
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_problem(const struct problem *a, const struct problem *b)
{
	return a->severity == b->severity && a->line == b->line && a->column == b->column &&
	       !strcmp(a->rule, b->rule) && same_text(a->file, b->file) && same_text(a->object, b->object) &&
	       !strcmp(a->message, b->message);
}

bool problem_list_equal(const struct problem_list *a, const struct problem_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_problem(&a->items[i], &b->items[i]))
			return false;
	return true;
}

const char *problem_format(const struct problem *problem, char *text, unsigned long size)
{
	char position[32] = "";

	if (problem->line && problem->column)
		snprintf(position, sizeof(position), "%u:%u:", problem->line, problem->column);
	else if (problem->line)
		snprintf(position, sizeof(position), "%u:", problem->line);
	snprintf(text, size, "%s%s%s%s%s", problem->file ? problem->file : "", problem->file ? ":" : "", position,
		 problem->file || position[0] ? " " : "", problem->message);
	return text;
}
