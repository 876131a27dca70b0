/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/table_maps.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

static const struct {
	const char *pin;
	const char *in_object; /* libbpf's name of it: a section's where it is made of a variable */
} table_map_names[TABLE_MAP_COUNT] = {
	[TABLE_MAP_FIRST] = {EGRESS_PIN_FIRST_CHUNK, ".bss"},
	[TABLE_MAP_OTHERS] = {EGRESS_PIN_TABLES, EGRESS_PIN_TABLES},
};

const char *table_map_pin(enum table_map map)
{
	return table_map_names[map].pin;
}

struct bpf_map *table_map_of(const struct bpf_object *object, enum table_map map)
{
	return bpf_object__find_map_by_name(object, table_map_names[map].in_object);
}

static uint32_t entries_of(enum table_map map, uint32_t chunks)
{
	return map == TABLE_MAP_FIRST ? 1 : chunks - 1;
}

/* Made here and not by libbpf, so that it can be written to while the programs are loaded. */
static int create_map(struct table_maps *maps, enum table_map which, struct bpf_object *object, uint32_t chunks)
{
	struct bpf_map *map = table_map_of(object, which);
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd, error;

	if (!map || bpf_map__value_size(map) != sizeof(struct egress_chunk))
		return fail(-EINVAL, "the programs in this binary lack the map %s", table_map_pin(which));
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, table_map_pin(which), sizeof(uint32_t), sizeof(struct egress_chunk),
			    entries_of(which, chunks), &options);
	if (fd < 0)
		return fail_errno(fd, "cannot make tables of %u chunks", chunks);
	maps->fd[which] = fd;
	error = bpf_map__reuse_fd(map, fd);
	return error ? fail_errno(error, "cannot hand the tables to the programs") : 0;
}

int table_maps_create(struct table_maps *maps, struct bpf_object *object, uint32_t chunks)
{
	int error = 0;

	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = create_map(maps, (enum table_map)map, object, chunks);
	return error;
}

/* What a map takes of the memory at `place`, in bytes; 0 where it cannot be mapped. */
static size_t map_part(const struct table_maps *maps, enum table_map which, uint32_t chunks, bool read_only, char *place)
{
	size_t size = entries_of(which, chunks) * sizeof(struct egress_chunk);
	int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	const void *memory = mmap(place, size, protection, MAP_SHARED | MAP_FIXED, maps->fd[which], 0);

	return memory == MAP_FAILED ? 0 : size;
}

/* A place where both fit, and then each in its part of it. */
int table_maps_map(struct table_maps *maps, uint32_t chunks, bool read_only)
{
	size_t size = (size_t)chunks * sizeof(struct egress_chunk), mapped = 0, part = 1;
	/* cppcheck-suppress invalidFunctionArg ; what is anonymous has no descriptor */
	char *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int error;

	if (place == MAP_FAILED)
		return fail_errno(-errno, "cannot map %zu bytes of tables into memory", size);
	for (int map = 0; part && map < TABLE_MAP_COUNT; map++) {
		part = map_part(maps, (enum table_map)map, chunks, read_only, place + mapped);
		mapped += part;
	}
	if (!part) {
		error = fail_errno(-errno, "cannot map %zu bytes of tables into memory", size);
		munmap(place, size);
		return error;
	}
	maps->memory = (void *)place;
	maps->word_count = (size_t)chunks * EGRESS_CHUNK_WORDS;
	return 0;
}

static int verify_map(const struct table_maps *maps, enum table_map which, const char *directory,
		      struct bpf_map_info *info)
{
	uint32_t size = sizeof(*info);

	if (bpf_obj_get_info_by_fd(maps->fd[which], info, &size))
		return fail_errno(-errno, "cannot look at the pinned map %s", table_map_pin(which));
	if (info->type == BPF_MAP_TYPE_ARRAY && info->value_size == sizeof(struct egress_chunk) &&
	    info->map_flags & BPF_F_MMAPABLE && (which != TABLE_MAP_FIRST || info->max_entries == 1))
		return 0;
	return fail(-EINVAL,
		    "the pinned map %s/%s does not fit this version: "
		    "expected an array of %s%zu-byte values that can be mapped; "
		    "found type %u, value %u, entries %u, flags %#x",
		    directory, table_map_pin(which), which == TABLE_MAP_FIRST ? "one of " : "",
		    sizeof(struct egress_chunk), info->type, info->value_size, info->max_entries, info->map_flags);
}

int table_maps_verify(const struct table_maps *maps, const char *directory, uint32_t *chunks)
{
	struct bpf_map_info info[TABLE_MAP_COUNT] = {};
	int error = 0;

	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = verify_map(maps, (enum table_map)map, directory, &info[map]);
	if (!error)
		*chunks = 1 + info[TABLE_MAP_OTHERS].max_entries;
	return error;
}

void table_maps_clear(struct table_maps *maps)
{
	if (maps->memory)
		munmap(maps->memory, maps->word_count * sizeof(*maps->memory));
	maps->memory = NULL;
	for (int map = 0; map < TABLE_MAP_COUNT; map++)
		close_fd(&maps->fd[map]);
}
