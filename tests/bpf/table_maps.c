/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps of the tables: all chunks as one value where the kernel takes it, in two maps where not, and in either case one
 * memory. What another version left in their place is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "datapath/datapath.h"
#include "datapath/table_maps.h"
#include "egressd.skel.h"

#include "map_layout.h"

#define CHUNK_BYTES sizeof(struct egress_chunk)

static struct egressd *skeleton;

static int open_programs(void **state)
{
	(void)state;
	skeleton = egressd__open();
	return skeleton ? 0 : -1;
}

static int close_programs(void **state)
{
	(void)state;
	egressd__destroy(skeleton);
	return 0;
}

static int make_map(size_t value_size, uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "table", 4, (uint32_t)value_size, entries, &options);
}

/* Chunks in either map, and what the programs are told of it. */
static void expect_layout(const struct table_maps *maps, uint32_t first, uint32_t others)
{
	struct bpf_map_info info = map_info(maps->fd[TABLE_MAP_FIRST]);

	assert_int_equal(info.value_size, first * CHUNK_BYTES);
	assert_int_equal(info.max_entries, 1);
	assert_int_equal(maps->chunks[TABLE_MAP_FIRST], first);
	info = map_info(maps->fd[TABLE_MAP_OTHERS]);
	assert_int_equal(info.value_size, others ? CHUNK_BYTES : sizeof(uint32_t));
	assert_int_equal(info.max_entries, others ? others : 1);
	assert_int_equal(maps->chunks[TABLE_MAP_OTHERS], others);
	assert_int_equal(skeleton->rodata_joined->joined_words, others ? 0 : first * EGRESS_CHUNK_WORDS);
}

/* All chunks are one memory, and where a reader opens the maps, each word is where it was written. */
static void expect_one_memory(struct table_maps *maps, uint32_t chunks)
{
	_cleanup_(table_maps_clear) struct table_maps reader = TABLE_MAPS_INIT;
	size_t i;

	assert_int_equal(table_maps_map(maps, false), 0);
	assert_int_equal(maps->word_count, chunks * EGRESS_CHUNK_WORDS);
	for (i = 0; i < maps->word_count; i += EGRESS_CHUNK_WORDS / 2 - 1)
		maps->memory[i] = (uint32_t)i + 1;
	for (i = 0; i < TABLE_MAP_COUNT; i++)
		reader.fd[i] = dup(maps->fd[i]);
	assert_int_equal(table_maps_verify(&reader, "pins"), 0);
	assert_memory_equal(reader.chunks, maps->chunks, sizeof(reader.chunks));
	assert_int_equal(table_maps_map(&reader, true), 0);
	assert_int_equal(reader.word_count, maps->word_count);
	assert_memory_equal(reader.memory, maps->memory, maps->word_count * sizeof(*maps->memory));
}

static void chunks_are_joined_where_the_kernel_takes_it(void **state)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;

	(void)state;
	assert_int_equal(table_maps_create(&maps, skeleton->obj, 3, true), 0);
	if (takes_large_values())
		expect_layout(&maps, 3, 0);
	else
		expect_layout(&maps, 1, 2);
	expect_one_memory(&maps, 3);
}

/* No kernel is too old for this. */
static void one_chunk_takes_no_second_one(void **state)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;

	(void)state;
	assert_int_equal(table_maps_create(&maps, skeleton->obj, 1, true), 0);
	expect_layout(&maps, 1, 0);
	expect_one_memory(&maps, 1);
}

static void chunks_apart_are_one_memory(void **state)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;

	(void)state;
	assert_int_equal(table_maps_create(&maps, skeleton->obj, 3, false), 0);
	expect_layout(&maps, 1, 2);
	expect_one_memory(&maps, 3);
}

/* Also where the kernel would take them. */
static void too_many_chunks_are_apart(void **state)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;

	(void)state;
	assert_int_equal(table_maps_create(&maps, skeleton->obj, EGRESS_CHUNKS_JOINED_MAX + 1, true), 0);
	expect_layout(&maps, 1, EGRESS_CHUNKS_JOINED_MAX);
}

