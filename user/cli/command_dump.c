/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/options.h"
#include "cli/output.h"

static const struct dump_part {
	const char *name;
	int (*run)(struct dump *dump, json_t **out);
} parts[] = {
	{"maps", dump_maps},   {"classes", dump_classes},   {"rows", dump_rows},
	{"flows", dump_flows}, {"counters", dump_counters},
};

static void dump_clear(struct dump *dump)
{
	saved_state_clear(&dump->state);
	store_clear(&dump->store);
	kernel_close(&dump->datapath);
}

static int open_dump(struct invocation *invocation, struct dump *dump)
{
	int error = kernel_load(&invocation->settings, &dump->datapath);

	if (error)
		return error;
	dump->settings = &invocation->settings;
	/* Names only: what is pinned can be dumped without them. */
	if (!saved_state_read(invocation->settings.state, &dump->state))
		saved_objects_read(invocation->settings.state, &dump->store);
	return 0;
}

static int dump_one(struct dump *dump, const struct dump_part *part)
{
	json_t *out = NULL;

	if (part->run(dump, &out))
		return EXIT_ERROR;
	if (out)
		json_print(out);
	return EXIT_SUCCESS;
}

static int dump_all(struct dump *dump)
{
	_cleanup_(json_clear) json_t *all = json_new_object();
	bool json = dump->settings->output == OUTPUT_JSON;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		json_t *out = NULL;

		if (!json)
			printf("%s%s:\n", i ? "\n" : "", parts[i].name);
		if (parts[i].run(dump, &out))
			return EXIT_ERROR;
		if (out)
			json_put(all, parts[i].name, out);
	}
	if (json)
		json_print(take(all));
	return EXIT_SUCCESS;
}

static const struct dump_part *find_part(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if (!strcmp(parts[i].name, name))
			return &parts[i];
	log_error("dump: '%s' is none of maps, classes, rows, flows, counters", name);
	return NULL;
}

int command_dump(struct invocation *invocation)
{
	_cleanup_(dump_clear) struct dump dump = {0};
	const struct dump_part *part = NULL;
	int first;

	if (!options_parse(invocation, NULL, 0, &first))
		return EXIT_ERROR;
	if (first + 1 < invocation->argc) {
		log_error("dump: '%s' was not expected", invocation->argv[first + 1]);
		return EXIT_ERROR;
	}
	if (first < invocation->argc) {
		part = find_part(invocation->argv[first]);
		if (!part)
			return EXIT_ERROR;
	}
	if (open_dump(invocation, &dump))
		return EXIT_ERROR;
	return part ? dump_one(&dump, part) : dump_all(&dump);
}
