/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/memory.h"

/* Values of getopt_long for options that have no letter. */
enum { OPTION_PIN = 256, OPTION_STATE, OPTION_HELP, OPTION_OWN };

/* Room for the common options and the empty one that ends the list. */
#define COMMON_OPTIONS 4

static const struct option common_options[COMMON_OPTIONS] = {
	{"output", required_argument, NULL, 'o'},
	{"pin", required_argument, NULL, OPTION_PIN},
	{"state", required_argument, NULL, OPTION_STATE},
	{"help", no_argument, NULL, OPTION_HELP},
};

static const char *const output_names[OUTPUT_FORMAT_COUNT] = {
	[OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json",   [OUTPUT_SARIF] = "sarif",
	[OUTPUT_TAP] = "tap",     [OUTPUT_JUNIT] = "junit",
};

void text_list_clear(struct text_list *list)
{
	free(list->items);
	*list = (struct text_list){0};
}

void text_list_clear_owned(struct text_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free((char *)list->items[i]);
	text_list_clear(list);
}

static bool parse_output(const char *text, enum output_format *out)
{
	unsigned int format;

	/* What a person reads is a table in some commands and lines in others; both words are understood. */
	if (!strcmp(text, "text"))
		text = output_names[OUTPUT_TABLE];
	for (format = 0; format < OUTPUT_FORMAT_COUNT; format++) {
		if (!strcmp(text, output_names[format])) {
			*out = format;
			return true;
		}
	}
	log_error("-o %s: no such output format", text);
	return false;
}

static bool check_output(const struct command *command, enum output_format format)
{
	char names[64] = "";
	unsigned int i;

	if (command->outputs & (1u << format))
		return true;
	for (i = 0; i < OUTPUT_FORMAT_COUNT; i++) {
		if (!(command->outputs & (1u << i)))
			continue;
		if (*names)
			strcat(names, ", ");
		strcat(names, output_names[i]);
	}
	log_error("%s does not write %s; it writes %s", command->name, output_names[format], names);
	return false;
}

/* True where `value` was one of the common options that take a value. */
static bool parse_common(int value, struct settings *settings, bool *good)
{
	switch (value) {
	case 'o':
		*good = parse_output(optarg, &settings->output);
		return true;
	case OPTION_PIN:
		settings->pin = optarg;
		return true;
	case OPTION_STATE:
		settings->state = optarg;
		return true;
	default:
		return false;
	}
}

/* getopt's '?' and ':' in one line. */
static void tell_bad_option(const char *where, char **argv, int value)
{
	const char *given = optind > 0 ? argv[optind - 1] : "";

	if (optopt > 0 && optopt < OPTION_PIN && isprint(optopt))
		log_error("%s: option -%c %s", where, optopt, value == ':' ? "needs a value" : "is not known");
	else
		log_error("%s: option %s %s", where, given,
			  value == ':' ? "needs a value"
			  : optopt     ? "takes no value"
				       : "is not known");
}

int options_parse_leading(int argc, char **argv, struct settings *settings, bool *output_given, bool *help)
{
	struct option options[COMMON_OPTIONS + 1] = {0};
	int value;

	memcpy(options, common_options, sizeof(common_options));
	opterr = 0;
	optind = 0;
	while ((value = getopt_long(argc, argv, "+:o:h", options, NULL)) != -1) {
		bool good = true;

		if (value == OPTION_HELP || value == 'h') {
			*help = true;
		} else if (parse_common(value, settings, &good)) {
			*output_given |= value == 'o';
			if (!good)
				return -1;
		} else {
			tell_bad_option("egressctl", argv, value);
			return -1;
		}
	}
	return optind;
}

static bool parse_number(const char *name, const char *text, unsigned long *out)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno) {
		log_error("%s: '%s' is not a number", name, text);
		return false;
	}
	*out = number;
	return true;
}

static bool store_value(const struct invocation *invocation, const struct command_option *option)
{
	switch (option->kind) {
	case OPTION_FLAG:
		*(bool *)option->target = true;
		return true;
	case OPTION_TEXT:
		*(const char **)option->target = optarg;
		return true;
	case OPTION_TEXTS: {
		struct text_list *list = option->target;

		array_push(list->items, list->count, list->capacity, optarg);
		return true;
	}
	case OPTION_NUMBER:
		return parse_number(invocation->command->name, optarg, option->target);
	}
	return false;
}

/* The option whose value getopt_long returned, or NULL. */
static const struct command_option *find_option(const struct command_option *options, size_t count, int value)
{
	size_t i;

	if (value >= OPTION_OWN)
		return &options[value - OPTION_OWN];
	for (i = 0; i < count; i++)
		if (options[i].letter && options[i].letter == value)
			return &options[i];
	return NULL;
}

/* What getopt_long wants to know, made of the table. `letters` has room for three characters an option. */
static void describe_options(const struct command_option *options, size_t count, struct option *list, char *letters)
{
	size_t i;

	letters = stpcpy(letters, ":o:h");
	memcpy(list, common_options, sizeof(common_options));
	list += COMMON_OPTIONS;
	for (i = 0; i < count; i++) {
		bool takes_value = options[i].kind != OPTION_FLAG;

		if (options[i].letter) {
			*letters++ = options[i].letter;
			if (takes_value)
				*letters++ = ':';
		}
		if (options[i].name)
			*list++ = (struct option){options[i].name, takes_value ? required_argument : no_argument, NULL,
						  OPTION_OWN + (int)i};
	}
	*letters = '\0';
}

bool options_parse(struct invocation *invocation, const struct command_option *options, size_t count, int *first)
{
	_cleanup_free_ struct option *list = allocate(count + COMMON_OPTIONS + 1, sizeof(*list));
	_cleanup_free_ char *letters = allocate(2 * count + sizeof(":o:h"), 1);
	int value;

	describe_options(options, count, list, letters);
	opterr = 0;
	optind = 0;
	while ((value = getopt_long(invocation->argc, invocation->argv, letters, list, NULL)) != -1) {
		const struct command_option *option = find_option(options, count, value);
		bool good = true;

		if (option) {
			good = store_value(invocation, option);
		} else if (value == OPTION_HELP || value == 'h') {
			options_usage(invocation->command);
			exit(EXIT_SUCCESS);
		} else if (!parse_common(value, &invocation->settings, &good)) {
			tell_bad_option(invocation->command->name, invocation->argv, value);
			return false;
		}
		if (!good)
			return false;
	}
	*first = optind;
	return check_output(invocation->command, invocation->settings.output);
}

bool options_parse_all(struct invocation *invocation, const struct command_option *options, size_t count)
{
	int first;

	if (!options_parse(invocation, options, count, &first))
		return false;
	if (first == invocation->argc)
		return true;
	log_error("%s: '%s' was not expected", invocation->command->name, invocation->argv[first]);
	return false;
}

void options_usage(const struct command *command)
{
	printf("usage: egressctl %s%s%s\n\n%s.\n", command->name, *command->arguments ? " " : "", command->arguments,
	       command->summary);
}
