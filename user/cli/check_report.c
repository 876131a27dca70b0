/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_report.h"

#include <stdio.h>

#include "cli/output.h"

static const char *const severity_names[] = {
	[PROBLEM_NOTICE] = "notice",
	[PROBLEM_WARNING] = "warning",
	[PROBLEM_ERROR] = "error",
};

const char *severity_name(enum problem_severity severity)
{
	return severity_names[severity];
}

static void print_problem(const struct problem *problem)
{
	if (problem->file)
		printf("%s:", problem->file);
	if (problem->line)
		printf("%u:", problem->line);
	if (problem->line && problem->column)
		printf("%u:", problem->column);
	printf("%s%s: ", problem->file || problem->line ? " " : "", severity_name(problem->severity));
	if (problem->object)
		printf("%s: ", problem->object);
	printf("%s [%s]\n", problem->message, problem->rule);
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

void check_print_text(const struct check_result *result)
{
	size_t i;

	for (i = 0; i < result->problems->count; i++)
		print_problem(&result->problems->items[i]);
	printf("%zu error%s, %zu warning%s in %zu file%s, %zu object%s\n", result->errors, plural(result->errors),
	       result->warnings, plural(result->warnings), result->files, plural(result->files), result->objects,
	       plural(result->objects));
}

static json_t *encode_problem(const struct problem *problem)
{
	json_t *object = json_new_object();

	json_put_text(object, "severity", severity_name(problem->severity));
	json_put_text(object, "rule", problem->rule);
	json_put_text(object, "file", problem->file);
	json_put(object, "line", problem->line ? json_integer(problem->line) : json_null());
	json_put(object, "column", problem->column ? json_integer(problem->column) : json_null());
	json_put_text(object, "object", problem->object);
	json_put_text(object, "message", problem->message);
	return object;
}

void check_print_json(const struct check_result *result)
{
	json_t *object = json_new_object(), *problems = json_new_array();
	size_t i;

	for (i = 0; i < result->problems->count; i++)
		json_append(problems, encode_problem(&result->problems->items[i]));
	json_put_number(object, "files", result->files);
	json_put_number(object, "objects", result->objects);
	json_put_number(object, "errors", result->errors);
	json_put_number(object, "warnings", result->warnings);
	json_put(object, "problems", problems);
	json_print(object);
}
