/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/check_report.h"
#include "cli/command.h"
#include "cli/lint.h"
#include "cli/memory.h"
#include "cli/offline.h"
#include "cli/options.h"

static int (*const lints[])(struct offline *offline) = {
	lint_selectors, lint_namespaces, lint_blocks, lint_dns, lint_redundant, lint_policies,
};

/* Where the manifests are wrong, warnings about the rest would mislead. */
static int run_lints(struct offline *offline, const struct node_addresses *addresses)
{
	int error;
	size_t i;

	if (offline->problems.errors)
		return 0;
	error = offline_compile(offline, addresses);
	if (error && offline->problems.errors)
		return 0;
	for (i = 0; !error && i < ARRAY_SIZE(lints); i++)
		error = lints[i](offline);
	return error;
}

static int compare_texts(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare_problems(const void *a, const void *b)
{
	const struct problem *x = a, *y = b;
	int order = compare_texts(x->file, y->file);

	if (!order)
		order = (x->line > y->line) - (x->line < y->line);
	if (!order)
		order = (x->column > y->column) - (x->column < y->column);
	return order ? order : compare_texts(x->message, y->message);
}

static struct check_result sum_up(struct offline *offline)
{
	struct check_result result = {.problems = &offline->problems, .files = offline->files};
	unsigned int kind;
	size_t i;

	if (offline->problems.count)
		qsort(offline->problems.items, offline->problems.count, sizeof(*offline->problems.items),
		      compare_problems);
	for (i = 0; i < offline->problems.count; i++) {
		result.errors += offline->problems.items[i].severity == PROBLEM_ERROR;
		result.warnings += offline->problems.items[i].severity == PROBLEM_WARNING;
	}
	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		result.objects += store_count(offline->store, kind);
	return result;
}

static void print_result(enum output_format output, const struct check_result *result)
{
	switch (output) {
	case OUTPUT_JSON:
		check_print_json(result);
		break;
	case OUTPUT_SARIF:
		check_print_sarif(result);
		break;
	default:
		check_print_text(result);
	}
}

static int check(const struct text_list *paths, const char *node_addresses, bool strict, enum output_format output)
{
	_cleanup_(node_addresses_clear) struct node_addresses addresses = {0};
	_cleanup_(offline_clear) struct offline offline = {0};
	struct check_result result;
	int error = node_addresses_parse(node_addresses, &addresses);

	if (error)
		return EXIT_ERROR;
	error = offline_read(paths, &offline);
	if (!error)
		error = run_lints(&offline, &addresses);
	if (error) {
		log_error("the manifests cannot be checked: %s", strerror(-error));
		return EXIT_ERROR;
	}
	result = sum_up(&offline);
	print_result(output, &result);
	if (result.errors)
		return EXIT_ERROR;
	return strict && result.warnings ? EXIT_DIFFERENT : EXIT_SUCCESS;
}

int command_check(struct invocation *invocation)
{
	_cleanup_(text_list_clear) struct text_list paths = {0};
	const char *node_addresses = NULL;
	bool strict = false;
	const struct command_option options[] = {
		{"strict", 0, OPTION_FLAG, &strict},
		{"node-addresses", 0, OPTION_TEXT, &node_addresses},
	};
	int first, i;

	if (!options_parse(invocation, options, ARRAY_SIZE(options), &first))
		return EXIT_ERROR;
	if (first == invocation->argc) {
		log_error("check: a PATH is missing");
		return EXIT_ERROR;
	}
	for (i = first; i < invocation->argc; i++)
		array_push(paths.items, paths.count, paths.capacity, invocation->argv[i]);
	return check(&paths, node_addresses, strict, invocation->settings.output);
}
