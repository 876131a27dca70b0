/* SPDX-License-Identifier: Apache-2.0 */
/* The maps that outlive programs: created once, pinned, and found again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "datapath/internal.h"
#include "egressd.skel.h"

static void close_object(struct bpf_object **object)
{
	bpf_object__close(*object);
}

#define _cleanup_object_ _cleanup_(close_object)

/* What libbpf makes for global variables and constants belongs to one load of the programs. */
static bool is_shared(const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) && strcmp(bpf_map__name(map), EGRESS_PIN_TABLES);
}

int object_open(struct bpf_object **out)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "egressd");
	_cleanup_object_ struct bpf_object *object = NULL;
	struct bpf_map *drop_log;
	const void *bytes;
	size_t size;
	int cpus = libbpf_num_possible_cpus(), error;

	if (cpus < 0)
		return fail_errno(cpus, "cannot tell the number of possible CPUs");
	bytes = egressd__elf_bytes(&size);
	object = bpf_object__open_mem(bytes, size, &options);
	if (!object)
		return fail_errno(-errno, "cannot read the programs in this binary");
	drop_log = bpf_object__find_map_by_name(object, EGRESS_PIN_DROP_LOG);
	if (!drop_log)
		return fail(-EINVAL, "the programs in this binary lack the map %s", EGRESS_PIN_DROP_LOG);
	error = bpf_map__set_max_entries(drop_log, (uint32_t)cpus * EGRESS_DROP_LOG_RECORDS);
	if (error)
		return fail_errno(error, "cannot size the map %s", EGRESS_PIN_DROP_LOG);
	*out = take(object);
	return 0;
}

/*
 * The number of entries that the kernel makes of it: an LRU with a list for each CPU is rounded to a multiple of their
 * number.
 */
static uint32_t effective_entries(const struct bpf_map *map)
{
	uint32_t entries = bpf_map__max_entries(map), cpus = (uint32_t)libbpf_num_possible_cpus();

	if (bpf_map__type(map) != BPF_MAP_TYPE_LRU_HASH || !(bpf_map__map_flags(map) & BPF_F_NO_COMMON_LRU))
		return entries;
	return (entries + cpus - 1) / cpus * cpus;
}

static int verify_layout(const char *path, int fd, const struct bpf_map *map)
{
	struct bpf_map_info found = {};
	uint32_t size = sizeof(found);

	if (bpf_obj_get_info_by_fd(fd, &found, &size))
		return fail_errno(-errno, "cannot look at the pinned map %s", path);
	if (found.type == bpf_map__type(map) && found.key_size == bpf_map__key_size(map) &&
	    found.value_size == bpf_map__value_size(map) && found.max_entries == effective_entries(map) &&
	    found.map_flags == bpf_map__map_flags(map))
		return 0;
	return fail(-EINVAL,
		    "the pinned map %s does not fit this version: "
		    "expected type %u, key %u, value %u, entries %u, flags %#x; "
		    "found type %u, key %u, value %u, entries %u, flags %#x",
		    path, bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map), effective_entries(map),
		    bpf_map__map_flags(map), found.type, found.key_size, found.value_size, found.max_entries,
		    found.map_flags);
}

/*
 * A reader cannot change what it opens; only what it maps into memory it must open for writing, since the kernel takes a
 * shared mapping of a read-only file for a private one, which maps do not have. Flow shares are mapped by the agent alone.
 */
static uint32_t open_flags(const struct datapath *datapath, const struct bpf_map *map)
{
	bool mapped = bpf_map__map_flags(map) & BPF_F_MMAPABLE && strcmp(bpf_map__name(map), EGRESS_PIN_FLOW_SHARES) != 0;

	return datapath->read_only && !mapped ? BPF_F_RDONLY : 0;
}

/* 0 with a verified descriptor in *fd, or with -1 where nothing is pinned. */
static int open_pin(const struct datapath *datapath, const struct bpf_map *map, int *fd)
{
	LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = open_flags(datapath, map));
	_cleanup_fd_ int found = -1;
	char path[PATH_MAX];
	int error;

	error = pin_path(datapath, bpf_map__name(map), path);
	if (error)
		return error;
	found = bpf_obj_get_opts(path, &options);
	if (found < 0 && errno == ENOENT && !datapath->read_only) {
		*fd = -1;
		return 0;
	}
	if (found < 0)
		return fail_errno(-errno, "cannot open the pinned map %s", path);
	error = verify_layout(path, found, map);
	if (error)
		return error;
	*fd = take_fd(&found);
	return 0;
}

/* Adds to the list; takes the descriptor over, also on failure. */
static int remember_map(struct datapath *datapath, const char *name, int fd)
{
	struct shared_map *maps = reallocarray(datapath->maps, datapath->map_count + 1, sizeof(*maps));

	if (maps)
		datapath->maps = maps;
	if (!maps || !(maps[datapath->map_count].name = strdup(name))) {
		close(fd);
		return fail_errno(-ENOMEM, "no memory");
	}
	maps[datapath->map_count++].fd = fd;
	return 0;
}

