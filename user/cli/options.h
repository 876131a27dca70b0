/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines: one table of options a command, parsed by getopt_long. */
#ifndef EGRESSD_CLI_OPTIONS_H
#define EGRESSD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/command.h"

/* Texts in an array that is owned. For options that may stand several times they are borrowed from argv. */
struct text_list {
	const char **items;
	size_t count, capacity;
};
void text_list_clear(struct text_list *list);
/* For lists whose texts are on the heap. */
void text_list_clear_owned(struct text_list *list);

enum option_kind {
	OPTION_FLAG,   /* bool */
	OPTION_TEXT,   /* const char * */
	OPTION_TEXTS,  /* struct text_list */
	OPTION_NUMBER, /* unsigned long */
};

struct command_option {
	const char *name; /* the long name, or NULL */
	char letter;      /* the short one, or 0 */
	enum option_kind kind;
	void *target; /* of the type that the kind says; keeps its value where the option is not given */
};

/*
 * Parses the options that stand before the command's name into settings. Returns the index in argv of the name (argc:
 * none), or -1 after it told what is wrong. *help: --help was asked for.
 */
int options_parse_leading(int argc, char **argv, struct settings *settings, bool *output_given, bool *help);

/*
 * Parses the command's own options and the common ones; options and other arguments may stand in any order. On
 * success returns true and *first is the index in invocation->argv of the first argument that is no option. Otherwise
 * false after it told what is wrong.
 */
bool options_parse(struct invocation *invocation, const struct command_option *options, size_t count, int *first);
/* The same for a command that takes no further argument. */
bool options_parse_all(struct invocation *invocation, const struct command_option *options, size_t count);

/* Usage of one command on standard output. */
void options_usage(const struct command *command);

#endif
