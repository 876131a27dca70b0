/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

int kernel_open(const struct settings *settings, struct datapath **out)
{
	const struct datapath_options options = {.pin = settings->pin, .read_only = true};

	return datapath_open(&options, out);
}

const char *kernel_problem(const struct settings *settings, int error)
{
	static char text[512];
	const char *reason = datapath_error();

	if (error == -ENOENT)
		snprintf(text, sizeof(text), "nothing is pinned below %s: no agent has run with this --pin",
			 settings->pin);
	else if (reason && *reason)
		snprintf(text, sizeof(text), "%s", reason);
	else
		snprintf(text, sizeof(text), "the maps below %s cannot be opened: %s", settings->pin, strerror(-error));
	return text;
}

int kernel_load(const struct settings *settings, struct datapath **out)
{
	int error = kernel_open(settings, out);

	if (error)
		log_error("%s", kernel_problem(settings, error));
	return error;
}

void kernel_close(struct datapath **datapath)
{
	if (*datapath)
		datapath_close(*datapath);
}

int kernel_bank(struct datapath *datapath, struct bank *out)
{
	const uint32_t *words;
	size_t count;
	int error = datapath_tables(datapath, &words, &count);

	if (!error)
		error = bank_open(words, count, out);
	if (error == -ENOENT || error == -ENODATA)
		log_error("no policy tables are in force yet");
	else if (error == -EINVAL)
		log_error("the pinned tables are damaged or of another version");
	else if (error)
		log_error("the pinned tables cannot be read: %s", strerror(-error));
	return error;
}

int kernel_bank_check(const struct bank *bank)
{
	if (bank_in_force(bank))
		return 0;
	log_error("the agent wrote new tables while they were read; try again");
	return -EAGAIN;
}
