/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing and removing the whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/internal.h"

const char *hook_program_name(enum hook hook)
{
	static const char *const names[HOOK_COUNT] = {
		[HOOK_FROM_POD] = "egress_from_pod",
		[HOOK_TO_POD] = "egress_to_pod",
	};

	return names[hook];
}

const char *hook_pin_name(enum hook hook)
{
	static const char *const names[HOOK_COUNT] = {
		[HOOK_FROM_POD] = PIN_FROM_POD,
		[HOOK_TO_POD] = PIN_TO_POD,
	};

	return names[hook];
}

const char *attach_kind_name(enum attach_kind kind)
{
	static const char *const names[] = {
		[ATTACH_AUTO] = "auto",
		[ATTACH_TCX] = "tcx",
		[ATTACH_CLSACT] = "clsact",
	};

	return (size_t)kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}

enum attach_kind datapath_attach_kind(const struct datapath *datapath)
{
	return datapath->kind;
}

void datapath_cleanup(struct datapath **datapath)
{
	datapath_close(*datapath);
}

int datapath_new(const char *pin, unsigned int version, struct datapath **out)
{
	_cleanup_(datapath_cleanup) struct datapath *datapath = calloc(1, sizeof(*datapath));

	if (!datapath)
		return fail_errno(-ENOMEM, "no memory");
	datapath->clock = datapath->grace[0] = datapath->grace[1] = -1;
	datapath->cpu_count = libbpf_num_possible_cpus();
	if (datapath->cpu_count < 0)
		return fail_errno(datapath->cpu_count, "cannot tell the number of possible CPUs");
	datapath->parent = strdup(pin ? pin : EGRESS_PIN_PARENT);
	if (!datapath->parent)
		return fail_errno(-ENOMEM, "no memory");
	if (datapath->parent[0] != '/')
		return fail(-EINVAL, "the directory of the pins must be an absolute path, not \"%s\"",
			    datapath->parent);
	datapath->directory = text_format("%s/v%u", datapath->parent, version);
	if (!datapath->directory)
		return fail_errno(-ENOMEM, "no memory");
	*out = take(datapath);
	return 0;
}

static int choose_kind(enum attach_kind wanted, enum attach_kind *kind)
{
	if (wanted == ATTACH_CLSACT) {
		*kind = ATTACH_CLSACT;
		return 0;
	}
	if (tcx_supported()) {
		*kind = ATTACH_TCX;
		return 0;
	}
	if (wanted == ATTACH_TCX)
		return fail(-EOPNOTSUPP,
			    "this kernel has no TCX links (they came with 6.6); clsact works without them");
	*kind = ATTACH_CLSACT;
	return 0;
}

/* Everything is there, or the state is not that of a finished datapath_open. */
static int find_pinned(const struct datapath *datapath)
{
	struct stat status;

	if (!stat(datapath->directory, &status))
		return 0;
	if (errno == ENOENT)
		return fail(-ENOENT, "nothing is pinned in %s: no agent has run here", datapath->directory);
	return fail_errno(-errno, "cannot look into %s", datapath->directory);
}

static int prepare_directory(struct datapath *datapath, bool take_over)
{
	int error = take_over ? migration_check(datapath) : 0;

	if (!error)
		error = bpffs_prepare(datapath->parent, datapath->directory);
	return error ? error : migration_prepare(datapath);
}

int datapath_open(const struct datapath_options *options, struct datapath **out)
{
	_cleanup_(datapath_cleanup) struct datapath *datapath = NULL;
	int error;

	capture_libbpf_messages();
	error = datapath_new(options->pin, EGRESS_CONTRACT_VERSION, &datapath);
	if (error)
		return error;
	datapath->read_only = options->read_only;
	error = choose_kind(options->attach, &datapath->kind);
	if (!error && options->read_only)
		error = find_pinned(datapath);
	else if (!error)
		error = prepare_directory(datapath, options->take_over);
	if (!error)
		error = shared_maps_open(datapath);
	if (!error)
		error = migration_begin(datapath);
	if (!error)
		error = table_set_adopt(datapath);
	if (error)
		return error;
	*out = take(datapath);
	return 0;
}

void datapath_close(struct datapath *datapath)
{
	if (!datapath)
		return;
	table_set_free(datapath->foreseen);
	table_set_free(datapath->made);
	table_set_free(datapath->in_force);
	shared_maps_close(datapath);
	close_fd(&datapath->clock);
	close_fd(&datapath->grace[0]);
	close_fd(&datapath->grace[1]);
	free(datapath->predecessor.directory);
	free(datapath->directory);
	free(datapath->parent);
	free(datapath);
}

int datapath_prepare_pins(const char *pin)
{
	capture_libbpf_messages();
	if (*pin != '/')
		return fail(-EINVAL, "the directory of the pins must be an absolute path, not \"%s\"", pin);
	return bpffs_prepare(pin, pin);
}

void datapath_discard_pins(const char *pin)
{
	if (bpffs_is(pin))
		bpffs_remove_parent(pin);
}

int datapath_remove(struct datapath *datapath)
{
	_cleanup_free_ uint32_t *interfaces = NULL;
	size_t count, i;
	int error;

	error = datapath_attached_list(datapath, &interfaces, &count);
	if (error)
		return error;
	for (i = 0; i < count; i++) {
		error = datapath_detach(datapath, interfaces[i]);
		if (error)
			return error;
	}
	return bpffs_remove(datapath->parent, datapath->directory);
}
