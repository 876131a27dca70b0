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

/* A map has an entry: of chunks that are joined the other map's is a word that nobody reads. */
#define NO_CHUNK_BYTES sizeof(uint32_t)

/* Made here and not by libbpf, so that it can be written to while the programs are loaded. */
static int create_map(enum table_map which, size_t value_size, uint32_t entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, table_map_pin(which), sizeof(uint32_t), (uint32_t)value_size, entries,
			      &options);
}

/* -E2BIG: the kernel takes no value of that size. */
static int create_joined(struct table_maps *maps, uint32_t chunks)
{
	int fd;

	if (chunks > EGRESS_CHUNKS_JOINED_MAX)
		return -E2BIG;
	fd = create_map(TABLE_MAP_FIRST, chunks * sizeof(struct egress_chunk), 1);
	if (fd < 0)
		return fd;
	maps->fd[TABLE_MAP_FIRST] = fd;
	maps->chunks[TABLE_MAP_FIRST] = chunks;
	maps->chunks[TABLE_MAP_OTHERS] = 0;
	fd = maps->fd[TABLE_MAP_OTHERS] = create_map(TABLE_MAP_OTHERS, NO_CHUNK_BYTES, 1);
	return fd < 0 ? fd : 0;
}

static int create_apart(struct table_maps *maps, uint32_t chunks)
{
	maps->chunks[TABLE_MAP_FIRST] = 1;
	maps->chunks[TABLE_MAP_OTHERS] = chunks > 1 ? chunks - 1 : 1;
	for (int map = 0; map < TABLE_MAP_COUNT; map++) {
		maps->fd[map] = create_map((enum table_map)map, sizeof(struct egress_chunk), maps->chunks[map]);
		if (maps->fd[map] < 0)
			return maps->fd[map];
	}
	return 0;
}

/* The programs learn how many words are in the first map, if it has all of them. */
static int tell_programs(const struct table_maps *maps, struct bpf_object *object)
{
	const uint32_t words = maps->chunks[TABLE_MAP_OTHERS] ? 0 : maps->chunks[TABLE_MAP_FIRST] * EGRESS_CHUNK_WORDS;
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata.joined");

	if (!map || bpf_map__set_initial_value(map, &words, sizeof(words)))
		return fail(-EINVAL, "the programs in this binary lack the constant joined_words");
	return 0;
}

static int hand_over(const struct table_maps *maps, enum table_map which, struct bpf_object *object)
{
	const size_t expected = which == TABLE_MAP_FIRST ? EGRESS_CHUNKS_JOINED_MAX : 1;
	struct bpf_map *map = table_map_of(object, which);
	size_t size = maps->chunks[which] * sizeof(struct egress_chunk), taken = 0;
	const char *place;
	int error;

	if (!map || bpf_map__value_size(map) != expected * sizeof(struct egress_chunk))
		return fail(-EINVAL, "the programs in this binary lack the map %s", table_map_pin(which));
	place = bpf_map__initial_value(map, &taken);
	error = bpf_map__reuse_fd(map, maps->fd[which]);
	if (error)
		return fail_errno(error, "cannot hand the tables to the programs");
	/*
	 * libbpf took address space for the variable, and will free as much of it as the map has that it was given in its
	 * place: the rest is freed here.
	 */
	if (place && taken > size)
		munmap((char *)(uintptr_t)place + size, taken - size);
	return 0;
}

int table_maps_create(struct table_maps *maps, struct bpf_object *object, uint32_t chunks, bool may_join)
{
	int error = may_join ? create_joined(maps, chunks) : -E2BIG;

	if (error == -E2BIG)
		error = create_apart(maps, chunks);
	if (error)
		return fail_errno(error, "cannot make tables of %u chunks", chunks);
	error = tell_programs(maps, object);
	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = hand_over(maps, (enum table_map)map, object);
	return error;
}

/* What a map takes of the memory at `place`, in bytes, is added to *mapped. */
static int map_part(const struct table_maps *maps, enum table_map which, bool read_only, char *place, size_t *mapped)
{
	size_t size = maps->chunks[which] * sizeof(struct egress_chunk);
	int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	const void *memory;

	if (!size)
		return 0;
	memory = mmap(place + *mapped, size, protection, MAP_SHARED | MAP_FIXED, maps->fd[which], 0);
	if (memory == MAP_FAILED)
		return -errno;
	*mapped += size;
	return 0;
}

/* A place where both fit, and then each in its part of it. */
int table_maps_map(struct table_maps *maps, bool read_only)
{
	size_t chunks = (size_t)maps->chunks[TABLE_MAP_FIRST] + maps->chunks[TABLE_MAP_OTHERS];
	size_t size = chunks * sizeof(struct egress_chunk), mapped = 0;
	/* cppcheck-suppress invalidFunctionArg ; what is anonymous has no descriptor */
	char *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int error = 0;

	if (place == MAP_FAILED)
		return fail_errno(-errno, "cannot map %zu bytes of tables into memory", size);
	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = map_part(maps, (enum table_map)map, read_only, place, &mapped);
	if (error) {
		munmap(place, size);
		return fail_errno(error, "cannot map %zu bytes of tables into memory", size);
	}
	maps->memory = (void *)place;
	maps->word_count = chunks * EGRESS_CHUNK_WORDS;
	return 0;
}

/* Chunks in a map that looks like this; -1: it is none of ours. joined: the first map has them all. */
static int64_t chunks_in(const struct bpf_map_info *info, enum table_map which, bool joined)
{
	if (info->type != BPF_MAP_TYPE_ARRAY || !(info->map_flags & BPF_F_MMAPABLE))
		return -1;
	if (which == TABLE_MAP_FIRST) {
		bool whole = info->value_size && info->value_size % sizeof(struct egress_chunk) == 0;
		uint32_t chunks = info->value_size / (uint32_t)sizeof(struct egress_chunk);

		return whole && info->max_entries == 1 && (joined || chunks == 1) ? (int64_t)chunks : -1;
	}
	if (joined)
		return 0;
	return info->value_size == sizeof(struct egress_chunk) ? (int64_t)info->max_entries : -1;
}

static int verify_map(struct table_maps *maps, enum table_map which, const char *directory, bool joined,
		      const struct bpf_map_info *info)
{
	int64_t chunks = chunks_in(info, which, joined);

	if (chunks >= 0) {
		maps->chunks[which] = (uint32_t)chunks;
		return 0;
	}
	return fail(-EINVAL,
		    "the pinned map %s/%s does not fit this version: "
		    "expected an array of %s%zu-byte values that can be mapped; "
		    "found type %u, value %u, entries %u, flags %#x",
		    directory, table_map_pin(which), which == TABLE_MAP_FIRST ? "one of " : "",
		    sizeof(struct egress_chunk), info->type, info->value_size, info->max_entries, info->map_flags);
}

int table_maps_verify(struct table_maps *maps, const char *directory)
{
	struct bpf_map_info info[TABLE_MAP_COUNT] = {};
	int error = 0;

	for (int map = 0; map < TABLE_MAP_COUNT; map++) {
		uint32_t size = sizeof(info[map]);

		if (bpf_obj_get_info_by_fd(maps->fd[map], &info[map], &size))
			return fail_errno(-errno, "cannot look at the pinned map %s",
					  table_map_pin((enum table_map)map));
	}
	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = verify_map(maps, (enum table_map)map, directory,
				   info[TABLE_MAP_OTHERS].value_size == NO_CHUNK_BYTES, &info[map]);
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
