/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table memory: which words belong to which bank, and which are free. Words go back only all at once, with their bank.
 */
#ifndef EGRESSD_POLICY_MEMORY_H
#define EGRESSD_POLICY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <egressd/contract.h>
#include <egressd/tables.h>

/* Words from `start` up to, not including, `end`. */
struct extent {
	uint32_t start, end;
};

struct extent_list {
	struct extent *items;
	size_t count, capacity;
};

struct memory {
	uint32_t *words; /* NULL: only counts; nothing may be written */
	size_t word_count;
	struct extent_list free;              /* sorted */
	struct extent_list bank[EGRESS_BANKS]; /* as they were taken */
};

/* Free from word `first` on. words NULL: as much as there can be. 0 or -ENOMEM. */
int memory_init(struct memory *memory, uint32_t *words, size_t word_count, uint32_t first);
void memory_clear(struct memory *memory);

/* `count` words for the bank, their address a multiple of `alignment` (a power of two). 0, -ENOSPC or -ENOMEM. */
int memory_take(struct memory *memory, unsigned int bank, size_t count, uint32_t alignment, uint32_t *address);
/* The same, in one chunk of the map. count: EGRESS_CHUNK_WORDS at most. */
int memory_take_in_chunk(struct memory *memory, unsigned int bank, size_t count, uint32_t alignment, uint32_t *address);
/* All that the bank has is free again. 0 or -ENOMEM. */
int memory_release(struct memory *memory, unsigned int bank);

size_t memory_used(const struct memory *memory, unsigned int bank);
/* The word behind the last one that was taken, of memory none of which was given back yet. */
size_t memory_reached(const struct memory *memory);
/* Words of all free extents. */
size_t memory_free(const struct memory *memory);
/* Is there a free extent of so many words? */
bool memory_has_room(const struct memory *memory, size_t count);

#endif
