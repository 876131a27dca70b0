/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static int reserve(struct extent_list *list)
{
	return array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items));
}

/* There is room for one more. */
static void append(struct extent_list *list, struct extent extent)
{
	if (list->count && list->items[list->count - 1].end == extent.start)
		list->items[list->count - 1].end = extent.end;
	else
		list->items[list->count++] = extent;
}

int memory_init(struct memory *memory, uint32_t *words, size_t word_count, uint32_t first)
{
	memset(memory, 0, sizeof(*memory));
	if (word_count > UINT32_MAX)
		word_count = UINT32_MAX;
	memory->words = words;
	memory->word_count = word_count;
	if (reserve(&memory->free) < 0)
		return -ENOMEM;
	append(&memory->free, (struct extent){.start = first, .end = (uint32_t)word_count});
	return 0;
}

void memory_clear(struct memory *memory)
{
	unsigned int bank;

	free(memory->free.items);
	for (bank = 0; bank < EGRESS_BANKS; bank++)
		free(memory->bank[bank].items);
	memset(memory, 0, sizeof(*memory));
}

/* Words between what is aligned that are worth an extent of their own: no node of the trie is smaller. */
#define GAP_MIN (1u << EGRESS_TRIE_UNIT_SHIFT)

/*
 * Takes this from extent i, of which up to two pieces are left: what is before it, if that is worth it (else it is taken,
 * too), and what is behind it. Of the last extent that stays even where it is empty, to say how far memory was taken.
 */
static int cut_off(struct extent_list *list, size_t i, struct extent *taken)
{
	struct extent left[2];
	size_t pieces = 0, behind = list->count - i - 1;

	if (reserve(list) < 0)
		return -ENOMEM;
	if (taken->start - list->items[i].start < GAP_MIN)
		taken->start = list->items[i].start;
	else
		left[pieces++] = (struct extent){list->items[i].start, taken->start};
	if (taken->end < list->items[i].end || !behind)
		left[pieces++] = (struct extent){taken->end, list->items[i].end};
	memmove(list->items + i + pieces, list->items + i + 1, behind * sizeof(*list->items));
	memcpy(list->items + i, left, pieces * sizeof(*left));
	list->count = i + pieces + behind;
	return 0;
}

static uint64_t align(uint64_t address, uint32_t alignment)
{
	return (address + alignment - 1) & ~((uint64_t)alignment - 1);
}

/* From the front of the first extent that has the room. What alignment leaves before it is for smaller ones. */
static int take_extent(struct memory *memory, unsigned int bank, size_t count, uint32_t alignment, bool in_chunk,
		       uint32_t *address)
{
	struct extent_list *list = &memory->free;
	size_t i;

	for (i = 0; i < list->count; i++) {
		uint64_t start = align(list->items[i].start, alignment);
		struct extent taken;

		if (in_chunk && start >> EGRESS_CHUNK_SHIFT != (start + count - 1) >> EGRESS_CHUNK_SHIFT)
			start = align(start, EGRESS_CHUNK_WORDS);
		taken = (struct extent){.start = (uint32_t)start, .end = (uint32_t)(start + count)};
		if (start + count > list->items[i].end)
			continue;
		if (reserve(&memory->bank[bank]) < 0 || cut_off(list, i, &taken) < 0)
			return -ENOMEM;
		append(&memory->bank[bank], taken);
		*address = (uint32_t)start;
		return 0;
	}
	return -ENOSPC;
}

int memory_take(struct memory *memory, unsigned int bank, size_t count, uint32_t alignment, uint32_t *address)
{
	return take_extent(memory, bank, count, alignment, false, address);
}

int memory_take_in_chunk(struct memory *memory, unsigned int bank, size_t count, uint32_t alignment, uint32_t *address)
{
	return take_extent(memory, bank, count, alignment, true, address);
}

static int compare_extents(const void *left, const void *right)
{
	const struct extent *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

int memory_release(struct memory *memory, unsigned int bank)
{
	struct extent_list *list = &memory->free, *from = &memory->bank[bank];
	size_t kept = 0, i;

	if (!from->count)
		return 0;
	if (array_reserve(&list->items, &list->capacity, list->count + from->count, sizeof(*list->items)) < 0)
		return -ENOMEM;
	memcpy(list->items + list->count, from->items, from->count * sizeof(*from->items));
	list->count += from->count;
	from->count = 0;
	qsort(list->items, list->count, sizeof(*list->items), compare_extents);
	for (i = 1; i < list->count; i++) {
		if (list->items[i].start == list->items[kept].end)
			list->items[kept].end = list->items[i].end;
		else
			list->items[++kept] = list->items[i];
	}
	list->count = kept + 1;
	return 0;
}

static size_t count_words(const struct extent_list *list)
{
	size_t sum = 0, i;

	for (i = 0; i < list->count; i++)
		sum += list->items[i].end - list->items[i].start;
	return sum;
}

size_t memory_used(const struct memory *memory, unsigned int bank)
{
	return count_words(&memory->bank[bank]);
}

size_t memory_reached(const struct memory *memory)
{
	return memory->free.items[memory->free.count - 1].start;
}

size_t memory_free(const struct memory *memory)
{
	return count_words(&memory->free);
}

bool memory_has_room(const struct memory *memory, size_t count)
{
	size_t i;

	for (i = 0; i < memory->free.count; i++)
		if (memory->free.items[i].end - memory->free.items[i].start >= count)
			return true;
	return false;
}
