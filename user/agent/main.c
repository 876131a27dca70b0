/* SPDX-License-Identifier: Apache-2.0 */
/* egressd: the node agent. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <egressd/contract.h>
#include <egressd/version.h>

#include "agent/agent.h"
#include "agent/options.h"
#include "base/cleanup.h"
#include "base/log.h"

/* Whatever keeps the agent from starting: one line on standard error says what. */
#define EXIT_CANNOT_START 2

static int print_version(void)
{
	printf("egressd %s%s%s contract %d\n", EGRESSD_VERSION, *EGRESSD_COMMIT ? " " : "", EGRESSD_COMMIT,
	       EGRESS_CONTRACT_VERSION);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_usage(void)
{
	agent_options_usage(stdout);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(int argc, char **argv)
{
	_cleanup_(agent_options_clear) struct agent_options options = {0};
	bool help;
	int error = agent_options_parse(argc, argv, &options, &help);

	if (error == -EINVAL) {
		agent_options_usage(stderr);
		return EXIT_CANNOT_START;
	}
	if (error) {
		log_error("%s", strerror(-error));
		return EXIT_CANNOT_START;
	}
	if (help)
		return print_usage();
	log_configure(options.log_level, options.log_json);
	return agent_run(&options) ? EXIT_CANNOT_START : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	char name[] = "egressd run";

	if (!strcmp(command, "run")) {
		argv[1] = name;
		return run(argc - 1, argv + 1);
	}
	if (!strcmp(command, "version") && argc == 2)
		return print_version();
	if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help"))
		return print_usage();
	if (!*command)
		fprintf(stderr, "egressd: a command is missing\n");
	else if (!strcmp(command, "version"))
		fprintf(stderr, "egressd: version takes no argument\n");
	else
		fprintf(stderr, "egressd: '%s' is not a command\n", command);
	agent_options_usage(stderr);
	return EXIT_CANNOT_START;
}