static const struct shared_map *find_map(const struct datapath *datapath, const char *name)
{
	for (size_t i = 0; i < datapath->map_count; i++)
		if (!strcmp(datapath->maps[i].name, name))
			return &datapath->maps[i];
	return NULL;
}

int shared_map_fd(const struct datapath *datapath, const char *name)
{
	const struct shared_map *map = find_map(datapath, name);

	return map ? map->fd : -1;
}

static int open_pinned(struct datapath *datapath, const struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		int fd, error;

		if (!is_shared(map))
			continue;
		error = open_pin(datapath, map, &fd);
		if (!error && fd >= 0)
			error = remember_map(datapath, bpf_map__name(map), fd);
		if (error)
			return error;
	}
	return 0;
}

/* Pins a map that was created just now. */
static int pin_created(struct datapath *datapath, const struct bpf_map *map)
{
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];
	int error;

	error = pin_path(datapath, bpf_map__name(map), path);
	if (error)
		return error;
	fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(-errno, "cannot keep the map %s open", bpf_map__name(map));
	if (bpf_obj_pin(fd, path))
		return fail_errno(-errno, "cannot pin %s", path);
	return remember_map(datapath, bpf_map__name(map), take_fd(&fd));
}

/* Loads the object's shared maps alone: its programs and the tables come with datapath_new_tables. */
static int create_missing(struct datapath *datapath, struct bpf_object *object)
{
	struct bpf_program *program;
	struct bpf_map *map;
	int error;

	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, false);
	bpf_object__for_each_map(map, object)
		if (!is_shared(map))
			bpf_map__set_autocreate(map, false);
	error = shared_maps_reuse(datapath, object);
	if (error)
		return error;
	error = bpf_object__load(object);
	if (error)
		return fail_errno(error, "cannot create the maps");
	bpf_object__for_each_map(map, object) {
		if (!is_shared(map) || find_map(datapath, bpf_map__name(map)))
			continue;
		error = pin_created(datapath, map);
		if (error)
			return error;
	}
	return 0;
}

static int find_contract_maps(struct datapath *datapath)
{
	struct {
		const char *name;
		int *fd;
	} wanted[] = {
		{EGRESS_PIN_ENDPOINTS, &datapath->endpoints},
		{EGRESS_PIN_ENDPOINTS_OVERFLOW, &datapath->endpoints_overflow},
		{EGRESS_PIN_ALLOWED, &datapath->allowed},
		{EGRESS_PIN_DROPPED, &datapath->dropped},
		{EGRESS_PIN_DROP_LOG, &datapath->drop_log},
		{EGRESS_PIN_DROP_LOG_STATE, &datapath->drop_log_state},
		{EGRESS_PIN_FLOWS, &datapath->flows},
		{EGRESS_PIN_FLOWS_BESIDE, &datapath->flows_beside},
		{EGRESS_PIN_FLOW_SHARES, &datapath->flow_shares},
		{EGRESS_PIN_FLOW_RINGS_OWN, &datapath->flow_rings_own},
		{EGRESS_PIN_FLOW_RINGS_POOL, &datapath->flow_rings_pool},
		{EGRESS_PIN_FRAGMENTS, &datapath->fragments},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		const struct shared_map *map = find_map(datapath, wanted[i].name);

		if (!map)
			return fail(-EINVAL, "the programs in this binary lack the map %s", wanted[i].name);
		*wanted[i].fd = map->fd;
	}
	return 0;
}

int shared_maps_open(struct datapath *datapath)
{
	_cleanup_object_ struct bpf_object *object = NULL;
	int error;

	error = object_open(&object);
	if (!error)
		error = open_pinned(datapath, object);
	if (!error && !datapath->read_only)
		error = create_missing(datapath, object);
	if (!error)
		error = find_contract_maps(datapath);
	if (error)
		return error;
	datapath->drop_log_entries = (uint32_t)datapath->cpu_count * EGRESS_DROP_LOG_RECORDS;
	return 0;
}

void shared_maps_close(struct datapath *datapath)
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		close(datapath->maps[i].fd);
		free(datapath->maps[i].name);
	}
	free(datapath->maps);
	datapath->maps = NULL;
	datapath->map_count = 0;
}

int shared_maps_reuse(const struct datapath *datapath, struct bpf_object *object)
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		const struct shared_map *shared = &datapath->maps[i];
		struct bpf_map *map = bpf_object__find_map_by_name(object, shared->name);
		int error = map ? bpf_map__reuse_fd(map, shared->fd) : -ENOENT;

		if (error)
			return fail_errno(error, "cannot hand the map %s to the programs", shared->name);
	}
	return 0;
}
