/* SPDX-License-Identifier: Apache-2.0 */
/* Pins that someone removed or replaced while we hold what they stood for. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "datapath/internal.h"

/* Whether the pin is that of the object behind the descriptor. */
static bool pin_is_ours(const char *path, int fd, int (*object_id)(int fd, uint32_t *id))
{
	_cleanup_fd_ int pinned = bpf_obj_get(path);
	uint32_t ours, found;

	return pinned >= 0 && !object_id(fd, &ours) && !object_id(pinned, &found) && ours == found;
}

static int repair_pin(struct datapath *datapath, const char *name, int fd, int (*object_id)(int fd, uint32_t *id),
		      size_t *repaired)
{
	char path[PATH_MAX];
	int error = pin_path(datapath, name, path);

	if (error || pin_is_ours(path, fd, object_id))
		return error;
	if (remove(path) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove %s, which is not ours", path);
	if (bpf_obj_pin(fd, path))
		return fail_errno(-errno, "cannot pin %s again", path);
	log_debug("pinned %s again", path);
	(*repaired)++;
	return 0;
}

static int repair_maps(struct datapath *datapath, size_t *repaired)
{
	int error = 0;

	for (size_t i = 0; !error && i < datapath->map_count; i++)
		error = repair_pin(datapath, datapath->maps[i].name, datapath->maps[i].fd, map_id, repaired);
	return error;
}

/* In the order of a commit: whoever finds the tables finds their programs. */
static int repair_set(struct datapath *datapath, size_t *repaired)
{
	const struct table_set *set = datapath->in_force;
	int error = 0;

	if (!set)
		return 0;
	for (int hook = 0; !error && hook < HOOK_COUNT; hook++)
		error = repair_pin(datapath, hook_pin_name((enum hook)hook), set->program_fd[hook], program_id,
				   repaired);
	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = repair_pin(datapath, table_map_pin((enum table_map)map), set->tables.fd[map], map_id, repaired);
	return error;
}

int datapath_repair_pins(struct datapath *datapath, size_t *repaired)
{
	size_t count = 0;
	int error = 0;

	if (datapath->in_force)
		error = migration_finish(datapath);
	if (!error && !bpffs_is(datapath->directory))
		error = bpffs_prepare(datapath->parent, datapath->directory);
	if (!error)
		error = repair_maps(datapath, &count);
	if (!error)
		error = repair_set(datapath, &count);
	*repaired = count;
	return error;
}
