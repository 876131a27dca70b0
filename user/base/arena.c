/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHUNK 1024
#define LARGEST_CHUNK (256u << 10)

struct chunk {
	struct chunk *next;
	size_t size, used;
	alignas(max_align_t) char data[];
};

/* The arena itself stands in its first chunk: a small object takes one allocation. */
struct arena {
	struct chunk *chunks; /* the one being filled first */
};

static struct chunk *chunk_new(size_t size)
{
	struct chunk *chunk;

	if (size > SIZE_MAX - sizeof(*chunk))
		return NULL;
	chunk = malloc(sizeof(*chunk) + size);
	if (!chunk)
		return NULL;
	chunk->next = NULL;
	chunk->size = size;
	chunk->used = 0;
	return chunk;
}

static size_t round_up(size_t size)
{
	return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static void *chunk_take(struct chunk *chunk, size_t size)
{
	void *taken;

	if (size > chunk->size - chunk->used)
		return NULL;
	taken = chunk->data + chunk->used;
	chunk->used += size;
	return memset(taken, 0, size);
}

struct arena *arena_new(void)
{
	struct chunk *chunk = chunk_new(FIRST_CHUNK);
	struct arena *arena;

	if (!chunk)
		return NULL;
	arena = chunk_take(chunk, round_up(sizeof(*arena)));
	arena->chunks = chunk;
	return arena;
}

void arena_free(struct arena *arena)
{
	struct chunk *chunk, *next;

	if (!arena)
		return;
	for (chunk = arena->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
}

void arena_free_pointer(struct arena **arena)
{
	arena_free(*arena);
	*arena = NULL;
}

static size_t next_chunk_size(const struct arena *arena, size_t needed)
{
	size_t size = arena->chunks->size * 2;

	if (size > LARGEST_CHUNK)
		size = LARGEST_CHUNK;
	return size < needed ? needed : size;
}

void *arena_allocate(struct arena *arena, size_t size)
{
	struct chunk *chunk;
	void *taken;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = round_up(size);
	taken = chunk_take(arena->chunks, size);
	if (taken)
		return taken;

	chunk = chunk_new(next_chunk_size(arena, size));
	if (!chunk)
		return NULL;
	taken = chunk_take(chunk, size);
	if (size > LARGEST_CHUNK) {
		/* A chunk of its own: the one being filled goes on being filled. */
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return taken;
}

void *arena_array(struct arena *arena, size_t count, size_t item_size)
{
	if (item_size && count > SIZE_MAX / item_size)
		return NULL;
	return arena_allocate(arena, count * item_size);
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
	char *copy = length < SIZE_MAX ? arena_allocate(arena, length + 1) : NULL;

	/* An empty string may come without any memory. */
	if (copy && length)
		memcpy(copy, text, length);
	return copy;
}

char *arena_string(struct arena *arena, const char *text)
{
	return arena_copy(arena, text, strlen(text));
}
