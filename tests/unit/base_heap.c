/* SPDX-License-Identifier: Apache-2.0 */
/* base/heap.h. The tests run in their order: what malloc was told holds for the process. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/heap.h"
#include "model_unit.h"

/* Sanitizers bring a malloc of their own, which is told nothing. */
#ifndef __SANITIZE_ADDRESS__

#define MEGABYTE (1u << 20)
#define PIECE    1000u

/* Megabytes of the process that are in memory. */
static double resident(void)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/statm", "re");
	unsigned long size, pages;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &size, &pages), 2);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / MEGABYTE;
}

/* So many megabytes in small pieces, in use before something that stays; the caller frees both. */
struct pieces {
	void *items[70 * (MEGABYTE / PIECE)], *behind;
	size_t count;
};

static void take_pieces(struct pieces *pieces, size_t megabytes)
{
	size_t i;

	pieces->count = megabytes * (MEGABYTE / PIECE);
	for (i = 0; i < pieces->count; i++) {
		pieces->items[i] = malloc(PIECE);
		assert_non_null(pieces->items[i]);
		memset(pieces->items[i], 1, PIECE);
	}
	/* Without it malloc would give back what is at the end of the heap by itself. */
	pieces->behind = malloc(PIECE);
	assert_non_null(pieces->behind);
}

static void free_pieces(struct pieces *pieces)
{
	size_t i;

	for (i = 0; i < pieces->count; i++)
		free(pieces->items[i]);
	pieces->count = 0;
}

static struct pieces taken;

/* Whether a piece that no hole in the heap has room for is memory that the kernel gave for it alone. */
static bool maps_large_pieces(void)
{
	_cleanup_free_ void *large = NULL;
	size_t before = mallinfo2().hblks;

	large = malloc(16 * MEGABYTE);
	assert_non_null(large);
	memset(large, 1, 16 * MEGABYTE);
	return mallinfo2().hblks > before;
}

static void others_are_left_alone(void **state)
{
	double before;

	(void)state;
	take_pieces(&taken, 70);
	heap_expect(SIZE_MAX);
	assert_false(heap_may_wait());
	free_pieces(&taken);
	before = resident();
	heap_release();
	assert_true(resident() > before - 1);
	free(taken.behind);
	malloc_trim(0);
}

static void little_is_kept(void **state)
{
	double before;

	(void)state;
	heap_keep_small();
	/* Of itself malloc maps none of a size that it has once freed. */
	assert_true(maps_large_pieces());
	assert_true(maps_large_pieces());
	take_pieces(&taken, 3);
	free_pieces(&taken);
	before = resident();
	assert_false(heap_may_wait());
	heap_release();
	assert_true(resident() > before - 1);
	free(taken.behind);
}

static void more_is_given_back(void **state)
{
	double before;

	(void)state;
	take_pieces(&taken, 20);
	free_pieces(&taken);
	before = resident();
	assert_false(heap_may_wait());
	heap_release();
	assert_true(resident() < before - 15);
	free(taken.behind);
}

static void large_pieces_come_alone(void **state)
{
	(void)state;
	assert_true(maps_large_pieces());
	heap_expect(MEGABYTE);
	assert_true(maps_large_pieces());
}

static void what_takes_much_finds_it_again(void **state)
{
	double before = resident();

	(void)state;
	heap_expect(64 * MEGABYTE);
	assert_false(maps_large_pieces());
	assert_true(resident() > before + 15);
	/* It turned out to be little. */
	assert_false(heap_may_wait());
	heap_release();
	assert_true(maps_large_pieces());
}

static void much_in_use_may_wait(void **state)
{
	double before;

	(void)state;
	take_pieces(&taken, 70);
	assert_true(heap_may_wait());
	assert_false(maps_large_pieces());
	free_pieces(&taken);
	before = resident();
	heap_release();
	assert_true(resident() < before - 60);
	assert_false(heap_may_wait());
	free(taken.behind);
	/* Now there is no hole either. */
	heap_release();
	assert_true(maps_large_pieces());
}

static void pieces_that_are_mapped_are_in_use(void **state)
{
	_cleanup_free_ void *large = malloc(70 * MEGABYTE);

	(void)state;
	assert_non_null(large);
	assert_true(heap_may_wait());
	free(large);
	large = NULL;
	assert_false(heap_may_wait());
}

#endif

static void nothing_is_expected_of_it(void **state)
{
	(void)state;
	heap_expect(0);
	assert_false(heap_may_wait());
	heap_release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(others_are_left_alone),
		cmocka_unit_test(little_is_kept),
		cmocka_unit_test(more_is_given_back),
		cmocka_unit_test(large_pieces_come_alone),
		cmocka_unit_test(what_takes_much_finds_it_again),
		cmocka_unit_test(much_in_use_may_wait),
		cmocka_unit_test(pieces_that_are_mapped_are_in_use),
#endif
		cmocka_unit_test(nothing_is_expected_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
