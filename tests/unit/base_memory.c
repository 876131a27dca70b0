/* SPDX-License-Identifier: Apache-2.0 */
/* base/arena.h and base/array.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "model_unit.h"

static void arena_gives_zeroed_aligned_memory_that_does_not_overlap(void **state)
{
	_cleanup_(arena_free_pointer) struct arena *arena = arena_new();
	unsigned char *blocks[400];
	size_t sizes[400];

	(void)state;
	assert_non_null(arena);
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		/* From nothing over chunks of any size to one that needs a chunk of its own. */
		sizes[i] = i % 50 == 49 ? 600000 : i * 7 % 3000;
		blocks[i] = arena_allocate(arena, sizes[i]);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(blocks[i][j], 0);
		memset(blocks[i], (int)(i % 255) + 1, sizes[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(blocks[i][j], (int)(i % 255) + 1);
	}
}

static void arena_refuses_sizes_that_overflow(void **state)
{
	_cleanup_(arena_free_pointer) struct arena *arena = arena_new();

	(void)state;
	assert_null(arena_allocate(arena, SIZE_MAX));
	assert_null(arena_array(arena, SIZE_MAX / 2, 4));
	assert_null(arena_copy(arena, "", SIZE_MAX));
	assert_non_null(arena_array(arena, 0, 8));
}

static void arena_copies_strings(void **state)
{
	_cleanup_(arena_free_pointer) struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(arena_copy(arena, "abcdef", 3), "abc");
	assert_string_equal(arena_string(arena, "x"), "x");
	assert_string_equal(arena_copy(arena, NULL, 0), "");
}

/* Thousands of objects have an arena each: padding between their labels would be a good part of them. */
static void arena_texts_stand_side_by_side(void **state)
{
	_cleanup_(arena_free_pointer) struct arena *arena = arena_new();
	const char *first = arena_string(arena, "one"), *second = arena_string(arena, "three");
	char *block = arena_allocate(arena, 8);

	(void)state;
	assert_ptr_equal(second + strlen("three") + 1, first);
	memset(block, 0xff, 8);
	assert_string_equal(first, "one");
	assert_string_equal(second, "three");
	for (size_t i = 0; i < 1000; i++) {
		const char *text = arena_string(arena, "some more text");

		block = arena_allocate(arena, 24);
		assert_int_equal((uintptr_t)block % _Alignof(max_align_t), 0);
		memset(block, 0xff, 24);
		assert_string_equal(text, "some more text");
	}
	assert_string_equal(first, "one");
}

static void array_grows_and_keeps_its_items(void **state)
{
	_cleanup_free_ int *items = NULL;
	size_t capacity = 0;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(array_reserve(&items, &capacity, i + 1, sizeof(*items)), 0);
		items[i] = (int)i;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(items[i], i);
	assert_in_range(capacity, 1000, 2000);
}

static void array_refuses_what_overflows_and_stays_as_it_was(void **state)
{
	_cleanup_free_ int *items = NULL;
	size_t capacity = 0;
	int *before;

	(void)state;
	assert_int_equal(array_reserve(&items, &capacity, 4, sizeof(*items)), 0);
	before = items;
	assert_int_equal(array_reserve(&items, &capacity, SIZE_MAX, sizeof(*items)), -ENOMEM);
	assert_int_equal(array_reserve(&items, &capacity, SIZE_MAX / 4, 8), -ENOMEM);
	assert_ptr_equal(items, before);
	assert_int_equal(capacity, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_gives_zeroed_aligned_memory_that_does_not_overlap),
		cmocka_unit_test(arena_refuses_sizes_that_overflow),
		cmocka_unit_test(arena_copies_strings),
		cmocka_unit_test(arena_texts_stand_side_by_side),
		cmocka_unit_test(array_grows_and_keeps_its_items),
		cmocka_unit_test(array_refuses_what_overflows_and_stays_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
