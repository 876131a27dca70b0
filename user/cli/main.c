/* SPDX-License-Identifier: Apache-2.0 */
/* egressctl: shows what egressd does on this node, and tests policy before it gets there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <egressd/contract.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "report/state.h"

static const struct command commands[] = {
	{"status", "", "Shows the agent, the tables in force and what is wrong", OUTPUTS_USUAL, command_status},
	{"pods", "", "Lists the pods of this node with their counters", OUTPUTS_USUAL, command_pods},
	{"policies", "", "Lists the policies in force", OUTPUTS_USUAL, command_policies},
	{"dump", "[maps|classes|rows|flows|counters]", "Prints what the pinned maps hold", OUTPUTS_USUAL, command_dump},
	{"drops", "[-f|--follow] [-n COUNT] [--pod NS/POD]", "Prints dropped packets from the drop log", OUTPUTS_USUAL,
	 command_drops},
	{"explain",
	 "--from NS/POD --to ADDRESS|NS/POD|svc:NS/NAME[:PORT[/PROTO]]\n"
	 "       egressctl explain -f PATH... [--node-addresses LIST] --from NS/POD --to ...\n"
	 "       egressctl explain -f PATH... [--node-addresses LIST] --flows FILE",
	 "Says whether a pod may reach a destination and why, on this node or (-f) for manifests", OUTPUTS_USUAL,
	 command_explain},
	{"check", "[--strict] [--node-addresses LIST] [-o table|json|sarif] PATH...", "Checks manifests for errors and likely mistakes",
	 OUTPUTS_USUAL | (1u << OUTPUT_SARIF), command_check},
	{"verify", "-f PATH... [--node-addresses LIST] [-o tap|junit] TESTS.yaml", "Runs tests of policy",
	 (1u << OUTPUT_TAP) | (1u << OUTPUT_JUNIT), command_verify},
	{"diff", "[-f COMMON-PATH]... [--node-addresses LIST] OLD NEW", "Shows which flows change between two sets of manifests", OUTPUTS_USUAL,
	 command_diff},
	{"uninstall", "[--dry-run] [--stay] [--cni-config DIR] [--cni-bin DIR]",
	 "Takes everything of egressd's off this node; enforcement ends", OUTPUTS_USUAL, command_uninstall},
	{"version", "", "Prints the version", OUTPUTS_USUAL, command_version},
};

static void print_help(void)
{
	size_t i;

	printf("usage: egressctl [-o FORMAT] [--pin DIR] [--state DIR] COMMAND [ARGUMENTS]\n\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\n  -o, --output FORMAT  how to write: table (default) or json; some commands have others\n");
	printf("  --pin DIR            parent directory of the pinned maps (default %s)\n", EGRESS_PIN_PARENT);
	printf("  --state DIR          where the agent leaves its state (default %s)\n", STATE_DIRECTORY);
	printf("  -h, --help           this text; `egressctl COMMAND --help` shows a command's arguments\n");
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static enum output_format default_output(const struct command *command)
{
	return __builtin_ctz(command->outputs);
}

/* A full disk or a closed pipe must not look like success. */
static int finish(int code)
{
	if (fflush(stdout) || ferror(stdout)) {
		log_error("standard output: cannot be written");
		return EXIT_ERROR;
	}
	return code;
}

int main(int argc, char **argv)
{
	struct invocation invocation = {.settings = {.pin = EGRESS_PIN_PARENT, .state = STATE_DIRECTORY}};
	bool output_given = false, help = false;
	int first;

	first = options_parse_leading(argc, argv, &invocation.settings, &output_given, &help);
	if (first < 0)
		return EXIT_ERROR;
	if (help) {
		print_help();
		return finish(EXIT_SUCCESS);
	}
	if (first == argc) {
		log_error("a command is missing; `egressctl --help` lists them");
		return EXIT_ERROR;
	}
	invocation.command = find_command(argv[first]);
	if (!invocation.command) {
		log_error("'%s' is not a command; `egressctl --help` lists them", argv[first]);
		return EXIT_ERROR;
	}
	if (!output_given)
		invocation.settings.output = default_output(invocation.command);
	invocation.argc = argc - first;
	invocation.argv = argv + first;
	return finish(invocation.command->run(&invocation));
}