/* As large as joined chunks get, the kernel takes the programs. */
static void programs_follow_the_last_chunk(void **state)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;

	(void)state;
	assert_int_equal(table_maps_create(&maps, skeleton->obj, EGRESS_CHUNKS_JOINED_MAX, true), 0);
	assert_int_equal(egressd__load(skeleton), 0);
}

/* ---------------------------------------------------------------- what is refused */

struct layout {
	size_t first_size, others_size;
	uint32_t first_entries, others_entries, flags;
	const char *sentence;
};

static void expect_refused(const struct layout *layout)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;

	maps.fd[TABLE_MAP_FIRST] = make_map(layout->first_size, layout->first_entries, layout->flags);
	maps.fd[TABLE_MAP_OTHERS] = make_map(layout->others_size, layout->others_entries, layout->flags);
	assert_true(maps.fd[TABLE_MAP_FIRST] >= 0 && maps.fd[TABLE_MAP_OTHERS] >= 0);
	assert_int_equal(table_maps_verify(&maps, "pins"), -EINVAL);
	if (!strstr(datapath_error(), layout->sentence))
		fail_msg("expected \"%s\", found: %s", layout->sentence, datapath_error());
}

static void other_layouts_are_refused(void **state)
{
	static const struct layout small[] = {
		{CHUNK_BYTES, CHUNK_BYTES, 2, 1, BPF_F_MMAPABLE, "pins/first_chunk does not fit this version"},
		{CHUNK_BYTES, sizeof(uint32_t), 2, 1, BPF_F_MMAPABLE, "found type 2, value 4194304, entries 2"},
		{CHUNK_BYTES / 2, CHUNK_BYTES, 1, 1, BPF_F_MMAPABLE, "found type 2, value 2097152, entries 1"},
		{CHUNK_BYTES, CHUNK_BYTES / 2, 1, 1, BPF_F_MMAPABLE, "pins/tables does not fit this version"},
		{CHUNK_BYTES, CHUNK_BYTES, 1, 1, 0, "flags 0"},
	};
	/* Chunks that are both in the first map and in the other. */
	static const struct layout twice = {2 * CHUNK_BYTES,	  CHUNK_BYTES, 1, 1, BPF_F_MMAPABLE,
					    "pins/first_chunk does not fit this version"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(small); i++)
		expect_refused(&small[i]);
	if (takes_large_values())
		expect_refused(&twice);
}

/* ---------------------------------------------------------------- address space */

static size_t kilobytes_of_address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%zu", &pages), 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void load_and_close(bool join)
{
	_cleanup_(table_maps_clear) struct table_maps maps = TABLE_MAPS_INIT;
	struct egressd *programs = egressd__open();

	assert_non_null(programs);
	assert_int_equal(table_maps_create(&maps, programs->obj, 3, join), 0);
	assert_int_equal(egressd__load(programs), 0);
	assert_int_equal(table_maps_map(&maps, false), 0);
	egressd__destroy(programs);
}

/* An agent loads the programs whenever its tables grow: of what libbpf took for the variable nothing is left. */
static void address_space_is_given_back(void **state)
{
	size_t before, after;

	(void)state;
	load_and_close(true);
	load_and_close(false);
	before = kilobytes_of_address_space();
	for (int i = 0; i < 2; i++) {
		load_and_close(true);
		load_and_close(false);
	}
	after = kilobytes_of_address_space();
	assert_in_range(after, 0, before + CHUNK_BYTES / 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(chunks_are_joined_where_the_kernel_takes_it, open_programs, close_programs),
		cmocka_unit_test_setup_teardown(one_chunk_takes_no_second_one, open_programs, close_programs),
		cmocka_unit_test_setup_teardown(chunks_apart_are_one_memory, open_programs, close_programs),
		cmocka_unit_test_setup_teardown(too_many_chunks_are_apart, open_programs, close_programs),
		cmocka_unit_test_setup_teardown(programs_follow_the_last_chunk, open_programs, close_programs),
		cmocka_unit_test(other_layouts_are_refused),
		cmocka_unit_test(address_space_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
