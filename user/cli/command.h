/* SPDX-License-Identifier: Apache-2.0 */
/* What a command of egressctl is, and what all of them share: options, output formats, exit codes. */
#ifndef EGRESSD_CLI_COMMAND_H
#define EGRESSD_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Exit codes; EXIT_SUCCESS is 0. */
#define EXIT_DIFFERENT     1 /* verify: a test failed; diff: flows change; check --strict: warnings */
#define EXIT_ERROR         2 /* usage, or something could not be done; one line on standard error says what */
#define EXIT_CONTRADICTION 3 /* explain: tables and objects give different verdicts */

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_SARIF, OUTPUT_TAP, OUTPUT_JUNIT, OUTPUT_FORMAT_COUNT };

#define OUTPUTS_USUAL ((1u << OUTPUT_TABLE) | (1u << OUTPUT_JSON))

/* Options that every command takes, before or after its name. */
struct settings {
	const char *pin;   /* parent directory of the pinned maps */
	const char *state; /* directory of the agent's state files */
	enum output_format output;
};

/* What a command was started with: argv[0] is its name. */
struct invocation {
	const struct command *command;
	struct settings settings;
	int argc;
	char **argv;
};

struct command {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *summary;
	unsigned int outputs; /* 1 << enum output_format; the lowest is the default */
	/* Returns the exit code of the program. */
	int (*run)(struct invocation *invocation);
};

int command_status(struct invocation *invocation);
int command_pods(struct invocation *invocation);
int command_policies(struct invocation *invocation);
int command_dump(struct invocation *invocation);
int command_drops(struct invocation *invocation);
int command_explain(struct invocation *invocation);
int command_check(struct invocation *invocation);
int command_verify(struct invocation *invocation);
int command_diff(struct invocation *invocation);
int command_uninstall(struct invocation *invocation);
int command_version(struct invocation *invocation);

#endif
