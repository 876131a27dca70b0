/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/diff.h"
#include "cli/memory.h"
#include "cli/options.h"

/* Objects that both sides have, then the side's own. Tells what is wrong. */
static int load_side(const struct text_list *common, const char *path, const char *node_addresses, struct offline *out)
{
	_cleanup_(text_list_clear) struct text_list paths = {0};
	size_t i;

	for (i = 0; i < common->count; i++)
		array_push(paths.items, paths.count, paths.capacity, common->items[i]);
	array_push(paths.items, paths.count, paths.capacity, path);
	return offline_load(&paths, node_addresses, out);
}

static int report(const struct diff *diff, enum output_format output)
{
	/* Saying "no difference" because nothing was compared would be a lie. */
	if (!diff->compared && diff_is_empty(diff)) {
		log_error("diff: there are no pods with addresses on either side; -f PATH adds objects to both");
		return EXIT_ERROR;
	}
	if (output == OUTPUT_JSON)
		diff_print_json(diff);
	else
		diff_print_text(diff);
	return diff_is_empty(diff) ? EXIT_SUCCESS : EXIT_DIFFERENT;
}

int command_diff(struct invocation *invocation)
{
	_cleanup_(text_list_clear) struct text_list common = {0};
	_cleanup_(diff_clear) struct diff diff = {0};
	const char *node_addresses = NULL;
	const struct command_option options[] = {
		{"file", 'f', OPTION_TEXTS, &common},
		{"node-addresses", 0, OPTION_TEXT, &node_addresses},
	};
	int first;

	if (!options_parse(invocation, options, ARRAY_SIZE(options), &first))
		return EXIT_ERROR;
	if (invocation->argc - first != 2) {
		log_error("diff needs two paths: OLD NEW");
		return EXIT_ERROR;
	}
	if (load_side(&common, invocation->argv[first], node_addresses, &diff.old) ||
	    load_side(&common, invocation->argv[first + 1], node_addresses, &diff.new))
		return EXIT_ERROR;
	if (diff_compute(&diff)) {
		log_error("the compiled tables do not hold together");
		return EXIT_ERROR;
	}
	return report(&diff, invocation->settings.output);
}
