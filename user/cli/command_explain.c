/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/explain.h"
#include "cli/memory.h"
#include "cli/options.h"

struct explain_options {
	const char *from, *to, *flows, *node_addresses;
	struct text_list paths;
};

static void options_clear(struct explain_options *options)
{
	text_list_clear(&options->paths);
}

static bool parse_request(const struct explain_options *options, struct explain_request *out)
{
	const char *problem;

	if (!options->from || !options->to) {
		log_error("explain needs --from NS/POD and --to DESTINATION");
		return false;
	}
	out->from_text = options->from;
	out->to_text = options->to;
	if (object_name_parse(options->from, &out->from)) {
		log_error("--from %s: expected NS/POD", options->from);
		return false;
	}
	if (destination_parse(options->to, &out->to, &problem)) {
		log_error("--to %s: %s", options->to, problem);
		return false;
	}
	return true;
}

/* -f PATH... : what follows a -f and is no option is a path, too. */
static bool add_paths(struct invocation *invocation, int first, struct text_list *paths)
{
	int i;

	if (first < invocation->argc && !paths->count) {
		log_error("explain: '%s' was not expected", invocation->argv[first]);
		return false;
	}
	for (i = first; i < invocation->argc; i++)
		array_push(paths->items, paths->count, paths->capacity, invocation->argv[i]);
	return true;
}

int command_explain(struct invocation *invocation)
{
	_cleanup_(options_clear) struct explain_options given = {0};
	const struct command_option options[] = {
		{"from", 0, OPTION_TEXT, &given.from},     {"to", 0, OPTION_TEXT, &given.to},
		{"flows", 0, OPTION_TEXT, &given.flows},   {"node-addresses", 0, OPTION_TEXT, &given.node_addresses},
		{"file", 'f', OPTION_TEXTS, &given.paths},
	};
	struct explain_request request;
	int first;

	if (!options_parse(invocation, options, ARRAY_SIZE(options), &first) ||
	    !add_paths(invocation, first, &given.paths))
		return EXIT_ERROR;
	if (!given.paths.count && (given.flows || given.node_addresses)) {
		log_error("explain: %s needs manifests (-f PATH)", given.flows ? "--flows" : "--node-addresses");
		return EXIT_ERROR;
	}
	if (given.flows && (given.from || given.to)) {
		log_error("explain: --flows names its own sources and destinations; --from and --to do not go with it");
		return EXIT_ERROR;
	}
	if (given.flows)
		return explain_flows(&given.paths, given.node_addresses, given.flows);
	if (!parse_request(&given, &request))
		return EXIT_ERROR;
	if (given.paths.count)
		return explain_manifests(&invocation->settings, &given.paths, given.node_addresses, &request);
	return explain_node(&invocation->settings, &request);
}
