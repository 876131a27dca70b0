/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include <limits.h>
#include <malloc.h>

/*
 * What a compile or a large file takes for a moment is to go back to the kernel, not to stay as holes between objects
 * that live for days: large pieces are mapped one by one, always (by default malloc changes its mind with the first one
 * that is freed).
 */
#define SMALL_PIECE (128 << 10)
/*
 * Holes of so many bytes stay, since most changes fill them again: to touch a page that the kernel has to find takes 0.2
 * to 15 us. Pages that were given back count too, as malloc does: who ever had larger holes gives back each time.
 */
#define KEPT_BYTES  (5 << 20)
/*
 * A list of a million prefixes takes 100,000 pages, longer to find than to parse and to compile it. Of a process that
 * has so much in use pieces come from the heap, as far as malloc lets them, and stay there.
 */
#define LARGE_USE   (64u << 20)
#define LARGE_PIECE (32 << 20)

static bool keeps_small, is_large;

static void set_large(bool large)
{
	if (!keeps_small)
		return;
	mallopt(M_MMAP_THRESHOLD, large ? LARGE_PIECE : SMALL_PIECE);
	mallopt(M_TRIM_THRESHOLD, large ? INT_MAX : SMALL_PIECE);
	is_large = large;
}

void heap_keep_small(void)
{
	/* Threads have no heap of their own. */
	mallopt(M_ARENA_MAX, 1);
	keeps_small = true;
	set_large(false);
}

void heap_expect(size_t bytes)
{
	if (bytes >= LARGE_USE)
		set_large(true);
}

bool heap_may_wait(void)
{
	const struct mallinfo2 info = mallinfo2();

	set_large(info.uordblks + info.hblkhd >= LARGE_USE);
	return is_large;
}

void heap_release(void)
{
	if (keeps_small && mallinfo2().fordblks > KEPT_BYTES)
		malloc_trim(0);
}
